"""The recording: one append-only JSONL file of raw requests and responses, written before anything in it is used.

    line 1      {"kind":"recording", ...}
    then        {"kind":"request", ...}   before a request is sent
                {"kind":"response", ...}  before its answer is used, or instead of it the fault

Every line is canonical JSON (RFC 8785), flushed and synchronised to the disk before the next step. A run that was killed leaves
at most one torn line at the end, which the next run drops, and requests without a response, which it asks again. What was
answered is never asked again.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from filiation import __version__
from filiation.errors import RecordError, SourceNotFound, UsageError
from filiation.evidence import Record, canonical
from filiation.sources.endpoints.exchange import Answer, Fault, FaultKind, Parameters, Question
from filiation.sources.endpoints.location import Endpoint
from filiation.sources.endpoints.protocols import read_response
from filiation.sources.probes import answer_recorded

VERSION = 1
Headers = tuple[tuple[str, str], ...]


class Bytes(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Raw bytes: as text where they are UTF-8, else in Base64."""

    text: str | None = None
    base64: str | None = None

    @classmethod
    def of(cls, data: bytes) -> Bytes:
        try:
            return cls(text=data.decode("utf-8"))
        except UnicodeDecodeError:
            return cls(base64=base64.b64encode(data).decode())

    @property
    def data(self) -> bytes:
        return self.text.encode() if self.text is not None else base64.b64decode(self.base64 or "", validate=True)


class Opening(Record, frozen=True, kw_only=True, tag="recording", tag_field="kind"):
    version: int
    software: str
    time: str


class SentRequest(Record, frozen=True, kw_only=True, tag="request", tag_field="kind"):
    """What is about to be sent. `attempt` counts over all runs from 1."""

    id: str
    attempt: int
    endpoint: Endpoint
    question: Question
    parameters: Parameters
    url: str
    headers: Headers  # without those that admit or identify
    body: Bytes
    time: str  # ISO 8601, UTC


class ReceivedResponse(Record, frozen=True, kw_only=True, tag="response", tag_field="kind"):
    """What came back, as far as it came. `fault` is what befell the transport; the body is judged when it is read."""

    id: str
    attempt: int
    status: int | None  # None: no response began
    headers: Headers
    body: Bytes
    fault: Fault | None
    milliseconds: int
    time: str
    sha256: str  # `exchange_sha256` of the whole exchange

    @property
    def content_type(self) -> str:
        return next((value for name, value in self.headers if name == "content-type"), "")


_LINE = msgspec.json.Decoder(Opening | SentRequest | ReceivedResponse)


def exchange_sha256(url: str, request: bytes, status: int | None, response: bytes) -> str:
    """Digest of a raw exchange: SHA-256 over address, request body, status and response body, each with its length."""
    hasher = hashlib.sha256()
    for part in (url.encode(), request, str(status).encode(), response):
        hasher.update(len(part).to_bytes(8, "big") + part)
    return hasher.hexdigest()


class Answered(Record, frozen=True, kw_only=True):
    """A question, its answer, and the exchange that it rests on."""

    id: str
    endpoint: Endpoint
    question: Question
    parameters: Parameters
    answer: Answer
    time: str
    sha256: str


