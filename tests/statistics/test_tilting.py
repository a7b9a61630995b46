"""Sums of independent counts: against plain convolution, and far below what floating point can hold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.statistics.tilting import Masses, sum_of_independent


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
