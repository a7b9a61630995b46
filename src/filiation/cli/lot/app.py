"""The verbs of `filiation lot`, in the order in which they are used."""

from __future__ import annotations

import typer

from filiation.cli.lot import commit, draw, ledger, open_lot, verify

app = typer.Typer(
    name="lot",
    help="Lots: an order, a choice between twins or a watermark's key, drawn from a committed secret and a later beacon.",
    epilog="In order: commit, draw, open; and by somebody neutral verify. 'ledger' shows how things stand. See docs/lots.md.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

app.command("commit")(commit.commit)
app.command("draw")(draw.draw)
app.command("open")(open_lot.open_lot)
app.command("verify")(verify.verify)
app.command("ledger")(ledger.ledger)
