"""`filiation case status`: where a case stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from filiation.cli.case.acting import Case
from filiation.report.wording import plural, visible

if TYPE_CHECKING:
    from filiation.proceedings.status import Status

HINTS = {
    "plan": "'filiation case plan --example' prints a plan to start from; suspect, controls and candidates are admitted in the same way",
    "draw": "the file of the round that the plan announced; without it the command says where and when it is published",
    "report": "'filiation case report CASE --example' prints the declarations to fill in",
}
"""What is needed for the step that is due."""


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
        typer.echo("\n".join(visible(line, 2000) for line in told_of(found)))


def told_of(found: Status) -> list[str]:
    """The status in lines."""
    by_role: dict[str, list[str]] = {}
    for name, role in found.exhibits.items():
        by_role.setdefault(role, []).append(name)
    amended = f", amended {plural(found.amendments, 'time')}" if found.amendments else ""
    lines = [
        f"{found.title}: case {found.case}, {found.state}, {plural(found.entries, 'entry', 'entries')}",
        *(f"{role}: {', '.join(names)}" for role, names in by_role.items()),
        f"plan: {found.plan or 'none sealed'}{amended}",
        f"line-up: {', '.join(found.code_names) or 'not drawn'}",
        f"observed: {found.observed} of {found.to_observe}",
        f"examined: {len(found.examined)} of {len(found.code_names)}, and {found.exploratory} exploratory",
    ]
    lines += [f"{code} was {exhibit}" for code, exhibit in found.revealed.items()]
    lines += [f"report: {name}{', a draft' if name in found.drafts else ''}" for name in found.reports]
    stamped = f"stamped by {', '.join(found.stamps)}" if found.stamps else f"not stamped ({found.unstamped})"
    unsigned = f"; {plural(found.unsigned, 'entry', 'entries')} not signed yet" if found.unsigned else ""
    return [*lines, f"last checkpoint: {found.last_checkpoint}, {stamped}{unsigned}", *_next(found)]


def _next(found: Status) -> list[str]:
    """The command that is due, and what it needs."""
    if not found.due:
        return ["nothing is due"]
    lines = [f"next: {found.due_command}"]
    if found.due == "report" and found.drafts:
        lines.append("  there are only drafts so far")
    hint = HINTS.get(found.due) if found.due != "draw" or "--beacon" in found.due_command else None
    return [*lines, *([f"  {hint}"] if hint else [])]
