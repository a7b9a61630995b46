"""The chance of a watermark's score, or a larger one, in text that does not depend on the key: exact, in log10, however small.

    green list     Under a random key the green tokens of each list are a random subset of fixed size, lists are independent: the
                   count is a sum of hypergeometric counts, one per list. With one opportunity per list that is the
                   binomial law; with more the law is narrower, and the binomial tail is an upper bound of it from mean + 1 on
                   (a hypergeometric count is a sum of independent indicators: Vatutin and Mikhailov 1982; Hoeffding 1956).
    SynthID        The number of ones in a layer, under a key drawn at random, is one of M known numbers, each as likely; the
                   layers are independent. The law of the sum over layers is their convolution: nothing is assumed about
                   text, table or hash. Weighted means have no law on whole numbers here, and a trained detector has none.
    Gumbel         The score is a sum of T exponential variables with mean 1: a gamma law, P(S >= s) = P(Poisson(s) < T).

E-values are mixtures of exponential bets exp(t s) / E exp(t S) over t > 0, fixed beforehand. With hypergeometric counts the binomial
bet stays valid: its denominator is the larger one (Hoeffding 1963, theorem 4).

Whoever guesses the key has it with a chance of one in the number of keys. No p-value below that is a statement about a key
drawn at random: `no_smaller_than_a_guess` stops there.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betaincinv, gammainc, gammaincc, gammaincinv, gammaln

from filiation.evidence import Absent, Coincidences, Record
from filiation.statistics.coincidences import LN10
from filiation.statistics.e_values import log10_e_value
from filiation.statistics.power import detectable_share
from filiation.statistics.tilting import Float64, Masses, Moments, log_bound, sum_of_independent

_SERIES_BLOCK = 1024
_BETS = 32


@dataclass(frozen=True, eq=False)
class CountLaw:
    """`copies` independent counts of one law: `log_masses[i]` is the natural log of the mass at `first + i`."""

    first: int
    log_masses: Float64
    copies: int = 1

    @property
    def largest(self) -> int:
        return self.first + len(self.log_masses) - 1

    @property
    def variance(self) -> float:
        """That of one copy."""
        away = self._values() - self.tilted_mean(0.0)
        return float((np.exp(self.log_masses) * away * away).sum())

    def log_moment(self, tilt: float) -> float:
        """Natural log of E exp(tilt X) of one copy."""
        return _log_of_sum(self.log_masses + tilt * self._values())

    def tilted_mean(self, tilt: float) -> float:
        """The mean of one copy under the tilted law."""
        return float((self._tilted(tilt) * self._values()).sum())

    def tilted(self, tilt: float) -> Masses:
        """The law of the sum of all copies, tilted."""
        return _power(Masses(self.first, self._tilted(tilt)), self.copies)

    def _values(self) -> Float64:
        return np.arange(self.first, self.first + len(self.log_masses), dtype=np.float64)

    def _tilted(self, tilt: float) -> Float64:
        masses: Float64 = np.exp(self.log_masses + tilt * self._values() - self.log_moment(tilt))
        return masses


def log10_tail_of_sum(laws: Sequence[CountLaw], count: int) -> float:
    """log10 P(sum >= count), exact; `count` may not exceed the largest possible sum."""
    laws = [law for law in laws if law.copies]
    smallest, largest = (sum(law.copies * end(law) for law in laws) for end in (_first, _last))
    if count > largest:
        raise ValueError(f"a count of {count} is more than the {largest} that are possible")
    if count <= smallest:
        return 0.0
    if count == largest:
        return sum(law.copies * float(law.log_masses[-1]) for law in laws) / LN10
    tilt = _tilt_to(count, laws)
    total = sum_of_independent([law.tilted(tilt) for law in laws])
    log_moment = sum(law.copies * law.log_moment(tilt) for law in laws)
    return min(0.0, (log_moment - tilt * count + total.log_upper_tail(count, tilt)) / LN10)


def _tilt_to(count: int, laws: Sequence[CountLaw]) -> float:
    """The tilt, at least 0, under which the sum has its mean near `count`; the tail is the same under every tilt."""

    def missing(tilt: float) -> float:
        return sum(law.copies * law.tilted_mean(tilt) for law in laws) - count

    if missing(0.0) >= 0.0:
        return 0.0
    high = 1.0
    while missing(high) < 0.0 and high < 512.0:
        high *= 2.0
    return high if missing(high) < 0.0 else float(brentq(missing, 0.0, high, xtol=1e-3))


def _power(law: Masses, copies: int) -> Masses:
    total: Masses | None = None
    while copies:
        if copies & 1:
            total = law if total is None else total + law
        copies >>= 1
        if copies:
            law = law + law
    if total is None:
        raise ValueError("a law needs at least one copy")
    return total


def _log_of_sum(logs: Float64) -> float:
    """log of the sum of exp(logs), of which at least one is finite; scipy's takes twenty times as long for short arrays."""
    largest = float(logs.max())
    return largest + math.log(float(np.exp(logs - largest).sum()))


