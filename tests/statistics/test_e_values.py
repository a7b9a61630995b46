"""E-values: their expectation is at most 1 whatever the null allows, and 1 at its edge."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom

from filiation.evidence import Coincidences
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.e_values import log10_e_value, log10_e_value_of_p


def one_chance(count: int, opportunities: int, chance: float) -> Coincidences:
    return Coincidences(count=count, opportunities=opportunities, chance=chance)


def returns(opportunities: int, chance: float) -> np.ndarray:
    """The e-value of each count 0..n."""
    return np.array([10 ** log10_e_value(one_chance(k, opportunities, chance)) for k in range(opportunities + 1)])


def returns_of_chances(chances: list[float]) -> np.ndarray:
    every = range(len(chances) + 1)
    return np.array(
        [10 ** log10_e_value(Coincidences(count=k, opportunities=len(chances), chances=tuple(chances))) for k in every]
    )


def returns_of_clusters(chance: float, sizes: list[int]) -> np.ndarray:
    total = sum(sizes)
    return np.array(
        [
            10 ** log10_e_value(Coincidences(count=k, opportunities=total, chance=chance, clusters=tuple(sizes)))
            for k in range(total + 1)
        ]
    )


@pytest.mark.parametrize("opportunities", [1, 5, 40])
@pytest.mark.parametrize("chance", [0.001, 0.1, 0.5, 0.65, 0.98])
def test_expectation_is_one_at_the_edge_of_the_null_and_less_inside(opportunities, chance):
    bets = returns(opportunities, chance)
    counts = np.arange(opportunities + 1)
    assert binom.pmf(counts, opportunities, chance) @ bets == pytest.approx(1.0, rel=1e-10)
    assert binom.pmf(counts, opportunities, chance * 0.7) @ bets < 1.0
    assert binom.pmf(counts, opportunities, (1 + chance) / 2) @ bets > 1.0


@pytest.mark.parametrize(
    ("count", "opportunities", "chance"), [(3, 10, 0.1), (9, 10, 0.65), (30, 80, 0.3), (2, 80, 0.3)]
)
def test_closed_form_against_the_integral_it_stands_for(count, opportunities, chance):
    def bet(q: float) -> float:
        return (q / chance) ** count * ((1 - q) / (1 - chance)) ** (opportunities - count) / (1 - chance)

    integral, _ = quad(bet, chance, 1.0, epsabs=0, epsrel=1e-11, limit=200)
    assert log10_e_value(one_chance(count, opportunities, chance)) == pytest.approx(math.log10(integral), rel=1e-8)


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.9), st.integers(1, 14))
def test_expectation_is_at_most_one_for_any_dependence_below_the_chance(seed, chance, opportunities):
    # An adversary chooses each opportunity's chance, at most c, from the count so far: followed exactly, not simulated.
    rng = np.random.default_rng(seed)
    law = np.array([1.0])
    for _ in range(opportunities):
        conditional = chance * rng.choice([0.0, 1.0, rng.random()], size=len(law))
        grown = np.zeros(len(law) + 1)
        grown[:-1] += law * (1 - conditional)
        grown[1:] += law * conditional
        law = grown
    edge = binom.pmf(np.arange(opportunities + 1), opportunities, chance)
    assert law @ returns(opportunities, chance) <= edge @ returns(opportunities, chance) + 1e-9
    assert edge @ returns(opportunities, chance) == pytest.approx(1.0, rel=1e-9)
    assert law @ returns_of_chances([chance] * opportunities) <= 1.0 + 1e-9


def test_a_bet_below_the_chance_would_accuse_the_innocent():
    # Why q >= c: uniform over all of [0, 1] expects more than 1 from a suspect that coincides less often than c.
    n, c, s = 20, 0.5, 0.1
    k = np.arange(n + 1)
    whole = np.array([1 / ((n + 1) * binom.pmf(j, n, c)) for j in k])
    assert binom.pmf(k, n, s) @ whole > 10
    assert binom.pmf(k, n, s) @ returns(n, c) < 1


def test_simulated_dependent_trials_do_not_profit_on_average():
    rng = np.random.default_rng(11)
    runs, opportunities, chance = 40_000, 12, 0.3
    counts = np.zeros(runs, dtype=int)
    for step in range(opportunities):
        conditional = np.where(counts * 2 > step, chance, chance * (0.5 + 0.5 * (step % 3 == 0)))
        counts += rng.random(runs) < conditional
    won = returns(opportunities, chance)[counts]
    assert won.mean() <= 1.0 + 4 * won.std() / math.sqrt(runs)
    assert 0 < (won >= 20).mean() <= 1 / 20


@given(st.lists(st.floats(0.01, 0.95), min_size=1, max_size=20))
def test_unequal_chances_expect_one_at_the_edge_and_less_when_any_chance_is_smaller(chances):
    def law(of: list[float]) -> np.ndarray:
        masses = np.array([1.0])
        for chance in of:
            masses = np.convolve(masses, [1 - chance, chance])
        return masses

    bets = returns_of_chances(chances)
    assert law(chances) @ bets == pytest.approx(1.0, rel=1e-9)
    assert law([chances[0] / 2, *chances[1:]]) @ bets < 1.0


@pytest.mark.parametrize(
    ("count", "opportunities", "chance"), [(0, 30, 0.2), (12, 30, 0.2), (300, 300, 0.1), (90, 300, 0.1)]
)
def test_unequal_chances_that_are_equal_reproduce_the_closed_form(count, opportunities, chance):
    listed = Coincidences(count=count, opportunities=opportunities, chances=(chance,) * opportunities)
    assert log10_e_value(listed) == pytest.approx(
        log10_e_value(one_chance(count, opportunities, chance)), rel=1e-3, abs=1e-3
    )


@pytest.mark.parametrize("sizes", [[3] * 6, [1, 2, 3, 4], [9, 1, 1]])
@pytest.mark.parametrize("chance", [0.05, 0.4, 0.65])
def test_clusters_expect_one_when_all_or_nothing_and_less_when_spread(sizes, chance):
    bets = returns_of_clusters(chance, sizes)
    together, spread = np.array([1.0]), np.array([1.0])
    for size in sizes:
        all_or_nothing = np.zeros(size + 1)
        all_or_nothing[0], all_or_nothing[size] = 1 - chance, chance
        together = np.convolve(together, all_or_nothing)
        spread = np.convolve(spread, binom.pmf(np.arange(size + 1), size, chance))
    assert together @ bets == pytest.approx(1.0, rel=1e-9)
    assert spread @ bets < 1.0


def test_clusters_are_weaker_evidence_than_as_many_single_coincidences():
    single = log10_e_value(one_chance(30, 40, 0.1))
    grouped = log10_e_value(Coincidences(count=30, opportunities=40, chance=0.1, clusters=(4,) * 10))
    assert 0 < grouped < single / 2


@given(st.integers(1, 5000), st.floats(1e-6, 0.999), st.data())
def test_e_rises_with_the_count_is_finite_and_never_beats_one_over_p(opportunities, chance, data):
    count = data.draw(st.integers(0, opportunities - 1))
    here = log10_e_value(one_chance(count, opportunities, chance))
    assert math.isfinite(here)
    assert log10_e_value(one_chance(count + 1, opportunities, chance)) > here
    # Markov: an e-value that grows with the count cannot exceed 1/p of the same count at the edge of the null.
    assert here <= -log10_upper_tail(one_chance(count, opportunities, chance)) + 1e-9


def test_a_full_copy_of_a_million_is_worth_nearly_all_of_its_p():
    found = one_chance(10**6, 10**6, 0.1)
    assert log10_e_value(found) == pytest.approx(10**6 - math.log10((10**6 + 1) * 0.9), rel=1e-12)


def test_no_opportunities_are_worth_one():
    assert log10_e_value(one_chance(0, 0, 0.1)) == 0.0


# ------------------------------------------------------------------------------------------------------- calibrators


@pytest.mark.parametrize("kappa", [None, 0.1, 0.5, 0.9])
def test_calibrators_integrate_to_one_over_a_uniform_p(kappa):
    # With x = -ln p the integral over p is that of e(x) exp(-x); the mixture's tail beyond 400 is 1/400.
    end = 400.0
    integral, _ = quad(
        lambda x: 10 ** log10_e_value_of_p(-x / math.log(10), kappa=kappa) * math.exp(-x), 0, end, limit=500
    )
    beyond = 1 / end if kappa is None else 0.0
    assert integral + beyond == pytest.approx(1.0, abs=1e-5)


def test_calibrators_against_published_reference():
    # Vovk and Wang (2021): kappa = 1/2 turns p = 0.01 into 0.5 / sqrt(0.01) = 5; the mixture of p = 0.05 is
    # (1 - 0.05 + 0.05 ln 0.05) / (0.05 ln(0.05)^2).
    assert log10_e_value_of_p(-2.0, kappa=0.5) == pytest.approx(math.log10(5.0))
    p = 0.05
    mixture = (1 - p + p * math.log(p)) / (p * math.log(p) ** 2)
    assert log10_e_value_of_p(math.log10(p)) == pytest.approx(math.log10(mixture), rel=1e-12)


def test_p_of_one_is_worth_half():
    assert log10_e_value_of_p(0.0) == pytest.approx(math.log10(0.5))


@given(st.floats(-1e6, 0.0), st.floats(0.0, 1e4))
def test_smaller_p_gives_larger_e_and_never_more_than_one_over_p(log10_p, further):
    here = log10_e_value_of_p(log10_p)
    assert log10_e_value_of_p(log10_p - further) >= here - 1e-9 * abs(here)
    assert log10_e_value_of_p(log10_p - further - 1.0) > here
    assert here <= -log10_p


@pytest.mark.parametrize(("log10_p", "kappa"), [(0.1, None), (-math.inf, None), (math.nan, None), (-1, 0.0), (-1, 1.0)])
def test_what_is_no_p_or_no_kappa_is_refused(log10_p, kappa):
    with pytest.raises(ValueError, match=r"log10_p|kappa"):
        log10_e_value_of_p(log10_p, kappa=kappa)
