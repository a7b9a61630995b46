"""Asking against a server that misbehaves: what was answered is kept, and nothing is asked twice."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from msgspec import structs

from filiation.errors import MissingExtra, SourceError, UsageError
from filiation.sources.endpoints.asking import Asked, Budget, Conduct, ask, retry_after
from filiation.sources.endpoints.exchange import FaultKind, Parameters, Question
from filiation.sources.endpoints.location import Endpoint, endpoint_at
from filiation.sources.endpoints.recorder import Recorder, read_recording, transcript_of
from tests.sources.endpoints import fault_server as faults
from tests.sources.endpoints.fault_server import Handler, Server, answer_to

PROMPTS = ("first", "second", "third")
PATIENT = Conduct(
    first_wait=0.02, read_seconds=20.0, total_seconds=30.0, attempts=4, largest_response=1 << 20, concurrency=3
)
SHORT = structs.replace(PATIENT, read_seconds=0.8, total_seconds=1.5)
"""For servers that fall silent; generous all the same, because a busy machine is slow and not silent."""


class Scenario(NamedTuple):
    """`final`: such a fault is not asked again in the same run."""

    misbehave: Callable[[Handler, str], None]
    kind: FaultKind
    final: bool = False

    @property
    def conduct(self) -> Conduct:
        return SHORT if self.kind is FaultKind.TIMEOUT else PATIENT


SCENARIOS = {
    "429 with Retry-After in seconds": Scenario(faults.too_many_with_seconds, FaultKind.BUSY),
    "429 with Retry-After as a date": Scenario(faults.too_many_with_a_date, FaultKind.BUSY),
    "408, then well": Scenario(faults.status(408), FaultKind.BUSY),
    "409, then well": Scenario(faults.status(409), FaultKind.BUSY),
    "500, then well": Scenario(faults.status(500), FaultKind.BUSY),
    "502, then well": Scenario(faults.status(502), FaultKind.BUSY),
    "503, then well": Scenario(faults.status(503), FaultKind.BUSY),
    "504, then well": Scenario(faults.status(504), FaultKind.BUSY),
    "529 overloaded, then well": Scenario(faults.status(529), FaultKind.BUSY),
    "hangs before a word": Scenario(faults.hangs, FaultKind.TIMEOUT),
    "slow drip: a byte at a time, for ever": Scenario(faults.slow_drip, FaultKind.TIMEOUT),
    "half a body, shorter than announced": Scenario(faults.half_a_body, FaultKind.CUT_OFF),
    "half a body of unannounced length": Scenario(faults.half_a_body_of_unknown_length, FaultKind.NOT_JSON),
    "half a stream, cut between events": Scenario(faults.half_a_stream, FaultKind.CUT_OFF),
    "half a stream, cut inside an event": Scenario(faults.half_an_event, FaultKind.CUT_OFF),
    "HTML with status 200": Scenario(faults.html, FaultKind.NOT_JSON),
    "wrong JSON": Scenario(faults.wrong_json, FaultKind.NOT_JSON),
    "JSON of another shape": Scenario(faults.another_shape, FaultKind.NOT_AN_ANSWER),
    "bytes that are no text": Scenario(faults.not_text, FaultKind.NOT_JSON),
    "an error with status 200": Scenario(faults.error_inside, FaultKind.FAILED),
    "closed connection": Scenario(faults.closed_connection, FaultKind.CUT_OFF),
    "huge body": Scenario(faults.huge_body, FaultKind.TOO_LARGE, final=True),
    "rejected with 400": Scenario(faults.status(400), FaultKind.REJECTED, final=True),
    "rejected with 422": Scenario(faults.status(422), FaultKind.REJECTED, final=True),
}
DENIALS = {
    "401 no such key": Scenario(faults.status(401), FaultKind.DENIED, final=True),
    "403 not allowed": Scenario(faults.status(403), FaultKind.DENIED, final=True),
    "404 no such model": Scenario(faults.status(404), FaultKind.DENIED, final=True),
    "redirect to another host": Scenario(faults.redirect, FaultKind.REDIRECTED, final=True),
}


@pytest.fixture
def server() -> Iterator[Server]:
    with faults.fault_server() as running:
        yield running


def at(server: Server) -> Endpoint:
    return endpoint_at(f"openai:small@{server.url}")


def run(
    server: Server,
    file: Path,
    prompts: tuple[str, ...] = PROMPTS,
    *,
    conduct: Conduct = PATIENT,
    budget: Budget | None = None,
    parameters: Parameters | None = None,
    again: bool = False,
) -> Asked:
    questions = [Question(prompt=prompt) for prompt in prompts]
    with Recorder(file) as recorder:
        return ask(
            at(server),
            questions,
            parameters or Parameters(temperature=0.0),
            recorder,
            rng=np.random.default_rng(1),
            conduct=conduct,
            budget=budget,
            again=again,
        )


def texts(asked: Asked) -> set[str]:
    return {answered.answer.text for answered in asked.answers.values()}


# ------------------------------------------------------------------------------------------------------- the scenarios


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS.values() if not s.final],
                         ids=[key for key, s in SCENARIOS.items() if not s.final])  # fmt: skip
def test_a_fault_that_passes_is_outlasted_and_nothing_is_asked_twice(scenario, server, tmp_path) -> None:
    server.misbehave, server.faults = scenario.misbehave, lambda prompt: prompt == "second"
    asked = run(server, tmp_path / "r.jsonl", conduct=scenario.conduct)
    assert texts(asked) == {answer_to(prompt) for prompt in PROMPTS}
    assert server.times == {"first": 1, "second": 2, "third": 1}
    assert asked.summary.faults == {scenario.kind.value: 1}
    assert asked.summary.requests == asked.summary.requests_recorded == 4
    recorded = (tmp_path / "r.jsonl").read_bytes()
    resumed = run(server, tmp_path / "r.jsonl")
    assert len(server.asked) == 4
    assert resumed.answers == asked.answers
    assert resumed.summary.answered_before == 3
    assert (tmp_path / "r.jsonl").read_bytes() == recorded


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_what_was_answered_survives_a_fault_that_stays_and_the_next_run_asks_the_rest(
    scenario, server, tmp_path
) -> None:
    server.misbehave, server.faults = scenario.misbehave, lambda prompt: 99 * (prompt == "second")
    once = structs.replace(scenario.conduct, attempts=1, concurrency=1)
    asked = run(server, tmp_path / "r.jsonl", conduct=once)
    assert texts(asked) == {answer_to("first"), answer_to("third")}
    assert (asked.summary.rejected, asked.summary.given_up) == ((1, 0) if scenario.final else (0, 1))
    assert server.times == {"first": 1, "second": 1, "third": 1}
    assert set(read_recording(tmp_path / "r.jsonl").answered) == set(asked.answers)
    server.faults = lambda _prompt: 0
    resumed = run(server, tmp_path / "r.jsonl", again=scenario.final)
    assert texts(resumed) == {answer_to(prompt) for prompt in PROMPTS}
    assert server.times == {"first": 1, "second": 2, "third": 1}
    assert resumed.summary.asked_again == 0


@pytest.mark.parametrize("scenario", DENIALS.values(), ids=DENIALS)
def test_a_denial_ends_the_run_with_advice_after_one_request(scenario, server, tmp_path) -> None:
    server.misbehave, server.faults = scenario.misbehave, lambda prompt: 99 * (prompt != "first")
    one = Conduct(concurrency=1)
    with pytest.raises(SourceError) as told:
        run(server, tmp_path / "r.jsonl", conduct=one)
    assert told.value.advice
    assert server.asked == ["first", "second"]
    recording = read_recording(tmp_path / "r.jsonl")
    assert recording.faults == {scenario.kind.value: 1}
    assert len(recording.answered) == 1
    server.faults = lambda _prompt: 0
    assert len(run(server, tmp_path / "r.jsonl", conduct=one).answers) == 3
    assert server.times == {"first": 1, "second": 2, "third": 1}


def test_a_rejection_before_any_answer_ends_the_run(server, tmp_path) -> None:
    server.misbehave, server.faults = faults.status(400), lambda _prompt: 99
    with pytest.raises(SourceError, match="something went wrong"):
        run(server, tmp_path / "r.jsonl", conduct=Conduct(concurrency=1))
    assert len(server.asked) == 1


def test_a_rejected_question_is_asked_once_more_only_on_demand(server, tmp_path) -> None:
    server.misbehave, server.faults = faults.status(400), lambda prompt: prompt == "second"
    assert run(server, tmp_path / "r.jsonl", conduct=Conduct(concurrency=1)).summary.rejected == 1
    assert run(server, tmp_path / "r.jsonl").summary.rejected == 1
    assert server.times["second"] == 1
    assert run(server, tmp_path / "r.jsonl", again=True).summary.rejected == 0


def test_questions_in_a_row_without_any_answer_end_the_run(server, tmp_path) -> None:
    server.misbehave, server.faults = faults.html, lambda _prompt: 99
    hopeless = Conduct(attempts=2, first_wait=0.01, concurrency=1, hopeless=2)
    with pytest.raises(SourceError, match="2 questions in a row"):
        run(server, tmp_path / "r.jsonl", tuple("abcdef"), conduct=hopeless)
    assert server.times == {"a": 2, "b": 2}


def test_no_server_at_all(tmp_path) -> None:
    with faults.fault_server() as gone:
        pass
    with pytest.raises(SourceError, match="no connection"):
        run(gone, tmp_path / "r.jsonl", conduct=Conduct(attempts=1, hopeless=3))
    assert read_recording(tmp_path / "r.jsonl").faults == {"unreachable": 3}


def test_an_exhausted_quota_is_not_waited_for(server, tmp_path) -> None:
    def spent(handler: Handler, _prompt: str) -> None:
        handler.say(429, b'{"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}')

    server.misbehave, server.faults = spent, lambda _prompt: 99
    with pytest.raises(SourceError, match="insufficient_quota"):
        run(server, tmp_path / "r.jsonl", conduct=Conduct(concurrency=1))
    assert len(server.asked) == 1


def test_a_pause_longer_than_we_wait_ends_the_run_without_an_error(server, tmp_path) -> None:
    server.misbehave = lambda handler, _prompt: handler.say(429, b"{}", Retry_After="86400")
    server.faults = lambda prompt: 99 * (prompt == "second")
    asked = run(server, tmp_path / "r.jsonl", conduct=Conduct(concurrency=1))
    assert "86400" in asked.summary.ended
    assert (asked.summary.answered_now, asked.summary.not_reached) == (1, 2)


def test_a_wrong_label_on_a_good_answer_is_read_for_what_it_is(server, tmp_path) -> None:
    server.misbehave, server.faults = faults.wrong_content_type, lambda _prompt: 99
    assert len(run(server, tmp_path / "r.jsonl").answers) == 3
    assert len(server.asked) == 3


def test_a_server_that_streams_is_read_whether_asked_to_or_not(server, tmp_path) -> None:
    server.misbehave, server.faults = faults.whole_stream, lambda _prompt: 99
    for stream in (False, True):
        asked = run(server, tmp_path / f"{stream}.jsonl", parameters=Parameters(stream=stream))
        assert texts(asked) == {answer_to(prompt) for prompt in PROMPTS}
    assert server.bodies[-1]["stream"] is True


def test_a_server_that_changes_the_model_is_told_of(server, tmp_path) -> None:
    server.misbehave = lambda handler, p: handler.say(200, faults.chat_body(p).replace(b"small-1", b"small-2"))
    server.faults = lambda prompt: prompt == "second"
    assert run(server, tmp_path / "r.jsonl").summary.models_served == {"small-1": 2, "small-2": 1}


# -------------------------------------------------------------------------------------------------- pace, budget, rounds


def test_everybody_keeps_the_pause_that_the_server_asks_for(server, tmp_path) -> None:
    """Truth from the recording's own order and times: after the 429, nobody begins for as long as it said."""
    server.misbehave, server.faults, server.delay = faults.too_many_with_seconds, lambda prompt: prompt == "c", 0.02
    run(server, tmp_path / "r.jsonl", tuple("abcdefghijkl"), conduct=Conduct(concurrency=3, first_wait=0.01))
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_bytes().splitlines()]
    told = next(number for number, line in enumerate(lines) if line.get("status") == 429)
    until = datetime.fromisoformat(lines[told]["time"]) + timedelta(seconds=0.99)
    later = [datetime.fromisoformat(line["time"]) for line in lines[told:] if line["kind"] == "request"]
    assert len(later) >= 6
    assert min(later) >= until


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(server, tmp_path, monkeypatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert len(run(server, tmp_path / "r.jsonl").answers) == 3


def test_no_more_requests_at_once_than_allowed(server, tmp_path) -> None:
    server.delay = 0.03
    run(server, tmp_path / "r.jsonl", tuple("abcdefgh"), conduct=Conduct(concurrency=2))
    assert server.most_under_way == 2


def test_requests_keep_the_rate(server, tmp_path) -> None:
    run(server, tmp_path / "r.jsonl", tuple("abcdefghijk"), conduct=Conduct(per_minute=1200))
    assert (
        server.arrivals[-1] - server.arrivals[0] > 0.25
    )  # ten intervals of 0.05 s, and half of that for a busy machine


def test_the_budget_of_requests_holds_over_runs_and_retries(server, tmp_path) -> None:
    server.misbehave, server.faults = faults.status(500), lambda prompt: prompt == "b"
    few = Conduct(concurrency=1, first_wait=0.01)
    asked = run(server, tmp_path / "r.jsonl", tuple("abcdef"), conduct=few, budget=Budget(requests=4))
    assert server.asked == ["a", "b", "b", "c"]
    assert asked.summary.ended == "the budget of 4 requests is spent"
    assert (asked.summary.answered_now, asked.summary.not_reached) == (3, 3)
    run(server, tmp_path / "r.jsonl", tuple("abcdef"), conduct=few, budget=Budget(requests=4))
    assert len(server.asked) == 4
    run(server, tmp_path / "r.jsonl", tuple("abcdef"), conduct=few, budget=Budget(requests=5))
    assert server.asked[4:] == ["d"]


def test_a_budget_of_no_seconds_asks_nothing(server, tmp_path) -> None:
    assert run(server, tmp_path / "r.jsonl", budget=Budget(seconds=0.0)).summary.not_reached == 3
    assert server.asked == []


def test_rounds_with_one_recorder_ask_only_what_is_new(server, tmp_path) -> None:
    with Recorder(tmp_path / "r.jsonl") as recorder:
        for upto in (1, 2, 3):
            questions = [Question(prompt=prompt) for prompt in PROMPTS[:upto]]
            asked = ask(at(server), questions, Parameters(), recorder, rng=np.random.default_rng(0))
            assert len(asked.answers) == upto
    assert server.asked == list(PROMPTS)


def test_samples_are_questions_of_their_own_and_get_seeds_of_their_own(server, tmp_path) -> None:
    questions = [Question(prompt="same", sample=sample) for sample in range(3)]
    with Recorder(tmp_path / "r.jsonl") as recorder:
        ask(at(server), questions, Parameters(seed=7), recorder, rng=np.random.default_rng(0))
    assert sorted(body["seed"] for body in server.bodies) == [7, 8, 9]
    assert transcript_of(tmp_path / "r.jsonl")["sample"].to_list() == [0, 1, 2]


# ------------------------------------------------------------------------------------------------------------- secrets


def test_the_key_is_sent_and_never_recorded(server, tmp_path, monkeypatch) -> None:
    """Truth by construction: a server that says the key back in every place it can."""
    key = "fk-9X2/quite+secret=value"
    monkeypatch.setenv("FILIATION_KEY_127_0_0_1", key)

    def echoes(handler: Handler, prompt: str) -> None:
        told = handler.headers["Authorization"].removeprefix("Bearer ")
        status = 500 if len(handler.server.state.asked) % 2 else 200
        body = faults.chat_body(f"{prompt} {told}")
        handler.say(status, body, Set_Cookie=f"session={told}", X_Echo=told, X_Api_Key=told, WWW_Authenticate=told)

    server.misbehave, server.faults = echoes, lambda _prompt: 99
    asked = run(server, tmp_path / "r.jsonl", conduct=Conduct(concurrency=1, first_wait=0.01))
    assert {sent["Authorization"] for sent in server.headers} == {f"Bearer {key}"}
    recorded = (tmp_path / "r.jsonl").read_bytes()
    assert b"[key removed]" in recorded
    assert key.encode() not in recorded
    assert b"secret" not in recorded
    for name in (b"authorization", b"set-cookie", b"x-api-key"):
        assert name not in recorded.lower()
    assert all(key not in text for text in texts(asked))
    assert not any(key in str(value) for row in transcript_of(tmp_path / "r.jsonl").rows() for value in row)


@pytest.mark.parametrize(
    ("scheme", "path", "header", "value"),
    [
        ("openai", "/v1/chat/completions", "Authorization", "Bearer fk-9X2-quite-secret"),
        ("openai-completions", "/v1/completions", "Authorization", "Bearer fk-9X2-quite-secret"),
        ("anthropic", "/v1/messages", "x-api-key", "fk-9X2-quite-secret"),
    ],
)
def test_every_protocol_is_spoken_with_its_key(scheme, path, header, value, server, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FILIATION_KEY_127_0_0_1", "fk-9X2-quite-secret")
    endpoint = endpoint_at(f"{scheme}:small@{server.url}")
    with Recorder(tmp_path / "r.jsonl") as recorder:
        asked = ask(
            endpoint, [Question(prompt="first")], Parameters(max_tokens=5), recorder, rng=np.random.default_rng(0)
        )
    assert texts(asked) == {answer_to("first")}
    assert server.paths == [path]
    assert server.headers[0][header] == value
    assert b"quite-secret" not in (tmp_path / "r.jsonl").read_bytes()


def test_a_prompt_that_holds_the_key_is_not_sent(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FILIATION_KEY_127_0_0_1", "fk-9X2-quite-secret")
    with pytest.raises(UsageError, match="the key itself"):
        run(server, tmp_path / "r.jsonl", ("my key is fk-9X2-quite-secret",))
    assert server.asked == []
    assert b"quite-secret" not in (tmp_path / "r.jsonl").read_bytes()


def test_an_error_that_says_the_key_is_told_without_it(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FILIATION_KEY_127_0_0_1", "fk-9X2-quite-secret")
    server.misbehave = lambda handler, _p: handler.say(401, b'{"error": {"message": "bad key fk-9X2-quite-secret"}}')
    server.faults = lambda _prompt: 99
    with pytest.raises(SourceError) as told:
        run(server, tmp_path / "r.jsonl")
    assert "quite-secret" not in str(told.value)
    assert b"quite-secret" not in (tmp_path / "r.jsonl").read_bytes()


# ---------------------------------------------------------------------------------------------------------- the details

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),  # not in the standard, and sent all the same
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),  # in the past: at once
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_against_rfc_9110(told: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": told}, NOW) == seconds


def test_without_the_extra_the_error_names_it(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingExtra, match=r"filiation\[endpoints\]"):
        run(server, tmp_path / "r.jsonl")


def test_pace_and_patience_must_be_positive() -> None:
    for wrong in ({"concurrency": 0}, {"attempts": 0}, {"per_minute": 0.0}):
        with pytest.raises(UsageError):
            Conduct(**wrong)
