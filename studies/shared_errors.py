"""Calibrate the examiner of shared errors on recorded answers to benchmarks, and make its control packs.

    python -m studies.shared_errors            print every figure
    python -m studies.shared_errors --write    ... and write packs, register entry and results
    python -m studies.shared_errors --check    exit with 1 where a figure falls short of issue 3

    1. Read MMLU-Pro (16 models) and ZeroEval's CRUX, MATH level 5 and GSM8K (25 to 32 models) as codes.
    2. Relations: those listed beside the data; models of one lab, or of one family across labs, count as neither related nor strangers.
       All others are strangers.
    3. AUC of every listed relation against strangers, for the shipped measure, by number of items, and for what else was tried.
    4. False accusations of strangers with both labs held out, and what other statistics say of the same pairs (peers_on_errors).
    5. Every Claude against every Qwen, with Holm's correction; and known relatives by the same test.

No constant is fitted to the truth: effects are medians over all pairs. But the variants under 'tried' were looked at on these cases
before one was kept, so AUC is also given with the variant chosen anew for every lineage on the other lineages' pairs. Lineages
and labs below are public knowledge, not verified against weights. The data stays where it is (see studies/recorded_data.py).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from filiation.evidence import Null, RelationPower, round_against_accuser
from filiation.examiners import shared_errors as examiner
from filiation.measures import shared_errors as measure
from filiation.measures.shared_errors import NOT_ANSWERED, RIGHT, WRONG, Codes, Matrix
from filiation.sources.packs import CARD, Card, PackModel
from filiation.sources.transcripts import prompt_id
from filiation.statistics.line_up import (
    Population,
    held_out_calibration,
    rank_among_lineages,
    smallest_level_that_holds,
    stranger_p_values,
)
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from studies import peers_on_errors as peers
from studies.recorded_data import DATA

ROOT = Path(__file__).parent.parent
PACKS = ROOT / "src" / "filiation" / "packs"
REGISTER = ROOT / "src" / "filiation" / "calibration" / "shared_errors.json"
RESULTS = ROOT / "studies" / "results" / "shared_errors.json"
DATE = "2026-11-21"
SEED = 11
LEVELS = (0.05, 0.01, 0.001)
DETECTION_P = 0.05
RESAMPLES = 2000
DRAWS = 20

BENCHMARKS = {"crux": "crux", "math_l5": "math-l5", "gsm": "gsm", "mmlu_pro": "mmlu-pro"}
"""Folder of the pack, and how its items begin ('crux:crux-test-#0', 'mmlu-pro:70')."""

TITLES = {"crux": "CRUX", "math_l5": "MATH level 5", "gsm": "GSM8K", "mmlu_pro": "MMLU-Pro"}

ASKED = {("crux", "same model"): 1.0, ("crux", "version"): 0.99, ("mmlu_pro", "fine-tune"): 0.98}
"""AUC that issue 3 asks for."""

# ------------------------------------------------------------------------------------------------------ who made which

# Part of a name, lab, lineage: the first that fits. A lineage is one training from scratch, or trainings not known to be
# independent of each other (a size is a training of its own; a point release of one size is not).
MODELS = (
    ("Athene-70B", "Nexusflow", "Llama-3-70B"),
    ("Llama-3.1-405B", "Meta", "Llama-3.1-405B"),
    ("Llama-3.1-70B", "Meta", "Llama-3-70B"),
    ("Llama-3_1-70B", "Meta", "Llama-3-70B"),
    ("Llama-3-70B", "Meta", "Llama-3-70B"),
    ("Llama-3.1-8B", "Meta", "Llama-3-8B"),
    ("Llama-3_1-8B", "Meta", "Llama-3-8B"),
    ("Llama-3-8B", "Meta", "Llama-3-8B"),
    ("Llama-2-70b", "Meta", "Llama-2-70B"),
    ("Llama-2-13b", "Meta", "Llama-2-13B"),
    ("Llama-2-7b", "Meta", "Llama-2-7B"),
    ("gpt-3.5", "OpenAI", "GPT-3.5"),
    ("gpt-4-turbo", "OpenAI", "GPT-4-turbo"),
    ("gpt-4-0314", "OpenAI", "GPT-4"),
    ("gpt-4o-mini", "OpenAI", "GPT-4o-mini"),
    ("gpt-4o", "OpenAI", "GPT-4o"),
    ("chatgpt-4o", "OpenAI", "GPT-4o"),
    ("o1-", "OpenAI", "o1"),
    ("claude-3-5-sonnet", "Anthropic", "Claude-3.5-Sonnet"),
    ("claude-3-5-haiku", "Anthropic", "Claude-3.5-Haiku"),
    ("claude-3-opus", "Anthropic", "Claude-3-Opus"),
    ("claude-3-sonnet", "Anthropic", "Claude-3-Sonnet"),
    ("claude-3-haiku", "Anthropic", "Claude-3-Haiku"),
    ("Qwen2.5-3B", "Qwen", "Qwen2.5-3B"),
    ("Qwen2.5-7B", "Qwen", "Qwen2.5-7B"),
    ("Qwen2.5-32B", "Qwen", "Qwen2.5-32B"),
    ("Qwen2.5-72B", "Qwen", "Qwen2.5-72B"),
    ("Qwen2-7B", "Qwen", "Qwen2-7B"),
    ("Qwen2-72B", "Qwen", "Qwen2-72B"),
    ("Qwen1.5-7B", "Qwen", "Qwen1.5-7B"),
    ("Qwen1.5-72B", "Qwen", "Qwen1.5-72B"),
    ("Qwen1.5-110B", "Qwen", "Qwen1.5-110B"),
    ("Phi-3", "Microsoft", "Phi-3-mini"),
    ("grok-2", "xAI", "Grok-2"),
    ("command-r-plus", "Cohere", "Command-R-plus"),
    ("command-r", "Cohere", "Command-R"),
    ("gemma-2-27b", "Google", "Gemma-2-27B"),
    ("gemma-7b", "Google", "Gemma-7B"),
    ("DeepSeek-Coder-V2", "DeepSeek", "DeepSeek-V2"),
)
FAMILIES = (frozenset({"Meta", "Nexusflow"}),)
"""Labs whose models here are of one family."""

RELATIONS = {
    "continued_or_related_base": "continued or related base",
    "version": "version",
    "finetune": "fine-tune",
    "same": "same model",
}
"""The file's names of relations, and ours; a pair listed under two has the last."""

