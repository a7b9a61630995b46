"""The HTML report: one file, nothing loaded, nothing executed, hostile names harmless, pictures described."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

from filiation.evidence import Component, Finding
from filiation.report import pictures, wording
from filiation.report.contents import contents
from filiation.report.html import html, notebook_html, typographic
from tests.report import sample

VOID = {"meta", "br", "link", "img", "hr", "input"}
SAMPLES = {
    "related": sample.examination(True),
    "unrelated": sample.examination(False),
    "no controls": sample.examination(controls=()),
    "hostile": sample.hostile(),
    "nothing examined": sample.bare(),
    "recorded answers": sample.recorded_answers(),
    "recorded answers, nothing found": sample.recorded_answers(score=-0.3),
    "recorded answers, few": sample.recorded_answers(lineages=12),
    "models of a pack": sample.of_packs(),
    "nothing to examine": sample.files_and_answers(),
    "nothing shared": sample.nothing_shared(),
    "recorded answers, hostile": sample.recorded_answers(name=sample.HOSTILE),
}


class Page(HTMLParser):
    """Elements with their attributes, in order; `unbalanced` collects tags closed out of turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(params=SAMPLES, scope="module")
def page(request) -> Page:
    return Page(html(SAMPLES[request.param]))


def test_elements_are_balanced(page):
    assert page.unbalanced == []
    assert page.open == []


def test_nothing_is_loaded_and_nothing_is_executed(page):
    names = {tag for tag, _ in page.elements}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "video", "audio", "image", "use", "base"}
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")]
        assert attributes.get("href", "#").startswith("#")


