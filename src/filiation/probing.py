"""Asking in rounds, top to bottom: `filiation probe`.

    1. Plan: the prompts in an order that the seed gives, the looks, who takes part. Fixed before anybody is asked, and kept.
    2. Ask the reference and the controls every planned prompt: their paths must be whole before a running rank means anything.
    3. Ask the suspect one round; examine; stop when the design decides, the budget is spent, or all prompts are asked.
    4. Leave the raw recording, the transcript, the record, and what was decided and why.

Every request is recorded before it is sent and every response before it is read, so a run that was stopped goes on where it was
and pays nothing twice. What decides, and why stopping early is allowed, is argued in docs/probing.md and in
`statistics/sequential.py`: under a population null the suspect's running maximum is ranked among the controls' whole-path
maxima; the null by model of `service` pays for its looks by Bonferroni.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.errors import RecordError, SourceError, UsageError
from filiation.evidence import Absent, Examination, Finding, Null, Record, Relation, Relations, canonical
from filiation.examiners.catalogue import chosen
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.line_up import SCALE, Entrant, line_up_content
from filiation.investigation import compare, judge_again
from filiation.sources.endpoints.asking import Budget, Conduct, ask
from filiation.sources.endpoints.exchange import Parameters, Question
from filiation.sources.endpoints.location import endpoint_at, is_location
from filiation.sources.endpoints.recorder import Recorder, transcript_of
from filiation.sources.transcripts import (
    PREFIX,
    Transcript,
    TranscriptSource,
    models_of,
    prompt_id,
    read_transcripts,
    split_location,
)
from filiation.statistics.sequential import planned_looks, planned_order, standardised

RECORDING = "recording.jsonl"
TRANSCRIPT = "answers.parquet"
ACCOUNT = "probe.json"

DECIDED = "decided"
BUDGET = "budget"
EXHAUSTED = "exhausted"


class Spending(Record, frozen=True, kw_only=True):
    """The most that may be spent. Requests and money count over all runs of one folder, seconds those of this run."""

    requests: int | None = None
    seconds: float | None = None
    money: float | None = None
    price_per_request: float = 0.0

    @property
    def most_requests(self) -> int | None:
        """The most requests that both the number and the money allow; None where neither limits them."""
        if self.money is None:
            return self.requests
        if self.price_per_request <= 0:
            raise UsageError("a budget of money needs the price of a request", advice="give --price-per-request")
        bought = math.floor(self.money / self.price_per_request + 1e-9)
        return bought if self.requests is None else min(bought, self.requests)


class Party(Record, frozen=True, kw_only=True):
    """One participant: what it is called in the records, its role, and where its answers come from."""

    name: str
    role: str  # 'reference', 'suspect' or 'control'
    location: str
    lineage: str = ""
    lab: str = ""


class ProbePlan(Record, frozen=True, kw_only=True):
    """What was fixed before anybody was asked. `prompts` are prompt ids in the order of asking."""

    seed: int
    prompts: tuple[str, ...]
    looks: tuple[int, ...]
    parties: tuple[Party, ...]
    parameters: dict[str, Any]
    examiners: tuple[str, ...]
    questions_sha256: str


class Look(Record, frozen=True, kw_only=True):
    """One look: after how many planned prompts, how many requests had been sent, and what each test then said."""

    prompts: int
    requests: int
    outcomes: dict[str, str]


class Account(Record, frozen=True, kw_only=True):
    """What was decided and why; kept as probe.json beside the record."""

    plan: ProbePlan
    stopped: str = ""  # 'decided', 'budget' or 'exhausted'; '' while it goes on
    why: str = ""
    early_stop_allowed: bool = False
    early_stop_reason: str = ""
    looks: tuple[Look, ...] = ()
    requests: int = 0
    money: float = 0.0
    faults: dict[str, int]


@dataclass(frozen=True)
class Probed:
    """The examination at the last look, and the account of the asking."""

    examination: Examination
    account: Account
    folder: Path


def probe(
    reference: str,
    suspect: str,
    controls: Sequence[str],
    questions: Sequence[Question],
    folder: str | Path,
    *,
    each: int = 25,
    seed: int = 0,
    parameters: Parameters | None = None,
    spending: Spending | None = None,
    only: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, bool | int | float | str]] | None = None,
    lineages: Mapping[str, str] | None = None,
    labs: Mapping[str, str] | None = None,
    conduct: Conduct | None = None,
    progress: Progress = silent,
) -> Probed:
    """Ask in rounds and stop when the design decides or the budget is spent.

    Exhibits are endpoints or `transcripts:FILE[#MODEL]` (among the controls, a file without a model stands for all of its
    models). `lineages` and `labs` declare by location or name. `settings` are examiners' PARAMETERS. Raises FiliationError;
    the folder then holds everything that was recorded, and the same call goes on from there.
    """
    place = Path(folder).expanduser()
    place.mkdir(parents=True, exist_ok=True)
    plan = _planned(reference, suspect, controls, questions, each, seed, parameters, only, lineages or {}, labs or {})
    _keep_to(plan, place / ACCOUNT)
    run = _Run(
        plan=plan,
        questions=_by_prompt(questions),
        parameters=parameters or Parameters(),
        spending=spending or Spending(),
        settings={name: dict(values) for name, values in (settings or {}).items()},
        conduct=conduct or Conduct(),
        place=place,
        progress=progress,
    )
    return run.hold()


# ------------------------------------------------------------------------------------------------------------- the plan


def _planned(
    reference: str,
    suspect: str,
    controls: Sequence[str],
    questions: Sequence[Question],
    each: int,
    seed: int,
    parameters: Parameters | None,
    only: Sequence[str],
    lineages: Mapping[str, str],
    labs: Mapping[str, str],
) -> ProbePlan:
    if not questions:
        raise UsageError("there is nothing to ask", advice="give prompts or a probe set")
    if each < 1:
        raise UsageError("a round asks at least one prompt", advice="give --round 1 or more")
    order = planned_order([prompt_id(question.text) for question in questions], seed)
    asked = canonical([msgspec.to_builtins(question) for question in questions])
    return ProbePlan(
        seed=seed,
        prompts=order,
        looks=planned_looks(len(order), each),
        parties=tuple(_parties(reference, suspect, controls, lineages, labs)),
        parameters=(parameters or Parameters()).recorded(),
        examiners=_taking_part(only),
        questions_sha256=hashlib.sha256(asked).hexdigest(),
    )


def _taking_part(only: Sequence[str]) -> tuple[str, ...]:
    """The examiners of recorded answers among those asked for. Raises UsageError where none is left."""
    names = tuple(examiner.NAME for examiner in chosen(tuple(only)) if "transcript" in examiner.NEEDS)
    if not names:
        raise UsageError(
            "none of these examiners reads recorded answers",
            advice="leave --only out, or name examiners that 'filiation examiners' lists with the need 'transcript'",
        )
    return names


def _parties(
    reference: str, suspect: str, controls: Sequence[str], lineages: Mapping[str, str], labs: Mapping[str, str]
) -> Iterator[Party]:
    located = [("reference", reference), ("suspect", suspect)]
    taken = {_whole(reference), _whole(suspect)}
    for control in controls:
        file, model = split_location(control) if control.startswith(PREFIX) else (None, "")
        each = [control] if file is None or model else [f"{PREFIX}{file}#{name}" for name in models_of(file)]
        located += [
            ("control", location) for location in each if file is None or model or _whole(location) not in taken
        ]
    whole = [_whole(location) for _, location in located]
    twice = sorted({location for location in whole if whole.count(location) > 1})
    if twice:
        raise UsageError(
            f"{', '.join(twice)} stands twice", advice="every exhibit takes part once: its answers are recorded once"
        )
    names: set[str] = set()
    declared = set(lineages) | set(labs)
    for role, location in located:
        usual, lineage, lab = _called(location)
        name, number = usual, 2
        while name in names:
            name, number = f"{usual} ({number})", number + 1
        names.add(name)
        declared -= {location, name}
        yield Party(
            name=name,
            role=role,
            location=_whole(location),
            lineage=lineages.get(location) or lineages.get(name) or lineage,
            lab=labs.get(location) or labs.get(name) or lab,
        )
    if declared:
        raise UsageError(
            f"a lineage or lab was declared for {', '.join(sorted(declared))}, which takes no part",
            advice=f"those who do are {', '.join(sorted(names))}",
        )


def _whole(location: str) -> str:
    """An endpoint with its address written out, a transcript with its model named."""
    if is_location(location):
        return endpoint_at(location).location
    if not location.startswith(PREFIX):
        raise UsageError(
            "a probe asks endpoints, or takes recorded answers in their place",
            exhibit=location,
            advice="give openai:MODEL@URL, anthropic:MODEL, or transcripts:FILE#MODEL",
        )
    file, _ = split_location(location)
    return f"{PREFIX}{file}#{TranscriptSource(file, split_location(location)[1]).transcript().model}"


def _called(location: str) -> tuple[str, str, str]:
    """Name, lineage and lab as the exhibit itself has them."""
    if is_location(location):
        return endpoint_at(location).model, "", ""
    found = TranscriptSource(*split_location(location)).transcript()
    return found.model, found.lineage, found.lab


def _keep_to(plan: ProbePlan, file: Path) -> None:
    """A folder keeps one plan: looks and order fixed after the first answers would be no plan. Raises UsageError, RecordError."""
    if not file.exists():
        _write(file, Account(plan=plan, faults={}))
        return
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=Account).plan
    except (OSError, msgspec.DecodeError) as error:
        raise RecordError(
            f"this is not an account of a probe: {error}", exhibit=str(file), advice="give another folder"
        ) from error
    fields = [name for name in ProbePlan.__struct_fields__ if getattr(kept, name) != getattr(plan, name)]
    if fields:
        raise UsageError(
            f"this folder was begun under another plan ({', '.join(fields)} differ)",
            exhibit=str(file.parent),
            advice="repeat the command that began it (only the budget may change), or give another folder",
        )


def _write(file: Path, account: Account) -> None:
    part = file.with_suffix(".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(account, order="deterministic"), indent=1) + b"\n")
    os.replace(part, file)


def _by_prompt(questions: Sequence[Question]) -> dict[str, list[Question]]:
    found: dict[str, list[Question]] = {}
    for question in questions:
        found.setdefault(prompt_id(question.text), []).append(question)
    return found


# -------------------------------------------------------------------------------------------------------------- the run


@dataclass
class _Run:
    plan: ProbePlan
    questions: Mapping[str, Sequence[Question]]
    parameters: Parameters
    spending: Spending
    settings: dict[str, dict[str, bool | int | float | str]]
    conduct: Conduct
    place: Path
    progress: Progress
    begun: float = field(default_factory=time.monotonic)
    recorder: Recorder | None = None
    faults: dict[str, int] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    measured: dict[tuple[str, int], Relation] = field(default_factory=dict)
    without: dict[tuple[str, int], Relation | Absent] = field(default_factory=dict)

    def hold(self) -> Probed:
        """The whole asking: others first, then the suspect look by look, then the account."""
        with ExitStack() as stack:
            if any(is_location(party.location) for party in self.plan.parties):
                self.recorder = stack.enter_context(Recorder(self.place / RECORDING))
            stopped, why, examination, allowed, reason = self._ask_and_examine()
            account = self._account(stopped, why, allowed, reason)
        _write(self.place / ACCOUNT, account)
        return Probed(examination=examination, account=account, folder=self.place)

    def _ask_and_examine(self) -> tuple[str, str, Examination, bool, str]:
        *others, suspect = sorted(self.plan.parties, key=lambda party: party.role == "suspect")
        spent = ""
        for party in others:
            spent = spent or self._ask(party, len(self.plan.prompts))
        examination, taken = None, []
        allowed, reason = False, "the budget was spent before the controls were complete"
        for look in self.plan.looks:
            spent = spent or self._ask(suspect, look)
            if spent:
                break
            taken.append(look)
            self._gather()
            allowed, reason = self._may_stop_early()
            if look != self.plan.looks[-1] and not allowed:
                continue
            examination = self._examine(look, taken if allowed else [])
            self._note(look, examination)
            decision = self._decision(examination)
            if decision:
                return DECIDED, decision, examination, allowed, reason
        if examination is None:
            self._gather()
            allowed, reason = self._may_stop_early()
            answered = self._asked_of(suspect)
            if not answered:
                raise UsageError(
                    f"{spent}: the suspect has not been asked yet",
                    exhibit=str(self.place),
                    advice="raise the budget and run the same command again; what was recorded is not asked again",
                )
            examination = self._examine(answered, [])
            self._note(answered, examination)
        if spent:
            return BUDGET, spent, examination, allowed, reason
        return EXHAUSTED, f"all {len(self.plan.prompts)} planned prompts were asked", examination, allowed, reason

    # ------------------------------------------------------------------------------------------------------------ asking

    def _ask(self, party: Party, look: int) -> str:
        """Ask one party the first `look` planned prompts, what is recorded left out. Why the budget ended it, or ''."""
        if not is_location(party.location):
            return ""
        assert self.recorder is not None
        questions = [question for prompt in self.plan.prompts[:look] for question in self.questions[prompt]]
        seconds = None
        if self.spending.seconds is not None:
            seconds = max(0.0, self.spending.seconds - (time.monotonic() - self.begun))
        asked = ask(
            endpoint_at(party.location),
            questions,
            self.parameters,
            self.recorder,
            rng=np.random.default_rng(self.plan.seed),
            conduct=self.conduct,
            budget=Budget(requests=self.spending.most_requests, seconds=seconds),
            progress=lambda what, share: self.progress(f"{party.name}: {what}", share),
        )
        for kind, number in asked.summary.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + number
        if not asked.summary.not_reached:
            return ""
        if not asked.summary.ended.startswith("the budget"):
            raise SourceError(
                asked.summary.ended,
                exhibit=party.location,
                advice="run the same command again; what was answered is not asked again",
            )
        return self._told_of_budget(asked.summary.ended)

    def _told_of_budget(self, ended: str) -> str:
        if self.spending.money is not None and "requests" in ended:
            return f"{ended} ({self.spending.money:g} at {self.spending.price_per_request:g} a request)"
        return ended

    def _gather(self) -> None:
        """Everybody's answers to the planned prompts in one file, so that the examination reads what anyone can read."""
        import polars as pl

        asked = {_endpoint(party): party for party in self.plan.parties if is_location(party.location)}
        frames = []
        if self.recorder is not None and asked:
            frames.append(
                transcript_of(
                    self.recorder.recording,
                    names={location: party.name for location, party in asked.items()},
                    lineages={location: party.lineage for location, party in asked.items()},
                    labs={location: party.lab for location, party in asked.items()},
                ).filter(pl.col("model").is_in([party.name for party in asked.values()]))
            )
        for party in self.plan.parties:
            if not is_location(party.location):
                file, model = split_location(party.location)
                frames.append(
                    read_transcripts(file)
                    .filter(pl.col("model") == model)
                    .with_columns(
                        pl.lit(party.name).alias("model"),
                        pl.lit(party.lineage).alias("lineage"),
                        pl.lit(party.lab).alias("lab"),
                    )
                )
        together = pl.concat(frames).filter(pl.col("prompt_id").is_in(list(self.plan.prompts)))
        part = self.place / f".{TRANSCRIPT}"
        together.sort("model", "prompt_id", "sample").write_parquet(part)
        os.replace(part, self.place / TRANSCRIPT)

    def _answered(self, party: Party) -> set[str]:
        frame = read_transcripts(self.place / TRANSCRIPT)
        return set(frame.filter(frame["model"] == party.name)["prompt_id"].to_list())

    def _asked_of(self, suspect: Party) -> int:
        """How far down the planned order the suspect's answers reach."""
        answered = self._answered(suspect)
        return max((at + 1 for at, prompt in enumerate(self.plan.prompts) if prompt in answered), default=0)

    # --------------------------------------------------------------------------------------------------------- examining

    @property
    def _controls(self) -> list[Party]:
        return [party for party in self.plan.parties if party.role == "control"]

    def _may_stop_early(self) -> tuple[bool, str]:
        """Whether the running rank may be looked at before the end, and why (not)."""
        if not self._controls:
            return True, "no controls: only tests that pay for their looks decide"
        reference = next(party for party in self.plan.parties if party.role == "reference")
        needed = self._answered(reference)
        lacking = [party.name for party in self._controls if needed - self._answered(party)]
        if lacking:
            named = ", ".join(lacking[:5]) + (" and others" if len(lacking) > 5 else "")
            return False, f"one rank at the end: the controls' paths are not whole ({named} lack answers)"
        return True, "every control answered every planned prompt that the reference answered"

    def _sources(self, look: int, parties: Sequence[Party]) -> list[Any]:
        prompts = frozenset(self.plan.prompts[:look])
        file = self.place / TRANSCRIPT
        present = set(models_of(file))
        missing = [party.name for party in parties if party.role != "control" and party.name not in present]
        if missing:
            raise UsageError(
                f"{' and '.join(missing)} answered none of the planned prompts", advice="see probe.json for the faults"
            )
        return [_Cut(file, party.name, prompts) for party in parties if party.name in present]

    def _examine(self, look: int, taken: Sequence[int]) -> Examination:
        """The examination at a look; line-ups are over the looks `taken`, controls over all of them.

        Nothing taken: the answers there are, ranked once (paths that are not whole, or a part of the first round).
        """
        reference = next(party for party in self.plan.parties if party.role == "reference")
        suspect = next(party for party in self.plan.parties if party.role == "suspect")
        one, other, *controls = self._sources(look, [reference, suspect, *self._controls])
        settings = {name: dict(values) for name, values in self.settings.items()}
        if "service" in self.plan.examiners:
            settings["service"] = settings.get("service", {}) | {"looks": ",".join(map(str, self.plan.looks))}
        examination = compare(
            one,
            other,
            controls,
            only=self.plan.examiners,
            seed=self.plan.seed,
            parameters=settings,
            progress=self.progress,
        )
        ranked = [examiner.NAME for examiner in chosen(self.plan.examiners) if hasattr(examiner, "line_up")]
        for name in ranked:
            if name in examination.relations:
                self.measured[name, look] = examination.relations[name].pair
        if not self._controls or len(self.plan.looks) == 1 or look not in taken:
            return examination
        later = [planned for planned in self.plan.looks if planned > look]
        relations = dict(examination.relations)
        for name in ranked:
            path = [self.measured[name, before] for before in taken if (name, before) in self.measured]
            if name not in relations or not path:
                continue
            alone = [found for after in later if isinstance(found := self._without_suspect(name, after), Relation)]
            relations[name] = Relations(pair=over_path(path, alone, self.plan.looks))
        return judge_again(msgspec.structs.replace(examination, relations=relations))

    def _without_suspect(self, name: str, look: int) -> Relation | Absent:
        """The line-up of reference and controls at a look that the suspect has not reached; a control stands in its place."""
        if (name, look) not in self.without:
            examiner = chosen((name,))[0]
            reference = next(party for party in self.plan.parties if party.role == "reference")
            subjects = []
            for source in self._sources(look, [reference, *self._controls]):
                seen = examiner.observe(source)
                if not isinstance(seen, Absent):
                    subjects.append(Subject(source=source, observation=seen, parameters=self.settings.get(name, {})))
            self.without[name, look] = (
                examiner.line_up(subjects[0], subjects[1], subjects[2:], self.plan.seed)  # type: ignore[attr-defined]
                if len(subjects) > 1
                else Absent(reason="no control could be observed")
            )
        return self.without[name, look]

    def _decision(self, examination: Examination) -> str:
        """What has been decided, or ''. With controls the ranks decide, without controls the tests that pay for their looks."""
        for outcome in examination.outcomes:
            if not isinstance(outcome, Finding):
                continue
            if outcome.null is Null.POPULATION and self._controls and outcome.count == 0:
                return (
                    f"{outcome.test}: the suspect's path stands above those of all {outcome.opportunities} control lineages, "
                    "the smallest chance that this design can reach"
                )
            if outcome.null is Null.MODEL and not self._controls and outcome.log10_p <= outcome.power.threshold_log10_p:
                return f"{outcome.test}: log10 p = {outcome.log10_p:g}, {len(self.plan.looks)} planned looks paid for"
        return ""

    def _note(self, look: int, examination: Examination) -> None:
        said = {
            outcome.test: f"{outcome.count} of {outcome.opportunities}, log10 p = {outcome.log10_p:g}"
            if isinstance(outcome, Finding)
            else outcome.reason
            for outcome in examination.outcomes
        }
        self.looks.append(Look(prompts=look, requests=self._requests(), outcomes=said))
        _write(self.place / ACCOUNT, self._account("", "", *self._may_stop_early()))

    def _requests(self) -> int:
        return self.recorder.recording.requests_sent if self.recorder is not None else 0

    def _account(self, stopped: str, why: str, allowed: bool, reason: str) -> Account:
        return Account(
            plan=self.plan,
            stopped=stopped,
            why=why,
            early_stop_allowed=allowed,
            early_stop_reason=reason,
            looks=tuple(self.looks),
            requests=self._requests(),
            money=round(self._requests() * self.spending.price_per_request, 6),
            faults=dict(sorted(self.faults.items())),
        )


