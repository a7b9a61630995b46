"""The ledger: one entry to a line, each naming the digest of the one before. Pure functions over bytes; no files, no clock.

A line is the canonical JSON (RFC 8785) of an entry and one line feed, so that an entry has one byte form, and a byte that is
changed anywhere changes the digest that the next entry names. The numbered rules that `parse` holds a ledger to:

1. Every line is the canonical JSON of an entry, and ends with a line feed. (A last line that breaks this rule is what an
   interrupted write leaves: it is handed back as a torn rest.)
2. Sequence numbers count from 1 without a gap.
3. `previous` is the digest of the entry before; of the header for entry 1.
4. Times are UTC, whole seconds, written '2026-01-31T08:15:00Z', and never go backwards.
5. Entry 1 says 'open', with the case and the title of the header; no other entry does.
6. Nothing stands after an entry that says 'close'.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from filiation.case.records import Asked, Body, Closed, Entry, Header, Opened, Recovered
from filiation.errors import RecordError, UsageError
from filiation.evidence import Record, canonical, digest

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_DECODER = msgspec.json.Decoder(Entry)
_ENCODER = msgspec.json.Encoder(order="sorted")

# Where msgspec's sorted JSON may differ from RFC 8785: numbers that are written with '.0', an exponent or 16 digits and more, and
# keys sorted by UTF-8 instead of UTF-16, which differ from U+E000 on only. Text without any of these has the same bytes under both.
_MAY_DIFFER = re.compile(rb"[\xee-\xff]|(?:\A|[:,\[])-?(?:\d{16}|\d+\.0(?:[,}\]]|\Z)|[\d.]+[eE])")


_WITH_NUMBERS = (Opened, Asked, Recovered)
"""Entries in which a number may stand besides `sequence`, which is compared with its place anyhow."""


def entry_line(entry: Record) -> bytes:
    """The line of an entry: its canonical bytes and a line feed."""
    return canonical(entry) + b"\n"


def is_canonical(data: bytes, value: Any) -> bool:
    """Whether `data`, from which `value` was read, is its canonical form.

    RFC 8785 in Python costs 30 microseconds for an entry, msgspec's encoder one; it is asked first, where both agree.
    """
    if _MAY_DIFFER.search(data) is None and _ENCODER.encode(value) == data:
        return True
    try:
        return canonical(value) == data
    except ValueError:
        return False


def time_text(now: datetime) -> str:
    """A time as records write it: UTC, whole seconds, '2026-01-31T08:15:00Z'. Raises UsageError without a time zone."""
    if now.tzinfo is None:
        raise UsageError(
            f"the time {now} has no time zone", advice="give a time with its zone, such as datetime.now(UTC)"
        )
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------------------------------------------------------- writing


def next_entry(entries: Sequence[Entry], header: Header, body: Body, actor: str, now: datetime) -> Entry:
    """The entry that follows `entries`, saying `body`. Raises UsageError where none may follow or the clock went back."""
    last = entries[-1] if entries else None
    return following(last, digest(last or header), header, body, actor, now)


def following(last: Entry | None, head: str, header: Header, body: Body, actor: str, now: datetime) -> Entry:
    """`next_entry` for one who knows the last entry and its digest `head` (the header's digest before entry 1)."""
    entry = Entry(sequence=last.sequence + 1 if last else 1, previous=head, time=time_text(now), actor=actor, body=body)
    if last is not None and entry.time < last.time:
        raise UsageError(
            f"the clock says {entry.time}, and entry {last.sequence} was written at {last.time}: times in a ledger never go back",
            advice="set the clock right and run the same command again",
        )
    problem = _out_of_place(entry, last, header)
    if problem:
        raise UsageError(f"entry {entry.sequence} cannot be written: {problem[0]}", advice=problem[1])
    return entry


# ---------------------------------------------------------------------------------------------------------------- reading


def parse(data: bytes, header: Header) -> tuple[tuple[Entry, ...], bytes]:
    """All whole entries of a ledger, and the torn rest that an interrupted write left after them (mostly none).

    Raises RecordError where a rule is broken: `exhibit` names the entry, the message what is wrong, the advice what it means.
    """
    entries: list[Entry] = []
    previous, read = digest(header), 0
    for line in io.BytesIO(data):
        last = entries[-1] if entries else None
        entry = _entry(line)  # 1
        if entry is None:
            _check_torn(line, read, data, last)
            return tuple(entries), line
        problem = _broken(entry, last, previous, header)
        if problem:
            raise _refused(len(entries) + 1, *problem)
        entries.append(entry)
        previous = hashlib.sha256(line[:-1]).hexdigest()
        read += len(line)
    if not entries:
        raise _refused(
            1, "the ledger is empty", "the file was cut or replaced: every ledger has the entry that opened it"
        )
    return tuple(entries), b""


def _entry(line: bytes) -> Entry | None:
    """The entry of a line, or None where the line is not an entry's one byte form."""
    if not line.endswith(b"\n"):
        return None
    data = line[:-1]
    try:
        entry = _DECODER.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError):
        return None
    plain = line.isascii() and not isinstance(
        entry.body, _WITH_NUMBERS
    )  # nothing in it where the encoders could differ
    if (plain and _ENCODER.encode(entry) == data) or is_canonical(data, entry):
        return entry
    return None


