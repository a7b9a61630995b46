"""Do log-probabilities come out of this output layer? Read in its directions, twice, on two halves of the vocabulary.

A decoder's last step is linear: logits = U n + b, with n of the hidden size d and U (tokens x d) the unembedding. Whatever the
model was asked, its log-probabilities lie, up to one constant per answer (the softmax takes it away), in the span of U and b: a
space of d dimensions in one of the vocabulary's size V (Carlini et al. 2024; Finlayson et al. 2024). Nothing done to the layers
below moves that space: LoRA on attention, pruned or split neurons, or a rotated residual stream leave it where it was.

**Membership** (`residual_shares`). The share of an answer's variation over its listed tokens that U cannot express. d dimensions and
the constant fit any d + 1 values exactly, so an answer with k log-probabilities gives k - d - 1 constraints, and none where
k <= d + 1: the five or twenty alternatives that services hand out say nothing here. Several answers do not help, because each
brings an n of its own; many supports of *one* context (moved by a bias on the logits) do, joined into one answer. The layer that
made the answers leaves what rounding leaves (`rounding_share`). A fine-tune whose output layer moved lies near the space, not in it.

**Read twice** (`read_twice`). The vocabulary is dealt into two halves by lot. Each half gives, by least squares, what the answers' n
would have to be, if U were theirs. If U is theirs, both halves tell the same n, direction by direction. If it is not, each half
tells some mixture of the other model's directions, and no direction need meet itself again. Both readings are whitened over the
answers and the directions of the one are assigned to those of the other; a coincidence is a direction that is assigned to itself.
The half of the directions in which U is largest is left out: there, output layers of strangers resemble one another (frequency of
tokens, capitals, spaces). How seldom a stranger's directions meet themselves is measured, not derived: studies/logits.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filiation.evidence import Absent
from filiation.measures.neurons import inverse_root, partners

Matrix = NDArray[np.float64]
LEFT_OUT = 0.5
"""Share of the directions, the largest ones, that are no opportunities."""
ANSWERS_PER_DIRECTION = 2
SPARE_TOKENS = 8
"""Tokens of each half beyond the directions that are fitted; with none to spare a fit would be noise alone."""
SMALLEST = 1e-6
SIGNIFICAND_BITS = {"float32": 24, "float16": 11, "bfloat16": 8}


@dataclass(frozen=True)
class OutputLayer:
    """`rows`: tokens x hidden size, gains of the final norm folded in. `offsets`: tokens x number, what may be added at will."""

    rows: Matrix
    offsets: Matrix

    def at(self, tokens: NDArray[np.intp]) -> OutputLayer:
        """The same layer for some tokens."""
        return OutputLayer(rows=self.rows[tokens], offsets=self.offsets[tokens])


@dataclass(frozen=True)
class ReadTwice:
    """`count` of `opportunities` directions met themselves; `agreement`: mean correlation of a direction with itself."""

    count: int
    opportunities: int
    agreement: float


@dataclass(frozen=True)
class Membership:
    """Per answer: the share of its variation that the layer cannot express, and how many constraints it was held to."""

    shares: Matrix
    constraints: NDArray[np.intp]


def without_offsets(columns: Matrix, offsets: Matrix) -> Matrix:
    """Columns with the softmax's constant and the layer's offsets projected out."""
    fixed = np.column_stack([np.ones(len(columns)), offsets])
    basis = _orthonormal(fixed)
    freed: Matrix = columns - basis @ (basis.T @ columns)
    return freed


def _orthonormal(columns: Matrix) -> Matrix:
    """An orthonormal basis of the columns' span; none where there are no rows."""
    if not len(columns):
        return np.zeros((0, 0))
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    basis: Matrix = left[:, values > SMALLEST * max(float(values[0]), np.finfo(np.float64).tiny)]
    return basis


