"""Are two sets of recorded answers from one model, up to a distance of at most epsilon per answer?

The null: given everything recorded before, each answer of the second side has a distribution that is at most epsilon away, in total
variation, from the reference's for that prompt. Exact equality is never true of two runtimes; epsilon is what they are allowed.

**Telling apart** (used by the examiner `service`). Answers come in pairs (x, y) to one prompt, x from the reference, y from the
other side. A rule learned from the pairs *before* says which of the two looks more like the other side. With equal distributions
x and y are exchangeable given the past, so it points to y with chance 1/2, ties broken by a coin. Let a(x, y) in [-1/2, 1/2] be
the antisymmetric excess over 1/2, P the reference's law, Q the other's:

    E a = integral of A dQ with A(y) = E_P a(x, y), and integral of A dP = 0 by antisymmetry, so
    E a = integral of A d(Q - P) <= epsilon (sup A - inf A) <= epsilon.

Each pair is therefore told apart with chance at most 1/2 + epsilon given everything before, which is the sentence whose exact
binomial tail `coincidences.log10_upper_tail` gives. The rule may be anything, so long as it has not seen the pair. (Lopez-Paz
and Oquab 2017, 'Revisiting classifier two-sample tests'; Kim, Ramdas, Singh and Wasserman 2021, 'Classification accuracy as a
proxy for two-sample testing'; the bound for epsilon > 0 is the two lines above.)

**Permutation, robust by coupling** (kept for comparison: `studies/service.py` prints its power beside the other's). Under the null
each answer of the other side can be drawn together with one from the reference's law so that the two differ with chance at most
epsilon given everything before; the number R of answers that differ is stochastically at most Bin(n, epsilon). Put back the
undisturbed answers: then all labels within a prompt are exchangeable and the permutation p-value is valid. Nobody knows which to
put back, but each moves the statistic, observed or permuted, by at most its influence c. So with r such that P(Bin(n, epsilon) > r)
<= spared,

    p = spared + (1 + number of B permutations with T >= T_observed - 2 r c) / (B + 1)

is valid: outside an event of chance `spared` it is no smaller than the permutation p-value of the undisturbed answers plus
`spared`. The allowance 2 r c grows with n as the statistic does, which costs nearly all power when epsilon is not small.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

Features = frozenset[Hashable]
SPARED = 1e-4
_BLOCK = 500


def chance_of_telling_apart(distance: float) -> float:
    """1/2 + epsilon: the most that any rule may be right about one pair. Raises ValueError outside [0, 1/2)."""
    if not 0.0 <= distance < 0.5:
        raise ValueError(f"a distance that can be tested lies in [0, 0.5), not {distance}")
    return 0.5 + distance


def told_apart(pairs: Sequence[tuple[Features, Features]], coins: Sequence[int]) -> tuple[int, ...]:
    """1 for each pair (x, y) in which the rule points to y as the other side's answer, 0 otherwise.

    The rule: log-odds of the features seen in earlier pairs, each side counted by the answers that have the feature, with
    half an answer added (naive Bayes). The pair is taken in only after it was judged. `coins` (0 or 1) decide ties.
    Raises ValueError where there are not as many coins as pairs.
    """
    if len(coins) != len(pairs):
        raise ValueError(f"{len(coins)} coins for {len(pairs)} pairs")
    seen_x: Counter[Hashable] = Counter()
    seen_y: Counter[Hashable] = Counter()
    found = []
    for (x, y), coin in zip(pairs, coins, strict=True):
        # Features of both answers say nothing; the sum runs in a fixed order, so that equal records have equal bytes.
        towards_x = math.fsum(_log_odds(seen_x, seen_y, feature) for feature in x - y)
        towards_y = math.fsum(_log_odds(seen_x, seen_y, feature) for feature in y - x)
        tie = math.isclose(towards_x, towards_y, rel_tol=1e-12, abs_tol=1e-12)
        found.append(coin if tie else int(towards_y > towards_x))
        seen_x.update(x)
        seen_y.update(y)
    return tuple(found)


def _log_odds(seen_x: Counter[Hashable], seen_y: Counter[Hashable], feature: Hashable) -> float:
    return math.log((seen_y[feature] + 0.5) / (seen_x[feature] + 0.5))


def coins(names: Sequence[str], seed: int) -> tuple[int, ...]:
    """One fair coin per name, from a seed: a bit of SHA-256, so that the same record always has the same coins."""
    return tuple(hashlib.sha256(f"coin|{seed}|{name}".encode()).digest()[0] & 1 for name in names)


# ---------------------------------------------------------------------------------------------------------- permutation


def agreement_gap(agreements: NDArray[np.float64], labels: NDArray[np.int8]) -> NDArray[np.float64]:
    """Mean agreement within the two sides minus that across, for each labelling.

    `agreements`: 2m x 2m, symmetric, in [0, 1], the diagonal not read. `labels`: B x 2m of 1 and -1, m of each. Length B.
    """
    each = agreements.shape[0] // 2
    inner = np.array(agreements, dtype=np.float64, copy=True)
    np.fill_diagonal(inner, 0.0)
    total = inner.sum() / 2.0
    signs = labels.astype(np.float64)
    within_minus_across = np.einsum("bi,ij,bj->b", signs, inner, signs) / 2.0
    within, across = (total + within_minus_across) / 2.0, (total - within_minus_across) / 2.0
    gap: NDArray[np.float64] = within / (each * (each - 1)) - across / each**2
    return gap


def permutation_p_value(
    strata: Sequence[NDArray[np.float64]],
    distance: float,
    rng: np.random.Generator,
    *,
    permutations: int = 1999,
    spared: float = SPARED,
) -> float:
    """p of the stratified permutation test on `agreement_gap`, valid under a distance of at most `distance` per answer.

    One 2m x 2m matrix of agreements in [0, 1] per prompt, the reference's m answers first, m >= 2. Raises ValueError for none.
    """
    if not strata or any(len(stratum) % 2 or len(stratum) < 4 for stratum in strata):
        raise ValueError("each prompt needs at least two answers of each side, as many of one as of the other")
    if not 0.0 <= distance < 1.0:
        raise ValueError(f"a distance lies in [0, 1), not {distance}")
    observed, permuted = 0.0, np.zeros(permutations)
    answers = 0
    largest_influence = 0.0
    for stratum in strata:
        each = len(stratum) // 2
        answers += each
        # One answer stands in a share 1/m of the pairs within (half of 2/m) and in a share 1/m of those across.
        largest_influence = max(largest_influence, 2.0 / each)
        own = np.array([1] * each + [-1] * each, dtype=np.int8)
        observed += float(agreement_gap(stratum, own[None, :])[0])
        for start in range(0, permutations, _BLOCK):
            rows = min(_BLOCK, permutations - start)
            permuted[start : start + rows] += agreement_gap(stratum, rng.permuted(np.tile(own, (rows, 1)), axis=1))
    replaced = int(binom.isf(spared, answers, distance)) if distance else 0
    allowance = 2.0 * replaced * largest_influence
    as_large = int((permuted >= observed - allowance - 1e-9).sum())
    return min(1.0, (spared if distance else 0.0) + (1 + as_large) / (permutations + 1))
