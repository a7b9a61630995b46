"""The chance that a forged transcript passes: against enumeration, theory, and draws of the real kind."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.training_transcript.detection import executed_needed, log10_pass_chance
from filiation.training_transcript.drawing import from_verifier


@pytest.mark.parametrize(("segments", "forged", "executed"), [(6, 2, 3), (8, 1, 5), (7, 3, 3), (5, 5, 1), (9, 0, 4)])
def test_against_enumeration(segments: int, forged: int, executed: int) -> None:
    draws = list(itertools.combinations(range(segments), executed))
    missed = sum(min(draw, default=segments) >= forged for draw in draws)
    assert 10 ** log10_pass_chance(segments, forged, executed) == pytest.approx(missed / len(draws), abs=1e-12)


def test_one_forged_segment_passes_as_often_as_it_is_not_drawn() -> None:
    assert 10 ** log10_pass_chance(200, 1, 20) == pytest.approx(0.9)
    assert log10_pass_chance(200, 1, 200) == -math.inf


@given(st.integers(1, 300), st.data())
def test_the_fewest_that_suffice_suffice_and_one_fewer_do_not(segments: int, data: st.DataObject) -> None:
    forged = data.draw(st.integers(1, segments))
    chance = data.draw(st.sampled_from([0.5, 0.05, 1e-3, 1e-6]))
    needed = executed_needed(segments, forged, chance)
    assert log10_pass_chance(segments, forged, needed) <= math.log10(chance) + 1e-9
    assert log10_pass_chance(segments, forged, needed - 1) > math.log10(chance)


def test_draws_by_their_seeds_miss_as_often_as_the_law_says() -> None:
    """3,000 draws of 3 out of 20 segments, 4 of them forged; the standard error is .009."""
    missed = 0
    for number in range(3_000):
        drawn = from_verifier("ab" * 16, "cd" * 32, 20, 3, number.to_bytes(32, "big"))
        missed += not {2, 7, 11, 19} & set(drawn.segments)
    assert missed / 3_000 == pytest.approx(10 ** log10_pass_chance(20, 4, 3), abs=0.035)


@pytest.mark.parametrize(("segments", "forged", "executed"), [(5, 6, 1), (5, 1, 6), (5, -1, 1)])
def test_what_makes_no_sense_is_refused(segments: int, forged: int, executed: int) -> None:
    with pytest.raises(ValueError, match="do not go with"):
        log10_pass_chance(segments, forged, executed)
