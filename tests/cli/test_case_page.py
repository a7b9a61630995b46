"""docs/case.md is run as it stands: its commands in order, with the files that it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from filiation.proceedings.status import status
from tests.case_world import run
from tests.cli.tokenizer_folders import train

PAGE = Path(__file__).parents[2] / "docs" / "case.md"
BLOCK = re.compile(r"```(console|toml)\n(.*?)```", re.DOTALL)
FILES = ("plan.toml", "declarations.toml")


def test_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for number, name in enumerate(("ours", "theirs", "other", "first", "second", "third")):
        (tmp_path / "models").mkdir(exist_ok=True)
        vocabulary = 1200 if name == "theirs" else 1000 + 50 * number
        train(tmp_path / "models" / name, first=max(0, number - 1), step=5, vocabulary=vocabulary)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FILIATION_KEY", "case.key")
    files = iter(FILES)
    commands = 0
    for kind, text in BLOCK.findall(PAGE.read_text("utf-8")):
        if kind == "toml":
            Path(next(files)).write_text(text, "utf-8")
            continue
        for line in text.splitlines():
            words = shlex.split(line.removeprefix("$ filiation case "))
            assert run(*words) == 0, line
            commands += 1
    assert next(files, None) is None
    assert commands == 21
    assert status("dispute").state == "closed"
    assert "Acquired again: holds (3 looked at)" in capsys.readouterr().out
