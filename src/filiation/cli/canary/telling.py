"""What a verification of canaries says on a terminal. Numbers are written by `report.wording`; exposure is all that is ever said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from filiation.canaries.premises import ASSUMPTIONS, LIMITATIONS
from filiation.report.wording import chance, plural, probability, visible, whole

if TYPE_CHECKING:
    from filiation.canaries.exposure import Exposure
    from filiation.canaries.scoring import ControlModel, Score
    from filiation.canaries.tally import Searched
    from filiation.canaries.verification import Result
    from filiation.case.records import Check


def checks_told(checks: Sequence[Check]) -> list[str]:
    """The checks in lines, failures with what they mean."""
    lines = []
    for check in checks:
        said = "FAILS" if check.failures else "holds"
        lines.append(f"{check.number}. {check.title}: {said} ({check.looked_at} looked at)")
        for failure in check.failures:
            lines.append(f"   {visible(failure.where)}: {visible(failure.what)}")
            lines.append(f"     {visible(failure.meaning)}")
    return lines


def result_told(result: Result) -> list[str]:
    """The result in lines."""
    lines = [
        f"batch {result.batch} of {visible(result.claimant, 100)}; beacon: {visible(result.beacon, 200)}",
        f"exposure ledger (the claimant's own word): {exposure_told(result.exposure)}",
    ]
    for score in result.scored.scores:
        lines += ["", *_score_told(score)]
    lines += ["", *_controls_told(result.scored.controls)]
    lines += [f"warning: {visible(warning)}" for warning in result.scored.warnings]
    lines += [f"note: {visible(remark)}" for remark in result.remarks]
    return [*lines, "", *(f"premise: {premise}" for premise in ASSUMPTIONS), *LIMITATIONS]


def exposure_told(exposure: Exposure) -> str:
    """What a ledger says of one batch."""
    if not exposure.entries:
        return "no exposure is entered"
    return (
        f"{plural(exposure.exposed, 'canary', 'canaries')} exposed {whole(exposure.times)} times to "
        f"{plural(len(exposure.recipients), 'recipient')} between {exposure.since} and {exposure.until}"
    )


def _score_told(score: Score) -> list[str]:
    counted, decoys, placebo, wrong = score.counted, score.decoys, score.placebo, score.wrong_cohorts
    rows = [
        (
            "canaries",
            _seen(score, counted.count, counted.opportunities),
            f"p {probability(score.log10_p)}, log10 e {score.log10_e:.1f}",
        ),
        ("decoys, never planted", _seen(score, decoys.count, decoys.opportunities), f"p {probability(decoys.log10_p)}"),
        (
            f"{whole(placebo.keys)} placebo keys",
            f"at most {whole(placebo.largest)}",
            f"{whole(placebo.reaching)} reach as much, p {placebo.p:.4f}",
        ),
        (
            f"{whole(wrong.cohorts)} unused cohorts",
            f"at most {whole(wrong.largest)}",
            f"p {probability(wrong.log10_p)}",
        ),
    ]
    width = max(len(row[0]) for row in rows)
    middle = max(len(row[1]) for row in rows)
    answered = f"{whole(counted.answered)} answered, {whole(counted.unparsable)} of them not readable as an option"
    lines = [
        f"{visible(score.suspect, 100)}: {answered}; cohort {score.cohort}",
        *(f"  {name:<{width}}  {seen:<{middle}}  {p}" for name, seen, p in rows),
        f"  {_searched(score.searched)}; the smallest p that this design could have reached: {probability(score.resolution_log10_p)}",
        f"  share of canaries seen beyond chance: {score.effect:.3f}",
    ]
    if score.further_answers:
        lines.append(
            f"  {plural(score.further_answers, 'further answer')} recorded and not looked at: the first one counts"
        )
    return lines + [f"  warning: {visible(warning)}" for warning in score.warnings]


def _seen(score: Score, count: int, opportunities: int) -> str:
    if score.statistic == "ranks":
        return f"sum of doubled ranks {whole(count)} over {whole(opportunities)}"
    chances = " or ".join(chance(1.0 / options) for options in score.options)
    return f"{whole(count)} coincidences in {whole(opportunities)}, each with chance {chances}"


def _searched(searched: Searched) -> str:
    counts = (
        plural(searched.suspects, "model") + " considered",
        plural(searched.cohorts, "cohort"),
        plural(searched.batches, "batch", "batches"),
        plural(searched.commitments, "commitment"),
        plural(searched.statistics, "statistic"),
    )
    return f"p is paid for {' x '.join(counts)}"


def _controls_told(controls: Sequence[ControlModel]) -> list[str]:
    if not controls:
        return ["no unrelated model stands beside"]
    largest = max(controls, key=lambda control: (-control.log10_p, control.counted.count))
    return [
        f"{plural(len(controls), 'unrelated model')}: at most {whole(max(each.counted.count for each in controls))} in "
        f"{whole(largest.counted.opportunities)} ({visible(largest.name, 60)}), smallest paid p {probability(largest.log10_p)}"
    ]
