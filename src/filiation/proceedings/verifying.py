"""Verifying a case, offline; and acquiring its exhibits anew, where they are at hand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from filiation.case import verification
from filiation.case.drawing import examination_seed
from filiation.case.folder import CaseFolder
from filiation.case.records import Check, Drawn, Examined, Failure, Plan, Tolerance, Verification
from filiation.errors import UsageError
from filiation.evidence import Conclusion, Examination, Finding, Outcome
from filiation.examiners.examiner import Progress, silent
from filiation.investigation import observe
from filiation.proceedings.departures import departures
from filiation.proceedings.examining import Bench, examination_of, judge
from filiation.proceedings.exhibits import Exhibits
from filiation.proceedings.observing import planned_examiners
from filiation.proceedings.plan_file import weights_of
from filiation.proceedings.reporting import report_again
from filiation.proceedings.sitting import CaseAtHand

REACQUIRED = "Acquired again"


def verify_case(
    path: str | Path,
    *,
    keyid: str = "",
    authorities: Sequence[bytes] = (),
    handed_over: Sequence[bytes] = (),
    reports: bool = True,
    progress: Progress = silent,
) -> Verification:
    """The numbered checks of docs/case-file-format.md, findings judged and reports rendered again. Changes nothing.

    `keyid`: the key that the reader was told by another way; `authorities`: root certificates (PEM) that the reader trusts;
    `handed_over`: checkpoint files that somebody kept from earlier. Raises UsageError where there is no folder, RecordError where it
    holds no case.
    """
    if not Path(path).is_dir():
        raise UsageError("there is no such folder", exhibit=str(path), advice="name the folder that holds case.json")
    if keyid and not re.fullmatch("[0-9a-f]{64}", keyid):
        raise UsageError(
            f"a fingerprint has 64 hexadecimal digits in lower case, and {keyid[:80]!r} has not",
            advice="give the whole of what 'filiation case key FILE --show' prints",
        )
    plans: list[Plan] = []

    def judge_and_remember(
        examination: Examination, plan: Plan | None
    ) -> tuple[tuple[Outcome, ...], tuple[Conclusion, ...]]:
        if plan is not None and plan not in plans:
            plans.append(plan)
        return judge(examination, plan)

    found = verification.verify(
        Path(path),
        judge=judge_and_remember,
        keyid=keyid,
        authorities=authorities,
        handed_over=handed_over,
        report=report_again(Path(path)) if reports else None,
        progress=progress,
    )
    told = dict.fromkeys(remark for plan in plans for remark in departures(plan))
    return msgspec.structs.replace(found, remarks=(*found.remarks, *told))


def reacquire(
    path: str | Path,
    *,
    places: Mapping[str, str] | None = None,
    trust_size: bool = False,
    progress: Progress = silent,
) -> Check:
    """Observe the exhibits again and examine them as planned: the outcomes must be those recorded, within the plan's tolerance.

    This is the one check that needs the exhibits, and the one with a tolerance. Raises UsageError before the reveal, SourceError
    where an exhibit is not at hand.
    """
    case = CaseAtHand(CaseFolder.open(Path(path)), progress)
    try:
        done = [(entry.sequence, entry.body) for entry in case.folder.entries if isinstance(entry.body, Examined)]
        planned = [(sequence, body) for sequence, body in done if not body.exploratory]
        if not planned or not case.revealed:
            raise UsageError(
                "nothing can be acquired again before the code names are revealed",
                exhibit=str(path),
                advice=case.do("reveal"),
            )
        exhibits = Exhibits(case, places or {}, trust_size)
        failures = tuple(f for sequence, body in planned for f in _reacquired(case, exhibits, sequence, body))
        return Check(
            number=len(verification.CHECKS) + 1,
            title=REACQUIRED,
            looked_at=len(planned),
            failures=failures,
            note="exhibits observed and related again on this machine; outcomes compared within the plan's tolerance"
            + ("; files outside the case held against their sizes only, not hashed" if trust_size else ""),
        )
    finally:
        case.let_go()


def _reacquired(case: CaseAtHand, exhibits: Exhibits, sequence: int, body: Examined) -> Iterator[Failure]:
    """One planned examination anew, from the exhibits."""
    plan = case.plans[body.plan]
    record = case.folder.get_record(body.record, Examination)
    examiners = planned_examiners(plan)
    names = [plan.reference, body.subject, *(control.exhibit for control in plan.controls)]
    bench = Bench(case, exhibits, case.revealed, plan)
    seen = {
        (name, examiner.NAME): observe(examiner, bench.source(name), case.progress)
        for name in names
        for examiner in examiners
    }
    seed = _seed_of(case, body)
    again = examination_of(bench, names, examiners, seen, plan.parameters, seed, weights_of(plan))
    fresh = {outcome.test: outcome for outcome in again.outcomes}
    for outcome in record.outcomes:
        told = _beyond(outcome, fresh.get(outcome.test), plan.tolerance)
        if told:
            yield Failure(
                where=f"entry {sequence}, {body.subject}, {outcome.test}",
                what=told,
                meaning="the exhibits at hand do not give what was recorded: the exhibits, the record or the software differ",
            )


def _seed_of(case: CaseAtHand, body: Examined) -> int:
    drawn = next(e.body for e in case.folder.entries if isinstance(e.body, Drawn) and body.subject in e.body.code_names)
    return examination_seed(drawn.seed)


def _beyond(recorded: Outcome, again: Outcome | None, tolerance: Tolerance) -> str:
    """In what an outcome that was acquired again differs by more than the plan allows; empty where it does not."""
    if type(recorded) is not type(again):
        return f"recorded was {_kind(recorded)}, found now {_kind(again)}"
    if not isinstance(recorded, Finding) or not isinstance(again, Finding):
        return ""
    if abs(recorded.log10_p - again.log10_p) > tolerance.log10_p:
        return f"log10 p was {recorded.log10_p:g}, now {again.log10_p:g} (tolerance {tolerance.log10_p:g})"
    if abs(recorded.effect.value - again.effect.value) > tolerance.share:
        return f"{recorded.effect.name} was {recorded.effect.value:g}, now {again.effect.value:g} (tolerance {tolerance.share:g})"
    return ""


def _kind(outcome: Outcome | None) -> str:
    return "nothing" if outcome is None else type(outcome).__name__
