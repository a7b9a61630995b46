"""Which program makes a case: its version, and a digest over its own source, because a version is not every change."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from filiation import __version__

SOFTWARE = f"filiation {__version__}"
"""What the first entry names as the program that makes the case."""

_PARTS = ("", "case", "report", "report/templates", "report/validation", "statistics", "proceedings")
"""Folders of the package whose files decide how a report looks; figures come from the case."""


@cache
def made_with() -> str:
    """'filiation 0.1.0 (source 3f2a91c04b7e)': a report can be compared byte for byte with one made by the same source."""
    found = hashlib.sha256()
    package = resources.files("filiation")
    for part in _PARTS:
        folder = package.joinpath(part) if part else package
        for file in sorted((each for each in folder.iterdir() if each.is_file()), key=lambda each: each.name):
            if file.name.endswith((".py", ".j2", ".css", ".typ", ".json")):
                found.update(f"{part}/{file.name}\0".encode())
                found.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{SOFTWARE} (source {found.hexdigest()[:12]})"
