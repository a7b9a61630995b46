"""Does a suspect favour the published one of two twins? Which one was published was drawn by lot.

An owner has pairs of equally good texts, publishes one of each, drawn by a fair coin, and keeps the other to himself. Whoever was made
without the published texts has no reason to favour them: given how far apart a model holds the two twins of a pair, on which side the
published one lies is the owner's coin, whatever model it is.

**The null is made, not estimated.** With d the score of the published twin less that of the withheld one, the signs of all d are
independent fair coins given all |d|. No symmetry, no independence and no distribution of scores is assumed: the lot gives the
symmetry that Wilcoxon's test elsewhere has to suppose.

**Control.** Twins are never equally easy. From the differences is taken what a control's differences explain of them, by least
squares through the origin. Exchanging the twins of a pair changes the signs of both differences and leaves their product as it was,
so the slope does not depend on the lot, and the signs of what is left are the owner's coins as before, *if the control does not depend
on the lot either*. A control on another scale does no harm: its slope is small.

**Statistic.** The sum T of the ranks of |d| over the pairs with d > 0 (Wilcoxon 1945), mid-ranks for ties, doubled to whole numbers. Pairs
with d = 0 have no sign: they are neither for nor against. T is a sum of independent numbers that are 0 or the rank, so its law is known:

* up to `EXACT_TWINS` pairs the choices of signs are counted: in whole numbers as long as 53 bits hold them, else in floating point, where
  only positive numbers are added, so that no more than the last digits of p can be wrong (a relative 1e-10);
* beyond, Chernoff's bound on the same law, E exp(t (T - E T)) = product of cosh(t rank / 2);
* the e-value is a mixture over t on the same law (`tilting.log_bet`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import rankdata

from filiation.statistics.coincidences import LN10
from filiation.statistics.controls import unexplained
from filiation.statistics.tilting import Float64, Moments, effect_to_detect, log_bet, log_bound

EXACT_TWINS = 1_000
"""Up to so many pairs of twins with a sign the choices are counted: there are fewer than the largest floating-point number."""


@dataclass(frozen=True)
class TwinTest:
    """What pairs of twins show of a suspect.

    `twins` pairs, of which in `favoured` the published one scores higher and in `tied` neither. `rank_sum` of `rank_total` are the doubled
    ranks of those that are favoured. `effect` = 2 rank_sum / rank_total - 1, from -1 to 1 (the matched-pairs rank-biserial correlation),
    with Hoeffding's 95 % interval for its mean given all |d|. `exact` is False where `log10_p` is the bound and not the tail.
    """

    twins: int
    favoured: int
    tied: int
    rank_sum: int
    rank_total: int
    effect: float
    effect_low: float
    effect_high: float
    log10_p: float
    log10_e: float
    resolution_log10_p: float
    exact: bool


def private_twins(
    published: Sequence[float], withheld: Sequence[float], control: Sequence[float] | None = None
) -> TwinTest:
    """Hold a suspect's scores of published texts against those of their withheld twins, pair by pair.

    `control`: the differences, published less withheld, of a model that does not depend on the lot. Raises ValueError where the lengths
    differ or a score is not finite.
    """
    differences = _differences(published, withheld)
    if control is not None:
        differences = _unexplained(differences, np.asarray(control, dtype=np.float64))
    signed = differences[differences != 0.0]
    ranks = (2.0 * rankdata(np.abs(signed))).astype(np.int64)
    favoured, total = int(ranks[signed > 0.0].sum()), int(ranks.sum())
    law = tuple(sorted(map(int, ranks)))
    effect = 2.0 * favoured / total - 1.0 if total else 0.0
    reach = (
        2.0 * math.sqrt(math.log(40.0) / 2.0 * float(np.square(ranks, dtype=np.float64).sum())) / total
        if total
        else 1.0
    )
    return TwinTest(
        twins=len(differences),
        favoured=int((signed > 0.0).sum()),
        tied=len(differences) - len(signed),
        rank_sum=favoured,
        rank_total=total,
        effect=effect,
        effect_low=max(-1.0, effect - reach),
        effect_high=min(1.0, effect + reach),
        log10_p=log10_rank_sum_tail(favoured, law),
        log10_e=log10_rank_sum_e(favoured, law),
        resolution_log10_p=log10_rank_sum_tail(total, law),
        exact=len(law) <= EXACT_TWINS,
    )


def log10_rank_sum_tail(rank_sum: int, ranks: Sequence[int]) -> float:
    """log10 P(T >= rank_sum) where each of these whole ranks counts with a fair coin of its own.

    Exact up to EXACT_TWINS ranks, else Chernoff's bound. Finite, at most 0. Raises ValueError for a sum that the ranks cannot have.
    """
    _check(rank_sum, ranks)
    if len(ranks) <= EXACT_TWINS:
        return _counted_tail(rank_sum, tuple(sorted(ranks)))
    return log_bound(_moments(ranks), rank_sum - sum(ranks) / 2.0) / LN10


def log10_rank_sum_e(rank_sum: int, ranks: Sequence[int]) -> float:
    """log10 of the e-value of such a sum; at most -`log10_rank_sum_tail`. Arguments and errors as there."""
    _check(rank_sum, ranks)
    return log_bet(_moments(ranks), rank_sum - sum(ranks) / 2.0) / LN10


def effect_to_detect_among(twins: int, threshold_log10_p: float) -> float:
    """The smallest true effect that so many pairs without ties find with 95 % probability at this threshold; 1.0 also where none is.

    The signs are taken as independent, and of one chance.
    """
    if not twins:
        return 1.0
    ranks = np.arange(1, twins + 1, dtype=np.float64)
    spread = float((ranks**2).sum() / ranks.sum() ** 2)
    return effect_to_detect(_moments(range(2, 2 * twins + 1, 2)), threshold_log10_p, spread)


def _differences(published: Sequence[float], withheld: Sequence[float]) -> Float64:
    one, other = np.asarray(published, dtype=np.float64), np.asarray(withheld, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"{one.shape} published texts do not go with {other.shape} withheld ones")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("a score is not a finite number")
    differences: Float64 = one - other
    return differences


def _unexplained(differences: Float64, control: Float64) -> Float64:
    """What is left of the differences after what the control's explain of them."""
    if control.shape != differences.shape:
        raise ValueError(f"the control has {control.shape} differences, the suspect {differences.shape}")
    if not np.isfinite(control).all():
        raise ValueError("a control's difference is not a finite number")
    return unexplained(differences, control)


