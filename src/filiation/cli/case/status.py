"""`filiation case status`: where a case stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from filiation.cli.case.acting import Case

if TYPE_CHECKING:
    from filiation.proceedings.status import Status


def status(
    case: Case,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what has been done and which step is due. Changes nothing.

    Example: filiation case status dispute
    """
    from filiation.proceedings.status import status as found_at

    found = found_at(case)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
    else:
        typer.echo("\n".join(told_of(found, str(case))))


def told_of(found: Status, case: str) -> list[str]:
    """The status in lines."""
    by_role: dict[str, list[str]] = {}
    for name, role in found.exhibits.items():
        by_role.setdefault(role, []).append(name)
    lines = [
        f"{found.title}: case {found.case}, {found.state}, {found.entries} entries",
        *(f"{role}: {', '.join(names)}" for role, names in by_role.items()),
        f"plan: {found.plan or 'none sealed'}" + (f", amended {found.amendments} times" if found.amendments else ""),
        f"line-up: {', '.join(found.code_names) or 'not drawn'}",
        f"observed: {found.observed} of {found.to_observe}",
        f"examined: {len(found.examined)} of {len(found.code_names)}, and {found.exploratory} exploratory",
    ]
    lines += [f"{code} was {exhibit}" for code, exhibit in found.revealed.items()]
    lines += [f"report: {name}" for name in found.reports]
    stamped = ", ".join(found.stamps) or f"not stamped ({found.unstamped or 'the case names no authority'})"
    lines.append(f"last checkpoint: {found.last_checkpoint}, {stamped}; {found.unsigned} entries unsigned")
    return [*lines, f"next: filiation case {found.due} {case}" if found.due else "nothing is due"]
