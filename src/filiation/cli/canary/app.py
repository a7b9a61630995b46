"""The verbs of `filiation canary`, in the order in which they are used."""

from __future__ import annotations

import typer

from filiation.cli.canary import commit, label, ledger, plant, prepare, prompts, reveal, verify

app = typer.Typer(
    name="canary",
    help="Canaries: questions with equally good answers, one of which was chosen by a secret key and planted before.",
    epilog="In order: prepare, commit, label, plant; later prompts, reveal, and by somebody neutral verify. 'ledger' shows how "
    "things stand. See docs/canaries.md.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

app.command("prepare")(prepare.prepare)
app.command("commit")(commit.commit)
app.command("label")(label.label)
app.command("plant")(plant.plant)
app.command("prompts")(prompts.prompts)
app.command("reveal")(reveal.reveal)
app.command("verify")(verify.verify)
app.command("ledger")(ledger.ledger)
