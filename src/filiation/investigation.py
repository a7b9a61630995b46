"""The whole examination, top to bottom. Start reading here.

    1. Open the exhibits.                              sources
    2. Observe each model, once per examiner.          examiners, `observe`
    3. Relate the suspect, and the controls, to the reference.   examiners, `relate`
    4. Judge from the recorded relations alone.        examiners, `judge`
    5. Conclude per proposition, alternative and kind of null.

Steps 4 and 5 need no model: `judge_again` repeats them from a stored record, on any machine, to the same bytes. A case takes
the same steps one by one and records what each of them left (`filiation.proceedings`).
"""

from __future__ import annotations

import platform
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

from filiation import __version__
from filiation.conclusions import conclude
from filiation.errors import RecordError, UsageError
from filiation.evidence import (
    SCHEMA_VERSION,
    Absent,
    Circumstances,
    Examination,
    Identity,
    NotExamined,
    Observation,
    Outcome,
    Relation,
    Relations,
    Software,
)
from filiation.examiners.catalogue import calibration, chosen
from filiation.examiners.examiner import Examiner, Progress, Subject, silent
from filiation.sources.joined import JoinedSource
from filiation.sources.marks import open_marks
from filiation.sources.open import open_source
from filiation.sources.source import Source

HASHING = {"auto": None, "all": True, "read": False}
"""What the identities cover: every byte up to a size limit, every byte, or what the examiners read."""

Parameters = Mapping[str, Mapping[str, bool | int | float | str]]


@dataclass(frozen=True)
class Look:
    """What one examiner recorded for one examination: of each model that it could observe, and of the models together."""

    examiner: Examiner
    observations: tuple[Observation, ...]
    related: Relations | Absent


def compare(
    reference: str | Path | Source,
    suspect: str | Path | Source,
    controls: Sequence[str | Path | Source] = (),
    *,
    only: Sequence[str] = (),
    seed: int = 0,
    lineages: Mapping[str, str] | None = None,
    parameters: Parameters | None = None,
    marks: Sequence[str | Path] = (),
    hashing: str = "auto",
    progress: Progress = silent,
) -> Examination:
    """Examine what the suspect has taken from the reference, as far as the exhibits allow.

    `controls` are models of known, unrelated history; `lineages` declares lineage ids by exhibit name or location;
    `only` names examiners; `parameters` overrides an examiner's PARAMETERS; `marks` are folders with what the reference's owner
    planted or drew by lot, opened; `hashing` is a key of HASHING. Raises FiliationError.
    """
    started = time.monotonic()
    if hashing not in HASHING:
        raise UsageError(f"hashing cannot be {hashing!r}", advice=f"give one of {', '.join(HASHING)}")
    exhibits = _open([reference, suspect, *_each_model(reference, suspect, controls)], lineages or {})
    _refuse_marks(exhibits[1:])
    opened = [open_marks(each) for each in marks]
    sources = [with_marks(exhibits[0], opened), *exhibits[1:]]
    examiners = chosen(tuple(only))
    check_parameters(parameters or {})
    looks = [_look(examiner, sources, parameters or {}, seed, progress) for examiner in examiners]
    identities = [source.identity(HASHING[hashing], progress) for source in sources]
    examination = examined(looks, identities, seed=seed)
    circumstances = Circumstances(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        elapsed_seconds=round(time.monotonic() - started, 1),
        locations={source.name: source.location for source in exhibits}
        | {f"{exhibits[0].name}/marks {number}": each.location for number, each in enumerate(opened, start=1)},
    )
    return msgspec.structs.replace(examination, circumstances=circumstances)


def _refuse_marks(others: Sequence[Source]) -> None:
    for source in others:
        if source.format == "marks":
            raise UsageError(
                "opened marks are the owner's, and stand for the reference alone",
                exhibit=source.location,
                advice="give them in the place of REFERENCE, or beside it with --marks",
            )


