"""How rare is the suspect's agreement with the reference's design among public designs?

A design (sizes, kinds of attention and norm, vocabulary size) is a *class characteristic*: it narrows a family down and can
never identify by itself, because a design is published, small enough to be written on a card, and copied openly by dozens.
The null is by population: the suspect is one more lineage, ranked among public lineages by how much of the reference's design
each has. Rare values weigh more than common ones; every lineage stands in the rank with its closest model.

With N lineages the smallest p is 1/(N+1), whatever the number of features. In the finding, `opportunities` are the public
lineages, `count` those that agree with the reference at least as much as the suspect does, and `chance` is
(count + 1) / (opportunities + 1): the chance of ranking so high for a lineage exchangeable with the others (written as
N / (N + 1) where it is 1, because a chance in a record lies below 1; the p is then 1).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Companion,
    Component,
    Finding,
    Identity,
    Inconclusive,
    Lineages,
    Multiplicity,
    Null,
    Observation,
    Outcome,
    Power,
    Proposition,
    Relation,
    Relations,
    Test,
    digest,
    round_against_accuser,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.outcomes import common_fields, effect_of, inconclusive_of
from filiation.measures.design import (
    SIZES,
    Design,
    PublicDesign,
    agreeing,
    comparable,
    design_of,
    is_decoder,
    own_lineage,
    read_public_designs,
)
from filiation.sources.source import Source
from filiation.statistics.e_values import log10_e_value_of_p
from filiation.statistics.likelihood import upper_limit
from filiation.statistics.register import Calibration, RegisterEntry

NAME = "architecture"
VERSION = "1"
QUESTION = "How rare is the suspect's agreement with the reference's design among public designs?"
NEEDS = (Access.CONFIGURATION,)
TESTS = (
    Test(
        id="architecture.design-rarity",
        proposition=Proposition.DESIGN,
        alternative="designed independently of each other",
        relation_class="common design (copied, derived from the model, or both from one source)",
        characteristic=Characteristic.CLASS,
        null=Null.POPULATION,
        symmetric=False,
        formula="(k + 1) / (N + 1), rank among public lineages by summed -log10 share of lineages with each shared value",
    ),
)
CLAIMS = ("copy", "fine-tune", "quantised", "laundered")
ASSUMPTIONS = (
    "Without copying, the suspect's lineage is exchangeable with the public lineages: its designers chose as theirs did.",
    "The public lineages in the table are the relevant population, and were not designed after the reference.",
)
REFERENCES = (
    "Besag and Clifford 1989, Generalized Monte Carlo significance tests (rank p-values)",
    "Vovk and Wang 2021, E-values: calibration, combination and applications (e-value of a p-value)",
)
LIMITATIONS = (
    "A class characteristic: it narrows a family down and can never identify a model by itself.",
    "A design is public as soon as its configuration is: agreement shows no access to weights, code or data.",
    "The table lists some public lineages, not all; a recipe that it does not list counts as rare.",
    "Direction is not told.",
)
PARAMETERS: dict[str, bool | int | float | str] = {}

CLASS_DEFAULT = "class default"
TABLE = "public_configurations.csv"
FEWEST_FEATURES = 8
FEWEST_SIZES = 5
FEWEST_LINEAGES = 20


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """The design that the configuration states."""
    configuration = source.configuration()
    if isinstance(configuration, Absent):
        return configuration
    design = design_of(configuration)
    if not design:
        return Absent(reason="the configuration states none of the features that are compared")
    content = {
        "design": design,
        "decoder": is_decoder(configuration),
        "model_type": str(configuration.get("model_type", "")),
    }
    return Observation(examiner=NAME, examiner_version=VERSION, exhibit=source.name, content=content)


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """Record what the two designs share, and what every public lineage shares with the first of them.

    An agreement is a number in which bit i says that feature i of `features` agrees.
    """
    table, table_digest = public_table()
    reference, suspect = first.observation, second.observation
    designs: tuple[Design, Design] = (reference.content["design"], suspect.content["design"])
    features = comparable(*designs)
    own = {own_lineage(seen.exhibit, seen.content["design"], table) for seen in (reference, suspect)}
    shared = agreeing(designs[0], designs[1], features)
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=reference.exhibit,
        second=suspect.exhibit,
        seed=seed,
        content={
            "reference": dict(designs[0]),
            "suspect": dict(designs[1]),
            "decoders": [reference.content["decoder"], suspect.content["decoder"]],
            "features": list(features),
            "shared": list(shared),
            "left_out": sorted(own - {""}),
            "population": population(designs[0], features, [entry for entry in table if entry.lineage not in own]),
            "class_defaults": [
                entry.model
                for entry in table
                if entry.model.endswith(CLASS_DEFAULT)
                and set(agreeing(designs[0], entry.design, shared)) == set(shared)
            ],
            "table": table_digest,
            "summary": {TESTS[0].id: {"count": len(shared), "opportunities": len(features)}},
        },
    )


def population(reference: Design, features: Sequence[str], public: Sequence[PublicDesign]) -> dict[str, dict[str, int]]:
    """Per lineage, model -> agreement with the reference; models that agree with less than another of theirs left out."""
    lineages: dict[str, dict[str, int]] = {}
    for entry in public:
        agreed = set(agreeing(reference, entry.design, features))
        bits = sum(1 << at for at, name in enumerate(features) if name in agreed)
        lineages.setdefault(entry.lineage, {})[entry.model] = bits
    return {lineage: _widest(models) for lineage, models in sorted(lineages.items())}


def _widest(models: Mapping[str, int]) -> dict[str, int]:
    """One model for each agreement that is contained in no other."""
    kept: dict[str, int] = {}
    for model, bits in sorted(models.items(), key=lambda item: (-item[1].bit_count(), item[0])):
        if not any(bits | other == other for other in kept.values()):
            kept[model] = bits
    return kept


@cache
def public_table() -> tuple[tuple[PublicDesign, ...], str]:
    """The shipped table of public designs and the SHA-256 of its bytes."""
    data = resources.files("filiation.calibration").joinpath(TABLE).read_bytes()
    return read_public_designs(data.decode()), hashlib.sha256(data).hexdigest()


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """Rank the suspect among the public lineages.

    1. Decline where the register, the table or the configurations do not carry a rank.
    2. Weigh each shared feature by how few lineages have the reference's value.
    3. Rank: p = (k + 1) / (N + 1), k lineages agreeing at least as much.
    """
    content = relations.pair.content
    entry = _entry(content, calibration)
    if isinstance(entry, str):
        return (_inconclusive(relations, entry),)
    count = len(closer_lineages(content))
    lineages = len(content["population"])
    log10_p = math.log10((count + 1) / (lineages + 1))
    strangers = min(lineages, sum(kind.lineages for kind in entry.strangers))
    exceeding = min(strangers, sum(kind.exceeding for kind in entry.strangers))
    return (
        Finding(
            **common_fields(TESTS[0], relations.pair, VERSION),
            reason="examined; a class characteristic, which never identifies by itself",
            count=count,
            opportunities=lineages,
            chance=min(count + 1, lineages) / (lineages + 1),
            log10_p=round_against_accuser(log10_p, accuses_when="small"),
            log10_e=round_against_accuser(log10_e_value_of_p(log10_p), accuses_when="large"),
            resolution_log10_p=round_against_accuser(-math.log10(lineages + 1), accuses_when="small"),
            effect=effect_of(
                "share of comparable design features that agree", len(content["shared"]), len(content["features"])
            ),
            power=Power(
                threshold_log10_p=entry.detection_log10_p,
                detectable_share=detectable_share(content, entry.detection_log10_p),
                relations=entry.relatives,
            ),
            lineages=Lineages(
                strangers=strangers,
                strangers_exceeding=exceeding,
                upper_limit=round(upper_limit(exceeding, strangers), 6),
                controls=tuple(content["population"]),
            ),
            multiplicity=Multiplicity(
                searched=1,
                rule="one rank; each public lineage stands in it with its closest model, which helps the accused",
            ),
            components=_components(relations),
            companions=_companions(content),
            assumptions=ASSUMPTIONS,
            limitations=LIMITATIONS,
            seed=relations.pair.seed,
            parameters_digest=digest({"table": content["table"]}),
            calibration_digest=calibration.digest,
            observations=(digest(relations.pair),),
        ),
    )


def closer_lineages(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The public lineages that agree with the reference at least as much as the suspect does, closest first."""
    scores, suspect = _scores(content)
    # The slack makes sums that differ in the last digit a tie, and a tie counts for the accused.
    closer = [lineage for lineage, score in scores.items() if score >= suspect - 1e-9]
    return tuple(sorted(closer, key=lambda lineage: (-scores[lineage], lineage)))


