"""Was a suspect trained on watermarked text? The windows in which it may be held against the key, and no others.

A model that learned from marked answers prefers marked tokens (Sander and others 2024, 'Watermarking makes language models
radioactive'). Two ways to ask it:

    open suspect     It is made to read text, and what it predicts at each place is judged: (context, predicted token).
    closed suspect   It answers prompts, and its answers are judged: (context, token of the answer).

The null is that the suspect does not depend on the key. What it reads may: marked text in front of it carries the key's choices, and
a model that repeats them would be accused of having been trained on them. The remedy depends on what it read.

1. What it read is unmarked: nothing to leave out; each window once.
2. A closed suspect read marked prompts: contexts that occur in any prompt are left out. The key's choices in the other contexts are
   independent of all prompts, hence of the answers; each window once.
3. An open suspect read marked text: a place is judged only where its context has not occurred before, in this text or in any
   text before it. Texts are taken in order; what the key says in a context that nothing so far has touched is independent of
   everything so far, so the judgements follow one another like independent draws. Leaving out only what occurs in the same text,
   as is usual, is not enough for an exact law: text A can carry the key's choice in a context judged in text B, and text B that
   of a context judged in A.

Rules 2 and 3 need a key whose choices in different contexts are independent. Under selfhash two contexts can share a list, and a
layer's key of SynthID has so few bits that marked text gives it away: for both, only unmarked text may be read.

What comes out are windows, shape (n, key.window), the judged token last, for `watermarks.reading`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from filiation.errors import UsageError
from filiation.measures.watermarks.keys import GreenListKey, SynthIDKey, WatermarkKey
from filiation.measures.watermarks.windows import Tokens, distinct


def open_windows(
    texts: Sequence[Sequence[int] | Tokens],
    predictions: Sequence[Sequence[int] | Tokens],
    key: WatermarkKey,
    *,
    read_was_marked: bool,
) -> Tokens:
    """Context from the text, token from the suspect; `predictions[i][j]` is what it predicts after texts[i][: j + 1].

    Raises UsageError where predictions and texts have different lengths, and for a scheme that rule 3 does not hold for.
    """
    width = _width(key, read_was_marked)
    if len(texts) != len(predictions) or any(len(a) != len(b) for a, b in zip(texts, predictions, strict=True)):
        raise UsageError(
            "there is not one prediction for each token read", advice="record the prediction after every token"
        )
    occurred: set[bytes] = set()
    found: list[Tokens] = []
    for text, predicted in zip(texts, predictions, strict=True):
        contexts = _runs(text, width - 1)
        judged = np.asarray(predicted, dtype=np.int64)[width - 2 :]
        windows = np.concatenate([contexts, judged[: len(contexts), None]], axis=1)
        found.append(windows[_first_ever(contexts, occurred)] if read_was_marked else windows)
    return distinct(_joined(found, width))


def closed_windows(
    prompts: Sequence[Sequence[int] | Tokens],
    answers: Sequence[Sequence[int] | Tokens],
    key: WatermarkKey,
    *,
    read_was_marked: bool,
) -> Tokens:
    """The windows of the answers; a context may reach back into its own prompt. One answer per prompt, None left out.

    Raises UsageError where there are not as many answers as prompts, and for a scheme that rule 2 does not hold for.
    """
    width = _width(key, read_was_marked)
    if len(prompts) != len(answers):
        raise UsageError(f"{len(answers)} answers for {len(prompts)} prompts", advice="repeat a prompt for each answer")
    read = _contexts_of(prompts, width - 1) if read_was_marked else set()
    found: list[Tokens] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        before = list(prompt)[-(width - 1) :]
        windows = _runs([*before, *answer], width)
        kept = [place for place, context in enumerate(windows[:, :-1]) if context.tobytes() not in read]
        found.append(windows[kept])
    return distinct(_joined(found, width))


def _first_ever(contexts: Tokens, occurred: set[bytes]) -> list[int]:
    """The places whose context occurs here for the first time; all are remembered."""
    places = []
    for place, context in enumerate(contexts):
        if (name := context.tobytes()) not in occurred:
            occurred.add(name)
            places.append(place)
    return places


def _contexts_of(texts: Iterable[Sequence[int] | Tokens], width: int) -> set[bytes]:
    return {context.tobytes() for text in texts for context in _runs(text, width)}


def _runs(text: Sequence[int] | Tokens, width: int) -> Tokens:
    tokens = np.asarray(text, dtype=np.int64)
    if len(tokens) < width:
        return np.empty((0, width), dtype=np.int64)
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(tokens, width))


def _joined(found: list[Tokens], width: int) -> Tokens:
    return np.concatenate(found) if found else np.empty((0, width), dtype=np.int64)


def contexts_are_independent(key: WatermarkKey) -> bool:
    """Whether rules 2 and 3 hold: what the key chooses in one context says nothing of what it chooses in another."""
    selfhash = isinstance(key, GreenListKey) and key.seeding_scheme == "selfhash"
    return not (selfhash or isinstance(key, SynthIDKey))


def _width(key: WatermarkKey, read_was_marked: bool) -> int:
    if key.window < 2:
        raise UsageError(
            "a key that reads no context cannot be held against what a suspect learned",
            advice="use a scheme with context",
        )
    if read_was_marked and not contexts_are_independent(key):
        raise UsageError(
            "under this scheme what marked text shows in one context is not independent of what it shows in others",
            advice="let the suspect read or answer unmarked text",
        )
    return key.window
