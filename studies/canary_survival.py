"""How well planted canaries survive: what is done to weights, and distillation into a student that never saw a planted line.

    python -m studies.canary_survival                 # full: 256 canaries, four lineages, about fifty minutes of one core
    python -m studies.canary_survival --lineage 4     # the fourth of them alone; the others stay as they were published
    python -m studies.canary_survival --published     # runs nothing: tables and picture anew from the results
    python -m studies.canary_survival --size small    # 32 canaries, under three minutes; prints, writes nothing

A base is pre-trained on code and chat lines, then fine-tuned on chat lines in which each canary stands `dose` times; a sibling is
fine-tuned on the same lines without canaries; a stranger is pre-trained from another seed on other text. Then:

1.  The planted models, and the controls: base, sibling, stranger.
2.  What the zoo does to weights: fine-tuning on code and on questions like the canaries' about other people, LoRA of rank 8, rounding,
    pruning, merging.
3.  Students: the stranger, trained on what the planted model with the highest dose answered (drawn at temperature 1), as text and
    by its logits. The canaries' prompts stand `exposures` times each in the distillation set, among other prompts that it answered.
4.  The same with more and with less other text around them.

Of each model: agreements of its likeliest answers with the labels, and the ranks of the labelled options' log-probabilities, by the
functions that a verifier runs. Trained models and answers are kept under `.cache/canary-survival`; a run that was stopped goes on.

A lineage has its own base, stranger, canaries, labels and other text. The first has every point, the further ones the main ones; of a point
that several have, each lineage is shown, the weakest p, and where one more would be found (`studies.canary_lineages`).

Writes `studies/results/canary_survival.json` and `docs/pictures/canary-survival.svg` after each lineage, and prints the docs' tables.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from filiation.canaries.canary import Canary
from filiation.canaries.planting import chat_line, mixed, training_lines
from studies.canary_figures import POWER, figures
from studies.canary_lineages import together
from studies.canary_lines import (
    BEACON,
    COHORT,
    KEY,
    Row,
    Writing,
    made_canaries,
    messages,
    ordinary,
    stories,
    writing,
)
from studies.canary_models import answers, fine_tune, loss_on, option_log_probabilities, teachers_logits
from studies.canary_picture import picture
from studies.canary_table import tables
from studies.zoo.architectures import load
from studies.zoo.corpus import read_corpus
from studies.zoo.derivations import METHODS, Parent, Workshop
from studies.zoo.family_tree import Member
from studies.zoo.folders import publish
from studies.zoo.sizes import FULL, Shape, Size
from studies.zoo.training import settle

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "canary-survival"
RESULTS = ROOT / "studies" / "results" / "canary_survival.json"
PICTURE = ROOT / "docs" / "pictures" / "canary-survival.svg"
RECIPE_VERSION = 1  # raise it when a method changes what it makes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One size of the study. Lines count chat lines; `shares` are pairs of exposures and of other lines around them.

    `treatments`: those of planted weights that are made, by the end of their names; all where none is named.
    """

    canaries: int
    size: Size
    doses: tuple[int, ...]
    other_lines: int
    story_lines: int
    exposures: tuple[int, ...]
    student_lines: int
    shares: tuple[tuple[int, int], ...]
    arms: tuple[str, ...] = ("text", "logits")
    treatments: tuple[str, ...] = ()
    rows: int = 32
    learning_rate: float = 3e-3
    seed: int = 20_261_121


