"""OpenAI-compatible chat completions: what to send and how to read what comes back. No input or output here.

Written against OpenAI's API reference (Chat, object `chat.completion` and `chat.completion.chunk`). Compatible servers leave
parts out: usage, the finish reason of a stream's last piece, or the closing [DONE].
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from filiation.errors import MalformedSource
from filiation.sources.endpoints.event_stream import events
from filiation.sources.endpoints.exchange import (
    Answer,
    Fault,
    FaultKind,
    LogProbability,
    Parameters,
    Question,
    Usage,
    count_field,
    fault,
    text_field,
    whole_text,
)
from filiation.sources.endpoints.location import Endpoint
from filiation.strict_json import read_json_object

PATH = "/chat/completions"
DONE = "[DONE]"


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def body(endpoint: Endpoint, question: Question, parameters: Parameters) -> dict[str, Any]:
    """The request as a JSON object."""
    messages = [{"role": message.role, "content": message.content} for message in question.messages]
    messages = messages or [{"role": "user", "content": question.prompt}]
    if parameters.system:
        messages.insert(0, {"role": "system", "content": parameters.system})
    made: dict[str, Any] = {"model": endpoint.model, "messages": messages}
    made |= sampling(question, parameters)
    if parameters.max_tokens is not None:
        # OpenAI's own newer models refuse `max_tokens`; compatible servers know nothing else.
        own = endpoint.host == "api.openai.com"
        made["max_completion_tokens" if own else "max_tokens"] = parameters.max_tokens
    if parameters.top_log_probabilities is not None:
        made["logprobs"] = True
        if parameters.top_log_probabilities > 0:
            made["top_logprobs"] = parameters.top_log_probabilities
    return made


def sampling(question: Question, parameters: Parameters) -> dict[str, Any]:
    """The fields that both OpenAI protocols share."""
    made: dict[str, Any] = {}
    if parameters.temperature is not None:
        made["temperature"] = parameters.temperature
    if parameters.top_p is not None:
        made["top_p"] = parameters.top_p
    if parameters.seed is not None:
        made["seed"] = parameters.seed + question.sample
    if parameters.stream:
        made["stream"] = True
    return made


def read(data: bytes) -> Answer | Fault:
    """The answer in the body of a response with status 200."""
    found = json_object(data)
    if isinstance(found, Fault):
        return found
    choice = first_choice(found)
    if isinstance(choice, Fault):
        return choice
    message = choice.get("message")
    if not isinstance(message, dict):
        return fault(FaultKind.NOT_AN_ANSWER, "the first choice holds no message")
    text = content_text(message.get("content"))
    if text is None:
        return fault(FaultKind.NOT_AN_ANSWER, "the message's content is neither text nor parts of text")
    finish_reason = text_field(choice, "finish_reason") or None
    refusal = text_field(message, "refusal")
    if refusal and not text:
        text, finish_reason = refusal, "refusal"
    log_probabilities = read_log_probabilities(choice.get("logprobs"))
    if isinstance(log_probabilities, Fault):
        return log_probabilities
    return Answer(
        text=text,
        finish_reason=finish_reason,
        log_probabilities=log_probabilities,
        model_served=text_field(found, "model"),
        usage=read_usage(found),
    )


def read_stream(data: bytes) -> Answer | Fault:
    """The answer in a whole stream. A stream without a finish reason and without [DONE] ended too early."""
    texts, refusals, tokens = list[str](), list[str](), list[LogProbability]()
    finish_reason, model, usage, offered, done = "", "", Usage(), False, False
    for found in stream_objects(data):
        if isinstance(found, Fault):
            return found
        if found is None:
            done = True
            break
        model = model or text_field(found, "model")
        usage = read_usage(found) if found.get("usage") else usage
        choices = found.get("choices")
        if not isinstance(choices, list) or not choices:
            continue
        choice = choices[0]
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(delta, dict):
            return fault(FaultKind.NOT_AN_ANSWER, "a piece of the stream holds no delta")
        # Half a surrogate pair may end one piece and the other half begin the next: joined before they are judged.
        text = content_text(delta.get("content"), whole=False)
        if text is None:
            return fault(FaultKind.NOT_AN_ANSWER, "a piece of the stream is not text")
        texts.append(text)
        refusals.append(text_field(delta, "refusal"))
        finish_reason = text_field(choice, "finish_reason") or finish_reason
        piece = read_log_probabilities(choice.get("logprobs"))
        if isinstance(piece, Fault):
            return piece
        if piece is not None:
            offered = True
            tokens += piece
    if not done and not finish_reason:
        return fault(FaultKind.CUT_OFF, "the stream ended before the answer did")
    text, refusal = whole_text("".join(texts)), "".join(refusals)
    if refusal and not text:
        text, finish_reason = refusal, "refusal"
    return Answer(
        text=text,
        finish_reason=finish_reason or None,
        log_probabilities=tuple(tokens) if offered else None,
        model_served=model,
        usage=usage,
    )


# --------------------------------------------------------------------------- shared with the other protocols


def json_object(data: bytes) -> dict[str, Any] | Fault:
    """The JSON object in a body, or what it is instead; an object that only reports an error is a fault."""
    try:
        found = read_json_object(data, what="the answer", exhibit="", limit=max(len(data), 1))
    except MalformedSource as error:
        return fault(FaultKind.NOT_JSON, error.message)
    if found.get("error"):
        return fault(FaultKind.FAILED, f"the answer is an error: {error_text(found)}")
    return found


def stream_objects(data: bytes) -> Iterator[dict[str, Any] | Fault | None]:
    """The JSON objects of a stream in order; None for [DONE], a fault for what is neither."""
    for name, content in events(data):
        if content.strip() == DONE:
            yield None
        elif name != "ping":
            yield json_object(content.encode())


def error_text(found: dict[str, Any]) -> str:
    """What an error body says, whatever its shape: OpenAI's, Anthropic's, FastAPI's or a plain sentence."""
    error = found.get("error", found)
    if isinstance(error, dict):
        parts = [text_field(error, "type"), str(error.get("code") or ""), text_field(error, "message")]
        told = ": ".join(dict.fromkeys(part for part in parts if part))
        return told or str(error.get("detail", error))[:300]
    return str(error)[:300]


