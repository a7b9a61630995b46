"""Calibrate text kinship, and make the control pack `alpaca_eval`.

    python -m studies.text_kinship            print every table
    python -m studies.text_kinship --write    and write the control pack, the register entry and the results
    python -m studies.text_kinship --check    and fail where a figure falls short of what was asked beforehand

The recorded answers are those of `studies.alpaca_eval`: 139 models, 502 prompts. The unit is always the pair of models; intervals
resample labs, and a pair weighs as often as both its labs were drawn (Owen 2007).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata, spearmanr

from filiation.evidence import Finding, Null, Relation, RelationPower, Relations, round_against_accuser
from filiation.examiners import text_kinship as examiner
from filiation.examiners.line_up import Entrant, line_up_content
from filiation.measures import text_features, text_kinship
from filiation.measures.text_features import Features
from filiation.measures.text_kinship import Answers, Pairs
from filiation.sources.packs import CARD, Card, PackModel
from filiation.statistics.line_up import LEVELS, Population, rank_among_lineages, stranger_p_values
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from studies import alpaca_eval
from studies.peers_on_text import gaussian_p_values, signed_rank_p_values

ROOT = Path(__file__).parent.parent
PACK = ROOT / "src" / "filiation" / "packs" / "alpaca_eval"
REGISTER = ROOT / "src" / "filiation" / "calibration" / "text_kinship.json"
RESULTS = ROOT / "studies" / "results" / "text_kinship.json"
DATE = "2026-11-21"
PACK_PROMPTS = 200
SIZES = (10, 50, 200, 502)
ORDERS = 4
MOST_DRAWS = 40
RESAMPLES = 1000
DETECTION_P = 0.05
CLAIMED = ("same model", "fine-tune", "version")
ASKED = {"fine-tune": 0.99, "version": 0.995, "same model": 0.999}
"""Asked for beforehand, at 50 prompts."""
CHANNELS = (*text_kinship.SIMILARITIES, "word-3 by cosine")
VARIANTS: dict[str, dict[str, float]] = {
    "five channels, equal weights (kept)": dict(text_kinship.WEIGHTS),
    **{f"{name} alone": {name: 1.0} for name in CHANNELS},
    "word-3 by cosine in place of word-3": {
        **{name: weight for name, weight in text_kinship.WEIGHTS.items() if name != "word-3"},
        "word-3 by cosine": 1.0,
    },
    "five channels and structure": {**text_kinship.WEIGHTS, "structure": 1.0},
    "word-3, word-6, character-5": {"word-3": 1.0, "word-6": 1.0, "character-5": 1.0},
    "five channels, word-3 twice": {**text_kinship.WEIGHTS, "word-3": 2.0},
    "five channels, openings and closings half": {**text_kinship.WEIGHTS, "opening": 0.5, "closing": 0.5},
    "five channels less length": {**text_kinship.WEIGHTS, "length": -0.6},
}
"""Everything that was tried as a combination; the first is fixed, the others are for the record and for the held-out choice."""

Scores = NDArray[np.float64]


# ---------------------------------------------------------------------------------------------------- what is measured


@cache
def answers() -> Answers:
    found, model, prompt = alpaca_eval.features()
    return Answers(found, model, prompt)


def _measure(here: Features, name: str) -> NDArray[np.float32]:
    if name == "word-3 by cosine":
        return text_kinship.shared_rarity(here.sets["word-3"])
    return text_kinship.similarity(here, name)


def channels(given: Answers, names: Sequence[str]) -> dict[str, Pairs]:
    """Per channel the ranks of all pairs, prompts x pairs."""
    data = alpaca_eval.load()
    size = len(data.models)
    values = {name: np.full((len(data.prompts), size * (size - 1) // 2), np.nan, dtype=np.float32) for name in names}
    for prompt, found in text_kinship.by_prompt(given, size, len(data.prompts), names, _measure):
        for name in names:
            values[name][prompt] = found[name]
    return values


def draws(prompts: int, size: int) -> list[NDArray[np.intp]]:
    """Sets of prompts: those of one order, drawn at random, are disjoint; all together at most MOST_DRAWS of ORDERS orders."""
    rng = np.random.default_rng(3)
    sets = []
    for _ in range(ORDERS if size < prompts else 1):
        order = rng.permutation(prompts)
        sets += [order[at * size : (at + 1) * size] for at in range(prompts // size)]
    return sets[:MOST_DRAWS]


def combined(values: Mapping[str, Pairs], weights: Mapping[str, float], chosen: NDArray[np.intp]) -> Scores:
    """Scores of all pairs, models x models, over the chosen prompts."""
    together = sum(np.float32(weight) * values[name][chosen] for name, weight in weights.items())
    return text_kinship.kinship(together, len(alpaca_eval.load().models))


# ------------------------------------------------------------------------------------------------------------ tables


@cache
def _lab_draws(resamples: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The lab of each model, and how often each lab is drawn, resamples x labs."""
    _, lab = np.unique(np.asarray(alpaca_eval.load().labs), return_inverse=True)
    count = int(lab.max()) + 1
    drawn = np.random.default_rng(7).multinomial(count, np.full(count, 1 / count), size=resamples)
    return lab, drawn.astype(np.float64)


