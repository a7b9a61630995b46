"""Which of several candidate teachers does the suspect lean to, if to any?

A student that was trained on a teacher's answers begins its own as the teacher does. Two tests:

    teacher.openings  the reference itself: does the suspect share its rare openings more than unrelated models do?
    teacher.vendor    the reference's vendor, by contrast to the other candidate vendors: is the suspect closer to it than to
                      any of them, and by more than unrelated models are? Which of a vendor's models taught cannot be told.

Both are ranks among control lineages (null by population). The candidates are the vendors of a fixed list (parameter
`candidates`) that have recorded models among the user's controls or in control packs, and the reference's own lab.
The reference was named before, so its rank pays for no search. The question 'which of them' is a search over all candidates: it
is answered 'none of these' unless the first one's p, times the number of candidates, reaches the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Companion,
    Component,
    Effect,
    Identity,
    NotExamined,
    Null,
    Observation,
    Outcome,
    Proposition,
    Relation,
    Relations,
    Test,
    digest,
    round_against_accuser,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.line_up import (
    Demands,
    Entrant,
    controls_left,
    declared_by_packs,
    judge_line_up,
    line_up_content,
    observe_answers,
    related_matrix,
)
from filiation.examiners.text_kinship import (
    BLOCK,
    LONG,
    Gathered,
    answers_of,
    gather,
    related_with_copies,
    same_recordings,
)
from filiation.measures import habits, text_features
from filiation.measures.habits import FEWEST_MODELS, closeness, contrasts, shared_openings
from filiation.measures.text_kinship import pairs_of
from filiation.sources.source import Source
from filiation.statistics.line_up import SCALE, rank_among_lineages
from filiation.statistics.register import Calibration

NAME = "teacher"
VERSION = "1"
QUESTION = "Which of several candidate teachers does the suspect lean to, if to any?"
NEEDS = (Access.TRANSCRIPT,)
TESTS = (
    Test(
        id="teacher.openings",
        proposition=Proposition.OUTPUTS,
        alternative="trained without the reference's answers, or answers from a source in common with it",
        relation_class="learned from the reference's answers, or from a source in common, or derived from the model",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.POPULATION,
        symmetric=False,
        formula="(k + 1) / (N + 1), rank among control lineages by rarity-weighted shared openings, model effects removed",
    ),
    Test(
        id="teacher.vendor",
        proposition=Proposition.OUTPUTS,
        alternative="leans to the reference's vendor no more than to another candidate vendor",
        relation_class="derived from a model of the reference's vendor (students alone are hardly ever found)",
        characteristic=Characteristic.CLASS,
        null=Null.POPULATION,
        symmetric=False,
        formula="(k + 1) / (N + 1), rank among control lineages by closeness to the vendor less the mean of the others, 0 unless first",
    ),
)
CLAIMS: tuple[str, ...] = ()
ASSUMPTIONS = (
    "Without the reference's answers, or a source in common, the suspect is exchangeable with a model of each control lineage.",
    "Controls answered the same prompts, under comparable instructions and length limits.",
    "Declared lineages, labs and listed relations of the controls are right.",
)
LIMITATIONS = (
    "Students of common GPT data cannot be told from OpenAI's own neighbourhood: other vendors' models begin their answers that "
    "way too, and the contrast to them hides the teacher (`studies.teacher` prints how often).",
    "A vendor is told, not which of its models; a fine-tune of a vendor's model leans to that vendor as a student does, and the "
    "power stated for 'teacher.vendor' is that of such derivatives.",
    "A teacher who is not among the candidates is not found: the suspect then leans to the candidate most like it, or to none.",
    "Direction is not told.",
    "The power was measured on students of three teachers only; openings were chosen as the feature knowing those.",
)
REFERENCES = (
    "Spärck Jones 1972, A statistical interpretation of term specificity (rarity weights)",
    "Besag and Clifford 1989, Generalized Monte Carlo significance tests (rank p-values)",
)
PARAMETERS: dict[str, bool | int | float | str] = {
    "packs": "auto",
    "most_prompts": 1000,
    "candidates": "openai,anthropic,google,meta,mistral,alibaba,cohere,01ai,deepseek,xai",
}
"""`packs`: 'auto', 'none', or names and folders. `candidates`: labs that may have taught; those without recorded models are
left out, the reference's lab is always one. The fewer are named, the less the question 'which of them' has to pay."""

