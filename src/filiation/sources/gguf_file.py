"""GGUF: a bounded parser for its header, and tensors dequantised one by one.

Layout (version 2 and 3, little-endian): magic, version, counts, metadata, tensor descriptions, padding to `alignment`, data.
Like any header from a stranger it may lie: every count is held against the bytes that are left before anything is
allocated from it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from filiation.errors import MalformedSource, UsageError
from filiation.evidence import Absent
from filiation.sources.byte_ranges import ByteRanges, Bytes, LocalFile
from filiation.sources.safetensors_file import checked_rows, finite, stored_chunks
from filiation.sources.source import Float32, TensorEntry, Tensors
from filiation.sources.stored import StoredFile, StoredSource

HEADER_LIMIT = 1 << 29
"""Bytes of a header that are read at most (half a gigabyte; real ones have some megabytes of tokens and merges)."""

ELEMENT_LIMIT = 4_000_000
"""Array elements in all of the metadata together; the largest vocabularies have 300,000 tokens and as many merges."""

KEY_LIMIT = 65_536
TENSOR_LIMIT = 200_000
_KEY_BYTES = 65_535
_NAME_BYTES = 512
_NESTING = 2

_ADVICE = "fetch the file again; if it stays so, do not trust it"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_NUMPY = {0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8", 11: "<i8", 12: "<f8"}
_STRING, _ARRAY = 8, 9

READABLE_TYPES = (
    *("F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64"),
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
    *("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS"),
    *("TQ1_0", "TQ2_0", "MXFP4"),
)
_PLAIN = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}


class GgufHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What the header says: metadata by key, as in the file, and where each tensor lies."""

    version: int
    metadata: dict[str, Any]
    entries: dict[str, TensorEntry]
    data_start: int


class NeedsMore(Exception):
    """The header goes on behind the bytes at hand (but not behind the end of the file): fetch more and parse again."""


class _Reader:
    """A cursor over the first bytes of a file of `file_size` bytes; never reads past them."""

    def __init__(self, data: memoryview, file_size: int, file: str, exhibit: str) -> None:
        self.data = data
        self.at = 0
        self._file_size = file_size
        self._file = file
        self._exhibit = exhibit
        self._elements_left = ELEMENT_LIMIT

    def malformed(self, problem: str, advice: str = _ADVICE) -> MalformedSource:
        return MalformedSource(f"{self._file}: {problem}", exhibit=self._exhibit, advice=advice)

    def need(self, size: int, what: str) -> int:
        """Make sure that `size` bytes are at hand; returns where they start and moves behind them."""
        start = self.at
        if start + size > self._file_size:
            raise self.malformed(f"{what} needs {size} bytes at byte {start} and the file has {self._file_size}")
        if start + size > HEADER_LIMIT:
            raise self.malformed(f"the header is longer than {HEADER_LIMIT} bytes")
        if start + size > len(self.data):
            raise NeedsMore
        self.at = start + size
        return start

    def number(self, code: str, what: str) -> Any:
        layout = "<" + code
        start = self.need(struct.calcsize(layout), what)
        return struct.unpack_from(layout, self.data, start)[0]

    def text(self, limit: int, what: str) -> str:
        length = self.number("Q", what)
        if length > limit:
            raise self.malformed(f"{what} announces {length} bytes; at most {limit} are read")
        start = self.need(length, what)
        return str(self.data[start : start + length], "utf-8", "surrogateescape")

    def value(self, kind: int, key: str, nesting: int = 0) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind], f"the value of {key!r}")
        if kind == _STRING:
            return self.text(HEADER_LIMIT, f"the value of {key!r}")
        if kind != _ARRAY:
            raise self.malformed(f"the value of {key!r} has the unknown type {kind}")
        if nesting >= _NESTING:
            raise self.malformed(f"the value of {key!r} is nested more than {_NESTING} deep")
        inner, count = self.number("I", f"the type of {key!r}"), self.number("Q", f"the length of {key!r}")
        smallest = {_STRING: 8, _ARRAY: 12}.get(inner) or struct.calcsize("<" + _SCALARS.get(inner, "B"))
        if count * smallest > self._file_size - self.at:
            raise self.malformed(f"the array {key!r} announces {count} elements, more than the file has bytes for")
        if count > self._elements_left:
            raise self.malformed(f"the arrays of the metadata have more than {ELEMENT_LIMIT} elements")
        self._elements_left -= count
        return self._array(inner, count, key, nesting)

    def _array(self, inner: int, count: int, key: str, nesting: int) -> list[Any]:
        if inner == _STRING:
            return self._texts(count, key)
        if inner in _NUMPY:
            dtype = np.dtype(_NUMPY[inner])
            start = self.need(count * dtype.itemsize, f"the array {key!r}")
            made: list[Any] = np.frombuffer(self.data, dtype=dtype, count=count, offset=start).tolist()
            return made
        return [self.value(inner, key, nesting + 1) for _ in range(count)]

    def _texts(self, count: int, key: str) -> list[str]:
        """A list of strings; written without calls per string, because vocabularies have hundreds of thousands."""
        data, at, end = self.data, self.at, min(len(self.data), HEADER_LIMIT)
        length_at = struct.Struct("<Q").unpack_from
        made: list[str] = []
        for _ in range(count):
            start = at + 8
            if start > end:
                self._out_of_bytes(start, key)
            at = start + length_at(data, at)[0]
            if at > end:
                self._out_of_bytes(at, key)
            made.append(str(data[start:at], "utf-8", "surrogateescape"))
        self.at = at
        return made

    def _out_of_bytes(self, position: int, key: str) -> None:
        self.at = 0
        self.need(position, f"a string of {key!r}")


