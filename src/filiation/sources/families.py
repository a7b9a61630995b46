"""Decoders by role: whatever a family calls its tensors and however it fuses them, `query` is `query`.

Arrays come in standard orientation (rows = outputs, as torch.nn.Linear stores them), fused tensors split, GPT-2's Conv1D
transposed, llama.cpp's permutation of query and key rows undone, norm gains effective (Gemma stores gain - 1).
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.errors import MalformedSource, UsageError
from filiation.evidence import Absent
from filiation.sources.source import Float32, Source, Tensors
from filiation.sources.tensor_names import HUGGING_FACE, LLAMA_CPP, NamedPart, NamedTensors, read_names

_WEIGHT_PARTS = (
    "embedding",
    "position_embedding",
    "attention_norm",
    "query",
    "key",
    "value",
    "query_a",
    "query_a_norm",
    "query_b",
    "key_value_a",
    "key_value_a_norm",
    "key_value_b",
    "key_b",
    "value_b",
    "query_norm",
    "key_norm",
    "attention_output",
    "attention_post_norm",
    "mlp_norm",
    "router",
    "router_correction",
    "gate",
    "up",
    "down",
    "shared_router",
    "shared_gate",
    "shared_up",
    "shared_down",
    "mlp_post_norm",
    "final_norm",
    "unembedding",
)
PARTS = tuple(name for part in _WEIGHT_PARTS for name in (part, part + "_bias"))
"""All parts a role may have, in canonical order."""

_PART_ORDER = {part: position for position, part in enumerate(PARTS)}


class Role(msgspec.Struct, frozen=True, order=False):
    """A place in a decoder: `layer` is -1 for the model's own parts, `expert` -1 outside of experts."""

    layer: int
    part: str
    expert: int = -1

    @property
    def text(self) -> str:
        """'embedding', 'layers.3.gate', 'layers.3.experts.7.gate'."""
        expert = f"experts.{self.expert}." if self.expert >= 0 else ""
        return f"layers.{self.layer}.{expert}{self.part}" if self.layer >= 0 else self.part


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What a family's tensors mean beyond their names."""

    name: str
    gain_offset: float = 0.0  # Gemma multiplies by 1 + w
    fused_by_group: bool = False  # query, key and value rows alternate by head or group of heads


_FAMILIES = {
    model_type: Family(name=name)
    for model_type, name in {
        "llama": "llama",
        "mistral": "mistral",
        "smollm3": "llama",
        "qwen2": "qwen2",
        "qwen3": "qwen3",
        "phi3": "phi3",
        "gpt2": "gpt2",
        "olmo2": "olmo2",
        "mixtral": "mixtral",
        "qwen2_moe": "qwen2_moe",
        "qwen3_moe": "qwen3_moe",
        "deepseek_v2": "deepseek_v2",
        "deepseek_v3": "deepseek_v3",
    }.items()
} | {
    "gemma": Family(name="gemma", gain_offset=1.0),
    "gemma2": Family(name="gemma2", gain_offset=1.0),
    "gemma3": Family(name="gemma3", gain_offset=1.0),
    "gemma3_text": Family(name="gemma3", gain_offset=1.0),
    "gpt_neox": Family(name="gpt_neox", fused_by_group=True),
    "falcon": Family(name="falcon", fused_by_group=True),
}

KNOWN_FAMILIES = tuple(sorted({family.name for family in _FAMILIES.values()}))

