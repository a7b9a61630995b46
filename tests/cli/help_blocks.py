"""The help texts that docs/command-line.md shows. `python -m tests.cli.help_blocks` writes them there anew."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from filiation.cli.program import app

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
BLOCK = re.compile(r"```console\n\$ filiation ?([a-z ]*) --help\n(.*?)```", re.DOTALL)


def help_text(verb: str) -> str:
    """What `filiation VERB --help` prints on a terminal of 80 columns."""
    words = [*verb.split(), "--help"]
    shown = CliRunner().invoke(
        app, words, prog_name="filiation", env={"TERM": "dumb", "NO_COLOR": "1"}, terminal_width=78
    )
    if shown.exit_code:
        raise ValueError(f"filiation {' '.join(words)} ends with {shown.exit_code}: {shown.output}")
    return shown.output


def blocks(page: str) -> dict[str, str]:
    """Verb to the help text shown for it."""
    return {found[1]: found[2] for found in BLOCK.finditer(page)}


def renewed(page: str) -> str:
    def block(found: re.Match[str]) -> str:
        verb = f" {found[1]}" if found[1] else ""
        return f"```console\n$ filiation{verb} --help\n{help_text(found[1])}```"

    return BLOCK.sub(block, page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
