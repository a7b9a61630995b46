"""Changes of a model's weights that leave its function as it was: what somebody does who wants a copy not to be found.

Every wash takes a dict of arrays by Hugging Face name, the config, and a random generator, and returns a new dict and
config; arrays keep their type (float32 or float64) and nothing is changed in place:

    permute_units           the MLP's units
    permute_heads           attention heads: groups among each other, and the query heads of a group
    permute_hidden          the dimensions of the residual stream
    rotate_residual         an orthogonal map of the residual stream, after folding the norm gains into what reads them
    map_queries_keys        invertible maps of queries and keys that cancel in the attention score
    map_values_outputs      invertible maps of values that the output projection undoes
    rescale_units           the up row of a unit times s, its column of the down matrix by s
    everything              all of the above that are valid for the model, one after the other

Llama-like models (`llama`, `mistral`, `qwen2`: RMSNorm, rotary positions, gated MLP, biases where there are any, tied
embeddings are untied by the rotation). Rotary positions turn each pair of dimensions (i, i + h/2) of a head by an angle
that depends on the position, so only 2-D rotations and scalings of those pairs may stand before it: multiplying the
query pair by the complex number a and the key pair by 1/conj(a) leaves the score as it was.

GPT-2: LayerNorm subtracts the mean over the hidden dimensions, so only orthogonal maps that leave the direction of all
ones where it is commute with it, and the rotation is drawn from those. Without rotary positions any invertible map of
a head's queries is valid (and its inverse transpose on the keys). GELU between the matrices does not commute with
scaling: `rescale_units` is not valid and raises `NotValid`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from studies.zoo.folders import Array, Config, Weights, read_folder, write_folder

Wash = Callable[[Mapping[str, Array], Mapping[str, Any], np.random.Generator], tuple[Weights, Config]]
LLAMA_LIKE = ("llama", "mistral", "qwen2")


class NotValid(ValueError):
    """This wash would change the function of this model, or the model's layout is not known here."""


# ------------------------------------------------------------------------------------------------------------- anatomy


@dataclass(frozen=True)
class Anatomy:
    """A decoder by role. Matrices are [outputs, inputs]; d hidden dimensions, h units, n heads in g groups of width w.

    `parts`: embedding [V, d], unembedding [V, d] unless tied, final_gain [d], for GPT-2 also positions and final_bias.
    `layers`: query [n w, d], key and value [g w, d], output [d, n w], gate and up [h, d], down [d, h], attention_gain
    and mlp_gain [d], and `<role>_bias` where there is one.
    """

    parts: dict[str, Array]
    layers: list[dict[str, Array]]
    config: Config
    heads: int
    groups: int
    head_width: int
    rotary: bool
    gated: bool
    tied: bool = field(default=False)


_LLAMA_PARTS = {
    "embedding": "model.embed_tokens.weight",
    "unembedding": "lm_head.weight",
    "final_gain": "model.norm.weight",
}
_LLAMA_LAYER = {
    "attention_gain": "input_layernorm.weight",
    "mlp_gain": "post_attention_layernorm.weight",
    **{
        f"{role}{bias}": f"{module}.{end}"
        for role, module in {
            "query": "self_attn.q_proj",
            "key": "self_attn.k_proj",
            "value": "self_attn.v_proj",
            "output": "self_attn.o_proj",
            "gate": "mlp.gate_proj",
            "up": "mlp.up_proj",
            "down": "mlp.down_proj",
        }.items()
        for bias, end in {"": "weight", "_bias": "bias"}.items()
    },
}
_GPT2_PARTS = {
    "embedding": "transformer.wte.weight",
    "positions": "transformer.wpe.weight",
    "unembedding": "lm_head.weight",
    "final_gain": "transformer.ln_f.weight",
    "final_bias": "transformer.ln_f.bias",
}
_GPT2_LAYER = {
    "attention_gain": "ln_1.weight",
    "attention_gain_bias": "ln_1.bias",
    "mlp_gain": "ln_2.weight",
    "mlp_gain_bias": "ln_2.bias",
    "query+key+value": "attn.c_attn.weight",
    "query+key+value_bias": "attn.c_attn.bias",
    "output": "attn.c_proj.weight",
    "output_bias": "attn.c_proj.bias",
    "up": "mlp.c_fc.weight",
    "up_bias": "mlp.c_fc.bias",
    "down": "mlp.c_proj.weight",
    "down_bias": "mlp.c_proj.bias",
}
_FUSED = ("query", "key", "value")


