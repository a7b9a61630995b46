"""How much two models answer alike, beyond what any two models do: one score per pair of the models that are present.

    1. Per prompt and channel: the rarity-weighted phrases that two answers share. A phrase that d of the m answers to this
       prompt have weighs log((m + 1) / d): what all say tells nothing about two of them (Spärck Jones 1972).
    2. Per prompt and channel: ranks over all pairs of models, so that no prompt and no channel counts for more than another.
    3. The mean over prompts of the equally weighted channels, for each pair.
    4. Additive model effects removed (some models agree with everybody), then divided by the geometric mean of the two models'
       spreads, so that one row can be compared with another.

Every model that is present takes part in each step in the same way, the reference, the suspect and controls alike: without
that a rank among controls would not be valid. The matrix is symmetric. Per-prompt values are never given a chance of their
own (docs/examiners/text_kinship.md): the pair of models is the unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import rankdata

from filiation.measures.text_features import STRUCTURE, Features, HashSets

VERSION = "1"

WEIGHTS: dict[str, float] = {"word-3": 1.0, "word-6": 1.0, "character-5": 1.0, "opening": 1.0, "closing": 1.0}
"""The channels that are combined, with equal weights; `studies.text_kinship` prints what others would give."""

BY_SHORTER = frozenset({"word-3"})
"""Channels divided by the shorter answer's weight instead of by the geometric mean: told briefly or at length, it is the same."""

SIMILARITIES = ("word-3", "word-6", "character-5", "opening", "closing", "structure", "length")
"""All that can be computed; 'structure' and 'length' are there for studies."""

FEWEST_MODELS = 8
"""With fewer models present no effects can be told apart from the pair: all scores are then 0."""

Pairs = NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """One answer per row; `model` and `prompt` are positions. At most one answer per model and prompt."""

    features: Features
    model: NDArray[np.intp]
    prompt: NDArray[np.intp]


