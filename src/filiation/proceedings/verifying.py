"""Verifying a case, offline; and acquiring its exhibits anew, where they are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from filiation.case import verification
from filiation.case.records import Verification
from filiation.examiners.examiner import Progress, silent
from filiation.proceedings.examining import judge
from filiation.proceedings.reporting import report_again


def verify_case(
    path: str | Path,
    *,
    keyid: str = "",
    authorities: Sequence[bytes] = (),
    handed_over: Sequence[bytes] = (),
    reports: bool = True,
    progress: Progress = silent,
) -> Verification:
    """The numbered checks of docs/case-file-format.md, findings judged and reports rendered again. Changes nothing.

    `keyid`: the key that the reader was told by another way; `authorities`: root certificates (PEM) that the reader trusts;
    `handed_over`: checkpoint files that somebody kept from earlier. Raises UsageError where there is no case.
    """
    return verification.verify(
        Path(path),
        judge=judge,
        keyid=keyid,
        authorities=authorities,
        handed_over=handed_over,
        report=report_again(Path(path)) if reports else None,
        progress=progress,
    )
