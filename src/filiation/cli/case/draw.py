"""`filiation case draw`: foils and code names, by a procedure that anybody can repeat."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from filiation.cli.case.acting import Actor, Case, Key, Quiet, Secret, held, secrets_at
from filiation.errors import SourceNotFound


def draw(
    case: Case,
    beacon: Annotated[
        Path | None, typer.Option(help="The file of the beacon's round that the plan announced.", metavar="FILE")
    ] = None,
    secret: Secret = None,
    key: Key = None,
    actor: Actor = "",
    quiet: Quiet = False,
) -> None:
    """Draw the seed, the foils and the code names of the sealed plan.

    Who stands behind which code name is kept in a file outside the case until 'reveal'. Give that file to whoever prepares the
    exhibits, not to whoever reads the results.

    Example: filiation case draw dispute --beacon round.json
    """
    from filiation.proceedings import line_up

    place = secrets_at(case, secret)
    with held(case, key, actor, quiet) as sitting:
        drawn = line_up.draw(sitting, secret=os.urandom(32), secrets=place, beacon=_read(beacon))
        if not quiet:
            entry = drawn.entry
            typer.echo(f"seed {entry.seed}, {drawn.pulse.described if drawn.pulse else 'the choice of the claimant'}")
            typer.echo(f"foils: {', '.join(entry.foils) or 'none'}")
            typer.echo(f"code names: {', '.join(entry.code_names)}; the secret behind them is in {place}")


def _read(beacon: Path | None) -> bytes:
    if beacon is None:
        return b""
    try:
        return beacon.expanduser().read_bytes()
    except OSError as error:
        raise SourceNotFound(
            f"the beacon's file cannot be read: {error.strerror}", exhibit=str(beacon), advice="fetch it again"
        ) from error
