"""Checks of what findings rest on: custody (8), observations (9), findings (10)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from filiation.case.amendments import draw_in_force
from filiation.case.checks_plan import manifests_of
from filiation.case.judged import Judged, Record
from filiation.case.reading import CaseRead, object_name
from filiation.case.records import Admitted, Asked, Drawn, Entry, Examined, Manifest, Observed, Plan, Revealed
from filiation.case.tally import Tally
from filiation.errors import RecordError
from filiation.evidence import Identity, Observation

_PLAIN = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*")
"""A file's name that leads nowhere else, hidden names left out."""

# ------------------------------------------------------------------------------------------------------------- 8 custody


def custody(case: CaseRead, judged: Sequence[Judged], tally: Tally) -> None:
    _admissions(case, tally)
    for _, entry, before in case.with_steps():
        where = f"entry {entry.sequence}"
        if isinstance(entry.body, Observed | Examined):
            _known(case, before, entry.body, where, tally)
            _blind(case, before, entry.body, where, tally)
        if isinstance(entry.body, Asked):
            what = f"{entry.body.exhibit} had not been admitted"
            tally.hold(_is_admitted(before, entry.body.exhibit), where, what, "nobody can say who was asked")
            _asked_there(case, before, entry.body, where, tally)
        if isinstance(entry.body, Drawn):
            _line_up_admitted(case, before, entry.body, where, tally)
        if isinstance(entry.body, Revealed):
            _revealed_last(case, entry, before, tally)
    for one in judged:
        if one.record is not None:
            _identities(case, one, one.record, tally)
    for plan in case.plans.values():
        _plan_admitted(case, plan, tally)


def _admissions(case: CaseRead, tally: Tally) -> None:
    admitted: set[str] = set()
    for entry in case.entries:
        body, where = entry.body, f"entry {entry.sequence}"
        if not isinstance(body, Admitted):
            continue
        what = f"admits {body.exhibit} a second time"
        tally.hold(body.exhibit not in admitted, where, what, "nobody can say which of the two was examined")
        admitted.add(body.exhibit)
        manifest = case.manifests.get(body.manifest)
        if manifest is None:
            tally.note(f"the manifest of {where} was not compared, because it cannot be read")
            continue
        what = f"admits {body.exhibit} as {body.role}; its manifest says {manifest.exhibit} as {manifest.role}"
        agree = (manifest.exhibit, manifest.role) == (body.exhibit, body.role)
        tally.hold(agree, where, what, "the manifest is that of another exhibit")
        _stored_files(case, manifest, where, tally)


def _stored_files(case: CaseRead, manifest: Manifest, where: str, tally: Tally) -> None:
    if not manifest.inside:
        return
    names = [file.name for file in manifest.files]
    what = f"the files of {manifest.exhibit} are not called by plain names of their own"
    meaning = "whoever unpacks them could be made to write somewhere else"
    tally.hold(all(map(_PLAIN.fullmatch, names)) and len(set(names)) == len(names), where, what, meaning)
    what = f"{manifest.exhibit} is said to lie at {manifest.location[:200]!r}, which is not in the case"
    tally.hold(_is_inside(manifest, names), where, what, "whoever opens it could be made to read something else")
    for file in manifest.files:
        if not tally.hold(
            file.sha256 is not None, where, f"file {file.name!r} has no digest", "it lies in the case unnamed"
        ):
            continue
        stored = case.folder.files.get(object_name(file.sha256 or ""))
        what = f"file {file.name!r} has {file.size} bytes by the manifest, {stored[1] if stored else 0} in the case"
        tally.hold(
            stored is None or stored[1] == file.size, where, what, "the manifest does not describe what was admitted"
        )


def _is_inside(manifest: Manifest, names: Sequence[str]) -> bool:
    """Whether it is said to lie in the exhibit's folder, in one of its files, or as a model in one of its transcripts."""
    location = manifest.location
    if manifest.kind == "marks":
        return location == "marks:."
    if location == ".":
        return True
    return any(location == f"./{name}" or location.startswith(f"transcripts:./{name}#") for name in names)


