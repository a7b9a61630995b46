"""`filiation lot commit`: the signed and stamped statement, and the announcement of the beacon."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filiation.cli.canary.options import Quiet, SigningKey, bytes_of, now, signer
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
from filiation.cli.lot.options import Folder, Secret
from filiation.cli.lot.telling import items_told
from filiation.errors import UsageError

if TYPE_CHECKING:
    from filiation.lots.commitment import Commitment
    from filiation.lots.subject import Purpose


def commit(
    folder: Folder,
    purpose: Annotated[
        str,
        typer.Option(
            help="What is drawn: a reading order, one of two texts, or a key.", metavar="order|twins|watermark"
        ),
    ],
    subject: Annotated[
        Path,
        typer.Option(
            help='What is drawn over: lines of {"text": ...}, lines of {"first": ..., "second": ...}, or the settings that '
            "'filiation watermark key --settings' wrote.",
            metavar="FILE",
        ),
    ],
    secret: Secret,
    owner: Annotated[str, typer.Option(help="Who commits, as the statement says it.")],
    number: Annotated[int, typer.Option(help="How many lots you have committed to, this one included.", min=1)],
    signing_key: SigningKey = None,
    authority: Annotated[
        list[str] | None,
        typer.Option(help="A time-stamping authority (RFC 3161) that is asked; give two.", metavar="NAME=URL"),
    ] = None,
    authority_certificate: Annotated[
        list[str] | None,
        typer.Option(
            help="The root certificate (PEM) of an authority; without an address its stamp is brought to 'draw' as a file.",
            metavar="NAME=FILE",
        ),
    ] = None,
    beacon: Beacon = "quicknet",
    beacon_at: BeaconAt = "",
    beacon_chain: BeaconChain = "2",
    beacon_certificate: BeaconCertificate = None,
    earlier: Annotated[
        list[str] | None, typer.Option(help="The SHA-256 of an earlier lot's lot.json; may be given many times.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Commit to what lots are drawn over and to a new secret, before the announced beacon speaks. A secret serves one lot.

    Example: filiation lot commit lot --purpose order --subject documents.jsonl --secret ~/lot.secret --owner "Our lab" --number 1
    --authority a=URL --authority-certificate a=a.pem --authority b=URL --authority-certificate b=b.pem
    """
    from filiation.case.secret_keys import KEY_BYTES, save_key
    from filiation.lots import owner as owning
    from filiation.lots.lot import LOT_FILE
    from filiation.lots.subject import LARGEST_SUBJECT

    place, wanted = secret.expanduser(), _purpose(purpose)
    data = bytes_of(subject, LARGEST_SUBJECT)
    _check_subject(wanted, data, str(subject))
    announcement = announced(beacon, moment(beacon_at), beacon_chain, beacon_certificate)
    asked, certificates = pairs(authority, "--authority"), pairs(authority_certificate, "--authority-certificate")
    stampers, brought = authorities_of(asked, certificates)
    signing, key = signer(signing_key), secrets.token_bytes(KEY_BYTES)
    before = (folder / LOT_FILE).exists()
    save_key(key, place)
    try:
        commitment, missing = owning.commit(
            owning.Holding(folder),
            data,
            wanted,
            key,
            announcement,
            owner=owner,
            signer=signing,
            now=now(),
            stampers=stampers,
            certificates=brought,
            beacon_certificate=bytes_of(beacon_certificate),
            number=number,
            earlier=tuple(earlier or ()),
        )
    except BaseException:
        if before or not (folder / LOT_FILE).exists():
            place.unlink()  # nothing is committed to under it
        raise
    if not quiet:
        typer.echo("\n".join(told_of(folder, commitment, missing, stamped=len(stampers) - len(missing))))


def _purpose(text: str) -> Purpose:
    from filiation.lots.subject import PURPOSES

    for purpose in PURPOSES:
        if text == purpose:
            return purpose
    raise UsageError(f"lots are not drawn for {text[:60]!r}", advice=f"give --purpose {', '.join(PURPOSES)}")


def _check_subject(purpose: Purpose, data: bytes, exhibit: str) -> None:
    """Errors of the subject, with the name of the file that a person gave."""
    from filiation.lots.subject import items_in

    items_in(purpose, data, exhibit)
    if purpose == "watermark":
        from filiation.measures.watermarks import key_from

        key_from(data, lambda _below: 0)


def told_of(folder: Path, commitment: Commitment, missing: tuple[str, ...], stamped: int) -> list[str]:
    """A commitment in lines."""
    from filiation.case.commitments import sha256_of
    from filiation.lots.lot import LOT_FILE

    file = folder / LOT_FILE
    return [
        f"lot {commitment.number} of {commitment.owner}: {items_told(commitment.purpose, commitment.items)}",
        f"{LOT_FILE} has the SHA-256 {sha256_of(file.read_bytes())}, signed under the key {commitment.key.keyid}",
        *stamping_told(file, commitment, missing, stamped, "filiation lot draw"),
    ]
