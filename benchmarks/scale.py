"""What examining large files costs: `python -m benchmarks.scale [--shape 1B|7B|all]`.

    1. Write a base, a related copy and a stranger of real models' shapes, with random weights (benchmarks/shapes.py).
    2. In a process of its own, with the files dropped from the page cache: `compare` with the screen alone.
    3. Dropped again: read the same files once with `cat`.
    4. In a process of its own: every layer (the "shared tokens" alignment at these widths).

Random weights show cost only, never null or power. Writes benchmarks/results/scale.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import figures as readme
from benchmarks import shapes

RESULTS = Path(__file__).parent / "results" / "scale.json"
CHANCE = 0.10
GOAL = {"seconds": 60.0, "gigabytes": 2.0, "share_of_bytes": 0.05, "log10_p": -12.0}
COST_ONLY = "Random weights show cost only: neither how strangers behave nor what can be found."


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--shape", choices=[*shapes.SHAPES, "all"], default="1B", help="all: 1B and 7B")
    parser.add_argument("--full", choices=["none", "related", "both"], default="related", help="pairs examined in full")
    parser.add_argument("--keep", action="store_true", help="leave the written models on the disk")
    parser.add_argument(
        "--sparse", action="store_true", help="write only what the screen reads, the rest as holes: no cat, no full"
    )
    parser.add_argument("--pair", nargs=3, metavar=("FIRST", "SECOND", "DEPTH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pair:
        print(json.dumps(examined(*arguments.pair)))
        return
    console = Console(width=None if sys.stdout.isatty() else 140)
    chosen = ("1B", "7B") if arguments.shape == "all" else (arguments.shape,)
    runs, skipped = [], {}
    for name in chosen:
        shape = shapes.SHAPES[name]
        reason = shapes.room_for(2 - len(shapes.made(shape)), shape)
        if reason and not arguments.sparse:
            skipped[name] = f"{reason}; screened as sparse files, every layer skipped"
            console.print(f"{name}: {skipped[name]}")
        if reason or arguments.sparse:
            runs += measured_sparse(shape, arguments.keep, console)
        else:
            runs += measured(shape, arguments.full, arguments.keep, console)
        record(runs, skipped)
        readme.main()
        console.print(table_of(runs))
    console.print(COST_ONLY)


# --------------------------------------------------------------------------------------------------------- one process


def examined(first: str, second: str, depth: str) -> dict[str, Any]:
    """Compare two folders in this process, and say what that took. `depth`: 'screen' or 'full'."""
    started, before = time.monotonic(), process_io()
    from filiation import compare
    from filiation.evidence import Coincidences
    from filiation.sources.open import open_source
    from filiation.statistics.coincidences import log10_upper_tail

    imported = time.monotonic()
    sources = (Witnessed(open_source(first)), Witnessed(open_source(second)))
    examination = compare(*sources, only=("weights",), parameters={"weights": {"full": depth == "full"}})
    seconds, used = time.monotonic() - imported, resource.getrusage(resource.RUSAGE_SELF)
    after, content = process_io(), examination.relations["weights"].pair.content

    def tail(count: int, opportunities: int) -> float:
        return round(log10_upper_tail(Coincidences(count=count, opportunities=opportunities, chance=CHANCE)), 1)

    screen = content["screen"]
    found = {"count": screen["count"], "opportunities": screen["opportunities"]}
    figures = {
        "screen": found | {"log10_p": tail(**found)},
        "seconds": round(seconds, 1),
        "seconds_before_identity": round(min(source.seen["at"] for source in sources) - imported, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "import_seconds": round(imported - started, 1),
        "peak_gigabytes": round(peak_bytes() / 1e9, 3),
        "maxrss_gigabytes": round(used.ru_maxrss * 1024 / 1e9, 3),
        "bytes_total": sum(source.tensors().bytes_total for source in sources),
        "bytes_read": sum(source.seen["bytes_read"] for source in sources),
        "bytes_read_with_identity": sum(source.tensors().bytes_read for source in sources),
        "ranges_read": sum(source.seen["ranges_read"] for source in sources),
        "device_bytes": after["read_bytes"] - before["read_bytes"],
        "read_call_bytes": after["rchar"] - before["rchar"],
        "outcomes": {outcome.test: type(outcome).__name__ for outcome in examination.outcomes},
    }
    if depth == "full":
        for alignment in content["alignments"]:
            totals = [sum(pair[at] for pair in alignment["pairs"]) for at in (2, 3)]
            figures["every_layer"] = {
                "alignment": alignment["name"],
                "count": totals[0],
                "opportunities": totals[1],
                "log10_p": tail(*totals),
                "dimension_index": content["dimension_index"],
            }
    return figures


class Witnessed:
    """A source that notes what had been read before its identity was asked for: hashing is no part of the examination."""

    def __init__(self, source: Any) -> None:
        self.source, self.seen = source, {"at": 0.0, "bytes_read": 0, "ranges_read": 0}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def identity(self, *arguments: Any, **named: Any) -> Any:
        tensors = self.source.tensors()
        self.seen = {
            "at": time.monotonic(),
            "bytes_read": tensors.bytes_read,
            "ranges_read": tensors.ranges_read,
        }
        return self.source.identity(*arguments, **named)


def process_io() -> dict[str, int]:
    """This process's input so far, from /proc/self/io; zeros where there is none.

    `read_bytes` came from the device (mapped pages included, read-ahead too); `rchar` went through read calls.
    """
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return {"read_bytes": 0, "rchar": 0}
    return {key: int(value) for key, value in (line.split(": ") for line in lines)}


def peak_bytes() -> int:
    """The most memory this process had resident, mapped file pages included.

    The kernel's VmHWM rather than getrusage's ru_maxrss, which a child inherits from whoever started it.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# ----------------------------------------------------------------------------------------------------------- the runs


