"""A case on disk: one writer at a time, every step on the disk before it is acknowledged, killed at any moment without loss.

    case.json                        which case this is
    ledger.jsonl                     the chain of entries, append-only
    objects/ab/ab12...               content-addressed bytes
    checkpoints/000012.json          signed head of the ledger after entry 12, with its time-stamps (.AUTHORITY.tsr) and receipt
    reports/NAME                     rendered reports
    recordings/EXHIBIT.jsonl         recordings of endpoints under way
    .lock                            held by the writer

What a kill can leave: half a last line in the ledger, '.new-' files, stamps and receipts of a checkpoint that was never finished.
Opening for writing takes these away and says in a `recover` entry what was cut; opening for reading changes nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from filiation.case import ledger, signing
from filiation.case.checkpoints import Checkpoint, files_of, sequence_of, signed, stamped
from filiation.case.files import (
    LEFTOVER,
    PLAIN_NAME,
    append_whole,
    make_folder,
    not_written,
    open_to_append,
    read_file,
    reading,
    refuse_link,
    refuse_taken,
    synchronise_folder,
    write_file,
    writing,
)
from filiation.case.objects import Objects, Progress, hash_files, silent
from filiation.case.records import (
    FORMAT,
    VERSION,
    Body,
    CheckpointPredicate,
    Closed,
    Entry,
    Header,
    Opened,
    PublicKey,
    Recovered,
    Reported,
)
from filiation.case.signing import Signer
from filiation.case.time_stamps import Stamper
from filiation.errors import MissingExtra, RecordError, SourceError, UsageError
from filiation.evidence import canonical

HEADER = "case.json"
LEDGER = "ledger.jsonl"
LOCK = ".lock"
OBJECTS = "objects"
CHECKPOINTS = "checkpoints"
REPORTS = "reports"
RECORDINGS = "recordings"
FOLDERS = (OBJECTS, CHECKPOINTS, REPORTS, RECORDINGS)

WRITER = "filiation"
"""The actor of a `recover` entry, where nobody else is named."""

_BESIDE_CHECKPOINT = re.compile(r"(\d{6}|[1-9]\d{6,})\.(?:(?P<authority>.+)\.tsr|receipt\.json)")
_Record = TypeVar("_Record")


class _Headed(Protocol):
    @property
    def format(self) -> str: ...

    @property
    def version(self) -> int: ...


_Header = TypeVar("_Header", bound=_Headed)


class CaseFolder:
    """A case, open for reading or for writing. Made by `create` and `open`; a context manager.

    `interrupted` is empty, or says what an interrupted writer left (only where the case was opened for reading).
    """

    def __init__(
        self, path: Path, header: Header, entries: Sequence[Entry], lock: Any = None, interrupted: str = ""
    ) -> None:
        self.path, self.header, self.interrupted = path, header, interrupted
        self.objects = Objects(path / OBJECTS, writable=lock is not None)
        self._entries = list(entries)
        self._head = hashlib.sha256(ledger.entry_line(entries[-1])[:-1]).hexdigest()
        self._lock = lock
        self._ledger = _LedgerFile(path / LEDGER) if lock is not None else None
        self._turn = threading.RLock()
        self._as_read: tuple[Entry, ...] | None = None

    # ------------------------------------------------------------------------------------------------- opening, closing

    @classmethod
    def create(
        cls,
        path: Path | str,
        header: Header,
        opened: Opened,
        *,
        actor: str,
        now: datetime,
        objects: Sequence[bytes] = (),
    ) -> CaseFolder:
        """Make a case in a new (or empty) folder and open it for writing; `objects` are stored before entry 1 names them.

        The folder is made beside its place and moved there, so that a case is there whole or not at all. Raises UsageError
        where something is there already.
        """
        path = Path(path)
        _check_place(path)
        for authority in opened.authorities:
            _plain(authority.name, "the name of an authority", path)
        entry = ledger.next_entry((), header, opened, actor, now)
        new = path.absolute().parent / f"{LEFTOVER}{path.name}-{header.case}"
        with writing(path):
            new.mkdir()
            try:
                for name in FOLDERS:
                    (new / name).mkdir()
                for data in objects:
                    Objects(new / OBJECTS).put(data)
                write_file(new / LEDGER, ledger.entry_line(entry))
                write_file(new / HEADER, header_bytes(header))
                os.rename(new, path)
            except BaseException:
                _remove_tree(new)
                raise
            synchronise_folder(path.absolute().parent)
        return cls.open(path, write=True)

    @classmethod
    def open(
        cls, path: Path | str, *, write: bool = False, actor: str = WRITER, now: datetime | None = None
    ) -> CaseFolder:
        """Open a case. With `write=True`: alone, and healed where a writer was interrupted.

        `actor` and `now` go into the `recover` entry; the clock is asked only where one is needed and `now` is not given.
        Raises UsageError where there is no case, where another process writes it or no permission is given; RecordError where
        header, ledger or last checkpoint are not what they were when they were written.
        """
        path = Path(path)
        _check_case(path)
        if not write:
            return cls._read(path)
        lock = _locked(path)
        try:
            header, entries, rest = _read_case(path)
            cls(path, header, entries)._check_last_checkpoint()
            healed = _healed(path, header, entries, rest, actor, now)
            for name in FOLDERS:
                make_folder(path / name)  # a copy made by git or unzip lacks the empty ones
            return cls(path, header, healed, lock=lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _read(cls, path: Path) -> CaseFolder:
        header, entries, rest = _read_case(path)
        left = [str(one.relative_to(path)) for one in _leftovers(path)]
        said = [f"{len(rest)} bytes at the end of the ledger are no whole entry"] if rest else []
        said += [f"files were left behind: {', '.join(left[:5])}{' ...' if len(left) > 5 else ''}"] if left else []
        interrupted = "the last write was interrupted, or is going on: " + "; ".join(said) if said else ""
        return cls(path, header, entries, interrupted=interrupted)

    def close(self) -> None:
        """Give the lock back. What was acknowledged is on the disk already."""
        self.objects.writable = False
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> CaseFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ----------------------------------------------------------------------------------------------------- the ledger

    @property
    def entries(self) -> tuple[Entry, ...]:
        if self._as_read is None:
            self._as_read = tuple(self._entries)
        return self._as_read

    @property
    def head(self) -> str:
        """Digest of the last entry."""
        return self._head

    @property
    def closed(self) -> bool:
        """Whether the last entry says 'close'."""
        return isinstance(self._entries[-1].body, Closed)

    @property
    def opened(self) -> Opened:
        """What the first entry says."""
        body = self._entries[0].body
        assert isinstance(body, Opened)
        return body

    def append(self, body: Body, *, actor: str, now: datetime) -> Entry:
        """Write one entry; it is on the disk when this returns. Raises UsageError on a closed case or one open for reading.

        Where the disk is full nothing is written, RecordError says so, and the case goes on as it was.
        """
        with self._turn:
            file = self._file()
            entry = ledger.following(self._entries[-1], self._head, self.header, body, actor, now)
            line = ledger.entry_line(entry)
            file.append(line)
            self._entries.append(entry)
            self._head = hashlib.sha256(line[:-1]).hexdigest()
            self._as_read = None
            return entry

    def _file(self) -> _LedgerFile:
        if self._ledger is None:
            raise UsageError(
                "the case is not open for writing", exhibit=str(self.path), advice="open the case for writing first"
            )
        return self._ledger

    # ----------------------------------------------------------------------------------------- records, reports, recordings

    def put_record(self, record: Any) -> str:
        """Store the canonical JSON of a record as an object; returns its digest."""
        return self.objects.put(canonical(record))

    def get_record(self, digest: str, kind: type[_Record]) -> _Record:
        """A record that `put_record` stored. Raises RecordError where the object is another record, or not in canonical form."""
        data = self.objects.get(digest)
        try:
            record = msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise self._no_record(digest, f"is not a {kind.__name__}: {error}") from error
        if not ledger.is_canonical(data, record):
            raise self._no_record(digest, f"is not the canonical JSON (RFC 8785) of a {kind.__name__}")
        return record

    def _no_record(self, digest: str, what: str) -> RecordError:
        return RecordError(
            f"the object {what}",
            exhibit=str(self.objects.path(digest)),
            advice="another program wrote it; trust it no further",
        )

    def write_report(self, name: str, data: bytes) -> str:
        """Write `reports/NAME` and return its SHA-256. A report that an entry names already is never replaced by another."""
        with self._turn:
            self._file()
            if self.closed:
                raise UsageError(
                    "the case is closed: no entry could name a report any more",
                    exhibit=str(self.path),
                    advice="write the report to a file outside the case",
                )
            digest = hashlib.sha256(data).hexdigest()
            _plain(name, "the name of a report", self.path)
            bound = {found for entry in self._entries for found in _report_digests(entry, name)}
            if bound - {digest}:
                raise UsageError(
                    f"the ledger names a report {name} with other bytes",
                    exhibit=str(self.path),
                    advice="give this one another name",
                )
            write_file(self.path / REPORTS / name, data)
            return digest

    def recording_path(self, exhibit: str) -> Path:
        """Where the exchanges with an endpoint are recorded while they are under way ('/' in a name becomes '%2F')."""
        name = quote(exhibit, safe="")
        if not exhibit or name.startswith(".") or len(name) > 200:
            raise UsageError(f"{exhibit[:80]!r} cannot name a recording", advice="give the exhibit a short, plain name")
        path = self.path / RECORDINGS / f"{name}.jsonl"
        refuse_link(path)
        return path

    # ----------------------------------------------------------------------------------------------------- checkpoints

    def checkpoints(self) -> tuple[int, ...]:
        """Sequence numbers of the entries that are signed, ascending."""
        return _checkpoints(self.path)

    @property
    def last_checkpoint(self) -> Checkpoint | None:
        """The last checkpoint, its signature held against the key of entry 1; None where nothing is signed yet."""
        numbers = self.checkpoints()
        return self.read_checkpoint(numbers[-1]) if numbers else None

    def read_checkpoint(self, sequence: int) -> Checkpoint:
        """One checkpoint, its signature held against the key of entry 1. Raises RecordError."""
        path = self.path / signing.checkpoint_name(sequence)
        data = read_file(path)
        try:
            predicate, head = signing.read_checkpoint(signing.opened(data, self.opened.key))
        except RecordError as error:
            raise RecordError(error.message, exhibit=str(path), advice=error.advice) from error
        if (predicate.case, predicate.sequence) != (self.header.case, sequence):
            raise RecordError(
                f"signs entry {predicate.sequence} of case {predicate.case}",
                exhibit=str(path),
                advice="it was renamed, or copied from another case: restore the one that belongs here",
            )
        return Checkpoint(predicate=predicate, head=head, data=data)

    def unsigned_entries(self) -> tuple[Entry, ...]:
        """Entries after the last checkpoint."""
        return self.entries[max(self.checkpoints(), default=0) :]

    def checkpoint(
        self, signer: Signer, *, now: datetime, stampers: Sequence[Stamper] = (), closed: bool = False
    ) -> Checkpoint:
        """Sign the head of the ledger and have it stamped; where the last entry is signed already, that checkpoint.

        An authority that gives no good stamp is left out and `unstamped` says why: a checkpoint never waits for a network. The
        checkpoint's own file is written last, so that it is there with everything that belongs to it or not at all.
        """
        with self._turn:
            self._file()
            self._check_signer(signer.key, closed)
            sequence = self._entries[-1].sequence
            if sequence in self.checkpoints():
                return self.read_checkpoint(sequence)
            made, stamps = self._stamped(signer, ledger.time_text(now), stampers)
            self._write_checkpoint(made, stamps, signer)
            return made

    def _check_signer(self, key: PublicKey, closed: bool) -> None:
        if key != self.opened.key:
            raise UsageError(
                f"this case was opened with the key {self.opened.key.keyid}, not with {key.keyid}",
                exhibit=str(self.path),
                advice="give the private key that the case was opened with",
            )
        if closed and not self.closed:
            raise UsageError(
                "a closing checkpoint needs the entry that closes the case",
                exhibit=str(self.path),
                advice="append it first",
            )

    def _stamped(self, signer: Signer, time: str, stampers: Sequence[Stamper]) -> tuple[Checkpoint, dict[str, bytes]]:
        """A checkpoint and its stamps: signed anew, and stamped anew, until all authorities that it names have stamped it."""
        asked = {_plain(one.authority.name, "the name of an authority", self.path): one for one in stampers}
        return stamped(asked, lambda names, unstamped: self._signed(signer, time, names, unstamped))

    def _signed(self, signer: Signer, time: str, stamps: tuple[str, ...], unstamped: str) -> Checkpoint:
        last = self.last_checkpoint
        predicate = CheckpointPredicate(
            case=self.header.case,
            sequence=self._entries[-1].sequence,
            time=time,
            stamps=stamps,
            unstamped=unstamped,
            closed=self.closed,
            previous=hashlib.sha256(last.data).hexdigest() if last else "",
        )
        return signed(predicate, self._head, signer)

    def _write_checkpoint(self, made: Checkpoint, stamps: dict[str, bytes], signer: Signer) -> None:
        try:
            for name, data in files_of(made, stamps, signer).items():
                write_file(self.path / name, data)
        except BaseException:
            with contextlib.suppress(OSError):
                _remove_leftovers(self.path)
            raise

    def _check_last_checkpoint(self) -> None:
        """Nothing is built on a ledger that the last checkpoint does not sign."""
        last = self.last_checkpoint
        if last is None:
            return
        entry = self._entries[last.sequence - 1]
        if hashlib.sha256(ledger.entry_line(entry)[:-1]).hexdigest() != last.head:
            raise RecordError(
                f"entry {last.sequence} is not the one that checkpoint {last.sequence} signs",
                exhibit=str(self.path / LEDGER),
                advice="the ledger was altered after it was signed: restore it from another copy",
            )


# ------------------------------------------------------------------------------------------------------ opening a case


def _check_place(path: Path) -> None:
    """A case is made where nothing is, or in an empty folder, and its parent is there."""
    refuse_link(path)
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"there is no folder {path.absolute().parent}", advice="make the folder first, or name another"
        )
    if path.absolute() == Path.cwd():
        raise UsageError(
            "a case is not made in the folder you work in, which is replaced in one step",
            advice="name a folder inside it",
        )
    refuse_taken(path)


def _check_case(path: Path) -> None:
    """There is a case, and no link in the places that are fixed."""
    with reading(path):
        if not os.path.lexists(path / HEADER):
            raise UsageError(
                "there is no case here",
                exhibit=str(path),
                advice="check the path; the first command makes a case: filiation case open DIR",
            )
        for name in (HEADER, LEDGER, LOCK, *FOLDERS):
            refuse_link(path / name)
        for folder in (CHECKPOINTS, REPORTS, RECORDINGS):
            for found in _inside(path / folder):
                refuse_link(found)


def _inside(folder: Path) -> list[Path]:
    with reading(folder):
        return sorted(folder.iterdir()) if folder.is_dir() else []


def header_bytes(header: Any) -> bytes:
    return canonical(header) + b"\n"


def _read_case(path: Path) -> tuple[Header, tuple[Entry, ...], bytes]:
    header = read_header(path / HEADER, Header, "a case", (FORMAT, VERSION))
    signed = max(_checkpoints(path), default=0)  # before the ledger: a writer may be signing what was not there yet
    entries, rest = ledger.parse(read_file(path / LEDGER), header)
    if signed > len(entries):
        raise RecordError(
            f"the ledger has {len(entries)} whole entries, but checkpoint {signed} signs entry {signed}",
            exhibit=str(path / LEDGER),
            advice="entries were taken away after they were signed: restore the ledger from another copy",
        )
    return header, entries, rest


def read_header(path: Path, kind: type[_Header], of: str, written_by: tuple[str, int]) -> _Header:
    """The header in a file, whose format and version are `written_by`; `of` says of what it is. Raises RecordError."""
    data = read_file(path)
    try:
        header = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise RecordError(
            f"is not the header of {of}: {error}", exhibit=str(path), advice="restore it from another copy"
        ) from error
    if (header.format, header.version) != written_by:
        raise RecordError(
            f"is of the format {header.format!r} version {header.version}, not {written_by[0]!r} version {written_by[1]}",
            exhibit=str(path),
            advice="use the version of filiation that wrote it",
        )
    if header_bytes(header) != data:
        raise RecordError(
            "is not the canonical JSON (RFC 8785) of a header and one line feed",
            exhibit=str(path),
            advice="it was altered, or another program wrote it: restore it from another copy",
        )
    return header


def _checkpoints(path: Path) -> tuple[int, ...]:
    found = (sequence_of(one.name) for one in _inside(path / CHECKPOINTS))
    return tuple(sorted(one for one in found if one is not None))


def _locked(path: Path) -> Any:
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise MissingExtra(
            "writing a case needs the package filelock", advice='pip install "filiation[case]"'
        ) from error
    lock = FileLock(path / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(
            "another process is writing this case",
            exhibit=str(path),
            advice="wait until it has ended; reading (status, verify) is possible meanwhile",
        ) from error
    except OSError as error:
        raise not_written(error, path) from error
    return lock


# -------------------------------------------------------------------------------------------------------------- healing


def _healed(
    path: Path, header: Header, entries: tuple[Entry, ...], rest: bytes, actor: str, now: datetime | None
) -> tuple[Entry, ...]:
    """The entries, once what an interrupted writer left is taken away.

    The ledger is replaced in one step, so that it is cut and says so, or is as it was. What was cut is kept as an object.
    """
    if rest:
        file = path / LEDGER
        body = Recovered(
            bytes_cut=len(rest),
            sha256=Objects(path / OBJECTS).put(rest),
            reason="the last line of the ledger was not a whole entry: its writing was interrupted before it was acknowledged",
        )
        entry = ledger.next_entry(entries, header, body, actor, now or datetime.now(UTC))
        write_file(file, read_file(file)[: -len(rest)] + ledger.entry_line(entry))
        entries = (*entries, entry)
    with writing(path):
        _remove_leftovers(path)
    return entries


def _remove_leftovers(path: Path) -> None:
    for left in list(_leftovers(path)):
        left.unlink()


def _leftovers(path: Path) -> Iterator[Path]:
    """Files that were still being written, and stamps and receipts without their checkpoint."""
    signed = set(_checkpoints(path))
    folders = [path, *(path / name for name in FOLDERS)]
    folders += [one for one in _inside(path / OBJECTS) if one.is_dir() and not one.is_symlink()]
    for folder in folders:
        for found in _inside(folder):
            if found.name.startswith(LEFTOVER):
                yield found
            elif folder.name == CHECKPOINTS:
                beside = _BESIDE_CHECKPOINT.fullmatch(found.name)
                if beside and int(beside[1]) not in signed:
                    yield found


def _remove_tree(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _plain(name: str, what: str, path: Path) -> str:
    if not PLAIN_NAME.fullmatch(name):
        raise UsageError(
            f"{what} cannot be {name[:80]!r}", exhibit=str(path), advice="use letters, digits, '.', '_' and '-' only"
        )
    return name


def _report_digests(entry: Entry, name: str) -> tuple[str, ...]:
    return (entry.body.files[name],) if isinstance(entry.body, Reported) and name in entry.body.files else ()


class _LedgerFile:
    """The ledger, held open at its end. Nobody else may touch it meanwhile: before each line it is looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = open_to_append(path)
        self._left = self._state()

    def append(self, line: bytes) -> None:
        """Write a whole line at once and force it to the disk, or leave the file as it was."""
        if self._state() != self._left:
            raise RecordError(
                "was changed by something else while this process writes it",
                exhibit=str(self.path),
                advice="nothing was written; end the other program, then verify the case",
            )
        append_whole(self._descriptor, line, self._left[-1], self.path)
        self._left = self._state()

    def close(self) -> None:
        os.close(self._descriptor)

    def _state(self) -> tuple[int, int, int]:
        with reading(self.path):
            found = self.path.lstat()
        return found.st_dev, found.st_ino, found.st_size


