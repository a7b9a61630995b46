"""Is this service that model? Do the recorded answers differ from the reference's by more than a change of runtime makes them?

Here a small p speaks *against* identity. The null is 'the answers come from the reference model, up to a distance of at most
epsilon per answer', because two runtimes or number types never answer exactly alike; epsilon was argued from number formats, set
wide, and tested on the same weights run in several ways, never on the judged pair (`studies/service.py`). Rejecting says
'differs by more than runtimes do'. Not rejecting says that too little was asked, or that the two are close; it never says 'the
same model', and still less that one was made from the other.

Four tests, each exact in its own kind of recording:

    service.samples            temperature above 0: can a rule learned from earlier pairs tell the next pair of answers apart?
                               chance at most 1/2 + epsilon (statistics/two_samples.py)
    service.margins            temperature 0, reference with log-probabilities: do they part where the reference's choice was
                               clear? Another runtime turns near ties, seldom clear choices: epsilon is small
    service.answers            temperature 0: do the answers part within their first letters? chance at most epsilon
    service.log-probabilities  both with log-probabilities: are those of the first tokens apart by more than another number type
                               moves them?

An opportunity is a prompt (in `samples`, a pair of answers), never a token: tokens of one answer depend on each other. Prompts
count only where both sides recorded the same parameters, system prompt included: where these differ, nothing is examined,
for another system prompt alone can reject.
"""

from __future__ import annotations

import itertools
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Coincidences,
    Companion,
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
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.line_up import observe_transcript
from filiation.examiners.outcomes import common_fields
from filiation.sources.source import Source
from filiation.statistics.coincidences import log10_upper_tail, resolution_log10_p
from filiation.statistics.e_values import log10_e_value
from filiation.statistics.intervals import share_interval
from filiation.statistics.likelihood import upper_limit
from filiation.statistics.power import detectable_share
from filiation.statistics.register import Calibration, RegisterEntry
from filiation.statistics.sequential import parse_looks, planned_order
from filiation.statistics.two_samples import coins, told_apart

NAME = "service"
VERSION = "1"
QUESTION = (
    "Do the suspect's answers differ from the reference model's by more than a change of runtime makes them differ?"
)
NEEDS = (Access.TRANSCRIPT,)
_NULL = "the reference model, up to a change of runtime"
_OTHER = "another service than the reference model: other weights, coarser numbers, another prompt or other parameters"


def _test(kind: str, formula: str, symmetric: bool) -> Test:
    return Test(
        id=f"{NAME}.{kind}",
        proposition=Proposition.SERVICE,
        alternative=_NULL,
        relation_class=_OTHER,
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.MODEL,
        symmetric=symmetric,
        formula=formula,
    )


SAMPLES, MARGINS, ANSWERS, LOG_PROBABILITIES = TESTS = (
    _test(
        "samples", "P(Bin(n, 1/2 + epsilon) >= k), k pairs of sampled answers told apart by a rule fixed before", False
    ),
    _test(
        "margins", "P(Bin(n, epsilon) >= k), k prompts whose answers part where the reference's choice was clear", False
    ),
    _test("answers", "P(Bin(n, epsilon) >= k), k prompts whose answers part within their first letters", True),
    _test(
        "log-probabilities", "P(Bin(n, epsilon) >= k), k prompts whose first tokens' log-probabilities lie apart", False
    ),
)
CLAIMS = ("another model served",)
ASSUMPTIONS = (
    "Were the reference model served, each answer would differ from its recorded one with a chance of at most epsilon, whatever "
    "the others did: a bound that was argued from number formats, set wide, and tested on other models run in several ways.",
    "The recorded parameters, system prompt included, are those that were in force on both sides.",
    "The prompts were chosen without looking at the suspect's answers.",
)
LIMITATIONS = (
    "A small chance says that the answers differ by more than runtimes do. It does not say why: other weights, coarser numbers, a "
    "hidden system prompt, another chat template or a filter all do it.",
    "A large chance is never identity: too little may have been asked, and a model close to the reference differs rarely.",
    "Whatever is found here says nothing of descent.",
    "Epsilon was tested on small models on one kind of processor; batching, kernels and number types of large services were not.",
)
REFERENCES = (
    "Lopez-Paz and Oquab 2017, Revisiting classifier two-sample tests",
    "Kim, Ramdas, Singh and Wasserman 2021, Classification accuracy as a proxy for two-sample testing",
    "Gao, Liang and Guestrin 2025, Model equality testing: which model is this API serving?",
)
PARAMETERS: dict[str, bool | int | float | str] = {"looks": ""}

