"""What a report tells, and in which order: an examination rearranged by proposition, with the data of each picture.

Pure: nothing is computed that is not in the record, and nothing of the record is judged again. What examiners left for
pictures in the content of their relations is read leniently: a record may come from the other side, so a map that is
not what it should be is left out and said to be, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from filiation.evidence import (
    Companion,
    Component,
    Conclusion,
    Examination,
    FileRecord,
    Finding,
    Identity,
    Inconclusive,
    NotExamined,
    Null,
    Outcome,
    Proposition,
    Relation,
    Relations,
)
from filiation.report.constructed import Beside, DrawnLots, Law, Rarities, all_beside, drawn_beside, law, rarities
from filiation.report.wording import NO_CANARIES, NO_LOT, NO_MARKS, OPENED
from filiation.statistics.line_up import HELD_OUT, SCALE, name_key

MOST_POINTS = 2000
"""Points drawn in an order plot; more would not be seen, and would weigh on the file."""

MOST_PLACES = 10
"""Places of a line-up that are named; a pack brings more than a hundred models."""

FEWER_PLACES = 3
"""The same in a terminal, where no conclusion rests on the line-up."""

FEW_CONTROLS = 12
"""Up to so many controls are described one by one."""

PARTS = ("configuration", "tokenizer", "weights", "recorded answers")
"""What an exhibit may be without; reasons that differ in this word alone are one reason."""

_ENDING_IN_A_PART = re.compile(rf"(.+) ({'|'.join(PARTS)})(?: of a model)?")

MOST_LAYERS = 200
"""Layers per side of a map; no decoder comes near it, so more is a broken or hostile record."""


# ---------------------------------------------------------------------------------------------------- pictures' content


class Tally(msgspec.Struct, frozen=True):
    """How often something was seen in how many opportunities."""

    count: int
    opportunities: int

    @property
    def share(self) -> float:
        return self.count / self.opportunities if self.opportunities > 0 else 0.0


class LayerMap(msgspec.Struct, frozen=True):
    """Coincidences of every layer of the first model with every layer of the second, [first][second]."""

    first_layers: int
    second_layers: int
    counts: list[list[int]]
    opportunities: list[list[int]]

    def problem(self) -> str:
        """What is wrong with the map, or an empty string."""
        if not (0 < self.first_layers <= MOST_LAYERS and 0 < self.second_layers <= MOST_LAYERS):
            return f"it claims {self.first_layers} by {self.second_layers} layers"
        for name, table in (("counts", self.counts), ("opportunities", self.opportunities)):
            if len(table) != self.first_layers or any(len(row) != self.second_layers for row in table):
                return f"its {name} do not fit {self.first_layers} by {self.second_layers} layers"
        pairs = (pair for c, o in zip(self.counts, self.opportunities, strict=True) for pair in zip(c, o, strict=True))
        if any(not 0 <= count <= opportunities for count, opportunities in pairs):
            return "a count lies outside its opportunities"
        return ""

    def tally(self, first: int, second: int) -> Tally:
        return Tally(self.counts[first][second], self.opportunities[first][second])


class OrderPlot(msgspec.Struct, frozen=True):
    """Shared tokens as points: rank in the reference, rank in the suspect."""

    points: list[tuple[float, float]]

    def problem(self) -> str:
        return "a rank is negative" if any(min(point) < 0 for point in self.points) else ""

    def thinned(self) -> OrderPlot:
        """At most `MOST_POINTS` of the points, evenly taken."""
        step = -(-len(self.points) // MOST_POINTS)
        return OrderPlot(self.points[::step])


@dataclass(frozen=True)
class LineUpRow:
    """One model in the line-up, examined against the reference. `role`: 'suspect' or 'control'."""

    name: str
    role: str
    tally: Tally


@dataclass(frozen=True)
class LineUp:
    """The suspect among the controls, on one test."""

    test: str
    rows: tuple[LineUpRow, ...]
    chance: float | None


class Standing(msgspec.Struct, frozen=True):
    """One model of a recorded line-up. `origin`: 'reference', 'suspect', 'control' or 'pack'."""

    name: str
    lineage: str
    lab: str
    origin: str


@dataclass(frozen=True)
class Place:
    """A model with its score (in 1/SCALE) as candidate for the reference. `ranked`: False where it is shown only."""

    model: Standing
    score: int
    ranked: bool

    @property
    def role(self) -> str:
        return "suspect" if self.model.origin == "suspect" else "control"

    @property
    def value(self) -> float:
        return self.score / SCALE


@dataclass(frozen=True)
class Ranking:
    """A line-up by rank: the suspect and all controls, highest score first. `packs`: the control packs that took part."""

    test: str
    prompts: int
    packs: tuple[str, ...]
    places: tuple[Place, ...]

    @property
    def suspect(self) -> Place:
        return next(place for place in self.places if place.role == "suspect")

    @property
    def lineages(self) -> tuple[Place, ...]:
        """The highest model of each declared and ranked control lineage."""
        highest: dict[str, Place] = {}
        for place in self._ranked:
            if place.model.lineage:
                highest.setdefault(name_key(place.model.lineage), place)
        return tuple(highest.values())

    @property
    def _ranked(self) -> tuple[Place, ...]:
        return tuple(place for place in self.places if place.role == "control" and place.ranked)

    @property
    def above(self) -> int:
        """Control lineages that score at least as high as the suspect; all of undeclared lineage count as one more."""
        undeclared = any(place.score >= self.suspect.score for place in self._ranked if not place.model.lineage)
        declared = sum(place.score >= self.suspect.score for place in self.lineages)
        return min(declared + undeclared, len(self.lineages))

    @property
    def says_nothing(self) -> bool:
        """Whether all have one score: nothing was there to be measured."""
        return len({place.score for place in self.places}) == 1

    @property
    def ranks_nothing(self) -> bool:
        """Whether the suspect and every ranked control, of which there are some, have one score: their order says nothing."""
        return bool(self._ranked) and {place.score for place in self._ranked} == {self.suspect.score}

    @property
    def left_out(self) -> int:
        return sum(not place.ranked for place in self.places)

    def first(self, most: int) -> tuple[tuple[int, Place], ...]:
        """The first places and the suspect's, each with its number among all models."""
        return tuple(
            (number, place) for number, place in enumerate(self.places, 1) if number <= most or place.role == "suspect"
        )

    @property
    def named(self) -> tuple[tuple[int, Place], ...]:
        return self.first(MOST_PLACES)


