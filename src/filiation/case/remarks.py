"""Choices of whoever made a case that no check forbids and every reader should know: told by a verifier, so that nobody has to find them.

A plan may have few foils, weights may be amended, one model may stand in a case under two names. Each may have its
reason; none may go unseen.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeVar

import msgspec

from filiation.case.amendments import draw_in_force
from filiation.case.checks_plan import attributes_of, manifests_of
from filiation.case.drawing import sorted_out
from filiation.case.judged import Judged
from filiation.case.reading import CaseRead
from filiation.case.records import (
    Admitted,
    Asked,
    Drawn,
    Entry,
    Examined,
    Manifest,
    Observed,
    Plan,
    PlannedExhibit,
    Reported,
    Revealed,
    Sealed,
)
from filiation.errors import FiliationError

MOST_TOLD = 8
"""Names or entries that a remark lists; of more it says how many."""


def of_choices(case: CaseRead, judged: Sequence[Judged]) -> Iterator[str]:
    """One remark for each choice that limits what the case shows."""
    yield from _of_what_is_taken_on_trust(case, judged)
    yield from _of_repetitions(case)
    yield from _of_looks_before_the_plan(case)
    yield from _of_the_line_up(case)
    yield from _of_one_model_under_two_names(case)
    yield from _of_names(case)
    yield from _of_opened_marks(case)
    yield from _of_missing_stamps(case)
    yield from _of_gaps(case, judged)
    yield from _of_unbound_exhibits(case, judged)
    yield from _of_reports(case)


def _of_what_is_taken_on_trust(case: CaseRead, judged: Sequence[Judged]) -> Iterator[str]:
    if judged:
        yield (
            "observations and relations are what the writer recorded: findings follow from them, but whether the exhibits "
            "give them shows only when they are acquired again (--reacquire)"
        )
    if any(isinstance(entry.body, Asked) for entry in case.entries):
        yield "answers of endpoints are what the writer recorded: no verifier can ask again and get the same"
    if case.opening and case.opening.counter_to:
        yield "this case answers another: that the comparison in it is of that one shows only when it is made again (challenge)"
    if case.plans:
        yield (
            "several cases on the same exhibits, of which this one was chosen, cannot be excluded: ask whether the "
            "checkpoint over its plan was handed over before the draw"
        )


def _of_repetitions(case: CaseRead) -> Iterator[str]:
    seals = [entry for entry in case.entries if isinstance(entry.body, Sealed)]
    if len(seals) > 1:
        yield f"{len(seals)} plans were sealed one after the other: entries {_numbers(seals)}; the last one holds"
    draws = [entry for entry in case.entries if isinstance(entry.body, Drawn)]
    if len(draws) > 1:
        yield f"the line-up was drawn {len(draws)} times: entries {_numbers(draws)}; who draws again can choose"


def _of_looks_before_the_plan(case: CaseRead) -> Iterator[str]:
    """Also at reference, controls and candidates: whoever knows how they come out can write the plan that suits."""
    first = next((place for place, entry in enumerate(case.entries) if isinstance(entry.body, Sealed)), None)
    early = [entry for entry in case.entries[:first] if isinstance(entry.body, Observed | Examined | Asked)]
    if early and first is not None:
        names = dict.fromkeys(_looked_at(entry) for entry in early)
        yield f"looked at before any plan was sealed: {_some(names)} (entries {_numbers(early)})"


def _looked_at(entry: Entry) -> str:
    body = entry.body
    assert isinstance(body, Observed | Examined | Asked)
    return body.subject if isinstance(body, Examined) else body.exhibit


# ------------------------------------------------------------------------------------------------------------ line-up


def _of_the_line_up(case: CaseRead) -> Iterator[str]:
    drawn = draw_in_force(case.entries, case.plans)
    plan = case.plans.get(drawn.plan) if drawn else None
    if plan is None:
        return
    if not plan.line_up.foils:
        yield "the line-up has no foils: the code name hides nobody, and no false positive could be counted"
        return
    if not plan.line_up.matched_on:
        yield "the plan asks foils to be like the suspect in nothing: they may be such as no test would ever pick"
    candidates = _free_candidates(case, plan)
    wanted = plan.line_up.foils - len(plan.line_up.shares_explanation)
    if candidates is not None and (candidates <= wanted or not wanted):
        yield "the draw had no choice: the pool holds no more candidates than foils, so whoever wrote the plan chose them"
    differing = [
        planned.exhibit
        for planned in (*plan.controls, *plan.line_up.pool)
        for manifest in manifests_of(case, case.entries, planned.exhibit)[:1]
        if _declared_otherwise(planned, manifest, plan.line_up.matched_on)
    ]
    if differing:
        yield f"the plan declares another lineage, or other attributes, than the manifest of {_some(differing)}"


def _declared_otherwise(planned: PlannedExhibit, manifest: Manifest, matched_on: Sequence[str]) -> bool:
    said = [(planned.lineage, manifest.lineage)]
    said += [(str(planned.attributes.get(name, "")), str(manifest.attributes.get(name, ""))) for name in matched_on]
    return any(first and second and first != second for first, second in said)


def _free_candidates(case: CaseRead, plan: Plan) -> int | None:
    """Lineages among those who could be drawn; None where it cannot be said (check 7 says why)."""
    suspect = manifests_of(case, case.entries, plan.suspect)
    barred = {m.lineage for m in (*suspect, *manifests_of(case, case.entries, plan.reference))} - {""}
    try:
        pool = sorted_out(plan.line_up, attributes_of(suspect), barred)
    except FiliationError:
        return None
    return len({candidate.lineage for candidate in pool.eligible})


# -------------------------------------------------------------------------------------------------- names and bytes


def _of_one_model_under_two_names(case: CaseRead) -> Iterator[str]:
    for names in _alike(_contents(case)):
        yield f"the same bytes stand in the case under {len(names)} names: {_some(names)}"
    plan = next(reversed(case.plans.values()), None)
    accused = {plan.reference, *_behind(case, plan.suspect)} if plan else set()
    for names in _alike(_sights(case)):
        if not set(names) <= accused:  # that suspect and reference look alike is what the case is about
            yield f"every examiner saw the same in {_some(names)}: one model under several names looks like this"


def _contents(case: CaseRead) -> Iterator[tuple[str, object]]:
    """Exhibit and what tells its bytes: the content of its weights, or the digests of all its files."""
    for entry in case.entries:
        manifest = case.manifests.get(entry.body.manifest) if isinstance(entry.body, Admitted) else None
        if manifest is None:
            continue
        digests = frozenset(file.sha256 for file in manifest.files)
        if manifest.content_id:
            yield manifest.exhibit, manifest.content_id
        if digests and None not in digests:
            yield manifest.exhibit, (digests, manifest.model)


class _Content(msgspec.Struct):
    content: msgspec.Raw


def _sights(case: CaseRead) -> Iterator[tuple[str, object]]:
    """Exhibit or code name, and what all examiners together recorded of it."""
    seen: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    for entry in case.entries:
        if isinstance(entry.body, Observed) and entry.body.observation:
            try:
                content = msgspec.json.decode(case.data(entry.body.observation), type=_Content).content
            except (FiliationError, msgspec.MsgspecError, ValueError, RecursionError):
                continue  # check 9 says so
            seen[entry.body.exhibit].setdefault(entry.body.examiner, hashlib.sha256(content).digest())
    for name, by_examiner in seen.items():
        yield name, frozenset(by_examiner.items())


def _behind(case: CaseRead, exhibit: str) -> set[str]:
    """An exhibit's name and its code names, as far as they are revealed."""
    revealed = [entry.body.exhibits for entry in case.entries if isinstance(entry.body, Revealed)]
    return {exhibit, *(code for told in revealed for code, name in told.items() if name == exhibit)}


