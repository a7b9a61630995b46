"""Batch files as the OpenAI guide shows them."""

from __future__ import annotations

import json

import pytest

from filiation.errors import MalformedSource, UsageError
from filiation.sources.transcripts import prompt_id
from tests.sources.transcript_formats.worlds import imported, written


def request(name: str, url: str, **body) -> dict:
    return {"custom_id": name, "method": "POST", "url": url, "body": {"model": "m", **body}}


def response(name: str, **body) -> dict:
    done = {"status_code": 200, "request_id": "r", "body": {"model": "m-2026", "created": 1767225600, **body}}
    return {"id": "batch_req_1", "custom_id": name, "response": done, "error": None}


def chat(text: str, **more) -> dict:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", **more}


REQUESTS = [
    request(
        "a",
        "/v1/chat/completions",
        messages=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}],
        temperature=0.5,
    ),
    request("b", "/v1/completions", prompt="Once upon", max_tokens=5),
    request("c", "/v1/responses", input="Tell me", instructions="Short."),
    request("d", "/v1/chat/completions", messages=[{"role": "user", "content": "Fail"}]),
    request("e", "/v1/chat/completions", messages=[{"role": "user", "content": "Never sent"}]),
]
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.25, "top_logprobs": [{"token": "Yo", "logprob": -1.5}]}]}
RESPONSES = [
    response(
        "c",
        status="incomplete",
        incomplete_details={"reason": "max_output_tokens"},
        output=[
            {"type": "reasoning", "summary": []},
            {"type": "message", "content": [{"type": "output_text", "text": "Long ago", "annotations": []}]},
        ],
    ),
    response("a", choices=[chat("Hi", logprobs=LOGPROBS)]),
    response("b", choices=[{"index": 0, "text": " a time", "finish_reason": "length", "logprobs": None}]),
    {"id": "x", "custom_id": "d", "response": {"status_code": 429, "body": {}}, "error": None},
]


def test_requests_and_responses_are_joined_in_any_order(tmp_path):
    output = written(tmp_path / "output.jsonl", RESPONSES)
    rows, told = imported(tmp_path, output, written(tmp_path / "input.jsonl", REQUESTS))
    by_prompt = {row["prompt"]: row for row in rows}
    assert set(by_prompt) == {"Hello?", "Once upon", "Tell me"}
    hello, once, tell = by_prompt["Hello?"], by_prompt["Once upon"], by_prompt["Tell me"]
    assert hello["prompt_id"] == prompt_id("Hello?")
    assert json.loads(hello["parameters"]) == {"system": "Be kind.", "temperature": 0.5}
    assert json.loads(hello["log_probabilities"]) == [["Hi", -0.25, [["Yo", -1.5]]]]
    assert (hello["model"], hello["time"]) == ("m-2026", "2026-01-01T00:00:00Z")
    assert (once["text"], once["finish_reason"]) == (" a time", "length")
    assert (tell["text"], tell["finish_reason"]) == ("Long ago", "length")
    assert told.skipped == {"failed requests": 1, "requests without a response": 1}


def test_several_choices_are_samples(tmp_path):
    asked = [request("a", "/v1/chat/completions", messages=[{"role": "user", "content": "Hello?"}], n=2)]
    given = [response("a", choices=[chat("Hi"), chat("Hey", index=1)])]
    rows, _ = imported(tmp_path, written(tmp_path / "i.jsonl", asked), written(tmp_path / "o.jsonl", given))
    assert [(row["sample"], row["text"]) for row in rows] == [(0, "Hi"), (1, "Hey")]


def test_a_conversation_is_its_messages(tmp_path):
    talk = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}, {"role": "user", "content": "C"}]
    asked = written(tmp_path / "i.jsonl", [request("a", "/v1/chat/completions", messages=talk)])
    rows, _ = imported(tmp_path, asked, written(tmp_path / "o.jsonl", [response("a", choices=[chat("D")])]))
    assert json.loads(rows[0]["prompt"]) == talk


def test_pieces_of_text_are_the_text(tmp_path):
    pieces = [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    asked = [request("a", "/v1/chat/completions", messages=[{"role": "user", "content": pieces}])]
    given = [response("a", choices=[chat("C")])]
    rows, _ = imported(tmp_path, written(tmp_path / "i.jsonl", asked), written(tmp_path / "o.jsonl", given))
    assert rows[0]["prompt"] == "AB"


def test_responses_alone_ask_for_the_requests(tmp_path):
    with pytest.raises(UsageError, match="prompt is not known") as raised:
        imported(tmp_path, written(tmp_path / "o.jsonl", RESPONSES))
    assert "input file" in raised.value.advice


def test_requests_alone_ask_for_the_responses(tmp_path):
    with pytest.raises(UsageError, match="requests without responses"):
        imported(tmp_path, written(tmp_path / "i.jsonl", REQUESTS))


def test_two_requests_of_one_name_are_refused(tmp_path):
    other = [request("a", "/v1/completions", prompt="Other")]
    with pytest.raises(MalformedSource, match="another request"):
        imported(tmp_path, written(tmp_path / "i.jsonl", REQUESTS), written(tmp_path / "j.jsonl", other))


def test_not_a_number_is_no_log_probability(tmp_path):
    broken = {"content": [{"token": "Hi", "logprob": float("nan"), "top_logprobs": []}]}
    given = written(tmp_path / "o.jsonl", [response("a", choices=[chat("Hi", logprobs=broken)])])
    with pytest.raises(MalformedSource, match="no log-probability"):
        imported(tmp_path, written(tmp_path / "i.jsonl", REQUESTS), given)
