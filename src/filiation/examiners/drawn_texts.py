"""What the examiners of an owner's texts and an owner's lot have in common: an order of documents, or a choice between twins.

The reference's side is one opened lot, the suspect's what it says of the texts: how likely it finds them (`filiation score`), or how much
of them stands in its answers. Each gives one whole number per text that does not depend on the lot; what the lot says
of these numbers is for the examiner. Controls are measured as the suspect is:

* what the mean of their likelihoods explains of the suspect's is taken away, because texts differ more in difficulty than in memory.
  At least two have to be there: of one alone it could not be seen whether it knows the lot, and it would speak through the suspect;
* each is tested in the suspect's place, against the others, on both sides. One that comes out as if it knew the lot, or its opposite,
  breaks a premise, and then there is no figure of any kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from filiation.canaries.scoring import CONTROL_LOG10_P
from filiation.evidence import (
    Absent,
    Companion,
    Component,
    Effect,
    Multiplicity,
    Null,
    Observation,
    Outcome,
    Relation,
    Test,
    json_mapping,
    round_against_accuser,
)
from filiation.examiners.examiner import Subject
from filiation.examiners.line_up import observe_transcript
from filiation.examiners.marked import (
    TRUST_PARAMETERS,
    Answers,
    Settings,
    answers_of,
    commitments_of,
    how_it_was_drawn,
    lot_among,
    told_of,
)
from filiation.examiners.outcomes import (
    CONSTRUCTED_LOG10_P,
    Figures,
    constructed_power,
    finding_of,
    inconclusive_of,
    not_examined_of,
)
from filiation.measures.log_probabilities import per_byte
from filiation.measures.overlap import LENGTH, overlaps, said_in
from filiation.sources.source import Source
from filiation.sources.transcripts import prompt_id
from filiation.statistics.line_up import name_key
from filiation.statistics.register import Calibration

if TYPE_CHECKING:
    from filiation.lots import Lot
    from filiation.lots.subject import Purpose

PARAMETERS: dict[str, bool | int | float | str] = TRUST_PARAMETERS | {"considered": 1}
"""`considered`: how many suspects were considered in all."""

FEWEST_CONTROLS = 2
"""Controls that are taken away from a suspect are each held against the others first."""

KINDS_OF_NUMBERS = 2
"""Likelihoods and answers are two looks at one lot, and whoever accuses decides which of them are recorded."""

MOST_SEARCHED = 2**53 - 1
"""What was searched stands in records as a whole number that every reader holds exactly; a larger one leaves no figure anyway."""

LONG_TO_COUNT = 54
"""Sets of so many items, or of all but so many, are more than MOST_SEARCHED: there are at least 2^n sets of n items of 2 n."""

ASKED_LENGTH = 2
"""Words of the phrases by which prompts are held against the texts: fewer than in answers, a prompt need not quote to lead."""

NOT_SCORED = "no log-likelihoods of the owner's texts were recorded: see 'filiation score'"
NOT_SAID = f"no run of {LENGTH} words that stands in one of the owner's texts alone, and in no prompt, stands in the recorded answers"
ASKED_BEFORE = "Which texts were scored, what the suspect was asked, and who the controls are, was fixed without regard to what was drawn."
UNRELATED = (
    "No control depends on what was drawn: none is the owner's own, or was made from a model or a text of the owner's, and whoever accuses "
    "did not pick them. Controls that all remember the contrary of what was drawn would make any suspect seem to know it, and none of "
    "them would show it beside the others: 'without controls' tells what rests on the lot alone."
)

Values = list[list[int]]
"""Per document, or pair of twins, what was found of its texts."""


@dataclass(frozen=True)
class Seen:
    """What one model's numbers show of what was drawn. `to_detect`: the share of opportunities that is found at a log10 p."""

    figures: Figures
    effect: Effect
    to_detect: Callable[[float], float]

    @property
    def log10_p(self) -> float:
        return self.figures.log10_p


Measure = Callable[[Values, Sequence[Values]], Seen]
"""The numbers of a model, and those of controls to be taken away, held against what was drawn."""


class Words(NamedTuple):
    """How an examiner calls things: what was drawn, and what is counted."""

    drawn: str
    counted: str


def observe_drawn(examiner: str, version: str, source: Source, purpose: Purpose) -> Observation | Absent:
    """Both sides: what was opened, where there is a lot of this purpose; who answered, where there are recordings."""
    lot, answered = lot_among(source, purpose, TRUST_PARAMETERS), observe_transcript(examiner, version, source)
    if isinstance(lot, Absent):
        return lot if isinstance(answered, Absent) else answered
    beside = {} if isinstance(answered, Absent) else {"answers": answered.content}
    return Observation(
        examiner=examiner,
        examiner_version=version,
        exhibit=source.name,
        content=json_mapping({"lineage": source.lineage_id, "lot": told_of(lot), **beside}),
    )


