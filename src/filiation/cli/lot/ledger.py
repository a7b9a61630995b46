"""`filiation lot ledger`: what lots an owner has committed to, drawn and opened, as their folders tell it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from filiation.cli import files
from filiation.cli.canary.options import Quiet
from filiation.cli.ledgers import paid_told, standing_told, to_be_paid_for
from filiation.cli.lot.telling import items_told
from filiation.report.wording import visible, whole

if TYPE_CHECKING:
    from filiation.lots.account import Account


def ledger(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folders of lots, the owner's or opened ones; give all of an owner.", metavar="FOLDER..."),
    ],
    json: Annotated[
        str | None, typer.Option("--json", help="Write it all as JSON; '-' for standard output.", metavar="FILE")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Show what was committed to, stamped, drawn and opened, and how many lots are to be paid for. No secret is needed.

    Signatures, stamps and beacon are verified on the way, with the certificates in the folder. Exit code 4 where something does not hold.

    Example: filiation lot ledger lot another-lot
    """
    from filiation.lots.account import account
    from filiation.lots.owner import Holding

    files.check_writable(json, "--json")
    accounts = [account(Holding(folder.expanduser())) for folder in folders]
    if json is not None:
        told = {"lots": accounts, "to_be_paid_for": to_be_paid_for(accounts)}
        files.write(json, msgspec.json.format(msgspec.json.encode(told, order="deterministic"), indent=1) + b"\n")
    if not quiet and json != files.STANDARD_OUTPUT:
        for each in accounts:
            typer.echo("\n".join([*_told(each), ""]))
        typer.echo("\n".join(paid_told(accounts, "lot")))


def _told(account: Account) -> list[str]:
    opened = "an opened lot lies here" if account.opened else "not opened here (what was opened elsewhere is not seen)"
    return [
        f"lot {whole(account.number)} of {visible(account.owner, 100)}: {items_told(account.purpose, account.items)}; "
        f"made {visible(account.made, 40)}",
        *standing_told(account.standing, account.earlier, "nothing is drawn yet"),
        f"  subject {account.subject_sha256}",
        f"  {opened}",
    ]
