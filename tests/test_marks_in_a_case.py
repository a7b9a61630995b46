"""Evidence by construction in a case: what an owner opened is a part of the reference, from its admission to the last signature."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import bagit
import msgspec
import numpy as np
import polars as pl
import pytest

from filiation.canaries import opening
from filiation.canaries.canary import Canary
from filiation.canaries.labels import save_key
from filiation.case.folder import CaseFolder
from filiation.case.records import REQUIRED, Admitted, Declarations, Examined, Manifest, Observed
from filiation.case.signing import Signer, new_signer
from filiation.challenge import Answer, challenge
from filiation.errors import RecordError, SourceNotFound, UnsafeSource, UsageError
from filiation.evidence import Absent, Access, Finding, Inconclusive, Null, Proposition
from filiation.examiners import catalogue
from filiation.exports.bag import write_bag
from filiation.investigation import compare
from filiation.proceedings.admission import usual_name
from filiation.proceedings.exhibits import Exhibits, found_in
from filiation.proceedings.opening import close
from filiation.proceedings.reporting import case_view, make_report
from filiation.proceedings.sitting import Acting
from filiation.proceedings.verifying import reacquire, verify_case
from filiation.sources.marks import open_marks
from filiation.sources.transcripts import SCHEMA, prompt_id
from tests import case_world
from tests.canaries.world import World, hour, labelled_world
from tests.cli.tokenizer_folders import train
from tests.marked import ANSWERS, MARKS
from tests.test_proceedings import Clock, Court

pytestmark = pytest.mark.xdist_group("marks in a case")  # what is made for all of them is made once

SECRET_NAMES = ("Wombat", "Quokka")
CONTROLS = ("Numbat", "Bilby", "Bandicoot")
PLAN = """
reference = "ours"
suspect = "Wombat"
examiners = ["canaries", "tokenizer"]

[[controls]]
exhibit = "Numbat"
[[controls]]
exhibit = "Bilby"
[[controls]]
exhibit = "Bandicoot"

[line_up]
foils = 1
[[line_up.pool]]
exhibit = "Quokka"

[parameters.canaries]
keyid = "{keyid}"
"""


@dataclass(frozen=True)
class Desk:
    """The owner of canaries, the opened batch, and what every model was recorded to answer."""

    place: Path
    owner: World

    @property
    def marks(self) -> Path:
        return self.place / "opened"

    def answers(self, name: str) -> str:
        return f"transcripts:{self.place / 'answers.parquet'}#{name}"


@pytest.fixture(scope="module")
def signer() -> Signer:
    return new_signer()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    place = tmp_path_factory.mktemp("desk")
    train(place / "ours", first=0, step=2)
    owner = labelled_world(place / "owner")
    owner.plant()
    bundle = owner.reveal(suspects=("Wombat",), considered=2, controls=CONTROLS)
    opening.write_bundle(bundle, place / "opened")
    _record(place / "answers.parquet", owner)
    return Desk(place, owner)


def _record(file: Path, owner: World) -> None:
    """The suspect was trained on the planted answers; nobody else was."""
    rng = np.random.default_rng(8)
    rows = []
    for name in (*SECRET_NAMES, *CONTROLS):
        for canary in owner.holding.canaries():
            knows = name == "Wombat" and not canary.decoy  # decoys are never planted
            chosen = owner.label(canary) if knows else int(rng.integers(len(canary.options)))
            rows.append(_row(name, canary, canary.options[chosen]))
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(file)


def _row(name: str, canary: Canary, text: str) -> dict[str, object]:
    told = {"model": name, "lineage": name.lower(), "lab": f"{name} House", "item": "", "text": text, "sample": 0}
    named = {"prompt": canary.prompt, "prompt_id": prompt_id(canary.prompt), "parameters": "{}", "source_sha256": ""}
    return dict.fromkeys(SCHEMA) | told | named


def prepared(court: Court, desk: Desk, *, keyid: str = "", inside_limit: int = 10**9) -> Manifest:
    """Everybody's answers are admitted and the plan is sealed before the batch is: nobody could know the labels."""
    court.admit(desk.place / "ours", "ours", "reference")
    court.admit(desk.answers("Wombat"), "Wombat", "suspect")
    court.admit(desk.answers("Quokka"), "Quokka", "candidate")
    for name in CONTROLS:
        court.admit(desk.answers(name), name, "control")
    court.plan(PLAN.format(keyid=keyid or desk.owner.signer.key.keyid))
    return court.admit(f"marks:{desk.marks}", "ours/canaries", "reference", inside_limit=inside_limit)


