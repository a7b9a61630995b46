"""`filiation transcripts`: recorded answers, from the files of others into one table, looked at, checked, put side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from filiation.cli import files, progress
from filiation.errors import FiliationError, UsageError
from filiation.report.wording import plural, visible, whole

if TYPE_CHECKING:
    import polars as pl

    from filiation.sources.transcript_faults import Fault
    from filiation.sources.transcript_formats.importing import Imported

FOUND = 4
"""Exit code of `validate --strict` where something was found: a stored record is not what it should be."""

FORMATS = ("auto", "alpaca-eval", "lm-eval", "inspect", "helm", "openai-batch", "table")

app = typer.Typer(
    name="transcripts",
    help="Recorded answers of models: import them into one table, show, validate and compare them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor table.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]
Column = Annotated[str, typer.Option(metavar="COLUMN")]


def _column(what: str) -> Any:
    return typer.Option(
        help=f"The table's column of {what}; several, separated by commas, are joined by ':'.", metavar="COLUMN"
    )


@app.command("import")
def import_(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Files, or folders of lm-eval, inspect or HELM.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.parquet", help="The table to write; what it holds is kept.")
    ],
    format: Annotated[
        str, typer.Option("--format", metavar="|".join(FORMATS), help="What the inputs are; auto looks at each.")
    ] = "auto",
    model: Annotated[str, typer.Option(metavar="NAME", help="The model that all inputs are answers of.")] = "",
    lineage: Annotated[str, typer.Option(metavar="NAME", help="Declare the lineage of every model imported.")] = "",
    lab: Annotated[str, typer.Option(metavar="NAME", help="Declare who made every model imported.")] = "",
    lineages: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help='JSON {model: {"lineage", "lab"}}, or CSV with the columns model,lineage,lab.'
        ),
    ] = None,
    task: Annotated[str, typer.Option(metavar="NAME", help="What stands before the ids of items: 'NAME:id'.")] = "",
    prompts_by: Annotated[
        str,
        typer.Option(
            metavar="text|item",
            help="What makes two prompts the same: their text, or their item, where every model was asked in its own template.",
        ),
    ] = "text",
    repeats: Annotated[
        str,
        typer.Option(
            metavar="refuse|samples",
            help="Two different answers of a model to one prompt are an error, or further samples.",
        ),
    ] = "refuse",
    filter_name: Annotated[
        str,
        typer.Option("--filter", metavar="NAME", help="Of lm-eval: the filter whose answers to take; else the first."),
    ] = "",
    model_column: Annotated[str, _column("models")] = "",
    prompt_column: Annotated[str, _column("prompts")] = "",
    text_column: Annotated[str, _column("answers as text")] = "",
    sample_column: Annotated[str, _column("sample numbers, from 0")] = "",
    answer_column: Annotated[str, _column("answers extracted from the text")] = "",
    gold_column: Annotated[str, _column("right answers")] = "",
    options_column: Annotated[str, _column("numbers of options")] = "",
    item_column: Annotated[str, _column("item ids")] = "",
    time_column: Annotated[str, _column("times")] = "",
    no_answer: Annotated[
        list[str] | None, typer.Option(metavar="VALUE", help="What stands in the answer column where none was stated.")
    ] = None,
    join: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A second table with further columns, such as prompts or right answers."),
    ] = None,
    join_on: Annotated[
        str, typer.Option(metavar="COLUMNS", help="The columns that both tables have, separated by commas.")
    ] = "",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read recorded answers into one table, beside what FILE holds; the same answer is never kept twice.

    The formats: AlpacaEval model_outputs.json, lm-evaluation-harness --log_samples, inspect_ai logs, HELM runs, OpenAI batch
    input and output, and any table whose columns are named here.

    Example: filiation transcripts import results/*/model_outputs.json --lineages lineages.csv -o answers.parquet
    """
    from filiation.sources.transcript_formats.answer import Reading
    from filiation.sources.transcript_formats.importing import Declared, import_transcripts, read_lineages

    _one_of(format, FORMATS, "--format")
    _one_of(prompts_by, ("text", "item"), "--prompts-by")
    _one_of(repeats, ("refuse", "samples"), "--repeats")
    files.check_writable(str(output), "--output")
    if output.suffix != ".parquet":
        raise UsageError(f"-o {output} does not end in .parquet", advice="the table is written as Parquet")
    if (join is None) != (not join_on):
        raise UsageError("--join and --join-on belong together", advice="give the file and the columns")
    named = {
        "model": model_column,
        "prompt": prompt_column,
        "text": text_column,
        "sample": sample_column,
        "answer": answer_column,
        "gold": gold_column,
        "options": options_column,
        "item": item_column,
        "time": time_column,
    }
    reading = Reading(
        model=model,
        task=task,
        prompts_by=prompts_by,
        filter=filter_name,
        columns={name: _names(given) for name, given in named.items() if given},
        no_answer=tuple(no_answer or ()),
        join=join,
        join_on=_names(join_on),
    )
    if (reading.columns or join) and format not in ("auto", "table"):
        raise UsageError("columns can be named for tables only", advice="leave them out, or use --format table")
    declared = Declared(lineage=lineage, lab=lab, of_models=read_lineages(lineages) if lineages else {})
    with progress.shown(quiet or json) as tell:
        done = import_transcripts(
            inputs,
            output,
            format="table" if reading.columns or join else format,
            reading=reading,
            declared=declared,
            repeats=repeats,
            progress=tell,
        )
    if json:
        _print_json(asdict(done))
    elif not quiet:
        typer.echo(_told_import(done))


