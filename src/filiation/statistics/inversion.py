"""What Chernoff's bound leaves out of a tail, for counts whose law is a product of uniform ones: the characteristic function, inverted.

X is a sum of independent numbers, uniform on {0, ..., i-1}, less its mean; some may be divided out (the law of inversions with ties,
statistics/training_order.py). With M(t) = E exp(t X) and the law tilted by t,

    P(X >= x) = M(t) exp(-t x) Q,        Q = mean of exp(-t (X - x)) over X >= x under the tilted law.

M(t) exp(-t x) is Chernoff's bound. With phi the characteristic function of the tilted X and any whole period N,

    sum over r = 0..N-1 of exp(-t r) P(X = x + r + k N for any k)
        = 1/N sum over j = 0..N-1 of phi(u) exp(-i u x) (1 - exp(-t N)) / (1 - exp(-t - i u)),        u = 2 pi j / N.

The left side is never below Q, and above it by what lies N and more below x (Abate and Whitt 1992, 'The Fourier-series method for inverting
transforms of probability distributions', call it aliasing). Terms from some u on are not summed but bounded, with h = t / 2:

    |phi of one uniform number| = A(u) sqrt(1 + (sin(i u / 2) / sinh(i h))^2),     A(u) = 1 / sqrt(1 + (sin(u / 2) / sinh h)^2),

is at most A(u) coth(i h) and at least A(u), and A falls from u = 0 to pi. Numbers may be left out of the bound, since |phi| is at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filiation.statistics.tilting import Float64

DEVIATIONS = 10.0
"""The period: what lies so many standard deviations below is counted in, and is nothing."""

NEGLIGIBLE = 1e-15
"""Terms that are not summed may add up to so much; it is added."""

ROUNDING = 1e-7
"""Far more than rounding can take away; it is added, as a share."""

MOST_TERMS = 20_000_000
"""Frequencies times different uniform numbers: of one stratum some 100,000 documents, a few seconds."""

_TOGETHER = 500_000

Complex128 = NDArray[np.complex128]


def left_out(times: Mapping[int, int], excess: float, tilt: float, variance: float) -> float:
    """Q of `excess` > 0 under `tilt` > 0, at most 1, never too small; 1 where it would take more than MOST_TERMS.

    `times`: how often there is a uniform number of so many values (below 0 where it is divided out). `variance` of the tilted X, about.
    """
    values = np.array(list(times), dtype=np.float64)
    powers = np.array(list(times.values()), dtype=np.float64)
    period = 2 * math.ceil(DEVIATIONS / 2.0 * math.sqrt(variance)) + 2
    last = _last_frequency(values, powers, tilt, period)
    if last * len(values) > MOST_TERMS:
        return 1.0
    terms = 0.0
    rows = max(1, _TOGETHER // len(values))
    for start in range(0, last + 1, rows):
        j = np.arange(start, min(start + rows, last + 1))
        u: Float64 = (2.0 * math.pi / period * j).astype(np.float64)
        phases = _log_characteristic(values, powers, tilt, u) - 1j * u * excess
        # Frequencies above half a period are the conjugates of those below.
        twice = np.where((j == 0) | (2 * j == period), 1.0, 2.0)
        terms += float(twice @ (np.exp(phases) / -np.expm1(-tilt - 1j * u)).real)
    return min(1.0, -math.expm1(-tilt * period) * terms / period * (1.0 + ROUNDING) + NEGLIGIBLE)


def _last_frequency(values: Float64, powers: Float64, tilt: float, period: int) -> int:
    """From where on the terms are NEGLIGIBLE together: a power of two, or half the period where none is."""
    last = 1
    while last < period // 2:
        u = 2.0 * math.pi * last / period
        log_size = -math.log(abs(1.0 - np.exp(-tilt - 1j * u)))
        if _log_most(values, powers, tilt, u) + log_size <= math.log(NEGLIGIBLE):
            return last
        last *= 2
    return period // 2


def _log_most(values: Float64, powers: Float64, tilt: float, u: float) -> float:
    """A bound on log |phi| from u on to pi: those numbers whose own bound is below 1, and all that are divided out."""
    log_a = -0.5 * math.log1p((math.sin(u / 2.0) / math.sinh(tilt / 2.0)) ** 2)
    each = log_a - np.log(np.tanh(values * tilt / 2.0))
    return float(powers @ np.where(powers > 0.0, np.minimum(each, 0.0), log_a))


def _log_characteristic(values: Float64, powers: Float64, tilt: float, u: Float64) -> Complex128:
    """log phi at each u; of the imaginary part only what exp() keeps."""
    z: Complex128 = (tilt / 2.0 + 0.5j * u)[:, None].astype(np.complex128)
    h = np.array([[tilt / 2.0 + 0j]])
    each = _log_sinh(values * z) - _log_sinh(z) - _log_sinh(values * h) + _log_sinh(h)
    log_phi: Complex128 = each @ powers
    return log_phi


def _log_sinh(z: Any) -> Any:
    """log(2 sinh z) of an array of complex numbers with positive real parts."""
    return z + np.log(-np.expm1(-2.0 * z))
