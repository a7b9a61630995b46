"""A whole case through the command line: real tokenizers, simulated answers, no step taken by hand."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from filiation.case.folder import CaseFolder
from filiation.case.records import Examined, Observed, Plan, Revealed
from filiation.cli.case import acting
from filiation.evidence import Examination, Finding
from tests import case_world
from tests.case_world import SECRET_NAMES, Dispute, done, process, run

pytestmark = pytest.mark.xdist_group("case commands")  # what is made for all of them is made once


@pytest.fixture(scope="module")
def dispute(tmp_path_factory: pytest.TempPathFactory) -> Dispute:
    return case_world.made(tmp_path_factory.mktemp("dispute"))


@pytest.fixture(scope="module", autouse=True)
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cases")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FILIATION_KEY", str(place / "key.pem"))
        yield place


@pytest.fixture(scope="module")
def drawn(dispute: Dispute, key: Path) -> Path:
    """A case up to the draw; tests work on copies."""
    return case_world.planned(dispute, key)


@pytest.fixture(scope="module")
def examined(drawn: Path) -> Path:
    case = copied(drawn, drawn.parent / "examined")
    done("observe", case)
    done("examine", case)
    return case


@pytest.fixture(scope="module")
def closed(examined: Path) -> Path:
    case = copied(examined, examined.parent / "closed")
    done("reveal", case)
    done("report", case, "--draft", "--no-pdf")
    done("close", case)
    return case


def copied(case: Path, place: Path) -> Path:
    """The case with its secret, as another person would have it."""
    shutil.copytree(case, place)
    shutil.copy(case.with_name(f"{case.name}.secret"), place.with_name(f"{place.name}.secret"))
    return place


def bodies(case: Path, kind: type) -> list:
    with CaseFolder.open(case) as folder:
        return [entry.body for entry in folder.entries if isinstance(entry.body, kind)]


# ------------------------------------------------------------------------------------------------------ the straight path


def test_a_whole_case_verifies_open_and_closed(examined: Path, closed: Path, capsys) -> None:
    assert run("verify", examined) == 0
    assert run("verify", closed, "--json") == 0
    printed = capsys.readouterr().out
    found = json.loads(printed[printed.index("{\n") :])
    assert found["state"] == "closed"
    assert all(not check["failures"] for check in found["checks"])
    assert {entry.subject for entry in bodies(closed, Examined)} == set(bodies(closed, Revealed)[0].exhibits)


def test_the_suspect_is_found_and_the_foil_is_not(closed: Path) -> None:
    """Truth by construction: the suspect's tokenizer is a shorter training on the reference's text, the foil's on other text."""
    revealed = bodies(closed, Revealed)[0].exhibits
    smallest = {}
    with CaseFolder.open(closed) as folder:
        for body in bodies(closed, Examined):
            outcomes = folder.get_record(body.record, Examination).outcomes
            smallest[revealed[body.subject]] = min(o.log10_p for o in outcomes if isinstance(o, Finding))
    assert smallest.pop("Wombat-7B") < -12
    assert all(value > -2 for value in smallest.values())


def test_nothing_tells_who_stands_behind_a_code_name_before_the_reveal(examined: Path) -> None:
    """Every record of observing and examining, and every absent reason, is searched for the hidden names, whatever their case."""
    codes = set()
    searched = 0
    with CaseFolder.open(examined) as folder:
        for entry in folder.entries:
            if isinstance(entry.body, Observed):
                told = entry.body.absent.encode()
                told += folder.objects.get(entry.body.observation) if entry.body.observation else b""
            elif isinstance(entry.body, Examined):
                codes.add(entry.body.subject)
                told = folder.objects.get(entry.body.record)
            else:
                continue
            searched += 1
            assert not [name for name in SECRET_NAMES if name.casefold().encode() in told.lower()]
    assert len(codes) == 2
    assert searched > 10


