"""The zoo's two sizes: everything about scale and training length stands here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Dimensions of one architecture; `groups` is the number of key and value heads."""

    width: int
    units: int
    layers: int
    heads: int
    groups: int


@dataclass(frozen=True, kw_only=True)
class Size:
    """One size of zoo. Steps count optimiser steps of `batch` sequences of `context` tokens.

    `steps`: a base's pre-training. `brief_steps`: a fine-tune. `repair_steps`: after surgery. `laundered_steps`: after
    everything was laundered. `dtype`: the type that members are saved in.
    """

    name: str
    vocabulary: int  # 256 means bytes as tokens
    bases: int
    shapes: dict[str, Shape]
    context: int
    batch: int
    steps: int
    brief_steps: int
    repair_steps: int
    laundered_steps: int
    learning_rate: float
    brief_learning_rate: float
    new_tokens: int
    dtype: str = "float32"


TEST = Size(
    name="test",
    vocabulary=256,
    bases=4,
    shapes={
        "llama": Shape(width=64, units=256, layers=3, heads=4, groups=4),
        "llama-other": Shape(width=48, units=160, layers=4, heads=4, groups=2),
        "qwen2": Shape(width=64, units=192, layers=3, heads=4, groups=2),
        "gpt2": Shape(width=64, units=256, layers=3, heads=4, groups=4),
    },
    context=128,
    batch=8,
    steps=600,
    brief_steps=120,
    repair_steps=120,
    laundered_steps=600,
    learning_rate=4e-3,
    brief_learning_rate=1.5e-3,
    new_tokens=16,
)

FULL = Size(
    name="full",
    vocabulary=3072,
    bases=6,
    shapes={
        "llama": Shape(width=128, units=384, layers=4, heads=4, groups=2),
        "llama-other": Shape(width=96, units=320, layers=5, heads=4, groups=2),
        "qwen2": Shape(width=128, units=448, layers=4, heads=4, groups=2),
        "gpt2": Shape(width=128, units=512, layers=4, heads=4, groups=4),
        "qwen3": Shape(width=128, units=384, layers=4, heads=4, groups=2),
        "gemma2": Shape(width=128, units=384, layers=4, heads=4, groups=2),
        "gemma3": Shape(width=128, units=384, layers=4, heads=4, groups=2),
        "olmo2": Shape(width=128, units=384, layers=4, heads=4, groups=2),
        "gpt_neox": Shape(width=128, units=512, layers=4, heads=4, groups=4),
        "falcon": Shape(width=128, units=512, layers=4, heads=4, groups=4),
    },
    context=128,
    batch=12,
    steps=500,
    brief_steps=100,
    repair_steps=100,
    laundered_steps=1000,
    learning_rate=3e-3,
    brief_learning_rate=1e-3,
    new_tokens=64,
)

SIZES = {size.name: size for size in (TEST, FULL)}
