"""JSON from strangers: size and nesting limited, duplicate keys refused, every failure one clear error.

`DECODER` is what everything here that reads somebody else's JSON decodes with; it raises ValueError (a key that stands twice:
DuplicateKey) or RecursionError, which whoever reads translates.
"""

from __future__ import annotations

import json
from typing import Any

from filiation.errors import MalformedSource

CONFIGURATION_LIMIT = 16 << 20
"""Bytes of a config.json or a shard index that are read at most."""


class DuplicateKey(ValueError):
    """An object has a key twice, so that two readers may take different values. `key` is the key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key[:80]!r} stands there twice: two readers may take different values")
        self.key = key


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DuplicateKey(key)
            seen.add(key)
    return made


DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates)


def json_or_none(text: str) -> Any:
    """What a field of somebody's table says as JSON; None where it is none, so that one row cannot stop a whole comparison."""
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def read_json_object(data: bytes, *, what: str, exhibit: str, limit: int = CONFIGURATION_LIMIT) -> dict[str, Any]:
    """The JSON object in `data`. Raises MalformedSource where it is not one, or is one that two readers may read apart."""
    advice = "fetch the file again; a page of HTML or a Git LFS pointer in its place is a failed download"
    if len(data) > limit:
        raise MalformedSource(
            f"{what} has {len(data)} bytes; at most {limit} are read", exhibit=exhibit, advice="check the file"
        )
    if data.lstrip()[:1] == b"<":
        raise MalformedSource(f"{what} is a page of HTML, not JSON", exhibit=exhibit, advice=advice)
    if data.startswith(b"version https://git-lfs"):
        raise MalformedSource(
            f"{what} is a Git LFS pointer, not the file itself", exhibit=exhibit, advice="run `git lfs pull`"
        )
    try:
        made = DECODER.decode(data.decode("utf-8"))
    except DuplicateKey as error:
        raise MalformedSource(
            f"{what} has the key {error.key[:80]!r} twice: two readers may take different values",
            exhibit=exhibit,
            advice="do not trust this file; ask for one that was written by a standard tool",
        ) from error
    except RecursionError as error:
        raise MalformedSource(f"{what} is nested too deeply", exhibit=exhibit, advice="check the file") from error
    except ValueError as error:  # covers UnicodeDecodeError, JSONDecodeError and integers of thousands of digits
        raise MalformedSource(f"{what} is not JSON: {str(error)[:120]}", exhibit=exhibit, advice=advice) from error
    if not isinstance(made, dict):
        raise MalformedSource(f"{what} is not a JSON object", exhibit=exhibit, advice=advice)
    return made
