"""Recorded answers of models: one table layout (Parquet), and the source that reads one model's part of it.

Whatever the answers were recorded with, they are imported into the columns of `SCHEMA` (see docs/transcripts.md; the
readers are in `transcript_formats/`). One row is one answer: `sample` counts repeated answers to one prompt from 0. Rows are
ordered by model, prompt and sample.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import rfc8785

from filiation.errors import MalformedSource, SourceNotFound, UsageError
from filiation.evidence import Absent, FileRecord, Identity
from filiation.sources.marks import NONE

SCHEMA: dict[str, Any] = {
    "model": pl.String,
    "lineage": pl.String,  # declared: which independent training the model comes from; '' where not declared
    "lab": pl.String,  # declared: who made it; '' where not declared
    "item": pl.String,  # the benchmark's own name of the prompt, 'task:id'; '' where there is none
    "prompt_id": pl.String,  # `prompt_id(prompt)`; of the item where the prompt's text was not recorded
    "prompt": pl.String,  # the text, or the messages as canonical JSON; '' where it was not recorded
    "sample": pl.Int32,
    "text": pl.String,
    "answer": pl.String,  # the answer extracted from the text, normalised; null where none was stated
    "gold": pl.String,  # the right answer; null where there is none
    "options": pl.Int32,  # number of options of a multiple choice; null for free-form answers
    "finish_reason": pl.String,  # 'stop', 'length' (truncated), ...; null where not recorded
    "log_probabilities": pl.String,  # JSON list of [token, log-probability, [[token, log-probability], ...]]; null
    "parameters": pl.String,  # canonical JSON of temperature, system prompt, ...; '{}' where not recorded
    "time": pl.String,  # ISO 8601, UTC; null where not recorded
    "source_sha256": pl.String,  # digest of the file, or of the raw exchange, that this row was read from
}
PREFIX = "transcripts:"

SCORED, READ = "score", "read"
"""What `item` begins with in rows of fixed texts (`sources.scoring`); the second is their `finish_reason`, too: nothing was said."""

REQUIRED = ("model", "prompt_id", "sample")
EMPTY = {"lineage": "", "lab": "", "item": "", "prompt": "", "text": "", "parameters": "{}", "source_sha256": ""}
"""What stands for 'not recorded' in the columns that hold no nulls."""

BOMB_ROWS = 1_000_000
"""From so many rows on a file has to have a byte for each: prompts alone take more, and repetition is packed a thousandfold."""

_LONE = re.compile("[\ud800-\udfff]")
_DIGEST_ROWS = 20_000


def prompt_id(prompt: str) -> str:
    """The name of a prompt: 16 hexadecimal digits of SHA-256 over its text in NFC, line ends as LF, outer space dropped."""
    text = unicodedata.normalize("NFC", prompt).replace("\r\n", "\n").replace("\r", "\n").strip()
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def storable(text: str) -> str:
    """`text` as UTF-8 can hold it: half of a surrogate pair, which is damage and no character, becomes U+FFFD."""
    return text if text.isascii() else _LONE.sub("\ufffd", text)


def canonical_json(value: Any) -> str:
    """RFC 8785, so that equal messages and parameters are equal strings; numbers that it cannot hold are written as text."""
    try:
        return rfc8785.dumps(value).decode()
    except (rfc8785.CanonicalizationError, UnicodeError):
        return rfc8785.dumps(_writable(value)).decode()


def _writable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {storable(str(key)): _writable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(each) for each in value]
    if isinstance(value, str):
        return storable(value)
    try:
        rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        return str(value)
    return value


def prompt_of_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Prompt and system prompt of a chat: one user message is its text, anything longer the messages as canonical JSON.

    The system prompt belongs to the parameters, so that the same question keeps one `prompt_id` under every format.
    """
    system, rest = [], list(messages)
    while rest and rest[0].get("role") in ("system", "developer"):
        system.append(plain_content(rest.pop(0).get("content")))
    if len(rest) == 1 and rest[0].get("role") == "user" and not set(rest[0]) - {"role", "content", "id", "type"}:
        content = rest[0].get("content")
        if isinstance(content, str) or is_text(content):
            return plain_content(content), "\n".join(system)
    return canonical_json(rest) if rest else "", "\n".join(system)


def is_text(content: Any) -> bool:
    """Whether a message's content is a list of nothing but pieces of text."""
    return isinstance(content, list) and all(
        isinstance(piece, Mapping) and isinstance(piece.get("text"), str) for piece in content
    )


