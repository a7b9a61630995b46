"""Every examination of a case, judged again from its record; records are read one at a time and only their short form is kept.

The record is canonical JSON, so the bytes of a part are the canonical form of that part: digests of observations and
outcomes are taken over the bytes as they stand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from filiation import __version__
from filiation.case.reading import CaseRead, decoded
from filiation.case.records import Entry, Examined, Plan
from filiation.errors import FiliationError, MissingExtra, RecordError
from filiation.evidence import Circumstances, Conclusion, Examination, Finding, Identity, Outcome, Relations, canonical

Judge = Callable[[Examination, Plan | None], tuple[tuple[Outcome, ...], tuple[Conclusion, ...]]]
"""Outcomes and conclusions from the recorded relations; with the plan's weights where there is a plan."""


@dataclass(frozen=True)
class Seen:
    """An observation in a record, by the digest of its canonical bytes."""

    digest: str
    exhibit: str
    examiner: str
    version: str


@dataclass(frozen=True)
class Spoken:
    """An outcome in a record, in short."""

    test: str
    examiner: str
    version: str
    reason: str
    calibration: str


@dataclass(frozen=True)
class Record:
    """The short form of an examination's record. `differs` is empty where judging again gave the same bytes; `related` are examiner
    and exhibit of everybody who stands in a relation, `misplaced` says which relations stand where others belong."""

    reference: Identity
    suspect: Identity
    controls: tuple[Identity, ...]
    seed: int
    observations: tuple[Seen, ...]
    related: frozenset[tuple[str, str]]
    misplaced: tuple[str, ...]
    outcomes: tuple[Spoken, ...]
    outcomes_digest: str
    differs: str


@dataclass(frozen=True)
class Judged:
    """An `examine` entry with its record; `place` counts the entries before it. `record` is None, with a fault, without one."""

    place: int
    entry: Entry
    body: Examined
    record: Record | None
    fault: str = ""

    @property
    def where(self) -> str:
        return f"entry {self.entry.sequence}, examination of {self.body.subject}"


class _Parts(msgspec.Struct):
    observations: tuple[msgspec.Raw, ...]
    outcomes: msgspec.Raw
    conclusions: msgspec.Raw


def judged_again(case: CaseRead, judge: Judge) -> Iterator[Judged]:
    """Read and judge the records in the order of the ledger."""
    for place, entry in enumerate(case.entries):
        if isinstance(entry.body, Examined):
            yield _judged(case, place, entry, entry.body, judge)


def outcomes_digest(outcomes: bytes, conclusions: bytes) -> str:
    """Digest of outcomes and conclusions alone, from the canonical bytes of both."""
    return hashlib.sha256(b'{"conclusions":' + conclusions + b',"outcomes":' + outcomes + b"}").hexdigest()


def _judged(case: CaseRead, place: int, entry: Entry, body: Examined, judge: Judge) -> Judged:
    try:
        data = case.data(body.record)
        examination = decoded(data, Examination)
    except RecordError as error:
        return Judged(place, entry, body, None, f"the record {error.message}")
    if examination.circumstances != Circumstances():
        return Judged(place, entry, body, None, "the record holds circumstances, which are left out of its digest")
    parts = msgspec.json.decode(data, type=_Parts)
    digests = [hashlib.sha256(part).hexdigest() for part in parts.observations]
    plan = None if body.exploratory else case.plans.get(body.plan)
    if plan is None and not body.exploratory:
        differs = "the findings were not judged again, because the plan with their weights cannot be read"
    else:
        differs = _differs(examination, plan, bytes(parts.outcomes), bytes(parts.conclusions), judge)
    return Judged(
        place,
        entry,
        body,
        Record(
            reference=examination.reference,
            suspect=examination.suspect,
            controls=examination.controls,
            seed=examination.seed,
            observations=tuple(
                Seen(digest, seen.exhibit, seen.examiner, seen.examiner_version)
                for digest, seen in zip(digests, examination.observations, strict=True)
            ),
            related=frozenset(_related(examination.relations)),
            misplaced=tuple(_misplaced(examination)),
            outcomes=tuple(map(_spoken, examination.outcomes)),
            outcomes_digest=outcomes_digest(bytes(parts.outcomes), bytes(parts.conclusions)),
            differs=differs,
        ),
    )


def _differs(examination: Examination, plan: Plan | None, outcomes: bytes, conclusions: bytes, judge: Judge) -> str:
    """What judging again found other than what is recorded, in words; empty where nothing."""
    differs = _found_otherwise(examination, plan, outcomes, conclusions, judge)
    if differs and examination.software.version != __version__:
        differs += f" (recorded by version {examination.software.version}, judged again by version {__version__})"
    return differs


def _found_otherwise(
    examination: Examination, plan: Plan | None, outcomes: bytes, conclusions: bytes, judge: Judge
) -> str:
    try:
        again_outcomes, again_conclusions = judge(examination, plan)
    except MissingExtra:
        raise
    except FiliationError as error:
        return f"it cannot be judged again: {error.message}"
    except Exception as error:  # an altered record may break an examiner anywhere
        return f"it cannot be judged again: {type(error).__name__}: {error}"
    if (again_outcomes, again_conclusions) == (examination.outcomes, examination.conclusions):
        return ""  # equal records have one canonical form, and the recorded bytes are that of theirs
    if canonical(again_outcomes) != outcomes:
        changed = [
            f"{old.id} is recorded as {_short(old)}, judged again it is {_short(new)}"
            for old, new in zip(examination.outcomes, again_outcomes, strict=False)
            if canonical(old) != canonical(new)
        ]
        return (
            "; ".join(changed)
            or f"{len(examination.outcomes)} outcomes are recorded, {len(again_outcomes)} found again"
        )
    if canonical(again_conclusions) != conclusions:
        return "the conclusions are others than those that the recorded outcomes and the plan's weights give"
    return ""


def _short(outcome: Outcome) -> str:
    if isinstance(outcome, Finding):
        return f"a finding with log10 p {outcome.log10_p} and log10 e {outcome.log10_e}"
    return f"{type(outcome).__name__} ({outcome.reason})"


def _spoken(outcome: Outcome) -> Spoken:
    calibration = outcome.calibration_digest if isinstance(outcome, Finding) else ""
    return Spoken(outcome.test, outcome.examiner, outcome.examiner_version, outcome.reason, calibration)


def _related(relations: dict[str, Relations]) -> Iterator[tuple[str, str]]:
    """Examiner and exhibit of everybody who stands in a recorded relation."""
    for examiner, of in relations.items():
        for one in (of.pair, *of.reference_by_control, *of.control_by_suspect, *of.control_by_control):
            yield from ((examiner, one.first), (examiner, one.second))


def _misplaced(examination: Examination) -> Iterator[str]:
    """Relations that are not of those, or not made under the seed, that their place in the record tells; or that stand in it twice."""
    reference, suspect = {examination.reference.name}, {examination.suspect.name}
    controls = {identity.name for identity in examination.controls}
    for examiner, of in examination.relations.items():
        placed = [(of.pair, reference, suspect)]
        placed += [(one, reference, controls) for one in of.reference_by_control]
        placed += [(one, controls, suspect) for one in of.control_by_suspect]
        placed += [(one, controls, controls) for one in of.control_by_control]
        seen: set[tuple[str, str]] = set()
        for one, first, second in placed:
            belongs = one.first in first and one.second in second and (one.first, one.second) not in seen
            if not belongs or (one.examiner, one.seed) != (examiner, examination.seed):
                yield f"a relation of {one.first} and {one.second} by {one.examiner} stands where another belongs"
            seen.add((one.first, one.second))
