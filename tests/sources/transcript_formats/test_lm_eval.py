"""Lines as `EvaluationTracker.save_results_samples` of lm-evaluation-harness 0.4 writes them."""

from __future__ import annotations

import json

import pytest

from filiation.errors import UsageError
from filiation.sources.transcripts import prompt_id
from tests.sources.transcript_formats.worlds import imported, written

DATE = "2026-05-01T12-00-00.123456"


def choice(at: int, chances: list[str], target: str, context: str = "Which?\nAnswer:") -> dict:
    texts = [f" option {letter}" for letter in "abcd"[: len(chances)]]
    return {
        "doc_id": at,
        "doc": {"question": "Which?"},
        "target": target,
        "arguments": {f"gen_args_{n}": {"arg_0": context, "arg_1": text} for n, text in enumerate(texts)},
        "resps": [[[chance, "False"]] for chance in chances],
        "filtered_resps": [[chance, "False"] for chance in chances],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": "0" * 64,
        "prompt_hash": "1" * 64,
        "target_hash": "2" * 64,
        "acc": 1.0,
    }


def generated(at: int, texts: list[str], filtered: list[str], target: str, name: str, score: float = 0.0) -> dict:
    return {
        "doc_id": at,
        "doc": {"question": f"Problem {at}"},
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": f"Q: Problem {at}\nA:", "arg_1": {"until": ["Q:"], "temperature": 0.0}}},
        "resps": [texts],
        "filtered_resps": filtered,
        "filter": name,
        "metrics": ["exact_match"],
        "exact_match": score,
    }


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "lab__model-7b"


def test_the_likeliest_option_is_the_answer(tmp_path, folder):
    lines = [choice(0, ["-3.5", "-1.25", "-9.0"], "1"), choice(1, ["-1.0", "-2.0"], "option b", context="Other?")]
    rows, told = imported(tmp_path, written(folder / f"samples_arc_easy_{DATE}.jsonl", lines))
    by_item = {row["item"]: row for row in rows}
    first, second = by_item["arc_easy:0"], by_item["arc_easy:1"]
    assert (first["answer"], first["gold"], first["options"], first["text"]) == ("1", "1", 3, " option b")
    assert (second["answer"], second["gold"], second["options"]) == ("0", "1", 2)
    assert json.loads(first["log_probabilities"]) == [
        [" option a", -3.5, []],
        [" option b", -1.25, []],
        [" option c", -9.0, []],
    ]
    assert first["model"] == "lab/model-7b"
    assert told.inputs[0].format == "lm-eval"


def test_one_context_before_other_options_is_another_prompt(tmp_path, folder):
    lines = [choice(0, ["-1", "-2"], "0", context=""), choice(1, ["-1", "-2", "-3"], "0", context="")]
    rows, _ = imported(tmp_path, written(folder / f"samples_blimp_{DATE}.jsonl", lines))
    assert len({row["prompt_id"] for row in rows}) == 2


def test_an_option_of_probability_zero_is_never_chosen(tmp_path, folder):
    rows, _ = imported(tmp_path, written(folder / f"samples_x_{DATE}.jsonl", [choice(0, ["-inf", "-700.0"], "0")]))
    assert rows[0]["answer"] == "1"
    assert json.loads(rows[0]["log_probabilities"])[0] == [" option a", None, []]


def test_of_two_filters_the_first_is_read_or_the_one_declared(tmp_path, folder):
    lines = [
        generated(0, ["It is 18. #### 18"], ["18"], "9 + 9 = 18\n#### 18", "strict-match", 1.0),
        generated(0, ["It is 18. #### 18"], ["eighteen"], "9 + 9 = 18\n#### 18", "flexible-extract"),
        generated(1, ["No idea"], ["[invalid]"], "#### 7", "strict-match"),
    ]
    file = written(folder / f"samples_gsm8k_{DATE}.jsonl", lines)
    rows, told = imported(tmp_path, file)
    answers = {row["item"]: (row["answer"], row["gold"]) for row in rows}
    assert answers == {"gsm8k:0": ("18", "18"), "gsm8k:1": (None, "7")}
    assert told.skipped == {"of another filter than 'strict-match'": 1}
    assert json.loads(rows[0]["parameters"]) == {"temperature": 0, "until": ["Q:"]}
    other = tmp_path / "other"
    other.mkdir()
    rows, _ = imported(other, file, filter="flexible-extract")
    assert [row["answer"] for row in rows] == ["eighteen"]
    with pytest.raises(UsageError, match="no line was filtered by 'loose'"):
        imported(other, file, filter="loose")


