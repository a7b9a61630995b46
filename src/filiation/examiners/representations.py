"""Do the neurons of two running models do the same on texts that both read?

Both models are run on one neutral text, and neurons of corresponding depth are paired twice, on halves of the text that have
nothing in common. Two tests, two nulls, never merged with one another:

    text-halves       by population. The same quantity (what goes into the matrix that writes) is paired on both halves. Unrelated
                      models of one language agree at more than half of their neurons, by function and not by accident, so that
                      only the rank of the suspect among control lineages means anything.
    double-matching   by model. The gate is paired on one half, `up` on the other; a neuron of a stranger finds the same partner
                      both times with a chance of at most c = 0.20, whatever the others do. The tolerance was measured on
                      strangers that read the same corpus (studies/representations.py), not derived.

Models are run only where the plan says so: it takes the memory and the time of running them, and torch and transformers.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from filiation.errors import SourceError, SourceNotFound, UsageError
from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Coincidences,
    Companion,
    Component,
    Effect,
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
from filiation.examiners.examiner import Progress, Subject, silent, too_small
from filiation.examiners.line_up import lineages_to_pass, validated_by
from filiation.examiners.outcomes import (
    common_fields,
    inconclusive_of,
    not_examined_of,
)
from filiation.measures.layers import same_depth
from filiation.measures.neurons import one_thread
from filiation.measures.representations import (
    Halves,
    by_halves,
    by_parts,
    chosen_pieces,
    common_places,
    heard,
    neutral_pieces,
    pieces_of,
    ready,
    sampled,
)
from filiation.sources.families import decoder_of
from filiation.sources.running import load_source
from filiation.sources.source import Source
from filiation.statistics.coincidences import log10_upper_tail, resolution_log10_p
from filiation.statistics.e_values import log10_e_value, log10_e_value_of_p
from filiation.statistics.intervals import share_interval
from filiation.statistics.likelihood import upper_limit
from filiation.statistics.line_up import rank_among_lineages
from filiation.statistics.merging import holm
from filiation.statistics.power import detectable_share
from filiation.statistics.register import Calibration, RegisterEntry

NAME = "representations"
VERSION = "1"
QUESTION = "Do the neurons of the two models do the same when both read the same text?"
NEEDS = (Access.WEIGHTS, Access.CONFIGURATION, Access.TOKENIZER)
ALTERNATIVE = "trained independently of each other, on the same text or on other text"
LIKE_FUNCTION = (
    "neurons of like function (common ancestor or initialisation, or trained on the other's outputs or hidden states)"
)
RELATION_CLASS = "neurons of common descent (copy, fine-tune, quantised, pruned or laundered copy)"
TESTS = (
    Test(
        id="representations.text-halves",
        proposition=Proposition.REPRESENTATIONS,
        alternative=ALTERNATIVE,
        relation_class=LIKE_FUNCTION,
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.POPULATION,
        formula="rank of the share of neurons that find the same partner on both halves of the text, among control lineages",
    ),
    Test(
        id="representations.double-matching",
        proposition=Proposition.REPRESENTATIONS,
        alternative=ALTERNATIVE,
        relation_class=RELATION_CLASS,
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.MODEL,
        formula="P(Bin(n, c) >= k), gate on one half of the text, up on the other, layers at the same relative depth",
    ),
)
HALVES, PARTS = TESTS
CLAIMS = (
    "copy",
    "fine-tune",
    "LoRA",
    "quantised",
    "pruned",
    "depth-pruned",
    "width-pruned",
    "vocabulary extended",
    "laundered",
    "laundered and fine-tuned",
)
ASSUMPTIONS = (
    "Each neuron finds the same partner by its gate on one text and by its up on another with a chance of at most c given all the "
    "others, when the models are strangers: measured on strangers trained for this purpose, not derived.",
)
ASSUMPTIONS_OF_A_RANK = (
    "Were the suspect a stranger, it would be exchangeable with the control lineages: trained on text of the same kind and as well.",
)
REFERENCES = (
    "Li et al. 2015, Convergent learning (neurons of independent networks pair up)",
    "Kornblith et al. 2019, Similarity of neural network representations revisited (CKA)",
)
LIMITATIONS = (
    "Direction is not told: the suspect may be the ancestor of the reference.",
    "Minority merges with strangers, embeddings made anew, siblings of one initialisation and students were not found by double "
    "matching on the small models measured: silence says little of them; the weights examiner finds the first three.",
    "Tolerance not validated on real strangers: it was measured on small models trained for this purpose.",
)
LIMITATIONS_OF_A_RANK = (
    "A rank by halves of the text tells that two models do alike, not why: a stranger trained on the same text in the same order, "
    "students, siblings and half merges stood above all controls too.",
)
LEAST_LINEAGES = 19
"""Below this many control lineages no rank reaches p = .05."""
SAME_DESIGN = {"mistral": "llama", "phi3": "llama", "smollm": "llama", "qwen2_5": "qwen2"}

PARAMETERS: dict[str, bool | int | float | str] = {
    "run": False,  # models are run only on demand
    "text": "",  # a UTF-8 file to be read by the models; empty: documentation of the standard library, pieces drawn by seed
    "places": 4096,  # places of the text that are compared, both halves together
    "characters": 1024,  # of a piece of text, and never more than the shorter context of the two models
    "layers": 8,  # at most this many, evenly over the depth
    "sampled_neurons": 2048,  # of a layer of the first model
}
MOST_CHARACTERS_PER_PLACE = 12
"""Of a text no more than this is looked at in search of common places."""
NOT_RUN = (
    "models were not run: ask for it with --run-models, or in a plan with the parameter representations.run "
    "(it needs torch and transformers, memory and time)"
)


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Design and context, from headers alone: no model is run here."""
    decoder, configuration = decoder_of(source), source.configuration()
    for part in (decoder, configuration, source.tokenizer()):
        if isinstance(part, Absent):
            return part
    assert not isinstance(decoder, Absent)
    assert not isinstance(configuration, Absent)
    content = {
        "family": decoder.family,
        "kind": decoder.kind,
        "layers": decoder.layers,
        "units": decoder.mlp_units(0),
        "experts": decoder.experts,
        "context": _context(configuration),
        "lineage": source.lineage_id,
    }
    return Observation(examiner=NAME, examiner_version=VERSION, exhibit=source.name, content=content)


