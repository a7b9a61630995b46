"""States of training as bytes: weights and optimiser state, tensor by tensor, in files of the format safetensors.

A tensor's digest is SHA-256 over the canonical JSON of its type and shape, a line feed, and its bytes (little-endian, row by row): the same
whether it lies in a file or in memory. Names say what a tensor is: 'weights/...' goes into the model, all else ('optimiser/...')
only into the next step.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.case.files import read_file, write_file
from filiation.case.objects import CHUNK
from filiation.errors import MalformedSource, SourceNotFound, UsageError
from filiation.evidence import canonical

State = Mapping[str, NDArray[Any]]
"""Tensors by name. Arrays are never changed in place once they stand in a state."""

WEIGHTS, OPTIMISER = "weights/", "optimiser/"
_LARGEST_HEADER = 100_000_000
_MOST_DIMENSIONS = 32
_MOST_ELEMENTS = 1 << 48
_TYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_CODES = {kind: code for code, kind in _TYPES.items()}


class _Span(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


# --------------------------------------------------------------------------------------------------------------- digests


def digests(state: State) -> dict[str, str]:
    """The SHA-256 of every tensor, by name. Raises UsageError for a type that files of states do not have."""
    return {name: _digest(_code(name, array), array.shape, [_raw(array)]) for name, array in sorted(state.items())}


def digests_of_files(files: Sequence[Path], prefixes: Mapping[Path, str] | None = None) -> dict[str, str]:
    """The same, read from files piece by piece: no tensor is held in memory. `prefixes` go before the names of a file's tensors.

    Raises SourceNotFound and MalformedSource; UsageError where two files name the same tensor.
    """
    found: dict[str, str] = {}
    for file in files:
        for name, digest in _digests_of_file(file):
            name = (prefixes or {}).get(file, "") + name
            if name in found:
                raise UsageError(
                    f"two files hold a tensor {name!r}", exhibit=str(file), advice="name weights and optimiser apart"
                )
            found[name] = digest
    return dict(sorted(found.items()))


def _digests_of_file(file: Path) -> Iterator[tuple[str, str]]:
    try:
        with file.open("rb") as opened:
            spans, start = _read_header(opened, file)
            for name, span in spans.items():
                opened.seek(start + span.data_offsets[0])
                yield name, _digest(span.dtype, span.shape, _pieces(opened, span, file))
    except OSError as error:
        raise SourceNotFound(f"cannot be read: {error.strerror}", exhibit=str(file), advice="check the path") from error


def _pieces(opened: BinaryIO, span: _Span, file: Path) -> Iterator[bytes]:
    left = span.data_offsets[1] - span.data_offsets[0]
    while left:
        piece = opened.read(min(left, CHUNK))
        if not piece:
            raise _malformed(file, "the file is cut off")
        left -= len(piece)
        yield piece


def _digest(code: str, shape: Sequence[int], pieces: Any) -> str:
    found = hashlib.sha256(canonical([code, list(shape)]) + b"\n")
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


# ----------------------------------------------------------------------------------------------------------------- files


def save(state: State, file: Path) -> None:
    """Write a state; the same state gives the same bytes. Raises UsageError or RecordError where it cannot be written."""
    spans, place = {}, 0
    for name, array in sorted(state.items()):
        spans[name] = _Span(_code(name, array), array.shape, (place, place + array.nbytes))
        place += array.nbytes
    header = msgspec.json.encode(spans)
    header += b" " * (-len(header) % 8)
    write_file(
        file, b"".join([len(header).to_bytes(8, "little"), header, *map(_raw, dict(sorted(state.items())).values())])
    )


def load(file: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a file. Raises RecordError where it cannot be read, MalformedSource where it is no safetensors file."""
    data = read_file(file)
    if len(data) < 8:
        raise _malformed(file, "the file is cut off")
    size = int.from_bytes(data[:8], "little")
    spans, start = _checked(data[8 : 8 + size], size, len(data), file)
    return {name: _array(data, start, span) for name, span in spans.items()}


def weights(state: State) -> dict[str, NDArray[Any]]:
    """The tensors that go into the model, by their names in it."""
    return {name.removeprefix(WEIGHTS): array for name, array in state.items() if name.startswith(WEIGHTS)}


def _array(data: bytes, start: int, span: _Span) -> NDArray[Any]:
    kind = _TYPES[span.dtype]
    flat = np.frombuffer(data, dtype=kind, count=math.prod(span.shape), offset=start + span.data_offsets[0])
    return flat.reshape(span.shape)


def _read_header(opened: BinaryIO, file: Path) -> tuple[dict[str, _Span], int]:
    size = int.from_bytes(opened.read(8), "little")
    header = opened.read(min(size, _LARGEST_HEADER))
    return _checked(header, size, opened.seek(0, 2), file)


def _checked(header: bytes, size: int, file_size: int, file: Path) -> tuple[dict[str, _Span], int]:
    """The tensors of a header, every length held against the file before anything is read from it."""
    if size > _LARGEST_HEADER or 8 + size > file_size:
        raise _malformed(file, "its header is longer than the file, or than any header")
    try:
        told = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        told.pop("__metadata__", None)
        spans = {name: msgspec.json.decode(span, type=_Span) for name, span in told.items()}
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise _malformed(file, f"its header cannot be read: {str(error)[:200]}") from error
    room = file_size - 8 - size
    for name, span in spans.items():
        first, last = span.data_offsets
        if span.dtype not in _TYPES or not _is_shape(span.shape):
            raise _malformed(
                file, f"the tensor {name[:100]!r} has the type {span.dtype[:20]!r} or a shape that is none"
            )
        if not 0 <= first <= last <= room or last - first != math.prod(span.shape) * _TYPES[span.dtype].itemsize:
            raise _malformed(file, f"the tensor {name[:100]!r} does not lie where the header says")
    return spans, 8 + size


def _is_shape(shape: tuple[int, ...]) -> bool:
    """Whether an array may have this shape: sides beside one of 0 are held to what there can be, too."""
    if len(shape) > _MOST_DIMENSIONS or min(shape, default=0) < 0:
        return False
    return math.prod(side for side in shape if side) <= _MOST_ELEMENTS


def _code(name: str, array: NDArray[Any]) -> str:
    code = _CODES.get(array.dtype)
    if code is None:
        raise UsageError(f"the tensor {name!r} has the type {array.dtype}", advice="convert it before it is recorded")
    return code


def _raw(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _malformed(file: Path, what: str) -> MalformedSource:
    return MalformedSource(what, exhibit=str(file), advice="give the state as it was written")