# ------------------------------------------------------------------------------------------------------------- sections


@dataclass(frozen=True)
class OutcomeSection:
    """One outcome with what belongs beside it; `conclusion` only where the outcome is its principal finding."""

    outcome: Outcome
    conclusion: Conclusion | None
    entered: Conclusion | None
    line_up: LineUp | None
    layers: tuple[Component, ...]
    other_components: tuple[Component, ...]
    ranking: Ranking | None = None
    held_out: tuple[Companion, ...] = ()
    beside: tuple[Companion, ...] = ()
    drawn: DrawnLots | None = None

    @property
    def parts_have_counts(self) -> bool:
        return any(part.opportunities > 0 for part in self.other_components)

    @property
    def parts_have_p(self) -> bool:
        return any(part.log10_p is not None for part in self.other_components)

    @property
    def kind(self) -> str:
        return kind(self.outcome)

    @property
    def constructed(self) -> bool:
        """Whether the chance was made by lots of the owner's: then premises and controls stand next to the figure."""
        return self.outcome.null is Null.CONSTRUCTION

    @property
    def law(self) -> Law | None:
        """The exact law by construction, where the finding's figures tell it."""
        return law(self.outcome)

    @property
    def rarities(self) -> Rarities | None:
        """Where they do not: how rare everything is."""
        return rarities(self.outcome)

    @property
    def controls_beside(self) -> tuple[Beside, ...]:
        """What stands beside a finding by construction and should show nothing."""
        return all_beside(self.outcome) if self.constructed else ()


