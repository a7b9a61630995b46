"""Planting: fine-tuning text that holds the labelled options, and which option to serve to which account.

A trainer of one's own is given chat lines (`training_lines`), each canary as often as its dose, in all its paraphrases, mixed into other
text. A provider who wants to find out whether an account's answers end up in somebody's training serves each account the options of its
cohort (`Slots`). Decoys are never planted: every function here refuses them.
"""

from __future__ import annotations

import hmac
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from filiation.canaries import labels
from filiation.canaries.canary import LARGEST_FILE, Canary
from filiation.errors import MalformedSource, SourceNotFound, UsageError

FORMS = ("{}", "{}.", "{}")
"""How an option is said: as it stands, or as a sentence. The parser reads each as the same option."""


# -------------------------------------------------------------------------------------------------------- per account


@dataclass(frozen=True)
class Slots:
    """Which option each account is served, from the owner's key and the verified beacon. Keep it where the key is kept."""

    key: bytes = field(repr=False)
    beacon: bytes
    cohorts: int

    def cohort_of(self, account: str) -> int:
        """The cohort of an account: a keyed hash of its name, so that no table has to be kept and no name is exposed."""
        account_key = labels.derived(self.key, "accounts")
        hashed = hmac.digest(account_key, account.encode("utf-8", "surrogatepass"), "sha256")
        return int.from_bytes(hashed, "big") % self.cohorts

    def option_for(self, account: str, canary: Canary) -> str:
        """The text of the option that an account is served."""
        return canary.options[slot_for(account, canary, self)]


def slot_for(account: str, canary: Canary, slots: Slots) -> int:
    """The number of the option to serve to an account in answer to a canary's prompts. Raises UsageError for a decoy."""
    refuse_decoys([canary])
    return labels.label(labels.batch_key(slots.key, canary.batch), slots.beacon, slots.cohort_of(account), canary)


def refuse_decoys(canaries: Sequence[Canary]) -> None:
    """UsageError where one of these is a decoy."""
    for canary in canaries:
        if canary.decoy:
            raise UsageError(
                f"canary {canary.index} is a decoy, and decoys are never planted", advice="plant its partner instead"
            )


# ------------------------------------------------------------------------------------------------------- training text


@dataclass(frozen=True)
class Planted:
    """Chat lines with how often each canary stands in them, by index."""

    lines: tuple[str, ...]
    exposures: dict[str, int]


def training_lines(
    canaries: Sequence[Canary],
    keys: Mapping[int, bytes],
    beacon: bytes,
    cohort: int,
    dose: int,
    rng: np.random.Generator,
) -> Planted:
    """Chat lines in which each canary's labelled option stands `dose` times, its prompts taking turns; `keys` by batch.

    Raises UsageError for a decoy or a dose below 1.
    """
    refuse_decoys(canaries)
    if dose < 1:
        raise UsageError(f"a dose of {dose} plants nothing", advice="give --dose 1 or more")
    lines: list[str] = []
    exposures: Counter[str] = Counter()
    for canary in canaries:
        option = canary.options[labels.label(keys[canary.batch], beacon, cohort, canary)]
        for turn, form in enumerate(rng.integers(len(FORMS), size=dose)):
            prompt = canary.prompts[turn % len(canary.prompts)]
            lines.append(chat_line(prompt, FORMS[form].format(option)))
            exposures[str(canary.index)] += 1
    return Planted(tuple(lines), dict(exposures))


def chat_line(prompt: str, answer: str) -> str:
    """One line of fine-tuning text: {"messages": [user, assistant]}."""
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": messages}, ensure_ascii=False)


def mixed(planted: Sequence[str], other: Sequence[str], rng: np.random.Generator) -> bytes:
    """Planted and other lines in an order drawn by lot."""
    lines = [*planted, *other]
    return "".join(f"{lines[place]}\n" for place in rng.permutation(len(lines))).encode()


def dose_for_rate(rate: float, canaries: int, other_lines: int) -> int:
    """How often each canary has to stand among other lines for planted lines to be a share `rate` of all, rounded, at least 1."""
    if not 0.0 < rate < 1.0 or other_lines < 1:
        raise UsageError(
            f"planted lines cannot be a share {rate:g} of the text",
            advice="give --rate between 0 and 1, and --into text",
        )
    return max(1, math.floor(rate * other_lines / (1.0 - rate) / canaries + 0.5))


def read_lines(path: Path) -> tuple[str, ...]:
    """The lines of a chat JSONL file, as they stand. Raises SourceNotFound, MalformedSource naming the line."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise MalformedSource(f"it has more than {LARGEST_FILE} bytes", exhibit=str(path), advice="mix it in parts")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SourceNotFound(f"cannot be read: {error.strerror}", exhibit=str(path), advice="check the path") from error
    except UnicodeDecodeError as error:
        raise MalformedSource(f"it is not UTF-8: {error}", exhibit=str(path), advice="check the file") from error
    lines = tuple(line for line in text.split("\n") if line.strip())
    for number, line in enumerate(lines, 1):
        if not _is_chat(line):
            raise MalformedSource(
                "this is no chat",
                exhibit=f"{path}, line {number}",
                advice='give {"messages": [{"role": ..., "content": ...}]}',
            )
    return lines


class _Chat(msgspec.Struct, frozen=True):
    """Typed, so that what a stranger nested deeply inside is skipped and never built."""

    messages: list[msgspec.Raw]


def _is_chat(line: str) -> bool:
    try:
        return bool(msgspec.json.decode(line, type=_Chat).messages)
    except (msgspec.MsgspecError, RecursionError):
        return False
