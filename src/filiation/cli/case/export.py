"""`filiation case export`: the case as a BagIt bag that archives and courts' systems read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from filiation.cli.case.acting import Case, Quiet
from filiation.report.wording import plural, size, visible


def export(
    case: Case,
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="The bag to write: a folder that is new or empty.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write a case as a BagIt bag, with RO-Crate metadata and a CycloneDX bill of its models.

    The bag holds the case byte for byte: 'filiation case verify FOLDER/data/case' checks it as anywhere else. Models
    that stay outside the case are in the bag by digest only, and bag-info.txt names them.

    Example: filiation case export our-case --to our-case-bag
    """
    from filiation.cli.progress import shown
    from filiation.exports.bag import not_carried, write_bag
    from filiation.proceedings.reporting import case_view

    view = case_view(case)
    with shown(quiet) as progress:
        bag = write_bag(case, to, view, progress=progress)
    outside = not_carried(view)
    if json:
        facts = {"bag": str(to), "files": len(bag.files), "bytes": bag.size, "head": view.head, "not_carried": outside}
        typer.echo(msgspec.json.format(msgspec.json.encode(facts), indent=1).decode())
        return
    typer.echo(f"{visible(str(to))}: {plural(len(bag.files), 'file')}, {size(bag.size)}")
    for told in outside:
        typer.echo(f"  not in it: {visible(told)}")
