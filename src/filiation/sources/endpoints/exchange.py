"""The records of asking: a question, how it is put, and what came back: an answer or a typed fault. No input or output here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from filiation.errors import UsageError
from filiation.evidence import Record, canonical

LogProbability = tuple[str, float, tuple[tuple[str, float], ...]]
"""One token, its natural-log probability, and the likeliest tokens in its place with theirs."""


class Message(Record, frozen=True, kw_only=True):
    role: str  # 'system', 'user' or 'assistant'
    content: str


class Question(Record, frozen=True, kw_only=True):
    """One prompt, or one conversation in its place, asked for the `sample`-th time (from 0)."""

    prompt: str = ""
    messages: tuple[Message, ...] = ()
    sample: int = 0
    item: str = ""  # the benchmark's own name of the prompt
    gold: str | None = None  # the right answer, passed on to the transcript
    options: int | None = None  # number of options of a multiple choice, passed on too

    def __post_init__(self) -> None:
        if bool(self.prompt) == bool(self.messages):
            raise UsageError("a question is either a prompt or messages", exhibit=self.item)
        if self.sample < 0:
            raise UsageError("samples are counted from 0", exhibit=self.item)
        for text in (self.prompt, *(message.content for message in self.messages)):
            if not _is_text(text):
                raise UsageError("a prompt holds half a surrogate pair, which has no bytes to send", exhibit=self.item)

    @property
    def text(self) -> str:
        """What a transcript's column `prompt` holds: the prompt, or the messages as canonical JSON."""
        if self.prompt:
            return self.prompt
        return canonical([{"role": m.role, "content": m.content} for m in self.messages]).decode()


class Parameters(Record, frozen=True, kw_only=True):
    """How questions are put; None leaves the choice to the server. `seed` is that of sample 0, sample n gets `seed + n`."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    top_log_probabilities: int | None = (
        None  # 0 or more asks for log-probabilities, with so many alternatives per token
    )
    system: str = ""
    stream: bool = False

    def recorded(self) -> dict[str, Any]:
        """What was set, for a transcript's column `parameters`."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return {
            name: value for name, value in fields.items() if value is not None and value != "" and value is not False
        }


class Usage(Record, frozen=True, kw_only=True):
    """Tokens as the server counted them; None where it did not say."""

    prompt_tokens: int | None = None
    answer_tokens: int | None = None


class Answer(Record, frozen=True, kw_only=True):
    """What the model said. `finish_reason` is 'stop', 'length', 'refusal', 'content_filter' or the server's own word."""

    text: str
    finish_reason: str | None = None
    log_probabilities: tuple[LogProbability, ...] | None = None  # None: not asked for, or not offered
    model_served: str = ""  # what the server says that it serves
    usage: Usage = Usage()


class FaultKind(StrEnum):
    UNREACHABLE = "unreachable"  # no connection
    TIMEOUT = "timeout"  # to connect, between two pieces, or altogether
    CUT_OFF = "cut off"  # half a body, half a stream, a connection closed
    TOO_LARGE = "too large"
    REDIRECTED = "redirected"
    NOT_JSON = "not JSON"
    NOT_AN_ANSWER = "not an answer"  # JSON, but of another shape
    BUSY = "busy"  # a status that says: later
    FAILED = "failed"  # an error inside an answer with status 200
    REJECTED = "rejected"  # this request is not served, now or later
    DENIED = "denied"  # no request of ours is served: key, address, quota


class Fault(Record, frozen=True, kw_only=True):
    """Why there is no answer. `retry`: whether the same request may be answered later."""

    kind: FaultKind
    detail: str
    retry: bool


def fault(kind: FaultKind, detail: str) -> Fault:
    """A fault of a kind, with the patience that belongs to it."""
    final = {FaultKind.TOO_LARGE, FaultKind.REDIRECTED, FaultKind.REJECTED, FaultKind.DENIED}
    return Fault(kind=kind, detail=whole_text(detail[:400]), retry=kind not in final)


def whole_text(text: str) -> str:
    """The text with surrogate pairs joined and half ones replaced by U+FFFD: JSON may carry them, UTF-8 may not."""
    if _is_text(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def text_field(found: Mapping[str, Any], name: str) -> str:
    """The string under `name`, or '' where it is missing, null or something else."""
    value = found.get(name)
    return whole_text(value) if isinstance(value, str) else ""


def count_field(found: object, name: str) -> int | None:
    """The non-negative integer under `name` of what may be an object, else None."""
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
