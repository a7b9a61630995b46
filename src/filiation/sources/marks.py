"""What an owner planted or drew by lot, opened: `marks:FOLDER`. It is the reference's side of evidence by construction.

A folder of plain files, as `filiation canary reveal` or `filiation lot open` leaves it. Nothing is judged here: whether keys, stamps and
beacon hold is for the examiner that reads them, and a check that does not hold leaves it without a figure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from filiation.errors import MalformedSource, SourceNotFound, UnsafeSource
from filiation.evidence import Absent, FileRecord, Identity

PREFIX = "marks:"
LARGEST = 1 << 30
"""Bytes that all files of a folder may have together."""

MOST_FILES = 1000

KINDS = {"opening.json": "canaries", "lot.json": "lot"}
"""Which file tells what was opened: the opening of a batch of canaries, or the commitment of a lot."""

ADVICE = "give the folder that 'filiation canary reveal' or 'filiation lot open' wrote"

NONE = Absent(reason="nothing that its owner planted or drew by lot is among the exhibits: give it as marks:FOLDER")


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Opened marks of one kind (a value of KINDS), as files by name."""

    kind: str
    files: Mapping[str, bytes]

    @property
    def sha256(self) -> str:
        """Digest of all files, by name."""
        told = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(self.files.items()))
        return hashlib.sha256(told.encode()).hexdigest()


class MarksSource:
    """The folder at `marks:FOLDER`. Everything but the marks is `Absent`. Files are read when the marks are asked for."""

    format = "marks"

    def __init__(self, path: Path, *, name: str = "", lineage_id: str = "") -> None:
        self._path = path
        self._found: tuple[Marks, ...] | None = None
        self.name = name or path.resolve().name
        self.location = f"{PREFIX}{path}"
        self.lineage_id = lineage_id
        self._names = _names(path)

    def marks(self) -> tuple[Marks, ...] | Absent:
        if self._found is None:
            files = {name: _read(self._path / name) for name in self._names}
            self._found = (Marks(kind=_kind(self._names, self._path), files=files),)
        return self._found

    def configuration(self) -> Mapping[str, Any] | Absent:
        return self._other("configuration")

    def tokenizer(self) -> Any:
        return self._other("tokenizer")

    def tensors(self) -> Any:
        return self._other("weights")

    def transcript(self) -> Absent:
        return self._other("recorded answers")

    def _other(self, part: str) -> Absent:
        return Absent(reason=f"these are marks, without the {part} of a model")

    def identity(
        self, everything: bool | None = None, progress: Callable[[str, float], None] = lambda _what, _share: None
    ) -> Identity:
        found = self.marks()
        assert not isinstance(found, Absent)
        (marks,) = found
        files = tuple(
            FileRecord(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest(), basis="read")
            for name, data in sorted(marks.files.items())
        )
        size = sum(file.size for file in files)
        return Identity(
            name=self.name,
            format=self.format,
            lineage_id=self.lineage_id,
            lineage_basis="declared" if self.lineage_id else "unknown",
            files=files,
            content_id=marks.sha256,
            bytes_total=size,
            bytes_read=size,
            coverage=1.0,
        )


def marks_at(path: Path, *, name: str = "", lineage_id: str = "") -> MarksSource:
    """The marks in a folder. Raises SourceNotFound, or MalformedSource where it holds none."""
    try:
        there = path.is_dir()
    except OSError as error:
        raise _refused(path, f"it cannot be read: {error.strerror or error}") from error
    if not there:
        raise SourceNotFound("there is no such folder", exhibit=f"{PREFIX}{path}", advice=ADVICE)
    return MarksSource(path, name=name, lineage_id=lineage_id)


def open_marks(location: str | Path) -> MarksSource:
    """The marks at `marks:FOLDER`, or in the folder itself. Raises as `marks_at` does."""
    return marks_at(folder_of(location))


def folder_of(location: str | Path) -> Path:
    """The folder of marks that are given as `marks:FOLDER`, or as the folder itself."""
    return Path(str(location).removeprefix(PREFIX)).expanduser()


def _names(path: Path) -> tuple[str, ...]:
    try:
        found = sorted(file.name for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        size = sum((path / name).stat().st_size for name in found)
    except OSError as error:
        raise _refused(path, f"it cannot be read: {error.strerror or error}") from error
    if not all(name.isprintable() for name in found):
        raise _refused(path, "the name of a file holds characters that cannot be printed")
    _refuse_escape(path, found)
    if len(found) > MOST_FILES or size > LARGEST:
        raise _refused(path, f"{len(found)} files of {size} bytes are more than marks have")
    _kind(tuple(found), path)
    return tuple(found)


def _refuse_escape(path: Path, names: list[str]) -> None:
    """What a link leads to outside the folder is no part of what was opened: it would be read, and kept in a case."""
    folder = path.resolve()
    for name in names:
        target = (path / name).resolve()
        if not target.is_relative_to(folder):
            raise UnsafeSource(
                f"{name} is a link that leads out of its folder, to {target}",
                exhibit=f"{PREFIX}{path}",
                advice="copy the file that is meant into the folder",
            )


def _kind(names: tuple[str, ...], path: Path) -> str:
    kinds = [kind for file, kind in KINDS.items() if file in names]
    if len(kinds) != 1:
        raise _refused(path, f"it holds neither, or both, of {' and '.join(KINDS)}")
    return kinds[0]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _refused(file.parent, f"{file.name} cannot be read: {error.strerror or error}") from error


def _refused(path: Path, what: str) -> MalformedSource:
    return MalformedSource(
        f"these are no opened marks: {what}",
        exhibit=f"{PREFIX}{path}",
        advice=ADVICE,
    )
