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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from filiation.canaries import labels as labelling
from filiation.canaries.answers import Answers as Answers
from filiation.canaries.canary import Canary, parsed
from filiation.canaries.opening import Request, Statistic
from filiation.canaries.ranks import doubled_ranks
from filiation.canaries.tally import (
    NOT_ANSWERED,
    NOT_READABLE,
    Held,
    Numbers,
    Reading,
    Searched,
    Tally,
    rounded_p,
)
from filiation.canaries.tally import (
    Counted as Counted,
)
from filiation.errors import UsageError
from filiation.evidence import Record, round_against_accuser
from filiation.statistics.merging import bonferroni
from filiation.statistics.power import opportunities_needed, share_with_survival

_MOST_PLACEBO_LABELS = 4_000_000
"""Labels that are computed under placebo keys: well under a minute of keyed hashes."""

_FEWEST_PLACEBO_KEYS = 19
"""With so many the placebo p can be .05."""

CONTROL_LOG10_P = -3.0
"""A control that is as rare as this, what was searched paid for, breaks a premise."""

CONTROLS_WANTED = 20
"""Among so many unrelated models one that met the marks is found with 95 % probability where every seventh model has met them."""


# -------------------------------------------------------------------------------------------------------------- records


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


def read_answers(canaries: Sequence[Canary], answers: Answers, statistic: Statistic) -> Reading:
    """A model's answers as the labels are held against them. A canary without log-probabilities ranks all options level."""
    return held(canaries, answers, statistic, (0,) * len(canaries)).reading(statistic)


def held(canaries: Sequence[Canary], answers: Answers, statistic: Statistic, labels: Sequence[int]) -> Held:
    """A model's answers beside the labels, as numbers."""
    return Held(
        options=tuple(len(canary.options) for canary in canaries),
        labels=tuple(map(int, labels)),
        choices=tuple(_choice(canary, answers) for canary in canaries),
        ranks=tuple(doubled_ranks(_given(canary, answers)) for canary in canaries) if statistic == "ranks" else (),
    )


def _choice(canary: Canary, answers: Answers) -> int:
    text = answers.texts.get(canary.index)
    if text is None:
        return NOT_ANSWERED
    found = parsed(text, canary.options, canary.parser)
    return NOT_READABLE if found is None else found


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
        return self._fields[decoys]

    @cached_property
    def _fields(self) -> tuple[Field, Field]:
        """The canaries that were planted, and the decoys."""
        planted, decoys = (
            tuple(canary for canary in self.canaries if canary.decoy == decoy) for decoy in (False, True)
        )
        return Field(planted, self.beacon), Field(decoys, self.beacon)

    @cached_property
    def labels(self) -> Numbers:
        """The labels of all canaries in every cohort that was committed to, cohorts x canaries."""
        return self.field_of(decoys=False).labels(self.key, range(self.cohorts))

    def placebo_labels(self, keys: int) -> Numbers:
        """The labels under keys that nobody used, keys x cohorts x canaries; with many cohorts fewer keys than asked for."""
        if keys not in self._placebo_labels:
            field_ = self.field_of(decoys=False)
            affordable = _MOST_PLACEBO_LABELS // (self.cohorts * len(field_.canaries))
            drawn = range(max(_FEWEST_PLACEBO_KEYS, min(keys, affordable)))
            self._placebo_labels[keys] = np.array(
                [field_.labels(placebo_key(self.placebo_seed, number), range(self.cohorts)) for number in drawn],
                dtype=np.int16,
            )
        return self._placebo_labels[keys]

    @cached_property
    def _placebo_labels(self) -> dict[int, Numbers]:
        """Kept, because every model of a verification is held against the same ones."""
        return {}


