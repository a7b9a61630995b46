"""Tiny random models of every family, made and saved by transformers itself: the truth that `families` is held to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

COMMON: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
NEOX = {key: value for key, value in COMMON.items() if key != "num_key_value_heads"}
GPT2 = {
    "vocab_size": 64,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
FALCON = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "bos_token_id": 0}
MIXED = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
DEEPSEEK = {
    **COMMON,
    **MIXED,
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "first_k_dense_replace": 1,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "n_group": 2,
    "topk_group": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "head_dim": 8,
}

CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", COMMON),
    "llama tied with biases": (
        "LlamaConfig",
        {**COMMON, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
    ),
    "mistral": ("MistralConfig", {**COMMON, "head_dim": 16}),
    "qwen2": ("Qwen2Config", {**COMMON, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", {**COMMON, "head_dim": 16}),
    "gemma2": ("Gemma2Config", {**COMMON, "head_dim": 16}),
    "gemma3": ("Gemma3TextConfig", {**COMMON, "head_dim": 16}),
    "phi3": ("Phi3Config", COMMON),
    "gpt2": ("GPT2Config", GPT2),
    "gpt_neox": ("GPTNeoXConfig", NEOX),
    "olmo2": ("Olmo2Config", COMMON),
    "falcon multi-query": ("FalconConfig", {**FALCON, "multi_query": True}),
    "falcon by head": ("FalconConfig", {**FALCON, "multi_query": False, "parallel_attn": False, "bias": True}),
    "falcon grouped": ("FalconConfig", {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "mixtral": ("MixtralConfig", {**COMMON, "num_local_experts": 4}),
    "qwen2_moe": ("Qwen2MoeConfig", {**COMMON, **MIXED, "num_experts": 4, "shared_expert_intermediate_size": 40}),
    "qwen3_moe": ("Qwen3MoeConfig", {**COMMON, **MIXED, "num_experts": 4, "head_dim": 16}),
    "deepseek_v3": ("DeepseekV3Config", DEEPSEEK),
    "deepseek_v2": ("DeepseekV2Config", {**DEEPSEEK, "n_group": 1, "q_lora_rank": None}),
}


def build(name: str, folder: Path, **saving: Any) -> Any:
    """A model of that configuration with random weights (norms and biases too), saved to `folder`; the torch module."""
    config_class, settings = CONFIGURATIONS[name]
    torch.manual_seed(len(name))
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, config_class)(**settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder, **saving)
    return model
