from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.errors import UsageError
from filiation.measures.representations import (
    Halves,
    by_halves,
    by_parts,
    chosen_pieces,
    common_places,
    heard,
    linear_cka,
    neutral_pieces,
    pieces_of,
    ready,
)
from filiation.sources.running import load_model
from studies.zoo import Zoo
from tests.measures.small_layers import random_rotation

seeds = st.integers(0, 2**32 - 1)
examples = settings(deadline=None, derandomize=True, max_examples=25)


def layer(units: int, places: int, rng: np.random.Generator) -> Halves:
    """Neurons of random numbers: nothing in one half of the text says anything of the other."""

    def rows() -> np.ndarray:
        return rng.normal(size=(units, places)).astype(np.float32)

    return Halves(gate=rows(), up=rows(), product=(rows(), rows()))


# --------------------------------------------------------------------------------------------------------------- pairing


@examples
@given(seed=seeds, units=st.integers(2, 30))
def test_renumbered_and_rescaled_neurons_all_find_their_partner_by_definition(seed: int, units: int) -> None:
    rng = np.random.default_rng(seed)
    one = layer(units, 60, rng)
    order, scale = rng.permutation(units), rng.choice([-3.0, 0.25, 7.0], (units, 1)).astype(np.float32)
    washed = Halves(
        gate=one.gate[order],
        up=scale * one.up[order],
        product=(scale * one.product[0][order], scale * one.product[1][order] + 5),
    )
    first, second = ready(one, rng), ready(washed, rng)
    assert by_parts(first, second, rng) == by_halves(first, second, rng) == units


def test_neurons_of_random_numbers_meet_as_often_as_fixed_points_of_a_permutation() -> None:
    rng = np.random.default_rng(3)
    counts = [
        by_parts(ready(layer(30, 40, rng), rng), ready(layer(30, 40, rng), rng), rng) for _ in range(60)
    ]  # one fixed point is expected in a uniform permutation, whatever its size
    assert 0.4 < np.mean(counts) < 1.8
    assert max(counts) <= 7


def test_strangers_with_one_function_agree_by_halves_and_not_by_parts() -> None:
    """The trap: what goes into the writing matrix is the same features in both, so two texts are no second opinion."""
    rng = np.random.default_rng(4)
    one, other = layer(40, 400, rng), layer(40, 400, rng)
    features = [rng.normal(size=(40, 400)).astype(np.float32) for _ in range(2)]
    alike = [
        Halves(gate=own.gate, up=own.up, product=tuple(f + 0.5 * p for f, p in zip(features, own.product, strict=True)))
        for own in (one, other)
    ]
    first, second = (ready(each, rng) for each in alike)
    assert by_halves(first, second, rng) == 40
    assert by_parts(first, second, rng) < 8


def test_neurons_that_never_move_and_duplicates_are_no_opportunities() -> None:
    rng = np.random.default_rng(5)
    whole = layer(20, 50, rng)
    whole.gate[3] = 0.7  # constant
    for part in (whole.gate, whole.up, *whole.product):
        part[7] = part[11]
    assert ready(whole, rng).neurons == 18


def test_an_ungated_layer_has_no_second_description() -> None:
    rng = np.random.default_rng(6)
    one = layer(5, 20, rng)
    with pytest.raises(ValueError, match="one description"):
        by_parts(one, Halves(gate=None, up=one.up, product=one.product), rng)


# -------------------------------------------------------------------------------------------------------------- the text


def test_common_places_are_where_both_have_read_equally_far() -> None:
    one, other = [1, 2, 3, 6, 7], [3, 6, 6, 7]  # two tokens end at character 6: the last one has read it all
    first, second = common_places(one, other)
    assert first.tolist() == [2, 3, 4]
    assert second.tolist() == [0, 2, 3]


def test_before_the_first_character_nothing_was_read() -> None:
    first, second = common_places([0, 0, 2], [0, 2])  # special tokens end where the text begins
    assert (first.tolist(), second.tolist()) == ([2], [1])


