"""A report of a case on paper: the same contents as the page, the same bytes everywhere, and nothing hostile gets through.

The case is `case_sample`'s, with made-up comparisons in the place of those that need the zoo.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import escape

from filiation.case.records import Declarations
from filiation.case.view import AnswersSideBySide, CaseView
from filiation.errors import MissingExtra, UsageError
from filiation.report import case_html, case_pdf
from filiation.report.page_tree import LACKING, PRINTED, page_tree, printable, told
from tests.report import case_sample, sample

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "cases"

pytestmark = pytest.mark.xdist_group("case reports")  # what is made for all of them is made once

MADE = datetime(2026, 3, 1, 12, tzinfo=UTC)
ATTACKS = (
    '#panic("x")', '#read("/etc/passwd")', "= heading *bold* $x^2$ @label <label>", '#image("x.svg")', "]]] #let x = 1",
    "\\u{41} // no comment", "`raw`", '"quoted"', sample.HOSTILE, "x" * 3000,
)  # fmt: skip


@cache
def case(**changes: Any) -> CaseView:
    names = (case_sample.SUSPECT, *case_sample.POOL[:4])
    found = {name: sample.examination(name == case_sample.SUSPECT, suspect=name) for name in names}
    return case_sample.view(found, **changes)


@cache
def page() -> str:
    return case_html.render(case(), draft=False)


@cache
def paper() -> bytes:
    return case_pdf.render(case(), draft=False, made=MADE)


class Words(HTMLParser):
    """What a reader of the page sees, outside pictures, without white space."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen = ""
        self.unseen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if self.unseen or tag in ("head", "svg"):
            self.unseen += [] if tag in ("meta", "br") else [tag]

    def handle_endtag(self, tag):
        if self.unseen:
            self.unseen.pop()

    def handle_data(self, data):
        if not self.unseen:
            self.seen += "".join(data.split())


def nodes(kids: list) -> list[dict]:
    """Every element of a tree, tables and lists of facts included."""
    found = []
    for kid in kids:
        if isinstance(kid, dict):
            rows = [*kid.get("head", []), *kid.get("body", [])] if kid["tag"] == "table" else []
            inner = [cell for row in rows for cell in row for cell in cell["kids"]] + list(kid.get("caption", []))
            inner += [one for pair in kid.get("pairs", []) for one in (*pair["term"], *pair["told"])]
            found += [kid, *nodes(kid.get("kids", []) + inner)]
    return found


def words(kids: list) -> str:
    """All text of a tree in the order of the page, without white space."""
    text = ""
    for kid in kids:
        if isinstance(kid, str):
            text += kid
        elif kid["tag"] == "table":
            text += words(kid["caption"]) + "".join(
                words(c["kids"]) for row in (*kid["head"], *kid["body"]) for c in row
            )
        elif kid["tag"] == "facts":
            text += "".join(words(pair["term"]) + words(pair["told"]) for pair in kid["pairs"])
        else:
            text += "".join(kid.get("pieces", [])) + words(kid.get("kids", []))
    return "".join(text.split())


# ------------------------------------------------------------------------------------------------------- the same contents


@pytest.mark.parametrize("draft", [False, True])
def test_every_word_of_the_page_goes_on_paper(draft):
    shown = case_html.render(case(), draft=draft)
    assert words(page_tree(shown).kids) == printable(Words(shown).seen)[0]
    assert len(words(page_tree(shown).kids)) > 10_000


def test_a_title_is_told_as_it_was_written() -> None:
    tree = page_tree("<html><head><title>Alder&#39;s &lt;answers&gt; &amp; Birch</title></head><body></body></html>")
    assert tree.title == "Alder's <answers> & Birch"


def test_a_case_by_construction_goes_on_paper_with_its_premises_and_laws():
    shown = case_html.render(case_sample.of_marks(), draft=True)
    tree = page_tree(shown)
    assert words(tree.kids) == printable(Words(shown).seen)[0]
    told_of = [node["told"] for node in nodes(tree.kids) if node["tag"] == "svg"]
    assert "The exact law by construction, with what was seen" in told_of
    assert "How rare what was seen is, by construction" in told_of
    assert len([node for node in nodes(tree.kids) if "premises" in node.get("class", ())]) == 2
    assert case_pdf.render(case_sample.of_marks(), draft=True, made=MADE).startswith(b"%PDF-1.7")


def test_every_picture_of_the_page_goes_on_paper_in_the_colours_of_print():
    pictures = [node for node in nodes(page_tree(page()).kids) if node["tag"] == "svg"]
    assert len(pictures) == page().count("<svg") > 5
    for picture in pictures:
        assert picture["told"]
        assert "var(" not in picture["svg"]
        assert "#a8480f" in picture["svg"]  # the suspect's colour as print has it
        assert picture["svg"].startswith('<svg class="picture"')


def test_rows_of_tables_fit_their_columns():
    tables = [node for node in nodes(page_tree(page()).kids) if node["tag"] == "table"]
    assert len(tables) == page().count("<table")
    for table in tables:
        for row in (*table["head"], *table["body"]):
            assert sum(cell["span"] for cell in row) == len(table["widths"])


