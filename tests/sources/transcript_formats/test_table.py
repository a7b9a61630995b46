from __future__ import annotations

import datetime

import polars as pl
import pytest

from filiation.errors import UsageError
from filiation.sources.transcripts import prompt_id
from tests.sources.transcript_formats.worlds import imported, written

ROWS = {
    "who": ["a", "a", "b"],
    "asked": ["Q1", "Q2", "Q1"],
    "said": ['x,\n"y"', " z", ""],
}
COLUMNS = {"model": ("who",), "prompt": ("asked",), "text": ("said",)}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl", ".json"])
def test_every_kind_of_table_gives_the_same_rows(tmp_path, suffix):
    frame, path = pl.DataFrame(ROWS), tmp_path / f"table{suffix}"
    if suffix == ".parquet":
        frame.write_parquet(path)
    elif suffix in (".csv", ".tsv"):
        frame.write_csv(path, separator="," if suffix == ".csv" else "\t")
    else:
        written(path, frame.to_dicts())
    rows, _ = imported(tmp_path, path, columns=COLUMNS)
    found = {(row["model"], row["prompt"]): row["text"] for row in rows}
    assert found == {("a", "Q1"): 'x,\n"y"', ("a", "Q2"): " z", ("b", "Q1"): ""}


def test_items_without_prompts_as_in_zeroeval(tmp_path):
    table = {"task": ["crux"], "model": ["m"], "item_id": ["crux-test-#0"], "answer": ["[1]"], "gold": ["[2]"]}
    pl.DataFrame(table).write_parquet(tmp_path / "t.parquet")
    columns = {"item": ("task", "item_id"), "answer": ("answer",), "gold": ("gold",)}
    rows, _ = imported(tmp_path, tmp_path / "t.parquet", columns=columns)
    assert (rows[0]["item"], rows[0]["prompt"], rows[0]["text"]) == ("crux:crux-test-#0", "", "")
    assert rows[0]["prompt_id"] == prompt_id("crux:crux-test-#0")
    assert (rows[0]["answer"], rows[0]["gold"]) == ("[1]", "[2]")


def test_choices_with_a_second_table_as_in_mmlu_pro(tmp_path):
    pl.DataFrame({"model": ["m", "m"], "question_id": [70, 71], "chosen": [8, -1]}).write_parquet(
        tmp_path / "c.parquet"
    )
    items = {"question_id": [71, 70], "answer": [5, 8], "options": [10, 9], "category": ["x", "y"]}
    pl.DataFrame(items).write_csv(tmp_path / "i.csv")
    rows, _ = imported(
        tmp_path,
        tmp_path / "c.parquet",
        task="mmlu-pro",
        no_answer=("-1",),
        join=tmp_path / "i.csv",
        join_on=("question_id",),
        columns={"item": ("question_id",), "answer": ("chosen",), "gold": ("answer",), "options": ("options",)},
    )
    found = {row["item"]: (row["answer"], row["gold"], row["options"]) for row in rows}
    assert found == {"mmlu-pro:70": ("8", "8", 9), "mmlu-pro:71": (None, "5", 10)}


def test_gaps_that_made_whole_numbers_fractions_are_gaps(tmp_path):
    table = {"model": ["m"] * 3, "item": ["t:1", "t:2", "t:3"], "chosen": [3.0, None, float("nan")]}
    pl.DataFrame(table).write_parquet(tmp_path / "t.parquet")
    rows, _ = imported(tmp_path, tmp_path / "t.parquet", columns={"answer": ("chosen",)})
    assert {row["item"]: row["answer"] for row in rows} == {"t:1": "3", "t:2": None, "t:3": None}


def test_times_become_utc(tmp_path):
    plus_two = datetime.timezone(datetime.timedelta(hours=2))
    moment = datetime.datetime(2026, 1, 1, 2, tzinfo=plus_two)
    pl.DataFrame({"model": ["m"], "prompt": ["Q"], "text": ["A"], "when": [moment]}).write_parquet(
        tmp_path / "t.parquet"
    )
    written(tmp_path / "t.jsonl", [{"model": "n", "prompt": "Q", "text": "A", "when": "2026-01-01T02:00:00+02:00"}])
    for name in ("t.parquet", "t.jsonl"):
        rows, _ = imported(tmp_path, tmp_path / name, columns={"time": ("when",)})
    assert [row["time"] for row in rows] == ["2026-01-01T00:00:00Z"] * 2


def test_a_column_called_answer_is_not_taken_unasked(tmp_path):
    written(tmp_path / "t.jsonl", [{"model": "m", "prompt": "Q", "text": "A", "answer": "the right one"}])
    assert imported(tmp_path, tmp_path / "t.jsonl")[0][0]["answer"] is None


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"model": ("nobody",)}, "no column 'nobody'"),
        ({"model": ("who",), "prompt": ("asked",)}, "--text-column or --answer-column"),
        ({"model": ("who",), "text": ("said",)}, "--prompt-column or --item-column"),
        ({"prompt": ("asked",), "text": ("said",)}, "--model-column or --model"),
    ],
)
def test_missing_columns_are_named_with_those_there(tmp_path, columns, told):
    pl.DataFrame(ROWS).write_csv(tmp_path / "t.csv")
    with pytest.raises(UsageError, match=told) as raised:
        imported(tmp_path, tmp_path / "t.csv", columns=columns)
    assert "who, asked, said" in raised.value.advice


def test_a_second_table_that_is_ambiguous_or_incomplete_is_refused(tmp_path):
    pl.DataFrame(ROWS).write_csv(tmp_path / "t.csv")
    pl.DataFrame({"asked": ["Q1", "Q1"], "gold": ["1", "2"]}).write_csv(tmp_path / "twice.csv")
    pl.DataFrame({"asked": ["Q1"], "gold": ["1"]}).write_csv(tmp_path / "less.csv")
    for name, told in (("twice.csv", "not unique"), ("less.csv", "1 values of asked have no row")):
        with pytest.raises(UsageError, match=told):
            imported(tmp_path, tmp_path / "t.csv", join=tmp_path / name, join_on=("asked",), columns=COLUMNS)


def test_a_table_in_the_layout_is_put_beside_another(tmp_path):
    for model in "ab":
        folder = tmp_path / model
        folder.mkdir()
        imported(folder, written(folder / "t.jsonl", [{"model": model, "prompt": "Q", "text": "A"}]))
    rows, told = imported(tmp_path, tmp_path / "a" / "answers.parquet", tmp_path / "b" / "answers.parquet")
    assert [row["model"] for row in rows] == ["a", "b"]
    assert {each.format for each in told.inputs} == {"transcripts"}
