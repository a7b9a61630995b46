"""`filiation canary plant`: fine-tuning text that holds the labelled options."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import Annotated

import typer

from filiation.cli import files
from filiation.cli.canary.options import Folder, Quiet, Secret, SigningKey, now, signer
from filiation.errors import UsageError


def plant(
    folder: Folder,
    secret: Secret,
    output: Annotated[str, typer.Option("-o", "--output", help="The chat lines to train on.", metavar="FILE.jsonl")],
    recipient: Annotated[
        str, typer.Option(help="To whom this is exposed, as the ledger says it: a training run, a customer.")
    ],
    batch: Annotated[list[int] | None, typer.Option(help="Which batches; all that are shut by default.", min=0)] = None,
    cohort: Annotated[int, typer.Option(help="Whose labels.", min=0)] = 0,
    dose: Annotated[int | None, typer.Option(help="How often each canary stands in the text.", min=1)] = None,
    rate: Annotated[
        float | None, typer.Option(help="Instead: the share of planted lines in the whole text.", min=0.0, max=1.0)
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Chat lines to mix the planted ones into.", metavar="FILE.jsonl")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Draws the order; by default a fresh one is drawn.", min=0)] = None,
    signing_key: SigningKey = None,
    quiet: Quiet = False,
) -> None:
    """Write chat lines that hold the labelled options, and enter them into the exposure ledger before they leave the house.

    Example: filiation canary plant canaries --secret ~/canary.secret --dose 8 --into chat.jsonl --recipient "run 7" -o planted.jsonl
    """
    import numpy as np

    from filiation.canaries import exposure, labels, owner, planting

    files.check_writable(output, "--output")
    if output == files.STANDARD_OUTPUT or (dose is None) == (rate is None):
        raise UsageError("planting needs a file, and a dose or a rate", advice="give -o FILE.jsonl and --dose 8")
    holding, key, signing = owner.Holding(folder), labels.load_key(secret.expanduser()), signer(signing_key)
    commitment, about = holding.commitment()
    owner.check_committed_key(commitment, key)
    entries = exposure.read_ledger(holding.ledger(), about, commitment.key)
    shut = [plan.batch for plan in commitment.batches if exposure.opened_batch(entries, plan.batch) is None]
    canaries = owner.to_plant(holding, batch or shut, cohort)
    other = planting.read_lines(into.expanduser()) if into else ()
    often = dose if dose is not None else planting.dose_for_rate(rate or 0.0, max(1, len(canaries)), len(other))
    rng = np.random.default_rng(secrets.randbits(128) if seed is None else seed)
    keys = {each: labels.batch_key(key, each) for each in {canary.batch for canary in canaries}}
    planted = planting.training_lines(canaries, keys, holding.beacon(), cohort, often, rng)
    text = planting.mixed(planted.lines, other, rng)
    time = now()
    owner.record_exposure(
        holding,
        planted,
        cohort=cohort,
        channel="training text",
        recipient=recipient,
        since=time,
        until=time,
        signer=signing,
        now=time,
        sha256=hashlib.sha256(text).hexdigest(),
    )
    files.write(output, text)
    if not quiet:
        head = exposure.head(holding.ledger())
        share = len(planted.lines) / (len(planted.lines) + len(other))
        typer.echo(f"{output}: {len(planted.exposures)} canaries, {often} times each, {share:.4f} of all lines")
        typer.echo(f"  exposure ledger: {head.entries} entries, head {head.sha256}")
