"""Running segments again: the interface of a trainer, and the comparison of what it gives with what was recorded.

A trainer is a program of the neutral party's own choice that follows the transcript's plan: state in, data, state out. It is
asked for nothing else, so that any training code can stand behind it. What is compared:

1. The start of the segment is the recorded state: every tensor's digest.
2. The trainer reads what the transcript says was read: the digest of the batches.
3. The end is the recorded state: the same bytes; or, where the plan states a tolerance, within it. The deviation is the distance of the
   two ends as a share of how far the segment moved, the largest of that over all tensors; a segment of an honest run that is run again on
   another platform has a small one, a segment that was never trained has one of about 1 or more. Tensor by tensor, because they differ in
   scale: Adam's second moments are a millionth of its first, and a step counter is a million times either. Taken together the small ones
   could be anything, and whoever may choose the moments steers the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from filiation.errors import FiliationError
from filiation.training_transcript.records import Plan, SegmentResult, StateRecorded
from filiation.training_transcript.states import State, digests

Progress = Callable[[str, float], None]
NOT_HANDED_OVER = "was not handed over"
"""Stands in the reason of a segment that could not be run again for want of a state."""


@dataclass(frozen=True)
class Executed:
    """What a trainer gives back: the state after the steps, their losses, and SHA-256 over the token ids that were read."""

    state: State
    losses: tuple[float, ...]
    batches: str


class Trainer(Protocol):
    """Whatever can train as a plan says. The same plan, data and platform give the same bytes where `Plan.tolerance` is 0."""

    def shards(self) -> Mapping[str, str]:
        """The SHA-256 of the data it was given, by the names of the plan's shards."""

    def initial(self) -> State:
        """State 0, drawn from the plan's seed."""

    def run(self, state: State, first: int, steps: int) -> Executed:
        """Train on from `state`, which is that after `first` steps, for `steps` steps."""


@dataclass(frozen=True)
class Segment:
    """What lies between two recorded states."""

    number: int
    start: StateRecorded
    end: StateRecorded


def segments_of(states: Sequence[StateRecorded]) -> tuple[Segment, ...]:
    return tuple(Segment(number, start, end) for number, (start, end) in enumerate(pairwise(states)))


def re_execute(
    plan: Plan,
    segments: Iterable[Segment],
    trainer: Trainer,
    state_at: Callable[[int], State],
    progress: Progress = lambda _what, _share: None,
) -> tuple[SegmentResult, ...]:
    """Run segments again. `state_at` gives the state that the owner kept after a step, and may raise a FiliationError."""
    wanted = tuple(segments)
    results = []
    for done, segment in enumerate(wanted):
        progress(f"segment {segment.number}", done / len(wanted))
        results.append(_one(plan, segment, trainer, state_at))
    return tuple(results)


def _one(plan: Plan, segment: Segment, trainer: Trainer, state_at: Callable[[int], State]) -> SegmentResult:
    first, last = segment.start.step, segment.end.step
    try:
        start = state_at(first)
    except FiliationError as error:
        return _result(segment, why=f"the state after step {first} {NOT_HANDED_OVER}: {_said(error)}")
    if digests(start) != segment.start.tensors:  # 1
        return _result(segment, why=f"the state after step {first} is not the recorded one")
    executed = trainer.run(start, first, last - first)
    if executed.batches != segment.end.batches:  # 2
        return _result(segment, why="other data was read than the plan's order gives")
    if digests(executed.state) == segment.end.tensors:  # 3
        return _result(segment, identical=True, deviation=0.0)
    if plan.tolerance.deviation == 0.0:
        return _result(segment, why="training from the recorded start does not end in the recorded state")
    return _within(plan, segment, start, executed.state, state_at)


def _said(error: FiliationError) -> str:
    return f"{error.exhibit} {error.message}".strip()


def _within(
    plan: Plan, segment: Segment, start: State, executed: State, state_at: Callable[[int], State]
) -> SegmentResult:
    """The comparison where the platform does not repeat itself to the last bit."""
    try:
        end = state_at(segment.end.step)
    except FiliationError as error:
        return _result(segment, why=f"the state after step {segment.end.step} {NOT_HANDED_OVER}: {_said(error)}")
    if digests(end) != segment.end.tensors:
        return _result(segment, why=f"the state after step {segment.end.step} is not the recorded one")
    found = deviation(start, end, executed)
    allowed = plan.tolerance.deviation
    why = "" if found <= allowed else f"it ends {found:.3g} of the way off, and the plan allows {allowed:g}"
    return _result(segment, deviation=found if math.isfinite(found) else None, why=why)


def deviation(start: State, recorded: State, executed: State) -> float:
    """How far two ends of a segment lie apart, as a share of how far the recorded one lies from the start.

    The largest of the figures of all tensors; infinite where tensors differ in name, type or shape, hold what is no number, or where a
    recorded one did not move and the other did.
    """
    if {name: (one.dtype, one.shape) for name, one in recorded.items()} != {
        name: (one.dtype, one.shape) for name, one in executed.items()
    }:
        return math.inf
    return max((_share_off(start.get(name), end, executed[name]) for name, end in recorded.items()), default=0.0)


def _share_off(start: NDArray[Any] | None, recorded: NDArray[Any], executed: NDArray[Any]) -> float:
    """Of one tensor; what was not there at the start began as zeros."""
    end = np.asarray(recorded, dtype=np.float64)
    before = np.zeros_like(end) if start is None else np.asarray(start, dtype=np.float64)
    if before.shape != end.shape:
        return math.inf
    apart = float(np.square(np.asarray(executed, dtype=np.float64) - end).sum())
    moved = float(np.square(end - before).sum())
    if not (math.isfinite(apart) and math.isfinite(moved)):
        return math.inf
    if apart == 0.0:
        return 0.0
    return math.sqrt(apart / moved) if moved else math.inf


def _result(
    segment: Segment, *, identical: bool = False, deviation: float | None = None, why: str = ""
) -> SegmentResult:
    return SegmentResult(
        segment=segment.number,
        first_step=segment.start.step,
        last_step=segment.end.step,
        identical=identical,
        deviation=deviation,
        why=why,
    )
