"""One text, one key of any scheme: the windows that the scheme counts, and what the key says about them."""

from __future__ import annotations

from collections.abc import Sequence

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


def reading(windows: Tokens, key: WatermarkKey) -> Reading:
    """What the key says about windows of its own width."""
    if isinstance(key, GreenListKey):
        return green_reading(windows, key)
    if isinstance(key, SynthIDKey):
        return synthid_reading(windows, key)
    if isinstance(key, VllmGumbelKey):
        return vllm_reading(windows, key)
    return gumbel_reading(windows, key)