_PERMUTED_BY_LLAMA_CPP = ("llama", "mistral", "mixtral")
_COUNTED = ("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a role's numbers lie in the stored tensor: rows start..start+shape[0], in `groups` if they alternate."""

    tensor: str
    shape: tuple[int, ...]
    stacked_expert: int = -1
    transposed: bool = False
    gain_offset: float = 0.0
    start: int = -1  # first stored row; -1: the role is the whole tensor
    groups: tuple[int, int, int, int] | None = None  # groups, rows per group, first row inside the group, rows taken
    unrotated_heads: int = 0  # heads whose halves llama.cpp has interleaved


class _Heads(msgspec.Struct, frozen=True, kw_only=True):
    query: int
    key_value: int
    size: int


class Decoder:
    """One decoder seen by roles. Reads one tensor at a time; keeps none."""

    def __init__(
        self,
        *,
        exhibit: str,
        tensors: Tensors,
        named: NamedTensors,
        configuration: Mapping[str, Any],
        family: Family,
    ) -> None:
        self._exhibit = exhibit
        self._tensors = tensors
        self._named = named
        self._configuration = configuration
        self._family = family
        self.family = family.name
        self._places: dict[Role, _Place] = {}
        self.layers = self._count_layers()
        self.hidden_size = self._find_hidden_size()
        self._heads = _heads_of(configuration, self.hidden_size)
        self._map_roles()
        self._finish_falcon()
        self.tied = self._tie()
        self.kind = "gated" if any(role.part in ("gate", "shared_gate") for role in self._places) else "ungated"
        self.norm = "layer" if any(role.part.endswith("norm_bias") for role in self._places) else "rms"
        self.experts = 1 + max((role.expert for role in self._places), default=-1)
        embedding = self._places[Role(-1, "embedding")].shape
        self.vocabulary_size = _natural(configuration, "vocab_size") or embedding[0]
        self._roles = tuple(sorted(self._places, key=lambda r: (r.layer, _PART_ORDER[r.part], r.expert)))
        self._check()

    # ------------------------------------------------------------------------------------------------- what is there

    @property
    def attention_heads(self) -> int:
        """Number of query heads; 0 where the configuration does not say."""
        return self._heads.query

    @property
    def key_value_heads(self) -> int:
        return self._heads.key_value

    @property
    def head_size(self) -> int:
        return self._heads.size

    @property
    def intermediate_size(self) -> int:
        """Units of the first layer's MLP (of one expert, where there are experts)."""
        return self.mlp_units(0)

    def mlp_units(self, layer: int) -> int:
        """Units of one layer's MLP; of one expert where the layer has experts."""
        for expert in (-1, 0):
            role = Role(layer, "up", expert)
            if role in self._places:
                return self._places[role].shape[0]
        return 0

    def roles(self) -> tuple[Role, ...]:
        """All roles, in canonical order: the model's own parts, then layer by layer, expert by expert."""
        return self._roles

    def has(self, role: Role) -> bool:
        return role in self._places

    def shape(self, role: Role) -> tuple[int, ...]:
        return self._place(role).shape

    def tensor_of(self, role: Role) -> str:
        """The name of the stored tensor that holds the role."""
        return self._place(role).tensor

    def unmapped(self) -> tuple[str, ...]:
        """Names of tensors that no role covers (rotary buffers, further prediction heads, other towers)."""
        used = {place.tensor for place in self._places.values()}
        return tuple(name for name in self._tensors.names() if name not in used)

    # -------------------------------------------------------------------------------------------------------- reading

    def read(self, role: Role) -> Float32:
        """The role as float32, shape `shape(role)`, rows = outputs; norms as effective gains. UsageError if not there."""
        place = self._place(role)
        if place.stacked_expert < 0 and not place.transposed and (place.start >= 0 or place.groups):
            return self._finished(place, self._tensors.read_rows(place.tensor, _stored_rows(place)))
        whole = self._whole(place)
        if place.start >= 0 or place.groups or place.unrotated_heads:
            whole = whole[_stored_rows(place)]
        return self._finished(place, whole)

    def read_rows(self, role: Role, rows: NDArray[np.intp]) -> Float32:
        """The given rows of `read(role)`, in the order given, reading as little as the layout allows."""
        place = self._place(role)
        rows = np.asarray(rows, dtype=np.intp)
        if len(rows) and not (rows.min() >= 0 and rows.max() < place.shape[0]):
            raise UsageError(f"rows outside {role.text} of shape {place.shape}", exhibit=self._exhibit, advice="")
        stored = rows if _is_plain(place) else _stored_rows(place)[rows]
        if place.stacked_expert < 0 and not place.transposed:
            return self._finished(place, self._tensors.read_rows(place.tensor, stored))
        return self._finished(place, self._whole(place)[stored])

    def _whole(self, place: _Place) -> Float32:
        if place.stacked_expert >= 0:
            stack = self._tensors.read_rows(place.tensor, np.array([place.stacked_expert], dtype=np.intp))
            return stack.reshape(stack.shape[1:])
        whole: Float32 = self._tensors.read(place.tensor)
        return whole.T if place.transposed else whole

    def _finished(self, place: _Place, values: Float32) -> Float32:
        if place.gain_offset:
            values = values + np.float32(place.gain_offset)
        return np.ascontiguousarray(values, dtype=np.float32).reshape(-1, *place.shape[1:])

    def _place(self, role: Role) -> _Place:
        try:
            return self._places[role]
        except KeyError:
            raise UsageError(
                f"this {self.family} decoder has no {role.text}", exhibit=self._exhibit, advice="ask has(role) first"
            ) from None

    # -------------------------------------------------------------------------------------------------------- mapping

    def _malformed(self, problem: str) -> MalformedSource:
        return MalformedSource(
            problem,
            exhibit=self._exhibit,
            advice="weights and config.json do not belong together: fetch both again from one place",
        )

    def _count_layers(self) -> int:
        present = sorted({part.layer for part in self._named.parts if part.layer >= 0})
        told = _natural(self._configuration, "num_hidden_layers", "n_layer")
        # DeepSeek V3 appends layers that predict further tokens; they are not part of the decoder proper.
        extra = _natural(self._configuration, "num_nextn_predict_layers")
        layers = told or present[-1] + 1
        if present[: min(layers, len(present))] != list(range(layers)):
            missing = next(layer for layer in range(layers) if layer not in present)
            raise self._malformed(f"the config announces {layers} layers and there are no weights of layer {missing}")
        if present[-1] >= layers + extra:
            raise self._malformed(f"the config announces {layers} layers and there are weights of layer {present[-1]}")
        return layers

    def _find_hidden_size(self) -> int:
        embedding = next((part for part in self._named.parts if part.parts == ("embedding",)), None)
        if embedding is None:
            raise self._malformed("there are no token embeddings among the weights")
        shape = self._tensors.entry(embedding.tensor).shape
        told = _natural(self._configuration, "hidden_size", "n_embd") or shape[-1]
        if len(shape) != 2 or shape[1] != told:
            raise self._malformed(
                f"tensor {embedding.tensor!r} has shape {shape} and the config announces a hidden size of {told}"
            )
        return told

    def _map_roles(self) -> None:
        post_normed = any("mlp_post_norm" in part.parts for part in self._named.parts)
        for named in self._named.parts:
            if named.layer >= self.layers:
                continue
            parts = named.parts
            if post_normed and named.module == "post_attention_layernorm":
                parts = tuple(part.replace("mlp_norm", "attention_post_norm") for part in parts)
            shape = self._tensors.entry(named.tensor).shape
            for expert, stacked in self._experts_in(named, shape):
                self._map_tensor(named, parts, shape[1:] if stacked >= 0 else shape, expert, stacked)

    def _experts_in(self, named: NamedPart, shape: tuple[int, ...]) -> list[tuple[int, int]]:
        """(expert, position in the stack or -1) for each expert that the tensor holds."""
        if not named.stacked:
            return [(named.expert, -1)]
        if len(shape) < 2 or shape[0] > 1 << 16:
            raise self._malformed(f"tensor {named.tensor!r} has shape {shape}, which is no stack of experts")
        return [(expert, expert) for expert in range(shape[0])]

    def _map_tensor(
        self, named: NamedPart, parts: tuple[str, ...], shape: tuple[int, ...], expert: int, stacked: int
    ) -> None:
        transposed = self._is_conv1d(named, shape)
        if transposed:
            shape = shape[::-1]
        offset = self._family.gain_offset if self._named.dialect == HUGGING_FACE and "norm" in parts[0] else 0.0
        parts = self._split_fused_up(named, parts, shape)
        pieces = self._pieces(named, parts, shape)
        for part, place in zip(parts, pieces, strict=True):
            role = Role(named.layer, part, expert)
            if part not in _PART_ORDER and self.family != "falcon":
                continue  # only Falcon has a second attention norm; `_finish_falcon` gives it its place
            if role in self._places:
                raise self._malformed(f"{role.text} is in both {self._places[role].tensor!r} and {named.tensor!r}")
            self._places[role] = msgspec.structs.replace(
                place, stacked_expert=stacked, transposed=transposed, gain_offset=offset
            )

    def _is_conv1d(self, named: NamedPart, shape: tuple[int, ...]) -> bool:
        """GPT-2 stores (inputs, outputs); the shape of the first MLP matrix tells it from a plain linear layer."""
        if len(shape) != 2 or named.module not in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
            return False
        if named.module in ("attn.c_attn", "mlp.c_fc") and shape[0] != shape[1]:
            return shape[0] == self.hidden_size
        if named.module == "mlp.c_proj" and shape[0] != shape[1]:
            return shape[1] == self.hidden_size
        return self._family.name == "gpt2"

    def _split_fused_up(self, named: NamedPart, parts: tuple[str, ...], shape: tuple[int, ...]) -> tuple[str, ...]:
        """llama.cpp calls Phi-3's gate_up `ffn_up`; it has twice the rows that `ffn_down` has columns."""
        if self._named.dialect != LLAMA_CPP or named.module != "ffn_up" or len(shape) != 2:
            return parts
        down = named.tensor.replace("ffn_up", "ffn_down")
        if down in self._tensors.names() and self._tensors.entry(down).shape[-1] * 2 == shape[0]:
            return ("gate", "up")
        return parts

    def _pieces(self, named: NamedPart, parts: tuple[str, ...], shape: tuple[int, ...]) -> list[_Place]:
        tensor = named.tensor
        if len(parts) == 1:
            return [_Place(tensor=tensor, shape=shape, unrotated_heads=self._interleaved_heads(parts[0], shape))]
        if not shape:
            raise self._malformed(f"tensor {tensor!r} is a single number where {' + '.join(parts)} belong")
        if len(parts) == 2:
            half, odd = divmod(shape[0], 2)
            if odd:
                raise self._malformed(f"tensor {tensor!r} of shape {shape} does not split into gate and up")
            return [_Place(tensor=tensor, shape=(half, *shape[1:]), start=start) for start in (0, half)]
        return self._split_attention(tensor, shape)

    def _split_attention(self, tensor: str, shape: tuple[int, ...]) -> list[_Place]:
        heads = self._heads
        if not heads.query:
            raise self._malformed(f"tensor {tensor!r} fuses query, key and value, and no config tells the heads apart")
        rows = ((heads.query + 2 * heads.key_value) * heads.size, *shape[1:])
        if shape != rows:
            raise self._malformed(
                f"tensor {tensor!r} has shape {shape}; {heads.query} query and {heads.key_value} key heads of "
                f"{heads.size} need {rows}"
            )
        if self._family.fused_by_group and self._named.dialect == HUGGING_FACE:
            return self._split_by_group(tensor, shape)
        query, other = heads.query * heads.size, heads.key_value * heads.size
        counts = ((0, query), (query, other), (query + other, other))
        return [_Place(tensor=tensor, shape=(count, *shape[1:]), start=start) for start, count in counts]

    def _split_by_group(self, tensor: str, shape: tuple[int, ...]) -> list[_Place]:
        """Per group of heads: its query heads, its key head, its value head (GPT-NeoX: one query head per group)."""
        size, groups = self._heads.size, self._heads.key_value
        per_group = self._heads.query // groups
        width = (per_group + 2) * size
        spans = ((0, per_group * size), (per_group * size, size), ((per_group + 1) * size, size))
        return [
            _Place(tensor=tensor, shape=(groups * count, *shape[1:]), groups=(groups, width, start, count))
            for start, count in spans
        ]

    def _interleaved_heads(self, part: str, shape: tuple[int, ...]) -> int:
        """llama.cpp stores each rotary head of a llama's query and key as pairs instead of halves."""
        if self._named.dialect != LLAMA_CPP or self._configuration.get("model_type") not in _PERMUTED_BY_LLAMA_CPP:
            return 0
        name = part.removesuffix("_bias")
        heads = {"query": self._heads.query, "key": self._heads.key_value}.get(name, 0)
        if heads and (not shape or shape[0] % (2 * heads)):
            raise self._malformed(f"{part} of shape {shape} does not split into {heads} heads")
        return heads

    def _finish_falcon(self) -> None:
        """Falcon's parallel blocks: one norm feeds attention and MLP (7B), or two (40B: llama.cpp swaps their names)."""
        if self.family != "falcon":
            return
        for layer in range(self.layers):
            for suffix in ("", "_bias"):
                norm, second, mlp = (
                    Role(layer, name + suffix) for name in ("attention_norm", "attention_norm_2", "mlp_norm")
                )
                if second in self._places and norm in self._places:
                    self._places[mlp] = self._places[norm]
                    self._places[norm] = self._places.pop(second)
                elif norm in self._places and mlp not in self._places:
                    self._places[mlp] = self._places[norm]

    def _tie(self) -> bool:
        told = self._configuration.get("tie_word_embeddings")
        stored = Role(-1, "unembedding") in self._places
        # Gemma's files leave the flag out, because it is the default there: without a head of its own it is tied.
        tied = bool(told) if stored else told is not False or self._named.dialect == LLAMA_CPP
        if tied:
            self._places[Role(-1, "unembedding")] = self._places[Role(-1, "embedding")]
        return tied

    # ------------------------------------------------------------------------------------------------------- checking

    def _check(self) -> None:
        for layer in range(self.layers):
            self._check_complete(layer)
        for role, place in self._places.items():
            expected = self._expected_shape(role)
            if expected is not None and place.shape != expected:
                raise self._malformed(
                    f"tensor {place.tensor!r} ({role.text}) has shape {place.shape} where the config implies {expected}"
                )

    def _check_complete(self, layer: int) -> None:
        experts = {role.expert for role in self._places if role.layer == layer and role.expert >= 0}
        told = _natural(self._configuration, "num_local_experts", "num_experts", "n_routed_experts")
        if experts and (experts != set(range(len(experts))) or (told and len(experts) != told)):
            raise self._malformed(f"layer {layer} has weights of {len(experts)} experts where there should be {told}")
        gated = any(role.part == "gate" for role in self._places)
        parts = ("gate", "up", "down") if gated else ("up", "down")
        for expert in sorted(experts) or [-1]:
            for part in parts:
                if Role(layer, part, expert) not in self._places:
                    raise self._malformed(f"there is no tensor for {Role(layer, part, expert).text}")
        if self.family.startswith("unknown:"):
            return
        for part in (
            ("query", "key_value_a") if Role(layer, "key_value_a") in self._places else ("query", "key", "value")
        ):
            if Role(layer, part) not in self._places and Role(layer, part + "_b") not in self._places:
                raise self._malformed(f"there is no tensor for {Role(layer, part).text}")

    def _expected_shape(self, role: Role) -> tuple[int, ...] | None:
        """The shape that configuration and sibling tensors imply, None where they imply none."""
        width, heads = self.hidden_size, self._heads
        units = self._told_units(role)
        actual = self._places[role].shape
        if role.part in ("embedding", "unembedding"):
            # More rows than tokens is padding; fewer would leave tokens without a row.
            return (max(self.vocabulary_size, actual[0] if actual else 0), width)
        latent = Role(role.layer, "key_value_a") in self._places
        table: dict[str, tuple[int, ...] | None] = {
            "gate": (units or self.mlp_units_of(role), width),
            "up": (units or self.mlp_units_of(role), width),
            "down": (width, units or self.mlp_units_of(role)),
            "query": (heads.query * heads.size, width) if heads.query and not latent else None,
            "key": (heads.key_value * heads.size, width) if heads.query and not latent else None,
            "value": (heads.key_value * heads.size, width) if heads.query and not latent else None,
            "attention_output": (width, heads.query * heads.size) if heads.query and not latent else None,
            "router": (self.experts, width),
        }
        table |= dict.fromkeys(
            ("attention_norm", "attention_post_norm", "mlp_norm", "mlp_post_norm", "final_norm"), (width,)
        )
        if role.part.endswith("_bias"):
            weight = Role(role.layer, role.part.removesuffix("_bias"), role.expert)
            return self._places[weight].shape[:1] if weight in self._places else None
        return table.get(role.part)

    def mlp_units_of(self, role: Role) -> int:
        up = Role(role.layer, "up", role.expert)
        return self._places[up].shape[0] if up in self._places else 0

    def _told_units(self, role: Role) -> int:
        if role.expert >= 0:
            return _natural(self._configuration, "moe_intermediate_size") or (
                _natural(self._configuration, "intermediate_size") if self.family == "mixtral" else 0
            )
        told = self._configuration.get("intermediate_size", self._configuration.get("n_inner"))
        if isinstance(told, list):
            told = told[role.layer] if role.layer < len(told) else None
        if told is None and self.family in ("gpt2", "falcon"):
            told = self._configuration.get("ffn_hidden_size") or 4 * self.hidden_size
        return told if type(told) is int and told > 0 else 0


def _is_plain(place: _Place) -> bool:
    return place.start < 0 and place.groups is None and not place.unrotated_heads


def _stored_rows(place: _Place) -> NDArray[np.intp]:
    """For each row of the role, the row of the stored tensor that holds it."""
    if place.groups is not None:
        groups, width, start, count = place.groups
        return (np.arange(groups)[:, None] * width + start + np.arange(count)[None, :]).reshape(-1)
    if place.unrotated_heads:
        # Stored row (head, pair, half) is the role's row (head, half, pair).
        return np.arange(place.shape[0]).reshape(place.unrotated_heads, -1, 2).swapaxes(1, 2).reshape(-1)
    return np.arange(max(place.start, 0), max(place.start, 0) + place.shape[0])


def _natural(configuration: Mapping[str, Any], *keys: str) -> int:
    """The first of the keys that holds a natural number, 0 where none does."""
    for key in keys:
        value = configuration.get(key)
        if type(value) is int and 0 < value < 1 << 31:
            return value
    return 0


def _heads_of(configuration: Mapping[str, Any], hidden_size: int) -> _Heads:
    query = _natural(configuration, "num_attention_heads", "n_head")
    key_value = _natural(configuration, "num_key_value_heads", "num_kv_heads") or query
    if configuration.get("model_type") == "falcon" and not configuration.get("new_decoder_architecture"):
        key_value = 1 if configuration.get("multi_query", True) else query
    size = _natural(configuration, "head_dim") or (hidden_size // query if query else 0)
    if query and query % key_value:
        raise MalformedSource(
            f"{query} query heads cannot share {key_value} key heads", advice="check num_key_value_heads in config.json"
        )
    return _Heads(query=query, key_value=key_value, size=size)


def text_configuration(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a configuration that is about the text decoder (models with vision nest it)."""
    for key in ("text_config", "llm_config", "language_config"):
        nested = configuration.get(key)
        if isinstance(nested, dict):
            tied = {k: configuration[k] for k in ("tie_word_embeddings", "quantization_config") if k in configuration}
            return {**tied, "model_type": configuration.get("model_type"), **nested}
    return configuration


_known: weakref.WeakKeyDictionary[Source, Decoder | Absent] = weakref.WeakKeyDictionary()


def decoder_of(source: Source) -> Decoder | Absent:
    """The decoder that a source holds, by roles; `Absent` tells why there is none and what could still be examined.

    Raises MalformedSource where tensors and configuration contradict one another. The result is kept with the source.
    """
    if source not in _known:
        _known[source] = _decoder_of(source)
    return _known[source]


def _decoder_of(source: Source) -> Decoder | Absent:
    tensors = source.tensors()
    if isinstance(tensors, Absent):
        return tensors
    told = source.configuration()
    configuration = {} if isinstance(told, Absent) else text_configuration(told)
    model_type = str(configuration.get("model_type") or "no model_type")
    names = tensors.names()
    named = read_names(names, {name: tensors.entry(name).nbytes for name in names})
    if named is None or not _has_mlp(named):
        return _unknown(model_type, names, configuration)
    packed = next((p.tensor for p in named.parts if _is_packed(tensors, p)), None)
    if packed is not None:
        return Absent(
            reason=f"tensor {packed!r} is packed as {tensors.entry(packed).dtype}: weights quantised by another library "
            "are not read; dequantise the model to bfloat16, or give its GGUF; design and tokenizer can be examined"
        )
    family = _FAMILIES.get(model_type, Family(name=f"unknown:{model_type}"))
    try:
        return Decoder(exhibit=source.name, tensors=tensors, named=named, configuration=configuration, family=family)
    except MalformedSource as error:
        if family.name.startswith("unknown:"):
            return Absent(
                reason=f"the family {model_type!r} is not known, and reading it like a llama fails: {error.message}; "
                "design and tokenizer can be examined"
            )
        if not error.exhibit:
            raise MalformedSource(error.message, exhibit=source.name, advice=error.advice) from error
        raise


def _has_mlp(named: NamedTensors) -> bool:
    parts = {part for entry in named.parts for part in entry.parts}
    return {"up", "down"} <= parts


def _is_packed(tensors: Tensors, part: NamedPart) -> bool:
    return tensors.entry(part.tensor).dtype in _COUNTED and not part.parts[0].endswith("_bias")


def _unknown(model_type: str, names: Sequence[str], configuration: Mapping[str, Any]) -> Absent:
    if any(".lora_" in name for name in names):
        return Absent(reason="these weights are an adapter (LoRA): merge it into its base model and give the result")
    packing = configuration.get("quantization_config")
    if any(name.endswith((".qweight", ".weight_packed")) for name in names):
        how = packing.get("quant_method", "unknown") if isinstance(packing, dict) else "unknown"
        return Absent(
            reason=f"the weights are packed (quantisation method {how}): dequantise the model to bfloat16, or give its GGUF; "
            "design and tokenizer can be examined"
        )
    return Absent(
        reason=f"the family {model_type!r} is not among those whose tensors are known ({', '.join(KNOWN_FAMILIES)}), and "
        f"its {len(names)} tensors have no names of theirs; design and tokenizer can be examined"
    )
