"""Checks of what was fixed before anybody looked: plan before observation (6), draw (7), completeness (11)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from filiation.case.amendments import changed_fields, draw_in_force, plan_in_force, suspect_was_observed
from filiation.case.beacons import Pulse, read_beacon
from filiation.case.checks_ledger import CLOCK_TOLERANCE
from filiation.case.drawing import claimants_seed, code_names, commitment, draw_foils, examination_seed
from filiation.case.drawing import seed as drawn_seed
from filiation.case.judged import Judged
from filiation.case.reading import CaseRead, moment
from filiation.case.records import (
    Admitted,
    Asked,
    Closed,
    Drawn,
    Entry,
    Examined,
    Manifest,
    Observed,
    Plan,
    Revealed,
    Sealed,
    Setting,
)
from filiation.case.tally import Tally
from filiation.errors import FiliationError, MissingExtra

# --------------------------------------------------------------------------------------------- 6 plan before observation


def plan_before_observation(case: CaseRead, tally: Tally) -> None:
    seals: dict[str, int] = {}
    for place, entry, before in case.with_steps():
        body, where = entry.body, f"entry {entry.sequence}"
        if isinstance(body, Sealed):
            _seal(case, case.entries[:place], body, where, tally)
            seals[body.plan] = entry.sequence  # whoever puts an earlier plan in force again seals it again
        if isinstance(body, Observed | Examined):
            _planned(case, before, entry, seals, tally)
        if isinstance(body, Asked):
            _asked(case, before, entry, seals, tally)


def _seal(case: CaseRead, before: Sequence[Entry], body: Sealed, where: str, tally: Tally) -> None:
    in_force = plan_in_force(before)
    what = f"replaces {body.replaces or 'no plan'}, and the plan in force was {in_force or 'none'}"
    meaning = "an earlier plan was put in again, or an amendment was taken out"
    tally.hold(body.replaces == in_force and body.plan != in_force, where, what, meaning)
    plan, replaced = case.plans.get(body.plan), case.plans.get(body.replaces)
    if plan is None:
        tally.note(f"the plan of {where} was not checked, because it cannot be read")
        return
    if case.header:
        what = f"the plan is of the case {plan.case}"
        tally.hold(plan.case == case.header.case, where, what, "a plan of another case was put in")
    if body.replaces:
        tally.hold(bool(body.reason.strip()), where, "the amendment gives no reason", "an amendment has to say why")
    changes = changed_fields(replaced, plan) if replaced else ()
    what = f"says that the amendment changes {_listed(body.changes)}; it changes {_listed(changes)}"
    tally.hold(body.changes == changes, where, what, "the amendment hides what it changed")
    suspects = {known.suspect for digest, known in case.plans.items() if digest in {body.plan, *_sealed(before)}}
    observed = suspect_was_observed(before, suspects)
    what = f"says suspect_was_observed={_bool(body.suspect_was_observed)}; by the ledger it is {_bool(observed)}"
    meaning = "whoever reads the plan is told wrongly what was known when it was sealed"
    tally.hold(body.suspect_was_observed == observed, where, what, meaning)


def _sealed(entries: Sequence[Entry]) -> list[str]:
    return [entry.body.plan for entry in entries if isinstance(entry.body, Sealed)]


def _planned(case: CaseRead, before: Sequence[Entry], entry: Entry, seals: dict[str, int], tally: Tally) -> None:
    body, where = entry.body, f"entry {entry.sequence}"
    assert isinstance(body, Observed | Examined)
    if body.exploratory:
        return
    what = f"is called planned, and its plan {body.plan or '(none)'} was not sealed before"
    if not tally.hold(body.plan in seals, where, what, "it was looked at before the plan was made: it is exploratory"):
        return
    in_force = plan_in_force(before)
    what = f"is under the plan {body.plan}, and the plan in force was {in_force}"
    tally.hold(body.plan == in_force, where, what, "a plan that had been replaced was used again")
    what = f"no checkpoint signs the plan of entry {seals[body.plan]} before this entry"
    meaning = "nobody vouches that the plan was there before anybody looked"
    tally.hold(case.signed_between(seals[body.plan], entry.sequence), where, what, meaning)
    plan = case.plans.get(body.plan)
    if isinstance(body, Observed) and plan is not None:
        _in_plan(case, before, body, plan, where, tally)


def _in_plan(case: CaseRead, before: Sequence[Entry], body: Observed, plan: Plan, where: str, tally: Tally) -> None:
    """A planned look is by one of the plan's examiners, at somebody who takes part."""
    meaning = "something was looked at that was not planned: it is exploratory"
    what = f"is called planned, and its plan names no examiner {body.examiner}"
    tally.hold(body.examiner in plan.examiners, where, what, meaning)
    drawn = draw_in_force(before, case.plans)
    taking_part = {
        plan.reference,
        *(control.exhibit for control in plan.controls),
        *(drawn.code_names if drawn else ()),
    }
    what = f"is called planned, and {body.exhibit} is neither reference nor control nor a code name of the draw"
    tally.hold(body.exhibit in taking_part, where, what, meaning)


