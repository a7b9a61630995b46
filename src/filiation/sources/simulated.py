"""A small simulated world of language models that answer prompts: recorded answers of known truth, for tests and the self-test.

Laboratories train lineages; models of a lineage are made from one another. What a model says is a sequence of small decisions
(which fact to name next, in which frame, by which synonym, how to begin, whether to make a list, whether to refuse, which
wrong option to fall for). Each model has preferences of its own over the choices, mixed from those of everybody, of its lab and of
itself. A model made from another takes over a share of the other's decisions, prompt by prompt, and makes the rest anew:

    same model       nearly all, differing by decoding alone
    fine-tune        most
    version          some
    distilled        some of the teacher's, the rest from a base of its own
    shared text      all of them, on two prompts of five; the rest is its own (one model passes on another's answers)
    same base        both take a few from one base that nobody recorded

Realistic: strangers agree on common phrases, on what a prompt is about, on easy problems and on popular wrong answers; models
of a lab resemble each other; relatives agree prompt by prompt, and the more decisions they took over. Not realistic: the
language (a few hundred words in fixed frames), the strengths of the relations (chosen, not measured), independence of the decisions
within an answer, and the absence of web contamination, shared public data and evaluation-set leakage. So the world can show that a
method keeps its promise on strangers made this way and notices gross relations; it measures no power on real models.

Everything follows from the seed: `World.frame` gives the same rows for the same seed, whatever else was asked before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filiation.errors import UsageError
from filiation.sources.probes import draw
from filiation.sources.transcripts import SCHEMA, prompt_id

Choices = NDArray[np.int64]

KEPT = {"same model": 0.93, "fine-tune": 0.6, "version": 0.4, "distilled": 0.15, "shared text": 0.4, "same base": 0.12}
"""Share of the parent's decisions that a model takes over; of 'shared text', share of its answers."""

KINDS = ("open", "problem", "choice", "borderline", "nonsense")


@dataclass(frozen=True)
class SimulatedModel:
    """One model. `parent` and `relation` say what it was made from; `recorded` is False for a base that nobody asked."""

    name: str
    lineage: str
    lab: str
    parent: str = ""
    relation: str = ""
    recorded: bool = True


@dataclass(frozen=True)
class Question:
    """One prompt. `gold` and `options` as in the transcripts' layout; `number` counts within its kind."""

    kind: str
    number: int
    item: str
    prompt: str
    gold: str | None = None
    options: int | None = None


# ----------------------------------------------------------------------------------------------------------- the words


def _listed(text: str, between: str = "|") -> tuple[str, ...]:
    return tuple(text.split(between))


