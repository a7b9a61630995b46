"""`filiation training status`: how far a transcript is."""

from __future__ import annotations

import typer

from filiation.cli.training.options import Transcript
from filiation.report.wording import plural


def status(transcript: Transcript) -> None:
    """Print how far a transcript is, and what comes next; nothing is checked.

    Example: filiation training status run
    """
    from filiation.training_transcript.folder import TranscriptFolder, checkpoints

    folder = TranscriptFolder.open(transcript)
    planned, recorded = folder.plan.planned_states, len(folder.states)
    typer.echo(f"run {folder.header.run}: {folder.header.title}")
    typer.echo(f"{recorded} of {planned} states, {plural(len(folder.entries), 'entry', 'entries')}, head {folder.head}")
    signed = max((one.sequence for one in checkpoints(folder.path)), default=0)
    typer.echo(f"signed up to entry {signed}")
    if folder.closed is not None:
        typer.echo("closed; next: draw and verify, by somebody neutral")
    elif recorded < planned:
        typer.echo(f"next: commit --step {folder.plan.planned_step(recorded)}")
    else:
        typer.echo("next: close")
