"""The models of the example cases: a zoo of its own size, trained here from random numbers on Python's standard library.

    reference                 base-a
    suspect, true case        a copy of base-a: everything laundered (renumbered, rescaled, rotated), then fine-tuned
    suspect, false case       base-b: of base-a's architecture and tokenizer and trained on the same text, but from random
                              numbers of its own
    pool of foils             base-c to base-h, of the same architecture and tokenizer; base-e and base-f read the same text
    controls                  thirty more that read the same text as base-a, two of them as folders, all by recorded answers

That a control read the same public text is the point: where text alone makes models alike, it makes these alike too.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from studies.zoo import Zoo, build
from studies.zoo.folders import read_folder
from studies.zoo.sizes import Shape, Size

SIZE = Size(
    name="case",
    vocabulary=768,
    bases=70,
    shapes={"llama": Shape(width=64, units=192, layers=3, heads=4, groups=4)},
    context=64,
    batch=8,
    steps=300,
    brief_steps=60,
    repair_steps=60,
    laundered_steps=300,
    learning_rate=4e-3,
    brief_learning_rate=1.5e-3,
    new_tokens=16,
)
"""About 260,000 parameters and eight seconds of training each; a vocabulary with merges, so that there is a tokenizer to examine."""

REFERENCE = "base-a"
TRUE_SUSPECT = "laundered-tuned"
FALSE_SUSPECT = "base-b"
POOL = tuple(f"base-{letter}" for letter in "cdefgh")
SAME_TEXT = "base-e"
"""Of the pool, the one that always stands in the line-up: it shares the innocent explanation."""

_FIRST_CONTROL, _LAST_CONTROL = 8, 67
CONTROLS = tuple(
    f"base-{chr(ord('a') + number) if number < 26 else number + 1}"
    for number in range(_FIRST_CONTROL, _LAST_CONTROL + 1)
    if number % 4 < 2  # the zoo's founders 0, 1, 4, 5, 8, 9 ... read the first half of the library
)
"""Thirty founders that read the same text as the reference."""

CONTROL_FOLDERS = CONTROLS[:2]
"""Those of the controls that the examiners of weights and tokenizers are shown too."""

MEMBERS = (REFERENCE, TRUE_SUSPECT, FALSE_SUSPECT, *POOL, *CONTROLS)


def zoo(say: Callable[[str], None]) -> Zoo:
    """Every model, trained where it is not in the cache yet. Always on the CPU and one thread, so that a recipe decides its weights."""
    made = None
    for number, member in enumerate(MEMBERS, start=1):
        say(f"model {number} of {len(MEMBERS)}: {member}")
        made = build(SIZE, only=(member,), device="cpu")
    assert made is not None
    return Zoo(made.root, made.tree, MEMBERS)


EXHIBITED = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
"""What a model's folder shows; the zoo's own lineage.json, which tells the truth, stays out."""


def exhibit(folder: Path, target: Path) -> Path:
    """A copy of a model's folder as one party hands it over."""
    target.mkdir(parents=True)
    for name in EXHIBITED:
        shutil.copyfile(folder / name, target / name)
    return target


def number_of_parameters(folder: Path) -> int:
    """How many numbers a model's tensors hold."""
    weights, _ = read_folder(folder)
    return sum(array.size for array in weights.values())


def norm_vector(folder: Path) -> np.ndarray:
    """All gains of a model's norms, one after the other."""
    weights, _ = read_folder(folder)
    return np.concatenate([weights[name].astype(np.float64) for name in sorted(weights) if "norm" in name])


def norm_cosine(first: Path, second: Path) -> float:
    """The cosine of two models' norm vectors: a likeness that has been put forward as a fingerprint.

    Gains start at one and hardly leave it, so that the vectors of any two models point nearly the same way.
    """
    ours, theirs = norm_vector(first), norm_vector(second)
    return float(ours @ theirs / (np.linalg.norm(ours) * np.linalg.norm(theirs)))
