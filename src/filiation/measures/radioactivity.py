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

More is seen where the suspect is held against a companion that read the same texts, its own base for one: `shift` takes at each place
the difference of the two, and `weighed_windows` adds it up by rule 1 or rule 3. What both find likely because of the language cancels
out; what is left is held against the key by `shift_score` (statistics/keyed_weights.py). The null then speaks of both: neither the
suspect nor the companion depends on the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filiation.errors import UsageError
from filiation.measures.watermarks.green_list import green_lists, seeds_of
from filiation.measures.watermarks.gumbel import uniforms
from filiation.measures.watermarks.keys import GreenListKey, GumbelKey, SynthIDKey, VllmGumbelKey, WatermarkKey
from filiation.measures.watermarks.vllm_gumbel import vllm_uniforms
from filiation.measures.watermarks.windows import Tokens, distinct

Float64 = NDArray[np.float64]


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


# --------------------------------------------------------------------------------------------------------------- shifts


@dataclass(frozen=True, eq=False)
class Likeliest:
    """What a model found likeliest after each token that it read.

    `tokens`: shape (places, most), each token once at a place, -1 where there is none; `values`: their natural log-probabilities, -inf
    where there is none.
    """

    tokens: Tokens
    values: Float64


@dataclass(frozen=True, eq=False)
class PlaceWeights:
    """Weights between -1 and 1 of tokens after each token read: both arrays (places, most), token -1 and weight 0 where there is none."""

    tokens: Tokens
    weights: Float64


@dataclass(frozen=True, eq=False)
class Weighed:
    """Weights of distinct windows: `contexts`, shape (contexts, key.window - 1), each once, in the order in which they occurred; of each
    window the number of its context, the token and the weight, which is not 0. `follows`: weights may depend on what was read before
    their context."""

    contexts: Tokens
    context: Tokens
    tokens: Tokens
    weights: Float64
    follows: bool


BLOCK = 256
"""Places that are compared at once."""


def shift(suspect: Likeliest, companion: Likeliest) -> PlaceWeights:
    """The root of the suspect's probability minus the root of the companion's, at each place, for every token that either recorded.

    A token that one of them did not record has at most the smallest probability that it did: the difference is taken to that, and is 0
    where its sign would not be known. A place of which one of them recorded nothing weighs nothing.
    """
    tokens = np.concatenate([suspect.tokens, companion.tokens], axis=1)
    parts = [np.zeros((0, tokens.shape[1]))]
    for start in range(0, len(tokens), BLOCK):
        one, other = (
            Likeliest(each.tokens[start : start + BLOCK], each.values[start : start + BLOCK])
            for each in (suspect, companion)
        )
        parts.append(_weights(one, other))
    weights = np.concatenate(parts)
    return PlaceWeights(tokens, np.where(tokens >= 0, weights, 0.0))


def _weights(suspect: Likeliest, companion: Likeliest) -> Float64:
    """Of the suspect's tokens, then of those of the companion's that the suspect did not record."""
    ours, theirs = _roots(suspect), _roots(companion)
    known = np.logical_and((suspect.tokens >= 0).any(axis=1), (companion.tokens >= 0).any(axis=1))
    gained, in_companion = _difference(suspect.tokens, ours, companion.tokens, theirs)
    lost, in_suspect = _difference(companion.tokens, theirs, suspect.tokens, ours)
    first = np.where(in_companion, gained, np.maximum(gained, 0.0))
    second = np.where(in_suspect, 0.0, np.minimum(-lost, 0.0))
    weights: Float64 = np.concatenate([first, second], axis=1) * known[:, None]
    return weights


def alone(model: Likeliest) -> PlaceWeights:
    """The roots of a model's own probabilities."""
    return PlaceWeights(model.tokens, _roots(model))


def _roots(model: Likeliest) -> Float64:
    roots: Float64 = np.exp(np.minimum(model.values, 0.0) / 2.0)
    return roots


def _difference(
    tokens: Tokens, roots: Float64, others: Tokens, other_roots: Float64
) -> tuple[Float64, NDArray[np.bool_]]:
    """Root minus the other's root of the same token, and whether the other recorded it; its smallest root where it did not."""
    same = (tokens[:, :, None] == others[:, None, :]) & (others >= 0)[:, None, :]
    found = same.any(axis=2)
    at = same.argmax(axis=2)
    smallest = np.where(others >= 0, other_roots, 1.0).min(axis=1, keepdims=True)
    return roots - np.where(found, np.take_along_axis(other_roots, at, axis=1), smallest), found


