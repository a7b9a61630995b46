"""Packs made from a user's own table, against the truth of the simulated world and against line-ups with the table itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from filiation.cli import main
from filiation.errors import MalformedSource, UsageError
from filiation.evidence import Finding
from filiation.investigation import compare
from filiation.sources.packs import Pack, packs
from filiation.sources.simulated import World, world


@pytest.fixture(scope="module")
def simulated() -> World:
    return world(3, prompts={"open": 60, "problem": 80, "choice": 80, "borderline": 0, "nonsense": 0})


@pytest.fixture(scope="module")
def recorded(simulated: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated.write(tmp_path_factory.mktemp("recorded") / "answers.parquet")


def made(recorded: Path, folder: Path, kind: str) -> Pack:
    with pytest.raises(SystemExit) as left:
        main(["packs", "make", str(recorded), "-o", str(folder), "--name", "own", "--kind", kind,
              "--source", "a simulated world", "--licence", "none"])  # fmt: skip
    assert not left.value.code
    return Pack(folder)


@pytest.mark.parametrize(("kind", "examiner"), [("text", "text_kinship"), ("answers", "shared_errors")])
def test_a_pack_stands_in_for_the_table_it_was_made_from(
    kind: str, examiner: str, simulated: World, recorded: Path, tmp_path: Path
) -> None:
    """A pair of strangers and a fine-tune are decided alike with the pack alone and with all models of the table as controls."""
    pack = made(recorded, tmp_path / "pack", kind)
    assert {known.name for known in pack.card.models} == {model.name for model in simulated.recorded}
    child = next(model for model in simulated.models if model.relation == "fine-tune")
    stranger = next(model for model in simulated.models if model.lab != child.lab and not model.parent)
    decided = []
    for suspect in (child.name, stranger.name):
        if suspect == child.parent:
            continue
        pair = [f"transcripts:{recorded}#{child.parent}", f"transcripts:{recorded}#{suspect}"]
        with_pack = compare(*pair, only=[examiner], parameters={examiner: {"packs": str(tmp_path / "pack")}})
        with_table = compare(
            *pair, [f"transcripts:{recorded}"], only=[examiner], parameters={examiner: {"packs": "none"}}
        )
        decided.append(
            [
                [(o.test, o.log10_p <= o.power.threshold_log10_p) for o in seen.outcomes if isinstance(o, Finding)]
                for seen in (with_pack, with_table)
            ]
        )
    assert any(any(found for _, found in each) for each in decided[0]), "the fine-tune is found by neither"
    for by_pack, by_table in decided:
        assert by_pack == by_table


@pytest.mark.parametrize("kind", ["text", "answers"])
def test_a_pack_holds_no_text(kind: str, recorded: Path, tmp_path: Path) -> None:
    pack = made(recorded, tmp_path / "pack", kind)
    with np.load(pack.data, allow_pickle=False) as archive:
        held = {name: archive[name] for name in archive.files}
    assert {array.dtype.kind for array in held.values()} <= {"u", "i"}
    asked = {word for prompt in pl.read_parquet(recorded)["prompt"][:50] for word in prompt.split() if len(word) > 9}
    assert asked
    assert not [word for word in asked if word.encode() in (pack.folder / "card.json").read_bytes()]


def test_relations_of_models_that_are_not_there_are_refused(recorded: Path, tmp_path: Path) -> None:
    from filiation.packing import make_pack

    with pytest.raises(UsageError, match="nobody"):
        make_pack(
            pl.read_parquet(recorded),
            tmp_path / "pack",
            name="own",
            kind="text",
            purpose="",
            source="",
            licence="",
            related=[("nobody", "lab-1-a", "fine-tune")],
        )
    assert not (tmp_path / "pack").exists()


def test_a_table_without_right_answers_makes_no_pack_of_answers(recorded: Path, tmp_path: Path) -> None:
    from filiation.packing import make_pack

    frame = pl.read_parquet(recorded).with_columns(gold=pl.lit(None, pl.String))
    with pytest.raises(UsageError, match="no prompt"):
        make_pack(frame, tmp_path / "pack", name="own", kind="answers", purpose="", source="", licence="")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "weird"}, "its kind 'weird'"),
        ({"related": [[0, 999, "same-model"]]}, "relates the models 0 and 999"),
        ({"related": [[-1, 1, "same-model"]]}, "relates the models -1 and 1"),
        ({"models": [{"name": "a", "lineage": "x", "lab": "l"}] * 2}, "the model 'a' twice"),
        ({"prompts": ["p", "p"]}, "the prompt 'p' twice"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(
    change: dict[str, object], reason: str, recorded: Path, tmp_path: Path
) -> None:
    pack = made(recorded, tmp_path / "pack", "answers")
    card = pack.folder / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | change))
    with pytest.raises(MalformedSource, match=reason):
        Pack(pack.folder)


@pytest.mark.parametrize("asked", ["", "none,own", "auto,own"])
def test_the_words_auto_and_none_stand_alone(asked: str) -> None:
    with pytest.raises(UsageError, match=r"names no control pack|without a name"):
        packs("text", asked)


def test_a_card_with_terminal_escapes_is_shown_without_them(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = made(recorded, tmp_path / "pack", "answers")
    card = pack.folder / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"purpose": "\x1b]0;owned\x07"}))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["packs", "show", str(pack.folder)])
    # pytest's capture is no terminal, where typer would strip colours but not this escape.
    assert "\x1b" not in capsys.readouterr().out