def with_marks(reference: Source, marks: Sequence[Source]) -> Source:
    """The reference together with its owner's opened marks, under its own name; itself where there are none."""
    if not marks:
        return reference
    return JoinedSource([reference, *marks], name=reference.name, lineage_id=reference.lineage_id)


def _look(examiner: Examiner, sources: Sequence[Source], parameters: Parameters, seed: int, progress: Progress) -> Look:
    """Observe every exhibit and relate them."""
    seen = [observe(examiner, source, progress) for source in sources]
    return relate(examiner, subjects(sources, seen, parameters.get(examiner.NAME, {})), seed, progress)


def examined(
    looks: Sequence[Look], identities: Sequence[Identity], *, seed: int, weights: Mapping[str, float] | None = None
) -> Examination:
    """Judge and conclude from what was recorded; `identities` are those of reference, suspect and controls.

    `weights`: a plan's, see `conclusions.conclude`. No model is looked at.
    """
    reference, suspect, *controls = identities
    examiners = [look.examiner for look in looks]
    relations = {look.examiner.NAME: look.related for look in looks if isinstance(look.related, Relations)}
    outcomes: list[Outcome] = []
    for look in looks:
        if isinstance(look.related, Absent):
            outcomes += not_examined(look.examiner, reference.name, suspect.name, look.related.reason)
    outcomes += judge(relations, tuple(controls), examiners)
    in_order = _in_order(outcomes, examiners)
    return Examination(
        schema_version=SCHEMA_VERSION,
        reference=reference,
        suspect=suspect,
        controls=tuple(controls),
        software=software(),
        seed=seed,
        observations=tuple(observation for look in looks for observation in look.observations),
        relations=relations,
        outcomes=in_order,
        conclusions=conclude(in_order, weights),
    )


def judge_again(examination: Examination, weights: Mapping[str, float] | None = None) -> Examination:
    """Outcomes and conclusions anew from the recorded relations: no model, no key, no network.

    What could not be examined stays as recorded. The digest is the same unless the record or the register was changed.
    `weights`: those of the plan under which it was examined. Raises RecordError where an examiner of the record is not
    installed.
    """
    examiners = chosen(())
    unknown = set(examination.relations) - {examiner.NAME for examiner in examiners}
    if unknown:
        raise RecordError(
            f"the record rests on examiners that are not installed: {', '.join(sorted(unknown))}",
            advice="install the package that adds them: without it their outcomes cannot be judged again",
        )
    kept = [
        outcome
        for outcome in examination.outcomes
        if isinstance(outcome, NotExamined) and outcome.examiner not in examination.relations
    ]
    outcomes = _in_order([*kept, *judge(examination.relations, examination.controls, examiners)], examiners)
    return msgspec.structs.replace(examination, outcomes=outcomes, conclusions=conclude(outcomes, weights))


@contextmanager
def foreign_records(name: str, made_by: Software) -> Iterator[None]:
    """Relations are free-form JSON that may come from anybody: an examiner that trips over what it never wrote raises RecordError."""
    try:
        yield
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise RecordError(
            f"its relations cannot be judged: {type(error).__name__}: {error}",
            exhibit=name,
            advice=f"they are not what {made_by.name} {made_by.version} recorded, or were altered since",
        ) from error


def _open(exhibits: Sequence[str | Path | Source], lineages: Mapping[str, str]) -> list[Source]:
    """Open every exhibit; two exhibits of one name are told apart by a number, because records speak of names."""
    sources: list[Source] = []
    used = set(lineages)
    for exhibit in exhibits:
        if not isinstance(exhibit, str | Path):
            sources.append(exhibit)
            continue
        opened = open_source(exhibit)
        taken = [source.name for source in sources]
        number = 2
        name = opened.name
        while name in taken:
            name, number = f"{opened.name} ({number})", number + 1
        lineage = lineages.get(str(exhibit)) or lineages.get(name) or ""
        used -= {str(exhibit), name}
        sources.append(open_source(exhibit, name=name, lineage_id=lineage))
    if used:
        raise UsageError(
            f"a lineage was declared for {', '.join(sorted(used))}, which is no exhibit",
            advice=f"the exhibits are {', '.join(source.name for source in sources)}",
        )
    return sources


