"""Which format a file is in, told by its name and its first record; and which files of a folder hold answers."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType
from typing import Any

from filiation.errors import SourceNotFound, UsageError
from filiation.sources.transcript_formats import alpaca_eval, helm, inspect_log, lm_eval, openai_batch, table
from filiation.sources.transcript_formats.json_files import CHUNK, check_text_file, json_lines, json_parts

FORMATS: dict[str, ModuleType] = {
    module.NAME: module for module in (alpaca_eval, lm_eval, inspect_log, helm, openai_batch, table)
}
OWN = "transcripts"
"""The layout itself: tables made by an earlier import or by `filiation probe`, to be put together."""

_PATTERNS = {
    lm_eval.NAME: ("samples_*.jsonl",),
    inspect_log.NAME: ("*.eval",),
    helm.NAME: (helm.STATE, helm.PREDICTIONS),
    alpaca_eval.NAME: ("model_outputs.json",),
}
_STREAMED = ("request_states", "instances", "samples")


def files_in(given: Path) -> list[Path]:
    """The files that a path on the command line stands for: itself, or those in a folder whose names tell what they are."""
    if not given.exists():
        raise SourceNotFound("there is no such file or folder", exhibit=str(given), advice="check the path")
    if not given.is_dir():
        return [given]
    found = sorted({path for patterns in _PATTERNS.values() for pattern in patterns for path in given.rglob(pattern)})
    # A HELM run with its state needs nothing else.
    whole = {path.parent for path in found if path.name == helm.STATE}
    found = [path for path in found if not (path.name == helm.PREDICTIONS and path.parent in whole)]
    if not found:
        names = ", ".join(pattern for patterns in _PATTERNS.values() for pattern in patterns)
        raise SourceNotFound(
            f"no file of {names} in this folder", exhibit=str(given), advice="name the files themselves"
        )
    return found


def recognised(path: Path) -> str:
    """The name of a file's format. Raises UsageError where none is recognised, SourceError where the file is broken."""
    if path.suffix == ".eval":
        return inspect_log.NAME
    if path.suffix == ".parquet":
        return OWN if table.is_own_layout(path) else table.NAME
    if path.suffix in (".csv", ".tsv"):
        return table.NAME
    check_text_file(path)
    first = _first_record(path)
    for name, module in FORMATS.items():
        if module is not table and module.recognises(first):
            return name
    if path.suffix in table.SUFFIXES and first:
        return table.NAME
    raise UsageError(
        "the format is not recognised", exhibit=str(path), advice=f"--format is one of {', '.join(FORMATS)}"
    )


def _first_record(path: Path) -> dict[str, Any]:
    """The first object of a list or of JSON lines; of an outermost object its keys."""
    with path.open("rb") as file:
        head = file.read(CHUNK).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.startswith(b"["):
        line = head.split(b"\n", 1)[0].strip()
        if path.suffix in (".jsonl", ".ndjson") or (line.endswith(b"}") and path.suffix != ".json"):
            return next((record for _, record in json_lines(path)), {})
    found: dict[str, Any] = {}
    for key, value in itertools.islice(json_parts(path, lists=_STREAMED), 50):
        if not key:
            return value if isinstance(value, dict) else {}
        found.setdefault(key, value)
        if key in _STREAMED:
            break
    return found
