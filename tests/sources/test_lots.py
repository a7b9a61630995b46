"""Lots that fall alike everywhere: values worked out once, and what must hold of any stream."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.sources.lots import Lots, rank

GOLDEN_ORDER = list("fghdaceb")
"""`Lots('golden', 7).shuffled('abcdefgh')`, written down when the stream was made."""


def test_the_first_bytes_are_those_of_sha256() -> None:
    """Truth from hashlib: block 0 of the stream named ('a', 1)."""
    block = hashlib.sha256(b"filiation lots\x001:a1:1\x000").digest()
    lots = Lots("a", 1)
    assert [lots.below(256) for _ in range(8)] == list(block[:8])


def test_the_same_lots_on_every_machine() -> None:
    """A change here breaks every plan that fixed a seed."""
    assert Lots("golden", 7).shuffled(list("abcdefgh")) == GOLDEN_ORDER
    assert rank("a", "bc") != rank("ab", "c")


def test_names_of_different_parts_are_different_streams() -> None:
    assert Lots("a", "bc").below(2**60) != Lots("ab", "c").below(2**60)


@given(st.integers(1, 10**12), st.text(max_size=5))
def test_lots_lie_below_their_limit(limit: int, name: str) -> None:
    assert 0 <= Lots(name).below(limit) < limit


def test_every_number_is_about_equally_likely() -> None:
    """3 does not divide 256: without rejection the first number would come too often."""
    lots = Lots("fair")
    counts = Counter(lots.below(3) for _ in range(6000))
    assert all(1850 < counts[number] < 2150 for number in range(3))


@given(st.lists(st.integers(), max_size=20, unique=True), st.integers(0, 50))
def test_a_shuffle_loses_nothing(things: list[int], seed: int) -> None:
    assert sorted(Lots(seed).shuffled(things)) == sorted(things)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="below 0"):
        Lots("x").below(0)
    with pytest.raises(ValueError, match="cannot be drawn"):
        Lots("x").sample([1, 2], 3)
