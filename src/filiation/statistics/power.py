"""Power: what a design could have found, said before or beside what it found.

The threshold is a log10 p; the truth is a *share*: the probability with which each opportunity, independently, is a
coincidence. Where only a part of what was copied survives, `share_with_survival` gives that probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import betaincinv

from filiation.evidence import Absent
from filiation.statistics.coincidences import LN10, log_binomial_tail


def detection_count(opportunities: int, chance: float, log10_alpha: float) -> int:
    """The smallest count with log10 p <= `log10_alpha`; `opportunities` + 1 where not even that many reach it."""
    _check(chance=chance, log10_alpha=log10_alpha)
    if opportunities < 0:
        raise ValueError(f"opportunities must not be negative, not {opportunities}")
    return _first_true(
        lambda count: _reaches(count, opportunities, chance, log10_alpha),
        0,
        opportunities + 1,
    )


def detectable_share(opportunities: int, chance: float, log10_alpha: float, power: float = 0.95) -> float | Absent:
    """The smallest true share of coincidences that reaches `log10_alpha` with probability `power`.

    `Absent` with the reason where the design is too small to reach the threshold at all (a share of 1.0 would not do).
    """
    _check(chance=chance, log10_alpha=log10_alpha, power=power)
    count = detection_count(opportunities, chance, log10_alpha)
    if count > opportunities:
        return Absent(
            reason=f"{opportunities} opportunities at chance {chance:g} cannot reach log10 p = {log10_alpha:g}, "
            "however many coincide"
        )
    if count == 0:
        return 0.0
    # P(Bin(n, q) >= k) is the incomplete beta function I_q(k, n - k + 1).
    return float(betaincinv(count, opportunities - count + 1, power))


def opportunities_needed(chance: float, share: float, log10_alpha: float, power: float = 0.95) -> int:
    """The smallest number of opportunities at which a true `share` reaches `log10_alpha` with probability `power`.

    Power is a saw-tooth in the number of opportunities, so a plan with more than these may fall just below `power`
    again. Raises ValueError unless the share exceeds the chance: nothing else can be found.
    """
    _check(chance=chance, log10_alpha=log10_alpha, power=power)
    if not chance < share <= 1.0:
        raise ValueError(f"a share of {share} cannot be told from a chance of {chance}")
    if log10_alpha == 0.0:
        return 0

    def needed_for(count: int) -> int:
        return _fewest_with_power(count, share, power)

    def suffices(count: int) -> bool:
        opportunities = needed_for(count)
        return _reaches(count, opportunities, chance, log10_alpha)

    high = 1
    while not suffices(high):
        high *= 2
    first = _first_true(suffices, 1, high)
    # Whole numbers make `suffices` flicker around the crossing: look back over all counts that rounding could have
    # hidden.
    window = 8 + math.ceil(8.0 / (1.0 / chance - 1.0 / share))
    return needed_for(next(count for count in range(max(1, first - window), first + 1) if suffices(count)))


def share_with_survival(survival: float, chance: float) -> float:
    """The share of coincidences when a share `survival` of the copy is still there and the rest falls by chance."""
    if not (0.0 <= survival <= 1.0 and 0.0 < chance < 1.0):
        raise ValueError("survival must lie in [0, 1] and chance strictly between 0 and 1")
    return survival + (1.0 - survival) * chance


def _reaches(count: int, opportunities: int, chance: float, log10_alpha: float) -> bool:
    """Whether log10 p <= `log10_alpha`; the last digit of a logarithm does not decide (12 at chance 0.1 reach 1e-12)."""
    log10_p = log_binomial_tail(count, opportunities, chance, 1.0 - chance) / LN10
    return log10_p <= log10_alpha * (1.0 - 1e-12)


def _fewest_with_power(count: int, share: float, power: float) -> int:
    """The smallest n with P(Bin(n, share) >= count) >= power, for a fixed count (monotone in n)."""
    if share == 1.0:
        return count
    log_power = math.log(power)

    def found(opportunities: int) -> bool:
        return log_binomial_tail(count, opportunities, share, 1.0 - share) >= log_power

    high = count
    while not found(high):
        high *= 2
    return _first_true(found, count, high)


def _first_true(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The first integer in [low, high) for which a monotone condition holds, or `high`."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _check(*, chance: float, log10_alpha: float, power: float = 0.5) -> None:
    if not 0.0 < chance < 1.0:
        raise ValueError(f"a chance must lie strictly between 0 and 1, not {chance}")
    if not (math.isfinite(log10_alpha) and log10_alpha <= 0.0):
        raise ValueError(f"log10_alpha must be finite and at most 0, not {log10_alpha}")
    if not 0.0 < power < 1.0:
        raise ValueError(f"power must lie strictly between 0 and 1, not {power}")