def dissect(weights: Mapping[str, Array], config: Mapping[str, Any]) -> Anatomy:
    """The model by role; raises `NotValid` for a layout that is not known here."""
    kind = config.get("model_type")
    if kind in LLAMA_LIKE:
        return _dissect_llama(weights, config)
    if kind == "gpt2":
        return _dissect_gpt2(weights, config)
    raise NotValid(f"no wash is known for models of type {kind!r}")


def _dissect_llama(weights: Mapping[str, Array], config: Mapping[str, Any]) -> Anatomy:
    layers = [
        {
            role: weights[f"model.layers.{number}.{end}"]
            for role, end in _LLAMA_LAYER.items()
            if _in(weights, number, end)
        }
        for number in range(config["num_hidden_layers"])
    ]
    parts = {role: weights[name] for role, name in _LLAMA_PARTS.items() if name in weights}
    known = len(parts) + sum(len(layer) for layer in layers)
    if known != len(weights):
        raise NotValid(f"{len(weights) - known} tensors have no known place in a Llama-like model")
    heads = config["num_attention_heads"]
    return Anatomy(
        parts=parts,
        layers=layers,
        config=dict(config),
        heads=heads,
        groups=config.get("num_key_value_heads") or heads,
        head_width=layers[0]["query"].shape[0] // heads,
        rotary=True,
        gated=True,
        tied="unembedding" not in parts,
    )


def _in(weights: Mapping[str, Array], number: int, end: str) -> bool:
    return f"model.layers.{number}.{end}" in weights


def _dissect_gpt2(weights: Mapping[str, Array], config: Mapping[str, Any]) -> Anatomy:
    layers = []
    for number in range(config["n_layer"]):
        layer = {}
        for role, end in _GPT2_LAYER.items():
            array = weights[f"transformer.h.{number}.{end}"]
            array = array.T if array.ndim == 2 else array
            if role.startswith("query+"):
                suffix = role.removeprefix("query+key+value")
                layer.update({part + suffix: piece for part, piece in zip(_FUSED, np.split(array, 3), strict=True)})
            else:
                layer[role] = array
        layers.append(layer)
    return Anatomy(
        parts={role: weights[name] for role, name in _GPT2_PARTS.items() if name in weights},
        layers=layers,
        config=dict(config),
        heads=config["n_head"],
        groups=config["n_head"],
        head_width=config["n_embd"] // config["n_head"],
        rotary=False,
        gated=False,
        tied="lm_head.weight" not in weights,
    )


def assemble(model: Anatomy) -> tuple[Weights, Config]:
    """The inverse of `dissect`; says in the config whether the embeddings are tied."""
    config = {**model.config, "tie_word_embeddings": "unembedding" not in model.parts}
    gpt2 = not model.rotary
    names = _GPT2_PARTS if gpt2 else _LLAMA_PARTS
    weights = {names[role]: array for role, array in model.parts.items()}
    for number, layer in enumerate(model.layers):
        if gpt2:
            weights.update(_assemble_gpt2_layer(f"transformer.h.{number}.", layer))
        else:
            weights.update({f"model.layers.{number}.{_LLAMA_LAYER[role]}": array for role, array in layer.items()})
    return weights, config


def _assemble_gpt2_layer(prefix: str, layer: Mapping[str, Array]) -> Weights:
    fused = dict(layer)
    for suffix in ("", "_bias"):
        fused[f"query+key+value{suffix}"] = np.concatenate([fused.pop(part + suffix) for part in _FUSED])
    return {
        prefix + _GPT2_LAYER[role]: np.ascontiguousarray(array.T if array.ndim == 2 else array)
        for role, array in fused.items()
    }


# ------------------------------------------------------------------------------------------------- washes on an anatomy


