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

from filiation.case import signing
from filiation.case.checkpoints import Checkpoint, files_of, sequence_of, signed, stamped
from filiation.case.files import (
    PLAIN_NAME,
    append_whole,
    make_folder,
    open_to_append,
    read_file,
    refuse_link,
    refuse_taken,
    write_file,
)
from filiation.case.folder import header_bytes, read_header
from filiation.case.ledger import entry_line, time_text
from filiation.case.records import Announcement, Authority, CheckpointPredicate, PublicKey
from filiation.case.signing import Signer
from filiation.case.time_stamps import Stamper
from filiation.errors import RecordError, UsageError
from filiation.evidence import digest
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
        if not all(PLAIN_NAME.fullmatch(authority.name) for authority in authorities):
            raise UsageError("an authority has a name that no file can have", advice="use letters, digits and '-'")
        refuse_taken(path)
        make_folder(path)
        for name in (CHECKPOINTS, CERTIFICATES, STATES):
            make_folder(path / name)
        for name, certificate in (certificates or {}).items():
            write_file(path / CERTIFICATES / f"{name}.pem", certificate)
        write_file(path / LEDGER, b"")
        write_file(path / HEADER, header_bytes(header))
        made = cls(path, header, (), b"")
        made.append(Opened(plan=plan, key=signer.key, software=software, authorities=tuple(authorities)), now=now)
        return made

    @classmethod
    def open(cls, path: Path) -> TranscriptFolder:
        """A transcript that is there. Raises UsageError where there is none, RecordError where it is damaged."""
        if not (path / HEADER).exists():
            raise UsageError("there is no transcript here", exhibit=str(path), advice="filiation training open FOLDER")
        header = read_header(path / HEADER, Header, "a transcript", (FORMAT, VERSION))
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
        missing = self.plan.planned_states - len(self.states)
        if missing and not remark:
            raise UsageError(
                f"{missing} of the planned states are not recorded",
                exhibit=str(self.path),
                advice="record them, or close with a remark that says why the run ended early",
            )
        tree = chain.merkle_tree(self.entries)
        body = Closed(root=tree.root.hex(), leaves=tree.size, announcement=announcement, remark=remark)
        return self.append(body, now=now)

    def check_signer(self, signer: Signer) -> None:
        """UsageError unless this is the transcript's key; asked before an entry is added that nobody else could sign."""
        if signer.key != self.opened.key:
            raise UsageError("this is not the transcript's key", exhibit=str(self.path), advice="give the key it names")

    def checkpoint(self, signer: Signer, *, now: datetime, stampers: Sequence[Stamper] = ()) -> CheckpointPredicate:
        """Sign the head and have it stamped. An authority that cannot be reached is left out, and the checkpoint says why.

        Again for the same entry it takes the place of the one before, which is right where that one has no stamp.
        """
        self.check_signer(signer)
        asked, time = {stamper.authority.name: stamper for stamper in stampers}, time_text(now)
        made, stamps = stamped(asked, lambda names, unstamped: self._signed(signer, time, names, unstamped))
        for name, data in files_of(made, stamps, signer).items():
            write_file(self.path / name, data)
        return made.predicate

    def _signed(self, signer: Signer, time: str, stamps: tuple[str, ...], unstamped: str) -> Checkpoint:
        before = [one for one in checkpoints(self.path) if one.sequence < len(self.entries)]
        predicate = CheckpointPredicate(
            case=self.header.run,
            sequence=len(self.entries),
            time=time,
            stamps=stamps,
            unstamped=unstamped,
            closed=self.closed is not None,
            previous=hashlib.sha256(before[-1].data).hexdigest() if before else "",
        )
        return signed(predicate, self.head, signer)

    def _append(self, body: Body, now: datetime) -> Entry:
        entry = chain.next_entry(self.entries, self.header, body, now)
        size = self._size_untouched()
        descriptor = open_to_append(self.path / LEDGER)
        try:
            append_whole(descriptor, entry_line(entry), size, self.path / LEDGER)
        finally:
            os.close(descriptor)
        self.entries = (*self.entries, entry)
        return entry

    def _size_untouched(self) -> int:
        """Bytes of the ledger, which still ends with the last entry that we know."""
        known = b"".join(map(entry_line, self.entries[-1:]))
        with (self.path / LEDGER).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - len(known)))
            found = file.read()
        if found != known:
            raise RecordError(
                "was changed by something else while this process writes it",
                exhibit=str(self.path / LEDGER),
                advice="nothing was written; end the other program and open the transcript again",
            )
        return size

    def _cut(self, now: datetime) -> None:
        """Take away the torn rest of an interrupted write, and say so, in one step."""
        noted = Noted(text=f"{len(self.rest)} bytes of an interrupted write were taken away")
        entry = chain.next_entry(self.entries, self.header, noted, now)
        whole = read_file(self.path / LEDGER)[: -len(self.rest)]
        write_file(self.path / LEDGER, whole + entry_line(entry))
        self.entries, self.rest = (*self.entries, entry), b""


# ---------------------------------------------------------------------------------------------------------------- reading


def checkpoints(path: Path) -> tuple[Signed, ...]:
    """All checkpoints with their receipts and stamps, oldest first; nothing is checked."""
    folder = path / CHECKPOINTS
    refuse_link(folder)
    names = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
    stamps: dict[str, dict[str, bytes]] = {}
    for name in names:
        number, _, authority = name.removesuffix(".tsr").partition(".")
        if name.endswith(".tsr"):
            stamps.setdefault(number, {})[authority] = read_file(folder / name)
    numbered = sorted((sequence, name) for name in names if (sequence := sequence_of(name)) is not None)
    return tuple(
        Signed(sequence, read_file(folder / name), _receipt(path, sequence), stamps.get(name.removesuffix(".json"), {}))
        for sequence, name in numbered
    )


def _receipt(path: Path, sequence: int) -> bytes:
    file = path / signing.receipt_name(sequence)
    return read_file(file) if file.exists() else b""


def certificate(path: Path, name: str) -> bytes:
    """The owner's copy of an authority's root certificate; empty where there is none."""
    file = path / CERTIFICATES / f"{name}.pem"
    return read_file(file) if PLAIN_NAME.fullmatch(name) and file.exists() else b""


def key_of(entries: Sequence[Entry]) -> PublicKey | None:
    return entries[0].body.key if entries and isinstance(entries[0].body, Opened) else None