def first_choice(found: dict[str, Any]) -> dict[str, Any] | Fault:
    choices = found.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return fault(FaultKind.NOT_AN_ANSWER, "the answer holds no choices")
    return choices[0]


def content_text(content: object, *, whole: bool = True) -> str | None:
    """The text of a message's content: a string, a list of parts, or nothing; None for anything else."""
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [part.get("text", "") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        return None
    return whole_text(content) if whole else content


def read_usage(found: dict[str, Any]) -> Usage:
    usage = found.get("usage")
    return Usage(
        prompt_tokens=count_field(usage, "prompt_tokens"), answer_tokens=count_field(usage, "completion_tokens")
    )


def finite(value: object) -> float | None:
    """A log-probability: a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None


def read_log_probabilities(found: object) -> tuple[LogProbability, ...] | Fault | None:
    """`logprobs` of a choice, in the shape of chat ('content') or of text completions ('tokens'); None where none are offered.

    Either shape is read for either protocol: llama-cpp-python sends that of text for chat, llama.cpp that of chat for text.
    """
    if not isinstance(found, dict):
        return None
    if "tokens" in found:
        return _parallel_lists(found)
    content = found.get("content")
    if content is None:
        return None
    made = []
    for entry in content if isinstance(content, list) else [None]:
        token = _token(entry)
        alternatives = entry.get("top_logprobs") if isinstance(entry, dict) else None
        likeliest = [_token(other) for other in alternatives] if isinstance(alternatives, list) else []
        if token is None or any(other is None for other in likeliest):
            return fault(FaultKind.NOT_AN_ANSWER, "a token of the log-probabilities lacks its text or a finite number")
        made.append((*token, tuple(other for other in likeliest if other is not None)))
    return tuple(made)


def _parallel_lists(found: dict[str, Any]) -> tuple[LogProbability, ...] | Fault:
    tokens, values = found.get("tokens"), found.get("token_logprobs")
    tops = found.get("top_logprobs") or [None] * len(tokens if isinstance(tokens, list) else [])
    if not (isinstance(tokens, list) and isinstance(values, list) and isinstance(tops, list)):
        return fault(FaultKind.NOT_AN_ANSWER, "the log-probabilities are not lists")
    if not len(tokens) == len(values) == len(tops):
        return fault(FaultKind.NOT_AN_ANSWER, "the lists of the log-probabilities differ in length")
    made = []
    for token, value, top in zip(tokens, values, tops, strict=True):
        number = finite(value)
        likeliest = {name: finite(other) for name, other in top.items()} if isinstance(top, dict) else {}
        if not isinstance(token, str) or number is None or None in likeliest.values():
            return fault(FaultKind.NOT_AN_ANSWER, "a token of the log-probabilities lacks its text or a finite number")
        known = [(whole_text(name), other) for name, other in likeliest.items() if other is not None]
        made.append((whole_text(token), number, tuple(sorted(known, key=lambda pair: (-pair[1], pair[0])))))
    return tuple(made)


def _token(entry: object) -> tuple[str, float] | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
        return None
    value = finite(entry.get("logprob"))
    return None if value is None else (whole_text(entry["token"]), value)