def _rows(layer: Mapping[str, Array], role: str, order: Array) -> dict[str, Array]:
    """A matrix and its bias with the rows in another order."""
    moved = {role: layer[role][order]}
    if f"{role}_bias" in layer:
        moved[f"{role}_bias"] = layer[f"{role}_bias"][order]
    return moved


def _each_layer(model: Anatomy, change: Callable[[dict[str, Array]], Mapping[str, Array]]) -> Anatomy:
    return replace(model, layers=[{**layer, **change(layer)} for layer in model.layers])


def _permute_units(model: Anatomy, rng: np.random.Generator) -> Anatomy:
    def change(layer: dict[str, Array]) -> dict[str, Array]:
        order = rng.permutation(layer["up"].shape[0])
        gate = _rows(layer, "gate", order) if model.gated else {}
        return {**gate, **_rows(layer, "up", order), "down": layer["down"][:, order]}

    return _each_layer(model, change)


def _permute_heads(model: Anatomy, rng: np.random.Generator) -> Anatomy:
    shared = model.heads // model.groups
    inside = np.arange(model.head_width)

    def change(layer: dict[str, Array]) -> dict[str, Array]:
        groups = rng.permutation(model.groups)
        heads = np.concatenate([group * shared + rng.permutation(shared) for group in groups])
        by_head = (heads[:, None] * model.head_width + inside).ravel()
        by_group = (groups[:, None] * model.head_width + inside).ravel()
        return {
            **_rows(layer, "query", by_head),
            **_rows(layer, "key", by_group),
            **_rows(layer, "value", by_group),
            "output": layer["output"][:, by_head],
        }

    return _each_layer(model, change)


_READERS = ("query", "key", "value", "gate", "up")
_WRITERS = ("output", "down")
_READ_BY = {"attention_gain": ("query", "key", "value"), "mlp_gain": ("gate", "up")}


def _permute_hidden(model: Anatomy, rng: np.random.Generator) -> Anatomy:
    order = rng.permutation(model.parts["embedding"].shape[1])

    def change(layer: dict[str, Array]) -> dict[str, Array]:
        readers = {role: layer[role][:, order] for role in _READERS if role in layer}
        writers = {role: layer[role][order] for role in _WRITERS}
        vectors = {
            role: layer[role][order]
            for role in (
                "attention_gain",
                "mlp_gain",
                "attention_gain_bias",
                "mlp_gain_bias",
                "output_bias",
                "down_bias",
            )
            if role in layer
        }
        return {**readers, **writers, **vectors}

    parts = {role: array[..., order] for role, array in model.parts.items()}
    return replace(_each_layer(model, change), parts=parts)


def fold_gains(model: Anatomy) -> Anatomy:
    """Norm gains (and LayerNorm biases) moved into the matrices that read after them; tied embeddings are untied.

    Only the final LayerNorm keeps a bias, divided by its former gain, because the unembedding has none to take it.
    """

    def change(layer: dict[str, Array]) -> dict[str, Array]:
        folded: dict[str, Array] = {}
        for norm, readers in _READ_BY.items():
            gain, bias = layer[norm], layer.get(f"{norm}_bias")
            for role in readers:
                if role not in layer:
                    continue
                folded[role] = layer[role] * gain
                if bias is not None:
                    folded[f"{role}_bias"] = layer[f"{role}_bias"] + layer[role] @ bias
            folded[norm] = np.ones_like(gain)
            if bias is not None:
                folded[f"{norm}_bias"] = np.zeros_like(bias)
        return folded

    parts = dict(model.parts)
    gain = parts["final_gain"]
    parts["unembedding"] = parts.get("unembedding", parts["embedding"]) * gain
    parts["final_gain"] = np.ones_like(gain)
    if "final_bias" in parts:
        parts["final_bias"] = parts["final_bias"] / gain
    return replace(_each_layer(model, change), parts=parts, tied=False)


def _random_orthogonal(width: int, rng: np.random.Generator) -> Array:
    """Haar-distributed orthogonal matrix [width, width], float64."""
    basis, triangle = np.linalg.qr(rng.standard_normal((width, width)))
    return basis * np.sign(np.diagonal(triangle))


