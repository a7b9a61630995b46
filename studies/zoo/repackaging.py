"""The same weights in another wrapping: other files, other names, padded rows, a shorter type. Folder to folder."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np

from studies.zoo.folders import read_folder, write_folder

VOCABULARY_ROWS = ("embed_tokens.weight", "lm_head.weight", "wte.weight")


def reshard(folder_in: Path, folder_out: Path, *, shards: int = 2) -> Path:
    """The tensors spread over several files with an index."""
    weights, config = read_folder(Path(folder_in))
    return write_folder(Path(folder_out), weights, config, like=Path(folder_in), shards=shards)


def rename_prefix(folder_in: Path, folder_out: Path, *, prefix: str = "language_model.") -> Path:
    """Every tensor's name with a prefix put before it, as when a text model sits inside a larger one."""
    weights, config = read_folder(Path(folder_in))
    renamed = {prefix + name: array for name, array in weights.items()}
    return write_folder(Path(folder_out), renamed, config, like=Path(folder_in))


def pad_vocabulary(folder_in: Path, folder_out: Path, *, rows: int = 64) -> Path:
    """Zero rows put after the last token of the embedding and unembedding; `vocab_size` grows with them."""
    weights, config = read_folder(Path(folder_in))
    padded = {
        name: np.pad(array, ((0, rows), (0, 0))) if name.endswith(VOCABULARY_ROWS) else array
        for name, array in weights.items()
    }
    config["vocab_size"] = int(config["vocab_size"]) + rows
    return write_folder(Path(folder_out), padded, config, like=Path(folder_in))


def bfloat16_copy(folder_in: Path, folder_out: Path) -> Path:
    """Every tensor rounded to bfloat16."""
    weights, config = read_folder(Path(folder_in))
    config.pop("torch_dtype", None)
    config["dtype"] = "bfloat16"
    rounded = {name: array.astype(ml_dtypes.bfloat16) for name, array in weights.items()}
    return write_folder(Path(folder_out), rounded, config, like=Path(folder_in))
