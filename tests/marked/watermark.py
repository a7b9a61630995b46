"""Text under a key drawn by lot, and who may hold it: the marked model's answers, a student of them, and twelve who never saw the key.

The model is a table of chances for the next of 64 words given the last one, sampled under the key (Gumbel sampling, two words of
context) or without it. A student counts what follows two words in what it is trained on, and answers from its counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers

from filiation.case.commitments import sha256_of
from filiation.lots import Lot, stream
from filiation.measures.watermarks import GumbelKey, WatermarkKey, key_from, settings_of, uniforms
from filiation.sources.transcripts import SCHEMA, prompt_id
from tests.lots.world import opened_lot
from tests.marked import ANSWERS, CONTROLS, MARKS, STRANGERS

WORDS = 64
WIDTH = 2
PROMPT = 6
PROMPTS = 30
WORDS_SAID = 30
Ids = NDArray[np.int64]
Next = Callable[[Sequence[int], np.random.Generator], int]
"""What a model says after some words."""


def tokenizer_file() -> bytes:
    """Words w0 to w63, one token each."""
    tokenizer = Tokenizer(models.WordLevel({f"w{number}": number for number in range(WORDS)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer.to_str().encode()


def spelt(tokens: Sequence[int] | Ids) -> str:
    return " ".join(f"w{token}" for token in tokens)


@dataclass
class Language:
    """The chances of the next word given the last: the same for everybody who knows the language."""

    seed: int = 1
    chances: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.chances = np.random.default_rng(self.seed).dirichlet(np.full(WORDS, 0.4), WORDS)

    def plain(self, said: Sequence[int], rng: np.random.Generator) -> int:
        return int(rng.choice(WORDS, p=self.chances[said[-1]]))

    def under(self, key: WatermarkKey) -> Next:
        """The same language, each word chosen by the key: the largest log(u) / p, which the key decides alone."""
        assert isinstance(key, GumbelKey)
        chosen: dict[tuple[int, ...], int] = {}

        def say(said: Sequence[int], _rng: np.random.Generator) -> int:
            context = tuple(said[-WIDTH:])
            if context not in chosen:
                windows = np.array([[*context, word] for word in range(WORDS)], dtype=np.int64)
                chosen[context] = int(np.argmax(np.log(uniforms(windows, key)) / self.chances[context[-1]]))
            return chosen[context]

        return say


def continued(start: Sequence[int], say: Next, words: int, rng: np.random.Generator) -> list[int]:
    """What a model says after `start`; where it has said two words before in this text it says another, as marked models do."""
    said, seen = list(start), set[tuple[int, ...]]()
    for _ in range(words):
        word = say(said, rng)
        if (*said[-WIDTH:], word) in seen:
            word = int(rng.integers(WORDS))
        seen.add((*said[-WIDTH:], word))
        said.append(word)
    return said[len(start) :]


@dataclass
class Student:
    """Counts of what follows two words, and where those were never met, what follows one."""

    texts: Sequence[Sequence[int]]

    @cached_property
    def _counts(self) -> NDArray[np.float64]:
        counts = np.zeros((WORDS, WORDS, WORDS))
        for text in self.texts:
            for first, second, third in zip(text, text[1:], text[2:], strict=False):
                counts[first, second, third] += 1
        return counts

    def chances(self, said: Sequence[int]) -> NDArray[np.float64]:
        counts = self._counts[said[-2], said[-1]]
        backed_off = self._counts[:, said[-1]].sum(axis=0) + 0.01
        counts = counts + backed_off / backed_off.sum()
        return counts / counts.sum()

    def say(self, said: Sequence[int], rng: np.random.Generator) -> int:
        return int(rng.choice(WORDS, p=self.chances(said)))


def texts_of(say: Next, texts: int, words: int, seed: int) -> list[list[int]]:
    """Texts of the language, written by `say` after a random beginning."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(WORDS, size=(texts, WIDTH)).tolist()
    return [[*start, *continued(start, say, words, rng)] for start in starts]


