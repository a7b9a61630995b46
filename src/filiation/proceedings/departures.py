"""In what a sealed plan departs from what this program does where nobody says otherwise. Each may have its reason, and none goes unsaid:
a weight, a parameter or a test left out can make a case come out as somebody wants it."""

from __future__ import annotations

from collections.abc import Iterator

from filiation.case.records import Plan, Tolerance
from filiation.examiners.catalogue import calibration, examiners
from filiation.examiners.examiner import Examiner
from filiation.proceedings.plan_file import usual_weights, weights_of

OWN = "filiation.examiners."
"""Where the examiners of this program lie; all others come from packages that somebody installed."""


def departures(plan: Plan) -> Iterator[str]:
    """One remark for each kind of departure."""
    installed = {examiner.NAME: examiner for examiner in examiners()}
    planned = [installed[name] for name in plan.examiners if name in installed]
    yield from _of_examiners(plan, installed)
    others = [
        f"{each.NAME}.{name} = {value!r}{usual}" for each in planned for name, value, usual in _settings(plan, each)
    ]
    if others:
        yield f"the plan sets parameters that are not the usual ones: {'; '.join(others)}"
    weights, usual = weights_of(plan), usual_weights(tuple(planned))
    moved = [test for test in usual if abs(weights.get(test, 0.0) - usual[test]) > 1e-9]
    if moved:
        told = ", ".join(f"{test} {weights.get(test, 0.0):g} ({usual[test]:g})" for test in moved)
        yield f"the plan weighs tests otherwise than equally; in brackets what is usual: {told}"
    told_tolerance = plan.tolerance.log10_p, plan.tolerance.share
    if plan.tolerance.log10_p > Tolerance().log10_p or plan.tolerance.share > Tolerance().share:
        yield (
            "the plan's tolerance is wider than usual: acquired again, log10 p may differ by {:g} and shares by {:g}".format(
                *told_tolerance
            )
        )


def _of_examiners(plan: Plan, installed: dict[str, Examiner]) -> Iterator[str]:
    left_out = [name for name, each in installed.items() if name not in plan.examiners and _is_own(each)]
    if left_out:
        yield f"the plan leaves out the examiners {', '.join(left_out)}"
    added = [name for name in plan.examiners if name not in installed or not _is_own(installed[name])]
    if added:
        yield f"examiners that are no part of this program: {', '.join(added)}; what they do is said by whoever made them"
    other = [
        name
        for name in plan.examiners
        if name in installed and plan.calibration_digests.get(name) != calibration(installed[name]).digest
    ]
    if other:
        yield f"the plan rests on other registers of nulls than are installed here: {', '.join(other)}"


def _is_own(examiner: Examiner) -> bool:
    return str(getattr(examiner, "__name__", "")).startswith(OWN)


def _settings(plan: Plan, examiner: Examiner) -> Iterator[tuple[str, object, str]]:
    """Parameters with another value than the usual one, and what that is, in words."""
    usual = dict(getattr(examiner, "PARAMETERS", {}))
    for name, value in plan.parameters.get(examiner.NAME, {}).items():
        if name not in usual:
            yield name, value, " (there is no such parameter)"
        elif value != usual[name]:
            yield name, value, f" (usual is {usual[name]!r})"
