"""The pictures of a report: static SVG, coloured by the page's style sheet, legible on a telephone.

Each function takes what `contents` prepared and returns one `<svg>` with a title and a description for those who do
not see it. All drawings are 400 units wide so that text of 12 units stays above 10 pixels on a page of 380. Colours
are classes (`ink`, `suspect`, `control`, `chance` ...), never values, so that dark and print follow the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from filiation.evidence import Component
from filiation.report import wording
from filiation.report.contents import LayerMap, LineUp, LineUpRow, OrderPlot, Place, Ranking
from filiation.report.svg import WIDTH, coordinate, drawing, element, line, rectangle, text
from filiation.statistics.scale import SCALE, Step, word

# -------------------------------------------------------------------------------------------------------------- line-up


def line_up(picture: LineUp, identifier: str) -> Markup:
    """Strip of shares of coincidences: the suspect among the controls, with the chance as a line."""
    left, right, top, step = 14.0, 386.0, 30.0, 38.0
    span = right - left
    bottom = top + step * len(picture.rows)
    parts = [line(left + span * tick / 4, top, left + span * tick / 4, bottom, "grid") for tick in range(5)]
    if picture.chance is not None:
        parts += _chance_mark(left + span * picture.chance, top, bottom, picture.chance)
    for index, row in enumerate(picture.rows):
        parts.append(_line_up_row(row, left, span, top + step * index))
    parts += [
        text(left + span * tick / 4, bottom + 16, _tick(tick / 4), "tick", text_anchor=_anchor(tick, 4))
        for tick in range(5)
    ]
    parts.append(text(200, bottom + 34, "share of coincidences among opportunities", "tick", text_anchor="middle"))
    described = "; ".join(
        f"{wording.visible(row.name, 80)} ({row.role}): {wording.share(row.tally.count, row.tally.opportunities)}"
        for row in picture.rows
    )
    title = f"Line-up: share of coincidences with the reference, {wording.visible(picture.test)}"
    return drawing(identifier, title, described, bottom + 42, parts)


def _chance_mark(x: float, top: float, bottom: float, chance: float) -> list[Markup]:
    anchor = "end" if x > WIDTH * 0.7 else ("start" if x < WIDTH * 0.3 else "middle")
    return [
        line(x, top - 6, x, bottom, "chance"),
        text(x, top - 12, f"chance {wording.chance(chance)}", "chance-label", text_anchor=anchor),
    ]


def _line_up_row(row: LineUpRow, left: float, span: float, y: float) -> Markup:
    x = left + span * row.tally.share
    name = wording.shortened(row.name, 30)
    figures = f"{wording.whole(row.tally.count)} of {wording.whole(row.tally.opportunities)}"
    hint = f"{wording.visible(row.name)}: {figures}"
    label = f"label rail-text {row.role}-label"
    return Markup("").join(
        [
            text(left, y + 14, f"{name} · {row.role}", label),
            text(left + span, y + 14, figures, "figure rail-text", text_anchor="end"),
            line(left, y + 26, left + span, y + 26, "rail"),
            line(left, y + 26, x, y + 26, f"reach {row.role}"),
            element("circle", element("title", hint), cx=x, cy=y + 26, r=6 if row.role == "suspect" else 4.5,
                     class_=row.role),
        ]
    )  # fmt: skip


def _tick(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _anchor(index: int, last: int) -> str:
    return "start" if index == 0 else ("end" if index == last else "middle")


# ------------------------------------------------------------------------------------------------------------- ranking


def ranking(picture: Ranking, identifier: str) -> Markup:
    """Strip of scores: one dot for each control lineage, the suspect among them; below, the first places by name.

    A dot right of the suspect's line is a lineage that scores at least as high: as many stand there as declared lineages
    were counted. Controls that are not ranked are hollow and stand below the axis.
    """
    left, right, step = 14.0, 386.0, 34.0
    inner = left + 7.0, right - 7.0
    values = [place.value for place in picture.places]
    low, high = min(values), max(values)

    def at(value: float) -> float:
        return inner[0] + (inner[1] - inner[0]) * (value - low) / ((high - low) or 1.0)

    suspect = at(picture.suspect.value)
    dots = _stacked([(at(place.value) - suspect, place) for place in picture.lineages], 7.0)
    tallest = max((level + 1 for _, level, _ in dots), default=1)
    rise = min(7.0, 84.0 / tallest)
    hollow = [place for place in picture.places if not place.ranked]
    head = 46.0 if hollow else 34.0
    base = head + max(30.0, rise * tallest + 12.0)
    foot = base + (34.0 if hollow else 22.0)
    legend = [f"{wording.plural(len(picture.lineages), 'control lineage')}, each with its highest score"]
    legend += [f"hollow, below the axis: {wording.plural(len(hollow), 'control')} not ranked"] if hollow else []
    anchor = "end" if suspect > WIDTH * 0.6 else "start"
    top = foot + 18
    parts = [
        *(text(left, 14.0 + 14.0 * row, told, "tick") for row, told in enumerate(legend)),
        line(left, base + 6, right, base + 6, "axis"),
        *(_dot(place, suspect + x, base - rise * level, "control") for x, level, place in dots),
        *(_dot(place, at(place.value), base + 14, "left-out") for place in hollow),
        line(suspect, head, suspect, base + 6, "suspect rule"),
        element("circle", element("title", "the suspect"), cx=suspect, cy=head, r=6, class_="suspect"),
        text(suspect - 10 if anchor == "end" else suspect + 10, head + 4, "suspect", "label suspect-label",
              text_anchor=anchor),
        text(left, foot, wording.score(low), "tick"),
        text(right, foot, wording.score(high), "tick", text_anchor="end"),
        text(200, foot, "score against the reference", "tick", text_anchor="middle"),
        *(
            _place(number, place, at(place.value), left, right, top + step * index)
            for index, (number, place) in enumerate(picture.named)
        ),
    ]  # fmt: skip
    described = "; ".join(
        f"place {number}: {_told(place)}, {wording.score(place.value)}" for number, place in picture.named
    )
    title = f"Line-up: the suspect among the controls by score, {wording.visible(picture.test)}"
    return drawing(identifier, title, described, top + step * len(picture.named) + 4, parts)


def _stacked(offsets: Sequence[tuple[float, Place]], width: float) -> list[tuple[float, int, Place]]:
    """Places in columns of this width beside the suspect: offset of the column's middle, level in it, place.

    Columns begin at the suspect, so that no place changes sides by being put into one.
    """
    filled: dict[int, int] = {}
    stacked = []
    for offset, place in offsets:
        column = math.floor(offset / width + 1e-9)
        stacked.append((width * (column + 0.5), filled.get(column, 0), place))
        filled[column] = filled.get(column, 0) + 1
    return stacked


def _dot(place: Place, x: float, y: float, class_: str) -> Markup:
    hint = element("title", f"{_told(place)}: {wording.score(place.value)}")
    return element("circle", hint, cx=x, cy=y, r=3.2, class_=class_)


def _place(number: int, place: Place, x: float, left: float, right: float, y: float) -> Markup:
    label = f"label rail-text {place.role}-label"
    name = wording.shortened(place.model.name, 26)
    of_whom = "suspect" if place.role == "suspect" else wording.shortened(place.model.lab or place.model.lineage, 18)
    beside = "" if place.ranked else " · not ranked"
    return Markup("").join(
        [
            text(left, y + 14, f"{number}. {name} · {of_whom or 'lineage not declared'}{beside}", label),
            text(right, y + 14, wording.score(place.value), "figure rail-text", text_anchor="end"),
            line(left, y + 24, right, y + 24, "rail"),
            element("circle", cx=x, cy=y + 24, r=6 if place.role == "suspect" else 4.5,
                     class_=place.role if place.ranked else "left-out"),
        ]
    )  # fmt: skip


def _told(place: Place) -> str:
    model = place.model
    origin = (
        "the suspect" if place.role == "suspect" else ("from a control pack" if model.origin == "pack" else "control")
    )
    known = f"lineage {wording.visible(model.lineage, 60) or 'not declared'}, {wording.visible(model.lab, 60) or 'lab not declared'}"
    return f"{wording.visible(model.name, 80)} ({known}; {origin})"


# ------------------------------------------------------------------------------------------------------------ layer map


def layer_map(picture: LayerMap, identifier: str) -> Markup:
    """Heat map: share of coincidences of every layer of the reference (rows) with every layer of the suspect."""
    left, top = 46.0, 34.0
    cell = min((WIDTH - left - 10) / picture.second_layers, 300 / picture.first_layers, 44.0)
    wide, high = cell * picture.second_layers, cell * picture.first_layers
    parts = [
        _cell(picture, first, second, left + cell * second, top + cell * first, cell)
        for first in range(picture.first_layers)
        for second in range(picture.second_layers)
    ]
    parts.append(rectangle(left, top, wide, high, "frame"))
    parts += [
        text(left - 6, top + cell * (n + 0.5) + 4, str(n), "tick", text_anchor="end")
        for n in _some(picture.first_layers, cell)
    ]
    parts += [
        text(left + cell * (n + 0.5), top - 5, str(n), "tick", text_anchor="middle")
        for n in _some(picture.second_layers, cell)
    ]
    parts.append(text(left, 12, "layer of the suspect →", "tick"))
    middle = top + high / 2
    parts.append(text(12, middle, "layer of the reference", "tick", text_anchor="middle",
                       transform=f"rotate(-90 12 {coordinate(middle)})"))  # fmt: skip
    parts += _legend(left, top + high + 14)
    return drawing(
        identifier,
        "Layer-by-layer map: share of coincidences of each pair of layers",
        _strongest(picture),
        top + high + 48,
        parts,
    )


def _cell(picture: LayerMap, first: int, second: int, x: float, y: float, cell: float) -> Markup:
    tally = picture.tally(first, second)
    hint = f"reference {first}, suspect {second}: {wording.whole(tally.count)} of {wording.whole(tally.opportunities)}"
    if tally.opportunities == 0:
        return rectangle(x, y, cell, cell, "empty", hint)
    drawn = _shaded(x, y, cell, tally.share, hint if cell >= 4 else "")
    if cell < 30:
        return drawn
    inside = "on-dark" if tally.share >= 0.6 else "on-light"
    told = wording.share(tally.count, tally.opportunities)[:4]
    return drawn + text(x + cell / 2, y + cell / 2 + 4, told, f"tick {inside}", text_anchor="middle")


def _shaded(x: float, y: float, side: float, share: float, hint: str = "") -> Markup:
    """A cell whose ink is in proportion to the share; the faintest still shows that it was examined."""
    content = element("title", hint) if hint else Markup("")
    return element("rect", content, x=x, y=y, width=side, height=side, class_="cell", fill_opacity=0.05 + 0.95 * share)


def _some(layers: int, cell: float) -> range:
    """Layer numbers with room for a label."""
    step = next((step for step in (1, 2, 4, 5, 10, 20, 50) if step * cell >= 18), 100)
    return range(0, layers, step)


def _legend(left: float, y: float) -> list[Markup]:
    size = 14.0
    parts = [_shaded(left + size * n, y, size, n / 10) for n in range(11)]
    parts.append(text(left, y + 28, "0", "tick"))
    parts.append(text(left + size * 11, y + 28, "1", "tick", text_anchor="end"))
    parts.append(text(left + size * 11 + 8, y + 12, "share of coincidences", "tick"))
    return parts


def _strongest(picture: LayerMap) -> str:
    """In words: the suspect's layer with the largest share, for each layer of the reference."""
    told = []
    for first in range(picture.first_layers):
        best = max(range(picture.second_layers), key=lambda second: picture.tally(first, second).share)
        tally = picture.tally(first, best)
        told.append(f"{first} with {best}: {wording.share(tally.count, tally.opportunities)}")
    return "Largest share for each layer of the reference: " + "; ".join(told)


