"""Who descends from whom: the table of the zoo's members.

A member is founded (random initialisation, then trained) or derived from parents by a method of `derivations.py`.
What it has from its parents is its kinship:

    weights          it started from their weights (its lineage is theirs)
    initialisation   it started from the same random numbers (same lineage: the common ancestor is the initialisation)
    outputs          it was taught by their outputs or hidden states, its weights are its own
    embeddings       their embeddings were copied and frozen, all else is its own
    data order       nothing but the order in which they read the corpus

Groups of a member, as seen from base-a: 'base', 'relative', 'sibling', 'student', 'hard stranger'.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from studies.zoo.laundering import LLAMA_LIKE, valid_washes
from studies.zoo.sizes import Size

STRANGER = "stranger"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One model of the zoo. `lineage_id`: the founders whose weights or initialisation it carries, joined by '+'."""

    name: str
    relation: str
    method: str
    parents: tuple[str, ...] = ()
    kinship: str = ""
    group: str = "base"
    family: str = "llama"
    lineage_id: str = ""
    seed: int = 0
    part: str = "one"
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class FamilyTree:
    """All members, parents before children."""

    members: Mapping[str, Member]

    def founders(self, name: str) -> frozenset[str]:
        """The founders whose trained weights a member carries."""
        member = self.members[name]
        if member.kinship != "weights":
            return frozenset({name})
        return frozenset().union(*(self.founders(parent) for parent in member.parents))

    def ancestors(self, name: str) -> tuple[str, ...]:
        """All members that must exist before this one, itself excluded, oldest first."""
        found: dict[str, None] = {}
        for parent in self.members[name].parents:
            found.update(dict.fromkeys((*self.ancestors(parent), parent)))
        return tuple(found)

    def relation(self, first: str, second: str) -> str:
        """What two members are to each other, in words; 'stranger' when nothing is shared. Symmetric."""
        if first == second:
            return "same"
        for elder, younger in ((first, second), (second, first)):
            steps = self._descent(elder, younger)
            if steps:
                return ", then ".join(steps)
        link = self._founders_link(first, second)
        return {"weights": "common ancestor", "": STRANGER}.get(link, f"related to a common member by {link}")

    def group(self, first: str, second: str) -> str:
        """'relative', 'sibling', 'student', 'hard stranger' or 'stranger', for a pair. Symmetric."""
        link = self._founders_link(first, second)
        if link == "weights":
            return "relative"
        if link == "initialisation":
            return "sibling"
        if link == "outputs":
            return "student"
        hard = all(self.members[name].group == "hard stranger" for name in (first, second))
        return "hard stranger" if link or hard else STRANGER

    def _descent(self, elder: str, younger: str) -> tuple[str, ...]:
        """The relations on the way down from one member to the other; empty when there is no way."""
        member = self.members[younger]
        for parent in member.parents:
            if parent == elder:
                return (member.relation,)
            above = self._descent(elder, parent)
            if above:
                return (*above, member.relation)
        return ()

    def _founders_link(self, first: str, second: str) -> str:
        """The strongest kinship between any founders of the two; '' when there is none."""
        ours, theirs = self.founders(first), self.founders(second)
        if ours & theirs:
            return "weights"
        links = {kinship for one in ours for other in theirs for kinship in self._link(one, other)}
        return next((kinship for kinship in KINSHIPS[1:] if kinship in links), "")

    def _link(self, one: str, other: str) -> Iterable[str]:
        for member, elder in ((self.members[one], other), (self.members[other], one)):
            if any(elder in self.founders(parent) for parent in member.parents):
                yield member.kinship


KINSHIPS = ("weights", "initialisation", "outputs", "embeddings", "data order")

# ------------------------------------------------------------------------------------------------------------ the table


