"""Verification of whole cases: what holds is said to hold, what was not looked at is said, and nothing raises for a bad case.

Truth is by construction (a case written through the real functions), by `openssl` on the documented commands, and by the page
that specifies the format, which has to tell the same as the code.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filiation.case import records
from filiation.case.amendments import changed_fields, draw_in_force, plan_in_force, suspect_was_observed
from filiation.case.folder import CaseFolder
from filiation.case.reading import LARGEST_READ, decoded, moment
from filiation.case.records import (
    Announcement,
    Asked,
    Body,
    Drawn,
    Entry,
    Examined,
    Manifest,
    Noted,
    Observed,
    Plan,
    Sealed,
    Setting,
    Stopping,
)
from filiation.case.verification import CHECKS, verify
from filiation.errors import RecordError
from filiation.evidence import Conclusion, Examination, Outcome, Record, canonical
from tests.case.worlds import World, failed, judge, opening, replace, report_again, verified, write_case

PAGE = Path(__file__).parents[2] / "docs" / "case-file-format.md"

# ---------------------------------------------------------------------------------------------------------- a whole case


def test_a_case_written_through_the_real_functions_verifies(world: World) -> None:
    found = verified(
        world.folder,
        keyid=world.signer.key.keyid,
        authorities=[world.authority.certificate],
        handed_over=[path.read_bytes() for path in sorted(world.folder.glob("checkpoints/??????.json"))],
        report=report_again,
    )
    assert found.passed, [failure for check in found.checks for failure in check.failures]
    assert (found.state, found.entries, found.keyid) == ("closed", 30, world.signer.key.keyid)
    assert all(check.looked_at for check in found.checks)
    assert [check.number for check in found.checks] == list(range(1, 13))


def test_verifying_changes_nothing_and_is_quick(world: World) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.folder.rglob("*")}
    verified(world.folder)
    started = time.process_time()
    verified(world.folder)
    assert time.process_time() - started < 1.0, "a small case takes a tenth of a second; hundreds are verified here"
    assert {path: path.stat().st_mtime_ns for path in world.folder.rglob("*")} == before


def test_two_verifications_say_the_same_bytes(world: World) -> None:
    assert canonical(verified(world.folder)) == canonical(verified(world.folder))


def test_another_path_time_zone_and_locale_give_the_same_bytes(world: World, tmp_path: Path) -> None:
    """As on another machine: another process, another working folder, another place, another clock and language."""
    moved = tmp_path / "an déplacé case"
    shutil.copytree(world.folder, moved)
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from tests.case.worlds import verified; "
        "from filiation.evidence import canonical; sys.stdout.buffer.write(canonical(verified(__import__('pathlib').Path(sys.argv[1]))))"
    )
    environment = {**os.environ, "TZ": "Pacific/Chatham", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", script, str(moved), str(PAGE.parents[1])]
    done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, check=True)
    assert done.stdout == canonical(verified(world.folder))


def test_remarks_say_what_a_case_that_holds_does_not_show(world: World, tmp_path: Path) -> None:
    told = " | ".join(verified(world.folder).remarks)
    assert "looks that nobody recorded cannot be excluded" in told
    assert world.signer.key.keyid in told
    assert "authorities that you trust yourself" in told
    bare = " | ".join(verified(world.remade(tmp_path / "case")).remarks)
    assert "no checkpoint is time-stamped (no authority was asked)" in bare
    assert "its beacon was still to come is the writer's word" in bare


def test_a_look_outside_the_plan_at_the_suspect_under_its_own_name_is_told(world: World, tmp_path: Path) -> None:
    def explored(_number: int, body: Body, _case: CaseFolder) -> Sequence[Body]:
        if not isinstance(body, Observed) or body.exhibit != "atlas":
            return (body,)
        outside = msgspec.structs.replace(
            body, exhibit="borealis", exploratory=True, observation="", absent="not there"
        )
        return (body, outside)

    found = verified(world.remade(tmp_path / "case", explored))
    assert found.passed
    assert any("under their own names before the reveal: entries 13, 15" in remark for remark in found.remarks)


def test_a_fingerprint_may_be_given_in_capitals(world: World) -> None:
    assert verified(world.folder, keyid=f" {world.signer.key.keyid.upper()} ").passed


# ----------------------------------------------------------------------------------------------------------------- states


def started(world: World, path: Path) -> CaseFolder:
    now = world.now().started
    header = records.Header(case="5" * 32, title="Atlas Works v. Borealis Labs")
    return CaseFolder.create(path, header, opening(world, authorities=()), actor="an examiner", now=now)


def test_an_open_case_is_open_at_its_last_checkpoint(world: World, tmp_path: Path) -> None:
    write_case(world.now(), tmp_path / "case", until="draw")
    found = verified(tmp_path / "case")
    assert (found.state, found.passed) == ("open at checkpoint 11", True)
    assert any("can be cut back to an earlier checkpoint" in remark for remark in found.remarks)
    notes = {check.title: check.note for check in found.checks}
    assert "was not examined under the plan in force" in notes["Completeness"]
    assert notes["Findings"] == notes["Reports"] == "nothing to check"


def test_what_nobody_signed_yet_is_told(world: World, tmp_path: Path) -> None:
    with started(world, tmp_path / "case") as case:
        case.checkpoint(world.signer, now=world.now().started)
        case.append(Noted(text="a letter came"), actor="an examiner", now=world.now().started)
        case.objects.put(b"left by an interrupted write")
    found = verified(tmp_path / "case")
    assert (found.state, found.passed) == ("open at checkpoint 1", True)
    assert any("entries 2 to 2 are signed by nobody" in remark for remark in found.remarks)
    assert any("1 objects are named by no entry" in remark for remark in found.remarks)
    assert any("no plan was sealed" in remark for remark in found.remarks)


def test_a_case_that_nobody_signed_does_not_verify(world: World, tmp_path: Path) -> None:
    started(world, tmp_path / "case").close()
    found = verified(tmp_path / "case")
    assert (found.state, failed(found)) == ("interrupted", {3})


INTERRUPTED = {
    "a torn line": ("ledger.jsonl", b'{"actor":"an exam', {2}),
    "half of an object": ("objects/.new-00", b"half", {1}),
    "a stamp without its checkpoint": ("checkpoints/000002.local.tsr", b"half", {1, 4}),
}


@pytest.mark.parametrize("what", INTERRUPTED)
def test_an_interrupted_case_says_so_and_verifies_once_it_is_healed(world: World, what: str, tmp_path: Path) -> None:
    with started(world, tmp_path / "case") as case:
        case.checkpoint(world.signer, now=world.now().started)
    name, left, checks = INTERRUPTED[what]
    file = tmp_path / "case" / name
    file.write_bytes((file.read_bytes() if file.exists() else b"") + left)
    found = verified(tmp_path / "case")
    assert (found.state, failed(found)) == ("interrupted", checks)
    CaseFolder.open(tmp_path / "case", write=True).close()
    assert verified(tmp_path / "case").passed


# ------------------------------------------------------------------------------------------------------- what is no case


def test_a_folder_that_is_no_case_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(RecordError, match="holds no case"):
            verified(path)


FILES = (
    "case.json",
    "ledger.jsonl",
    "checkpoints/000010.json",
    "checkpoints/000010.receipt.json",
    "checkpoints/000010.local.tsr",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
RUBBISH = (
    st.binary(max_size=60)
    | JSON.map(msgspec.json.encode)
    | st.sampled_from([b"[" * 100_000, b'{"a":' * 5000, b"\n" * 50])
)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(name=st.sampled_from(FILES), data=RUBBISH)
def test_rubbish_in_any_file_fails_and_never_raises(
    world: World, name: str, data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    case = world.copy(tmp_path_factory.mktemp("rubbish") / "case")
    replace(case / name, data)
    assert not verified(case).passed


def test_a_judge_that_stumbles_over_a_record_is_a_failure_of_findings(world: World) -> None:
    def stumbling(_examination: Examination, _plan: Plan | None) -> tuple[tuple[Outcome, ...], tuple[Conclusion, ...]]:
        raise KeyError("design")

    found = verify(world.folder, judge=stumbling)
    assert failed(found) == {10}
    assert "it cannot be judged again: KeyError: 'design'" in found.checks[9].failures[0].what


def test_a_judge_that_finds_otherwise_says_which_finding(world: World) -> None:
    def otherwise(examination: Examination, plan: Plan | None) -> tuple[tuple[Outcome, ...], tuple[Conclusion, ...]]:
        outcomes, conclusions = judge(examination, plan)
        return (msgspec.structs.replace(outcomes[0], reason="another"), *outcomes[1:]), conclusions

    found = verify(world.folder, judge=otherwise)
    assert failed(found) == {10}
    assert len(found.checks[9].failures) == 4
    assert "is recorded as" in found.checks[9].failures[0].what


def test_reports_are_rendered_again_where_they_can_be(world: World) -> None:
    assert "not rendered again" in verified(world.folder).checks[11].note
    assert "was not rendered again here" in verified(world.folder, report=lambda _entry: {}).checks[11].note
    found = verified(world.folder, report=lambda _entry: {"report.html": b"<p>other</p>"})
    assert failed(found) == {12}


def test_checks_that_could_not_be_made_say_why(world: World, tmp_path: Path) -> None:
    case = world.copy(tmp_path / "case")
    lines = (case / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    replace(case / "ledger.jsonl", b"".join([b"rubbish\n", *lines[1:]]))
    notes = {check.title: check.note for check in verified(case).checks}
    assert "the first entry cannot be read" in notes["Signatures"]
    assert "not checked, because" in notes["Time-stamps"]


# ------------------------------------------------------------------------------------------- canonical records, times

RECORDS: dict[str, tuple[bytes, str]] = {
    "whole": (canonical(Noted(text="a")), ""),
    "with a space": (b'{"action":"note", "text":"a"}', "canonical form"),
    "keys in another order": (b'{"text":"a","action":"note"}', "canonical form"),
    "a field left out": (b'{"action":"note"}', "is no Noted"),
    "a field that has its default": (b'{"action":"note","objects":[],"text":"a"}', "canonical form of a whole"),
    "a field twice": (b'{"action":"note","text":"a","text":"a"}', "canonical form"),
    "a field too many": (b'{"action":"note","more":1,"text":"a"}', "is no Noted"),
    "an escape that is not needed": (b'{"action":"note","text":"\\u0061"}', "canonical form"),
    "another kind": (b'{"action":"close","remark":""}', "is no Noted"),
    "no JSON": (b"\xff", "is no Noted"),
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_record_has_one_byte_form(what: str) -> None:
    data, refused = RECORDS[what]
    if not refused:
        assert decoded(data, Noted) == Noted(text="a")
        return
    with pytest.raises(RecordError, match=refused):
        decoded(data, Noted)


@settings(max_examples=50)
@given(
    numbers=st.dictionaries(
        st.text(max_size=8), st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53) + 1, 2**53 - 1)
    ),
    text=st.text(),
)
def test_whatever_is_written_canonically_is_read_again(numbers: dict[str, Setting], text: str) -> None:
    """Numbers of any size and names of any letters, among them whole floats, which JSON does not tell from integers."""
    manifest = Manifest(
        exhibit=text,
        role="control",
        kind="file",
        location=".",
        origin="",
        obtained_by="",
        obtained_at="",
        attributes=numbers,
    )
    read = decoded(canonical(manifest), Manifest)
    assert read.exhibit == text
    assert {name: float(value) for name, value in read.attributes.items()} == {
        name: float(value) for name, value in numbers.items()
    }


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_field_of_floats_is_read_again_however_large(number: float) -> None:
    """From 2^53 on RFC 8785 writes digits that stand for the nearest double: 2.3009999999999997e18 as 2300999999999999700."""
    assert decoded(canonical(Stopping(budget_seconds=number)), Stopping).budget_seconds == number


TIMES = {
    "2026-01-31T08:15:00Z": True,
    "2024-02-29T00:00:00Z": True,
    "2026-02-29T00:00:00Z": False,
    "2026-01-31T24:00:00Z": False,
    "2026-01-31 08:15:00Z": False,
    "2026-01-31T08:15:00+00:00": False,
    "2026-01-31T08:15Z": False,
    "٢٠٢٦-01-31T08:15:00Z": False,
    "": False,
}


@pytest.mark.parametrize("text", TIMES)
def test_times_have_one_form(text: str) -> None:
    assert (moment(text) is not None) == TIMES[text]


# ------------------------------------------------------------------------------------------------ which plan and draw hold


def plan(**changes: Any) -> Plan:
    fields: dict[str, Any] = {
        "case": "5" * 32,
        "prepared_by": "me",
        "reference": "r",
        "suspect": "s",
        "controls": (),
        "propositions": (),
        "examiners": (),
        "examiner_versions": {},
        "calibration_digests": {},
        "announcement": Announcement(basis="claimant", seed="0" * 64),
    }
    return Plan(**{**fields, **changes})


def entries(*bodies: Body) -> tuple[Entry, ...]:
    return tuple(
        Entry(sequence=number, previous="", time="", actor="", body=body) for number, body in enumerate(bodies, 1)
    )


def seen(exhibit: str, **changes: Any) -> Observed:
    return Observed(
        exhibit=exhibit, examiner="e", examiner_version="1", observation=changes.get("observation", "d" * 64)
    )


DRAWN = Drawn(plan="one", basis="claimant", seed="", commitment="", code_names=("K7R2", "M4T5"))
ASKED = Asked(exhibit="s/answers", endpoint="", recording="", transcript="", requests=1, answers=1)

LOOKS: dict[str, tuple[Sequence[Body], bool]] = {
    "nobody looked": ((), False),
    "at the reference": ((seen("r"),), False),
    "at the suspect": ((seen("s"),), True),
    "at the suspect, and saw nothing": ((seen("s", observation=""),), False),
    "at a code name": ((DRAWN, seen("M4T5")), True),
    "at what was no code name then": ((seen("M4T5"), DRAWN), False),
    "the suspect was examined": ((Examined(subject="s", plan="", record="", outcomes=""),), True),
    "the suspect's endpoint was asked": ((ASKED,), True),
}


@pytest.mark.parametrize("what", LOOKS)
def test_whether_the_suspect_had_been_looked_at(what: str) -> None:
    bodies, looked = LOOKS[what]
    assert suspect_was_observed(entries(*bodies), {"s"}) == looked


def test_fields_that_an_amendment_changes() -> None:
    assert changed_fields(plan(), plan()) == ()
    assert changed_fields(plan(), plan(suspect="t", remarks="more", case="6" * 32)) == ("case", "suspect", "remarks")


def test_a_draw_outlives_amendments_that_leave_alone_what_it_was_drawn_from() -> None:
    plans = {"one": plan(), "two": plan(remarks="more"), "three": plan(suspect="t")}
    sealed = {name: Sealed(plan=name) for name in plans}
    assert plan_in_force(()) == ""
    assert draw_in_force(entries(sealed["one"]), plans) is None
    assert draw_in_force(entries(sealed["one"], DRAWN), plans) == DRAWN
    assert draw_in_force(entries(sealed["one"], DRAWN, sealed["two"]), plans) == DRAWN
    assert draw_in_force(entries(sealed["one"], DRAWN, sealed["three"]), plans) is None
    assert plan_in_force(entries(sealed["one"], DRAWN, sealed["two"])) == "two"


# ---------------------------------------------------------------------------------------------- the page of the format


def sections() -> dict[str, str]:
    """The page's sections by heading."""
    parts = re.split(r"^#{2,3} (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_prints_the_checks_as_the_code_does() -> None:
    told = sections()
    for number, title, prose in CHECKS:
        assert " ".join(told[f"{number}. {title}"].split()) == prose
    assert [number for number, _, _ in CHECKS] == list(range(1, 13))


def described_records() -> list[type[Record]]:
    """Everything that stands in a case: all records of the contract but those that only verification speaks of."""
    found = [kind for _, kind in inspect.getmembers(records, inspect.isclass) if kind.__module__ == records.__name__]
    return [kind for kind in found if kind.__name__ not in ("CaseRecord", "Failure", "Check", "Verification")]


@pytest.mark.parametrize("kind", described_records(), ids=lambda kind: str(kind.__name__))
def test_the_page_names_every_field_of_every_record_in_order(kind: type[Record]) -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]+\|[^|]+\|$", sections()[kind.__name__], flags=re.MULTILINE)
    assert tuple(rows) == kind.__struct_fields__


