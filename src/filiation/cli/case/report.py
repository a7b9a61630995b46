"""`filiation case report`: the report for a court, in which an expert declares what only a person can."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from filiation.cli.case.acting import Actor, Case, Key, Quiet, held


def report(
    case: Case,
    declarations: Annotated[
        Path | None, typer.Option(help="The expert's declarations as TOML.", metavar="FILE.toml")
    ] = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="Build it although declarations are blank, and mark it.")
    ] = False,
    no_pdf: Annotated[bool, typer.Option("--no-pdf", help="HTML only.")] = False,
    example: Annotated[bool, typer.Option("--example", help="Print declarations to fill in, and leave.")] = False,
    key: Key = None,
    actor: Actor = "",
    quiet: Quiet = False,
) -> None:
    """Write the report as HTML and, with typst installed, as PDF, and bind both by an entry.

    It is not built while a required declaration is blank, except as a draft.

    Example: filiation case report dispute --declarations declarations.toml
    """
    from filiation.case.records import REQUIRED, Declarations
    from filiation.proceedings import reporting

    if example:
        for field in Declarations.__struct_fields__:
            typer.echo(f'{field} = ""' + ("" if field in REQUIRED else "  # may stay blank"))
        return
    told = reporting.read_declarations(declarations) if declarations else Declarations()
    with held(case, key, actor, quiet) as sitting:
        written = reporting.make_report(sitting, told, draft=draft, pdf=not no_pdf)
        if not quiet:
            for name, digest in written.files.items():
                typer.echo(f"{case / 'reports' / name}: {'a draft, ' if written.draft else ''}SHA-256 {digest}")
            if written.missing and not no_pdf:
                typer.echo(f"no PDF: {written.missing}")
