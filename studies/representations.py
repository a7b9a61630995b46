"""What running models show of kinship, and what strangers of the same corpus show: `python -m studies.representations`.

    1. The zoo's pairs (studies/weights.py names them), each through the examiner: relatives, strangers, hard strangers, students.
    2. A population: founders of the example cases' zoo, most of them trained on the same text from other random numbers, and
       relatives of one of them. Every pair of founders is measured; each founder is ranked among the others against each.
    3. For comparison: linear CKA of the same neurons; how the share of strangers' neurons grows with the amount of text.
    4. Write the register of nulls (filiation/calibration/representations.json) and studies/results/representations.json.

The chance c = 0.20 was set after a first look at the small zoo, where one stranger reached .0625 of a layer (the weights examiner holds
c = 0.10): twice as wide, because running strangers of one language do share some features. The population was measured after that.
`--check` fails where a layer of a stranger exceeds c / 2, or where a claim is not kept.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track

from filiation.evidence import Absent, Finding, Null, Observation, Relation, RelationPower, Relations
from filiation.examiners import representations
from filiation.examiners.examiner import Subject
from filiation.measures.neurons import one_thread
from filiation.measures.representations import (
    Halves,
    by_halves,
    by_parts,
    chosen_pieces,
    common_places,
    heard,
    linear_cka,
    neutral_pieces,
    ready,
)
from filiation.sources.open import open_source
from filiation.sources.running import load_model
from filiation.statistics.line_up import rank_among_lineages
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from studies.cases import models as case_models
from studies.weights import Pair, pairs_of
from studies.zoo import Zoo, build

CHANCE = 0.20
DETECTION = {representations.HALVES.id: -1.30103, representations.PARTS.id: -12.0}
SEED = 20_261
PLACES = 4096
SECTIONS = ("population", "amounts", "pairs")
AMOUNTS = (512, 1024, 2048, 4096, 8192, 16384)
RESULTS = Path(__file__).parent / "results" / "representations.json"
REGISTER = Path(representations.__file__).parents[1] / "calibration" / "representations.json"
RELATIVES = (
    "fine-tuned",
    "continued",
    "lora",
    "int4",
    "pruned-half",
    "heavy",
    "laundered-tuned",
    "merge-50",
    "sibling",
    "student-logits",
    "student-hidden",
)
"""Relatives of base-a in the population's zoo, students and a sibling among them."""
UNCLAIMED = frozenset(
    {
        "30/70 merge with a stranger",
        "40/60 merge with a stranger",
        "50/50 merge with a stranger",
        "layers stitched from two parents",
        "noise of 1x the weights' sd",
        "noise of 2x the weights' sd",
        "embeddings re-initialised",
        "MLPs re-initialised",
        "sibling of the same initialisation",
    }
)
"""Relations that the examiner does not claim: their power stands in the results and not in the register."""

TRIED = (
    "the products on both halves of the text under a null by model (strangers coincide at a third to two thirds of the neurons)",
    "gate on both halves (the same)",
    "gate on one half, up on the other (used, c = 0.20)",
    "c = 0.10, as for weights (one stranger of the small zoo reached .0625 of a layer, beyond c / 2)",
    "activations whitened over the places (no fewer coincidences of strangers than correlations)",
    "linear CKA (no null; strangers .3 to .9)",
)


# ------------------------------------------------------------------------------------------------------- 1. the zoo's pairs


def related(zoo: Zoo, pair: Pair, places: int) -> Relation | Absent:
    """One pair, as the examiner relates it when it is told to run models."""
    subjects = []
    for name in (pair.first, pair.second):
        source = open_source(zoo[name])
        seen = representations.observe(source)
        assert isinstance(seen, Observation), seen
        subjects.append(Subject(source=source, observation=seen, parameters={"run": True, "places": places}))
    return representations.relate(*subjects, SEED)


def pair_rows(zoo: Zoo, places: int, console: Console) -> list[dict[str, Any]]:
    """Per pair the counts of every layer by halves and by parts, and log10 p of the total by parts."""
    rows = []
    for pair in track(pairs_of(zoo), "running pairs", console=console):
        found = related(zoo, pair, places)
        if isinstance(found, Absent):
            rows.append({**pair._asdict(), "declined": found.reason})
            continue
        judged = representations.judge(Relations(pair=found), (), provisional_register(found.content["families"]))
        log10_p = next((outcome.log10_p for outcome in judged if isinstance(outcome, Finding)), None)
        rows.append(
            {
                **pair._asdict(),
                "families": found.content["families"],
                "kind_of_mlp": found.content["kind"],
                "layers": found.content["layers"],
                "log10_p": log10_p,
            }
        )
    return rows


