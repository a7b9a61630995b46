"""The folder of a transcript: opened before the first step, added to while training runs, signed and stamped as it grows.

    transcript.json                   header, canonical JSON
    ledger.jsonl                      one entry to a line, each naming the digest of the one before
    checkpoints/000012.json           signature over the head of the ledger after entry 12 (DSSE, in-toto), as in a case
    checkpoints/000012.NAME.tsr       time-stamps over that file (RFC 3161)
    checkpoints/000012.receipt.json   signature that binds the time-stamps
    certificates/NAME.pem             root certificates of the authorities, by the owner
    states/000040.safetensors         the state after step 40; kept by the owner, shown where a segment is drawn

Only digests of states stand in the ledger: the transcript can be handed over before any weight is.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from filiation.case import signing
from filiation.case.files import make_folder, open_to_append, read_file, refuse_link, write_all, write_file, writing
from filiation.case.ledger import time_text
from filiation.case.records import Announcement, Authority, CheckpointPredicate, PublicKey, ReceiptPredicate
from filiation.case.signing import Signer
from filiation.case.time_stamps import Stamper
from filiation.errors import RecordError, SourceNotFound, UsageError
from filiation.evidence import canonical, digest
from filiation.training_transcript import chain
from filiation.training_transcript.records import (
    FORMAT,
    VERSION,
    Body,
    Closed,
    Entry,
    Header,
    Noted,
    Opened,
    Plan,
    StateRecorded,
)
from filiation.training_transcript.states import State, digests, save

HEADER, LEDGER, CHECKPOINTS, CERTIFICATES, STATES = (
    "transcript.json",
    signing.LEDGER,
    "checkpoints",
    "certificates",
    "states",
)
_RUN = re.compile("[0-9a-f]{32}")
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CHECKPOINT = re.compile(r"(\d{6,})\.json")


@dataclass(frozen=True)
class Signed:
    """A checkpoint as it lies in the folder: the bytes of its file, of its receipt, and of the stamps by authority."""

    sequence: int
    data: bytes
    receipt: bytes
    stamps: dict[str, bytes]


class TranscriptFolder:
    """A transcript that is being written, or read. Not to be written by two processes at once: the second one's entry is refused."""

    def __init__(self, path: Path, header: Header, entries: tuple[Entry, ...], rest: bytes) -> None:
        self.path, self.header, self.entries, self.rest = path, header, entries, rest

    @classmethod
    def create(
        cls,
        path: Path,
        header: Header,
        plan: Plan,
        signer: Signer,
        *,
        now: datetime,
        software: str,
        authorities: Sequence[Authority] = (),
        certificates: Mapping[str, bytes] | None = None,
    ) -> TranscriptFolder:
        """A new transcript with its first entry. Raises UsageError where something is there already."""
        if not _RUN.fullmatch(header.run):
            raise UsageError("the run's number is not 32 hexadecimal digits", advice="draw it at random")
        if not all(_NAME.fullmatch(authority.name) for authority in authorities):
            raise UsageError("an authority has a name that no file can have", advice="use letters, digits and '-'")
        if path.exists() and any(path.iterdir()):
            raise UsageError("something is there already", exhibit=str(path), advice="name a new or an empty folder")
        make_folder(path)
        for name in (CHECKPOINTS, CERTIFICATES, STATES):
            make_folder(path / name)
        for name, certificate in (certificates or {}).items():
            write_file(path / CERTIFICATES / f"{name}.pem", certificate)
        write_file(path / LEDGER, b"")
        write_file(path / HEADER, canonical(header) + b"\n")
        made = cls(path, header, (), b"")
        made.append(Opened(plan=plan, key=signer.key, software=software, authorities=tuple(authorities)), now=now)
        return made

    @classmethod
    def open(cls, path: Path) -> TranscriptFolder:
        """A transcript that is there. Raises UsageError where there is none, RecordError where it is damaged."""
        if not (path / HEADER).exists():
            raise UsageError("there is no transcript here", exhibit=str(path), advice="filiation training open FOLDER")
        header = _header(path)
        entries, rest = chain.parse(read_file(path / LEDGER), header)
        if not entries:
            raise RecordError("the ledger has no whole entry", exhibit=str(path), advice="restore it from another copy")
        return cls(path, header, entries, rest)

    # ------------------------------------------------------------------------------------------------------ what it says

    @property
    def opened(self) -> Opened:
        body = self.entries[0].body
        assert isinstance(body, Opened)  # rule 5 of the chain
        return body

    @property
    def plan(self) -> Plan:
        return self.opened.plan

    @property
    def head(self) -> str:
        return digest(self.entries[-1])

    @property
    def closed(self) -> Closed | None:
        body = self.entries[-1].body
        return body if isinstance(body, Closed) else None

    @property
    def states(self) -> tuple[StateRecorded, ...]:
        return chain.states_of(self.entries)

    def state_file(self, step: int) -> Path:
        """Where the owner keeps the state after a step."""
        return self.path / STATES / f"{step:09d}.safetensors"

    # ----------------------------------------------------------------------------------------------------------- writing

    def append(self, body: Body, *, now: datetime) -> Entry:
        """Add an entry; it is on the disk when this returns. Raises UsageError where it may not stand there."""
        if self.rest:
            self._cut(now)
        return self._append(body, now)

    def record_state(
        self, state: State, step: int, *, now: datetime, batches: str = "", losses: Sequence[float] = ()
    ) -> Entry:
        """Keep a state and add its digests."""
        save(state, self.state_file(step))
        body = StateRecorded(step=step, tensors=digests(state), batches=batches, losses=tuple(losses))
        return self.append(body, now=now)

    def close(self, *, now: datetime, announcement: Announcement | None = None, remark: str = "") -> Entry:
        """The last entry, with the root over all others. Raises UsageError while planned states are missing and nothing says why."""
        missing = len(self.plan.recorded_steps) - len(self.states)
        if missing and not remark:
            raise UsageError(
                f"{missing} of the planned states are not recorded",
                exhibit=str(self.path),
                advice="record them, or close with a remark that says why the run ended early",
            )
        tree = chain.merkle_tree(self.entries)
        body = Closed(root=tree.root.hex(), leaves=tree.size, announcement=announcement, remark=remark)
        return self.append(body, now=now)

    def checkpoint(self, signer: Signer, *, now: datetime, stampers: Sequence[Stamper] = ()) -> CheckpointPredicate:
        """Sign the head and have it stamped. An authority that cannot be reached is left out, and the checkpoint says why."""
        if signer.key != self.opened.key:
            raise UsageError("this is not the transcript's key", exhibit=str(self.path), advice="give the key it names")
        asked, time = {stamper.authority.name: stamper for stamper in stampers}, time_text(now)
        refusals: list[str] = []
        while True:
            why = "; ".join(refusals) if refusals else "" if asked else "no authority was asked"
            predicate = self._predicate(time, tuple(sorted(asked)), why)
            data = signing.envelope(signing.checkpoint_statement(predicate, self.head), signer)
            stamps: dict[str, bytes] = {}
            try:
                for name in predicate.stamps:
                    stamps[name] = asked[name].stamp(data)
            except (SourceNotFound, RecordError) as error:
                refusals.append(f"{name}: {error.message}")
                del asked[name]
                continue
            self._write_checkpoint(predicate, data, stamps, signer)
            return predicate

    def _predicate(self, time: str, stamps: tuple[str, ...], unstamped: str) -> CheckpointPredicate:
        before = [one for one in checkpoints(self.path) if one.sequence < len(self.entries)]
        return CheckpointPredicate(
            case=self.header.run,
            sequence=len(self.entries),
            time=time,
            stamps=stamps,
            unstamped=unstamped,
            closed=self.closed is not None,
            previous=hashlib.sha256(before[-1].data).hexdigest() if before else "",
        )

    def _write_checkpoint(
        self, predicate: CheckpointPredicate, data: bytes, stamps: Mapping[str, bytes], signer: Signer
    ) -> None:
        sequence = predicate.sequence
        receipt = ReceiptPredicate(
            case=self.header.run,
            sequence=sequence,
            checkpoint=hashlib.sha256(data).hexdigest(),
            stamps={name: hashlib.sha256(stamp).hexdigest() for name, stamp in stamps.items()},
        )
        for name, stamp in stamps.items():
            write_file(self.path / signing.stamp_name(sequence, name), stamp)
        receipt_data = signing.envelope(signing.receipt_statement(receipt), signer)
        write_file(self.path / signing.receipt_name(sequence), receipt_data)
        write_file(self.path / signing.checkpoint_name(sequence), data)

    def _append(self, body: Body, now: datetime) -> Entry:
        entry = chain.next_entry(self.entries, self.header, body, now)
        expected = sum(len(chain.entry_line(one)) for one in self.entries[-1:])
        self._check_untouched(expected)
        descriptor = open_to_append(self.path / LEDGER)
        with writing(self.path / LEDGER):
            try:
                write_all(descriptor, chain.entry_line(entry))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self.entries = (*self.entries, entry)
        return entry

    def _check_untouched(self, tail: int) -> None:
        """The file still ends with the last entry that we know."""
        with (self.path / LEDGER).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - tail))
            found = file.read()
        if found != (chain.entry_line(self.entries[-1]) if self.entries else b""):
            raise RecordError(
                "was changed by something else while this process writes it",
                exhibit=str(self.path / LEDGER),
                advice="nothing was written; end the other program and open the transcript again",
            )

    def _cut(self, now: datetime) -> None:
        """Take away the torn rest of an interrupted write, and say so."""
        data, lost = read_file(self.path / LEDGER), len(self.rest)
        write_file(self.path / LEDGER, data[: len(data) - lost])
        self.rest = b""
        self._append(Noted(text=f"{lost} bytes of an interrupted write were taken away"), now)


