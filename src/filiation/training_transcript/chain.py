"""The chain of a transcript's entries: pure functions over bytes. The rules are those of a case's ledger:

1. Every line is the canonical JSON (RFC 8785) of an entry and one line feed; a last line that is not is a torn rest.
2. Sequence numbers count from 1 without a gap.
3. `previous` is the digest of the entry before; of the header for entry 1.
4. Times are UTC, whole seconds, and never go back.
5. Entry 1 says 'open'; no other entry does. Nothing stands after an entry that says 'close'.
6. States come in the order of the plan: the first after no step, each after the step that the plan says.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime

import msgspec

from filiation.case.ledger import is_canonical, is_time, time_text
from filiation.case.merkle import Tree
from filiation.errors import RecordError, UsageError
from filiation.evidence import canonical, digest
from filiation.training_transcript.records import Body, Closed, Entry, Header, Opened, StateRecorded


def next_entry(entries: Sequence[Entry], header: Header, body: Body, now: datetime) -> Entry:
    """The entry that follows `entries`, saying `body`. Raises UsageError where it may not."""
    previous = digest(entries[-1] if entries else header)
    entry = Entry(sequence=len(entries) + 1, previous=previous, time=time_text(now), body=body)
    problem = _broken(entry, entries, len(states_of(entries)), previous)
    if problem:
        raise UsageError(
            f"entry {entry.sequence} cannot be written: {problem}",
            exhibit=header.title,
            advice="a transcript says what happened in the order in which it happened",
        )
    return entry


def parse(data: bytes, header: Header) -> tuple[tuple[Entry, ...], bytes]:
    """All whole entries, and the torn rest that an interrupted write left after them (mostly none). Raises RecordError."""
    entries: list[Entry] = []
    previous, read, states = digest(header), 0, 0
    for line in io.BytesIO(data):
        entry = _entry(line)  # 1
        number = len(entries) + 1
        if entry is None:
            if read + len(line) < len(data) or (entries and isinstance(entries[-1].body, Closed)):
                raise _refused(number, "the line is not the canonical JSON of an entry")
            return tuple(entries), line
        problem = _broken(entry, entries, states, previous)
        if problem:
            raise _refused(number, problem)
        entries.append(entry)
        previous = digest(entry)
        read += len(line)
        states += isinstance(entry.body, StateRecorded)
    return tuple(entries), b""


def merkle_tree(entries: Sequence[Entry]) -> Tree:
    """The tree over the lines of all entries but the closing one, without their line feeds.

    With it one entry can be shown with its path, and the others kept back.
    """
    return Tree([canonical(entry) for entry in entries if not isinstance(entry.body, Closed)])


def states_of(entries: Sequence[Entry]) -> tuple[StateRecorded, ...]:
    return tuple(entry.body for entry in entries if isinstance(entry.body, StateRecorded))


def _entry(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        entry = msgspec.json.decode(line[:-1], type=Entry)
    except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError):
        return None
    return entry if is_canonical(line[:-1], entry) else None


def _broken(entry: Entry, before: Sequence[Entry], states: int, previous: str) -> str:
    """Which of the rules 2 to 6 an entry breaks; empty where it keeps them all. `states`: how many stand before it."""
    last = before[-1] if before else None
    if entry.sequence != len(before) + 1:  # 2
        return f"it is numbered {entry.sequence}, and stands in place {len(before) + 1}"
    if entry.previous != previous:  # 3
        return f"it follows {entry.previous}, and the entry before has the digest {previous}"
    if not is_time(entry.time) or (last is not None and entry.time < last.time):  # 4
        return f"its time {entry.time!r} is no time in UTC, or is earlier than that of the entry before"
    if isinstance(entry.body, Opened) != (last is None):  # 5
        return "a transcript is opened by its first entry, and by no other"
    if last is not None and isinstance(last.body, Closed):
        return "the transcript was closed before"
    return _state_out_of_place(entry.body, before, states)


def _state_out_of_place(body: Body, before: Sequence[Entry], recorded: int) -> str:
    if not isinstance(body, StateRecorded) or not before or not isinstance(before[0].body, Opened):
        return ""
    plan = before[0].body.plan  # 6
    more = recorded < plan.planned_states
    if not more or body.step != plan.planned_step(recorded):
        expected = plan.planned_step(recorded) if more else "no further step"
        return f"it records the state after step {body.step}, and the plan has {expected} next"
    steps = body.step - (plan.planned_step(recorded - 1) if recorded else 0)
    if len(body.losses) not in (0, steps) or (recorded and len(body.batches) != 64):
        return f"it needs the digest of the batches of {steps} steps, and as many losses or none"
    return "" if body.tensors else "it records no tensor"


def _refused(number: int, what: str) -> RecordError:
    return RecordError(
        what,
        exhibit=f"ledger.jsonl, entry {number}",
        advice="the transcript was altered, or entries were taken away; ask for the one that was signed",
    )
