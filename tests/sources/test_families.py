"""Every role is held against what transformers' own modules compute with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the truth of these tests is transformers' own modules (extra models)")
pytest.importorskip("transformers")

from safetensors.numpy import load_file, save_file  # noqa: E402

from filiation.errors import MalformedSource, UsageError  # noqa: E402
from filiation.evidence import Absent  # noqa: E402
from filiation.sources.families import Decoder, Role, decoder_of  # noqa: E402
from filiation.sources.open import open_source  # noqa: E402
from tests.sources.tiny_models import CONFIGURATIONS, build  # noqa: E402

EXPECTED = {
    "llama": ("llama", "gated", "rms", False, 0),
    "llama tied with biases": ("llama", "gated", "rms", True, 0),
    "mistral": ("mistral", "gated", "rms", False, 0),
    "qwen2": ("qwen2", "gated", "rms", True, 0),
    "qwen3": ("qwen3", "gated", "rms", False, 0),
    "gemma2": ("gemma2", "gated", "rms", True, 0),
    "gemma3": ("gemma3", "gated", "rms", True, 0),
    "phi3": ("phi3", "gated", "rms", False, 0),
    "gpt2": ("gpt2", "ungated", "layer", True, 0),
    "gpt_neox": ("gpt_neox", "ungated", "layer", False, 0),
    "olmo2": ("olmo2", "gated", "rms", False, 0),
    "falcon multi-query": ("falcon", "ungated", "layer", True, 0),
    "falcon by head": ("falcon", "ungated", "layer", True, 0),
    "falcon grouped": ("falcon", "ungated", "layer", True, 0),
    "mixtral": ("mixtral", "gated", "rms", False, 4),
    "qwen2_moe": ("qwen2_moe", "gated", "rms", False, 4),
    "qwen3_moe": ("qwen3_moe", "gated", "rms", False, 4),
    "deepseek_v3": ("deepseek_v3", "gated", "rms", False, 4),
    "deepseek_v2": ("deepseek_v2", "gated", "rms", False, 4),
}
MIXTURES = [name for name, expected in EXPECTED.items() if expected[4]]
WITH_DENSE_LAYERS = [name for name in EXPECTED if name not in ("mixtral", "qwen2_moe", "qwen3_moe")]
WITH_PLAIN_ATTENTION = [name for name in EXPECTED if not name.startswith("deepseek")]


@pytest.fixture(scope="module", params=list(CONFIGURATIONS))
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Decoder, Path]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    model = build(request.param, folder)
    decoder = decoder_of(open_source(folder))
    assert isinstance(decoder, Decoder)
    return request.param, model, decoder, folder


def blocks(model: Any) -> Any:
    """The list of decoder layers, wherever a family keeps it."""
    return model.base_model.layers if hasattr(model.base_model, "layers") else model.base_model.h


def bias(decoder: Decoder, layer: int, part: str) -> Any:
    role = Role(layer, part + "_bias")
    return decoder.read(role) if decoder.has(role) else 0.0


def recorded(module: Any, run: Any) -> list[np.ndarray]:
    """Outputs of `module` while `run` is called."""
    seen: list[np.ndarray] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        seen.append((output[0] if isinstance(output, tuple) else output).detach().numpy())

    handle = module.register_forward_hook(keep)
    try:
        with torch.no_grad():
            run()
    finally:
        handle.remove()
    return seen


def test_description_against_the_configuration(world: tuple[str, Any, Decoder, Path]) -> None:
    name, model, decoder, _ = world
    assert (decoder.family, decoder.kind, decoder.norm, decoder.tied, decoder.experts) == EXPECTED[name]
    assert decoder.layers == model.config.num_hidden_layers
    assert decoder.hidden_size == model.config.hidden_size
    assert decoder.vocabulary_size == 64
    assert decoder.unmapped() == ()


def test_every_stored_number_belongs_to_exactly_one_role(world: tuple[str, Any, Decoder, Path]) -> None:
    """Sorted numbers of all roles = sorted numbers of all stored tensors: nothing lost, nothing read twice."""
    name, _, decoder, folder = world
    stored = np.concatenate([tensor.ravel() for tensor in load_file(folder / "model.safetensors").values()])
    offset = 1.0 if name.startswith("gemma") else 0.0
    once = {}
    for role in decoder.roles():
        if role.part == "unembedding" and decoder.tied:
            continue
        if decoder.family == "falcon" and role.part.startswith("mlp_norm") and decoder.tensor_of(role) in once:
            continue  # one norm feeds both halves of a parallel block
        read = decoder.read(role)
        assert read.shape == decoder.shape(role)
        assert read.dtype == np.float32
        once.setdefault(decoder.tensor_of(role), []).append(read.ravel() - (offset if "norm" in role.part else 0.0))
    all_read = np.concatenate([part for parts in once.values() for part in parts])
    np.testing.assert_allclose(np.sort(all_read), np.sort(stored), atol=1e-6)


@pytest.mark.parametrize("world", WITH_DENSE_LAYERS, indirect=True)
def test_mlp_output_against_torch_forward(world: tuple[str, Any, Decoder, Path]) -> None:
    _, model, decoder, _ = world
    block = blocks(model)[0]
    mlp = block.mlp
    x = torch.randn(1, 3, decoder.hidden_size)
    with torch.no_grad():
        expected = mlp(x)
        hidden = x.numpy()[0] @ decoder.read(Role(0, "up")).T + bias(decoder, 0, "up")
        if decoder.kind == "gated":
            activation = getattr(mlp, "act_fn", None) or getattr(mlp, "activation_fn", None)
            gate = x.numpy()[0] @ decoder.read(Role(0, "gate")).T + bias(decoder, 0, "gate")
            hidden = hidden * activation(torch.from_numpy(gate)).numpy()
        else:
            hidden = mlp.act(torch.from_numpy(hidden)).numpy()
        made = hidden @ decoder.read(Role(0, "down")).T + bias(decoder, 0, "down")
    np.testing.assert_allclose(made, expected[0].numpy(), atol=2e-4)


@pytest.mark.parametrize("world", MIXTURES, indirect=True)
def test_experts_against_torch_forward(world: tuple[str, Any, Decoder, Path]) -> None:
    """The experts' sum, weighted by what torch's own router says."""
    _, model, decoder, _ = world
    layer = decoder.layers - 1
    mlp = blocks(model)[layer].mlp
    x = torch.randn(1, 5, decoder.hidden_size)
    given: list[Any] = []
    handle = mlp.experts.register_forward_hook(lambda _m, inputs, output: given.append((inputs, output)))
    with torch.no_grad():
        mlp(x)
    handle.remove()
    (states, chosen, weights), expected = given[0][0][:3], given[0][1]
    made = np.zeros((5, decoder.hidden_size), dtype=np.float32)
    for token in range(5):
        for expert, weight in zip(chosen[token].tolist(), weights[token].tolist(), strict=True):
            state = states[token].detach().numpy()
            gate = torch.nn.functional.silu(torch.from_numpy(decoder.read(Role(layer, "gate", expert)) @ state)).numpy()
            hidden = gate * (decoder.read(Role(layer, "up", expert)) @ state)
            made[token] += weight * (decoder.read(Role(layer, "down", expert)) @ hidden)
    np.testing.assert_allclose(made, expected.detach().numpy(), atol=2e-4)
    logits = mlp.gate.weight.detach().numpy()
    np.testing.assert_array_equal(decoder.read(Role(layer, "router")), logits)


FUSED_SPLITS = {
    "phi3": lambda block, x: np.split(block.self_attn.qkv_proj(x)[0].detach().numpy(), [32, 48], axis=-1),
    "gpt2": lambda block, x: np.split(block.attn.c_attn(x)[0].detach().numpy(), 3, axis=-1),
    "gpt_neox": lambda block, x: [
        part.reshape(3, 32)
        for part in np.split(block.attention.query_key_value(x)[0].detach().numpy().reshape(3, 4, 24), 3, axis=-1)
    ],
}


@pytest.mark.parametrize("world", WITH_PLAIN_ATTENTION, indirect=True)
def test_query_key_value_against_torch_projections(world: tuple[str, Any, Decoder, Path]) -> None:
    name, model, decoder, _ = world
    block, x = blocks(model)[1], torch.randn(1, 3, decoder.hidden_size)
    made = [x.numpy()[0] @ decoder.read(Role(1, part)).T + bias(decoder, 1, part) for part in ("query", "key", "value")]
    if name in FUSED_SPLITS:
        expected = FUSED_SPLITS[name](block, x)
    elif name.startswith("falcon"):
        # Falcon's own splitting; grouped keys come back once per query head, so one copy per group is kept.
        attention = block.self_attention
        parts = attention._split_heads(attention.query_key_value(x))
        size, heads = decoder.head_size, decoder.attention_heads
        step = heads // decoder.key_value_heads
        expected = [p.detach().numpy()[0].reshape(3, -1, size) for p in parts]
        expected = [expected[0], *(p[:, ::step] if p.shape[1] == heads else p for p in expected[1:])]
        expected = [p.reshape(3, -1) for p in expected]
    else:
        attention = block.self_attn
        expected = [p(x)[0].detach().numpy() for p in (attention.q_proj, attention.k_proj, attention.v_proj)]
    for ours, theirs in zip(made, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


NORMS = {
    "gemma2": {
        "attention_norm": "input_layernorm",
        "attention_post_norm": "post_attention_layernorm",
        "mlp_norm": "pre_feedforward_layernorm",
        "mlp_post_norm": "post_feedforward_layernorm",
    },
    "olmo2": {"attention_post_norm": "post_attention_layernorm", "mlp_post_norm": "post_feedforward_layernorm"},
    "gpt2": {"attention_norm": "ln_1", "mlp_norm": "ln_2"},
    "falcon grouped": {"attention_norm": "ln_attn", "mlp_norm": "ln_mlp"},
    "falcon multi-query": {"attention_norm": "input_layernorm", "mlp_norm": "input_layernorm"},
}
NORMS["gemma3"] = NORMS["gemma2"]
USUAL_NORMS = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}


def test_effective_gains_against_torch_norms(world: tuple[str, Any, Decoder, Path]) -> None:
    """A norm applied to a vector must be (normalised vector) * gain + bias."""
    name, model, decoder, _ = world
    x = torch.randn(1, 2, decoder.hidden_size)
    plain = x.numpy()[0]
    if decoder.norm == "layer":
        plain = (plain - plain.mean(-1, keepdims=True)) / plain.std(-1, keepdims=True)
    else:
        plain = plain / np.sqrt((plain**2).mean(-1, keepdims=True))
    for part, module in NORMS.get(name, USUAL_NORMS).items():
        with torch.no_grad():
            expected = getattr(blocks(model)[1], module)(x)[0].numpy()
        np.testing.assert_allclose(
            plain * decoder.read(Role(1, part)) + bias(decoder, 1, part), expected, atol=1e-3, err_msg=part
        )


def test_logits_from_final_norm_and_unembedding_against_torch(world: tuple[str, Any, Decoder, Path]) -> None:
    _, model, decoder, _ = world
    head = model.get_output_embeddings()
    np.testing.assert_array_equal(decoder.read(Role(-1, "unembedding")), head.weight.detach().numpy())
    np.testing.assert_array_equal(
        decoder.read(Role(-1, "embedding")), model.get_input_embeddings().weight.detach().numpy()
    )
    tokens = torch.tensor([[3, 7, 11]])
    names = ("norm", "ln_f", "final_layer_norm")
    final = next(module for name, module in model.base_model.named_children() if name in names)
    normed = recorded(final, lambda: model(tokens))[0]
    with torch.no_grad():
        logits = model(tokens).logits.numpy()
    cap = getattr(model.config, "final_logit_softcapping", None)
    made = normed[0] @ decoder.read(Role(-1, "unembedding")).T
    np.testing.assert_allclose(cap * np.tanh(made / cap) if cap else made, logits[0], atol=2e-3)


def test_rows_against_the_whole_role(world: tuple[str, Any, Decoder, Path]) -> None:
    _, _, decoder, _ = world
    rng = np.random.default_rng(0)
    for role in decoder.roles():
        whole = decoder.read(role)
        rows = rng.integers(0, whole.shape[0], 5)
        np.testing.assert_array_equal(decoder.read_rows(role, rows), whole[rows], err_msg=role.text)
        assert decoder.read_rows(role, np.array([], dtype=np.intp)).shape == (0, *whole.shape[1:])
    with pytest.raises(UsageError):
        decoder.read_rows(Role(-1, "embedding"), np.array([decoder.shape(Role(-1, "embedding"))[0]]))
    with pytest.raises(UsageError):
        decoder.read(Role(0, "no such part"))


def test_renamed_prefixes_change_nothing(world: tuple[str, Any, Decoder, Path], tmp_path: Path) -> None:
    _, _, decoder, folder = world
    tensors = load_file(folder / "model.safetensors")
    prefix = next(n for n in tensors if ".0." in n).split(".")[0] + "."
    for new in ("model.language_model.", "stranger.", ""):
        where = tmp_path / (new or "none")
        where.mkdir()
        renamed = {(new + n.removeprefix(prefix)) if n.startswith(prefix) else n: t for n, t in tensors.items()}
        save_file(renamed, where / "model.safetensors")
        (where / "config.json").write_bytes((folder / "config.json").read_bytes())
        other = decoder_of(open_source(where))
        assert isinstance(other, Decoder)
        assert other.roles() == decoder.roles()
        for role in (decoder.roles()[0], decoder.roles()[-1], Role(0, "attention_output")):
            np.testing.assert_array_equal(other.read(role), decoder.read(role))


def test_identity_is_that_of_the_content(world: tuple[str, Any, Decoder, Path], tmp_path: Path) -> None:
    """Re-sharded and renamed: same content_id; one weight changed: another."""
    _, _, _, folder = world
    tensors = load_file(folder / "model.safetensors")
    original = open_source(folder).identity()
    config = (folder / "config.json").read_bytes()
    prefix = next(n for n in tensors if ".0." in n).split(".")[0] + "."

    def write(where: Path, parts: list[dict[str, np.ndarray]]) -> str | None:
        where.mkdir()
        (where / "config.json").write_bytes(config)
        for number, part in enumerate(parts):
            save_file(part, where / f"part-{number}.safetensors")
        return open_source(where).identity().content_id

    renamed = {n.replace(prefix, "other.", 1) if n.startswith(prefix) else n: t for n, t in tensors.items()}
    items = list(renamed.items())
    assert original.content_id is not None
    assert write(tmp_path / "sharded", [dict(items[::2]), dict(items[1::2])]) == original.content_id
    changed = {n: t.copy() for n, t in tensors.items()}
    next(iter(changed.values())).ravel()[0] += 1
    assert write(tmp_path / "changed", [changed]) != original.content_id
    assert original.coverage == 1.0
    assert all(record.basis == "read" for record in original.files)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    build("llama", folder)
    return folder


def variant(llama: Path, folder: Path, config: dict[str, Any] | None = None, tensors: Any = None) -> Path:
    """A copy of the tiny llama with settings replaced (None: removed) and tensors passed through a function."""
    settings = json.loads((llama / "config.json").read_text()) | (config or {})
    settings = {key: value for key, value in settings.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(settings))
    weights = load_file(llama / "model.safetensors")
    save_file(tensors(weights) if tensors else weights, folder / "model.safetensors")
    return folder


def test_unknown_family_with_llama_names_is_read_and_told(llama: Path, tmp_path: Path) -> None:
    decoder = decoder_of(open_source(variant(llama, tmp_path, {"model_type": "brand_new"})))
    assert isinstance(decoder, Decoder)
    assert decoder.family == "unknown:brand_new"
    assert decoder.read(Role(1, "gate")).shape == (48, 32)


def test_unknown_names_are_told_with_what_remains(llama: Path, tmp_path: Path) -> None:
    def rename(weights: Any) -> Any:
        return {f"t{number}": tensor for number, tensor in enumerate(weights.values())}

    answer = decoder_of(open_source(variant(llama, tmp_path, {"model_type": "brand_new"}, rename)))
    assert isinstance(answer, Absent)
    assert "brand_new" in answer.reason
    assert "tokenizer can be examined" in answer.reason


def test_adapter_and_packed_weights_are_told(llama: Path, tmp_path: Path) -> None:
    save_file(
        {"base.layers.0.mlp.up_proj.lora_A.weight": np.ones((2, 2), "f4")}, tmp_path / "adapter_model.safetensors"
    )
    answer = decoder_of(open_source(tmp_path))
    assert isinstance(answer, Absent)
    assert "LoRA" in answer.reason
    packed = tmp_path / "packed"
    packed.mkdir()
    answer = decoder_of(
        open_source(
            variant(llama, packed, None, lambda w: {n: t.astype("u1") if "mlp" in n else t for n, t in w.items()})
        )
    )
    assert isinstance(answer, Absent)
    assert "packed as U8" in answer.reason


CONTRADICTIONS = {
    "config announces another hidden size": ({"hidden_size": 64}, None, "(64, 32)"),
    "config announces more units": ({"intermediate_size": 96}, None, "(32, 48)"),
    "config announces more layers": ({"num_hidden_layers": 3}, None, "no weights of layer 2"),
    "config announces fewer layers": ({"num_hidden_layers": 1}, None, "weights of layer 1"),
    "config announces more tokens than rows": ({"vocab_size": 100}, None, "(64, 32)"),
    "config announces other heads": ({"num_key_value_heads": 4}, None, "(16, 32)"),
    "heads that cannot be shared": ({"num_key_value_heads": 3}, None, "cannot share"),
    "a tensor is missing": (None, lambda w: {n: t for n, t in w.items() if "1.mlp.up" not in n}, "layers.1.up"),
    "a layer is missing": (None, lambda w: {n: t for n, t in w.items() if ".0." not in n}, "layer 0"),
    "a matrix is transposed": (
        None,
        lambda w: {n: np.ascontiguousarray(t.T) if "0.mlp.up" in n else t for n, t in w.items()},
        "(32, 48)",
    ),
}


@pytest.mark.parametrize("scenario", CONTRADICTIONS)
def test_contradictions_between_weights_and_config_are_refused(scenario: str, llama: Path, tmp_path: Path) -> None:
    config, tensors, said = CONTRADICTIONS[scenario]
    with pytest.raises(MalformedSource) as raised:
        decoder_of(open_source(variant(llama, tmp_path, config, tensors)))
    assert said in str(raised.value)
    assert raised.value.advice
    assert raised.value.exhibit


def test_padded_embedding_rows_are_no_contradiction(llama: Path, tmp_path: Path) -> None:
    def pad(weights: Any) -> Any:
        return {
            n: np.vstack([t, np.zeros((4, 32), "f4")]) if "embed" in n or "lm_head" in n else t
            for n, t in weights.items()
        }

    decoder = decoder_of(open_source(variant(llama, tmp_path, None, pad)))
    assert isinstance(decoder, Decoder)
    assert (decoder.vocabulary_size, decoder.shape(Role(-1, "embedding"))) == (64, (68, 32))


def test_text_decoder_beside_a_larger_vision_tower(llama: Path, tmp_path: Path) -> None:
    def add_vision(weights: Any) -> Any:
        named = {
            "model.language_model." + n.removeprefix("model."): t for n, t in weights.items() if n.startswith("model.")
        }
        named["lm_head.weight"] = weights["lm_head.weight"]
        for layer in range(4):
            for part in ("up_proj", "gate_proj", "down_proj"):
                named[f"model.vision_tower.layers.{layer}.mlp.{part}.weight"] = np.ones((99, 99), "f4")
        named["model.vision_tower.norm.weight"] = np.ones(99, "f4")
        return named

    settings = json.loads((llama / "config.json").read_text())
    nested = {"model_type": "some_vision_model", "text_config": settings, **dict.fromkeys(settings)}
    nested["model_type"] = "some_vision_model"
    nested["text_config"] = settings
    decoder = decoder_of(open_source(variant(llama, tmp_path, nested, add_vision)))
    assert isinstance(decoder, Decoder)
    assert (decoder.family, decoder.hidden_size, decoder.layers) == ("llama", 32, 2)
