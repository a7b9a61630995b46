"""Each hostile or broken file of recorded answers gives one clear error with advice, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from filiation.errors import FiliationError, MalformedSource, SourceNotFound, UnsafeSource, UsageError
from filiation.sources.transcript_formats.answer import Reading
from filiation.sources.transcript_formats.importing import import_transcripts
from filiation.sources.transcripts import prompt_id, read_transcripts
from tests.bad_input.make_bad_transcripts import MAKERS, make

TABLE: dict[str, tuple[type[FiliationError], str]] = {
    "an empty file": (MalformedSource, "the file is empty"),
    "a file of blanks": (MalformedSource, "the file is empty"),
    "a page of HTML called model_outputs.json": (MalformedSource, "page of HTML"),
    "a Git LFS pointer": (MalformedSource, "Git LFS pointer"),
    "a gzip archive called model_outputs.json": (MalformedSource, "compressed"),
    "JSON in UTF-16": (MalformedSource, "UTF-16"),
    "JSON in Latin-1": (MalformedSource, "not UTF-8"),
    "JSON that is cut off in a string": (MalformedSource, "cut off"),
    "JSON that is cut off between elements": (MalformedSource, "cut off"),
    "JSON that goes on after its end": (MalformedSource, "after its end"),
    "JSON with a key twice": (MalformedSource, "'output' stands there twice"),
    "JSON nested 100,000 deep": (MalformedSource, "nested too deeply"),
    "JSON with a number of 10,000 digits": (MalformedSource, "not JSON"),
    "a list of numbers": (UsageError, "not recognised"),
    "an empty list": (UsageError, "not recognised"),
    "a number": (MalformedSource, "not JSON"),
    "answers that are numbers": (MalformedSource, "of type int"),
    "answers without a model": (MalformedSource, "generator of element 0 is missing"),
    "answers of a model without a name": (MalformedSource, "of no model"),
    "answers without a prompt": (MalformedSource, "belongs to no prompt"),
    "a line that is no JSON": (MalformedSource, "line 2"),
    "a line that is a list": (MalformedSource, "line 2"),
    "a record of another kind": (UsageError, "which columns"),
    "text that is no records": (MalformedSource, "not JSON"),
    "an executable": (MalformedSource, "not JSON"),
    "a file that is not there": (SourceNotFound, "no such file"),
    "a folder without answers": (SourceNotFound, "in this folder"),
    "a line of 65 MiB": (MalformedSource, "more than 64 MiB"),
    "a list's element of 65 MiB": (MalformedSource, "64 million"),
    "a log-likelihood that is not a number": (MalformedSource, "no log-probability"),
    "a sample without responses": (MalformedSource, "no responses"),
    "a sample without arguments": (MalformedSource, "no arguments"),
    "a batch without bodies": (UsageError, "prompt is not known"),
    "a state of HELM without states": (MalformedSource, "request_states"),
    "a state of HELM whose instance is a text": (MalformedSource, "the instance is no JSON object"),
    "CSV in UTF-16": (MalformedSource, "UTF-16"),
    "CSV in Latin-1": (MalformedSource, "UTF-8"),
    "CSV with a row that is too long": (MalformedSource, "readable CSV"),
    "CSV of a heading only": (MalformedSource, "no answers"),
    "CSV whose sample numbers are words": (MalformedSource, "readable CSV"),
    "CSV without a model in a row": (MalformedSource, "of no model"),
    "Parquet whose end is cut off": (MalformedSource, "readable Parquet"),
    "Parquet whose pages are noise": (MalformedSource, "readable Parquet"),
    "Parquet that announces a footer beyond the file": (MalformedSource, "readable Parquet"),
    "text called answers.parquet": (MalformedSource, "readable Parquet"),
    "an inspect log that is no archive": (MalformedSource, "no readable ZIP"),
    "an inspect log that leads out of its folder": (UnsafeSource, "leads out of its folder"),
    "an inspect log with an absolute path": (UnsafeSource, "leads out of its folder"),
    "an inspect log that unpacks to a thousand times its size": (UnsafeSource, "would unpack"),
    "an archive without an inspect log": (MalformedSource, "no inspect log"),
    "an inspect log that says it unpacks to 3 GiB": (UnsafeSource, "would unpack"),
}


def test_the_table_has_every_maker():
    assert set(TABLE) == set(MAKERS)


@pytest.mark.parametrize("name", TABLE)
def test_a_broken_file_gives_one_clear_error(name: str, tmp_path: Path):
    kind, told = TABLE[name]
    path = make(name, tmp_path / "exhibit")
    model = "m" if name.startswith(("a sample", "a log-l")) else ""
    with pytest.raises(kind, match=told) as raised:
        import_transcripts([path], tmp_path / "answers.parquet", reading=Reading(model=model))
    assert raised.value.advice
    assert raised.value.exhibit
    assert raised.value.exit_code == (2 if kind is UsageError else 3)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["exhibit"])


def test_a_prompt_of_10_mb_is_read(tmp_path: Path):
    prompt = "x " * (5 << 20)
    (tmp_path / "a.json").write_text(json.dumps([{"instruction": prompt, "output": "A", "generator": "m"}]))
    import_transcripts([tmp_path / "a.json"], tmp_path / "answers.parquet")
    assert read_transcripts(tmp_path / "answers.parquet")["prompt_id"].to_list() == [prompt_id(prompt)]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_a_number_that_nobody_uses_may_be_none(value: str, tmp_path: Path):
    (tmp_path / "a.json").write_text(f'[{{"instruction": "Q", "output": "A", "generator": "m", "score": {value}}}]')
    assert import_transcripts([tmp_path / "a.json"], tmp_path / "answers.parquet").answers == 1


def test_a_target_that_is_no_table_is_left_alone(tmp_path: Path):
    (tmp_path / "a.json").write_text('[{"instruction": "Q", "output": "A", "generator": "m"}]')
    target = tmp_path / "answers.parquet"
    target.write_text("something dear")
    with pytest.raises(MalformedSource, match="readable Parquet"):
        import_transcripts([tmp_path / "a.json"], target)
    assert target.read_text() == "something dear"


@pytest.mark.parametrize("at", range(0, 1200, 60))
def test_parquet_with_a_flipped_byte_is_read_or_refused(at: int, tmp_path: Path):
    (tmp_path / "a.json").write_text('[{"instruction": "Q", "output": "A", "generator": "m"}]')
    target = tmp_path / "answers.parquet"
    import_transcripts([tmp_path / "a.json"], target)
    data = bytearray(target.read_bytes())
    data[(at * 7) % len(data)] ^= 0xFF
    target.write_bytes(bytes(data))
    with contextlib.suppress(FiliationError):
        read_transcripts(target)