# -------------------------------------------------------------------------------------------------------------- relate


def line_up_of(
    examiner: str,
    version: str,
    purpose: Purpose,
    drawn: Callable[[Lot], tuple[Sequence[Sequence[str]], dict[str, Any]]],
    subjects: Sequence[Subject],
    seed: int,
) -> Relation | Absent:
    """What reference, suspect and controls (`subjects`, in this order) have to do with what was drawn.

    `drawn(lot)`: the texts of each document or pair, and what else is to be recorded of the lot.
    """
    reference, suspect, *controls = subjects
    settings = PARAMETERS | reference.parameters
    lot = lot_among(reference.source, purpose, settings)
    if isinstance(lot, Absent):
        return lot
    texts, told = drawn(lot)
    likelihood, said = _likelihoods(texts, suspect, controls, reference), _overlaps(texts, suspect, controls, reference)
    if "absent" in likelihood and "absent" in said:
        return Absent(reason=f"{likelihood['absent']}; {said['absent']}")
    return Relation(
        examiner=examiner,
        examiner_version=version,
        first=reference.observation.exhibit,
        second=suspect.observation.exhibit,
        seed=seed,
        content=json_mapping(
            {
                "lot": told_of(lot),
                "settings": _settings(settings),
                "commitments": commitments_of(lot, settings),
                "likelihood": likelihood,
                "text": said,
                **told,
            }
        ),
    )


def _settings(settings: Settings) -> dict[str, Any]:
    return {name: settings[name] for name in sorted(PARAMETERS)}


def _likelihoods(
    texts: Sequence[Sequence[str]], suspect: Subject, controls: Sequence[Subject], reference: Subject
) -> dict[str, Any]:
    """What the suspect, and each control that scored the same texts, find how likely."""
    names = [[prompt_id(text) for text in group] for group in texts]
    scores = per_byte(suspect.source)
    at = [number for number, group in enumerate(names) if all(name in scores for name in group)]
    if not at:
        return {"absent": NOT_SCORED}
    taken, left_out = _among(controls, suspect, reference)
    beside = []
    for control in taken:
        values = per_byte(control.source)
        if all(name in values for number in at for name in names[number]):
            beside.append(_row(control, [[values[name] for name in names[number]] for number in at]))
        elif values:
            left_out.append([control.observation.exhibit, "it did not score every text that the suspect scored"])
    return {
        "at": at,
        "suspect": [[scores[name] for name in names[number]] for number in at],
        "controls": beside,
        "left_out": left_out,
    }


def _overlaps(
    texts: Sequence[Sequence[str]], suspect: Subject, controls: Sequence[Subject], reference: Subject
) -> dict[str, Any]:
    """How much of each text stands in the answers of the suspect and of each control, and in what the suspect was asked."""
    answers = answers_of(suspect.source)
    if isinstance(answers, Absent):
        return {"absent": answers.reason}
    taken, left_out = _among(controls, suspect, reference)
    others = [(control, answers_of(control.source)) for control in taken]
    asked = [text for read in answers.read for text in read]
    return {
        "at": list(range(len(texts))),
        "suspect": _overlap(texts, _said(answers)),
        "controls": [
            _row(control, _overlap(texts, _said(found))) for control, found in others if not isinstance(found, Absent)
        ],
        "asked": _overlap(texts, said_in(asked, length=ASKED_LENGTH), ASKED_LENGTH),
        "answers": len(answers.texts),
        "further": answers.further,
        "unknown": answers.unknown,
        "left_out": left_out,
    }


def _said(answers: Answers) -> frozenset[int]:
    return said_in(answers.texts, (text for read in answers.read for text in read))


def _overlap(texts: Sequence[Sequence[str]], said: frozenset[int], length: int = LENGTH) -> Values:
    values = iter(overlaps([text for group in texts for text in group], said, length))
    return [[next(values) for _ in group] for group in texts]


def _among(controls: Sequence[Subject], suspect: Subject, reference: Subject) -> tuple[list[Subject], list[list[str]]]:
    """Controls that are, by declaration, of another lineage than both; and who is left out, with the reason."""
    disputed = {name_key(each.observation.content.get("lineage", "")) for each in (suspect, reference)} - {""}
    taken, left_out = [], []
    for control in controls:
        if name_key(control.observation.content.get("lineage", "")) in disputed:
            left_out.append(
                [control.observation.exhibit, "it is of the reference's or the suspect's lineage by declaration"]
            )
        else:
            taken.append(control)
    return taken, left_out


