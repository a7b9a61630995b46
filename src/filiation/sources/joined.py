"""An exhibit of several parts as one source: a model's files, its recorded answers and its owner's marks, under one name.

Each part of a model comes from the first source that has it. Under a code name the source says nothing of who it is: files
are numbered, and a recording bears the code name. What the numbers themselves give away stays: digests and observations
identify a model to anybody who has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from filiation.evidence import Absent, Identity
from filiation.sources.source import Source, Tensors
from filiation.sources.transcripts import Transcript


class JoinedSource:
    """`sources` as one, called `name`. `neutral`: a code name's source; `lab` then stands for the maker that a recording names."""

    def __init__(
        self, sources: Sequence[Source], *, name: str, lineage_id: str = "", neutral: bool = False, lab: str = ""
    ) -> None:
        self._sources = tuple(sources)
        self._neutral = neutral
        self._lab = lab
        self.name = name
        self.lineage_id = lineage_id
        self.location = name
        self.format = self._sources[0].format

    @property
    def weights_at(self) -> str:
        """Where the part with the weights lies, for whoever runs the model; never part of a record."""
        having = (source for source in self._sources if not isinstance(source.tensors(), Absent))
        return next((str(getattr(source, "weights_at", source.location)) for source in having), self.location)

    def configuration(self) -> Mapping[str, Any] | Absent:
        found: Mapping[str, Any] | Absent = self._first(lambda source: source.configuration())
        return found

    def tokenizer(self) -> Any:
        return self._first(lambda source: source.tokenizer())

    def tensors(self) -> Tensors | Absent:
        found: Tensors | Absent = self._first(lambda source: source.tensors())
        return found

    def transcript(self) -> Any:
        found = self._first(lambda source: source.transcript())
        if isinstance(found, Absent) or not self._neutral:
            return found
        told = {"model": self.name, "lineage": self.lineage_id, "lab": self._lab}
        return Transcript(found.frame.with_columns(pl.lit(value).alias(column) for column, value in told.items()))

    def marks(self) -> Any:
        """Those of all sources together: an owner may have planted and drawn more than one thing.

        Under a code name there are none: marks name their owner, and stand for the reference's side alone.
        """
        if self._neutral:
            return Absent(reason="marks are those of the reference, which has no code name")
        found = [source.marks() for source in self._sources]
        every = tuple(marks for each in found if not isinstance(each, Absent) for marks in each)
        return every or found[0]

    def _first(self, part: Callable[[Source], Any]) -> Any:
        """A part from the first source that has it; where none has, the first one's reason."""
        found = [part(source) for source in self._sources]
        return next((each for each in found if not isinstance(each, Absent)), found[0])

    def identity(
        self, everything: bool | None = None, progress: Callable[[str, float], None] = lambda _what, _share: None
    ) -> Identity:
        """That of the first source, with the files of all, and the digest of the first weights or recording among them."""
        first, *others = [source.identity(everything, progress) for source in self._sources]
        files = tuple(file for each in (first, *others) for file in each.files)
        if self._neutral:
            files = tuple(msgspec.structs.replace(file, name=f"file {at}") for at, file in enumerate(files, start=1))
        return msgspec.structs.replace(
            first,
            name=self.name,
            lineage_id=self.lineage_id,
            lineage_basis="declared" if self.lineage_id else "unknown",
            files=files,
            bytes_total=first.bytes_total + sum(each.bytes_total for each in others),
            bytes_read=first.bytes_read + sum(each.bytes_read for each in others),
        )
