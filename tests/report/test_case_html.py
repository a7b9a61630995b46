"""The page of a case: everything told, nothing loaded, hostile texts harmless, drafts marked on every section, pictures inside
their frames."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import msgspec
import pytest

from filiation.case.records import Declarations, Noted, Observed, Sealed
from filiation.case.view import AnswersSideBySide
from filiation.errors import UsageError
from filiation.evidence import Finding, Null, digest
from filiation.report import case_pictures, wording
from filiation.report.case_contents import FoilCount, Strip, StripRow, digests_named
from filiation.report.case_html import marked, paragraphs, render
from filiation.report.html import typographic
from tests.report import case_sample, sample
from tests.report.test_html import Page

pytestmark = pytest.mark.xdist_group("case reports")  # what is made for all of them is made once

KINDS = ("whole", "closed", "draft", "not revealed", "nothing done", "hostile", "answers")


def rendered(found, kind: str) -> str:
    match kind:
        case "whole":
            return render(case_sample.view(found), draft=False)
        case "closed":
            return render(case_sample.view(found, closed=True), draft=False)
        case "draft":
            return render(case_sample.view(found, declarations=Declarations()), draft=True)
        case "not revealed":
            return render(case_sample.view(found, revealed=False), draft=True)
        case "nothing done":
            return render(case_sample.without_line_up(found), draft=True)
        case "answers":
            return render(case_sample.of_answers(), draft=False)
        case _:
            return render(hostile(found), draft=False)


def hostile(found):
    """A case in which everybody's texts attack the page."""
    names = {case_sample.SUSPECT: sample.HOSTILE, "base-c": "y" * 300 + sample.HOSTILE}
    said = msgspec.structs.replace(case_sample.FULL, limits=sample.HOSTILE, expert=sample.HOSTILE)
    view = case_sample.view(found, title=sample.HOSTILE, names=names, declarations=said)
    entries = tuple(
        msgspec.structs.replace(entry, actor=sample.HOSTILE, body=Noted(text=sample.HOSTILE)) if n > 20 else entry
        for n, entry in enumerate(view.entries)
    )
    answers = (
        AnswersSideBySide(prompt=sample.HOSTILE, reference=sample.HOSTILE, suspect=sample.HOSTILE, shared=("alert",)),
    )
    return replace(view, entries=entries, answers=answers)


@pytest.fixture(scope="module")
def pages(found) -> dict[str, str]:
    return {kind: rendered(found, kind) for kind in KINDS}


@pytest.fixture(scope="module", params=KINDS)
def page(request, pages) -> Page:
    return Page(pages[request.param])


@pytest.fixture(scope="module")
def whole(pages) -> str:
    return pages["whole"]


@pytest.fixture(scope="module")
def text(whole) -> str:
    return re.sub(r"\s+", " ", Page(whole).text)


def plain(sentence: str) -> str:
    return re.sub(r"</?sup>", "", str(typographic(sentence))).replace("&#39;", "'").replace("&#34;", '"')


def test_elements_are_balanced(page):
    assert page.unbalanced == []
    assert page.open == []


