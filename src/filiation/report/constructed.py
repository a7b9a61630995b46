"""Findings by construction for a report: where the suspect, and whatever stands beside it, stands under the exact law.

What examiners say of controls stands in companions as text (docs/examination-record.md, 'Companion'); figures are read from it where they
are there, and nothing is guessed where they are not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import msgspec

from filiation.evidence import Coincidences, Companion, Finding, Null, Outcome
from filiation.statistics.coincidences import LN10, log_binomial_tail
from filiation.statistics.e_values import log10_e_value

MOST_OPPORTUNITIES = 10_000_000
"""Of more the law is not drawn: a broken or hostile record would cost minutes."""

MOST_COLUMNS = 64
"""Columns in which a law is drawn; of more counts several share one."""

DETECTION_LOG10_P = -6.0
"""The depth that a picture of rarities shows at least."""

CONTROL = "control "
NOT_COUNTED_ALIKE = ("placebo keys", "further answers")
"""Companions whose 'k of n' counts something else than coincidences: keys, answers."""

_COUNTED = re.compile(r"\s*(\d{1,3}(?:,\d{3}){1,4}|\d{1,12}) of (\d{1,3}(?:,\d{3}){1,4}|\d{1,12})(?!\d)")
_RARITY = re.compile(r"[;,(]?\s*\b(?:log10 p (?P<log>-?\d{1,7}(?:\.\d{1,6})?)|p (?:= )?(?P<p>0?\.\d{1,12}|1)\b)\)?")


@dataclass(frozen=True)
class Beside:
    """What stands beside a finding by construction. `told`: the value without its log10 p; both figures are None where not told."""

    name: str
    null: Null
    told: str
    note: str
    count: int | None
    opportunities: int | None
    log10_p: float | None

    @property
    def is_control(self) -> bool:
        """Whether it is an unrelated model under the same lots."""
        return self.name.startswith(CONTROL)

    @property
    def share(self) -> float | None:
        """The share of coincidences, where it counts those."""
        if self.name in NOT_COUNTED_ALIKE or self.count is None or not self.opportunities:
            return None
        return self.count / self.opportunities


@dataclass(frozen=True)
class Law:
    """The law of the count for whoever does not depend on the owner's lots, in columns, and everybody's place under it.

    `edges`: first count of each column, ascending, and one beyond the last; `tails`: log10 of the chance of so many or more, at each edge.
    `places`: the companions that count the same, by their share of all opportunities. `detected_at`: the log10 p, nothing paid,
    from which on the test counts as having detected.
    """

    count: int
    opportunities: int
    chance: float
    log10_p: float
    detected_at: float
    edges: tuple[int, ...]
    tails: tuple[float, ...]
    places: tuple[Beside, ...]

    @property
    def masses(self) -> tuple[float, ...]:
        """The chance of each column."""
        reached = [
            10.0**tail if edge <= self.opportunities else 0.0 for edge, tail in zip(self.edges, self.tails, strict=True)
        ]
        return tuple(first - then for first, then in pairwise(reached))


@dataclass(frozen=True)
class Rarities:
    """How rare what was seen is, as log10 p: of the suspect with what was searched paid for, and of whatever stands beside it."""

    log10_p: float
    detected_at: float
    places: tuple[Beside, ...]


class DrawnLots(msgspec.Struct, frozen=True):
    """Who drew the lots, and when they were fixed: as an examiner recorded it of what was opened, after checking it."""

    stamps: dict[str, str]
    beacon: str
    beacon_time: str
    owner: str = ""
    claimant: str = ""

    @property
    def whose(self) -> str:
        return self.owner or self.claimant


def drawn_of(content: Mapping[str, Any]) -> DrawnLots | None:
    """What a relation's content says of the lots, wherever the examiner put it; None where it says nothing usable."""
    for part in content.values():
        if isinstance(part, Mapping) and {"stamps", "beacon", "beacon_time"} <= set(part):
            try:
                return msgspec.convert(part, DrawnLots)
            except msgspec.ValidationError:
                return None
    return None


def drawn_beside(outcome: Outcome, content: Mapping[str, Any]) -> DrawnLots | None:
    """`drawn_of`, for an outcome by construction none of whose assumptions says so itself."""
    lots = drawn_of(content) if outcome.null is Null.CONSTRUCTION else None
    if lots is None:
        return None
    days = {lots.beacon_time[:10], *(time[:10] for time in lots.stamps.values())}
    told = any(all(day in premise for day in days) for premise in getattr(outcome, "assumptions", ()))
    return None if told else lots


def in_utc(told: str) -> str:
    """An ISO time in one spelling; as it stands where it is none, or names no zone: this machine's own says nothing of it."""
    try:
        moment = datetime.fromisoformat(told)
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment.tzinfo else told
    except (ValueError, OverflowError):
        return told


