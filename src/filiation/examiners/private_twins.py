"""Does the suspect favour the published one of two equally good texts, where a lot decided which one was published?

The owner has pairs of twins and lets a lot choose (`filiation lot`): one is published, the other never leaves the house. Whoever
learned from the published texts, or from a model that did, favours them a little; whoever did not has no way to know on which side
of a pair the owner's coin fell. So the signs of the differences, given their sizes, are held against fair coins
(statistics/signed_ranks.py).

    1. The owner's lot is opened and checked; the choice follows from it.
    2. Each twin gets a number that does not depend on the choice: its log-likelihood per byte, or the weight of its own runs of words
       that stand in the suspect's answers (measures/overlap.py).
    3. Differences, published less withheld, are ranked by size; the ranks of those in favour of the published one are summed. Where
       unrelated controls scored the same twins, what their mean difference explains is taken away first (log-likelihoods alone).
    4. Controls in the suspect's place, and what the suspect was asked, show nothing of the choice, or a premise is broken.

This is no post-hoc membership inference: the withheld twin is what the suspect would have been shown had the coin fallen otherwise, so
that nothing has to be guessed about texts that it did not read.
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
from filiation.statistics.signed_ranks import effect_to_detect_among, private_twins

if TYPE_CHECKING:
    from filiation.lots import Lot

NAME = "private_twins"
VERSION = "1"
QUESTION = (
    "Does the suspect favour the published one of two equally good texts, where a lot decided which one was published?"
)
NEEDS = (Access.MARKS, Access.TRANSCRIPT)
_OF_EVERY_TEST: dict[str, Any] = {
    "proposition": Proposition.DATA,
    "alternative": "made without the published texts, and without anything that learned from them",
    "relation_class": "trained on the published texts, itself or through what it was made or learned from",
    "characteristic": Characteristic.INDIVIDUAL,
    "null": Null.CONSTRUCTION,
}
TEXT = Test(
    id="private_twins.text",
    formula="P(T >= t), T the ranks of pairs whose published twin stands more in the answers, over all choices",
    **_OF_EVERY_TEST,
)
LIKELIHOOD = Test(
    id="private_twins.likelihood",
    formula="P(T >= t), T the ranks of pairs whose published twin is likelier, over all choices",
    **_OF_EVERY_TEST,
)
TESTS = (TEXT, LIKELIHOOD)
KINDS = ((TEXT, "text"), (LIKELIHOOD, "likelihood"))
WORDS = Words(drawn="Which twin was published", counted="pairs in favour of the published twin")
CLAIMS = ("trained on published twins",)
PARAMETERS = drawn_texts.PARAMETERS
ASSUMPTIONS = (
    "Whoever did not learn from the published texts does not depend on the choice: secret and withheld twins never left the owner's house.",
    drawn_texts.ASKED_BEFORE,
    NO_OTHERS,
)
LIMITATIONS = (
    "Anybody may have read what was published, and have passed it on: who took it, and whether that was allowed, is not told.",
    "Base and derivative favour the same twins: which of them the suspect comes from is not told.",
    "Nothing is said of any single text.",
)
REFERENCES = (
    "Wilcoxon 1945, Individual comparisons by ranking methods",
    "Oren et al. 2023, Proving test set contamination in black box language models (the chance from an order of one's own)",
    "Zhang et al. 2024, Membership inference attacks cannot prove that a model was trained on your data (why the twin is withheld by lot)",
)


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """What was opened, or who answered; `Absent` where there is neither."""
    return drawn_texts.observe_drawn(NAME, VERSION, source, "twins")


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """The line-up of the two alone."""
    return line_up(first, second, (), seed, progress)


def line_up(
    reference: Subject, suspect: Subject, controls: Sequence[Subject], seed: int, progress: Progress = silent
) -> Relation | Absent:
    """What suspect and controls have of each pair, the published twin first."""
    return drawn_texts.line_up_of(NAME, VERSION, "twins", _drawn, (reference, suspect, *controls), seed)


def _drawn(lot: Lot) -> tuple[Sequence[Sequence[str]], dict[str, Any]]:
    from filiation.lots import drawn_twins

    return [(twin.published, twin.withheld) for twin in drawn_twins(lot)], {}


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """One outcome per kind of number: the law of the signed ranks."""
    return drawn_texts.judge_drawn(
        [Look(test, kind, _seen, LIMITATIONS) for test, kind in KINDS],
        relations.pair,
        calibration,
        version=VERSION,
        words=WORDS,
        assumptions=ASSUMPTIONS,
    )


def _differences(values: Values) -> list[int]:
    """Published less withheld."""
    return [published - withheld for published, withheld in values]


def _seen(values: Values, others: Sequence[Values]) -> Seen:
    own = _differences(values)
    seen = private_twins(own, [0] * len(own), _differences(mean_of(others)) if others else None)
    signed = seen.twins - seen.tied
    return Seen(
        Figures(
            count=seen.favoured,
            opportunities=signed,
            chance=0.5,
            log10_p=seen.log10_p,
            log10_e=seen.log10_e,
            resolution_log10_p=seen.resolution_log10_p,
        ),
        Effect(
            name="rank correlation of the differences with what was published",
            value=round(seen.effect, 6),
            low=round(seen.effect_low, 6),
            high=round(seen.effect_high, 6),
        ),
        lambda log10_p: (1.0 + effect_to_detect_among(signed, log10_p)) / 2.0,
    )
