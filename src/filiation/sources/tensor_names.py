"""What a tensor's name says: layer, expert and part, in the two dialects in use (Hugging Face's and llama.cpp's).

A common prefix (`model.`, `transformer.`, `model.language_model.`, or whatever a stranger renamed it to) says nothing:
names are read from the layer number on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

HUGGING_FACE = "Hugging Face"
LLAMA_CPP = "llama.cpp"

# A module that holds several parts, one after the other, is written with '+'.
_HUGGING_FACE_MODULES = {
    "self_attn.q_proj": "query",
    "self_attn.k_proj": "key",
    "self_attn.v_proj": "value",
    "self_attn.o_proj": "attention_output",
    "self_attn.qkv_proj": "query+key+value",
    "self_attn.q_norm": "query_norm",
    "self_attn.k_norm": "key_norm",
    "self_attn.q_a_proj": "query_a",
    "self_attn.q_a_layernorm": "query_a_norm",
    "self_attn.q_b_proj": "query_b",
    "self_attn.kv_a_proj_with_mqa": "key_value_a",
    "self_attn.kv_a_layernorm": "key_value_a_norm",
    "self_attn.kv_b_proj": "key_value_b",
    "attn.c_attn": "query+key+value",
    "attn.c_proj": "attention_output",
    "attention.query_key_value": "query+key+value",
    "attention.dense": "attention_output",
    "self_attention.query_key_value": "query+key+value",
    "self_attention.dense": "attention_output",
    "input_layernorm": "attention_norm",
    "ln_1": "attention_norm",
    "ln_attn": "attention_norm",
    "pre_feedforward_layernorm": "mlp_norm",
    "ln_2": "mlp_norm",
    "ln_mlp": "mlp_norm",
    "post_attention_layernorm": "mlp_norm",  # attention_post_norm where the MLP has a post-norm: see `parts_of`
    "post_feedforward_layernorm": "mlp_post_norm",
    "mlp.gate_proj": "gate",
    "mlp.up_proj": "up",
    "mlp.down_proj": "down",
    "mlp.gate_up_proj": "gate+up",
    "mlp.c_fc": "up",
    "mlp.c_proj": "down",
    "mlp.dense_h_to_4h": "up",
    "mlp.dense_4h_to_h": "down",
    "mlp.gate": "router",
    "block_sparse_moe.gate": "router",
    "mlp.shared_expert_gate": "shared_router",
    **{
        f"mlp.{shared}.{module}_proj": f"shared_{module}"
        for shared in ("shared_expert", "shared_experts")
        for module in ("gate", "up", "down")
    },
    "mlp.gate.e_score_correction_bias": "router_correction",
}

_HUGGING_FACE_EXPERTS = {
    "gate_proj": "gate",
    "up_proj": "up",
    "down_proj": "down",
    "gate_up_proj": "gate+up",
    "w1": "gate",
    "w3": "up",
    "w2": "down",
}

_LLAMA_CPP_MODULES = {
    "attn_q": "query",
    "attn_k": "key",
    "attn_v": "value",
    "attn_output": "attention_output",
    "attn_qkv": "query+key+value",
    "attn_q_norm": "query_norm",
    "attn_k_norm": "key_norm",
    "attn_q_a": "query_a",
    "attn_q_a_norm": "query_a_norm",
    "attn_q_b": "query_b",
    "attn_kv_a_mqa": "key_value_a",
    "attn_kv_a_norm": "key_value_a_norm",
    "attn_kv_b": "key_value_b",
    "attn_k_b": "key_b",
    "attn_v_b": "value_b",
    "attn_norm": "attention_norm",
    "attn_norm_2": "attention_norm_2",
    "post_attention_norm": "attention_post_norm",
    "ffn_norm": "mlp_norm",
    "post_ffw_norm": "mlp_post_norm",
    "ffn_gate": "gate",
    "ffn_up": "up",
    "ffn_down": "down",
    "ffn_gate_inp": "router",
    "ffn_gate_inp_shexp": "shared_router",
    "exp_probs_b": "router_correction",
    "ffn_gate_shexp": "shared_gate",
    "ffn_up_shexp": "shared_up",
    "ffn_down_shexp": "shared_down",
}

_LLAMA_CPP_STACKED = {
    "ffn_gate_exps": "gate",
    "ffn_up_exps": "up",
    "ffn_down_exps": "down",
    "ffn_gate_up_exps": "gate+up",
}

_TOP = {
    HUGGING_FACE: {
        "embed_tokens": "embedding",
        "wte": "embedding",
        "word_embeddings": "embedding",
        "embed_in": "embedding",
        "wpe": "position_embedding",
        "norm": "final_norm",
        "ln_f": "final_norm",
        "final_layer_norm": "final_norm",
        "lm_head": "unembedding",
        "embed_out": "unembedding",
    },
    LLAMA_CPP: {
        "token_embd": "embedding",
        "position_embd": "position_embedding",
        "output_norm": "final_norm",
        "output": "unembedding",
    },
}

_LAYER = re.compile(r"(?:(?P<prefix>.*?)\.)?(?P<layer>\d{1,5})\.(?P<rest>[^\d].*)")
_EXPERT = re.compile(r".*experts\.(?P<expert>\d{1,5})\.(?P<module>.+)")


class NamedPart(msgspec.Struct, frozen=True, kw_only=True):
    """What one tensor holds. `parts` has several where they are fused; `stacked`: all experts in one tensor."""

    tensor: str
    module: str
    layer: int
    parts: tuple[str, ...]
    expert: int = -1
    stacked: bool = False


class NamedTensors(msgspec.Struct, frozen=True, kw_only=True):
    """All tensors of one decoder that have a known name, in one dialect; `unknown` are the names that do not."""

    dialect: str
    prefix: str
    parts: tuple[NamedPart, ...]
    unknown: tuple[str, ...]


def read_names(names: Iterable[str], sizes: Mapping[str, int]) -> NamedTensors | None:
    """The text decoder among `names`, or None where no layer has a known name. `sizes`: bytes of each tensor.

    A file may hold several stacks of layers (a vision tower beside the text decoder): those of one prefix belong
    together; one called text or language wins, then the largest.
    """
    names = tuple(names)
    stacks: dict[tuple[str, str], list[NamedPart]] = {}
    for name in names:
        for dialect in (HUGGING_FACE, LLAMA_CPP):
            found = _in_layer(name, dialect)
            if found is not None:
                prefix, part = found
                stacks.setdefault((dialect, prefix), []).append(part)
    if not stacks:
        return None
    dialect, prefix = max(stacks, key=lambda stack: (_spoken(stack[1]), sum(sizes[p.tensor] for p in stacks[stack])))
    parts = stacks[dialect, prefix] + _top_level(names, dialect, prefix)
    known = {part.tensor for part in parts}
    return NamedTensors(
        dialect=dialect, prefix=prefix, parts=tuple(parts), unknown=tuple(name for name in names if name not in known)
    )


def _spoken(prefix: str) -> int:
    if re.search(r"vision|visual|audio|image|encoder(?!.*decoder)", prefix):
        return -1
    return int("language_model" in prefix or "text_model" in prefix)


def _module_and_suffix(rest: str) -> tuple[str, str]:
    for suffix in (".weight", ".bias"):
        if rest.endswith(suffix):
            return rest.removesuffix(suffix), "_bias" if suffix == ".bias" else ""
    return rest, ""


def _in_layer(name: str, dialect: str) -> tuple[str, NamedPart] | None:
    match = _LAYER.fullmatch(name)
    if match is None:
        return None
    prefix, layer = match["prefix"] or "", int(match["layer"])
    module, suffix = _module_and_suffix(match["rest"])
    expert, stacked, written = -1, False, None
    if dialect == LLAMA_CPP:
        written = _LLAMA_CPP_MODULES.get(module)
        if written is None and module in _LLAMA_CPP_STACKED:
            written, stacked = _LLAMA_CPP_STACKED[module], True
    else:
        written = _HUGGING_FACE_MODULES.get(module)
        by_expert = _EXPERT.fullmatch(module)
        if by_expert is not None:
            written, expert = _HUGGING_FACE_EXPERTS.get(by_expert["module"]), int(by_expert["expert"])
        elif ".experts." in module:
            written, stacked = _HUGGING_FACE_EXPERTS.get(module.rpartition(".")[2]), True
    if written is None:
        return None
    parts = tuple(part + suffix for part in written.split("+"))
    return prefix, NamedPart(tensor=name, module=module, layer=layer, parts=parts, expert=expert, stacked=stacked)


def _top_level(names: Iterable[str], dialect: str, prefix: str) -> list[NamedPart]:
    """Embeddings, final norm and head: of those of the same kind, the one nearest to the layers in the tree of names."""
    ancestry = prefix.split(".")[:-1]
    best: dict[str, tuple[int, NamedPart]] = {}
    for name in names:
        module, suffix = _module_and_suffix(name)
        path, last = module.split(".")[:-1], module.split(".")[-1]
        written = _TOP[dialect].get(last)
        if written is None or any(step.isdigit() for step in path) or _spoken(module) < 0:
            continue
        part = written + suffix
        nearness = len(path) if path == ancestry[: len(path)] else -1
        if part not in best or nearness > best[part][0]:
            best[part] = (nearness, NamedPart(tensor=name, module=module, layer=-1, parts=(part,)))
    return [part for _, part in best.values()]
