"""Confidence intervals of a share."""

from __future__ import annotations

from scipy.special import betaincinv


def share_interval(count: int, opportunities: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of Clopper and Pearson (1934) for `count` of `opportunities`; (0, 1) where there were none.

    Exact for independent opportunities; where they depend on one another it says only how precisely the share was seen.
    """
    if not 0 <= count <= opportunities:
        raise ValueError(f"{count} of {opportunities} is no count")
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else float(betaincinv(count, opportunities - count + 1, tail))
    high = 1.0 if count == opportunities else float(betaincinv(count + 1, opportunities - count, 1.0 - tail))
    return low, high