def _each_model(
    reference: str | Path | Source, suspect: str | Path | Source, controls: Sequence[str | Path | Source]
) -> list[str | Path | Source]:
    """The controls, where `transcripts:FILE` without a model stands for every model in it that is not already an exhibit."""
    from filiation.sources.transcripts import PREFIX, models_of, split_location

    taken = {_place(exhibit) for exhibit in (reference, suspect, *controls)}
    each: list[str | Path | Source] = []
    for control in controls:
        file, model = split_location(str(control)) if str(control).startswith(PREFIX) else (None, "")
        if file is None or model:
            each.append(control)
            continue
        named = [f"{PREFIX}{file}#{name}" for name in models_of(file)]
        each += [location for location in named if _place(location) not in taken]
    return each


def _place(exhibit: str | Path | Source) -> object:
    """Which model of which file an exhibit is, however its path is spelt; of other exhibits, what was given."""
    from filiation.sources.transcripts import PREFIX, models_of, split_location

    location = exhibit if isinstance(exhibit, str | Path) else exhibit.location
    if not str(location).startswith(PREFIX):
        return str(location)
    file, model = split_location(str(location))
    if not model and len(models_of(file)) == 1:
        model = models_of(file)[0]
    return file.resolve(), model


def check_parameters(parameters: Parameters) -> None:
    """Raises UsageError: a misspelt parameter, or a value of another kind, would leave a plan unfulfilled without a word."""
    known = {examiner.NAME: getattr(examiner, "PARAMETERS", {}) for examiner in chosen(())}
    wrong = [
        f"{name}.{parameter}"
        for name, settings in parameters.items()
        for parameter in settings or ("",)
        if parameter not in known.get(name, ())
    ]
    if wrong:
        raise UsageError(
            f"there is no parameter {', '.join(wrong)}",
            advice=_parameters_there_are(known, {each.partition(".")[0] for each in wrong}),
        )
    for name, settings in parameters.items():
        for parameter, value in settings.items():
            _check_value(f"{name}.{parameter}", value, known[name][parameter])


def _parameters_there_are(known: Mapping[str, Mapping[str, object]], named: Collection[str]) -> str:
    """Those of the examiners that were named; where one of these is none, the examiners that have parameters, nearest name first."""
    from difflib import get_close_matches

    unknown = sorted(set(named) - set(known))
    if unknown:
        near = [close for name in unknown for close in get_close_matches(name, known, n=1)]
        meant = f"did you mean {', '.join(near)}? " if near else ""
        return f"{meant}Examiners with parameters: {', '.join(name for name, settings in known.items() if settings)}"
    return "; ".join(f"{name} has {', '.join(known[name]) or 'none'}" for name in sorted(named))


_LARGEST_INTEGER = 2**53 - 1  # the largest that every reader of a record's JSON holds exactly


def _check_value(name: str, value: bool | int | float | str, usual: bool | int | float | str) -> None:
    """Raises UsageError unless a value is of the kind of the usual one, finite, of a size that records hold, and not below 0 where
    the usual one is not."""
    automatic = usual == "auto" and isinstance(value, bool)
    same = automatic or type(value) is type(usual) or (isinstance(usual, float) and type(value) is int)
    beyond = isinstance(value, int | float) and not abs(value) <= _LARGEST_INTEGER
    below = not isinstance(value, str) and not isinstance(usual, str) and value < 0 <= usual
    if beyond or below or not same:
        told = "a number that no record holds" if beyond else repr(value)[:80]
        raise UsageError(f"the parameter {name} cannot be {told}", advice=f"its usual value is {usual!r}")


def observe(examiner: Examiner, source: Source, progress: Progress = silent) -> Observation | Absent:
    """What one examiner records of one model; `Absent` says of which exhibit, and why, there is nothing."""
    progress(f"{examiner.NAME}: observing {source.name}", 0.0)
    seen = examiner.observe(source, progress)
    return Absent(reason=f"{source.name}: {seen.reason}") if isinstance(seen, Absent) else seen


