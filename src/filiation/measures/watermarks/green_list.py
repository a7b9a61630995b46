"""The green list of transformers, read back: which tokens of a text are green under a key.

A list is drawn by torch's generator from a seed, and the seed is made of the key and the context (`set_seed` of
`WatermarkLogitsProcessor`; torch is imported only here, and only when a list is needed):

    lefthash   seed = key * last token. The field `context_width` changes nothing but where the text begins to count.
    selfhash   seed = the smallest over the window of key * table[token] * table[judged token], 64 bits, wrapping around.

What follows for counting:

- **A list has its seed for a name.** Two windows with one seed and one judged token are one opportunity, whatever else they hold;
  under lefthash with `context_width` 2 three-token windows repeat such opportunities, under selfhash windows that share their
  smallest token do.
- **The generator of a CPU reads 32 bits of the seed**, so seeds are compared modulo 2^32. On a GPU another generator draws
  other lists: such text cannot be read here.
- **Under lefthash token 0 has the seed 0 under every key**: what follows it says nothing about the key and is set aside.
- **Within a list green tokens are drawn without replacement**, floor(vocabulary * ratio) of them; `GreenReading.sizes` says how many
  opportunities each list had, and the law of the count follows from that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filiation.errors import MissingExtra, UsageError
from filiation.measures.watermarks.keys import GreenListKey
from filiation.measures.watermarks.windows import Tokens

TABLE = 1_000_003
"""Entries of the table that selfhash looks tokens up in."""
_SEEDS = (1 << 64) - 1


@dataclass(frozen=True)
class GreenReading:
    """`count` green tokens among sum(sizes) opportunities; `sizes` has one entry per list.

    `set_aside`: distinct windows about which no key says anything.
    """

    count: int
    sizes: tuple[int, ...]
    list_size: int
    vocabulary: int
    set_aside: int

    @property
    def opportunities(self) -> int:
        return sum(self.sizes)

    @property
    def chance(self) -> float:
        """The true share of green tokens in a list."""
        return self.list_size / self.vocabulary

    @property
    def score(self) -> float:
        """The count above what chance gives: comparable between keys under which a text has different opportunities."""
        return self.count - self.opportunities * self.chance


def green_reading(windows: Tokens, key: GreenListKey) -> GreenReading:
    """What the key says about these windows, shape (n, key.window). Raises UsageError for tokens beyond the vocabulary."""
    if len(windows) and not (int(windows.min()) >= 0 and int(windows.max()) < key.vocabulary):
        raise UsageError(
            f"the text holds token {int(windows.max())}, and the key is for a vocabulary of {key.vocabulary}",
            advice="tokenise with the tokenizer of the marked model, and make the key with the model's vocab_size",
        )
    judged = distinct_by_list(windows, key)
    seeds, first, sizes = np.unique(judged.seeds, return_index=True, return_counts=True)
    green = green_lists(key)
    count = 0
    for seed, targets in zip(seeds.tolist(), np.split(judged.targets, first[1:]), strict=False):
        count += int(green(seed)[targets].sum())
    return GreenReading(
        count=count,
        sizes=tuple(sizes.tolist()),
        list_size=key.list_size,
        vocabulary=key.vocabulary,
        set_aside=judged.set_aside,
    )


@dataclass(frozen=True, eq=False)
class Judged:
    """Seed of the list and judged token of each opportunity, each pair once, in the order of the seeds."""

    seeds: NDArray[np.int64]
    targets: Tokens
    set_aside: int


def distinct_by_list(windows: Tokens, key: GreenListKey) -> Judged:
    """The windows as (seed modulo 2^32, judged token), each pair once, those that no key moves left out."""
    moved = windows[windows[:, -2] != 0] if key.seeding_scheme == "lefthash" else windows
    still = len(np.unique(windows[windows[:, -2] == 0], axis=0)) if key.seeding_scheme == "lefthash" else 0
    pairs = np.unique(np.stack([seeds_of(moved, key), moved[:, -1]], axis=1), axis=0)
    return Judged(pairs[:, 0], pairs[:, 1], still)


def seeds_of(windows: Tokens, key: GreenListKey) -> NDArray[np.int64]:
    """The seed, modulo 2^32, of the list that judges each window, length n."""
    if key.seeding_scheme == "lefthash":
        exact = [(key.hashing_key * token % _SEEDS) & 0xFFFFFFFF for token in windows[:, -2].tolist()]
        return np.array(exact, dtype=np.int64)
    table = _fixed_table(key.hashing_key)
    with np.errstate(over="ignore"):
        smallest = (
            np.int64(key.hashing_key) * (table[windows % TABLE] + 1) * (table[windows[:, -1:] % TABLE] + 1)
        ).min(axis=1)
    # Python's remainder of a negative number is positive: s + 2^64 - 1, of which the generator reads the low 32 bits.
    seeds: NDArray[np.int64] = np.where(smallest < 0, smallest - 1, smallest) & 0xFFFFFFFF
    return seeds


@lru_cache(maxsize=2)
def _fixed_table(hashing_key: int) -> NDArray[np.int64]:
    torch = _torch()
    generator = torch.Generator(device="cpu")
    generator.manual_seed(hashing_key)
    table: NDArray[np.int64] = torch.randperm(TABLE, generator=generator).numpy()
    return table


def green_lists(key: GreenListKey) -> Callable[[int], NDArray[np.bool_]]:
    """A function of a seed that says which tokens are green, length `key.vocabulary`. Raises MissingExtra without torch."""
    torch = _torch()
    generator = torch.Generator(device="cpu")

    def green(seed: int) -> NDArray[np.bool_]:
        generator.manual_seed(seed)
        listed = torch.randperm(key.vocabulary, generator=generator)[: key.list_size].numpy()
        is_green = np.zeros(key.vocabulary, dtype=np.bool_)
        is_green[listed] = True
        return is_green

    return green


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(
            "green lists are drawn by torch's generator, and torch is not installed",
            advice='pip install "filiation[models]"',
        ) from error
    return torch
