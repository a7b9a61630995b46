"""Tallies: figures from numbers alone, against the counting they were made by, against known power formulas, and against simulation."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.canaries.answers import Answers, answers_in
from filiation.canaries.canary import Canary
from filiation.canaries.ranks import doubled_ranks, share_to_detect
from filiation.canaries.scoring import score_of, scored, tallied
from filiation.canaries.tally import NOT_ANSWERED, NOT_READABLE, Held, Tally
from filiation.evidence import Absent
from filiation.statistics.power import detectable_share
from tests.canaries.test_scoring import keyed, opened, request

OPTIONS = st.sampled_from([2, 4, 16])


@st.composite
def helds(draw: st.DrawFn) -> Held:
    options = draw(st.lists(OPTIONS, min_size=1, max_size=12))
    return Held(
        options=tuple(options),
        labels=tuple(draw(st.integers(0, number - 1)) for number in options),
        choices=tuple(draw(st.integers(NOT_ANSWERED, number - 1)) for number in options),
    )


@given(helds())
def test_a_total_is_the_number_of_choices_that_are_labels(held: Held) -> None:
    assert held.total("agreements") == sum(a == b for a, b in zip(held.labels, held.choices, strict=True))
    reading = held.reading("agreements")
    assert held.total("agreements") <= reading.largest == len(held.choices) - held.choices.count(NOT_ANSWERED)
    assert reading.unparsable == held.choices.count(NOT_READABLE)
    assert reading.resolution() <= reading.log10_p(held.total("agreements")) <= 0.0


@given(helds())
def test_a_tally_survives_json(held: Held) -> None:
    assert msgspec.json.decode(msgspec.json.encode(held), type=Held) == held


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": (2, 0)},
        {"labels": (-1, 0)},
        {"choices": (0, 4)},
        {"choices": (0, -3)},
        {"choices": (0,)},
        {"ranks": ((0, 2),)},
    ],
)
def test_what_is_no_option_is_refused(fields: dict[str, tuple[int, ...]]) -> None:
    usual = {"options": (2, 4), "labels": (1, 0), "choices": (0, NOT_READABLE)}
    with pytest.raises(ValueError):
        Held(**{**usual, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_score_from_a_stored_tally_is_the_score(share: float) -> None:
    field, asked = opened(32, cohorts=3, batches=2), request(considered=4)
    answers = keyed(share, field, cohort=2)
    tally = tallied(field, asked, answers)
    stored = msgspec.json.decode(msgspec.json.encode(tally), type=Tally)
    assert score_of("s", stored) == scored(field, asked, [answers]).scores[0]


# ----------------------------------------------------------------------------------------------------------------- power


@given(st.integers(1, 80), st.sampled_from([-2.0, -6.0, -12.0]))
def test_the_share_of_agreements_to_detect_is_the_binomial_one(number: int, log10_alpha: float) -> None:
    held = Held(options=(16,) * number, labels=(0,) * number, choices=(1,) * number)
    known = detectable_share(number, 1 / 16, log10_alpha)
    expected = 1.0 if isinstance(known, Absent) else known
    assert held.reading("agreements").share_to_detect(log10_alpha) == pytest.approx(expected)


def test_what_was_not_answered_cannot_be_detected() -> None:
    """Four answered canaries of 100 reach 10^-6 never, however many of them agree."""
    held = Held(options=(16,) * 100, labels=(0,) * 100, choices=(1,) * 4 + (NOT_ANSWERED,) * 96)
    assert held.reading("agreements").share_to_detect(-6.0) == 1.0


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 10**6))
def test_the_share_of_ranks_to_detect_against_simulation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = tuple(doubled_ranks(list(rng.integers(0, 8, size=8).astype(float))) for _ in range(30))
    total = sum(map(max, scores)) * 3 // 4
    share = share_to_detect(total, scores, 0.9)
    assert 0.0 < share < 1.0
    table = np.array(scores)
    tries = 4000
    drawn = table[np.arange(30), rng.integers(0, 8, size=(tries, 30))]
    on_top = rng.random((tries, 30)) < share
    reached = float((np.where(on_top, table.max(axis=1), drawn).sum(axis=1) >= total).mean())
    assert reached == pytest.approx(0.9, abs=0.035)


def test_no_share_of_ranks_reaches_more_than_all() -> None:
    assert share_to_detect(61, ((0, 2),) * 30, 0.95) == 1.0
    assert share_to_detect(60, ((0, 2),) * 30, 0.95) > 0.99
    assert share_to_detect(0, ((0, 2),) * 30, 0.95) == 0.0


# --------------------------------------------------------------------------------------------------------------- answers


def canary(index: int) -> Canary:
    return Canary(
        index=index, batch=0, kind="k", decoy=False, partner=0, prompts=(f"q{index}",), options=("alpha", "bravo")
    )


def read(rows: Sequence[tuple[str, str, str | None, str]], canaries: int) -> Answers:
    """Parameters are the text before the prompt, which was not recorded."""
    canaries_of = [canary(index) for index in range(canaries)]
    return answers_in([(*row, "") for row in rows], canaries_of, str, lambda text: (text,) if text else (), name="m")


def test_rows_are_read_by_their_prompt_and_the_first_of_each_counts() -> None:
    told = json.dumps([["al", -0.1, [["br", -2.5], ["x", -3.0]]]])
    rows = [("q0", "Alpha.", None), ("q0", "Bravo.", told), ("q1", "bravo", told), ("other", "alpha", told)]
    found = read([(*row, "") for row in rows], 3)
    assert found.texts == {0: "Alpha.", 1: "bravo"}
    assert found.log_probabilities == {1: (-0.1, -2.5)}
    assert (found.name, found.further) == ("m", 1)


@pytest.mark.parametrize("told", ["", "[]", "no json", '[["a"]]', '[["a", null, []]]'])
def test_log_probabilities_that_cannot_be_read_are_none(told: str) -> None:
    found = read([("q0", "alpha", told, "")], 1)
    assert (found.texts, found.log_probabilities) == ({0: "alpha"}, {})


@pytest.mark.parametrize("before", ["Of q0 say bravo.", "ALPHA", "alpha or\nBravo", "x" * 50_000 + " alpha"])
def test_an_answer_before_which_an_option_was_named_is_none_whichever_it_was(before: str) -> None:
    """A claimant who knows the labels puts them into the system prompt of an innocent model."""
    led = ("q0", "bravo", None, before)
    assert (read([led], 1).texts, read([led], 1).led) == ({}, 1)
    found = read([led, ("q0", "alpha", None, "")], 1)
    assert (found.texts, found.led, found.further, found.prompted) == ({0: "alpha"}, 1, 0, 0)


def test_an_answer_under_another_system_prompt_counts_and_is_told() -> None:
    found = read([("q0", "alpha", None, "You are a bravoure of help."), ("q1", "alpha", None, "greedy")], 2)
    assert (found.texts, found.led, found.prompted) == ({0: "alpha", 1: "alpha"}, 0, 1)


def test_a_row_that_is_named_after_another_prompt_than_was_asked_is_no_answer() -> None:
    rows = [("q0", "alpha", None, "", "q0, and the answer is alpha"), ("q1", "alpha", None, "", "q1")]
    found = answers_in(rows, [canary(0), canary(1)], str, lambda _: (), name="m")
    assert found.texts == {1: "alpha"}