# ---------------------------------------------------------------------------------------------------------------- reading


def checkpoints(path: Path) -> tuple[Signed, ...]:
    """All checkpoints with their receipts and stamps, oldest first; nothing is checked."""
    folder = path / CHECKPOINTS
    refuse_link(folder)
    found = []
    names = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
    for match in filter(None, map(_CHECKPOINT.fullmatch, names)):
        sequence = int(match[1])
        stamps = {
            name.removeprefix(f"{match[1]}.").removesuffix(".tsr"): read_file(folder / name)
            for name in names
            if name.startswith(f"{match[1]}.") and name.endswith(".tsr")
        }
        receipt = path / signing.receipt_name(sequence)
        found.append(
            Signed(sequence, read_file(folder / match[0]), read_file(receipt) if receipt.exists() else b"", stamps)
        )
    return tuple(found)


def certificate(path: Path, name: str) -> bytes:
    """The owner's copy of an authority's root certificate; empty where there is none."""
    file = path / CERTIFICATES / f"{name}.pem"
    return read_file(file) if _NAME.fullmatch(name) and file.exists() else b""


def key_of(entries: Sequence[Entry]) -> PublicKey | None:
    return entries[0].body.key if entries and isinstance(entries[0].body, Opened) else None


def _header(path: Path) -> Header:
    data = read_file(path / HEADER)
    try:
        header = msgspec.json.decode(data, type=Header)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise RecordError(f"is no header of a transcript: {error}", exhibit=str(path / HEADER)) from error
    if (header.format, header.version) != (FORMAT, VERSION) or canonical(header) + b"\n" != data:
        raise RecordError(
            "is not the header of a transcript of this version",
            exhibit=str(path / HEADER),
            advice="it was altered, or another version wrote it",
        )
    return header
