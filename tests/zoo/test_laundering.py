"""A wash leaves the function of a trained model as it was, to 1e-3 of its logits, and changes the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from studies.zoo import WASHES, Zoo, launder, valid_washes
from studies.zoo.architectures import load
from studies.zoo.folders import Weights, read_folder
from studies.zoo.laundering import NotValid, assemble, dissect, everything, permute_heads, rescale_units

FOUNDERS = ("base-a", "base-other-shape", "qwen2-a", "gpt2-a")
MOVED_BY = {
    "permute-units": ("up_proj", "c_fc"),
    "permute-heads": ("q_proj", "c_attn"),
    "permute-hidden": ("embed_tokens", "wte"),
    "rotate-residual": ("embed_tokens", "wte"),
    "map-queries-keys": ("q_proj", "c_attn"),
    "map-values-outputs": ("o_proj", "attn.c_proj"),
    "rescale-units": ("up_proj",),
    "everything": ("embed_tokens", "wte"),
}


def logits(folder: Path) -> torch.Tensor:
    inputs = torch.randint(0, 256, (2, 96), generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        return load(folder)(input_ids=inputs).logits


def cases() -> list[tuple[str, str]]:
    kinds = {"base-a": "llama", "base-other-shape": "llama", "qwen2-a": "qwen2", "gpt2-a": "gpt2"}
    return [
        (founder, wash)
        for founder in FOUNDERS
        for wash in (*valid_washes({"model_type": kinds[founder]}), "everything")
    ]


@pytest.mark.parametrize(("founder", "wash"), cases())
def test_logits_of_a_trained_model_agree_before_and_after(
    trained_zoo: Zoo, place: Path, founder: str, wash: str
) -> None:
    before = logits(trained_zoo[founder])
    after = logits(launder(trained_zoo[founder], place, washes=[wash], seed=11))
    assert (before - after).abs().max() < 1e-3 * before.abs().max()


@pytest.mark.parametrize(("founder", "wash"), cases())
def test_the_weights_it_is_meant_to_move_are_moved(trained_zoo: Zoo, place: Path, founder: str, wash: str) -> None:
    before, _ = read_folder(trained_zoo[founder])
    after, _ = read_folder(launder(trained_zoo[founder], place, washes=[wash], seed=11))
    moved = [name for name in before if any(part in name for part in MOVED_BY[wash])]
    assert moved
    assert any(relative_change(before[name], after[name]) > 0.3 for name in moved)


def relative_change(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.linalg.norm(before - after) / np.linalg.norm(before))


def test_rotation_of_half_the_weights_is_noticed_by_the_comparison(trained_zoo: Zoo, place: Path) -> None:
    """The comparison of logits can fail: one layer's MLP permuted on one side only is no wash."""
    weights, config = read_folder(trained_zoo["base-a"])
    order = np.random.default_rng(0).permutation(256)
    broken = {
        name: array[order] if name == "model.layers.1.mlp.up_proj.weight" else array for name, array in weights.items()
    }
    from studies.zoo.folders import write_folder

    before, after = (
        logits(trained_zoo["base-a"]),
        logits(write_folder(place, broken, config, like=trained_zoo["base-a"])),
    )
    assert (before - after).abs().max() > 1e-2 * before.abs().max()


def test_tied_embeddings_are_untied_by_rotation_only(trained_zoo: Zoo, place: Path) -> None:
    permuted, permuted_config = read_folder(launder(trained_zoo["qwen2-a"], place / "p", washes=["permute-hidden"]))
    rotated, rotated_config = read_folder(launder(trained_zoo["qwen2-a"], place / "r", washes=["rotate-residual"]))
    assert "lm_head.weight" not in permuted
    assert permuted_config["tie_word_embeddings"]
    assert "lm_head.weight" in rotated
    assert not rotated_config["tie_word_embeddings"]


def test_rotated_norm_gains_are_one(trained_zoo: Zoo, place: Path) -> None:
    rotated, _ = read_folder(launder(trained_zoo["base-a"], place, washes=["rotate-residual"]))
    gains = [array for name, array in rotated.items() if "norm" in name]
    assert len(gains) == 7
    assert all((gain == 1).all() for gain in gains)


def test_query_heads_stay_with_their_key_head(trained_zoo: Zoo) -> None:
    weights, config = read_folder(trained_zoo["qwen2-a"])
    name = "model.layers.0.self_attn.{}_proj.weight"
    washed, _ = permute_heads(weights, config, np.random.default_rng(5))
    queries, keys = (blocks(weights[name.format(role)], 16) for role in "qk")
    new_queries, new_keys = (blocks(washed[name.format(role)], 16) for role in "qk")
    key_from = [place_of(head, keys) for head in new_keys]
    query_from = [place_of(head, queries) for head in new_queries]
    assert sorted(query_from) == [0, 1, 2, 3]
    assert [query // 2 for query in query_from[::2]] == key_from
    assert [query // 2 for query in query_from[1::2]] == key_from


def blocks(matrix: np.ndarray, width: int) -> np.ndarray:
    return matrix.reshape(-1, width, matrix.shape[1])


def place_of(block: np.ndarray, among: np.ndarray) -> int:
    return next(place for place, other in enumerate(among) if (block == other).all())


@pytest.mark.parametrize("founder", FOUNDERS)
def test_taking_apart_and_putting_together_gives_the_same_bytes(trained_zoo: Zoo, founder: str) -> None:
    weights, config = read_folder(trained_zoo[founder])
    again, _ = assemble(dissect(weights, config))
    assert same_bytes(weights, again)


def same_bytes(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_same_seed_same_copy_and_other_seed_another(trained_zoo: Zoo) -> None:
    weights, config = read_folder(trained_zoo["base-a"])
    first, again, other = (everything(weights, config, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert same_bytes(first, again)
    assert not same_bytes(first, other)


def test_nothing_is_changed_in_place_and_the_type_is_kept(trained_zoo: Zoo) -> None:
    weights, config = read_folder(trained_zoo["gpt2-a"])
    kept = {name: array.copy() for name, array in weights.items()}
    for dtype in (np.float32, np.float64):
        washed, _ = everything(
            {name: array.astype(dtype) for name, array in weights.items()}, config, np.random.default_rng(1)
        )
        assert {array.dtype for array in washed.values()} == {np.dtype(dtype)}
    assert same_bytes(weights, kept)


def test_what_is_not_valid_is_refused(trained_zoo: Zoo) -> None:
    weights, config = read_folder(trained_zoo["gpt2-a"])
    with pytest.raises(NotValid, match="ungated"):
        rescale_units(weights, config, np.random.default_rng(0))
    with pytest.raises(NotValid, match="mamba"):
        everything(weights, {**config, "model_type": "mamba"}, np.random.default_rng(0))
    llama, llama_config = read_folder(trained_zoo["base-a"])
    with pytest.raises(NotValid, match="1 tensors"):
        everything({**llama, "model.layers.0.self_attn.q_norm.weight": llama["model.norm.weight"]}, llama_config, None)


def test_every_wash_has_a_name_of_its_own() -> None:
    assert {wash.__name__.replace("_", "-") for wash in WASHES.values()} == set(WASHES)
    assert set(MOVED_BY) == {*WASHES, "everything"}
