"""Shared text counted over answers whose common parts are known because they were put there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.measures.text_features import features_of
from filiation.measures.verbatim import (
    PASSAGE,
    identical_answers,
    longest_run,
    nothing_shared,
    passages,
    shared_texts,
    words_of,
)

LONG = " ".join(f"word{n}" for n in range(40))
OTHER = " ".join(f"other{n}" for n in range(40))
NOBODY = np.zeros((4, 4), dtype=np.bool_)


def counted(texts: list[str], related: np.ndarray = NOBODY) -> tuple[int, int]:
    """(rare, common) for models 0 and 1; model n gives texts[n] to one prompt."""
    found = features_of(texts, ["p"] * len(texts))
    shared = identical_answers(
        found.whole, found.words, np.arange(len(texts)), np.zeros(len(texts), dtype=np.intp), related
    )
    return int(shared.rare[0, 1]), int(shared.common[0, 1])


def test_a_long_answer_that_only_two_models_give_counts() -> None:
    assert counted([LONG, LONG, OTHER, OTHER + " x"]) == (1, 0)


def test_case_and_punctuation_do_not_count() -> None:
    assert counted([LONG, LONG.upper().replace(" ", ",  "), OTHER, OTHER]) == (1, 0)


def test_an_answer_that_an_unrelated_third_model_gives_does_not_count() -> None:
    assert counted([LONG, LONG, LONG, OTHER]) == (0, 1)


def test_a_third_model_related_to_one_of_the_two_does_not_make_it_common() -> None:
    related = NOBODY.copy()
    related[1, 2] = related[2, 1] = True
    assert counted([LONG, LONG, LONG, OTHER], related) == (1, 0)


@pytest.mark.parametrize("text", ["", "yes", " ".join(["one"] * 29)])
def test_short_answers_are_no_opportunity(text: str) -> None:
    assert counted([text, text, OTHER, OTHER]) == (0, 0)


def test_a_passage_inside_different_answers_is_found_once_per_prompt() -> None:
    middle = [f"m{n}" for n in range(PASSAGE + 20)]
    texts = [["a", *middle, "b"], ["c", "d", *middle], ["e"] * 80]
    found = shared_texts(passages(texts, [[]] * 3), np.arange(3), np.zeros(3, dtype=np.intp), NOBODY[:3, :3])
    assert found.rare.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_a_passage_that_stands_in_the_prompt_is_no_opportunity() -> None:
    asked = [f"m{n}" for n in range(PASSAGE + 20)]
    texts = [["a", *asked], ["b", *asked]]
    found = shared_texts(passages(texts, [asked] * 2), np.arange(2), np.zeros(2, dtype=np.intp), NOBODY[:2, :2])
    assert found.rare.sum() == found.common.sum() == 0


def test_nothing_is_shared_where_nobody_answered() -> None:
    empty = passages([], [])
    none = np.zeros(0, dtype=np.intp)
    assert shared_texts(empty, none, none, NOBODY).rare.sum() == nothing_shared(4).rare.sum() == 0


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_the_longest_run_against_all_runs(first: list[int], second: list[int]) -> None:
    one, other = [str(n) for n in first], [str(n) for n in second]
    runs = {tuple(one[i:j]) for i in range(len(one)) for j in range(i + 1, len(one) + 1)}
    common = [r for r in runs if any(tuple(other[i : i + len(r)]) == r for i in range(len(other)))]
    assert longest_run(one, other) == max(map(len, common), default=0)


@given(st.permutations(range(4)), st.integers(0, 2**16))
def test_the_order_of_the_models_does_not_matter(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [[LONG, OTHER, LONG + " more", ""][at] for at in rng.integers(0, 4, size=4)]
    found = features_of(texts, ["p"] * 4)
    prompt = np.zeros(4, dtype=np.intp)
    plain = identical_answers(found.whole, found.words, np.arange(4), prompt, NOBODY)
    moved = identical_answers(found.whole[order], found.words[order], np.array(order), prompt, NOBODY)
    assert (plain.rare == moved.rare).all()
    assert (plain.rare == plain.rare.T).all()


def test_words_are_those_of_the_text_features() -> None:
    text = "“Don’t” — stop_it, 2nd time!\n\n# Heading"
    assert len(words_of(text)) == features_of([text], ["p"]).words[0]
