"""Does a suspect remember the later documents of a training run better than the earlier ones? The order was drawn by lot.

An owner shuffled the documents before training and kept the order. A model that descends from that run still shows it: what was
read last is remembered best (Kuditipudi and others 2025, 'Blackbox model provenance via palimpsestic membership inference').
Whoever was made without that order has likelihoods that do not depend on it, however good, biased, tied or copied they are.

**The null is made, not estimated.** The order is a uniform permutation, drawn independently of the suspect (and of the control,
where one is given). Given all likelihoods, every order was equally likely; so the law of any statistic follows from the lot alone,
and nothing is assumed about the likelihoods: no independence, no distribution. Choosing documents by their text or by their
likelihood is harmless; so is choosing them by their place in the order; choosing by both is not.

**Statistic.** The number S of pairs of documents, of the same stratum, of which the later one has the strictly larger likelihood
(Kendall 1938). Under the null a stratum of n documents gives a sum of independent uniform numbers from {0..0}, {0..1}, ..., {0..n-1}
(inversions of a random permutation: Rodrigues 1839), and strata add up, so the law of S is known without simulation, however far
out:

* up to `EXACT_PAIRS` pairs the tail is counted in whole numbers, exact;
* beyond, Chernoff's bound on the same law, the least over t > 0 of E exp(t (S - s)): always at least the exact tail, by about a
  factor of t sd(S) sqrt(2 pi) (a little over one power of ten at p = 1e-10).

Spearman's rho, which Kuditipudi and others take, is as efficient against a trend and has no such law; `permutation_log10_p` gives
its Monte Carlo p. The two are never combined, because nobody may choose the smaller.

**Ties** count against the accusation: a tied pair is as good as one in the wrong order, so S is at most what breaking ties by lot
would give, and the same law holds for p from above. A suspect that says the same of every document has p = 1.

**Control.** Documents differ in difficulty far more than in memory. With a control's likelihoods of the same documents, strata are
parts of about equal size by the control's likelihood, and the difference suspect minus control takes the place of the suspect's
likelihood. Both are functions of likelihoods alone, so the null holds as before, *if the control does not depend on the order
either*: never the owner's own model, nor anything made from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from operator import sub

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from filiation.statistics.coincidences import LN10
from filiation.statistics.tilting import Float64

EXACT_PAIRS = 6_000
"""Up to so many pairs (about 110 documents in one stratum) the tail is counted in whole numbers."""

STRATA = 10
_SMALL = 64
_DOCUMENTS_PER_BLOCK = 2_000_000

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class OrderTest:
    """What the order of a training run shows of a suspect.

    `sizes` are those of the strata: with `concordant` they decide p. `concordant` of `pairs` are in the order's direction; `tied`
    of the others were ties. `tau` = 2 concordant / pairs - 1, with the interval of Kendall's largest variance,
    2 (1 - tau^2) / documents. `exact` is False where `log10_p` is the bound and not the tail.
    """

    documents: int
    sizes: tuple[int, ...]
    pairs: int
    concordant: int
    tied: int
    tau: float
    tau_low: float
    tau_high: float
    log10_p: float
    resolution_log10_p: float
    exact: bool


def training_order(
    positions: Sequence[int],
    log_likelihoods: Sequence[float],
    control: Sequence[float] | None = None,
    *,
    strata: int = STRATA,
) -> OrderTest:
    """Hold a suspect's log-likelihoods against the places of the documents in the owner's order (larger is later).

    `control`: log-likelihoods of a model that does not depend on the order; `strata` parts by it. Without a control there is one
    stratum. Raises ValueError where places repeat, lengths differ, or a number is not finite.
    """
    ordered = _ordered(positions, log_likelihoods, control, strata)
    sizes = [len(values) for values in ordered]
    pairs = sum(size * (size - 1) // 2 for size in sizes)
    concordant = sum(map(_concordant, ordered))
    tied = sum(map(_tied, ordered))
    tau = 2.0 * concordant / pairs - 1.0 if pairs else 0.0
    reach = 1.96 * math.sqrt(2.0 * (1.0 - tau * tau) / sum(sizes)) if pairs else 1.0
    return OrderTest(
        documents=sum(sizes),
        sizes=tuple(sizes),
        pairs=pairs,
        concordant=concordant,
        tied=tied,
        tau=tau,
        tau_low=max(-1.0, tau - reach),
        tau_high=min(1.0, tau + reach),
        log10_p=log10_concordance_tail(concordant, sizes),
        resolution_log10_p=log10_concordance_tail(pairs, sizes),
        exact=pairs <= EXACT_PAIRS,
    )


def permutation_log10_p(
    positions: Sequence[int],
    log_likelihoods: Sequence[float],
    control: Sequence[float] | None = None,
    *,
    strata: int = STRATA,
    permutations: int = 9_999,
    rng: np.random.Generator,
) -> float:
    """log10 of p = (1 + #{T_b >= T}) / (B + 1) for Spearman's T, the sum within strata of place times rank (mid-ranks for ties).

    Exact for every dependence and every tie: T is a whole number, so no comparison hangs on rounding. Never below
    -log10(`permutations` + 1). Arguments and errors as for `training_order`.
    """
    if permutations < 1:
        raise ValueError(f"at least one permutation is needed, not {permutations}")
    ranked = [_doubled_ranks(values) for values in _ordered(positions, log_likelihoods, control, strata)]
    observed = sum(int(np.arange(len(ranks)) @ ranks) for ranks in ranked)
    as_large = 0
    block = max(1, _DOCUMENTS_PER_BLOCK // max(1, len(positions)))
    for start in range(0, permutations, block):
        rows = min(block, permutations - start)
        drawn = np.zeros(rows, dtype=np.int64)
        for ranks in ranked:
            drawn += rng.permuted(np.tile(ranks, (rows, 1)), axis=1) @ np.arange(len(ranks))
        as_large += int((drawn >= observed).sum())
    return math.log10((1 + as_large) / (permutations + 1))


def log10_concordance_tail(concordant: int, sizes: Sequence[int]) -> float:
    """log10 P(S >= concordant) for uniform orders of strata of these sizes: exact up to EXACT_PAIRS pairs, else Chernoff's bound.

    Finite, at most 0. Raises ValueError for a count that the strata cannot hold.
    """
    if any(size < 0 for size in sizes):
        raise ValueError("a stratum has no negative size")
    pairs = sum(size * (size - 1) // 2 for size in sizes)
    if not 0 <= concordant <= pairs:
        raise ValueError(f"{concordant} concordant pairs are not between 0 and {pairs}")
    if pairs <= EXACT_PAIRS:
        return _counted_tail(pairs - concordant, sizes)
    return _chernoff(concordant, pairs, sizes)


# ------------------------------------------------------------------------------------------------------------- the data


def _ordered(
    positions: Sequence[int], log_likelihoods: Sequence[float], control: Sequence[float] | None, strata: int
) -> list[Float64]:
    """What is compared, stratum by stratum, in the order of the training run."""
    places = np.asarray(positions, dtype=np.int64)
    values = np.asarray(log_likelihoods, dtype=np.float64)
    if places.ndim != 1 or places.shape != values.shape:
        raise ValueError(f"{places.shape} places do not go with {values.shape} log-likelihoods")
    if len(np.unique(places)) != len(places):
        raise ValueError("two documents have the same place in the order")
    _check_finite(values)
    parts = np.zeros(len(values), dtype=np.int64)
    if control is not None:
        known = np.asarray(control, dtype=np.float64)
        if known.shape != values.shape:
            raise ValueError(f"the control has {known.shape} log-likelihoods, the suspect {values.shape}")
        _check_finite(known)
        values, parts = values - known, _parts(known, strata)
    in_order = np.argsort(places)
    return [values[in_order][parts[in_order] == part] for part in np.unique(parts)]


def _parts(control: Float64, strata: int) -> Int64:
    """The part of each document by its rank in the control; tied documents share a part, so the order has no say in it."""
    if strata < 1:
        raise ValueError(f"at least one stratum is needed, not {strata}")
    below: Int64 = np.searchsorted(np.sort(control), control, side="left").astype(np.int64)
    return below * strata // max(1, len(control))


def _check_finite(values: Float64) -> None:
    if not np.isfinite(values).all():
        raise ValueError("a log-likelihood is not a finite number")


def _concordant(values: Float64) -> int:
    """Pairs i < j with values[i] < values[j], by halves: O(n log^2 n)."""
    if len(values) <= _SMALL:
        return int(np.triu(values[:, None] < values[None, :], 1).sum())
    middle = len(values) // 2
    first, second = values[:middle], values[middle:]
    across = int(np.searchsorted(np.sort(first), second, side="left").sum())
    return _concordant(first) + across + _concordant(second)


def _tied(values: Float64) -> int:
    times = np.unique(values, return_counts=True)[1].astype(np.int64)
    return int((times * (times - 1) // 2).sum())


def _doubled_ranks(values: Float64) -> Int64:
    """Twice the mid-ranks: whole numbers."""
    ordered = np.sort(values)
    doubled = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return doubled.astype(np.int64)


# -------------------------------------------------------------------------------------------------------------- the law


def _counted_tail(missing: int, sizes: Sequence[int]) -> float:
    """log10 P(at most `missing` pairs are not concordant), the orders counted in whole numbers."""
    orders = _orders(tuple(sorted(sizes)))
    return min(0.0, math.log10(orders[missing]) - math.log10(orders[-1]))


@lru_cache(maxsize=8)
def _orders(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """How many joint orders of the strata have at most 0, 1, ... pairs that are not concordant.

    The generating function is the product of (1 + q + ... + q^(i-1)) over i = 1..n of every stratum.
    """
    counts = [1]
    for steps in (step for size in sizes for step in range(2, size + 1)):
        counts = list(accumulate(map(sub, [*counts, *[0] * (steps - 1)], [*[0] * steps, *counts])))
    return tuple(accumulate(counts))


def _chernoff(concordant: int, pairs: int, sizes: Sequence[int]) -> float:
    """log10 of the least over t > 0 of E exp(t (S - concordant)); any t gives a bound, so rounding of t costs nothing.

    A uniform number from {0..m-1}, less its mean, has the moment generating function sinh(t m / 2) / (m sinh(t / 2)).
    """
    excess = concordant - pairs / 2.0
    if excess <= 0.0:
        return 0.0
    steps = np.concatenate([np.arange(2, size + 1, dtype=np.float64) for size in sizes if size > 1])
    if concordant == pairs:
        return -float(np.log10(steps).sum())

    def lacking(half: float) -> float:
        return float((steps / np.tanh(half * steps) - 1.0 / np.tanh(half)).sum()) / 2.0 - excess

    low, high = 1e-12, 1.0
    while lacking(high) < 0.0:
        high *= 2.0
    half = float(brentq(lacking, low, high, xtol=1e-15)) if lacking(low) < 0.0 else low
    log_moment = float((_log_sinh_ratio(half * steps) - _log_sinh_ratio(np.full(1, half))).sum())
    return min(0.0, log_moment - 2.0 * half * excess) / LN10


def _log_sinh_ratio(x: Float64) -> Float64:
    """log(sinh(x) / x) for x > 0, by its series where the closed form would lose all digits."""
    small = np.minimum(x, 0.02)
    series = small**2 / 6.0 - small**4 / 180.0 + small**6 / 2835.0
    closed = x + np.log1p(-np.exp(-2.0 * x)) - np.log(2.0 * x)
    ratio: Float64 = np.where(x < 0.02, series, closed)
    return ratio
