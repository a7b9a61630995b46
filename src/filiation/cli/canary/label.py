"""`filiation canary label`: take the beacon in."""

from __future__ import annotations

from pathlib import Path

import typer

from filiation.cli.canary.options import Folder, Quiet, SigningKey, bytes_of, now, signer
from filiation.cli.case.acting import pairs
from filiation.cli.commitments import BeaconCertificate, BeaconFile, Stamps


def label(
    folder: Folder,
    beacon: BeaconFile,
    certificate: BeaconCertificate = None,
    stamp: Stamps = None,
    signing_key: SigningKey = None,
    quiet: Quiet = False,
) -> None:
    """Verify the announced beacon and that it is later than the stamps; from then on every canary has its label.

    Example: filiation canary label canaries --beacon round.json
    """
    from filiation.canaries import owner

    order = owner.label(
        owner.Holding(folder),
        bytes_of(beacon),
        signer=signer(signing_key),
        now=now(),
        certificate=bytes_of(certificate),
        stamps={name: bytes_of(Path(file)) for name, file in pairs(stamp, "--stamp").items()},
    )
    if not quiet:
        typer.echo(f"{order.pulse.described}: public at {order.pulse.time:%Y-%m-%dT%H:%M:%SZ}")
        for name, time in order.stamps.items():
            typer.echo(f"  after the stamp of {name} at {time:%Y-%m-%dT%H:%M:%SZ}")
        for remark in order.remarks:
            typer.echo(f"  note: {remark}")
