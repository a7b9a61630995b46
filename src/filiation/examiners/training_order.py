"""Does the suspect remember the documents that the reference read late better than those it read early?

The order was drawn by lot (`filiation lot`): nobody could choose it to suit the suspect. What is read last is remembered best, and what is
made from a model remembers with it; whoever was made without the owner's run says things of the documents that no later shuffling of
theirs can have moved. So the order is held against the suspect's figures as one permutation among all (statistics/training_order.py).

    1. The owner's lot is opened and checked; the order follows from it.
    2. Each document gets a number that does not depend on the order: its log-likelihood per byte, or the weight of its own runs of words
       that stand in the suspect's answers (measures/overlap.py).
    3. Pairs of documents whose later one has the larger number are counted; the law of their number is known. Where unrelated
       controls scored the same documents, their mean makes strata, and what it explains is taken away (log-likelihoods alone).
    4. Controls in the suspect's place, and what the suspect was asked, show nothing of the order, or a premise is broken.

This is no post-hoc membership inference: nothing is said of any document, and the chance comes from the owner's lot instead of a guess at
what the suspect would have said had it not read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from filiation.canaries.premises import NO_OTHERS
from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Effect,
    Identity,
    Null,
    Observation,
    Outcome,
    Proposition,
    Relation,
    Relations,
    Test,
)
from filiation.examiners import drawn_texts
from filiation.examiners.drawn_texts import Look, Seen, Values, Words, mean_of
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.outcomes import Figures
from filiation.sources.source import Source
from filiation.statistics.register import Calibration
from filiation.statistics.training_order import OrderTest, tau_to_detect, training_order

if TYPE_CHECKING:
    from filiation.lots import Lot

NAME = "training_order"
VERSION = "1"
QUESTION = "Does the suspect remember the documents that the reference read late better than those it read early?"
NEEDS = (Access.MARKS, Access.TRANSCRIPT)
_OF_EVERY_TEST: dict[str, Any] = {
    "proposition": Proposition.DATA,
    "alternative": "made without the reference's training run, and without anything that came of it",
    "relation_class": "made from the reference, or from what came of the same training run",
    "characteristic": Characteristic.INDIVIDUAL,
    "null": Null.CONSTRUCTION,
}
TEXT = Test(
    id="training_order.text",
    formula="P(S >= s), S the pairs of documents whose later one stands more in the answers, over all orders, ties as they are",
    **_OF_EVERY_TEST,
)
LIKELIHOOD = Test(
    id="training_order.later-is-remembered",
    formula="P(S >= s), S the pairs of documents of a stratum whose later one is likelier, over all orders, ties as they are",
    **_OF_EVERY_TEST,
)
TESTS = (TEXT, LIKELIHOOD)
KINDS = ((TEXT, "text"), (LIKELIHOOD, "likelihood"))
WORDS = Words(drawn="The order", counted="pairs of documents in the order's direction")
CLAIMS = ("trained in the drawn order",)
PARAMETERS = drawn_texts.PARAMETERS
ASSUMPTIONS = (
    "Whoever was made without the reference's run does not depend on the order: the owner's secret was known to nobody else before.",
    drawn_texts.ASKED_BEFORE,
    NO_OTHERS,
)
LIMITATIONS = (
    "Base and derivative, and two derivatives of one base, show the same order: which of them the suspect comes from is not told.",
    "That the reference read the documents in the drawn order is the owner's word; where it did not, a relative is missed, and no "
    "stranger is accused.",
    "Long training on other text, and several passes over the documents in other orders, wear the order out.",
)
OUTPUTS_TOO = "Answers of the reference that were learned from may carry the order as well: weights and outputs are not told apart."
REFERENCES = (
    "Kuditipudi et al. 2025, Blackbox model provenance via palimpsestic membership inference",
    "Kendall 1938, A new measure of rank correlation",
    "MacMahon 1916, Combinatory analysis (the law of inversions, ties included)",
)


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """What was opened, or who answered; `Absent` where there is neither."""
    return drawn_texts.observe_drawn(NAME, VERSION, source, "order")


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """The line-up of the two alone."""
    return line_up(first, second, (), seed, progress)


def line_up(
    reference: Subject, suspect: Subject, controls: Sequence[Subject], seed: int, progress: Progress = silent
) -> Relation | Absent:
    """The place of each document in the drawn order, and what suspect and controls have of it."""
    return drawn_texts.line_up_of(NAME, VERSION, "order", _drawn, (reference, suspect, *controls), seed)


def _drawn(lot: Lot) -> tuple[Sequence[Sequence[str]], dict[str, Any]]:
    from filiation.lots import documents, drawn_order

    return [(text,) for text in documents(lot)], {"places": list(drawn_order(lot))}


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """One outcome per kind of number: the law of the pairs in the order's direction."""
    return drawn_texts.judge_drawn(
        [_look(test, kind, relations.pair) for test, kind in KINDS],
        relations.pair,
        calibration,
        version=VERSION,
        words=WORDS,
        assumptions=ASSUMPTIONS,
    )


def _look(test: Test, kind: str, pair: Relation) -> Look:
    places = [pair.content["places"][number] for number in pair.content[kind].get("at", ())]

    def measure(values: Values, others: Sequence[Values]) -> Seen:
        return _seen(test, training_order(places, _only(values), _only(mean_of(others)) or None))

    return Look(test, kind, measure, (*LIMITATIONS, *([OUTPUTS_TOO] if test is TEXT else [])))


def _only(values: Values) -> list[int]:
    """The number of each document."""
    return [number for (number,) in values]


def _seen(test: Test, seen: OrderTest) -> Seen:
    what = "log-likelihood per byte" if test is LIKELIHOOD else "what answers share with a document"
    return Seen(
        Figures(
            count=seen.concordant,
            opportunities=seen.pairs,
            chance=0.5,
            log10_p=seen.log10_p,
            log10_e=seen.log10_e,
            resolution_log10_p=seen.resolution_log10_p,
        ),
        Effect(
            name=f"Kendall's tau of the place in the order and {what}",
            value=round(seen.tau, 6),
            low=round(seen.tau_low, 6),
            high=round(seen.tau_high, 6),
        ),
        lambda log10_p: (1.0 + tau_to_detect(seen.sizes, log10_p)) / 2.0,
    )
