"""The report as one HTML file: no external load, no script, static SVG; light, dark, on paper and on a telephone.

Everything that comes from an exhibit (names, reasons, file names) is hostile input: the template escapes by default,
`wording.visible` takes control and direction characters out, and the page's own policy forbids whatever is left.
"""

from __future__ import annotations

import math
import re
from functools import cache
from importlib import resources

import jinja2
from markupsafe import Markup, escape

from filiation.evidence import Conclusion, Examination, Outcome
from filiation.report import constructed_pictures, pictures, wording
from filiation.report.contents import Contents, OutcomeSection, contents, relation_of
from filiation.statistics.scale import SCALE


def html(examination: Examination) -> str:
    """The whole report as one HTML document."""
    told = contents(examination)
    return _environment().get_template("report.html.j2").render(**_names(told))


def notebook_html(examination: Examination) -> str:
    """A compact fragment for notebooks: one row per outcome, then the conclusions."""
    return _environment().get_template("notebook.html.j2").render(**_names(contents(examination)))


def typographic(text: str) -> Markup:
    """'10^-1536' with its exponent raised and a true minus; everything else escaped."""
    raised = re.sub(r"10\^(-?)(\d+)", lambda m: f"10<sup>{'−' if m[1] else ''}{m[2]}</sup>", str(escape(text)))
    return Markup(raised)


def with_digests(text: str) -> Markup:
    """`typographic`, with digests in the type of digests."""
    return Markup(re.sub(r"\b[0-9a-f]{64}\b", lambda m: f'<span class="hash">{m[0]}</span>', str(typographic(text))))


def _names(told: Contents) -> dict[str, object]:
    """What the templates may use."""
    outcomes = told.examination.outcomes
    style = resources.files("filiation.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    return {
        "contents": told,
        "record": told.examination,
        "words": wording,
        "pictures": pictures,
        "lots": constructed_pictures,
        "steps": tuple(reversed(SCALE)),
        "nulls": tuple(dict.fromkeys(outcome.null for outcome in outcomes)),
        "examiners": ", ".join(_examiners(outcomes)),
        "style": Markup(style),
    }


def _examiners(outcomes: tuple[Outcome, ...]) -> tuple[str, ...]:
    named = (f"{wording.visible(o.examiner)} version {wording.visible(o.examiner_version)}" for o in outcomes)
    return tuple(dict.fromkeys(named))


def _ratio_cell(section: OutcomeSection) -> str:
    """The likelihood ratio of the conclusion that an outcome was merged into, for a table."""
    return wording.ratio_or_none(section.conclusion) if section.entered is not None else "none"


def _likelihood(conclusion: Conclusion, outcomes: tuple[Outcome, ...]) -> str:
    return wording.likelihood_sentence(conclusion, relation_of(conclusion, outcomes))


def _scale_picture(conclusion: Conclusion, identifier: str) -> Markup:
    value = conclusion.log10_likelihood_ratio
    if value is None:
        return Markup("")
    cap = None if conclusion.cap is None else math.log10(conclusion.cap.value)
    low, high = conclusion.log10_likelihood_ratio_low, conclusion.log10_likelihood_ratio_high
    return pictures.scale(value, low, high, cap, identifier)


def _listing(title: str, entries: tuple[str, ...], otherwise: str = "") -> Markup:
    """A term with its list, `otherwise` standing for an empty one; nothing at all when that is empty, too."""
    if not entries and not otherwise:
        return Markup("")
    items = Markup("").join(Markup("<li>{}</li>").format(wording.ended(entry)) for entry in entries)
    body = Markup("<ul>{}</ul>").format(items) if entries else escape(otherwise)
    return Markup("<dt>{}</dt><dd>{}</dd>").format(title, body)


@cache
def _environment() -> jinja2.Environment:
    return environment()


def environment() -> jinja2.Environment:
    """The templates of this folder, escaping everything, with what all of them use."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("filiation.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["tens"] = typographic
    made.filters["digests"] = with_digests
    made.globals |= {
        "name": wording.visible,
        "counts": lambda folds: [len(fold.outcomes) for fold in folds],
        "ratio_cell": _ratio_cell,
        "likelihood": _likelihood,
        "scale_picture": _scale_picture,
        "listing": _listing,
    }
    return made
