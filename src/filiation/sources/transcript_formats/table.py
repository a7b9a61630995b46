"""Tables: CSV, TSV, Parquet, JSON lines or a JSON list, whose columns are named on the command line.

A column of the layout may be made of several of the table's, joined by ':' (`task,item_id` gives 'crux:crux-test-#0'). Where
nothing is said, columns that bear the layout's own names are taken, but for `answer`, `gold` and `options`, whose names mean
other things elsewhere. A second table may be joined on, for instance with the prompts or the right answers.

Work is done by polars, streaming: a table of gigabytes never lies in memory as a whole.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from filiation.errors import MalformedSource, UsageError
from filiation.sources.transcript_formats.answer import Reading, utc
from filiation.sources.transcript_formats.column_names import NAMES, likeliest, options_for
from filiation.sources.transcript_formats.json_files import check_text_file, json_lines, json_parts
from filiation.sources.transcripts import SCHEMA, canonical_json, polars_errors, prompt_id, storable

NAME = "table"
SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json")
BY_NAME = ("model", "prompt", "text", "sample", "item", "time", "lineage", "lab", "finish_reason")
_ROWS = 5_000
_TOLD = 30
_WHAT = {".parquet": "a readable Parquet file", ".csv": "readable CSV in UTF-8", ".tsv": "a readable table in UTF-8"}


def is_own_layout(path: Path) -> bool:
    """Whether a file is a Parquet table in the layout of `transcripts.SCHEMA`."""
    if path.suffix != ".parquet":
        return False
    with polars_errors(path, advice="fetch or write the file again"):
        schema = pl.read_parquet_schema(path)
    return all(schema.get(name) == kind for name, kind in SCHEMA.items())


def parts(path: Path, reading: Reading, digest: str, folder: Path, skipped: Counter[str]) -> Iterator[Path]:
    """Write the table in the layout into Parquet files in `folder`, `sample` null where it is not counted; yields the files."""
    wanted = {*BY_NAME, *reading.join_on, *(column for columns in reading.columns.values() for column in columns)}
    for number, frame in enumerate(_frames(path, wanted)):
        with polars_errors(path, _WHAT.get(path.suffix, "a readable table"), "fetch or write the file again"):
            made = _layout(frame, path, reading, digest)
            raw = folder / f"{digest[:16]}-{number:05}-raw.parquet"
            made.sink_parquet(raw)
        named = raw.with_name(raw.name.replace("-raw", ""))
        with polars_errors(raw):
            _with_prompt_ids(pl.scan_parquet(raw), path, reading).sink_parquet(named)
        raw.unlink()
        yield named


def _frames(path: Path, wanted: Collection[str]) -> Iterator[pl.LazyFrame]:
    if path.suffix == ".parquet":
        with polars_errors(path, advice="fetch or write the file again"):
            yield pl.scan_parquet(path)
    elif path.suffix in (".csv", ".tsv"):
        check_text_file(path)
        separator = "\t" if path.suffix == ".tsv" else ","
        with polars_errors(path, _WHAT[path.suffix], "save the table as CSV in UTF-8"):
            yield pl.scan_csv(path, separator=separator, infer_schema=False)
    else:
        yield from _json_frames(path, wanted)


def _json_frames(path: Path, wanted: Collection[str]) -> Iterator[pl.LazyFrame]:
    """JSON records as frames of text columns, some thousand rows each; of columns that nobody wants, some, to tell of them."""
    columns: dict[str, None] = {}
    rows: list[dict[str, str | None]] = []
    for record in _records(path):
        for key in record:
            if key in wanted or len(columns) < _TOLD:
                columns[key] = None
        rows.append({key: _cell(value) for key, value in record.items() if key in columns})
        if len(rows) == _ROWS:
            yield pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String)).lazy()
            rows = []
    if rows:
        yield pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String)).lazy()


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    lines = path.suffix in (".jsonl", ".ndjson")
    for number, (key, record) in enumerate(json_lines(path) if lines else json_parts(path)):
        if (key and not lines) or not isinstance(record, dict):
            raise MalformedSource(
                f"element {number} is no JSON object", exhibit=str(path), advice="a table in JSON is a list of objects"
            )
        yield record


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else canonical_json(value)


def _layout(frame: pl.LazyFrame, path: Path, reading: Reading, digest: str) -> pl.LazyFrame:
    if reading.join is not None:
        frame = _joined(frame, path, reading)
    schema = frame.collect_schema()
    columns = dict(reading.columns)
    for name in BY_NAME:
        if name not in columns and name in schema and not (name == "model" and reading.model):
            columns[name] = (name,)
    _check_columns(columns, schema, path, reading)

    def text(name: str, otherwise: str | None) -> pl.Expr:
        if name not in columns:
            return pl.lit(otherwise, dtype=pl.String)
        pieces = [_as_text(column, schema[column]) for column in columns[name]]
        return pieces[0] if len(pieces) == 1 else pl.concat_str(pieces, separator=":")

    item = text("item", "").fill_null("")
    if reading.task:
        item = pl.when(item == "").then(pl.lit("")).otherwise(pl.lit(f"{reading.task}:") + item)
    answer = text("answer", None)
    for nothing in reading.no_answer:
        answer = pl.when(answer == nothing).then(None).otherwise(answer)
    model = pl.lit(reading.model) if reading.model else text("model", None)
    made = {
        "model": model,
        "lineage": text("lineage", "").fill_null(""),
        "lab": text("lab", "").fill_null(""),
        "item": item,
        "prompt_id": pl.lit(""),
        "prompt": text("prompt", "").fill_null(""),
        "sample": text("sample", None).cast(pl.Int32),
        "text": text("text", "").fill_null(""),
        "answer": answer,
        "gold": text("gold", None),
        "options": text("options", None).cast(pl.Int32),
        "finish_reason": text("finish_reason", None),
        "log_probabilities": pl.lit(None, dtype=pl.String),
        "parameters": pl.lit("{}"),
        "time": _time(columns["time"][0], schema) if "time" in columns else pl.lit(None, dtype=pl.String),
        "source_sha256": pl.lit(digest),
    }
    return frame.select(**made)


def _check_columns(
    columns: Mapping[str, tuple[str, ...]], schema: Mapping[str, Any], path: Path, reading: Reading
) -> None:
    there = f"it has {', '.join(list(schema)[:_TOLD])}{_separated(schema, path)}"
    for name, wanted in columns.items():
        for column in wanted:
            if column not in schema:
                perhaps = likeliest(name, list(schema)) if name in NAMES else ""
                raise UsageError(
                    f"there is no column {column!r} for --{name}-column",
                    exhibit=str(path),
                    advice=there + (f"; perhaps --{name}-column {shlex.quote(perhaps)}" if perhaps else ""),
                )
            if isinstance(schema[column], pl.List | pl.Struct | pl.Array):
                raise UsageError(
                    f"the column {column!r} holds lists or records", exhibit=str(path), advice="give a column of text"
                )
    missing = {
        name: told
        for name, told, known in (
            ("model", "--model-column or --model", reading.model or "model" in columns),
            ("text", "--text-column or --answer-column", "text" in columns or "answer" in columns),
            ("prompt", "--prompt-column or --item-column", "prompt" in columns or "item" in columns),
        )
        if not known
    }
    if missing:
        taken = {column for named in columns.values() for column in named}
        options = "" if _separated(schema, path) else options_for(missing, schema, taken)
        raise UsageError(
            f"say which columns to take: {'; '.join(missing.values())}",
            exhibit=str(path),
            advice=there + (f"; by their names, add {options}" if options else ""),
        )


def _separated(schema: Mapping[str, Any], path: Path) -> str:
    """What to say of a CSV whose one column is a whole line: spreadsheets of many countries separate by ';'."""
    line = next(iter(schema), "")
    wrong = path.suffix == ".csv" and len(schema) == 1 and (";" in line or "\t" in line)
    return ": a .csv is separated by commas, so save it with commas, or with tabs as .tsv" if wrong else ""


def _as_text(column: str, kind: Any) -> pl.Expr:
    """A column as text; whole numbers lose '.0', which tables with gaps give them, and NaN is a gap."""
    found = pl.col(column)
    if kind.is_float():
        whole = pl.when(found == found.floor()).then(found.cast(pl.Int64, strict=False).cast(pl.String))
        return pl.when(found.is_nan()).then(None).otherwise(whole.otherwise(found.cast(pl.String)))
    return found.cast(pl.String)


def _time(column: str, schema: Mapping[str, Any]) -> pl.Expr:
    kind = schema[column]
    if isinstance(kind, pl.Datetime):
        moment = pl.col(column) if kind.time_zone else pl.col(column).dt.replace_time_zone("UTC")
        return moment.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pl.col(column).map_elements(_moment, return_dtype=pl.String)


def _moment(value: Any) -> str | None:
    """Seconds since 1970, or ISO 8601; without a time zone it is taken for UTC."""
    try:
        return utc(float(value))
    except (TypeError, ValueError):
        return utc(value) or utc(f"{value}+00:00")


def _joined(frame: pl.LazyFrame, path: Path, reading: Reading) -> pl.LazyFrame:
    """The table with the columns of a second one beside, each row with exactly one of its rows."""
    second = reading.join
    assert second is not None
    on = list(reading.join_on)
    other = pl.concat(
        _frames(second, {*on, *(name for names in reading.columns.values() for name in names)}), how="diagonal"
    )
    for name, schema in ((path, frame.collect_schema()), (second, other.collect_schema())):
        for column in on:
            if column not in schema:
                raise UsageError(
                    f"there is no column {column!r} to join on", exhibit=str(name), advice=f"it has {', '.join(schema)}"
                )
    as_text = [pl.col(column).cast(pl.String).alias(f"\0{column}") for column in on]
    keys = [f"\0{column}" for column in on]
    other = other.with_columns(as_text).drop(on)
    named = other.select(keys).collect()
    if named.is_duplicated().any():
        raise UsageError(
            f"{', '.join(on)} is not unique in it: a row would be joined twice",
            exhibit=str(second),
            advice="give other columns",
        )
    keyed = frame.with_columns(as_text)
    lost = keyed.select(keys).unique().join(named.lazy(), on=keys, how="anti").collect()
    if lost.height:
        raise UsageError(
            f"{lost.height} values of {', '.join(on)} have no row in {second.name}, for instance {lost.row(0)}",
            exhibit=str(path),
            advice="join on other columns, or complete the second table",
        )
    return keyed.join(other, on=keys, how="left", suffix="_joined").drop(keys)


def _with_prompt_ids(frame: pl.LazyFrame, path: Path, reading: Reading) -> pl.LazyFrame:
    """Prompt ids, hashed once for each prompt and item there is."""
    named = frame.select("prompt", "item").unique().collect(engine="streaming")
    ids = []
    for prompt, item in named.iter_rows():
        name = item if item and (reading.prompts_by == "item" or not prompt.strip()) else prompt
        if not name.strip():
            raise MalformedSource(
                "a row belongs to no prompt: neither its text nor its item is there",
                exhibit=str(path),
                advice="name the column that holds the prompts or the items",
            )
        ids.append(prompt_id(name))
    known = named.with_columns(pl.Series("prompt_id", ids, dtype=pl.String)).lazy()
    return frame.drop("prompt_id").join(known, on=["prompt", "item"], how="left").select(*SCHEMA)
