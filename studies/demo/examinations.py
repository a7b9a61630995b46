"""One examination of the demonstration, as a process of its own makes it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import filiation
from filiation.report.html import html

SEED = 1


class Task(NamedTuple):
    """One examination to be made; `name` is the report's, without its ending."""

    title: str
    name: str
    reference: Path | str
    suspect: Path | str
    controls: tuple[Path, ...] = ()
    only: tuple[str, ...] = ()


def examined(task: Task, folder: Path) -> None:
    """Compare, and leave the report beside its record."""
    examination = filiation.compare(task.reference, task.suspect, task.controls, only=task.only, seed=SEED)
    (folder / f"{task.name}.html").write_text(html(examination))
    (folder / f"{task.name}.json").write_bytes(examination.to_json())
