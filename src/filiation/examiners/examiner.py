"""What an examiner is: one module that answers one question, with the functions below. See docs/how-to-add-an-examiner.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from filiation.evidence import Absent, Access, Identity, Observation, Outcome, Relation, Relations, Test
from filiation.sources.source import Source
from filiation.statistics.register import Calibration

Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, from 0 to 1."""


def silent(_what: str, _share: float) -> None:
    """The progress callback that shows nothing."""


def too_small(parameters: Mapping[str, bool | int | float | str], *names: str) -> str:
    """Why nothing can be measured: the parameters of these names that are below 1; empty where none is."""
    small = [name for name in names if float(parameters[name]) < 1]
    return f"nothing is measured where a parameter counts to less than one: {', '.join(small)}" if small else ""


class Subject(msgspec.Struct, frozen=True):
    """A source together with what this examiner observed of it, and the parameters the plan gives this examiner."""

    source: Source
    observation: Observation
    parameters: dict[str, bool | int | float | str] = {}


class Examiner(Protocol):
    """The names a module in `filiation.examiners` (or behind the entry point of that name) must have."""

    NAME: str
    VERSION: str
    QUESTION: str
    NEEDS: tuple[Access, ...]
    TESTS: tuple[Test, ...]
    CLAIMS: tuple[str, ...]
    ASSUMPTIONS: tuple[str, ...]
    REFERENCES: tuple[str, ...]

    def observe(self, source: Source, progress: Progress = silent) -> Observation | Absent:
        """Record one model; `Absent` says why it cannot be examined."""

    def relate(self, first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
        """Record two models; `first` stands in the reference's role."""

    def judge(
        self, relations: Relations, controls: tuple[Identity, ...], calibration: Calibration
    ) -> tuple[Outcome, ...]:
        """One outcome per test, from the records alone: pure, no files, no clock, no randomness of its own."""


class LineUpExaminer(Protocol):
    """What an examiner adds that can only measure two models among others (null by population)."""

    def line_up(
        self, reference: Subject, suspect: Subject, controls: Sequence[Subject], seed: int, progress: Progress = silent
    ) -> Relation | Absent:
        """Record the pair together with the line-up it is judged in; `relate(a, b, ...)` is `line_up(a, b, (), ...)`."""
