"""One answer as a format's reader gives it, and what the person who imports has said about the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import msgspec
import polars as pl

from filiation.errors import MalformedSource
from filiation.sources.transcripts import SCHEMA, canonical_json, prompt_id, storable

LogProbabilities = list[tuple[str, float | None, list[tuple[str, float | None]]]]
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. `sample` is None where the file does not count repeated answers; the rest as in `transcripts.SCHEMA`."""

    source: Path
    model: str
    text: str
    prompt: str = ""
    item: str = ""
    sample: int | None = None
    answer: str | None = None
    gold: str | None = None
    options: int | None = None
    finish_reason: str | None = None
    log_probabilities: LogProbabilities | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    time: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was declared about the files. `columns` maps a column of the layout to the columns of a table, joined by ':'."""

    model: str = ""
    task: str = ""
    prompts_by: str = "text"
    filter: str = ""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    no_answer: tuple[str, ...] = ()
    join: Path | None = None
    join_on: tuple[str, ...] = ()


class Format(Protocol):
    """A module of this folder."""

    NAME: str

    def answers(
        self, paths: Sequence[Path], reading: Reading, skipped: Counter[str], progress: Progress
    ) -> Iterator[Answer]: ...


def item_of(task: str, name: Any) -> str:
    """'task:id'; empty where there is no id."""
    if name is None or name == "":
        return ""
    return f"{task}:{name}" if task else str(name)


def text_of(value: Any, what: str, path: Path) -> str:
    """A string that the file must hold. Raises MalformedSource."""
    if isinstance(value, str):
        return value
    kind = "missing" if value is None else f"of type {type(value).__name__}, not text"
    raise MalformedSource(f"{what} is {kind}", exhibit=str(path), advice="check the format (--format) and the file")


def mapping_of(value: Any, what: str, path: Path) -> Mapping[str, Any]:
    """An object that the file must hold. Raises MalformedSource."""
    if isinstance(value, Mapping):
        return value
    raise MalformedSource(
        f"{what} is no JSON object", exhibit=str(path), advice="check the format (--format) and the file"
    )


def elements_of(value: Any) -> Sequence[Any]:
    """A list that a file may hold: what is anything else is an empty one."""
    return value if isinstance(value, list) else ()


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list that a file may hold; anything else is left out."""
    return [each for each in elements_of(value) if isinstance(each, Mapping)]


def list_of(value: Any, what: str, path: Path) -> Sequence[Any]:
    """A list that the file must hold. Raises MalformedSource."""
    if isinstance(value, list):
        return value
    raise MalformedSource(f"{what} is no list", exhibit=str(path), advice="check the format (--format) and the file")


def utc(when: Any) -> str | None:
    """ISO 8601 in UTC, of a string in ISO 8601 or of seconds since 1970; None where neither, or without a time zone."""
    try:
        if isinstance(when, str):
            moment = datetime.fromisoformat(when.replace("Z", "+00:00"))
        elif isinstance(when, int | float) and not isinstance(when, bool) and when > 0:
            moment = datetime.fromtimestamp(when, UTC)
        else:
            return None
        if moment.tzinfo is None:
            return None
        return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(maxsize=65536)
def _prompt_id(prompt: str) -> str:
    return prompt_id(prompt)


def row(answer: Answer, reading: Reading, digest: str) -> dict[str, Any]:
    """An answer as a row of the layout; `sample` may still be None. Raises MalformedSource."""
    prompt, item = storable(answer.prompt), storable(answer.item)
    named = item if item and (reading.prompts_by == "item" or not prompt.strip()) else prompt
    if not named.strip():
        raise MalformedSource(
            f"an answer of {answer.model[:80]!r} belongs to no prompt: neither its text nor an item is there",
            exhibit=str(answer.source),
            advice="name the column or file that holds the prompts, or --task",
        )
    return {
        "model": storable(answer.model),
        "lineage": "",
        "lab": "",
        "item": item,
        "prompt_id": _prompt_id(named),
        "prompt": prompt,
        "sample": answer.sample,
        "text": storable(answer.text),
        "answer": None if answer.answer is None else storable(answer.answer),
        "gold": None if answer.gold is None else storable(answer.gold),
        "options": answer.options,
        "finish_reason": None if answer.finish_reason is None else storable(answer.finish_reason),
        "log_probabilities": _told(answer.log_probabilities),
        "parameters": _parameters(answer.parameters),
        "time": answer.time,
        "source_sha256": digest,
    }


def _parameters(given: Mapping[str, Any]) -> str:
    # Of texts only: 1, 1.0 and True are one key of a cache, and three values in JSON.
    if all(isinstance(value, str) for value in given.values()):
        return _canonical(tuple(given.items()))
    return canonical_json(given)


@lru_cache(maxsize=256)
def _canonical(items: tuple[tuple[str, str], ...]) -> str:
    return canonical_json(dict(items))


def _told(log_probabilities: LogProbabilities | None) -> str | None:
    if log_probabilities is None:
        return None
    stored = [
        (storable(token), value, [(storable(other), chance) for other, chance in others])
        for token, value, others in log_probabilities
    ]
    return msgspec.json.encode(stored).decode()


def frame_of(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a table in the layout."""
    return pl.DataFrame(list(rows), schema=SCHEMA)
