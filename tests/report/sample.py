"""Sample examinations, made up: no real models were compared. They are self-consistent, so that reports can be tested
and looked at: every p-value is the exact tail of the counts beside it, or the rank in the line-up, every count is the sum of its layers.
"""

from __future__ import annotations

import math
import random
from functools import cache

import msgspec
import numpy as np

from filiation import evidence
from filiation.conclusions import conclude
from filiation.evidence import (
    SCHEMA_VERSION,
    Cap,
    Characteristic,
    Circumstances,
    Coincidences,
    Companion,
    Component,
    Conclusion,
    Effect,
    Examination,
    FileRecord,
    Finding,
    Identity,
    Inconclusive,
    Lineages,
    Multiplicity,
    NotExamined,
    Null,
    Observation,
    Power,
    Proposition,
    Relation,
    RelationPower,
    Relations,
    Software,
    digest,
    round_against_accuser,
)
from filiation.examiners.line_up import Demands, Entrant, judge_line_up, line_up_content
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from filiation.statistics.scale import word

LAYERS, UNITS = 12, 256
CONTROLS = ("stranger-a", "stranger-b", "cousin-of-neither")
ANCESTOR = "common ancestor, initialisation included"
INDEPENDENT = "initialised and trained independently of each other"
HOSTILE = '<script>alert("1")</script>[red]\x1b[31m\u202egnp.\\"&\'{{7*7}}'


def upper_tail(count: int, opportunities: int, chance: float) -> float:
    seen = Coincidences(count=count, opportunities=opportunities, chance=chance)
    return round_against_accuser(log10_upper_tail(seen), accuses_when="small")


def identity(name: str, lineage: str) -> Identity:
    blob = digest(name)
    return Identity(
        name=name,
        format="folder",
        lineage_id=lineage,
        lineage_basis="declared" if lineage else "unknown",
        family="llama",
        files=(
            FileRecord(name="model.safetensors", size=269_060_552, sha256=blob, basis="read"),
            FileRecord(name="tokenizer.json", size=2_104_556, sha256=digest(blob), basis="read"),
        ),
        tokenizer_sha256=digest([blob]),
        tensor_sha256={"layers.0.mlp.gate": digest([blob, 0])},
        bytes_total=269_060_552,
        bytes_read=21_524_844,
        ranges_read=41,
        coverage=0.08,
    )


def layer_counts(related: bool, rng: random.Random) -> list[int]:
    if related:
        return [UNITS - rng.randrange(0, 9) for _ in range(LAYERS)]
    return [rng.randrange(0, 3) for _ in range(LAYERS)]


def layer_map(diagonal: list[int], rng: random.Random) -> dict:
    counts = [[rng.randrange(0, 3) for _ in range(LAYERS)] for _ in range(LAYERS)]
    for layer, count in enumerate(diagonal):
        counts[layer][layer] = count
    return {
        "first_layers": LAYERS,
        "second_layers": LAYERS,
        "counts": counts,
        "opportunities": [[UNITS] * LAYERS for _ in range(LAYERS)],
    }


def order_points(related: bool, rng: random.Random) -> list[list[int]]:
    ranks = sorted(rng.sample(range(48_000), 900))
    return [[rank, rank + rng.randrange(0, 600) if related else rng.randrange(48_000)] for rank in ranks]


def finding(test: str, proposition: Proposition, null: Null, count: int, opportunities: int, chance: float, **rest):
    log10_p = rest.pop("log10_p", None)
    log10_p = upper_tail(count, opportunities, chance) if log10_p is None else log10_p
    usual = {
        "id": f"outcome-{test}",
        "examiner": proposition.value if proposition is not Proposition.DESIGN else "architecture",
        "examiner_version": "1",
        "test": test,
        "proposition": proposition,
        "alternative": INDEPENDENT,
        "relation_class": ANCESTOR,
        "characteristic": Characteristic.INDIVIDUAL,
        "null": null,
        "reason": "all opportunities were examined",
        "count": count,
        "opportunities": opportunities,
        "chance": chance,
        "log10_p": log10_p,
        "log10_e": round_against_accuser(-0.9 * log10_p, accuses_when="large"),
        "resolution_log10_p": upper_tail(opportunities, opportunities, chance),
        "effect": Effect(name="share of coincidences", value=count / opportunities, low=0.9 * count / opportunities,
                         high=min(1.0, 1.05 * count / opportunities)),
        "power": Power(threshold_log10_p=-12.0, detectable_share=0.17,
                       relations=(RelationPower(relation="fine-tuned", detected=12, lineages=12),
                                  RelationPower(relation="merged 30/70 with a stranger", detected=11, lineages=12))),
        "lineages": Lineages(strangers=41, strangers_exceeding=0, upper_limit=0.0705, controls=CONTROLS),
        "multiplicity": Multiplicity(searched=3, rule="Bonferroni over three alignments fixed before", log10_cost=0.478),
        "assumptions": ("given the others, a neuron finds the same partner twice with a chance of at most 0.1",),
        "limitations": ("tolerance not validated on real strangers", "direction is not told"),
        "conditional_on": ("both models being decoders with gated units",),
        "seed": 7,
        "parameters_digest": digest("parameters"),
        "calibration_digest": digest("calibration"),
        "observations": (digest("observation"),),
    }  # fmt: skip
    return Finding(**(usual | rest))


