"""safetensors: a bounded header parser and tensors read one by one.

Layout: 8 bytes little-endian header length, that many bytes of JSON {name: {dtype, shape, data_offsets}}, then the data.
The header is the attack surface: every length, type and offset is checked before anything is allocated from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from filiation.errors import MalformedSource, UsageError
from filiation.evidence import Absent
from filiation.sources.byte_ranges import ByteRanges, Bytes, LocalFile
from filiation.sources.source import Float32, TensorEntry
from filiation.strict_json import read_json_object

HEADER_LIMIT = 100_000_000
"""Largest header in bytes (the format's own limit)."""

TENSOR_LIMIT = 500_000
"""Most tensors in one file: more would let the parsed header take over a gigabyte of memory."""

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}

_FETCH_AGAIN = "fetch the file again; if it stays so, do not trust it"
_FP8_BLOCK = 128


def header_size(prefix: bytes, file_size: int, *, file: str, exhibit: str) -> int:
    """The length of the header in bytes, from the first eight bytes of the file."""
    # A header of 60 bytes begins with the byte of '<' too, but no header is so long that byte 7 is not zero.
    if prefix[7:8] not in (b"", b"\0") and prefix.startswith((b"<", b"version ")):
        raise MalformedSource(
            f"{file} is a text file (a failed download or a Git LFS pointer), not safetensors",
            exhibit=exhibit,
            advice="fetch it again, with `git lfs pull` in a Git checkout",
        )
    if len(prefix) < 8:
        raise MalformedSource(f"{file} has only {file_size} bytes", exhibit=exhibit, advice=_FETCH_AGAIN)
    length = int.from_bytes(prefix[:8], "little")
    if length > HEADER_LIMIT:
        raise MalformedSource(
            f"{file} announces a header of {length} bytes; the format allows {HEADER_LIMIT}",
            exhibit=exhibit,
            advice="this is no safetensors file, or a hostile one: check where it comes from",
        )
    if length < 2 or 8 + length > file_size:
        raise MalformedSource(
            f"{file} announces a header of {length} bytes and has {file_size} in all",
            exhibit=exhibit,
            advice=_FETCH_AGAIN,
        )
    return length


def parse_header(header: bytes, file_size: int, *, file: str, exhibit: str) -> dict[str, TensorEntry]:
    """The tensors that `header` announces, keyed by name; offsets are from the start of the file."""
    _refuse_crowded(header, file, exhibit)
    described = read_json_object(header, what=f"the header of {file}", exhibit=exhibit, limit=HEADER_LIMIT)
    described.pop("__metadata__", None)
    data_start = 8 + len(header)
    entries = {
        name: _entry(name, description, data_start, file_size, file, exhibit) for name, description in described.items()
    }
    _refuse_overlaps(entries, data_start, file_size, file, exhibit)
    return entries


def _refuse_crowded(header: bytes, file: str, exhibit: str) -> None:
    """Counted before parsing: a hundred megabytes of '[],[],' would unfold into gigabytes of Python objects."""
    if (
        header.count(b"{") > TENSOR_LIMIT
        or header.count(b"[") > 2 * TENSOR_LIMIT
        or header.count(b",") > 6 * TENSOR_LIMIT
    ):
        raise MalformedSource(
            f"the header of {file} describes more than {TENSOR_LIMIT} tensors",
            exhibit=exhibit,
            advice="split the file into shards, or check where it comes from",
        )


def _entry(name: str, described: Any, data_start: int, file_size: int, file: str, exhibit: str) -> TensorEntry:
    def malformed(problem: str) -> MalformedSource:
        return MalformedSource(f"tensor {name[:80]!r} in {file}: {problem}", exhibit=exhibit, advice=_FETCH_AGAIN)

    if not isinstance(described, dict) or set(described) != {"dtype", "shape", "data_offsets"}:
        raise malformed("its description is not exactly dtype, shape and data_offsets")
    dtype, shape, offsets = described["dtype"], described["shape"], described["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise malformed(f"the type {str(dtype)[:40]!r} is not supported; supported are {', '.join(DTYPES)}")
    if not _natural_numbers(shape) or len(shape) > 8:
        raise malformed("its shape is not a list of at most 8 natural numbers")
    if not _natural_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise malformed("its data_offsets are not two natural numbers in order")
    start, end = data_start + offsets[0], data_start + offsets[1]
    if end > file_size:
        raise malformed(f"it ends at byte {end} and the file has {file_size}: the file is truncated or lies")
    needed = math.prod(shape) * DTYPES[dtype].itemsize
    if needed != end - start:
        raise malformed(f"shape {shape} of {dtype} needs {needed} bytes and {end - start} are given")
    return TensorEntry(name=name, shape=tuple(shape), dtype=dtype, file=file, offset=start, nbytes=needed)


def _natural_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 48 for item in value)


