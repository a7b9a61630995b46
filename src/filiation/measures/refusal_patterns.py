"""Which prompts do two models refuse, and is that more alike than their readiness and the prompts' difficulty explain?

Model i refuses prompt j with chance p, logit p = a_i + b_j (Rasch 1960): some models refuse more, some prompts are refused
by more. What is left, z = (x - p) / sqrt(p (1 - p)), is large where a model refuses what hardly anybody refuses, or helps
where nearly everybody refuses. The agreement of two models is the correlation of their z over the prompts that both answered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS = 60
RIDGE = 0.5
"""Pulls effects towards the mean: a model that refuses nothing would have none otherwise."""
LEAST = 0.02
SHRINKAGE = 3.0
"""Added to the scale: of two models that hardly refuse anything, next to nothing is known."""


def expected_refusals(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chances by the additive model. `values`: models x prompts from 0 to 1, NaN where there is no answer."""
    seen = np.isfinite(values)
    known = np.where(seen, values, 0.0)
    mean = min(max(float(known.sum() / max(1, seen.sum())), LEAST), 1 - LEAST)
    middle = float(np.log(mean / (1 - mean)))
    model, prompt = np.zeros(values.shape[0]), np.zeros(values.shape[1])
    chances = np.full(values.shape, mean)
    for _ in range(ROUNDS):
        for effect, axis in ((model, 1), (prompt, 0)):
            slope = np.where(seen, chances * (1 - chances), 0.0).sum(axis=axis) + RIDGE
            effect += np.clip((np.where(seen, known - chances, 0.0).sum(axis=axis) - RIDGE * effect) / slope, -1, 1)
            chances = 1.0 / (1.0 + np.exp(-(middle + model[:, None] + prompt[None, :])))
    return chances


def pattern_agreement(values: NDArray[np.float64], shrinkage: float = SHRINKAGE) -> NDArray[np.float64]:
    """n x n, symmetric, between -1 and 1: the shrunken correlation of what the additive model leaves unexplained.

    `values`: models x prompts, 1 refused, 1/2 partly, 0 answered, NaN no answer. Pairs without common prompts get 0.
    """
    seen = np.isfinite(values)
    chances = np.clip(expected_refusals(values), LEAST, 1 - LEAST)
    left = np.where(seen, (np.where(seen, values, 0.0) - chances) / np.sqrt(chances * (1 - chances)), 0.0)
    product = left @ left.T
    own = (left**2) @ seen.T.astype(float)  # own[i, j]: sum of z_i squared over the prompts that j answered too
    scale = np.sqrt(own * own.T) + shrinkage
    agreement: NDArray[np.float64] = np.divide(product, scale, out=np.zeros_like(product), where=scale > 1e-12)
    return agreement


def informative(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    """Which prompts are refused, at least in part, by a share of the models between `low` and `high`."""
    seen = np.isfinite(values)
    share = (np.where(seen, values, 0.0) >= 0.5).sum(axis=0) / np.maximum(1, seen.sum(axis=0))
    inside: NDArray[np.bool_] = (share >= low) & (share <= high) & seen.any(axis=0)
    return inside
