"""A small world of models that answer questions, with known relations: for tests of errors shared.

Every item has a difficulty and its own popular wrong answers; every model has an ability and, where asked, a habit of choosing one
option. A child gives its parent's answer with chance `kept`, and else its own. Nothing else connects two models.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filiation.measures.shared_errors import NOT_ANSWERED, RIGHT, WRONG
from filiation.sources.transcripts import SCHEMA, prompt_id


def codes_of(
    rng: np.random.Generator,
    models: int,
    items: int,
    *,
    children: dict[int, tuple[int, float]] | None = None,
    wrong_answers: int = 9,
    habits: dict[int, tuple[int, float]] | None = None,
    unanswered: float = 0.03,
) -> NDArray[np.int64]:
    """Codes, models x items. `children[model] = (parent, kept)`; `habits[model] = (option, share of its wrong answers)`."""
    ability = rng.normal(0.0, 1.0, models)
    difficulty = rng.normal(0.3, 1.2, items)
    right = rng.random((models, items)) < 1 / (1 + np.exp(difficulty[None, :] - ability[:, None]))
    popularity = rng.dirichlet(np.full(wrong_answers, 0.5), size=items)
    cumulated = popularity.cumsum(axis=1)
    chosen = (rng.random((models, items, 1)) > cumulated[None]).sum(axis=2).clip(0, wrong_answers - 1)
    for model, (option, share) in (habits or {}).items():
        chosen[model] = np.where(rng.random(items) < share, option, chosen[model])
    codes = np.where(right, RIGHT, WRONG + chosen)
    codes[rng.random((models, items)) < unanswered] = NOT_ANSWERED
    for child, (parent, kept) in (children or {}).items():
        codes[child] = np.where(rng.random(items) < kept, codes[parent], codes[child])
    return codes.astype(np.int64)


def write_transcripts(
    path: Path,
    codes: NDArray[np.int64],
    *,
    names: list[str],
    lineages: list[str],
    labs: list[str],
    options: int = 0,
    benchmark: str = "quiz",
    append: bool = False,
) -> Path:
    """The codes as recorded answers in the layout of `transcripts import`; wrong answers are words or option positions."""
    rows = []
    for model, row in enumerate(codes):
        for item, code in enumerate(row):
            name = f"{benchmark}:{item}"
            right = item % options if options else f"right {item}"
            wrong = int(code) - WRONG
            # Positions of wrong options go round the right one.
            stated = (right + 1 + wrong) % options if options and isinstance(right, int) else f"wrong {item} {wrong}"
            rows.append(
                {
                    **dict.fromkeys(SCHEMA),
                    "model": names[model],
                    "lineage": lineages[model],
                    "lab": labs[model],
                    "item": name,
                    "prompt_id": prompt_id(name),
                    "prompt": "",
                    "sample": 0,
                    "text": "",
                    "answer": None if code == NOT_ANSWERED else str(right if code == RIGHT else stated),
                    "gold": str(right),
                    "options": options or None,
                    "parameters": "{}",
                    "source_sha256": "",
                }
            )
    frame = pl.DataFrame(rows, schema=SCHEMA)
    if append:
        frame = pl.concat([pl.read_parquet(path), frame])
    frame.write_parquet(path)
    return path


def population(models: int, per_lab: int = 2) -> tuple[list[str], list[str], list[str]]:
    """Names, lineages and labs of so many models: every model a lineage of its own, `per_lab` of them to a lab."""
    return (
        [f"model-{at}" for at in range(models)],
        [f"lineage-{at}" for at in range(models)],
        [f"lab-{at // per_lab}" for at in range(models)],
    )
