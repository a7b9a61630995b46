"""The chance of as many coincidences as were seen, or more: exact, in log10, however small.

`Coincidences` says: `count` in `opportunities`, each with a chance of at most `chance`, whatever the others did. Then
the count is stochastically no larger than a binomial one (or, with one chance per opportunity, a Poisson-binomial one),
for the opportunities can be drawn one after the other from uniform numbers in such a way that none coincides that would
not coincide in the independent draw. Its exact upper tail is therefore a valid p-value under every dependence the
sentence allows. In `clusters`, where only the mean of a whole group is bounded, a Chernoff bound takes the place of the
law.

All results are log10 of a probability: finite, at most 0, never rounded here (`evidence.round_against_accuser` does
it).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, gammaln

from filiation.evidence import Coincidences
from filiation.statistics.tilting import Float64, Masses, sum_of_independent

LN10 = math.log(10.0)
_SERIES_BLOCK = 1024
_TRIALS_PER_BLOCK = 64


def log10_upper_tail(coincidences: Coincidences) -> float:
    """log10 P(K >= count): a p-value that is at most uniform under 'chance at most c given the others'.

    One chance: exact binomial tail. One chance per opportunity: exact Poisson-binomial tail. Clusters: Chernoff bound.
    """
    count, opportunities = coincidences.count, coincidences.opportunities
    if count == 0:
        return 0.0
    if coincidences.chances:
        return _log_poisson_binomial_tail(count, _logits(coincidences.chances)) / LN10
    chance = _the_chance(coincidences)
    if max(coincidences.clusters, default=1) > 1:
        return _log_chernoff_tail(count, chance, np.array(coincidences.clusters, dtype=np.float64)) / LN10
    return log_binomial_tail(count, opportunities, chance, 1.0 - chance) / LN10


def log10_lower_tail(coincidences: Coincidences) -> float:
    """log10 P(K <= count), exact, for independent opportunities with exactly the stated chances.

    A lower tail is no p-value under 'at most c'; e-values and power need it. Raises ValueError for clusters.
    """
    count, opportunities = coincidences.count, coincidences.opportunities
    if max(coincidences.clusters, default=1) > 1:
        raise ValueError("the lower tail of clustered coincidences is not bounded by their mean")
    missed = opportunities - count
    if missed == 0:
        return 0.0
    if coincidences.chances:
        return _log_poisson_binomial_tail(missed, -_logits(coincidences.chances)) / LN10
    chance = _the_chance(coincidences)
    return log_binomial_tail(missed, opportunities, 1.0 - chance, chance) / LN10


def log10_averaged_binomial_tail(coincidences: Coincidences, *, independent: bool) -> float:
    """log10 of the binomial tail at the average chance, an upper bound where Hoeffding (1956, theorem 4) allows it.

    The theorem: for independent opportunities and `count` >= sum of the chances + 1, the Poisson-binomial tail is at
    most the binomial tail with the same mean. Raises ValueError everywhere else, for there the bound is false.
    """
    if not coincidences.chances:
        raise ValueError("an average needs one chance per opportunity")
    if not independent:
        raise ValueError("the averaged binomial is valid for independent opportunities only")
    expected = math.fsum(coincidences.chances)
    if coincidences.count < expected + 1.0:
        raise ValueError(
            f"the averaged binomial is valid from {expected + 1.0:.6g} coincidences on, not for {coincidences.count}"
        )
    average = math.nextafter(expected / coincidences.opportunities, 1.0)
    averaged = Coincidences(count=coincidences.count, opportunities=coincidences.opportunities, chance=average)
    return log10_upper_tail(averaged)


def resolution_log10_p(coincidences: Coincidences) -> float:
    """The smallest log10 p that this design could have reached: every opportunity a coincidence."""
    return log10_upper_tail(
        Coincidences(
            count=coincidences.opportunities,
            opportunities=coincidences.opportunities,
            chance=coincidences.chance,
            chances=coincidences.chances,
            clusters=coincidences.clusters,
        )
    )


# ---------------------------------------------------------------------------------------------------------- binomial


def log_binomial_tail(count: int, opportunities: int, chance: float, complement: float) -> float:
    """Natural log of P(Bin(opportunities, chance) >= count); `complement` is 1 - chance, in all its digits."""
    if count <= 0:
        return 0.0
    if count > opportunities * chance:
        return _log_tail_beyond_mean(count, opportunities, chance, complement)
    log_lower = _log_tail_beyond_mean(opportunities - count + 1, opportunities, complement, chance)
    return _log_of_rest(log_lower)


def log_binomial_mass(count: int, opportunities: int, chance: float, complement: float) -> float:
    """Natural log of P(Bin(opportunities, chance) = count) by Loader's saddle-point form.

    Loader (2000), 'Fast and accurate computation of binomial probabilities': deviances and Stirling errors instead of
    differences of log-factorials, which lose nine digits at a million opportunities.
    """
    missed = opportunities - count
    if count == 0:
        return opportunities * _log(complement, chance)
    if missed == 0:
        return opportunities * _log(chance, complement)
    stirling = _stirling_error(opportunities) - _stirling_error(count) - _stirling_error(missed)
    deviance = _deviance(count, opportunities * chance) + _deviance(missed, opportunities * complement)
    return stirling - deviance + 0.5 * math.log(opportunities / (2.0 * math.pi * count * missed))


def _log_tail_beyond_mean(count: int, opportunities: int, chance: float, complement: float) -> float:
    """The largest term times a series of falling ratios P(K=j+1)/P(K=j); every term positive."""
    odds = chance / complement
    total, term, reached = 1.0, 1.0, count
    while reached < opportunities and term > 1e-18 * total:
        index = np.arange(reached, min(reached + _SERIES_BLOCK, opportunities), dtype=np.float64)
        terms = term * np.cumprod((opportunities - index) / (index + 1.0) * odds)
        total += float(terms.sum())
        term = float(terms[-1])
        reached += len(index)
    return log_binomial_mass(count, opportunities, chance, complement) + math.log(total)


def _deviance(observed: float, expected: float) -> float:
    """x log(x / y) - x + y without cancellation (Loader's bd0)."""
    excess = observed - expected
    if abs(excess) < 0.5 * expected:
        return observed * math.log1p(excess / expected) - excess
    return observed * (math.log(observed) - math.log(expected)) - excess


def _stirling_error(n: int) -> float:
    """log n! minus Stirling's formula."""
    if n < 16:
        return float(gammaln(n + 1.0)) - ((n + 0.5) * math.log(n) - n + 0.5 * math.log(2.0 * math.pi))
    square = float(n) * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / (1188 * square)) / square) / square) / square) / n


