"""The worlds of the bench: pairs of exhibits whose truth is known because they were made here (tests/exhibits.py).

A world says what is true of a pair ('stranger', or a relation that examiners may claim to find), which part of the exhibits
shows it, and the two exhibits by name. An examiner is held to the worlds of the part that it names first in NEEDS. To put
an examiner with a new claim on the bench, add a world whose truth is that claim.

Recorded answers come from the simulated world (sources/simulated.py). It can show that strangers are not accused and that
gross relations are noticed; the power printed in reports comes from real models, in the studies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filiation.evidence import Access, Null, Proposition
from filiation.examiners.catalogue import calibration, examiners
from filiation.examiners.examiner import Examiner
from filiation.statistics.register import Calibration, RegisterEntry
from studies.weights import provisional_register
from studies.zoo.repackaging import pad_vocabulary, rename_prefix, reshard
from tests.exhibits import (
    Rewrite,
    in_a_file_of_its_own,
    longer_vocabulary,
    merges_as_pairs,
    permuted_ids,
    permuted_units,
    permuted_vocabulary,
    reimported,
    shuffled_keys,
    under_another_name,
    with_a_leading_space,
    with_another_sample,
)
from tests.marked import CONTROLS as MARKED_CONTROLS
from tests.marked import MARKS, STRANGERS

STRANGER = "stranger"


@dataclass(frozen=True, kw_only=True)
class World:
    """`not_strangers_for`: tests whose own alternative is false here although the truth is 'stranger', and `why`.

    `about`: the propositions of which the truth speaks; of all where it is empty. `suspect_elsewhere`: the suspect's answers
    were recorded under another runtime.
    """

    truth: str
    part: Access
    reference: str
    suspect: str
    not_strangers_for: frozenset[str] = frozenset()
    why: str = ""
    about: frozenset[Proposition] = frozenset()
    suspect_elsewhere: bool = False

    def __str__(self) -> str:
        return f"{self.truth}: {self.reference} | {self.suspect}"


def _weights(truth: str, *pairs: tuple[str, str]) -> list[World]:
    return [World(truth=truth, part=Access.WEIGHTS, reference=one, suspect=other) for one, other in pairs]


def _tokenizers(truth: str, *pairs: tuple[str, str]) -> list[World]:
    return [World(truth=truth, part=Access.TOKENIZER, reference=one, suspect=other) for one, other in pairs]


def _designs(truth: str, *pairs: tuple[str, str]) -> list[World]:
    return [World(truth=truth, part=Access.CONFIGURATION, reference=one, suspect=other) for one, other in pairs]


def _answers(truth: str, *pairs: tuple[str, str]) -> list[World]:
    about = frozenset({Proposition.OUTPUTS, Proposition.GUARDRAILS})
    return [
        World(truth=truth, part=Access.TRANSCRIPT, reference=one, suspect=other, about=about) for one, other in pairs
    ]


def _services(truth: str, *pairs: tuple[str, str]) -> list[World]:
    """Of services the null is that one model answers, in another place: 'stranger' stands for that here."""
    return [
        World(
            truth=truth,
            part=Access.TRANSCRIPT,
            reference=one,
            suspect=other,
            about=frozenset({Proposition.SERVICE}),
            suspect_elsewhere=one == other,
        )
        for one, other in pairs
    ]


def _marked(truth: str, *suspects: str) -> list[World]:
    """Every examiner that needs marks has a folder of its own (tests/marked), with models of these names."""
    return [World(truth=truth, part=Access.MARKS, reference=MARKS, suspect=suspect) for suspect in suspects]


BASIS_IN_COMMON: dict[str, Any] = {
    "not_strangers_for": frozenset({"weights.dimension-index"}),
    "why": "embeddings or hidden states were handed over, and with them the numbering of the hidden dimensions",
}

OUTPUT_LAYER_IN_COMMON: dict[str, Any] = {
    "not_strangers_for": BASIS_IN_COMMON["not_strangers_for"] | {"output_subspace.directions"},
    "why": "embedding and output layer were handed over and frozen",
}

WEIGHTS = (
    *_weights(
        STRANGER,
        ("base-a", "base-b"),
        ("base-a", "base-c"),
        ("base-a", "base-d"),
        ("base-b", "base-c"),
        ("base-b", "base-d"),
        ("base-c", "base-d"),
        ("base-a", "base-other-shape"),
        ("base-other-shape", "base-b"),
        ("qwen2-a", "qwen2-b"),
        ("gpt2-a", "gpt2-b"),
        ("base-a", "qwen2-a"),
        ("gpt2-b", "gpt2-laundered-tuned"),
        ("qwen2-b", "qwen2-fine-tuned"),
        ("base-b", "base-a laundered"),
        ("base-b", "fine-tuned"),
        ("depth-pruned", "base-d"),
        ("neurons-split", "padded-b"),
        ("vocabulary-extended", "base-c"),
        # Hard strangers.
        ("base-a", "same-order"),
        ("base-a", "long-b"),
        ("base-a", "long-c"),
        ("long-b", "long-c"),
        ("heavy", "long-b"),
        ("heavy", "long-c"),
        ("padded-b", "padded-c"),
        ("base-a", "padded-c"),
        ("half-b", "half-c"),
        ("pruned-half", "half-b"),
        ("half-b", "padded-c"),
        ("base-a", "student-logits"),
        ("heavy", "student-logits"),
    ),
    World(
        truth=STRANGER, part=Access.WEIGHTS, reference="base-a", suspect="shared-embeddings", **OUTPUT_LAYER_IN_COMMON
    ),
    World(truth=STRANGER, part=Access.WEIGHTS, reference="base-a", suspect="student-hidden", **BASIS_IN_COMMON),
    *_weights("copy", ("base-a", "base-a in bfloat16"), ("gpt2-a", "gpt2-a in bfloat16")),
    *_weights(
        "fine-tune",
        ("base-a", "fine-tuned"),
        ("base-a", "continued"),
        ("base-a", "heavy"),
        ("qwen2-a", "qwen2-fine-tuned"),
        ("gpt2-a", "gpt2-fine-tuned"),
    ),
    *_weights("LoRA", ("base-a", "lora")),
    *_weights("quantised", ("base-a", "int8"), ("base-a", "int4"), ("qwen2-a", "qwen2-int4"), ("gpt2-a", "gpt2-int4")),
    *_weights("pruned", ("base-a", "pruned-half"), ("qwen2-a", "qwen2-pruned-half"), ("gpt2-a", "gpt2-pruned-half")),
    *_weights("depth-pruned", ("base-a", "depth-pruned"), ("depth-pruned", "base-a")),
    *_weights("width-pruned", ("base-a", "width-pruned"), ("width-pruned", "base-a")),
    *_weights(
        "merge",
        ("base-a", "merge-50"),
        ("base-c", "merge-50"),
        ("base-a", "merge-30"),
        ("qwen2-a", "qwen2-merge-40"),
        ("gpt2-a", "gpt2-merge-40"),
    ),
    *_weights("stitched", ("base-a", "stitched"), ("base-c", "stitched")),
    *_weights("vocabulary extended", ("base-a", "vocabulary-extended")),
    *_weights(
        "laundered",
        ("base-a", "base-a laundered"),
        ("base-a laundered", "base-a"),
        ("qwen2-a", "qwen2-a laundered"),
        ("gpt2-a", "gpt2-a laundered"),
    ),
    *_weights(
        "laundered and fine-tuned",
        ("base-a", "laundered-tuned"),
        ("base-a", "laundered-heavy"),
        ("qwen2-a", "qwen2-laundered-tuned"),
        ("gpt2-a", "gpt2-laundered-tuned"),
    ),
    *_weights("same initialisation", ("base-a", "sibling")),
)

TOKENIZERS = (
    *_tokenizers(
        STRANGER,
        ("merges of text 1", "merges of text 2"),
        ("merges of text 1", "merges of text 3"),
        ("merges of text 1", "merges of text 4"),
        ("merges of text 2", "merges of text 3"),
        ("merges of text 2", "merges of text 4"),
        ("merges of text 3", "merges of text 4"),
        ("merges of text 2", "merges of text 1, ids permuted"),
        ("merges of text 2", "merges of text 1, extended"),
        ("scores of text 1", "scores of text 2"),
        ("merges of text 1", "scores of text 2"),
        ("scores of text 1", "merges of text 2"),
    ),
    *_tokenizers(
        "tokenizer copied",
        ("merges of text 1", "merges of text 1"),
        ("merges of text 3", "merges of text 3"),
        ("scores of text 1", "scores of text 1"),
    ),
    *_tokenizers("tokenizer ids permuted", ("merges of text 1", "merges of text 1, ids permuted")),
    *_tokenizers("vocabulary extended", ("merges of text 1", "merges of text 1, extended")),
    *_tokenizers("tokenizer part taken", ("merges of text 1", "first half of merges of text 1")),
)

DESIGNS = (
    *_designs(
        STRANGER,
        ("Falcon", "OPT"),
        ("BLOOM", "Pythia"),
        ("MPT", "Gemma"),
        ("GPT-2", "Qwen"),
        ("Phi", "StarCoder"),
        ("StableLM", "BLOOM"),
        ("OLMo", "GPT-J"),
        ("Gemma", "DeepSeek"),
        ("OPT", "Phi"),
        ("SmolLM", "Falcon"),
        ("Pythia", "Gemma"),
        ("Qwen", "MPT"),
    ),
    *_designs("copy", ("a small design", "a small design"), ("an odd design", "an odd design")),
    *_designs("fine-tune", ("an odd design", "an odd design, longer context")),
    *_designs("quantised", ("an odd design", "an odd design, quantised")),
    *_designs("laundered", ("an odd design", "an odd design, laundered")),
)

ANSWERS = (
    *_answers(
        STRANGER,
        ("lab-9-a", "lab-12-b"),
        ("lab-14-b", "lab-8-a"),
        # Hard strangers: students of other teachers, and two houses that tuned other models.
        ("lab-4-a, distilled", "lab-2-b, fine-tune"),
    ),
    *_answers("same model", ("lab-1-a", "lab-1-a, same model")),
    *_answers("fine-tune", ("lab-2-a", "lab-2-a, fine-tune")),
    *_answers("version", ("lab-3-a", "lab-3-a, version")),
    *_answers("shared text", ("lab-5-a", "lab-5-a, shared text")),
    *_services(STRANGER, ("lab-9-a", "lab-9-a"), ("lab-2-b, fine-tune", "lab-2-b, fine-tune")),
    # A fine-tune that keeps three openings of five cannot be told from another runtime in 32 greedy answers (epsilon is 0.5).
    *_services("another model served", ("lab-9-a", "lab-12-b"), ("lab-14-b", "lab-8-a")),
)

MARKED = (
    *_marked(STRANGER, *(f"stranger {number}" for number in range(1, STRANGERS + 1))),
    *(
        world
        for claim in sorted({claim for each in examiners() if each.NEEDS[0] is Access.MARKS for claim in each.CLAIMS})
        for world in _marked(claim, claim)
    ),
)

WORLDS = (*WEIGHTS, *TOKENIZERS, *DESIGNS, *ANSWERS, *MARKED)

NOT_SIMULATED: dict[str, str] = {}
"""Claims about recorded answers that the simulated world cannot represent, with the reason."""


def _for(examiner: Examiner, world: World) -> bool:
    about = {test.proposition for test in examiner.TESTS}
    return world.part is examiner.NEEDS[0] and (not world.about or bool(world.about & about))


def strangers(examiner: Examiner) -> list[World]:
    return [world for world in WORLDS if _for(examiner, world) and world.truth == STRANGER]


def relatives(examiner: Examiner, claim: str) -> list[World]:
    return [world for world in WORLDS if _for(examiner, world) and world.truth == claim]


# ------------------------------------------------------------------------------------------------------ other wrappings


@dataclass(frozen=True, kw_only=True)
class Wrapping:
    """The same exhibit written in another way. `exact`: nothing numeric changed, so every count must stay as it was.

    `moves`: tests that look at what this wrapping changes, and say so.
    """

    name: str
    part: Access
    wrap: Callable[[Path, Path], Path]
    exact: bool = True
    moves: frozenset[str] = frozenset()


WRAPPINGS = (
    Wrapping(name="other shards", part=Access.WEIGHTS, wrap=lambda a, b: reshard(a, b, shards=3)),
    Wrapping(name="tensors renamed", part=Access.WEIGHTS, wrap=rename_prefix),
    Wrapping(name="vocabulary padded", part=Access.WEIGHTS, wrap=pad_vocabulary),
    Wrapping(name="JSON keys in another order", part=Access.WEIGHTS, wrap=shuffled_keys),
    Wrapping(
        name="rows of the MLPs reordered",
        part=Access.WEIGHTS,
        wrap=permuted_units,
        exact=False,
        moves=frozenset({"weights.neuron-index"}),
    ),
    Wrapping(name="rows of the vocabulary reordered", part=Access.WEIGHTS, wrap=permuted_vocabulary, exact=False),
    Wrapping(name="JSON keys in another order", part=Access.TOKENIZER, wrap=shuffled_keys),
    Wrapping(name="merges in the other spelling", part=Access.TOKENIZER, wrap=merges_as_pairs),
    Wrapping(
        name="ids permuted",
        part=Access.TOKENIZER,
        wrap=permuted_ids,
        exact=False,
        moves=frozenset({"tokenizer.token-ids"}),
    ),
    Wrapping(name="JSON keys in another order", part=Access.CONFIGURATION, wrap=shuffled_keys),
    Wrapping(name="vocabulary padded", part=Access.CONFIGURATION, wrap=longer_vocabulary, exact=False),
)


@dataclass(frozen=True, kw_only=True)
class Rewriting:
    """The same recorded answers written in another way. `exact`: the texts are what they were, and so is every figure."""

    name: str
    rewrite: Rewrite
    exact: bool = True


REWRITINGS = (
    Rewriting(name="imported again from another log", rewrite=reimported),
    Rewriting(name="a file of its own", rewrite=in_a_file_of_its_own),
    Rewriting(name="another name", rewrite=under_another_name),
    Rewriting(name="another sample", rewrite=with_another_sample),
    Rewriting(name="a space before every answer", rewrite=with_a_leading_space, exact=False),
)

REWRAPPED = {
    Access.WEIGHTS: (("base-a", "fine-tuned"), ("base-a", "base-b"), ("base-a", "merge-30"), ("base-a", "base-a")),
    Access.TOKENIZER: (("merges of text 1", "merges of text 1"), ("merges of text 1", "merges of text 2")),
    Access.CONFIGURATION: (("an odd design", "an odd design"), ("Falcon", "OPT")),
    Access.TRANSCRIPT: (("lab-2-a", "lab-2-a, fine-tune"),),
    Access.MARKS: ((MARKS, "relative"),),
}
"""The pairs (reference, suspect) whose suspect is written in another way: of each part relatives and a stranger."""

CONTROLS = {
    Access.WEIGHTS: ("base-b", "base-c", "base-d"),
    Access.TOKENIZER: ("merges of text 2", "merges of text 3", "merges of text 4"),
    Access.CONFIGURATION: ("Falcon", "OPT", "BLOOM"),
    Access.TRANSCRIPT: ("lab-6-a", "lab-7-a", "lab-8-a"),
    Access.MARKS: tuple(f"control {number}" for number in range(1, MARKED_CONTROLS + 1)),
}

# ------------------------------------------------------------------------------------------------------ the registers


def register(examiner: Examiner) -> Calibration:
    """The shipped register of nulls; before a study was run, the one that it starts from.

    A rank needs no bound from a study, so where a test by population has no entry yet, the bench holds it to its promise under
    an entry that says nothing of strangers and relatives.
    """
    shipped = calibration(examiner)
    if not shipped.entries and examiner.NAME == "weights":
        return provisional_register({"llama", "qwen2", "gpt2"})
    if not shipped.entries and hasattr(examiner, "line_up"):
        return Calibration(
            examiner=examiner.NAME,
            entries=tuple(_provisional(test.id) for test in examiner.TESTS if test.null is Null.POPULATION),
        )
    return shipped


def _provisional(test: str) -> RegisterEntry:
    return RegisterEntry(
        test=test,
        null=Null.POPULATION,
        formula_version="1",
        chance=None,
        detection_log10_p=-1.30103,
        validated_for=(),
        strangers=(),
        relatives=(),
        calibrated_on="nothing: for the bench alone",
        date="2026-11-21",
        tried=(),
        made_by="tests/worlds.py",
    )