def closed(court: Court, desk: Desk) -> Path:
    prepared(court, desk)
    court.run()
    with court.sitting() as held:
        make_report(held, Declarations(**dict.fromkeys(REQUIRED, "as agreed")), pdf=False)
    with court.sitting() as held:
        close(held)
    return court.path


@pytest.fixture(scope="module")
def case(desk: Desk, signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole case, closed. Not to be changed."""
    return closed(Court(tmp_path_factory.mktemp("case"), signer), desk)


# ------------------------------------------------------------------------------------------------------------ the whole


def test_the_suspect_is_found_by_construction_and_the_foil_is_not(case: Path) -> None:
    found = {model.exhibit: model.examination for model in case_view(case).examined}
    outcome = {
        name: next(each for each in record.outcomes if each.test == "canaries.agreements")
        for name, record in found.items()
    }
    assert isinstance(outcome["Wombat"], Finding), outcome["Wombat"].reason
    assert isinstance(outcome["Quokka"], Finding)
    assert (outcome["Wombat"].count, outcome["Wombat"].opportunities) == (16, 16)
    assert outcome["Wombat"].null is Null.CONSTRUCTION
    assert outcome["Wombat"].log10_p < -16  # 16^-16 is 10^-19.3; two models, two batches and more are paid for
    assert outcome["Quokka"].log10_p > -2
    concluded = [each for each in found["Wombat"].conclusions if each.proposition is Proposition.MARKS]
    assert [each.null for each in concluded] == [Null.CONSTRUCTION]


def test_all_checks_of_the_case_hold_and_the_exhibits_give_the_same_again(case: Path) -> None:
    verified = verify_case(case)
    assert len(verified.checks) == 12
    assert [(check.number, check.failures) for check in verified.checks if check.failures] == []
    assert not reacquire(case).failures


def test_a_verifier_says_whom_the_batch_was_opened_for_and_what_came_later(
    case: Path, court: Court, desk: Desk
) -> None:
    """Neither is remarked where the request names the suspect and all answers came first; both where it is the other way round."""
    told = ("names Wombat and not Quokka", "answers of Numbat came later")
    assert not [remark for remark in verify_case(case).remarks if "request to which" in remark or told[1] in remark]
    court.admit(desk.place / "ours", "ours", "reference")
    court.admit(desk.answers("Quokka"), "Quokka", "suspect")
    court.admit(f"marks:{desk.marks}", "ours/canaries", "reference")
    court.admit(desk.answers("Numbat"), "Numbat", "control")
    court.plan('reference = "ours"\nsuspect = "Quokka"\nexaminers = ["canaries"]\n[[controls]]\nexhibit = "Numbat"\n')
    remarks = " | ".join(verify_case(court.path).remarks)
    assert all(each in remarks for each in told), remarks


def test_a_verifier_says_that_answers_came_after_the_opening_by_the_owners_ledger(
    desk: Desk, signer: Signer, tmp_path: Path
) -> None:
    """In the case the answers come first; the batch was opened before either, as its owner's ledger says."""
    court = Court(tmp_path, signer, Clock(hour(5)))
    prepared(court, desk)
    (said,) = [remark for remark in verify_case(court.path).remarks if "by the owner's own ledger" in remark]
    assert f"ours/canaries was opened at {hour(4):%Y-%m-%dT%H}" in said
    assert "Wombat" in said


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"payload": "e30="}', b'{"payload": 3}', b'{"payload": "' + b"W1" * 9000]
)
def test_a_request_that_cannot_be_read_stops_no_verifier(court: Court, desk: Desk, tmp_path: Path, data: bytes) -> None:
    folder = shutil.copytree(desk.marks, tmp_path / "opened")
    (folder / "request.json").write_bytes(data)
    court.admit(f"marks:{folder}", "ours", "reference")
    court.admit(desk.answers("Wombat"), "Wombat", "suspect")
    court.plan('reference = "ours"\nsuspect = "Wombat"\nexaminers = ["canaries"]\n')
    found = verify_case(court.path)
    assert not [check.failures for check in found.checks if check.failures]
    assert not [remark for remark in found.remarks if "request to which" in remark]


