"""`filiation canary reveal`: one batch, once, to somebody neutral."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from filiation.cli.canary.options import Folder, Quiet, Secret, SigningKey, now, signer
from filiation.errors import UsageError


def reveal(
    folder: Folder,
    secret: Secret,
    batch: Annotated[int, typer.Option(help="Which batch.", min=0)],
    verifier: Annotated[str, typer.Option(help="To whom it is opened: somebody neutral.")],
    suspect: Annotated[list[str], typer.Option(help="A model to be tested, by name; may be given many times.")],
    considered: Annotated[
        int, typer.Option(help="How many models you have looked at in any way, the suspects included.", min=1)
    ],
    control: Annotated[list[str] | None, typer.Option(help="An unrelated model, by name; give 20 or more.")] = None,
    statistic: Annotated[
        str, typer.Option(help="agreements, or ranks where the options have log-probabilities.")
    ] = "agreements",
    placebo_keys: Annotated[int, typer.Option(help="How many placebo keys are drawn.", min=19, max=100_000)] = 999,
    signing_key: SigningKey = None,
    quiet: Quiet = False,
) -> None:
    """Fix what will be tested, sign it, then open one batch. A batch is opened once; the bundle is what the verifier gets.

    Example: filiation canary reveal canaries --secret ~/canary.secret --batch 0 --verifier "Dr. N." --suspect theirs --considered 1
    """
    from filiation.canaries import labels, owner
    from filiation.canaries.opening import Request

    holding = owner.Holding(folder)
    _, about = holding.commitment()
    if statistic not in ("agreements", "ranks"):
        raise UsageError(f"there is no statistic {statistic!r}", advice="give agreements or ranks")
    request = Request(
        commitment=about,
        batch=batch,
        verifier=verifier,
        suspects=tuple(suspect),
        considered=considered,
        controls=tuple(control or ()),
        statistic="ranks" if statistic == "ranks" else "agreements",
        placebo_keys=placebo_keys,
    )
    bundle, place = owner.reveal(
        holding, labels.load_key(secret.expanduser()), request, signer=signer(signing_key), now=now()
    )
    if not quiet:
        typer.echo(f"{place}: batch {batch}, {len(bundle.files())} files for {verifier}")
        typer.echo("  its canaries retire: whoever is trained after today may know them")
        typer.echo(
            f"  next: {shlex.join(['filiation', 'compare', f'marks:{place}', f'transcripts:ANSWERS.parquet#{suspect[0]}'])}"
        )
