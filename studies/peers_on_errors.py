"""What other statistics of agreement would have said of the same pairs of models, each from its paper, in our own words.

All of them take the *item* as the unit: given some model of how a person, or a model, answers an item, answers of two of them are
independent from item to item. They were made for copying between examinees; on language models the last column of
the table in `studies.shared_errors` shows what becomes of their chances.

- omega (Wollack 1997): how often the suspect gives the reference's answer, minus the sum of its chances, over the root of
  the sum of their variances; normal tail. Chances from a nominal response model: here a right answer by ability and
  difficulty, a wrong one by its popularity among the other models that erred.
- GBT (van der Linden and Sotaridona 2006): the number of equal answers against the exact Poisson-binomial, each chance the sum
  over answers of the product of both models' chances, under the same response model.
- omega and GBT over the items that both got wrong: the same with nothing but the popularity of wrong answers, which spares
  them the response model of right answers (one ability per model, one difficulty per item).
- uniform distractors, after the K-index (Holland 1996; Lewis and Thayer 1998): shared wrong answers against a binomial whose
  wrong options are equally attractive.
- CAPA (Goel et al. 2025): agreement beyond what accuracies alone give, with wrong answers uniform over the options; it is a
  score without a null, so its normal tail over items is taken here.
- per-prompt signed ranks (Wilcoxon 1945): item by item, does the suspect agree with the reference more than the other
  models do on average?
- exact multiset, item by item: our own per-item chance, taken as independent from item to item.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binom, norm, wilcoxon

from filiation.measures.shared_errors import NOT_ANSWERED, RIGHT, WRONG

SMALLEST_LOG10_P = -300.0
NEWTON_STEPS = 30
PRIORS = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Items:
    """Answers as codes, models x items; `distractors`: wrong options per item (for free-form: distinct wrong answers seen).

    `kinds`: wrong answers there may be (for free-form: one that was not seen besides).
    """

    codes: NDArray[np.int64]
    distractors: NDArray[np.float64]
    kinds: NDArray[np.float64]


def items_of(codes: NDArray[np.int64], options: NDArray[np.int64]) -> Items:
    """`options`: per item, 0 for free-form answers."""
    distinct = np.array([len(set(column[column >= WRONG].tolist())) for column in codes.T], dtype=np.float64)
    seen = np.maximum(np.where(options > 0, options - 1.0, distinct), 1.0)
    return Items(codes, seen, np.where(options > 0, seen, distinct + 1.0))


@dataclass(frozen=True)
class Responses:
    """The response model: chance of a right answer, models x items, and how many models gave each model's answer.

    `prior`: how many models' weight the uniform distribution over wrong answers has beside the answers seen.
    """

    right: NDArray[np.float64]
    givers: NDArray[np.float64]
    erred: NDArray[np.float64]
    prior: float


def responses(items: Items) -> Responses:
    """Ability and difficulty by penalised Newton steps in turn (a standard normal prior keeps perfect rows finite)."""
    codes = items.codes
    stated, right = codes != NOT_ANSWERED, codes == RIGHT
    ability, difficulty = np.zeros(len(codes)), np.zeros(codes.shape[1])
    for _ in range(NEWTON_STEPS):
        for axis in (1, 0):
            chance = expit(ability[:, None] - difficulty[None, :])
            gradient = np.where(stated, right - chance, 0.0).sum(axis=axis)
            curvature = np.where(stated, chance * (1 - chance), 0.0).sum(axis=axis) + 1.0
            if axis == 1:
                ability = ability + (gradient - ability) / curvature
            else:
                difficulty = difficulty - (gradient + difficulty) / curvature
    wrong = codes >= WRONG
    givers = np.zeros(codes.shape)
    for row in codes:
        givers += (codes == row) & wrong
    erred = wrong.sum(axis=0).astype(np.float64)
    return Responses(expit(ability[:, None] - difficulty[None, :]), givers, erred, _prior(items, givers, erred))


def _prior(items: Items, givers: NDArray[np.float64], erred: NDArray[np.float64]) -> float:
    """The prior under which the other models' wrong answers foretell each model's best (leave-one-out likelihood)."""
    wrong = items.codes >= WRONG

    def likelihood(prior: float) -> float:
        chance = (givers - 1 + prior / items.kinds) / np.maximum(erred - 1 + prior, 1e-9)
        return float(np.log(np.where(wrong, np.maximum(chance, 1e-12), 1.0)).sum())

    return max(PRIORS, key=likelihood)


def _popularity(model: Responses, items: Items, reference: int, suspect: int) -> NDArray[np.float64]:
    """Chance, among wrong answers, of the one that the reference gave: its share among all other models than the suspect.

    The reference stays in: that it gave this answer is evidence of how popular the answer is (left out, the chance is too small).
    """
    wrong = items.codes >= WRONG
    givers = model.givers[reference] - (wrong[suspect] & (items.codes[suspect] == items.codes[reference]))
    erred = model.erred - wrong[suspect]
    popularity: NDArray[np.float64] = (givers + model.prior / items.kinds) / (np.maximum(erred, 0.0) + model.prior)
    return popularity


def poisson_binomial_log10_tail(count: int, chances: NDArray[np.float64]) -> float:
    """log10 P(K >= count), by adding one opportunity after another."""
    if count <= 0:
        return 0.0
    masses = np.zeros(len(chances) + 1)
    masses[0] = 1.0
    for at, chance in enumerate(chances):
        masses[1 : at + 2] = masses[1 : at + 2] * (1 - chance) + masses[: at + 1] * chance
        masses[0] *= 1 - chance
    tail = float(masses[count:].sum())
    return max(SMALLEST_LOG10_P, math.log10(tail)) if tail > 0 else SMALLEST_LOG10_P


def _normal(z: float) -> float:
    return max(SMALLEST_LOG10_P, float(norm.logsf(z)) / math.log(10))


def omega(items: Items, model: Responses, reference: int, suspect: int) -> tuple[float, float]:
    """(score, log10 p); so are all of the following."""
    codes = items.codes
    both = (codes[reference] != NOT_ANSWERED) & (codes[suspect] != NOT_ANSWERED)
    right = model.right[suspect]
    chance = np.where(
        codes[reference] == RIGHT,
        right,
        (1 - right) * _popularity(model, items, reference, suspect),
    )[both]
    seen = (codes[reference] == codes[suspect])[both].sum()
    z = (seen - chance.sum()) / math.sqrt(max(float((chance * (1 - chance)).sum()), 1e-9))
    return float(z), _normal(float(z))


def _equal_errors(items: Items, model: Responses, reference: int, suspect: int) -> NDArray[np.float64]:
    """Per item, the chance that two wrong answers are one, given the other models' (two draws of a Dirichlet-multinomial).

    The square of estimated popularities in its place is too small, the more so the fewer the models.
    """
    codes = items.codes
    wrong = codes >= WRONG
    squares, erred = model.givers.sum(axis=0), model.erred - wrong[reference] - wrong[suspect]
    # Sum of n_a^2 without the two: taking one giver away from n leaves 2 n - 1 less.
    squares = squares - np.where(wrong[reference], 2 * model.givers[reference] - 1, 0.0)
    left = model.givers[suspect] - (wrong[reference] & (codes[reference] == codes[suspect]))
    squares = squares - np.where(wrong[suspect], 2 * left - 1, 0.0)
    each, total = model.prior / items.kinds, erred + model.prior
    chance: NDArray[np.float64] = (squares + 2 * each * erred + items.kinds * each**2 + total) / (total * (total + 1))
    return chance


def generalized_binomial(items: Items, model: Responses, reference: int, suspect: int) -> tuple[float, float]:
    codes = items.codes
    both = (codes[reference] != NOT_ANSWERED) & (codes[suspect] != NOT_ANSWERED)
    first, second = model.right[reference], model.right[suspect]
    squares = _equal_errors(items, model, reference, suspect)
    chance = np.clip(first * second + (1 - first) * (1 - second) * squares, 1e-9, 1 - 1e-9)[both]
    seen = int((codes[reference] == codes[suspect])[both].sum())
    z = (seen - chance.sum()) / math.sqrt(float((chance * (1 - chance)).sum()))
    return float(z), poisson_binomial_log10_tail(seen, chance)


def omega_on_errors(items: Items, model: Responses, reference: int, suspect: int) -> tuple[float, float]:
    both = (items.codes[reference] >= WRONG) & (items.codes[suspect] >= WRONG)
    chance = np.clip(_popularity(model, items, reference, suspect), 1e-9, 1 - 1e-9)[both]
    seen = (items.codes[reference] == items.codes[suspect])[both].sum()
    z = float((seen - chance.sum()) / math.sqrt(max(float((chance * (1 - chance)).sum()), 1e-9)))
    return z, _normal(z)


def generalized_binomial_on_errors(items: Items, model: Responses, reference: int, suspect: int) -> tuple[float, float]:
    both = (items.codes[reference] >= WRONG) & (items.codes[suspect] >= WRONG)
    chance = np.clip(_equal_errors(items, model, reference, suspect), 1e-9, 1 - 1e-9)[both]
    seen = int((items.codes[reference] == items.codes[suspect])[both].sum())
    z = (seen - chance.sum()) / math.sqrt(max(float((chance * (1 - chance)).sum()), 1e-9))
    return float(z), poisson_binomial_log10_tail(seen, chance)


def uniform_distractors(items: Items, model: Responses, reference: int, suspect: int) -> tuple[float, float]:
    codes = items.codes
    both = (codes[reference] >= WRONG) & (codes[suspect] >= WRONG)
    seen = int((codes[reference] == codes[suspect])[both].sum())
    chance = np.clip(1.0 / items.distractors[both], 1e-9, 1 - 1e-9)
    z = (seen - chance.sum()) / math.sqrt(max(float((chance * (1 - chance)).sum()), 1e-9))
    tail = float(binom.logsf(seen - 1, len(chance), chance.mean())) / math.log(10) if seen else 0.0
    return float(z), max(SMALLEST_LOG10_P, tail)


def capa(items: Items, model: Responses, reference: int, suspect: int) -> tuple[float, float]:
    codes = items.codes
    both = (codes[reference] != NOT_ANSWERED) & (codes[suspect] != NOT_ANSWERED)
    accuracies = [float((codes[at][both] == RIGHT).mean()) for at in (reference, suspect)]
    by_chance = accuracies[0] * accuracies[1] + (1 - accuracies[0]) * (1 - accuracies[1]) / items.distractors[both]
    agree = (codes[reference] == codes[suspect])[both]
    expected = float(by_chance.mean())
    kappa = (float(agree.mean()) - expected) / (1 - expected)
    error = float(agree.std()) / math.sqrt(len(agree)) / (1 - expected)
    return kappa, _normal(kappa / max(error, 1e-9))


def signed_ranks(items: Items, model: Responses, reference: int, suspect: int) -> tuple[float, float]:
    codes = items.codes
    both = (codes[reference] != NOT_ANSWERED) & (codes[suspect] != NOT_ANSWERED)
    others = [at for at in range(len(codes)) if at not in (reference, suspect)]
    stated = codes[others] != NOT_ANSWERED
    usual = ((codes[others] == codes[reference]) & stated).sum(axis=0) / np.maximum(stated.sum(axis=0), 1)
    differences = ((codes[suspect] == codes[reference]) - usual)[both]
    found = wilcoxon(differences, alternative="greater", method="approx")
    return float(found.zstatistic), _normal(float(found.zstatistic))


def exact_multiset(items: Items, model: Responses, reference: int, suspect: int) -> tuple[float, float]:
    codes = items.codes
    wrong = codes >= WRONG
    pairs = np.maximum(model.erred * (model.erred - 1), 1.0)
    chance = np.where(wrong, model.givers - 1, 0.0).sum(axis=0) / pairs
    both = wrong[reference] & wrong[suspect] & (chance > 1e-12) & (chance < 1 - 1e-12)
    seen = int((codes[reference] == codes[suspect])[both].sum())
    chance = chance[both]
    z = (seen - chance.sum()) / math.sqrt(max(float((chance * (1 - chance)).sum()), 1e-9))
    return float(z), poisson_binomial_log10_tail(seen, chance)


Peer = Callable[[Items, Responses, int, int], tuple[float, float]]

PEERS: dict[str, Peer] = {
    "omega (Wollack)": omega,
    "GBT (van der Linden, Sotaridona)": generalized_binomial,
    "omega, items that both got wrong": omega_on_errors,
    "GBT, items that both got wrong": generalized_binomial_on_errors,
    "K-index-like, uniform distractors": uniform_distractors,
    "CAPA (Goel et al.), normal tail over items": capa,
    "per-prompt signed ranks (Wilcoxon)": signed_ranks,
    "exact multiset, item by item": exact_multiset,
}


def independent_answers(rng: np.random.Generator, models: int, items: int, options: int = 10) -> Items:
    """Simulated strangers for whom all that omega and GBT assume is true: one ability per model, one difficulty and one
    distribution of wrong answers per item, and nothing else."""
    chance = expit(rng.normal(0.0, 1.0, models)[:, None] - rng.normal(0.3, 1.2, items)[None, :])
    cumulated = rng.dirichlet(np.full(options - 1, 0.5), size=items).cumsum(axis=1)
    chosen = (rng.random((models, items, 1)) > cumulated[None]).sum(axis=2).clip(0, options - 2)
    codes = np.where(rng.random((models, items)) < chance, RIGHT, WRONG + chosen)
    return items_of(codes.astype(np.int64), np.full(items, options))


def judged_by(name: str, items: Items) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(score, log10 p) of every ordered pair [reference, suspect], by one peer."""
    model = responses(items)
    size = len(items.codes)
    scores, tails = np.zeros((size, size)), np.zeros((size, size))
    symmetric = not name.startswith(("omega", "per-prompt"))
    for reference in range(size):
        for suspect in range(size):
            if reference == suspect or (symmetric and suspect < reference):
                continue
            found = PEERS[name](items, model, reference, suspect)
            scores[reference, suspect], tails[reference, suspect] = found
            if symmetric:
                scores[suspect, reference], tails[suspect, reference] = found
    return scores, tails
