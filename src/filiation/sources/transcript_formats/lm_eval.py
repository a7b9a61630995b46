"""lm-evaluation-harness, `--log_samples`: `samples_TASK_DATE.jsonl`, one document per line.

Layout: `EvaluationTracker.save_results_samples` of https://github.com/EleutherAI/lm-evaluation-harness. A line holds `doc_id`,
`doc`, `target` (as a string), `arguments` ({"gen_args_0": {"arg_0": context, "arg_1": continuation or settings}}), `resps` and
`filtered_resps` (numbers as strings). Two kinds are read:

- log-likelihoods of options (multiple choice): `answer` is the position of the option with the highest sum of
  log-probabilities, from 0 (the harness's `acc`, not its length-normalised `acc_norm`), `gold` the right position.
- `generate_until`: `text` is the response, `answer` what the task's filter made of it, where the task has a target. A filter
  that found nothing gives '[invalid]': no answer. Where the harness itself scored `exact_match` 1, the answer is written as
  the target, so that equal answers are equal strings.

A document that was filtered in two ways stands on two lines: the first filter of the file is read, or the one declared.
The model is that of the `results_DATE.json` beside it, else its folder's name, in which the harness writes '/' as '__'.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filiation.errors import MalformedSource, UsageError
from filiation.sources.transcript_formats.answer import Answer, LogProbabilities, Progress, Reading, item_of
from filiation.sources.transcript_formats.json_files import finite, json_lines, whole_json
from filiation.sources.transcripts import canonical_json, prompt_of_messages

NAME = "lm-eval"
_NAME = re.compile(r"samples_(?P<task>.+?)_(?P<date>\d{4}-\d\d-\d\dT[0-9.:-]+)\.jsonl$")
_INVALID = "[invalid]"


def recognises(record: dict[str, Any]) -> bool:
    return "resps" in record and "doc_id" in record


def answers(paths: Sequence[Path], reading: Reading, skipped: Counter[str], progress: Progress) -> Iterator[Answer]:
    for path in paths:
        yield from _of_file(path, reading, skipped)


def _of_file(path: Path, reading: Reading, skipped: Counter[str]) -> Iterator[Answer]:
    named = _NAME.search(path.name)
    task = reading.task or (named["task"] if named else path.stem.removeprefix("samples_"))
    model = reading.model or _model(path, named["date"] if named else "")
    wanted = reading.filter
    seen: set[str] = set()
    for number, record in json_lines(path):
        where = f"line {number}"
        if not recognises(record):
            raise _malformed(path, f"{where} has no 'doc_id' and 'resps'")
        filtered_by = str(record.get("filter", "none"))
        seen.add(filtered_by)
        if not wanted and "filter" in record:
            wanted = filtered_by
        if "filter" in record and filtered_by != wanted:
            skipped[f"of another filter than {wanted!r}"] += 1
            continue
        calls = _calls(record.get("arguments"))
        if not calls:
            raise _malformed(path, f"{where} has no arguments")
        options = _option_chances(record["resps"], len(calls), path, where)
        item = item_of(task, record["doc_id"])
        if options is not None and len(options) != len(calls):
            raise _malformed(path, f"{where} has {len(options)} responses to {len(calls)} calls")
        if options is not None:
            calls, options = _conditional(calls, options)
        if options is not None and len(options) > 1:
            yield _choice(record, calls, options, path, model, item)
        elif options is not None:
            skipped["log-likelihoods of one text (perplexity), which are no answers"] += 1
        else:
            yield from _generated(record, calls[0], path, where, model, item)
    if wanted and wanted not in seen:
        raise UsageError(
            f"no line was filtered by {wanted!r}",
            exhibit=str(path),
            advice=f"--filter is one of {', '.join(sorted(seen))}",
        )


def _malformed(path: Path, told: str) -> MalformedSource:
    return MalformedSource(told, exhibit=str(path), advice="is this a file of lm_eval --log_samples? See --format")


def _model(path: Path, date: str) -> str:
    """The model's name from the results beside the file, or from the folder, else an error that asks for it."""
    results = path.with_name(f"results_{date}.json")
    if date and results.is_file():
        found = whole_json(results)
        name = found.get("model_name") if isinstance(found, dict) else None
        if isinstance(name, str) and name:
            return name
    folder = path.resolve().parent.name
    if "__" in folder:
        return folder.replace("__", "/")
    raise UsageError("the file does not say which model it is of", exhibit=str(path), advice="give --model NAME")


def _calls(arguments: Any) -> list[list[Any]]:
    """Arguments of each call to the model; they are written as objects, and by older versions as lists."""
    if isinstance(arguments, Mapping):
        arguments = [arguments[f"gen_args_{at}"] for at in range(len(arguments)) if f"gen_args_{at}" in arguments]
    if not isinstance(arguments, list):
        return []
    calls = []
    for call in arguments:
        if isinstance(call, Mapping):
            call = [call[f"arg_{at}"] for at in range(len(call)) if f"arg_{at}" in call]
        if isinstance(call, list) and call:
            calls.append(call)
    return calls


