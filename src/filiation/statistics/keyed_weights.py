"""The chance of a keyed sum: weights that do not depend on a key, added up where the key says so; a bound, in log10, however small.

    lists     Each list has a weight w for some tokens (0 for all others); T is the sum of the weights of green tokens. Under a random key
              the green tokens of a list are a random subset of a fixed size, and lists are independent. A convex function of a sum drawn
              without replacement is dominated by the same with replacement (Hoeffding 1963, theorem 4), so of a list of V tokens

                  E exp(t T) <= (mean over all V tokens of exp(t w))^size.

              Where more than half is green the same is said of the tokens that are not, with -w: their number is fixed as well.
    numbers   T is the sum of w X, X = -log(1 - u): exponential with mean 1, independent. E exp(t w X) = 1 / (1 - t w) for t w < 1.
              Of numbers with few bits the margin `COARSE` is added for each weight.

What is judged is the excess of T over its mean, D, by bets exp(t D) / M(t), where M(t) is what stands above, the mean taken off: each
bet's expectation is at most 1, and so is that of their mean, the e-value.

    weights fixed beforehand     p is the least of M(t) exp(-t D) over the bets (Chernoff 1952). The bets may depend on the weights.
    weights that follow          What was read may carry the key's choices, and later weights may depend on them. Given everything before
                                 a context, its weights are fixed and what the key says there is not: the product of bets is a
                                 super-martingale, for values of t fixed before all. p is 1 / e (Markov), and no best bet is picked.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from filiation.evidence import Record
from filiation.statistics.coincidences import LN10
from filiation.statistics.watermark_tails import no_larger_than_a_guess, no_smaller_than_a_guess

Float64 = NDArray[np.float64]
Ints = NDArray[np.int64]

COARSE = 2.0**-23
"""Of numbers u with 24 bits: log E exp(t w X) is at most this times (1 + |t w|) above that of an exponential X, for a weight of either sign
(a sum over the 2^24 values against the integral: half of it would do)."""

STEPS_FIXED = range(-2, 25)
"""Bets on weights fixed beforehand: t = 2^(k/4) / deviation."""
STEPS_FOLLOWING = range(-4, 16)
"""Bets where weights follow what was read: t = 2^(-k/2); on numbers only those below 1, because weights lie between -1 and 1."""
_TILT_UNIT, _MOMENT_UNIT = 1e-9, 1e-6


class ShiftScore(Record, frozen=True, kw_only=True):
    """What a keyed sum is judged by.

    `weighed`: weights that are not 0, over `contexts`. `gained`: those above 0, of which the key prefers `preferred`, each with a chance
    of `list_size` / `vocabulary` (numbers: 1 / 2, the upper half). `excess`: T minus its mean; `variance`: what it has under the null,
    both in millionths. `bets`: t in billionths, and log M(t) in millionths, rounded up. `follows`: weights may depend on what was read.
    """

    contexts: int
    weighed: int
    gained: int
    preferred: int
    list_size: int
    vocabulary: int
    excess: int
    variance: int
    bets: tuple[tuple[int, int], ...]
    follows: bool

    @property
    def chance(self) -> float:
        return self.list_size / self.vocabulary

    @property
    def deviations(self) -> float:
        """The excess in its standard deviations; 0 where nothing was weighed."""
        return self.excess / 1e6 / math.sqrt(self.variance / 1e6) if self.variance else 0.0

    def log10_p(self, log10_keys: float) -> float:
        """A bound on log10 of the chance, no smaller than that of guessing the key."""
        returns = self._log_returns()
        if not len(returns):
            return 0.0
        log_p = -self._log_e() if self.follows else -float(returns.max())
        return no_smaller_than_a_guess(min(0.0, log_p / LN10), log10_keys)

    def log10_e(self, log10_keys: float) -> float:
        """log10 of the e-value, the mean of all bets; no larger than the number of keys."""
        return no_larger_than_a_guess(self._log_e() / LN10, log10_keys) if self.bets else 0.0

    def _log_e(self) -> float:
        return float(logsumexp(self._log_returns())) - math.log(len(self.bets))

    def _log_returns(self) -> Float64:
        """Natural logarithm of what each bet returned."""
        tilts, moments = np.array(self.bets, dtype=np.float64).reshape(-1, 2).T
        returned: Float64 = tilts * _TILT_UNIT * (self.excess / 1e6) - moments * _MOMENT_UNIT
        return returned


def score_of_lists(
    lists: Ints, weights: Float64, green: NDArray[np.bool_], *, list_size: int, vocabulary: int, follows: bool
) -> ShiftScore:
    """The score of weights, each of another token of its list. `lists`: the number of the list of each; `green`: whether it stands there.

    Raises ValueError where lists of this size have no law.
    """
    if not 0 < list_size < vocabulary:
        raise ValueError(f"{list_size} green tokens of {vocabulary} are no list")
    of_list = np.unique(lists, return_inverse=True)[1].reshape(-1)
    sums, squares = (np.bincount(of_list, weights=each) for each in (weights, weights * weights))
    share = list_size / vocabulary
    spread = share * (1.0 - share) * vocabulary / (vocabulary - 1) * (squares - sums * sums / vocabulary)
    sign, drawn = (1.0, list_size) if 2 * list_size <= vocabulary else (-1.0, vocabulary - list_size)
    mean = sign * drawn / vocabulary * math.fsum(sums.tolist())

    def log_moment(tilt: float) -> float:
        above = np.bincount(of_list, weights=np.expm1(sign * tilt * weights)) / vocabulary
        return float(drawn * np.log1p(above).sum() - tilt * mean)

    excess = math.fsum(weights[green].tolist()) - share * math.fsum(sums.tolist())
    return _score(weights, green, len(sums), (list_size, vocabulary), excess, float(spread.sum()), log_moment, follows)


def score_of_numbers(
    contexts: int, weights: Float64, numbers: Float64, *, coarse: bool = False, follows: bool
) -> ShiftScore:
    """The score of weights with a number u in (0, 1) each. `coarse`: the numbers have 24 bits.

    Raises ValueError for weights that follow what was read and do not lie between -1 and 1.
    """
    if follows and len(weights) and float(np.abs(weights).max()) > 1.0:
        raise ValueError("weights that follow what was read lie between -1 and 1")
    excess = math.fsum((weights * (-np.log1p(-numbers) - 1.0)).tolist())

    def log_moment(tilt: float) -> float:
        if follows and tilt >= 1.0:
            return math.inf
        exact = -np.log1p(-tilt * weights) - tilt * weights
        return float(exact.sum() + coarse * COARSE * (1.0 + tilt * np.abs(weights)).sum())

    spread = float((weights * weights).sum())
    return _score(weights, numbers > 0.5, contexts, (1, 2), excess, spread, log_moment, follows)


def _score(
    weights: Float64,
    preferred: NDArray[np.bool_],
    contexts: int,
    share: tuple[int, int],
    excess: float,
    variance: float,
    log_moment: Callable[[float], float],
    follows: bool,
) -> ShiftScore:
    gains = weights > 0.0
    return ShiftScore(
        contexts=contexts,
        weighed=int((weights != 0.0).sum()),
        gained=int(gains.sum()),
        preferred=int((gains & preferred).sum()),
        list_size=share[0],
        vocabulary=share[1],
        excess=math.floor(excess * 1e6),
        variance=round(variance * 1e6),
        bets=_bets(variance, log_moment, follows),
        follows=follows,
    )


def _bets(variance: float, log_moment: Callable[[float], float], follows: bool) -> tuple[tuple[int, int], ...]:
    """The bets that have a finite moment. Which of them do depends on the weights alone; where weights follow, on none of them."""
    if variance <= 0.0:
        return ()
    values = (
        [2.0 ** (-step / 2) for step in STEPS_FOLLOWING]
        if follows
        else [2.0 ** (step / 4) / math.sqrt(variance) for step in STEPS_FIXED]
    )
    found = []
    for tilt in sorted({round(value / _TILT_UNIT) for value in values} - {0}):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            moment = log_moment(tilt * _TILT_UNIT)
        if math.isfinite(moment):
            found.append((tilt, math.ceil(moment / _MOMENT_UNIT)))
    return tuple(found)