def _asked(case: CaseRead, before: Sequence[Entry], entry: Entry, seals: dict[str, int], tally: Tally) -> None:
    in_force = plan_in_force(before)
    signed = in_force in seals and case.signed_between(seals[in_force], entry.sequence)
    what = "an endpoint was asked before a plan was sealed and signed"
    tally.hold(signed, f"entry {entry.sequence}", what, "its answers may have been seen before the plan was made")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"


def _bool(value: bool) -> str:
    return str(value).lower()


# ---------------------------------------------------------------------------------------------------------------- 7 draw


def draw(case: CaseRead, judged: Sequence[Judged], tally: Tally) -> None:
    drawn_under: set[str] = set()
    for _, entry, before in case.with_steps():
        where = f"entry {entry.sequence}"
        if isinstance(entry.body, Drawn):
            what = "draws anew under a plan that was drawn from before"
            tally.hold(entry.body.plan not in drawn_under, where, what, "a draw was repeated until it suited")
            drawn_under.add(entry.body.plan)
            what = "draws anew although the draw before is in force"
            in_force = draw_in_force(before, case.plans)
            tally.hold(in_force is None, where, what, "a draw was repeated until it suited")
            _drawn(case, before, entry, entry.body, tally)
        if isinstance(entry.body, Revealed):
            _opened_secret(case, before, entry.body, where, tally)
    for one in judged:
        _seed_used(case, one, tally)


def _drawn(case: CaseRead, before: Sequence[Entry], entry: Entry, body: Drawn, tally: Tally) -> None:
    where, plan = f"entry {entry.sequence}", case.plans.get(body.plan)
    what = f"draws under the plan {body.plan}, which is not in force"
    if not tally.hold(body.plan == plan_in_force(before), where, what, "the draw belongs to no plan that held"):
        return
    if plan is None:
        tally.note(f"the draw of {where} was not repeated, because the plan cannot be read")
        return
    what = f"rests on {body.basis}, and the plan announced {plan.announcement.basis}"
    meaning = "the seed was not found as the plan says"
    if not tally.hold(body.basis == plan.announcement.basis, where, what, meaning):
        return
    seed = _seed(case, entry, body, plan, tally)
    if seed is None:
        return
    tally.hold(body.seed == seed, where, f"the seed is {body.seed}; repeated, it is {seed}", meaning)
    _foils(case, before, body, plan, seed, where, tally)
    what = f"{len(body.code_names)} code names for {len(body.foils) + 1} models of the line-up"
    fits = len(set(body.code_names)) == len(body.code_names) == len(body.foils) + 1
    tally.hold(fits, where, what, "somebody stands in the line-up without a code name, or a code name without anybody")
    taken = {earlier.body.exhibit for earlier in case.entries if isinstance(earlier.body, Admitted)} & set(
        body.code_names
    )
    what = f"{_listed(sorted(taken))} is a code name and the name of an exhibit"
    tally.hold(not taken, where, what, "nobody can say which of the two was looked at")