def _alike(told: Iterable[tuple[str, object]]) -> list[tuple[str, ...]]:
    """Groups of two or more exhibits of which the same is told; parts ('NAME/PART') belong to one exhibit."""
    groups: defaultdict[object, dict[str, None]] = defaultdict(dict)
    for name, what in told:
        groups[what][name] = None
    whole = [dict.fromkeys(name.partition("/")[0] for name in names) for names in groups.values()]
    return list(dict.fromkeys(tuple(names) for names in whole if len(names) > 1))


def _of_names(case: CaseRead) -> Iterator[str]:
    names = [entry.body.exhibit for entry in case.entries if isinstance(entry.body, Admitted)]
    strange = [name for name in names if not (name.isascii() and name.isprintable())]
    if strange:
        yield f"names hold letters that can be taken for others, or that are not shown: {_some(map(ascii, strange))}"
    in_order = sorted(set(names), key=str.casefold)
    alike = [pair for pair in pairwise(in_order) if pair[0].casefold() == pair[1].casefold()]
    if alike:
        yield f"names differ in capitals only: {_some(' and '.join(pair) for pair in alike)}"


# -------------------------------------------------------------------------------------------------------- opened marks


def _of_opened_marks(case: CaseRead) -> Iterator[str]:
    """Whom a batch was opened for, and whether the answers were there before: under code names no examiner can say either."""
    plan = next(reversed(case.plans.values()), None)
    if plan is None:
        return
    marks = {m.exhibit: m for m in manifests_of(case, case.entries, plan.reference) if m.kind == "marks"}
    for manifest in marks.values():
        named = _suspects_requested(case, manifest)
        if named is not None and plan.suspect not in named:
            yield (
                f"the request to which {manifest.exhibit} was opened names {_some(named)} and not {plan.suspect}: if these are not one "
                "model, what was searched is not fully paid for"
            )
    places = [e.sequence for e in case.entries if isinstance(e.body, Admitted) and e.body.exhibit in marks]
    answered = list(_answered(case, plan))
    later = [name for name, entry in answered if places and entry.sequence > min(places)]
    if later:
        yield (
            f"what was opened of {plan.reference} stands in the case from entry {min(places)} on, and answers of {_some(later)} came "
            "later: that they were recorded before anybody else could know what was marked is the writer's word"
        )
    for manifest in marks.values():
        opened = _opened_at(case, manifest)
        late = [name for name, entry in answered if name not in later and opened and opened < _moment(entry.time)]
        if opened and late:
            yield (
                f"by the owner's own ledger {manifest.exhibit} was opened at {opened:%Y-%m-%dT%H:%M:%SZ}, and answers of {_some(late)} "
                "came into the case after that: that they were recorded before is the writer's word"
            )


