"""Does the suspect give the answers that a secret key marked and that were planted before?

The reference's side is an opened batch of canaries (`filiation canary reveal`), the suspect's are recorded answers to its prompts. All six
checks of `canaries.verification` are made before anything is counted; where one fails no figure is given. Whoever does not depend on the
key agrees with each label with a chance of exactly 1/M, so p is exact *by construction* (`canaries.scoring`), and what the claimant could
have chosen among is paid for. The request of the bundle fixed which of the two statistics counts; the other is never looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from filiation.canaries.answers import COLUMNS, ORDER, Answers, answers_in
from filiation.canaries.opening import bundle_from
from filiation.canaries.premises import ASSUMPTIONS as ASSUMPTIONS
from filiation.canaries.premises import NOT_EXCLUDED
from filiation.canaries.scoring import (
    ControlModel,
    Score,
    beyond_chance,
    control_of,
    exposed_controls,
    score_of,
    tallied,
    too_few_controls,
)
from filiation.canaries.tally import Held, Searched, Tally
from filiation.canaries.verification import Trust, Verified, trust_of, verified
from filiation.errors import RecordError
from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Companion,
    Component,
    Effect,
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
    json_mapping,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.line_up import observe_transcript
from filiation.examiners.marked import TRUST_PARAMETERS, marks_of, texts_told
from filiation.examiners.outcomes import (
    CONSTRUCTED_LOG10_P,
    Figures,
    constructed_power,
    finding_of,
    inconclusive_of,
)
from filiation.sources.marks import Marks
from filiation.sources.source import Source
from filiation.sources.transcripts import prompt_id, was_read
from filiation.statistics.intervals import share_interval
from filiation.statistics.register import Calibration

NAME = "canaries"
VERSION = "1"
QUESTION = "Does the suspect give the answers that a secret key marked and that were planted before?"
NEEDS = (Access.MARKS, Access.TRANSCRIPT)
_OF_EVERY_TEST: dict[str, Any] = {
    "proposition": Proposition.MARKS,
    "alternative": "made without the marked answers, or anything that learned from them",
    "relation_class": "exposed to the planted answers, itself or through what it learned from",
    "characteristic": Characteristic.INDIVIDUAL,
    "null": Null.CONSTRUCTION,
}
AGREEMENTS = Test(
    id="canaries.agreements",
    formula="P(Bin(n, 1/M) >= k): agreements with labels that a secret key and a later beacon drew among M options",
    **_OF_EVERY_TEST,
)
RANKS = Test(
    id="canaries.ranks",
    formula="P(sum >= s), the exact law of the sum of the labelled options' ranks by log-probability, ties included",
    **_OF_EVERY_TEST,
)
TESTS = (AGREEMENTS, RANKS)
STATISTICS = {"agreements": AGREEMENTS, "ranks": RANKS}
CLAIMS = ("canaries planted", "distilled from planted")
PARAMETERS = TRUST_PARAMETERS
LIMITATIONS = (NOT_EXCLUDED,)
"""Reports say of every finding by construction that it shows exposure alone, and that absence says nothing."""

REFERENCES = (
    "Carlini et al. 2019, The Secret Sharer (canaries, and their rank among what might have stood there)",
    "Zhang, Das, Kamath and Tramèr 2024, arXiv:2409.19798 (canaries drawn at random, as a test whose error is known)",
    "RFC 3161, Time-Stamp Protocol; RFC 6962, Merkle hash trees",
)


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """What an opened batch holds, in figures and dates; or, of a model without one, who answered."""
    marks = marks_of(source, "canaries")
    if not isinstance(marks, Absent):
        return _observed(source, marks)
    answers = observe_transcript(NAME, VERSION, source)
    if isinstance(answers, Absent) and not isinstance(source.marks(), Absent):
        return marks  # there are marks, of another kind or too many
    return answers


def _observed(source: Source, marks: Marks) -> Observation | Absent:
    """The claimant's copies of certificates are taken here, and no remark made of it: what a verifier trusts is known to `relate` alone."""
    opened = _opened(marks, Trust(copies=True), 1)
    if isinstance(opened, Absent):
        return opened
    told = opened if isinstance(opened, dict) else _told(opened)
    return Observation(
        examiner=NAME,
        examiner_version=VERSION,
        exhibit=source.name,
        content={"lineage": source.lineage_id, "sha256": marks.sha256, **told},
    )


