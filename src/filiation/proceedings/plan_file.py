"""A plan as a person writes it: TOML, read strictly. Whatever is misspelt is an error that names what there is.

What is left out gets the default that `filled_in` writes into the plan, so that nothing is decided later: the tests of the
chosen examiners with equal weights within each kind of null, their versions, and the digests of their registers of nulls.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from filiation.case.records import (
    Announcement,
    Asking,
    LineUpPlan,
    Plan,
    PlannedExhibit,
    PlannedProposition,
    Probes,
    Setting,
    Stopping,
    Tolerance,
)
from filiation.errors import SourceNotFound, UsageError
from filiation.evidence import Null, Record, Test
from filiation.examiners.catalogue import calibration, chosen
from filiation.examiners.examiner import Examiner
from filiation.investigation import check_parameters


class PropositionWanted(Record, frozen=True, kw_only=True):
    """A proposition in the file; without an alternative all that the tests have, without weights equal ones."""

    proposition: str
    alternative: str = ""
    weights: dict[str, float] = msgspec.field(default_factory=dict)


class PlanFile(Record, frozen=True, kw_only=True):
    """The tables and keys that a plan file may have."""

    reference: str
    suspect: str
    examiners: tuple[str, ...]
    prepared_by: str = ""
    controls: tuple[PlannedExhibit, ...] = ()
    propositions: tuple[PropositionWanted, ...] = ()
    announcement: Announcement = Announcement(basis="claimant")
    parameters: dict[str, dict[str, Setting]] = msgspec.field(default_factory=dict)
    line_up: LineUpPlan = LineUpPlan()
    stopping: Stopping = Stopping()
    asking: Asking = Asking()
    probes: tuple[Probes, ...] = ()
    tolerance: Tolerance = Tolerance()
    remarks: str = ""


TABLES: dict[str, type[Record]] = {
    "": PlanFile,
    "controls": PlannedExhibit,
    "propositions": PropositionWanted,
    "announcement": Announcement,
    "line_up": LineUpPlan,
    "line_up.pool": PlannedExhibit,
    "stopping": Stopping,
    "asking": Asking,
    "probes": Probes,
    "tolerance": Tolerance,
}
"""The tables of the file whose keys are fixed."""


def read_plan(path: Path) -> PlanFile:
    """The plan file at `path`. Raises SourceNotFound, or UsageError where it is no plan."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SourceNotFound(
            f"the plan cannot be read: {why}", exhibit=str(path), advice="filiation case plan --example prints one"
        ) from error
    return plan_from(text, str(path))


