"""A case as a BagIt bag (RFC 8493), complete and checkable with any BagIt program.

    bagit.txt, bag-info.txt, manifest-sha256.txt, tagmanifest-sha256.txt
    data/case/...                     the case, byte for byte
    data/ro-crate-metadata.json       what the files are (RO-Crate 1.2; `data` is the root of the crate)
    data/pedigree.cdx.json            the models (CycloneDX 1.6)

The same case gives the same bytes on every machine: dates are those of the ledger's last entry, never the clock's. The bag
is written beside its target and renamed when it is whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn

from filiation.case.records import Closed, Opened
from filiation.case.view import CaseView
from filiation.errors import RecordError, UnsafeSource, UsageError
from filiation.exports import cyclonedx, ro_crate

Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, from 0 to 1."""

BLOCK = 1 << 20
NOT_OF_THE_CASE = re.compile(r"\.lock|\.new-.*")
"""Names of a writer's lock and of what an interrupted write left behind: neither is part of a case."""

CASE = "case"
CRATE = "ro-crate-metadata.json"
PEDIGREE = "pedigree.cdx.json"


@dataclass(frozen=True)
class BaggedFile:
    """A file of the payload. `path` is relative to `data/`, with '/' between its parts; `size` in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Bag:
    """What was written: the payload in the order of its paths, and its size in bytes."""

    folder: Path
    files: tuple[BaggedFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def silent(_what: str, _share: float) -> None:
    """The progress callback that shows nothing."""


def write_bag(case: Path, target: Path, view: CaseView, *, progress: Progress = silent) -> Bag:
    """Write the case in the folder `case`, which `view` was read from, as a bag into `target`.

    Raises UsageError where `target` is not a new or empty folder or cannot be written, UnsafeSource where the case holds a
    link or a name that no bag can carry, RecordError where the case is not, or no longer, the one of `view`.
    """
    members = case_files(case)
    _check_target(target, case)
    with _written_beside(target) as folder:
        data = folder / "data"
        copied = _copied(case, members, data / CASE, progress)
        _check_head(data / CASE / "ledger.jsonl", view)
        described = [
            _written(data, PEDIGREE, cyclonedx.bill_of_materials(view)),
            _written(data, CRATE, ro_crate.metadata(view, copied)),
        ]
        files = tuple(sorted((*copied, *described), key=lambda file: file.path))
        _write_tags(folder, files, view)
    progress("written", 1.0)
    return Bag(target, files)


# ------------------------------------------------------------------------------------------------------ what is copied


def case_files(case: Path) -> tuple[PurePosixPath, ...]:
    """Every file of a case, sorted. Raises UnsafeSource on links, devices and names that are not text."""
    if not (case / "case.json").is_file():
        raise UsageError(
            "there is no case here", exhibit=str(case), advice="give the folder that 'filiation case open' made"
        )
    found = (Path(folder) / name for folder, _, names in os.walk(case, onerror=_unreadable) for name in names)
    members = [PurePosixPath(path.relative_to(case)) for path in found if not NOT_OF_THE_CASE.fullmatch(path.name)]
    for member in (*members, *_folders(case)):
        _check_member(case, member)
    return tuple(sorted(members, key=str))


def _folders(case: Path) -> Iterator[PurePosixPath]:
    for folder, names, _ in os.walk(case):
        yield from (PurePosixPath((Path(folder) / name).relative_to(case)) for name in names)


def _unreadable(error: OSError) -> NoReturn:
    raise UnsafeSource(
        f"cannot be read: {error.strerror or error}",
        exhibit=str(error.filename),
        advice="a bag must be complete: run this as somebody who may read the whole case",
    ) from error


def _check_member(case: Path, member: PurePosixPath) -> None:
    """A link could bring in what lies outside the case, and a name that is not UTF-8 has no place in a manifest."""
    mode = os.lstat(case / member).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UnsafeSource(
            "this is a link or a device, and no case holds one",
            exhibit=str(case / member),
            advice="run 'filiation case verify', and put the file itself in its place",
        )
    try:
        str(member).encode()
    except UnicodeEncodeError as error:
        raise UnsafeSource(
            "this name is not UTF-8, so that no bag can list it",
            exhibit=repr(str(case / member)),
            advice="run 'filiation case verify': the case's own files have plain names",
        ) from error


def _copied(case: Path, members: Sequence[PurePosixPath], into: Path, progress: Progress) -> list[BaggedFile]:
    """Copies of their own (never links), hashed while they are written."""
    total = sum(os.lstat(case / member).st_size for member in members) or 1
    files, done = [], 0
    for member in members:
        progress(f"copying {member}", done / total)
        file = _copied_file(case / member, into / member, f"{CASE}/{member}")
        files.append(file)
        done += file.size
    return files


def _copied_file(source: Path, copy: Path, path: str) -> BaggedFile:
    copy.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with _opened(source) as reading, copy.open("xb") as writing:
        while block := reading.read(BLOCK):
            digest.update(block)
            writing.write(block)
            size += len(block)
    return BaggedFile(path, size, digest.hexdigest())


def _opened(source: Path) -> BinaryIO:
    """The file itself: a link that took its place since the list was made is not followed."""
    try:
        return os.fdopen(os.open(source, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb")
    except OSError as error:
        _unreadable(error)


def _check_head(ledger: Path, view: CaseView) -> None:
    """The copy must be what `view` tells of: nobody may have written to the case between reading and copying."""
    last = ledger.read_bytes().rstrip(b"\n").rpartition(b"\n")[2]
    if hashlib.sha256(last).hexdigest() != view.head:
        raise RecordError(
            "the ledger changed while it was copied, or does not end in a whole entry",
            exhibit=str(ledger),
            advice="wait until nobody writes to the case, run 'filiation case status', and export again",
        )


# ----------------------------------------------------------------------------------------------------- what is written


def _check_target(target: Path, case: Path) -> None:
    if target.resolve().is_relative_to(case.resolve()):
        raise UsageError(f"{target} lies inside the case", advice="give a folder beside it")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target} is not a folder", advice="give a new one")
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(f"{target} is not empty", advice="give a new folder: an export replaces nothing")
    if not target.parent.is_dir():
        raise UsageError(
            f"the folder around it is not there: {target.parent}", advice="make it first, or give another path"
        )


@contextmanager
def _written_beside(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its place when everything went well, and goes away when not."""
    folder: Path | None = None
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".new-{target.name[:80]}-", dir=target.parent))
        folder.chmod(0o777 & ~_mask())
        yield folder
        if target.is_dir():
            target.rmdir()
        folder.rename(target)
    except OSError as error:
        raise UsageError(
            f"{target} could not be written: {error.strerror or error}",
            advice="give a folder with enough room in which you may write",
        ) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _written(folder: Path, path: str, content: bytes) -> BaggedFile:
    folder.mkdir(exist_ok=True)
    (folder / path).write_bytes(content)
    return BaggedFile(path, len(content), hashlib.sha256(content).hexdigest())


