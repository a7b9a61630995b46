"""Ranks among control lineages: against theory, by simulation of unrelated models, and properties that hold for every line-up."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from filiation.statistics.line_up import (
    LEVELS,
    HeldOutLevel,
    Population,
    held_out_calibration,
    held_out_share,
    rank_among_lineages,
    smallest_level_that_holds,
    stranger_p_values,
)

SCORES = st.integers(-50, 50).map(float)
LINE_UPS = st.dictionaries(st.sampled_from("abcdefghijkl"), st.lists(SCORES, min_size=1, max_size=4), min_size=1)

# ------------------------------------------------------------------------------------------------------------- the rank


def test_p_against_theory():
    ranked = rank_among_lineages(2.0, {"a": [1.0, 3.0], "b": [2.0], "c": [1.9], "d": [-5.0]})
    assert ranked.closer == ("a", "b")
    assert ranked.lineages == {"a": 3.0, "b": 2.0, "c": 1.9, "d": -5.0}
    assert ranked.log10_p == pytest.approx(math.log10(3 / 5))


@given(SCORES, LINE_UPS)
def test_p_is_never_below_one_in_lineages_plus_one_nor_above_one(suspect, controls):
    ranked = rank_among_lineages(suspect, controls)
    assert -math.log10(len(controls) + 1) - 1e-12 <= ranked.log10_p <= 0.0


@given(SCORES, LINE_UPS, st.randoms(use_true_random=False))
def test_the_order_of_controls_changes_nothing(suspect, controls, random):
    names = list(controls)
    random.shuffle(names)
    shuffled = {name: random.sample(controls[name], len(controls[name])) for name in names}
    assert rank_among_lineages(suspect, shuffled) == rank_among_lineages(suspect, controls)


@given(SCORES, LINE_UPS, st.data())
def test_a_copy_of_a_control_changes_nothing(suspect, controls, data):
    lineage = data.draw(st.sampled_from(sorted(controls)))
    copied = data.draw(st.sampled_from(controls[lineage]))
    assert rank_among_lineages(suspect, controls | {lineage: [*controls[lineage], copied]}) == rank_among_lineages(
        suspect, controls
    )


@given(SCORES, SCORES, LINE_UPS)
def test_a_higher_score_never_gives_a_larger_p(one, other, controls):
    lower, higher = sorted((one, other))
    assert rank_among_lineages(higher, controls).log10_p <= rank_among_lineages(lower, controls).log10_p


@given(SCORES, LINE_UPS, st.lists(SCORES, max_size=4))
def test_controls_of_undeclared_lineage_never_make_p_smaller(suspect, controls, undeclared):
    alone, beside = rank_among_lineages(suspect, controls), rank_among_lineages(suspect, controls, undeclared)
    assert beside.log10_p >= alone.log10_p
    assert beside.lineages == alone.lineages
    assert beside.above <= len(controls)


@pytest.mark.parametrize("controls", [{}, {"a": []}, {"a": [math.nan]}, {"a": [math.inf]}])
def test_a_rank_among_nobody_or_among_no_numbers_is_refused(controls):
    with pytest.raises(ValueError, match="score"):
        rank_among_lineages(0.0, controls)


# ------------------------------------------------------------------------------------------ unrelated models, simulated


def drawn(
    rng: np.random.Generator, labs: int, lineages: int, models: int, *, lab: float = 0.0, base: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Scores [n, n], lineage and lab of each of n unrelated models; the last two are alone in lineage and lab.

    score = reference effect + candidate effect + `lab` x effect of the candidate's lab + `base` x effect of the pair of
    published bases that the labs start from + effect of the pair of lineages + noise.
    """
    lab_of = np.repeat(np.arange(labs), lineages * models)
    lineage_of = np.repeat(np.arange(labs * lineages), models)
    lab_of = np.r_[lab_of, labs, labs + 1]
    lineage_of = np.r_[lineage_of, labs * lineages, labs * lineages + 1]
    size, kinds = len(lab_of), int(lineage_of[-1]) + 1
    base_of = rng.integers(0, 5, labs + 2)[lab_of]
    scores = (
        rng.normal(size=size)[:, None]
        + 0.7 * rng.normal(size=size)[None, :]
        + lab * rng.normal(size=labs + 2)[lab_of][None, :]
        + base * rng.normal(size=(5, 5))[np.ix_(base_of, base_of)]
        + 0.5 * rng.normal(size=(kinds, kinds))[np.ix_(lineage_of, lineage_of)]
        + rng.normal(size=(size, size))
    )
    return scores, lineage_of, lab_of


