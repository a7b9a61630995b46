"""What every source offers, whatever its format: parts that are there, or `Absent` with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.evidence import Absent, Identity

Float32 = NDArray[np.float32]


class TensorEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Where one tensor lies. `shape` is row-major (numpy order); `dtype` is the format's own name ('BF16', 'Q4_K')."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: str
    offset: int
    nbytes: int


class Tensors(Protocol):
    """The tensors of one source, read one by one; nothing is kept in memory between reads."""

    def names(self) -> Sequence[str]: ...

    def entry(self, name: str) -> TensorEntry: ...

    def read(self, name: str) -> Float32:
        """The whole tensor as float32. Raises MalformedSource on NaN, infinity or missing bytes."""

    def read_rows(self, name: str, rows: NDArray[np.intp]) -> Float32:
        """The named rows (first axis), in the order given, reading as few bytes as the format allows."""

    def chunks(self, name: str, size: int = 1 << 24) -> Iterator[bytes]:
        """The stored bytes of one tensor, streamed (for hashing)."""

    @property
    def bytes_read(self) -> int: ...

    @property
    def bytes_total(self) -> int: ...

    @property
    def ranges_read(self) -> int: ...


class Source(Protocol):
    """One exhibit. Cheap to open: only headers are read until a part is asked for."""

    @property
    def name(self) -> str: ...

    @property
    def location(self) -> str: ...

    @property
    def format(self) -> str:
        """'folder', 'safetensors', 'gguf', 'hub', 'transcript' or 'marks'."""

    @property
    def lineage_id(self) -> str:
        """The declared lineage, empty where none was declared."""

    def configuration(self) -> Mapping[str, Any] | Absent:
        """The model's configuration with the key names of Hugging Face's config.json (GGUF metadata is translated)."""

    def tokenizer(self) -> Any:
        """The `TokenizerDefinition` (sources/tokenizers.py), or `Absent`."""

    def tensors(self) -> Tensors | Absent: ...

    def transcript(self) -> Any:
        """The `Transcript` (sources/transcripts.py) of recorded answers, or `Absent`."""

    def marks(self) -> Any:
        """What its owner planted or drew by lot, opened: a tuple of `Marks` (sources/marks.py), or `Absent`."""

    def identity(
        self, everything: bool | None = None, progress: Callable[[str, float], None] = lambda _what, _share: None
    ) -> Identity:
        """Who this is, by content; call it last. `everything`: hash all (True), what was read (False), by size (None)."""