def _opened(marks: Marks, trust: Trust, commitments: int) -> Verified | dict[str, Any] | Absent:
    """The bundle with all checks made; the check that failed, in a record's words; `Absent` where a part is missing."""
    return _checked(tuple(sorted(marks.files.items())), trust, commitments)


@lru_cache(maxsize=4)
def _checked(
    files: tuple[tuple[str, bytes], ...], trust: Trust, commitments: int
) -> Verified | dict[str, Any] | Absent:
    try:
        bundle = bundle_from(dict(files))
    except RecordError as error:
        return Absent(reason=error.message)
    found, checks = verified(bundle, trust, commitments)
    if found is not None:
        return found
    broken, failure = checks[-1], checks[-1].failures[0]
    return {
        "failed": {
            "number": broken.number,
            "title": broken.title,
            "what": f"{failure.where}: {failure.what}",
            "advice": failure.meaning,
        }
    }


def _told(found: Verified) -> dict[str, Any]:
    """What was opened, without a text, a name of a suspect, or a recipient."""
    request, order = found.request, found.order
    exposure = msgspec.to_builtins(found.exposure) | {
        "recipients": len(found.exposure.recipients),
        "in_cohorts": list(found.exposed_cohorts),
    }
    return {
        "claimant": found.commitment.claimant,
        "commitment": request.commitment,
        "number": found.commitment.number,
        "root": found.commitment.root,
        "batch": request.batch,
        "batches": len(found.commitment.batches),
        "cohorts": found.commitment.cohorts,
        "stamps": {name: f"{time:%Y-%m-%dT%H:%M:%SZ}" for name, time in order.stamps.items()},
        "beacon": order.pulse.described,
        "beacon_time": f"{order.pulse.time:%Y-%m-%dT%H:%M:%SZ}",
        "certificates": found.certificates,
        "checks": [check.title for check in found.checks],
        "exposure": exposure,
        "request": {
            "statistic": request.statistic,
            "suspects": len(request.suspects),
            "considered": request.considered,
            "controls": len(request.controls),
        },
    }


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """Check the bundle under what the plan trusts, and tally the suspect's first answers against its labels."""
    marks = marks_of(first.source, "canaries")
    if isinstance(marks, Absent):
        return marks
    transcript = second.source.transcript()
    if isinstance(transcript, Absent):
        return transcript
    settings = TRUST_PARAMETERS | second.parameters
    opened = _opened(marks, trust_of(settings), int(settings["commitments"]))
    if isinstance(opened, Absent):
        return opened
    content = opened if isinstance(opened, dict) else _tallied(opened, second.source.name, transcript.frame)
    if isinstance(content, Absent):
        return content
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=first.observation.exhibit,
        second=second.observation.exhibit,
        seed=seed,
        content=json_mapping({**content, "settings": dict(settings)}),
    )


def _tallied(found: Verified, name: str, frame: Any) -> dict[str, Any] | Absent:
    canaries = found.opened.canaries
    rows = frame.filter(~was_read()).sort(*ORDER).select(*COLUMNS).iter_rows()
    answers = answers_in(rows, canaries, prompt_id, texts_told, name=name)
    planted = [canary for canary in canaries if not canary.decoy]
    if not any(canary.index in answers.texts for canary in planted):
        return Absent(
            reason=f"none of the {len(planted)} prompts of the opened batch stands among the recorded answers{_but_led(answers)}"
        )
    tally = tallied(found.opened, found.request, answers)
    kinds = sorted({canary.kind for canary in planted})
    return {
        "summary": _summary(tally),
        "marks": _told(found) | {"remarks": list(found.remarks)},
        "named": _named(found, name),
        "tally": msgspec.to_builtins(tally),
        "scored": _scored(answers, planted),
        **{name: number for name, number in (("led", answers.led), ("prompted", answers.prompted)) if number},
        "kinds": [kind[:60] for kind in kinds],
        "kind_of": [kinds.index(canary.kind) for canary in planted],
    }


