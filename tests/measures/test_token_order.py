"""Truth comes from theory (an independent order is a fair coin), from orders made here, and from real small training."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from filiation.evidence import Coincidences
from filiation.measures.token_order import (
    MOST_POINTS,
    SharedTokens,
    TokenOrder,
    against_signature,
    order_by_function,
    order_by_ids,
    outside,
    pair_off,
    pair_off_both,
    parts,
    plot_points,
    sample_keys,
    shared_tokens,
    sign,
    systematic_tallies,
)
from filiation.sources.tokenizers import tokenizer_from_json
from filiation.statistics.coincidences import log10_upper_tail
from tests.sources.small_tokenizers import made_of, permuted_ids, trained, words


def shared(tokens: list[bytes], first: list[int], second: list[int]) -> SharedTokens:
    return SharedTokens(tuple(tokens), np.array(first), np.array(second))


def random_orders(count: int, seed: int) -> SharedTokens:
    rng = np.random.default_rng(seed)
    tokens = sorted(words(count, seed))
    return SharedTokens(tuple(tokens), rng.permutation(count), rng.permutation(count))


# --------------------------------------------------------------------------------------------------------------- theory


def test_agreement_of_independent_orders_is_a_fair_coin() -> None:
    counts = [pair_off(random_orders(200, seed)).count for seed in range(400)]
    assert abs(np.mean(counts) - 50) < 4 * 5 / np.sqrt(400)
    assert abs(np.std(counts) - 5) < 1
    assert max(counts) < binom.isf(1e-6, 100, 0.5)


def test_p_at_the_tolerance_is_uniform_or_larger_for_independent_orders() -> None:
    tails = []
    for seed in range(400):
        pairs = pair_off(random_orders(120, 1000 + seed))
        tails.append(log10_upper_tail(Coincidences(count=pairs.count, opportunities=pairs.opportunities, chance=0.65)))
    for level in (0.5, 0.2, 0.1, 0.05):
        assert np.mean(10 ** np.array(tails) <= level) <= level


@given(st.integers(0, 2**31), st.integers(2, 400))
@settings(max_examples=60, deadline=None)
def test_every_pair_is_counted_once_and_copies_always_agree(seed: int, count: int) -> None:
    tokens = random_orders(count, seed)
    copy = SharedTokens(tokens.tokens, tokens.first, tokens.first * 3 + 7)
    reversed_order = SharedTokens(tokens.tokens, tokens.first, -tokens.first)
    assert pair_off(copy).tally() == (count // 2, count // 2)
    assert pair_off(reversed_order).tally() == (0, count // 2)
    used = np.concatenate([pair_off(tokens).left, pair_off(tokens).right])
    assert len(np.unique(used)) == len(used) == 2 * (count // 2)


@given(st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_only_the_order_of_ranks_matters(seed: int) -> None:
    tokens = random_orders(60, seed)
    stretched = SharedTokens(tokens.tokens, tokens.first**2 + 1, tokens.second * 10)
    assert pair_off(stretched).tally() == pair_off(tokens).tally()


# ---------------------------------------------------------------------------------------------------- no opportunities


def test_tied_tokens_are_no_opportunities() -> None:
    assert pair_off(shared([b"ab", b"cd"], [1, 1], [1, 2])).tally() == (0, 0)
    assert pair_off(shared([b"ab", b"cd"], [1, 2], [1, 1])).tally() == (0, 0)
    assert pair_off(shared([b"ab", b"cd"], [1, 2], [1, 2])).tally() == (1, 1)


def test_tokens_that_contain_one_another_and_whitespace_are_no_opportunities() -> None:
    for left, right in ((b" the", b"the"), (b"the", b"then"), (b"he", b"the "), (b"  ", b"\t\t")):
        assert pair_off(shared([left, right], [1, 2], [1, 2])).tally() == (0, 0)
    assert pair_off(shared([b"  ", b"the"], [1, 2], [1, 2])).tally() == (1, 1)


def test_tokens_that_nobody_learned_are_left_out_of_the_order() -> None:
    definition = tokenizer_from_json(trained("bpe"), "exhibit")
    tokens = order_by_function(definition).tokens
    assert b"<|end|>" not in tokens
    assert min(map(len, tokens)) == 2
    assert len(tokens) == len(set(tokens)) > 2000


# ------------------------------------------------------------------------------------------------------ real training


def test_merges_give_the_order_in_which_the_trainer_numbered_its_tokens() -> None:
    definition = tokenizer_from_json(trained("bpe"), "exhibit")
    both = shared_tokens(order_by_function(definition), order_by_ids(definition))
    count, opportunities = pair_off(both).tally()
    assert count == opportunities > 1000


def test_permuted_ids_leave_the_order_of_merges_as_it_is() -> None:
    first = tokenizer_from_json(trained("bpe"), "exhibit")
    second = tokenizer_from_json(permuted_ids(trained("bpe"), 3), "exhibit")
    a, b = order_by_function(first), order_by_function(second)
    assert a.tokens == b.tokens
    assert a.ranks.tolist() == b.ranks.tolist()
    ids = pair_off(shared_tokens(order_by_ids(first), order_by_ids(second)))
    assert abs(ids.count / ids.opportunities - 0.5) < 0.08


def test_unigram_order_is_the_order_of_scores() -> None:
    definition = tokenizer_from_json(trained("unigram"), "exhibit")
    order = order_by_function(definition)
    scores = dict(zip(definition.tokens, definition.scores.tolist(), strict=True))
    ranked = [scores[order.tokens[place]] for place in np.argsort(order.ranks, kind="stable")]
    assert ranked == sorted(ranked, reverse=True)


def test_roles_exchanged_exchange_the_figures() -> None:
    orders = [order_by_function(tokenizer_from_json(trained("bpe", half), "exhibit")) for half in (0, 1)]
    there, back = shared_tokens(*orders), shared_tokens(*reversed(orders))
    assert pair_off(there.swapped()).tally() == pair_off(back).tally()
    assert pair_off(there).tally() == pair_off(back.swapped()).tally()


# --------------------------------------------------------------------------------------------------------------- parts


def test_listed_blocks_cover_every_opportunity_once_in_each_role() -> None:
    tokens = random_orders(5001, 5)
    listed = parts(pair_off_both(tokens))
    assert len(listed) == 38
    for role, view in (("reference", tokens), ("suspect", tokens.swapped())):
        blocks = [part for part in listed if part.name.startswith("block") and role in part.name]
        assert len(blocks) == 16
        assert sum(part.opportunities for part in blocks) == pair_off(view).opportunities
        assert sum(part.count for part in blocks) == pair_off(view).count


def test_a_prefix_taken_in_order_stands_out_among_the_parts() -> None:
    reference = words(8000, 1)
    rng = np.random.default_rng(2)
    rest = reference[1000:]
    suspect = reference[:1000] + [rest[place] for place in rng.permutation(len(rest))]
    both = shared_tokens(order_by_function(made_of(reference)), order_by_function(made_of(suspect)))
    by_name = {part.name: part.count / part.opportunities for part in parts(pair_off_both(both))}
    assert by_name["first 1/8 in the reference's order"] == 1.0
    assert by_name["block 9 of 16 in the reference's order"] < 0.65


# ---------------------------------------------------------------------------------------------------- orders not learned


def test_alphabetical_and_length_orders_are_seen_for_what_they_are() -> None:
    tokens = sorted(words(500, 3))
    alphabetical = systematic_tallies(TokenOrder(tuple(tokens), np.arange(500)))["bytes"]
    assert alphabetical == (250, 250)
    learned = systematic_tallies(order_by_function(tokenizer_from_json(trained("bpe"), "exhibit")))
    assert all(0.25 < count / opportunities < 0.75 for count, opportunities in learned.values())


# ---------------------------------------------------------------------------------------------------- public tokenizers


def test_a_signature_holds_the_sampled_tokens_in_rank_order() -> None:
    order = order_by_function(made_of(words(40_000, 7)))
    signature = sign(order, name="public", published="2020-01", source="made here")
    keys = sample_keys(order.tokens)
    own = against_signature(order, keys, signature)
    assert len(own.tokens) == len(signature.ordered()) == int((keys >= 0).sum())
    assert abs(len(own.tokens) - 40_000 / 64) < 5 * np.sqrt(40_000 / 64)
    pairs = pair_off(own)
    assert pairs.count == pairs.opportunities > 200


def test_nothing_of_a_public_tokenizer_stands_outside_it() -> None:
    public, other = words(20_000, 8), words(20_000, 9)
    signature = sign(order_by_function(made_of(public)), name="public", published="2020-01", source="made here")
    order = order_by_function(made_of(list(dict.fromkeys(public + other))))
    both = shared_tokens(order, order)
    left = outside(both, [signature])
    assert not set(left.tokens) & set(public)
    sampled_others = int((sample_keys(sorted(set(other) - set(public))) >= 0).sum())
    # A 24-bit key collides with one of the 312 sampled public ones in one of 50,000 cases.
    assert sampled_others - 2 <= len(left.tokens) <= sampled_others


def test_points_of_the_plot_are_few_and_in_order() -> None:
    tokens = random_orders(5000, 11)
    points = plot_points(tokens)
    assert len(points) == MOST_POINTS
    assert points == sorted(points)
    assert len(plot_points(random_orders(50, 1))) == 50