def test_what_the_harness_scored_as_right_is_written_as_the_gold(tmp_path, folder):
    lines = [generated(0, ["Paris it is"], ["PARIS"], "Paris", "none", 1.0)]
    rows, _ = imported(tmp_path, written(folder / f"samples_x_{DATE}.jsonl", lines))
    assert (rows[0]["answer"], rows[0]["text"]) == ("Paris", "Paris it is")


def test_repeated_responses_are_samples(tmp_path, folder):
    lines = [generated(0, ["one", "two"], ["one", "two"], "", "none")]
    rows, _ = imported(tmp_path, written(folder / f"samples_x_{DATE}.jsonl", lines))
    assert [(row["sample"], row["text"], row["answer"]) for row in rows] == [(0, "one", None), (1, "two", None)]


def test_the_results_beside_name_the_model(tmp_path):
    written(tmp_path / "run" / f"results_{DATE}.json", {"model_name": "org/name_with__marks", "results": {}})
    file = written(tmp_path / "run" / f"samples_x_{DATE}.jsonl", [choice(0, ["-1", "-2"], "0")])
    assert imported(tmp_path, file)[0][0]["model"] == "org/name_with__marks"


def test_without_a_name_the_model_is_asked_for(tmp_path):
    file = written(tmp_path / "run" / "samples_x.jsonl", [choice(0, ["-1", "-2"], "0")])
    with pytest.raises(UsageError, match="which model") as raised:
        imported(tmp_path, file)
    assert "--model" in raised.value.advice
    assert imported(tmp_path, file, model="m")[0][0]["item"] == "x:0"


def test_chat_messages_are_the_question_and_templates_differ_by_model_unless_named_by_item(tmp_path, folder):
    chat = generated(0, ["4"], ["4"], "4", "none")
    chat["arguments"]["gen_args_0"]["arg_0"] = json.dumps(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    )
    rows, _ = imported(tmp_path, written(folder / f"samples_x_{DATE}.jsonl", [chat]))
    assert rows[0]["prompt_id"] == prompt_id("2 + 2?")
    assert json.loads(rows[0]["parameters"])["system"] == "Be brief."
    named = tmp_path / "named"
    named.mkdir()
    rows, _ = imported(named, folder / f"samples_x_{DATE}.jsonl", prompts_by="item")
    assert rows[0]["prompt_id"] == prompt_id("x:0")


def test_a_folder_stands_for_the_samples_in_it(tmp_path, folder):
    written(folder / f"samples_x_{DATE}.jsonl", [choice(0, ["-1", "-2"], "0")])
    written(tmp_path / "lab__other" / f"samples_x_{DATE}.jsonl", [choice(0, ["-2", "-1"], "0")])
    rows, _ = imported(tmp_path, tmp_path)
    assert [row["model"] for row in rows] == ["lab/model-7b", "lab/other"]


def test_calls_for_mutual_information_are_no_options(tmp_path, folder):
    line = choice(0, ["-3.0", "-2.0"], "1")
    line["arguments"] |= {
        f"gen_args_{at}": {"arg_0": "", "arg_1": f" option {letter}"} for at, letter in ((2, "a"), (3, "b"))
    }
    line["resps"] += [[["-0.1", "False"]], [["-9.0", "False"]]]
    rows, _ = imported(tmp_path, written(folder / f"samples_x_{DATE}.jsonl", [line]))
    assert (rows[0]["answer"], rows[0]["options"]) == ("1", 2)
