"""The verbal scale of likelihood ratios: full, symmetric, number first and word second.

ENFSI (2015), 'Guideline for evaluative reporting in forensic science', version 3.0, with the mirror image for the
alternative printed out. A ratio on a border takes the weaker word.
"""

from __future__ import annotations

import math
from typing import NamedTuple

FOR = "the relation"
AGAINST = "independence"
NEITHER = "no support for either"


class Step(NamedTuple):
    """Likelihood ratios from 10^`log10_low` to 10^`log10_high` (infinite at the ends), and the words for them."""

    log10_low: float
    log10_high: float
    word: str


_DEGREES = (
    (math.log10(2.0), 1.0, "weak"),
    (1.0, 2.0, "moderate"),
    (2.0, 3.0, "moderately strong"),
    (3.0, 4.0, "strong"),
    (4.0, 6.0, "very strong"),
    (6.0, math.inf, "extremely strong"),
)

SCALE: tuple[Step, ...] = (
    *(Step(-high, -low, f"{degree} support for {AGAINST}") for low, high, degree in reversed(_DEGREES)),
    Step(-_DEGREES[0][0], _DEGREES[0][0], NEITHER),
    *(Step(low, high, f"{degree} support for {FOR}") for low, high, degree in _DEGREES),
)
"""All steps, from the strongest support for independence to the strongest for the relation; no gaps, no overlaps."""


def word(log10_likelihood_ratio: float) -> str:
    """The words of the scale for a likelihood ratio. Raises ValueError where it is not a finite number."""
    if not math.isfinite(log10_likelihood_ratio):
        raise ValueError(f"not a finite log10 likelihood ratio: {log10_likelihood_ratio}")
    strength = abs(log10_likelihood_ratio)
    for step in SCALE[len(SCALE) // 2 :]:
        if strength <= step.log10_high:
            return step.word if log10_likelihood_ratio > 0 else step.word.replace(FOR, AGAINST)
    raise AssertionError("the scale has a gap")
