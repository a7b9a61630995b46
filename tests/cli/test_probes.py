"""`filiation probes`, through the command line itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from filiation.cli.probes import app
from filiation.errors import UsageError
from filiation.sources.probes import cards, digest_of, draw


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False, standalone_mode=False)
    return result.output


def test_the_list_names_every_set() -> None:
    said = run()
    for name, card in cards().items():
        assert f"{name}  version {card.version}, {card.number} probes" in said


def test_the_list_as_json() -> None:
    assert [entry["name"] for entry in json.loads(run("--json"))] == list(cards())


def test_show_tells_the_card_and_some_probes() -> None:
    said = run("show", "borderline", "--count", "2")
    assert "licence: Apache-2.0" in said
    assert said.count("[borderline:") == 2
    assert "limit:" in said
    assert cards()["borderline"].sha256 in said


def test_a_draw_is_what_the_library_draws(tmp_path: Path) -> None:
    target = tmp_path / "drawn.jsonl"
    said = run("draw", "problems", "--count", "12", "--seed", "7", "-o", str(target))
    drawn = draw("problems", 12, 7)
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert lines == [{"prompt": p.prompt, "item": p.item, "gold": p.gold} for p in drawn]
    assert digest_of(drawn) in said


def test_a_draw_to_standard_output_is_nothing_but_lines() -> None:
    """Written text has no gold answer; the key is there all the same."""
    lines = run("draw", "open", "--count", "3", "--seed", "0", "-o", "-").splitlines()
    assert [sorted(json.loads(line)) for line in lines] == [["gold", "item", "prompt"]] * 3


def test_paraphrases_come_with_their_probe(tmp_path: Path) -> None:
    target = tmp_path / "drawn.jsonl"
    run("draw", "borderline", "--count", "5", "--seed", "1", "--paraphrases", "-o", str(target))
    assert len(target.read_text().splitlines()) == 20


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "opne"),
        ("draw", "open", "--count", "9999", "--seed", "0", "-o", "-"),
        ("draw", "open", "--count", "3", "--seed", "0", "--paraphrases", "-o", "-"),
        ("draw", "open", "--count", "3", "--seed", "0", "-o", "/nowhere/at/all.jsonl"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run(*arguments)
