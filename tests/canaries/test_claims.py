"""The study of false claims in small: strangers keep their level, whoever commits late is refused, decoys show who fed everything."""

from __future__ import annotations

from typing import Any

import pytest

from studies.canary_claims import KINDS, LEVELS, main

pytestmark = pytest.mark.xdist_group("claims")  # what is made for all of them is made once


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return main(suspects=300, seconds=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_strangers_of_every_kind_keep_the_level(kind: str, found: dict[str, Any]) -> None:
    """At most four standard errors above it, at every level: with seven kinds and five levels once in a thousand runs."""
    assert found["strangers"][kind]["excess"] < 4.0
    assert found["strangers"][kind]["p <= 0.5"] <= 0.6


def test_the_exact_law_never_exceeds_a_level(found: dict[str, Any]) -> None:
    for level in LEVELS:
        assert found["exact law"][f"p <= {level:g}"] <= level


def test_what_was_searched_has_to_be_paid_for(found: dict[str, Any]) -> None:
    assert found["searching"]["all of it"]["unpaid p <= 0.01"] > 0.9
    assert all(row["paid p <= 0.01"] <= 0.0125 for row in found["searching"].values())


def test_a_late_claimant_would_reach_something_and_is_refused(found: dict[str, Any]) -> None:
    assert found["grinding"][0]["log10 p reached"] < -2
    assert "choose among keys" in found["late"]["stamped late"]
    assert found["late"]["not stamped"].startswith("refused")


def test_decoys_show_who_was_fed_everything_and_not_who_was_fed_with_care(found: dict[str, Any]) -> None:
    warned = {name: row["warnings"] for name, row in found["framing"].items()}
    assert warned == {
        "not exposed": 0,
        "exposed by planting": 0,
        "fed everything that has a label": 1,
        "fed a tenth of everything that has a label": 1,
        "fed canaries alone, by somebody careful": 0,
    }