def outcomes(related: bool, diagonal: list[int], rng: random.Random) -> tuple:
    shared, agreeing = 14_402, 14_305 if related else 7_204
    layers = tuple(
        Component(kind="layer", name=f"layer {n}", count=count, opportunities=UNITS,
                  log10_p=upper_tail(count, UNITS, 0.1))
        for n, count in enumerate(diagonal)
    )  # fmt: skip
    common = {"examiner_version": "1", "alternative": INDEPENDENT, "relation_class": ANCESTOR,
              "characteristic": Characteristic.INDIVIDUAL}  # fmt: skip
    return (
        finding(
            "architecture.population", Proposition.DESIGN, Null.POPULATION, 3, 40, 0.1,
            log10_p=round_against_accuser(math.log10(4 / 41), accuses_when="small"),
            resolution_log10_p=round_against_accuser(math.log10(1 / 41), accuses_when="small"),
            alternative="designed independently", relation_class="same design", characteristic=Characteristic.CLASS,
            multiplicity=Multiplicity(searched=1, rule="one test"),
            assumptions=("the table of public configurations is a fair line-up",), limitations=(),
        ),
        finding(
            "tokenizer.order", Proposition.TOKENIZER, Null.MODEL, agreeing, shared, 0.65,
            multiplicity=Multiplicity(searched=1, rule="one test"),
            components=(Component(kind="part", name="first 8,000 ranks", count=min(agreeing, 3_990),
                                  opportunities=4_000, note="pairs of ranks"),),
            assumptions=("independent training orders each pair of shared tokens nearly like a coin",),
            limitations=("the same text and the same recipe give the same order",),
        ),
        NotExamined(
            id="outcome-tokenizer.scores", examiner="tokenizer", test="tokenizer.scores",
            proposition=Proposition.TOKENIZER, null=Null.MODEL,
            reason="the suspect's tokenizer is a byte-pair encoding: it has no scores", **common,
        ),
        finding(
            "weights.double_matching", Proposition.WEIGHTS, Null.MODEL, sum(diagonal), UNITS * LAYERS, 0.1,
            components=layers,
            companions=(Companion(null=Null.POPULATION, name="rank among control lineages",
                                  value="1 of 4" if related else "3 of 4"),),
        ),
        finding(
            "weights.index_coincidence", Proposition.WEIGHTS, Null.EXCHANGEABILITY, 11, UNITS * LAYERS, 1 / UNITS,
            multiplicity=Multiplicity(searched=1, rule="one test"),
            assumptions=("initialisations were drawn independently",),
            limitations=("no power against a permutation of the units",),
        ),
        Inconclusive(
            id="outcome-weights.screen", examiner="weights", test="weights.screen", proposition=Proposition.WEIGHTS,
            null=Null.MODEL, reason="not validated for models of this width", **common,
        ),
    )  # fmt: skip


