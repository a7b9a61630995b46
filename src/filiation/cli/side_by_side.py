"""Two models' answers side by side with shared passages marked, for the terminal and as a page of HTML in one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from filiation.errors import UsageError
from filiation.measures.passages import Passage, covered, shared_passages, words_of
from filiation.report.wording import plural, visible, whole

if TYPE_CHECKING:
    from filiation.sources.transcripts import Transcript

_LONGEST = 200_000
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two answers to one prompt; `passages` by their place in the first text, marks as characters [start, end)."""

    prompt_id: str
    item: str
    prompt: str
    sample: int
    texts: tuple[str, str]
    marks: tuple[Spans, Spans]
    passages: tuple[Passage, ...]
    cut: bool

    @property
    def longest(self) -> int:
        return max((passage.words for passage in self.passages), default=0)


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """All prompts that both answered, those with the longest shared passage first."""

    models: tuple[str, str]
    words: int
    pairs: tuple[Pair, ...]

    @property
    def sharing(self) -> int:
        return sum(bool(pair.passages) for pair in self.pairs)


def compared(first: Transcript, second: Transcript, words: int, progress: Callable[[str, float], None]) -> SideBySide:
    """Every answer of both to the same prompt and sample, ordered by the longest passage, then by prompt.

    Raises UsageError where there is nothing to compare.
    """
    import polars as pl

    columns = ["prompt_id", "sample", "text"]
    both = first.frame.select("item", "prompt", *columns).join(
        second.frame.select(columns), on=["prompt_id", "sample"], suffix="_second"
    )
    if not both.height:
        raise UsageError(
            f"{first.model} and {second.model} answered no prompt both",
            advice="were their prompts recorded in the same form? See --prompts-by of 'filiation transcripts import'",
        )
    both = both.filter((pl.col("text") != "") & (pl.col("text_second") != ""))
    if not both.height:
        raise UsageError(
            f"no texts were recorded of what {first.model} and {second.model} both answered",
            advice="stated answers alone are compared by 'filiation compare'",
        )
    pairs = []
    for number, row in enumerate(both.iter_rows(named=True)):
        if number % 20 == 0:
            progress("looking for shared passages", number / both.height)
        pairs.append(_pair(row, words))
    ordered = sorted(pairs, key=lambda pair: (-pair.longest, pair.prompt_id, pair.sample))
    return SideBySide(models=(first.model, second.model), words=words, pairs=tuple(ordered))


def _pair(row: dict[str, Any], words: int) -> Pair:
    one, other = words_of(row["text"]), words_of(row["text_second"])
    passages = shared_passages(one, other, words)
    return Pair(
        prompt_id=row["prompt_id"],
        item=row["item"],
        prompt=row["prompt"],
        sample=row["sample"],
        texts=(row["text"], row["text_second"]),
        marks=(covered(passages), covered(shared_passages(other, one, words))),
        passages=passages,
        cut=one.cut or other.cut,
    )


def heading(found: SideBySide) -> str:
    """What was found, in one line."""
    one, other = (visible(model, 80) for model in found.models)
    return (
        f"{one} and {other}: {whole(found.sharing)} of {plural(len(found.pairs), 'pair of answers', 'pairs of answers')} "
        f"share a passage of {found.words} words or more"
    )


def facts(found: SideBySide, top: int) -> dict[str, Any]:
    """For `--json`."""
    return {
        "models": found.models,
        "words": found.words,
        "pairs": len(found.pairs),
        "sharing": found.sharing,
        "prompts": [
            {
                "prompt_id": pair.prompt_id,
                "item": pair.item,
                "sample": pair.sample,
                "longest_passage_words": pair.longest,
                "passages": [
                    {"words": each.words, "text": pair.texts[0][each.start : each.end]}
                    for each in sorted(pair.passages, key=lambda passage: -passage.words)[:20]
                ],
            }
            for pair in found.pairs[:top]
        ],
    }


