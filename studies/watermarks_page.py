"""The figures of docs/watermarks.md, from the results of the studies of watermarks and of radioactivity; and the pictures of the latter.

    python -m studies.watermarks_page

Fills the blocks between `<!-- study:NAME -->` and `<!-- end -->`, and writes docs/pictures/radioactivity.svg and
radioactivity-tokens.svg. What is printed there is printed by nobody else.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from scipy.stats import norm

from filiation.report.svg import drawing, element, line, text

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "watermarks.md"
PICTURE = ROOT / "docs" / "pictures" / "radioactivity.svg"
CURVES = ROOT / "docs" / "pictures" / "radioactivity-tokens.svg"
RESULTS = ROOT / "studies" / "results"
WAYS = ("open, reading unmarked text", "open, reading marked text", "closed, unmarked prompts")
SHARES = ("no marked text", "1%", "5%", "25%")
Figures = Mapping[str, Any]


def filled(page: str, blocks: Mapping[str, str]) -> str:
    """The page with the text of each block replaced. Raises ValueError where it has no such block."""
    for name, content in blocks.items():
        opening, closing = f"<!-- study:{name} -->\n", "<!-- end -->"
        before, found, rest = page.partition(opening)
        if not found:
            raise ValueError(f"the page has no block {name!r}")
        page = f"{before}{opening}{content}\n{closing}{rest.partition(closing)[2]}"
    return page


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def prose(*said: str) -> str:
    return textwrap.fill(" ".join(said), 138, break_long_words=False, break_on_hyphens=False)


# -------------------------------------------------------------------------------------------------------------- watermarks


def shipped(found: Figures) -> str:
    texts = next(iter(found.values()))["texts"]
    rows = []
    for name, each in found.items():
        theirs, ours = each["share of their p <= level"], each["share of our p <= level"]
        smallest = f"{each['their smallest log10 p']}"
        rows.append(
            [name, share(theirs["0.01"]), share(theirs["0.001"]), smallest, share(ours["0.01"]), share(ours["0.001"])]
        )
    head = ("transformers' detector", "p <= .01", "p <= .001", "smallest log10 p", "here: p <= .01", "p <= .001")
    said = prose(
        f"{texts:,} unmarked pieces of 400 tokens of source code, each under a random key;",
        "share of p <= .01, p <= .001, smallest log10 p:",
    )
    return f"{said}\n\n{table(head, rows)}"


def coins(found: Figures) -> str:
    rows = [
        [
            f"{name}, share of ones {each['share of ones']}",
            f"{int(length.split()[0]):,}",
            chances(part["repeated contexts left out"]),
            chances(part["repeated contexts counted"]),
        ]
        for name, each in found.items()
        for length, part in each.items()
        if isinstance(part, dict)
    ]
    said = prose(
        "SynthID with 30 layers: the chance, over all keys, that the binomial law of fair coins prints p <= 1e-3, 1e-6, 1e-12",
        "for a piece of source code:",
    )
    return f"{said}\n\n{table(('table', 'tokens', 'repeated contexts left out', 'counted'), rows)}"


def law(found: Figures) -> str:
    texts = next(iter(found.values()))["texts"]
    rows = [
        [
            name,
            f"{each['Kolmogorov-Smirnov distance']:.4f}",
            f"{each['Kolmogorov-Smirnov p']:.2f}",
            *(share(each["share of p <= level"][level]) for level in ("0.1", "0.01", "0.001")),
        ]
        for name, each in found.items()
    ]
    said = prose(
        f"{texts:,} unmarked texts of 100 tokens (random pieces of Python's standard library, vocabulary 3,072), each under a key of",
        "its own. p-values of counts are discrete; Kolmogorov-Smirnov compares P(S > s) + U P(S = s), U uniform, with the uniform law.",
        "Shares are those of the printed p.",
    )
    head = ("scheme", "Kolmogorov-Smirnov distance", "its p", "p <= .1", "p <= .01", "p <= .001")
    return f"{said}\n\n{table(head, rows)}"


def power(found: Figures) -> str:
    rows = [
        [model, at, mark, number(each["tokens to log10 p < -6"]), number(each["tokens to log10 p < -12"])]
        for model, at, mark, each in marks_of(found)
    ]
    said = prose(
        "Tokens of marked text until log10 p falls below -6 and -12 (median over keys; '-': not within the text that was written):"
    )
    made = f"{said}\n\n{table(('model', 'temperature, entropy of sampling', 'mark', '-6', '-12'), rows)}"
    again = found.get("SmolLM2-135M, text made into tokens again")
    return f"{made}\n\n{made_again(again)}" if again else made


def marks_of(found: Figures) -> Iterator[tuple[str, str, str, Figures]]:
    for model, temperatures in found.items():
        for temperature, marks in temperatures.items():
            for mark, each in marks.items() if isinstance(marks, dict) else ():
                if isinstance(each, dict):
                    yield model, f"{temperature.split()[1]}, {marks['entropy of sampling, nats']} nats", mark, each


def made_again(found: Figures) -> str:
    return prose(
        f"Made into text and tokens again, {found['share that survives']:.1%} of {found['windows']} windows of SmolLM2 survive;",
        f"log10 p from ids {found['log10 p from ids']}, from text {found['log10 p from text']}.",
    )


# ---------------------------------------------------------------------------------------------------------- radioactivity


def radioactivity(found: Figures) -> str:
    rows = [[mark, name, *(asked(each[way]) for way in WAYS)] for mark, name, each in students(found)]
    most = max(each[way]["tokens"] for _, _, each in students(found) for way in WAYS)
    said = prose(
        "`python -m studies.radioactivity --size small`: a teacher writes marked text, students of another seed are trained on other",
        f"text with a share of it, {found['training tokens of a student']:,} tokens in all; one student of each share. log10 p over at",
        f"most {most:,} tokens read or answered, and in brackets the tokens until it first fell below -3, -6 and -12, looked at in",
        "doubling steps from 250:",
    )
    keys, least = under_random_keys(found)
    strangers = prose(
        f"The student without marked text, held against {keys} random keys of each mark: its p-values, compared with the uniform law by",
        f"Kolmogorov and Smirnov, have p {least:.2f} at the least.",
    )
    shown = "![log10 p by the share of marked text, three marks, three ways of asking](pictures/radioactivity.svg)"
    return f"{said}\n\n{table(('mark', 'marked share', *WAYS), rows)}\n\n{strangers}\n\n{shown}"


def students(found: Figures) -> Iterator[tuple[str, str, Figures]]:
    for mark, shares in found.items():
        if isinstance(shares, dict):
            for name in SHARES:
                yield mark, name.replace("no marked text", "none").replace("%", " %"), shares[name]


def asked(each: Figures) -> str:
    needed = ", ".join(number(tokens) for tokens in each["tokens to log10 p below"].values())
    return f"{each['log10 p']:.2f} ({needed})"


def under_random_keys(found: Figures) -> tuple[int, float]:
    """How many keys, and the smallest p of Kolmogorov and Smirnov over marks and ways of asking."""
    tests = [each[way]["under random keys"] for _, name, each in students(found) if name == "none" for way in WAYS[::2]]
    return tests[0]["keys"], min(test["Kolmogorov-Smirnov p"] for test in tests)


_STYLE = """
.picture{background:#fff;font-family:system-ui,sans-serif}.label{font-size:9px;fill:#444}.head{font-size:10px;fill:#111;font-weight:600}
.axis{stroke:#999;stroke-width:.7}.grid{stroke:#e4e4e4;stroke-width:.7}.least{stroke:#c33;stroke-width:.7;stroke-dasharray:3 2}
.exponent{font-size:7px}.mark0{stroke:#0b5c8c;fill:#0b5c8c}.mark1{stroke:#b3541e;fill:#b3541e}.mark2{stroke:#3a7d44;fill:#3a7d44}.curve{fill:none;stroke-width:1.2}
"""
_TOP, _BOTTOM, _LEFT, _PANEL, _GAP = 46.0, 206.0, 32.0, 104.0, 20.0
_LOWEST = -20.0


def picture(found: Figures) -> str:
    """One panel for each way of asking: log10 p (downwards) by the share of marked text, one curve for each mark."""
    marks = [mark for mark, shares in found.items() if isinstance(shares, dict)]
    parts = [element("style", Markup(_STYLE))]
    for panel, way in enumerate(WAYS):
        parts += [
            *_frame(panel, way),
            *(part for at, mark in enumerate(marks) for part in _curve(panel, at, found[mark], way)),
        ]
    for at, mark in enumerate(marks):
        parts.append(element("circle", cx=_LEFT + 4, cy=_BOTTOM + 32 + 12 * at, r=2.4, class_=f"mark{at}"))
        parts.append(text(_LEFT + 12, _BOTTOM + 35 + 12 * at, mark))
    for line_of, told in enumerate(
        ("log10 p by the share of marked text", f"below {_LOWEST:g} at the lower edge; dashed: 10^-6")
    ):
        parts.append(text(_LEFT, _BOTTOM + 35 + 12 * (len(marks) + line_of), told))
    description = "; ".join(
        f"{mark}, {name}, {way}: {each[way]['log10 p']:.2f}" for mark, name, each in students(found) for way in WAYS
    )
    return str(drawing("radioactivity", "Radioactivity by share", description, _BOTTOM + 92, parts)) + "\n"


def _x(panel: int, at: int) -> float:
    return _LEFT + panel * (_PANEL + _GAP) + 8 + at * (_PANEL - 16) / (len(SHARES) - 1)


def _y(log10_p: float) -> float:
    return _TOP + (_BOTTOM - _TOP) * min(1.0, log10_p / _LOWEST)


def _frame(panel: int, way: str) -> Iterator[Markup]:
    left = _LEFT + panel * (_PANEL + _GAP)
    yield text(left, _TOP - 20, way.split(", ")[0], "head")
    yield text(left, _TOP - 9, way.split(", ")[1])
    for level in (0, -6, -12, -18):
        class_ = {0: "axis", -6: "least"}.get(level, "grid")
        yield line(left, _y(level), left + _PANEL, _y(level), class_)
        yield text(left - 4, _y(level) + 3, f"{level}", text_anchor="end")
    for at, name in enumerate(SHARES):
        yield text(
            _x(panel, at), _BOTTOM + 12, name.replace("no marked text", "none").replace("%", " %"), text_anchor="middle"
        )


def _curve(panel: int, at: int, shares: Figures, way: str) -> Iterator[Markup]:
    places = [(_x(panel, number), _y(shares[name][way]["log10 p"])) for number, name in enumerate(SHARES)]
    yield element(
        "polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), class_=f"curve mark{at}", style="fill:none"
    )
    for x, y in places:
        yield element("circle", cx=x, cy=y, r=2.2, class_=f"mark{at}")


# ------------------------------------------------------------------------------------------------ radioactivity, by tokens


LOOKS = "looks: tokens, windows, log10 p"
SHARES_TOLD = ("none", "1 %", "5 %", "25 %")


def needed(found: Figures) -> str:
    """Tokens that it took, student by student, and at least takes where it was not enough."""
    rows = [
        [mark, name, *(each_student(ways[way], stranger=name == "none") for way in WAYS)]
        for mark, name, ways in shares_of(found)
    ]
    most = {way: max(curve[LOOKS][-1][0] for _, _, curve in curves(found, way)) for way in WAYS}
    said = prose(
        f"`python -m studies.radioactivity_tokens --cache FOLDER --students {found['students']}`: students as above, of further",
        f"seeds where a cell has more than one figure, asked far more: they read {most[WAYS[0]]:,} tokens of unmarked and",
        f"{most[WAYS[1]]:,} of marked text, and answered with {most[WAYS[2]]:,}. For each student the tokens until log10 p first fell",
        "below -6, looked at in doubling steps from 250, and in brackets log10 p over everything. '>': not found; at least so many",
        "tokens it takes, by the upper 97.5 % limit of what a window adds and the rate at which new windows came last. 'never': by these",
        "limits there are not so many windows. Each limit holds by itself.",
    )
    shown = "![log10 p against tokens, by share, three marks, three ways of asking](pictures/radioactivity-tokens.svg)"
    ends = f"{prose('Windows judged, first student of each share, at 16,000 tokens and at the end:')}\n\n{windows_judged(found)}"
    return f"{said}\n\n{table(('mark', 'marked share', *WAYS), rows)}\n\n{random_keys(found)}\n\n{ends}\n\n{shown}"


def shares_of(found: Figures) -> Iterator[tuple[str, str, Figures]]:
    """Mark, share in words, and what each way of asking gave; shares that no student stands behind are left out."""
    for mark, shares in found["marks"].items():
        for name, told in zip(SHARES, SHARES_TOLD, strict=True):
            if name in shares:
                yield mark, told, shares[name]


def curves(found: Figures, way: str) -> Iterator[tuple[str, str, Figures]]:
    """Mark, share and curve of every student asked in this way."""
    for mark, name, ways in shares_of(found):
        for curve in ways.get(way, {}).values():
            yield mark, name, curve


def each_student(students_asked: Figures, *, stranger: bool) -> str:
    return ", ".join(one_student(curve, stranger) for curve in students_asked.values())


def one_student(curve: Figures, stranger: bool) -> str:
    reached, log10_p = curve["tokens to log10 p below"]["-6"], f"({curve[LOOKS][-1][2]:.2f})"
    if reached is not None:
        return f"{reached:,} {log10_p}"
    return f"- {log10_p}" if stranger else f"{at_least(curve['at least'])} {log10_p}"


def at_least(bound: Figures) -> str:
    return "never" if bound["tokens"] is None else f"> {rounded_down(bound['tokens']):,}"


def rounded_down(tokens: int) -> int:
    """Two digits, never more than it was."""
    unit = 10 ** max(0, len(str(tokens)) - 2)
    return tokens // unit * unit


def windows_needed(excess: float, windows: int) -> int | None:
    """The fewest windows in which log10 p = -6 is to be expected, at 97.5 %: by the upper limit of a window's mean excess.

    `excess`: that mean as seen in so many windows, in standard deviations of one window. None: even the limit is not above chance.
    """
    largest = excess + float(norm.ppf(0.975)) / math.sqrt(windows)
    return math.ceil((float(norm.isf(1e-6)) / largest) ** 2) if largest > 0.0 else None


def one_percent(found: Figures) -> str:
    """What the earlier study's students of 1 % say about the windows that are needed."""
    rows = [
        [mark, *(least_windows(mark, each[way]) for way in WAYS)]
        for mark, name, each in students(found)
        if name == "1 %"
    ]
    said = prose(
        "At 1 % the students of the first table give a bound by the same limits: windows needed at the least, and in brackets those",
        "that were judged there. A token gives one window at most; with one token of context marked text gives as many as the",
        "vocabulary has tokens, 1,024.",
    )
    return f"{said}\n\n{table(('mark', *WAYS), rows)}"


def least_windows(mark: str, each: Figures) -> str:
    windows, expected = each["windows judged"], each["expected"]
    # The score of a Gumbel window has mean and variance 1; of a list, a quarter is green.
    spread = 1.0 if mark.startswith("Gumbel") else math.sqrt(0.25 * 0.75)
    least = windows_needed((each["score"] - expected) / (spread * windows), windows)
    return f"{'never' if least is None else f'{rounded_down(least):,}'} ({windows:,})"


def random_keys(found: Figures) -> str:
    tests = [mark["under random keys"] for mark in found["marks"].values() if "under random keys" in mark]
    least = min(test["Kolmogorov-Smirnov p"] for test in tests)
    return prose(
        f"Over all unmarked tokens the student without marked text was held against {tests[0]['keys']} random keys of each mark as well:",
        f"its p-values, compared with the uniform law by Kolmogorov and Smirnov, have p {least:.2f} at the least.",
    )


def windows_judged(found: Figures) -> str:
    rows = []
    for mark, name, ways in shares_of(found):
        firsts = [next(iter(ways[way].values()))[LOOKS] for way in WAYS]
        rows.append([mark, name, *(f"{at(looks, 16_000):,}; {looks[-1][1]:,}" for looks in firsts)])
    return table(("mark", "marked share", *WAYS), rows)


def at(looks: Sequence[Sequence[float]], tokens: int) -> int:
    return next(int(windows) for seen, windows, _ in looks if seen == tokens)


_ROW = 118.0
_FLOOR = -30.0
_FROM, _TO = 250.0, 512_000.0


def picture_of_tokens(found: Figures) -> str:
    """A row for each share, a panel for each way of asking: log10 p (downwards) against tokens, a curve for each student."""
    marks = list(found["marks"])
    shares = [name for name in SHARES_TOLD if any(name == told for _, told, _ in shares_of(found))]
    parts = [element("style", Markup(_STYLE))]
    for row, name in enumerate(shares):
        for panel, way in enumerate(WAYS):
            parts += _panel(row, panel, way, name)
            for mark, share_name, curve in curves(found, way):
                if share_name == name:
                    parts.append(_line_of(row, panel, curve[LOOKS], marks.index(mark)))
    bottom = _TOP + len(shares) * _ROW
    for number_of, mark in enumerate(marks):
        parts.append(element("circle", cx=_LEFT + 4, cy=bottom + 6 + 12 * number_of, r=2.4, class_=f"mark{number_of}"))
        parts.append(text(_LEFT + 12, bottom + 9 + 12 * number_of, mark))
    for number_of, told in enumerate(
        ("log10 p against tokens, one curve for each student", f"below {_FLOOR:g} at the lower edge; dashed: 10^-6")
    ):
        parts.append(text(_LEFT, bottom + 9 + 12 * (len(marks) + number_of), told))
    description = "; ".join(
        f"{mark}, {name}, {way}: {curve[LOOKS][-1][2]:.2f}" for way in WAYS for mark, name, curve in curves(found, way)
    )
    height = bottom + 32 + 12 * len(marks)
    return str(drawing("radioactivity-tokens", "Radioactivity by tokens", description, height, parts)) + "\n"


def _panel(row: int, panel: int, way: str, name: str) -> Iterator[Markup]:
    left = _LEFT + panel * (_PANEL + _GAP)
    if row == 0:
        yield text(left, _TOP - 26, way.split(", ")[0], "head")
        yield text(left, _TOP - 15, way.split(", ")[1])
    yield text(left + 2, _depth(row, 0) - 3, f"{name} marked" if name != "none" else "no marked text", "head")
    for level in (0, -6, -12, -18, -24, -30):
        class_ = {0: "axis", -6: "least"}.get(level, "grid")
        yield line(left, _depth(row, level), left + _PANEL, _depth(row, level), class_)
        if level % 12 in (0, 6) and level >= -24:
            yield text(left - 4, _depth(row, level) + 3, f"{level}", text_anchor="end")
    for tokens, label in ((1000, "10^3"), (10_000, "10^4"), (100_000, "10^5")):
        yield line(_across(panel, tokens), _depth(row, 0), _across(panel, tokens), _depth(row, _FLOOR), "grid")
        yield text(_across(panel, tokens), _depth(row, _FLOOR) + 10, label, text_anchor="middle")


def _line_of(row: int, panel: int, looks: Sequence[Sequence[float]], mark: int) -> Markup:
    points = " ".join(f"{_across(panel, tokens):.1f},{_depth(row, log10_p):.1f}" for tokens, _, log10_p in looks)
    return element("polyline", points=points, class_=f"curve mark{mark}", style="fill:none")


def _across(panel: int, tokens: float) -> float:
    return _LEFT + panel * (_PANEL + _GAP) + _PANEL * math.log(tokens / _FROM) / math.log(_TO / _FROM)


def _depth(row: int, log10_p: float) -> float:
    return _TOP + row * _ROW + (_ROW - 32) * min(1.0, log10_p / _FLOOR)


# ------------------------------------------------------------------------------------------ radioactivity, from a companion


SHIFT_LOOKS = "looks: tokens, contexts, weights, excess in standard deviations, log10 p"
SHIFT_WAYS = ("reading unmarked text", "reading marked text")


def shifts(found: Figures) -> str:
    """Tokens that it took, student by student, where the whole predictions are held against a companion's."""
    rows = [
        [mark, name, *(", ".join(map(one_shift, ways[way].values())) for way in SHIFT_WAYS)]
        for mark, name, ways in shares_of(found)
    ]
    seeds = {
        name: list(ways[SHIFT_WAYS[0]]) for mark, name, ways in shares_of(found) if mark == next(iter(found["marks"]))
    }
    unmarked, marked = (max(curve[SHIFT_LOOKS][-1][0] for _, _, curve in curves(found, way)) for way in SHIFT_WAYS)
    in_order = "; ".join(f"{name}: {', '.join(each)}" for name, each in seeds.items())
    said = prose(
        f"`python -m studies.radioactivity_shift --cache FOLDER --students {found['students']}`: the same students and texts; student",
        f"and companion record their {found['likeliest tokens']} likeliest tokens at each place. The companion is a student of no",
        f"marked text, of another seed ({found['seed of the companion']}). They read {unmarked:,} tokens of unmarked and {marked:,}",
        "of marked text. For each student the tokens until log10 p first fell below -6, looked at in doubling steps from 250, and in",
        "brackets the smallest log10 p of any look and that over everything; '-': not found. Seeds, of the",
        f"first mark and in this order: {in_order}. The weight was",
        f"chosen on {found['chosen on the students of'].replace('%', ' %')}.",
    )
    return f"{said}\n\n{table(('mark', 'marked share', *SHIFT_WAYS), rows)}"


def one_shift(curve: Figures) -> str:
    looks = [look[-1] for look in curve[SHIFT_LOOKS]]
    return f"{number(curve['tokens to log10 p below']['-6'])} ({min(looks):.2f}; {looks[-1]:.2f})"


# -------------------------------------------------------------------------------------------------------------------- words


def share(value: float) -> str:
    return f"{value:.4g}"


def chances(values: Mapping[str, float]) -> str:
    return ", ".join(f"{value:.2g}" for value in values.values())


def number(tokens: float | None) -> str:
    return "-" if tokens is None else f"{tokens:,}"


def main() -> None:
    marks, students_of = (
        json.loads((RESULTS / f"{name}.json").read_text()) for name in ("watermarks", "radioactivity")
    )
    blocks = {
        "shipped": shipped(marks["transformers as shipped"]),
        "coins": coins(marks["SynthID by fair coins"]),
        "law": law(marks["unmarked texts"]),
        "power": power(marks["tokens needed"]),
        "radioactivity": radioactivity(students_of["small"]),
        "radioactivity-tokens": needed(students_of["tokens needed"]),
        "radioactivity-shift": shifts(students_of["shift"]),
        "radioactivity-one-percent": one_percent(students_of["small"]),
    }
    PAGE.write_text(filled(PAGE.read_text(), blocks))
    PICTURE.write_text(picture(students_of["small"]))
    CURVES.write_text(picture_of_tokens(students_of["tokens needed"]))


if __name__ == "__main__":
    main()
