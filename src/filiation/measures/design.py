"""What a configuration says about a model's design, and where two designs agree.

A design is a mapping from feature name to a value written as text ('4096', 'silu', 'yes'). A feature that a
configuration does not state, and that does not follow from what it states, is left out: never guessed, never zero.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from filiation.evidence import Record

Design = Mapping[str, str]

SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "vocab_size",
)
KINDS = (
    "hidden_act",
    "norm_type",
    "attention_style",
    "attention_bias",
    "qk_norm",
    "tie_word_embeddings",
    "rope_theta",
    "sliding_window",
    "num_experts",
    "num_experts_per_tok",
)
FEATURES = SIZES + KINDS
"""The features compared, in the order in which they are recorded. The context length is left out: fine-tuning changes it freely."""

_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "n_embd", "d_model"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "n_heads"),
    "num_key_value_heads": ("num_key_value_heads", "num_kv_heads"),
    "head_dim": ("head_dim", "kv_channels"),
    "intermediate_size": ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim"),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
    "hidden_act": ("hidden_activation", "hidden_act", "activation_function", "activation"),
    "num_experts": ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"),
    "num_experts_per_tok": ("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "moe_k"),
}

# One function under several names. Gemma's files say 'gelu' and run the tanh form: see `_activation`.
_ACTIVATIONS: Mapping[str, str] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu (tanh)",
    "gelu_pytorch_tanh": "gelu (tanh)",
    "gelu_fast": "gelu (tanh)",
    "gelu_tanh": "gelu (tanh)",
    "relu2": "relu squared",
}

# What the code of a model type fixes although its configuration does not say it. The study checks these against the
# parameter names of the transformers implementation.
BIAS_BY_TYPE: Mapping[str, bool] = {
    "bloom": True,
    "gpt2": True,
    "gpt_neox": True,
    "gpt_oss": True,
    "opt": True,
    "phi": True,
    "persimmon": True,
    "qwen2": True,
    "qwen2_moe": True,
    "starcoder2": True,
    "codegen": False,
    "gptj": False,
    "lfm2": False,
    "ministral3": False,
    "mistral": False,
    "mixtral": False,
    "mpt": False,
    "phi3": False,
}
QK_NORM_BY_TYPE: Mapping[str, bool] = {
    "afmoe": True,
    "apertus": True,
    "exaone4": True,
    "gemma3": True,
    "gemma3_text": True,
    "hunyuan_v1_dense": True,
    "lfm2": True,
    "olmo2": True,
    "olmo3": True,
    "olmoe": True,
    "qwen3": True,
    "qwen3_5": True,
    "qwen3_5_text": True,
    "qwen3_moe": True,
    "arcee": False,
    "bloom": False,
    "codegen": False,
    "ernie4_5": False,
    "falcon": False,
    "gemma": False,
    "gemma2": False,
    "glm4": False,
    "gpt2": False,
    "gpt_neox": False,
    "gpt_oss": False,
    "gptj": False,
    "granite": False,
    "llama": False,
    "mistral": False,
    "mixtral": False,
    "mpt": False,
    "olmo": False,
    "opt": False,
    "phi3": False,
    "qwen2": False,
    "qwen2_moe": False,
    "seed_oss": False,
    "smollm3": False,
    "starcoder2": False,
}
_FOUR_TIMES_HIDDEN = ("gpt2", "gptj", "gpt_neo", "bloom", "falcon", "codegen", "mpt")
_NOT_DECODERS = ("bert", "roberta", "xlm-roberta", "electra", "deberta", "t5", "mt5", "bart", "mbart", "marian")


class PublicDesign(Record, frozen=True, kw_only=True):
    """One public model's design. `lineage`: whose design it is, which for a derivative is not its publisher."""

    lineage: str
    publisher: str
    model: str
    basis: str
    design: dict[str, str]


