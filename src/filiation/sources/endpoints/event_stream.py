"""Server-sent events, read from bytes (WHATWG HTML, section 9.2). No input or output here."""

from __future__ import annotations

from collections.abc import Iterator


def is_event_stream(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


def events(body: bytes) -> Iterator[tuple[str, str]]:
    """(event, data) of every event that an empty line ends; what was begun and not ended is left out."""
    name, data = "", list[str]()
    for line in _lines(body):
        if not line:
            if data:
                yield name or "message", "\n".join(data)
            name, data = "", []
        elif not line.startswith(":"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)


def _lines(body: bytes) -> list[str]:
    """The ended lines: CR, LF or CR LF. str.splitlines would also cut at the separators that JSON strings may hold."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return text.split("\n")[:-1]
