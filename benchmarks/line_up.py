"""What a line-up of recorded answers costs: `python -m benchmarks.line_up [--size issue|growth|all]`.

    1. Write answers of random words (Zipf, about 250 words each), one AlpacaEval-like JSON file per model.
    2. In a process of its own: `filiation transcripts import` of all files into one Parquet file.
    3. In a process of its own: `filiation compare` of two of the models with all others as controls, every examiner.
    4. Beside them, in the same run: reading the Parquet file once with polars, and hashing every text once (the hardware's rate).

Random words show cost only, never null or power. Writes benchmarks/results/line_up.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import figures as readme
from benchmarks.scale import computer

RESULTS = Path(__file__).parent / "results" / "line_up.json"
GOAL = {"models": 30, "prompts": 10_000, "seconds": 120.0, "gigabytes": 4.0}
SIZES = {
    "issue": [(30, 334), (30, 10_000)],
    "growth": [(10, 500), (30, 500), (60, 500), (120, 500), (30, 1_000), (30, 2_000), (30, 5_000)],
}
WORDS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--size", choices=[*SIZES, "all"], default="issue", help="issue: 30 models, 334 and 10,000 prompts"
    )
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    chosen = [size for name in SIZES if arguments.size in (name, "all") for size in SIZES[name]]
    kept = json.loads(RESULTS.read_text())["runs"] if RESULTS.exists() else []
    fresh = [measured(models, prompts, console) for models, prompts in chosen]
    again = {(run["models"], run["prompts"]) for run in fresh}
    runs = sorted(
        [*fresh, *(run for run in kept if (run["models"], run["prompts"]) not in again)],
        key=lambda run: (run["prompts"], run["models"]),
    )
    RESULTS.write_text(json.dumps({"computer": computer(), "goal": GOAL, "runs": runs}, indent=1) + "\n")
    readme.main()
    console.print(table(runs))


def measured(models: int, prompts: int, console: Console) -> dict[str, Any]:
    console.print(f"{models} models, {prompts} prompts: writing")
    folder = Path(tempfile.mkdtemp(prefix="line-up-"))
    try:
        size = write_answers(folder, models, prompts)
        table_file = folder / "answers.parquet"
        files = [str(file) for file in sorted(folder.glob("model-*.json"))]
        lineages = folder / "lineages.json"
        lineages.write_text(
            json.dumps(
                {f"model-{at:03}": {"lineage": f"lineage-{at}", "lab": f"lab-{at % 12}"} for at in range(models)}
            )
        )
        imported = timed(
            "transcripts",
            "import",
            *files,
            "--format",
            "alpaca-eval",
            "--lineages",
            str(lineages),
            "-o",
            str(table_file),
        )
        source = f"transcripts:{table_file}"
        compared = timed(
            "compare", f"{source}#model-000", f"{source}#model-001", "--control", source, "--quiet", "--no-html"
        )
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", f"import polars; polars.read_parquet({str(table_file)!r})"], check=True)
        read = time.monotonic() - started
        hashed = hashing_seconds(files)
    finally:
        shutil.rmtree(folder)
    run = {
        "models": models,
        "prompts": prompts,
        "answers": models * prompts,
        "megabytes": round(size / 1e6, 1),
        "import": imported,
        "compare": compared,
        "seconds": round(imported["seconds"] + compared["seconds"], 1),
        "peak_gigabytes": max(imported["peak_gigabytes"], compared["peak_gigabytes"]),
        "read_seconds": round(read, 2),
        "hash_seconds": round(hashed, 2),
        "load_average": round(os.getloadavg()[0], 1),
    }
    console.print(f"  import {imported['seconds']} s, compare {compared['seconds']} s, peak {run['peak_gigabytes']} GB")
    return run


def write_answers(folder: Path, models: int, prompts: int) -> int:
    """One file per model, every model with its own order of the vocabulary. Returns the bytes written."""
    rng = np.random.default_rng(0)
    words = np.array([word_of(at) for at in range(WORDS)])
    chance = 1.0 / np.arange(1, WORDS + 1)
    cumulative = np.cumsum(chance / chance.sum())
    size = 0
    for model in range(models):
        shift = np.argsort(np.arange(WORDS) + rng.normal(0, 200, WORDS))
        entries = []
        for prompt in range(prompts):
            drawn = np.searchsorted(cumulative, rng.random(int(rng.integers(150, 350)))).clip(max=WORDS - 1)
            text = " ".join(words[shift[drawn]].tolist())
            entries.append(
                {
                    "instruction": f"Task number {prompt}: tell something.",
                    "output": text,
                    "generator": f"model-{model:03}",
                }
            )
        file = folder / f"model-{model:03}.json"
        file.write_text(json.dumps(entries))
        size += file.stat().st_size
    return size


def word_of(at: int) -> str:
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    word = ""
    at += 1
    while at:
        at, letter = divmod(at, len(letters))
        word += letters[letter]
    return word


def timed(*words: str) -> dict[str, Any]:
    """Seconds, processor seconds and peak memory of one command in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    code = (
        "import resource, sys\n"
        "from filiation.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as left:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n    raise\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"filiation {words[0]} ended with {ended.returncode}: {ended.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": round(time.monotonic() - started, 1),
        "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_gigabytes": round(int(ended.stderr.strip().split()[-1]) / 1e6, 2),
    }


def hashing_seconds(files: list[str]) -> float:
    """SHA-256 over the files once: what the hardware needs to touch every byte."""
    started = time.monotonic()
    for file in files:
        with open(file, "rb") as stream:
            hashlib.file_digest(stream, "sha256")
    return time.monotonic() - started


def table(runs: list[dict[str, Any]]) -> Table:
    shown = Table(title="A line-up of recorded answers")
    headings, rows = rows_of(runs)
    for heading in headings:
        shown.add_column(heading, justify="right")
    for row in rows:
        shown.add_row(*row)
    return shown


def rows_of(runs: list[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows, for the terminal and for README.md."""
    headings = (
        "models",
        "prompts",
        "answers",
        "MB",
        "import, s",
        "compare, s",
        "both, s",
        "x hashing",
        "peak GB",
        "load",
    )
    rows = [
        (
            str(run["models"]),
            f"{run['prompts']:,}",
            f"{run['answers']:,}",
            f"{run['megabytes']:.0f}",
            f"{run['import']['seconds']:.1f}",
            f"{run['compare']['seconds']:.1f}",
            f"{run['seconds']:.1f}",
            f"{run['seconds'] / run['hash_seconds']:.0f}" if run["hash_seconds"] >= 0.1 else "",
            f"{run['peak_gigabytes']:.2f}",
            f"{run['load_average']:.1f}",
        )
        for run in runs
    ]
    return headings, rows


if __name__ == "__main__":
    main()
