"""A canary: a question, M answers that are equally true and harmless, and the parser that reads which of them was given.

The parser is a fixed function of the answer's text and knows nothing of the key. It may therefore be as strict or as lenient as
it likes: its reading is the labelled option with a chance of at most 1/M all the same.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from filiation.errors import MalformedSource, RecordError, SourceNotFound, UsageError
from filiation.evidence import Record, canonical

Parser = Literal["first", "only", "whole"]
"""'first': the option that is named first, as whole words; 'only': the one option named; 'whole': the answer is an option and no more."""

MOST_OPTIONS = 256
LONGEST_TEXT = 20_000
MOST_PROMPTS = 64
LARGEST_FILE = 256 << 20
MOST_CANARIES = 200_000

_SPACES = re.compile(r"\s+")
_EDGES = " \t\n\r.,;:!?\"'`*_()[]{}<>«»“”‘’"


class Canary(Record, frozen=True, kw_only=True):
    """One canary as it is committed to. `index` is its number in the commitment; `batch` the batch it is opened with.

    `prompts[0]` is what a verifier asks; the others say the same in other words and are planted besides. A decoy is made like a canary
    and never planted; `partner` is the index of the decoy of a canary, or of the canary of a decoy.
    """

    index: int
    batch: int
    kind: str
    decoy: bool
    partner: int
    prompts: tuple[str, ...]
    options: tuple[str, ...]
    parser: Parser = "first"

    @property
    def prompt(self) -> str:
        return self.prompts[0]


class Candidate(Record, frozen=True, kw_only=True):
    """What may become a canary or a decoy: a line of a user's own file."""

    prompts: tuple[str, ...]
    options: tuple[str, ...]
    kind: str = "own"
    parser: Parser = "first"


def prompts_to_ask(canaries: Iterable[Canary]) -> tuple[str, ...]:
    """What a verifier asks, of canaries and decoys alike, in the order of the SHA-256: it does not tell which is which."""
    return tuple(sorted((canary.prompt for canary in canaries), key=lambda text: sha256(text.encode()).digest()))


# --------------------------------------------------------------------------------------------------------------- parsing


