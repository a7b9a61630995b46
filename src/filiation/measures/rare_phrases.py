"""How much of what two answers say is shared, each shared phrase weighing by how few other models ever say it.

    overlap(a, b) = sum of rarity over the phrases that both have / number of phrases that either has
    rarity of a phrase = log((n - 1) / (1 + others)) / log(n - 1)

where n is the number of models and `others` how many models beside the two use the phrase anywhere. So it is 1 for a phrase
that nobody else uses, 0 for one that everybody uses, and the same for a suspect as for a control. Without others (n = 2)
rarity cannot be known and is 1.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")

Said = Mapping[str, frozenset[int]]
"""Per prompt, the hashed phrases of one model's answer; prompts without an answer are left out."""


def hashed(text: str) -> int:
    """A number for a string, the same on every machine: 63 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def words_of(text: str) -> list[str]:
    """The words and signs of a text in one form: NFKC, typographic quotes made plain, letters small."""
    plain = unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'").casefold()
    return _WORD.findall(plain)


def phrases(text: str, length: int) -> frozenset[int]:
    """The hashed runs of `length` words; the whole text where it is shorter; empty where it has no words."""
    words = words_of(text)
    if not words:
        return frozenset()
    last = max(1, len(words) - length + 1)
    return frozenset(hashed(" ".join(words[at : at + length])) for at in range(last))


def rarity(others: NDArray[np.float64], models: int) -> NDArray[np.float64]:
    """Weight from 0 to 1 of phrases that `others` models of `models` use beside the two in question."""
    if models <= 2:
        return np.ones_like(others)
    return np.clip(np.log((models - 1) / (1.0 + others)) / math.log(models - 1), 0.0, 1.0)


def overlaps(said: Sequence[Said], prompts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Summed overlap over the prompts and number of prompts that both answered, each n x n and symmetric.

    A phrase counts as used by a model that says it in answer to any of the prompts: formulas that come to every question
    are common, wherever they stand. Every prompt adds between 0 and 1.
    """
    size = len(said)
    wanted = set(prompts)
    users: Counter[int] = Counter()
    for one in said:
        users.update(set().union(*(one[prompt] for prompt in one if prompt in wanted)))
    total, both = np.zeros((size, size)), np.zeros((size, size))
    for prompt in sorted(wanted):
        present = [at for at in range(size) if one_has(said[at], prompt)]
        if len(present) < 2:
            continue
        seen = Counter(phrase for at in present for phrase in said[at][prompt])
        shared = sorted(phrase for phrase, count in seen.items() if count > 1)
        column = {phrase: at for at, phrase in enumerate(shared)}
        rows = [row for row, at in enumerate(present) for phrase in said[at][prompt] if phrase in column]
        columns = [column[phrase] for at in present for phrase in said[at][prompt] if phrase in column]
        ones = np.ones(len(rows))
        incidence = sparse.csr_matrix((ones, (rows, columns)), shape=(len(present), max(1, len(shared))))
        others = np.asarray([users[phrase] - 2.0 for phrase in shared] or [0.0])
        weighed = (incidence.multiply(rarity(others, size)[None, :]) @ incidence.T).toarray()
        common = (incidence @ incidence.T).toarray()
        sizes = np.asarray([float(len(said[at][prompt])) for at in present])
        union = sizes[:, None] + sizes[None, :] - common
        place = np.ix_(present, present)
        total[place] += weighed / np.maximum(union, 1.0)
        both[place] += 1.0
    np.fill_diagonal(total, 0.0)
    np.fill_diagonal(both, 0.0)
    return total, both


def one_has(said: Said, prompt: str) -> bool:
    """Whether there is an answer with at least one phrase."""
    return bool(said.get(prompt))
