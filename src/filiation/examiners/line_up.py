"""What the examiners of recorded answers have in common: a line-up of models, and its judgement by rank.

An examiner measures one number for every ordered pair of the models present: how much the second, as candidate, agrees with
the first, as reference. `line_up_content` records those numbers as integers, together with who is related to whom;
`judge_line_up` ranks the suspect among the control lineages from that record alone:

    1. Decline where the examiner could not measure, or its register has no entry.
    2. Leave out controls that are related to the reference or the suspect, by declaration, and copies of either.
    3. Decline where fewer control lineages or labs are left than the examiner needs.
    4. Decline where held-out labs show that ranks of this population do not keep their promise.
    5. Rank among the declared lineages; a control of undeclared lineage can only speak for the accused.
    6. Print no p below the smallest level that the held-out labs confirmed, nor below the share of unrelated pairs of
       controls that stood as high.
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
    Companion,
    Component,
    Effect,
    Finding,
    Inconclusive,
    Lineages,
    Multiplicity,
    Null,
    Observation,
    Outcome,
    Power,
    Record,
    Relations,
    Test,
    digest,
    round_against_accuser,
)
from filiation.examiners.examiner import Subject
from filiation.examiners.outcomes import common_fields
from filiation.sources.packs import PackSource
from filiation.sources.source import Source
from filiation.statistics import line_up as statistics
from filiation.statistics.e_values import log10_e_value_of_p
from filiation.statistics.likelihood import upper_limit
from filiation.statistics.line_up import (
    HELD_OUT,
    HeldOutLevel,
    Population,
    held_out_calibration,
    held_out_share,
    name_key,
    rank_among_lineages,
    smallest_level_that_holds,
)
from filiation.statistics.register import Calibration, RegisterEntry

SCALE = statistics.SCALE
"""Scores are recorded as integers, in ten-thousandths."""

UNDECLARED = "(lineage not declared)"
"""Controls of unknown lineage stand apart: they can stand above the suspect, and never add to the number of lineages."""

LARGEST_SCORE = 2**53 / SCALE
"""Larger scores would not be whole numbers any more."""


class Entrant(Record, frozen=True, kw_only=True):
    """One model of a line-up. `origin`: 'reference', 'suspect', 'control' (given by the user) or 'pack'."""

    name: str
    lineage: str
    lab: str
    origin: str


class Demands(Record, frozen=True, kw_only=True):
    """What an examiner needs before it ranks."""

    prompts: int
    lineages: int
    labs: int
    controls: int


def observe_transcript(examiner: str, version: str, source: Source) -> Observation | Absent:
    """What every examiner of recorded answers records of one model: who says it is whom, and what was answered."""
    transcript = source.transcript()
    if isinstance(transcript, Absent):
        return transcript
    return Observation(
        examiner=examiner,
        examiner_version=version,
        exhibit=source.name,
        content={
            "lineage": source.lineage_id,
            "lab": transcript.lab,
            "prompts": len(transcript.prompts),
            "answers": transcript.frame.height,
            "sha256": transcript.sha256,
        },
    )


def observe_answers(examiner: str, version: str, source: Source, kind: str) -> Observation | Absent:
    """As `observe_transcript`, and of a model of a control pack of this kind too, for examiners that need figures only."""
    if not isinstance(source, PackSource):
        return observe_transcript(examiner, version, source)
    if source.pack.card.kind != kind:
        return Absent(reason=f"the control pack {source.pack.title} holds other figures than this examiner reads")
    return Observation(
        examiner=examiner,
        examiner_version=version,
        exhibit=source.name,
        content={"lineage": source.lineage_id, "lab": source.lab, "pack": source.pack.title, "sha256": source.sha256},
    )


def entrant_of(subject: Subject, origin: str) -> Entrant:
    content = subject.observation.content
    return Entrant(name=subject.observation.exhibit, lineage=content["lineage"], lab=content["lab"], origin=origin)


def line_up_content(
    entrants: Sequence[Entrant],
    scores: NDArray[np.float64],
    *,
    prompts: int,
    related: Sequence[tuple[int, int]] = (),
    packs: Sequence[str] = (),
    seed: int,
    test: str,
    detail: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The record of one line-up. `entrants[0]` is the reference, `entrants[1]` the suspect.

    `scores[i, j]`: entrant j as candidate for entrant i as reference, n x n, larger is closer; the diagonal is not read.
    `related`: pairs known to be related, or not known not to be (same lineage or same lab need not be listed).
    Raises ValueError where a score is not finite.
    """
    size = len(entrants)
    values = np.array(scores, dtype=np.float64, copy=True)
    if values.shape != (size, size):
        raise ValueError(f"scores of shape {values.shape} for {size} entrants")
    np.fill_diagonal(values, 0.0)
    if not np.isfinite(values).all():
        raise ValueError("every score must be a finite number")
    if np.abs(values).max(initial=0.0) > LARGEST_SCORE:
        raise ValueError(f"a score lies beyond {LARGEST_SCORE:.3g}")
    content = {
        "entrants": [msgspec.to_builtins(entrant) for entrant in declared_by_packs(entrants)],
        "scores": np.rint(values * SCALE).astype(np.int64).tolist(),
        "related": sorted([min(pair), max(pair)] for pair in related),
        "prompts": prompts,
        "packs": list(packs),
        "detail": dict(detail or {}),
        "summary": {test: {"count": 0, "opportunities": prompts}},
    }
    held_out = held_out_calibration(population_of(content), np.random.default_rng(seed))
    return content | {"held_out": [msgspec.to_builtins(level) for level in held_out]}