def _row(control: Subject, values: Values) -> dict[str, Any]:
    return {"name": control.observation.exhibit, "values": values}


# --------------------------------------------------------------------------------------------------------------- judge


class Look(NamedTuple):
    """One kind of numbers: its test, the key in the relation's content, how it is measured, and what it cannot say."""

    test: Test
    kind: str
    measure: Measure
    limitations: tuple[str, ...]


@dataclass(frozen=True)
class Held:
    """A part of a relation, measured: the suspect, each control, and what was asked. `alone`: the suspect with nothing taken away."""

    seen: Seen
    alone: tuple[Seen, Seen] | None
    beside: tuple[tuple[str, Seen, Seen], ...]
    asked: tuple[Seen, Seen] | None


def judge_drawn(
    looks: Sequence[Look],
    pair: Relation,
    calibration: Calibration,
    *,
    version: str,
    words: Words,
    assumptions: tuple[str, ...],
) -> tuple[Outcome, ...]:
    """One outcome for each kind of numbers.

    1. Measure all that was recorded, controls and prompts too.
    2. Where one of these depends on what was drawn, decline all: the secret is the same.
    3. Decline where there are no numbers; else the figures, what was searched paid for.
    """
    held = {
        look.kind: _held(pair.content[look.kind], look.measure)
        for look in looks
        if "absent" not in pair.content[look.kind]
    }
    broken = broken_premise(list(held.values()))
    return tuple(
        _judged(look, held[look.kind], broken, pair, calibration, version, words, assumptions)
        if look.kind in held
        else not_examined_of(look.test, pair, pair.content[look.kind]["absent"], version=version)
        for look in looks
    )


def _judged(
    look: Look,
    held: Held,
    broken: str,
    pair: Relation,
    calibration: Calibration,
    version: str,
    words: Words,
    assumptions: tuple[str, ...],
) -> Outcome:
    part = pair.content[look.kind]
    told: dict[str, Any] = {
        "version": version,
        "components": _left_out_of(part),
        "companions": _companions(held, part, words.counted),
        "limitations": (*look.limitations, *_limits_of(pair, part)),
    }
    cost = multiplicity_of(pair, part)
    reason = broken or ("" if held.asked is None or held.seen.figures.opportunities else NOT_SAID)
    if not reason and cost.searched > MOST_SEARCHED:
        reason = (
            f"{len(part['at'])} of the lot's {pair.content['lot']['items']} items were scored, neither all nor the first ones of the "
            "subject: whoever scored could have chosen them by what was drawn"
        )
    if reason:
        return inconclusive_of(look.test, pair, reason, **told)
    return finding_of(
        look.test,
        pair,
        held.seen.figures,
        effect=held.seen.effect,
        power=constructed_power(round(held.seen.to_detect(CONSTRUCTED_LOG10_P - cost.log10_cost), 6)),
        parameters=pair.content["settings"],
        calibration=calibration,
        multiplicity=cost,
        assumptions=(
            *assumptions,
            *([UNRELATED] if _taken_away(part) else []),
            *how_it_was_drawn(pair.content["lot"], words.drawn),
        ),
        **told,
    )


def _taken_away(part: dict[str, Any]) -> list[Values]:
    """The controls' numbers that may be taken from the suspect's.

    What answers share with a text is sparse, and a control's share of it no measure of difficulty: nothing is taken away there.
    """
    rows = [control["values"] for control in part["controls"]]
    return rows if "asked" not in part and len(rows) >= FEWEST_CONTROLS else []


def _held(part: dict[str, Any], measure: Measure) -> Held:
    """The suspect; each control in the suspect's place, the others being its controls; and, of answers, what was asked."""
    rows = _taken_away(part)
    beside = tuple(
        (control["name"], *_both_sides(measure, control["values"], rows[:at] + rows[at + 1 :]))
        for at, control in enumerate(part["controls"])
    )
    asked = _both_sides(measure, part["asked"], ()) if "asked" in part else None
    return Held(
        measure(part["suspect"], rows), _both_sides(measure, part["suspect"], ()) if rows else None, beside, asked
    )


def _both_sides(measure: Measure, values: Values, others: Sequence[Values]) -> tuple[Seen, Seen]:
    """In the direction of what was drawn, and in the opposite one."""
    return measure(values, others), measure(_negative(values), [_negative(other) for other in others])