@dataclass(frozen=True)
class PropositionSection:
    """One proposition: its conclusions, then every outcome, then the pictures of the pair."""

    proposition: Proposition
    conclusions: tuple[Conclusion, ...]
    outcomes: tuple[OutcomeSection, ...]
    layer_map: LayerMap | None = None
    order_plot: OrderPlot | None = None
    remarks: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing is left to be told here: its outcomes, if any, are folded, and no finding was concluded from."""
        concluded = any(conclusion.merged_ids for conclusion in self.conclusions)
        return not (self.outcomes or concluded or self.layer_map or self.order_plot or self.remarks)

    @property
    def findings(self) -> tuple[OutcomeSection, ...]:
        """Findings, those that carry a likelihood ratio first."""
        found = [section for section in self.outcomes if section.kind == "finding"]
        return tuple(sorted(found, key=lambda section: section.conclusion is None))

    def premises_of(self, section: OutcomeSection) -> str:
        """The first test by construction whose premises are the very same; its own where nobody's before it are."""
        alike = (each for each in self.findings if _premises(each.outcome) == _premises(section.outcome))
        return next(alike).outcome.test

    @property
    def other_limitations(self) -> tuple[str, ...]:
        """Limitations of what was examined without a finding, each once."""
        unknown = [section.outcome for section in self.outcomes if isinstance(section.outcome, Inconclusive)]
        return tuple(dict.fromkeys(limit for outcome in unknown for limit in outcome.limitations))


@dataclass(frozen=True)
class Folded:
    """Several tests that could not be examined for one reason, told in one place instead of test by test.

    `parts`: of what the exhibit is without, where the reason names parts. `whole`: examiners all of whose tests stand here. `no_marks`:
    nothing was planted or drawn by lot, or (`marks_opened`) nothing of the kind that these read, so that they are told in one line.
    """

    reason: str
    parts: tuple[str, ...]
    outcomes: tuple[NotExamined, ...]
    whole: frozenset[str]
    no_marks: bool = False
    marks_opened: bool = False

    @property
    def examiners(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(outcome.examiner for outcome in self.outcomes))

    @property
    def named(self) -> tuple[tuple[str, int], ...]:
        """Who is meant: an examiner with the number of its tests where all of several stand here, else test by test."""
        tests: dict[str, int] = {}
        for outcome in self.outcomes:
            count = sum(other.examiner == outcome.examiner for other in self.outcomes)
            together = outcome.examiner in self.whole and count > 1
            tests.setdefault(outcome.examiner if together else outcome.test, count if together else 1)
        return tuple(tests.items())


@dataclass(frozen=True)
class Contents:
    """A whole report. `propositions` hold every outcome but the `folded` ones; `not_examined` lists all without a finding."""

    examination: Examination
    propositions: tuple[PropositionSection, ...]
    digest: str
    not_examined: tuple[Outcome, ...] = field(default=())
    folded: tuple[Folded, ...] = field(default=())

    @property
    def no_marks(self) -> Folded | None:
        """Evidence by construction that had nothing to work with."""
        return next((fold for fold in self.folded if fold.no_marks), None)

    @property
    def told_singly(self) -> tuple[Outcome, ...]:
        """`not_examined` without what stands in `no_marks`."""
        together = self.no_marks.outcomes if self.no_marks else ()
        return tuple(outcome for outcome in self.not_examined if outcome not in together)

    @property
    def rankings(self) -> tuple[Ranking, ...]:
        """Every line-up by rank that can be read."""
        sections = (section for proposition in self.propositions for section in proposition.outcomes)
        return tuple(section.ranking for section in sections if section.ranking is not None)

    @property
    def conclusions(self) -> tuple[Conclusion, ...]:
        """All conclusions, without those that only say that nothing was planted or drawn by lot."""
        concluded, opened = self.examination.conclusions, _marks_opened(self.examination.outcomes)
        return tuple(each for each in concluded if each.merged_ids or not _lacks_marks(each, opened))

    @property
    def packs(self) -> tuple[str, ...]:
        """The control packs that took part in any line-up."""
        return tuple(dict.fromkeys(pack for ranking in self.rankings for pack in ranking.packs))

    @property
    def pack_controls(self) -> int:
        """Models of control packs that stood in any line-up, ranked or not, each name once."""
        places = (place for ranking in self.rankings for place in ranking.places)
        return len({name_key(place.model.name) for place in places if place.model.origin == "pack"})

    @property
    def few_controls(self) -> bool:
        return len(self.examination.controls) <= FEW_CONTROLS

    @property
    def control_files(self) -> tuple[FileRecord, ...]:
        """The files of all controls, each once: many recordings stand in one file."""
        return tuple(dict.fromkeys(file for control in self.examination.controls for file in control.files))

    @property
    def exhibits(self) -> tuple[tuple[str, Identity], ...]:
        """Every model with its role, reference and suspect first."""
        record = self.examination
        controls = (("control", control) for control in record.controls)
        return (("reference", record.reference), ("suspect", record.suspect), *controls)


