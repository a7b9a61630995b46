"""The pictures of a finding by construction: the exact law with everybody's place under it. Drawn as those of `pictures`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from filiation.report import wording
from filiation.report.constructed import DETECTION_LOG10_P, Beside, Law, Rarities
from filiation.report.svg import drawing, element, line, rectangle, text

LEFT, RIGHT = 40.0, 386.0
SPAN = RIGHT - LEFT
ROW = 36.0
MOST_CONTROLS = 6
"""Controls that have a row each; more share one."""

Place = Callable[[Beside], float]


# ----------------------------------------------------------------------------------------------------------------- law


def law(picture: Law, identifier: str) -> Markup:
    """How often each count comes about without dependence, the chance of so many or more below it, and who stands where.

    Both panels and the rows below have one axis, the count. Bars are linear, the falling line has powers of ten.
    """
    low, high = picture.edges[0], picture.edges[-1]

    def at(count: float) -> float:
        return LEFT + SPAN * (min(max(count, low), high) + 0.5 - low) / (high - low + 0.5)

    def place(each: Beside) -> float:
        return at((each.share or 0.0) * picture.opportunities)

    bars, falls = (30.0, 104.0), (146.0, 246.0)
    suspect = at(picture.count)
    rows_at = falls[1] + 42
    placed = [(each, place(each)) for each in picture.places]
    rows, height = _rows(_suspect_figures(picture), suspect, placed, rows_at, lambda each: each.told)
    parts = [
        text(LEFT, 14, "how often, for whoever does not depend on the lots", "tick"),
        *_bars(picture, at, *bars),
        line(suspect, bars[0], suspect, falls[1], "suspect rule"),
        text(LEFT, falls[0] - 14, "chance of so many or more, in powers of ten", "tick rail-text"),
        *_falling(picture, at, *falls),
        element("circle", element("title", _suspect_figures(picture)), cx=suspect, cy=_depth(picture.log10_p, picture, *falls),
                r=6, class_="suspect"),
        *_count_ticks(picture, at, falls[1] + 15),
        text(LEFT + SPAN / 2, falls[1] + 31, "coincidences", "tick", text_anchor="middle"),
        *rows,
    ]  # fmt: skip
    return drawing(
        identifier, "The exact law by construction, with what was seen", _law_told(picture), rows_at + height, parts
    )


def _suspect_figures(picture: Law) -> str:
    return f"{wording.whole(picture.count)} of {wording.whole(picture.opportunities)}"


def _bars(picture: Law, at: Callable[[float], float], top: float, bottom: float) -> list[Markup]:
    masses, edges = picture.masses, picture.edges
    most = max(masses)
    width = max(1.0, (at(edges[1]) - at(edges[0])) * 0.82)
    middle = (edges[1] - edges[0] - 1) / 2
    parts = [line(LEFT, bottom, RIGHT, bottom, "axis")]
    for edge, mass in zip(edges, masses, strict=False):
        rise = (bottom - top) * mass / most
        if rise >= 0.2:
            hint = f"{_counts_told(edge, edges[1] - edges[0])}: {mass:.2g}"
            parts.append(rectangle(at(edge + middle) - width / 2, bottom - rise, width, rise, "bar law", hint))
    return parts


def _counts_told(first: int, width: int) -> str:
    return wording.whole(first) if width == 1 else f"{wording.whole(first)} to {wording.whole(first + width - 1)}"


def _deepest(picture: Law) -> float:
    """The depth of the lower panel: a little below the suspect, and below the line of detection."""
    return min(picture.log10_p, picture.detected_at, DETECTION_LOG10_P) * 1.18


def _depth(log10_p: float, picture: Law, top: float, bottom: float) -> float:
    return top + (bottom - top) * min(1.0, log10_p / _deepest(picture))


def _falling(picture: Law, at: Callable[[float], float], top: float, bottom: float) -> list[Markup]:
    """The tail as a line of powers of ten, with the chance from which on a count is detected."""
    deepest = _deepest(picture)
    points = [
        (at(edge), tail)
        for edge, tail in zip(picture.edges, picture.tails, strict=True)
        if tail >= deepest and edge <= picture.opportunities
    ]
    path = " ".join(
        f"{'L' if n else 'M'}{x:.1f} {_depth(tail, picture, top, bottom):.1f}" for n, (x, tail) in enumerate(points)
    )
    detected = _depth(picture.detected_at, picture, top, bottom)
    parts = [line(LEFT, bottom, RIGHT, bottom, "axis")]
    for power in _powers(deepest):
        y = _depth(power, picture, top, bottom)
        parts.append(line(LEFT, y, RIGHT, y, "grid"))
        parts.append(
            text(
                LEFT - 5,
                y + 4,
                "1" if power == 0 else wording.power_of_ten(round(power)),
                "tick",
                text_anchor="end",
            )
        )
    parts.append(line(LEFT, detected, RIGHT, detected, "chance"))
    parts.append(text(LEFT + 4, detected + 12, "detected", "chance-label"))
    parts.append(element("path", d=path, class_="curve law"))
    return parts


def _powers(deepest: float) -> list[float]:
    """Up to six powers of ten from 1 down to the deepest, at steps of 1, 2 or 5 times a power of ten."""
    decades = max(0, math.floor(math.log10(max(-deepest, 1.0))))
    steps = (digit * 10**decade for decade in range(decades - 1, decades + 2) for digit in (1, 2, 5) if decade >= 0)
    step = next(step for step in steps if -deepest / step <= 5)
    return [-float(power) for power in range(0, int(-deepest) + 1, step)]


def _count_ticks(picture: Law, at: Callable[[float], float], y: float) -> list[Markup]:
    """The suspect's count, and the ends of the axis and what is expected where there is room beside it."""
    low, high = picture.edges[0], min(picture.edges[-1], picture.opportunities)
    taken = [at(picture.count)]
    anchor = "end" if taken[0] > RIGHT - 20 else "middle"
    parts = [text(taken[0], y, wording.whole(picture.count), "label suspect-label", text_anchor=anchor)]
    for count in (low, high, round(picture.opportunities * picture.chance)):
        if all(abs(at(count) - place) > 40 for place in taken):
            taken.append(at(count))
            parts.append(text(at(count), y, wording.whole(count), "tick", text_anchor="middle"))
    return parts


