"""Folders of the shape of real models and with random weights: what an examination of large files costs.

    base        Gaussian weights, written tensor by tensor
    related     base, laundered: MLP units renumbered per layer, hidden dimensions renumbered, neurons rescaled, and noise of
                5 % of each weight's standard deviation. A dense rotation of the residual stream is left out, because at a
                hidden size of 4096 making it costs more than examining it; the examination does the same work either way.
    stranger    the same shape from other random numbers

Random weights show what an examination costs. They show neither how strangers behave nor what can be found: real strangers
are correlated, real relatives were trained. Every weight depends only on the seed and the tensor's name, so that one
tensor is in memory at a time and a related copy needs no second pass over the first.
"""

from __future__ import annotations

import json
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

FOLDER = Path(__file__).parents[1] / ".cache" / "benchmarks"
SHARD_BYTES = 5_000_000_000
NOISE = 0.05
"""Standard deviation of the noise in the related copy, as a share of the weights' own."""
SEEDS = {"base": 101, "related": 101, "stranger": 202}
WEIGHT_DEVIATION = 0.02


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The dimensions of a Llama-like model."""

    name: str
    like: str
    width: int
    layers: int
    units: int
    heads: int
    groups: int
    vocabulary: int
    tied: bool

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes (outputs, inputs), in file order."""
        width, head = self.width, self.width // self.heads
        yield "model.embed_tokens.weight", (self.vocabulary, width)
        for layer in range(self.layers):
            place = f"model.layers.{layer}"
            yield f"{place}.input_layernorm.weight", (width,)
            yield f"{place}.self_attn.q_proj.weight", (width, width)
            yield f"{place}.self_attn.k_proj.weight", (self.groups * head, width)
            yield f"{place}.self_attn.v_proj.weight", (self.groups * head, width)
            yield f"{place}.self_attn.o_proj.weight", (width, width)
            yield f"{place}.post_attention_layernorm.weight", (width,)
            yield f"{place}.mlp.gate_proj.weight", (self.units, width)
            yield f"{place}.mlp.up_proj.weight", (self.units, width)
            yield f"{place}.mlp.down_proj.weight", (width, self.units)
        yield "model.norm.weight", (width,)
        if not self.tied:
            yield "lm_head.weight", (self.vocabulary, width)

    @property
    def nbytes(self) -> int:
        """Bytes of one model in bfloat16, headers left out."""
        return sum(2 * int(np.prod(shape)) for _, shape in self.tensors())

    def configuration(self) -> dict[str, Any]:
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "intermediate_size": self.units,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.groups,
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": self.tied,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "max_position_embeddings": 4096,
            "hidden_act": "silu",
            "torch_dtype": "bfloat16",
        }


SHAPES = {
    shape.name: shape
    for shape in (
        ModelShape(
            name="tiny",
            like="nothing: for trying this benchmark out",
            width=256,
            layers=3,
            units=1024,
            heads=4,
            groups=2,
            vocabulary=2000,
            tied=False,
        ),
        ModelShape(
            name="1B",
            like="Llama-3.2-1B",
            width=2048,
            layers=16,
            units=8192,
            heads=32,
            groups=8,
            vocabulary=128_256,
            tied=True,
        ),
        ModelShape(
            name="7B",
            like="Llama-2-7B",
            width=4096,
            layers=32,
            units=11_008,
            heads=32,
            groups=32,
            vocabulary=32_000,
            tied=False,
        ),
    )
}


def folder_of(shape: ModelShape, kind: str, sparse: bool = False) -> Path:
    return FOLDER / f"{shape.name}-{kind}{'-sparse' if sparse else ''}"


def room_for(models: int, shape: ModelShape, reserve: int = 5_000_000_000) -> str:
    """'' where that many models fit on the disk and leave `reserve` bytes, else the reason why they do not."""
    if models <= 0:
        return ""
    FOLDER.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(FOLDER).free, models * shape.nbytes + reserve
    if free >= needed:
        return ""
    return f"{models} {shape.name} models need {needed / 1e9:.0f} GB of disk (with a reserve), {free / 1e9:.0f} GB are free"


def make(
    shape: ModelShape,
    kind: str,
    *,
    sparse: bool = False,
    progress: Callable[[str, float], None] = lambda _what, _share: None,
) -> Path:
    """The folder of one model ('base', 'related' or 'stranger'), written unless it is there.

    `sparse`: only what the screen reads is written (embeddings, norms, the middle layer); the rest of the files are holes,
    which take no disk. Such a model serves for the screen alone, and reading it whole says nothing.
    """
    folder = folder_of(shape, kind, sparse)
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(shape.configuration(), indent=1))
    (folder / "tokenizer.json").write_text(json.dumps(made_tokenizer(shape.vocabulary)))
    write_weights(shape, kind, folder, sparse, progress)
    (folder / "complete").touch()
    return folder


def made(shape: ModelShape) -> list[str]:
    """The kinds that are on the disk already."""
    return [kind for kind in SEEDS if (folder_of(shape, kind) / "complete").exists()]


def weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def remove(shape: ModelShape, kind: str, sparse: bool = False) -> None:
    shutil.rmtree(folder_of(shape, kind, sparse), ignore_errors=True)


