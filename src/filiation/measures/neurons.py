"""Double matching: do the neurons of two MLP layers find the same partners twice?

A neuron of a gated MLP is written down twice over, in parts that an independent training would not tie together: by the
row of the gate, and by the row of `up` together with the column of `down`. Neurons are assigned to partners once by each;
a coincidence is a neuron whose two partners are the same. In an ungated MLP the two parts are the row of W_in and the
column of W_out.

Rows are brought to unit length first (scaling a neuron's up by s and its down by 1/s changes nothing the model does) and
whitened, wh(X) = X (X'X)^(-1/2), because the directions that every trained layer favours would otherwise make strangers
agree far more often.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from threadpoolctl import ThreadpoolController

Float32 = NDArray[np.float32]
Integers = NDArray[np.intp]


class Neurons(msgspec.Struct, frozen=True, eq=False):
    """One layer's neurons, one row each, in some basis of the residual stream; all parts have the same rows.

    `first` holds the gate (or W_in); `second` holds what is matched the other time: (up, down') or (W_out',).
    Shapes: (neurons, width).
    """

    first: Float32
    second: tuple[Float32, ...]

    @property
    def count(self) -> int:
        return int(self.first.shape[0])

    def take(self, rows: Integers) -> Neurons:
        return Neurons(first=self.first[rows], second=tuple(part[rows] for part in self.second))


def unit_rows(rows: Float32) -> Float32:
    """Rows at length one; rows of zeros stay zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Float32 = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return unit


def opportunities(neurons: Neurons, rng: np.random.Generator) -> Integers:
    """The rows that count: no zero rows, and of exact duplicates (up to scale) only one, chosen by `rng`.

    Ties are a trap: two strangers whose last fifth is padding would agree there. A duplicate is kept once rather than
    dropped, so that splitting every neuron in two does not hide a copy.
    """
    parts = (neurons.first, *neurons.second)
    alive = np.all([np.any(part != 0, axis=1) for part in parts], axis=0)
    rows = np.flatnonzero(alive)
    shuffled = rows[rng.permutation(rows.size)]
    # Equal up to scale: unit rows, signs taken out of the parts that may flip together, rounded to float16's precision.
    keys = np.concatenate([_unsigned(unit_rows(part[shuffled])) for part in parts], axis=1)
    _, kept = np.unique(_row_hashes(keys), return_index=True)
    return np.sort(shuffled[kept])


def _unsigned(rows: Float32) -> Float32:
    """Each row multiplied by the sign of its largest entry, so that a row and its negative are the same."""
    peak = np.argmax(np.abs(rows), axis=1)
    sign = np.sign(rows[np.arange(rows.shape[0]), peak])
    return rows * np.where(sign == 0, 1, sign)[:, None].astype(np.float32)


def _row_hashes(rows: Float32) -> NDArray[np.void]:
    rounded = np.ascontiguousarray(np.round(rows * 2048).astype(np.int16))
    return rounded.view(np.dtype((np.void, rounded.dtype.itemsize * rounded.shape[1]))).ravel()


def one_thread() -> AbstractContextManager[object]:
    """Decompositions of a few hundred columns lose more than they win on several threads, most of all on a busy machine."""
    limit: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limit


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def inverse_root(gram: NDArray[np.float64], relative_floor: float = 1e-6) -> NDArray[np.float64]:
    """(X'X)^(-1/2) of a symmetric matrix (width, width); directions below the floor are left out (pseudo-inverse)."""
    with one_thread():
        values, vectors = np.linalg.eigh(gram)
    floor = relative_floor * max(float(values[-1]), np.finfo(np.float64).tiny)
    root = np.where(values > floor, 1.0 / np.sqrt(np.maximum(values, floor)), 0.0)
    whitener: NDArray[np.float64] = (vectors * root) @ vectors.T
    return whitener


def gram(rows: Float32, block: int = 16384) -> NDArray[np.float64]:
    """X'X in double precision from single-precision blocks."""
    total = np.zeros((rows.shape[1], rows.shape[1]), dtype=np.float64)
    for start in range(0, rows.shape[0], block):
        part = rows[start : start + block]
        total += part.T @ part
    return total


def whiten(rows: Float32) -> Float32:
    """X (X'X)^(-1/2): the directions of the row space at equal weight. Rotating X's columns rotates the result alike."""
    white: Float32 = rows @ inverse_root(gram(rows)).astype(np.float32)
    return white


def whitened(neurons: Neurons) -> Neurons:
    """Each part at unit rows, whitened, and again at unit rows (so that a product is a cosine)."""
    return Neurons(
        first=unit_rows(whiten(unit_rows(neurons.first))),
        second=tuple(unit_rows(whiten(unit_rows(part))) for part in neurons.second),
    )


def similarities(first: Neurons, second: Neurons, rotation: Float32 | None) -> tuple[Float32, Float32]:
    """Similarity of every neuron of one layer with every neuron of the other, once by each of its two descriptions.

    Both are whitened; `rotation` (width of first, width of second) carries the second's basis into the first's, None
    where both are in one basis already. Shapes: twice (neurons of first, neurons of second).
    """

    def cosines(a: Float32, b: Float32) -> Float32:
        carried = a if rotation is None else (a @ rotation).astype(np.float32, copy=False)
        product: Float32 = carried @ b.T
        return product

    by_second = cosines(first.second[0], second.second[0])
    for a, b in zip(first.second[1:], second.second[1:], strict=True):
        by_second *= cosines(a, b)
    return cosines(first.first, second.first), by_second


def partners(similarity: Float32, rng: np.random.Generator) -> Integers:
    """The assignment that maximises total similarity; rows and columns are permuted first so that ties fall at random.

    Returns, for each row, its column; -1 where a row has none (more rows than columns).
    """
    rows, columns = rng.permutation(similarity.shape[0]), rng.permutation(similarity.shape[1])
    row, column = linear_sum_assignment(similarity[np.ix_(rows, columns)], maximize=True)
    partner = np.full(similarity.shape[0], -1, dtype=np.intp)
    partner[rows[row]] = columns[column]
    return partner


def same_partner_twice(first: Neurons, second: Neurons, rotation: Float32 | None, rng: np.random.Generator) -> int:
    """How many neurons find the same partner by both descriptions; the opportunities are the smaller number of neurons."""
    by_first, by_second = similarities(first, second, rotation)
    one, other = partners(by_first, rng), partners(by_second, rng)
    return int(np.count_nonzero((one == other) & (one >= 0)))
