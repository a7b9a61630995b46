"""Verbs of `canary` and `lot` that are typed too early say which one comes before, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from filiation.case.secret_keys import save_key
from filiation.case.signing import save_signer
from filiation.cli import canary, lot
from filiation.cli.program import leave_with_exit_code
from tests.lots.world import signer_of

EARLY = {
    "label": ("canary", "label", "{folder}", "--beacon", "{beacon}"),
    "plant": ("canary", "plant", "{folder}", "--secret", "{secret}", "--recipient", "x", "--dose", "1", "-o", "{out}"),
    "reveal": (
        "canary", "reveal", "{folder}", "--secret", "{secret}", "--batch", "0", "--verifier", "x", "--suspect", "y", "--considered", "1",
    ),
    "draw": ("lot", "draw", "{folder}", "--secret", "{secret}", "--beacon", "{beacon}"),
    "open": ("lot", "open", "{folder}", "--secret", "{secret}"),
}  # fmt: skip


def run(*words: str) -> int:
    program = typer.Typer()
    program.add_typer(canary.app, name="canary")
    program.add_typer(lot.app, name="lot")
    with pytest.raises(SystemExit) as left:
        leave_with_exit_code(lambda: program(args=list(words), prog_name="filiation"), debug=False)
    return int(left.value.code or 0)


@pytest.mark.parametrize("verb", EARLY)
def test_before_commit_each_verb_says_that_commit_comes_first(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, beacon = tmp_path / "folder", tmp_path / "round.json"
    assert run("canary", "prepare", str(folder), "--batches", "1", "--batch-size", "2", "--quiet") == 0
    beacon.write_text("{}")
    save_key(bytes(32), tmp_path / "secret")
    save_signer(signer_of(1), tmp_path / "signing.key")
    monkeypatch.setenv("FILIATION_KEY", str(tmp_path / "signing.key"))
    before = sorted(folder.rglob("*"))
    places = {"folder": folder, "beacon": beacon, "secret": tmp_path / "secret", "out": tmp_path / "out.jsonl"}
    assert run(*(word.format(**places) for word in EARLY[verb])) == 2
    told = capsys.readouterr().err
    assert f"run 'filiation {EARLY[verb][0]} commit' first" in told
    assert sorted(folder.rglob("*")) == before
    assert not (tmp_path / "out.jsonl").exists()
