"""Does the suspect refuse what the reference refuses, in its words, and do its refusals hold where the reference's hold?

Three tests, all by population. A *pattern* of refusals is what a model's makers taught it to refuse, beyond what nearly every
model refuses. The *wording* of refusals is often a formula drilled in by the thousand. *Robustness*: a refusal that was
copied as a text, without what it rests on, may fall to a paraphrase where the original holds; the third test counts the
groups of paraphrases in which the reference holds throughout and the suspect, though it refuses some of them in the
same words, does not.

All need answers to borderline prompts ('filiation probes show borderline'). No recorded population has answered them: until
one has, and a study has entered it in the register of nulls, the outcomes are inconclusive, with the statistic shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

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
    digest,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.line_up import (
    SCALE,
    Demands,
    Entrant,
    entrant_of,
    judge_line_up,
    line_up_content,
    observe_transcript,
)
from filiation.measures import refusals
from filiation.measures.rare_phrases import overlap_at, users_of, without_model_effects
from filiation.measures.refusal_patterns import informative, pattern_agreement
from filiation.measures.refusals import Reading, read_refusal, wording
from filiation.sources.probes import answers_to, group_of
from filiation.sources.source import Source
from filiation.sources.transcripts import Transcript
from filiation.statistics.intervals import share_interval
from filiation.statistics.register import Calibration

NAME = "guardrails"
VERSION = "1"
QUESTION = (
    "Does the suspect refuse what the reference refuses, in its words, and do its refusals hold where those hold?"
)
NEEDS = (Access.TRANSCRIPT,)
PROBES = "borderline"


def _test(name: str, formula: str) -> Test:
    return Test(
        id=f"{NAME}.{name}",
        proposition=Proposition.GUARDRAILS,
        alternative="taught to refuse without the reference, its outputs, or an ancestor of it",
        relation_class="common origin of the refusals (one model, derived from it, or both from one source)",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.POPULATION,
        symmetric=False,
        formula=formula,
    )


PATTERN = _test(
    "pattern",
    "(k + 1) / (N + 1), rank among control lineages by correlation of refusals, model and prompt effects removed",
)
WORDING = _test(
    "wording",
    "(k + 1) / (N + 1), rank among control lineages by rarity-weighted phrases shared in refusals of one prompt",
)
ROBUSTNESS = _test(
    "robustness", "groups of paraphrases where one holds and the other does not, less the reverse; descriptive"
)
TESTS = (PATTERN, WORDING, ROBUSTNESS)
CLAIMS: tuple[str, ...] = ()
ASSUMPTIONS = (
    "Without a common origin, the suspect is exchangeable with a model of each control lineage.",
    "All models were asked under comparable instructions: a system prompt or a filter in front of a model refuses, too.",
    "Declared lineages and listed relations of the controls are right.",
)
LIMITATIONS = (
    "Refusals are read off English wording by a lexicon; what it misses counts as answered, for everybody alike.",
    "Public data teaches refusals: models of different makers, trained on the same published dialogues, share patterns and words.",
    "Direction is not told.",
)
REFERENCES = (
    "Rasch 1960, Probabilistic models for some intelligence and attainment tests (additive model of refusals)",
    "McNemar 1947, Note on the sampling error of the difference between correlated proportions (paired counts)",
    "Spärck Jones 1972, A statistical interpretation of term specificity (rarity weights)",
)
DEMANDS = Demands(prompts=30, lineages=19, labs=10, controls=30)
"""30 informative prompts; 30 controls, 10 labs (docs/decisions/0010-line-ups.md); with fewer than 19 lineages no rank could reach 0.05."""

FEWEST = 30
"""Borderline prompts that both models must have answered before anything is said."""
ANSWERED = 2 / 3
LOW, HIGH = 0.05, 0.80
"""A prompt tells something where between these shares of the models refuse it."""
SHRINKAGE = 3.0
"""Added to the number of prompts that both refuse: two shared refusals are no habit."""
FEWEST_ASKED = 3
SAME_WORDS = 0.25
"""Share of the phrases of two refusals that they share from which on they count as refusing 'in the same words'."""

RECORD_THEM = (
    "to record them: 'filiation record ENDPOINT --prompts borderline -o answers.jsonl --transcript answers.parquet', for the "
    "reference, the suspect and the controls"
)
NOT_VALIDATED = {
    PATTERN.id: "not validated: no population of models has been recorded on borderline prompts; the recorded population at "
    "hand (AlpacaEval) has fewer prompts that 5 to 80 % of models refuse than the 30 needed",
    WORDING.id: "not validated: no population of models has been recorded on borderline prompts, so how often unrelated "
    "models refuse in these words is not known",
    ROBUSTNESS.id: "not validated: how often unrelated models differ in this way is not known; the count is a description",
}


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Who the model is said to be, and a digest of what it answered."""
    return observe_transcript(NAME, VERSION, source)


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """The line-up that consists of the two models alone."""
    return line_up(first, second, (), seed, progress)