def _pieces(text: str, marks: Spans) -> list[tuple[str, bool]]:
    """A text in pieces, each marked or not; what makes a terminal or a reader stumble is replaced, line ends are kept."""
    pieces, at = [], 0
    for start, end in (*marks, (len(text), len(text))):
        if start > at:
            pieces.append((_safe(text[at:start]), False))
        if end > start:
            pieces.append((_safe(text[start:end]), True))
        at = max(at, end)
    return pieces


def _safe(text: str) -> str:
    # `visible` turns line ends into spaces, so that it is asked line by line.
    return "\n".join(visible(line, _LONGEST) for line in text.replace("\r\n", "\n").split("\n"))


def _title(pair: Pair) -> str:
    name = f"{visible(pair.item, 80)}, " if pair.item else ""
    return f"{name}prompt {pair.prompt_id}, sample {pair.sample}: longest passage {plural(pair.longest, 'word')}"


def print_to_terminal(found: SideBySide, top: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(heading(found)))
    for pair in found.pairs[:top]:
        console.print(Text(f"\n{_title(pair)}", style="bold"))
        if pair.prompt:
            console.print(Text(_safe(pair.prompt[:600]), style="italic"))
        table = Table(expand=True, show_lines=True)
        for model in found.models:
            table.add_column(Text(visible(model, 80)), ratio=1, overflow="fold")
        brackets = not console.is_terminal  # a pipe shows no colours
        sides = zip(pair.texts, pair.marks, strict=True)
        table.add_row(*(_marked(Text(), text, marks, brackets) for text, marks in sides))
        console.print(table)
    if len(found.pairs) > top:
        console.print(Text(f"\n{whole(len(found.pairs) - top)} further prompts are not shown; see --top and --html"))


def _marked(made: Any, text: str, marks: Spans, brackets: bool) -> Any:
    for piece, marked in _pieces(text, marks):
        made.append(f"⟦{piece}⟧" if marked and brackets else piece, style="reverse" if marked else "")
    return made


_STYLE = """
:root { color-scheme: light dark; --line: #8886; --mark: #ffe08a; --ink: #111; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h2 { font-size: 1rem; margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
.prompt { white-space: pre-wrap; overflow-wrap: anywhere; font-style: italic; margin: .5rem 0; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.5rem; }
.pair > div { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 0; }
.pair > div::before { content: attr(data-model); display: block; font-weight: 600; white-space: normal; margin-bottom: .3rem; }
mark { background: var(--mark); color: var(--ink); }
@media (max-width: 50rem) { .pair { grid-template-columns: 1fr; } }
"""


def page(found: SideBySide, top: int) -> str:
    """One HTML file without scripts and without anything from elsewhere; every text of an exhibit is escaped."""
    from markupsafe import Markup, escape

    policy = "default-src 'none'; style-src 'unsafe-inline'"
    body = [
        Markup("<h1>{}</h1>").format(heading(found)),
        Markup("<p>{}</p>").format(
            "Marked is what stands word for word in both, whatever its case and punctuation. Unrelated models share phrases, "
            "and quote the same prompt: how rare a passage is among other models is not said here."
        ),
    ]
    for pair in found.pairs[:top]:
        body.append(Markup("<h2>{}</h2>").format(_title(pair)))
        if pair.cut:
            body.append(Markup("<p>{}</p>").format("Only the beginning of these answers was looked at."))
        if pair.prompt:
            body.append(Markup('<div class="prompt">{}</div>').format(_safe(pair.prompt)))
        sides = [
            Markup('<div data-model="{}">{}</div>').format(visible(model, 80), _html(text, marks))
            for model, text, marks in zip(found.models, pair.texts, pair.marks, strict=True)
        ]
        body.append(Markup('<div class="pair">{}</div>').format(Markup("").join(sides)))
    if len(found.pairs) > top:
        body.append(Markup("<p>{} further prompts are not shown; see --top.</p>").format(whole(len(found.pairs) - top)))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width"><title>'
        f"{escape(' and '.join(visible(model, 80) for model in found.models))}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _html(text: str, marks: Spans) -> Any:
    from markupsafe import Markup, escape

    parts: Sequence[Any] = [
        Markup("<mark>{}</mark>").format(piece) if marked else escape(piece) for piece, marked in _pieces(text, marks)
    ]
    return Markup("").join(parts)