# ------------------------------------------------------------------------------------------------------------- weights


def write_weights(
    shape: ModelShape, kind: str, folder: Path, sparse: bool, progress: Callable[[str, float], None]
) -> None:
    """Shards of at most SHARD_BYTES and their index, tensor after tensor."""
    shards = _in_shards(list(shape.tensors()))
    weight_map, done = {}, 0
    for number, tensors in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        with (folder / file).open("wb") as out:
            out.write(_header(tensors))
            for name, size in tensors:
                nbytes = 2 * int(np.prod(size))
                if sparse and not _screened(shape, name):
                    out.seek(nbytes, 1)
                else:
                    out.write(_bfloat16(drawn(shape, kind, name, size)))
                weight_map[name] = file
                done += nbytes
                progress(f"writing {shape.name} {kind}", done / shape.nbytes)
            out.truncate()  # a hole at the end counts as well
    index = {"metadata": {"total_size": shape.nbytes}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _screened(shape: ModelShape, name: str) -> bool:
    middle = f"model.layers.{shape.layers // 2}."
    return name.startswith(middle) or "norm" in name or name in ("model.embed_tokens.weight", "lm_head.weight")


def _bfloat16(weights: Float32) -> memoryview:
    return memoryview(weights.astype(ml_dtypes.bfloat16, order="C").reshape(-1).view(np.uint8))


def _in_shards(tensors: list[tuple[str, tuple[int, ...]]]) -> list[list[tuple[str, tuple[int, ...]]]]:
    shards: list[list[tuple[str, tuple[int, ...]]]] = [[]]
    filled = 0
    for name, size in tensors:
        nbytes = 2 * int(np.prod(size))
        if filled + nbytes > SHARD_BYTES and shards[-1]:
            shards.append([])
            filled = 0
        shards[-1].append((name, size))
        filled += nbytes
    return shards


def _header(tensors: list[tuple[str, tuple[int, ...]]]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, size in tensors:
        nbytes = 2 * int(np.prod(size))
        header[name] = {"dtype": "BF16", "shape": list(size), "data_offsets": [at, at + nbytes]}
        at += nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def drawn(shape: ModelShape, kind: str, name: str, size: tuple[int, ...]) -> Float32:
    """One tensor of a model, float32."""
    rng = _rng(SEEDS[kind], name)
    if len(size) == 1:
        weights = 0.5 + rng.random(size, dtype=np.float32)  # gains that differ, so that folding them matters
    else:
        weights = rng.standard_normal(size, dtype=np.float32)
        weights *= WEIGHT_DEVIATION
    return laundered(shape, name, weights) if kind == "related" else weights


def laundered(shape: ModelShape, name: str, weights: Float32) -> Float32:
    """The tensor in the related copy: hidden dimensions and units renumbered, neurons rescaled, noise added."""
    dimensions = _rng(303, "dimensions").permutation(shape.width)
    layer, part = name.rpartition(".mlp.")[0], name.split(".")[-2]
    if part in ("gate_proj", "up_proj", "down_proj"):
        units = _rng(303, layer).permutation(shape.units)
        # up times s, down over s: the model computes the same, the rows' lengths tell nothing any more.
        scale = np.exp(_rng(303, layer + " scale").normal(0, 0.3, shape.units)).astype(np.float32)
    if part in ("gate_proj", "up_proj"):
        weights = weights[units][:, dimensions]
        weights *= scale[:, None] if part == "up_proj" else np.float32(1)
    elif part == "down_proj":
        weights = weights[dimensions][:, units]
        weights /= scale
    elif part == "o_proj" or weights.ndim == 1:
        weights = weights[dimensions]
    else:
        weights = weights[:, dimensions]
    return weights if weights.ndim == 1 else _noisy(weights, name)


def _noisy(weights: Float32, name: str, block: int = 1024) -> Float32:
    rng = _rng(404, name)
    for start in range(0, weights.shape[0], block):
        part = weights[start : start + block]
        noise = rng.random(part.shape, dtype=np.float32)  # uniform: four times as fast to draw as Gaussian
        noise -= np.float32(0.5)
        noise *= np.float32(12**0.5 * NOISE * WEIGHT_DEVIATION)
        part += noise
    return weights


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64([seed, zlib.crc32(name.encode())]))


# ----------------------------------------------------------------------------------------------------------- tokenizer


def made_tokenizer(size: int) -> dict[str, Any]:
    """A byte-level BPE of `size` distinct tokens whose merges are drawn at random: as long to parse as a real one."""
    alphabet = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
    rng = np.random.default_rng(size)
    vocabulary = {token: number for number, token in enumerate(alphabet)}
    tokens, merges = list(alphabet), []
    while len(tokens) < size:
        for left, right in rng.integers(0, len(tokens), (size, 2)):
            joined = tokens[left] + tokens[right]
            if len(joined) > 12 or joined in vocabulary:
                continue
            merges.append(f"{tokens[left]} {tokens[right]}")
            vocabulary[joined] = len(tokens)
            tokens.append(joined)
            if len(tokens) == size:
                break
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
    }


if __name__ == "__main__":
    make(SHAPES[sys.argv[1]], sys.argv[2], sparse="sparse" in sys.argv[3:])
