"""The texts that a person names, as token ids: plain text, recorded answers, or what `watermark generate` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from filiation.cli.watermark.key import read_bytes
from filiation.errors import MalformedSource, UsageError
from filiation.evidence import Record
from filiation.measures.watermarks import Tokens
from filiation.sources.tokenising import token_ids, tokenizer_of

MOST_TOKENS = (1 << 31) - 1
"""No vocabulary is larger: a number beyond it is no token."""


class Answer(Record, frozen=True, kw_only=True):
    """One line of what `watermark generate` writes: token ids without the prompt, and their text."""

    prompt: str
    ids: tuple[Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)], ...]
    text: str


@dataclass(frozen=True)
class Given:
    """Token ids, one array per text; `retokenised` where they were made from text."""

    ids: tuple[Tokens, ...]
    retokenised: bool


def read_texts(places: Sequence[str], tokenizer: Path | None, *, from_text: bool) -> Given:
    """The texts at FILE, FILE.jsonl of 'watermark generate', or FILE.parquet#MODEL of recorded answers.

    `from_text`: tokenise the text of generated answers although their ids are known, as anybody else would have to.
    """
    ids: list[Tokens] = []
    texts: list[str] = []
    for place in places:
        if place.endswith(".jsonl"):
            answers = _generated(Path(place))
            if from_text:
                texts += [answer.text for answer in answers]
            else:
                ids += [np.array(answer.ids, dtype=np.int64) for answer in answers]
        elif ".parquet" in place:
            texts += _recorded(place)
        else:
            texts.append(plain_text(Path(place)))
    if texts:
        if tokenizer is None:
            raise UsageError("text needs --tokenizer", advice="give tokenizer.json of the model that was marked")
        ids += token_ids(load_tokenizer(tokenizer), texts)
    return Given(tuple(ids), retokenised=bool(texts))


def load_tokenizer(tokenizer: Path) -> Any:
    """The tokenizer of a tokenizer.json, or of a folder that has one."""
    file = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
    return tokenizer_of(read_bytes(file), str(file))


def _generated(file: Path) -> list[Answer]:
    lines = read_bytes(file).splitlines()
    try:
        return [msgspec.json.decode(line, type=Answer) for line in lines if line.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedSource(
            f"not what 'watermark generate' writes: {error}", exhibit=str(file), advice="give plain text as .txt"
        ) from error


def _recorded(place: str) -> list[str]:
    import polars as pl

    from filiation.sources.transcripts import read_transcripts, split_location

    path, model = split_location(place)
    frame = read_transcripts(path)
    chosen = frame.filter(pl.col("model") == model) if model else frame
    if not chosen.height:
        raise UsageError(f"{model!r} is none of its models", exhibit=str(path), advice="see 'transcripts show'")
    return [text for text in chosen["text"].to_list() if text]


def plain_text(file: Path) -> str:
    """A text in UTF-8, its line ends as one line feed each. Raises MalformedSource."""
    try:
        return read_bytes(file).decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise MalformedSource("this is not text in UTF-8", exhibit=str(file), advice="save it as UTF-8") from error