def test_style_loads_nothing():
    style = re.search(r"<style>(.*?)</style>", html(SAMPLES["related"]), re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_policy_forbids_what_is_left(page):
    policies = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_ids_are_unique_and_every_link_leads_somewhere(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for tag, a in page.elements if tag == "a"]
    assert set(links) <= set(ids)


def test_every_picture_has_a_title_and_a_description(page):
    ids = {attributes.get("id") for _, attributes in page.elements}
    pictures = [attributes for tag, attributes in page.elements if tag == "svg"]
    for attributes in pictures:
        assert attributes["role"] == "img"
        assert set(attributes["aria-labelledby"].split()) <= ids


def test_related_sample_has_every_kind_of_picture():
    titles = re.findall(r'<title id="[^"]*">([^<]*)</title>', html(SAMPLES["related"]))
    for start in (
        "Line-up",
        "Layer-by-layer map",
        "Order of the tokens",
        "Share of coincidences per layer",
        "The case",
    ):
        assert any(title.startswith(start) for title in titles), start


@pytest.mark.parametrize("hostile", ["hostile", "recorded answers, hostile"])
def test_hostile_names_are_shown_as_text(hostile):
    rendered = html(SAMPLES[hostile]) + notebook_html(SAMPLES[hostile])
    assert "<script" not in rendered
    assert "\x1b" not in rendered
    assert "\u202e" not in rendered
    assert "{{7*7}}" in rendered
    assert "&lt;script&gt;" in rendered


@pytest.mark.parametrize("name", ["unrelated", "recorded answers", "recorded answers, few", "nothing shared"])
def test_no_coordinate_leaves_its_picture(name):
    rendered = html(SAMPLES[name])
    assert "nan" not in re.sub(r">[^<]*<", "><", rendered).lower().split()
    for box in re.findall(r'viewBox="0 0 400 ([\d.]+)"', rendered):
        assert 40 < float(box) < 800
    assert not re.search(r' (?:x|y|cx|cy|x1|x2|y1|y2|width|height)="-', rendered)


@pytest.mark.parametrize(
    "name", ["related", "unrelated", "recorded answers", "recorded answers, nothing found", "models of a pack"]
)
def test_every_figure_of_the_record_is_told(name):
    examination = SAMPLES[name]
    text = re.sub(r"\s+", " ", Page(html(examination)).text)
    for outcome in examination.outcomes:
        sentence = str(typographic(wording.sentence(outcome)))
        assert re.sub(r"</?sup>", "", sentence).replace("&#39;", "'") in text
        for listed in getattr(outcome, "assumptions", ()) + getattr(outcome, "limitations", ()):
            assert wording.ended(listed) in text
    for exhibit in (examination.reference, examination.suspect, *examination.controls):
        assert all(file.sha256 in text for file in exhibit.files)
    assert examination.digest in text
    assert wording.NOT_THE_POSTERIOR in text


def test_without_controls_the_report_says_so():
    assert "No control was given" in html(SAMPLES["no controls"])


def test_rendering_twice_gives_the_same_bytes():
    assert html(SAMPLES["related"]) == html(sample.examination(True))


def test_notebook_fragment_has_one_row_per_outcome():
    examination = SAMPLES["related"]
    fragment = Page(examination._repr_html_())
    assert fragment.unbalanced == []
    assert sum(tag == "tr" for tag, _ in fragment.elements) == 1 + len(examination.outcomes)
    findings = [outcome for outcome in examination.outcomes if isinstance(outcome, Finding)]
    assert all(f"{finding.count:,} of {finding.opportunities:,}" in fragment.text for finding in findings)


def test_exponents_are_raised_and_all_else_is_escaped():
    assert typographic("<b> 10^-12") == "&lt;b&gt; 10<sup>−12</sup>"


def test_many_parts_are_folded_but_all_there():
    examination = sample.examination()
    first = examination.outcomes[0]
    parts = tuple(Component(kind="feature", name=f"feature {n}", count=1, opportunities=1) for n in range(40))
    many = msgspec.structs.replace(first, components=parts)
    page = Page(html(msgspec.structs.replace(examination, outcomes=(many, *examination.outcomes[1:]))))
    assert page.unbalanced == []
    assert sum(tag == "details" for tag, _ in page.elements) == 1
    assert all(f"feature {n}" in page.text for n in range(40))


def test_a_line_up_is_drawn_told_and_folded():
    rendered = html(SAMPLES["recorded answers"])
    text = re.sub(r"\s+", " ", Page(rendered).text)
    assert rendered.count("Line-up: the suspect among the controls by score") == 2
    assert "142 models in the line-up" in text
    assert all(f"model {n}-1" in text for n in range(70))
    assert "p cannot be smaller than 1 in 71" in text
    assert sample.PACK in text
    assert "Do ranks keep their promise here?" in text
    assert "above every lineage, promised 0.0" in text
    assert "0 of 0" not in text
    assert "37 controls, from 1 file" in text
    assert "Told from recorded answers" in text
    assert len(rendered) < 400_000


def test_propositions_are_the_groups_of_the_front_page():
    page = Page(html(SAMPLES["recorded answers"]))
    groups = [attributes for tag, attributes in page.elements if attributes.get("scope") == "rowgroup"]
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert len(groups) == 3
    assert links == ["#outputs", "#guardrails", "#service"]


def test_folded_tests_are_one_row_and_listed_in_full_in_the_appendix():
    rendered = html(SAMPLES["models of a pack"])
    summary, _, rest = rendered.partition('<section class="proposition"')
    appendix = rest[rest.index('id="not-examined"') :]
    assert "tokenizer (4 tests), weights (3 tests)" in summary
    assert "tokenizer.a" not in summary
    assert all(f"tokenizer.{test}" in appendix for test in "abcd")
    assert "proposition 1 of 3" in rest
    assert "Those that stood in line-ups, 104, are of the control pack" in rest
    assert "No test was asked for" not in html(SAMPLES["nothing to examine"])


def test_notebook_fragment_names_what_is_folded():
    fragment = Page(notebook_html(SAMPLES["models of a pack"]))
    assert fragment.unbalanced == []
    assert "not examined: architecture.design-rarity, tokenizer (4 tests)" in fragment.text


@pytest.mark.parametrize("score", [-9.0, -0.3, 0.5, 1.5, 9.0])
def test_as_many_dots_stand_right_of_the_suspect_as_lineages_score_as_high(score):
    ranking = contents(sample.recorded_answers(score=score)).propositions[0].outcomes[0].ranking
    drawn = str(pictures.ranking(ranking, "strip"))
    line = float(re.search(r'<line x1="([\d.]+)"[^>]*class="suspect rule"', drawn)[1])
    dots = re.findall(r'<circle cx="([\d.]+)" cy="[\d.]+" r="3.2" class="([a-z-]+)"', drawn)
    assert sum(kind == "control" and float(x) > line for x, kind in dots) == ranking.above
    assert sum(kind == "control" for _, kind in dots) == len(ranking.lineages)
    assert sum(kind == "left-out" for _, kind in dots) == ranking.left_out
    assert all(0 < float(x) < pictures.WIDTH for x, _ in dots)


def test_a_line_up_without_content_is_told_and_drawn():
    rendered = html(SAMPLES["nothing shared"])
    assert "No control and not the suspect shares a passage with the reference" in rendered
