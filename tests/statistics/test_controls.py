"""What a control explains: against numpy's least squares, and what must not move the slope."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.statistics.controls import unexplained

NUMBERS = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12)


@given(st.integers(1, 30), st.integers(0, 1000))
def test_it_is_what_least_squares_leaves(size, seed):
    values, control = np.random.default_rng(seed).standard_normal((2, size))
    slope = np.linalg.lstsq(control[:, None], values, rcond=None)[0][0]
    assert unexplained(values, control) == pytest.approx(values - slope * control, abs=1e-9)


@given(NUMBERS, st.randoms(use_true_random=False))
def test_places_and_signs_do_not_move_it(values, random):
    own = np.array(values)
    control = np.roll(own, 1) + 0.5
    left = unexplained(own, control)
    order = list(range(len(own)))
    random.shuffle(order)
    signs = np.array([random.choice((-1.0, 1.0)) for _ in own])
    assert np.array_equal(unexplained(own[order], control[order]), left[order])
    assert np.array_equal(unexplained(signs * own, signs * control), signs * left)


def test_a_control_of_zeros_explains_nothing():
    assert unexplained(np.array([1.0, 2.0]), np.zeros(2)).tolist() == [1.0, 2.0]
