"""Layers made of random numbers, and copies of them that are the same layer written in another way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filiation.measures.neurons import Neurons

Float32 = NDArray[np.float32]


def random_neurons(count: int, width: int, rng: np.random.Generator, *, gated: bool = True) -> Neurons:
    """Independent normal rows; some directions stronger than others, as in trained layers."""
    spectrum = np.geomspace(4.0, 0.25, width)

    def rows() -> Float32:
        return (rng.standard_normal((count, width)) * spectrum).astype(np.float32)

    return Neurons(first=rows(), second=(rows(), rows()) if gated else (rows(),))


def random_rotation(width: int, rng: np.random.Generator) -> Float32:
    """Haar-distributed orthogonal matrix."""
    basis, triangle = np.linalg.qr(rng.standard_normal((width, width)))
    return (basis * np.sign(np.diagonal(triangle))).astype(np.float32)


def rewritten(
    neurons: Neurons, rotation: Float32, order: NDArray[np.intp], rng: np.random.Generator, *, noise: float = 0.0
) -> Neurons:
    """The same neurons in another basis and order, `up` and `down` rescaled against each other with either sign."""
    scale = (rng.choice([-1.0, 1.0], neurons.count) * np.exp(rng.uniform(-1.4, 1.4, neurons.count)))[:, None]
    scales = (scale, 1.0 / scale) if len(neurons.second) == 2 else (np.ones_like(scale),)

    def blurred(rows: Float32) -> Float32:
        turned = rows @ rotation
        moved = turned + noise * turned.std() * rng.standard_normal(turned.shape)
        return moved.astype(np.float32)

    second = tuple((blurred(part) * by).astype(np.float32) for part, by in zip(neurons.second, scales, strict=True))
    return Neurons(first=blurred(neurons.first), second=second).take(order)
