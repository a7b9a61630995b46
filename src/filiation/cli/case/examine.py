"""`filiation case examine`: suspect and foils in turn, under code names."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from filiation.cli.case.acting import (
    Actor,
    Case,
    Key,
    Places,
    Quiet,
    Secret,
    TrustSize,
    held,
    parameters_of,
    places_at,
    secrets_at,
)
from filiation.errors import UsageError


def examine(
    case: Case,
    at: Places = None,
    trust_size: TrustSize = False,
    exploratory: Annotated[
        bool, typer.Option("--exploratory", help="Run something outside the plan; it is kept and marked.")
    ] = False,
    purpose: Annotated[str, typer.Option(help="What an exploratory run is for.", metavar="TEXT")] = "",
    subject: Annotated[
        str, typer.Option(help="Whom an exploratory run examines: a code name or an exhibit.", metavar="NAME")
    ] = "",
    reference: Annotated[str, typer.Option(help="Another reference, in an exploratory run.", metavar="NAME")] = "",
    control: Annotated[
        list[str] | None, typer.Option(help="Other controls, in an exploratory run.", metavar="NAME")
    ] = None,
    only: Annotated[
        str, typer.Option(help="Other examiners, in an exploratory run, separated by commas.", metavar="NAMES")
    ] = "",
    parameter: Annotated[
        list[str] | None, typer.Option(help="A parameter, in an exploratory run.", metavar="EXAMINER.NAME=VALUE")
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of an exploratory run.", min=0)] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print what was examined as JSON.")] = False,
    secret: Secret = None,
    key: Key = None,
    actor: Actor = "",
    quiet: Quiet = False,
) -> None:
    """Examine every model of the line-up against the reference, from the recorded observations.

    Example: filiation case examine dispute
    """
    from filiation.cli.compare import names
    from filiation.proceedings import examining

    outside = (purpose, subject, reference, control, only, parameter, seed)
    if not exploratory and any(outside):
        raise UsageError(
            "subject, examiners and parameters are the plan's",
            advice="for anything else give --exploratory --purpose TEXT",
        )
    if exploratory and not subject:
        raise UsageError("an exploratory run needs a subject", advice="give --subject with a code name or an exhibit")
    secrets, places = secrets_at(case, secret), places_at(case, at)
    with held(case, key, actor, quiet or json) as sitting:
        if exploratory:
            done = [
                examining.explore(
                    sitting,
                    subject=subject,
                    purpose=purpose,
                    secrets=secrets,
                    only=names(only),
                    reference=reference,
                    controls=control,
                    parameters=parameters_of(parameter),
                    seed=seed,
                    places=places,
                    trust_size=trust_size,
                )
            ]
        else:
            done = examining.examine(sitting, secrets=secrets, places=places, trust_size=trust_size)
        if json:
            typer.echo(msgspec.json.format(msgspec.json.encode(done), indent=1).decode())
        elif not quiet:
            for entry in done:
                marked = "exploratory, " if entry.exploratory else ""
                typer.echo(f"{entry.subject}: {marked}outcomes {entry.outcomes}")
            if not done:
                typer.echo("everything is examined already")
