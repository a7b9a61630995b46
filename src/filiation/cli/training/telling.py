"""What `filiation training` says on a terminal: checks, segments, and the chance that a forger passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from filiation.report.wording import plural, probability, visible

if TYPE_CHECKING:
    from filiation.training_transcript.verification import Result

PREMISE = (
    "Premise: the trainer and the data are the verifier's own copies, and the segments were drawn after the transcript was closed. What "
    "holds shows that the model was trained as the transcript says, up to the chances above. It says nothing about where the data "
    "came from."
)


def pass_told(passes: Mapping[str, float], executed: int) -> list[str]:
    """The chance to pass by the number of forged segments."""
    return [
        f"a transcript with {plural(int(forged), 'forged segment')} passes {plural(executed, 'drawn segment')} with a chance of "
        f"{probability(value)}"
        for forged, value in passes.items()
    ]


def result_told(result: Result) -> list[str]:
    """The result in lines."""
    found = result.verification
    lines = [f"run {found.case}: {found.state}, {plural(found.entries, 'entry', 'entries')}, head {found.head}"]
    for check in found.checks:
        said = "FAILS" if check.failures else "holds" if check.looked_at else "nothing to look at"
        lines.append(f"{check.number}. {check.title}: {said} ({check.looked_at} looked at)")
        lines += [f"   {visible(check.note, 400)}"] * bool(check.note)
        for failure in check.failures:
            lines.append(f"   {visible(failure.where)}: {visible(failure.what, 400)}")
            lines.append(f"     {visible(failure.meaning)}")
    if result.found.drawn:
        lines += pass_told(result.found.passes, len(result.found.drawn.segments))
    return [*lines, *(f"note: {visible(remark, 400)}" for remark in found.remarks), PREMISE]
