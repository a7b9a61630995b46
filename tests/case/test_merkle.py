"""The Merkle tree against RFC 6962's own definition, its published test vectors, and every way of cheating with a path."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.case.merkle import Tree, leaf_hash, root_from
from filiation.errors import RecordError

# Test data of google/certificate-transparency (merkle_tree_test.cc): eight leaves, and the roots of the first n of them.
LEAVES = [bytes.fromhex(leaf) for leaf in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def defined(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + defined(leaves[:split]) + defined(leaves[split:])).digest()


@pytest.mark.parametrize("size", ROOTS)
def test_against_published_roots(size: int) -> None:
    assert Tree(LEAVES[:size]).root.hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_against_the_definition(leaves: list[bytes]) -> None:
    assert Tree(leaves).root == defined(leaves)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40), st.data())
def test_every_path_leads_to_the_root_and_every_other_leaf_elsewhere(leaves: list[bytes], data: st.DataObject) -> None:
    tree = Tree(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = tree.path(index)
    assert root_from(leaves[index], index, len(leaves), path) == tree.root
    assert root_from(leaves[index] + b"x", index, len(leaves), path) != tree.root
    for place in range(len(path)):
        altered = [*path[:place], leaf_hash(path[place]), *path[place + 1 :]]
        assert root_from(leaves[index], index, len(leaves), altered) != tree.root


@settings(max_examples=50)
@given(st.integers(1, 60), st.data())
def test_a_path_holds_in_its_own_place_only(size: int, data: st.DataObject) -> None:
    leaves = [bytes([number]) for number in range(size)]
    tree = Tree(leaves)
    index, elsewhere = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    if index != elsewhere:
        with contextlib.suppress(RecordError):
            assert root_from(leaves[index], elsewhere, size, tree.path(index)) != tree.root


@pytest.mark.parametrize("path", ["short", "long"])
def test_a_path_of_another_length_is_refused(path: str) -> None:
    tree = Tree(LEAVES)
    whole = tree.path(3)
    with pytest.raises(RecordError, match="path is"):
        root_from(LEAVES[3], 3, 8, whole[:-1] if path == "short" else (*whole, whole[0]))


def test_a_node_does_not_pass_for_a_leaf() -> None:
    left, right = leaf_hash(LEAVES[0]), leaf_hash(LEAVES[1])
    assert Tree([left + right]).root != Tree(LEAVES[:2]).root


def test_there_is_no_leaf_outside_the_tree() -> None:
    with pytest.raises(IndexError):
        Tree(LEAVES).path(8)
    with pytest.raises(RecordError, match="no leaf 8 among 8"):
        root_from(b"", 8, 8, ())
