"""Seed, foils and code names: repeatable by anybody, steered by nobody."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from filiation.case import drawing
from filiation.case.records import Announcement, LineUpPlan, PlannedExhibit, Setting
from filiation.errors import UsageError

SUSPECT: dict[str, Setting] = {"architecture": "llama", "parameters": 1_000_000, "tokenizer": "bpe-3072"}
PLAN = hashlib.sha256(b"a plan").hexdigest()
SEED = drawing.seed(PLAN, b"public randomness")


def candidate(name: str, **changed: Setting) -> PlannedExhibit:
    return PlannedExhibit(exhibit=name, lineage=f"{name}'s own", attributes={**SUSPECT, **changed})


def pool_of(count: int) -> LineUpPlan:
    return LineUpPlan(pool=tuple(candidate(f"model {at}") for at in range(count)), foils=3, matched_on=tuple(SUSPECT))


def test_seed_against_the_construction_of_rfc_2104() -> None:
    key = bytes.fromhex(PLAN) + bytes(32)
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + b"public randomness").digest()
    assert hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest() == SEED


@given(st.randoms(use_true_random=False), st.binary(min_size=1, max_size=64))
def test_the_order_of_the_pool_plays_no_part(shuffler: random.Random, randomness: bytes) -> None:
    line_up = pool_of(9)
    shuffled = list(line_up.pool)
    shuffler.shuffle(shuffled)
    seed = drawing.seed(PLAN, randomness)
    other = msgspec.structs.replace(line_up, pool=tuple(shuffled))
    assert drawing.draw_foils(line_up, SUSPECT, seed) == drawing.draw_foils(other, SUSPECT, seed)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 255))
def test_one_bit_of_the_beacon_makes_another_seed(randomness: bytes, bit: int) -> None:
    flipped = bytearray(randomness)
    flipped[bit // 8] ^= 1 << bit % 8
    first, second = drawing.seed(PLAN, randomness), drawing.seed(PLAN, bytes(flipped))
    assert first != second
    assert drawing.examination_seed(first) != drawing.examination_seed(second) or first[:8] == second[:8]


def test_one_bit_of_the_beacon_redraws_the_foils() -> None:
    """Of 84 possible line-ups two draws coincide by chance once in 84: in 200 pairs at most 12 (chance below 1e-5)."""
    line_up = pool_of(9)
    same = 0
    for number in range(200):
        randomness = number.to_bytes(4, "big")
        flipped = bytes([randomness[0] ^ 1]) + randomness[1:]
        first = drawing.draw_foils(line_up, SUSPECT, drawing.seed(PLAN, randomness))
        same += first == drawing.draw_foils(line_up, SUSPECT, drawing.seed(PLAN, flipped))
    assert same <= 12


def test_every_eligible_candidate_is_equally_likely() -> None:
    line_up = pool_of(9)
    drawn: Counter[str] = Counter()
    for number in range(3000):
        drawn.update(drawing.draw_foils(line_up, SUSPECT, drawing.seed(PLAN, number.to_bytes(4, "big"))))
    assert len(drawn) == 9
    assert stats.chisquare(list(drawn.values())).pvalue > 1e-4


UNLIKE = {
    "another architecture": (candidate("odd", architecture="gpt2"), "has architecture gpt2, the suspect llama"),
    "three times the size": (candidate("odd", parameters=3_000_000), "has parameters 3000000, the suspect 1000000"),
    "a third of the size": (candidate("odd", parameters=333_333), "has parameters 333333, the suspect 1000000"),
    "a size in words": (candidate("odd", parameters="1000000"), "has parameters 1000000"),
    "a size that is no number": (candidate("odd", parameters=True), "has parameters True"),
    "untold": (PlannedExhibit(exhibit="odd", lineage="own"), "tells no architecture"),
    "the suspect's lineage": (
        PlannedExhibit(exhibit="odd", lineage="barred", attributes=SUSPECT),
        "is of the lineage barred, as is the suspect or the reference",
    ),
    "no lineage": (PlannedExhibit(exhibit="odd", attributes=SUSPECT), "declares no lineage"),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_who_cannot_stand_in_is_named_with_the_reason(case: str) -> None:
    odd, reason = UNLIKE[case]
    line_up = LineUpPlan(pool=(odd, candidate("good")), foils=2, matched_on=tuple(SUSPECT))
    with pytest.raises(UsageError, match="the line-up wants 2 foils and the pool gives 1") as refused:
        drawing.draw_foils(line_up, SUSPECT, SEED, barred_lineages=("barred", ""))
    assert f"odd {reason}" in refused.value.message


@pytest.mark.parametrize("size", [500_000, 1_000_000, 2_000_000])
def test_sizes_within_the_factor_are_alike(size: int) -> None:
    line_up = LineUpPlan(pool=(candidate("near", parameters=size),), foils=1, matched_on=("parameters",))
    assert drawing.draw_foils(line_up, SUSPECT, SEED) == ("near",)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(1, 100))
def test_being_alike_is_mutual_and_with_oneself(first: float, second: float, tolerance: float) -> None:
    assert drawing.alike(first, first, tolerance)
    assert drawing.alike(first, second, tolerance) == drawing.alike(second, first, tolerance)


def test_one_foil_of_a_lineage() -> None:
    siblings = tuple(PlannedExhibit(exhibit=f"sibling {at}", lineage="one", attributes=SUSPECT) for at in range(5))
    line_up = LineUpPlan(pool=(*siblings, candidate("other")), foils=2, matched_on=tuple(SUSPECT))
    for number in range(50):
        foils = drawing.draw_foils(line_up, SUSPECT, drawing.seed(PLAN, bytes([number])))
        assert sorted(foil.split()[0] for foil in foils) == ["other", "sibling"]
    with pytest.raises(UsageError, match="is of the lineage one, as is sibling"):
        drawing.draw_foils(msgspec.structs.replace(line_up, foils=3), SUSPECT, SEED)


def test_who_shares_the_explanation_always_stands_in() -> None:
    shares = candidate("shares", parameters=9_000_000)
    line_up = msgspec.structs.replace(pool_of(6), pool=(*pool_of(6).pool, shares), shares_explanation=("shares",))
    for number in range(50):
        foils = drawing.draw_foils(line_up, SUSPECT, drawing.seed(PLAN, bytes([number])))
        assert "shares" in foils
        assert len(foils) == 3


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "shares the explanation, not in the pool": ({"shares_explanation": ("nobody",)}, "does not stand in the pool"),
    "more explanations than foils": ({"shares_explanation": ("model 0",), "foils": 0}, "has only 0 foils"),
    "a factor below one": ({"tolerance": 0.5}, "within the factor 0.5"),
    "an attribute nobody told": ({"matched_on": ("release",)}, "does not tell of the suspect"),
    "a candidate named twice": ({"pool": (candidate("twin"), candidate("twin"))}, "names twin twice"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_line_ups_that_contradict_themselves_are_refused(case: str) -> None:
    changes, message = CONTRADICTIONS[case]
    with pytest.raises(UsageError, match=message):
        drawing.draw_foils(msgspec.structs.replace(pool_of(4), **changes), SUSPECT, SEED)


def test_who_shares_the_explanation_may_not_be_a_relative() -> None:
    line_up = msgspec.structs.replace(pool_of(4), shares_explanation=("model 0",))
    with pytest.raises(UsageError, match="as is the suspect or the reference"):
        drawing.draw_foils(line_up, SUSPECT, SEED, barred_lineages=("model 0's own",))


def test_no_foils_wanted_none_drawn() -> None:
    assert drawing.draw_foils(LineUpPlan(), {}, SEED) == ()


@given(st.sets(st.text(min_size=1, max_size=20), max_size=40), st.binary(min_size=32, max_size=32))
def test_code_names_are_unique_and_repeatable(exhibits: set[str], secret: bytes) -> None:
    named = drawing.code_names(sorted(exhibits), secret)
    assert sorted(named.values()) == sorted(exhibits)
    assert named == drawing.code_names(sorted(exhibits, reverse=True), secret)
    assert list(named) == sorted(named)


def test_code_names_stay_unique_where_they_collide() -> None:
    """18 x 7 x 18 x 7 code names: 2000 exhibits collide some hundred times."""
    exhibits = [f"exhibit {at}" for at in range(2000)]
    assert len(drawing.code_names(exhibits, bytes(32))) == 2000


def test_the_place_of_the_suspect_in_the_list_tells_nothing() -> None:
    exhibits = ["suspect", "foil 1", "foil 2", "foil 3"]
    places = Counter(
        list(drawing.code_names(exhibits, hashlib.sha256(bytes([at % 256, at // 256])).digest()).values()).index(
            "suspect"
        )
        for at in range(2000)
    )
    assert stats.chisquare(list(places.values())).pvalue > 1e-4


def test_commitment_against_sha256() -> None:
    assert drawing.commitment(bytes(32)) == "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"


def test_an_exhibit_twice_and_a_short_secret_are_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        drawing.code_names(["one", "one"], bytes(32))
    with pytest.raises(UsageError, match="32 bytes, not 5"):
        drawing.code_names(["one"], b"short")


@given(st.binary(min_size=1))
def test_the_examiners_seed_is_a_small_number(randomness: bytes) -> None:
    assert 0 <= drawing.examination_seed(drawing.seed(PLAN, randomness)) < 2**31


def test_seeds_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="no randomness"):
        drawing.seed(PLAN, b"")
    with pytest.raises(UsageError, match="the plan's digest is not 64"):
        drawing.seed("abc", b"x")
    with pytest.raises(UsageError, match="the claimant's seed is not 64"):
        drawing.claimants_seed(Announcement(basis="claimant", seed="mine"))
    with pytest.raises(UsageError, match="announced randomness of drand"):
        drawing.claimants_seed(Announcement(basis="drand", seed="a" * 64))
    assert drawing.claimants_seed(Announcement(basis="claimant", seed="a" * 64)) == "a" * 64
