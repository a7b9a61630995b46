"""Opening exhibits again: from the case, or from where they lie, and only with the bytes that were admitted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from filiation.case.objects import hash_files
from filiation.case.records import Asked, Manifest, Noted, Plan
from filiation.errors import RecordError, SourceNotFound, UnsafeSource, UsageError
from filiation.proceedings.admission import is_plain
from filiation.proceedings.plan_file import unknown
from filiation.proceedings.sitting import CaseAtHand, Sitting
from filiation.sources.joined import JoinedSource
from filiation.sources.marks import folder_of
from filiation.sources.open import MARKS, TRANSCRIPTS, open_source
from filiation.sources.packs import PackSource, opened, shipped
from filiation.sources.source import Source
from filiation.sources.transcripts import split_location
from filiation.statistics.line_up import name_key


@dataclass
class Exhibits:
    """The exhibits of a case, opened on demand.

    `places`: where an exhibit lies on this machine, by name, instead of where its manifest says. `trust_size`: do not hash files
    outside the case anew.
    """

    case: CaseAtHand
    places: Mapping[str, str] = field(default_factory=dict)
    trust_size: bool = False
    _checked: dict[str, str] = field(default_factory=dict)
    _hashed: dict[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strange = set(self.places) - set(self.case.manifests)
        if strange:
            raise unknown("--at names what was not admitted:", strange, self.case.manifests)

    def open(self, exhibit: str, plan: Plan | None = None) -> Source:
        """An exhibit with all its parts, under its own name and with the lineage that the plan or its manifest declares."""
        parts = self._parts(exhibit)
        lineage = self._lineage(exhibit, parts, plan)
        if len(parts) == 1:
            return self._part(parts[0], exhibit, lineage)
        return JoinedSource([self._part(part, exhibit, lineage) for part in parts], name=exhibit, lineage_id=lineage)

    def open_under(self, code: str, exhibit: str, plan: Plan) -> Source:
        """An exhibit under a code name: nothing that it says of itself tells who it is."""
        parts = self._parts(exhibit)
        lineage, lab = self._neutral(code, exhibit, parts, plan)
        sources = [self._part(part, code, lineage) for part in parts]
        if isinstance(sources[0], PackSource):
            sources[0].lab = lab
            return sources[0]
        return JoinedSource(sources, name=code, lineage_id=lineage, neutral=True, lab=lab)

    def real_names(self, exhibit: str) -> tuple[str, ...]:
        """Everything by which an exhibit might be called in a message: names, models, files, paths; longest first."""
        told: set[str] = set()
        for part in self._parts(exhibit):
            location = self.places.get(part.exhibit, part.location)
            told |= {part.exhibit, part.model, location, self._checked.get(part.exhibit, "")}
            told |= {file.name for file in part.files}
        return tuple(sorted((name for name in told if len(name) > 1), key=len, reverse=True))

    # ----------------------------------------------------------------------------------------------------------- parts

    def _parts(self, exhibit: str) -> list[Manifest]:
        manifests = self.case.manifests
        found = [each for name, each in manifests.items() if name == exhibit or name.startswith(f"{exhibit}/")]
        found = [each for each in found if each.role != "material"]
        if not found:
            raise UsageError(
                f"no exhibit called {exhibit} was admitted",
                exhibit=str(self.case.folder.path),
                advice=self.case.do("admit", "LOCATION", "--as", f"'{exhibit}'", "--role", "ROLE"),
            )
        return found

    def _part(self, manifest: Manifest, name: str, lineage: str) -> Source:
        return open_source(self._located(manifest), name=name, lineage_id=lineage)

    def _located(self, manifest: Manifest) -> str:
        """Where one part lies now, its bytes held against the manifest."""
        if manifest.exhibit not in self._checked:
            self._checked[manifest.exhibit] = self._found(manifest)
        return self._checked[manifest.exhibit]

    def _found(self, manifest: Manifest) -> str:
        if manifest.kind == "endpoint":
            return self._answers(manifest)
        if manifest.inside:
            return self._unpacked(manifest)
        if manifest.kind in ("hub", "pack"):
            return self._elsewhere(manifest)
        return self._outside(manifest)

    def _unpacked(self, manifest: Manifest) -> str:
        """Its files as they were, in a folder outside the case; reading them from the case hashes them."""
        opens = _opens_inside(manifest)
        folder = self._place_for(*(f"{file.sha256} {file.name}" for file in manifest.files))
        for file in manifest.files:
            if not (folder / file.name).exists():
                _write(folder / file.name, self.case.folder.objects.get(file.sha256 or ""))
        prefix, model = _spelt(manifest)
        return f"{prefix}{folder / opens if opens else folder}{model}"

    def _answers(self, manifest: Manifest) -> str:
        """What an endpoint answered, from the transcript that was frozen when it had been asked."""
        asked = [e.body for e in self.case.folder.entries if isinstance(e.body, Asked)]
        transcript = next((each.transcript for each in asked if each.exhibit == manifest.exhibit), "")
        if not transcript:
            raise UsageError(
                "this endpoint has not been asked yet", exhibit=manifest.exhibit, advice=self.case.do("observe")
            )
        file = self._place_for(transcript) / "answers.parquet"
        _write(file, self.case.folder.objects.get(transcript))
        return f"{TRANSCRIPTS}{file}"

    def _place_for(self, *contents: str) -> Path:
        """A folder for these contents: exhibits that lie in one file, such as recordings of many models, share it."""
        folder = self.case.scratch / hashlib.sha256("\n".join(contents).encode()).hexdigest()[:32]
        folder.mkdir(exist_ok=True)
        return folder

    # --------------------------------------------------------------------------------------------- outside the case

    def _elsewhere(self, manifest: Manifest) -> str:
        """A hub's model or a pack's: it must still claim, or hold, the bytes that it did."""
        location = self.places.get(manifest.exhibit, manifest.location)
        source = open_source(location, name=manifest.exhibit)
        if isinstance(source, PackSource):
            self._check_bytes(manifest, source.pack.folder)
        elif source.format != "hub":
            self._check_bytes(manifest, Path(location).expanduser())
        elif source.identity(False).files != manifest.files:
            raise _altered(manifest, "the hub claims other files")
        return location

    def _outside(self, manifest: Manifest) -> str:
        given = self.places.get(manifest.exhibit)
        location = given or manifest.location
        prefix, model = _spelt(manifest)
        if manifest.kind == "transcript":
            location = str(split_location(location)[0])
        place = folder_of(location) if manifest.kind == "marks" else Path(location).expanduser()
        if not given and not place.is_absolute():
            place = self.case.folder.path / place
        self._check_bytes(manifest, place)
        if manifest.kind == "marks":
            _check_nothing_added(manifest, place)
        return f"{prefix}{place.resolve()}{model}"

    def _check_bytes(self, manifest: Manifest, place: Path) -> None:
        files = {file.name: place / file.name if place.is_dir() else place for file in manifest.files}
        missing = [str(path) for path in files.values() if not path.is_file()]
        if missing:
            raise SourceNotFound(
                f"the exhibit is not where it was: {missing[0]} is missing",
                exhibit=manifest.exhibit,
                advice=f"give --at '{manifest.exhibit}=PATH' with where it lies on this machine",
            )
        sizes = {name: path.stat().st_size for name, path in files.items()}
        altered = [file.name for file in manifest.files if sizes[file.name] != file.size]
        if not altered and not self.trust_size:
            new = [path for path in files.values() if path not in self._hashed]
            self._hashed |= {path: found for path, (found, _) in hash_files(new, self.case.progress).items()}
            altered = [file.name for file in manifest.files if self._hashed[files[file.name]] != file.sha256]
        if altered:
            raise _altered(manifest, f"{', '.join(altered[:3])} has other bytes")

    # ---------------------------------------------------------------------------------------------------- what is declared

    def _lineage(self, exhibit: str, parts: list[Manifest], plan: Plan | None) -> str:
        planned = (*plan.controls, *plan.line_up.pool) if plan else ()
        said = [each.lineage for each in planned if each.exhibit == exhibit]
        return next((lineage for lineage in (*said, *(part.lineage for part in parts)) if lineage), "")

    def _neutral(self, code: str, exhibit: str, parts: list[Manifest], plan: Plan) -> tuple[str, str]:
        """Lineage and lab as they may be told under a code name: by name only where somebody else in the examination shares
        them, because relatives have to be left out of ranks; else under the code name."""
        lineage, lab = self._lineage(exhibit, parts, plan), _lab_of([self._part(part, code, "") for part in parts])
        model = next((part.model for part in parts if part.model), "")
        known = _packed_models().get(name_key(model)) if model else None
        if known:
            lineage, lab = lineage or known[0], lab or known[1]
        others = [plan.reference, *(control.exhibit for control in plan.controls)]
        shared = {name_key(name) for other in others for name in self._declared(other, plan)} | _packed_names()
        return (
            lineage if not lineage or name_key(lineage) in shared else f"lineage of {code}",
            lab if not lab or name_key(lab) in shared else f"lab of {code}",
        )

    def _declared(self, exhibit: str, plan: Plan) -> tuple[str, ...]:
        parts = self._parts(exhibit)
        lab = _lab_of([self._part(part, exhibit, "") for part in parts])
        return tuple(name for name in (self._lineage(exhibit, parts, plan), lab) if name)


def found_in(folder: Path, manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """Where exhibits outside the case lie in a folder: under their names, or a single file under its own.

    Raises SourceNotFound where none of them does.
    """
    outside = [each for each in manifests.values() if not each.inside and each.files and each.kind != "pack"]
    found = {}
    for manifest in outside:
        names = [manifest.exhibit, *(file.name for file in manifest.files if len(manifest.files) == 1)]
        there = next((folder / name for name in names if (folder / name).exists()), None)
        if there:
            found[manifest.exhibit] = str(there)
    if outside and not found:
        raise SourceNotFound(
            "this folder holds none of the exhibits that lie outside the case",
            exhibit=str(folder),
            advice=f"it should hold folders or files called {', '.join(each.exhibit for each in outside)}",
        )
    return found


def looked_at_by_size(sitting: Sitting, names: Sequence[str]) -> None:
    """Write down, before anything is opened, that bytes outside the case are not hashed anew in this run."""
    if any(not manifest.inside and manifest.files for manifest in sitting.manifests.values()):
        told = ", ".join(names)
        sitting.append(
            Noted(
                text=f"of {told}, files outside the case are held against their sizes only, not hashed (--trust-size)"
            )
        )


def _write(file: Path, data: bytes) -> None:
    try:
        file.write_bytes(data)
    except OSError as error:
        raise UsageError(
            f"an exhibit cannot be unpacked in {file.parent.parent}: {error.strerror or error}",
            advice="make room there, or set TMPDIR to a folder that has some; nothing recorded is lost",
        ) from error


def _altered(manifest: Manifest, what: str) -> RecordError:
    return RecordError(
        f"this is not what was admitted: {what}",
        exhibit=manifest.exhibit,
        advice=f"give --at '{manifest.exhibit}=PATH' with an unaltered copy",
    )


def _spelt(manifest: Manifest) -> tuple[str, str]:
    """What stands before and after the path in a location of this kind."""
    if manifest.kind == "transcript":
        return TRANSCRIPTS, f"#{manifest.model}"
    return (MARKS if manifest.kind == "marks" else ""), ""


def _check_nothing_added(manifest: Manifest, folder: Path) -> None:
    """Of marks every file in the folder is read: a certificate or a stamp that was put there later would be read with them."""
    found = {path.name for path in folder.iterdir() if path.is_file() and path.name[0] != "."}
    added = sorted(found - {file.name for file in manifest.files})
    if added:
        raise _altered(manifest, f"{', '.join(added[:3])} lies there too")


def _opens_inside(manifest: Manifest) -> str:
    """The file by which an exhibit inside the case is opened, empty for a folder. Raises UnsafeSource: manifests may be hostile."""
    names = [file.name for file in manifest.files]
    prefix, model = _spelt(manifest)
    opens = next((name for name in names if manifest.location == f"{prefix}./{name}{model}"), "")
    whole = manifest.location == (f"{MARKS}." if manifest.kind == "marks" else ".")
    if not all(map(is_plain, names)) or not (whole or (opens and manifest.kind != "marks")):
        raise UnsafeSource(
            f"its manifest names files outside its folder: {manifest.location[:80]!r}, {', '.join(names)[:160]!r}",
            exhibit=manifest.exhibit,
            advice="this case was tampered with: run filiation case verify",
        )
    return opens


def _lab_of(sources: list[Source]) -> str:
    """The lab that a recording or a pack names, empty where none does."""
    for source in sources:
        told = getattr(source, "lab", "") or getattr(source.transcript(), "lab", "")
        if told:
            return str(told)
    return ""


@cache
def _packed_models() -> dict[str, tuple[str, str]]:
    """Lineage and lab of every model in the packs that ship, by name."""
    return {
        name_key(model.name): (model.lineage, model.lab)
        for folder in shipped()
        for model in opened(folder.name).card.models
    }


@cache
def _packed_names() -> frozenset[str]:
    return frozenset(name_key(name) for told in _packed_models().values() for name in told if name)


def without_names(text: str, names: tuple[str, ...], code: str) -> str:
    """A message about an exhibit under a code name, with every name that would tell who it is replaced by it."""
    for name in names:
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", code, text)
    return text
