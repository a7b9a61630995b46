"""Looking more than once: orders, paths, ranks that hold, and e-processes where they are allowed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from filiation.evidence import Coincidences, Null
from filiation.statistics.e_values import log10_e_value
from filiation.statistics.line_up import rank_among_lineages
from filiation.statistics.sequential import (
    e_process,
    over_looks,
    parse_looks,
    path_maximum,
    planned_looks,
    planned_order,
    running_rank,
    standardised,
)
from studies.sequential import e_process_crossings, line_ups, log_e_paths, naive_line_ups

IDS = st.lists(st.text("abcdef0123456789", min_size=1, max_size=6), unique=True, max_size=30)
NUMBERS = st.integers(-60_000, 60_000)  # scores are recorded in ten-thousandths
MATRICES = st.integers(3, 6).flatmap(
    lambda n: st.lists(NUMBERS, min_size=n * n, max_size=n * n).map(lambda flat: np.array(flat).reshape(n, n) / 10_000)
)


@given(IDS, st.integers(0, 1000), st.data())
def test_the_order_of_two_prompts_never_depends_on_the_others(ids: list[str], seed: int, data: st.DataObject) -> None:
    order = planned_order(ids, seed)
    some = data.draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []
    assert [prompt for prompt in order if prompt in some] == list(planned_order(some, seed))
    assert sorted(order) == sorted(ids)


def test_orders_differ_between_seeds_and_stay_on_every_machine() -> None:
    ids = [str(number) for number in range(6)]
    assert planned_order(ids, 1) != planned_order(ids, 2)
    assert planned_order(ids, 0) == ("0", "3", "2", "4", "5", "1")


def test_looks_from_a_plan_and_from_text() -> None:
    assert planned_looks(60, 25) == (25, 50, 60)
    assert planned_looks(50, 25) == (25, 50)
    assert planned_looks(10, 25) == (10,)
    assert parse_looks("25, 50,100") == (25, 50, 100)
    assert parse_looks("") == ()
    for nonsense in ("50,25", "a", "0,5", "5,5"):
        with pytest.raises(ValueError, match="looks"):
            parse_looks(nonsense)
    with pytest.raises(ValueError, match="at least one"):
        planned_looks(0, 25)


@given(MATRICES, st.floats(0.1, 10), st.floats(-10, 10))
@settings(max_examples=60, deadline=None)
def test_standardising_keeps_ranks_and_forgets_the_unit(scores: np.ndarray, unit: float, shift: float) -> None:
    plain, moved = standardised(scores), standardised(scores * unit + shift)
    others = ~np.eye(len(scores), dtype=bool)
    for row in range(len(scores)):
        mine, theirs = plain[row][others[row]], scores[row][others[row]]
        assert ((mine[:, None] < mine[None, :]) == (theirs[:, None] < theirs[None, :])).all()
    assert np.allclose(plain, moved, rtol=1e-6, atol=1e-6)


def test_the_suspect_is_standardised_like_a_control() -> None:
    """Exchanging two candidates exchanges their scores and nothing else."""
    scores = np.random.default_rng(1).normal(size=(6, 6))
    order = [0, 4, 2, 3, 1, 5]
    assert np.allclose(standardised(scores[np.ix_(order, order)]), standardised(scores)[np.ix_(order, order)])


def test_without_looks_the_score_is_left_untouched() -> None:
    matrix = np.arange(9.0).reshape(3, 3)
    assert over_looks(["a", "b"], "", 0, lambda ids: matrix) is matrix
    seen: list[tuple[str, ...]] = []

    def score(ids: tuple[str, ...]) -> np.ndarray:
        seen.append(ids)
        return np.random.default_rng(len(ids)).normal(size=(4, 4))

    ids = [str(number) for number in range(7)]
    found = over_looks(ids, "2,5,50", 3, score)
    assert [len(each) for each in seen] == [2, 5, 7]
    assert seen[0] == seen[2][:2]
    assert np.array_equal(found, path_maximum([score(each) for each in seen[:3]]))


@given(
    st.lists(st.floats(-9, 9), min_size=4, max_size=4),
    st.lists(st.lists(st.floats(-9, 9), min_size=4, max_size=4), min_size=1, max_size=12),
    st.integers(1, 4),
)
def test_an_early_p_is_never_below_the_final_one(suspect: list[float], controls: list[list[float]], look: int) -> None:
    paths = {f"l{at}": [path] for at, path in enumerate(controls)}
    early, final = running_rank(suspect[:look], paths), running_rank(suspect, paths)
    assert early.log10_p >= final.log10_p
    assert final.log10_p == rank_among_lineages(max(suspect), {k: [max(p[0])] for k, p in paths.items()}).log10_p


def test_a_running_rank_needs_whole_control_paths() -> None:
    with pytest.raises(ValueError, match="whole paths"):
        running_rank([1.0, 2.0], {"a": [[1.0]]})
    with pytest.raises(ValueError, match="one look"):
        running_rank([], {"a": [[1.0]]})
    with pytest.raises(ValueError, match="one look"):
        path_maximum([])


# ---------------------------------------------------------------------------------------------------------- e-processes


@pytest.mark.parametrize("null", [Null.POPULATION, Null.MODEL])
def test_betting_is_refused_where_pairs_differ_for_their_own_reasons(null: Null) -> None:
    with pytest.raises(ValueError, match=r"tau = \.017"):
        e_process(null, [Coincidences(count=3, opportunities=10, chance=0.1)])


def test_the_e_process_is_the_e_value_at_each_look_and_looks_continue() -> None:
    looks = [Coincidences(count=k, opportunities=n, chance=1 / 16) for k, n in ((1, 8), (3, 16), (9, 64))]
    assert e_process(Null.CONSTRUCTION, looks) == tuple(map(log10_e_value, looks))
    with pytest.raises(ValueError, match="continue"):
        e_process(Null.EXCHANGEABILITY, looks[::-1])
    with pytest.raises(ValueError, match="one chance"):
        e_process(Null.CONSTRUCTION, [Coincidences(count=1, opportunities=2, chances=(0.1, 0.2))])


def test_the_simulation_bets_with_the_shipped_e_value() -> None:
    agreed = np.array([[1, 0, 1, 1, 0, 1]], dtype=bool)
    shipped = [
        log10_e_value(Coincidences(count=int(agreed[0, :n].sum()), opportunities=n, chance=0.3)) * math.log(10)
        for n in range(1, 7)
    ]
    assert np.allclose(log_e_paths(agreed, 0.3)[0], shipped)


def test_ville_by_simulation_and_the_population_that_breaks_it() -> None:
    """With rates as promised, at most 1 in 20 crosses e = 20; with tau = .017 three times as many do."""
    rng = np.random.default_rng(0)
    kept, broken = (e_process_crossings(250, 0.2, rng, tau=tau)["e >= 20"] for tau in (0.0, 0.017))
    assert binom.sf(round(250 * kept) - 1, 250, 0.05) > 1e-3
    assert broken > 0.08


def test_ranks_of_path_maxima_hold_their_level_with_early_stopping_by_simulation() -> None:
    """Rarity-weighted scores, controls' later looks without the suspect; ranking anew at each look would not hold."""
    rng = np.random.default_rng(2)
    runs = 250
    found = line_ups(runs, 19, 60, 15, rng)
    assert binom.sf(round(runs * found["p <= 0.05"]) - 1, runs, 0.05) > 1e-3
    assert binom.sf(round(runs * found["p <= 0.1"]) - 1, runs, 0.1) > 1e-3
    assert naive_line_ups(runs, 19, 60, 15, rng) > 0.05