def share(layer: Mapping[str, int], way: str) -> float:
    return layer[way] / max(1, layer["opportunities"])


# -------------------------------------------------------------------------------------------------------- 2. the population


def population_zoo(number: int | None, console: Console) -> Zoo:
    """Founders of the example cases, all or the first so many, and relatives of base-a."""
    founders = [name for name in case_models.MEMBERS if name.startswith("base-")][:number]
    built = build(case_models.SIZE, only=(*founders, "same-order", *RELATIVES), device="cpu")
    console.print(f"population: {len(founders)} founders")
    return Zoo(built.root, built.tree, (*founders, "same-order", *RELATIVES))


def heard_alike(zoo: Zoo, names: Sequence[str], places: int) -> dict[str, list[Halves]]:
    """Every model on one text (they have one tokenizer), its neurons made ready."""
    rng = np.random.default_rng(SEED)
    pieces = neutral_pieces(case_models.SIZE.context, rng)
    kept: dict[str, list[Halves]] = {}
    for name in names:
        model = load_model(zoo[name])
        if not kept:
            ends = [model.token_ends(piece) for piece in pieces]
            pieces = pieces[: chosen_pieces(pieces, ends, ends, places)]
            at = [common_places(end, end)[0] for end in ends[: len(pieces)]]
        layers = range(model.layers)
        kept[name] = [ready(layer, rng) for layer in heard(model, pieces, at, layers, True)]
    return kept


def measured(one: Sequence[Halves], other: Sequence[Halves], rng: np.random.Generator) -> dict[str, float]:
    """Shares of all layers' neurons, the largest layer by parts, and mean CKA."""
    pairs = list(zip(one, other, strict=True))
    possible = [min(a.neurons, b.neurons) for a, b in pairs]
    parts = [by_parts(a, b, rng) for a, b in pairs]
    return {
        "by_halves": sum(by_halves(a, b, rng) for a, b in pairs) / sum(possible),
        "by_parts": sum(parts) / sum(possible),
        "largest_layer_by_parts": max(count / size for count, size in zip(parts, possible, strict=True)),
        "cka": float(np.mean([linear_cka(a.product[1], b.product[1]) for a, b in pairs])),
    }


def population(zoo: Zoo, places: int, console: Console) -> dict[str, Any]:
    """Every pair of founders, every relative against base-a, and the ranks that follow."""
    founders = [name for name in zoo.names if name.startswith("base-")]
    rng = np.random.default_rng(SEED)
    layers = heard_alike(zoo, zoo.names, places)
    strangers = {
        (one, other): measured(layers[one], layers[other], rng)
        for one, other in track(list(itertools.combinations(founders, 2)), "founders", console=console)
    }
    relatives = {
        name: measured(layers["base-a"], layers[name], rng) | {"relation": zoo.relation("base-a", name)}
        for name in ("same-order", *RELATIVES)
    }
    return {
        "founders": len(founders),
        "places": places,
        "pairs": len(strangers),
        "strangers": {
            key: _spread([found[key] for found in strangers.values()]) for key in next(iter(strangers.values()))
        },
        "strangers_by_text": _by_text(zoo, strangers),
        "ranks": {key: _ranks(founders, strangers, key) for key in ("by_halves", "cka")},
        "relatives": {
            name: found | {f"p_{key}": _rank(found[key], founders, strangers, key) for key in ("by_halves", "cka")}
            for name, found in relatives.items()
        },
    }


def _by_text(zoo: Zoo, strangers: Mapping[tuple[str, str], Mapping[str, float]]) -> dict[str, Any]:
    """Strangers that read the same half of the library, and strangers that read different halves."""
    groups: dict[str, list[float]] = defaultdict(list)
    for (one, other), found in strangers.items():
        same = zoo.tree.members[one].part == zoo.tree.members[other].part
        groups["same text" if same else "other text"].append(found["by_halves"])
    return {group: _spread(values) for group, values in groups.items()}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "smallest": round(min(values), 4),
        "mean": round(float(np.mean(values)), 4),
        "largest": round(max(values), 4),
    }


def _score(pairs: Mapping[tuple[str, str], Mapping[str, float]], one: str, other: str, key: str) -> float:
    return pairs[(one, other) if (one, other) in pairs else (other, one)][key]


def _rank(
    score: float, founders: Sequence[str], strangers: Mapping[tuple[str, str], Mapping[str, float]], key: str
) -> float:
    """p of a relative of base-a among all other founders."""
    others = {name: [_score(strangers, "base-a", name, key)] for name in founders if name != "base-a"}
    return round(10 ** rank_among_lineages(score, others).log10_p, 4)