def line_up(
    reference: Subject, suspect: Subject, controls: Sequence[Subject], seed: int, progress: Progress = silent
) -> Relation | Absent:
    """Read every answer to a borderline prompt, and score all pairs of models by pattern, wording and robustness."""
    answers = [_answers(subject) for subject in (reference, suspect, *controls)]
    common = sorted(set(answers[0]) & set(answers[1]))
    asked = [item for item in common if group_of(item) == item]
    if len(asked) < FEWEST:
        return Absent(
            reason=f"{len(asked)} prompts of the probe set '{PROBES}' were answered by both models, {FEWEST} are needed; "
            + RECORD_THEM
        )
    entrants = [entrant_of(reference, "reference"), entrant_of(suspect, "suspect")]
    readings = [_read(answers[0], common), _read(answers[1], common)]
    for control, answered in zip(controls, answers[2:], strict=True):
        # Who answered few of the prompts would stand in the rank with a score that is mostly accident.
        if sum(item in answered for item in common) >= ANSWERED * len(common):
            entrants.append(entrant_of(control, "control"))
            readings.append(_read(answered, common))
    progress("read", 0.5)
    values = refusal_values(readings, asked)
    telling = informative(values, LOW, HIGH)
    words = Wordings(readings, asked)
    robust = robustness(readings, common)
    progress("scored", 1.0)
    scored = {
        PATTERN.id: (pattern_agreement(values[:, telling]), int(telling.sum())),
        WORDING.id: (words.scores, words.both_refused(0, 1)),
        ROBUSTNESS.id: (robust.scores, robust.groups(0, 1)),
    }
    tests = {
        test: line_up_content(entrants, scores, prompts=prompts, seed=seed, test=test)
        for test, (scores, prompts) in scored.items()
    }
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=reference.observation.exhibit,
        second=suspect.observation.exhibit,
        seed=seed,
        content={
            "tests": tests,
            "lexicon": refusals.VERSION,
            "kinds": [_kinds(reading, asked) for reading in readings[:2]],
            "alike": _alike(readings[0], readings[1], asked),
            "asked": len(asked),
            "telling": int(telling.sum()),
            "both_refused": [words.both_refused(0, at) for at in range(len(entrants))],
            "overlap": [round(words.mean(0, at) * SCALE) for at in range(len(entrants))],
            "groups": [robust.groups(0, at) for at in range(len(entrants))],
            "reference_holds": [robust.count(0, at) for at in range(len(entrants))],
            "other_holds": [robust.count(at, 0) for at in range(len(entrants))],
            "summary": {},
        },
    )


def _answers(subject: Subject) -> dict[str, str]:
    transcript = subject.source.transcript()
    assert isinstance(transcript, Transcript)
    return answers_to(PROBES, transcript)


def _read(answered: Mapping[str, str], items: Sequence[str]) -> dict[str, Reading]:
    return {item: read_refusal(answered[item]) for item in items if item in answered}


def refusal_values(readings: Sequence[Mapping[str, Reading]], items: Sequence[str]) -> NDArray[np.float64]:
    """Models x prompts: 1 refused, 1/2 partly, 0 not; NaN where there is no answer."""
    return np.asarray(
        [[reading[item].refusing if item in reading else np.nan for item in items] for reading in readings]
    )


class Wordings:
    """Overlap of refusals, each pair over the prompts that both refuse at least in part."""

    def __init__(self, readings: Sequence[Mapping[str, Reading]], items: Sequence[str]) -> None:
        said = [{item: wording(read) for item, read in reading.items() if read.sentences} for reading in readings]
        users = users_of(said, items)
        size = len(readings)
        self.total, self.both = np.zeros((size, size)), np.zeros((size, size))
        for item in items:
            seen = overlap_at(said, item, users)
            place = np.ix_(seen.models, seen.models)
            self.total[place] += seen.rare
            self.both[place] += 1
        self.scores = without_model_effects(self.total / (self.both + SHRINKAGE))

    def both_refused(self, one: int, other: int) -> int:
        return int(self.both[one, other])

    def mean(self, one: int, other: int) -> float:
        """Mean overlap over the prompts that both refuse, 0 where there is none."""
        return float(self.total[one, other] / max(1.0, self.both[one, other]))


@dataclass(frozen=True)
class Robustness:
    """Per ordered pair: groups in which the first holds and the second, refusing some in the same words, does not."""

    holding: NDArray[np.intp]
    compared: NDArray[np.intp]

    @property
    def scores(self) -> NDArray[np.float64]:
        difference: NDArray[np.float64] = (self.holding - self.holding.T) / np.maximum(1, self.compared)
        return difference

    def count(self, one: int, other: int) -> int:
        return int(self.holding[one, other])

    def groups(self, one: int, other: int) -> int:
        return int(self.compared[one, other])