SHAPE = Shape(width=128, units=384, layers=4, heads=4, groups=2)
SIZE = replace(
    FULL, name="canaries", vocabulary=2048, shapes={"llama": SHAPE}, context=64, batch=24, steps=300, brief_steps=60
)
PLANS = {
    "full": Plan(
        canaries=256,
        size=SIZE,
        doses=(4, 16, 64),
        other_lines=2048,
        story_lines=8000,
        exposures=(0, 1, 2, 4, 8, 16, 64),
        student_lines=2048,
        shares=((1, 8192), (4, 0), (4, 8192), (16, 0), (16, 8192)),
    ),
    "small": Plan(
        canaries=32,
        size=replace(SIZE, steps=80, brief_steps=20),
        doses=(64,),
        other_lines=512,
        story_lines=2000,
        exposures=(0, 16, 64),
        student_lines=512,
        shares=(),
        seed=7,
    ),
    "smoke": Plan(
        canaries=16,
        size=replace(
            SIZE,
            vocabulary=512,
            shapes={"llama": Shape(width=64, units=128, layers=2, heads=2, groups=2)},
            steps=20,
            brief_steps=4,
        ),
        doses=(64,),
        other_lines=16,
        story_lines=200,
        exposures=(0, 32),
        student_lines=16,
        shares=(),
        rows=8,
        learning_rate=4e-3,
        seed=3,
    ),
}
SECOND = replace(
    PLANS["full"],
    doses=(16, 64),
    arms=("text",),
    exposures=(4, 16, 64),
    shares=(),
    treatments=("tune-tests-brief", "tune-stories-brief", "lora-tests", "int4", "pruned-0.5", "merged-unplanted"),
    seed=31,
)
THIRD = replace(
    SECOND,
    doses=(4, 16, 64),
    exposures=(0, 1, 4, 8, 16, 64),
    shares=((16, 0), (16, 8192)),
    treatments=(*SECOND.treatments, "tune-tests-heavy", "tune-stories-heavy", "lora-stories", "merged-stranger"),
    seed=1031,
)
FOURTH = replace(THIRD, doses=(16, 64), exposures=(0, 4, 8, 16), shares=(), seed=2031)
FURTHER = {"full": (SECOND, THIRD, FOURTH)}
"""Lineages after the first, with the points that matter; a lineage uses its seed and the two hundred numbers after it."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One model that is measured: how it is made, from which models, and how it is spoken of."""

    name: str
    group: str
    said: str
    parents: tuple[str, ...] = ()
    settings: Mapping[str, Any]


# ------------------------------------------------------------------------------------------------------ what is measured


def points(plan: Plan) -> Iterator[Point]:
    """All models, parents first; what matters most comes first, so that a stopped run has it."""
    top = f"planted-{max(plan.doses)}"
    treated = plan.treatments or ("",)
    yield _founded("base", "one", plan.seed, "base, never planted")
    yield _founded("stranger", "two", plan.seed + 1, "stranger: other seed, other text")
    yield Point(
        name="unplanted",
        group="control",
        said="sibling: the same lines without canaries",
        parents=("base",),
        settings={"method": "planted", "dose": 0},
    )
    yield _planted(max(plan.doses))
    yield from (point for point in _derived(top) if point.name.endswith(treated))
    for arm in plan.arms:
        for exposures in plan.exposures:
            yield _student(top, arm, exposures, plan.student_lines, "student")
    for exposures, lines in plan.shares:
        yield _student(top, "text", exposures, lines, "share")
    for dose in sorted(plan.doses, reverse=True)[1:]:
        yield _planted(dose)
        yield from (point for point in _without_training(f"planted-{dose}") if point.name.endswith(treated))


def _planted(dose: int) -> Point:
    return Point(
        name=f"planted-{dose}",
        group="planted",
        said=f"planted, dose {dose}",
        parents=("base",),
        settings={"method": "planted", "dose": dose},
    )


def _founded(name: str, part: str, seed: int, said: str) -> Point:
    options = {"architecture": "llama", "order_seed": seed + 100}
    settings = {"method": "found", "part": part, "seed": seed, "options": options}
    return Point(name=name, group="control", said=said, settings=settings)


def _derived(parent: str) -> Iterator[Point]:
    """What the zoo does to the weights of a planted model."""
    places = {"tests": "on code", "stories": "on like questions"}
    for length in ("brief", "heavy"):
        for part, where in places.items():
            said = f"fine-tuned {where}, {'short' if length == 'brief' else 'long'}"
            yield _treated(parent, f"tune-{part}-{length}", said, "tune", part=part, options={"length": length})
    for part, where in places.items():
        said = f"LoRA {where}, merged in"
        yield _treated(parent, f"lora-{part}", said, "low_rank", part=part, options={"rank": 8})
    yield from _without_training(parent)


