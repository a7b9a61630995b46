from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import poisson

from filiation.measures.neurons import (
    Neurons,
    inverse_root,
    opportunities,
    partners,
    same_partner_twice,
    unit_rows,
    whiten,
    whitened,
)
from tests.measures.small_layers import random_neurons, random_rotation, rewritten

seeds = st.integers(0, 2**32 - 1)
examples = settings(deadline=None, derandomize=True, max_examples=30)


# ------------------------------------------------------------------------------------------------------------ whitening


@examples
@given(seed=seeds, width=st.integers(2, 24), extra=st.integers(1, 60))
def test_whitening_is_equivariant_under_rotation(seed: int, width: int, extra: int) -> None:
    rng = np.random.default_rng(seed)
    rows = random_neurons(width + extra, width, rng).first
    rotation = random_rotation(width, rng)
    np.testing.assert_allclose(whiten(rows @ rotation), whiten(rows) @ rotation, atol=2e-3)


@examples
@given(seed=seeds, width=st.integers(2, 24), extra=st.integers(1, 60))
def test_whitened_directions_have_equal_weight_by_definition(seed: int, width: int, extra: int) -> None:
    rows = random_neurons(width + extra, width, np.random.default_rng(seed)).first
    white = whiten(rows)
    np.testing.assert_allclose(white.T @ white, np.eye(width), atol=2e-3)


def test_whitening_leaves_out_directions_that_no_row_has() -> None:
    rows = random_neurons(40, 8, np.random.default_rng(0)).first
    rows[:, 3] = 0
    white = whiten(rows)
    assert np.all(np.isfinite(white))
    assert np.all(np.abs(white[:, 3]) < 1e-6)
    assert np.linalg.matrix_rank(white) == 7


def test_inverse_root_of_a_matrix_of_zeros_is_zero() -> None:
    assert np.all(inverse_root(np.zeros((4, 4))) == 0)


@examples
@given(seed=seeds, exponent=st.integers(-18, 18))
def test_unit_rows_have_length_one_whatever_their_scale_and_zeros_stay(seed: int, exponent: int) -> None:
    rows = random_neurons(20, 6, np.random.default_rng(seed)).first * np.float32(10.0**exponent)
    rows[5] = 0
    lengths = np.linalg.norm(unit_rows(rows).astype(np.float64), axis=1)
    assert lengths[5] == 0
    np.testing.assert_allclose(np.delete(lengths, 5), 1.0, atol=1e-5)


# -------------------------------------------------------------------------------------------------------- opportunities


def test_rows_of_zeros_in_any_part_are_no_opportunities() -> None:
    rng = np.random.default_rng(1)
    neurons = random_neurons(30, 8, rng)
    neurons.first[3] = 0
    neurons.second[0][7] = 0
    neurons.second[1][11] = 0
    assert set(range(30)) - set(opportunities(neurons, rng).tolist()) == {3, 7, 11}


def test_of_exact_duplicates_one_is_kept() -> None:
    rng = np.random.default_rng(2)
    neurons = random_neurons(20, 8, rng)
    doubled = neurons.take(np.array([*range(20), 4, 4, 9]))
    for _ in range(20):
        kept = opportunities(doubled, rng).tolist()
        assert len(kept) == 20
        assert len({4, 20, 21} & set(kept)) == 1
        assert len({9, 22} & set(kept)) == 1


def test_which_duplicate_is_kept_is_left_to_the_seed() -> None:
    neurons = random_neurons(10, 8, np.random.default_rng(3))
    doubled = neurons.take(np.array([*range(10), 4]))
    kept = {4 in opportunities(doubled, np.random.default_rng(seed)).tolist() for seed in range(40)}
    assert kept == {True, False}


def test_duplicates_up_to_scale_and_joint_sign_are_one_opportunity() -> None:
    """A neuron with up * s and down / s does the same work as the neuron itself, s < 0 included."""
    rng = np.random.default_rng(4)
    neurons = random_neurons(200, 16, rng)
    copies = rewritten(neurons, np.eye(16, dtype=np.float32), np.arange(200), rng)
    both = Neurons(
        first=np.concatenate([neurons.first, copies.first]),
        second=tuple(np.concatenate(parts) for parts in zip(neurons.second, copies.second, strict=True)),
    )
    kept = opportunities(both, rng)
    assert len({int(row) % 200 for row in kept}) == 200
    assert kept.size == 200


