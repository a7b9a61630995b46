"""`filiation packs`: the control packs there are, and what one of them holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from filiation.errors import UsageError
from filiation.report.wording import visible

app = typer.Typer(
    name="packs",
    help="Control packs: figures of recorded models that stand in a line-up as its default population.",
    no_args_is_help=False,
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def packs(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """List the control packs that ship with this version.

    A pack joins a line-up where the reference and the suspect answered its prompts; --pack of 'compare' chooses others.

    Example: filiation packs show alpaca_eval
    """
    if context.invoked_subcommand is not None:
        return
    from filiation.sources.packs import Pack, shipped

    found = [_facts(Pack(folder)) for folder in shipped()]
    if json:
        _print_json(found)
        return
    for facts in found:
        typer.echo(
            f"{visible(facts['name'])} {visible(facts['version'])}: {visible(facts['purpose'])}\n"
            f"  {facts['models']} models of {facts['lineages']} lineages and {facts['labs']} labs, {facts['prompts']} prompts"
        )
    if not found:
        typer.echo("no control pack ships with this version")


@app.command("show")
def show(
    pack: Annotated[str, typer.Argument(metavar="PACK", help="The name of a pack that ships, or a folder.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Show the card of a pack: purpose, source, licence, and its models with lineage and lab.

    Example: filiation packs show alpaca_eval
    """
    from filiation.sources.packs import opened

    found = opened(pack)
    facts = _facts(found) | {"members": [msgspec.to_builtins(model) for model in found.card.models]}
    if json:
        _print_json(facts)
        return
    for key, value in facts.items():
        if key != "members":
            typer.echo(f"{key:15} {visible(str(value), 4000)}")
    for lineage, members in sorted(_by_lineage(found.card.models).items()):
        typer.echo(f"  {visible(lineage)}: {visible(', '.join(members), 4000)}")


@app.command("make")
def make(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recorded answers of several models (Parquet).")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The folder to write the pack into.", metavar="FOLDER")
    ],
    name: Annotated[str, typer.Option(help="What findings call the pack.")],
    source: Annotated[str, typer.Option(help="Where the answers come from.")],
    licence: Annotated[str, typer.Option(help="Under which licence the answers, and so their figures, stand.")],
    kind: Annotated[
        str, typer.Option(help="'text' (phrases of answers) or 'answers' (right and wrong answers).")
    ] = "text",
    purpose: Annotated[str, typer.Option(help="What the pack is a population for.")] = "",
    version: Annotated[str, typer.Option(help="The version that findings cite.")] = "1",
    related: Annotated[
        Path | None,
        typer.Option(help="JSON list of [model, model, relation]: pairs that are related.", metavar="FILE"),
    ] = None,
    prompts: Annotated[int, typer.Option(help="The most prompts to keep.", min=30)] = 200,
) -> None:
    """Make a control pack of your own: figures of recorded answers, never the texts.

    Lineages and labs are those of the table ('filiation transcripts import --lineages'). Name the folder with --pack.

    Example: filiation packs make ours.parquet -o ours-pack --name ours --source "own runs" --licence internal
    """
    from filiation.packing import make_pack
    from filiation.sources.transcripts import read_transcripts

    card = make_pack(
        read_transcripts(file),
        output,
        name=name,
        kind=kind,
        purpose=purpose or f"controls recorded in {file.name}",
        source=source,
        licence=licence,
        version=version,
        related=_relations(related),
        most_prompts=prompts,
    )
    undeclared = sum(not model.lineage for model in card.models)
    typer.echo(f"{output}: {len(card.models)} models, {len(card.prompts)} prompts")
    if undeclared:
        typer.echo(f"{undeclared} models have no declared lineage: they can only help the accused", err=True)


def _relations(file: Path | None) -> list[tuple[str, str, str]]:
    if file is None:
        return []
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[tuple[str, str, str]])
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(
            f"this is no list of relations: {error}",
            exhibit=str(file),
            advice='write [["model", "model", "relation"], ...]',
        ) from error


def _facts(pack: Any) -> dict[str, Any]:
    card = pack.card
    kinds = Counter(kind for _, _, kind in card.related)
    return {
        "name": card.name,
        "version": card.version,
        "kind": card.kind,
        "purpose": card.purpose,
        "source": card.source,
        "licence": card.licence,
        "made_by": card.made_by,
        "digest": pack.digest,
        "bytes": pack.data.stat().st_size,
        "models": len(card.models),
        "lineages": len({model.lineage for model in card.models}),
        "labs": len({model.lab for model in card.models}),
        "prompts": len(card.prompts),
        "related_pairs": dict(sorted(kinds.items())),
    }


def _by_lineage(models: Any) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for model in models:
        members.setdefault(model.lineage or "(not declared)", []).append(
            f"{model.name} ({model.lab or 'lab not declared'})"
        )
    return members


def _print_json(value: Any) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=1).decode())
