"""`filiation lot open`: the folder that is handed to whoever examines."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from filiation.cli.canary.options import Quiet, bytes_of
from filiation.cli.interruptions import GOES_ON, answered
from filiation.cli.lot.options import Folder, Secret

LARGEST_TOKENIZER = 256 << 20


def open_lot(
    folder: Folder,
    secret: Secret,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Of a watermark: tokenizer.json of the model that marked, or its folder.", metavar="PATH"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to; by default FOLDER/opened.", metavar="FOLDER")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Check everything once more and write the opened lot: give it to an examination as marks:FOLDER.

    The secret and the subject stand in it. What was withheld, or was secret, is so no longer.

    Example: filiation lot open lot --secret ~/lot.secret -o opened
    """
    from filiation.case.secret_keys import load_key
    from filiation.lots import owner

    holding = owner.Holding(folder)
    place = output.expanduser() if output else holding.at(owner.OPENED)
    data = bytes_of(_tokenizer_file(tokenizer.expanduser()), LARGEST_TOKENIZER) if tokenizer else b""
    with answered(GOES_ON):
        files = owner.open_lot(holding, load_key(secret.expanduser()), place, data)
    if not quiet:
        again = shlex.join(["filiation", "lot", "verify", str(place)])
        typer.echo(f"{place}: {len(files)} files; examine with marks:{place}, or check with: {again}")
        typer.echo("  this lot is open: a suspect that is trained after today may know it")


def _tokenizer_file(path: Path) -> Path:
    return path / "tokenizer.json" if path.is_dir() else path
