"""What stands behind the figures of a case: scores of pairs of known history, and errors counted by lineage.

The scores are those that the studies kept (`studies/validation_scores.py` gathers them into `report/validation/`, one file for
each entry of the register of nulls). Where a study kept counts only, counts are shown and the report says that the scores
were not kept: no distribution is drawn from anything but scores. A file belongs to a finding where its counts by lineage are
the finding's own; scores of another register than the finding's are not shown beside it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from filiation.evidence import Finding, Null, Record, RelationPower, digest
from filiation.statistics.likelihood import upper_limit

BINS = 40
"""Columns of a picture of scores; a column without any score is not validated."""


class Score(Record, frozen=True, kw_only=True):
    """One pair of known history. `value`: as `Validation.score` says. `lineages` of both, one where they are relatives.

    `log10_likelihood_ratio`: the ratio that this pair would have been given had its own lineages not been counted.
    """

    relation: str
    kind: Literal["relative", "stranger", "neither"]
    lineages: tuple[str, ...]
    value: float
    log10_p: float | None = None
    log10_likelihood_ratio: float | None = None


class Validation(Record, frozen=True, kw_only=True):
    """The scores of one entry of the register. `sources`: the study's files with their SHA-256; `remark`: what was not kept."""

    test: str
    score: Literal["share of coincidences", "-log10 p"]
    threshold_log10_p: float
    strangers: int
    strangers_exceeding: int
    relatives: tuple[RelationPower, ...]
    scores: tuple[Score, ...] = ()
    sources: dict[str, str] = msgspec.field(default_factory=dict)
    made_by: str = ""
    remark: str = ""

    @property
    def digest(self) -> str:
        return digest(self)

    def of(self, kind: str) -> tuple[Score, ...]:
        """The scores of one kind."""
        return tuple(score for score in self.scores if score.kind == kind)

    def lineages(self, kind: str) -> int:
        """Lineages among the scores of one kind (the founders', for relatives); 0 where the study did not keep them."""
        of_kind = [score.lineages for score in self.of(kind)]
        named = (lineages[:1] if kind == "relative" else lineages for lineages in of_kind)
        return len({lineage for lineages in named for lineage in lineages})


@dataclass(frozen=True)
class ErrorCount:
    """How often a relation of known truth was missed, by lineage, with the 95 % upper limit."""

    relation: str
    errors: int
    lineages: int

    @property
    def upper_limit(self) -> float:
        return upper_limit(self.errors, self.lineages)


@dataclass(frozen=True)
class Densities:
    """Scores in columns of equal width from `low` to `high`, the case among them; `zones` are runs of columns without a score."""

    score: str
    low: float
    high: float
    strangers: tuple[int, ...]
    relatives: tuple[int, ...]
    case: float
    zones: tuple[tuple[float, float], ...]

    @property
    def column(self) -> int:
        """The column of the case."""
        return _column(self.case, self.low, self.high)

    @property
    def in_a_zone(self) -> bool:
        return self.strangers[self.column] + self.relatives[self.column] == 0


@dataclass(frozen=True)
class Tippett:
    """Values of pairs of known history, ascending; `axis` says of what. `case` is None where the case has no such value."""

    axis: Literal["log10 likelihood ratio", "log10 p"]
    strangers: tuple[float, ...]
    relatives: tuple[float, ...]
    case: float | None


@dataclass(frozen=True)
class Validated:
    """A finding with what stands behind it. `problem` says why there are no scores to be shown; empty where there are."""

    finding: Finding
    validation: Validation | None
    problem: str
    missed: tuple[ErrorCount, ...]
    densities: Densities | None
    tippett: Tippett | None
    cllr: float | None


NO_FILE = "no validation scores are shipped for this test"
ANOTHER_REGISTER = (
    "the scores that are shipped stand behind other counts than this finding's, so that they are not shown beside it"
)


def validated(finding: Finding, log10_ratio: float | None = None) -> Validated:
    """What stands behind a finding; `log10_ratio` is the likelihood ratio that it carries in this case, if any."""
    of_test = [entry for entry in shipped() if entry.test.partition(":")[0] == finding.test]
    own = next((entry for entry in of_test if _same_counts(entry, finding)), None)
    problem = "" if own else (ANOTHER_REGISTER if of_test else NO_FILE)
    scored = own if own is not None and own.scores else None
    return Validated(
        finding=finding,
        validation=own,
        problem=problem or (own.remark if own else ""),
        missed=tuple(ErrorCount(r.relation, r.lineages - r.detected, r.lineages) for r in finding.power.relations),
        densities=densities(scored, finding) if scored else None,
        tippett=tippett(scored, finding, log10_ratio) if scored else None,
        cllr=cllr(scored.scores) if scored else None,
    )


