"""The three protocols against the response shapes that the vendors document. Bytes in, records out: no server here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.errors import UsageError
from filiation.evidence import canonical
from filiation.sources.endpoints.event_stream import events
from filiation.sources.endpoints.exchange import Answer, Fault, FaultKind, Message, Parameters, Question, Usage
from filiation.sources.endpoints.location import endpoint_at
from filiation.sources.endpoints.protocols import address, read_response, request_body, request_id

CHAT = endpoint_at("openai:m@http://h/v1")
TEXT = endpoint_at("openai-completions:m@http://h/v1")
ANTHROPIC = endpoint_at("anthropic:m")
JSON = "application/json"
STREAM = "text/event-stream"


def read(endpoint: Any, body: Any, status: int = 200, kind: str = JSON) -> Answer | Fault:
    return read_response(endpoint, status, kind, body if isinstance(body, bytes) else json.dumps(body).encode())


def stream(*chunks: Any) -> bytes:
    return b"".join(b"data: " + (c if isinstance(c, bytes) else json.dumps(c).encode()) + b"\n\n" for c in chunks)


def sent(endpoint: Any, question: Question, **parameters: Any) -> dict[str, Any]:
    return dict(json.loads(request_body(endpoint, question, Parameters(**parameters))))


# ------------------------------------------------------------------------------------------------------------ requests

QUESTION = Question(prompt="Hello?")
TALK = Question(
    messages=(Message(role="system", content="Be brief."), Message(role="user", content="Hello?")), sample=2
)


def test_addresses() -> None:
    assert address(CHAT) == "http://h/v1/chat/completions"
    assert address(TEXT) == "http://h/v1/completions"
    assert address(ANTHROPIC) == "https://api.anthropic.com/v1/messages"
    assert address(endpoint_at("anthropic:m@https://h/v1")) == "https://h/v1/messages"


def test_what_is_not_set_is_not_sent() -> None:
    assert sent(CHAT, QUESTION) == {"model": "m", "messages": [{"role": "user", "content": "Hello?"}]}
    assert sent(TEXT, QUESTION) == {"model": "m", "prompt": "Hello?"}


def test_a_chat_request_with_everything() -> None:
    made = sent(CHAT, TALK, temperature=0.5, top_p=0.9, max_tokens=9, seed=40, top_log_probabilities=3, stream=True)
    assert made == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 9,
        "seed": 42,
        "logprobs": True,
        "top_logprobs": 3,
        "stream": True,
    }
    assert sent(CHAT, QUESTION, system="S")["messages"][0] == {"role": "system", "content": "S"}
    assert sent(CHAT, QUESTION, top_log_probabilities=0)["logprobs"] is True
    assert "top_logprobs" not in sent(CHAT, QUESTION, top_log_probabilities=0)


def test_openai_itself_is_sent_the_newer_name_of_the_limit() -> None:
    assert sent(endpoint_at("openai:m"), QUESTION, max_tokens=9)["max_completion_tokens"] == 9


def test_a_text_request() -> None:
    made = sent(TEXT, QUESTION, temperature=1.0, max_tokens=5, top_log_probabilities=2)
    assert made == {"model": "m", "prompt": "Hello?", "temperature": 1, "max_tokens": 5, "logprobs": 2}


def test_an_anthropic_request_keeps_the_system_prompt_apart() -> None:
    made = sent(ANTHROPIC, TALK, max_tokens=9, temperature=0.0, system="First.")
    assert made == {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hello?"}],
        "system": "First.\n\nBe brief.",
        "temperature": 0,
    }


@pytest.mark.parametrize(
    ("endpoint", "question", "parameters"),
    [
        (TEXT, TALK, {}),
        (TEXT, QUESTION, {"system": "S"}),
        (ANTHROPIC, QUESTION, {}),
        (ANTHROPIC, QUESTION, {"max_tokens": 9, "seed": 1}),
        (ANTHROPIC, QUESTION, {"max_tokens": 9, "top_log_probabilities": 1}),
        (CHAT, QUESTION, {"temperature": float("nan")}),
    ],
)
def test_what_a_protocol_does_not_know_is_refused_rather_than_dropped(endpoint, question, parameters) -> None:
    with pytest.raises(UsageError):
        sent(endpoint, question, **parameters)


def test_questions_without_words_or_without_bytes_are_refused() -> None:
    for wrong in ({}, {"prompt": "x", "messages": TALK.messages}, {"prompt": "\ud83d"}, {"prompt": "x", "sample": -1}):
        with pytest.raises(UsageError):
            Question(**wrong)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(0, 9), st.text(max_size=3), st.booleans()
)
def test_the_id_tells_apart_whatever_is_asked_differently(prompt: str, sample: int, more: str, other: bool) -> None:
    first = request_id(CHAT, Question(prompt=prompt, sample=sample), Parameters())
    question = Question(prompt=prompt + more, sample=sample + other) if _text(more) else QUESTION
    second = request_id(CHAT, question, Parameters())
    assert (first == second) == (question == Question(prompt=prompt, sample=sample))
    assert first == request_id(CHAT, Question(prompt=prompt, sample=sample, item="named"), Parameters())
    assert len({first, *(request_id(e, QUESTION, Parameters(temperature=0.5)) for e in (CHAT, TEXT))}) == 3


def _text(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


# ---------------------------------------------------------------------------------------------------- chat completions


def chat(**changes: Any) -> dict[str, Any]:
    """The object of OpenAI's reference, 'Create chat completion'."""
    message = {"role": "assistant", "content": "Hello there.", "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"} | changes
    usage = {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-0125", "choices": [choice],
            "usage": usage, "system_fingerprint": "fp_1"}  # fmt: skip