class Recording:
    """What a file of this kind holds, read line by line."""

    def __init__(self) -> None:
        self.requests: dict[str, SentRequest] = {}
        self.answered: dict[str, Answered] = {}
        self.rejected: dict[str, Fault] = {}
        self.faults: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.torn_bytes = 0
        self.ended = True  # False: the last line is whole but for its line end
        self._open: set[tuple[str, int]] = set()

    @property
    def requests_sent(self) -> int:
        """Requests sent, retries included."""
        return self.attempts.total()

    @property
    def in_flight(self) -> set[str]:
        """Ids of requests that were sent, and neither answered nor followed by a fault: the run was killed."""
        return {name for name, _ in self._open if name not in self.answered}

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(dict.fromkeys(request.endpoint for request in self.requests.values()))

    def take(self, line: SentRequest | ReceivedResponse) -> Answer | Fault | None:
        """Take in one line; of a response, say what it is."""
        if isinstance(line, SentRequest):
            self.requests[line.id] = line
            self.attempts[line.id] += 1
            self._open.add((line.id, line.attempt))
            return None
        request = self.requests.get(line.id)
        if request is None or (line.id, line.attempt) not in self._open:
            raise ValueError("a response without its request")
        body = line.body.data
        if line.sha256 != exchange_sha256(request.url, request.body.data, line.status, body):
            raise ValueError("an exchange that is not the one its digest names")
        self._open.discard((line.id, line.attempt))
        found: Answer | Fault
        if line.fault is not None or line.status is None:
            found = line.fault or Fault(kind=FaultKind.UNREACHABLE, detail="no response", retry=True)
        else:
            found = read_response(request.endpoint, line.status, line.content_type, body)
        if isinstance(found, Fault):
            self.faults[found.kind.value] += 1
            if found.kind in (FaultKind.REJECTED, FaultKind.TOO_LARGE):
                self.rejected[line.id] = found
            return found
        self.rejected.pop(line.id, None)
        self.answered.setdefault(
            line.id,
            Answered(
                id=line.id,
                endpoint=request.endpoint,
                question=request.question,
                parameters=request.parameters,
                answer=found,
                time=line.time,
                sha256=line.sha256,
            ),
        )
        return found


def read_recording(path: str | Path) -> Recording:
    """What a recording holds; a torn last line is left out. Raises SourceNotFound and RecordError."""
    file = Path(path).expanduser()
    try:
        with file.open("rb") as stream:
            return _read(stream, str(path))
    except OSError as error:
        raise SourceNotFound(f"cannot be read: {error}", exhibit=str(path), advice="check the path") from error


def _read(stream: Any, exhibit: str) -> Recording:
    recording = Recording()
    for number, line in enumerate(stream, 1):
        whole = line.endswith(b"\n")
        try:
            found = _LINE.decode(line)
            if isinstance(found, Opening) != (number == 1):
                raise ValueError("the opening line is not the first, or is missing")
            if isinstance(found, Opening):
                if found.version != VERSION:
                    raise ValueError(f"version {found.version} of the format is not known here")
            else:
                recording.take(found)
            recording.ended = whole
        except (msgspec.DecodeError, ValueError, UsageError) as error:
            if not whole:
                recording.torn_bytes = len(line)
                break
            raise RecordError(
                f"line {number} is not what a recording holds: {str(error)[:200]}",
                exhibit=exhibit,
                advice="give a file written by 'filiation record'; this one was written or changed by something else",
            ) from error
    return recording