def _known(case: CaseRead, before: Sequence[Entry], body: Observed | Examined, where: str, tally: Tally) -> None:
    name = _name(body)
    codes = {code for entry in before if isinstance(entry.body, Drawn) for code in entry.body.code_names}
    known = name in codes or bool(manifests_of(case, before, name)) or _is_admitted(before, name)
    tally.hold(known, where, f"{name} had not been admitted", "nobody can say what was looked at")


def _asked_there(case: CaseRead, before: Sequence[Entry], body: Asked, where: str, tally: Tally) -> None:
    """An endpoint was asked where it was admitted to be."""
    for manifest in manifests_of(case, before, body.exhibit):
        if manifest.kind == "endpoint" and manifest.exhibit == body.exhibit:
            what = f"asks {body.exhibit} at {body.endpoint[:200]}, and its manifest says {manifest.location[:200]}"
            tally.hold(body.endpoint == manifest.location, where, what, "somebody else answered")


def _is_admitted(before: Sequence[Entry], name: str) -> bool:
    return any(isinstance(entry.body, Admitted) and entry.body.exhibit == name for entry in before)


def _name(body: Observed | Examined) -> str:
    return body.exhibit if isinstance(body, Observed) else body.subject


def _blind(case: CaseRead, before: Sequence[Entry], body: Observed | Examined, where: str, tally: Tally) -> None:
    """Planned looks at the suspect and the foils go by code name, and end with the reveal."""
    plan = case.plans.get(body.plan)
    if body.exploratory or plan is None:
        return
    drawn, name = draw_in_force(before, case.plans), _name(body)
    in_line_up = {plan.suspect, *(drawn.foils if drawn else ())}
    meaning = "whoever looked knew whom they looked at"
    own_name = name.partition("/")[0] in in_line_up
    tally.hold(not own_name, where, f"{name} was looked at under its own name", meaning)
    if isinstance(body, Examined):
        known = drawn is not None and name in drawn.code_names
        tally.hold(known, where, f"{name} is no code name of the draw in force", meaning)
    if drawn is not None and name in drawn.code_names:
        revealed = any(isinstance(entry.body, Revealed) for entry in _since(before, drawn))
        tally.hold(not revealed, where, f"{name} was looked at after the code names had been revealed", meaning)


def _since(entries: Sequence[Entry], drawn: Drawn) -> Sequence[Entry]:
    place = max(place for place, entry in enumerate(entries) if entry.body == drawn)
    return entries[place:]


def _line_up_admitted(case: CaseRead, before: Sequence[Entry], body: Drawn, where: str, tally: Tally) -> None:
    plan = case.plans.get(body.plan)
    if plan is not None:
        suspect = _is_admitted(before, plan.suspect)
        tally.hold(suspect, where, f"{plan.suspect} had not been admitted", "nobody can say who stood in the line-up")


def _revealed_last(case: CaseRead, entry: Entry, before: Sequence[Entry], tally: Tally) -> None:
    """After a planned examination of everybody in the line-up, and after a checkpoint signed the last of them."""
    where, drawn = f"entry {entry.sequence}", draw_in_force(before, case.plans)
    meaning = "who is who was known before the results were sealed"
    if (
        not tally.hold(drawn is not None, where, "reveals code names that no draw in force gave", meaning)
        or drawn is None
    ):
        return
    examined = {
        earlier.body.subject: earlier.sequence
        for earlier in _since(before, drawn)
        if isinstance(earlier.body, Examined) and not earlier.body.exploratory
    }
    for code in drawn.code_names:
        tally.hold(code in examined, where, f"{code} had not been examined", meaning)
    last = max((examined[code] for code in drawn.code_names if code in examined), default=0)
    sealed = case.signed_between(last, entry.sequence)
    tally.hold(sealed, where, f"no checkpoint signs entry {last}, the last result, before the reveal", meaning)
    again = any(isinstance(earlier.body, Revealed) for earlier in _since(before, drawn))
    tally.hold(not again, where, "reveals the same draw a second time", meaning)


