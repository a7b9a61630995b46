"""What other ways to a p-value would have said of unrelated pairs: per-prompt signed ranks, and a Gaussian tail.

    python -m studies.peers_on_text

Both are put to the pairs that `studies.text_kinship` counts its own false accusations on. Signed ranks take the prompt for
the unit: they ask whether the candidate is closer to the reference than the median unrelated model is, prompt by prompt, and answer
with a p-value that falls without limit as prompts are added, for pairs that have nothing in common but a style.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, wilcoxon

from filiation.measures.text_kinship import Pairs, pairs_of
from filiation.statistics.line_up import Population, stranger_p_values


def signed_rank_p_values(
    together: Pairs, references: NDArray[np.intp], candidates: NDArray[np.intp], related: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """One-sided Wilcoxon p per (reference, candidate); `together` is prompts x pairs of models, NaN where not answered."""
    size = len(related)
    place = np.zeros((size, size), dtype=np.intp)
    first, second = pairs_of(size)
    place[first, second] = place[second, first] = np.arange(len(first))
    found = np.ones(len(references))
    for reference in np.unique(references):
        rows = np.flatnonzero(references == reference)
        free = np.flatnonzero(~related[reference])
        others = together[:, place[reference, free[free != reference]]]
        answered = np.isfinite(others).any(axis=1)
        typical = np.nanmedian(others[answered], axis=1)
        excess = together[answered][:, place[reference, candidates[rows]]] - typical[:, None]
        found[rows] = wilcoxon(excess, axis=0, alternative="greater", method="asymptotic", nan_policy="omit").pvalue
    return found


def gaussian_p_values(where: Population) -> NDArray[np.float64]:
    """What a Gaussian tail over the control lineages' highest scores would give for the pairs of `stranger_p_values`."""
    _, references, candidates = stranger_p_values(where)
    lineages, labs = np.asarray(where.lineages), np.asarray(where.labs)
    found = np.ones(len(references))
    for at, (reference, candidate) in enumerate(zip(references, candidates, strict=True)):
        free = ~where.related[reference] & ~np.isin(labs, [labs[reference], labs[candidate]])
        free &= lineages != lineages[candidate]
        free[reference] = False
        names, which = np.unique(lineages[free], return_inverse=True)
        highest = np.full(len(names), -np.inf)
        np.maximum.at(highest, which, where.scores[reference, free])
        if len(highest) > 2:
            found[at] = norm.sf((where.scores[reference, candidate] - highest.mean()) / highest.std(ddof=1))
    return found


def main() -> None:
    from studies import text_kinship

    values = text_kinship.channels(text_kinship.answers(), tuple(text_kinship.text_kinship.WEIGHTS))
    for size in text_kinship.SIZES:
        for name, row in text_kinship.accusations(values, size).items():
            print(f"{size:4d} prompts, {name:24s} {row}")


if __name__ == "__main__":
    main()
