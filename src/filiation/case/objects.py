"""The objects of a case: bytes that are named by their SHA-256, and the hashing of files of any size.

An object lies at `objects/ab/ab12...`, the folder named by the first two of its 64 hexadecimal digits. What is named by its
content can be stored twice without harm, and cannot be altered without being found out: every reading hashes anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from filiation.case.files import (
    make_folder,
    move_into_place,
    new_file,
    open_to_read,
    read_file,
    reading,
    refuse_link,
    synchronise_folder,
    write_all,
    write_file,
    writing,
)
from filiation.errors import MalformedSource, RecordError, SourceError, SourceNotFound, UsageError

Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, from 0 to 1."""

CHUNK = 1 << 22
"""Bytes that are read at once."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def silent(_what: str, _share: float) -> None:
    """The progress callback that shows nothing."""


class Objects:
    """The folder `objects` of a case. With `writable=False` (and once the case is closed) nothing is stored."""

    def __init__(self, folder: Path, *, writable: bool = True) -> None:
        self.folder = Path(folder)
        self.writable = writable

    def path(self, digest: str) -> Path:
        """Where the object lies, or would. Raises RecordError unless `digest` is 64 lower-case hexadecimal digits."""
        if not _DIGEST.fullmatch(digest):
            raise RecordError(
                f"{digest[:80]!r} is not the SHA-256 of an object (64 lower-case hexadecimal digits)",
                exhibit=str(self.folder),
                advice="give the digest as the ledger writes it",
            )
        return self.folder / digest[:2] / digest

    def holds(self, digest: str) -> bool:
        """Whether there is such an object; says nothing about its bytes. Raises RecordError on a link."""
        return self._reached(digest).exists()

    def get(self, digest: str) -> bytes:
        """The bytes, hashed anew. Raises RecordError where they are missing or altered."""
        data = read_file(self._reached(digest))
        self._check(digest, hashlib.sha256(data).hexdigest())
        return data

    def put(self, data: bytes) -> str:
        """Store bytes and return their digest; they are on the disk when this returns."""
        self._check_writable()
        digest = hashlib.sha256(data).hexdigest()
        if self.holds(digest):
            self.get(digest)
        else:
            write_file(self._place(digest), data)
        return digest

    def put_file(self, path: Path, progress: Progress = silent) -> str:
        """Store a file of any size, read once and never held in memory; `path` itself may lie anywhere.

        Raises SourceNotFound and MalformedSource about the file, UsageError and RecordError about the case.
        """
        self._check_writable()
        make_folder(self.folder)
        with _Exhibit(path, progress) as exhibit, writing(self.folder), new_file(self.folder) as file:
            found = hashlib.sha256()
            for chunk in exhibit.chunks():
                found.update(chunk)
                write_all(file.fileno(), chunk)
            digest = found.hexdigest()
            if self.holds(digest):
                self._check(digest, _hash_stored(self.path(digest)))
            else:
                move_into_place(file, self._place(digest))
                synchronise_folder(self.folder)
        return digest

    def digests(self) -> Iterator[str]:
        """Names of all objects, sorted; files that are not named like objects are passed over."""
        for folder in _inside(self.folder):
            if len(folder.name) == 2 and folder.is_dir():
                for path in _inside(folder):
                    if _DIGEST.fullmatch(path.name) and path.name.startswith(folder.name):
                        yield path.name

    def _reached(self, digest: str) -> Path:
        path = self.path(digest)
        for part in (self.folder, path.parent, path):
            refuse_link(part)
        return path

    def _place(self, digest: str) -> Path:
        path = self._reached(digest)
        make_folder(self.folder)
        make_folder(path.parent)
        return path

    def _check_writable(self) -> None:
        if not self.writable:
            raise UsageError(
                "the case is not open for writing", exhibit=str(self.folder), advice="open the case for writing first"
            )

    def _check(self, digest: str, found: str) -> None:
        if found != digest:
            raise RecordError(
                f"the object was altered: its bytes have the SHA-256 {found}",
                exhibit=str(self.path(digest)),
                advice="restore the object from another copy of the case; its name tells which bytes belong there",
            )


def _inside(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name; nothing where there is no folder. Raises RecordError on a link."""
    refuse_link(folder)
    if not folder.exists():
        return []
    with reading(folder):
        found = sorted(folder.iterdir())
    for path in found:
        refuse_link(path)
    return found


