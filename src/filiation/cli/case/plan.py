"""`filiation case plan`: seal a plan, amend it, or show it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from filiation.cli.case.acting import Actor, Key, Quiet, held
from filiation.errors import UsageError
from filiation.report.wording import plural

if TYPE_CHECKING:
    from filiation.case.records import Plan


def plan(
    case: Annotated[Path | None, typer.Argument(help="The folder of the case.", metavar="CASE")] = None,
    file: Annotated[Path | None, typer.Argument(help="The plan as TOML.", metavar="PLAN.toml")] = None,
    amend: Annotated[bool, typer.Option("--amend", help="Replace the plan in force, for everybody to see.")] = False,
    reason: Annotated[str, typer.Option(help="Why the plan is amended.")] = "",
    only_check: Annotated[
        bool, typer.Option("--check", help="Say what would be sealed, and seal nothing: a plan cannot be unsealed.")
    ] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Print a commented plan to start from, and leave.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the plan in force as JSON.")] = False,
    key: Key = None,
    actor: Actor = "",
    quiet: Quiet = False,
) -> None:
    """Seal a plan before the suspect is looked at; without PLAN.toml, show the plan in force.

    Example: filiation case plan dispute plan.toml
    """
    from filiation.proceedings import plan_file, planning

    if example:
        typer.echo(plan_file.example(), nl=False)
        return
    if case is None:
        raise UsageError("no case is named", advice="filiation case plan CASE plan.toml; --example prints a plan")
    if file is None:
        if case.is_file():
            raise UsageError(f"{case} is a file, and no case is named", advice=f"filiation case plan CASE {case}")
        _show(case, json)
        return
    wanted = plan_file.read_plan(file)
    with held(case, key, actor, quiet or json) as sitting:
        sealed = planning.seal_plan(
            sitting,
            wanted,
            chance=os.urandom(32),
            reason=reason,
            amend=amend,
            folder=file.resolve().parent,
            only_check=only_check,
        )
        if json:
            typer.echo(_json(sealed.plan))
        elif not quiet:
            done = "nothing was sealed: this plan could be" if only_check else f"sealed: plan {sealed.digest}"
            waiting = planning.to_come(sealed.plan, sitting.manifests)
            told = [f"not admitted yet: {', '.join(waiting)}"] if waiting else []
            typer.echo("\n".join([*told_of(sealed.plan), *told, done]))
            if amend:
                seen = "after" if sealed.entry.suspect_was_observed else "before"
                amended = "would be amended" if only_check else "amended"
                typer.echo(f"{amended}: {', '.join(sealed.entry.changes)}, {seen} the line-up was looked at")


def _show(case: Path, json: bool) -> None:
    from filiation.case import amendments
    from filiation.case.folder import CaseFolder
    from filiation.case.records import Plan

    folder = CaseFolder.open(case)
    digest = amendments.plan_in_force(folder.entries)
    if not digest:
        raise UsageError(
            "no plan is sealed yet",
            exhibit=str(case),
            advice=f"filiation case plan {case} plan.toml (--example prints one)",
        )
    found = folder.get_record(digest, Plan)
    typer.echo(_json(found) if json else "\n".join([*told_of(found), f"plan {digest}"]))


def _json(found: Plan) -> str:
    from filiation.case.records import every_field

    return msgspec.json.format(msgspec.json.encode(every_field(found), order="deterministic"), indent=1).decode()


def told_of(found: Plan) -> list[str]:
    """A plan in lines, defaults included."""
    line_up = found.line_up
    announced = found.announcement
    lines = [
        f"reference {found.reference}, suspect {found.suspect}, "
        f"{plural(len(found.controls), 'control')}: {', '.join(control.exhibit for control in found.controls) or 'none'}",
        f"line-up: {plural(line_up.foils, 'foil')} from {plural(len(line_up.pool), 'candidate')}, like the suspect in "
        f"{', '.join(line_up.matched_on) or 'nothing that was named'} (numbers within the factor {line_up.tolerance:g})",
        f"chance: {_chance(announced.basis, announced.round, announced.seed)}",
        "examiners: " + ", ".join(f"{name} {found.examiner_versions[name]}" for name in found.examiners),
    ]
    for planned in found.propositions:
        lines.append(f"proposition {planned.proposition}, against: {planned.alternative}")
        lines += [f"  {test}: weight {weight:g}" for test, weight in planned.weights.items()]
    for name, settings in found.parameters.items():
        lines.append(f"parameters of {name}: " + ", ".join(f"{key} = {value!r}" for key, value in settings.items()))
    stopping = found.stopping
    lines.append(
        f"stopping: {stopping.rule}, {stopping.samples} answers to every prompt"
        + (f", at most {stopping.budget_requests} requests" if stopping.budget_requests else "")
    )
    lines += [f"probes: {each.count} of {each.name}" for each in found.probes]
    lines.append(f"tolerance on acquiring again: log10 p {found.tolerance.log10_p:g}, shares {found.tolerance.share:g}")
    return lines


def _chance(basis: str, number: int, seed: str) -> str:
    if basis == "claimant":
        return f"the claimant's own seed {seed}; nobody else can vouch for it"
    return f"round {number} of the {basis} beacon, announced for later"