def test_the_page_tells_every_default() -> None:
    """A field that has its default is left out of the bytes, so a reader has to know it."""
    told = dict(re.findall(r"^\| `(\w+\.\w+)` \| `(.*)` \|$", sections()["Defaults"], flags=re.MULTILINE))
    assert told == {
        f"{kind.__name__}.{field.name}": json.dumps(msgspec.to_builtins(default))
        for kind in described_records()
        if issubclass(kind, records.CaseRecord)
        for field, default in records.defaults(kind)
    }


def test_the_page_names_every_action() -> None:
    told = sections()
    for body in described_records():
        tag = body.__struct_config__.tag
        if tag:
            assert f"`action`: `{tag}`" in told[body.__name__]


def test_a_stranger_can_check_signature_and_stamp_by_openssl_alone(world: World, tmp_path: Path) -> None:
    """The commands on the page, run as they stand but for the entry's number and the authority's name."""
    commands = re.findall(r"^```sh\n(.*?)^```", sections()["By openssl alone"], flags=re.MULTILINE | re.DOTALL)
    number = sorted(path.name[:6] for path in world.folder.glob("checkpoints/??????.json"))[2]
    script = commands[0].replace("000012", number).replace("12p", f"{int(number)}p").replace("/tmp/", f"{tmp_path}/")
    script = f"set -e\n{script}".replace("AUTHORITY", "local")
    done = subprocess.run(["bash", "-c", script], cwd=world.folder, capture_output=True, text=True)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    head = told.partition(" ")[0]
    assert head in (tmp_path / "payload").read_text()
    assert "Signature Verified Successfully" in told
    assert world.signer.key.keyid in told
    assert "Verification: OK" in told
    assert "Time stamp: " in told


def test_an_object_too_large_to_be_read_at_once_is_a_failure_and_not_the_end_of_the_verifier(
    world: World, tmp_path: Path
) -> None:
    """A file with holes, a byte more than is read, which takes no room: under the name of the plan."""
    folder = tmp_path / "case"
    shutil.copytree(world.folder, folder)
    plan = next(entry.body.plan for entry in CaseFolder.open(folder).entries if isinstance(entry.body, records.Sealed))
    with (folder / "objects" / plan[:2] / plan).open("wb") as file:
        file.truncate(LARGEST_READ + 1)
    assert 5 in failed(verified(folder))