def _first(law: CountLaw) -> int:
    return law.first


def _last(law: CountLaw) -> int:
    return law.largest


# ---------------------------------------------------------------------------------------------------------- green list


def log10_green_tail(count: int, sizes: Sequence[int], list_size: int, vocabulary: int) -> float:
    """log10 P(at least `count` green tokens); `sizes`: the distinct tokens judged by each list."""
    if not 0 < list_size < vocabulary:
        raise ValueError(f"{list_size} green tokens of {vocabulary} are no list")
    if sizes and max(sizes) > vocabulary:
        raise ValueError(f"a list of {vocabulary} tokens cannot judge {max(sizes)} different ones")
    if count == 0:
        return 0.0
    laws = [_hypergeometric(size, list_size, vocabulary, copies) for size, copies in sorted(Counter(sizes).items())]
    return log10_tail_of_sum(laws, count)


def log10_green_e_value(count: int, opportunities: int, list_size: int, vocabulary: int) -> float:
    """log10 of the e-value of the binomial bets at the list's true share."""
    chance = list_size / vocabulary
    return log10_e_value(Coincidences(count=count, opportunities=opportunities, chance=chance))


def _hypergeometric(drawn: int, green: int, vocabulary: int, copies: int) -> CountLaw:
    first, last = max(0, drawn + green - vocabulary), min(drawn, green)
    count = np.arange(first, last + 1, dtype=np.float64)
    log_masses = (
        _log_choose(green, count) + _log_choose(vocabulary - green, drawn - count) - _log_choose(vocabulary, drawn)
    )
    return CountLaw(first, log_masses - _log_of_sum(log_masses), copies)


def _log_choose(n: float, k: Float64 | int) -> Float64:
    log_ways: Float64 = gammaln(n + 1.0) - gammaln(np.asarray(k) + 1.0) - gammaln(n - np.asarray(k) + 1.0)
    return log_ways


# ------------------------------------------------------------------------------------------------------------- SynthID


def log10_layers_tail(count: int, every_key: NDArray[np.int64], layers: int) -> float:
    """log10 P(sum over layers >= count); `every_key`: the ones of a layer under each of its equally likely keys."""
    return log10_tail_of_sum([_law_of(every_key, layers)], count)


def log10_layers_e_value(count: int, every_key: NDArray[np.int64], layers: int) -> float:
    """log10 of the mean of exp(t s) / E exp(t S) over bets t that expect between a little and nearly all more ones."""
    law = _law_of(every_key, layers)
    windows = max(law.largest, 1)
    tilts = [4.0 * bet / _BETS / math.sqrt(windows) for bet in range(1, _BETS + 1)] + [
        bet / _BETS for bet in range(1, _BETS + 1)
    ]
    logs = [tilt * count - layers * law.log_moment(tilt) for tilt in tilts]
    return (_log_of_sum(np.array(logs)) - math.log(len(logs))) / LN10


def _law_of(every_key: NDArray[np.int64], layers: int) -> CountLaw:
    first = int(every_key.min())
    keys = np.bincount(every_key - first)
    with np.errstate(divide="ignore"):
        return CountLaw(first, np.log(keys) - math.log(len(every_key)), layers)


# -------------------------------------------------------------------------------------------------------------- Gumbel


def log10_gumbel_tail(score: float, windows: int) -> float:
    """log10 P(S >= score) for a sum of `windows` independent exponential variables with mean 1."""
    if windows == 0 or score <= 0.0:
        return 0.0
    if score <= windows:
        return math.log10(float(gammaincc(windows, score)))
    # P(Poisson(score) <= windows - 1): its largest term times a falling series of ratios k / score.
    total, term, reached = 1.0, 1.0, windows - 1
    while reached > 0 and term > 1e-18 * total:
        index = np.arange(reached, max(reached - _SERIES_BLOCK, 0), -1, dtype=np.float64)
        terms = term * np.cumprod(index / score)
        total += float(terms.sum())
        term = float(terms[-1])
        reached -= len(index)
    log_largest = (windows - 1) * math.log(score) - score - math.lgamma(windows)
    return min(0.0, (log_largest + math.log(total)) / LN10)