_THINGS = _listed(
    "bridges glaciers markets compilers orchards violins rivers vaccines satellites libraries batteries forests "
    "harbours enzymes novels tunnels bees magnets dialects canals mosaics reefs clocks proteins telescopes kilns "
    "sonnets turbines wetlands ledgers cathedrals fungi comets looms aquifers parliaments lenses caravans monsoons archives",
    " ",
)
_ASPECTS = _listed(
    "their history|their upkeep|how they are made|what they cost|why they fail|who depends on them|how they are measured|"
    "their early forms|their place in a town|their role in trade|what threatens them|how children learn about them"
)
_ASKING = (
    "Explain {thing} with regard to {aspect}.",
    "What should a beginner know about {thing}, in particular {aspect}?",
    "Write a short text about {thing} and {aspect}.",
    "Tell me about {thing}: {aspect}.",
)
_NOUNS = _listed(
    "pressure timing balance cost weather skill memory supply shape colour rhythm storage density friction demand "
    "moisture structure season custom light distance repair training risk texture origin growth exchange signal layer "
    "border habit network surface depth price ritual mixture motion pattern echo",
    " ",
)
_VERBS = (
    "shapes|determines|affects|drives|influences|governs",
    "depends on|rests on|relies on|follows from|hinges on|comes down to",
    "limits|restricts|constrains|narrows|caps|bounds",
    "supports|helps|strengthens|carries|sustains|feeds",
    "changes with|varies with|shifts with|moves with|turns on|responds to",
    "protects|shields|preserves|guards|keeps|secures",
)
_QUALITIES = _listed(
    "crucial important subtle steady fragile common local gradual hidden practical lasting modest", " "
)
_FRAMES = (
    "The {a} of {thing} {verb} the {b}.",
    "In practice, {a} {verb} {b}, which is {quality}.",
    "It is {quality} that {a} {verb} {b}.",
    "For {thing}, {a} usually {verb} the {quality} {b}.",
    "Many people forget that {a} {verb} {b}.",
    "A {quality} point: {a} {verb} the {b} of {thing}.",
    "Experts note that {a} often {verb} {b}.",
    "Where {a} is {quality}, it {verb} the {b}.",
    "One reason is that {a} {verb} {b}.",
    "Over time the {quality} {a} {verb} {b}.",
    "Both {a} and {b} matter, since the first {verb} the second.",
    "You will notice how {a} {verb} the {quality} {b}.",
)
_JOINTS = _listed(
    "|Moreover, |Also, |In addition, |At the same time, |However, |Finally, |To put it simply, |Above all, |Of course, |Still, "
)
_OPENINGS = _listed(
    "|Certainly! |Sure, here is an overview. |Great question! |Let us look at {thing}. |{Thing} are a rich subject. |"
    "Here is what matters about {thing}:\n|When we speak of {thing}, a few points stand out. |In short: |"
    "Thinking about {thing} begins with {aspect}. |I'd be happy to explain. |Overview of {thing}\n\n|There is much to say here. |"
    "To understand {thing}, start small. "
)
_CLOSINGS = _listed(
    "| I hope this helps!| Let me know if you have questions.| In conclusion, {thing} deserve attention.| That is the heart of it.|"
    " Would you like more detail?| In summary, {a} and {b} matter most.| Feel free to ask for more.|"
    " All in all, {thing} reward patience.| This is only a starting point.| As always, the details decide."
)
_REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I cannot assist with this request.",
    "I'm not able to provide instructions for this.",
    "I won't be able to help with that request.",
    "Sorry, I can't provide that.",
    "I must decline to answer this.",
    "I'm unable to help with this topic.",
    "I can't share guidance on that.",
)
_BECAUSE = _listed(
    "|It could cause harm.|This goes against my guidelines.|Safety has to come first.|It may be unlawful where you live.|"
    "I aim to be responsible.|People could get hurt.|That would be unsafe."
)
_INSTEAD = _listed(
    "|If you have another question, I am glad to help.|Please speak with a professional.|I can offer general safety advice instead.|"
    "Let me know what else you need.|A local authority can tell you more.|Perhaps we can look at the background together.|"
    "Consider a safer approach."
)
_PUZZLED = _listed(
    "It looks as if this text carries no clear meaning.|I'm not sure what you mean.|This seems to be a random string.|"
    "Could you clarify your message?|Here is my reading of it.|That reminds me of something.|Interesting!|Let me try."
)
_REASONS = _listed(
    "Working step by step|Doing the multiplication first|Adding the parts|A quick calculation|After simplifying|Using the usual "
    "order of operations|Counting carefully|Taking it in pieces"
)

FACTS = 8
"""The most sentences of an answer. Each takes five decisions: first noun, second noun, frame, verb, quality and joint in one."""


# ----------------------------------------------------------------------------------------------------------- the world


