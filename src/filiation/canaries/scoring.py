"""What a neutral verifier counts, once a batch is opened: agreements with the labels, their chance, and four controls.

1. One fixed answer per canary: the first that was recorded. Whatever was asked again counts as answered already; a canary that was not
   answered, or whose answer the parser cannot read, is an opportunity without an agreement.
2. p = P(Bin(n, 1/M) >= x), exact, over all canaries of the batch, answered or not; or the exact law of the sum of ranks.
3. What was searched is paid for: suspects considered x cohorts committed to x batches committed to x the claimant's commitments x the
   two statistics. A claimant knows every label and could look before choosing; so everything that could have been chosen counts.
4. Beside it stand decoys, unrelated models, placebo keys and cohorts that nobody was given. They should show nothing. Where they
   show something, a premise is broken, and the figure must not be used.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from filiation.canaries import labels as labelling
from filiation.canaries.canary import Canary, parsed
from filiation.canaries.opening import Request, Statistic
from filiation.canaries.ranks import Scores, doubled_ranks, log10_sum_tail
from filiation.errors import UsageError
from filiation.evidence import Coincidences, Record, round_against_accuser
from filiation.statistics.coincidences import log10_upper_tail, resolution_log10_p
from filiation.statistics.e_values import log10_e_value, log10_e_value_of_p
from filiation.statistics.merging import bonferroni
from filiation.statistics.power import opportunities_needed, share_with_survival

Numbers = NDArray[np.int64]
_MOST_PLACEBO_LABELS = 4_000_000
_FEWEST_PLACEBO_KEYS = 19
CONTROL_LOG10_P = -3.0
"""A control that is as rare as this, what was searched paid for, breaks a premise."""

CONTROLS_WANTED = 20


# ------------------------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class Answers:
    """What one model answered, by the index of the canary: the first answer, and, where had, the log-probability of each option.

    `further`: answers recorded after the first one of a canary; they are counted and not looked at.
    """

    name: str
    texts: Mapping[int, str]
    log_probabilities: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    further: int = 0


class Counted(Record, frozen=True, kw_only=True):
    """Agreements (or, for ranks, the sum) among canaries, and how the answers were read."""

    count: int
    opportunities: int
    answered: int
    unparsable: int
    log10_p: float


class Placebo(Record, frozen=True, kw_only=True):
    """Keys drawn at random in the place of the committed one: how many reach as much, and p = (1 + reaching) / (keys + 1)."""

    keys: int
    reaching: int
    largest: int
    p: float


class WrongCohorts(Record, frozen=True, kw_only=True):
    """Cohorts that were given to nobody: how many, the largest count, and its p paid for them."""

    cohorts: int
    largest: int
    log10_p: float


class ControlModel(Record, frozen=True, kw_only=True):
    """An unrelated model against the same labels. `log10_p` is paid for as the suspect's is, and for the number of controls."""

    name: str
    counted: Counted
    log10_p: float


class Searched(Record, frozen=True, kw_only=True):
    """Everything that could have been chosen, and the log10 of how much."""

    suspects: int
    cohorts: int
    batches: int
    commitments: int
    statistics: int = len(get_args(Statistic))

    @property
    def log10_cost(self) -> float:
        return math.log10(self.suspects * self.cohorts * self.batches * self.commitments * self.statistics)


class Score(Record, frozen=True, kw_only=True):
    """One suspect against the labels of one batch. `log10_p` and `log10_e` are paid; `counted.log10_p` is not.

    `cohort` is the one with the smallest p, of all that were committed to; `options` are the numbers of options that occur.
    `effect` is the estimate of the share of canaries that survive beyond chance, from the agreements; it may be negative by chance.
    """

    suspect: str
    statistic: Statistic
    cohort: int
    options: tuple[int, ...]
    counted: Counted
    further_answers: int
    log10_p: float
    log10_e: float
    resolution_log10_p: float
    effect: float
    searched: Searched
    decoys: Counted
    placebo: Placebo
    wrong_cohorts: WrongCohorts
    warnings: tuple[str, ...]


class Scored(Record, frozen=True, kw_only=True):
    """All suspects of a request, and the unrelated models."""

    scores: tuple[Score, ...]
    controls: tuple[ControlModel, ...]
    warnings: tuple[str, ...]