def parse_header(data: bytes | memoryview, file_size: int, *, file: str, exhibit: str) -> GgufHeader:
    """The header in the first bytes of a file. Raises MalformedSource, or NeedsMore where `data` is too short for it."""
    reader = _Reader(memoryview(data), file_size, file, exhibit)
    version, tensor_count, key_count = _counts(reader, file_size)
    metadata: dict[str, Any] = {}
    for _ in range(key_count):
        key = reader.text(_KEY_BYTES, "a metadata key")
        if key in metadata:
            raise reader.malformed(
                f"the metadata has the key {key[:80]!r} twice: two readers may take different values"
            )
        metadata[key] = reader.value(reader.number("I", f"the type of {key[:80]!r}"), key[:80])
    described = [_described(reader) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 1 <= alignment <= 1 << 16 or alignment & (alignment - 1):
        raise reader.malformed(f"general.alignment is {str(alignment)[:40]}, not a power of two up to 65536")
    data_start = -(-reader.at // alignment) * alignment
    entries = _entries(described, data_start, alignment, file_size, reader, file)
    return GgufHeader(version=version, metadata=metadata, entries=entries, data_start=data_start)


def _counts(reader: _Reader, file_size: int) -> tuple[int, int, int]:
    magic = bytes(reader.data[:4])
    if magic != b"GGUF":
        raise reader.malformed(
            f"the file begins with {magic!r}, not with b'GGUF'",
            "this is no GGUF file: a page of HTML, a Git LFS pointer or an older GGML format; fetch or convert it again",
        )
    reader.at = 4
    version = reader.number("I", "the version")
    if version not in (2, 3):
        big_endian = version in (2 << 24, 3 << 24)
        problem = "the file is big-endian" if big_endian else f"GGUF version {version} is not supported (2 and 3 are)"
        raise reader.malformed(problem, "convert it with a current llama.cpp")
    tensor_count, key_count = reader.number("Q", "the tensor count"), reader.number("Q", "the metadata count")
    # The shortest tensor description has 24 bytes and the shortest piece of metadata 13.
    if tensor_count > min(TENSOR_LIMIT, file_size // 24) or key_count > min(KEY_LIMIT, file_size // 13):
        raise reader.malformed(
            f"{tensor_count} tensors and {key_count} pieces of metadata are announced in a file of {file_size} bytes"
        )
    return version, tensor_count, key_count


def _described(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """One tensor description: name, row-major shape, type, offset into the data."""
    name = reader.text(_NAME_BYTES, "a tensor's name")
    dimensions = reader.number("I", f"the rank of tensor {name[:80]!r}")
    if not 1 <= dimensions <= 4:
        raise reader.malformed(f"tensor {name[:80]!r} has {dimensions} dimensions; 1 to 4 are possible")
    shape = tuple(reader.number("Q", "a dimension") for _ in range(dimensions))[::-1]
    if any(not 0 < length < 1 << 40 for length in shape):
        raise reader.malformed(f"tensor {name[:80]!r} has the impossible shape {shape}")
    return name, shape, reader.number("I", "a tensor's type"), reader.number("Q", "a tensor's offset")


def _entries(
    described: Sequence[tuple[str, tuple[int, ...], int, int]],
    data_start: int,
    alignment: int,
    file_size: int,
    reader: _Reader,
    file: str,
) -> dict[str, TensorEntry]:
    entries: dict[str, TensorEntry] = {}
    for name, shape, number, offset in described:
        if name in entries:
            raise reader.malformed(f"there are two tensors {name[:80]!r}")
        if number not in _TYPE_NAMES:
            raise reader.malformed(
                f"tensor {name[:80]!r} has the unknown type {number}", "it needs a newer version of this program"
            )
        dtype = _TYPE_NAMES[number]
        block, block_bytes = _block(dtype)
        if shape[-1] % block:
            raise reader.malformed(f"tensor {name[:80]!r} of shape {shape} does not divide into blocks of {dtype}")
        nbytes = math.prod(shape) // block * block_bytes
        start = data_start + offset
        if offset % alignment:
            raise reader.malformed(f"tensor {name[:80]!r} is not aligned to {alignment} bytes")
        if start + nbytes > file_size:
            raise reader.malformed(
                f"tensor {name[:80]!r} ends at byte {start + nbytes} and the file has {file_size}: truncated, or it lies"
            )
        entries[name] = TensorEntry(name=name, shape=shape, dtype=dtype, file=file, offset=start, nbytes=nbytes)
    _refuse_overlaps(entries, reader)
    return entries


_TYPE_NAMES = {int(kind): kind.name for kind in GGMLQuantizationType if kind.name in READABLE_TYPES}


def _block(dtype: str) -> tuple[int, int]:
    """Weights per block and bytes per block."""
    size: tuple[int, int] = GGML_QUANT_SIZES[GGMLQuantizationType[dtype]]
    return size


def _refuse_overlaps(entries: Mapping[str, TensorEntry], reader: _Reader) -> None:
    reached, before = 0, ""
    for entry in sorted(entries.values(), key=lambda e: e.offset):
        if entry.offset < reached:
            raise reader.malformed(f"tensors {before[:80]!r} and {entry.name[:80]!r} overlap")
        reached, before = entry.offset + entry.nbytes, entry.name


def read_header(ranges: ByteRanges, *, file: str, exhibit: str, first: int = 1 << 22) -> GgufHeader:
    """The header of one file: read as many bytes as it turns out to need, doubling from `first`."""
    length = min(first, ranges.size)
    while True:
        try:
            return parse_header(ranges.read(0, length).data, ranges.size, file=file, exhibit=exhibit)
        except NeedsMore:
            length = min(2 * length, ranges.size, HEADER_LIMIT)


class GgufTensors:
    """Tensors of one GGUF file, dequantised by the `gguf` package as they are read."""

    def __init__(self, header: GgufHeader, ranges: ByteRanges, exhibit: str) -> None:
        self._entries = header.entries
        self._ranges = ranges
        self._exhibit = exhibit
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
        entry = self.entry(name)
        stored = self._ranges.read(entry.offset, entry.nbytes)
        self.read_in_full.add(name)
        return self._values(entry, stored, entry.shape)

    def read_rows(self, name: str, rows: NDArray[np.intp]) -> Float32:
        entry = self.entry(name)
        rows = checked_rows(entry, rows, self._exhibit)
        if len(entry.shape) == 1 and _block(entry.dtype)[0] > 1:
            return self.read(name)[rows]  # a row of a vector is one weight, which has no bytes of its own in a block
        stored = self._ranges.read_rows(entry.offset, entry.nbytes // entry.shape[0], rows)
        return self._values(entry, stored, (len(rows), *entry.shape[1:]))

    def chunks(self, name: str, size: int = 1 << 24) -> Iterator[bytes]:
        yield from stored_chunks(self._ranges, self.entry(name), size)
        self.read_in_full.add(name)

    @property
    def bytes_read(self) -> int:
        return self._ranges.log.bytes_read

    @property
    def bytes_total(self) -> int:
        return self._ranges.size

    @property
    def ranges_read(self) -> int:
        return self._ranges.log.ranges_read

    def _values(self, entry: TensorEntry, stored: Bytes, shape: tuple[int, ...]) -> Float32:
        if 0 in shape:
            return np.empty(shape, dtype=np.float32)
        stored = np.ascontiguousarray(stored).reshape(-1)
        with np.errstate(all="ignore"):  # what is not finite is refused below, with the tensor's name
            if entry.dtype in _PLAIN:
                values = stored.view(_PLAIN[entry.dtype]).astype(np.float32)
            else:
                block, block_bytes = _block(entry.dtype)
                table = stored.reshape(-1, shape[-1] // block * block_bytes)
                values = quants.dequantize(table, GGMLQuantizationType[entry.dtype])
        return finite(values.reshape(shape), entry.name, self._exhibit)


class GgufSource(StoredSource):
    """One GGUF file: weights, tokenizer and configuration in one."""

    format = "gguf"

    def __init__(self, path: Path, *, name: str = "", lineage_id: str = "") -> None:
        super().__init__(name=name or path.stem, location=str(path), lineage_id=lineage_id)
        self._ranges = LocalFile(path, self.name)
        self._file = path.name
        self.header = read_header(self._ranges, file=path.name, exhibit=self.name)

    def _read_configuration(self) -> Mapping[str, Any] | Absent:
        return configuration_of(self.header)

    def tokenizer_bytes(self) -> bytes | None:
        return tokenizer_metadata_bytes(self.header)

    def _read_tokenizer(self) -> Any:
        if "tokenizer.ggml.tokens" not in self.header.metadata:
            return Absent(reason="the GGUF metadata holds no tokens (tokenizer.ggml.tokens)")
        from filiation.sources.tokenizers import tokenizer_from_gguf

        return tokenizer_from_gguf(self.header.metadata, self.name)

    def _open_tensors(self) -> Tensors | Absent:
        if not self.header.entries:
            return Absent(reason="the GGUF file holds no tensors, only metadata")
        return GgufTensors(self.header, self._ranges, self.name)

    def files(self) -> tuple[StoredFile, ...]:
        return (StoredFile(name=self._file, ranges=self._ranges),)


def tokenizer_metadata_bytes(header: GgufHeader) -> bytes | None:
    """The tokenizer's part of the metadata in one byte form, for its digest; None where there is none."""
    if "tokenizer.ggml.tokens" not in header.metadata:
        return None
    parts = sorted((key, value) for key, value in header.metadata.items() if key.startswith("tokenizer.ggml."))
    return repr(parts).encode("utf-8", "surrogateescape")


_MODEL_TYPES = {
    "qwen2moe": "qwen2_moe",
    "qwen3moe": "qwen3_moe",
    "gemma3": "gemma3_text",
    "gptneox": "gpt_neox",
    "deepseek2": "deepseek_v2",
}
_KEYS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_shared_count": "n_shared_experts",
    "leading_dense_block_count": "first_k_dense_replace",
    "nextn_predict_layers": "num_nextn_predict_layers",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.layer_norm_epsilon": "layer_norm_eps",
    "attention.sliding_window": "sliding_window",
    "attention.q_lora_rank": "q_lora_rank",
    "attention.kv_lora_rank": "kv_lora_rank",
    "rope.freq_base": "rope_theta",
    "context_length": "max_position_embeddings",
    "vocab_size": "vocab_size",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "use_parallel_residual": "use_parallel_residual",
}
_EXPERT_COUNTS = {"mixtral": "num_local_experts", "deepseek_v2": "n_routed_experts", "deepseek_v3": "n_routed_experts"}


def configuration_of(header: GgufHeader) -> dict[str, Any]:
    """GGUF metadata under the key names of Hugging Face's config.json."""
    metadata = header.metadata
    architecture = str(metadata.get("general.architecture", "no architecture"))
    made: dict[str, Any] = {"model_type": _model_type(architecture, header)}
    for suffix, key in _KEYS.items():
        value = metadata.get(f"{architecture}.{suffix}")
        if value is not None:
            made[key] = _shared(value)
    key_length = metadata.get(f"{architecture}.attention.key_length")
    heads, width = made.get("num_attention_heads"), made.get("hidden_size")
    if key_length is not None and "kv_lora_rank" not in made:
        made["head_dim"] = key_length
    elif type(heads) is int and type(width) is int and heads > 0:
        made["head_dim"] = width // heads
    if "num_experts" in made and made["model_type"] in _EXPERT_COUNTS:
        made[_EXPERT_COUNTS[made["model_type"]]] = made.pop("num_experts")
    if architecture == "falcon":
        made |= _falcon(made, header)
    tokens = metadata.get("tokenizer.ggml.tokens")
    if "vocab_size" not in made and isinstance(tokens, list):
        made["vocab_size"] = len(tokens)
    made["tie_word_embeddings"] = "output.weight" not in header.entries
    return made


def _model_type(architecture: str, header: GgufHeader) -> str:
    if architecture == "llama" and header.metadata.get("llama.expert_count"):
        return "mixtral"
    if architecture == "deepseek2" and any(name.endswith("exp_probs_b.bias") for name in header.entries):
        return "deepseek_v3"
    return _MODEL_TYPES.get(architecture, architecture)


def _shared(value: Any) -> Any:
    """llama.cpp writes some numbers per layer; one number where all layers agree."""
    return value[0] if isinstance(value, list) and value and all(item == value[0] for item in value) else value


def _falcon(made: Mapping[str, Any], header: GgufHeader) -> dict[str, Any]:
    """Falcon's own words for how its heads share keys."""
    key_value = made.get("num_key_value_heads", 1)
    grouped = "blk.0.attn_norm_2.weight" in header.entries
    return {
        "new_decoder_architecture": grouped,
        "multi_query": key_value == 1,
        "num_kv_heads": key_value,
    }
