"""Fresh models of the zoo's architectures, and the ways in which their parts are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    Olmo2Config,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)

from studies.zoo.sizes import Size

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

ATTENTION = "eager"  # the only implementation whose gradients are repeatable on every device

GATED = {
    "llama": LlamaConfig,
    "llama-other": LlamaConfig,
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
    "gemma2": Gemma2Config,
    "gemma3": Gemma3TextConfig,
    "phi3": Phi3Config,
    "olmo2": Olmo2Config,
}
FAMILIES = {"llama": "llama", "llama-other": "llama", "qwen2": "qwen2", "gpt2": "gpt2"}


def configuration(architecture: str, size: Size) -> Any:
    """The transformers configuration of an architecture of this size, by its name in `size.shapes`."""
    shape = size.shapes[architecture]
    no_special_tokens = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if architecture == "gpt2":
        return GPT2Config(
            vocab_size=size.vocabulary,
            n_positions=size.context,
            n_embd=shape.width,
            n_inner=shape.units,
            n_layer=shape.layers,
            n_head=shape.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            **no_special_tokens,
        )
    if architecture == "gpt_neox":
        return GPTNeoXConfig(
            vocab_size=size.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.units,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            max_position_embeddings=size.context,
            **no_special_tokens,
        )
    if architecture == "falcon":
        return FalconConfig(
            vocab_size=size.vocabulary,
            hidden_size=shape.width,
            ffn_hidden_size=shape.units,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            max_position_embeddings=size.context,
            **no_special_tokens,
        )
    further: dict[str, Any] = {}
    if architecture in ("qwen3", "gemma2", "gemma3"):
        further["head_dim"] = shape.width // shape.heads
    if architecture in ("gemma2", "gemma3"):
        further["query_pre_attn_scalar"] = shape.width // shape.heads
        further["sliding_window"] = size.context
    return GATED[architecture](
        vocab_size=size.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.units,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups,
        max_position_embeddings=size.context,
        tie_word_embeddings=architecture in ("qwen2", "qwen3", "gemma2", "gemma3"),
        **no_special_tokens,
        **further,
    )


def fresh(config: Any, seed: int) -> nn.Module:
    """A newly initialised model in float32; drawn on the CPU, so that the seed means the same on every device."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, attn_implementation=ATTENTION).float().eval()


def load(folder: Path) -> nn.Module:
    """A saved member in float32 on the CPU."""
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation=ATTENTION).float().eval()


def with_weights(config: Any, weights: dict[str, torch.Tensor]) -> nn.Module:
    """A model of this configuration holding these weights (names as in the model's own state)."""
    model = fresh(config, seed=0)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    if set(missing) - tied or set(unexpected) - tied:
        raise ValueError(f"weights do not fit the configuration: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model.eval()


def changed(config: Any, **changes: Any) -> Any:
    """A copy of a configuration with some fields replaced (per-layer lists that depend on the depth are dropped)."""
    fields = config.to_dict()
    fields.update(changes)
    for dependent in ("layer_types", "torch_dtype"):
        fields.pop(dependent, None)
    model_type = fields.pop("model_type")
    return AutoConfig.for_model(model_type, **fields)


def stored_transposed(name: str) -> bool:
    """Whether a matrix lies as [inputs, outputs], as GPT-2's do, and not as [outputs, inputs]."""
    return name.endswith(("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"))


def is_embedding(name: str) -> bool:
    """Whether a parameter belongs to the token embeddings or the unembedding."""
    return name.endswith(
        (
            "embed_tokens.weight",
            "lm_head.weight",
            "wte.weight",
            "embed_in.weight",
            "embed_out.weight",
            "word_embeddings.weight",
        )
    )


def is_mlp_matrix(name: str) -> bool:
    """Whether a parameter is a weight or bias of an MLP."""
    return ".mlp." in name
