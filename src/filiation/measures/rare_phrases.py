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
from dataclasses import dataclass

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


def users_of(said: Sequence[Said], prompts: Sequence[str]) -> Counter[int]:
    """How many models say each phrase in answer to any of the prompts: formulas that come to every question are common."""
    wanted = set(prompts)
    users: Counter[int] = Counter()
    for one in said:
        users.update(set().union(*(one[prompt] for prompt in one if prompt in wanted)))
    return users


@dataclass(frozen=True)
class Overlap:
    """Two matrices over the models that answered one prompt: `rare` as in the module's formula, `plain` with rarity 1."""

    models: tuple[int, ...]
    rare: NDArray[np.float64]
    plain: NDArray[np.float64]


def overlap_at(said: Sequence[Said], prompt: str, users: Mapping[int, int]) -> Overlap:
    """The overlap of every two answers to one prompt, each between 0 and 1."""
    size = len(said)
    present = tuple(at for at in range(size) if said[at].get(prompt))
    if len(present) < 2:
        return Overlap(present, np.zeros((len(present), len(present))), np.zeros((len(present), len(present))))
    seen = Counter(phrase for at in present for phrase in said[at][prompt])
    column = {phrase: at for at, phrase in enumerate(sorted(phrase for phrase, count in seen.items() if count > 1))}
    cells = [(row, column[phrase]) for row, at in enumerate(present) for phrase in said[at][prompt] if phrase in column]
    rows, columns = ([cell[side] for cell in cells] for side in (0, 1))
    incidence = sparse.csr_matrix((np.ones(len(cells)), (rows, columns)), shape=(len(present), max(1, len(column))))
    others = np.asarray([users[phrase] - 2.0 for phrase in column] or [0.0])
    weighed = (incidence @ sparse.diags(rarity(others, size)) @ incidence.T).toarray()
    common = (incidence @ incidence.T).toarray()
    sizes = np.asarray([float(len(said[at][prompt])) for at in present])
    either = np.maximum(sizes[:, None] + sizes[None, :] - common, 1.0)
    return Overlap(present, weighed / either, common / either)


def without_model_effects(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """A symmetric n x n matrix less what each model has in common with everybody (least squares, s = m + e_i + e_j).

    The diagonal is not read. With fewer than four models nothing can be told apart, and the matrix is given back.
    """
    size = len(scores)
    if size < 4:
        return scores.copy()
    values = scores.copy()
    np.fill_diagonal(values, 0.0)
    means = values.sum(axis=1) / (size - 1)
    whole = float(means.mean())
    effect = (size - 1) / (size - 2) * (means - whole)
    left: NDArray[np.float64] = values - whole - effect[:, None] - effect[None, :]
    np.fill_diagonal(left, 0.0)
    return left
