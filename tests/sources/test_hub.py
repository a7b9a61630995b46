"""Ranged reads from a real HTTP server on this machine, with the faults that real ones have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("huggingface_hub", reason="reading from a hub needs the extra hub")

from safetensors.numpy import save_file

from filiation.errors import FiliationError, MalformedSource, SourceNotFound, UnsafeSource, UsageError
from filiation.evidence import Absent
from filiation.sources import hub as hub_module
from filiation.sources.families import Decoder, Role, decoder_of
from filiation.sources.hub import Connection, HubSource
from filiation.sources.open import open_source
from tests.sources.hub_server import COMMIT, REPOSITORY, Hub, serve

WIDTH, UNITS, TOKENS = 256, 512, 3000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama-shaped folder in two shards of some megabytes."""
    where, rng = tmp_path_factory.mktemp("hub"), np.random.default_rng(0)
    shapes = {"model.embed_tokens.weight": (TOKENS, WIDTH), "model.norm.weight": (WIDTH,)}
    for layer in range(2):
        names = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "o": (WIDTH, WIDTH)}
        shapes |= {f"model.layers.{layer}.self_attn.{n}_proj.weight": shape for n, shape in names.items()}
        names = {"gate": (UNITS, WIDTH), "up": (UNITS, WIDTH), "down": (WIDTH, UNITS)}
        shapes |= {f"model.layers.{layer}.mlp.{n}_proj.weight": shape for n, shape in names.items()}
        shapes |= {f"model.layers.{layer}.{n}_layernorm.weight": (WIDTH,) for n in ("input", "post_attention")}
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    first = {n: t for n, t in tensors.items() if "layers.1" not in n}
    second = {n: t for n, t in tensors.items() if "layers.1" in n}
    save_file(first, where / "model-00001-of-00002.safetensors")
    save_file(second, where / "model-00002-of-00002.safetensors")
    weight_map = dict.fromkeys(first, "model-00001-of-00002.safetensors")
    weight_map |= dict.fromkeys(second, "model-00002-of-00002.safetensors")
    (where / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    config = {
        "model_type": "llama",
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "intermediate_size": UNITS,
        "vocab_size": TOKENS,
        "num_attention_heads": 4,
        "tie_word_embeddings": True,
    }
    (where / "config.json").write_text(json.dumps(config))
    return where


@pytest.fixture
def hub(folder: Path) -> Iterator[Hub]:
    with serve(folder) as server:
        yield server


def connect(hub: Hub, location: str = REPOSITORY, slept: list[float] | None = None, **settings: float) -> HubSource:
    waits = [] if slept is None else slept
    connection = Connection(endpoint=hub.endpoint, sleep=waits.append, **({"timeout": 10.0, "attempts": 3} | settings))
    return HubSource(location, connection=connection)


def decoder(source: HubSource) -> Decoder:
    made = decoder_of(source)
    assert isinstance(made, Decoder)
    return made


def test_tensors_against_the_same_folder_on_disk(hub: Hub, folder: Path) -> None:
    local, remote = decoder_of(open_source(folder)), decoder(connect(hub))
    assert isinstance(local, Decoder)
    assert remote.roles() == local.roles()
    for role in local.roles():
        np.testing.assert_array_equal(remote.read(role), local.read(role), err_msg=role.text)
    rows = np.array([2999, 3, 4, 5, 1500, 3])
    embedding = Role(-1, "embedding")
    np.testing.assert_array_equal(remote.read_rows(embedding, rows), local.read_rows(embedding, rows))


def test_only_what_is_needed_travels(hub: Hub, folder: Path) -> None:
    source = connect(hub)
    remote = decoder(source)
    headers = hub.bytes_sent
    rows = np.arange(0, TOKENS, 300)
    remote.read_rows(Role(-1, "embedding"), rows)
    remote.read(Role(1, "gate"))
    # Ten rows and one matrix; rows inside the first bytes of a file came with its header.
    assert hub.bytes_sent - headers <= len(rows) * WIDTH * 4 + UNITS * WIDTH * 4
    tensors = source.tensors()
    assert not isinstance(tensors, Absent)
    weights = [f for f in folder.iterdir() if f.suffix == ".safetensors"]
    assert tensors.bytes_total == sum(f.stat().st_size for f in weights)
    sent = sum(end - start for name, start, end in hub.ranges if name.endswith(".safetensors"))
    assert tensors.bytes_read == sent < tensors.bytes_total / 2


def test_revision_is_pinned_to_a_commit(hub: Hub) -> None:
    for location in (REPOSITORY, f"{REPOSITORY}@main"):
        source = connect(hub, location)
        assert source.location == f"{REPOSITORY}@{COMMIT}"
        assert source.name == REPOSITORY
    decoder(source)
    assert all(COMMIT in path for path in hub.asked if "/resolve/" in path)


def test_identity_tells_claimed_from_read(hub: Hub) -> None:
    source = connect(hub)
    decoder(source).read(Role(0, "gate"))
    identity = source.identity()
    basis = {record.name: record.basis for record in identity.files}
    assert basis["model-00001-of-00002.safetensors"] == "claimed"
    assert basis["config.json"] == "read"
    assert identity.content_id is None
    assert 0 < identity.coverage < 1
    assert list(identity.tensor_sha256) == ["layers.0.gate"]


def test_tensor_digests_do_not_depend_on_the_way_they_were_read(hub: Hub, folder: Path) -> None:
    source = connect(hub)
    decoder(source).read(Role(0, "gate"))
    local = open_source(folder).identity()
    assert source.identity().tensor_sha256["layers.0.gate"] == local.tensor_sha256["layers.0.gate"]


def test_redirects_are_followed_once_and_carry_no_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.redirects = True
    remote = decoder(connect(hub))
    for part in ("gate", "up", "down"):
        remote.read(Role(1, part))
    resolved = [n for path, n in hub.asked.items() if path.endswith("00002-of-00002.safetensors") and "resolve" in path]
    assert resolved == [1]
    assert any("/api/" in path for path in hub.authorised)


PASSING = {"429": "429", "500": "500", "503": "503", "half a body": "half a body", "short": "short but well-formed"}


@pytest.mark.parametrize("fault", PASSING)
def test_passing_faults_are_outlived(fault: str, hub: Hub) -> None:
    slept: list[float] = []
    source = connect(hub, slept=slept)
    decoder(source)
    hub.misbehave(PASSING[fault], times=2)
    assert decoder(source).read(Role(1, "gate")).shape == (UNITS, WIDTH)
    assert slept == ([3.0, 3.0] if fault.isdigit() else [1.0, 2.0])


LASTING = {
    "always 429": ("429", SourceNotFound, "answered 429"),
    "always 500": ("500", SourceNotFound, "answered 500"),
    "a page of HTML": ("html", SourceNotFound, "page of HTML"),
    "half a body each time": ("half a body", SourceNotFound, "attempts"),
    "too few bytes each time": ("short but well-formed", SourceNotFound, "bytes came"),
    "the server hangs": ("hang", SourceNotFound, "no answer within"),
    "another range than asked": ("another range", MalformedSource, "another range"),
    "Range is ignored": ("ignores Range", MalformedSource, "ignores ranges"),
    "gated": ("gated", SourceNotFound, "gated"),
    "file is gone": ("404", SourceNotFound, "no such"),
}


@pytest.mark.parametrize("scenario", LASTING)
def test_lasting_faults_are_one_clear_error(scenario: str, hub: Hub) -> None:
    fault, error, said = LASTING[scenario]
    source = connect(hub, timeout=1.0, attempts=1) if fault == "hang" else connect(hub)
    decoder(source)
    hub.misbehave(fault)
    with pytest.raises(error, match=said) as raised:
        decoder(source).read(Role(1, "gate"))
    assert raised.value.advice
    assert raised.value.exhibit == REPOSITORY


@pytest.mark.parametrize("fault", ["html", "gated", "500", "hang"])
def test_faults_of_the_api_are_one_clear_error(fault: str, hub: Hub) -> None:
    hub.misbehave(fault, on="/api/")
    with pytest.raises(SourceNotFound) as raised:
        connect(hub, timeout=1.0, attempts=1) if fault == "hang" else connect(hub)
    assert raised.value.advice


def test_unknown_repository_and_revision(hub: Hub) -> None:
    with pytest.raises(SourceNotFound, match="does not exist"):
        connect(hub, "nobody/nothing")
    with pytest.raises(SourceNotFound, match="no such revision"):
        connect(hub, f"{REPOSITORY}@gone")


def test_server_that_is_not_there(folder: Path) -> None:
    with serve(folder) as gone:
        pass
    with pytest.raises(SourceNotFound, match="connection failed"):
        connect(gone)


def test_small_file_that_is_not_what_the_hub_claims(hub: Hub) -> None:
    hub.claimed["config.json"] = "0" * 64
    with pytest.raises(MalformedSource, match="not what the hub says"):
        connect(hub).configuration()


def test_pickle_only_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with serve(tmp_path) as server, pytest.raises(UnsafeSource, match="pickle"):
        connect(server)


def test_single_gguf_and_several(tmp_path: Path) -> None:
    from tests.sources.test_gguf_file import NUMBERS, llama_tensors, write

    keys = {f"llama__{key}": value for key, value in NUMBERS.items()}
    write(tmp_path / "one.gguf", llama_tensors("llama", np.random.default_rng(0)), **keys)
    local = decoder_of(open_source(tmp_path))
    assert isinstance(local, Decoder)
    with serve(tmp_path) as server:
        remote = decoder(connect(server))
        np.testing.assert_array_equal(remote.read(Role(1, "query")), local.read(Role(1, "query")))
    (tmp_path / "two.gguf").write_bytes((tmp_path / "one.gguf").read_bytes())
    with serve(tmp_path) as server, pytest.raises(UsageError, match="2 GGUF files"):
        connect(server).tensors()


def test_hub_ids_are_opened_as_such(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """`open_source` has no connection to set, so the endpoint is the one that huggingface_hub is configured with."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(hub_module, "Connection", lambda: Connection(endpoint=hub.endpoint, timeout=10.0))
    source = open_source(f"{REPOSITORY}@main", lineage_id="ours")
    assert (source.format, source.identity().lineage_id) == ("hub", "ours")


def test_every_error_is_ours(hub: Hub) -> None:
    """Foreign exceptions are translated: a failure is always a FiliationError."""
    for fault in ("418", "302", "another range"):
        source = connect(hub)
        hub.misbehave(fault)
        with pytest.raises(FiliationError):
            source.tensors()
        hub.misbehave("", times=0)
