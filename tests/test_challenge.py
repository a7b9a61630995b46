"""Answers to a real small case: the same plan, changed plans, the beacon of the other side, and exhibits that moved or changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from filiation.case.comparison import NOTE, Comparison, noted_in
from filiation.case.folder import CaseFolder
from filiation.case.records import Admitted, Asked, Drawn, Examined, Noted, Opened, Plan, Sealed
from filiation.case.signing import Signer, new_signer, save_signer
from filiation.challenge import (
    CHANGES_NOTE,
    Answer,
    Answered,
    Further,
    challenge,
    changed_plan,
    compared_again,
)
from filiation.errors import RecordError, SourceNotFound, UsageError
from filiation.proceedings.admission import Origin, admit
from filiation.proceedings.examining import examine
from filiation.proceedings.line_up import draw, reveal, secrets_file
from filiation.proceedings.observing import observe
from filiation.proceedings.opening import close, open_case
from filiation.proceedings.plan_file import plan_from_tables
from filiation.proceedings.planning import seal_plan
from filiation.proceedings.sitting import Acting, sitting
from filiation.proceedings.verifying import verify_case
from filiation.report.wording import AGREEMENTS
from tests import case_world
from tests.case.worlds import Clock, make_exhibits
from tests.sources.endpoints.fault_server import fault_server

pytestmark = pytest.mark.xdist_group("challenge")  # what is made for all of them is made once

ROLES = {
    "atlas": ("reference", "atlas"),
    "borealis": ("suspect", ""),
    "cygnus": ("control", "cygnus"),
    "draco": ("candidate", "draco"),
    "eridanus": ("candidate", "eridanus"),
    "fornax": ("candidate", "fornax"),
}
OUTSIDE = "cygnus"
CHANCE = hashlib.sha256(b"chance").digest()
PLAN: dict[str, Any] = {
    "reference": "atlas",
    "suspect": "borealis",
    "examiners": ["tokenizer", "architecture"],
    "controls": [{"exhibit": "cygnus", "lineage": "cygnus"}],
    "line_up": {
        "foils": 2,
        "matched_on": ["architecture"],
        "pool": [{"exhibit": name, "lineage": name} for name, (role, _) in ROLES.items() if role == "candidate"],
    },
}


@dataclass
class Dispute:
    """A closed case whose accusation is true, with the models in a folder beside it."""

    models: Path
    case: Path
    signer: Signer

    def other_side(self) -> Acting:
        return acting(new_signer(), "the other side's expert")


def acting(signer: Signer, actor: str) -> Acting:
    return Acting(signer=signer, actor=actor, clock=Clock(datetime.now(UTC)), stampers=())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    make_exhibits(place / "models")
    return place / "models"


@pytest.fixture(scope="module")
def dispute(models: Path) -> Dispute:
    made = Dispute(models, models.parent / "case", new_signer())
    written(made)
    return made


def written(made: Dispute, *, until: str = "close", endpoint: str = "") -> None:
    """The claimant's case, through the verbs. `endpoint`: where the suspect answers, too."""
    claimant = acting(made.signer, "the claimant's expert")
    open_case(made.case, claimant, title="Atlas and Borealis", case="ab" * 16).let_go()
    with sitting(made.case, claimant) as held:
        for name, (role, lineage) in ROLES.items():
            told = Origin(origin="made for the tests", obtained_by="the claimant", lineage=lineage)
            limit = 0 if name == OUTSIDE else 10**9
            admit(held, str(made.models / name), exhibit=name, role=role, origin=told, inside_limit=limit)  # type: ignore[arg-type]
        if endpoint:
            told = Origin(origin="its service", obtained_by="the claimant")
            admit(held, endpoint, exhibit="borealis/answers", role="suspect", origin=told)
        seal_plan(held, plan_from_tables(PLAN, "plan"), chance=CHANCE)
    with sitting(made.case, claimant) as held:
        draw(held, secret=bytes(range(32)), secrets=secrets_file(made.case))
    with sitting(made.case, claimant) as held:
        observe(held, secrets=secrets_file(made.case))
        examine(held, secrets=secrets_file(made.case))
    if until == "examine":
        return
    with sitting(made.case, claimant) as held:
        reveal(held, secrets=secrets_file(made.case))
        close(held)


