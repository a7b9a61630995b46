"""Orders, choices and numbers are uniform, and a stranger draws the same from docs/lots.md alone."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from filiation.errors import UsageError
from filiation.lots import Lot, drawn_order, drawn_twins, stream
from filiation.lots.drawing import order_of, second_is_published, seed_of
from filiation.measures.watermarks import (
    GreenListKey,
    GumbelKey,
    SynthIDKey,
    VllmGumbelKey,
    WatermarkKey,
    key_from,
    settings_of,
)
from tests.lots.world import opened_lot

PAGE = Path(__file__).parent.parent.parent / "docs" / "lots.md"
TOKENIZER = b"{}"
SETTINGS = json.dumps({"tokenizer": hashlib.sha256(TOKENIZER).hexdigest()}).encode()
SMALLEST_P = 1e-3
"""Seeds are fixed, so each test of a law passes always or never; by chance one in a thousand would have failed when it was written."""


class Seeded:
    def __init__(self, number: int) -> None:
        self.seed = hashlib.sha256(str(number).encode()).digest()


def seeds(count: int) -> list[bytes]:
    return [Seeded(number).seed for number in range(count)]


# -------------------------------------------------------------------------------------------------------------- the laws


def test_all_orders_of_four_are_equally_likely() -> None:
    counts = Counter(order_of(seed, 4) for seed in seeds(24 * 500))
    assert set(counts) == set(itertools.permutations(range(4)))
    assert chisquare(list(counts.values())).pvalue > SMALLEST_P


def test_every_document_is_equally_likely_in_every_place_of_a_longer_order() -> None:
    orders = [order_of(seed, 50) for seed in seeds(2000)]
    for place in (0, 49):
        counts = Counter(order[place] for order in orders)
        assert chisquare([counts[item] for item in range(50)]).pvalue > SMALLEST_P


def test_choices_are_fair_and_tell_nothing_of_one_another() -> None:
    """All sixteen outcomes of four neighbouring pairs."""
    counts = Counter(tuple(second_is_published(seed, pair) for pair in range(4)) for seed in seeds(16 * 500))
    assert len(counts) == 16
    assert chisquare(list(counts.values())).pvalue > SMALLEST_P
    (seed,) = seeds(1)
    published = sum(second_is_published(seed, pair) for pair in range(20_000))
    assert abs(published - 10_000) < 3.29 * math.sqrt(5000)


@pytest.mark.parametrize("below", [1, 2, 3, 7, 10, 256, 1000])
def test_numbers_of_a_stream_are_uniform(below: int) -> None:
    draw = stream(Seeded(1))
    counts = Counter(draw(below) for _ in range(20 * below))
    assert set(counts) <= set(range(below))
    assert below == 1 or chisquare([counts[number] for number in range(below)]).pvalue > SMALLEST_P


def test_a_stream_has_no_modulo_bias() -> None:
    """Of 2^256 modulo three quarters of 2^256 the lowest third would come up half of the time."""
    below = 3 << 254
    draw = stream(Seeded(2))
    thirds = Counter(draw(below) >> 254 for _ in range(3000))
    assert set(thirds) == {0, 1, 2}
    assert chisquare(list(thirds.values())).pvalue > SMALLEST_P


@given(st.integers(0, 1000), st.lists(st.integers(1, 1 << 256), max_size=20))
def test_a_stream_begins_anew_and_stays_below(number: int, limits: list[int]) -> None:
    first, second = stream(Seeded(number)), stream(Seeded(number))
    drawn = [first(limit) for limit in limits]
    assert drawn == [second(limit) for limit in limits]
    assert all(0 <= value < limit for value, limit in zip(drawn, limits, strict=True))


@pytest.mark.parametrize("below", [0, -1, (1 << 256) + 1])
def test_what_no_stream_can_draw(below: int) -> None:
    with pytest.raises(UsageError, match="cannot be drawn"):
        stream(Seeded(0))(below)


@given(st.integers(0, 1000), st.integers(1, 200))
def test_an_order_holds_everything_once(number: int, items: int) -> None:
    assert sorted(order_of(Seeded(number).seed, items)) == list(range(items))


def test_every_part_of_the_seed_counts() -> None:
    """Another secret, purpose, commitment or beacon: another seed, whatever the parts begin and end with."""
    seeds_drawn = {
        seed_of(secret, purpose, commitment, randomness)
        for secret in (bytes(32), bytes(31) + b"\x01")
        for purpose in ("order", "twins", "watermark")
        for commitment in ("0" * 64, "1" * 64)
        for randomness in (b"", b"\x00", b"\x01")
    }
    assert len(seeds_drawn) == 2 * 3 * 2 * 3


# ------------------------------------------------------------------------------------------------- a stranger draws again


def strangers_draw(folder: Path, purpose: str, items: int) -> dict[str, object]:
    """Run the page's own ten lines, which import nothing of this package."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "filiation." not in code
    space: dict[str, object] = {"opened": folder, "purpose": purpose, "items": items}
    exec(code, space)
    return space


