"""`filiation training commit`: one state, while training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from filiation.cli.canary.options import Quiet, SigningKey, now, signer
from filiation.cli.interruptions import answered
from filiation.cli.training.options import Transcript, read, stampers_of, told
from filiation.errors import UsageError

Files = list[Path] | None


def commit(
    transcript: Transcript,
    step: Annotated[int, typer.Option(help="After how many steps the state was taken.", min=0)],
    state: Annotated[
        Files, typer.Option(help="A safetensors file of the whole state; names say 'weights/...'.", metavar="FILE")
    ] = None,
    weights: Annotated[Files, typer.Option(help="A safetensors file of weights.", metavar="FILE")] = None,
    optimiser: Annotated[Files, typer.Option(help="A safetensors file of optimiser state.", metavar="FILE")] = None,
    batches: Annotated[
        str, typer.Option(help="SHA-256 over the token ids read since the state before.", metavar="SHA256")
    ] = "",
    batches_file: Annotated[
        Path | None, typer.Option(help="These token ids as a file, to be hashed here.", metavar="FILE")
    ] = None,
    losses: Annotated[
        Path | None, typer.Option(help="The loss of each step since the state before, a JSON list.", metavar="FILE")
    ] = None,
    signing_key: SigningKey = None,
    quiet: Quiet = False,
) -> None:
    """Add the digests of a state to the transcript, sign it and have it stamped. The files stay where they are: keep them.

    Example: filiation training commit run --step 2000 --weights model.safetensors --optimiser adam.safetensors --batches SHA256
    """
    from filiation.training_transcript.folder import TranscriptFolder
    from filiation.training_transcript.records import StateRecorded
    from filiation.training_transcript.states import OPTIMISER, WEIGHTS, digests_of_files

    prefixes = dict.fromkeys(state or (), "")
    prefixes |= dict.fromkeys(weights or (), WEIGHTS)
    prefixes |= dict.fromkeys(optimiser or (), OPTIMISER)
    if not prefixes:
        raise UsageError("there is no state", advice="give --state FILE, or --weights FILE and --optimiser FILE")
    folder = TranscriptFolder.open(transcript)
    signing = signer(signing_key)
    folder.check_signer(signing)
    with answered(f"filiation training status {transcript} says what is recorded and what is next"):
        entry = folder.append(
            StateRecorded(
                step=step,
                tensors=digests_of_files(list(prefixes), prefixes),
                batches=_hashed(batches_file) if batches_file else batches,
                losses=read(losses, tuple[float, ...], "list of losses") if losses else (),
            ),
            now=now(),
        )
        predicate = folder.checkpoint(signing, now=now(), stampers=stampers_of(folder))
    if not quiet:
        typer.echo(f"entry {entry.sequence}: the state after step {step}\n{told(predicate)}")


def _hashed(file: Path) -> str:
    from filiation.case.objects import sha256_of_file

    return sha256_of_file(file)
