"""The figures of one model of the survival study: what a verifier counts, and what it says of the canaries that would be needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from scipy.special import betainc, ndtri

from filiation.canaries.canary import Canary
from filiation.canaries.opening import Statistic
from filiation.canaries.scoring import Answers, Counted, Field, canaries_needed, read_answers
from filiation.statistics.intervals import share_interval
from filiation.statistics.power import detection_count, share_with_survival
from studies.canary_lines import BEACON, COHORT, KEY, OPTIONS

BATCH_OF_CANARIES = 256
LOG10_ALPHA, POWER = -12.0, 0.95


def figures(asked: Mapping[str, Any], canaries: Sequence[Canary], decoys: Sequence[Canary]) -> dict[str, Any]:
    """What a verifier counts, unpaid, and what it says of the share that survives and of the canaries that are needed."""
    texts = {int(index): text for index, text in asked["texts"].items()}
    scores = {int(index): tuple(each) for index, each in asked["log probabilities"].items()}
    said = Answers("model", texts, scores)
    return (
        by_agreements(said, canaries, decoys)
        | by_ranks(said, canaries)
        | {
            "log10 p of the decoys by ranks": _counted(decoys, said, "ranks").log10_p,
            "agreements by kind": by_kind(said, canaries),
            "loss": round(asked["loss"], 3),
        }
    )


def by_kind(said: Answers, canaries: Sequence[Canary]) -> dict[str, list[int]]:
    """Of each kind of question how many answers agree, and of how many canaries."""
    worth = read_answers(canaries, said, "agreements").worth
    counts: dict[str, list[int]] = {}
    for canary, each, label in zip(canaries, worth, _labels(canaries)[0], strict=True):
        told = counts.setdefault(canary.kind, [0, 0])
        told[0] += int(each[label] > 0)
        told[1] += 1
    return counts


def by_ranks(said: Answers, canaries: Sequence[Canary]) -> dict[str, Any]:
    """The part of the figures that needs the options' log-probabilities alone."""
    worth = read_answers(canaries, said, "ranks").worth
    ranks = np.array([each[label] for each, label in zip(worth, _labels(canaries)[0], strict=True)]) / 2
    return {
        "mean rank": round(float(ranks.mean()) / (OPTIONS - 1), 4),
        "log10 p by ranks": _counted(canaries, said, "ranks").log10_p,
        "batches by ranks, about": batches_by_ranks(ranks),
    }


def by_agreements(said: Answers, canaries: Sequence[Canary], decoys: Sequence[Canary]) -> dict[str, Any]:
    """The part of the figures that needs the answers' text alone."""
    agreed, beside = _counted(canaries, said, "agreements"), _counted(decoys, said, "agreements")
    low, high = share_interval(agreed.count, len(canaries))
    kept = survival(agreed.count / len(canaries))
    return {
        "agreements": agreed.count,
        "of": len(canaries),
        "unparsable": agreed.unparsable,
        "kept": round(kept, 4),
        "kept low": round(survival(low), 4),
        "kept high": round(survival(high), 4),
        "log10 p": agreed.log10_p,
        "batches": batches_needed(kept),
        "batches at most": batches_needed(survival(low)),
        "decoys": beside.count,
        "log10 p of the decoys": beside.log10_p,
    }


def _labels(canaries: Sequence[Canary]) -> Any:
    return Field(tuple(canaries), BEACON).labels(KEY, [COHORT])


def _counted(canaries: Sequence[Canary], said: Answers, statistic: Statistic) -> Counted:
    reading = read_answers(canaries, said, statistic)
    return reading.counted(int(reading.totals(_labels(canaries))[0]))


def survival(share: float) -> float:
    """The share of canaries kept when `share` of the answers agree: s in share = s + (1 - s) / M; below 0 by chance."""
    return (share - 1 / OPTIONS) / (1 - 1 / OPTIONS)


def batches_needed(kept: float) -> int | None:
    """Batches of 256 to be opened together for log10 p <= -12 with 95 % power, exact; None where nothing is kept.

    Power is a saw-tooth in the number of canaries, so that the fewest of them rounded up to whole batches may fall just short.
    """
    if kept <= 0:
        return None
    fewest = math.ceil(canaries_needed(min(kept, 1.0), OPTIONS, LOG10_ALPHA, POWER) / BATCH_OF_CANARIES)
    share = share_with_survival(min(kept, 1.0), 1 / OPTIONS)
    return next(batches for batches in count(fewest) if power_of(batches, share) >= POWER)


def power_of(batches: int, share: float) -> float:
    """The chance that so many batches of 256, opened together, reach log10 p <= -12 where a `share` of all answers agree."""
    opened = batches * BATCH_OF_CANARIES
    least = detection_count(opened, 1 / OPTIONS, LOG10_ALPHA)
    return float(betainc(least, opened - least + 1, share)) if least <= opened else 0.0


def batches_by_ranks(ranks: np.ndarray) -> int | None:
    """The same for the sum of ranks, by the normal law with the mean and the variance of the ranks that were seen.

    None where their mean is within two standard errors of what chance gives.
    """
    expected, variance = (OPTIONS - 1) / 2, (OPTIONS**2 - 1) / 12
    gained = float(ranks.mean()) - expected
    if gained <= 2 * math.sqrt(variance / len(ranks)):
        return None
    threshold = -float(ndtri(10**LOG10_ALPHA)) * math.sqrt(variance)
    certainty = float(ndtri(POWER)) * float(ranks.std())
    return math.ceil(((threshold + certainty) / gained) ** 2 / BATCH_OF_CANARIES)
