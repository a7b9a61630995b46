"""Which protocol an endpoint speaks, the bytes of a request, and what a response is: an answer or a fault. No input or output."""

from __future__ import annotations

from typing import Any, Protocol, cast

from filiation.errors import MalformedSource, UsageError
from filiation.evidence import canonical, digest
from filiation.sources.endpoints import anthropic_messages, openai_chat, openai_completions
from filiation.sources.endpoints.event_stream import is_event_stream
from filiation.sources.endpoints.exchange import Answer, Fault, FaultKind, Parameters, Question, fault
from filiation.sources.endpoints.location import Endpoint
from filiation.strict_json import read_json_object

LATER = {408, 409, 425, 429, *range(500, 600)} - {501, 505, 511}
"""Statuses that say: not now. Among them 529, Anthropic's 'overloaded', and the gateways' own, like Cloudflare's 520 to 527."""
THIS_REQUEST = {400, 413, 422}
"""Statuses that reject one request. Every other one denies all of ours: key, address, permission."""
SPENT = ("insufficient_quota", "billing_not_active", "billing_hard_limit_reached")
"""Error codes under status 429 that no waiting helps against (OpenAI's error codes)."""


class Spoken(Protocol):
    """What each protocol's module offers."""

    PATH: str

    def headers(self, key: str) -> dict[str, str]: ...

    def body(self, endpoint: Endpoint, question: Question, parameters: Parameters) -> dict[str, Any]: ...

    def read(self, data: bytes) -> Answer | Fault: ...

    def read_stream(self, data: bytes) -> Answer | Fault: ...


PROTOCOLS = {
    "openai-chat": cast(Spoken, openai_chat),
    "openai-completions": cast(Spoken, openai_completions),
    "anthropic-messages": cast(Spoken, anthropic_messages),
}


def address(endpoint: Endpoint) -> str:
    """The URL that requests go to."""
    base = endpoint.url
    if endpoint.protocol == "anthropic-messages":
        base = base.removesuffix("/v1")
    return base + PROTOCOLS[endpoint.protocol].PATH


def request_body(endpoint: Endpoint, question: Question, parameters: Parameters) -> bytes:
    """The bytes of the request: canonical JSON, so that the same question always has the same. Raises UsageError."""
    try:
        return canonical(PROTOCOLS[endpoint.protocol].body(endpoint, question, parameters))
    except ValueError as error:
        raise UsageError(
            f"this question cannot be sent: {error}", exhibit=question.item or endpoint.location
        ) from error


def request_id(endpoint: Endpoint, question: Question, parameters: Parameters) -> str:
    """The name of a request: SHA-256 over endpoint, body and sample number, in hexadecimal."""
    asked = request_body(endpoint, question, parameters).decode()
    return digest({"endpoint": endpoint, "request": asked, "sample": question.sample})


def read_response(endpoint: Endpoint, status: int, content_type: str, data: bytes) -> Answer | Fault:
    """What a whole response is. What came without its end never gets here; it is a fault."""
    if status == 200:
        spoken = PROTOCOLS[endpoint.protocol]
        # Judged by the body where the label is wrong: labels are often wrong, bodies are what was said.
        stream = is_event_stream(content_type) or data.lstrip().startswith((b"data:", b"event:", b":"))
        return spoken.read_stream(data) if stream else spoken.read(data)
    told = _told(data)
    if status in LATER and not any(code in told for code in SPENT):
        return fault(FaultKind.BUSY, f"status {status}: {told}")
    if 300 <= status < 400:
        return fault(FaultKind.REDIRECTED, f"status {status}: the server points elsewhere")
    if status in THIS_REQUEST:
        return fault(FaultKind.REJECTED, f"status {status}: {told}")
    if 200 <= status < 300:
        return fault(FaultKind.NOT_AN_ANSWER, f"status {status} carries no answer")
    return fault(FaultKind.DENIED, f"status {status}: {told}")


def _told(data: bytes) -> str:
    try:
        return openai_chat.error_text(read_json_object(data, what="the answer", exhibit="", limit=1 << 20))
    except MalformedSource:
        return " ".join(data[:200].decode("utf-8", "replace").split())