def _one_of(value: str, known: Sequence[str], option: str) -> None:
    if value not in known:
        raise UsageError(f"{option} {value!r} is not known", advice=f"one of {', '.join(known)}")


def _names(given: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(",") if name.strip())


def _told_import(done: Imported) -> str:
    lines = [
        f"{visible(done.file)}: {plural(done.answers, 'answer')} of {plural(done.models, 'model')} "
        f"to {plural(done.prompts, 'prompt')}; {whole(done.new)} new, {whole(done.identical)} there already"
    ]
    if done.repeats:
        lines.append(f"  {whole(done.repeats)} kept as further samples")
    if done.damaged_characters:
        lines.append(
            f"  {plural(done.damaged_characters, 'half of a surrogate pair', 'halves of surrogate pairs')} became U+FFFD"
        )
    lines += [f"  skipped: {whole(number)} {visible(why)}" for why, number in done.skipped.items()]
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------------------- show


@app.command("show")
def show(
    exhibit: Annotated[
        str, typer.Argument(metavar="FILE[#MODEL]", help="A table of recorded answers, or one model of it.")
    ],
    prompt: Annotated[
        str,
        typer.Option(metavar="ID", help="Print the answers to this prompt: its id, the beginning of it, or its item."),
    ] = "",
    json: Json = False,
) -> None:
    """Show what a table holds: models, prompts, answers, their lengths and how many were cut off.

    Example: filiation transcripts show answers.parquet#model-a --prompt 005b4f1fb988dda3
    """
    import polars as pl

    frame = _frame(exhibit)
    if prompt:
        chosen = frame.filter(pl.col("prompt_id").str.starts_with(prompt) | (pl.col("item") == prompt))
        if not chosen.height:
            raise UsageError(
                f"no prompt {prompt!r}", exhibit=exhibit, advice="see 'filiation transcripts show FILE --json'"
            )
        if chosen["prompt_id"].n_unique() > 1:
            raise UsageError(
                f"{chosen['prompt_id'].n_unique()} prompts begin with {prompt!r}",
                exhibit=exhibit,
                advice="give more of its id",
            )
        _show_prompt(chosen, json)
        return
    facts = _facts(frame)
    if json:
        _print_json(facts)
        return
    typer.echo(
        f"{plural(facts['answers'], 'answer')} of {plural(len(facts['models']), 'model')} to {plural(facts['prompts'], 'prompt')}"
    )
    _show_models(facts["models"])


