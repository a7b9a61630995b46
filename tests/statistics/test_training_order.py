"""The order of a training run: the law against enumeration, the bound against the law, and every kind of stranger."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from filiation.statistics import inversion
from filiation.statistics import training_order as module
from filiation.statistics.tilting import log_bound
from filiation.statistics.training_order import (
    EXACT_PAIRS,
    log10_concordance_e,
    log10_concordance_tail,
    permutation_log10_p,
    tau_to_detect,
    training_order,
)


def enumerated(sizes: list[int]) -> Counter[int]:
    """How many joint orders of the strata have so many concordant pairs, by writing all of them down."""
    law = Counter({0: 1})
    for size in sizes:
        own = Counter(
            sum(order[i] < order[j] for i, j in itertools.combinations(range(size), 2))
            for order in itertools.permutations(range(size))
        )
        grown: Counter[int] = Counter()
        for first, times in law.items():
            for second, more in own.items():
                grown[first + second] += times * more
        law = grown
    return law


@pytest.mark.parametrize("sizes", [[1], [2], [6], [3, 4], [1, 1, 5], [2, 2, 2, 2], [0, 3]])
def test_tail_against_enumeration(sizes: list[int]) -> None:
    law = enumerated(sizes)
    every = sum(law.values())
    for concordant in range(max(law) + 1):
        expected = sum(times for count, times in law.items() if count >= concordant) / every
        assert 10 ** log10_concordance_tail(concordant, sizes) == pytest.approx(expected, rel=1e-12)


WORDS = {
    "two values": [0, 0, 0, 1, 1, 1],
    "three values": [0, 1, 1, 2, 2, 2, 2],
    "all tied": [3, 3, 3],
    "some": [1, 2, 2, 3],
}


def concordant_of(values: list[int]) -> int:
    return sum(first < second for first, second in itertools.combinations(values, 2))


@pytest.mark.parametrize("case", WORDS)
def test_tail_with_ties_against_enumeration(case: str) -> None:
    """Every arrangement of values of which some are equal, written down."""
    law = Counter(map(concordant_of, itertools.permutations(WORDS[case])))
    every = sum(law.values())
    ties = [times for times in Counter(WORDS[case]).values() if times > 1]
    size = len(WORDS[case])
    for concordant in range(size * (size - 1) // 2 - sum(m * (m - 1) // 2 for m in ties) + 1):
        expected = sum(times for count, times in law.items() if count >= concordant) / every
        assert 10 ** log10_concordance_tail(concordant, [size], ties) == pytest.approx(expected, rel=1e-12)
        inverted = module._inverted(concordant, max(law), [size], ties)
        assert math.log10(expected) - 1e-12 <= inverted <= chernoff(concordant, [size], ties) + 1e-12


def test_two_values_have_the_law_of_mann_and_whitney() -> None:
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(3)
    places, later = rng.permutation(40), rng.random(40) < 0.4
    expected = mannwhitneyu(places[later], places[~later], alternative="greater", method="exact").pvalue
    assert 10 ** training_order(places, later.astype(float)).log10_p == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("sizes", "ties"), [([6], []), ([3, 4], []), ([6], [3, 3]), ([7], [2, 4]), ([20], []), ([20, 12], [10, 5, 3])]
)
def test_the_bets_return_one_on_average_and_never_more_than_the_tail_allows(sizes: list[int], ties: list[int]) -> None:
    """By the law itself: the sum over all counts of chance times e-value."""
    at_most = module._orders(tuple(sizes), tuple(sorted(ties)))
    times = np.diff([0, *(float(count / at_most[-1]) for count in at_most)])[::-1]
    found = [log10_concordance_e(count, sizes, ties) for count in range(len(times))]
    assert float(times @ np.power(10.0, found)) == pytest.approx(1.0, rel=1e-6)
    assert all(e <= 1e-9 - log10_concordance_tail(count, sizes, ties) for count, e in enumerate(found))


def test_the_bet_loses_little_beside_the_tail() -> None:
    """What not knowing the effect costs: two to three and a half powers of ten at p from 1e-8 to 1e-21 of 1,000 documents."""
    for concordant in (281_000, 287_000, 299_000):
        p, e = log10_concordance_tail(concordant, [1_000]), log10_concordance_e(concordant, [1_000])
        assert -p - 3.5 < e < -p - 1.5


@pytest.mark.parametrize("documents", [60, 400])
def test_the_detectable_effect_is_found_by_simulation(documents: int) -> None:
    """Normal values with a trend of this tau: found nearly always, and seldom at half the effect."""
    rng = np.random.default_rng(14)

    def found(tau: float) -> float:
        slope = math.sqrt(2.0) * math.tan(math.pi * tau / 2.0)
        rise = slope * np.linspace(-1.0, 1.0, documents) * math.sqrt(1.5)
        return float(
            np.mean(
                [
                    training_order(range(documents), rise + rng.standard_normal(documents)).log10_p <= -6.0
                    for _ in range(60)
                ]
            )
        )

    detectable = tau_to_detect([documents], -6.0)
    assert found(detectable) >= 0.85
    assert found(detectable / 2.0) <= 0.4
    assert tau_to_detect([5], -6.0) == tau_to_detect([], -6.0) == 1.0


def test_tail_against_published_table() -> None:
    """Kendall and Gibbons (1990), appendix table 1: n = 8, S = 16 (22 of 28 pairs) .031; n = 10, S = 21 .036 (33 of 45)."""
    assert 10 ** log10_concordance_tail(22, [8]) == pytest.approx(0.031, abs=5e-4)
    assert 10 ** log10_concordance_tail(33, [10]) == pytest.approx(0.036, abs=5e-4)


def test_every_pair_concordant_is_one_order_of_all() -> None:
    for size in (40, 500, 5_000):
        expected = -math.lgamma(size + 1) / math.log(10)
        assert log10_concordance_tail(size * (size - 1) // 2, [size]) == pytest.approx(expected, rel=1e-12)


@st.composite
def strata_with_ties(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Sizes of strata, and of groups of tied documents that fit into them."""
    sizes, ties = draw(st.lists(st.integers(1, 60), min_size=1, max_size=4)), []
    for size in sizes:
        left = size
        while left > 1 and draw(st.booleans()):
            ties.append(draw(st.integers(2, left)))
            left -= ties[-1]
    return sizes, ties


