"""What a neutral verifier checks of an opened lot. If one check fails, nothing is drawn from it."""

from __future__ import annotations

from collections.abc import Mapping

from filiation.case.checking import Checking
from filiation.case.commitments import Trust
from filiation.case.records import Check
from filiation.errors import FiliationError, MissingExtra
from filiation.evidence import Record
from filiation.lots.lot import TITLES, Lot, read_lot
from filiation.lots.subject import Purpose


class Result(Record, frozen=True, kw_only=True):
    """What a verification found. The same files and trust give the same record.

    `certificates`: SHA-256 fingerprints of what the order in time rests on; `number`: how many lots the owner says there are.
    """

    owner: str
    keyid: str
    purpose: Purpose
    made: str
    number: int
    earlier: tuple[str, ...]
    items: int
    commitment: str
    subject: str
    beacon: str
    beacon_time: str
    stamps: dict[str, str]
    certificates: tuple[str, ...]
    checks: tuple[Check, ...]
    remarks: tuple[str, ...]


def verified(files: Mapping[str, bytes], trust: Trust) -> tuple[Lot | None, tuple[Check, ...]]:
    """Carry out the checks. None with the checks up to the one that failed, where one does.

    Raises MissingExtra where a library is missing.
    """
    checking = Checking(TITLES, "the lot")
    try:
        lot = read_lot(files, trust, checking)
    except MissingExtra:
        raise
    except FiliationError:
        return None, tuple(checking.checks)
    return lot, tuple(checking.checks)


def result(lot: Lot, checks: tuple[Check, ...]) -> Result:
    """The record of a verification whose checks all hold."""
    return Result(
        owner=lot.owner,
        keyid=lot.keyid,
        purpose=lot.purpose,
        made=lot.made,
        number=lot.number,
        earlier=lot.earlier,
        items=lot.items,
        commitment=lot.commitment_sha256,
        subject=lot.subject_sha256,
        beacon=lot.beacon,
        beacon_time=f"{lot.beacon_time:%Y-%m-%dT%H:%M:%SZ}",
        stamps={name: f"{time:%Y-%m-%dT%H:%M:%SZ}" for name, time in lot.stamps.items()},
        certificates=lot.certificates,
        checks=checks,
        remarks=lot.remarks,
    )
