"""Two disputes in small: norm vectors alike in both, one suspect a stranger, the other a copy in disguise.

Norm gains of two models that have nothing in common point the same way (cosine .98 and more), so that their likeness was
offered as proof of copying, and of nothing, in real disputes. What counts is that the outcomes are opposite.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from filiation.conclusions import conclude
from filiation.evidence import Finding, Null, Outcome, Relation, RelationPower, Relations
from filiation.examiners import weights
from filiation.examiners.examiner import Subject
from filiation.sources.open import open_source
from filiation.statistics.register import Calibration, StrangerCount
from studies.zoo import Zoo
from studies.zoo.folders import read_folder
from tests.worlds import register

REFERENCE, STRANGER, COPY = "base-a", "base-c", "laundered-tuned"


def norm_cosine(first: Path, second: Path) -> float:
    """Cosine between all norm gains of two models, laid end to end."""
    one, other = (
        np.concatenate([array.ravel() for name, array in sorted(read_folder(folder)[0].items()) if "norm" in name])
        for folder in (first, second)
    )
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def counted() -> Calibration:
    """The register; where nobody was counted yet, as if twelve stranger lineages and four of relatives had been."""
    calibration = register(weights)
    if any(entry.strangers for entry in calibration.entries):
        return calibration
    strangers = (StrangerCount(kind="strangers", lineages=12, exceeding=0, tests=36, largest_share=0.02),)
    relatives = (RelationPower(relation="laundered and fine-tuned", detected=4, lineages=4),)
    entries = [msgspec.structs.replace(e, strangers=strangers, relatives=relatives) for e in calibration.entries]
    return msgspec.structs.replace(calibration, entries=tuple(entries))


def outcomes(first: Path, second: Path) -> tuple[Outcome, ...]:
    subjects = []
    for folder in (first, second):
        source = open_source(folder)
        subjects.append(Subject(source=source, observation=weights.observe(source)))
    relation = weights.relate(*subjects, 1)
    assert isinstance(relation, Relation)
    return weights.judge(Relations(pair=relation), (), counted())


def test_the_norm_vectors_are_alike_in_both_and_more_so_in_the_stranger(zoo: Zoo) -> None:
    of_stranger, of_copy = (norm_cosine(zoo[REFERENCE], zoo[name]) for name in (STRANGER, COPY))
    assert of_stranger >= 0.98
    assert of_copy >= 0.98
    assert of_stranger >= of_copy - 0.005


@pytest.mark.parametrize(("suspect", "copied"), [(STRANGER, False), (COPY, True)])
def test_the_outcomes_are_opposite(zoo: Zoo, suspect: str, copied: bool) -> None:
    found = outcomes(zoo[REFERENCE], zoo[suspect])
    by_model = [outcome for outcome in found if isinstance(outcome, Finding) and outcome.null is Null.MODEL]
    assert len(by_model) == 2
    for finding in by_model:
        assert finding.log10_p < -100 if copied else finding.log10_p > -1
    conclusion = next(c for c in conclude(found) if c.null is Null.MODEL)
    assert conclusion.kind == "likelihood ratio"
    assert conclusion.log10_likelihood_ratio is not None
    assert (conclusion.log10_likelihood_ratio > 0) == copied
    assert conclusion.word.endswith("the relation") == copied
    assert "a common public ancestor" in conclusion.explanations_untested
