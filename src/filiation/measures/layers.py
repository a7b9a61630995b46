"""Layers of two models against each other: whitened neurons per layer, the map of all pairs, and the pairing of depths."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.measures.neurons import Neurons, opportunities, same_partner_twice, whitened

Float32 = NDArray[np.float32]
Integers = NDArray[np.intp]


class MlpRows(Protocol):
    """What is needed of a model: its MLP rows in the residual basis (see sources/residual.py)."""

    @property
    def layers(self) -> int: ...

    @property
    def second_parts(self) -> int: ...

    def mlp_first(self, layer: int) -> Float32: ...

    def mlp_second(self, layer: int, index: int) -> Float32: ...


class Layer(msgspec.Struct, frozen=True, eq=False):
    """A layer made ready: whitened neurons that count, and the index each had in the file."""

    neurons: Neurons
    index: Integers

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.neurons.first, *self.neurons.second))

    def sample(self, size: int, rng: np.random.Generator) -> Layer:
        """At most `size` of the neurons, drawn by `rng`; whitening saw them all."""
        if size >= self.neurons.count:
            return self
        rows = np.sort(rng.choice(self.neurons.count, size, replace=False))
        return Layer(neurons=self.neurons.take(rows), index=self.index[rows])


Basis = Callable[[Float32, str], Float32]
"""Carries rows of a part ('reads' or 'writes' the residual stream) into the basis in which layers are compared."""


def as_it_is(rows: Float32, _part: str) -> Float32:
    return rows


SHELF_BYTES = 1 << 30
"""Layers in their own basis are kept for the next comparison up to this many bytes in all, whatever the models' size."""

_shelves: WeakKeyDictionary[MlpRows, dict[int, Layer]] = WeakKeyDictionary()


def prepared(model: MlpRows, layer: int, basis: Basis) -> Layer:
    """Read one layer part by part (so that one raw matrix is in memory at a time), project, pick, whiten.

    Which of several duplicates is kept is drawn by a seed from the layer's own content, so that the result does not
    depend on what was read before, and differs between models.
    """
    if basis is not as_it_is:
        return _read(model, layer, basis)
    shelf = _shelves.setdefault(model, {})
    if layer not in shelf:
        fresh = _read(model, layer, basis)
        if fresh.nbytes + sum(kept.nbytes for each in _shelves.values() for kept in each.values()) > SHELF_BYTES:
            return fresh
        shelf[layer] = fresh
    return shelf[layer]


def _read(model: MlpRows, layer: int, basis: Basis) -> Layer:
    first = basis(model.mlp_first(layer), "reads")
    last = model.second_parts - 1
    second = tuple(
        basis(model.mlp_second(layer, part), "writes" if part == last else "reads") for part in range(last + 1)
    )
    neurons = Neurons(first=first, second=second)
    rows = opportunities(neurons, np.random.default_rng(zlib.crc32(np.ascontiguousarray(first[:64]).tobytes())))
    return Layer(neurons=whitened(neurons.take(rows)), index=rows)


def layer_map(
    first: MlpRows,
    second: MlpRows,
    bases: tuple[Basis, Basis],
    rotation: Float32 | None,
    sample: int,
    rng: np.random.Generator,
    progress: Callable[[float], None],
    *,
    seen_first: Callable[[int, Layer], None] | None = None,
    seen_second: Callable[[int, Layer], None] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Coincidences and opportunities of every layer of the first with every layer of the second, on a sample.

    Shapes: twice (layers of first, layers of second). Only the samples of the first model are held in memory.
    Preparing a layer is most of the work at large sizes: `seen_first` and `seen_second` are given each layer, all
    its neurons, while it is there (all of the first come before any of the second).
    """
    samples = []
    for row in range(first.layers):
        layer = prepared(first, row, bases[0])
        samples.append(layer.sample(sample, rng).neurons)
        if seen_first is not None:
            seen_first(row, layer)
        progress(0.3 * (row + 1) / first.layers)
    counts = np.zeros((first.layers, second.layers), dtype=np.int64)
    chances = np.zeros_like(counts)
    for column in range(second.layers):
        layer = prepared(second, column, bases[1])
        for row, sampled in enumerate(samples):
            counts[row, column] = same_partner_twice(sampled, layer.neurons, rotation, rng)
            chances[row, column] = min(sampled.count, layer.neurons.count)
        if seen_second is not None:
            seen_second(column, layer)
        progress(0.3 + 0.7 * (column + 1) / second.layers)
    return counts, chances


def same_depth(first_layers: int, second_layers: int) -> tuple[int, ...]:
    """For each layer of the second model the layer of the first at the same relative depth."""
    if second_layers == 1:
        return (first_layers // 2,)
    return tuple(round(layer * (first_layers - 1) / (second_layers - 1)) for layer in range(second_layers))


def monotone_pairings(first_layers: int, second_layers: int) -> int:
    """How many ways there are to give each layer of the second a layer of the first without going back."""
    return math.comb(first_layers + second_layers - 1, second_layers)


def best_monotone_pairing(counts: NDArray[np.int64]) -> tuple[int, ...]:
    """The pairing that never goes back with the most coincidences (dynamic programme over the map's columns).

    Every layer of the second model gets a layer of the first; the first of equals is taken.
    """
    rows, columns = counts.shape
    best = np.zeros((rows, columns), dtype=np.int64)
    came_from = np.zeros((rows, columns), dtype=np.intp)
    best[:, 0] = counts[:, 0]
    for column in range(1, columns):
        reach = np.maximum.accumulate(best[:, column - 1])
        leader = 0
        for row in range(rows):
            leader = row if best[row, column - 1] > best[leader, column - 1] else leader
            came_from[row, column] = leader
        best[:, column] = counts[:, column] + reach
    row = int(np.argmax(best[:, -1]))
    pairing = [row]
    for column in range(columns - 1, 0, -1):
        row = int(came_from[row, column])
        pairing.append(row)
    return tuple(reversed(pairing))
