"""Recordings that somebody wrote to stop an examination: one row of them must not take the figure away, or the whole comparison down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from filiation.evidence import Finding
from filiation.investigation import compare
from filiation.sources.transcripts import SCHEMA, prompt_id
from tests.marked import ANSWERS, MARKS, radioactivity, training_order, watermark

DEEP = "[" * 200_000
LONG = "1" + "0" * 400
HOSTILE: dict[str, dict[str, Any]] = {
    "a prompt nested without end": {"prompt": DEEP},
    "messages that are none": {"prompt": "[1,2]"},
    "messages without text": {"prompt": '[{"role":"user","content":{"a":1}},{"content":null}]'},
    "settings nested without end": {"parameters": '{"system":' + DEEP},
    "settings that are a list": {"parameters": "[1]"},
    "settings that are null": {"parameters": "null"},
    "a system prompt that is a number": {"parameters": '{"system": 5}'},
    "a size of four hundred digits": {"parameters": f'{{"bytes": {LONG}}}'},
    "a size below zero": {"parameters": '{"bytes": -1, "cut_at_byte": -3}'},
    "a likelihood beyond all numbers": {"log_probabilities": '[["",1e308,[]]]'},
    "a likelihood of four hundred digits": {"log_probabilities": f'[["",{LONG},[]]]'},
    "a likelihood that no record can hold": {"log_probabilities": '[["",-1e290,[]]]'},
    "no number": {"log_probabilities": '[["",NaN,[]]]'},
    "likelihoods nested without end": {"log_probabilities": DEEP},
    "places that are none": {"log_probabilities": '[["w1",null,[[]]],["w2",null,{}]]'},
    "a likeliest token of four hundred digits": {
        "log_probabilities": f'[["w1",null,[]],["w2",-1,[["w1",{LONG}],["w2",-{LONG}]]],["w3",-1,[]]]',
        "prompt": "w1 w2 w3",
    },
    "a likeliest token that is half a character": {
        "log_probabilities": '[["w1",null,[]],["w2",-1,[["\\ud800",-1]]],["w4",-1,[]]]',
        "prompt": "w1 w2 w4",
    },
    "an object": {"log_probabilities": '{"a":1}'},
}
WORLDS: dict[str, Callable[[Path], None]] = {
    "training_order": training_order.make,
    "watermark": watermark.make,
    "radioactivity": radioactivity.make,
}


@pytest.mark.parametrize("examiner", WORLDS)
def test_rows_of_every_hostile_kind_leave_the_figure_standing(examiner: str, tmp_path: Path) -> None:
    """Each kind stands once in the place of an honest row, and once beside them all; the mark in the other rows is found."""
    WORLDS[examiner](tmp_path)
    rows = pl.read_parquet(tmp_path / ANSWERS).filter(pl.col("model") == "relative").to_dicts()
    rows = [
        *(row | fields for row, fields in zip(rows, HOSTILE.values(), strict=False)),
        *rows[len(HOSTILE) :],
        *(rows[at] | {"prompt": f"w1 w2 w{at}"} | fields for at, fields in enumerate(HOSTILE.values())),
    ]
    named = [row | {"prompt_id": prompt_id(row["prompt"])} for row in rows]
    pl.DataFrame(named, schema=SCHEMA).write_parquet(tmp_path / "hostile.parquet")
    suspect = f"transcripts:{tmp_path / 'hostile.parquet'}#relative"
    outcomes = compare(f"marks:{tmp_path / MARKS}", suspect, [], only=(examiner,)).outcomes
    found = [outcome for outcome in outcomes if isinstance(outcome, Finding)]
    assert found, outcomes
    assert min(finding.log10_p for finding in found) < -6.0