def directions(layer: OutputLayer) -> Matrix:
    """Tokens x directions: orthonormal, those in which the layer is largest first; constants projected out."""
    freed = without_offsets(layer.rows, layer.offsets)
    values, vectors = np.linalg.eigh(freed.T @ freed)
    order = np.argsort(-values)
    kept = order[values[order] > SMALLEST**2 * max(float(values[order[0]]), np.finfo(np.float64).tiny)]
    scaled: Matrix = freed @ (vectors[:, kept] / np.sqrt(values[kept]))
    return scaled


# ---------------------------------------------------------------------------------------------------------- membership


def residual_shares(layer: OutputLayer, log_probabilities: Matrix) -> Membership:
    """Answers x tokens, NaN where a token was not listed. The share is 1.0 where an answer is held to no constraint."""
    shares = np.ones(len(log_probabilities))
    constraints = np.zeros(len(log_probabilities), dtype=np.intp)
    for answers, listed in _by_support(log_probabilities):
        part = layer.at(listed)
        basis = _orthonormal(np.column_stack([np.ones(len(listed)), part.offsets, part.rows]))
        spare = len(listed) - basis.shape[1]
        if spare <= 0:
            continue
        values = log_probabilities[np.ix_(answers, listed)].T
        values = values - values.mean(axis=0)
        outside = values - basis @ (basis.T @ values)
        variation = np.einsum("ij,ij->j", values, values)
        shares[answers] = np.einsum("ij,ij->j", outside, outside) / np.maximum(variation, np.finfo(np.float64).tiny)
        constraints[answers] = spare
    return Membership(shares=shares, constraints=constraints)


def rounding_share(log_probabilities: Matrix, dtype: str, decimals: int | None = None) -> float:
    """The share of variation that rounding alone leaves outside, for logits computed in `dtype`.

    A logit x that was rounded to p significant bits is off by a uniform error of sd 2^(e + 1 - p) / sqrt(12), 2^e <= |x|. Logits are known
    up to a constant; those of usual models lie about as far from 0 as their log-probabilities from the largest of them, which
    stands for |x| here. `decimals`: places that a record kept. An estimate: accumulation adds to it, see studies/logits.py.
    """
    known = log_probabilities[np.isfinite(log_probabilities).any(axis=1)]
    size = np.maximum(np.nanmax(known, axis=1, keepdims=True) - known, 1.0)
    step = 2.0 ** (np.floor(np.log2(size)) + 1 - SIGNIFICAND_BITS[dtype])
    error = float(np.nanmean(step**2)) / 12
    if decimals is not None:
        error += 10.0 ** (-2 * decimals) / 12
    return error / float(np.nanmean(np.nanvar(known, axis=1)))