@examples
@given(ends=st.lists(st.integers(1, 300), unique=True, max_size=40).map(sorted))
def test_one_tokenizer_has_every_place_in_common(ends: list[int]) -> None:
    first, second = common_places(ends, ends)
    assert first.tolist() == second.tolist() == list(range(len(ends)))


def test_enough_pieces_are_chosen_and_no_more() -> None:
    ends = [[1, 2, 3]] * 10
    assert chosen_pieces(["abc"] * 10, ends, ends, 7) == 3
    assert chosen_pieces(["abc"] * 10, ends, ends, 1000) == 10


def test_the_neutral_text_is_the_seed_s_and_fits() -> None:
    pieces = neutral_pieces(128, np.random.default_rng(1))
    assert pieces == neutral_pieces(128, np.random.default_rng(1))
    assert pieces != neutral_pieces(128, np.random.default_rng(2))
    assert sum(map(len, pieces)) > 60_000
    assert all(piece.isascii() and 64 < len(piece) <= 128 for piece in pieces)
    assert pieces_of("a" * 300, 100) == ["a" * 100] * 3


# --------------------------------------------------------------------------------------------------------- real models


def test_activations_are_what_the_weights_make_of_the_states_before_them(zoo: Zoo) -> None:
    """The gate's output is its matrix times the normed residual stream: recomputed here from the stored files alone."""
    from studies.zoo.folders import read_folder

    model = load_model(zoo["base-a"])
    weights, config = read_folder(zoo["base-a"])
    text = "def reader(lines):"
    states = model.mlp_activations([text], [0], ["gate", "up", "product"])[0]
    gate, up, product = (states[part][0] for part in ("gate", "up", "product"))
    np.testing.assert_allclose(product, gate / (1 + np.exp(-gate)) * up, atol=1e-4)
    before = product @ weights["model.layers.0.mlp.down_proj.weight"].T
    after = model.hidden_states([text], [1])[0][0]
    residual = after - before
    normed = residual / np.sqrt((residual**2).mean(axis=1, keepdims=True) + config["rms_norm_eps"])
    normed *= weights["model.layers.0.post_attention_layernorm.weight"]
    np.testing.assert_allclose(gate, normed @ weights["model.layers.0.mlp.gate_proj.weight"].T, atol=2e-3)


def test_token_ends_of_bytes_are_their_numbers(zoo: Zoo) -> None:
    model = load_model(zoo["base-a"])
    assert model.token_ends("abc d").tolist() == [1, 2, 3, 4, 5]


def test_an_ungated_model_has_no_gate_to_listen_to(zoo: Zoo) -> None:
    model = load_model(zoo["gpt2-a"])
    assert model.mlp_activations(["abc"], [1], ["product"])[0]["product"][0].shape == (3, 256)
    with pytest.raises(UsageError, match="has no gate"):
        model.mlp_activations(["abc"], [1], ["gate"])


def test_what_is_heard_does_not_depend_on_the_company_of_a_piece(zoo: Zoo) -> None:
    model = load_model(zoo["qwen2-a"])
    pieces = ["first piece of text", "second, and longer than the first", "third", "fourth one"]
    everywhere = [np.arange(len(piece)) for piece in pieces]
    together = heard(model, pieces, everywhere, [2], True)[0]
    alone = heard(model, pieces[:2], everywhere[:2], [2], True)[0]
    np.testing.assert_allclose(together.gate[:, : len(pieces[0])], alone.gate, atol=1e-4)
    assert together.up.shape == (192, len(pieces[1]) + len(pieces[3]))


# ------------------------------------------------------------------------------------------------------------ comparison


def test_cka_is_invariant_under_rotation_and_scale_by_theory() -> None:
    rng = np.random.default_rng(8)
    one = rng.normal(size=(12, 300)).astype(np.float32)
    assert linear_cka(one, 3 * random_rotation(12, rng) @ one + 2) == pytest.approx(1.0, abs=1e-4)
    assert linear_cka(one, rng.normal(size=(12, 300)).astype(np.float32)) < 0.15
    assert linear_cka(one, np.zeros_like(one)) == 0.0