def _refuse_overlaps(
    entries: Mapping[str, TensorEntry], data_start: int, file_size: int, file: str, exhibit: str
) -> None:
    """Tensors must tile the data exactly: overlaps let one byte be two weights, gaps hide bytes from every hash."""
    reached, before = data_start, ""
    for entry in sorted(entries.values(), key=lambda e: (e.offset, e.nbytes)):
        if entry.offset < reached:
            raise MalformedSource(
                f"tensors {before[:80]!r} and {entry.name[:80]!r} in {file} overlap",
                exhibit=exhibit,
                advice=_FETCH_AGAIN,
            )
        if entry.offset > reached:
            raise MalformedSource(
                f"{entry.offset - reached} bytes before tensor {entry.name[:80]!r} in {file} belong to no tensor",
                exhibit=exhibit,
                advice=_FETCH_AGAIN,
            )
        reached, before = entry.offset + entry.nbytes, entry.name
    if reached != file_size:
        raise MalformedSource(
            f"{file_size - reached} bytes at the end of {file} belong to no tensor",
            exhibit=exhibit,
            advice=_FETCH_AGAIN,
        )


def read_header(ranges: ByteRanges, *, file: str, exhibit: str) -> dict[str, TensorEntry]:
    """The header of one file, read from its first bytes."""
    prefix = ranges.read(0, min(8, ranges.size)).tobytes()
    length = header_size(prefix, ranges.size, file=file, exhibit=exhibit)
    return parse_header(ranges.read(8, length).tobytes(), ranges.size, file=file, exhibit=exhibit)


def finite(values: Float32, name: str, exhibit: str) -> Float32:
    """`values` themselves. Raises MalformedSource where some are NaN or infinite, naming the tensor and the count."""
    # A finite sum has finite terms only: one pass, no array of booleans, in nearly all cases.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):
            return values
    bad = int(values.size - np.count_nonzero(np.isfinite(values)))
    if bad:
        raise MalformedSource(
            f"tensor {name!r} has {bad} of {values.size} weights that are NaN or infinite",
            exhibit=exhibit,
            advice="such a model cannot run: fetch it again, or repair it before it is examined",
        )
    return values