def _check_torn(line: bytes, read: int, data: bytes, last: Entry | None) -> None:
    """A line that is no entry may only be the last one, after a ledger that could go on."""
    number = last.sequence + 1 if last else 1
    if read + len(line) < len(data):
        raise _refused(
            number, "the line is not the canonical JSON of an entry", "the line was altered: no interruption does that"
        )
    if last is None:
        raise _refused(number, "there is no whole entry", "the file was cut or replaced")
    if isinstance(last.body, Closed):
        raise _refused(number, "something stands after the entry that closed the case", "it was added later")


def _broken(entry: Entry, last: Entry | None, previous: str, header: Header) -> tuple[str, str] | None:
    """Which of the rules 2 to 6 an entry breaks, and what that means; None where it keeps them all."""
    number = last.sequence + 1 if last else 1
    if entry.sequence != number:  # 2
        return (
            f"it is numbered {entry.sequence} and stands in place {number}",
            "an entry was taken out, put in or moved",
        )
    if entry.previous != previous:  # 3
        before = f"entry {last.sequence}" if last else "the header case.json"
        return (
            f"it follows {entry.previous}, but {before} has the digest {previous}",
            f"{before} was altered after this entry was written, or this entry belongs to another ledger",
        )
    if last is None or entry.time != last.time:  # 4
        if not is_time(entry.time):
            return f"{entry.time!r} is not a time in UTC", "another program wrote this entry"
        if last is not None and entry.time < last.time:
            return f"its time {entry.time} is before {last.time}, that of entry {last.sequence}", "a clock was set back"
    return _out_of_place(entry, last, header)


def is_time(text: str) -> bool:
    """Whether a text is a time as records write it."""
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _out_of_place(entry: Entry, last: Entry | None, header: Header) -> tuple[str, str] | None:
    """Whether an entry with this body may stand here (rules 5 and 6): what is wrong, and what it means."""
    body = entry.body
    if last is not None and isinstance(last.body, Closed):  # 6
        return f"entry {last.sequence} closed the case", "what comes to light later belongs in another case"
    if isinstance(body, Opened) != (last is None):  # 5
        return "a case is opened by its first entry, and by no other", "begin a new case in another folder"
    if isinstance(body, Opened) and (body.case, body.title) != (header.case, header.title):
        return "it opens another case than case.json names", "header and ledger belong to different cases"
    return None


def _refused(number: int, what: str, meaning: str) -> RecordError:
    return RecordError(what, exhibit=f"ledger.jsonl, entry {number}", advice=meaning)
