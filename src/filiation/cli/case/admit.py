"""`filiation case admit`: an exhibit, by the digests of its files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from filiation.cli.case.acting import Actor, Case, Key, Quiet, held, pairs, setting
from filiation.errors import UsageError
from filiation.report.wording import plural, visible

if TYPE_CHECKING:
    from filiation.case.records import Manifest, Role

UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def admit(
    case: Case,
    location: Annotated[
        str,
        typer.Argument(
            help="A model's folder or file, a hub id, transcripts:FILE#MODEL (without a model: all in the file), pack:NAME#MODEL, "
            "marks:FOLDER (what the reference's owner planted or drew by lot, opened), an endpoint still to be asked, or any file "
            "as material.",
            metavar="LOCATION",
        ),
    ],
    role: Annotated[
        str,
        typer.Option(
            help="reference, suspect, control, candidate (for the line-up) or material (kept, not examined).",
            metavar="ROLE",
        ),
    ],
    name: Annotated[
        str,
        typer.Option(
            "--as",
            help="What the exhibit is called; NAME/PART is a further part of NAME, such as its answers.",
            metavar="NAME",
        ),
    ] = "",
    origin: Annotated[str, typer.Option(help="Where it comes from.")] = "",
    obtained_by: Annotated[str, typer.Option(help="Who obtained it; by default the actor.")] = "",
    obtained_at: Annotated[str, typer.Option(help="When it was obtained (ISO 8601); by default now.")] = "",
    lineage: Annotated[str, typer.Option(help="Declare which independent training it comes from.")] = "",
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            help="What foils are matched on, such as tokenizer=bpe; may be given many times.", metavar="NAME=VALUE"
        ),
    ] = None,
    told_location: Annotated[
        str,
        typer.Option(
            "--location",
            help="What the case says of where an exhibit lies that stays outside it, instead of its path on this machine: the "
            "other side reads it.",
            metavar="TEXT",
        ),
    ] = "",
    inside_limit: Annotated[
        str, typer.Option(help="Exhibits up to this size are copied into the case.", metavar="SIZE")
    ] = "64 MB",
    key: Key = None,
    actor: Actor = "",
    quiet: Quiet = False,
) -> None:
    """Admit an exhibit: every file is hashed, small exhibits are copied into the case, large ones stay where they are.

    Example: filiation case admit dispute models/theirs --as theirs --role suspect --origin "their download page"
    """
    from filiation.proceedings.admission import Origin, models_at, usual_name
    from filiation.proceedings.admission import admit as admitted

    if role not in _roles():
        raise UsageError(f"there is no role {role}", advice=f"give one of {', '.join(_roles())}")
    attributes = {name: setting(value) for name, value in pairs(attribute, "--attribute").items()}
    limit = _bytes(inside_limit)
    locations = models_at(location) if not name and role != "material" else (location,)
    with held(case, key, actor, quiet) as sitting:
        told = Origin(
            origin=origin or "not said",
            obtained_by=obtained_by or sitting.acting.actor,
            obtained_at=obtained_at,
            lineage=lineage,
            attributes=attributes,
            location=told_location,
        )
        for each in locations:
            called = name or usual_name(each)
            if len(locations) > 1 and called in sitting.manifests:
                typer.echo(
                    f"{visible(called)}: left out, because an exhibit of this name was admitted before", err=True
                )
                continue
            manifest = admitted(sitting, each, exhibit=called, role=cast("Role", role), origin=told, inside_limit=limit)
            if not quiet:
                typer.echo(visible(_told_of(manifest), 1000))


def _told_of(manifest: Manifest) -> str:
    """One line: what was admitted, and what the other side will read of where it lies."""
    if manifest.kind == "endpoint":
        return f"{manifest.exhibit}: {manifest.role}, {manifest.location}, to be asked by 'filiation case observe'"
    size = sum(file.size for file in manifest.files)
    where = "inside the case" if manifest.inside else f"left outside; the case says where: {manifest.location}"
    return f"{manifest.exhibit}: {manifest.role}, {plural(len(manifest.files), 'file')}, {size:,} bytes, {where}"


def _roles() -> tuple[str, ...]:
    from filiation.case.records import Role

    return get_args(Role)


def _bytes(text: str) -> int:
    """'64 MB' in bytes. Raises UsageError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?b)?\s*", text.casefold())
    if not found:
        raise UsageError(f"{text!r} is not a size", advice="for instance --inside-limit '64 MB' or 0")
    return int(float(found[1]) * UNITS[found[2] or "b"])
