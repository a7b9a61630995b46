"""JSON and JSON lines from strangers, one record at a time: encoding, size, nesting, duplicate keys checked.

A file of gigabytes is never held as a whole: of a document, the elements of its outermost list (or of named lists in its
outermost object) are parsed one by one. `NaN` and `Infinity` parse as floats, because harnesses write them for metrics that
nobody here uses; whoever uses a number asks `finite` for it.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Collection, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from filiation.errors import MalformedSource, SourceNotFound
from filiation.strict_json import DECODER, DuplicateKey

RECORD_LIMIT = 64 << 20
"""Bytes (of a line) or characters (of a list's element) that one record may have."""
CHUNK = 1 << 20
_WHITE = " \t\r\n"
_FETCH = "fetch the file again; a page of HTML or a Git LFS pointer in its place is a failed download"
_NEAR_THE_END = 16
"""An error this close to the end of what has been read may be a token cut in two, not an error."""


def check_text_file(path: Path) -> None:
    """Raises SourceNotFound or MalformedSource where a file cannot be text in UTF-8: empty, HTML, packed, UTF-16, a pointer."""
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        raise SourceNotFound(
            f"cannot be read: {error.strerror or error}", exhibit=str(path), advice="check the path"
        ) from error
    told = _not_text(head)
    if told:
        raise MalformedSource(told[0], exhibit=str(path), advice=told[1])


def _not_text(head: bytes) -> tuple[str, str] | None:
    if not head.strip():
        return "the file is empty", "fetch or write it again"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        return "the file is UTF-16 or UTF-32, not UTF-8", "save it as UTF-8, for instance with 'iconv -t UTF-8'"
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")):
        return "the file is compressed", "unpack it first"
    if head.startswith(b"PAR1"):
        return "the file is Parquet, not text", "give it a name that ends in .parquet, or --format table"
    if head.startswith(b"version https://git-lfs"):
        return "the file is a Git LFS pointer, not the file itself", "run `git lfs pull`"
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"<":
        return "the file is a page of HTML or XML", _FETCH
    return None


def _malformed(told: str, path: Path, where: str, advice: str = _FETCH) -> MalformedSource:
    return MalformedSource(f"{where}: {told}" if where else told, exhibit=str(path), advice=advice)


def _translated(error: Exception, path: Path, where: str) -> MalformedSource:
    if isinstance(error, DuplicateKey):
        advice = "do not trust this file; ask for one that was written by a standard tool"
        return _malformed(str(error), path, where, advice)
    if isinstance(error, RecursionError):
        return _malformed("it is nested too deeply", path, where, "check the file")
    if isinstance(error, UnicodeDecodeError):
        return _malformed(f"this is not UTF-8: {error.reason}", path, where, "save the file as UTF-8")
    # JSONDecodeError, and integers of thousands of digits
    return _malformed(f"this is not JSON, or it is cut off: {str(error)[:120]}", path, where)


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number (from 1) and object of each line that is not blank. Raises MalformedSource, SourceNotFound."""
    check_text_file(path)
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file, path), 1):
            if not line.strip():
                continue
            try:
                value = DECODER.decode(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (ValueError, RecursionError) as error:
                raise _translated(error, path, f"line {number}") from error
            if not isinstance(value, dict):
                raise _malformed("this is not a JSON object", path, f"line {number}")
            yield number, value


def _lines(file: BufferedReader, path: Path) -> Iterator[bytes]:
    number = 0
    while line := file.readline(RECORD_LIMIT + 1):
        number += 1
        if len(line) > RECORD_LIMIT:
            told = f"it has more than {RECORD_LIMIT >> 20} MiB"
            raise _malformed(told, path, f"line {number}", "JSON lines have one record per line: check the format")
        yield line


class _Window:
    """The part of a text file that is being looked at: `text[at:]` is what has not been used yet."""

    def __init__(self, path: Path, file: BufferedReader) -> None:
        self.path, self._file = path, file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self.text, self.at, self.ended = "", 0, False

    def more(self) -> None:
        """Read on, twice as much as is there, so that a long record is not parsed over and over."""
        self.text, self.at = self.text[self.at :], 0
        if len(self.text) > RECORD_LIMIT:
            raise _malformed(f"one record has more than {RECORD_LIMIT >> 20} million characters", self.path, "")
        data = self._file.read(max(CHUNK, len(self.text)))
        self.ended = not data
        try:
            self.text += self._decode.decode(data, final=self.ended)
        except UnicodeDecodeError as error:
            raise _translated(error, self.path, "") from error

    def next_character(self) -> str:
        """The next character that is not white space, unused; empty at the end of the file."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _WHITE:
                self.at += 1
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.more()

    def expect(self, characters: str) -> str:
        found = self.next_character()
        if not found or found not in characters:
            told = f"{found!r} stands where one of {' '.join(characters)} belongs" if found else "it is cut off"
            raise _malformed(f"this is not JSON: {told}", self.path, "")
        self.at += 1
        return found

    def value(self, where: str) -> Any:
        self.next_character()
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - _NEAR_THE_END
                if self.ended or not cut:
                    raise _translated(error, self.path, where) from error
            except (ValueError, RecursionError) as error:
                raise _translated(error, self.path, where) from error
            else:
                if end < len(self.text) or self.ended:  # a number at the end may go on
                    self.at = end
                    return value
            self.more()

    def elements(self, where: str) -> Iterator[Any]:
        """The elements of the list that begins here."""
        self.expect("[")
        if self.next_character() == "]":
            self.at += 1
            return
        number = 0
        while True:
            yield self.value(f"{where}element {number}")
            number += 1
            if self.expect(",]") == "]":
                return


def json_parts(path: Path, lists: Collection[str] = ()) -> Iterator[tuple[str, Any]]:
    """The parts of a JSON document: ('', element) of an outermost list; (key, value) of an outermost object.

    Of the keys in `lists`, every element comes by itself. Raises MalformedSource, SourceNotFound.
    """
    check_text_file(path)
    with path.open("rb") as file:
        window = _Window(path, file)
        if window.next_character() == "[":
            yield from (("", element) for element in window.elements(""))
        else:
            yield from _members(window, lists)
        if window.next_character():
            raise _malformed("something stands after its end; JSON lines are another format", path, "")


def _members(window: _Window, lists: Collection[str]) -> Iterator[tuple[str, Any]]:
    window.expect("{")
    seen: set[str] = set()
    if window.next_character() == "}":
        window.at += 1
        return
    while True:
        key = window.value("")
        if not isinstance(key, str):
            raise _malformed("this is not JSON: a key is no string", window.path, "")
        if key in seen:
            raise _translated(DuplicateKey(key), window.path, "")
        seen.add(key)
        window.expect(":")
        if key in lists and window.next_character() == "[":
            yield from ((key, element) for element in window.elements(f"{key}, "))
        else:
            yield key, window.value(key)
        if window.expect(",}") == "}":
            return


def whole_json(path: Path, limit: int = RECORD_LIMIT) -> Any:
    """A small JSON document as a whole. Raises MalformedSource, SourceNotFound."""
    check_text_file(path)
    if path.stat().st_size > limit:
        raise _malformed(f"it has more than {limit >> 20} MiB", path, "", "check the file")
    try:
        return DECODER.decode(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _translated(error, path, "") from error


def finite(value: Any, what: str, path: Path) -> float | None:
    """A number, or None for minus infinity (a chance of zero, which JSON cannot hold). Raises MalformedSource for the rest."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or math.isnan(number) or number == math.inf:
        raise _malformed(f"{what} is {str(value)[:40]!r}, which is no log-probability", path, "", "check the recording")
    return None if number == -math.inf else number
