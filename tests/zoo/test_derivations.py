"""What each method promises, read from the saved files of a zoo that was hardly trained."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import Tokenizer

from studies.zoo import Zoo
from studies.zoo.architectures import load
from studies.zoo.folders import Weights, read_folder

UP = "model.layers.{}.mlp.up_proj.weight"
QUERY = "model.layers.0.self_attn.q_proj.weight"
EMBEDDING = "model.embed_tokens.weight"


def weights(zoo: Zoo, name: str) -> Weights:
    return read_folder(zoo[name])[0]


def config(zoo: Zoo, name: str) -> dict:
    return json.loads((zoo[name] / "config.json").read_text())


def test_all_members_load_and_have_a_finite_loss(hurried_zoo: Zoo) -> None:
    for name in hurried_zoo:
        assert load(hurried_zoo[name]) is not None
        assert np.isfinite(hurried_zoo.lineage(name)["loss_after"])
        assert {array.dtype for array in weights(hurried_zoo, name).values()} == {np.dtype(np.float32)}


def test_training_lowers_the_loss(hurried_zoo: Zoo) -> None:
    for name in ("base-a", "qwen2-a", "gpt2-a", "sibling", "same-order"):
        record = hurried_zoo.lineage(name)
        assert record["loss_after"] < record["loss_before"] - 0.2


def test_merged_low_rank_additions_have_the_rank_they_claim(hurried_zoo: Zoo) -> None:
    before, after = weights(hurried_zoo, "base-a"), weights(hurried_zoo, "lora")
    assert before.keys() == after.keys()
    difference = after[UP.format(0)].astype(float) - before[UP.format(0)]
    spectrum = np.linalg.svd(difference, compute_uv=False)
    assert spectrum[7] > 1e-4 * spectrum[0] > 0
    assert spectrum[8] < 1e-3 * spectrum[0]
    assert (before[EMBEDDING] == after[EMBEDDING]).all()


@pytest.mark.parametrize(
    ("member", "name", "axis"), [("int4", UP.format(1), 1), ("gpt2-int4", "transformer.h.1.mlp.c_fc.weight", 0)]
)
def test_four_bits_leave_fifteen_values_per_row(hurried_zoo: Zoo, member: str, name: str, axis: int) -> None:
    matrix = weights(hurried_zoo, member)[name]
    rows = matrix if axis == 1 else matrix.T
    assert all(len(np.unique(row)) <= 15 for row in rows)
    assert max(len(np.unique(row)) for row in rows) > 8


def test_pruning_zeroes_half_of_every_matrix_but_the_embeddings(hurried_zoo: Zoo) -> None:
    for name, matrix in weights(hurried_zoo, "pruned-half").items():
        if matrix.ndim == 2:
            expected = 0.0 if "embed" in name or "lm_head" in name else 0.5
            assert (matrix == 0).mean() == pytest.approx(expected, abs=1e-3)


def test_dropped_layer_is_the_middle_one(hurried_zoo: Zoo) -> None:
    before, after = weights(hurried_zoo, "base-a"), weights(hurried_zoo, "depth-pruned")
    assert config(hurried_zoo, "depth-pruned")["num_hidden_layers"] == 2
    assert correlation(after[UP.format(1)], before[UP.format(2)]) > 0.9
    assert abs(correlation(after[UP.format(1)], before[UP.format(1)])) < 0.5


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_a_third_of_the_units_is_gone(hurried_zoo: Zoo) -> None:
    assert config(hurried_zoo, "width-pruned")["intermediate_size"] == 256 - round(256 / 3)


def test_merge_is_the_weighted_mean(hurried_zoo: Zoo) -> None:
    a, c, merged = (weights(hurried_zoo, name) for name in ("base-a", "base-c", "merge-30"))
    for name, matrix in merged.items():
        np.testing.assert_allclose(matrix, 0.3 * a[name] + 0.7 * c[name], atol=1e-6)


def test_stitched_layers_come_from_two_parents(hurried_zoo: Zoo) -> None:
    a, c, stitched = (weights(hurried_zoo, name) for name in ("base-a", "base-c", "stitched"))
    assert correlation(stitched[UP.format(0)], a[UP.format(0)]) > 0.9
    assert correlation(stitched[UP.format(2)], c[UP.format(2)]) > 0.9
    assert correlation(stitched[EMBEDDING], a[EMBEDDING]) > 0.9


def test_new_tokens_have_rows_and_strings(hurried_zoo: Zoo) -> None:
    tokenizer = Tokenizer.from_file(str(hurried_zoo["vocabulary-extended"] / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 261
    assert weights(hurried_zoo, "vocabulary-extended")[EMBEDDING].shape == (261, 64)
    word = tokenizer.id_to_token(256)
    assert tokenizer.encode(word).ids == [256]
    assert tokenizer.decode([256]) == word


def test_noise_has_twice_the_weights_deviation(hurried_zoo: Zoo) -> None:
    before, after = (weights(hurried_zoo, name)[UP.format(0)] for name in ("base-a", "noise-2"))
    assert np.std(after - before) == pytest.approx(2 * np.std(before), rel=0.05)


def test_split_neurons_leave_the_function_nearly_as_it_was(hurried_zoo: Zoo) -> None:
    record = hurried_zoo.lineage("neurons-split")
    assert config(hurried_zoo, "neurons-split")["intermediate_size"] == 384
    assert record["loss_after"] == pytest.approx(record["loss_before"], abs=0.02)


def test_only_the_embeddings_are_new(hurried_zoo: Zoo) -> None:
    before, after = weights(hurried_zoo, "base-a"), weights(hurried_zoo, "embeddings-anew")
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert changed == {EMBEDDING, "lm_head.weight"}
    assert abs(correlation(before[EMBEDDING], after[EMBEDDING])) < 0.1


def test_only_the_mlps_are_drawn_anew(hurried_zoo: Zoo) -> None:
    before, after = weights(hurried_zoo, "base-a"), weights(hurried_zoo, "mlps-anew")
    assert abs(correlation(before[UP.format(0)], after[UP.format(0)])) < 0.3
    assert correlation(before[QUERY], after[QUERY]) > 0.9


def test_frozen_embeddings_are_the_parents_bytes_and_the_rest_is_not(hurried_zoo: Zoo) -> None:
    given, own = weights(hurried_zoo, "base-a"), weights(hurried_zoo, "shared-embeddings")
    assert given[EMBEDDING].tobytes() == own[EMBEDDING].tobytes()
    assert given["lm_head.weight"].tobytes() == own["lm_head.weight"].tobytes()
    assert abs(correlation(given[QUERY], own[QUERY])) < 0.3


def test_sibling_starts_from_the_same_numbers_and_strangers_do_not(hurried_zoo: Zoo) -> None:
    first = weights(hurried_zoo, "base-a")[QUERY]
    assert correlation(first, weights(hurried_zoo, "sibling")[QUERY]) > 0.5
    for stranger in ("base-b", "same-order", "student-logits", "student-hidden"):
        assert abs(correlation(first, weights(hurried_zoo, stranger)[QUERY])) < 0.3


def test_padded_units_are_zero_a_fifth_and_change_nothing(hurried_zoo: Zoo) -> None:
    padded, record = weights(hurried_zoo, "padded-b"), hurried_zoo.lineage("padded-b")
    assert padded[UP.format(0)].shape == (320, 64)
    assert (padded[UP.format(0)][256:] == 0).all()
    assert (padded["model.layers.0.mlp.down_proj.weight"][:, 256:] == 0).all()
    assert record["loss_after"] == pytest.approx(record["loss_before"], abs=1e-5)


def test_laundered_and_tuned_copies_no_longer_look_like_the_parent(hurried_zoo: Zoo) -> None:
    before, after = (weights(hurried_zoo, name)[UP.format(0)] for name in ("base-a", "laundered-tuned"))
    assert abs(correlation(before, after)) < 0.1
    assert not config(hurried_zoo, "qwen2-laundered-tuned")["tie_word_embeddings"]
