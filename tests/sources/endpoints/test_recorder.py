"""The recording: what is written survives whatever befalls the run, and becomes the same transcript every time."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.errors import RecordError, SourceNotFound, UsageError
from filiation.sources.endpoints.asking import ask
from filiation.sources.endpoints.exchange import Message, Parameters, Question
from filiation.sources.endpoints.location import endpoint_at
from filiation.sources.endpoints.recorder import Bytes, Recorder, Recording, read_recording, transcript_of
from filiation.sources.transcripts import SCHEMA, TranscriptSource, prompt_id
from tests.sources.endpoints.fault_server import Server, answer_to, fault_server, status

PROMPTS = ("Où est-ce?", "second", "third")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with fault_server() as running:
        running.misbehave, running.faults = status(500), lambda prompt: prompt == "second"
        yield running


@pytest.fixture(scope="module")
def recorded(server, tmp_path_factory) -> Path:
    """Three questions with two samples each, one of them after a fault."""
    file = tmp_path_factory.mktemp("recording") / "r.jsonl"
    fill(server, file)
    return file


def fill(server: Server, file: Path, model: str = "small", parameters: Parameters | None = None) -> None:
    questions = [Question(prompt=p, sample=s, item=f"set:{p[0]}") for s in range(2) for p in PROMPTS]
    with Recorder(file) as recorder:
        endpoint = endpoint_at(f"openai:{model}@{server.url}")
        ask(endpoint, questions, parameters or Parameters(temperature=0.5), recorder, rng=np.random.default_rng(0))


def kinds(file: Path) -> list[str]:
    return [json.loads(line)["kind"] for line in file.read_bytes().splitlines()]


# ------------------------------------------------------------------------------------------------------------ the file


def test_every_request_stands_before_its_response(recorded: Path) -> None:
    lines = [json.loads(line) for line in recorded.read_bytes().splitlines()]
    assert lines[0]["kind"] == "recording"
    assert kinds(recorded).count("request") == kinds(recorded).count("response") == 7
    seen = set()
    for line in lines[1:]:
        name = (line["id"], line["attempt"])
        assert (name in seen) == (line["kind"] == "response")
        seen.add(name)


def test_only_the_owner_reads_a_new_recording(recorded: Path) -> None:
    assert stat.S_IMODE(recorded.stat().st_mode) == 0o600


def test_cut_at_any_byte_it_opens_and_keeps_every_whole_answer(recorded: Path, tmp_path: Path) -> None:
    """Truth by construction: the prefixes of a file are what a killed run can leave behind."""
    data = recorded.read_bytes()
    file = tmp_path / "cut.jsonl"
    for length in [*range(0, len(data), 37), len(data) - 1]:
        file.write_bytes(data[:length])
        whole = data[:length].split(b"\n")
        answers = sum(b'"kind":"response"' in line and b'"status":200' in line for line in whole if line.endswith(b"}"))
        assert len(read_recording(file).answered) == answers
        with Recorder(file) as recorder:
            assert len(recorder.recording.answered) == answers
        assert file.read_bytes().endswith(b"\n")
        again = read_recording(file)
        assert (len(again.answered), again.torn_bytes) == (answers, 0)


def test_a_last_line_that_lacks_only_its_line_end_is_kept(recorded: Path, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(recorded.read_bytes()[:-1])
    before = len(server.asked)
    fill(server, file)
    assert len(server.asked) == before
    assert file.read_bytes() == recorded.read_bytes()


def test_what_was_in_flight_is_asked_again_and_said_so(recorded: Path, server: Server, tmp_path: Path) -> None:
    lines = recorded.read_bytes().splitlines(keepends=True)
    last = json.loads(lines[-1])
    file = tmp_path / "r.jsonl"
    file.write_bytes(b"".join(lines[:-1]) + lines[-1][:50])
    assert read_recording(file).in_flight == {last["id"]}
    before = len(server.asked)
    with Recorder(file) as recorder:
        request = recorder.recording.requests[last["id"]]
        found = ask(request.endpoint, [request.question], request.parameters, recorder, rng=np.random.default_rng(0))
    assert len(server.asked) == before + 1
    assert (found.summary.asked_again, found.summary.torn_bytes) == (1, 50)
    assert read_recording(file).in_flight == set()
    assert json.loads(file.read_bytes().splitlines()[-1])["attempt"] == last["attempt"] + 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [b"", *lines],
        lambda lines: lines[1:],
        lambda lines: [lines[0], *lines],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [*lines[:2], b"not JSON\n", *lines[2:]],
        lambda lines: [line.replace(b"An answer", b"No answer") for line in lines],
        lambda lines: [line.replace(b'"status":500', b'"status":200') for line in lines],
        lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]],
        lambda lines: [line.replace(b'"attempt":1', b'"attempt":1,"more":1') for line in lines],
        lambda _lines: [b'{"prompt": "a file of prompts"}\n'],
    ],
    ids=[
        "blank line",
        "no opening",
        "two openings",
        "a request gone",
        "a foreign line",
        "an answer changed",
        "a status changed",
        "another version",
        "an unknown field",
        "another kind of file",
    ],
)
def test_a_recording_that_was_changed_is_refused_and_left_alone(damage, recorded: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(b"".join(line or b"\n" for line in damage(recorded.read_bytes().splitlines(keepends=True))))
    before = file.read_bytes()
    with pytest.raises(RecordError):
        read_recording(file)
    with pytest.raises(RecordError), Recorder(file):
        pass
    assert file.read_bytes() == before


def test_two_runs_do_not_write_one_recording(tmp_path: Path) -> None:
    with Recorder(tmp_path / "r.jsonl"):
        with pytest.raises(UsageError, match="another run"), Recorder(tmp_path / "r.jsonl"):
            pass
        assert kinds(tmp_path / "r.jsonl") == ["recording"]
    with Recorder(tmp_path / "r.jsonl") as recorder:
        assert recorder.recording.answered == {}


def test_places_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError), Recorder(tmp_path / "nowhere" / "r.jsonl"):
        pass
    with pytest.raises(UsageError), Recorder(tmp_path):
        pass
    with pytest.raises(SourceNotFound):
        read_recording(tmp_path / "none.jsonl")


def test_a_full_disk_is_told_and_what_was_written_stays(recorded: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    recorder = Recorder("/dev/full")
    recorder._file = os.open("/dev/full", os.O_WRONLY)
    request = next(iter(read_recording(recorded).requests.values()))
    with pytest.raises(RecordError, match="cannot be written"):
        recorder.request(request)
    recorder.close()


def test_a_line_that_holds_a_secret_is_refused(recorded: Path, tmp_path: Path) -> None:
    request = next(iter(read_recording(recorded).requests.values()))
    with Recorder(tmp_path / "r.jsonl") as recorder:
        recorder.keep_out((request.question.prompt,))
        with pytest.raises(UsageError, match="never recorded"):
            recorder.request(request)
    assert kinds(tmp_path / "r.jsonl") == ["recording"]


@given(st.binary(max_size=200))
def test_bytes_come_back_as_they_were(data: bytes) -> None:
    assert Bytes.of(data).data == data


# ------------------------------------------------------------------------------------------------------ the transcript


def test_the_transcript_has_the_layout_and_the_digests_of_the_exchanges(recorded: Path, server: Server) -> None:
    location = f"openai:small@{server.url}"
    frame = transcript_of(recorded, lineages={location: "line"}, labs={location: "lab"})
    assert dict(frame.schema) == SCHEMA
    assert frame.height == 6
    row = frame.row(by_predicate=(pl.col("prompt") == PROMPTS[0]) & (pl.col("sample") == 1), named=True)
    assert row["text"] == answer_to(PROMPTS[0])
    assert row["prompt_id"] == prompt_id(PROMPTS[0])
    assert (row["model"], row["lineage"], row["lab"], row["item"]) == ("small", "line", "lab", "set:O")
    assert json.loads(row["parameters"]) == {"temperature": 0.5, "endpoint": location, "served": "small-1"}
    digests = {json.loads(line).get("sha256") for line in recorded.read_bytes().splitlines()}
    assert set(frame["source_sha256"]) <= digests
    assert frame.equals(frame.sort("model", "prompt_id", "sample"))


def test_the_transcript_is_the_same_every_time_and_whatever_the_order(recorded: Path, tmp_path: Path) -> None:
    first, *rest = recorded.read_bytes().splitlines(keepends=True)
    pairs = {}
    for line in rest:
        pairs.setdefault((json.loads(line)["id"]), []).append(line)
    other = tmp_path / "other.jsonl"
    other.write_bytes(b"".join([first, *(line for lines in reversed(pairs.values()) for line in lines)]))
    assert transcript_of(other).equals(transcript_of(recorded))
    transcript_of(recorded).write_parquet(tmp_path / "t.parquet")
    assert TranscriptSource(tmp_path / "t.parquet").transcript().frame.height == 6


def test_two_endpoints_in_one_recording_are_two_models(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    for model in ("a", "b"):
        fill(server, file, model)
    with Recorder(file) as recorder:
        same_name = endpoint_at(f"openai:a@{server.url.replace('127.0.0.1', 'localhost')}")
        ask(same_name, [Question(prompt="x")], Parameters(), recorder, rng=np.random.default_rng(0))
    named = {f"openai:a@{server.url}": "A"}
    found = transcript_of(file, names=named)["model"].unique().sort().to_list()
    assert found == ["A", "b", same_name.location]


def test_two_settings_of_one_model_are_no_transcript(server: Server, tmp_path: Path) -> None:
    for temperature in (0.0, 1.0):
        fill(server, tmp_path / "r.jsonl", parameters=Parameters(temperature=temperature))
    with pytest.raises(UsageError, match="two settings"):
        transcript_of(tmp_path / "r.jsonl")


def test_a_recording_without_answers_is_an_empty_table() -> None:
    frame = transcript_of(Recording())
    assert (frame.height, dict(frame.schema)) == (0, SCHEMA)


def test_a_conversation_is_kept_as_canonical_json(server: Server, tmp_path: Path) -> None:
    talk = (
        Message(role="user", content="a"),
        Message(role="assistant", content="b"),
        Message(role="user", content="c"),
    )
    with Recorder(tmp_path / "r.jsonl") as recorder:
        ask(endpoint_at(f"openai:m@{server.url}"), [Question(messages=talk)], Parameters(), recorder,
            rng=np.random.default_rng(0))  # fmt: skip
    prompt = transcript_of(tmp_path / "r.jsonl")["prompt"][0]
    assert prompt.startswith('[{"content":"a","role":"user"},')
    assert json.loads(prompt)[2] == {"role": "user", "content": "c"}
