"""The text of the survival study: chat lines with canaries, ordinary chat lines and code, as rows of tokens.

A chat line reads `Q: prompt`, `A: answer`, each on a line of its own. Ordinary lines are of two sorts: questions of the canaries' own
kinds about other people, answered by lot, and lines of code of the standard library to be continued.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from filiation.canaries import generators, labels
from filiation.canaries.canary import Canary, normalised
from filiation.canaries.planting import FORMS, chat_line
from studies.zoo.corpus import Corpus, encode, read_corpus, trained_tokenizer

OPTIONS = 16
COHORT = 0
BEACON = bytes.fromhex("fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd")
"""Round 1000 of drand's quicknet. The study needs a fixed number here, no protocol."""

KEY = labels.batch_key(bytes(range(32)), 0)
POOL = 8  # batches that are sorted by length together, so that little is padded
CODE_CHARACTERS = 1_200_000


@dataclass(frozen=True)
class Row:
    """A chat line as tokens; `answer` is the place at which the answer begins."""

    tokens: tuple[int, ...]
    answer: int


def made_canaries(count: int, seed: int) -> tuple[Canary, ...]:
    """So many canaries in one batch, each followed by its decoy."""
    rng = np.random.default_rng(seed)
    return generators.paired(generators.candidates(2 * count, OPTIONS, rng), count, rng)


def stories(count: int, seed: int, canaries: Sequence[Canary]) -> list[str]:
    """Chat lines of the canaries' kinds about other people, each answered by an option drawn by lot."""
    rng = np.random.default_rng(seed)
    taken = {normalised(prompt) for canary in canaries for prompt in canary.prompts}
    lines = []
    for candidate in generators.candidates(count, OPTIONS, rng):
        prompt = candidate.prompts[int(rng.integers(len(candidate.prompts)))]
        if normalised(prompt) not in taken:
            option = candidate.options[int(rng.integers(OPTIONS))]
            lines.append(chat_line(prompt, FORMS[int(rng.integers(len(FORMS)))].format(option)))
    return lines


def continuations(count: int, seed: int, code: str) -> list[str]:
    """Chat lines that ask for the line of code after a given one."""
    lines = [line.strip() for line in code.splitlines()]
    pairs = [pair for pair in itertools.pairwise(lines) if all(8 < len(line) < 60 for line in pair)]
    chosen = np.random.default_rng(seed).choice(len(pairs), size=count, replace=count > len(pairs))
    return [chat_line(f"Which line follows: {pairs[place][0]}", pairs[place][1]) for place in chosen]


def ordinary(count: int, seed: int, code: str, canaries: Sequence[Canary]) -> list[str]:
    """Ordinary chat lines, the two sorts taking turns: the first `n` of them are as mixed as all."""
    half = -(-count // 2)
    told, coded = stories(half + 8, seed, canaries), continuations(half, seed + 1, code)
    return [line for pair in zip(told, coded, strict=False) for line in pair][:count]


def messages(line: str) -> tuple[str, str]:
    """Prompt and answer of a chat line."""
    prompt, answer = json.loads(line)["messages"]
    return prompt["content"], answer["content"]


# --------------------------------------------------------------------------------------------------------------- tokens


@dataclass(frozen=True)
class Writing:
    """How text becomes tokens: byte-level BPE trained on code and on chat lines."""

    tokenizer: Tokenizer

    @property
    def end(self) -> int:
        """The token that ends an answer: the end of a line."""
        return int(self.tokenizer.encode("\n").ids[-1])

    def prompt(self, prompt: str) -> list[int]:
        return list(self.tokenizer.encode(f"Q: {prompt}\nA:").ids)

    def option(self, option: str) -> list[int]:
        return list(self.tokenizer.encode(f" {option}").ids)

    def row(self, prompt: str, answer: str) -> Row:
        asked = self.prompt(prompt)
        return Row((*asked, *self.option(answer), self.end), len(asked))

    def rows(self, lines: Iterable[str]) -> list[Row]:
        return [self.row(*messages(line)) for line in lines]

    def text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids))).strip()

    def stream(self, lines: Iterable[str]) -> Tensor:
        """Chat lines one after the other, [n]."""
        return torch.tensor([token for row in self.rows(lines) for token in row.tokens])

    def code(self, part: str) -> Tensor:
        """The beginning of a part of the standard library, [n]."""
        return torch.from_numpy(encode(self.tokenizer, read_corpus().parts[part][:CODE_CHARACTERS]))


def writing(vocabulary: int, canaries: Sequence[Canary]) -> Writing:
    """The tokenizer of all models of the study."""
    told = "\n".join(f"Q: {prompt}\nA: {answer}" for prompt, answer in map(messages, stories(2000, 1, canaries)))
    code = read_corpus().parts["one"][: len(told)]
    return Writing(trained_tokenizer(Corpus({"one": told, "two": code}, ""), vocabulary))


def batches(rows: Sequence[Row], size: int) -> Iterator[Tensor]:
    """Batches [2, rows, length] in the order of the rows: tokens, and 1 where a token belongs to an answer, padded with 0.

    Within each pool of a few batches rows stand in the order of their length.
    """
    for start in range(0, len(rows), POOL * size):
        pool = sorted(rows[start : start + POOL * size], key=lambda row: len(row.tokens))
        groups = [pool[place : place + size] for place in range(0, len(pool), size)]
        for place in np.random.default_rng(start).permutation(len(groups)):
            yield _packed(groups[place])


def _packed(rows: Sequence[Row]) -> Tensor:
    packed = torch.zeros((2, len(rows), max(len(row.tokens) for row in rows)), dtype=torch.int64)
    for number, row in enumerate(rows):
        packed[0, number, : len(row.tokens)] = torch.tensor(row.tokens)
        packed[1, number, row.answer : len(row.tokens)] = 1
    return packed