LISTED = tuple(RELATIONS.values())
UNKNOWN = "same lab or family"


def maker(model: str) -> tuple[str, str]:
    """(lab, lineage) of a model, from its name."""
    for part, lab, lineage in MODELS:
        if part in model:
            return lab, lineage
    raise KeyError(f"no lab is known for {model}")


# ------------------------------------------------------------------------------------------------------------ the data


@dataclass(frozen=True)
class Recorded:
    """One benchmark: codes of models x items; `relation[i, j]`: a value of RELATIONS, UNKNOWN, or '' for strangers."""

    name: str
    models: tuple[str, ...]
    items: tuple[str, ...]
    codes: Codes
    options: NDArray[np.int64]
    relation: NDArray[np.object_]

    @property
    def choices(self) -> bool:
        return bool(self.options.any())

    @cached_property
    def labs(self) -> list[str]:
        return [maker(model)[0] for model in self.models]

    @cached_property
    def lineages(self) -> list[str]:
        return [maker(model)[1] for model in self.models]

    def population(self, scores: Matrix) -> Population:
        return Population(scores=scores, lineages=self.lineages, labs=self.labs, related=self.relation != "")


def present() -> bool:
    """Whether the recorded data is here."""
    return (DATA / "zeroeval_answers.parquet").is_file() and (DATA / "mmlu_pro_choices.parquet").is_file()


@cache
def load(benchmark: str) -> Recorded:
    """Read one benchmark as the examiner would read its transcripts."""
    frame = table(benchmark)
    models = tuple(sorted(frame["model"].unique()))
    items = tuple(sorted(frame["item"].unique()))
    options = np.zeros(len(items), dtype=np.int64)
    codes = np.full((len(models), len(items)), NOT_ANSWERED, dtype=np.int64)
    row = {name: at for at, name in enumerate(models)}
    column = {name: at for at, name in enumerate(items)}
    ids = {item: prompt_id(item) for item in items}
    for model, item, answer, gold, number in frame.select("model", "item", "answer", "gold", "options").iter_rows():
        options[column[item]] = number or 0
        if gold:
            codes[row[model], column[item]] = (
                measure.choice_code(answer, gold, number) if number else measure.free_form_code(answer, gold, ids[item])
            )
    return Recorded(benchmark, models, items, codes, options, _relations(models, benchmark))


def table(benchmark: str) -> pl.DataFrame:
    """Columns model, item, answer, gold, options (null for free-form), as `transcripts import` would write them."""
    begins = BENCHMARKS[benchmark]
    if benchmark == "mmlu_pro":
        chosen = pl.read_parquet(DATA / "mmlu_pro_choices.parquet")
        items = pl.read_parquet(DATA / "mmlu_pro_items.parquet")
        stated = pl.when(pl.col("chosen") >= 0).then(pl.col("chosen").cast(pl.String))
        return chosen.join(items, on="question_id").select(
            "model",
            pl.format(f"{begins}:{{}}", "question_id").alias("item"),
            stated.alias("answer"),
            pl.col("answer").cast(pl.String).alias("gold"),
            pl.col("options").cast(pl.Int32),
        )
    answers = pl.read_parquet(DATA / "zeroeval_answers.parquet").filter(pl.col("task") == begins)
    return answers.select(
        "model",
        pl.format(f"{begins}:{{}}", "item_id").alias("item"),
        "answer",
        "gold",
        pl.lit(None, dtype=pl.Int32).alias("options"),
    )


