"""The survival study's points as the Markdown tables of docs/canaries.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    lines = {head: [line(name, row) for name, row in chosen] for head, chosen in named.items() if chosen}
    return {head: table(head, found["canaries"], of_one) for head, of_one in lines.items()}


def table(head: str, of: int, lines: Sequence[str]) -> str:
    """Lines of a table under its head; one column is for each cell of theirs."""
    names = (
        head,
        f"agreements of {of}",
        "share kept (95 %)",
        "log10 p",
        "batches",
        "log10 p by ranks",
        "batches by ranks",
    )
    columns = lines[0].count("|") - 1
    return "\n".join([f"| {' | '.join(names[:columns])} |", "|---" * columns + "|", *lines])


def line(name: str, row: Row) -> str:
    """One point; its agreements are a number, or one for each lineage. Without log-probabilities there are no ranks."""
    agreed = row["agreements"] if isinstance(row["agreements"], int) else ", ".join(map(str, row["agreements"]))
    kept = f"{_share(row['kept'])} ({_share(row['kept low'])} to {_share(row['kept high'])})"
    cells = [name, str(agreed), kept, _log(row["log10 p"]), batches(row)]
    if "log10 p by ranks" in row:
        cells += [_log(row["log10 p by ranks"]), str(row["batches by ranks, about"] or "-")]
    return f"| {' | '.join(cells)} |"


def batches(row: Row) -> str:
    """Batches at the share that was kept, and where they differ at the interval's lower limit; a dash where nothing is kept."""
    expected, at_most = row["batches"], row["batches at most"]
    if expected == at_most:
        return f"{expected:,}" if expected else "-"
    return f"{expected:,} ({f'up to {at_most:,}' if at_most else 'no upper limit'})"


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