def robustness(readings: Sequence[Mapping[str, Reading]], items: Sequence[str]) -> Robustness:
    """Count over groups of paraphrases of which both models answered at least FEWEST_ASKED.

    A model *holds* where it refuses every one of the group; it *breaks* where it helps, at least in part, with one of them.
    """
    size = len(readings)
    said = [{item: wording(read) for item, read in reading.items() if read.sentences} for reading in readings]
    users = users_of(said, items)
    groups: dict[str, list[str]] = {}
    for item in items:
        groups.setdefault(group_of(item), []).append(item)
    holding, compared = np.zeros((size, size), dtype=np.intp), np.zeros((size, size), dtype=np.intp)
    for members in groups.values():
        if len(members) < FEWEST_ASKED:
            continue
        kinds = [[reading[item].kind for item in members if item in reading] for reading in readings]
        asked = np.asarray([len(kind) >= FEWEST_ASKED for kind in kinds])
        holds = np.asarray([set(kind) == {"refused"} for kind in kinds]) & asked
        breaks = np.asarray([bool({"answered", "partial"} & set(kind)) for kind in kinds]) & asked
        same = np.zeros((size, size), dtype=np.bool_)
        for item in members:
            seen = overlap_at(said, item, users)
            same[np.ix_(seen.models, seen.models)] |= seen.plain >= SAME_WORDS
        compared += asked[:, None] & asked[None, :]
        holding += holds[:, None] & breaks[None, :] & same
    return Robustness(holding, compared)


def _kinds(reading: Mapping[str, Reading], items: Sequence[str]) -> dict[str, int]:
    counts = dict.fromkeys(refusals.KINDS, 0)
    for item in items:
        if item in reading:
            counts[reading[item].kind] += 1
    return counts


def _alike(one: Mapping[str, Reading], other: Mapping[str, Reading], items: Sequence[str]) -> int:
    return sum((one[item].refusing > 0) == (other[item].refusing > 0) for item in items)


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """One outcome per test: a rank where the register has an entry made on borderline prompts, else what was seen.

    Robustness is a description whatever the register holds.
    """
    content = relations.pair.content
    entered = {entry.test for entry in calibration.entries}
    outcomes = []
    for test in TESTS:
        # Each test has its own line-up inside the one relation; what is cited is the relation as it was recorded.
        own = msgspec.structs.replace(relations.pair, content=content["tests"][test.id])
        outcome = judge_line_up(
            test,
            Relations(pair=own),
            calibration,
            examiner_version=VERSION,
            demands=DEMANDS,
            effect=_effect(test, content),
            assumptions=ASSUMPTIONS,
            limitations=LIMITATIONS,
            components=_components(test, content),
            not_validated=NOT_VALIDATED[test.id] if test is ROBUSTNESS or test.id not in entered else "",
        )
        outcomes.append(msgspec.structs.replace(outcome, observations=(digest(relations.pair),)))
    return tuple(outcomes)


def _effect(test: Test, content: Mapping[str, Any]) -> Effect:
    if test is PATTERN:
        low, high = share_interval(content["alike"], content["asked"])
        share = content["alike"] / content["asked"]
        return Effect(name="share of prompts that both refuse or both answer", value=share, low=low, high=high)
    value = content["overlap"][1] / SCALE
    return Effect(
        name="mean overlap of the refusals of prompts that both refuse (interval not estimated)",
        value=value,
        low=0.0,
        high=1.0,
    )


def _components(test: Test, content: Mapping[str, Any]) -> tuple[Component, ...]:
    if test is PATTERN:
        kinds = [
            Component(
                kind="answers read",
                name=f"{who}: {kind}",
                count=counts[kind],
                opportunities=content["asked"],
                note="prompts of the borderline set that both answered",
            )
            for who, counts in zip(("reference", "suspect"), content["kinds"], strict=True)
            for kind in refusals.KINDS
            if counts[kind]
        ]
        return (
            Component(
                kind="agreement",
                name="both refuse or both answer",
                count=content["alike"],
                opportunities=content["asked"],
                note=f"{content['telling']} of {content['asked']} prompts are refused by 5 to 80 % of the models present",
            ),
            *kinds,
        )
    entrants = [msgspec.convert(entrant, Entrant) for entrant in content["tests"][test.id]["entrants"]]
    if test is WORDING:
        return tuple(
            Component(
                kind="wording",
                name=entrants[at].name,
                count=content["both_refused"][at],
                opportunities=content["asked"],
                note=f"prompts that it and the reference refuse; mean overlap of their words {content['overlap'][at] / SCALE:.3f}",
            )
            for at in range(1, len(entrants))
        )
    return tuple(
        Component(
            kind="paraphrase groups",
            name=entrants[at].name,
            count=content["reference_holds"][at],
            opportunities=content["groups"][at],
            note=_paired(content["reference_holds"][at], content["other_holds"][at]),
        )
        for at in range(1, len(entrants))
    )


def _paired(holds: int, reverse: int) -> str:
    """McNemar's exact tail of the paired counts, named as what it is: paraphrases are not the unit of inference."""
    told = f"the reference holds and this model does not, in the same words: {holds}; the reverse: {reverse}"
    if not holds + reverse:
        return told
    trials = holds + reverse
    tail = sum(math.comb(trials, at) for at in range(holds, trials + 1)) / 2**trials
    return f"{told}; exact paired tail {tail:.3g}, a description only: groups of one pair of models are no population"
