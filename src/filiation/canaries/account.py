"""The owner's account of canaries: what was committed to and stamped, what was exposed to whom, what was opened.

Read from the owner's folder or from the bundle of an opened batch, without any key. It is the claimant's own word; that it cannot be
rewritten afterwards is what signatures and chain are for, and that it holds everything is not shown by it.
"""

from __future__ import annotations

from collections.abc import Iterator

from filiation.canaries import opening
from filiation.canaries.commitment import BatchPlan, Commitment, read_commitment
from filiation.canaries.exposure import (
    BatchOpened,
    Exposed,
    Exposure,
    Head,
    LedgerEntry,
    Requested,
    check_entries,
    exposure_of,
    head,
    read_ledger,
)
from filiation.canaries.owner import CANARIES_FILE, Holding
from filiation.case.commitments import certificate_name, sha256_of
from filiation.case.files import read_file
from filiation.case.standing import Standing, standing
from filiation.errors import RecordError, UsageError
from filiation.evidence import Record


class BatchAccount(Record, frozen=True, kw_only=True):
    """One batch. `requested`: when it was fixed what would be tested; `opened`: when it was opened, empty while it is shut."""

    batch: int
    canaries: int
    decoys: int
    exposure: Exposure
    requested: tuple[str, ...] = ()
    opened: str = ""


class Account(Record, frozen=True, kw_only=True):
    """What an owner's folder tells. `faults`: where the ledger contradicts the protocol; a batch with one cannot be used."""

    claimant: str
    made: str
    number: int
    earlier: tuple[str, ...]
    cohorts: int
    standing: Standing
    batches: tuple[BatchAccount, ...]
    entries: tuple[LedgerEntry, ...]
    head: Head
    faults: tuple[str, ...] = ()

    @property
    def commitment_sha256(self) -> str:
        return self.standing.commitment


def account(holding: Holding) -> Account:
    """The account in a folder. UsageError before 'commit'; RecordError where commitment, stamps, beacon or chain do not hold."""
    if not holding.at(opening.COMMITMENT_FILE).exists():
        raise UsageError(
            "nothing is committed to here",
            exhibit=str(holding.folder),
            advice="give the folder of canaries after 'filiation canary commit', or the bundle of an opened batch; of lots ask "
            "'filiation lot ledger'",
        )
    data, ledger = read_file(holding.at(opening.COMMITMENT_FILE)), holding.ledger()
    commitment = read_commitment(data)
    entries = read_ledger(ledger, sha256_of(data), commitment.key)
    files = _files(holding, commitment)
    beacon, certificate = (files.get(name, b"") for name in (opening.BEACON_FILE, opening.BEACON_CERTIFICATE_FILE))
    return Account(
        claimant=commitment.claimant,
        made=commitment.made,
        number=commitment.number,
        earlier=commitment.earlier,
        cohorts=commitment.cohorts,
        standing=standing(data, commitment, files, opening.stamp_name, beacon, certificate),
        batches=tuple(_of_batch(plan, entries) for plan in commitment.batches),
        entries=entries,
        head=head(ledger),
        faults=tuple(_faults(holding, commitment, entries)),
    )


def _files(holding: Holding, commitment: Commitment) -> dict[str, bytes]:
    named = [name(each.name) for each in commitment.authorities for name in (opening.stamp_name, certificate_name)]
    wanted = (*named, opening.BEACON_FILE, opening.BEACON_CERTIFICATE_FILE)
    return {name: read_file(holding.at(name)) for name in wanted if holding.at(name).exists()}


def _of_batch(plan: BatchPlan, entries: tuple[LedgerEntry, ...]) -> BatchAccount:
    def times(kind: type[Requested] | type[BatchOpened]) -> tuple[str, ...]:
        return tuple(each.time for each in entries if isinstance(each.body, kind) and each.body.batch == plan.batch)

    return BatchAccount(
        batch=plan.batch,
        canaries=plan.canaries,
        decoys=plan.decoys,
        exposure=exposure_of(entries, plan.batch),
        requested=times(Requested),
        opened=next(iter(times(BatchOpened)), ""),
    )


def _faults(holding: Holding, commitment: Commitment, entries: tuple[LedgerEntry, ...]) -> Iterator[str]:
    """Batch by batch the first thing that the protocol forbids, and lines about batches that nobody committed to."""
    known = {plan.batch for plan in commitment.batches}
    for entry in entries:
        if isinstance(entry.body, Exposed | Requested | BatchOpened) and entry.body.batch not in known:
            yield f"line {entry.sequence}: batch {entry.body.batch} was not committed to"
    canaries = holding.canaries() if holding.at(CANARIES_FILE).exists() else ()
    for batch in sorted(known):
        planted = frozenset(str(each.index) for each in canaries if each.batch == batch and not each.decoy)
        try:
            check_entries(entries, planted if canaries else None, commitment.cohorts, batch)
        except RecordError as error:
            yield f"batch {batch}: {error.exhibit}: {error.message}"
