"""Fixed texts held against a model that runs: how likely it finds each of them, as rows of a transcript.

Two kinds of rows, each with the text as its prompt:

    score:...   the log-likelihood of the whole text (natural logarithm): `log_probabilities` is [["", sum, []]], `options` is 1
    read:...    what the model makes of each token: [[piece, log-probability, [[likeliest piece, its log-probability], ...]], ...],
                pieces as the vocabulary spells them, as many of the likeliest as were asked for; nothing is known of the first token

A model that puts a token of its own before a text is given it, and the whole text is scored; with others the first token is what the
rest is given, and has no log-probability. A text that is longer than what the model reads at once is cut at the end of a token.
`parameters` tells what was read ('bytes' and 'tokens', 'cut_at_byte' where it was cut) and by whom ('model' and 'tokenizer' are
digests, 'dtype' is what was computed in, 'likeliest' how many tokens where it is more than one).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from filiation.errors import MalformedSource, UsageError
from filiation.sources.marks import PREFIX as MARKS
from filiation.sources.marks import marks_at
from filiation.sources.running import Reading, RunningModel
from filiation.sources.transcript_formats.json_files import check_text_file, json_lines
from filiation.sources.transcripts import (
    EMPTY,
    READ,
    SCHEMA,
    SCORED,
    canonical_json,
    prompt_id,
    read_transcripts,
    storable,
)

SUBJECT = "subject.jsonl"
"""The texts that a lot was drawn over, in a folder of opened marks."""

TOGETHER = 16
"""Texts that are handed to the model at once; it makes batches of its own out of them."""

DIGITS = 6
"""Decimals of a recorded log-probability."""

FURTHER_DIGITS = 3
"""Those of the likeliest after the first: fifty for each token make a transcript large, and a thousandth of their value is enough."""

LIKELIEST = "likeliest"
"""In `parameters`, where it is more than one: how many of the likeliest tokens were asked for."""

FIELDS = ("text", "first", "second")
_LINES = 'give one JSON object per line, {"text": "..."} or {"first": "...", "second": "..."}'


@dataclass(frozen=True)
class FixedText:
    """A text and what it is called: 'FILE:LINE' or 'FILE:ID', and of twins ':first' or ':second'."""

    name: str
    text: str

    @property
    def prompt_id(self) -> str:
        return prompt_id(self.text)


@dataclass(frozen=True)
class Run:
    """Who reads, as it is recorded beside every figure. `predictions`: rows of the second kind instead of the first, with so many of the
    `likeliest` tokens at each place."""

    name: str
    lineage: str
    lab: str
    settings: Mapping[str, str]
    predictions: bool
    likeliest: int = 1

    @property
    def kind(self) -> str:
        return READ if self.predictions else SCORED


# --------------------------------------------------------------------------------------------------------------- texts


def read_texts(places: Sequence[str]) -> tuple[FixedText, ...]:
    """The texts at FILE.jsonl, FILE.txt (one text) or marks:FOLDER (what a lot was drawn over), each once.

    Raises SourceNotFound, MalformedSource; UsageError where there is none.
    """
    found: dict[str, FixedText] = {}
    for place in places:
        for text in _texts_at(place):
            found.setdefault(text.prompt_id, text)
    if not found:
        raise UsageError("there is no text to be scored", advice="give --texts FILE.jsonl")
    return tuple(found.values())


def _texts_at(place: str) -> list[FixedText]:
    if place.startswith(MARKS):
        return _texts_of_marks(Path(place.removeprefix(MARKS)).expanduser())
    path = Path(place).expanduser()
    if path.suffix in (".jsonl", ".ndjson"):
        return _texts_of_lines(path, path.stem)
    if path.suffix != ".txt":
        raise UsageError("texts are read from .jsonl, .txt or marks:FOLDER", exhibit=place, advice=_LINES)
    check_text_file(path)
    try:
        return [FixedText(path.stem, path.read_bytes().decode("utf-8-sig"))]
    except UnicodeDecodeError as error:
        raise MalformedSource("this is not text in UTF-8", exhibit=place, advice="save it as UTF-8") from error


def _texts_of_marks(folder: Path) -> list[FixedText]:
    if marks_at(folder) and not (folder / SUBJECT).is_file():
        raise UsageError(
            f"these marks have no {SUBJECT}: there are no texts to be scored",
            exhibit=f"{MARKS}{folder}",
            advice="give the folder that 'filiation lot open' wrote of an order or of twins",
        )
    return _texts_of_lines(folder / SUBJECT, folder.resolve().name)


def _texts_of_lines(path: Path, stem: str) -> list[FixedText]:
    return [text for number, line in json_lines(path) for text in _texts_of_line(path, stem, number, line)]


def _texts_of_line(path: Path, stem: str, number: int, line: Mapping[str, Any]) -> Iterator[FixedText]:
    fields = [field for field in FIELDS if field in line]
    if fields not in (["text"], ["first", "second"]):
        raise MalformedSource(f"line {number} holds no text", exhibit=str(path), advice=_LINES)
    called = f"{stem}:{line.get('id') or number}"
    for field in fields:
        value = line[field]
        if not isinstance(value, str) or not value.strip():
            raise MalformedSource(
                f"line {number}: {field!r} is empty or no text", exhibit=str(path), advice="leave empty texts out"
            )
        yield FixedText(called if field == "text" else f"{called}:{field}", value)


# ------------------------------------------------------------------------------------------------------ gone on with


def rows_in(path: Path, run: Run) -> tuple[pl.DataFrame, set[str]]:
    """What a transcript holds already, and the ids of the texts that need not be read again; both empty where there is none.

    Raises UsageError where what stands there under this name is of another model, of other settings or of the other kind.
    """
    if not path.exists():
        return pl.DataFrame(schema=SCHEMA), set()
    frame = read_transcripts(path)
    own = frame.filter(pl.col("model") == run.name)
    for item, told in own.select("item", "parameters").iter_rows():
        other = _contradiction(run, item, told)
        if other:
            raise UsageError(
                f"it holds rows of {run.name!r} {other}", exhibit=str(path), advice="give --name, or another --out"
            )
    return frame, set(own["prompt_id"].to_list())


def _contradiction(run: Run, item: str, told: str) -> str:
    """What keeps a row and this run apart, in words; empty where nothing does."""
    if not item.startswith(f"{run.kind}:"):
        return "of another kind: scores and predictions are not kept in one file"
    recorded = json.loads(told)
    other = [key for key, value in run.settings.items() if recorded.get(key) != value]
    if run.predictions and recorded.get(LIKELIEST, 1) != run.likeliest:
        other.append("number of the likeliest tokens")
    return f"that were made with another {other[0]}" if other else ""


# ------------------------------------------------------------------------------------------------------------- scoring


def scored(model: RunningModel, texts: Sequence[FixedText], run: Run, done: Collection[str] = ()) -> Iterator[Rows]:
    """The rows of the texts that are not done, some at a time.

    Raises UsageError where the model has no tokenizer, MalformedSource where what it computes is no number.
    """
    left = [text for text in texts if text.prompt_id not in done]
    for start in range(0, len(left), TOGETHER):
        some = left[start : start + TOGETHER]
        yield _rows(model, some, run)


@dataclass(frozen=True)
class Rows:
    """Rows in SCHEMA, how many texts were cut, and how many were left out because nothing of them could be scored."""

    frame: pl.DataFrame
    cut: int
    left_out: int


def _rows(model: RunningModel, texts: Sequence[FixedText], run: Run) -> Rows:
    parts = [fitting(model, text.text) for text in texts]
    tokens = [model.tokenise(part) for part in parts]
    long_enough = [at for at, ids in enumerate(tokens) if len(ids) > 1]
    told = _told(model, [tokens[at] for at in long_enough], run)
    rows = [
        _row(texts[at], parts[at], len(tokens[at]), values, run) for at, values in zip(long_enough, told, strict=True)
    ]
    cut = sum(len(parts[at]) < len(texts[at].text) for at in long_enough)
    return Rows(pl.DataFrame(rows, schema=SCHEMA), cut, len(texts) - len(long_enough))


def fitting(model: RunningModel, text: str) -> str:
    """The text, or as much of its beginning as the model reads at once, cut at the end of a token."""
    size = len(model.tokenise(text))
    if not model.context or size <= model.context:
        return text
    ends = model.token_ends(text)
    keep = len(ends) - (size - model.context)
    while keep > 0:
        part = text[: int(ends[keep - 1])]
        if len(model.tokenise(part)) <= model.context:  # what is cut may be spelt with other tokens, and with more
            return part
        keep -= 1
    raise UsageError(
        f"a text of {size} tokens cannot be cut to {model.context}", exhibit=model.name, advice="give shorter texts"
    )


def _told(model: RunningModel, tokens: Sequence[Any], run: Run) -> list[list[Any]]:
    """What is recorded of each text as log-probabilities."""
    if run.predictions:
        return [_read(model, reading) for reading in model.readings(tokens, run.likeliest)]
    return [[["", round(float(_finite(values, model).sum()), DIGITS), []]] for values in model.log_likelihoods(tokens)]


def _read(model: RunningModel, reading: Reading) -> list[Any]:
    values, best = _finite(reading.values, model), _finite(reading.likeliest_values, model)
    pieces, most = model.pieces(reading.tokens), reading.likeliest.shape[1]
    predicted = model.pieces(reading.likeliest.reshape(-1))
    rest = [
        [piece, round(float(value), DIGITS), _alternatives(predicted[at * most : (at + 1) * most], best[at])]
        for at, (piece, value) in enumerate(zip(pieces[1:], values, strict=True))
    ]
    return [[pieces[0], None, []], *rest]


def _alternatives(pieces: Sequence[str], values: Any) -> list[list[Any]]:
    return [
        [piece, round(float(value), FURTHER_DIGITS if at else DIGITS)]
        for at, (piece, value) in enumerate(zip(pieces, values, strict=True))
    ]


def _finite(values: Any, model: RunningModel) -> Any:
    if np.isfinite(values).all():
        return values
    raise MalformedSource(
        "what it computes is no number: a log-probability is not finite",
        exhibit=model.name,
        advice="try --dtype float32; where that is what was tried, the weights are damaged",
    )


def _row(text: FixedText, part: str, tokens: int, values: list[Any], run: Run) -> dict[str, Any]:
    size = len(part.encode())
    read: dict[str, Any] = {"bytes": size, "tokens": tokens}
    if len(part) < len(text.text):
        read["cut_at_byte"] = size
    if run.likeliest > 1:
        read[LIKELIEST] = run.likeliest
    empty: dict[str, Any] = dict.fromkeys(SCHEMA)
    return empty | {
        **EMPTY,
        "model": run.name,
        "lineage": run.lineage,
        "lab": run.lab,
        "item": f"{run.kind}:{text.name}",
        "prompt_id": text.prompt_id,
        "prompt": storable(text.text),
        "sample": 0,
        "options": None if run.predictions else 1,
        "finish_reason": READ if run.predictions else None,
        "log_probabilities": json.dumps(values, ensure_ascii=False, separators=(",", ":")),
        "parameters": canonical_json({**run.settings, **read}),
    }
