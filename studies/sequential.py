"""Why a population null forbids e-processes, and that the rank of the path's maximum holds its level.

    python -m studies.sequential

Two simulated worlds, both without any copying:

1.  Each unrelated pair has a rate of agreement of its own, spread around the population's mean by tau. Betting against 'chance at
    most the mean' after every item: how many pairs ever cross e = 20 and e = 1,000.
2.  Line-ups of one reference, one suspect and N control lineages of the same world, looked at after every round, scores weighted by
    rarity in the line-up itself. The suspect's running maximum is ranked among the controls' whole-path maxima; the controls'
    later scores are measured without the suspect, as `filiation probe` must. How often the smallest reachable p is reached, and
    how often p <= .05 and .1 at the best moment to stop.

Writes `studies/results/sequential.json`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.special import betainc, betaln

from filiation.statistics.sequential import planned_looks, standardised

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "studies" / "results" / "sequential.json"
TAU = 0.017
ITEMS = 4000
E_LEVELS = (20.0, 1000.0)


def log_e_paths(agreements: np.ndarray, chance: float) -> np.ndarray:
    """Natural log of the uniform-mixture e-process after every item; `agreements` is pairs x items of 0 and 1.

    E = 1/(1-c) int_c^1 (q/c)^k ((1-q)/(1-c))^(n-k) dq, by the incomplete beta function (k + 1, n - k + 1).
    """
    count = agreements.cumsum(axis=1, dtype=np.float64)
    items = np.arange(1, agreements.shape[1] + 1, dtype=np.float64)[None, :]
    missed = items - count
    inside = 1.0 - betainc(count + 1.0, missed + 1.0, chance)
    with np.errstate(divide="ignore"):
        log_integral = betaln(count + 1.0, missed + 1.0) + np.log(inside)
    return log_integral - count * np.log(chance) - missed * np.log1p(-chance) - np.log1p(-chance)


def e_process_crossings(pairs: int, mean: float, rng: np.random.Generator, *, tau: float = TAU) -> dict[str, float]:
    """Share of unrelated pairs that ever cross each level of E_LEVELS within ITEMS items."""
    rates = np.clip(rng.normal(mean, tau, size=pairs), 0.0, 1.0)
    crossed = dict.fromkeys(E_LEVELS, 0)
    for start in range(0, pairs, 250):
        some = rates[start : start + 250]
        highest = log_e_paths(rng.random((len(some), ITEMS)) < some[:, None], mean).max(axis=1)
        for level in E_LEVELS:
            crossed[level] += int((highest >= np.log(level)).sum())
    return {f"e >= {level:g}": round(count / pairs, 4) for level, count in crossed.items()}


def _scores(answers: np.ndarray) -> np.ndarray:
    """Mean rarity-weighted agreement of every pair; `answers` is models x items, the alternatives numbered.

    An agreement weighs 1 - share of the models present that give that answer: who is present moves every score a little.
    """
    models = len(answers)
    same = answers[:, None, :] == answers[None, :, :]
    rarity = 1.0 - same.sum(axis=1) / models
    return (same * rarity[:, None, :]).mean(axis=2)


def line_ups(
    runs: int, lineages: int, prompts: int, each: int, rng: np.random.Generator, *, spread: float = 0.6
) -> dict[str, float]:
    """How often a stranger's running p reaches a level at *any* look, early stopping taken wherever it helps the accuser.

    Models answer each prompt with one of six alternatives, by a prompt's popularity tilted by the model's own taste (`spread`),
    which makes some unrelated pairs agree more than others whatever the number of prompts.
    """
    looks = planned_looks(prompts, each)
    levels = {"smallest reachable p": 1.0 / (lineages + 1), "p <= 0.05": 0.05, "p <= 0.1": 0.1}
    reached = dict.fromkeys(levels, 0) | {"fixed end, smallest reachable p": 0}
    for _ in range(runs):
        answers = _world(lineages + 2, prompts, spread, rng)
        without = np.delete(answers, 1, axis=0)
        controls_alone = [standardised(_scores(without[:, :look]))[0, 1:] for look in looks]
        together = [standardised(_scores(answers[:, :look]))[0] for look in looks]
        best = 1.0
        for at in range(len(looks)):
            running = max(path[1] for path in together[: at + 1])
            whole = np.maximum.reduce([*(path[2:] for path in together[: at + 1]), *controls_alone[at + 1 :]])
            best = min(best, (1 + int((whole >= running - 1e-9).sum())) / (lineages + 1))
        for name, level in levels.items():
            reached[name] += best <= level + 1e-12
        final = together[-1]
        reached["fixed end, smallest reachable p"] += bool((final[2:] < final[1]).all())
    found = {name: round(count / runs, 4) for name, count in reached.items()}
    return found | {f"promised: {name}": round(level, 4) for name, level in levels.items()}


def _world(models: int, prompts: int, spread: float, rng: np.random.Generator) -> np.ndarray:
    popularity = rng.normal(0.0, 1.0, size=(prompts, 6))
    directions = rng.normal(0.0, 1.0, size=(prompts, 6, 3))
    tastes = rng.normal(0.0, spread, size=(models, 3))
    utility = popularity[None] + np.einsum("pad,md->mpa", directions, tastes)
    chosen: np.ndarray = (utility + rng.gumbel(size=utility.shape)).argmax(axis=2)
    return chosen


def naive_line_ups(runs: int, lineages: int, prompts: int, each: int, rng: np.random.Generator) -> float:
    """What goes wrong otherwise: rank anew at each look and stop at the best. Share that reach the smallest p at some look."""
    looks = planned_looks(prompts, each)
    reached = 0
    for _ in range(runs):
        answers = _world(lineages + 2, prompts, 0.6, rng)
        paths = [standardised(_scores(answers[:, :look]))[0] for look in looks]
        reached += any((path[2:] < path[1]).all() for path in paths)
    return round(reached / runs, 4)


def main() -> None:
    rng = np.random.default_rng(20261121)
    results = {
        "tau": TAU,
        "items": ITEMS,
        "unrelated pairs that ever cross, by mean rate of agreement": {
            str(mean): e_process_crossings(4000, mean, rng) for mean in (0.1, 0.15, 0.2, 0.3)
        },
        "the same with tau 0: the e-process keeps its promise": e_process_crossings(4000, 0.15, rng, tau=0.0),
        "rank of the path's maximum, 19 lineages, 200 prompts, look every 25": line_ups(4000, 19, 200, 25, rng),
        "rank of the path's maximum, 39 lineages, 100 prompts, look every 10": line_ups(2000, 39, 100, 10, rng),
        "ranked anew at every look (not valid), 19 lineages, 200 prompts, look every 25": naive_line_ups(
            2000, 19, 200, 25, rng
        ),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
