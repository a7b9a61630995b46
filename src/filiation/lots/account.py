"""The owner's account of lots: what was committed to, stamped, drawn and opened. Read from a lot's folder, without the secret."""

from __future__ import annotations

from filiation.case.standing import Standing, standing
from filiation.errors import UsageError
from filiation.evidence import Record
from filiation.lots.lot import BEACON_CERTIFICATE_FILE, BEACON_FILE, LOT_FILE, SECRET_FILE, stamp_name
from filiation.lots.owner import OPENED, Holding
from filiation.lots.subject import Purpose


class Account(Record, frozen=True, kw_only=True):
    """What a lot's folder tells. `opened`: whether an opened lot lies in it; one that was opened into another folder leaves no trace."""

    owner: str
    purpose: Purpose
    items: int
    made: str
    number: int
    earlier: tuple[str, ...]
    subject_sha256: str
    standing: Standing
    opened: bool

    @property
    def commitment_sha256(self) -> str:
        return self.standing.commitment


def account(holding: Holding) -> Account:
    """The account in a folder, the owner's or an opened one. UsageError without a lot; RecordError where something does not hold."""
    if not holding.at(LOT_FILE).exists():
        raise UsageError(
            "no lot is committed to here",
            exhibit=str(holding.folder),
            advice="give the folder of a lot after 'filiation lot commit'",
        )
    commitment, files = holding.commitment(), holding.files()
    beacon, certificate = (files.get(name, b"") for name in (BEACON_FILE, BEACON_CERTIFICATE_FILE))
    return Account(
        owner=commitment.owner,
        purpose=commitment.purpose,
        items=commitment.items,
        made=commitment.made,
        number=commitment.number,
        earlier=commitment.earlier,
        subject_sha256=commitment.subject_sha256,
        standing=standing(files[LOT_FILE], commitment, files, stamp_name, beacon, certificate),
        opened=any(holding.at(name).exists() for name in (SECRET_FILE, f"{OPENED}/{SECRET_FILE}")),
    )