def _context(configuration: Mapping[str, Any]) -> int:
    """Tokens that the model was made to read at once; 0 where the configuration does not say."""
    told = configuration.get("max_position_embeddings") or configuration.get("n_positions") or 0
    return int(told)


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """Record, in integers, everything `judge` decides on.

    1. Choose the text and the places after which both have read equally far. 2. Run one model, then the other. 3. Pair the
    neurons of layers at the same relative depth, twice in each of the two ways.
    """
    parameters = PARAMETERS | first.parameters
    contents = (first.observation.content, second.observation.content)
    if not parameters["run"]:
        return Absent(reason=NOT_RUN)
    if reason := too_small(parameters, "places", "characters", "layers", "sampled_neurons"):
        return Absent(reason=reason)
    if any(content["experts"] for content in contents):
        return Absent(reason="not validated for mixtures of experts: their neurons are not listened to")
    try:
        return _related(first, second, seed, parameters, progress)
    except (SourceError, UsageError) as error:
        # What cannot be run can still be compared by other examiners: a reason, not an end.
        return Absent(reason=f"it cannot be run: {error.exhibit or 'the text'}: {error.message}")


def _related(
    first: Subject, second: Subject, seed: int, parameters: Mapping[str, Any], progress: Progress
) -> Relation | Absent:
    contents = (first.observation.content, second.observation.content)
    pieces = _pieces(parameters, [int(content["context"]) for content in contents], _rng(seed, "text"))
    if len(pieces) < 2:
        return Absent(reason="there is no text to read: give one with the parameter representations.text")
    gated = all(content["kind"] == "gated" for content in contents)
    pairs = _layer_pairs(contents[0]["layers"], contents[1]["layers"], int(parameters["layers"]))
    progress("running the first model", 0.0)
    one = load_source(first.source)
    other = load_source(second.source)
    pieces = pieces[: 2 + MOST_CHARACTERS_PER_PLACE * int(parameters["places"]) // len(pieces[0])]
    ends = [[model.token_ends(piece) for piece in pieces] for model in (one, other)]
    pieces = pieces[: chosen_pieces(pieces, ends[0], ends[1], int(parameters["places"]))]
    places = [common_places(a, b) for a, b, _ in zip(*ends, pieces, strict=False)]
    heard_first = heard(one, pieces, [place for place, _ in places], [row for row, _ in pairs], gated)
    progress("running the second model", 0.4)
    heard_second = heard(other, pieces, [place for _, place in places], [column for _, column in pairs], gated)
    progress("pairing neurons", 0.8)
    with one_thread():
        layers = _paired(heard_first, heard_second, pairs, int(parameters["sampled_neurons"]), _rng(seed, "pairing"))
    content = {
        "parameters": dict(parameters) | {"text": "given" if parameters["text"] else "standard library"},
        "families": [content["family"] for content in contents],
        "kind": "gated" if gated else "ungated",
        "lineages": [content["lineage"] for content in contents],
        "text": {
            "pieces": len(pieces),
            "characters": sum(map(len, pieces)),
            "sha256": hashlib.sha256("\0".join(pieces).encode()).hexdigest(),
        },
        "places": sum(place.size for place, _ in places),
        "layers": layers,
    }
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=first.observation.exhibit,
        second=second.observation.exhibit,
        seed=seed,
        content=content | {"summary": _summary(layers)},
    )