def population(scores: NDArray[np.float64], lineage_of: NDArray[np.intp], lab_of: NDArray[np.intp]) -> Population:
    return Population(
        scores=scores,
        lineages=[f"lineage {at}" for at in lineage_of],
        labs=[f"lab {at}" for at in lab_of],
        related=lineage_of[:, None] == lineage_of[None, :],
    )


def p_of_the_last(
    scores: NDArray[np.float64], lineage_of: NDArray[np.intp], lab_of: NDArray[np.intp], *, held_out: bool
) -> float:
    """p of the last model as candidate for the one before it, among all others."""
    controls: dict[str, list[float]] = {}
    for at in range(len(scores) - 2):
        controls.setdefault(str(lineage_of[at]), []).append(float(scores[-2, at]))
    ranked = rank_among_lineages(float(scores[-2, -1]), controls)
    if not held_out:
        return float(10.0**ranked.log10_p)
    others = population(scores[:-2, :-2], lineage_of[:-2], lab_of[:-2])
    return max(float(10.0**ranked.log10_p), held_out_share(others, ranked.above, len(ranked.lineages)))


def shares(draw: Callable[[np.random.Generator], tuple], repeats: int, *, held_out: bool) -> dict[float, float]:
    rng = np.random.default_rng(7)
    p = np.asarray([p_of_the_last(*draw(rng), held_out=held_out) for _ in range(repeats)])
    return {level: float((p <= level + 1e-12).mean()) for level in (0.2, 0.1, 0.05, 0.03)}


UNRELATED = {
    "model effects": {"labs": 10, "lineages": 4, "models": 1},
    "several models in each lineage": {"labs": 10, "lineages": 3, "models": 3},
    "lab effects": {"labs": 14, "lineages": 3, "models": 2, "lab": 0.7},
    "shared bases": {"labs": 14, "lineages": 3, "models": 2, "base": 1.0},
}


@pytest.mark.parametrize("name", UNRELATED)
def test_unrelated_suspects_are_accused_no_more_often_than_promised(name):
    """Simulated: the rank alone is uniform or larger, within what 400 draws allow (three standard deviations)."""
    for level, share in shares(lambda rng: drawn(rng, **UNRELATED[name]), 400, held_out=False).items():
        assert share <= level + 3 * math.sqrt(level * (1 - level) / 400), (name, level, share)


def test_the_held_out_share_mends_what_strong_lab_effects_break():
    """Simulated: lineages of one lab that stand or fall together are fewer than they look, and the controls tell so."""

    def draw(rng: np.random.Generator) -> tuple:
        return drawn(rng, labs=8, lineages=6, models=1, lab=4.0)

    plain, mended = (shares(draw, 400, held_out=held) for held in (False, True))
    assert plain[0.03] > 0.045, plain
    for level, share in mended.items():
        assert share <= level + 2 * math.sqrt(level * (1 - level) / 400), (level, share)


def test_the_held_out_share_costs_little_where_nothing_is_to_be_mended():
    rng = np.random.default_rng(3)
    first = [held_out_share(population(*drawn(rng, labs=12, lineages=3, models=2)), 0, 36) for _ in range(20)]
    assert np.median(first) <= 1.1 / 37


# ---------------------------------------------------------------------------------------------------- held-out calibration


def by_hand(given: Population, reference: int, candidate: int) -> float | None:
    """p of one pair, written as the sentence in the docstring says it; None where the pair does not count."""
    size = len(given.labs)
    lineages, labs, related = given.lineages, given.labs, given.related

    def strange(one: int, other: int) -> bool:
        return (
            one != other and labs[one] != labs[other] and lineages[one] != lineages[other] and not related[one, other]
        )

    if not strange(reference, candidate):
        return None
    held = {lineages[at] for at in range(size) if labs[at] == labs[candidate]}
    controls: dict[str, list[float]] = {}
    for at in range(size):
        if strange(reference, at) and strange(candidate, at) and lineages[at] not in held:
            controls.setdefault(lineages[at], []).append(float(given.scores[reference, at]))
    if not controls:
        return None
    return float(10 ** rank_among_lineages(float(given.scores[reference, candidate]), controls).log10_p)