def kind(outcome: Outcome) -> str:
    """'finding', 'inconclusive' or 'not_examined', as in the record."""
    tag = outcome.__struct_config__.tag
    return str(tag)


def contents(examination: Examination) -> Contents:
    """Rearrange a record for its readers: propositions in their fixed order, those nobody asked about left out."""
    asked = {outcome.proposition for outcome in examination.outcomes}
    asked |= {conclusion.proposition for conclusion in examination.conclusions}
    folds = folded(examination.outcomes)
    apart = frozenset(outcome.id for fold in folds for outcome in fold.outcomes)
    sections = (_proposition(examination, word, apart) for word in Proposition if word in asked)
    return Contents(
        examination=examination,
        propositions=tuple(section for section in sections if not section.empty),
        digest=examination.digest,
        not_examined=tuple(outcome for outcome in examination.outcomes if not isinstance(outcome, Finding)),
        folded=folds,
    )


def folded(outcomes: tuple[Outcome, ...]) -> tuple[Folded, ...]:
    """The tests that were not examined for a reason that two or more of them share, by reason, in the record's order."""
    by_reason: dict[tuple[str, bool], list[tuple[str, NotExamined]]] = {}
    opened = _marks_opened(outcomes)
    for outcome in outcomes:
        if isinstance(outcome, NotExamined):
            stem, part = (NO_MARKS, "") if _lacks_marks(outcome, opened) else _without_its_part(outcome.reason)
            by_reason.setdefault((stem, bool(part)), []).append((part, outcome))
    folds = []
    for (stem, _), members in by_reason.items():
        here = frozenset(outcome.id for _, outcome in members)
        if len(members) > 1 or stem == NO_MARKS:
            elsewhere = {outcome.examiner for outcome in outcomes if outcome.id not in here}
            folds.append(
                Folded(
                    reason=stem,
                    parts=tuple(dict.fromkeys(part for part, _ in members if part)),
                    outcomes=tuple(outcome for _, outcome in members),
                    whole=frozenset(outcome.examiner for _, outcome in members if outcome.examiner not in elsewhere),
                    no_marks=stem == NO_MARKS,
                    marks_opened=stem == NO_MARKS and opened,
                )
            )
    return tuple(folds)


def _lacks_marks(outcome: Outcome | Conclusion, opened: bool) -> bool:
    """Whether a test by construction had nothing to work with. Where nothing was `opened`, that goes before whatever else was lacking."""
    if outcome.null is not Null.CONSTRUCTION:
        return False
    return not opened or any(lacking in outcome.reason for lacking in (NO_MARKS, NO_LOT, NO_CANARIES))


def _marks_opened(outcomes: tuple[Outcome, ...]) -> bool:
    """Whether any marks were opened, whatever came of it; where nobody says that there were none, they were."""
    constructed = [outcome for outcome in outcomes if outcome.null is Null.CONSTRUCTION]
    if any(not isinstance(outcome, NotExamined) or OPENED in outcome.reason for outcome in constructed):
        return True
    return not any(NO_MARKS in outcome.reason for outcome in constructed)


def _without_its_part(reason: str) -> tuple[str, str]:
    """A reason as what stands before the part it ends in, and that part; the whole reason and nothing where it names none."""
    found = _ENDING_IN_A_PART.fullmatch(reason)
    return (found[1], found[2]) if found else (reason, "")