def _relations(models: Sequence[str], benchmark: str) -> NDArray[np.object_]:
    listed = json.loads((DATA / "benchmarks_lineage.json").read_text())
    groups = listed["mmlu_pro" if benchmark == "mmlu_pro" else "zeroeval"]
    found = np.full((len(models), len(models)), "", dtype=object)
    for (i, one), (j, other) in itertools.product(enumerate(models), repeat=2):
        labs = frozenset({maker(one)[0], maker(other)[0]})
        if len(labs) == 1 or labs in FAMILIES:
            found[i, j] = UNKNOWN
    place = {model: at for at, model in enumerate(models)}
    for kind, name in RELATIONS.items():
        for group in groups.get(kind, []):
            for one, other in itertools.combinations([place[model] for model in group if model in place], 2):
                found[one, other] = found[other, one] = name
    return found


# --------------------------------------------------------------------------------------------------------------- packs


def make_packs() -> None:
    """Write the control packs: codes of answers, and the cards that say whose they are."""
    for benchmark in BENCHMARKS:
        recorded = load(benchmark)
        folder = PACKS / benchmark
        content = measure.pack_bytes(measure.Packed(recorded.codes, recorded.options))
        origin = (
            "evaluation results published with the MMLU-Pro repository (TIGER-AI-Lab/MMLU-Pro)"
            if recorded.choices
            else "result files of the public ZeroEval repository (WildEval/ZeroEval)"
        )
        upper = zip(*np.triu_indices(len(recorded.models), 1), strict=True)
        card = Card(
            name=benchmark,
            version="1",
            kind="answers",
            purpose=f"{len(recorded.models)} public models as controls for errors on {len(recorded.items)} items of "
            f"{TITLES[benchmark]}; items are named '{recorded.items[0]}'",
            source=f"{origin}; labs, lineages and relations from names and general knowledge, not verified against weights",
            licence="Facts: per model and item whether an answer was stated, right or wrong, and a wrong answer as the position of an "
            "option or as 32 bits of a salted hash. No text, no right answer. A short answer can be found again by trying.",
            made_by="studies/shared_errors.py",
            feature_version=measure.VERSION,
            models=tuple(
                PackModel(name=name, lineage=lineage, lab=lab)
                for name, lineage, lab in zip(recorded.models, recorded.lineages, recorded.labs, strict=True)
            ),
            related=tuple((int(i), int(j), str(recorded.relation[i, j])) for i, j in upper if recorded.relation[i, j]),
            prompts=tuple(prompt_id(item) for item in recorded.items),
            data="answers.npz",
            data_sha256=hashlib.sha256(content).hexdigest(),
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / card.data).write_bytes(content)
        (folder / CARD).write_bytes(msgspec.json.encode(card) + b"\n")


# -------------------------------------------------------------------------------------------------- what else was tried

Rarity = Callable[[NDArray[np.float64]], NDArray[np.float64]]
RARITIES: dict[str, Rarity] = {
    "unweighted": lambda chance: np.where(chance > 0, 1.0, 0.0),
    "-log chance (kept)": lambda chance: -np.log(np.where(chance > 0, chance, 1.0)),
    "1 / root of chance": lambda chance: 1.0 / np.sqrt(np.where(chance > 0, chance, np.inf)),
    "log likelihood ratio of 30 % copied": lambda chance: np.where(
        chance > 0, np.log1p(0.3 / 0.7 / np.where(chance > 0, chance, 1.0)), 0.0
    ),
}
"""Weights of a shared wrong answer, from the exact chance that a pair shares it."""

KEPT = "-log chance (kept)"


def weighed(codes: Codes, rarity: Rarity) -> Matrix:
    """`measure.standardised_excess` with another weight."""
    wrong = codes >= WRONG
    givers = np.zeros(codes.shape)
    for row in codes:
        givers += (codes == row) & wrong
    erred = wrong.sum(axis=0).astype(np.float64)
    pairs = np.maximum(erred * (erred - 1), 1.0)
    weight = rarity(np.where(wrong, givers * (givers - 1), 0.0) / pairs)
    each = np.where(wrong, givers - 1, 0.0) / pairs
    mean = (each * weight).sum(axis=0)
    variance = np.maximum((each * weight**2).sum(axis=0) - mean**2, 0.0)
    open_ = (each.sum(axis=0) > 1e-12) & (each.sum(axis=0) < 1 - 1e-12)
    part = (wrong & open_).astype(np.float64)
    sums = np.array([((codes == row) & (part[at] > 0)).astype(np.float64) @ weight[at] for at, row in enumerate(codes)])
    excess = sums - (part * mean) @ part.T
    spread = (part * variance) @ part.T
    values = np.where(spread > 1e-12, excess / np.sqrt(np.maximum(spread, 1e-12)), 0.0)
    np.fill_diagonal(values, 0.0)
    return np.asarray(np.round(values, 6))


def least_squares_effects(matrix: Matrix) -> Matrix:
    """Additive effects by least squares: a family of relatives moves them."""
    size = len(matrix)
    effect = matrix.sum(axis=1) / (size - 2) - matrix.sum() / (2 * (size - 1) * (size - 2))
    rest = matrix - effect[:, None] - effect[None, :]
    np.fill_diagonal(rest, 0.0)
    return rest


