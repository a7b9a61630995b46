"""Admitting exhibits: every file hashed, small exhibits kept inside the case, large ones left where they are."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filiation.case.ledger import time_text
from filiation.case.objects import hash_files
from filiation.case.records import Admitted, Manifest, Role, Setting
from filiation.errors import MalformedSource, SourceNotFound, UsageError
from filiation.evidence import Absent, FileRecord, Identity
from filiation.proceedings.sitting import Sitting
from filiation.report.wording import hold_to_wording
from filiation.sources.endpoints.location import endpoint_at, is_location
from filiation.sources.identity import HASH_LIMIT
from filiation.sources.marks import folder_of
from filiation.sources.open import MARKS, PACKS, TRANSCRIPTS, open_source
from filiation.sources.packs import PackSource
from filiation.sources.source import Source
from filiation.sources.transcripts import models_of, split_location

INSIDE_LIMIT = 64_000_000
"""Bytes up to which an exhibit is copied into the case."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,._()+@-]{0,79}(/[A-Za-z0-9][A-Za-z0-9 ._-]{0,39})?")
"""Names of exhibits; 'NAME/PART' is a further part of the exhibit NAME."""


@dataclass(frozen=True)
class Origin:
    """Where an exhibit comes from and what is declared of it."""

    origin: str
    obtained_by: str
    obtained_at: str = ""
    lineage: str = ""
    attributes: Mapping[str, Setting] | None = None
    location: str = ""
    """What the manifest says of where an exhibit outside the case lies, instead of its path on this machine."""


@dataclass(frozen=True)
class _Held:
    """The files behind a location, and how the exhibit is opened where they lie in a folder of their own."""

    kind: str
    files: tuple[tuple[str, Path], ...]
    inside: str
    model: str = ""
    source: Source | None = None


def admit(
    sitting: Sitting, location: str, *, exhibit: str, role: Role, origin: Origin, inside_limit: int = INSIDE_LIMIT
) -> Manifest:
    """Admit the exhibit at `location` under a name: a model's files, recorded answers, opened marks, an endpoint still to be asked,
    any file.

    Up to `inside_limit` bytes are copied into the case. Raises UsageError on a name that is taken, SourceError where the exhibit
    cannot be read.
    """
    _check_name(sitting, exhibit, role)
    hold_to_wording(
        {
            "origin": origin.origin,
            "obtained by": origin.obtained_by,
            "location": origin.location,
            "lineage": origin.lineage,
        }
    )
    _check_time(origin.obtained_at)
    held = _held(location, exhibit, role)
    for _, path in held.files:
        refuse_secret(path)
    attributes = {**_found(held.source), **(origin.attributes or {})}
    size = sum(path.stat().st_size for _, path in held.files)
    identity = _identity(sitting, held, size)
    records = _hashed(sitting, held, identity)
    inside = bool(held.files) and held.kind != "pack" and size <= inside_limit
    inside = inside and all(is_plain(name) for name, _ in held.files)
    _check_told_location(origin.location, held, inside)
    if inside:
        _keep(sitting, held, records)
    manifest = Manifest(
        exhibit=exhibit,
        role=role,
        kind=held.kind,
        location=held.inside if inside else _hint(sitting, location, held, origin.location),
        origin=origin.origin,
        obtained_by=origin.obtained_by,
        obtained_at=origin.obtained_at or time_text(sitting.acting.clock()),
        lineage=origin.lineage or (held.source.lineage_id if held.source else ""),
        model=held.model,
        files=records,
        inside=inside,
        content_id=(identity.content_id or "") if identity else "",
        attributes=attributes,
    )
    sitting.append(Admitted(exhibit=exhibit, role=role, manifest=sitting.folder.put_record(manifest)))
    return manifest


SECRET_LIMIT = 100_000
"""Bytes beyond which a file is neither a key nor the file of a draw's secrets."""

_SECRET = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|\A[0-9a-f]{64} [0-9a-f]{64}\s|\A[0-9a-f]{64}\s*\Z")
"""A private key, the secret of a draw, or a key of canaries and lots as it lies with its owner. What was opened of such a key
stands inside a JSON file, and is public from then on."""


def refuse_secret(path: Path) -> None:
    """Raise UsageError where a file is a key or holds the secret behind code names: a case goes to the other side."""
    try:
        secret = path.stat().st_size <= SECRET_LIMIT and _SECRET.search(path.read_bytes())
    except OSError:
        return  # whoever hashes it says why it cannot be read
    if secret:
        raise UsageError(
            "this file holds a private key or the secret of a draw or lot, and a case is handed to the other side",
            exhibit=str(path),
            advice="keep it outside the case, and outside the folder of an exhibit (a digest of 64 digits that stands alone in a file "
            "cannot be told from a key: leave it out, too)",
        )


