"""Asking a real server: `transformers serve` on this machine, with a zoo model and with SmolLM2."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from filiation.sources.endpoints.asking import Asked, Budget, Conduct, ask
from filiation.sources.endpoints.exchange import Message, Parameters, Question
from filiation.sources.endpoints.location import endpoint_at
from filiation.sources.endpoints.recorder import Recorder, transcript_of
from studies.serving import Served, missing, prepared, served, smollm2_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"serving needs {', '.join(missing())}"),
]
ONE_BY_ONE = Conduct(concurrency=1)  # seeds set the server's one random state
TALK = "system: x\nuser: import \nassistant:"
WORDS = ("import os\n", "def main(", "for i in range(")


@pytest.fixture(scope="module")
def server(zoo, tmp_path_factory) -> Iterator[Served]:
    """A zoo member of 256 tokens, given a chat template; it speaks broken Python."""
    with served(prepared(zoo["base-a"], tmp_path_factory.mktemp("serving") / "base-a")) as running:
        yield running


def put(location: str, file: Path, questions: list[Question], parameters: Parameters, **more: object) -> Asked:
    with Recorder(file) as recorder:
        return ask(endpoint_at(location), questions, parameters, recorder, rng=np.random.default_rng(0),
                   **{"conduct": ONE_BY_ONE} | more)  # type: ignore[arg-type]  # fmt: skip


def said(asked: Asked) -> list[str]:
    return [answered.answer.text for answered in asked.answers.values()]


def continued(folder: Path, prompt: str, tokens: int) -> str:
    """What the model itself says, without a server: the most likely token, again and again."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    asked = tokenizer(prompt, return_tensors="pt")
    with torch.no_grad():
        made = model.generate(**asked, max_new_tokens=tokens, do_sample=False)
    return str(tokenizer.decode(made[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))


def test_text_completions_are_what_the_model_itself_says(server: Served, tmp_path: Path) -> None:
    questions = [Question(prompt=prompt) for prompt in WORDS]
    asked = put(server.completions, tmp_path / "r.jsonl", questions, Parameters(temperature=0.0, max_tokens=6))
    assert said(asked) == [continued(Path(server.model), prompt, 6) for prompt in WORDS]
    assert {answered.answer.finish_reason for answered in asked.answers.values()} <= {"length", "stop"}
    assert {answered.answer.usage.answer_tokens for answered in asked.answers.values()} == {6}


def test_stopped_by_a_budget_and_gone_on_with(server: Served, tmp_path: Path) -> None:
    questions = [Question(prompt=prompt, sample=sample) for sample in range(2) for prompt in WORDS]
    parameters = Parameters(temperature=1.0, max_tokens=4, seed=1)
    first = put(server.completions, tmp_path / "r.jsonl", questions, parameters, budget=Budget(requests=4))
    assert len(first.answers) == 4
    second = put(server.completions, tmp_path / "r.jsonl", questions, parameters)
    assert second.summary.requests == 2
    assert first.answers.items() <= second.answers.items()
    whole = put(server.completions, tmp_path / "again.jsonl", questions, parameters)
    assert said(whole) == said(second)  # the same seeds, asked in one go
    assert (
        transcript_of(tmp_path / "r.jsonl")
        .drop("time", "source_sha256")
        .equals(transcript_of(tmp_path / "again.jsonl").drop("time", "source_sha256"))
    )


def test_a_stream_says_what_a_body_says(server: Served, tmp_path: Path) -> None:
    talk = Question(messages=(Message(role="system", content="x"), Message(role="user", content="import ")))
    for location, question in ((server.chat, talk), (server.completions, Question(prompt="import "))):
        told = []
        for stream in (False, True):
            parameters = Parameters(temperature=0.0, max_tokens=8, stream=stream)
            told += said(put(location, tmp_path / f"{question.prompt}{stream}.jsonl", [question], parameters))
        assert told[0] == told[1]
        assert told[0] == continued(Path(server.model), question.prompt or TALK, 8)


def test_log_probabilities_that_are_not_offered_are_said_to_be_missing(server: Served, tmp_path: Path) -> None:
    parameters = Parameters(temperature=0.0, max_tokens=2, top_log_probabilities=1)
    assert (
        put(server.chat, tmp_path / "r.jsonl", [Question(prompt="a")], parameters).summary.without_log_probabilities
        == 1
    )


def test_smollm2_answers_a_question(tmp_path: Path) -> None:
    try:
        folder = smollm2_folder()
    except SystemExit as reason:
        pytest.skip(str(reason))
    with served(folder, threads=min(2, os.cpu_count() or 1)) as running:
        question = Question(prompt="What is the capital of France?")
        asked = put(running.chat, tmp_path / "r.jsonl", [question], Parameters(temperature=0.0, max_tokens=12))
    assert "Paris" in said(asked)[0]
