"""The examiner of the output layer beyond the bench: what it declines, and recordings in the place of a model that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

pytest.importorskip("torch", reason="models are run with torch: pip install 'filiation[models]'")

from filiation.evidence import Absent, Finding, Inconclusive, Relation, Relations
from filiation.examiners import output_subspace
from filiation.examiners.catalogue import calibration
from filiation.examiners.examiner import Subject
from filiation.investigation import compare
from filiation.sources.joined import JoinedSource
from filiation.sources.open import open_source
from filiation.sources.running import load_model
from filiation.sources.transcripts import PREFIX, SCHEMA, prompt_id
from filiation.statistics.register import empty
from studies.zoo import Zoo

ASCII = 128


def recording(zoo: Zoo, name: str, place: Path, listed: int = ASCII, answers: int = 160) -> str:
    """What a served member of the zoo would have listed of the first 128 tokens, one answer of one token per prompt."""
    rng = np.random.default_rng(3)
    contexts = rng.integers(ASCII, size=(answers, 12))
    values = load_model(zoo[name]).next_token_log_probabilities(list(contexts)).values[:, :ASCII]
    rows = []
    for number, row in enumerate(values):
        best = np.argsort(-row)[:listed]
        others = [[chr(token), round(float(row[token]), 4)] for token in best]
        prompt = f"prompt {number}"
        empty_row: dict[str, Any] = dict.fromkeys(SCHEMA, None) | {
            "lineage": "",
            "lab": "",
            "item": "",
            "parameters": "{}",
        }
        rows.append(
            empty_row
            | {"model": name, "prompt_id": prompt_id(prompt), "prompt": prompt, "sample": 0, "text": others[0][0]}
            | {"log_probabilities": json.dumps([[*others[0], others]]), "source_sha256": ""}
        )
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(place / f"{name}.parquet")
    return f"{PREFIX}{place / f'{name}.parquet'}#{name}"


def related(reference: str | Path, suspect: str | Path, **parameters: Any) -> Relation | Absent:
    subjects = []
    for place in (reference, suspect):
        source = open_source(place)
        seen = output_subspace.observe(source)
        if isinstance(seen, Absent):
            return seen
        subjects.append(Subject(source=source, observation=seen, parameters=parameters))
    return output_subspace.relate(subjects[0], subjects[1], 0)


def test_nothing_is_run_unasked_and_the_outcome_says_how_to_ask(zoo: Zoo) -> None:
    (outcome,) = compare(zoo["base-a"], zoo["fine-tuned"], only=("output_subspace",)).outcomes
    assert not isinstance(outcome, Finding | Inconclusive)
    assert "set the parameter run of output_subspace to true in a plan" in outcome.reason


def test_asked_for_it_is_run_and_found(zoo: Zoo) -> None:
    settings = {"output_subspace": {"run": True}}
    (outcome,) = compare(zoo["base-a"], zoo["fine-tuned"], only=("output_subspace",), parameters=settings).outcomes
    assert isinstance(outcome, Finding)
    assert outcome.count == outcome.opportunities == 32


def test_under_a_code_name_and_in_parts_it_is_run_all_the_same(zoo: Zoo) -> None:
    parts = [open_source(zoo["fine-tuned"] / "tokenizer.json"), open_source(zoo["fine-tuned"])]
    coded = JoinedSource(parts, name="K7R2", neutral=True)
    settings = {"output_subspace": {"run": True}}
    found = compare(zoo["base-a"], coded, only=("output_subspace",), parameters=settings)
    assert found.relations["output_subspace"].pair.second == "K7R2"
    assert [outcome.count for outcome in found.outcomes if isinstance(outcome, Finding)] == [32]


@pytest.mark.parametrize(("suspect", "own"), [("base-other-shape", True), ("base-a", False), ("base-b", False)])
def test_a_recording_stands_for_the_model_that_made_it(zoo: Zoo, suspect: str, own: bool, tmp_path: Path) -> None:
    found = related(zoo["base-other-shape"], recording(zoo, suspect, tmp_path))
    assert isinstance(found, Relation), found
    assert found.content["collected"] == "recorded"
    assert (found.content["count"] > 20) is own
    (outcome,) = output_subspace.judge(Relations(pair=found), (), calibration(output_subspace))
    assert isinstance(outcome, Finding)
    assert (outcome.log10_p <= outcome.power.threshold_log10_p) is own


@pytest.mark.parametrize("listed", [5, 20, 60])
def test_twenty_alternatives_say_nothing_and_the_reason_says_why(zoo: Zoo, listed: int, tmp_path: Path) -> None:
    found = related(zoo["base-other-shape"], recording(zoo, "base-other-shape", tmp_path, listed, answers=8))
    assert isinstance(found, Absent)
    assert "k log-probabilities say nothing" in found.reason


HOSTILE = {
    "nested without end": "[" * 200_000,
    "four hundred digits": f'[["a",-1{"0" * 400},[]]]',
    "an object": '{"a":1}',
    "a number": "5",
    "a token without alternatives": '[["a",-1.0]]',
    "no log-probability": '[["a",null,[]]]',
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_row_that_is_no_list_of_tokens_leaves_the_others_standing(zoo: Zoo, kind: str, tmp_path: Path) -> None:
    place = recording(zoo, "base-other-shape", tmp_path)
    honest = pl.read_parquet(tmp_path / "base-other-shape.parquet")
    hostile = honest.head(1).with_columns(log_probabilities=pl.lit(HOSTILE[kind]), prompt_id=pl.lit(prompt_id("x")))
    pl.concat([hostile.with_columns(prompt=pl.lit("x")), honest]).write_parquet(tmp_path / "base-other-shape.parquet")
    found = related(zoo["base-other-shape"], place)
    assert isinstance(found, Relation), found
    assert found.content["answers"] == 160


def test_a_wild_token_is_left_out_and_the_others_of_its_answer_are_not(zoo: Zoo, tmp_path: Path) -> None:
    place = recording(zoo, "base-other-shape", tmp_path)
    frame = pl.read_parquet(tmp_path / "base-other-shape.parquet")
    wild = frame.with_columns(pl.col("log_probabilities").str.replace(r"-\d+\.\d+", "-1e300"))
    assert not wild.equals(frame)
    wild.write_parquet(tmp_path / "base-other-shape.parquet")
    found = related(zoo["base-other-shape"], place)
    assert isinstance(found, Relation), found
    assert found.content["count"] > 20


def test_tokens_of_another_vocabulary_are_said_to_be_none_of_the_references(zoo: Zoo, tmp_path: Path) -> None:
    place = recording(zoo, "base-other-shape", tmp_path)
    others = json.dumps([["", -1.0, [[f"no such token {number}", -2.0] for number in range(ASCII)]]])
    frame = pl.read_parquet(tmp_path / "base-other-shape.parquet").with_columns(log_probabilities=pl.lit(others))
    frame.write_parquet(tmp_path / "base-other-shape.parquet")
    found = related(zoo["base-other-shape"], place)
    assert isinstance(found, Absent)
    assert "none of the recorded tokens stands in the reference's vocabulary" in found.reason


def test_a_recording_is_no_reference(zoo: Zoo, tmp_path: Path) -> None:
    found = related(recording(zoo, "base-a", tmp_path, answers=4), zoo["base-a"], run=True)
    assert isinstance(found, Absent)
    assert "read from its weights" in found.reason


@pytest.mark.parametrize(("suspect", "width"), [("base-b", 64), ("base-other-shape", 48)])
def test_the_suspects_own_hidden_size_stands_beside(zoo: Zoo, suspect: str, width: int) -> None:
    found = related(zoo["base-a"], zoo[suspect], run=True)
    assert isinstance(found, Relation), found
    assert found.content["dimensions_seen"] == [width, width + 1]
    (outcome,) = output_subspace.judge(Relations(pair=found), (), calibration(output_subspace))
    told = {companion.name: companion.value for companion in outcome.companions}
    assert told["hidden size seen in the log-probabilities"] == f"{width} or {width + 1}"


def test_without_a_register_nothing_is_found(zoo: Zoo) -> None:
    found = related(zoo["base-a"], zoo["base-a"], run=True)
    assert isinstance(found, Relation)
    (outcome,) = output_subspace.judge(Relations(pair=found), (), empty("output_subspace"))
    assert isinstance(outcome, Inconclusive)
    assert "not validated" in outcome.reason


def test_capped_logits_are_declined(zoo: Zoo) -> None:
    """Gemma 2 bends its logits after the output layer; what is left is no linear space."""
    subjects = [
        Subject(source=open_source(zoo["base-a"]), observation=seen, parameters={"run": True})
        for seen in [output_subspace.observe(open_source(zoo["base-a"]))]
        if not isinstance(seen, Absent)
    ]
    capped = Subject(
        source=subjects[0].source,
        observation=type(subjects[0].observation)(
            examiner="output_subspace",
            examiner_version="1",
            exhibit="capped",
            content=subjects[0].observation.content | {"capped": True},
        ),
        parameters={"run": True},
    )
    found = output_subspace.relate(capped, subjects[0], 0)
    assert isinstance(found, Absent)
    assert "capped" in found.reason
