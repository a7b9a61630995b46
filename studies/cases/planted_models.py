"""The models of the planted case, trained here in minutes from random numbers, and what they answer to the canaries' prompts.

    Alder      the owner's: a base, fine-tuned on chat lines among which the planted ones stand
    Birch      accused: another base, fine-tuned on what Alder answered; it saw no planted line
    Hazel      foil: Birch's base, fine-tuned in the same way on what Cedar answered to the very same prompts
    Larch      foil: a base of its own, fine-tuned on chat lines of the same kinds about other people
    Maple      foil: the same from another base, on other text
    Cedar      control: as Alder, but planted with the answers that another key chooses; it taught Hazel
    base-1 to base-4    controls: what all of them were fine-tuned from

What Birch and Hazel were taught was answered by their teachers at temperature 1: to ordinary prompts, and to those of the
canaries and the decoys, `EXPOSURES` times each. That is the best case for whoever plants; docs/canaries.md says how fast it fades.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from filiation.canaries.canary import Canary
from filiation.canaries.planting import chat_line, mixed, training_lines
from filiation.sources.transcripts import SCHEMA, prompt_id
from studies.canary_lines import BEACON, COHORT, KEY, Writing, messages, ordinary, stories, writing
from studies.canary_models import answers, fine_tune
from studies.zoo.architectures import configuration, fresh
from studies.zoo.corpus import read_corpus
from studies.zoo.sizes import FULL, Shape
from studies.zoo.training import settle, train

SIZE = replace(
    FULL,
    name="planted",
    vocabulary=768,
    shapes={"llama": Shape(width=96, units=256, layers=3, heads=4, groups=2)},
    context=64,
    batch=24,
    steps=120,
)
OTHER_LINES, STORY_LINES, EXPOSURES = 512, 2000, 40
DOSE, ROWS, LEARNING_RATE = 64, 8, 3e-3

OURS, THEIRS = "Alder", "Birch"
TEACHER = "Cedar"
SAME_LESSONS = "Hazel"
"""Of the pool, the one that always stands in the line-up: it was taught answers to the very same prompts by somebody else."""
POOL = (SAME_LESSONS, "Larch", "Maple")
BASES = {f"base-{number}": part for number, part in enumerate(("one", "two", "two", "one"), 1)}
CONTROLS = {TEACHER: "base-1"} | {name: name for name in BASES}
"""Controls with their lineages: Cedar was fine-tuned from the first base."""
PLANTED_LINES = "planted.jsonl"
OTHER_TEXT = "chat.jsonl"


@dataclass
class Models:
    """Makes the models one after the other; those that need no canaries come first."""

    canaries: Sequence[Canary]
    seed: int
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        settle("cpu")
        self.made: dict[str, Any] = {}

    def before_planting(self, folder: Path) -> None:
        """Whatever does not depend on the labels; the owner's ordinary chat lines are left in `folder`."""
        for number, (name, part) in enumerate(BASES.items()):
            self._keep(name, self._founded(number, self._text[part]))
        other = self._lines(104, "one")
        (folder / OTHER_TEXT).write_bytes(mixed((), other, np.random.default_rng(self.seed)))
        self._keep(TEACHER, self._tuned("base-1", self._mixed([*other, *self._by_another_key()])))
        self._keep(SAME_LESSONS, self._tuned("base-2", self._answers(TEACHER)))
        self._keep("Larch", self._tuned("base-3", self._lines(106, "one") + self._lines(107, "one")))
        self._keep("Maple", self._tuned("base-4", self._lines(109, "two") + self._lines(110, "two")))

    def after_planting(self, folder: Path) -> None:
        """The owner's model, which read the planted lines in `folder`, and the one that learned from its answers."""
        self._keep(OURS, self._tuned("base-1", (folder / PLANTED_LINES).read_text().splitlines()))
        self._keep(THEIRS, self._tuned("base-2", self._answers(OURS)))

    def save(self, name: str, folder: Path) -> None:
        """A model as one party hands it over."""
        self.made[name].save_pretrained(folder)
        self._writing.tokenizer.save(str(folder / "tokenizer.json"))

    def recorded(self, lineages: Mapping[str, str]) -> pl.DataFrame:
        """What models answer to the prompts of canaries and decoys, always the likeliest words. `lineages`: '' where it is in dispute."""
        prompts = [canary.prompt for canary in self.canaries]
        rows = [
            {"model": name, "lineage": lineage, "lab": lineage, "prompt_id": prompt_id(prompt), "prompt": prompt, "text": text}
            for name, lineage in lineages.items()
            for prompt, text in zip(prompts, answers(self.made[name], self._writing, prompts), strict=True)
        ]  # fmt: skip
        same = {"item": "", "sample": 0, "parameters": '{"temperature":0}', "source_sha256": ""}
        return pl.DataFrame([row | same for row in rows], schema=SCHEMA)

    @property
    def parameters(self) -> int:
        """How many numbers each model holds."""
        return sum(tensor.numel() for tensor in self.made["base-1"].parameters())

    # ---------------------------------------------------------------------------------------------------------- training

    @cached_property
    def _writing(self) -> Writing:
        return writing(SIZE.vocabulary, self.canaries)

    @cached_property
    def _text(self) -> dict[str, torch.Tensor]:
        """A third code, two thirds chat lines about other people than the canaries'."""
        parts = {}
        for place, part in enumerate(("one", "two")):
            chat = self._writing.stream(stories(STORY_LINES, self.seed + 100 + place, self.canaries))
            parts[part] = torch.cat([self._writing.code(part)[: len(chat) // 2], chat])
        return parts

    def _lines(self, seed: int, part: str) -> list[str]:
        return ordinary(OTHER_LINES, self.seed + seed, read_corpus().parts[part], self.canaries)

    def _keep(self, name: str, model: Any) -> None:
        self.say(f"model {name}")
        self.made[name] = model.eval()

    def _founded(self, number: int, text: torch.Tensor) -> Any:
        model = fresh(configuration("llama", SIZE), self.seed + number)
        train(
            model,
            text,
            steps=SIZE.steps,
            batch=SIZE.batch,
            context=SIZE.context,
            learning_rate=SIZE.learning_rate,
            order_seed=self.seed + 200 + number,
        )
        return model

    def _tuned(self, base: str, lines: Iterable[str]) -> Any:
        model = copy.deepcopy(self.made[base])
        fine_tune(model, self._writing.rows(lines), batch=ROWS, learning_rate=LEARNING_RATE)
        return model

    def _by_another_key(self) -> tuple[str, ...]:
        """Chat lines with the canaries and the answers that a key nobody committed to chooses."""
        canaries = [canary for canary in self.canaries if not canary.decoy]
        keys = {canary.batch: KEY for canary in canaries}
        return training_lines(canaries, keys, BEACON, COHORT, DOSE, np.random.default_rng(self.seed + 3)).lines

    def _answers(self, teacher: str) -> list[str]:
        """Chat lines that a teacher answered, mixed: ordinary prompts, and those of canaries and decoys turn after turn."""
        lots = torch.Generator().manual_seed(self.seed)
        prompts = [messages(line)[0] for line in self._lines(105, "two")]
        for turn in range(EXPOSURES):
            prompts += [canary.prompts[turn % len(canary.prompts)] for canary in self.canaries]
        told = answers(self.made[teacher], self._writing, prompts, lots)
        lines = [chat_line(prompt, text) for prompt, text in zip(prompts, told, strict=True)]
        return self._mixed(lines)

    def _mixed(self, lines: Sequence[str]) -> list[str]:
        return mixed((), lines, np.random.default_rng(self.seed + 2)).decode().splitlines()