def _log_of_rest(log_share: float) -> float:
    """log(1 - exp(x)) for x < 0, with all digits at both ends."""
    return math.log1p(-math.exp(log_share)) if log_share < -0.7 else math.log(-math.expm1(log_share))


def _log(chance: float, complement: float) -> float:
    """log chance, from whichever of chance and 1 - chance has the digits."""
    return math.log(chance) if chance < 0.5 else math.log1p(-complement)


# -------------------------------------------------------------------------------------------------- Poisson-binomial


def _log_poisson_binomial_tail(count: int, logits: Float64) -> float:
    """Natural log of P(sum of independent Bernoulli >= count); `logits` (opportunities,) are log(c / (1 - c)).

    Below the mean the complement is summed instead, so the sum is always over a tail.
    """
    if count > expit(logits).sum():
        return _log_poisson_binomial_beyond_mean(count, logits)
    log_lower = _log_poisson_binomial_beyond_mean(len(logits) - count + 1, -logits)
    return _log_of_rest(log_lower)


def _log_poisson_binomial_beyond_mean(count: int, logits: Float64) -> float:
    if count == len(logits):
        return -float(np.logaddexp(0.0, -logits).sum())
    tilt = _tilt_to(count, logits, np.ones(len(logits)))
    # log of the moment generating function: product over (1 - c + c e^t) = (1 + e^(logit + t)) / (1 + e^logit).
    log_moment = float((np.logaddexp(0.0, logits + tilt) - np.logaddexp(0.0, logits)).sum())
    tilted = _poisson_binomial_masses(expit(logits + tilt))
    return log_moment - tilt * count + tilted.log_upper_tail(count, tilt)


def _poisson_binomial_masses(chances: Float64) -> Masses:
    """The law of the sum: blocks of opportunities side by side first, then the blocks convolved."""
    blocks = -(-len(chances) // _TRIALS_PER_BLOCK)
    padded = np.zeros(blocks * _TRIALS_PER_BLOCK)
    padded[: len(chances)] = chances
    success = padded.reshape(blocks, _TRIALS_PER_BLOCK)
    law = np.zeros((blocks, _TRIALS_PER_BLOCK + 1))
    law[:, 0] = 1.0
    for trial in range(_TRIALS_PER_BLOCK):
        hit = success[:, trial : trial + 1]
        moved = law[:, :-1] * hit
        law *= 1.0 - hit
        law[:, 1:] += moved
    return sum_of_independent([Masses(0, block) for block in law])


def _tilt_to(count: int, logits: Float64, sizes: Float64) -> float:
    """The t at which groups of these sizes, each all or nothing, have a tilted mean of `count` (0 < count < all)."""
    goal = math.log(count / (sizes.sum() - count))
    distances = (goal - logits) / sizes

    def surplus(tilt: float) -> float:
        return float((sizes * expit(logits + tilt * sizes)).sum()) - count

    return float(brentq(surplus, distances.min() - 1.0, distances.max() + 1.0, maxiter=1000))


# ---------------------------------------------------------------------------------------------------------- clusters


def _log_chernoff_tail(count: int, chance: float, sizes: Float64) -> float:
    """Natural log of the smallest over t >= 0 of exp(-t k) times the product of (1 - c + c exp(t m)) over the clusters.

    Inside a cluster of size m anything may happen; its count X lies in [0, m] and has, given the other clusters, a mean
    of at most c m. By convexity exp(t X) <= 1 + (X / m)(exp(t m) - 1), so E exp(t X) <= 1 - c + c exp(t m); Markov's
    inequality does the rest (Hoeffding 1963, section 3). Valid for every t, exact in none: a bound, not a law.
    """
    if count <= chance * sizes.sum():
        return 0.0
    logit = math.log(chance) - math.log1p(-chance)
    if count == int(sizes.sum()):  # the infimum lies at t = infinity
        return len(sizes) * math.log(chance)
    tilt = max(0.0, _tilt_to(count, np.full(len(sizes), logit), sizes))
    log_moment = float((np.logaddexp(0.0, logit + tilt * sizes) - np.logaddexp(0.0, logit)).sum())
    return min(0.0, log_moment - tilt * count)


def _logits(chances: tuple[float, ...]) -> Float64:
    values = np.array(chances, dtype=np.float64)
    logits: Float64 = np.log(values) - np.log1p(-values)
    return logits


def _the_chance(coincidences: Coincidences) -> float:
    if coincidences.chance is None:
        raise ValueError("these coincidences have one chance per opportunity, not one chance")
    return coincidences.chance