def log10_gumbel_e_value(score: float, windows: int) -> float:
    """log10 of the mean over r in (0, 1) of the bet that every exponential variable has rate r: r^T exp((1 - r) s).

    The integral is exp(s) s^-(T+1) times the lower incomplete gamma function at T + 1.
    """
    if windows == 0:
        return 0.0
    shape = windows + 1
    if score > shape:
        lower = float(gammainc(shape, score))
        return (score + math.lgamma(shape) - shape * math.log(score) + math.log(lower)) / LN10
    # exp(s) s^-a gamma(a, s) = sum over n of s^n / (a (a+1) ... (a+n)), all positive
    total, term, step = 1.0, 1.0, 0
    while term > 1e-18 * total:
        index = np.arange(step + 1, step + 1 + _SERIES_BLOCK, dtype=np.float64)
        terms = term * np.cumprod(score / (shape + index))
        total += float(terms.sum())
        term = float(terms[-1])
        step += _SERIES_BLOCK
    return (math.log(total) - math.log(shape)) / LN10


# --------------------------------------------------------------------------------------------------- scores as recorded


class GreenScore(Record, frozen=True, kw_only=True, tag_field="law", tag="lists"):
    """`count` green tokens. `sizes`: pairs of (opportunities of a list, how many lists had so many)."""

    count: int
    sizes: tuple[tuple[int, int], ...]
    list_size: int
    vocabulary: int

    @property
    def opportunities(self) -> int:
        return sum(size * lists for size, lists in self.sizes)

    @property
    def chance(self) -> float:
        return self.list_size / self.vocabulary

    @property
    def expected(self) -> float:
        """The mean of the count in text that does not depend on the key."""
        return self.opportunities * self.chance

    @property
    def largest(self) -> int:
        return sum(min(size, self.list_size) * lists for size, lists in self.sizes)

    def log10_tail(self, count: int) -> float:
        """log10 P(at least `count`)."""
        return log10_green_tail(count, _spread(self.sizes).tolist(), self.list_size, self.vocabulary)

    def laws(self) -> tuple[CountLaw, ...]:
        """The law of the lists of each size."""
        return tuple(_hypergeometric(size, self.list_size, self.vocabulary, lists) for size, lists in self.sizes)

    def log10_e_value(self) -> float:
        return log10_green_e_value(self.count, self.opportunities, self.list_size, self.vocabulary)


class LayersScore(Record, frozen=True, kw_only=True, tag_field="law", tag="layers"):
    """`count` ones over all layers. `keys`: pairs of (ones of a layer, how many of its equally likely keys give so many)."""

    count: int
    windows: int
    layers: int
    keys: tuple[tuple[int, int], ...]

    @property
    def opportunities(self) -> int:
        return self.windows * self.layers

    @property
    def chance(self) -> float:
        return self.expected / self.opportunities

    @property
    def expected(self) -> float:
        """The mean of the count in text that does not depend on the key."""
        return self.layers * sum(ones * keys for ones, keys in self.keys) / sum(keys for _, keys in self.keys)

    @property
    def largest(self) -> int:
        return self.layers * max(ones for ones, _ in self.keys)

    def log10_tail(self, count: int) -> float:
        """log10 P(at least `count`)."""
        return log10_layers_tail(count, _spread(self.keys), self.layers)

    def laws(self) -> tuple[CountLaw, ...]:
        """The law of all layers."""
        return (_law_of(_spread(self.keys), self.layers),)

    def log10_e_value(self) -> float:
        return log10_layers_e_value(self.count, _spread(self.keys), self.layers)