def measured(shape: shapes.ModelShape, full: str, keep: bool, console: Console) -> list[dict[str, Any]]:
    """Screen (and every layer) of the related and of the stranger pair; models are written, and removed, as needed."""
    both_fit = not shapes.room_for(3 - len(shapes.made(shape)), shape)
    runs = []
    for kind in ("related", "stranger"):
        for needed in ("base", kind):
            make_apart(shape, needed, console)
        folders = [shapes.folder_of(shape, needed) for needed in ("base", kind)]
        depths = ("screen", "full") if full == "both" or full == kind else ("screen",)
        for depth in depths:
            runs.append(run(shape, kind, depth, folders))
            console.print(f"{shape.name} {kind} {depth}: {runs[-1]['seconds']} s, {runs[-1]['peak_gigabytes']} GB")
        if not keep and not both_fit:
            shapes.remove(shape, kind)
    if not keep:
        for kind in shapes.SEEDS:
            shapes.remove(shape, kind)
    return runs


def measured_sparse(shape: shapes.ModelShape, keep: bool, console: Console) -> list[dict[str, Any]]:
    """The screen alone, of files that hold no more than the screen reads."""
    for kind in shapes.SEEDS:
        make_apart(shape, kind, console, sparse=True)
    base = shapes.folder_of(shape, "base", sparse=True)
    runs = [
        run(shape, kind, "screen", [base, shapes.folder_of(shape, kind, sparse=True)], sparse=True)
        for kind in ("related", "stranger")
    ]
    for kind in shapes.SEEDS:
        if not keep:
            shapes.remove(shape, kind, sparse=True)
    return runs


def make_apart(shape: shapes.ModelShape, kind: str, console: Console, sparse: bool = False) -> None:
    """Write a model in a process of its own, so that writing leaves nothing in this one's memory."""
    if (shapes.folder_of(shape, kind, sparse) / "complete").exists():
        return
    console.print(f"writing {shape.name} {kind} ({shape.nbytes / 1e9:.1f} GB{', with holes' if sparse else ''})")
    command = [sys.executable, "-m", "benchmarks.shapes", shape.name, kind, *(["sparse"] if sparse else [])]
    subprocess.run(command, check=True, cwd=_project())


def run(shape: shapes.ModelShape, kind: str, depth: str, folders: list[Path], sparse: bool = False) -> dict[str, Any]:
    """One examination from a cold cache, and the same files read once from a cold cache (unless they have holes)."""
    files = [file for folder in folders for file in shapes.weight_files(folder)]
    drop_from_cache(files)
    command = [sys.executable, "-m", "benchmarks.scale", "--pair", *map(str, folders), depth]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=_project())
    figures = json.loads(done.stdout)
    entry = {
        "shape": shape.name,
        "like": shape.like,
        "pair": kind,
        "depth": depth,
        "sparse": sparse,
        **figures,
        "share_of_bytes": round(figures["bytes_read"] / figures["bytes_total"], 5),
    }
    if sparse:
        return entry
    drop_from_cache(files)
    cat_seconds = seconds_of_cat(files)
    return entry | {"cat_seconds": round(cat_seconds, 1), "times_cat": round(figures["seconds"] / cat_seconds, 3)}


def seconds_of_cat(files: list[Path]) -> float:
    started = time.monotonic()
    with open(os.devnull, "wb") as nothing:
        subprocess.run(["cat", *map(str, files)], check=True, stdout=nothing)
    return time.monotonic() - started


def drop_from_cache(files: list[Path]) -> None:
    """Ask the kernel to forget the files' pages; a wish, which `device_bytes` in the result shows granted or not."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # only pages that were written back can be dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _project() -> Path:
    return Path(__file__).parents[1]


# ------------------------------------------------------------------------------------------------------------- the result


def record(runs: list[dict[str, Any]], skipped: dict[str, str]) -> None:
    """Write the result; earlier runs of shapes that were not measured this time are kept."""
    earlier = json.loads(RESULTS.read_text())["runs"] if RESULTS.exists() else []
    now = {run["shape"] for run in runs}
    RESULTS.parent.mkdir(exist_ok=True)
    result = {
        "about": COST_ONLY,
        "chance": CHANCE,
        "goal": GOAL,
        "computer": computer(),
        "skipped": skipped,
        "runs": [run for run in earlier if run["shape"] not in now] + runs,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def computer() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "cores": os.cpu_count(),
        "memory_gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "processor": processor(),
        "python": platform.python_version(),
    }


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table_of(runs: list[dict[str, Any]]) -> Table:
    table = Table(title="Cost of the weights examiner (random weights)")
    for heading in (
        "what",
        "seconds",
        "processor s",
        "peak GB",
        "MB read",
        "of files",
        "cat, s",
        "x cat",
        "k of n",
        "log10 p",
    ):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for entry in runs:
        seen = entry.get("every_layer", entry["screen"])
        table.add_row(
            f"{entry['shape']} {entry['pair']}, {entry['depth']}{' (files with holes)' if entry['sparse'] else ''}",
            f"{entry['seconds']:.1f}",
            f"{entry['processor_seconds']:.1f}",
            f"{entry['peak_gigabytes']:.2f}",
            f"{entry['bytes_read'] / 1e6:,.0f}",
            f"{entry['share_of_bytes']:.2%}",
            f"{entry['cat_seconds']:.1f}" if "cat_seconds" in entry else "-",
            f"{entry['times_cat']:.2f}" if "times_cat" in entry else "-",
            f"{seen['count']} of {seen['opportunities']}",
            f"{seen['log10_p']:.1f}",
        )
    return table


if __name__ == "__main__":
    main()
