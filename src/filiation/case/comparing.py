"""A case and the counter-case that answers it, side by side: what both found, where they agree, what could explain the rest.

Pure: nothing is said that does not stand in the two views. A difference is explained by a change only where the change
concerns what the test rests on; a difference without explanation is shown as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Literal, TypeVar

import msgspec

from filiation.case.amendments import plan_in_force
from filiation.case.comparison import (
    Agreement,
    Aspect,
    Change,
    Comparison,
    ConclusionCompared,
    RecordCompared,
    Result,
    TestCompared,
)
from filiation.case.records import CounterTo, LineUpPlan, Manifest, Opened, Plan, every_field
from filiation.case.view import CaseView, ExaminedModel
from filiation.errors import RecordError, UsageError
from filiation.evidence import (
    Conclusion,
    Examination,
    Finding,
    Inconclusive,
    Null,
    Outcome,
    Proposition,
    Record,
    canonical,
    digest,
)

_Key = TypeVar("_Key")


def compare_cases(original: CaseView, counter: CaseView) -> Comparison:
    """Compare a case with the one that answers it, by the exhibits that stood behind the code names.

    Only what was examined under the plan counts, and of each model the last record. Raises UsageError where the counter-case
    answers nothing or nothing is revealed, RecordError where it answers another case, or another state of it.
    """
    answers = _answers(original, counter)
    before, after = _examined(original), _examined(counter)
    if not before:
        raise UsageError(
            "the case has not revealed who stood behind its code names, so that there is nothing to compare",
            exhibit=original.header.case,
            advice="wait until its results are sealed and revealed",
        )
    changes = tuple(_changes(original, counter, before, after))
    names = sorted({*before, *after}, key=lambda name: ((after.get(name) or before[name]).role != "suspect", name))
    pairs = [(before.get(name), after.get(name)) for name in names]
    return Comparison(
        answers=answers,
        title=original.header.title,
        changes=changes,
        records=tuple(_record(first, second) for first, second in pairs),
        tests=tuple(chain.from_iterable(_tests(first, second, changes) for first, second in pairs)),
        conclusions=tuple(chain.from_iterable(_conclusions(first, second, changes) for first, second in pairs)),
    )


def _answers(original: CaseView, counter: CaseView) -> CounterTo:
    """What the counter-case answers, held against the original's ledger."""
    opened = counter.entries[0].body if counter.entries else None
    answers = opened.counter_to if isinstance(opened, Opened) else None
    if answers is None:
        raise UsageError(
            "this case answers no other case", exhibit=counter.header.case, advice="filiation case challenge makes one"
        )
    if answers.case != original.header.case:
        raise RecordError(
            f"the counter-case answers the case {answers.case}, not this one",
            exhibit=original.header.case,
            advice="give the case that it answers",
        )
    known = {entry.sequence: entry for entry in original.entries}
    if answers.sequence not in known or digest(known[answers.sequence]) != answers.head:
        raise RecordError(
            f"the ledger is not the one that the counter-case answers: entry {answers.sequence} is another or missing",
            exhibit=original.header.case,
            advice="compare with the copy that was handed over",
        )
    return answers


def _examined(view: CaseView) -> dict[str, ExaminedModel]:
    """The last planned record of every model that is revealed, by exhibit."""
    planned = [model for model in view.examined if model.exhibit and not model.exploratory]
    return {model.exhibit: model for model in sorted(planned, key=lambda model: model.entry)}


# ------------------------------------------------------------------------------------------------------------- changes


def _changes(
    original: CaseView, counter: CaseView, before: Mapping[str, ExaminedModel], after: Mapping[str, ExaminedModel]
) -> Iterator[Change]:
    first, second = _plan(original), _plan(counter)
    for aspect, one, other in _planned(first, second):
        yield from _differences(aspect, one, other)
    if original.drawn and counter.drawn:
        drawn = (dict.fromkeys(view.drawn.foils, "drawn") for view in (original, counter) if view.drawn)
        yield from _differences("foils", *drawn)
        yield from _differences("seed", {"": original.drawn.seed}, {"": counter.drawn.seed})
    yield from _differences("exhibits", _contents(original.manifests), _contents(counter.manifests))
    first_seen, second_seen = _observations(before), _observations(after)
    both = first_seen.keys() & second_seen.keys()
    yield from _differences(
        "observations", *({name: seen[name] for name in both} for seen in (first_seen, second_seen))
    )
    yield from _differences("software", _software(before), _software(after))


def _plan(view: CaseView) -> Plan:
    """The plan in force. Raises UsageError before one is sealed."""
    in_force = plan_in_force(view.entries)
    if in_force not in view.plans:
        raise UsageError("no plan is sealed", exhibit=view.header.case, advice="seal a plan first: filiation case plan")
    return view.plans[in_force]


