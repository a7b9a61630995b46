"""Refusal direction: the way in which activations part between prompts that models tend to refuse and prompts they answer.

Difference of means over two groups of prompts, at the last token, layer by layer (Arditi et al. 2024). Two models' directions can
be compared only where both residual streams have one basis: in another basis the same direction has other numbers, so that a
cosine near 0 says nothing. A cosine near 1 has no null here: it describes, it does not accuse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from filiation.measures.index import at_their_index
from filiation.measures.neurons import unit_rows
from filiation.sources.running import RunningModel

Float32 = NDArray[np.float32]


def last_states(model: RunningModel, prompts: Sequence[str], layers: Sequence[int]) -> Float32:
    """What stands in the residual stream at the last token of each prompt: prompts x layers x hidden size."""
    return np.stack([states[:, -1] for states in model.hidden_states(prompts, layers)])


def difference_of_means(refused: Float32, answered: Float32) -> Float32:
    """Unit vector per layer (layers x hidden size) from the answered prompts' mean to the refused ones'; prompts come first."""
    apart: Float32 = refused.mean(axis=0) - answered.mean(axis=0)
    return unit_rows(apart)


def cosines(first: Float32, second: Float32) -> NDArray[np.float32]:
    """Per layer the cosine of two models' directions; ValueError where their shapes differ."""
    if first.shape != second.shape:
        raise ValueError(f"directions of shapes {first.shape} and {second.shape} have no basis in common")
    return np.asarray(np.sum(first * second, axis=1), dtype=np.float32)


def dimensions_in_common(first: Float32, second: Float32, rng: np.random.Generator) -> tuple[int, int]:
    """How many hidden dimensions find their partner at their own index, and of how many; states are prompts x hidden size.

    Partners are assigned by correlation over the prompts. Where fewer than half stand at their own index there is no basis in
    common, and directions must not be compared.
    """
    if first.shape != second.shape:
        return 0, 0
    one, other = (unit_rows((states - states.mean(axis=0)).T) for states in (first, second))
    numbers = np.arange(one.shape[0], dtype=np.intp)
    count, possible, _ = at_their_index(one @ other.T, numbers, numbers, rng)
    return count, possible
