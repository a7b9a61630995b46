"""Likelihood ratios from counts by lineage: their counts, their caps, and what they refuse to say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest

from filiation.evidence import Absent, Coincidences, Null, canonical
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.e_values import log10_e_value
from filiation.statistics.likelihood import (
    LikelihoodRatio,
    LineageCounts,
    constructed_ratio,
    likelihood_ratio,
    upper_limit,
)


def counts(relatives=(20, 20), strangers=(0, 40), exceeding=0) -> LineageCounts:
    return LineageCounts(
        relatives_detected=relatives[0],
        relatives=relatives[1],
        strangers_detected=strangers[0],
        strangers=strangers[1],
        strangers_exceeding=exceeding,
    )


def ratio(detected=True, null=Null.MODEL, log10_p=-300.0, **given_counts) -> LikelihoodRatio:
    found = likelihood_ratio(detected, counts(**given_counts), null=null, log10_p=log10_p)
    assert isinstance(found, LikelihoodRatio)
    return found


@pytest.mark.parametrize(("exceeding", "lineages"), [(0, 1), (0, 12), (1, 12), (5, 40), (0, 300), (300, 300)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_upper_limit_against_scipy(exceeding, lineages, confidence):
    reference = binomtest(exceeding, lineages, alternative="less").proportion_ci(confidence, method="exact").high
    assert upper_limit(exceeding, lineages, confidence) == pytest.approx(reference, rel=1e-9)


def test_upper_limit_is_about_three_over_n_for_none_of_n():
    assert upper_limit(0, 1000) == pytest.approx(3 / 1000, rel=0.01)
    assert upper_limit(0, 0) == 1.0


@pytest.mark.parametrize("lineages", [5, 30])
def test_upper_limit_covers_the_truth_as_often_as_it_says(lineages):
    limits = np.array([upper_limit(k, lineages) for k in range(lineages + 1)])
    assert (np.diff(limits[:-1]) > 0).all()
    for truth in np.linspace(0.001, 0.999, 97):
        covered = binom.pmf(np.arange(lineages + 1), lineages, truth)[limits >= truth].sum()
        assert covered >= 0.95 - 1e-9


def test_upper_limit_refuses_what_is_no_count():
    for exceeding, lineages, confidence in ((3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)):
        with pytest.raises(ValueError, match=r"no count|confidence"):
            upper_limit(exceeding, lineages, confidence)


def test_value_is_the_ratio_of_the_two_counts():
    # 18 of 20 relatives and 3 of 40 strangers detected: (18.5 / 21) / (3.5 / 41), and (2.5 / 21) / (37.5 / 41) for silence.
    found = ratio(relatives=(18, 20), strangers=(3, 40), null=Null.POPULATION, log10_p=-1.5)
    assert found.log10_value == pytest.approx(math.log10((18.5 / 21) / (3.5 / 41)), abs=1e-3)
    silent = ratio(False, relatives=(18, 20), strangers=(3, 40), null=Null.POPULATION, log10_p=-0.1)
    assert silent.log10_value == pytest.approx(math.log10((2.5 / 21) / (37.5 / 41)), abs=1e-3)


def test_interval_is_low_over_high_and_high_over_low_of_jeffreys_intervals():
    found = ratio(relatives=(18, 20), strangers=(8, 40), null=Null.POPULATION, log10_p=-1.5)
    related, stranger = beta(18.5, 2.5), beta(8.5, 32.5)
    assert found.log10_low == pytest.approx(math.log10(related.ppf(0.0125) / stranger.ppf(0.9875)), abs=1.1e-3)
    assert found.log10_high == pytest.approx(math.log10(related.ppf(0.9875) / stranger.ppf(0.0125)), abs=1.1e-3)


def test_interval_covers_the_true_ratio_by_enumeration():
    relatives, strangers = 20, 30
    every = {
        (r, s): ratio(relatives=(r, relatives), strangers=(s, strangers), null=Null.EXCHANGEABILITY)
        for r in range(relatives + 1)
        for s in range(strangers + 1)
    }
    covered_everywhere = []
    for power in (0.3, 0.6, 0.9, 0.97):
        for error in (0.02, 0.05, 0.2, 0.5):
            truth = min(math.log10(power / error), math.log10(strangers + 1))  # beyond its cap no interval reaches
            covered = math.fsum(
                binom.pmf(r, relatives, power) * binom.pmf(s, strangers, error)
                for (r, s), found in every.items()
                if found.log10_low <= truth <= found.log10_high + 1e-3
            )
            covered_everywhere.append(covered)
    assert min(covered_everywhere) >= 0.95


def test_no_ratio_by_model_exceeds_one_over_p_plus_u():
    limit = upper_limit(0, 12)
    found = ratio(strangers=(0, 12), log10_p=-1536.0)
    assert found.log10_value <= math.log10(1 / limit)
    assert found.log10_value == pytest.approx(math.log10(1 / limit), abs=2e-3)
    assert found.cap.value == pytest.approx(1 / limit, rel=1e-3)
    assert "0 of 12" in found.cap.reason
    # A p that is not small caps as well, and a stranger that exceeded the chance costs more than half of the ratio's worth.
    assert ratio(strangers=(0, 12), log10_p=-0.5).cap.value == pytest.approx(1 / (10**-0.5 + limit), rel=1e-3)
    assert ratio(strangers=(0, 12), exceeding=1).log10_value < found.log10_value - 0.1


def test_no_number_of_prompts_lifts_a_population_ratio_out_of_one_over_n_to_n():
    assert ratio(null=Null.POPULATION, strangers=(0, 9)).log10_value <= math.log10(9)
    assert ratio(null=Null.POPULATION, strangers=(0, 9)).cap.value == 9.0
    silent = ratio(False, null=Null.POPULATION, strangers=(0, 9), relatives=(500, 500), log10_p=-0.1)
    assert silent.log10_value == pytest.approx(-math.log10(9), abs=2e-3)
    assert "1 / N" in silent.cap.reason


def test_a_rank_among_lineages_says_no_more_than_one_over_its_p():
    """Truth by the definition of p: of independent models no more than p stand so high."""
    found = ratio(relatives=(200, 200), strangers=(0, 100), null=Null.POPULATION, log10_p=math.log10(0.05))
    assert found.log10_value <= math.log10(20) + 1e-9
    assert found.log10_high <= math.log10(20) + 1e-9
    assert found.cap.value == pytest.approx(20, rel=1e-3)


@pytest.mark.parametrize("null", [Null.MODEL, Null.EXCHANGEABILITY, Null.POPULATION])
def test_absence_never_says_more_than_the_relatives_seen(null):
    silent = ratio(False, null=null, relatives=(4, 4), strangers=(0, 400), log10_p=-0.1)
    assert silent.log10_value == pytest.approx(-math.log10(5), abs=2e-3)
    assert silent.cap.value == pytest.approx(0.2)
    assert not silent.detected


def test_an_exact_null_is_capped_by_its_p_and_by_the_strangers():
    null = Null.EXCHANGEABILITY
    assert ratio(null=null, strangers=(0, 40), log10_p=-1.0).cap.value == pytest.approx(10.0)
    assert ratio(null=null, strangers=(0, 40), log10_p=-9.0).cap.value == 41.0


def test_absence_without_known_power_gives_no_ratio_but_a_reason():
    found = likelihood_ratio(False, counts(relatives=(0, 0)), null=Null.MODEL, log10_p=-0.1)
    assert isinstance(found, Absent)
    assert "nothing was detected" in found.reason
    assert isinstance(likelihood_ratio(True, counts(relatives=(0, 0)), null=Null.MODEL, log10_p=-9.0), LikelihoodRatio)


def test_absence_of_a_mark_gives_no_ratio_but_a_reason():
    found = constructed_ratio(False, log10_p=-0.1, log10_e=-2.0)
    assert isinstance(found, Absent)
    assert "absence of a mark" in found.reason


def test_by_construction_the_ratio_is_the_ratio_of_two_likelihoods_by_enumeration():
    """Truth by summation: 20 agreements of 32 with chance 1/16, under shares spread evenly, against the binomial law."""
    coincidences = Coincidences(count=20, opportunities=32, chance=1 / 16)
    found = constructed_ratio(True, log10_p=log10_upper_tail(coincidences), log10_e=log10_e_value(coincidences))
    assert isinstance(found, LikelihoodRatio)
    shares = (np.arange(20_000) + 0.5) / 20_000
    mixed = float(np.mean(binom.pmf(20, 32, 1 / 16 + shares * 15 / 16)))
    assert found.log10_value == pytest.approx(math.log10(mixed / binom.pmf(20, 32, 1 / 16)), abs=2e-3)
    assert found.log10_value <= math.log10(found.cap.value)


@given(st.floats(-1e5, 0.0), st.floats(0.0, 1.0))
def test_by_construction_the_ratio_stays_below_one_over_p(log10_p, share):
    found = constructed_ratio(True, log10_p=log10_p, log10_e=-log10_p * share)
    assert isinstance(found, LikelihoodRatio)
    assert found.log10_value <= math.log10(found.cap.value) + 1e-3
    assert found.log10_low == found.log10_value == found.log10_high <= -log10_p * share * (1 + 1e-6) + 1e-9
    assert canonical(found)


def test_by_construction_counts_of_models_are_refused():
    with pytest.raises(ValueError, match="by construction"):
        likelihood_ratio(True, counts(), null=Null.CONSTRUCTION, log10_p=-9.0)
    with pytest.raises(ValueError, match="one outcome"):
        constructed_ratio(True, log10_p=-3.0, log10_e=3.5)


@pytest.mark.parametrize("detected", [True, False])
def test_without_strangers_there_is_no_ratio_but_a_reason(detected):
    found = likelihood_ratio(detected, counts(strangers=(0, 0)), null=Null.MODEL, log10_p=-300.0)
    assert isinstance(found, Absent)
    assert "no stranger lineage" in found.reason


@given(
    st.booleans(),
    st.sampled_from([null for null in Null if null is not Null.CONSTRUCTION]),
    st.floats(-1e5, 0.0),
    st.integers(1, 60),
    st.integers(1, 60),
    st.data(),
)
def test_ratio_stays_in_its_interval_and_caps_and_grows_with_power(detected, null, log10_p, relatives, strangers, data):
    found_relatives = data.draw(st.integers(0, relatives - 1))
    found_strangers = data.draw(st.integers(0, strangers))
    exceeding = data.draw(st.integers(0, strangers))

    def with_relatives(found: int) -> LikelihoodRatio:
        return ratio(
            detected,
            null,
            log10_p,
            relatives=(found, relatives),
            strangers=(found_strangers, strangers),
            exceeding=exceeding,
        )

    here = with_relatives(found_relatives)
    assert here.log10_low <= here.log10_value <= here.log10_high
    bound = math.log10(here.cap.value)
    if detected:
        assert here.log10_high <= bound + 1e-9
    else:
        assert here.log10_low >= bound - 1e-3 - 1e-9
    more = with_relatives(found_relatives + 1)
    assert more.log10_value >= here.log10_value if detected else more.log10_value <= here.log10_value
    assert round(here.log10_value, 3) == here.log10_value
    assert canonical(here)


def test_what_is_no_count_and_no_p_is_refused():
    with pytest.raises(ValueError, match="no count"):
        counts(relatives=(3, 2))
    with pytest.raises(ValueError, match="log10_p"):
        likelihood_ratio(True, counts(), null=Null.MODEL, log10_p=0.5)
