"""Kinship of log-probabilities: do two models find the same things likelier than other models do?

Everybody finds common words likely. What is compared is therefore what is left of log-probabilities of fixed texts when the mean over
the models present is taken from each item (a token in its place, or a whole text), and each model's own mean over the items
(some models are better throughout). An item on which models differ much would outweigh the rest, so each is brought to one
spread. The score of a pair is the correlation of what is left: about -1/(n - 1) for strangers among n models, near 1 for a copy.

The score has no law of its own: suspects are ranked among control lineages (statistics/line_up.py), all measured alike; the suspect
is one of the models present like any other. Models of one tokenizer are compared token by token, others by whole texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filiation.evidence import Absent
from filiation.sources.source import Source
from filiation.sources.transcripts import SCORED
from filiation.strict_json import json_or_none

Matrix = NDArray[np.float64]
Scores = dict[tuple[str, int], float]
"""Prompt id and number of the text, to its natural log-likelihood."""

FEWEST_MODELS = 3
MOST_NATS = 1_000_000
"""Per byte; more is no likelihood of a text, and no whole number that every reader of a record holds exactly."""
MOST_BYTES = 1 << 40
LEAST_SPREAD = 0.1
"""Of the median item's spread; an item on which all agree would otherwise be blown up to nothing but rounding."""


def per_text(log_likelihoods: Sequence[Matrix], texts: Sequence[str]) -> Matrix:
    """One item per text: the natural log-likelihood per byte, whatever the tokens. Raises ValueError for an empty text."""
    sizes = np.array([len(text.encode()) for text in texts], dtype=np.float64)
    if not sizes.all():
        raise ValueError("a text without bytes has no log-likelihood per byte")
    return np.array([values.sum() for values in log_likelihoods]) / sizes


def kinship(values: Matrix) -> Matrix:
    """Models x items of log-probabilities, to models x models of correlations of what is left; the diagonal is 1.

    Raises ValueError for fewer than three models: two of them always lie on opposite sides of their mean.
    """
    if len(values) < FEWEST_MODELS:
        raise ValueError(f"kinship is measured among {FEWEST_MODELS} models or more, not {len(values)}")
    left = values - values.mean(axis=0)
    # A mean would carry one wild item into all of a model's others.
    left = left - np.median(left, axis=1, keepdims=True)
    spread = left.std(axis=0)
    left = left / np.maximum(spread, max(LEAST_SPREAD * float(np.median(spread)), np.finfo(np.float64).tiny))
    left = left - left.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(left, axis=1, keepdims=True)
    unit = left / np.maximum(lengths, np.finfo(np.float64).tiny)
    correlations: Matrix = unit @ unit.T
    np.fill_diagonal(correlations, 1.0)
    return correlations


def scores_of(source: Source) -> Scores:
    """The log-likelihoods of fixed texts that were recorded: of every option of a question, or of a text that was read whole.

    A row counts where every option was scored, of the first sample alone. A text that was cut is another text than the whole of it.
    """
    transcript = source.transcript()
    if isinstance(transcript, Absent):
        return {}
    rows = transcript.frame.select("prompt_id", "sample", "options", "log_probabilities", "parameters").iter_rows()
    found: Scores = {}
    for prompt, sample, options, recorded, parameters in rows:
        values = _values(recorded) if sample == 0 and options and not _was_cut(parameters) else []
        if len(values) == options:
            found |= {(prompt, at): value for at, value in enumerate(values)}
    return found


def _values(recorded: str | None) -> list[float]:
    """One finite number per option; nothing where one is missing."""
    try:
        values = [float(entry[1]) for entry in json_or_none(recorded or "[]")]
    except (TypeError, ValueError, LookupError, OverflowError):
        return []
    return values if all(np.isfinite(values)) else []


def per_byte(source: Source, scale: int = 1_000_000) -> dict[str, int]:
    """Prompt id to the log-likelihood of that text per byte that was read, in 1/`scale`: whole numbers, so that ties are ties everywhere.

    Rows that scored one text, the prompt itself (`filiation score`), of the first sample; others are left out, and so are texts of which
    two rows say different things.
    """
    transcript = source.transcript()
    if isinstance(transcript, Absent):
        return {}
    rows = transcript.frame.filter(
        pl.col("sample") == 0, pl.col("options") == 1, pl.col("item").str.starts_with(f"{SCORED}:")
    )
    found: dict[str, set[int]] = {}
    for prompt, text, recorded, parameters in rows.select(
        "prompt_id", "prompt", "log_probabilities", "parameters"
    ).iter_rows():
        values, size = _values(recorded), _bytes_read(parameters, text)
        if len(values) == 1 and size and abs(values[0]) / size <= MOST_NATS:
            found.setdefault(prompt, set()).add(round(values[0] / size * scale))
    return {prompt: told.pop() for prompt, told in found.items() if len(told) == 1}


def _was_cut(parameters: str) -> bool:
    settings = json_or_none(parameters)
    return isinstance(settings, dict) and "cut_at_byte" in settings


def _bytes_read(parameters: str, text: str) -> int:
    """As recorded, where a text was cut; else all of it."""
    settings = json_or_none(parameters)
    told = settings.get("bytes") if isinstance(settings, dict) else None
    if told is None:
        return len(text.encode())
    return told if isinstance(told, int) and 0 < told < MOST_BYTES else 0
