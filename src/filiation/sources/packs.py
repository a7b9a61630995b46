"""Control packs: what the recorded answers of many models give, as figures and never as texts.

A pack is a folder with `card.json` and one data file. Nobody has thirty models of ten laboratories at hand, so the packs
that ship (`filiation/packs/NAME/`) are the default population for common benchmarks; users make their own with
`filiation packs make` and name them with `--pack`. What the data file holds is for the examiner that reads its `kind`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from pathlib import Path

import msgspec

from filiation.errors import MalformedSource, SourceNotFound, UsageError
from filiation.evidence import Absent, FileRecord, Identity, Record
from filiation.sources.marks import NONE

CARD = "card.json"
PREFIX = "pack:"


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


KINDS = ("text", "answers")


def check_card(card: Card) -> None:
    """Raises ValueError where a card contradicts itself: cards may come from anybody."""
    if card.kind not in KINDS:
        raise ValueError(f"its kind {card.kind[:40]!r} is none of {', '.join(KINDS)}")
    for what, names in (("model", [model.name for model in card.models]), ("prompt", card.prompts)):
        twice = next((name for name, number in Counter(names).items() if number > 1), None)
        if twice is not None:
            raise ValueError(f"its card lists the {what} {twice[:80]!r} twice")
    for one, other, _ in card.related:
        if not (0 <= one < len(card.models) and 0 <= other < len(card.models) and one != other):
            raise ValueError(f"its card relates the models {one} and {other} of {len(card.models)}")


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
            check_card(self.card)
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
    """The shipped pack of this name, or the pack in this folder. Raises UsageError, SourceNotFound or MalformedSource."""
    if name in ("", "auto", "none"):
        raise UsageError(
            f"{name!r} names no control pack" if name else "a control pack without a name",
            advice="give 'auto' or 'none' alone, or names and folders separated by commas; see 'filiation packs'",
        )
    by_name = {folder.name: folder for folder in shipped()}
    return _open(by_name.get(name) or Path(name).expanduser())


class PackSource:
    """A recorded model of a pack as an exhibit, `pack:NAME#MODEL`: its figures are there, its texts are not."""

    format = "pack"

    def __init__(self, location: str, *, name: str = "", lineage_id: str = "") -> None:
        which, _, model = location.removeprefix(PREFIX).partition("#")
        self.pack = opened(which)
        names = [known.name for known in self.pack.card.models]
        if model not in names:
            raise UsageError(
                f"{model!r} is none of its models" if model else "no model is named",
                exhibit=location,
                advice=f"give {PREFIX}{which}#MODEL; 'filiation packs show {which}' lists the {len(names)} models",
            )
        self.position = names.index(model)
        known = self.pack.card.models[self.position]
        self.name = name or model
        self.location = location
        self.lineage_id = lineage_id or known.lineage
        self.lab = known.lab

    def configuration(self) -> Absent:
        return self._other("configuration")

    def tokenizer(self) -> Absent:
        return self._other("tokenizer")

    def tensors(self) -> Absent:
        return self._other("weights")

    def transcript(self) -> Absent:
        return Absent(reason="a control pack holds figures of recorded answers, not the answers themselves")

    def marks(self) -> Absent:
        return NONE

    def _other(self, part: str) -> Absent:
        return Absent(reason=f"a control pack holds figures of recorded answers, without the model's {part}")

    @property
    def sha256(self) -> str:
        """Digest of which model of which pack this is."""
        return hashlib.sha256(f"{self.pack.digest}#{self.pack.card.models[self.position].name}".encode()).hexdigest()

    def identity(
        self, everything: bool | None = None, progress: Callable[[str, float], None] = lambda _what, _share: None
    ) -> Identity:
        size = self.pack.data.stat().st_size
        file = FileRecord(name=self.pack.data.name, size=size, sha256=self.pack.card.data_sha256, basis="read")
        return Identity(
            name=self.name,
            format=self.format,
            lineage_id=self.lineage_id,
            lineage_basis="declared" if self.lineage_id else "unknown",
            files=(file,),
            content_id=self.sha256,
            bytes_total=size,
            bytes_read=size,
            coverage=1.0,
        )
