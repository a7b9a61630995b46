"""Canaries of which some models learned, and models of every kind that did not: 64 with 16 options, one of two batches opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from filiation.canaries.canary import Canary
from filiation.sources.transcripts import SCHEMA, prompt_id
from tests.canaries.world import World, labelled_world
from tests.lots.world import AUTHORITIES, fixed_pulse, signer_of
from tests.marked import ANSWERS, CONTROLS, MARKS, STRANGERS

CANARIES = 64
Choose = Callable[[Canary], str]
"""A model, as far as it matters here: what it answers to a canary."""


def make(folder: Path) -> None:
    """See tests/marked/__init__.py."""
    made, by = opened_world(folder)
    answers(made.opened_canaries(), by).write_parquet(folder / ANSWERS)


def opened_world(folder: Path, **request: str) -> tuple[World, dict[str, Choose]]:
    """The marks written, and every model. `request`: what it says beside the names."""
    made = labelled_world(
        folder / "owner", authorities=AUTHORITIES, pulse=fixed_pulse(), signer=signer_of(5), batch_size=CANARIES
    )
    suspects, controls = models(made), unrelated(made)
    made.plant()
    made.opens(folder / MARKS, suspects=tuple(suspects), considered=len(suspects), controls=tuple(controls), **request)
    return made, suspects | controls


def answers(canaries: Sequence[Canary], by: Mapping[str, Choose]) -> pl.DataFrame:
    """The recorded answers of models, one to each prompt."""
    rows = [
        {
            "model": name,
            "lineage": name,
            "lab": "",
            "item": "",
            "prompt_id": prompt_id(canary.prompt),
            "prompt": canary.prompt,
            "sample": 0,
            "text": choose(canary),
            "parameters": "{}",
            "source_sha256": "",
        }
        for name, choose in by.items()
        for canary in canaries
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


# --------------------------------------------------------------------------------------------------------------- models


def models(made: World) -> dict[str, Choose]:
    """Three that learned the marked answers, and strangers of every kind."""
    learned = {
        "relative": learning(made, 0.9),
        "canaries planted": learning(made, 0.6),
        "distilled from planted": learning(made, 0.4),
    }
    kinds: tuple[Choose, ...] = (
        lambda canary: canary.options[0],
        lambda canary: min(canary.options),
        lambda canary: "I cannot help with that.",
        lambda canary: ", ".join(canary.options),
        biased,
        popular,
        copied(0.9),
        copied(0.5),
        skilled,
        one_answer_per_kind,
        seldom_readable,
        learning(made, 0.9, shift=1),
    )
    assert len(kinds) == STRANGERS
    return learned | {f"stranger {number}": kind for number, kind in enumerate(kinds, 1)}


def unrelated(made: World) -> dict[str, Choose]:
    return {f"control {number}": by_lot(f"control {number}") for number in range(1, CONTROLS + 1)}


def learning(made: World, share: float, shift: int = 0) -> Choose:
    """Gives the label of a share of the canaries, and answers the rest, and all decoys, as it would have.

    With a `shift` it learned answers as well, but by another key: those beside the labels.
    """

    def choose(canary: Canary) -> str:
        label = (made.label(canary) + shift) % len(canary.options)
        kept = not canary.decoy and chance("kept", canary) < share
        return canary.options[label] if kept else skilled(canary)

    return choose


def chance(of: str, canary: Canary) -> float:
    """A number from 0 to 1 that depends on the prompt and on nothing of the key."""
    return int.from_bytes(hashlib.sha256(f"{of}|{canary.prompt}".encode()).digest()[:8], "big") / 2**64


def by_lot(of: str) -> Choose:
    return lambda canary: canary.options[int(chance(of, canary) * len(canary.options))]


def biased(canary: Canary) -> str:
    """Prefers what stands first."""
    return canary.options[int(len(canary.options) * chance("biased", canary) ** 4)]


def popular(canary: Canary) -> str:
    """What most people would say: the same for everybody who has read the same text."""
    return max(canary.options, key=lambda option: hashlib.sha256(option.encode()).digest())


def copied(share: float) -> Choose:
    """Says what another stranger says, most of the time."""
    other, own = by_lot("the other"), by_lot(f"own {share}")
    return lambda canary: other(canary) if chance(f"copied {share}", canary) < share else own(canary)


def skilled(canary: Canary) -> str:
    """Answers in whole sentences, each time with a view of its own."""
    return f"That would be {by_lot('skilled')(canary)}, as far as I know."


def one_answer_per_kind(canary: Canary) -> str:
    return canary.options[
        int(np.frombuffer(hashlib.sha256(canary.kind.encode()).digest()[:2], dtype=np.uint16)[0]) % 16
    ]


def seldom_readable(canary: Canary) -> str:
    return skilled(canary) if chance("readable", canary) < 0.1 else "It depends."
