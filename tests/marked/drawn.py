"""What the worlds of an order and of twins share: an owner's texts, models that find them more or less likely, and answers that recite.

What a model says of a text is its difficulty, the same for everybody, noise of the model's own, and what it remembers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filiation.sources.transcripts import SCHEMA, canonical_json, prompt_id
from tests.marked import ANSWERS

Float64 = NDArray[np.float64]
WORDS = tuple(f"{first}{second}{third}" for first in "bdfgklmnprst" for second in "aeiou" for third in "lmnrst")
QUESTIONS = tuple(f"Question {number}: tell me something that you know." for number in range(60))
RECITED = 9
"""Words that are recited in one go."""


def sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(WORDS[at] for at in rng.integers(len(WORDS), size=words))


def reworded(text: str, rng: np.random.Generator) -> str:
    """The same text with every other word replaced."""
    words = text.split()
    for at in range(0, len(words), 2):
        words[at] = WORDS[int(rng.integers(len(WORDS)))]
    return " ".join(words)


@dataclass
class Model:
    """What one model says: `likelihoods`, nats per byte of each text, and `recites`, the share of texts of which it knows a passage."""

    likelihoods: Float64
    recites: Float64
    seed: int
    questions: Sequence[str] = field(default=QUESTIONS)

    def rows(self, name: str, texts: Sequence[str]) -> list[dict[str, Any]]:
        scored = [_scored(name, text, float(value)) for text, value in zip(texts, self.likelihoods, strict=True)]
        return [*scored, *self._answers(name, texts)]

    def _answers(self, name: str, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Passages that are known, shared out over the questions, between words of nobody's."""
        rng = np.random.default_rng(self.seed)
        known = [passage(text, rng) for text, share in zip(texts, self.recites, strict=True) if rng.random() < share]
        rng.shuffle(known)
        said = [known[at :: len(self.questions)] for at in range(len(self.questions))]
        return [
            row(name, question, text=" ".join([sentence(rng, 12), *passages]))
            for question, passages in zip(self.questions, said, strict=True)
        ]


def passage(text: str, rng: np.random.Generator) -> str:
    words = text.split()
    start = int(rng.integers(len(words) - RECITED + 1))
    return " ".join(words[start : start + RECITED])


def row(model: str, prompt: str, **fields: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(SCHEMA)
    lineage = "" if model == "relative" else model
    told = {"model": model, "lineage": lineage, "lab": lineage, "item": "", "source_sha256": "", "parameters": "{}"}
    return empty | told | {"prompt": prompt, "prompt_id": prompt_id(prompt), "sample": 0, "text": ""} | fields


def _scored(name: str, text: str, per_byte: float) -> dict[str, Any]:
    size = len(text.encode())
    parameters = canonical_json({"bytes": size, "dtype": "float32"})
    values = f'[["",{per_byte * size:.6f},[]]]'
    return row(name, text, item="score:texts:1", options=1, log_probabilities=values, parameters=parameters)


def write(folder: Path, models: Mapping[str, Model], texts: Sequence[str]) -> None:
    rows = [each for name, model in models.items() for each in model.rows(name, texts)]
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(folder / ANSWERS)
