"""Reading an output layer from log-probabilities. Truth: output layers and answers made here, so what is in whose span is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.evidence import Absent
from filiation.measures.output_subspace import (
    Membership,
    OutputLayer,
    ReadTwice,
    directions,
    hidden_size,
    principal_cosines,
    read_twice,
    residual_shares,
    rounding_share,
)

TOKENS, WIDTH, ANSWERS = 200, 20, 120


def layer(seed: int, width: int = WIDTH, offsets: int = 0) -> OutputLayer:
    rng = np.random.default_rng(seed)
    return OutputLayer(rows=rng.normal(size=(TOKENS, width)), offsets=rng.normal(size=(TOKENS, offsets)))


def answers(made_by: OutputLayer, seed: int = 5, number: int = ANSWERS) -> np.ndarray:
    """Log-probabilities after random hidden states: the constant of the softmax, and every offset once."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(number, made_by.rows.shape[1])) @ made_by.rows.T + made_by.offsets.sum(axis=1)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def listed(values: np.ndarray, number: int) -> np.ndarray:
    """Only the likeliest tokens of each answer."""
    kept = np.full_like(values, np.nan)
    best = np.argsort(-values, axis=1)[:, :number]
    np.put_along_axis(kept, best, np.take_along_axis(values, best, 1), 1)
    return kept


def read(one: OutputLayer, values: np.ndarray, seed: int = 0) -> ReadTwice:
    found = read_twice(one, values, np.random.default_rng(seed))
    assert isinstance(found, ReadTwice), found
    return found


# ---------------------------------------------------------------------------------------------------------- membership


@pytest.mark.parametrize("offsets", [0, 1, 2])
def test_answers_lie_in_the_span_of_the_layer_that_made_them(offsets: int) -> None:
    own = layer(1, offsets=offsets)
    held = residual_shares(own, answers(own))
    assert held.shares.max() < 1e-20
    assert set(held.constraints) == {TOKENS - WIDTH - offsets - 1}
    assert residual_shares(layer(2, offsets=offsets), answers(own)).shares.min() > 0.5


def test_a_layer_that_is_turned_or_stretched_is_the_same_layer() -> None:
    """The hidden state may be written in any basis: rotation of the residual stream, gains folded or not."""
    own = layer(1)
    mixed = OutputLayer(rows=own.rows @ np.random.default_rng(3).normal(size=(WIDTH, WIDTH)), offsets=own.offsets)
    assert residual_shares(mixed, answers(own)).shares.max() < 1e-18
    found = read(mixed, answers(own))
    assert found.count == found.opportunities


@pytest.mark.parametrize(("number", "constraints"), [(WIDTH, 0), (WIDTH + 1, 0), (WIDTH + 2, 1), (WIDTH + 40, 39)])
def test_k_log_probabilities_give_k_minus_d_minus_one_constraints(number: int, constraints: int) -> None:
    stranger = residual_shares(layer(2), listed(answers(layer(1)), number))
    assert set(stranger.constraints) == {constraints}
    assert np.all(stranger.shares == 1.0) if not constraints else np.all(stranger.shares > 0)
    own = residual_shares(layer(1), listed(answers(layer(1)), number))
    assert own.shares.max() < 1e-16 if constraints else np.all(own.shares == 1.0)


def test_a_fine_tuned_layer_lies_near_and_not_in() -> None:
    own = layer(1)
    moved = OutputLayer(rows=own.rows + 0.05 * layer(9).rows, offsets=own.offsets)
    shares = residual_shares(own, answers(moved)).shares
    assert 1e-4 < np.median(shares) < 1e-2
    assert principal_cosines(own, moved).min() > 0.99


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 11), ("bfloat16", 8)])
def test_what_rounding_leaves_is_of_the_size_that_is_said(dtype: str, bits: int) -> None:
    """Truth: logits rounded here to so many significant bits."""
    own = layer(1)
    logits = np.random.default_rng(5).normal(size=(ANSWERS, WIDTH)) @ own.rows.T
    step = 2.0 ** (np.floor(np.log2(np.abs(logits))) + 1 - bits)
    rounded = np.round(logits / step) * step
    values = rounded - np.log(np.exp(rounded).sum(axis=1, keepdims=True))
    measured = float(np.median(residual_shares(own, values).shares))
    assert measured < 4 * rounding_share(values, dtype) < 200 * measured