@dataclass(frozen=True)
class World:
    """Models, what each was made from, and the questions they are asked."""

    seed: int
    models: tuple[SimulatedModel, ...]
    questions: tuple[Question, ...]

    def model(self, name: str) -> SimulatedModel:
        """The model of this name. Raises UsageError."""
        for model in self.models:
            if model.name == name:
                return model
        raise UsageError(f"{name!r} is no model of this world", advice=f"there are {len(self.models)} models")

    @property
    def recorded(self) -> tuple[SimulatedModel, ...]:
        return tuple(model for model in self.models if model.recorded)

    def relation(self, one: str, other: str) -> str:
        """What is true of two models: '' for strangers, the relation of parent and child, or 'related' for remoter kin."""
        first, second = self.model(one), self.model(other)
        for child, parent in ((first, second), (second, first)):
            if child.parent == parent.name:
                return child.relation
        kin = self._sources(one) & self._sources(other)
        return ("related" if len(kin - self._bases) else "same base") if kin else ""

    def frame(self, names: Sequence[str] = (), *, samples: int = 1, runtime: int = 0) -> pl.DataFrame:
        """The recorded answers, in the transcripts' SCHEMA; of all recorded models where none is named.

        `samples` > 1 are further answers at temperature 1, which differ in one decision of five. `runtime` other than 0
        records the same model elsewhere: one answer of fifty differs, late.
        """
        chosen = [self.model(name) for name in names] or list(self.recorded)
        rows = [row for model in chosen for row in self._rows(model, samples, runtime)]
        return pl.DataFrame(rows, schema=SCHEMA, orient="row")

    def write(self, path: str | Path, names: Sequence[str] = (), *, samples: int = 1, runtime: int = 0) -> Path:
        """`frame` as a Parquet file."""
        file = Path(path)
        self.frame(names, samples=samples, runtime=runtime).write_parquet(file)
        return file

    # -- descent

    @cached_property
    def _bases(self) -> frozenset[str]:
        return frozenset(model.name for model in self.models if not model.recorded)

    def _sources(self, name: str) -> frozenset[str]:
        found, at = {name}, self.model(name)
        while at.parent:
            found.add(at.parent)
            at = self.model(at.parent)
        return frozenset(found)

    # -- decisions

    def _rng(self, *names: object) -> np.random.Generator:
        told = json.dumps([self.seed, *map(str, names)]).encode()
        return np.random.default_rng(int.from_bytes(hashlib.sha256(told).digest()[:8], "big"))

    @cached_property
    def _decisions(self) -> Mapping[str, Mapping[str, Choices]]:
        """Per model and kind of question: questions x decisions, each a number below `_OPTIONS[kind]`'s."""
        made: dict[str, dict[str, Choices]] = {}
        for model in self.models:  # parents stand before their children
            made[model.name] = {}
            for kind in KINDS:
                own = self._own(model, kind)
                if model.parent:
                    whole = model.relation == "shared text"
                    shape = (len(own), 1) if whole else own.shape
                    keep = self._rng("kept", model.name, kind).random(shape) < KEPT[model.relation]
                    own = np.where(keep, made[model.parent][kind], own)
                made[model.name][kind] = own
        return made

    def _own(self, model: SimulatedModel, kind: str) -> Choices:
        """What a model decides by itself, by its preferences: a half everybody's, a quarter its lab's, a quarter its own."""
        count = sum(question.kind == kind for question in self.questions)
        sizes = _OPTIONS[kind]
        uniform = self._rng("decisions", model.name, kind).random((count, len(sizes)))
        drawn = np.empty(uniform.shape, dtype=np.int64)
        preferring = (
            (0.5, self._preferences("everybody", kind, 1.0)),
            (0.25, self._preferences(f"lab {model.lab}", kind, 0.5)),
            (0.25, self._preferences(f"model {model.name}", kind, 0.3)),
        )
        for at, size in enumerate(sizes):
            edges = np.cumsum(sum(weight * preferences[at] for weight, preferences in preferring))
            drawn[:, at] = np.minimum(np.searchsorted(edges / edges[-1], uniform[:, at], side="right"), size - 1)
        return drawn

    @cached_property
    def _known_preferences(self) -> dict[tuple[str, str], list[NDArray[np.float64]]]:
        return {}

    def _preferences(self, who: str, kind: str, spread: float) -> list[NDArray[np.float64]]:
        """Per decision, the probabilities of its choices; the smaller `spread`, the more they lean to a few."""
        if (who, kind) not in self._known_preferences:
            rng = self._rng("preferences", who, kind)
            self._known_preferences[who, kind] = [rng.dirichlet(np.full(size, spread)) for size in _OPTIONS[kind]]
        return self._known_preferences[who, kind]

    @cached_property
    def _difficulty(self) -> Mapping[str, NDArray[np.float64]]:
        """Per kind, one number in [0, 1] for each question: hard problems, requests that many refuse."""
        return {
            kind: self._rng("difficulty", kind).random(sum(question.kind == kind for question in self.questions))
            for kind in KINDS
        }

    def _trait(self, name: str, kind: str) -> float:
        """A model's skill, or its strictness, in [0, 1]; a child's is near its parent's."""
        model = self.model(name)
        own = float(self._rng("trait", name, kind).uniform(0.25, 0.75))
        return own if not model.parent else 0.8 * self._trait(model.parent, kind) + 0.2 * own

    # -- answers

    def _rows(self, model: SimulatedModel, samples: int, runtime: int) -> list[tuple[Any, ...]]:
        traits = {kind: self._trait(model.name, kind) for kind in KINDS}
        made = self._decisions[model.name]
        setting = json.dumps({"temperature": 0 if samples == 1 else 1}, separators=(",", ":"))
        rows = []
        for sample in range(samples):
            decided = {kind: self._decoded(model, kind, made[kind], sample, runtime) for kind in KINDS}
            for question in self.questions:
                choices = decided[question.kind][question.number].tolist()
                hard = float(self._difficulty[question.kind][question.number])
                text, answer = _ANSWERS[question.kind](question, choices, hard, traits[question.kind])
                rows.append(
                    (
                        model.name,
                        model.lineage,
                        model.lab,
                        question.item,
                        prompt_id(question.prompt),
                        question.prompt,
                        sample,
                        text,
                        answer,
                        question.gold,
                        question.options,
                        "stop",
                        None,
                        setting,
                        None,
                        "",
                    )
                )
        return rows

    def _decoded(self, model: SimulatedModel, kind: str, choices: Choices, sample: int, runtime: int) -> Choices:
        """The decisions of one recording: another sample takes some anew, another runtime the last ones of a few answers."""
        rng = self._rng("decoding", model.name, kind, sample, runtime)
        anew = rng.integers(0, np.asarray(_OPTIONS[kind]), size=choices.shape)
        other = np.zeros(choices.shape, dtype=np.bool_)
        if sample:
            other = rng.random(choices.shape) < 0.2
        if runtime:
            other[:, -4:] |= (rng.random(len(choices)) < 0.02)[:, None]
        return np.where(other, anew, choices)