def _ranks(
    founders: Sequence[str], strangers: Mapping[tuple[str, str], Mapping[str, float]], key: str
) -> dict[str, Any]:
    """Each founder as suspect against each as reference, ranked among the rest: shares of small p, at most that if ranks hold."""
    p_values = []
    for reference, suspect in itertools.permutations(founders, 2):
        rest = {
            name: [_score(strangers, reference, name, key)] for name in founders if name not in (reference, suspect)
        }
        p_values.append(10 ** rank_among_lineages(_score(strangers, reference, suspect, key), rest).log10_p)
    values = np.array(p_values)
    # A suspect that every reference ranks high (a model much like all others) is where a rank would accuse again and again.
    worst = values.reshape(len(founders), -1)
    return {
        "pairs": len(p_values),
        "at most .05": round(float(np.mean(values <= 0.05 + 1e-9)), 4),
        "at most .10": round(float(np.mean(values <= 0.10 + 1e-9)), 4),
        "references with a suspect at the smallest p": int(np.sum(worst.min(axis=1) <= 1 / (len(founders) - 1) + 1e-9)),
        "largest share of references that put one suspect at .05": _always_high(founders, values),
    }


def _always_high(founders: Sequence[str], values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    counts: dict[str, int] = defaultdict(int)
    for (_, suspect), p in zip(itertools.permutations(founders, 2), values, strict=True):
        counts[suspect] += bool(p <= 0.05 + 1e-9)
    return round(max(counts.values()) / (len(founders) - 1), 4)


# ----------------------------------------------------------------------------------------------------- 3. amounts of text


def amounts(zoo: Zoo) -> list[dict[str, Any]]:
    """Strangers of one corpus on more and more text: by halves they come to agree, by parts they do not."""
    rows = []
    names = ("base-a", "base-b", "base-c")
    for places in AMOUNTS:
        layers = heard_alike(zoo, names, places)
        rng = np.random.default_rng(SEED)
        found = [measured(layers[one], layers[other], rng) for one, other in itertools.combinations(names, 2)]
        rows.append(
            {"places": places} | {key: _spread([each[key] for each in found]) for key in ("by_halves", "by_parts")}
        )
    return rows


# ---------------------------------------------------------------------------------------------------------- 4. the register


def provisional_register(families: Sequence[str]) -> Calibration:
    """The register before any lineage was counted: what the figures are computed with."""
    return Calibration(
        examiner=representations.NAME,
        entries=tuple(
            _entry(test.id, test.null, tuple(sorted(set(families))), (), (), "") for test in representations.TESTS
        ),
    )


def _entry(
    test: str,
    null: Null,
    families: tuple[str, ...],
    strangers: tuple[StrangerCount, ...],
    relatives: tuple[RelationPower, ...],
    calibrated_on: str,
) -> RegisterEntry:
    return RegisterEntry(
        test=test,
        null=null,
        formula_version="1",
        chance=CHANCE if null is Null.MODEL else None,
        detection_log10_p=DETECTION[test],
        validated_for=families,
        strangers=strangers,
        relatives=relatives,
        calibrated_on=calibrated_on,
        date=datetime.date.today().isoformat() if calibrated_on else "",
        tried=TRIED,
        made_by="python -m studies.representations",
    )


def counted_register(found: Mapping[str, Any]) -> Calibration:
    """Strangers and relatives by lineage; a test whose section was not measured has no entry."""
    entries = []
    if "population" in found:
        entries.append(_entry_of_the_rank(found["population"]))
    if "pairs" in found:
        gated = [row for row in found["pairs"]["rows"] if row.get("kind_of_mlp") == "gated"]
        families = tuple(sorted({family for row in gated for family in row["families"]}))
        calibrated_on = (
            f"the {found['pairs']['size']} zoo, {len(gated)} pairs of gated MLPs, {found['pairs']['places']} places"
        )
        strangers, relatives = (_stranger_count(gated),), tuple(_relative_counts(gated))
        entries.append(_entry(representations.PARTS.id, Null.MODEL, families, strangers, relatives, calibrated_on))
    return Calibration(examiner=representations.NAME, entries=tuple(entries))


def _entry_of_the_rank(people: Mapping[str, Any]) -> RegisterEntry:
    founders, ranks = people["founders"], people["ranks"]["by_halves"]
    return _entry(
        representations.HALVES.id,
        Null.POPULATION,
        ("llama",),
        (
            StrangerCount(
                kind="founders of one architecture, ranked against one another",
                lineages=founders,
                exceeding=round(founders * ranks["at most .05"]),
                tests=ranks["pairs"],
                largest_share=people["strangers"]["by_halves"]["largest"],
            ),
            *(
                StrangerCount(
                    kind=f"hard stranger: {each['relation']}",
                    lineages=1,
                    exceeding=int(each["p_by_halves"] <= 0.05),
                    tests=1,
                    largest_share=round(each["by_halves"], 6),
                )
                for each in (people["relatives"]["same-order"],)
            ),
        ),
        tuple(
            RelationPower(relation=each["relation"], detected=int(each["p_by_halves"] <= 0.05), lineages=1)
            for each in people["relatives"].values()
            if each["relation"] in CLAIMED_OF_A_RANK
        ),
        f"{founders} founders of the example cases' zoo, {people['pairs']} pairs, {people['places']} places",
    )


CLAIMED_OF_A_RANK = frozenset(
    {
        "fine-tune",
        "LoRA merged",
        "int4",
        "50 % magnitude-pruned",
        "everything laundered, then fine-tuned",
    }
)


def _stranger_count(rows: Sequence[Mapping[str, Any]]) -> StrangerCount:
    """Strangers, hard ones and students, by lineage: a lineage exceeds when a layer of any of its pairs does."""
    lineages: dict[str, bool] = {}
    shares = []
    for row in rows:
        if row["group"] not in ("stranger", "hard stranger", "student"):
            continue
        found = [share(layer, "by_parts") for layer in row["layers"]]
        shares += found
        for lineage in row["lineages"].split("|"):
            lineages[lineage] = lineages.get(lineage, False) or max(found) > CHANCE
    return StrangerCount(
        kind="strangers, hard ones and students of outputs among them",
        lineages=len(lineages),
        exceeding=sum(lineages.values()),
        tests=len(shares),
        largest_share=round(max(shares), 6),
    )


def _relative_counts(rows: Sequence[Mapping[str, Any]]) -> list[RelationPower]:
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for row in rows:
        if row["group"] in ("relative", "sibling") and row["kind"] not in UNCLAIMED:
            known = found[row["kind"]].get(row["first"], True)
            found[row["kind"]][row["first"]] = known and row["log10_p"] <= DETECTION[representations.PARTS.id]
    return [RelationPower(relation=k, detected=sum(v.values()), lineages=len(v)) for k, v in sorted(found.items())]


def broken_promises(found: Mapping[str, Any]) -> list[str]:
    """Layers of strangers beyond c / 2 and claims that are not kept, by parts."""
    broken = []
    for row in found.get("pairs", {"rows": ()})["rows"]:
        if row.get("kind_of_mlp") != "gated":
            continue
        largest = max(share(layer, "by_parts") for layer in row["layers"])
        names = f"{row['first']} | {row['second']} ({row['kind']})"
        if row["group"] in ("stranger", "hard stranger", "student") and largest > CHANCE / 2:
            broken.append(f"{names}: {largest:.4f} of a layer exceeds c / 2")
        if row["group"] == "relative" and row["kind"] not in UNCLAIMED and row["log10_p"] > -12:
            broken.append(f"{names}: log10 p {row['log10_p']:.1f}")
    if "population" in found:
        largest = found["population"]["strangers"]["largest_layer_by_parts"]["largest"]
        if largest > CHANCE / 2:
            broken.append(f"founders: {largest} of a layer exceeds c / 2")
    return broken


# ------------------------------------------------------------------------------------------------------------------- main


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m studies.representations", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--size", default="test", choices=("test", "full"))
    parser.add_argument(
        "--only", default="all", choices=("all", *SECTIONS), help="one section; the others stay as written"
    )
    parser.add_argument("--founders", type=int, help="of the population, the first so many")
    parser.add_argument("--places", type=int, default=PLACES)
    parser.add_argument("--write", action="store_true", help="write the register of nulls and the results")
    parser.add_argument("--check", action="store_true", help="exit 1 where a claim is not kept")
    asked = parser.parse_args(arguments)
    console = Console(width=160)
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() and asked.only != "all" else {}
    wanted = SECTIONS if asked.only == "all" else (asked.only,)
    with one_thread():
        if "population" in wanted:
            found["population"] = population(population_zoo(asked.founders, console), asked.places, console)
        if "amounts" in wanted:
            found["amounts"] = amounts(population_zoo(3, console))
        if "pairs" in wanted:
            rows = pair_rows(build(asked.size, device="cpu"), asked.places, console)
            found["pairs"] = {"size": asked.size, "places": asked.places, "rows": rows}
    console.print_json(json.dumps({name: found[name] for name in wanted if name != "pairs"}))
    broken = broken_promises(found)
    for promise in broken:
        console.print(f"[bold]not kept:[/bold] {promise}", highlight=False)
    if asked.write:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        counted = counted_register(found)
        REGISTER.write_bytes(msgspec.json.format(msgspec.json.encode(counted), indent=1) + b"\n")
    return 1 if broken and asked.check else 0


if __name__ == "__main__":
    sys.exit(main())
