"""What a person may type, and what each source then says it has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from filiation.errors import MissingExtra, SourceNotFound, UnsafeSource, UsageError
from filiation.evidence import Absent
from filiation.sources.families import decoder_of
from filiation.sources.folder import FolderSource
from filiation.sources.identity import identity_of
from filiation.sources.open import open_source
from filiation.sources.simulated import KINDS, world
from tests.bad_input.make_bad_files import CONFIG, llama_arrays, llama_folder, stored
from tests.sources.test_gguf_file import NUMBERS, llama_tensors, write

TOKENIZER = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}, "added_tokens": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    where = tmp_path / "model-x"
    where.mkdir()
    llama_folder(where)
    (where / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    return where


def parts(source: object) -> dict[str, bool]:
    names = ("configuration", "tokenizer", "tensors")
    return {name: not isinstance(getattr(source, name)(), Absent) for name in names}


WHAT_IS_THERE = {
    "": ("folder", "model-x", {"configuration": True, "tokenizer": True, "tensors": True}),
    "model.safetensors": ("safetensors", "model-x", {"configuration": False, "tokenizer": False, "tensors": True}),
    "config.json": ("folder", "model-x", {"configuration": True, "tokenizer": False, "tensors": False}),
    "tokenizer.json": ("folder", "model-x", {"configuration": False, "tokenizer": True, "tensors": False}),
}


@pytest.mark.parametrize("file", WHAT_IS_THERE)
def test_parts_that_are_there_and_reasons_for_those_that_are_not(file: str, folder: Path) -> None:
    source = open_source(folder / file if file else folder)
    assert (source.format, source.name, parts(source)) == WHAT_IS_THERE[file]
    for part in (source.configuration(), source.tokenizer(), source.tensors()):
        assert not isinstance(part, Absent) or part.reason
    identity = source.identity()
    assert all(record.sha256 and record.basis == "read" for record in identity.files)
    assert (identity.tokenizer_sha256 is None) == (not parts(source)["tokenizer"])
    assert (identity.content_id is None) == (not parts(source)["tensors"])


@pytest.mark.parametrize("keep", ["config.json", "tokenizer.json", "model.safetensors"])
def test_folder_with_one_part_only(keep: str, folder: Path) -> None:
    for file in folder.iterdir():
        if file.name != keep:
            file.unlink()
    source = open_source(folder)
    there = {"config.json": "configuration", "tokenizer.json": "tokenizer", "model.safetensors": "tensors"}[keep]
    assert [part for part, present in parts(source).items() if present] == [there]
    assert source.identity().files[0].name == keep
    if keep != "model.safetensors":
        assert isinstance(decoder_of(source), Absent)


def test_names_and_lineages_are_what_was_given(folder: Path) -> None:
    identity = open_source(folder, name="the suspect", lineage_id="theirs").identity()
    assert (identity.name, identity.lineage_id, identity.lineage_basis) == ("the suspect", "theirs", "declared")
    assert open_source(folder).identity().lineage_basis == "unknown"


def test_folder_of_one_gguf_and_of_two(tmp_path: Path) -> None:
    keys = {f"llama__{key}": value for key, value in NUMBERS.items()}
    import numpy as np

    write(tmp_path / "m-q8.gguf", llama_tensors("llama", np.random.default_rng(0)), **keys)
    source = open_source(tmp_path)
    assert (source.format, source.name) == ("gguf", "m-q8")
    assert isinstance(source.tokenizer(), Absent)
    (tmp_path / "m-q4.gguf").write_bytes((tmp_path / "m-q8.gguf").read_bytes())
    with pytest.raises(UsageError, match="2 GGUF files"):
        open_source(tmp_path)


def test_links_into_the_hub_cache_are_followed_and_others_are_not(tmp_path: Path) -> None:
    """The hub's cache keeps blobs/HASH and links to them from snapshots/COMMIT."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / ("0" * 40)
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "1234").write_text(json.dumps(CONFIG))
    (snapshot / "config.json").symlink_to("../../blobs/1234")
    assert parts(open_source(snapshot))["configuration"]
    (tmp_path / "elsewhere.json").write_text(json.dumps(CONFIG))
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("../../elsewhere.json")
    with pytest.raises(UnsafeSource):
        open_source(snapshot).configuration()


def test_pickles_beside_safetensors_are_left_alone(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    (folder / "training_args.bin").write_bytes(b"\x80\x02.")
    assert parts(open_source(folder))["tensors"]


def test_shards_without_an_index(tmp_path: Path) -> None:
    arrays = llama_arrays()
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    for number, name in enumerate(arrays):
        (tmp_path / f"shard-{number}.safetensors").write_bytes(stored({name: arrays[name]}))
    tensors = open_source(tmp_path).tensors()
    assert not isinstance(tensors, Absent)
    assert set(tensors.names()) == set(arrays)


@pytest.mark.parametrize("text", ["openai:gpt@http://x", "anthropic:x"])
def test_endpoints_are_told_to_be_recorded_first(text: str) -> None:
    with pytest.raises(UsageError, match="has to be asked first"):
        open_source(text)


def test_recorded_answers_have_a_transcript_and_nothing_else(tmp_path: Path) -> None:
    file = world(1, labs=5, lineages=2, prompts=dict.fromkeys(KINDS, 2)).write(tmp_path / "answers.parquet")
    source = open_source(f"transcripts:{file}#lab-1-a")
    assert (source.format, source.name, source.lineage_id) == ("transcript", "lab-1-a", "lab-1-a")
    assert not any(parts(source).values())
    assert len(source.transcript().prompts) == 2 * len(KINDS)
    assert source.identity().content_id == source.transcript().sha256
    with pytest.raises(UsageError, match="none of its models"):
        open_source(f"transcripts:{file}#nobody")
    with pytest.raises(UsageError, match="answers of 22 models"):
        open_source(f"transcripts:{file}")
    with pytest.raises(SourceNotFound):
        open_source("transcripts:file#model")


@pytest.mark.parametrize("text", ["./no/such", "no\0path", "a/b/c", "nothing", "/nowhere/model.gguf", "x" * 5000])
def test_nonsense_is_not_found(text: str) -> None:
    with pytest.raises(SourceNotFound) as raised:
        open_source(text)
    assert raised.value.advice


def test_hub_id_without_the_extra_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra) as raised:
        open_source("organisation/name@main")
    assert "pip install" in raised.value.advice


def test_identity_of_parts_above_the_limit(folder: Path) -> None:
    """Above the limit only what was read in full is hashed, and the coverage says so."""
    source = open_source(folder)
    assert isinstance(source, FolderSource)
    tensors = source.tensors()
    assert not isinstance(tensors, Absent)
    tensors.read("model.norm.weight")
    steps: list[tuple[str, float]] = []
    partial = identity_of(source, limit=10, progress=lambda what, share: steps.append((what, share)))
    whole = identity_of(source)
    assert (partial.content_id, list(partial.tensor_sha256)) == (None, ["final_norm"])
    assert 0 < partial.coverage < 1
    assert {record.basis for record in partial.files} == {"not hashed"}
    assert partial.tensor_sha256["final_norm"] == whole.tensor_sha256["final_norm"]
    assert (whole.coverage, whole.bytes_read) == (1.0, whole.bytes_total)
    assert steps == [("hashing tensors", 1.0)]
    assert identity_of(source, everything=True, limit=10).content_id == whole.content_id