@pytest.mark.parametrize("padding", [0.0, 1.0])
def test_strangers_with_padded_rows_at_the_end_do_not_agree_there(padding: float) -> None:
    rng = np.random.default_rng(5)
    counts = []
    for _ in range(10):
        layers = []
        for _ in range(2):
            neurons = random_neurons(120, 16, rng)
            for part in (neurons.first, *neurons.second):
                part[96:] = padding
            layers.append(whitened(neurons.take(opportunities(neurons, rng))))
        assert {layer.count for layer in layers} == {96 + (padding > 0)}
        counts.append(same_partner_twice(layers[0], layers[1], None, rng))
    assert sum(counts) <= 25  # Poisson with mean 10


# ------------------------------------------------------------------------------------------------------------- matching


@examples
@given(seed=seeds, rows=st.integers(1, 12), columns=st.integers(1, 12))
def test_partners_is_the_assignment_of_scipy(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.standard_normal((rows, columns)).astype(np.float32)
    partner = partners(similarity, rng)
    assert np.count_nonzero(partner >= 0) == min(rows, columns)
    assigned = partner[partner >= 0]
    assert len(set(assigned.tolist())) == assigned.size
    best = similarity[linear_sum_assignment(similarity, maximize=True)].sum()
    assert similarity[partner >= 0, assigned].sum() == pytest.approx(float(best), abs=1e-4)


def test_ties_fall_at_random_and_not_on_the_diagonal() -> None:
    """An assignment of equal similarities is a uniform permutation: one fixed point on average (Montmort 1708)."""
    rng = np.random.default_rng(6)
    fixed = sum(
        int(np.count_nonzero(partners(np.zeros((25, 25), np.float32), rng) == np.arange(25))) for _ in range(400)
    )
    assert poisson.ppf(1e-6, 400) < fixed < poisson.isf(1e-6, 400)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_double_matching_finds_a_rotated_permuted_rescaled_copy(gated: bool, noise: float) -> None:
    rng = np.random.default_rng(7)
    neurons = random_neurons(150, 24, rng, gated=gated)
    rotation, order = random_rotation(24, rng), rng.permutation(150)
    copy = rewritten(neurons, rotation, order, rng, noise=noise)
    assert same_partner_twice(whitened(neurons), whitened(copy), rotation, rng) >= 0.95 * 150


def test_double_matching_without_the_rotation_finds_nothing_in_a_rotated_copy() -> None:
    rng = np.random.default_rng(8)
    neurons = random_neurons(150, 24, rng)
    copy = rewritten(neurons, random_rotation(24, rng), rng.permutation(150), rng)
    assert same_partner_twice(whitened(neurons), whitened(copy), None, rng) <= 10


def test_double_matching_finds_the_neurons_that_a_narrower_copy_kept() -> None:
    rng = np.random.default_rng(9)
    neurons = random_neurons(150, 24, rng)
    rotation = random_rotation(24, rng)
    copy = rewritten(neurons, rotation, rng.permutation(150)[:100], rng, noise=0.1)
    assert same_partner_twice(whitened(neurons), whitened(copy), rotation, rng) >= 90
    assert same_partner_twice(whitened(copy), whitened(neurons), np.ascontiguousarray(rotation.T), rng) >= 90


def test_independent_neurons_agree_as_often_as_a_permutation_has_fixed_points() -> None:
    """Two assignments that have nothing to do with one another: Poisson with mean 1 in the limit (Montmort 1708)."""
    rng = np.random.default_rng(10)
    counts = [
        same_partner_twice(whitened(random_neurons(60, 16, rng)), whitened(random_neurons(60, 16, rng)), None, rng)
        for _ in range(400)
    ]
    assert poisson.ppf(1e-6, 400) < sum(counts) < poisson.isf(1e-6, 400)
    assert max(counts) <= poisson.isf(1e-6 / 400, 1)