# ------------------------------------------------------------------------------------------------------------- snapshot


@dataclass(frozen=True)
class Snapshot:
    """A case read without judging it: raw bytes of what is small, the SHA-256 of everything. Names are relative, with '/'.

    `files` maps every regular file to its SHA-256 and size in bytes; `links` are links and everything else that is neither a
    file nor a folder; `unreadable` maps what could not be read to the reason. Stamps are by sequence, then authority.
    """

    path: Path
    header: bytes | None
    ledger: bytes | None
    checkpoints: dict[int, bytes] = field(default_factory=dict)
    stamps: dict[int, dict[str, bytes]] = field(default_factory=dict)
    receipts: dict[int, bytes] = field(default_factory=dict)
    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def objects(self) -> Objects:
        """The objects, to be read one by one; each reading hashes anew."""
        return Objects(self.path / OBJECTS, writable=False)


def snapshot(path: Path | str, progress: Progress = silent, workers: int = 2) -> Snapshot:
    """Read a case for verification: leniently, changing nothing, objects streamed and never all in memory.

    Raises UsageError where there is no folder.
    """
    path = Path(path)
    if not path.is_dir():
        raise UsageError("there is no case here", exhibit=str(path), advice="give the folder of a case")
    regular, links, unreadable = _walk(path)
    small = _small_files(path, regular, unreadable)
    refused: dict[Path, SourceError] = {}
    hashed = hash_files([path / name for name in regular if name not in unreadable], progress, workers, refused)
    unreadable |= {one.relative_to(path).as_posix(): error.message for one, error in refused.items()}
    there = {name.partition("/")[2]: data for name, data in small.items() if name.startswith(f"{CHECKPOINTS}/")}
    beside = [(found, data) for name, data in there.items() if (found := _BESIDE_CHECKPOINT.fullmatch(name))]
    stamps: dict[int, dict[str, bytes]] = {}
    for found, data in beside:
        if found["authority"]:
            stamps.setdefault(int(found[1]), {})[found["authority"]] = data
    return Snapshot(
        path=path,
        header=small.get(HEADER),
        ledger=small.get(LEDGER),
        checkpoints={at: data for name, data in there.items() if (at := sequence_of(name)) is not None},
        stamps=stamps,
        receipts={int(found[1]): data for found, data in beside if not found["authority"]},
        files={one.relative_to(path).as_posix(): found for one, found in hashed.items()},
        links=tuple(links),
        unreadable=unreadable,
    )


def _walk(path: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """Names of all regular files, of everything that is neither file nor folder, and folders that cannot be listed."""
    regular: list[str] = []
    links: list[str] = []
    unreadable: dict[str, str] = {}

    def name(found: str) -> str:
        return Path(found).relative_to(path).as_posix()

    def unlisted(error: OSError) -> None:
        unreadable[name(error.filename)] = error.strerror or str(error)

    for folder, folders, files in os.walk(path, onerror=unlisted):
        for one in (*folders, *files):
            place = Path(folder, one)
            if place.is_symlink() or not (place.is_file() or place.is_dir()):
                links.append(name(str(place)))
            elif place.is_file():
                regular.append(name(str(place)))
    return sorted(regular), sorted(links), unreadable


def _small_files(path: Path, regular: Sequence[str], unreadable: dict[str, str]) -> dict[str, bytes]:
    """Bytes of the header, the ledger and everything in `checkpoints`; what cannot be read is added to `unreadable`."""
    small: dict[str, bytes] = {}
    for name in regular:
        if name in (HEADER, LEDGER) or name.startswith(f"{CHECKPOINTS}/"):
            try:
                small[name] = read_file(path / name)
            except RecordError as error:
                unreadable[name] = error.message
    return small