def _premises(outcome: Outcome) -> tuple[object, ...]:
    fields = ("null", "assumptions", "conditional_on", "multiplicity")
    return tuple(getattr(outcome, field, None) for field in fields)


def conclusion_entered(outcome: Outcome, conclusions: tuple[Conclusion, ...]) -> Conclusion | None:
    """The conclusion that an outcome was merged into, if any."""
    return next((conclusion for conclusion in conclusions if outcome.id in conclusion.merged_ids), None)


def conclusion_carried(outcome: Outcome, conclusions: tuple[Conclusion, ...]) -> Conclusion | None:
    """The conclusion whose likelihood ratio is this outcome's: its last merged finding, the most searching one."""
    entered = conclusion_entered(outcome, conclusions)
    return entered if entered is not None and entered.merged_ids[-1] == outcome.id else None


def relation_of(conclusion: Conclusion, outcomes: tuple[Outcome, ...]) -> str:
    """The named relation of a conclusion: the relation class of its principal finding."""
    named = [outcome.relation_class for outcome in outcomes if outcome.id in conclusion.merged_ids[-1:]]
    return named[0] if named else "the relation"


def _proposition(examination: Examination, proposition: Proposition, apart: frozenset[str]) -> PropositionSection:
    """One proposition, without the outcomes whose `id` is in `apart`."""
    asked = tuple(outcome for outcome in examination.outcomes if outcome.proposition is proposition)
    outcomes = tuple(outcome for outcome in asked if outcome.id not in apart)
    remarks: list[str] = []
    examiners = tuple(dict.fromkeys(outcome.examiner for outcome in asked))
    pairs = [examination.relations[name].pair for name in examiners if name in examination.relations]
    return PropositionSection(
        proposition=proposition,
        conclusions=tuple(c for c in examination.conclusions if c.proposition is proposition),
        outcomes=tuple(_outcome(examination, outcome) for outcome in outcomes),
        layer_map=_first(pairs, "layer_map", LayerMap, remarks),
        order_plot=_first(pairs, "order_plot", OrderPlot, remarks),
        remarks=tuple(remarks),
    )


def _outcome(examination: Examination, outcome: Outcome) -> OutcomeSection:
    components: tuple[Component, ...] = getattr(outcome, "components", ())
    layers = tuple(part for part in components if part.kind == "layer" and part.opportunities > 0)
    relations = examination.relations.get(outcome.examiner)
    ranking = ranking_of(relations.pair.content, outcome) if relations is not None else None
    companions: tuple[Companion, ...] = getattr(outcome, "companions", ())
    line_up = _line_up(examination, outcome, relations) if relations is not None and ranking is None else None
    held_out = tuple(beside for beside in companions if beside.name.startswith(HELD_OUT)) if ranking else ()
    drawn = ("suspect", "control") if ranking is not None else ()
    return OutcomeSection(
        outcome=outcome,
        conclusion=conclusion_carried(outcome, examination.conclusions),
        entered=conclusion_entered(outcome, examination.conclusions),
        line_up=None if _told_by_its_law(outcome) else line_up,
        layers=layers if len(layers) > 1 else (),
        other_components=tuple(
            part for part in components if (len(layers) == 1 or part not in layers) and part.kind not in drawn
        ),
        ranking=ranking,
        held_out=held_out,
        beside=tuple(beside for beside in companions if beside not in held_out),
        drawn=drawn_beside(outcome, relations.pair.content) if relations is not None else None,
    )


def _told_by_its_law(outcome: Outcome) -> bool:
    """Whether the picture of the law, or of rarities, shows the controls, so that a strip of shares would repeat it."""
    if not isinstance(outcome, Finding) or outcome.null is not Null.CONSTRUCTION:
        return False
    shown = law(outcome) or rarities(outcome)
    return shown is not None and any(each.is_control for each in shown.places)


# ----------------------------------------------------------------------------------------------------- pictures' reading

Picture = TypeVar("Picture", LayerMap, OrderPlot)


