from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.measures.alignment import polar, signatures, token_alignment, token_free_alignment, whitened_cross
from filiation.measures.layers import as_it_is, prepared
from filiation.measures.neurons import Neurons, inverse_root, same_partner_twice, whitened
from filiation.sources.families import decoder_of
from filiation.sources.open import open_source
from filiation.sources.residual import ResidualView
from studies.zoo import Zoo
from tests.measures.small_layers import random_neurons, random_rotation, rewritten

examples = settings(deadline=None, derandomize=True, max_examples=20)


@examples
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(2, 20))
def test_polar_factor_of_a_stretched_rotation_is_the_rotation(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    rotation = random_rotation(width, rng)
    half = rng.standard_normal((width, width))
    stretch = half @ half.T + np.eye(width)
    np.testing.assert_allclose(polar(stretch @ rotation), rotation, atol=1e-4)


def test_polar_factor_of_a_rectangle_is_a_partial_isometry() -> None:
    factor = polar(np.random.default_rng(0).standard_normal((20, 12)))
    np.testing.assert_allclose(factor.T @ factor, np.eye(12), atol=1e-5)


def test_whitened_cross_in_blocks_is_the_product_by_definition() -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.standard_normal((20_000, 6)).astype(np.float32) for _ in range(2))
    direct = (
        inverse_root(first.T.astype(np.float64) @ first)
        @ (first.T.astype(np.float64) @ second)
        @ inverse_root(second.T.astype(np.float64) @ second)
    )
    np.testing.assert_allclose(whitened_cross(first, second), direct, atol=1e-5)


@examples
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(4, 24))
def test_token_alignment_recovers_the_rotation_of_the_embeddings(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    rotation = random_rotation(width, rng)
    pairs = []
    for _ in range(2):
        embedding = random_neurons(20 * width, width, rng).first
        blurred = embedding @ rotation + 0.02 * rng.standard_normal(embedding.shape)
        pairs.append((embedding, blurred.astype(np.float32)))
    np.testing.assert_allclose(token_alignment(pairs), rotation, atol=0.08)


def test_token_alignment_of_independent_embeddings_is_still_orthogonal() -> None:
    rng = np.random.default_rng(2)
    pairs = [(random_neurons(200, 8, rng).first, random_neurons(200, 8, rng).first) for _ in range(2)]
    found = token_alignment(pairs)
    np.testing.assert_allclose(found.T @ found, np.eye(8), atol=1e-5)


def test_signatures_stay_under_rotation_order_and_sign() -> None:
    rng = np.random.default_rng(3)
    neurons = random_neurons(80, 16, rng)
    order = rng.permutation(80)
    copy = rewritten(neurons, random_rotation(16, rng), order, rng)
    np.testing.assert_allclose(signatures(whitened(copy)), signatures(whitened(neurons))[order], atol=0.05)


# ------------------------------------------------------------------------------------------------- layers of real models


def _layers(zoo: Zoo, name: str, rng: np.random.Generator) -> list[Neurons]:
    view = ResidualView(decoder_of(open_source(zoo[name])))
    return [prepared(view, layer, as_it_is).neurons for layer in range(view.layers)]


@pytest.mark.parametrize("name", ["base-a", "qwen2-a", "gpt2-a"])
def test_token_free_alignment_recovers_a_rotation_from_layers_of_the_zoo(zoo: Zoo, name: str) -> None:
    rng = np.random.default_rng(4)
    layers = _layers(zoo, name, rng)
    rotation = random_rotation(layers[0].first.shape[1], rng)
    turned = [whitened(rewritten(layer, rotation, rng.permutation(layer.count), rng)) for layer in layers]
    found = token_free_alignment([layers[0], layers[2]], [turned[0], turned[2]], rng)
    untouched = same_partner_twice(layers[1], turned[1], found, rng)
    assert untouched >= 0.95 * layers[1].count
    assert same_partner_twice(layers[1], turned[1], None, rng) <= 0.05 * layers[1].count


def test_token_free_alignment_of_strangers_finds_no_neurons_in_the_layer_it_did_not_see(zoo: Zoo) -> None:
    rng = np.random.default_rng(5)
    ours, theirs = _layers(zoo, "base-a", rng), _layers(zoo, "base-b", rng)
    found = token_free_alignment([ours[0], ours[2]], [theirs[0], theirs[2]], rng)
    assert same_partner_twice(ours[1], theirs[1], found, rng) <= 0.05 * ours[1].count
