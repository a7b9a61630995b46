"""Recorded answers of models whose descent is known: strangers choose words apart, others open or answer as somebody else does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from filiation.evidence import Examination
from filiation.investigation import compare
from filiation.sources.transcripts import SCHEMA, prompt_id

PROMPTS = 60
WORDS = 60


def model(
    name: str, *, opens_like: str = "", repeats: str = "", share: float = 1.0, lab: str = "", lineage: str = ""
) -> pl.DataFrame:
    """`opens_like`: whose first eight words it takes over; `repeats`: whose whole answers; each at a share of the prompts."""
    rng = np.random.default_rng([7, *name.encode()])
    blank: dict[str, object] = dict.fromkeys(SCHEMA)
    rows = []
    for prompt in range(PROMPTS):
        words = _words(name, prompt)
        if opens_like and rng.random() < share:
            words = [*_words(opens_like, prompt)[:8], *words[8:]]
        if repeats and rng.random() < share:
            words = _words(repeats, prompt)
        asked = f"question {prompt}"
        rows.append(
            blank
            | {"model": name, "lineage": lineage or name, "lab": lab or f"lab of {name}", "item": "", "sample": 0}
            | {"prompt_id": prompt_id(asked), "prompt": asked, "text": " ".join(words), "parameters": "{}"}
            | {"source_sha256": ""}
        )
    return pl.DataFrame(rows, schema=SCHEMA)


def _words(name: str, prompt: int) -> list[str]:
    """Opening words are few, so that strangers share some; the others are many."""
    rng = np.random.default_rng([*name.encode(), prompt])
    opening = rng.integers(0, 6, size=8)
    rest = rng.integers(0, 400, size=WORDS - 8)
    return [f"o{word}" for word in opening] + [f"p{prompt}w{word}" for word in rest]


def compared(folder: Path, frames: list[pl.DataFrame], only: str, **settings: str | int) -> Examination:
    """The first frame as reference against the second, among the others."""
    file = folder / "answers.parquet"
    pl.concat(frames).sort("model", "prompt_id", "sample").write_parquet(file)
    first, second = (frame["model"][0] for frame in frames[:2])
    return compare(
        f"transcripts:{file}#{first}",
        f"transcripts:{file}#{second}",
        [f"transcripts:{file}"],
        only=[only],
        parameters={only: {"packs": "none", **settings}},
    )