@given(strata_with_ties(), st.floats(0.5, 1.0))
@settings(max_examples=200, deadline=None)
def test_what_is_not_counted_is_never_below_the_law_and_hardly_above(
    strata: tuple[list[int], list[int]], share: float
) -> None:
    """Where both can be had: the tail in whole numbers, and Chernoff's bound times what it leaves out."""
    sizes, ties = strata
    pairs = sum(size * (size - 1) // 2 for size in sizes) - sum(size * (size - 1) // 2 for size in ties)
    concordant = math.ceil(share * pairs)
    exact, found = (
        module._counted_tail(pairs - concordant, sizes, ties),
        module._inverted(concordant, pairs, sizes, ties),
    )
    assert exact - 1e-12 <= found <= chernoff(concordant, sizes, ties) + 1e-12
    if concordant > pairs / 2:
        assert found <= exact + 2e-4
    else:
        assert found == 0.0


def chernoff(concordant: int, sizes: list[int], ties: list[int]) -> float:
    pairs = sum(size * (size - 1) // 2 for size in sizes) - sum(size * (size - 1) // 2 for size in ties)
    return log_bound(module._moments(pairs, sizes, ties), concordant - pairs / 2.0) / math.log(10.0)


@pytest.mark.parametrize(("sizes", "ties"), [([300], []), ([1_000] * 10, []), ([3_000], [2_700, 5, 5, 2])])
def test_many_documents_against_the_normal_law(sizes: list[int], ties: list[int]) -> None:
    """Near the middle a sum of many is normal: one, two and three deviations out, and Chernoff's bound far above."""
    pairs = sum(size * (size - 1) // 2 for size in sizes) - sum(size * (size - 1) // 2 for size in ties)
    deviation = math.sqrt(module._moments(pairs, sizes, ties).variance)
    for distance in (1.0, 2.0, 3.0):
        concordant = round(pairs / 2 + distance * deviation)
        found = log10_concordance_tail(concordant, sizes, ties)
        assert 10**found == pytest.approx(norm.sf(distance), rel=0.03)
        assert 0.5 < chernoff(concordant, sizes, ties) - found < 1.0


def test_where_it_would_take_too_long_p_is_chernoffs_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inversion, "MOST_TERMS", 100)
    assert log10_concordance_tail(24_000, [300]) == chernoff(24_000, [300], [])


def test_where_counting_ends_p_does_not_jump() -> None:
    """5,995 pairs are counted, 6,105 are not; two tails equally many deviations out."""
    assert EXACT_PAIRS == 6_000
    for distance in (0.5, 2.0, 5.0):
        found = []
        for size in (110, 111):
            pairs = size * (size - 1) // 2
            deviation = math.sqrt(size * (size - 1) * (2 * size + 5) / 72.0)
            found.append(log10_concordance_tail(round(pairs / 2 + distance * deviation), [size]))
        assert found[0] == pytest.approx(found[1], abs=0.02)


# ------------------------------------------------------------------------------------------------------------- strangers


def mode_following(rng: np.random.Generator, count: int) -> np.ndarray:
    """Two values only, so that most pairs are tied."""
    return (rng.random(count) < 0.5).astype(float)


def copied_from_another(rng: np.random.Generator, count: int) -> np.ndarray:
    """The very same likelihoods in every trial: those of one other model."""
    return np.random.default_rng(77).standard_normal(count)


def heavy_and_dependent(rng: np.random.Generator, count: int) -> np.ndarray:
    """A random walk with Cauchy steps: strongly dependent from document to document."""
    return rng.standard_cauchy(count).cumsum()


STRANGERS = {
    "constant": lambda rng, count: np.zeros(count),
    "tied in two values": mode_following,
    "copied from another model": copied_from_another,
    "a random walk over the documents": heavy_and_dependent,
    "rounded to one digit": lambda rng, count: rng.standard_normal(count).round(0),
    "free": lambda rng, count: rng.standard_normal(count),
}


@pytest.mark.parametrize("kind", STRANGERS)
@pytest.mark.parametrize("controlled", [False, True], ids=["alone", "with a control"])
@pytest.mark.parametrize("documents", [40, 116], ids=["counted", "not counted"])
def test_p_of_strangers_is_uniform_or_larger(kind: str, controlled: bool, documents: int) -> None:
    """Only the order is random: 300 orders against likelihoods that nobody drew with them in mind."""
    rng = np.random.default_rng(5)
    control = np.random.default_rng(6).standard_normal(documents) if controlled else None
    found = np.array(
        [
            training_order(rng.permutation(documents), STRANGERS[kind](rng, documents), control, strata=4).log10_p
            for _ in range(300)
        ]
    )
    for level in (0.5, 0.2, 0.1, 0.02):
        allowed = level + 4.0 * math.sqrt(level * (1.0 - level) / len(found))
        assert (found <= math.log10(level)).mean() <= allowed, level
    assert (found <= 0.0).all()


@pytest.mark.parametrize("documents", [60, 200], ids=["counted", "not counted"])
def test_the_law_holds_its_level_without_ties(documents: int) -> None:
    """Not merely valid: 800 orders reach p <= .1 nearly one time in ten."""
    rng = np.random.default_rng(8)
    values = rng.standard_normal(documents)
    reached = np.mean([training_order(rng.permutation(documents), values).log10_p <= -1.0 for _ in range(800)])
    assert 0.07 < reached < 0.125


@pytest.mark.parametrize("kind", STRANGERS)
def test_the_permutation_p_of_strangers_is_uniform_or_larger(kind: str) -> None:
    rng = np.random.default_rng(9)
    found = np.array(
        [
            permutation_log10_p(rng.permutation(30), STRANGERS[kind](rng, 30), permutations=99, rng=rng)
            for _ in range(400)
        ]
    )
    for level in (0.5, 0.2, 0.05, 0.01):
        assert (found <= math.log10(level) + 1e-12).mean() <= level + 4.0 * math.sqrt(level / len(found)), level


def test_a_control_that_knows_the_order_breaks_the_null() -> None:
    """Why the owner's own model is no control: the suspect is a stranger, and p is absurdly small."""
    rng = np.random.default_rng(10)
    order = rng.permutation(400)
    difficulty = 3.0 * rng.standard_normal(400)
    own = difficulty - 0.01 * order + rng.standard_normal(400)
    assert training_order(order, difficulty + rng.standard_normal(400), own, strata=1).log10_p < -6.0


def test_of_a_constant_suspect_nothing_is_left_whatever_the_control() -> None:
    rng = np.random.default_rng(16)
    control = rng.integers(-3_000_000, 0, 200)
    assert training_order(rng.permutation(200), np.full(200, -1_234_567), control).pairs == 0


# ------------------------------------------------------------------------------------------------------------- relatives


def test_a_relative_is_found_and_a_control_helps_by_construction() -> None:
    """Difficulty has a deviation of 5, memory one of .5 from the first document to the last."""
    rng = np.random.default_rng(11)
    count = 2_000
    difficulty, order = 5.0 * rng.standard_normal(count), rng.permutation(count)
    suspect = difficulty + rng.standard_normal(count) + 1.0 * order / count
    control = difficulty + rng.standard_normal(count)
    alone, helped = training_order(order, suspect), training_order(order, suspect, control)
    assert helped.log10_p < -8.0 < alone.log10_p
    assert helped.tau_low > 0.0
    assert helped.documents == count
    assert len(helped.sizes) == module.STRATA
    assert log10_concordance_tail(helped.concordant, helped.sizes) == helped.log10_p


def test_a_control_on_another_scale_helps_as_much() -> None:
    rng = np.random.default_rng(15)
    difficulty, order = rng.standard_normal(500), rng.permutation(500)
    suspect = difficulty + 0.2 * rng.standard_normal(500) + 0.2 * order / 500
    control = difficulty + 0.2 * rng.standard_normal(500)
    plain = training_order(order, suspect, control).log10_p
    assert plain < -4.0
    assert training_order(order, suspect, 7.0 * control).log10_p == pytest.approx(plain, abs=1e-6)


def test_forgetting_what_came_last_is_not_counted_for_the_claim() -> None:
    assert training_order(range(200), [-float(place) for place in range(200)]).log10_p == 0.0


def test_the_permutation_p_is_never_below_one_in_all_permutations() -> None:
    rng = np.random.default_rng(12)
    found = permutation_log10_p(range(300), range(300), permutations=999, rng=rng)
    assert found == pytest.approx(-3.0)
    assert training_order(range(300), range(300)).log10_p < -600.0


@given(
    st.lists(st.floats(-50, 50), min_size=2, max_size=80),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_the_count_is_that_of_all_pairs(values: list[float], seed: int) -> None:
    places = np.random.default_rng(seed).permutation(len(values))
    found = training_order(places.tolist(), values)
    pairs = list(itertools.combinations(range(len(values)), 2))
    assert found.concordant == sum((places[i] - places[j]) * (values[i] - values[j]) > 0 for i, j in pairs)
    assert found.tied == sum(values[i] == values[j] for i, j in pairs)


@given(st.permutations(range(30)))
@settings(max_examples=30, deadline=None)
def test_how_the_documents_are_listed_plays_no_part(listed: list[int]) -> None:
    rng = np.random.default_rng(13)
    places, values, control = rng.permutation(30), rng.standard_normal(30).round(1), rng.standard_normal(30).round(0)
    again = training_order(places[listed], values[listed], control[listed], strata=3)
    assert again == training_order(places, values, control, strata=3)


@pytest.mark.parametrize(
    ("places", "values", "control"),
    [
        ([1, 1], [0.0, 1.0], None),
        ([1, 2], [0.0], None),
        ([1, 2], [0.0, math.nan], None),
        ([1, 2], [0.0, -math.inf], None),
        ([1, 2], [0.0, 1.0], [0.0]),
        ([1, 2], [0.0, 1.0], [0.0, math.nan]),
    ],
    ids=["place twice", "lengths", "not a number", "infinite", "control's length", "control not a number"],
)
def test_what_makes_no_sense_is_refused(places: list[int], values: list[float], control: list[float] | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        training_order(places, values, control)


def test_no_document_and_one_document_show_nothing() -> None:
    assert training_order([], []).log10_p == 0.0
    assert training_order([3], [-1.0]).log10_p == 0.0