def conclusions(related: bool) -> tuple[Conclusion, ...]:
    untested = ("the same initialisation (default seeds)", "exposure through a third party")
    return (
        Conclusion(
            proposition=Proposition.DESIGN, alternative="designed independently", null=Null.POPULATION, kind="inconclusive",
            reason="a class characteristic carries no likelihood ratio of its own",
            merged_ids=("outcome-architecture.population",),
        ),
        Conclusion(
            proposition=Proposition.TOKENIZER, alternative=INDEPENDENT, null=Null.MODEL,
            kind="likelihood ratio", reason="counts by lineage", log10_e=900.0 if related else -1.0,
            log10_likelihood_ratio=1.63 if related else -1.2, log10_likelihood_ratio_low=1.1 if related else -1.7,
            log10_likelihood_ratio_high=1.93 if related else -0.8,
            cap=Cap(value=85.11, reason="at most N = 85, the stranger lineages"),
            word=word(1.63 if related else -1.2),
            merged_ids=("outcome-tokenizer.order",), explanations_tested=("a common public ancestor: cl100k",),
            explanations_untested=("the same corpus and recipe",),
        ),
        Conclusion(
            proposition=Proposition.WEIGHTS, alternative=INDEPENDENT, null=Null.MODEL, kind="likelihood ratio",
            reason="counts by lineage", log10_e=2700.0 if related else -1.0,
            log10_likelihood_ratio=1.15 if related else -1.4, log10_likelihood_ratio_low=0.8 if related else -1.8,
            log10_likelihood_ratio_high=1.15 if related else -0.9,
            cap=Cap(value=14.12, reason="at most 1 / (p + u): 0 of 41 stranger lineages exceed the chance"),
            word=word(1.15 if related else -1.4),
            merged_ids=("outcome-weights.double_matching",),
            explanations_tested=("shared embeddings alone", "the same data order"), explanations_untested=untested,
        ),
        Conclusion(
            proposition=Proposition.WEIGHTS, alternative=INDEPENDENT, null=Null.EXCHANGEABILITY, kind="inconclusive",
            reason="the test is silent, which a permutation of the units would make it, too",
            merged_ids=("outcome-weights.index_coincidence",), explanations_untested=untested,
        ),
    )  # fmt: skip


def examination(
    related: bool = True, suspect: str = "nimbus/Nimbus-135M-chat", controls: tuple = CONTROLS
) -> Examination:
    """A sample comparison of made-up models; `related` chooses what it seems to find."""
    rng = random.Random(5)
    diagonal = layer_counts(related, rng)
    reference = "example/Cumulus-135M"
    found = outcomes(related, diagonal, rng)

    def relation(examiner: str, second: str, summary: dict, **pictures) -> Relation:
        return Relation(examiner=examiner, examiner_version="1", first=reference, second=second, seed=7,
                        content={"summary": summary, **pictures})  # fmt: skip

    def tally(count: int, opportunities: int) -> dict:
        return {"count": count, "opportunities": opportunities}

    agreeing, neurons = found[1].count, sum(diagonal)
    total = UNITS * LAYERS
    return Examination(
        schema_version=SCHEMA_VERSION,
        reference=identity(reference, "cumulus"),
        suspect=identity(suspect, ""),
        controls=tuple(identity(name, f"lineage of {name}") for name in controls),
        software=Software(name="filiation", version="0.1.0", python="3.11.7", libraries={"numpy": "2.0", "scipy": "1.14"}),
        seed=7,
        observations=(
            Observation(examiner="weights", examiner_version="1", exhibit=reference, content={"layers": LAYERS}),
        ),
        relations={
            "tokenizer": Relations(
                pair=relation("tokenizer", suspect, {"tokenizer.order": tally(agreeing, 14_402)},
                              order_plot={"points": order_points(related, rng)}),
                reference_by_control=tuple(
                    relation("tokenizer", name, {"tokenizer.order": tally(6_900 + 90 * n, 14_000)})
                    for n, name in enumerate(controls)),
            ),
            "weights": Relations(
                pair=relation("weights", suspect, {"weights.double_matching": tally(neurons, total),
                                                   "weights.index_coincidence": tally(11, total)},
                              layer_map=layer_map(diagonal, rng)),
                reference_by_control=tuple(
                    relation("weights", name, {"weights.double_matching": tally(9 + 4 * n, total),
                                               "weights.index_coincidence": tally(10 + n, total)})
                    for n, name in enumerate(controls)),
            ),
        },
        outcomes=found,
        conclusions=conclusions(related),
        circumstances=Circumstances(
            made="2026-01-01T00:00:00Z", elapsed_seconds=41.5,
            command="filiation compare example/Cumulus-135M nimbus/Nimbus-135M-chat --control stranger-a --seed 7",
        ),
    )  # fmt: skip


def bare() -> Examination:
    """A sample in which nothing could be examined."""
    whole = examination(controls=())
    return Examination(
        schema_version=whole.schema_version,
        reference=Identity(name="empty-a", format="folder"),
        suspect=Identity(name="empty-b", format="folder"),
        controls=(),
        software=whole.software,
        seed=0,
        observations=(),
        relations={},
        outcomes=tuple(outcome for outcome in whole.outcomes if isinstance(outcome, NotExamined)),
        conclusions=(),
    )