def _but_led(answers: Answers) -> str:
    return f", but for {answers.led} before which an option of the canary was named" if answers.led else ""


def _summary(tally: Tally) -> dict[str, Any]:
    """What a report draws as a share: agreements. A sum of ranks is none."""
    if tally.statistic != "agreements":
        return {}
    count = tally.canaries.total("agreements")
    return {AGREEMENTS.id: {"count": count, "opportunities": len(tally.canaries.options)}}


def _named(found: Verified, name: str) -> str:
    """In which role the request names this exhibit. Under a code name it names none; names themselves are not recorded."""
    if name in found.request.suspects:
        return "suspect"
    return "control" if name in found.request.controls else "not named"


def _scored(answers: Answers, planted: Sequence[Any]) -> int:
    """Of how many canaries log-probabilities of options were recorded."""
    return sum(canary.index in answers.log_probabilities for canary in planted)


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """One outcome per statistic, from the tallies alone.

    1. A check that failed, and a statistic that the request did not fix: no figure.
    2. A control that agrees with the labels, of whatever kind, breaks a premise: no figure.
    3. Otherwise the exact chance of the tally, what was searched paid for.
    """
    pair = relations.pair
    if "failed" in pair.content:
        reason = _failure(pair.content["failed"])
        return tuple(inconclusive_of(test, pair, reason, version=VERSION, limitations=LIMITATIONS) for test in TESTS)
    case = _Case.of(relations, calibration)
    return tuple(_judged(test, case) for test in TESTS)


@dataclass(frozen=True)
class _Case:
    """What is judged: a pair with its tally and every figure of it, and the controls that could be tallied, with theirs.

    `suspects`: models that were given as controls, and that the request names as suspects. Where two suspects were exposed, the one is no
    unrelated model beside the other.
    """

    pair: Relation
    tally: Tally
    score: Score
    controls: tuple[Relation, ...]
    beside: tuple[ControlModel, ...]
    suspects: tuple[str, ...]
    calibration: Calibration

    @classmethod
    def of(cls, relations: Relations, calibration: Calibration) -> _Case:
        pair, tally = relations.pair, _tally(relations.pair)
        able = [relation for relation in relations.reference_by_control if "tally" in relation.content]
        suspects = tuple(relation.second for relation in able if relation.content["named"] == "suspect")
        controls = tuple(relation for relation in able if relation.second not in suspects)
        beside = tuple(control_of(relation.second, _tally(relation), len(controls)) for relation in controls)
        return cls(pair, tally, score_of(pair.second, tally), controls, beside, suspects, calibration)


def _tally(relation: Relation) -> Tally:
    return msgspec.convert(relation.content["tally"], Tally)


def _failure(failed: dict[str, Any]) -> str:
    return (
        f"nothing is counted: check {failed['number']} ({failed['title']}) does not hold. {failed['what']}. "
        f"What is needed: {failed['advice']}"
    )


def _judged(test: Test, case: _Case) -> Outcome:
    counted = case.tally.statistic
    if test is not STATISTICS[counted]:
        reason = f"the request fixed {counted} as what is counted before anything was opened, so that this would be a second look"
        return inconclusive_of(test, case.pair, reason, version=VERSION, limitations=LIMITATIONS)
    companions = _companions(case)
    reason = _not_to_be_counted(case) or _broken_premise(case)
    if reason:
        return inconclusive_of(
            test,
            case.pair,
            reason,
            version=VERSION,
            companions=companions,
            limitations=LIMITATIONS,
            further=case.controls,
        )
    return _finding(test, case, companions)


