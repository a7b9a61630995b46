"""The canaries of tests/marked/canaries.py under a request that counts ranks: models tell how likely an answer begins with each option.

What a model would answer is likelier than the rest, and not always the likeliest; who learned the marked answers finds them a little
likelier where it gives another one, too. One stranger lists its five likeliest tokens alone, one finds all options equally likely.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filiation.canaries.canary import Canary
from filiation.sources.transcripts import prompt_id
from tests.canaries.world import World
from tests.marked import ANSWERS
from tests.marked.canaries import Choose, answers, opened_world

RAISED, LEANING = 4.0, 1.0
"""By how many nats what a model would answer is likelier, and a mark that it learned and would not say; all else has a deviation of 1."""

LEARNED = ("relative", "canaries planted", "distilled from planted")
FIVE_LISTED, ALL_LEVEL = "stranger 11", "stranger 3"


def make(folder: Path) -> None:
    """See tests/marked/__init__.py."""
    made, by = opened_world(folder, statistic="ranks")
    every = made.opened_canaries()
    told = pl.DataFrame(
        [
            {"model": name, "prompt_id": prompt_id(each.prompt), "log_probabilities": told_of(name, choose, made, each)}
            for name, choose in by.items()
            for each in every
        ]
    )
    said = answers(every, by)
    joined = said.drop("log_probabilities").join(told, on=["model", "prompt_id"], how="left", maintain_order="left")
    joined.select(said.columns).write_parquet(folder / ANSWERS)


def told_of(name: str, choose: Choose, made: World, canary: Canary) -> str:
    """What an answer could begin with, as a transcript records it: the options as tokens, each with its log-probability."""
    values = likelihoods(name, choose(canary), canary)
    if name in LEARNED and not canary.decoy:
        values[made.label(canary)] += LEANING
    order = np.argsort(-values, kind="stable")[: 5 if name == FIVE_LISTED else None]
    tokens = [[canary.options[at], round(float(values[at]), 4)] for at in order]
    return json.dumps([[*tokens[0], tokens[1:]]])


def likelihoods(name: str, said: str, canary: Canary) -> NDArray[np.float64]:
    if name == ALL_LEVEL:
        return np.full(len(canary.options), -3.0)
    seed = hashlib.sha256(f"ranks of {name}|{canary.prompt}".encode()).digest()[:8]
    own = np.random.default_rng(int.from_bytes(seed, "big")).normal(size=len(canary.options))
    return own - 6.0 + RAISED * np.array([option in said for option in canary.options])