class _Cut(TranscriptSource):
    """One participant's answers to the prompts of a look."""

    def __init__(self, file: Path, model: str, prompts: frozenset[str]) -> None:
        super().__init__(file, model)
        whole = self._transcript.frame
        kept = whole.filter(whole["prompt_id"].is_in(list(prompts)))
        self._answered_some = kept.height > 0
        self._transcript = Transcript(kept if self._answered_some else whole)

    def transcript(self) -> Transcript | Absent:  # type: ignore[override]
        return (
            self._transcript if self._answered_some else Absent(reason="it answered none of the prompts asked so far")
        )


def _endpoint(party: Party) -> str:
    return endpoint_at(party.location).location if is_location(party.location) else ""


# ------------------------------------------------------------------------------------------------------------ the path


def over_path(taken: Sequence[Relation], later: Sequence[Relation], looks: Sequence[int]) -> Relation:
    """The relation at the last look taken, each line-up in it replaced by the one over the path.

    `taken`: at the looks so far, the suspect among the entrants; `later`: at the looks it has not reached, without it.
    Every score becomes the largest of its standardised scores (`statistics.sequential`).
    """
    last = taken[-1]
    content = _merged([relation.content for relation in taken], [relation.content for relation in later], last, looks)
    return msgspec.structs.replace(last, content=content)


