"""`filiation probe`: ask live endpoints in rounds, record everything, and stop when the design decides or the budget is spent."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from filiation.cli import files, progress
from filiation.cli.compare import declared, names
from filiation.cli.interruptions import GOES_ON, answered
from filiation.errors import UsageError

if TYPE_CHECKING:
    from filiation.probing import Account, Probed
    from filiation.sources.endpoints.exchange import Question

SOURCE = "openai:MODEL@URL, openai-completions:MODEL@URL, anthropic:MODEL[@URL] or transcripts:FILE#MODEL"


def probe(
    context: typer.Context,
    reference: Annotated[str, typer.Option(help=f"The model that may have been taken from: {SOURCE}.", metavar="SRC")],
    suspect: Annotated[str, typer.Option(help="The model that may have taken; it is asked in rounds.", metavar="SRC")],
    prompts: Annotated[
        str,
        typer.Option(
            help="A file with one JSON object per line, {prompt} or {messages}, or the name of a probe set "
            "(see 'filiation probes').",
            metavar="FILE.jsonl|PROBE-SET",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o", "--output", help="The folder of this probe; one that exists is gone on with.", metavar="FOLDER"
        ),
    ],
    control: Annotated[
        list[str] | None,
        typer.Option(
            help="A model of known, unrelated history; may be given many times. transcripts:FILE without a model stands "
            "for every other model in the file. Without controls only 'is this endpoint that model' is decided.",
            metavar="SRC",
        ),
    ] = None,
    each: Annotated[
        int, typer.Option("--round", help="Prompts per round; after each the suspect is looked at.", min=1)
    ] = 25,
    count: Annotated[int | None, typer.Option(help="How many probes of a probe set to draw.", min=1)] = None,
    seed: Annotated[
        int, typer.Option(help="The seed of the order of asking, of drawing probes, and of everything else.", min=0)
    ] = 0,
    samples: Annotated[int, typer.Option(help="How often to ask every prompt.", min=1)] = 1,
    temperature: Annotated[float | None, typer.Option(help="Left to the server where not given.", min=0.0)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer, in tokens.", min=1)] = None,
    log_probabilities: Annotated[
        int | None, typer.Option(help="Ask for log-probabilities, with so many alternatives per token.", min=0, max=20)
    ] = None,
    system: Annotated[str, typer.Option(help="The system prompt.")] = "",
    only: Annotated[str, typer.Option(help="Run only these examiners, separated by commas.", metavar="NAMES")] = "",
    lineage: Annotated[
        list[str] | None,
        typer.Option(help="Declare the lineage of an exhibit; may be given many times.", metavar="NAME=LINEAGE"),
    ] = None,
    lab: Annotated[
        list[str] | None, typer.Option(help="Declare who made an exhibit; may be given many times.", metavar="NAME=LAB")
    ] = None,
    pack: Annotated[
        str,
        typer.Option(help="Control packs that join the line-ups: auto, none, or names and folders.", metavar="PACKS"),
    ] = "auto",
    budget_requests: Annotated[
        int | None, typer.Option(help="The most requests in this folder, over all runs, retries included.", min=0)
    ] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="The most seconds of this run.", min=0.0)] = None,
    budget_money: Annotated[
        float | None, typer.Option(help="The most money, over all runs; needs --price-per-request.", min=0.0)
    ] = None,
    price_per_request: Annotated[
        float, typer.Option(help="What a request costs on average, in whatever currency.", min=0.0)
    ] = 0.0,
    concurrency: Annotated[int, typer.Option(help="Requests under way at once.", min=1, max=256)] = 4,
    rate: Annotated[
        float | None, typer.Option(help="Requests per minute, retries included.", min=0.001, metavar="N")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor table.")] = False,
) -> None:
    """Ask in rounds and stop when the design decides, the budget is spent, or all prompts are asked; see docs/probing.md.

    The folder holds the raw recording, the answers as a transcript, the record, the HTML report, and probe.json: what was
    planned, decided, and why. A run that was stopped goes on with the same command and pays nothing twice.

    Example: filiation probe --reference openai:ours@http://localhost:8000/v1 --suspect openai:theirs@https://api.example/v1
    --control transcripts:controls.parquet --prompts open --round 25 -o probe
    """
    from filiation.cli.compare import parameters as examiners_parameters
    from filiation.probing import Spending
    from filiation.probing import probe as hold
    from filiation.sources.endpoints.asking import Conduct
    from filiation.sources.endpoints.exchange import Parameters
    from filiation.sources.endpoints.questions import repeated

    folder = Path(output).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o names a file: {folder}", advice="give a folder")
    questions = repeated(_questions(prompts, count, seed), samples)
    with answered(f"what was recorded in {folder} is kept, and {GOES_ON}"), progress.shown(quiet) as tell:
        probed = hold(
            reference,
            suspect,
            control or [],
            questions,
            folder,
            each=each,
            seed=seed,
            parameters=Parameters(
                temperature=temperature, max_tokens=max_tokens, top_log_probabilities=log_probabilities, system=system
            ),
            spending=Spending(
                requests=budget_requests,
                seconds=budget_seconds,
                money=budget_money,
                price_per_request=price_per_request,
            ),
            only=names(only),
            settings=examiners_parameters(pack, False),
            lineages=declared(lineage or []),
            labs=declared(lab or []),
            conduct=Conduct(concurrency=concurrency, per_minute=rate),
            progress=tell,
        )
    _leave(probed, context, quiet)


def _questions(prompts: str, count: int | None, seed: int) -> tuple[Question, ...]:
    from filiation.sources.endpoints.questions import probe_questions, read_questions

    if Path(prompts).expanduser().exists() or prompts.endswith(".jsonl") or "/" in prompts:
        if count is not None:
            raise UsageError("--count draws from a probe set, not from a file", advice="leave --count out")
        return read_questions(prompts)
    return probe_questions(prompts, count, seed)


def _leave(probed: Probed, context: typer.Context, quiet: bool) -> None:
    """Write record and report beside the recording, print the account and the table."""
    from filiation.report.html import html

    spoken = " ".join(["filiation", "probe", *map(shlex.quote, _arguments(context))])
    circumstances = msgspec.structs.replace(probed.examination.circumstances, command=spoken)
    examination = msgspec.structs.replace(probed.examination, circumstances=circumstances)
    report = str(probed.folder / "report.html")
    files.write(str(probed.folder / "record.json"), examination.to_json())
    files.write(report, html(examination).encode())
    if quiet:
        return
    from rich.console import Console

    from filiation.report.terminal import print_report

    print_report(examination, Console(), html_at=report)
    for line in told_of(probed.account):
        typer.echo(line)
    typer.echo(f"{probed.folder}: recording, answers, record, report and account")


def told_of(account: Account) -> list[str]:
    """What was decided and why, in lines."""
    lines = [f"stopped: {account.stopped} ({account.why})"]
    for look in account.looks:
        lines.append(f"  after {look.prompts} of {len(account.plan.prompts)} prompts, {look.requests} requests:")
        lines += [f"    {test}: {said}" for test, said in look.outcomes.items()]
    lines.append(
        f"  stopping before the end was {'' if account.early_stop_allowed else 'not '}allowed: {account.early_stop_reason}"
    )
    if account.requests:
        cost = f", at most {account.money:g} spent" if account.money else ""
        lines.append(f"  {account.requests} requests recorded in all{cost}")
    return lines


def _arguments(context: typer.Context) -> list[str]:
    """The arguments as they were parsed, those left at their default left out."""
    words = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if value in (None, parameter.default, [], ()) or parameter.name == "quiet":
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [max(parameter.opts, key=len), str(one)]
    return words
