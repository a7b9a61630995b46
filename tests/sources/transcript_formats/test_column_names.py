"""Columns by their names: tables as people publish them, and the options that a person would paste."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.errors import UsageError
from filiation.sources.transcript_formats.answer import Reading
from filiation.sources.transcript_formats.column_names import NAMES, options_for
from filiation.sources.transcript_formats.importing import import_transcripts
from filiation.sources.transcripts import read_transcripts

PUBLISHED = {
    "question, response": "--model NAME --prompt-column question --text-column response",
    "instruction, output, generator": "--model-column generator --prompt-column instruction --text-column output",
    "input, completion, model_name": "--model-column model_name --prompt-column input --text-column completion",
    "instruction, input, output": "--model NAME --prompt-column instruction --text-column output",
    "modelName, userPrompt, modelResponse": "--model-column modelName --prompt-column userPrompt --text-column modelResponse",
    "question, answer, response": "--model NAME --prompt-column question --text-column response",
    "question, answer": "--model NAME --prompt-column question --text-column answer",
    "prompt_id, generation": "--model NAME --item-column prompt_id --text-column generation",
    "promt, reponse": "--model NAME --prompt-column promt --text-column reponse",
    "questions, answers": "--model NAME --prompt-column questions --text-column answers",
    "The Question, The Reply": "--model NAME --prompt-column 'The Question' --text-column 'The Reply'",
    "question, score": "--model NAME --prompt-column question --text-column COLUMN",
    "a, b, score": "",
}


@pytest.mark.parametrize("columns", PUBLISHED)
def test_columns_are_suggested_by_what_they_are_called(columns: str) -> None:
    schema = dict.fromkeys(columns.split(", "), pl.String())
    assert options_for(("model", "prompt", "text"), schema) == PUBLISHED[columns]


def test_what_is_taken_or_cannot_be_named_is_not_suggested() -> None:
    schema = {
        "prompt": pl.List(pl.String()),
        "question, asked": pl.String(),
        "query": pl.String(),
        "output": pl.String(),
    }
    assert options_for(("prompt", "text"), schema) == "--prompt-column query --text-column output"
    assert options_for(("text",), schema, {"output"}) == ""


@given(*(st.sampled_from(NAMES[option]) for option in ("model", "prompt", "text")), st.sampled_from([" ", "_", "-"]))
def test_every_known_name_is_found_however_its_words_are_parted(
    model: str, prompt: str, text: str, between: str
) -> None:
    columns = [name.replace(" ", between).upper() for name in (model, prompt, text)]
    words = shlex.split(options_for(("model", "prompt", "text"), dict.fromkeys(columns, pl.String())))
    assert words == ["--model-column", columns[0], "--prompt-column", columns[1], "--text-column", columns[2]]


def test_the_advice_can_be_pasted(tmp_path: Path) -> None:
    rows = [
        {"The Question": "Q", "model response": "A", "score": 1},
        {"The Question": "Q2", "model response": "B", "score": 2},
    ]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    with pytest.raises(UsageError, match="say which columns to take") as raised:
        import_transcripts([tmp_path / "t.json"], tmp_path / "answers.parquet", reading=Reading(model="m"))
    _, _, pasted = raised.value.advice.partition("; by their names, add ")
    words = shlex.split(pasted)
    columns = {
        option[2:].removesuffix("-column"): (name,) for option, name in zip(words[::2], words[1::2], strict=True)
    }
    import_transcripts([tmp_path / "t.json"], tmp_path / "answers.parquet", reading=Reading(model="m", columns=columns))
    assert read_transcripts(tmp_path / "answers.parquet")["text"].sort().to_list() == ["A", "B"]


def test_a_column_that_is_not_there_has_its_likeliest_told(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps([{"model": "m", "question": "Q", "output": "A"}]))
    reading = Reading(columns={"prompt": ("prompt",), "text": ("output",)})
    with pytest.raises(UsageError, match="no column 'prompt'") as raised:
        import_transcripts([tmp_path / "t.json"], tmp_path / "answers.parquet", reading=reading)
    assert raised.value.advice.endswith("; perhaps --prompt-column question")


@pytest.mark.parametrize(("separator", "told"), {";": True, "\t": True, "|": False}.items())
def test_a_csv_of_other_separators_is_told_how_to_be_saved(separator: str, told: bool, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(separator.join(("llm", "says")) + "\n" + separator.join("xA") + "\n")
    with pytest.raises(UsageError) as raised:
        import_transcripts([tmp_path / "t.csv"], tmp_path / "answers.parquet", reading=Reading(model="m"))
    assert ("separated by commas" in raised.value.advice) is told