def _seed(case: CaseRead, entry: Entry, body: Drawn, plan: Plan, tally: Tally) -> str | None:
    where = f"entry {entry.sequence}"
    try:
        if body.basis == "claimant":
            return claimants_seed(plan.announcement)
        certificate = case.data(plan.announcement.certificate) if plan.announcement.certificate else b""
        pulse = read_beacon(case.data(body.beacon), plan.announcement, certificate)
        tally.note(f"the seed of {where} rests on {pulse.described}")
        _pulse_in_time(case, entry, pulse, tally)
        return drawn_seed(body.plan, pulse.randomness)
    except MissingExtra:
        raise
    except FiliationError as error:
        tally.hold(
            False, where, f"the seed cannot be repeated: {error.message}", "nobody can say how the foils were found"
        )
        return None


def _pulse_in_time(case: CaseRead, entry: Entry, pulse: Pulse, tally: Tally) -> None:
    """Later than the plan's time-stamp, so that nobody knew it when the plan was sealed; not later than the draw."""
    where = f"entry {entry.sequence}"
    stamped = plan_stamped(case, entry)
    if stamped:
        what = f"the beacon is of {pulse.time:%Y-%m-%dT%H:%M:%SZ}, and the plan was stamped at {stamped:%Y-%m-%dT%H:%M:%SZ}"
        meaning = "the beacon was known when the plan was sealed: the draw could be chosen"
        tally.hold(pulse.time > stamped, where, what, meaning)
    time = moment(entry.time)
    what = f"the beacon is of {pulse.time:%Y-%m-%dT%H:%M:%SZ}, after the draw of {entry.time}"
    in_time = time is None or pulse.time <= time + CLOCK_TOLERANCE
    tally.hold(in_time, where, what, "the draw is dated before its beacon was public")


def plan_stamped(case: CaseRead, draw: Entry) -> datetime | None:
    """When authorities vouched for the seal that was in force at a draw, before that draw; None where none did.

    The seal is the last one: a plan that was replaced and put in again may have been sealed first when the beacon was still
    to come. Where several authorities stamped it the latest time counts, because one of them may be the writer's own.
    """
    assert isinstance(draw.body, Drawn)
    sealed = [
        e.sequence
        for e in case.entries[: draw.sequence - 1]
        if isinstance(e.body, Sealed) and e.body.plan == draw.body.plan
    ]
    for checkpoint in case.signed:
        times = [stamp.time for stamp in checkpoint.stamps if stamp.time]
        if sealed and times and sealed[-1] <= checkpoint.number < draw.sequence:
            return max(times)
    return None


def _foils(
    case: CaseRead, before: Sequence[Entry], body: Drawn, plan: Plan, seed: str, where: str, tally: Tally
) -> None:
    suspect = manifests_of(case, before, plan.suspect)
    if not tally.hold(bool(suspect), where, f"{plan.suspect} had not been admitted", "foils were matched on nothing"):
        return
    lineages = {manifest.lineage for manifest in (*suspect, *manifests_of(case, before, plan.reference))} - {""}
    try:
        foils = draw_foils(plan.line_up, attributes_of(suspect), seed, lineages)
    except FiliationError as error:
        tally.hold(
            False, where, f"the foils cannot be drawn again: {error.message}", "the line-up is not that of the plan"
        )
        return
    what = f"the foils are {_listed(body.foils)}; drawn again, they are {_listed(foils)}"
    tally.hold(body.foils == foils, where, what, "somebody chose who stands in the line-up")


def manifests_of(case: CaseRead, before: Sequence[Entry], exhibit: str) -> list[Manifest]:
    """The manifests of an exhibit and of its parts ('NAME/PART'), the exhibit's own first, as they had been admitted."""
    admitted = [entry.body for entry in before if isinstance(entry.body, Admitted)]
    own = [body.manifest for body in admitted if body.exhibit == exhibit]
    parts = [body.manifest for body in admitted if body.exhibit.startswith(f"{exhibit}/")]
    return [case.manifests[digest] for digest in (*own, *parts) if digest in case.manifests]


