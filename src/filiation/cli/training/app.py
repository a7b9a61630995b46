"""The verbs of `filiation training`, in the order in which they are used."""

from __future__ import annotations

import typer

from filiation.cli.training import close, commit, draw, open, status, verify

app = typer.Typer(
    name="training",
    help="A training transcript: what a run commits to while it runs, so that any part of it can be run again by somebody neutral.",
    epilog="In order: open, commit after every planned step, close; later draw and verify by somebody neutral. "
    "See docs/independence.md.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

app.command("open")(open.open_)
app.command("commit")(commit.commit)
app.command("close")(close.close)
app.command("draw")(draw.draw)
app.command("verify")(verify.verify)
app.command("status")(status.status)