def test_nothing_is_loaded_and_nothing_is_executed(page):
    names = {tag for tag, _ in page.elements}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "video", "audio", "image", "use", "base"}
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")]
        assert attributes.get("href", "#").startswith("#")
    policies = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_ids_are_unique_and_pictures_are_described(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in (attributes for tag, attributes in page.elements if tag == "svg"):
        assert set(attributes["aria-labelledby"].split()) <= set(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_style_loads_nothing(pages, kind):
    style = re.search(r"<style>(.*?)</style>", pages[kind], re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_is_well_formed_on_its_own(pages, kind):
    drawings = re.findall(r"<svg.*?</svg>", pages[kind], re.DOTALL)
    assert drawings
    for drawing in drawings:
        assert ElementTree.fromstring(drawing).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("kind", KINDS)
def test_no_coordinate_leaves_its_picture(pages, kind):
    page = pages[kind]
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert "nan" not in drawing.lower().split('"')
        height = float(re.search(r'viewBox="0 0 400 ([\d.]+)"', drawing)[1])
        for axis, most in (("x", 400.0), ("y", height)):
            places = re.findall(rf' (?:{axis}|c{axis}|{axis}1|{axis}2)="(-?[\d.]+)"', drawing)
            assert all(0 <= float(place) <= most + 0.01 for place in places)


def test_every_figure_of_every_finding_is_told_with_its_digests(found, text):
    view = case_sample.view(found)
    for model in (model for model in view.examined if not model.exploratory):
        for finding in (outcome for outcome in model.examination.outcomes if isinstance(outcome, Finding)):
            assert plain(wording.sentence(finding)) in text or model.role == "foil"
            assert f"{finding.count:,} of {finding.opportunities:,}" in text
            assert digest(finding) in text
            assert finding.calibration_digest in text
            assert f"{finding.log10_p}, {finding.log10_e}" in text
            assert all(observation in text for observation in finding.observations)
        assert model.examination.digest in text


def test_the_result_of_every_statement_stands_first(found, whole):
    """Before who made the case and when: counts with their denominator, foils, ratio with interval and cap, word."""
    examination = found[case_sample.SUSPECT]
    outcomes = {outcome.id: outcome for outcome in examination.outcomes}
    first = plain_text(whole[: whole.index("Made for")])
    for conclusion in (conclusion for conclusion in examination.conclusions if conclusion.merged_ids):
        finding = outcomes[conclusion.merged_ids[-1]]
        row = f"{finding.test} {wording.seen(finding)} "
        told = f"of 3 {wording.ratio_in_short(conclusion)} {conclusion.word}"
        assert plain(row).replace("\u00a0", " ") in first.replace("\u00a0", " ")
        assert plain(told) in first
    assert (
        "Foil same-order shares the innocent explanation that the plan names: it counts as found on 1 of 5 tests"
        in first
    )
    assert wording.NO_STATEMENT in first
    assert wording.NOT_THE_POSTERIOR in first


def plain_text(page: str) -> str:
    return re.sub(r"\s+", " ", Page(page).text)


def test_it_is_told_where_nobody_of_the_line_up_shares_the_innocent_explanation(found):
    view = case_sample.view(found)
    name, plan = next(reversed(view.plans.items()))
    line_up = msgspec.structs.replace(plan.line_up, shares_explanation=("base-other-shape",))
    plans = {**view.plans, name: msgspec.structs.replace(plan, line_up=line_up)}
    told = plain_text(render(replace(view, plans=plans), draft=False))
    assert wording.NOBODY_SHARES in told
    assert "base-other-shape of the pool shares it, too, and was not examined." in told


@pytest.mark.parametrize("kind", KINDS)
def test_every_link_leads_somewhere_on_the_page(pages, kind):
    page = Page(pages[kind])
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert len(links) > 10
    assert {link.removeprefix("#") for link in links} <= ids
    sections = {attributes["id"] for tag, attributes in page.elements if tag == "section" and "id" in attributes}
    assert sections - {"result"} <= {link.removeprefix("#") for link in links}


def test_errors_of_the_tests_of_one_proposition_stand_side_by_side_with_their_limits(whole, text):
    tables = re.findall(r'<table class="parts stacking errors">.*?</table>', whole, re.DOTALL)
    assert len(tables) == 2  # design, and weights
    assert max(tables, key=len).count('<span class="test">weights.') == 4
    start = text.index(wording.ERRORS_TOLD)
    assert re.search(r" fine-tune(\d+ of \d+ limit 0\.\d\d){4} ", text[start:])


def test_why_a_planned_test_has_no_finding_is_told_once_for_all_models(pages):
    text = plain_text(pages["answers"])
    plan = text[text.index("Every test that the plan names") : text.index("Plans and amendments")]
    assert plan.count("inconclusive, note 1") >= 2
    reasons = re.findall(r"Note \d+: (.*?)(?= Note|$)", plan)
    assert len(reasons) == len(set(reasons)) >= 1


def test_a_digest_that_an_earlier_entry_named_is_pointed_at(found):
    view = case_sample.view(found)
    seal = next(entry for entry in view.entries if isinstance(entry.body, Sealed))
    told = digests_named(view.entries)
    named = [value for digests in told for _, value, before in digests if not before]
    assert len(named) == len(set(named))
    everything = {
        value for entry in view.entries for value in msgspec.to_builtins(entry.body).values() if _is_digest(value)
    }
    assert set(named) == everything
    plans = [(n, value) for n, digests in enumerate(told, 1) for field, value, _ in digests if field == "plan"]
    assert (seal.sequence, seal.body.plan) in plans
    first = next(entry for entry in view.entries if isinstance(entry.body, Observed))
    assert all(field != "plan" for field, _, _ in told[first.sequence - 1])


def _is_digest(value) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def test_no_mark_of_a_strip_touches_its_text(pages):
    """Letters of 12 units reach 3 below their line: rings and dots of the row above and of their own stay clear of them."""
    strips = [drawing for kind in ("whole", "answers") for drawing in re.findall(r"<svg.*?</svg>", pages[kind], re.DOTALL)
              if "Line-up strip" in drawing]  # fmt: skip
    assert len(strips) >= 5
    for drawing in strips:
        lines = [float(y) for y in re.findall(r'<text x="14" y="([\d.]+)" class="label', drawing)]
        dots = [(float(y), float(r)) for y, r in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)" r="([\d.]+)"', drawing)]
        assert lines
        assert dots
        assert not [(y, dot) for y in lines for dot in dots if dot[0] - dot[1] < y + 2.5 and dot[0] + dot[1] > y - 9.5]


def test_many_controls_share_a_row_of_the_strip():
    rows = (
        StripRow("a", "suspect", "", 5, 10),
        *(StripRow(f"control {n}", "control", "", n % 4, 10) for n in range(30)),
    )
    few = replace(STRIP, rows=rows[: 1 + case_pictures.MOST_CONTROLS])
    drawn = case_pictures.strip(replace(STRIP, rows=rows), "s")
    assert case_pictures.strip(few, "s").count('class="rail"') == 1 + case_pictures.MOST_CONTROLS
    assert drawn.count('class="rail"') == 2
    assert ">30 controls<" in drawn
    assert drawn.count('class="left-out"') == 30


STRIP = Strip(
    test="t", null=Null.MODEL, chance=0.1, threshold_log10_p=-3.0, resolution_log10_p=-9.0, rows=(),
    count=FoilCount(0, 0, 0, 0, 1.0, 0, ()), of_class=False, of_service=False, ranking=None,
)  # fmt: skip


def test_paragraphs_are_parted_by_empty_lines_and_not_by_ends_of_lines():
    assert paragraphs("one\ntwo\n\n \nthree\r\n\r\nfour\n") == ("one\ntwo", "three", "four")
    assert paragraphs(" \n ") == ()


def test_the_front_page_has_both_propositions_the_ratio_its_interval_its_cap_and_the_scale(found, whole, text):
    examination = found[case_sample.SUSPECT]
    front = whole[: whole.index('<section id="line-up">')]
    for conclusion in examination.conclusions:
        assert plain(wording.likelihood_sentence(conclusion, _relation(examination, conclusion))) in text
        assert wording.cap(conclusion) in front
        for explanation in (*conclusion.explanations_tested, *conclusion.explanations_untested):
            assert str(typographic(wording.ended(explanation))).replace("&#39;", "'") in front.replace("&#39;", "'")
    assert front.count("The case on the printed scale") == len(examination.conclusions)
    assert wording.NOT_THE_POSTERIOR in front
    assert "extremely strong support for independence" in front


def _relation(examination, conclusion):
    return next(o.relation_class for o in examination.outcomes if o.id == conclusion.merged_ids[-1])


def test_foil_hits_stand_with_denominator_and_limit(text):
    assert (
        "3 of 3 foils count as found, 3 of 3 lineages; 95 % upper limit on the share of lineages that would: 1." in text
    )
    assert (
        "0 of 3 foils count as found, 0 of 3 lineages; 95 % upper limit on the share of lineages that would: 0.64."
        in text
    )
    assert "shares the innocent explanation" in text
    assert "a public beacon (drand)" in text


def test_a_line_up_by_rank_is_drawn_by_chance_and_by_score(pages):
    text = re.sub(r"\s+", " ", Page(pages["answers"]).text)
    assert "1 of 3 foils counts as found" in text
    assert "counts as found: 0.05" in text
    assert "the suspect's own place. 0 of 70 control lineages score at least as high as the suspect." in text
    assert "Examined, and nothing may be said" in text


def test_finding_foils_is_no_false_positive_where_the_question_is_whether_a_service_is_another(pages):
    line_up = re.search(r'<section id="line-up">.*?</section>', pages["answers"], re.DOTALL)[0]
    table = re.search(r"<table.*?</table>", line_up, re.DOTALL)[0]
    assert wording.SERVICE_FOILS in line_up
    assert "service.answers" not in table
    assert "text_kinship.rare-phrases" in table


def test_a_long_line_up_is_told_one_below_the_other(found):
    view = case_sample.view(found)
    foil = next(model for model in view.examined if model.role == "foil" and not model.exploratory)
    more = tuple(replace(foil, subject=f"K{n}", exhibit=f"another {n}") for n in range(8))
    page = render(replace(view, examined=(*view.examined, *more)), draft=False)
    assert '<table class="parts matrix">' not in page
    plan = page[page.index('<section id="plan">') : page.index('<section id="custody">')]
    assert plan.count('scope="rowgroup"') == 6
    assert Page(page).unbalanced == []
    assert "11 foils count as found" in re.sub(r"\s+", " ", page)


def test_rules_of_the_plan_are_told(text):
    assert "everything that was planned is asked; 1 answer to each" in text
    assert "the pool was widened" in text
    assert "2 checkpoints, 1 with a time-stamp" in text


def test_a_seed_of_the_claimant_is_called_one(found):
    announced = case_sample.Announcement(basis="claimant", seed="0f" * 32)
    told = render(case_sample.view(found, planned=case_sample.plan(announcement=announced)), draft=False)
    assert "the claimant&#39;s own choice: no beacon was announced" in told.replace("claimant's", "claimant&#39;s")


def test_custody_is_told_with_its_limits(found, text):
    view = case_sample.view(found)
    for sentence in (wording.UNRECORDED_LOOKS, wording.CUT_BACK, wording.CLOCKS):
        assert sentence in text
    assert "Local Authority at 2026-01-05T11:00:02Z" in text
    assert "no time-stamp: the authority could not be reached" in text
    for sheet in view.manifests.values():
        assert all(file.sha256 in text for file in sheet.files)
    for entry in view.entries:
        assert plain(wording.entry_told(entry)) in text


def test_verification_tells_what_failed_and_what_was_not_looked_at(text):
    assert "1 of 3 checks did not hold, with 1 failure." in text
    assert "its time rests on the writer's clock alone" in text.lower()
    assert "nothing was there to be looked at" in text


def test_required_fields_stand_in_the_report(text):
    for field in case_sample.FULL.__struct_fields__:
        assert getattr(case_sample.FULL, field) in text
        assert wording.DECLARATION_TITLES[field] in text


def test_a_report_is_not_built_while_a_field_is_blank(found):
    with pytest.raises(UsageError, match="expert, qualifications"):
        render(case_sample.view(found, declarations=Declarations()), draft=False)


@pytest.mark.parametrize("kind", ["draft", "not revealed", "nothing done"])
def test_a_draft_is_marked_on_every_section(pages, kind):
    page = pages[kind]
    sections = re.findall(r'<section id="[^"]*">\s*(.{60})', page)
    assert len(sections) >= 8
    assert all(section.startswith('<p class="draft-mark">Draft.') for section in sections)
    assert '<body class="draft">' in page
    assert "<title>Draft: " in page


def test_what_is_no_draft_bears_no_mark(whole):
    assert '<p class="draft-mark">' not in whole
    assert '<body class="draft">' not in whole


def test_blank_fields_of_a_draft_are_shown_as_blank(pages):
    assert pages["draft"].count(wording.BLANK) == 11


def test_hostile_texts_are_shown_as_text(pages):
    page = pages["hostile"]
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "{{7*7}}" in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("kind", KINDS)
def test_no_page_says_what_may_not_be_said(pages, kind):
    page = pages[kind]
    assert not wording.forbidden_words(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL))


def test_shared_passages_are_marked_in_both_whatever_their_case_and_punctuation():
    shared = ("Its lamp turns, all night",)
    assert marked("Its lamp turns, all night!", shared) == "<mark>Its lamp turns, all night</mark>!"
    assert (
        marked("see: its LAMP turns all\nnight <b>", shared) == "see: <mark>its LAMP turns all\nnight</mark> &lt;b&gt;"
    )
    assert marked("nothing", ("", "…", "other")) == "nothing"
    assert marked("a b c d", ("a b", "b c", "c d")) == "<mark>a b c d</mark>"


def test_rendering_twice_gives_the_same_bytes(found, whole):
    assert rendered(found, "whole") == whole


def test_a_large_line_up_stays_a_page_of_moderate_size(whole):
    assert len(whole) < 250_000


def test_a_ledger_that_says_too_much_does_not_block_the_report(found):
    view = case_sample.view(found)
    entries = (*view.entries[:-1], msgspec.structs.replace(view.entries[-1], body=Noted(text="It is a perfect match.")))
    page = render(replace(view, entries=entries), draft=False)
    assert "perfect match" not in page
    assert f"it stands in the ledger at entry {len(entries)}" in page


def test_tables_that_grow_with_a_case_stack_on_a_telephone(pages) -> None:
    """A row for each test and a column for each model, digests of files: beside one another they would scroll sideways."""
    seen = set()
    for page in pages.values():
        for kinds, body in re.findall(r'<table class="([^"]*)">(.*?)</table>', page, re.DOTALL):
            grows = {"errors", "matrix", "digests"} & set(kinds.split())
            if not grows or "names" in re.sub(r"<tbody.*", "", body, flags=re.DOTALL):  # the ledger in full wraps
                continue
            seen |= grows
            assert "stacking" in kinds.split()
            rows = re.findall(r"<tr>(.*?)</tr>", body.partition("<tbody>")[2], re.DOTALL)
            assert rows
            assert all(len(re.findall(r"<td", row)) == row.count('data-label="') for row in rows)
    assert seen == {"errors", "matrix", "digests"}
