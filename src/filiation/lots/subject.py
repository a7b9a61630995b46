"""What lots are drawn over, as its owner wrote it down: documents, pairs of texts, or the settings of a watermark.

    order      JSON lines, {"text": ...}: documents, to be read in an order
    twins      JSON lines, {"first": ..., "second": ...}: texts that say the same equally well, one of which is to be published
    watermark  one JSON object: the settings of a key that is to be drawn

A line may have an "id" for its owner's use. The bytes of the file are what is committed to. Nothing may stand twice: a document with two
places in an order, or a text that is published in one pair and withheld in another, shows neither. Spaces, line breaks and the
form in which accents are written make no difference in that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec

from filiation.errors import FiliationError, MalformedSource, UsageError
from filiation.evidence import Record
from filiation.strict_json import DECODER

Purpose = Literal["order", "twins", "watermark"]
PURPOSES: tuple[Purpose, ...] = ("order", "twins", "watermark")

MOST_ITEMS = 1_000_000
LARGEST_SUBJECT = 512 << 20
LARGEST_SETTINGS = 1 << 16


class Document(Record, frozen=True, kw_only=True):
    text: str
    id: str = ""


class Pair(Record, frozen=True, kw_only=True):
    first: str
    second: str
    id: str = ""


_Line = TypeVar("_Line", Document, Pair)


def items_in(purpose: Purpose, data: bytes, exhibit: str = "the subject") -> int:
    """How many things lots are drawn for; of settings 1. Raises MalformedSource, and UsageError where something stands twice."""
    if purpose == "watermark":
        read_settings(data, exhibit)
        return 1
    return len(read_documents(data, exhibit) if purpose == "order" else read_pairs(data, exhibit))


def read_documents(data: bytes, exhibit: str = "the subject") -> tuple[str, ...]:
    """The documents' texts in the file's order."""
    texts = tuple(line.text for line in _lines(data, Document, exhibit, '{"text": "..."}'))
    _check_once(texts, exhibit, 1)
    return texts


def read_pairs(data: bytes, exhibit: str = "the subject") -> tuple[Pair, ...]:
    """The pairs in the file's order."""
    pairs = _lines(data, Pair, exhibit, '{"first": "...", "second": "..."}')
    _check_once((text for pair in pairs for text in (pair.first, pair.second)), exhibit, 2)
    return pairs


def read_settings(data: bytes, exhibit: str = "the subject") -> dict[str, Any]:
    """The settings as a JSON object; what they mean is for the watermark's scheme."""
    if len(data) > LARGEST_SETTINGS:
        raise _malformed(f"settings of {len(data)} bytes are more than {LARGEST_SETTINGS}", exhibit, "give an object")
    try:
        return _object(data)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"these are no settings: {_said(error)}", exhibit, "give one JSON object") from error


def raw_lines(data: bytes) -> list[bytes]:
    """The lines of a subject without their line feeds; one after the last line is no line of its own."""
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _lines(data: bytes, kind: type[_Line], exhibit: str, form: str) -> tuple[_Line, ...]:
    advice = f"give one line of {form} for each"
    count = data.count(b"\n") + (not data.endswith(b"\n"))
    if not data or count > MOST_ITEMS or len(data) > LARGEST_SUBJECT:
        raise _malformed(
            f"it has {count if data else 0} lines in {len(data)} bytes; 1 to {MOST_ITEMS} lines are taken, in at most "
            f"{LARGEST_SUBJECT} bytes",
            exhibit,
            advice,
        )
    return tuple(_line(line, number, kind, exhibit, advice) for number, line in enumerate(raw_lines(data), 1))


def _line(line: bytes, number: int, kind: type[_Line], exhibit: str, advice: str) -> _Line:
    where = f"{exhibit}, line {number}"
    try:
        found = msgspec.convert(_object(line), kind)
        told = msgspec.structs.astuple(found)
        for text in told:
            text.encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise _malformed(f"this is not what lots can be drawn over: {_said(error)}", where, advice) from error
    if not all(text.strip() for text in told[:-1]):
        raise _malformed("a text is empty", where, advice)
    return found


def _check_once(texts: Iterable[str], exhibit: str, in_each: int) -> None:
    seen: dict[str, int] = {}
    for place, text in enumerate(texts):
        number = place // in_each + 1
        before = seen.setdefault(_plain(text), number)
        if len(seen) <= place:
            raise UsageError(
                f"the text {text[:60]!r} stands in line {before} and in line {number}: it would have two places in what is drawn",
                exhibit=exhibit,
                advice="leave one of them out",
            )


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


# ------------------------------------------------------------------------------------------------------------------ JSON


def _object(data: bytes) -> dict[str, Any]:
    """One JSON object in UTF-8 that two readers cannot read apart. Raises ValueError or RecursionError."""
    found = DECODER.decode(data.decode("utf-8"))
    if not isinstance(found, dict):
        raise ValueError("this is not a JSON object")
    return found


def _said(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]


def _malformed(what: str, exhibit: str, advice: str) -> FiliationError:
    return MalformedSource(what, exhibit=exhibit, advice=advice)
