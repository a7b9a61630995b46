"""`filiation canary prepare`: canaries and decoys."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filiation.cli.canary.options import Folder, Quiet
from filiation.report.wording import plural

if TYPE_CHECKING:
    from filiation.canaries.card import Card


def prepare(
    folder: Folder,
    batches: Annotated[int, typer.Option(help="How many batches; one is opened at a time.", min=1, max=1000)] = 4,
    batch_size: Annotated[int, typer.Option(help="Canaries in a batch, with as many decoys.", min=1, max=10_000)] = 256,
    options: Annotated[int, typer.Option(help="Options of each canary: 2, 4, 8 or 16.", min=2, max=256)] = 16,
    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds; may be given many times.")] = None,
    own: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help='Candidates of your own: {"prompts": [...], "options": [...], "kind": ...} per line, an even number of each kind.',
            metavar="FILE.jsonl",
        ),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(help="Draw the same again from this secret word; by default a fresh one is drawn.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Make questions with equally good answers, and a decoy beside each that is never planted.

    Example: filiation canary prepare canaries --batches 4
    """
    import numpy as np

    from filiation.canaries import generators, owner
    from filiation.canaries.canary import read_candidates

    rng = np.random.default_rng(_number(seed))
    if own is None:
        made = generators.candidates(2 * batches * batch_size, options, rng, kind or ())
        source = "generated"
    else:
        made = read_candidates(own.expanduser())
        source = "the user's own"
    card = owner.prepare(folder, generators.paired(made, batch_size, rng), source)
    if not quiet:
        typer.echo("\n".join(told_of(card, folder)))


def _number(seed: str | None) -> int:
    """A seed of 128 bits: whoever could guess it could draw the same prompts."""
    import hashlib

    if seed is None:
        return secrets.randbits(128)
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:16], "big")


def told_of(card: Card, folder: Path) -> list[str]:
    """The card in lines."""
    lines = [
        f"{folder}: {plural(card.canaries, 'canary', 'canaries')} with {card.options} options and {plural(card.decoys, 'decoy')}, "
        f"in {plural(card.batches, 'batch', 'batches')}",
        "  kinds: " + ", ".join(f"{number} {name}" for name, number in card.kinds.items()),
        "  canaries needed for p = 10^-12 with 95 % power, by the share that survives:",
        "    " + ", ".join(f"{each.survival:g}: {each.canaries}" for each in card.needed),
    ]
    return [
        *lines,
        "  whoever reads canaries.jsonl before its batch is opened breaks the premise; the folder is yours only",
    ]
