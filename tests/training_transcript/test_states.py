"""Files of states: what is written reads back, in every type; hostile files are refused before anything is read from them."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filiation.errors import FiliationError, MalformedSource, UsageError
from filiation.training_transcript.states import digests, digests_of_files, load, save

TYPES = ("float64", "float32", "float16", ml_dtypes.bfloat16, "int64", "int32", "int8", "uint8", "bool")
ONE_FILE = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
            lambda name: name != "__metadata__"
        ),
        st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 4), max_size=3)),
        max_size=4,
    ),
    st.integers(0, 2**32 - 1),
)
@ONE_FILE
def test_what_is_saved_reads_back_with_the_same_digests(tmp_path: Path, wanted: dict, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = {name: np.asarray(rng.integers(0, 2, shape)).astype(kind) for name, (kind, shape) in wanted.items()}
    file = tmp_path / "state"
    save(state, file)
    assert digests(load(file)) == digests(state) == digests_of_files([file])


@given(st.binary(max_size=200))
@ONE_FILE
def test_any_bytes_are_a_state_or_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "state"
    file.write_bytes(data)
    for read in (load, lambda path: digests_of_files([path])):
        try:
            read(file)
        except FiliationError:
            continue


HEADERS = {
    "longer than the file": (b"\xff" * 8, b""),
    "a tensor beyond the end": (None, b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
    "a tensor of another size than its bytes": (None, b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}'),
    "a negative size": (None, b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}'),
    "an unknown type": (None, b'{"a":{"dtype":"F3","shape":[1],"data_offsets":[0,4]}}'),
    "more dimensions than an array has": (
        None,
        b'{"a":{"dtype":"U8","shape":[' + b",".join([b"1"] * 100) + b'],"data_offsets":[0,1]}}',
    ),
    "a side that no array has beside one of 0": (
        None,
        b'{"a":{"dtype":"U8","shape":[0,9223372036854775808],"data_offsets":[0,0]}}',
    ),
    "no header": (None, b"[]"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_lie_are_refused(name: str, tmp_path: Path) -> None:
    length, header = HEADERS[name]
    file = tmp_path / "state"
    file.write_bytes((length or len(header).to_bytes(8, "little")) + header + b"\0\0\0\0")
    with pytest.raises(MalformedSource):
        load(file)
    with pytest.raises(MalformedSource):
        digests_of_files([file])


def test_type_and_shape_are_part_of_the_digest() -> None:
    zeros = np.zeros(4, dtype=np.float32)
    forms = [zeros, zeros.reshape(2, 2), zeros.astype(np.int32), np.zeros(8, dtype=np.float16)]
    assert len({digests({"a": form})["a"] for form in forms}) == 4


def test_a_type_that_no_file_has_is_refused() -> None:
    with pytest.raises(UsageError, match="complex"):
        digests({"a": np.zeros(1, dtype=np.complex128)})


def test_the_same_name_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save({"a": np.zeros(1)}, tmp_path / name)
    with pytest.raises(UsageError, match="two files hold"):
        digests_of_files([tmp_path / "one", tmp_path / "two"])
    prefixes = {tmp_path / "one": "weights/", tmp_path / "two": "optimiser/"}
    assert list(digests_of_files([tmp_path / "one", tmp_path / "two"], prefixes)) == ["optimiser/a", "weights/a"]