@cache
def shipped() -> tuple[Validation, ...]:
    """Every file of validation scores, by name."""
    folder = resources.files("filiation.report").joinpath("validation")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    return tuple(msgspec.json.decode(file.read_bytes(), type=Validation) for file in files)


def _same_counts(entry: Validation, finding: Finding) -> bool:
    counted = (entry.strangers, entry.strangers_exceeding, entry.relatives)
    return counted == (finding.lineages.strangers, finding.lineages.strangers_exceeding, finding.power.relations)


def value_of(finding: Finding) -> float:
    """The finding on the axis of its scores: -log10 p under a null by population, else the share of coincidences."""
    return -finding.log10_p if finding.null is Null.POPULATION else finding.count / finding.opportunities


def densities(validation: Validation, finding: Finding) -> Densities:
    """The scores in columns, and the zones in which there is none of either kind."""
    case = value_of(finding)
    of_shares = validation.score == "share of coincidences"
    high = 1.0 if of_shares else max(case, *(score.value for score in validation.scores), 1.0)
    strangers = _columns((score.value for score in validation.of("stranger")), 0.0, high)
    relatives = _columns((score.value for score in validation.of("relative")), 0.0, high)
    return Densities(
        score=validation.score,
        low=0.0,
        high=high,
        strangers=strangers,
        relatives=relatives,
        case=case,
        zones=_zones(strangers, relatives, 0.0, high),
    )


def _column(value: float, low: float, high: float) -> int:
    return min(BINS - 1, max(0, math.floor((value - low) / (high - low) * BINS)))


def _columns(values: Iterable[float], low: float, high: float) -> tuple[int, ...]:
    counts = [0] * BINS
    for value in values:
        counts[_column(value, low, high)] += 1
    return tuple(counts)


def _zones(
    strangers: tuple[int, ...], relatives: tuple[int, ...], low: float, high: float
) -> tuple[tuple[float, float], ...]:
    """Runs of empty columns as intervals of the axis."""
    empty = [first + second == 0 for first, second in zip(strangers, relatives, strict=True)]
    width = (high - low) / BINS
    starts = [at for at in range(BINS) if empty[at] and (at == 0 or not empty[at - 1])]
    ends = [at + 1 for at in range(BINS) if empty[at] and (at == BINS - 1 or not empty[at + 1])]
    return tuple((low + width * start, low + width * end) for start, end in zip(starts, ends, strict=True))


def tippett(validation: Validation, finding: Finding, log10_ratio: float | None) -> Tippett | None:
    """Pairs of both kinds by likelihood ratio where all have one, else by p; None where one kind has neither."""
    strangers, relatives = validation.of("stranger"), validation.of("relative")
    if not strangers or not relatives:
        return None
    ratios = [score.log10_likelihood_ratio for score in (*strangers, *relatives)]
    if log10_ratio is not None and None not in ratios:
        return Tippett(
            "log10 likelihood ratio", _values(strangers, "log10_likelihood_ratio"), _values(relatives, "log10_likelihood_ratio"),
            log10_ratio,
        )  # fmt: skip
    if any(score.log10_p is None for score in (*strangers, *relatives)):
        return None
    return Tippett("log10 p", _values(strangers, "log10_p"), _values(relatives, "log10_p"), finding.log10_p)


def _values(scores: tuple[Score, ...], name: str) -> tuple[float, ...]:
    return tuple(sorted(getattr(score, name) for score in scores))


def cllr(scores: tuple[Score, ...]) -> float | None:
    """Cost of the log likelihood ratio (Brümmer and du Preez 2006), every lineage weighing the same; None without both kinds.

        Cllr = (mean over relatives of log2(1 + 1/LR) + mean over strangers of log2(1 + LR)) / 2

    0 is perfect, 1 is what somebody reaches who always says LR = 1.
    """
    told = [score for score in scores if score.log10_likelihood_ratio is not None]
    costs = {
        kind: _by_lineage([score for score in told if score.kind == kind], sign)
        for kind, sign in (("relative", -1.0), ("stranger", 1.0))
    }
    if not all(costs.values()):
        return None
    return sum(sum(cost) / len(cost) for cost in costs.values()) / 2.0


def _by_lineage(scores: list[Score], sign: float) -> list[float]:
    """The mean cost of each lineage (of each pair of lineages, for strangers)."""
    costs: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for score in scores:
        exponent = sign * (score.log10_likelihood_ratio or 0.0)
        costs[tuple(sorted(score.lineages))].append(math.log2(1.0 + 10.0**exponent))
    return [sum(cost) / len(cost) for cost in costs.values()]
