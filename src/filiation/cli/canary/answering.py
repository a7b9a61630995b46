"""The answers of a model to the canaries of a batch: from recorded answers, or from an endpoint that is asked and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from filiation.errors import MalformedSource, UsageError

if TYPE_CHECKING:
    from filiation.canaries.answers import Answers
    from filiation.canaries.canary import Canary
    from filiation.cli.canary.verify import Asking


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    index: int
    log_probabilities: tuple[float, ...]


def answers_of(name: str, location: str, canaries: Sequence[Canary], asking: Asking) -> Answers:
    """What a model answered: `location` is transcripts:FILE#MODEL or an endpoint."""
    from filiation.sources.endpoints.location import is_location

    frame = _asked(name, location, canaries, asking) if is_location(location) else _recorded(location)
    return from_frame(name, frame, canaries)


def from_frame(name: str, frame: Any, canaries: Sequence[Canary]) -> Answers:
    """The first answer to each canary's prompt, and the log-probabilities of its options where there are some."""
    from filiation.canaries.answers import COLUMNS, ORDER, answers_in
    from filiation.examiners.marked import texts_told
    from filiation.sources.transcripts import prompt_id, was_read

    rows = frame.filter(~was_read()).sort(*ORDER).select(*COLUMNS).iter_rows()
    return answers_in(rows, canaries, prompt_id, texts_told, name=name)


def with_log_probabilities(answers: Answers, file: Path) -> Answers:
    """The same answers with log-probabilities of the options from a file: {"index": ..., "log_probabilities": [...]} per line."""
    from dataclasses import replace

    from filiation.cli.canary.options import bytes_of

    found: dict[int, tuple[float, ...]] = dict(answers.log_probabilities)
    for number, line in enumerate(bytes_of(file).splitlines(), 1):
        try:
            told = msgspec.json.decode(line, type=_Line)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise MalformedSource(
                f"these are no log-probabilities: {str(error)[:200]}",
                exhibit=f"{file}, line {number}",
                advice='give {"index": 0, "log_probabilities": [...]}, one number for each option',
            ) from error
        found[told.index] = told.log_probabilities
    return replace(answers, log_probabilities=found)


def _recorded(location: str) -> Any:
    from filiation.sources.transcripts import PREFIX, TranscriptSource, split_location

    if not location.startswith(PREFIX):
        raise UsageError(
            "this is neither recorded answers nor an endpoint",
            exhibit=location[:200],
            advice="give transcripts:FILE#MODEL, openai:MODEL@URL or anthropic:MODEL",
        )
    return TranscriptSource(*split_location(location)).transcript().frame


def _asked(name: str, location: str, canaries: Sequence[Canary], asking: Asking) -> Any:
    """Ask an endpoint every canary and decoy once, at temperature 0, and keep every raw exchange."""
    import numpy as np

    from filiation.sources.endpoints.asking import ask
    from filiation.sources.endpoints.exchange import Parameters, Question
    from filiation.sources.endpoints.location import endpoint_at
    from filiation.sources.endpoints.recorder import Recorder, transcript_of

    if asking.recordings is None:
        raise UsageError("what an endpoint answers is recorded", exhibit=name, advice="give --recordings FOLDER")
    asking.recordings.mkdir(parents=True, exist_ok=True)
    questions = [Question(prompt=canary.prompt, item=f"canary:{canary.index}") for canary in canaries]
    parameters = Parameters(
        temperature=0.0, max_tokens=asking.max_tokens, top_log_probabilities=20 if asking.ranks else None
    )
    with Recorder(asking.recordings / f"{_plain(name)}.jsonl") as recorder:
        ask(
            endpoint_at(location),
            questions,
            parameters,
            recorder,
            rng=np.random.default_rng(),
            progress=asking.progress,
        )
        return transcript_of(recorder.recording)


def _plain(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")[:100]
