"""Calibrate the verbatim examiner: `python -m studies.verbatim`. About two minutes on one core.

Recorded answers of 139 models (studies/alpaca_eval.py): how many long identical answers and passages unrelated pairs share,
how often their ranks reach a level with both labs held out, and what is found: correctors and ensembles around a recorded
model, and copies planted here, where the truth is known. Writes `studies/results/verbatim.json` and the register.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.evidence import Null, RelationPower, round_against_accuser
from filiation.examiners import verbatim
from filiation.measures.verbatim import (
    PASSAGE,
    WORDS,
    SharedTexts,
    identical_answers,
    nothing_shared,
    passages,
    shared_texts,
    words_of,
)
from filiation.statistics.line_up import Population, held_out_calibration
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from studies.alpaca_eval import AlpacaEval, load
from studies.teacher import answers, most_strangers, pair_p, related

ROOT = Path(__file__).resolve().parent
RESULTS = ROOT / "results" / "verbatim.json"
REGISTER = ROOT.parent / "src" / "filiation" / "calibration" / "verbatim.json"
DATE = "2026-11-21"
DETECTION_P = 0.05
SEED = 4
PLANTED = (0.004, 0.01, 0.02, 0.05)
PLANTINGS = 60


@cache
def rarity_related() -> NDArray[np.bool_]:
    """Who may share a text without making it common: known relatives. Of unknown relation to all is no reason."""
    data = load()
    found = related(data).copy()
    found[data.relation == "unknown"] = False
    return found


@cache
def shared_answers(fewest: int = WORDS) -> SharedTexts:
    table = answers()
    return identical_answers(
        table.features.whole, table.features.words, table.model, table.prompt, rarity_related(), fewest
    )


@cache
def words() -> tuple[list[list[str]], dict[str, list[str]]]:
    frame = load().frame
    asked = frame.select("prompt_id", "prompt").unique("prompt_id")
    return [words_of(text or "") for text in frame["text"].to_list()], {
        name: words_of(prompt) for name, prompt in asked.iter_rows()
    }


@cache
def shared_passages(length: int = PASSAGE) -> SharedTexts:
    data, table = load(), answers()
    texts, asked = words()
    total = nothing_shared(len(data.models))
    for at, name in enumerate(data.prompts):
        rows = np.flatnonzero(table.prompt == at)
        runs = passages([texts[row] for row in rows], [asked[name]] * len(rows), length)
        total = total + shared_texts(runs, table.model[rows], table.prompt[rows], rarity_related())
    return total


def by_relation(shared: SharedTexts, data: AlpacaEval) -> dict[str, list[float]]:
    """Relation to [pairs, mean, largest, share of pairs with any, mean of those dropped as common]."""
    upper = np.triu(np.ones(data.relation.shape, dtype=np.bool_), 1)
    found = {}
    for kind in sorted(set(data.relation.ravel().tolist())):
        pairs = upper & (data.relation == kind)
        rare, common = shared.rare[pairs], shared.common[pairs]
        found[kind or "unrelated"] = [
            len(rare),
            round(float(rare.mean()), 4),
            int(rare.max()),
            round(float((rare > 0).mean()), 4),
            round(float(common.mean()), 4),
        ]
    return found


def planted(data: AlpacaEval, scores: NDArray[np.int64], rng: np.random.Generator) -> dict[str, list[object]]:
    """A share of a stranger's long answers replaced by the reference's: share -> [detected, tried, suspect lineages, with every].

    The planted answers are long ones of the reference that nobody else gives, added to what the two share already.
    """
    table = answers()
    strangers = np.argwhere((~related(data)) & ~np.eye(len(data.models), dtype=np.bool_))
    known = [pair for pair in strangers.tolist() if data.lineages[pair[0]] and data.lineages[pair[1]]]
    cases = rng.choice(len(known), size=PLANTINGS, replace=False)
    long = np.bincount(table.model[table.features.words >= WORDS], minlength=len(data.models))
    found: dict[str, list[object]] = {}
    for share in PLANTED:
        hits: dict[str, list[bool]] = defaultdict(list)
        for case in cases:
            one, other = known[case]
            changed = scores.astype(np.float64)
            changed[one, other] += rng.binomial(long[one], share)
            hits[data.lineages[other]].append(pair_p(changed, one, other, data)[0] <= DETECTION_P)
        found[f"{share:g}"] = [
            sum(map(sum, hits.values())),
            len(cases),
            len(hits),
            sum(all(hit) for hit in hits.values()),
        ]
    return found


def main() -> None:
    data, rng = load(), np.random.default_rng(SEED)
    known = [at for at in range(len(data.models)) if data.lineages[at]]
    results: dict[str, object] = {"models": len(data.models), "prompts": len(data.prompts)}
    entries = []
    wrappers = [(i, j) for i, j, kind in data.related if kind == "wrapper"]
    place = {name: at for at, name in enumerate(data.models)}
    # The wrapped model is the reference: it is the one that the other names as its parent.
    wrappers = [(i, j) if place.get(data.parents[j]) == i else (j, i) for i, j in wrappers]
    for test, shared, other in (
        (verbatim.TESTS[0], shared_passages(), {"30 words": by_relation(shared_passages(30), data)}),
        (verbatim.TESTS[1], shared_answers(), {"10 words": by_relation(shared_answers(10), data)}),
    ):
        scores = shared.rare.astype(np.float64)
        population = Population(
            scores=scores[np.ix_(known, known)],
            lineages=[data.lineages[at] for at in known],
            labs=[data.labs[at] for at in known],
            related=related(data)[np.ix_(known, known)],
        )
        levels = held_out_calibration(population, np.random.default_rng(SEED))
        plants = planted(data, shared.rare, rng)
        tried = plants[f"{PLANTED[-1]:g}"]
        hits: dict[str, list[bool]] = defaultdict(list)
        rows = {}
        for one, suspect in wrappers:
            p, count = pair_p(scores, one, suspect, data)
            hits[data.lineages[suspect] or data.models[suspect]].append(p <= DETECTION_P)
            rows[f"{data.models[one]} | {data.models[suspect]}"] = [int(scores[one, suspect]), round(p, 4), count]
        powers = (
            RelationPower(
                relation=f"{PLANTED[-1]:.0%} of the answers passed on (planted)",
                detected=int(str(tried[3])),
                lineages=int(str(tried[2])),
            ),
            RelationPower(
                relation="corrector or ensemble around the reference",
                detected=sum(all(hit) for hit in hits.values()),
                lineages=len(hits),
            ),
        )
        exceeding = most_strangers(population)
        highest = np.argsort(-np.triu(scores, 1), axis=None)[:20]
        top = [divmod(int(at), len(data.models)) for at in highest]
        results[test.id] = {
            "relation: pairs, mean, largest, share of pairs with any, mean of dropped ones": by_relation(shared, data),
            "the same, other lengths": other,
            "held-out labs": {
                str(level.level): [level.share_ppm / 1e6, level.low_ppm / 1e6, level.high_ppm / 1e6] for level in levels
            },
            "unrelated pairs": levels[0].pairs,
            "most stranger lineages detected against one reference": exceeding,
            "planted share: detected, tried, suspect lineages, lineages with every pair": plants,
            "wrappers: prompts shared, p, control lineages": rows,
            "pairs with most": [
                [data.models[i], data.models[j], str(data.relation[i, j]) or "unrelated", int(scores[i, j])]
                for i, j in top
            ],
        }
        entries.append(
            RegisterEntry(
                test=test.id,
                null=Null.POPULATION,
                formula_version=verbatim.VERSION,
                chance=None,
                # Rounded as findings are: a p of exactly DETECTION_P counts as detected.
                detection_log10_p=round_against_accuser(math.log10(DETECTION_P), accuses_when="small"),
                validated_for=("English answers to open instructions",),
                strangers=(
                    StrangerCount(
                        kind="recorded models of different lineages",
                        lineages=len({name for name in data.lineages if name}) - 1,
                        exceeding=exceeding,
                        tests=levels[0].pairs,
                        largest_share=round(levels[0].share_ppm / 1e6, 6),
                    ),
                ),
                relatives=powers,
                calibrated_on=f"{len(data.models)} recorded models x {len(data.prompts)} prompts of the public "
                "AlpacaEval results",
                date=DATE,
                tried=(
                    "identical answers of 10 words (dropped: prompts force them) and of 30 (kept)",
                    "passages of 30 words (dropped: unrelated pairs share them) and of 50 (kept; chosen after both were seen)",
                    "with and without dropping texts that an unrelated third model gives (dropping kept)",
                ),
                made_by="studies/verbatim.py",
            )
        )
    calibration = Calibration(examiner=verbatim.NAME, entries=tuple(entries))
    REGISTER.write_bytes(msgspec.json.format(msgspec.json.encode(calibration, order="deterministic"), indent=1) + b"\n")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
