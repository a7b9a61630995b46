"""Small files in the layouts that others write, made from the same few questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from filiation.sources.transcript_formats.answer import Reading
from filiation.sources.transcript_formats.importing import Imported, import_transcripts


def written(path: Path, value: Any) -> Path:
    """A JSON file, or JSON lines where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(each) for each in value] if path.suffix == ".jsonl" else [json.dumps(value, indent=1)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def imported(
    folder: Path, *inputs: Path, format: str = "auto", repeats: str = "refuse", **said: Any
) -> tuple[list[dict[str, Any]], Imported]:
    """The rows of a table that the inputs were imported into, and what the import told."""
    target = folder / "answers.parquet"
    told = import_transcripts(list(inputs), target, format=format, reading=Reading(**said), repeats=repeats)
    return pl.read_parquet(target).to_dicts(), told
