"""`filiation record` against a local server: what it prints and writes, and what a kill in the middle leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from filiation.cli.program import leave_with_exit_code
from filiation.cli.record import record
from filiation.sources.endpoints.recorder import read_recording
from filiation.sources.transcripts import TranscriptSource, read_transcripts
from tests.sources.endpoints.fault_server import Server, answer_to, fault_server, html, status

PROGRAM = """
import sys, typer
from filiation.cli.program import leave_with_exit_code
from filiation.cli.record import record
app = typer.Typer()
app.command()(record)
leave_with_exit_code(lambda: app(args=sys.argv[1:]), debug=True)
"""


@pytest.fixture
def server() -> Iterator[Server]:
    with fault_server() as running:
        yield running


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"prompt {i}", "item": f"set:{i}"}) + "\n" for i in range(8)))
    return file


def run(server: Server, *words: object) -> int:
    """The exit code of `filiation record ENDPOINT ...`."""
    app = typer.Typer()
    app.command()(record)
    arguments = [f"openai:small@{server.url}", *(str(word) for word in words)]
    with pytest.raises(SystemExit) as left:
        leave_with_exit_code(lambda: app(args=arguments), debug=False)
    return int(left.value.code or 0)


def test_record_and_resume(server, prompts, tmp_path, capsys) -> None:
    words = ("--prompts", prompts, "-o", tmp_path / "r.jsonl", "--samples", 2, "--temperature", 0.7, "--max-tokens", 9,
             "--transcript", tmp_path / "t.parquet", "--lab", "the lab", "--lineage", "the line", "--name", "theirs")  # fmt: skip
    assert run(server, *words, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["answered_now"], told["requests"], told["rows"], told["ended"]) == (16, 16, 16, "all asked")
    assert {(body["temperature"], body["max_tokens"]) for body in server.bodies} == {(0.7, 9)}
    transcript = TranscriptSource(tmp_path / "t.parquet").transcript()
    assert (transcript.model, transcript.lab, transcript.lineage) == ("theirs", "the lab", "the line")
    assert {text for texts in transcript.texts().values() for text in texts} == {answer_to(p) for p in server.asked}
    first = (tmp_path / "t.parquet").read_bytes()
    assert run(server, *words) == 0
    assert "16 of 16 questions answered (16 before this run), 0 requests sent now, 16 in all" in capsys.readouterr().out
    assert len(server.asked) == 16
    assert (tmp_path / "t.parquet").read_bytes() == first


def test_a_probe_set_by_name(server, tmp_path) -> None:
    words = ("--prompts", "problems", "--count", 3, "--draw-seed", 5, "-o", tmp_path / "r.jsonl", "-q")
    assert run(server, *words, "--transcript", tmp_path / "t.parquet") == 0
    frame = read_transcripts(tmp_path / "t.parquet")
    assert frame["item"].str.starts_with("problems:").all()
    assert frame["gold"].null_count() == 0


def test_a_budget_ends_the_run_without_an_error(server, prompts, tmp_path, capsys) -> None:
    assert run(server, "--prompts", prompts, "-o", tmp_path / "r.jsonl", "--budget-requests", 3) == 0
    assert len(server.asked) == 3
    assert "ended: the budget of 3 requests is spent" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--prompts", "nowhere.jsonl"), 3, "cannot be read"),
        (("--prompts", "no-such-set"), 2, "no probe set"),
        (("--prompts", "PROMPTS", "--count", "3"), 2, "--count draws from a probe set"),
        (("--prompts", "PROMPTS", "--transcript", "nowhere/t.parquet"), 2, "--transcript"),
        (("--prompts", "PROMPTS", "-o", "-"), 2, "names of files"),
    ],
)
def test_requests_that_make_no_sense(words, code, told, server, prompts, tmp_path, capsys) -> None:
    given = [str(prompts) if word == "PROMPTS" else word for word in words]
    output = () if "-o" in words else ("-o", tmp_path / "r.jsonl")
    assert run(server, *given, *output) == code
    assert told in capsys.readouterr().err
    assert server.asked == []


def test_a_recording_is_of_one_endpoint_under_one_setting(server, prompts, tmp_path, capsys) -> None:
    words = ("--prompts", prompts, "-o", tmp_path / "r.jsonl")
    assert run(server, *words) == 0
    assert run(server, *words, "--temperature", 1) == 2
    assert "other parameters" in capsys.readouterr().err
    assert len(server.asked) == 8


@pytest.mark.parametrize(
    ("misbehave", "told"), [(status(401), "FILIATION_KEY_127_0_0_1"), (status(404), "model's name")]
)
def test_a_denial_is_one_clear_error(misbehave, told, server, prompts, tmp_path, capsys) -> None:
    server.misbehave, server.faults = misbehave, lambda _prompt: 99
    assert run(server, "--prompts", prompts, "-o", tmp_path / "r.jsonl", "--concurrency", 1) == 3
    assert told in capsys.readouterr().err
    assert len(server.asked) == 1


def test_questions_given_up_are_an_error_after_everything_else_was_written(server, prompts, tmp_path, capsys) -> None:
    server.misbehave, server.faults = html, lambda prompt: 99 * (prompt == "prompt 3")
    words = ("--prompts", prompts, "-o", tmp_path / "r.jsonl", "--transcript", tmp_path / "t.parquet")
    assert run(server, *words, "--attempts", 1) == 3
    assert "1 of 8 questions got no answer" in capsys.readouterr().err
    assert read_transcripts(tmp_path / "t.parquet").height == 7


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_an_interrupted_run_leaves_with_the_documented_code_and_goes_on(server, prompts, tmp_path) -> None:
    words = [sys.executable, "-c", PROGRAM, f"openai:small@{server.url}", "--prompts", str(prompts)]
    words += ["-o", str(tmp_path / "r.jsonl"), "--concurrency", "1", "--json"]
    server.delay = 0.3
    process = subprocess.Popen(words, stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while len(server.asked) < 2 and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    kept = f"interrupted; what was recorded in {tmp_path / 'r.jsonl'} is kept, and the same command goes on"
    assert (process.returncode, told.decode().splitlines()) == (130, [kept])
    server.delay = 0.0
    assert run(server, "--prompts", prompts, "-o", tmp_path / "r.jsonl") == 0
    assert max(server.times.values()) <= 2
    assert len(server.asked) <= 9


def settled(server) -> list[str]:
    """What the server was asked, once what the killed process had sent has been read: a busy machine reads it later."""
    seen, since = len(server.asked), time.monotonic()
    while time.monotonic() - since < 1.0:
        time.sleep(0.02)
        if len(server.asked) != seen:
            seen, since = len(server.asked), time.monotonic()
    return list(server.asked)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("after", [1, 9])
def test_a_killed_run_goes_on_and_pays_nothing_twice(after: int, server, tmp_path) -> None:
    """Truth from the server's own log: killed in the middle, run again, every prompt asked once but those in flight."""
    file, prompts = tmp_path / "r.jsonl", tmp_path / "many.jsonl"
    names = [f"prompt {number}" for number in range(24)]
    prompts.write_text("".join(json.dumps({"prompt": name}) + "\n" for name in names))
    words = [sys.executable, "-c", PROGRAM, f"openai:small@{server.url}", "--prompts", str(prompts), "-o", str(file)]
    words += ["--concurrency", "3", "--json"]
    server.delay = 0.1
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    end = time.monotonic() + 60
    while len(server.asked) < after and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before_the_kill = settled(server)
    left = read_recording(file)
    answered = {found.question.prompt for found in left.answered.values()}
    in_flight = {left.requests[name].question.prompt for name in left.in_flight}
    assert after <= len(before_the_kill) < len(names)
    assert len(in_flight) <= 3
    assert set(before_the_kill) - answered <= in_flight  # recorded before it was sent
    server.delay = 0.0
    again = subprocess.run(words, capture_output=True, check=True)
    asked_by_the_second = Counter(server.asked) - Counter(before_the_kill)
    assert asked_by_the_second == Counter(set(names) - answered)
    told = json.loads(again.stdout)
    assert (told["asked_again"], told["answered_before"]) == (len(in_flight), len(answered))
    assert {found.question.prompt for found in read_recording(file).answered.values()} == set(names)


