"""The verbs of `filiation watermark`."""

from __future__ import annotations

import typer

from filiation.cli.watermark import detect, generate, key

app = typer.Typer(
    name="watermark",
    help="Watermarks in text: keys, marked text for experiments, and the exact chance of what a text shows.",
    epilog="In order: key, generate, detect. Publish the commitment of a key before any text is marked with it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

app.command("key")(key.key)
app.command("generate")(generate.generate)
app.command("detect")(detect.detect)
