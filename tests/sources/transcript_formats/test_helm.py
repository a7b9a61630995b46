"""Run folders as HELM writes them (`ScenarioState`, and `write_run_display_json`), cut down to what is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from filiation.errors import UsageError
from tests.sources.transcript_formats.worlds import imported, written

RUN = "mmlu:subject=anatomy,model=org_model-1"


def instance(name: str, question: str, references: list[tuple[str, bool]], **more) -> dict:
    listed = [{"output": {"text": text}, "tags": ["correct"] if right else []} for text, right in references]
    return {"input": {"text": question}, "references": listed, "split": "test", "id": name, **more}


def state(of: dict, prompt: str, text: str, **more) -> dict:
    completion = {
        "text": text,
        "logprob": -0.5,
        "tokens": [{"text": text, "logprob": -0.5, "top_logprobs": {}}],
        "finish_reason": {"reason": "stop"},
    }
    request = {"model": "org/model-1", "prompt": prompt, "temperature": 0.0, "max_tokens": 5, "stop_sequences": []}
    result = {
        "success": True,
        "embedding": [],
        "completions": [completion],
        "cached": False,
        "request_datetime": 1767225600,
    }
    return {
        "instance": of,
        "request_mode": "original",
        "train_trial_index": 0,
        "request": request,
        "result": result,
        "num_train_instances": 0,
        "prompt_truncated": False,
        **more,
    }


def run(folder: Path, method: str, states: list[dict]) -> Path:
    adapter = {"method": method, "model": "org/model-1", "model_deployment": "org/model-1"}
    written(folder / RUN / "scenario_state.json", {"adapter_spec": adapter, "request_states": states})
    written(folder / RUN / "run_spec.json", {"name": RUN, "adapter_spec": adapter})
    return folder / RUN


OPTIONS = [("heart", False), ("liver", True), ("lung", False)]
MAPPING = {"A": "heart", "B": "liver", "C": "lung"}


def test_a_letter_is_the_position_of_its_option(tmp_path):
    first, second = instance("id1", "Which?", OPTIONS), instance("id2", "Other?", OPTIONS)
    states = [
        state(first, "Which? A. heart B. liver C. lung\nAnswer:", " B", output_mapping=MAPPING),
        state(second, "Other?\nAnswer:", " none of them", output_mapping=MAPPING),
    ]
    rows, told = imported(tmp_path, run(tmp_path, "multiple_choice_joint", states))
    by_item = {row["item"]: row for row in rows}
    found, lost = by_item["mmlu:subject=anatomy:id1"], by_item["mmlu:subject=anatomy:id2"]
    assert (found["answer"], found["gold"], found["options"], found["text"]) == ("1", "1", 3, " B")
    assert lost["answer"] is None
    assert (found["model"], found["finish_reason"], found["time"]) == ("org/model-1", "stop", "2026-01-01T00:00:00Z")
    assert json.loads(found["log_probabilities"]) == [[" B", -0.5, []]]
    assert told.inputs[0].format == "helm"


def test_a_generated_answer_keeps_its_text_and_its_reference(tmp_path):
    states = [state(instance("id1", "2+2?", [("4", True)]), "Q: 2+2?\nA:", " It is 4.", train_trial_index=2)]
    rows, _ = imported(tmp_path, run(tmp_path, "generation", states))
    assert (rows[0]["text"], rows[0]["answer"], rows[0]["gold"], rows[0]["options"]) == (" It is 4.", None, "4", None)
    assert json.loads(rows[0]["parameters"])["train_trial_index"] == 2


def test_two_trials_of_one_prompt_are_samples(tmp_path):
    of = instance("id1", "2+2?", [("4", True)])
    states = [state(of, "2+2?", "4"), state(of, "2+2?", "four", train_trial_index=1)]
    rows, _ = imported(tmp_path, run(tmp_path, "generation", states))
    assert [(row["sample"], row["text"]) for row in rows] == [(0, "4"), (1, "four")]


def test_messages_take_the_place_of_the_prompt(tmp_path):
    made = state(instance("id1", "2+2?", []), "", "4")
    made["request"]["messages"] = [{"role": "user", "content": "2+2?"}]
    rows, _ = imported(tmp_path, run(tmp_path, "chat", [made]))
    assert rows[0]["prompt"] == "2+2?"


def test_a_failed_request_is_counted(tmp_path):
    of = instance("id1", "2+2?", [])
    failed = state(of, "3+3?", "") | {"result": {"success": False, "completions": [], "error": "down"}}
    rows, told = imported(tmp_path, run(tmp_path, "generation", [state(of, "2+2?", "4"), failed]))
    assert len(rows) == 1
    assert told.skipped == {"failed requests": 1}


def separate(folder: Path) -> Path:
    of = instance("id1", "Which?", OPTIONS)
    states = [
        state(of, f"Which? {text}", f"Which? {text}", reference_index=at, request_mode=mode)
        for at, (text, _) in enumerate(OPTIONS)
        for mode in ("original", "calibration")
    ]
    return run(folder, "multiple_choice_separate_calibrated", states)


def stats(name: str, value: float) -> dict:
    return {"name": {"name": name, "split": "test"}, "count": 1, "sum": value, "mean": value}


def test_where_each_option_was_asked_about_the_scores_say_which_was_chosen(tmp_path):
    folder = separate(tmp_path)
    scored = [
        {
            "instance_id": "id1",
            "train_trial_index": 0,
            "stats": [stats("exact_match", 0.0), stats("predicted_index", 2.0)],
        }
    ]
    written(folder / "per_instance_stats.json", scored)
    rows, _ = imported(tmp_path, folder)
    assert len(rows) == 1
    assert (rows[0]["answer"], rows[0]["gold"], rows[0]["options"], rows[0]["text"]) == ("2", "1", 3, "lung")


def test_without_the_scores_the_choice_is_not_guessed(tmp_path):
    with pytest.raises(UsageError, match="which was chosen is not there"):
        imported(tmp_path, separate(tmp_path))


def test_scores_alone_are_no_answers(tmp_path):
    file = written(tmp_path / RUN / "per_instance_stats.json", [{"instance_id": "id1", "stats": []}])
    with pytest.raises(UsageError, match="scores, not answers"):
        imported(tmp_path, file)


def test_the_files_of_the_web_pages_give_the_same_answers(tmp_path):
    of = instance("id1", "Which?", OPTIONS)
    folder = run(tmp_path, "multiple_choice_joint", [state(of, "Which?\nAnswer:", " B", output_mapping=MAPPING)])
    whole = imported(tmp_path, folder)[0]
    (folder / "scenario_state.json").unlink()
    (tmp_path / "answers.parquet").unlink()
    key = {"instance_id": "id1", "train_trial_index": 0}
    written(
        folder / "display_predictions.json",
        [key | {"predicted_text": " B", "mapped_output": "liver", "stats": {"exact_match": 1.0}}],
    )
    asked = {"model": "org/model-1", "prompt": "Which?\nAnswer:", "temperature": 0.0, "max_tokens": 5}
    written(folder / "display_requests.json", [key | {"request": asked}])
    written(folder / "instances.json", [of])
    shown = imported(tmp_path, folder)[0]
    same = ("model", "item", "prompt_id", "prompt", "sample", "text", "answer", "gold", "options", "parameters")
    assert [{name: row[name] for name in same} for row in shown] == [
        {name: row[name] for name in same} for row in whole
    ]