# ----------------------------------------------------------------------------------------------------------- order plot


def order_plot(picture: OrderPlot, identifier: str) -> Markup:
    """Shared tokens by rank in the reference (across) and in the suspect (upwards)."""
    left, top, side = 46.0, 12.0, 330.0
    drawn = picture.thinned()
    across = max(max(x for x, _ in drawn.points), 1.0)
    upwards = max(max(y for _, y in drawn.points), 1.0)
    marks = "".join(
        f"M{coordinate(left + side * x / across)} {coordinate(top + side * (1 - y / upwards))}h0"
        for x, y in drawn.points
    )
    parts = [
        rectangle(left, top, side, side, "frame"),
        element("path", d=marks, class_="points dense" if len(drawn.points) > 600 else "points"),
        text(left, top + side + 16, "0", "tick"),
        text(left + side, top + side + 16, wording.whole(round(across)), "tick", text_anchor="end"),
        text(left + side / 2, top + side + 32, "rank in the reference", "tick", text_anchor="middle"),
        text(left - 6, top + side, "0", "tick", text_anchor="end"),
        text(left - 6, top + 4, wording.whole(round(upwards)), "tick", text_anchor="end",
              transform=f"rotate(-90 {coordinate(left - 6)} {coordinate(top + 4)})"),
        text(26, top + side / 2, "rank in the suspect", "tick", text_anchor="middle",
              transform=f"rotate(-90 26 {coordinate(top + side / 2)})"),
    ]  # fmt: skip
    return drawing(
        identifier,
        "Order of the tokens that both vocabularies hold",
        f"{wording.whole(len(drawn.points))} shared tokens. Points along the rising diagonal stand in the same order in "
        "both; a cloud is what independent training brings.",
        top + side + 42,
        parts,
    )


