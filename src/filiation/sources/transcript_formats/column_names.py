"""Which columns of somebody's table may hold models, prompts and answers, by their names alone: a suggestion, never a choice.

What a column is called says what its maker meant by it, and 'answer' means what a model said in one table and what is right in
another. So nothing is taken by these names; whoever imports is told the options to paste.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence

import polars as pl

NAMES: dict[str, tuple[str, ...]] = {
    "model": ("model", "model id", "generator", "llm", "engine", "agent"),
    "prompt": ("prompt", "question", "instruction", "input", "query", "problem", "request", "user", "human"),
    "text": (
        "text", "response", "output", "completion", "generation", "generated", "reply", "prediction", "answer", "assistant"
    ),
    "item": ("item", "item id", "prompt id", "question id", "task id", "doc id", "id", "uid", "idx"),
}  # fmt: skip
"""Option (`--OPTION-column`) to what its column is called elsewhere, the plainest first; words are parted by single spaces."""

ALIKE = 0.84
"""How alike two spellings have to be, as `difflib` counts, to be taken for one word: 'promt', 'reponse', 'questions'."""


def options_for(missing: Collection[str], schema: Mapping[str, pl.DataType], taken: Collection[str] = ()) -> str:
    """Options for what is `missing` of 'model', 'prompt' and 'text', as they are pasted into a shell; empty where no column suits any.

    Items stand in for prompts. A column is suggested once, and none that is `taken`; models can be named outright.
    """
    left = {name: _words(name) for name, kind in schema.items() if name not in taken and _can_be_named(name, kind)}
    found: dict[str, str] = {}
    for called in CALLED:
        for option, stands_for in WANTED:
            column = _first(NAMES[option], left, called) if stands_for in missing and stands_for not in found else ""
            if column:
                found[stands_for] = f"--{option}-column {shlex.quote(column)}"
                del left[column]
    if not found:
        return ""
    return " ".join(found.get(option, otherwise) for option, otherwise in PLACES.items() if option in missing)


WANTED = (("model", "model"), ("prompt", "prompt"), ("text", "text"), ("item", "prompt"))
"""Options, and what each gives: where prompts were not recorded items tell them apart."""

PLACES = {"model": "--model NAME", "prompt": "--prompt-column COLUMN", "text": "--text-column COLUMN"}


def likeliest(option: str, columns: Sequence[str]) -> str:
    """The column that is called most plainly what the option wants; empty where none is called anything like it."""
    spelt = {column: _words(column) for column in columns}
    return next(filter(None, (_first(NAMES[option], spelt, called) for called in CALLED)), "")


def _first(names: Sequence[str], spelt: Mapping[str, str], called: Callable[[str, str], bool]) -> str:
    return next((column for wanted in names for column, name in spelt.items() if called(name, wanted)), "")


def _alike(name: str, wanted: str) -> bool:
    return difflib.SequenceMatcher(None, name, wanted).ratio() >= ALIKE


CALLED: tuple[Callable[[str, str], bool], ...] = (
    lambda name, wanted: name == wanted,
    lambda name, wanted: name.rpartition(" ")[2] == wanted,  # 'user_prompt' is a prompt, 'prompt_id' an id
    _alike,
)
"""How a column may be called what is wanted, the surest first: for every option the whole name counts before anything less."""


def _words(column: str) -> str:
    """'modelName', 'model_name', 'Model name': 'model', because a name is the name of something."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)
    words = re.findall(r"[a-z0-9]+", parted.lower())
    return " ".join(words[:-1] if len(words) > 1 and words[-1] in ("name", "text", "content") else words)


def _can_be_named(name: str, kind: pl.DataType) -> bool:
    """Options part names at commas, and lists or records are no text."""
    return "," not in name and name.isprintable() and not isinstance(kind, pl.List | pl.Struct | pl.Array)
