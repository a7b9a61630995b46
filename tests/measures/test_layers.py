from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from filiation.measures.layers import (
    as_it_is,
    best_monotone_pairing,
    layer_map,
    monotone_pairings,
    prepared,
    same_depth,
)
from filiation.measures.neurons import Neurons
from tests.measures.small_layers import random_neurons, random_rotation, rewritten

examples = settings(deadline=None, derandomize=True, max_examples=150)
depths = st.integers(1, 6)


def _all_monotone(first_layers: int, second_layers: int) -> list[tuple[int, ...]]:
    return list(itertools.combinations_with_replacement(range(first_layers), second_layers))


@given(first=depths, second=depths)
@settings(derandomize=True)
def test_number_of_monotone_pairings_against_enumeration(first: int, second: int) -> None:
    assert monotone_pairings(first, second) == len(_all_monotone(first, second))


@examples
@given(
    counts=st.tuples(depths, depths).flatmap(lambda shape: arrays(np.int64, shape, elements=st.integers(0, 5))),
)
def test_best_monotone_pairing_against_brute_force(counts: NDArray[np.int64]) -> None:
    def held(pairing: tuple[int, ...]) -> int:
        return int(sum(counts[row, column] for column, row in enumerate(pairing)))

    found = best_monotone_pairing(counts)
    candidates = _all_monotone(*counts.shape)
    assert found in candidates
    assert held(found) == max(map(held, candidates))


def test_best_monotone_pairing_of_a_model_without_its_second_layer() -> None:
    counts = np.full((4, 3), 2)
    for column, row in enumerate((0, 2, 3)):
        counts[row, column] = 90
    assert best_monotone_pairing(counts) == (0, 2, 3)


@given(first=st.integers(1, 80), second=st.integers(1, 80))
@settings(derandomize=True)
def test_same_depth_never_goes_back_and_joins_the_ends(first: int, second: int) -> None:
    pairing = same_depth(first, second)
    assert len(pairing) == second
    assert list(pairing) == sorted(pairing)
    assert all(0 <= layer < first for layer in pairing)
    if second > 1:
        assert (pairing[0], pairing[-1]) == (0, first - 1)
    for layer, partner in enumerate(pairing if second > 1 else ()):
        assert abs(partner / max(1, first - 1) - layer / (second - 1)) <= 0.5 / max(1, first - 1) + 1e-9 or first == 1


def test_same_depth_of_equal_depths_is_layer_by_layer() -> None:
    assert same_depth(7, 7) == tuple(range(7))


# ----------------------------------------------------------------------------------------------------- maps of all layers


@dataclass(eq=False)
class Stack:
    """Layers in memory, as `layers.MlpRows`."""

    stacked: list[Neurons]

    @property
    def layers(self) -> int:
        return len(self.stacked)

    @property
    def second_parts(self) -> int:
        return len(self.stacked[0].second)

    def mlp_first(self, layer: int) -> NDArray[np.float32]:
        return self.stacked[layer].first

    def mlp_second(self, layer: int, index: int) -> NDArray[np.float32]:
        return self.stacked[layer].second[index]


def test_prepared_layer_remembers_the_index_of_each_neuron_in_the_file() -> None:
    rng = np.random.default_rng(0)
    neurons = random_neurons(40, 8, rng)
    for part in (neurons.first, *neurons.second):
        part[[5, 30]] = 0
    layer = prepared(Stack([neurons]), 0, as_it_is)
    assert layer.index.tolist() == [row for row in range(40) if row not in (5, 30)]
    sampled = layer.sample(10, rng)
    assert sampled.neurons.count == sampled.index.size == 10
    places = [layer.index.tolist().index(row) for row in sampled.index]
    np.testing.assert_array_equal(sampled.neurons.first, layer.neurons.first[places])
    assert layer.sample(38, rng) is layer


def test_reading_and_writing_parts_are_told_apart_when_rows_are_carried() -> None:
    neurons = random_neurons(40, 8, np.random.default_rng(1))
    asked: list[str] = []

    def basis(rows: NDArray[np.float32], part: str) -> NDArray[np.float32]:
        asked.append(part)
        return rows

    prepared(Stack([neurons]), 0, basis)
    assert asked == ["reads", "reads", "writes"]


def test_layer_map_shows_which_layer_of_a_shortened_copy_is_which() -> None:
    rng = np.random.default_rng(3)
    layers = [random_neurons(100, 16, rng) for _ in range(4)]
    rotation = random_rotation(16, rng)
    kept = [rewritten(layers[number], rotation, rng.permutation(100), rng) for number in (0, 2, 3)]
    shares: list[float] = []
    counts, chances = layer_map(Stack(layers), Stack(kept), (as_it_is, as_it_is), rotation, 60, rng, shares.append)
    assert counts.shape == chances.shape == (4, 3)
    assert np.all(chances == 60)
    assert [counts[row, column] for column, row in enumerate((0, 2, 3))] == [60, 60, 60]
    others = [counts[row, column] for row in range(4) for column in range(3) if row != (0, 2, 3)[column]]
    assert max(others) <= 8
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
