"""Validation scores: files are what the studies kept, nothing is drawn that was not kept, limits and costs are the published ones."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from filiation.evidence import Finding, RelationPower
from filiation.report.case_validation import (
    ANOTHER_REGISTER,
    BINS,
    NO_FILE,
    ErrorCount,
    Score,
    Validation,
    cllr,
    densities,
    shipped,
    validated,
)
from filiation.statistics.register import load
from studies import validation_scores
from tests.report import case_sample

pytestmark = pytest.mark.xdist_group("case reports")  # what is made for all of them is made once


@pytest.fixture(scope="module")
def findings(found) -> dict[str, Finding]:
    outcomes = found[case_sample.SUSPECT].outcomes
    return {outcome.test: outcome for outcome in outcomes if isinstance(outcome, Finding)}


def test_the_shipped_files_are_what_the_committed_results_give():
    assert validation_scores.main(["--check"]) == 0


def test_every_entry_of_the_registers_has_its_file_and_its_counts():
    files = {entry.test: entry for entry in shipped()}
    for examiner in validation_scores.SOURCES:
        for entry in load(examiner).entries:
            file = files.pop(entry.test)
            assert file.relatives == entry.relatives
            assert file.strangers == sum(count.lineages for count in entry.strangers)
    assert files == {}


def test_where_a_study_kept_counts_only_the_file_says_so():
    for file in shipped():
        kinds = {score.kind for score in file.scores}
        assert bool(file.remark) == (not {"relative", "stranger"} <= kinds)


def test_scores_of_the_zoo_give_the_register_s_counts_again():
    for entry in load("weights").entries:
        file = next(file for file in shipped() if file.test == entry.test)
        assert validation_scores.broken(entry, file.scores) == []
        one_less = [score for score in file.scores if score.relation != file.scores[0].relation]
        assert validation_scores.broken(entry, one_less) != []


def test_a_case_of_the_zoo_is_shown_among_the_scores_of_its_own_kind_of_model(findings):
    shown = validated(findings["weights.double-matching"], 0.856)
    assert shown.validation.test == "weights.double-matching:gated"
    assert shown.problem == ""
    assert shown.tippett.axis == "log10 likelihood ratio"
    assert not shown.densities.in_a_zone
    assert validated(findings["weights.double-matching"]).tippett.axis == "log10 p"


def test_scores_of_another_register_are_not_shown(findings):
    finding = findings["weights.screen"]
    counts = msgspec.structs.replace(finding.lineages, strangers=finding.lineages.strangers + 1)
    shown = validated(msgspec.structs.replace(finding, lineages=counts))
    assert (shown.problem, shown.densities, shown.tippett) == (ANOTHER_REGISTER, None, None)


def test_a_test_without_a_file_says_so(findings):
    shown = validated(msgspec.structs.replace(findings["weights.screen"], test="outside.test"))
    assert (shown.problem, shown.densities, shown.validation) == (NO_FILE, None, None)


def test_one_curve_alone_is_no_tippett_plot(findings):
    shown = validated(findings["architecture.design-rarity"])
    assert shown.densities is not None
    assert shown.tippett is shown.cllr is None
    assert "strangers" in shown.problem


@given(st.integers(0, 60), st.integers(1, 60))
def test_limits_on_errors_are_those_of_clopper_and_pearson(errors, lineages):
    errors = min(errors, lineages)
    expected = 1.0 if errors == lineages else float(beta.ppf(0.95, errors + 1, lineages - errors))
    assert ErrorCount("any", errors, lineages).upper_limit == pytest.approx(expected)


def score(kind: str, lineage: str, ratio: float | None) -> Score:
    return Score(relation="any", kind=kind, lineages=(lineage,), value=0.5, log10_p=-1.0, log10_likelihood_ratio=ratio)


def test_cllr_of_one_who_always_says_one_is_one():
    assert cllr((score("relative", "a", 0.0), score("stranger", "b", 0.0))) == pytest.approx(1.0)


def test_cllr_by_hand_with_every_lineage_weighing_the_same():
    scores = (
        score("relative", "a", 1.0),
        score("relative", "a", 3.0),
        score("relative", "b", 0.0),
        score("stranger", "c", -1.0),
    )
    lineage_a = (math.log2(1.1) + math.log2(1.001)) / 2
    assert cllr(scores) == pytest.approx(((lineage_a + 1.0) / 2 + math.log2(1.1)) / 2)


def test_cllr_needs_ratios_of_both_kinds():
    assert cllr((score("relative", "a", 1.0), score("stranger", "b", None))) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0, 1))
def test_zones_are_where_no_score_lies_and_nowhere_else(values, case):
    scores = tuple(score("relative", "a", None) for _ in values)
    scores = tuple(msgspec.structs.replace(one, value=value) for one, value in zip(scores, values, strict=True))
    validation = Validation(
        test="any", score="share of coincidences", threshold_log10_p=-1.0, strangers=0, strangers_exceeding=0,
        relatives=(RelationPower(relation="any", detected=1, lineages=1),), scores=scores,
    )  # fmt: skip
    finding = _finding(round(case * 1000), 1000)
    picture = densities(validation, finding)
    assert sum(picture.relatives) == len(values)
    middles = (np.arange(BINS) + 0.5) / BINS
    shaded = [any(low < middle < high for low, high in picture.zones) for middle in middles]
    assert shaded == [count == 0 for count in picture.relatives]
    assert picture.in_a_zone == shaded[picture.column]


def _finding(count: int, opportunities: int) -> Finding:
    from tests.report import sample

    whole = sample.examination().outcomes[1]
    return msgspec.structs.replace(whole, count=count, opportunities=opportunities)
