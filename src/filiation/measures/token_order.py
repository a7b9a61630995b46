"""In which order two tokenizers learned the tokens that both have.

Independent training meets two tokens of nearly equal frequency in an order that is nearly a coin's; a tokenizer that was
taken keeps the order. The order is read from what the function depends on: the merges of BPE (the position of the merge
that first makes the token) or the scores (unigram, and BPE stored with scores). Ids can be permuted for free, and are a separate remark.

All figures are integers. Source: `docs/examiners/tokenizer.md`; the measured base is `studies/tokenizers.py`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filiation.evidence import Record
from filiation.sources.tokenizers import TokenizerDefinition

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

SHORTEST = 2
"""Bytes; single bytes are the alphabet that everybody starts from."""
BLOCKS = 16
PREFIXES = (8, 4, 2)
"""A prefix of 1/8, 1/4 and 1/2 of the pairs; 1/16 is the first block."""
MOST_POINTS = 1500
SAMPLED_BELOW = 4
"""Of 256: one token in 64 is sampled, by its hash, for the signatures of public tokenizers."""


@dataclass(frozen=True, eq=False)
class TokenOrder:
    """Tokens (sorted by their bytes, each once) with the rank at which each was learned; equal ranks are ties."""

    tokens: tuple[bytes, ...]
    ranks: Integers


@dataclass(frozen=True, eq=False)
class SharedTokens:
    """The tokens of two orders: `tokens` sorted by their bytes, `first` and `second` their ranks, shape (n,) each."""

    tokens: tuple[bytes, ...]
    first: Integers
    second: Integers

    def swapped(self) -> SharedTokens:
        """The same with the roles exchanged."""
        return SharedTokens(self.tokens, self.second, self.first)

    def only(self, kept: Flags) -> SharedTokens:
        """The tokens for which `kept` is true."""
        chosen = tuple(token for token, keep in zip(self.tokens, kept.tolist(), strict=True) if keep)
        return SharedTokens(chosen, self.first[kept], self.second[kept])


@dataclass(frozen=True, eq=False)
class Pairs:
    """Disjoint pairs of tokens that are neighbours in the first order, in that order; shape (p,) each.

    opportunity: whether the pair may count; agree: whether it stands in the same order in the second.
    """

    left: Integers
    right: Integers
    opportunity: Flags
    agree: Flags

    @property
    def opportunities(self) -> int:
        return int(self.opportunity.sum())

    @property
    def count(self) -> int:
        return int((self.opportunity & self.agree).sum())

    def tally(self, start: int = 0, stop: int | None = None) -> tuple[int, int]:
        """(coincidences, opportunities) among the opportunities numbered start to stop."""
        agree = self.agree[self.opportunity][start:stop]
        return int(agree.sum()), len(agree)


class Part(Record, frozen=True, kw_only=True):
    """A pre-listed part of the shared tokens, with what was counted in it."""

    name: str
    count: int
    opportunities: int


class Signature(Record, frozen=True, kw_only=True):
    """The facts of a public tokenizer: which sampled tokens it has, in the order in which it learned them.

    Sampled are the tokens whose BLAKE2b digest begins with a byte below `SAMPLED_BELOW` (one in 64, whatever the tokenizer), so
    a sampled token is known to be in it, or known not to be. `hashes`: base64 of the three bytes that follow, in
    rank order.
    """

    name: str
    published: str
    tokens: int
    hashes: str
    source: str

    def ordered(self) -> Integers:
        """The sampled tokens in rank order, as 24-bit integers."""
        raw = np.frombuffer(base64.b64decode(self.hashes), dtype=np.uint8).reshape(-1, 3).astype(np.int64)
        return raw[:, 0] << 16 | raw[:, 1] << 8 | raw[:, 2]


# --------------------------------------------------------------------------------------------------------------- order


def order_by_function(definition: TokenizerDefinition) -> TokenOrder:
    """The order in which tokens take precedence: merges where there are any, else scores. Empty where neither is."""
    ranks = np.full(len(definition), -1, dtype=np.int64)
    if len(definition.merges):
        products, first_made = np.unique(definition.merges[:, 2], return_index=True)
        ranks[products] = first_made
    elif len(definition.scores):
        _scores, ascending = np.unique(-definition.scores, return_inverse=True)
        ranks[:] = ascending
    return _order(definition, ranks)


def order_by_ids(definition: TokenizerDefinition) -> TokenOrder:
    """The order of the ids."""
    return _order(definition, definition.ids)


def _order(definition: TokenizerDefinition, ranks: Integers) -> TokenOrder:
    """Leave out what nobody learned: tokens set by hand, byte-fallback, single bytes, and bytes that two tokens stand for."""
    usable = (ranks >= 0) & ~definition.special & ~definition.byte_fallback
    found: dict[bytes, int] = {}
    twice: set[bytes] = set()
    for token, rank, keep in zip(definition.tokens, ranks.tolist(), usable.tolist(), strict=True):
        if keep and len(token) >= SHORTEST:
            if token in found:
                twice.add(token)
            found[token] = rank
    tokens = sorted(found.keys() - twice)
    return TokenOrder(tuple(tokens), np.array([found[token] for token in tokens], dtype=np.int64))


def shared_tokens(first: TokenOrder, second: TokenOrder) -> SharedTokens:
    """The tokens that both orders have."""
    place = dict(zip(second.tokens, range(len(second.tokens)), strict=True))
    both = [(here, place[token]) for here, token in enumerate(first.tokens) if token in place]
    index = np.array(both, dtype=np.int64).reshape(-1, 2)
    return SharedTokens(
        tuple(first.tokens[here] for here, _there in both), first.ranks[index[:, 0]], second.ranks[index[:, 1]]
    )


# --------------------------------------------------------------------------------------------------------------- pairs


def pair_off(shared: SharedTokens) -> Pairs:
    """Sort by the first order, cut into disjoint consecutive pairs, and see which stand in the same order in the second.

    No opportunities: ties in either order (their order is nobody's choice), two whitespace tokens (strangers agree), and
    two tokens of which one contains the other (their order is forced where one is made of the other).
    """
    by_rank = np.argsort(shared.first, kind="stable")
    half = len(by_rank) // 2
    left, right = by_rank[0 : 2 * half : 2], by_rank[1 : 2 * half : 2]
    informative = np.fromiter(
        (_informative(shared.tokens[a], shared.tokens[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True)),
        dtype=np.bool_,
        count=half,
    )
    untied = (shared.first[left] != shared.first[right]) & (shared.second[left] != shared.second[right])
    return Pairs(left, right, informative & untied, shared.second[left] < shared.second[right])


def _informative(left: bytes, right: bytes) -> bool:
    return left not in right and right not in left and not (left.isspace() and right.isspace())


def pair_off_both(shared: SharedTokens) -> tuple[Pairs, Pairs]:
    """The pairs of neighbours in the first order, and those in the second."""
    return pair_off(shared), pair_off(shared.swapped())


def parts(both: tuple[Pairs, Pairs]) -> tuple[Part, ...]:
    """The pre-listed parts: 16 equal blocks and three prefixes, by the first order and by the second (38 in all)."""
    found: list[Part] = []
    for role, pairs in zip(("reference", "suspect"), both, strict=True):
        total = pairs.opportunities
        for block in range(BLOCKS):
            start, stop = block * total // BLOCKS, (block + 1) * total // BLOCKS
            found.append(_part(f"block {block + 1} of {BLOCKS} in the {role}'s order", pairs.tally(start, stop)))
        for fraction in PREFIXES:
            found.append(_part(f"first 1/{fraction} in the {role}'s order", pairs.tally(0, total // fraction)))
    return tuple(found)


def _part(name: str, tally: tuple[int, int]) -> Part:
    return Part(name=name, count=tally[0], opportunities=tally[1])


def systematic_tallies(order: TokenOrder) -> dict[str, tuple[int, int]]:
    """How far an order is one that nobody had to learn: by bytes, and by length (coincidences, opportunities)."""
    by_bytes = SharedTokens(order.tokens, order.ranks, np.arange(len(order.tokens), dtype=np.int64))
    lengths = np.array([len(token) for token in order.tokens], dtype=np.int64)
    by_length = SharedTokens(order.tokens, order.ranks, lengths)
    return {"bytes": pair_off(by_bytes).tally(), "length": pair_off(by_length).tally()}


def plot_points(shared: SharedTokens, most: int = MOST_POINTS) -> list[list[int]]:
    """At most `most` points [rank in the first, rank in the second], evenly spaced along the first order."""
    by_rank = np.argsort(shared.first, kind="stable")
    if len(by_rank) > most:
        by_rank = by_rank[np.arange(most) * len(by_rank) // most]
    points: list[list[int]] = np.stack([shared.first[by_rank], shared.second[by_rank]], axis=1).tolist()
    return points


# ---------------------------------------------------------------------------------------------------- public tokenizers


def sample_keys(tokens: Sequence[bytes]) -> Integers:
    """The 24-bit key of each token that is sampled, -1 for the others; shape (n,)."""
    joined = b"".join(hashlib.blake2b(token, digest_size=4).digest() for token in tokens)
    digests = np.frombuffer(joined, dtype=np.uint8).reshape(-1, 4).astype(np.int64)
    keys = digests[:, 1] << 16 | digests[:, 2] << 8 | digests[:, 3]
    return np.where(digests[:, 0] < SAMPLED_BELOW, keys, -1)


def sign(order: TokenOrder, *, name: str, published: str, source: str) -> Signature:
    """The signature of a public tokenizer."""
    keys = sample_keys(order.tokens)
    sampled = np.flatnonzero(keys >= 0)
    in_order = keys[sampled[np.argsort(order.ranks[sampled], kind="stable")]]
    three_bytes = np.stack([in_order >> 16, in_order >> 8 & 255, in_order & 255], axis=1).astype(np.uint8)
    return Signature(
        name=name,
        published=published,
        tokens=len(order.tokens),
        hashes=base64.b64encode(three_bytes.tobytes()).decode(),
        source=source,
    )


def against_signature(order: TokenOrder, keys: Integers, signature: Signature) -> SharedTokens:
    """The sampled tokens that `order` shares with a public tokenizer; the public one's ranks stand first.

    `keys`: `sample_keys(order.tokens)`.
    """
    place = {key: rank for rank, key in enumerate(signature.ordered().tolist())}
    both = [(here, place[key]) for here in np.flatnonzero(keys >= 0).tolist() if (key := int(keys[here])) in place]
    index = np.array(both, dtype=np.int64).reshape(-1, 2)
    return SharedTokens(tuple(order.tokens[here] for here, _there in both), index[:, 1], order.ranks[index[:, 0]])


def outside(shared: SharedTokens, signatures: Sequence[Signature]) -> SharedTokens:
    """The sampled shared tokens that are in none of the public tokenizers; all sampled ones when none is given."""
    keys = sample_keys(shared.tokens)
    kept = keys >= 0
    for signature in signatures:
        kept &= ~np.isin(keys, signature.ordered())
    return shared.only(kept)
