"""Sums of independent counts far out in their tails: positive convolutions under exponential tilting.

The law of each count is multiplied by exp(t j) and normalised, with t chosen so that the sum has its mean where the
tail begins (Escher 1932; Daniels 1954). Tilting commutes with convolution, so the tail is recovered exactly from the
tilted sum; nothing is subtracted and nothing that matters underflows, whether the tail is 10^-1 or 10^-100000.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
