"""Passages that two texts share, word for word: where they stand, and how long they are.

A shared passage is a run of words that stands in both texts and cannot be made longer at either end. Case and punctuation do
not count, so that the same sentence behind another bullet is still the same. Every such run is found, by a suffix automaton of
the second text (Blumer et al. 1985, 'The smallest automaton recognizing the subwords of a text'), in time proportional to the
words of both; no list of seeds, so nothing is missed and hostile repetitions cost nothing extra.

This shows people where to look. How rare a passage is among other models is for the examiners to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WORD_LIMIT = 100_000
"""Words of a text that are looked at; an answer that is longer is cut there, and `shared_passages` says so."""

# Scripts that are written without spaces: every character counts as a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Passage:
    """A run of `words` words: characters [`start`, `end`) of the first text, [`other_start`, `other_end`) of the second."""

    start: int
    end: int
    other_start: int
    other_end: int
    words: int


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text, without case, and the characters [start, end) that each takes; `cut` where there were more."""

    forms: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    cut: bool


def words_of(text: str, limit: int = WORD_LIMIT) -> Words:
    """The first `limit` words of a text."""
    forms: list[str] = []
    spans: list[tuple[int, int]] = []
    for found in _WORD.finditer(text):
        if len(forms) == limit:
            return Words(tuple(forms), tuple(spans), True)
        forms.append(found[0].casefold().replace("’", "'"))
        spans.append(found.span())
    return Words(tuple(forms), tuple(spans), False)


class _Automaton:
    """Suffix automaton: every run of words of a text is a path from state 0; `first_end` is where such a run first ends."""

    def __init__(self, words: Sequence[str]) -> None:
        self.follow: list[dict[str, int]] = [{}]
        self.link, self.length, self.first_end = [-1], [0], [-1]
        last = 0
        for at, word in enumerate(words):
            last = self._extend(last, word, at)

    def _add(self, follow: dict[str, int], length: int, first_end: int) -> int:
        self.follow.append(follow)
        self.link.append(0)
        self.length.append(length)
        self.first_end.append(first_end)
        return len(self.follow) - 1

    def _extend(self, last: int, word: str, at: int) -> int:
        made = self._add({}, self.length[last] + 1, at)
        state = last
        while state != -1 and word not in self.follow[state]:
            self.follow[state][word] = made
            state = self.link[state]
        if state == -1:
            return made
        target = self.follow[state][word]
        if self.length[target] == self.length[state] + 1:
            self.link[made] = target
            return made
        clone = self._add(dict(self.follow[target]), self.length[state] + 1, self.first_end[target])
        self.link[clone] = self.link[target]
        self.link[target] = self.link[made] = clone
        while state != -1 and self.follow[state].get(word) == target:
            self.follow[state][word] = clone
            state = self.link[state]
        return made

    def longest_ending(self, words: Sequence[str]) -> Iterator[tuple[int, int]]:
        """For each word: how many words up to it stand together in the text, and where that run first ends there."""
        state = length = 0
        for word in words:
            while state and word not in self.follow[state]:
                state = self.link[state]
                length = self.length[state]
            if word in self.follow[state]:
                state = self.follow[state][word]
                length += 1
            yield length, self.first_end[state]


def shared_passages(first: Words, second: Words, at_least: int) -> tuple[Passage, ...]:
    """Runs of `at_least` words or more that stand in both and cannot be made longer, by their place in the first text.

    Of the places in the second text the first is given. Runs may overlap where one ends in what the next begins with.
    """
    if at_least < 1:
        raise ValueError("a passage has at least one word")
    if len(first.forms) < at_least or len(second.forms) < at_least:
        return ()
    runs = list(_Automaton(second.forms).longest_ending(first.forms))
    found = []
    for at, (length, end) in enumerate(runs):
        goes_on = at + 1 < len(runs) and runs[at + 1][0] == length + 1
        if length >= at_least and not goes_on:
            found.append(
                Passage(
                    start=first.spans[at - length + 1][0],
                    end=first.spans[at][1],
                    other_start=second.spans[end - length + 1][0],
                    other_end=second.spans[end][1],
                    words=length,
                )
            )
    return tuple(found)


def covered(passages: Sequence[Passage]) -> tuple[tuple[int, int], ...]:
    """The characters [start, end) of the first text that lie in some passage, overlapping ones put together, in order."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((passage.start, passage.end) for passage in passages):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)
