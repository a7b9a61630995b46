"""Examining: suspect and foils in turn stand where the suspect stands, before the same reference and the same controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filiation.case.drawing import examination_seed
from filiation.case.records import Drawn, Examined, Plan, Setting
from filiation.errors import UsageError
from filiation.evidence import Absent, Conclusion, Examination, Identity, Observation, Outcome, digest
from filiation.examiners.catalogue import chosen
from filiation.examiners.examiner import Examiner
from filiation.investigation import check_parameters, examined, foreign_records, judge_again, relate, subjects
from filiation.proceedings.admission import whole_exhibits
from filiation.proceedings.exhibits import Exhibits, looked_at_by_size
from filiation.proceedings.line_up import behind_code_names, examined_under
from filiation.proceedings.observing import draw_of, planned_examiners, record_observation, recorded
from filiation.proceedings.plan_file import weights_of
from filiation.proceedings.sitting import CaseAtHand, Sitting
from filiation.sources.source import Source


@dataclass
class Bench:
    """What one command examines with: exhibits, opened once, and the identities of those that stand in every examination."""

    case: CaseAtHand
    exhibits: Exhibits
    line_up: Mapping[str, str]
    plan: Plan | None
    _open: dict[str, Source] = field(default_factory=dict)
    _identities: dict[str, Identity] = field(default_factory=dict)

    def source(self, name: str) -> Source:
        """An exhibit by its name, or one of the line-up by its code name."""
        if name not in self._open:
            behind = self.line_up.get(name, "")
            if behind and self.plan:
                self._open[name] = self.exhibits.open_under(name, behind, self.plan)
            else:
                self._open[name] = self.exhibits.open(name, self.plan)
        return self._open[name]

    def identity(self, name: str) -> Identity:
        if name not in self._identities:
            self._identities[name] = self.source(name).identity(None, self.case.progress)
        return self._identities[name]

    def let_go(self, name: str) -> None:
        """One of the line-up is needed once only."""
        self._open.pop(name, None)
        self._identities.pop(name, None)


def examine(
    sitting: Sitting, *, secrets: Path, places: Mapping[str, str] | None = None, trust_size: bool = False
) -> list[Examined]:
    """Examine every model of the line-up that is not examined yet, under code names, from the recorded observations.

    Raises UsageError where something is not observed yet; the same command goes on.
    """
    plan, drawn = sitting.plan, draw_of(sitting)
    examiners = planned_examiners(plan)
    _check_observed(sitting, plan, drawn.code_names, examiners)
    line_up = behind_code_names(sitting, drawn, secrets)
    bench = Bench(sitting, Exhibits(sitting, places or {}, trust_size), line_up, plan)
    done = examined_under(sitting, sitting.plan_digest)
    waiting = [code for code in drawn.code_names if code not in done]
    if trust_size and waiting:
        looked_at_by_size(sitting, [plan.reference, *waiting, *(control.exhibit for control in plan.controls)])
    found = []
    for code in waiting:
        names = [plan.reference, code, *(control.exhibit for control in plan.controls)]
        seen = seen_in(sitting, names, examiners)
        record = examination_of(
            bench, names, examiners, seen, plan.parameters, examination_seed(drawn.seed), weights_of(plan)
        )
        found.append(_keep(sitting, code, record, plan=sitting.plan_digest))
        bench.let_go(code)
    return found


def explore(
    sitting: Sitting,
    *,
    subject: str,
    purpose: str,
    secrets: Path,
    only: Sequence[str] = (),
    reference: str = "",
    controls: Sequence[str] | None = None,
    parameters: Mapping[str, Mapping[str, Setting]] | None = None,
    seed: int = 0,
    places: Mapping[str, str] | None = None,
    trust_size: bool = False,
) -> Examined:
    """Examine something outside the plan. It is kept and marked exploratory, and judged with equal weights.

    `subject`: a code name, or the name of any exhibit. Raises UsageError without a purpose.
    """
    if not purpose.strip():
        raise UsageError("whatever is run outside the plan needs a purpose", advice="give --purpose TEXT")
    plan = sitting.plan if sitting.plan_digest else None
    examiners = chosen(tuple(only) or (plan.examiners if plan else ()))
    check_parameters(parameters or {})
    bench = Bench(sitting, Exhibits(sitting, places or {}, trust_size), _line_up(sitting, subject, secrets), plan)
    names = [reference or _reference(sitting, plan), subject, *_controls(sitting, plan, controls, subject)]
    if len(set(names)) < len(names):
        raise UsageError("an exhibit stands twice in this examination", advice=f"it was to be {', '.join(names)}")
    seen = sitting.observed(planned=False)
    if trust_size:
        looked_at_by_size(sitting, names)
    for name in names:
        for examiner in examiners:
            if (name, examiner.NAME, examiner.VERSION) not in seen:
                hidden = bench.exhibits.real_names(bench.line_up[name]) if name in bench.line_up else ()
                record_observation(
                    sitting, examiner, bench.source(name), hidden, plan=sitting.plan_digest, exploratory=True
                )
    settings = {examiner.NAME: dict((parameters or {}).get(examiner.NAME, {})) for examiner in examiners}
    every = seen_in(sitting, names, examiners, planned=False)
    record = examination_of(bench, names, examiners, every, settings, seed, None)
    return _keep(sitting, subject, record, plan=sitting.plan_digest, purpose=purpose)


Seen = Mapping[tuple[str, str], Observation | Absent]
"""What was seen, by exhibit or code name, and examiner."""


def seen_in(case: CaseAtHand, names: Sequence[str], examiners: Sequence[Examiner], *, planned: bool = True) -> Seen:
    """What the ledger says was seen."""
    entries = case.observed(planned=planned)
    return {
        (name, examiner.NAME): recorded(case, entries[name, examiner.NAME, examiner.VERSION])
        for name in names
        for examiner in examiners
    }


def examination_of(
    bench: Bench,
    names: Sequence[str],
    examiners: Sequence[Examiner],
    seen: Seen,
    parameters: Mapping[str, Mapping[str, Setting]],
    seed: int,
    weights: Mapping[str, float] | None,
) -> Examination:
    """Relate, judge and conclude from what was seen. `names`: reference, subject, controls."""
    sources = [bench.source(name) for name in names]
    looks = [
        relate(
            examiner,
            subjects(sources, [seen[name, examiner.NAME] for name in names], parameters.get(examiner.NAME, {})),
            seed,
            bench.case.progress,
        )
        for examiner in examiners
    ]
    return examined(looks, [bench.identity(name) for name in names], seed=seed, weights=weights)


def _keep(sitting: Sitting, subject: str, record: Examination, *, plan: str, purpose: str = "") -> Examined:
    """Store the record, its circumstances left out, and say so in the ledger."""
    entry = Examined(
        subject=subject,
        plan=plan,
        record=sitting.folder.put_record(record),
        outcomes=outcomes_digest(record.outcomes, record.conclusions),
        exploratory=bool(purpose),
        purpose=purpose,
    )
    sitting.append(entry)
    return entry


def outcomes_digest(outcomes: tuple[Outcome, ...], conclusions: tuple[Conclusion, ...]) -> str:
    """The digest that everybody must arrive at again, whatever machine judges."""
    return digest({"outcomes": outcomes, "conclusions": conclusions})


def judge(examination: Examination, plan: Plan | None) -> tuple[tuple[Outcome, ...], tuple[Conclusion, ...]]:
    """Outcomes and conclusions anew from a recorded examination, with the weights of its plan; without one, equal weights.

    Raises RecordError where the record cannot be judged.
    """
    with foreign_records(examination.suspect.name, examination.software):
        again = judge_again(examination, weights_of(plan) if plan else None)
    return again.outcomes, again.conclusions


def _check_observed(sitting: Sitting, plan: Plan, codes: Sequence[str], examiners: Sequence[Examiner]) -> None:
    seen = sitting.observed()
    names = (plan.reference, *codes, *(control.exhibit for control in plan.controls))
    missing = [name for name in names if any((name, each.NAME, each.VERSION) not in seen for each in examiners)]
    if missing:
        raise UsageError(
            f"not observed yet: {', '.join(missing)}", exhibit=str(sitting.folder.path), advice=sitting.do("observe")
        )


def _line_up(sitting: Sitting, subject: str, secrets: Path) -> dict[str, str]:
    """Who stands behind the code names where the subject is one of them."""
    for entry in reversed(sitting.folder.entries):
        if isinstance(entry.body, Drawn) and subject in entry.body.code_names:
            return behind_code_names(sitting, entry.body, secrets)
    return {}


def _reference(sitting: Sitting, plan: Plan | None) -> str:
    if plan:
        return plan.reference
    found = [name for name, manifest in sitting.manifests.items() if manifest.role == "reference"]
    if not found:
        raise UsageError(
            "no reference was admitted yet",
            exhibit=str(sitting.folder.path),
            advice=sitting.do("admit", "LOCATION", "--role", "reference"),
        )
    return found[0]


def _controls(sitting: Sitting, plan: Plan | None, given: Sequence[str] | None, subject: str) -> list[str]:
    if given is not None:
        return list(given)
    if plan:
        return [control.exhibit for control in plan.controls if control.exhibit != subject]
    manifests = sitting.manifests
    return [name for name in whole_exhibits(list(manifests)) if manifests[name].role == "control" and name != subject]
