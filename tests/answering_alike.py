"""A small examiner of recorded answers for the tests of probing: ranks the share of prompts answered word for word alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Effect,
    Identity,
    Null,
    Observation,
    Outcome,
    Proposition,
    Relation,
    RelationPower,
    Relations,
    Test,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.line_up import Demands, entrant_of, judge_line_up, line_up_content, observe_transcript
from filiation.sources.source import Source
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount

NAME = "alike"
VERSION = "1"
QUESTION = "Does the suspect answer word for word like the reference more often than unrelated models do?"
NEEDS = (Access.TRANSCRIPT,)
TESTS = (
    Test(
        id="alike.answers",
        proposition=Proposition.OUTPUTS,
        alternative="answers of its own",
        relation_class="common origin of the answers",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.POPULATION,
    ),
)
CLAIMS = ("same model",)
ASSUMPTIONS = ("Controls answered the same prompts.",)
REFERENCES = ("tests",)
CALIBRATION = Calibration(
    examiner=NAME,
    entries=(
        RegisterEntry(
            test=TESTS[0].id,
            null=Null.POPULATION,
            formula_version=VERSION,
            chance=None,
            detection_log10_p=-1.3,
            validated_for=(),
            strangers=(StrangerCount(kind="made up", lineages=60, exceeding=3, tests=60, largest_share=0.05),),
            relatives=(RelationPower(relation="same model", detected=9, lineages=10),),
            calibrated_on="made up",
            date="2026-11-21",
            tried=(),
            made_by="tests/answering_alike.py",
        ),
    ),
)


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    return observe_transcript(NAME, VERSION, source)


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    return line_up(first, second, (), seed, progress)


def line_up(
    reference: Subject, suspect: Subject, controls: Sequence[Subject], seed: int, progress: Progress = silent
) -> Relation | Absent:
    subjects = (reference, suspect, *controls)
    texts = [subject.source.transcript().texts() for subject in subjects]
    common = sorted(set(texts[0]) & set(texts[1]))
    if not common:
        return Absent(reason="no prompt in common")
    answers = np.array([[each.get(prompt, (f"none {at}",))[0] for prompt in common] for at, each in enumerate(texts)])
    same = answers[:, None, :] == answers[None, :, :]
    rarity = 1.0 - same.mean(axis=1)
    entrants = [
        entrant_of(subject, ("reference", "suspect")[at] if at < 2 else "control")
        for at, subject in enumerate(subjects)
    ]
    content = line_up_content(
        entrants, (same * rarity[:, None, :]).mean(axis=2), prompts=len(common), seed=seed, test=TESTS[0].id
    )
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=reference.observation.exhibit,
        second=suspect.observation.exhibit,
        seed=seed,
        content={"inner": content},
    )


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """The line-up is nested, as in examiners with several tests: what combines looks must find it there."""
    pair = relations.pair
    flat = Relation(
        **{name: getattr(pair, name) for name in pair.__struct_fields__} | {"content": pair.content["inner"]}
    )
    return (
        judge_line_up(
            TESTS[0],
            Relations(pair=flat),
            calibration,
            examiner_version=VERSION,
            demands=Demands(prompts=5, lineages=10, labs=5, controls=10),
            effect=Effect(name="share", value=0.0, low=0.0, high=1.0),
            assumptions=ASSUMPTIONS,
            limitations=("A test.",),
        ),
    )
