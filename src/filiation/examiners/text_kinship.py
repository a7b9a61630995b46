"""Do the suspect's answers agree with the reference's more than unrelated models' answers do?

Two models that were trained apart answer an open question in different words. A model that was made from another, or a
later version of it, falls into its phrases, openings and closings, prompt after prompt. How much any two models agree
without a common origin is not known from theory, so the null is by population: the reference is fixed, and the suspect is ranked
among control lineages that answered the same prompts. The unit is the pair of models; prompts only make its score less noisy,
and after 100 to 200 of them more controls help and more prompts do not.

Controls are the models that the user gives and, where those do not suffice, the models of a control pack, which holds figures
of recorded answers to a common set of prompts.

Missing answers: prompts are those that both reference and suspect answered; a control that answered fewer than two thirds of
them is left out; another one's scores are means over what it answered. Such a mean scatters more, which can only
raise a control lineage's highest score: it helps the accused.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from filiation.errors import MalformedSource
from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Companion,
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
    UNDECLARED,
    Demands,
    Entrant,
    controls_left,
    entrant_of,
    judge_line_up,
    left_out_components,
    line_up_content,
    observe_answers,
    suffices,
)
from filiation.measures import text_features
from filiation.measures.text_features import Features, features_of, joined, thinned
from filiation.measures.text_kinship import FEWEST_MODELS, Answers, Pairs, combined, kinship, pairs_of
from filiation.sources.packs import Pack, PackSource, opened, packs
from filiation.sources.source import Source
from filiation.sources.transcripts import Transcript
from filiation.statistics.line_up import name_key
from filiation.statistics.register import Calibration
from filiation.statistics.sequential import over_looks

if TYPE_CHECKING:
    import polars as pl

NAME = "text_kinship"
VERSION = "1"
QUESTION = "Do the suspect's answers agree with the reference's more than unrelated models' answers do?"
NEEDS = (Access.TRANSCRIPT,)
TESTS = (
    Test(
        id="text_kinship.rare-phrases",
        proposition=Proposition.OUTPUTS,
        alternative="trained without the reference, its outputs, or an ancestor of it",
        relation_class="one model, or a fine-tune or another version of it (the relations whose power is known; no students)",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.POPULATION,
        symmetric=False,
        formula="(k + 1) / (N + 1), rank among control lineages by rarity-weighted shared phrases, model effects removed",
    ),
)
CLAIMS = ("same model", "fine-tune", "version")
ASSUMPTIONS = (
    "Without a common origin, the suspect is exchangeable with a model of each control lineage.",
    "Controls answered the same prompts, under comparable instructions and length limits.",
    "Declared lineages and listed relations of the controls are right. A relative of the reference that stands among them unknown "
    "helps the accused where it scores as high as the suspect; where it scores lower, it makes p smaller than it should be.",
)
LIMITATIONS = (
    "Texts show a common origin of answers, not how it came about: shared public training data and a shared teacher do the same.",
    "'Distilled from' is not among the relations this test undertakes to find.",
    "Direction is not told. Answers that were passed on or rewritten by another model carry that model's phrases.",
    "Calibrated on English answers to open instructions.",
)
REFERENCES = (
    "Spärck Jones 1972, A statistical interpretation of term specificity (rarity weights)",
    "Broder 1997, On the resemblance and containment of documents (consistent sub-sampling of hashes)",
    "Besag and Clifford 1989, Generalized Monte Carlo significance tests (rank p-values)",
    "Owen 2007, The pigeonhole bootstrap (intervals over labs)",
)
PARAMETERS: dict[str, bool | int | float | str] = {"packs": "auto", "looks": "", "most_prompts": 500}
"""`packs`: 'auto', 'none', or names and folders. `looks`: numbers of prompts at which the scores were looked at, as
'25,50,100'; the score is then the maximum of the path, for every pair. `most_prompts`: of more, the smallest ids are taken."""

DEMANDS = Demands(prompts=30, lineages=19, labs=10, controls=30)
"""30 controls of 10 labs (docs/decisions/0010-line-ups.md); with fewer than 19 lineages no rank could reach 0.05."""

ANSWERED = 2 / 3
"""Share of the prompts that a control must have answered."""

SAME_RECORDING = 0.5
"""Share of an exhibit's long answers that a recording of it under another name has word for word."""

