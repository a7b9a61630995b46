"""`filiation case verify`: the numbered checks, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from filiation.cli import progress
from filiation.cli.case.acting import Case, Places, Quiet, TrustSize, places_at
from filiation.errors import RecordError, SourceNotFound, UsageError
from filiation.report.wording import plural, visible

if TYPE_CHECKING:
    from filiation.case.records import Verification


def verify(
    case: Case,
    key_id: Annotated[
        str, typer.Option(help="The fingerprint of the key that the case must be signed with, told by another way.")
    ] = "",
    authority_certificate: Annotated[
        list[Path] | None,
        typer.Option(
            help="A root certificate (PEM) that you trust; without one, those in the case are used.", metavar="FILE"
        ),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            help="A checkpoint that was handed to you earlier; it must still stand in the case.", metavar="FILE"
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--reacquire", help="Observe the exhibits again, too, within the plan's tolerance.")
    ] = False,
    at: Places = None,
    trust_size: TrustSize = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Check a case, offline and changing nothing: signatures, chain, stamps, digests, order, and every finding judged again.

    Exit code 0 when every check holds, 4 when one fails, 2 or 3 when CASE or what is given with it cannot be used.

    Example: filiation case verify dispute
    """
    from filiation.proceedings.opening import check_certificate
    from filiation.proceedings.verifying import reacquire, verify_case

    if not again and (at or trust_size):
        raise UsageError("--at and --trust-size are for exhibits that are opened", advice="give --reacquire, too")
    trusted = [_read(file) for file in authority_certificate or ()]
    for file, data in zip(authority_certificate or (), trusted, strict=True):
        check_certificate(data, str(file))
    with progress.shown(quiet) as tell:
        found = verify_case(
            case,
            keyid=key_id,
            authorities=trusted,
            handed_over=[_read(file) for file in checkpoint or ()],
            progress=tell,
        )
        if again:
            acquired = reacquire(case, places=places_at(case, at), trust_size=trust_size, progress=tell)
            found = msgspec.structs.replace(found, checks=(*found.checks, acquired))
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
    elif not quiet:
        typer.echo("\n".join(told_of(found)))
    if not found.passed:
        failed = [str(check.number) for check in found.checks if check.failures]
        raise RecordError(
            f"check {', '.join(failed)} does not hold",
            exhibit=str(case),
            advice="each failure above says where, what, and what it means; see docs/case-file-format.md",
        )


def told_of(found: Verification) -> list[str]:
    """The result in lines."""
    lines = [
        f"case {visible(found.case)}: {found.state}, {found.entries} entries, head {found.head}",
        f"key {visible(found.keyid)}",
    ]
    for check in found.checks:
        said = "FAILS" if check.failures else "holds" if check.looked_at else check.note
        looked_at = f" ({check.looked_at:,} looked at)" if check.looked_at or check.failures else ""
        lines.append(f"{check.number:>2}. {check.title}: {said}{looked_at}")
        if check.note and check.note != said:
            lines.append(f"    {visible(check.note, 2000)}")
        for failure in check.failures:
            lines.append(f"    {visible(failure.where)}: {visible(failure.what, 400)}")
            lines.append(f"      {visible(failure.meaning)}")
    if found.passed:
        lines.append(f"no check fails; {plural(len(found.remarks), 'note')} on what that does not show:")
    return [*lines, *(f"note: {visible(remark, 400)}" for remark in found.remarks)]


def _read(file: Path) -> bytes:
    try:
        return file.expanduser().read_bytes()
    except OSError as error:
        raise SourceNotFound(f"cannot be read: {error.strerror}", exhibit=str(file), advice="check the path") from error