DEMANDS = Demands(prompts=50, lineages=19, labs=10, controls=30)
NONE_OF_THESE = "none of these"
RESAMPLES = 100


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Who the model is said to be, and a digest of what it answered."""
    return observe_answers(NAME, VERSION, source, "text")


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """The line-up that consists of the two models and the control packs."""
    return line_up(first, second, (), seed, progress)


def line_up(
    reference: Subject, suspect: Subject, controls: Sequence[Subject], seed: int, progress: Progress = silent
) -> Relation | Absent:
    """Record how close every two models are, and every model's contrast between vendors."""
    settings = {**PARAMETERS, **reference.parameters}
    gathered = gather(reference, suspect, controls, str(settings["packs"]), int(settings["most_prompts"]))
    if isinstance(gathered, Absent):
        return gathered
    values, same = measured(gathered, progress)
    copies = same_recordings(same)
    related = related_with_copies(gathered, copies)
    content = content_of(
        gathered.entrants,
        values,
        asked=str(settings["candidates"]),
        prompts=len(gathered.prompts),
        related=related,
        packs=[pack.title for pack in gathered.packs],
        seed=seed,
    )
    progress("compared", 1.0)
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=reference.observation.exhibit,
        second=suspect.observation.exhibit,
        seed=seed,
        content=content,
    )


def measured(gathered: Gathered, progress: Progress = silent) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Shared openings, prompts x pairs; and which share of an exhibit's long answers each model gives, 2 x models."""
    size = len(gathered.entrants)
    values = np.full((len(gathered.prompts), len(pairs_of(size)[0])), np.nan, dtype=np.float32)
    equal, long = np.zeros((2, size)), np.zeros((2, 1))
    for start in range(0, len(gathered.prompts), BLOCK):
        block = gathered.prompts[start : start + BLOCK]
        answers = answers_of(gathered, block)
        values[start : start + len(block)] = shared_openings(answers, size, len(block))
        whole = np.zeros((size, len(block)), dtype=np.uint32)
        whole[answers.model, answers.prompt] = np.where(answers.features.words >= LONG, answers.features.whole, 0)
        for exhibit in (0, 1):
            equal[exhibit] += ((whole == whole[exhibit]) & (whole[exhibit] != 0)).sum(axis=1)
            long[exhibit] += (whole[exhibit] != 0).sum()
        progress("comparing openings", min(1.0, (start + len(block)) / len(gathered.prompts)))
    return values, equal / np.maximum(long, 10)


def content_of(
    entrants: Sequence[Entrant],
    values: NDArray[np.float32],
    *,
    asked: str,
    prompts: int,
    related: Sequence[tuple[int, int]],
    packs: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """The record of both tests. `values`: prompts x pairs, as `shared_openings` gives them."""
    size = len(entrants)
    labs = [entrant.lab for entrant in declared_by_packs(entrants)]
    candidates = candidates_of(labs, asked)
    close = closeness(values, size)
    contrast = contrasts(close, labs, candidates)
    common: dict[str, Any] = {"prompts": prompts, "related": list(related), "packs": list(packs), "seed": seed}
    openings = line_up_content(entrants, close, **common, test=TESTS[0].id)
    vendor = line_up_content(entrants, contrast, **common, test=TESTS[1].id)
    low, high = _resampled(values, size, labs, candidates, seed)
    return {
        "openings": openings,
        "vendor": vendor,
        "summary": {**openings["summary"], **vendor["summary"]},
        "candidates": list(candidates),
        "effects": [
            [round(figure * SCALE) for figure in (float(close[0, 1]), low[0], high[0])],
            [round(figure * SCALE) for figure in (float(contrast[0, 1]), low[1], high[1])],
        ],
        "features": text_features.VERSION,
        "measure": habits.VERSION,
    }


def candidates_of(labs: Sequence[str], asked: str) -> tuple[str, ...]:
    """The candidate vendors with recorded models, the reference's lab among them; `labs[0]` is the reference's."""
    named = {part.strip() for part in asked.split(",") if part.strip()}
    return tuple(sorted((named & set(labs)) | ({labs[0]} - {""})))


def _resampled(
    values: NDArray[np.float32], size: int, labs: Sequence[str], candidates: Sequence[str], seed: int
) -> tuple[list[float], list[float]]:
    """95 % intervals over prompts of the pair's closeness and contrast: a description, prompts are not the unit."""
    if size < FEWEST_MODELS:
        return [0.0, 0.0], [0.0, 0.0]
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=RESAMPLES)
    found = []
    for count in counts:
        close = closeness(values, size, count)
        found.append((close[0, 1], contrasts(close, labs, candidates, (1,))[0, 1]))
    return np.quantile(found, 0.025, axis=0).tolist(), np.quantile(found, 0.975, axis=0).tolist()


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """Rank the suspect for the reference, then for its vendor; then say to which candidate it leans, if to any."""
    return (
        _judged(0, "openings", relations, calibration, (), ()),
        _judged(1, "vendor", relations, calibration, *_which(relations.pair.content, calibration)),
    )