# ---------------------------------------------------------------------------------------------------------------- hashing


def sha256_of_file(path: Path, progress: Progress = silent) -> str:
    """SHA-256, in hexadecimal, of a file of any size. Raises SourceNotFound, or MalformedSource where it changes meanwhile."""
    return hash_files([path], progress, workers=1)[path][0]


def hash_files(
    paths: Iterable[Path],
    progress: Progress = silent,
    workers: int = 2,
    refused: dict[Path, SourceError] | None = None,
) -> dict[Path, tuple[str, int]]:
    """SHA-256 and size in bytes of each file, streamed, `workers` files at a time, in the order given.

    `progress` is told the name of a file and the share of all bytes that has been read. Raises SourceNotFound, or
    MalformedSource where a file changes while it is read; with `refused` these are put there, and the other files go on.
    """
    wanted = list(dict.fromkeys(paths))
    done = _Done(progress, sum(_size(path) for path in wanted))
    found: dict[Path, tuple[str, int]] = {}
    queue, turn = iter(wanted), threading.Lock()

    def work() -> None:
        while not done.stopped:
            with turn:
                path = next(queue, None)
            if path is None:
                return
            try:
                found[path] = _hash_exhibit(path, done)
            except SourceError as error:
                if refused is None:
                    raise
                refused[path] = error

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        running = [pool.submit(work) for _ in range(max(1, workers))]
        try:
            for one in as_completed(running):
                one.result()
        except BaseException:
            done.stopped = True
            raise
    return {path: found[path] for path in wanted if path in found}


class _Done:
    """Bytes read so far, over all threads."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total = progress, total
        self.read = 0
        self.stopped = False
        self._turn = threading.Lock()

    def add(self, name: str, count: int) -> None:
        with self._turn:
            self.read += count
            self.progress(name, min(1.0, self.read / self.total) if self.total else 1.0)


def _hash_exhibit(path: Path, done: _Done) -> tuple[str, int]:
    found, size = hashlib.sha256(), 0
    with _Exhibit(path) as exhibit:
        for chunk in exhibit.chunks():
            if done.stopped:
                break
            found.update(chunk)
            size += len(chunk)
            done.add(path.name, len(chunk))
    return found.hexdigest(), size


def _size(path: Path) -> int:
    """Size in bytes, for progress only; whoever reads the file finds out why there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _not_readable(path: Path, error: OSError) -> SourceNotFound:
    return SourceNotFound(
        f"cannot be read: {error.strerror or error}", exhibit=str(path), advice="check the path and the permissions"
    )


class _Exhibit:
    """A file from outside the case, read once from end to end; it must not change meanwhile."""

    def __init__(self, path: Path, progress: Progress = silent) -> None:
        self.path, self.progress = path, progress

    def __enter__(self) -> _Exhibit:
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise MalformedSource("is not a file", exhibit=str(self.path), advice="name one file, not a folder")
            self._file = self.path.open("rb", buffering=0)
        except OSError as error:
            raise _not_readable(self.path, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def chunks(self) -> Iterator[memoryview]:
        """The bytes, in a buffer that is used again for each chunk. Raises MalformedSource where the file changed."""
        before = os.fstat(self._file.fileno())
        buffer, read = memoryview(bytearray(max(1, min(CHUNK, before.st_size + 1)))), 0
        while read <= before.st_size and (count := self._next(buffer)):  # a file that grows is not followed for ever
            read += count
            yield buffer[:count]
            self.progress(self.path.name, min(1.0, read / before.st_size) if before.st_size else 1.0)
        after = os.fstat(self._file.fileno())
        if read != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise MalformedSource(
                "changed while it was read", exhibit=str(self.path), advice="wait until nobody writes it any more"
            )

    def _next(self, buffer: memoryview) -> int:
        try:
            return self._file.readinto(buffer) or 0
        except OSError as error:
            raise _not_readable(self.path, error) from error


def _hash_stored(path: Path) -> str:
    """SHA-256 of a file inside the case, streamed, no link followed."""
    found, buffer = hashlib.sha256(), memoryview(bytearray(CHUNK))
    descriptor = open_to_read(path)
    with reading(path), os.fdopen(descriptor, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            found.update(buffer[:count])
    return found.hexdigest()