def declared_by_packs(entrants: Sequence[Entrant]) -> list[Entrant]:
    """The entrants; one without a declared lineage that a pack knows by its name takes lineage and lab from there."""
    known: dict[str, Entrant] = {}
    for entrant in entrants:
        if entrant.origin == "pack" and entrant.lineage:
            known.setdefault(name_key(entrant.name), entrant)
    told = []
    for entrant in entrants:
        named = known.get(name_key(entrant.name))
        if named is not None and not entrant.lineage:
            entrant = msgspec.structs.replace(entrant, lineage=named.lineage, lab=entrant.lab or named.lab)
        told.append(entrant)
    return told


def population_of(content: Mapping[str, Any]) -> Population:
    """The controls of declared lineage as a population of strangers, to examine whether ranks keep their promise.

    The reference and the suspect are in dispute and stay out, and so does every pair of a relative of the one with a
    relative of the other: were the suspect taken from the reference, those would be related as well.
    """
    entrants = [msgspec.convert(entrant, Entrant) for entrant in content["entrants"]]
    matrix = related_matrix(entrants, [tuple(pair) for pair in content["related"]])
    disputed = np.outer(matrix[0], matrix[1])
    matrix |= disputed | disputed.T
    copies = _copies(entrants)
    at = [n for n in range(2, len(entrants)) if entrants[n].lineage and n not in copies]
    scores = np.asarray(content["scores"], dtype=np.float64).reshape(len(entrants), len(entrants))
    return Population(
        scores=scores[np.ix_(at, at)],
        lineages=[name_key(entrants[n].lineage) for n in at],
        labs=[name_key(lab_of(entrants[n])) for n in at],
        related=matrix[np.ix_(at, at)],
    )


def _copies(entrants: Sequence[Entrant]) -> frozenset[int]:
    """Models of packs that stand in the line-up already under the same name, given by the user or in an earlier pack."""
    present = {name_key(entrant.name) for entrant in entrants if entrant.origin != "pack"}
    found = set()
    for at, entrant in enumerate(entrants):
        if entrant.origin == "pack":
            if name_key(entrant.name) in present:
                found.add(at)
            present.add(name_key(entrant.name))
    return frozenset(found)


def lab_of(entrant: Entrant | Mapping[str, Any]) -> str:
    """The lab, or the lineage where no lab was declared."""
    given = entrant if isinstance(entrant, Mapping) else msgspec.to_builtins(entrant)
    return str(given["lab"] or given["lineage"] or UNDECLARED)