# ----------------------------------------------------------------------------------------------------------- layer bars


def layer_bars(layers: Sequence[Component], chance: float | None, identifier: str) -> Markup:
    """One bar per layer: its share of coincidences, with the chance as a line."""
    left, right, top, bottom = 34.0, 392.0, 26.0, 166.0
    step, height = (right - left) / len(layers), bottom - top
    parts = [line(left, top + height * n / 4, right, top + height * n / 4, "grid") for n in range(5)]
    parts += [text(left - 6, bottom - height * n / 4 + 4, _tick(n / 4), "tick", text_anchor="end") for n in range(5)]
    for index, layer in enumerate(layers):
        share = layer.count / layer.opportunities
        hint = f"{wording.visible(layer.name)}: {wording.whole(layer.count)} of {wording.whole(layer.opportunities)}"
        width = max(1.0, min(step * 0.72, 34.0))
        middle = left + step * (index + 0.5)
        parts.append(rectangle(middle - width / 2, bottom - height * share, width, height * share, "bar", hint))
    if chance is not None:
        level = bottom - height * chance
        parts.append(line(left, level, right, level, "chance"))
        parts.append(text(right, top - 10, f"- - chance {wording.chance(chance)}", "chance-label", text_anchor="end"))
    parts.append(text(left, top - 10, "share of coincidences", "tick"))
    parts.append(line(left, bottom, right, bottom, "axis"))
    parts += [
        text(left + step * (n + 0.5), bottom + 15, str(n), "tick", text_anchor="middle")
        for n in _some(len(layers), step)
    ]
    parts.append(
        text(
            (left + right) / 2,
            bottom + 32,
            "paired layers, in the order of the reference",
            "tick",
            text_anchor="middle",
        )
    )
    described = "; ".join(
        f"{wording.visible(layer.name, 40)}: {wording.share(layer.count, layer.opportunities)}" for layer in layers
    )
    return drawing(identifier, "Share of coincidences per layer", described, bottom + 40, parts)


