"""`filiation canary commit`: the signed and stamped root, and the announcement of the beacon."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filiation.cli.canary.options import Folder, Quiet, Secret, SigningKey, bytes_of, now, signer
from filiation.cli.case.acting import pairs
from filiation.cli.commitments import (
    Beacon,
    BeaconAt,
    BeaconCertificate,
    BeaconChain,
    announced,
    authorities_of,
    moment,
    stamping_told,
)
from filiation.report.wording import whole

if TYPE_CHECKING:
    from filiation.canaries.commitment import Commitment


def commit(
    folder: Folder,
    secret: Secret,
    claimant: Annotated[str, typer.Option(help="Who commits, as the statement says it.")],
    number: Annotated[
        int, typer.Option(help="How many commitments of canaries you have made, this one included.", min=1)
    ],
    signing_key: SigningKey = None,
    cohorts: Annotated[
        int, typer.Option(help="How many sets of labels: 1, or more to tell accounts apart.", min=1, max=4_096)
    ] = 1,
    authority: Annotated[
        list[str] | None,
        typer.Option(help="A time-stamping authority (RFC 3161); give two.", metavar="NAME=URL"),
    ] = None,
    authority_certificate: Annotated[
        list[str] | None,
        typer.Option(
            help="The root certificate (PEM) of an authority; without an address its stamp is brought to 'label' as a file.",
            metavar="NAME=FILE",
        ),
    ] = None,
    beacon: Beacon = "quicknet",
    beacon_at: BeaconAt = "",
    beacon_chain: BeaconChain = "2",
    beacon_certificate: BeaconCertificate = None,
    earlier: Annotated[
        list[str] | None, typer.Option(help="The SHA-256 of an earlier commitment's file; may be given many times.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Commit to canaries, decoys and a new key before the announced beacon speaks. A key serves one commitment.

    Example: filiation canary commit canaries --secret ~/canary.secret --claimant "Our lab" --number 1
    --authority a=URL --authority-certificate a=a.pem --authority b=URL --authority-certificate b=b.pem
    """
    from filiation.canaries import labels, owner
    from filiation.canaries.opening import COMMITMENT_FILE

    place = secret.expanduser()
    announcement = announced(beacon, moment(beacon_at), beacon_chain, beacon_certificate)
    stampers, brought = authorities_of(
        pairs(authority, "--authority"), pairs(authority_certificate, "--authority-certificate")
    )
    signing = signer(signing_key)
    before = owner.Holding(folder).at(COMMITMENT_FILE).exists()
    key = secrets.token_bytes(labels.KEY_BYTES)
    labels.save_key(key, place)
    try:
        commitment, missing = owner.commit(
            owner.Holding(folder),
            key,
            announcement,
            claimant=claimant,
            signer=signing,
            now=now(),
            stampers=stampers,
            certificates=brought,
            beacon_certificate=bytes_of(beacon_certificate),
            cohorts=cohorts,
            number=number,
            earlier=tuple(earlier or ()),
        )
    except BaseException:
        if before or not owner.Holding(folder).at(COMMITMENT_FILE).exists():
            place.unlink()  # nothing is committed to under it
        raise
    if not quiet:
        typer.echo("\n".join(told_of(folder / COMMITMENT_FILE, commitment, missing, len(stampers) - len(missing))))


def told_of(file: Path, commitment: Commitment, missing: tuple[str, ...], stamped: int) -> list[str]:
    """A commitment in lines."""
    from filiation.case.commitments import sha256_of

    return [
        f"root {commitment.root} over {whole(commitment.leaves)} leaves, signed under the key {commitment.key.keyid}",
        f"commitment {commitment.number} of {commitment.claimant}; {file.name} has the SHA-256 {sha256_of(file.read_bytes())}",
        *stamping_told(file, commitment, missing, stamped, "filiation canary label"),
    ]
