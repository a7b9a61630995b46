"""Pairs of texts of which a lot chose one to be published, and models that read what was published, both, or neither."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from filiation.lots import Lot, drawn_twins
from tests.lots.world import opened_lot
from tests.marked import CONTROLS, MARKS, STRANGERS
from tests.marked.drawn import Float64, Model, reworded, sentence, write

TWINS = 200
NOISE = 0.05
MEMORY = 0.06
"""Nats per byte that a text which was read is likelier; twins differ by .4 in difficulty, .07 in noise."""

Pairs = list[tuple[str, str]]


def pairs(seed: int = 1) -> Pairs:
    rng = np.random.default_rng(seed)
    firsts = [sentence(rng, 30) for _ in range(TWINS)]
    return [(first, reworded(first, rng)) for first in firsts]


def lot_of(folder: Path, texts: Pairs, seed: int = 3) -> Lot:
    subject = "".join(json.dumps({"first": first, "second": second}) + "\n" for first, second in texts).encode()
    return opened_lot(folder / MARKS, "twins", subject, seed)


def difficulty() -> Float64:
    return np.random.default_rng(2).normal(-1.5, 0.3, 2 * TWINS)


def model(seed: int, read: Float64 | None = None, *, noise: float = NOISE, recites: float = 0.0) -> Model:
    """`read`: 1 for each text that was read, first and second of a pair in turn."""
    rng = np.random.default_rng(seed)
    shares = np.zeros(2 * TWINS) if read is None else read
    return Model(difficulty() + rng.normal(0.0, noise, 2 * TWINS) + MEMORY * shares, recites * shares, seed)


def make(folder: Path) -> None:
    """Strangers: who read neither twin, both, always the first, a choice of their own, or say one thing of all."""
    texts = pairs()
    published = [twin.published for twin in drawn_twins(lot_of(folder, texts))]
    every = [text for pair in texts for text in pair]
    read = np.array([float(text in set(published)) for text in every])
    first = np.tile([1.0, 0.0], TWINS)
    own_choices = [
        np.random.default_rng(seed).permuted(np.tile([0.0, 1.0], (TWINS, 1)), axis=1).ravel() for seed in (50, 51)
    ]
    constant = Model(np.full(2 * TWINS, -1.0), np.zeros(2 * TWINS), 60)
    copied = model(62)
    kinds = [
        model(70),
        model(71, noise=1.0),
        model(72, noise=0.001),
        model(73, first, recites=0.5),
        model(74, 1.0 - first, recites=0.5),
        model(75, own_choices[0], recites=0.5),
        model(76, own_choices[1], recites=0.9),
        model(77, np.ones(2 * TWINS), recites=0.5),
        constant,
        model(78, recites=0.0),
        copied,
        Model(copied.likelihoods.copy(), copied.recites, 63),
    ]
    assert len(kinds) == STRANGERS
    models = {"relative": model(80, read, recites=0.4), "trained on published twins": model(81, read, recites=0.4)}
    models |= {f"stranger {number}": kind for number, kind in enumerate(kinds, start=1)}
    models |= {f"control {number}": model(90 + number) for number in range(1, CONTROLS + 1)}
    write(folder, models, every)
