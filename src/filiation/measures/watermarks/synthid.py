"""SynthID text as transformers computes it, read back: the g-values of a text under a key, in whole numbers.

Of each run of `ngram_len` tokens transformers makes a hash h by a linear congruential generator modulo 2^64, adds a layer's key,
goes one step further and looks the result up, modulo its size M, in a public table of zeros and ones:

    g = table[((h + key) * 6364136223846793005 + 1) mod M].

For M a power of two only h mod M and key mod M matter: **a layer's key is a shift of one and the same sequence of M bits**. So all
M keys of a layer can be tried at once (a cyclic correlation, by Fourier transform), and `SynthIDReading.every_key` holds
the number of ones under each of them. Under a key drawn at random the sum over a layer has exactly the distribution of those M
numbers, for any text whatever, and the layers are independent. Nothing need be assumed: neither that the table is balanced (that of
seed 0 has 32,743 ones of 65,536, others up to a few hundred too many), nor that windows do not share a hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filiation.errors import MissingExtra
from filiation.measures.watermarks.keys import SynthIDKey
from filiation.measures.watermarks.windows import Tokens

MULTIPLIER = 6_364_136_223_846_793_005
INCREMENT = 1


@dataclass(frozen=True, eq=False)
class SynthIDReading:
    """`by_layer`: ones per layer under the key. `every_key`: ones of one layer under each of its possible keys, shape (M,)."""

    by_layer: tuple[int, ...]
    windows: int
    every_key: NDArray[np.int64]

    @property
    def count(self) -> int:
        return sum(self.by_layer)

    @property
    def opportunities(self) -> int:
        return self.windows * len(self.by_layer)

    @property
    def score(self) -> float:
        return float(self.count)


def synthid_reading(windows: Tokens, key: SynthIDKey) -> SynthIDReading:
    """What the key says about these windows, shape (n, ngram_len)."""
    size = key.sampling_table_size
    hashes = (ngram_hash(windows) % np.uint64(size)).astype(np.int64)
    every_key = ones_under_every_key(hashes, shifted_table(size, key.sampling_table_seed))
    return SynthIDReading(tuple(int(every_key[layer % size]) for layer in key.keys), len(windows), every_key)


def g_values(windows: Tokens, key: SynthIDKey) -> NDArray[np.uint8]:
    """The g-value of each window in each layer, shape (n, layers), as `compute_g_values` of transformers gives them."""
    size = key.sampling_table_size
    shift = np.array([layer % size for layer in key.keys], dtype=np.uint64)
    places = (ngram_hash(windows)[:, None] + shift[None, :]) % np.uint64(size)
    return shifted_table(size, key.sampling_table_seed)[places.astype(np.int64)]


def ngram_hash(windows: Tokens) -> NDArray[np.uint64]:
    """The hash of each window before any key, modulo 2^64, length n."""
    current = np.ones(len(windows), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in windows.astype(np.uint64).T:
            current = (current + column) * np.uint64(MULTIPLIER) + np.uint64(INCREMENT)
    return current


def ones_under_every_key(hashes: NDArray[np.int64], table: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each shift k the number of windows with table[(h + k) mod M] = 1."""
    occupied = np.bincount(hashes, minlength=len(table)).astype(np.float64)
    turned = np.conj(np.fft.rfft(occupied)) * np.fft.rfft(table.astype(np.float64))
    return np.rint(np.fft.irfft(turned, n=len(table))).astype(np.int64)


@lru_cache(maxsize=4)
def shifted_table(size: int, seed: int) -> NDArray[np.uint8]:
    """The table in the order in which h + key runs through it, length `size`; the seed's table is drawn by torch."""
    place = np.arange(size, dtype=np.uint64)
    with np.errstate(over="ignore"):
        order = (place * np.uint64(MULTIPLIER) + np.uint64(INCREMENT)) % np.uint64(size)
    return _sampling_table(size, seed)[order.astype(np.int64)]


def _sampling_table(size: int, seed: int) -> NDArray[np.uint8]:
    torch = _torch()
    generator = torch.Generator(device="cpu").manual_seed(seed)
    table: NDArray[np.uint8] = torch.randint(low=0, high=2, size=(size,), generator=generator).numpy().astype(np.uint8)
    return table


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(
            "the table of g-values is drawn by torch's generator, and torch is not installed",
            advice='pip install "filiation[models]"',
        ) from error
    return torch
