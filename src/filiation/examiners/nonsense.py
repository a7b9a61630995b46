"""Do the two models give the same answers to inputs that mean nothing?

To a question there may be one right answer, and strangers will agree on it. To a string without sense there is none: models
that were trained apart have no reason to coincide, but for the few polite formulas ('it looks as if your message ...') that all
of them know. So the examiner compares answers to the probe set 'nonsense' phrase by phrase, a phrase weighing by how few
other models of the line-up ever say it.

No population of models has been recorded on nonsense inputs: the outcome is inconclusive, with the statistic and the controls
shown, until a study has entered one in the register of nulls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Component,
    Effect,
    Identity,
    Null,
    Observation,
    Outcome,
    Proposition,
    Relation,
    Relations,
    Test,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.line_up import (
    SCALE,
    Demands,
    entrant_of,
    judge_line_up,
    line_up_content,
    observe_transcript,
)
from filiation.measures.rare_phrases import overlap_at, phrases, users_of, words_of
from filiation.sources.probes import answers_to
from filiation.sources.source import Source
from filiation.sources.transcripts import Transcript
from filiation.statistics.intervals import share_interval
from filiation.statistics.register import Calibration

NAME = "nonsense"
VERSION = "1"
QUESTION = "Do the two models give the same answers to inputs that mean nothing?"
NEEDS = (Access.TRANSCRIPT,)
PROBES = "nonsense"
TESTS = (
    Test(
        id="nonsense.same-answers",
        proposition=Proposition.OUTPUTS,
        alternative="trained without the reference, its outputs, or an ancestor of it",
        relation_class="common origin of the answers (one model, derived from it, or both from one source)",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.POPULATION,
        symmetric=False,
        formula="(k + 1) / (N + 1), rank among control lineages by rarity-weighted phrases shared in answers to nonsense",
    ),
)
CLAIMS: tuple[str, ...] = ()
ASSUMPTIONS = (
    "Without a common origin, the suspect is exchangeable with a model of each control lineage.",
    "All models were asked the same inputs under comparable instructions, without a cache or filter in front of them.",
    "Declared lineages and listed relations of the controls are right.",
)
LIMITATIONS = (
    "Texts show a common origin of answers, not how it came about.",
    "Polite formulas for unintelligible input are common property; without controls their rarity is not known.",
    "Direction is not told.",
)
REFERENCES = (
    "Spärck Jones 1972, A statistical interpretation of term specificity (rarity weights)",
    "Jaccard 1912, The distribution of the flora in the alpine zone (overlap of two sets)",
)
DEMANDS = Demands(prompts=30, lineages=19, labs=10, controls=30)
FEWEST = 30
ANSWERED = 2 / 3
WORDS = 3
"""Length of the compared phrases."""
NEAR = 0.8
"""Share of their phrases that two answers share from which on they are called near-identical."""
SHORTEST = 4
"""Words below which an answer is too short to be called identical to another."""
RECORD_THEM = (
    "to record them: 'filiation record ENDPOINT --prompts nonsense --count 120 -o answers.jsonl --transcript answers.parquet', "
    "for the reference, the suspect and the controls"
)
NOT_VALIDATED = (
    "not validated: no population of models has been recorded on nonsense inputs, so how often unrelated models answer them "
    "alike is not known"
)


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Who the model is said to be, and a digest of what it answered."""
    return observe_transcript(NAME, VERSION, source)


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """The line-up that consists of the two models alone."""
    return line_up(first, second, (), seed, progress)


def line_up(
    reference: Subject, suspect: Subject, controls: Sequence[Subject], seed: int, progress: Progress = silent
) -> Relation | Absent:
    """Score all pairs of models by the mean overlap of their answers; count near-identical answers beside it."""
    answers = [_answers(subject) for subject in (reference, suspect, *controls)]
    asked = sorted(set(answers[0]) & set(answers[1]))
    if len(asked) < FEWEST:
        return Absent(
            reason=f"{len(asked)} prompts of the probe set '{PROBES}' were answered by both models, {FEWEST} are needed; "
            + RECORD_THEM
        )
    entrants = [entrant_of(reference, "reference"), entrant_of(suspect, "suspect")]
    taking_part = answers[:2]
    for control, answered in zip(controls, answers[2:], strict=True):
        if sum(item in answered for item in asked) >= ANSWERED * len(asked):
            entrants.append(entrant_of(control, "control"))
            taking_part.append(answered)
    said = [{item: phrases(one[item], WORDS) for item in asked if item in one} for one in taking_part]
    long = [
        {item for item in spoken if len(words_of(one[item])) >= SHORTEST}
        for spoken, one in zip(said, taking_part, strict=True)
    ]
    users = users_of(said, asked)
    size = len(entrants)
    total, both = np.zeros((size, size)), np.zeros((size, size))
    near = [0] * size
    rare = [0] * size
    for number, item in enumerate(asked):
        seen = overlap_at(said, item, users)
        place = np.ix_(seen.models, seen.models)
        total[place] += seen.rare
        both[place] += 1
        if seen.models and seen.models[0] == 0 and item in long[0]:
            for row, at in enumerate(seen.models):
                if at and item in long[at] and seen.plain[0, row] >= NEAR:
                    near[at] += 1
                    rare[at] += bool(seen.rare[0, row] >= NEAR / 2)
        progress("comparing answers", (number + 1) / len(asked))
    scores = total / np.maximum(both, 1)
    content = line_up_content(entrants, scores, prompts=len(asked), seed=seed, test=TESTS[0].id)
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=reference.observation.exhibit,
        second=suspect.observation.exhibit,
        seed=seed,
        content={
            **content,
            "near": near,
            "near_and_rare": rare,
            "both": [int(count) for count in both[0]],
            "summary": {TESTS[0].id: {"count": near[1], "opportunities": len(asked)}},
        },
    )


def _answers(subject: Subject) -> dict[str, str]:
    transcript = subject.source.transcript()
    assert isinstance(transcript, Transcript)
    return answers_to(PROBES, transcript)


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """What was seen, with the controls beside it; a rank only where the register has an entry."""
    content = relations.pair.content
    low, high = share_interval(content["near"][1], content["both"][1])
    return (
        judge_line_up(
            TESTS[0],
            relations,
            calibration,
            examiner_version=VERSION,
            demands=DEMANDS,
            effect=Effect(
                name="share of inputs answered near-identically",
                value=content["near"][1] / content["both"][1],
                low=low,
                high=high,
            ),
            assumptions=ASSUMPTIONS,
            limitations=LIMITATIONS,
            components=_components(content),
            not_validated="" if calibration.entries else NOT_VALIDATED,
        ),
    )


def _components(content: Mapping[str, Any]) -> tuple[Component, ...]:
    return tuple(
        Component(
            kind="near-identical answers",
            name=entrant["name"],
            count=content["near"][at],
            opportunities=content["both"][at],
            note=f"{content['near_and_rare'][at]} of them in words that few other models use; mean overlap with the reference, "
            f"weighed by rarity, {content['scores'][0][at] / SCALE:.3f}",
        )
        for at, entrant in enumerate(content["entrants"])
        if at
    )