def detectable_share(content: Mapping[str, Any], threshold_log10_p: float) -> float:
    """The smallest share of features that reaches the threshold whichever they are; 1.0 where not even all would do."""
    features = content["features"]
    every = (1 << len(features)) - 1
    weights = _weights(content, every)
    lightest = sorted(range(len(features)), key=lambda at: (weights[at], at))
    chosen = every
    for fewer, at in enumerate(reversed(lightest), start=1):
        fewer_bits = chosen & ~(1 << at)
        scores, suspect = _scores(content, fewer_bits)
        closer = sum(score >= suspect - 1e-9 for score in scores.values())
        if math.log10((closer + 1) / (len(scores) + 1)) > threshold_log10_p:
            return round((len(features) - fewer + 1) / len(features), 6)
        chosen = fewer_bits
    return round(1 / len(features), 6)


def _scores(content: Mapping[str, Any], suspect: int | None = None) -> tuple[dict[str, float], float]:
    bits = _bits(content) if suspect is None else suspect
    weights = _weights(content, bits)

    def score(agreement: int) -> float:
        return math.fsum(weight for at, weight in enumerate(weights) if agreement >> at & 1)

    lineages = {lineage: max(map(score, models.values())) for lineage, models in content["population"].items()}
    return lineages, score(bits)


