"""What somebody who holds the key would try to make a case mislead: each is caught by a check, or told by a remark, or the format says so.

`test_tampering` changes a case after it was made. Here the case is made to mislead: looks and draws are repeated and chosen from, line-ups
are filled with models that nobody would pick, one model stands under two names, relations are written that nobody saw. Truth
is by construction: the case of the tests verifies, and what is done to it is one dishonesty.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from filiation.case import beacons, drawing
from filiation.case.folder import CaseFolder
from filiation.case.records import (
    REQUIRED,
    Admitted,
    Asked,
    Body,
    Closed,
    Declarations,
    Drawn,
    Examined,
    Manifest,
    Observed,
    Opened,
    Plan,
    Reported,
    Revealed,
    Sealed,
)
from filiation.errors import RecordError
from filiation.evidence import Examination, FileRecord, Identity, Observation, Relations
from filiation.examiners.catalogue import chosen
from filiation.investigation import judge_again, not_examined
from filiation.proceedings import appendix
from filiation.proceedings.appendix import transcript_in
from filiation.proceedings.plan_file import weights_of
from filiation.proceedings.verifying import verify_case
from filiation.sources.transcripts import SCHEMA
from tests.case import worlds
from tests.case.test_tampering import (
    COMPLETENESS,
    CUSTODY,
    DRAW,
    FINDINGS,
    OBSERVATIONS,
    PLAN,
    STAMPS,
    another_recorded_relation,
    changing,
    with_fields,
    with_record,
)
from tests.case.worlds import ATTRIBUTES, SECRET, Change, World, failed, verified, write_case

replaced = msgspec.structs.replace


def first_of(case: CaseFolder, kind: type[Body]) -> Any:
    return next(entry.body for entry in case.entries if isinstance(entry.body, kind))


# ------------------------------------------------------------------------------------------------------ what is chosen from


def seen_otherwise(body: Observed, case: CaseFolder) -> tuple[Observed, Observed]:
    """A look that came out otherwise, before the one that is used."""
    seen = case.get_record(body.observation, Observation)
    other = replaced(seen, content={**seen.content, "seen": "otherwise"})
    return replaced(body, observation=case.put_record(other)), body


def examined_otherwise(body: Examined, case: CaseFolder) -> tuple[Examined, Examined]:
    return with_record(another_recorded_relation)(body, case), body


def asked_again(body: Asked, case: CaseFolder) -> tuple[Asked, Asked]:
    return body, replaced(body, transcript=case.objects.put(b"better answers"))


def looked_at(exhibit: str, examiner: str = "") -> Callable[[Any, CaseFolder], Any]:
    """A planned look more, at `exhibit` or by `examiner`."""

    def changed(body: Observed, case: CaseFolder) -> tuple[Observed, Observed]:
        names = {"exhibit": exhibit or body.exhibit, "examiner": examiner or body.examiner}
        seen = replaced(case.get_record(body.observation, Observation), **names)
        return replaced(body, observation=case.put_record(seen), **names), body

    return changed


def drawn_under(case: CaseFolder, drawn: Drawn, digest: str) -> Drawn:
    """The same beacon, drawn from under another plan."""
    plan = case.get_record(digest, Plan)
    certificate = case.objects.get(plan.announcement.certificate)
    pulse = beacons.read_beacon(case.objects.get(drawn.beacon), plan.announcement, certificate)
    seed = drawing.seed(digest, pulse.randomness)
    foils = drawing.draw_foils(plan.line_up, ATTRIBUTES, seed, {"atlas"})
    names = tuple(drawing.code_names([plan.suspect, *foils], SECRET))
    return replaced(drawn, plan=digest, seed=seed, foils=foils, code_names=names)


def drawn_again_after_a_word(_number: int, body: Body, case: CaseFolder) -> Sequence[Body]:
    """The remarks of the plan amended, which changes its digest and so the draw."""
    if isinstance(body, Drawn):
        digest = case.put_record(replaced(case.get_record(body.plan, Plan), remarks="one word more"))
        sealed = Sealed(plan=digest, replaces=body.plan, reason="a word was missing", changes=("remarks",))
        return body, sealed, drawn_under(case, body, digest)
    return () if isinstance(body, Observed | Examined | Revealed | Reported | Closed) else (body,)


def with_a_part(body: Admitted, case: CaseFolder) -> tuple[Admitted, Admitted]:
    manifest = replaced(case.get_record(body.manifest, Manifest), exhibit=f"{body.exhibit}/answers")
    return body, replaced(body, exhibit=manifest.exhibit, manifest=case.put_record(manifest))


def explored_before_the_plan(exhibit: str, admitted: Callable[[Any, CaseFolder], Any]) -> Change:
    """The suspect admitted once more under another name, and looked at under it before the plan is sealed."""

    def changed(_number: int, body: Body, case: CaseFolder) -> Sequence[Body]:
        if isinstance(body, Admitted) and body.exhibit == "borealis":
            return tuple(admitted(body, case))
        if isinstance(body, Sealed) and not body.replaces:
            seen = Observation(examiner="tokenizer", examiner_version="1", exhibit=exhibit, content={})
            look = Observed(
                exhibit=exhibit,
                examiner="tokenizer",
                examiner_version="1",
                observation=case.put_record(seen),
                exploratory=True,
            )
            return look, body
        return (body,)

    return changed


def planned_look_at_a_part(_number: int, body: Body, case: CaseFolder) -> Sequence[Body]:
    if isinstance(body, Admitted) and body.exhibit == "borealis":
        return with_a_part(body, case)
    if isinstance(body, Observed) and body.exhibit == "cygnus":
        return tuple(looked_at("borealis/answers")(body, case))
    return (body,)


def asked_elsewhere(_number: int, body: Body, case: CaseFolder) -> Sequence[Body]:
    """The reference as an endpoint, and another address asked."""
    if isinstance(body, Asked):
        return (replaced(body, exhibit="atlas/answers", endpoint="openai:atlas@https://elsewhere.example"),)
    if isinstance(body, Admitted) and body.exhibit == "atlas":
        whole, part = with_a_part(body, case)
        manifest = replaced(
            case.get_record(part.manifest, Manifest),
            kind="endpoint",
            location="openai:atlas@https://atlas.example",
            files=(),
            inside=False,
        )
        return whole, replaced(part, manifest=case.put_record(manifest))
    return (body,)


def only_explored(body: Observed, case: CaseFolder) -> Observed:
    return replaced(body, exploratory=True)


def another_control(record: Examination) -> Examination:
    return replaced(record, controls=(*record.controls, replaced(record.controls[0], name="eridanus")))


def of_another_lineage(record: Examination) -> Examination:
    return replaced(record, controls=tuple(replaced(each, lineage_id="atlas") for each in record.controls))


def with_the_relation_of_a_control(record: Examination) -> Examination:
    """An unwelcome finding about a foil replaced by the harmless one about the control, which everybody knows."""
    of = record.relations["tokenizer"]
    return replaced(record, relations={**record.relations, "tokenizer": replaced(of, pair=of.reference_by_control[0])})


def by_an_examiner_of_ones_own(record: Examination) -> Examination:
    data = msgspec.json.encode(record.relations["tokenizer"]).replace(b'"tokenizer"', b'"my_tokenizer"')
    return replaced(record, relations={**record.relations, "my_tokenizer": msgspec.json.decode(data, type=Relations)})


def named_like_a_code_name(world: World) -> Change:
    with CaseFolder.open(world.folder) as case:
        code = first_of(case, Drawn).code_names[0]

    def renamed(body: Admitted, case: CaseFolder) -> Admitted:
        manifest = replaced(case.get_record(body.manifest, Manifest), exhibit=code)
        return replaced(body, exhibit=code, manifest=case.put_record(manifest))

    return changing(Admitted, renamed, 6)


CAUGHT: dict[str, tuple[Callable[[World], Change], int]] = {
    "looked twice and chosen": (lambda w: changing(Observed, seen_otherwise, 7), OBSERVATIONS),
    "another endpoint asked than the one that was admitted": (lambda w: asked_elsewhere, CUSTODY),
    "asked twice and chosen": (lambda w: changing(Asked, asked_again), OBSERVATIONS),
    "examined twice and chosen": (lambda w: changing(Examined, examined_otherwise, 1), COMPLETENESS),
    "drawn twice, a word amended between": (lambda w: drawn_again_after_a_word, DRAW),
    "a look at somebody outside the plan called planned": (lambda w: changing(Observed, looked_at("eridanus")), PLAN),
    "a look by another examiner called planned": (lambda w: changing(Observed, looked_at("", "weights")), PLAN),
    "a planned look at a part of the suspect by name": (lambda w: planned_look_at_a_part, CUSTODY),
    "a part of the suspect explored before the plan": (
        lambda w: explored_before_the_plan("borealis/answers", with_a_part),
        PLAN,
    ),
    "a planned finding that rests on an exploratory look at a control": (
        lambda w: changing(Observed, only_explored, 3),
        OBSERVATIONS,
    ),
    "a control added when it was examined": (lambda w: changing(Examined, with_record(another_control)), COMPLETENESS),
    "a control made a relative when it was examined": (
        lambda w: changing(Examined, with_record(of_another_lineage)),
        CUSTODY,
    ),
    "a relation of the control in the place of the foil's": (
        lambda w: changing(Examined, with_record(with_the_relation_of_a_control)),
        OBSERVATIONS,
    ),
    "code names revealed under another plan": (
        lambda w: changing(Revealed, with_fields(plan="0" * 64)),
        DRAW,
    ),
    "an examiner that only the claimant has": (
        lambda w: changing(Examined, with_record(by_an_examiner_of_ones_own)),
        FINDINGS,
    ),
    "an exhibit named like a code name": (named_like_a_code_name, DRAW),
    "an authority named twice": (
        lambda w: changing(Opened, lambda body, case: replaced(body, authorities=body.authorities * 2)),
        STAMPS,
    ),
}


@pytest.mark.parametrize("what", CAUGHT)
def test_a_case_that_was_made_to_mislead_is_caught(world: World, what: str, tmp_path: Path) -> None:
    change, check = CAUGHT[what]
    found = verified(world.remade(tmp_path / "case", change(world)))
    assert check in failed(found), f"{what}: found by {failed(found)}"


# ----------------------------------------------------------------------------------------------------------- what is told


def admitted_twice(body: Admitted, case: CaseFolder) -> tuple[Admitted, Admitted]:
    manifest = replaced(case.get_record(body.manifest, Manifest), exhibit="aurora", role="material")
    return body, Admitted(exhibit="aurora", role="material", manifest=case.put_record(manifest))


def named(name: str) -> Change:
    """The letter once more, under this name."""

    def changed(body: Admitted, case: CaseFolder) -> tuple[Admitted, Admitted]:
        manifest = replaced(case.get_record(body.manifest, Manifest), exhibit=name)
        return body, Admitted(exhibit=name, role="material", manifest=case.put_record(manifest))

    return changing(Admitted, changed, 6)


def without_digests(record: Examination) -> Examination:
    bare = Identity(name=record.suspect.name, format=record.suspect.format)
    return replaced(record, suspect=bare)


def report_moved_before_the_results() -> Change:
    waiting: list[Body] = []

    def changed(number: int, body: Body, case: CaseFolder) -> Sequence[Body]:
        if isinstance(body, Reported):
            return ()
        if isinstance(body, Examined) and not waiting:
            waiting.append(body)
            data = b"<p>Nothing was found yet.</p>\n"
            written = case.write_report("early.html", data)
            declared = case.put_record(Declarations(**dict.fromkeys(REQUIRED, "as agreed")))
            return Reported(files={"early.html": written}, head=case.head, declarations=declared), body
        return (body,)

    return changed


TOLD: dict[str, tuple[Callable[[], Change], str]] = {
    "the suspect admitted twice": (lambda: changing(Admitted, admitted_twice, 1), "the same bytes stand in the case"),
    "the suspect explored under another name before the plan": (
        lambda: explored_before_the_plan("aurora", admitted_twice),
        "looked at before any plan was sealed: aurora",
    ),
    "a name with a letter of another alphabet": (lambda: named("bore\u0430lis"), r"bore\u0430lis"),
    "a name that turns the direction of reading": (lambda: named("atlas\u202e"), r"atlas\u202e"),
    "a name that writes to the terminal": (lambda: named("x\x1b[2J"), r"x\x1b[2J"),
    "a name that differs in a capital": (lambda: named("Borealis"), "capitals only"),
    "an examination of something without digests": (
        lambda: changing(Examined, with_record(without_digests)),
        "no digest binds",
    ),
    "a report made before the results": (report_moved_before_the_results, "does not tell of"),
    "plans sealed one after the other": (lambda: lambda _number, body, _case: (body,), "2 plans were sealed"),
    "this case chosen among several": (
        lambda: lambda _number, body, _case: (body,),
        "several cases on the same exhibits",
    ),
}


@pytest.mark.parametrize("what", TOLD)
def test_what_no_check_forbids_is_told(world: World, what: str, tmp_path: Path) -> None:
    change, said = TOLD[what]
    found = verified(world.remade(tmp_path / "case", change()))
    assert any(said in remark for remark in found.remarks), found.remarks


def test_a_relation_that_nobody_saw_is_accepted_and_the_verifier_says_that_it_could_be(
    world: World, tmp_path: Path
) -> None:
    """A foil is accused with the relation of the true copy, and judged in earnest. Only acquiring again shows it."""
    with CaseFolder.open(world.folder) as case:
        behind = first_of(case, Revealed).exhibits
        examined = [e.body for e in case.entries if isinstance(e.body, Examined) and not e.body.exploratory]
        records = {body.subject: case.get_record(body.record, Examination) for body in examined}
        plan = case.get_record(examined[0].plan, Plan)
    copy = next(code for code, exhibit in behind.items() if exhibit == "borealis")
    framed = next(place for place, body in enumerate(examined) if body.subject != copy)
    content = records[copy].relations["tokenizer"].pair.content

    def accused(record: Examination) -> Examination:
        of = record.relations["tokenizer"]
        forged = replaced(of, pair=replaced(of.pair, content=content))
        return judge_again(replaced(record, relations={**record.relations, "tokenizer": forged}), weights_of(plan))

    case_folder = world.remade(tmp_path / "case", changing(Examined, with_record(accused), framed))
    found = verified(case_folder)
    assert found.passed
    assert any("--reacquire" in remark for remark in found.remarks)


def test_a_relation_that_is_kept_back_is_told(world: World, tmp_path: Path) -> None:
    """Somebody says that a foil could not be related to the reference, and so hides that it was found."""
    with CaseFolder.open(world.folder) as case:
        body = next(e.body for e in case.entries if isinstance(e.body, Examined) and not e.body.exploratory)
        plan = case.get_record(body.plan, Plan)
    (examiner,) = chosen(("tokenizer",))

    def kept_back(record: Examination) -> Examination:
        reason = "the vocabularies could not be read"
        others = [outcome for outcome in record.outcomes if outcome.examiner != examiner.NAME]
        outcomes = (*others, *not_examined(examiner, record.reference.name, record.suspect.name, reason))
        relations = {name: of for name, of in record.relations.items() if name != examiner.NAME}
        return judge_again(replaced(record, relations=relations, outcomes=outcomes), weights_of(plan))

    found = verified(world.remade(tmp_path / "case", changing(Examined, with_record(kept_back))))
    assert found.passed
    assert any(f"by tokenizer of atlas or {body.subject} with {body.subject}" in remark for remark in found.remarks)


def test_the_name_of_a_file_that_is_no_text_can_be_told(world: World, tmp_path: Path) -> None:
    case = world.copy(tmp_path / "case")
    with open(os.fsencode(case / "reports") + b"/\xff.html", "wb"):
        found = verified(case)
    assert not found.passed
    assert b"udcff.html" in msgspec.json.encode(found)


PLANS: dict[str, tuple[Callable[[Plan], Plan], str]] = {
    "no foils": (lambda plan: replaced(plan, line_up=replaced(plan.line_up, foils=0)), "has no foils"),
    "as many candidates as foils": (
        lambda plan: replaced(plan, line_up=replaced(plan.line_up, foils=3)),
        "the draw had no choice",
    ),
    "foils like the suspect in nothing": (
        lambda plan: replaced(plan, line_up=replaced(plan.line_up, matched_on=())),
        "like the suspect in nothing",
    ),
    "another lineage than the manifest declares": (
        lambda plan: replaced(
            plan,
            line_up=replaced(
                plan.line_up, pool=(replaced(plan.line_up.pool[0], lineage="dragon"), *plan.line_up.pool[1:])
            ),
        ),
        "than the manifest of draco",
    ),
    "tests without a weight": (
        lambda plan: replaced(plan, propositions=plan.propositions[:1]),
        "weighs tests otherwise than equally",
    ),
    "a parameter that does not exist": (
        lambda plan: replaced(plan, parameters={"tokenizer": {"least": 1}}),
        "tokenizer.least = 1",
    ),
    "any figure good enough when acquired again": (
        lambda plan: replaced(plan, tolerance=replaced(plan.tolerance, log10_p=99.0)),
        "tolerance is wider",
    ),
    "examiners left out": (lambda plan: plan, "leaves out the examiners"),
}


@pytest.mark.parametrize("what", PLANS)
def test_a_plan_that_suits_somebody_is_told(
    world: World, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, said = PLANS[what]
    usual = worlds._plan
    monkeypatch.setattr(worlds, "_plan", lambda announced: change(usual(announced)))
    write_case(world.now(), tmp_path / "case")
    found = verify_case(tmp_path / "case", reports=False)
    assert found.passed
    assert any(said in remark for remark in found.remarks), found.remarks


def test_a_plan_that_fixes_no_versions_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = worlds._plan
    monkeypatch.setattr(
        worlds, "_plan", lambda told: replaced(usual(told), examiner_versions={}, calibration_digests={})
    )
    write_case(world.now(), tmp_path / "case")
    assert failed(verified(tmp_path / "case")) == {COMPLETENESS}


def test_stamps_everywhere_but_between_plan_and_look_are_told(world: World, tmp_path: Path) -> None:
    """Whoever asks no authority while the order matters has stamps in the end all the same."""
    case = world.remade(tmp_path / "case", started=world.now().started)
    closing = sorted(path.name[:6] for path in case.glob("checkpoints/??????.json"))[-1]
    for file in case.glob(f"checkpoints/{closing}*"):
        file.unlink()
    with CaseFolder.open(case, write=True) as folder:
        now = datetime.fromisoformat(folder.entries[-1].time)
        folder.checkpoint(world.signer, now=now, stampers=(world.authority,), closed=True)
    found = verified(case)
    assert found.passed
    assert any("no time-stamp stands between the seal" in remark for remark in found.remarks)
    assert any("no time-stamp stands between the last result" in remark for remark in found.remarks)


# ------------------------------------------------------------------------------------------------------- what overwhelms


def test_answers_that_unpack_to_more_than_a_machine_holds_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is repeated takes next to nothing in Parquet. The limits are lowered here, so that the test needs no such machine."""
    row = {name: [0 if kind == pl.Int32 else "x"] * 1000 for name, kind in SCHEMA.items()}
    made = io.BytesIO()
    pl.DataFrame(row, schema=SCHEMA).write_parquet(made)
    manifest = Manifest(
        exhibit="borealis",
        role="suspect",
        kind="transcript",
        location="transcripts:./answers.parquet#x",
        origin="made here",
        obtained_by="the test",
        obtained_at="",
        model="x",
        inside=True,
        files=(FileRecord(name="answers.parquet", size=1, sha256="0" * 64, basis="read"),),
    )
    read = {"0" * 64: made.getvalue()}
    assert transcript_in([manifest], {}, read) is not None
    monkeypatch.setattr(appendix, "MOST_ROWS", 999)
    assert transcript_in([manifest], {}, read) is None
    monkeypatch.setattr(appendix, "MOST_ROWS", 1000)
    monkeypatch.setattr(appendix, "MOST_BYTES", 1999)
    assert transcript_in([manifest], {}, read) is None
    with pytest.raises(RecordError, match="cannot be read"):
        transcript_in([manifest], {}, {"0" * 64: made.getvalue()[:-9]})