def answered(dispute: Dispute, counter: Path, changes: Mapping[str, Any] | None = None, **more: Any) -> Answered:
    who = more.pop("who", None) or dispute.other_side()
    answer = Answer(party="Borealis", changes=changes or {}, **more)
    return challenge(dispute.case, counter, answer, who, chance=hashlib.sha256(b"other").digest(), pdf=False)


def bodies(path: Path, kind: type[Any]) -> list[Any]:
    with CaseFolder.open(path) as folder:
        return [entry.body for entry in folder.entries if isinstance(entry.body, kind)]


@pytest.fixture(scope="module")
def unchanged(dispute: Dispute, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answered]:
    counter = tmp_path_factory.mktemp("unchanged") / "answer"
    return counter, answered(dispute, counter)


def test_an_unchanged_plan_gives_the_same_bytes_throughout(dispute: Dispute, unchanged: tuple[Path, Answered]) -> None:
    counter, found = unchanged
    assert found.comparison.same_bytes
    assert found.comparison.changes == ()
    assert len(found.comparison.records) == 3
    assert {test.agreement for test in found.comparison.tests} == {"same bytes"}
    ours = {body.subject: (body.record, body.outcomes) for body in bodies(dispute.case, Examined)}
    assert {body.subject: (body.record, body.outcomes) for body in bodies(counter, Examined)} == ours


def test_the_answer_is_a_case_of_its_own_that_verifies(dispute: Dispute, unchanged: tuple[Path, Answered]) -> None:
    counter, _ = unchanged
    verified = verify_case(counter)
    assert [(check.number, check.failures) for check in verified.checks if check.failures] == []
    opened = bodies(counter, Opened)[0]
    with CaseFolder.open(dispute.case) as original:
        assert opened.counter_to.case == original.header.case
        assert opened.counter_to.head == original.head
        assert opened.counter_to.sequence == original.entries[-1].sequence
        assert opened.counter_to.keyid == dispute.signer.key.keyid
    assert opened.key.keyid != dispute.signer.key.keyid
    assert bodies(counter, Admitted) == bodies(dispute.case, Admitted)


def test_the_comparison_is_signed_and_can_be_made_again(dispute: Dispute, unchanged: tuple[Path, Answered]) -> None:
    counter, found = unchanged
    with CaseFolder.open(counter) as folder:
        assert noted_in(folder.entries) == found.digest
        assert folder.get_record(found.digest, Comparison) == found.comparison
        assert folder.unsigned_entries() == ()
    assert compared_again(dispute.case, counter) == found.comparison


def test_the_report_of_the_answer_shows_the_comparison(unchanged: tuple[Path, Answered]) -> None:
    counter, found = unchanged
    assert found.report is not None
    assert found.report.draft
    page = next((counter / "reports").glob("*.html")).read_text()
    assert "Every record of the challenge has the same bytes as that of the case" in page


def test_nobody_else_can_go_on_with_an_answer(
    dispute: Dispute, unchanged: tuple[Path, Answered], tmp_path: Path
) -> None:
    counter, _ = unchanged
    copy = Path(shutil.copytree(counter, tmp_path / "answer"))
    with pytest.raises(UsageError, match="signed with the key"):
        answered(dispute, copy, who=acting(new_signer(), "somebody else"))
    assert (copy / "ledger.jsonl").read_bytes() == (counter / "ledger.jsonl").read_bytes()


def test_an_interrupted_answer_goes_on_with_the_same_command(dispute: Dispute, tmp_path: Path) -> None:
    """Exhibits outside the case are not at hand at first: the answer stops there, and goes on with --at."""
    moved = Dispute(dispute.models, Path(shutil.copytree(dispute.case, tmp_path / "moved" / "case")), dispute.signer)
    who = dispute.other_side()
    with pytest.raises(SourceNotFound, match="not where it was") as missing:
        answered(moved, tmp_path / "answer", who=who)
    assert missing.value.exhibit == OUTSIDE
    assert f"--at '{OUTSIDE}=PATH'" in missing.value.advice
    found = answered(moved, tmp_path / "answer", who=who, places={OUTSIDE: str(dispute.models / OUTSIDE)})
    assert found.comparison.same_bytes
    before = (tmp_path / "answer" / "ledger.jsonl").read_bytes()
    again = answered(moved, tmp_path / "answer", who=who, places={OUTSIDE: str(dispute.models / OUTSIDE)})
    assert again.report is None
    assert again.digest == found.digest
    assert (tmp_path / "answer" / "ledger.jsonl").read_bytes() == before


