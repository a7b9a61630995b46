"""Sums of independent numbers far out in their tails: exponential tilting, by convolution or by moments alone.

The law of each count is multiplied by exp(t j) and normalised, with t chosen so that the sum has its mean where the
tail begins (Escher 1932; Daniels 1954). Tilting commutes with convolution, so the tail is recovered exactly from the
tilted sum; nothing is subtracted and nothing that matters underflows, whether the tail is 10^-1 or 10^-100000.

Where a law is too large to be convolved its moments still are known (`Moments`), and with M(t) = E exp(t X):

* **a bound**, `log_bound`: P(X >= x) <= M(t) exp(-t x) for every t >= 0 (Chernoff 1952); the least of them;
* **an e-value**, `log_bet`: exp(t X) / M(t) has expectation 1 for every t, and so has every mixture of such bets over values of t that
  do not depend on X (a method of mixtures, Robbins 1970). It never exceeds 1 / bound, whose t is the best one afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp

Float64 = NDArray[np.float64]

NEGLIGIBLE = 1e-40
"""Masses below this share of the largest one are dropped: far under the last digit of any sum formed here."""


class Masses:
    """Point masses of an integer count: `values[i]` is the mass at `first + i`."""

    __slots__ = ("first", "values")

    def __init__(self, first: int, values: Float64) -> None:
        kept = np.flatnonzero(values > NEGLIGIBLE * values.max())
        self.first = first + int(kept[0])
        self.values = values[kept[0] : kept[-1] + 1]

    def __add__(self, other: Masses) -> Masses:
        """The law of the sum of two independent counts."""
        return Masses(self.first + other.first, np.convolve(self.values, other.values))

    def log_upper_tail(self, count: int, tilt: float) -> float:
        """Natural log of the sum over j >= `count` of exp(-tilt (j - count)) mass(j), for tilt >= 0."""
        above = self.values[max(0, count - self.first) :]
        distance = np.arange(len(above)) + max(0, self.first - count)
        return float(np.log(np.sum(above * np.exp(-tilt * distance))))


def sum_of_independent(laws: Sequence[Masses]) -> Masses:
    """The law of the sum of one or more independent counts, neighbours added first: O(n^2), in practice far less."""
    level = list(laws)
    while len(level) > 1:
        pairs = [first + second for first, second in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0]


@dataclass(frozen=True)
class Moments:
    """The law of X, a number with mean 0, by its moments. All logarithms are natural.

    `log_moment(t)` = log E exp(t X) and `slope(t)`, its derivative, for t > 0; `variance` of X; `largest`, the largest value of X, and
    `log_largest`, the logarithm of its probability.
    """

    log_moment: Callable[[float], float]
    slope: Callable[[float], float]
    variance: float
    largest: float
    log_largest: float


def log_bound(law: Moments, excess: float) -> float:
    """Natural log of Chernoff's bound on P(X >= `excess`): any t gives a bound, so rounding of the best t costs nothing."""
    if excess <= 0.0:
        return 0.0
    if excess >= law.largest:
        return law.log_largest
    tilt = best_tilt(law, excess)
    return min(0.0, law.log_moment(tilt) - tilt * excess)


def best_tilt(law: Moments, excess: float) -> float:
    """The t whose bound is the least, for 0 < `excess` < the largest value."""
    deviation = math.sqrt(law.variance)
    low, high = 1e-9 / deviation, 1.0 / deviation
    while law.slope(high) < excess:
        high *= 2.0
    return float(brentq(lambda t: law.slope(t) - excess, low, high, rtol=1e-14)) if law.slope(low) < excess else low


def log_bet(law: Moments, excess: float) -> float:
    """Natural log of the mixture of bets exp(t X) / E exp(t X) at X = `excess`; its expectation is 1.

    t takes the values 2^(1 + k/2) / sd, k = 0, 1, ..., n, n being the first at which the tilted mean comes within a thousandth of the
    largest value; that of k weighs 1 / ((k + 1) (k + 2)), and the last one what is left. Smaller t win little whatever happens;
    neighbours are so close that the best bet between them has a logarithm about 3 % larger at most.
    """
    if law.variance <= 0.0:
        return 0.0
    tilts = _tilts(law)
    weights = [1.0 / ((k + 1) * (k + 2)) for k in range(len(tilts) - 1)]
    weights.append(1.0 / len(tilts))  # 1 / (1 * 2) + ... + 1 / (n (n + 1)) = 1 - 1 / (n + 1)
    return float(logsumexp([tilt * excess - law.log_moment(tilt) for tilt in tilts], b=weights))


def effect_to_detect(law: Moments, threshold_log10_p: float, spread: float) -> float:
    """The smallest true effect, X / largest on average, whose bound reaches a threshold with 95 % probability; 1.0 also where none does.

    An effect x is seen with a variance of about `spread` (1 - x^2).
    """
    threshold = threshold_log10_p * math.log(10.0)
    if law.log_largest > threshold:
        return 1.0
    needed = float(brentq(lambda share: log_bound(law, share * law.largest) - threshold, 0.0, 1.0, xtol=1e-9))
    # The larger root of (x - needed)^2 = 1.645^2 spread (1 - x^2).
    variance = 1.645**2 * spread
    return min(1.0, (needed + math.sqrt(variance * (1.0 + variance - needed * needed))) / (1.0 + variance))


def _tilts(law: Moments) -> list[float]:
    tilts = [2.0 / math.sqrt(law.variance)]
    while law.slope(tilts[-1]) < 0.999 * law.largest:
        tilts.append(tilts[-1] * math.sqrt(2.0))
    return tilts
