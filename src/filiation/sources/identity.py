"""Who an exhibit is, by content: digests that re-sharding and renaming leave alone, and a record of what was read.

`content_id` is the SHA-256 over the canonical JSON list of [role, shape, stored type, SHA-256 of the stored bytes], one
item per stored tensor in role order. A fused tensor is one item under its joint role name ('layers.0.query+key+value');
tensors without a role come last, all called 'other', in the order of their digests. A quantised copy is another exhibit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from filiation.errors import MalformedSource
from filiation.evidence import Absent, FileRecord, Identity, digest
from filiation.sources.byte_ranges import ByteRanges
from filiation.sources.families import Decoder, Role, decoder_of
from filiation.sources.source import Tensors
from filiation.sources.stored import StoredFile, StoredSource

HASH_LIMIT = 4 << 30
"""Bytes of an exhibit up to which all files and tensors are hashed without being asked (4 GiB)."""

_THREADS = 2
_CHUNK = 1 << 24

Progress = Callable[[str, float], None]


def identity_of(
    source: StoredSource,
    *,
    everything: bool | None = None,
    limit: int = HASH_LIMIT,
    progress: Progress = lambda _what, _share: None,
) -> Identity:
    """The identity of `source`.

    `everything`: hash all files and tensors; by default only where the exhibit is on this machine and has at most
    `limit` bytes. Otherwise the digests cover the tensors that were read in full, and `coverage` says how much that is.
    `progress` is called with what is being done and the share done, 0 to 1.
    """
    files = source.files()
    total = sum(file.ranges.size for file in files)
    if everything is None:
        everything = source.format != "hub" and total <= limit
    records = _file_records(files, everything, progress)
    tensors, decoder = source.tensors(), _decoder(source)
    digests = {} if isinstance(tensors, Absent) else _tensor_digests(tensors, decoder, everything, progress)
    tokenizer = source.tokenizer_bytes()
    whole = everything and not isinstance(tensors, Absent)
    read = (total, total, len(files))
    if not isinstance(tensors, Absent):
        read = (tensors.bytes_total, tensors.bytes_read, tensors.ranges_read)
    return Identity(
        name=source.name,
        format=source.format,
        lineage_id=source.lineage_id,
        lineage_basis="declared" if source.lineage_id else "unknown",
        family="" if isinstance(decoder, Absent) else decoder.family,
        files=records,
        tokenizer_sha256=None if tokenizer is None else hashlib.sha256(tokenizer).hexdigest(),
        tensor_sha256={item.label: item.sha256 for item in digests.values() if item.label != "other"},
        content_id=_content_id(digests) if whole else None,
        bytes_total=read[0],
        bytes_read=read[1],
        ranges_read=read[2],
        coverage=_coverage(tensors),
    )


def _decoder(source: StoredSource) -> Decoder | Absent:
    """A contradictory exhibit still has an identity: the examiners report the contradiction."""
    try:
        return decoder_of(source)
    except MalformedSource as error:
        return Absent(reason=error.message)


def _coverage(tensors: Tensors | Absent) -> float:
    """Share of the weights' bytes read at least once, rounded down to six decimals; 0 without weights."""
    if isinstance(tensors, Absent) or not tensors.bytes_total:
        return 0.0
    return int(1e6 * tensors.bytes_read / tensors.bytes_total) / 1e6


# --------------------------------------------------------------------------------------------------------------- files


def _file_records(files: Sequence[StoredFile], everything: bool, progress: Progress) -> tuple[FileRecord, ...]:
    digests: dict[str, str] = {}
    if everything:
        digests = _in_threads(
            {file.name: (file.ranges.size, _file_chunks(file.ranges)) for file in files}, "hashing files", progress
        )
    return tuple(_file_record(file, digests.get(file.name)) for file in files)


def _file_record(file: StoredFile, sha256: str | None) -> FileRecord:
    sha256 = sha256 or file.read_sha256
    if sha256 is not None:
        return FileRecord(name=file.name, size=file.ranges.size, sha256=sha256, basis="read")
    if file.claimed_sha256 is not None:
        return FileRecord(name=file.name, size=file.ranges.size, sha256=file.claimed_sha256, basis="claimed")
    return FileRecord(name=file.name, size=file.ranges.size)


def _file_chunks(ranges: ByteRanges) -> Iterator[bytes]:
    for offset in range(0, ranges.size, _CHUNK):
        yield ranges.read(offset, min(_CHUNK, ranges.size - offset)).tobytes()


# ------------------------------------------------------------------------------------------------------------- tensors


class _Item:
    """One stored tensor in the content's order."""

    def __init__(self, label: str, order: tuple[int, int], shape: tuple[int, ...], dtype: str, content: str) -> None:
        self.label = label
        self.order = order
        self.canonical = [label, list(shape), dtype, content]
        self.sha256 = digest(self.canonical)


def _tensor_digests(
    tensors: Tensors, decoder: Decoder | Absent, everything: bool, progress: Progress
) -> dict[str, _Item]:
    """Stored tensor name to its digest over role, shape, type and bytes."""
    read_in_full: set[str] = getattr(tensors, "read_in_full", set())
    names = [name for name in tensors.names() if everything or name in read_in_full]
    work = {name: (tensors.entry(name).nbytes, tensors.chunks(name)) for name in names}
    contents = _in_threads(work, "hashing tensors", progress)
    labels = {} if isinstance(decoder, Absent) else _labels(decoder)
    return {
        name: _Item(
            *labels.get(name, ("other", (1, 0))), tensors.entry(name).shape, tensors.entry(name).dtype, contents[name]
        )
        for name in names
    }


def _labels(decoder: Decoder) -> dict[str, tuple[str, tuple[int, int]]]:
    """Stored tensor name to (joint role name, position in role order)."""
    held: dict[str, list[Role]] = {}
    position: dict[str, int] = {}
    for place, role in enumerate(decoder.roles()):
        tensor = decoder.tensor_of(role)
        held.setdefault(tensor, []).append(role)
        position.setdefault(tensor, place)
    return {tensor: (_joint(roles), (0, position[tensor])) for tensor, roles in held.items()}


def _joint(roles: Sequence[Role]) -> str:
    """'layers.0.query+key+value'; a stack of experts is 'layers.0.experts.gate'; a tied embedding is 'embedding'."""
    first = roles[0]
    parts = list(dict.fromkeys(role.part for role in roles if not (first.part == "embedding" and role is not first)))
    stacked = len({role.expert for role in roles}) > 1
    text = first.text.removesuffix(first.part)
    if stacked:
        text = f"layers.{first.layer}.experts."
    return text + "+".join(parts)


def _content_id(items: dict[str, _Item]) -> str:
    ordered = sorted(items.values(), key=lambda item: (item.order, item.sha256))
    return digest([item.canonical for item in ordered])


# ------------------------------------------------------------------------------------------------------------- hashing


def _in_threads(work: dict[str, tuple[int, Iterator[bytes]]], what: str, progress: Progress) -> dict[str, str]:
    """SHA-256 of each stream; `hashlib` lets other threads run meanwhile."""
    total = sum(size for size, _ in work.values()) or 1
    done = 0
    digests: dict[str, str] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        running = {pool.submit(_sha256, chunks): name for name, (_, chunks) in work.items()}
        for finished in as_completed(running):
            name = running[finished]
            digests[name] = finished.result()
            done += work[name][0]
            progress(what, done / total)
    return digests


def _sha256(chunks: Iterator[bytes]) -> str:
    made = hashlib.sha256()
    for chunk in chunks:
        made.update(chunk)
    return made.hexdigest()
