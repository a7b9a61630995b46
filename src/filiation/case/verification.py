"""The numbered checks of a case: what a hostile expert would try, in the order in which the format document tells it.

`verify` reads a folder, carries out every check of CHECKS and reports what does not hold: where, what, and what it means for the
evidence. It runs offline, changes nothing, and does not raise for a bad case. `judge` repeats findings from recorded relations;
it is given by the caller, so that nothing here examines a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filiation.case.amendments import plan_in_force
from filiation.case.checks_exhibits import custody, findings, observations
from filiation.case.checks_folder import Report, is_interrupted, layout, objects, reports, unnamed_objects
from filiation.case.checks_ledger import chain, signatures, time_stamps
from filiation.case.checks_plan import completeness, draw, plan_before_observation, plan_stamped
from filiation.case.judged import Judge, Judged, judged_again
from filiation.case.objects import Progress, silent
from filiation.case.reading import CaseRead, read_case
from filiation.case.records import Check, Drawn, Examined, Observed, Revealed, Sealed, Verification
from filiation.case.remarks import of_choices
from filiation.case.tally import Tally
from filiation.errors import MissingExtra

CHECKS: tuple[tuple[int, str, str], ...] = (
    (
        1,
        "Layout",
        "Every file has a name that the format knows, and is a plain file; nothing is a link, and nothing was left by an "
        "interrupted write. The header is the canonical form of a header of this version. Receipts and time-stamps belong to a "
        "checkpoint that is there. A closed case holds no recording that is still under way.",
    ),
    (
        2,
        "Chain",
        "Every line of the ledger is the canonical form of one entry and ends with a line feed. Sequence numbers count from 1; each "
        "entry names the digest of the line before, the first one that of the header. Times are UTC and never go backwards. The "
        "first entry, and no other, opens the case that the header names; nothing follows an entry that closes it.",
    ),
    (
        3,
        "Signatures",
        "There is a checkpoint. Every checkpoint and every receipt is signed by the key that the first entry names; where a fingerprint "
        "was given, that key has it. Each checkpoint signs the digest of the entry that its file name tells, is not dated before that "
        "entry nor after the next, says that the case is closed exactly if that entry closes it, and names the file of "
        "the checkpoint before it. The receipt is that of its checkpoint. A closed case ends with a signed entry. Checkpoints that "
        "were handed over earlier still stand in the case, byte "
        "for byte.",
    ),
    (
        4,
        "Time-stamps",
        "Every stamp that a checkpoint names is there, with the bytes that its receipt tells, and is a valid stamp over the bytes of "
        "the checkpoint's file by an authority that the first entry names; where authorities were given, one of them made at least one "
        "stamp of each stamped checkpoint. A stamp's time is within 300 seconds of the checkpoint's own, not more than 300 seconds "
        "before the entry that is signed nor after the entry that follows. Stamps of one authority are in the order of "
        "their checkpoints. There is no stamp that no checkpoint names, and no authority is named twice.",
    ),
    (
        5,
        "Objects",
        "Every object has the SHA-256 that names it. Every object that an entry, a plan or a manifest needs is there. Plans and manifests "
        "are canonical records. A closed case holds no object that nothing names.",
    ),
    (
        6,
        "Plan before observation",
        "Each plan is of this case. Each amendment replaces the plan that was in force, gives a reason, lists exactly the fields that it "
        "changes, and says truly whether the suspect had been observed by then. Whatever is not marked exploratory was "
        "observed or examined under the plan in force, after that plan was sealed last and after a checkpoint signed that seal; it was "
        "observed by an examiner of the plan, and is the reference, a control or a code name of the draw in force.",
    ),
    (
        7,
        "Draw",
        "There is one draw to a plan, made while it was in force and no draw before it was. The seed, computed again from the plan's "
        "digest and the announced beacon (or the claimant's own choice, where the plan announced it), is the recorded one; the beacon "
        "is later than the time-stamps of the plan's last seal and not later than the draw. The foils, drawn again from the plan's "
        "pool, are the recorded ones. The revealed secret has the digest that was committed to and gives the code names, which no "
        "exhibit bears. Planned examinations ran under the seed of the draw.",
    ),
    (
        8,
        "Custody",
        "Every exhibit was admitted once, before it was used, its manifest describes it, and an endpoint was asked where it says; what "
        "lies in the case has plain names that lead nowhere else. What was hashed of an exhibit when it was examined is what was "
        "admitted, and the lineages of reference and controls are those that were declared. Planned looks at the suspect and the foils, "
        "and at their parts, go by code name. Code names are revealed once, after a planned examination of everybody in the line-up and "
        "after a checkpoint signed the last of them; nothing planned follows.",
    ),
    (
        9,
        "Observations",
        "Every recorded observation is what its entry says. Nobody is asked twice, or observed twice as planned by one "
        "examiner. Each examination rests on observations that were entered before it, a planned one on "
        "planned ones. Recorded relations speak of observed exhibits only, and each of those that its place in the record tells.",
    ),
    (
        10,
        "Findings",
        "Each examination's record is a whole canonical record, and its outcomes have the recorded digest. Judged again from the recorded "
        "relations, with the plan's weights, outcomes and conclusions have identical bytes.",
    ),
    (
        11,
        "Completeness",
        "Each planned record holds an outcome with a reason of every examiner that the plan names and of no other, in the versions and "
        "with the calibrations and controls of the plan and no others. Nobody is examined twice as planned under one plan. Every "
        "observation that could not be made gives its reason. In a closed case everybody in the line-up was examined under the plan in "
        "force, and the code names are revealed.",
    ),
    (
        12,
        "Reports",
        "Every report has the recorded digest, and there is no other. It tells of a head that the ledger had before. A report that is no "
        "draft leaves no required declaration blank. Where it can be rendered again, it has the same bytes.",
    ),
)
"""Number, title and prose of each check; docs/case-file-format.md prints the same."""


def verify(
    path: Path | str,
    *,
    judge: Judge,
    keyid: str = "",
    authorities: Sequence[bytes] = (),
    handed_over: Sequence[bytes] = (),
    report: Report | None = None,
    progress: Progress = silent,
) -> Verification:
    """Carry out every check on the case in the folder `path`.

    `keyid`: the fingerprint that the verifier was told; `authorities`: root certificates (PEM) that the verifier trusts;
    `handed_over`: files of checkpoints that somebody kept; `report` renders reports again. Raises RecordError where the
    folder holds no case, MissingExtra without the libraries.
    """
    case = read_case(Path(path), progress)
    judged = _judged(case, judge, progress)
    steps: tuple[Callable[[Tally], None], ...] = (
        lambda tally: layout(case, tally),  # 1
        lambda tally: chain(case, tally),  # 2
        lambda tally: signatures(case, tally, keyid, handed_over),  # 3
        lambda tally: time_stamps(case, tally, authorities),  # 4
        lambda tally: objects(case, tally),  # 5
        lambda tally: plan_before_observation(case, tally),  # 6
        lambda tally: draw(case, judged, tally),  # 7
        lambda tally: custody(case, judged, tally),  # 8
        lambda tally: observations(case, judged, tally),  # 9
        lambda tally: findings(judged, tally),  # 10
        lambda tally: completeness(case, judged, tally),  # 11
        lambda tally: reports(case, tally, report),  # 12
    )
    checks = tuple(_carried_out(number, title, step) for (number, title, _), step in zip(CHECKS, steps, strict=True))
    return Verification(
        case=case.header.case if case.header else "",
        state=_state(case),
        head=case.head,
        entries=len(case.lines),
        keyid=case.opening.key.keyid if case.opening else "",
        checks=checks,
        remarks=tuple(_remarks(case, judged, keyid, authorities)),
    )


def _judged(case: CaseRead, judge: Judge, progress: Progress) -> tuple[Judged, ...]:
    """The records judged again, one at a time."""
    count = sum(isinstance(entry.body, Examined) for entry in case.entries)
    done: list[Judged] = []
    for one in judged_again(case, judge):
        done.append(one)
        progress(f"judged {one.body.subject} again", len(done) / count)
    return tuple(done)


def _carried_out(number: int, title: str, step: Callable[[Tally], None]) -> Check:
    """A check that stumbles over what somebody wrote into the case has failed; it never passes unfinished."""
    tally = Tally()
    try:
        step(tally)
    except MissingExtra:
        raise
    except Exception as error:
        what = f"the check could not be carried out to its end: {type(error).__name__}: {error}"
        tally.fail("the whole case", what, "the case holds something that the format does not know")
    return tally.check(number, title)


def _state(case: CaseRead) -> str:
    """'closed', 'open at checkpoint N' or 'interrupted'."""
    if is_interrupted(case) or not case.signed:
        return "interrupted"
    last = case.signed[-1]
    closed = last.predicate is not None and last.predicate.closed and last.number == len(case.lines)
    return "closed" if closed else f"open at checkpoint {last.number}"


# --------------------------------------------------------------------------------------------------------------- remarks


def _remarks(case: CaseRead, judged: Sequence[Judged], keyid: str, authorities: Sequence[bytes]) -> Iterator[str]:
    """What holds but limits what the case shows."""
    yield from _of_the_end(case)
    yield from _of_the_stamps(case, authorities)
    yield from _of_the_plan(case)
    yield from of_choices(case, judged)
    if not keyid and case.opening:
        yield (
            f"the key {case.opening.key.keyid} is the case's own word: compare it with a fingerprint that you were told by "
            "another way, and give it"
        )
    yield "looks that nobody recorded cannot be excluded: the ledger holds what was entered, and no more"


def _of_the_end(case: CaseRead) -> Iterator[str]:
    signed = case.signed[-1].number if case.signed else 0
    if signed < len(case.lines):
        yield f"entries {signed + 1} to {len(case.lines)} are signed by nobody yet: they can still be changed or taken away unseen"
    if not case.says_closed:
        yield (
            "an open case can be cut back to an earlier checkpoint without a trace: whoever was handed a later one can show it "
            "(and give it here)"
        )
        unnamed = unnamed_objects(case)
        if unnamed:
            yield f"{len(unnamed)} objects are named by no entry: an interrupted write leaves such, and so do looks that were not entered"


def _of_the_stamps(case: CaseRead, authorities: Sequence[bytes]) -> Iterator[str]:
    bare = [checkpoint for checkpoint in case.signed if checkpoint.predicate and not checkpoint.predicate.stamps]
    if bare:
        which = (
            "no checkpoint is"
            if len(bare) == len(case.signed)
            else f"{len(bare)} of {len(case.signed)} checkpoints are not"
        )
        reasons = sorted({checkpoint.predicate.unstamped for checkpoint in bare if checkpoint.predicate} - {""})
        why = f" ({'; '.join(reasons)})" if reasons else ""
        yield f"{which} time-stamped{why}: when they were made is the writer's word"
    if not authorities and len(bare) < len(case.signed):
        yield "time-stamps were held against the certificates in the case: give those of authorities that you trust yourself"


def _of_the_plan(case: CaseRead) -> Iterator[str]:
    drawn = [entry.body for entry in case.entries if isinstance(entry.body, Drawn)]
    if any(body.basis == "claimant" for body in drawn):
        yield "the seed of the draw is the claimant's own choice: the draw can be repeated, but it could be chosen"
    for entry in case.entries:
        body = entry.body
        if isinstance(body, Drawn) and body.basis != "claimant" and plan_stamped(case, entry) is None:
            yield (
                f"the plan {body.plan} was not time-stamped before its draw: that its beacon was still to come is the "
                "writer's word"
            )
    late = [entry for entry in case.entries if isinstance(entry.body, Sealed) and entry.body.suspect_was_observed]
    if late:
        numbers = ", ".join(str(entry.sequence) for entry in late)
        yield f"plans sealed after the suspect had been observed: entries {numbers}; findings under them are marked so"
    exploratory = sum(isinstance(e.body, Observed | Examined) and e.body.exploratory for e in case.entries)
    if exploratory:
        yield f"{exploratory} entries are exploratory: they were not planned, and no conclusion of the plan rests on them"
    yield from _of_looks_by_name(case)
    if case.lines and not plan_in_force(case.entries):
        yield "no plan was sealed: whatever the case holds is exploratory"


def _of_looks_by_name(case: CaseRead) -> Iterator[str]:
    """Exploratory looks at suspect or foils under their own names, while code names were to hide who they are."""
    hidden: set[str] = set()
    looked: list[int] = []
    for entry in case.entries:
        body = entry.body
        if isinstance(body, Drawn):
            plan = case.plans.get(body.plan)
            hidden = {*body.foils, *((plan.suspect,) if plan else ())}
        elif isinstance(body, Revealed):
            hidden = set()
        elif isinstance(body, Observed | Examined):
            name = body.exhibit if isinstance(body, Observed) else body.subject
            looked += [entry.sequence] if name in hidden else []
    if looked:
        numbers = ", ".join(map(str, looked))
        yield f"models of the line-up were looked at under their own names before the reveal: entries {numbers}"
