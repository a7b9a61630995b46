"""Do two models find the same texts likelier than unrelated models do?

Looked at: log-likelihoods of fixed texts, as `filiation score` records them of one's own models, and evaluation logs for every option
of a multiple choice, whatever the model then chose. What everybody finds likely is taken away, and the suspect is ranked among control
lineages by the correlation of what is left (measures/log_probabilities.py). The null is *by population*: p is at least 1 / (N + 1) for
N control lineages.

Only texts that all were asked about are used. Log-probabilities of generated answers are not: which tokens two models both list
depends on how much they agree, and a comparison over those would favour the suspect over the controls before it began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

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
    Relations,
    Test,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.line_up import Demands, entrant_of, judge_line_up, line_up_content, observe_transcript
from filiation.measures.log_probabilities import FEWEST_MODELS, kinship, scores_of
from filiation.sources.source import Source
from filiation.statistics.line_up import name_key
from filiation.statistics.register import Calibration

NAME = "log_probabilities"
VERSION = "1"
QUESTION = "Do the two models find the same texts likelier than unrelated models do?"
NEEDS = (Access.TRANSCRIPT,)
TESTS = (
    Test(
        id="log_probabilities.kinship",
        proposition=Proposition.OUTPUTS,
        alternative="trained without the reference, its outputs, or an ancestor of it",
        relation_class="one model, rounded, pruned, adapted or trained on a little; or a student of its outputs",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.POPULATION,
        formula="(k + 1) / (N + 1), rank among control lineages by correlation of log-likelihoods, items' and models' means removed",
    ),
)
CLAIMS = ("same model", "version")
ASSUMPTIONS = (
    "Without a common origin, the suspect is exchangeable with a model of each control lineage: of a like design, tuned as far, and on "
    "texts as near to those that were scored.",
    "Everybody was asked about the same texts, written before any of the answers was seen.",
)
LIMITATIONS = (
    "Models trained on the same data, or on outputs of one teacher, find the same texts likely without a common ancestor.",
    "What a model likes follows what it was last taught: fine-tunes on other text are mostly missed, merges and long training altogether.",
    "Strangers of one design stand nearer to each other: where few controls are of the reference's design, a rank says little more.",
    "Direction is not told.",
    "Not validated on real models: strangers were counted on small models of one design and one tokenizer, over source code.",
)
REFERENCES = ("Besag and Clifford 1989, Generalized Monte Carlo significance tests (rank p-values)",)
DEMANDS = Demands(prompts=30, lineages=19, labs=10, controls=30)
SCORED = 0.9
"""Share of the texts that a control must have been asked about; the rest counts as everybody's mean."""
SCALE = 1_000_000
RESAMPLES = 200


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Who the model is said to be, and a digest of what was recorded; `Absent` where no fixed texts were scored."""
    seen = observe_transcript(NAME, VERSION, source)
    if isinstance(seen, Absent):
        return seen
    if not scores_of(source):
        return Absent(
            reason="no log-likelihoods of fixed texts were recorded (texts read whole, or options of a multiple choice, all of them scored)"
        )
    return seen


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """The line-up of the two models alone, which is declined: what everybody finds likely shows only among others."""
    return line_up(first, second, (), seed, progress)


def line_up(
    reference: Subject, suspect: Subject, controls: Sequence[Subject], seed: int, progress: Progress = silent
) -> Relation | Absent:
    """Record the correlations of all pairs of models over the texts that reference and suspect were both asked about."""
    said = [scores_of(subject.source) for subject in (reference, suspect, *controls)]
    items = sorted(said[0].keys() & said[1].keys())
    if not items:
        return Absent(reason="reference and suspect were not asked about the same texts")
    able = [at for at, scores in enumerate(said) if len(scores.keys() & set(items)) >= SCORED * len(items)]
    if len(able) < FEWEST_MODELS:
        return Absent(reason="no control was asked about the same texts: what everybody finds likely cannot be told")
    values = matrix_of([said[at] for at in able], items)
    subjects = [(reference, suspect, *controls)[at] for at in able]
    entrants = [
        entrant_of(each, ("reference", "suspect")[at] if at < 2 else "control") for at, each in enumerate(subjects)
    ]
    prompts = len({prompt for prompt, _ in items})
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=reference.observation.exhibit,
        second=suspect.observation.exhibit,
        seed=seed,
        content=line_up_content(
            entrants,
            kinship(values),
            prompts=prompts,
            related=_same_recordings(values),
            seed=seed,
            test=TESTS[0].id,
            detail={
                "texts": len(items),
                "left_out": sorted(name_key(each.observation.exhibit) for each in _missing(controls, subjects)),
                "effect": _resampled(values, items, seed),
            },
        ),
    )


def _same_recordings(values: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Controls that say what an exhibit says to the last digit: one recording under two names."""
    controls = range(2, len(values))
    return [(exhibit, at) for exhibit in (0, 1) for at in controls if np.array_equal(values[at], values[exhibit])]


def _missing(controls: Sequence[Subject], present: Sequence[Subject]) -> list[Subject]:
    return [control for control in controls if all(control is not each for each in present)]


def matrix_of(said: Sequence[Mapping[tuple[str, int], float]], items: Sequence[tuple[str, int]]) -> NDArray[np.float64]:
    """Models x items; a text that a model was not asked about stands at everybody's mean."""
    values = np.array([[scores.get(item, np.nan) for item in items] for scores in said], dtype=np.float64)
    filled: NDArray[np.float64] = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    return filled


def _resampled(values: NDArray[np.float64], items: Sequence[tuple[str, int]], seed: int) -> list[int]:
    """The pair's correlation and its 95 % interval over prompts, in 1/SCALE: a description, prompts are not the unit of inference."""
    rng = np.random.default_rng(seed)
    prompts = np.unique([prompt for prompt, _ in items], return_inverse=True)[1]
    places = [np.flatnonzero(prompts == number) for number in range(int(prompts.max()) + 1)]
    drawn = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([places[at] for at in rng.integers(len(places), size=len(places))])
        drawn.append(float(kinship(values[:, chosen])[0, 1]))
    score = float(kinship(values)[0, 1])
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return [round(figure * SCALE) for figure in (score, min(low, score), max(high, score))]


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """Rank the suspect among the control lineages."""
    value, low, high = (figure / SCALE for figure in relations.pair.content["detail"]["effect"])
    return (
        judge_line_up(
            TESTS[0],
            relations,
            calibration,
            examiner_version=VERSION,
            demands=DEMANDS,
            effect=Effect(
                name="correlation of log-likelihoods, what is common to all taken away; interval over prompts, a description only",
                value=value,
                low=low,
                high=high,
            ),
            assumptions=ASSUMPTIONS,
            limitations=LIMITATIONS,
        ),
    )
