"""The shift of a suspect's predictions from those of a companion that read the same texts, held against a key.

What a model finds likely is mostly the language. A companion that knows the same language and not the key, above all the model that the
suspect was tuned from, takes that away: what is left is what the suspect learned beside it (measures/radioactivity.py, `shift`), and of
that the key's law is known (statistics/keyed_weights.py).

The law asks of the companion what it asks of the suspect: that it does not depend on the key. A companion that was marked itself hides a
suspect; one that somebody made to lean away from the key would accuse everybody. What stands against that:

    1. It is named, with its digest, as a premise: made before the key was drawn, or by somebody who had no access to it.
    2. Its own predictions are held against the key, on both sides.
    3. Every control is held against the same companion: a companion that leans away makes them lean to the key.

    4. It has to have read every text that the suspect read: those of a choice made by what the key says lean to the key.

None of these sees a companion that leans by less than what they find, and 3 needs controls that somebody else chose: 1 remains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from filiation.canaries.scoring import CONTROL_LOG10_P
from filiation.evidence import (
    Absent,
    Companion,
    Effect,
    Null,
    Outcome,
    Relation,
    Relations,
    Test,
    round_against_accuser,
)
from filiation.examiners.examiner import Progress
from filiation.examiners.marked import how_it_was_drawn
from filiation.examiners.outcomes import (
    CONSTRUCTED_LOG10_P,
    Figures,
    constructed_power,
    finding_of,
    inconclusive_of,
    not_examined_of,
)
from filiation.examiners.watermark import (
    AFFORDABLE,
    NUMBERS_OF_A_WINDOW,
    PLACEBO_KEYS,
    Opened,
    multiplicity_of,
    placebo_draws,
)
from filiation.measures.radioactivity import (
    Likeliest,
    PlaceWeights,
    Weighed,
    alone,
    contexts_are_independent,
    in_lists,
    shift,
    weighed_windows,
    with_numbers,
)
from filiation.measures.watermarks import GreenListKey, SynthIDKey, Tokens, VllmGumbelKey, WatermarkKey
from filiation.statistics.keyed_weights import ShiftScore, score_of_lists, score_of_numbers
from filiation.statistics.power import detectable_share
from filiation.statistics.register import Calibration
from filiation.statistics.watermark_tails import placebos_reaching

NO_COMPANION = (
    "no companion was named: give a recording of what the suspect's own base makes of the same texts with 'filiation score --predictions "
    "--likeliest 50', and --parameter radioactivity.suspect_base=transcripts:FILE#MODEL"
)
LIKELIEST_ALONE = (
    "{who} recorded the likeliest token alone: record more with 'filiation score --predictions --likeliest 50'"
)
NO_LAW = "under this scheme a shift of whole predictions has no law here: the likeliest tokens are judged alone"
WHO_CHOSE_IT = (
    "A companion near the suspect accuses it by a lean that no check here can see, nor any control: the figure is worth what is known of "
    "who made the companion, who recorded it and when."
)
FEWEST_PLACEBO_KEYS = 5
"""Weights are many more than windows, and so is what a placebo key costs."""


@dataclass(frozen=True)
class Read:
    """What a model read, as token ids, and what it found likeliest; by the text, and how often it had read the same before."""

    texts: Mapping[tuple[str, int], Tokens]
    likeliest: Mapping[tuple[str, int], Likeliest]

    @property
    def likeliest_alone(self) -> bool:
        return all(each.tokens.shape[1] < 2 for each in self.likeliest.values())


@dataclass(frozen=True)
class Beside:
    """The companion: its name, the digest of its recording, and what it read."""

    name: str
    digest: str
    read: Read


# -------------------------------------------------------------------------------------------------------------- relate


def shifted(
    suspect: Read, beside: Beside | Absent, opened: Opened, *, was_marked: bool, progress: Progress
) -> dict[str, Any]:
    """What is recorded of the shift: its score and what stands beside it, or the reason why there is none."""
    missing = _missing(suspect, beside, opened.key)
    if missing or isinstance(beside, Absent):
        return {"reason": missing}
    texts = list(suspect.texts.values())

    def weighed(weights: Sequence[PlaceWeights]) -> Weighed:
        return weighed_windows(texts, weights, opened.key, read_was_marked=was_marked)

    found = weighed([shift(suspect.likeliest[name], beside.read.likeliest[name]) for name in suspect.texts])
    score = score_under(found, opened.key)
    if not score.variance:
        return {"reason": f"the suspect predicts what {beside.name} predicts: there is no shift that could be judged"}
    own = weighed([alone(beside.read.likeliest[name]) for name in suspect.texts])
    return {
        "companion": {"name": beside.name, "digest": beside.digest},
        "texts": len(texts),
        "score": _recorded(score),
        "own": [_recorded(score_under(side, opened.key)) for side in (own, _reversed(own))],
        "placebo": placebo(found, score, opened, progress),
    }


def _missing(suspect: Read, beside: Beside | Absent, key: WatermarkKey) -> str:
    """Why there is no shift; empty where there may be one."""
    if isinstance(beside, Absent):
        return beside.reason
    if not contexts_are_independent(key):
        return NO_LAW
    for who, read in (("the suspect", suspect), (beside.name, beside.read)):
        if read.likeliest_alone:
            return LIKELIEST_ALONE.format(who=who)
    common = sum(_same_text(name, suspect, beside.read) for name in suspect.texts)
    return "" if common == len(suspect.texts) else _by_choice(beside.name, common, len(suspect.texts))


def _by_choice(companion: str, read: int, texts: int) -> str:
    """Of texts that lean to the key by chance, those of one half, added up, give any p to whoever leaves out the others."""
    if not read:
        return f"{companion} read none of these texts with the same tokens as the suspect"
    return (
        f"{companion} read {read} of the {texts} texts with the same tokens as the suspect, and which they are can have been chosen by "
        "what the key says: let it read them all, or leave out the others for the suspect as well, before anything is compared"
    )


def _same_text(name: tuple[str, int], suspect: Read, other: Read) -> bool:
    return name in other.texts and np.array_equal(suspect.texts[name], other.texts[name])


def _reversed(weighed: Weighed) -> Weighed:
    return Weighed(weighed.contexts, weighed.context, weighed.tokens, -weighed.weights, weighed.follows)


def score_under(weighed: Weighed, key: WatermarkKey) -> ShiftScore:
    """What a key says of weighted windows; its contexts are independent."""
    assert not isinstance(key, SynthIDKey)
    if isinstance(key, GreenListKey):
        listed = in_lists(weighed, key)
        return score_of_lists(
            listed.lists,
            listed.weights,
            listed.green,
            list_size=key.list_size,
            vocabulary=key.vocabulary,
            follows=weighed.follows,
        )
    return score_of_numbers(
        len(weighed.contexts),
        weighed.weights,
        with_numbers(weighed, key),
        coarse=isinstance(key, VllmGumbelKey),
        follows=weighed.follows,
    )


def _recorded(score: ShiftScore) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(score)
    return told


def placebo(weighed: Weighed, score: ShiftScore, opened: Opened, progress: Progress) -> dict[str, int]:
    """Keys that nobody used, drawn from the lot's seed: how many there are, and how many have as large an excess."""
    key, draw = opened.key, placebo_draws(opened.lot.seed)
    cost = score.contexts * key.vocabulary if isinstance(key, GreenListKey) else NUMBERS_OF_A_WINDOW * score.weighed
    keys = max(FEWEST_PLACEBO_KEYS, min(PLACEBO_KEYS, AFFORDABLE // max(cost, 1)))
    excesses = []
    for number in range(keys):
        progress("placebo keys of the shift", number / keys)
        excesses.append(float(score_under(weighed, key.another(draw)).excess))
    return {"keys": keys, "reaching": placebos_reaching(float(score.excess), excesses)}


# --------------------------------------------------------------------------------------------------------------- judge


def judge_shift(
    test: Test,
    relations: Relations,
    calibration: Calibration,
    *,
    version: str,
    assumptions: tuple[str, ...],
    limitations: tuple[str, ...],
    idealised: tuple[str, ...],
    ways: int,
    read_is_clean: bool,
) -> Outcome:
    """One outcome from what `shifted` recorded.

    1. Not examined where there is no shift, with what it would need.
    2. Decline where a control, placebo keys, the companion itself or what was read show the mark.
    3. The figures, what was searched paid for.
    """
    pair, controls = relations.pair, relations.reference_by_control
    found = _shift_of(pair)
    if "reason" in found:
        return not_examined_of(test, pair, found["reason"], version=version)
    searched = multiplicity_of(pair, ways)
    score, log10_keys = _score(found["score"]), pair.content["thousandths_of_log10_keys"] / 1000.0
    beside = [(each.second, _score(_shift_of(each)["score"])) for each in controls if "score" in _shift_of(each)]
    every = searched.log10_cost + math.log10(max(1, len(beside)))
    own = [_score(side).log10_p(log10_keys) for side in found["own"]]
    told: dict[str, Any] = {
        "version": version,
        "companions": (
            *(_of_control(name, each, _p(each.log10_p(log10_keys) + every)) for name, each in beside),
            _of_placebos(found["placebo"]),
            _of_companion(found, own),
        ),
        "limitations": (*limitations, WHO_CHOSE_IT, *_without_controls(beside)),
    }
    paid = _p(score.log10_p(log10_keys) + searched.log10_cost)
    broken = [
        *_broken_by_controls(found, [name for name, each in beside if _p(each.log10_p(log10_keys) + every) <= CONTROL_LOG10_P]),
        *_broken_by_placebos(found["placebo"], paid),
        *_broken_by_companion(found, own),
        *([] if read_is_clean else ["the texts read carry the mark themselves, and the suspect may have repeated it"]),
    ]  # fmt: skip
    if broken:
        return inconclusive_of(test, pair, f"a premise is broken: {'; '.join(broken)}", further=controls, **told)
    return finding_of(
        test,
        pair,
        _figures(score, log10_keys),
        effect=_effect(score),
        power=constructed_power(_share_found(score, CONSTRUCTED_LOG10_P - searched.log10_cost)),
        parameters=pair.content["settings"],
        calibration=calibration,
        multiplicity=searched,
        assumptions=(
            *how_it_was_drawn(pair.content["mark"], f"The key (SHA-256 {pair.content['mark']['key_sha256']})"),
            *assumptions,
            _premise(found),
            *idealised,
        ),
        further=controls,
        **told,
    )


def _shift_of(relation: Relation) -> Mapping[str, Any]:
    """What was recorded; records of the first version know no shift."""
    found: Mapping[str, Any] = relation.content.get("shift", {"reason": NO_COMPANION})
    return found


def _premise(found: Mapping[str, Any]) -> str:
    companion = found["companion"]
    return (
        f"The companion {companion['name']} (recording {companion['digest']}) does not depend on the key: it was made before the key was "
        "drawn, or by somebody who had no access to it or to marked text; and it was not picked among several by what the key says."
    )


def _without_controls(beside: Sequence[Any]) -> tuple[str, ...]:
    if beside:
        return ()
    return (
        "No control was held against the same companion: that the companion does not lean away from the key rests on its own predictions "
        "and on the premise.",
    )


def _score(recorded: Mapping[str, Any]) -> ShiftScore:
    return msgspec.convert(recorded, type=ShiftScore)


def _figures(score: ShiftScore, log10_keys: float) -> Figures:
    return Figures(
        count=score.preferred,
        opportunities=score.gained,
        chance=score.chance,
        log10_p=score.log10_p(log10_keys),
        log10_e=score.log10_e(log10_keys),
        resolution_log10_p=-log10_keys,
    )


def _effect(score: ShiftScore) -> Effect:
    value = score.deviations
    return Effect(
        name="excess of the shift in its standard deviations, 0 without the key",
        value=round(value, 6),
        low=round(value - 1.96, 6),
        high=round(value + 1.96, 6),
    )


def _share_found(score: ShiftScore, log10_threshold: float) -> float:
    """By counting the tokens that gained, which finds less than their weights do."""
    share = detectable_share(score.gained, score.chance, log10_threshold)
    return 1.0 if isinstance(share, Absent) else round(share, 6)


# ------------------------------------------------------------------------------------------------------ what stands beside


def _of_control(name: str, score: ShiftScore, log10_p: float) -> Companion:
    return Companion(
        null=Null.CONSTRUCTION,
        name=f"control {name}",
        value=f"{score.deviations:.2f} standard deviations",
        note=f"its shift from the same companion, log10 p {log10_p:.3f}",
    )


def _of_placebos(placebos: Mapping[str, int]) -> Companion:
    reaching, keys = placebos["reaching"], placebos["keys"]
    return Companion(
        null=Null.CONSTRUCTION,
        name="placebo keys",
        value=f"{reaching} of {keys}",
        note=f"keys that nobody used and whose excess is as large; p {(1 + reaching) / (1 + keys):.4g}, for which no law is needed",
    )


def _of_companion(found: Mapping[str, Any], own: Sequence[float]) -> Companion:
    return Companion(
        null=Null.CONSTRUCTION,
        name=f"the companion {found['companion']['name']} by itself",
        value=f"{_score(found['own'][0]).deviations:.2f} standard deviations",
        note=f"of its own predictions: log10 p towards the key {_p(own[0]):.3f}, away from it {_p(own[1]):.3f}",
    )


def _broken_by_controls(found: Mapping[str, Any], shown: Sequence[str]) -> list[str]:
    companion = found["companion"]["name"]
    return [
        f"the unrelated model {name} is shifted from {companion} towards the key as well: {companion} leans away from it, {name} was "
        "exposed to it, or the key was not secret"
        for name in shown
    ]


def _broken_by_placebos(placebos: Mapping[str, int], log10_p: float) -> list[str]:
    if log10_p > CONSTRUCTED_LOG10_P or not placebos["reaching"]:
        return []
    return ["keys that nobody used show as large an excess, which the law of the score does not allow"]


def _broken_by_companion(found: Mapping[str, Any], own: Sequence[float]) -> list[str]:
    """Both sides are looked at, and so both are paid for."""
    companion = found["companion"]["name"]
    return [
        f"the companion {companion} leans {side} by itself: it is not independent of it"
        for side, log10_p in zip(("towards the key", "away from the key"), own, strict=True)
        if log10_p + math.log10(2.0) <= CONTROL_LOG10_P
    ]


def _p(log10_p: float) -> float:
    return round_against_accuser(min(0.0, log10_p), accuses_when="small")
