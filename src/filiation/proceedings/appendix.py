"""Side by side: what reference and suspect answered to the same prompts, the pairs with the longest shared passages first."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from filiation.case.records import Manifest
from filiation.case.view import AnswersSideBySide
from filiation.errors import RecordError
from filiation.measures.passages import shared_passages, words_of
from filiation.sources.transcripts import SCHEMA, Transcript

if TYPE_CHECKING:
    import polars as pl

MOST_ANSWERS = 12
"""Pairs that are shown."""

AT_LEAST = 6
"""Words of a shared passage; shorter ones are everybody's."""

MOST_ROWS = 10_000_000
MOST_BYTES = 4_000_000_000
"""Answers of a file, and bytes of text, beyond which nothing of it is shown side by side."""

MOST_COMPARED = 2_000
"""Prompts that are looked through, those with the smallest ids: nobody chose them."""


def side_by_side(reference: Transcript, suspect: Transcript) -> tuple[AnswersSideBySide, ...]:
    """The first answers to common prompts; where nothing long is shared, still the first pairs, so that nobody has to guess."""
    first, second = _first_answers(reference), _first_answers(suspect)
    pairs = []
    for prompt in sorted(set(first) & set(second))[:MOST_COMPARED]:
        (asked, one), (_, other) = first[prompt], second[prompt]
        passages = sorted(
            shared_passages(words_of(one), words_of(other), AT_LEAST),
            key=lambda passage: (-passage.words, passage.start),
        )
        longest = passages[0].words if passages else 0
        shared = tuple(dict.fromkeys(one[passage.start : passage.end] for passage in passages))
        pairs.append((-longest, prompt, AnswersSideBySide(prompt=asked, reference=one, suspect=other, shared=shared)))
    return tuple(pair for _, _, pair in sorted(pairs, key=lambda each: each[:2])[:MOST_ANSWERS])


def _unpacked(data: bytes, model: str) -> Transcript | None:
    """The answers of one model (of all, where none is named) in a table; None where there are none, or more than can be held."""
    import polars as pl

    rows = pl.scan_parquet(io.BytesIO(data)).select(*SCHEMA)
    if not _can_be_unpacked(rows):
        return None
    frame = (rows.filter(pl.col("model") == model) if model else rows).collect()
    return Transcript(frame) if frame.height else None


def _can_be_unpacked(rows: pl.LazyFrame) -> bool:
    """Whether a table takes no more room than a machine has: a few hundred bytes of a hostile case may unpack to terabytes."""
    import polars as pl

    if int(rows.select(pl.len()).collect().item()) > MOST_ROWS:
        return False
    texts = rows.select((pl.col("prompt").str.len_bytes() + pl.col("text").str.len_bytes()).cast(pl.Int64).sum())
    return int(texts.collect().item() or 0) <= MOST_BYTES


def _first_answers(transcript: Transcript) -> dict[str, tuple[str, str]]:
    """Prompt id to prompt and first answer, where both texts were recorded."""
    rows = transcript.frame.unique("prompt_id", keep="first", maintain_order=True)
    columns = (rows["prompt_id"].to_list(), rows["prompt"].to_list(), rows["text"].to_list())
    return {prompt: (asked, text) for prompt, asked, text in zip(*columns, strict=True) if text}


def transcript_in(parts: Sequence[Manifest], asked: Mapping[str, str], read: Mapping[str, bytes]) -> Transcript | None:
    """The recorded answers of an exhibit from the case's own bytes, None where it has none inside. `asked`: exhibit to object."""
    import polars as pl

    for part in parts:
        sha256 = asked.get(part.exhibit) or next(
            (file.sha256 for file in part.files if part.kind == "transcript" and part.inside), ""
        )
        if not sha256 or sha256 not in read:
            continue
        try:
            return _unpacked(read[sha256], part.model)
        except pl.exceptions.PolarsError as error:
            raise RecordError(
                f"the recorded answers cannot be read: {error}",
                exhibit=part.exhibit,
                advice="they are not what this program recorded: run filiation case verify",
            ) from error
    return None
