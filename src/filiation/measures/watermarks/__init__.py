"""Watermarks in text: keyed functions of (context, token), read back from token ids."""

from filiation.measures.watermarks.drawing import key_from, settings_of, tokenizer_named_in
from filiation.measures.watermarks.green_list import GreenReading, green_reading
from filiation.measures.watermarks.gumbel import GumbelReading, gumbel_reading, uniforms
from filiation.measures.watermarks.keys import (
    GreenListKey,
    GumbelKey,
    SynthIDKey,
    VllmGumbelKey,
    WatermarkKey,
    new_key,
    read_key,
)
from filiation.measures.watermarks.reading import Reading, counted_windows, reading, recorded, within_vocabulary
from filiation.measures.watermarks.synthid import SynthIDReading, g_values, synthid_reading
from filiation.measures.watermarks.vllm_gumbel import vllm_reading, vllm_uniforms, vllm_words
from filiation.measures.watermarks.windows import Tokens, distinct, first_in_context, first_windows_of, windows_of

__all__ = [
    "GreenListKey",
    "GreenReading",
    "GumbelKey",
    "GumbelReading",
    "Reading",
    "SynthIDKey",
    "SynthIDReading",
    "Tokens",
    "VllmGumbelKey",
    "WatermarkKey",
    "counted_windows",
    "distinct",
    "first_in_context",
    "first_windows_of",
    "g_values",
    "green_reading",
    "gumbel_reading",
    "key_from",
    "new_key",
    "read_key",
    "reading",
    "recorded",
    "settings_of",
    "synthid_reading",
    "tokenizer_named_in",
    "uniforms",
    "vllm_reading",
    "vllm_uniforms",
    "vllm_words",
    "windows_of",
    "within_vocabulary",
]