def hostile() -> Examination:
    """A sample whose suspect and controls carry names that attack a report."""
    return examination(suspect=HOSTILE, controls=(HOSTILE + "2", "x" * 300))


# ------------------------------------------------------------------------------------------------------------- line-ups

KINSHIP = evidence.Test(
    id="text_kinship.rare-phrases", proposition=Proposition.OUTPUTS, alternative="answers of its own",
    relation_class="common origin of the answers", characteristic=Characteristic.INDIVIDUAL, null=Null.POPULATION,
)  # fmt: skip
REFUSING = evidence.Test(
    id="guardrails.wording", proposition=Proposition.GUARDRAILS, alternative="refusals of its own",
    relation_class="common origin of the refusals", characteristic=Characteristic.INDIVIDUAL, null=Null.POPULATION,
)  # fmt: skip
PACK = "made_up 1 (0123456789ab)"


@cache
def recorded_answers(
    score: float = 9.0, lineages: int = 70, name: str = "model", undeclared: bool = False
) -> Examination:
    """A made-up comparison of recorded answers: one finding, one outcome without a register, one of a service.

    Two models of each of `lineages` control lineages, every fourth of them given, all others from a pack; the scores are
    drawn at random, and the suspect's is `score`. With `undeclared` there are five controls of unknown lineage, and one whose
    lineage is spelt otherwise.
    """
    entrants = [
        Entrant(name="the reference", lineage="r", lab="R", origin="reference"),
        Entrant(name="the suspect", lineage="", lab="", origin="suspect"),
        Entrant(name="its cousin", lineage="r", lab="elsewhere", origin="control"),
        *(
            Entrant(name=f"{name} {n}-{m}", lineage=f"lineage {n}", lab=f"lab {n % 24}",
                    origin="control" if n % 4 == 0 else "pack")
            for n in range(lineages) for m in range(2)
        ),
    ]  # fmt: skip
    if undeclared:
        entrants += [Entrant(name=f"unknown {n}", lineage="", lab=f"lab {n}", origin="control") for n in range(5)]
        entrants.append(Entrant(name="once more", lineage="Lineage-7", lab="lab 7", origin="control"))
    rng = np.random.default_rng(1)
    relations, outcomes = {}, []
    for test in (KINSHIP, REFUSING):
        scores = rng.normal(size=(len(entrants), len(entrants)))
        scores[0, 1] = score
        content = line_up_content(entrants, scores, prompts=200, packs=[PACK], seed=7, test=test.id)
        examiner = test.id.split(".")[0]
        pair = Relation(examiner=examiner, examiner_version="1", first="the reference", second="the suspect", seed=7,
                        content=content if test is KINSHIP else {"tests": {test.id: content}, "summary": {}})  # fmt: skip
        relations[examiner] = Relations(pair=pair)
        outcomes.append(
            judge_line_up(
                test, Relations(pair=msgspec.structs.replace(pair, content=content)),
                Calibration(examiner=examiner, entries=(_entry(test),) if test is KINSHIP else ()),
                examiner_version="1", demands=Demands(prompts=50, lineages=19, labs=10, controls=30),
                effect=Effect(name="score in spreads of pairs", value=score, low=score - 1, high=score + 1),
                assumptions=("without a common origin the suspect is exchangeable with a model of each control lineage",),
                limitations=("texts show a common origin, not how it came about",),
                companions=(Companion(null=Null.POPULATION, name="looks", value="one, after 200 prompts"),),
            )
        )  # fmt: skip
    outcomes.append(
        finding("service.answers", Proposition.SERVICE, Null.MODEL, 31, 60, 0.1, alternative="the reference model",
                relation_class="another service than the reference model")
    )  # fmt: skip
    controls = [entrant for entrant in entrants[2:] if entrant.origin == "control"]
    return Examination(
        schema_version=SCHEMA_VERSION,
        reference=_answers_of("the reference", "r"),
        suspect=_answers_of("the suspect", ""),
        controls=tuple(_answers_of(entrant.name, entrant.lineage) for entrant in controls),
        software=Software(name="filiation", version="0.2.0", python="3.11.7", libraries={"numpy": "2.0"}),
        seed=7,
        observations=(),
        relations=relations,
        outcomes=tuple(outcomes),
        conclusions=conclude(outcomes),
    )


