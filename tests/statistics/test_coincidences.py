"""Upper tails: against exact integers, against scipy, against theory, and by what the null may do."""

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import binom

from filiation.evidence import Coincidences
from filiation.statistics.coincidences import (
    log10_averaged_binomial_tail,
    log10_lower_tail,
    log10_upper_tail,
    resolution_log10_p,
)

chance_between = st.floats(1e-12, 1.0 - 1e-9)


def one_chance(count: int, opportunities: int, chance: float) -> Coincidences:
    return Coincidences(count=count, opportunities=opportunities, chance=chance)


def many_chances(count: int, chances: list[float]) -> Coincidences:
    return Coincidences(count=count, opportunities=len(chances), chances=tuple(chances))


def clustered(count: int, chance: float, sizes: list[int]) -> Coincidences:
    return Coincidences(count=count, opportunities=sum(sizes), chance=chance, clusters=tuple(sizes))


class ExactLaw:
    """P(K = j) in whole numbers over one denominator; groups of the given sizes are all or nothing."""

    def __init__(self, chances: list[float], sizes: list[int] | None = None) -> None:
        self.masses, self.denominator = [1], 1
        for chance, size in zip(map(Fraction, chances), sizes or [1] * len(chances), strict=True):
            hit, miss = chance.numerator, chance.denominator - chance.numerator
            grown = [mass * miss for mass in self.masses] + [0] * size
            for j, mass in enumerate(self.masses):
                grown[j + size] += mass * hit
            self.masses, self.denominator = grown, self.denominator * chance.denominator

    def log10(self, masses: list[int]) -> float:
        """log10 of a sum of masses; near 1 from what is missing, so that no digit is lost."""
        part = sum(masses)
        missing = self.denominator - part
        if missing < part:
            return math.log1p(-missing / self.denominator) / math.log(10)
        return math.log10(part) - math.log10(self.denominator)

    def log10_upper(self, count: int) -> float:
        return self.log10(self.masses[count:])

    def log10_lower(self, count: int) -> float:
        return self.log10(self.masses[: count + 1])


# ---------------------------------------------------------------------------------------------------------- binomial


@pytest.mark.parametrize(("opportunities", "chance"), [(1, 0.3), (7, 0.65), (60, 0.1), (60, 0.9), (300, 1e-6)])
def test_binomial_tail_against_exact_rationals(opportunities, chance):
    law = ExactLaw([chance] * opportunities)
    for count in range(opportunities + 1):
        expected = law.log10_upper(count)
        assert log10_upper_tail(one_chance(count, opportunities, chance)) == pytest.approx(
            expected, rel=1e-10, abs=1e-15
        )


