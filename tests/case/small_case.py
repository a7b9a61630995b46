"""A small case for tests of the folder: one key, a fixed clock, remarks."""

from __future__ import annotations

import hashlib
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filiation.case.folder import CaseFolder
from filiation.case.records import Authority, Header, Opened
from filiation.case.signing import Signer

HEADER = Header(case="0123456789abcdef0123456789abcdef", title="A v. B")
NOW = datetime(2026, 1, 31, 8, 15, tzinfo=UTC)
NOBODY = 65534


def opening(signer: Signer, authorities: tuple[Authority, ...] = ()) -> Opened:
    return Opened(
        case=HEADER.case,
        title=HEADER.title,
        party="claimant",
        key=signer.key,
        software="filiation",
        authorities=authorities,
    )


def new_case(path: Path, signer: Signer) -> CaseFolder:
    return CaseFolder.create(path, HEADER, opening(signer), actor="me", now=NOW)


def pictured(folder: Path) -> dict[str, tuple[str, int, str]]:
    """Everything in a folder: kind and time of change, and what is in it."""

    def content(path: Path) -> str:
        if path.is_symlink():
            return str(path.readlink())
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

    return {
        str(path.relative_to(folder)): (oct(path.lstat().st_mode), path.lstat().st_mtime_ns, content(path))
        for path in sorted(folder.rglob("*"))
    }


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """The system refuses to let any file grow beyond `size` bytes, as it does on a disk that is full (EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def a_folder_that_others_may_enter() -> Iterator[Path]:
    """Unlike pytest's own, which belongs to the one who runs the tests alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def without_permission_to_write(folder: Path) -> Iterator[None]:
    """Nothing in the folder may be written; where root runs the tests, whom no mode binds, somebody else goes on meanwhile."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)
