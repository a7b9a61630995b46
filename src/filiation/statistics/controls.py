"""What a control explains of a suspect's figures, taken away: least squares through the origin, the same to the last bit everywhere.

Texts differ in difficulty far more than in what a model remembers of them. The slope is that of all figures together: it stays what it
is when figures change places with their control's, or when both change their signs; and a control on another scale does no harm,
its slope is small.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def unexplained(values: Float64, control: Float64) -> Float64:
    """values - slope * control, both of one length; the values themselves where the control is zero throughout."""
    power = math.fsum(control * control)
    slope = math.fsum(values * control) / power if power else 0.0
    left: Float64 = values - slope * control
    return left
