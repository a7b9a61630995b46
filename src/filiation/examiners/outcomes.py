"""Outcomes of a test, written from its figures: what every examiner says in the same way.

What was searched is paid for here, and figures are rounded against the accuser here, so that no examiner forgets either.
All functions are pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from filiation.evidence import (
    Absent,
    Coincidences,
    Companion,
    Component,
    Effect,
    Finding,
    Inconclusive,
    Lineages,
    Multiplicity,
    NotExamined,
    Power,
    Relation,
    Test,
    digest,
    round_against_accuser,
)
from filiation.statistics.coincidences import log10_upper_tail, resolution_log10_p
from filiation.statistics.e_values import log10_e_value
from filiation.statistics.intervals import share_interval
from filiation.statistics.likelihood import upper_limit
from filiation.statistics.power import detectable_share
from filiation.statistics.register import Calibration, RegisterEntry

CONSTRUCTED_LOG10_P = -6.0
"""Where the chance is known by construction, a p of at most one in a million counts as detected."""
NO_STRANGERS = Lineages(strangers=0, strangers_exceeding=0, upper_limit=1.0)
"""The validation by lineages of a test whose chance is known by construction: it needs none."""
ONE_TEST = Multiplicity(searched=1, rule="one test, fixed before")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a test saw, and how rare that is under its null: log10 values as computed, nothing paid, nothing rounded."""

    count: int
    opportunities: int
    chance: float
    log10_p: float
    log10_e: float
    resolution_log10_p: float


def figures_of(seen: Coincidences) -> Figures:
    """The exact figures of coincidences; where chances differ, `chance` is their mean."""
    return Figures(
        count=seen.count,
        opportunities=seen.opportunities,
        chance=seen.chance if seen.chance is not None else math.fsum(seen.chances) / seen.opportunities,
        log10_p=log10_upper_tail(seen),
        log10_e=log10_e_value(seen),
        resolution_log10_p=resolution_log10_p(seen),
    )


def effect_of(name: str, count: int, opportunities: int) -> Effect:
    """The share that was seen, with its exact 95 % interval."""
    low, high = share_interval(count, opportunities)
    return Effect(
        name=name,
        value=round(count / opportunities, 6) if opportunities else 0.0,
        low=round(low, 6),
        high=round(high, 6),
    )


def share_to_detect(opportunities: int, chance: float, threshold_log10_p: float) -> float:
    """The smallest true share that the test finds with 95 % probability; 1.0 also where not even all would do."""
    share = detectable_share(opportunities, chance, threshold_log10_p)
    return 1.0 if isinstance(share, Absent) else round(share, 6)


def constructed_power(share: float) -> Power:
    """The power of a test whose chance is known by construction; `share`: what it finds with 95 % probability."""
    return Power(threshold_log10_p=CONSTRUCTED_LOG10_P, detectable_share=share)


def registered_power(entry: RegisterEntry, share: float) -> Power:
    """The power of a test that the register of nulls knows, with the relations it was tried on."""
    return Power(threshold_log10_p=entry.detection_log10_p, detectable_share=share, relations=entry.relatives)


def registered_lineages(entry: RegisterEntry, controls: tuple[str, ...] = ()) -> Lineages:
    """All strangers behind an entry of the register of nulls."""
    strangers = sum(kind.lineages for kind in entry.strangers)
    exceeding = sum(kind.exceeding for kind in entry.strangers)
    return Lineages(
        strangers=strangers,
        strangers_exceeding=exceeding,
        upper_limit=round(upper_limit(exceeding, strangers), 6),
        controls=controls,
    )


def finding_of(
    test: Test,
    pair: Relation,
    figures: Figures,
    *,
    version: str,
    effect: Effect,
    power: Power,
    parameters: Mapping[str, Any],
    calibration: Calibration,
    reason: str = "examined",
    lineages: Lineages = NO_STRANGERS,
    multiplicity: Multiplicity = ONE_TEST,
    components: tuple[Component, ...] = (),
    companions: tuple[Companion, ...] = (),
    assumptions: tuple[str, ...] = (),
    limitations: tuple[str, ...] = (),
    conditional_on: tuple[str, ...] = (),
    further: Sequence[Relation] = (),
) -> Finding:
    """The finding of one test on one pair of models.

    `figures` are as computed: the cost of `multiplicity` is added to log10 p and taken from log10 e here, p is held at 1, and all
    three are rounded to the accused's advantage. `parameters` are what the finding's digest of parameters covers. `version` is that
    of the judging examiner. `further`: relations beside the pair that the finding rests on, such as those of the controls.
    """
    cost = multiplicity.log10_cost
    return Finding(
        **common_fields(test, pair, version),
        reason=reason,
        count=figures.count,
        opportunities=figures.opportunities,
        chance=figures.chance,
        log10_p=round_against_accuser(min(0.0, figures.log10_p + cost), accuses_when="small"),
        log10_e=round_against_accuser(figures.log10_e - cost, accuses_when="large"),
        resolution_log10_p=round_against_accuser(min(0.0, figures.resolution_log10_p + cost), accuses_when="small"),
        effect=effect,
        power=power,
        lineages=lineages,
        multiplicity=multiplicity,
        components=components,
        companions=companions,
        assumptions=assumptions,
        limitations=limitations,
        conditional_on=conditional_on,
        seed=pair.seed,
        parameters_digest=digest(parameters),
        calibration_digest=calibration.digest,
        observations=tuple(map(digest, (pair, *further))),
    )


def inconclusive_of(
    test: Test,
    pair: Relation,
    reason: str,
    *,
    version: str,
    components: tuple[Component, ...] = (),
    companions: tuple[Companion, ...] = (),
    limitations: tuple[str, ...] = (),
    further: Sequence[Relation] = (),
) -> Inconclusive:
    """Examined, and nothing may be said: `reason` is the result. `further`: relations beside the pair that it rests on."""
    return Inconclusive(
        **common_fields(test, pair, version),
        reason=reason,
        components=components,
        companions=companions,
        limitations=limitations,
        seed=pair.seed,
        observations=tuple(map(digest, (pair, *further))),
    )


def not_examined_of(test: Test, pair: Relation, reason: str, *, version: str) -> NotExamined:
    """Could not be examined; `reason` says what it would need."""
    return NotExamined(**common_fields(test, pair, version), reason=reason)


def common_fields(test: Test, pair: Relation, version: str) -> dict[str, Any]:
    """The fields that every outcome of a test has."""
    return {
        "id": f"{test.id}:{pair.first}|{pair.second}",
        "examiner": pair.examiner,
        "examiner_version": version,
        "test": test.id,
        "proposition": test.proposition,
        "alternative": test.alternative,
        "relation_class": test.relation_class,
        "characteristic": test.characteristic,
        "null": test.null,
    }
