"""`filiation judge`: the outcomes of a stored record, computed again from its relations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from filiation.cli import files
from filiation.errors import RecordError
from filiation.evidence import Examination, canonical


def judge(
    record: Annotated[Path, typer.Argument(help="The record that --json wrote.", metavar="RECORD.json")],
) -> None:
    """Judge a stored record again, offline and without the models, and say whether the bytes are identical.

    Exit code 0 when they are, 4 when they are not.

    Example: filiation judge record.json
    """
    stored = files.read_record(record)

    again = judged_again(stored, str(record))
    if again.digest != stored.digest:
        changed = ", ".join(differences(stored, again)) or "the order of the outcomes"
        raise RecordError(
            f"judged again, the record reads {again.digest}, not {stored.digest}; different: {changed}",
            exhibit=str(record),
            advice=f"it was made by {stored.software.name} {stored.software.version}: use that version and its register "
            "of nulls, or take the record for altered",
        )
    typer.echo(f"identical: {len(stored.outcomes)} outcomes judged again, record {stored.digest}")


def judged_again(stored: Examination, name: str) -> Examination:
    """The record judged again. Raises RecordError where its relations are not what the examiners recorded."""
    from filiation.investigation import foreign_records, judge_again

    with foreign_records(name, stored.software):
        return judge_again(stored)


def differences(stored: Examination, again: Examination) -> list[str]:
    """Which outcomes and conclusions differ: the test, or the proposition with its kind of null."""
    found = [
        outcome.test for outcome in stored.outcomes if canonical(outcome) not in {canonical(o) for o in again.outcomes}
    ]
    found += [
        f"missing in the record: {outcome.test}"
        for outcome in again.outcomes
        if outcome.id not in {o.id for o in stored.outcomes}
    ]
    found += [
        f"conclusion on {conclusion.proposition} by {conclusion.null}"
        for conclusion in stored.conclusions
        if canonical(conclusion) not in {canonical(c) for c in again.conclusions}
    ]
    return list(dict.fromkeys(found))