def pairs_of(models: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pairs i < j of so many models, in the order of every pair array here."""
    first, second = np.triu_indices(models, 1)
    return first, second


def by_prompt(
    answers: Answers,
    models: int,
    prompts: int,
    similarities: Sequence[str] = tuple(WEIGHTS),
    measure: Callable[[Features, str], NDArray[np.float32]] | None = None,
) -> Iterator[tuple[int, dict[str, Pairs]]]:
    """Prompt by prompt, the rank of every pair by every similarity (`ranked`); NaN where one of the two did not answer.

    `measure(answers to one prompt, name)` is `similarity` unless a study brings its own. Answers without a word count as not
    given. Prompts that fewer than FEWEST_MODELS answered are left out.
    """
    given = np.flatnonzero(answers.features.whole != 0)
    order = given[np.lexsort((answers.model[given], answers.prompt[given]))]
    bounds = np.searchsorted(answers.prompt[order], np.arange(prompts + 1))
    place = np.full((models, models), -1, dtype=np.intp)
    first, second = pairs_of(models)
    place[first, second] = np.arange(len(first))
    for prompt in range(prompts):
        rows = order[bounds[prompt] : bounds[prompt + 1]]
        if len(rows) < FEWEST_MODELS:
            continue
        present = answers.model[rows]
        inside = pairs_of(len(rows))
        targets = place[present[inside[0]], present[inside[1]]]
        here = answers.features.take(rows)
        found = {}
        for name in similarities:
            values = np.full(len(first), np.nan, dtype=np.float32)
            values[targets] = ranked((measure or similarity)(here, name)[inside])
            found[name] = values
        yield prompt, found


def ranked(values: NDArray[np.floating]) -> Pairs:
    """Ranks as shares of all, less one half: between -1/2 and 1/2, larger is closer; equal values share one rank."""
    # Float32 sums differ in their last digits from machine to machine; what is equal to six digits is a tie.
    rounded = np.round(values.astype(np.float64), 6)
    shares: Pairs = ((rankdata(rounded) - 0.5) / len(values) - 0.5).astype(np.float32)
    return shares


def similarity(here: Features, name: str) -> NDArray[np.float32]:
    """One similarity between all answers to one prompt, m x m, larger is closer. Raises KeyError on an unknown name."""
    if name == "length":
        length = np.log1p(here.words.astype(np.float32))[:, None]
        return _closeness(length)
    if name == "structure":
        # Words, characters and lines are the answer's length, which is no habit of structure.
        habits = np.log1p(here.structure[:, STRUCTURE.index("paragraphs") :].astype(np.float32))
        return _closeness(habits)
    return shared_rarity(here.sets[name], by_shorter=name in BY_SHORTER)


def _closeness(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    apart: NDArray[np.float32] = np.abs(rows[:, None, :] - rows[None, :, :]).sum(axis=2)
    return -apart


def shared_rarity(sets: HashSets, *, by_shorter: bool = False) -> NDArray[np.float32]:
    """Rarity-weighted agreement of every two of m sets, m x m: the cosine, or the share of the smaller set."""
    size = len(sets)
    distinct, which, holders = np.unique(sets.hashes, return_inverse=True, return_counts=True)
    weight = np.log((size + 1) / holders).astype(np.float32)
    owner = np.repeat(np.arange(size), sets.sizes)
    total = np.bincount(owner, (weight * weight)[which], minlength=size).astype(np.float32)
    shared = holders[which] > 1
    table = sparse.csr_matrix((weight[which][shared], (owner[shared], which[shared])), shape=(size, len(distinct)))
    both = (table @ table.T).toarray()
    scale = np.minimum(total[:, None], total[None, :]) if by_shorter else np.sqrt(total[:, None] * total[None, :])
    agreement: NDArray[np.float32] = (both / np.maximum(scale, np.float32(1e-6))).astype(np.float32)
    return agreement


# ------------------------------------------------------------------------------------------------------------- together


def combined(
    answers: Answers,
    models: int,
    prompts: int,
    weights: Mapping[str, float] = WEIGHTS,
    progress: Callable[[float], None] = lambda _share: None,
) -> Pairs:
    """Prompts x pairs: the weighted sum of the channels' ranks; NaN where a pair did not answer both."""
    values = np.full((prompts, len(pairs_of(models)[0])), np.nan, dtype=np.float32)
    for prompt, found in by_prompt(answers, models, prompts, tuple(weights)):
        values[prompt] = sum(np.float32(weight) * found[name] for name, weight in weights.items())
        if prompt % 50 == 0:
            progress(prompt / prompts)
    return values


def kinship(values: Pairs, models: int, weight: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
    """The score of every pair, models x models, symmetric, diagonal 0. `weight`: how often each prompt counts.

    Values are prompts x pairs, as `combined` gives them. A pair without a common prompt counts as an average one.
    """
    counted = np.ones(len(values), dtype=np.float32) if weight is None else weight.astype(np.float32)
    known = np.isfinite(values)
    if known.all():
        mean = (counted @ values) / max(float(counted.sum()), 1.0)
    else:
        times = counted @ known.astype(np.float32)
        mean = np.divide(counted @ np.where(known, values, 0), times, out=np.zeros_like(times), where=times > 0)
    return standardised(mean.astype(np.float64), models)


def standardised(mean: NDArray[np.float64], models: int) -> NDArray[np.float64]:
    """Pair means with additive model effects removed and divided by the models' spreads; all 0 below FEWEST_MODELS models."""
    matrix = np.zeros((models, models))
    if models < FEWEST_MODELS:
        return matrix
    matrix[pairs_of(models)] = mean
    matrix += matrix.T
    matrix = without_model_effects(matrix)
    off = matrix[~np.eye(models, dtype=np.bool_)].reshape(models, models - 1)
    # The median of absolute deviations: a model's few relatives must not widen its spread.
    spread = 1.4826 * np.median(np.abs(off - np.median(off, axis=1, keepdims=True)), axis=1)
    spread = np.maximum(spread, max(1e-9, 0.1 * float(np.median(spread))))
    matrix = matrix / np.sqrt(spread[:, None] * spread[None, :])
    np.fill_diagonal(matrix, 0.0)
    return matrix


def without_model_effects(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares: m_ij = a_i + a_j + rest, over all i != j of a symmetric matrix with zero diagonal; returns the rest."""
    size = len(matrix)
    effect = matrix.sum(axis=1) / (size - 2) - matrix.sum() / (2 * (size - 1) * (size - 2))
    rest: NDArray[np.float64] = matrix - (effect[:, None] + effect[None, :])
    np.fill_diagonal(rest, 0.0)
    return rest
