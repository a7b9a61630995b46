"""`filiation case note`: a remark in the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from filiation.cli.case.acting import Actor, Case, Key, Quiet, held


def note(
    case: Case,
    text: Annotated[str, typer.Argument(help="The remark, in the sober words of a report.", metavar="TEXT")],
    file: Annotated[
        list[Path] | None, typer.Option(help="A file that is kept with it; may be given many times.", metavar="FILE")
    ] = None,
    key: Key = None,
    actor: Actor = "",
    quiet: Quiet = False,
) -> None:
    """Write a remark into the ledger, with files where there are any.

    Example: filiation case note dispute "The copy was handed over by counsel on 3 May." --file letter.pdf
    """
    from filiation.proceedings.opening import note as noted

    with held(case, key, actor, quiet) as sitting:
        entry = noted(sitting, text, file or ())
        if not quiet:
            typer.echo(f"entry {entry.sequence}")
