"""From what a person types to a source: a folder, a file, or a hub id."""

from __future__ import annotations

import re
from pathlib import Path

from filiation.errors import SourceNotFound, UsageError
from filiation.sources.byte_ranges import not_readable
from filiation.sources.folder import FolderSource, SingleFileSource, refuse_pickle
from filiation.sources.source import Source

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}(@[\w./-]{1,200})?")
ENDPOINTS = ("openai:", "openai-completions:", "anthropic:")
TRANSCRIPTS = "transcripts:"
PACKS = "pack:"
MARKS = "marks:"

KINDS = (
    "a Hugging Face folder, *.safetensors, *.gguf, tokenizer.json, tokenizer.model, config.json, "
    "a hub id like org/name@revision, or recorded answers as transcripts:FILE#MODEL, a model of a control pack as pack:NAME#MODEL, "
    "or opened marks as marks:FOLDER"
)


def open_source(location: str | Path, *, name: str | None = None, lineage_id: str = "") -> Source:
    """The source at `location`: a folder, a file, a hub id `org/name[@revision]`, recorded answers `transcripts:FILE#MODEL`,
    a pack's model `pack:NAME#MODEL`, or opened marks `marks:FOLDER`.

    `name` is what reports call it; `lineage_id` declares which independent training it comes from. Only headers are
    read. Raises SourceError where there is nothing readable, UsageError on a kind that is not supported, MissingExtra
    for a hub id without the extra `hub`.
    """
    text = str(location)
    if text.startswith(ENDPOINTS):
        raise UsageError(
            "an endpoint has to be asked first, and what it answers recorded",
            exhibit=text,
            advice="record its answers with 'filiation record' or 'filiation probe', then compare transcripts:FILE#MODEL",
        )
    if text.startswith(TRANSCRIPTS):
        from filiation.sources.transcripts import TranscriptSource, split_location

        file, model = split_location(text)
        return TranscriptSource(file, model, name=name or "", lineage_id=lineage_id)
    if text.startswith(PACKS):
        from filiation.sources.packs import PackSource

        return PackSource(text, name=name or "", lineage_id=lineage_id)
    if text.startswith(MARKS):
        from filiation.sources.marks import folder_of, marks_at

        return marks_at(folder_of(text), name=name or "", lineage_id=lineage_id)
    path = Path(location).expanduser()
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            raise not_readable(path, text, error) from error
        raise SourceNotFound(f"not a path: {error}", exhibit=text[:200], advice=f"give {KINDS}") from error
    if is_folder:
        return _open_folder(path, name or "", lineage_id)
    if exists:
        return _open_file(path, name or "", lineage_id)
    if isinstance(location, str) and _HUB_ID.fullmatch(text) and not text.endswith((".safetensors", ".gguf", ".json")):
        from filiation.sources.hub import HubSource

        return HubSource(text, name=name or "", lineage_id=lineage_id)
    raise SourceNotFound(f"there is no {path}", exhibit=text, advice=f"check the path for a misprint, or give {KINDS}")


def _open_folder(path: Path, name: str, lineage_id: str) -> Source:
    try:
        files = list(path.iterdir())
    except OSError as error:
        raise not_readable(path, name or str(path), error) from error
    ggufs = [file for file in files if file.suffix.lower() == ".gguf"]
    if ggufs and not any(file.suffix == ".safetensors" for file in files):
        if len(ggufs) > 1:
            raise UsageError(
                f"{len(ggufs)} GGUF files are in this folder",
                exhibit=name or str(path),
                advice=f"give the path of one of them, for instance {sorted(ggufs)[0]}",
            )
        from filiation.sources.gguf_file import GgufSource

        return GgufSource(ggufs[0], name=name, lineage_id=lineage_id)
    return FolderSource(path, name=name, lineage_id=lineage_id)


def _open_file(path: Path, name: str, lineage_id: str) -> Source:
    exhibit = name or path.name
    refuse_pickle(path, exhibit)
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise not_readable(path, exhibit, error) from error
    suffix = path.suffix.lower()
    if suffix == ".gguf" or head == b"GGUF":
        from filiation.sources.gguf_file import GgufSource

        return GgufSource(path, name=name, lineage_id=lineage_id)
    kind = {".safetensors": "safetensors", ".json": "tokenizer.json", ".model": "tokenizer.model"}.get(suffix)
    if kind is None:
        raise UsageError(f"{path.name} is of no kind that can be read", exhibit=exhibit, advice=f"give {KINDS}")
    if path.name == "config.json":
        kind = "config"
    return SingleFileSource(path, kind, name=name, lineage_id=lineage_id)
