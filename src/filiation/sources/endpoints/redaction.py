"""What is left out of a recording: keys, and the headers that say who asked. No input or output here."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote

REMOVED = "[key removed]"
KEPT = re.compile(r"(?i)(anthropic-|x-)?ratelimit-.*")
LEFT_OUT = re.compile(
    r"(?i).*(auth|cookie|key|token|secret|credential|session|account|organi[sz]ation|project|user-id|forwarded|client|-ip).*"
)
"""Names of headers that may identify or admit whoever asks."""


class Redaction:
    """Keeps one key out of everything that is written, in the spellings it may come back in."""

    def __init__(self, key: str) -> None:
        spellings = {key, quote(key, safe=""), base64.b64encode(key.encode()).decode()} if key else set()
        self.spellings = tuple(sorted(spellings, key=len, reverse=True))

    def data(self, data: bytes) -> bytes:
        """The bytes with every spelling of the key replaced."""
        for spelling in self.spellings:
            data = data.replace(spelling.encode(), REMOVED.encode())
        return data

    def text(self, text: str) -> str:
        """The text with every spelling of the key replaced."""
        for spelling in self.spellings:
            text = text.replace(spelling, REMOVED)
        return text

    def headers(self, headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Headers without those that admit or identify, names in lower case."""
        kept = [(n.lower(), v) for n, v in headers if KEPT.fullmatch(n) or not LEFT_OUT.fullmatch(n)]
        return tuple((name, self.text(value)) for name, value in kept)

    def holds(self, data: bytes) -> bool:
        """Whether the key, in any spelling, is in the bytes."""
        return any(spelling.encode() in data for spelling in self.spellings)
