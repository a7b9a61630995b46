"""HELM runs: `scenario_state.json`, or what the web pages are made from, `display_predictions.json` and its neighbours.

Layout: `ScenarioState`, `RequestState`, `Instance`, `RequestResult` and `write_run_display_json` of
https://github.com/stanford-crfm/helm. The files of one run folder:

- `scenario_state.json`: {"adapter_spec": {"model", "method", ...}, "request_states": [{"instance": {"id", "input": {"text"},
  "references": [{"output": {"text"}, "tags": ["correct"]}]}, "train_trial_index", "output_mapping": {"A": text}, "request":
  {"model", "prompt", "messages", "temperature", ...}, "result": {"completions": [{"text", "logprob", "tokens",
  "finish_reason": {"reason"}}], "request_datetime"}}]}. Everything is there, often in tens of megabytes: read state by state.
- `display_predictions.json`: [{"instance_id", "train_trial_index", "predicted_text", "mapped_output", "stats"}], with the prompts in
  `display_requests.json`, the references in `instances.json` and the model in `run_spec.json`; read where the state is absent.
- `per_instance_stats.json`: scores only, no answers. Of it `predicted_index` is used, the option chosen where every option was
  asked about by itself (the methods `multiple_choice_separate_*`).

Answers to multiple choice are positions of the option, from 0, in the order of `output_mapping` (or of the references).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filiation.errors import MalformedSource, UsageError
from filiation.sources.transcript_formats.answer import (
    Answer,
    LogProbabilities,
    Progress,
    Reading,
    elements_of,
    item_of,
    list_of,
    mapping_of,
    mappings,
    text_of,
    utc,
)
from filiation.sources.transcript_formats.json_files import finite, json_parts, whole_json
from filiation.sources.transcripts import canonical_json, prompt_id, prompt_of_messages

NAME = "helm"
STATE, PREDICTIONS = "scenario_state.json", "display_predictions.json"
_PARAMETERS = ("temperature", "max_tokens", "top_p", "top_k_per_token", "stop_sequences", "presence_penalty", "random")
_SEPARATE = "multiple_choice_separate"
Key = tuple[str, str, int]


def recognises(record: dict[str, Any]) -> bool:
    known = ("adapter_spec", "request_states", "predicted_text")
    return any(key in record for key in known) or ("instance_id" in record and "stats" in record)


def answers(paths: Sequence[Path], reading: Reading, skipped: Counter[str], progress: Progress) -> Iterator[Answer]:
    for path in paths:
        samples = _Samples()
        if path.name == "per_instance_stats.json":
            raise UsageError(
                "this file of a HELM run holds scores, not answers",
                exhibit=str(path),
                advice=f"give the run's folder, its {STATE} or its {PREDICTIONS}",
            )
        found = _of_predictions if path.name == PREDICTIONS else _of_state
        yield from found(path, reading, skipped, samples)


class _Samples:
    """Counts the answers to one prompt; HELM repeats requests by 'trial', whose prompts are most often others."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next(self, prompt: str) -> int:
        name = prompt_id(prompt)
        self._seen[name] += 1
        return self._seen[name] - 1


def _key(record: Mapping[str, Any], name: Any) -> Key:
    trial = record.get("train_trial_index")
    return str(name), canonical_json(record.get("perturbation")), trial if isinstance(trial, int) else 0


def _item(task: str, key: Key) -> str:
    name, perturbation, _ = key
    return item_of(task, name if perturbation == "null" else f"{name}, {perturbation}")


def _task(path: Path, reading: Reading) -> str:
    """What comes before ':model=' or ',model=' in the name of the run's folder."""
    folder = path.resolve().parent.name
    name = folder.split("model=")[0].rstrip(":,")
    return reading.task or name or folder


def _model(adapter: Mapping[str, Any], path: Path, reading: Reading) -> str:
    return reading.model or text_of(adapter.get("model"), "the model in 'adapter_spec'", path)


