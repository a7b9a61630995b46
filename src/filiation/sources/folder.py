"""A Hugging Face folder, or single files of one: config.json, tokenizer files and safetensors weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from filiation.errors import MalformedSource, SourceNotFound, UnsafeSource
from filiation.evidence import Absent
from filiation.sources.byte_ranges import LocalFile, not_readable, read_small_file
from filiation.sources.marks import KINDS as MARKS
from filiation.sources.safetensors_file import (
    NO_CONFIGURATION,
    NO_TOKENIZER,
    SafetensorsTensors,
    open_safetensors,
)
from filiation.sources.source import Tensors
from filiation.sources.stored import (
    SMALL_FILES,
    TOKENIZER_LIMIT,
    StoredFile,
    StoredSource,
    configuration_from,
    fp8_block,
    tokenizer_from,
)
from filiation.strict_json import CONFIGURATION_LIMIT, read_json_object

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

CONVERT = (
    "reading such a file can run code hidden in it; convert it to safetensors in a sandbox without network "
    "(transformers: from_pretrained(..., weights_only=True) then save_pretrained) and give the result"
)


def refuse_pickle(path: Path, exhibit: str) -> None:
    """Raises UnsafeSource where `path` is a pickle or a torch archive, by name or by its first bytes."""
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise UnsafeSource(f"{path.name} is a pickle file", exhibit=exhibit, advice=CONVERT)
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise not_readable(path, exhibit, error) from error
    if (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")) or head == b"PK\x03\x04":
        # A safetensors header of exactly such a length would begin alike, so the name decides for those.
        if path.suffix.lower() == ".safetensors" and head != b"PK\x03\x04":
            return
        raise UnsafeSource(f"{path.name} is a pickle or a torch archive", exhibit=exhibit, advice=CONVERT)


def shard_names(index: bytes, exhibit: str) -> dict[str, str]:
    """Tensor name to shard file from an index. Raises UnsafeSource where a shard lies outside the folder."""
    parsed = read_json_object(index, what=INDEX, exhibit=exhibit)
    weight_map = parsed.get("weight_map")
    if (
        not isinstance(weight_map, dict)
        or not weight_map
        or not all(isinstance(shard, str) for shard in weight_map.values())
    ):
        raise MalformedSource(
            f"{INDEX} has no weight_map from tensors to files", exhibit=exhibit, advice="fetch the folder again"
        )
    for shard in set(weight_map.values()):
        path = PurePosixPath(shard)
        if path.is_absolute() or ".." in path.parts or "\\" in shard or "\0" in shard or ":" in shard:
            raise UnsafeSource(
                f"{INDEX} names a shard outside its folder: {shard[:120]!r}",
                exhibit=exhibit,
                advice="this index was tampered with: do not trust this copy",
            )
        if path.suffix != ".safetensors":
            raise UnsafeSource(
                f"{INDEX} names a shard that is not safetensors: {shard[:120]!r}", exhibit=exhibit, advice=CONVERT
            )
    return weight_map


def check_against_index(weight_map: Mapping[str, str], found: Mapping[str, str], exhibit: str) -> None:
    """Every tensor must be in the shard that the index says, and in no other. `found`: tensor name to file."""
    for tensor, shard in weight_map.items():
        if found.get(tensor) != shard:
            where = found.get(tensor, "no shard")
            raise MalformedSource(
                f"{INDEX} says tensor {tensor[:80]!r} is in {shard}, but it is in {where}",
                exhibit=exhibit,
                advice="fetch the folder again: index and shards do not belong together",
            )
    if len(found) != len(weight_map):
        extra = next(tensor for tensor in found if tensor not in weight_map)
        raise MalformedSource(
            f"tensor {extra[:80]!r} in {found[extra]} is not in {INDEX}",
            exhibit=exhibit,
            advice="fetch the folder again: index and shards do not belong together",
        )


class FolderSource(StoredSource):
    """A folder as `save_pretrained` or a hub's download writes it. What is missing is `Absent`."""

    format = "folder"

    def __init__(self, path: Path, *, name: str = "", lineage_id: str = "") -> None:
        super().__init__(name=name or path.resolve().name, location=str(path), lineage_id=lineage_id)
        self._path = path
        try:
            self._listing = frozenset(os.listdir(path))
        except OSError as error:
            raise not_readable(path, self.name, error) from error
        self._refuse_nothing_to_read()

    def _refuse_nothing_to_read(self) -> None:
        weights = [file for file in self._listing if file.endswith(".safetensors")]
        if not weights and INDEX not in self._listing:
            for file in sorted(self._listing):
                if Path(file).suffix.lower() in PICKLE_SUFFIXES[:4] and file != "training_args.bin":
                    raise UnsafeSource(
                        f"the only weights here are a pickle file, {file}",
                        exhibit=self.name,
                        advice=f"{CONVERT}; to examine the tokenizer alone, give the path of its tokenizer.json",
                    )
        if not weights and INDEX not in self._listing and not self._listing.intersection(SMALL_FILES):
            opened = self._listing.intersection(MARKS)
            raise SourceNotFound(
                "there is no model in this folder: no config.json, tokenizer.json, tokenizer.model, *.safetensors, *.gguf",
                exhibit=self.name,
                advice="opened marks are given as marks:FOLDER"
                if opened
                else "give the folder that holds these files themselves, not one above or below it",
            )

    def _small(self, file: str, limit: int) -> bytes:
        self._refuse_escape(file)
        return read_small_file(self._path / file, self.name, limit)

    def _refuse_escape(self, file: str) -> None:
        """Refuse a link that leads out of the folder, except into the blobs of the hub's own cache."""
        folder = self._path.resolve()
        target = (self._path / file).resolve()
        if target.is_relative_to(folder):
            return
        if folder.parent.name == "snapshots" and target.is_relative_to(folder.parent.parent / "blobs"):
            return
        raise UnsafeSource(
            f"{file} is a link that leads out of its folder, to {target}",
            exhibit=self.name,
            advice="copy the file that is meant into the folder",
        )

    def _read_configuration(self) -> Mapping[str, Any] | Absent:
        if "config.json" not in self._listing:
            return Absent(reason="the folder has no config.json")
        return configuration_from(self._small("config.json", CONFIGURATION_LIMIT + 1), self.name)

    def _tokenizer_file(self) -> str | None:
        return next((file for file in ("tokenizer.json", "tokenizer.model") if file in self._listing), None)

    def tokenizer_bytes(self) -> bytes | None:
        file = self._tokenizer_file()
        return None if file is None else self._small(file, TOKENIZER_LIMIT)

    def _read_tokenizer(self) -> Any:
        file = self._tokenizer_file()
        if file is None:
            return Absent(reason="the folder has no tokenizer.json and no tokenizer.model")
        return tokenizer_from(file, self._small(file, TOKENIZER_LIMIT), self.name)

    def _weight_files(self) -> tuple[dict[str, Path], dict[str, str] | None]:
        """The weights files by name, and the index's word on which tensor lies in which."""
        if SINGLE in self._listing:
            return {SINGLE: self._path / SINGLE}, None
        if INDEX not in self._listing:
            return {f: self._path / f for f in sorted(self._listing) if f.endswith(".safetensors")}, None
        weight_map = shard_names(self._small(INDEX, CONFIGURATION_LIMIT + 1), self.name)
        shards = sorted(set(weight_map.values()))
        for shard in shards:
            if not (self._path / shard).exists():
                raise MalformedSource(
                    f"{INDEX} names {shard}, which is not there", exhibit=self.name, advice="fetch the missing file"
                )
        return {shard: self._path / shard for shard in shards}, weight_map

    def _open_tensors(self) -> Tensors | Absent:
        files, weight_map = self._weight_files()
        if not files:
            return Absent(reason="the folder has no safetensors weights")
        for file, path in files.items():
            self._refuse_escape(file)
            refuse_pickle(path, self.name)
        tensors = open_safetensors(files, self.name, fp8_block(self.configuration()))
        if weight_map is not None:
            check_against_index(weight_map, {n: tensors.entry(n).file for n in tensors.names()}, self.name)
        return tensors

    def files(self) -> tuple[StoredFile, ...]:
        small = [file for file in SMALL_FILES if file in self._listing]
        for file in small:
            self._refuse_escape(file)
        made = [StoredFile(name=file, ranges=LocalFile(self._path / file, self.name)) for file in small]
        tensors = self.tensors()
        if isinstance(tensors, SafetensorsTensors):
            made += [StoredFile(name=file, ranges=ranges) for file, ranges in tensors.files().items()]
        return tuple(made)