def plain_content(content: Any) -> str:
    """The text of a message's content, whether it is a string or a list of pieces; other pieces as canonical JSON."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(piece["text"] for piece in content) if is_text(content) else canonical_json(content)


class Transcript:
    """All recorded answers of one model. `frame` has the columns of SCHEMA, in the one order that `in_order` gives them."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = in_order(frame)
        self.model = str(self.frame["model"][0])
        self.lineage = str(self.frame["lineage"][0] or "")
        self.lab = str(self.frame["lab"][0] or "")

    def texts(self) -> dict[str, tuple[str, ...]]:
        """Prompt id to the texts of its samples, in order."""
        grouped = self.frame.group_by("prompt_id", maintain_order=True).agg(pl.col("text"))
        keys, texts = grouped["prompt_id"].to_list(), grouped["text"].to_list()
        return {key: tuple(each) for key, each in zip(keys, texts, strict=True)}

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompt ids, in order."""
        return tuple(self.frame["prompt_id"].unique(maintain_order=True).to_list())

    @property
    def sha256(self) -> str:
        """Digest of what was asked and answered; names, times, origins and the numbering of samples do not enter.

        Of fixed texts that were read (`sources.scoring`) what was recorded of them enters in the place of an answer.
        Repeated answers are exchangeable, so they enter in the order of their text: two imports of the same answers in
        another order are the same transcript.
        """
        fields = self.frame.select("prompt_id", said(), "answer").sort("prompt_id", "text", "answer")
        # Every field is written with its length (-1 where absent), so that no two tables give the same bytes.
        lengths = pl.col("prompt_id", "text", "answer").str.len_bytes().cast(pl.Int64).fill_null(-1).cast(pl.String)
        row = fields.lazy().select(
            pl.concat_str(
                pl.concat_str(lengths, separator=","),
                *(pl.col(name).fill_null("") for name in ("prompt_id", "text", "answer")),
                separator=":",
            ).alias("row")
        )
        hasher = hashlib.sha256()
        rows = row.collect()["row"]
        for start in range(0, len(rows), _DIGEST_ROWS):
            hasher.update("".join(rows[start : start + _DIGEST_ROWS].to_list()).encode())
        return hasher.hexdigest()


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows by prompt_id and sample, whatever their order in the file.

    Rows numbered alike (a fault that 'transcripts validate' names) are ordered by a digest of what was said in them, so that neither the
    file nor the wording decides which comes first; rows that say the same, by what else was recorded.
    """
    numbered = ("prompt_id", "sample")
    if not frame.select(numbered).is_duplicated().any():
        return frame.sort(*numbered)
    words = frame.select("text", "answer", "log_probabilities").iter_rows()
    digests = [hashlib.sha256(json.dumps(row).encode()).hexdigest() for row in words]
    rest = [name for name in SCHEMA if name not in numbered]
    return frame.with_columns(pl.Series("digest", digests)).sort(*numbered, "digest", *rest).drop("digest")


def was_read() -> pl.Expr:
    """The rows of fixed texts that a model was made to read, and to which it said nothing."""
    return pl.col("item").str.contains(f"^(?:{SCORED}|{READ}):") & (pl.col("text").str.strip_chars() == "")


def said() -> pl.Expr:
    """The answer, or of a text that was read its log-probabilities: else all models that read the same would have said the same."""
    return pl.when(was_read()).then(pl.col("log_probabilities")).otherwise(pl.col("text")).alias("text")


ADVICE = "import the recorded answers with 'filiation transcripts import'"


@contextlib.contextmanager
def polars_errors(path: str | Path, what: str = "a readable Parquet file", advice: str = ADVICE) -> Iterator[None]:
    """Whatever polars raises over a broken file, as one MalformedSource; its panics are no `Exception`s."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, OverflowError) as error:
        told = " ".join(str(error).split())[:200]
        raise MalformedSource(f"this is not {what}: {told}", exhibit=str(path), advice=advice) from error


def check_layout(schema: Mapping[str, Any], path: str | Path) -> None:
    """Raises MalformedSource where a table's schema lacks a column of SCHEMA, or has it with another type."""
    wrong = [name for name, kind in SCHEMA.items() if schema.get(name) != kind]
    if wrong:
        raise MalformedSource(
            f"the columns {', '.join(wrong)} are missing or of another type", exhibit=str(path), advice=ADVICE
        )


