"""The report of a case as one HTML file: nothing loaded, nothing executed; light, dark, on paper and on a telephone.

As in `html`, everything that comes from a case (names, reasons, answers, entries) is hostile input and is escaped; and the
free text of experts is held to the wording of reports before a page is built.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

import jinja2
from markupsafe import Markup, escape

from filiation.case.records import Body
from filiation.case.view import CaseView
from filiation.evidence import Null
from filiation.report import case_pictures, constructed_pictures, pictures, wording
from filiation.report.case_contents import (
    LONGEST_ANSWER,
    MOST_ANSWERS,
    CaseContents,
    case_contents,
    digests_named,
    finding_digest,
    refuse_while_blank,
)
from filiation.report.html import environment
from filiation.statistics.scale import SCALE


def render(view: CaseView, *, draft: bool) -> str:
    """The whole report as one HTML document.

    A draft says so on every section and on every printed page. Raises UsageError where `draft` is False while a required
    declaration is blank, and where a declaration says what a report may not say.
    """
    if not draft:
        refuse_while_blank(view.declarations)
    told = case_contents(view)
    return _environment().get_template("case.html.j2").render(**_names(told, draft))


def _names(told: CaseContents, draft: bool) -> dict[str, object]:
    """What the template may use."""
    return {
        "case": told,
        "view": told.view,
        "plan": told.plan,
        "plan_entry": told.sealings[-1].entry.sequence if told.sealings else 0,
        "draft": draft,
        "words": wording,
        "pictures": pictures,
        "drawn": case_pictures,
        "lots": constructed_pictures,
        "steps": tuple(reversed(SCALE)),
        "style": Markup(_style("report.css") + _style("case.css")),
        "most_answers": MOST_ANSWERS,
        "numbered": lambda outcome: told.notes.get(getattr(outcome, "reason", ""), 0),
        "beside": lambda finding: tuple(wording.companion(each) for each in finding.companions),
        "ledger": zip(told.view.entries, digests_named(told.view.entries), strict=True),
    }


def _style(name: str) -> str:
    return resources.files("filiation.report").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def marked(answer: str, shared: Sequence[str]) -> Markup:
    """An answer with the shared passages marked; everything in it is shown as text, and its lines are kept."""
    shown = _lines(answer, LONGEST_ANSWER)
    spans = _spans(shown, [_lines(passage, LONGEST_ANSWER) for passage in shared])
    written, place = Markup(""), 0
    for start, end in spans:
        written += escape(shown[place:start]) + Markup("<mark>{}</mark>").format(shown[start:end])
        place = end
    return written + escape(shown[place:])


def _lines(text: str, longest: int) -> str:
    """`wording.visible`, line by line."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "\n".join(wording.visible(line, longest) for line in cut.splitlines())


def _spans(text: str, passages: Sequence[str]) -> list[tuple[int, int]]:
    """Where the passages stand in a text, word for word; case and punctuation do not count. Joined where they touch."""
    found = [place.span() for passage in passages if (words := _wording_of(passage)) for place in words.finditer(text)]
    spans: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _wording_of(passage: str) -> re.Pattern[str] | None:
    """The words of a passage, whatever stands between them; None where it has none."""
    words = re.findall(r"[^\W_]+", passage)
    return re.compile(r"[\W_]+".join(map(re.escape, words)), re.IGNORECASE) if words else None


def paragraphs(text: str) -> tuple[str, ...]:
    """The paragraphs of a text, parted by empty lines; other ends of lines are those of the file that it came from."""
    return tuple(part.strip() for part in re.split(r"\n\s*\n", text) if part.strip())


def _action(body: Body) -> str:
    tag = body.__struct_config__.tag
    return wording.ACTION_TITLES[str(tag)]


@cache
def _environment() -> jinja2.Environment:
    made = environment()
    made.globals |= {
        "marked": marked,
        "action": _action,
        "told": wording.entry_told,
        "paragraphs": paragraphs,
        "finding_digest": finding_digest,
        "population": Null.POPULATION,
        "construction": Null.CONSTRUCTION,
    }
    return made
