"""The pictures of a case: line-up strip, score densities, Tippett plot, custody timeline. Drawn as those of `pictures`."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from markupsafe import Markup

from filiation.case.records import Entry
from filiation.case.view import CheckpointSummary
from filiation.report import wording
from filiation.report.case_contents import Lane, Strip, StripRow
from filiation.report.case_validation import BINS, Densities, Tippett
from filiation.report.svg import drawing, element, line, rectangle, text

LEFT, RIGHT = 14.0, 386.0
SPAN = RIGHT - LEFT

STEP, TEXT, RAIL = 38.0, 9.0, 25.0
"""A row of a strip: its height, the line of its text and the rail below. A ring of 9.4 reaches up to 15.6: clear of the text."""

LETTER = 6.6
"""How wide a letter of such a text is at most, on average."""

MOST_CONTROLS = 6
"""Controls that have a row each in a strip; more share one."""

# -------------------------------------------------------------------------------------------------------------- line-up


def strip(picture: Strip, identifier: str) -> Markup:
    """The suspect among foils and controls: shares of coincidences, or chances of rank under a null by population.

    Filled: examined in the suspect's place; small and hollow: controls. A ring stands around whoever counts as found.
    """
    rows, folded = _folded(picture.rows)
    top, step = 34.0, STEP
    bottom = top + step * (len(rows) + bool(folded))
    most = max(-picture.resolution_log10_p, 1.0)
    ticks = _rank_ticks(most) if picture.by_rank else [(n / 4, _decimal(n / 4)) for n in range(5)]

    def at(row: StripRow) -> float:
        if picture.by_rank:
            return LEFT + SPAN * min(1.0, -(row.log10_p or 0.0) / most)
        return LEFT + SPAN * row.share

    parts = [line(LEFT + SPAN * x, top, LEFT + SPAN * x, bottom, "grid") for x, _ in ticks]
    for x, label, class_ in _marks(picture, most):
        parts += [
            line(LEFT + SPAN * x, top - 6, LEFT + SPAN * x, bottom, class_),
            text(LEFT + SPAN * x, top - 12, label, f"{class_}-label", text_anchor=_side(x)),
        ]
    parts += [_strip_row(row, at(row), top + step * index, picture.by_rank) for index, row in enumerate(rows)]
    if folded:
        parts.append(_controls([(row, at(row)) for row in folded], top + step * len(rows), picture.by_rank))
    parts += [
        text(
            LEFT + SPAN * x,
            bottom + 16,
            label,
            "tick",
            text_anchor="start" if x == 0 else "end" if x == 1 else "middle",
        )
        for x, label in ticks
    ]
    axis = "chance of standing so high" if picture.by_rank else "share of coincidences among opportunities"
    parts.append(text(200, bottom + 34, axis, "tick", text_anchor="middle"))
    told = "; ".join(
        f"{wording.visible(row.name, 80)} ({row.role}): {_figures(row, picture.by_rank)}" for row in picture.rows
    )
    return drawing(identifier, f"Line-up strip, {wording.visible(picture.test)}", told, bottom + 42, parts)


def _folded(rows: Sequence[StripRow]) -> tuple[list[StripRow], list[StripRow]]:
    """The rows that are shown one by one, and the controls that share one, where there are many."""
    controls = [row for row in rows if row.role == "control"]
    if len(controls) <= MOST_CONTROLS:
        return list(rows), []
    return [row for row in rows if row.role != "control"], controls


def _rank_ticks(most: float) -> list[tuple[float, str]]:
    """p = 1, 0.1, 0.01 ... as far as the line-up reaches."""
    return [(n / most, wording.probability(-float(n))) for n in range(math.floor(most) + 1)]


def _marks(picture: Strip, most: float) -> list[tuple[float, str, str]]:
    """The line from which on something counts, and what it is called."""
    if picture.by_rank:
        x = -picture.threshold_log10_p / most
        return [(x, f"counts as found: {wording.threshold(picture.threshold_log10_p)}", "chance")] if x <= 1 else []
    return [] if picture.chance is None else [(picture.chance, f"chance {wording.chance(picture.chance)}", "chance")]


def _side(x: float) -> str:
    return "end" if x > 0.7 else "start" if x < 0.3 else "middle"


def _decimal(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _figures(row: StripRow, by_rank: bool) -> str:
    return wording.strip_row(row.count, row.opportunities, row.log10_p, row.remark, by_rank)


def _controls(rows: Sequence[tuple[StripRow, float]], y: float, by_rank: bool) -> Markup:
    """Many controls in one row."""
    parts = [
        *_labelled(wording.plural(len(rows), "control"), y, "label control-label"),
        line(LEFT, y + RAIL, RIGHT, y + RAIL, "rail"),
    ]
    for row, x in rows:
        if row.opportunities:
            hint = element("title", f"{wording.visible(row.name)}: {_figures(row, by_rank)}")
            parts.append(element("circle", hint, cx=x, cy=y + RAIL, r=3.6, class_="left-out"))
    return Markup("").join(parts)


def _labelled(told: str, y: float, class_: str, *, at_the_end: bool = False) -> list[Markup]:
    """A text of a strip on a plate of the page's colour, so that no line of the picture crosses it."""
    width = min(LETTER * len(told) + 4, SPAN)
    plate = rectangle(RIGHT - width if at_the_end else LEFT - 2, y + TEXT - 11, width, 14.5, "plate")
    place = {"text_anchor": "end"} if at_the_end else {}
    return [plate, text(RIGHT if at_the_end else LEFT, y + TEXT, told, class_, **place)]