def test_chat_as_documented() -> None:
    assert read(CHAT, chat()) == Answer(
        text="Hello there.",
        finish_reason="stop",
        model_served="m-0125",
        usage=Usage(prompt_tokens=19, answer_tokens=10),
    )


def test_chat_with_log_probabilities_as_documented() -> None:
    entry = {"token": "Hel", "logprob": -0.25, "bytes": [72, 101, 108],
             "top_logprobs": [{"token": "Hel", "logprob": -0.25, "bytes": None}, {"token": "Hi", "logprob": -2}]}  # fmt: skip
    found = read(CHAT, chat(logprobs={"content": [entry], "refusal": None}))
    assert isinstance(found, Answer)
    assert found.log_probabilities == (("Hel", -0.25, (("Hel", -0.25), ("Hi", -2.0))),)


@pytest.mark.parametrize(
    ("message", "finish_reason", "text", "told"),
    [
        ({"role": "assistant", "content": None, "refusal": "I cannot help."}, "stop", "I cannot help.", "refusal"),
        ({"role": "assistant", "content": None, "tool_calls": []}, "tool_calls", "", "tool_calls"),
        ({"role": "assistant", "content": "", "reasoning_content": "Hm"}, "length", "", "length"),
        ({"role": "assistant"}, "content_filter", "", "content_filter"),
        ({"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "stop", "ab", "stop"),
        ({"role": "assistant", "content": " x\u2028y "}, None, " x\u2028y ", None),
    ],
)  # fmt: skip
def test_chat_messages_of_other_kinds(message, finish_reason, text, told) -> None:
    found = read(CHAT, chat(message=message, finish_reason=finish_reason))
    assert isinstance(found, Answer)
    assert (found.text, found.finish_reason) == (text, told)


def test_half_a_surrogate_pair_in_an_answer_becomes_a_replacement_character() -> None:
    body = json.dumps(chat(message={"role": "assistant", "content": "X"})).encode()
    found = read(CHAT, body.replace(b'"X"', rb'"\ud83d \ud83d\ude00"'))
    assert isinstance(found, Answer)
    assert found.text == "\ufffd \U0001f600"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"choices": []}, {"choices": None}, {"choices": [1]}, {"choices": [{}]}, {"choices": [{"message": "x"}]},
        chat(message={"role": "assistant", "content": 7}), chat(logprobs={"content": [{"token": "x"}]}),
        chat(logprobs={"content": [{"token": "x", "logprob": True}]}), chat(logprobs={"content": {"token": "x"}}),
    ],
)  # fmt: skip
def test_json_of_another_shape_is_no_answer(body) -> None:
    found = read(CHAT, body)
    assert isinstance(found, Fault)
    assert (found.kind, found.retry) == (FaultKind.NOT_AN_ANSWER, True)