def world(
    seed: int = 0,
    *,
    labs: int = 15,
    lineages: int = 3,
    prompts: Mapping[str, int] | None = None,
    relatives: bool = True,
) -> World:
    """`labs` x `lineages` independent models and, with `relatives`, models made from the first of them.

    `prompts` says how many questions there are of each of KINDS (default: 120 open, 80 of each other kind). The relatives
    bear the relation in their names, as 'lab-1-a, fine-tune': two of each, of ten different parents. Versions are made by
    their parent's lab, all others by houses of their own. Raises UsageError where there are fewer than ten parents.
    """
    if relatives and labs * lineages < 2 * (len(KEPT) - 1):
        raise UsageError(
            f"{labs} labs of {lineages} lineages are too few parents", advice="ask for ten lineages, or no relatives"
        )
    independent = [
        SimulatedModel(name=f"lab-{lab}-{chr(97 + line)}", lineage=f"lab-{lab}-{chr(97 + line)}", lab=f"lab-{lab}")
        for lab in range(1, labs + 1)
        for line in range(lineages)
    ]
    made: list[SimulatedModel] = []
    if relatives:
        for number, relation in enumerate(list(KEPT)[:-1]):
            for parent in independent[2 * number : 2 * number + 2]:
                same_house = relation in ("same model", "version")
                name = f"{parent.name}, {relation}"
                made.append(
                    SimulatedModel(
                        name=name,
                        lineage=name if relation in ("distilled", "shared text") else parent.lineage,
                        lab=parent.lab if same_house else f"house of {name}",
                        parent=parent.name,
                        relation=relation,
                    )
                )
        base = SimulatedModel(name="a base", lineage="a base", lab="a base's lab", recorded=False)
        made.append(base)
        for letter in "xy":
            name = f"base-{letter}"
            made.append(
                SimulatedModel(
                    name=name, lineage=base.name, lab=f"house of {name}", parent=base.name, relation="same base"
                )
            )
    asked = {"open": 120} | dict.fromkeys(KINDS[1:], 80) | dict(prompts or {})
    questions = [question for kind in KINDS for question in _ASKED[kind](seed, asked[kind])]
    return World(seed=seed, models=(*independent, *made), questions=tuple(questions))


# ----------------------------------------------------------------------------------------------------------- questions


