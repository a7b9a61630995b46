"""From recorded files to one table: read, put beside what is there, drop what is there twice, order, replace.

    1. Every input is recognised, hashed and read into Parquet parts of some thousand rows (a reader holds one record at a time).
    2. Keys alone (model, prompt, sample, digests of text and answer) decide what is new, the same, or in contradiction.
    3. The rows that stay are ordered by model, prompt and sample, some models at a time, and written beside the target.
    4. The target is replaced in one step: a reader sees the old table or the new one, never half.

The order of the inputs decides nothing, and importing the same again changes nothing.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from filiation.errors import MalformedSource, SourceNotFound, UsageError
from filiation.sources.transcript_formats import table
from filiation.sources.transcript_formats.answer import Progress, Reading, frame_of, row
from filiation.sources.transcript_formats.json_files import check_text_file, whole_json
from filiation.sources.transcript_formats.recognition import FORMATS, OWN, files_in, recognised
from filiation.sources.transcripts import SCHEMA, check_layout, polars_errors, said

BATCH_ROWS = 4_000
BATCH_CHARACTERS = 32 << 20
BUNCH_BYTES = 256 << 20
"""Bytes of text that are ordered at a time; a single model's answers are always ordered together."""
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Input:
    """One file that was read: format, digest, answers found in it, and whether it was given twice."""

    path: str
    format: str
    sha256: str
    answers: int


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did. `new` answers were added, `identical` ones were there already (or twice in the inputs)."""

    file: str
    models: int
    prompts: int
    answers: int
    new: int
    identical: int
    repeats: int
    damaged_characters: int
    skipped: Mapping[str, int]
    inputs: tuple[Input, ...]


@dataclass(frozen=True, kw_only=True)
class Declared:
    """Lineage and lab of every model, or of those named; '' where not declared."""

    lineage: str = ""
    lab: str = ""
    of_models: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def import_transcripts(
    inputs: Sequence[Path],
    target: Path,
    *,
    format: str = "auto",
    reading: Reading | None = None,
    declared: Declared | None = None,
    repeats: str = "refuse",
    progress: Progress = lambda _what, _share: None,
) -> Imported:
    """Read recorded answers into the table `target`, beside what it holds. Raises FiliationError; then nothing is changed.

    `repeats`: 'refuse', or 'samples': other answers of a model to the same prompt and sample become further samples.
    """
    reading, declared = reading or Reading(), declared or Declared()
    paths = list(dict.fromkeys(path for given in inputs for path in files_in(given)))
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name[:80]}.") as name:
        folder = Path(name)
        skipped: Counter[str] = Counter()
        parts, read, damaged = _read(paths, format, reading, folder, skipped, progress)
        here = [target] if target.exists() else []
        if here:
            with polars_errors(target, advice="give another -o FILE, or remove it"):
                check_layout(pl.read_parquet_schema(target), target)
        progress("comparing the answers", 0.75)
        keys = _keys([*here, *parts], len(here))
        found = int((~keys["old"]).sum())
        keys, renumbered = _sampled(keys, repeats)
        kept = _without_identical(keys)
        if repeats == "samples":
            kept, moved = _numbered_on(kept)
            renumbered |= moved
        else:
            _refuse_contradictions(kept, [*here, *parts])
        told = _declared_for(kept, declared)
        new = kept.filter(~pl.col("old")).height
        unchanged = bool(here) and not new and not _told_anew(kept, told)
        kept_file = target if unchanged else _written(kept, told, [*here, *parts], folder, progress)
        summary = Imported(
            file=str(target),
            models=kept["model"].n_unique(),
            prompts=kept["prompt_id"].n_unique(),
            answers=kept.height,
            new=new,
            identical=found - new,
            repeats=len(renumbered),
            damaged_characters=damaged,
            skipped=dict(sorted(skipped.items())),
            inputs=tuple(read),
        )
        if kept_file is not target:
            if target.exists():
                shutil.copymode(target, kept_file)
            kept_file.replace(target)
    progress("done", 1.0)
    return summary


# ---------------------------------------------------------------------------------------------------------- 1. reading


def _read(
    paths: Sequence[Path], format: str, reading: Reading, folder: Path, skipped: Counter[str], progress: Progress
) -> tuple[list[Path], list[Input], int]:
    """Parts, what was read, and how many characters were damaged (halves of surrogate pairs)."""
    by_format: dict[str, dict[str, Path]] = {}
    for path in paths:
        if format == "auto":
            name = recognised(path)
        elif format == "table" and path.suffix == ".parquet" and not reading.columns and table.is_own_layout(path):
            name = OWN
        else:
            name = format
        if path.suffix not in table.SUFFIXES and name == table.NAME:
            raise UsageError(
                "a table's name tells its kind", exhibit=str(path), advice=f"give it one of {', '.join(table.SUFFIXES)}"
            )
        by_format.setdefault(name, {}).setdefault(_digest(path), path)
    parts: list[Path] = []
    read: list[Input] = []
    damaged, done, total = 0, 0, sum(len(files) for files in by_format.values())
    for name, files in sorted(by_format.items()):
        groups = [files] if name == "openai-batch" else [{digest: path} for digest, path in files.items()]
        for group in groups:
            first = next(iter(group.values()))
            share = 0.7 * done / total

            def tell(what: str, _share: float, share: float = share) -> None:
                progress(what, share)

            tell(f"reading {first.name}", share)
            made, bad = _of_group(name, group, reading, folder, skipped, tell)
            damaged += bad
            counts = _counts(made)
            if not sum(counts.values()):
                raise MalformedSource(
                    "no answers in it" + "".join(f"; skipped {number} {why}" for why, number in skipped.items()),
                    exhibit=str(first),
                    advice="check the file and --format",
                )
            parts += made
            for digest, path in group.items():
                answers = sum(counts.values()) if name == OWN else counts.get(digest, 0)
                read.append(Input(path=str(path), format=name, sha256=digest, answers=answers))
            done += len(group)
    return parts, read, damaged


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceNotFound(
            f"cannot be read: {error.strerror or error}", exhibit=str(path), advice="check the path and its permissions"
        ) from error


def _counts(parts: Sequence[Path]) -> dict[str, int]:
    if not parts:
        return {}
    counted = pl.scan_parquet(list(parts)).group_by("source_sha256").len().collect(engine="streaming")
    return {str(digest): int(number) for digest, number in counted.iter_rows()}


def _of_group(
    name: str, group: Mapping[str, Path], reading: Reading, folder: Path, skipped: Counter[str], progress: Progress
) -> tuple[list[Path], int]:
    digest, path = next(iter(group.items()))
    if name == OWN:
        with polars_errors(path):
            check_layout(pl.read_parquet_schema(path), path)
            part = folder / f"{digest[:16]}-own.parquet"
            _complete(pl.scan_parquet(path).select(*SCHEMA), path).sink_parquet(part)
        return [part], 0
    if name == table.NAME:
        return list(table.parts(path, reading, digest, folder, skipped)), 0
    module = FORMATS[name]
    digests = {path: digest for digest, path in group.items()}
    damaged = 0
    parts = []

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal damaged
        for answer in module.answers(list(digests), reading, skipped, progress):
            made = row(answer, reading, digests[answer.source])
            if made["text"] != answer.text:
                damaged += sum(a != b for a, b in zip(made["text"], answer.text, strict=True))
            yield made

    for number, batch in enumerate(_batches(rows())):
        progress(f"reading {path.name}, after {number * BATCH_ROWS:,} answers", 0.0)
        part = folder / f"{digest[:16]}-{number:05}.parquet"
        try:
            frame_of(batch).write_parquet(part, compression="lz4")
        except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
            raise MalformedSource(
                f"a value cannot be stored: {str(error)[:160]}", exhibit=str(path), advice="check the file"
            ) from error
        parts.append(part)
    return parts, damaged


def _complete(frame: pl.LazyFrame, path: Path) -> pl.LazyFrame:
    empty = frame.filter(pl.any_horizontal(pl.col("model", "prompt_id", "sample").is_null())).select(pl.len())
    if empty.collect(engine="streaming").item():
        raise MalformedSource(
            "rows without model, prompt or sample", exhibit=str(path), advice="import its source again"
        )
    return frame


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    characters = 0
    for each in rows:
        batch.append(each)
        characters += len(each["text"]) + len(each["prompt"]) + len(each["log_probabilities"] or "")
        if len(batch) >= BATCH_ROWS or characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


# ---------------------------------------------------------------------------------------------------------- 2. keys


def _keys(files: Sequence[Path], old: int) -> pl.DataFrame:
    """One row per answer, without its texts: two 64-bit digests stand for text and answer, `bytes` for their length."""
    content = pl.struct(said(), "answer")
    frames = [
        pl.scan_parquet(file)
        .select(
            "model",
            "lineage",
            "lab",
            "prompt_id",
            "sample",
            "source_sha256",
            content.hash(seed=1).alias("one"),
            content.hash(seed=2).alias("two"),
            pl.sum_horizontal(pl.col("text", "prompt", "log_probabilities").str.len_bytes())
            .fill_null(0)
            .alias("bytes"),
            (pl.col("gold").is_null().cast(pl.Int8) + pl.col("log_probabilities").is_null().cast(pl.Int8)).alias(
                "gaps"
            ),
            pl.lit(at < old).alias("old"),
        )
        .collect(engine="streaming")
        for at, file in enumerate(files)
    ]
    keys = pl.concat(frames).with_row_index("row")
    nameless = keys.filter(pl.col("model").is_null() | (pl.col("model").str.strip_chars() == ""))
    if nameless.height:
        raise MalformedSource(
            f"{nameless.height} answers are of no model",
            exhibit=str(files[-1].name),
            advice="give --model or --model-column",
        )
    return keys


def _sampled(keys: pl.DataFrame, repeats: str) -> tuple[pl.DataFrame, set[int]]:
    """Samples where the files count none: 0, or with 'samples' as many as there are answers to one prompt in one file."""
    if repeats != "samples":
        return keys.with_columns(pl.col("sample").fill_null(0)), set()
    # What was read before under the same name is there, under numbers that need not be those of its file.
    there = keys.filter("old").select("model", "source_sha256").unique()
    fresh = keys.filter(~pl.col("old")).join(there, on=["model", "source_sha256"], how="anti")
    keys = pl.concat([keys.filter("old"), fresh])
    uncounted, counted = keys.filter(pl.col("sample").is_null()), keys.filter(pl.col("sample").is_not_null())
    # In the order of their content, not of the lines: the order of the inputs decides nothing.
    numbered = uncounted.sort("one", "two", "row").with_columns(
        pl.int_range(pl.len()).over("source_sha256", "model", "prompt_id").cast(pl.Int32).alias("sample")
    )
    return pl.concat([counted, numbered]).sort("row"), set(numbered.filter(pl.col("sample") > 0)["row"].to_list())


def _without_identical(keys: pl.DataFrame) -> pl.DataFrame:
    """Each answer once; of identical ones the old, the most complete, then the first by digest of its source."""
    ordered = keys.sort(~pl.col("old"), "gaps", "source_sha256", "row")
    return ordered.unique(["model", "prompt_id", "sample", "one", "two"], keep="first", maintain_order=True)


def _numbered_on(kept: pl.DataFrame) -> tuple[pl.DataFrame, set[int]]:
    """Answers in contradiction become further samples: of one number the first by content stays, the others are counted on."""
    place = ["model", "prompt_id"]
    ordered = kept.sort(*place, "sample", ~pl.col("old"), "one", "two")
    ordered = ordered.with_columns(
        (pl.int_range(pl.len()).over(*place, "sample") > 0).alias("moved"),
        pl.col("sample").max().over(*place).alias("last"),
    )
    ordered = ordered.with_columns(
        pl.when("moved")
        .then(pl.col("last") + pl.col("moved").cast(pl.Int32).cum_sum().over(*place))
        .otherwise("sample")
        .alias("sample")
    )
    return ordered, set(ordered.filter("moved")["row"].to_list())


def _refuse_contradictions(kept: pl.DataFrame, files: Sequence[Path]) -> None:
    place = ["model", "prompt_id", "sample"]
    several = kept.filter(pl.len().over(place) > 1).sort(*place, "row")
    if not several.height:
        return
    shown = several.filter(
        pl.struct(place).is_in(several.select(place).unique(maintain_order=True)[:_SHOWN].to_struct().implode())
    )
    texts = (
        pl.scan_parquet(list(files), row_index_name="row")
        .select(pl.col("row").cast(pl.UInt32), "item", "text", "answer")
        .filter(pl.col("row").is_in(shown["row"].implode()))
        .collect(engine="streaming")
    )
    told = []
    for (model, prompt, sample), rows in shown.join(texts, on="row").group_by(place, maintain_order=True):
        item = rows["item"][0] or prompt
        said = " / ".join(_said(text, answer) for text, answer in rows.select("text", "answer").head(3).iter_rows())
        told.append(f"{model}, {item}, sample {sample}: {said}")
    number = several.select(place).n_unique()
    more = f"; and {number - len(told)} more" if number > len(told) else ""
    raise UsageError(
        f"{number} prompts have two different answers of one model: {'; '.join(told)}{more}",
        advice="--repeats samples keeps them as repeated answers; --prompts-by item tells apart items whose prompts read alike",
    )


def _said(text: str, answer: str | None) -> str:
    shown = repr(text[:40] + ("…" if len(text) > 40 else "")) if text else ""
    return f"{shown} (answer {answer[:40]!r})" if answer is not None else shown or "no answer"


# ---------------------------------------------------------------------------------------------------- lineages and labs


def read_lineages(path: Path) -> dict[str, tuple[str, str]]:
    """Model to (lineage, lab), from JSON {model: lineage} or {model: {lineage, lab}}, or CSV with these columns.

    Raises MalformedSource, SourceNotFound.
    """
    found: dict[str, tuple[str, str]] = {}
    if path.suffix == ".csv":
        check_text_file(path)
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
        except (csv.Error, UnicodeDecodeError) as error:
            raise _bad_lineages(path, f"not readable CSV: {error}") from error
        if rows and "model" not in rows[0]:
            raise _bad_lineages(path, "there is no column 'model'")
        entries: list[tuple[Any, Any, Any]] = [(each["model"], each.get("lineage"), each.get("lab")) for each in rows]
    else:
        value = whole_json(path)
        value = value.get("models", value) if isinstance(value, dict) else value
        if not isinstance(value, dict):
            raise _bad_lineages(path, "this is no JSON object")
        entries = [
            (model, told, "") if isinstance(told, str) else (model, *_pair(told, model, path))
            for model, told in value.items()
        ]
    for model, lineage, lab in entries:
        told_of = (str(lineage or "").strip(), str(lab or "").strip())
        if found.get(model, told_of) != told_of:
            raise _bad_lineages(path, f"{str(model)[:80]!r} stands there twice, with different words")
        found[str(model)] = told_of
    return found


def _pair(told: Any, model: str, path: Path) -> tuple[Any, Any]:
    if not isinstance(told, dict) or not any(isinstance(told.get(key), str) for key in ("lineage", "lab")):
        raise _bad_lineages(path, f"{model[:80]!r} has neither 'lineage' nor 'lab'")
    return told.get("lineage"), told.get("lab")


def _bad_lineages(path: Path, told: str) -> MalformedSource:
    advice = 'JSON {"MODEL": {"lineage": "...", "lab": "..."}}, or CSV with the columns model,lineage,lab'
    return MalformedSource(told, exhibit=str(path), advice=advice)


def _declared_for(kept: pl.DataFrame, declared: Declared) -> pl.DataFrame:
    """Model, lineage, lab: what is declared now, else what the tables say. Raises UsageError where they disagree."""
    rows = []
    for (model,), group in kept.group_by("model", maintain_order=True):
        said = {}
        now = declared.of_models.get(str(model), (declared.lineage, declared.lab))
        for name, chosen in zip(("lineage", "lab"), now, strict=True):
            known = sorted({str(each) for each in group[name].to_list() if each})
            if not chosen and len(known) > 1:
                raise UsageError(
                    f"{model} is declared to be of the {name} {' and of '.join(known)}",
                    advice="say which with --lineages FILE",
                )
            said[name] = chosen or (known[0] if known else "")
        rows.append({"model": str(model), **said})
    return pl.DataFrame(rows, schema={"model": pl.String, "lineage": pl.String, "lab": pl.String})


def _told_anew(kept: pl.DataFrame, told: pl.DataFrame) -> bool:
    before = kept.select("model", pl.col("lineage", "lab").fill_null("")).unique()
    return before.sort("model").rows() != told.sort("model").rows()


# ---------------------------------------------------------------------------------------------------------- 3. writing


def _written(kept: pl.DataFrame, told: pl.DataFrame, files: Sequence[Path], folder: Path, progress: Progress) -> Path:
    """The ordered table, in the temporary folder."""
    chosen = kept.select(pl.col("row"), pl.col("sample"))
    bunches = list(_bunches(kept))
    ordered = []
    for number, models in enumerate(bunches):
        progress("ordering the answers", 0.8 + 0.15 * number / len(bunches))
        part = folder / f"ordered-{number:05}.parquet"
        (
            pl.scan_parquet(list(files), row_index_name="row")
            .filter(pl.col("model").is_in(models))
            .drop("sample", "lineage", "lab")
            .with_columns(pl.col("row").cast(pl.UInt32))
            .join(chosen.lazy(), on="row")
            .join(told.lazy(), on="model")
            .select(*SCHEMA)
            .collect(engine="streaming")
            .sort("model", "prompt_id", "sample")
            .write_parquet(part, row_group_size=20_000)
        )
        ordered.append(part)
    if len(ordered) == 1:
        return ordered[0]
    whole = folder / "whole.parquet"
    pl.scan_parquet(ordered).sink_parquet(whole, row_group_size=20_000)
    return whole


def _bunches(kept: pl.DataFrame) -> Iterator[list[str]]:
    """Models in order, so many at a time that their texts fit."""
    sizes = kept.group_by("model").agg(pl.col("bytes").sum()).sort("model")
    bunch: list[str] = []
    size = 0
    for model, number in sizes.iter_rows():
        if bunch and size + number > BUNCH_BYTES:
            yield bunch
            bunch, size = [], 0
        bunch.append(model)
        size += number
    if bunch:
        yield bunch
