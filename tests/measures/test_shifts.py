"""Shifts between two models that read the same: weights by hand, the rules of what counts, and what a key says against plain readings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.errors import UsageError
from filiation.measures.radioactivity import (
    BLOCK,
    Likeliest,
    PlaceWeights,
    alone,
    in_lists,
    shift,
    weighed_windows,
    with_numbers,
)
from filiation.measures.watermarks import (
    GreenListKey,
    GumbelKey,
    SynthIDKey,
    VllmGumbelKey,
    green_reading,
    uniforms,
    vllm_uniforms,
)

KEY = GumbelKey(secret="5a" * 32, context_width=2)
LISTS = GreenListKey(vocabulary=64, hashing_key=15_485_867, greenlist_ratio=0.25)


def found(*places: dict[int, float]) -> Likeliest:
    """Tokens and probabilities at each place."""
    most = max(map(len, places), default=1) or 1
    tokens, values = np.full((len(places), most), -1), np.full((len(places), most), -np.inf)
    for at, place in enumerate(places):
        tokens[at, : len(place)] = list(place)
        values[at, : len(place)] = np.log(list(place.values()))
    return Likeliest(tokens, values)


def by_token(weights: PlaceWeights, place: int = 0) -> dict[int, float]:
    pairs = zip(weights.tokens[place].tolist(), weights.weights[place].tolist(), strict=True)
    return {token: round(weight, 9) for token, weight in pairs if weight}


def test_of_a_token_that_both_recorded_the_roots_are_subtracted() -> None:
    told = shift(found({3: 0.64, 4: 0.25}), found({4: 0.36, 3: 0.49}))
    assert by_token(told) == {3: 0.1, 4: -0.1}


def test_what_one_did_not_record_is_taken_as_the_most_that_it_can_be() -> None:
    told = shift(found({3: 0.64, 4: 0.25}), found({3: 0.64, 5: 0.09}))
    assert by_token(told) == {4: 0.2}, "5 has at most .25 with the suspect: whether it fell or rose is not known"
    assert by_token(shift(found({3: 0.81, 4: 0.01}), found({3: 0.81, 5: 0.16}))) == {5: -0.3}


def test_places_of_which_one_says_nothing_weigh_nothing() -> None:
    assert by_token(shift(found({}, {1: 0.5}), found({1: 0.5}, {})), 0) == {}
    assert by_token(shift(found({}, {1: 0.5}), found({1: 0.5}, {})), 1) == {}


def test_long_texts_are_compared_in_blocks_as_in_one() -> None:
    rng = np.random.default_rng(3)
    both = [
        Likeliest(np.argsort(rng.random((BLOCK + 9, 12)))[:, :4], np.log(rng.random((BLOCK + 9, 4)))) for _ in range(2)
    ]
    whole = shift(*both)
    one = shift(*(Likeliest(each.tokens[-1:], each.values[-1:]) for each in both))
    assert by_token(whole, -1) == by_token(one)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_weights_lie_between_one_and_minus_one_and_turn_with_the_roles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    suspect, companion = (
        Likeliest(np.argsort(rng.random((3, 9)))[:, :5], np.log(rng.dirichlet(np.ones(5), 3))) for _ in range(2)
    )
    there, back = shift(suspect, companion), shift(companion, suspect)
    assert np.abs(there.weights).max() <= 1.0
    for place in range(3):
        assert by_token(back, place) == {token: -weight for token, weight in by_token(there, place).items()}


def constant(texts: list[list[int]], token: int, weight: float = 0.5) -> list[PlaceWeights]:
    return [PlaceWeights(np.full((len(text), 1), token), np.full((len(text), 1), weight)) for text in texts]


def test_all_places_of_a_context_add_up_and_where_text_may_be_marked_the_first_counts() -> None:
    texts = [[1, 2, 3, 1, 2], [1, 2, 4]]
    plain = weighed_windows(texts, constant(texts, 9), KEY, read_was_marked=False)
    first = weighed_windows(texts, constant(texts, 9), KEY, read_was_marked=True)
    told = [
        {tuple(each.contexts[at].tolist()): weight for at, weight in zip(each.context, each.weights, strict=True)}
        for each in (plain, first)
    ]
    assert told[0] == {(1, 2): 1.5, (2, 3): 0.5, (3, 1): 0.5, (2, 4): 0.5}
    assert told[1] == {(1, 2): 0.5, (2, 3): 0.5, (3, 1): 0.5, (2, 4): 0.5}
    assert first.contexts.tolist() == [[1, 2], [2, 3], [3, 1], [2, 4]]
    assert (plain.follows, first.follows) == (False, True)


def test_weights_after_the_context_that_they_belong_to() -> None:
    told = PlaceWeights(np.array([[7], [8], [9]]), np.array([[0.1], [0.2], [0.3]]))
    weighed = weighed_windows([[1, 2, 3]], [told], KEY, read_was_marked=False)
    assert weighed.contexts[weighed.context].tolist() == [[1, 2], [2, 3]]
    assert (weighed.tokens.tolist(), weighed.weights.tolist()) == ([8, 9], [0.2, 0.3])


def test_lists_are_those_of_the_plain_reading() -> None:
    rng = np.random.default_rng(4)
    texts = [rng.integers(64, size=80).tolist() for _ in range(4)]
    likely = [
        PlaceWeights(np.argsort(rng.random((80, 64)))[:, :6], np.where(rng.random((80, 6)) < 0.8, 1.0, 0.0))
        for _ in texts
    ]
    weighed = weighed_windows(texts, likely, LISTS, read_was_marked=True)
    windows = np.concatenate([weighed.contexts[weighed.context], weighed.tokens[:, None]], axis=1)
    listed, plain = in_lists(weighed, LISTS), green_reading(windows, LISTS)
    assert int(listed.green.sum()) == plain.count
    assert sorted(np.unique(listed.lists, return_counts=True)[1].tolist()) == sorted(plain.sizes)
    assert len(windows) - len(listed.green) == plain.set_aside


def test_numbers_are_those_of_the_scheme() -> None:
    texts = [[1, 2, 3, 4]]
    weighed = weighed_windows(texts, constant(texts, 9), KEY, read_was_marked=False)
    windows = np.array([[1, 2, 9], [2, 3, 9], [3, 4, 9]])
    assert with_numbers(weighed, KEY).tolist() == uniforms(windows, KEY).tolist()
    vllm = VllmGumbelKey(key=77, context_width=2)
    assert with_numbers(weighed, vllm).tolist() == vllm_uniforms(windows, vllm).tolist()


def test_tokens_beyond_the_lists_are_left_out() -> None:
    texts = [[1, 70, 3, 4]]
    weighed = weighed_windows(texts, constant(texts, 9), LISTS, read_was_marked=False)
    assert weighed.contexts[weighed.context].tolist() == [[1], [3], [4]]
    assert not len(weighed_windows(texts, constant(texts, 64), LISTS, read_was_marked=False).weights)


def test_nothing_read_weighs_nothing() -> None:
    weighed = weighed_windows([[1]], constant([[1]], 9), KEY, read_was_marked=True)
    assert (len(weighed.contexts), len(weighed.weights)) == (0, 0)


@pytest.mark.parametrize(
    "key",
    [
        SynthIDKey(keys=(1, 2), ngram_len=3),
        GreenListKey(vocabulary=64, hashing_key=3, seeding_scheme="selfhash", context_width=3),
    ],
)
def test_schemes_whose_contexts_are_not_independent_are_refused(key: SynthIDKey) -> None:
    with pytest.raises(UsageError, match="no law"):
        weighed_windows([[1, 2, 3]], constant([[1, 2, 3]], 9), key, read_was_marked=False)


def test_a_model_by_itself_weighs_by_its_roots() -> None:
    assert by_token(alone(found({3: 0.64, 4: 0.25}))) == {3: 0.8, 4: 0.5}
    assert math.isclose(float(alone(found({3: 1.0})).weights[0, 0]), 1.0)
