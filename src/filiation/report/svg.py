"""Elements of the pictures of a report: SVG as escaped text, coloured by the classes of the page's style sheet.

Everything is `WIDTH` units wide, so that text of 12 units stays above 10 pixels on a page of 380.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH = 400


def element(name: str, content: str | Markup = "", **attributes: object) -> Markup:
    """One SVG element; content and attribute values are escaped, `class_` and `text_anchor` become SVG's spelling."""
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    written = Markup("").join(Markup(' {}="{}"').format(key, coordinate(value)) for key, value in pairs)
    return Markup("<{}{}>{}</{}>").format(Markup(name), written, escape(content), Markup(name))


def coordinate(value: object) -> str:
    """An attribute as written: numbers with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def text(x: float, y: float, content: str, class_: str = "label", **attributes: object) -> Markup:
    return element("text", _raised(content), x=x, y=y, class_=class_, **attributes)


def _raised(content: str) -> Markup:
    """'10^-6' with its exponent raised; everything else escaped."""
    parts = re.split(r"(?<=10)\^(-?\d+)", content)
    written = Markup("")
    for index, part in enumerate(parts):
        if index % 2:
            written += element("tspan", part.replace("-", "−"), dy=-4, class_="exponent")
        elif index:
            written += element("tspan", part, dy=4) if part else Markup("")
        else:
            written += escape(part)
    return written


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rectangle(x: float, y: float, width: float, height: float, class_: str, hint: str = "") -> Markup:
    content = element("title", hint) if hint else Markup("")
    return element("rect", content, x=x, y=y, width=width, height=height, class_=class_)


def drawing(identifier: str, title: str, description: str, height: float, parts: Sequence[Markup]) -> Markup:
    named = element("title", title, id=f"{identifier}-title") + element("desc", description, id=f"{identifier}-desc")
    return element(
        "svg",
        named + Markup("").join(parts),
        class_="picture",
        viewBox=f"0 0 {WIDTH} {coordinate(float(height))}",
        role="img",
        aria_labelledby=f"{identifier}-title {identifier}-desc",
        xmlns="http://www.w3.org/2000/svg",
    )
