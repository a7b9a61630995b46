"""Records of every format with some of their values exchanged, taken away or nested: read, or refused with one clear error."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from filiation.errors import FiliationError
from filiation.sources.transcript_formats.answer import Reading
from filiation.sources.transcript_formats.importing import import_transcripts
from tests.sources.transcript_formats import test_alpaca_eval as alpaca
from tests.sources.transcript_formats import test_helm as helm
from tests.sources.transcript_formats import test_lm_eval as harness
from tests.sources.transcript_formats import test_openai_batch as batch
from tests.sources.transcript_formats.worlds import written

VALUES = ["null", "true", "0", "-1", "3.5", "NaN", "1e999", "1" + "0" * 30, '""', '"x"', '"nan"', '"\\ud800"']
VALUES += ["[]", "{}", "[[]]", "[null]", '["a"]', "[{}]", '{"a": 1}', '{"text": 3}', '[[["-1", "False"]]]']

OF = helm.instance("id1", "Which?", helm.OPTIONS)
KEY = {"instance_id": "id1", "train_trial_index": 0}
ADAPTER = {"method": "multiple_choice_joint", "model": "m"}
TOKENS = {"tokens": ["x"], "token_logprobs": [-1.0], "top_logprobs": [{"x": -1.0}]}
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "alpaca": ("alpaca-eval", {"model_outputs.json": alpaca.outputs("m", "a", "b")}),
    "harness": (
        "lm-eval",
        {
            "samples_x.jsonl": [
                harness.choice(0, ["-1", "-2"], "0"),
                harness.generated(1, ["a", "b"], ["a", "b"], "a", "none"),
            ]
        },
    ),
    "batch": ("openai-batch", {"i.jsonl": batch.REQUESTS, "o.jsonl": batch.RESPONSES}),
    "completions": (
        "openai-batch",
        {
            "i.jsonl": batch.REQUESTS,
            "o.jsonl": [batch.response("b", choices=[{"index": 0, "text": "x", "logprobs": TOKENS}])],
        },
    ),
    "helm": (
        "helm",
        {
            "scenario_state.json": {
                "adapter_spec": ADAPTER,
                "request_states": [helm.state(OF, "Q", " B", output_mapping=helm.MAPPING)],
            }
        },
    ),
    "helm, options apart": (
        "helm",
        {
            "scenario_state.json": {
                "adapter_spec": ADAPTER | {"method": "multiple_choice_separate_original"},
                "request_states": [helm.state(OF, "Q", "Q a", reference_index=at) for at in range(3)],
            },
            "per_instance_stats.json": [KEY | {"stats": [helm.stats("predicted_index", 2.0)]}],
        },
    ),
    "helm, shown": (
        "helm",
        {
            "display_predictions.json": [KEY | {"predicted_text": " B", "mapped_output": "liver", "stats": {"x": 1}}],
            "display_requests.json": [KEY | {"request": {"model": "m", "prompt": "Q"}}],
            "instances.json": [OF],
            "run_spec.json": {"adapter_spec": ADAPTER},
        },
    ),
}
NEIGHBOURS = {"per_instance_stats.json", "display_requests.json", "instances.json", "run_spec.json"}


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value within a value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*above, key)
        yield from places(member, (*above, key))


def damaged(files: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The files with one to three values exchanged or taken away."""
    made = json.loads(json.dumps(files))
    for _ in range(rng.choice([1, 1, 2, 3])):
        *above, last = rng.choice([place for place in places(made) if len(place) > 1])
        holder = made
        for key in above:
            holder = holder[key]
        if rng.random() < 0.2:
            del holder[last]
        else:
            holder[last] = json.loads(rng.choice(VALUES))
    return made


@pytest.mark.parametrize("name", RUNS)
def test_damaged_records_are_read_or_refused(name, tmp_path):
    format, files = RUNS[name]
    rng = random.Random(name)
    for number in range(60):
        folder = tmp_path / str(number)
        for file, value in damaged(files, rng).items():
            lists = value if isinstance(value, list) else [value]
            written(folder / file, lists if file.endswith(".jsonl") else value)
        given = [folder / file for file in files if file not in NEIGHBOURS]
        reading = Reading(model=rng.choice(["m", ""]))
        with contextlib.suppress(FiliationError):
            import_transcripts(given, folder / "answers.parquet", format=format, reading=reading)


@pytest.mark.parametrize("name", RUNS)
def test_undamaged_they_are_read(name, tmp_path):
    format, files = RUNS[name]
    for file, value in files.items():
        written(tmp_path / file, value)
    given = [tmp_path / file for file in files if file not in NEIGHBOURS]
    assert import_transcripts(given, tmp_path / "t.parquet", format=format, reading=Reading(model="m")).answers
