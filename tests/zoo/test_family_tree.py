"""Who is related to whom: the table against what it was asked to hold, and against its own rules."""

from __future__ import annotations

import itertools

import pytest

from studies.zoo import family_tree
from studies.zoo.derivations import METHODS
from studies.zoo.family_tree import FamilyTree
from studies.zoo.sizes import FULL, TEST


@pytest.fixture(scope="module", params=[TEST, FULL], ids=["test", "full"])
def tree(request: pytest.FixtureRequest) -> FamilyTree:
    return family_tree(request.param)


PAIRS = {
    ("base-a", "base-a"): ("same", "relative"),
    ("base-a", "base-b"): ("stranger", "stranger"),
    ("base-a", "base-other-shape"): ("stranger", "stranger"),
    ("qwen2-a", "gpt2-a"): ("stranger", "stranger"),
    ("base-a", "lora"): ("LoRA merged", "relative"),
    ("lora", "int8"): ("common ancestor", "relative"),
    ("merge-30", "base-c"): ("30/70 merge with a stranger", "relative"),
    ("merge-30", "base-b"): ("stranger", "stranger"),
    ("merge-30", "long-c"): ("common ancestor", "relative"),
    ("base-a", "sibling"): ("sibling of the same initialisation", "sibling"),
    ("fine-tuned", "sibling"): ("related to a common member by initialisation", "sibling"),
    ("base-a", "student-logits"): ("student of logits", "student"),
    ("student-hidden", "fine-tuned"): ("related to a common member by outputs", "student"),
    ("base-a", "same-order"): ("same data order", "hard stranger"),
    ("shared-embeddings", "base-a"): ("shared frozen embeddings", "hard stranger"),
    ("shared-embeddings", "base-b"): ("stranger", "stranger"),
    ("base-b", "padded-b"): ("zero-padded units", "relative"),
    ("padded-b", "padded-c"): ("stranger", "hard stranger"),
    ("long-b", "long-c"): ("stranger", "hard stranger"),
    ("half-b", "half-c"): ("stranger", "hard stranger"),
}


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_relation_and_group_in_both_directions(tree: FamilyTree, first: str, second: str) -> None:
    relation, group = PAIRS[first, second]
    assert tree.relation(first, second) == tree.relation(second, first) == relation
    assert tree.group(first, second) == tree.group(second, first) == group


def test_descent_over_two_steps_names_both() -> None:
    tree = family_tree(FULL)
    expected = "laundered: everything, then fine-tune"
    assert tree.relation("base-a", "washed-everything-tuned") == expected


def test_strangers_have_no_lineage_in_common_and_relatives_have(tree: FamilyTree) -> None:
    for first, second in itertools.combinations(tree.members, 2):
        shared = set(tree.members[first].lineage_id.split("+")) & set(tree.members[second].lineage_id.split("+"))
        assert bool(shared) == (tree.group(first, second) in ("relative", "sibling")), (first, second)


def test_parents_come_first_and_methods_exist(tree: FamilyTree) -> None:
    seen: set[str] = set()
    for name, member in tree.members.items():
        assert set(member.parents) <= seen
        assert member.method in METHODS
        seen.add(name)


def test_founders_differ_in_seed_and_order(tree: FamilyTree) -> None:
    founders = [member for member in tree.members.values() if member.group == "base"]
    seeds = [member.seed for member in founders] + [member.options["order_seed"] for member in founders]
    assert len(set(seeds)) == len(seeds)


def test_every_method_is_used() -> None:
    assert {member.method for member in family_tree(FULL).members.values()} == set(METHODS)


@pytest.mark.parametrize("bases", [4, 8, 30])
def test_as_many_bases_as_asked(bases: int) -> None:
    tree = family_tree(FULL, bases)
    llama = [m for m in tree.members.values() if m.method == "found" and m.family == "llama" and m.group == "base"]
    assert len(llama) == bases + 1
    assert sum(member.family == "qwen2" and member.group == "base" for member in tree.members.values()) == bases // 2


def test_fewer_than_four_bases_are_refused() -> None:
    with pytest.raises(ValueError, match="four"):
        family_tree(TEST, 3)