def variants(recorded: Recorded) -> dict[str, Matrix]:
    """Everything that was tried, as score matrices."""
    found = {}
    ability = measure._abilities(recorded.codes)
    strength = np.outer(ability, ability)
    preference = measure.position_preferences(recorded.codes) if recorded.choices else np.zeros((len(ability), 1))
    both = [strength, preference @ preference.T] if recorded.choices else [strength]
    for name, rarity in RARITIES.items():
        raw = weighed(recorded.codes, rarity)
        clean = measure.without_model_effects(raw)
        found[f"{name}; effects by medians, causes, spreads"] = measure.over_spreads(
            measure.without_causes(clean, both)
        )
        if name != KEPT:
            continue
        found["excess over its exact deviation alone"] = raw
        found["effects by least squares"] = least_squares_effects(raw)
        found["effects by medians"] = clean
        found["effects by medians, spreads"] = measure.over_spreads(clean)
        found["effects by medians, ability"] = measure.without_causes(clean, [strength])
        if recorded.choices:
            found["effects by medians, ability, spreads (positions left in)"] = measure.over_spreads(
                measure.without_causes(clean, [strength])
            )
    return found


SHIPPED = f"{KEPT}; effects by medians, causes, spreads"

# ------------------------------------------------------------------------------------------------------------- figures


def auc(related: NDArray[np.float64], strangers: NDArray[np.float64]) -> float:
    """The chance that a related pair scores above a stranger pair, ties half."""
    below = (related[:, None] > strangers[None, :]) + 0.5 * (related[:, None] == strangers[None, :])
    return float(below.mean())


def by_relation(recorded: Recorded, scores: Matrix) -> dict[str, float]:
    """AUC of every listed relation, and of UNKNOWN, against strangers."""
    upper = np.triu_indices(len(recorded.models), 1)
    values, kinds = scores[upper], recorded.relation[upper]
    strangers = values[kinds == ""]
    return {
        kind: round(auc(values[kinds == kind], strangers), 4) for kind in (*LISTED, UNKNOWN) if (kinds == kind).any()
    }


def separation(recorded: Recorded, scores: Matrix) -> dict[str, Any]:
    """AUC, how many pairs, and the median distance from strangers in their standard deviations (a score, no chance)."""
    upper = np.triu_indices(len(recorded.models), 1)
    values, kinds = scores[upper], recorded.relation[upper]
    strangers = values[kinds == ""]
    found: dict[str, Any] = {"strangers": len(strangers), "largest stranger z": _z(strangers.max(), strangers)}
    for kind, area in by_relation(recorded, scores).items():
        pairs = values[kinds == kind]
        found[kind] = {"pairs": len(pairs), "AUC": area, "median z": _z(float(np.median(pairs)), strangers)}
    return found


def _z(value: float, strangers: NDArray[np.float64]) -> float:
    return round(float((value - strangers.mean()) / strangers.std(ddof=1)), 2)


def by_number_of_items(recorded: Recorded) -> dict[str, dict[str, float]]:
    """Mean AUC over DRAWS random sets of items."""
    rng = np.random.default_rng(SEED)
    total = len(recorded.items)
    found = {}
    for size in [*(n for n in (50, 100, 200, 400, 800, 1600, 4000) if n < total), total]:
        areas = defaultdict(list)
        for _ in range(DRAWS if size < total else 1):
            drawn = np.sort(rng.choice(total, size=size, replace=False))
            scores = measure.kinship(recorded.codes[:, drawn], choices=recorded.choices)
            for kind, area in by_relation(recorded, scores).items():
                areas[kind].append(area)
        found[str(size)] = {kind: round(float(np.mean(each)), 4) for kind, each in areas.items()}
    return found


def chosen_without_the_lineage(recorded: Recorded, tried: Mapping[str, Matrix]) -> dict[str, Any]:
    """Per listed relation: AUC where each pair is scored by the variant that was best for the other lineages' pairs.

    'Best' is the mean AUC over relations. Pairs of a lineage, and strangers that have a member of it, are held out of the choice.
    """
    upper = np.triu_indices(len(recorded.models), 1)
    kinds = recorded.relation[upper]
    lineage = np.array(recorded.lineages)
    touched = {name: (lineage[upper[0]] == name) | (lineage[upper[1]] == name) for name in set(recorded.lineages)}
    shares = defaultdict(list)
    picked = {}
    for name in sorted({str(lineage[i]) for i, j, kind in zip(*upper, kinds, strict=True) if kind in LISTED}):
        inside = touched[name]

        def merit(scores: Matrix, inside: NDArray[np.bool_] = inside) -> float:
            values = scores[upper]
            strangers = values[(kinds == "") & ~inside]
            rest = [values[(kinds == kind) & ~inside] for kind in LISTED]
            return float(np.mean([auc(pairs, strangers) for pairs in rest if len(pairs)] or [0.5]))

        best = max(tried, key=lambda variant: (merit(tried[variant]), variant == SHIPPED))
        picked[name] = best
        values = tried[best][upper]
        for at in np.flatnonzero(inside & np.isin(kinds, LISTED) & (lineage[upper[0]] == name)):
            shares[kinds[at]].append(auc(values[[at]], values[kinds == ""]))
    return {"AUC": {kind: round(float(np.mean(each)), 4) for kind, each in sorted(shares.items())}, "chosen": picked}