def is_plain(name: str) -> bool:
    """Whether a name is that of one file in a folder, on any system."""
    return bool(name) and name[0] != "." and not set(name) & set("/\\:\0")


def models_at(location: str) -> tuple[str, ...]:
    """One location for each model in a file of transcripts, where none is named; else the location itself."""
    if not location.startswith(TRANSCRIPTS):
        return (location,)
    file, model = split_location(location)
    if model:
        return (location,)
    return tuple(f"{TRANSCRIPTS}{file}#{name}" for name in models_of(file))


def usual_name(location: str) -> str:
    """What an exhibit is called where nobody says: its model, or the last part of its path."""
    if is_location(location):
        name = endpoint_at(location).model
    elif location.startswith(TRANSCRIPTS):
        name = split_location(location)[1] or split_location(location)[0].stem
    elif location.startswith(PACKS):
        name = location.partition("#")[2]
    elif location.startswith(MARKS):
        name = folder_of(location).resolve().name
    else:
        name = Path(location).expanduser().resolve().name if not _is_hub(location) else location.partition("@")[0]
    return re.sub(r"[^A-Za-z0-9 ,._()+@-]+", "-", name).strip(" .-_")[:80]


def _check_time(text: str) -> None:
    try:
        if text:
            datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no time", advice="give --obtained-at as 2026-05-04 or 2026-05-04T09:00:00Z, or leave it out"
        ) from error


def _check_told_location(told: str, held: _Held, inside: bool) -> None:
    """Another location can be told only of files that stay outside: everything else is opened by its location."""
    if told and (inside or held.kind in ("endpoint", "hub", "pack")):
        raise UsageError(
            "--location is for files that stay outside the case; this exhibit is opened by its own location",
            advice="leave --location out" + (", or give --inside-limit 0" if inside else ""),
        )
    if "#" in told:
        raise UsageError("a location that is told has no '#'", advice="say where the file lies, without its model")


def _check_name(sitting: Sitting, exhibit: str, role: Role) -> None:
    taken = sitting.manifests
    if not NAME.fullmatch(exhibit):
        raise UsageError(
            f"an exhibit cannot be called {exhibit[:80]!r}",
            advice="give --as NAME of letters, digits, spaces and ,._()+@-",
        )
    if exhibit in taken:
        raise UsageError(
            f"an exhibit called {exhibit} was admitted before",
            exhibit=str(sitting.folder.path),
            advice=f"give another name; {exhibit}/PART is a further part of it, such as {exhibit}/answers",
        )
    whole = taken.get(exhibit.partition("/")[0])
    if "/" in exhibit and (whole is None or whole.role != role):
        raise UsageError(
            f"{exhibit} is to be a part of an exhibit that is not there as {role}",
            advice=f"admit {exhibit.partition('/')[0]} first, with the same role",
        )


# ------------------------------------------------------------------------------------------------------------- what it is


def _held(location: str, exhibit: str, role: Role) -> _Held:
    if role == "material":
        path = _existing(location)
        return _Held("file", _files_in(path) if path.is_dir() else ((path.name, path),), ".")
    if is_location(location):
        return _Held("endpoint", (), ".")
    if location.startswith(MARKS):
        return _marks(location, exhibit, role)
    _refuse_misprint(location)
    source = open_source(location, name=exhibit)
    if location.startswith(TRANSCRIPTS):
        file, _ = split_location(location)
        model = source.transcript().model
        return _Held("transcript", ((file.name, file),), f"{TRANSCRIPTS}./{file.name}#{model}", model, source)
    if isinstance(source, PackSource):
        return _Held("pack", _files_in(source.pack.folder), ".", location.rpartition("#")[2], source)
    path = Path(location).expanduser()
    if path.is_dir():
        return _Held(source.format, _files_in(path), ".", source=source)
    if path.exists():
        return _Held(source.format, ((path.name, path),), f"./{path.name}", source=source)
    return _Held("hub", (), ".", source=source)


def _marks(location: str, exhibit: str, role: Role) -> _Held:
    if role != "reference":
        raise UsageError(
            f"opened marks are the owner's, and speak for the reference; this exhibit is admitted as {role}",
            exhibit=location,
            advice="give --role reference, with --as NAME/marks where the reference itself is admitted as NAME",
        )
    return _Held("marks", _files_in(folder_of(location)), f"{MARKS}.", source=open_source(location, name=exhibit))


