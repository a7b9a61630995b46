"""Was further training done with one reward, or on one set of texts, whatever the bases?

Two tests, both by population, and both only on demand, because models are run:

    implicit-reward     What its further training made likelier, text by text, is the implicit reward of a tuned model (log p minus
                        its base's log p). The rewards of suspect and reference are correlated over shared texts, and the suspect
                        is ranked among other tuned models, each against its own base. It takes the bases: four models for a
                        correlation, two more for every control.
    refusal-direction   The cosine of the two models' refusal directions, where their residual streams have one basis. It describes
                        and is never a finding: there is no population behind it.

What is missing is said, and nothing is answered in its place.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filiation.errors import SourceError, UsageError
from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
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
from filiation.measures.implicit_reward import implicit_rewards, kinship, log_probabilities
from filiation.measures.refusal_direction import cosines, difference_of_means, dimensions_in_common, last_states
from filiation.measures.representations import neutral_pieces
from filiation.sources.families import decoder_of
from filiation.sources.open import open_source
from filiation.sources.probes import written
from filiation.sources.running import RunningModel, load_model, load_source
from filiation.sources.source import Source
from filiation.statistics.e_values import log10_e_value_of_p
from filiation.statistics.likelihood import upper_limit
from filiation.statistics.line_up import rank_among_lineages
from filiation.statistics.register import Calibration

NAME = "training_method"
VERSION = "1"
QUESTION = "Was the further training of the two models done with one reward or on one set of texts?"
NEEDS = (Access.WEIGHTS, Access.CONFIGURATION, Access.TOKENIZER)
TESTS = (
    Test(
        id="training_method.refusal-direction",
        proposition=Proposition.TRAINING_METHOD,
        alternative="taught to refuse independently of each other",
        relation_class="one way of refusing, in one basis of the residual stream",
        characteristic=Characteristic.CLASS,
        null=Null.POPULATION,
        formula="none: cosines are shown, and nothing is ranked",
    ),
    Test(
        id="training_method.implicit-reward",
        proposition=Proposition.TRAINING_METHOD,
        alternative="trained on with another reward, or on other texts",
        relation_class="one reward or one set of texts in further training",
        characteristic=Characteristic.CLASS,
        null=Null.POPULATION,
        formula="rank of the correlation of implicit rewards among tuned control lineages",
    ),
)
REFUSAL, REWARD = TESTS
CLAIMS: tuple[str, ...] = ()
ASSUMPTIONS = (
    "Were the suspect's training independent of the reference's, its correlation would be exchangeable with those of the control "
    "lineages: tuned as long, on texts of the same kind, from bases as good.",
    "Each base is the model that the tuned one started from: whoever names it answers for that.",
)
REFERENCES = (
    "Rafailov et al. 2023, Direct preference optimization (implicit reward)",
    "Arditi et al. 2024, Refusal in language models is mediated by a single direction",
)
LIMITATIONS = (
    "One reward and one set of texts are not told apart, nor is who had them first.",
    "All further training has something in common: only a rank among tuned models means anything.",
    "Not validated on real models: it was measured on small models tuned for this purpose.",
)
LEAST_LINEAGES = 19
"""Below this many control lineages no rank reaches p = .05."""

PARAMETERS: dict[str, bool | int | float | str] = {
    "run": False,  # models are run only on demand
    "reference_base": "",  # where the model lies from which the reference was tuned
    "suspect_base": "",  # and that of the suspect
    "control_bases": "",  # NAME=LOCATION of every control's base, separated by semicolons
    "texts": 200,  # shared texts over which rewards are correlated
    "characters": 512,  # of a text, and never more than the shortest context
    "refusal_direction": False,  # also compare refusal directions
}
NOT_RUN = (
    "models were not run: ask for it with --run-models, or in a plan with the parameter training_method.run "
    "(it needs torch and transformers, memory and time)"
)
NEEDS_BASES = (
    "it needs four models: beside the two exhibits those they were tuned from, named by --reference-base and --suspect-base (in a "
    "plan the parameters training_method.reference_base and training_method.suspect_base); and for a rank at least "
    f"{LEAST_LINEAGES} tuned controls with theirs (--control-base, control_bases)"
)
NEEDS_ASKING = "it is run on demand: training_method.refusal_direction; it needs models that refuse, in one basis"
BASES = ("reference_base", "suspect_base", "control_bases")
SCALE = 10_000
"""Correlations and cosines are recorded as integers, in ten-thousandths."""


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Design and context, from headers alone: no model is run here."""
    decoder, configuration = decoder_of(source), source.configuration()
    for part in (decoder, configuration, source.tokenizer()):
        if isinstance(part, Absent):
            return part
    assert not isinstance(decoder, Absent)
    assert not isinstance(configuration, Absent)
    context = int(configuration.get("max_position_embeddings") or configuration.get("n_positions") or 0)
    content = {"family": decoder.family, "layers": decoder.layers, "context": context, "lineage": source.lineage_id}
    return Observation(examiner=NAME, examiner_version=VERSION, exhibit=source.name, content=content)


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """Record the correlation of implicit rewards, where bases were named, and cosines of refusal directions, where asked for."""
    parameters = PARAMETERS | first.parameters
    if not parameters["run"]:
        return Absent(reason=NOT_RUN)
    if reason := too_small(parameters, "texts", "characters"):
        return Absent(reason=reason)
    content = {
        # Where bases lie is nobody's business but this machine's; which models they are stands with the rewards.
        "parameters": dict(parameters) | {name: "given" for name in BASES if parameters[name]},
        "families": [subject.observation.content["family"] for subject in (first, second)],
        "lineages": [subject.observation.content["lineage"] for subject in (first, second)],
        "reward": _or_reason(_reward, first, second, seed, parameters),
        "refusal": _or_reason(_refusal, first, second, seed, parameters),
    }
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=first.observation.exhibit,
        second=second.observation.exhibit,
        seed=seed,
        content=content,
    )


