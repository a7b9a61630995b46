"""What committing to canaries and to lots is told on the command line: the beacon that is to come, and who stamps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from filiation.cli.canary.options import bytes_of, now
from filiation.errors import UsageError

if TYPE_CHECKING:
    from filiation.case.records import Announcement
    from filiation.case.time_stamps import Stamper


def moment(text: str) -> datetime:
    """The time that a person wrote, UTC where no zone is named; in an hour where nothing is written. Raises UsageError."""
    if not text:
        return now() + timedelta(hours=1)
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time", advice="write it as 2026-01-31T12:00:00Z") from error
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def announced(beacon: str, when: datetime, chain: str, certificate: Path | None) -> Announcement:
    """The first beacon of that kind from that time on. `chain` and `certificate`: of NIST only. Raises UsageError."""
    import hashlib

    from filiation.case import beacons
    from filiation.case.records import Announcement

    if beacon != "nist":
        return beacons.announced(beacon, when)
    if certificate is None:
        raise UsageError("pulses of NIST are held against a certificate", advice="give --beacon-certificate FILE")
    whole = when.astimezone(UTC).replace(second=0, microsecond=0)
    return Announcement(
        basis="nist",
        chain=chain,
        time=f"{whole:%Y-%m-%dT%H:%M:%SZ}",
        certificate=hashlib.sha256(bytes_of(certificate)).hexdigest(),
    )


def stampers_of(authorities: dict[str, str], certificates: dict[str, str]) -> list[tuple[Stamper, bytes]]:
    """Who stamps, from addresses and files of root certificates by name. Raises UsageError where the names differ."""
    from filiation.case.records import Authority
    from filiation.case.time_stamps import HttpStamper

    if set(authorities) != set(certificates):
        raise UsageError(
            "each authority has an address and a root certificate",
            advice="give --authority NAME=URL and --authority-certificate NAME=FILE for the same names",
        )
    made: list[tuple[Stamper, bytes]] = []
    for name, url in authorities.items():
        certificate = bytes_of(Path(certificates[name]))
        made.append((HttpStamper(Authority(name=name, url=url, certificate=""), certificate), certificate))
    return made
