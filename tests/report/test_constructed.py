"""Findings by construction in the reports: premises next to the figure, the exact law drawn, what should show nothing as rows."""

from __future__ import annotations

import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.evidence import Absent, Coincidences, Companion, Inconclusive, NotExamined, Null
from filiation.examiners.marked import TRUST_PARAMETERS, lot_among, marks_of
from filiation.report import constructed_pictures, wording
from filiation.report.case_contents import case_contents
from filiation.report.case_html import render
from filiation.report.constructed import MOST_COLUMNS, Law, beside, drawn_of, in_utc, is_binomial, law, rarities
from filiation.report.contents import contents
from filiation.report.html import html, notebook_html
from filiation.report.pictures import scale
from filiation.sources.marks import NONE, open_marks
from filiation.statistics.e_values import log10_e_value
from filiation.statistics.scale import word
from tests.report import case_sample, sample, sample_constructed
from tests.report.test_terminal import printed


def plain(page: str) -> str:
    """A page as it is read: exponents spelt as in `wording`, white space collapsed."""
    spelt = re.sub(r"<sup>−?(\d+)</sup>", lambda m: f"^{m[0][5:-6].replace('−', '-')}", page)
    return " ".join(re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]*>", " ", spelt, flags=re.DOTALL).split())


def companion(value: str, note: str = "", name: str = "decoys") -> Companion:
    return Companion(null=Null.CONSTRUCTION, name=name, value=value, note=note)


# ---------------------------------------------------------------------------------------------------- reading companions


@pytest.mark.parametrize(
    ("value", "note", "figures", "told"),
    [
        ("3 of 64", "log10 p -0.143", (3, 64, -0.143), "3 of 64"),
        ("9 of 64, log10 p -0.4", "the largest of 16", (9, 64, -0.4), "9 of 64"),
        ("1,024 of 30,000 (log10 p -2)", "", (1024, 30000, -2.0), "1,024 of 30,000"),
        ("log10 p -0.6", "", (None, None, -0.6), ""),
        ("none was asked", "", (None, None, None), "none was asked"),
        ("65 of 64", "", (None, None, None), "65 of 64"),
        ("3 of 9999999999999999999", "", (None, None, None), "3 of 9999999999999999999"),
        ("5 of 10", "log10 p 4", (5, 10, 0.0), "5 of 10"),
        ("0 of 99 reach as much; p 0.0100", "", (0, 99, -2.0), "0 of 99 reach as much"),
        ("0 of 99", "p = 0.0", (0, 99, None), "0 of 99"),
    ],
)
def test_figures_are_read_from_the_text_of_a_companion_and_never_guessed(value, note, figures, told):
    read = beside(companion(value, note))
    assert (read.count, read.opportunities, read.log10_p) == figures
    assert read.told == told


@pytest.mark.parametrize("name", ["placebo keys", "further answers"])
def test_keys_and_answers_are_no_share_of_coincidences(name):
    assert beside(companion("9 of 99", name=name)).share is None
    assert beside(companion("9 of 99", name="control x")).share == pytest.approx(1 / 11)


# --------------------------------------------------------------------------------------------------------------- the law


@given(st.integers(1, 5000), st.floats(0.01, 0.9), st.floats(0, 1))
def test_the_columns_of_a_law_hold_all_of_it_and_its_tail_falls(opportunities, chance, share):
    found = of_counts(round(share * opportunities), opportunities, chance)
    assert found is not None
    assert len(found.masses) <= MOST_COLUMNS
    assert sum(found.masses) == pytest.approx(1.0, abs=1e-4)
    assert list(found.tails) == sorted(found.tails, reverse=True)
    assert found.edges[0] <= found.count < found.edges[-1]


def of_counts(count: int, opportunities: int, chance: float) -> Law | None:
    finding = sample_constructed.constructed("canaries.agreements", companions=())
    cost = finding.multiplicity.log10_cost
    e = log10_e_value(Coincidences(count=count, opportunities=opportunities, chance=chance))
    return law(
        msgspec.structs.replace(
            finding, count=count, opportunities=opportunities, chance=chance, log10_e=e - cost,
            log10_p=min(0.0, sample.upper_tail(count, opportunities, chance) + cost),
        )
    )  # fmt: skip


