"""The chance that a forged transcript passes, when some of its segments are drawn and run again.

Of n segments f are forged: the recorded end is not what the recorded start, data and recipe give. m segments are drawn without
replacement after everything was committed. Running a forged one again always shows it (bit-identical platforms), so the forger passes
only where none of the f is drawn,

    P(pass) = C(n - f, m) / C(n, m),

the hypergeometric chance of no success; exact, and whoever forges knew nothing of the draw. A single forged segment passes
with chance 1 - m / n: only running everything again excludes it.
"""

from __future__ import annotations

import math

from scipy.special import gammaln

from filiation.statistics.coincidences import LN10


def log10_pass_chance(segments: int, forged: int, executed: int) -> float:
    """log10 of the chance that none of the forged segments is drawn; -inf where they cannot all be missed.

    Raises ValueError for numbers that do not go together.
    """
    if not (0 <= forged <= segments and 0 <= executed <= segments):
        raise ValueError(f"{forged} forged and {executed} executed do not go with {segments} segments")
    if forged + executed > segments:
        return -math.inf
    if 0 in (forged, executed):
        return 0.0
    return min(0.0, _log_choose(segments - forged, executed) - _log_choose(segments, executed)) / LN10


def executed_needed(segments: int, forged: int, chance: float) -> int:
    """The fewest segments to run again so that a transcript with `forged` forged ones passes with at most `chance`.

    Raises ValueError unless 0 < chance < 1 and at least one segment is forged.
    """
    if not (0.0 < chance < 1.0 and 1 <= forged <= segments):
        raise ValueError("a chance lies strictly between 0 and 1, and at least one segment has to be forged")
    wanted = math.log10(chance) + 1e-12
    low, high = 0, segments - forged + 1
    while low < high:
        middle = (low + high) // 2
        if log10_pass_chance(segments, forged, middle) <= wanted:
            high = middle
        else:
            low = middle + 1
    return low


def _log_choose(n: int, k: int) -> float:
    return float(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))
