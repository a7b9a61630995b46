"""Designs read from configurations, and where they agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.examiners.architecture import public_table
from filiation.measures.design import (
    BIAS_BY_TYPE,
    FEATURES,
    QK_NORM_BY_TYPE,
    agreeing,
    comparable,
    design_of,
    is_decoder,
    own_lineage,
)

LLAMA_2_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "rope_theta": 10000.0,
}


def test_design_as_published_for_llama_2_7b() -> None:
    assert design_of(LLAMA_2_7B) == {
        "hidden_size": "4096",
        "num_hidden_layers": "32",
        "num_attention_heads": "32",
        "num_key_value_heads": "32",
        "head_dim": "128",
        "intermediate_size": "11008",
        "vocab_size": "32000",
        "hidden_act": "silu",
        "norm_type": "RMSNorm",
        "attention_style": "MHA",
        "qk_norm": "no",
        "tie_word_embeddings": "no",
        "rope_theta": "10000",
    }


@pytest.mark.parametrize(
    ("stated", "feature", "value"),
    [
        ({"model_type": "gpt2", "n_embd": 768}, "intermediate_size", "3072"),
        ({"model_type": "qwen2"}, "attention_bias", "yes"),
        ({"model_type": "qwen2", "attention_bias": False}, "attention_bias", "no"),
        ({"model_type": "qwen3"}, "qk_norm", "yes"),
        ({"num_attention_heads": 71, "multi_query": True}, "num_key_value_heads", "1"),
        (
            {"num_attention_heads": 32, "multi_query_attention": True, "multi_query_group_num": 2},
            "attention_style",
            "GQA",
        ),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}}, "rope_theta", "1000000"),
        ({"rope_theta": 999999.4420358813}, "rope_theta", "999999"),
        ({"sliding_window": 131072, "use_sliding_window": False}, "sliding_window", "none"),
        ({"num_local_experts": 8}, "num_experts", "8"),
        ({"text_config": {"hidden_size": 640}}, "hidden_size", "640"),
        ({"activation_function": "gelu_new"}, "hidden_act", "gelu (tanh)"),
    ],
)
def test_feature_as_the_implementation_reads_it(stated: dict[str, object], feature: str, value: str) -> None:
    assert design_of(stated)[feature] == value


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"hidden_size": 0},
        {"hidden_size": True},
        {"hidden_size": "4096"},
        {"rope_theta": float("nan")},
        {"unknown": 1},
    ],
)
def test_what_is_not_stated_is_left_out(stated: dict[str, object]) -> None:
    assert design_of(stated) == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
known_keys = st.sampled_from(
    [
        "hidden_size",
        "n_embd",
        "head_dim",
        "rope_theta",
        "rope_parameters",
        "text_config",
        "sliding_window",
        "model_type",
        "num_attention_heads",
        "hidden_act",
        "qk_norm",
        "architectures",
        "num_experts",
        "tie_word_embeddings",
    ]
)


@given(st.dictionaries(known_keys | st.text(max_size=8), json_values, max_size=8))
def test_any_json_gives_text_under_known_features(configuration: dict[str, object]) -> None:
    design = design_of(configuration)
    assert set(design) <= set(FEATURES)
    assert all(isinstance(value, str) and value for value in design.values())
    assert isinstance(is_decoder(configuration), bool)


designs = st.dictionaries(st.sampled_from(FEATURES), st.sampled_from(["1", "2", "3"]))


@given(designs, designs)
def test_comparing_is_symmetric_and_a_silent_control_agrees(first: dict[str, str], second: dict[str, str]) -> None:
    features = comparable(first, second)
    assert features == comparable(second, first)
    assert agreeing(first, second, features) == agreeing(second, first, features)
    assert agreeing(first, {}, features) == features


def test_masked_models_are_no_decoders() -> None:
    assert not is_decoder({"model_type": "bert"})
    assert not is_decoder({"architectures": ["RobertaForMaskedLM"]})
    assert not is_decoder({"is_encoder_decoder": True})
    assert is_decoder(LLAMA_2_7B)


def test_a_lineage_is_left_out_only_when_name_and_design_agree() -> None:
    table, _ = public_table()
    design = design_of(LLAMA_2_7B)
    assert own_lineage("Llama-2-7b-hf", design, table) == "Llama"
    assert own_lineage("llama-2-7b.Q4_0.gguf", design, table) == "Llama"
    assert own_lineage("our-own-model", design, table) == ""
    assert own_lineage("Llama-2-7b-hf", design | {"hidden_size": "4000"}, table) == ""


def test_table_has_released_models_of_many_lineages_and_no_encoder() -> None:
    table, _ = public_table()
    released = {entry.lineage for entry in table if not entry.model.endswith("class default")}
    assert len(released) >= 20
    assert not {"bert-base-uncased", "roberta-base", "aya-101"} & {entry.model for entry in table}
    assert all(entry.basis and entry.publisher for entry in table)
    by_model = {entry.model: entry for entry in table}
    assert by_model["DeepSeek-R1-Distill-Qwen-7B"].lineage == "Qwen"
    assert by_model["Qwen3-8B"].design["qk_norm"] == "yes"
    assert by_model["falcon-7b"].design["num_key_value_heads"] == "1"


@pytest.mark.real_data
@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "olmo2", "gemma2", "llama", "starcoder2"])
def test_facts_by_type_against_the_implementation(model_type: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from studies.public_configurations import kinds_in_code

    seen = kinds_in_code(model_type)
    assert seen["qk_norm"] == ("yes" if QK_NORM_BY_TYPE[model_type] else "no")
    if model_type in BIAS_BY_TYPE:
        assert seen["attention_bias"] == ("yes" if BIAS_BY_TYPE[model_type] else "no")
