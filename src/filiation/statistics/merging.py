"""Merging and multiplicity: several results of one proposition, one alternative and one kind of null.

Nothing here assumes independence. Results that rest on different kinds of null are never given to one call together.
Merging nothing raises ValueError: an empty set of checks is never a result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import logsumexp

_WEIGHT_TOLERANCE = 1e-9


def merge_log10_e(log10_e_values: Sequence[float], weights: Sequence[float]) -> float:
    """log10 of the weighted arithmetic mean of e-values: an e-value under every dependence.

    Vovk and Wang (2021), 'E-values: calibration, combination and applications', proposition 3.1. The weights must have
    been fixed before the data. Raises ValueError for no values, values that are not finite, or weights that are not.
    """
    _check_values(log10_e_values)
    _check_weights(weights, len(log10_e_values))
    natural = [value * math.log(10.0) for value in log10_e_values]
    merged = float(logsumexp(natural, b=list(weights))) / math.log(10.0)
    return min(max(log10_e_values), merged)


def bonferroni(log10_p: float, log10_searched: float) -> float:
    """log10 of p times the number of choices searched, at most 0; the smallest p of the search goes in."""
    _check_p_values([log10_p])
    if not (math.isfinite(log10_searched) and log10_searched >= 0.0):
        raise ValueError(f"log10 of the number of choices must be finite and at least 0, not {log10_searched}")
    return min(0.0, log10_p + log10_searched)


def weighted_bonferroni(log10_p_values: Sequence[float], weights: Sequence[float]) -> float:
    """log10 of the smallest p_i / w_i, at most 0: one p-value for a pre-listed search with prior weights w_i.

    Choices with weight 0 were not searched and cannot count. Valid under every dependence by the union bound.
    """
    _check_p_values(log10_p_values)
    _check_weights(weights, len(log10_p_values))
    paid = [p - math.log10(weight) for p, weight in zip(log10_p_values, weights, strict=True) if weight > 0.0]
    return min(0.0, *paid)


def holm(log10_p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's (1979) adjusted log10 p-values, in the order given.

    Rejecting those at most log10 alpha makes any error at all with probability at most alpha, under every dependence.
    """
    _check_p_values(log10_p_values)
    adjusted = [0.0] * len(log10_p_values)
    running = -math.inf
    for rank, index in enumerate(sorted(range(len(log10_p_values)), key=lambda i: log10_p_values[i])):
        remaining = len(log10_p_values) - rank
        running = max(running, log10_p_values[index] + math.log10(remaining))
        adjusted[index] = min(0.0, running)
    return tuple(adjusted)


def e_bh(log10_e_values: Sequence[float], alpha: float) -> tuple[int, ...]:
    """Indices rejected by the e-BH procedure (Wang and Ramdas 2022): false discovery rate <= alpha, any dependence.

    The k largest of m e-values are rejected, for the largest k whose k-th is at least m / (alpha k).
    """
    _check_values(log10_e_values)
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie strictly between 0 and 1, not {alpha}")
    order = sorted(range(len(log10_e_values)), key=lambda i: -log10_e_values[i])
    price = math.log10(len(order)) - math.log10(alpha)
    passing = [k for k, index in enumerate(order, start=1) if log10_e_values[index] >= price - math.log10(k)]
    return tuple(sorted(order[: max(passing, default=0)]))


def _check_values(values: Sequence[float]) -> None:
    if not values:
        raise ValueError("merging nothing is no result")
    if not all(math.isfinite(value) for value in values):
        raise ValueError("every value must be a finite log10")


def _check_p_values(log10_p_values: Sequence[float]) -> None:
    _check_values(log10_p_values)
    if max(log10_p_values) > 0.0:
        raise ValueError("log10 of a p-value must not exceed 0")


def _check_weights(weights: Sequence[float], length: int) -> None:
    if len(weights) != length:
        raise ValueError(f"{len(weights)} weights for {length} values")
    if not all(math.isfinite(weight) and weight >= 0.0 for weight in weights):
        raise ValueError("weights must be finite and not negative")
    if abs(math.fsum(weights) - 1.0) > _WEIGHT_TOLERANCE:
        raise ValueError(f"weights must sum to 1, not {math.fsum(weights)}")
