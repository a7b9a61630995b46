"""Asking in rounds: what stops it, what it leaves, and that nothing is paid twice. Models of known truth, made here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
import typer

from filiation.cli.probe import probe as command
from filiation.cli.program import leave_with_exit_code
from filiation.errors import UsageError
from filiation.evidence import Examination, Finding, Inconclusive
from filiation.examiners.catalogue import examiners
from filiation.investigation import judge_again
from filiation.probing import BUDGET, DECIDED, EXHAUSTED, Account, Spending, probe
from filiation.sources.endpoints.exchange import Parameters, Question
from filiation.sources.transcripts import SCHEMA, prompt_id, read_transcripts
from filiation.statistics.sequential import planned_order
from tests.sources.endpoints.fault_server import Server, answer_to, fault_server

PROMPTS = [f"question {number}" for number in range(60)]
LINEAGES = 24


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution on the path that adds tests/answering_alike.py by entry point."""
    information = tmp_path / "alike-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: alike\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[filiation.examiners]\nalike = tests.answering_alike\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    examiners.cache_clear()
    yield
    examiners.cache_clear()


def rows(model: str, lineage: str, answers: dict[str, str], parameters: str = "{}") -> list[dict[str, Any]]:
    empty = dict.fromkeys(SCHEMA)
    return [
        empty
        | {
            "model": model,
            "lineage": lineage,
            "lab": f"lab of {lineage}",
            "item": "",
            "prompt_id": prompt_id(prompt),
            "prompt": prompt,
            "sample": 0,
            "text": text,
            "parameters": parameters,
            "source_sha256": "",
        }
        for prompt, text in answers.items()
    ]


def answers_of(rng: np.random.Generator, copied: dict[str, str] | None = None, share: float = 0.0) -> dict[str, str]:
    """One of five answers to each prompt; a share of them copied."""
    own = {prompt: f"answer {rng.integers(5)}" for prompt in PROMPTS}
    return {p: copied[p] if copied and rng.random() < share else text for p, text in own.items()}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A reference, a copyist of nine answers in ten, a stranger, and one control of each of 24 lineages."""
    rng = np.random.default_rng(4)
    reference = answers_of(rng)
    made = rows("ours", "ours", reference)
    made += rows("copyist", "theirs", answers_of(rng, reference, 0.9)) + rows("stranger", "else", answers_of(rng))
    for number in range(LINEAGES):
        made += rows(f"control {number}", f"line {number}", answers_of(rng))
    file = tmp_path / "world.parquet"
    pl.DataFrame(made, schema=SCHEMA).write_parquet(file)
    return file


def without(world: Path, *models: str) -> str:
    """The controls: everybody of the world but these and the reference."""
    frame = read_transcripts(world)
    file = world.with_name("controls.parquet")
    frame.filter(~pl.col("model").is_in(["ours", *models])).write_parquet(file)
    return f"transcripts:{file}"


def asked(world: Path, suspect: str, folder: Path, **settings: Any) -> Any:
    settings = {"each": 15, "only": ("alike",), "seed": 2} | settings
    return probe(
        f"transcripts:{world}#ours",
        suspect if ":" in suspect else f"transcripts:{world}#{suspect}",
        settings.pop("controls", None) or [without(world, "copyist", "stranger")],
        [Question(prompt=prompt) for prompt in PROMPTS],
        folder,
        **settings,
    )


# ------------------------------------------------------------------------------------------------------------ decisions


def test_a_copyist_is_decided_at_the_first_look_among_whole_control_paths(world: Path, tmp_path: Path) -> None:
    found = asked(world, "copyist", tmp_path / "p")
    assert (found.account.stopped, [look.prompts for look in found.account.looks]) == (DECIDED, [15])
    finding = found.examination.outcomes[0]
    assert isinstance(finding, Finding)
    assert (finding.count, finding.opportunities) == (0, LINEAGES)
    assert "smallest chance" in found.account.why
    assert found.account.early_stop_allowed


def test_controls_stand_with_their_whole_paths_when_the_suspect_has_seen_one_look(world: Path, tmp_path: Path) -> None:
    """The recorded score of each control is the maximum over all four looks; the suspect's over the first alone."""
    found = asked(world, "copyist", tmp_path / "p")
    once = asked(world, "copyist", tmp_path / "q", each=60)
    path, flat = (e.examination.relations["alike"].pair.content["inner"] for e in (found, once))
    assert path["path"] == {"planned": [15, 30, 45, 60], "taken": 1, "controls_complete": True}
    assert "path" not in flat
    whole = asked(world, "stranger", tmp_path / "r").examination.relations["alike"].pair.content["inner"]
    assert whole["path"]["taken"] == 4
    early = np.array(path["scores"])[0, 2:]
    assert (early >= 0).mean() > 0.5  # maxima of standardised scores