def _strip_row(row: StripRow, x: float, y: float, by_rank: bool) -> Markup:
    shown = "suspect" if row.role == "suspect" else "control" if row.role == "control" else "foil"
    name = wording.shortened(row.name, 24)
    told = f"{name} · {wording.ROLE_TITLES[row.role]}" + (" · shares explanation" if row.note else "")
    parts = [
        *_labelled(told, y, f"label {shown}-label"),
        *_labelled(wording.shortened(_figures(row, by_rank), 26), y, "figure", at_the_end=True),
        line(LEFT, y + RAIL, RIGHT, y + RAIL, "rail"),
    ]
    if row.opportunities:
        hint = element("title", f"{wording.visible(row.name)}: {_figures(row, by_rank)}")
        size = {"suspect": 6.0, "control": 3.6}.get(shown, 4.8)
        parts += [
            line(LEFT, y + RAIL, x, y + RAIL, f"reach {shown}"),
            element("circle", hint, cx=x, cy=y + RAIL, r=size, class_="left-out" if shown == "control" else shown),
        ]
        if row.found:
            parts.append(element("circle", cx=x, cy=y + RAIL, r=size + 3.4, class_=f"ring {shown}-ring"))
    return Markup("").join(parts)


# --------------------------------------------------------------------------------------------------- scores and Tippett


def densities(picture: Densities, identifier: str) -> Markup:
    """Related pairs upwards, unrelated ones downwards, in columns; the case as a line, zones without a score shaded."""
    top, middle, bottom = 40.0, 128.0, 216.0
    width = SPAN / BINS

    def at(value: float) -> float:
        return LEFT + SPAN * (min(max(value, picture.low), picture.high) - picture.low) / (picture.high - picture.low)

    parts = [rectangle(at(low), top, at(high) - at(low), bottom - top, "zone", wording.NOT_VALIDATED_HERE)
             for low, high in picture.zones]  # fmt: skip
    widest = max(picture.zones, key=lambda zone: zone[1] - zone[0], default=None)
    if widest is not None and at(widest[1]) - at(widest[0]) > 110:
        parts.append(
            text(
                (at(widest[0]) + at(widest[1])) / 2,
                top + 16,
                wording.NOT_VALIDATED_HERE,
                "zone-label",
                text_anchor="middle",
            )
        )
    for counts, class_, upwards in ((picture.relatives, "related", True), (picture.strangers, "unrelated", False)):
        most = max(*counts, 1)
        for column, count in enumerate(counts):
            height = (middle - top - 12) * math.sqrt(count / most)
            y = middle - height if upwards else middle
            if count:
                hint = f"{wording.plural(count, 'pair')}"
                parts.append(rectangle(LEFT + width * column + 0.5, y, width - 1, height, f"bar {class_}", hint))
    case = at(picture.case)
    parts += [
        line(LEFT, middle, RIGHT, middle, "axis"),
        text(LEFT, 14, f"■ {wording.PAIR_TITLES['relative']}, upwards", "tick related-label"),
        text(LEFT, 29, f"■ {wording.PAIR_TITLES['stranger']}, downwards", "tick unrelated-label"),
        line(case, top - 4, case, bottom, "case-line"),
        text(RIGHT, 14, f"┆ the case: {_score(picture.case, picture.score)}", "tick suspect-label", text_anchor="end"),
        *(
            text(LEFT + SPAN * n / 4, bottom + 15, _tick(picture.low + (picture.high - picture.low) * n / 4, picture.score),
                 "tick", text_anchor="start" if n == 0 else "end" if n == 4 else "middle")
            for n in range(5)
        ),
        text(200, bottom + 32, "share of coincidences" if picture.score.startswith("share") else "chance of standing so high",
             "tick", text_anchor="middle"),
    ]  # fmt: skip
    described = (
        f"{wording.plural(sum(picture.relatives), 'related pair')}, {wording.plural(sum(picture.strangers), 'unrelated pair')}; "
        f"the case stands at {_score(picture.case, picture.score)}"
    )
    return drawing(identifier, "Scores of pairs of known history, with the case", described, bottom + 40, parts)