def position_trap(recorded: Recorded) -> dict[str, float]:
    """Does falling back to the last capital letter bring strangers together? Before and after preferences are removed."""
    upper = np.triu_indices(len(recorded.models), 1)
    strangers = recorded.relation[upper] == ""
    ability = measure._abilities(recorded.codes)
    preference = measure.position_preferences(recorded.codes)
    cause = measure.without_model_effects(preference @ preference.T)[upper][strangers]
    raw = measure.without_model_effects(measure.standardised_excess(measure.shared(recorded.codes)))
    strength = [np.outer(ability, ability)]
    before = measure.without_causes(raw, strength)[upper][strangers]
    after = measure.without_causes(raw, [*strength, preference @ preference.T])[upper][strangers]
    own = measure.without_model_effects(strength[0])[upper][strangers]
    found = {
        "strangers' scores against products of abilities, correlation before": np.corrcoef(raw[upper][strangers], own)[
            0, 1
        ],
        "strangers' scores against products of position preferences, correlation before": np.corrcoef(before, cause)[
            0, 1
        ],
        "after": np.corrcoef(after, cause)[0, 1],
        "largest stranger over their deviation, before": before.max() / before.std(),
        "after removal": after.max() / after.std(),
        "largest preference for one position (share of wrong answers)": preference.max(),
    }
    return {name: round(float(value), 3) for name, value in found.items()}


# ----------------------------------------------------------------------------------------------------- false accusations


def accused(p_values: NDArray[np.float64], first: Sequence[str], second: Sequence[str]) -> dict[str, Any]:
    """Shares of pairs with p <= level, each with a 95 % interval from a bootstrap over labs; and the smallest log10 p."""
    names, codes = np.unique([*first, *second], return_inverse=True)
    one, other = codes[: len(first)], codes[len(first) :]
    rng = np.random.default_rng(SEED)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES).astype(np.float64)
    weights = draws[:, one] * draws[:, other]
    total = weights.sum(axis=1)
    found: dict[str, Any] = {"pairs": len(p_values)}
    for level in LEVELS:
        hits = p_values <= level * (1 + 1e-12)
        shares = (weights @ hits)[total > 0] / total[total > 0]
        low, high = np.quantile(shares, [0.025, 0.975])
        found[f"p <= {level:g}"] = [round(float(hits.mean()), 4), round(float(low), 4), round(float(high), 4)]
    found["smallest log10 p"] = round(float(np.log10(max(p_values.min(), 1e-300))), 1)
    return found


def false_accusations(recorded: Recorded, scores: Matrix) -> dict[str, Any]:
    """The rank's and the peers' shares on the same ordered pairs of strangers, with every peer's AUC."""
    labs = recorded.labs
    p_values, references, candidates = stranger_p_values(recorded.population(scores))
    pairs = ([labs[at] for at in references], [labs[at] for at in candidates])
    found: dict[str, Any] = {
        "rank among lineages (shipped)": {**accused(p_values, *pairs), "AUC": by_relation(recorded, scores)}
    }
    strangers = recorded.relation == ""
    values = scores[strangers]
    gaussian = np.array(
        [
            0.5 * math.erfc((scores[i, j] - values.mean()) / values.std() / math.sqrt(2))
            for i, j in zip(references, candidates, strict=True)
        ]
    )
    found["Gaussian tail of the same score (a score only)"] = {
        **accused(gaussian, *pairs),
        "AUC": by_relation(recorded, scores),
    }
    items = peers.items_of(recorded.codes, recorded.options)
    for name in peers.PEERS:
        agreement, tails = peers.judged_by(name, items)
        theirs = np.power(10.0, tails[references, candidates])
        both = (agreement + agreement.T) / 2
        found[name] = {**accused(theirs, *pairs), "AUC": by_relation(recorded, both)}
        found[name]["smallest log10 p"] = round(float(tails[references, candidates].min()), 1)
    return found


def where_peers_are_right(models: int, items: int) -> dict[str, Any]:
    """Shares of simulated pairs with p <= level where items are independent given ability, difficulty and popularity."""
    simulated = peers.independent_answers(np.random.default_rng(SEED), models, items)
    off = ~np.eye(models, dtype=np.bool_)
    found = {}
    for name in peers.PEERS:
        tails = peers.judged_by(name, simulated)[1][off]
        found[name] = {f"p <= {level:g}": round(float((tails <= math.log10(level)).mean()), 4) for level in LEVELS}
    return found


