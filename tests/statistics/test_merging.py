"""Merging and multiplicity: against published procedures, bounds by property, error rates by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from filiation.statistics.merging import bonferroni, e_bh, holm, merge_log10_e, weighted_bonferroni

log10_p_lists = st.lists(st.floats(-1e5, 0.0), min_size=1, max_size=12)
log10_e_lists = st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=12)


def weights_for(values: list[float], seed: int) -> list[float]:
    return np.random.default_rng(seed).dirichlet(np.ones(len(values))).tolist()


@given(log10_e_lists, st.integers(0, 1000))
def test_merged_e_lies_between_its_parts_and_above_each_weighted_part(values, seed):
    weights = weights_for(values, seed)
    merged = merge_log10_e(values, weights)
    assert min(values) - 1e-6 <= merged <= max(values)
    for value, weight in zip(values, weights, strict=True):
        if weight > 0:
            assert merged >= value + math.log10(weight) - 1e-6


def test_merged_e_is_the_arithmetic_mean_by_theory():
    assert merge_log10_e([0.0, 2.0], [0.5, 0.5]) == pytest.approx(math.log10(50.5))
    assert merge_log10_e([0.0, 2.0], [0.9, 0.1]) == pytest.approx(math.log10(10.9))
    assert merge_log10_e([5e4, -5e4], [0.25, 0.75]) == pytest.approx(5e4 + math.log10(0.25))
    assert merge_log10_e([3.0, -math.pi], [1.0, 0.0]) == pytest.approx(3.0)


def test_the_same_e_twice_is_no_more_evidence():
    assert merge_log10_e([7.5, 7.5], [0.3, 0.7]) == pytest.approx(7.5)


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        ([], []),
        ([1.0], [0.9]),
        ([1.0, 2.0], [1.0]),
        ([1.0, 2.0], [1.5, -0.5]),
        ([math.inf], [1.0]),
        ([math.nan], [1.0]),
        ([1.0], [math.nan]),
    ],
)
def test_merging_nothing_or_with_bad_weights_raises(values, weights):
    with pytest.raises(ValueError, match=r"nothing|weights|finite"):
        merge_log10_e(values, weights)


def test_holm_against_published_reference():
    # Holm (1979) by hand for p = .01, .04, .03, .005: 4 * .005, 3 * .01, 2 * .03, then no smaller than the one before.
    adjusted = holm([math.log10(p) for p in (0.01, 0.04, 0.03, 0.005)])
    assert [10**p for p in adjusted] == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(log10_p_lists)
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(values):
    adjusted = holm(values)
    for p, after in zip(values, adjusted, strict=True):
        assert p <= after <= min(0.0, p + math.log10(len(values))) + 1e-12
    by_p = sorted(zip(values, adjusted, strict=True))
    assert [after for _, after in by_p] == sorted(adjusted)
    assert min(adjusted) == pytest.approx(bonferroni(min(values), math.log10(len(values))))


@given(log10_p_lists, st.integers(0, 11), st.floats(0.0, 5.0))
def test_holm_of_a_smaller_p_is_nowhere_larger(values, which, less):
    smaller = list(values)
    smaller[which % len(values)] -= less
    assert all(b <= a + 1e-9 for a, b in zip(holm(values), holm(smaller), strict=True))


def test_bonferroni_pays_by_the_number_searched():
    assert bonferroni(-12.0, 3.0) == -9.0
    assert bonferroni(-2.0, 3.0) == 0.0
    assert bonferroni(-2.0, 0.0) == -2.0
    with pytest.raises(ValueError, match="choices"):
        bonferroni(-2.0, -1.0)
    with pytest.raises(ValueError, match="exceed 0"):
        bonferroni(0.5, 1.0)


def test_weighted_bonferroni_by_theory():
    assert weighted_bonferroni([-6.0, -5.0], [0.01, 0.99]) == pytest.approx(-5.0 - math.log10(0.99))
    assert weighted_bonferroni([-8.0, -1.0], [0.01, 0.99]) == pytest.approx(-6.0)
    assert weighted_bonferroni([-99.0, -1.0], [0.0, 1.0]) == -1.0
    assert weighted_bonferroni([-0.1, -0.1], [0.5, 0.5]) == 0.0
    with pytest.raises(ValueError, match="nothing"):
        weighted_bonferroni([], [])


@given(log10_p_lists)
def test_equal_weights_are_plain_bonferroni(values):
    equal = [1.0 / len(values)] * len(values)
    assert weighted_bonferroni(values, equal) == pytest.approx(
        bonferroni(min(values), math.log10(len(values))), abs=1e-9
    )


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.99])
def test_searches_err_no_more_often_than_promised_under_dependence_by_simulation(correlation):
    rng = np.random.default_rng(8)
    runs, searched, weights = 6000, 5, [0.5, 0.2, 0.1, 0.1, 0.1]
    shared = rng.standard_normal((runs, 1))
    own = rng.standard_normal((runs, searched))
    log10_p = norm.logsf(math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own) / math.log(10)
    level = math.log10(0.05)
    allowed = 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)
    unpaid = np.mean(log10_p.min(axis=1) <= level)
    assert np.mean([min(holm(row)) <= level for row in log10_p.tolist()]) <= allowed
    assert np.mean([weighted_bonferroni(row, weights) <= level for row in log10_p.tolist()]) <= allowed
    if correlation < 0.9:
        assert unpaid > 0.1  # and without paying the promise is broken


def test_e_bh_by_hand():
    # m = 4, alpha = 0.1: thresholds 40, 20, 13.3, 10 for the 1st to 4th largest.
    assert e_bh([math.log10(e) for e in (25.0, 1.0, 21.0, 15.0)], 0.1) == (0, 2, 3)
    assert e_bh([math.log10(e) for e in (25.0, 1.0, 15.0, 13.0)], 0.1) == ()
    assert e_bh([1.0], 0.1) == (0,)
    assert e_bh([0.99], 0.1) == ()
    with pytest.raises(ValueError, match="nothing"):
        e_bh([], 0.1)
    with pytest.raises(ValueError, match="alpha"):
        e_bh([1.0], 1.0)


@given(log10_e_lists, st.floats(0.01, 0.5), st.integers(0, 11), st.floats(0.0, 10.0))
def test_e_bh_rejects_the_largest_and_more_when_an_e_grows(values, alpha, which, more):
    rejected = e_bh(values, alpha)
    kept = set(range(len(values))) - set(rejected)
    assert all(values[i] >= values[j] for i in rejected for j in kept)
    grown = list(values)
    grown[which % len(values)] += more
    assert set(rejected) - {which % len(values)} <= set(e_bh(grown, alpha))
    beyond_doubt = 10.0 + math.log10((len(values) + 1) / alpha)
    assert len(values) in e_bh([*values, beyond_doubt], alpha)
    for index in rejected:
        assert values[index] >= math.log10(len(values) / (alpha * len(rejected))) - 1e-9


def test_e_bh_keeps_its_false_discovery_rate_under_dependence_by_simulation():
    rng = np.random.default_rng(9)
    runs, nulls, shift = 4000, 16, 3.0
    shared = rng.standard_normal((runs, 1))
    z = math.sqrt(0.5) * shared + math.sqrt(0.5) * rng.standard_normal((runs, 20))
    z[:, nulls:] += shift
    log10_e = (shift * z - shift**2 / 2) / math.log(10)
    shares, found = [], 0
    for row in log10_e.tolist():
        rejected = e_bh(row, 0.1)
        found += sum(index >= nulls for index in rejected)
        shares.append(sum(index < nulls for index in rejected) / max(1, len(rejected)))
    assert np.mean(shares) <= 0.1
    assert found > runs / 2
