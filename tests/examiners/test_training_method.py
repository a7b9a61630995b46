from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from filiation.errors import UsageError
from filiation.evidence import (
    Absent,
    Finding,
    Identity,
    Inconclusive,
    NotExamined,
    Null,
    Outcome,
    Relation,
    Relations,
)
from filiation.examiners import training_method
from filiation.examiners.examiner import Subject
from filiation.examiners.training_method import NEEDS_BASES, bases_by_name
from filiation.sources.open import open_source
from filiation.statistics.register import Calibration, RegisterEntry, empty
from studies.zoo import Zoo

REFUSAL, REWARD = (test.id for test in training_method.TESTS)
A_REGISTER = Calibration(
    examiner="training_method",
    entries=(
        RegisterEntry(
            test=REWARD,
            null=Null.POPULATION,
            formula_version="1",
            chance=None,
            detection_log10_p=-1.30103,
            validated_for=("llama",),
            strangers=(),
            relatives=(),
            calibrated_on="nothing: for this test",
            date="2026-11-21",
            tried=(),
            made_by="hand",
        ),
    ),
)


def related(first: Path, second: Path, **parameters: Any) -> Relation:
    subjects = []
    for folder in (first, second):
        source = open_source(folder)
        seen = training_method.observe(source)
        assert not isinstance(seen, Absent), seen.reason
        settings = {"run": True, "texts": 40, **parameters}
        subjects.append(Subject(source=source, observation=seen, parameters=settings))
    found = training_method.relate(*subjects, 1)
    assert isinstance(found, Relation), found
    return found


def judged(relation: Relation, calibration: Calibration = A_REGISTER, **relations: Any) -> dict[str, Outcome]:
    controls = relations.pop("controls", ())
    outcomes = training_method.judge(Relations(pair=relation, **relations), controls, calibration)
    return {outcome.test: outcome for outcome in outcomes}


@pytest.fixture(scope="module")
def tuned(zoo: Zoo) -> Relation:
    """Two models tuned on the same texts, a whole fine-tune and a low-rank one, with the base of both."""
    return related(zoo["fine-tuned"], zoo["lora"], reference_base=str(zoo["base-a"]), suspect_base=str(zoo["base-a"]))


def test_without_bases_it_says_what_it_would_need(zoo: Zoo) -> None:
    found = judged(related(zoo["base-a"], zoo["fine-tuned"]))
    assert isinstance(found[REWARD], NotExamined)
    assert found[REWARD].reason == NEEDS_BASES
    assert "suspect_base" in NEEDS_BASES
    assert isinstance(found[REFUSAL], NotExamined)
    assert "on demand" in found[REFUSAL].reason


def test_a_base_that_cannot_be_run_is_a_reason(zoo: Zoo, tmp_path: Path) -> None:
    found = related(
        zoo["fine-tuned"], zoo["lora"], reference_base=str(zoo["base-a"]), suspect_base=str(tmp_path / "no")
    )
    outcome = judged(found)[REWARD]
    assert isinstance(outcome, NotExamined)
    assert "cannot be run" in outcome.reason


def test_the_record_knows_bases_by_content_and_not_by_place(tuned: Relation, zoo: Zoo) -> None:
    assert str(zoo["base-a"]) not in str(tuned.content)
    content_id = open_source(zoo["base-a"]).identity(True).content_id
    assert tuned.content["reward"]["bases"] == [content_id, content_id]


def test_two_fine_tunes_on_the_same_texts_have_rewards_that_go_together(tuned: Relation) -> None:
    assert tuned.content["reward"]["correlation"] > 3_000
    alone = judged(tuned)[REWARD]
    assert isinstance(alone, Inconclusive), "a correlation without controls is no finding"
    assert "0 tuned control lineages" in alone.reason
    assert "correlation 0." in alone.components[0].note


def test_without_a_register_nothing_is_said(tuned: Relation) -> None:
    outcome = judged(tuned, empty("training_method"))[REWARD]
    assert isinstance(outcome, Inconclusive)
    assert "not validated" in outcome.reason


def test_a_family_that_was_not_measured_is_declined(tuned: Relation) -> None:
    foreign = msgspec.structs.replace(tuned, content=tuned.content | {"families": ["llama", "gpt2"]})
    outcome = judged(foreign, **line_up(tuned, [0] * 25, "control_bases"))[REWARD]
    assert isinstance(outcome, Inconclusive)
    assert outcome.reason == "not validated for models of the family gpt2"


def line_up(relation: Relation, correlations: list[int], origin: str) -> dict[str, Any]:
    """Controls of known correlation, so that the rank is known."""
    names = [f"control {number}" for number in range(len(correlations))]
    reward = relation.content["reward"] | {"bases_from": ["reference_base", origin]}
    return {
        "reference_by_control": tuple(
            msgspec.structs.replace(
                relation, second=name, content=relation.content | {"reward": reward | {"correlation": correlation}}
            )
            for name, correlation in zip(names, correlations, strict=True)
        ),
        "controls": tuple(Identity(name=name, format="folder", lineage_id=name) for name in names),
    }


def test_the_suspect_is_ranked_among_controls_with_bases_of_their_own(tuned: Relation) -> None:
    lower, higher = tuned.content["reward"]["correlation"] - 100, tuned.content["reward"]["correlation"] + 100
    first = judged(tuned, **line_up(tuned, [lower] * 19, "control_bases"))[REWARD]
    assert isinstance(first, Finding)
    assert first.log10_p == pytest.approx(-1.301, abs=1e-3)
    third = judged(tuned, **line_up(tuned, [higher] * 2 + [lower] * 18, "control_bases"))[REWARD]
    assert isinstance(third, Finding)
    assert (third.count, third.opportunities) == (2, 20)


def test_a_control_measured_against_the_suspect_s_base_counts_for_nothing(tuned: Relation) -> None:
    outcome = judged(tuned, **line_up(tuned, [0] * 25, "suspect_base"))[REWARD]
    assert isinstance(outcome, Inconclusive)


def test_bases_of_controls_are_found_by_name(zoo: Zoo) -> None:
    bases = f"lora = {zoo['base-a']}; other={zoo['base-b']}"
    assert bases_by_name(bases) == {"lora": str(zoo["base-a"]), "other": str(zoo["base-b"])}
    found = related(zoo["fine-tuned"], zoo["lora"], reference_base=str(zoo["base-a"]), control_bases=bases)
    assert found.content["reward"]["bases_from"] == ["reference_base", "control_bases"]


@pytest.mark.parametrize("wrong", ["lora", "=somewhere", "lora="])
def test_what_names_no_base_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="names no base"):
        bases_by_name(wrong)


# ---------------------------------------------------------------------------------------------------- refusal directions


def test_refusal_directions_are_described_and_never_a_finding(zoo: Zoo) -> None:
    outcome = judged(related(zoo["base-a"], zoo["continued"], refusal_direction=True))[REFUSAL]
    assert isinstance(outcome, Inconclusive)
    assert "no population" in outcome.reason
    assert len(outcome.components) == 3
    assert all(part.note.startswith("cosine 0.") for part in outcome.components)


REFUSED = {
    "a stranger's basis": ("base-a", "base-b", "no basis in common"),
    "another depth": ("base-a", "depth-pruned", "layer by layer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_directions_without_a_common_basis_are_not_compared(name: str, zoo: Zoo) -> None:
    first, second, reason = REFUSED[name]
    outcome = judged(related(zoo[first], zoo[second], refusal_direction=True))[REFUSAL]
    assert isinstance(outcome, NotExamined)
    assert reason in outcome.reason
