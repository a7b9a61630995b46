"""How much of each of an owner's texts stands in what a model said, word for word.

A phrase is a run of words (measures/rare_phrases.py). Of each text those phrases count that stand in no other text of the owner's, because
only they tell texts apart; each weighs by its surprisal, the sum over its words of log2(all words / times this word), as
frequent as the words are in the owner's own texts. Nothing here knows which text was read when, or published: the value of a text
depends on the texts and on what was said.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from filiation.measures.rare_phrases import hashed, phrases, words_of

LENGTH = 6
"""Words of a phrase. Runs of six words are hardly ever written twice by chance, and are short enough to survive in an answer."""

SCALE = 1_000
"""Values are whole numbers, in thousandths of a bit."""


def said_in(answers: Iterable[str], without: Iterable[str] = (), length: int = LENGTH) -> frozenset[int]:
    """The phrases of answers, less those of other texts: what was asked, which an answer may repeat."""
    said: set[int] = set()
    for answer in answers:
        said |= phrases(answer, length)
    for text in without:
        said -= phrases(text, length)
    return frozenset(said)


def overlaps(texts: Sequence[str], said: frozenset[int], length: int = LENGTH) -> list[int]:
    """For each text the weight of its own phrases that were said, in 1/SCALE bit; 0 where none was."""
    words = [words_of(text) for text in texts]
    times = Counter(word for each in words for word in each)
    every = sum(times.values())
    surprisal = {word: math.log2(every / count) for word, count in times.items()}
    shared = [_shared(each, said, length, surprisal) for each in words]
    texts_with = Counter(phrase for each in shared for phrase in each)
    return [
        round(SCALE * math.fsum(weight for phrase, weight in each.items() if texts_with[phrase] == 1))
        for each in shared
    ]


def _shared(words: Sequence[str], said: frozenset[int], length: int, surprisal: dict[str, float]) -> dict[int, float]:
    """The phrases of a text that were said, with their weights."""
    found = {}
    for at in range(max(1, len(words) - length + 1) if words else 0):
        run = words[at : at + length]
        phrase = hashed(" ".join(run))
        if phrase in said:
            found[phrase] = math.fsum(map(surprisal.__getitem__, run))
    return found
