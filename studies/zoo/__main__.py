"""Build a zoo and print what is in it: `python -m studies.zoo --size test`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from studies.zoo.builder import Zoo, build
from studies.zoo.sizes import SIZES


def main(arguments: list[str] | None = None) -> int:
    """Parse, build, print."""
    asked = _parser().parse_args(arguments)
    helpers = _helpers(asked.jobs - 1, arguments)
    try:
        zoo = build(
            asked.size,
            bases=asked.bases,
            only=asked.only,
            device=asked.device,
            out=asked.out,
            dtype=asked.dtype,
            progress=not asked.quiet,
        )
    except ValueError as error:
        Console(stderr=True).print(f"[bold]zoo:[/bold] {error}", highlight=False)
        return 2
    finally:
        for helper in helpers:
            helper.wait()
    if not asked.quiet:
        Console().print(_table(zoo))
    sys.stdout.write(f"{zoo.root}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studies.zoo", description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="test")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--bases", type=int, metavar="N", help="number of independent Llama-like founders")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these members and what they descend from")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the members (default: under .cache/zoo)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="type that members are saved in")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that build together (default 1)")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table, only the folder")
    return parser


def _helpers(count: int, arguments: list[str] | None) -> list[subprocess.Popen[bytes]]:
    """Further processes that run the same command; the locks share out the members."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = [sys.executable, "-m", "studies.zoo", *given, "--jobs", "1", "--quiet"]
    return [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(count)]


def _table(zoo: Zoo) -> Table:
    table = Table("member", "group", "relation", "of", "lineage", "loss before", "after", "seconds")
    for member in zoo.members():
        record = zoo.lineage(member.name)
        before = "" if record["loss_before"] is None else f"{record['loss_before']:.2f}"
        table.add_row(
            member.name,
            member.group,
            member.relation,
            ", ".join(member.parents),
            member.lineage_id,
            before,
            f"{record['loss_after']:.2f}",
            f"{record['seconds']:.0f}",
        )
    return table


if __name__ == "__main__":
    raise SystemExit(main())
