"""What refusals tell in the recorded AlpacaEval answers, and whether that suffices to validate the guardrails examiner.

    python -m studies.guardrails [FOLDER]            the figures, into studies/results/guardrails.json
    python -m studies.guardrails [FOLDER] --sample N  prints a random sample of readings, to be judged by a person
    python -m studies.guardrails [FOLDER] --judge     how often the readings agree with studies/results/guardrails_reading.json

FOLDER (default: see studies/recorded_data.py) holds alpaca_eval_outputs.parquet and alpaca_eval_lineage.json. Nothing
is fitted to lineages: every variant below is fixed before, and all of them are reported. Shares of pairs are given by lineage
as well, because pairs share models. No register entry is written: see the end of `main`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from filiation.examiners.guardrails import DEMANDS, HIGH, LOW, Wordings, refusal_values
from filiation.measures.refusal_patterns import informative, pattern_agreement
from filiation.measures.refusals import VERSION, Reading, read_refusal
from filiation.sources.lots import Lots
from filiation.statistics.line_up import Population, held_out_calibration, stranger_p_values
from studies.recorded_data import DATA

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "studies" / "results" / "guardrails.json"
READING = ROOT / "studies" / "results" / "guardrails_reading.json"
SEED = 20
READING_SEED = 21
"""The first sample (20) was read while the lexicon was still being written; the counted one is this."""
RELATIONS = ("same-model", "version", "fine-tune-of", "siblings-instruct", "shares-base", "distilled-from")


def load(folder: Path) -> tuple[list[str], list[str], dict[str, dict[str, str]], dict[str, Any]]:
    """Models, prompts, answers by model and prompt, and what is known of the models."""
    frame = pl.read_parquet(folder / "alpaca_eval_outputs.parquet").with_columns(pl.col("output").fill_null(""))
    lineage = json.loads((folder / "alpaca_eval_lineage.json").read_text())
    answers: dict[str, dict[str, str]] = defaultdict(dict)
    for model, prompt, text in frame.select("model", "prompt_id", "output").iter_rows():
        if text.strip():
            answers[model][f"{prompt:04d}"] = text
    models = sorted(answers)
    return models, sorted({prompt for one in answers.values() for prompt in one}), answers, lineage


def relations_of(models: list[str], lineage: dict[str, Any]) -> dict[tuple[int, int], str]:
    place = {model: at for at, model in enumerate(models)}
    found = {}
    for pair, relation in lineage["relations"].items():
        one, other = (place[name] for name in pair.split(" || "))
        found[min(one, other), max(one, other)] = relation
    return found


def area(related: np.ndarray, unrelated: np.ndarray) -> float:
    """Area under the ROC curve; ties count half."""
    ordered = np.sort(unrelated)
    below = np.searchsorted(ordered, related, side="left") + np.searchsorted(ordered, related, side="right")
    return float(below.mean() / (2 * len(ordered)))


def areas(scores: np.ndarray, models: list[str], lineage: dict[str, Any], usable: np.ndarray) -> dict[str, Any]:
    """Per relation: pairs, AUC, the mean AUC over lineages of the first model, and the worst lineage."""
    listed = relations_of(models, lineage)
    strangers = np.asarray(
        [
            scores[i, j]
            for i in range(len(models))
            for j in range(i + 1, len(models))
            if (i, j) not in listed and usable[i, j]
        ]
    )
    found: dict[str, Any] = {"unrelated": len(strangers)}
    for relation in RELATIONS:
        pairs = [pair for pair, name in listed.items() if name == relation and usable[pair]]
        if not pairs or not len(strangers):
            found[relation] = {"pairs": len(pairs)}
            continue
        by = defaultdict(list)
        for i, j in pairs:
            by[lineage["models"][models[j]]["base"]].append(scores[i, j])
        each = {base: area(np.asarray(values), strangers) for base, values in by.items()}
        found[relation] = {
            "pairs": len(pairs),
            "auc": round(area(np.asarray([scores[pair] for pair in pairs]), strangers), 3),
            "lineages": len(each),
            "auc_mean_over_lineages": round(float(np.mean(list(each.values()))), 3),
            "auc_worst_lineage": round(min(each.values()), 3),
        }
    return found


def calibration(scores: np.ndarray, models: list[str], lineage: dict[str, Any]) -> dict[str, Any]:
    """Share of unrelated pairs with p <= level, both labs held out, with the interval over labs."""
    related = np.zeros((len(models), len(models)), dtype=bool)
    for i, j in relations_of(models, lineage):
        related[i, j] = related[j, i] = True
    population = Population(
        scores=scores,
        lineages=[lineage["models"][model]["base"] for model in models],
        labs=[lineage["models"][model]["lab"] for model in models],
        related=related,
    )
    p_values, _, _ = stranger_p_values(population)
    levels = held_out_calibration(population, np.random.default_rng(SEED))
    return {
        "pairs": len(p_values),
        "smallest_p": round(float(p_values.min()), 4),
        "levels": {
            f"{level.level:g}": [level.share_ppm / 1e6, level.low_ppm / 1e6, level.high_ppm / 1e6] for level in levels
        },
    }


def raw_agreement(values: np.ndarray) -> np.ndarray:
    """Correlation of the plain values, no effects removed: what the additive model is compared with."""
    known = np.where(np.isfinite(values), values, 0.0)
    centred = known - known.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).sum(axis=1))
    spread[spread == 0] = 1.0
    return (centred @ centred.T) / np.outer(spread, spread)


def both_over_either(values: np.ndarray) -> np.ndarray:
    """Prompts that both refuse over prompts that either refuses."""
    refused = (np.nan_to_num(values) >= 0.5).astype(float)
    both = refused @ refused.T
    either = refused.sum(axis=1)[:, None] + refused.sum(axis=1)[None, :] - both
    return both / np.maximum(either, 1.0)


def sample_of(
    readings: list[dict[str, Reading]], models: list[str], values: np.ndarray, prompts: list[str], count: int
) -> list[Any]:
    """A random sample: `count` refused, count/2 partial, count others from prompts that 5 % of models refuse."""
    often = {prompts[at] for at in np.flatnonzero(informative(values, LOW, 1.0))}
    kinds: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for model, reading in zip(models, readings, strict=True):
        for prompt, read in reading.items():
            if read.kind in ("refused", "partial"):
                kinds[read.kind].append((model, prompt))
            elif prompt in often:
                kinds["other"].append((model, prompt))
    drawn = []
    for kind, wanted in (("refused", count), ("partial", count // 2), ("other", count)):
        drawn += [(kind, *pair) for pair in Lots("sample", READING_SEED, kind).sample(sorted(kinds[kind]), wanted)]
    return drawn


def judge_readings(readings: list[dict[str, Reading]], models: list[str]) -> dict[str, Any]:
    """The lexicon against the person who read the sample."""
    judged = json.loads(READING.read_text())
    place = {model: at for at, model in enumerate(models)}
    table: Counter[str] = Counter()
    for entry in judged["sample"]:
        read = readings[place[entry["model"]]][entry["prompt"]].kind
        table[f"{entry['stratum']}: read {read}, judged {entry['judged']}"] += 1
    return dict(sorted(table.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DATA)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--judge", action="store_true")
    given = parser.parse_args()
    models, prompts, answers, lineage = load(given.folder)
    readings = [{prompt: read_refusal(text) for prompt, text in answers[model].items()} for model in models]
    values = refusal_values(readings, prompts)
    if given.sample:
        for at, (kind, model, prompt) in enumerate(sample_of(readings, models, values, prompts, given.sample)):
            text = " / ".join(answers[model][prompt].split("\n"))
            print(f"{at} [{kind}] {model} {prompt}: {text[:300]} ... {text[-80:] if len(text) > 400 else ''}")
        return
    if given.judge:
        print(json.dumps(judge_readings(readings, models), indent=1))
        return
    everywhere = np.ones((len(models), len(models)), dtype=bool)
    telling = informative(values, LOW, HIGH)
    declining = {"refused": 1.0, "partial": 0.5, "unable": 1.0, "unclear": 1.0}
    broad = np.asarray([[declining.get(one[p].kind, 0.0) if p in one else np.nan for p in prompts] for one in readings])
    words = Wordings(readings, prompts)
    plain = words.total / np.maximum(words.both, 1)
    kinds = Counter(read.kind for reading in readings for read in reading.values())
    pattern = pattern_agreement(values)
    few = pattern_agreement(values[:, telling])
    results = {
        "lexicon": VERSION,
        "models": len(models),
        "prompts": len(prompts),
        "readings": dict(sorted(kinds.items())),
        "prompts refused by 5 to 80 % of models": int(telling.sum()),
        "the same, counting every kind of not answering": int(informative(broad, LOW, HIGH).sum()),
        "the same, full refusals only": int(informative(np.where(values == 0.5, 0.0, values), LOW, HIGH).sum()),
        "prompts needed": DEMANDS.prompts,
        "pattern": {
            "informative prompts, model and prompt effects removed (the examiner's)": areas(
                few, models, lineage, everywhere
            ),
            "informative prompts, not shrunk": areas(
                pattern_agreement(values[:, telling], 1e-9), models, lineage, everywhere
            ),
            "informative prompts, counting every kind of not answering": areas(
                pattern_agreement(broad[:, informative(broad, LOW, HIGH)]), models, lineage, everywhere
            ),
            "all prompts, model and prompt effects removed": areas(pattern, models, lineage, everywhere),
            "all prompts, plain correlation": areas(raw_agreement(values), models, lineage, everywhere),
            "all prompts, both over either": areas(both_over_either(values), models, lineage, everywhere),
        },
        "wording": {
            f"{name}, pairs that both refuse {fewest} prompts or more": areas(
                scores, models, lineage, words.both >= fewest
            )
            for fewest in (1, 3)
            for name, scores in (
                ("shrunk, model effects removed (the examiner's)", words.scores),
                ("mean overlap", plain),
                ("shrunk", words.total / (words.both + 3.0)),
            )
        },
        "wording, all pairs (0 where nothing is refused by both)": areas(words.scores, models, lineage, everywhere),
        "held-out labs": {
            "pattern, informative prompts": calibration(few, models, lineage),
            "pattern, all prompts": calibration(pattern, models, lineage),
            "wording": calibration(words.scores, models, lineage),
        },
        "register entry": "none: fewer informative prompts than needed, and none of them is of the borderline set",
    }
    if READING.is_file():
        results["lexicon judged by reading"] = judge_readings(readings, models)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
