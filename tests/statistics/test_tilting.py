"""Sums of independent counts: against plain convolution, and far below what floating point can hold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.statistics.tilting import Masses, Moments, effect_to_detect, log_bet, log_bound, sum_of_independent


@given(st.lists(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6), min_size=1, max_size=9))
def test_sum_against_plain_convolution(laws):
    plain = np.array([1.0])
    for law in laws:
        plain = np.convolve(plain, law)
    summed = sum_of_independent([Masses(0, np.array(law)) for law in laws])
    assert summed.first == 0
    assert summed.values == pytest.approx(plain, rel=1e-12)


def test_offsets_add_and_negligible_ends_are_dropped():
    first = Masses(5, np.array([0.0, 1e-60, 0.5, 0.5]))
    assert first.first == 7
    assert (first + Masses(-2, np.array([0.0, 1.0]))).first == 6
    assert len(first.values) == 2


@given(st.integers(-3, 12), st.floats(0.0, 50.0))
def test_tail_against_the_plain_sum(count, tilt):
    law = Masses(2, np.array([0.1, 0.2, 0.3, 0.4]))
    terms = [
        mass * math.exp(-tilt * (j - count)) for j, mass in zip(range(2, 6), law.values, strict=True) if j >= count
    ]
    if terms and sum(terms) > 0:
        assert law.log_upper_tail(count, tilt) == pytest.approx(math.log(sum(terms)), rel=1e-12, abs=1e-12)


# ------------------------------------------------------------------------------------------------------------ by moments


def coins(number: int) -> Moments:
    """The heads of so many fair coins less their mean."""
    return Moments(
        log_moment=lambda t: number * math.log(math.cosh(t / 2.0)),
        slope=lambda t: number / 2.0 * math.tanh(t / 2.0),
        variance=number / 4.0,
        largest=number / 2.0,
        log_largest=-number * math.log(2.0),
    )


@pytest.mark.parametrize("heads", [0, 15, 20, 29, 30])
def test_the_bound_is_that_of_relative_entropy(heads):
    """Chernoff (1952): the least bound for coins is exp(-n KL(share, 1/2))."""
    share = heads / 30
    expected = -sum(30 * q * math.log(2.0 * q) for q in (share, 1.0 - share) if q) if share > 0.5 else 0.0
    assert log_bound(coins(30), heads - 15.0) == pytest.approx(expected, rel=1e-9)


def test_bets_average_one_and_stay_below_the_bound():
    law = coins(30)
    returns = [log_bet(law, heads - 15.0) for heads in range(31)]
    assert sum(math.comb(30, k) / 2**30 * math.exp(each) for k, each in enumerate(returns)) == pytest.approx(1.0)
    assert all(each <= 1e-12 - log_bound(law, k - 15.0) for k, each in enumerate(returns))


def test_where_nothing_can_happen_nothing_is_won():
    assert log_bet(Moments(lambda _: 0.0, lambda _: 0.0, 0.0, 0.0, 0.0), 0.0) == 0.0


def test_the_effect_to_detect_reaches_the_threshold_with_some_to_spare():
    law = coins(200)
    effect = effect_to_detect(law, -6.0, 1.0 / 200)
    assert log_bound(law, effect * 100.0) < -6.0 * math.log(10.0)
    assert effect_to_detect(coins(19), -6.0, 1.0 / 19) == 1.0