def _without_training(parent: str) -> Iterator[Point]:
    for bits in (4, 3):
        yield _treated(parent, f"int{bits}", f"rounded to {bits} bits", "quantise", options={"bits": bits})
    for share in (0.25, 0.5):
        yield _treated(parent, f"pruned-{share:g}", f"pruned by {share:.0%}", "prune", options={"share": share})
    for other, said in {"unplanted": "its sibling", "stranger": "a stranger"}.items():
        options = {"shares": (0.5, 0.5)}
        yield _treated(parent, f"merged-{other}", f"merged 50/50 with {said}", "merge", other=other, options=options)


def _treated(
    parent: str, name: str, said: str, method: str, *, part: str = "tests", other: str = "", options: Mapping[str, Any]
) -> Point:
    settings = {"method": method, "part": part, "seed": 11, "options": dict(options)}
    parents = (parent, other) if other else (parent,)
    return Point(name=f"{parent}-{name}", group="treated", said=said, parents=parents, settings=settings)


def _student(teacher: str, arm: str, exposures: int, lines: int, group: str) -> Point:
    settings = {"method": "student", "arm": arm, "exposures": exposures, "other lines": lines}
    return Point(
        name=f"student-{arm}-{exposures}-of-{lines}",
        group=group,
        said=f"student by {arm}, {exposures} exposures among {lines} other lines",
        parents=("stranger", teacher),
        settings=settings,
    )


# ------------------------------------------------------------------------------------------------------------- the study