# ------------------------------------------------------------------------------------------------------------- counting


@dataclass(frozen=True)
class Field:
    """The canaries (or the decoys) of an opened batch, and what their labels need."""

    canaries: tuple[Canary, ...]
    beacon: bytes

    @cached_property
    def _messages(self) -> tuple[tuple[bytes, bytes, int], ...]:
        """The message of each canary before and after the cohort, and its number of options."""
        parts = [(labelling.message_parts(self.beacon, canary, b""), len(canary.options)) for canary in self.canaries]
        return tuple((before, after, options) for (before, _, after), options in parts)

    def labels(self, key: bytes, cohorts: Sequence[int]) -> Numbers:
        """The labels under a key, cohorts x canaries."""
        found = [
            [labelling.label_of(key, before + cohort + after, options) for before, after, options in self._messages]
            for cohort in (str(number).encode() for number in cohorts)
        ]
        return np.array(found, dtype=np.int64).reshape(len(cohorts), len(self.canaries))


@dataclass(frozen=True)
class Reading:
    """One model's answers to a field, reduced to what the labels are held against: `worth[canary][option]`, whole numbers.

    For agreements the chosen option is worth 1 and every other 0; for ranks it is the doubled rank of the option.
    """

    statistic: Statistic
    worth: tuple[Scores, ...]
    answered: int
    unparsable: int

    @cached_property
    def _table(self) -> Numbers:
        """`worth` as a table, canaries x options, filled up with zeros that no label reaches."""
        table = np.zeros((len(self.worth), max(map(len, self.worth))), dtype=np.int64)
        for row, worth in enumerate(self.worth):
            table[row, : len(worth)] = worth
        return table

    def totals(self, labels: Numbers) -> Numbers:
        """The statistic under each row of labels."""
        found: Numbers = self._table[np.arange(len(self.worth)), labels].sum(axis=1)
        return found

    def log10_p(self, total: int) -> float:
        if self.statistic == "ranks":
            return log10_sum_tail(total, self.worth)
        return log10_upper_tail(self.coincidences(total))

    def log10_e(self, total: int) -> float:
        if self.statistic == "ranks":
            return log10_e_value_of_p(self.log10_p(total))
        return log10_e_value(self.coincidences(total))

    def resolution(self) -> float:
        if self.statistic == "ranks":
            return self.log10_p(sum(map(max, self.worth)))
        return resolution_log10_p(self.coincidences(0))

    def coincidences(self, count: int) -> Coincidences:
        chances = tuple(1.0 / len(worth) for worth in self.worth)
        if len(set(chances)) == 1:
            return Coincidences(count=count, opportunities=len(chances), chance=chances[0])
        return Coincidences(count=count, opportunities=len(chances), chances=chances)

    def counted(self, total: int) -> Counted:
        return Counted(
            count=total,
            opportunities=len(self.worth),
            answered=self.answered,
            unparsable=self.unparsable,
            log10_p=_p(self.log10_p(total)),
        )


def read_answers(canaries: Sequence[Canary], answers: Answers, statistic: Statistic) -> Reading:
    """A model's answers as the labels are held against them. A canary without log-probabilities ranks all options level."""
    worth: list[Scores] = []
    answered = unparsable = 0
    for canary in canaries:
        text = answers.texts.get(canary.index)
        choice = None if text is None else parsed(text, canary.options, canary.parser)
        answered += text is not None
        unparsable += text is not None and choice is None
        if statistic == "ranks":
            worth.append(doubled_ranks(_given(canary, answers)))
        else:
            worth.append(tuple(int(number == choice) for number in range(len(canary.options))))
    return Reading(statistic, tuple(worth), answered, unparsable)


def _given(canary: Canary, answers: Answers) -> tuple[float, ...]:
    given = answers.log_probabilities.get(canary.index, (0.0,) * len(canary.options))
    if len(given) != len(canary.options):
        raise UsageError(
            f"canary {canary.index} has {len(canary.options)} options and {len(given)} log-probabilities",
            exhibit=answers.name,
            advice="give one log-probability for each option, in their order",
        )
    return given


