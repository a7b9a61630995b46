"""The verbs of `filiation case`, in the order in which a case goes."""

from __future__ import annotations

import typer

from filiation.cli.case import (
    admit,
    challenge,
    close,
    draw,
    examine,
    export,
    key,
    note,
    observe,
    open,
    plan,
    report,
    reveal,
    status,
    verify,
)

app = typer.Typer(
    name="case",
    help="A case file: what was planned, what was looked at, and evidence that the other side can check.",
    epilog="In order: key, open, admit, plan, draw, observe, examine, reveal, report, verify, close. "
    "'status' says which step is due; 'note' writes a remark; 'export' packs the case for an archive; 'challenge' is for the "
    "other side.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

app.command("key")(key.key)
app.command("open")(open.open_case)
app.command("admit")(admit.admit)
app.command("plan")(plan.plan)
app.command("draw")(draw.draw)
app.command("observe")(observe.observe)
app.command("examine")(examine.examine)
app.command("reveal")(reveal.reveal)
app.command("report")(report.report)
app.command("verify")(verify.verify)
app.command("note")(note.note)
app.command("close")(close.close)
app.command("status")(status.status)
app.command("challenge")(challenge.challenge)
app.command("export")(export.export)
