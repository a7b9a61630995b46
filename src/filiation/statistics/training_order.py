"""Does a suspect remember the later documents of a training run better than the earlier ones? The order was drawn by lot.

An owner shuffled the documents before training and kept the order. A model that descends from that run still shows it: what was
read last is remembered best (Kuditipudi and others 2025, 'Blackbox model provenance via palimpsestic membership inference').
Whoever was made without that order has likelihoods that do not depend on it, however good, biased, tied or copied they are.

**The null is made, not estimated.** The order is a uniform permutation, drawn independently of the suspect (and of the control,
where one is given). Given all likelihoods, every order was equally likely; so the law of any statistic follows from the lot alone,
and nothing is assumed about the likelihoods: no independence, no distribution. Choosing documents by their text or by their
likelihood is harmless; so is choosing them by their place in the order; choosing by both is not.

**Statistic.** The number S of pairs of documents, of the same stratum, of which the later one has the strictly larger likelihood
(Kendall 1938). Given which documents are tied, every order of the values is equally likely, so S in a stratum of n documents has
the generating function

    [n]! / ([m1]! [m2]! ...),    [n]! = product over i = 1..n of (1 + q + ... + q^(i-1)),

of the inversions of a permutation (Rodrigues 1839) or, with ties in groups of m1, m2, ... documents, of a word with repeated letters
(MacMahon 1916); strata add up. So the law of S is known without simulation, however far out:

* up to `EXACT_PAIRS` pairs the tail is counted in whole numbers, exact;
* beyond, it is Chernoff's bound on the same law, the least over t > 0 of E exp(t (S - s)), times what that leaves out
  (statistics/inversion.py): never below the tail, and above it by a few parts in 10,000 at most. Of very many documents of very many
  sizes of strata that would be long; then p is Chernoff's bound alone, about a factor of t sd(S) sqrt(2 pi) above the tail (one power
  of ten at p = 1e-6). In the lower half of the law p is 1;
* the e-value is a mixture of exp(t S) / E exp(t S) over values of t that depend on the sizes of strata and ties alone
  (`tilting.log_bet`).

Spearman's rho, which Kuditipudi and others take, is as efficient against a trend and has no such law; `permutation_log10_p` gives
its Monte Carlo p. The two are never combined, because nobody may choose the smaller.

**Ties** are no pairs: they are neither for nor against. Which values are tied does not depend on the order, so conditioning on it costs
nothing. A suspect that says the same of every document has p = 1; one with two values only is tested by the law of Mann and Whitney.

**Control.** Documents differ in difficulty far more than in memory. With a control's likelihoods of the same documents, strata are
parts of about equal size by the control's likelihood, and of the suspect's likelihoods that part is compared which the control's do not
explain by least squares over all documents; a control on another scale does no harm then. All of it are functions of likelihoods
alone, so the null holds as before, *if the control does not depend on the order either*: never the owner's own model, nor anything
made from it.
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
from scipy.stats import rankdata

from filiation.statistics.coincidences import LN10
from filiation.statistics.controls import unexplained
from filiation.statistics.inversion import left_out
from filiation.statistics.tilting import Float64, Moments, best_tilt, effect_to_detect, log_bet, log_bound

EXACT_PAIRS = 6_000
"""Up to so many pairs (about 110 documents in one stratum) the tail is counted in whole numbers."""

STRATA = 10
_SMALL = 64
_DOCUMENTS_PER_BLOCK = 2_000_000

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class OrderTest:
    """What the order of a training run shows of a suspect.

    `sizes` are those of the strata, `ties` those of groups of tied documents inside them: with `concordant` they decide p.
    `concordant` of the `pairs` whose documents are not tied are in the order's direction; `tied` pairs are. `tau` =
    2 concordant / pairs - 1, with the interval of Kendall's largest variance, 2 (1 - tau^2) / documents. `exact` is False where
    `log10_p` is bounded from above and not counted.
    """

    documents: int
    sizes: tuple[int, ...]
    ties: tuple[int, ...]
    pairs: int
    concordant: int
    tied: int
    tau: float
    tau_low: float
    tau_high: float
    log10_p: float
    log10_e: float
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
    ties = sorted(size for values in ordered for size in _ties(values))
    concordant, tied = sum(map(_concordant, ordered)), _pairs(ties)
    pairs = _pairs(sizes) - tied
    tau = 2.0 * concordant / pairs - 1.0 if pairs else 0.0
    reach = 1.96 * math.sqrt(2.0 * (1.0 - tau * tau) / sum(sizes)) if pairs else 1.0
    return OrderTest(
        documents=sum(sizes),
        sizes=tuple(sizes),
        ties=tuple(ties),
        pairs=pairs,
        concordant=concordant,
        tied=tied,
        tau=tau,
        tau_low=max(-1.0, tau - reach),
        tau_high=min(1.0, tau + reach),
        log10_p=log10_concordance_tail(concordant, sizes, ties),
        log10_e=log10_concordance_e(concordant, sizes, ties),
        resolution_log10_p=log10_concordance_tail(pairs, sizes, ties),
        exact=pairs + tied <= EXACT_PAIRS,
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
    ranked = [
        (2.0 * rankdata(values)).astype(np.int64) for values in _ordered(positions, log_likelihoods, control, strata)
    ]
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


def log10_concordance_tail(concordant: int, sizes: Sequence[int], ties: Sequence[int] = ()) -> float:
    """log10 P(S >= concordant) for uniform orders of strata of these sizes with groups of tied documents of these sizes.

    Counted up to EXACT_PAIRS pairs, else bounded from above (module docstring). Finite, at most 0. Raises ValueError for a count that
    the strata cannot hold.
    """
    pairs = _checked_pairs(concordant, sizes, ties)
    if _pairs(sizes) <= EXACT_PAIRS:
        return _counted_tail(pairs - concordant, sizes, ties)
    return _inverted(concordant, pairs, sizes, ties)


def log10_concordance_e(concordant: int, sizes: Sequence[int], ties: Sequence[int] = ()) -> float:
    """log10 of the e-value of so many concordant pairs; at most -`log10_concordance_tail`. Arguments and errors as there."""
    pairs = _checked_pairs(concordant, sizes, ties)
    return log_bet(_moments(pairs, sizes, ties), concordant - pairs / 2.0) / LN10


def tau_to_detect(sizes: Sequence[int], threshold_log10_p: float) -> float:
    """The smallest true tau that strata without ties find with 95 % probability at this threshold; 1.0 also where none is.

    For the variance of S, Kendall's largest is taken, 2 (1 - tau^2) / documents.
    """
    pairs = _pairs(sizes)
    if not pairs:
        return 1.0
    return effect_to_detect(_moments(pairs, sizes, ()), threshold_log10_p, 2.0 / sum(sizes))


def _checked_pairs(concordant: int, sizes: Sequence[int], ties: Sequence[int]) -> int:
    """The pairs of documents that are not tied."""
    if any(size < 0 for size in (*sizes, *ties)):
        raise ValueError("a stratum has no negative size")
    pairs = _pairs(sizes) - _pairs(ties)
    if not 0 <= concordant <= pairs:
        raise ValueError(f"{concordant} concordant pairs are not between 0 and {pairs}")
    return pairs


def _pairs(sizes: Sequence[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)


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
        values, parts = _unexplained(values, known), _parts(known, strata)
    in_order = np.argsort(places)
    return [values[in_order][parts[in_order] == part] for part in np.unique(parts)]


def _parts(control: Float64, strata: int) -> Int64:
    """The part of each document by its rank in the control; tied documents share a part, so the order has no say in it."""
    if strata < 1:
        raise ValueError(f"at least one stratum is needed, not {strata}")
    below: Int64 = np.searchsorted(np.sort(control), control, side="left").astype(np.int64)
    return below * strata // max(1, len(control))


def _unexplained(values: Float64, control: Float64) -> Float64:
    """What is left of the suspect's likelihoods after what the control's explain: a control on another scale does no harm."""
    return unexplained(_centred(values), _centred(control)) if len(values) else values


def _centred(values: Float64) -> Float64:
    centred: Float64 = values - math.fsum(values) / len(values)
    return centred


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


def _ties(values: Float64) -> list[int]:
    """Sizes of the groups of tied documents."""
    times = np.unique(values, return_counts=True)[1]
    return [int(size) for size in times if size > 1]


# -------------------------------------------------------------------------------------------------------------- the law


def _counted_tail(missing: int, sizes: Sequence[int], ties: Sequence[int] = ()) -> float:
    """log10 P(at most `missing` pairs are not concordant), the orders counted in whole numbers."""
    orders = _orders(tuple(sorted(sizes)), tuple(sorted(ties)))
    return min(0.0, math.log10(orders[missing]) - math.log10(orders[-1]))


@lru_cache(maxsize=8)
def _orders(sizes: tuple[int, ...], ties: tuple[int, ...]) -> tuple[int, ...]:
    """How many joint orders of the strata have at most 0, 1, ... pairs that are not concordant: the module's generating function."""
    counts = [1]
    times = _steps(sizes, ties)
    for step in (step for step, times_of in times.items() for _ in range(times_of)):
        counts = list(accumulate(map(sub, [*counts, *[0] * (step - 1)], [*[0] * step, *counts])))
    for step in (step for step, times_of in times.items() for _ in range(-times_of)):
        counts = _divided(counts, step)
    return tuple(accumulate(counts))