def texts(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


def test_the_order_from_the_page(tmp_path: Path) -> None:
    subject = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts(300))
    lot = opened_lot(tmp_path / "opened", "order", subject, 1)
    read_first_to_last = strangers_draw(tmp_path / "opened", "order", 300)["order"]
    assert isinstance(read_first_to_last, list)
    places = drawn_order(lot)
    assert [places[item] for item in read_first_to_last] == list(range(300))


def test_the_choices_from_the_page(tmp_path: Path) -> None:
    pairs = [(f"first {number}", f"second {number}") for number in range(200)]
    subject = b"".join(json.dumps({"first": a, "second": b}).encode() + b"\n" for a, b in pairs)
    lot = opened_lot(tmp_path / "opened", "twins", subject, 1)
    second = strangers_draw(tmp_path / "opened", "twins", 200)["second_is_published"]
    assert isinstance(second, list)
    for twin, (a, b), swapped in zip(drawn_twins(lot), pairs, second, strict=True):
        assert (twin.published, twin.withheld) == ((b, a) if swapped else (a, b))


def test_the_stream_from_the_page(tmp_path: Path) -> None:
    lot: Lot = opened_lot(tmp_path / "opened", "watermark", SETTINGS, 1, TOKENIZER)
    draw, strangers = stream(lot), strangers_draw(tmp_path / "opened", "watermark", 1)["draw"]
    assert callable(strangers)
    limits = [1, 2, 3, 10, 1000, (1 << 62) + 1, 1 << 256, 3 << 254] * 20
    assert [draw(limit) for limit in limits] == [strangers(limit) for limit in limits]


@pytest.mark.parametrize("scheme", ["green-list", "synthid", "gumbel", "vllm-gumbel"])
def test_the_keys_from_the_page(scheme: str, tmp_path: Path) -> None:
    template: WatermarkKey = {
        "green-list": GreenListKey(vocabulary=500, hashing_key=1),
        "synthid": SynthIDKey(keys=(0,) * 7),
        "gumbel": GumbelKey(secret="00" * 32),
        "vllm-gumbel": VllmGumbelKey(key=0),
    }[scheme]
    settings = settings_of(template, hashlib.sha256(TOKENIZER).hexdigest())
    lot = opened_lot(tmp_path / "opened", "watermark", settings, 1, TOKENIZER)
    draw = strangers_draw(tmp_path / "opened", "watermark", 1)["draw"]
    assert callable(draw)
    secret_parts = {
        "green-list": lambda: {"hashing_key": 1 + draw(2**62)},
        "synthid": lambda: {"keys": [draw(2**62) for _ in range(7)]},
        "gumbel": lambda: {"secret": bytes(draw(256) for _ in range(32)).hex()},
        "vllm-gumbel": lambda: {"key": draw(2**62)},
    }[scheme]()
    salt = bytes(draw(256) for _ in range(16)).hex()
    key = json.loads(key_from(lot.subject, stream(lot)).to_json())
    assert {name: key[name] for name in (*secret_parts, "salt")} == {**secret_parts, "salt": salt}