def _or_reason(measure: Any, *arguments: Any) -> dict[str, Any]:
    """What was measured; where a model cannot be run, why."""
    try:
        measured: dict[str, Any] = measure(*arguments)
    except (SourceError, UsageError) as error:
        return {"reason": f"it cannot be run: {error.exhibit or 'the model'}: {error.message}"}
    return measured


def _bases(first: Subject, second: Subject, parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Location and origin of each base: a control's by its name, else the reference's or the suspect's by its role."""
    listed = bases_by_name(str(parameters["control_bases"]))
    found = []
    for subject, role in ((first, "reference_base"), (second, "suspect_base")):
        name = subject.observation.exhibit
        found.append((listed[name], "control_bases") if name in listed else (str(parameters[role]), role))
    return found


def bases_by_name(text: str) -> dict[str, str]:
    """'NAME=LOCATION; NAME=LOCATION' as a table. Raises UsageError where an entry is none."""
    table = {}
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, is_sign, location = entry.partition("=")
        if not (name.strip() and is_sign and location.strip()):
            raise UsageError(f"{entry!r} names no base", advice="write NAME=LOCATION, entries separated by semicolons")
        table[name.strip()] = location.strip()
    return table


def _reward(first: Subject, second: Subject, seed: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
    bases = _bases(first, second, parameters)
    if not all(location for location, _ in bases):
        return {"reason": NEEDS_BASES}
    size = min(int(parameters["characters"]), *(context for context in _contexts(first, second) if context), 1 << 20)
    texts = neutral_pieces(size, _rng(seed, "texts"))[: int(parameters["texts"])]
    if len(texts) < 3:
        return {"reason": "there are no texts to read"}
    rewards = [
        _tuned_minus_base(subject.source, location, texts)
        for subject, (location, _) in zip((first, second), bases, strict=True)
    ]
    return {
        "texts": len(texts),
        "sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
        "bases_from": [origin for _, origin in bases],
        "bases": [open_source(location).identity().content_id or "not hashed" for location, _ in bases],
        "correlation": round(SCALE * kinship(rewards[0], rewards[1])),
    }


def _contexts(*subjects: Subject) -> list[int]:
    return [int(subject.observation.content["context"]) for subject in subjects]


def _tuned_minus_base(tuned: Source, base: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """One model in memory at a time."""
    return implicit_rewards(log_probabilities(load_source(tuned), texts), log_probabilities(load_model(base), texts))


def _refusal(first: Subject, second: Subject, seed: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
    if not parameters["refusal_direction"]:
        return {"reason": NEEDS_ASKING}
    layers = [subject.observation.content["layers"] for subject in (first, second)]
    if layers[0] != layers[1]:
        return {"reason": f"models of {layers[0]} and {layers[1]} layers have no directions to compare layer by layer"}
    prompts = _prompts(min((context for context in _contexts(first, second) if context), default=1 << 20))
    states = [_states(load_source(subject.source), prompts) for subject in (first, second)]
    everything = [np.concatenate(groups) for groups in states]
    rng = _rng(seed, "dimensions")
    count, possible = dimensions_in_common(everything[0][:, layers[0] // 2], everything[1][:, layers[0] // 2], rng)
    if 2 * count <= possible or not possible:
        return {
            "reason": f"no basis in common: {count} of {possible} hidden dimensions stand at their own index, so that directions "
            "have other numbers in the two models"
        }
    directions = [difference_of_means(*groups) for groups in states]
    found = cosines(directions[0], directions[1])
    return {
        "prompts": [len(group) for group in prompts],
        "dimensions": [count, possible],
        "cosines": [round(SCALE * float(cosine)) for cosine in found],
    }


def _prompts(context: int) -> tuple[list[str], list[str]]:
    """Requests that look strongly like what is refused (grades 4 and 5 of the set borderline), and as many open ones."""
    refused = [probe.prompt for probe in written("borderline") if probe.grade >= 4 and len(probe.prompt) < context]
    answered = [probe.prompt for probe in written("open") if len(probe.prompt) < context]
    return refused[:64], answered[: min(64, len(refused))]


def _states(
    model: RunningModel, prompts: tuple[list[str], list[str]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    layers = range(1, model.layers + 1)
    return last_states(model, prompts[0], layers), last_states(model, prompts[1], layers)


def _rng(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """One outcome per test: refusal directions are described, implicit rewards are ranked where there is a line-up for it."""
    return _judge_refusal(relations.pair), _judge_reward(relations, controls, calibration)


def _judge_refusal(pair: Relation) -> Outcome:
    found = pair.content["refusal"]
    if "cosines" not in found:
        return not_examined_of(REFUSAL, pair, found["reason"], version=VERSION)
    components = tuple(
        Component(kind="layer", name=str(layer), count=0, opportunities=0, note=f"cosine {cosine / SCALE:.3f}")
        for layer, cosine in enumerate(found["cosines"], start=1)
    )
    reason = (
        "described, not judged: refusal directions have no population behind them, and relatives share them by descent"
    )
    return _inconclusive(REFUSAL, pair, reason, components)


def _judge_reward(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> Outcome:
    test, pair = REWARD, relations.pair
    found = pair.content["reward"]
    if "correlation" not in found:
        return not_examined_of(test, pair, found["reason"], version=VERSION)
    shown = _correlations(relations)
    entry = next((entry for entry in calibration.entries if entry.test == test.id), None)
    if entry is None:
        return _inconclusive(test, pair, f"not validated: the register of nulls has no entry for {test.id}", shown)
    foreign = [family for family in pair.content["families"] if family not in entry.validated_for]
    if foreign:
        return _inconclusive(test, pair, f"not validated for models of the family {foreign[0]}", shown)
    declared, undeclared = _control_scores(relations, controls)
    if len(declared) < LEAST_LINEAGES:
        reason = (
            f"ranked among {len(declared)} tuned control lineages whose bases are named no suspect reaches p = .05: "
            f"{LEAST_LINEAGES} are needed"
        )
        return _inconclusive(test, pair, reason, shown)
    ranked = rank_among_lineages(found["correlation"], declared, undeclared)
    lineages = len(ranked.lineages)
    strangers, exceeding = validated_by(entry, lineages, detected=ranked.log10_p <= entry.detection_log10_p)
    value = found["correlation"] / SCALE
    low, high = _interval(value, found["texts"])
    resolution = -math.log10(lineages + 1)
    return Finding(
        **common_fields(test, pair, VERSION),
        reason="examined; ranked among tuned control lineages, whatever the number of texts",
        count=ranked.above,
        opportunities=lineages,
        chance=min(ranked.above + 1, lineages) / (lineages + 1),
        log10_p=round_against_accuser(ranked.log10_p, accuses_when="small"),
        log10_e=round_against_accuser(log10_e_value_of_p(ranked.log10_p), accuses_when="large"),
        resolution_log10_p=round_against_accuser(resolution, accuses_when="small"),
        effect=Effect(name="rank correlation of implicit rewards", value=value, low=low, high=high),
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
        multiplicity=Multiplicity(searched=1, rule="one rank; each lineage stands in it with its highest correlation"),
        components=shown,
        assumptions=ASSUMPTIONS,
        limitations=LIMITATIONS,
        seed=pair.seed,
        parameters_digest=digest(pair.content["parameters"]),
        calibration_digest=calibration.digest,
        observations=(digest(pair), *map(digest, relations.reference_by_control)),
    )


def _control_scores(relations: Relations, controls: tuple[Identity, ...]) -> tuple[dict[str, list[float]], list[float]]:
    """Correlations by declared lineage, and those of undeclared controls.

    A control whose own base was not named was measured against the suspect's and counts for nothing; the lineages of the two in
    dispute stay out.
    """
    lineage_of = {control.name: control.lineage_id for control in controls}
    disputed = {lineage for lineage in relations.pair.content["lineages"] if lineage}
    declared: dict[str, list[float]] = {}
    undeclared: list[float] = []
    for relation in _measured_controls(relations):
        lineage, score = lineage_of.get(relation.second, ""), float(relation.content["reward"]["correlation"])
        if not lineage:
            undeclared.append(score)
        elif lineage not in disputed:
            declared.setdefault(lineage, []).append(score)
    return declared, undeclared


def _measured_controls(relations: Relations) -> list[Relation]:
    rewards = [(relation, relation.content["reward"]) for relation in relations.reference_by_control]
    return [relation for relation, found in rewards if found.get("bases_from", ("", ""))[1] == "control_bases"]


def _correlations(relations: Relations) -> tuple[Component, ...]:
    rows = [("suspect", relations.pair), *(("control", relation) for relation in _measured_controls(relations))]
    return tuple(
        Component(
            kind=kind,
            name=relation.second,
            count=0,
            opportunities=0,
            note=f"correlation {relation.content['reward']['correlation'] / SCALE:.3f}",
        )
        for kind, relation in rows
    )


def _interval(correlation: float, texts: int) -> tuple[float, float]:
    """95 % over texts by Fisher's transformation; between models it varies more, which is why ranks are used."""
    middle, wide = math.atanh(max(-0.9999, min(0.9999, correlation))), 1.96 / math.sqrt(max(1, texts - 3))
    low, high = math.tanh(middle - wide), math.tanh(middle + wide)
    return round(min(low, correlation), 6), round(max(high, correlation), 6)


def _inconclusive(test: Test, pair: Relation, reason: str, components: tuple[Component, ...]) -> Inconclusive:
    return inconclusive_of(test, pair, reason, version=VERSION, components=components, limitations=LIMITATIONS)