# ------------------------------------------------------------------------------------------------- scenario_state.json


def _of_state(path: Path, reading: Reading, skipped: Counter[str], samples: _Samples) -> Iterator[Answer]:
    adapter: Mapping[str, Any] | None = None
    separate: dict[Key, list[Mapping[str, Any]]] = {}
    number = -1
    for key, found in json_parts(path, lists=("request_states", "instances")):
        if key == "adapter_spec":
            adapter = mapping_of(found, "adapter_spec", path)
        if key != "request_states":
            continue
        number += 1
        if adapter is None:
            raise MalformedSource(
                "'adapter_spec' does not come before 'request_states'", exhibit=str(path), advice="is this of HELM?"
            )
        state = mapping_of(found, f"request state {number}", path)
        instance = mapping_of(state.get("instance"), f"request state {number}: the instance", path)
        place = _key({**state, "perturbation": instance.get("perturbation")}, instance.get("id"))
        if str(adapter.get("method", "")).startswith(_SEPARATE):
            if state.get("request_mode") != "calibration":
                separate.setdefault(place, []).append(state)
        elif str(adapter.get("method")) == "language_modeling":
            skipped["language modelling, which has no answers"] += 1
        else:
            yield from _generated(state, place, adapter, path, reading, skipped, samples, number)
    if number < 0:
        raise MalformedSource("it has no 'request_states'", exhibit=str(path), advice=f"is this a {STATE} of HELM?")
    if separate and adapter is not None:
        yield from _separate(separate, adapter, path, reading, samples)


def _completions(state: Mapping[str, Any], number: int, path: Path) -> Sequence[Mapping[str, Any]]:
    result = state.get("result")
    if not isinstance(result, Mapping) or result.get("success") is False:
        return ()
    listed = list_of(result.get("completions", []), f"request state {number}: completions", path)
    return [mapping_of(each, f"request state {number}: a completion", path) for each in listed]


def _generated(
    state: Mapping[str, Any],
    key: Key,
    adapter: Mapping[str, Any],
    path: Path,
    reading: Reading,
    skipped: Counter[str],
    samples: _Samples,
    number: int,
) -> Iterator[Answer]:
    request = mapping_of(state.get("request"), f"request state {number}: the request", path)
    completions = _completions(state, number, path)
    if not completions:
        skipped["failed requests"] += 1
    prompt, parameters = _asked(request, key)
    mapping = state.get("output_mapping")
    options = list(mapping.items()) if isinstance(mapping, Mapping) else []
    instance = state["instance"]
    result = state.get("result")
    for completion in completions:
        text = text_of(completion.get("text"), f"request state {number}: the completion", path)
        if request.get("echo_prompt") and text.startswith(prompt):
            text = text[len(prompt) :]
        yield Answer(
            source=path,
            model=_model(adapter, path, reading),
            item=_item(_task(path, reading), key),
            prompt=prompt,
            sample=samples.next(prompt),
            text=text,
            answer=_letter(text, options),
            gold=_gold(instance, options, path),
            options=len(options) or None,
            finish_reason=_reason(completion),
            log_probabilities=_tokens(completion, number, path),
            parameters=parameters,
            time=utc(result.get("request_datetime")) if isinstance(result, Mapping) else None,
        )


def _asked(request: Mapping[str, Any], key: Key) -> tuple[str, dict[str, Any]]:
    parameters = {name: request[name] for name in _PARAMETERS if request.get(name) not in (None, [])}
    if key[2]:
        parameters["train_trial_index"] = key[2]
    messages = request.get("messages")
    if isinstance(messages, list) and messages and all(isinstance(each, Mapping) for each in messages):
        prompt, system = prompt_of_messages(messages)
        return prompt, parameters | ({"system": system} if system else {})
    told = request.get("prompt")
    if not told and request.get("multimodal_prompt"):
        return canonical_json(request["multimodal_prompt"]), parameters
    return told if isinstance(told, str) else "", parameters


