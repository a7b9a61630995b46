"""The answer to a case: the other side names its alternative, foils, prompts or parameters, and the same exhibits are examined.

    1. Verify the original; who stood behind its code names must have been revealed.
    2. Open a counter-case under the other side's key that names the original, as it stands.
    3. Admit the same exhibits by the same manifests; what lay inside the original lies inside the answer.
    4. Seal the original's plan with what the other side changes, which is kept word for word.
    5. Draw: seed and code names of the original are taken over, unless the other side announces a beacon of its own.
    6. Observe, examine and reveal, as in any case.
    7. Compare both, and bind the comparison by an entry, so that it is signed; report.

Nothing of it is blind: whoever answers knows suspect and results. An unchanged plan gives the same bytes throughout. Steps that
were interrupted go on where they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filiation.case.amendments import plan_in_force
from filiation.case.comparing import compare_cases
from filiation.case.comparison import NOTE, Comparison, noted_in
from filiation.case.folder import CaseFolder
from filiation.case.reading import read_case
from filiation.case.records import (
    REQUIRED,
    Admitted,
    Asked,
    CounterTo,
    Declarations,
    Drawn,
    Manifest,
    Noted,
    Plan,
    Reported,
    Revealed,
    Role,
    Verification,
    every_field,
)
from filiation.errors import RecordError, UsageError
from filiation.evidence import digest
from filiation.proceedings.admission import Origin, admit
from filiation.proceedings.examining import examine
from filiation.proceedings.line_up import draw, reveal, secrets_file
from filiation.proceedings.observing import observe
from filiation.proceedings.opening import open_case
from filiation.proceedings.plan_file import PlanFile, plan_from_tables
from filiation.proceedings.planning import seal_plan
from filiation.proceedings.reporting import WrittenReport, case_view, make_report
from filiation.proceedings.sitting import Acting, Sitting, sitting
from filiation.proceedings.verifying import verify_case

CHANGES_NOTE = "what the challenge changes in the plan of the case that it answers"
"""The text of the `note` entry whose object is the other side's changes, as JSON."""

NOT_AT_ISSUE = ("case", "prepared_by", "examiner_versions", "calibration_digests", "announcement")
"""Fields of a plan that a plan file does not say, or that a challenge does not take over as they are."""


@dataclass(frozen=True)
class Further:
    """An exhibit that the other side adds: a control or a candidate for foils, whichever its plan says, or a further part."""

    exhibit: str
    location: str
    origin: Origin


@dataclass(frozen=True)
class Answer:
    """What the other side brings.

    `changes`: the tables of a plan file that replace those of the original's plan; `folder`: where a certificate that they name
    lies. `places`: where exhibits lie on this machine,
    by name, for those kept outside the case. `beacon`: the file of the round that `changes` announce. `authorities` and
    `certificates` as for `open_case`.
    """

    party: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()
    further: Sequence[Further] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    beacon: bytes = b""
    declarations: Declarations = field(default_factory=Declarations)
    authorities: Mapping[str, str] = field(default_factory=dict)
    certificates: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Answered:
    """What came of a challenge: the comparison, its digest in the counter-case, and the report made now (None on a later run)."""

    comparison: Comparison
    digest: str
    report: WrittenReport | None
    original: Verification