def _check(rank_sum: int, ranks: Sequence[int]) -> None:
    if any(rank < 1 for rank in ranks):
        raise ValueError("ranks are positive")
    if not 0 <= rank_sum <= sum(ranks):
        raise ValueError(f"a rank sum of {rank_sum} is not between 0 and {sum(ranks)}")


@lru_cache(maxsize=8)
def _at_most(ranks: tuple[int, ...]) -> Float64:
    """How many choices of signs have a sum of at most 0, 1, ... times the ranks' common divisor: the product of (1 + q^rank)."""
    steps = [rank // math.gcd(*ranks) for rank in ranks]
    counts = np.zeros(sum(steps) + 1)
    counts[0], reached = 1.0, 1
    for step in steps:
        counts[step : step + reached] += counts[:reached].copy()
        reached += step
    return np.cumsum(counts)


def _counted_tail(rank_sum: int, ranks: tuple[int, ...]) -> float:
    """The law is symmetric: P(T >= s) = P(T <= total - s)."""
    at = (sum(ranks) - rank_sum) // math.gcd(*ranks) if ranks else 0
    return min(0.0, math.log10(_at_most(ranks)[at]) - len(ranks) * math.log10(2.0))


def _moments(ranks: Sequence[int]) -> Moments:
    """Of T less its mean."""
    halves = np.asarray(ranks, dtype=np.float64) / 2.0

    def log_moment(tilt: float) -> float:
        return float((np.logaddexp(tilt * halves, -tilt * halves) - math.log(2.0)).sum())

    def slope(tilt: float) -> float:
        return float(halves @ np.tanh(tilt * halves))

    return Moments(
        log_moment=log_moment,
        slope=slope,
        variance=float(halves @ halves),
        largest=float(halves.sum()),
        log_largest=-len(ranks) * math.log(2.0),
    )