def _planned(first: Plan, second: Plan) -> Iterator[tuple[Aspect, dict[str, str], dict[str, str]]]:
    """What two plans say aspect by aspect, each as text by name. Case, author, remarks and announcement are not at issue."""
    yield "alternatives", _alternatives(first), _alternatives(second)
    yield "weights", _weights(first), _weights(second)
    yield "examiners", dict.fromkeys(first.examiners, "planned"), dict.fromkeys(second.examiners, "planned")
    both = [
        name for name in first.examiners if name in second.examiners
    ]  # one who speaks on one side only is told once
    yield "parameters", _parameters(first, both), _parameters(second, both)
    yield "versions", _named(first.examiner_versions, both), _named(second.examiner_versions, both)
    yield "calibration", _named(first.calibration_digests, both), _named(second.calibration_digests, both)
    yield "controls", _lineages(first), _lineages(second)
    yield "line-up", _line_up(first.line_up), _line_up(second.line_up)
    yield "prompts", _prompts(first), _prompts(second)
    yield "stopping", _fields(first.stopping), _fields(second.stopping)
    yield "asking", _fields(first.asking), _fields(second.asking)
    yield "tolerance", _fields(first.tolerance), _fields(second.tolerance)


def _differences(aspect: Aspect, first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted({*first, *second}):
        if first.get(name) != second.get(name):
            yield Change(aspect=aspect, name=name, original=first.get(name, ""), challenge=second.get(name, ""))


def _alternatives(plan: Plan) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for each in plan.propositions:
        found.setdefault(each.proposition, []).append(each.alternative)
    return {name: "; ".join(sorted(alternatives)) for name, alternatives in found.items()}


def _weights(plan: Plan) -> dict[str, str]:
    return {test: _text(weight) for each in plan.propositions for test, weight in each.weights.items()}


def _named(values: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name in names}


def _parameters(plan: Plan, examiners: Sequence[str]) -> dict[str, str]:
    return {
        f"{examiner}.{name}": _text(value)
        for examiner, settings in plan.parameters.items()
        if examiner in examiners
        for name, value in settings.items()
    }


def _lineages(plan: Plan) -> dict[str, str]:
    return {control.exhibit: control.lineage or "planned" for control in plan.controls}


def _prompts(plan: Plan) -> dict[str, str]:
    return {probes.name: str(probes.count) for probes in plan.probes}


def _line_up(line_up: LineUpPlan) -> dict[str, str]:
    pool = {f"pool: {each.exhibit}": each.lineage or "named" for each in line_up.pool}
    return {**pool, **{name: text for name, text in _fields(line_up).items() if name != "pool"}}


def _fields(record: Record) -> dict[str, str]:
    return {name: _text(value) for name, value in every_field(record).items()}


def _contents(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """What was admitted under each name: the digest over its files, content and role in the case, not over where it lay."""
    return {
        name: digest([manifest.role, manifest.kind, manifest.content_id, manifest.model, list(manifest.files)])
        for name, manifest in manifests.items()
    }


def _observations(models: Mapping[str, ExaminedModel]) -> dict[str, str]:
    """Digest of what was recorded of each exhibit by each examiner, whatever code name it then had."""
    found: dict[str, set[str]] = {}
    for name, model in models.items():
        for (examiner, exhibit), seen in _observed(name, model).items():
            found.setdefault(f"{examiner} of {exhibit}", set()).add(seen)
    return {name: ", ".join(sorted(seen)) for name, seen in found.items()}


def _observed(exhibit: str, model: ExaminedModel) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for each in model.examination.observations:
        name = exhibit if each.exhibit == model.subject else each.exhibit
        found[each.examiner, name] = digest(msgspec.structs.replace(each, exhibit=name))
    return found


def _software(models: Mapping[str, ExaminedModel]) -> dict[str, str]:
    """What computed the records; versions of one case are told together."""
    found: dict[str, set[str]] = {}
    for model in models.values():
        software = model.examination.software
        for name, version in {software.name: software.version, "python": software.python, **software.libraries}.items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical(value).decode()


# -------------------------------------------------------------------------------------------------------- side by side


def _record(first: ExaminedModel | None, second: ExaminedModel | None) -> RecordCompared:
    known = second or first
    assert known is not None
    return RecordCompared(
        exhibit=known.exhibit,
        role=known.role,
        original=first.examination.digest if first else "",
        challenge=second.examination.digest if second else "",
    )


def _tests(
    first: ExaminedModel | None, second: ExaminedModel | None, changes: Sequence[Change]
) -> Iterator[TestCompared]:
    known = second or first
    assert known is not None
    before = {outcome.test: outcome for outcome in first.examination.outcomes} if first else {}
    after = {outcome.test: outcome for outcome in second.examination.outcomes} if second else {}
    for test in _both(before, after):
        one, other = before.get(test), after.get(test)
        outcome = other or one
        assert outcome is not None
        agreement = _agreement(one, other, _side(one) == _side(other))
        concerned = _concerned(changes, first, second, {outcome.examiner}, agreement)
        yield TestCompared(
            exhibit=known.exhibit,
            role=known.role,
            test=test,
            proposition=outcome.proposition,
            alternative=outcome.alternative,
            null=outcome.null,
            original=_result(one),
            challenge=_result(other),
            agreement=agreement,
            explained_by=() if agreement == "same bytes" else tuple(concerned),
        )


def _conclusions(
    first: ExaminedModel | None, second: ExaminedModel | None, changes: Sequence[Change]
) -> Iterator[ConclusionCompared]:
    known = second or first
    assert known is not None
    before, after = _by_group(first), _by_group(second)
    for group in _both(before, after):
        one, other = before.get(group), after.get(group)
        proposition, alternative, null = group
        agreement = _agreement(one, other, _word(one) == _word(other))
        examiners = _examiners_of(proposition, first, second)
        concerned = list(_concerned(changes, first, second, examiners, agreement, concluding=True))
        yield ConclusionCompared(
            exhibit=known.exhibit,
            role=known.role,
            proposition=proposition,
            alternative=alternative,
            null=null,
            original=one,
            challenge=other,
            agreement=agreement,
            explained_by=() if agreement == "same bytes" else tuple(concerned),
        )


def _both(first: Mapping[_Key, object], second: Mapping[_Key, object]) -> list[_Key]:
    """The keys of both in the order of the first, then what the second alone has."""
    return list(dict.fromkeys([*first, *second]))


def _by_group(model: ExaminedModel | None) -> dict[tuple[Proposition, str, Null], Conclusion]:
    conclusions = model.examination.conclusions if model else ()
    return {(each.proposition, each.alternative, each.null): each for each in conclusions}


def _examiners_of(proposition: Proposition, *models: ExaminedModel | None) -> set[str]:
    outcomes = [outcome for model in models if model for outcome in model.examination.outcomes]
    return {outcome.examiner for outcome in outcomes if outcome.proposition is proposition}


def _agreement(one: Record | None, other: Record | None, same_side: bool) -> Agreement:
    if one is None:
        return "only in the challenge"
    if other is None:
        return "only in the original"
    if digest(one) == digest(other):
        return "same bytes"
    return "same outcome" if same_side else "another outcome"


def _result(outcome: Outcome | None) -> Result | None:
    if outcome is None:
        return None
    if not isinstance(outcome, Finding):
        kind: Literal["inconclusive", "not_examined"]
        kind = "inconclusive" if isinstance(outcome, Inconclusive) else "not_examined"
        return Result(kind=kind, reason=outcome.reason)
    return Result(
        kind="finding",
        reason=outcome.reason,
        detected=_detected(outcome),
        count=outcome.count,
        opportunities=outcome.opportunities,
        log10_p=outcome.log10_p,
        log10_e=outcome.log10_e,
    )


def _detected(finding: Finding) -> bool:
    return finding.log10_p <= finding.power.threshold_log10_p


def _side(outcome: Outcome | None) -> tuple[type | None, bool]:
    """The kind of an outcome and, of a finding, on which side of what counts as detected it lies."""
    return type(outcome), isinstance(outcome, Finding) and _detected(outcome)


def _word(conclusion: Conclusion | None) -> tuple[str, str]:
    return (conclusion.kind, conclusion.word) if conclusion else ("", "")


# -------------------------------------------------------------------------------------------------------- explanations


def _concerned(
    changes: Sequence[Change],
    first: ExaminedModel | None,
    second: ExaminedModel | None,
    examiners: set[str],
    agreement: Agreement,
    *,
    concluding: bool = False,
) -> Iterator[str]:
    """The changes on which an outcome of these examiners rests, for one model in both cases."""
    if first is None or second is None:
        yield from (change.label for change in changes if change.aspect in ("foils", "line-up"))
        return
    for change in changes:
        planned = change.aspect == "examiners" and change.name in examiners and agreement.startswith("only")
        weighed = concluding and change.aspect in ("alternatives", "weights")
        if planned or weighed or _concerns(change, first, second, examiners):
            yield change.label


def _concerns(change: Change, first: ExaminedModel, second: ExaminedModel, examiners: set[str]) -> bool:
    if change.aspect == "parameters":
        return change.name.split(".")[0] in examiners
    if change.aspect in ("versions", "calibration"):
        return change.name in examiners
    if change.aspect == "controls":
        return change.name in _controls(first.examination) | _controls(second.examination)
    if change.aspect == "seed":
        return first.examination.seed != second.examination.seed
    if change.aspect == "observations":
        return _observation_concerns(change.name, first, second, examiners)
    return change.aspect in ("software", "prompts", "stopping", "asking")


def _controls(examination: Examination) -> set[str]:
    return {control.name for control in examination.controls}


def _observation_concerns(name: str, first: ExaminedModel, second: ExaminedModel, examiners: set[str]) -> bool:
    """An observation by one of the examiners of somebody who stands in either record."""
    observed = {**_observed(first.exhibit, first), **_observed(second.exhibit, second)}
    return any(name == f"{examiner} of {exhibit}" for examiner, exhibit in observed if examiner in examiners)
