"""One text, one key of any scheme: the windows that the scheme counts, what the key says about them, and that as plain numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from filiation.measures.watermarks.green_list import GreenReading, green_reading
from filiation.measures.watermarks.gumbel import GumbelReading, gumbel_reading
from filiation.measures.watermarks.keys import GreenListKey, SynthIDKey, VllmGumbelKey, WatermarkKey
from filiation.measures.watermarks.synthid import SynthIDReading, synthid_reading
from filiation.measures.watermarks.vllm_gumbel import PADDING, vllm_reading
from filiation.measures.watermarks.windows import Tokens, distinct, first_windows_of, windows_of

Reading = GreenReading | SynthIDReading | GumbelReading


def counted_windows(texts: Sequence[Sequence[int] | Tokens], key: WatermarkKey) -> Tokens:
    """The windows of texts, given as token ids, that count for this scheme, each once. They do not depend on the secret."""
    if isinstance(key, GreenListKey):
        return distinct(windows_of(texts, key.window))
    if isinstance(key, VllmGumbelKey):
        return first_windows_of([[PADDING] * key.context_width + list(text) for text in texts], key.window)
    return first_windows_of(texts, key.window)


def within_vocabulary(windows: Tokens, key: WatermarkKey) -> Tokens:
    """The windows of which every token has a place in the key's lists: of a token beyond them no key says anything.

    A suspect that writes one such token, where a tokenizer has more than the marked model's vocabulary, would else stop the reading.
    """
    return windows[(windows < key.vocabulary).all(axis=1)] if isinstance(key, GreenListKey) else windows


def reading(windows: Tokens, key: WatermarkKey) -> Reading:
    """What the key says about windows of its own width."""
    if isinstance(key, GreenListKey):
        return green_reading(windows, key)
    if isinstance(key, SynthIDKey):
        return synthid_reading(windows, key)
    if isinstance(key, VllmGumbelKey):
        return vllm_reading(windows, key)
    return gumbel_reading(windows, key)


def recorded(seen: Reading) -> dict[str, Any]:
    """A reading as the JSON that `statistics.watermark_tails.read_score` judges: everything its exact law needs, in small numbers."""
    if isinstance(seen, GreenReading):
        return {
            "law": "lists",
            "count": seen.count,
            "sizes": _counted(seen.sizes),
            "list_size": seen.list_size,
            "vocabulary": seen.vocabulary,
        }
    if isinstance(seen, SynthIDReading):
        ones, keys = np.unique(seen.every_key, return_counts=True)
        return {
            "law": "layers",
            "count": seen.count,
            "windows": seen.windows,
            "layers": len(seen.by_layer),
            "keys": [list(pair) for pair in zip(ones.tolist(), keys.tolist(), strict=True)],
        }
    return {
        "law": "sum",
        "count": seen.upper_half,
        "windows": seen.windows,
        "millionths": math.floor(max(0.0, seen.score) * 1e6),
    }


def _counted(values: Sequence[int]) -> list[list[int]]:
    return [[value, times] for value, times in sorted(Counter(values).items())]
