from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from filiation.measures.index import at_their_index, neurons_at_their_index
from filiation.measures.neurons import whitened
from filiation.statistics.permutations import log10_shared_indices_tail
from tests.measures.small_layers import random_neurons, random_rotation, rewritten

SIMULATIONS = 1000


def _p_values(first: tuple[int, int], second: tuple[int, int], *, alike: bool, seed: int) -> np.ndarray:
    """p where both models were numbered at random; of each (neurons, neurons that count).

    `alike`: the neurons find each other perfectly, and yet at which index they stand is chance.
    """
    rng = np.random.default_rng(seed)
    (first_size, rows), (second_size, second_used) = first, second
    p_values = []
    for _ in range(SIMULATIONS):
        similarity = rng.standard_normal((rows, second_used)).astype(np.float32)
        if alike:
            similarity[np.arange(min(rows, second_used)), np.arange(min(rows, second_used))] += 9.0
        # Which indices are in use, and by which row.
        first_index = rng.permutation(first_size)[:rows]
        second_index = rng.permutation(second_size)[:second_used]
        count, comparable, columns = at_their_index(similarity, first_index, second_index, rng)
        p_values.append(log10_shared_indices_tail(count, [(comparable, columns)]) if comparable else 0.0)
    return 10.0 ** np.array(p_values)


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize(
    ("first_size", "first_used", "second_size", "second_used"),
    [(30, 30, 30, 30), (30, 30, 20, 20), (20, 20, 30, 30), (30, 24, 30, 27), (6, 6, 6, 6)],
    ids=["same size", "narrower", "wider", "rows that do not count", "six rows"],
)
def test_p_is_uniform_or_larger_when_indices_were_dealt_at_random(
    first_size: int, first_used: int, second_size: int, second_used: int, alike: bool
) -> None:
    p_values = _p_values((first_size, first_used), (second_size, second_used), alike=alike, seed=2)
    for level in (0.5, 0.3, 0.1, 0.05, 0.01):
        assert np.count_nonzero(p_values <= level * (1 + 1e-9)) <= binom.isf(1e-4, SIMULATIONS, level)


def test_p_is_exact_where_its_value_can_be_reached() -> None:
    """P(K >= 1) and P(K >= 2) of thirty neurons, against the share of simulations that reach them."""
    p_values = _p_values((30, 30), (30, 30), alike=True, seed=3)
    for count in (1, 2, 3):
        level = 10.0 ** log10_shared_indices_tail(count, [(30, 30)])
        seen = np.count_nonzero(p_values <= level * (1 + 1e-9))
        assert binom.ppf(1e-5, SIMULATIONS, level) <= seen <= binom.isf(1e-5, SIMULATIONS, level)


def test_a_copy_that_kept_its_numbering_stands_at_every_index() -> None:
    rng = np.random.default_rng(4)
    neurons = random_neurons(80, 16, rng)
    rotation = random_rotation(16, rng)
    copy = rewritten(neurons, rotation, np.arange(80), rng, noise=0.1)
    index = np.arange(80)
    assert neurons_at_their_index(whitened(neurons), index, whitened(copy), index, rotation, rng) == (80, 80, 80)


def test_a_renumbered_copy_has_left_its_indices() -> None:
    rng = np.random.default_rng(5)
    neurons = random_neurons(80, 16, rng)
    rotation = random_rotation(16, rng)
    copy = rewritten(neurons, rotation, np.roll(np.arange(80), 1), rng)
    index = np.arange(80)
    assert neurons_at_their_index(whitened(neurons), index, whitened(copy), index, rotation, rng)[0] == 0


def test_roles_exchanged_give_the_same_counts() -> None:
    rng = np.random.default_rng(6)
    similarity = rng.standard_normal((12, 18)).astype(np.float32)
    rows, columns = np.sort(rng.permutation(20)[:12]), np.sort(rng.permutation(20)[:18])
    forth = at_their_index(similarity, rows, columns, np.random.default_rng(7))
    back = at_their_index(np.ascontiguousarray(similarity.T), columns, rows, np.random.default_rng(7))
    assert forth == back


def test_equal_similarities_do_not_fall_on_the_diagonal() -> None:
    rng = np.random.default_rng(8)
    index = np.arange(20)
    counts = [at_their_index(np.zeros((20, 20), np.float32), index, index, rng)[0] for _ in range(300)]
    assert 200 < sum(counts) < 400