def test_not_a_number_is_no_log_probability() -> None:
    body = json.dumps(chat(logprobs={"content": [{"token": "x", "logprob": float("nan")}]})).encode()
    assert isinstance(read(CHAT, body), Fault)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"nul", b"\xff\xfe", b'{"a":1,"a":2}', b"[" * 10**5])
def test_what_is_no_json_object_is_no_answer(body: bytes) -> None:
    for endpoint in (CHAT, TEXT, ANTHROPIC):
        found = read(endpoint, body)
        assert isinstance(found, Fault)
        assert (found.kind, found.retry) == (FaultKind.NOT_JSON, True)


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "model": "m-0125",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason} | more]}  # fmt: skip


WHOLE = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hel"}),
    chunk({"content": "lo"}),
    chunk({}, "stop"),
)
COUNTED = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


@pytest.mark.parametrize(
    ("body", "finish_reason"),
    [
        (stream(*WHOLE, COUNTED, b"[DONE]"), "stop"),
        (stream(*WHOLE, COUNTED), "stop"),  # `transformers serve` ends without [DONE]
        (stream(*WHOLE[:3], COUNTED, b"[DONE]"), None),
        (b": a comment\n\n" + stream(*WHOLE, COUNTED, b"[DONE]").replace(b"\n", b"\r\n"), "stop"),
    ],
)
def test_a_whole_chat_stream(body: bytes, finish_reason: str | None) -> None:
    assert read(CHAT, body, kind="text/event-stream; charset=utf-8") == Answer(
        text="Hello", finish_reason=finish_reason, model_served="m-0125", usage=Usage(prompt_tokens=3, answer_tokens=2)
    )
    assert read(CHAT, body, kind="") == read(CHAT, body, kind=STREAM)


def test_a_chat_stream_cut_anywhere_before_its_end_is_no_answer() -> None:
    body = stream(*WHOLE)
    for length in range(len(body) - 1):  # without the very last line end, the last event has not ended
        found = read(CHAT, body[:length], kind=STREAM)
        assert isinstance(found, Fault), length
        assert found.kind is FaultKind.CUT_OFF
    assert isinstance(read(CHAT, body, kind=STREAM), Answer)


def test_a_stream_with_log_probabilities_and_a_split_pair() -> None:
    entries = [{"content": [{"token": t, "logprob": -1.0, "top_logprobs": []}]} for t in ("a", "b")]
    body = stream(
        chunk({"content": "\ud83d"}, logprobs=entries[0]), chunk({"content": "\ude00"}, "stop", logprobs=entries[1])
    )
    found = read(CHAT, body, kind=STREAM)
    assert isinstance(found, Answer)
    assert found.text == "\U0001f600"
    assert found.log_probabilities == (("a", -1.0, ()), ("b", -1.0, ()))


def test_an_error_inside_a_stream_is_a_fault() -> None:
    found = read(CHAT, stream(WHOLE[0], {"error": {"message": "out of memory", "code": 500}}), kind=STREAM)
    assert isinstance(found, Fault)
    assert (found.kind, found.retry) == (FaultKind.FAILED, True)
    assert "out of memory" in found.detail


# ---------------------------------------------------------------------------------------------------- text completions


