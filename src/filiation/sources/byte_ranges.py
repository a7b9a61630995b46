"""Bytes of one file by offset: mapped from disk here, fetched by range in `hub`; both keep a log of what was read."""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from filiation.errors import MalformedSource, SourceNotFound

Bytes = NDArray[np.uint8]

_COMPACT_AT = 1 << 16


class ReadLog:
    """Which bytes of a file have been read; reading the same bytes twice counts once. Safe between threads."""

    def __init__(self) -> None:
        self._starts: list[NDArray[np.int64]] = []
        self._ends: list[NDArray[np.int64]] = []
        self._pending = 0
        self._lock = threading.Lock()

    def add(self, offset: int, size: int) -> None:
        self.add_many(np.array([offset], dtype=np.int64), np.array([size], dtype=np.int64))

    def add_many(self, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        with self._lock:
            self._starts.append(offsets)
            self._ends.append(offsets + sizes)
            self._pending += len(offsets)
            if self._pending > _COMPACT_AT:
                self._compact()

    def _compact(self) -> None:
        if not self._starts:
            return
        starts, ends = np.concatenate(self._starts), np.concatenate(self._ends)
        keep = ends > starts
        order = np.argsort(starts[keep], kind="stable")
        starts, ends = starts[keep][order], ends[keep][order]
        if len(starts):
            reach = np.maximum.accumulate(ends)
            first = np.concatenate(([True], starts[1:] > reach[:-1]))
            last = np.concatenate((first[1:], [True]))
            starts, ends = starts[first], reach[last]
        self._starts, self._ends, self._pending = [starts], [ends], 0

    @property
    def bytes_read(self) -> int:
        """Number of distinct bytes read."""
        with self._lock:
            self._compact()
            return int(sum(int((e - s).sum()) for s, e in zip(self._starts, self._ends, strict=True)))

    @property
    def ranges_read(self) -> int:
        """Number of disjoint ranges that the bytes read form."""
        with self._lock:
            self._compact()
            return sum(len(s) for s in self._starts)


class ByteRanges(Protocol):
    """Random access to one file. `read` and `read_rows` raise SourceError, never return fewer bytes than asked."""

    log: ReadLog

    @property
    def size(self) -> int: ...

    def read(self, offset: int, size: int) -> Bytes:
        """`size` bytes from `offset`, shape (size,), read-only."""

    def read_rows(self, offset: int, row_bytes: int, rows: NDArray[np.intp]) -> Bytes:
        """Rows of a table of `row_bytes`-wide rows starting at `offset`: shape (len(rows), row_bytes)."""


class LocalFile:
    """A file on disk. Only the window asked for is mapped, and is let go with the array that views it.

    A whole-file map would make resident memory grow to the size of the file while it is hashed.
    """

    def __init__(self, path: Path, exhibit: str) -> None:
        self.path = path
        self.exhibit = exhibit
        self.log = ReadLog()
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise not_readable(path, exhibit, error) from error
        self._size = os.fstat(self._descriptor).st_size

    def __del__(self) -> None:
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is not None:
            os.close(descriptor)

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, size: int) -> Bytes:
        window = self._window(offset, size)
        self.log.add(offset, size)
        return window

    def read_rows(self, offset: int, row_bytes: int, rows: NDArray[np.intp]) -> Bytes:
        if not len(rows):
            return np.empty((0, row_bytes), dtype=np.uint8)
        last = int(rows.max()) + 1
        table = self._window(offset, last * row_bytes).reshape(last, row_bytes)
        self.log.add_many(offset + rows.astype(np.int64) * row_bytes, np.full(len(rows), row_bytes, dtype=np.int64))
        return table[rows]

    def _window(self, offset: int, size: int) -> Bytes:
        # Checked at each read: touching a map beyond the end of a file that shrank meanwhile ends the whole process.
        now = os.fstat(self._descriptor).st_size
        if now != self._size or offset < 0 or size < 0 or offset + size > now:
            raise MalformedSource(
                f"bytes {offset} to {offset + size} of {self.path.name} are not there: the file has {now} bytes",
                exhibit=self.exhibit,
                advice="the file is truncated or is being written: fetch it again",
            )
        if size == 0:
            return np.empty(0, dtype=np.uint8)
        start = offset - offset % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(self._descriptor, offset + size - start, access=mmap.ACCESS_READ, offset=start)
        return np.frombuffer(mapped, dtype=np.uint8, count=size, offset=offset - start)


def not_readable(path: Path, exhibit: str, error: OSError) -> SourceNotFound:
    """The error for a path that the operating system will not open."""
    if isinstance(error, PermissionError):
        return SourceNotFound(
            f"no permission to read {path}", exhibit=exhibit, advice="give yourself read permission, or copy the file"
        )
    if isinstance(error, FileNotFoundError):
        return SourceNotFound(f"there is no {path}", exhibit=exhibit, advice="check the path for a misprint")
    if isinstance(error, IsADirectoryError):
        return SourceNotFound(f"{path} is a folder where a file belongs", exhibit=exhibit, advice="check the folder")
    reason = error.strerror or type(error).__name__
    return SourceNotFound(f"{path} cannot be read: {reason}", exhibit=exhibit, advice="check the path and the disk")


def read_small_file(path: Path, exhibit: str, limit: int) -> bytes:
    """A whole small file. Raises SourceNotFound where it cannot be opened, MalformedSource above `limit` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise not_readable(path, exhibit, error) from error
    if len(data) > limit:
        raise MalformedSource(f"{path.name} has more than {limit} bytes", exhibit=exhibit, advice="check the file")
    return data
