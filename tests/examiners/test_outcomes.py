"""What every examiner writes in the same way: costs are paid, figures are rounded against the accuser, coincidences are exact."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from filiation import evidence
from filiation.evidence import (
    Characteristic,
    Coincidences,
    Effect,
    Finding,
    Multiplicity,
    Null,
    Proposition,
    Relation,
    digest,
)
from filiation.examiners.outcomes import (
    NO_STRANGERS,
    Figures,
    constructed_power,
    effect_of,
    figures_of,
    finding_of,
    inconclusive_of,
    not_examined_of,
    share_to_detect,
)
from filiation.statistics.register import empty

TEST = evidence.Test(
    id="examiner.test",
    proposition=Proposition.MARKS,
    alternative="independent",
    relation_class="trained on what was planted",
    characteristic=Characteristic.INDIVIDUAL,
    null=Null.CONSTRUCTION,
)
PAIR = Relation(examiner="examiner", examiner_version="1", first="owner", second="suspect", seed=7, content={"n": 1})
CONTROL = Relation(examiner="examiner", examiner_version="1", first="owner", second="control", seed=7, content={"n": 0})
SEEN = figures_of(Coincidences(count=20, opportunities=20, chance=0.25))


def found(figures: Figures, multiplicity: Multiplicity) -> Finding:
    return finding_of(
        TEST,
        PAIR,
        figures,
        version="2",
        effect=Effect(name="share", value=1.0, low=0.8, high=1.0),
        power=constructed_power(0.9),
        parameters={"commitments": 1},
        calibration=empty("examiner"),
        multiplicity=multiplicity,
        further=(CONTROL,),
    )


def test_coincidences_have_the_figures_of_the_binomial_law() -> None:
    seen = figures_of(Coincidences(count=5, opportunities=20, chance=0.25))
    assert seen.log10_p == pytest.approx(math.log10(binom.sf(4, 20, 0.25)))
    assert seen.resolution_log10_p == pytest.approx(20 * math.log10(0.25))


def test_unequal_chances_are_told_by_their_mean() -> None:
    assert figures_of(Coincidences(count=1, opportunities=2, chances=(0.1, 0.3))).chance == pytest.approx(0.2)


@given(
    p=st.floats(-300, 0),
    e=st.floats(-300, 300),
    searched=st.integers(1, 10**9),
)
def test_what_was_searched_is_paid_and_no_figure_gains_by_rounding(p: float, e: float, searched: int) -> None:
    cost = math.log10(searched)
    figures = Figures(count=1, opportunities=2, chance=0.5, log10_p=p, log10_e=e, resolution_log10_p=p)
    finding = found(figures, Multiplicity(searched=searched, rule="Bonferroni", log10_cost=cost))
    assert finding.log10_p == 0.0 or finding.log10_p >= p + cost - 1e-6
    assert finding.log10_p <= max(0.0, p + cost) + 1e-3
    assert e - cost - 1e-3 - 1e-6 <= finding.log10_e <= e - cost + 1e-6
    assert finding.resolution_log10_p == finding.log10_p


def test_a_finding_names_what_it_rests_on() -> None:
    finding = found(SEEN, Multiplicity(searched=1, rule="one test"))
    assert (finding.id, finding.examiner_version, finding.seed) == ("examiner.test:owner|suspect", "2", 7)
    assert finding.observations == (digest(PAIR), digest(CONTROL))
    assert finding.parameters_digest == digest({"commitments": 1})
    assert finding.lineages == NO_STRANGERS


def test_no_outcome_without_figures_carries_one() -> None:
    reason = "a premise is broken"
    assert inconclusive_of(TEST, PAIR, reason, version="1").reason == reason
    assert not_examined_of(TEST, PAIR, reason, version="1").null is Null.CONSTRUCTION


def test_a_share_of_nothing_is_no_share() -> None:
    assert effect_of("share", 0, 0) == Effect(name="share", value=0.0, low=0.0, high=1.0)


def test_a_test_too_small_to_detect_anything_says_so() -> None:
    assert share_to_detect(3, 0.5, -6.0) == 1.0
    assert 0.5 < share_to_detect(1000, 0.5, -6.0) < 0.7