def _judged(
    number: int,
    part: str,
    relations: Relations,
    calibration: Calibration,
    components: tuple[Component, ...],
    companions: tuple[Companion, ...],
) -> Outcome:
    content = relations.pair.content
    value, low, high = (figure / SCALE for figure in content["effects"][number])
    name = (
        "closeness of the pair, in spreads of pairs of models",
        "contrast to the other candidates, in spreads",
    )
    reason = ""
    if content["features"] != text_features.VERSION or content["measure"] != habits.VERSION:
        reason = "not validated: the record was made with another version of the features"
    elif number == 1 and not content["vendor"]["entrants"][0]["lab"]:
        reason = "the reference's lab was not declared, so that it has no vendor to contrast with others"
    elif number == 1 and len(content["candidates"]) < 2:
        reason = "no other candidate vendor has recorded models here: nothing to contrast with"
    outcome = judge_line_up(
        TESTS[number],
        Relations(pair=msgspec.structs.replace(relations.pair, content=content[part])),
        calibration,
        examiner_version=VERSION,
        demands=DEMANDS,
        effect=Effect(
            name=f"{name[number]}; interval over prompts, a description only",
            value=value,
            low=min(low, value),
            high=max(high, value),
        ),
        assumptions=ASSUMPTIONS,
        limitations=LIMITATIONS,
        companions=companions,
        components=components,
        not_validated=reason,
    )
    if isinstance(outcome, NotExamined):
        return outcome
    # The record that is cited is the one that was made, not the part of it that this test reads.
    return msgspec.structs.replace(outcome, observations=(digest(relations.pair),))


def _which(content: Mapping[str, Any], calibration: Calibration) -> tuple[tuple[Component, ...], tuple[Companion, ...]]:
    """Every candidate with its contrast and its rank, times the number of candidates; and the answer to 'which of them'."""
    ranked = ranked_candidates(content)
    entry = next((entry for entry in calibration.entries if entry.test == TESTS[1].id), None)
    threshold = entry.detection_log10_p if entry else math.log10(0.05)
    size = len(ranked)
    rows = tuple(
        Component(
            kind="candidate",
            name=name,
            count=closer,
            opportunities=lineages,
            log10_p=round_against_accuser(log10_p, accuses_when="small"),
            note=f"contrast {score:.2f}; {closer} of {lineages} control lineages as high; p times {size} candidates",
        )
        for name, score, closer, lineages, log10_p in ranked
    )
    first = ranked[0] if ranked else None
    told = first[0] if first and first[1] > 0 and first[4] <= threshold else NONE_OF_THESE
    note = "no candidate can be ranked"
    if first:
        least = min(0.0, math.log10(size / (first[3] + 1)))
        note = f"at least 10^{least:.2f} for p times {size} candidates, with {first[3]} lineages"
        if least > threshold:
            note += "; too few lineages for so many candidates: name fewer (parameter 'candidates') or add controls"
    return rows, (Companion(null=Null.POPULATION, name="which of the candidates", value=told, note=note),)


def ranked_candidates(content: Mapping[str, Any]) -> list[tuple[str, float, int, int, float]]:
    """Per candidate: (name, contrast, control lineages as high, control lineages, log10 of p times candidates), highest first.

    A control lineage that is related to a candidate, or to the suspect, does not stand in that candidate's rank.
    """
    part = content["vendor"]
    entrants = [msgspec.convert(entrant, Entrant) for entrant in part["entrants"]]
    matrix = related_matrix(entrants, [tuple(pair) for pair in part["related"]])
    left = set(controls_left(part))
    candidates = content["candidates"]
    found = []
    for lab in candidates:
        members = [at for at, entrant in enumerate(entrants) if entrant.lab == lab and at != 1]
        if not members or entrants[1].lab == lab:
            continue
        row = part["scores"][members[0]]
        free = [at for at in range(2, len(entrants)) if not matrix[1, at] and not matrix[members, at].any()]
        if lab == entrants[0].lab:
            free = [at for at in free if at in left]
        lineages: dict[str, list[float]] = {}
        for at in free:
            if entrants[at].lineage and at not in members:
                lineages.setdefault(entrants[at].lineage, []).append(row[at])
        if not lineages:
            continue
        ranked = rank_among_lineages(row[1], lineages)
        paid = min(0.0, ranked.log10_p + math.log10(len(candidates)))
        found.append((lab, row[1] / SCALE, len(ranked.closer), len(ranked.lineages), paid))
    return sorted(found, key=lambda entry: (-entry[1], entry[4], entry[0]))
