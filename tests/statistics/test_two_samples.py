"""Telling two sets of answers apart: valid at the boundary of the null, by simulation and by enumeration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from filiation.evidence import Coincidences
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.two_samples import (
    agreement_gap,
    chance_of_telling_apart,
    coins,
    permutation_p_value,
    told_apart,
)

WORDS = st.frozensets(st.sampled_from("abcdefgh"), max_size=5)


def feature(letter: int) -> frozenset[int]:
    return frozenset({int(letter)})


def shifted(law: np.ndarray, distance: float) -> np.ndarray:
    """The law at exactly `distance` in total variation that a rule learns fastest: mass moved to one outcome never seen."""
    moved = law * (1.0 - distance / law[:-1].sum())
    moved[-1] = distance
    return moved


def test_p_is_at_most_uniform_at_the_boundary_by_simulation() -> None:
    """Truth by construction: y's law lies at distance .1 from x's; the share of p <= level is what a binomial allows."""
    rng = np.random.default_rng(7)
    law = np.array([0.5, 0.3, 0.2, 0.0])
    other, runs, pairs, distance = shifted(law, 0.1), 400, 60, 0.1
    assert math.isclose(0.5 * float(np.abs(law - other).sum()), distance)
    tails = []
    for _ in range(runs):
        x, y = rng.choice(4, size=pairs, p=law), rng.choice(4, size=pairs, p=other)
        found = told_apart([(feature(a), feature(b)) for a, b in zip(x, y, strict=True)], rng.integers(0, 2, pairs))
        count = sum(found)
        tails.append(
            log10_upper_tail(Coincidences(count=count, opportunities=pairs, chance=chance_of_telling_apart(distance)))
        )
    for level in (0.2, 0.1, 0.05, 0.01):
        accused = sum(tail <= math.log10(level) for tail in tails)
        assert binom.sf(accused - 1, runs, level) > 1e-3, (level, accused)


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6), st.floats(0.0, 0.3), st.integers(0, 10_000))
@settings(max_examples=80, deadline=None)
def test_no_rule_is_right_more_often_than_the_bound(weights: list[float], distance: float, seed: int) -> None:
    """Truth by enumeration: for every antisymmetric rule and every law within the distance, E a <= epsilon."""
    rng = np.random.default_rng(seed)
    law = np.array(weights) / sum(weights)
    other = rng.dirichlet(np.ones(len(law)))
    apart = 0.5 * float(np.abs(law - other).sum())
    mix = min(1.0, distance / apart) if apart > 0 else 0.0
    other = law + mix * (other - law)
    score = rng.normal(size=len(law))
    right = (np.sign(score[None, :] - score[:, None]) + 1.0) / 2.0  # rule: y is the other side's where it scores higher
    best = float(law @ right @ other)
    assert best <= chance_of_telling_apart(0.5 * float(np.abs(law - other).sum())) + 1e-12


def test_another_law_is_told_apart_and_the_same_is_not() -> None:
    rng = np.random.default_rng(3)
    xs, same, others = rng.integers(0, 6, 200), rng.integers(0, 6, 200), rng.integers(4, 10, 200)
    fair = rng.integers(0, 2, 200)
    apart = sum(told_apart([(feature(a), feature(b)) for a, b in zip(xs, others, strict=True)], fair))
    alike = sum(told_apart([(feature(a), feature(b)) for a, b in zip(xs, same, strict=True)], fair))
    assert apart > 160
    assert 70 < alike < 130


@given(st.lists(st.tuples(WORDS, WORDS), max_size=20), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_roles_are_symmetric_and_ties_fall_by_the_coin(
    pairs: list[tuple[frozenset[str], frozenset[str]]], seed: int
) -> None:
    fair = coins([str(at) for at in range(len(pairs))], seed)
    forth = told_apart(pairs, fair)
    back = told_apart([(y, x) for x, y in pairs], fair)
    assert forth == back
    assert told_apart([(x, x) for x, _ in pairs], fair) == fair


def test_a_rule_never_sees_the_pair_it_judges() -> None:
    """The first pair is a tie whatever it is, and falls by the coin."""
    for coin in (0, 1):
        assert told_apart([(frozenset("a"), frozenset("b"))], [coin]) == (coin,)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="coins"):
        told_apart([(frozenset(), frozenset())], [])
    with pytest.raises(ValueError, match="distance"):
        chance_of_telling_apart(0.5)
    with pytest.raises(ValueError, match="two answers"):
        permutation_p_value([], 0.1, np.random.default_rng(0))


# ---------------------------------------------------------------------------------------------------------- permutation


def agreements(answers: np.ndarray) -> np.ndarray:
    return (answers[:, None] == answers[None, :]).astype(np.float64)


def test_agreement_gap_against_a_count_by_hand() -> None:
    """Reference a a, other b c: within (1 + 0) / 2 = .5, across 0."""
    gap = agreement_gap(agreements(np.array([0, 0, 1, 2])), np.array([[1, 1, -1, -1], [1, -1, 1, -1]], dtype=np.int8))
    assert gap.tolist() == [0.5, 0.0 - 1 / 4]


def test_permutation_p_is_at_most_uniform_at_the_boundary_by_simulation() -> None:
    """The adversary replaces each answer, with chance epsilon, by one that no reference ever gives."""
    rng = np.random.default_rng(11)
    runs, prompts, each, distance = 150, 12, 4, 0.08
    p_values = []
    for _ in range(runs):
        strata = []
        for _ in range(prompts):
            answers = rng.integers(0, 3, 2 * each)
            replaced = rng.random(each) < distance
            answers[each:][replaced] = 99
            strata.append(agreements(answers))
        p_values.append(permutation_p_value(strata, distance, rng, permutations=199))
    for level in (0.2, 0.05):
        accused = sum(p <= level for p in p_values)
        assert binom.sf(accused - 1, runs, level) > 1e-3, (level, accused)
    exact = [
        permutation_p_value([agreements(rng.integers(0, 3, 8)) for _ in range(12)], 0.0, rng, permutations=99)
        for _ in range(100)
    ]
    assert binom.sf(sum(p <= 0.1 for p in exact) - 1, 100, 0.1) > 1e-3


def test_permutation_finds_another_law_when_nothing_is_allowed_for() -> None:
    rng = np.random.default_rng(5)
    strata = [agreements(np.concatenate([rng.integers(0, 3, 4), rng.integers(3, 6, 4)])) for _ in range(10)]
    assert permutation_p_value(strata, 0.0, rng, permutations=999) == 0.001
    assert permutation_p_value(strata, 0.3, rng, permutations=999) == 1.0  # the allowance eats everything
