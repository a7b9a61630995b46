"""`filiation case observe`: every examiner of the plan looks at every exhibit."""

from __future__ import annotations

import typer

from filiation.cli.case.acting import Actor, Case, Key, Places, Quiet, Secret, TrustSize, held, places_at, secrets_at
from filiation.report.wording import plural


def observe(
    case: Case,
    at: Places = None,
    trust_size: TrustSize = False,
    secret: Secret = None,
    key: Key = None,
    actor: Actor = "",
    quiet: Quiet = False,
) -> None:
    """Ask the endpoints and observe all exhibits of the plan, suspect and foils under code names.

    What is recorded stays, and is never done again: a run that was stopped goes on with the same command.

    Example: filiation case observe dispute
    """
    from filiation.proceedings import observing

    with held(case, key, actor, quiet) as sitting:
        done = observing.observe(
            sitting, secrets=secrets_at(case, secret), places=places_at(case, at), trust_size=trust_size
        )
        if not quiet:
            typer.echo(
                f"{plural(done.now, 'observation')} recorded now ({done.absent} of them with nothing to see), {done.before} before, "
                f"{plural(done.asked, 'endpoint')} asked"
            )