def test_small_laws_against_theory():
    found = of_counts(1, 2, 0.25)
    assert found.edges[:3] == (0, 1, 2)
    assert found.masses[:3] == pytest.approx((9 / 16, 6 / 16, 1 / 16), abs=1e-9)
    assert found.log10_p == pytest.approx(math.log10(7 / 16))


def test_a_law_is_drawn_only_where_the_figures_are_those_of_the_binomial():
    agreeing, ranked = sample_constructed.constructed("canaries.agreements"), sample_constructed.by_ranks()
    assert (is_binomial(agreeing), is_binomial(ranked)) == (True, False)
    assert (law(agreeing) is None, rarities(agreeing) is None) == (False, True)
    assert (law(ranked) is None, rarities(ranked) is None) == (True, False)
    assert law(msgspec.structs.replace(agreeing, log10_p=agreeing.log10_p - 1)) is None
    assert law(msgspec.structs.replace(agreeing, null=Null.MODEL)) is None
    assert law(msgspec.structs.replace(agreeing, chance=0.0, opportunities=10**12)) is None
    assert law(sample_constructed.broken()) is rarities(sample_constructed.broken()) is None


def test_a_chance_of_one_is_not_told_as_coincidences_under_another_law():
    """A sum of ranks in the middle of its law: paid for, its p is 1, as that of the binomial law would be."""
    ranked = msgspec.structs.replace(
        sample_constructed.by_ranks(), count=930, opportunities=1_900, log10_p=0.0, log10_e=-1.5
    )
    assert not is_binomial(ranked)
    told = wording.sentence(ranked)
    assert "whatever the others did" not in told
    assert "no chance below 1 is left" in told


def test_what_was_searched_moves_the_line_of_detection_because_the_law_is_drawn_unpaid():
    found = sample_constructed.constructed("canaries.agreements")
    drawn = law(found)
    assert found.multiplicity.log10_cost > 1.0
    assert drawn.detected_at == pytest.approx(found.power.threshold_log10_p - found.multiplicity.log10_cost)


def test_everybody_stands_under_the_law_and_keys_and_further_answers_do_not():
    places = [place.name for place in law(sample_constructed.constructed("canaries.agreements")).places]
    assert places == ["decoys", "unused cohorts", "control stranger-a", "control stranger-b"]


def test_the_picture_of_a_law_says_in_words_what_it_shows():
    picture = constructed_pictures.law(law(sample_constructed.constructed("canaries.agreements")), "x")
    told = re.search(r"<desc[^>]*>(.*?)</desc>", picture)[1]
    assert "4 of 64 are expected. The suspect has 41, of which the chance, nothing paid for, is 10^-32" in told
    assert "decoys: 3 of 64" in told
    assert picture.count('class="control"') == 4
    assert "nan" not in picture


@pytest.mark.parametrize(("count", "opportunities", "chance"), [(11_000, 40_000, 0.25), (0, 1, 0.5), (3, 3, 0.01)])
def test_large_and_tiny_laws_are_drawn_inside_the_picture(count, opportunities, chance):
    picture = constructed_pictures.law(of_counts(count, opportunities, chance), "x")
    places = [float(x) for x in re.findall(r'\bc?x[12]?="([\d.-]+)"', picture)]
    assert all(-1 <= place <= 401 for place in places)


@pytest.mark.parametrize("log10_p", [-7.5, -80.0, -25_000.0, -1e12, -1e300])
def test_the_rarest_figure_that_a_record_can_hold_is_drawn_with_a_handful_of_powers(log10_p):
    found = msgspec.structs.replace(sample_constructed.by_ranks(), log10_p=log10_p)
    picture = constructed_pictures.rarities(rarities(found), "x")
    assert 3 <= picture.count('class="grid"') <= 6


def test_many_controls_share_a_row():
    picture = constructed_pictures.rarities(rarities(sample_constructed.by_ranks()), "x")
    assert "20 controls" in picture
    assert picture.count('class="control"') == 21


