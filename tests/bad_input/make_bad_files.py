"""Writes every hostile or broken exhibit of `test_bad_input.py` as real files: `python make_bad_files.py FOLDER`.

Each maker below gets an empty folder and returns the path that a user would type.
"""

from __future__ import annotations

import json
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Maker = Callable[[Path], Path]
MAKERS: dict[str, Maker] = {}


def scenario(name: str) -> Callable[[Maker], Maker]:
    def add(maker: Maker) -> Maker:
        MAKERS[name] = maker
        return maker

    return add


# --------------------------------------------------------------------------------------------------------- safetensors


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with any header, honest or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def weights(folder: Path, content: bytes) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return path


GOOD = {"a": tensor([2, 2], 0, 16), "b": tensor([4], 16, 24, "BF16")}

SAFETENSORS: dict[str, bytes] = {
    "safetensors of three bytes": b"\x01\x00\x00",
    "safetensors whose header is cut off": safetensors(GOOD, bytes(24))[:40],
    "safetensors whose data are cut off": safetensors(GOOD, bytes(24))[:-5],
    "safetensors with bytes after the last tensor": safetensors(GOOD, bytes(30)),
    "safetensors that announces a header of 2^63 bytes": safetensors(GOOD, bytes(24), length=1 << 63),
    "safetensors that announces a header beyond the file": safetensors(GOOD, bytes(24), length=50_000_000),
    "safetensors with overlapping tensors": safetensors({"a": tensor([4], 0, 16), "b": tensor([4], 8, 24)}, bytes(24)),
    "safetensors with a hole between tensors": safetensors(
        {"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, bytes(12)
    ),
    "safetensors with a tensor twice": safetensors(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "safetensors whose shape does not fit its bytes": safetensors({"a": tensor([3, 3], 0, 16)}, bytes(16)),
    "safetensors with a negative dimension": safetensors({"a": tensor([-2, -2], 0, 16)}, bytes(16)),
    "safetensors with a dimension of 10^30": safetensors({"a": tensor([10**30, 0], 0, 0)}),
    "safetensors with a fractional offset": safetensors({"a": tensor([1], 0, 4.0)}, bytes(4)),  # type: ignore[arg-type]
    "safetensors with offsets in reverse": safetensors({"a": tensor([1], 4, 0)}, bytes(4)),
    "safetensors of an unknown type": safetensors({"a": tensor([2], 0, 1, "F4")}, bytes(1)),
    "safetensors with a list as header": safetensors(b"[1, 2, 3]"),
    "safetensors with a header that is not JSON": safetensors(b"\xff\xfe{{{"),
    "safetensors whose tensor is a number": safetensors({"a": 5}),
    "safetensors with a deeply nested header": safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "safetensors with millions of empty lists": safetensors(b'{"a":[' + b"[]," * 1_200_000 + b"[]]}"),
    "safetensors with a number of 10,000 digits": safetensors(b'{"a":' + b"9" * 10_000 + b"}"),
    "a page of HTML called model.safetensors": b"<!DOCTYPE html><html><body>Not found</body></html>",
    "a Git LFS pointer called model.safetensors": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}

for _name, _content in SAFETENSORS.items():
    MAKERS[_name] = lambda folder, content=_content: weights(folder, content)


# -------------------------------------------------------------------------------------------------------------- folders

CONFIG = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 20,
    "tie_word_embeddings": True,
}


def llama_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"model.embed_tokens.weight": (20, 8), "model.norm.weight": (8,)}
    layer = "model.layers.0."
    shapes |= {f"{layer}self_attn.{part}_proj.weight": (8, 8) for part in "qkvo"}
    shapes |= {f"{layer}mlp.gate_proj.weight": (16, 8), f"{layer}mlp.up_proj.weight": (16, 8)}
    shapes |= {f"{layer}mlp.down_proj.weight": (8, 16)}
    shapes |= {f"{layer}{part}_layernorm.weight": (8,) for part in ("input", "post_attention")}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def stored(arrays: dict[str, np.ndarray]) -> bytes:
    header, data = {}, b""
    for name, array in arrays.items():
        header[name] = tensor(list(array.shape), len(data), len(data) + array.nbytes)
        data += array.tobytes()
    return safetensors(header, data)


