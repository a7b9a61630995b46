"""Truth here: rarity sums made with plain Python, least squares with a known answer, and a simulated world of related models."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from filiation.measures.text_features import features_of
from filiation.measures.text_kinship import (
    FEWEST_MODELS,
    Answers,
    combined,
    kinship,
    pairs_of,
    ranked,
    shared_rarity,
    similarity,
    without_model_effects,
)

FLOATS = st.floats(-5, 5, allow_nan=False)


def world(models: int = 12, prompts: int = 30, seed: int = 0) -> tuple[list[str], list[str], Answers]:
    """Answers of random words; models 0 and 1 share half of their words on every prompt."""
    rng = np.random.default_rng(seed)
    texts, ids, model, prompt = [], [], [], []
    for at in range(prompts):
        base = rng.integers(0, 300, size=40)
        for which in range(models):
            own = rng.integers(0, 300, size=40)
            words = np.where(np.arange(40) < 20, base, own) if which < 2 else own
            texts.append(" ".join(f"w{word}" for word in words))
            ids.append(str(at))
            model.append(which)
            prompt.append(at)
    answers = Answers(features_of(texts, ids), np.array(model), np.array(prompt))
    return texts, ids, answers


def test_shared_rarity_against_plain_sets() -> None:
    texts = ["a b c d e", "a b c x y", "q a b c r", "m n o p q"]
    sets = features_of(texts, ["p"] * 4).sets["word-3"]
    runs = [{tuple(text.split()[at : at + 3]) for at in range(3)} for text in texts]
    holders = {run: sum(run in other for other in runs) for one in runs for run in one}
    weight = {run: math.log(5 / count) ** 2 for run, count in holders.items()}
    total = [sum(weight[run] for run in one) for one in runs]
    cosine, shorter = shared_rarity(sets), shared_rarity(sets, by_shorter=True)
    for i in range(4):
        for j in range(4):
            if i != j:
                both = sum(weight[run] for run in runs[i] & runs[j])
                assert cosine[i, j] == pytest.approx(both / math.sqrt(total[i] * total[j]), abs=1e-6)
                assert shorter[i, j] == pytest.approx(both / min(total[i], total[j]), abs=1e-6)


def test_a_phrase_that_all_have_tells_less_than_one_that_two_have() -> None:
    common, rare = "as an ai model", "quiet purple engines hum"
    texts = [f"{common} {rare}", f"{common} one two", f"{rare} x y"] + [f"{common} {n} m{n}" for n in "abcdef"]
    shared = shared_rarity(features_of(texts, ["p"] * len(texts)).sets["word-3"])
    assert shared[0, 2] > shared[0, 1]


@given(arrays.arrays(np.float64, st.integers(1, 50), elements=FLOATS))
def test_ranks_are_centred_and_keep_the_order(values: np.ndarray) -> None:
    ranks = ranked(values)
    assert abs(float(ranks.sum())) < 1e-3
    assert np.abs(ranks).max() < 0.5
    order = np.argsort(values)
    assert (np.diff(ranks[order]) >= -1e-6).all()


@settings(deadline=None)
@given(arrays.arrays(np.float64, 9, elements=FLOATS))
def test_additive_effects_are_removed_without_rest(effects: np.ndarray) -> None:
    matrix = effects[:, None] + effects[None, :]
    np.fill_diagonal(matrix, 0.0)
    assert np.abs(without_model_effects(matrix)).max() < 1e-9


def test_an_excess_of_one_pair_survives_the_removal_of_effects() -> None:
    matrix = np.zeros((20, 20))
    matrix[3, 7] = matrix[7, 3] = 1.0
    rest = without_model_effects(matrix)
    np.fill_diagonal(rest, -1)
    assert np.unravel_index(rest.argmax(), rest.shape) in ((3, 7), (7, 3))
    assert rest.max() > 0.8


def test_the_related_pair_stands_above_all_others() -> None:
    _, _, answers = world()
    scores = kinship(combined(answers, 12, 30), 12)
    np.fill_diagonal(scores, -np.inf)
    assert np.unravel_index(scores.argmax(), scores.shape) == (0, 1)
    assert np.array_equal(scores, scores.T)


def test_no_model_is_treated_differently_for_its_place() -> None:
    """Validity rests on this: the suspect is scored as every control is."""
    _, _, answers = world(seed=3)
    scores = kinship(combined(answers, 12, 30), 12)
    new_place = np.random.default_rng(1).permutation(12)
    moved = kinship(combined(Answers(answers.features, new_place[answers.model], answers.prompt), 12, 30), 12)
    assert np.allclose(moved[np.ix_(new_place, new_place)], scores, atol=1e-4)


def test_the_order_of_the_prompts_does_not_count() -> None:
    _, _, answers = world(seed=4)
    values = combined(answers, 12, 30)
    assert np.allclose(kinship(values[::-1], 12), kinship(values, 12), atol=1e-4)
    assert np.allclose(kinship(np.repeat(values, 2, axis=0), 12), kinship(values, 12), atol=1e-4)
    assert np.allclose(kinship(values, 12, np.full(30, 3.0)), kinship(values, 12), atol=1e-4)


def test_missing_answers_are_left_out_and_not_counted_as_different() -> None:
    texts, ids, answers = world(seed=5)
    rng = np.random.default_rng(2)
    gone = (answers.model == 1) & (rng.random(len(texts)) < 0.3)
    blank = ["" if missing else text for text, missing in zip(texts, gone, strict=True)]
    values = combined(Answers(features_of(blank, ids), answers.model, answers.prompt), 12, 30)
    assert np.isnan(values).any()
    scores = kinship(values, 12)
    assert np.isfinite(scores).all()
    assert scores[0, 1] == scores.max()


def test_too_few_models_have_no_scores() -> None:
    _, _, answers = world(models=FEWEST_MODELS - 1)
    values = combined(answers, FEWEST_MODELS - 1, 30)
    assert np.isnan(values).all()
    assert not kinship(values, FEWEST_MODELS - 1).any()


def test_pairs_stand_in_the_order_of_the_upper_triangle() -> None:
    first, second = pairs_of(4)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_length_and_structure_are_distances_turned_round() -> None:
    here = features_of(["a b c", "a b c d e f", "# x\n\n- a\n- b"], ["p"] * 3)
    for name in ("length", "structure"):
        found = similarity(here, name)
        assert found.shape == (3, 3)
        assert (found <= 0).all()
        assert not np.diag(found).any()
    with pytest.raises(KeyError):
        similarity(here, "colour")