def _orthogonal_fixing_ones(width: int, rng: np.random.Generator) -> Array:
    """A random orthogonal matrix that leaves the vector of all ones where it is, so that it commutes with centring."""
    ones = np.full((width, 1), width**-0.5)
    basis = np.linalg.qr(np.hstack([ones, rng.standard_normal((width, width - 1))]))[0][:, 1:]
    return ones @ ones.T + basis @ _random_orthogonal(width - 1, rng) @ basis.T


def _rotate_residual(model: Anatomy, rng: np.random.Generator) -> Anatomy:
    model = fold_gains(model)
    width = model.parts["embedding"].shape[1]
    turn = (_random_orthogonal if model.rotary else _orthogonal_fixing_ones)(width, rng)
    turn = turn.astype(model.parts["embedding"].dtype)

    def change(layer: dict[str, Array]) -> dict[str, Array]:
        readers = {role: layer[role] @ turn for role in _READERS if role in layer}
        writers = {role: turn.T @ layer[role] for role in _WRITERS}
        biases = {role: layer[role] @ turn for role in ("output_bias", "down_bias") if role in layer}
        return {**readers, **writers, **biases}

    turned = ("embedding", "unembedding", "positions", "final_bias")
    parts = {role: array @ turn if role in turned else array for role, array in model.parts.items()}
    return replace(_each_layer(model, change), parts=parts)


def _blocks(maps: Array, matrix: Array) -> Array:
    """Apply one map [w, w] to each block of w rows of a matrix or vector; `maps` is [blocks, w, w]."""
    blocks, width = maps.shape[0], maps.shape[1]
    mapped = maps.astype(matrix.dtype) @ matrix.reshape(blocks, width, -1)
    return mapped.reshape(matrix.shape)


def _apply(layer: Mapping[str, Array], role: str, maps: Array) -> dict[str, Array]:
    mapped = {role: _blocks(maps, layer[role])}
    if f"{role}_bias" in layer:
        mapped[f"{role}_bias"] = _blocks(maps, layer[f"{role}_bias"])
    return mapped


def _rotary_maps(groups: int, width: int, rng: np.random.Generator) -> Array:
    """Per group a map [w, w] that turns and scales every pair (i, i + w/2) on its own: what rotary positions allow."""
    half = width // 2
    angle = rng.uniform(0.0, 2.0 * np.pi, (groups, half))
    scale = np.exp(rng.uniform(-np.log(2.0), np.log(2.0), (groups, half)))
    first, second = np.arange(half), np.arange(half, width)
    maps = np.zeros((groups, width, width))
    maps[:, first, first] = maps[:, second, second] = scale * np.cos(angle)
    maps[:, second, first] = scale * np.sin(angle)
    maps[:, first, second] = -scale * np.sin(angle)
    return maps


def _invertible_maps(groups: int, width: int, rng: np.random.Generator) -> Array:
    """Per group a well-conditioned random map [w, w]: orthogonal, stretched by 1/2 to 2, orthogonal."""
    stretch = np.exp(rng.uniform(-np.log(2.0), np.log(2.0), (groups, width)))
    left = np.stack([_random_orthogonal(width, rng) for _ in range(groups)])
    right = np.stack([_random_orthogonal(width, rng) for _ in range(groups)])
    return left * stretch[:, None, :] @ right


def _map_queries_keys(model: Anatomy, rng: np.random.Generator) -> Anatomy:
    shared = model.heads // model.groups
    draw = _rotary_maps if model.rotary else _invertible_maps

    def change(layer: dict[str, Array]) -> dict[str, Array]:
        maps = draw(model.groups, model.head_width, rng)
        inverse_transposed = np.linalg.inv(maps).transpose(0, 2, 1)
        return {**_apply(layer, "query", np.repeat(maps, shared, axis=0)), **_apply(layer, "key", inverse_transposed)}

    return _each_layer(model, change)


