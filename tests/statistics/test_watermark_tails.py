"""Tails of watermark scores. Truth: enumeration, scipy where it has digits, mpmath where it has none, and simulation."""

from __future__ import annotations

import math
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gammainccinv
from scipy.stats import binom, gamma, hypergeom, kstest

from filiation.evidence import Coincidences
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.power import detectable_share
from filiation.statistics.watermark_tails import (
    SumScore,
    log10_green_e_value,
    log10_green_tail,
    log10_gumbel_e_value,
    log10_gumbel_tail,
    log10_layers_e_value,
    log10_layers_tail,
    log10_p_of,
    log10_resolution,
    no_larger_than_a_guess,
    no_smaller_than_a_guess,
    placebo_p_value,
    read_score,
    share_found,
)


def green_law(sizes: list[int], list_size: int, vocabulary: int) -> list[mpmath.mpf]:
    """The law of the count by convolution in 60 digits."""
    law = [mpmath.mpf(1)]
    with mpmath.workdps(60):
        for size in sizes:
            one = [
                mpmath.binomial(list_size, k)
                * mpmath.binomial(vocabulary - list_size, size - k)
                / mpmath.binomial(vocabulary, size)
                for k in range(size + 1)
            ]
            law = [
                mpmath.fsum(law[i] * one[k - i] for i in range(max(0, k - size), min(k, len(law) - 1) + 1))
                for k in range(len(law) + size)
            ]
    return law


# ---------------------------------------------------------------------------------------------------------- green list


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.integers(1, 11), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_green_tail_against_convolution_in_sixty_digits(sizes: list[int], list_size: int, count: int) -> None:
    law = green_law(sizes, list_size, 12)
    possible = sum(min(size, list_size) for size in sizes)
    count = min(count, possible)
    exact = mpmath.fsum(law[count:])
    assert log10_green_tail(count, sizes, list_size, 12) == pytest.approx(float(mpmath.log10(exact)), abs=1e-9)


def test_one_list_is_the_hypergeometric_law() -> None:
    for count in (1, 5, 9, 15):
        expected = math.log10(hypergeom.sf(count - 1, 256, 64, 20))
        assert log10_green_tail(count, [20], 64, 256) == pytest.approx(expected, abs=1e-10)


@given(st.integers(1, 400), st.integers(0, 400))
@settings(deadline=None, max_examples=60)
def test_with_one_opportunity_per_list_it_is_the_binomial_law(opportunities: int, count: int) -> None:
    count = min(count, opportunities)
    binomial = log10_upper_tail(Coincidences(count=count, opportunities=opportunities, chance=0.25))
    assert log10_green_tail(count, [1] * opportunities, 64, 256) == pytest.approx(binomial, rel=1e-9, abs=1e-12)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(2, 400))
@settings(deadline=None, max_examples=60)
def test_from_mean_plus_one_on_the_binomial_tail_is_the_larger_one(sizes: list[int], excess: int) -> None:
    total = sum(sizes)
    count = math.ceil(total * 0.25) + excess
    if count > sum(min(size, 25) for size in sizes):
        return
    binomial = log10_upper_tail(Coincidences(count=count, opportunities=total, chance=0.25))
    assert log10_green_tail(count, sizes, 25, 100) <= binomial + 1e-9


def test_a_tail_of_ten_to_the_minus_thousands_is_a_number() -> None:
    found = log10_green_tail(8000, [1] * 5000 + [7] * 900 + [50] * 100, 12288, 49152)
    assert -3000 < found < -500


def test_an_impossible_count_and_an_impossible_list_are_refused() -> None:
    with pytest.raises(ValueError, match="more than"):
        log10_green_tail(6, [10], 5, 20)
    with pytest.raises(ValueError, match="cannot judge"):
        log10_green_tail(1, [30], 5, 20)
    with pytest.raises(ValueError, match="no list"):
        log10_green_tail(1, [3], 20, 20)


def test_a_green_e_value_has_an_expectation_of_at_most_one() -> None:
    """Exact, over the law of drawing without replacement."""
    sizes = [4, 4, 6, 1, 1]
    law = green_law(sizes, 5, 15)
    mean = sum(float(mass) * 10 ** log10_green_e_value(k, sum(sizes), 5, 15) for k, mass in enumerate(law) if mass)
    assert mean <= 1.0 + 1e-12


# ------------------------------------------------------------------------------------------------------------- SynthID


@given(st.lists(st.integers(0, 9), min_size=2, max_size=6), st.integers(1, 4), st.integers(0, 40))
@settings(deadline=None, max_examples=60)
def test_layers_tail_against_trying_all_keys(every_key: list[int], layers: int, count: int) -> None:
    count = min(count, layers * max(every_key))
    sums = [sum(keys) for keys in product(every_key, repeat=layers)]
    exact = sum(total >= count for total in sums) / len(sums)
    assert log10_layers_tail(count, np.array(every_key), layers) == pytest.approx(math.log10(exact), abs=1e-9)


