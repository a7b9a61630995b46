"""Logs written and read by inspect_ai itself; what must be refused before it is asked needs no inspect_ai."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from filiation.errors import MalformedSource, MissingExtra, UnsafeSource
from filiation.sources.transcript_formats import inspect_log
from tests.sources.transcript_formats.worlds import imported

HERE = importlib.util.find_spec("inspect_ai") is not None
needs_inspect = pytest.mark.skipif(not HERE, reason="inspect_ai is not installed (pip install 'filiation[inspect]')")


def log(folder: Path, name: str, samples: list[Any], *, listed: bool = True) -> Path:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSpec, write_eval_log
    from inspect_ai.model import GenerateConfig

    made = EvalSpec(
        created="2026-01-01T02:00:00+02:00",
        task="capitals",
        dataset=EvalDataset(sample_ids=[each.id for each in samples[:1]] if listed else None),
        model="org/model-1",
        config=EvalConfig(epochs=max(each.epoch for each in samples)),
        model_generate_config=GenerateConfig(temperature=0.5),
    )
    path = folder / name
    write_eval_log(EvalLog(status="success", eval=made, samples=samples), str(path))
    return path


def sample(
    name: str, given: Any, text: str, *, epoch: int = 1, target: str = "Paris", answer: str | None = None, **more
):
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score

    scores = {"match": Score(value="C" if target in text else "I", answer=answer)} if answer is not None else {}
    output = ModelOutput.from_content("org/model-1", text, stop_reason=more.pop("stop_reason", "stop"))
    return EvalSample(id=name, epoch=epoch, input=given, target=target, output=output, scores=scores, **more)


@needs_inspect
@pytest.mark.parametrize("name", ["log.eval", "log.json"])
def test_epochs_are_samples_and_the_scorer_extracts_the_answer(tmp_path, name):
    path = log(
        tmp_path,
        name,
        [
            sample("q1", "Capital of France?", "It is Paris.", answer="It is Paris."),
            sample("q1", "Capital of France?", "Lyon", epoch=2, answer="Lyon", stop_reason="max_tokens"),
        ],
    )
    rows, told = imported(tmp_path, path)
    assert [(row["sample"], row["text"], row["answer"], row["gold"]) for row in rows] == [
        (0, "It is Paris.", "Paris", "Paris"),
        (1, "Lyon", "Lyon", "Paris"),
    ]
    assert [row["finish_reason"] for row in rows] == ["stop", "length"]
    assert (rows[0]["model"], rows[0]["item"], rows[0]["time"]) == (
        "org/model-1",
        "capitals:q1",
        "2026-01-01T00:00:00Z",
    )
    assert rows[0]["prompt"] == "Capital of France?"
    assert json.loads(rows[0]["parameters"]) == {"temperature": 0.5}
    assert told.inputs[0].format == "inspect"


@needs_inspect
def test_a_log_that_does_not_list_its_samples_is_read_as_a_whole(tmp_path):
    path = log(tmp_path, "log.eval", [sample("q1", "Capital of France?", "Paris")], listed=False)
    assert imported(tmp_path, path)[0][0]["text"] == "Paris"


@needs_inspect
def test_letters_are_positions_of_options(tmp_path):
    path = log(
        tmp_path,
        "log.eval",
        [sample("q1", "Which?", "ANSWER: C", target="B", answer="C", choices=["a", "b", "c"])],
    )
    rows, _ = imported(tmp_path, path)
    assert (rows[0]["answer"], rows[0]["gold"], rows[0]["options"]) == ("2", "1", 3)


@needs_inspect
def test_a_system_prompt_is_a_parameter(tmp_path):
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser

    talk = [ChatMessageSystem(content="Be brief."), ChatMessageUser(content="Capital of France?")]
    rows, _ = imported(tmp_path, log(tmp_path, "log.eval", [sample("q1", talk, "Paris")]))
    assert rows[0]["prompt"] == "Capital of France?"
    assert json.loads(rows[0]["parameters"])["system"] == "Be brief."


@needs_inspect
def test_an_archive_that_inspect_cannot_read_is_one_error(tmp_path):
    path = archive(tmp_path, {"header.json": b"{}"})
    with pytest.raises(MalformedSource, match="inspect_ai cannot read this log"):
        imported(tmp_path, path)


def archive(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("members", "error", "told"),
    [
        ({"header.json": b"{}", "../../etc/cron": b"x"}, UnsafeSource, "leads out of its folder"),
        ({"header.json": b"{}", "samples\\..\\..\\x.json": b"x"}, UnsafeSource, "leads out of its folder"),
        ({"header.json": b"{}", "/etc/cron": b"x"}, UnsafeSource, "leads out of its folder"),
        ({"header.json": b"{}", "samples/a.json": b"0" * (8 << 20)}, UnsafeSource, "would unpack from"),
        ({"notes.txt": b"x"}, MalformedSource, "no inspect log"),
    ],
)
def test_an_archive_is_checked_before_it_is_opened(tmp_path, members, error, told):
    with pytest.raises(error, match=told):
        inspect_log.check_log(archive(tmp_path, members))


@pytest.mark.skipif(HERE, reason="inspect_ai is installed")
def test_without_inspect_the_extra_is_named(tmp_path):
    with pytest.raises(MissingExtra) as raised:
        imported(tmp_path, archive(tmp_path, {"header.json": b"{}"}))
    assert "filiation[inspect]" in raised.value.advice