def family_tree(size: Size, bases: int | None = None) -> FamilyTree:
    """The members of a zoo of this size with `bases` independent Llama-like founders (at least four)."""
    bases = bases or size.bases
    if bases < 4:
        raise ValueError("the family tree needs at least four bases")
    others = max(2, bases // 2)
    table = (
        *_founders("base", "llama", bases),
        _founder("base-other-shape", "llama-other", number=40),
        *_founders("qwen2", "qwen2", others),
        *_founders("gpt2", "gpt2", others),
        *(founder for family in _further(size) for founder in _founders(family, family, max(2, bases // 8))),
        *_relatives_of_base_a(size),
        *_relatives_elsewhere("qwen2-a", "qwen2"),
        *_relatives_elsewhere("gpt2-a", "gpt2"),
        *(relative for number in _again(size, bases) for relative in _relatives_again(number)),
        *(relative for family in _further(size) for relative in _relatives_in_short(family)),
        *_students_and_siblings(),
        *_hard_strangers(),
        *(_washed(size) if size.name == "full" else ()),
    )
    return _with_lineages(table)


OFFSETS = {"qwen2": 50, "gpt2": 70}
"""Where an architecture's founder numbers (and so its seeds) begin, Llama's being 0; others far away from all of these."""


def _further(size: Size) -> tuple[str, ...]:
    """Architectures that only the full zoo holds."""
    return tuple(shape for shape in size.shapes if shape not in ("llama", "llama-other", "qwen2", "gpt2"))


def _again(size: Size, bases: int) -> range:
    """Founders beside base-a whose chief relatives are made too, so that power is counted over several lineages."""
    return range(1, min(bases - 1, 16)) if size.name == "full" else range(0)


def _founders(name: str, architecture: str, count: int) -> Iterable[Member]:
    offset = OFFSETS.get(architecture) or 2000 + 100 * sum(map(ord, architecture))
    return [
        _founder(
            f"{name}-{_letter(number)}", architecture, number=offset + number if architecture != "llama" else number
        )
        for number in range(count)
    ]


def _letter(number: int) -> str:
    return string.ascii_lowercase[number] if number < 26 else str(number + 1)


def _founder(name: str, architecture: str, *, number: int) -> Member:
    """Two founders in turn read the first half of the library, the next two the second half."""
    return Member(
        name=name,
        relation="independent",
        method="found",
        family=architecture.split("-")[0],
        seed=1000 + 10 * number,
        part=("one", "one", "two", "two")[number % 4],
        options={"architecture": architecture, "order_seed": 1001 + 10 * number},
    )


def _child(
    name: str, parents: str | tuple[str, ...], relation: str, method: str, *, seed: int, part: str = "", **options: Any
) -> Member:
    return Member(
        name=name,
        relation=relation,
        method=method,
        parents=(parents,) if isinstance(parents, str) else parents,
        kinship=options.pop("kinship", "weights"),
        group=options.pop("group", "relative"),
        family=options.pop("family", "llama"),
        seed=seed,
        part=part or "tests",
        options=options,
    )


def _relatives_of_base_a(size: Size) -> Iterable[Member]:
    a, c = "base-a", "base-c"
    return (
        _child("fine-tuned", a, "fine-tune", "tune", seed=2010),
        _child("continued", a, "checkpoint continued", "tune", seed=2020, part="one"),
        _child("lora", a, "LoRA merged", "low_rank", seed=2030, rank=8),
        _child("int8", a, "int8", "quantise", seed=2040, bits=8),
        _child("int4", a, "int4", "quantise", seed=2050, bits=4),
        _child("pruned-half", a, "50 % magnitude-pruned", "prune", seed=2060, share=0.5),
        _child("depth-pruned", a, "depth-pruned", "drop_layer", seed=2070, part="one", layer=1),
        _child("width-pruned", a, "width-pruned", "drop_units", seed=2080, part="one", share=1 / 3),
        _child("merge-50", (a, c), "50/50 merge with a stranger", "merge", seed=2090, shares=(0.5, 0.5)),
        _child("merge-30", (a, c), "30/70 merge with a stranger", "merge", seed=2100, shares=(0.3, 0.7)),
        _child("stitched", (a, c), "layers stitched from two parents", "stitch", seed=2110, part="one"),
        _child("vocabulary-extended", a, "vocabulary extended", "extend_vocabulary", seed=2120, part="one"),
        _child("noise-1", a, "noise of 1x the weights' sd", "add_noise", seed=2130, deviations=1.0),
        _child("noise-2", a, "noise of 2x the weights' sd", "add_noise", seed=2140, deviations=2.0),
        _child("neurons-split", a, "neurons split", "split_units", seed=2150, share=0.5),
        _child("embeddings-anew", a, "embeddings re-initialised", "embeddings_anew", seed=2160, part="one"),
        _child("mlps-anew", a, "MLPs re-initialised", "mlps_anew", seed=2170, part="one"),
        _child("heavy", a, "trained over as long as pre-training", "tune", seed=2180, part="two", length="heavy"),
        _child(
            "laundered-tuned", a, "everything laundered, then fine-tuned", "wash", seed=2190, washes=("everything",)
        ),
        _child(
            "laundered-heavy",
            a,
            "everything laundered, then trained long",
            "wash",
            seed=2200,
            part="two",
            washes=("everything",),
            length="laundered",
        ),
    )


def _relatives_again(number: int) -> Iterable[Member]:
    """The chief relatives of another Llama-like founder, the next one being the stranger in the merge."""
    parent, stranger, seed = f"base-{_letter(number)}", f"base-{_letter(number + 1)}", 30_000 + 100 * number
    half = "one" if number % 4 < 2 else "two"
    return (
        _child(f"{parent}-fine-tuned", parent, "fine-tune", "tune", seed=seed + 10),
        _child(f"{parent}-lora", parent, "LoRA merged", "low_rank", seed=seed + 20, rank=8),
        _child(f"{parent}-int4", parent, "int4", "quantise", seed=seed + 30, bits=4),
        _child(f"{parent}-pruned-half", parent, "50 % magnitude-pruned", "prune", seed=seed + 40, share=0.5),
        _child(f"{parent}-depth-pruned", parent, "depth-pruned", "drop_layer", seed=seed + 50, part=half, layer=2),
        _child(f"{parent}-width-pruned", parent, "width-pruned", "drop_units", seed=seed + 60, part=half, share=1 / 3),
        _child(
            f"{parent}-merge-30",
            (parent, stranger),
            "30/70 merge with a stranger",
            "merge",
            seed=seed + 70,
            shares=(0.3, 0.7),
        ),
        _child(
            f"{parent}-laundered-tuned",
            parent,
            "everything laundered, then fine-tuned",
            "wash",
            seed=seed + 80,
            washes=("everything",),
        ),
    )


def _relatives_in_short(family: str) -> Iterable[Member]:
    """Relatives of the first founder of an architecture for which no laundering is written here."""
    parent, stranger, seed = f"{family}-a", f"{family}-b", 50_000 + 10 * sum(map(ord, family))
    return (
        _child(f"{family}-fine-tuned", parent, "fine-tune", "tune", seed=seed + 1, family=family),
        _child(f"{family}-int4", parent, "int4", "quantise", seed=seed + 2, bits=4, family=family),
        _child(
            f"{family}-merge-40",
            (parent, stranger),
            "40/60 merge with a stranger",
            "merge",
            seed=seed + 3,
            shares=(0.4, 0.6),
            family=family,
        ),
    )


def _relatives_elsewhere(parent: str, family: str) -> Iterable[Member]:
    seed = {"qwen2": 3000, "gpt2": 3500}[family]
    short = family
    stranger = f"{family}-b"
    return (
        _child(f"{short}-fine-tuned", parent, "fine-tune", "tune", seed=seed + 10, family=family),
        _child(f"{short}-int4", parent, "int4", "quantise", seed=seed + 20, bits=4, family=family),
        _child(
            f"{short}-pruned-half", parent, "50 % magnitude-pruned", "prune", seed=seed + 30, share=0.5, family=family
        ),
        _child(
            f"{short}-merge-40",
            (parent, stranger),
            "40/60 merge with a stranger",
            "merge",
            seed=seed + 40,
            shares=(0.4, 0.6),
            family=family,
        ),
        _child(
            f"{short}-laundered-tuned",
            parent,
            "everything laundered, then fine-tuned",
            "wash",
            seed=seed + 50,
            washes=("everything",),
            family=family,
        ),
    )


def _students_and_siblings() -> Iterable[Member]:
    a = "base-a"
    taught = {"kinship": "outputs", "group": "student", "part": "one"}
    return (
        _child("student-logits", a, "student of logits", "distil_logits", seed=4010, **taught),
        _child("student-hidden", a, "student of hidden states", "distil_hidden_states", seed=4020, **taught),
        _child(
            "sibling",
            a,
            "sibling of the same initialisation",
            "found",
            seed=1000,
            part="one",
            kinship="initialisation",
            group="sibling",
            architecture="llama",
            order_seed=4031,
        ),
    )


def _hard_strangers() -> Iterable[Member]:
    hard = {"group": "hard stranger"}
    pairs = [(letter, f"base-{letter}") for letter in "bc"]
    return (
        _child(
            "same-order",
            "base-a",
            "same data order",
            "found",
            seed=5010,
            part="one",
            kinship="data order",
            architecture="llama",
            order_seed=1001,
            **hard,
        ),
        _child(
            "shared-embeddings",
            "base-a",
            "shared frozen embeddings",
            "found_on_embeddings",
            seed=5020,
            part="two",
            kinship="embeddings",
            **hard,
        ),
        *(
            _child(
                f"long-{letter}",
                base,
                "trained long",
                "tune",
                seed=5030 + 5 * number,
                part="one",
                length="heavy",
                **hard,
            )
            for number, (letter, base) in enumerate(pairs)
        ),
        *(
            _child(f"padded-{letter}", base, "zero-padded units", "pad_units", seed=5050, share=0.2, **hard)
            for letter, base in pairs
        ),
        *(
            _child(f"half-{letter}", base, "50 % magnitude-pruned", "prune", seed=5060, share=0.5, **hard)
            for letter, base in pairs
        ),
    )


def _washed(size: Size) -> Iterable[Member]:
    """Each wash of base-a, and each fine-tuned after; those of the test zoo are made when they are needed."""
    washes = (*valid_washes({"model_type": LLAMA_LIKE[0]}), "everything")
    for number, wash in enumerate(washes):
        seed = 6000 + 10 * number
        yield _child(f"washed-{wash}", "base-a", f"laundered: {wash}", "wash", seed=seed, washes=(wash,), length="none")
        yield _child(f"washed-{wash}-tuned", f"washed-{wash}", "fine-tune", "tune", seed=seed + 5)


def _with_lineages(table: Iterable[Member]) -> FamilyTree:
    members = {member.name: member for member in table}
    tree = FamilyTree(members)

    def lineage(name: str) -> str:
        carried = set()
        for founder in tree.founders(name):
            member = members[founder]
            carried.add(member.parents[0] if member.kinship == "initialisation" else founder)
        return "+".join(sorted(carried))

    return FamilyTree({name: replace(member, lineage_id=lineage(name)) for name, member in members.items()})
