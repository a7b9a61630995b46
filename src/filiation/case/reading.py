"""A case read without trusting it: what can be read is, what cannot is said, and nothing here raises for a bad case.

`read_case` walks the folder, hashes every object and report (streamed, in parallel), and reads header, ledger and checkpoints
with their signatures and time-stamps. The checks ask this picture. Objects that may be large are decoded when they are asked
for, one at a time, and not kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from filiation.case.folder import HEADER, LEDGER, Snapshot, snapshot
from filiation.case.ledger import is_canonical
from filiation.case.objects import Progress, silent
from filiation.case.records import (
    Admitted,
    Authority,
    CheckpointPredicate,
    Closed,
    Entry,
    Header,
    Manifest,
    Noted,
    Observed,
    Opened,
    Plan,
    ReceiptPredicate,
    Sealed,
)
from filiation.case.signing import checkpoint_name, opened, read_checkpoint, read_receipt, stamp_name
from filiation.case.time_stamps import check_stamp
from filiation.errors import FiliationError, MissingExtra, RecordError
from filiation.evidence import Record, canonical

LARGEST_READ = 1 << 30
"""Bytes of an object that is read into memory as a whole (1 GiB); exhibits are only hashed, however large."""

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)

_Record = TypeVar("_Record", bound=Record)


@dataclass(frozen=True)
class Line:
    """A line of the ledger without its line feed. `fault` says why it is no entry, or not the canonical form of one."""

    number: int
    data: bytes
    entry: Entry | None
    fault: str = ""

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class ReadStamp:
    """The time-stamp that a checkpoint names. `time` is the authority's; None, with a fault, where it does not hold."""

    authority: str
    file: str
    data: bytes
    time: datetime | None
    fault: str = ""


@dataclass(frozen=True)
class ReadCheckpoint:
    """A checkpoint file. `predicate` is None, with a fault, where the case's key did not sign it."""

    number: int
    file: str
    data: bytes
    predicate: CheckpointPredicate | None
    head: str
    fault: str
    receipt: ReceiptPredicate | None
    receipt_fault: str
    stamps: tuple[ReadStamp, ...]


@dataclass(frozen=True)
class CaseRead:
    """What a folder holds: the files as they are (`folder`), and what could be read of them."""

    folder: Snapshot
    header: Header | None
    header_fault: str
    lines: tuple[Line, ...]
    rest: bytes
    checkpoints: tuple[ReadCheckpoint, ...]

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The entries that can be read, in the order of their lines."""
        return tuple(line.entry for line in self.lines if line.entry)

    def with_steps(self) -> Iterator[tuple[int, Entry, Sequence[Entry]]]:
        """Every entry with its place and the steps before it: all earlier entries but observations and notes.

        Observations may be many thousands, and hardly a check asks for them: whoever does takes them from `entries`. The
        sequence of steps grows while this goes on.
        """
        steps: list[Entry] = []
        for place, entry in enumerate(self.entries):
            yield place, entry, steps
            if not isinstance(entry.body, Observed | Noted):
                steps.append(entry)

    @property
    def opening(self) -> Opened | None:
        return _opening(self.lines)

    @property
    def head(self) -> str:
        """Digest of the last line of the ledger."""
        return self.lines[-1].digest if self.lines else ""

    @property
    def says_closed(self) -> bool:
        return any(isinstance(entry.body, Closed) for entry in self.entries)

    @cached_property
    def signed(self) -> tuple[ReadCheckpoint, ...]:
        """Checkpoints that the case's key signed over the head that the ledger has there, by number."""
        return tuple(
            checkpoint
            for checkpoint in self.checkpoints
            if checkpoint.predicate
            and checkpoint.predicate.sequence == checkpoint.number
            and 1 <= checkpoint.number <= len(self.lines)
            and self.lines[checkpoint.number - 1].digest == checkpoint.head
        )

    @cached_property
    def plans(self) -> dict[str, Plan]:
        """The sealed plans that can be read, by digest, in the order of their seals."""
        digests = dict.fromkeys(entry.body.plan for entry in self.entries if isinstance(entry.body, Sealed))
        return dict(self._readable(digests, Plan))

    @cached_property
    def manifests(self) -> dict[str, Manifest]:
        """The manifests that can be read, by digest."""
        digests = dict.fromkeys(entry.body.manifest for entry in self.entries if isinstance(entry.body, Admitted))
        return dict(self._readable(digests, Manifest))

    def _readable(self, digests: Iterable[str], kind: type[_Record]) -> Iterator[tuple[str, _Record]]:
        for digest in digests:
            try:
                yield digest, self.record(digest, kind)
            except RecordError:
                continue  # check 5 asks again and says why

    def data(self, digest: str) -> bytes:
        """The bytes of an object. Raises RecordError where they are missing, altered, or more than is read at once."""
        _, size = self.folder.files.get(object_name(digest), ("", 0))
        if size > LARGEST_READ:
            raise RecordError(f"has {size:,} bytes; at most {LARGEST_READ:,} are read at once")
        return self.folder.objects.get(digest)

    def record(self, digest: str, kind: type[_Record]) -> _Record:
        """The record in an object. Raises RecordError where it is missing, altered, of another kind, too large or not canonical."""
        return decoded(self.data(digest), kind)

    def signed_between(self, first: int, last: int) -> bool:
        """Whether a checkpoint signs entry `first` before entry `last` was written."""
        return any(first <= checkpoint.number < last for checkpoint in self.signed)


