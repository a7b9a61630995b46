"""How a commitment stands, for whoever holds its files: who stamped it when, whether the beacon has spoken, what is to be paid for.

The certificates are those in the folder, which its owner put there: a verifier brings others along (`case.commitments.Trust`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from filiation.case.beacons import address
from filiation.case.commitments import (
    Committed,
    Trust,
    announced_time,
    certificate_name,
    check_order,
    check_stamps,
    sha256_of,
)
from filiation.evidence import Record


class Standing(Record, frozen=True, kw_only=True):
    """`commitment`: SHA-256 of the commitment's file; `stamps`: times by authority; `unstamped`: authorities that were named only.

    `beacon`: what has spoken, or before that where it can be fetched; `beacon_time`: when it becomes public, empty where only the number
    of a pulse is announced. `remarks`: what rests on somebody's word.
    """

    commitment: str
    keyid: str
    stamps: dict[str, str]
    unstamped: tuple[str, ...]
    spoken: bool
    beacon: str
    beacon_time: str
    remarks: tuple[str, ...] = ()


def standing(
    data: bytes,
    commitment: Committed,
    files: Mapping[str, bytes],
    stamp_name: Callable[[str], str],
    beacon: bytes,
    beacon_certificate: bytes,
) -> Standing:
    """Stamps (and their certificates) among `files` by name, and the beacon, empty before it is there, verified.

    Raises RecordError where one does not hold.
    """
    names = [authority.name for authority in commitment.authorities]
    stamps = {name: files[stamp_name(name)] for name in names if stamp_name(name) in files}
    certificates = {name: files.get(certificate_name(name), b"") for name in names}
    times: dict[str, datetime] = {}
    told, public = address(commitment.announcement), announced_time(commitment.announcement)
    remarks: tuple[str, ...] = ()
    if beacon:
        order = check_order(data, commitment, stamps, certificates, beacon, beacon_certificate, Trust(copies=True))
        times, public, told, remarks = order.stamps, order.pulse.time, order.pulse.described, order.remarks
    elif stamps:
        times = check_stamps(data, commitment, stamps, certificates, Trust())
    return Standing(
        commitment=sha256_of(data),
        keyid=commitment.key.keyid,
        stamps={name: _text(time) for name, time in times.items()},
        unstamped=tuple(name for name in names if name not in times),
        spoken=bool(beacon),
        beacon=told,
        beacon_time=_text(public) if public else "",
        remarks=remarks,
    )


def _text(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


class Numbered(Protocol):
    """A commitment that says how many its owner has made, and names those before by the SHA-256 of their files."""

    @property
    def commitment_sha256(self) -> str: ...

    @property
    def number(self) -> int: ...

    @property
    def earlier(self) -> tuple[str, ...]: ...


def to_be_paid_for(commitments: Sequence[Numbered]) -> int:
    """How many commitments of one owner there are by what is known of together: the first of them was made when it was the only one."""
    told = {each.commitment_sha256 for each in commitments}.union(*(each.earlier for each in commitments))
    return max(len(told), *(each.number for each in commitments))