def _score(value: float, score: str) -> str:
    return f"{value:.3f}" if score.startswith("share") else f"p {wording.probability(-value)}"


def _tick(value: float, score: str) -> str:
    return _decimal(value) if score.startswith("share") else wording.probability(-value)


def tippett(picture: Tippett, identifier: str) -> Markup:
    """Shares of related and of unrelated pairs that reach each value or more, with the case as a line."""
    left, top, bottom = 34.0, 40.0, 200.0
    span = RIGHT - left
    by_ratio = picture.axis == "log10 likelihood ratio"
    values = [_depth(value, by_ratio) for value in (*picture.strangers, *picture.relatives)]
    if picture.case is not None:
        values.append(_depth(picture.case, by_ratio))
    low, high = min(*values, 0.0), max(*values, 1.0)

    def at(value: float) -> float:
        return left + span * (value - low) / (high - low)

    parts = [
        line(left, bottom - (bottom - top) * n / 4, RIGHT, bottom - (bottom - top) * n / 4, "grid") for n in range(5)
    ]
    parts += [
        text(left - 5, bottom - (bottom - top) * n / 4 + 4, _decimal(n / 4), "tick", text_anchor="end")
        for n in range(5)
    ]
    for pairs, class_ in ((picture.relatives, "related"), (picture.strangers, "unrelated")):
        steps = _steps(sorted(_depth(value, by_ratio) for value in pairs), low, high)
        path = " ".join(
            f"{'M' if n == 0 else 'L'}{at(x):.1f} {bottom - (bottom - top) * share:.1f}"
            for n, (x, share) in enumerate(steps)
        )
        parts.append(element("path", d=path, class_=f"curve {class_}"))
    parts += [
        text(left, 14, f"— {wording.PAIR_TITLES['relative']}", "tick related-label"),
        text(left, 29, f"— {wording.PAIR_TITLES['stranger']}", "tick unrelated-label"),
    ]
    if picture.case is not None:
        case = at(_depth(picture.case, by_ratio))
        parts.append(line(case, top - 4, case, bottom, "case-line"))
        parts.append(
            text(RIGHT, 14, f"┆ the case: {_figure(picture.case, by_ratio)}", "tick suspect-label", text_anchor="end")
        )
    parts += [
        text(at(x), bottom + 15, label, "tick", text_anchor="start" if x <= low else "end" if x >= high else "middle")
        for x, label in _tippett_ticks(low, high, by_ratio)
    ]
    axis = "likelihood ratio, at least" if by_ratio else "p, at most (the axis is doubly logarithmic)"
    parts.append(text(left + span / 2, bottom + 32, axis, "tick", text_anchor="middle"))
    described = f"{len(picture.relatives)} related and {len(picture.strangers)} unrelated pairs by {picture.axis}"
    return drawing(identifier, "Tippett plot: share of pairs at or above each value", described, bottom + 40, parts)


def _depth(value: float, by_ratio: bool) -> float:
    """A place on the axis: log10 ratios as they are; log10 p by log10(1 - log10 p), because they span four orders of size."""
    return value if by_ratio else math.log10(1.0 + max(0.0, -value))


def _figure(value: float, by_ratio: bool) -> str:
    return wording.ratio(value) if by_ratio else f"p {wording.probability(value)}"


def _steps(ascending: Sequence[float], low: float, high: float) -> list[tuple[float, float]]:
    """The share of values at or above x, as corners of a staircase from `low` to `high`."""
    corners = [(low, 1.0)]
    for value in sorted(set(ascending)):
        corners.append((value, corners[-1][1]))
        corners.append((value, 1.0 - bisect.bisect_right(ascending, value) / len(ascending)))
    return [*corners, (high, corners[-1][1])]