class SingleFileSource(StoredSource):
    """One file given by itself: weights (*.safetensors), a configuration (*.json) or a tokenizer."""

    def __init__(self, path: Path, kind: str, *, name: str = "", lineage_id: str = "") -> None:
        """`kind`: 'safetensors', 'config', 'tokenizer.json' or 'tokenizer.model'."""
        super().__init__(name=name or _name_of(path), location=str(path), lineage_id=lineage_id)
        self._path = path
        self._kind = kind
        self.format = "safetensors" if kind == "safetensors" else "folder"

    def _read_configuration(self) -> Mapping[str, Any] | Absent:
        if self._kind == "config":
            return configuration_from(read_small_file(self._path, self.name, CONFIGURATION_LIMIT + 1), self.name)
        return NO_CONFIGURATION if self._kind == "safetensors" else self._other("configuration")

    def tokenizer_bytes(self) -> bytes | None:
        if not self._kind.startswith("tokenizer"):
            return None
        return read_small_file(self._path, self.name, TOKENIZER_LIMIT)

    def _read_tokenizer(self) -> Any:
        data = self.tokenizer_bytes()
        if data is not None:
            return tokenizer_from(self._kind, data, self.name)
        return NO_TOKENIZER if self._kind == "safetensors" else self._other("tokenizer")

    def _open_tensors(self) -> Tensors | Absent:
        if self._kind == "safetensors":
            return open_safetensors({self._path.name: self._path}, self.name)
        return self._other("weights")

    def _other(self, part: str) -> Absent:
        return Absent(reason=f"only {self._path.name} was given, which holds no {part}")

    def files(self) -> tuple[StoredFile, ...]:
        tensors = self.tensors()
        if isinstance(tensors, SafetensorsTensors):
            return tuple(StoredFile(name=file, ranges=ranges) for file, ranges in tensors.files().items())
        return (StoredFile(name=self._path.name, ranges=LocalFile(self._path, self.name)),)


def _name_of(path: Path) -> str:
    """A lone model.safetensors or tokenizer.json is best known by its folder."""
    generic = path.stem in ("model", "config", "tokenizer")
    return path.resolve().parent.name if generic else path.stem
