"""Coincidence of indices: how many rows stand where a uniform random permutation would have put them.

The law of the number of fixed points goes back to Montmort (1708, the game of treize); Feller (1968, volume 1, IV.4).
Where n rows are matched into m >= n columns the matching is a uniform injection, and the same inclusion and exclusion
gives, for the number K of rows that find their own column,

    P(K = j) = (1/j!) prod_{i<j} (n-i)/(m-i)  *  D(n-j, m-j),
    D(a, b)  = sum_{l<=a} (-1)^l/l! prod_{i<l} (a-i)/(b-i)         (no fixed point among the others),

with n = m Montmort's 1/j! sum_{l<=n-j} (-1)^l/l!. The terms of D are at most 1/l!, so the sum loses no digits. Totals
over independent matchings (one per layer) are convolved under tilting: exact, however small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln, logsumexp

from filiation.statistics.coincidences import LN10
from filiation.statistics.tilting import Float64, Masses, sum_of_independent

_TERMS = 27  # 1/27! is below 1e-28


def log10_fixed_points_tail(count: int, sizes: Sequence[int]) -> float:
    """log10 P(K >= count) for the fixed points of independent uniform permutations of these sizes, exact."""
    return log10_shared_indices_tail(count, [(size, size) for size in sizes])


def log10_shared_indices_tail(count: int, shapes: Sequence[tuple[int, int]]) -> float:
    """log10 P(K >= count), exact, for the rows that find their own column in independent uniform matchings.

    `shapes` are (rows, columns) of each matching, in either order: the smaller side is matched into the larger.
    Raises ValueError for a size below 1 or a count that the shapes cannot hold.
    """
    matchings = Counter((min(shape), max(shape)) for shape in shapes)
    total = sum(rows * times for (rows, _), times in matchings.items())
    if any(rows < 1 for rows, _ in matchings):
        raise ValueError("a matching needs at least one row and one column")
    if not 0 <= count <= total:
        raise ValueError(f"count {count} is not between 0 and {total} rows")
    if count == 0:
        return 0.0
    laws = {shape: _log_law(*shape) for shape in matchings}
    if count == total:
        return min(0.0, float(sum(laws[shape][-1] * times for shape, times in matchings.items()))) / LN10
    mean = sum(rows / columns * times for (rows, columns), times in matchings.items())
    tilt = _tilt_to(count, laws, matchings) if count > mean else 0.0
    log_moments = {shape: float(logsumexp(_tilted(law, tilt))) for shape, law in laws.items()}
    tilted = {shape: Masses(0, np.exp(_tilted(law, tilt) - log_moments[shape])) for shape, law in laws.items()}
    summed = sum_of_independent([tilted[shape] for shape in matchings.elements()])
    log_moment = sum(log_moments[shape] * times for shape, times in matchings.items())
    return min(0.0, log_moment - tilt * count + summed.log_upper_tail(count, tilt)) / LN10


def log10_factorial_moment_bound(count: int, rows: int, columns: int) -> float:
    """log10 of E[C(K, count)] >= P(K >= count) for one matching: the bound a reader can check by hand."""
    low, high = min(rows, columns), max(rows, columns)
    if not 0 <= count <= low:
        raise ValueError(f"count {count} is not between 0 and {low} rows")
    return min(0.0, float(_log_factorial_moments(low, high)[count]) / LN10)


def _log_law(rows: int, columns: int) -> Float64:
    """Natural log of P(K = j), shape (rows + 1,), for rows <= columns; -inf where j is impossible."""
    with np.errstate(divide="ignore"):  # rows - 1 fixed points of a square are impossible: log 0
        law: Float64 = _log_factorial_moments(rows, columns) + np.log(_no_other_fixed_point(rows, columns))
    return law


def _log_factorial_moments(rows: int, columns: int) -> Float64:
    """Natural log of E[C(K, j)] = (1/j!) prod_{i<j} (rows - i)/(columns - i), shape (rows + 1,)."""
    index = np.arange(rows, dtype=np.float64)
    shares = np.log((rows - index) / (columns - index))
    moments: Float64 = np.concatenate([[0.0], np.cumsum(shares)]) - gammaln(np.arange(rows + 1) + 1.0)
    return moments


def _no_other_fixed_point(rows: int, columns: int) -> Float64:
    """D(rows - j, columns - j) for j = 0..rows, shape (rows + 1,)."""
    left = rows - np.arange(rows + 1, dtype=np.float64)
    open_columns = columns - np.arange(rows + 1, dtype=np.float64)
    term = np.ones(rows + 1)
    total = np.ones(rows + 1)
    for order in range(1, _TERMS + 1):
        # Once `left` is used up the factor is 0 and stays 0; the guard keeps 0/0 of a square out.
        term = -term * np.maximum(left - order + 1, 0.0) / (np.maximum(open_columns - order + 1, 1.0) * order)
        total += term
    return np.maximum(total, 0.0)


def _tilted(log_law: Float64, tilt: float) -> Float64:
    tilted: Float64 = log_law + tilt * np.arange(len(log_law))
    return tilted


def _tilt_to(count: int, laws: dict[tuple[int, int], Float64], matchings: Counter[tuple[int, int]]) -> float:
    """The t at which the tilted total has the mean `count`, for mean < count < all rows."""

    def surplus(tilt: float) -> float:
        mean = 0.0
        for shape, times in matchings.items():
            log_masses = _tilted(laws[shape], tilt)
            masses = np.exp(log_masses - log_masses.max())
            mean += times * float(masses @ np.arange(len(masses)) / masses.sum())
        return mean - count

    high = 1.0
    while surplus(high) < 0.0:
        high *= 2.0
    return float(brentq(surplus, 0.0, high, xtol=1e-6))
