"""`filiation canary ledger`: what was committed to, exposed and opened, as the owner's folder tells it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from filiation.cli import files
from filiation.cli.canary.options import Quiet
from filiation.cli.canary.telling import exposure_told
from filiation.cli.ledgers import paid_told, standing_told, to_be_paid_for
from filiation.errors import RecordError
from filiation.report.wording import plural, visible, whole

if TYPE_CHECKING:
    from filiation.canaries.account import Account, BatchAccount
    from filiation.canaries.exposure import Body, LedgerEntry

SHOWN = 40
"""So many of a ledger's last lines are printed; a provider who serves accounts has one for each."""


def ledger(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of canaries, or bundles of opened batches; give all commitments of an owner.",
            metavar="FOLDER...",
        ),
    ],
    json: Annotated[
        str | None, typer.Option("--json", help="Write it all as JSON; '-' for standard output.", metavar="FILE")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Show what was committed to, stamped, exposed and opened, and how many commitments are to be paid for. No key is needed.

    Signatures, stamps, beacon and chain are verified on the way. It is the owner's own account; the certificates are those in the
    folder. Exit code 4 where something does not hold, or the ledger contradicts the protocol.

    Example: filiation canary ledger canaries
    """
    from filiation.canaries.account import account
    from filiation.canaries.owner import Holding

    files.check_writable(json, "--json")
    accounts = [account(Holding(folder.expanduser())) for folder in folders]
    if json is not None:
        told = {"commitments": accounts, "to_be_paid_for": to_be_paid_for(accounts)}
        files.write(json, msgspec.json.format(msgspec.json.encode(told, order="deterministic"), indent=1) + b"\n")
    if not quiet and json != files.STANDARD_OUTPUT:
        for each in accounts:
            typer.echo("\n".join([*_told(each), ""]))
        typer.echo("\n".join(paid_told(accounts, "commitment")))
    faults = [(folder, fault) for folder, each in zip(folders, accounts, strict=True) for fault in each.faults]
    if faults:
        raise RecordError(
            f"the ledger contradicts the protocol: {faults[0][1]}",
            exhibit=str(faults[0][0]),
            advice="such a batch cannot be used: open another one",
        )


def _told(account: Account) -> list[str]:
    return [
        f"commitment {whole(account.number)} of {visible(account.claimant, 100)}, made {visible(account.made, 40)}: "
        f"{plural(len(account.batches), 'batch', 'batches')}, {plural(account.cohorts, 'cohort')}",
        *standing_told(account.standing, account.earlier, "no labels yet"),
        *map(_batch_told, account.batches),
        *_entries_told(account),
    ]


def _batch_told(batch: BatchAccount) -> str:
    state = f"opened at {batch.opened}" if batch.opened else "shut"
    held = f"{plural(batch.canaries, 'canary', 'canaries')}, {plural(batch.decoys, 'decoy')}"
    return f"  batch {batch.batch} ({held}): {exposure_told(batch.exposure)}; {state}"


def _entries_told(account: Account) -> list[str]:
    if not account.entries:
        return ["  the ledger is empty"]
    left_out = len(account.entries) - SHOWN
    return [
        f"  the ledger has {plural(account.head.entries, 'line')}, the last with the SHA-256 {account.head.sha256}",
        *([f"    ({plural(left_out, 'line')} before these; --json holds all)"] if left_out > 0 else []),
        *(f"    {_entry_told(entry)}" for entry in account.entries[-SHOWN:]),
    ]


def _entry_told(entry: LedgerEntry) -> str:
    return f"{entry.sequence}  {visible(entry.time, 40)}  {_body_told(entry.body)}"


def _body_told(body: Body) -> str:
    from filiation.canaries.exposure import Exposed, Labelled, Requested

    if isinstance(body, Labelled):
        return f"the beacon was there: file {visible(body.beacon, 64)}"
    if isinstance(body, Requested):
        return f"batch {body.batch}: what is to be tested was fixed: request {visible(body.request, 64)}"
    if isinstance(body, Exposed):
        file = f", file {visible(body.sha256, 64)}" if body.sha256 else ""
        return (
            f"batch {body.batch}, cohort {body.cohort}: {plural(len(body.exposures), 'canary', 'canaries')} exposed "
            f"{plural(sum(body.exposures.values()), 'time')} as {body.channel} to {visible(body.recipient, 100)}{file}"
        )
    return f"batch {body.batch}: opened to the request {visible(body.request, 64)}"
