"""Files of a case: written whole or not at all, and never reached through a link.

A file is written beside its place under a name that begins with '.new-', forced to the disk, and renamed; then the folder is
forced to the disk. Whoever is killed in between leaves a '.new-' file and nothing else. Errors of the system become errors that
tell a person what to do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from filiation.errors import FiliationError, RecordError, UsageError

LEFTOVER = ".new-"
"""How the names of files begin that are still being written; after a crash they are rubbish."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names that a file may have on every system."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR}
_BINARY = getattr(os, "O_BINARY", 0)
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # opening a pipe would otherwise wait for its other end


def link_refused(path: Path) -> RecordError:
    return RecordError(
        "is a link, and a case follows none: what it leads to can change without the case",
        exhibit=str(path),
        advice="put the file itself in its place",
    )


def refuse_link(path: Path) -> None:
    """Raise RecordError where the last part of `path` is a link."""
    if path.is_symlink():
        raise link_refused(path)


def refuse_taken(path: Path) -> None:
    """Raise UsageError where something is, unless it is an empty folder."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UsageError("something is there already", exhibit=str(path), advice="name a new or an empty folder")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Errors of the system while `path` is read, as RecordError."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise link_refused(path) from error
        if error.errno in _NOT_THERE:
            raise RecordError(
                "is missing", exhibit=str(path), advice="restore it from another copy of the case"
            ) from error
        raise RecordError(
            f"cannot be read: {error.strerror or error}",
            exhibit=str(path),
            advice="see to it that you may read the whole case, or read another copy",
        ) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Errors of the system while `path` is written: UsageError without permission, RecordError without room."""
    try:
        yield
    except OSError as error:
        raise not_written(error, path) from error


def not_written(error: OSError, path: Path) -> FiliationError:
    """What to tell a person about a write that failed."""
    if error.errno in _NO_PERMISSION:
        return UsageError(
            f"cannot be written: {error.strerror}",
            exhibit=str(path),
            advice="get permission to write in this folder, or go on with a copy of the case in another place",
        )
    if error.errno in _NO_ROOM:
        return RecordError(
            f"cannot be written: {error.strerror}; what was recorded before is whole",
            exhibit=str(path),
            advice="make room on the disk, then run the same command again",
        )
    return RecordError(
        f"cannot be written: {error.strerror or error}; what was recorded before is whole",
        exhibit=str(path),
        advice="check the disk and the folder, then run the same command again",
    )


def open_to_read(path: Path) -> int:
    """A file descriptor of a regular file. Raises RecordError where it is a link, or no regular file, or cannot be read."""
    with reading(path):
        refuse_link(path)
        descriptor = os.open(path, os.O_RDONLY | _BINARY | _NO_LINKS | _NO_WAITING)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RecordError("is not a file", exhibit=str(path), advice="restore it from another copy of the case")
    return descriptor


def read_file(path: Path) -> bytes:
    """The whole of a regular file. Raises RecordError."""
    descriptor = open_to_read(path)
    with reading(path), os.fdopen(descriptor, "rb") as file:
        return file.read()


def open_to_append(path: Path) -> int:
    """A file descriptor whose writes all go to the end of a file that is there."""
    refuse_link(path)
    with writing(path):
        return os.open(path, os.O_WRONLY | os.O_APPEND | _BINARY | _NO_LINKS)


@contextlib.contextmanager
def new_file(folder: Path) -> Iterator[FileIO]:
    """A new file in `folder` under a '.new-' name; taken away unless `move_into_place` gave it another."""
    path = folder / f"{LEFTOVER}{secrets.token_hex(8)}"
    with FileIO(path, "x") as file:
        try:
            yield file
        finally:
            file.close()
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def move_into_place(file: FileIO, path: Path) -> None:
    """Force a new file to the disk, close it and give it its name."""
    os.fsync(file.fileno())
    file.close()
    os.replace(file.name, path)
    synchronise_folder(path.parent)


def write_file(path: Path, data: bytes) -> None:
    """Put `data` in the place of `path` in one step, on the disk when this returns. Raises UsageError or RecordError."""
    refuse_link(path)
    with writing(path), new_file(path.parent) as file:
        write_all(file.fileno(), data)
        move_into_place(file, path)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def append_whole(descriptor: int, data: bytes, size: int, path: Path) -> None:
    """Write `data` behind the `size` bytes of an open file and force it to the disk, or leave the file as it was.

    Raises UsageError or RecordError. Where even taking away what was written fails, the file is longer than it should be: whoever
    writes next has to look.
    """
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        if isinstance(error, OSError):
            raise not_written(error, path) from error
        raise


def make_folder(path: Path) -> None:
    """Make a folder where there is none. Raises RecordError where a link or a file stands in its place."""
    refuse_link(path)
    with writing(path):
        if not path.is_dir():
            path.mkdir()
            synchronise_folder(path.parent)


def synchronise_folder(folder: Path) -> None:
    """Force the names in a folder to the disk; without it a power cut may forget that a new file exists."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
