"""The picture of the survival study: what distillation leaves, by exposures, and what is left of planted canaries after other treatment.

Dots are the share kept by the likeliest answers, with its interval. Rings are the lead of the labelled option: 0 where it stands in the
middle of the options by log-probability, as by chance, and 1 where it is always first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from filiation.report.svg import drawing, element, line, text

_STYLE = """
.picture{background:#fff;font-family:system-ui,sans-serif}.label{font-size:9px;fill:#444}.head{font-size:11px;fill:#111;font-weight:600}
.axis{stroke:#999;stroke-width:.7}.grid{stroke:#e4e4e4;stroke-width:.7}.text{stroke:#0b5c8c;fill:#0b5c8c}
.logits{stroke:#b3541e;fill:#b3541e}.treated{stroke:#333;fill:#333}.span{stroke-width:1}.ring{fill:#fff;stroke-width:1}.curve{fill:none;stroke-width:1.6}
"""
_LEFT, _RIGHT = 44.0, 388.0
_CURVES_TOP, _CURVES_BOTTOM = 34.0, 170.0
_ROWS_TOP, _ROW = 244.0, 15.0
_NAMES = 208.0
Row = Mapping[str, Any]


def picture(found: Mapping[str, Any]) -> str:
    """The points of a study as SVG that stands alone."""
    curves = {arm: _arm(found["points"], arm) for arm in ("text", "logits")}
    treated = [row for row in found["points"] if row["group"] in ("planted", "treated")]
    parts = [element("style", Markup(_STYLE)), *_axes(curves["text"])]
    for number, (arm, rows) in enumerate(curves.items()):
        parts += [*_curve(rows, arm), *_legend(arm, number)]
    parts += _treatments(treated)
    height = _ROWS_TOP + _ROW * len(treated) + 26
    description = "; ".join(f"{row['said']}: {row['kept']:.2f}" for row in found["points"])
    return str(drawing("survival", "Share of canaries kept", description, height, parts)) + "\n"


def _arm(points: Sequence[Row], arm: str) -> list[Row]:
    return [row for row in points if row["group"] == "student" and row["settings"]["arm"] == arm]


def _x(exposures: int) -> float:
    """Exposures on a scale of doublings, 0 a step before 1."""
    return _LEFT + 12 + (0.0 if exposures == 0 else 1 + math.log2(exposures)) * (_RIGHT - _LEFT - 24) / 7


def _y(kept: float) -> float:
    return _CURVES_BOTTOM - min(1.0, max(0.0, kept)) * (_CURVES_BOTTOM - _CURVES_TOP)


def _axes(rows: Sequence[Row]) -> Iterator[Markup]:
    yield text(8, 16, "Students: share of canaries kept, by exposures", "head")
    for tenth in (0, 0.25, 0.5, 0.75, 1):
        yield line(_LEFT, _y(tenth), _RIGHT, _y(tenth), "grid" if tenth else "axis")
        yield text(_LEFT - 4, _y(tenth) + 3, f"{tenth:g}", text_anchor="end")
    for row in rows:
        yield text(_x(row["exposures"]), _CURVES_BOTTOM + 12, str(row["exposures"]), text_anchor="middle")
        share = f"{row['share of text']:.0%}"
        yield text(_x(row["exposures"]), _CURVES_BOTTOM + 23, share, text_anchor="middle")
    below = "exposures; their share of all text. Rings: lead of the label by ranks, 0 by chance"
    yield text(8, _CURVES_BOTTOM + 36, below)


def _curve(rows: Sequence[Row], arm: str) -> Iterator[Markup]:
    shift = -1.5 if arm == "text" else 1.5
    places = [(_x(row["exposures"]) + shift, _y(row["kept"])) for row in rows]
    yield element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), class_=f"curve {arm}")
    for row, (x, y) in zip(rows, places, strict=True):
        yield element("circle", cx=x, cy=_y(_lead(row)), r=2.4, class_=f"ring {arm}")
        yield line(x, _y(row["kept low"]), x, _y(row["kept high"]), f"span {arm}")
        yield element("circle", cx=x, cy=y, r=2.4, class_=arm)


def _legend(arm: str, number: int) -> Iterator[Markup]:
    y = _CURVES_TOP + 10 + 13 * number
    yield element("circle", cx=_LEFT + 12, cy=y - 3, r=2.4, class_=arm)
    yield text(_LEFT + 18, y, "taught by the answers' text" if arm == "text" else "taught by the answers' logits")


def _treatments(rows: Sequence[Row]) -> Iterator[Markup]:
    yield text(8, _ROWS_TOP - 14, "Treated weights: share of canaries kept", "head")
    bottom = _ROWS_TOP + _ROW * len(rows)
    for tenth in (0, 0.25, 0.5, 0.75, 1):
        yield line(_across(tenth), _ROWS_TOP - 4, _across(tenth), bottom, "grid" if tenth else "axis")
        yield text(_across(tenth), bottom + 12, f"{tenth:g}", text_anchor="middle")
    for number, row in enumerate(rows):
        y = _ROWS_TOP + _ROW * number + 6
        yield text(_NAMES - 8, y + 3, _name(row), text_anchor="end")
        yield element("circle", cx=_across(_lead(row)), cy=y, r=2.4, class_="ring treated")
        yield line(_across(row["kept low"]), y, _across(row["kept high"]), y, "span treated")
        yield element("circle", cx=_across(row["kept"]), cy=y, r=2.4, class_="treated")


def _lead(row: Row) -> float:
    return 2.0 * float(row["mean rank"]) - 1.0


def _name(row: Row) -> str:
    """A treated model with the dose of its parent, a planted one as it is."""
    dose = row["name"].split("-")[1]
    return str(row["said"]) if row["group"] == "planted" else f"{row['said']} ({dose})"


def _across(kept: float) -> float:
    return _NAMES + min(1.0, max(0.0, kept)) * (_RIGHT - _NAMES - 6)