def test_an_exhibit_with_other_bytes_is_named(dispute: Dispute, tmp_path: Path) -> None:
    altered = Path(shutil.copytree(dispute.models / OUTSIDE, tmp_path / OUTSIDE))
    (altered / "config.json").write_text((altered / "config.json").read_text().replace("4544", "4545"))
    with pytest.raises(RecordError, match="not what was admitted") as refused:
        answered(dispute, tmp_path / "answer", places={OUTSIDE: str(altered)})
    assert refused.value.exhibit == OUTSIDE


def test_fewer_examiners_and_other_weights_are_told_as_changes(dispute: Dispute, tmp_path: Path) -> None:
    found = answered(dispute, tmp_path / "answer", {"examiners": ["tokenizer"]}).comparison
    labels = {change.label for change in found.changes}
    assert "examiners: architecture" in labels
    gone = [test for test in found.tests if test.agreement == "only in the original"]
    assert gone
    assert all("examiners: architecture" in test.explained_by for test in gone)
    kept = [test for test in found.tests if test.test.startswith("tokenizer")]
    assert {test.agreement for test in kept} == {"same bytes"}
    assert not found.same_bytes
    assert verify_case(tmp_path / "answer").passed


def test_other_foils_stand_in_the_answer_alone(dispute: Dispute, tmp_path: Path) -> None:
    foils = set(bodies(dispute.case, Drawn)[0].foils)
    left = next(name for name in ("draco", "eridanus", "fornax") if name not in foils)
    pool = [{"exhibit": left, "lineage": left}]
    found = answered(dispute, tmp_path / "answer", {"line_up": {"pool": pool, "foils": 1}}).comparison
    degrees = {record.exhibit: (bool(record.original), bool(record.challenge)) for record in found.records}
    assert degrees == {"borealis": (True, True), left: (False, True), **dict.fromkeys(foils, (True, False))}
    assert {f"foils: {name}" for name in (left, *foils)} <= {change.label for change in found.changes}
    suspect = [test for test in found.tests if test.exhibit == "borealis"]
    assert {test.agreement for test in suspect} == {"same bytes"}


def test_the_other_side_adds_a_control_of_its_own(dispute: Dispute, tmp_path: Path) -> None:
    pool = [each for each in PLAN["line_up"]["pool"] if each["exhibit"] != "gemini"]
    told = Origin(origin="the other side's shelf", obtained_by="Borealis", lineage="gemini")
    twin = Path(shutil.copytree(dispute.models / "fornax", tmp_path / "gemini"))
    (twin / "config.json").write_text((twin / "config.json").read_text().replace("2048", "1920"))
    further = (Further("gemini", str(twin), told),)
    changes = {"controls": [*PLAN["controls"], {"exhibit": "gemini", "lineage": "gemini"}], "line_up": {"pool": pool}}
    found = answered(dispute, tmp_path / "answer", changes, further=further).comparison
    assert "controls: gemini" in {change.label for change in found.changes}
    assert "exhibits: gemini" in {change.label for change in found.changes}
    assert not found.same_bytes
    different = [test for test in found.tests if test.agreement != "same bytes"]
    assert different
    assert all("controls: gemini" in test.explained_by for test in different)
    assert verify_case(tmp_path / "answer").passed


def test_an_added_exhibit_without_a_place_is_refused(dispute: Dispute, tmp_path: Path) -> None:
    told = Origin(origin="the other side's shelf", obtained_by="Borealis")
    with pytest.raises(UsageError, match="gives it no place") as refused:
        answered(dispute, tmp_path / "answer", further=(Further("gemini", str(dispute.models / "fornax"), told),))
    assert refused.value.exhibit == "gemini"


def test_a_seed_of_the_other_side_is_told(dispute: Dispute, tmp_path: Path) -> None:
    found = answered(dispute, tmp_path / "answer", {"announcement": {"basis": "claimant", "seed": "7" * 64}}).comparison
    assert "seed" in {change.label for change in found.changes}
    assert found.unexplained == ()


def test_a_beacon_that_is_still_to_come_stops_the_answer_after_the_seal(dispute: Dispute, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="waits for round"):
        answered(dispute, tmp_path / "answer", {"announcement": {"basis": "drand"}})
    assert len(bodies(tmp_path / "answer", Sealed)) == 1
    assert bodies(tmp_path / "answer", Drawn) == []