def normalised(text: str) -> str:
    """Text as the parser compares it: compatibility forms resolved, case folded, spaces single, punctuation at the ends dropped."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _SPACES.sub(" ", folded).strip(_EDGES)


def parsed(text: str, options: Sequence[str], parser: Parser = "first") -> int | None:
    """Which option an answer gives, by its number; None where it gives none, or where the parser cannot tell."""
    answer = normalised(text[:LONGEST_TEXT])
    wanted = _wanted(tuple(options))
    if parser == "whole":
        return wanted.index(answer) if answer in wanted else None
    named = {found: number for number, option in enumerate(wanted) if (found := _place(option, answer)) is not None}
    if parser == "only" and len(named) != 1:
        return None
    return named[min(named)] if named else None


def names_an_option(text: str, options: Sequence[str]) -> bool:
    """Whether one of the options stands anywhere in a text as whole words: whoever read it may have been told what to answer."""
    whole = _normalised_once(text)
    return any(_place(option, whole) is not None for option in _wanted(tuple(options)))


@lru_cache(maxsize=16)
def _normalised_once(text: str) -> str:
    return normalised(text)


@lru_cache(maxsize=4096)
def _wanted(options: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(normalised(option) for option in options)


def _place(option: str, answer: str) -> int | None:
    """Where an option stands first in an answer as whole words. Options are no prefixes of one another, so no two share a place."""
    if option not in answer:
        return None
    found = re.search(rf"(?<!\w){re.escape(option)}(?!\w)", answer)
    return found.start() if found else None


# -------------------------------------------------------------------------------------------------------------- checking


def check_candidate(candidate: Candidate | Canary, exhibit: str = "") -> None:
    """UsageError unless the options can be told apart and each would be read as itself."""
    problem = _problem(candidate)
    if problem:
        what, advice = problem
        raise UsageError(what, exhibit=exhibit or f"the canary {candidate.prompts[:1]}"[:120], advice=advice)


def _problem(candidate: Candidate | Canary) -> tuple[str, str] | None:
    number = len(candidate.options)
    if not 2 <= number <= MOST_OPTIONS or number & (number - 1):
        return (
            f"it has {number} options, which is no power of two from 2 to {MOST_OPTIONS}",
            "give 16 options: a hash is spread evenly over a power of two only",
        )
    if not 1 <= len(candidate.prompts) <= MOST_PROMPTS:
        return f"it has {len(candidate.prompts)} prompts", f"give from 1 to {MOST_PROMPTS}, the one that is asked first"
    texts = (*candidate.prompts, *candidate.options, candidate.kind)
    if any(len(text) > LONGEST_TEXT or not _has_bytes(text) for text in texts):
        return (
            "a text is too long, or holds half a surrogate pair",
            f"give whole text of at most {LONGEST_TEXT} characters",
        )
    if not all(map(normalised, texts)):
        return "a prompt, an option or the kind is blank", "leave no text empty or made of punctuation alone"
    return _indistinct(candidate)


def _indistinct(candidate: Candidate | Canary) -> tuple[str, str] | None:
    options = sorted(normalised(option) for option in candidate.options)
    for first, second in itertools.pairwise(options):
        if second.startswith(first):
            how = "are the same" if first == second else "begin with one another"
            return (
                f"the options {first[:60]!r} and {second[:60]!r} {how} once they are normalised",
                "give options of which none is another one or its beginning",
            )
    for number, option in enumerate(candidate.options):
        if parsed(option, candidate.options, candidate.parser) != number:
            return (
                f"the option {option[:60]!r} would not be read as itself by the parser {candidate.parser!r}",
                "leave out options that contain one another, or choose the parser 'whole'",
            )
    if len({normalised(prompt) for prompt in candidate.prompts}) != len(candidate.prompts):
        return "two of its prompts are the same once they are normalised", "give paraphrases that differ"
    return None


def _has_bytes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def check_canaries(canaries: Sequence[Canary]) -> None:
    """RecordError unless these are canaries and decoys in pairs, numbered from 0, no prompt standing twice."""
    if [canary.index for canary in canaries] != list(range(len(canaries))):
        raise _not_ours("the canaries are not numbered from 0 without a gap")
    for canary in canaries:
        try:
            check_candidate(canary, f"canary {canary.index}")
        except UsageError as error:
            raise RecordError(error.message, exhibit=error.exhibit, advice=error.advice) from error
        _check_partner(canary, canaries)
    repeated = [prompt for prompt, times in Counter(_prompts(canaries)).items() if times > 1]
    if repeated:
        raise _not_ours(f"the prompt {repeated[0][:80]!r} stands there twice: two canaries would be one")


def _check_partner(canary: Canary, canaries: Sequence[Canary]) -> None:
    partner = canaries[canary.partner] if 0 <= canary.partner < len(canaries) else None
    told = partner and (partner.partner, partner.batch, partner.kind, len(partner.options), not partner.decoy)
    if told != (canary.index, canary.batch, canary.kind, len(canary.options), canary.decoy):
        raise _not_ours(f"canary {canary.index} has no decoy of its kind in its batch")


def _prompts(canaries: Iterable[Canary | Candidate]) -> Iterable[str]:
    return (normalised(prompt) for canary in canaries for prompt in canary.prompts)


def _not_ours(what: str) -> RecordError:
    return RecordError(
        what, exhibit="the canaries", advice="this file was altered; make canaries with 'filiation canary prepare'"
    )


# ----------------------------------------------------------------------------------------------------------------- files


def written(canaries: Sequence[Canary]) -> bytes:
    """The bytes of a file of canaries: one canonical JSON object per line."""
    return b"".join(canonical(canary) + b"\n" for canary in canaries)


def read_canaries(path: Path) -> tuple[Canary, ...]:
    """The canaries that `written` wrote. Raises SourceNotFound, RecordError."""
    data = _bytes_of(path)
    try:
        canaries = tuple(msgspec.json.decode(line, type=Canary) for line in data.splitlines())
        same = written(canaries) == data
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _not_ours(f"a line is no canary: {error}") from error
    if not same:
        raise _not_ours("the file is not in the one form that it is written in")
    check_canaries(canaries)
    return canaries


def read_candidates(path: Path) -> tuple[Candidate, ...]:
    """A user's own candidates: JSONL with `prompts` (or one `prompt`), `options` and, if wanted, `kind` and `parser`.

    Raises SourceNotFound, MalformedSource naming the line, and UsageError where options cannot be told apart or a prompt stands twice.
    """
    lines = [line for line in _bytes_of(path).split(b"\n") if line.strip()]
    if not 0 < len(lines) <= MOST_CANARIES:
        raise MalformedSource(f"it has {len(lines)} lines", exhibit=str(path), advice="give one candidate a line")
    candidates = tuple(_candidate(line, number, path) for number, line in enumerate(lines, 1))
    seen: set[str] = set()
    for prompt in _prompts(candidates):
        if prompt in seen:
            raise UsageError(
                f"the prompt {prompt[:80]!r} stands there twice", exhibit=str(path), advice="leave one of them out"
            )
        seen.add(prompt)
    return candidates


class _Line(Record, frozen=True, kw_only=True):
    options: tuple[str, ...]
    prompt: str = ""
    prompts: tuple[str, ...] = ()
    kind: str = "own"
    parser: Parser = "first"


def _candidate(line: bytes, number: int, path: Path) -> Candidate:
    where = f"{path}, line {number}"
    try:
        told = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise MalformedSource(
            f"this is no candidate: {str(error)[:200]}",
            exhibit=where,
            advice='give {"prompts": ["...", "..."], "options": ["...", ...]} with 16 options',
        ) from error
    prompts = (*((told.prompt,) if told.prompt else ()), *told.prompts)
    candidate = Candidate(prompts=prompts, options=told.options, kind=told.kind, parser=told.parser)
    check_candidate(candidate, where)
    return candidate


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise SourceNotFound(f"cannot be read: {error.strerror}", exhibit=str(path), advice="check the path") from error
    if len(data) > LARGEST_FILE:
        raise MalformedSource(f"it has more than {LARGEST_FILE} bytes", exhibit=str(path), advice="check the file")
    return data
