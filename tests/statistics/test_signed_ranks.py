"""Private twins: the law against all signs written down and against scipy, the bound against the law, and every kind of stranger."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, wilcoxon

from filiation.statistics import signed_ranks as module
from filiation.statistics.signed_ranks import (
    EXACT_TWINS,
    effect_to_detect_among,
    log10_rank_sum_e,
    log10_rank_sum_tail,
    private_twins,
)
from filiation.statistics.tilting import log_bound

SOME_RANKS = st.lists(st.integers(1, 30), min_size=1, max_size=8)


def enumerated(ranks: list[int]) -> dict[int, float]:
    """The chance of every sum, all signs written down."""
    law: dict[int, float] = {}
    for signs in itertools.product((0, 1), repeat=len(ranks)):
        total = sum(sign * rank for sign, rank in zip(signs, ranks, strict=True))
        law[total] = law.get(total, 0.0) + 0.5 ** len(ranks)
    return law


@given(SOME_RANKS)
@settings(max_examples=25)
def test_tail_bound_and_bet_against_enumeration(ranks: list[int]) -> None:
    law = enumerated(ranks)
    assert sum(chance * 10 ** log10_rank_sum_e(total, ranks) for total, chance in law.items()) == pytest.approx(1.0)
    for total in range(sum(ranks) + 1):
        expected = sum(chance for count, chance in law.items() if count >= total)
        found = log10_rank_sum_tail(total, ranks)
        assert 10**found == pytest.approx(expected, rel=1e-12)
        assert log_bound(module._moments(ranks), total - sum(ranks) / 2.0) >= math.log(expected) - 1e-9
        assert log10_rank_sum_e(total, ranks) <= 1e-9 - found


@pytest.mark.parametrize("twins", [5, 20, 50])
def test_p_is_that_of_wilcoxon_s_exact_test(twins: int) -> None:
    rng = np.random.default_rng(1)
    one, other = rng.standard_normal(twins) + 0.3, rng.standard_normal(twins)
    expected = wilcoxon(one, other, alternative="greater", method="exact").pvalue
    assert 10 ** private_twins(one, other).log10_p == pytest.approx(expected, rel=1e-9)


def test_a_published_table() -> None:
    """Wilcoxon (1945), n = 10: a sum of negative ranks of at most 8 has a chance of .0244 (25 of 1024)."""
    assert 10 ** log10_rank_sum_tail(2 * (55 - 8), [2 * rank for rank in range(1, 11)]) == pytest.approx(25 / 1024)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8))
@settings(max_examples=30)
def test_p_given_the_distances_is_the_share_of_signs_that_do_as_well(differences: list[int]) -> None:
    """Ties and zeros included: all ways in which the coins could have fallen, ranked again."""
    zeros = [0.0] * len(differences)
    seen = private_twins(differences, zeros)
    flipped = [
        private_twins([sign * d for sign, d in zip(signs, differences, strict=True)], zeros).rank_sum
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    assert 10**seen.log10_p == pytest.approx(np.mean([other >= seen.rank_sum for other in flipped]), rel=1e-9)
    assert seen.favoured + seen.tied + sum(d < 0 for d in differences) == seen.twins == len(differences)


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=30), st.data())
@settings(max_examples=60)
def test_a_larger_score_of_a_published_text_never_makes_p_larger(differences: list[int], data: st.DataObject) -> None:
    """In favour of one pair more, everything else as it is: a pair against turned into one as far on the other side."""
    at = data.draw(st.integers(0, len(differences) - 1))
    more = [abs(d) if number == at else d for number, d in enumerate(differences)]
    zeros = [0] * len(differences)
    assert private_twins(more, zeros).log10_p <= private_twins(differences, zeros).log10_p + 1e-12


STRANGERS = {
    "constant": lambda rng, count: np.zeros(count),
    "always apart by one": lambda rng, count: np.ones(count),
    "rounded": lambda rng, count: rng.standard_normal(count).round(0),
    "heavy and dependent": lambda rng, count: rng.standard_cauchy(count).cumsum(),
    "copied from another model": lambda rng, count: np.random.default_rng(7).standard_normal(count) + 3.0,
}


@pytest.mark.parametrize("kind", STRANGERS)
@pytest.mark.parametrize("twins", [30, 150], ids=["30 twins", "150 twins"])
def test_p_of_strangers_is_uniform_or_larger_and_e_averages_one_at_most(kind: str, twins: int) -> None:
    """Only the owner's coins are random: 500 lots against scores that nobody chose with them in mind."""
    rng = np.random.default_rng(2)
    found = []
    first, second = STRANGERS[kind](rng, twins), np.zeros(twins)
    for _ in range(500):
        heads = rng.random(twins) < 0.5
        found.append(private_twins(np.where(heads, first, second), np.where(heads, second, first)))
    log10_p = np.array([each.log10_p for each in found])
    for level in (0.5, 0.2, 0.05, 0.01):
        assert (log10_p <= math.log10(level)).mean() <= level + 4.0 * math.sqrt(level / len(found)), level
    # By Ville, no tenth of them above ten; the mean itself is checked by enumeration.
    assert np.mean([each.log10_e >= 1.0 for each in found]) <= 0.1


def test_the_law_holds_its_level_without_ties() -> None:
    rng = np.random.default_rng(4)
    reached = np.mean([private_twins(rng.standard_normal(40), np.zeros(40)).log10_p <= -1.0 for _ in range(800)])
    assert 0.07 < reached < 0.125


