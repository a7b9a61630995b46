"""What was counted, in whole numbers: everything a figure rests on, without a prompt, an option, a key or a file.

Whoever holds a tally computes every figure again (`scoring.score_of`). The two counts that need keys nobody used, those of placebo keys
and of unused cohorts, stand in it as they were counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from filiation.canaries.opening import Statistic
from filiation.canaries.ranks import Scores, log10_sum_tail, share_to_detect
from filiation.evidence import Coincidences, Record, round_against_accuser
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.e_values import log10_e_value, log10_e_value_of_p

Numbers = NDArray[np.int64]
NOT_READABLE = -1
NOT_ANSWERED = -2
"""What stands for the number of an option where the parser cannot tell one, and where no answer was recorded."""


class Counted(Record, frozen=True, kw_only=True):
    """Agreements (or, for ranks, the sum) among canaries, and how the answers were read."""

    count: int
    opportunities: int
    answered: int
    unparsable: int
    log10_p: float


class Searched(Record, frozen=True, kw_only=True):
    """Everything that could have been chosen, and the log10 of how much."""

    suspects: int
    cohorts: int
    batches: int
    commitments: int
    statistics: int = len(get_args(Statistic))

    @property
    def number(self) -> int:
        return self.suspects * self.cohorts * self.batches * self.commitments * self.statistics

    @property
    def log10_cost(self) -> float:
        return math.log10(self.number)


# -------------------------------------------------------------------------------------------------------------- reading


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
        found: Numbers = self._table[np.arange(len(self.worth)), labels].sum(axis=-1)
        return found

    def log10_p(self, total: int) -> float:
        if self.statistic == "ranks":
            return log10_sum_tail(total, self.worth)
        return log10_upper_tail(self.coincidences(total))

    def log10_e(self, total: int) -> float:
        if self.statistic == "ranks":
            return log10_e_value_of_p(self.log10_p(total))
        return log10_e_value(self.coincidences(total))

    @property
    def largest(self) -> int:
        """The largest total that these answers could reach, whatever the labels. Without an answer there is no agreement."""
        return self.answered if self.statistic == "agreements" else sum(map(max, self.worth))

    def resolution(self) -> float:
        return self.log10_p(self.largest)

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
            log10_p=rounded_p(self.log10_p(total)),
        )

    def share_to_detect(self, log10_alpha: float, power: float = 0.95) -> float:
        """The share of answered canaries that has to agree, chance included, for p to reach `log10_alpha` with this power.

        For ranks: the share whose labelled option stands first, those of the others by lot. 1.0 also where not even all would do.
        """
        least = self._least_total(log10_alpha)
        if least > self.largest:
            return 1.0
        if self.statistic == "ranks":
            return share_to_detect(least, self.worth, power)
        return float(betaincinv(least, self.answered - least + 1, power)) if least else 0.0

    def _least_total(self, log10_alpha: float) -> int:
        """The smallest total with log10 p at most `log10_alpha`; one more than `largest` where there is none."""
        low, high = 0, self.largest + 1
        while low < high:
            middle = (low + high) // 2
            if self.log10_p(middle) <= log10_alpha:
                high = middle
            else:
                low = middle + 1
        return low


class Held(Record, frozen=True, kw_only=True):
    """One model's answers to canaries (or decoys) held against their labels; in the canaries' order, and nothing but numbers.

    `options`: how many each has; `labels` and `choices`: numbers of options, from 0; `ranks`: the doubled ranks of all options, where
    they are what is counted.
    """

    options: tuple[int, ...]
    labels: tuple[int, ...]
    choices: tuple[int, ...]
    ranks: tuple[Scores, ...] = ()

    def __post_init__(self) -> None:
        rows = zip(self.options, self.labels, self.choices, strict=True)
        if not all(0 <= label < options and NOT_ANSWERED <= choice < options for options, label, choice in rows):
            raise ValueError("a label or a choice is no option")
        if self.ranks and tuple(map(len, self.ranks)) != self.options:
            raise ValueError("the ranks are not those of the options")

    def reading(self, statistic: Statistic) -> Reading:
        worth = self.ranks
        if statistic == "agreements":
            rows = zip(self.options, self.choices, strict=True)
            worth = tuple(tuple(int(number == choice) for number in range(options)) for options, choice in rows)
        return Reading(
            statistic,
            worth,
            answered=sum(choice != NOT_ANSWERED for choice in self.choices),
            unparsable=self.choices.count(NOT_READABLE),
        )

    def total(self, statistic: Statistic) -> int:
        """The agreements, or the sum of the labelled options' doubled ranks."""
        return int(self.reading(statistic).totals(np.array(self.labels)))

    def counted(self, statistic: Statistic) -> Counted:
        return self.reading(statistic).counted(self.total(statistic))


class Tally(Record, frozen=True, kw_only=True):
    """One model against the labels of one batch. `cohort`: the one with the largest total of all that were committed to.

    `placebo_reaching` of `placebo_keys` keys that nobody used reach the model's total in some cohort, the largest with
    `placebo_largest`; `unused_largest`: the largest total of `unused_cohorts` cohorts that were given to nobody.
    """

    statistic: Statistic
    cohort: int
    canaries: Held
    decoys: Held
    placebo_keys: int
    placebo_reaching: int
    placebo_largest: int
    unused_cohorts: int
    unused_largest: int
    searched: Searched
    further_answers: int = 0


def rounded_p(log10_p: float) -> float:
    return round_against_accuser(log10_p, accuses_when="small")