class Recorder:
    """Appends to a recording, alone: `with Recorder(path) as recorder`.

    Raises UsageError where another run holds the file, RecordError where it holds something else.
    """

    def __init__(self, path: str | Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = Path(path).expanduser()
        self.now = now
        self.recording = Recording()
        self._secrets: set[bytes] = set()
        self._file: int | None = None

    def __enter__(self) -> Recorder:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        try:
            # Prompts and answers may be confidential: nobody but the owner reads a new file.
            self._file = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise UsageError(
                f"cannot be written: {error}", exhibit=str(self.path), advice="give a file in a folder that exists"
            ) from error
        try:
            _lock(self._file, self.path)
            with os.fdopen(os.dup(self._file), "rb") as stream:
                stream.seek(0)
                self.recording = _read(stream, str(self.path))
            if self.recording.torn_bytes:
                os.ftruncate(self._file, os.fstat(self._file).st_size - self.recording.torn_bytes)
            elif not self.recording.ended:
                _write_all(self._file, b"\n")
            if os.fstat(self._file).st_size == 0:
                self._append(Opening(version=VERSION, software=f"filiation {__version__}", time=self.time()))
                _synchronise_folder(self.path.parent)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)  # gives the lock back too
            self._file = None

    def time(self) -> str:
        return self.now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def keep_out(self, secrets: tuple[str, ...]) -> None:
        """Refuse, from now on, to write a line that holds one of these."""
        self._secrets |= {secret.encode() for secret in secrets if secret}

    def request(self, sent: SentRequest) -> None:
        """Record what is about to be sent."""
        self._append(sent)
        self.recording.take(sent)

    def response(self, received: ReceivedResponse) -> Answer | Fault:
        """Record what came back; only then, say what it is."""
        self._append(received)
        found = self.recording.take(received)
        assert found is not None
        return found

    def _append(self, line: Record) -> None:
        if self._file is None:
            raise ValueError("the recorder is closed")
        data = canonical(line)
        if any(secret in data for secret in self._secrets):
            raise UsageError(
                "this exchange holds the key itself, and keys are never recorded",
                exhibit=str(self.path),
                advice="take the key out of the prompts",
            )
        try:
            _write_all(self._file, data + b"\n")
            os.fsync(self._file)
        except OSError as error:
            raise RecordError(
                f"cannot be written: {error}",
                exhibit=str(self.path),
                advice="make room, then run the same command again",
            ) from error


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _lock(file: int, path: Path) -> None:
    busy = UsageError(
        "another run is writing this recording",
        exhibit=str(path),
        advice="wait until it has ended, or record into another file",
    )
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, 1 << 40, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise busy from error
    else:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy from error


def _synchronise_folder(folder: Path) -> None:
    """Without it, a power cut may forget that the new file exists."""
    if sys.platform != "win32":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def transcript_of(
    recording: Recording | str | Path,
    *,
    names: Mapping[str, str] | None = None,
    lineages: Mapping[str, str] | None = None,
    labs: Mapping[str, str] | None = None,
) -> Any:
    """The answers as a polars frame in the layout of `sources/transcripts.py`, ordered by model, prompt and sample.

    `names`, `lineages` and `labs` are declared by `Endpoint.location`; a model is otherwise called what its endpoint calls it,
    or by its location where two endpoints call theirs the same. `parameters` holds what was set, what the server says it served,
    and the location. Raises UsageError where one model was asked the same prompt and sample twice, under two settings.
    """
    import polars as pl

    from filiation.sources.transcripts import SCHEMA, prompt_id

    found = recording if isinstance(recording, Recording) else read_recording(recording)
    models = Counter(endpoint.model for endpoint in found.endpoints)
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    for answered in found.answered.values():
        location = answered.endpoint.location
        usual = answered.endpoint.model if models[answered.endpoint.model] == 1 else location
        name = (names or {}).get(location, usual)
        prompt, answer = answered.question.text, answered.answer
        told = {"endpoint": location, "served": answer.model_served}
        settings = answered.parameters.recorded() | {key: value for key, value in told.items() if value}
        key = (name, prompt_id(prompt), answered.question.sample)
        if key in rows:
            raise UsageError(
                f"the recording holds two answers of {name} to one prompt and sample, under two settings or spellings",
                exhibit=prompt[:60],
                advice="record other settings into another file",
            )
        rows[key] = {
            "model": name,
            "lineage": (lineages or {}).get(location, ""),
            "lab": (labs or {}).get(location, ""),
            "item": answered.question.item,
            "prompt_id": key[1],
            "prompt": prompt,
            "sample": answered.question.sample,
            "text": answer.text,
            "answer": answer_recorded(answered.question.item, answer.text, answered.question.gold),
            "gold": answered.question.gold,
            "options": answered.question.options,
            "finish_reason": answer.finish_reason,
            "log_probabilities": (
                None if answer.log_probabilities is None else msgspec.json.encode(answer.log_probabilities).decode()
            ),
            "parameters": canonical(settings).decode(),
            "time": answered.time,
            "source_sha256": answered.sha256,
        }
    return pl.DataFrame([rows[key] for key in sorted(rows)], schema=SCHEMA)
