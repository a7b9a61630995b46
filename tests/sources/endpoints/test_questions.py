"""Questions from files and from the probe sets that ship."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from filiation.errors import MalformedSource, SourceNotFound, UsageError
from filiation.sources.endpoints.exchange import Message, Question
from filiation.sources.endpoints.questions import probe_questions, read_questions, repeated
from filiation.sources.probes import draw


def written(folder: Path, *lines: object) -> Path:
    file = folder / "prompts.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return file


def test_prompts_and_conversations_with_what_belongs_to_them(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "b"}]
    file = written(
        tmp_path, {"prompt": "a", "item": "s:1", "gold": "7", "options": 4, "kind": "k"}, "", {"messages": turns}
    )
    assert read_questions(file) == (
        Question(prompt="a", item="s:1", gold="7", options=4),
        Question(messages=(Message(role="user", content="b"),)),
    )


@pytest.mark.parametrize(
    "line", ["x", "[]", '{"prompt": 1}', "{}", '{"prompt": ""}', '{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}',
             '{"messages": [{"role": "user"}]}']
)  # fmt: skip
def test_a_line_that_is_no_prompt_is_named(line: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedSource, match="line 2"):
        read_questions(written(tmp_path, {"prompt": "a"}, line))


def test_files_without_prompts(tmp_path: Path) -> None:
    with pytest.raises(MalformedSource):
        read_questions(written(tmp_path))
    with pytest.raises(SourceNotFound):
        read_questions(tmp_path / "none.jsonl")


def test_a_prompt_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="twice"):
        read_questions(written(tmp_path, {"prompt": "a"}, {"prompt": " a\n"}))


def test_a_drawn_probe_set_is_asked_as_drawn() -> None:
    questions = probe_questions("problems", 20, 3)
    probes = draw("problems", 20, 3)
    assert [(q.prompt, q.item, q.gold) for q in questions] == [(p.prompt, p.item, p.gold) for p in probes]
    with pytest.raises(UsageError):
        probe_questions("no such set")


def test_samples_come_one_after_the_other() -> None:
    made = repeated([Question(prompt="a"), Question(prompt="b")], 2)
    assert [(q.prompt, q.sample) for q in made] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    with pytest.raises(UsageError):
        repeated([Question(prompt="a")], 0)