def test_what_is_changed_is_kept_word_for_word_and_cannot_be_exchanged(dispute: Dispute, tmp_path: Path) -> None:
    who = dispute.other_side()
    changes = {"announcement": {"basis": "drand"}}
    with pytest.raises(UsageError, match="waits for round"):
        answered(dispute, tmp_path / "answer", changes, who=who)
    kept = [body for body in bodies(tmp_path / "answer", Noted) if body.text == CHANGES_NOTE]
    with CaseFolder.open(tmp_path / "answer") as folder:
        assert msgspec.json.decode(folder.objects.get(kept[0].objects[0])) == changes
    with pytest.raises(UsageError, match="begun with other changes"):
        answered(dispute, tmp_path / "answer", {"examiners": ["tokenizer"]}, who=who)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another suspect": ({"suspect": "draco"}, "an answer is given on the same suspect, borealis"),
    "another reference": ({"reference": "draco"}, "an answer is given on the same reference, atlas"),
    "a key that no plan has": ({"sead": 3}, "there is no key sead"),
    "an examiner that is none": ({"examiners": ["tokeniser"]}, "there is no examiner tokeniser"),
    "a parameter that is none": ({"parameters": {"tokenizer": {"depth": 3}}}, "there is no parameter"),
    "more foils than there are": ({"line_up": {"foils": 9}}, "the line-up wants 9 foils and the pool gives 3"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_changes_that_cannot_be_are_refused(dispute: Dispute, tmp_path: Path, case: str) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        answered(dispute, tmp_path / "answer", changes)


def test_a_case_that_does_not_verify_is_not_answered(dispute: Dispute, tmp_path: Path) -> None:
    altered = Path(shutil.copytree(dispute.case, tmp_path / "case"))
    victim = next(path for path in (altered / "objects").rglob("*") if path.is_file())
    victim.write_bytes(victim.read_bytes() + b" ")
    moved = Dispute(dispute.models, altered, dispute.signer)
    with pytest.raises(RecordError, match=r"the case does not verify: check \d+"):
        answered(moved, tmp_path / "answer")
    assert not (tmp_path / "answer").exists()


def test_the_key_that_was_told_must_be_the_one_that_signed(dispute: Dispute, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="does not verify"):
        challenge(
            dispute.case,
            tmp_path / "answer",
            Answer(party="Borealis"),
            dispute.other_side(),
            chance=CHANCE,
            keyid="0" * 64,
        )


def test_a_case_that_has_not_revealed_its_code_names_waits(models: Path, tmp_path: Path) -> None:
    made = Dispute(models, tmp_path / "case", new_signer())
    written(made, until="examine")
    with pytest.raises(UsageError, match="has not revealed"):
        answered(made, tmp_path / "answer")


def test_a_folder_that_answers_something_else_is_refused(dispute: Dispute, tmp_path: Path) -> None:
    who = dispute.other_side()
    open_case(tmp_path / "other", who, title="no answer", case="cd" * 16).let_go()
    with pytest.raises(UsageError, match="a case that answers none"):
        answered(dispute, tmp_path / "other", who=who)


def test_an_altered_comparison_is_found_when_it_is_made_again(
    dispute: Dispute, unchanged: tuple[Path, Answered], tmp_path: Path
) -> None:
    """Somebody who holds the other side's key notes a comparison of their own making."""
    counter = tmp_path / "answer"
    who = dispute.other_side()
    found = answered(dispute, counter, {"examiners": ["tokenizer"]}, who=who)
    forged = msgspec.structs.replace(found.comparison, changes=())
    with sitting(counter, who) as held:
        held.append(Noted(text=NOTE, objects=(held.folder.put_record(forged),)))
    with pytest.raises(RecordError, match="compared again, the comparison reads"):
        compared_again(dispute.case, counter)
    with pytest.raises(RecordError, match="holds no comparison"):
        compared_again(dispute.case, dispute.case)


# --------------------------------------------------------------------------------------------------- answers of models


def test_recorded_answers_outside_the_case_are_found_from_elsewhere_and_give_the_same_bytes(tmp_path: Path) -> None:
    """Tokenizers and recorded answers of simulated models, all left where they are; places are told relative to the case."""
    world = case_world.made(tmp_path / "world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FILIATION_KEY", str(tmp_path / "world" / "key.pem"))
        case = case_world.opened(tmp_path / "world")
        case_world.admitted(world, case, inside_limit="0 MB")
        (tmp_path / "plan.toml").write_text(world.plan())
        for verb in (("plan", case, tmp_path / "plan.toml"), ("draw", case), ("observe", case), ("examine", case)):
            case_world.done(*verb)
        case_world.done("reveal", case)
    (tmp_path / "far" / "away").mkdir(parents=True)
    found = challenge(
        case, tmp_path / "far" / "away" / "answer", Answer(party="Wombat Works"), acting(new_signer(), "their expert"),
        chance=CHANCE, pdf=False,
    )  # fmt: skip
    assert found.comparison.same_bytes
    assert any(test.test.startswith("verbatim") for test in found.comparison.tests)


def test_what_an_endpoint_answered_is_examined_again_and_nobody_is_asked_unless_the_prompts_change(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Dispute(models, tmp_path / "case", new_signer())
    monkeypatch.setitem(PLAN, "probes", [{"name": "open", "count": 3}])
    with fault_server() as server:
        written(made, endpoint=f"openai:theirs@{server.url}")
        asked = len(server.asked)
        assert asked == 3
        found = answered(made, tmp_path / "same")
        assert found.comparison.same_bytes
        assert len(server.asked) == asked
        assert bodies(tmp_path / "same", Asked) == bodies(made.case, Asked)
        assert verify_case(tmp_path / "same").passed
        other = answered(made, tmp_path / "other", {"probes": [{"name": "open", "count": 5}]})
        assert len(server.asked) == asked + 5
    assert "prompts: open" in {change.label for change in other.comparison.changes}


# ------------------------------------------------------------------------------------------------- on the command line


def test_the_command_answers_checks_and_tells(
    dispute: Dispute, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, key = tmp_path / "answer", tmp_path / "other.key"
    save_signer(new_signer(), key)
    (tmp_path / "changes.toml").write_text('examiners = ["tokenizer"]\n')
    words = ("challenge", dispute.case, answer, "--party", "Borealis", "--key", key, "--no-pdf")
    assert case_world.run(*words, "--plan", tmp_path / "changes.toml", "--key-id", dispute.signer.key.keyid) == 0
    told = capsys.readouterr().out
    assert "The answer to case abababab" in told
    assert "examiners: architecture: planned in the case, nothing in the challenge" in told
    assert "reports/report-" in told
    assert case_world.run("challenge", dispute.case, answer, "--check", "--json") == 0
    assert json.loads(capsys.readouterr().out)["answers"]["case"] == "ab" * 16
    assert case_world.run("verify", answer) == 0
    assert case_world.run("challenge", dispute.case, dispute.case, "--check") == RecordError.exit_code


def test_a_file_of_changes_that_cannot_be_read_is_refused(dispute: Dispute, tmp_path: Path) -> None:
    key = tmp_path / "other.key"
    save_signer(new_signer(), key)
    (tmp_path / "changes.toml").write_text("examiners = [")
    words = ("challenge", dispute.case, tmp_path / "answer", "--key", key, "--plan")
    assert case_world.run(*words, tmp_path / "changes.toml") == UsageError.exit_code
    assert case_world.run(*words, tmp_path / "none.toml") == SourceNotFound.exit_code
    assert not (tmp_path / "answer").exists()


def test_the_page_for_the_other_side_shows_changes_that_can_be(dispute: Dispute) -> None:
    """The file in docs/challenging-a-case.md is read as it stands there; its options are those of the command."""
    page = (Path(__file__).parents[1] / "docs" / "challenging-a-case.md").read_text()
    lines = page.split("    # changes.toml\n")[1].split("\nand give it")[0]
    with CaseFolder.open(dispute.case) as folder:
        plan = folder.get_record(bodies(dispute.case, Sealed)[-1].plan, Plan)
    changes = tomllib.loads(textwrap.dedent(lines))
    wanted = changed_plan(plan, bodies(dispute.case, Drawn)[-1], changes)
    assert wanted.line_up.foils == 3
    assert wanted.line_up.pool == plan.line_up.pool
    assert wanted.parameters["text_kinship"] == {"most_prompts": 500}
    for option in ("--plan", "--at", "--add", "--beacon", "--check", "--declarations", "--key-id", "--party"):
        assert option in page
    assert not [reading for reading in AGREEMENTS.values() if reading not in page]
