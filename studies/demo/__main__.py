"""`make demo`: compare real models and tokenizers from their files, and leave demo/index.html.

1. SmolLM2-135M-Instruct, as published, with a copy whose weights were laundered (neurons, heads and hidden dimensions
   renumbered, residual stream rotated, every scale changed) and quantised anew.
2. The same with a stranger of its width and tokenizer, trained here for a minute (and said to be).
3. The tokenizers of Claude, GPT-4, GPT-4o, Llama 3, Qwen 2.5 and Mistral Nemo, each with each.
4. Recorded answers of real models, from the figures in the control packs that ship: Claude against Qwen, and pairs of known
   relation (the same weights served twice, two versions, an 'aligner' that passes answers on, a student).
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import jinja2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from filiation.evidence import Examination, Finding
from filiation.report.terminal import print_report
from filiation.report.wording import probability
from studies.demo.examinations import SEED, Task, examined
from studies.demo.exhibits import laundered_copy, smollm2, stranger
from studies.fetch_tokenizers import fetch

TOKENIZERS = ("claude", "gpt4", "gpt4o", "llama3", "qwen2_5", "mistral_nemo")
ANSWERS = (
    ("claude-3-opus-20240229", "Qwen2-72B-Instruct", "two labs' models; one of the pairs in dispute"),
    ("claude-2", "Qwen-14B-Chat", "two labs' models; one of the pairs in dispute"),
    ("vicuna-13b-v1.5", "vicuna-13b-v1.5-togetherai", "the same weights, served twice"),
    ("gpt4_0314", "gpt4_0613", "two versions of one model"),
    ("claude-3-opus-20240229", "aligner-2b_claude-3-opus-20240229", "a small model that passes the other's answers on"),
    ("gpt-3.5-turbo-0301", "wizardlm-13b-v1.2", "a student, taught with the other's answers; most students are missed"),
)
"""Reference, suspect and what their makers say, of the models in the control pack `alpaca_eval`."""
ANSWERS_EXAMINERS = ("text_kinship", "verbatim", "teacher")
FOLDER = Path("demo")


class Entry(NamedTuple):
    """One report of the demonstration."""

    title: str
    file: str
    examination: Examination


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m studies.demo", description="real models and tokenizers compared")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for the reports (default: demo)")
    asked = parser.parse_args(arguments)
    console = Console()
    started = time.monotonic()
    exhibits = asked.out / "exhibits"
    exhibits.mkdir(parents=True, exist_ok=True)

    console.rule("the exhibits")
    original = smollm2()
    console.print(f"SmolLM2-135M-Instruct: {original.name}, {original.stat().st_size / 1e6:.0f} MB")
    with console.status("laundering a copy and quantising it anew"):
        laundered = laundered_copy(original, exhibits, seed=SEED)
    console.print(f"laundered and re-quantised copy: {laundered.name}, {laundered.stat().st_size / 1e6:.0f} MB")
    with console.status("training a stranger from its own random numbers (about a minute)"):
        other = stranger(original, exhibits, seed=SEED)
    console.print(f"stranger: {other.name}")

    with console.status("fetching tokenizers"):
        tokenizers = fetch(TOKENIZERS)

    models = [
        Task("SmolLM2 and its laundered, re-quantised copy", "laundered", original, laundered, (other,)),
        Task("SmolLM2 and a stranger trained here", "stranger", original, other),
    ]
    pairs = [
        Task(
            f"tokenizers of {first} and {second}",
            f"tokenizers-{first}-{second}",
            tokenizers[first].parent,
            tokenizers[second].parent,
            (),
            ("tokenizer",),
        )
        for first, second in itertools.combinations(TOKENIZERS, 2)
    ]
    answers = [
        Task(
            f"answers of {first} and {second}",
            f"answers-{first}-{second}",
            f"pack:alpaca_eval#{first}",
            f"pack:alpaca_eval#{second}",
            (),
            ANSWERS_EXAMINERS,
        )
        for first, second, _ in ANSWERS
    ]
    console.rule("examining")
    entries = examine_all([*models, *pairs, *answers], asked.out, console)
    entries, spoken = entries[: -len(answers)], entries[-len(answers) :]
    for entry in entries[: len(models)]:
        console.rule(entry.title)
        print_report(entry.examination, console, html_at=str(asked.out / entry.file))
    console.rule("tokenizers, each with each")
    by_pair = dict(zip(itertools.combinations(TOKENIZERS, 2), entries[len(models) :], strict=True))
    for (first, second), entry in by_pair.items():
        console.print(f"{first:>12} | {second:<12} {in_short(entry.examination)}", highlight=False)
    console.rule("recorded answers")
    for (first, second, said), entry in zip(ANSWERS, spoken, strict=True):
        console.print(f"{first} | {second} ({said})", highlight=False)
        for line in told(entry.examination):
            console.print(f"    {line}", highlight=False)
    index = asked.out / "index.html"
    index.write_text(index_page(entries[: len(models)], by_pair, spoken))
    console.rule()
    console.print(f"done in {time.monotonic() - started:.0f} seconds; open [bold]{index}[/bold]", highlight=False)
    return 0


def examine_all(tasks: Sequence[Task], folder: Path, console: Console) -> list[Entry]:
    """Two examinations at a time, each in a process of its own; what finished is told as it finishes."""
    started = time.monotonic()
    with (
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool,
        Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console) as bars,
    ):
        shown = bars.add_task("examinations", total=len(tasks))
        futures = {pool.submit(examined, task, folder): task for task in tasks}
        for future in as_completed(futures):
            future.result()
            bars.update(shown, advance=1)
            seconds = time.monotonic() - started
            bars.console.print(f"{seconds:5.0f} s  {futures[future].title}", highlight=False)
    return [
        Entry(
            task.title,
            f"{task.name}.html",
            Examination.from_json((folder / f"{task.name}.json").read_bytes()),
        )
        for task in tasks
    ]


def principal(examination: Examination) -> Finding | None:
    """The finding that the first page names: the first one about a tokenizer's order."""
    return next((o for o in examination.outcomes if isinstance(o, Finding) and o.test == "tokenizer.merge-order"), None)


