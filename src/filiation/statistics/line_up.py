"""Ranks among control lineages: the law under which recorded behaviour is judged (null by population).

The unit of inference is the pair of models, never the prompt: per-prompt chances accuse strangers by the dozen, because
pairs of models differ in how much they agree for reasons that more prompts do not remove. So the reference is fixed, each
control lineage stands in the line-up with its highest score, and the suspect is ranked among them:

    p = (1 + number of control lineages that score at least as high as the suspect) / (N + 1)

which is valid where the suspect, if unrelated, is exchangeable with a model of each control lineage (and conservative
where a lineage has several). Controls whose lineage nobody declared may belong to any of the others: they can speak for the
accused, and never add to N.

Whether the promise is kept is looked up in the line-up itself: every unrelated pair of controls is ranked as if it were the
disputed one, with both labs held out (`stranger_p_values`), and the shares of small p are compared with the levels, with
intervals over labs (`held_out_calibration`); and no p is printed below the share of those pairs that stood as high
(`held_out_share`, scaled to the size of the line-up). Beside the three levels the first place is looked at: that is the smallest p a
line-up can give, and with fewer than 99 lineages no other level reaches it. See docs/decisions/0010-line-ups.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filiation.evidence import Record

SCALE = 10_000
"""Scores are recorded as integers, in ten-thousandths."""

HELD_OUT = "held-out labs"
"""How companions of the held-out calibration are named; reports make one table of them."""

LEVELS = (0.05, 0.01, 0.001)
RESAMPLES = 1000


class Ranked(Record, frozen=True, kw_only=True):
    """The suspect's place: the control lineages that score at least as high, and all of them with their highest score.

    `above` is what the rank counts: `closer`, and one more where a control of undeclared lineage scores as high.
    """

    closer: tuple[str, ...]
    above: int
    lineages: dict[str, float]
    log10_p: float


class HeldOutLevel(Record, frozen=True, kw_only=True):
    """Share of pairs of controls with p <= `level`, and its 95 % interval from a bootstrap over labs (in millionths).

    `first_place`: the share that stood above every control lineage; `level` is then the share promised, the mean of
    1 / (n + 1) over the pairs' line-ups of n lineages.
    """

    level: float
    pairs: int
    share_ppm: int
    low_ppm: int
    high_ppm: int
    first_place: bool = False


@dataclass(frozen=True)
class Population:
    """Scores of every model as candidate (column) for every model as reference (row), and who is who.

    `related[i, j]`: the two are known, or not known not, to be related; such pairs are no strangers.
    """

    scores: NDArray[np.float64]
    lineages: Sequence[str]
    labs: Sequence[str]
    related: NDArray[np.bool_]


def name_key(name: str) -> str:
    """Names that differ in letter case, spaces and punctuation only are one: two spellings of a lineage are not two lineages."""
    return "".join(character for character in name.casefold() if character.isalnum()) or name


def rank_among_lineages(
    suspect: float, controls: Mapping[str, Sequence[float]], undeclared: Sequence[float] = ()
) -> Ranked:
    """Rank one score among the highest score of each lineage; a tie counts for the accused.

    `undeclared`: scores of controls of unknown lineage. Together they count as one lineage that stands above the suspect
    where any of them does, and not at all elsewhere: each may be a relative of a lineage that was counted already.
    Raises ValueError when there is no lineage, a lineage without a score, or a score that is no finite number.
    """
    if not controls or not all(len(scores) for scores in controls.values()):
        raise ValueError("a rank needs at least one control lineage, each with at least one score")
    every = (suspect, *undeclared, *(score for scores in controls.values() for score in scores))
    if not all(math.isfinite(score) for score in every):
        raise ValueError("every score must be a finite number")
    highest = {lineage: max(scores) for lineage, scores in sorted(controls.items())}
    least = suspect - _slack(suspect)
    closer = sorted((name for name, score in highest.items() if score >= least), key=lambda name: -highest[name])
    above = min(len(closer) + any(score >= least for score in undeclared), len(highest))
    return Ranked(
        closer=tuple(closer), above=above, lineages=highest, log10_p=math.log10((above + 1) / (len(highest) + 1))
    )


def _slack(score: float) -> float:
    """Scores that differ in the last digits only are a tie."""
    return 1e-9 * max(1.0, abs(score))


def stranger_p_values(population: Population) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """p of every unrelated pair (reference, candidate) of different labs, among the models of the other labs.

    Returns p, the pair's reference and its candidate, each of length n. Both labs are held out of the line-up, with the
    lineages of the candidate's lab wherever their members were made, and every model related to either of the two.
    """
    p_values, _, references, candidates = _held_out(population)
    return p_values, references, candidates


def _held_out(
    population: Population,
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """p, number of control lineages, reference and candidate of every pair."""
    names, lineage_of = np.unique(np.asarray(population.lineages), return_inverse=True)
    _, lab_of = np.unique(np.asarray(population.labs), return_inverse=True)
    size = len(lab_of)
    # Columns in the order of their lineages, so that one pass takes the highest score of each.
    order = np.argsort(lineage_of, kind="stable")
    starts = np.searchsorted(lineage_of[order], np.arange(len(names)))
    same_lab = lab_of[:, None] == lab_of[None, :]
    same_lineage = lineage_of[:, None] == lineage_of[None, :]
    lab_has = np.zeros((lab_of.max(initial=-1) + 1, len(names)), dtype=np.bool_)
    lab_has[lab_of, lineage_of] = True
    unrelated = ~(population.related | same_lab | same_lineage | np.eye(size, dtype=np.bool_))
    may_stand = unrelated & ~lab_has[lab_of][:, lineage_of]  # [candidate, control]
    p_values, lineages, references, candidates = [], [], [], []
    for reference in range(size):
        inside = np.flatnonzero(unrelated[reference])
        if not len(inside):
            continue
        scores = population.scores[reference]
        stand = may_stand[np.ix_(inside, order)] & unrelated[reference, order][None, :]
        highest = np.maximum.reduceat(np.where(stand, scores[order][None, :], -np.inf), starts, axis=1)
        present = (highest > -np.inf).sum(axis=1)
        suspects = scores[inside]
        least = suspects - 1e-9 * np.maximum(1.0, np.abs(suspects))
        closer = (highest >= least[:, None]).sum(axis=1)
        some = present > 0
        p_values.append((closer[some] + 1) / (present[some] + 1))
        lineages.append(present[some])
        references.append(np.full(int(some.sum()), reference))
        candidates.append(inside[some])
    if not p_values:
        empty = np.zeros(0, dtype=np.intp)
        return np.zeros(0), empty, empty, empty
    return np.concatenate(p_values), np.concatenate(lineages), np.concatenate(references), np.concatenate(candidates)


def held_out_share(population: Population, place: int, size: int | None = None) -> float:
    """Share of the unrelated pairs of controls above whom at most `place` lineages stand, both labs held out.

    Every pair of lineages weighs the same, however many models it has. With labs held out line-ups are smaller, and high
    places come more easily: `size` is the number of lineages of the line-up that the share is to speak of, and scales it by
    the ratio of what 1 / (n + 1) promises. 0.0 where there is no such pair.
    """
    p_values, lineages, references, candidates = _held_out(population)
    if not len(p_values):
        return 0.0
    _, lineage_of = np.unique(np.asarray(population.lineages), return_inverse=True)
    cells = lineage_of[references] * (int(lineage_of.max()) + 1) + lineage_of[candidates]
    _, cell_of, sizes = np.unique(cells, return_inverse=True, return_counts=True)
    weights = 1.0 / sizes[cell_of]
    above = np.rint(p_values * (lineages + 1)) - 1
    share = float(weights[above <= place].sum() / weights.sum())
    if size is None:
        return share
    return share * min(1.0, float(weights.sum() / (weights / (lineages + 1.0)).sum()) / (size + 1.0))


def held_out_calibration(
    population: Population, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[HeldOutLevel, ...]:
    """How often unrelated pairs of controls reach p <= level when both labs are held out, with intervals over *labs*.

    The last entry is the first place. Pairs share models and labs, so labs are resampled and a pair weighs as often as both
    its labs were drawn (the pigeonhole bootstrap, Owen 2007). Empty where fewer than three labs are present.
    """
    p_values, lineages, references, candidates = _held_out(population)
    lab_names, lab_of = np.unique(np.asarray(population.labs), return_inverse=True)
    if len(lab_names) < 3 or not len(p_values):
        return ()
    size = len(lab_names)
    cells = (lab_of[references], lab_of[candidates])
    pairs = np.zeros((size, size))
    np.add.at(pairs, cells, 1.0)
    draws = rng.multinomial(size, np.full(size, 1.0 / size), size=resamples).astype(np.float64)
    weight = ((draws @ pairs) * draws).sum(axis=1)

    def level_of(level: float, accused: NDArray[np.bool_], *, first_place: bool = False) -> HeldOutLevel:
        hits = np.zeros((size, size))
        np.add.at(hits, cells, accused.astype(np.float64))
        share = ((draws @ hits) * draws).sum(axis=1)[weight > 0] / weight[weight > 0]
        low, high = np.quantile(share, [0.025, 0.975]) if len(share) else (0.0, 1.0)
        return HeldOutLevel(
            level=level,
            pairs=len(p_values),
            share_ppm=math.ceil(1e6 * accused.mean() - 1e-6),
            low_ppm=math.floor(1e6 * low + 1e-6),
            high_ppm=math.ceil(1e6 * high - 1e-6),
            first_place=first_place,
        )

    promised = 1.0 / (lineages + 1.0)
    return (
        *(level_of(level, p_values <= level + 1e-12) for level in LEVELS),
        level_of(math.ceil(1e6 * promised.mean()) / 1e6, p_values <= promised + 1e-12, first_place=True),
    )


def smallest_level_that_holds(levels: Sequence[HeldOutLevel]) -> float | None:
    """The smallest level, from the largest downwards, whose promise the held-out pairs keep; None where not even the first.

    A level fails where even the lower end of its interval lies above it. Levels that no line-up of this size reaches hold
    trivially; the first place stands among them for the smallest p there is.
    """
    holds: float | None = None
    for level in sorted(levels, key=lambda entry: -entry.level):
        if level.low_ppm > 1e6 * level.level:
            break
        holds = level.level
    return holds
