from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from filiation.measures.implicit_reward import implicit_rewards, kinship, log_probabilities
from filiation.measures.refusal_direction import cosines, difference_of_means, dimensions_in_common, last_states
from filiation.measures.representations import neutral_pieces
from filiation.sources.running import load_model
from studies.zoo import Zoo
from tests.measures.small_layers import random_rotation


@settings(deadline=None, derandomize=True, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), texts=st.integers(3, 60))
def test_kinship_is_spearman_s_correlation(seed: int, texts: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 9, texts).astype(float), rng.normal(size=texts)
    if np.ptp(one) > 0:
        assert kinship(one, other) == pytest.approx(spearmanr(one, other).statistic, abs=1e-12)


def test_constant_rewards_have_no_kinship_and_unequal_ones_are_refused() -> None:
    assert kinship(np.zeros(5), np.arange(5.0)) == 0.0
    with pytest.raises(ValueError, match="same three"):
        kinship(np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="texts of the tuned"):
        implicit_rewards(np.zeros(3), np.zeros(4))


def test_a_reward_put_into_two_bases_is_found_again_by_construction() -> None:
    """DPO's own algebra: tuned = base * exp(reward / beta) / Z, whatever the base and beta."""
    rng = np.random.default_rng(1)
    reward = rng.normal(size=50)
    bases = [rng.normal(size=50), rng.normal(size=50)]
    tuned = [base + reward / beta - 0.3 for base, beta in zip(bases, (0.1, 2.0), strict=True)]
    found = [implicit_rewards(model, base) for model, base in zip(tuned, bases, strict=True)]
    assert kinship(*found) == pytest.approx(1.0)


def test_fine_tunes_on_one_set_of_texts_are_more_akin_than_to_a_model_trained_on(zoo: Zoo) -> None:
    texts = [
        "def test_one(self):\n    self.assertEqual(1, 1)",
        "The quick brown fox",
        "import os\nimport sys\n",
        "x = 1",
    ]
    base, tuned, lora = (log_probabilities(load_model(zoo[name]), texts) for name in ("base-a", "fine-tuned", "lora"))
    assert base.shape == (4,)
    assert np.all(base < 0)
    assert kinship(implicit_rewards(tuned, base), implicit_rewards(lora, base)) > 0
    np.testing.assert_array_equal(implicit_rewards(base, base), np.zeros(4))


# ---------------------------------------------------------------------------------------------------- refusal directions


def test_the_direction_between_two_groups_is_the_one_that_was_put_there() -> None:
    rng = np.random.default_rng(2)
    states = rng.normal(size=(80, 3, 16)).astype(np.float32)
    planted = np.zeros((3, 16), dtype=np.float32)
    planted[:, 5] = 8.0
    found = difference_of_means(states[:40] + planted, states[40:])
    assert np.all(found[:, 5] > 0.9)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)


def test_a_rotated_copy_has_no_basis_in_common() -> None:
    rng = np.random.default_rng(3)
    states = rng.normal(size=(200, 24)).astype(np.float32)
    assert dimensions_in_common(states, states + 0.1, rng) == (24, 24)
    assert dimensions_in_common(states, states @ random_rotation(24, rng), rng)[0] < 12
    assert dimensions_in_common(states, states[:, :20], rng) == (0, 0)


def test_cosines_of_other_shapes_are_refused() -> None:
    same = np.eye(3, 8, dtype=np.float32)
    np.testing.assert_allclose(cosines(same, same), 1.0)
    with pytest.raises(ValueError, match="no basis in common"):
        cosines(same, same[:, :4])


def test_directions_of_a_fine_tune_stand_in_its_base_s_basis_and_those_of_a_stranger_do_not(zoo: Zoo) -> None:
    prompts = neutral_pieces(60, np.random.default_rng(4))[:300]
    states = {
        name: last_states(load_model(zoo[name]), prompts, [2])[:, 0] for name in ("base-a", "fine-tuned", "base-b")
    }
    rng = np.random.default_rng(4)
    count, possible = dimensions_in_common(states["base-a"], states["fine-tuned"], rng)
    assert count > possible / 2
    assert dimensions_in_common(states["base-a"], states["base-b"], rng)[0] < possible / 4