def object_name(digest: str) -> str:
    """Where an object lies in the case."""
    return f"objects/{digest[:2]}/{digest}"


def decoded(data: bytes, kind: type[_Record]) -> _Record:
    """The record that `data` is the canonical form of. Raises RecordError."""
    try:
        record = msgspec.json.decode(data, type=kind)
        plain, doubles = msgspec.json.decode(data), _in_doubles(data)
        whole = msgspec.json.decode(msgspec.json.encode(record)) in (plain, doubles)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _no_record(f"is no {kind.__name__}: {error}") from error
    # Held against the plain values, not the record's: where a number is whole, JSON does not tell a float from an integer.
    if not whole or not (is_canonical(data, plain) or is_canonical(data, doubles)):
        raise _no_record(f"is not the canonical form of a whole {kind.__name__}")
    return record


def _in_doubles(data: bytes) -> Any:
    """The values with integers as RFC 8785 reads them, which matters from 2^53 on: such a number was written from a float."""
    return json.loads(data, parse_int=lambda text: int(text) if len(text) < 16 else float(text))


def _no_record(what: str) -> RecordError:
    return RecordError(what, advice="the program that wrote it does not keep to the format of cases")


def moment(text: str) -> datetime | None:
    """A time of the ledger; None where it is not UTC in whole seconds, written 'YYYY-MM-DDThh:mm:ssZ'."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


# ---------------------------------------------------------------------------------------------------------- reading it


def read_case(path: Path, progress: Progress = silent) -> CaseRead:
    """Read the folder at `path`. Raises RecordError only where there is no case at all."""
    if not path.is_dir() or not ((path / HEADER).is_file() or (path / LEDGER).is_file()):
        raise RecordError("holds no case", exhibit=str(path), advice=f"name the folder that holds {HEADER}")
    folder = snapshot(path, progress)
    header, header_fault = _read_header(folder.header)
    lines, rest = _read_ledger(folder.ledger or b"")
    return CaseRead(
        folder=folder,
        header=header,
        header_fault=header_fault,
        lines=lines,
        rest=rest,
        checkpoints=tuple(_read_checkpoint(folder, number, _opening(lines)) for number in sorted(folder.checkpoints)),
    )


def _read_header(data: bytes | None) -> tuple[Header | None, str]:
    if data is None:
        return None, "is missing or cannot be read"
    try:
        header = msgspec.json.decode(data, type=Header)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return None, f"is no header: {error}"
    return header, "" if canonical(
        header
    ) + b"\n" == data else "is not the canonical form of a header and one line feed"


def _read_ledger(data: bytes) -> tuple[tuple[Line, ...], bytes]:
    *whole, rest = data.split(b"\n")
    return tuple(_read_line(number, line) for number, line in enumerate(whole, 1)), rest


def _read_line(number: int, data: bytes) -> Line:
    try:
        entry = msgspec.json.decode(data, type=Entry)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Line(number, data, None, f"is no entry: {error}")
    return Line(number, data, entry, "" if is_canonical(data, entry) else "is not the canonical form of its entry")


def _opening(lines: Sequence[Line]) -> Opened | None:
    first = lines[0].entry if lines else None
    return first.body if first and isinstance(first.body, Opened) else None


_NO_KEY = "cannot be checked, because the first entry, which names the key, cannot be read"


def _read_checkpoint(folder: Snapshot, number: int, opening: Opened | None) -> ReadCheckpoint:
    data = folder.checkpoints[number]
    predicate, head, fault = _read_signed_checkpoint(data, opening)
    receipt, receipt_fault = _read_signed_receipt(folder.receipts.get(number), opening)
    return ReadCheckpoint(
        number=number,
        file=checkpoint_name(number),
        data=data,
        predicate=predicate,
        head=head,
        fault=fault,
        receipt=receipt,
        receipt_fault=receipt_fault,
        stamps=tuple(_read_stamp(folder, number, name, opening) for name in (predicate.stamps if predicate else ())),
    )


def _read_signed_checkpoint(data: bytes, opening: Opened | None) -> tuple[CheckpointPredicate | None, str, str]:
    if opening is None:
        return None, "", _NO_KEY
    try:
        return *read_checkpoint(opened(data, opening.key)), ""
    except RecordError as error:
        return None, "", error.message


def _read_signed_receipt(data: bytes | None, opening: Opened | None) -> tuple[ReceiptPredicate | None, str]:
    if opening is None or data is None:
        return None, "is missing" if data is None else _NO_KEY
    try:
        return read_receipt(opened(data, opening.key)), ""
    except RecordError as error:
        return None, error.message


def _read_stamp(folder: Snapshot, number: int, name: str, opening: Opened | None) -> ReadStamp:
    file, data = stamp_name(number, name), folder.stamps.get(number, {}).get(name)
    known: dict[str, Authority] = {authority.name: authority for authority in opening.authorities} if opening else {}
    if name not in known or data is None:
        missing = "is missing" if name in known else f"is said to be of {name!r}, which is no authority of the case"
        return ReadStamp(name, file, b"", None, missing)
    try:
        certificate = folder.objects.get(known[name].certificate)
        return ReadStamp(name, file, data, check_stamp(data, folder.checkpoints[number], certificate))
    except MissingExtra:
        raise
    except FiliationError as error:
        return ReadStamp(name, file, data, None, error.message)