def test_the_bound_costs_little_over_one_power_of_ten() -> None:
    ranks = list(range(2, 202, 2))
    for share in (0.7, 0.8, 0.9):
        total = round(share * sum(ranks))
        bound = log_bound(module._moments(ranks), total - sum(ranks) / 2.0) / math.log(10.0)
        assert 0.5 < bound - log10_rank_sum_tail(total, ranks) < 1.6


def test_many_twins_against_the_normal_law() -> None:
    """Near the middle a sum of many ranks is normal, and as many are counted as floating point holds."""
    ranks = list(range(2, 2 * EXACT_TWINS + 1, 2))
    deviation = math.sqrt(sum(rank**2 for rank in ranks)) / 2.0
    for distance in (1.0, 2.0, 3.0):
        found = log10_rank_sum_tail(round(sum(ranks) / 2.0 + distance * deviation), ranks)
        assert 10**found == pytest.approx(norm.sf(distance), rel=0.02)
    assert log10_rank_sum_tail(sum(ranks), ranks) == pytest.approx(-EXACT_TWINS * math.log10(2.0))
    assert log10_rank_sum_tail(0, ranks) == pytest.approx(0.0, abs=1e-9)


def test_of_more_twins_p_is_chernoffs_bound() -> None:
    ranks = list(range(1, EXACT_TWINS + 2))
    total = round(0.55 * sum(ranks))
    assert log10_rank_sum_tail(total, ranks) == log_bound(module._moments(ranks), total - sum(ranks) / 2.0) / math.log(
        10
    )


def test_a_relative_is_found_and_the_interval_holds_the_truth() -> None:
    """A memory of a fifth of the spread of differences over 1,000 pairs; the true effect from a hundred thousand."""
    rng = np.random.default_rng(5)
    seen = private_twins(rng.standard_normal(1_000) + 0.2, np.zeros(1_000))
    assert seen.log10_p < -6.0
    assert seen.exact
    truth = private_twins(rng.standard_normal(100_000) + 0.2, np.zeros(100_000)).effect
    assert seen.effect_low < truth < seen.effect_high


@pytest.mark.parametrize("twins", [40, 400])
def test_the_detectable_effect_is_found_by_simulation(twins: int) -> None:
    rng = np.random.default_rng(6)

    def found(effect: float) -> float:
        signs = np.where(rng.random((100, twins)) < (1.0 + effect) / 2.0, 1.0, -1.0)
        sizes = np.arange(1.0, twins + 1.0)
        return float(np.mean([private_twins(sizes * row, np.zeros(twins)).log10_p <= -6.0 for row in signs]))

    detectable = effect_to_detect_among(twins, -6.0)
    assert found(detectable) >= 0.88
    assert found(detectable / 2.0) <= 0.2
    assert effect_to_detect_among(10, -6.0) == effect_to_detect_among(0, -6.0) == 1.0


def test_a_control_helps_and_one_on_another_scale_does_no_harm() -> None:
    """Differences in ease of 1, memory of .1, noise of .2; a control that knows the ease, and one that says it tenfold."""
    rng = np.random.default_rng(8)
    ease = rng.standard_normal(300)
    suspect = ease + 0.2 * rng.standard_normal(300) + 0.1
    alone = private_twins(suspect, np.zeros(300)).log10_p
    for scale in (1.0, 10.0, -3.0):
        control = scale * (ease + 0.2 * rng.standard_normal(300))
        assert private_twins(suspect, np.zeros(300), control).log10_p < min(-6.0, alone)
    noise = 10.0 * rng.standard_normal(300)
    assert private_twins(suspect, np.zeros(300), noise).log10_p == pytest.approx(alone, abs=0.5)


@given(st.lists(st.integers(0, 1), min_size=9, max_size=9))
@settings(max_examples=40)
def test_what_a_control_explains_does_not_depend_on_the_lot(coins: list[int]) -> None:
    """Twins exchanged, the remains change their signs and nothing else, to the last bit."""
    rng = np.random.default_rng(9)
    own, control, signs = rng.standard_normal(9), rng.standard_normal(9), 1.0 - 2.0 * np.array(coins)
    assert np.array_equal(module._unexplained(signs * own, signs * control), signs * module._unexplained(own, control))


def test_with_a_control_p_of_strangers_is_uniform_or_larger() -> None:
    rng = np.random.default_rng(10)
    own, control = rng.standard_cauchy(40), rng.standard_normal(40)
    found = []
    for _ in range(500):
        signs = rng.choice([-1.0, 1.0], size=40)
        found.append(private_twins(signs * own, np.zeros(40), signs * control).log10_p)
    for level in (0.5, 0.1, 0.02):
        assert (np.array(found) <= math.log10(level)).mean() <= level + 4.0 * math.sqrt(level / 500)


def test_no_twins_show_nothing() -> None:
    seen = private_twins([], [])
    assert (seen.log10_p, seen.log10_e, seen.resolution_log10_p) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("published", "withheld"), [([1.0], []), ([math.nan], [1.0]), ([1.0], [math.inf]), ([[1.0]], [[1.0]])]
)
def test_what_makes_no_sense_is_refused(published: list[float], withheld: list[float]) -> None:
    with pytest.raises(ValueError, match=r"."):
        private_twins(published, withheld)


@pytest.mark.parametrize("control", [[1.0], [1.0, math.nan]])
def test_a_control_that_makes_no_sense_is_refused(control: list[float]) -> None:
    with pytest.raises(ValueError, match="control"):
        private_twins([1.0, 2.0], [0.0, 0.0], control)
