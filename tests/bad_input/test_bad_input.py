"""Each hostile or broken exhibit gives one clear error with advice, whatever part of it is asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from filiation.errors import FiliationError, MalformedSource, SourceError, SourceNotFound, UnsafeSource, UsageError
from filiation.evidence import Absent
from filiation.sources.families import Decoder, decoder_of
from filiation.sources.open import open_source
from tests.bad_input.make_bad_files import MAKERS, make

TABLE: dict[str, tuple[type[FiliationError], str]] = {
    # safetensors
    "safetensors of three bytes": (MalformedSource, "only 3 bytes"),
    "safetensors whose header is cut off": (MalformedSource, "announces a header of"),
    "safetensors whose data are cut off": (MalformedSource, "truncated or lies"),
    "safetensors with bytes after the last tensor": (MalformedSource, "6 bytes at the end"),
    "safetensors that announces a header of 2^63 bytes": (MalformedSource, "9223372036854775808 bytes"),
    "safetensors that announces a header beyond the file": (MalformedSource, "50000000 bytes"),
    "safetensors with overlapping tensors": (MalformedSource, "'a' and 'b' in model.safetensors overlap"),
    "safetensors with a hole between tensors": (MalformedSource, "belong to no tensor"),
    "safetensors with a tensor twice": (MalformedSource, "the key 'a' twice"),
    "safetensors whose shape does not fit its bytes": (MalformedSource, "needs 36 bytes and 16 are given"),
    "safetensors with a negative dimension": (MalformedSource, "natural numbers"),
    "safetensors with a dimension of 10^30": (MalformedSource, "natural numbers"),
    "safetensors with a fractional offset": (MalformedSource, "two natural numbers"),
    "safetensors with offsets in reverse": (MalformedSource, "in order"),
    "safetensors of an unknown type": (MalformedSource, "'F4' is not supported"),
    "safetensors with a list as header": (MalformedSource, "not a JSON object"),
    "safetensors with a header that is not JSON": (MalformedSource, "not JSON"),
    "safetensors whose tensor is a number": (MalformedSource, "not exactly dtype, shape and data_offsets"),
    "safetensors with a deeply nested header": (MalformedSource, "nested too deeply"),
    "safetensors with millions of empty lists": (MalformedSource, "more than 500000 tensors"),
    "safetensors with a number of 10,000 digits": (MalformedSource, "not JSON"),
    "a page of HTML called model.safetensors": (MalformedSource, "text file"),
    "a Git LFS pointer called model.safetensors": (MalformedSource, "Git LFS pointer"),
    # weights
    "weights with three NaN": (MalformedSource, "up_proj.weight' has 3 of 128 weights that are NaN or infinite"),
    "weights with an infinity": (MalformedSource, "1 of 128 weights"),
    "weights narrower than the config says": (MalformedSource, "has shape (20, 8) and the config announces"),
    "weights with fewer layers than the config says": (MalformedSource, "no weights of layer 1"),
    # folders
    "an empty folder": (SourceNotFound, "no model in this folder"),
    "a folder with a read-me only": (SourceNotFound, "no model in this folder"),
    "a path that does not exist": (SourceNotFound, "there is no"),
    "a folder where model.safetensors should be a file": (SourceNotFound, "a folder where a file belongs"),
    "weights without permission to read": (SourceNotFound, "no permission"),
    "a folder without permission to read": (SourceNotFound, "no permission"),
    "config.json that is a page of HTML": (MalformedSource, "page of HTML"),
    "config.json that is empty": (MalformedSource, "not JSON"),
    "config.json that is a list": (MalformedSource, "not a JSON object"),
    "config.json nested 100,000 deep": (MalformedSource, "nested too deeply"),
    "config.json with a key twice": (MalformedSource, "'hidden_size' twice"),
    "config.json in no encoding": (MalformedSource, "not JSON"),
    "config.json of 20 MB": (MalformedSource, "more than"),
    # shard indexes
    "an index that leads out of its folder": (UnsafeSource, "outside its folder"),
    "an index with an absolute path": (UnsafeSource, "outside its folder"),
    "an index with a Windows path": (UnsafeSource, "outside its folder"),
    "an index that names a pickle": (UnsafeSource, "not safetensors"),
    "an index that names a missing shard": (MalformedSource, "three.safetensors, which is not there"),
    "an index that puts a tensor in the wrong shard": (MalformedSource, "is in two.safetensors, but it is in one"),
    "an index that lacks a tensor of its shard": (MalformedSource, "is not in model.safetensors.index.json"),
    "an index without a map": (MalformedSource, "no weight_map"),
    "a shard that is a link out of its folder": (UnsafeSource, "leads out of its folder"),
    "two files that hold the same tensor": (MalformedSource, "is in both one.safetensors and two.safetensors"),
    # pickles
    "a folder with pytorch_model.bin only": (UnsafeSource, "pickle"),
    "a .pt file": (UnsafeSource, "pickle"),
    "a pickle under another name": (UnsafeSource, "pickle"),
    "a torch archive called model.safetensors": (UnsafeSource, "torch archive"),
    # GGUF
    "GGUF with a wrong magic": (MalformedSource, "begins with b'GGML'"),
    "GGUF of five bytes": (MalformedSource, "the version needs 4 bytes"),
    "GGUF of version 99": (MalformedSource, "version 99 is not supported"),
    "GGUF that is big-endian": (MalformedSource, "big-endian"),
    "GGUF with 2^60 tensors": (MalformedSource, "1152921504606846976 tensors"),
    "GGUF with 2^60 pieces of metadata": (MalformedSource, "1152921504606846976 pieces of metadata"),
    "GGUF with a string of 2^60 bytes": (MalformedSource, "announces 1152921504606846976 bytes"),
    "GGUF with an array of 2^60 strings": (MalformedSource, "announces 1152921504606846976 elements"),
    "GGUF with five million numbers": (MalformedSource, "more than 4000000 elements"),
    "GGUF with arrays nested 60 deep": (MalformedSource, "nested more than 2 deep"),
    "GGUF with metadata of an unknown type": (MalformedSource, "unknown type 77"),
    "GGUF with an array of an unknown type": (MalformedSource, "unknown type 77"),
    "GGUF with a key twice": (MalformedSource, "'general.architecture' twice"),
    "GGUF with a tensor of an unknown type": (MalformedSource, "unknown type 999"),
    "GGUF with a tensor of 40 dimensions": (MalformedSource, "40 dimensions"),
    "GGUF with a dimension of 2^63": (MalformedSource, "impossible shape"),
    "GGUF with half a block": (MalformedSource, "blocks of Q8_0"),
    "GGUF with overlapping tensors": (MalformedSource, "overlap"),
    "GGUF with an unaligned tensor": (MalformedSource, "not aligned"),
    "GGUF with a tensor twice": (MalformedSource, "two tensors 'token_embd.weight'"),
    "GGUF whose data are cut off": (MalformedSource, "truncated, or it lies"),
    "GGUF whose header is cut off": (MalformedSource, "the file has 50"),
    "GGUF aligned to 33 bytes": (MalformedSource, "not a power of two"),
    "GGUF with a weight that is not a number": (MalformedSource, "1 of 32 weights"),
    "a page of HTML called model.gguf": (MalformedSource, "begins with b'<!DO'"),
    # tokenizers and others
    "a tokenizer.json that gives one id to two tokens": (MalformedSource, "id"),
    "a tokenizer.json that is a page of HTML": (MalformedSource, ""),
    "a file of no known kind": (UsageError, "no kind that can be read"),
}

NOBODY = 65534
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@contextmanager
def ordinary_rights(scenario: str, folder: Path) -> Iterator[None]:
    """Root may read everything, so the scenarios about permission are run with the rights of nobody."""
    if "without permission" not in scenario or not AS_ROOT:
        yield
        return
    read_everything(make("a folder without a tokenizer", folder / "good"))  # imports need rights of their own
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def read_everything(path: Path) -> None:
    """What an examination does at most: open, configuration, tokenizer, roles, every weight."""
    source = open_source(path)
    source.configuration()
    source.tokenizer()
    tensors = source.tensors()
    if isinstance(tensors, Absent):
        return
    for name in tensors.names():
        tensors.read(name)
    decoder = decoder_of(source)
    if isinstance(decoder, Decoder):
        for role in decoder.roles():
            decoder.read(role)


def test_the_table_is_complete() -> None:
    assert set(TABLE) | {"a folder without a tokenizer"} == set(MAKERS)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter: pytest's own are closed to others, and would hide what is tested."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        for path in Path(folder).rglob("*"):
            path.chmod(0o700)


@pytest.mark.parametrize("scenario", TABLE)
def test_one_clear_error_with_advice(scenario: str, open_folder: Path) -> None:
    error, said = TABLE[scenario]
    path = make(scenario, open_folder / "exhibit")
    with pytest.raises(error) as raised, ordinary_rights(scenario, open_folder):
        read_everything(path)
    assert said in str(raised.value)
    assert raised.value.advice
    assert raised.value.exhibit
    assert len(str(raised.value)) < 1000
    assert not list(open_folder.rglob("it_ran")), "a pickle was run"


@pytest.mark.parametrize("scenario", [name for name in TABLE if "permission" not in name])
def test_an_identity_fails_with_a_source_error_or_not_at_all(scenario: str, tmp_path: Path) -> None:
    path = make(scenario, tmp_path / "exhibit")
    try:
        identity = open_source(path).identity()
    except (SourceError, UsageError):
        return
    assert identity.name


def test_missing_tokenizer_is_absent_with_the_reason(tmp_path: Path) -> None:
    source = open_source(make("a folder without a tokenizer", tmp_path / "exhibit"))
    answer = source.tokenizer()
    assert isinstance(answer, Absent)
    assert "no tokenizer.json" in answer.reason
    assert isinstance(decoder_of(source), Decoder)


def test_a_file_that_shrinks_while_open_is_an_error_and_no_crash(tmp_path: Path) -> None:
    folder = make("a folder without a tokenizer", tmp_path / "exhibit")
    tensors = open_source(folder).tensors()
    assert not isinstance(tensors, Absent)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(MalformedSource, match="not there"):
        tensors.read(tensors.names()[0])