@lru_cache(maxsize=8)
def _read(path: Path, _modified: int, size: int) -> pl.DataFrame:
    with polars_errors(path):
        check_layout(pl.read_parquet_schema(path), path)
        rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
        if rows > BOMB_ROWS and rows > size:
            raise MalformedSource(
                f"{rows} answers are said to stand in {size} bytes: it would fill the memory with repetitions",
                exhibit=str(path),
                advice=ADVICE,
            )
        frame = pl.read_parquet(path, columns=list(SCHEMA), glob=False)
    if not frame.height:
        raise MalformedSource("it holds no answers", exhibit=str(path), advice=ADVICE)
    empty = [name for name in REQUIRED if frame[name].null_count()]
    if empty:
        raise MalformedSource(
            f"the columns {', '.join(empty)} have rows without a value", exhibit=str(path), advice=ADVICE
        )
    return frame.select(*SCHEMA).with_columns(pl.col(name).fill_null(value) for name, value in EMPTY.items())


def read_transcripts(path: str | Path) -> pl.DataFrame:
    """The table in a Parquet file of this layout. Raises SourceNotFound or MalformedSource."""
    file = Path(path).expanduser()
    try:
        state = file.stat()
    except OSError as error:
        raise SourceNotFound(f"cannot be read: {error}", exhibit=str(path), advice="check the path") from error
    return _read(file.resolve(), state.st_mtime_ns, state.st_size)


def models_of(path: str | Path) -> tuple[str, ...]:
    """The models whose answers a file holds, in order."""
    return tuple(read_transcripts(path)["model"].unique(maintain_order=True).to_list())


class TranscriptSource:
    """One model's recorded answers: `transcripts:FILE#MODEL`. Everything but the transcript is `Absent`."""

    format = "transcript"

    def __init__(self, path: Path, model: str = "", *, name: str = "", lineage_id: str = "") -> None:
        self._path = path
        models = models_of(path)
        if not model and len(models) == 1:
            model = models[0]
        if model not in models:
            known = ", ".join(models[:12]) + (f" and {len(models) - 12} more" if len(models) > 12 else "")
            raise UsageError(
                f"{model!r} is none of its models" if model else f"it holds the answers of {len(models)} models",
                exhibit=f"{PREFIX}{path}",
                advice=f"give {PREFIX}{path}#MODEL with one of {known}",
            )
        self._transcript = Transcript(read_transcripts(path).filter(pl.col("model") == model))
        self.name = name or model
        self.location = f"{PREFIX}{path}#{model}"
        self.lineage_id = lineage_id or self._transcript.lineage

    def transcript(self) -> Transcript:
        return self._transcript

    def configuration(self) -> Mapping[str, Any] | Absent:
        return self._other("configuration")

    def tokenizer(self) -> Any:
        return self._other("tokenizer")

    def tensors(self) -> Any:
        return self._other("weights")

    def marks(self) -> Absent:
        return NONE

    def _other(self, part: str) -> Absent:
        return Absent(reason=f"these are recorded answers, without the model's {part}")

    def identity(
        self, everything: bool | None = None, progress: Callable[[str, float], None] = lambda _what, _share: None
    ) -> Identity:
        size = self._path.stat().st_size
        file = FileRecord(
            name=self._path.name, size=size, sha256=_file_sha256(self._path.resolve(), size), basis="read"
        )
        return Identity(
            name=self.name,
            format=self.format,
            lineage_id=self.lineage_id,
            lineage_basis="declared" if self.lineage_id else "unknown",
            files=(file,),
            content_id=self._transcript.sha256,
            bytes_total=size,
            bytes_read=size,
            coverage=1.0,
        )


@lru_cache(maxsize=64)
def _file_sha256(path: Path, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def split_location(location: str) -> tuple[Path, str]:
    """`transcripts:FILE#MODEL` as path and model; the model is empty where none is named.

    Both may hold '#': the file ends at the first one before which there is such a file, or at the first of all.
    """
    given = location.removeprefix(PREFIX)
    ends = [at for at, character in enumerate(given) if character == "#"]
    for end in (*ends, len(given)):
        file = Path(given[:end]).expanduser()
        if os.path.isfile(file):  # unlike Path.is_file, quiet about names too long to be one
            return file, given[end + 1 :]
    file_name, _, model = given.partition("#")
    return Path(file_name).expanduser(), model