def _letter(text: str, options: Sequence[tuple[str, Any]]) -> str | None:
    """The position of the option whose letter the text is."""
    stated = text.strip()
    return next((str(at) for at, (letter, _) in enumerate(options) if letter.strip() == stated), None)


def _references(instance: Mapping[str, Any], path: Path) -> list[tuple[str, bool]]:
    """Text of each reference, and whether it is right."""
    listed = list_of(instance.get("references", []), "the references of an instance", path)
    found = []
    for each in listed:
        reference = mapping_of(each, "a reference", path)
        output = reference.get("output")
        text = output.get("text") if isinstance(output, Mapping) else output
        found.append((str(text if text is not None else ""), "correct" in elements_of(reference.get("tags"))))
    return found


def _gold(instance: Mapping[str, Any], options: Sequence[tuple[str, Any]], path: Path) -> str | None:
    """The right option's position; of free-form answers the first right reference."""
    right = [text for text, correct in _references(instance, path) if correct]
    if not right:
        return None
    if not options:
        return right[0].strip() or None
    return next((str(at) for at, (_, text) in enumerate(options) if text == right[0]), None)


def _reason(completion: Mapping[str, Any]) -> str | None:
    recorded = completion.get("finish_reason")
    reason = recorded.get("reason") if isinstance(recorded, Mapping) else recorded
    return reason if isinstance(reason, str) and reason != "unknown" else None


def _tokens(completion: Mapping[str, Any], number: int, path: Path) -> LogProbabilities | None:
    """Tokens with log-probabilities; HELM writes 0 for all where the service gave none."""
    tokens = mappings(completion.get("tokens"))
    if not any(each.get("logprob") for each in tokens):
        return None
    what = f"request state {number}: a log-probability"
    return [
        (
            str(each.get("text", "")),
            finite(each.get("logprob", 0.0), what, path),
            [(str(text), finite(value, what, path)) for text, value in _members(each.get("top_logprobs"))],
        )
        for each in tokens
    ]