def llama_folder(folder: Path, arrays: dict[str, np.ndarray] | None = None, config: Any = None) -> Path:
    weights(folder, stored(llama_arrays() if arrays is None else arrays))
    (folder / "config.json").write_text(json.dumps(CONFIG | (config or {})))
    return folder


@scenario("weights with three NaN")
def _nan(folder: Path) -> Path:
    arrays = llama_arrays()
    arrays["model.layers.0.mlp.up_proj.weight"].ravel()[[0, 7, 9]] = np.nan
    return llama_folder(folder, arrays)


@scenario("weights with an infinity")
def _infinite(folder: Path) -> Path:
    arrays = llama_arrays()
    arrays["model.layers.0.mlp.up_proj.weight"][1, 1] = -np.inf
    return llama_folder(folder, arrays)


@scenario("weights narrower than the config says")
def _narrow(folder: Path) -> Path:
    return llama_folder(folder, config={"hidden_size": 16})


@scenario("weights with fewer layers than the config says")
def _shallow(folder: Path) -> Path:
    return llama_folder(folder, config={"num_hidden_layers": 2})


@scenario("an empty folder")
def _empty(folder: Path) -> Path:
    return folder


@scenario("a folder with a read-me only")
def _read_me(folder: Path) -> Path:
    (folder / "README.md").write_text("# a model")
    return folder


@scenario("a path that does not exist")
def _nowhere(folder: Path) -> Path:
    return folder / "nothing.safetensors"


@scenario("a folder where model.safetensors should be a file")
def _folder_for_file(folder: Path) -> Path:
    (folder / "model.safetensors").mkdir()
    return folder


@scenario("weights without permission to read")
def _locked(folder: Path) -> Path:
    path = weights(folder, stored(llama_arrays()))
    path.chmod(0)
    return path


@scenario("a folder without permission to read")
def _locked_folder(folder: Path) -> Path:
    llama_folder(folder)
    folder.chmod(0)
    return folder


CONFIGS: dict[str, bytes] = {
    "config.json that is a page of HTML": b"\n<html>404</html>",
    "config.json that is empty": b"",
    "config.json that is a list": b"[]",
    "config.json nested 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "config.json with a key twice": b'{"hidden_size": 8, "hidden_size": 16}',
    "config.json in no encoding": b'{"a": "\xff\xfe"}',
    "config.json of 20 MB": b'{"a": "' + b"x" * 20_000_000 + b'"}',
}


def _config(folder: Path, content: bytes) -> Path:
    (folder / "config.json").write_bytes(content)
    return folder


for _name, _content in CONFIGS.items():
    MAKERS[_name] = lambda folder, content=_content: _config(folder, content)