WITHOUT = "the reference: a control pack holds figures of recorded answers, without the model's "
UNREAD = "the reference: a control pack holds figures of recorded answers, not the answers themselves"


def of_packs() -> Examination:
    """As `recorded_answers`, of two models of a pack: no control given, and twelve tests that could not be examined."""
    whole = recorded_answers()
    asked = (
        ("architecture.design-rarity", Proposition.DESIGN, Null.POPULATION, WITHOUT + "configuration"),
        *((f"tokenizer.{test}", Proposition.TOKENIZER, Null.MODEL, WITHOUT + "tokenizer") for test in "abcd"),
        *((f"weights.{test}", Proposition.WEIGHTS, Null.MODEL, WITHOUT + "weights") for test in "abc"),
        *((f"verbatim.{test}", Proposition.OUTPUTS, Null.POPULATION, UNREAD) for test in "ab"),
        ("service.samples", Proposition.SERVICE, Null.MODEL, UNREAD),
        ("teacher.vendor", Proposition.OUTPUTS, Null.POPULATION, "no teacher was named"),
    )
    missing = tuple(
        NotExamined(
            id=f"outcome-{test}", examiner=test.split(".")[0], examiner_version="1", test=test, proposition=proposition,
            alternative=INDEPENDENT, relation_class=ANCESTOR, characteristic=Characteristic.INDIVIDUAL, null=null,
            reason=reason,
        )
        for test, proposition, null, reason in asked
    )  # fmt: skip
    return msgspec.structs.replace(
        whole,
        reference=msgspec.structs.replace(whole.reference, format="pack"),
        suspect=msgspec.structs.replace(whole.suspect, format="pack"),
        controls=(),
        outcomes=(*whole.outcomes, *missing),
    )


def files_and_answers() -> Examination:
    """A folder and recorded answers: whatever was asked could not be examined, for one reason."""
    whole = of_packs()
    outcomes = [outcome for outcome in whole.outcomes if isinstance(outcome, NotExamined)]
    return msgspec.structs.replace(
        whole,
        reference=msgspec.structs.replace(whole.reference, format="folder"),
        relations={},
        outcomes=tuple(msgspec.structs.replace(o, reason="one of the two is of files only") for o in outcomes),
        conclusions=(),
    )


def nothing_shared(test: str = "verbatim.passages", score: float = 0.0) -> Examination:
    """Recorded answers with one test, in which everybody has one score."""
    whole = recorded_answers()
    asked = msgspec.structs.replace(KINSHIP, id=test)
    relations = whole.relations["text_kinship"]
    entrants = [msgspec.convert(entrant, Entrant) for entrant in relations.pair.content["entrants"]]
    scores = np.full((len(entrants), len(entrants)), score)
    content = line_up_content(entrants, scores, prompts=200, seed=7, test=test)
    pair = msgspec.structs.replace(relations.pair, examiner=test.split(".")[0], content=content)
    outcome = judge_line_up(
        asked, Relations(pair=pair), Calibration(examiner=pair.examiner, entries=(_entry(asked),)), examiner_version="1",
        demands=Demands(prompts=50, lineages=19, labs=10, controls=30),
        effect=Effect(name="share of prompts", value=0.0, low=0.0, high=0.02), assumptions=(), limitations=(),
    )  # fmt: skip
    return msgspec.structs.replace(
        whole, relations={pair.examiner: Relations(pair=pair)}, outcomes=(outcome,), conclusions=conclude((outcome,))
    )


def _answers_of(name: str, lineage: str) -> Identity:
    file = FileRecord(name="answers.parquet", size=4_000_000, sha256=digest("answers"), basis="read")
    return Identity(name=name, format="transcript", lineage_id=lineage, lineage_basis="declared" if lineage else "unknown",
                    files=(file,), content_id=digest(name), bytes_total=file.size, bytes_read=file.size, coverage=1.0)  # fmt: skip


def _entry(test: evidence.Test) -> RegisterEntry:
    return RegisterEntry(
        test=test.id, null=Null.POPULATION, formula_version="1", chance=None, detection_log10_p=-1.30103, validated_for=(),
        strangers=(StrangerCount(kind="strangers", lineages=60, exceeding=2, tests=900, largest_share=0.03),),
        relatives=(RelationPower(relation="fine-tune", detected=9, lineages=10),),
        calibrated_on="made up", date="2026-11-21", tried=(), made_by="hand",
    )  # fmt: skip