def _frame(exhibit: str) -> pl.DataFrame:
    import polars as pl

    from filiation.sources.transcripts import read_transcripts, split_location

    path, model = split_location(exhibit)
    frame = read_transcripts(path)
    if not model:
        return frame
    chosen = frame.filter(pl.col("model") == model)
    if not chosen.height:
        known = frame["model"].unique(maintain_order=True).to_list()
        more = f" and {len(known) - 12} more" if len(known) > 12 else ""
        raise UsageError(
            f"{model!r} is none of its models", exhibit=str(path), advice=f"one of {', '.join(known[:12])}{more}"
        )
    return chosen


def _facts(frame: pl.DataFrame) -> dict[str, Any]:
    """What a table holds, model by model; lengths in words."""
    import polars as pl

    words = pl.col("words").filter(pl.col("words") > 0)
    recorded = pl.col("finish_reason").is_not_null()
    models = (
        frame.with_columns(pl.col("text").str.count_matches(r"\S+").alias("words"))
        .group_by("model", maintain_order=True)
        .agg(
            pl.col("lineage", "lab").first(),
            pl.len().alias("answers"),
            pl.col("prompt_id").n_unique().alias("prompts"),
            (pl.col("sample").max() + 1).alias("samples"),
            (pl.col("text") != "").sum().alias("with_text"),
            pl.col("answer").is_not_null().sum().alias("with_answer"),
            (pl.col("answer") == pl.col("gold")).sum().alias("right"),
            (pl.col("answer").is_not_null() & pl.col("gold").is_not_null()).sum().alias("judged"),
            pl.col("log_probabilities").is_not_null().sum().alias("with_log_probabilities"),
            words.median().round(0).cast(pl.Int64).alias("median_words"),
            words.quantile(0.95).round(0).cast(pl.Int64).alias("words_95"),
            recorded.sum().alias("ending_recorded"),
            (pl.col("finish_reason") == "length").sum().alias("truncated"),
        )
    )
    return {"answers": frame.height, "prompts": frame["prompt_id"].n_unique(), "models": models.to_dicts()}


def _show_models(models: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns: dict[str, list[str]] = {
        "model": [visible(model["model"], 80) for model in models],
        "lineage": [visible(model["lineage"] or "", 60) for model in models],
        "prompts": [whole(model["prompts"]) for model in models],
        "answers": [whole(model["answers"]) for model in models],
        "median words": [_whole(model["median_words"]) for model in models],
        "95 %": [_whole(model["words_95"]) for model in models],
        "cut off": [_of(model["truncated"], model["ending_recorded"]) for model in models],
        "right": [_of(model["right"], model["judged"]) for model in models],
    }
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = {title: cells for title, cells in columns.items() if any(cells)}  # what nobody recorded takes no room
    for title in shown:
        named = title in ("model", "lineage")
        table.add_column(title, overflow="fold", justify="left" if named else "right", no_wrap=not named)
    for cells in zip(*shown.values(), strict=True):
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)


def _whole(number: int | None) -> str:
    return "" if number is None else whole(number)


def _of(count: int, recorded: int) -> str:
    """'3 of 500'; empty where nothing of the kind was recorded."""
    return f"{whole(count)} of {whole(recorded)}" if recorded else ""


def _show_prompt(chosen: pl.DataFrame, json: bool) -> None:
    rows = chosen.sort("model", "sample").to_dicts()
    if json:
        _print_json(rows)
        return
    first = rows[0]
    typer.echo(f"prompt {first['prompt_id']}  {visible(first['item'])}".rstrip())
    typer.echo(_lines(first["prompt"] or "(its text was not recorded)", "  | "))
    for row in rows:
        stated = [
            f"{title}: {visible(row[name])}"
            for title, name in (("answer", "answer"), ("right", "gold"), ("ended", "finish_reason"))
            if row[name] is not None
        ]
        typer.echo(f"\n{visible(row['model'])}, sample {row['sample']}" + (f" ({'; '.join(stated)})" if stated else ""))
        if row["text"]:
            typer.echo(_lines(row["text"], "  "))


