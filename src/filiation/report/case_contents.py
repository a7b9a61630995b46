"""What the report of a case tells, and in which order: the whole `CaseView` rearranged for its readers, nothing judged anew.

result          every statement in one line: what was counted, in how many foils, likelihood ratio, word
propositions    statement cards, one for each kind of null, next to one another and never merged
line-up         the suspect among foils, each examined in the suspect's place; foils that count as found are counted
validation      scores of strangers and relatives, error counts with upper limits (`case_validation`)
plan            every planned test with what came out, for everybody; amendments; what was run outside the plan
custody         ledger, checkpoints, time-stamps, exhibits
declarations    what the expert has to say; while a required field is blank the report is a draft
appendices      answers side by side, every finding, every file, the ledger in full
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import get_args

import msgspec

from filiation.case.records import (
    REQUIRED,
    Admitted,
    Asked,
    Closed,
    Declarations,
    Drawn,
    Entry,
    Examined,
    LineUpPlan,
    Manifest,
    Noted,
    Observed,
    Opened,
    Plan,
    PlannedExhibit,
    PlannedProposition,
    Recovered,
    Reported,
    Revealed,
    Role,
    Sealed,
    Setting,
)
from filiation.case.view import CaseView, CheckpointSummary, ExaminedModel
from filiation.errors import UsageError
from filiation.evidence import (
    Characteristic,
    Conclusion,
    Examination,
    Finding,
    Identity,
    Null,
    Outcome,
    Proposition,
    digest,
)
from filiation.report import wording
from filiation.report.case_validation import ErrorCount, Validated, validated
from filiation.report.contents import OutcomeSection, PropositionSection, Ranking, contents, kind, ranking_of, tally
from filiation.statistics.likelihood import upper_limit
from filiation.statistics.line_up import name_key

MOST_ENTRIES = 60
"""Entries of the ledger that are shown one by one; of a longer ledger runs of one action are told together, and all are folded."""

MOST_COLUMNS = 5
"""Models that stand side by side in the table of planned tests; more are told one below the other."""

MOST_ANSWERS = 20
"""Prompts that are set side by side in the appendix."""

LONGEST_ANSWER = 6000
"""Characters of an answer that are printed."""


# -------------------------------------------------------------------------------------------------------------- line-up


@dataclass(frozen=True)
class Subject:
    """A model that was examined in the suspect's place. `name` is its code name while nothing is revealed."""

    name: str
    code_name: str
    role: str  # 'suspect', 'foil', 'unrevealed'
    lineage: str
    shares_explanation: bool
    attributes: Mapping[str, Setting]
    model: ExaminedModel

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """Every outcome by its test."""
        return {outcome.test: outcome for outcome in self.model.examination.outcomes}


@dataclass(frozen=True)
class StripRow:
    """One model of the strip. `found`: whether its p counts as found; None where there is no finding, `remark` says why."""

    name: str
    role: str
    note: str
    count: int = 0
    opportunities: int = 0
    log10_p: float | None = None
    found: bool | None = None
    remark: str = ""

    @property
    def share(self) -> float:
        return self.count / self.opportunities if self.opportunities else 0.0


@dataclass(frozen=True)
class FoilCount:
    """Foils that count as found: false positives of this case. `upper_limit`: 95 %, on the share of lineages.

    A lineage counts as found where any foil of it does; foils of undeclared lineage together are one lineage.
    """

    foils: int
    found: int
    lineages: int
    lineages_found: int
    upper_limit: float
    without_finding: int
    found_names: tuple[str, ...]


@dataclass(frozen=True)
class Strip:
    """The suspect among foils and controls on one test; under a null by population the axis is p, else a share."""

    test: str
    null: Null
    chance: float | None
    threshold_log10_p: float
    resolution_log10_p: float
    rows: tuple[StripRow, ...]
    count: FoilCount
    of_class: bool
    of_service: bool
    ranking: Ranking | None

    @property
    def by_rank(self) -> bool:
        return self.null is Null.POPULATION


