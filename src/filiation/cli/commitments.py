"""What the verbs of canaries and of lots are told alike on the command line: beacons, stamps, and whom a verifier trusts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filiation.cli.canary.options import bytes_of, now
from filiation.errors import UsageError
from filiation.report.wording import plural

if TYPE_CHECKING:
    from filiation.case.commitments import Committed, Trust
    from filiation.case.records import Announcement
    from filiation.case.time_stamps import Stamper

Beacon = Annotated[str, typer.Option(help="quicknet or default (drand), or nist.")]
BeaconAt = Annotated[
    str, typer.Option(help="When the announced beacon speaks, UTC; by default in an hour.", metavar="TIME")
]
BeaconChain = Annotated[str, typer.Option(help="The chain index of the NIST beacon.")]
BeaconCertificate = Annotated[
    Path | None, typer.Option(help="The certificate (PEM) that NIST signs pulses with.", metavar="FILE")
]
BeaconFile = Annotated[Path, typer.Option(help="The file that the announced beacon served.", metavar="FILE")]
Stamps = Annotated[
    list[str] | None,
    typer.Option(help="A stamp (RFC 3161 response, DER) of an authority that was named.", metavar="NAME=FILE"),
]
RootCertificates = Annotated[
    list[Path] | None,
    typer.Option(help="The root certificate (PEM) of an authority, from the authority itself.", metavar="FILE"),
]
TrustedBeacon = Annotated[
    Path | None, typer.Option(help="The certificate (PEM) of NIST, from NIST itself.", metavar="FILE")
]
Chains = Annotated[
    list[str] | None, typer.Option(help="The hash of a drand chain that you know, besides those built in.")
]


def trust_in(
    authorities: list[Path] | None, beacon_certificate: Path | None, chains: list[str] | None, keyid: str, copies: bool
) -> Trust:
    """What a verifier brings along, from files that are named."""
    from filiation.case.commitments import Trust

    return Trust(
        authorities=tuple(bytes_of(file) for file in authorities or ()),
        beacon_certificate=bytes_of(beacon_certificate),
        chains=tuple(chains or ()),
        keyid=keyid,
        copies=copies,
    )


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


def authorities_of(
    asked: dict[str, str], certificates: dict[str, str]
) -> tuple[list[tuple[Stamper, bytes]], dict[str, bytes]]:
    """Who is asked for a stamp, with root certificates, and the root certificates of those whose stamps will be brought as files.

    `asked`: addresses by name; `certificates`: files of root certificates by name. Raises UsageError where an authority has no certificate,
    or where none is named: a statement is stamped by those that it names, and one that nobody can stamp counts for nothing.
    """
    from filiation.case.records import Authority
    from filiation.case.time_stamps import HttpStamper

    if set(asked) - set(certificates):
        raise UsageError(
            "each authority has a root certificate",
            advice="give --authority NAME=URL and --authority-certificate NAME=FILE for the same names",
        )
    if not certificates:
        raise UsageError(
            "no time-stamping authority is named, and what nobody has stamped counts for nothing",
            advice="give --authority NAME=URL and --authority-certificate NAME=FILE, twice; see docs/planted-marks.md, 'Stamps and beacon'",
        )
    roots = {name: bytes_of(Path(file)) for name, file in certificates.items()}
    stampers: list[tuple[Stamper, bytes]] = [
        (HttpStamper(Authority(name=name, url=url, certificate=""), roots[name]), roots[name])
        for name, url in asked.items()
    ]
    return stampers, {name: root for name, root in roots.items() if name not in asked}


def stamping_told(file: Path, commitment: Committed, missing: tuple[str, ...], stamped: int, verb: str) -> list[str]:
    """Who has stamped the commitment's file, what is still to be done before the beacon, and how `verb` gets it; in lines."""
    from filiation.case.beacons import address
    from filiation.case.commitments import AUTHORITIES, announced_time

    lines = [
        f"time-stamped by {plural(stamped, 'authority', 'authorities')}",
        *(f"not stamped: {reason}" for reason in missing),
    ]
    if stamped < len(commitment.authorities):
        lines.append(
            f"have {file} stamped by the others before the beacon, by any means, and give '{verb}' --stamp NAME=FILE"
        )
    if len(commitment.authorities) < AUTHORITIES:
        lines.append("warning: one authority is named, and two are asked for")
    elif stamped < AUTHORITIES:
        so_far = "one stamp alone counts for little" if stamped else "without a stamp nothing counts"
        lines.append(f"warning: {so_far}, and {AUTHORITIES} are asked for")
    speaks = announced_time(commitment.announcement)
    when = f"of {speaks:%Y-%m-%dT%H:%M:%SZ}" if speaks else "announced"
    return [
        *lines,
        f"the beacon {when} decides; then, and not before, curl -o round.json {address(commitment.announcement)}",
        f"  and give it to '{verb}' --beacon round.json",
    ]
