"""`filiation lot verify`: what somebody neutral checks of an opened lot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from filiation.cli import files
from filiation.cli.canary.options import Quiet
from filiation.cli.canary.telling import checks_told
from filiation.cli.commitments import Chains, RootCertificates, TrustedBeacon, trust_in
from filiation.cli.lot.telling import result_told
from filiation.errors import RecordError, UsageError


def verify(
    opened: Annotated[Path, typer.Argument(help="The folder that 'open' wrote.", metavar="OPENED")],
    key_id: Annotated[str, typer.Option(help="The fingerprint of the owner's key, told by another way.")] = "",
    authority_certificate: RootCertificates = None,
    beacon_certificate: TrustedBeacon = None,
    chain: Chains = None,
    claimants_copies: Annotated[
        bool, typer.Option("--claimants-copies", help="Take the owner's copies of certificates, and say so.")
    ] = False,
    json: Annotated[
        str | None,
        typer.Option("--json", help="Write the whole result as JSON; '-' for standard output.", metavar="FILE"),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Check an opened lot: signature, stamps, beacon, subject, secret. Exit code 4 where a check fails.

    Example: filiation lot verify opened --key-id 5f0c... --authority-certificate a.pem --authority-certificate b.pem
    """
    from filiation.lots.verification import result, verified

    files.check_writable(json, "--json")
    trust = trust_in(authority_certificate, beacon_certificate, chain, key_id, claimants_copies)
    lot, checks = verified(_files_of(opened), trust)
    tell = not quiet and json != files.STANDARD_OUTPUT
    if tell:
        typer.echo("\n".join(checks_told(checks)))
    if lot is None:
        raise RecordError(
            f"check {checks[-1].number} does not hold, so nothing is drawn from this: {checks[-1].failures[0].what}",
            exhibit=str(opened),
            advice=checks[-1].failures[0].meaning,
        )
    found = result(lot, checks)
    if json is not None:
        files.write(json, msgspec.json.format(msgspec.json.encode(found, order="deterministic"), indent=1) + b"\n")
    if tell:
        typer.echo("\n".join(result_told(found)))


def _files_of(opened: Path) -> dict[str, bytes]:
    from filiation.evidence import Absent
    from filiation.sources.marks import marks_at

    found = marks_at(opened.expanduser()).marks()
    assert not isinstance(found, Absent)
    if found[0].kind != "lot":
        raise UsageError(
            f"this folder holds {found[0].kind}, and no lot",
            exhibit=str(opened),
            advice="give the folder that 'filiation lot open' wrote",
        )
    return dict(found[0].files)