LETTERS = 32
"""Answers are compared over so many letters, white space at the ends dropped (chosen in the study, on other models)."""
CLEAR_MARGIN = 0.5
"""Nats between the reference's chosen token and the next likeliest, from which on its choice counts as clear."""
FIRST_TOKENS = 8
APART = 0.25
"""Mean distance in nats of the log-probabilities of the first tokens, from which on they count as apart."""
NOT_LISTED = 5.0
"""Nats taken for a token of the reference's that is not among the suspect's listed likeliest ones."""
LONGEST = 4096
HIGHEST = 1000.0
"""Letters of an answer that are read, and nats that a margin may have: what is beyond them changes nothing."""
NOT_THE_SETTING = frozenset({"endpoint", "served", "seed", "stream", "top_log_probabilities"})
"""Recorded parameters that say where and how often was asked, not how the model was to answer."""
MILLI = 1000


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Who says it is whom, and what was answered."""
    return observe_transcript(NAME, VERSION, source)


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """Record, prompt by prompt, how far the two recordings agree. Numbers are integers; see `content`.

    `greedy`: per common prompt, in the planned order, [letters in common or -1 where all are, the reference's margin in
    thousandths of a nat where the answers part (-1: they do not; -2: not recorded), mean distance of log-probabilities in
    thousandths of a nat (-2: not recorded)]. `told_apart`: 1 or 0 per pair of sampled answers.
    """
    transcripts = [subject.source.transcript() for subject in (first, second)]
    for transcript in transcripts:
        if isinstance(transcript, Absent):
            return transcript
    one, other = (_answers(transcript) for transcript in transcripts)
    common = planned_order([prompt for prompt in one if prompt in other], seed)
    if not common:
        return Absent(reason="no prompt was answered by both")
    recorded = [[rows[prompt][0]["setting"] for prompt in common] for rows in (one, other)]
    settings = sorted({setting for side in recorded for setting in side})
    same = recorded[0] == recorded[1] and all(
        answer["setting"] == rows[prompt][0]["setting"]
        for rows in (one, other)
        for prompt in common
        for answer in rows[prompt]
    )
    stated = "{}" not in settings
    hot = [json.loads(setting).get("temperature") != 0 for setting in recorded[0]]
    greedy = [prompt for prompt, sampled in zip(common, hot, strict=True) if not sampled]
    sampled = [prompt for prompt, sampled in zip(common, hot, strict=True) if sampled]
    able = same and stated
    pairs = [
        (prompt, at, a, b)
        for at in range(max((len(one[prompt]) for prompt in sampled), default=0))
        for prompt in sampled
        for a, b in zip(one[prompt][at : at + 1], other[prompt][at : at + 1], strict=False)
    ]
    apart = told_apart(
        [(features(prompt, a["text"]), features(prompt, b["text"])) for prompt, _, a, b in pairs] if able else [],
        coins([f"{prompt}|{at}" for prompt, at, _, _ in pairs], seed) if able else [],
    )
    letters = [
        [letters_in_common(one[p][0]["text"], other[p][0]["text"]), *distances(one[p][0], other[p][0])] for p in greedy
    ]
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=first.observation.exhibit,
        second=second.observation.exhibit,
        seed=seed,
        content={
            "prompts": len(common),
            "settings": settings[:8],
            "same_setting": same,
            "stated": stated,
            "greedy": letters if able else [],
            "told_apart": list(apart),
            "looks": len(parse_looks(str(first.parameters.get("looks", "")))),
            "summary": {test.id: {"count": 0, "opportunities": len(common)} for test in TESTS},
        },
    )


def _answers(transcript: Any) -> dict[str, list[dict[str, Any]]]:
    """Prompt id to its answers in the order of samples."""
    wanted = ("prompt_id", "sample", "text", "parameters", "log_probabilities")
    answers: dict[str, list[dict[str, Any]]] = {}
    for row in transcript.frame.select(*wanted).iter_rows(named=True):
        row["setting"] = _setting(row["parameters"])
        answers.setdefault(row["prompt_id"], []).append(row)
    return answers


def _setting(parameters: str) -> str:
    """What decides how a model answers, as canonical JSON; '{}' where nothing was recorded."""
    try:
        given = json.loads(parameters or "{}")
    except ValueError:
        return "{}"
    if not isinstance(given, dict):
        return "{}"
    kept = {key: value for key, value in given.items() if key not in NOT_THE_SETTING}
    kept = {
        key: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for key, value in kept.items()
    }
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text or "").strip()[:LONGEST]


def letters_in_common(one: str, other: str) -> int:
    """Length of the common beginning of two answers; -1 where they agree in full."""
    first, second = _plain(one), _plain(other)
    if first == second:
        return -1
    return next(
        (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def distances(reference: Mapping[str, Any], suspect: Mapping[str, Any]) -> tuple[int, int]:
    """(margin of the reference's token at which the answers part, mean distance of the first tokens), thousandths of a nat.

    The margin is -1 where they do not part within what both said, -2 where the reference's log-probabilities were not
    recorded. The distance is taken over the agreed tokens and the one at which they part, at most FIRST_TOKENS; a token of
    the reference's that the suspect's list lacks counts as NOT_LISTED; -2 where either side recorded none.
    """
    ours, theirs = (_tokens(row["log_probabilities"]) for row in (reference, suspect))
    return _margin(ours, suspect["text"] or ""), _distance(ours, theirs)


Spoken = tuple[str, float, tuple[tuple[str, float], ...]]
_SPOKEN = msgspec.json.Decoder(tuple[Spoken, ...])


def _tokens(recorded: str | None) -> tuple[Spoken, ...]:
    """The tokens as the transcript's layout has them; empty where nothing was recorded, or something of another shape."""
    try:
        return _SPOKEN.decode(recorded or "[]")
    except msgspec.DecodeError:
        return ()


def _margin(ours: Sequence[Spoken], theirs: str) -> int:
    if not ours:
        return -2
    theirs = theirs.lstrip()
    said = ""
    for token, own, likeliest in ours:
        said += token
        if "\ufffd" in token:
            return -1  # half a letter: where the texts part cannot be told by tokens, and is not counted
        begun = said.lstrip()
        if theirs.startswith(begun):
            continue
        others = [value for name, value in likeliest if name != token]
        if not others:
            return -2
        return max(0, math.floor(MILLI * min(own - max(others), HIGHEST)))
    return -1


def _distance(ours: Sequence[Spoken], theirs: Sequence[Spoken]) -> int:
    if not ours or not theirs:
        return -2
    apart: list[float] = []
    for (token, own, _), (their_token, their_own, likeliest) in zip(
        ours[:FIRST_TOKENS], theirs[:FIRST_TOKENS], strict=False
    ):
        listed = dict(likeliest) | {their_token: their_own}
        apart.append(min(NOT_LISTED, abs(own - listed[token])) if token in listed else NOT_LISTED)
        if token != their_token:
            break
    return math.floor(MILLI * sum(apart) / len(apart))


def features(prompt: str, text: str) -> frozenset[str]:
    """What the rule of `service.samples` looks at: words, pairs of words, the opening, the length; also prompt by prompt."""
    words = _plain(text).lower().split()
    general = {f"word {word}" for word in words} | {f"pair {a} {b}" for a, b in itertools.pairwise(words)}
    general |= {f"opening {' '.join(words[:length])}" for length in (1, 2, 3)}
    general.add(f"length {min(len(words), 1 << 10).bit_length()}")
    own = {f"{prompt} {name}" for name in general if not name.startswith("length")}
    return frozenset(general | own)


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """One exact binomial tail per kind of recording.

    1. Decline where the register has no entry, or the recorded parameters are missing or differ.
    2. Count the opportunities of the test; decline where the recordings hold none.
    3. p = P(Bin(n, c) >= k), times the number of looks where several were planned.
    """
    content = relations.pair.content
    return tuple(_judged(test, content, relations.pair, calibration) for test in TESTS)


def _judged(test: Test, content: Mapping[str, Any], pair: Relation, calibration: Calibration) -> Outcome:
    entry = next((entry for entry in calibration.entries if entry.test == test.id), None)
    count, opportunities = counted(test, content)
    reason = _reason_to_decline(test, content, entry, opportunities)
    common = common_fields(test, pair, VERSION)
    companions = _companions(content, entry)
    if reason or entry is None or entry.chance is None:
        return Inconclusive(
            **common,
            reason=reason or f"not validated: the register of nulls has no chance for {test.id}",
            companions=companions,
            limitations=LIMITATIONS,
            seed=pair.seed,
            observations=(digest(pair),),
        )
    coincidences = Coincidences(count=count, opportunities=opportunities, chance=entry.chance)
    looks = max(1, int(content["looks"]))
    cost = math.log10(looks)
    log10_p = min(0.0, log10_upper_tail(coincidences) + cost)
    resolution = min(0.0, resolution_log10_p(coincidences) + cost)
    detectable = detectable_share(opportunities, entry.chance, entry.detection_log10_p - cost)
    low, high = share_interval(count, opportunities)
    strangers = sum(kind.lineages for kind in entry.strangers)
    exceeding = sum(kind.exceeding for kind in entry.strangers)
    return Finding(
        **common,
        reason="examined; rejecting says 'differs by more than runtimes do', not rejecting never says 'the same'",
        count=count,
        opportunities=opportunities,
        chance=entry.chance,
        log10_p=round_against_accuser(log10_p, accuses_when="small"),
        log10_e=round_against_accuser(log10_e_value(coincidences) - cost, accuses_when="large"),
        resolution_log10_p=round_against_accuser(resolution, accuses_when="large"),
        effect=Effect(
            name=_EFFECTS[test.id], value=round(count / opportunities, 6), low=round(low, 6), high=round(high, 6)
        ),
        power=Power(
            threshold_log10_p=entry.detection_log10_p,
            detectable_share=1.0 if isinstance(detectable, Absent) else round(detectable, 6),
            relations=entry.relatives,
        ),
        lineages=Lineages(
            strangers=strangers,
            strangers_exceeding=exceeding,
            upper_limit=round(upper_limit(exceeding, strangers), 6),
        ),
        multiplicity=Multiplicity(
            searched=looks,
            rule="Bonferroni over the planned looks" if looks > 1 else "one look",
            log10_cost=round(cost, 6),
        ),
        companions=companions,
        assumptions=ASSUMPTIONS,
        limitations=LIMITATIONS,
        conditional_on=("the same prompts under the same recorded parameters",),
        seed=pair.seed,
        parameters_digest=digest({"settings": content["settings"], "looks": content["looks"]}),
        calibration_digest=calibration.digest,
        observations=(digest(pair),),
    )


_EFFECTS = {
    SAMPLES.id: "share of pairs of sampled answers that are told apart",
    ANSWERS.id: f"share of answers that part within their first {LETTERS} letters",
    MARGINS.id: f"share of answers that part where the reference's choice was clear by {CLEAR_MARGIN:g} nats",
    LOG_PROBABILITIES.id: f"share of prompts whose first tokens' log-probabilities lie {APART:g} nats apart or more",
}


def counted(test: Test, content: Mapping[str, Any]) -> tuple[int, int]:
    """Coincidences and opportunities of one test."""
    greedy = content["greedy"]
    if test.id == SAMPLES.id:
        return sum(content["told_apart"]), len(content["told_apart"])
    if test.id == ANSWERS.id:
        return sum(0 <= letters < LETTERS for letters, _, _ in greedy), len(greedy)
    if test.id == MARGINS.id:
        known = [margin for _, margin, _ in greedy if margin != -2]
        return sum(margin >= MILLI * CLEAR_MARGIN for margin in known), len(known)
    known = [distance for _, _, distance in greedy if distance != -2]
    return sum(distance >= MILLI * APART for distance in known), len(known)


def _reason_to_decline(test: Test, content: Mapping[str, Any], entry: RegisterEntry | None, opportunities: int) -> str:
    if entry is None:
        return f"not validated: the register of nulls has no entry for {test.id}"
    if not content["stated"]:
        return (
            "the recordings do not state their parameters; another system prompt or temperature could tell them apart"
        )
    if not content["same_setting"]:
        return (
            "the recorded parameters differ; another system prompt, temperature or length could tell the answers apart"
        )
    if not opportunities:
        return {
            SAMPLES.id: "no answers were sampled at a temperature above 0",
            ANSWERS.id: "no answers were recorded at temperature 0",
            MARGINS.id: "no reference answers with log-probabilities were recorded at temperature 0",
            LOG_PROBABILITIES.id: "log-probabilities of both sides were not recorded at temperature 0",
        }[test.id]
    return ""


def _companions(content: Mapping[str, Any], entry: RegisterEntry | None) -> tuple[Companion, ...]:
    """What the null allows for, named like the explanation that it answers, and how many answers agree in full."""
    found = []
    if entry is not None and entry.chance is not None:
        found.append(
            Companion(
                null=Null.MODEL,
                name="another runtime or number format",
                value=f"allowed for by a chance of {entry.chance:g} of each",
                note=entry.calibrated_on,
            )
        )
    if content["stated"] and content["same_setting"]:
        found.append(
            Companion(
                null=Null.MODEL,
                name="other sampling parameters",
                value="the recorded parameters are the same on both sides",
            )
        )
    if content["greedy"]:
        full = sum(letters == -1 for letters, _, _ in content["greedy"])
        found.append(
            Companion(null=Null.MODEL, name="answers that agree in full", value=f"{full} of {len(content['greedy'])}")
        )
    return tuple(found)
