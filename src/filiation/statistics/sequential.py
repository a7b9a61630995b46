"""Asking in rounds: what may be said when the number of prompts was not fixed before.

Under a null by population, two models agree more or less for reasons that more prompts do not remove, so no bound on a
single prompt holds and no process built on one is valid. What holds is a rank. Let the looks n_1 < ... < n_L and the order of
the prompts be fixed before; every candidate's statistic is the *maximum of its whole path*, the largest of its L standardised
scores. An unrelated suspect is exchangeable with the control lineages, paths included, so

    p = (1 + number of control lineages whose largest path maximum is at least the suspect's) / (N + 1).

Stopping early. At look t only the suspect's running maximum is known; the controls' paths are whole. The running maximum never
exceeds the path maximum, so the running p is never smaller than the final one, and stopping as soon as it is small enough
decides nothing that the whole path would not have decided. It needs the controls' whole paths: before they are complete
there is one rank, at the end. (Where scores depend on who else is present, for instance by rarity, the controls' later scores are
measured without the suspect, who has no answers there: one model of the population is missing. `studies/sequential.py`
holds that to its level by simulation.)

E-processes (betting) are for nulls by construction or exchangeability, where the chance of each single coincidence is known
given everything before. `e_process` refuses every other null.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from filiation.evidence import Coincidences, Null
from filiation.statistics.e_values import log10_e_value
from filiation.statistics.line_up import Ranked, rank_among_lineages

Scores = NDArray[np.float64]
_MAD_TO_DEVIATION = 1.4826
_SMALLEST_SPREAD = 1e-9


# --------------------------------------------------------------------------------------------------- order and looks


def planned_order(prompt_ids: Sequence[str], seed: int) -> tuple[str, ...]:
    """The prompts in the order that a seed gives. Whether one comes before another never depends on which others there are."""

    def lot(prompt: str) -> bytes:
        return hashlib.sha256(f"{seed}|{prompt}".encode()).digest()

    return tuple(sorted(dict.fromkeys(prompt_ids), key=lambda prompt: (lot(prompt), prompt)))


def planned_looks(prompts: int, each: int) -> tuple[int, ...]:
    """Looks after every `each` prompts and after the last. Raises ValueError where there is nothing to ask."""
    if prompts < 1 or each < 1:
        raise ValueError("a plan needs at least one prompt, and rounds of at least one")
    return (*range(each, prompts, each), prompts)


def parse_looks(looks: str | Sequence[int]) -> tuple[int, ...]:
    """'25,50,100' as numbers of prompts; '' is no look. Raises ValueError unless they are positive and ascending."""
    try:
        numbers = (
            tuple(int(part) for part in looks.split(",") if part.strip()) if isinstance(looks, str) else tuple(looks)
        )
    except ValueError as error:
        raise ValueError(f"looks are numbers of prompts separated by commas, not {looks!r}") from error
    if any(number < 1 for number in numbers) or any(b <= a for a, b in itertools.pairwise(numbers)):
        raise ValueError(f"looks must be positive and ascending, not {looks!r}")
    return numbers


# -------------------------------------------------------------------------------------------------------------- paths


def standardised(scores: Scores) -> Scores:
    """Each row (reference) in units of its own spread: (score - median) / (1.4826 MAD) over its candidates, diagonal left out.

    Ranks within a row stay as they are; the suspect enters median and MAD as every control does. Where more than half of a
    row is equal, the mean absolute deviation takes the place of the MAD; a constant row becomes 0. Shape n x n, as given.
    """
    values = np.array(scores, dtype=np.float64, copy=True)
    size = len(values)
    if values.shape != (size, size):
        raise ValueError(f"scores of shape {values.shape} are no line-up")
    for row in range(size):
        others = np.delete(values[row], row)
        if not others.size:
            continue
        middle = float(np.median(others))
        distances = np.abs(others - middle)
        spread, mean = _MAD_TO_DEVIATION * float(np.median(distances)), float(distances.mean())
        if spread <= _SMALLEST_SPREAD * mean:
            spread = mean
        values[row] = (values[row] - middle) / spread if spread > 0.0 else 0.0
    np.fill_diagonal(values, 0.0)
    return values


def path_maximum(scores: Sequence[Scores]) -> Scores:
    """The entrywise maximum over looks of standardised score matrices. Raises ValueError for none."""
    if not scores:
        raise ValueError("a path needs at least one look")
    maximum: Scores = np.maximum.reduce([standardised(look) for look in scores])
    return maximum


def over_looks(
    prompt_ids: Sequence[str], looks: str | Sequence[int], seed: int, score: Callable[[tuple[str, ...]], Scores]
) -> Scores:
    """The path statistic of a line-up: `score(ids)` gives the matrix measured on those prompts alone.

    Without looks, `score` of all prompts, untouched. Looks beyond the prompts there are are cut to all of them.
    """
    order = planned_order(prompt_ids, seed)
    numbers = parse_looks(looks)
    if not numbers:
        return score(tuple(prompt_ids))
    present = sorted({min(number, len(order)) for number in numbers})
    return path_maximum([score(order[:number]) for number in present])


def running_rank(suspect: Sequence[float], controls: Mapping[str, Sequence[Sequence[float]]]) -> Ranked:
    """The suspect's running maximum among the control lineages' whole-path maxima.

    `suspect`: standardised scores at the looks taken so far. `controls`: per lineage, the whole path of each of its models.
    Raises ValueError where there is nothing to rank, or where a control's path is shorter than the suspect's.
    """
    if not suspect:
        raise ValueError("a rank needs at least one look")
    if any(len(path) < len(suspect) for paths in controls.values() for path in paths):
        raise ValueError("a running rank needs the controls' whole paths")
    whole = {lineage: [max(path) for path in paths] for lineage, paths in controls.items()}
    return rank_among_lineages(max(suspect), whole)


# --------------------------------------------------------------------------------------------------------- e-processes

BETTING = (Null.CONSTRUCTION, Null.EXCHANGEABILITY)


def e_process(null: Null, looks: Sequence[Coincidences]) -> tuple[float, ...]:
    """log10 of the e-process at each look, from the coincidences counted up to there.

    The e-value of `e_values.log10_e_value` for one chance is a mixture of likelihood ratios, each of which is a supermartingale
    when every coincidence has at most the stated chance given everything before; so it may be looked at after every opportunity
    and stopped at will (Ville 1939; Ramdas et al. 2023, 'Game-theoretic statistics and safe anytime-valid inference').

    Raises ValueError for any other null: for pairs of models whose true rates differ by tau = .017, which is what unrelated
    models do, 15 % of unrelated pairs cross e = 20 and 6 % cross 1,000 within 4,000 items (`studies/sequential.py`). Also for
    looks that do not continue one another.
    """
    if null not in BETTING:
        raise ValueError(
            f"no e-process under a null {null.value!r}: with rates of unrelated pairs spread by tau = .017, 15 % of them cross "
            "e = 20 within 4,000 items; rank the maximum of the path instead"
        )
    if any(look.chance is None or look.clusters for look in looks):
        raise ValueError("an e-process here needs one chance, the same for every opportunity")
    for before, after in itertools.pairwise(looks):
        continued = after.opportunities >= before.opportunities and after.count >= before.count
        if not continued or after.chance != before.chance:
            raise ValueError("each look must continue the one before")
    return tuple(log10_e_value(look) for look in looks)