def test_layers_tail_far_out_is_the_binomial_one_for_a_binomial_law() -> None:
    """2^16 keys that give each count as often as fair coins would: then the convolution is a binomial law."""
    every_key = np.concatenate([np.full(math.comb(16, k), k) for k in range(17)])
    for count in (250, 300, 400, 470, 480):
        binomial = log10_upper_tail(Coincidences(count=count, opportunities=480, chance=0.5))
        assert log10_layers_tail(count, every_key, 30) == pytest.approx(binomial, rel=1e-9)


def test_a_layers_e_value_has_an_expectation_of_at_most_one() -> None:
    every_key = np.array([3, 5, 5, 6, 9, 2])
    sums = [sum(keys) for keys in product(every_key.tolist(), repeat=3)]
    assert np.mean([10 ** log10_layers_e_value(total, every_key, 3) for total in sums]) <= 1.0 + 1e-9


# -------------------------------------------------------------------------------------------------------------- Gumbel


@pytest.mark.parametrize("windows", [1, 2, 50, 1000, 20000])
@pytest.mark.parametrize("stretch", [0.5, 0.99, 1.01, 1.5, 5.0])
def test_gumbel_tail_against_forty_digits(windows: int, stretch: float) -> None:
    score = windows * stretch
    with mpmath.workdps(40):
        exact = mpmath.log10(mpmath.gammainc(windows, score, mpmath.inf, regularized=True))
    assert log10_gumbel_tail(score, windows) == pytest.approx(float(exact), rel=1e-9, abs=1e-12)


def test_gumbel_tail_where_double_precision_ends() -> None:
    assert gamma(100).sf(5000) == 0.0
    assert log10_gumbel_tail(5000, 100) == pytest.approx(-1961.2357, abs=1e-3)


@pytest.mark.parametrize(("score", "windows"), [(0.5, 3), (10.0, 20), (30.0, 20), (300.0, 20)])
def test_gumbel_e_value_against_the_integral(score: float, windows: int) -> None:
    exact = mpmath.quad(lambda rate: rate**windows * mpmath.exp((1 - rate) * score), [0, 0.05, 0.2, 1])
    assert log10_gumbel_e_value(score, windows) == pytest.approx(float(mpmath.log10(exact)), abs=1e-9)


def test_nothing_judged_is_no_evidence() -> None:
    assert log10_gumbel_tail(0.0, 0) == 0.0
    assert log10_gumbel_e_value(0.0, 0) == 0.0
    assert log10_green_tail(0, [], 5, 20) == 0.0
    assert log10_layers_tail(0, np.zeros(4, dtype=np.int64), 3) == 0.0


# -------------------------------------------------------------------------------------------- laws that are not used here


def test_a_mid_p_value_falls_below_a_level_too_often() -> None:
    """P(S > s) + P(S = s) / 2 over 30 opportunities at one in four: .0149 is printed or undercut with a chance of .0216."""
    counts = np.arange(31)
    at_least = binom.sf(counts - 1, 30, 0.25)
    mid = (at_least + binom.sf(counts, 30, 0.25)) / 2
    false_alarms = {level: float(at_least[mid <= level].max()) for level in mid[8:16]}
    assert max(alarm / level for level, alarm in false_alarms.items()) > 1.3
    assert all(float(at_least[at_least <= level].max()) <= level for level in false_alarms)


@pytest.mark.parametrize(("windows", "least"), [(50, 3.3), (200, 2.0)])
def test_a_gamma_law_with_matched_moments_is_too_small_far_out(windows: int, least: float) -> None:
    """vLLM's `dual_key_gumbel`: 0.8 and 0.2 of two scores, held against a gamma law of their mean and variance.

    Where that law prints 10^-12 the sum's own law (integrated over the smaller part) says several times as much.
    """
    variance = 0.8**2 + 0.2**2
    score = float(gammainccinv(windows / variance, 1e-12)) * variance

    def density(second: float) -> float:
        return float(gamma(windows).pdf(second) * gamma(windows).sf((score - 0.2 * second) / 0.8))

    exact, _ = quad(density, 0, windows + 40 * math.sqrt(windows), points=[windows], limit=500)
    assert exact / 1e-12 > least


# ------------------------------------------------------------------------------------------------------------- placebos