def attributes_of(manifests: Sequence[Manifest]) -> dict[str, Setting]:
    """What foils are matched on; the exhibit's own manifest counts before those of its parts."""
    attributes: dict[str, Setting] = {}
    for manifest in manifests:
        attributes = {**manifest.attributes, **attributes}
    return attributes


def _opened_secret(case: CaseRead, before: Sequence[Entry], body: Revealed, where: str, tally: Tally) -> None:
    drawn = next((entry.body for entry in reversed(before) if isinstance(entry.body, Drawn)), None)
    meaning = "who stood behind the code names was not fixed before, or is not told truly"
    if not tally.hold(drawn is not None, where, "reveals code names that nobody drew", meaning) or drawn is None:
        return
    what = f"reveals under the plan {body.plan}, and was drawn under {drawn.plan}"
    tally.hold(body.plan == drawn.plan, where, what, meaning)
    plan = case.plans.get(drawn.plan)
    try:
        secret = bytes.fromhex(body.secret)
        committed = commitment(secret)
        named = code_names([plan.suspect, *drawn.foils], secret) if plan else {}
    except (FiliationError, ValueError) as error:
        tally.hold(False, where, f"the secret is none: {error}", meaning)
        return
    what = "the secret does not have the SHA-256 that was committed to"
    tally.hold(committed == drawn.commitment, where, what, meaning)
    if plan is None:
        tally.note(f"the code names of {where} were not repeated, because the plan cannot be read")
        return
    what = f"the secret names {named}, and the entry says {body.exhibits}"
    tally.hold(named == body.exhibits, where, what, meaning)
    what = f"the draw gave the code names {_listed(drawn.code_names)}, and the secret gives {_listed(sorted(named))}"
    tally.hold(sorted(named) == sorted(drawn.code_names), where, what, meaning)


def _seed_used(case: CaseRead, one: Judged, tally: Tally) -> None:
    drawn = draw_in_force(case.entries[: one.place], case.plans)
    if one.body.exploratory or one.record is None or drawn is None:
        return
    try:
        seed = examination_seed(drawn.seed)
    except FiliationError:
        return  # the seed was compared above
    what = f"was examined under the seed {one.record.seed}; the draw gives {seed}"
    tally.hold(one.record.seed == seed, one.where, what, "a seed was chosen that was not drawn")


# -------------------------------------------------------------------------------------------------------- 11 completeness


def completeness(case: CaseRead, judged: Sequence[Judged], tally: Tally) -> None:
    for one in judged:
        if not one.body.exploratory and one.record is not None:
            _record_complete(case, one, tally)
    for entry in case.entries:
        if isinstance(entry.body, Observed):
            _said_or_absent(entry.body, f"entry {entry.sequence}", tally)
    _examined_once(case, tally)
    missing = list(_still_to_do(case))
    closed = any(isinstance(entry.body, Closed) for entry in case.entries)
    if closed:
        for what in missing:
            meaning = "the plan was not carried out, or what was done has been taken away"
            tally.hold(False, "the whole case", what, meaning)
    elif missing:
        tally.note(f"still to do: {'; '.join(missing)}")
    if not case.plans:
        tally.note("no plan was sealed: everything is exploratory")


def _examined_once(case: CaseRead, tally: Tally) -> None:
    done: set[tuple[str, str]] = set()
    for entry in case.entries:
        if isinstance(entry.body, Examined) and not entry.body.exploratory:
            key = (entry.body.subject, entry.body.plan)
            what = f"examines {entry.body.subject} a second time under the same plan"
            tally.hold(key not in done, f"entry {entry.sequence}", what, "an examination was repeated until it suited")
            done.add(key)


def _said_or_absent(body: Observed, where: str, tally: Tally) -> None:
    what = f"{body.exhibit} by {body.examiner}: neither an observation nor a reason why there is none, or both"
    tally.hold(
        bool(body.observation) != bool(body.absent.strip()), where, what, "nobody can say whether it was looked at"
    )


