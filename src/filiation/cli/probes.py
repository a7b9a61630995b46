"""`filiation probes`: the probe sets that ship, what is in them, and drawing from them."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from filiation.cli import files
from filiation.errors import UsageError

app = typer.Typer(
    name="probes",
    help="The probe sets that ship: what to ask models so that their answers can be compared.",
    no_args_is_help=False,
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def probes(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON to standard output.")] = False,
) -> None:
    """List the probe sets that ship with this version: what to ask models so that their answers can be compared.

    'filiation record' takes a set's name where it takes a file of prompts.

    Example: filiation probes show borderline
    """
    if context.invoked_subcommand is not None:
        return
    from filiation.sources.probes import cards

    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(list(cards().values())), indent=1).decode())
        return
    for card in cards().values():
        paraphrases = f", {card.paraphrases} paraphrases" if card.paraphrases else ""
        origin = "generated; any number by seed" if card.generated else "written"
        typer.echo(f"{card.name}  version {card.version}, {card.number} probes{paraphrases} ({origin}), {card.licence}")
        typer.echo(f"  {card.purpose}")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The probe set.", metavar="NAME")],
    count: Annotated[int, typer.Option("--count", help="How many of its probes to show.", min=0)] = 5,
) -> None:
    """Show a set's card and its first probes.

    Example: filiation probes show borderline
    """
    from filiation.sources.probes import card, default

    about = card(name)
    typer.echo(f"{about.name}, version {about.version}: {about.purpose}")
    typer.echo(f"made: {about.made}")
    typer.echo(f"licence: {about.licence}")
    typer.echo(f"probes: {about.number}, paraphrases: {about.paraphrases}")
    typer.echo("kinds: " + ", ".join(f"{kind} {number}" for kind, number in about.kinds.items()))
    for limit in about.limits:
        typer.echo(f"limit: {limit}")
    typer.echo(f"sha256: {about.sha256}")
    for probe in default(name)[:count]:
        grade = f", grade {probe.grade}" if probe.grade else ""
        typer.echo(f"\n[{probe.item}, {probe.kind}{grade}]\n{probe.prompt}")


@app.command("draw")
def draw(
    name: Annotated[str, typer.Argument(help="The probe set.", metavar="NAME")],
    count: Annotated[int, typer.Option("--count", help="How many probes, paraphrases not counted.", min=1)],
    seed: Annotated[int, typer.Option("--seed", help="What decides which; fix it in the plan.", min=0)],
    output: Annotated[str, typer.Option("-o", "--output", help="The file to write, or '-'.", metavar="FILE.jsonl")],
    paraphrases: Annotated[
        bool, typer.Option("--paraphrases", help="Take probes with paraphrases first, and these with them.")
    ] = False,
) -> None:
    """Draw probes by a seed: one JSON object per line with prompt, item and gold (null where there is no right answer).

    Example: filiation probes draw problems --count 300 --seed 7 -o problems.jsonl
    """
    from filiation.sources import probes as sets

    files.check_writable(output, "--output")
    drawn = sets.draw(name, count, seed, paraphrases=paraphrases)
    if paraphrases and not sets.card(name).paraphrases:
        raise UsageError(f"the set {name} has no paraphrases", advice="leave out --paraphrases")
    lines = [msgspec.json.encode({"prompt": p.prompt, "item": p.item, "gold": p.gold}) + b"\n" for p in drawn]
    files.write(output, b"".join(lines))
    if output != files.STANDARD_OUTPUT:
        typer.echo(f"{len(drawn)} probes of {name}, seed {seed}, sha256 {sets.digest_of(drawn)}")
