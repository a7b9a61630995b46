"""Overlap of rare phrases: worked out by hand, and what must hold of any answers."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from filiation.measures.rare_phrases import overlap_at, phrases, rarity, users_of, without_model_effects, words_of


def test_words_in_one_form() -> None:
    assert words_of("I’m SORRY…  no!") == ["i'm", "sorry", ".", ".", ".", "no", "!"]


def test_phrases_are_runs_of_words() -> None:
    assert len(phrases("a b c d", 3)) == 2
    assert phrases("a b", 3) == phrases("A  b", 3)
    assert phrases("", 3) == frozenset()
    assert phrases("a b c", 3) <= phrases("x a b c", 3)


def test_rarity_by_hand() -> None:
    """Five models: log 4/(1 + others) / log 4 gives 1, 1/2, 0.2075 and 0 for 0, 1, 2 and 3 others."""
    found = rarity(np.asarray([0.0, 1.0, 2.0, 3.0]), 5)
    assert np.allclose(found, [1.0, 0.5, math.log(4 / 3) / math.log(4), 0.0])
    assert rarity(np.asarray([0.0]), 2).tolist() == [1.0]


def test_overlap_by_hand() -> None:
    """Models 0 and 1 share phrase 1, which nobody else says, and 2, which everybody says; each has one more of its own."""
    said = [{"p": frozenset({1, 2, 3})}, {"p": frozenset({1, 2, 4})}, {"p": frozenset({2})}, {"q": frozenset({2})}]
    seen = overlap_at(said, "p", users_of(said, ["p", "q"]))
    assert seen.models == (0, 1, 2)
    assert math.isclose(seen.plain[0, 1], 2 / 4)
    assert math.isclose(seen.rare[0, 1], (1.0 + 0.0) / 4)
    assert seen.rare[0, 2] == 0.0


def test_a_formula_said_elsewhere_is_common() -> None:
    """The same answer to p, but in the second world two others say it to another prompt."""
    alone = [{"p": frozenset({1})}, {"p": frozenset({1})}, {"p": frozenset({7})}, {"p": frozenset({8})}]
    common = [*alone[:2], {"p": frozenset({7}), "q": frozenset({1})}, {"p": frozenset({8}), "q": frozenset({1})}]
    rare = [overlap_at(world, "p", users_of(world, ["p", "q"])).rare[0, 1] for world in (alone, common)]
    assert rare == [1.0, 0.0]


@given(
    st.lists(
        st.dictionaries(st.sampled_from("pqr"), st.frozensets(st.integers(0, 9), max_size=6)), min_size=2, max_size=7
    )
)
@settings(deadline=None)
def test_overlap_is_symmetric_and_a_share(said: list[dict[str, frozenset[int]]]) -> None:
    users = users_of(said, ["p", "q", "r"])
    for prompt in "pqr":
        seen = overlap_at(said, prompt, users)
        assert np.allclose(seen.rare, seen.rare.T)
        assert ((seen.rare >= 0) & (seen.rare <= seen.plain + 1e-12) & (seen.plain <= 1 + 1e-12)).all()


@given(arrays(np.float64, 6, elements=st.floats(-3, 3)), st.floats(-2, 2))
def test_additive_effects_leave_nothing(effects: np.ndarray, level: float) -> None:
    """Truth by construction: s = m + e_i + e_j, with effects that add up to nothing."""
    effects = effects - effects.mean()
    left = without_model_effects(level + effects[:, None] + effects[None, :])
    assert np.allclose(left, 0.0, atol=1e-9)


def test_the_order_of_the_models_does_not_count() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(7, 7))
    scores = scores + scores.T
    order = rng.permutation(7)
    assert np.allclose(
        without_model_effects(scores)[np.ix_(order, order)], without_model_effects(scores[np.ix_(order, order)])
    )
