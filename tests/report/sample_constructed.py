"""Sample examinations of evidence by construction, made up as those of `sample`: every p is the exact tail of the counts beside it."""

from __future__ import annotations

import math

import msgspec

from filiation.conclusions import conclude
from filiation.evidence import (
    Characteristic,
    Coincidences,
    Companion,
    Effect,
    Examination,
    Finding,
    Identity,
    Inconclusive,
    Lineages,
    Multiplicity,
    NotExamined,
    Null,
    Outcome,
    Power,
    Proposition,
    Relation,
    Relations,
    round_against_accuser,
)
from filiation.sources.marks import NONE
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.e_values import log10_e_value
from tests.report import sample

EXPOSED = "exposed to the planted answers"
UNEXPOSED = "not dependent on the owner's key"
COUNT, CANARIES, OPTIONS = 41, 64, 16
SEARCHED = Multiplicity(
    searched=48,
    rule="Bonferroni over 2 suspects, 3 cohorts, 4 batches, 1 commitment and 2 statistics",
    log10_cost=1.682,
)
HELD = (
    "the key was drawn at random and known to nobody but Our lab, who committed to it; the commitment is signed with the key 5f0c1a2b",
    "the time-stamps of two authorities (2026-03-01T09:12:44Z, 2026-03-01T09:12:51Z) are theirs, and older than the beacon",
    "the beacon, drand round 4100233 of 2026-03-01T12:00:00Z, could not be known before",
    "the ledger of exposures is the claimant's own word: nobody fed the planted answers to the suspect",
)
BESIDE = (
    Companion(null=Null.CONSTRUCTION, name="decoys", value="3 of 64", note="log10 p -0.143"),
    Companion(null=Null.CONSTRUCTION, name="placebo keys", value="0 of 999", note="p = 0.001, exact without any law"),
    Companion(null=Null.CONSTRUCTION, name="unused cohorts", value="9 of 64, log10 p -0.4", note="the largest of 16"),
    Companion(null=Null.CONSTRUCTION, name="control stranger-a", value="5 of 64", note="log10 p -0.31"),
    Companion(null=Null.CONSTRUCTION, name="control stranger-b", value="2 of 64", note="log10 p -0.04"),
    Companion(null=Null.CONSTRUCTION, name="further answers", value="128", note=""),
)


def constructed(test: str, proposition: Proposition = Proposition.MARKS, **changes) -> Finding:
    """A finding by construction: `count` of 64 at 1 in 16, what was searched paid for."""
    count = changes.pop("count", COUNT)
    seen = Coincidences(count=count, opportunities=CANARIES, chance=1 / OPTIONS)
    cost = SEARCHED.log10_cost
    usual = {
        "id": f"outcome-{test}", "examiner": test.partition(".")[0], "examiner_version": "1", "test": test, "proposition": proposition,
        "alternative": UNEXPOSED, "relation_class": EXPOSED, "characteristic": Characteristic.INDIVIDUAL,
        "null": Null.CONSTRUCTION, "reason": "examined", "count": count, "opportunities": CANARIES, "chance": 1 / OPTIONS,
        "log10_p": round_against_accuser(min(0.0, log10_upper_tail(seen) + cost), accuses_when="small"),
        "log10_e": round_against_accuser(log10_e_value(seen) - cost, accuses_when="large"),
        "resolution_log10_p": round_against_accuser(-CANARIES * math.log10(OPTIONS) + cost, accuses_when="small"),
        "effect": Effect(name="share of canaries that survive beyond chance", value=0.617, low=0.48, high=0.74),
        "power": Power(threshold_log10_p=-6.0, detectable_share=0.38),
        "lineages": Lineages(strangers=0, strangers_exceeding=0, upper_limit=1.0),
        "multiplicity": SEARCHED, "companions": BESIDE, "assumptions": HELD,
        "limitations": ("one batch was opened; batches opened later are not added up",), "seed": 7,
    }  # fmt: skip
    return Finding(**(usual | changes))


