"""Closeness and contrast over models whose habits of opening are known because they were given them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.measures.habits import closeness, contrasts, shared_openings, vendor_closeness
from filiation.measures.text_features import features_of
from filiation.measures.text_kinship import Answers, pairs_of

PROMPTS = 30


def openings(manners: list[str], share: float = 0.5) -> np.ndarray:
    """Prompts x pairs: a model begins with its manner's words at a share of the prompts, else with words of its own."""
    texts, prompts, model = [], [], []
    for at, manner in enumerate(manners):
        rng = np.random.default_rng(at)
        for prompt in range(PROMPTS):
            begins = manner if rng.random() < share else f"own{at}"
            texts.append(" ".join(f"{begins}{prompt}x{n}" for n in range(10)))
            prompts.append(f"prompt {prompt}")
            model.append(at)
    place = np.array([int(name.split()[1]) for name in prompts], dtype=np.intp)
    return shared_openings(Answers(features_of(texts, prompts), np.array(model), place), len(manners), PROMPTS)


MANNERS = ["t", "t", "u", "u", "t", *[f"s{n}" for n in range(10)]]
LABS = ["T", "T", "U", "U", "student", *[f"lab {n}" for n in range(10)]]


def test_a_student_is_closest_to_its_teachers_and_leans_to_their_vendor() -> None:
    close = closeness(openings(MANNERS), len(MANNERS))
    assert set(np.argsort(close[4])[-2:]) == {0, 1}
    contrast = contrasts(close, LABS, ("T", "U"))
    assert contrast[0, 4] == contrast[1, 4] > 3
    assert contrast[2, 4] == 0


def test_a_models_own_lab_is_no_candidate_for_it() -> None:
    close = closeness(openings(MANNERS), len(MANNERS))
    contrast = contrasts(close, LABS, ("T", "U"))
    assert contrast[0, 1] == 0
    # Model 2 is of U: for it U is no rival of T, and it is compared with T's closeness to nobody else.
    assert contrast[0, 2] == 0


def test_a_vendor_is_the_mean_of_its_three_closest_models_without_the_model_itself() -> None:
    close = np.array([[0, 5, 4, 3, 9.0], [5, 0, 1, 1, 1], [4, 1, 0, 1, 1], [3, 1, 1, 0, 1], [9, 1, 1, 1, 0]])
    labs = ["A", "A", "A", "A", "A"]
    assert vendor_closeness(close, labs, "A")[0] == 6
    assert vendor_closeness(close, labs, "B")[0] == -np.inf


def test_agreement_is_missing_where_one_of_the_two_did_not_answer() -> None:
    texts = ["a b c"] * 9 + [""]
    found = shared_openings(Answers(features_of(texts, ["p"] * 10), np.arange(10), np.zeros(10, dtype=np.intp)), 10, 1)
    _, second = pairs_of(10)
    assert np.isnan(found[0][second == 9]).all()
    assert np.isfinite(found[0][second != 9]).all()


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(len(MANNERS))))
def test_the_order_of_the_models_does_not_matter(order: list[int]) -> None:
    """The suspect is treated like any control: only names are moved."""
    size = len(MANNERS)
    values = openings(MANNERS)
    matrix = np.zeros((PROMPTS, size, size), dtype=np.float32)
    first, second = pairs_of(size)
    matrix[:, first, second] = matrix[:, second, first] = values
    moved = matrix[:, order][:, :, order][:, first, second]
    plain, other = closeness(values, size), closeness(moved, size)
    np.testing.assert_allclose(other, plain[np.ix_(order, order)], atol=1e-5)
    labs = [LABS[at] for at in order]
    np.testing.assert_allclose(
        contrasts(other, labs, ("T", "U")), contrasts(plain, LABS, ("T", "U"))[np.ix_(order, order)], atol=1e-5
    )