def calibration_of(recorded: Recorded, scores: Matrix) -> dict[str, Any]:
    levels = held_out_calibration(recorded.population(scores), np.random.default_rng(SEED))
    return {
        "levels": [
            {
                "p <=": round(entry.level, 4),
                "share": entry.share_ppm / 1e6,
                "95 % over labs": [entry.low_ppm / 1e6, entry.high_ppm / 1e6],
                "first place": entry.first_place,
            }
            for entry in levels
        ],
        "smallest level that holds": smallest_level_that_holds(levels),
    }


# ------------------------------------------------------------------------------------------------------------- line-ups


def placed(recorded: Recorded, scores: Matrix, reference: int, suspect: int) -> tuple[int, int]:
    """(control lineages that score as high, control lineages) of one pair among models that are strangers to both."""
    lineages = defaultdict(list)
    # The lineages of the two labs stay out, wherever their members were made.
    out = {
        recorded.lineages[at]
        for at in range(len(recorded.models))
        if recorded.labs[at] in (recorded.labs[reference], recorded.labs[suspect])
    }
    for at, lineage in enumerate(recorded.lineages):
        if recorded.relation[reference, at] == "" and recorded.relation[suspect, at] == "" and lineage not in out:
            lineages[lineage].append(float(scores[reference, at]))
    ranked = rank_among_lineages(float(scores[reference, suspect]), lineages)
    return len(ranked.closer), len(ranked.lineages)


def relatives(recorded: Recorded, scores: Matrix) -> list[dict[str, Any]]:
    """Every listed pair in both roles: its place in its line-up."""
    rows = []
    for i, j in itertools.permutations(range(len(recorded.models)), 2):
        if recorded.relation[i, j] in LISTED:
            above, lineages = placed(recorded, scores, i, j)
            rows.append(
                {
                    "benchmark": recorded.name,
                    "relation": str(recorded.relation[i, j]),
                    "lineage": recorded.lineages[i],
                    "reference": recorded.models[i],
                    "suspect": recorded.models[j],
                    "score": round(float(scores[i, j]), 3),
                    "place": above + 1,
                    "of": lineages + 1,
                }
            )
    return rows


def power_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Per relation: pairs (both roles) and lineages all of whose pairs stand above every control lineage."""
    found = {}
    for relation in LISTED:
        by_lineage = defaultdict(list)
        for row in rows:
            if row["relation"] == relation:
                by_lineage[row["lineage"]].append(row["place"] == 1)
        if by_lineage:
            found[relation] = {
                "pairs in first place": sum(map(sum, by_lineage.values())),
                "pairs": sum(map(len, by_lineage.values())),
                "lineages, every pair in first place": sum(map(all, by_lineage.values())),
                "lineages": len(by_lineage),
                "fewest control lineages": min(row["of"] for row in rows if row["relation"] == relation) - 1,
                "most control lineages": max(row["of"] for row in rows if row["relation"] == relation) - 1,
            }
    return found


def lineages_in_first_place(recorded: Recorded, scores: Matrix) -> int:
    """Over all references, the largest number of stranger lineages of which some model stands above all control lineages."""
    found = defaultdict(set)
    for i, j in itertools.permutations(range(len(recorded.models)), 2):
        if recorded.relation[i, j] == "" and placed(recorded, scores, i, j)[0] == 0:
            found[i].add(recorded.lineages[j])
    return max((len(lineages) for lineages in found.values()), default=0)


def the_dispute(recorded: Recorded, scores: Matrix) -> list[dict[str, Any]]:
    """Every Claude as reference against every Qwen as suspect."""
    claude = [at for at, lab in enumerate(recorded.labs) if lab == "Anthropic"]
    qwen = [at for at, lab in enumerate(recorded.labs) if lab == "Qwen"]
    strangers = recorded.relation == ""
    strangers[np.ix_(claude, qwen)] = strangers[np.ix_(qwen, claude)] = False
    others = scores[strangers]
    rows = []
    for i, j in itertools.product(claude, qwen):
        above, lineages = placed(recorded, scores, i, j)
        z = _z(float(scores[i, j]), others)
        rows.append(
            {
                "benchmark": recorded.name,
                "reference": recorded.models[i],
                "suspect": recorded.models[j],
                "z": z,
                "p": (above + 1) / (lineages + 1),
                "Gaussian p (a score only)": 0.5 * math.erfc(z / math.sqrt(2)),
                "control lineages": lineages,
            }
        )
    return rows


def of_one_pair(recorded: Recorded, tried: Mapping[str, Matrix], pair: tuple[str, str]) -> dict[str, Any]:
    """How much of one pair's distance from strangers hangs on the choice of variant: its z and its rank among all strangers."""
    i, j = (recorded.models.index(name) for name in pair)
    counted = measure.shared(recorded.codes)
    upper = np.triu_indices(len(recorded.models), 1)
    strangers = recorded.relation[upper] == ""
    found: dict[str, Any] = {
        "both wrong": int(counted.both_wrong[i, j]),
        "same wrong answer": int(counted.same[i, j]),
        "expected": round(float(counted.expected[i, j]), 1),
    }
    for name, scores in tried.items():
        values = scores[upper][strangers]
        found[name] = {
            "z": _z(float(scores[i, j]), values),
            "place": int((values > scores[i, j]).sum()) + 1,
            "of": len(values),
        }
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p-values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    adjusted, reached = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        reached = max(reached, min(1.0, p_values[at] * (len(p_values) - rank)))
        adjusted[at] = reached
    return adjusted


