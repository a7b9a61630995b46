"""A page of ours as a tree that paper is laid out from, so that a report on paper tells what the page tells.

The tree is JSON: a text is a string, an element an object with its `tag`, `class`, `kids`; tables and lists of facts come
with their rows told apart, and pictures with the page's own colours written into them, as they are in print. Nothing
is worded or decided here.

Only characters that the fonts of the paper hold are let through. Others stand as '□', and `Page.lacking` says that
some did: what has no glyph must not vanish, and what confuses a layouter must not reach it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from typing import Any

Node = dict[str, Any]

INLINE = frozenset(["a", "abbr", "b", "br", "code", "em", "i", "mark", "small", "span", "strong", "sub", "sup"])
VOID = frozenset(["br", "col", "hr", "img", "link", "meta"])
UNSEEN = frozenset(("head", "script", "style", "title"))

LINE_END: Node = {"tag": "br", "class": [], "kids": []}
"""As a page writes it; a digest in a text always begins a line of its own."""

KEEPS_LINES = frozenset(("answer", "prompt"))
"""Classes whose texts keep their lines, as `pre` does."""

LONGEST_WORD = 24
"""Longer words may be broken anywhere: digests, names of attackers."""
LONGEST_TERM = 16
"""The same in the narrow column of a list of facts."""
LONGEST_NAME = 30
"""Columns are made as wide as such a word, where the others leave room: the name of a test."""
PIECE = 8
HALF_A_DIGEST = 32
"""A digest stands in two halves at most: whoever compares digests by eye wants few lines."""

LINE = 112
"""Characters that a line of a table holds; its columns share them."""
GUTTER = 2
MANY_COLUMNS = 7
LINE_OF_A_TABLE = 120
"""Characters that a line of a table of `MANY_COLUMNS` and more holds: its columns share them, and words are broken to fit."""

PRINTED = (
    (0x20, 0x7E), (0xA0, 0xAC), (0xAE, 0x2FF), (0x38E, 0x3A1), (0x3A3, 0x482), (0x48A, 0x4FF), (0x1E00, 0x1F15),
    (0x2010, 0x2027), (0x2030, 0x2040), (0x2044, 0x2052), (0x2074, 0x208E), (0x20A0, 0x20C0), (0x2100, 0x211E),
    (0x212C, 0x2151), (0x2153, 0x2184), (0x2190, 0x2328), (0x2460, 0x2606), (0xFFFD, 0xFFFD),
)  # fmt: skip
"""Characters for which the fonts that come with typst have glyphs: letters, figures and signs of Latin, Greek, Cyrillic."""

LACKING = "□"


@dataclass(frozen=True)
class Page:
    """What stands on the page. `lacking`: whether characters stand as '□' because the fonts have none for them."""

    title: str
    kids: list[Any]
    lacking: bool


def page_tree(page: str) -> Page:
    """The tree of one of our own HTML reports. Not a reader of other people's pages: ours close what they open."""
    reader = _Reader(picture_style(_between(page, "<style>", "</style>")))
    for index, part in enumerate(re.split(r"(<svg\b.*?</svg>)", page, flags=re.DOTALL)):
        reader.picture(part) if index % 2 else reader.feed(part)
    reader.close()
    _drop_dead_links(reader.root)
    title, title_lacks = printable(unescape(_between(page, "<title>", "</title>")))
    return Page(title=title, kids=reader.root["kids"], lacking=reader.lacking or title_lacks)


PLACES = frozenset(("section", "article"))
"""Elements that a link may lead to on paper."""


def _drop_dead_links(root: Node) -> None:
    """Links to what is no place on this page are text: a layouter stops at a link that leads nowhere."""
    every = list(_every(root))
    there = {node["id"] for node in every if node["tag"] in PLACES and "id" in node}
    for node in every:
        if node.get("to") not in there:
            node.pop("to", None)


def _every(node: Any) -> Iterator[Node]:
    """All elements of a tree, rows of tables and lists of facts included."""
    if isinstance(node, list):
        for each in node:
            yield from _every(each)
    elif isinstance(node, dict):
        if "tag" in node:
            yield node
        for key in ("kids", "head", "body", "caption", "pairs", "term", "told"):
            yield from _every(node.get(key))


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


def printable(text: str) -> tuple[str, bool]:
    """`text` in composed form, with '□' for what the fonts lack; and whether there was any such character."""
    composed = unicodedata.normalize("NFC", text)
    shown = "".join(c if any(low <= ord(c) <= high for low, high in PRINTED) else LACKING for c in composed)
    return shown, shown != composed


# ----------------------------------------------------------------------------------------------------------- reading it