def _divided(counts: list[int], step: int) -> list[int]:
    """The polynomial with these coefficients over 1 + q + ... + q^(step - 1), which divides it: times 1 - q, over 1 - q^step."""
    left = list(map(sub, counts, [0, *counts]))
    for at in range(step, len(left)):
        left[at] += left[at - step]
    return left[: len(counts) - step + 1]


def _steps(sizes: Sequence[int], ties: Sequence[int]) -> dict[int, int]:
    """How often each factor 1 + q + ... + q^(i-1), i > 1, stands in the generating function; below 0 where it divides."""
    largest = max((*sizes, *ties), default=0)
    # Of size n, all factors up to n: counted from the largest down.
    ends = np.bincount(sizes, minlength=largest + 1) - np.bincount(ties or [0], minlength=largest + 1)
    times = np.cumsum(ends[::-1])[::-1]
    return {int(step): int(times[step]) for step in np.flatnonzero(times) if step > 1}


def _inverted(concordant: int, pairs: int, sizes: Sequence[int], ties: Sequence[int] = ()) -> float:
    """log10 of Chernoff's bound times what it leaves out."""
    law, excess = _moments(pairs, sizes, ties), concordant - pairs / 2.0
    if not 0.0 < excess < law.largest:
        return log_bound(law, excess) / LN10
    # Any tilt gives the tail. One that is too small would not tell apart what lies a period below.
    tilt = max(best_tilt(law, excess), 2.0 / math.sqrt(law.variance))
    variance = (law.slope(1.001 * tilt) - law.slope(0.999 * tilt)) / (0.002 * tilt)
    more = left_out(_steps(sizes, ties), excess, tilt, max(0.0, variance))
    return min(log_bound(law, excess), law.log_moment(tilt) - tilt * excess + math.log(more)) / LN10