def _first(pairs: list[Relation], key: str, shape: type[Picture], remarks: list[str]) -> Picture | None:
    """The first picture of that name that is what it should be; what was left out goes to `remarks`."""
    for pair in pairs:
        if pair.content.get(key) is None:
            continue
        try:
            picture = msgspec.convert(pair.content[key], shape)
        except msgspec.ValidationError as error:
            remarks.append(f"the record's {key} could not be drawn: {error}")
            continue
        if not (problem := picture.problem()):
            return None if isinstance(picture, OrderPlot) and not picture.points else picture
        remarks.append(f"the record's {key} could not be drawn: {problem}")
    return None


def tally(content: Mapping[str, Any], test: str) -> Tally | None:
    """What a relation's `summary` says of one test, or None where it says nothing usable."""
    summary = content.get("summary")
    if not isinstance(summary, Mapping) or test not in summary:
        return None
    try:
        entry = msgspec.convert(summary[test], Tally)
    except msgspec.ValidationError:
        return None
    return entry if 0 <= entry.count <= entry.opportunities and entry.opportunities > 0 else None


def ranking_of(content: Mapping[str, Any], outcome: Outcome) -> Ranking | None:
    """The line-up that an examiner recorded for a test, or None where there is none that can be read.

    Who was ranked is read off the outcome's components, where the examiner noted it.
    """
    found = _recorded_line_up(content, outcome.test)
    if found is None:
        return None
    try:
        entrants = msgspec.convert(found["entrants"], list[_Entrant])
        scores = msgspec.convert(found["scores"], list[list[int]])
        packs = msgspec.convert(found.get("packs", []), list[str])
        prompts = msgspec.convert(found.get("prompts", 0), int)
    except msgspec.ValidationError:
        return None
    if len(entrants) < 2 or not scores or len(scores[0]) != len(entrants):
        return None
    components: tuple[Component, ...] = getattr(outcome, "components", ())
    shown_only = {part.name for part in components if part.kind == "control" and "not ranked" in part.note}
    places = [
        Place(
            Standing(name=one.name, lineage=one.lineage, lab=one.lab, origin="suspect" if at == 1 else one.origin),
            score,
            at == 1 or one.name not in shown_only,
        )
        for at, (one, score) in enumerate(zip(entrants, scores[0], strict=True))
        if at
    ]
    # Ties stand before the suspect, as they count.
    places.sort(key=lambda place: (-place.score, place.role == "suspect"))
    return Ranking(test=outcome.test, prompts=prompts, packs=tuple(packs), places=tuple(places))


class _Entrant(msgspec.Struct, frozen=True):
    """A model as an examiner recorded it; what else stands there is not read."""

    name: str
    lineage: str = ""
    lab: str = ""
    origin: str = "control"


def _recorded_line_up(content: Any, test: str, depth: int = 3) -> Mapping[str, Any] | None:
    """The part of a relation's content that holds the line-up of a test, wherever the examiner put it."""
    if not isinstance(content, Mapping) or depth == 0:
        return None
    summary = content.get("summary")
    if "entrants" in content and "scores" in content and isinstance(summary, Mapping) and test in summary:
        return content
    parts = (_recorded_line_up(part, test, depth - 1) for part in content.values())
    return next((part for part in parts if part is not None), None)


def _line_up(examination: Examination, outcome: Outcome, relations: Relations) -> LineUp | None:
    suspect = tally(relations.pair.content, outcome.test)
    if suspect is None:
        return None
    rows = [LineUpRow(examination.suspect.name, "suspect", suspect)]
    for relation in relations.reference_by_control:
        control = tally(relation.content, outcome.test)
        if control is not None:
            rows.append(LineUpRow(relation.second, "control", control))
    rows.sort(key=lambda row: -row.tally.share)
    return LineUp(outcome.test, tuple(rows), _chance_on_the_axis(outcome))


def _chance_on_the_axis(outcome: Outcome) -> float | None:
    """Under a population null the chance belongs to a rank, not to a coincidence: it has no place among shares."""
    return outcome.chance if isinstance(outcome, Finding) and outcome.null is not Null.POPULATION else None
