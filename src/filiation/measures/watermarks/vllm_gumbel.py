"""The Gumbel watermark of vLLM as it documents it (`prf`: philox4x32-10-v1), read back: its default scheme, in whole numbers.

The uniform number of a window is one of the four words that the counter-based generator Philox4x32-10 (Salmon and others 2011)
gives for (token // 4, hash of the context) under the 64-bit key; word number token mod 4. The context is hashed four tokens at a time
by the same generator, filled up with 0xFFFFFFFF, 0xFFFFFFFE, ... where it ends. Of the 32 bits the first 24 count:
u = (m + 1) / (2^24 + 1), rounded to single precision. The first tokens of an answer have contexts filled up with -1.

Twenty-four bits are coarse: a score -log(1 - u) exceeds x with a chance of up to exp(-x) (1 + 2^-24). So each window's score is
lowered by log(1 + 2^-24) before it is held against the exponential law, which makes the tail valid again.

vLLM can also mark with two keys (`dual_key_gumbel`) and with green tokens drawn one by one (`sbw`): those are not read here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from filiation.measures.watermarks.gumbel import GumbelReading
from filiation.measures.watermarks.keys import VllmGumbelKey
from filiation.measures.watermarks.windows import Tokens

PADDING = -1
"""What stands for the tokens before an answer's first one."""
COARSENESS = math.log1p(2.0**-24)
_WORD = np.uint64(0xFFFFFFFF)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_CONTEXT_DOMAIN = 0x574D4358
_TOKEN_DOMAIN = np.uint64(0x574D544B)
_ROUNDS = 10

Words = NDArray[np.uint64]


def vllm_reading(windows: Tokens, key: VllmGumbelKey) -> GumbelReading:
    """What the key says about these windows, shape (n, context_width + 1)."""
    drawn = vllm_uniforms(windows, key)
    each = -np.log1p(-drawn) - COARSENESS
    return GumbelReading(math.fsum(each.tolist()), len(windows), int((drawn > 0.5).sum()))


def vllm_uniforms(windows: Tokens, key: VllmGumbelKey) -> NDArray[np.float64]:
    """The number u of each window as vLLM has it in single precision, length n."""
    mantissas = (vllm_words(windows, key) >> np.uint64(8)).astype(np.float64)
    uniforms: NDArray[np.float64] = ((mantissas + 1.0) / (2.0**24 + 1.0)).astype(np.float32).astype(np.float64)
    return uniforms


def vllm_words(windows: Tokens, key: VllmGumbelKey) -> Words:
    """The 32 random bits of each window, length n."""
    low, high = np.uint64(key.key & 0xFFFFFFFF), np.uint64(key.key >> 32)
    words = windows.astype(np.int64).view(np.uint64).reshape(windows.shape) & _WORD
    state = _context_hash(words[:, :-1], low, high)
    token = words[:, -1]
    drawn = _philox(
        [token >> np.uint64(2), state[0], state[1], state[2]],
        low ^ state[3],
        np.broadcast_to(high ^ _TOKEN_DOMAIN, token.shape),
    )
    chosen: Words = np.choose((token & np.uint64(3)).astype(np.intp), drawn)
    return chosen


def _context_hash(context: Words, low: np.uint64, high: np.uint64) -> list[Words]:
    count, width = context.shape
    state = [np.full(count, first, dtype=np.uint64) for first in (_CONTEXT_DOMAIN, width, 0, 0)]
    for offset in range(0, width, 4):
        block = [
            context[:, offset + place] if offset + place < width else np.full(count, _WORD - np.uint64(place))
            for place in range(4)
        ]
        counter = [held ^ added for held, added in zip(state, block, strict=True)]
        state = _philox(counter, np.full(count, low ^ np.uint64(offset)), np.full(count, high))
    return state


def _philox(counter: list[Words], first_key: Words, second_key: Words) -> list[Words]:
    """Philox4x32-10; each array holds 32-bit words in 64 bits, in which no product overflows."""
    for _ in range(_ROUNDS):
        first, second = counter[0] * _MULTIPLIERS[0], counter[2] * _MULTIPLIERS[1]
        counter = [
            (second >> np.uint64(32)) ^ counter[1] ^ first_key,
            second & _WORD,
            (first >> np.uint64(32)) ^ counter[3] ^ second_key,
            first & _WORD,
        ]
        first_key, second_key = (first_key + _STEPS[0]) & _WORD, (second_key + _STEPS[1]) & _WORD
    return counter
