"""Reading and writing the files that a person names on the command line."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from pathlib import Path

from filiation.errors import RecordError, UsageError
from filiation.evidence import Examination

STANDARD_OUTPUT = "-"


def check_writable(target: str | None, option: str) -> None:
    """Refuse a target that cannot be written before the work of hours is done for it. Raises UsageError."""
    if target is None or target == STANDARD_OUTPUT:
        return
    path = Path(target)
    if path.is_dir():
        raise UsageError(f"{option} names a folder: {path}", advice="give the name of a file in it")
    if not path.parent.is_dir():
        raise UsageError(
            f"{option} names a file in a folder that is not there: {path.parent}",
            advice="make the folder first, or give another path",
        )
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{option}: no permission to write in {path.parent}", advice="give another path")


def write(target: str, data: bytes) -> None:
    """Write a file in one step (a reader sees the old one or the new one, never half), or to standard output for '-'."""
    if target == STANDARD_OUTPUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    try:
        _replace(path, data)
    except OSError as error:
        raise UsageError(
            f"{path} could not be written: {error.strerror or error}", advice="give another path"
        ) from error


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, _usual_mode(path))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _usual_mode(path: Path) -> int:
    """The mode of the file that is replaced, or what a new file would get; temporary files are private."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def read_record(path: Path) -> Examination:
    """A stored examination record. Raises RecordError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"cannot be read: {error.strerror or error}", exhibit=str(path), advice="give the file that --json wrote"
        ) from error
    try:
        return Examination.from_json(data)
    except RecordError as error:
        raise RecordError(error.message, exhibit=str(path), advice=error.advice) from error


def unused_name(reference: str, suspect: str, folder: Path) -> str:
    """A name for a report nobody named, 'filiation-REFERENCE-SUSPECT.html', that replaces no file there."""
    stem = f"filiation-{_plain(reference)}-{_plain(suspect)}"
    name, number = f"{stem}.html", 2
    while (folder / name).exists():
        name, number = f"{stem}-{number}.html", number + 1
    return name


def _plain(name: str) -> str:
    """The last part of an exhibit's name with nothing in it that a file system would mind."""
    last = re.split(r"[/\\]", name.strip("/\\"))[-1]
    return re.sub(r"[^A-Za-z0-9._]+", "-", last).strip("-.")[:60] or "model"