LONG = 20
"""Words of a long answer: shorter ones are identical by chance."""

RESAMPLES = 200
BLOCK = 64
"""Prompts whose answers are hashed and compared at once."""


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Who the model is said to be, and a digest of what it answered, or of the pack that holds figures of it."""
    return observe_answers(NAME, VERSION, source, "text")


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """The line-up that consists of the two models and the control packs."""
    return line_up(first, second, (), seed, progress)


def line_up(
    reference: Subject, suspect: Subject, controls: Sequence[Subject], seed: int, progress: Progress = silent
) -> Relation | Absent:
    """Record the scores of all pairs of models.

    1. Gather the models and the prompts.
    2. Score every pair, at every look.
    3. Find recordings of the reference or the suspect under another name: those and their relatives are no controls.
    4. Describe the size of the pair's own score by resampling prompts.
    """
    settings = {**PARAMETERS, **reference.parameters}
    gathered = gather(reference, suspect, controls, str(settings["packs"]), int(settings["most_prompts"]))
    if isinstance(gathered, Absent):
        return gathered
    size = len(gathered.entrants)
    values, same = measure(gathered, progress)
    place = {prompt: at for at, prompt in enumerate(gathered.prompts)}
    looks = str(settings["looks"])
    scores = over_looks(
        gathered.prompts, looks, seed, lambda prompts: kinship(values[[place[prompt] for prompt in prompts]], size)
    )
    copies = same_recordings(same)
    related = related_with_copies(gathered, copies)
    effect = _resampled(values, size, seed)
    progress("scored", 1.0)
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=reference.observation.exhibit,
        second=suspect.observation.exhibit,
        seed=seed,
        content=line_up_content(
            gathered.entrants,
            scores,
            prompts=len(gathered.prompts),
            related=related,
            packs=[pack.title for pack in gathered.packs],
            seed=seed,
            test=TESTS[0].id,
            detail={
                "features": text_features.VERSION,
                "thinned": bool(gathered.packs),
                "looks": looks,
                "effect": effect,
                "left_out": [list(entry) for entry in gathered.left_out],
                "same_recording": [list(pair) for pair in copies],
            },
        ),
    )


@dataclass(frozen=True)
class Gathered:
    """The models of a line-up and the prompts they are compared on (ids, in order).

    `texts[i]`: answers of entrant i by prompt; empty for models of packs. `packed[i]`: (pack, model's position) of those.
    """

    entrants: tuple[Entrant, ...]
    prompts: tuple[str, ...]
    texts: tuple[Mapping[str, str], ...]
    packed: Mapping[int, tuple[int, int]]
    packs: tuple[Pack, ...]
    related: tuple[tuple[int, int], ...]
    left_out: tuple[tuple[str, str], ...] = ()
    data: tuple[text_features.Packed, ...] = field(default=(), repr=False)


def gather(
    reference: Subject, suspect: Subject, controls: Sequence[Subject], asked: str, most_prompts: int
) -> Gathered | Absent:
    """Who takes part, over which prompts: decided by who answered what, never by what was answered.

    'auto' lets packs join where the user's own controls are fewer than DEMANDS; a pack joins where it shares DEMANDS.prompts.
    The pack of an exhibit that is itself a model of a pack joins in any case: its figures compare with no others.
    A pack that was asked for by name and cannot join is among those left out, with the reason.
    """
    answered = [_answered(subject) for subject in (reference, suspect, *controls)]
    common = sorted(answered[0] & answered[1])
    if not common:
        return Absent(reason="the two models answered no prompt in common")
    own = [entrant_of(control, "control") for control in controls]
    entrants = [entrant_of(reference, "reference"), entrant_of(suspect, "suspect")]
    able = [
        entrant
        for entrant, given in zip(own, answered[2:], strict=True)
        if len(given.intersection(common)) >= ANSWERED * len(common) and not _akin(entrant, entrants)
    ]
    candidates = () if asked == "none" or (asked == "auto" and suffices(able, DEMANDS)) else asked_for(asked)
    hindered = {pack.digest: _hindered(pack, common) for pack in candidates}
    joining = tuple(pack for pack in candidates if not hindered[pack.digest])
    sources = [subject.source for subject in (reference, suspect, *controls) if isinstance(subject.source, PackSource)]
    joining = tuple({pack.digest: pack for pack in (*(source.pack for source in sources), *joining)}.values())
    if joining:
        widest = max(joining, key=lambda pack: len(set(common) & set(pack.card.prompts)))
        common = sorted(set(common) & set(widest.card.prompts))
    common = common[:most_prompts]
    present = [reference, suspect]
    taking_part = {pack.digest for pack in joining}
    left_out = [
        (pack.title, hindered[pack.digest]) for pack in candidates if asked != "auto" and pack.digest not in taking_part
    ]
    for entrant, control, given in zip(own, controls, answered[2:], strict=True):
        count = len(given.intersection(common))
        if count < ANSWERED * len(common):
            left_out.append((entrant.name, f"answered {count} of {len(common)} prompts"))
            continue
        entrants.append(entrant)
        present.append(control)
    texts = [{} if isinstance(each.source, PackSource) else first_answers(each, common) for each in present]
    number = {pack.digest: at for at, pack in enumerate(joining)}
    packed = {
        at: (number[each.source.pack.digest], each.source.position)
        for at, each in enumerate(present)
        if isinstance(each.source, PackSource)
    }
    standing = {place: at for at, place in packed.items()}
    related: list[tuple[int, int]] = []
    for at, pack in enumerate(joining):
        if len(set(common) & set(pack.card.prompts)) < ANSWERED * len(common):
            left_out.append((pack.title, "covers too few of the prompts"))
            continue
        for model, known in enumerate(pack.card.models):
            if (at, model) in standing:
                continue
            standing[at, model] = len(entrants)
            packed[len(entrants)] = (at, model)
            entrants.append(Entrant(name=known.name, lineage=known.lineage, lab=known.lab, origin="pack"))
            texts.append({})
        # Of a suspect that is a model of the pack, as of one that was recorded there too: see `related_with_copies`.
        related += [
            (standing[at, one], standing[at, other])
            for one, other, kind in pack.card.related
            if kind != "unknown" or 1 not in (standing[at, one], standing[at, other])
        ]
    return Gathered(
        entrants=tuple(entrants),
        prompts=tuple(common),
        texts=tuple(texts),
        packed=packed,
        packs=joining,
        related=tuple(related),
        left_out=tuple(left_out),
        data=tuple(map(_read, joining)),
    )


def asked_for(asked: str) -> tuple[Pack, ...]:
    """The packs of texts that ship where `asked` is 'auto', else those named, of whatever kind, each once."""
    if asked == "auto":
        return packs("text", asked)
    named = (opened(part.strip()) for part in asked.split(","))
    return tuple({pack.digest: pack for pack in named}.values())


def _hindered(pack: Pack, common: Sequence[str]) -> str:
    """Why a pack cannot take part over these prompts, or nothing."""
    if pack.card.kind != "text":
        return "a control pack of another kind: this examiner reads figures of texts"
    if pack.card.feature_version != text_features.VERSION:
        return "a control pack made with another version of the features"
    shared = len(set(common) & set(pack.card.prompts))
    if shared < DEMANDS.prompts:
        return f"a control pack with {shared} of the prompts that both models answered; {DEMANDS.prompts} are needed"
    return ""


@lru_cache(maxsize=4)
def _read(pack: Pack) -> text_features.Packed:
    """The data of a pack. Raises MalformedSource where it does not fit its card."""
    try:
        packed = text_features.unpack(pack.data.read_bytes())
        for rows, known in ((packed.model, pack.card.models), (packed.prompt, pack.card.prompts)):
            if len(rows) != len(packed.features) or rows.max(initial=-1) >= len(known):
                raise ValueError("its rows speak of models or prompts that are not on its card")
    except ValueError as error:
        raise MalformedSource(
            f"the data of this control pack cannot be used: {error}",
            exhibit=str(pack.folder),
            advice="make it again, or leave it out with the parameter 'packs'",
        ) from error
    return packed


def _answered(subject: Subject) -> set[str]:
    """The prompts to which an exhibit's answers, or the pack's figures of them, are there."""
    source = subject.source
    if isinstance(source, PackSource):
        data = _read(source.pack)
        return {source.pack.card.prompts[at] for at in np.unique(data.prompt[data.model == source.position])}
    return set(_first_answers(subject)["prompt_id"])


def first_answers(subject: Subject, prompts: Sequence[str] | None = None) -> dict[str, str]:
    """Prompt id to the first sample's text, where it has a word: more samples would give more phrases to share.

    `prompts`: only these; None for all.
    """
    return dict(_first_answers(subject, prompts).iter_rows())


def _first_answers(subject: Subject, prompts: Sequence[str] | None = None) -> pl.DataFrame:
    """Columns prompt_id and text."""
    import polars as pl

    transcript = subject.source.transcript()
    assert isinstance(transcript, Transcript)
    frame = transcript.frame.select("prompt_id", "text")
    if prompts is not None:
        frame = frame.filter(pl.col("prompt_id").is_in(prompts))
    first = frame.unique("prompt_id", keep="first", maintain_order=True)
    return first.filter(pl.col("text").fill_null("").str.contains(r"\S"))


def _akin(entrant: Entrant, exhibits: Sequence[Entrant]) -> bool:
    """Of one declared lineage or lab with an exhibit."""
    return any(_alike(entrant, exhibit) for exhibit in exhibits)


def _alike(one: Entrant, other: Entrant) -> bool:
    """Of one declared lineage or one declared lab, however they are spelt."""
    return any(
        name_key(mine) == name_key(its) != "" for mine, its in ((one.lineage, other.lineage), (one.lab, other.lab))
    )


def measure(gathered: Gathered, progress: Progress = silent) -> tuple[Pairs, NDArray[np.float64]]:
    """The values of every pair, prompts x pairs, and which share of long answers are identical to an exhibit's, 2 x models.

    Prompts are taken in blocks, so that memory does not grow with their number.
    """
    size = len(gathered.entrants)
    values = np.full((len(gathered.prompts), len(pairs_of(size)[0])), np.nan, dtype=np.float32)
    equal, long = np.zeros((2, size)), np.zeros((2, 1))
    for start in range(0, len(gathered.prompts), BLOCK):
        block = gathered.prompts[start : start + BLOCK]
        answers = answers_of(gathered, block)
        values[start : start + len(block)] = combined(answers, size, len(block))
        whole = np.zeros((size, len(block)), dtype=np.uint32)
        whole[answers.model, answers.prompt] = np.where(answers.features.words >= LONG, answers.features.whole, 0)
        for exhibit in (0, 1):
            equal[exhibit] += ((whole == whole[exhibit]) & (whole[exhibit] != 0)).sum(axis=1)
            long[exhibit] += (whole[exhibit] != 0).sum()
        progress("comparing answers", min(1.0, (start + len(block)) / len(gathered.prompts)))
    return values, equal / np.maximum(long, 10)


def answers_of(gathered: Gathered, block: Sequence[str]) -> Answers:
    """Features of all answers to some prompts; where a pack takes part, everybody's are thinned as the pack's are."""
    place = {prompt: at for at, prompt in enumerate(block)}
    texts, model, prompt = [], [], []
    for at, answered in enumerate(gathered.texts):
        for name in block:
            if name in answered:
                texts.append(answered[name])
                model.append(at)
                prompt.append(place[name])
    own = features_of(texts, [block[at] for at in prompt])
    parts: list[Features] = [thinned(own) if gathered.packs else own]
    models, prompts = [np.array(model, dtype=np.intp)], [np.array(prompt, dtype=np.intp)]
    for number, (pack, data) in enumerate(zip(gathered.packs, gathered.data, strict=True)):
        position = np.full(len(pack.card.models), -1, dtype=np.intp)
        for at, (which, member) in gathered.packed.items():
            if which == number:
                position[member] = at
        target = np.array([place.get(name, -1) for name in pack.card.prompts], dtype=np.intp)
        rows = np.flatnonzero((target[data.prompt] >= 0) & (position[data.model] >= 0))
        parts.append(data.features.take(rows))
        models.append(position[data.model[rows]])
        prompts.append(target[data.prompt[rows]])
    return Answers(joined(parts), np.concatenate(models), np.concatenate(prompts))


def same_recordings(same: NDArray[np.float64]) -> tuple[tuple[int, int], ...]:
    """Pairs (exhibit, control) of which at least half the exhibit's long answers are identical: one recording, two names."""
    rows, columns = np.nonzero(same >= SAME_RECORDING)
    return tuple((int(i), int(j)) for i, j in zip(rows, columns, strict=True) if j >= 2)


def inherited(gathered: Gathered, copies: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Where a control is a recording of an exhibit, the control's relatives are the exhibit's."""
    relatives: dict[int, set[int]] = {}
    for one, other in gathered.related:
        relatives.setdefault(one, set()).add(other)
        relatives.setdefault(other, set()).add(one)
    found = set()
    for exhibit, copy in copies:
        known = gathered.entrants[copy]
        for at, entrant in enumerate(gathered.entrants):
            if at >= 2 and (_alike(entrant, known) or at in relatives.get(copy, ())):
                found.add((exhibit, at))
    return found


def related_with_copies(gathered: Gathered, copies: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Listed relations; an exhibit that a pack recorded, too, has its relatives.

    Of the suspect, 'unknown' relations are not taken over: what it comes from is in dispute, and a control that is related
    to the suspect after all speaks for it where it scores as high, and adds a lineage to the rank where it scores lower.
    """
    listed = set(gathered.related)
    for number, pack in enumerate(gathered.packs):
        at = {member: entrant for entrant, (which, member) in gathered.packed.items() if which == number}
        listed -= {(at[i], at[j]) for i, j, kind in pack.card.related if kind == "unknown" and i in at and j in at}
    known = dataclasses.replace(gathered, related=tuple(sorted(listed)))
    of_reference = inherited(gathered, [pair for pair in copies if pair[0] == 0])
    of_suspect = inherited(known, [pair for pair in copies if pair[0] == 1])
    return tuple(sorted({*gathered.related, *copies, *of_reference, *of_suspect}))


def _resampled(values: Pairs, size: int, seed: int) -> list[int]:
    """The pair's score and its 95 % interval over prompts, in 1/SCALE. A description: prompts are not the unit of inference."""
    score = float(kinship(values, size)[0, 1])
    low, high = score, score
    if size >= FEWEST_MODELS:
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=RESAMPLES)
        resampled = [kinship(values, size, count)[0, 1] for count in counts]
        low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
    return [round(figure * SCALE) for figure in (score, min(low, score), max(high, score))]


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """Rank the suspect among the control lineages."""
    content = relations.pair.content
    detail = content["detail"]
    value, low, high = (figure / SCALE for figure in detail["effect"])
    return (
        judge_line_up(
            TESTS[0],
            relations,
            calibration,
            examiner_version=VERSION,
            demands=DEMANDS,
            effect=Effect(
                name="score of the pair, in spreads of pairs of models; interval over prompts, a description only",
                value=value,
                low=low,
                high=high,
            ),
            assumptions=ASSUMPTIONS,
            limitations=LIMITATIONS,
            companions=(*_gaussian(content), *_looks(detail)),
            components=left_out_components(
                content,
                "half or more of its long answers are those of {}, word for word: taken for a recording of it; it and its listed "
                "relatives are shown, not ranked",
            ),
            not_validated=""
            if detail["features"] == text_features.VERSION
            else "not validated: the record was made with another version of the features",
        ),
    )


def _gaussian(content: Mapping[str, Any]) -> tuple[Companion, ...]:
    """How many standard deviations the suspect lies above the control lineages' highest scores: a score, no chance."""
    highest: dict[str, int] = {}
    for at in controls_left(content):
        lineage = name_key(content["entrants"][at]["lineage"] or UNDECLARED)
        highest[lineage] = max(highest.get(lineage, content["scores"][0][at]), content["scores"][0][at])
    if len(highest) < 3:
        return ()
    values = [score / SCALE for score in highest.values()]
    mean = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    if spread <= 0:
        return ()
    return (
        Companion(
            null=Null.POPULATION,
            name="distance from the control lineages",
            value=f"{(content['scores'][0][1] / SCALE - mean) / spread:.2f} standard deviations above their mean",
            note="a score, not a chance: what a tail would say of it rests on a shape that a line-up of this size cannot check",
        ),
    )


def _looks(detail: Mapping[str, Any]) -> tuple[Companion, ...]:
    if not detail["looks"]:
        return ()
    return (
        Companion(
            null=Null.POPULATION,
            name="looks",
            value=f"after {detail['looks']} prompts",
            note="every pair, controls included, stands with the highest score of its whole path",
        ),
    )
