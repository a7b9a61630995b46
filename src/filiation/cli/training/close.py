"""`filiation training close`: after the last step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from filiation.cli.canary.options import Quiet, SigningKey, now, signer
from filiation.cli.commitments import moment
from filiation.cli.training.options import Transcript, stampers_of, told
from filiation.errors import UsageError

if TYPE_CHECKING:
    from filiation.training_transcript.folder import TranscriptFolder


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

    Where a close was interrupted, or no authority could be reached, the same command signs it and has it stamped; what it announced stays.

    Example: filiation training close run --beacon quicknet
    """
    from filiation.case.beacons import address, announced
    from filiation.training_transcript.folder import TranscriptFolder

    folder = TranscriptFolder.open(transcript)
    signing = signer(signing_key)
    folder.check_signer(signing)
    if folder.closed is None:
        announcement = None if beacon == "none" else announced(beacon, moment(beacon_at))
        folder.close(now=now(), announcement=announcement, remark=remark)
    elif _is_stamped(folder):
        raise UsageError(
            "the transcript is closed and stamped already",
            exhibit=str(transcript),
            advice="hand it over, or begin another",
        )
    predicate = folder.checkpoint(signing, now=now(), stampers=stampers_of(folder))
    if not quiet:
        typer.echo(f"closed: head {folder.head}\n{told(predicate)}")
        if folder.closed and folder.closed.announcement:
            typer.echo(f"announced: {address(folder.closed.announcement)}")


def _is_stamped(folder: TranscriptFolder) -> bool:
    """Whether a checkpoint with a time-stamp covers the close, or one without where no authority is named."""
    from filiation.training_transcript.folder import checkpoints

    last = [one for one in checkpoints(folder.path) if one.sequence == len(folder.entries)]
    return any(one.stamps or not folder.opened.authorities for one in last)