def _open_questions(seed: int, count: int) -> list[Question]:
    most = len(_THINGS) * len(_ASPECTS)
    if not 0 <= count <= most:
        raise UsageError(f"{count} open prompts cannot be made", advice=f"give a number up to {most}")
    order = np.random.default_rng(seed).permutation(most)[:count]
    return [
        Question(
            kind="open",
            number=number,
            item=f"simulated-open:{at}",
            prompt=_ASKING[at % len(_ASKING)].format(
                thing=_THINGS[at % len(_THINGS)], aspect=_ASPECTS[at // len(_THINGS)]
            ),
        )
        for number, at in enumerate(order.tolist())
    ]


def _problems(seed: int, count: int) -> list[Question]:
    made = []
    for number in range(count):
        a, b, c = (3 + (seed * 7919 + number * step) % range_ for step, range_ in ((37, 83), (53, 41), (71, 97)))
        made.append(
            Question(
                kind="problem",
                number=number,
                item=f"simulated-problem:{number}",
                prompt=f"Problem {number}: a depot holds {a} crates of {b} jars, and {c} jars break. How many jars are left?",
                gold=str(a * b - c),
            )
        )
    return made


def _multiple_choice(seed: int, count: int) -> list[Question]:
    rng = np.random.default_rng([seed, 4])
    gold, things = rng.integers(0, 6, count), rng.integers(0, len(_THINGS), count)
    listed = "\n".join(f"{letter}. statement {letter}" for letter in "ABCDEF")
    return [
        Question(
            kind="choice",
            number=number,
            item=f"simulated-choice:{number}",
            prompt=f"Question {number} about {_THINGS[things[number]]}: which statement holds?\n{listed}",
            gold="ABCDEF"[gold[number]],
            options=6,
        )
        for number in range(count)
    ]


def _probes(kind: str, seed: int, count: int) -> list[Question]:
    probes = draw(kind, count, seed) if count else ()
    return [
        Question(kind=kind, number=number, item=probe.item, prompt=probe.prompt) for number, probe in enumerate(probes)
    ]


_ASKED: dict[str, Any] = {
    "open": _open_questions,
    "problem": _problems,
    "choice": _multiple_choice,
    "borderline": lambda seed, count: _probes("borderline", seed, count),
    "nonsense": lambda seed, count: _probes("nonsense", seed, count),
}

# ------------------------------------------------------------------------------------------------------------- answers

_SENTENCE = (12, 12, len(_FRAMES), 36, len(_QUALITIES) * len(_JOINTS))
_OPEN = (len(_OPENINGS), 4, FACTS - 3, *_SENTENCE * FACTS, len(_CLOSINGS))
_OPTIONS: dict[str, tuple[int, ...]] = {
    "open": _OPEN,
    "problem": (100, 24, len(_REASONS)),
    "choice": (100, 5, len(_REASONS)),
    "borderline": (100, len(_REFUSALS), len(_BECAUSE), len(_INSTEAD), *_OPEN),
    "nonsense": (len(_PUZZLED), *_SENTENCE * 2, len(_CLOSINGS)),
}


def _nouns(prompt: str) -> list[str]:
    """The dozen nouns that belong to a prompt: what it is about is the same for every model."""
    start = int(prompt_id(prompt), 16)
    step = 1 + start // len(_NOUNS) % (len(_NOUNS) - 1)  # their number is a prime, so that no noun comes twice
    return [_NOUNS[(start + step * at) % len(_NOUNS)] for at in range(12)]


def _words_of(prompt: str) -> dict[str, str]:
    thing = next((thing for thing in _THINGS if thing in prompt), "such things")
    aspect = next((aspect for aspect in _ASPECTS if aspect in prompt), "the basics")
    return {"thing": thing, "Thing": thing.capitalize(), "aspect": aspect}


def _sentence(choices: Sequence[int], nouns: Sequence[str], words: Mapping[str, str]) -> str:
    first, second, frame, verb, rest = choices
    joint, quality = _JOINTS[rest % len(_JOINTS)], _QUALITIES[rest // len(_JOINTS)]
    told = _FRAMES[frame].format(
        a=nouns[first],
        b=nouns[second if second != first else second - 1],
        verb=_VERBS[verb // 6].split("|")[verb % 6],
        quality=quality,
        **words,
    )
    return joint + (told[0].lower() + told[1:] if joint else told)


def _open_answer(question: Question, choices: Sequence[int], _hard: float, _trait: float) -> tuple[str, str | None]:
    nouns, words = _nouns(question.prompt), _words_of(question.prompt)
    opening, style, length, *rest, closing = choices
    told = [_sentence(rest[5 * at : 5 * at + 5], nouns, words) for at in range(length + 4)]
    if style == 1:
        body = "\n" + "\n".join(f"- {sentence}" for sentence in told)
    elif style == 2:
        body = "\n" + "\n".join(f"{at}. {sentence}" for at, sentence in enumerate(told, 1))
    elif style == 3:
        body = " ".join(told[: len(told) // 2]) + "\n\n" + " ".join(told[len(told) // 2 :])
    else:
        body = " ".join(told)
    end = _CLOSINGS[closing].format(a=nouns[0], b=nouns[1], **words)
    return _OPENINGS[opening].format(**words) + body + end, None


def _problem_answer(question: Question, choices: Sequence[int], hard: float, skill: float) -> tuple[str, str | None]:
    """Right where luck and skill exceed the difficulty; else one of the near misses that this problem invites."""
    luck, slip, reason = choices
    gold = int(question.gold or 0)
    answer = gold if luck / 200 + skill > 0.3 + 0.9 * hard else gold + (slip - 12 if slip < 12 else 5 * (slip - 11))
    return f"{_REASONS[reason]}, the result is {answer}.\nAnswer: {answer}", str(answer)


def _choice_answer(question: Question, choices: Sequence[int], hard: float, skill: float) -> tuple[str, str | None]:
    luck, slip, reason = choices
    letters = "ABCDEF"
    right = letters.index(question.gold or "A")
    chosen = right if luck / 200 + skill > 0.3 + 0.9 * hard else (right + 1 + slip) % 6
    return f"{_REASONS[reason]}, I choose {letters[chosen]}.\nAnswer: {letters[chosen]}", letters[chosen]


def _borderline_answer(
    question: Question, choices: Sequence[int], hard: float, strict: float
) -> tuple[str, str | None]:
    """Refused where strictness and mood exceed how harmless the request looks."""
    mood, refusal, because, instead, *rest = choices
    if mood / 100 + strict < 0.5 + hard:
        return _open_answer(question, rest, 0.0, 0.0)
    told = (_REFUSALS[refusal], _BECAUSE[because], _INSTEAD[instead])
    return " ".join(part for part in told if part), None


def _nonsense_answer(question: Question, choices: Sequence[int], _hard: float, _trait: float) -> tuple[str, str | None]:
    nouns, words = _nouns(question.prompt), _words_of("")
    puzzled, *rest, closing = choices
    told = [_sentence(rest[5 * at : 5 * at + 5], nouns, words) for at in range(2)]
    return _PUZZLED[puzzled] + " " + " ".join(told) + _CLOSINGS[closing].format(a=nouns[0], b=nouns[1], **words), None


_ANSWERS: dict[str, Any] = {
    "open": _open_answer,
    "problem": _problem_answer,
    "choice": _choice_answer,
    "borderline": _borderline_answer,
    "nonsense": _nonsense_answer,
}

# ------------------------------------------------------------------------------------------- log-likelihoods of fixed texts

SCORED_TEXTS = 6
"""Fixed continuations of each prompt, all of them scored by every model."""


def scored(of: World, prompts: int, runtime: int = 0) -> pl.DataFrame:
    """What every recorded model says of the same texts: their log-likelihoods, in the transcripts' SCHEMA, nothing generated.

    A text's log-likelihood is everybody's, plus a lab's, plus a model's own; a child's own is mixed from its parent's by the share
    that its relation keeps, and 'shared text' is no kinship here: who passes on texts scores with its own weights. Another runtime
    moves every figure by rounding.
    """
    size = prompts * SCORED_TEXTS
    common = -8.0 + 3.0 * of._rng("scores", "everybody").normal(size=size)
    own: dict[str, NDArray[np.float64]] = {}
    rows: list[dict[str, Any]] = []
    for model in of.models:  # parents stand before their children
        lab = of._rng("scores", "lab", model.lab).normal(size=size)
        mine = of._rng("scores", "model", model.name).normal(size=size)
        kept = 0.0 if model.relation in ("", "shared text") else KEPT[model.relation]
        own[model.name] = mine if not kept else kept**0.5 * own[model.parent] + (1 - kept) ** 0.5 * mine
        noise = of._rng("scores", "runtime", model.name, runtime).normal(size=size) * (0.01 if runtime else 0.0)
        values = np.round(common + 0.3 * lab + own[model.name] + noise, 4).reshape(prompts, SCORED_TEXTS)
        rows += [_scored_row(model, number, each) for number, each in enumerate(values) if model.recorded]
    return pl.DataFrame(rows, schema=SCHEMA)


def _scored_row(model: SimulatedModel, number: int, values: NDArray[np.float64]) -> dict[str, Any]:
    prompt = f"Beginning {number} of a text about {_THINGS[number % len(_THINGS)]}"
    best = int(np.argmax(values))
    empty: dict[str, Any] = dict.fromkeys(SCHEMA) | {"parameters": "{}", "source_sha256": ""}
    return empty | {
        "model": model.name,
        "lineage": model.lineage,
        "lab": model.lab,
        "item": f"simulated-score:{number}",
        "prompt_id": prompt_id(prompt),
        "prompt": prompt,
        "sample": 0,
        "text": f"ending {best}",
        "answer": str(best),
        "gold": "0",
        "options": SCORED_TEXTS,
        "log_probabilities": json.dumps([[f"ending {at}", float(value), []] for at, value in enumerate(values)]),
    }