def subjects(
    sources: Sequence[Source], seen: Sequence[Observation | Absent], settings: Mapping[str, bool | int | float | str]
) -> list[Subject | Absent]:
    """Each source with what was recorded of it, now or long ago, and the parameters of the plan."""
    return [
        each if isinstance(each, Absent) else Subject(source=source, observation=each, parameters=dict(settings))
        for source, each in zip(sources, seen, strict=True)
    ]


def relate(examiner: Examiner, subjects: Sequence[Subject | Absent], seed: int, progress: Progress = silent) -> Look:
    """Relate reference, suspect and controls, in this order, from what was recorded of each."""
    return Look(
        examiner=examiner,
        observations=tuple(subject.observation for subject in subjects if isinstance(subject, Subject)),
        related=_relations(examiner, subjects, seed, progress),
    )


def _relations(
    examiner: Examiner, subjects: Sequence[Subject | Absent], seed: int, progress: Progress
) -> Relations | Absent:
    """Reference by suspect, reference by each control, each control by the suspect; a control that cannot is left out."""
    reference, suspect, *controls = subjects
    for subject in (reference, suspect):
        if isinstance(subject, Absent):
            return subject
    assert isinstance(reference, Subject)
    assert isinstance(suspect, Subject)

    def related(first: Subject, second: Subject) -> Relation | Absent:
        names = f"{first.observation.exhibit} | {second.observation.exhibit}"
        return examiner.relate(first, second, seed, lambda what, share: progress(f"{names}: {what}", share))

    able = [control for control in controls if isinstance(control, Subject)]
    line_up = getattr(examiner, "line_up", None)
    if line_up is not None:
        together = line_up(
            reference, suspect, able, seed, lambda what, share: progress(f"{examiner.NAME}: {what}", share)
        )
        return together if isinstance(together, Absent) else Relations(pair=together)
    pair = related(reference, suspect)
    if isinstance(pair, Absent):
        return pair
    by_reference = [related(reference, control) for control in able]
    by_suspect = [related(control, suspect) for control in able]
    return Relations(
        pair=pair,
        reference_by_control=tuple(each for each in by_reference if isinstance(each, Relation)),
        control_by_suspect=tuple(each for each in by_suspect if isinstance(each, Relation)),
    )


def judge(
    relations: Mapping[str, Relations], controls: tuple[Identity, ...], examiners: Sequence[Examiner]
) -> list[Outcome]:
    """Every outcome that the recorded relations give, by the examiners' registers of nulls: pure."""
    return [
        outcome
        for examiner in examiners
        if examiner.NAME in relations
        for outcome in examiner.judge(relations[examiner.NAME], controls, calibration(examiner))
    ]


def not_examined(examiner: Examiner, reference: str, suspect: str, reason: str) -> tuple[NotExamined, ...]:
    """One outcome per test of an examiner that had nothing to work with."""
    return tuple(
        NotExamined(
            id=f"{test.id}:{reference}|{suspect}",
            examiner=examiner.NAME,
            examiner_version=examiner.VERSION,
            test=test.id,
            proposition=test.proposition,
            alternative=test.alternative,
            relation_class=test.relation_class,
            characteristic=test.characteristic,
            null=test.null,
            reason=reason,
        )
        for test in examiner.TESTS
    )


def _in_order(outcomes: Sequence[Outcome], examiners: Sequence[Examiner]) -> tuple[Outcome, ...]:
    """In the order in which the examiners declare their tests, so that equal records have equal bytes."""
    place = {test.id: at for at, test in enumerate(test for examiner in examiners for test in examiner.TESTS)}
    return tuple(sorted(outcomes, key=lambda outcome: (place.get(outcome.test, len(place)), outcome.id)))


def software() -> Software:
    """Versions that can move a figure."""
    return Software(
        name="filiation",
        version=__version__,
        python=platform.python_version(),
        libraries={name: metadata.version(name) for name in ("numpy", "scipy", "gguf", "ml_dtypes")},
    )
