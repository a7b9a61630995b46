"""An examiner as another package would bring it: do the same rows stand in both models' MLPs, rounded to bfloat16?

It finds plain copies and nothing else, and says so. `tests/test_every_examiner.py` puts it on the bench, installs it by
entry point, and breaks it in every way that the bench must notice.
"""

from __future__ import annotations

from collections import Counter

import ml_dtypes
import numpy as np

from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Coincidences,
    Effect,
    Finding,
    Identity,
    Inconclusive,
    Lineages,
    Multiplicity,
    Null,
    Observation,
    Outcome,
    Power,
    Proposition,
    Relation,
    RelationPower,
    Relations,
    Test,
    digest,
    round_against_accuser,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.sources.families import Role, decoder_of
from filiation.sources.source import Source
from filiation.statistics.coincidences import log10_upper_tail, resolution_log10_p
from filiation.statistics.e_values import log10_e_value
from filiation.statistics.intervals import share_interval
from filiation.statistics.likelihood import upper_limit
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount

NAME = "rows"
VERSION = "1"
QUESTION = "Do the same rows stand in the first MLP of both models?"
NEEDS = (Access.WEIGHTS, Access.CONFIGURATION)
TESTS = (
    Test(
        id="rows.equal",
        proposition=Proposition.WEIGHTS,
        alternative="written down independently of each other",
        relation_class="plain copy",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.MODEL,
        symmetric=True,
        formula="P(Bin(n, c) >= k)",
    ),
)
CLAIMS = ("copy",)
ASSUMPTIONS = ("Rows of dozens of numbers do not coincide in more than one row of a hundred unless they were copied.",)
REFERENCES = ("none: an example",)
CALIBRATION = Calibration(
    examiner=NAME,
    entries=(
        RegisterEntry(
            test="rows.equal",
            null=Null.MODEL,
            formula_version="1",
            chance=0.01,
            detection_log10_p=-12.0,
            validated_for=("llama", "qwen2", "gpt2"),
            strangers=(StrangerCount(kind="strangers", lineages=4, exceeding=0, tests=6, largest_share=0.0),),
            relatives=(RelationPower(relation="copy", detected=2, lineages=2),),
            calibrated_on="the test zoo",
            date="2026-11-20",
            tried=(),
            made_by="hand",
        ),
    ),
)


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    decoder = decoder_of(source)
    if isinstance(decoder, Absent):
        return decoder
    rows = decoder.read(Role(layer=0, part="up")).astype(ml_dtypes.bfloat16)
    written = Counter(digest(row.view(np.uint16).tolist()) for row in rows if np.any(row != 0))
    content = {"rows": {name: int(times) for name, times in written.items()}}
    return Observation(examiner=NAME, examiner_version=VERSION, exhibit=source.name, content=content)


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    one, other = (Counter(subject.observation.content["rows"]) for subject in (first, second))
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=first.observation.exhibit,
        second=second.observation.exhibit,
        seed=seed,
        content={"count": (one & other).total(), "opportunities": min(one.total(), other.total())},
    )


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    test, pair = TESTS[0], relations.pair
    common = {
        "id": f"{test.id}:{pair.first}|{pair.second}",
        "examiner": NAME,
        "examiner_version": VERSION,
        "test": test.id,
        "proposition": test.proposition,
        "alternative": test.alternative,
        "relation_class": test.relation_class,
        "characteristic": test.characteristic,
        "null": test.null,
        "observations": (digest(pair),),
    }
    if not calibration.entries:
        return (Inconclusive(**common, reason="not validated"),)
    entry = calibration.entry(test.id)
    seen = Coincidences(count=pair.content["count"], opportunities=pair.content["opportunities"], chance=entry.chance)
    low, high = share_interval(seen.count, seen.opportunities)
    return (
        Finding(
            **common,
            reason="examined",
            count=seen.count,
            opportunities=seen.opportunities,
            chance=entry.chance or 0.0,
            log10_p=round_against_accuser(log10_upper_tail(seen), accuses_when="small"),
            log10_e=round_against_accuser(log10_e_value(seen), accuses_when="large"),
            resolution_log10_p=round_against_accuser(resolution_log10_p(seen), accuses_when="small"),
            effect=Effect(name="share of rows", value=seen.count / seen.opportunities, low=low, high=high),
            power=Power(threshold_log10_p=entry.detection_log10_p, detectable_share=1.0, relations=entry.relatives),
            lineages=Lineages(strangers=4, strangers_exceeding=0, upper_limit=round(upper_limit(0, 4), 6)),
            multiplicity=Multiplicity(searched=1, rule="one layer, fixed before"),
            assumptions=ASSUMPTIONS,
            limitations=("Finds plain copies only.",),
            calibration_digest=calibration.digest,
        ),
    )
