"""Kinship of log-likelihoods beyond the bench: what is read, what is declined, and what is said while nothing is validated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from filiation.evidence import Absent, Finding, Inconclusive, Relations
from filiation.examiners import log_probabilities
from filiation.examiners.catalogue import calibration
from filiation.examiners.examiner import Subject
from filiation.investigation import compare
from filiation.measures.log_probabilities import scores_of
from filiation.sources.running import load_model
from filiation.sources.scoring import FixedText, Run
from filiation.sources.scoring import scored as scored_by
from filiation.sources.simulated import scored, world
from filiation.sources.transcripts import PREFIX, TranscriptSource, prompt_id
from filiation.statistics.register import empty
from studies import log_probabilities as study
from studies.zoo import Zoo
from studies.zoo.corpus import read_corpus
from tests.worlds import register

ASKED = {"open": 4, "problem": 0, "choice": 0, "borderline": 0, "nonsense": 0}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty prompts of six texts each, scored by 30 strangers and their children."""
    file = tmp_path_factory.mktemp("scores") / "scored.parquet"
    scored(world(5, labs=15, lineages=2, prompts=ASKED), 40).write_parquet(file)
    return file


def compared(file: Path, suspect: str) -> Any:
    found = compare(
        f"{PREFIX}{file}#lab-2-a", f"{PREFIX}{file}#{suspect}", [f"{PREFIX}{file}"], only=("log_probabilities",)
    )
    (outcome,) = found.outcomes
    return found, outcome


def test_without_a_register_the_scores_are_shown_and_nothing_is_said(recording: Path) -> None:
    found, _ = compared(recording, "lab-2-a, fine-tune")
    relations = found.relations["log_probabilities"]
    (outcome,) = log_probabilities.judge(relations, (), empty(log_probabilities.NAME))
    assert isinstance(outcome, Inconclusive)
    assert outcome.reason.startswith("not validated")
    assert outcome.components


@pytest.mark.parametrize(("suspect", "first"), [("lab-2-a, fine-tune", True), ("lab-9-b", False)])
def test_a_child_stands_before_all_controls_and_a_stranger_among_them(
    recording: Path, suspect: str, first: bool
) -> None:
    found, _ = compared(recording, suspect)
    relations = found.relations["log_probabilities"]
    (outcome,) = log_probabilities.judge(relations, (), register(log_probabilities))
    assert isinstance(outcome, Finding), outcome
    assert (outcome.count == 0) is first
    assert outcome.log10_p >= outcome.resolution_log10_p


def test_the_shipped_register_is_what_the_study_counted() -> None:
    told = json.loads(study.RESULTS.read_text())
    assert calibration(log_probabilities).entries == (study.entry(told),)
    assert study.broken_promises(told) == []


def test_real_models_as_filiation_score_records_them(zoo: Zoo, tmp_path: Path) -> None:
    """Truth: what was rounded to eight bits is the same model. Eight founders are no line-up, whatever the score."""
    founders = [
        name
        for name in zoo.names
        if zoo.tree.members[name].method == "found" and zoo.group("base-a", name) == "stranger"
    ]
    text = read_corpus().parts["validation"].encode().decode("ascii", "ignore")
    texts = [FixedText(f"held out:{at}", text[97 * at : 97 * (at + 1)]) for at in range(40)]
    frames = []
    for name in ("base-a", "int8", *founders):
        run = Run(name, name, name, {"dtype": "float32", "model": name, "tokenizer": ""}, predictions=False)
        frames += [some.frame for some in scored_by(load_model(zoo[name]), texts, run)]
    file = tmp_path / "scores.parquet"
    pl.concat(frames).write_parquet(file)
    subjects = []
    for name in ("base-a", "int8", *founders):
        source = TranscriptSource(file, name)
        seen = log_probabilities.observe(source)
        assert not isinstance(seen, Absent)
        subjects.append(Subject(source=source, observation=seen))
    relation = log_probabilities.line_up(subjects[0], subjects[1], subjects[2:], 0)
    assert not isinstance(relation, Absent)
    suspect, *others = relation.content["scores"][0][1:]
    assert suspect > 9000 > max(others)
    (outcome,) = log_probabilities.judge(Relations(pair=relation), (), calibration(log_probabilities))
    assert isinstance(outcome, Inconclusive)
    assert "too few unrelated controls" in outcome.reason


def row(values: list[Any], options: int | None, parameters: str = "{}") -> dict[str, Any]:
    return {
        "model": "one", "lineage": "", "lab": "", "item": "", "prompt_id": prompt_id("p"), "prompt": "p", "sample": 0,
        "text": "a", "answer": None, "gold": None, "options": options, "finish_reason": None,
        "log_probabilities": json.dumps(values), "parameters": parameters, "time": None, "source_sha256": "",
    }  # fmt: skip


READ = {
    "every option scored": ([["a", -1.0, []], ["b", -2.0, []]], 2, 2),
    "an option without a score": ([["a", -1.0, []], ["b", None, []]], 2, 0),
    "an option missing": ([["a", -1.0, []]], 2, 0),
    "tokens of a generated answer": ([["a", -1.0, [["a", -1.0], ["b", -2.0]]]], None, 0),
    "something else": ([3], 1, 0),
}


def test_a_text_that_was_cut_is_another_text(tmp_path: Path) -> None:
    """Truth: a context shorter than the text leaves the sum of a part, which no other model was asked about."""
    frame = scored(world(5, labs=10, lineages=2, prompts=ASKED), 1)
    whole, cut = (row([["", -30.0, []]], 1, told) for told in ('{"bytes":90}', '{"bytes":40,"cut_at_byte":40}'))
    for name, rows in (("whole", [whole]), ("cut", [cut])):
        pl.DataFrame(rows, schema=frame.schema).write_parquet(tmp_path / f"{name}.parquet")
    assert scores_of(TranscriptSource(tmp_path / "whole.parquet")) == {(prompt_id("p"), 0): -30.0}
    assert scores_of(TranscriptSource(tmp_path / "cut.parquet")) == {}


@pytest.mark.parametrize("case", READ)
def test_only_texts_that_everybody_was_asked_about_are_read(case: str, tmp_path: Path) -> None:
    values, options, number = READ[case]
    frame = scored(world(5, labs=10, lineages=2, prompts=ASKED), 1)
    pl.DataFrame([row(values, options)], schema=frame.schema).write_parquet(tmp_path / "one.parquet")
    source = TranscriptSource(tmp_path / "one.parquet")
    assert len(scores_of(source)) == number
    assert isinstance(log_probabilities.observe(source), Absent) is (number == 0)


def test_a_recording_of_the_suspect_under_another_name_is_no_control(recording: Path) -> None:
    frame = pl.read_parquet(recording)
    subjects = []
    for name in frame["model"].unique(maintain_order=True).to_list()[:6]:
        source = TranscriptSource(recording, name)
        seen = log_probabilities.observe(source)
        assert not isinstance(seen, Absent)
        subjects.append(Subject(source=source, observation=seen))
    relation = log_probabilities.line_up(subjects[0], subjects[1], [*subjects[2:], subjects[1]], 0)
    assert not isinstance(relation, Absent)
    assert [1, 6] in relation.content["related"]
