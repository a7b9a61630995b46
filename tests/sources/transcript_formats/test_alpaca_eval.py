from __future__ import annotations

import hashlib

from filiation.sources.transcripts import prompt_id
from tests.sources.transcript_formats.worlds import imported, written


def outputs(model: str, *texts: str | None) -> list[dict]:
    return [
        {
            "instruction": f"Question {at}",
            "output": text,
            "generator": model,
            "dataset": "helpful_base",
            "datasplit": "eval",
        }
        for at, text in enumerate(texts)
    ]


def test_two_models_become_one_table_in_order(tmp_path):
    b = written(tmp_path / "b.json", outputs("b", " one", "two"))
    a = written(tmp_path / "a.json", outputs("a", "three", "four"))
    rows, told = imported(tmp_path, b, a)
    assert [row["model"] for row in rows] == ["a", "a", "b", "b"]
    assert {row["prompt"]: row["text"] for row in rows if row["model"] == "b"} == {
        "Question 0": " one",
        "Question 1": "two",
    }
    assert {row["prompt_id"] for row in rows} == {prompt_id("Question 0"), prompt_id("Question 1")}
    assert {row["source_sha256"] for row in rows} == {hashlib.sha256(file.read_bytes()).hexdigest() for file in (a, b)}
    assert rows[0]["parameters"] == '{"dataset":"helpful_base"}'
    assert (told.models, told.prompts, told.answers, told.new) == (2, 2, 4, 4)
    assert {each.format for each in told.inputs} == {"alpaca-eval"}


def test_an_output_that_is_null_is_skipped_and_counted(tmp_path):
    rows, told = imported(tmp_path, written(tmp_path / "a.json", outputs("a", "text", None)))
    assert len(rows) == 1
    assert told.skipped == {"without an output": 1}


def test_the_declared_model_replaces_the_generator(tmp_path):
    rows, _ = imported(tmp_path, written(tmp_path / "a.json", outputs("internal name", "text")), model="ours")
    assert rows[0]["model"] == "ours"
