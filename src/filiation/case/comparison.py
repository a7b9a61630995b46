"""What a comparison of a case with the counter-case that answers it says. Plain records; `comparing` makes them.

Agreement has three degrees, told apart because they mean different things: the same bytes (nothing moved at all), the same
outcome (the same kind of outcome, on the same side of what counts as detected), another outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from filiation.case.records import CounterTo, Entry, Noted
from filiation.evidence import Conclusion, Null, Proposition, Record

NOTE = "the comparison with the case that this one answers"
"""The text of the `note` entry whose first object is the comparison."""

Agreement = Literal["same bytes", "same outcome", "another outcome", "only in the original", "only in the challenge"]

Aspect = Literal[
    "alternatives",
    "weights",
    "examiners",
    "parameters",
    "versions",
    "calibration",
    "controls",
    "line-up",
    "foils",
    "prompts",
    "stopping",
    "asking",
    "tolerance",
    "seed",
    "exhibits",
    "observations",
    "software",
]


class Change(Record, frozen=True, kw_only=True):
    """Something that the two cases do not have in common. Empty text: it is not there."""

    aspect: Aspect
    name: str
    original: str
    challenge: str

    @property
    def label(self) -> str:
        """How a difference names the change that could explain it."""
        return f"{self.aspect}: {self.name}" if self.name else self.aspect


class Result(Record, frozen=True, kw_only=True):
    """What came out of a test. `detected`: whether p is at or below what counts as detected; None without a finding."""

    kind: Literal["finding", "inconclusive", "not_examined"]
    reason: str
    detected: bool | None = None
    count: int = 0
    opportunities: int = 0
    log10_p: float | None = None
    log10_e: float | None = None


class TestCompared(Record, frozen=True, kw_only=True):
    """One test of one examined model in both cases."""

    exhibit: str
    role: str
    test: str
    proposition: Proposition
    alternative: str
    null: Null
    original: Result | None
    challenge: Result | None
    agreement: Agreement
    explained_by: tuple[str, ...] = ()


class ConclusionCompared(Record, frozen=True, kw_only=True):
    """One conclusion on one examined model in both cases. They agree in the outcome where the word on the scale is the same."""

    exhibit: str
    role: str
    proposition: Proposition
    alternative: str
    null: Null
    original: Conclusion | None
    challenge: Conclusion | None
    agreement: Agreement
    explained_by: tuple[str, ...] = ()


class RecordCompared(Record, frozen=True, kw_only=True):
    """The digests of a model's whole record in both cases; empty where it was not examined."""

    exhibit: str
    role: str
    original: str
    challenge: str

    @property
    def same(self) -> bool:
        return self.original == self.challenge


class Comparison(Record, frozen=True, kw_only=True):
    """Everything that the two cases say on the same exhibits. `answers` is the original case as it stood."""

    answers: CounterTo
    title: str
    changes: tuple[Change, ...]
    records: tuple[RecordCompared, ...]
    tests: tuple[TestCompared, ...]
    conclusions: tuple[ConclusionCompared, ...]

    @property
    def same_bytes(self) -> bool:
        """Whether nothing at all moved: every record, hence every test and conclusion, to the byte."""
        return bool(self.records) and all(record.same for record in self.records)

    @property
    def unexplained(self) -> tuple[TestCompared | ConclusionCompared, ...]:
        """Differences that no change of the plan could explain."""
        both: tuple[TestCompared | ConclusionCompared, ...] = (*self.tests, *self.conclusions)
        return tuple(each for each in both if each.agreement != "same bytes" and not each.explained_by)


def noted_in(entries: Sequence[Entry]) -> str:
    """The digest of the comparison that the ledger of a counter-case names, the last one; empty where there is none."""
    noted = [entry.body for entry in entries if isinstance(entry.body, Noted) and entry.body.text == NOTE]
    return next((body.objects[0] for body in reversed(noted) if body.objects), "")