def is_decoder(configuration: Mapping[str, Any]) -> bool:
    """Whether the configuration is of a decoder-only language model, as far as it says."""
    architectures = configuration.get("architectures")
    names = [name for name in architectures if isinstance(name, str)] if isinstance(architectures, list) else []
    return not (
        configuration.get("is_encoder_decoder") is True
        or configuration.get("model_type") in _NOT_DECODERS
        or any("MaskedLM" in name for name in names)
    )


def design_of(configuration: Mapping[str, Any]) -> dict[str, str]:
    """The design that a configuration (key names of Hugging Face's config.json) states; unknown keys are ignored.

    What follows from the stated values is derived as the transformers implementations do: key/value heads default to
    the attention heads, the head size to hidden size / heads, GPT-2-like inner sizes to four times the hidden size.
    """
    stated = _text_part(configuration)
    model_type = str(stated.get("model_type", configuration.get("model_type", "")))
    sizes = _sizes(stated, model_type)
    design = {name: str(value) for name, value in sizes.items()}
    optional = {
        "hidden_act": _activation(stated, model_type),
        "norm_type": _norm(stated),
        "attention_style": _attention_style(sizes),
        "attention_bias": _yes_no(_first_bool(stated, _BIAS_KEYS), BIAS_BY_TYPE.get(model_type)),
        "qk_norm": _yes_no(_first_bool(stated, _QK_NORM_KEYS), QK_NORM_BY_TYPE.get(model_type)),
        "tie_word_embeddings": _yes_no(
            _first_bool(stated, ("tie_word_embeddings",)), _first_bool(configuration, ("tie_word_embeddings",))
        ),
        "rope_theta": _rope_theta(stated),
        "sliding_window": _sliding_window(stated),
        "num_experts": _experts(stated, "num_experts"),
        "num_experts_per_tok": _experts(stated, "num_experts_per_tok"),
    }
    design.update({name: value for name, value in optional.items() if value is not None})
    return {name: design[name] for name in FEATURES if name in design}


def comparable(first: Design, second: Design) -> tuple[str, ...]:
    """The features that both designs state, in the order of `FEATURES`."""
    return tuple(name for name in FEATURES if name in first and name in second)


def agreeing(first: Design, second: Design, features: Sequence[str]) -> tuple[str, ...]:
    """Of `features`, all stated by `first`, those where `second` has the same value *or states none*.

    Made for controls: what a control does not state counts as agreement, which helps the accused.
    """
    return tuple(name for name in features if second.get(name, first[name]) == first[name])


def read_public_designs(text: str) -> tuple[PublicDesign, ...]:
    """The rows of a table of public designs (CSV: lineage, publisher, model, basis, then one column per feature)."""
    return tuple(
        PublicDesign(
            lineage=row["lineage"],
            publisher=row["publisher"],
            model=row["model"],
            basis=row["basis"],
            design={name: row[name] for name in FEATURES if row[name]},
        )
        for row in csv.DictReader(io.StringIO(text))
    )


def own_lineage(name: str, design: Design, public: Sequence[PublicDesign]) -> str:
    """The lineage of the public model that an exhibit's name begins with, if its design agrees with it; else ''.

    The longest such name wins. A name alone is not believed: leaving a lineage out of the controls lowers p.
    """
    plain = _plain(name)
    best: tuple[int, str] = (0, "")
    for entry in public:
        listed = _plain(entry.model)
        shared = comparable(design, entry.design)
        if not shared or not plain.startswith(listed):
            continue
        if len(agreeing(design, entry.design, shared)) == len(shared):
            best = max(best, (len(listed), entry.lineage))
    return best[1]


# ------------------------------------------------------------------------------------------------- reading one feature

_BIAS_KEYS = ("attention_bias", "use_qkv_bias", "qkv_bias", "add_qkv_bias", "use_bias")
_QK_NORM_KEYS = ("use_qk_norm", "qk_layernorm", "qk_norm")