def test_a_copy_elsewhere_under_another_clock_zone_and_language_gives_identical_outcomes(
    drawn: Path, examined: Path, tmp_path: Path
) -> None:
    case = copied(drawn, tmp_path / "elsewhere")
    abroad = {**os.environ, "TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8"}
    for verb in ("observe", "examine", "verify"):
        assert process(verb, case, env=abroad, stdout=subprocess.DEVNULL).wait() == 0
    here = {body.subject: (body.outcomes, body.record) for body in bodies(examined, Examined)}
    assert {body.subject: (body.outcomes, body.record) for body in bodies(case, Examined)} == here


def test_what_is_done_is_never_done_again(examined: Path, tmp_path: Path, capsys) -> None:
    case = copied(examined, tmp_path / "again")
    before = (case / "ledger.jsonl").read_bytes()
    done("observe", case)
    done("examine", case)
    assert (case / "ledger.jsonl").read_bytes() == before
    assert "everything is examined already" in capsys.readouterr().out


def test_exhibits_acquired_again_give_the_recorded_outcomes(closed: Path, capsys) -> None:
    assert run("verify", closed, "--reacquire") == 0
    assert "Acquired again: holds (2 looked at)" in capsys.readouterr().out


def test_exhibits_are_found_by_name_in_a_folder(drawn: Path, dispute: Dispute, tmp_path: Path, capsys) -> None:
    """`--at FOLDER` for all of them at once; what is named counts before what is found."""
    done("open", tmp_path / "case")
    case_world.admitted(dispute, tmp_path / "case", inside_limit="0")
    places = acting.places_at(
        tmp_path / "case", [str(dispute.place / "models"), str(dispute.place), "other=/disk/other"]
    )
    names = ("ours", "Wombat-7B", "Quokka", "Numbat")
    assert places["other"] == "/disk/other"
    assert {name: places[name] for name in names} == {name: str(dispute.folder(name)) for name in names}
    assert {places[f"{name}/answers"] for name in names} == {str(dispute.answers)}
    assert run("verify", tmp_path / "case", "--reacquire", "--at", "nowhere") == 2
    assert "neither NAME=PATH nor a folder" in capsys.readouterr().err


def test_of_a_file_of_transcripts_what_is_there_already_is_left_out(
    drawn: Path, dispute: Dispute, tmp_path: Path, capsys
) -> None:
    done("open", tmp_path / "case")
    done("admit", tmp_path / "case", dispute.recorded("ours"), "--role", "reference")
    done("admit", tmp_path / "case", f"transcripts:{dispute.answers}", "--role", "control")
    assert "ours: left out" in capsys.readouterr().err
    roles = {manifest.exhibit: manifest.role for manifest in manifests(tmp_path / "case")}
    assert roles == {"ours": "reference"} | dict.fromkeys(
        ("Wombat-7B", "Quokka", "Numbat", *case_world.CONTROLS), "control"
    )


# ---------------------------------------------------------------------------------------------------------- interruptions


def test_an_interruption_from_the_keyboard_says_how_to_go_on(drawn: Path, tmp_path: Path) -> None:
    case, told = stopped(drawn, tmp_path, "observe", 1, signal.SIGINT)
    assert b"interrupted; what was recorded is kept" in told
    done("observe", case)
    assert run("verify", case) == 0


@pytest.mark.parametrize(("observations", "examinations"), [(1, 0), (9, 1)])
def test_killed_while_observing_or_examining_it_goes_on(
    drawn: Path, examined: Path, tmp_path: Path, observations: int, examinations: int
) -> None:
    case = drawn
    for verb, count in (("observe", observations), ("examine", examinations)):
        case, _ = stopped(case, tmp_path / verb, verb, count, signal.SIGKILL)
        seen = {(b.exhibit, b.examiner): b.observation for b in bodies(case, Observed)}
        done(verb, case)
        again = {(b.exhibit, b.examiner): b.observation for b in bodies(case, Observed)}
        assert {name: again[name] for name in seen} == seen
    whole = {(b.exhibit, b.examiner): b.observation for b in bodies(examined, Observed)}
    assert again == whole
    assert len(bodies(case, Observed)) == len(whole)
    assert {b.outcomes for b in bodies(case, Examined)} == {b.outcomes for b in bodies(examined, Examined)}
    assert run("verify", case) == 0


