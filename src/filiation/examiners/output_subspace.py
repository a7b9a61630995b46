"""Do the suspect's log-probabilities come out of the reference's output layer?

The reference gives its unembedding, the suspect log-probabilities: recorded ones that list enough tokens, or, where the plan says
so (`run`), those it gives after random tokens when it is run here. They are read in the directions of the reference's output
layer, once on each half of the vocabulary; the null is *by model*: a direction meets itself again with a chance of at most c,
whatever the others do (measures/output_subspace.py; c measured on strangers by studies/logits.py). Beside it stands membership:
what share of the suspect's variation the layer cannot express, and what rounding alone would leave.

What is found is an output layer in common, initialisation included. Of the layers below nothing is said.
"""

from __future__ import annotations

import math
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from filiation.errors import SourceError, UsageError
from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Coincidences,
    Companion,
    Finding,
    Identity,
    Multiplicity,
    Null,
    Observation,
    Outcome,
    Proposition,
    Relation,
    Relations,
    Test,
    digest,
)
from filiation.examiners.examiner import Progress, Subject, silent, too_small
from filiation.examiners.outcomes import (
    effect_of,
    figures_of,
    finding_of,
    inconclusive_of,
    registered_lineages,
    registered_power,
    share_to_detect,
)
from filiation.measures.output_subspace import (
    ANSWERS_PER_DIRECTION,
    OutputLayer,
    ReadTwice,
    hidden_size,
    read_twice,
    residual_shares,
    rounding_share,
)
from filiation.sources.families import Decoder, Role, decoder_of
from filiation.sources.residual import ResidualView
from filiation.sources.source import Source
from filiation.sources.tokenizers import TokenizerDefinition, ids_by_bytes, ids_in_common
from filiation.statistics.register import Calibration, RegisterEntry
from filiation.strict_json import json_or_none