def told_of_the_dispute(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Holm over all lines of all benchmarks together."""
    if not rows:
        return {}
    by_rank = holm([row["p"] for row in rows])
    by_tail = holm([row["Gaussian p (a score only)"] for row in rows])
    best = max(range(len(rows)), key=lambda at: rows[at]["z"])
    per = {}
    for name in BENCHMARKS:
        inside = [row for row in rows if row["benchmark"] == name]
        if inside:
            per[name] = {
                "pairs": len(inside),
                "mean z": round(float(np.mean([row["z"] for row in inside])), 2),
                "best": max(inside, key=lambda row: row["z"]),
                "control lineages": max(row["control lineages"] for row in inside),
            }
    return {
        "pairs": len(rows),
        "benchmarks": per,
        "smallest p of a rank": round(min(row["p"] for row in rows), 4),
        "smallest Holm p of a rank": round(min(by_rank), 4),
        "best z": rows[best]["z"],
        "its pair": [rows[best]["benchmark"], rows[best]["reference"], rows[best]["suspect"]],
        "its Gaussian tail after Holm (a score only)": round(by_tail[best], 4),
    }


# --------------------------------------------------------------------------------------------------------------- study


def study(say: Callable[[str], None]) -> dict[str, Any]:
    results: dict[str, Any] = {"benchmarks": {}}
    dispute: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for benchmark, title in TITLES.items():
        started = time.monotonic()
        recorded = load(benchmark)
        scores = measure.kinship(recorded.codes, choices=recorded.choices)
        seconds = time.monotonic() - started
        tried = variants(recorded)
        assert np.allclose(tried[SHIPPED], scores, atol=1e-5), "the study's measure is not the shipped one"
        rows = relatives(recorded, scores)
        found += rows
        part = {
            "models": len(recorded.models),
            "items": len(recorded.items),
            "labs": len(set(recorded.labs)),
            "lineages": len(set(recorded.lineages)),
            "stated answers": int((recorded.codes != NOT_ANSWERED).sum()),
            "wrong answers": int((recorded.codes >= WRONG).sum()),
            "right answers": int((recorded.codes == RIGHT).sum()),
            "wrong share of stated answers": {
                model: round(float((row >= WRONG).sum() / (row != NOT_ANSWERED).sum()), 4)
                for model, row in zip(recorded.models, recorded.codes, strict=True)
            },
            "separation": separation(recorded, scores),
            "AUC by items": by_number_of_items(recorded),
            "held-out labs": calibration_of(recorded, scores),
            "false accusations": false_accusations(recorded, scores),
            "tried": {name: by_relation(recorded, matrix) for name, matrix in tried.items()},
            "variant chosen without the lineage": chosen_without_the_lineage(recorded, tried),
            "relatives": power_of(rows),
            "most stranger lineages in first place against one reference": lineages_in_first_place(recorded, scores),
        }
        if recorded.choices:
            part["position preferences"] = position_trap(recorded)
        dispute += the_dispute(recorded, scores)
        results["benchmarks"][benchmark] = part
        say(
            f"\n{title}: {part['models']} models of {part['labs']} labs, {part['items']} items; read and scored in {seconds:.1f} s"
        )
        _print_benchmark(part, say)
    results["peers on simulated independent items, 32 models x 800"] = where_peers_are_right(32, 800)
    say("\npeers on simulated independent items, 32 models x 800:")
    for name, shares in results["peers on simulated independent items, 32 models x 800"].items():
        say(f"    {name:46s} {shares}")
    results["relatives, free-form"] = power_of([row for row in found if row["benchmark"] != "mmlu_pro"])
    results["relatives, multiple choice"] = power_of([row for row in found if row["benchmark"] == "mmlu_pro"])
    results["relatives, pair by pair"] = found
    results["Claude against Qwen"] = told_of_the_dispute(dispute)
    _, *pair = results["Claude against Qwen"]["its pair"]
    results["Claude against Qwen"]["that pair under everything tried"] = {
        name: of_one_pair(load(name), variants(load(name)), (pair[0], pair[1]))
        for name in BENCHMARKS
        if {*pair} <= {*load(name).models}
    }
    say("\nClaude against Qwen: " + json.dumps(results["Claude against Qwen"], indent=1))
    return results


def _print_benchmark(part: Mapping[str, Any], say: Callable[[str], None]) -> None:
    for key in (
        "separation",
        "AUC by items",
        "held-out labs",
        "tried",
        "variant chosen without the lineage",
        "relatives",
        "position preferences",
    ):
        if key in part:
            say(f"  {key}:")
            for name, value in part[key].items():
                say(f"    {name}: {value}")
    say(f"  stranger pairs with p <= {', '.join(f'{level:g}' for level in LEVELS)} (95 % over labs), smallest log10 p:")
    for name, row in part["false accusations"].items():
        shares = "  ".join("{:.3f} ({:.3f} to {:.3f})".format(*row[f"p <= {level:g}"]) for level in LEVELS)
        say(f"    {name:46s} {shares}  {row['smallest log10 p']}")


# ------------------------------------------------------------------------------------------------------------- register


def register_entry(results: Mapping[str, Any]) -> Calibration:
    kinds = {
        examiner.FREE_FORM: [name for name in BENCHMARKS if name != "mmlu_pro"],
        examiner.CHOICE: ["mmlu_pro"],
    }
    return Calibration(
        examiner=examiner.NAME, entries=tuple(_entry(test, names, results) for test, names in kinds.items())
    )


def _entry(test: str, benchmarks: Sequence[str], results: Mapping[str, Any]) -> RegisterEntry:
    tables = {name: results["benchmarks"][name] for name in benchmarks}
    power = results["relatives, free-form" if test == examiner.FREE_FORM else "relatives, multiple choice"]
    tried = [
        f"{TITLES[name]}, {variant}: AUC {', '.join(f'{kind} {area:.3f}' for kind, area in areas.items())}"
        for name, part in tables.items()
        for variant, areas in part["tried"].items()
    ]
    dropped = [
        f"{TITLES[name]}, {peer}: p <= 0.001 for {row['p <= 0.001'][0]:.2f} of unrelated pairs, smallest log10 p "
        f"{row['smallest log10 p']} (not used)"
        for name, part in tables.items()
        for peer, row in part["false accusations"].items()
        if "shipped" not in peer
    ]
    return RegisterEntry(
        test=test,
        null=Null.POPULATION,
        formula_version=examiner.VERSION,
        chance=None,
        # Rounded as findings are: a p of exactly DETECTION_P counts as detected.
        detection_log10_p=round_against_accuser(math.log10(DETECTION_P), accuses_when="small"),
        validated_for=tuple(TITLES[name] for name in benchmarks),
        strangers=(_strangers(benchmarks, results),),
        relatives=tuple(
            RelationPower(
                relation=f"{relation}, above all of {row['fewest control lineages']} to {row['most control lineages']} control "
                "lineages in every pair",
                detected=row["lineages, every pair in first place"],
                lineages=row["lineages"],
            )
            for relation, row in power.items()
        ),
        calibrated_on="; ".join(
            f"{TITLES[name]}: {part['models']} models of {part['labs']} labs x {part['items']} items"
            for name, part in tables.items()
        )
        + f"; measure version {measure.VERSION}",
        date=DATE,
        tried=(*tried, *dropped),
        made_by="studies/shared_errors.py",
    )


def _strangers(benchmarks: Sequence[str], results: Mapping[str, Any]) -> StrangerCount:
    """Counted by lineage, once whatever the number of benchmarks that a lineage stands in."""
    tables = [results["benchmarks"][name] for name in benchmarks]
    lineages = {lineage for name in benchmarks for lineage in load(name).lineages}
    return StrangerCount(
        kind="unrelated models of different labs; exceeding: above every control lineage, against the reference with most of them",
        lineages=len(lineages) - 1,
        exceeding=max(part["most stranger lineages in first place against one reference"] for part in tables),
        tests=sum(part["separation"]["strangers"] for part in tables),
        largest_share=max(part["held-out labs"]["levels"][-1]["share"] for part in tables),
    )


def shortfalls(results: Mapping[str, Any]) -> list[str]:
    """What issue 3 asks and these results do not show."""
    found = []
    for (benchmark, kind), asked in ASKED.items():
        area = results["benchmarks"][benchmark]["separation"][kind]["AUC"]
        if area < asked:
            found.append(f"{TITLES[benchmark]}, {kind}: AUC {area} of {asked}")
    for benchmark, part in results["benchmarks"].items():
        for level in LEVELS:
            share, low, _ = part["false accusations"]["rank among lineages (shipped)"][f"p <= {level:g}"]
            if low > level:
                found.append(f"{TITLES[benchmark]}: {share} of unrelated pairs have p <= {level:g}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write packs, register entry and results")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a figure falls short")
    arguments = parser.parse_args()
    started = time.monotonic()
    if not present():
        print(f"the recorded answers are not in {DATA}: set FILIATION_DATA")
        return 2
    if arguments.write:
        make_packs()
    results = study(lambda line: print(line, flush=True))
    short = shortfalls(results)
    print("falls short: " + ("; ".join(short) or "nothing"))
    if arguments.write:
        entry = register_entry(results)
        REGISTER.write_bytes(msgspec.json.format(msgspec.json.encode(entry, order="deterministic"), indent=1) + b"\n")
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{time.monotonic() - started:.0f} s, {memory:.1f} GB")
    return 1 if arguments.check and short else 0


if __name__ == "__main__":
    sys.exit(main())