def test_deep_binomial_tail_against_exact_integers():
    # P(Bin(3000, 1/16) >= 2000) with integers alone: sum of C(n, j) 15^(n-j) over 16^n.
    n, k = 3000, 2000
    numerator = sum(math.comb(n, j) * 15 ** (n - j) for j in range(k, n + 1))
    expected = math.log10(numerator) - n * math.log10(16)
    assert expected < -1000
    assert log10_upper_tail(one_chance(k, n, 1 / 16)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("opportunities", [10, 1_536, 47_190, 1_000_000])
@pytest.mark.parametrize("chance", [0.001, 0.1, 0.5, 0.65])
def test_binomial_tail_against_scipy_where_it_does_not_underflow(opportunities, chance):
    sd = math.sqrt(opportunities * chance * (1 - chance))
    for z in (-3, -1, -0.1, 0, 0.1, 1, 3, 8, 20, 30):
        count = min(opportunities, max(1, round(opportunities * chance + z * sd)))
        expected = binom.sf(count - 1, opportunities, chance)
        if expected > 1e-280:
            found = log10_upper_tail(one_chance(count, opportunities, chance))
            assert found == pytest.approx(math.log10(expected), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("share", [0.11, 0.5, 0.9, 0.999])
def test_a_million_opportunities_between_the_first_term_and_its_geometric_bound(share):
    n, c = 1_000_000, 0.1
    k = round(share * n)
    log_mass = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + k * math.log(c) + (n - k) * math.log1p(-c)
    ratio = (n - k) / (k + 1) * c / (1 - c)
    found = log10_upper_tail(one_chance(k, n, c)) * math.log(10)
    assert log_mass - 1e-6 <= found <= log_mass - math.log1p(-ratio) + 1e-6
    if share > 0.4:
        assert found < -100_000


def test_all_of_a_million_coincide_is_n_times_log_chance():
    assert log10_upper_tail(one_chance(10**6, 10**6, 0.8)) == pytest.approx(1e6 * math.log10(0.8), rel=1e-14)


def test_p_near_one_keeps_its_digits():
    # P(K >= 1) = 1 - 0.9^1000: its log10 is -0.9^1000 / ln 10, far below the spacing of numbers near 1.
    assert log10_upper_tail(one_chance(1, 1000, 0.1)) == pytest.approx(-(0.9**1000) / math.log(10), rel=1e-9)


@given(st.integers(1, 3000), chance_between, st.data())
def test_binomial_tail_falls_with_the_count_and_rises_with_the_chance(opportunities, chance, data):
    count = data.draw(st.integers(0, opportunities - 1))
    larger = data.draw(st.floats(chance, 1.0 - 1e-9))
    here = log10_upper_tail(one_chance(count, opportunities, chance))
    assert math.isfinite(here)
    assert here <= 0.0
    next_one = log10_upper_tail(one_chance(count + 1, opportunities, chance))
    assert next_one < here if count > opportunities * chance else next_one <= here + 1e-9 * abs(here)
    assert log10_upper_tail(one_chance(count, opportunities, larger)) >= here - 1e-9 * abs(here)


@given(st.integers(1, 2000), chance_between, st.data())
def test_upper_and_lower_tail_add_up_to_one(opportunities, chance, data):
    count = data.draw(st.integers(1, opportunities))
    above = log10_upper_tail(one_chance(count, opportunities, chance))
    below = log10_lower_tail(one_chance(count - 1, opportunities, chance))
    assert 10**above + 10**below == pytest.approx(1.0, abs=1e-11)


def test_no_opportunities_are_no_evidence():
    assert log10_upper_tail(one_chance(0, 0, 0.1)) == 0.0
    assert log10_lower_tail(one_chance(0, 0, 0.1)) == 0.0
    assert resolution_log10_p(one_chance(0, 0, 0.1)) == 0.0


# --------------------------------------------------------------------------------------------------- Poisson-binomial


@pytest.mark.parametrize("seed", range(6))
def test_poisson_binomial_against_exact_rationals(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 160))
    chances = rng.uniform(0, 1, size) if seed % 2 else 10.0 ** rng.uniform(-9, -0.01, size)
    law = ExactLaw(chances.tolist())
    for count in {0, 1, 2, int(chances.sum()), int(chances.sum()) + 1, size // 2, size - 1, size}:
        found = many_chances(count, chances.tolist())
        assert log10_upper_tail(found) == pytest.approx(law.log10_upper(count), rel=1e-11)
        assert log10_lower_tail(found) == pytest.approx(law.log10_lower(count), rel=1e-11)


def test_chances_three_hundred_orders_apart_against_theory():
    # Five coins and five near-impossibilities: six of ten need all coins and one impossibility, 5 * 1e-300 / 32.
    mixed = many_chances(6, [0.5] * 5 + [1e-300] * 5)
    assert log10_upper_tail(mixed) == pytest.approx(math.log10(5 / 32) - 300, rel=1e-12)


@given(st.integers(1, 700), st.floats(1e-6, 1 - 1e-6), st.data())
def test_equal_chances_give_the_binomial(opportunities, chance, data):
    count = data.draw(st.integers(0, opportunities))
    equal = log10_upper_tail(many_chances(count, [chance] * opportunities))
    assert equal == pytest.approx(log10_upper_tail(one_chance(count, opportunities, chance)), rel=1e-9, abs=1e-13)


@given(st.lists(st.floats(1e-6, 0.999), min_size=2, max_size=90), st.data())
def test_poisson_binomial_falls_with_the_count_and_rises_with_any_chance(chances, data):
    count = data.draw(st.integers(0, len(chances) - 1))
    raised = [*chances[:-1], data.draw(st.floats(chances[-1], 0.9995))]
    here = log10_upper_tail(many_chances(count, chances))
    next_one = log10_upper_tail(many_chances(count + 1, chances))
    assert next_one < here if count > math.fsum(chances) else next_one <= here + 1e-9
    assert log10_upper_tail(many_chances(count, raised)) >= here - 1e-9 * abs(here) - 1e-13
    assert log10_upper_tail(many_chances(count, chances[::-1])) == pytest.approx(here, rel=1e-9, abs=1e-13)


def test_twenty_thousand_unequal_chances_lie_between_their_extremes_in_bounded_memory():
    chances = np.random.default_rng(5).uniform(0.2, 0.3, 20_000).tolist()
    tracemalloc.start()
    found = log10_upper_tail(many_chances(12_000, chances))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    lowest = log10_upper_tail(one_chance(12_000, 20_000, min(chances)))
    highest = log10_upper_tail(one_chance(12_000, 20_000, max(chances)))
    assert lowest < found < highest < -1000


# --------------------------------------------------------------------------------- averaged binomial, where it is valid


@given(st.lists(st.floats(0.001, 0.9), min_size=2, max_size=60), st.data())
def test_averaged_binomial_is_never_below_the_exact_tail_where_hoeffding_allows_it(chances, data):
    least = math.ceil(math.fsum(chances) + 1.0)
    if least > len(chances):
        return
    found = many_chances(data.draw(st.integers(least, len(chances))), chances)
    assert log10_averaged_binomial_tail(found, independent=True) < 0.0
    assert log10_averaged_binomial_tail(found, independent=True) >= log10_upper_tail(found) - 1e-9


def test_averaged_binomial_is_refused_where_it_is_false():
    # Chances 0.99 and 0.01: P(K >= 1) = 0.9901, while two coins give 0.75, an anti-conservative figure.
    found = many_chances(1, [0.99, 0.01])
    assert 10 ** log10_upper_tail(found) == pytest.approx(0.9901)
    with pytest.raises(ValueError, match="valid from 2"):
        log10_averaged_binomial_tail(found, independent=True)
    with pytest.raises(ValueError, match="independent"):
        log10_averaged_binomial_tail(many_chances(2, [0.99, 0.01]), independent=False)
    with pytest.raises(ValueError, match="one chance per opportunity"):
        log10_averaged_binomial_tail(one_chance(2, 2, 0.5), independent=True)


# ---------------------------------------------------------------------------------------------------------- clusters


@pytest.mark.parametrize("sizes", [[4] * 12, [1, 2, 3, 4, 5, 6], [20, 1, 1, 1], [7]])
@pytest.mark.parametrize("chance", [0.02, 0.1, 0.65])
def test_cluster_bound_holds_for_all_or_nothing_clusters_exactly(sizes, chance):
    law = ExactLaw([chance] * len(sizes), sizes)
    for count in range(sum(sizes) + 1):
        bound = log10_upper_tail(clustered(count, chance, sizes))
        assert bound >= law.log10_upper(count) - 1e-9
        assert bound < 0 if count > chance * sum(sizes) else bound == 0


def test_without_the_clusters_the_same_count_would_be_overstated():
    # Twelve clusters of four, all or nothing: the binomial tail of 48 is below what really happens.
    truth = ExactLaw([0.1] * 12, [4] * 12).log10_upper(16)
    assert log10_upper_tail(one_chance(16, 48, 0.1)) < truth - 1
    assert truth <= log10_upper_tail(clustered(16, 0.1, [4] * 12)) < truth + 1.5


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.floats(0.001, 0.999), st.data())
def test_cluster_bound_is_monotone_and_never_below_the_independent_tail(sizes, chance, data):
    count = data.draw(st.integers(0, sum(sizes) - 1))
    here = log10_upper_tail(clustered(count, chance, sizes))
    next_one = log10_upper_tail(clustered(count + 1, chance, sizes))
    assert next_one < here if count > chance * sum(sizes) else next_one <= here
    assert log10_upper_tail(clustered(count, min(0.9995, chance * 1.1), sizes)) >= here - 1e-9
    if count > chance * sum(sizes) + 1:
        assert here >= log10_upper_tail(one_chance(count, sum(sizes), chance)) - 1e-9


@pytest.mark.parametrize(("count", "chance"), [(20, 0.1), (35, 0.65), (39, 0.02)])
def test_bound_of_equal_clusters_is_chernoffs_divergence_by_theory(count, chance):
    # Minimised over t, ten clusters of four give exp(-10 KL(k/n || c)); any other t gives more.
    share = count / 40
    divergence = share * math.log(share / chance) + (1 - share) * math.log((1 - share) / (1 - chance))
    found = log10_upper_tail(clustered(count, chance, [4] * 10))
    assert found == pytest.approx(-10 * divergence / math.log(10), rel=1e-9)


def test_all_clusters_full_is_one_chance_per_cluster():
    assert log10_upper_tail(clustered(40, 0.1, [4] * 10)) == pytest.approx(-10.0)
    assert log10_upper_tail(clustered(10, 0.1, [1] * 10)) == pytest.approx(-10.0)


def test_lower_tail_of_clusters_is_refused():
    with pytest.raises(ValueError, match="cluster"):
        log10_lower_tail(clustered(3, 0.1, [4, 4]))


# ------------------------------------------------------------------------------------------- resolution and the null


@pytest.mark.parametrize(
    "design",
    [one_chance(3, 30, 0.1), many_chances(3, [0.1, 0.2, 0.5, 0.9]), clustered(3, 0.1, [2, 3, 4])],
)
def test_resolution_is_the_smallest_p_of_the_design(design):
    counts = [
        Coincidences(
            count=count,
            opportunities=design.opportunities,
            chance=design.chance,
            chances=design.chances,
            clusters=design.clusters,
        )
        for count in range(design.opportunities + 1)
    ]
    assert resolution_log10_p(design) == pytest.approx(min(log10_upper_tail(each) for each in counts))
    assert resolution_log10_p(design) < log10_upper_tail(design)


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=25))
def test_p_is_at_most_uniform_under_its_null_by_theory(chances):
    # P(p <= p(k)) is P(K >= k): equal to p(k) and to no less. Summed from masses formed without any tail.
    masses = np.array([1.0])
    for chance in chances:
        masses = np.convolve(masses, [1 - chance, chance])
    p_values = np.array([10 ** log10_upper_tail(many_chances(k, chances)) for k in range(len(chances) + 1)])
    for level in p_values:
        assert masses[p_values <= level * (1 + 1e-9)].sum() == pytest.approx(level, rel=1e-8)


def test_p_is_uniform_or_larger_when_the_chance_depends_on_the_past_by_simulation():
    # Each opportunity's chance, given those before it, is c after a coincidence and c or c/3 at whim otherwise.
    rng = np.random.default_rng(20)
    runs, opportunities, chance = 20_000, 60, 0.2
    counts = np.zeros(runs, dtype=int)
    last = np.zeros(runs, dtype=bool)
    for step in range(opportunities):
        conditional = np.where(last | (counts > step * chance), chance, chance / 3 if step % 2 else chance)
        last = rng.random(runs) < conditional
        counts += last
    p_of = np.array([10 ** log10_upper_tail(one_chance(k, opportunities, chance)) for k in range(opportunities + 1)])
    p_values = p_of[counts]
    for level in (0.001, 0.01, 0.05, 0.2, 0.5):
        allowed = level + 4 * math.sqrt(level * (1 - level) / runs)
        assert (p_values <= level).mean() <= allowed
    assert (p_values <= 0.5).mean() > 0.05
