"""Opened marks as an exhibit: what a folder has to be, who it is by content, and what it is as a part of the reference."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.errors import MalformedSource, SourceError, SourceNotFound, UnsafeSource
from filiation.evidence import Absent
from filiation.sources.joined import JoinedSource
from filiation.sources.marks import KINDS, LARGEST, MOST_FILES, Marks, open_marks
from filiation.sources.open import open_source
from filiation.sources.simulated import world
from studies.zoo import Zoo
from tests.case.small_case import NOBODY, a_folder_that_others_may_enter


def folder(place: Path, kind: str = "opening.json", **files: bytes) -> Path:
    """A folder with one file of a kind, and others."""
    place.mkdir(parents=True, exist_ok=True)
    (place / kind).write_bytes(b"{}\n")
    for name, data in files.items():
        (place / name).write_bytes(data)
    return place


# ------------------------------------------------------------------------------------------------------- what it is


@pytest.mark.parametrize(("file", "kind"), KINDS.items())
def test_one_file_tells_what_was_opened(tmp_path: Path, file: str, kind: str) -> None:
    source = open_source(f"marks:{folder(tmp_path / 'opened', file, beacon=b'x')}")
    (marks,) = source.marks()
    assert (source.name, source.format, marks.kind) == ("opened", "marks", kind)
    assert dict(marks.files) == {file: b"{}\n", "beacon": b"x"}


def test_it_has_no_part_of_a_model_and_says_so(tmp_path: Path) -> None:
    source = open_source(f"marks:{folder(tmp_path / 'opened')}")
    for part in (source.configuration(), source.tokenizer(), source.tensors(), source.transcript()):
        assert isinstance(part, Absent)
        assert "these are marks" in part.reason


def test_a_model_has_no_marks_and_the_reason_says_how_to_give_them(zoo: Zoo) -> None:
    found = open_source(zoo["base-a"]).marks()
    assert isinstance(found, Absent)
    assert "marks:FOLDER" in found.reason


def test_hidden_files_and_folders_are_no_part(tmp_path: Path) -> None:
    opened = folder(tmp_path / "opened")
    (opened / ".DS_Store").write_bytes(b"whatever a desktop leaves")
    folder(opened / "inner", "lot.json")
    (marks,) = open_marks(opened).marks()  # type: ignore[misc]
    assert set(marks.files) == {"opening.json"}


# ----------------------------------------------------------------------------------------------------- what it is not


def sparse(file: Path, size: int) -> None:
    with file.open("wb") as opened:
        opened.truncate(size)


def nothing(place: Path) -> None:
    place.mkdir()


def both(place: Path) -> None:
    folder(folder(place), "lot.json")


def gigantic(place: Path) -> None:
    sparse(folder(place) / "subject.jsonl", LARGEST + 1)


def too_many(place: Path) -> None:
    folder(place)
    for number in range(MOST_FILES):
        (place / f"{number}.pem").touch()


def name_of_two_lines(place: Path) -> None:
    (folder(place) / f"a\n{'0' * 64}  b").touch()


def link_out(place: Path) -> None:
    (place.parent / "id_ed25519").write_text("of somebody else")
    (folder(place) / "authority.a.pem").symlink_to(place.parent / "id_ed25519")


REFUSED: dict[str, tuple[Callable[[Path], object], type[SourceError], str]] = {
    "not there": (lambda place: None, SourceNotFound, "there is no such folder"),
    "a file": (lambda place: place.write_bytes(b"{}"), SourceNotFound, "there is no such folder"),
    "an empty folder": (nothing, MalformedSource, "neither, or both, of opening.json and lot.json"),
    "a model's folder": (lambda place: folder(place, "config.json"), MalformedSource, "neither, or both"),
    "a batch and a lot in one folder": (both, MalformedSource, "neither, or both"),
    "more than a gigabyte": (gigantic, MalformedSource, "more than marks have"),
    "a thousand files and one": (too_many, MalformedSource, "more than marks have"),
    "a name of two lines": (name_of_two_lines, MalformedSource, "cannot be printed"),
    "a link out of the folder": (link_out, UnsafeSource, "leads out of its folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_why(tmp_path: Path, case: str) -> None:
    make, error, told = REFUSED[case]
    make(tmp_path / "opened")
    with pytest.raises(error, match=told) as raised:
        open_source(f"marks:{tmp_path / 'opened'}")
    assert raised.value.exhibit == f"marks:{tmp_path / 'opened'}"
    assert raised.value.advice


def test_a_link_inside_the_folder_is_a_file_of_it(tmp_path: Path) -> None:
    opened = folder(tmp_path / "opened", pem=b"x")
    (opened / "other").symlink_to("pem")
    (marks,) = open_marks(opened).marks()  # type: ignore[misc]
    assert marks.files["other"] == b"x"


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_read_is_no_fault_of_the_programs(what: str) -> None:
    """No mode binds root: where root runs the tests, somebody else reads."""
    with a_folder_that_others_may_enter() as place:
        opened = folder(place / "opened")
        (opened if what == "folder" else opened / "opening.json").chmod(0)
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
        try:
            with pytest.raises(MalformedSource, match="cannot be read"):
                open_marks(opened).marks()
        finally:
            os.seteuid(os.getuid())
            opened.chmod(0o700)


def test_a_file_that_went_away_is_told(tmp_path: Path) -> None:
    opened = folder(tmp_path / "opened", pem=b"x")
    source = open_marks(opened)
    (opened / "pem").unlink()
    with pytest.raises(MalformedSource, match="pem cannot be read"):
        source.marks()


# ------------------------------------------------------------------------------------------------------------ identity


def test_identity_is_that_of_the_files_wherever_they_lie(tmp_path: Path) -> None:
    """Truth from hashlib."""
    one, other = (open_marks(folder(tmp_path / name / "opened", pem=b"x")).identity() for name in ("here", "elsewhere"))
    assert one == other
    assert {(file.name, file.size, file.sha256, file.basis) for file in one.files} == {
        ("opening.json", 3, hashlib.sha256(b"{}\n").hexdigest(), "read"),
        ("pem", 1, hashlib.sha256(b"x").hexdigest(), "read"),
    }
    assert (one.bytes_total, one.bytes_read, one.coverage) == (4, 4, 1.0)
    changed = open_marks(folder(tmp_path / "here" / "opened", pem=b"y")).identity()
    assert changed.content_id != one.content_id


FILES = st.dictionaries(st.text("abc.", min_size=1, max_size=3), st.binary(max_size=3), max_size=4)


@given(FILES, FILES)
def test_equal_digests_mean_equal_files(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    digests = [Marks(kind="lot", files=files).sha256 for files in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)


# ------------------------------------------------------------------------------------------------ as part of a reference


def test_with_a_model_they_are_one_exhibit_under_its_name(zoo: Zoo, tmp_path: Path) -> None:
    model = open_source(zoo["base-a"])
    opened = [open_marks(folder(tmp_path / name, name)) for name in KINDS]
    joined = JoinedSource([model, *opened], name="ours")
    assert [marks.kind for marks in joined.marks()] == list(KINDS.values())
    assert joined.tensors().names() == model.tensors().names()  # type: ignore[union-attr]
    assert joined.weights_at == str(zoo["base-a"])
    identity, alone = joined.identity(True), model.identity(True)
    assert (identity.name, identity.content_id, identity.format) == ("ours", alone.content_id, "folder")
    assert identity.files == (*alone.files, *(file for each in opened for file in each.identity().files))
    assert identity.bytes_total == alone.bytes_total + 2 * 3


def test_weights_are_found_through_two_joints(zoo: Zoo, tmp_path: Path) -> None:
    marked = JoinedSource([open_source(zoo["base-a"]), open_marks(folder(tmp_path / "opened"))], name="ours")
    assert JoinedSource([open_marks(folder(tmp_path / "more")), marked], name="ours").weights_at == str(zoo["base-a"])


def test_recorded_answers_beside_marks_are_those_of_the_reference(tmp_path: Path) -> None:
    answers = open_source(f"transcripts:{world().write(tmp_path / 'answers.parquet', ['lab-1-a'])}")
    joined = JoinedSource([open_marks(folder(tmp_path / "opened")), answers], name="ours")
    assert joined.transcript().model == "lab-1-a"
    assert joined.format == "marks"


def test_under_a_code_name_there_are_none(tmp_path: Path) -> None:
    """They name their owner; and the reference has no code name."""
    found = JoinedSource([open_marks(folder(tmp_path / "opened"))], name="K7R2", neutral=True).marks()
    assert isinstance(found, Absent)
    assert "no code name" in found.reason
