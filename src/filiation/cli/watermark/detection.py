"""What a key says about texts, as figures: the exact tail, placebo keys beside it, and what both rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from filiation.errors import UsageError
from filiation.evidence import round_against_accuser
from filiation.measures.watermarks import (
    GreenListKey,
    GreenReading,
    Reading,
    SynthIDKey,
    SynthIDReading,
    Tokens,
    WatermarkKey,
    counted_windows,
    reading,
)
from filiation.statistics import watermark_tails as tails

PREMISES = (
    "the key was secret, drawn at random and fixed before the text was written",
    "nobody who made the text knew the key or had its verdicts",
)
LIMITATIONS = (
    "absence of a mark says nothing: paraphrase, translation and other settings remove it",
    "a mark says whose key the text was made with, not who asked for it or what became of it",
)
RETOKENISED = "tokens were made from text anew: where they differ from those that were generated the mark is missed, never invented"
LISTS_ARE_PSEUDORANDOM = (
    "the lists of different contexts, drawn by torch's generator on a CPU, count as independent random lists"
)
NUMBERS_ARE_PSEUDORANDOM = "the keyed numbers of different windows count as independent random numbers"


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
    draw: Callable[[int], int],
    *,
    placebos: int,
    searched: int = 1,
    retokenised: bool = False,
) -> Detection:
    """Judge token ids against a key. `draw(n)`: a random integer below n, for the placebo keys.

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
    others = [reading(windows, key.another(draw)).score for _ in range(placebos)]
    cost = math.log10(searched)
    return Detection(
        scheme=type(key).__struct_config__.tag,  # type: ignore[arg-type]
        commitment=key.commitment,
        tokens=sum(len(text) for text in texts),
        windows=len(windows),
        opportunities=seen.opportunities,
        set_aside=seen.set_aside if isinstance(seen, GreenReading) else 0,
        score=float(seen.count) if isinstance(seen, GreenReading) else seen.score,
        expected=expected(seen),
        log10_p=round_against_accuser(min(0.0, exact_log10_p(seen, key) + cost), accuses_when="small"),
        log10_e=round_against_accuser(exact_log10_e(seen, key) - cost, accuses_when="large"),
        resolution_log10_p=round_against_accuser(min(0.0, resolution(seen, key) + cost), accuses_when="small"),
        placebo_p=tails.placebo_p_value(seen.score, others),
        placebos=placebos,
        searched=searched,
        premises=(*PREMISES, *_idealised(key)),
        limitations=(*LIMITATIONS, *([RETOKENISED] if retokenised else [])),
    )


def exact_log10_p(seen: Reading, key: WatermarkKey) -> float:
    """log10 of the exact tail of one reading, no smaller than the chance of guessing the key."""
    return tails.no_smaller_than_a_guess(_tail(seen), key.log10_keys)


def exact_log10_e(seen: Reading, key: WatermarkKey) -> float:
    """log10 of the e-value of one reading, no larger than the number of keys."""
    if isinstance(seen, GreenReading):
        log10_e = tails.log10_green_e_value(seen.count, seen.opportunities, seen.list_size, seen.vocabulary)
    elif isinstance(seen, SynthIDReading):
        log10_e = tails.log10_layers_e_value(seen.count, seen.every_key, len(seen.by_layer))
    else:
        log10_e = tails.log10_gumbel_e_value(seen.score, seen.windows)
    return tails.no_larger_than_a_guess(log10_e, key.log10_keys)


def resolution(seen: Reading, key: WatermarkKey) -> float:
    """log10 of the smallest p that this text could have given under this key."""
    if isinstance(seen, GreenReading):
        most = min(seen.opportunities, sum(min(size, seen.list_size) for size in seen.sizes))
        best = tails.log10_green_tail(most, seen.sizes, seen.list_size, seen.vocabulary)
    elif isinstance(seen, SynthIDReading):
        layers = len(seen.by_layer)
        best = tails.log10_layers_tail(layers * int(seen.every_key.max()), seen.every_key, layers)
    else:
        best = -math.inf if seen.windows else 0.0
    return tails.no_smaller_than_a_guess(best, key.log10_keys)


def expected(seen: Reading) -> float:
    """The mean of the score in text that does not depend on the key."""
    if isinstance(seen, GreenReading):
        return seen.opportunities * seen.chance
    if isinstance(seen, SynthIDReading):
        return len(seen.by_layer) * float(seen.every_key.mean())
    return float(seen.windows)


def _tail(seen: Reading) -> float:
    if isinstance(seen, GreenReading):
        return tails.log10_green_tail(seen.count, seen.sizes, seen.list_size, seen.vocabulary)
    if isinstance(seen, SynthIDReading):
        return tails.log10_layers_tail(seen.count, seen.every_key, len(seen.by_layer))
    return tails.log10_gumbel_tail(seen.score, seen.windows)


def _idealised(key: WatermarkKey) -> tuple[str, ...]:
    """SynthID's law is a count over all keys and idealises nothing."""
    if isinstance(key, GreenListKey):
        return (LISTS_ARE_PSEUDORANDOM,)
    return () if isinstance(key, SynthIDKey) else (NUMBERS_ARE_PSEUDORANDOM,)
