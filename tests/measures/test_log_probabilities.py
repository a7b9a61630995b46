"""Kinship of log-probabilities. Truth: models made here of what everybody finds likely, what a parent does, and noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.measures.log_probabilities import kinship, per_byte, per_text
from filiation.sources.transcripts import SCHEMA, TranscriptSource, prompt_id
from tests.marked.drawn import row

ITEMS = 300


def models(seed: int, kept: float, number: int = 12) -> np.ndarray:
    """Strangers, and in the second row a child of the first that kept a share of its variance."""
    rng = np.random.default_rng(seed)
    common = -4 + 3 * rng.normal(size=ITEMS)
    own = rng.normal(size=(number, ITEMS))
    own[1] = np.sqrt(kept) * own[0] + np.sqrt(1 - kept) * own[1]
    return common + own - rng.uniform(0, 1, size=(number, 1))


@pytest.mark.parametrize("kept", [1.0, 0.6, 0.3])
def test_a_child_stands_nearest_its_parent_and_the_nearer_the_more_it_kept(kept: float) -> None:
    scores = kinship(models(1, kept))
    assert np.argmax(scores[0, 1:]) == 0
    assert scores[0, 1] == pytest.approx(kept, abs=0.15)


def test_a_strangers_rank_is_uniform() -> None:
    """Truth: twelve strangers made alike are exchangeable, so each place is as likely as any other."""
    places = [
        int((scores[0, 2:] >= scores[0, 1]).sum()) for scores in map(kinship, (models(s, 0.0) for s in range(300)))
    ]
    shares = np.bincount(places, minlength=11) / 300
    assert shares.max() < 0.17
    assert np.mean(np.array(places) == 0) < 0.15


def test_what_everybody_finds_likely_is_no_kinship() -> None:
    scores = kinship(models(2, 0.0))
    others = scores[~np.eye(12, dtype=bool)]
    assert np.corrcoef(models(2, 0.0))[0, 2] > 0.8
    assert others.mean() == pytest.approx(-1 / 11, abs=0.02)


def test_an_item_on_which_models_differ_wildly_does_not_decide() -> None:
    values = models(3, 0.6)
    values[:, 0] *= 1000
    assert kinship(values)[0, 1] == pytest.approx(kinship(models(3, 0.6))[0, 1], abs=0.05)


@settings(max_examples=30, deadline=None)
@given(shift=st.floats(-50, 50), scale=st.floats(0.1, 10), seed=st.integers(0, 1000))
def test_a_models_level_and_everybodys_scale_change_nothing(shift: float, scale: float, seed: int) -> None:
    values = models(seed, 0.5)
    moved = scale * values
    moved[3] += shift
    assert np.allclose(kinship(moved), kinship(values), atol=1e-6)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_every_model_is_measured_alike(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(12)
    values = models(seed, 0.5)
    assert np.allclose(kinship(values[order]), kinship(values)[np.ix_(order, order)])


def test_two_models_alone_and_empty_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 models"):
        kinship(models(1, 0.5)[:2])
    with pytest.raises(ValueError, match="without bytes"):
        per_text([np.zeros(1)], [""])


def test_whole_texts_are_measured_per_byte() -> None:
    assert per_text([np.array([-2.0, -4.0]), np.array([-9.0])], ["ab", "éa"]) == pytest.approx([-3.0, -3.0])


# -------------------------------------------------------------------------------------------------------- recorded scores


def recorded(tmp_path: Path, *rows: dict[str, Any]) -> TranscriptSource:
    pl.DataFrame(list(rows), schema=SCHEMA).write_parquet(tmp_path / "scores.parquet")
    return TranscriptSource(tmp_path / "scores.parquet")


def score(text: str, values: str, **fields: Any) -> dict[str, Any]:
    return row("one", text, item="score:a:1", options=1, log_probabilities=values) | fields


def test_per_byte_is_over_the_bytes_that_were_read(tmp_path: Path) -> None:
    source = recorded(
        tmp_path,
        score("éa", '[["",-3.0,[]]]'),
        score("a longer text", '[["",-3.0,[]]]', parameters='{"bytes":6,"cut_at_byte":6}'),
    )
    assert per_byte(source) == {prompt_id("éa"): -1_000_000, prompt_id("a longer text"): -500_000}


def test_of_two_rows_that_say_different_things_neither_is_taken(tmp_path: Path) -> None:
    twice = [score("abc", '[["",-3.0,[]]]'), score("abc", '[["",-6.0,[]]]'), score("abcd", '[["",-4.0,[]]]')]
    assert per_byte(recorded(tmp_path, *twice, twice[2])) == {prompt_id("abcd"): -1_000_000}


NOT_A_SCORE = {
    "a further sample": {"sample": 1},
    "options of a question": {"item": "mmlu:1", "options": 1},
    "two options": {"options": 2, "log_probabilities": '[["a",-1.0,[]],["b",-2.0,[]]]'},
    "no number": {"log_probabilities": '[["",null,[]]]'},
    "a reading": {"item": "read:a:1", "options": None},
    "an absurd size": {"parameters": '{"bytes":-4}'},
}


@pytest.mark.parametrize("case", NOT_A_SCORE)
def test_other_rows_are_no_scores_of_a_text(case: str, tmp_path: Path) -> None:
    assert per_byte(recorded(tmp_path, score("abc", '[["",-3.0,[]]]', **NOT_A_SCORE[case]))) == {}
