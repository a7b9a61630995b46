"""The exposure ledger: what of the planted answers was exposed to whom, when and how often, and which batches were opened.

One line per entry, each a signed envelope whose subject is the SHA-256 of the line before; the first one's is that of the commitment's
file. No line can be changed, left out or moved without breaking the chain behind it; lines cut off at the end are seen only against
a copy that somebody else holds, so hand out the ledger's head now and then. The ledger is the owner's own word: it commits the owner to
an account of what was exposed, and an exposure that is not in it is an exposure that the owner has to explain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filiation.case.commitments import read_signed, signed
from filiation.case.files import read_file, write_file
from filiation.case.records import PublicKey
from filiation.case.signing import Signer
from filiation.errors import MissingExtra, RecordError, UsageError
from filiation.evidence import Record

ENTRY_TYPE = "urn:filiation:canary-ledger:v1"
Channel = Literal["training text", "answers"]


class Labelled(Record, frozen=True, kw_only=True, tag_field="action", tag="label"):
    """The announced beacon was there and was verified. `beacon`: SHA-256 of its file."""

    beacon: str


class Exposed(Record, frozen=True, kw_only=True, tag_field="action", tag="expose"):
    """Labelled options were exposed. `exposures`: how often, by the index of the canary. `recipient`: whom it went to.

    `since` and `until` bound the time of exposure; `sha256` is that of the file that was written, where there is one.
    """

    batch: int
    cohort: int
    channel: Channel
    recipient: str
    exposures: dict[str, int]
    since: str
    until: str
    sha256: str = ""


class Requested(Record, frozen=True, kw_only=True, tag_field="action", tag="request"):
    """What a verifier is to test was fixed, before the batch is opened. `request`: SHA-256 of its file."""

    batch: int
    request: str


class BatchOpened(Record, frozen=True, kw_only=True, tag_field="action", tag="open"):
    """A batch was opened: its key and its canaries are secret no more. `opening`: SHA-256 of its file."""

    batch: int
    request: str
    opening: str


Body = Labelled | Exposed | Requested | BatchOpened


class LedgerEntry(Record, frozen=True, kw_only=True):
    """One line. `sequence` counts from 1; `time` is what the owner's clock said."""

    sequence: int
    time: str
    body: Body


def read_ledger(data: bytes, commitment_sha256: str, key: PublicKey) -> tuple[LedgerEntry, ...]:
    """The entries of a ledger. RecordError naming the line that breaks signature, chain or order."""
    entries: list[LedgerEntry] = []
    previous = commitment_sha256
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        entries.append(_read_line(line, number, previous, key, entries))
        previous = hashlib.sha256(line).hexdigest()
    return tuple(entries)


def _read_line(line: bytes, number: int, previous: str, key: PublicKey, before: list[LedgerEntry]) -> LedgerEntry:
    where = f"the exposure ledger, line {number}"
    try:
        entry, said = read_signed(line, key, ENTRY_TYPE, "previous", LedgerEntry)
    except RecordError as error:
        raise RecordError(error.message, exhibit=where, advice=error.advice) from error
    if said != previous or entry.sequence != number:
        raise RecordError(
            "it does not follow the line before",
            exhibit=where,
            advice="lines were taken out, put in or moved; ask for a whole copy",
        )
    if before and entry.time < before[-1].time:
        raise RecordError("it is earlier than the line before", exhibit=where, advice="ask whose clock went back")
    return entry


def next_lines(data: bytes, commitment_sha256: str, *bodies: Body, signer: Signer, now: datetime) -> bytes:
    """The lines that go on a ledger. Raises RecordError where the ledger is broken, UsageError where the clock went back."""
    entries = read_ledger(data, commitment_sha256, signer.key)
    time = time_text(now)
    if entries and time < entries[-1].time:
        raise UsageError(f"the last line is of {entries[-1].time}, and it is {time}", advice="set the clock right")
    added: list[bytes] = []
    for sequence, body in enumerate(bodies, len(entries) + 1):
        before = added[-1:] or data.splitlines(keepends=True)[-1:]
        previous = hashlib.sha256(before[0]).hexdigest() if before else commitment_sha256
        entry = LedgerEntry(sequence=sequence, time=time, body=body)
        added.append(signed(ENTRY_TYPE, "previous", previous, entry, signer))
    return b"".join(added)


