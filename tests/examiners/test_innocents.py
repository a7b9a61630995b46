"""Innocent suspects of every kind keep the level, whatever they read and whoever chose their controls (tests/examiners/innocents.py).

Seeds are fixed: what is found is the same in every run. A count of figures at or below a level that is rarer than one in ten thousand
under the law that it should have fails; with about a hundred kinds here that would happen by chance once in a hundred seeds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from filiation.canaries.opening import Statistic
from tests.examiners.innocents import (
    Figure,
    canaries,
    e_of,
    excess,
    orders,
    p_of,
    radioactivity,
    shifts,
    twins,
    watermarks,
)

Found = dict[str, list[Figure | None]]
Simulated = Callable[[str, int], Found]
RARE = -4.0


def check(found: Found) -> None:
    """The shares of p, and of 1/e, which is a p as well (Markov's inequality)."""
    for kind, figures in found.items():
        assert excess(p_of(figures)) > RARE, kind
        assert excess([-np.log10(max(e, 1e-300)) for e in e_of(figures)]) > RARE, kind


@pytest.mark.parametrize("simulated", [watermarks, radioactivity])
@pytest.mark.parametrize(("scheme", "keys"), [("Gumbel", 20), ("SynthID", 30), ("selfhash", 15), ("green list", 1)])
def test_keys_drawn_anew_accuse_nobody(simulated: Simulated, scheme: str, keys: int) -> None:
    """Parrots of marked prompts, models that learn from them in context, constants, copies."""
    check(simulated(scheme, keys))


@pytest.mark.parametrize(("scheme", "keys"), [("Gumbel", 12), ("vLLM", 8), ("green list", 8)])
def test_shifts_from_a_companion_accuse_nobody_under_keys_drawn_anew(scheme: str, keys: int) -> None:
    """Models that learn from the marked text they read, that are surer or less sure than the companion, of another language, constant."""
    check(shifts(scheme, keys))


@pytest.mark.parametrize("statistic", ["agreements", "ranks"])
def test_labels_drawn_anew_accuse_nobody(statistic: Statistic) -> None:
    """Level, biased, tied and copied beliefs, some canaries unanswered; three cohorts are searched."""
    check(canaries(statistic, 25 if statistic == "agreements" else 8))


@pytest.mark.parametrize("simulated", [orders, twins])
@pytest.mark.parametrize("controls", ["no controls", "three controls", "one control that remembers the contrary"])
def test_lots_drawn_anew_accuse_nobody(simulated: Simulated, controls: str) -> None:
    """Skilled, constant, tied, wild, sorted, copied: with honest controls, and with the one that somebody chose to suit."""
    check(simulated(controls, 10 if simulated is orders else 20))


@pytest.mark.parametrize("simulated", [orders, twins])
@pytest.mark.parametrize("controls", ["one of two that remembers the contrary", "one of three that remembers"])
def test_one_control_that_knows_the_lot_detects_nothing(simulated: Simulated, controls: str) -> None:
    """It is seen beside an honest one before it can carry a suspect to one in a million, whichever way it leans."""
    found = simulated(controls, 8)
    assert min(min(p_of(figures)) for figures in found.values()) > -6.0
    assert sum(each is None for figures in found.values() for each in figures) > len(found)


@pytest.mark.parametrize("simulated", [orders, twins])
def test_controls_that_all_remember_the_contrary_are_a_premise_and_nothing_sees_them(simulated: Simulated) -> None:
    """A weak point, told in docs/planted-marks.md: they hide one another, and an innocent suspect seems to know the lot."""
    skilled = simulated("two that both remember the contrary", 8)["skilled"]
    assert None not in skilled
    assert np.median(p_of(skilled)) < -2.0


def test_the_law_of_the_counts_itself_is_seen_when_it_is_broken() -> None:
    """That this file can fail: p-values that are ten times too small."""
    honest = np.log10(np.random.default_rng(1).random(100))
    assert excess(honest.tolist()) > RARE
    assert excess((honest - 1.0).tolist()) < RARE