def _rng(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def _pieces(parameters: Mapping[str, Any], contexts: Sequence[int], rng: np.random.Generator) -> list[str]:
    """Pieces that fit into both contexts even at a token per character."""
    size = min(int(parameters["characters"]), *(context for context in contexts if context), 1 << 20)
    if not parameters["text"]:
        return neutral_pieces(size, rng)
    path = Path(str(parameters["text"]))
    try:
        pieces = pieces_of(path.read_text("utf-8"), size)
    except (OSError, UnicodeDecodeError) as error:
        raise SourceNotFound(f"the text {path} cannot be read: {error}", advice="give a UTF-8 text file") from error
    return [pieces[number] for number in rng.permutation(len(pieces))]


def _layer_pairs(first: int, second: int, limit: int) -> list[tuple[int, int]]:
    """Layers at the same relative depth (of the first, of the second), at most `limit`, evenly spread."""
    straight = same_depth(first, second)
    chosen = sorted({round(at) for at in np.linspace(0, second - 1, min(limit, second))})
    return [(straight[column], column) for column in chosen]


def _paired(
    first: Sequence[Halves],
    second: Sequence[Halves],
    pairs: Sequence[tuple[int, int]],
    size: int,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Per pair of layers the coincidences of both ways, with their opportunities; -1 by parts where there is no gate."""
    found = []
    for (row, column), one, other in zip(pairs, first, second, strict=True):
        one, other = sampled(ready(one, rng), size, rng), ready(other, rng)
        gated = one.gate is not None and other.gate is not None
        found.append(
            {
                "first": row,
                "second": column,
                "opportunities": min(one.neurons, other.neurons),
                "by_halves": by_halves(one, other, rng),
                "by_parts": by_parts(one, other, rng) if gated else -1,
            }
        )
    return found


def _summary(layers: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    summary = {HALVES.id: _total(layers, "by_halves")}
    return (
        summary if any(layer["by_parts"] < 0 for layer in layers) else summary | {PARTS.id: _total(layers, "by_parts")}
    )


def _total(layers: Sequence[Mapping[str, Any]], way: str) -> dict[str, int]:
    return {
        "count": sum(layer[way] for layer in layers),
        "opportunities": sum(layer["opportunities"] for layer in layers),
    }


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """One outcome per test.

    1. Decline where the family was not calibrated. 2. By population: the rank of the suspect's share among control lineages,
    none where they are too few. 3. By model: the tail of the total count at the calibrated chance; per layer, Holm.
    """
    return _judge_halves(relations, controls, calibration), _judge_parts(relations, calibration)


def _judge_halves(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> Outcome:
    test, pair = HALVES, relations.pair
    entry = _entry(test, pair, calibration)
    shown = _layers(pair, "by_halves", None)
    if isinstance(entry, str):
        return _inconclusive(test, pair, entry, shown)
    declared, undeclared = _control_scores(relations, controls)
    if len(declared) < LEAST_LINEAGES:
        return _inconclusive(
            test,
            pair,
            f"ranked among {len(declared)} unrelated control lineages no suspect reaches p = .05: {LEAST_LINEAGES} are needed, run "
            "on the same text",
            shown,
        )
    ranked = rank_among_lineages(_share(pair), declared, undeclared)
    lineages = len(ranked.lineages)
    low, high = share_interval(*_figures(pair, test))
    strangers, exceeding = validated_by(entry, lineages, detected=ranked.log10_p <= entry.detection_log10_p)
    resolution = -math.log10(lineages + 1)
    return Finding(
        **common_fields(test, pair, VERSION),
        reason="examined; ranked among control lineages, whatever the number of neurons",
        count=ranked.above,
        opportunities=lineages,
        chance=min(ranked.above + 1, lineages) / (lineages + 1),
        log10_p=round_against_accuser(ranked.log10_p, accuses_when="small"),
        log10_e=round_against_accuser(log10_e_value_of_p(ranked.log10_p), accuses_when="large"),
        resolution_log10_p=round_against_accuser(resolution, accuses_when="small"),
        effect=Effect(
            name="share of neurons that find the same partner on both halves",
            value=round(_share(pair), 6),
            low=low,
            high=high,
        ),
        power=Power(
            threshold_log10_p=entry.detection_log10_p,
            detectable_share=lineages_to_pass(lineages, entry.detection_log10_p, resolution),
            relations=entry.relatives,
        ),
        lineages=Lineages(
            strangers=strangers,
            strangers_exceeding=exceeding,
            upper_limit=round(upper_limit(exceeding, strangers), 6),
            controls=tuple(ranked.lineages),
        ),
        multiplicity=Multiplicity(
            searched=1, rule="one rank; each control lineage stands in it with its highest share"
        ),
        components=(*shown, *_control_components(relations)),
        assumptions=ASSUMPTIONS_OF_A_RANK,
        limitations=(*LIMITATIONS_OF_A_RANK, *LIMITATIONS, *_limits_of(pair)),
        seed=pair.seed,
        parameters_digest=digest(pair.content["parameters"]),
        calibration_digest=calibration.digest,
        observations=(digest(pair), *map(digest, relations.reference_by_control)),
    )


def _judge_parts(relations: Relations, calibration: Calibration) -> Outcome:
    test, pair = PARTS, relations.pair
    if pair.content["kind"] != "gated":
        return not_examined_of(
            test,
            pair,
            "not validated for ungated MLPs: without a gate a running neuron has one description, and two are needed",
            version=VERSION,
        )
    entry = _entry(test, pair, calibration)
    if isinstance(entry, str):
        return _inconclusive(test, pair, entry, _layers(pair, "by_parts", None))
    count, possible = _figures(pair, test)
    if not possible:
        return _inconclusive(test, pair, "no neuron of either model moved on this text", ())
    seen = Coincidences(count=count, opportunities=possible, chance=entry.chance)
    log10_p, (low, high) = log10_upper_tail(seen), share_interval(count, possible)
    strangers, exceeding = sum(k.lineages for k in entry.strangers), sum(k.exceeding for k in entry.strangers)
    needed = detectable_share(possible, seen.chance or 0.5, entry.detection_log10_p)
    return Finding(
        **common_fields(test, pair, VERSION),
        reason="examined",
        count=count,
        opportunities=possible,
        chance=seen.chance or 0.0,
        log10_p=round_against_accuser(min(0.0, log10_p), accuses_when="small"),
        log10_e=round_against_accuser(log10_e_value(seen), accuses_when="large"),
        resolution_log10_p=round_against_accuser(resolution_log10_p(seen), accuses_when="small"),
        effect=Effect(
            name="share of neurons that find the same partner by gate and by up",
            value=round(count / possible, 6),
            low=low,
            high=high,
        ),
        power=Power(
            threshold_log10_p=entry.detection_log10_p,
            detectable_share=1.0 if isinstance(needed, Absent) else round(needed, 6),
            relations=entry.relatives,
        ),
        lineages=Lineages(
            strangers=strangers, strangers_exceeding=exceeding, upper_limit=round(upper_limit(exceeding, strangers), 6)
        ),
        multiplicity=Multiplicity(searched=1, rule="layers at the same relative depth, fixed before"),
        components=_layers(pair, "by_parts", entry),
        companions=_line_up(relations, test.id),
        assumptions=ASSUMPTIONS,
        limitations=(*LIMITATIONS, *_limits_of(pair)),
        seed=pair.seed,
        parameters_digest=digest(pair.content["parameters"]),
        calibration_digest=calibration.digest,
        observations=(digest(pair),),
    )


def _entry(test: Test, pair: Relation, calibration: Calibration) -> RegisterEntry | str:
    entry = next((entry for entry in calibration.entries if entry.test == test.id), None)
    if entry is None:
        return f"not validated: the register of nulls has no entry for {test.id}"
    for family in pair.content["families"]:
        if SAME_DESIGN.get(family, family) not in entry.validated_for:
            return f"not validated for models of the family {family}"
    return entry


def _figures(relation: Relation, test: Test) -> tuple[int, int]:
    figures = relation.content["summary"][test.id]
    return figures["count"], figures["opportunities"]


def _share(relation: Relation) -> float:
    count, possible = _figures(relation, HALVES)
    return count / max(1, possible)


def _control_scores(relations: Relations, controls: tuple[Identity, ...]) -> tuple[dict[str, list[float]], list[float]]:
    """Shares by declared lineage, and those of undeclared controls; the lineages of the two in dispute stay out."""
    lineage_of = {control.name: control.lineage_id for control in controls}
    disputed = {lineage for lineage in relations.pair.content["lineages"] if lineage}
    declared: dict[str, list[float]] = {}
    undeclared: list[float] = []
    for relation in relations.reference_by_control:
        lineage = lineage_of.get(relation.second, "")
        if not lineage:
            undeclared.append(_share(relation))
        elif lineage not in disputed:
            declared.setdefault(lineage, []).append(_share(relation))
    return declared, undeclared


def _control_components(relations: Relations) -> tuple[Component, ...]:
    rows = [("suspect", relations.pair), *(("control", relation) for relation in relations.reference_by_control)]
    return tuple(
        Component(kind=kind, name=relation.second, count=figures[0], opportunities=figures[1])
        for kind, relation in rows
        for figures in [_figures(relation, HALVES)]
    )


def _layers(pair: Relation, way: str, entry: RegisterEntry | None) -> tuple[Component, ...]:
    """One component per pair of layers, 'reference | suspect'; p adjusted by Holm where there is an entry."""
    layers = pair.content["layers"]
    adjusted: Sequence[float | None] = [None] * len(layers)
    if entry is not None:
        tails = [
            Coincidences(count=layer[way], opportunities=layer["opportunities"], chance=entry.chance)
            for layer in layers
        ]
        adjusted = holm([log10_upper_tail(tail) if tail.opportunities else 0.0 for tail in tails])
    return tuple(
        Component(
            kind="layer",
            name=f"{layer['first']} | {layer['second']}",
            count=layer[way],
            opportunities=layer["opportunities"],
            log10_p=None if log10_p is None else round_against_accuser(log10_p, accuses_when="small"),
            note="" if log10_p is None else "Holm",
        )
        for layer, log10_p in zip(layers, adjusted, strict=True)
    )


def _line_up(relations: Relations, test: str) -> tuple[Companion, ...]:
    """Where the suspect stands among the controls against the same reference; beside the figure, never part of it."""
    shares = [
        figures["count"] / max(1, figures["opportunities"])
        for relation in (relations.pair, *relations.reference_by_control)
        if (figures := relation.content["summary"].get(test))
    ]
    if len(shares) < 2:
        return ()
    above = sum(share >= shares[0] for share in shares[1:])
    return (
        Companion(
            null=Null.POPULATION,
            name="line-up against the same reference",
            value=f"rank {above + 1} of {len(shares)}",
            note="stands beside, is not merged",
        ),
    )


def _limits_of(pair: Relation) -> tuple[str, ...]:
    content = pair.content
    limits = [f"Read {content['places']} places of {content['text']['characters']} characters of text."]
    if content["parameters"]["text"] != "given":
        limits.append("The text is documentation of Python's standard library, which another version words otherwise.")
    if all(content["lineages"]):
        return tuple(limits)
    return (
        *limits,
        "The lineage of one of the two was not declared: controls of its own lineage may stand in the line-up.",
    )


def _inconclusive(test: Test, pair: Relation, reason: str, components: tuple[Component, ...]) -> Inconclusive:
    return inconclusive_of(test, pair, reason, version=VERSION, components=components, limitations=LIMITATIONS)