def _text_part(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    nested = configuration.get("text_config")
    if isinstance(nested, Mapping) and _whole(configuration, "hidden_size") is None:
        return nested
    return configuration


def _whole(stated: Mapping[str, Any], feature: str) -> int | None:
    """The first positive whole number among a feature's spellings."""
    for key in _SPELLINGS[feature]:
        value = stated.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _sizes(stated: Mapping[str, Any], model_type: str) -> dict[str, int]:
    found = {name: _whole(stated, name) for name in SIZES}
    hidden, heads = found["hidden_size"], found["num_attention_heads"]
    found["num_key_value_heads"] = _key_value_heads(stated, found["num_key_value_heads"], heads)
    if found["head_dim"] is None and hidden and heads and hidden % heads == 0:
        found["head_dim"] = hidden // heads
    if found["intermediate_size"] is None and hidden and model_type in _FOUR_TIMES_HIDDEN:
        found["intermediate_size"] = 4 * hidden
    return {name: value for name, value in found.items() if value is not None}


def _key_value_heads(stated: Mapping[str, Any], told: int | None, heads: int | None) -> int | None:
    if stated.get("multi_query_attention") is True:  # ChatGLM
        groups = stated.get("multi_query_group_num")
        return groups if isinstance(groups, int) and groups > 0 else None
    if stated.get("new_decoder_architecture") is True:  # Falcon 40B, 11B
        return told
    if stated.get("multi_query") is True:  # Falcon 7B
        return 1
    return told or heads


def _attention_style(sizes: Mapping[str, int]) -> str | None:
    heads, groups = sizes.get("num_attention_heads"), sizes.get("num_key_value_heads")
    if heads is None or groups is None:
        return None
    return "MHA" if groups == heads else "MQA" if groups == 1 else "GQA"


def _activation(stated: Mapping[str, Any], model_type: str) -> str | None:
    if model_type == "gemma":
        return "gelu (tanh)"
    for key in _SPELLINGS["hidden_act"]:
        value = stated.get(key)
        if isinstance(value, str) and value:
            return _ACTIVATIONS.get(value, value)
    return None


def _norm(stated: Mapping[str, Any]) -> str | None:
    if stated.get("rmsnorm") is True or "rms_norm_eps" in stated:
        return "RMSNorm"
    names = ("layer_norm_eps", "layer_norm_epsilon", "layernorm_epsilon", "norm_epsilon")
    return "LayerNorm" if any(name in stated for name in names) else None


def _first_bool(stated: Mapping[str, Any], keys: Sequence[str]) -> bool | None:
    return next((stated[key] for key in keys if isinstance(stated.get(key), bool)), None)


def _yes_no(told: bool | None, otherwise: bool | None) -> str | None:
    value = otherwise if told is None else told
    return None if value is None else "yes" if value else "no"


def _rope_theta(stated: Mapping[str, Any]) -> str | None:
    places = [stated.get("rope_theta"), stated.get("rotary_emb_base")]
    parameters = stated.get("rope_parameters")
    if isinstance(parameters, Mapping):
        full = parameters.get("full_attention")
        places += [parameters.get("rope_theta"), full.get("rope_theta") if isinstance(full, Mapping) else None]
    for value in places:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e15:
            return str(round(value))
    return None


def _sliding_window(stated: Mapping[str, Any]) -> str | None:
    if "sliding_window" not in stated:
        return None
    value = stated["sliding_window"]
    if value is None or stated.get("use_sliding_window") is False:
        return "none"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _experts(stated: Mapping[str, Any], feature: str) -> str | None:
    value = _whole(stated, feature)
    return None if value is None else str(value)


def _plain(name: str) -> str:
    """A model's name without case, punctuation and the endings that do not change its design."""
    stem = name.rsplit("/", 1)[-1].lower()
    plain = "".join(letter for letter in stem if letter.isalnum())
    for ending in ("hf", "instruct", "chat", "base", "it"):
        plain = plain.removesuffix(ending)
    return plain
