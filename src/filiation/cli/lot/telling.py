"""What a verification of a lot says on a terminal, and what it does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from filiation.report.wording import plural, visible

if TYPE_CHECKING:
    from filiation.lots.subject import Purpose
    from filiation.lots.verification import Result

ITEMS: dict[Purpose, tuple[str, str]] = {
    "order": ("document", "documents"),
    "twins": ("pair", "pairs"),
    "watermark": ("key", "keys"),
}
SHOWN = (
    "Shown: subject and secret were fixed before the beacon spoke, and what is drawn follows from them and from it. Nobody could choose "
    "among draws, except among secrets that were committed to beforehand."
)
NOT_SHOWN: dict[Purpose, str] = {
    "order": "Not shown: that the owner trained in the drawn order. If nobody did, no suspect will remember it.",
    "twins": "Not shown: that the two texts of a pair are equally good, which a third party should judge before the beacon speaks. Nor "
    "that the drawn one, and it alone, was published.",
    "watermark": "Not shown: that any text was marked with the drawn key.",
}
NUMBER = (
    "That the owner made no other lots is the owner's word. Whoever secretly had many stamped before the beacon could show the best: a "
    "figure p would take about 1/p of them, each with its stamps."
)


def items_told(purpose: Purpose, items: int) -> str:
    """'order, 1,000 documents'."""
    return f"{purpose}, {plural(items, *ITEMS[purpose])}"


def result_told(result: Result) -> list[str]:
    """The result in lines."""
    lines = [
        f"lot {result.number} of {visible(result.owner, 100)}: {items_told(result.purpose, result.items)}; made {visible(result.made, 40)}",
        f"commitment {result.commitment}, subject {result.subject}",
        f"beacon: {visible(result.beacon, 200)}, public at {result.beacon_time}",
        *(f"  after the stamp of {visible(name, 60)} at {time}" for name, time in result.stamps.items()),
        *(f"certificate with the SHA-256 fingerprint {each}" for each in result.certificates),
        *(f"earlier lot, as the owner says: {each}" for each in result.earlier),
        *(f"note: {visible(remark)}" for remark in result.remarks),
    ]
    return [*lines, "", SHOWN, NOT_SHOWN[result.purpose], NUMBER]
