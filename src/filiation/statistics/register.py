"""The register of nulls: for each test, what its chance rests on, and the lineages it was calibrated on.

The entries are written by the studies into `filiation/calibration/EXAMINER.json` and are read here; `judge` receives
them as an argument, and every finding cites their digest.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import msgspec

from filiation.errors import RecordError
from filiation.evidence import Null, Record, RelationPower, digest


class StrangerCount(Record, frozen=True, kw_only=True):
    """Strangers of one kind, counted by lineage: how many there were and how many exceeded half the chance and the chance."""

    kind: str
    lineages: int
    exceeding: int
    tests: int
    largest_share: float


class RegisterEntry(Record, frozen=True, kw_only=True):
    """One test's null: kind, formula version, tolerance, and the validation behind it."""

    test: str
    null: Null
    formula_version: str
    chance: float | None
    detection_log10_p: float
    validated_for: tuple[str, ...]
    strangers: tuple[StrangerCount, ...]
    relatives: tuple[RelationPower, ...]
    calibrated_on: str
    date: str
    tried: tuple[str, ...]
    made_by: str


class Calibration(Record, frozen=True, kw_only=True):
    """All entries of one examiner."""

    examiner: str
    entries: tuple[RegisterEntry, ...]

    def entry(self, test: str) -> RegisterEntry:
        """The entry of one test; raises RecordError where the register has none."""
        for entry in self.entries:
            if entry.test == test:
                return entry
        raise RecordError(f"the register of nulls has no entry for {test}", advice="run the study that calibrates it")

    @property
    def digest(self) -> str:
        return digest(self)


def empty(examiner: str) -> Calibration:
    """The calibration of an examiner that has none: its tests can only be inconclusive."""
    return Calibration(examiner=examiner, entries=())


@cache
def load(examiner: str) -> Calibration:
    """The shipped calibration of an examiner, or an empty one."""
    file = resources.files("filiation.calibration").joinpath(f"{examiner}.json")
    if not file.is_file():
        return empty(examiner)
    return msgspec.json.decode(file.read_bytes(), type=Calibration)