def test_placebo_p_values_are_uniform_or_larger() -> None:
    """Scores that lean on the text as they like: the key and its placebos share the lean."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(2000):
        scores = rng.normal(size=20) * rng.exponential() + rng.normal() * 50
        found.append(placebo_p_value(float(scores[0]), scores[1:].tolist()))
    for level in (0.05, 0.1, 0.25, 0.5):
        assert np.mean(np.array(found) <= level) <= level + 3 * math.sqrt(level / 2000)


def test_a_placebo_p_is_never_zero_and_ties_count_against_the_claimant() -> None:
    assert placebo_p_value(5.0, [1.0] * 99) == 0.01
    assert placebo_p_value(5.0, [5.0] * 99) == 1.0
    with pytest.raises(ValueError):
        placebo_p_value(1.0, [])


def test_exponential_scores_have_uniform_tails() -> None:
    """Kolmogorov-Smirnov over 3000 simulated texts of 80 windows."""
    scores = np.random.default_rng(2).exponential(size=(3000, 80)).sum(axis=1)
    p = [10 ** log10_gumbel_tail(float(score), 80) for score in scores]
    assert kstest(p, "uniform").pvalue > 0.01


def test_simulated_green_lists_have_tails_that_are_uniform_or_larger() -> None:
    """60 contexts with one to six judged tokens each, lists of 25 of 100 drawn afresh."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 7, 60)
    counts = rng.hypergeometric(25, 75, np.broadcast_to(sizes, (4000, 60))).sum(axis=1)
    tails = {int(count): 10 ** log10_green_tail(int(count), sizes.tolist(), 25, 100) for count in np.unique(counts)}
    p = np.array([tails[int(count)] for count in counts])
    for level in (0.01, 0.05, 0.2, 0.5):
        assert np.mean(p <= level) <= level + 3 * math.sqrt(level / 4000)


def test_no_figure_goes_beyond_guessing_the_key() -> None:
    assert no_smaller_than_a_guess(-30.0, 9.63) == -9.63
    assert no_smaller_than_a_guess(-3.0, 9.63) == -3.0
    assert no_larger_than_a_guess(30.0, 9.63) == 9.63


# --------------------------------------------------------------------------------------------------- scores as recorded

LISTS = {"law": "lists", "count": 60, "sizes": [[1, 80], [3, 15]], "list_size": 25, "vocabulary": 100}
LAYERS = {"law": "layers", "count": 95, "windows": 12, "layers": 14, "keys": [[4, 200], [5, 400], [6, 500], [7, 300]]}
SUM = {"law": "sum", "count": 70, "windows": 100, "millionths": 160_123_456}


def test_recorded_scores_have_the_laws_of_their_plain_numbers() -> None:
    sizes = [1] * 80 + [3] * 15
    every_key = np.repeat([4, 5, 6, 7], [200, 400, 500, 300])
    assert log10_p_of(read_score(LISTS), 99.0) == log10_green_tail(60, sizes, 25, 100)
    assert log10_p_of(read_score(LAYERS), 99.0) == log10_layers_tail(95, every_key, 14)
    assert log10_p_of(read_score(SUM), 99.0) == log10_gumbel_tail(160.123456, 100)
    assert read_score(LISTS).expected == pytest.approx(125 * 0.25)
    assert read_score(LAYERS).expected == pytest.approx(14 * every_key.mean())
    assert read_score(LAYERS).chance == pytest.approx(every_key.mean() / 12)


@pytest.mark.parametrize("recorded", [LISTS, LAYERS, SUM], ids=["lists", "layers", "sum"])
def test_no_recorded_score_goes_beyond_guessing_the_key(recorded: dict[str, object]) -> None:
    score = read_score(recorded)
    assert log10_p_of(score, 2.0) == log10_resolution(score, 2.0) == -2.0
    assert log10_resolution(score, 99.0) <= log10_p_of(score, 99.0)


def test_numbers_that_are_no_score_are_refused() -> None:
    for wrong in ({}, LISTS | {"law": "guess"}, LISTS | {"more": 1}, {"law": "sum", "count": 1}):
        with pytest.raises(ValueError):
            read_score(wrong)


def test_one_opportunity_per_list_finds_the_binomial_share_or_asks_for_a_little_more() -> None:
    score = read_score(LISTS | {"sizes": [[1, 400]]})
    exact = detectable_share(400, 0.25, -6.0)
    assert isinstance(exact, float)
    assert exact <= share_found(score, -6.0) <= exact + 0.02


def test_a_share_that_is_found_is_found_as_often_as_promised() -> None:
    """Ones of layers: at the share that is promised, 95 % of simulated texts reach the threshold, or a few more."""
    score = read_score(LAYERS)
    share = share_found(score, -2.0)
    assert score.chance < share < 1.0
    counts = np.random.default_rng(4).binomial(score.opportunities, share, 4000)
    every_key = np.repeat([4, 5, 6, 7], [200, 400, 500, 300])
    found = [log10_layers_tail(min(int(count), 98), every_key, 14) <= -2.0 for count in counts]
    assert 0.94 <= np.mean(found) <= 0.99


def test_nothing_is_found_by_what_cannot_reach_the_threshold() -> None:
    assert share_found(read_score(LISTS | {"count": 1, "sizes": [[1, 4]]}), -6.0) == 1.0
    assert share_found(read_score(SUM | {"count": 1, "windows": 4}), -6.0) == 1.0


def test_a_mean_score_lies_in_its_interval_as_often_as_promised() -> None:
    rng = np.random.default_rng(5)
    inside = []
    for total in 1.3 * rng.gamma(50, size=1000):
        low, high = SumScore(count=0, windows=50, millionths=int(total * 1e6)).mean_interval()
        inside.append(low <= 1.3 <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.025)