def _plan_admitted(case: CaseRead, plan: Plan, tally: Tally) -> None:
    """In a closed case everybody whom a plan names has been admitted; the pool needs only those who were drawn."""
    drawn = draw_in_force(case.entries, case.plans)
    foils = drawn.foils if drawn and case.plans.get(drawn.plan) == plan else ()
    for name in (plan.reference, plan.suspect, *(control.exhibit for control in plan.controls), *foils):
        if case.says_closed:
            meaning = "nobody can say what the plan was carried out on"
            tally.hold(_is_admitted(case.entries, name), name, "the plan names it, and it was never admitted", meaning)


def _identities(case: CaseRead, one: Judged, record: Record, tally: Tally) -> None:
    """The exhibits of a record are the ones that were admitted, byte for byte as far as bytes were hashed."""
    what = f"the record is of {record.suspect.name}"
    tally.hold(record.suspect.name == one.body.subject, one.where, what, "the record belongs to another entry")
    plan = None if one.body.exploratory else case.plans.get(one.body.plan)
    if plan is not None:
        what = f"the reference is {record.reference.name}, and the plan names {plan.reference}"
        tally.hold(
            record.reference.name == plan.reference, one.where, what, "another model was accused of being copied"
        )
    before = case.entries[: one.place]
    answered = [entry.body for entry in before if isinstance(entry.body, Asked)]
    for identity in (record.reference, record.suspect, *record.controls):
        manifests = list(_manifests_behind(case, before, identity.name))
        if not tally.hold(
            bool(manifests), one.where, f"{identity.name} had not been admitted", "nobody knows what it is"
        ):
            continue
        _lineage(case.plans.get(one.body.plan), identity, manifests, one, tally)
        admitted = {file.sha256 for manifest in manifests for file in manifest.files if file.sha256}
        # An endpoint is admitted before it is asked; its answers are frozen by the ledger.
        endpoints = {manifest.exhibit for manifest in manifests if manifest.kind == "endpoint"}
        admitted |= {asked.transcript for asked in answered if asked.exhibit in endpoints}
        _same_bytes(identity, manifests, admitted, one.where, tally)


def _lineage(plan: Plan | None, identity: Identity, manifests: Sequence[Manifest], one: Judged, tally: Tally) -> None:
    """A control's lineage decides whom it is counted with; under a code name lineages are hidden."""
    if identity.name == one.body.subject:
        return
    planned = (*plan.controls, *plan.line_up.pool) if plan else ()
    declared = {known.lineage for known in planned if known.exhibit == identity.name}
    declared = (declared | {manifest.lineage for manifest in manifests}) - {""}
    what = f"{identity.name} is of the lineage {identity.lineage_id or '(none)'}, declared was {', '.join(sorted(declared))}"
    meaning = "whose relative it is was changed when it was examined"
    tally.hold(not declared or identity.lineage_id in declared, one.where, what, meaning)


def _manifests_behind(case: CaseRead, before: Sequence[Entry], name: str) -> Iterator[Manifest]:
    """Of an exhibit; behind a code name that of whoever it was revealed to be, else of anybody in the line-up."""
    drawn = next((e.body for e in reversed(before) if isinstance(e.body, Drawn) and name in e.body.code_names), None)
    if drawn is None:
        yield from manifests_of(case, before, name)
        return
    revealed = [e.body.exhibits for e in case.entries if isinstance(e.body, Revealed) and name in e.body.exhibits]
    plan = case.plans.get(drawn.plan)
    names = [revealed[-1][name]] if revealed else [*((plan.suspect,) if plan else ()), *drawn.foils]
    for behind in names:
        yield from manifests_of(case, before, behind)


def _same_bytes(
    identity: Identity, manifests: Sequence[Manifest], admitted: Collection[str], where: str, tally: Tally
) -> None:
    meaning = "another model was examined than the one that was admitted"
    for file in identity.files:
        if file.sha256 and file.basis == "read":
            what = f"{file.name!r} of {identity.name} has the SHA-256 {file.sha256}, which its manifest does not name"
            tally.hold(file.sha256 in admitted, where, what, meaning)
    contents = {manifest.content_id for manifest in manifests if manifest.content_id}
    if identity.content_id and contents:
        what = f"{identity.name} has the content {identity.content_id}, admitted was {', '.join(sorted(contents))}"
        tally.hold(identity.content_id in contents, where, what, meaning)