def test_decimals_of_a_record_add_to_rounding() -> None:
    own = layer(1)
    values = np.round(answers(own), 3)
    measured = float(np.median(residual_shares(own, values).shares))
    assert measured == pytest.approx(rounding_share(values, "float32", decimals=3), rel=0.3)


# ---------------------------------------------------------------------------------------------------------- read twice


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), offsets=st.integers(0, 2))
def test_every_direction_of_the_own_layer_meets_itself(seed: int, offsets: int) -> None:
    own = layer(seed, offsets=offsets)
    found = read(own, answers(own, seed + 1), seed)
    assert (found.count, found.opportunities) == (WIDTH // 2, WIDTH // 2)
    assert found.agreement == pytest.approx(1.0, abs=1e-6)


def test_directions_of_layers_without_anything_in_common_meet_themselves_about_once() -> None:
    """Truth: of a random assignment one in all stands in its place, whatever the number of directions."""
    counts = [read(layer(seed), answers(layer(seed + 500)), seed).count for seed in range(100)]
    assert 0.6 < np.mean(counts) < 1.5
    assert max(counts) <= WIDTH // 2 - 3


def test_what_all_models_share_is_left_out() -> None:
    """Truth: layers that share their four largest directions and nothing else."""
    common = np.random.default_rng(0).normal(size=(TOKENS, 4)) * 30
    one, other = (
        OutputLayer(rows=np.column_stack([common, layer(seed, WIDTH - 4).rows]), offsets=np.zeros((TOKENS, 0)))
        for seed in (1, 2)
    )
    assert read(one, answers(other) / 30).count <= 3


def test_answers_that_list_enough_tokens_do_and_others_are_declined() -> None:
    own = layer(1)
    found = read(own, listed(answers(own), 150))
    assert found.count == found.opportunities
    for values in (listed(answers(own), 40), answers(own, number=WIDTH)):
        declined = read_twice(own, values, np.random.default_rng(0))
        assert isinstance(declined, Absent)
        assert "are needed" in declined.reason


def test_the_lot_decides_nothing_about_the_own_layer_and_is_repeatable() -> None:
    own, moved = layer(1), layer(1)
    moved = OutputLayer(rows=moved.rows + 0.3 * layer(8).rows, offsets=moved.offsets)
    assert read(own, answers(moved), 3) == read(own, answers(moved), 3)
    assert {read(own, answers(own), seed).count for seed in range(5)} == {WIDTH // 2}


def test_directions_are_orthonormal_and_the_largest_first() -> None:
    own = layer(1, offsets=1)
    found = directions(own)
    assert np.allclose(found.T @ found, np.eye(WIDTH))
    assert np.abs(found.sum(axis=0)).max() < 1e-9  # the softmax's constant is out
    sizes = np.linalg.norm(found.T @ own.rows, axis=1)
    assert np.all(np.diff(sizes) < 1e-9)


# --------------------------------------------------------------------------------------------------------- hidden size


@pytest.mark.parametrize("width", [20, 37, 64])
@pytest.mark.parametrize("offsets", [0, 1])
def test_the_hidden_size_shows_from_outside(width: int, offsets: int) -> None:
    found = hidden_size(answers(layer(1, width, offsets), number=2 * width + 20))
    assert not isinstance(found, Absent), found
    assert found.value == width
    assert found.low <= width <= found.high


def test_a_norm_that_takes_the_mean_away_hides_one_dimension_and_the_interval_knows() -> None:
    rng = np.random.default_rng(2)
    states = rng.normal(size=(100, WIDTH))
    logits = (states - states.mean(axis=1, keepdims=True)) @ layer(1).rows.T
    found = hidden_size(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    assert not isinstance(found, Absent)
    assert (found.value, found.high) == (WIDTH - 1, WIDTH)


@pytest.mark.parametrize("number", [5, WIDTH - 4, WIDTH, WIDTH + 4])
def test_too_few_vectors_give_no_hidden_size(number: int) -> None:
    found = hidden_size(answers(layer(1), number=number))
    assert isinstance(found, Absent)
    assert "vectors" in found.reason


def test_coarsely_rounded_vectors_give_no_hidden_size() -> None:
    assert isinstance(hidden_size(np.round(answers(layer(1)) / 16) * 16), Absent)


def test_nothing_is_held_where_nothing_is_known() -> None:
    held = residual_shares(layer(1), np.full((3, TOKENS), np.nan))
    assert isinstance(held, Membership)
    assert list(held.constraints) == [0, 0, 0]