def _answered(case: CaseRead, plan: Plan) -> Iterator[tuple[str, Entry]]:
    """Who but the reference answered, and the entry by which the answers came into the case."""
    for entry in case.entries:
        body = entry.body
        if not isinstance(body, Asked | Admitted) or body.exhibit.partition("/")[0] == plan.reference:
            continue
        manifest = case.manifests.get(body.manifest) if isinstance(body, Admitted) else None
        if isinstance(body, Asked) or (manifest is not None and manifest.kind == "transcript"):
            yield body.exhibit, entry


class _Envelope(msgspec.Struct):
    payload: bytes  # base64


class _Requested(msgspec.Struct):
    suspects: tuple[str, ...]
    batch: int


class _Request(msgspec.Struct):
    predicate: _Requested


class _Deed(msgspec.Struct):
    action: str
    batch: int = -1


class _Line(msgspec.Struct):
    time: str
    body: _Deed


class _LineOfLedger(msgspec.Struct):
    predicate: _Line


_Told = TypeVar("_Told", _Request, _LineOfLedger)
_UNREADABLE = (FiliationError, msgspec.MsgspecError, ValueError, RecursionError)
"""What a file among marks may be instead of what it should; the examiner that reads the marks says so."""


def _told_in(data: bytes, kind: type[_Told]) -> _Told:
    return msgspec.json.decode(msgspec.json.decode(data, type=_Envelope).payload, type=kind)


def _file(case: CaseRead, manifest: Manifest, name: str) -> bytes:
    return case.data(next((file.sha256 for file in manifest.files if file.name == name), None) or "")


def _suspects_requested(case: CaseRead, manifest: Manifest) -> tuple[str, ...] | None:
    """The models that the request of a batch names; None where there is no such file in the case, or none that can be read."""
    try:
        return _told_in(_file(case, manifest, "request.json"), _Request).predicate.suspects
    except _UNREADABLE:
        return None