class SumScore(Record, frozen=True, kw_only=True, tag_field="law", tag="sum"):
    """The sum of `windows` scores in millionths, rounded down. `count`: windows whose number lies in the upper half."""

    count: int
    windows: int
    millionths: int

    @property
    def opportunities(self) -> int:
        return self.windows

    @property
    def chance(self) -> float:
        return 0.5

    @property
    def score(self) -> float:
        return self.millionths / 1e6

    def mean_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The mean score of a window, between these two if scores are exponential with some other mean than 1."""
        tail = (1.0 - confidence) / 2.0
        most, least = float(gammaincinv(self.windows, 1.0 - tail)), float(gammaincinv(self.windows, tail))
        return self.score / most, self.score / least

    @property
    def expected(self) -> float:
        """The mean of the sum in text that does not depend on the key."""
        return float(self.windows)


Score = GreenScore | LayersScore | SumScore


def read_score(recorded: Mapping[str, Any]) -> Score:
    """A score from its plain numbers. Raises ValueError where they are none."""
    score: Score = msgspec.convert(recorded, type=Score)
    return score


def log10_p_of(score: Score, log10_keys: float) -> float:
    """log10 of the exact tail, no smaller than the chance of guessing the key."""
    tail = (
        log10_gumbel_tail(score.score, score.windows) if isinstance(score, SumScore) else score.log10_tail(score.count)
    )
    return no_smaller_than_a_guess(tail, log10_keys)


def log10_e_of(score: Score, log10_keys: float) -> float:
    """log10 of the e-value, no larger than the number of keys."""
    log10_e = log10_gumbel_e_value(score.score, score.windows) if isinstance(score, SumScore) else score.log10_e_value()
    return no_larger_than_a_guess(log10_e, log10_keys)


def log10_resolution(score: Score, log10_keys: float) -> float:
    """log10 of the smallest p that the same windows could have given under this key."""
    if isinstance(score, SumScore):
        return -log10_keys if score.windows else 0.0
    return no_smaller_than_a_guess(score.log10_tail(score.largest), log10_keys)


def share_found(score: Score, log10_threshold: float, power: float = 0.95) -> float:
    """The smallest share of coincidences that reaches the threshold with probability `power`, windows taken as independent.

    Of counts the threshold is taken by Chernoff's bound, which asks for a little more than the exact tail. Of a sum the coincidence is a
    number in the upper half, judged by counting, which finds less than the sum itself. 1.0 where nothing would do.
    """
    if isinstance(score, SumScore):
        share = detectable_share(score.windows, score.chance, log10_threshold, power)
        return 1.0 if isinstance(share, Absent) else share
    law = _moments(score.laws())
    if law.log_largest > log10_threshold * LN10:
        return 1.0
    reached = bisect_left(
        range(score.largest), True, key=lambda count: log_bound(law, count - score.expected) <= log10_threshold * LN10
    )
    return float(betaincinv(reached, score.opportunities - reached + 1, power)) if reached else 0.0


def _moments(laws: Sequence[CountLaw]) -> Moments:
    """The moments of the sum of all counts, its mean taken off."""
    mean = sum(law.copies * law.tilted_mean(0.0) for law in laws)
    return Moments(
        log_moment=lambda tilt: sum(law.copies * law.log_moment(tilt) for law in laws) - tilt * mean,
        slope=lambda tilt: sum(law.copies * law.tilted_mean(tilt) for law in laws) - mean,
        variance=sum(law.copies * law.variance for law in laws),
        largest=sum(law.copies * law.largest for law in laws) - mean,
        log_largest=sum(law.copies * float(law.log_masses[-1]) for law in laws),
    )


def _spread(pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Each value as often as its pair says."""
    values, times = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return np.repeat(values, times)


# -------------------------------------------------------------------------------------------------- what holds for all


def placebo_p_value(score: float, placebos: Sequence[float]) -> float:
    """(1 + placebo keys that score at least as much) / (1 + placebo keys): valid for any text and any score.

    The real key and the placebos are drawn from one distribution, so each of them is as likely to score highest.
    """
    if not placebos:
        raise ValueError("a placebo p-value needs at least one placebo key")
    return (1 + placebos_reaching(score, placebos)) / (1 + len(placebos))


def placebos_reaching(score: float, placebos: Sequence[float]) -> int:
    """How many placebo keys score at least as much, to the last digits that machines differ in."""
    return sum(placebo >= score - 1e-9 * max(1.0, abs(score)) for placebo in placebos)


def no_smaller_than_a_guess(log10_p: float, log10_keys: float) -> float:
    """log10 p, but never below one in the number of keys."""
    return max(log10_p, -log10_keys)


def no_larger_than_a_guess(log10_e: float, log10_keys: float) -> float:
    """log10 e, but never above the number of keys."""
    return min(log10_e, log10_keys)