def test_a_stranger_is_asked_everything_and_ranks_among_the_controls(world: Path, tmp_path: Path) -> None:
    found = asked(world, "stranger", tmp_path / "p")
    assert (found.account.stopped, len(found.account.looks)) == (EXHAUSTED, 4)
    finding = found.examination.outcomes[0]
    assert isinstance(finding, Finding)
    assert finding.count > 0


def test_without_whole_control_paths_there_is_one_rank_at_the_end(world: Path, tmp_path: Path) -> None:
    controls = Path(without(world, "copyist", "stranger").removeprefix("transcripts:"))
    frame = read_transcripts(controls)
    last = planned_order([prompt_id(prompt) for prompt in PROMPTS], 2)[-1]
    frame.filter(~((pl.col("model") == "control 3") & (pl.col("prompt_id") == last))).write_parquet(controls)
    found = asked(world, "copyist", tmp_path / "p", controls=[f"transcripts:{controls}"])
    assert (found.account.stopped, [look.prompts for look in found.account.looks]) == (DECIDED, [60])
    assert not found.account.early_stop_allowed
    assert "control 3" in found.account.early_stop_reason
    assert "path" not in found.examination.relations["alike"].pair.content["inner"]


def test_too_few_controls_never_decide(world: Path, tmp_path: Path) -> None:
    found = asked(world, "copyist", tmp_path / "p", controls=[f"transcripts:{world}#control 1"])
    assert found.account.stopped == EXHAUSTED
    assert isinstance(found.examination.outcomes[0], Inconclusive)


def test_the_record_is_judged_again_to_the_same_bytes(world: Path, tmp_path: Path) -> None:
    examination = asked(world, "copyist", tmp_path / "p").examination
    stored = Examination.from_json(examination.to_json())
    assert judge_again(stored).digest == examination.digest


# --------------------------------------------------------------------------------------------------------------- asking


@pytest.fixture
def server() -> Iterator[Server]:
    with fault_server() as running:
        yield running


def likely(world: Path, server: Server) -> str:
    """Controls that the server's model resembles in nothing; the server answers every prompt in its own way."""
    return f"openai:small@{server.url}"


def test_an_endpoint_is_asked_in_rounds_and_never_twice(world: Path, server: Server, tmp_path: Path) -> None:
    asked(world, likely(world, server), tmp_path / "p", spending=Spending(requests=20))
    first = len(server.asked)
    assert first == 20
    account = msgspec.json.decode((tmp_path / "p" / "probe.json").read_bytes(), type=Account)
    assert account.stopped == BUDGET
    assert [look.prompts for look in account.looks] == [15]
    found = asked(world, likely(world, server), tmp_path / "p")
    assert found.account.stopped == EXHAUSTED
    assert len(server.asked) == len(PROMPTS)
    assert set(server.times.values()) == {1}
    again = asked(world, likely(world, server), tmp_path / "p")
    assert len(server.asked) == len(PROMPTS)
    assert again.examination.digest == found.examination.digest


def test_the_order_of_asking_is_the_planned_one(world: Path, server: Server, tmp_path: Path) -> None:
    asked(world, likely(world, server), tmp_path / "p", spending=Spending(requests=15))
    order = planned_order([prompt_id(prompt) for prompt in PROMPTS], 2)
    assert {prompt_id(prompt) for prompt in server.asked} == set(order[:15])


