"""How findings become conclusions: what is merged, what is not, and how far a ratio may go."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.conclusions import EXPLANATIONS, conclude, lineage_counts
from filiation.evidence import (
    Characteristic,
    Companion,
    Effect,
    Finding,
    Inconclusive,
    Lineages,
    Multiplicity,
    NotExamined,
    Null,
    Power,
    Proposition,
    RelationPower,
)
from filiation.statistics.likelihood import upper_limit

examples = settings(deadline=None, derandomize=True, max_examples=60)


def _about(**changes: Any) -> dict[str, Any]:
    return {
        "id": "weights.one:a|b",
        "examiner": "weights",
        "examiner_version": "1",
        "test": "weights.one",
        "proposition": Proposition.WEIGHTS,
        "alternative": "independent",
        "relation_class": "common ancestor",
        "characteristic": Characteristic.INDIVIDUAL,
        "null": Null.MODEL,
        "reason": "examined",
    } | changes


def finding(
    *, log10_p: float = -20.0, log10_e: float = 18.0, strangers: int = 20, exceeding: int = 0, **changes: Any
) -> Finding:
    relatives = changes.pop("relatives", (RelationPower(relation="fine-tune", detected=10, lineages=10),))
    fields = {
        "count": 50,
        "opportunities": 60,
        "chance": 0.1,
        "resolution_log10_p": -60.0,
        "effect": Effect(name="share", value=0.8, low=0.7, high=0.9),
        "power": Power(threshold_log10_p=-12.0, detectable_share=0.4, relations=relatives),
        "lineages": Lineages(
            strangers=strangers, strangers_exceeding=exceeding, upper_limit=upper_limit(exceeding, strangers)
        ),
        "multiplicity": Multiplicity(searched=1, rule="none"),
        "assumptions": ("as stated",),
    }
    return Finding(**(_about() | {"log10_p": log10_p, "log10_e": log10_e} | fields | changes))


def not_examined(**changes: Any) -> NotExamined:
    return NotExamined(**_about(reason="no weights", **changes))


def inconclusive(**changes: Any) -> Inconclusive:
    return Inconclusive(**_about(reason="not validated for models of the family x", **changes))


# ----------------------------------------------------------------------------------------------------------- what merges


def test_nothing_gives_no_conclusion() -> None:
    assert conclude(()) == ()


@pytest.mark.parametrize(
    "different",
    [
        {"proposition": Proposition.TOKENIZER},
        {"alternative": "trained apart"},
        {"null": Null.EXCHANGEABILITY},
        {"null": Null.POPULATION},
        {"null": Null.CONSTRUCTION},
    ],
    ids=str,
)
def test_findings_of_another_proposition_alternative_or_null_stand_apart(different: dict[str, Any]) -> None:
    conclusions = conclude((finding(id="one"), finding(id="two", **different), finding(id="three")))
    assert [conclusion.merged_ids for conclusion in conclusions] == [("one", "three"), ("two",)]
    for name, value in different.items():
        assert getattr(conclusions[1], name) == value


def test_e_values_are_averaged_and_what_was_not_examined_enters_as_one() -> None:
    (conclusion,) = conclude(
        (finding(log10_e=4.0), not_examined(id="two"), finding(id="three", log10_e=2.0), inconclusive(id="four"))
    )
    mean = math.log10((10**4 + 1 + 10**2 + 1) / 4)
    assert conclusion.log10_e is not None
    assert mean - 0.001 <= conclusion.log10_e <= mean
    assert conclusion.merged_ids == ("weights.one:a|b", "three")


@examples
@given(
    values=st.lists(st.floats(-20, 2000, allow_nan=False), min_size=1, max_size=6),
    unexamined=st.integers(0, 4),
)
def test_merging_never_says_more_than_the_strongest_and_planning_more_never_says_more(
    values: list[float], unexamined: int
) -> None:
    findings = [finding(id=f"{number}", log10_e=value) for number, value in enumerate(values)]
    (merged,) = conclude(findings)
    (planned,) = conclude([*findings, *[not_examined(id=f"not {number}") for number in range(unexamined)]])
    assert merged.log10_e is not None
    assert planned.log10_e is not None
    assert merged.log10_e <= max(values) + 1e-9
    assert planned.log10_e <= max(merged.log10_e, 0.0) + 1e-9


def test_order_of_conclusions_is_the_order_of_the_outcomes() -> None:
    outcomes = (finding(null=Null.POPULATION), finding(), not_examined(proposition=Proposition.TOKENIZER))
    assert [(c.proposition, c.null) for c in conclude(outcomes)] == [
        (Proposition.WEIGHTS, Null.POPULATION),
        (Proposition.WEIGHTS, Null.MODEL),
        (Proposition.TOKENIZER, Null.MODEL),
    ]


# ------------------------------------------------------------------------------------------------------ how far it goes


@pytest.mark.parametrize("strangers", [1, 5, 20, 200])
@pytest.mark.parametrize("log10_p", [-12.0, -40.0, -1536.0])
def test_a_ratio_by_model_is_capped_by_the_strangers_seen_whatever_p(strangers: int, log10_p: float) -> None:
    (conclusion,) = conclude((finding(log10_p=log10_p, strangers=strangers),))
    assert conclusion.kind == "likelihood ratio"
    assert conclusion.cap is not None
    assert conclusion.log10_likelihood_ratio is not None
    limit = 1 - 0.05 ** (1 / strangers)  # Clopper and Pearson, none of N
    assert conclusion.cap.value <= 1 / limit
    assert conclusion.log10_likelihood_ratio <= math.log10(conclusion.cap.value) + 1e-9
    assert conclusion.log10_likelihood_ratio_low <= conclusion.log10_likelihood_ratio  # type: ignore[operator]
    assert conclusion.log10_likelihood_ratio <= conclusion.log10_likelihood_ratio_high  # type: ignore[operator]
    assert f"of {strangers} stranger lineages" in conclusion.cap.reason


def test_a_ratio_by_population_is_at_most_the_number_of_lineages() -> None:
    (conclusion,) = conclude((finding(log10_p=-12.0, null=Null.POPULATION, strangers=9),))
    assert conclusion.cap is not None
    assert conclusion.cap.value == 9
    assert conclusion.log10_likelihood_ratio <= math.log10(9)  # type: ignore[operator]


def test_not_detected_speaks_for_independence_as_far_as_power_is_known() -> None:
    (conclusion,) = conclude((finding(log10_p=-0.1, log10_e=-2.0),))
    assert conclusion.log10_likelihood_ratio is not None
    assert -math.log10(11) - 0.001 <= conclusion.log10_likelihood_ratio < 0
    assert conclusion.word.endswith("independence")


def test_not_detected_says_nothing_where_power_is_not_known() -> None:
    (conclusion,) = conclude((finding(log10_p=-0.1, log10_e=-2.0, relatives=()),))
    assert conclusion.kind == "inconclusive"
    assert conclusion.log10_likelihood_ratio is None
    assert conclusion.log10_e == -2.0


def test_without_strangers_there_is_no_ratio_and_the_e_value_stays() -> None:
    (conclusion,) = conclude((finding(strangers=0),))
    assert (conclusion.kind, conclusion.word, conclusion.cap) == ("inconclusive", "", None)
    assert conclusion.log10_e == 18.0
    assert conclusion.reason


def test_the_relation_found_least_often_stands_for_all() -> None:
    relatives = (
        RelationPower(relation="fine-tune", detected=10, lineages=10),
        RelationPower(relation="merge", detected=3, lineages=8),
        RelationPower(relation="copy", detected=4, lineages=4),
    )
    counts = lineage_counts(finding(relatives=relatives, strangers=12, exceeding=1))
    assert (counts.relatives_detected, counts.relatives) == (3, 8)
    assert (counts.strangers_exceeding, counts.strangers) == (1, 12)


def test_ratios_of_dependent_findings_are_not_multiplied() -> None:
    (alone,) = conclude((finding(),))
    (together,) = conclude((finding(id="one"), finding(id="two"), finding(id="three")))
    assert together.log10_likelihood_ratio == alone.log10_likelihood_ratio


def test_the_most_searching_test_gives_the_ratio() -> None:
    (conclusion,) = conclude((finding(test="weights.screen"), finding(id="two", test="weights.last", log10_p=-0.2)))
    assert conclusion.reason == "likelihood ratio of weights.last"
    assert conclusion.log10_likelihood_ratio < 0  # type: ignore[operator]


# -------------------------------------------------------------------------------------------------------- what is said


def test_nothing_examined_is_inconclusive_with_the_reason() -> None:
    (conclusion,) = conclude((not_examined(), not_examined(id="two")))
    assert (conclusion.kind, conclusion.reason) == ("inconclusive", "no weights")
    assert conclusion.log10_e is None
    assert conclusion.merged_ids == ()


def test_a_reason_from_looking_counts_more_than_one_from_not_looking() -> None:
    (conclusion,) = conclude((inconclusive(), not_examined(id="two")))
    assert conclusion.reason == "not validated for models of the family x"


def test_a_class_characteristic_is_said_never_to_identify() -> None:
    (of_class,) = conclude((finding(characteristic=Characteristic.CLASS),))
    (of_one,) = conclude((finding(),))
    assert "never identifies" in of_class.reason
    assert "never identifies" not in of_one.reason


@pytest.mark.parametrize("proposition", list(Proposition))
def test_every_innocent_explanation_is_tested_or_listed_as_untested(proposition: Proposition) -> None:
    first, *others = EXPLANATIONS[proposition]
    companion = Companion(null=Null.POPULATION, name=first, value="1 of 9")
    (conclusion,) = conclude((finding(proposition=proposition, companions=(companion,)),))
    assert conclusion.explanations_tested == (first,)
    assert conclusion.explanations_untested == tuple(others)
    (unexamined,) = conclude((not_examined(proposition=proposition),))
    assert unexamined.explanations_untested == EXPLANATIONS[proposition]


def test_a_design_that_could_not_have_detected_anything_supports_neither_side():
    """Truth by the design: with nine lineages no rank reaches the threshold, so not reaching it says nothing."""
    power = Power(threshold_log10_p=-1.301, detectable_share=1.0)
    [conclusion] = conclude([finding(null=Null.POPULATION, log10_p=-1.0, resolution_log10_p=-1.0, power=power)])
    assert conclusion.kind == "inconclusive"
    assert conclusion.log10_likelihood_ratio is None
    assert "neither side" in conclusion.reason


# ------------------------------------------------------------------------------------------------- the weights of a plan


def test_weights_of_a_plan_average_the_e_values() -> None:
    """Truth by arithmetic: 0.75 of 10**4 and 0.25 of 10**2; without weights a half of each."""
    outcomes = (
        finding(id="one", test="weights.one", log10_e=4.0),
        finding(id="two", test="weights.two", log10_e=2.0),
    )
    (weighted,) = conclude(outcomes, {"weights.one": 0.75, "weights.two": 0.25})
    (equal,) = conclude(outcomes)
    assert weighted.log10_e == math.floor(1000 * math.log10(0.75 * 1e4 + 0.25 * 1e2)) / 1000
    assert equal.log10_e == math.floor(1000 * math.log10(0.5 * 1e4 + 0.5 * 1e2)) / 1000
    assert conclude(outcomes, {"weights.one": 0.5, "weights.two": 0.5}) == (equal,)


def test_a_test_without_weight_takes_no_part() -> None:
    outcomes = (
        finding(id="one", test="weights.one"),
        finding(id="two", test="weights.two", log10_p=-1.0, log10_e=-3.0),
    )
    (conclusion,) = conclude(outcomes, {"weights.one": 1.0})
    (alone,) = conclude(outcomes[:1])
    assert conclusion == alone
    assert conclusion.merged_ids == ("one",)


def test_a_group_without_any_weight_carries_no_conclusion() -> None:
    (conclusion,) = conclude((finding(),), {"weights.other": 1.0})
    assert conclusion.kind == "inconclusive"
    assert "no" in conclusion.reason
    assert conclusion.log10_e is None
    assert conclusion.merged_ids == ()


@pytest.mark.parametrize("weights", [{"weights.one": 0.9}, {"weights.one": 1.5}, {"weights.one": -1.0}])
def test_weights_that_are_no_average_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        conclude((finding(),), weights)