def beside(companion: Companion) -> Beside:
    """A companion with the figures that its text holds."""
    counted = _COUNTED.match(companion.value)
    rarity = _RARITY.search(companion.value) or _RARITY.search(companion.note)
    count, opportunities = (int(number.replace(",", "")) for number in counted.groups()) if counted else (None, None)
    possible = count is not None and opportunities is not None and 0 <= count <= opportunities
    return Beside(
        name=companion.name,
        null=companion.null,
        told=_RARITY.sub("", companion.value).strip(" ,;"),
        note=_RARITY.sub("", companion.note).strip(" ,;"),
        count=count if possible else None,
        opportunities=opportunities if possible else None,
        log10_p=_log10_p(rarity) if rarity else None,
    )


def _log10_p(rarity: re.Match[str]) -> float | None:
    """log10 of a chance that a text tells as log10 or as it is; None for a chance of nought, which is none."""
    if rarity["log"] is not None:
        return min(0.0, float(rarity["log"]))
    return math.log10(float(rarity["p"])) if float(rarity["p"]) > 0.0 else None


def all_beside(outcome: Outcome) -> tuple[Beside, ...]:
    """Everything that stands beside an outcome."""
    companions: tuple[Companion, ...] = getattr(outcome, "companions", ())
    return tuple(map(beside, companions))


def is_binomial(finding: Finding) -> bool:
    """Whether the finding's p is the binomial tail of its own figures, what was searched paid for: then its law can be drawn.

    A p of 1 does not tell, because paid for it is 1 under many a law: there the e-value has to be the binomial one.
    """
    if not (0 <= finding.count <= finding.opportunities <= MOST_OPPORTUNITIES and 0.0 < finding.chance < 1.0):
        return False
    cost = finding.multiplicity.log10_cost
    tail = _tail(finding.count, finding.opportunities, finding.chance)
    if abs(min(0.0, tail + cost) - finding.log10_p) >= 0.01:
        return False
    seen = Coincidences(count=finding.count, opportunities=finding.opportunities, chance=finding.chance)
    return finding.log10_p < 0.0 or abs(log10_e_value(seen) - cost - finding.log10_e) < 0.01


def law(outcome: Outcome) -> Law | None:
    """The exact law of a finding by construction, or None where its figures do not tell it."""
    if not isinstance(outcome, Finding) or outcome.null is not Null.CONSTRUCTION or not is_binomial(outcome):
        return None
    if not outcome.opportunities:
        return None
    places = tuple(each for each in all_beside(outcome) if each.share is not None)
    counts = [outcome.count, *(round((each.share or 0.0) * outcome.opportunities) for each in places)]
    edges = _edges(outcome.opportunities, outcome.chance, counts)
    return Law(
        count=outcome.count,
        opportunities=outcome.opportunities,
        chance=outcome.chance,
        log10_p=_tail(outcome.count, outcome.opportunities, outcome.chance),
        detected_at=outcome.power.threshold_log10_p - outcome.multiplicity.log10_cost,
        edges=edges,
        tails=tuple(_tail(edge, outcome.opportunities, outcome.chance) for edge in edges),
        places=places,
    )


def rarities(outcome: Outcome) -> Rarities | None:
    """How rare everything is, where the law itself cannot be drawn."""
    if not isinstance(outcome, Finding) or outcome.null is not Null.CONSTRUCTION or law(outcome) is not None:
        return None
    places = tuple(each for each in all_beside(outcome) if each.log10_p is not None)
    return Rarities(outcome.log10_p, outcome.power.threshold_log10_p, places)


def _tail(count: int, opportunities: int, chance: float) -> float:
    """log10 of the binomial chance of `count` or more; beyond all opportunities as deep as all of them are, and one decade more."""
    if count > opportunities:
        return opportunities * math.log10(chance) - 1.0
    return log_binomial_tail(count, opportunities, chance, 1.0 - chance) / LN10


def _edges(opportunities: int, chance: float, counts: list[int]) -> tuple[int, ...]:
    """Where columns begin: all counts where they are few, else those around the law and everybody's place."""
    mean, spread = opportunities * chance, math.sqrt(opportunities * chance * (1.0 - chance))
    low = max(0, math.floor(min(mean - 5.0 * spread, *counts)))
    high = min(opportunities, math.ceil(max(mean + 5.0 * spread, *counts)))
    margin = max(1, (high - low) // 20)
    low, high = max(0, low - margin), min(opportunities, high + margin)
    if opportunities <= 2 * MOST_COLUMNS or high - low > opportunities // 2:
        low, high = 0, opportunities
    width = -(-(high - low + 1) // MOST_COLUMNS)
    return tuple(range(low, high + 1 + width, width))
