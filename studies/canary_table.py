"""The survival study's points as the Markdown tables of docs/canaries.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def tables(found: Mapping[str, Any]) -> str:
    """All tables, each under the words that the docs lead to it with."""
    return "\n\n".join(f"{head}\n\n{table}" for head, table in parts(found).items()) + "\n"


def parts(found: Mapping[str, Any]) -> dict[str, str]:
    """Tables by what they show."""
    rows: Sequence[Row] = found["points"]
    top = next(row["name"] for row in rows if row["group"] == "planted")
    treated = [row for row in rows if row["group"] == "treated"]
    named = {
        "model": [(row["said"], row) for row in rows if row["group"] in ("control", "planted")],
        f"dose {_dose(top)}, then": [(row["said"], row) for row in treated if row["name"].startswith(f"{top}-")],
        "lower doses, then": [
            (f"dose {_dose(row['name'])}, {row['said']}", row)
            for row in treated
            if not row["name"].startswith(f"{top}-")
        ],
        "student's exposures, share of text": [(_student(row), row) for row in rows if row["group"] == "student"],
        "exposures, share of text": [(_student(row), row) for row in by_share(rows)],
    }
    return {head: table(head, found["canaries"], of_one) for head, of_one in named.items() if of_one}


def table(head: str, of: int, rows: Sequence[tuple[str, Row]]) -> str:
    """A table under its head, a line for each named point."""
    lines = [{head: name} | cells(row, of) for name, row in rows]
    return "\n".join([_line(lines[0]), "|---" * len(lines[0]) + "|", *(_line(each.values()) for each in lines)])


def _line(told: Iterable[str]) -> str:
    return f"| {' | '.join(told)} |"


def cells(row: Row, of: int) -> dict[str, str]:
    """One point by the heads of its columns: that of one model, or that of several lineages."""
    return over_lineages(row, of) if "kept by lineage" in row else alone(row, of)


def alone(row: Row, of: int) -> dict[str, str]:
    """A point of one model, by its answers."""
    expected, at_most = row["batches"], row["batches at most"]
    further = "" if expected == at_most else f" (up to {at_most:,})" if at_most else " (no upper limit)"
    return {
        f"agreements of {of}": str(row["agreements"]),
        "share kept (95 %)": f"{_share(row['kept'])} ({_between(row)})",
        "log10 p": _log(row["log10 p"]),
        "batches": f"{_count(expected)}{further}",
    }


def over_lineages(row: Row, of: int) -> dict[str, str]:
    """A point of several lineages, or of one of them alone."""
    kept = row["kept by lineage"]
    span = f" ({_share(min(kept))} to {_share(max(kept))})" if len(kept) > 1 else ""
    return {
        f"agreements of {of}": ", ".join(map(str, row["agreements"])),
        "share kept (lineages)": f"{_share(row['kept'])}{span}",
        "another lineage, 95 %": another(row),
        "log10 p": _log(row["log10 p"]),
        "batches: mean / worst / limit": batches(row),
        "log10 p by ranks": _log(row["log10 p by ranks"]),
        "batches by ranks": _count(row["batches by ranks, about"]),
    }


def another(row: Row) -> str:
    """The interval, or why there is none."""
    if row["kept low"] is None:
        return "two are too few"
    return f"counted: {_between(row)}" if len(row["kept by lineage"]) == 1 else _between(row)


def batches(row: Row) -> str:
    """Batches at the share that was kept, at that of the worst lineage, and at the interval's lower limit; a dash where nothing is kept."""
    names = ("batches", "batches of the worst", "batches at most")
    told = [_count(row[name]) for name in (names if row["kept low"] is not None else names[:2])]
    return told[0] if len(set(told)) == 1 else " / ".join(told)


def _count(number: int | None) -> str:
    return f"{number:,}" if number else "-"


def _between(row: Row) -> str:
    return f"{_share(row['kept low'])} to {_share(row['kept high'])}"


def _share(kept: float) -> str:
    return f"{max(0.0, kept):.2f}"


def _log(log10_p: float) -> str:
    return f"{log10_p:.1f}".replace("-0.0", "0.0")


def _dose(name: str) -> str:
    return name.split("-")[1]


def _student(row: Row) -> str:
    return f"{row['exposures']}, {row['share of text']:.0%}, {row['settings']['arm']}"


def by_share(rows: Sequence[Row]) -> list[Row]:
    """Students by text with unusual amounts of other text, and those with the usual amount at the same exposures.

    By exposures, those with the largest share of the text first.
    """
    unusual = [row for row in rows if row["group"] == "share"]
    exposures = {row["exposures"] for row in unusual}
    usual = [row for row in rows if row["group"] == "student" and row["settings"]["arm"] == "text"]
    return sorted([*unusual, *(row for row in usual if row["exposures"] in exposures)], key=_place)


def _place(row: Row) -> tuple[int, float]:
    return row["exposures"], -row["share of text"]