def _opened_at(case: CaseRead, manifest: Manifest) -> datetime | None:
    """When a batch was opened, as its owner's ledger says; None where that cannot be read. Lots tell no such time."""
    try:
        batch = _told_in(_file(case, manifest, "request.json"), _Request).predicate.batch
        lines = _file(case, manifest, "ledger.jsonl").splitlines()
        deeds = [_told_in(line, _LineOfLedger).predicate for line in lines]
        return next((_moment(each.time) for each in deeds if each.body == _Deed("open", batch)), None)
    except _UNREADABLE:
        return None


def _moment(told: str) -> datetime:
    return datetime.fromisoformat(told).astimezone(UTC)


# --------------------------------------------------------------------------------------------------- stamps, bindings


def _of_missing_stamps(case: CaseRead) -> Iterator[str]:
    """Some checkpoints are stamped, but not those that the order of plan, looks and reveal rests on."""
    stamped = [c.number for c in case.signed if any(stamp.time for stamp in c.stamps)]
    if not stamped:
        return  # told once for all checkpoints
    seal = look = result = 0
    for entry in case.entries:
        body, number = entry.body, entry.sequence
        if isinstance(body, Sealed):
            seal, look = number, 0
        elif isinstance(body, Observed | Examined) and not body.exploratory:
            if not look and not any(seal <= each < number for each in stamped):
                yield f"no time-stamp stands between the seal of entry {seal} and entry {number}, the first look under it"
            look, result = look or number, number if isinstance(body, Examined) else result
        elif isinstance(body, Revealed) and not any(result <= each < number for each in stamped):
            yield f"no time-stamp stands between the last result (entry {result}) and the reveal (entry {number})"


def _of_gaps(case: CaseRead, judged: Sequence[Judged]) -> Iterator[str]:
    """What could not be looked at or related is taken at the writer's word, and may have been unwelcome."""
    planned = [e.body for e in case.entries if isinstance(e.body, Observed) and not e.body.exploratory]
    seeing = {body.examiner for body in planned if body.observation}
    blind = [f"{body.examiner} of {body.exhibit}" for body in planned if body.absent and body.examiner in seeing]
    if blind:
        yield f"nothing was recorded, for a reason that only the writer knows, by {_some(blind)}"
    records = [one.record for one in judged if one.record is not None and not one.body.exploratory]
    controls = {identity.name for record in records for identity in record.controls}
    ranked = {examiner for record in records for examiner, name in record.related if name in controls}
    gaps = dict.fromkeys(
        f"{seen.examiner} of {record.reference.name} or {record.suspect.name} with {seen.exhibit}"
        for record in records
        for seen in record.observations
        if (seen.examiner, seen.exhibit) not in record.related
        and (seen.exhibit == record.suspect.name or (seen.exhibit in controls and seen.examiner in ranked))
        and any((each.examiner, each.exhibit) == (seen.examiner, record.reference.name) for each in record.observations)
    )
    if gaps:
        yield f"nothing was related although both had been observed, by {_some(gaps)}"


def _of_unbound_exhibits(case: CaseRead, judged: Sequence[Judged]) -> Iterator[str]:
    unbound = {
        identity.name: None
        for one in judged
        if one.record is not None
        for identity in (one.record.reference, one.record.suspect, *one.record.controls)
        if not identity.content_id and not any(file.sha256 and file.basis == "read" for file in identity.files)
    }
    if unbound:
        yield f"no digest binds what was examined to what was admitted: {_some(unbound)}"


def _of_reports(case: CaseRead) -> Iterator[str]:
    """A report that was made before results came is no report of them."""
    places = {line.digest: line.number for line in case.lines}
    results = [entry.sequence for entry in case.entries if isinstance(entry.body, Examined)]
    for entry in case.entries:
        if isinstance(entry.body, Reported) and not entry.body.draft:
            later = [number for number in results if number > places.get(entry.body.head, 0)]
            if later:
                yield f"the report of entry {entry.sequence} does not tell of {len(later)} examinations that came later"


# --------------------------------------------------------------------------------------------------------------- words


def _numbers(entries: Sequence[Entry]) -> str:
    return _some(str(entry.sequence) for entry in entries)


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - MOST_TOLD} more" if len(every) > MOST_TOLD else ""
    return ", ".join(every[:MOST_TOLD]) + more