def _lines(text: str, margin: str) -> str:
    """A text of an exhibit, line by line, its control characters replaced."""
    return "\n".join(margin + visible(line, 100_000) for line in text.split("\n"))


# ------------------------------------------------------------------------------------------------------------ validate


@app.command("validate")
def validate(
    exhibit: Annotated[
        str, typer.Argument(metavar="FILE[#MODEL]", help="A table of recorded answers, or one model of it.")
    ],
    strict: Annotated[
        bool, typer.Option("--strict", help=f"Leave with exit code {FOUND} when something is found.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List what is wrong with recorded answers: duplicates, gaps, cut-off answers, traces of templates, damage.

    Nothing is changed. The exit code is 0 whatever is found, unless --strict is given.

    Example: filiation transcripts validate answers.parquet --strict
    """
    from filiation.sources.transcript_faults import faults

    frame = _frame(exhibit)
    with progress.shown(quiet or json) as tell:
        found = faults(frame, tell)
    if json:
        _print_json([asdict(fault) for fault in found])
    elif not quiet:
        _show_faults(found, frame.height)
    if strict and found:
        raise typer.Exit(FOUND)


def _show_faults(found: Sequence[Fault], answers: int) -> None:
    if not found:
        typer.echo(f"{plural(answers, 'answer')}: every rule is kept")
        return
    for fault in found:
        worst = ", ".join(f"{visible(model, 60)} {whole(count)}" for model, count in fault.models[:4])
        more = f" and {len(fault.models) - 4} more" if len(fault.models) > 4 else ""
        typer.echo(f"{fault.name}: {whole(fault.count)} (the rule: {fault.rule})")
        typer.echo(f"  {plural(len(fault.models), 'model')}: {worst}{more}")
        for example in fault.examples:
            typer.echo(
                f"  {visible(example.model, 60)}, {visible(example.prompt, 60)}: {visible(repr(example.shown), 110)}"
            )


# ---------------------------------------------------------------------------------------------------------------- diff


@app.command("diff")
def diff(
    first: Annotated[str, typer.Argument(metavar="FILE#A", help="A model's recorded answers.")],
    second: Annotated[str, typer.Argument(metavar="FILE#B", help="Another model's, in the same file or in another.")],
    words: Annotated[int, typer.Option(min=2, metavar="N", help="Mark passages of at least N words.")] = 8,
    top: Annotated[
        int, typer.Option(min=1, metavar="K", help="Show K prompts, those with the longest passage first.")
    ] = 10,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write the page to FILE instead.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Put the answers of two models side by side, with the passages that they share marked.

    What is marked stands word for word in both, whatever its case and punctuation. How rare it is among other models is not
    said here: unrelated models share phrases, and quote the same prompt. For that use 'filiation compare'.

    Example: filiation transcripts diff answers.parquet#model-a answers.parquet#model-b --html side-by-side.html
    """
    from filiation.cli import side_by_side

    if html == files.STANDARD_OUTPUT:
        raise UsageError("--html needs the name of a file", advice="only --json can go to standard output")
    files.check_writable(html, "--html")
    with progress.shown(quiet or json) as tell:
        found = side_by_side.compared(_transcript(first), _transcript(second), words, tell)
    if json:
        _print_json(side_by_side.facts(found, top))
        return
    if html is not None:
        files.write(html, side_by_side.page(found, top).encode())
        if not quiet:
            typer.echo(f"{side_by_side.heading(found)}; written to {visible(html)}")
    elif not quiet:
        side_by_side.print_to_terminal(found, top)


def _transcript(location: str) -> Any:
    from filiation.sources.transcripts import TranscriptSource, split_location

    path, model = split_location(location)
    return TranscriptSource(path, model).transcript()


def _print_json(value: Any) -> None:
    try:
        typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=1).decode())
    except (TypeError, ValueError) as error:
        raise FiliationError(f"this cannot be shown as JSON: {error}") from error
