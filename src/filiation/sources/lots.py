"""Lots that fall alike on every machine and in every version of Python: whole numbers drawn from SHA-256.

`random.shuffle` and its kin may change between versions; a plan that fixes a seed must still name the same probes in ten
years. Block k of a stream is SHA-256 over the stream's name and k; numbers below n are taken by rejection, so that none is
likelier than another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Thing = TypeVar("Thing")


class Lots:
    """A stream of lots with a name. Two streams of one name give the same lots."""

    def __init__(self, *name: str | int) -> None:
        # Each part is preceded by its length: ('a', 'bc') and ('ab', 'c') are different streams.
        self._name = b"".join(f"{len(str(part))}:{part}".encode() for part in name)
        self._block = 0
        self._bytes = b""

    def _take(self, count: int) -> bytes:
        while len(self._bytes) < count:
            self._bytes += hashlib.sha256(b"filiation lots\0" + self._name + b"\0%d" % self._block).digest()
            self._block += 1
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken

    def below(self, limit: int) -> int:
        """A whole number from 0 to limit - 1, all equally likely. Raises ValueError where the limit is not positive."""
        if limit < 1:
            raise ValueError(f"no number lies below {limit}")
        width = max(1, ((limit - 1).bit_length() + 7) // 8)
        fair = (256**width // limit) * limit
        while True:
            drawn = int.from_bytes(self._take(width), "big")
            if drawn < fair:
                return drawn % limit

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + self.below(high - low + 1)

    def choice(self, things: Sequence[Thing]) -> Thing:
        """One of the things."""
        return things[self.below(len(things))]

    def shuffled(self, things: Sequence[Thing]) -> list[Thing]:
        """The things in an order of which every one is equally likely (Fisher and Yates)."""
        order = list(things)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def sample(self, things: Sequence[Thing], count: int) -> list[Thing]:
        """Different things, in the order in which they were drawn. Raises ValueError where there are too few."""
        if count > len(things):
            raise ValueError(f"{count} of {len(things)} things cannot be drawn")
        return self.shuffled(things)[:count]


def rank(*name: str | int) -> bytes:
    """A key for putting things in an order that depends on their names alone: SHA-256 of the name's parts."""
    return hashlib.sha256(b"".join(f"{len(str(part))}:{part}".encode() for part in name)).digest()
