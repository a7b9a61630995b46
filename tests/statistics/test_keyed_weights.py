"""Keyed sums: bounds against all keys of small worlds, against integrals and simulation, and against keys that were read before."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom

from filiation.statistics.keyed_weights import ShiftScore, score_of_lists, score_of_numbers

VOCABULARY = 5
LISTS = np.repeat(np.arange(2), VOCABULARY)
weights_of_two_lists = st.lists(st.floats(-1.0, 1.0), min_size=10, max_size=10).map(np.array)


def under_every_key(weights: np.ndarray, size: int, *, follows: bool) -> list[ShiftScore]:
    """The score of two lists of five tokens under each of their green lists, all as likely."""
    scores = []
    for pair in product(combinations(range(VOCABULARY), size), repeat=2):
        green = np.array([token in chosen for chosen in pair for token in range(VOCABULARY)])
        told = {"list_size": size, "vocabulary": VOCABULARY}
        scores.append(score_of_lists(LISTS, weights, green, **told, follows=follows))
    return scores


@settings(max_examples=40, deadline=None)
@given(weights_of_two_lists, st.integers(1, 4), st.booleans())
def test_of_all_keys_no_more_have_a_p_than_it_says(weights: np.ndarray, size: int, follows: bool) -> None:
    p = np.sort([10.0 ** score.log10_p(math.inf) for score in under_every_key(weights, size, follows=follows)])
    assert (np.arange(1, len(p) + 1) / len(p) <= p * (1 + 1e-4) + 1e-9).all()


@settings(max_examples=40, deadline=None)
@given(weights_of_two_lists, st.integers(1, 4), st.booleans())
def test_over_all_keys_the_e_value_has_a_mean_of_one_at_most(weights: np.ndarray, size: int, follows: bool) -> None:
    e = [10.0 ** score.log10_e(math.inf) for score in under_every_key(weights, size, follows=follows)]
    assert np.mean(e) <= 1.0 + 1e-5


@settings(max_examples=20, deadline=None)
@given(weights_of_two_lists)
def test_excess_and_variance_are_those_of_all_keys(weights: np.ndarray) -> None:
    scores = under_every_key(weights, 2, follows=False)
    excesses = np.array([score.excess for score in scores]) / 1e6
    assert excesses.mean() == pytest.approx(0.0, abs=2e-6)
    assert excesses.var() == pytest.approx(scores[0].variance / 1e6, abs=5e-6)


@pytest.mark.parametrize("rule", [lambda green: 1.0 if green else -1.0, lambda green: -1.0 if green else 0.1])
def test_weights_that_follow_what_the_key_said_before_win_nothing(rule: object) -> None:
    """The second list's weights depend on whether the first token of the first list was green, as a reader of marked text's may."""
    total = []
    for one, two in product(combinations(range(VOCABULARY), 2), repeat=2):
        first = np.array([0.6, -0.2, 0.0, 0.1, 0.4])
        second = np.array([0.5, -0.5, 0.9, 0.0, -0.3]) * rule(0 in one)  # type: ignore[operator]
        green = np.array([token in chosen for chosen in (one, two) for token in range(VOCABULARY)])
        score = score_of_lists(
            LISTS, np.concatenate([first, second]), green, list_size=2, vocabulary=VOCABULARY, follows=True
        )
        total.append(10.0 ** score.log10_e(math.inf))
        assert score.log10_p(math.inf) == pytest.approx(min(0.0, -score.log10_e(math.inf)))
    assert np.mean(total) <= 1.0 + 1e-5


@pytest.mark.parametrize("weight", [0.8, -0.8, 0.05])
def test_the_moment_of_a_number_is_its_integral(weight: float) -> None:
    score = score_of_numbers(1, np.array([weight]), np.array([0.5]), follows=True)
    for billionths, millionths in score.bets:
        tilt = billionths * 1e-9
        exact = quad(lambda x: math.exp(tilt * weight * (x - 1.0) - x), 0.0, np.inf)[0]  # noqa: B023
        assert math.log(exact) == pytest.approx(millionths * 1e-6, abs=2e-6)
        assert millionths * 1e-6 >= math.log(exact) - 1e-9


@pytest.mark.parametrize("weight", [0.7, -0.7, -3.0])
def test_numbers_of_24_bits_stay_below_their_moment(weight: float) -> None:
    """All 2^24 of them, as vLLM has them."""
    numbers = ((np.arange(2**24) + 1.0) / (2.0**24 + 1.0)).astype(np.float32).astype(np.float64)
    score = score_of_numbers(1, np.array([weight]), np.array([0.5]), coarse=True, follows=False)
    for billionths, millionths in score.bets[::6]:
        moment = np.exp(billionths * 1e-9 * weight * (-np.log1p(-numbers) - 1.0)).mean()
        assert math.log(moment) <= millionths * 1e-6


@pytest.mark.parametrize("follows", [False, True])
def test_simulated_numbers_keep_the_promise_and_bets_return_one_at_most(follows: bool) -> None:
    rng = np.random.default_rng(5)
    weights = rng.uniform(-1.0, 1.0, 60)
    scores = [score_of_numbers(60, weights, rng.random(60), follows=follows) for _ in range(2000)]
    p = np.array([score.log10_p(math.inf) for score in scores])
    for level in (0.1, 0.01, 0.001):
        assert binom.sf(int((p <= math.log10(level)).sum()) - 1, len(p), level) > 1e-4
    e = np.array([10.0 ** score.log10_e(math.inf) for score in scores])
    assert e.mean() <= 1.0 + 4.0 * e.std() / math.sqrt(len(e))


def test_what_the_key_prefers_is_found_and_the_bound_is_near_the_normal_tail() -> None:
    rng = np.random.default_rng(6)
    lists, weights = np.repeat(np.arange(400), 20), rng.normal(0.0, 0.1, 8000)
    green = rng.random(8000) < 0.25 + 0.6 * np.clip(weights, 0.0, None)
    score = score_of_lists(lists, weights, green, list_size=250, vocabulary=1000, follows=False)
    exponent = score.deviations**2 / 2.0 / math.log(10.0)
    assert score.deviations > 5.0
    assert -exponent < score.log10_p(math.inf) < -0.6 * exponent
    assert -score.log10_p(math.inf) - 2.0 < score.log10_e(math.inf) <= -score.log10_p(math.inf)
    assert score.log10_p(4.0) == -4.0
    assert score.log10_e(3.0) == 3.0


def test_nothing_weighed_says_nothing() -> None:
    nothing = np.empty(0)
    score = score_of_lists(
        nothing.astype(np.int64), nothing, nothing.astype(bool), list_size=2, vocabulary=5, follows=False
    )
    assert (score.log10_p(9.0), score.log10_e(9.0), score.deviations) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="no list"):
        score_of_lists(LISTS, np.ones(10), np.ones(10, dtype=bool), list_size=5, vocabulary=5, follows=False)
    with pytest.raises(ValueError, match="between -1 and 1"):
        score_of_numbers(1, np.array([1.5]), np.array([0.5]), follows=True)
