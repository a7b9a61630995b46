"""The interval of a share against scipy's exact one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from filiation.statistics.intervals import share_interval


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_against_scipy(tally: tuple[int, int]) -> None:
    count, opportunities = tally
    exact = binomtest(count, opportunities).proportion_ci(0.95, method="exact")
    assert share_interval(count, opportunities) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_no_opportunities_say_nothing() -> None:
    assert share_interval(0, 0) == (0.0, 1.0)


def test_more_coincidences_than_opportunities_are_refused() -> None:
    with pytest.raises(ValueError, match="no count"):
        share_interval(3, 2)
