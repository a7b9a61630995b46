"""Agreement of refusals once readiness and difficulty are removed, on models simulated from the additive model itself."""

from __future__ import annotations

import numpy as np

from filiation.measures.refusal_patterns import expected_refusals, informative, pattern_agreement


def simulated(models: int, prompts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    chances = 1 / (1 + np.exp(-(rng.normal(0, 1, (models, 1)) + rng.normal(0, 1.5, (1, prompts)))))
    return (rng.random((models, prompts)) < chances).astype(float), chances


def test_the_additive_model_is_found_again() -> None:
    values, chances = simulated(60, 400, 2)
    found = expected_refusals(values)
    assert np.abs(found - chances).mean() < 0.06
    assert np.allclose(found.sum(axis=1), values.sum(axis=1), atol=2.0)


def test_strangers_agree_about_as_often_as_not() -> None:
    """However ready to refuse two models are, without a common origin nothing is left."""
    values, _ = simulated(40, 300, 3)
    left = pattern_agreement(values)[np.triu_indices(40, 1)]
    assert abs(left.mean()) < 0.03
    assert left.max() < 0.35


def test_a_copy_that_changes_its_mind_stands_out() -> None:
    """Model 1 is model 0 with 15 % of its decisions drawn anew from its own readiness."""
    values, chances = simulated(40, 200, 4)
    rng = np.random.default_rng(5)
    changed = rng.random(200) < 0.15
    values[1] = np.where(changed, rng.random(200) < chances[0], values[0])
    agreement = pattern_agreement(values)
    assert agreement[0, 1] > 1.5 * np.delete(agreement[0], [0, 1]).max()


def test_those_who_never_refuse_agree_in_nothing_particular() -> None:
    """Two silent models say the same to everything, and that tells next to nothing."""
    values, _ = simulated(20, 40, 6)
    values[:2] = 0.0
    assert abs(pattern_agreement(values)[0, 1]) < 0.7
    assert pattern_agreement(values)[0, 1] < pattern_agreement(values, 1e-9)[0, 1]


def test_missing_answers_are_left_out() -> None:
    values, _ = simulated(12, 60, 7)
    values[3, :30] = np.nan
    values[4, 30:] = np.nan
    agreement = pattern_agreement(values)
    assert np.isfinite(agreement).all()
    assert agreement[3, 4] == 0.0
    assert np.allclose(agreement, agreement.T)


def test_informative_prompts_by_hand() -> None:
    """Of four models: nobody, one, two (one in part), all, and one of the two that answered."""
    values = np.asarray([[0, 1, 1, 1, 1], [0, 0, 0.5, 1, 0], [0, 0, 0, 1, np.nan], [0, 0, 0, 1, np.nan]], dtype=float)
    assert informative(values, 0.05, 0.8).tolist() == [False, True, True, False, True]