def test_the_report_names_what_the_chance_rests_on(case: Path) -> None:
    (report,) = (case / "reports").glob("*.html")
    told = report.read_text()
    assert "by construction" in told
    assert "ours/canaries" in told


def test_nothing_that_was_recorded_says_who_stood_behind_a_code_name(case: Path, desk: Desk) -> None:
    """The request names the suspect, as the plan does; nothing that was seen or found names it beside a code name."""
    named = json.loads((desk.marks / "request.json").read_bytes())
    assert "payload" in named or "suspects" in json.dumps(named)
    view = case_view(case)
    told = b""
    with CaseFolder.open(case) as held:
        for body in [entry.body for entry in view.entries if isinstance(entry.body, Observed | Examined)]:
            kept = body.observation if isinstance(body, Observed) else body.record
            told += held.objects.get(kept) if kept else body.absent.encode()
    assert len(told) > 1000
    assert not [name for name in SECRET_NAMES if name.lower().encode() in told.lower()]
    lines = {model.subject: model.examination.relations["canaries"].pair.content for model in view.examined}
    assert {content["named"] for content in lines.values()} == {"not named"}
    assert all(name not in json.dumps(list(lines.values())) for name in SECRET_NAMES)


def test_the_other_side_examines_the_same_marks_and_gets_the_same_bytes(case: Path, tmp_path: Path) -> None:
    expert = Acting(signer=new_signer(), actor="their expert", clock=Clock(), stampers=())
    answer = challenge(case, tmp_path / "answer", Answer(party="Wombat Works"), expert, chance=bytes(32), pdf=False)
    assert answer.comparison.same_bytes
    assert any(test.test.startswith("canaries") for test in answer.comparison.tests)


def test_marks_that_lie_outside_are_found_from_the_other_sides_case(court: Court, desk: Desk, tmp_path: Path) -> None:
    """Their place is told relative to the case that is answered, and seen from another folder."""
    manifest = prepared(court, desk, inside_limit=0)
    assert not manifest.inside
    court.run()
    expert = Acting(signer=new_signer(), actor="their expert", clock=Clock(), stampers=())
    (tmp_path / "far" / "away").mkdir(parents=True)
    counter = tmp_path / "far" / "away" / "answer"
    answer = challenge(court.path, counter, Answer(party="Wombat Works"), expert, chance=bytes(32), pdf=False)
    assert answer.comparison.same_bytes


def test_a_bag_of_it_is_whole_and_tells_what_the_marks_are(case: Path, tmp_path: Path) -> None:
    bag = write_bag(case, tmp_path / "bag", case_view(case))
    assert bagit.Bag(str(bag.folder)).is_valid()
    bill = json.loads((bag.folder / "data" / "pedigree.cdx.json").read_bytes())
    (marks,) = (each for each in bill["components"] if each["name"] == "ours/canaries")
    assert marks["type"] == "data"
    assert "pedigree" not in marks
    assert {file["name"] for file in marks["components"]} >= {"opening.json", "request.json", "commitment.json"}
    crate = json.loads((bag.folder / "data" / "ro-crate-metadata.json").read_bytes())
    (told,) = (each for each in crate["@graph"] if each.get("name") == "ours/canaries")
    assert told["additionalType"] == "marks"
    assert len(told["hasPart"]) == len(marks["components"])


# ------------------------------------------------------------------------------------------------------------- admission


@pytest.fixture
def court(tmp_path: Path, signer: Signer) -> Court:
    return Court(tmp_path, signer)


def test_every_file_lies_in_the_case_with_the_digest_that_it_has(court: Court, desk: Desk) -> None:
    """Truth from hashlib over the folder."""
    manifest = prepared(court, desk)
    assert (manifest.kind, manifest.location, manifest.inside) == ("marks", "marks:.", True)
    files = {path.name: path.read_bytes() for path in desk.marks.iterdir()}
    assert {file.name: (file.size, file.sha256) for file in manifest.files} == {
        name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()
    }
    assert manifest.content_id == open_marks(desk.marks).identity().content_id
    with court.sitting() as held:
        source = Exhibits(held).open("ours")
        assert source.name == "ours"
        assert source.marks()[0].files == files
        assert not isinstance(source.tokenizer(), Absent)