# -------------------------------------------------------------------------------------------------------------- scoring


@dataclass(frozen=True)
class Opened:
    """An opened batch whose checks all hold: what scoring needs. `commitments`: how many the claimant has made."""

    canaries: tuple[Canary, ...]
    key: bytes
    beacon: bytes
    cohorts: int
    batches: int
    commitments: int
    placebo_seed: bytes

    def field_of(self, decoys: bool) -> Field:
        return Field(tuple(canary for canary in self.canaries if canary.decoy == decoys), self.beacon)


def scored(opened: Opened, request: Request, suspects: Sequence[Answers], controls: Sequence[Answers] = ()) -> Scored:
    """Score the suspects of a request, and the unrelated models beside them. Raises UsageError for suspects that it does not name."""
    _check_names(request, suspects, controls)
    beside = _control_models(opened, request, controls)
    return Scored(
        scores=tuple(_score(opened, request, suspect) for suspect in suspects),
        controls=beside,
        warnings=(*_missing_suspects(request, suspects), *_warnings_of_controls(request, beside)),
    )


def _check_names(request: Request, suspects: Sequence[Answers], controls: Sequence[Answers]) -> None:
    strange = [each.name for each in suspects if each.name not in request.suspects]
    strange += [each.name for each in controls if each.name not in request.controls]
    if strange:
        raise UsageError(
            f"the request that was fixed before the batch was opened does not name {', '.join(strange)}",
            advice=f"give its suspects ({', '.join(request.suspects)}) and controls ({', '.join(request.controls) or 'none'})",
        )
    if not suspects:
        raise UsageError("no suspect is given", advice="give --suspect NAME=SOURCE")


def _score(opened: Opened, request: Request, suspect: Answers) -> Score:
    field_, key = opened.field_of(decoys=False), opened.key
    reading = read_answers(field_.canaries, suspect, request.statistic)
    searched = _searched(opened, request)
    totals = reading.totals(field_.labels(key, range(opened.cohorts)))
    cohort = int(totals.argmax())
    total = int(totals[cohort])
    decoys = _decoys(opened, request, suspect, cohort)
    placebo = _placebo(opened, request, field_, reading, total)
    wrong = _wrong_cohorts(opened, request, field_, reading)
    agreements = read_answers(field_.canaries, suspect, "agreements")
    return Score(
        suspect=suspect.name,
        statistic=request.statistic,
        cohort=cohort,
        options=tuple(sorted({len(canary.options) for canary in field_.canaries})),
        counted=reading.counted(total),
        further_answers=suspect.further,
        log10_p=_p(bonferroni(reading.log10_p(total), searched.log10_cost)),
        log10_e=round_against_accuser(reading.log10_e(total) - searched.log10_cost, accuses_when="large"),
        resolution_log10_p=_p(bonferroni(reading.resolution(), searched.log10_cost)),
        effect=_surviving(agreements, int(agreements.totals(field_.labels(key, [cohort]))[0])),
        searched=searched,
        decoys=decoys,
        placebo=placebo,
        wrong_cohorts=wrong,
        warnings=_warnings(decoys, wrong),
    )


def _searched(opened: Opened, request: Request) -> Searched:
    return Searched(
        suspects=request.considered, cohorts=opened.cohorts, batches=opened.batches, commitments=opened.commitments
    )


def _surviving(reading: Reading, count: int) -> float:
    """The share s that solves count = n (s + (1 - s) / M): what survives beyond chance, with M the mean of the chances."""
    chance = float(np.mean([1.0 / len(worth) for worth in reading.worth]))
    return round((count / len(reading.worth) - chance) / (1.0 - chance), 3) + 0.0


# ------------------------------------------------------------------------------------------------------------- controls


def _decoys(opened: Opened, request: Request, suspect: Answers, cohort: int) -> Counted:
    """The same suspect, key and cohort on the decoys, which were made alike and never planted."""
    field_ = opened.field_of(decoys=True)
    reading = read_answers(field_.canaries, suspect, request.statistic)
    return reading.counted(int(reading.totals(field_.labels(opened.key, [cohort]))[0]))


