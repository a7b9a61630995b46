"""Exponential minimum sampling (Aaronson 2022): the uniform numbers of a key, and what a text says about it.

Each (context, token) has a number u in (0, 1) of its own, 53 bits of

    HMAC-SHA256(secret, "filiation gumbel 1" | each token of the window as 8 bytes, little-endian),

and the sampler takes the token with the largest log(u) / p, which is a draw from p for whoever does not know the secret. In marked text
u is near 1: the score is the sum of -log(1 - u), each of which is exponential with mean 1 in any text that does not depend on the
secret. No table, no seed, no device: any language with HMAC reads the mark.
"""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filiation.measures.watermarks.keys import GumbelKey
from filiation.measures.watermarks.windows import Tokens

DOMAIN = b"filiation gumbel 1"


@dataclass(frozen=True)
class GumbelReading:
    """`score`: the sum of -log(1 - u) over `windows` distinct windows; `upper_half`: windows with u above one half."""

    score: float
    windows: int
    upper_half: int

    @property
    def opportunities(self) -> int:
        return self.windows


def gumbel_reading(windows: Tokens, key: GumbelKey) -> GumbelReading:
    """What the key says about these windows, shape (n, context_width + 1)."""
    drawn = uniforms(windows, key)
    return GumbelReading(math.fsum((-np.log1p(-drawn)).tolist()), len(windows), int((drawn > 0.5).sum()))


def uniforms(windows: Tokens, key: GumbelKey) -> NDArray[np.float64]:
    """The number u of each window, strictly between 0 and 1, length n."""
    secret, width = bytes.fromhex(key.secret), 8 * windows.shape[1]
    packed = windows.astype("<i8").tobytes()
    digests = b"".join(
        hmac.digest(secret, DOMAIN + packed[start : start + width], "sha256")[:8]
        for start in range(0, len(packed), width)
    )
    high = np.frombuffer(digests, dtype="<u8") >> np.uint64(11)
    # 53 bits and a half keep every u inside the open interval and every 1 - u exact.
    return np.minimum((high.astype(np.float64) + 0.5) * 2.0**-53, 1.0 - 2.0**-53)
