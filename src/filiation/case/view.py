"""A case as a report needs it: everything read and in memory, nothing judged anew.

`proceedings.case_view` fills it from the folder; `report` turns it into pages. What stood under a code name and is not
revealed yet has an empty `exhibit`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from filiation.case.records import Declarations, Drawn, Entry, Header, Manifest, Plan, Verification
from filiation.evidence import Examination

if TYPE_CHECKING:
    from filiation.case.comparison import Comparison


@dataclass(frozen=True)
class Stamp:
    """A time-stamp of a checkpoint: whose, and when the authority says it was made (UTC, ISO 8601)."""

    authority: str
    time: str


@dataclass(frozen=True)
class CheckpointSummary:
    """A signed checkpoint: the ledger up to entry `sequence`, whose digest is `head`."""

    sequence: int
    head: str
    time: str
    stamps: tuple[Stamp, ...] = ()
    unstamped: str = ""
    closed: bool = False


@dataclass(frozen=True)
class ExaminedModel:
    """One model of the line-up with its record. `exhibit` is empty while its code name is not revealed."""

    subject: str
    exhibit: str
    role: Literal["suspect", "foil", "unrevealed"]
    examination: Examination
    plan: str
    entry: int
    exploratory: bool = False
    purpose: str = ""


@dataclass(frozen=True)
class AnswersSideBySide:
    """One prompt with the reference's and the suspect's recorded answers; `shared` are passages both contain, longest first."""

    prompt: str
    reference: str
    suspect: str
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseView:
    """The whole case. `plans` by digest in the order in which they were sealed; the last one holds.

    `comparison`: of a counter-case, with the case that it answers.
    """

    header: Header
    entries: tuple[Entry, ...]
    head: str
    plans: dict[str, Plan]
    manifests: dict[str, Manifest]
    drawn: Drawn | None
    examined: tuple[ExaminedModel, ...]
    declarations: Declarations
    checkpoints: tuple[CheckpointSummary, ...]
    answers: tuple[AnswersSideBySide, ...] = ()
    verification: Verification | None = None
    comparison: Comparison | None = None
    other: dict[str, str] = field(default_factory=dict)
