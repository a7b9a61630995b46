"""`filiation training draw`: which segments are run again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from filiation.cli import files
from filiation.cli.canary.options import Quiet, bytes_of
from filiation.cli.training.options import Authorities, Transcript
from filiation.cli.training.telling import pass_told
from filiation.errors import UsageError

if TYPE_CHECKING:
    from filiation.training_transcript.folder import TranscriptFolder
    from filiation.training_transcript.records import Drawn


def draw(
    transcript: Transcript,
    count: Annotated[int, typer.Option(help="How many segments are run again.", min=1)],
    out: Annotated[str, typer.Option(help="Where the draw is written, as JSON; '-' for standard output.")],
    beacon: Annotated[
        Path | None, typer.Option(help="The file that the announced beacon served.", metavar="FILE")
    ] = None,
    beacon_certificate: Annotated[
        Path | None, typer.Option(help="The certificate (PEM) of NIST, where its beacon was announced.", metavar="FILE")
    ] = None,
    seed: Annotated[
        str, typer.Option(help="The verifier's own 32 random bytes, in hexadecimal; else they are drawn here.")
    ] = "",
    authority_certificate: Authorities = None,
    quiet: Quiet = False,
) -> None:
    """Draw segments from the announced beacon, or with a seed of the verifier's own. The owner has no say in it.

    Example: filiation training draw run --count 20 --beacon round.json --out draw.json
    """
    from filiation.training_transcript.folder import TranscriptFolder
    from filiation.training_transcript.verification import pass_chances

    files.check_writable(out, "--out")
    folder = TranscriptFolder.open(transcript)
    if folder.closed is None:
        raise UsageError(
            "the transcript is not closed: its owner could still choose what stands in the segments",
            exhibit=str(transcript),
            advice="draw when it is closed, signed and stamped",
        )
    if beacon:
        certificates = [bytes_of(file) for file in authority_certificate or ()]
        drawn = from_beacon(folder, count, bytes_of(beacon), bytes_of(beacon_certificate), certificates)
    else:
        drawn = from_seed(folder, count, seed or secrets.token_hex(32))
    files.write(out, msgspec.json.format(msgspec.json.encode(drawn, order="deterministic"), indent=1) + b"\n")
    if not quiet and out != files.STANDARD_OUTPUT:
        typer.echo(f"segments {', '.join(map(str, drawn.segments))}, drawn by {drawn.described}")
        typer.echo("\n".join(pass_told(pass_chances(len(folder.states) - 1, count), count)))


def from_seed(folder: TranscriptFolder, count: int, seed: str) -> Drawn:
    """The draw with the verifier's own seed. Raises UsageError where it is no 32 bytes in hexadecimal."""
    from filiation.training_transcript.drawing import from_verifier

    try:
        randomness = bytes.fromhex(seed)
    except ValueError as error:
        raise UsageError("the seed is not hexadecimal", advice="give 64 hexadecimal digits, or none") from error
    return from_verifier(folder.header.run, folder.head, len(folder.states) - 1, count, randomness)


def from_beacon(
    folder: TranscriptFolder, count: int, beacon: bytes, certificate: bytes, authorities: Sequence[bytes]
) -> Drawn:
    """The draw from the announced beacon. Raises UsageError without one, RecordError where the order in time is not shown."""
    from filiation.training_transcript import drawing
    from filiation.training_transcript.verification import time_of_close

    announcement = folder.closed.announcement if folder.closed else None
    if announcement is None:
        raise UsageError("the transcript announced no beacon", advice="draw with --seed, or without any option")
    return drawing.from_beacon(
        folder.header.run,
        folder.head,
        len(folder.states) - 1,
        count,
        announcement,
        beacon,
        time_of_close(folder, tuple(authorities)),
        certificate,
    )
