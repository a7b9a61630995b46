"""Alignments between the residual streams of two models: which direction of one is which direction of the other.

A laundered copy has its residual stream rotated, so nothing can be compared before the rotation is found again. Three ways,
listed before looking and paid for together: *identity* (nothing was rotated), *token* (the embeddings of the same token
strings must fall on one another: orthogonal Procrustes on whitened embeddings, Schoenemann 1966), and *token-free* (from
the neurons' own geometry, for embeddings that were made anew).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filiation.measures.neurons import Neurons, gram, inverse_root, one_thread, partners, similarities, unit_rows

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def polar(cross: Float64) -> Float32:
    """The orthogonal factor of a matrix (width, width), or the partial isometry of a rectangular one."""
    with one_thread():
        left, _, right = np.linalg.svd(cross, full_matrices=False)
    factor: Float32 = (left @ right).astype(np.float32)
    return factor


def whitened_cross(first: Float32, second: Float32) -> Float64:
    """wh(A)' wh(B) for row-matched A (tokens, width) and B (tokens, width): each embedding at equal weight in all directions."""
    cross = np.zeros((first.shape[1], second.shape[1]), dtype=np.float64)
    block = 16384
    for start in range(0, first.shape[0], block):
        cross += first[start : start + block].T @ second[start : start + block]
    aligned: Float64 = inverse_root(gram(first)) @ cross @ inverse_root(gram(second))
    return aligned


def token_alignment(pairs: list[tuple[Float32, Float32]]) -> Float32:
    """Rotation (width of first, width of second) from embeddings, and unembeddings, matched by their token strings."""
    total = sum(whitened_cross(first, second) for first, second in pairs)
    return polar(np.asarray(total, dtype=np.float64))


def signatures(neurons: Neurons, quantiles: int = 24) -> Float32:
    """What stays of a whitened layer's neurons under any rotation, sign and order: (neurons, features).

    The cosines among a neuron's own parts, and the distribution of its cosines with all other neurons of the layer, part
    by part, taken without sign where a neuron's `up` and `down` may have flipped together.
    """
    parts = (neurons.first, *neurons.second)
    features: list[NDArray[np.floating]] = []
    places = neurons.count - 1 - np.round(np.geomspace(1.0, neurons.count / 2.0, quantiles)).astype(np.intp)
    for i, one in enumerate(parts):
        for j, other in enumerate(parts):
            cosines = np.abs(one @ other.T)
            if i < j:
                features.append(np.diag(cosines)[:, None])
            if i == j:
                np.fill_diagonal(cosines, 0.0)
            features.append(np.sort(cosines, axis=1)[:, np.maximum(places, 0)])
    signature = np.concatenate(features, axis=1)
    # Each feature at the same scale within its layer: ranks would be safer still but lose the tails that tell neurons apart.
    centre, spread = np.median(signature, axis=0), signature.std(axis=0) + 1e-12
    standard: Float32 = np.clip((signature - centre) / spread, -6, 6).astype(np.float32)
    return standard


def token_free_alignment(
    first: list[Neurons], second: list[Neurons], rng: np.random.Generator, rounds: int = 16
) -> Float32:
    """Rotation (width of first, width of second) from whitened layers paired in order, without any token.

    Neurons are paired by rotation-invariant signatures, a rotation is fitted to the pairs (Procrustes), and pairing and
    fitting are repeated (iterative closest point, Besl & McKay 1992). The layers given here must not be tested with the
    rotation that comes out: it was fitted to them.
    """
    layers = list(zip(first, second, strict=True))
    pairing = [partners(unit_rows(signatures(a)) @ unit_rows(signatures(b)).T, rng) for a, b in layers]
    rotation = _procrustes(layers, pairing, None)
    for _ in range(rounds):
        previous, pairing = pairing, [partners(_both(a, b, rotation), rng) for a, b in layers]
        rotation = _procrustes(layers, pairing, rotation)
        if all(np.array_equal(old, new) for old, new in zip(previous, pairing, strict=True)):
            break
    return rotation


def _both(first: Neurons, second: Neurons, rotation: Float32) -> Float32:
    by_first, by_second = similarities(first, second, rotation)
    by_first += by_second
    return by_first


def _procrustes(
    layers: list[tuple[Neurons, Neurons]], pairing: list[NDArray[np.intp]], rotation: Float32 | None
) -> Float32:
    """The rotation that brings paired neurons together; parts that may flip sign enter with the sign they have now."""
    cross = np.zeros((layers[0][0].first.shape[1], layers[0][1].first.shape[1]), dtype=np.float64)
    for (a, b), partner in zip(layers, pairing, strict=True):
        rows = np.flatnonzero(partner >= 0)
        cross += a.first[rows].T @ b.first[partner[rows]]
        for one, other in zip(a.second, b.second, strict=True):
            if rotation is not None:
                x, y = one[rows], other[partner[rows]]
                sign = np.sign(np.einsum("ij,ij->i", x @ rotation, y))[:, None].astype(np.float32)
                cross += (sign * x).T @ y
    return polar(cross)