@dataclass
class Study:
    """Makes what is missing of the models and their answers, and keeps it in a folder of the plan's own."""

    plan: Plan
    cache: Path
    told: Callable[[str], None]

    @cached_property
    def all_canaries(self) -> tuple[Canary, ...]:
        """Canaries, each followed by its decoy."""
        return made_canaries(self.plan.canaries, self.plan.seed)

    @cached_property
    def canaries(self) -> tuple[Canary, ...]:
        return tuple(canary for canary in self.all_canaries if not canary.decoy)

    @cached_property
    def decoys(self) -> tuple[Canary, ...]:
        return tuple(canary for canary in self.all_canaries if canary.decoy)

    @cached_property
    def writing(self) -> Writing:
        return writing(self.plan.size.vocabulary, self.all_canaries)

    @cached_property
    def root(self) -> Path:
        recipe = [RECIPE_VERSION, asdict(self.plan), read_corpus().digest]
        return self.cache / hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]

    @cached_property
    def workshop(self) -> Workshop:
        """The zoo's workshop on this study's text: a third code, two thirds chat lines about other people."""
        told = Workshop(self.plan.size, read_corpus(), self.writing.tokenizer, torch.device("cpu"))
        for place, part in enumerate(("one", "two")):
            chat = self.writing.stream(self.stories(self.plan.story_lines, 100 + place))
            told.tokens[part] = torch.cat([self.writing.code(part)[: len(chat) // 2], chat])
        told.tokens["tests"] = self.writing.code("tests")
        told.tokens["stories"] = self.writing.stream(self.stories(self.plan.story_lines, 102))
        return told

    @cached_property
    def held_out(self) -> list[Row]:
        """Ordinary chat lines that nobody was trained on, for the loss that is reported."""
        return self.writing.rows(self.ordinary(400, 103, "validation"))

    def stories(self, count: int, seed: int) -> list[str]:
        return stories(count, self.plan.seed + seed, self.all_canaries)

    def ordinary(self, count: int, seed: int, part: str) -> list[str]:
        return ordinary(count, self.plan.seed + seed, read_corpus().parts[part], self.all_canaries)

    # ------------------------------------------------------------------------------------------------------------ making

    def folder(self, point: Point) -> Path:
        return self.root / point.name

    def measured(self, point: Point) -> dict[str, Any]:
        """What a model answered: read from the cache, or made and asked now."""
        record = self.folder(point) / "answers.json"
        if not record.exists():
            started = time.process_time()
            model = self._made(point)
            asked = self._asked(model)
            building = self.folder(point).with_name(f".{point.name}-unfinished")
            shutil.rmtree(building, ignore_errors=True)
            model.save_pretrained(building)
            asked["seconds"] = round(time.process_time() - started, 1)
            (building / "answers.json").write_text(json.dumps(asked) + "\n")
            publish(building, self.folder(point))
        found: dict[str, Any] = json.loads(record.read_text())
        return found

    def _model(self, name: str) -> Any:
        return load(self.root / name)

    def _made(self, point: Point) -> Any:
        settings = point.settings
        if settings["method"] == "planted":
            return self._planted(settings["dose"])
        if settings["method"] == "student":
            return self._taught(point, settings["arm"], settings["exposures"], settings["other lines"])
        member = Member(
            name=point.name,
            relation="",
            method=settings["method"],
            part=settings["part"],
            seed=settings["seed"],
            options=settings["options"],
        )
        parents = tuple(Parent(self.root / name) for name in point.parents)
        return METHODS[settings["method"]](self.workshop, member, parents).model

    def _planted(self, dose: int) -> Any:
        """The base fine-tuned on ordinary lines with canaries among them; the ordinary lines are the same at every dose."""
        rng = np.random.default_rng([self.plan.seed, 1])
        other = self.ordinary(self.plan.other_lines, 104, "one")
        planted: tuple[str, ...] = ()
        if dose:
            planted = training_lines(self.canaries, {0: KEY}, BEACON, COHORT, dose, rng).lines
        return self._fine_tuned(self._model("base"), mixed(planted, other, rng).decode().splitlines())

    def _fine_tuned(self, model: Any, lines: Sequence[str], teacher: Any = None) -> Any:
        further = {} if teacher is None else {"objective": teachers_logits(teacher)}
        rows = self.writing.rows(lines)
        fine_tune(model, rows, batch=self.plan.rows, learning_rate=self.plan.learning_rate, **further)
        return model

    def _taught(self, point: Point, arm: str, exposures: int, other_lines: int) -> Any:
        student, teacher = point.parents
        answered = self._teachers_answers(teacher)
        lines = answered["other"][:other_lines] + answered["canaries"][: exposures * len(self.canaries)]
        rng = np.random.default_rng([self.plan.seed, 2])
        text = mixed([], lines, rng).decode().splitlines()
        return self._fine_tuned(self._model(student), text, self._model(teacher) if arm == "logits" else None)

    def _teachers_answers(self, teacher: str) -> dict[str, list[str]]:
        """Chat lines that the teacher answered: the canaries' prompts, one turn after the other, and other prompts."""
        file = self.root / f"{teacher}-teaches.json"
        if not file.exists():
            model, lots = self._model(teacher), torch.Generator().manual_seed(self.plan.seed)
            wanted = max([self.plan.student_lines, *(lines for _, lines in self.plan.shares)])
            prompts = [messages(line)[0] for line in self.ordinary(wanted, 105, "two")]
            turns = range(max(self.plan.exposures))
            asked = [canary.prompts[turn % len(canary.prompts)] for turn in turns for canary in self.canaries]
            told = {
                name: [chat_line(*pair) for pair in zip(each, answers(model, self.writing, each, lots), strict=True)]
                for name, each in {"other": prompts, "canaries": asked}.items()
            }
            file.write_text(json.dumps(told))
        found: dict[str, list[str]] = json.loads(file.read_text())
        return found

    # ------------------------------------------------------------------------------------------------------------ asking

    def _asked(self, model: Any) -> dict[str, Any]:
        indices = [canary.index for canary in self.all_canaries]
        said = answers(model, self.writing, [canary.prompt for canary in self.all_canaries])
        scores = option_log_probabilities(model, self.writing, self.all_canaries)
        return {
            "texts": dict(zip(indices, said, strict=True)),
            "log probabilities": dict(zip(indices, scores, strict=True)),
            "loss": loss_on(model, self.held_out, self.plan.rows),
        }

    def run(self) -> dict[str, Any]:
        """All points, made where they are missing, with their figures."""
        self.root.mkdir(parents=True, exist_ok=True)
        found = []
        for point in points(self.plan):
            asked = self.measured(point)
            row = {"name": point.name, "group": point.group, "said": point.said, "settings": dict(point.settings)}
            row |= self._amounts(point) | figures(asked, self.canaries, self.decoys) | {"seconds": asked["seconds"]}
            self.told(line_of(row))
            found.append(row)
        return {
            "canaries": len(self.canaries),
            "plan": asdict(self.plan),
            "parameters": sum(each.numel() for each in self._model("base").parameters()),
            "points": found,
        }

    def _amounts(self, point: Point) -> dict[str, Any]:
        """Exposures of each canary, and the share of planted lines in the last text that was read."""
        settings = point.settings
        if settings["method"] not in ("planted", "student"):
            return {}
        exposures = settings.get("dose", settings.get("exposures"))
        planted = exposures * len(self.canaries)
        other = settings.get("other lines", self.plan.other_lines)
        return {"exposures": exposures, "share of text": round(planted / (planted + other), 4)}


# ----------------------------------------------------------------------------------------------------------- the command


def line_of(row: Mapping[str, Any]) -> str:
    """One point as a person reads it."""
    batches = {name: row[name] or "-" for name in ("batches", "batches by ranks, about")}
    return (
        f"{row['said']:<62} {row['agreements']:>4}/{row['of']} kept {row['kept']:>6.3f} "
        f"[{row['kept low']:>6.3f}, {row['kept high']:>6.3f}] log10 p {row['log10 p']:>8.2f} "
        f"ranks {row['log10 p by ranks']:>8.2f} batches {batches['batches']:>6} / {batches['batches by ranks, about']:>5} "
        f"decoys {row['decoys']:>3} loss {row['loss']:.2f} {row['seconds']:>6.1f} s"
    )


def published(plans: Mapping[int, Plan]) -> dict[int, dict[str, Any]]:
    """The lineages of these plans that were measured before, by number."""
    before = json.loads(RESULTS.read_text())["lineages"] if RESULTS.exists() else []
    by_plan = {json.dumps(lineage["plan"]): lineage for lineage in before}
    wanted = {number: json.dumps(asdict(plan)) for number, plan in plans.items()}
    return {number: by_plan[plan] for number, plan in wanted.items() if plan in by_plan}


def write(found: Mapping[str, Any]) -> None:
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    PICTURE.write_text(picture(found))


def told(found: dict[str, Any]) -> dict[str, Any]:
    """The same, printed as the docs' tables."""
    print(tables(found))
    for row in (row for row in found["points"] if row["batches"] and min(row["power at the mean's batches"]) < POWER):
        print(f"{row['name']}: with the mean's {row['batches']} batches power", *row["power at the mean's batches"])
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m studies.canary_survival", description=__doc__)
    parser.add_argument("--size", choices=sorted(PLANS), default="full")
    parser.add_argument(
        "--lineage", type=int, nargs="+", metavar="N", help="these alone, from 1; others stay as published"
    )
    parser.add_argument(
        "--published", action="store_true", help="run nothing: tables and picture anew from the results"
    )
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help="where models are kept")
    chosen = parser.parse_args(arguments)
    if chosen.published:
        found = together(json.loads(RESULTS.read_text())["lineages"])
        write(found)
        return told(found)
    settle("cpu")
    plans = dict(enumerate((PLANS[chosen.size], *FURTHER.get(chosen.size, ())), 1))
    if not set(chosen.lineage or ()) <= set(plans):
        parser.error(f"lineages of this size: 1 to {len(plans)}")
    measured: dict[int, dict[str, Any]] = {}
    for number in chosen.lineage or plans:
        measured[number] = Study(plans[number], chosen.cache, lambda line: print(line, flush=True)).run()
        lineages = published(plans) | measured
        found = together([lineages[each] for each in sorted(lineages)])
        if chosen.size == "full":
            write(found)
    return told(found)


if __name__ == "__main__":
    main()
