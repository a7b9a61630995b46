"""Documents in an order drawn by lot, and models that read them in it, in another order, or never."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from filiation.lots import Lot, drawn_order
from tests.lots.world import opened_lot
from tests.marked import CONTROLS, MARKS, STRANGERS
from tests.marked.drawn import Float64, Model, sentence, write

DOCUMENTS = 240
NOISE = 0.05
MEMORY = 0.12
"""Nats per byte between the first and the last document, as its noise is .05 and difficulty differs by .3."""


def documents(seed: int = 1) -> list[str]:
    rng = np.random.default_rng(seed)
    return [sentence(rng, 30) for _ in range(DOCUMENTS)]


def difficulty() -> Float64:
    return np.random.default_rng(2).normal(-1.5, 0.3, DOCUMENTS)


def lot_of(folder: Path, texts: list[str], seed: int = 3) -> Lot:
    subject = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    return opened_lot(folder / MARKS, "order", subject, seed)


def model(seed: int, remembered: Float64 | None = None, *, noise: float = NOISE, recites: float = 0.0) -> Model:
    """`remembered`: from 0 to 1 per document. Recited is the share `recites` of what is remembered."""
    rng = np.random.default_rng(seed)
    shares = np.zeros(DOCUMENTS) if remembered is None else remembered
    values = difficulty() + rng.normal(0.0, noise, DOCUMENTS) + MEMORY * shares
    return Model(values, recites * shares**2, seed)


def make(folder: Path) -> None:
    """Strangers: who never read the documents, read them in other orders, know all of them, or say one thing of all."""
    texts = documents()
    lot = lot_of(folder, texts)
    late = np.asarray(drawn_order(lot)) / (DOCUMENTS - 1)
    others = [np.random.default_rng(seed).permutation(DOCUMENTS) / (DOCUMENTS - 1) for seed in (50, 51, 52)]
    everything = np.ones(DOCUMENTS)
    constant = Model(np.full(DOCUMENTS, -1.0), np.zeros(DOCUMENTS), 60)
    in_two_values = Model(np.where(difficulty() > -1.5, -1.0, -2.0), np.zeros(DOCUMENTS), 61)
    copied = model(62)
    kinds = [
        model(70),
        model(71, noise=1.0),
        model(72, noise=0.001),
        model(73, others[0], recites=0.9),
        model(74, others[1], recites=0.9),
        model(75, others[2]),
        model(76, everything, recites=0.5),
        model(77, everything, recites=1.0),
        constant,
        in_two_values,
        copied,
        Model(copied.likelihoods.copy(), copied.recites, 63),
    ]
    assert len(kinds) == STRANGERS
    models = {"relative": model(80, late, recites=0.9), "trained in the drawn order": model(81, late, recites=0.9)}
    models |= {f"stranger {number}": kind for number, kind in enumerate(kinds, start=1)}
    models |= {f"control {number}": model(90 + number) for number in range(1, CONTROLS + 1)}
    write(folder, models, texts)
