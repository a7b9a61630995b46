"""Logs of inspect_ai, `.eval` and `.json`, through its own reader (the extra `inspect`).

Layout: https://inspect.aisi.org.uk/eval-logs.html. A `.eval` file is a ZIP archive: its directory is checked before anything
of it is unpacked, because the reader trusts it. `sample` is the epoch, from 0; `item` is 'task:id'; the prompt is the sample's
input, without what the solvers made of it. Multiple choice becomes positions of options, from 0; otherwise `answer` is what the
first scorer extracted.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from filiation.errors import FiliationError, MalformedSource, MissingExtra, UnsafeSource
from filiation.sources.transcript_formats.answer import Answer, LogProbabilities, Progress, Reading, item_of, utc
from filiation.sources.transcript_formats.json_files import check_text_file, finite
from filiation.sources.transcripts import canonical_json, plain_content, prompt_of_messages

NAME = "inspect"
MEMBER_LIMIT = 1 << 30
TOTAL_LIMIT = 32 << 30
RATIO_LIMIT = 1000
"""A member may unpack to at most so many times its size; JSON of long conversations reaches some hundreds."""
_ADVICE = "do not trust this file; ask for one that was written by inspect_ai"


def recognises(record: dict[str, Any]) -> bool:
    return "eval" in record and ("plan" in record or "samples" in record or "status" in record)


def answers(paths: Sequence[Path], reading: Reading, skipped: Counter[str], progress: Progress) -> Iterator[Answer]:
    for path in paths:
        check_log(path)
    reader = _reader()
    for path in paths:
        yield from _of_log(path, reader, reading, skipped)


def _reader() -> Any:
    try:
        import inspect_ai.log as reader
    except ImportError as error:
        raise MissingExtra(
            "reading inspect logs needs the package inspect_ai", advice='pip install "filiation[inspect]"'
        ) from error
    return reader


def check_log(path: Path) -> None:
    """Refuse an archive that would unpack to more than it should or out of its folder. Raises SourceError."""
    if path.suffix != ".eval":
        check_text_file(path)
        if path.stat().st_size > MEMBER_LIMIT:
            raise MalformedSource(
                "the log is larger than 1 GiB", exhibit=str(path), advice="convert it: 'inspect log convert'"
            )
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise MalformedSource(
            f"this is no readable ZIP archive: {str(error)[:120]}", exhibit=str(path), advice="fetch the file again"
        ) from error
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise MalformedSource("the archive holds two members of one name", exhibit=str(path), advice=_ADVICE)
    for member in members:
        _check_member(member, path)
    if sum(member.file_size for member in members) > TOTAL_LIMIT:
        raise UnsafeSource("the archive would unpack to more than 32 GiB", exhibit=str(path), advice=_ADVICE)
    if not any(name in ("header.json", "_journal/start.json") for name in names):
        raise MalformedSource(
            "the archive has no header.json: it is no inspect log",
            exhibit=str(path),
            advice="check the file and --format",
        )


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in (name.parts[0] if name.parts else ""):
        raise UnsafeSource(
            f"the archive's member {member.filename[:80]!r} leads out of its folder", exhibit=str(path), advice=_ADVICE
        )
    if member.flag_bits & 1:
        raise MalformedSource("the archive is encrypted", exhibit=str(path), advice="unpack it with its password first")
    if member.file_size > MEMBER_LIMIT or member.file_size > RATIO_LIMIT * max(member.compress_size, 1024):
        raise UnsafeSource(
            f"the archive's member {member.filename[:80]!r} would unpack from {member.compress_size} to "
            f"{member.file_size} bytes",
            exhibit=str(path),
            advice=_ADVICE,
        )


def _of_log(path: Path, reader: Any, reading: Reading, skipped: Counter[str]) -> Iterator[Answer]:
    location = str(path.resolve())
    try:
        header = reader.read_eval_log(location, header_only=True)
        if header.eval.dataset.sample_ids:
            samples = reader.read_eval_log_samples(location, all_samples_required=False)
        else:  # logs of older versions do not list their samples: they can be read as a whole only
            samples = reader.read_eval_log(location).samples or ()
        for sample in samples:
            yield from _of_sample(sample, header.eval, path, reading, skipped)
    except FiliationError:
        raise
    except Exception as error:  # the reader is foreign, and raises whatever pydantic, zipfile or json do
        told = " ".join(str(error).split())[:160]
        raise MalformedSource(
            f"inspect_ai cannot read this log: {type(error).__name__}: {told}",
            exhibit=str(path),
            advice="is it complete? A newer inspect_ai may be needed: pip install -U inspect_ai",
        ) from error


def _of_sample(sample: Any, evaluation: Any, path: Path, reading: Reading, skipped: Counter[str]) -> Iterator[Answer]:
    choices = sample.output.choices if sample.output else []
    if not choices:
        skipped["samples without an output"] += 1
        return
    prompt, system = _prompt(sample.input)
    options = list(sample.choices or ())
    settings = {
        key: value
        for key, value in evaluation.model_generate_config.model_dump(exclude_none=True, mode="json").items()
        if key in ("temperature", "top_p", "top_k", "max_tokens", "seed", "stop_seqs", "system_message")
    }
    if options:
        prompt = canonical_json({"prompt": prompt, "options": options})
    for at, choice in enumerate(choices):
        text = plain_content(_plain(choice.message.content))
        yield Answer(
            source=path,
            model=reading.model or str(evaluation.model),
            item=item_of(reading.task or str(evaluation.task), sample.id),
            prompt=prompt,
            sample=(int(sample.epoch) - 1) * len(choices) + at,
            text=text,
            answer=_answer(sample, options),
            gold=_gold(sample.target, options),
            options=len(options) or None,
            finish_reason="length" if choice.stop_reason in ("max_tokens", "model_length") else str(choice.stop_reason),
            log_probabilities=_tokens(choice, path),
            parameters=settings | ({"system": system} if system else {}),
            time=utc(str(evaluation.created)),
        )


def _plain(content: Any) -> Any:
    """Contents as JSON values; reasoning is not part of the answer."""
    if isinstance(content, str):
        return content
    pieces = [piece.model_dump(mode="json", exclude_none=True) for piece in content]
    return [piece for piece in pieces if piece.get("type") != "reasoning"]


def _prompt(given: Any) -> tuple[str, str]:
    if isinstance(given, str):
        return given, ""
    return prompt_of_messages([{"role": message.role, "content": _plain(message.content)} for message in given])


def _positions(letters: Any, options: Sequence[str]) -> str | None:
    """'B' as '1', 'A,C' as '0,2'; None where it is no letter of an option."""
    found = [ord(letter.strip().upper()) - ord("A") for letter in str(letters).split(",") if len(letter.strip()) == 1]
    known = [at for at in found if 0 <= at < len(options)]
    return ",".join(map(str, sorted(known))) if known and len(known) == len(found) else None


def _answer(sample: Any, options: Sequence[str]) -> str | None:
    """What the first scorer extracted; where it scored it as right, the target, so that equal answers are equal strings."""
    score = next((score for score in (sample.scores or {}).values() if score.answer is not None), None)
    if score is None:
        return None
    if options:
        return _positions(score.answer, options)
    right = score.value == "C" or (score.value == 1 and len(sample.scores) == 1)
    return (_gold(sample.target, options) if right else None) or str(score.answer).strip() or None


def _gold(target: Any, options: Sequence[str]) -> str | None:
    told = target if isinstance(target, str) else ",".join(target) if options else target[0] if target else ""
    return _positions(told, options) if options else told.strip() or None


def _tokens(choice: Any, path: Path) -> LogProbabilities | None:
    if choice.logprobs is None:
        return None
    return [
        (
            each.token,
            finite(each.logprob, "a log-probability", path),
            [(top.token, finite(top.logprob, "a log-probability", path)) for top in each.top_logprobs or ()],
        )
        for each in choice.logprobs.content
    ]