# ---------------------------------------------------------------------------------------------------------------- scale


def scale(value: float, low: float | None, high: float | None, cap: float | None, identifier: str) -> Markup:
    """The whole printed scale as a ladder, support for the relation on top, with the case's likelihood ratio on it.

    `value`, `low`, `high` and `cap` are log10 likelihood ratios.
    """
    row, top, axis = 23.0, 20.0, 288.0
    ladder = tuple(reversed(SCALE))
    bottom = top + row * len(ladder)
    parts = [
        text(10, 13, "in words", "tick"),
        text(392, 13, "likelihood ratio", "tick", text_anchor="end"),
    ]
    for index, step in enumerate(ladder):
        y, case = top + row * index, step.word == word(value)
        parts.append(rectangle(2, y, 396, row, "step case" if case else "step"))
        parts.append(text(10, y + 16, step.word, "label case-label" if case else "label"))
        parts.append(text(392, y + 16, reach(step), "figure", text_anchor="end"))
    parts.append(line(axis, top, axis, bottom, "rail"))
    if low is not None and high is not None:
        parts.append(line(axis, top + row * _level(high), axis, top + row * _level(low), "interval"))
    if cap is not None:
        y = top + row * _level(cap)
        parts.append(line(axis - 9, y, axis + 9, y, "chance"))
    parts.append(element("circle", cx=axis, cy=top + row * _level(value), r=5.5, class_="suspect"))
    described = f"Likelihood ratio {wording.ratio(value)}, on the step called: {word(value)}"
    return drawing(identifier, "The case on the printed scale", described, bottom + 3, parts)


def _level(log10_ratio: float) -> float:
    """Where a log10 likelihood ratio stands on the ladder, in steps from the top; the open ends count as three decades."""
    ladder = tuple(reversed(SCALE))
    index = next(index for index, step in enumerate(ladder) if step.word == word(log10_ratio))
    step = ladder[index]
    floor = step.log10_high - 3.0 if math.isinf(step.log10_low) else step.log10_low
    ceiling = step.log10_low + 3.0 if math.isinf(step.log10_high) else step.log10_high
    within = (log10_ratio - floor) / (ceiling - floor)
    return index + 1 - min(max(within, 0.0), 1.0)


def reach(step: Step) -> str:
    """The likelihood ratios of one step: '10 to 100', '10^6 and more'."""
    if math.isinf(step.log10_high):
        return f"{wording.ratio(step.log10_low)} and more"
    if math.isinf(step.log10_low):
        return f"{wording.ratio(step.log10_high)} and less"
    return f"{wording.ratio(step.log10_low)} to {wording.ratio(step.log10_high)}"