def scored(opened: Opened, request: Request, suspects: Sequence[Answers], controls: Sequence[Answers] = ()) -> Scored:
    """Score the suspects of a request, and the unrelated models beside them. Raises UsageError for suspects that it does not name."""
    _check_names(request, suspects, controls)
    beside = tuple(control_of(each.name, tallied(opened, request, each), len(controls)) for each in controls)
    return Scored(
        scores=tuple(score_of(each.name, tallied(opened, request, each)) for each in suspects),
        controls=beside,
        warnings=(
            *_missing_suspects(request, suspects),
            *_led(suspects),
            *exposed_controls(beside),
            *too_few_controls(beside),
            *_missing_controls(request, beside),
        ),
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


# -------------------------------------------------------------------------------------------------------------- tallies


def tallied(opened: Opened, request: Request, answers: Answers) -> Tally:
    """Count one model's answers against the labels of every cohort, and against what should show nothing."""
    planted, decoys = opened.field_of(decoys=False), opened.field_of(decoys=True)
    reading = read_answers(planted.canaries, answers, request.statistic)
    totals = reading.totals(opened.labels)
    cohort = int(totals.argmax())
    # The committed key is one more draw of the same kind for a suspect that does not depend on it, so the placebo p is exact without
    # any law; its search over cohorts is made, too.
    placebo = reading.totals(opened.placebo_labels(request.placebo_keys)).max(axis=1)
    unused = planted.labels(opened.key, range(opened.cohorts, opened.cohorts + request.wrong_cohorts))
    return Tally(
        statistic=request.statistic,
        cohort=cohort,
        canaries=held(planted.canaries, answers, request.statistic, opened.labels[cohort]),
        decoys=held(decoys.canaries, answers, request.statistic, decoys.labels(opened.key, [cohort])[0]),
        placebo_keys=len(placebo),
        placebo_reaching=int((placebo >= totals[cohort]).sum()),
        placebo_largest=int(placebo.max()),
        unused_cohorts=len(unused),
        unused_largest=int(reading.totals(unused).max()),
        searched=Searched(
            suspects=request.considered, cohorts=opened.cohorts, batches=opened.batches, commitments=opened.commitments
        ),
        further_answers=answers.further,
    )


def placebo_key(seed: bytes, number: int) -> bytes:
    return hmac.digest(seed, f"filiation canary placebo key {number}".encode(), "sha256")


def score_of(name: str, tally: Tally) -> Score:
    """Every figure of one suspect, from its tally alone."""
    statistic, searched = tally.statistic, tally.searched
    reading, total = tally.canaries.reading(statistic), tally.canaries.total(statistic)
    decoys, wrong = tally.decoys.counted(statistic), _wrong_cohorts(tally, reading)
    return Score(
        suspect=name,
        statistic=statistic,
        cohort=tally.cohort,
        options=tuple(sorted(set(tally.canaries.options))),
        counted=reading.counted(total),
        further_answers=tally.further_answers,
        log10_p=rounded_p(bonferroni(reading.log10_p(total), searched.log10_cost)),
        log10_e=round_against_accuser(reading.log10_e(total) - searched.log10_cost, accuses_when="large"),
        resolution_log10_p=rounded_p(bonferroni(reading.resolution(), searched.log10_cost)),
        effect=round(
            beyond_chance(tally.canaries, tally.canaries.total("agreements") / len(tally.canaries.options)), 3
        ),
        searched=searched,
        decoys=decoys,
        placebo=Placebo(
            keys=tally.placebo_keys,
            reaching=tally.placebo_reaching,
            largest=tally.placebo_largest,
            p=(1 + tally.placebo_reaching) / (tally.placebo_keys + 1),
        ),
        wrong_cohorts=wrong,
        warnings=_warnings(decoys, wrong),
    )


def beyond_chance(canaries: Held, share: float) -> float:
    """The s that solves share = s + (1 - s) c: what is seen beyond chance, with c the mean of the chances."""
    chance = math.fsum(1.0 / options for options in canaries.options) / len(canaries.options)
    return (share - chance) / (1.0 - chance) + 0.0


# ------------------------------------------------------------------------------------------------------------- controls


def _wrong_cohorts(tally: Tally, reading: Reading) -> WrongCohorts:
    """Labels of cohorts beyond those committed to, under the committed key."""
    paid = bonferroni(reading.log10_p(tally.unused_largest), math.log10(tally.unused_cohorts))
    return WrongCohorts(cohorts=tally.unused_cohorts, largest=tally.unused_largest, log10_p=rounded_p(paid))


def control_of(name: str, tally: Tally, beside: int) -> ControlModel:
    """An unrelated model, one of `beside`, from its tally."""
    counted = tally.canaries.counted(tally.statistic)
    unpaid = tally.canaries.reading(tally.statistic).log10_p(counted.count)
    paid = bonferroni(unpaid, tally.searched.log10_cost + math.log10(beside))
    return ControlModel(name=name, counted=counted, log10_p=rounded_p(paid))


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


def _led(suspects: Sequence[Answers]) -> Iterator[str]:
    """What stood before answers besides the prompts."""
    for each in suspects:
        if each.led:
            yield (
                f"{each.led} answers of {each.name} were not looked at, because a text before the prompt names an option of the canary"
            )
        if each.prompted:
            yield (
                f"before {each.prompted} answers of {each.name} another text stood besides the prompt, such as a system prompt: read it"
            )


def exposed_controls(beside: Sequence[ControlModel]) -> tuple[str, ...]:
    """Of each unrelated model that agrees with the labels, that it does."""
    return tuple(
        f"the unrelated model {each.name} agrees as well: it was exposed, or the key was not secret"
        for each in beside
        if each.log10_p <= CONTROL_LOG10_P
    )


def too_few_controls(beside: Sequence[ControlModel]) -> tuple[str, ...]:
    if len(beside) >= CONTROLS_WANTED:
        return ()
    return (f"unrelated models beside the suspect: {len(beside)}, where {CONTROLS_WANTED} are asked for",)


def _missing_controls(request: Request, beside: Sequence[ControlModel]) -> tuple[str, ...]:
    missing = [name for name in request.controls if name not in {each.name for each in beside}]
    return (f"the request names controls that were not given: {', '.join(missing)}",) if missing else ()


# --------------------------------------------------------------------------------------------------------------- design


def canaries_needed(survival: float, options: int = 16, log10_alpha: float = -12.0, power: float = 0.95) -> int:
    """How many canaries reach `log10_alpha` with probability `power`, when a share `survival` survives and the rest falls by chance.

    Raises ValueError for a survival of 0: nothing can be found then.
    """
    chance = 1.0 / options
    return opportunities_needed(chance, share_with_survival(survival, chance), log10_alpha, power)