def test_names_of_companions_are_text_in_pictures():
    hostile = companion("3 of 64", name=f"control {sample.HOSTILE}")
    finding = sample_constructed.constructed("canaries.agreements", companions=(hostile,))
    for page in (constructed_pictures.law(law(finding), "x"), html(sample_constructed.of_outcomes(finding))):
        assert "<script>" not in page
        assert "\u202e" not in page


# ------------------------------------------------------------------------------------------------------------ the words


def test_the_sentence_names_lots_premises_and_one_in_so_many():
    told = wording.sentence(sample_constructed.constructed("canaries.agreements"))
    assert told == (
        "In 64 opportunities we saw 41 coincidences. Lots that the owner drew in secret, and had committed to before, decided what "
        "counts: for whoever does not depend on them each had a chance of exactly 0.0625, whatever the others did. The chance "
        "of 41 or more is 10^-31, the search paid for: at most one in 10^31, by construction, if the premises hold."
    )
    assert "exactly 0.5" not in wording.sentence(sample_constructed.by_ranks())


@given(st.floats(min_value=-5000, max_value=-3))
def test_one_in_so_many_is_never_rarer_than_it_is(log10_p):
    assert int(wording.one_in(log10_p).rpartition("^")[2]) <= -log10_p + 1e-8


def test_a_ratio_by_construction_has_no_interval_and_speaks_of_its_premises():
    conclusion = sample_constructed.examination().conclusions[0]
    for told in (
        wording.likelihood_sentence(conclusion, "exposed"), wording.ratio_in_short(conclusion), wording.conclusion_told(conclusion),
        wording.scale_caption(conclusion),
    ):  # fmt: skip
        assert "95 %" not in told
        assert "None" not in told
    assert wording.likelihood_sentence(conclusion, "exposed").startswith(
        "If the premises hold: the outcome is 10^19 times as probable under ‘exposed’"
    )
    assert "if the premises hold" in wording.ratio_in_short(conclusion)
    assert "if the premises hold" in wording.conclusion_told(conclusion)


def test_a_silent_finding_speaks_for_neither_side():
    told = wording.reading(sample_constructed.silent())
    assert told == "That does not count as detected, and speaks for neither side."


def test_a_ratio_beyond_the_scale_stands_at_its_end():
    """10^19 lies on the open step: the dot stands inside the ladder, not at the edge of the page."""
    heights = [float(y) for y in re.findall(r'<circle[^>]*cy="([\d.]+)"', scale(19.0, None, None, 21.0, "x"))]
    assert heights == [20.0]
    assert word(19.0) in scale(19.0, None, None, 21.0, "x")


# ------------------------------------------------------------------------------------------------------- the two reports


PAGES = {
    "compare": lambda: html(sample_constructed.examination()),
    "case": lambda: render(case_sample.of_marks(), draft=False),
}


@pytest.mark.parametrize("report", PAGES)
def test_premises_stand_in_full_next_to_the_figure(report):
    page = PAGES[report]()
    blocks = re.findall(r'<div class="premises">.*?</div>', page, re.DOTALL)
    told = plain(blocks[0])
    assert "<small" not in blocks[0]
    assert wording.EXPOSURE in told
    assert wording.ABSENCE in told
    for premise in (*sample_constructed.HELD, "48 choices searched, paid for by Bonferroni over 2 suspects"):
        assert plain(str(premise))[1:].replace("'", "&#39;") in told
    before = page[: page.index('<div class="premises">')]
    assert before.rindex('class="sentence"') > before.rindex("<h")
    assert not re.search(r"\bNone\b(?! that|\.)", plain(page))


def test_a_reader_of_the_first_table_sees_what_the_figure_speaks_of():
    summary = html(sample_constructed.examination()).partition('<section class="proposition"')[0]
    assert plain(summary).count("finding of exposure, if its premises hold") == 2
    assert plain(summary).count("finding nothing detected") == 1  # few enough coincidences to be no finding of exposure
    page = plain(notebook_html(sample_constructed.examination()))
    assert (page.count("by construction: of exposure"), page.count("by construction: nothing detected")) == (2, 1)
    text = " ".join(printed(sample_constructed.examination()).split())
    assert text.count("null by construction. finding (of exposure, if its premises hold): examined") == 2
    assert text.count("null by construction. finding (nothing detected): examined") == 1


