"""Puts the recorded figures into benchmarks/README.md: `python -m benchmarks.figures`. The benchmarks call it themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"


def main() -> None:
    text = README.read_text()
    for name, made in MADE.items():
        file = FOLDER / "results" / f"{name}.json"
        if file.exists():
            text = between(text, name, made(json.loads(file.read_text())))
    README.write_text(text)


def case_lines(recorded: dict[str, Any]) -> list[str]:
    computer, run = recorded["computer"], recorded["run"]
    checked = run["verify"]
    about = f"{computer['cores']} cores, {computer['memory_gigabytes']} GB of memory, {computer['processor']}."
    headings = ("answers", "files", "MB", "verify, s", "processor s", "peak GB", "SHA-256 of the same bytes, s", "load")
    row = (
        f"{run['answers']:,}",
        f"{run['files']}",
        f"{run['megabytes']:.0f}",
        f"{checked['seconds']:.1f}",
        f"{checked['processor_seconds']:.1f}",
        f"{checked['peak_gigabytes']:.2f}",
        f"{run['hash_seconds']:.2f} (x {checked['seconds'] / run['hash_seconds']:.1f})",
        f"{run['load_average']:.1f}",
    )
    return [about, "", *table(headings, [row])]


def between(text: str, name: str, lines: Iterable[str]) -> str:
    """`text` with what stands between the two marks of `name` replaced."""
    before, start, rest = text.partition(f"<!-- {name} figures -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} figures -->")
    return before + start + "\n" + "\n".join(lines) + "\n\n" + end + after


def scale_lines(recorded: dict[str, Any]) -> list[str]:
    computer = recorded["computer"]
    headings = ("pair", "seconds", "before identity", "processor s", "load", "peak GB", "MB read", "of files", "cat, s")
    rows = [
        (
            f"{run['shape']} {run['pair']}, {run['depth']}{' (files with holes)' if run['sparse'] else ''}",
            f"{run['seconds']:.1f}",
            f"{run['seconds_before_identity']:.1f}",
            f"{run['processor_seconds']:.1f}",
            f"{run['load_average']:.1f}",
            f"{run['peak_gigabytes']:.2f}",
            f"{run['bytes_read'] / 1e6:.0f}",
            f"{run['share_of_bytes']:.2%}",
            f"{run['cat_seconds']:.1f} (x {run['times_cat']:.2f})" if "cat_seconds" in run else "",
            found(run),
        )
        for run in recorded["runs"]
    ]
    skipped = [f"Skipped: {shape}: {reason}." for shape, reason in recorded["skipped"].items()]
    about = f"{computer['cores']} cores, {computer['memory_gigabytes']} GB of memory, {computer['processor']}."
    return [about, "", *table((*headings, "k of n, log10 p"), rows), *(["", *skipped] if skipped else [])]


def line_up_lines(recorded: dict[str, Any]) -> list[str]:
    from benchmarks.line_up import rows_of

    computer = recorded["computer"]
    about = f"{computer['cores']} cores, {computer['memory_gigabytes']} GB of memory, {computer['processor']}."
    headings, rows = rows_of(recorded["runs"])
    return [about, "", *table(headings, rows)]


def found(run: dict[str, Any]) -> str:
    seen = run.get("every_layer", run["screen"])
    return f"{seen['count']} of {seen['opportunities']}, {seen['log10_p']:.1f}"


def peers_lines(recorded: dict[str, Any]) -> list[str]:
    from benchmarks.peers import COLUMNS, ROWS, beyond_strangers, cell

    lines: list[str] = []
    for size, result in recorded.items():
        figures = result["pairs"]
        rows = [
            (
                row.relation if row.related else f"*{row.relation}*",
                *(cell(c, [f[c] for f in figures if (f["first"], f["second"]) in row.pairs]) for c in COLUMNS),
            )
            for row in ROWS
        ]
        counted = ["{} of {}".format(*beyond_strangers(column, figures)) for column in COLUMNS[1:]]
        rows.append(("relations beyond every stranger", "", *counted))
        lines += [f"The {size} zoo (strangers in italics):", "", *table(("relation", *COLUMNS), rows), ""]
    return lines[:-1]


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = "|".join(["---"] + ["---:"] * (len(headings) - 1))
    return [f"| {' | '.join(headings)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


MADE: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "scale": scale_lines,
    "line_up": line_up_lines,
    "case": case_lines,
    "peers": peers_lines,
}
"""What stands between the marks of each benchmark."""


if __name__ == "__main__":
    main()