def _record_complete(case: CaseRead, one: Judged, tally: Tally) -> None:
    plan, record = case.plans.get(one.body.plan), one.record
    assert record is not None
    if plan is None:
        tally.note(f"{one.where} was not compared with its plan, because the plan cannot be read")
        return
    spoken = {outcome.examiner for outcome in record.outcomes}
    meaning = "a test that was planned is kept from the reader"
    for examiner in plan.examiners:
        tally.hold(examiner in spoken, one.where, f"no outcome of {examiner}, which the plan names", meaning)
    for examiner in sorted(spoken - set(plan.examiners)):
        what = f"outcomes of {examiner}, which the plan does not name"
        tally.hold(False, one.where, what, "something was examined that was not planned: it is exploratory")
    unreasoned = sorted({outcome.test for outcome in record.outcomes if not outcome.reason.strip()})
    tally.hold(not unreasoned, one.where, f"no reason is given for {_listed(unreasoned)}", meaning)
    controls = {identity.name for identity in record.controls}
    left_out = [control.exhibit for control in plan.controls if control.exhibit not in controls]
    what = f"without the controls {_listed(left_out)}, which the plan names"
    tally.hold(not left_out, one.where, what, "controls were chosen after they had been seen")
    added = sorted(controls - {control.exhibit for control in plan.controls})
    what = f"with the controls {_listed(added)}, which the plan does not name"
    tally.hold(not added, one.where, what, "controls were chosen after they had been seen")
    for what, meaning in _left_out(case, plan, one):
        tally.hold(False, one.where, what, meaning)
    for name, wrong in _other_versions(plan, one):
        tally.hold(False, one.where, f"{name}: {wrong}", "another version judged than the one that the plan fixed")


def _left_out(case: CaseRead, plan: Plan, one: Judged) -> Iterator[tuple[str, str]]:
    """Everybody in the record was observed by every planned examiner or has an entry that says why not; what was seen is used."""
    assert one.record is not None
    earlier = [e.body for e in case.entries[: one.place] if isinstance(e.body, Observed) and not e.body.exploratory]
    entered = {(body.exhibit, body.examiner): body.observation for body in earlier}
    used = {(seen.exhibit, seen.examiner) for seen in one.record.observations}
    for identity in (one.record.reference, one.record.suspect, *one.record.controls):
        for examiner in plan.examiners:
            key = (identity.name, examiner)
            if key not in entered:
                yield (
                    f"no entry says what {examiner} saw in {identity.name}, or why nothing",
                    "a planned look is missing",
                )
            elif entered[key] and key not in used:
                meaning = "an observation that was made is kept from judging"
                yield f"what {examiner} saw in {identity.name} is left out of the record", meaning


def _other_versions(plan: Plan, one: Judged) -> Iterator[tuple[str, str]]:
    assert one.record is not None
    for outcome in one.record.outcomes:
        planned = plan.examiner_versions.get(outcome.examiner, "none")
        if planned != outcome.version:
            yield outcome.test, f"version {outcome.version}, planned {planned}"
        calibration = plan.calibration_digests.get(outcome.examiner, "none")
        if outcome.calibration and calibration != outcome.calibration:
            yield outcome.test, f"calibration {outcome.calibration}, planned {calibration}"


def _still_to_do(case: CaseRead) -> Iterator[str]:
    """What the plan in force wants and nobody has done."""
    plan = plan_in_force(case.entries)
    if not plan:
        return
    drawn = draw_in_force(case.entries, case.plans)
    if drawn is None:
        yield "foils and code names under the plan in force were not drawn"
        return
    for code in drawn.code_names:
        if not any(isinstance(entry.body, Examined) and _is_of(entry.body, code, plan) for entry in case.entries):
            yield f"{code} was not examined under the plan in force"
    if not any(isinstance(entry.body, Revealed) for entry in _since(case, drawn)):
        yield "who stood behind the code names was not revealed"


def _is_of(body: Examined, code: str, plan: str) -> bool:
    return body.subject == code and body.plan == plan and not body.exploratory


def _since(case: CaseRead, drawn: Drawn) -> list[Entry]:
    place = next(place for place, entry in enumerate(case.entries) if entry.body == drawn)
    return list(case.entries[place:])