def challenge(
    case: str | Path,
    counter: str | Path,
    answer: Answer,
    acting: Acting,
    *,
    chance: bytes,
    keyid: str = "",
    pdf: bool = True,
) -> Answered:
    """Answer the case in the folder `case` by a counter-case in the folder `counter`, which is made or gone on with.

    `chance`: 32 random bytes, for the number of the counter-case; `keyid`: the key of the original that the other side was told.
    Raises RecordError where the original does not verify or an exhibit has other bytes, UsageError where the answer cannot be.
    """
    case, counter = Path(case), Path(counter)
    verified = verified_original(case, keyid, acting)
    original = _Original.read(case)
    changed_plan(original.plan, original.drawn, answer.changes)  # what cannot be is said before anything is made
    if not (counter / "case.json").exists():
        _open(counter, original, answer, acting, chance)
    with sitting(counter, acting) as held:
        _check_answers(held, original)
        _admit_the_same(held, original)
        _admit_further(held, answer)
        _seal(held, original, answer, chance)
    with sitting(counter, acting) as held:
        _draw(held, original, answer.beacon)
        _take_over_answers(held, original)
    places = {**original.places, **answer.places}
    secrets = secrets_file(counter)
    with sitting(counter, acting) as held:
        if not _revealed(held):
            observe(held, secrets=secrets, places=places)
            examine(held, secrets=secrets, places=places)
    with sitting(counter, acting) as held:
        if not _revealed(held):
            reveal(held, secrets=secrets)
    with sitting(counter, acting) as held:
        comparison = compare_cases(case_view(case, up_to=original.answered.sequence), case_view(counter))
        named = _bind(held, comparison)
        written = None if _reported(held) else _report(held, answer.declarations, pdf)
    return Answered(comparison=comparison, digest=named, report=written, original=verified)


def compared_again(case: str | Path, counter: str | Path) -> Comparison:
    """The comparison of two cases anew from what both recorded, held against the one that the counter-case signed.

    Raises RecordError where they differ, or the counter-case holds none.
    """
    read = read_case(Path(counter))
    named = noted_in(read.entries)
    if not named:
        raise RecordError(
            "the counter-case holds no comparison",
            exhibit=str(counter),
            advice="run filiation case challenge to its end",
        )
    stored = read.record(named, Comparison)
    again = compare_cases(case_view(case, up_to=stored.answers.sequence), case_view(read))
    if digest(again) != named:
        raise RecordError(
            f"compared again, the comparison reads {digest(again)}, not {named}",
            exhibit=str(counter),
            advice="one of the two cases is another than the one that was compared, or the comparison was altered",
        )
    return stored


def verified_original(case: Path, keyid: str, acting: Acting) -> Verification:
    """The original's verification. Raises RecordError where a check failed: there is nothing to answer then."""
    verified = verify_case(case, keyid=keyid, reports=False, progress=acting.progress)
    if not verified.passed:
        failed = next(check for check in verified.checks if check.failures)
        first = failed.failures[0]
        raise RecordError(
            f"the case does not verify: check {failed.number} ({failed.title}): {first.where}: {first.what}",
            exhibit=str(case),
            advice=f"run filiation case verify {case} and object to the case itself: it has to stand before it is answered",
        )
    return verified


# -------------------------------------------------------------------------------------------------------- the original


@dataclass(frozen=True)
class _Original:
    """What an answer takes over from the case that it answers."""

    folder: CaseFolder
    plan: Plan
    drawn: Drawn
    secret: bytes

    @classmethod
    def read(cls, case: Path) -> _Original:
        """Raises UsageError where nothing is revealed yet."""
        view = case_view(case)
        revealed = [e.body for e in view.entries if isinstance(e.body, Revealed)]
        drawn = view.drawn
        secret = next((body.secret for body in revealed if drawn and set(body.exhibits) == set(drawn.code_names)), "")
        if drawn is None or not secret:
            raise UsageError(
                "the case has not revealed who stood behind its code names, so that it cannot be answered yet",
                exhibit=str(case),
                advice="wait until its results are sealed and revealed",
            )
        plan = view.plans[plan_in_force(view.entries)]
        return cls(CaseFolder.open(case), plan, drawn, bytes.fromhex(secret))

    @property
    def answered(self) -> CounterTo:
        """The original as it stands."""
        entries = self.folder.entries
        return CounterTo(
            case=self.folder.header.case,
            head=self.folder.head,
            sequence=entries[-1].sequence,
            keyid=self.folder.opened.key.keyid,
        )

    @property
    def admitted(self) -> tuple[Admitted, ...]:
        return tuple(entry.body for entry in self.folder.entries if isinstance(entry.body, Admitted))

    @property
    def asked(self) -> tuple[Asked, ...]:
        return tuple(entry.body for entry in self.folder.entries if isinstance(entry.body, Asked))

    def manifest(self, admitted: Admitted) -> Manifest:
        return self.folder.get_record(admitted.manifest, Manifest)

    @property
    def places(self) -> dict[str, str]:
        """Where exhibits outside the original lie, seen from anywhere: its manifests tell it as seen from its own folder."""
        found: dict[str, str] = {}
        for admitted in self.admitted:
            manifest = self.manifest(admitted)
            if not manifest.inside and manifest.kind not in ("hub", "pack", "endpoint"):
                found[admitted.exhibit] = _seen_from(self.folder.path, manifest)
        return found