class _Reader(HTMLParser):
    """Builds the tree. White space is collapsed as a browser does it."""

    def __init__(self, style: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root: Node = {"tag": "page", "kids": []}
        self.lacking = False
        self._style = style
        self._open = [self.root]
        self._after_space = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        node: Node = {"tag": tag, "class": given.get("class", "").split(), "kids": []}
        node |= {"id": given["id"]} if "id" in given else {}
        node |= {"to": given["href"][1:]} if given.get("href", "").startswith("#") else {}
        node |= {"span": int(given["colspan"])} if given.get("colspan", "").isdigit() else {}
        kids = self._open[-1]["kids"]
        if tag == "span" and "digest" in node["class"] and kids and kids[-1] != LINE_END:
            self._end_line()
            kids.append(LINE_END)
        if tag not in INLINE or tag == "br":
            self._end_line()
        kids.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID or tag not in (node["tag"] for node in self._open):
            return
        if tag not in INLINE:
            self._end_line()
        while True:
            node = self._open.pop()
            if node["tag"] in _SHAPED:
                self._open[-1]["kids"][-1] = _SHAPED[node["tag"]](node)
            if node["tag"] in UNSEEN:
                self._open[-1]["kids"].pop()
            if node["tag"] == tag:
                return

    def handle_data(self, data: str) -> None:
        if any(node["tag"] in UNSEEN for node in self._open):
            return
        as_it_is = any(node["tag"] == "pre" or KEEPS_LINES & set(node.get("class", ())) for node in self._open)
        text = data if as_it_is else re.sub(r"[ \t\r\n\f]+", " ", data)
        text = text.lstrip(" ") if self._after_space and not as_it_is else text
        if not text:
            return
        self._after_space = text.endswith(" ")
        for line_number, line in enumerate(text.split("\n")):
            self._open[-1]["kids"] += [LINE_END] if line_number else []
            self._open[-1]["kids"] += self._words(line)

    def picture(self, svg: str) -> None:
        """A picture, with the style of print written into it."""
        self._end_line()
        drawn, lacks = printable(svg.replace("\n", " "))
        self.lacking |= lacks
        start, end, rest = drawn.partition(">")
        width = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+)', start)
        told = re.search(r"<title[^>]*>(.*?)</title>", rest)
        self._open[-1]["kids"].append(
            {
                "tag": "svg",
                "svg": f"{start}{end}<style>{self._style}</style>{rest}",
                "width": float(width[1]) if width else 400.0,
                "told": unescape(told[1]) if told else "",
            }
        )

    def _end_line(self) -> None:
        self._after_space = True

    def _words(self, text: str) -> list[str | Node]:
        """Text, with the words that are too long for a line in pieces."""
        shown, lacks = printable(text)
        self.lacking |= lacks
        return broken(shown, LONGEST_WORD)


# -------------------------------------------------------------------------------------------------------------- shaping


def _elements(node: Node, *tags: str) -> list[Node]:
    return [kid for kid in node.get("kids", []) if isinstance(kid, dict) and kid["tag"] in tags]


def broken(text: str, longest: int, piece: int = PIECE) -> list[str | Node]:
    """`text` with words of more than `longest` characters in pieces, between which a line may end."""
    parts = re.split(rf"(\S{{{longest + 1},}})", text)
    pieces = [_pieces(part, piece) if index % 2 else part for index, part in enumerate(parts)]
    return [piece for piece in pieces if piece]


def _pieces(word: str, piece: int) -> Node:
    size = HALF_A_DIGEST if piece == PIECE and re.fullmatch("[0-9a-f]{64}", word) else piece
    return {"tag": "word", "pieces": [word[at : at + size] for at in range(0, len(word), size)]}


def _cramped(kids: list[str | Node], longest: int, piece: int = PIECE) -> list[str | Node]:
    """The same in a whole tree."""
    found: list[str | Node] = []
    for kid in kids:
        if isinstance(kid, str):
            found += broken(kid, longest, piece)
        elif kid["tag"] == "word":
            found += broken("".join(kid["pieces"]), longest, piece)
        else:
            found.append(kid | ({"kids": _cramped(kid["kids"], longest, piece)} if "kids" in kid else {}))
    return found


def told(node: str | Node) -> str:
    """All the text of a node."""
    if isinstance(node, str):
        return node
    return "".join(node.get("pieces", [])) + "".join(told(kid) for kid in node.get("kids", []))