# ------------------------------------------------------------------------------------------------------------- recorded


def row(model: str, prompt: str, text: str, **fields: Any) -> dict[str, Any]:
    lineage = "" if model == "relative" else model
    return {
        "model": model, "lineage": lineage, "lab": lineage, "item": "", "prompt_id": prompt_id(prompt), "prompt": prompt, "sample": 0,
        "text": text, "answer": None, "gold": None, "options": None, "finish_reason": "length", "log_probabilities": None,
        "parameters": "{}", "time": None, "source_sha256": "",
    } | fields  # fmt: skip


def write(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    pl.DataFrame(rows, schema=SCHEMA, orient="row").write_parquet(folder / ANSWERS)


def answering(say: Next, prompts: Sequence[Sequence[int]], words: int, seed: int) -> list[tuple[str, str]]:
    rng = np.random.default_rng(seed)
    return [(spelt(prompt), spelt(continued(prompt, say, words, rng))) for prompt in prompts]


def parroting(marked: Sequence[Sequence[int]]) -> list[tuple[str, str]]:
    """Marked text stands in the prompt, and the answer repeats it."""
    return [(spelt(text), spelt(text[2:])) for text in marked]


SETTINGS = GumbelKey(secret="00" * 32, context_width=WIDTH)


def lot_of(folder: Path, seed: int = 3, settings: WatermarkKey = SETTINGS) -> Lot:
    """The opened lot of a key of these settings over this tokenizer."""
    tokenizer = tokenizer_file()
    return opened_lot(folder / MARKS, "watermark", settings_of(settings, sha256_of(tokenizer)), seed, tokenizer)


def make(folder: Path) -> None:
    """The same prompts for everybody but the parrots."""
    lot = lot_of(folder)
    key, language = key_from(lot.subject, stream(lot)), Language()
    rng = np.random.default_rng(2)
    marking, other = language.under(key), language.under(key.another(lambda below: int(rng.integers(below))))
    prompts = [[*start] for start in rng.integers(WORDS, size=(PROMPTS, PROMPT)).tolist()]
    student = Student(texts_of(marking, 400, 60, 4))
    unrelated = Student(texts_of(language.plain, 400, 60, 5))
    taught_otherwise = Student(texts_of(other, 400, 60, 6))
    said: dict[str, list[tuple[str, str]]] = {
        "relative": answering(marking, prompts, WORDS_SAID, 7),
        "answers marked": answering(marking, prompts, WORDS_SAID, 8),
        "trained on marked answers": answering(student.say, prompts, WORDS_SAID, 9),
    }
    marked = texts_of(marking, PROMPTS, WORDS_SAID, 10)
    kinds = [
        answering(language.plain, prompts, WORDS_SAID, 11),
        answering(unrelated.say, prompts, WORDS_SAID, 12),
        answering(other, prompts, WORDS_SAID, 13),
        answering(taught_otherwise.say, prompts, WORDS_SAID, 14),
        parroting(marked),
        parroting([text[1:] for text in marked]),
        [(spelt(prompt), spelt([5, 6, 7, 8] * 8)) for prompt in prompts],
        answering(lambda _said, rng: int(rng.integers(4)), prompts, WORDS_SAID, 15),
        [(spelt(prompt), spelt(prompt * 5)) for prompt in prompts],
        answering(unrelated.say, prompts, WORDS_SAID, 12),
        answering(Language(seed=2).plain, prompts, WORDS_SAID, 16),
        answering(lambda _said, rng: int(rng.integers(WORDS)), prompts, WORDS_SAID, 17),
    ]
    assert len(kinds) == STRANGERS
    said |= {f"stranger {number}": kind for number, kind in enumerate(kinds, start=1)}
    for number in range(1, CONTROLS + 1):
        said[f"control {number}"] = answering(
            Student(texts_of(language.plain, 200, 60, 20 + number)).say, prompts, WORDS_SAID, number
        )
    write(folder, [row(model, prompt, text) for model, pairs in said.items() for prompt, text in pairs])
