"""`filiation canary prompts`: what to ask, before anybody is told which option is labelled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from filiation.cli import files
from filiation.cli.canary.options import Quiet
from filiation.errors import UsageError

if TYPE_CHECKING:
    from filiation.canaries.canary import Canary


def prompts(
    folder: Annotated[
        Path, typer.Argument(help="The folder of the canaries, or the bundle of an opened batch.", metavar="FOLDER")
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", help="For 'filiation record --prompts'.", metavar="FILE.jsonl")
    ],
    batch: Annotated[int | None, typer.Option(help="Which batch; an opened one is the only one there is.")] = None,
    quiet: Quiet = False,
) -> None:
    """Write the prompts of a batch, canaries' and decoys' in one order that does not tell which is which.

    Answers that are recorded before the batch is opened were given before anybody but the owner could know the labels.

    Example: filiation canary prompts canaries --batch 0 -o prompts.jsonl
    """
    from filiation.canaries.canary import prompts_to_ask

    files.check_writable(output, "-o")
    asked = prompts_to_ask(_canaries(folder, batch))
    if not asked:
        raise UsageError(f"there is no batch {batch}", exhibit=str(folder), advice="give --batch, counted from 0")
    files.write(output, b"".join(msgspec.json.encode({"prompt": prompt}) + b"\n" for prompt in asked))
    if not quiet and output != files.STANDARD_OUTPUT:
        typer.echo(f"{output}: {len(asked)} prompts, half of them decoys; whoever sees them can filter them")


def _canaries(folder: Path, batch: int | None) -> tuple[Canary, ...]:
    from filiation.canaries import opening, owner

    if (folder / opening.OPENING_FILE).exists():
        found = opening.canaries_in(opening.read_opening(opening.read_bundle(folder).opening))
    else:
        found = owner.Holding(folder).canaries()
        if batch is None:
            raise UsageError("the folder holds every batch", exhibit=str(folder), advice="give --batch 0, say")
    return tuple(canary for canary in found if batch in (None, canary.batch))
