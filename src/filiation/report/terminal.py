"""The report in a terminal: one row per outcome, then what may be concluded, what limits it, and where the rest is.

Text from exhibits is put into `rich.text.Text` after `wording.visible`, never into markup, so a model's name can carry
neither terminal escapes nor rich's own tags.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from filiation.evidence import Examination, Finding, Proposition
from filiation.report import wording
from filiation.report.contents import FEWER_PLACES, MOST_PLACES, Contents, OutcomeSection, contents

COLUMNS = ("test", "k of n", "chance", "p", "LR")


def report(examination: Examination, *, html_at: str = "") -> RenderableType:
    """The whole report for a `rich` console; `html_at` is where the HTML report lies, if anywhere."""
    told = contents(examination)
    parts: list[RenderableType] = [_heading(told), _table(told), *_folded(told), *_conclusions(told), *_line_ups(told)]
    parts += _limits(examination)
    parts += [Text(), _remark(wording.NOT_THE_POSTERIOR), _remark(f"Record {told.digest}")]
    if html_at:
        parts.append(Text(f"Report: {wording.visible(html_at)}", style="bold", overflow="fold"))
    return Group(*parts)


def print_report(examination: Examination, console: Console, *, html_at: str = "") -> None:
    """Print the report; nothing is highlighted or interpreted on the way."""
    console.print(report(examination, html_at=html_at), highlight=False, markup=False, soft_wrap=False)


def row(section: OutcomeSection) -> tuple[str, ...]:
    """The cells of one outcome, in the order of `COLUMNS`; what was not found out stays empty."""
    outcome = section.outcome
    test = wording.visible(outcome.test)
    if not isinstance(outcome, Finding):
        return (test, "", "", "", "")
    has_ratio = section.conclusion is not None and section.conclusion.log10_likelihood_ratio is not None
    merged = section.entered is not None and section.conclusion is None
    return (
        test,
        f"{wording.whole(outcome.count)} of {wording.whole(outcome.opportunities)}",
        wording.chance_of_each(outcome),
        wording.probability(outcome.log10_p),
        wording.ratio_or_none(section.conclusion) if has_ratio else ("merged" if merged else "none"),
    )


def remark(section: OutcomeSection) -> str:
    """The line below a row: proposition, kind of null, kind of outcome and its reason; the place where no chance is given."""
    outcome = section.outcome
    proposition = wording.PROPOSITION_TITLES[outcome.proposition]
    kind = wording.KIND_TITLES[section.kind]
    if section.constructed and section.kind == "finding":
        kind += f" ({wording.in_a_word(outcome)})"
    told = f"{proposition}, null {wording.NULL_TITLES[outcome.null]}. {kind}: {wording.visible(outcome.reason)}"
    if section.ranking is not None and section.ranking.ranks_nothing:
        # An inconclusive outcome has said so itself, as its reason.
        if section.kind != "finding" and outcome.test in wording.SHARED:
            return told
        return f"{wording.ended(told)} {wording.nothing_ranked(outcome.test, section.ranking.suspect.value)}"
    if section.ranking is None or section.kind == "finding":
        return told
    return f"{told} ({wording.standing(section.ranking.above, len(section.ranking.lineages))})"


def _heading(told: Contents) -> Text:
    examination = told.examination
    before, between, after = wording.question(examination)
    heading = Text(before)
    heading.append(wording.visible(examination.suspect.name, 120), style="bold")
    heading.append(between)
    heading.append(wording.visible(examination.reference.name, 120), style="bold")
    beside = wording.controls(len(examination.controls), told.pack_controls, told.packs)
    return heading.append(f"{after} Told from {wording.told_from(examination)}, {beside}.")


def _table(told: Contents) -> RenderableType:
    """One row of figures per outcome and its remark below, on the whole width: readable in 80 columns."""
    sections = [section for proposition in told.propositions for section in proposition.outcomes]
    if not sections:
        return Group()
    rows = [row(section) for section in sections]
    widths = [max(len(cells[column]) for cells in [COLUMNS, *rows]) for column in range(len(COLUMNS))]
    parts: list[RenderableType] = [Text(), _line(COLUMNS, widths, "bold underline")]
    before: Proposition | None = None
    for section, cells in zip(sections, rows, strict=True):
        if section.outcome.proposition is not before:
            before = section.outcome.proposition
            parts += [Text(), Text(wording.PROPOSITION_TITLES[before], style="bold")]
        parts.append(_line(cells, widths, "bold" if section.kind == "finding" else "dim"))
        parts.append(Padding(Text(remark(section), style="dim", overflow="fold"), (0, 0, 0, 2)))
    return Group(*parts)


def _line(cells: Sequence[str], widths: Sequence[int], style: str) -> Table:
    line = Table.grid(padding=(0, 2, 0, 0))
    for column, width in enumerate(widths):
        line.add_column(justify="right" if column else "left", width=width, overflow="fold")
    line.add_row(*(Text(cell, style=style) for cell in cells))
    return line


def _folded(told: Contents) -> list[RenderableType]:
    """The tests that were not examined for a shared reason: every one counted and named, the reason once."""
    if not told.folded:
        return []
    title = wording.not_examined_count([len(fold.outcomes) for fold in told.folded])
    lines: list[RenderableType] = [Text(), Text(title, style="bold")]
    for fold in told.folded:
        if fold.no_marks:
            text = wording.folded_marks(fold.examiners, fold.marks_opened)
        else:
            text = f"{wording.folded_names(fold.named)}: {wording.folded_reason(fold.reason, fold.parts)}"
        lines.append(Padding(Text(text, style="dim", overflow="fold"), (0, 0, 0, 2)))
    return lines


def _conclusions(told: Contents) -> list[RenderableType]:
    """The sentence of every finding that carries a conclusion, with its likelihood ratio."""
    lines: list[RenderableType] = []
    for proposition in told.propositions:
        for section in proposition.findings:
            if section.conclusion is None:
                continue
            title = f"{wording.conclusion_title(section.conclusion)}: {wording.visible(section.outcome.test)}"
            likelihood = wording.likelihood_sentence(section.conclusion, section.outcome.relation_class)
            lines += [
                Text(),
                Text(title, style="bold"),
                *_nothing_ranked(section),
                Text(wording.sentence(section.outcome)),
                *([_remark(wording.reading(section.outcome))] if wording.reading(section.outcome) else []),
                *_premises(section),
                Text(likelihood),
            ]
    return lines


def _premises(section: OutcomeSection) -> list[RenderableType]:
    """What a figure by construction speaks of and rests on, and what stands beside it."""
    outcome = section.outcome
    if not section.constructed or not isinstance(outcome, Finding):
        return []
    if outcome.log10_p > outcome.power.threshold_log10_p:
        return []
    told = [f"- {line}" for line in wording.beside_in_short(section.controls_beside)]
    return [
        Text(wording.EXPOSURE),
        *([Text(wording.drawn(section.drawn))] if section.drawn else []),
        Text(f"{wording.PREMISES}:"),
        *(Text(f"- {premise}") for premise in wording.premises(outcome)),
        *([Text("Beside it:")] if told else []),
        *map(Text, told),
    ]


def _nothing_ranked(section: OutcomeSection) -> list[RenderableType]:
    """The sentence before that of a finding whose line-up has one score."""
    if section.ranking is None or not section.ranking.ranks_nothing:
        return []
    return [Text(wording.nothing_ranked(section.outcome.test, section.ranking.suspect.value))]


def _line_ups(told: Contents) -> list[RenderableType]:
    """The first places of line-ups by rank, and the suspect's; fewer where no conclusion rests on it. The rest is in the report."""
    lines: list[RenderableType] = []
    sections = [section for proposition in told.propositions for section in proposition.outcomes]
    for section in sections:
        ranking = section.ranking
        if ranking is None or ranking.says_nothing:
            continue
        title = f"Line-up of {wording.visible(ranking.test)}, by score against the reference"
        lines += [Text(), Text(title, style="bold")]
        last = 0
        carries = section.conclusion is not None
        most = MOST_PLACES if carries else FEWER_PLACES
        for number, place in ranking.first(most):
            if number > last + 1:
                lines.append(_remark(f"  … {wording.plural(number - last - 1, 'model')}"))
            last = number
            kin = place.model.lab or place.model.lineage or "lineage not declared"
            whose = "the suspect" if place.role == "suspect" else wording.visible(kin, 30)
            ranked = "" if place.ranked else ", not ranked"
            line = f"  {number:>3}. {wording.score(place.value):>7}  {wording.shortened(place.model.name, 40)} ({whose}{ranked})"
            lines.append(Text(line, style="bold" if place.role == "suspect" else "", overflow="fold"))
        if last < len(ranking.places):
            lines.append(_remark(f"  … {wording.plural(len(ranking.places) - last, 'model')}"))
        caption = wording.line_up(
            ranking.above, len(ranking.lineages), ranking.prompts, ranking.left_out, ranking.packs
        )
        lines.append(_remark(caption))
        if section.held_out and carries:
            seen = "; ".join(f"{what}: {share}" for what, share, _ in map(wording.held_out_cells, section.held_out))
            lines.append(_remark(f"Labs held out: {seen}."))
    return lines


def _limits(examination: Examination) -> list[RenderableType]:
    """Every limitation once, in the order of the outcomes."""
    limits = [limit for outcome in examination.outcomes for limit in getattr(outcome, "limitations", ())]
    if not limits:
        return []
    listed = [Text(f"- {wording.ended(limit)}") for limit in dict.fromkeys(limits)]
    return [Text(), Text("Limits", style="bold"), *listed]


def _remark(text: str) -> Text:
    return Text(text, style="dim")
