"""Anthropic's messages: what to send and how to read what comes back. No input or output here.

Written against Anthropic's API reference (Messages, version 2023-06-01, and its streaming events).
"""

from __future__ import annotations

from typing import Any

from filiation.errors import UsageError
from filiation.sources.endpoints.event_stream import events
from filiation.sources.endpoints.exchange import (
    Answer,
    Fault,
    FaultKind,
    Parameters,
    Question,
    Usage,
    count_field,
    fault,
    text_field,
    whole_text,
)
from filiation.sources.endpoints.location import Endpoint
from filiation.sources.endpoints.openai_chat import json_object

PATH = "/v1/messages"
VERSION = "2023-06-01"
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
"""Anthropic's stop reasons in the words of the transcripts; others stay as they are."""


def headers(key: str) -> dict[str, str]:
    return {"anthropic-version": VERSION} | ({"x-api-key": key} if key else {})


def body(endpoint: Endpoint, question: Question, parameters: Parameters) -> dict[str, Any]:
    """The request as a JSON object. Raises UsageError for what this protocol does not know."""
    unknown = [("a seed", parameters.seed), ("log-probabilities", parameters.top_log_probabilities)]
    for what, value in unknown:
        if value is not None:
            raise UsageError(
                f"Anthropic's messages know no {what.removeprefix('a ')}",
                exhibit=endpoint.location,
                advice="leave it out",
            )
    if parameters.max_tokens is None:
        raise UsageError(
            "Anthropic's messages need a greatest number of tokens",
            exhibit=endpoint.location,
            advice="give --max-tokens",
        )
    system = [message.content for message in question.messages if message.role == "system"]
    messages = [{"role": m.role, "content": m.content} for m in question.messages if m.role != "system"]
    made: dict[str, Any] = {
        "model": endpoint.model,
        "max_tokens": parameters.max_tokens,
        "messages": messages or [{"role": "user", "content": question.prompt}],
    }
    if parameters.system or system:
        made["system"] = "\n\n".join(([parameters.system] if parameters.system else []) + system)
    if parameters.temperature is not None:
        made["temperature"] = parameters.temperature
    if parameters.top_p is not None:
        made["top_p"] = parameters.top_p
    if parameters.stream:
        made["stream"] = True
    return made


def read(data: bytes) -> Answer | Fault:
    """The answer in the body of a response with status 200."""
    found = json_object(data)
    if isinstance(found, Fault):
        return found
    content = found.get("content")
    if found.get("type") != "message" or not isinstance(content, list):
        return fault(FaultKind.NOT_AN_ANSWER, "the answer is no message with content")
    texts = []
    for block in content:
        if not isinstance(block, dict) or (block.get("type") == "text" and not isinstance(block.get("text"), str)):
            return fault(FaultKind.NOT_AN_ANSWER, "a block of the content is not one")
        if block.get("type") == "text":
            texts.append(block["text"])
    usage = found.get("usage")
    return Answer(
        text=whole_text("".join(texts)),
        finish_reason=_finish_reason(text_field(found, "stop_reason")),
        model_served=text_field(found, "model"),
        usage=Usage(
            prompt_tokens=count_field(usage, "input_tokens"), answer_tokens=count_field(usage, "output_tokens")
        ),
    )


def read_stream(data: bytes) -> Answer | Fault:
    """The answer in a whole stream, which ends with the event message_stop."""
    texts, stop_reason, model, stopped = list[str](), "", "", False
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    for name, content in events(data):
        if name == "ping":
            continue
        found = json_object(content.encode())
        if isinstance(found, Fault):
            return found
        kind = text_field(found, "type")
        if kind == "message_start" and isinstance(found.get("message"), dict):
            model = text_field(found["message"], "model")
            prompt_tokens = count_field(found["message"].get("usage"), "input_tokens")
        elif kind == "content_block_start" and isinstance(found.get("content_block"), dict):
            block = found["content_block"]
            texts.append(block["text"] if block.get("type") == "text" and isinstance(block.get("text"), str) else "")
        elif kind == "content_block_delta" and isinstance(found.get("delta"), dict):
            delta = found["delta"]
            texts.append(
                delta["text"] if delta.get("type") == "text_delta" and isinstance(delta.get("text"), str) else ""
            )
        elif kind == "message_delta" and isinstance(found.get("delta"), dict):
            stop_reason = text_field(found["delta"], "stop_reason") or stop_reason
            answer_tokens = count_field(found.get("usage"), "output_tokens")
        stopped = stopped or kind == "message_stop"
    if not stopped:
        return fault(FaultKind.CUT_OFF, "the stream ended before the answer did")
    return Answer(
        text=whole_text("".join(texts)),
        finish_reason=_finish_reason(stop_reason),
        model_served=model,
        usage=Usage(prompt_tokens=prompt_tokens, answer_tokens=answer_tokens),
    )


def _finish_reason(stop_reason: str) -> str | None:
    return FINISH_REASONS.get(stop_reason, stop_reason) or None