def _seen_from(case: Path, manifest: Manifest) -> str:
    if manifest.kind not in ("transcript", "marks"):
        return str(case.resolve() / Path(manifest.location).expanduser())
    model = f"#{manifest.model}" if manifest.kind == "transcript" else ""
    prefix, colon, path = manifest.location.removesuffix(model).partition(":")
    return f"{prefix}{colon}{case.resolve() / Path(path).expanduser()}{model}"


# ---------------------------------------------------------------------------------------------------------- the answer


def _open(counter: Path, original: _Original, answer: Answer, acting: Acting, chance: bytes) -> None:
    open_case(
        counter,
        acting,
        title=f"answer to: {original.folder.header.title}",
        case=hashlib.sha256(b"case" + chance).hexdigest()[:32],
        party=answer.party,
        authorities=answer.authorities,
        certificates=answer.certificates,
        counter_to=original.answered,
    ).let_go()


def _check_answers(held: Sitting, original: _Original) -> None:
    """A counter-case that was begun must answer this case, as it stands."""
    opened = held.folder.opened
    if opened.counter_to != original.answered:
        raise UsageError(
            "the folder holds a case that answers another case, or this one as it stood at another time"
            if opened.counter_to
            else "the folder holds a case that answers none",
            exhibit=str(held.folder.path),
            advice="name a folder that is not there yet, and it is made",
        )


def _admit_the_same(held: Sitting, original: _Original) -> None:
    """The same manifests to the byte; what lay inside the original is copied, every object hashed on the way."""
    known = held.manifests
    for admitted in original.admitted:
        if admitted.exhibit in known:
            continue
        manifest = original.manifest(admitted)
        for file in manifest.files if manifest.inside else ():
            _copy(held, original, file.sha256 or "")
        _copy(held, original, admitted.manifest)
        held.append(admitted)


def _copy(held: Sitting, original: _Original, named: str) -> None:
    """Take an object over. Raises RecordError where it is not what its name says."""
    copied = held.folder.objects.put_file(original.folder.objects.path(named), held.progress)
    if copied != named:
        raise RecordError(
            f"the object {named} of the case has other bytes",
            exhibit=str(original.folder.path),
            advice="verify the case again",
        )


def _admit_further(held: Sitting, answer: Answer) -> None:
    for each in answer.further:
        if each.exhibit not in held.manifests:
            role = _role(each.exhibit, held.manifests, answer.changes)
            admit(held, each.location, exhibit=each.exhibit, role=role, origin=each.origin)


def _role(exhibit: str, manifests: Mapping[str, Manifest], changes: Mapping[str, Any]) -> Role:
    """A part has the role of its whole; others have the place that the changed plan gives them. Raises UsageError without one."""
    whole = exhibit.partition("/")[0]
    if whole in manifests:
        return manifests[whole].role
    places: dict[Role, Any] = {"control": changes.get("controls"), "candidate": _table(changes, "line_up").get("pool")}
    for role, named in places.items():
        if any(each.get("exhibit") == exhibit for each in named or () if isinstance(each, Mapping)):
            return role
    raise UsageError(
        "it is added, and the changed plan gives it no place",
        exhibit=exhibit,
        advice="name it among the controls, or in the pool of the line-up",
    )


