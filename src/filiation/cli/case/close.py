"""`filiation case close`: nothing is written after it."""

from __future__ import annotations

from typing import Annotated

import typer

from filiation.cli.case.acting import Actor, Case, Key, Quiet, held


def close(
    case: Case,
    remark: Annotated[str, typer.Option(help="A last remark.")] = "",
    key: Key = None,
    actor: Actor = "",
    quiet: Quiet = False,
) -> None:
    """Close the case. Hand its last checkpoint to the other side: whoever has it knows what the whole case was.

    Example: filiation case close dispute
    """
    from filiation.proceedings.opening import close as closed

    with held(case, key, actor, quiet) as sitting:
        entry = closed(sitting, remark)
        if not quiet:
            typer.echo(f"closed with entry {entry.sequence}, head {sitting.folder.head}")
