"""The lines of docs/canaries.md, run as they stand there: 'By hand' gives the package's labels and root, 'Accounts' serves and enters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from filiation.canaries import opening
from filiation.canaries.exposure import Exposed
from filiation.case.secret_keys import save_key
from filiation.case.signing import save_signer
from tests.canaries.world import World, hour, ledger_of

PAGE = Path(__file__).parent.parent.parent / "docs" / "canaries.md"


def by_hand(opened: Path, cohort: int, answers: dict[str, str]) -> dict[str, Any]:
    """What the lines of the page leave behind."""
    lines = PAGE.read_text(encoding="utf-8").partition("### By hand")[2].partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {"opened": opened, "cohort": cohort, "answers": answers}
    exec(lines, names)  # one scope for all: its functions see one another's names
    return names


@pytest.fixture(scope="module")
def batch(labelled: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    world = labelled.copied(tmp_path_factory.mktemp("by-hand") / "canaries")
    world.plant()
    folder = world.holding.folder / "handed over"
    opening.write_bundle(world.reveal(), folder)
    return world, folder


def test_labels_and_root_by_hand_are_the_packages(batch: tuple[World, Path]) -> None:
    world, folder = batch
    canaries = [canary for canary in world.holding.canaries() if canary.batch == 0]
    said = {canary.prompt: f"It is {canary.options[world.label(canary)]}." for canary in canaries}
    names = by_hand(folder, 0, said)
    commitment, _ = world.holding.commitment()
    assert names["labels"] == {each.prompt: each.options[world.label(each)] for each in canaries if not each.decoy}
    assert names["roots"] == {names["root"]}
    assert commitment.root == names["root"]
    assert (names["agreements"], len(names["labels"])) == (16, 16)
    assert by_hand(folder, 1, said)["labels"] != names["labels"]  # another cohort has others


def test_an_altered_leaf_leads_to_another_root(batch: tuple[World, Path], tmp_path: Path) -> None:
    _, folder = batch
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    told = json.loads((tmp_path / "opening.json").read_bytes())
    told["leaves"][3]["leaf"]["canary"]["options"].reverse()
    (tmp_path / "opening.json").write_text(json.dumps(told))
    assert len(by_hand(tmp_path, 0, {})["roots"]) == 2


def test_accounts_are_served_and_entered_as_the_page_says(
    labelled: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = PAGE.read_text(encoding="utf-8").partition("## Accounts")[2].partition("```python\n")[2].partition("```")[0]
    world = labelled.copied(tmp_path / "canaries")
    save_key(world.key, tmp_path / "canary.secret")
    save_signer(world.signer, tmp_path / "signing.key")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "moment": hour(3)
    }  # after the ledger of this world, whose beacon spoke in an hour that is to come
    exec(lines.replace("datetime.now(UTC)", "moment"), names)
    cohort = names["slots"].cohort_of("account 17")
    canary = world.holding.canaries()[0]
    assert names["answers"][canary.prompt] == (0, canary.options[world.label(canary, cohort)])
    entry = ledger_of(world)[-1].body
    assert isinstance(entry, Exposed)
    assert (entry.cohort, entry.exposures) == (cohort, {"0": 3})
    assert "account 17" not in entry.recipient
