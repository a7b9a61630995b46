"""Implicit reward: what a model's further training has made likelier, text by text, against the model it started from.

A model tuned for preferences carries a reward without being told so: beta * (log p(text) - log p_base(text)), up to a constant
(Rafailov et al. 2023, equation 5). Two models of different bases that were tuned by one reward, or on one set of texts, rank
texts alike in it. So do, to some degree, all models that were tuned at all: the figure means something among others only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from filiation.sources.running import RunningModel

Float64 = NDArray[np.float64]


def log_probabilities(model: RunningModel, texts: Sequence[str]) -> Float64:
    """Per text its log-probability in nats per character, the first token not counted."""
    totals = [float(values.sum()) for values in model.log_likelihoods(texts)]
    return np.array([total / len(text) for total, text in zip(totals, texts, strict=True)], dtype=np.float64)


def implicit_rewards(tuned: Float64, base: Float64) -> Float64:
    """Nats per character by which each text became likelier through the further training; beta and the constant are left out."""
    if tuned.shape != base.shape:
        raise ValueError(f"{tuned.size} texts of the tuned model and {base.size} of its base")
    return np.asarray(tuned - base, dtype=np.float64)


def kinship(first: Float64, second: Float64) -> float:
    """Spearman's correlation of two models' implicit rewards over the same texts, from -1 to 1; 0 where one of them is constant."""
    if first.shape != second.shape or first.size < 3:
        raise ValueError("two rewards of the same three or more texts are needed")
    one, other = (rankdata(rewards) - (rewards.size + 1) / 2 for rewards in (first, second))
    length = float(np.sqrt(one @ one) * np.sqrt(other @ other))
    return float(one @ other) / length if length else 0.0
