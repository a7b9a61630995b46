"""Fixed points of random permutations and injections: against enumeration, theory and simulation."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.statistics.permutations import (
    log10_factorial_moment_bound,
    log10_fixed_points_tail,
    log10_shared_indices_tail,
)


def enumerated_law(shapes: list[tuple[int, int]]) -> Counter[int]:
    """P(K = j) by writing down every injection of every shape (rows <= columns)."""
    law = Counter({0: Fraction(1)})
    for rows, columns in shapes:
        every = list(itertools.permutations(range(columns), rows))
        fixed = Counter(sum(i == image for i, image in enumerate(matching)) for matching in every)
        grown: Counter[int] = Counter()
        for j, mass in law.items():
            for more, times in fixed.items():
                grown[j + more] += mass * Fraction(times, len(every))
        law = grown
    return law


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 1)],
        [(2, 2)],
        [(6, 6)],
        [(3, 5)],
        [(1, 4)],
        [(4, 4), (4, 4), (4, 4)],
        [(1, 1), (1, 1), (3, 3)],
        [(5, 5), (2, 6), (3, 4), (1, 1)],
    ],
)
def test_tail_against_enumeration(shapes):
    law = enumerated_law(shapes)
    for count in range(sum(rows for rows, _ in shapes) + 1):
        expected = sum((mass for j, mass in law.items() if j >= count), Fraction(0))
        found = log10_shared_indices_tail(count, shapes)
        assert 10**found == pytest.approx(float(expected), rel=1e-10)


def montmort(n: int) -> list[Fraction]:
    """Montmort's law in exact rationals."""
    return [
        Fraction(1, math.factorial(j)) * sum(Fraction((-1) ** i, math.factorial(i)) for i in range(n - j + 1))
        for j in range(n + 1)
    ]


def test_deep_tail_of_four_layers_against_exact_rationals():
    size, layers = 60, 4
    single, law = montmort(size), [Fraction(1)]
    for _ in range(layers):
        grown = [Fraction(0)] * (len(law) + size)
        for i, a in enumerate(law):
            for j, b in enumerate(single):
                grown[i + j] += a * b
        law = grown
    for count in (0, 1, 4, 5, 19, 113, 238, 239, 240):
        tail = sum(law[count:], Fraction(0))
        expected = math.log10(tail.numerator) - math.log10(tail.denominator)
        assert log10_fixed_points_tail(count, [size] * layers) == pytest.approx(expected, rel=1e-11, abs=1e-13)


def test_every_index_shared_is_one_order_in_all_orders():
    expected = -4 * math.lgamma(385) / math.log(10)
    assert log10_fixed_points_tail(4 * 384, [384] * 4) == pytest.approx(expected, rel=1e-12)
    assert expected < -3000


def test_large_layers_approach_the_poisson_law_by_theory():
    # 32 layers of 14,336 units: the total is Poisson with mean 32 up to 1/n!.
    poisson_tail = math.fsum(math.exp(-32 + j * math.log(32) - math.lgamma(j + 1)) for j in range(100, 400))
    found = log10_fixed_points_tail(100, [14_336] * 32)
    assert found == pytest.approx(math.log10(poisson_tail), rel=1e-9)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6), st.data())
def test_tail_falls_with_the_count_and_ignores_order_and_roles(shapes, data):
    total = sum(min(shape) for shape in shapes)
    count = data.draw(st.integers(0, total - 1))
    here = log10_shared_indices_tail(count, shapes)
    assert math.isfinite(here)
    assert log10_shared_indices_tail(count + 1, shapes) <= here + 1e-9
    if max(max(shape) for shape in shapes) > 1:
        assert log10_shared_indices_tail(total, shapes) < log10_shared_indices_tail(0, shapes) == 0.0
    turned = [(columns, rows) for rows, columns in reversed(shapes)]
    assert log10_shared_indices_tail(count, turned) == pytest.approx(here, rel=1e-9, abs=1e-12)


@given(st.integers(1, 60), st.integers(0, 60), st.data())
def test_exact_tail_is_never_above_the_factorial_moment_bound(rows, spare, data):
    count = data.draw(st.integers(0, rows))
    bound = log10_factorial_moment_bound(count, rows, rows + spare)
    exact = log10_shared_indices_tail(count, [(rows, rows + spare)])
    assert exact <= bound + 1e-9
    if (rows - count, spare) != (1, 0):  # one place left in a square is never a near miss
        assert bound <= exact + math.log10(3.0) + 1e-9


def test_simulated_permutations_are_accused_no_more_often_than_promised():
    rng = np.random.default_rng(3)
    runs, sizes = 4000, [30, 30, 12]
    counts = sum((rng.permuted(np.tile(np.arange(n), (runs, 1)), axis=1) == np.arange(n)).sum(axis=1) for n in sizes)
    p_values = np.array([10 ** log10_fixed_points_tail(k, sizes) for k in range(sum(sizes) + 1)])
    for count in range(9):
        level = p_values[count]
        assert (counts >= count).mean() == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / runs) + 1e-12)


def test_simulated_injections_against_the_exact_law():
    rng = np.random.default_rng(4)
    runs, rows, columns = 6000, 20, 25
    drawn = rng.permuted(np.tile(np.arange(columns), (runs, 1)), axis=1)[:, :rows]
    counts = (drawn == np.arange(rows)).sum(axis=1)
    for count in range(1, 5):
        level = 10 ** log10_shared_indices_tail(count, [(rows, columns)])
        assert (counts >= count).mean() == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / runs))


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="not between"):
        log10_fixed_points_tail(5, [2, 2])
    with pytest.raises(ValueError, match="at least one row"):
        log10_fixed_points_tail(0, [3, 0])
    with pytest.raises(ValueError, match="not between"):
        log10_factorial_moment_bound(4, 3, 5)
    assert log10_fixed_points_tail(0, []) == 0.0
