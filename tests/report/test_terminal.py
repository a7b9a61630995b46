"""The report in a terminal: figures unbroken at 80 columns, hostile names without effect."""

from __future__ import annotations

import io
import re

import msgspec
import pytest
from rich.console import Console

from filiation.evidence import Finding
from filiation.report import wording
from filiation.report.html import html
from filiation.report.terminal import print_report
from tests.report import sample, sample_constructed


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


def test_a_large_line_up_does_not_flood_the_terminal():
    """Of 142 models the first ten places and the suspect's; the first three where no chance is given."""
    lines = printed(sample.recorded_answers(score=0.5)).splitlines()
    assert len(lines) < 110
    text = "\n".join(lines)
    assert text.count("(the suspect)") == 2
    assert 13 <= sum(bool(re.match(r"\s+\d+\.\s", line)) for line in lines) <= 15
    flat = " ".join(text.split())
    assert "not ranked" in flat
    assert sample.PACK in flat
    assert "Labs held out: p <= 0.05: 0.0" in flat


def test_an_inconclusive_line_up_shows_its_statistic():
    text = " ".join(printed(sample.recorded_answers()).split())
    assert "inconclusive: not validated" in text
    assert "0 of 70 control lineages score at least as high as the suspect" in text


def test_outcomes_stand_below_their_proposition():
    lines = printed(sample.recorded_answers()).splitlines()
    places = [lines.index(title) for title in ("Outputs", "Guardrails", "Service")]
    tests = [
        next(at for at, line in enumerate(lines) if line.startswith(test))
        for test in (sample.KINSHIP.id, sample.REFUSING.id, "service.answers")
    ]
    assert sorted([*places, *tests]) == [at for pair in zip(places, tests, strict=True) for at in pair]


@pytest.mark.parametrize("width", [80, 120])
def test_tests_of_one_reason_are_told_in_one_line(width):
    lines = printed(sample.of_packs(), width).splitlines()
    assert max(len(line) for line in lines) <= width
    text = " ".join(" ".join(lines).split())
    assert "Not examined: 11 tests, for 2 reasons that several share" in text
    assert "architecture.design-rarity, tokenizer (4 tests), weights (3 tests): the reference: a control pack" in text
    assert "without the model's configuration, tokenizer or weights." in text
    assert text.count("not the answers themselves") == 1
    assert "not examined: no teacher was named" in text


def test_controls_of_packs_stand_in_the_heading():
    text = " ".join(printed(sample.of_packs()).split())
    assert f"Told from figures of recorded answers, with 104 controls from the control pack {sample.PACK}." in text
    given = " ".join(printed(sample.recorded_answers()).split())
    assert f"Told from recorded answers, with 37 controls, and 104 from the control pack {sample.PACK}." in given


def test_of_marks_alone_exposure_is_asked_and_not_what_was_taken():
    record = sample_constructed.examination()
    marks = msgspec.structs.replace(record.reference, format="marks")
    for told in (
        printed(msgspec.structs.replace(record, reference=marks)),
        html(msgspec.structs.replace(record, reference=marks)),
    ):
        flat = " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", "", told, flags=re.DOTALL).split())
        assert (
            f"Was {record.suspect.name} exposed to what was planted or drawn by lot, and opened as {marks.name}?"
            in flat
        )
        assert "taken from" not in flat.partition("?")[0]


def test_where_nothing_could_be_examined_there_is_no_table():
    text = " ".join(printed(sample.files_and_answers()).split())
    assert "k of n" not in text
    assert "Not examined: 12 tests, for one reason that they share" in text
    assert "with no control given" in text


def test_a_line_up_without_content_says_so():
    text = " ".join(printed(sample.nothing_shared()).split())
    assert "No control and not the suspect shares a passage with the reference" in text
    assert "Line-up of" not in text
