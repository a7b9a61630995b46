"""What the ledgers of canaries and of lots tell alike: stamps, beacon, and how many commitments are to be paid for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from filiation.report.wording import plural, visible, whole

if TYPE_CHECKING:
    from filiation.case.standing import Numbered, Standing


class Account(Protocol):
    """An owner's account of one commitment."""

    @property
    def commitment_sha256(self) -> str: ...

    @property
    def number(self) -> int: ...

    @property
    def earlier(self) -> tuple[str, ...]: ...

    @property
    def standing(self) -> Standing: ...


def standing_told(standing: Standing, earlier: Sequence[str], without_beacon: str) -> list[str]:
    """Stamps and beacon in lines; `without_beacon`: what there is not before the beacon has spoken."""
    if standing.spoken:
        beacon = f"beacon: {visible(standing.beacon, 200)}, public at {standing.beacon_time}"
    else:
        when = f"speaks at {standing.beacon_time}" if standing.beacon_time else "is still to come"
        beacon = f"the announced beacon {when}: {standing.beacon}; {without_beacon}"
    return [
        f"  commitment {standing.commitment}, signed with the key {standing.keyid}",
        *(f"  earlier one, as its owner says: {each}" for each in earlier),
        *(f"  stamped by {visible(name, 60)} at {time}" for name, time in standing.stamps.items()),
        *(f"  not stamped by {visible(name, 60)}" for name in standing.unstamped),
        f"  {beacon}",
        *(f"  note: {visible(remark)}" for remark in standing.remarks),
    ]


def to_be_paid_for(accounts: Sequence[Account]) -> dict[str, int]:
    """By the key that signed: how many commitments every figure is paid for."""
    from filiation.case.standing import to_be_paid_for as counted

    by_key: dict[str, list[Numbered]] = {}
    for each in accounts:
        by_key.setdefault(each.standing.keyid, []).append(each)
    return {keyid: counted(theirs) for keyid, theirs in by_key.items()}


def paid_told(accounts: Sequence[Account], noun: str) -> list[str]:
    """One line for each key, and whether all that are to be paid for were given."""
    lines = []
    for keyid, number in to_be_paid_for(accounts).items():
        given = len({each.commitment_sha256 for each in accounts if each.standing.keyid == keyid})
        seen = "all of them shown here" if given == number else f"{whole(given)} of them shown here"
        lines.append(f"to be paid for by every figure under the key {keyid[:16]}: {plural(number, noun)}, {seen}")
    return [*lines, "That there are no others is the owner's word."]