def _placebo(opened: Opened, request: Request, field_: Field, reading: Reading, total: int) -> Placebo:
    """Keys that nobody used, drawn from the opening and the beacon, everything else the same, the search over cohorts too.

    The committed key is one more draw of the same kind for a suspect that does not depend on it, so p is exact without any law. With
    many cohorts fewer keys are drawn, 19 at least.
    """
    affordable = _MOST_PLACEBO_LABELS // (opened.cohorts * len(field_.canaries))
    keys = max(_FEWEST_PLACEBO_KEYS, min(request.placebo_keys, affordable))
    largest = [
        int(reading.totals(field_.labels(placebo_key(opened.placebo_seed, number), range(opened.cohorts))).max())
        for number in range(keys)
    ]
    reaching = sum(each >= total for each in largest)
    return Placebo(keys=keys, reaching=reaching, largest=max(largest), p=(1 + reaching) / (keys + 1))


def placebo_key(seed: bytes, number: int) -> bytes:
    return hmac.digest(seed, f"filiation canary placebo key {number}".encode(), "sha256")


def _wrong_cohorts(opened: Opened, request: Request, field_: Field, reading: Reading) -> WrongCohorts:
    """Labels of cohorts beyond those committed to, under the committed key."""
    beyond = range(opened.cohorts, opened.cohorts + request.wrong_cohorts)
    largest = int(reading.totals(field_.labels(opened.key, beyond)).max())
    paid = bonferroni(reading.log10_p(largest), math.log10(len(beyond)))
    return WrongCohorts(cohorts=len(beyond), largest=largest, log10_p=_p(paid))


def _control_models(opened: Opened, request: Request, controls: Sequence[Answers]) -> tuple[ControlModel, ...]:
    field_ = opened.field_of(decoys=False)
    under = field_.labels(opened.key, range(opened.cohorts))
    found = []
    for control in controls:
        reading = read_answers(field_.canaries, control, request.statistic)
        total = int(reading.totals(under).max())
        cost = _searched(opened, request).log10_cost + math.log10(len(controls))
        found.append(
            ControlModel(
                name=control.name,
                counted=reading.counted(total),
                log10_p=_p(bonferroni(reading.log10_p(total), cost)),
            )
        )
    return tuple(found)


def _warnings(decoys: Counted, wrong: WrongCohorts) -> tuple[str, ...]:
    warnings = []
    if decoys.log10_p <= CONTROL_LOG10_P:
        warnings.append(
            "the decoys, which were never planted, agree with their labels as well: whoever exposed the suspect had the labels "
            "themselves, or the key was not secret"
        )
    if wrong.log10_p <= CONTROL_LOG10_P:
        warnings.append("cohorts that were given to nobody agree as well: the key was not secret")
    return tuple(warnings)


def _missing_suspects(request: Request, suspects: Sequence[Answers]) -> tuple[str, ...]:
    given = {each.name for each in suspects}
    missing = [name for name in request.suspects if name not in given]
    return (f"the request names suspects that were not scored: {', '.join(missing)}",) if missing else ()


def _warnings_of_controls(request: Request, beside: Sequence[ControlModel]) -> tuple[str, ...]:
    warnings = [
        f"the unrelated model {each.name} agrees as well: it was exposed, or the key was not secret"
        for each in beside
        if each.log10_p <= CONTROL_LOG10_P
    ]
    if len(beside) < CONTROLS_WANTED:
        warnings.append(f"unrelated models beside the suspect: {len(beside)}, where {CONTROLS_WANTED} are asked for")
    missing = [name for name in request.controls if name not in {each.name for each in beside}]
    if missing:
        warnings.append(f"the request names controls that were not given: {', '.join(missing)}")
    return tuple(warnings)


# --------------------------------------------------------------------------------------------------------------- design


def canaries_needed(survival: float, options: int = 16, log10_alpha: float = -12.0, power: float = 0.95) -> int:
    """How many canaries reach `log10_alpha` with probability `power`, when a share `survival` survives and the rest falls by chance.

    Raises ValueError for a survival of 0: nothing can be found then.
    """
    chance = 1.0 / options
    return opportunities_needed(chance, share_with_survival(survival, chance), log10_alpha, power)


def _p(log10_p: float) -> float:
    return round_against_accuser(log10_p, accuses_when="small")