def in_short(examination: Examination) -> str:
    """One line about a pair of tokenizers."""
    finding = principal(examination)
    if finding is None:
        return next(outcome.reason for outcome in examination.outcomes)
    return (
        f"{finding.count:>6} of {finding.opportunities:<6} pairs in the same order "
        f"({finding.count / finding.opportunities:.3f}), chance {finding.chance} at most, p {probability(finding.log10_p)}"
    )


def told(examination: Examination) -> list[str]:
    """One line per test about a pair of recorded models."""
    return [
        f"{outcome.test}: {outcome.count} of {outcome.opportunities} control lineages stand as high, "
        f"p {probability(outcome.log10_p)}"
        if isinstance(outcome, Finding)
        else f"{outcome.test}: {outcome.reason}"
        for outcome in examination.outcomes
    ]


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>filiation: demonstration</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent);
  vertical-align: top; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
</style></head><body>
<h1>filiation: demonstration</h1>
<p>Reports on real files. Each says what was seen, how often chance alone would bring it, and where that figure stops.</p>
<h2>Models</h2>
<ul>{% for entry in entries %}<li><a href="{{ entry.file }}">{{ entry.title }}</a></li>{% endfor %}</ul>
<p>The stranger was trained for this demonstration for a minute, from random numbers: it shows what no relation looks like,
not how well-trained strangers behave.</p>
<h2>Tokenizers, each with each</h2>
<div class="wide"><table><tr><th>reference</th><th>suspect</th><th>pairs of shared tokens in the same order</th><th>share</th>
<th>p at most</th><th></th></tr>
{% for row in rows %}<tr><td>{{ row.first }}</td><td>{{ row.second }}</td>
<td class="number">{{ row.count }}</td><td class="number">{{ row.share }}</td><td class="number">{{ row.p }}</td>
<td><a href="{{ row.file }}">report</a></td></tr>
{% endfor %}</table></div>
<p>Independent training orders shared tokens like a coin (0.5); the tolerance is 0.65. Qwen's and Llama 3's vocabularies were
built on GPT-4's, as their makers say: a public common ancestor, not copying from one another.</p>
<h2>Recorded answers</h2>
<div class="wide"><table><tr><th>reference</th><th>suspect</th><th>what is known</th><th>what was seen</th><th></th></tr>
{% for row in spoken %}<tr><td>{{ row.first }}</td><td>{{ row.second }}</td><td>{{ row.said }}</td>
<td>{% for line in row.told %}{{ line }}<br>{% endfor %}</td><td><a href="{{ row.file }}">report</a></td></tr>
{% endfor %}</table></div>
<p>Figures of answers to 200 public instructions, recorded by others (AlpacaEval). The suspect is ranked among unrelated
lineages that answered the same: p is never below one in their number plus one, whatever the number of prompts.</p>
</body></html>
"""


def index_page(entries: list[Entry], pairs: dict[tuple[str, str], Entry], spoken: Sequence[Entry]) -> str:
    """The page that links to the reports; loads nothing."""
    rows = []
    for (first, second), entry in pairs.items():
        finding = principal(entry.examination)
        rows.append(
            {
                "first": first,
                "second": second,
                "file": entry.file,
                "count": f"{finding.count} of {finding.opportunities}" if finding else in_short(entry.examination),
                "share": f"{finding.count / finding.opportunities:.3f}" if finding else "",
                "p": probability(finding.log10_p) if finding else "",
            }
        )
    recorded = [
        {"first": first, "second": second, "said": said, "file": entry.file, "told": told(entry.examination)}
        for (first, second, said), entry in zip(ANSWERS, spoken, strict=True)
    ]
    return jinja2.Environment(autoescape=True).from_string(PAGE).render(entries=entries, rows=rows, spoken=recorded)


if __name__ == "__main__":
    sys.exit(main())
