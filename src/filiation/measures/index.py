"""Index coincidence: neurons or hidden dimensions that find their partner at their own index.

Which index a neuron or a hidden dimension has means nothing: training is equivariant under renumbering, so in independent
initialisations the numbering of one model is a uniform random permutation of the other's (Zhu et al. 2025, 'Independence
tests for language models'). The partners are found by an assignment that treats all indices alike and breaks ties at
random, hence the number standing at their own index is the number of fixed points of a uniform permutation: exact, and
without power once a launderer has renumbered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filiation.measures.neurons import Neurons, partners, similarities

Float32 = NDArray[np.float32]
Integers = NDArray[np.intp]


def neurons_at_their_index(
    first: Neurons,
    first_index: Integers,
    second: Neurons,
    second_index: Integers,
    rotation: Float32 | None,
    rng: np.random.Generator,
) -> tuple[int, int, int]:
    """Coincidences, the indices that both layers use, and the number of columns that a neuron could have been assigned to.

    `first_index` and `second_index` are the original indices of the (whitened) rows.
    """
    by_first, by_second = similarities(first, second, rotation)
    return at_their_index(by_first + by_second, first_index, second_index, rng)


def same_partner_twice_and_at_their_index(
    first: Neurons,
    first_index: Integers,
    second: Neurons,
    second_index: Integers,
    rotation: Float32 | None,
    rng: np.random.Generator,
) -> tuple[int, tuple[int, int, int]]:
    """`same_partner_twice` and `neurons_at_their_index` of the same layers, from one computation of their similarities."""
    by_first, by_second = similarities(first, second, rotation)
    one, other = partners(by_first, rng), partners(by_second, rng)
    count = int(np.count_nonzero((one == other) & (one >= 0)))
    by_first += by_second
    return count, at_their_index(by_first, first_index, second_index, rng)


def at_their_index(
    similarity: Float32, first_index: Integers, second_index: Integers, rng: np.random.Generator
) -> tuple[int, int, int]:
    """As `neurons_at_their_index`, from a similarity (rows, columns) whose rows and columns carry the given indices."""
    if similarity.shape[0] > similarity.shape[1]:
        return at_their_index(similarity.T, second_index, first_index, rng)
    partner = partners(similarity, rng)
    assigned = partner >= 0
    count = int(np.count_nonzero(first_index[assigned] == second_index[partner[assigned]]))
    return count, int(np.intersect1d(first_index, second_index).size), int(similarity.shape[1])
