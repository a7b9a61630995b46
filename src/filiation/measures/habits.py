"""Habits of answering that a student takes over from its teacher, and to which of several teachers they point.

What survives of a teacher in a student is not its wording but how it begins: rare openings that two models share on one prompt
separate students from strangers better than any phrase from the middle of an answer, than closings, and than syntax templates
(`studies.teacher` prints all of them). So:

    1. Per prompt: the rarity-weighted cosine of two answers' openings (their first 1, 2, 3, 4, 6 and 8 words). An opening that
       all models have tells nothing; one that few have tells most.
    2. The mean over prompts, with additive model effects removed and divided by spreads (`text_kinship.standardised`).
    3. A vendor is as close as the mean of its three closest recorded models: vendors have many models, and a student
       learned from few of them.
    4. The contrast: closeness to one vendor minus the mean closeness to the other candidates; 0 where that vendor does not come
       first. A model's own lab is never a candidate for it. The mean, not the closest: models of a candidate's own lab have
       one rival less, which would lift a contrast to the closest one.

All models that are present are treated alike, the suspect and the controls too: otherwise a rank would not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from filiation.measures.text_kinship import Answers, pairs_of, shared_rarity, standardised

VERSION = "1"

CLOSEST = 3
"""Recorded models of a vendor that stand for it: those closest to the model in question."""

FEWEST_MODELS = 8
"""Prompts that fewer models answered say nothing about rarity."""


def shared_openings(
    answers: Answers,
    models: int,
    prompts: int,
    channels: Sequence[str] = ("opening",),
    progress: Callable[[float], None] = lambda _share: None,
) -> NDArray[np.float32]:
    """Prompts x pairs (in the order of `pairs_of`): the agreement of two answers' openings, 0 to 1; NaN where not both answered."""
    first, second = pairs_of(models)
    place = np.full((models, models), -1, dtype=np.intp)
    place[first, second] = np.arange(len(first))
    values = np.full((prompts, len(first)), np.nan, dtype=np.float32)
    given = np.flatnonzero(answers.features.whole != 0)
    order = given[np.lexsort((answers.model[given], answers.prompt[given]))]
    bounds = np.searchsorted(answers.prompt[order], np.arange(prompts + 1))
    for prompt in range(prompts):
        rows = order[bounds[prompt] : bounds[prompt + 1]]
        if len(rows) < FEWEST_MODELS:
            continue
        inside = pairs_of(len(rows))
        present = answers.model[rows]
        here = [shared_rarity(answers.features.sets[name].take(rows))[inside] for name in channels]
        values[prompt, place[present[inside[0]], present[inside[1]]]] = np.mean(here, axis=0)
        if prompt % 50 == 0:
            progress(prompt / prompts)
    return values


def closeness(
    values: NDArray[np.float32], models: int, weight: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """The closeness of every pair, models x models, symmetric, diagonal 0. `weight`: how often each prompt counts."""
    counted = np.ones(len(values)) if weight is None else weight.astype(np.float64)
    known = np.isfinite(values)
    times = counted @ known
    mean = np.divide(counted @ np.where(known, values, 0.0), times, out=np.zeros(values.shape[1]), where=times > 0)
    # A pair without a common prompt counts as an average one.
    mean[times == 0] = mean[times > 0].mean() if (times > 0).any() else 0.0
    # Sums of float32 differ in their last digits from machine to machine.
    return standardised(np.round(mean, 7).astype(np.float64), models)


def vendor_closeness(
    close: NDArray[np.float64], labs: Sequence[str], lab: str, suspects: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Per model: the mean of the CLOSEST recorded models of a lab that are closest to it, itself left out; -inf where none is."""
    members = np.array([at for at, name in enumerate(labs) if name == lab], dtype=np.intp)
    found = np.full(len(close), -np.inf)
    for model in range(len(close)) if suspects is None else suspects:
        others = members[members != model]
        if len(others):
            found[model] = np.sort(close[others, model])[::-1][:CLOSEST].mean()
    return found


def contrasts(
    close: NDArray[np.float64], labs: Sequence[str], candidates: Sequence[str], suspects: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """[reference, suspect]: how much closer the suspect is to the reference's lab than to the other candidates on average.

    0 where another candidate is as close or closer: whoever does not come first leans to somebody else, or to nobody. A
    reference whose lab was not declared stands for itself. The diagonal is 0. `suspects`: columns to fill (default: all).
    """
    size = len(close)
    names = [name or f"\0{at}" for at, name in enumerate(labs)]
    wanted = range(size) if suspects is None else suspects
    towards = {lab: vendor_closeness(close, names, lab, wanted) for lab in {*candidates, *names} if lab in set(names)}
    found = np.zeros((size, size))
    for lab in set(names):
        rivals = [name for name in candidates if name in towards and name != lab]
        for suspect in wanted:
            others = [towards[name][suspect] for name in rivals if name != names[suspect]]
            if names[suspect] == lab or not others:
                continue
            rows = [at for at in range(size) if names[at] == lab]
            own = float(towards[lab][suspect])
            found[rows, suspect] = max(0.0, own - float(np.mean(others))) if own > max(others) else 0.0
    np.fill_diagonal(found, 0.0)
    return found