def test_a_reference_may_be_marks_alone(court: Court, desk: Desk) -> None:
    court.admit(f"marks:{desk.marks}", "ours", "reference")
    with court.sitting() as held:
        assert Exhibits(held).open("ours").marks()[0].kind == "canaries"


@pytest.mark.parametrize("role", ["suspect", "candidate", "control", "material"])
def test_marks_speak_for_the_reference_alone(court: Court, desk: Desk, role: str) -> None:
    with pytest.raises((UsageError, SourceNotFound)):
        court.admit(f"marks:{desk.marks}", "theirs", role)  # type: ignore[arg-type]
    assert not court.bodies(Admitted)


def test_the_folder_gives_the_usual_name(desk: Desk) -> None:
    assert usual_name(f"marks:{desk.marks}") == "opened"


def key_of_all_batches(folder: Path) -> None:
    save_key(bytes(range(32)), folder / "canary.secret")


def private_key(folder: Path) -> None:
    (folder / "signing.key").write_text("-----BEGIN PRIVATE KEY-----\nMC4C\n")


@pytest.mark.parametrize("leave", [key_of_all_batches, private_key])
def test_what_is_still_secret_is_refused_beside_what_was_opened(
    court: Court, desk: Desk, tmp_path: Path, leave: Callable[[Path], None]
) -> None:
    """The opened batch's own key stands in opening.json and is admitted, as above: it is public from then on."""
    folder = shutil.copytree(desk.marks, tmp_path / "opened")
    leave(folder)
    with pytest.raises(UsageError, match="private key or the secret of a draw"):
        court.admit(f"marks:{folder}", "ours", "reference")
    assert not court.bodies(Admitted)


def test_a_link_out_of_the_folder_does_not_bring_its_target_into_the_case(
    court: Court, desk: Desk, tmp_path: Path
) -> None:
    folder = shutil.copytree(desk.marks, tmp_path / "opened")
    (tmp_path / "letter").write_text("to somebody else")
    (folder / "authority.x.pem").symlink_to(tmp_path / "letter")
    with pytest.raises(UnsafeSource, match="leads out of its folder"):
        court.admit(f"marks:{folder}", "ours", "reference")


# ------------------------------------------------------------------------------------------------------ outside the case


def test_marks_outside_the_case_are_hashed_again_wherever_they_lie_now(
    court: Court, desk: Desk, tmp_path: Path
) -> None:
    folder = shutil.copytree(desk.marks, tmp_path / "opened")
    manifest = court.admit(f"marks:{folder}", "ours", "reference", inside_limit=0)
    assert (manifest.location, manifest.inside) == ("marks:../opened", False)
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "ours")
    with court.sitting() as held:
        with pytest.raises(SourceNotFound, match="is missing"):
            Exhibits(held).open("ours")
        for places in (found_in(moved.parent, held.manifests), {"ours": str(moved)}, {"ours": f"marks:{moved}"}):
            assert Exhibits(held, places).open("ours").identity().content_id == manifest.content_id


def altered(folder: Path) -> None:
    (folder / "ledger.jsonl").write_bytes((folder / "ledger.jsonl").read_bytes() + b"\n")


def added(folder: Path) -> None:
    (folder / "authority.own.pem").write_text("a certificate of one's own")