def append(path: Path, commitment_sha256: str, *bodies: Body, signer: Signer, now: datetime) -> bytes:
    """Add lines to the ledger in a file, all of them or none; the ledger's bytes are returned. The whole ledger is checked each time."""
    with _locked(path):
        data = read_file(path) if path.exists() else b""
        grown = data + next_lines(data, commitment_sha256, *bodies, signer=signer, now=now)
        write_file(path, grown)
    return grown


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time: two lines written at once would both follow the same one."""
    try:
        import filelock
    except ImportError as error:
        raise MissingExtra("the ledger needs the package filelock", advice='pip install "filiation[case]"') from error
    with filelock.FileLock(path.with_name(f"{path.name}.lock")):
        yield


def time_text(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -------------------------------------------------------------------------------------------------------------- reading


class Exposure(Record, frozen=True, kw_only=True):
    """What a ledger says of one batch. `exposed`: canaries exposed at least once; `times`: exposures in all."""

    entries: int
    exposed: int
    times: int
    cohorts: int
    recipients: tuple[str, ...]
    since: str = ""
    until: str = ""


def exposure_of(entries: tuple[LedgerEntry, ...], batch: int) -> Exposure:
    """The exposures of one batch, summed up."""
    told = _exposed(entries, batch)
    return Exposure(
        entries=len(told),
        exposed=len({index for each in told for index in each.exposures}),
        times=sum(times for each in told for times in each.exposures.values()),
        cohorts=len(exposed_cohorts(entries, batch)),
        recipients=tuple(sorted({each.recipient for each in told})),
        since=min((each.since for each in told), default=""),
        until=max((each.until for each in told), default=""),
    )


def exposed_cohorts(entries: tuple[LedgerEntry, ...], batch: int) -> tuple[int, ...]:
    """The cohorts in which canaries of a batch were exposed."""
    return tuple(sorted({each.cohort for each in _exposed(entries, batch)}))


def _exposed(entries: tuple[LedgerEntry, ...], batch: int) -> list[Exposed]:
    return [entry.body for entry in entries if isinstance(entry.body, Exposed) and entry.body.batch == batch]


def opened_batch(entries: tuple[LedgerEntry, ...], batch: int) -> BatchOpened | None:
    """The entry by which a batch was opened; None while it is shut."""
    found = [entry.body for entry in entries if isinstance(entry.body, BatchOpened) and entry.body.batch == batch]
    return found[0] if found else None


def check_entries(entries: tuple[LedgerEntry, ...], canaries: frozenset[str] | None, cohorts: int, batch: int) -> None:
    """RecordError where a ledger contradicts the protocol for a batch.

    `canaries`: the indices of those that were to be planted, spelt as entries spell them; None where nobody could read which they are.

    1. The beacon was there before anything was exposed.
    2. Nothing but canaries of the batch was exposed, no decoy, and no cohort that does not exist.
    3. The batch was opened once, after its request, and not exposed afterwards.
    """
    labelled = opened = False
    requests: set[str] = set()
    for entry in entries:
        body = entry.body
        if isinstance(body, Labelled):
            labelled = True
        elif isinstance(body, Exposed) and body.batch == batch:
            _check_exposed(body, canaries, cohorts, entry.sequence, labelled and not opened)
        elif isinstance(body, Requested) and body.batch == batch:
            requests.add(body.request)
        elif isinstance(body, BatchOpened) and body.batch == batch:
            if opened or body.request not in requests:
                raise _against(
                    entry.sequence, "the batch is opened twice, or without a request that was written before"
                )
            opened = True


def _check_exposed(body: Exposed, canaries: frozenset[str] | None, cohorts: int, sequence: int, in_time: bool) -> None:
    if not in_time:
        raise _against(sequence, "canaries are exposed before the beacon was there, or after their batch was opened")
    if not 0 <= body.cohort < cohorts:
        raise _against(sequence, f"cohort {body.cohort} was not committed to")
    strange = canaries is not None and not body.exposures.keys() <= canaries
    if strange or min(body.exposures.values(), default=1) < 1:
        raise _against(sequence, "a decoy is exposed, or something that is no canary")


def _against(sequence: int, what: str) -> RecordError:
    return RecordError(
        what, exhibit=f"the exposure ledger, line {sequence}", advice="this batch cannot be used; open another one"
    )


class Head(Record, frozen=True, kw_only=True):
    """How far a ledger goes: the number of its lines, and the SHA-256 of the last one."""

    entries: int
    sha256: str


def head(data: bytes) -> Head:
    """Number of lines and SHA-256 of the last one: what to hand out, so that nothing can be cut off unseen."""
    lines = data.splitlines(keepends=True)
    return Head(entries=len(lines), sha256=hashlib.sha256(lines[-1]).hexdigest() if lines else "")