def _table(node: Node) -> Node:
    """A table as rows of cells, and how wide its columns want to be: 0 as narrow as can be, else a share."""
    head = [row for part in _elements(node, "thead") for row in _elements(part, "tr")]
    body = [row for part in (node, *_elements(node, "tbody")) for row in _elements(part, "tr")]
    rows = [[_cell(cell, row) for cell in _elements(row, "td", "th")] for row in (*head, *body)]
    columns = max((sum(cell["span"] for cell in row) for row in rows), default=1)
    for row in rows if columns >= MANY_COLUMNS else ():
        for index, cell in enumerate(row):
            share = LINE_OF_A_TABLE // (columns + 1) * (1 if index else 2)
            cell["kids"] = _cramped(cell["kids"], max(share, 2), 2)
    return {
        "tag": "table",
        "class": node["class"],
        "caption": [kid for caption in _elements(node, "caption") for kid in caption["kids"]],
        "head": rows[: len(head)],
        "body": rows[len(head) :],
        "cramped": columns >= MANY_COLUMNS,
        "longest": _longest(rows, columns)[0],
        "widths": [2, *([1] * (columns - 1))] if columns >= MANY_COLUMNS else _widths(rows, columns),
    }


def _cell(cell: Node, row: Node) -> Node:
    return {
        "kids": cell["kids"],
        "class": [*row["class"], *cell["class"]],
        "head": cell["tag"] == "th",
        "span": cell.get("span", 1),
    }


def _widths(rows: list[list[Node]], columns: int) -> list[int]:
    """What each column gets of a line: 0 for as narrow as can be, else a share.

    Every column gets what its longest cell wants, up to a common measure that all others share; and never less than its
    longest word, which could not be broken.
    """
    wanted, words = _longest(rows, columns)
    given = [0] * columns
    left = LINE - GUTTER * (columns - 1)
    for rest, column in enumerate(sorted(range(columns), key=lambda column: wanted[column])):
        share = max(left // (columns - rest), min(words[column], LONGEST_NAME))
        given[column] = 0 if wanted[column] <= share else share
        left -= min(wanted[column], share)
    return given


def _longest(rows: list[list[Node]], columns: int) -> tuple[list[int], list[int]]:
    """Characters of the longest line and of the longest word of each column."""
    lines, words = [1] * columns, [1] * columns
    for row in rows:
        at = 0
        for cell in row:
            if cell["span"] == 1:
                lines[at] = max([lines[at], *map(len, _lines(cell))])
                words[at] = max([words[at], *(len(word) for line in _lines(cell) for word in line.split())])
            at += cell["span"]
    return lines, words


def _lines(cell: Node) -> list[str]:
    """The lines of a cell, where it says that they end."""
    return "".join("\n" if kid == LINE_END else told(kid) for kid in cell["kids"]).split("\n")


def _list_of_facts(node: Node) -> Node:
    """A list of terms with what is said of each; figures that stand in boxes of their own keep them."""
    pairs: list[Node] = []
    for kid in _elements(node, "dt", "dd", "div"):
        if kid["tag"] == "div":
            pairs += [pair | {"class": kid["class"]} for pair in _list_of_facts(kid)["pairs"]]
        elif kid["tag"] == "dt":
            pairs.append({"term": _cramped(kid["kids"], LONGEST_TERM), "told": [], "class": kid["class"]})
        elif pairs:
            pairs[-1]["told"].append({"tag": "div", "class": kid["class"], "kids": kid["kids"]})
    return {"tag": "facts", "class": node["class"], "pairs": pairs}


_SHAPED = {"table": _table, "dl": _list_of_facts}


# ---------------------------------------------------------------------------------------------------- colours in pictures

HALO = re.compile(r"\.rail-text\b")
"""Text with an edge in the colour of the page: on paper every letter would become an outline of its own."""

_BLOCK = re.compile(r"([^{}]+)\{((?:[^{}]|\{[^{}]*\})*)\}")


def picture_style(style: str) -> str:
    """The rules of a page's style sheet that speak of pictures, with the values that variables have in print."""
    plain = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    blocks = [(selector.strip(), body) for selector, body in _BLOCK.findall(plain)]
    variables: dict[str, str] = {}
    for selector, body in blocks:
        if selector == ":root":
            variables |= _declared(body)
        elif selector == "@media print":
            variables |= {key: value for inner, own in _BLOCK.findall(body) if inner.strip() == ":root"
                          for key, value in _declared(own).items()}  # fmt: skip
    drawn = (block for block in blocks if re.search(r"\.picture(?![\w-])", block[0]))
    rules = (f"{selector}{{{_resolved(body, variables)}}}" for selector, body in drawn if not HALO.search(selector))
    return " ".join([*rules, '.picture text{font-family:"Libertinus Serif"}'])


def _declared(body: str) -> dict[str, str]:
    return {name: value.strip() for name, value in re.findall(r"(--[\w-]+)\s*:\s*([^;]+)", body)}


def _resolved(body: str, variables: dict[str, str]) -> str:
    """Variables replaced by their values, colours as SVG has written them since its first version."""
    spelt = re.sub(r"var\((--[\w-]+)\)", lambda found: variables.get(found[1], "inherit"), body)
    commas = re.sub(r"rgb\((\d+) (\d+) (\d+)\)", r"rgb(\1,\2,\3)", spelt)
    return re.sub(r"\s+", " ", commas).strip()