def by_ranks() -> Finding:
    """A finding whose law is not binomial: only how rare everything is can be drawn."""
    rare = (
        msgspec.structs.replace(BESIDE[0], value="log10 p -0.6", note=""),
        *(
            Companion(null=Null.CONSTRUCTION, name=f"control {n}", value=f"log10 p -{n / 10}", note="")
            for n in range(1, 21)
        ),
    )
    return constructed(
        "canaries.ranks", count=60, chance=0.5, log10_p=-21.4, log10_e=19.2, resolution_log10_p=-75.0, companions=rare
    )


def silent() -> Finding:
    return constructed(
        "private_twins.text", Proposition.DATA, count=5, alternative="read neither twin, or both", relation_class="read the published"
    )  # fmt: skip


def broken() -> Inconclusive:
    """A control that agrees: no figure."""
    told = {
        name: getattr(silent(), name) for name in Inconclusive.__struct_fields__ if name not in ("kind", "components")
    }
    agreeing = Companion(null=Null.CONSTRUCTION, name="control stranger-a", value="31 of 64", note="log10 p -18.2")
    changed = {
        "id": "outcome-watermark.answers", "examiner": "watermark", "test": "watermark.answers", "companions": (agreeing,),
        "alternative": UNEXPOSED, "relation_class": EXPOSED, "proposition": Proposition.MARKS,
        "reason": "a premise is broken: control stranger-a carries the mark, too",
    }  # fmt: skip
    return Inconclusive(**told | changed)


def without_marks() -> tuple[NotExamined, ...]:
    """What every ordinary comparison has: nothing was planted or drawn by lot."""
    tests = {
        "canaries.agreements": Proposition.MARKS, "canaries.ranks": Proposition.MARKS, "watermark.answers": Proposition.MARKS,
        "radioactivity.predictions": Proposition.DATA, "training_order.later-is-remembered": Proposition.DATA,
        "private_twins.likelihood": Proposition.DATA, "private_twins.text": Proposition.DATA,
    }  # fmt: skip
    return tuple(
        NotExamined(
            id=f"outcome-{test}", examiner=test.partition(".")[0], examiner_version="1", test=test, proposition=proposition,
            alternative=UNEXPOSED, relation_class=EXPOSED, characteristic=Characteristic.INDIVIDUAL, null=Null.CONSTRUCTION,
            reason=f"ours: {NONE.reason}" if "canaries" in test else NONE.reason,
        )
        for test, proposition in tests.items()
    )  # fmt: skip


def of_outcomes(*outcomes: Outcome) -> Examination:
    whole = sample.examination()
    return msgspec.structs.replace(
        whole,
        reference=Identity(name="our-lab/marks", format="marks", bytes_total=90_000, bytes_read=90_000, coverage=1.0),
        suspect=Identity(name="nimbus/Nimbus-chat", format="transcript"),
        outcomes=outcomes,
        conclusions=conclude(outcomes),
        relations={},
        observations=(),
    )


def examination() -> Examination:
    return of_outcomes(constructed("canaries.agreements"), by_ranks(), broken(), silent())


def of_suspect(name: str, count: int) -> Examination:
    """The same of another model in the suspect's place, which agrees so often."""
    if count == COUNT:
        return examination()
    whole = of_outcomes(constructed("canaries.agreements", count=count), broken(), silent())
    return msgspec.structs.replace(whole, suspect=Identity(name=name, format="transcript"))


def with_lots(found: Finding) -> Examination:
    """The same with what was recorded of the lots."""
    lots = {
        "owner": "Our lab", "beacon": "drand round 4100233", "beacon_time": "2026-03-01T12:00:00Z",
        "stamps": {"a1": "2026-03-01T09:12:51Z", "a0": "2026-03-01T09:12:44+00:00"},
    }  # fmt: skip
    pair = Relation(
        examiner=found.examiner, examiner_version="1", first="ours", second="theirs", seed=0, content={"lot": lots}
    )
    return msgspec.structs.replace(of_outcomes(found), relations={found.examiner: Relations(pair=pair)})


def ordinary() -> Examination:
    """A comparison of files, with everything by construction not examined."""
    whole = sample.examination()
    outcomes = (*whole.outcomes, *without_marks())
    return msgspec.structs.replace(
        whole, outcomes=outcomes, conclusions=(*whole.conclusions, *conclude(without_marks()))
    )