def test_a_transcript_with_answers_from_elsewhere_is_not_replaced(server, prompts, tmp_path, capsys) -> None:
    """Nobody is asked, and the table keeps its bytes; the transcript of the same recording is replaced."""
    target = tmp_path / "t.parquet"
    assert run(server, "--prompts", prompts, "-o", tmp_path / "one.jsonl", "--transcript", target, "-q") == 0
    before, asked = target.read_bytes(), len(server.asked)
    assert run(server, "--prompts", prompts, "-o", tmp_path / "two.jsonl", "--transcript", target, "--samples", 2) == 2
    assert "8 of its answers are not from this recording" in capsys.readouterr().err
    assert target.read_bytes() == before
    assert len(server.asked) == asked
    words = ("--prompts", prompts, "-o", tmp_path / "one.jsonl", "--transcript", target, "--samples", 2)
    assert run(server, *words, "--name", "renamed") == 0
    assert TranscriptSource(target).transcript().frame.height == 16


def test_a_file_that_is_no_transcript_is_not_replaced(server, prompts, tmp_path, capsys) -> None:
    target = tmp_path / "thesis.txt"
    target.write_text("years of work")
    assert run(server, "--prompts", prompts, "-o", tmp_path / "r.jsonl", "--transcript", target) == 3
    assert "would be replaced" in capsys.readouterr().err
    assert target.read_text() == "years of work"
