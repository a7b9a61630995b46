"""OpenAI-compatible text completions: the prompt as it stands, without a chat template. No input or output here.

Written against OpenAI's API reference (Completions, object `text_completion`), as vLLM, llama.cpp, Ollama and
`transformers serve` offer it. Log-probabilities come as parallel lists: tokens, token_logprobs, top_logprobs.
"""

from __future__ import annotations

from typing import Any

from filiation.errors import UsageError
from filiation.sources.endpoints.exchange import (
    Answer,
    Fault,
    FaultKind,
    LogProbability,
    Parameters,
    Question,
    Usage,
    fault,
    text_field,
    whole_text,
)
from filiation.sources.endpoints.location import Endpoint
from filiation.sources.endpoints.openai_chat import (
    first_choice,
    headers,
    json_object,
    read_log_probabilities,
    read_usage,
    sampling,
    stream_objects,
)

__all__ = ["PATH", "body", "headers", "read", "read_stream"]
PATH = "/completions"


def body(endpoint: Endpoint, question: Question, parameters: Parameters) -> dict[str, Any]:
    """The request as a JSON object. Raises UsageError for messages and a system prompt, which need a chat template."""
    if question.messages or parameters.system:
        raise UsageError(
            "text completions take one prompt, neither messages nor a system prompt",
            exhibit=endpoint.location,
            advice=f"ask openai:{endpoint.model}@{endpoint.url}",
        )
    made: dict[str, Any] = {"model": endpoint.model, "prompt": question.prompt} | sampling(question, parameters)
    if parameters.max_tokens is not None:
        made["max_tokens"] = parameters.max_tokens
    if parameters.top_log_probabilities is not None:
        made["logprobs"] = parameters.top_log_probabilities
    return made


def read(data: bytes) -> Answer | Fault:
    """The answer in the body of a response with status 200."""
    found = json_object(data)
    choice = found if isinstance(found, Fault) else first_choice(found)
    if isinstance(found, Fault) or isinstance(choice, Fault):
        return choice  # type: ignore[return-value]
    if not isinstance(choice.get("text"), str):
        return fault(FaultKind.NOT_AN_ANSWER, "the first choice holds no text")
    tokens = read_log_probabilities(choice.get("logprobs"))
    if isinstance(tokens, Fault):
        return tokens
    return Answer(
        text=whole_text(choice["text"]),
        finish_reason=text_field(choice, "finish_reason") or None,
        log_probabilities=tokens,
        model_served=text_field(found, "model"),
        usage=read_usage(found),
    )


def read_stream(data: bytes) -> Answer | Fault:
    """The answer in a whole stream. A stream without a finish reason and without [DONE] ended too early."""
    texts, tokens = list[str](), list[LogProbability]()
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
        if not isinstance(choices[0], dict) or not isinstance(choices[0].get("text"), str):
            return fault(FaultKind.NOT_AN_ANSWER, "a piece of the stream is not text")
        texts.append(choices[0]["text"])
        finish_reason = text_field(choices[0], "finish_reason") or finish_reason
        piece = read_log_probabilities(choices[0].get("logprobs"))
        if isinstance(piece, Fault):
            return piece
        if piece is not None:
            offered = True
            tokens += piece
    if not done and not finish_reason:
        return fault(FaultKind.CUT_OFF, "the stream ended before the answer did")
    return Answer(
        text=whole_text("".join(texts)),
        finish_reason=finish_reason or None,
        log_probabilities=tuple(tokens) if offered else None,
        model_served=model,
        usage=usage,
    )