NAME = "output_subspace"
VERSION = "1"
QUESTION = "Do the suspect's log-probabilities come out of the reference's output layer?"
NEEDS = (Access.WEIGHTS, Access.TRANSCRIPT)
TESTS = (
    Test(
        id="output_subspace.directions",
        proposition=Proposition.WEIGHTS,
        alternative="an output layer initialised and trained independently",
        relation_class="common ancestor of the output layer, initialisation included",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.MODEL,
        formula="P(Bin(n, c) >= k), directions of the reference's output layer, the largest half left out",
    ),
)
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
    "same initialisation",
)
ASSUMPTIONS = (
    "Each direction of the reference's output layer meets itself again in the log-probabilities of a stranger with a chance of at "
    "most c given all the others: measured on strangers trained for this purpose, not derived.",
    "The log-probabilities are the suspect's own, of one model, and come out of one linear output layer.",
)
REFERENCES = (
    "Carlini et al. 2024, Stealing part of a production language model (outputs lie in the span of the unembedding)",
    "Finlayson et al. 2024, Logits of API-protected LLMs leak proprietary information (output subspace as a signature)",
)
LIMITATIONS = (
    "Only the output layer is compared: one that was copied and frozen under layers of another origin is found, one that was "
    "trained anew under copied layers is not.",
    "A shared initialisation cannot be told from a derivative, and direction is not told.",
    "Tolerance not validated on real strangers: c was measured on small models trained for this purpose.",
)
PARAMETERS: dict[str, bool | int | float | str] = {
    "run": False,  # run the suspect where it is given as weights (extra `models`)
    "answers": 4,  # positions collected per direction where the suspect is run
    "length": 32,  # random tokens in one context
    "tokens": 8,  # tokens looked at per direction, drawn by lot from those in common
}
ASK_FOR_IT = (
    "the suspect's log-probabilities were not recorded, and it is not run unasked: give --run-models, or set the parameter run of "
    'output_subspace to true in a plan (needs pip install "filiation[models]"), or give a recording that lists enough of them'
)
SEEN_UP_TO = 1024
"""Hidden size of a reference up to which the suspect's own is looked for: beyond, the decomposition takes hours."""
MOST_NATS = 1e6
"""What lies further from 0 is no log-probability of a token, and would carry every fit away."""
FEWEST_TOKENS = 4
"""Tokens in common per direction, below which the two halves are not compared: the smallest that strangers were measured at."""


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """The output layer's shape, or how much a recording lists."""
    decoder = decoder_of(source)
    content: dict[str, Any]
    if not isinstance(decoder, Absent):
        content = {
            "part": "weights",
            "family": decoder.family,
            "norm": decoder.norm,
            "hidden_size": decoder.hidden_size,
            "vocabulary_size": decoder.vocabulary_size,
            "capped": bool(_configured(source, "final_logit_softcapping")),
        }
    else:
        positions = _recorded(source)
        if not positions:
            return Absent(reason=f"there are neither weights nor recorded log-probabilities ({decoder.reason})")
        listed = sorted(len(values) for values in positions)
        content = {"part": "recording", "positions": len(positions), "listed": listed[len(listed) // 2]}
    return Observation(examiner=NAME, examiner_version=VERSION, exhibit=source.name, content=content)


def _configured(source: Source, key: str) -> Any:
    configuration = source.configuration()
    return None if isinstance(configuration, Absent) else configuration.get(key)


def _recorded(source: Source) -> list[dict[str, float]]:
    """Per recorded token, the log-probabilities that were listed in its place; what has another shape is left out."""
    transcript = getattr(source, "transcript", lambda: Absent(reason="no recording"))()
    if isinstance(transcript, Absent):
        return []
    told = map(json_or_none, transcript.frame["log_probabilities"].drop_nulls().to_list())
    listed = (_listed(token) for answer in told if isinstance(answer, list) for token in answer)
    return [values for values in listed if values]


def _listed(token: Any) -> dict[str, float]:
    """[token, log-probability, [[token, log-probability], ...]] as a table; an empty one where it has another shape."""
    try:
        said, value, others = token
        return {str(said): float(value)} | {str(name): float(each) for name, each in others}
    except (TypeError, ValueError, OverflowError):
        return {}


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """Record how many directions meet themselves, and membership in thousandths of log10 shares."""
    parameters = PARAMETERS | first.parameters
    reference, suspect = first.observation.content, second.observation.content
    if reference["part"] != "weights":
        return Absent(reason="the reference's output layer is read from its weights, and only a recording was given")
    if reference["capped"] or suspect.get("capped"):
        return Absent(
            reason="its logits are capped after the output layer: log-probabilities no longer lie in its span"
        )
    if suspect["part"] == "weights" and not parameters["run"]:
        return Absent(reason=ASK_FOR_IT)
    if reason := too_small(parameters, "answers", "length", "tokens"):
        return Absent(reason=reason)
    rng = np.random.default_rng(seed)
    try:
        gathered = (_run if suspect["part"] == "weights" else _read)(first, second, parameters, rng, progress)
    except (SourceError, UsageError) as error:
        # What cannot be run can still be compared by other examiners: a reason, not an end.
        return Absent(reason=f"it cannot be run: {error.exhibit or 'the model'}: {error.message}")
    if isinstance(gathered, Absent):
        return gathered
    tokens, log_probabilities, rounding = gathered
    layer = output_layer(first.source, tokens)
    progress("reading the output layer's directions", 0.8)
    found = read_twice(layer, log_probabilities, rng)
    if isinstance(found, Absent):
        return found
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=first.observation.exhibit,
        second=second.observation.exhibit,
        seed=seed,
        content=_content(found, layer, log_probabilities, rounding)
        | {
            "parameters": {key: parameters[key] for key in PARAMETERS},
            "families": [reference["family"], suspect.get("family", "")],
            "hidden_size": reference["hidden_size"],
            "collected": "run" if suspect["part"] == "weights" else "recorded",
        },
    )


def _content(
    found: ReadTwice, layer: OutputLayer, log_probabilities: NDArray[np.float64], rounding: float
) -> dict[str, Any]:
    width = layer.rows.shape[1]
    held = residual_shares(layer, log_probabilities)
    able = held.constraints > 0
    return {
        "count": found.count,
        "opportunities": found.opportunities,
        "agreement_thousandths": round(1000 * found.agreement),
        "answers": len(log_probabilities),
        "tokens": len(layer.rows),
        "constraints": int(np.median(held.constraints[able])) if able.any() else 0,
        "outside_millilog10": _millilog10(float(np.median(held.shares[able])) if able.any() else 1.0),
        "rounding_millilog10": _millilog10(rounding),
        "dimensions_seen": _seen(log_probabilities, width),
        "summary": {TESTS[0].id: {"count": found.count, "opportunities": found.opportunities}},
    }


def _seen(log_probabilities: NDArray[np.float64], width: int) -> list[int] | str:
    """The suspect's own hidden size from outside, as an interval; a reason where it does not show."""
    if width > SEEN_UP_TO:
        return f"not looked for beyond {SEEN_UP_TO} dimensions"
    listed_by_all = log_probabilities[:, np.isfinite(log_probabilities).all(axis=0)]
    rank = hidden_size(listed_by_all) if listed_by_all.size else Absent(reason="no token is listed by all answers")
    return rank.reason if isinstance(rank, Absent) else [rank.low, rank.high]


def _millilog10(share: float) -> int:
    """To a tenth: accumulated rounding differs from machine to machine beyond that."""
    return 100 * round(10 * math.log10(max(share, 1e-20)))


Gathered = tuple[NDArray[np.intp], NDArray[np.float64], float]


def _run(
    first: Subject, second: Subject, parameters: dict[str, Any], rng: np.random.Generator, progress: Progress
) -> Gathered | Absent:
    """The reference's token ids, the suspect's log-probabilities of the same tokens after random ones, and rounding."""
    width = int(first.observation.content["hidden_size"])
    _, ours, theirs = ids_in_common(
        [subject.source.tokenizer() for subject in (first, second)],
        [int(subject.observation.content["vocabulary_size"]) for subject in (first, second)],
    )
    if len(ours) < FEWEST_TOKENS * width:
        return Absent(
            reason=f"{len(ours)} tokens in common; {FEWEST_TOKENS * width} are needed for {width} hidden dimensions"
        )
    chosen = np.sort(rng.permutation(len(ours))[: int(parameters["tokens"]) * width])
    ours, theirs = ours[chosen], theirs[chosen]
    length = int(parameters["length"])
    contexts = theirs[rng.integers(len(theirs), size=(math.ceil(int(parameters["answers"]) * width / length), length))]
    values = _collected(second.source, contexts, theirs, progress).astype(np.float64)
    return ours, values, rounding_share(values, "float32")


_answers: WeakKeyDictionary[Source, dict[str, NDArray[np.float32]]] = WeakKeyDictionary()
"""What each suspect said to the same contexts, so that further references do not run it again."""
BLOCK = 8
"""Contexts that are run together."""


def _collected(
    source: Source, contexts: NDArray[np.intp], tokens: NDArray[np.intp], progress: Progress
) -> NDArray[np.float32]:
    """Log-probabilities of some tokens after every beginning of every context; of a whole vocabulary they would fill memory."""
    from filiation.sources.running import load_source

    key = digest([contexts.tolist(), tokens.tolist()])
    known = _answers.setdefault(source, {})
    if key not in known:
        known.clear()
        model = load_source(source)
        blocks = []
        for start in range(0, len(contexts), BLOCK):
            progress(f"running {source.name}", 0.8 * start / len(contexts))
            some = list(contexts[start : start + BLOCK])
            said = model.next_token_log_probabilities(some, every_position=True).values
            blocks.append(said[:, tokens].astype(np.float32))
        known[key] = np.concatenate(blocks)
    return known[key]


def _read(
    first: Subject, second: Subject, parameters: dict[str, Any], rng: np.random.Generator, progress: Progress
) -> Gathered | Absent:
    """The same from a recording: tokens by their text, NaN where an answer does not list one."""
    definition = first.source.tokenizer()
    if isinstance(definition, Absent):
        return Absent(reason=f"the recorded tokens cannot be found in the reference's vocabulary: {definition.reason}")
    width = int(first.observation.content["hidden_size"])
    needed = 2 * (width + 16)
    positions = [values for values in _recorded(second.source) if len(values) >= needed]
    if len(positions) < ANSWERS_PER_DIRECTION * width:
        return Absent(
            reason=f"{len(positions)} recorded tokens list {needed} alternatives or more; {ANSWERS_PER_DIRECTION * width} of them are "
            f"needed for a hidden size of {width} (k log-probabilities say nothing of an output layer of k - 1 dimensions or more)"
        )
    ids = _ids_by_text(definition, int(first.observation.content["vocabulary_size"]))
    names = sorted({name for values in positions for name in values} & ids.keys())
    chosen = [names[at] for at in np.sort(rng.permutation(len(names))[: int(parameters["tokens"]) * width])]
    values = np.array([[listed.get(name, np.nan) for name in chosen] for listed in positions], dtype=np.float64)
    values = np.where(np.abs(values) <= MOST_NATS, values, np.nan).reshape(len(positions), len(chosen))
    if not np.isfinite(values).any():
        return Absent(reason="none of the recorded tokens stands in the reference's vocabulary with a log-probability")
    tokens = np.array([ids[name] for name in chosen], dtype=np.intp)
    return tokens, values, rounding_share(values, "float32", decimals=4)


def _ids_by_text(definition: TokenizerDefinition, size: int) -> dict[str, int]:
    """Tokens by the text a recording would show; bytes that are no text by themselves are left out."""
    named: dict[str, int] = {}
    for token, token_id in ids_by_bytes(definition, size).items():
        try:
            named[token.decode()] = token_id
        except UnicodeDecodeError:
            continue
    return named


def output_layer(source: Source, tokens: NDArray[np.intp]) -> OutputLayer:
    """The unembedding of some tokens, gains folded in; what biases add is an offset. Raises ValueError without weights."""
    decoder = decoder_of(source)
    if isinstance(decoder, Absent):
        raise ValueError(f"{source.name} was not observed: {decoder.reason}")
    offsets = [column for column in (_norm_bias(decoder, tokens), _output_bias(decoder, tokens)) if column is not None]
    return OutputLayer(
        rows=ResidualView(decoder).unembedding(tokens).astype(np.float64),
        offsets=np.column_stack(offsets) if offsets else np.zeros((len(tokens), 0)),
    )


def _norm_bias(decoder: Decoder, tokens: NDArray[np.intp]) -> NDArray[np.float64] | None:
    role = Role(layer=-1, part="final_norm_bias")
    if not decoder.has(role):
        return None
    rows = decoder.read_rows(Role(layer=-1, part="unembedding"), tokens).astype(np.float64)
    column: NDArray[np.float64] = rows @ decoder.read(role).astype(np.float64)
    return column


def _output_bias(decoder: Decoder, tokens: NDArray[np.intp]) -> NDArray[np.float64] | None:
    role = Role(layer=-1, part="unembedding_bias")
    return decoder.read(role)[tokens].astype(np.float64) if decoder.has(role) else None


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """One exact binomial tail: p = P(Bin(n, c) >= k)."""
    pair = relations.pair
    test = TESTS[0]
    entry = next((entry for entry in calibration.entries if entry.test == test.id), None)
    reason = _reason_to_decline(pair.content, entry)
    if reason or entry is None or entry.chance is None:
        reason = reason or f"not validated: the register of nulls has no chance for {test.id}"
        companions = _companions(pair.content)
        return (inconclusive_of(test, pair, reason, version=VERSION, companions=companions, limitations=LIMITATIONS),)
    return (_finding(test, pair, entry, entry.chance, calibration),)


def _reason_to_decline(content: dict[str, Any], entry: RegisterEntry | None) -> str:
    if entry is None:
        return f"not validated: the register of nulls has no entry for {TESTS[0].id}"
    unknown = [family for family in content["families"] if family and family not in entry.validated_for]
    if unknown:
        return (
            f"not validated for the family {unknown[0]}: strangers were measured for {', '.join(entry.validated_for)}"
        )
    return ""


def _finding(test: Test, pair: Relation, entry: RegisterEntry, chance: float, calibration: Calibration) -> Finding:
    content = pair.content
    count, opportunities = int(content["count"]), int(content["opportunities"])
    return finding_of(
        test,
        pair,
        figures_of(Coincidences(count=count, opportunities=opportunities, chance=chance)),
        version=VERSION,
        effect=effect_of("share of the output layer's directions", count, opportunities),
        power=registered_power(entry, share_to_detect(opportunities, chance, entry.detection_log10_p)),
        parameters=content["parameters"],
        calibration=calibration,
        lineages=registered_lineages(entry),
        multiplicity=Multiplicity(searched=1, rule="one reading"),
        companions=_companions(content),
        assumptions=ASSUMPTIONS,
        limitations=LIMITATIONS,
    )


def _companions(content: dict[str, Any]) -> tuple[Companion, ...]:
    """Membership, and the suspect's own hidden size: descriptions that carry no chance."""
    seen = content["dimensions_seen"]
    told = (
        seen
        if isinstance(seen, str)
        else f"{seen[0]} or {seen[1]}"
        if seen[1] == seen[0] + 1
        else f"{seen[0]} to {seen[1]}"
    )
    design = Companion(
        null=Null.MODEL,
        name="hidden size seen in the log-probabilities",
        value=told,
        note=f"the reference has {content['hidden_size']}; a class characteristic that many designs share",
    )
    if not content["constraints"]:
        return (design,)
    outside = Companion(
        null=Null.MODEL,
        name="variation outside the reference's output layer",
        value=f"10^{content['outside_millilog10'] / 1000:.1f} of it, by {content['constraints']} constraints on each answer",
        note=f"rounding alone would leave about 10^{content['rounding_millilog10'] / 1000:.1f}; a layer that was trained "
        "further, rounded or merged leaves more, and is no longer the same layer",
    )
    return (outside, design)
