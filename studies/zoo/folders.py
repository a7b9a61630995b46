"""Hugging Face folders as plain arrays: read, written, and published in one step. No torch needed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors import deserialize
from safetensors.numpy import save_file

Array = NDArray[Any]
Weights = dict[str, Array]
Config = dict[str, Any]

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read_folder(folder: Path) -> tuple[Weights, Config]:
    """All tensors of a folder in the type they are stored in, by name, and its config.json."""
    index = folder / INDEX_FILE
    files = [WEIGHTS_FILE]
    if index.exists():
        files = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    weights: Weights = {}
    for file in files:
        for name, tensor in deserialize((folder / file).read_bytes()):
            array = np.frombuffer(tensor["data"], dtype=_DTYPES[tensor["dtype"]])
            weights[name] = array.reshape(tensor["shape"])
    return weights, json.loads((folder / "config.json").read_text())


def write_folder(
    folder: Path, weights: Mapping[str, Array], config: Mapping[str, Any], *, like: Path, shards: int = 1
) -> Path:
    """Write tensors and configuration to a new folder, with everything else (tokenizer ...) copied from `like`."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(like.iterdir()):
        if file.is_file() and file.suffix != ".safetensors" and file.name not in (INDEX_FILE, "config.json"):
            shutil.copyfile(file, folder / file.name)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    contiguous = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    if shards == 1:
        save_file(contiguous, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    else:
        _write_shards(folder, contiguous, shards)
    return folder


def _write_shards(folder: Path, weights: Weights, shards: int) -> None:
    weight_map = {}
    for shard, names in enumerate(np.array_split(np.array(list(weights)), shards), start=1):
        file = f"model-{shard:05d}-of-{shards:05d}.safetensors"
        save_file({str(name): weights[str(name)] for name in names}, folder / file, metadata={"format": "pt"})
        weight_map.update({str(name): file for name in names})
    total = sum(array.nbytes for array in weights.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n")


def publish(building: Path, folder: Path) -> Path:
    """Put a finished folder in its place by renaming; what stood there before is removed."""
    if folder.exists():
        aside = folder.with_name(f".{folder.name}-replaced-{os.getpid()}")
        os.replace(folder, aside)
        os.replace(building, folder)
        shutil.rmtree(aside)
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.replace(building, folder)
    return folder
