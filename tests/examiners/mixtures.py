"""A small model rewritten as a mixture of experts in Mixtral's names: every expert is a copy of the MLP, moved a little."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from studies.zoo.folders import read_folder, write_folder

_PART = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}


def mixture(folder_in: Path, folder_out: Path, experts: int = 3) -> Path:
    arrays, config = read_folder(folder_in)
    rng = np.random.default_rng(12)
    mixed = {}
    for name, array in arrays.items():
        found = re.fullmatch(r"(model\.layers\.\d+)\.mlp\.(\w+)\.weight", name)
        if not found:
            mixed[name] = array
            continue
        for expert in range(experts):
            moved = array + 0.1 * array.std() * rng.standard_normal(array.shape)
            place = f"{found.group(1)}.block_sparse_moe.experts.{expert}.{_PART[found.group(2)]}.weight"
            mixed[place] = moved.astype(array.dtype)
    for layer in range(config["num_hidden_layers"]):
        router = rng.standard_normal((experts, config["hidden_size"])).astype(np.float32)
        mixed[f"model.layers.{layer}.block_sparse_moe.gate.weight"] = router
    config |= {"model_type": "mixtral", "num_local_experts": experts, "num_experts_per_tok": 2}
    return write_folder(folder_out, mixed, config, like=folder_in)