def _option_chances(resps: Any, calls: int, path: Path, where: str) -> list[float | None] | None:
    """Log-probability of each option, or None where the responses are texts. One response is [[[chance, is greedy]]]."""
    if not isinstance(resps, list) or not resps:
        raise _malformed(path, f"{where} has no responses")
    pairs = []
    for response in resps:
        while isinstance(response, list) and len(response) == 1 and isinstance(response[0], list):
            response = response[0]
        if not (
            isinstance(response, list)
            and len(response) == 2
            and str(response[1]) in ("True", "False", "true", "false")
            and not (isinstance(response[0], str) and not _is_number(response[0]))
        ):
            return None
        pairs.append(finite(response[0], f"{where}: a log-likelihood", path))
    return pairs


def _conditional(calls: list[list[Any]], chances: list[float | None]) -> tuple[list[list[Any]], list[float | None]]:
    """Without the calls for `acc_mutual_info`, which ask about every option once more, behind no context."""
    asked = [at for at, call in enumerate(calls) if call[0] != ""]
    if 2 * len(asked) != len(calls):
        return calls, chances
    return [calls[at] for at in asked], [chances[at] for at in asked]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _choice(
    record: Mapping[str, Any],
    calls: list[list[Any]],
    chances: list[float | None],
    path: Path,
    model: str,
    item: str,
) -> Answer:
    texts = [str(call[1]) if len(call) > 1 else str(call[0]) for call in calls[: len(chances)]]
    contexts = [str(call[0]) for call in calls[: len(chances)]]
    # The options are part of what was asked: one context may stand before other options (or, in BLiMP, before none).
    asked = [{"context": context, "continuation": text} for context, text in zip(contexts, texts, strict=False)]
    known = [(chance, -at) for at, chance in enumerate(chances) if chance is not None]
    chosen = -max(known)[1] if known else None
    listed: LogProbabilities = [(text, chance, []) for text, chance in zip(texts, chances, strict=False)]
    return Answer(
        source=path,
        model=model,
        item=item,
        prompt=canonical_json(asked),
        text="" if chosen is None else texts[chosen],
        answer=None if chosen is None else str(chosen),
        gold=_gold_position(record.get("target"), texts),
        options=len(chances),
        log_probabilities=listed,
    )


def _gold_position(target: Any, texts: Sequence[str]) -> str | None:
    """The right option's position: the target is its position, or its text."""
    told = str(target).strip()
    if told.isdecimal() and int(told) < len(texts):
        return str(int(told))
    same = [at for at, text in enumerate(texts) if text.strip() == told]
    return str(same[0]) if same else None


def _generated(
    record: Mapping[str, Any], call: list[Any], path: Path, where: str, model: str, item: str
) -> Iterator[Answer]:
    prompt, system = _prompt(call[0])
    settings = call[1] if len(call) > 1 and isinstance(call[1], Mapping) else {}
    texts, filtered = _flat(record["resps"]), _flat(record.get("filtered_resps", []))
    if not texts:
        raise _malformed(path, f"{where} has no response that is text")
    gold = _gold_text(record.get("target"))
    right = record.get("exact_match") in (1, 1.0) and len(texts) == 1
    for sample, text in enumerate(texts):
        found = filtered[sample].strip() if sample < len(filtered) else _INVALID
        stated = found if gold is not None and found not in ("", _INVALID) else None
        yield Answer(
            source=path,
            model=model,
            item=item,
            prompt=prompt,
            sample=sample,
            text=text,
            answer=gold if right and stated is not None else stated,
            gold=gold,
            parameters=dict(settings) | ({"system": system} if system else {}),
        )


def _prompt(context: Any) -> tuple[str, str]:
    """Prompt and system prompt; chat models get their messages as JSON in a string."""
    if isinstance(context, str) and context.startswith("[{") and '"role"' in context[:200]:
        try:
            messages = json.loads(context)
        except (ValueError, RecursionError):
            return context, ""
        if isinstance(messages, list) and all(isinstance(each, dict) for each in messages):
            return prompt_of_messages(messages)
    return str(context), ""


def _flat(value: Any) -> list[str]:
    """The strings of nested lists, in order."""
    if isinstance(value, str):
        return [value]
    return [text for each in value for text in _flat(each)] if isinstance(value, list) else []


def _gold_text(target: Any) -> str | None:
    """The target; of GSM8K's worked solutions what follows '####'."""
    told = str(target if target is not None else "").split("####")[-1].strip()
    return told or None