def related_matrix(entrants: Sequence[Entrant], related: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Symmetric n x n: listed pairs, and pairs of one declared lineage or one declared lab.

    A model that several packs hold under one name is one model: what any of them says of its relations holds for it in all.
    """
    size = len(entrants)
    matrix = np.zeros((size, size), dtype=np.bool_)
    for one, other in related:
        matrix[one, other] = matrix[other, one] = True
    for kind in ("lineage", "lab"):
        names = np.asarray([name_key(getattr(entrant, kind)) for entrant in entrants])
        matrix |= (names[:, None] == names[None, :]) & (names[:, None] != "")
    names = np.asarray([name_key(entrant.name) for entrant in entrants])
    packed = np.asarray([entrant.origin == "pack" for entrant in entrants], dtype=np.bool_)
    one_model = (names[:, None] == names[None, :]) & packed[:, None] & packed[None, :]
    if one_model.sum() > packed.sum():
        np.fill_diagonal(one_model, True)
        matrix = (one_model @ matrix @ one_model) | one_model
    np.fill_diagonal(matrix, False)
    return matrix


# --------------------------------------------------------------------------------------------------------------- judge


def judge_line_up(
    test: Test,
    relations: Relations,
    calibration: Calibration,
    *,
    examiner_version: str,
    demands: Demands,
    effect: Effect,
    assumptions: tuple[str, ...],
    limitations: tuple[str, ...],
    companions: tuple[Companion, ...] = (),
    components: tuple[Component, ...] = (),
    key: str = "",
    not_validated: str = "",
) -> Outcome:
    """The outcome of one test whose pair was recorded by `line_up_content`. `key`: the register's entry (default: the test).

    `not_validated`: a reason of the examiner's own to decline although the line-up is complete.
    """
    content = relations.pair.content
    common = common_fields(test, relations.pair, examiner_version)
    free = controls_left(content)
    shown = (*components, *control_components(content, free))

    def declined(reason: str) -> Inconclusive:
        return Inconclusive(
            **common,
            reason=reason,
            components=shown,
            companions=(*companions, *held_out_companions(content)),
            limitations=limitations,
            seed=relations.pair.seed,
            observations=(digest(relations.pair),),
        )

    entry = next((entry for entry in calibration.entries if entry.test == (key or test.id)), None)
    if entry is None:
        return declined(not_validated or f"not validated: the register of nulls has no entry for {key or test.id}")
    if not_validated:
        return declined(not_validated)
    lacking = lacks(content, free, demands)
    if lacking:
        return declined(lacking)
    held_out = tuple(msgspec.convert(level, HeldOutLevel) for level in content["held_out"])
    holds = smallest_level_that_holds(held_out)
    if holds is None:
        return declined(
            "not validated: with labs held out, unrelated controls reach p <= 0.05 more often than in 5 % of pairs"
            if held_out
            else "not validated: too few labs among the controls to examine whether ranks keep their promise"
        )
    scores, undeclared = _scores_by_lineage(content, free)
    ranked = rank_among_lineages(content["scores"][0][1], scores, undeclared)
    lineages = len(ranked.lineages)
    population, floor = population_of(content), _floor(held_out, holds)
    resolution = math.log10(max(1 / (lineages + 1), floor, held_out_share(population, 0, lineages)))
    shown_share = held_out_share(population, ranked.above, lineages)
    log10_p = min(0.0, max(ranked.log10_p, math.log10(max(shown_share, floor, 1 / (lineages + 1)))))
    strangers, exceeding = validated_by(entry, lineages, detected=log10_p <= entry.detection_log10_p)
    return Finding(
        **common,
        reason="examined; ranked among control lineages, whatever the number of prompts",
        count=ranked.above,
        opportunities=lineages,
        chance=min(ranked.above + 1, lineages) / (lineages + 1),
        log10_p=round_against_accuser(log10_p, accuses_when="small"),
        log10_e=round_against_accuser(log10_e_value_of_p(log10_p), accuses_when="large"),
        resolution_log10_p=round_against_accuser(resolution, accuses_when="small"),
        effect=effect,
        power=Power(
            threshold_log10_p=entry.detection_log10_p,
            detectable_share=lineages_to_pass(lineages, entry.detection_log10_p, resolution),
            relations=entry.relatives,
        ),
        lineages=Lineages(
            strangers=strangers,
            strangers_exceeding=exceeding,
            upper_limit=round(upper_limit(exceeding, strangers), 6),
            controls=tuple(ranked.lineages),
        ),
        multiplicity=Multiplicity(
            searched=1,
            rule="one rank; each control lineage stands in it with its highest score, which helps the accused",
        ),
        components=shown,
        companions=(*companions, *held_out_companions(content)),
        assumptions=assumptions,
        limitations=(*limitations, *limits_of(content, free)),
        seed=relations.pair.seed,
        parameters_digest=digest({"packs": content["packs"], "prompts": content["prompts"]}),
        calibration_digest=calibration.digest,
        observations=(digest(relations.pair),),
    )


def validated_by(entry: RegisterEntry, lineages: int, *, detected: bool) -> tuple[int, int]:
    """Stranger lineages behind a rank, and how many of them reach what counts as detected.

    The smaller of the register's strangers and this line-up's lineages caps the likelihood ratio: neither a large register
    nor a large line-up lends its weight to the other. The register's share is kept, rounded for the accused.
    """
    registered = sum(kind.lineages for kind in entry.strangers)
    if not registered:
        return lineages, 0
    strangers = min(lineages, registered)
    share = strangers * sum(kind.exceeding for kind in entry.strangers) / registered
    return strangers, min(strangers, math.ceil(share - 1e-9) if detected else math.floor(share + 1e-9))


def lineages_to_pass(lineages: int, threshold_log10_p: float, resolution_log10_p: float) -> float:
    """The share of control lineages a suspect has to stand above to be detected; 1.0 also where no place would do."""
    if resolution_log10_p > threshold_log10_p:
        return 1.0
    above = math.floor(math.pow(10.0, threshold_log10_p) * (lineages + 1) * (1 + 1e-9)) - 1
    return round(max(0, lineages - max(0, above)) / lineages, 6)


def limits_of(content: Mapping[str, Any], free: Sequence[int]) -> tuple[str, ...]:
    """What this very line-up cannot say, beside the limits of its examiner."""
    entrants = content["entrants"]
    limits = [
        f"the {role}'s lineage was not declared: controls of its own lineage, if there are any, stand in the line-up; one that "
        "scores as high as the suspect helps the accused, one that scores lower adds a lineage that the suspect stands above"
        for role, entrant in zip(("reference", "suspect"), entrants[:2], strict=True)
        if not entrant["lineage"]
    ]
    unknown = sum(not entrants[at]["lineage"] for at in free)
    if unknown:
        limits.append(
            f"{unknown} of the controls have no declared lineage: they can stand above the suspect, and add to no count"
        )
    if len(free) > unknown:
        limits.append(
            "controls that carry a declared lineage but are relatives of the reference that nobody declared are counted as "
            "unrelated: below the suspect, each such lineage makes p smaller than it should be"
        )
    return tuple(limits)


def controls_left(content: Mapping[str, Any]) -> list[int]:
    """Positions of the controls that are, by declaration, neither related to nor copies of the reference or the suspect."""
    entrants = [msgspec.convert(entrant, Entrant) for entrant in content["entrants"]]
    matrix = related_matrix(entrants, [tuple(pair) for pair in content["related"]])
    copies = _copies(entrants)
    return [at for at in range(2, len(entrants)) if not matrix[0, at] and not matrix[1, at] and at not in copies]


def lacks(content: Mapping[str, Any], free: Sequence[int], demands: Demands) -> str:
    """What a line-up lacks for a rank, in words; empty where nothing."""
    if content["prompts"] < demands.prompts:
        return f"only {content['prompts']} prompts were answered by both models; {demands.prompts} are needed"
    declared = [content["entrants"][at] for at in free if content["entrants"][at]["lineage"]]
    lineages = {name_key(entrant["lineage"]) for entrant in declared}
    labs = {name_key(lab_of(entrant)) for entrant in declared}
    present = {"controls": len(free), "lineages": len(lineages), "labs": len(labs)}
    short = [
        f"{present[kind]} {kind} of {getattr(demands, kind)}"
        for kind in present
        if present[kind] < getattr(demands, kind)
    ]
    if not declared:
        short.append("0 of at least 1 declared lineage")
    if short:
        return (
            f"not validated: the line-up has too few unrelated controls ({', '.join(short)} needed); add controls that "
            "answered the same prompts, with their lineages and labs, or a control pack"
        )
    return ""


def suffices(own: Sequence[Entrant], demands: Demands) -> bool:
    """Whether the user's own controls alone meet the demands, so that no pack has to join; names however they are spelt."""
    labs = {name_key(entrant.lab or entrant.lineage) for entrant in own} - {""}
    lineages = {name_key(entrant.lineage) for entrant in own} - {""}
    return len(own) >= demands.controls and len(labs) >= demands.labs and len(lineages) >= demands.lineages


def left_out_components(content: Mapping[str, Any], recording: str) -> tuple[Component, ...]:
    """Who stood outside the line-up, from `detail`, and why. `recording`: the note of a second recording of an exhibit, {}."""
    rows = [(name, reason) for name, reason in content["detail"]["left_out"]]
    rows += [
        (content["entrants"][copy]["name"], recording.format(content["entrants"][exhibit]["name"]))
        for exhibit, copy in content["detail"]["same_recording"]
    ]
    return tuple(Component(kind="left out", name=name, count=0, opportunities=0, note=why) for name, why in rows)


def control_components(content: Mapping[str, Any], free: Sequence[int]) -> tuple[Component, ...]:
    """The suspect and every control with its score: the line-up strip of the report. `count` is the score in 1/SCALE."""
    entrants, row, left = content["entrants"], content["scores"][0], set(free)
    copies = _copies([msgspec.convert(entrant, Entrant) for entrant in entrants])
    places = sorted(range(1, len(entrants)), key=lambda at: (-row[at], at))
    rows = []
    for at in places:
        entrant = entrants[at]
        note = f"score {row[at] / SCALE:.3f}; lineage {entrant['lineage'] or 'not declared'}; {entrant['origin']}"
        if at != 1 and at not in left:
            why = (
                "in the line-up already under this name" if at in copies else "related to one of the two by declaration"
            )
            note += f"; {why}: shown, not ranked"
        rows.append(
            Component(
                kind="suspect" if at == 1 else "control",
                name=entrant["name"],
                count=0,
                opportunities=0,
                note=note,
            )
        )
    return tuple(rows)


def held_out_companions(content: Mapping[str, Any]) -> tuple[Companion, ...]:
    """The calibration of this very population, level by level."""
    told = []
    for entry in content["held_out"]:
        level = msgspec.convert(entry, HeldOutLevel)
        what = f"above every lineage, promised {level.level:.4f}" if level.first_place else f"p <= {level.level:g}"
        told.append(
            Companion(
                null=Null.POPULATION,
                name=f"{HELD_OUT}, {what}",
                value=f"{level.share_ppm / 1e6:.4f} of {level.pairs} unrelated pairs of controls",
                note=f"95 % interval over labs {level.low_ppm / 1e6:.4f} to {level.high_ppm / 1e6:.4f}",
            )
        )
    return tuple(told)


def _scores_by_lineage(content: Mapping[str, Any], free: Sequence[int]) -> tuple[dict[str, list[float]], list[float]]:
    """Scores of the ranked controls by declared lineage, under the name it was first given; and those of undeclared ones."""
    names: dict[str, str] = {}
    scores: dict[str, list[float]] = {}
    undeclared: list[float] = []
    for at in free:
        lineage = content["entrants"][at]["lineage"]
        score = float(content["scores"][0][at])
        if lineage:
            scores.setdefault(names.setdefault(name_key(lineage), lineage), []).append(score)
        else:
            undeclared.append(score)
    return scores, undeclared


def _floor(levels: Sequence[HeldOutLevel], holds: float) -> float:
    """The smallest p that may be printed: none where all levels hold, else the smallest level that does."""
    return 0.0 if holds <= min(level.level for level in levels) else holds
