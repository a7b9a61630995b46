"""safetensors against the library that defines the format, and the log of what was read against a set of bytes."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save, save_file

from filiation.errors import MalformedSource, SourceError, UsageError
from filiation.sources.byte_ranges import ReadLog
from filiation.sources.safetensors_file import SafetensorsTensors, header_size, open_safetensors, parse_header
from tests.bad_input.make_bad_files import safetensors, stored, tensor

NUMPY_TYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", ml_dtypes.bfloat16]
FORMAT_TYPES = ["F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL", "BF16"]


def opened(tensors: dict[str, np.ndarray], folder: Path) -> SafetensorsTensors:
    path = folder / "m.safetensors"
    save_file(tensors, path)
    return open_safetensors({path.name: path}, "m")


@pytest.mark.parametrize(("dtype", "name"), list(zip(NUMPY_TYPES, FORMAT_TYPES, strict=True)), ids=FORMAT_TYPES)
def test_every_type_against_the_library(dtype: str, name: str, tmp_path: Path) -> None:
    values = (np.random.default_rng(0).standard_normal((9, 5)) * 9).astype(dtype)
    tensors = opened({"t": values, "other": np.ones(3, "u1")}, tmp_path)
    assert tensors.entry("t").dtype == name
    assert tensors.read("t").dtype == np.float32
    np.testing.assert_array_equal(tensors.read("t"), values.astype(np.float32))
    rows = np.array([8, 0, 8, 3])
    np.testing.assert_array_equal(tensors.read_rows("t", rows), values.astype(np.float32)[rows])
    assert b"".join(tensors.chunks("t", 7)) == values.tobytes()
    with pytest.raises(UsageError):
        tensors.read_rows("t", np.array([9]))
    with pytest.raises(UsageError):
        tensors.read("nothing")


arrays = st.builds(
    lambda shape, dtype, seed: np.random.default_rng(seed).integers(0, 2, shape).astype(dtype),
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    st.sampled_from(["f4", "f2", "u1", "i8"]),
    st.integers(0, 99),
)


@given(st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda n: n != "__metadata__"), arrays, max_size=6))
@settings(max_examples=60, deadline=None)
def test_round_trip_of_whatever_the_library_writes(tensors: dict[str, np.ndarray]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = opened(tensors, Path(folder))
        assert set(made.names()) == set(tensors)
        for name, values in tensors.items():
            np.testing.assert_array_equal(made.read(name), values.astype(np.float32))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_accepted_headers_are_accepted_by_the_library_too(data: st.DataObject) -> None:
    """One byte of a good file changed: refused with a SourceError, or read, and then the library agrees on where."""
    good = stored({"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float32)})
    position = data.draw(st.integers(0, len(good) - 41))
    changed = bytearray(good)
    changed[position] = data.draw(st.integers(0, 255))
    try:
        length = header_size(bytes(changed[:8]), len(changed), file="f", exhibit="e")
        entries = parse_header(bytes(changed[8 : 8 + length]), len(changed), file="f", exhibit="e")
    except SourceError:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        path.write_bytes(changed)
        try:
            with safe_open(path, "numpy") as theirs:
                assert set(theirs.keys()) == set(entries)
                for name in entries:
                    assert tuple(theirs.get_slice(name).get_shape()) == entries[name].shape
        except SafetensorError:
            # The library knows fewer spellings; what it refuses must still lie inside the file here.
            assert all(entry.offset + entry.nbytes <= len(changed) for entry in entries.values())


@pytest.mark.parametrize("length", [60, 62, 60 + 256, 118])
def test_lengths_whose_first_byte_looks_like_text(length: int, tmp_path: Path) -> None:
    """60 is '<' and 118 is 'v': a header may have any length."""
    text = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", length) + text.ljust(length) + struct.pack("<f", 2.5))
    assert open_safetensors({path.name: path}, "m").read("a") == [2.5]


def test_block_scales_of_fp8_against_the_product(tmp_path: Path) -> None:
    """DeepSeek's layout: one scale per 128 x 128 block, the last blocks cut."""
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((200, 300)).astype(ml_dtypes.float8_e4m3fn)
    scale = rng.uniform(0.5, 2, (2, 3)).astype(np.float32)
    expected = weight.astype(np.float32) * np.kron(scale, np.ones((128, 128), np.float32))[:200, :300]
    header = {"w": tensor([200, 300], 0, 60000, "F8_E4M3"), "w_scale_inv": tensor([2, 3], 60000, 60024)}
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors(header, weight.tobytes() + scale.tobytes()))
    tensors = open_safetensors({path.name: path}, "m")
    np.testing.assert_array_equal(tensors.read("w"), expected)
    np.testing.assert_array_equal(tensors.read_rows("w", np.array([199, 0, 128])), expected[[199, 0, 128]])
    with pytest.raises(MalformedSource, match="do not fit"):
        open_safetensors({path.name: path}, "m", block=64).read("w")


@pytest.mark.parametrize("shape", [(), (1,), (6, 1)])
def test_scales_by_tensor_and_by_row(shape: tuple[int, ...], tmp_path: Path) -> None:
    weight = np.arange(24).reshape(6, 4).astype(ml_dtypes.float8_e5m2)
    scale = np.linspace(1, 2, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    header = {"w": tensor([6, 4], 0, 24, "F8_E5M2"), "w_scale": tensor(list(shape), 24, 24 + scale.nbytes)}
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors(header, weight.tobytes() + scale.tobytes()))
    tensors = open_safetensors({path.name: path}, "m")
    expected = weight.astype(np.float32) * scale
    np.testing.assert_array_equal(tensors.read("w"), expected)
    np.testing.assert_array_equal(tensors.read_rows("w", np.array([5, 2])), expected[[5, 2]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_counted(bad: float, tmp_path: Path) -> None:
    values = np.ones((10, 10), np.float32)
    values[3, :4] = bad
    tensors = opened({"t": values}, tmp_path)
    with pytest.raises(MalformedSource, match=r"'t' has 4 of 100 weights"):
        tensors.read("t")
    assert tensors.read_rows("t", np.array([0, 9])).all()
    with pytest.raises(MalformedSource):
        tensors.read_rows("t", np.array([3]))


def test_float64_beyond_float32_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedSource, match="1 of 2 weights"):
        opened({"t": np.array([1e300, 1.0])}, tmp_path).read("t")


def test_opening_reads_only_the_header_and_rows_only_themselves(tmp_path: Path) -> None:
    values = np.ones((1000, 64), np.float32)
    tensors = opened({"t": values}, tmp_path)
    header = len(save({"t": values})) - values.nbytes
    assert (tensors.bytes_read, tensors.ranges_read) == (header, 1)
    tensors.read_rows("t", np.array([10, 11, 500]))
    assert (tensors.bytes_read, tensors.ranges_read) == (header + 3 * 256, 3)
    tensors.read("t")
    assert (tensors.bytes_read, tensors.ranges_read) == (tensors.bytes_total, 1)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=30))
def test_log_against_a_set_of_bytes(reads: list[tuple[int, int]]) -> None:
    log, seen = ReadLog(), set()
    for offset, size in reads:
        log.add(offset, size)
        seen |= set(range(offset, offset + size))
    assert log.bytes_read == len(seen)
    # A range starts at each byte whose predecessor was not read.
    assert log.ranges_read == sum(byte - 1 not in seen for byte in seen)
