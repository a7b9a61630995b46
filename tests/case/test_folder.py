"""A case on disk: one writer, nothing half, nothing followed, nothing changed by reading."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from filiation.case.files import write_file
from filiation.case.folder import CaseFolder, snapshot
from filiation.case.objects import Objects
from filiation.case.records import Authority, Closed, Manifest, Noted, Plan, Reported
from filiation.case.signing import Signer, new_signer, opened, read_receipt
from filiation.case.time_stamps import HttpStamper, check_stamp
from filiation.errors import FiliationError, RecordError, UsageError
from filiation.evidence import canonical, digest
from studies.time_stamping import LocalAuthority
from tests.case.small_case import (
    HEADER,
    NOW,
    a_folder_that_others_may_enter,
    files_no_longer_than,
    new_case,
    opening,
    pictured,
    without_permission_to_write,
)

NOTE = Noted(text="a remark")
MANIFEST = Manifest(
    exhibit="E1", role="suspect", kind="folder", location=".", origin="", obtained_by="", obtained_at=""
)


@pytest.fixture(scope="module")
def signer() -> Signer:
    return new_signer()


@pytest.fixture
def path(tmp_path: Path, signer: Signer) -> Path:
    """A case with three entries, an object, a checkpoint over two of them and a report."""
    with new_case(tmp_path / "case", signer) as case:
        case.put_record(MANIFEST)
        case.append(NOTE, actor="me", now=NOW)
        case.checkpoint(signer, now=NOW)
        case.write_report("report.html", b"<html>")
        case.append(NOTE, actor="me", now=NOW)
    return tmp_path / "case"


# ------------------------------------------------------------------------------------------------------------- opening


def test_what_was_written_is_read(path: Path, signer: Signer) -> None:
    with CaseFolder.open(path) as case:
        assert case.header == HEADER
        assert case.opened == opening(signer)
        assert [entry.body for entry in case.entries] == [opening(signer), NOTE, NOTE]
        assert case.head == digest(case.entries[-1])
        assert case.checkpoints() == (2,)
        assert case.unsigned_entries() == case.entries[2:]
        assert (case.interrupted, case.closed) == ("", False)


def test_the_first_entry_names_only_objects_that_are_there(tmp_path: Path, signer: Signer) -> None:
    with CaseFolder.create(
        tmp_path / "case", HEADER, opening(signer), actor="me", now=NOW, objects=(b"certificate",)
    ) as case:
        assert [case.objects.get(one) for one in case.objects.digests()] == [b"certificate"]


def test_a_case_may_be_made_in_an_empty_folder(tmp_path: Path, signer: Signer) -> None:
    (tmp_path / "case").mkdir()
    new_case(tmp_path / "case", signer).close()
    assert [one.name for one in tmp_path.iterdir()] == ["case"]


def in_a_file(place: Path) -> Path:
    place.write_text("something")
    return place


def in_a_folder_with_files(place: Path) -> Path:
    place.mkdir()
    (place / "letter.txt").write_text("something")
    return place


def behind_a_link(place: Path) -> Path:
    (place.parent / "elsewhere").mkdir()
    place.symlink_to(place.parent / "elsewhere")
    return place


def in_a_folder_that_is_not_there(place: Path) -> Path:
    return place / "deeper"


@pytest.mark.parametrize(
    "place",
    [in_a_file, in_a_folder_with_files, behind_a_link, in_a_folder_that_is_not_there],
    ids=lambda one: one.__name__,
)
def test_no_case_is_made(place: Callable[[Path], Path], tmp_path: Path, signer: Signer) -> None:
    where = place(tmp_path / "case")
    before = pictured(tmp_path)
    with pytest.raises(FiliationError) as caught:
        new_case(where, signer)
    assert caught.value.advice
    assert pictured(tmp_path) == before


def test_no_case_is_made_in_the_folder_one_stands_in(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for where in (Path("."), tmp_path):
        with pytest.raises(UsageError, match="the folder you work in"):
            new_case(where, signer)
    new_case(Path("case"), signer).close()
    assert [one.name for one in tmp_path.iterdir()] == ["case"]


def test_where_no_case_is_the_advice_says_how_to_open_one(tmp_path: Path) -> None:
    for where in (tmp_path, tmp_path / "none", in_a_file(tmp_path / "file")):
        for write in (False, True):
            with pytest.raises(UsageError, match="there is no case here"):
                CaseFolder.open(where, write=write)


def test_folders_that_a_copy_lost_because_they_were_empty_are_made_again(path: Path) -> None:
    (path / "recordings").rmdir()
    (path / ".lock").unlink()
    with CaseFolder.open(path) as case:
        assert not case.interrupted
    assert not (path / "recordings").exists()
    with CaseFolder.open(path, write=True):
        assert (path / "recordings").is_dir()


# ------------------------------------------------------------------------------------------------------------ one writer


def test_another_process_may_not_write_meanwhile_but_may_read(path: Path) -> None:
    """Truth: a second Python, which holds the lock until its standard input ends."""
    program = (
        "import sys; from filiation.case.folder import CaseFolder\n"
        "with CaseFolder.open(sys.argv[1], write=True): print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(UsageError, match="another process is writing this case") as caught:
            CaseFolder.open(path, write=True)
        assert "wait" in caught.value.advice
        assert len(CaseFolder.open(path).entries) == 3
        other.communicate("")
    CaseFolder.open(path, write=True).close()


def test_the_same_process_may_not_write_twice_either(path: Path) -> None:
    with CaseFolder.open(path, write=True), pytest.raises(UsageError, match="another process"):
        CaseFolder.open(path, write=True)
    CaseFolder.open(path, write=True).close()


@pytest.mark.parametrize("how", ["read only", "after it was given back"])
def test_nothing_is_written(path: Path, signer: Signer, how: str) -> None:
    case = CaseFolder.open(path, write=how != "read only")
    case.close()
    before = pictured(path)
    for write in (
        lambda: case.append(NOTE, actor="me", now=NOW),
        lambda: case.checkpoint(signer, now=NOW),
        lambda: case.write_report("another.html", b""),
        lambda: case.put_record(NOTE),
        lambda: case.objects.put(b"x"),
    ):
        with pytest.raises(UsageError, match="not open for writing"):
            write()
    assert pictured(path) == before


def test_a_closed_case_takes_no_entry_and_no_report_but_its_last_checkpoint(path: Path, signer: Signer) -> None:
    with CaseFolder.open(path, write=True) as case:
        with pytest.raises(UsageError, match="needs the entry that closes"):
            case.checkpoint(signer, now=NOW, closed=True)
        case.append(Closed(), actor="me", now=NOW)
    with CaseFolder.open(path, write=True) as case:
        assert case.closed
        with pytest.raises(UsageError, match="closed the case"):
            case.append(NOTE, actor="me", now=NOW)
        with pytest.raises(UsageError, match="closed"):
            case.write_report("late.html", b"")
        assert case.checkpoint(signer, now=NOW, closed=True).predicate.closed
        assert case.unsigned_entries() == ()


def test_a_ledger_that_something_else_changed_meanwhile_is_not_written_on(path: Path) -> None:
    shutil.copy(path / "ledger.jsonl", path.parent / "copy")
    with CaseFolder.open(path, write=True) as case:
        os.replace(path.parent / "copy", path / "ledger.jsonl")  # the same bytes, but another file
        with pytest.raises(RecordError, match="changed by something else"):
            case.append(NOTE, actor="me", now=NOW)
    with CaseFolder.open(path, write=True) as case:
        with (path / "ledger.jsonl").open("ab") as other:
            other.write(b"from elsewhere")
        with pytest.raises(RecordError, match="changed by something else"):
            case.append(NOTE, actor="me", now=NOW)


# ------------------------------------------------------------------------------------------ interrupted, and altered


LEFT_BEHIND = (
    *("ledger.jsonl/torn", ".new-0", "objects/.new-1", "objects/ab/.new-2", "checkpoints/.new-3", "reports/.new-4"),
    *("recordings/.new-5", "checkpoints/000003.local.tsr", "checkpoints/000003.receipt.json"),
)


def leave_behind(path: Path, what: str) -> None:
    if what == "ledger.jsonl/torn":
        with (path / "ledger.jsonl").open("ab") as ledger:
            ledger.write(b'{"actor":')
    else:
        (path / what).parent.mkdir(exist_ok=True)
        (path / what).write_bytes(b"half")


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_what_an_interrupted_writer_left_is_told_to_readers_and_taken_away_by_writers(path: Path, what: str) -> None:
    leave_behind(path, what)
    before = pictured(path)
    with CaseFolder.open(path) as case:
        assert "interrupted" in case.interrupted
        assert len(case.entries) == 3
    assert pictured(path) == before
    with CaseFolder.open(path, write=True) as case:
        assert len(case.entries) == 3 + (what == "ledger.jsonl/torn")
    assert CaseFolder.open(path).interrupted == ""
    assert not (path / what).exists()


def test_what_belongs_to_a_checkpoint_is_never_taken_for_a_leftover(path: Path) -> None:
    CaseFolder.open(path, write=True).close()
    assert sorted(one.name for one in (path / "checkpoints").iterdir()) == ["000002.json", "000002.receipt.json"]


def cut_below_the_checkpoint(path: Path) -> None:
    lines = (path / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (path / "ledger.jsonl").write_bytes(lines[0])


def tear_a_signed_entry(path: Path) -> None:
    lines = (path / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (path / "ledger.jsonl").write_bytes(lines[0] + lines[1][:-5])


def write_another_signed_entry(path: Path) -> None:
    """Entries 2 and 3 anew, in a chain that holds: only the checkpoint knows better."""
    with CaseFolder.open(path) as case:
        second = msgspec.structs.replace(case.entries[1], body=Noted(text="another remark"))
        third = msgspec.structs.replace(case.entries[2], previous=digest(second))
        made = [canonical(entry) + b"\n" for entry in (case.entries[0], second, third)]
    (path / "ledger.jsonl").write_bytes(b"".join(made))


def alter_the_header(path: Path) -> None:
    (path / "case.json").write_bytes(canonical(msgspec.structs.replace(HEADER, title="B v. A")) + b"\n")


def space_out_the_header(path: Path) -> None:
    (path / "case.json").write_bytes((path / "case.json").read_bytes() + b"\n")


def name_a_later_format(path: Path) -> None:
    (path / "case.json").write_bytes(canonical(msgspec.structs.replace(HEADER, version=2)) + b"\n")


def lose_the_ledger(path: Path) -> None:
    (path / "ledger.jsonl").unlink()


def alter_the_checkpoint(path: Path) -> None:
    file = path / "checkpoints/000002.json"
    file.write_bytes(file.read_bytes().replace(b'"sig":"', b'"sig":"A'))


def rename_the_checkpoint(path: Path) -> None:
    (path / "checkpoints/000002.json").rename(path / "checkpoints/000003.json")


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (cut_below_the_checkpoint, "1 whole entries, but checkpoint 2"),
        (tear_a_signed_entry, "1 whole entries, but checkpoint 2"),
        (write_another_signed_entry, "entry 2 is not the one that checkpoint 2 signs"),
        (alter_the_header, "the header case.json"),
        (space_out_the_header, "not the canonical JSON"),
        (name_a_later_format, "version 2"),
        (lose_the_ledger, "is missing"),
        (alter_the_checkpoint, "base64|signature"),
        (rename_the_checkpoint, "signs entry 2"),
    ],
)
def test_nobody_writes_on_in_an_altered_case(path: Path, alter: Callable[[Path], None], said: str) -> None:
    alter(path)
    before = {name: found for name, found in pictured(path).items() if name != ".lock"}
    with pytest.raises(RecordError, match=said) as caught:
        CaseFolder.open(path, write=True)
    assert caught.value.exhibit
    assert caught.value.advice
    assert {name: found for name, found in pictured(path).items() if name != ".lock"} == before


@pytest.mark.parametrize(
    "name",
    [
        *("case.json", "ledger.jsonl", "objects", "checkpoints", "reports", "recordings", ".lock"),
        *("checkpoints/000002.json", "reports/report.html"),
    ],
)
def test_a_link_inside_a_case_is_refused(path: Path, name: str) -> None:
    shutil.move(path / name, path.parent / "elsewhere")
    (path / name).symlink_to(path.parent / "elsewhere")
    for write in (False, True):
        with pytest.raises(RecordError, match="is a link"):
            CaseFolder.open(path, write=write)


# ------------------------------------------------------------------------------------- records, reports and recordings


def test_records_come_back_as_what_they_are(path: Path) -> None:
    with CaseFolder.open(path, write=True) as case:
        stored = case.put_record(MANIFEST)
        assert stored == digest(MANIFEST)
        assert case.get_record(stored, Manifest) == MANIFEST
        with pytest.raises(RecordError, match="is not a Plan"):
            case.get_record(stored, Plan)
        for other_form in (canonical(MANIFEST) + b"\n", b'{"exhibit":"E2",' + canonical(MANIFEST)[1:]):
            with pytest.raises(RecordError, match="not the canonical JSON"):
                case.get_record(case.objects.put(other_form), Manifest)


def test_a_report_that_the_ledger_names_is_not_replaced(path: Path) -> None:
    with CaseFolder.open(path, write=True) as case:
        first = case.write_report("report.html", b"first draft")
        case.append(Reported(files={"report.html": first}, head=case.head), actor="me", now=NOW)
        assert case.write_report("report.html", b"first draft") == first
        with pytest.raises(UsageError, match=r"names a report report\.html with other bytes"):
            case.write_report("report.html", b"second draft")
        assert (path / "reports/report.html").read_bytes() == b"first draft"


@pytest.mark.parametrize("name", ["", "..", "../case.json", "a/b", ".hidden", "a b", "x" * 101, "é"])
def test_a_report_has_a_plain_name(path: Path, name: str) -> None:
    with CaseFolder.open(path, write=True) as case, pytest.raises(UsageError, match="the name of a report"):
        case.write_report(name, b"")


@pytest.mark.parametrize("exhibit", ["suspect", "suspect/answers", "../../case", "Größe 7", "a%2Fb"])
def test_recordings_of_any_exhibit_lie_in_their_folder(path: Path, exhibit: str) -> None:
    with CaseFolder.open(path) as case:
        if exhibit.startswith("."):
            with pytest.raises(UsageError):
                case.recording_path(exhibit)
        else:
            assert case.recording_path(exhibit).parent == path / "recordings"
            assert case.recording_path(exhibit) != case.recording_path(exhibit.replace("/", "%2F") + "/")


# ---------------------------------------------------------------------------------------------------------- checkpoints


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalAuthority, LocalAuthority]:
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not installed")
    folder = tmp_path_factory.mktemp("authorities")
    return LocalAuthority.made(folder / "north", name="north"), LocalAuthority.made(folder / "south", name="south")


def out_of_reach(authority: LocalAuthority, name: str) -> HttpStamper:
    """Nobody listens at port 9 of this machine."""
    return HttpStamper(
        Authority(name=name, url="http://127.0.0.1:9", certificate="00" * 32), authority.certificate, 2.0
    )


def test_a_checkpoint_is_stamped_by_all_who_were_asked(
    path: Path, signer: Signer, authorities: tuple[LocalAuthority, LocalAuthority]
) -> None:
    with CaseFolder.open(path, write=True) as case:
        made = case.checkpoint(signer, now=NOW, stampers=authorities)
        assert (made.predicate.stamps, made.predicate.unstamped) == (("north", "south"), "")
        assert (made.sequence, made.head) == (3, case.head)
        assert case.last_checkpoint == made
    stored = (path / "checkpoints/000003.json").read_bytes()
    assert stored == made.data
    for authority in authorities:
        check_stamp((path / f"checkpoints/000003.{authority.name}.tsr").read_bytes(), stored, authority.certificate)
    receipt = read_receipt(opened((path / "checkpoints/000003.receipt.json").read_bytes(), signer.key))
    files = snapshot(path).files
    assert receipt.checkpoint == files["checkpoints/000003.json"][0]
    assert receipt.stamps == {name: files[f"checkpoints/000003.{name}.tsr"][0] for name in ("north", "south")}


def test_an_authority_out_of_reach_is_left_out_and_the_stamps_of_the_others_hold(
    path: Path, signer: Signer, authorities: tuple[LocalAuthority, LocalAuthority]
) -> None:
    north = authorities[0]
    with CaseFolder.open(path, write=True) as case:
        made = case.checkpoint(signer, now=NOW, stampers=(north, out_of_reach(north, "west")))
    assert made.predicate.stamps == ("north",)
    assert made.predicate.unstamped.startswith("west: ")
    check_stamp((path / "checkpoints/000003.north.tsr").read_bytes(), made.data, north.certificate)


def test_without_any_authority_the_checkpoint_says_so(path: Path, signer: Signer) -> None:
    with CaseFolder.open(path) as case:
        assert case.read_checkpoint(2).predicate.unstamped == "no authority was asked"


def test_what_is_signed_already_is_not_signed_again(path: Path, signer: Signer) -> None:
    with CaseFolder.open(path, write=True) as case:
        made = case.checkpoint(signer, now=NOW)
        before = pictured(path)
        assert case.checkpoint(signer, now=NOW + timedelta(days=1)) == made
        assert pictured(path) == before


def test_another_key_may_not_sign(path: Path) -> None:
    with CaseFolder.open(path, write=True) as case, pytest.raises(UsageError, match="was opened with the key"):
        case.checkpoint(new_signer(), now=NOW)
    assert CaseFolder.open(path).checkpoints() == (2,)


# --------------------------------------------------------------------------------------------- no room, no permission


@pytest.mark.parametrize("room", [0, 1, 100, 300])
def test_no_room_for_an_entry_leaves_the_case_as_it_was(path: Path, signer: Signer, room: int) -> None:
    with CaseFolder.open(path, write=True) as case:
        size, entries = (path / "ledger.jsonl").stat().st_size, case.entries
        with files_no_longer_than(size + room), pytest.raises(RecordError, match="cannot be written") as caught:
            case.append(Noted(text="x" * 500), actor="me", now=NOW)
        assert "make room" in caught.value.advice
        assert (path / "ledger.jsonl").stat().st_size == size
        assert case.entries == entries
        case.append(NOTE, actor="me", now=NOW)  # room was made
    with CaseFolder.open(path) as case:
        assert (len(case.entries), case.interrupted) == (4, "")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_told_and_the_case_stays_whole(tiny_disk: Path, signer: Signer) -> None:
    path, stored, written = tiny_disk / "case", [], []

    def observe_without_end(case: CaseFolder) -> None:
        while True:
            stored.append(case.objects.put(os.urandom(3000)))
            written.append(case.append(Noted(text="x" * 3000, objects=(stored[-1],)), actor="me", now=NOW))

    def sign_without_end(case: CaseFolder) -> None:
        while True:
            written.append(case.append(NOTE, actor="me", now=NOW))
            case.checkpoint(signer, now=NOW)

    with new_case(path, signer) as case:
        for fill in (observe_without_end, sign_without_end):
            with pytest.raises(RecordError, match="No space left") as caught:
                fill(case)
            assert "make room" in caught.value.advice
    with CaseFolder.open(path) as case:
        assert case.interrupted == ""
        assert case.entries[1:] == tuple(written)
        assert all(map(case.objects.get, stored))


def test_room_for_the_receipt_but_not_for_its_checkpoint_leaves_nothing_of_both(
    path: Path, signer: Signer, authorities: tuple[LocalAuthority, LocalAuthority]
) -> None:
    stampers, room = (
        (out_of_reach(authorities[0], "west" * 20),),
        800,
    )  # why there is no stamp stands in the checkpoint only
    with CaseFolder.open(path, write=True) as case:
        with (
            files_no_longer_than(room),
            pytest.raises(RecordError, match=r"checkpoints/000003\.json: cannot be written"),
        ):
            case.checkpoint(signer, now=NOW, stampers=stampers)
        assert CaseFolder.open(path).interrupted == ""
        assert case.checkpoint(signer, now=NOW, stampers=stampers).sequence == 3


def test_a_case_that_may_only_be_read_is_read_and_not_written(signer: Signer) -> None:
    with a_folder_that_others_may_enter() as folder:
        new_case(folder / "case", signer).close()
        with without_permission_to_write(folder):
            assert len(CaseFolder.open(folder / "case").entries) == 1
            with pytest.raises(UsageError, match="cannot be written") as caught:
                CaseFolder.open(folder / "case", write=True)
            assert "permission" in caught.value.advice
            with pytest.raises(UsageError, match="cannot be written"):
                new_case(folder / "another", signer)


def test_a_case_that_may_not_be_read_is_told(signer: Signer) -> None:
    with a_folder_that_others_may_enter() as folder:
        new_case(folder / "case", signer).close()
        (folder / "case/ledger.jsonl").chmod(0o200)
        with without_permission_to_write(folder), pytest.raises(RecordError, match="cannot be read"):
            CaseFolder.open(folder / "case")


# ------------------------------------------------------------------------------------------------------------- snapshot


def test_a_snapshot_has_every_file_and_changes_none(path: Path) -> None:
    leave_behind(path, "ledger.jsonl/torn")
    (path / "reports/linked.html").symlink_to(path / "case.json")
    os.mkfifo(path / "reports/pipe")
    before = pictured(path)
    seen = snapshot(path)
    assert pictured(path) == before
    assert seen.header == (path / "case.json").read_bytes()
    assert seen.ledger == (path / "ledger.jsonl").read_bytes()
    assert seen.checkpoints == {2: (path / "checkpoints/000002.json").read_bytes()}
    assert seen.receipts == {2: (path / "checkpoints/000002.receipt.json").read_bytes()}
    assert seen.links == ("reports/linked.html", "reports/pipe")
    assert {name: found for name, (found, _) in seen.files.items()} == {
        name: content for name, (_, _, content) in before.items() if content and name not in seen.links
    }
    assert seen.objects.get(digest(MANIFEST)) == canonical(MANIFEST)


def pictured_without_pipes(path: Path) -> dict[str, tuple[str, int, str]]:
    return pictured(path)


def test_a_snapshot_of_ruins_says_what_is_missing(tmp_path: Path) -> None:
    seen = snapshot(tmp_path)
    assert (seen.header, seen.ledger, seen.checkpoints, seen.files) == (None, None, {}, {})
    with pytest.raises(UsageError, match="there is no case here"):
        snapshot(tmp_path / "none")


def test_what_a_snapshot_cannot_read_it_says(signer: Signer) -> None:
    with a_folder_that_others_may_enter() as folder:
        new_case(folder / "case", signer).close()
        stored = Objects(folder / "case/objects")
        stored.path(stored.put(b"abc")).chmod(0)
        (folder / "case/checkpoints/000009.json").write_bytes(b"")
        (folder / "case/checkpoints/000009.json").chmod(0)
        with without_permission_to_write(folder):
            unreadable = snapshot(folder / "case").unreadable
        assert [name.partition("/")[0] for name in sorted(unreadable)] == ["checkpoints", "objects"]


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")
    with files_no_longer_than(4), pytest.raises(RecordError):
        write_file(tmp_path / "file", b"new and longer")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