def _moments(pairs: int, sizes: Sequence[int], ties: Sequence[int]) -> Moments:
    """Of S less its mean. A uniform number from {0..m-1}, less its mean, has E exp(t X) = sinh(t m / 2) / (m sinh(t / 2))."""
    told = _steps(sizes, ties)
    steps, times = np.array(list(told), dtype=np.float64), np.array(list(told.values()), dtype=np.float64)
    every = float(times.sum())

    def log_moment(tilt: float) -> float:
        half = tilt / 2.0
        return float(times @ _log_sinh_ratio(half * steps)) - every * float(_log_sinh_ratio(np.array([half]))[0])

    def slope(tilt: float) -> float:
        half = tilt / 2.0
        return (float(times @ (steps * _langevin(half * steps))) - every * float(_langevin(np.array([half]))[0])) / 2.0

    return Moments(
        log_moment=log_moment,
        slope=slope,
        variance=float(times @ (steps**2 - 1.0)) / 12.0,
        largest=pairs / 2.0,
        log_largest=-float(times @ np.log(steps)),
    )


def _log_sinh_ratio(x: Float64) -> Float64:
    """log(sinh(x) / x) for x > 0, by its series where the closed form would lose all digits."""
    small = np.minimum(x, 0.02)
    series = small**2 / 6.0 - small**4 / 180.0 + small**6 / 2835.0
    closed = x + np.log1p(-np.exp(-2.0 * x)) - np.log(2.0 * x)
    ratio: Float64 = np.where(x < 0.02, series, closed)
    return ratio


def _langevin(x: Float64) -> Float64:
    """coth(x) - 1/x for x > 0, the derivative of `_log_sinh_ratio`."""
    small = np.minimum(x, 0.02)
    derivative: Float64 = np.where(
        x < 0.02, small / 3.0 - small**3 / 45.0 + 2.0 * small**5 / 945.0, 1.0 / np.tanh(x) - 1.0 / x
    )
    return derivative
