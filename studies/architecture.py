"""Calibrate the architecture examiner: is its rank p at most uniform for unrelated lineages, and what does it find?

    python -m studies.architecture

Every model of the public table stands once in the suspect's role against every other as reference, both their lineages
held out of the rank. Pairs of different lineages are strangers: within each pair of lineages the pairs of models are
averaged, because they are not independent. Relatives are documented derivatives and their parents. Writes the register
entry (`src/filiation/calibration/architecture.json`) and `studies/results/architecture.json`.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

import msgspec

from filiation.evidence import Null, RelationPower, round_against_accuser
from filiation.examiners import architecture
from filiation.measures.design import PublicDesign, agreeing, comparable
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount

ROOT = Path(__file__).parent.parent
REGISTER = ROOT / "src" / "filiation" / "calibration" / "architecture.json"
RESULTS = ROOT / "studies" / "results" / "architecture.json"
DATE = "2026-11-20"
LEVELS = (0.025, 0.05, 0.1, 0.2, 0.5)
DETECTION_P = 0.05

# (parent or its sibling of one design, derivative), as their publishers document it.
RELATIVES = (
    ("Llama-2-7b-hf", "CodeLlama-7b-hf"),
    ("Llama-2-13b-hf", "Llama-2-13b-chat-hf"),
    ("Llama-2-13b-hf", "CodeLlama-13b-Instruct-hf"),
    ("Llama-3.1-8B", "DeepSeek-R1-Distill-Llama-8B"),
    ("Llama-3.1-70B-Instruct", "DeepSeek-R1-Distill-Llama-70B"),
    ("Llama-3.1-8B", "Hermes-3-Llama-3.1-8B"),
    ("Meta-Llama-3-8B", "Hermes-2-Pro-Llama-3-8B"),
    ("Mistral-7B-v0.1", "zephyr-7b-beta"),
    ("Mistral-7B-v0.1", "Mistral-7B-Instruct-v0.3"),
    ("Ministral-3-3B-Base-2512", "Ministral-3-3B-Reasoning-2512"),
    ("Qwen2.5-7B", "Qwen2.5-7B-Instruct"),
    ("Qwen2.5-14B-Instruct", "DeepSeek-R1-Distill-Qwen-14B"),
    ("Qwen2.5-32B-Instruct", "DeepSeek-R1-Distill-Qwen-32B"),
    ("Qwen2.5-7B", "Qwen2.5-Coder-7B-Instruct"),
    ("Qwen2.5-Coder-7B-Instruct", "NextCoder-7B"),
    ("Qwen2.5-14B-Instruct", "NextCoder-14B"),
    ("Qwen2.5-7B", "WeDLM-7B-Base"),
    ("Qwen3-8B", "WeDLM-8B-Base"),
    ("Qwen3-8B", "T-lite-it-2.1"),
    ("Qwen3-14B", "Hermes-4-14B"),
    ("Qwen3-14B", "NousCoder-14B"),
    ("Qwen3.5-9B", "OmniCoder-9B"),
    ("Yi-Coder-9B", "Yi-Coder-9B-Chat"),
    ("Phi-4-mini-instruct", "Phi-4-mini-reasoning"),
    ("tiny-aya-base", "tiny-aya-global"),
    ("gemma-7b", "gemma-1.1-7b-it"),
    ("gemma-2b", "gemma-1.1-2b-it"),
    ("granite-3.1-8b-instruct", "granite-3.3-8b-instruct"),
)


def rank_p(
    reference: PublicDesign, suspect: PublicDesign, public: tuple[PublicDesign, ...]
) -> tuple[float, float] | None:
    """(p, share of features that agree), both lineages held out; None where too little can be compared."""
    features = comparable(reference.design, suspect.design)
    if len(features) < architecture.FEWEST_FEATURES:
        return None
    shared = agreeing(reference.design, suspect.design, features)
    held_out = {reference.lineage, suspect.lineage}
    others = [entry for entry in public if entry.lineage not in held_out]
    content = {
        "features": list(features),
        "shared": list(shared),
        "population": architecture.population(reference.design, features, others),
    }
    closer = len(architecture.closer_lineages(content))
    return (closer + 1) / (len(content["population"]) + 1), len(shared) / len(features)


def strangers(public: tuple[PublicDesign, ...]) -> dict[tuple[str, str, str], list[tuple[float, float, bool]]]:
    """(reference model, its lineage, suspect lineage) -> one (p, share, both of one size class and kind) per suspect."""
    found = defaultdict(list)
    released = [entry for entry in public if not entry.model.endswith(architecture.CLASS_DEFAULT)]
    for reference in released:
        for suspect in released:
            if reference.lineage != suspect.lineage and (ranked := rank_p(reference, suspect, public)):
                key = (reference.model, reference.lineage, suspect.lineage)
                found[key].append((*ranked, _alike(reference, suspect)))
    return found


def _alike(first: PublicDesign, second: PublicDesign) -> bool:
    """Both dense, RMSNorm, SiLU, and within a factor of two in hidden size: the hardest strangers."""
    kinds = ({"norm_type": "RMSNorm", "hidden_act": "silu"}.items(),)
    dense = all(set(kind) <= set(entry.design.items()) for kind in kinds for entry in (first, second))
    ratio = int(first.design["hidden_size"]) / int(second.design["hidden_size"])
    return dense and 0.5 <= ratio <= 2.0


def exceedance(found: dict[tuple[str, str, str], list[tuple[float, float, bool]]], level: float, alike: bool) -> float:
    """The share of stranger pairs with p <= level, every ordered pair of lineages counting once."""
    by_pair = defaultdict(list)
    for (_, first, second), ranks in found.items():
        by_pair[first, second] += [p <= level for p, _, both in ranks if both or not alike]
    shares = [sum(hits) / len(hits) for hits in by_pair.values() if hits]
    return round(sum(shares) / len(shares), 4)


def most_lineages_detected(found: dict[tuple[str, str, str], list[tuple[float, float, bool]]]) -> int:
    """Over all references, the largest number of stranger lineages of which some model has p <= DETECTION_P."""
    detected = defaultdict(set)
    for (model, _, second), ranks in found.items():
        if any(p <= DETECTION_P for p, _, _ in ranks):
            detected[model].add(second)
    return max((len(lineages) for lineages in detected.values()), default=0)


def main() -> None:
    public, table = architecture.public_table()
    found = strangers(public)
    by_model = {entry.model: entry for entry in public}
    related = [
        (first, second, *(rank_p(by_model[first], by_model[second], public) or ())) for first, second in RELATIVES
    ]
    detected = defaultdict(list)
    for first, _, p, _ in related:
        detected[by_model[first].lineage].append(p <= DETECTION_P)
    lineages = {entry.lineage for entry in public if not entry.model.endswith(architecture.CLASS_DEFAULT)}
    pairs = sum(len(ranks) for ranks in found.values())
    power = RelationPower(
        relation="fine-tuned or continued, both designs public",
        detected=sum(all(hits) for hits in detected.values()),
        lineages=len(detected),
    )
    entry = RegisterEntry(
        test=architecture.TESTS[0].id,
        null=Null.POPULATION,
        formula_version=architecture.VERSION,
        chance=None,
        # Rounded as findings are: a p of exactly DETECTION_P counts as detected.
        detection_log10_p=round_against_accuser(math.log10(DETECTION_P), accuses_when="small"),
        validated_for=("decoder-only",),
        strangers=(
            StrangerCount(
                kind="released models of different lineages",
                lineages=len(lineages) - 1,
                exceeding=most_lineages_detected(found),
                tests=pairs,
                largest_share=round(max(share for ranks in found.values() for _, share, _ in ranks), 6),
            ),
        ),
        relatives=(power,),
        calibrated_on=f"public_configurations.csv, SHA-256 {table}",
        date=DATE,
        tried=(
            "number of shared features, unweighted",
            "features weighted by -log10 of the share of lineages that have the reference's value (kept)",
        ),
        made_by="studies/architecture.py",
    )
    calibration = Calibration(examiner=architecture.NAME, entries=(entry,))
    results = {
        "public designs": len(public),
        "lineages": len({entry.lineage for entry in public}),
        "lineages with released models": len(lineages),
        "stranger pairs of models": pairs,
        "stranger pairs with p <= level": {str(level): exceedance(found, level, False) for level in LEVELS},
        "the same, dense RMSNorm SiLU models within a factor of two in width": {
            str(level): exceedance(found, level, True) for level in LEVELS
        },
        "most stranger lineages detected against one reference": entry.strangers[0].exceeding,
        "relatives": [
            {"parent": first, "derivative": second, "p": round(p, 4), "agree": round(share, 4)}
            for first, second, p, share in related
        ],
        "relatives detected, pairs": sum(p <= DETECTION_P for _, _, p, _ in related),
        "relatives detected, lineages with every pair": f"{power.detected} of {power.lineages}",
        "relatives detected by lineage": {
            name: f"{sum(hits)} of {len(hits)}" for name, hits in sorted(detected.items())
        },
    }
    REGISTER.write_bytes(msgspec.json.format(msgspec.json.encode(calibration, order="deterministic"), indent=1) + b"\n")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
