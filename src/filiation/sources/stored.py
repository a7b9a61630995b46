"""What all sources that are kept in files share: a name, small parts read once, and an identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from filiation.evidence import Absent, Identity
from filiation.sources.byte_ranges import ByteRanges
from filiation.sources.marks import NONE
from filiation.sources.source import Tensors
from filiation.strict_json import read_json_object

TOKENIZER_LIMIT = 256 << 20
"""Bytes of a tokenizer.json or tokenizer.model that are read at most."""

SMALL_FILES = ("config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json")
"""Files other than weights that make up an exhibit, in the order in which they are listed."""


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an exhibit: its bytes by range, the digest that a hub claims, and the digest if it was read whole."""

    name: str
    ranges: ByteRanges
    claimed_sha256: str | None = None
    read_sha256: str | None = None


class StoredSource:
    """Base of the sources in `folder`, `safetensors_file`, `gguf_file` and `hub`. Parts are parsed when first asked for."""

    format = "folder"

    def __init__(self, *, name: str, location: str, lineage_id: str = "") -> None:
        self._name = name
        self._location = location
        self.lineage_id = lineage_id
        self._configuration: Mapping[str, Any] | Absent | None = None
        self._tokenizer: Any = None
        self._tensors: Tensors | Absent | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def location(self) -> str:
        return self._location

    def configuration(self) -> Mapping[str, Any] | Absent:
        if self._configuration is None:
            self._configuration = self._read_configuration()
        return self._configuration

    def tokenizer(self) -> Any:
        if self._tokenizer is None:
            self._tokenizer = self._read_tokenizer()
        return self._tokenizer

    def tensors(self) -> Tensors | Absent:
        if self._tensors is None:
            self._tensors = self._open_tensors()
        return self._tensors

    def transcript(self) -> Absent:
        return Absent(reason="these are a model's files, not recorded answers: record some with 'filiation probe'")

    def marks(self) -> Absent:
        return NONE

    def identity(
        self, everything: bool | None = None, progress: Callable[[str, float], None] = lambda _what, _share: None
    ) -> Identity:
        """Who this is, by content: everything up to the default size limit, else what has been read so far."""
        from filiation.sources.identity import identity_of

        return identity_of(self, everything=everything, progress=progress)

    def files(self) -> tuple[StoredFile, ...]:
        """All files of the exhibit, small ones first."""
        raise NotImplementedError

    def tokenizer_bytes(self) -> bytes | None:
        """The bytes the tokenizer's digest is taken over, None where there is no tokenizer."""
        raise NotImplementedError

    def _read_configuration(self) -> Mapping[str, Any] | Absent:
        raise NotImplementedError

    def _read_tokenizer(self) -> Any:
        raise NotImplementedError

    def _open_tensors(self) -> Tensors | Absent:
        raise NotImplementedError


def configuration_from(data: bytes, exhibit: str) -> dict[str, Any]:
    """A config.json. Raises MalformedSource where it is not one."""
    return read_json_object(data, what="config.json", exhibit=exhibit)


def tokenizer_from(name: str, data: bytes, exhibit: str) -> Any:
    """The tokenizer in a file called `name`: tokenizer.json or tokenizer.model."""
    from filiation.sources.tokenizers import tokenizer_from_json, tokenizer_from_model

    return tokenizer_from_json(data, exhibit) if name.endswith(".json") else tokenizer_from_model(data, exhibit)


def fp8_block(configuration: Mapping[str, Any] | Absent) -> int:
    """Rows and columns that share one FP8 scale: `quantization_config.weight_block_size`, 128 where it is not said."""
    quantisation = {} if isinstance(configuration, Absent) else configuration.get("quantization_config")
    size = quantisation.get("weight_block_size") if isinstance(quantisation, dict) else None
    if isinstance(size, list) and size and isinstance(size[0], int) and 0 < size[0] <= 1 << 20:
        return size[0]
    return 128
