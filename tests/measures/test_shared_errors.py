"""The exact multiset against enumeration, what may not change the scores, and what simulated strangers and copies get."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from filiation.measures.shared_errors import (
    NOT_ANSWERED,
    RIGHT,
    WRONG,
    Packed,
    chance_of_sharing,
    choice_code,
    free_form_code,
    kinship,
    kinship_of,
    normalised,
    pack_bytes,
    position,
    position_preferences,
    same_recordings,
    shared,
    standardised_excess,
    unpack,
)
from tests.examiners.answering_models import codes_of

multisets = st.lists(st.integers(1, 3), min_size=1, max_size=4).filter(lambda counts: 2 <= sum(counts) <= 5)


def arrangements(counts: list[int]) -> NDArray[np.int64]:
    """Every way to hand the answers of a multiset to the models that erred, each as often as it arises."""
    answers = [WRONG + at for at, count in enumerate(counts) for _ in range(count)]
    return np.array(list(itertools.permutations(answers)), dtype=np.int64)


@given(multisets)
@settings(max_examples=60, deadline=None)
def test_chance_of_sharing_against_enumeration(counts: list[int]) -> None:
    all_of_them = arrangements(counts)
    models = sum(counts)
    rarity = {
        WRONG + at: -np.log(count * (count - 1) / (models * (models - 1)))
        for at, count in enumerate(counts)
        if count > 1
    }
    same = all_of_them[:, 0] == all_of_them[:, 1]
    weighed = np.array([rarity[row[0]] if equal else 0.0 for row, equal in zip(all_of_them, same, strict=True)])
    chance, mean, variance = chance_of_sharing(np.array(counts))
    assert chance == pytest.approx(same.mean())
    assert mean == pytest.approx(weighed.mean())
    assert variance == pytest.approx(weighed.var(), abs=1e-12)


@given(multisets, st.integers(0, 2), st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_pairs_of_one_item_against_enumeration(counts: list[int], right: int, silent: int) -> None:
    """Models that were right, or said nothing, take no part; excess is zero on average, with the stated variance."""
    columns = arrangements(counts)
    rest = np.tile([RIGHT] * right + [NOT_ANSWERED] * silent, (len(columns), 1)).astype(np.int64)
    found = [shared(np.concatenate([column, others])[:, None]) for column, others in zip(columns, rest, strict=True)]
    chance, _, variance = chance_of_sharing(np.array(counts))
    if not 1e-9 < chance < 1 - 1e-9:
        assert all(not each.both_wrong.any() and not each.excess.any() for each in found)
        return
    assert np.mean([each.same[0, 1] for each in found]) == pytest.approx(chance)
    assert all(each.expected[0, 1] == pytest.approx(chance) for each in found)
    excess = np.array([each.excess[0, 1] for each in found])
    assert excess.mean() == pytest.approx(0.0, abs=1e-9)
    assert excess.var() == pytest.approx(variance, abs=1e-9)
    assert all(each.variance[0, 1] == pytest.approx(variance) for each in found)
    if right + silent:
        assert not any(each.both_wrong[:, -1].any() for each in found)


def test_blocks_of_items_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = codes_of(np.random.default_rng(1), 10, 90)
    whole = shared(codes)
    monkeypatch.setattr("filiation.measures.shared_errors.BLOCK", 7)
    parts = shared(codes)
    assert all(
        np.allclose(getattr(whole, name), getattr(parts, name)) for name in ("same", "expected", "excess", "variance")
    )


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=8, deadline=None)
def test_order_of_models_and_items_and_names_of_answers_change_nothing(seed: int, choices: bool) -> None:
    rng = np.random.default_rng(seed)
    codes = codes_of(rng, 12, 60)
    scores = kinship(codes, choices=choices)
    assert np.array_equal(scores, scores.T)
    models, items = rng.permutation(12), rng.permutation(60)
    assert np.allclose(kinship(codes[models], choices=choices), scores[np.ix_(models, models)], atol=2e-4)
    assert np.allclose(kinship(codes[:, items], choices=choices), scores, atol=2e-4)
    # Positions are renamed throughout, free-form answers item by item.
    renamed = codes.copy()
    once = rng.permutation(9)
    for item in range(60):
        names = once if choices else 1000 * rng.permutation(9) + rng.integers(0, 1000)
        wrong = codes[:, item] >= WRONG
        renamed[wrong, item] = WRONG + names[codes[wrong, item] - WRONG]
    assert np.allclose(kinship(renamed, choices=choices), scores, atol=2e-4)


def place(scores: NDArray[np.float64]) -> float:
    """p of model 1 as suspect of model 0, every other model a lineage of its own."""
    return float((1 + (scores[0, 2:] >= scores[0, 1]).sum()) / (scores.shape[0] - 1))


@pytest.mark.parametrize("choices", [False, True])
def test_simulated_strangers_are_not_accused_more_often_than_promised(choices: bool) -> None:
    """Abilities differ widely, wrong answers are popular, and (choices) some models fall back to the first option."""
    rng = np.random.default_rng(5)
    worlds = 150
    p_values = []
    for _ in range(worlds):
        habits = dict.fromkeys(rng.choice(22, size=6, replace=False).tolist(), (0, 0.3)) if choices else None
        p_values.append(place(kinship(codes_of(rng, 22, 80, habits=habits), choices=choices)))
    for level in (1 / 21, 0.1, 0.25):
        hits = int((np.array(p_values) <= level + 1e-12).sum())
        assert binom.sf(hits - 1, worlds, level) > 1e-3, f"{hits} of {worlds} strangers at {level}"


def test_simulated_copies_are_found() -> None:
    rng = np.random.default_rng(6)
    found = [place(kinship(codes_of(rng, 22, 150, children={1: (0, 0.6)}), choices=False)) for _ in range(40)]
    assert np.mean(np.array(found) <= 1 / 21 + 1e-12) >= 0.95


def test_models_that_fall_back_to_one_option_stand_out_only_before_preferences_are_removed() -> None:
    rng = np.random.default_rng(7)
    before, after = [], []
    for _ in range(30):
        codes = codes_of(rng, 22, 300, habits={0: (0, 0.4), 1: (0, 0.4)})
        before.append(place(kinship_of(codes, shared(codes), choices=False)))
        after.append(place(kinship(codes, choices=True)))
    assert np.mean(np.array(before) <= 1 / 21 + 1e-12) > 0.5
    assert np.mean(np.array(after) <= 1 / 21 + 1e-12) < 0.2


def test_preferences_for_positions_add_up_to_nothing_where_all_choose_alike() -> None:
    codes = np.full((9, 40), WRONG + 3)
    assert not position_preferences(codes).any()
    assert not standardised_excess(shared(codes)).any()
    assert not kinship(codes, choices=True).any()


def test_too_few_models_have_no_scores() -> None:
    assert not kinship(codes_of(np.random.default_rng(2), 7, 50), choices=False).any()


# ------------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("answer", "gold", "compared"),
    [
        ("70minutes", "70", "70"),
        ("$1,200.50", "7", "1200.5"),
        ("12%", "12", "12"),
        ("6*5.50+9*11=162", "162", "162"),
        ("-25", "25", "-25"),
        ("600.0", "3", "600"),
        ("25√2/2", "25", "25√2/2"),
        ("1/2", "3", "1/2"),
        ("nosolution", "8", "nosolution"),
        ("___", "2", None),
        ("", "2", None),
        (None, "2", None),
        ("  [1, 2] ", "[2, 1]", "[1, 2]"),
        ("[]", "{}", "[]"),
        ("a  b", "ab", "a  b"),
        ("0", "-0.0", "0"),
    ],
)
def test_answers_are_compared_without_their_dress(answer: str | None, gold: str, compared: str | None) -> None:
    assert normalised(answer, gold) == compared


@pytest.mark.parametrize(
    ("answer", "at"),
    [("3", 3), (" C ", 2), ("c", None), ("", None), (None, None), ("-1", None), ("AB", None), ("٣", None)],
)
def test_options_are_positions_or_letters(answer: str | None, at: int | None) -> None:
    assert position(answer) == at


def test_codes_of_answers() -> None:
    assert choice_code("I", "3", 4) == NOT_ANSWERED, "a position outside the options was no choice"
    assert choice_code("D", "3", 4) == RIGHT
    assert choice_code("0", "D", 4) == WRONG
    assert free_form_code("70 minutes", "70.0", "p") == RIGHT
    assert free_form_code("71", "70", "p") == free_form_code("71.0 km", "70", "p") >= WRONG
    assert free_form_code("71", "70", "p") != free_form_code("71", "70", "q"), "hashes are salted by the prompt"
    assert free_form_code("...", "70", "p") == NOT_ANSWERED


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_has_a_code(answer: str, gold: str) -> None:
    assert free_form_code(answer, gold, "p") >= NOT_ANSWERED
    if answer.strip():
        assert free_form_code(answer, answer, "p") in (RIGHT, NOT_ANSWERED)


def test_one_recording_under_two_names_is_recognised() -> None:
    codes = codes_of(np.random.default_rng(3), 12, 200, children={7: (1, 0.99), 8: (1, 0.5)})
    assert same_recordings(codes) == ((1, 7),)


# --------------------------------------------------------------------------------------------------------------- packs


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=20, deadline=None)
def test_packs_survive_their_bytes(seed: int, large: bool) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**32 if large else 200, size=(4, 9))
    packed = Packed(codes, rng.integers(0, 11, size=9))
    again = unpack(pack_bytes(packed))
    assert np.array_equal(again.codes, packed.codes)
    assert np.array_equal(again.options, packed.options)
    assert pack_bytes(packed) == pack_bytes(packed)


def test_what_is_no_pack_is_refused() -> None:
    pickled = io.BytesIO()
    np.savez(pickled, codes=np.array([[object()]], dtype=object), options=np.zeros(1))
    for data in (
        b"",
        b"PK",
        b"not a pack",
        pickled.getvalue(),
        pack_bytes(Packed(np.zeros((2, 3), int), np.zeros(4, int))),
    ):
        with pytest.raises(ValueError, match=r"."):
            unpack(data)