def sharded(folder: Path, weight_map: Any) -> Path:
    arrays = llama_arrays()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "one.safetensors").write_bytes(stored(arrays))
    (folder / "two.safetensors").write_bytes(stored({"extra": np.zeros(1, np.float32)}))
    index = {"metadata": {}, "weight_map": weight_map(arrays)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


INDEXES: dict[str, Callable[[dict[str, np.ndarray]], Any]] = {
    "an index that leads out of its folder": lambda arrays: dict.fromkeys(arrays, "../../etc/secret.safetensors"),
    "an index with an absolute path": lambda arrays: dict.fromkeys(arrays, "/etc/secret.safetensors"),
    "an index with a Windows path": lambda arrays: dict.fromkeys(arrays, "..\\secret.safetensors"),
    "an index that names a pickle": lambda arrays: dict.fromkeys(arrays, "pytorch_model.bin"),
    "an index that names a missing shard": lambda arrays: dict.fromkeys(arrays, "three.safetensors"),
    "an index that puts a tensor in the wrong shard": lambda arrays: (
        dict.fromkeys(arrays, "one.safetensors") | {"model.norm.weight": "two.safetensors"}
    ),
    "an index that lacks a tensor of its shard": lambda arrays: dict.fromkeys(list(arrays)[1:], "one.safetensors"),
    "an index without a map": lambda arrays: list(arrays),
}

for _name, _map in INDEXES.items():
    MAKERS[_name] = lambda folder, made=_map: sharded(folder, made)


@scenario("a shard that is a link out of its folder")
def _linked(folder: Path) -> Path:
    inside = folder / "model"
    inside.mkdir()
    (folder / "secret.safetensors").write_bytes(stored(llama_arrays()))
    (inside / "model.safetensors").symlink_to(folder / "secret.safetensors")
    (inside / "config.json").write_text(json.dumps(CONFIG))
    return inside


@scenario("two files that hold the same tensor")
def _same_tensor(folder: Path) -> Path:
    for name in ("one", "two"):
        (folder / f"{name}.safetensors").write_bytes(stored(llama_arrays()))
    return folder


# -------------------------------------------------------------------------------------------------------------- pickles


class _Bomb:
    """Unpickling this writes a file next to it: the tests look that nobody did."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


@scenario("a folder with pytorch_model.bin only")
def _bin(folder: Path) -> Path:
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Bomb(folder / "it_ran")))
    return folder


@scenario("a .pt file")
def _pt(folder: Path) -> Path:
    path = folder / "model.pt"
    path.write_bytes(pickle.dumps(_Bomb(folder / "it_ran")))
    return path


@scenario("a pickle under another name")
def _disguised(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(pickle.dumps(_Bomb(folder / "it_ran")))
    return path


@scenario("a torch archive called model.safetensors")
def _archive(folder: Path) -> Path:
    path = folder / "model.safetensors"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Bomb(folder / "it_ran")))
    return path


# ----------------------------------------------------------------------------------------------------------------- GGUF


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf(
    tensors: list[bytes] = [],  # noqa: B006
    metadata: list[bytes] = [],  # noqa: B006
    data: bytes = b"",
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    tensor_count: int | None = None,
    key_count: int | None = None,
) -> bytes:
    """A GGUF file with any header, honest or not."""
    head = magic + struct.pack(
        "<IQQ",
        version,
        len(tensors) if tensor_count is None else tensor_count,
        len(metadata) if key_count is None else key_count,
    )
    head += b"".join(metadata) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


def described(name: str, shape: list[int], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


ARCHITECTURE = text("general.architecture") + struct.pack("<I", 8) + text("llama")
ONE = described("token_embd.weight", [8, 4], 0, 0)


def array(key: str, inner: int, count: int, content: bytes = b"") -> bytes:
    return text(key) + struct.pack("<IIQ", 9, inner, count) + content


NESTED = struct.pack("<IQ", 9, 1) * 60 + struct.pack("<IQ", 4, 0)

GGUFS: dict[str, bytes] = {
    "GGUF with a wrong magic": gguf([ONE], [ARCHITECTURE], bytes(128), magic=b"GGML"),
    "GGUF of five bytes": b"GGUF\x03",
    "GGUF of version 99": gguf([ONE], [ARCHITECTURE], bytes(128), version=99),
    "GGUF that is big-endian": gguf([ONE], [ARCHITECTURE], bytes(128), version=3 << 24),
    "GGUF with 2^60 tensors": gguf([ONE], [ARCHITECTURE], bytes(128), tensor_count=1 << 60),
    "GGUF with 2^60 pieces of metadata": gguf([ONE], [ARCHITECTURE], bytes(128), key_count=1 << 60),
    "GGUF with a string of 2^60 bytes": gguf(metadata=[text("k") + struct.pack("<IQ", 8, 1 << 60)], data=bytes(64)),
    "GGUF with an array of 2^60 strings": gguf(metadata=[array("k", 8, 1 << 60)], data=bytes(64)),
    "GGUF with five million numbers": gguf(metadata=[array("k", 0, 5_000_000)], data=bytes(5_000_000)),
    "GGUF with arrays nested 60 deep": gguf(metadata=[array("k", 9, 1, NESTED)], data=bytes(64)),
    "GGUF with metadata of an unknown type": gguf(metadata=[text("k") + struct.pack("<I", 77)], data=bytes(64)),
    "GGUF with an array of an unknown type": gguf(metadata=[array("k", 77, 1)], data=bytes(64)),
    "GGUF with a key twice": gguf([ONE], [ARCHITECTURE, ARCHITECTURE], bytes(128)),
    "GGUF with a tensor of an unknown type": gguf([described("t", [8, 4], 999, 0)], [ARCHITECTURE], bytes(128)),
    "GGUF with a tensor of 40 dimensions": gguf([described("t", [1] * 40, 0, 0)], [ARCHITECTURE], bytes(128)),
    "GGUF with a dimension of 2^63": gguf([described("t", [1 << 63], 0, 0)], [ARCHITECTURE], bytes(128)),
    "GGUF with half a block": gguf([described("t", [33, 1], 8, 0)], [ARCHITECTURE], bytes(128)),
    "GGUF with overlapping tensors": gguf([ONE, described("u", [8, 4], 0, 64)], [ARCHITECTURE], bytes(256)),
    "GGUF with an unaligned tensor": gguf([described("t", [8, 4], 0, 7)], [ARCHITECTURE], bytes(256)),
    "GGUF with a tensor twice": gguf([ONE, ONE], [ARCHITECTURE], bytes(256)),
    "GGUF whose data are cut off": gguf([ONE], [ARCHITECTURE], bytes(100)),
    "GGUF whose header is cut off": gguf([ONE], [ARCHITECTURE], bytes(128))[:50],
    "GGUF aligned to 33 bytes": gguf(
        [ONE], [ARCHITECTURE, text("general.alignment") + struct.pack("<II", 4, 33)], bytes(128)
    ),
    "a page of HTML called model.gguf": b"<!DOCTYPE html><html></html>",
}


def _gguf(folder: Path, content: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(content)
    return path


for _name, _content in GGUFS.items():
    MAKERS[_name] = lambda folder, content=_content: _gguf(folder, content)


@scenario("GGUF with a weight that is not a number")
def _gguf_nan(folder: Path) -> Path:
    data = np.full(32, 1.0, np.float32)
    data[5] = np.nan
    return _gguf(folder, gguf([ONE], [ARCHITECTURE], data.tobytes()))


# ---------------------------------------------------------------------------------------------------------- tokenizers


@scenario("a folder without a tokenizer")
def _no_tokenizer(folder: Path) -> Path:
    return llama_folder(folder)


@scenario("a tokenizer.json that gives one id to two tokens")
def _duplicate_ids(folder: Path) -> Path:
    model = {"type": "BPE", "vocab": {"a": 0, "b": 0, "ab": 1}, "merges": ["a b"]}
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({"model": model, "added_tokens": []}))
    return path


@scenario("a tokenizer.json that is a page of HTML")
def _html_tokenizer(folder: Path) -> Path:
    path = folder / "tokenizer.json"
    path.write_text("<html>log in</html>")
    return path


@scenario("a file of no known kind")
def _unknown_kind(folder: Path) -> Path:
    path = folder / "notes.txt"
    path.write_text("hello")
    return path


def make(name: str, folder: Path) -> Path:
    """Write one scenario into an empty folder; returns the path that a user would type."""
    folder.mkdir(parents=True, exist_ok=True)
    return MAKERS[name](folder)


def main() -> None:
    root = Path(sys.argv[1])
    for number, name in enumerate(MAKERS):
        print(f"{make(name, root / f'{number:02d}')}\t{name}")


if __name__ == "__main__":
    main()
