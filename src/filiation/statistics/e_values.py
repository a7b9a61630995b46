"""E-values: bets against the null whose expected return is at most 1, so that a return of 1000 is its own evidence.

**Why q >= c only.** Take the opportunities in any order fixed beforehand. Under 'each has a chance of at most c,
whatever the others did', the chance of the next one given those before it is some s <= c. A bet at q pays q/c for a
coincidence and (1-q)/(1-c) for none; its expected return is

    s q/c + (1-s)(1-q)/(1-c) = 1 + (s - c)(q - c) / (c (1-c)),

which is at most 1 for every s <= c exactly when q >= c. So for q >= c the product of the bets is a super-martingale,
and its expectation is at most 1 whatever the dependence. For q < c an honest suspect with s < c would be accused. A
mixture of such products over q, with weights fixed before the data, inherits the property.

Mixing over q (a method of mixtures, Robbins 1970) instead of choosing the best q afterwards is what pays for not
knowing it.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.special import logsumexp, roots_legendre

from filiation.evidence import Coincidences
from filiation.statistics.coincidences import LN10, log_binomial_mass, log_binomial_tail
from filiation.statistics.tilting import Float64

_NODES = 512


def log10_e_value(coincidences: Coincidences) -> float:
    """log10 of the e-value for 'chance at most c given the others'; finite, negative where the count is as expected.

    One chance: q uniform on [c, 1], in closed form,
        E = 1/(1-c) int_c^1 (q/c)^k ((1-q)/(1-c))^(n-k) dq = P(Bin(n+1, c) <= k) / ((n+1) (1-c) P(Bin(n, c) = k)).

    One chance per opportunity: all odds multiplied by a common factor exp(t), t >= 0, the path q_i(t) on which the
    product of bets depends on the total alone: exp(t k) / prod (1 - c_i + c_i exp(t)). Clusters of size m: the bet
    exp(t X) / (1 - c + c exp(t m)), whose expectation is at most 1 by convexity (see `coincidences`). In both, t runs
    over a fixed mixture: with a the mean chance, q takes the 512 Gauss-Legendre nodes of [a, 1] with their weights (the
    uniform mixture made finite, so its validity does not rest on an integral), and t = (logit q - logit a) / size, the
    size being that of the cluster of an average opportunity (1 without clusters).
    """
    count, opportunities = coincidences.count, coincidences.opportunities
    if opportunities == 0:
        return 0.0
    if max(coincidences.clusters, default=1) > 1:
        return (
            _log_mixture(count, np.full(len(coincidences.clusters), coincidences.chance), coincidences.clusters) / LN10
        )
    if coincidences.chances:
        return _log_mixture(count, np.array(coincidences.chances), (1,) * opportunities) / LN10
    if coincidences.chance is None:
        raise ValueError("coincidences without a chance")
    return _log_uniform_mixture(count, opportunities, coincidences.chance) / LN10


def log10_e_value_of_p(log10_p: float, *, kappa: float | None = None) -> float:
    """log10 of an e-value made from a p-value (Vovk and Wang 2021, section 2), for tests that give nothing but a p.

    `kappa` in (0, 1): E = kappa p^(kappa-1). Default: their mixture over kappa uniform on (0, 1), which needs no
    choice, E = (1 - p + p ln p) / (p ln(p)^2). Raises ValueError for a p above 1, a p of 0, or a kappa outside (0, 1).
    """
    if not (math.isfinite(log10_p) and log10_p <= 0.0):
        raise ValueError(f"log10_p must be finite and at most 0, not {log10_p}")
    if kappa is not None:
        if not 0.0 < kappa < 1.0:
            raise ValueError(f"kappa must lie strictly between 0 and 1, not {kappa}")
        return math.log10(kappa) + (kappa - 1.0) * log10_p
    depth = -log10_p * LN10  # with x = -ln p the mixture is (e^x - 1 - x) / x^2
    if depth < 1e-3:
        return math.log10(0.5 + depth / 6.0 + depth * depth / 24.0)
    return (depth + math.log1p(-(1.0 + depth) * math.exp(-depth)) - 2.0 * math.log(depth)) / LN10


def _log_uniform_mixture(count: int, opportunities: int, chance: float) -> float:
    log_lower = log_binomial_tail(opportunities + 1 - count, opportunities + 1, 1.0 - chance, chance)
    log_mass = log_binomial_mass(count, opportunities, chance, 1.0 - chance)
    return log_lower - log_mass - math.log(opportunities + 1.0) - math.log1p(-chance)


def _log_mixture(count: int, chances: Float64, sizes: tuple[int, ...]) -> float:
    """The finite mixture over t; `chances` and `sizes` of one group each, the groups all or nothing at worst."""
    pairs, times = np.unique(np.stack([chances, np.array(sizes, dtype=np.float64)]), axis=1, return_counts=True)
    logits, group_sizes = np.log(pairs[0]) - np.log1p(-pairs[0]), pairs[1]
    average = float((pairs[0] * group_sizes * times).sum() / (group_sizes * times).sum())
    typical = float((group_sizes**2 * times).sum() / (group_sizes * times).sum())
    at_zero = np.logaddexp(0.0, logits)
    tilts, weights = _path(average, typical)
    log_returns = [
        tilt * count - float(((np.logaddexp(0.0, logits + tilt * group_sizes) - at_zero) * times).sum())
        for tilt in tilts
    ]
    return float(logsumexp(log_returns, b=weights))


def _path(average: float, typical_size: float) -> tuple[Float64, Float64]:
    """The values of t, all >= 0, and their weights, which sum to 1."""
    steps, weights = _legendre()
    log_odds = np.log(average + (1.0 - average) * steps) - np.log1p(-average) - np.log1p(-steps)
    start = math.log(average) - math.log1p(-average)
    return np.maximum(0.0, (log_odds - start) / typical_size), weights


@cache
def _legendre() -> tuple[Float64, Float64]:
    nodes, weights = roots_legendre(_NODES)
    return (nodes + 1.0) / 2.0, weights / weights.sum()