def _write_tags(folder: Path, files: Sequence[BaggedFile], view: CaseView) -> None:
    tags = [
        _written(folder, "bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"),
        _written(folder, "bag-info.txt", bag_info(view, files)),
        _written(folder, "manifest-sha256.txt", manifest(files, "data/")),
    ]
    _written(folder, "tagmanifest-sha256.txt", manifest(tags))


def manifest(files: Sequence[BaggedFile], folder: str = "") -> bytes:
    """The lines of a manifest (RFC 8493, 2.1.3): checksum, two spaces, path."""
    return "".join(f"{file.sha256}  {folder}{encoded(file.path)}\n" for file in files).encode()


def encoded(path: str) -> str:
    """A path as a manifest writes it: percent signs and line ends percent-encoded, nothing else (RFC 8493, 2.1.3)."""
    return path.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def bag_info(view: CaseView, files: Sequence[BaggedFile]) -> bytes:
    """The tags of `bag-info.txt`. Who sends the bag is not known, so nothing is said of it."""
    last = view.entries[-1]
    tags = [
        ("External-Identifier", view.header.case),
        ("External-Description", f"Case file: {view.header.title}"),
        ("Bagging-Date", last.time[:10]),
        ("Payload-Oxum", f"{sum(file.size for file in files)}.{len(files)}"),
        ("Bag-Software-Agent", view.entries[0].body.software if isinstance(view.entries[0].body, Opened) else ""),
        ("Case-Ledger-Head", view.head),
        ("Case-Ledger-Entries", str(len(view.entries))),
        ("Case-State", "closed" if isinstance(last.body, Closed) else "open"),
        *(("Not-Carried", told) for told in not_carried(view)),
    ]
    return "".join(f"{label}: {one_line(value)}\n" for label, value in tags if value).encode()


def not_carried(view: CaseView) -> tuple[str, ...]:
    """The exhibits whose files stay outside the case, with what there is in their place. Endpoints have no files."""
    outside = (manifest for manifest in view.manifests.values() if manifest.files and not manifest.inside)
    return tuple(
        f"{manifest.exhibit}: {len(manifest.files)} files, {sum(file.size for file in manifest.files)} bytes, by digest only"
        for manifest in outside
    )


def one_line(text: str) -> str:
    """`text` with line ends and control characters as spaces: a tag's value ends with its line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
