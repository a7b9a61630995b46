"""A Merkle tree over leaves of bytes, as Certificate Transparency builds it (RFC 6962, section 2.1).

A leaf is hashed as SHA-256(0x00 | data), a node as SHA-256(0x01 | left | right), so that no node passes for a leaf. Of n leaves the largest
power of two below n stand on the left; level by level that is: neighbours are paired, and one without a neighbour moves up as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from filiation.errors import RecordError


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """The tree over some leaves. `root` is 32 bytes; that of no leaves is SHA-256 of nothing."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.size = len(leaves)
        self._levels = [[leaf_hash(leaf) for leaf in leaves]]
        while len(self._levels[-1]) > 1:
            self._levels.append(_level_above(self._levels[-1]))

    @property
    def root(self) -> bytes:
        return self._levels[-1][0] if self.size else hashlib.sha256(b"").digest()

    def path(self, index: int) -> tuple[bytes, ...]:
        """The hashes that lead from a leaf to the root, lowest first (RFC 6962, section 2.1.1). Raises IndexError."""
        if not 0 <= index < self.size:
            raise IndexError(f"there is no leaf {index} among {self.size}")
        found = []
        for level in self._levels[:-1]:
            beside = index ^ 1
            if beside < len(level):
                found.append(level[beside])
            index //= 2
        return tuple(found)


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    paired = [_node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return paired + list(level[len(level) - len(level) % 2 :])


def root_from(data: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf, its place and its path lead to (RFC 9162, section 2.1.3.2); RecordError where the path's length is wrong."""
    if not 0 <= index < size:
        raise _refused(f"there is no leaf {index} among {size}")
    found, place, last = leaf_hash(data), index, size - 1
    for beside in path:
        if last == 0:
            raise _refused("the path is longer than the tree is high")
        if place % 2 or place == last:
            found = _node_hash(beside, found)
            while not place % 2 and place:
                place, last = place // 2, last // 2
        else:
            found = _node_hash(found, beside)
        place, last = place // 2, last // 2
    if last:
        raise _refused("the path is shorter than the tree is high")
    return found


def _refused(what: str) -> RecordError:
    return RecordError(
        what, exhibit="a Merkle path", advice="the opening was altered; ask for the one handed over before"
    )