def _negative(values: Values) -> Values:
    return [[-number for number in group] for group in values]


def mean_of(rows: Sequence[Values]) -> Values:
    """The mean over controls of each number, rounded."""
    return [[round(sum(each) / len(each)) for each in zip(*groups, strict=True)] for groups in zip(*rows, strict=True)]


def broken_premise(held: Sequence[Held]) -> str:
    """Why no figure must be used, or an empty string. That controls are several, and have two sides, is paid for."""
    told = []
    for part in held:
        cost = math.log10(2 * max(1, len(part.beside)))
        for name, *sides in part.beside:
            if min(side.log10_p for side in sides) + cost <= CONTROL_LOG10_P:
                told.append(f"the control {name} depends on what was drawn")
        if part.asked is not None and min(side.log10_p for side in part.asked) + math.log10(2) <= CONTROL_LOG10_P:
            told.append("what the suspect was asked depends on what was drawn")
    return f"a premise is broken: {'; '.join(dict.fromkeys(told))}" if told else ""


def _companions(held: Held, part: dict[str, Any], counted: str) -> tuple[Companion, ...]:
    found = [_companion(f"control {name}", sides, counted) for name, *sides in held.beside]
    if held.alone is not None:
        found.append(
            _companion("without controls", held.alone, f"{counted}, nothing taken away: what rests on the lot alone")
        )
    if held.asked is not None:
        found.append(_companion("prompts", held.asked, f"{counted}, by what the suspect was asked"))
    if part.get("further"):
        note = "answers after the first to a prompt are not looked at"
        found.append(Companion(null=Null.CONSTRUCTION, name="further answers", value=str(part["further"]), note=note))
    return tuple(found)


def _limits_of(pair: Relation, part: dict[str, Any]) -> tuple[str, ...]:
    """What this very recording cannot say."""
    told = []
    items = int(pair.content["lot"]["items"])
    if len(part["at"]) < items:
        told.append(
            f"Of the lot's {items} items {len(part['at'])} were scored: all other choices of as many are paid for, or, where they are the "
            "first ones of the subject, all numbers of first ones."
        )
    if "asked" not in part and len(part["controls"]) == 1:
        told.append(
            "The one control was not taken from the suspect: whether it depends on what was drawn shows only beside a second one."
        )
    return tuple(told)


def _companion(name: str, sides: Sequence[Seen], counted: str) -> Companion:
    along, against = sides
    rounded = [round_against_accuser(side.log10_p, accuses_when="small") for side in (along, against)]
    return Companion(
        null=Null.CONSTRUCTION,
        name=name,
        value=f"{along.figures.count} of {along.figures.opportunities}",
        note=f"{counted}; log10 p {rounded[0]:.3f} (for the opposite {rounded[1]:.3f})",
    )


def _left_out_of(part: dict[str, Any]) -> tuple[Component, ...]:
    return tuple(
        Component(kind="left out", name=name, count=0, opportunities=0, note=why) for name, why in part["left_out"]
    )


def multiplicity_of(pair: Relation, part: Mapping[str, Any]) -> Multiplicity:
    """The suspects that were considered, the lots that the owner has drawn, the two kinds of numbers, and the choices of scored items."""
    considered, commitments = int(pair.content["settings"]["considered"]), int(pair.content["commitments"])
    choices = choices_of(part["at"], int(pair.content["lot"]["items"]))
    searched = max(1, considered) * max(1, commitments) * KINDS_OF_NUMBERS * choices
    rule = (
        f"suspects considered ({considered}) times lots that the owner committed to ({commitments}) times "
        f"kinds of numbers ({KINDS_OF_NUMBERS}: likelihoods, answers)"
    )
    if choices > 1:
        rule += f" times choices of the items that were scored ({choices})"
    return Multiplicity(searched=searched, rule=rule, log10_cost=math.log10(searched))


def choices_of(scored: Sequence[int], items: int) -> int:
    """In how many ways whoever scored could have chosen the items, by what was drawn and what the suspect says of them.

    One where all were scored. Where they are the first ones of the subject, which was committed to before the draw, only their number can
    have been chosen. Else any set of so many items, and their number; more than MOST_SEARCHED where that is long to count.
    """
    missing = items - len(scored)
    if not missing:
        return 1
    if list(scored) == list(range(len(scored))):
        return items
    few = min(missing, len(scored))
    return items * math.comb(items, few) if few < LONG_TO_COUNT else MOST_SEARCHED + 1