def _map_values_outputs(model: Anatomy, rng: np.random.Generator) -> Anatomy:
    shared = model.heads // model.groups

    def change(layer: dict[str, Array]) -> dict[str, Array]:
        maps = _invertible_maps(model.groups, model.head_width, rng)
        undo = np.repeat(np.linalg.inv(maps).transpose(0, 2, 1), shared, axis=0)
        return {**_apply(layer, "value", maps), "output": _blocks(undo, np.ascontiguousarray(layer["output"].T)).T}

    return _each_layer(model, change)


def _rescale_units(model: Anatomy, rng: np.random.Generator) -> Anatomy:
    if not model.gated:
        raise NotValid(
            "the units of an ungated MLP cannot be rescaled: its activation function is not linear in the row"
        )

    def change(layer: dict[str, Array]) -> dict[str, Array]:
        units = layer["up"].shape[0]
        scale = np.exp(rng.uniform(-np.log(4.0), np.log(4.0), units)).astype(layer["up"].dtype)
        bias = {"up_bias": layer["up_bias"] * scale} if "up_bias" in layer else {}
        return {"up": layer["up"] * scale[:, None], **bias, "down": layer["down"] / scale}

    return _each_layer(model, change)


# -------------------------------------------------------------------------------------------------------------- public


def _public(steps: Callable[[Anatomy, np.random.Generator], Anatomy], text: str) -> Wash:
    def wash(
        weights: Mapping[str, Array], config: Mapping[str, Any], rng: np.random.Generator
    ) -> tuple[Weights, Config]:
        return assemble(steps(dissect(weights, config), rng))

    wash.__name__ = steps.__name__.removeprefix("_")
    wash.__doc__ = text
    return wash


permute_units = _public(_permute_units, "Permute the units of every MLP.")
permute_heads = _public(_permute_heads, "Permute attention heads, keeping query heads with their key and value head.")
permute_hidden = _public(_permute_hidden, "Permute the dimensions of the residual stream.")
rotate_residual = _public(_rotate_residual, "Fold the norm gains, then turn the residual stream by an orthogonal map.")
map_queries_keys = _public(_map_queries_keys, "Invertible maps of queries and keys that cancel in the score.")
map_values_outputs = _public(_map_values_outputs, "Invertible maps of values that the output projection undoes.")
rescale_units = _public(_rescale_units, "Scale up rows of gated MLPs by 1/4 to 4 and down columns by the inverse.")

WASHES: dict[str, Wash] = {
    "permute-units": permute_units,
    "permute-heads": permute_heads,
    "permute-hidden": permute_hidden,
    "rotate-residual": rotate_residual,
    "map-queries-keys": map_queries_keys,
    "map-values-outputs": map_values_outputs,
    "rescale-units": rescale_units,
}


def valid_washes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the washes that leave a model of this configuration as it was, in the order they are applied."""
    if config.get("model_type") in LLAMA_LIKE:
        return tuple(WASHES)
    if config.get("model_type") == "gpt2":
        return tuple(name for name in WASHES if name != "rescale-units")
    return ()


def everything(
    weights: Mapping[str, Array], config: Mapping[str, Any], rng: np.random.Generator
) -> tuple[Weights, Config]:
    """All washes that are valid for this model, one after the other."""
    if not valid_washes(config):
        raise NotValid(f"no wash is known for models of type {config.get('model_type')!r}")
    washed, new_config = dict(weights), dict(config)
    for name in valid_washes(config):
        washed, new_config = WASHES[name](washed, new_config, rng)
    return washed, new_config


def launder(folder_in: Path, folder_out: Path, *, washes: Sequence[str] = ("everything",), seed: int = 0) -> Path:
    """Write a laundered copy of a Hugging Face folder, in the type it was stored in; arithmetic is in float32.

    `washes`: names of `WASHES`, or 'everything'. Returns `folder_out`.
    """
    weights, config = read_folder(Path(folder_in))
    stored = {name: array.dtype for name, array in weights.items()}
    common = next(iter(stored.values()))
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    rng = np.random.default_rng(seed)
    for name in washes:
        wash = everything if name == "everything" else WASHES[name]
        weights, config = wash(weights, config, rng)
    back = {name: array.astype(stored.get(name, common)) for name, array in weights.items()}
    return write_folder(Path(folder_out), back, config, like=Path(folder_in))
