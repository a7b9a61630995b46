"""What answers share with texts. Truth: counted by hand on a few words, and chance of a run of six words between strangers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.measures.overlap import LENGTH, SCALE, overlaps, said_in
from tests.marked.drawn import sentence

TEXTS = ["one two three four", "five six seven eight", "one two three nine"]


def test_the_weight_is_the_surprisal_of_the_words_that_are_shared() -> None:
    """Of 12 words, 'one', 'two', 'three' stand twice each, the others once."""
    said = said_in(["He said: five six seven, and went."], length=3)
    assert overlaps(TEXTS, said, 3) == [0, round(SCALE * 3 * math.log2(12)), 0]
    both = said_in(["two three four", "two three nine"], length=3)
    weight = round(SCALE * (2 * math.log2(6) + math.log2(12)))
    assert overlaps(TEXTS, both, 3) == [weight, 0, weight]


def test_a_phrase_of_two_texts_tells_neither_apart() -> None:
    assert overlaps(TEXTS, said_in(["one two three"], length=3), 3) == [0, 0, 0]


def test_what_was_asked_is_not_counted_as_said() -> None:
    said = said_in(["five six seven eight"], without=["Go on: five six seven"], length=3)
    assert overlaps(TEXTS, said, 3) == [0, round(SCALE * 3 * math.log2(12)), 0]  # 'six seven eight' alone


def test_case_and_typographic_quotes_make_no_difference() -> None:
    assert overlaps(["Don’t say that"], said_in(["don't SAY that"], length=3), 3)[0] > 0


def test_nothing_said_and_nothing_written() -> None:
    assert overlaps([], frozenset()) == []
    assert overlaps(["", "a b c"], said_in([""])) == [0, 0]


@given(st.permutations(range(6)))
def test_the_value_of_a_text_does_not_depend_on_how_the_texts_are_listed(order: list[int]) -> None:
    rng = np.random.default_rng(1)
    texts = [sentence(rng, 20) for _ in range(6)]
    said = said_in([texts[0][:80], texts[3]])
    found = overlaps(texts, said)
    assert overlaps([texts[at] for at in order], said) == [found[at] for at in order]


@pytest.mark.parametrize("seed", range(3))
def test_six_words_are_not_written_twice_by_chance(seed: int) -> None:
    """Three hundred texts against as many answers of a vocabulary of a few hundred words."""
    rng = np.random.default_rng(seed)
    assert LENGTH == 6
    assert not any(overlaps([sentence(rng, 40) for _ in range(300)], said_in(sentence(rng, 40) for _ in range(300))))