def stopped(case: Path, place: Path, verb: str, entries: int, by: signal.Signals) -> tuple[Path, bytes]:
    """A copy of the case whose verb got a signal after so many entries (a second after its start where that is 0), and what it said.

    A verb that was done before it could be stopped, as on a busy machine, shows nothing: then the next copy is tried.
    """
    for attempt in range(20):
        copy = copied(case, place.with_name(f"{place.name}-{attempt}"))
        ledger = copy / "ledger.jsonl"
        before = ledger.read_bytes().count(b"\n")
        with process(verb, copy, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
            while running.poll() is None and ledger.read_bytes().count(b"\n") < before + entries:
                time.sleep(0.002)
            if not entries:
                time.sleep(1.0)
            running.send_signal(by)
            _, told = running.communicate()
        if running.returncode != 0:
            assert running.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}[by], told
            return copy, told
    raise AssertionError(f"{verb} was always done before it could be stopped")


# ------------------------------------------------------------------------------------------------------------- wrong order


@pytest.fixture(scope="module")
def fresh(dispute: Dispute, key: Path, drawn: Path) -> Path:
    done("open", key / "fresh")
    return key / "fresh"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("draw",), "no plan is sealed yet"),
        (("observe",), "no plan is sealed yet"),
        (("examine",), "no plan is sealed yet"),
        (("reveal",), "no plan is sealed yet"),
        (("plan",), "no plan is sealed yet"),
        (("examine", "--subject", "x"), "the plan's"),
        (("examine", "--exploratory", "--subject", "x"), "needs a purpose"),
        (("admit", "/nowhere", "--role", "suspect"), "there is no /nowhere"),
        (("admit", "/nowhere", "--role", "victim"), "there is no role victim"),
        (("note", "  "), "a remark has"),
    ],
)
def test_steps_out_of_order_are_told_what_is_due(fresh: Path, capsys, words: tuple[str, ...], told: str) -> None:
    before = (fresh / "ledger.jsonl").read_bytes()
    verb, *rest = words
    assert run(verb, fresh, *rest) in (2, 3)
    error = capsys.readouterr().err
    assert told in error
    assert "advice" in error
    assert (fresh / "ledger.jsonl").read_bytes() == before


def test_after_the_plan_the_next_steps_name_one_another(drawn: Path, examined: Path, tmp_path: Path, capsys) -> None:
    case = copied(drawn, tmp_path / "case")
    for verb, told in (("examine", "not observed yet"), ("reveal", "not examined yet"), ("draw", "drawn already")):
        assert run(verb, case) == 2
        assert told in capsys.readouterr().err
    done("status", case)
    assert f"next: filiation case observe {case}" in capsys.readouterr().out


def test_after_the_reveal_nothing_planned_is_done(closed: Path, examined: Path, tmp_path: Path, capsys) -> None:
    case = copied(examined, tmp_path / "case")
    done("reveal", case)
    for verb in ("observe", "examine"):
        assert run(verb, case) == 2
        assert "--exploratory" in capsys.readouterr().err
    assert run("note", closed, "too late") == 2
    assert "this case is closed" in capsys.readouterr().err


def test_another_key_writes_nothing(drawn: Path, tmp_path: Path, capsys) -> None:
    case = copied(drawn, tmp_path / "case")
    done("key", tmp_path / "other.pem")
    assert run("observe", case, "--key", tmp_path / "other.pem") == 2
    assert "not with" in capsys.readouterr().err
    assert (case / "ledger.jsonl").read_bytes() == (drawn / "ledger.jsonl").read_bytes()


# --------------------------------------------------------------------------------------------------- outside the plan