def test_links_lead_to_places_on_paper_and_dead_ones_are_text():
    links = [node for node in nodes(page_tree(page()).kids) if "to" in node]
    places = {node.get("id") for node in nodes(page_tree(page()).kids)}
    assert len(links) > 10
    assert {link["to"] for link in links} <= places
    assert len(re.findall(rb"/Subtype ?/Link", paper())) >= len(links)
    dead = '<a href="#nowhere">there</a> <a href="https://example.org">out</a><section id="here"><a href="#here">here</a></section>'
    assert [node["to"] for node in nodes(page_tree(f"<p>{dead}</p>").kids) if "to" in node] == ["here"]


@pytest.mark.parametrize(
    ("cells", "shares"),
    [
        (("name", "12", "a short text"), [0, 0, 0]),
        (("name", "12", "text " * 60), [0, 0, 102]),
        (("x" * 20, "text " * 40, "text " * 50), [0, 44, 44]),
        (("weights.double-matching-pair", "text " * 40, "text " * 50), [0, 40, 40]),
    ],
)
def test_columns_share_a_line(cells, shares):
    row = "".join(f"<td>{cell.strip()}</td>" for cell in cells)
    (table,) = [
        node
        for node in nodes(page_tree(f"<table><tbody><tr>{row}</tr></tbody></table>").kids)
        if node["tag"] == "table"
    ]
    assert table["widths"] == shares


def test_a_paper_of_a_small_case_is_small():
    """What makes a PDF large is a tag for every cell of long lists, and letters with an outline of their own."""
    assert len(paper()) < 600_000
    assert paper().count(b"/StructElem") < 3_000


def test_lines_of_answers_are_kept():
    prompt = "first line\nsecond line"
    view = replace(case(), answers=(AnswersSideBySide(prompt=prompt, reference="a\n\nb", suspect="c", shared=()),))
    tree = page_tree(case_html.render(view, draft=False))
    shown = next(node for node in nodes(tree.kids) if "prompt" in node.get("class", []))
    assert [kid if isinstance(kid, str) else kid["tag"] for kid in shown["kids"]] == ["first line", "br", "second line"]


# ---------------------------------------------------------------------------------------------------------- the same bytes


def test_it_is_an_archival_pdf_of_several_pages():
    assert paper().startswith(b"%PDF-1.7")
    assert re.search(rb"pdfaid:part>2<", paper())
    assert re.search(rb"pdfaid:conformance>B<", paper())
    assert len(re.findall(rb"/Type ?/Page(?![a-z])", paper())) > 10


def test_a_pdf_tells_which_layouter_made_it():
    """Another version lays out otherwise: whoever makes a report again has to know."""
    assert case_pdf.laid_out_by(paper()) == case_pdf.layouter()
    assert case_pdf.layouter().startswith("Typst ")
    assert case_pdf.laid_out_by(b"%PDF-1.7") == ""


def test_pages_can_be_looked_at():
    drawn = case_pdf.pictures_of_pages(page(), case="c0" * 16, head="ab" * 32, draft=False, made=MADE, ppi=20)
    assert len(drawn) == len(re.findall(rb"/Type ?/Page(?![a-z])", paper()))
    assert all(picture.startswith(b"\x89PNG") for picture in drawn)


ELSEWHERE = """
import hashlib, pickle, sys
from datetime import datetime
from filiation.report import case_pdf
view, made = pickle.load(sys.stdin.buffer)
print(hashlib.sha256(case_pdf.render(view, draft=False, made=made)).hexdigest())
"""


def test_another_process_time_zone_locale_and_folder_give_the_same_bytes(tmp_path):
    there = dict(os.environ, TZ="Pacific/Auckland", LC_ALL="C", PYTHONHASHSEED="7", HOME=str(tmp_path))
    given = pickle.dumps((case(), MADE))
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], cwd=tmp_path, env=there, input=given, capture_output=True, check=True
    )
    assert run.stdout.decode().strip() == hashlib.sha256(paper()).hexdigest()


def test_only_the_moment_counts_not_the_zone_it_is_told_in():
    elsewhere = MADE.astimezone(timezone(timedelta(hours=9)))
    assert case_pdf.render(case(), draft=False, made=elsewhere) == paper()
    assert case_pdf.render(case(), draft=False, made=MADE + timedelta(days=1)) != paper()


# ----------------------------------------------------------------------------------------------------------------- drafts


def test_a_draft_is_another_document():
    assert case_pdf.render(case(), draft=True, made=MADE) != paper()


def test_no_report_while_a_required_declaration_is_blank():
    blank = replace(case(), declarations=Declarations())
    with pytest.raises(UsageError, match="blank"):
        case_pdf.render(blank, draft=False, made=MADE)
    assert case_pdf.render(blank, draft=True, made=MADE).startswith(b"%PDF")