def _by_support(log_probabilities: Matrix) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Answers that list the same tokens, and these tokens."""
    known = np.isfinite(log_probabilities)
    packed = np.packbits(known, axis=1)
    _, group = np.unique(packed, axis=0, return_inverse=True)
    for number in range(int(group.max(initial=-1)) + 1):
        answers = np.flatnonzero(group.ravel() == number)
        yield answers, np.flatnonzero(known[answers[0]])


# ---------------------------------------------------------------------------------------------------------- read twice


def read_twice(layer: OutputLayer, log_probabilities: Matrix, rng: np.random.Generator) -> ReadTwice | Absent:
    """Count the directions that meet themselves again. Answers x tokens, NaN where a token was not listed.

    `Absent` where an answer lists too few tokens, or there are too few answers; answers with too few tokens are left out.
    """
    axes = directions(layer) * math.sqrt(len(layer.rows))
    number = axes.shape[1]
    halves = np.array_split(rng.permutation(len(layer.rows)), 2)
    needed = number + layer.offsets.shape[1] + 1 + SPARE_TOKENS
    known = np.isfinite(log_probabilities)
    able = np.min([known[:, half].sum(axis=1) for half in halves], axis=0) >= needed
    if able.sum() < ANSWERS_PER_DIRECTION * number:
        return Absent(
            reason=f"{int(able.sum())} answers list at least {needed} tokens of each half of the vocabulary; "
            f"{ANSWERS_PER_DIRECTION * number} such answers are needed for {number} directions"
        )
    answers = log_probabilities[able]
    first, second = (_read(axes, layer.offsets, answers, half) for half in halves)
    correlations = _whitened(first).T @ _whitened(second)
    kept = np.arange(int(LEFT_OUT * number), number)
    correlations = correlations[np.ix_(kept, kept)]
    met = partners(correlations.astype(np.float32), rng)
    return ReadTwice(
        count=int(np.count_nonzero(met == np.arange(len(kept)))),
        opportunities=len(kept),
        agreement=float(np.trace(correlations) / len(kept)),
    )


def _read(axes: Matrix, offsets: Matrix, log_probabilities: Matrix, half: NDArray[np.intp]) -> Matrix:
    """Answers x directions: what least squares over one half of the vocabulary says of each answer."""
    reading = np.zeros((len(log_probabilities), axes.shape[1]))
    for answers, listed in _by_support(log_probabilities[:, half]):
        tokens = half[listed]
        values = log_probabilities[np.ix_(answers, tokens)].T
        known = np.column_stack([np.ones(len(tokens)), offsets[tokens], axes[tokens]])
        solved = np.linalg.lstsq(known, values, rcond=SMALLEST)[0]
        reading[answers] = solved[known.shape[1] - axes.shape[1] :].T
    return reading


def _whitened(reading: Matrix) -> Matrix:
    centred = reading - reading.mean(axis=0)
    white: Matrix = centred @ inverse_root(centred.T @ centred)
    return white


# --------------------------------------------------------------------------------------------------------- hidden size


@dataclass(frozen=True)
class Rank:
    """Dimensions that the answers span. `low` to `high`: what the gap in the singular values allows; `gap`: its ratio."""

    value: int
    low: int
    high: int
    gap: float


CLEAR_GAP = 3.0
FLAT_NEIGHBOURS = 8
SMALLEST_RANK = 16
"""No step above it is taken for the end of the dimensions: the first few singular values always stand far apart."""


def hidden_size(log_probabilities: Matrix) -> Rank | Absent:
    """The hidden size, from full log-probability vectors (answers x tokens) alone: their numerical rank, means taken out.

    Below the gap singular values are rounding; above it they are directions. `Absent` where there is no clear gap: then there
    are not enough answers, or they were rounded too coarsely. Both means are taken out, over tokens (the softmax's constant)
    and over answers (a bias). A norm that takes the mean away (LayerNorm) hides one dimension: `high` is one more than the rank.
    """
    centred = log_probabilities - log_probabilities.mean(axis=1, keepdims=True)
    centred = centred - centred.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False)
    floor = np.finfo(np.float64).eps * float(values[0]) * max(centred.shape)
    # The two means took one value each: what stands in their place is rounding of this computation.
    values = np.maximum(values[: min(centred.shape) - 1], floor)
    last = len(values) - FLAT_NEIGHBOURS
    if last <= SMALLEST_RANK:
        return Absent(reason=f"{len(centred)} vectors are not enough to see where their dimensions end")
    ratios = values[SMALLEST_RANK - 1 : last] / values[SMALLEST_RANK : last + 1]
    rank = SMALLEST_RANK + int(np.argmax(ratios))
    gap = float(ratios.max())
    if gap < CLEAR_GAP:
        return Absent(
            reason=f"{len(centred)} vectors show no clear end of their dimensions: more of them, or less coarsely rounded ones, "
            f"are needed (the largest step between singular values is {gap:.1f}-fold, {CLEAR_GAP:g} are asked for)"
        )
    clear = int(np.count_nonzero(values > CLEAR_GAP * values[rank]))
    return Rank(value=rank, low=min(clear, rank), high=rank + 1, gap=gap)


# ------------------------------------------------------------------------------------------------------------ subspaces


def principal_cosines(one: OutputLayer, other: OutputLayer) -> Matrix:
    """Cosines of the principal angles between two output layers over the same tokens, the largest first."""
    cosines: Matrix = np.clip(np.linalg.svd(directions(one).T @ directions(other), compute_uv=False), 0.0, 1.0)
    return cosines