def test_an_exploratory_run_is_kept_and_marked(examined: Path, tmp_path: Path, capsys) -> None:
    case = copied(examined, tmp_path / "case")
    code = bodies(case, Examined)[0].subject
    purpose = "how it stands without controls"
    done("examine", case, "--exploratory", "--purpose", purpose, "--subject", code, "--only", "tokenizer,architecture")
    done("examine", case, "--exploratory", "--purpose", "a control in the suspect's place", "--subject", "other")
    kept = [body for body in bodies(case, Examined) if body.exploratory]
    assert [body.purpose for body in kept] == [purpose, "a control in the suspect's place"]
    assert all(body.exploratory for body in bodies(case, Observed)[len(bodies(examined, Observed)) :])
    done("reveal", case)
    assert run("verify", case) == 0


def test_an_amendment_says_what_and_when(examined: Path, drawn: Path, dispute: Dispute, tmp_path: Path, capsys) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(dispute.plan() + "\n[tolerance]\nlog10_p = 1.0\n")
    early, late = copied(drawn, tmp_path / "early"), copied(examined, tmp_path / "late")
    assert run("plan", early, plan) == 2
    assert "sealed already" in capsys.readouterr().err
    assert run("plan", early, plan, "--amend") == 2
    assert "needs a reason" in capsys.readouterr().err
    for case, when in ((early, "before"), (late, "after")):
        done("plan", case, plan, "--amend", "--reason", "another runtime")
        assert f"amended: tolerance, {when} the line-up was looked at" in capsys.readouterr().out
        done("observe", case)
        done("examine", case)
        assert run("verify", case) == 0
    assert run("plan", late, plan, "--amend", "--reason", "again") == 2
    assert "changes nothing" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------- exhibits


def test_exhibits_outside_the_case_are_held_against_their_digests(dispute: Dispute, tmp_path: Path, capsys) -> None:
    moved = Dispute(shutil.copytree(dispute.place, tmp_path / "dispute"))
    done("open", tmp_path / "case")
    case_world.admitted(moved, tmp_path / "case", inside_limit="0")
    (tmp_path / "plan.toml").write_text(moved.plan())
    done("plan", tmp_path / "case", tmp_path / "plan.toml")
    done("draw", tmp_path / "case")
    assert not [m for m in manifests(tmp_path / "case") if m.inside]
    elsewhere = shutil.move(moved.folder("other"), tmp_path / "other moved")
    assert run("observe", tmp_path / "case") == 3
    assert "--at 'other=PATH'" in capsys.readouterr().err
    data = bytearray((Path(elsewhere) / "tokenizer.json").read_bytes())
    shutil.copytree(elsewhere, tmp_path / "altered")
    data[-2] ^= 1
    (tmp_path / "altered" / "tokenizer.json").write_bytes(data)
    assert run("observe", tmp_path / "case", "--at", f"other={tmp_path / 'altered'}") == 4
    assert "not what was admitted" in capsys.readouterr().err
    done("observe", tmp_path / "case", "--at", f"other={elsewhere}")
    done("examine", tmp_path / "case", "--at", f"other={elsewhere}", "--trust-size")
    assert run("verify", tmp_path / "case") == 0


def manifests(case: Path) -> list:
    from filiation.proceedings.sitting import CaseAtHand

    return list(CaseAtHand(CaseFolder.open(case)).manifests.values())


def test_names_are_given_once_and_parts_follow_their_whole(
    drawn: Path, dispute: Dispute, tmp_path: Path, capsys
) -> None:
    case = copied(drawn, tmp_path / "case")
    for name, told in (
        ("ours", "admitted before"),
        ("nobody/answers", "part of an exhibit"),
        ("../x", "cannot be called"),
    ):
        assert run("admit", case, dispute.folder("ours"), "--as", name, "--role", "control") == 2
        assert told in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------------- plans


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("reference =", "referense =", "did you mean reference?"),
        ('"tokenizer", "verbatim"', '"tokeniser"', "did you mean tokenizer?"),
        ("foils = 1", "foil = 1", "did you mean foils?"),
        ("packs = ", "pack = ", "there is no parameter verbatim.pack"),
        ('packs = "none"', "packs = 3", "cannot be 3"),
        ('exhibit = "Numbat"', 'exhibit = "ours"', "both reference and candidate"),
        ('suspect = "Wombat-7B"', 'suspect = "Wombat-7B/answers"', "cannot be a suspect"),
        ("[line_up]", '[[propositions]]\nproposition = "weights"\n[line_up]', "speaks to weights"),
        (
            "[line_up]",
            '[[propositions]]\nproposition = "tokenizer"\nweights = {"tokenizer.x" = 1.0}\n[line_up]',
            "no test",
        ),
        ("foils = 1", 'foils = "one"', "this is not a plan"),
    ],
)
def test_a_misspelt_plan_is_told_what_there_is(
    fresh: Path, dispute: Dispute, tmp_path: Path, capsys, before, after, told
):
    plan = tmp_path / "plan.toml"
    text = dispute.plan()
    assert before in text
    plan.write_text(text.replace(before, after, 1))
    assert run("plan", fresh, plan) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "advice" in error