def _table(changes: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = changes.get(name)
    return found if isinstance(found, Mapping) else {}


def _seal(held: Sitting, original: _Original, answer: Answer, chance: bytes) -> None:
    """Keep what is changed, word for word, and seal the plan that results."""
    asked_for = digest(answer.changes)
    kept = [e.body.objects for e in held.folder.entries if isinstance(e.body, Noted) and e.body.text == CHANGES_NOTE]
    if kept and kept[-1] != (asked_for,):
        raise UsageError(
            "the counter-case was begun with other changes of the plan",
            exhibit=str(held.folder.path),
            advice="go on with the same ones, or name another folder for another answer",
        )
    wanted = changed_plan(original.plan, original.drawn, answer.changes)
    if not kept:
        held.append(Noted(text=CHANGES_NOTE, objects=(held.folder.put_record(dict(answer.changes)),)))
    if not held.plan_digest:
        seal_plan(held, wanted, chance=hashlib.sha256(b"seed" + chance).digest(), folder=answer.folder)


def changed_plan(plan: Plan, drawn: Drawn, changes: Mapping[str, Any]) -> PlanFile:
    """The original's plan with the other side's changes: tables of a plan file, laid over it.

    A key replaces the original's; the tables `parameters` (by examiner), `line_up`, `stopping`, `asking` and `tolerance` are laid over key
    by key. Where examiners are changed and propositions are not, the propositions are those of the new examiners' tests. Without
    an announcement the seed of the original's draw is taken over. Raises UsageError on keys that no plan has, and where
    reference or suspect are changed.
    """
    for name in ("reference", "suspect"):
        if changes.get(name, getattr(plan, name)) != getattr(plan, name):
            raise UsageError(
                f"an answer is given on the same {name}, {getattr(plan, name)}",
                advice="open a case of your own for another question",
            )
    told = {name: value for name, value in every_field(plan).items() if name not in NOT_AT_ISSUE}
    told["announcement"] = {"basis": "claimant", "seed": drawn.seed}
    if "examiners" in changes:
        del told["propositions"]
        told["parameters"] = {name: each for name, each in told["parameters"].items() if name in changes["examiners"]}
    merged = {**told, **{name: _laid_over(told.get(name), value) for name, value in changes.items()}}
    if "announcement" in changes:
        merged["announcement"] = changes["announcement"]
    return plan_from_tables(merged, "the changes of the plan")


def _laid_over(before: Any, change: Any) -> Any:
    """A table key by key, anything else as a whole."""
    if not (isinstance(before, Mapping) and isinstance(change, Mapping)):
        return change
    return {**before, **{name: _laid_over(before.get(name), value) for name, value in change.items()}}


def _draw(held: Sitting, original: _Original, beacon: bytes) -> None:
    if not any(isinstance(entry.body, Drawn) for entry in held.folder.entries):
        draw(held, secret=original.secret, secrets=secrets_file(held.folder.path), beacon=beacon)


def _take_over_answers(held: Sitting, original: _Original) -> None:
    """What endpoints answered in the original is examined again, unless the plan now asks other prompts."""
    now = held.plan
    if (now.probes, now.stopping, now.asking) != (original.plan.probes, original.plan.stopping, original.plan.asking):
        return
    done = {entry.body.exhibit for entry in held.folder.entries if isinstance(entry.body, Asked)}
    for asked in original.asked:
        if asked.exhibit not in done:
            _copy(held, original, asked.recording)
            _copy(held, original, asked.transcript)
            held.append(asked)


def _revealed(held: Sitting) -> bool:
    return bool(held.revealed)


def _bind(held: Sitting, comparison: Comparison) -> str:
    """Name the comparison in the ledger, so that the next checkpoint signs it; once."""
    named = digest(comparison)
    if noted_in(held.folder.entries) != named:
        held.append(Noted(text=NOTE, objects=(held.folder.put_record(comparison),)))
    return named


def _reported(held: Sitting) -> bool:
    return any(isinstance(entry.body, Reported) for entry in held.folder.entries)


def _report(held: Sitting, declarations: Declarations, pdf: bool) -> WrittenReport:
    """The counter-report; a draft while a required declaration is blank."""
    blank = any(not getattr(declarations, name).strip() for name in REQUIRED)
    return make_report(held, declarations, draft=blank, pdf=pdf)