def _weights(content: Mapping[str, Any], suspect: int) -> list[float]:
    """-log10 of the share of lineages, the suspect among them, in which some model has the reference's value.

    The suspect is counted like a lineage: weights taken from the others alone would favour it, and the rank would not hold.
    """
    lineages = content["population"]
    unions = [_union(models.values()) for models in lineages.values()]
    weights = []
    for at in range(len(content["features"])):
        holders = sum(union >> at & 1 for union in unions) + (suspect >> at & 1)
        weights.append(-math.log10(holders / (len(lineages) + 1)) if holders else 0.0)
    return weights


def _bits(content: Mapping[str, Any]) -> int:
    shared = set(content["shared"])
    return sum(1 << at for at, name in enumerate(content["features"]) if name in shared)


def _union(agreements: Any) -> int:
    union = 0
    for agreement in agreements:
        union |= agreement
    return union


# --------------------------------------------------------------------------------------------------- what is recorded


def _entry(content: Mapping[str, Any], calibration: Calibration) -> RegisterEntry | str:
    """The register's entry, or the reason why nothing may be said."""
    entry = next((entry for entry in calibration.entries if entry.test == TESTS[0].id), None)
    sizes = [name for name in content["features"] if name in SIZES]
    if entry is None:
        return f"not validated: the register of nulls has no entry for {TESTS[0].id}"
    if not all(content["decoders"]):
        return "not validated for models that are not decoder-only"
    if content["table"] not in entry.calibrated_on:
        return "not validated: the register was calibrated on another table of public designs"
    if len(content["features"]) < FEWEST_FEATURES or len(sizes) < FEWEST_SIZES:
        return (
            f"only {len(content['features'])} features ({len(sizes)} of them sizes) are stated by both configurations; "
            f"{FEWEST_FEATURES} ({FEWEST_SIZES}) are needed"
        )
    if len(content["population"]) < FEWEST_LINEAGES:
        return f"only {len(content['population'])} public lineages to rank among; {FEWEST_LINEAGES} are needed"
    return entry


def _components(relations: Relations) -> tuple[Component, ...]:
    """Feature by feature, then lineage by lineage, then the controls of this examination (shown, not ranked)."""
    content = relations.pair.content
    features = content["features"]
    unions = [_union(models.values()) for models in content["population"].values()]
    rows = []
    for at, name in enumerate(features):
        holders = sum(union >> at & 1 for union in unions)
        rows.append(
            Component(
                kind="feature",
                name=name,
                count=int(name in content["shared"]),
                opportunities=1,
                note=f"reference {content['reference'][name]}, suspect {content['suspect'][name]}; "
                f"{holders} of {len(unions)} public lineages have the reference's value",
            )
        )
    scores, _ = _scores(content)
    for lineage in sorted(scores, key=lambda lineage: (-scores[lineage], lineage)):
        models = content["population"][lineage]
        model = max(sorted(models), key=lambda name: models[name].bit_count())
        rows.append(
            Component(
                kind="public lineage",
                name=lineage,
                count=models[model].bit_count(),
                opportunities=len(features),
                note=f"closest model {model}",
            )
        )
    for related in relations.reference_by_control:
        rows.append(
            Component(
                kind="control",
                name=related.second,
                count=len(related.content["shared"]),
                opportunities=len(related.content["features"]),
                note="shown, not part of the rank: the population was fixed before",
            )
        )
    return tuple(rows)


def _companions(content: Mapping[str, Any]) -> tuple[Companion, ...]:
    """The two innocent explanations, each with how many public lineages it would cover."""
    suspect = _bits(content)
    having = {
        lineage: [model for model, bits in models.items() if bits & suspect == suspect]
        for lineage, models in content["population"].items()
    }
    covered = [lineage for lineage, models in having.items() if models]
    defaults = content["class_defaults"]
    return (
        Companion(
            null=Null.POPULATION,
            name="a shared public recipe",
            value=f"{len(covered)} of {len(having)} public lineages have all that the two designs share",
            note=", ".join(covered[:8]) or "no lineage in the table; recipes outside the table are not covered",
        ),
        Companion(
            null=Null.POPULATION,
            name="the same framework's defaults",
            value=f"{len(defaults)} configuration classes have all that the two designs share by default",
            note=", ".join(defaults[:8]) or "no class in the table",
        ),
    )


def _inconclusive(relations: Relations, reason: str) -> Inconclusive:
    shown = _components(relations) if relations.pair.content["population"] else ()
    return inconclusive_of(TESTS[0], relations.pair, reason, version=VERSION, components=shown, limitations=LIMITATIONS)
