"""Ranks among control lineages: the law under which recorded behaviour is judged (null by population).

The unit of inference is the pair of models, never the prompt: per-prompt chances accuse strangers by the dozen, because
pairs of models differ in how much they agree for reasons that more prompts do not remove. So the reference is fixed, each
control lineage stands in the line-up with its highest score, and the suspect is ranked among them:

    p = (1 + number of control lineages that score at least as high as the suspect) / (N + 1)

which is valid where the suspect, if unrelated, is exchangeable with a model of each control lineage (and conservative
where a lineage has several).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filiation.evidence import Record

LEVELS = (0.05, 0.01, 0.001)
RESAMPLES = 1000


class Ranked(Record, frozen=True, kw_only=True):
    """The suspect's place: the control lineages that score at least as high, and all of them with their highest score."""

    closer: tuple[str, ...]
    lineages: dict[str, float]
    log10_p: float


class HeldOutLevel(Record, frozen=True, kw_only=True):
    """Share of pairs of controls with p <= `level`, and its 95 % interval from a bootstrap over labs (in millionths)."""

    level: float
    pairs: int
    share_ppm: int
    low_ppm: int
    high_ppm: int


@dataclass(frozen=True)
class Population:
    """Scores of every model as candidate (column) for every model as reference (row), and who is who.

    `related[i, j]`: the two are known, or not known not, to be related; such pairs are no strangers.
    """

    scores: NDArray[np.float64]
    lineages: Sequence[str]
    labs: Sequence[str]
    related: NDArray[np.bool_]


def rank_among_lineages(suspect: float, controls: Mapping[str, Sequence[float]]) -> Ranked:
    """Rank one score among the highest score of each lineage; a tie counts for the accused. Raises ValueError when empty."""
    if not controls or not all(controls.values()):
        raise ValueError("a rank needs at least one control lineage, each with at least one score")
    highest = {lineage: max(scores) for lineage, scores in sorted(controls.items())}
    slack = 1e-9 * max(1.0, abs(suspect))
    closer = sorted((name for name, score in highest.items() if score >= suspect - slack), key=lambda n: -highest[n])
    return Ranked(closer=tuple(closer), lineages=highest, log10_p=math.log10((len(closer) + 1) / (len(highest) + 1)))


def stranger_p_values(population: Population) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """p of every unrelated pair (reference, candidate) of different labs, among the models of the other labs.

    Returns p, the pair's reference and its candidate, each of length n. Both labs are held out of the line-up.
    """
    lineages, labs = np.asarray(population.lineages), np.asarray(population.labs)
    names, lineage_of = np.unique(lineages, return_inverse=True)
    p_values, references, candidates = [], [], []
    for reference in range(len(labs)):
        free = ~population.related[reference] & (labs != labs[reference])
        free[reference] = False
        others = np.flatnonzero(free)
        for lab in np.unique(labs[others]):
            inside = others[labs[others] == lab]
            # The candidates' lineages may have members in other labs: those are relatives of theirs, no controls.
            held = free & (labs != lab) & ~np.isin(lineage_of, lineage_of[inside])
            members = np.flatnonzero(held)
            if not len(members):
                continue
            highest = np.full(len(names), -np.inf)
            np.maximum.at(highest, lineage_of[members], population.scores[reference, members])
            present = highest[highest > -np.inf]
            suspects = population.scores[reference, inside]
            closer = (present[None, :] >= suspects[:, None] - 1e-9).sum(axis=1)
            p_values.append((closer + 1) / (len(present) + 1))
            references.append(np.full(len(inside), reference))
            candidates.append(inside)
    if not p_values:
        empty = np.zeros(0, dtype=np.intp)
        return np.zeros(0), empty, empty
    return np.concatenate(p_values), np.concatenate(references), np.concatenate(candidates)


def held_out_calibration(
    population: Population, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[HeldOutLevel, ...]:
    """How often unrelated pairs of controls reach p <= level when both labs are held out, with intervals over *labs*.

    Pairs share models and labs, so labs are resampled and a pair weighs as often as both its labs were drawn (the pigeonhole
    bootstrap, Owen 2007). Empty where fewer than three labs are present.
    """
    p_values, references, candidates = stranger_p_values(population)
    lab_names, lab_of = np.unique(np.asarray(population.labs), return_inverse=True)
    if len(lab_names) < 3 or not len(p_values):
        return ()
    size = len(lab_names)
    pairs = np.zeros((size, size))
    np.add.at(pairs, (lab_of[references], lab_of[candidates]), 1.0)
    draws = rng.multinomial(size, np.full(size, 1.0 / size), size=resamples).astype(np.float64)
    weight = np.einsum("ri,ij,rj->r", draws, pairs, draws)
    levels = []
    for level in LEVELS:
        hits = np.zeros((size, size))
        accused = p_values <= level + 1e-12
        np.add.at(hits, (lab_of[references[accused]], lab_of[candidates[accused]]), 1.0)
        share = np.einsum("ri,ij,rj->r", draws, hits, draws)[weight > 0] / weight[weight > 0]
        low, high = np.quantile(share, [0.025, 0.975])
        levels.append(
            HeldOutLevel(
                level=level,
                pairs=len(p_values),
                share_ppm=math.ceil(1e6 * accused.mean()),
                low_ppm=math.floor(1e6 * low),
                high_ppm=math.ceil(1e6 * high),
            )
        )
    return tuple(levels)


def smallest_level_that_holds(levels: Sequence[HeldOutLevel]) -> float | None:
    """The smallest level, from the largest downwards, whose promise the held-out pairs keep; None where not even the first.

    A level fails where even the lower end of its interval lies above it.
    """
    holds: float | None = None
    for level in sorted(levels, key=lambda entry: -entry.level):
        if level.low_ppm > 1e6 * level.level:
            break
        holds = level.level
    return holds
