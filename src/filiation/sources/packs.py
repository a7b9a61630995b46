"""Control packs: what the recorded answers of many models give, as figures and never as texts.

A pack is a folder with `card.json` and one data file. Nobody has thirty models of ten laboratories at hand, so the packs
that ship (`filiation/packs/NAME/`) are the default population for common benchmarks; users make their own with
`filiation packs make` and name them with `--pack`. What the data file holds is for the examiner that reads its `kind`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources
from pathlib import Path

import msgspec

from filiation.errors import MalformedSource, SourceNotFound
from filiation.evidence import Record

CARD = "card.json"


class PackModel(Record, frozen=True, kw_only=True):
    """A recorded model: its lineage (which independent training) and its lab, as declared by the pack's maker."""

    name: str
    lineage: str
    lab: str


class Card(Record, frozen=True, kw_only=True):
    """What a pack is. `related` lists pairs of models, by position, that are related or not known to be unrelated."""

    name: str
    version: str
    kind: str  # 'text' or 'answers'
    purpose: str
    source: str
    licence: str
    made_by: str
    feature_version: str
    models: tuple[PackModel, ...]
    related: tuple[tuple[int, int, str], ...]
    prompts: tuple[str, ...]  # prompt ids, in the order of the data file
    data: str  # name of the data file
    data_sha256: str


class Pack:
    """A card and the path of its data file, whose digest has been checked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            raw = (folder / CARD).read_bytes()
            self.card = msgspec.json.decode(raw, type=Card)
            data = folder / self.card.data
            if data.resolve().parent != folder.resolve():
                raise ValueError("its data file lies outside its folder")
            with data.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != self.card.data_sha256:
                raise ValueError("its data file is not the one its card names (SHA-256 differs)")
        except FileNotFoundError as error:
            raise SourceNotFound(
                f"there is no control pack: {error}", exhibit=str(folder), advice="see 'filiation packs'"
            ) from error
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise MalformedSource(
                f"this is no control pack: {error}", exhibit=str(folder), advice="make it again: 'filiation packs make'"
            ) from error
        self.data = data
        self.digest = hashlib.sha256(raw).hexdigest()

    @property
    def title(self) -> str:
        """Name and version, as findings cite it."""
        return f"{self.card.name} {self.card.version} ({self.digest[:12]})"


def shipped() -> tuple[Path, ...]:
    """The folders of the packs that come with this package."""
    root = Path(str(resources.files("filiation"))) / "packs"
    return tuple(sorted(folder.parent for folder in root.glob(f"*/{CARD}"))) if root.is_dir() else ()


@lru_cache(maxsize=16)
def _open(folder: Path) -> Pack:
    return Pack(folder)


def packs(kind: str, asked: str = "auto") -> tuple[Pack, ...]:
    """The packs of one kind. `asked`: 'auto' (all that ship), 'none', or names and folders separated by commas."""
    if asked == "none":
        return ()
    found = map(_open, shipped()) if asked == "auto" else (opened(part.strip()) for part in asked.split(","))
    return tuple(pack for pack in found if pack.card.kind == kind)


def opened(name: str) -> Pack:
    """The shipped pack of this name, or the pack in this folder. Raises SourceNotFound or MalformedSource."""
    by_name = {folder.name: folder for folder in shipped()}
    return _open(by_name.get(name) or Path(name).expanduser())
