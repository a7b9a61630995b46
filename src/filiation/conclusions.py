"""Findings into conclusions: merged only within one proposition, one alternative and one kind of null.

1. e-values of a group are averaged with the weights that a plan fixed, or with equal ones, fixed by the number of tests;
   a test that could not be examined enters with e = 1, which is always an e-value. Averages hold under any dependence.
2. The likelihood ratio is that of the group's most searching examined test (examiners list their tests from the quickest
   to the most searching): findings on the same two models depend on one another, so their ratios are never multiplied.
   Where its design could not have reached detection, not detecting says nothing, and there is no ratio. A test without
   weight in the plan takes no part in either. By construction nothing is estimated, so the ratio has no interval.
3. What cannot be concluded is said with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from filiation.evidence import (
    Absent,
    Characteristic,
    Conclusion,
    Finding,
    Inconclusive,
    Null,
    Outcome,
    Proposition,
    round_against_accuser,
)
from filiation.statistics.likelihood import LikelihoodRatio, LineageCounts, constructed_ratio, likelihood_ratio
from filiation.statistics.merging import merge_log10_e
from filiation.statistics.scale import word

EXPLANATIONS = {
    Proposition.DESIGN: ("a shared public recipe", "the same framework's defaults"),
    Proposition.TOKENIZER: (
        "a common public ancestor",
        "trained on all but the same public text by the same recipe",
        "exposure through a third party",
    ),
    Proposition.WEIGHTS: (
        "a common public ancestor",
        "the same initialisation (a default seed)",
        "the reverse direction: the reference comes from the suspect",
        "exposure through a third party",
        "the same recipe and training data",
    ),
    Proposition.OUTPUTS: (
        "a common public ancestor",
        "shared public data",
        "web contamination: the reference's answers stand in public text",
        "the same teacher",
        "the reverse direction: the reference learned from the suspect",
        "exposure through a third party",
    ),
    Proposition.GUARDRAILS: (
        "a common public ancestor",
        "shared public data",
        "the same published policy or the same safety vendor",
        "the reverse direction: the reference learned from the suspect",
    ),
    Proposition.SERVICE: (
        "another runtime or number format",
        "another system prompt or chat template",
        "other sampling parameters",
        "a change of version between the two recordings",
    ),
    Proposition.MARKS: (
        "the key was known to somebody else",
        "exposure through a third party",
        "web contamination: the marked answers stand in public text",
        "planted by whoever accuses",
        "answers of the marked service passed on",
    ),
    Proposition.DATA: (
        "what was drawn by lot was known to somebody else",
        "exposure through a third party",
        "what was published was read where anybody may read it",
        "planted by whoever accuses",
    ),
    Proposition.REPRESENTATIONS: (
        "a common public ancestor",
        "the same initialisation (a default seed)",
        "the same recipe and training data",
        "learned from the reference's outputs",
    ),
    Proposition.TRAINING_METHOD: (
        "the same recipe and training data",
        "shared public data",
        "a common public ancestor",
    ),
}
"""The innocent explanations a conclusion has to answer for; a finding says in `conditional_on` or `companions` which it tested."""


Group = tuple[Proposition, str, Null]

UNPLANNED = "the plan gives none of these tests a weight, so that they may not carry a conclusion"


def conclude(outcomes: Sequence[Outcome], weights: Mapping[str, float] | None = None) -> tuple[Conclusion, ...]:
    """One conclusion per proposition, alternative and kind of null, in the order of the outcomes.

    `weights`: test id to its share in the average of its group, fixed in a plan; a test that is not named weighs 0, and the
    weights of a group sum to 1 or are all 0. None: every test of a group weighs the same. Raises ValueError on other weights.
    """
    groups: dict[Group, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.proposition, outcome.alternative, outcome.null), []).append(outcome)
    return tuple(_conclusion(key, members, _weights_of(members, weights)) for key, members in groups.items())


def _weights_of(members: Sequence[Outcome], weights: Mapping[str, float] | None) -> list[float]:
    """The weight of each member of a group, all 0 where the plan names none of them."""
    if weights is None:
        return [1.0 / len(members)] * len(members)
    found = [float(weights.get(member.test, 0.0)) for member in members]
    total = math.fsum(found)
    if any(weight < 0.0 for weight in found) or (total and abs(total - 1.0) > 1e-9):
        tests = ", ".join(member.test for member in members)
        raise ValueError(f"the weights of {tests} must not be negative and must sum to 1, not {total}")
    return found


def _conclusion(key: Group, members: Sequence[Outcome], weights: Sequence[float]) -> Conclusion:
    proposition, alternative, null = key
    weighted = [(member, weight) for member, weight in zip(members, weights, strict=True) if weight > 0.0]
    findings = [member for member, _ in weighted if isinstance(member, Finding)]
    tested = tuple(sorted({test for finding in findings for test in _explanations_tested(finding)}))
    common: dict[str, Any] = {
        "proposition": proposition,
        "alternative": alternative,
        "null": null,
        "merged_ids": tuple(finding.id for finding in findings),
        "explanations_tested": tested,
        "explanations_untested": tuple(e for e in EXPLANATIONS.get(proposition, ()) if e not in tested),
    }
    if not weighted:
        return Conclusion(**common, kind="inconclusive", reason=UNPLANNED)
    if not findings:
        reasons = [member.reason for member, _ in weighted if isinstance(member, Inconclusive)]
        reason = (reasons or [member.reason for member, _ in weighted if not isinstance(member, Finding)])[-1]
        return Conclusion(**common, kind="inconclusive", reason=reason)
    e_values = [(member.log10_e, weight) for member, weight in weighted if isinstance(member, Finding)]
    e_values += [(0.0, weight) for member, weight in weighted if not isinstance(member, Finding)]
    log10_e = merge_log10_e([value for value, _ in e_values], [weight for _, weight in e_values])
    e_value = round_against_accuser(log10_e, accuses_when="large")
    principal = findings[-1]
    if principal.resolution_log10_p > principal.power.threshold_log10_p:
        return Conclusion(
            **common,
            kind="inconclusive",
            reason=f"{principal.test} could not have reached the chance from which it counts as detected, so that its outcome "
            "supports neither side",
            log10_e=e_value,
        )
    ratio = _ratio(principal)
    if isinstance(ratio, Absent):
        return Conclusion(**common, kind="inconclusive", reason=ratio.reason, log10_e=e_value)
    reason = f"likelihood ratio of {principal.test}"
    if principal.characteristic is Characteristic.CLASS:
        reason += "; a class characteristic narrows a family down and never identifies"
    return Conclusion(
        **common,
        kind="likelihood ratio",
        reason=reason,
        log10_e=e_value,
        log10_likelihood_ratio=ratio.log10_value,
        log10_likelihood_ratio_low=ratio.log10_low if null is not Null.CONSTRUCTION else None,
        log10_likelihood_ratio_high=ratio.log10_high if null is not Null.CONSTRUCTION else None,
        cap=ratio.cap,
        word=word(ratio.log10_value),
    )


def _ratio(principal: Finding) -> LikelihoodRatio | Absent:
    """From the counts of lineages behind a finding, or, by construction, from its own exact law."""
    detected = principal.log10_p <= principal.power.threshold_log10_p
    if principal.null is Null.CONSTRUCTION:
        return constructed_ratio(detected, log10_p=principal.log10_p, log10_e=principal.log10_e)
    return likelihood_ratio(detected, lineage_counts(principal), null=principal.null, log10_p=principal.log10_p)


def lineage_counts(finding: Finding) -> LineageCounts:
    """What stands behind a finding, by lineage.

    Relations of one lineage are not independent of one another, so the claimed relations are not added up: the relation
    found least often stands for all.
    """
    weakest = min(
        finding.power.relations,
        key=lambda power: ((power.detected + 0.5) / (power.lineages + 1), power.lineages),
        default=None,
    )
    return LineageCounts(
        relatives=weakest.lineages if weakest else 0,
        relatives_detected=weakest.detected if weakest else 0,
        strangers=finding.lineages.strangers,
        strangers_detected=finding.lineages.strangers_exceeding,
        strangers_exceeding=finding.lineages.strangers_exceeding,
    )


def _explanations_tested(finding: Finding) -> tuple[str, ...]:
    """A companion whose name is one of the explanations is the test of it."""
    names = {companion.name for companion in finding.companions}
    return tuple(e for e in EXPLANATIONS.get(finding.proposition, ()) if e in names)
