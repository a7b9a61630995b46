"""Observing: every examiner of the plan looks at every exhibit, and what it saw is on the disk before the next one looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filiation.case.records import Drawn, Observed, Plan
from filiation.errors import UsageError
from filiation.evidence import Absent, Observation
from filiation.examiners.catalogue import chosen
from filiation.examiners.examiner import Examiner
from filiation.investigation import observe as observe_one
from filiation.proceedings.asking import ask_endpoints
from filiation.proceedings.exhibits import Exhibits, looked_at_by_size, without_names
from filiation.proceedings.line_up import behind_code_names, check_not_revealed
from filiation.proceedings.sitting import CaseAtHand, Sitting
from filiation.sources.source import Source


@dataclass(frozen=True)
class ObservedNow:
    """What a run did: recorded now, recorded by an earlier run, and of those recorded now how many had nothing to observe."""

    now: int
    before: int
    absent: int
    asked: int


def observe(
    sitting: Sitting, *, secrets: Path, places: Mapping[str, str] | None = None, trust_size: bool = False
) -> ObservedNow:
    """Observe reference, controls and the whole line-up, the latter under code names. What is recorded is never observed again.

    Raises UsageError before the draw, SourceError on an exhibit that cannot be read; the same command goes on.
    """
    plan, drawn = sitting.plan, sitting.drawn
    check_not_revealed(sitting, drawn)
    examiners = planned_examiners(plan)
    exhibits = Exhibits(sitting, places or {}, trust_size)
    line_up = behind_code_names(sitting, drawn, secrets)
    _check_all_admitted(sitting, plan, line_up)
    openly = [plan.reference, *(control.exhibit for control in plan.controls)]
    asked = ask_endpoints(sitting, plan, drawn, [*openly, *line_up.values()])
    wanted = len(examiners) * (len(openly) + len(line_up))
    before = absent = 0
    recorded = sitting.observed()
    if trust_size:
        looked_at_by_size(sitting, [*openly, *line_up])
    for name in (*openly, *line_up):
        missing = [each for each in examiners if (name, each.NAME, each.VERSION) not in recorded]
        before += len(examiners) - len(missing)
        if missing:
            absent += _observe_exhibit(sitting, exhibits, name, line_up.get(name, ""), missing)
    return ObservedNow(now=wanted - before, before=before, absent=absent, asked=len(asked))


def _observe_exhibit(sitting: Sitting, exhibits: Exhibits, name: str, behind: str, examiners: list[Examiner]) -> int:
    """Open one exhibit and record what each examiner sees in it; returns how many saw nothing."""
    plan = sitting.plan
    source = exhibits.open_under(name, behind, plan) if behind else exhibits.open(name, plan)
    hidden = exhibits.real_names(behind) if behind else ()
    seen = [record_observation(sitting, examiner, source, hidden, plan=sitting.plan_digest) for examiner in examiners]
    return sum(bool(each.absent) for each in seen)


def record_observation(
    sitting: Sitting,
    examiner: Examiner,
    source: Source,
    hidden: tuple[str, ...] = (),
    *,
    plan: str,
    exploratory: bool = False,
) -> Observed:
    """Let an examiner look at one exhibit and write down what it saw. `hidden`: names that must not be told."""
    seen = observe_one(examiner, source, sitting.progress)
    absent = without_names(seen.reason, hidden, source.name) if isinstance(seen, Absent) else ""
    entry = Observed(
        exhibit=source.name,
        examiner=examiner.NAME,
        examiner_version=examiner.VERSION,
        plan=plan,
        observation="" if isinstance(seen, Absent) else sitting.folder.put_record(seen),
        absent=absent,
        exploratory=exploratory,
    )
    sitting.append(entry)
    return entry


def recorded(case: CaseAtHand, entry: Observed) -> Observation | Absent:
    """What an entry says was seen."""
    if not entry.observation:
        return Absent(reason=entry.absent)
    return case.folder.get_record(entry.observation, Observation)


def planned_examiners(plan: Plan) -> tuple[Examiner, ...]:
    """The examiners of a plan, in the versions that it names. Raises UsageError where another version is installed."""
    examiners = chosen(plan.examiners)
    other = [each.NAME for each in examiners if plan.examiner_versions.get(each.NAME) != each.VERSION]
    if other:
        raise UsageError(
            f"the plan was sealed for other versions of {', '.join(other)} than are installed",
            advice="install the version of filiation that sealed the plan, or amend the plan",
        )
    return examiners


def _check_all_admitted(sitting: Sitting, plan: Plan, line_up: Mapping[str, str]) -> None:
    """All at once, before hours are spent on the first of them."""
    taking_part = (plan.reference, *(control.exhibit for control in plan.controls), *line_up.values())
    missing = [name for name in taking_part if name not in sitting.manifests]
    if missing:
        raise UsageError(
            f"not admitted yet: {', '.join(missing)}",
            exhibit=str(sitting.folder.path),
            advice=sitting.do("admit", "LOCATION", "--as", f"'{missing[0]}'", "--role", "ROLE"),
        )


def draw_of(sitting: Sitting) -> Drawn:
    """The draw in force, the results of which are not revealed."""
    drawn = sitting.drawn
    check_not_revealed(sitting, drawn)
    return drawn
