"""What a lot draws, from 32 bytes of seed, by HMAC-SHA256 alone: an order, a choice in every pair, a stream of numbers.

Numbers stand in messages as decimal digits, digests and randomness as lower-case hexadecimal, all in ASCII.

1. seed = HMAC(secret, "filiation lot 1|" PURPOSE "|" SHA-256 of the commitment's file "|" randomness of the beacon).
2. order: item i has the key HMAC(seed, "order|" i); items are read in ascending order of their keys.
3. twins: where HMAC(seed, "twin|" i), read as a big-endian number, is even the first text of pair i is published, else the second.
4. stream: blocks HMAC(seed, "draw|" c) for c = 0, 1, ..., each read as a big-endian number. A draw below n takes the first b bits of the
   next block, b being the length of n - 1 in bits, and takes the next block where they are n or more.

Keys are independent and uniform to whoever does not have the secret, so all orders are equally likely and so are both texts of a pair.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Protocol

from filiation.errors import UsageError
from filiation.lots.subject import Purpose

DOMAIN = "filiation lot 1"
_BLOCK_BITS = 256


class Seeded(Protocol):
    @property
    def seed(self) -> bytes: ...


def seed_of(secret: bytes, purpose: Purpose, commitment_sha256: str, randomness: bytes) -> bytes:
    """The 32 bytes that everything is drawn from."""
    return hmac.digest(secret, f"{DOMAIN}|{purpose}|{commitment_sha256}|{randomness.hex()}".encode(), "sha256")


def order_of(seed: bytes, items: int) -> tuple[int, ...]:
    """The items in the order in which they are read."""
    return tuple(sorted(range(items), key=lambda item: (_block(seed, "order", item), item)))


def second_is_published(seed: bytes, pair: int) -> bool:
    """Which text of a pair is published; by default of a coin, each as likely."""
    return bool(_block(seed, "twin", pair)[-1] & 1)


def stream(lot: Seeded) -> Callable[[int], int]:
    """`draw(n)`: the next number below n, each equally likely. Every stream of a lot begins anew and gives the same numbers."""
    seed, used = lot.seed, 0

    def draw(below: int) -> int:
        nonlocal used
        if not 1 <= below <= 1 << _BLOCK_BITS:
            raise UsageError(f"a number below {below} cannot be drawn", advice="draw below 1 to 2^256")
        bits = (below - 1).bit_length()
        while True:
            number = int.from_bytes(_block(seed, "draw", used), "big") >> (_BLOCK_BITS - bits)
            used += 1
            if number < below:
                return number

    return draw


def _block(seed: bytes, purpose: str, number: int) -> bytes:
    return hmac.digest(seed, f"{purpose}|{number}".encode(), "sha256")