# -------------------------------------------------------------------------------------------------------- 9 observations


def observations(case: CaseRead, judged: Sequence[Judged], tally: Tally) -> None:
    for entry in case.entries:
        if isinstance(entry.body, Observed) and entry.body.observation:
            _recorded(case, entry.body, f"entry {entry.sequence}", tally)
    _looked_once(case, tally)
    for one in judged:
        if one.record is None:
            tally.note(f"{one.where} was not checked, because its record cannot be read")
        else:
            _rests_on(case, one, one.record, tally)


def _looked_once(case: CaseRead, tally: Tally) -> None:
    """What was asked or observed as planned is never asked or observed again: nobody may choose among several looks."""
    done: set[tuple[str, ...]] = set()
    for entry in case.entries:
        body = entry.body
        if isinstance(body, Observed) and not body.exploratory:
            key: tuple[str, ...] = (body.exhibit, body.examiner, body.examiner_version)
            what = f"{body.exhibit} is observed by {body.examiner} a second time"
        elif isinstance(body, Asked):
            key, what = (body.exhibit,), f"{body.exhibit} is asked a second time"
        else:
            continue
        tally.hold(key not in done, f"entry {entry.sequence}", what, "a look was repeated until it suited")
        done.add(key)


def _recorded(case: CaseRead, body: Observed, where: str, tally: Tally) -> None:
    meaning = "nobody can say what was seen"
    try:
        seen = case.record(body.observation, Observation)
    except RecordError as error:
        tally.hold(False, where, f"the observation of {body.exhibit} by {body.examiner} {error.message}", meaning)
        return
    said = (body.exhibit, body.examiner, body.examiner_version)
    found = (seen.exhibit, seen.examiner, seen.examiner_version)
    tally.hold(said == found, where, f"says {', '.join(said)}; the observation is of {', '.join(found)}", meaning)


def _rests_on(case: CaseRead, one: Judged, record: Record, tally: Tally) -> None:
    """Every observation of a record was entered before; those of a planned record were themselves planned."""
    earlier = [entry.body for entry in case.entries[: one.place] if isinstance(entry.body, Observed)]
    entered = {(body.observation, body.exhibit, body.examiner, body.examiner_version) for body in earlier}
    planned = {body.observation for body in earlier if not body.exploratory}
    for seen in record.observations:
        what = (
            f"rests on an observation of {seen.exhibit} by {seen.examiner} ({seen.digest}) that was not entered before"
        )
        key = (seen.digest, seen.exhibit, seen.examiner, seen.version)
        tally.hold(key in entered, one.where, what, "something was looked at that the ledger does not know")
        if not one.body.exploratory and key in entered:
            what = f"is planned, and rests on an exploratory observation of {seen.exhibit} by {seen.examiner}"
            tally.hold(seen.digest in planned, one.where, what, "it was looked at outside the plan first")
    exhibits = {(seen.examiner, seen.exhibit) for seen in record.observations}
    for examiner, exhibit in sorted(record.related - exhibits):
        what = f"{examiner} relates {exhibit}, which the record holds no observation of"
        tally.hold(False, one.where, what, "a relation was recorded of something that nobody observed")
    for what in record.misplaced:
        tally.hold(False, one.where, what, "other models were judged than those that the record names")
    twice = len(exhibits) != len(record.observations)
    tally.hold(
        not twice, one.where, "one exhibit is observed twice by one examiner", "it is unclear which one was judged"
    )


# ----------------------------------------------------------------------------------------------------------- 10 findings


def findings(judged: Sequence[Judged], tally: Tally) -> None:
    for one in judged:
        if one.record is None:
            tally.hold(False, one.where, one.fault, "its findings cannot be repeated and count for nothing")
            continue
        what = f"the outcomes of the record have the digest {one.record.outcomes_digest}, not {one.body.outcomes}"
        tally.hold(
            one.record.outcomes_digest == one.body.outcomes, one.where, what, "the entry tells of other findings"
        )
        meaning = "the findings do not follow from what was recorded"
        tally.hold(not one.record.differs, one.where, one.record.differs, meaning)