@dataclass(frozen=True)
class Drawing:
    """How the foils were found: the plan of the line-up, its draw, and who in the pool was not taken.

    `alike`: what is declared alike of suspect, foils and pool; `columns`: attributes in which they differ, or that some do not declare.
    """

    plan: LineUpPlan
    drawn: Drawn | None
    not_taken: tuple[PlannedExhibit, ...]
    alike: tuple[tuple[str, Setting], ...]
    columns: tuple[str, ...]


# ------------------------------------------------------------------------------------------------------ statement cards


@dataclass(frozen=True)
class Statement:
    """One conclusion: one proposition, one alternative, one kind of null. `principal` carries its likelihood ratio."""

    conclusion: Conclusion
    relation: str
    planned: bool
    principal: OutcomeSection | None


@dataclass(frozen=True)
class Card:
    """A proposition with its statements, one for each alternative and kind of null. `planned` is empty where no plan names it."""

    proposition: Proposition
    planned: tuple[PlannedProposition, ...]
    statements: tuple[Statement, ...]
    unknown: tuple[OutcomeSection, ...]

    @property
    def sides(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Each relation in dispute with the alternatives that it is weighed against; planned alternatives of which no outcome
        speaks stand last, without a relation."""
        pairs = [(statement.relation, statement.conclusion.alternative) for statement in self.statements]
        pairs += [(section.outcome.relation_class, section.outcome.alternative) for section in self.unknown]
        named = {alternative for _, alternative in pairs}
        pairs += [("", planned.alternative) for planned in self.planned if planned.alternative not in named]
        relations = dict.fromkeys(relation for relation, _ in pairs)
        return tuple(
            (relation, tuple(dict.fromkeys(alternative for of, alternative in pairs if of == relation)))
            for relation in relations
        )


# ------------------------------------------------------------------------------------------------------------ validation


@dataclass(frozen=True)
class ErrorTable:
    """Errors of the tests of one proposition: one row for each kind of relation, one column for each test that has one."""

    tests: tuple[str, ...]
    rows: tuple[tuple[str, tuple[ErrorCount | None, ...]], ...]


# -------------------------------------------------------------------------------------------------------------- findings


@dataclass(frozen=True)
class OtherFinding:
    """The finding of another model on the same test. `differing`: fields in which it is not as the first one of the test."""

    subject: Subject
    finding: Finding
    differing: frozenset[str]


@dataclass(frozen=True)
class FindingsOfTest:
    """All findings of one test: the first in full (the suspect's where it has one), of the others what is their own."""

    subject: Subject
    finding: Finding
    others: tuple[OtherFinding, ...]


ALIKE_IN_A_TEST = (
    "null", "chance", "power", "multiplicity", "examiner", "examiner_version", "seed", "assumptions", "conditional_on",
    "calibration_digest", "parameters_digest", "resolution_log10_p",
)  # fmt: skip
"""Fields that the findings of one test have in common, as a rule; where one has another, it is printed with it."""


# ------------------------------------------------------------------------------------------------------ planned and done


@dataclass(frozen=True)
class Cell:
    """What became of a planned test for one model: an outcome, or nothing."""

    subject: str
    role: str
    kind: str  # 'finding', 'inconclusive', 'not_examined', 'missing'
    outcome: Outcome | None


@dataclass(frozen=True)
class PlannedTest:
    """A test with its weight in the plan (0 where none was given) and what came out for everybody."""

    test: str
    weight: float
    cells: tuple[Cell, ...]

    @property
    def missing(self) -> int:
        return sum(cell.kind == "missing" for cell in self.cells)


@dataclass(frozen=True)
class Sealing:
    """A plan as it was sealed, or amended."""

    entry: Entry
    body: Sealed
    plan: Plan | None


@dataclass(frozen=True)
class Exploration:
    """Something that was run outside the plan."""

    model: ExaminedModel
    name: str


# -------------------------------------------------------------------------------------------------------------- custody


@dataclass(frozen=True)
class Sheet:
    """An exhibit as a report lists it. `declared`: its attributes, without those that all exhibits declare alike."""

    manifest: Manifest
    identity: Identity | None
    declared: tuple[tuple[str, Setting], ...]


@dataclass(frozen=True)
class Run:
    """Consecutive entries of one action by one person."""

    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        return self.entries[0]

    @property
    def last(self) -> Entry:
        return self.entries[-1]


@dataclass(frozen=True)
class Lane:
    """All entries of one action, for the timeline."""

    action: str
    entries: tuple[Entry, ...]


# ------------------------------------------------------------------------------------------------------------ the whole


@dataclass(frozen=True)
class CaseContents:
    """The report of a case."""

    view: CaseView
    plan: Plan | None
    plan_digest: str
    reference: str
    suspect: str
    suspects: tuple[Subject, ...]
    cards: tuple[Card, ...]
    strips: tuple[Strip, ...]
    drawing: Drawing | None
    validation: tuple[Validated, ...]
    tests: tuple[PlannedTest, ...]
    sealings: tuple[Sealing, ...]
    explorations: tuple[Exploration, ...]
    lanes: tuple[Lane, ...]
    runs: tuple[Run, ...]
    blanks: tuple[str, ...]
    declarations: tuple[tuple[str, str, bool], ...]
    findings: tuple[FindingsOfTest, ...]

    @property
    def examination(self) -> Examination | None:
        """The suspect's examination under the plan that holds, once the suspect is revealed."""
        found = [subject for subject in self.suspects if subject.role == "suspect"]
        return found[0].model.examination if found else None

    @property
    def narrow(self) -> bool:
        """Whether all models of the line-up fit side by side on paper."""
        return len(self.suspects) <= MOST_COLUMNS

    @property
    def opened(self) -> Opened | None:
        return next((entry.body for entry in self.view.entries if isinstance(entry.body, Opened)), None)

    @property
    def closed(self) -> bool:
        return any(isinstance(entry.body, Closed) for entry in self.view.entries)

    @property
    def last_checkpoint(self) -> CheckpointSummary | None:
        return self.view.checkpoints[-1] if self.view.checkpoints else None

    @property
    def after_checkpoint(self) -> int:
        """Entries that no checkpoint signs yet."""
        signed = self.last_checkpoint.sequence if self.last_checkpoint else 0
        return sum(entry.sequence > signed for entry in self.view.entries)

    @property
    def exhibits_by_role(self) -> tuple[tuple[str, tuple[Sheet, ...]], ...]:
        """Every manifest by what it was admitted as, with what was read of it where it was examined."""
        read: dict[str, Identity] = {}
        for subject in self.suspects:
            examination = subject.model.examination
            for identity in (examination.reference, *examination.controls):
                read.setdefault(identity.name, identity)
            read.setdefault(subject.name, examination.suspect)
        of_all = set(self.declared_of_all)
        by: dict[str, list[Sheet]] = {role: [] for role in get_args(Role)}
        for name, manifest in self.view.manifests.items():
            own = tuple(sorted(set(manifest.attributes.items()) - of_all))
            by[manifest.role].append(Sheet(manifest, read.get(name), own))
        return tuple((role, tuple(sheets)) for role, sheets in by.items() if sheets)

    @property
    def obtained_by(self) -> tuple[str, ...]:
        """Whoever obtained exhibits."""
        return tuple(dict.fromkeys(manifest.obtained_by for manifest in self.view.manifests.values()))

    @property
    def declared_of_all(self) -> tuple[tuple[str, Setting], ...]:
        """Attributes that every exhibit which declares any declares alike."""
        declared = [
            set(manifest.attributes.items()) for manifest in self.view.manifests.values() if manifest.attributes
        ]
        return tuple(sorted(set.intersection(*declared))) if len(declared) > 1 else ()

    @property
    def limitations(self) -> tuple[str, ...]:
        """What the suspect's findings name as their limits, each once."""
        outcomes = self.examination.outcomes if self.examination else ()
        return tuple(dict.fromkeys(limit for outcome in outcomes for limit in getattr(outcome, "limitations", ())))

    @property
    def ranked(self) -> frozenset[str]:
        """Tests of which somebody has a line-up by score: their power is a place, not a share of what was compared."""
        return frozenset(
            outcome.test
            for subject in self.suspects
            for outcome in subject.outcomes.values()
            if isinstance(outcome, Finding) and _ranked(subject, outcome) is not None
        )

    @property
    def explaining(self) -> tuple[tuple[Subject, tuple[str, ...], int], ...]:
        """Foils that share the innocent explanation, with the tests that count as found on them, of how many."""
        found = []
        for subject in self.suspects:
            if subject.role == "foil" and subject.shares_explanation:
                told = [outcome for outcome in subject.outcomes.values() if isinstance(outcome, Finding)]
                told = [finding for finding in told if not _of_service(finding)]
                found.append((subject, tuple(finding.test for finding in told if _found(finding)), len(told)))
        return tuple(found)

    @property
    def explaining_not_taken(self) -> tuple[str, ...]:
        """Who of the pool shares the innocent explanation and does not stand in the line-up."""
        named = self.plan.line_up.shares_explanation if self.plan else ()
        examined = {subject.name for subject in self.suspects} | {subject.model.exhibit for subject in self.suspects}
        return tuple(name for name in named if name not in examined)

    @property
    def counts(self) -> dict[str, FoilCount]:
        """Foils that count as found, by test; none where finding them is right, because the question is of a service."""
        return {strip.test: strip.count for strip in self.strips if not strip.of_service}

    @property
    def shown(self) -> tuple[Validated, ...]:
        """Findings with what stands behind each; those by construction only where pairs of known history were scored, too."""
        return tuple(each for each in self.validation if each.finding.null is not Null.CONSTRUCTION or each.validation)

    @property
    def by_lots(self) -> tuple[str, ...]:
        """The other tests by construction with a finding."""
        return tuple(each.finding.test for each in self.validation if each not in self.shown)

    @property
    def errors(self) -> tuple[ErrorTable, ...]:
        """Errors by kind of relation, the tests of one proposition in one table."""
        by: dict[Proposition, list[Validated]] = {}
        for entry in self.validation:
            if entry.missed:
                by.setdefault(entry.finding.proposition, []).append(entry)
        return tuple(_error_table(entries) for entries in by.values())

    @property
    def notes(self) -> dict[str, int]:
        """Why planned tests have no finding, each reason once, with its number."""
        cells = (cell.outcome for test in self.tests for cell in test.cells)
        reasons = (outcome.reason for outcome in cells if outcome is not None and not isinstance(outcome, Finding))
        return {reason: n for n, reason in enumerate(dict.fromkeys(reasons), 1)}

    @property
    def actors(self) -> tuple[str, ...]:
        """Whoever made entries of the ledger."""
        return tuple(dict.fromkeys(entry.actor for entry in self.view.entries))

    @property
    def nulls(self) -> tuple[Null, ...]:
        return tuple(dict.fromkeys(s.conclusion.null for card in self.cards for s in card.statements))


def blanks(declarations: Declarations) -> tuple[str, ...]:
    """The required fields that are blank, in the order in which a report prints them."""
    return tuple(name for name in REQUIRED if not getattr(declarations, name).strip())


def case_contents(view: CaseView) -> CaseContents:
    """Rearrange a case for its readers. Raises UsageError where a declaration says what a report may not say.

    What the ledger says in free text cannot be changed any more: where its words are not permitted they are not printed,
    and the report says at which entry they stand.
    """
    wording.hold_to_wording(declared_texts(view.declarations))
    plan_digest, plan = next(reversed(view.plans.items()), ("", None))
    subjects = _subjects(view, plan, plan_digest)
    suspect = next((subject for subject in subjects if subject.role == "suspect"), None)
    examination = suspect.model.examination if suspect else None
    strips = _strips(subjects)
    return CaseContents(
        view=view,
        plan=plan,
        plan_digest=plan_digest,
        reference=plan.reference if plan else _of_role(view, "reference"),
        suspect=plan.suspect if plan else _of_role(view, "suspect"),
        suspects=subjects,
        cards=_cards(plan, examination),
        strips=strips,
        drawing=_drawing(view, plan, subjects),
        validation=_validation(examination),
        tests=_tests(plan, subjects),
        sealings=tuple(
            Sealing(entry, entry.body, view.plans.get(entry.body.plan))
            for entry in view.entries
            if isinstance(entry.body, Sealed)
        ),
        explorations=tuple(Exploration(model, _name_of(model)) for model in view.examined if model.exploratory),
        lanes=_lanes(view.entries),
        runs=_runs(view.entries),
        blanks=blanks(view.declarations),
        declarations=tuple(
            (name, getattr(view.declarations, name).strip(), name in REQUIRED)
            for name in Declarations.__struct_fields__
        ),
        findings=_findings(subjects),
    )


# ------------------------------------------------------------------------------------------------------------ free text


def declared_texts(declarations: Declarations) -> dict[str, str]:
    """The declarations by the names that errors give them."""
    return {f"declaration '{name}'": getattr(declarations, name) for name in Declarations.__struct_fields__}


def entry_texts(body: object) -> dict[str, str]:
    """The free text of a ledger entry, by field; to be held to the wording (`wording.hold_to_wording`) before it is written."""
    match body:
        case Opened():
            return {"title": body.title, "party": body.party}
        case Sealed():
            return {"reason": body.reason} | {f"change {n}": change for n, change in enumerate(body.changes, 1)}
        case Examined():
            return {"purpose": body.purpose}
        case Noted():
            return {"note": body.text}
        case Recovered():
            return {"reason": body.reason}
        case Closed():
            return {"remark": body.remark}
        case _:
            return {}


def plan_texts(plan: Plan) -> dict[str, str]:
    """The free text of a plan, by field; to be held to the wording before the plan is sealed."""
    alternatives = {f"alternative of '{p.proposition}'": p.alternative for p in plan.propositions}
    return {"remarks": plan.remarks, "prepared by": plan.prepared_by, **alternatives}


def refuse_while_blank(declarations: Declarations) -> None:
    """Raises UsageError naming every required field that is blank."""
    missing = blanks(declarations)
    if missing:
        raise UsageError(
            f"a report is not built while required declarations are blank: {', '.join(missing)}",
            advice="fill them in, or ask for a draft, which is marked as one on every page",
        )


# ------------------------------------------------------------------------------------------------------------- subjects


def _subjects(view: CaseView, plan: Plan | None, plan_digest: str) -> tuple[Subject, ...]:
    """Everybody who was examined in the suspect's place under the plan: suspect first, then by name. The last run counts."""
    planned = [model for model in view.examined if not model.exploratory]
    current = [model for model in planned if model.plan == plan_digest]
    latest = {model.subject: model for model in current or planned}
    subjects = [_subject(view, plan, model) for model in latest.values()]
    order = {"suspect": 0, "foil": 1, "unrevealed": 2}
    return tuple(sorted(subjects, key=lambda subject: (order[subject.role], subject.name)))


def _subject(view: CaseView, plan: Plan | None, model: ExaminedModel) -> Subject:
    name = _name_of(model)
    pool = plan.line_up.pool if plan else ()
    known: list[Manifest | PlannedExhibit] = [entry for entry in pool if entry.exhibit == model.exhibit]
    known += _sheets(view, model.exhibit)
    return Subject(
        name=name,
        code_name=model.subject,
        role=model.role,
        lineage=next((entry.lineage for entry in reversed(known) if entry.lineage), ""),
        shares_explanation=bool(plan and model.exhibit and model.exhibit in plan.line_up.shares_explanation),
        attributes={key: value for entry in known for key, value in entry.attributes.items()},
        model=model,
    )


def _sheets(view: CaseView, exhibit: str) -> list[Manifest]:
    """The manifests of an exhibit; one of several parts has one for each ('suspect', 'suspect/answers')."""
    named = (sheet for name, sheet in view.manifests.items() if name == exhibit or name.startswith(f"{exhibit}/"))
    return list(named) if exhibit else []


def _name_of(model: ExaminedModel) -> str:
    return model.exhibit or model.subject


def _of_role(view: CaseView, role: str) -> str:
    return next((name for name, manifest in view.manifests.items() if manifest.role == role), f"the {role}")


# -------------------------------------------------------------------------------------------------------------- line-up


def _strips(subjects: Sequence[Subject]) -> tuple[Strip, ...]:
    """One strip for each test of which anybody has a finding, in the order of the tests."""
    tests = dict.fromkeys(
        outcome.test
        for subject in subjects
        for outcome in subject.model.examination.outcomes
        if isinstance(outcome, Finding)
    )
    return tuple(_strip(test, subjects) for test in tests)


def _strip(test: str, subjects: Sequence[Subject]) -> Strip:
    outcomes = [subject.outcomes.get(test) for subject in subjects]
    lead = next(outcome for outcome in outcomes if isinstance(outcome, Finding))
    rows = [_strip_row(subject, outcome) for subject, outcome in zip(subjects, outcomes, strict=True)]
    if lead.null is not Null.POPULATION:
        rows += _control_rows(subjects[0], lead)
    return Strip(
        test=test,
        null=lead.null,
        chance=None if lead.null is Null.POPULATION else lead.chance,
        threshold_log10_p=lead.power.threshold_log10_p,
        resolution_log10_p=lead.resolution_log10_p,
        rows=tuple(rows),
        count=_foil_count(subjects, test),
        of_class=lead.characteristic is Characteristic.CLASS,
        of_service=_of_service(lead),
        ranking=_ranking(subjects, lead),
    )


def _ranking(subjects: Sequence[Subject], lead: Finding) -> Ranking | None:
    """The suspect's own line-up by score, where the examiner recorded one."""
    suspect = next((subject for subject in subjects if subject.role == "suspect"), None)
    return _ranked(suspect, suspect.outcomes[lead.test]) if suspect and lead.test in suspect.outcomes else None


def _ranked(subject: Subject, outcome: Outcome) -> Ranking | None:
    relations = subject.model.examination.relations.get(outcome.examiner)
    return ranking_of(relations.pair.content, outcome) if relations is not None else None


def _strip_row(subject: Subject, outcome: Outcome | None) -> StripRow:
    note = "shares the innocent explanation" if subject.shares_explanation else ""
    if isinstance(outcome, Finding):
        return StripRow(
            subject.name, subject.role, note, outcome.count, outcome.opportunities, outcome.log10_p, _found(outcome)
        )
    remark = wording.KIND_TITLES[kind(outcome)] if outcome is not None else wording.MISSING
    return StripRow(subject.name, subject.role, note, remark=remark)


def _control_rows(subject: Subject, lead: Finding) -> Iterator[StripRow]:
    """The controls as the first subject's examination recorded them; they were not examined in the suspect's place."""
    relations = subject.model.examination.relations.get(lead.examiner)
    for relation in relations.reference_by_control if relations else ():
        seen = tally(relation.content, lead.test)
        if seen is not None:
            yield StripRow(relation.second, "control", "", seen.count, seen.opportunities)


def _found(finding: Finding) -> bool:
    return finding.log10_p <= finding.power.threshold_log10_p


def _of_service(finding: Finding) -> bool:
    return finding.proposition is Proposition.SERVICE


def _foil_count(subjects: Sequence[Subject], test: str) -> FoilCount:
    foils = [(subject, subject.outcomes.get(test)) for subject in subjects if subject.role == "foil"]
    told = [(subject, outcome) for subject, outcome in foils if isinstance(outcome, Finding)]
    found = [subject for subject, outcome in told if _found(outcome)]
    lineages = {name_key(subject.lineage) if subject.lineage else "" for subject, _ in told}
    hit = {name_key(subject.lineage) if subject.lineage else "" for subject in found}
    return FoilCount(
        foils=len(told),
        found=len(found),
        lineages=len(lineages),
        lineages_found=len(hit),
        upper_limit=upper_limit(len(hit), len(lineages)),
        without_finding=len(foils) - len(told),
        found_names=tuple(subject.name for subject in found),
    )


def _drawing(view: CaseView, plan: Plan | None, subjects: Sequence[Subject]) -> Drawing | None:
    if plan is None:
        return None
    foils = view.drawn.foils if view.drawn else tuple(s.name for s in subjects if s.role == "foil")
    pool = plan.line_up.pool
    not_taken = tuple(entry for entry in pool if entry.exhibit not in foils)
    declared = [*(subject.attributes for subject in subjects), *(entry.attributes for entry in not_taken)]
    values = {key: [of.get(key) for of in declared] for key in plan.line_up.matched_on}
    alike = {key: all_of[0] for key, all_of in values.items() if all_of and all(each == all_of[0] for each in all_of)}
    return Drawing(
        plan=plan.line_up,
        drawn=view.drawn,
        not_taken=not_taken,
        alike=tuple((key, value) for key, value in alike.items() if value is not None),
        columns=tuple(key for key in plan.line_up.matched_on if alike.get(key) is None),
    )


def _error_table(entries: Sequence[Validated]) -> ErrorTable:
    counted = [{error.relation: error for error in entry.missed} for entry in entries]
    relations = dict.fromkeys(relation for errors in counted for relation in errors)
    return ErrorTable(
        tests=tuple(entry.finding.test for entry in entries),
        rows=tuple((relation, tuple(errors.get(relation) for errors in counted)) for relation in relations),
    )


def _findings(subjects: Sequence[Subject]) -> tuple[FindingsOfTest, ...]:
    """Every finding by its test, in the order in which the subjects and their outcomes stand."""
    by: dict[str, list[tuple[Subject, Finding]]] = {}
    for subject in subjects:
        for outcome in subject.model.examination.outcomes:
            if isinstance(outcome, Finding):
                by.setdefault(outcome.test, []).append((subject, outcome))
    return tuple(
        FindingsOfTest(*first, others=tuple(OtherFinding(s, o, _differing(first[1], o)) for s, o in others))
        for first, *others in by.values()
    )


def _differing(first: Finding, other: Finding) -> frozenset[str]:
    return frozenset(field for field in ALIKE_IN_A_TEST if getattr(first, field) != getattr(other, field))


# ------------------------------------------------------------------------------------------------------ statement cards


def _cards(plan: Plan | None, examination: Examination | None) -> tuple[Card, ...]:
    """The planned propositions in their order, then what was concluded without a plan."""
    told = {section.proposition: section for section in contents(examination).propositions} if examination else {}
    planned: dict[str, list[PlannedProposition]] = {}
    for entry in plan.propositions if plan else ():
        planned.setdefault(entry.proposition, []).append(entry)
    known = [Proposition(word) for word in planned if word in set(Proposition)]
    others = [proposition for proposition in told if proposition.value not in planned and told[proposition].findings]
    return tuple(
        _card(proposition, tuple(planned.get(proposition.value, ())), told.get(proposition))
        for proposition in (*known, *others)
    )


def _card(
    proposition: Proposition, planned: tuple[PlannedProposition, ...], section: PropositionSection | None
) -> Card:
    outcomes = section.outcomes if section else ()
    alternatives = {entry.alternative for entry in planned}
    return Card(
        proposition=proposition,
        planned=planned,
        statements=tuple(
            _statement(conclusion, outcomes, conclusion.alternative in alternatives)
            for conclusion in (section.conclusions if section else ())
            if conclusion.merged_ids
        ),
        unknown=tuple(outcome for outcome in outcomes if outcome.kind != "finding"),
    )


def _statement(conclusion: Conclusion, outcomes: Sequence[OutcomeSection], planned: bool) -> Statement:
    principal = next((section for section in outcomes if section.outcome.id == conclusion.merged_ids[-1]), None)
    return Statement(
        conclusion=conclusion,
        relation=principal.outcome.relation_class if principal else "",
        planned=planned,
        principal=principal,
    )


def _validation(examination: Examination | None) -> tuple[Validated, ...]:
    """What stands behind each finding on the suspect; whoever carries a likelihood ratio is shown by it."""
    if examination is None:
        return ()
    ratios = {
        conclusion.merged_ids[-1]: conclusion.log10_likelihood_ratio
        for conclusion in examination.conclusions
        if conclusion.merged_ids
    }
    findings = (outcome for outcome in examination.outcomes if isinstance(outcome, Finding))
    return tuple(validated(finding, ratios.get(finding.id)) for finding in findings)


# ------------------------------------------------------------------------------------------------------ planned and done


def _tests(plan: Plan | None, subjects: Sequence[Subject]) -> tuple[PlannedTest, ...]:
    """The planned tests, then those that planned examiners ran without a weight."""
    weights = {test: weight for p in (plan.propositions if plan else ()) for test, weight in p.weights.items()}
    run = (outcome.test for subject in subjects for outcome in subject.model.examination.outcomes)
    return tuple(
        PlannedTest(test=test, weight=weights.get(test, 0.0), cells=tuple(_cell(subject, test) for subject in subjects))
        for test in dict.fromkeys((*weights, *run))
    )


def _cell(subject: Subject, test: str) -> Cell:
    outcome = subject.outcomes.get(test)
    return Cell(subject.name, subject.role, "missing" if outcome is None else kind(outcome), outcome)


# -------------------------------------------------------------------------------------------------------------- custody


def _runs(entries: Sequence[Entry]) -> tuple[Run, ...]:
    if len(entries) <= MOST_ENTRIES:
        return tuple(Run((entry,)) for entry in entries)
    return tuple(Run(tuple(run)) for _, run in groupby(entries, key=lambda entry: (type(entry.body), entry.actor)))


_LANES: dict[str, tuple[type, ...]] = {
    "opened, closed": (Opened, Closed),
    "plan sealed": (Sealed,),
    "exhibit admitted": (Admitted,),
    "foils drawn": (Drawn,),
    "observed, asked": (Observed, Asked),
    "examined": (Examined,),
    "revealed": (Revealed,),
    "reported": (Reported,),
    "noted, recovered": (Noted, Recovered),
}


def _lanes(entries: Sequence[Entry]) -> tuple[Lane, ...]:
    lanes = (
        Lane(name, tuple(entry for entry in entries if isinstance(entry.body, kinds))) for name, kinds in _LANES.items()
    )
    return tuple(lane for lane in lanes if lane.entries)


def digests_named(entries: Sequence[Entry]) -> tuple[tuple[tuple[str, str, int], ...], ...]:
    """For each entry of the ledger the digests that it names: field, digest, and the earlier entry that named it (0: none did).

    The plan that was sealed last is left out: every later entry that names a plan names this one, unless it is told otherwise.
    """
    first: dict[str, int] = {}
    told, in_force = [], ""
    for entry in entries:
        found = msgspec.to_builtins(entry.body).items()
        named = sorted((field, value) for field, value in found if isinstance(value, str) and _DIGEST.fullmatch(value))
        own = [(field, value) for field, value in named if (field, value) != ("plan", in_force)]
        told.append(tuple((field, value, first.get(value, 0)) for field, value in own))
        for _, value in named:
            first.setdefault(value, entry.sequence)
        in_force = entry.body.plan if isinstance(entry.body, Sealed) else in_force
    return tuple(told)


_DIGEST = re.compile("[0-9a-f]{64}")


def finding_digest(finding: Finding) -> str:
    """SHA-256 of a finding's canonical bytes: what anybody who computes it again must arrive at."""
    return digest(finding)
