"""Questions to ask: from a file of prompts or from a probe set that ships, each as many times as wanted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from filiation.errors import MalformedSource, SourceNotFound, UsageError
from filiation.sources.endpoints.exchange import Message, Question
from filiation.sources.transcripts import prompt_id

LARGEST_FILE = 256 << 20


class _Line(msgspec.Struct, frozen=True):
    """One line of a file of prompts; fields that are not listed here are not used."""

    prompt: str = ""
    messages: tuple[Message, ...] = ()
    item: str = ""
    gold: str | None = None
    options: int | None = None


def read_questions(path: str | Path) -> tuple[Question, ...]:
    """The questions in a JSONL file: {"prompt": ...} or {"messages": [{"role":, "content":}, ...]} per line, and, where there
    are such, "item", "gold" and "options". Raises SourceNotFound, MalformedSource; UsageError where a prompt stands twice."""
    file = Path(path).expanduser()
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise MalformedSource(
                f"it has more than {LARGEST_FILE} bytes", exhibit=str(path), advice="ask in several recordings"
            )
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise SourceNotFound(f"cannot be read: {error}", exhibit=str(path), advice="check the path") from error
    found = [_question(line, number, str(path)) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise MalformedSource("it holds no prompts", exhibit=str(path), advice='give lines like {"prompt": "..."}')
    return distinct(found, exhibit=str(path))


def probe_questions(name: str, count: int | None = None, seed: int = 0) -> tuple[Question, ...]:
    """The questions of a probe set that ships: its default draw, or `count` drawn by `seed`. Raises UsageError."""
    from filiation.sources import probes

    drawn = probes.default(name) if count is None else probes.draw(name, count, seed)
    found = [Question(prompt=probe.prompt, item=probe.item, gold=probe.gold) for probe in drawn]
    return distinct(found, exhibit=name)


def distinct(questions: Iterable[Question], *, exhibit: str = "") -> tuple[Question, ...]:
    """The questions; raises UsageError where two have the same prompt id and sample, which no transcript could keep apart."""
    seen: dict[tuple[str, int], Question] = {}
    for question in questions:
        key = (prompt_id(question.text), question.sample)
        if key in seen:
            raise UsageError(
                f"the prompt {question.text[:60]!r} stands there twice, at most differing in outer space",
                exhibit=exhibit,
                advice="leave one of them out; ask a prompt several times with --samples",
            )
        seen[key] = question
    return tuple(seen.values())


def repeated(questions: Iterable[Question], samples: int) -> tuple[Question, ...]:
    """Every question `samples` times, all of one sample before the next: a run that is cut short then holds whole samples."""
    if samples < 1:
        raise UsageError("every prompt is asked at least once", advice="give --samples 1 or more")
    once = tuple(questions)
    return tuple(msgspec.structs.replace(question, sample=sample) for sample in range(samples) for question in once)


def _question(line: bytes, number: int, exhibit: str) -> Question:
    try:
        found = msgspec.json.decode(line, type=_Line)
        return Question(
            prompt=found.prompt, messages=found.messages, item=found.item, gold=found.gold, options=found.options
        )
    except (msgspec.DecodeError, UsageError) as error:
        told = error.message if isinstance(error, UsageError) else str(error)
        raise MalformedSource(
            f"line {number} is no prompt: {told[:200]}",
            exhibit=exhibit,
            advice='give one JSON object per line, {"prompt": "..."} or {"messages": [{"role": "user", "content": "..."}]}',
        ) from error