def test_text_with_log_probabilities_as_documented() -> None:
    """OpenAI's reference of the legacy completions: parallel lists."""
    logprobs = {"tokens": ["A", "b"], "token_logprobs": [-0.5, -1.0], "text_offset": [0, 1],
                "top_logprobs": [{"A": -0.5, "B": -3.0}, {"c": -0.7, "b": -1.0}]}  # fmt: skip
    body = {"object": "text_completion", "model": "m-i", "usage": {"prompt_tokens": 1, "completion_tokens": 2},
            "choices": [{"text": "Ab", "index": 0, "logprobs": logprobs, "finish_reason": "length"}]}  # fmt: skip
    assert read(TEXT, body) == Answer(
        text="Ab",
        finish_reason="length",
        log_probabilities=(("A", -0.5, (("A", -0.5), ("B", -3.0))), ("b", -1.0, (("c", -0.7), ("b", -1.0)))),
        model_served="m-i",
        usage=Usage(prompt_tokens=1, answer_tokens=2),
    )
    for wrong in ({"tokens": ["A"]}, {"token_logprobs": [None, -1.0]}, {"top_logprobs": [{"A": "x"}, {}]}):
        body["choices"] = [{"text": "Ab", "logprobs": logprobs | wrong}]
        assert isinstance(read(TEXT, body), Fault)


def test_either_shape_of_log_probabilities_is_read_for_either_protocol() -> None:
    """llama-cpp-python (issue 1787) sends that of text for chat; llama.cpp that of chat for text."""
    as_text = {"tokens": ["A"], "token_logprobs": [-0.5], "top_logprobs": None, "text_offset": [0]}
    as_chat = {"content": [{"token": "A", "logprob": -0.5}]}
    for found in (read(CHAT, chat(logprobs=as_text)), read(TEXT, {"choices": [{"text": "A", "logprobs": as_chat}]})):
        assert isinstance(found, Answer)
        assert found.log_probabilities == (("A", -0.5, ()),)


def test_text_streams() -> None:
    pieces = [
        {"model": "m", "choices": [{"text": text, "finish_reason": end}]} for text, end in (("a", None), ("b", "stop"))
    ]
    assert read(TEXT, stream(*pieces), kind=STREAM) == Answer(text="ab", finish_reason="stop", model_served="m")
    found = read(TEXT, stream(pieces[0]), kind=STREAM)
    assert isinstance(found, Fault)
    assert found.kind is FaultKind.CUT_OFF


# ----------------------------------------------------------------------------------------------------------- Anthropic


