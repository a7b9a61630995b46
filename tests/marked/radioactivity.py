"""Models that were made to read marked text which none of them was trained on, and the student of other text under the same key.

The language, the key and the student are those of tests/marked/watermark.py; what is recorded is what each model finds likeliest after
each word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from filiation.lots import stream
from filiation.measures.watermarks import key_from
from tests.marked import CONTROLS, STRANGERS
from tests.marked.watermark import WIDTH, WORDS, Language, Student, lot_of, row, spelt, texts_of, write

TEXTS = 50
WORDS_READ = 40
Likeliest = Callable[[Sequence[int]], int]
"""What a model finds likeliest after what it has read of a text."""


def reading(model: str, text: Sequence[int], likeliest: Likeliest, **fields: Any) -> dict[str, Any]:
    """The row of one text, as `filiation score --predictions` writes it."""
    places: list[list[Any]] = [[f"w{text[0]}", None, []]]
    for at in range(1, len(text)):
        places.append([f"w{text[at]}", -1.0, [[f"w{likeliest(text[:at])}", -0.5]]])
    recorded = {"item": "read:text", "finish_reason": "read", "log_probabilities": json.dumps(places)}
    return row(model, spelt(text), "", **recorded | fields)


def of_student(student: Student) -> Likeliest:
    return lambda said: int(np.argmax(student.chances(said))) if len(said) >= WIDTH else 0


def of_language(language: Language) -> Likeliest:
    return lambda said: int(np.argmax(language.chances[said[-1]]))


def repeating(otherwise: Likeliest) -> Likeliest:
    """What followed the same two words before in this text."""

    def likeliest(said: Sequence[int]) -> int:
        for at in range(len(said) - WIDTH - 1, -1, -1):
            if said[at : at + WIDTH] == said[-WIDTH:]:
                return said[at + WIDTH]
        return otherwise(said)

    return likeliest


def make(folder: Path) -> None:
    """Fifty marked texts of forty words, read by everybody."""
    lot = lot_of(folder)
    key, language = key_from(lot.subject, stream(lot)), Language()
    rng = np.random.default_rng(2)
    marking, other = language.under(key), language.under(key.another(lambda below: int(rng.integers(below))))
    read = texts_of(marking, TEXTS, WORDS_READ, 10)
    unrelated, otherwise = (Student(texts_of(say, 400, 60, 5)) for say in (language.plain, other))
    plain = of_language(language)
    models: dict[str, Likeliest] = {
        "relative": of_student(Student(texts_of(marking, 400, 60, 3))),
        "trained on marked answers": of_student(
            Student(texts_of(marking, 300, 60, 4) + texts_of(language.plain, 100, 60, 6))
        ),
    }
    kinds: list[Likeliest] = [
        plain,
        of_student(unrelated),
        of_student(otherwise),
        repeating(plain),
        repeating(of_student(unrelated)),
        lambda said: 5,
        lambda said: said[-1],
        lambda said: said[0],
        lambda said: (said[-1] + 1) % WORDS,
        of_student(unrelated),
        of_language(Language(seed=2)),
        of_student(Student(texts_of(Language(seed=2).plain, 200, 60, 7))),
    ]
    assert len(kinds) == STRANGERS
    models |= {f"stranger {number}": kind for number, kind in enumerate(kinds, start=1)}
    for number in range(1, CONTROLS + 1):
        models[f"control {number}"] = of_student(Student(texts_of(language.plain, 200, 60, 20 + number)))
    write(folder, [reading(model, text, likeliest) for model, likeliest in models.items() for text in read])
