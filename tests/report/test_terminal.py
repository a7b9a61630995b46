"""The report in a terminal: figures unbroken at 80 columns, hostile names without effect."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from filiation.evidence import Finding
from filiation.report import wording
from filiation.report.terminal import print_report
from tests.report import sample


def printed(examination, width: int = 80, *, terminal: bool = False) -> str:
    stream = io.StringIO()
    print_report(examination, Console(file=stream, width=width, force_terminal=terminal), html_at="report.html")
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_every_outcome_has_its_figures_on_one_line(width):
    examination = sample.examination()
    lines = printed(examination, width).splitlines()
    assert max(len(line) for line in lines) <= width
    for outcome in examination.outcomes:
        line = next(line for line in lines if line.startswith(outcome.test))
        if isinstance(outcome, Finding):
            assert f"{outcome.count:,} of {outcome.opportunities:,}" in line
            assert wording.probability(outcome.log10_p) in line


def test_it_says_where_the_report_is_and_what_it_is_not():
    text = " ".join(printed(sample.examination()).split())
    assert "report.html" in text
    assert wording.NOT_THE_POSTERIOR in text
    assert "Tolerance not validated on real strangers." in text


def test_hostile_names_are_printed_as_text():
    text = printed(sample.hostile())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]" in text.replace("\n", "")
    assert "\x1b[31m\ufffd" not in printed(sample.hostile(), terminal=True)


def test_nothing_examined_is_told_with_its_reason():
    text = printed(sample.bare())
    assert "not examined: the suspect's tokenizer is a byte-pair encoding" in " ".join(text.split())
