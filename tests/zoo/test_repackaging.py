"""Another wrapping, the same weights: judged by the bytes in the files and by transformers reading them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from studies.zoo import Zoo
from studies.zoo.architectures import load
from studies.zoo.folders import read_folder
from studies.zoo.repackaging import bfloat16_copy, pad_vocabulary, rename_prefix, reshard

FOUNDERS = ("base-a", "qwen2-a", "gpt2-a")


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return load(folder)(input_ids=torch.arange(0, 64)[None]).logits


@pytest.mark.parametrize("founder", FOUNDERS)
def test_two_shards_hold_the_same_tensors_and_load(trained_zoo: Zoo, place: Path, founder: str) -> None:
    before, _ = read_folder(trained_zoo[founder])
    after, _ = read_folder(reshard(trained_zoo[founder], place))
    index = json.loads((place / "model.safetensors.index.json").read_text())
    assert not (place / "model.safetensors").exists()
    assert len(set(index["weight_map"].values())) == 2
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in before.values())
    assert {name: array.tobytes() for name, array in before.items()} == {
        name: array.tobytes() for name, array in after.items()
    }
    assert torch.equal(logits(trained_zoo[founder]), logits(place))
    assert (place / "tokenizer.json").read_bytes() == (trained_zoo[founder] / "tokenizer.json").read_bytes()


def test_renamed_tensors_differ_in_name_only(trained_zoo: Zoo, place: Path) -> None:
    before, _ = read_folder(trained_zoo["base-a"])
    after, _ = read_folder(rename_prefix(trained_zoo["base-a"], place))
    assert set(after) == {f"language_model.{name}" for name in before}
    assert all((after[f"language_model.{name}"] == array).all() for name, array in before.items())


@pytest.mark.parametrize("founder", FOUNDERS)
def test_padded_vocabulary_says_the_same_of_known_tokens(trained_zoo: Zoo, place: Path, founder: str) -> None:
    padded = logits(pad_vocabulary(trained_zoo[founder], place, rows=40))
    assert padded.shape[-1] == 296
    assert torch.allclose(padded[..., :256], logits(trained_zoo[founder]), atol=1e-5)
    assert (padded[..., 256:] == 0).all()


def test_bfloat16_copy_rounds_to_eight_bits(trained_zoo: Zoo, place: Path) -> None:
    before, _ = read_folder(trained_zoo["base-a"])
    after, _ = read_folder(bfloat16_copy(trained_zoo["base-a"], place))
    assert {array.dtype.name for array in after.values()} == {"bfloat16"}
    for name, array in before.items():
        assert (np.abs(after[name].astype(np.float32) - array) <= 2.0**-8 * np.abs(array)).all()
    assert not torch.equal(logits(place), logits(trained_zoo["base-a"]))