def _refuse_misprint(location: str) -> None:
    """'models/our' looks like a model of a hub; where there is a folder 'models' here, it is a misprint."""
    parent = location.partition("/")[0]
    if _is_hub(location) and location.count("/") == 1 and parent and Path(parent).is_dir():
        there = sorted(path.name for path in Path(parent).iterdir())
        near = difflib.get_close_matches(location.partition("/")[2], there, n=1)
        raise SourceNotFound(
            f"there is a folder {parent} here, and no {location} in it",
            exhibit=location,
            advice=(f"did you mean {parent}/{near[0]}? " if near else "")
            + "For a model of the hub run the command in a folder without one of that name",
        )


def _existing(location: str) -> Path:
    path = Path(location).expanduser()
    if not path.exists():
        raise SourceNotFound(
            "there is no such file or folder", exhibit=location, advice="check the path for a misprint"
        )
    return path


def _is_hub(location: str) -> bool:
    return not Path(location).expanduser().exists()


def _files_in(folder: Path) -> tuple[tuple[str, Path], ...]:
    """The files that lie directly in a folder, hidden ones left out, by name."""
    return tuple((path.name, path) for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] != ".")


def _keep(sitting: Sitting, held: _Held, records: Sequence[FileRecord]) -> None:
    """Copy the files into the case; they must still be those that were hashed."""
    for (name, path), record in zip(held.files, records, strict=True):
        if sitting.folder.objects.put_file(path) != record.sha256:
            raise MalformedSource(
                f"{name} changed while it was admitted",
                exhibit=str(path),
                advice="wait until nobody writes it any more",
            )


def _identity(sitting: Sitting, held: _Held, size: int) -> Identity | None:
    """Who an exhibit is whatever its wrapping; weights beyond the limit are read once, for the digests of their files."""
    if held.source is None:
        return None
    if held.kind == "hub":
        return held.source.identity(False, sitting.progress)
    weightless = held.kind not in ("transcript", "pack", "marks") and isinstance(held.source.tensors(), Absent)
    return None if weightless or size > HASH_LIMIT else held.source.identity(True, sitting.progress)


def _hashed(sitting: Sitting, held: _Held, identity: Identity | None) -> tuple[FileRecord, ...]:
    """Name, size and SHA-256 of every file, streamed, each hashed once; of a hub, what the hub claims."""
    if held.kind == "hub" and identity:
        return identity.files
    known = {file.name: file for file in identity.files if file.basis == "read"} if identity else {}
    found = hash_files([path for name, path in held.files if name not in known], sitting.progress)
    return tuple(
        known[name]
        if name in known
        else FileRecord(name=name, size=found[path][1], sha256=found[path][0], basis="read")
        for name, path in held.files
    )


def _found(source: Source | None) -> dict[str, Setting]:
    """Attributes that the files themselves tell: architecture class and number of parameters."""
    if source is None:
        return {}
    told: dict[str, Setting] = {}
    configuration: Mapping[str, Any] | Absent = source.configuration()
    if not isinstance(configuration, Absent) and isinstance(configuration.get("model_type"), str):
        told["architecture"] = configuration["model_type"]
    tensors = source.tensors()
    if not isinstance(tensors, Absent):
        told["parameters"] = sum(math.prod(tensors.entry(name).shape) for name in tensors.names())
    return told


def _hint(sitting: Sitting, location: str, held: _Held, told: str) -> str:
    """How to find it again: as told, or by a path relative to the case where it lies beside it, else by its whole path."""
    if not held.files or held.kind == "pack":
        return endpoint_at(location).location if held.kind == "endpoint" else location
    prefix, place, model = "", Path(location).expanduser(), ""
    if held.kind == "transcript":
        prefix, place, model = TRANSCRIPTS, held.files[0][1], f"#{held.model}"
    if held.kind == "marks":
        prefix, place = MARKS, folder_of(location)
    return f"{prefix}{told or _beside(sitting.folder.path, place)}{model}"


def _beside(case: Path, place: Path) -> str:
    found = place.resolve()
    near = case.resolve().parent
    return os.path.relpath(found, case.resolve()) if found.is_relative_to(near) else str(found)


def whole_exhibits(manifests: Sequence[str]) -> list[str]:
    """The names of exhibits without those of their further parts."""
    return [name for name in manifests if "/" not in name]