def _not_to_be_counted(case: _Case) -> str:
    if case.pair.content["named"] == "control":
        return "the request names this model as an unrelated control, not as a suspect"
    if case.tally.statistic == "ranks" and not case.pair.content["scored"]:
        return "no log-probabilities of what an answer could begin with were recorded, so that options have no ranks"
    return ""


def _broken_premise(case: _Case) -> str:
    """Why the figure must not be used, or an empty string."""
    told = (*case.score.warnings, *exposed_controls(case.beside))
    return f"a premise is broken: {'; '.join(told)}" if told else ""


def _finding(test: Test, case: _Case, companions: tuple[Companion, ...]) -> Finding:
    searched = case.tally.searched
    return finding_of(
        test,
        case.pair,
        _figures(case.tally),
        version=VERSION,
        effect=_effect(case.tally.canaries),
        power=constructed_power(_share_to_detect(case.tally)),
        parameters=case.pair.content["settings"],
        calibration=case.calibration,
        reason=_reason(case.score),
        multiplicity=Multiplicity(searched=searched.number, rule=_rule(searched), log10_cost=searched.log10_cost),
        components=_components(case),
        companions=companions,
        assumptions=(*ASSUMPTIONS, *_trust(case.pair)),
        limitations=(*LIMITATIONS, *_limitations(case)),
        further=case.controls,
    )


def _figures(tally: Tally) -> Figures:
    """As `canaries.scoring.score_of` computes them. Of a sum of ranks half the largest is expected."""
    statistic = tally.statistic
    reading, total = tally.canaries.reading(statistic), tally.canaries.total(statistic)
    options = tally.canaries.options
    ranks = statistic == "ranks"
    return Figures(
        count=total,
        opportunities=_opportunities(tally),
        chance=0.5 if ranks else sum(1.0 / number for number in options) / len(options),
        log10_p=reading.log10_p(total),
        log10_e=reading.log10_e(total),
        resolution_log10_p=reading.resolution(),
    )


def _opportunities(tally: Tally) -> int:
    """The canaries; for ranks the largest sum of doubled ranks that there is without ties."""
    options = tally.canaries.options
    return sum(2 * (number - 1) for number in options) if tally.statistic == "ranks" else len(options)


def _effect(canaries: Held) -> Effect:
    count, opportunities = canaries.total("agreements"), len(canaries.options)
    value, low, high = (
        round(beyond_chance(canaries, share), 6)
        for share in (count / opportunities, *share_interval(count, opportunities))
    )
    return Effect(name="share of canaries answered with their label, beyond chance", value=value, low=low, high=high)


def _share_to_detect(tally: Tally) -> float:
    alpha = CONSTRUCTED_LOG10_P - tally.searched.log10_cost
    return round(tally.canaries.reading(tally.statistic).share_to_detect(alpha), 6)


def _reason(score: Score) -> str:
    counted = score.counted
    what = "agreements with the labels" if score.statistic == "agreements" else "ranks of the labelled options"
    answered = f"{counted.answered} of {counted.opportunities} canaries were answered, {counted.unparsable} of them not readably"
    return f"{what} counted, as the request fixed before the batch was opened; {answered}; cohort {score.cohort}"


def _rule(searched: Searched) -> str:
    counts = (
        ("models considered", searched.suspects),
        ("cohorts", searched.cohorts),
        ("batches", searched.batches),
        ("commitments", searched.commitments),
        ("statistics", searched.statistics),
    )
    return f"Bonferroni: {' x '.join(f'{name} ({number})' for name, number in counts)}, whatever of them was shown"


def _components(case: _Case) -> tuple[Component, ...]:
    """Agreements by kind of canary."""
    kinds, held = case.pair.content["kind_of"], case.tally.canaries
    of, agreed = Counter(kinds), Counter[int]()
    for kind, label, choice in zip(kinds, held.labels, held.choices, strict=True):
        agreed[kind] += label == choice
    return tuple(
        Component(kind="kind of canary", name=name, count=agreed[number], opportunities=of[number])
        for number, name in enumerate(case.pair.content["kinds"])
    )


# --------------------------------------------------------------------------------------------- what stands beside it


