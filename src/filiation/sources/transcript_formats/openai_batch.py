"""OpenAI batch files: requests and responses as JSON lines, joined by `custom_id`.

Layout: https://platform.openai.com/docs/guides/batch. A request line is {custom_id, method, url, body}; a response line
{id, custom_id, response: {status_code, request_id, body}, error}, in any order. The bodies are those of chat completions,
completions or responses. Give the request files together with the response files: the responses do not repeat the prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filiation.errors import MalformedSource, UsageError
from filiation.sources.transcript_formats.answer import (
    Answer,
    LogProbabilities,
    Progress,
    Reading,
    elements_of,
    item_of,
    list_of,
    mapping_of,
    mappings,
    utc,
)
from filiation.sources.transcript_formats.json_files import finite, json_lines
from filiation.sources.transcripts import canonical_json, plain_content, prompt_of_messages

NAME = "openai-batch"
_NOT_PARAMETERS = {"messages", "prompt", "input", "model", "stream", "metadata", "user", "instructions"}


def recognises(record: dict[str, Any]) -> bool:
    return "custom_id" in record and ("body" in record or "response" in record)


@dataclass(frozen=True, slots=True)
class _Request:
    prompts: tuple[str, ...]
    parameters: dict[str, Any]
    path: Path


def answers(paths: Sequence[Path], reading: Reading, skipped: Counter[str], progress: Progress) -> Iterator[Answer]:
    asking = {path: _holds_requests(path) for path in paths}
    requests: dict[str, _Request] = {}
    for path in (path for path, asks in asking.items() if asks):
        for number, record in json_lines(path):
            _keep(requests, record, number, path)
    answered: set[str] = set()
    for path in (path for path, asks in asking.items() if not asks):
        for number, record in json_lines(path):
            yield from _answered(record, number, path, requests, answered, reading, skipped)
    if all(asking.values()):
        raise UsageError(
            "these are requests without responses", exhibit=str(paths[0]), advice="give the batch's output file as well"
        )
    if requests.keys() - answered:
        skipped["requests without a response"] += len(requests.keys() - answered)


def _holds_requests(path: Path) -> bool:
    for number, record in json_lines(path):
        if not recognises(record):
            raise MalformedSource(
                f"line {number} has no 'custom_id' with 'body' or 'response'",
                exhibit=str(path),
                advice="check --format",
            )
        return "body" in record
    return False


def _keep(requests: dict[str, _Request], record: Mapping[str, Any], number: int, path: Path) -> None:
    name = str(record.get("custom_id"))
    body = mapping_of(record.get("body"), f"line {number}: the body", path)
    made = _request(body, number, path)
    if name in requests and requests[name] != made:
        raise MalformedSource(
            f"line {number}: the custom_id {name[:80]!r} is that of another request in {requests[name].path.name}",
            exhibit=str(path),
            advice="import batches that number their requests alike one by one",
        )
    requests[name] = made


def _request(body: Mapping[str, Any], number: int, path: Path) -> _Request:
    system = ""
    prompts: tuple[str, ...]
    if "messages" in body:
        messages = list_of(body["messages"], f"line {number}: messages", path)
        prompt, system = prompt_of_messages([mapping_of(each, f"line {number}: a message", path) for each in messages])
        prompts = (prompt,)
    elif "input" in body:
        given = body["input"]
        if isinstance(given, list) and all(isinstance(each, Mapping) for each in given):
            prompt, system = prompt_of_messages(given)
        else:
            prompt = plain_content(given)
        prompts, system = (prompt,), "\n".join(filter(None, (str(body.get("instructions") or ""), system)))
    elif isinstance(body.get("prompt"), list) and body["prompt"]:
        prompts = tuple(each if isinstance(each, str) else canonical_json(each) for each in body["prompt"])
    elif isinstance(body.get("prompt"), str):
        prompts = (body["prompt"],)
    else:
        raise MalformedSource(
            f"line {number}: the body has neither messages, input nor prompt",
            exhibit=str(path),
            advice="only chat completions, completions and responses hold answers",
        )
    settings = {key: value for key, value in body.items() if key not in _NOT_PARAMETERS}
    return _Request(prompts, settings | ({"system": system} if system else {}), path)


def _answered(
    record: Mapping[str, Any],
    number: int,
    path: Path,
    requests: Mapping[str, _Request],
    answered: set[str],
    reading: Reading,
    skipped: Counter[str],
) -> Iterator[Answer]:
    name = str(record.get("custom_id"))
    response = record.get("response")
    answered.add(name)
    if record.get("error") or not isinstance(response, Mapping) or response.get("status_code", 200) != 200:
        skipped["failed requests"] += 1
        return
    request = requests.get(name)
    if request is None:
        raise UsageError(
            f"line {number}: no request with the custom_id {name[:80]!r} was given, so its prompt is not known",
            exhibit=str(path),
            advice="give the batch's input file as well",
        )
    body = mapping_of(response.get("body"), f"line {number}: the response's body", path)
    model = reading.model or body.get("model")
    if not isinstance(model, str) or not model:
        raise MalformedSource(f"line {number} names no model", exhibit=str(path), advice="give --model NAME")
    common: dict[str, Any] = {
        "source": path,
        "model": model,
        "item": item_of(reading.task, name) if reading.task else "",
        "time": utc(body.get("created") or body.get("created_at")),
    }
    if "output" in body:
        text, reason, chances = _output(body, number, path)
        yield Answer(
            **common,
            prompt=request.prompts[0],
            text=text,
            finish_reason=reason,
            log_probabilities=chances,
            parameters=request.parameters,
        )
        return
    choices = list_of(body.get("choices"), f"line {number}: choices", path)
    repeats = max(1, len(choices) // len(request.prompts))
    for position, found in enumerate(choices):
        choice = mapping_of(found, f"line {number}: a choice", path)
        at = choice.get("index") if isinstance(choice.get("index"), int) else position
        text, chances = _choice(choice, number, path)
        yield Answer(
            **common,
            prompt=request.prompts[min(int(at or 0) // repeats, len(request.prompts) - 1)],
            sample=int(at or 0) % repeats if repeats > 1 else None,
            text=text,
            finish_reason=choice.get("finish_reason") if isinstance(choice.get("finish_reason"), str) else None,
            log_probabilities=chances,
            parameters=request.parameters,
        )


def _choice(choice: Mapping[str, Any], number: int, path: Path) -> tuple[str, LogProbabilities | None]:
    """Text and log-probabilities of a choice of chat completions, or of completions."""
    recorded = choice.get("logprobs")
    if "message" in choice:
        message = mapping_of(choice["message"], f"line {number}: the message", path)
        text = plain_content(message.get("content")) or plain_content(message.get("refusal"))
        tokens = recorded.get("content") if isinstance(recorded, Mapping) else None
        return text, _tokens(tokens, number, path)
    text = plain_content(choice.get("text"))
    if not isinstance(recorded, Mapping) or not isinstance(recorded.get("tokens"), list):
        return text, None
    what = f"line {number}: a log-probability"
    tops = elements_of(recorded.get("top_logprobs")) or [None] * len(recorded["tokens"])
    chances = elements_of(recorded.get("token_logprobs"))
    return text, [
        (
            str(token),
            None if chance is None else finite(chance, what, path),
            [(str(other), finite(value, what, path)) for other, value in top.items()]
            if isinstance(top, Mapping)
            else [],
        )
        for token, chance, top in zip(recorded["tokens"], chances, tops, strict=False)
    ]


def _tokens(tokens: Any, number: int, path: Path) -> LogProbabilities | None:
    """[{token, logprob, top_logprobs: [{token, logprob}]}] of chat completions and of responses."""
    if not isinstance(tokens, list) or not all(isinstance(each, Mapping) for each in tokens):
        return None
    what = f"line {number}: a log-probability"
    return [
        (
            str(each.get("token", "")),
            finite(each.get("logprob"), what, path),
            [
                (str(top.get("token", "")), finite(top.get("logprob"), what, path))
                for top in mappings(each.get("top_logprobs"))
            ],
        )
        for each in tokens
    ]


def _output(body: Mapping[str, Any], number: int, path: Path) -> tuple[str, str | None, LogProbabilities | None]:
    """Text, reason of ending and log-probabilities of a response: its messages' pieces, one after the other."""
    text, chances = [], []
    for part in list_of(body["output"], f"line {number}: output", path):
        if not isinstance(part, Mapping) or part.get("type") != "message":
            continue
        for piece in mappings(part.get("content")):
            text.append(str(piece.get("text") or piece.get("refusal") or ""))
            chances += _tokens(piece.get("logprobs"), number, path) or []
    reason = "stop" if body.get("status") == "completed" else None
    details = body.get("incomplete_details")
    if isinstance(details, Mapping):
        reason = "length" if details.get("reason") == "max_output_tokens" else str(details.get("reason"))
    return "".join(text), reason, chances or None
