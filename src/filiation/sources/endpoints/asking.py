"""Asks an endpoint: at a pace, with patience, within a budget, and nothing twice.

What happens to one question:
    1. its id is looked up in the recording; an answered question is not asked again
    2. it waits for its turn: a free place, the pace, and a pause that the server asked for
    3. the request is recorded, then sent
    4. what comes back is recorded, then read: an answer, a fault that may pass (back to 2, after a wait), or one that does not
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np

from filiation import __version__
from filiation.errors import MissingExtra, SourceError, UsageError
from filiation.evidence import Record
from filiation.sources.endpoints.exchange import Answer, Fault, FaultKind, Parameters, Question, fault
from filiation.sources.endpoints.location import Endpoint, key_of
from filiation.sources.endpoints.protocols import PROTOCOLS, address, request_body, request_id
from filiation.sources.endpoints.recorder import (
    Answered,
    Bytes,
    ReceivedResponse,
    Recorder,
    SentRequest,
    exchange_sha256,
)
from filiation.sources.endpoints.redaction import Redaction

Progress = Callable[[str, float], None]


class Conduct(Record, frozen=True, kw_only=True):
    """Pace and patience. Times are in seconds, sizes in bytes."""

    concurrency: int = 4  # requests under way at once
    per_minute: float | None = None  # requests begun per minute, retries included, evenly spaced
    attempts: int = 6  # per question and run
    connect_seconds: float = 10.0
    read_seconds: float = 120.0  # between two pieces of a response
    total_seconds: float = 600.0  # for a whole exchange, however steadily it drips
    first_wait: float = 1.0  # the first retry waits up to this long, every further one up to twice the one before
    longest_wait: float = 60.0
    longest_pause: float = 900.0  # a server that asks for a longer pause ends the run
    largest_response: int = 16 << 20
    hopeless: int = 5  # so many questions in a row given up, without any answer between, end the run

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.attempts < 1 or (self.per_minute is not None and not self.per_minute > 0):
            raise UsageError("concurrency, attempts and requests per minute must be positive")


class Budget(Record, frozen=True, kw_only=True):
    """What may be spent. `requests` counts everything sent in this recording, over all runs; `seconds` are those of this run."""

    requests: int | None = None
    seconds: float | None = None


class Summary(Record, frozen=True, kw_only=True):
    """What a run did, in counts of questions unless said otherwise."""

    questions: int
    answered_before: int  # by the recording, without asking
    answered_now: int
    rejected: int  # by the endpoint, for good
    given_up: int  # after as many attempts as allowed
    not_reached: int  # because the run ended
    asked_again: int  # sent by a run that was killed, and sent again because no response was recorded
    requests: int  # requests sent in this run, retries included
    requests_recorded: int  # requests in the recording, over all runs
    faults: dict[str, int]  # of this run, by kind
    models_served: dict[str, int]  # answers now and before, by what the server says that it served
    without_log_probabilities: int  # answers now and before, where log-probabilities were asked for
    torn_bytes: int  # dropped from the end of the recording
    ended: str  # 'all asked', or why the run ended before


class Asked(Record, frozen=True, kw_only=True):
    """The answers to the questions asked, by request id (`request_id`), those of earlier runs included."""

    answers: dict[str, Answered]
    summary: Summary


def ask(
    endpoint: Endpoint,
    questions: Iterable[Question],
    parameters: Parameters,
    recorder: Recorder,
    *,
    rng: np.random.Generator,
    conduct: Conduct | None = None,
    budget: Budget | None = None,
    key: str | None = None,
    again: bool = False,
    progress: Progress = lambda _what, _share: None,
) -> Asked:
    """`ask_async` run to its end. Not to be called where an event loop runs already."""
    return asyncio.run(
        ask_async(
            endpoint,
            questions,
            parameters,
            recorder,
            rng=rng,
            conduct=conduct,
            budget=budget,
            key=key,
            again=again,
            progress=progress,
        )
    )


async def ask_async(
    endpoint: Endpoint,
    questions: Iterable[Question],
    parameters: Parameters,
    recorder: Recorder,
    *,
    rng: np.random.Generator,
    conduct: Conduct | None = None,
    budget: Budget | None = None,
    key: str | None = None,
    again: bool = False,
    progress: Progress = lambda _what, _share: None,
) -> Asked:
    """Ask an endpoint what the recording does not answer yet.

    `rng` draws the waits before retries; `key` defaults to the environment's; `again` asks rejected questions once more. Several
    calls may share one open `recorder` in one event loop. Raises SourceError where the endpoint denies service (what was answered
    until then is recorded), UsageError on questions that cannot be put, MissingExtra without the extra `endpoints`.
    """
    interview = _Interview(endpoint, parameters, recorder, rng, conduct or Conduct(), budget or Budget(), key, progress)
    return await interview.hold(list(questions), again)


class _Interview:
    """One run of `ask_async`."""

    def __init__(
        self,
        endpoint: Endpoint,
        parameters: Parameters,
        recorder: Recorder,
        rng: np.random.Generator,
        conduct: Conduct,
        budget: Budget,
        key: str | None,
        progress: Progress,
    ) -> None:
        self.endpoint, self.parameters, self.recorder = endpoint, parameters, recorder
        self.rng, self.conduct, self.budget, self.progress = rng, conduct, budget, progress
        self.key = key_of(endpoint) if key is None else key
        self.redaction = Redaction(self.key)
        recorder.keep_out(self.redaction.spellings)
        self.url = address(endpoint)
        self.begun = time.monotonic()
        self.next_turn = self.begun
        self.pause_until = self.begun
        self.ended = ""
        self.error: SourceError | None = None
        self.faults: Counter[str] = Counter()
        self.answered_now = self.given_up = self.in_a_row = self.sent = self.done = 0

    async def hold(self, questions: list[Question], again: bool) -> Asked:
        httpx2 = _httpx2()
        recording, was_in_flight = self.recorder.recording, set(self.recorder.recording.in_flight)
        by_id = {request_id(self.endpoint, question, self.parameters): question for question in questions}
        before = [name for name in by_id if name in recording.answered]
        rejected = [] if again else [name for name in by_id if name in recording.rejected]
        waiting = [name for name in by_id if name not in recording.answered and name not in rejected]
        for name in waiting:
            if self.redaction.holds(request_body(self.endpoint, by_id[name], self.parameters)):
                raise UsageError("a prompt holds the key itself", exhibit=by_id[name].item, advice="take the key out")
        asked_again = [name for name in waiting if name in was_in_flight]
        queue, total = iter(waiting), max(len(waiting), 1)
        limits = httpx2.Limits(
            max_connections=self.conduct.concurrency, max_keepalive_connections=self.conduct.concurrency
        )
        timeout = httpx2.Timeout(
            connect=self.conduct.connect_seconds,
            read=self.conduct.read_seconds,
            write=self.conduct.read_seconds,
            pool=None,
        )

        async def work() -> None:
            for name in queue:  # shared: each worker takes the next question
                if self.ended:
                    return
                await self._settle(client, name, by_id[name])
                self.done += 1
                self.progress(f"asking {self.endpoint.model}: {self.done} of {len(waiting)}", self.done / total)

        if waiting:
            # The environment's proxy is for the world outside: a server on this machine is reached without it.
            settings = {"timeout": timeout, "limits": limits, "trust_env": not self.endpoint.nearby}
            async with httpx2.AsyncClient(follow_redirects=False, **settings) as client:
                try:
                    async with asyncio.TaskGroup() as workers:
                        for _ in range(min(self.conduct.concurrency, len(waiting))):
                            workers.create_task(work())
                except ExceptionGroup as group:
                    raise group.exceptions[0] from None
        if self.error is not None:
            raise self.error
        answers = {name: recording.answered[name] for name in by_id if name in recording.answered}
        rejected = [name for name in by_id if name in recording.rejected and name not in recording.answered]
        wanted = self.parameters.top_log_probabilities is not None
        return Asked(
            answers=answers,
            summary=Summary(
                questions=len(by_id),
                answered_before=len(before),
                answered_now=self.answered_now,
                rejected=len(rejected),
                given_up=self.given_up,
                not_reached=len(by_id) - len(answers) - len(rejected) - self.given_up,
                asked_again=sum(recording.attempts[name] > 1 for name in asked_again),
                requests=self.sent,
                requests_recorded=recording.requests_sent,
                faults=dict(sorted(self.faults.items())),
                models_served=dict(sorted(Counter(a.answer.model_served for a in answers.values()).items())),
                without_log_probabilities=sum(a.answer.log_probabilities is None for a in answers.values())
                if wanted
                else 0,
                torn_bytes=recording.torn_bytes,
                ended=self.ended or "all asked",
            ),
        )

    async def _settle(self, client: Any, name: str, question: Question) -> None:
        """Ask until there is an answer, a final fault, no attempt left, or the end of the run."""
        last = ""
        for attempt in range(self.conduct.attempts):
            if not await self._turn():
                return
            found, told_to_wait = await self._exchange(client, name, question)
            if isinstance(found, Answer):
                self.answered_now += 1
                self.in_a_row = 0
                return
            self.faults[found.kind.value] += 1
            last = f"{found.kind.value}: {found.detail}"
            if not found.retry:
                self._end_if_denied(found)
                return
            if told_to_wait is not None and told_to_wait > self.conduct.longest_pause:
                self.ended = f"the server asks for a pause of {told_to_wait:.0f} seconds"
                return
            if attempt + 1 < self.conduct.attempts:
                await self._wait(attempt, told_to_wait)
        self.given_up += 1
        self.in_a_row += 1
        if self.in_a_row >= self.conduct.hopeless and not self.ended:
            self.ended = f"{self.in_a_row} questions in a row got no answer; the last fault: {last}"
            self.error = self._source_error(self.ended, "see whether the server works, then run the same command again")

    async def _turn(self) -> bool:
        """Wait for this request's turn; False where the run has ended or the budget is spent."""
        now = time.monotonic()
        turn = max(now, self.next_turn)
        if self.conduct.per_minute is not None:
            self.next_turn = turn + 60.0 / self.conduct.per_minute
        while (wait := max(turn, self.pause_until) - time.monotonic()) > 0 and not self.ended and not self._spent():
            await asyncio.sleep(min(wait, 1.0))
        if not self.ended and (spent := self._spent()):
            self.ended = spent
        return not self.ended

    def _spent(self) -> str:
        if self.budget.requests is not None and self.recorder.recording.requests_sent >= self.budget.requests:
            return f"the budget of {self.budget.requests} requests is spent"
        if self.budget.seconds is not None and time.monotonic() - self.begun >= self.budget.seconds:
            return f"the budget of {self.budget.seconds:g} seconds is spent"
        return ""

    async def _wait(self, attempt: int, told_to_wait: float | None) -> None:
        """Exponential back-off with full jitter; where the server names a pause, everybody keeps it."""
        longest = min(self.conduct.longest_wait, self.conduct.first_wait * 2.0**attempt)
        jitter = float(self.rng.uniform(0.0, longest))
        if told_to_wait is not None:
            self.pause_until = max(self.pause_until, time.monotonic() + told_to_wait)
            jitter = min(jitter, self.conduct.first_wait)
        ready = time.monotonic() + jitter + (told_to_wait or 0.0)
        while (left := ready - time.monotonic()) > 0 and not self.ended and not self._spent():
            await asyncio.sleep(min(left, 1.0))

    async def _exchange(self, client: Any, name: str, question: Question) -> tuple[Answer | Fault, float | None]:
        """Record the request, send it, record what came back, read it. Also the pause that the server asks for."""
        body = request_body(self.endpoint, question, self.parameters)
        attempt = self.recorder.recording.attempts[name] + 1
        headers = {
            # No compression: what is recorded is then what was sent, and a small body cannot unfold into a large one.
            "Accept": "text/event-stream" if self.parameters.stream else "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"filiation/{__version__}",
        } | PROTOCOLS[self.endpoint.protocol].headers(self.key)
        self.recorder.request(
            SentRequest(
                id=name,
                attempt=attempt,
                endpoint=self.endpoint,
                question=question,
                parameters=self.parameters,
                url=self.url,
                headers=self.redaction.headers(headers.items()),
                body=Bytes.of(body),
                time=self.recorder.time(),
            )
        )
        self.sent += 1
        begun = time.monotonic()
        came = await self._send(client, headers, body)
        data = self.redaction.data(bytes(came.data))
        found = self.recorder.response(
            ReceivedResponse(
                id=name,
                attempt=attempt,
                status=came.status,
                headers=self.redaction.headers(came.headers),
                body=Bytes.of(data),
                fault=None if came.fault is None else _redacted(came.fault, self.redaction),
                milliseconds=round((time.monotonic() - begun) * 1000),
                time=self.recorder.time(),
                sha256=exchange_sha256(self.url, body, came.status, data),
            )
        )
        return found, retry_after({n.lower(): v for n, v in came.headers}, self.recorder.now())

    async def _send(self, client: Any, headers: Mapping[str, str], body: bytes) -> _Came:
        """One request and what comes back, as far as it comes; never raises what a server can cause."""
        httpx2 = _httpx2()
        came = _Came()
        try:
            async with asyncio.timeout(self.conduct.total_seconds):
                async with client.stream("POST", self.url, content=body, headers=headers) as response:
                    came.status, came.headers = response.status_code, list(response.headers.multi_items())
                    async for piece in response.aiter_bytes():
                        if len(came.data) + len(piece) > self.conduct.largest_response:
                            came.fault = fault(
                                FaultKind.TOO_LARGE, f"more than {self.conduct.largest_response} bytes came back"
                            )
                            break
                        came.data += piece
        except TimeoutError:
            came.fault = fault(FaultKind.TIMEOUT, f"the exchange took more than {self.conduct.total_seconds:g} seconds")
        except httpx2.TimeoutException as error:
            came.fault = fault(FaultKind.TIMEOUT, f"{type(error).__name__}: nothing came in time")
        except httpx2.ConnectError as error:
            came.fault = fault(FaultKind.UNREACHABLE, f"no connection: {error}")
        except (httpx2.TransportError, httpx2.DecodingError, OSError) as error:
            came.fault = fault(FaultKind.CUT_OFF, f"{type(error).__name__}: {error}")
        return came

    def _end_if_denied(self, found: Fault) -> None:
        """A denial ends the run; so does a rejection before anything was answered: then it is the settings, not the question."""
        advice = {
            FaultKind.DENIED: f"check the model's name, the address, and the key in {' or '.join(self.endpoint.key_variables)}"
            + (" (one was found and sent)" if self.key else " (none was found)"),
            FaultKind.REDIRECTED: "give the address that the server points to, if you trust it; keys are not sent after redirects",
        }
        if found.kind in advice:
            self._end(found, advice[found.kind])
        elif not any(answered.endpoint == self.endpoint for answered in self.recorder.recording.answered.values()):
            self._end(
                found, "check the model's name and the parameters; then --again asks rejected questions once more"
            )

    def _end(self, found: Fault, advice: str) -> None:
        if not self.ended:
            self.ended = f"{found.kind.value}: {found.detail}"
            self.error = self._source_error(
                f"the endpoint does not serve us: {self.redaction.text(found.detail)}", advice
            )

    def _source_error(self, message: str, advice: str) -> SourceError:
        return SourceError(message, exhibit=self.endpoint.location, advice=advice)


class _Came:
    """What came back so far."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.data = bytearray()
        self.fault: Fault | None = None


def _redacted(found: Fault, redaction: Redaction) -> Fault:
    return Fault(kind=found.kind, detail=redaction.text(found.detail), retry=found.retry)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The pause in seconds that a response asks for (RFC 9110, 10.2.3: seconds or a date), or None where it asks for none."""
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.replace(".", "", 1).isdigit():
        return min(float(told), 1e9)
    with suppress(ValueError, TypeError):
        until = parsedate_to_datetime(told)
        until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        return max(0.0, (until - now).total_seconds())
    return None


def _httpx2() -> Any:
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtra(
            "asking an endpoint needs the package httpx2", advice='pip install "filiation[endpoints]"'
        ) from error
    return httpx2