def _companions(case: _Case) -> tuple[Companion, ...]:
    """Everything that should show nothing. Counts are told out of what the finding's own is told out of."""
    score, most = case.score, _opportunities(case.tally)
    decoys, placebo, unused = score.decoys, score.placebo, score.wrong_cohorts
    rows = [
        ("decoys", f"{decoys.count} of {most}; log10 p {decoys.log10_p}", "made alike and never planted"),
        (
            "placebo keys",
            f"{placebo.reaching} of {placebo.keys} reach as much; p {placebo.p:.4f}",
            f"keys that nobody used, drawn from the opening and the beacon; the largest reaches {placebo.largest}",
        ),
        (
            "unused cohorts",
            f"{unused.largest} of {most}; log10 p {unused.log10_p}",
            f"the largest of {unused.cohorts} that were given to nobody, paid for {unused.cohorts}",
        ),
        *(
            (
                f"control {each.name}",
                f"{each.counted.count} of {most}; log10 p {each.log10_p}",
                f"an unrelated model under the same labels, paid for as the suspect is and for {len(case.beside)} controls",
            )
            for each in case.beside
        ),
        (
            "exposure ledger",
            _exposure(case.pair.content["marks"]["exposure"]),
            "the claimant's own word, signed line by line",
        ),
    ]
    if score.further_answers:
        told = f"{score.further_answers} recorded and not looked at"
        rows.append(("further answers", told, "the first answer to each prompt counts"))
    return tuple(Companion(null=Null.CONSTRUCTION, name=name, value=value, note=note) for name, value, note in rows)


def _exposure(told: dict[str, Any]) -> str:
    if not told["entries"]:
        return "no exposure is entered"
    return (
        f"{_many(told['exposed'], 'canary', 'canaries')} exposed {_many(told['times'], 'time')} to "
        f"{_many(told['recipients'], 'recipient')} between {told['since']} and {told['until']}"
    )


def _many(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def _trust(pair: Relation) -> Iterable[str]:
    """What the order in time rests on that the plan did not name, with the fingerprints to compare."""
    told = pair.content["marks"]
    if not told["remarks"]:
        return
    listed = "; ".join(f"{name}: {fingerprint}" for name, fingerprint in told["certificates"].items())
    yield f"The order in time rests on this: {'; '.join(told['remarks'])}. SHA-256 of the certificates: {listed}."


def _limitations(case: _Case) -> Iterable[str]:
    marks, counted = case.pair.content["marks"], case.score.counted
    request = marks["request"]
    if case.pair.content["named"] != "suspect":
        yield (
            f"The request that was fixed before the opening names suspects: {request['suspects']}, none by the name that this exhibit "
            f"bears here. Whether it is among the models that were considered ({request['considered']}) is for whoever holds the names. "
            "If it is not, what was searched is not fully paid for."
        )
    if case.score.cohort not in marks["exposure"]["in_cohorts"]:
        yield (
            f"The exposure ledger enters no exposure of cohort {case.score.cohort}, with whose labels the answers agree most; "
            "an agreement beyond chance would be for the claimant to explain."
        )
    if counted.answered < counted.opportunities:
        yield (
            f"Of {counted.opportunities} canaries {counted.opportunities - counted.answered} were not asked, or not recorded; they "
            "count as not agreeing."
        )
    if led := case.pair.content.get("led"):
        yield (
            f"Answers that were not looked at, because a text before the prompt names an option of the canary: {led}. Who put it there is "
            "to be asked."
        )
    if prompted := case.pair.content.get("prompted"):
        yield (
            f"Before {prompted} of the answers another text stood besides the prompt, such as a system prompt. It names no option; whether "
            "it hints at one is for a reader: it stands in the recording's parameters."
        )
    if case.suspects:
        yield (
            f"Given as controls, and not counted among them because the request names them as suspects: {', '.join(case.suspects)}. "
            "What they agree in is for a comparison of their own."
        )
    yield from (f"{warning[0].upper()}{warning[1:]}." for warning in too_few_controls(case.beside))