def weighed_windows(
    texts: Sequence[Sequence[int] | Tokens],
    weights: Sequence[PlaceWeights],
    key: WatermarkKey,
    *,
    read_was_marked: bool,
) -> Weighed:
    """Weights by (context, token), added up over all places of a context; only its first where what was read may be marked.

    Raises UsageError where there are not as many weights as tokens read, and for a scheme whose contexts are not independent: under
    selfhash each token of a place has another list, and a layer of SynthID has no law of weighted sums here.
    """
    width = _width(key, read_was_marked)
    if not contexts_are_independent(key):
        raise UsageError(
            "under this scheme shifts of whole predictions have no law here",
            advice="read what is said of the likeliest token",
        )
    if len(texts) != len(weights) or any(len(a) != len(b.tokens) for a, b in zip(texts, weights, strict=True)):
        raise UsageError("there is not one weight for each token read", advice="record what is found after every token")
    occurred: set[bytes] = set()
    contexts: list[Tokens] = []
    at: list[Tokens] = []
    tokens: list[Tokens] = []
    values: list[Float64] = []
    before = 0
    for text, each in zip(texts, weights, strict=True):
        runs = _runs(text, width - 1)
        places = np.array(_first_ever(runs, occurred) if read_was_marked else range(len(runs)), dtype=np.int64)
        runs, judged, weighs = runs[places], each.tokens[places + width - 2], each.weights[places + width - 2]
        place, which = np.nonzero(_counts(runs, judged, weighs, key))
        contexts.append(runs)
        at.append(place + before)
        tokens.append(judged[place, which])
        values.append(weighs[place, which])
        before += len(runs)
    return _added_up(_joined(contexts, width - 1), at, tokens, values, read_was_marked)


def _counts(runs: Tokens, judged: Tokens, weighs: Float64, key: WatermarkKey) -> NDArray[np.bool_]:
    """Which weights are held against the key: of a token beyond its lists no key says anything."""
    counts: NDArray[np.bool_] = (judged >= 0) & (weighs != 0.0)
    if isinstance(key, GreenListKey):
        within = np.asarray((runs < key.vocabulary).all(axis=1))
        counts &= (judged < key.vocabulary) & within[:, None]
    return counts


def _added_up(
    contexts: Tokens, at: list[Tokens], tokens: list[Tokens], values: list[Float64], follows: bool
) -> Weighed:
    """Weights of one context and token, at whatever place, as one."""
    known, first, number = np.unique(contexts, axis=0, return_index=True, return_inverse=True)
    in_turn = np.argsort(first)
    known, number = known[in_turn], np.argsort(in_turn)[number.reshape(-1)]
    place, token = (np.concatenate([np.empty(0, dtype=np.int64), *each]) for each in (at, tokens))
    most = int(token.max(initial=0)) + 1
    windows, of_window = np.unique(number[place] * most + token, return_inverse=True)
    added = np.bincount(of_window.reshape(-1), weights=np.concatenate([np.empty(0), *values]), minlength=len(windows))
    kept = added != 0.0
    return Weighed(known, windows[kept] // most, windows[kept] % most, added[kept], follows)


@dataclass(frozen=True, eq=False)
class Listed:
    """Of each weight the number of its list, and whether its token is green there."""

    lists: Tokens
    weights: Float64
    green: NDArray[np.bool_]


def in_lists(weighed: Weighed, key: GreenListKey) -> Listed:
    """The weights by the lists of a key; those after token 0, whose list no key moves, are left out.

    Two contexts can have one list, because a seed has 32 bits: their weights are one where the token is one, and where weights follow what
    was read only the context of a list that occurred first counts.
    """
    contexts = weighed.contexts
    probes = np.concatenate([contexts, np.zeros((len(contexts), 1), dtype=np.int64)], axis=1)
    seeds, first, of_context = np.unique(seeds_of(probes, key), return_index=True, return_inverse=True)
    moved = contexts[:, -1] != 0
    if weighed.follows:
        moved &= first[of_context.reshape(-1)] == np.arange(len(contexts))
    kept = moved[weighed.context]
    lists, tokens = of_context.reshape(-1)[weighed.context][kept], weighed.tokens[kept]
    windows, of_window = np.unique(lists * key.vocabulary + tokens, return_inverse=True)
    weights = np.bincount(of_window.reshape(-1), weights=weighed.weights[kept], minlength=len(windows)).astype(float)
    lists, tokens = windows // key.vocabulary, windows % key.vocabulary
    green, drawn = np.zeros(len(windows), dtype=np.bool_), green_lists(key)
    starts = np.searchsorted(lists, np.arange(len(seeds) + 1))
    for number in np.unique(lists).tolist():
        part = slice(starts[number], starts[number + 1])
        green[part] = drawn(int(seeds[number]))[tokens[part]]
    return Listed(lists, weights, green)


def with_numbers(weighed: Weighed, key: GumbelKey | VllmGumbelKey) -> Float64:
    """The number u of each weighted window, length n."""
    windows = np.concatenate([weighed.contexts[weighed.context], weighed.tokens[:, None]], axis=1)
    return vllm_uniforms(windows, key) if isinstance(key, VllmGumbelKey) else uniforms(windows, key)