def _members(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else []


def _separate(
    states: Mapping[Key, list[Mapping[str, Any]]],
    adapter: Mapping[str, Any],
    path: Path,
    reading: Reading,
    samples: _Samples,
) -> Iterator[Answer]:
    """One answer per instance, where every option was asked about by itself: the choice is in the scores beside the state."""
    chosen = _predicted(path.with_name("per_instance_stats.json"))
    for number, (key, asked) in enumerate(states.items()):
        instance: Mapping[str, Any] = asked[0]["instance"]
        references = _references(instance, path)
        listed: LogProbabilities = []
        for state in asked:
            at = state.get("reference_index")
            option = references[at][0] if isinstance(at, int) and 0 <= at < len(references) else str(at)
            for completion in _completions(state, number, path)[:1]:
                listed.append((option, finite(completion.get("logprob", 0.0), "a log-probability", path), []))
        prompt = _instance_text(instance)
        position = chosen.get(key)
        right = next((at for at, (_, correct) in enumerate(references) if correct), None)
        yield Answer(
            source=path,
            model=_model(adapter, path, reading),
            item=_item(_task(path, reading), key),
            prompt=canonical_json({"context": prompt, "options": [text for text, _ in references]}),
            sample=samples.next(canonical_json([prompt, [text for text, _ in references]])),
            text=references[position][0] if position is not None and position < len(references) else "",
            answer=None if position is None else str(position),
            gold=None if right is None else str(right),
            options=len(references) or None,
            log_probabilities=listed or None,
        )


def _instance_text(instance: Mapping[str, Any]) -> str:
    given = instance.get("input")
    found = given.get("text") if isinstance(given, Mapping) else given
    return found if isinstance(found, str) else ""


def _predicted(path: Path) -> dict[Key, int]:
    """Instance to the position of the option that HELM counted as chosen."""
    if not path.is_file():
        raise UsageError(
            "every option was asked about by itself, and the file that says which was chosen is not there",
            exhibit=str(path),
            advice="give the whole run folder, with per_instance_stats.json",
        )
    chosen: dict[Key, int] = {}
    for _, found in json_parts(path):
        record = mapping_of(found, "an element", path)
        for each in list_of(record.get("stats", []), "stats", path):
            name = each.get("name") if isinstance(each, Mapping) else None
            if isinstance(name, Mapping) and name.get("name") == "predicted_index":
                chosen[_key(record, record.get("instance_id"))] = _position(each.get("mean"), path)
    return chosen


def _position(value: Any, path: Path) -> int:
    if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
        return int(value)
    raise MalformedSource(f"a predicted_index is {str(value)[:40]!r}", exhibit=str(path), advice="run HELM again")


# -------------------------------------------------------------------------------------------- display_predictions.json


def _neighbour(path: Path, name: str) -> Path:
    found = path.with_name(name)
    if not found.is_file():
        raise UsageError(f"{name} is not beside it", exhibit=str(path), advice="give the whole run folder")
    return found


def _of_predictions(path: Path, reading: Reading, skipped: Counter[str], samples: _Samples) -> Iterator[Answer]:
    specification = mapping_of(whole_json(_neighbour(path, "run_spec.json")), "run_spec.json", path)
    adapter = mapping_of(specification.get("adapter_spec"), "adapter_spec of run_spec.json", path)
    separate = str(adapter.get("method", "")).startswith(_SEPARATE)
    asked: dict[Key, tuple[str, dict[str, Any]]] = {}
    beside = _neighbour(path, "display_requests.json")
    for _, found in json_parts(beside):
        record = mapping_of(found, "an element", beside)
        key = _key(record, record.get("instance_id"))
        asked[key] = _asked(mapping_of(record.get("request"), "the request", beside), key)
    instances: dict[tuple[str, str], Mapping[str, Any]] = {}
    listed = path.with_name("instances.json")
    if listed.is_file():
        for _, found in json_parts(listed):
            instance = mapping_of(found, "an element", listed)
            instances[_key(instance, instance.get("id"))[:2]] = instance
    for number, (_, found) in enumerate(json_parts(path)):
        record = mapping_of(found, f"element {number}", path)
        key = _key(record, record.get("instance_id"))
        if key not in asked:
            skipped["predictions without a request"] += 1
            continue
        prompt, parameters = asked[key]
        known = instances.get(key[:2])
        references = _references(known, path) if known else []
        text = text_of(record.get("predicted_text"), f"element {number}: predicted_text", path)
        answer, gold, options = _chosen(record, references, separate)
        yield Answer(
            source=path,
            model=_model(adapter, path, reading),
            item=_item(_task(path, reading), key),
            prompt=prompt,
            sample=samples.next(prompt),
            text=text,
            answer=answer,
            gold=gold,
            options=options,
            parameters=parameters,
        )


def _chosen(
    record: Mapping[str, Any], references: Sequence[tuple[str, bool]], separate: bool
) -> tuple[str | None, str | None, int | None]:
    """Answer, gold and number of options. `mapped_output` is the text of the option that the answer's letter stands for."""
    right = next((at for at, (_, correct) in enumerate(references) if correct), None)
    mapped = record.get("mapped_output")
    stats = record.get("stats")
    index = stats.get("predicted_index") if isinstance(stats, Mapping) else None
    if separate and isinstance(index, int | float) and math.isfinite(index) and index >= 0:
        return str(int(index)), None if right is None else str(right), len(references) or None
    if isinstance(mapped, str):
        position = next((str(at) for at, (text, _) in enumerate(references) if text == mapped), None)
        return position, None if right is None else str(right), len(references) or None
    return None, None if right is None else references[right][0].strip() or None, None