@given(st.integers(0, 10_000))
def test_held_out_p_values_are_the_ones_written_out(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 12))
    listed = rng.random((size, size)) < 0.1
    some = Population(
        scores=rng.integers(-3, 4, (size, size)).astype(float),
        lineages=[f"l{at}" for at in rng.integers(0, 5, size)],
        labs=[f"b{at}" for at in rng.integers(0, 4, size)],
        related=listed | listed.T,
    )
    p_values, references, candidates = stranger_p_values(some)
    found = {(int(r), int(c)): float(p) for p, r, c in zip(p_values, references, candidates, strict=True)}
    written = {(r, c): by_hand(some, r, c) for r in range(size) for c in range(size)}
    assert found == pytest.approx({pair: p for pair, p in written.items() if p is not None})


def test_shares_of_simulated_strangers_keep_the_levels_and_their_intervals_hold_them():
    levels = held_out_calibration(
        population(*drawn(np.random.default_rng(1), labs=15, lineages=3, models=2)), np.random.default_rng(0)
    )
    assert [level.level for level in levels[:3]] == list(LEVELS)
    assert levels[3].first_place
    assert 1 / 46 < levels[3].level < 1 / 35
    assert all(level.low_ppm <= level.share_ppm <= level.high_ppm for level in levels)
    assert smallest_level_that_holds(levels) == 0.001


def test_the_same_seed_gives_the_same_record_and_another_seed_the_same_shares():
    some = population(*drawn(np.random.default_rng(2), labs=6, lineages=3, models=1))
    one, again, other = (held_out_calibration(some, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert one == again
    assert [level.share_ppm for level in one] == [level.share_ppm for level in other]


def test_copies_of_controls_leave_the_held_out_share_as_it_is():
    """A lineage weighs the same however many models it has."""
    scores, lineage_of, lab_of = drawn(np.random.default_rng(5), labs=6, lineages=2, models=1)
    take = np.r_[np.arange(len(scores)), 3, 3, 7]
    one = population(scores, lineage_of, lab_of)
    more = population(scores[np.ix_(take, take)], lineage_of[take], lab_of[take])
    for place in range(5):
        assert held_out_share(more, place) == pytest.approx(held_out_share(one, place))


@pytest.mark.parametrize("labs", [0, 1, 2])
def test_too_few_labs_examine_nothing(labs):
    some = population(*(part[..., : 2 * labs] for part in _small(labs)))
    assert held_out_calibration(some, np.random.default_rng(0)) == ()
    assert smallest_level_that_holds(()) is None
    assert held_out_share(some, 0) == 0.0


def _small(labs: int) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    size = 2 * labs
    return np.zeros((size, size)), np.arange(size), np.repeat(np.arange(labs), 2)


def level(value: float, low: float, *, first_place: bool = False) -> HeldOutLevel:
    return HeldOutLevel(
        level=value,
        pairs=100,
        share_ppm=round(1e6 * low),
        low_ppm=round(1e6 * low),
        high_ppm=10**6,
        first_place=first_place,
    )


@pytest.mark.parametrize(
    ("levels", "holds"),
    [
        ((level(0.05, 0.04), level(0.01, 0.004), level(0.001, 0.0), level(0.02, 0.01, first_place=True)), 0.001),
        ((level(0.05, 0.06), level(0.01, 0.004), level(0.001, 0.0)), None),
        ((level(0.05, 0.04), level(0.01, 0.02), level(0.001, 0.0)), 0.05),
        ((level(0.05, 0.04), level(0.01, 0.0), level(0.001, 0.0), level(0.02, 0.03, first_place=True)), 0.05),
    ],
    ids=["all hold", "not even the first", "the second fails", "only the first place fails"],
)
def test_a_promise_that_controls_do_not_keep_is_not_made(levels, holds):
    assert smallest_level_that_holds(levels) == holds