def test_premises_of_a_second_finding_that_are_the_same_are_told_once():
    page = html(sample_constructed.examination())
    assert page.count('<div class="premises">') == 2
    assert "Its premises are those of canaries.ranks, above." in page


def test_what_should_show_nothing_stands_in_rows():
    text = plain(html(sample_constructed.of_outcomes(sample_constructed.constructed("canaries.agreements"))))
    assert "decoys 3 of 64 0.72 made alike and never planted" in text
    assert "placebo keys 0 of 999 10^-3" in text
    assert "control stranger-b 2 of 64 0.92" in text
    assert "Line-up: the suspect among" not in text


def test_who_drew_the_lots_and_both_dates_stand_with_the_premises():
    bare = sample_constructed.constructed("canaries.agreements", assumptions=("the key was secret",))
    text = plain(html(sample_constructed.with_lots(bare)))
    assert (
        "Held and committed to by Our lab. The commitment was stamped by a0 on 2026-03-01 09:12:44 UTC; a1 on 2026-03-01 09:12:51 UTC. "
        "The lots were drawn with a public beacon that spoke later, on 2026-03-01 12:00:00 UTC: Drand round 4100233."
    ) in text
    # Where a premise tells both dates they are not told again.
    told = sample_constructed.with_lots(sample_constructed.constructed("canaries.agreements"))
    assert "Held and committed to" not in html(told)


@pytest.mark.parametrize(
    "content",
    [{}, {"lot": 3}, {"lot": {"stamps": 3, "beacon": "b", "beacon_time": "t"}}, {"lot": {"stamps": {}, "beacon": "b"}}],
)
def test_lots_that_are_not_told_as_they_should_be_are_left_out(content):
    assert drawn_of(content) is None


def test_a_time_that_is_none_is_printed_as_it_stands():
    assert in_utc("in spring") == "in spring"
    assert in_utc("2026-03-01T13:00:00+01:00") == "2026-03-01 12:00:00 UTC"


