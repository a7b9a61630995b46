"""AlpacaEval `model_outputs.json`: a list of {instruction, output, generator, dataset}.

Layout: https://github.com/tatsu-lab/alpaca_eval, `results/*/model_outputs.json`. Every file holds one answer to each of the
805 instructions; `generator` is the model. Leading spaces of an output are kept: they tell how a model was served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filiation.errors import MalformedSource
from filiation.sources.transcript_formats.answer import Answer, Progress, Reading, mapping_of, text_of
from filiation.sources.transcript_formats.json_files import json_parts

NAME = "alpaca-eval"


def recognises(record: dict[str, Any]) -> bool:
    return "instruction" in record and "output" in record


def answers(paths: Sequence[Path], reading: Reading, skipped: Counter[str], progress: Progress) -> Iterator[Answer]:
    for path in paths:
        for number, (key, found) in enumerate(json_parts(path)):
            if key:
                raise MalformedSource(
                    "this is an object; AlpacaEval outputs are a list", exhibit=str(path), advice="check --format"
                )
            record = mapping_of(found, f"element {number}", path)
            if record.get("output") is None:
                skipped["without an output"] += 1
                continue
            yield Answer(
                source=path,
                model=reading.model or text_of(record.get("generator"), f"the generator of element {number}", path),
                prompt=text_of(record.get("instruction"), f"the instruction of element {number}", path),
                text=text_of(record["output"], f"the output of element {number}", path),
                parameters={"dataset": record["dataset"]} if isinstance(record.get("dataset"), str) else {},
            )
