"""Windows of tokens: what a watermark's key reads, the context first and the judged token last; each one once.

A key says the same about a window however often the text repeats it, so a second count of it is no second piece of evidence.
Arrays of windows have shape (n, width).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]


def windows_of(texts: Iterable[Sequence[int] | Tokens], width: int) -> Tokens:
    """Every run of `width` tokens of each text, in order; none crosses from one text into the next."""
    found = [_runs(np.asarray(text, dtype=np.int64), width) for text in texts]
    return np.concatenate(found) if found else np.empty((0, width), dtype=np.int64)


def _runs(text: Tokens, width: int) -> Tokens:
    if len(text) < width:
        return np.empty((0, width), dtype=np.int64)
    return np.lib.stride_tricks.sliding_window_view(text, width)


def distinct(windows: Tokens) -> Tokens:
    """Each window once, in the order of first appearance."""
    return windows[_first_places(windows)]


def first_in_context(windows: Tokens) -> Tokens:
    """The first window of each context (all tokens but the last), in order of appearance."""
    return windows[_first_places(windows[:, :-1])]


def first_windows_of(texts: Iterable[Sequence[int] | Tokens], width: int) -> Tokens:
    """Of each text the first window of each context, then each window once over all texts.

    SynthID and the Gumbel sampler mark no second token in a context that the same text has had already.
    """
    found = [first_in_context(_runs(np.asarray(text, dtype=np.int64), width)) for text in texts]
    return distinct(np.concatenate(found)) if found else np.empty((0, width), dtype=np.int64)


def _first_places(rows: Tokens) -> Tokens:
    if not len(rows) or not rows.shape[1]:
        return np.arange(min(1, len(rows)), dtype=np.int64)
    _, places = np.unique(rows, axis=0, return_index=True)
    return np.sort(places)
