"""The ranks of labelled options, where a model gives a log-probability to each option: an exact law, and more power where little is left.

Canary i has scores s_i0, ..., s_i(M-1), any fixed function of what the model gave and of nothing that depends on the key: here the rank of
each option among the M, twice over so that ties get whole numbers. The label is uniform over the options, so the score of the labelled
option is a draw from these M numbers, independent from canary to canary, and the law of the sum S is their convolution: exact, with ties,
whatever the model. p = P(sum >= S).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from filiation.canaries.canary import normalised
from filiation.statistics.coincidences import LN10
from filiation.statistics.tilting import Float64, Masses, sum_of_independent

Scores = tuple[int, ...]


def doubled_ranks(log_probabilities: Sequence[float]) -> Scores:
    """For each option, twice the options below it plus those level with it (itself left out). Raises ValueError on NaN."""
    values = np.array(log_probabilities, dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError("a log-probability is not a number")
    below = (values[None, :] < values[:, None]).sum(axis=1)
    level = (values[None, :] == values[:, None]).sum(axis=1) - 1
    return tuple(int(rank) for rank in 2 * below + level)


def option_log_probabilities(first_token: Sequence[tuple[str, float]], options: Sequence[str]) -> tuple[float, ...]:
    """The log-probability of each option from the tokens that an answer could begin with; minus infinity where none is told.

    A token speaks for an option that begins with it, if no other option does. The reading knows nothing of the key.
    """
    wanted = [normalised(option) for option in options]
    found = [-math.inf] * len(wanted)
    for token, log_probability in first_token:
        begun = normalised(token)
        speaks_for = [number for number, option in enumerate(wanted) if begun and option.startswith(begun)]
        if len(speaks_for) == 1:
            found[speaks_for[0]] = max(found[speaks_for[0]], log_probability)
    return tuple(found)


def log10_sum_tail(total: int, scores: Sequence[Scores]) -> float:
    """log10 P(sum over canaries of a uniformly drawn score >= `total`), exact. Raises ValueError without scores, or out of range."""
    arrays = [np.array(each, dtype=np.float64) for each in scores]
    if not arrays or not total <= sum(each.max() for each in arrays):
        raise ValueError(f"no draw of {len(arrays)} scores sums to {total}")
    if total <= sum(each.min() for each in arrays):
        return 0.0
    tilt = _tilt_to(total, arrays)
    if not np.isfinite(tilt):
        return float(sum(np.log(np.mean(each == each.max())) for each in arrays)) / LN10
    log_moment = sum(float(logsumexp(tilt * each)) - np.log(len(each)) for each in arrays)
    summed = sum_of_independent([_tilted(each, tilt) for each in arrays])
    return min(0.0, float(log_moment) - tilt * total + summed.log_upper_tail(total, tilt)) / LN10


def share_to_detect(total: int, scores: Sequence[Scores], power: float) -> float:
    """The share of canaries whose labelled option has to stand first, the others' labels by lot, for the sum to reach `total`.

    It does so with probability `power` or more; to three decimals, rounded up. 1.0 also where not even all would do.
    """
    if total > sum(map(max, scores)):
        return 1.0
    low, high = 0, 1000
    while low < high:
        middle = (low + high) // 2
        summed = sum_of_independent([_with_share_on_top(each, middle / 1000) for each in scores])
        if summed.log_upper_tail(total, 0.0) >= np.log(power):
            high = middle
        else:
            low = middle + 1
    return low / 1000


def _with_share_on_top(scores: Scores, share: float) -> Masses:
    masses = (1.0 - share) * np.bincount(scores) / len(scores)
    masses[max(scores)] += share
    return Masses(0, masses)


def _tilted(scores: Float64, tilt: float) -> Masses:
    """The law of one score under exponential tilting."""
    lowest = int(scores.min())
    weights = np.exp(tilt * (scores - scores.max()))
    masses: Float64 = np.bincount((scores - lowest).astype(np.int64), weights=weights / weights.sum()).astype(
        np.float64
    )
    return Masses(lowest, masses)


def _tilt_to(total: int, arrays: Sequence[Float64]) -> float:
    """The t >= 0 at which the tilted sum has the mean `total`; 0 below the mean, infinity at the largest sum."""

    def surplus(tilt: float) -> float:
        mean = 0.0
        for each in arrays:
            weights = np.exp(tilt * (each - each.max()))
            mean += float(weights @ each / weights.sum())
        return mean - total

    if total == sum(each.max() for each in arrays):
        return float("inf")
    if surplus(0.0) >= 0.0:
        return 0.0
    high = 1.0
    while surplus(high) < 0.0:
        high *= 2.0
    return float(brentq(surplus, 0.0, high, xtol=1e-9))