def _merged(
    taken: Sequence[Mapping[str, Any]], later: Sequence[Mapping[str, Any]], last: Relation, looks: Sequence[int]
) -> dict[str, Any]:
    base = dict(taken[-1])
    if {"entrants", "scores", "held_out"} <= set(base):
        every = [content for content in (*taken, *later) if {"entrants", "scores"} <= set(content)]
        scores = _path_scores(base, every)
        again = line_up_content(
            [msgspec.convert(entrant, Entrant) for entrant in base["entrants"]],
            scores,
            prompts=base["prompts"],
            related=[tuple(pair) for pair in base["related"]],
            packs=base["packs"],
            seed=last.seed,
            test=next(iter(base["summary"]), ""),
            detail=base["detail"],
        )
        path = {"planned": list(looks), "taken": len(taken), "controls_complete": True}
        return base | {"scores": again["scores"], "held_out": again["held_out"], "path": path}
    for key, value in base.items():
        if isinstance(value, Mapping):
            inner = [[part[key] for part in parts if isinstance(part.get(key), Mapping)] for parts in (taken, later)]
            base[key] = _merged(inner[0], inner[1], last, looks)
    return base


def _path_scores(base: Mapping[str, Any], every: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """The entrywise maximum of standardised scores over the looks, in the order of `base`'s entrants."""
    place = {_who(entrant): at for at, entrant in enumerate(base["entrants"])}
    size = len(place)
    highest = np.full((size, size), -np.inf)
    for content in every:
        rows = [place.get(_who(entrant), -1) for entrant in content["entrants"]]
        known = [at for at, row in enumerate(rows) if row >= 0]
        scores = standardised(np.array(content["scores"], dtype=np.float64) / SCALE)
        into = np.array([rows[at] for at in known])
        highest[np.ix_(into, into)] = np.maximum(highest[np.ix_(into, into)], scores[np.ix_(known, known)])
    lowest = np.where(np.isfinite(highest), highest, np.inf).min()
    return np.clip(np.where(np.isfinite(highest), highest, lowest), -1e6, 1e6)


def _who(entrant: Mapping[str, Any]) -> tuple[str, str, bool]:
    return str(entrant["name"]), str(entrant["lineage"]), entrant["origin"] == "pack"