def test_the_example_plan_can_be_sealed(key: Path, fresh: Path, tmp_path: Path, capsys) -> None:
    done("plan", "--example")
    plan = tmp_path / "plan.toml"
    plan.write_text(capsys.readouterr().out)
    done("open", tmp_path / "case")
    done("plan", tmp_path / "case", plan)
    capsys.readouterr()
    done("plan", tmp_path / "case", "--json")
    sealed = json.loads(capsys.readouterr().out)
    assert sealed["examiners"] == ["tokenizer"]
    assert len(sealed["announcement"]["seed"]) == 64
    assert set(sealed) == set(Plan.__struct_fields__)


def test_a_report_is_not_built_while_a_declaration_is_blank(examined: Path, tmp_path: Path, capsys) -> None:
    case = copied(examined, tmp_path / "case")
    done("reveal", case)
    assert run("report", case) == 2
    assert "blank" in capsys.readouterr().err
    done("report", "--example", case)
    blank = capsys.readouterr().out
    (tmp_path / "declarations.toml").write_text(blank.replace('""', '"as said in the letter of instruction"'))
    done("report", case, "--declarations", tmp_path / "declarations.toml", "--no-pdf")
    assert run("verify", case) == 0
    (tmp_path / "declarations.toml").write_text(blank.replace("expert =", "experte ="))
    assert run("report", case, "--declarations", tmp_path / "declarations.toml") == 2
    assert "did you mean expert?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("verify", "nowhere"), 2, "no such folder"),
        (("verify", "CASE", "--key-id", "abc"), 2, "64 hexadecimal digits"),
        (("verify", "CASE", "--at", "ours=/disk/ours"), 2, "--reacquire"),
        (("verify", "CASE", "--trust-size"), 2, "--reacquire"),
        (("verify", "CASE", "--authority-certificate", __file__), 2, "not a certificate"),
        (("verify", "CASE", "--checkpoint", "nowhere"), 3, "cannot be read"),
        (("status", "nowhere"), 2, "there is no case here"),
        (("plan", __file__), 2, "is a file"),
        (("plan", "CASE", "nowhere.toml"), 3, "the plan cannot be read: No such file"),
        (("report", "CASE", "--declarations", "nowhere.toml"), 3, "--example"),
        (("report", "CASE"), 2, "--example"),
    ],
)
def test_a_wrong_word_is_told_in_a_way_that_helps(drawn: Path, capsys, words, code, told) -> None:
    assert run(*(str(drawn) if word == "CASE" else word for word in words)) == code
    error = capsys.readouterr().err
    assert told in error
    assert "advice" in error
    assert "Errno" not in error


def test_a_case_without_authorities_is_told_once_that_nothing_was_stamped(drawn: Path, capsys) -> None:
    assert run("verify", drawn) == 0
    told = capsys.readouterr().out
    assert "looked at" in told
    assert "nothing to look at" not in told
    assert "no check fails" in told


def test_examine_prints_json(drawn: Path, examined: Path, tmp_path: Path, capsys) -> None:
    case = copied(drawn, tmp_path / "case")
    done("observe", case)
    capsys.readouterr()
    done("examine", case, "--json")
    told = json.loads(capsys.readouterr().out)
    assert {each["subject"] for each in told} == {body.subject for body in bodies(examined, Examined)}