@pytest.mark.parametrize("change", [altered, added])
def test_what_was_changed_or_added_since_is_not_what_was_admitted(
    court: Court, desk: Desk, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Of marks every file in the folder is read: one more would be read with them."""
    folder = shutil.copytree(desk.marks, tmp_path / "opened")
    court.admit(f"marks:{folder}", "ours", "reference", inside_limit=0)
    change(folder)
    with court.sitting() as held, pytest.raises(RecordError, match="not what was admitted"):
        Exhibits(held).open("ours")


HOSTILE = ("marks:/etc", "marks:..", "marks:./../..", "marks:./opening.json", ".", "./opening.json", "/etc", "")


@pytest.mark.parametrize(("kind", "location"), [*(("marks", place) for place in HOSTILE), ("folder", "marks:.")])
def test_a_manifest_that_opens_something_else_is_refused_and_does_not_verify(
    court: Court, desk: Desk, kind: str, location: str
) -> None:
    manifest = court.admit(f"marks:{desk.marks}", "ours", "reference")
    hostile = msgspec.structs.replace(manifest, exhibit="hostile", kind=kind, location=location)
    with court.sitting() as held:
        held.append(Admitted(exhibit="hostile", role="reference", manifest=held.folder.put_record(hostile)))
        with pytest.raises(UnsafeSource):
            Exhibits(held).open("hostile")
        assert not any(held.scratch.rglob("*"))
    custody = verify_case(court.path).checks[7]
    assert [failure.what for failure in custody.failures if "which is not in the case" in failure.what]


def test_marks_of_a_key_that_the_plan_does_not_trust_give_no_figure(court: Court, desk: Desk) -> None:
    """Whoever trusts another key than the one that signed: no figure, and the reason is in the record."""
    prepared(court, desk, keyid="ab" * 32)
    court.run()
    for model in case_view(court.path).examined:
        outcomes = [each for each in model.examination.outcomes if each.examiner == "canaries"]
        assert {type(each) for each in outcomes} == {Inconclusive}
    assert verify_case(court.path).passed


# -------------------------------------------------------------------------------------------- every examiner of marks

MARKED = [
    each.NAME
    for each in catalogue.examiners()
    if Access.MARKS in each.NEEDS and find_spec(f"tests.marked.{each.NAME}") is not None
]
LINE_UP = """
reference = "ours"
suspect = "Wombat"
examiners = ["{examiner}"]
[[controls]]
exhibit = "Numbat"
[line_up]
foils = 1
[[line_up.pool]]
exhibit = "Quokka"
"""


@pytest.fixture(scope="module")
def planted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bench's world of an examiner: marks, and answers of a relative, of strangers and of controls."""
    folder = tmp_path_factory.mktemp(request.param)
    import_module(f"tests.marked.{request.param}").make(folder)
    return folder


def told_of(file: Path, model: str) -> str:
    return f"transcripts:{file}#{model}"


@pytest.mark.parametrize(("planted", "examiner"), [(name, name) for name in MARKED], indirect=["planted"], ids=MARKED)
def test_compare_and_a_case_find_the_same(planted: Path, examiner: str, signer: Signer, tmp_path: Path) -> None:
    """One figure from the command and from a blinded case, which verifies; a stranger in the suspect's place has none."""
    marks, answers = f"marks:{planted / MARKS}", planted / ANSWERS
    court = Court(tmp_path, signer)
    court.admit(marks, "ours", "reference")
    court.admit(told_of(answers, "relative"), "Wombat", "suspect")
    court.admit(told_of(answers, "stranger 1"), "Quokka", "candidate", lineage="quokka")
    court.admit(told_of(answers, "control 1"), "Numbat", "control")
    court.plan(LINE_UP.format(examiner=examiner))
    court.run()
    assert [(check.number, check.failures) for check in verify_case(court.path).checks if check.failures] == []
    blind = {model.exhibit: model.examination.outcomes for model in case_view(court.path).examined}
    open_view = compare(marks, told_of(answers, "relative"), [told_of(answers, "control 1")], only=(examiner,)).outcomes
    assert [(each.test, type(each)) for each in blind["Wombat"]] == [(each.test, type(each)) for each in open_view]
    figures = [
        [(each.count, each.opportunities, each.log10_p, each.log10_e) for each in outcomes if isinstance(each, Finding)]
        for outcomes in (blind["Wombat"], open_view)
    ]
    assert figures[0] == figures[1]
    assert min(log10_p for _, _, log10_p, _ in figures[0]) < -6
    assert all(each.log10_p > -3 for each in blind["Quokka"] if isinstance(each, Finding))


def test_marks_are_admitted_from_the_command_line(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FILIATION_KEY", str(tmp_path / "key.pem"))
    case = case_world.opened(tmp_path)
    case_world.done("admit", case, desk.place / "ours", "--role", "reference")
    case_world.done("admit", case, f"marks:{desk.marks}", "--as", "ours/canaries", "--role", "reference")
    told = capsys.readouterr().out
    assert f"ours/canaries: reference, {len(list(desk.marks.iterdir()))} files" in told
    assert case_world.run("admit", case, f"marks:{desk.marks}", "--role", "suspect") == UsageError.exit_code
    assert "--as NAME/marks where the reference itself is admitted as NAME" in capsys.readouterr().err
