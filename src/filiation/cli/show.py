"""`filiation show`: a stored record, rendered again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from filiation.cli import files
from filiation.cli.compare import report
from filiation.errors import UsageError


def show(
    record: Annotated[Path, typer.Argument(help="The record that --json wrote.", metavar="RECORD.json")],
    html: Annotated[
        str | None, typer.Option(help="Write the HTML report to FILE instead of printing.", metavar="FILE")
    ] = None,
) -> None:
    """Render a stored record again: as a table, or as the HTML report.

    Nothing is judged again; see 'filiation judge' for that.

    Example: filiation show record.json --html report.html
    """
    if html == files.STANDARD_OUTPUT:
        raise UsageError("--html needs the name of a file", advice="leave --html out to print a table")
    files.check_writable(html, "--html")
    report(files.read_record(record), None, html, no_html=True, open_report=False, quiet=html is not None)
    if html is not None:
        typer.echo(f"Report: {html}")