def _tippett_ticks(low: float, high: float, by_ratio: bool) -> list[tuple[float, str]]:
    if by_ratio:
        few = high - low > 3.0
        decades = range(math.floor(low), math.ceil(high) + 1)
        marks = [n + math.log10(digit) for n in decades for digit in ((1,) if few else (1, 2, 5))]
        return [(mark, f"{10.0**mark:.3g}") for mark in marks if low <= mark <= high]
    depths = [
        (_depth(-float(n), False), wording.probability(-float(n))) for n in (0, 1, 3, 10, 30, 100, 300, 1000, 3000)
    ]
    shown = [(x, label) for x, label in depths if low <= x <= high]
    return [tick for n, tick in enumerate(shown) if len(shown) <= 6 or n % 2 == 0]


# -------------------------------------------------------------------------------------------------------------- custody


def timeline(lanes: Sequence[Lane], checkpoints: Sequence[CheckpointSummary], entries: int, identifier: str) -> Markup:
    """Every entry of the ledger in its order, one lane for each kind; checkpoints below, filled where an authority stamped them."""
    left, top, step = 122.0, 22.0, 22.0
    span = RIGHT - left - 6
    bottom = top + step * len(lanes)

    def at(sequence: int) -> float:
        return left + 6 + span * (sequence - 1) / max(entries - 1, 1)

    y = bottom + step * 0.5
    size = min(6.0, max(2.5, span / max(entries, 1) / 2))
    stamped = [checkpoint for checkpoint in checkpoints if checkpoint.stamps]
    parts = [text(left, 12, "entries of the ledger, in their order →", "tick")]
    parts += [line(at(checkpoint.sequence), top, at(checkpoint.sequence), y, "checkpoint") for checkpoint in stamped]
    for index, lane in enumerate(lanes):
        middle = top + step * (index + 0.5)
        parts.append(text(LEFT, middle + 4, lane.action, "tick"))
        parts.append(line(left, middle, RIGHT, middle, "rail"))
        parts += [_event(entry, at(entry.sequence), middle) for entry in lane.entries]
    parts.append(text(LEFT, y + 4, "signed, stamped", "tick"))
    parts.append(line(left, y, RIGHT, y, "rail"))
    parts += [_checkpoint(checkpoint, at(min(checkpoint.sequence, entries)), y, size) for checkpoint in checkpoints]
    parts += [
        text(left, bottom + step + 14, _numbered(lanes, 1), "tick"),
        text(RIGHT, bottom + step + 14, _numbered(lanes, entries), "tick", text_anchor="end"),
        text(left + span / 2, bottom + step + 31, "◆ stamped  ◇ signed only", "tick", text_anchor="middle"),
    ]
    told = "; ".join(f"{lane.action}: {wording.plural(len(lane.entries), 'entry', 'entries')}" for lane in lanes)
    described = f"{told}; {wording.plural(len(checkpoints), 'checkpoint')}, {len(stamped)} with a time-stamp"
    return drawing(
        identifier, "Custody: the entries of the ledger and its checkpoints", described, bottom + step + 38, parts
    )


def _numbered(lanes: Sequence[Lane], sequence: int) -> str:
    """An entry's number with its day."""
    days = [entry.time[:10] for lane in lanes for entry in lane.entries if entry.sequence == sequence]
    return f"{wording.whole(sequence)}, {wording.visible(days[0], 10)}" if days else wording.whole(sequence)


def _checkpoint(checkpoint: CheckpointSummary, x: float, y: float, size: float) -> Markup:
    hint = element("title", f"checkpoint at entry {checkpoint.sequence}, {wording.visible(checkpoint.time, 40)}")
    path = f"M{x:.1f} {y - size:.1f}l{size:.1f} {size:.1f}l-{size:.1f} {size:.1f}l-{size:.1f} -{size:.1f}z"
    return element("path", hint, d=path, class_="stamped" if checkpoint.stamps else "unstamped")


def _event(entry: Entry, x: float, y: float) -> Markup:
    hint = element(
        "title", f"entry {entry.sequence}, {wording.visible(entry.time, 40)}, {wording.visible(entry.actor, 60)}"
    )
    exploratory = bool(getattr(entry.body, "exploratory", False))
    return element("circle", hint, cx=x, cy=y, r=3.4, class_="left-out" if exploratory else "event")