def pair_weights(first: NDArray[np.intp], second: NDArray[np.intp], resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """How often each pair is drawn when labs are resampled, resamples x pairs. A pair inside one lab is drawn with it."""
    lab, drawn = _lab_draws(resamples)
    one, other = drawn[:, lab[first]], drawn[:, lab[second]]
    return np.where(lab[first] == lab[second], one, one * other)


def auc_table(score_sets: Sequence[Scores]) -> dict[str, dict[str, float]]:
    """Per relation: AUC against unrelated pairs, averaged over the sets, its 95 % interval over labs, and the median score."""
    relation = alpaca_eval.load().relation
    first, second = text_kinship.pairs_of(len(relation))
    kinds = relation[first, second]
    unrelated = np.flatnonzero(kinds == "")
    weights = pair_weights(first, second).astype(np.float32)
    table: dict[str, dict[str, float]] = {}
    points: dict[str, list[float]] = defaultdict(list)
    resampled: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    medians: dict[str, list[float]] = defaultdict(list)
    for scores in score_sets:
        values = scores[first, second]
        order = unrelated[np.argsort(values[unrelated], kind="stable")]
        below = np.concatenate(
            [np.zeros((RESAMPLES, 1)), np.cumsum(weights[:, order], axis=1, dtype=np.float64)], axis=1
        )
        for kind in alpaca_eval.RELATIONS.values():
            pairs = np.flatnonzero(kinds == kind)
            low = np.searchsorted(values[order], values[pairs], side="left")
            high = np.searchsorted(values[order], values[pairs], side="right")
            points[kind].append(float((low + high).mean() / 2 / len(order)))
            weight = weights[:, pairs]
            total = weight.sum(axis=1) * below[:, -1]
            won = (weight * (below[:, low] + below[:, high])).sum(axis=1) / 2
            resampled[kind].append(np.divide(won, total, out=np.full(RESAMPLES, np.nan), where=total > 0))
            medians[kind].append(float(np.median(values[pairs])))
    for kind in points:
        interval = np.nanquantile(np.mean(resampled[kind], axis=0), [0.025, 0.975])
        table[kind] = {
            "pairs": int((kinds == kind).sum()),
            "AUC": round(float(np.mean(points[kind])), 4),
            "low": round(float(interval[0]), 4),
            "high": round(float(interval[1]), 4),
            "smallest draw": round(float(np.min(points[kind])), 4),
            "median score": round(float(np.mean(medians[kind])), 2),
        }
    return table


def aucs(scores: Scores, among: NDArray[np.bool_]) -> dict[str, float]:
    """AUC of the claimed relations against unrelated pairs, among the pairs marked."""
    relation = alpaca_eval.load().relation
    first, second = text_kinship.pairs_of(len(relation))
    kinds, values = relation[first, second][among], scores[first, second][among]
    strangers = values[kinds == ""]
    found = {}
    for kind in CLAIMED:
        relatives = values[kinds == kind]
        ranks = rankdata(np.concatenate([relatives, strangers]))[: len(relatives)].sum()
        found[kind] = (ranks - len(relatives) * (len(relatives) + 1) / 2) / (len(relatives) * len(strangers))
    return found


def chosen_on_others(by_variant: Mapping[str, Sequence[Scores]]) -> dict[str, Any]:
    """Each related pair judged by the variant that was best on pairs that touch neither of its lineages.

    Best: the largest mean AUC of the claimed relations. Judged by the share of unrelated pairs below it, ties by half.
    """
    data = alpaca_eval.load()
    first, second = text_kinship.pairs_of(len(data.models))
    lineage = np.asarray(data.lineages)
    kinds = data.relation[first, second]
    picked: dict[tuple[str, ...], str] = {}
    won: dict[str, list[float]] = defaultdict(list)
    for pair in np.flatnonzero(np.isin(kinds, CLAIMED)):
        held = tuple(sorted({str(lineage[first[pair]]), str(lineage[second[pair]])}))
        if held not in picked:
            others = ~(np.isin(lineage[first], held) | np.isin(lineage[second], held))
            quality = {
                name: np.mean([list(aucs(scores, others).values()) for scores in sets])
                for name, sets in by_variant.items()
            }
            picked[held] = max(quality, key=lambda name: quality[name])
        for scores in by_variant[picked[held]]:
            values = scores[first, second]
            strangers = values[kinds == ""]
            share = (strangers < values[pair]).mean() + (strangers == values[pair]).mean() / 2
            won[str(kinds[pair])].append(float(share))
    times: dict[str, int] = defaultdict(int)
    for name in picked.values():
        times[name] += 1
    return {"AUC": {kind: round(float(np.mean(won[kind])), 4) for kind in CLAIMED}, "chosen": dict(times)}


# ------------------------------------------------------------------------------------------------- false accusations


def population(scores: Scores) -> Population:
    data = alpaca_eval.load()
    return Population(
        scores=np.rint(scores * examiner.SCALE) / examiner.SCALE,
        lineages=[lineage or examiner.UNDECLARED for lineage in data.lineages],
        labs=list(data.labs),
        related=data.relation != "",
    )


def accused(
    p_sets: Sequence[NDArray[np.float64]], references: NDArray[np.intp], candidates: NDArray[np.intp]
) -> dict[str, Any]:
    """Share of unrelated pairs with p <= level, averaged over the sets, with its interval over labs."""
    weights = pair_weights(references, candidates)
    total = weights.sum(axis=1)
    found: dict[str, Any] = {"pairs": len(references), "smallest p": float(f"{min(p.min() for p in p_sets):.3g}")}
    for level in LEVELS:
        hit = np.mean([p <= level + 1e-12 for p in p_sets], axis=0)
        low, high = np.nanquantile((weights @ hit) / np.where(total > 0, total, np.nan), [0.025, 0.975])
        found[f"p <= {level:g}"] = [round(float(value), 4) for value in (hit.mean(), low, high)]
    return found


def accusations(values: Mapping[str, Pairs], size: int) -> dict[str, dict[str, Any]]:
    """What the rank, a Gaussian tail and per-prompt signed ranks say of unrelated pairs, over `size` prompts, labs held out."""
    chosen = draws(len(alpaca_eval.load().prompts), size)[:10]
    where = [population(combined(values, text_kinship.WEIGHTS, prompts)) for prompts in chosen]
    p_values, references, candidates = stranger_p_values(where[0])
    ranks = [p_values, *(stranger_p_values(other)[0] for other in where[1:])]
    together = sum(values[name][chosen[0]] for name in text_kinship.WEIGHTS)
    signed = signed_rank_p_values(together, references, candidates, alpaca_eval.load().relation != "")
    return {
        "rank among lineages": accused(ranks, references, candidates),
        "Gaussian tail (a score)": accused([gaussian_p_values(where[0])], references, candidates),
        "per-prompt signed ranks": accused([signed], references, candidates),
    }


# -------------------------------------------------------------------------------------------------------------- power


def ranks_of_relatives(scores: Scores) -> dict[str, list[tuple[str, str, float]]]:
    """Relation -> (reference, suspect, p) of both directions, 1 control line-up each; pairs below DEMANDS are left out."""
    data = alpaca_eval.load()
    lineages, labs = np.asarray(data.lineages), np.asarray(data.labs)
    related = (data.relation != "") | ((lineages[:, None] == lineages) & (lineages[:, None] != ""))
    related |= labs[:, None] == labs
    found: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    for reference, suspect in zip(*np.nonzero(data.relation), strict=True):
        kind = str(data.relation[reference, suspect])
        free = np.flatnonzero(~related[reference] & ~related[suspect])
        free = free[(free != reference) & (free != suspect)]
        short = (
            len(free) < examiner.DEMANDS.controls
            or len(set(labs[free])) < examiner.DEMANDS.labs
            or len(set(lineages[free])) < examiner.DEMANDS.lineages
        )
        if short:
            found[f"{kind}, declined"].append((data.models[reference], data.models[suspect], 1.0))
            continue
        controls: dict[str, list[float]] = defaultdict(list)
        for at in free:
            controls[lineages[at] or examiner.UNDECLARED].append(float(scores[reference, at]))
        ranked = rank_among_lineages(float(scores[reference, suspect]), controls)
        found[kind].append((data.models[reference], data.models[suspect], 10.0**ranked.log10_p))
    return found


def power_table(scores: Scores) -> dict[str, dict[str, Any]]:
    """Per relation: pairs (both directions) with p <= DETECTION_P, and by lineage of the reference.

    'by lineage' adds up each lineage's share of its pairs and rounds down, so that a lineage with many pairs counts once.
    """
    data = alpaca_eval.load()
    lineage = dict(zip(data.models, data.lineages, strict=True))
    found = ranks_of_relatives(scores)
    table = {}
    for kind in alpaca_eval.RELATIONS.values():
        by_lineage: dict[str, list[bool]] = defaultdict(list)
        for reference, _, p in found.get(kind, []):
            by_lineage[lineage[reference]].append(p <= DETECTION_P)
        table[kind] = {
            "judged": sum(map(len, by_lineage.values())),
            "declined": len(found.get(f"{kind}, declined", [])),
            "detected": sum(map(sum, by_lineage.values())),
            "lineages": len(by_lineage),
            "lineages with all detected": sum(map(all, by_lineage.values())),
            "by lineage": math.floor(sum(sum(hits) / len(hits) for hits in by_lineage.values()) + 1e-9),
            "missed": sorted(
                {f"{one} > {other}" for one, other, p in found.get(kind, []) if p > DETECTION_P}
                if kind in CLAIMED
                else set()
            ),
        }
    return table


def judged_relatives(scores: Scores, prompts: int, register: Calibration) -> dict[str, dict[str, int]]:
    """The claimed relations as the examiner itself judges them, with what it adds to a plain rank; both directions."""
    data = alpaca_eval.load()
    size = len(data.models)
    table: dict[str, dict[str, int]] = {}
    for kind in CLAIMED:
        counts = {"judged": 0, "detected": 0, "declined": 0}
        for reference, suspect in np.argwhere(data.relation == kind):
            order = [int(reference), int(suspect), *(at for at in range(size) if at not in (reference, suspect))]
            place = {model: at for at, model in enumerate(order)}
            origins = ["reference", "suspect", *["control"] * (size - 2)]
            content = line_up_content(
                [
                    Entrant(name=data.models[at], lineage=data.lineages[at], lab=data.labs[at], origin=origin)
                    for at, origin in zip(order, origins, strict=True)
                ],
                scores[np.ix_(order, order)],
                prompts=prompts,
                related=[(place[one], place[other]) for one, other, _ in data.related],
                seed=0,
                test=examiner.TESTS[0].id,
                detail={
                    "features": text_features.VERSION,
                    "thinned": False,
                    "looks": "",
                    "effect": [0, 0, 0],
                    "left_out": [],
                    "same_recording": [],
                },
            )
            pair = Relation(
                examiner=examiner.NAME,
                examiner_version=examiner.VERSION,
                first=data.models[reference],
                second=data.models[suspect],
                seed=0,
                content=content,
            )
            (outcome,) = examiner.judge(Relations(pair=pair), (), register)
            if isinstance(outcome, Finding):
                counts["judged"] += 1
                counts["detected"] += outcome.log10_p <= math.log10(DETECTION_P)
            else:
                counts["declined"] += 1
        table[kind] = counts
    return table


# ---------------------------------------------------------------------------------------------------------------- pack


def make_pack(folder: Path = PACK, prompts: int = PACK_PROMPTS) -> None:
    """Write card and data. The prompts are those with the smallest ids, which are digests: nobody chose them."""
    data = alpaca_eval.load()
    found, model, prompt = alpaca_eval.features()
    kept = np.flatnonzero(prompt < prompts)
    kept = kept[np.lexsort((model[kept], prompt[kept]))]
    packed = text_features.Packed(
        text_features.thinned(found.take(kept)), model[kept].astype(np.int32), prompt[kept].astype(np.int32)
    )
    content = text_features.pack_bytes(packed)
    card = Card(
        name="alpaca_eval",
        version="1",
        kind="text",
        purpose="139 public models as controls for answers to the AlpacaEval instructions",
        source="results/*/model_outputs.json of the public repository tatsu-lab/alpaca_eval; lineages from names, "
        "configurations and general knowledge, not verified against weights",
        licence="Figures derived from outputs published under CC BY-NC 4.0: salted, sub-sampled hashes and counts. No text "
        "of an answer or an instruction is part of the pack. Check whether the non-commercial licence of the source binds "
        "your use.",
        made_by="studies/text_kinship.py",
        feature_version=text_features.VERSION,
        models=tuple(
            PackModel(name=name, lineage=lineage, lab=lab)
            for name, lineage, lab in zip(data.models, data.lineages, data.labs, strict=True)
        ),
        related=data.related,
        prompts=data.prompts[:prompts],
        data="features.npz",
        data_sha256=hashlib.sha256(content).hexdigest(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / card.data).write_bytes(content)
    (folder / CARD).write_bytes(msgspec.json.encode(card) + b"\n")


def pack_table(values: Mapping[str, Pairs]) -> dict[str, Any]:
    """The shipped pack against full features over the same prompts."""
    data = alpaca_eval.load()
    packed = text_features.unpack((PACK / "features.npz").read_bytes())
    given = Answers(packed.features, packed.model.astype(np.intp), packed.prompt.astype(np.intp))
    thin = channels(given, tuple(text_kinship.WEIGHTS))
    size = len(data.models)
    first, second = text_kinship.pairs_of(size)
    found: dict[str, Any] = {"bytes": (PACK / "features.npz").stat().st_size}
    for count in (50, PACK_PROMPTS):
        sets = draws(PACK_PROMPTS, count)
        thinned = [combined(thin, text_kinship.WEIGHTS, chosen) for chosen in sets]
        full = [combined(values, text_kinship.WEIGHTS, chosen) for chosen in sets]
        p_thin, p_full = (
            np.concatenate([stranger_p_values(population(s))[0] for s in these]) for these in (thinned, full)
        )
        found[f"{count} prompts"] = {
            "Spearman of pairs": round(
                float(
                    np.mean(
                        [spearmanr(a[first, second], b[first, second])[0] for a, b in zip(thinned, full, strict=True)]
                    )
                ),
                4,
            ),
            "same decision at 0.05, unrelated": round(float(((p_thin <= 0.05) == (p_full <= 0.05)).mean()), 4),
            "AUC": {kind: row["AUC"] for kind, row in auc_table(thinned).items() if kind in CLAIMED},
            "AUC of full features": {kind: row["AUC"] for kind, row in auc_table(full).items() if kind in CLAIMED},
            "power": {
                kind: f"{row['detected']} of {row['judged']}"
                for kind, row in power_table(thinned[0]).items()
                if kind in CLAIMED
            },
            "accused": accused(
                [stranger_p_values(population(s))[0] for s in thinned], *stranger_p_values(population(thinned[0]))[1:]
            ),
        }
    return found


# ------------------------------------------------------------------------------------------------------------ together


def study(say: Callable[[str], None]) -> dict[str, Any]:
    data = alpaca_eval.load()
    started = time.monotonic()
    given = answers()
    say(f"features of {len(given.features)} answers: {time.monotonic() - started:.0f} s")
    started = time.monotonic()
    values = channels(given, CHANNELS)
    say(f"{len(CHANNELS)} channels, all pairs, all prompts: {time.monotonic() - started:.0f} s")
    sizes = {size: draws(len(data.prompts), size) for size in SIZES}
    kept = {size: [combined(values, text_kinship.WEIGHTS, chosen) for chosen in sets] for size, sets in sizes.items()}
    results: dict[str, Any] = {
        "models": len(data.models),
        "prompts": len(data.prompts),
        "pairs": {kind: int((np.triu(data.relation == kind)).sum()) for kind in alpaca_eval.RELATIONS.values()},
        "unrelated pairs": int(np.triu(data.relation == "", 1).sum()),
        "AUC by prompts": {str(size): auc_table(sets) for size, sets in kept.items()},
    }
    say("AUC by prompts (mean over disjoint draws of prompts; interval over labs)")
    for kind in alpaca_eval.RELATIONS.values():
        cells = [results["AUC by prompts"][str(size)][kind] for size in SIZES]
        row = "  ".join(f"{cell['AUC']:.4f} [{cell['low']:.4f}, {cell['high']:.4f}]" for cell in cells)
        say(f"  {kind:28s} {cells[0]['pairs']:5d}  {row}  median score {cells[-1]['median score']:.2f}")
    variants = {
        name: [combined(values, weights, chosen) for chosen in sizes[50][:10]] for name, weights in VARIANTS.items()
    }
    everything = np.ones(len(text_kinship.pairs_of(len(data.models))[0]), dtype=np.bool_)
    results["variants at 50 prompts"] = {
        name: {kind: round(float(np.mean([aucs(scores, everything)[kind] for scores in sets])), 4) for kind in CLAIMED}
        for name, sets in (*variants.items(), *without_steps(values, sizes[50][:10]).items())
    }
    for name, row in results["variants at 50 prompts"].items():
        say(f"  50 prompts, {name:46s} " + "  ".join(f"{kind} {value:.4f}" for kind, value in row.items()))
    results["chosen on other lineages, 50 prompts"] = chosen_on_others({n: sets[:5] for n, sets in variants.items()})
    say(f"chosen on other lineages: {results['chosen on other lineages, 50 prompts']}")
    results["accused"] = {}
    for size in SIZES:
        results["accused"][str(size)] = accusations(values, size)
        for name, row in results["accused"][str(size)].items():
            say(f"  {size:4d} prompts, unrelated pairs with labs held out, {name:24s} {row}")
    results["power"] = {str(size): power_table(kept[size][0]) for size in SIZES}
    for size in SIZES:
        for kind, row in results["power"][str(size)].items():
            say(f"  {size:4d} prompts, p <= {DETECTION_P}, {kind:26s} {row}")
    results["pack"] = pack_table(values)
    say(f"pack: {json.dumps(results['pack'], indent=1)}")
    results["stranger pairs"] = results["accused"]["50"]["rank among lineages"]["pairs"]
    results["judged by the examiner, 50 prompts"] = judged_relatives(kept[50][0], 50, register_entry(results))
    say(f"judged by the examiner itself, 50 prompts: {results['judged by the examiner, 50 prompts']}")
    return results


def without_steps(values: Mapping[str, Pairs], sets: Sequence[NDArray[np.intp]]) -> dict[str, list[Scores]]:
    """The kept combination without one of its steps."""
    size = len(alpaca_eval.load().models)
    pairs = text_kinship.pairs_of(size)
    together = sum(values[name] for name in text_kinship.WEIGHTS)

    def matrix(mean: NDArray[np.float64]) -> Scores:
        found = np.zeros((size, size))
        found[pairs] = mean
        return found + found.T

    means = [matrix(np.nanmean(together[chosen], axis=0)) for chosen in sets]
    normal = sum(ndtri(values[name] + 0.5) for name in text_kinship.WEIGHTS)
    return {
        "kept, normal scores in place of ranks": [text_kinship.kinship(normal[chosen], size) for chosen in sets],
        "kept, model effects left in": means,
        "kept, not divided by spreads": [text_kinship.without_model_effects(mean) for mean in means],
    }


def register_entry(results: Mapping[str, Any]) -> Calibration:
    data = alpaca_eval.load()
    power = results["power"]["50"]
    lineages = len(set(data.lineages) - {""}) - 1
    share = results["accused"]["50"]["rank among lineages"]["p <= 0.05"][2]
    rows = results["variants at 50 prompts"]
    tried = tuple(
        f"{name}: AUC at 50 prompts {', '.join(f'{kind} {value:.4f}' for kind, value in row.items())}"
        for name, row in rows.items()
    )
    entry = RegisterEntry(
        test=examiner.TESTS[0].id,
        null=Null.POPULATION,
        formula_version=examiner.VERSION,
        chance=None,
        # Rounded as findings are: a p of exactly DETECTION_P counts as detected.
        detection_log10_p=round_against_accuser(math.log10(DETECTION_P), accuses_when="small"),
        validated_for=("English answers to open instructions",),
        strangers=(
            StrangerCount(
                kind="unrelated models of different labs at 50 prompts; exceeding: lineages times the share with "
                "p <= 0.05 (its upper 95 % limit over labs), rounded up",
                lineages=lineages,
                exceeding=math.ceil(lineages * share),
                tests=results["stranger pairs"],
                largest_share=share,
            ),
        ),
        relatives=tuple(
            RelationPower(
                relation=f"{kind}, 50 prompts",
                detected=power[kind]["by lineage"],
                lineages=power[kind]["lineages"],
            )
            for kind in CLAIMED
        ),
        calibrated_on=f"AlpacaEval outputs, {len(data.models)} models x {len(data.prompts)} prompts; features version "
        f"{text_features.VERSION}",
        date=DATE,
        tried=(
            *tried,
            "per-prompt signed ranks: p <= 0.001 for "
            f"{results['accused']['502']['per-prompt signed ranks']['p <= 0.001'][0]:.2f} of unrelated pairs at 502 prompts (dropped)",
            "Gaussian tail over control lineages: p <= 0.001 for "
            f"{results['accused']['502']['Gaussian tail (a score)']['p <= 0.001'][0]:.4f} of unrelated pairs (kept as a score only)",
        ),
        made_by="studies/text_kinship.py",
    )
    return Calibration(examiner=examiner.NAME, entries=(entry,))


def shortfalls(results: Mapping[str, Any]) -> list[str]:
    """What was asked beforehand and these results do not show."""
    found = []
    table = results["AUC by prompts"]["50"]
    for kind, asked in ASKED.items():
        if table[kind]["AUC"] < asked:
            found.append(f"AUC at 50 prompts, {kind}: {table[kind]['AUC']} of {asked}")
    for size, rows in results["accused"].items():
        row = rows["rank among lineages"]
        for level in LEVELS:
            share, low, _ = row[f"p <= {level:g}"]
            if low > level:
                found.append(f"{size} prompts: {share} of unrelated pairs have p <= {level:g}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write pack, register entry and results")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a figure falls short")
    arguments = parser.parse_args()
    started = time.monotonic()
    if arguments.write:
        make_pack()
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