class SafetensorsTensors:
    """Tensors of one or more safetensors files; `files` gives the byte ranges of each file named in the entries."""

    def __init__(
        self, entries: Mapping[str, TensorEntry], files: Mapping[str, ByteRanges], exhibit: str, block: int = _FP8_BLOCK
    ) -> None:
        self._entries = dict(entries)
        self._files = dict(files)
        self._exhibit = exhibit
        self._block = block
        self.read_in_full: set[str] = set()

    def names(self) -> Sequence[str]:
        return tuple(self._entries)

    def entry(self, name: str) -> TensorEntry:
        try:
            return self._entries[name]
        except KeyError:
            raise UsageError(
                f"there is no tensor {name!r}", exhibit=self._exhibit, advice="ask names() for those there are"
            ) from None

    def read(self, name: str) -> Float32:
        """The whole tensor as float32; FP8 weights are multiplied by their stored scales."""
        entry = self.entry(name)
        stored = self._files[entry.file].read(entry.offset, entry.nbytes)
        self.read_in_full.add(name)
        return self._values(entry, stored, entry.shape, None)

    def read_rows(self, name: str, rows: NDArray[np.intp]) -> Float32:
        entry = self.entry(name)
        rows = checked_rows(entry, rows, self._exhibit)
        row_bytes = entry.nbytes // entry.shape[0]
        stored = self._files[entry.file].read_rows(entry.offset, row_bytes, rows)
        return self._values(entry, stored.reshape(-1), (len(rows), *entry.shape[1:]), rows)

    def chunks(self, name: str, size: int = 1 << 24) -> Iterator[bytes]:
        entry = self.entry(name)
        yield from stored_chunks(self._files[entry.file], entry, size)
        self.read_in_full.add(name)

    def files(self) -> Mapping[str, ByteRanges]:
        """The byte ranges of each weights file, keyed by the file's name."""
        return self._files

    @property
    def bytes_read(self) -> int:
        return sum(file.log.bytes_read for file in self._files.values())

    @property
    def bytes_total(self) -> int:
        return sum(file.size for file in self._files.values())

    @property
    def ranges_read(self) -> int:
        return sum(file.log.ranges_read for file in self._files.values())

    def _values(
        self, entry: TensorEntry, stored: Bytes, shape: tuple[int, ...], rows: NDArray[np.intp] | None
    ) -> Float32:
        typed = np.ascontiguousarray(stored).view(DTYPES[entry.dtype]).reshape(shape)
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # float64 beyond float32 becomes infinite and is refused below
            values = finite(typed.astype(np.float32), entry.name, self._exhibit)
        if entry.dtype.startswith("F8"):
            values = self._scaled(entry, values, rows)
        return values

    def _scaled(self, entry: TensorEntry, values: Float32, rows: NDArray[np.intp] | None) -> Float32:
        """FP8 times its companion: one scale per 128 x 128 block (DeepSeek), per row, or per tensor."""
        for suffix in ("_scale_inv", "_scale"):
            companion = self._entries.get(entry.name + suffix)
            if companion is not None:
                break
        else:
            return values
        scale = self.read(companion.name)
        if scale.size == 1:
            return values * scale.reshape(())
        which = np.arange(entry.shape[0]) if rows is None else rows
        if scale.ndim == 2 and scale.shape == tuple(-(-n // self._block) for n in entry.shape):
            columns = np.arange(entry.shape[1]) // self._block
            return values * scale[which // self._block][:, columns]
        if scale.size == entry.shape[0]:
            return values * scale.reshape(-1)[which].reshape(-1, *([1] * (len(entry.shape) - 1)))
        raise MalformedSource(
            f"scales {companion.name!r} of shape {companion.shape} do not fit {entry.name!r} of shape {entry.shape}",
            exhibit=self._exhibit,
            advice="convert the model to bfloat16 first",
        )


def checked_rows(entry: TensorEntry, rows: NDArray[np.intp], exhibit: str) -> NDArray[np.intp]:
    """`rows` as indices. Raises UsageError where one is outside the tensor."""
    rows = np.asarray(rows, dtype=np.intp)
    if not entry.shape or rows.ndim != 1 or (len(rows) and not (rows.min() >= 0 and rows.max() < entry.shape[0])):
        raise UsageError(
            f"rows outside tensor {entry.name!r} of shape {entry.shape}",
            exhibit=exhibit,
            advice="ask for rows by index, from 0 to the first dimension less 1",
        )
    return rows


def stored_chunks(file: ByteRanges, entry: TensorEntry, size: int) -> Iterator[bytes]:
    """The stored bytes of one tensor, `size` at a time."""
    for done in range(0, entry.nbytes, size):
        yield file.read(entry.offset + done, min(size, entry.nbytes - done)).tobytes()


def open_safetensors(paths: Mapping[str, Path], exhibit: str, block: int = _FP8_BLOCK) -> SafetensorsTensors:
    """The tensors of several files, keyed by the file's name; raises MalformedSource where two files share a tensor."""
    entries: dict[str, TensorEntry] = {}
    files: dict[str, ByteRanges] = {}
    for file, path in paths.items():
        files[file] = LocalFile(path, exhibit)
        add_entries(entries, read_header(files[file], file=file, exhibit=exhibit), exhibit)
    return SafetensorsTensors(entries, files, exhibit, block)


def add_entries(entries: dict[str, TensorEntry], more: Mapping[str, TensorEntry], exhibit: str) -> None:
    """Add one file's tensors to those of the others; the same name twice is refused."""
    for name, entry in more.items():
        if name in entries:
            raise MalformedSource(
                f"tensor {name!r} is in both {entries[name].file} and {entry.file}",
                exhibit=exhibit,
                advice="leave only the files of one model in the folder",
            )
        entries[name] = entry


NO_CONFIGURATION = Absent(reason="a single weights file has no config.json; give its folder to have both")
NO_TOKENIZER = Absent(reason="a single weights file has no tokenizer; give its folder to have both")