@pytest.mark.parametrize("told", ["2026-03-01T13:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_without_a_zone_or_beyond_the_calendar_is_printed_as_it_stands(told):
    assert in_utc(told) == told


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_keeps_its_width(width):
    lines = printed(sample_constructed.examination(), width).splitlines()
    assert max(map(len, lines)) <= width
    assert any(re.match(r"canaries.agreements +41 of 64 +0.0625 +10\^-31", line) for line in lines)


def test_digests_in_premises_are_set_as_digests():
    named = sample_constructed.constructed("canaries.agreements", assumptions=(f"the key is {'0f' * 32} <b>",))
    assert f'<li>The key is <span class="hash">{"0f" * 32}</span> &lt;b&gt;.</li>' in html(
        sample_constructed.of_outcomes(named)
    )


def test_a_broken_premise_shows_who_broke_it():
    text = plain(html(sample_constructed.examination()))
    assert "a premise is broken: control stranger-a carries the mark, too" in text
    assert "control stranger-a 31 of 64 10^-18" in text


def test_the_notebook_and_the_terminal_print_the_premises():
    shown = plain(notebook_html(sample_constructed.examination()))
    text = " ".join(printed(sample_constructed.examination()).split())
    for told in (shown, text):
        assert "The beacon, drand round 4100233 of 2026-03-01T12:00:00Z, could not be known before." in told
        assert wording.EXPOSURE in told
    assert "20 controls: smallest p 0.01" in text
    assert re.search(r"canaries.ranks +60 of 64 +by law", printed(sample_constructed.examination()))
    assert "Told from opened marks and recorded answers" in text


def test_a_case_prints_no_validation_scores_of_what_needs_none():
    case = case_contents(case_sample.of_marks())
    assert case.by_lots == ("canaries.agreements", "canaries.ranks", "private_twins.text")
    assert case.shown == ()
    text = plain(render(case_sample.of_marks(), draft=False))
    assert "No validation scores" not in text
    assert "What somebody leaves in answers or texts by such lots" in text
    assert "p 10^-21 by construction, if its premises hold" in text


def test_no_report_by_construction_says_what_may_not_be_said():
    for page in PAGES.values():
        assert not wording.forbidden_words(plain(page()))


def test_the_suspect_without_controls_is_not_told_as_what_should_show_nothing():
    """It stands in the same table and picture, and may be as rare as the finding itself."""
    for caption in (wording.BESIDE_CONSTRUCTED, wording.RARITIES_CAPTION):
        for name, told in (("without controls", True), ("control Adder", False)):
            row = beside(Companion(null=Null.CONSTRUCTION, name=name, value="150 of 200", note="log10 p -12.0"))
            assert (wording.THE_SUSPECT_AGAIN in wording.caption_beside(caption, [row])) is told


# ------------------------------------------------------------------------------------------- nothing planted, nothing drawn


def test_the_reason_of_sources_is_the_one_that_is_folded():
    assert NONE.reason.startswith(wording.NO_MARKS)


def test_the_reasons_of_marks_of_another_kind_are_those_that_are_folded(tmp_path):
    """Which file a folder holds tells what it is; what is in it is for whoever reads it."""
    for name, found in (
        ("lot.json", lambda source: marks_of(source, "canaries")),
        ("opening.json", lambda source: lot_among(source, "order", TRUST_PARAMETERS)),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(b"{}")
        lacking = found(open_marks(tmp_path / name))
        assert isinstance(lacking, Absent)
        assert lacking.reason.startswith((wording.NO_LOT, wording.NO_CANARIES))
        first, other, *_ = sample_constructed.without_marks()
        others = msgspec.structs.replace(other, reason=f"ours: {lacking.reason}")
        told = contents(sample_constructed.of_outcomes(first, others))
        assert told.no_marks.marks_opened
        assert other.examiner in told.no_marks.examiners


def test_without_marks_everything_by_construction_is_one_line():
    told = contents(sample_constructed.ordinary())
    line = wording.folded_marks(told.no_marks.examiners)
    assert line == (
        "Canaries, watermark, radioactivity, training order, private twins: not examined, because nothing that its owner planted or "
        "drew by lot is among the exhibits. How to: docs/planted-marks.md."
    )
    assert len(told.no_marks.outcomes) == 7
    assert {section.proposition.value for section in told.propositions} == {"design", "tokenizer", "weights"}
    text = " ".join(printed(sample_constructed.ordinary()).split())
    assert text.count(line) == 1
    assert "canaries.agreements" not in text
    for page in (html(sample_constructed.ordinary()), notebook_html(sample_constructed.ordinary())):
        assert "Planted marks" not in plain(page)
    assert plain(html(sample_constructed.ordinary())).count(line) == 2
    assert plain(notebook_html(sample_constructed.ordinary())).count("No likelihood ratio") == len(
        [c for c in sample.examination().conclusions if c.log10_likelihood_ratio is None]
    )


@pytest.mark.parametrize(
    ("reason", "alone"),
    [
        ("theirs: no predictions of this model while it reads were recorded", False),
        ("ours: an opened lot does not hold, and nothing may be said from it: a stamp is of another", True),
        ("ours: 2 canaries are opened together: give one at a time, so that what was searched is counted", True),
    ],
)
def test_what_else_was_lacking_is_told_only_where_there_were_marks(reason, alone):
    first, other, *_ = sample_constructed.without_marks()
    other = msgspec.structs.replace(other, reason=reason)
    told = contents(sample_constructed.of_outcomes(first, other))
    assert [other] * alone == [section.outcome for part in told.propositions for section in part.outcomes]
    assert told.no_marks.marks_opened is alone
    assert bool(told.conclusions) is alone


def test_one_test_without_marks_is_folded_too_and_a_failed_check_is_not():
    (first, *_) = sample_constructed.without_marks()
    failed = msgspec.structs.replace(
        first, id="other", reason="ours: an opened lot does not hold: a time-stamp is of another"
    )
    told = contents(sample_constructed.of_outcomes(first, failed))
    assert [fold.outcomes for fold in told.folded] == [(first,)]
    assert [section.outcome for part in told.propositions for section in part.outcomes] == [failed]
    assert "nothing of the kind that they read is among the opened marks" in html(
        sample_constructed.of_outcomes(first, failed)
    )
    assert isinstance(failed, NotExamined)
    assert not isinstance(sample_constructed.broken(), NotExamined)
    assert isinstance(sample_constructed.broken(), Inconclusive)