def message(stop_reason: str, *content: dict[str, Any]) -> dict[str, Any]:
    """The object of Anthropic's reference, 'Create a message'."""
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m-2", "content": list(content),
            "stop_reason": stop_reason, "stop_sequence": None, "usage": {"input_tokens": 12, "output_tokens": 6}}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "text", "finish_reason"),
    [
        (message("end_turn", {"type": "text", "text": "Hi."}), "Hi.", "stop"),
        (message("max_tokens", {"type": "text", "text": "Hi"}), "Hi", "length"),
        (message("stop_sequence", {"type": "text", "text": "Hi"}), "Hi", "stop"),
        (message("model_context_window_exceeded", {"type": "text", "text": "Hi"}), "Hi", "length"),
        (message("refusal"), "", "refusal"),
        (message("pause_turn", {"type": "text", "text": "a"}, {"type": "text", "text": "b"}), "ab", "pause_turn"),
        (message("end_turn", {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi."}), "Hi.", "stop"),
    ],
)
def test_anthropic_messages_as_documented(body, text: str, finish_reason: str) -> None:
    assert read(ANTHROPIC, body) == Answer(
        text=text, finish_reason=finish_reason, model_served="m-2", usage=Usage(prompt_tokens=12, answer_tokens=6)
    )


def anthropic_stream(*pieces: dict[str, Any]) -> bytes:
    return b"".join(f"event: {piece['type']}\ndata: {json.dumps(piece)}\n\n".encode() for piece in pieces)


STREAMED = (
    {"type": "message_start", "message": message("", *()) | {"stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}},
    {"type": "message_stop"},
)


def test_an_anthropic_stream_ends_with_its_own_event() -> None:
    assert read(ANTHROPIC, anthropic_stream(*STREAMED), kind=STREAM) == Answer(
        text="Hello", finish_reason="stop", model_served="m-2", usage=Usage(prompt_tokens=12, answer_tokens=15)
    )
    for length in range(len(STREAMED)):
        found = read(ANTHROPIC, anthropic_stream(*STREAMED[:length]), kind=STREAM)
        assert isinstance(found, Fault)
        assert found.kind is FaultKind.CUT_OFF


@pytest.mark.parametrize("body", [{}, {"type": "message"}, {"type": "message", "content": [1]}, chat()])
def test_what_is_no_anthropic_message(body) -> None:
    assert isinstance(read(ANTHROPIC, body), Fault)


# ------------------------------------------------------------------------------------------------------------ statuses


@pytest.mark.parametrize(
    ("status", "body", "kind", "retry"),
    [
        (429, {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}, FaultKind.BUSY, True),
        (429, {"error": {"message": "quota", "code": "insufficient_quota"}}, FaultKind.DENIED, False),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, FaultKind.BUSY, True),
        (503, b"<html>Service Unavailable</html>", FaultKind.BUSY, True),
        (500, b"Internal Server Error", FaultKind.BUSY, True),
        (524, b"<html>A timeout occurred</html>", FaultKind.BUSY, True),
        (501, b"", FaultKind.DENIED, False),
        (500, rb'{"error": "half a pair: \ud83d"}', FaultKind.BUSY, True),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens"}}, FaultKind.REJECTED, False),
        (422, {"detail": "Unexpected fields"}, FaultKind.REJECTED, False),
        (401, {"error": {"message": "Incorrect API key provided"}}, FaultKind.DENIED, False),
        (403, b"", FaultKind.DENIED, False),
        (404, {"error": "model not found"}, FaultKind.DENIED, False),
        (301, b"", FaultKind.REDIRECTED, False),
        (204, b"", FaultKind.NOT_AN_ANSWER, True),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, body, kind: FaultKind, retry: bool) -> None:
    for endpoint in (CHAT, TEXT, ANTHROPIC):
        found = read(endpoint, body, status)
        assert isinstance(found, Fault)
        assert (found.kind, found.retry) == (kind, retry)


@pytest.mark.parametrize(
    "said", ["Rate limit reached", "Overloaded", "max_tokens", "Unexpected fields", "model not found"]
)
def test_what_the_server_says_is_passed_on(said: str) -> None:
    shapes = [
        {"error": {"message": said}},
        {"error": said},
        {"detail": said},
        {"type": "error", "error": {"type": "t", "message": said}},
    ]
    for body in shapes:
        found = read(CHAT, body, 400)
        assert isinstance(found, Fault)
        assert said in found.detail


# ---------------------------------------------------------------------------------------------------------- properties


@given(st.binary(max_size=300), st.sampled_from([CHAT, TEXT, ANTHROPIC]), st.sampled_from([JSON, STREAM]))
def test_no_bytes_upset_the_reading(body: bytes, endpoint, kind: str) -> None:
    assert isinstance(read_response(endpoint, 200, kind, body), Answer | Fault)
    assert isinstance(read_response(endpoint, 500, kind, body), Fault)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "text", "delta", "logprobs", "type", "tokens"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["choices", "content", "type", "usage", "model", "error"]), values))
def test_no_json_upsets_the_reading(body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    for endpoint in (CHAT, TEXT, ANTHROPIC):
        for answer in (read(endpoint, data), read(endpoint, stream(data), kind=STREAM)):
            assert isinstance(answer, Answer | Fault)
            canonical(answer)  # whatever is read can be written again


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0")).filter(bool), max_size=5)
)
def test_events_are_read_as_they_were_written(contents: list[str]) -> None:
    body = "".join(f"event: e\ndata: {content}\n\n" for content in contents).encode()
    assert list(events(body)) == [("e", content) for content in contents]
