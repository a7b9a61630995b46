"""Recorded answers of models: one table layout (Parquet), and the source that reads one model's part of it.

Whatever the answers were recorded with, they are imported into the columns of `SCHEMA` (see docs/transcripts.md). One row
is one answer: `sample` counts repeated answers to one prompt from 0. Rows are ordered by model, prompt and sample.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from filiation.errors import MalformedSource, SourceNotFound, UsageError
from filiation.evidence import Absent, FileRecord, Identity

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


def prompt_id(prompt: str) -> str:
    """The name of a prompt: 16 hexadecimal digits of SHA-256 over its text in NFC, line ends as LF, outer space dropped."""
    text = unicodedata.normalize("NFC", prompt).replace("\r\n", "\n").replace("\r", "\n").strip()
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Transcript:
    """All recorded answers of one model. `frame` has the columns of SCHEMA, ordered by prompt_id and sample."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame.sort("prompt_id", "sample")
        self.model = str(frame["model"][0])
        self.lineage = str(frame["lineage"][0] or "")
        self.lab = str(frame["lab"][0] or "")

    def texts(self) -> dict[str, tuple[str, ...]]:
        """Prompt id to the texts of its samples, in order."""
        grouped = self.frame.group_by("prompt_id", maintain_order=True).agg(pl.col("text"))
        return {key: tuple(texts) for key, texts in grouped.iter_rows()}

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompt ids, in order."""
        return tuple(self.frame["prompt_id"].unique(maintain_order=True).to_list())

    @property
    def sha256(self) -> str:
        """Digest of what was asked and answered; names, times and origins of the rows do not enter."""
        hasher = hashlib.sha256()
        for row in self.frame.select("prompt_id", "sample", "text", "answer").iter_rows():
            for field in row:
                data = b"\0" if field is None else str(field).encode("utf-8", "surrogatepass")
                hasher.update(len(data).to_bytes(8, "big") + data)
        return hasher.hexdigest()


@lru_cache(maxsize=8)
def _read(path: Path, _modified: int, _size: int) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise MalformedSource(
            f"this is not a readable Parquet file: {str(error)[:200]}",
            exhibit=str(path),
            advice="import the recorded answers with 'filiation transcripts import'",
        ) from error
    wrong = [name for name, kind in SCHEMA.items() if name not in frame.columns or frame.schema[name] != kind]
    if wrong:
        raise MalformedSource(
            f"the columns {', '.join(wrong)} are missing or of another type",
            exhibit=str(path),
            advice="import the recorded answers with 'filiation transcripts import'",
        )
    return frame.select(*SCHEMA)


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
    """`transcripts:FILE#MODEL` as path and model; the model is empty where none is named."""
    file, _, model = location.removeprefix(PREFIX).partition("#")
    return Path(file).expanduser(), model
