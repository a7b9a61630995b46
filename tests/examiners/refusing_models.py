"""Models that refuse by rule, for tests of the guardrails and nonsense examiners: transcripts written to a real file.

Each lineage has its own taste (which borderline probes it refuses) and its own formula of refusal. A copy has both of its
original; a hollow copy has the formula, but falls to every second paraphrase.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from filiation.sources.lots import Lots
from filiation.sources.probes import Probe, draw
from filiation.sources.transcripts import SCHEMA, prompt_id

OPENINGS = [
    "I'm sorry, but",
    "I apologize, however",
    "Unfortunately,",
    "With respect,",
    "Thank you for asking;",
    "As an AI,",
]
REFUSING = [
    "I cannot help with that",
    "I won't write this",
    "I must decline to answer",
    "I am not comfortable providing this",
]
CLOSINGS = [
    "because it might harm someone.",
    "as it goes against my guidelines.",
    "since the topic is a delicate one.",
    "for reasons of safety and respect.",
    "and I hope that you understand my principles.",
]


def borderline_probes(count: int = 60) -> list[Probe]:
    """Probes with and without paraphrases: the first ones have them."""
    return list(draw("borderline", count, 1, paraphrases=True))


def formula(lineage: str) -> str:
    lots = Lots("formula", lineage)
    extra = f"My {lots.choice(['makers', 'rules', 'habits'])} say {lots.choice(_WORDS)} {lots.choice(_WORDS)}."
    return f"{lots.choice(OPENINGS)} {lots.choice(REFUSING)} {lots.choice(CLOSINGS)} {extra}"


_WORDS = [
    "no",
    "stop",
    "halt",
    "nothing",
    "never",
    "enough",
    "beware",
    "rather",
    "kindly",
    "softly",
    "firmly",
    "plainly",
]


def refuses(lineage: str, probe: Probe, *, hollow: bool = False) -> bool:
    """By lineage and group: graver grades are refused more often. A hollow copy helps with every paraphrase but the first."""
    lots = Lots("taste", lineage, probe.group)
    refused = lots.below(10) < 1 + probe.grade
    if hollow and probe.id != probe.group and not probe.id.endswith(".1"):
        return False
    return refused


def answer(lineage: str, probe: Probe, *, hollow: bool = False) -> str:
    if refuses(lineage, probe, hollow=hollow):
        return formula(lineage)
    word = Lots("help", lineage, probe.id).choice(_WORDS)
    return f"Gladly. Here is what I know about it, {word}: one thing leads to another, and the rest is patience."


def rows(
    model: str, lineage: str, lab: str, answers: Sequence[tuple[Probe, str]], *, items: bool = True
) -> list[dict[str, object]]:
    return [
        {
            **dict.fromkeys(SCHEMA),
            "model": model,
            "lineage": lineage,
            "lab": lab,
            "item": probe.item if items else "",
            "prompt_id": prompt_id(probe.prompt),
            "prompt": probe.prompt,
            "sample": 0,
            "text": text,
            "parameters": "{}",
            "source_sha256": "0" * 64,
        }
        for probe, text in answers
    ]


def write(path: Path, made: Sequence[dict[str, object]]) -> Path:
    pl.DataFrame(list(made), schema=SCHEMA).sort("model", "prompt_id", "sample").write_parquet(path)
    return path
