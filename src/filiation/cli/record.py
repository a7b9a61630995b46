"""`filiation record`: ask an endpoint and keep every raw exchange, so that nobody has to be asked twice."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from filiation.cli import files, progress
from filiation.cli.interruptions import GOES_ON, answered
from filiation.errors import SourceError, UsageError
from filiation.report.wording import shortened

if TYPE_CHECKING:
    from filiation.sources.endpoints.asking import Summary
    from filiation.sources.endpoints.exchange import Parameters, Question
    from filiation.sources.endpoints.location import Endpoint
    from filiation.sources.endpoints.recorder import Recording


def record(
    endpoint: Annotated[
        str,
        typer.Argument(
            help="openai:MODEL@URL (chat), openai-completions:MODEL@URL (text) or anthropic:MODEL[@URL].",
            metavar="ENDPOINT",
        ),
    ],
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
        typer.Option("-o", "--output", help="The recording; one that exists is gone on with.", metavar="FILE.jsonl"),
    ],
    count: Annotated[int | None, typer.Option(help="How many probes of a probe set to draw.", min=1)] = None,
    draw_seed: Annotated[int, typer.Option(help="The seed by which probes are drawn.", min=0)] = 0,
    samples: Annotated[int, typer.Option(help="How often to ask every prompt.", min=1)] = 1,
    temperature: Annotated[float | None, typer.Option(help="Left to the server where not given.", min=0.0)] = None,
    top_p: Annotated[float | None, typer.Option(help="Left to the server where not given.", min=0.0, max=1.0)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer, in tokens.", min=1)] = None,
    seed: Annotated[
        int | None, typer.Option(help="Sent to the server with sample 0; sample n gets this plus n.")
    ] = None,
    log_probabilities: Annotated[
        int | None,
        typer.Option(help="Ask for log-probabilities, with so many alternatives per token.", min=0, max=20),
    ] = None,
    system: Annotated[str, typer.Option(help="The system prompt.")] = "",
    stream: Annotated[bool, typer.Option("--stream", help="Ask for a stream, for servers that only stream.")] = False,
    concurrency: Annotated[int, typer.Option(help="Requests under way at once.", min=1, max=256)] = 4,
    rate: Annotated[
        float | None, typer.Option(help="Requests per minute, retries included.", min=0.001, metavar="N")
    ] = None,
    attempts: Annotated[int, typer.Option(help="Requests per question and run before it is given up.", min=1)] = 6,
    timeout: Annotated[float, typer.Option(help="Seconds for one whole exchange.", min=0.1)] = 600.0,
    budget_requests: Annotated[
        int | None, typer.Option(help="The most requests in this recording, over all runs, retries included.", min=0)
    ] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="The most seconds of this run.", min=0.0)] = None,
    again: Annotated[bool, typer.Option("--again", help="Ask questions once more that the endpoint rejected.")] = False,
    transcript: Annotated[
        str | None, typer.Option(help="Write the answers as a transcript.", metavar="FILE.parquet")
    ] = None,
    name: Annotated[str, typer.Option(help="What the transcript calls the model.")] = "",
    lab: Annotated[str, typer.Option(help="Declare who made the model.")] = "",
    lineage: Annotated[str, typer.Option(help="Declare which independent training it comes from.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON to standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor summary.")] = False,
) -> None:
    """Ask ENDPOINT every prompt and record each raw request and response before it is used.

    A run that was stopped or killed goes on with the same command and asks nothing again that was answered. Keys come
    from the environment only and are never recorded; see docs/endpoints.md.

    Example: filiation record openai:MODEL@http://localhost:8000/v1 --prompts problems --count 100 -o answers.jsonl
    """
    import numpy as np

    from filiation.sources.endpoints.asking import Budget, Conduct, ask
    from filiation.sources.endpoints.exchange import Parameters
    from filiation.sources.endpoints.location import endpoint_at
    from filiation.sources.endpoints.questions import repeated
    from filiation.sources.endpoints.recorder import Recorder

    asked_of = endpoint_at(endpoint)
    files.check_writable(output, "--output")
    files.check_writable(transcript, "--transcript")
    if files.STANDARD_OUTPUT in (output, transcript):
        raise UsageError("a recording and a transcript need the names of files", advice="give -o FILE.jsonl")
    parameters = Parameters(
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        seed=seed,
        top_log_probabilities=log_probabilities,
        system=system,
        stream=stream,
    )
    questions = repeated(_questions(prompts, count, draw_seed), samples)
    conduct = Conduct(concurrency=concurrency, per_minute=rate, attempts=attempts, total_seconds=timeout)
    budget = Budget(requests=budget_requests, seconds=budget_seconds)
    kept = f"what was recorded in {output} is kept, and {GOES_ON}"
    with answered(kept), Recorder(output) as recorder, progress.shown(quiet) as tell:
        _check_goes_on(recorder.recording, asked_of, parameters, output)
        if transcript is not None:
            _check_nothing_lost(transcript, recorder.recording)
        asked = ask(
            asked_of,
            questions,
            parameters,
            recorder,
            rng=np.random.default_rng(),
            conduct=conduct,
            budget=budget,
            again=again,
            progress=tell,
        )
        rows = None
        if transcript is not None:
            rows = _write_transcript(transcript, recorder.recording, asked_of, name, lab, lineage)
    summary = asked.summary
    if json:
        told = {"endpoint": asked_of.location, "recording": output, "rows": rows, **msgspec.to_builtins(summary)}
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=1).decode())
    elif not quiet:
        typer.echo("\n".join(told_of(summary, output)))
        if rows is not None:
            typer.echo(f"{transcript}: {rows} answers")
    if summary.given_up or (summary.not_reached and not summary.ended.startswith("the budget")):
        raise SourceError(
            f"{summary.given_up + summary.not_reached} of {summary.questions} questions got no answer: {summary.ended}",
            exhibit=asked_of.location,
            advice="run the same command again; what was answered is not asked again",
        )


def told_of(summary: Summary, output: str) -> list[str]:
    """The summary in lines."""
    lines = [
        f"{output}: {summary.answered_before + summary.answered_now} of {summary.questions} questions answered "
        f"({summary.answered_before} before this run), {summary.requests} requests sent now, "
        f"{summary.requests_recorded} in all"
    ]
    notes = {
        "rejected by the endpoint": summary.rejected,
        "given up after repeated faults": summary.given_up,
        "not asked": summary.not_reached,
        "asked again, because a run was killed before their response was recorded": summary.asked_again,
        "answered without the log-probabilities asked for": summary.without_log_probabilities,
        "bytes of a torn last line dropped": summary.torn_bytes,
    }
    lines += [f"  {number} {what}" for what, number in notes.items() if number]
    if len(summary.models_served) > 1:
        served = ", ".join(
            f"{number} by {shortened(name or '(not said)', 60)}" for name, number in summary.models_served.items()
        )
        lines.append(f"  the server says that it served different models: {served}")
    if summary.faults:
        lines.append("  faults: " + ", ".join(f"{number} {kind}" for kind, number in summary.faults.items()))
    if summary.ended != "all asked":
        lines.append(f"  ended: {shortened(summary.ended, 300)}")
    return lines


def _questions(prompts: str, count: int | None, draw_seed: int) -> tuple[Question, ...]:
    from filiation.sources.endpoints.questions import probe_questions, read_questions

    if Path(prompts).expanduser().exists() or prompts.endswith(".jsonl") or "/" in prompts:
        if count is not None:
            raise UsageError("--count draws from a probe set, not from a file", advice="leave --count out")
        return read_questions(prompts)
    return probe_questions(prompts, count, draw_seed)


def _check_goes_on(recording: Recording, endpoint: Endpoint, parameters: Parameters, output: str) -> None:
    """A recording is of one endpoint under one setting; another one mixed in would be no transcript any more."""
    for request in recording.requests.values():
        if request.endpoint != endpoint or request.parameters != parameters:
            other = "another endpoint" if request.endpoint != endpoint else "other parameters"
            raise UsageError(
                f"this recording is of {other}: {request.endpoint.location} with {request.parameters.recorded()}",
                exhibit=output,
                advice="give another file, or repeat the command that began this one",
            )


def _check_nothing_lost(target: str, recording: Recording) -> None:
    """A transcript is written anew from the recording; answers that are not from it would be gone. Raises UsageError."""
    from filiation.sources.endpoints.recorder import transcript_of
    from filiation.sources.transcripts import check_layout, polars_errors

    path = Path(target)
    if not path.exists() or not path.stat().st_size:
        return
    import polars as pl

    with polars_errors(path, advice="give --transcript another file: this one would be replaced"):
        check_layout(pl.read_parquet_schema(path), path)
        there = pl.read_parquet(path, columns=["source_sha256"])
    foreign = there.filter(~pl.col("source_sha256").is_in(transcript_of(recording)["source_sha256"].to_list())).height
    foreign += there["source_sha256"].null_count()
    if foreign:
        raise UsageError(
            f"{foreign} of its answers are not from this recording, and would be lost",
            exhibit=target,
            advice="give --transcript a file of its own, and bring both together with 'filiation transcripts import'",
        )


def _write_transcript(target: str, recording: Recording, endpoint: Endpoint, name: str, lab: str, lineage: str) -> int:
    from filiation.sources.endpoints.recorder import transcript_of

    location = endpoint.location
    frame: Any = transcript_of(
        recording,
        names={location: name} if name else {},
        lineages={location: lineage},
        labs={location: lab},
    )
    made = io.BytesIO()
    frame.write_parquet(made)
    files.write(target, made.getvalue())
    return int(frame.height)
