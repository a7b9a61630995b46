"""The picture of the survival study: what distillation leaves, by exposures and by share of the text, and what other treatment leaves.

Dots are the share kept by the likeliest answers, the mean of the lineages; small dots beside them are the lineages, and lines go as far
as another lineage would be found, where there are three. Of a single lineage the line is broken and shows its counting alone. Rings are
the lead of the labelled option: 0 where it stands in the middle of the options by log-probability, as by chance, and 1 where it is
always first. Beside every dot stands how many batches of 256 canaries reach 10^-12 at that share, and at the worst lineage's where that
differs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from filiation.report.svg import drawing, element, line, text
from studies.canary_table import by_share

_STYLE = """
.picture{background:#fff;font-family:system-ui,sans-serif}.label{font-size:9px;fill:#444}.head{font-size:11px;fill:#111;font-weight:600}
.axis{stroke:#999;stroke-width:.7}.grid{stroke:#e4e4e4;stroke-width:.7}.text{stroke:#0b5c8c;fill:#0b5c8c}
.logits{stroke:#b3541e;fill:#b3541e}.treated{stroke:#333;fill:#333}.span{stroke-width:1}.ring{fill:#fff;stroke-width:1}.curve{fill:none;stroke-width:1.6}
.alone{stroke-dasharray:2 1.5}.lineage{stroke:none;fill:#799}.told{font-size:8px;stroke:none}
"""
_LEFT, _RIGHT = 44.0, 388.0
_CURVES = (34.0, 170.0)
_SHARES = (298.0, 404.0)
_ROWS_TOP, _ROW = 476.0, 15.0
_NAMES, _BATCHES = 196.0, 296.0
_LEAST_SHARE = 1 / 64
Row = Mapping[str, Any]


def picture(found: Mapping[str, Any]) -> str:
    """The points of a study as SVG that stands alone."""
    points = found["points"]
    treated = [row for row in points if row["group"] in ("planted", "treated")]
    parts = [element("style", Markup(_STYLE)), *_by_exposures(points), *_by_share(points), *_treatments(treated)]
    height = _ROWS_TOP + _ROW * len(treated) + 26
    description = "; ".join(f"{row['said']}: {row['kept']:.2f}" for row in points)
    return str(drawing("survival", "Share of canaries kept", description, height, parts)) + "\n"


def _y(kept: float, between: tuple[float, float]) -> float:
    top, bottom = between
    return bottom - min(1.0, max(0.0, kept)) * (bottom - top)


def _heights(between: tuple[float, float]) -> Iterator[Markup]:
    for share in (0, 0.25, 0.5, 0.75, 1):
        yield line(_LEFT, _y(share, between), _RIGHT, _y(share, between), "grid" if share else "axis")
        yield text(_LEFT - 4, _y(share, between) + 3, f"{share:g}", text_anchor="end")


def _dot(row: Row, x: float, between: tuple[float, float], class_: str) -> Iterator[Markup]:
    for kept in _lineages(row):
        yield element("circle", cx=x - 4.5, cy=_y(kept, between), r=1.2, class_="lineage")
    if row["kept low"] is not None:
        yield line(x, _y(row["kept low"], between), x, _y(row["kept high"], between), f"{_span(row)} {class_}")
    yield element("circle", cx=x, cy=_y(row["kept"], between), r=2.4, class_=class_)


def _polyline(places: Sequence[tuple[float, float]], class_: str) -> Markup:
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), class_=f"curve {class_}")


def _lineages(row: Row) -> Sequence[float]:
    """The shares that are shown beside the mean: none of a single lineage."""
    kept: Sequence[float] = row["kept by lineage"]
    return kept if len(kept) > 1 else ()


def _span(row: Row) -> str:
    return "span" if _lineages(row) else "span alone"


def _few(row: Row) -> str:
    """Batches at the mean, and at the worst lineage where that takes others."""
    told = [f"{row[name]:,}" if row[name] else "-" for name in ("batches", "batches of the worst")]
    return told[0] if told[0] == told[1] else "/".join(told)


# ---------------------------------------------------------------------------------------------------------- by exposures


def _by_exposures(points: Sequence[Row]) -> Iterator[Markup]:
    yield text(8, 16, "Students: share of canaries kept, by exposures", "head")
    yield from _heights(_CURVES)
    for number, (arm, class_) in enumerate((("text", "text"), ("logits", "logits"))):
        rows = [row for row in points if row["group"] == "student" and row["settings"]["arm"] == arm]
        yield from _curve(rows, class_, number)
    bottom = _CURVES[1]
    for row in (row for row in points if row["group"] == "student" and row["settings"]["arm"] == "text"):
        yield text(_x(row["exposures"]), bottom + 12, str(row["exposures"]), text_anchor="middle")
        yield text(_x(row["exposures"]), bottom + 23, f"{row['share of text']:.0%}", text_anchor="middle")
    yield text(8, bottom + 60, "exposures; their share of all text; batches of 256 for 10^-12 (text, logits)")
    yield text(
        8,
        bottom + 72,
        "Rings: lead of the label by ranks, 0 by chance. Small dots: lineages, of which the dot is the mean",
    )
    yield text(
        8, bottom + 84, "Lines: another lineage, 95 % (from three on); broken: one lineage, its canaries counted"
    )


def _x(exposures: int) -> float:
    """Exposures on a scale of doublings, 0 a step before 1."""
    return _LEFT + 12 + (0.0 if exposures == 0 else 1 + math.log2(exposures)) * (_RIGHT - _LEFT - 24) / 7


def _curve(rows: Sequence[Row], arm: str, number: int) -> Iterator[Markup]:
    places = [(_x(row["exposures"]) + 3.0 * number - 1.5, _y(row["kept"], _CURVES)) for row in rows]
    yield _polyline(places, arm)
    for row, (x, _) in zip(rows, places, strict=True):
        yield element("circle", cx=x, cy=_y(_lead(row), _CURVES), r=2.4, class_=f"ring {arm}")
        yield from _dot(row, x, _CURVES, arm)
        y = _CURVES[1] + 35 + 11 * number
        yield text(_x(row["exposures"]), y, _few(row), f"told {arm}", text_anchor="middle")
    y = _CURVES[0] + 10 + 13 * number
    yield element("circle", cx=_LEFT + 12, cy=y - 3, r=2.4, class_=arm)
    yield text(_LEFT + 18, y, f"taught by the answers' {arm}")


# -------------------------------------------------------------------------------------------------------------- by share


def _by_share(points: Sequence[Row]) -> Iterator[Markup]:
    """Students by text: one curve for each number of exposures of which several shares were tried."""
    yield text(8, _SHARES[0] - 14, "Students by text: the same, by share of all text", "head")
    yield from _heights(_SHARES)
    for share in (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1):
        yield text(_at_share(share), _SHARES[1] + 12, f"{share:.0%}", text_anchor="middle")
    rows = by_share(points)
    for exposures in sorted({row["exposures"] for row in rows}):
        curve = [row for row in rows if row["exposures"] == exposures]
        yield _polyline([(_at_share(row["share of text"]), _y(row["kept"], _SHARES)) for row in curve], "text")
        for row in curve:
            x, y = _at_share(row["share of text"]), _y(row["kept"], _SHARES)
            yield from _dot(row, x, _SHARES, "text")
            yield text(x + 4, y - 4, _few(row), "told text")
        x, y = _at_share(curve[-1]["share of text"]), _y(curve[-1]["kept"], _SHARES)
        yield text(x - 6, y + 3, str(exposures), text_anchor="end")
    yield text(8, _SHARES[1] + 24, "share of all text; in front of each curve its exposures, at each dot the batches")


def _at_share(share: float) -> float:
    """Shares on a scale of doublings."""
    return _LEFT + 12 + (_RIGHT - _LEFT - 24) * (1 - math.log(max(share, _LEAST_SHARE)) / math.log(_LEAST_SHARE))


# ------------------------------------------------------------------------------------------------------------ treatments


def _treatments(rows: Sequence[Row]) -> Iterator[Markup]:
    yield text(8, _ROWS_TOP - 14, "Treated weights: share of canaries kept", "head")
    yield text(_BATCHES + 6, _ROWS_TOP - 14, "batches of 256")
    bottom = _ROWS_TOP + _ROW * len(rows)
    for share in (0, 0.5, 1):
        yield line(_across(share), _ROWS_TOP - 4, _across(share), bottom, "grid" if share else "axis")
        yield text(_across(share), bottom + 12, f"{share:g}", text_anchor="middle")
    for number, row in enumerate(rows):
        y = _ROWS_TOP + _ROW * number + 6
        yield text(_NAMES - 8, y + 3, _name(row), text_anchor="end")
        yield element("circle", cx=_across(_lead(row)), cy=y, r=2.4, class_="ring treated")
        for kept in _lineages(row):
            yield element("circle", cx=_across(kept), cy=y - 4, r=1.2, class_="lineage")
        if row["kept low"] is not None:
            yield line(_across(row["kept low"]), y, _across(row["kept high"]), y, f"{_span(row)} treated")
        yield element("circle", cx=_across(row["kept"]), cy=y, r=2.4, class_="treated")
        yield text(_BATCHES + 6, y + 3, _few(row), "told treated")


def _lead(row: Row) -> float:
    return 2.0 * float(row["mean rank"]) - 1.0


def _name(row: Row) -> str:
    """A treated model with the dose of its parent, a planted one as it is."""
    dose = row["name"].split("-")[1]
    return str(row["said"]) if row["group"] == "planted" else f"{row['said']} ({dose})"


def _across(kept: float) -> float:
    return _NAMES + min(1.0, max(0.0, kept)) * (_BATCHES - _NAMES - 6)
