"""Text that two models share word for word, and that no unrelated model gives: long identical answers, long passages.

An opportunity is a prompt. It counts for a pair where both answers hold the same long text (after the normalisation of
`text_features`: case, punctuation and spacing do not count) and no third model that is unrelated to both holds it too. The
last condition removes what the prompt forces: a quotation, a list in a stated order, a passage to be repeated. It is asked of
every pair alike, so that a rank among control pairs stays valid.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filiation.measures.text_features import HashSets, normalised

VERSION = "1"

WORDS = 30
"""An answer of so many words is long. Between unrelated models, shorter answers do coincide."""

PASSAGE = 50
"""Words of a long passage. Models that share nothing else do share runs of 30 words (`studies.verbatim` prints both)."""

_WORD = re.compile(r"[^\W_]+")
_STEP = np.uint64(0xD1342543DE82EF95)


@dataclass(frozen=True)
class SharedTexts:
    """Symmetric models x models, in prompts: `rare` shared with no unrelated third, `common` shared with one."""

    rare: NDArray[np.int64]
    common: NDArray[np.int64]

    def __add__(self, other: SharedTexts) -> SharedTexts:
        return SharedTexts(self.rare + other.rare, self.common + other.common)


def nothing_shared(models: int) -> SharedTexts:
    """The sum over no prompts."""
    return SharedTexts(np.zeros((models, models), dtype=np.int64), np.zeros((models, models), dtype=np.int64))


def identical_answers(
    whole: NDArray[np.uint32],
    words: NDArray[np.integer],
    model: NDArray[np.intp],
    prompt: NDArray[np.intp],
    related: NDArray[np.bool_],
    fewest_words: int = WORDS,
) -> SharedTexts:
    """Count prompts with identical answers. `whole`, `words`, `model`, `prompt`: one entry per answer; `related`: n x n."""
    long = np.flatnonzero((whole != 0) & (words >= fewest_words))
    starts = np.concatenate([np.arange(len(long)), [len(long)]])
    return shared_texts(HashSets(starts, whole[long]), model[long], prompt[long], related)


def shared_texts(
    texts: HashSets, model: NDArray[np.intp], prompt: NDArray[np.intp], related: NDArray[np.bool_]
) -> SharedTexts:
    """Count, for every pair of models, the prompts at which they share a text. `texts.of(i)`: hashes of answer i.

    At most one answer per model and prompt. A prompt with both rare and common shared texts counts as rare.
    """
    size = len(related)
    total = nothing_shared(size)
    unrelated = ~(related | np.eye(size, dtype=np.bool_))
    owner = np.repeat(np.arange(len(texts)), texts.sizes)
    # Hashes are salted by prompt, but a coincidence between prompts is cheap to rule out as well.
    order = np.lexsort((model[owner], texts.hashes, prompt[owner]))
    hashes, models, prompts = texts.hashes[order], model[owner][order], prompt[owner][order]
    begins = np.flatnonzero(np.concatenate([[True], (hashes[1:] != hashes[:-1]) | (prompts[1:] != prompts[:-1])]))
    if not len(hashes):
        return total
    ends = np.concatenate([begins[1:], [len(hashes)]])
    shared = np.flatnonzero(ends - begins > 1)
    groups: dict[tuple[int, ...], set[int]] = {}
    for start, end in zip(begins[shared], ends[shared], strict=True):
        # Many texts of one prompt are shared by the same models: one entry is enough.
        groups.setdefault(tuple(models[start:end].tolist()), set()).add(int(prompts[start]))
    by_prompt: dict[int, list[tuple[int, ...]]] = {}
    for members, places in groups.items():
        for place in places:
            by_prompt.setdefault(place, []).append(members)
    for holders in by_prompt.values():
        rare, common = np.zeros((size, size), dtype=np.bool_), np.zeros((size, size), dtype=np.bool_)
        for members in holders:
            inside = np.ix_(members, members)
            strange = unrelated[inside].astype(np.int64)
            also_elsewhere = (strange @ strange) > 0
            rare[inside] |= ~also_elsewhere
            common[inside] |= also_elsewhere
        np.fill_diagonal(rare, False)
        np.fill_diagonal(common, False)
        total = total + SharedTexts(rare.astype(np.int64), (common & ~rare).astype(np.int64))
    return total


def words_of(text: str) -> list[str]:
    """The words of a text, in order, in the form in which texts are compared."""
    return _WORD.findall(normalised(text).lower())


def passages(texts: Sequence[Sequence[str]], prompts: Sequence[Sequence[str]], length: int = PASSAGE) -> HashSets:
    """All runs of `length` words of each text, as a set of hashes, without those that stand in the prompt it answers.

    `texts[i]` and `prompts[i]` are lists of words. Hashes are comparable only within one call.
    """
    numbers: dict[str, int] = {}
    kept = []
    asked: dict[int, NDArray[np.uint64]] = {}
    for text, prompt in zip(texts, prompts, strict=True):
        if id(prompt) not in asked:
            asked[id(prompt)] = _runs(prompt, length, numbers)
        found = _runs(text, length, numbers)
        kept.append(np.setdiff1d(found, asked[id(prompt)], assume_unique=True))
    sizes = np.array([len(part) for part in kept], dtype=np.int64)
    hashes: Any = np.concatenate(kept) if kept else np.zeros(0, dtype=np.uint64)
    return HashSets(np.concatenate([[0], np.cumsum(sizes)]), hashes)


def _runs(words: Sequence[str], length: int, numbers: dict[str, int]) -> NDArray[np.uint64]:
    """Hashes of all runs, ascending, without repetition; `numbers` gives each word its number."""
    size = len(words) - length + 1
    if size <= 0:
        return np.zeros(0, dtype=np.uint64)
    values = np.array([numbers.setdefault(word, len(numbers) + 1) for word in words], dtype=np.uint64)
    # SplitMix64's finaliser: small numbers would give hashes that differ in few bits.
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found = np.zeros(size, dtype=np.uint64)
    for at in range(length):
        found = found * _STEP + values[at : at + size]
    return np.unique(found)


def longest_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Length, in words, of the longest run of words that two texts share; words compared as they are."""
    best = 0
    before = np.zeros(len(second) + 1, dtype=np.int64)
    places: dict[str, list[int]] = {}
    for position, word in enumerate(second):
        places.setdefault(word, []).append(position)
    for word in first:
        row = np.zeros_like(before)
        at = np.array(places.get(word, ()), dtype=np.intp)
        if len(at):
            row[at + 1] = before[at] + 1
            best = max(best, int(row[at + 1].max()))
        before = row
    return best