def _law_told(picture: Law) -> str:
    """The picture in words."""
    others = "; ".join(f"{wording.visible(each.name, 80)}: {wording.visible(each.told, 80)}" for each in picture.places)
    return (
        f"For whoever does not depend on the owner's lots {wording.whole(round(picture.opportunities * picture.chance))} of "
        f"{wording.whole(picture.opportunities)} are expected. The suspect has {wording.whole(picture.count)}, of which the chance, "
        f"nothing paid for, is {wording.probability(picture.log10_p)}." + (f" Beside it, {others}." if others else "")
    )


# ----------------------------------------------------------------------------------------------------------- rarities


def rarities(picture: Rarities, identifier: str) -> Markup:
    """Everybody by the chance of what was seen of them, in powers of ten: rarer is further right."""
    deepest = (
        min([picture.log10_p, picture.detected_at, DETECTION_LOG10_P, *(_p(each) for each in picture.places)]) * 1.05
    )
    top = 34.0

    def at(log10_p: float) -> float:
        return LEFT + SPAN * min(1.0, log10_p / deepest)

    placed = [(each, at(_p(each))) for each in picture.places]
    rows, height = _rows(f"p {wording.probability(picture.log10_p)}", at(picture.log10_p), placed, top + 4, _p_told)
    bottom = top + height + 2
    detected = at(picture.detected_at)
    side = "end" if detected > LEFT + SPAN / 2 else "start"
    parts = [line(at(power), top, at(power), bottom, "grid") for power in _powers(deepest)]
    parts += [
        line(detected, top - 6, detected, bottom, "chance"),
        text(detected, top - 12, f"detected from {wording.threshold(picture.detected_at)} on", "chance-label", text_anchor=side),
        *rows,
        *(
            text(at(power), bottom + 15, "1" if power == 0 else wording.power_of_ten(round(power)), "tick", text_anchor="middle")
            for power in _powers(deepest)
        ),
        text(LEFT + SPAN / 2, bottom + 33, "chance of so much or more, in powers of ten", "tick", text_anchor="middle"),
    ]  # fmt: skip
    told = "; ".join(f"{wording.visible(each.name, 80)}: {wording.probability(_p(each))}" for each in picture.places)
    described = f"The suspect: {wording.probability(picture.log10_p)}." + (f" Beside it, {told}." if told else "")
    return drawing(identifier, "How rare what was seen is, by construction", described, bottom + 41, parts)


def _p(each: Beside) -> float:
    return each.log10_p or 0.0


def _p_told(each: Beside) -> str:
    return f"p {wording.probability(_p(each))}"


# --------------------------------------------------------------------------------------------------------------- rows


def _rows(
    figures: str, suspect: float, placed: Sequence[tuple[Beside, float]], top: float, told: Callable[[Beside], str]
) -> tuple[list[Markup], float]:
    """One row for the suspect and for each that stands beside it; many controls share one. And the height of all."""
    parts = [_row("suspect", figures, suspect, top, "suspect")]
    controls = [(each, x) for each, x in placed if each.is_control]
    folded = controls if len(controls) > MOST_CONTROLS else []
    shown = [(each, x) for each, x in placed if not (folded and each.is_control)]
    for each, x in shown:
        parts.append(_row(each.name, told(each), x, top + ROW * len(parts), "control"))
    if folded:
        parts.append(_folded(folded, top + ROW * len(parts)))
    return parts, ROW * len(parts) + 4


def _row(name: str, figures: str, x: float, y: float, class_: str) -> Markup:
    return Markup("").join(
        [
            text(LEFT, y + 12, wording.shortened(name, 30), f"label rail-text {class_}-label"),
            text(RIGHT, y + 12, wording.shortened(figures, 26), "figure rail-text", text_anchor="end"),
            line(LEFT, y + 23, RIGHT, y + 23, "rail"),
            line(LEFT, y + 23, x, y + 23, f"reach {class_}"),
            element("circle", cx=x, cy=y + 23, r=6 if class_ == "suspect" else 4.5, class_=class_),
        ]
    )


def _folded(controls: Sequence[tuple[Beside, float]], y: float) -> Markup:
    parts = [
        text(LEFT, y + 12, wording.plural(len(controls), "control"), "label rail-text control-label"),
        line(LEFT, y + 23, RIGHT, y + 23, "rail"),
    ]
    for each, x in controls:
        hint = element("title", f"{wording.visible(each.name, 80)}: {wording.visible(each.told, 80)}")
        parts.append(element("circle", hint, cx=x, cy=y + 23, r=4.5, class_="control"))
    return Markup("").join(parts)
