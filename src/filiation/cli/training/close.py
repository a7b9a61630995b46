"""`filiation training close`: after the last step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from filiation.cli.canary.options import Quiet, SigningKey, now, signer
from filiation.cli.training.options import Transcript, stampers_of, told
from filiation.errors import UsageError


def close(
    transcript: Transcript,
    beacon: Annotated[
        str, typer.Option(help="The drand chain that will draw the segments: quicknet or default; or none.")
    ] = "quicknet",
    beacon_at: Annotated[
        str, typer.Option(help="When that beacon speaks, UTC; by default in an hour.", metavar="TIME")
    ] = "",
    remark: Annotated[str, typer.Option(help="Why the run ended before the plan's last step, where it did.")] = "",
    signing_key: SigningKey = None,
    quiet: Quiet = False,
) -> None:
    """Close the transcript with the root over all its entries, and announce the beacon that will draw segments.

    Example: filiation training close run --beacon quicknet
    """
    from filiation.case.beacons import address, announced
    from filiation.training_transcript.folder import TranscriptFolder

    folder = TranscriptFolder.open(transcript)
    signing = signer(signing_key)
    announcement = None if beacon == "none" else announced(beacon, _moment(beacon_at))
    folder.close(now=now(), announcement=announcement, remark=remark)
    predicate = folder.checkpoint(signing, now=now(), stampers=stampers_of(folder))
    if not quiet:
        typer.echo(f"closed: head {folder.head}\n{told(predicate)}")
        if announcement:
            typer.echo(f"announced: {address(announcement)}")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if text else now() + timedelta(hours=1)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time", advice="write it as 2026-01-31T12:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
