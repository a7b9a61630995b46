"""Building: what is made again and what is not, together with other processes, and from the command line."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from studies.zoo import Zoo, build
from studies.zoo.sizes import Size

REPOSITORY = Path(__file__).resolve().parents[2]


def stamps(zoo: Zoo) -> dict[str, int]:
    return {name: (zoo[name] / "lineage.json").stat().st_mtime_ns for name in zoo}


def test_what_is_there_is_not_made_again(hurried_zoo: Zoo, hurried_size: Size) -> None:
    before = stamps(hurried_zoo)
    again = build(hurried_size, only=list(hurried_zoo), device="cpu", out=hurried_zoo.root)
    assert stamps(again) == before


def test_a_changed_recipe_makes_everything_again(hurried_size: Size, place: Path) -> None:
    first = stamps(build(hurried_size, only=["int8"], device="cpu", out=place))
    longer = dataclasses.replace(hurried_size, steps=4)
    second = stamps(build(longer, only=["int8"], device="cpu", out=place))
    assert set(first) == {"base-a", "int8"} == {name for name in first if second[name] != first[name]}


def test_a_lost_member_alone_is_made_again_with_the_same_weights(hurried_size: Size, place: Path) -> None:
    zoo = build(hurried_size, only=["fine-tuned"], device="cpu", out=place)
    before, weights = stamps(zoo), (zoo["fine-tuned"] / "model.safetensors").read_bytes()
    (zoo["fine-tuned"] / "lineage.json").unlink()
    after = stamps(build(hurried_size, only=["fine-tuned"], device="cpu", out=place))
    assert after["base-a"] == before["base-a"]
    assert after["fine-tuned"] != before["fine-tuned"]
    assert (zoo["fine-tuned"] / "model.safetensors").read_bytes() == weights


def test_two_processes_build_one_zoo_together(place: Path) -> None:
    """Both end well, every member is whole, and no half-made folder is left."""
    program = (
        "import sys; from pathlib import Path; from studies.zoo import build; from tests.zoo.conftest import HURRIED; "
        "build(HURRIED, only=['int8', 'base-b', 'merge-50'], device='cpu', out=Path(sys.argv[1]))"
    )
    both = [subprocess.Popen([sys.executable, "-c", program, str(place)], cwd=REPOSITORY) for _ in range(2)]
    assert [process.wait(timeout=900) for process in both] == [0, 0]
    assert {path.name for path in place.iterdir()} == {".locks", "base-a", "base-b", "base-c", "int8", "merge-50"}
    assert all((path / "lineage.json").exists() for path in place.iterdir() if path.name != ".locks")


def test_half_made_folders_of_dead_processes_are_cleared(hurried_size: Size, place: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover = place / f".building-base-a-{dead.pid}"
    leftover.mkdir(parents=True)
    build(hurried_size, only=["base-a"], device="cpu", out=place)
    assert not leftover.exists()


def test_lineage_says_where_a_member_comes_from(hurried_zoo: Zoo) -> None:
    record = hurried_zoo.lineage("merge-30")
    assert record["parents"] == ["base-a", "base-c"]
    assert record["lineage_id"] == "base-a+base-c"
    assert len(record["data_digest"]) == len(record["recipe_digest"]) == 64
    assert hurried_zoo.lineage("base-a")["data_digest"] == hurried_zoo.lineage("base-b")["data_digest"]
    assert hurried_zoo.lineage("base-a")["data_digest"] != hurried_zoo.lineage("base-c")["data_digest"]


def test_trained_founders_are_clearly_below_the_unigram_loss(trained_zoo: Zoo) -> None:
    for name in trained_zoo:
        record = trained_zoo.lineage(name)
        assert record["loss_after"] < record["unigram_loss"] - 0.8


def test_unknown_members_are_named(hurried_size: Size, hurried_zoo: Zoo, place: Path) -> None:
    with pytest.raises(ValueError, match="no such members: cuckoo"):
        build(hurried_size, only=["cuckoo"], out=place)
    with pytest.raises(KeyError, match="cuckoo"):
        hurried_zoo["cuckoo"]


def test_command_line_prints_the_folder_of_what_is_there(trained_zoo: Zoo) -> None:
    command = [sys.executable, "-m", "studies.zoo", "--size", "test", "--device", "cpu", "--only", "base-a"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=900, check=True)
    assert done.stdout.splitlines()[-1] == str(trained_zoo.root)
    assert "independent" in done.stdout