def test_an_endpoint_that_answers_like_the_reference_stops_early(server: Server, tmp_path: Path) -> None:
    """The reference was recorded from the same server, the controls answer otherwise: 15 requests, not 60."""
    rng = np.random.default_rng(1)
    made = rows("ours", "ours", {prompt: answer_to(prompt) for prompt in PROMPTS})
    for number in range(LINEAGES):
        made += rows(f"control {number}", f"line {number}", answers_of(rng))
    file = tmp_path / "world.parquet"
    pl.DataFrame(made, schema=SCHEMA).write_parquet(file)
    found = asked(file, f"openai:small@{server.url}", tmp_path / "p")
    assert (found.account.stopped, len(server.asked)) == (DECIDED, 15)


def test_money_buys_whole_requests_and_all_runs_count(world: Path, server: Server, tmp_path: Path) -> None:
    spending = Spending(money=0.5, price_per_request=0.03)
    assert spending.most_requests == 16
    found = asked(world, likely(world, server), tmp_path / "p", spending=spending)
    assert (found.account.stopped, found.account.requests, found.account.money) == (BUDGET, 16, 0.48)
    with pytest.raises(UsageError, match="price"):
        _ = Spending(money=1.0).most_requests


def test_a_budget_that_ends_before_the_suspect_is_asked_says_so(world: Path, server: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="suspect has not been asked"):
        probe(
            f"openai:small@{server.url}",
            f"openai:other@{server.url}",
            [without(world, "copyist", "stranger")],
            [Question(prompt=prompt) for prompt in PROMPTS],
            tmp_path / "p",
            only=("alike",),
            spending=Spending(requests=10),
        )
    assert len(server.asked) == 10


def test_part_of_a_first_round_is_ranked_once(world: Path, server: Server, tmp_path: Path) -> None:
    found = asked(world, likely(world, server), tmp_path / "p", spending=Spending(requests=9))
    assert found.account.stopped == BUDGET
    assert "path" not in found.examination.relations["alike"].pair.content["inner"]


# ------------------------------------------------------------------------------------------------------------- the plan


def test_a_folder_keeps_its_plan_and_only_the_budget_may_change(world: Path, tmp_path: Path) -> None:
    asked(world, "stranger", tmp_path / "p")
    for change in ({"seed": 3}, {"each": 20}, {"parameters": Parameters(temperature=0.0)}):
        with pytest.raises(UsageError, match="another plan"):
            asked(world, "stranger", tmp_path / "p", **change)
    asked(world, "stranger", tmp_path / "p", spending=Spending(seconds=60))


def test_nobody_takes_part_twice(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stands twice"):
        asked(world, "ours", tmp_path / "p")


def test_files_of_weights_cannot_be_asked(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="asks endpoints"):
        probe("model.gguf", f"transcripts:{world}#ours", [], [Question(prompt="a")], tmp_path / "p", only=("alike",))
    with pytest.raises(UsageError, match="recorded answers"):
        probe(f"transcripts:{world}#stranger", f"transcripts:{world}#ours", [], [Question(prompt="a")], tmp_path / "p",
              only=("weights",))  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- the command


def run(*words: object) -> int:
    app = typer.Typer()
    app.command()(command)
    with pytest.raises(SystemExit) as left:
        leave_with_exit_code(lambda: app(args=[str(word) for word in words]), debug=False)
    return int(left.value.code or 0)


def test_the_command_leaves_everything_and_says_why_it_stopped(
    world: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
    words = ("--reference", f"transcripts:{world}#ours", "--suspect", f"openai:small@{server.url}",
             "--control", without(world, "copyist", "stranger"), "--prompts", prompts, "--round", 20, "--only", "alike",
             "--budget-requests", 40, "--lineage", "small=small", "-o", tmp_path / "p")  # fmt: skip
    assert run(*words) == 0
    told = capsys.readouterr().out
    assert "stopped: budget" in told
    assert "after 20 of 60 prompts" in told
    assert {file.name for file in (tmp_path / "p").iterdir()} == {
        "recording.jsonl", "answers.parquet", "record.json", "report.html", "probe.json"
    }  # fmt: skip
    examination = Examination.from_json((tmp_path / "p" / "record.json").read_bytes())
    assert examination.circumstances.command.startswith("filiation probe --reference")
    assert "--budget-requests 40" in examination.circumstances.command
    assert examination.suspect.lineage_id == "small"
    assert run(*words, "--seed", 9) == 2