def plan_from(text: str, name: str = "plan") -> PlanFile:
    """The plan in a TOML text. Raises UsageError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"this is not TOML: {error}", exhibit=name, advice="see filiation case plan --example"
        ) from error
    return plan_from_tables(tables, name)


def plan_from_tables(tables: Mapping[str, Any], name: str = "plan") -> PlanFile:
    """The plan in tables as TOML gives them. Raises UsageError, naming what there is where something is misspelt."""
    _check_keys(tables, "", name)
    try:
        return msgspec.convert(tables, PlanFile)
    except msgspec.ValidationError as error:
        raise _ill_typed(str(error), name) from error


def _ill_typed(told: str, name: str) -> UsageError:
    """A value of the wrong kind, with its place as the file has it ('announcement.basis'), and the choices where they are few."""
    what, _, path = told.partition(" - at `$.")
    place = re.sub(r"\[[^]]*\]", "", path.rstrip("`"))
    table, _, key = place.rpartition(".")
    kind = get_type_hints(TABLES[table]).get(key) if table in TABLES else None
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    told_choices = f"it is one of {', '.join(choices)}; " if choices else ""
    return UsageError(
        f"this is not a plan: {f'{place}: ' if place else ''}{what}",
        exhibit=name,
        advice=f"{told_choices}see filiation case plan --example",
    )


def _check_keys(table: Mapping[str, Any], place: str, name: str) -> None:
    """Refuse a key that no plan has, naming those that it has."""
    known = TABLES[place].__struct_fields__
    where = f"in [{place}] " if place else ""
    for key, value in table.items():
        if key not in known:
            raise unknown(f"{where}there is no key", [key], known, exhibit=name)
        inner = f"{place}.{key}" if place else key
        if inner in TABLES:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, Mapping):
                    _check_keys(each, inner, name)


def unknown(what: str, names: Iterable[str], known: Iterable[str], *, exhibit: str = "") -> UsageError:
    """The error for names that do not exist, with those that come closest, or all there are."""
    names, known = sorted(names), list(known)
    near = [close for name in names for close in difflib.get_close_matches(name, known, n=1)]
    meant = f"did you mean {', '.join(near)}? " if near else ""
    return UsageError(f"{what} {', '.join(names)}", exhibit=exhibit, advice=f"{meant}Known are {', '.join(known)}")


# --------------------------------------------------------------------------------------------------------- filled in


def filled_in(wanted: PlanFile, *, case: str, prepared_by: str, announcement: Announcement) -> Plan:
    """The plan with every default written out. Raises UsageError on examiners, tests, parameters or names that cannot be."""
    examiners = _examiners(wanted.examiners)
    _check_parameters(wanted.parameters, examiners)
    _check_exhibits(wanted)
    _check_stopping(wanted)
    return Plan(
        case=case,
        prepared_by=wanted.prepared_by or prepared_by,
        reference=wanted.reference,
        suspect=wanted.suspect,
        controls=wanted.controls,
        propositions=_propositions(wanted.propositions, examiners),
        examiners=tuple(examiner.NAME for examiner in examiners),
        examiner_versions={examiner.NAME: examiner.VERSION for examiner in examiners},
        calibration_digests={examiner.NAME: calibration(examiner).digest for examiner in examiners},
        announcement=announcement,
        parameters={
            examiner.NAME: {**getattr(examiner, "PARAMETERS", {}), **wanted.parameters.get(examiner.NAME, {})}
            for examiner in examiners
            if getattr(examiner, "PARAMETERS", {})
        },
        line_up=wanted.line_up,
        stopping=wanted.stopping,
        asking=wanted.asking,
        probes=wanted.probes,
        tolerance=wanted.tolerance,
        remarks=wanted.remarks,
    )


def _examiners(names: Sequence[str]) -> tuple[Examiner, ...]:
    if not names:
        raise UsageError(
            "the plan names no examiner", advice=f"there are {', '.join(each.NAME for each in chosen(()))}"
        )
    known = [examiner.NAME for examiner in chosen(())]
    strange = set(names) - set(known)
    if strange:
        raise unknown("there is no examiner", strange, known)
    return chosen(tuple(names))


def _check_parameters(parameters: Mapping[str, Mapping[str, Setting]], examiners: Sequence[Examiner]) -> None:
    strange = set(parameters) - {examiner.NAME for examiner in examiners}
    if strange:
        raise unknown("there are parameters for what the plan does not run:", strange, [e.NAME for e in examiners])
    check_parameters(parameters)


def _check_exhibits(wanted: PlanFile) -> None:
    """Nobody stands in two places, and parts of exhibits ('NAME/PART') stand nowhere by themselves."""
    places = {
        "reference": [wanted.reference],
        "suspect": [wanted.suspect],
        "control": [control.exhibit for control in wanted.controls],
        "candidate": [candidate.exhibit for candidate in wanted.line_up.pool],
    }
    seen: dict[str, str] = {}
    for place, names in places.items():
        for name in names:
            if not name or "/" in name:
                raise UsageError(
                    f"{name!r} cannot be a {place}", advice="give the name of a whole exhibit, as admitted"
                )
            if name in seen:
                raise UsageError(f"{name} is both {seen[name]} and {place}", advice="name every exhibit in one place")
            seen[name] = place


def _check_stopping(wanted: PlanFile) -> None:
    """A rank of path maxima needs the looks, and answers that were recorded in rounds."""
    if wanted.stopping.rule == "fixed":
        return
    if wanted.probes or not wanted.parameters.get("text_kinship", {}).get("looks"):
        raise UsageError(
            "the stopping rule 'path maximum' stands for answers that were recorded in rounds, and for an examiner that is "
            "told at how many prompts they were looked at",
            advice="record them with 'filiation probe', admit the transcripts, leave out [[probes]], and give "
            "[parameters.text_kinship] looks, for instance '25,50,100'",
        )


def _propositions(wanted: Sequence[PropositionWanted], examiners: Sequence[Examiner]) -> tuple[PlannedProposition, ...]:
    """Those of the file, or of all tests where it names none, each alternative by itself, with weights that add up."""
    tests = [test for examiner in examiners for test in examiner.TESTS]
    subjects = list(dict.fromkeys(str(test.proposition) for test in tests))
    asked = wanted or [PropositionWanted(proposition=name) for name in subjects]
    strange = {each.proposition for each in asked} - set(subjects)
    if strange:
        raise unknown("none of the plan's examiners speaks to", strange, subjects)
    found = [planned for each in asked for planned in _alternatives(each, tests)]
    pairs = [(each.proposition, each.alternative) for each in found]
    if len(set(pairs)) < len(pairs):
        raise UsageError("a proposition stands twice with the same alternative", advice="give every pair once")
    return tuple(found)


def _alternatives(wanted: PropositionWanted, tests: Sequence[Test]) -> list[PlannedProposition]:
    about = [test for test in tests if test.proposition == wanted.proposition]
    alternatives = list(dict.fromkeys(test.alternative for test in about))
    if wanted.alternative and wanted.alternative not in alternatives:
        raise unknown(f"no test of {wanted.proposition} has the alternative", [wanted.alternative], alternatives)
    if not wanted.alternative and wanted.weights:
        alternatives = _alternatives_of(wanted, about)
    return [
        PlannedProposition(
            proposition=wanted.proposition,
            alternative=alternative,
            weights=_weights(wanted, [test for test in about if test.alternative == alternative]),
        )
        for alternative in ([wanted.alternative] if wanted.alternative else alternatives)
    ]


def _alternatives_of(wanted: PropositionWanted, about: Sequence[Test]) -> list[str]:
    """The alternative that the weighted tests have; there must be one."""
    _check_tests(wanted, about)
    found = list(dict.fromkeys(test.alternative for test in about if test.id in wanted.weights))
    if len(found) > 1:
        raise UsageError(
            f"the weights of {wanted.proposition} go to tests with different alternatives",
            advice=f"give one [[propositions]] for each: {'; '.join(found)}",
        )
    return found


def _check_tests(wanted: PropositionWanted, tests: Sequence[Test]) -> None:
    strange = set(wanted.weights) - {test.id for test in tests}
    if strange:
        raise unknown(
            f"for {wanted.proposition} the plan's examiners have no test", strange, [test.id for test in tests]
        )


def _weights(wanted: PropositionWanted, tests: Sequence[Test]) -> dict[str, float]:
    """The weights given, or equal ones within each kind of null. Raises UsageError where they do not add up to 1."""
    _check_tests(wanted, tests)
    by_null: dict[Null, list[str]] = {}
    for test in tests:
        by_null.setdefault(test.null, []).append(test.id)
    if not wanted.weights:
        return {test: 1.0 / len(group) for group in by_null.values() for test in group}
    for null, group in by_null.items():
        given = [float(wanted.weights[test]) for test in group if test in wanted.weights]
        if min(given, default=0.0) < 0.0 or (given and abs(sum(given) - 1.0) > 1e-9):
            raise UsageError(
                f"the weights of {wanted.proposition} by {null} add up to {sum(given):g}, not to 1",
                advice=f"tests of this kind of null: {', '.join(group)}",
            )
    return {test.id: float(wanted.weights[test.id]) for test in tests if test.id in wanted.weights}


def weights_of(plan: Plan) -> dict[str, float]:
    """Test id to weight, over all propositions of a plan."""
    return {test: weight for planned in plan.propositions for test, weight in planned.weights.items()}


def usual_weights(examiners: Sequence[Examiner]) -> dict[str, float]:
    """Test id to weight where a plan says nothing: equal ones within each kind of null."""
    return {test: weight for planned in _propositions((), examiners) for test, weight in planned.weights.items()}


def _toml_list(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def example() -> str:
    """A commented plan to start from: what there is to choose is taken from the examiners themselves."""
    every = chosen(())
    text = (Path(__file__).parent / "example_plan.toml").read_text("utf-8")
    return text.replace("@EXAMINERS@", _toml_list(examiner.NAME for examiner in every))
