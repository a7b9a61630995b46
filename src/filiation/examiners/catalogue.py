"""The examiners there are: the modules of this folder, and those that installed packages add by entry point.

An entry point in the group `filiation.examiners` names a module with the attributes of `examiner.Examiner`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib import metadata
from typing import cast

import filiation.examiners
from filiation.errors import UsageError
from filiation.examiners.examiner import Examiner
from filiation.statistics.register import Calibration, load

NOT_EXAMINERS = frozenset({"examiner", "catalogue", "drawn_texts", "line_up", "marked", "outcomes", "shifted"})
REQUIRED = tuple(name for name in (*Examiner.__annotations__, *vars(Examiner)) if not name.startswith("_"))
"""What a module must have to be an examiner: the constants and functions of the protocol."""


@cache
def examiners() -> tuple[Examiner, ...]:
    """All examiners, own ones first, by name. Raises UsageError where an added one lacks a name of the protocol."""
    own = [
        importlib.import_module(f"filiation.examiners.{module.name}")
        for module in pkgutil.iter_modules(filiation.examiners.__path__)
        if module.name not in NOT_EXAMINERS
    ]
    added = [entry.load() for entry in sorted(metadata.entry_points(group="filiation.examiners"), key=lambda e: e.name)]
    for module in added:
        missing = [name for name in REQUIRED if not hasattr(module, name)]
        if missing:
            raise UsageError(
                f"the added examiner {module!r} has no {', '.join(sorted(missing))}",
                advice="see docs/how-to-add-an-examiner.md, or uninstall the package that adds it",
            )
    return tuple(cast("Examiner", module) for module in [*own, *added])


def chosen(names: tuple[str, ...]) -> tuple[Examiner, ...]:
    """The examiners of the given names, or all when none is named, in the catalogue's order: a record does not depend on the
    order of asking. Raises UsageError on an unknown name."""
    known = {examiner.NAME: examiner for examiner in examiners()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"there is no examiner named {', '.join(unknown)}", advice=f"known examiners: {', '.join(known)}"
        )
    return tuple(examiner for name, examiner in known.items() if name in names or not names)


def calibration(examiner: Examiner) -> Calibration:
    """An examiner's register of nulls: the CALIBRATION that an added module brings along, else the one shipped here."""
    own = getattr(examiner, "CALIBRATION", None)
    return own if isinstance(own, Calibration) else load(examiner.NAME)