# ----------------------------------------------------------------------------------------------------------------- hostile


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_names_are_text(attack):
    names = {case_sample.SUSPECT: attack, "base-c": attack + "2"}
    shown = case_html.render(case_sample.view(found(), names=names), draft=True)
    assert words(page_tree(shown).kids) == printable(Words(shown).seen)[0]
    assert case_pdf.pdf(shown, case="c0" * 16, head="ab" * 32, draft=True, made=MADE).startswith(b"%PDF")


def found():
    return {
        name: sample.examination(name == case_sample.SUSPECT, suspect=name)
        for name in (case_sample.SUSPECT, *case_sample.POOL[:4])
    }


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.text(st.characters(max_codepoint=0x2FFF), max_size=200))
def test_any_text_can_be_laid_out(anything, nearer):
    """Some characters make the layouter stop, and an archival PDF may hold no character without a glyph."""
    shown = f"<title>{escape(nearer)}</title><main><h2>{escape(anything)}</h2><p>{escape(nearer)}</p><pre>{escape(anything)}</pre></main>"
    assert case_pdf.pdf(shown, case="c0" * 16, head="ab" * 32, draft=False, made=MADE).startswith(b"%PDF")


def test_every_character_that_is_let_through_has_a_glyph():
    every = "".join(chr(code) for low, high in PRINTED for code in range(low, high + 1))
    shown = "".join(f"<p>{escape(' '.join(every[at : at + 60]))}</p><pre>{escape(every[at : at + 60])}</pre>" for at in range(0, len(every), 60))  # fmt: skip  # noqa: E501
    assert case_pdf.pdf(shown, case="c0" * 16, head="ab" * 32, draft=False, made=MADE).startswith(b"%PDF")


@pytest.mark.parametrize("text", ["中文", "שלום", "\u202eabc", "soft\u00adhyphen", "a\u0300\u0316", "🙂"])
def test_what_the_fonts_lack_is_a_box_and_is_said(text):
    tree = page_tree(f"<p>{text}</p>")
    assert tree.lacking
    assert LACKING in told(tree.kids[0])
    assert not page_tree("<p>naïve Ελλάδα Привет 10−6 ‘x’</p>").lacking


def test_letters_with_marks_are_composed_first():
    assert printable("e\u0301") == ("é", False)


def test_nothing_of_a_case_is_markup(monkeypatch):
    """What typst reads besides the layout is one JSON text."""
    given: dict[str, Any] = {}
    import typst

    compiled = typst.compile

    def watched(source, **options):
        given.update(options, source=source)
        return compiled(source, **options)

    monkeypatch.setattr(typst, "compile", watched)
    case_pdf.render(case(), draft=False, made=MADE)
    assert list(given["sys_inputs"]) == ["report"]
    assert json.loads(given["sys_inputs"]["report"])["title"] == page_tree(page()).title
    assert case().header.title.encode() not in given["source"]
    assert given["ignore_system_fonts"] is True


def test_without_typst_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(MissingExtra, match="typst") as refused:
        case_pdf.render(case(), draft=False, made=MADE)
    assert "pip install" in refused.value.advice


# ------------------------------------------------------------------------------------------------------- page by page


def grey(png: bytes) -> np.ndarray:
    """A PNG of eight bits a channel as greys between 0 and 255, rows by columns; written from the specification of PNG."""
    width, height, _, colours = struct.unpack(">IIBB", png[16:26])
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colours]
    at, packed = 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        packed += png[at + 8 : at + 8 + length] if png[at + 4 : at + 8] == b"IDAT" else b""
        at += length + 12
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * channels)
    image = np.zeros((height + 1, width + 1, channels), np.int64)
    for y, (kind, *line) in enumerate(rows.tolist(), 1):
        for x, value in enumerate(np.reshape(line, (width, channels)), 1):
            left, up, corner = image[y, x - 1], image[y - 1, x], image[y - 1, x - 1]
            away = [abs(left + up - corner - other) for other in (left, up, corner)]
            nearest = np.where(
                (away[0] <= away[1]) & (away[0] <= away[2]), left, np.where(away[1] <= away[2], up, corner)
            )
            image[y, x] = (value + (0, left, up, (left + up) // 2, nearest)[kind]) % 256
    return image[1:, 1:, :3].mean(axis=2)


def filled(png: bytes) -> float:
    """How far down a page something stands that is no frame, between header (0) and footer (1)."""
    page = grey(png)
    height, width = page.shape
    inside = page[int(0.09 * height) : int(0.925 * height), int(0.14 * width) : int(0.86 * width)]
    marked = np.flatnonzero((inside < 200).sum(axis=1) >= 3)
    return float((marked[-1] + 1) / len(inside)) if len(marked) else 0.0


def test_pages_of_statements_are_not_left_half_empty() -> None:
    """The example case with planted marks: a statement by construction is longer than a page, and what follows it begins on its last."""
    (report,) = (EXAMPLES / "planted" / "reports").glob("*.html")
    pages = case_pdf.pictures_of_pages(
        report.read_text("utf-8"), case="a" * 32, head="b" * 64, draft=False, made=MADE, ppi=20
    )
    assert np.mean([filled(page) for page in pages[1:4]]) > 0.85
