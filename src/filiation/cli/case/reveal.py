"""`filiation case reveal`: who stood behind the code names."""

from __future__ import annotations

import typer

from filiation.cli.case.acting import Actor, Case, Key, Quiet, Secret, held, secrets_at


def reveal(case: Case, secret: Secret = None, key: Key = None, actor: Actor = "", quiet: Quiet = False) -> None:
    """Say who stood behind each code name, once every one of them is examined and the results are signed.

    Example: filiation case reveal dispute
    """
    from filiation.proceedings import line_up

    with held(case, key, actor, quiet) as sitting:
        entry = line_up.reveal(sitting, secrets=secrets_at(case, secret))
        if not quiet:
            for code, exhibit in entry.exhibits.items():
                typer.echo(f"{code}: {exhibit}")
