"""What a key says about texts, as figures: the exact tail, placebo keys beside it, and what both rest on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass

from filiation.errors import UsageError
from filiation.evidence import round_against_accuser
from filiation.examiners.watermark import LIMITATIONS, PREMISES, idealised, placebo_draws
from filiation.measures.watermarks import (
    GreenReading,
    Tokens,
    WatermarkKey,
    counted_windows,
    reading,
    recorded,
)
from filiation.statistics import watermark_tails as tails

RETOKENISED = "tokens were made from text anew: where they differ from those that were generated the mark is missed, never invented"

NOTHING_JUDGED = (
    "nothing was judged: the texts are empty, or none is longer than the tokens of context that the key reads"
)


@dataclass(frozen=True, kw_only=True)
class Detection:
    """`score`: green tokens, ones, or the sum of -log(1 - u); `expected`: its mean in text that does not depend on the key.

    `log10_p`, `log10_e`: exact, after paying for `searched` texts, keys and suspects. `placebo_p`: among `placebos` random keys.
    """

    scheme: str
    commitment: str
    tokens: int
    windows: int
    opportunities: int
    set_aside: int
    score: float
    expected: float
    log10_p: float
    log10_e: float
    resolution_log10_p: float
    placebo_p: float
    placebos: int
    searched: int
    premises: tuple[str, ...]
    limitations: tuple[str, ...]


def detection(
    texts: Sequence[Sequence[int] | Tokens],
    key: WatermarkKey,
    *,
    placebos: int,
    searched: int = 1,
    retokenised: bool = False,
) -> Detection:
    """Judge token ids against a key. Placebo keys follow from the key's commitment and the windows: asked again, the figures are the same.

    Raises UsageError for a key that everybody has, for fewer than one placebo key, and for less than one search.
    """
    if key.published:
        raise UsageError(
            "this key is published with the software: anybody can mark text with it",
            advice="a mark shows something only under a key of one's own; 'filiation watermark key' draws one",
        )
    if placebos < 1 or searched < 1:
        raise UsageError("placebo keys and searches are counted from 1", advice="the default is 99 placebo keys")
    windows = counted_windows(texts, key)
    seen = reading(windows, key)
    score = tails.read_score(recorded(seen))
    draw = placebo_draws(hashlib.sha256(key.commitment.encode() + windows.tobytes()).digest())
    others = [reading(windows, key.another(draw)).score for _ in range(placebos)]
    cost = math.log10(searched)
    return Detection(
        scheme=key.scheme,
        commitment=key.commitment,
        tokens=sum(len(text) for text in texts),
        windows=len(windows),
        opportunities=seen.opportunities,
        set_aside=seen.set_aside if isinstance(seen, GreenReading) else 0,
        score=float(seen.count) if isinstance(seen, GreenReading) else seen.score,
        expected=score.expected,
        log10_p=_p(tails.log10_p_of(score, key.log10_keys) + cost),
        log10_e=round_against_accuser(tails.log10_e_of(score, key.log10_keys) - cost, accuses_when="large"),
        resolution_log10_p=_p(tails.log10_resolution(score, key.log10_keys) + cost),
        placebo_p=tails.placebo_p_value(seen.score, others),
        placebos=placebos,
        searched=searched,
        premises=(*PREMISES, *idealised(key)),
        limitations=(*_nothing_judged(windows), *LIMITATIONS, *([RETOKENISED] if retokenised else [])),
    )


def _nothing_judged(windows: Sized) -> tuple[str, ...]:
    """What to say first where no text was long enough to be judged: its p of 1 is no observation."""
    return () if len(windows) else (NOTHING_JUDGED,)


def _p(log10_p: float) -> float:
    return round_against_accuser(min(0.0, log10_p), accuses_when="small")
