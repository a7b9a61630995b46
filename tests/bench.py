"""The bench: what every examiner is held to, whoever wrote it. Each check raises AssertionError saying what was broken.

    validity       strangers are accused no more often than promised
    power          every relation in CLAIMS is found in every world of it
    repeatability  judging twice, and from the record, gives the same bytes
    declining      without access, and without calibration, nothing is guessed
    invariance     another wrapping of the same exhibit changes nothing
    form           a finding carries what a reader needs to doubt it

Examiners of recorded answers are held to the same, in the simulated world (tests/worlds.py), and to three checks more: a rank is
only a chance where the suspect is measured as a control is, where the ranks of controls keep their promise, and where there
are enough of them.

`Bench` remembers what it observed and related, so that each pair is measured once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from scipy.stats import binom

from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Finding,
    Identity,
    Inconclusive,
    NotExamined,
    Null,
    Outcome,
    Relation,
    Relations,
    canonical,
    digest,
)
from filiation.examiners.catalogue import calibration
from filiation.examiners.examiner import Examiner, Subject
from filiation.examiners.line_up import population_of
from filiation.sources.open import open_source
from filiation.statistics.line_up import held_out_calibration
from filiation.statistics.register import empty
from tests.exhibits import MARKED_BY, RECORDED, Exhibits
from tests.worlds import (
    CONTROLS,
    NOT_SIMULATED,
    REWRAPPED,
    REWRITINGS,
    WRAPPINGS,
    World,
    register,
    relatives,
    strangers,
)

Place = Path | str
"""Where an exhibit lies: a folder, or the location of recorded answers."""

SEED = 20
LEVELS = (0.05, 0.01)
HARDLY_EVER = 1e-3
"""A share of accused strangers is too large where a binomial with the promised rate gives it with less than this."""


@dataclass
class Bench:
    exhibits: Exhibits
    marked: Mapping[str, str] = field(default_factory=dict)
    """Of an examiner the module of tests/marked whose marks it is examined with, where it is not the one of its own name."""
    _relations: dict[tuple[str, Place, Place], Relation | Absent] = field(default_factory=dict)
    _observations: dict[tuple[str, Place], Subject | Absent] = field(default_factory=dict)
    _asked: dict[str, str] = field(default_factory=dict)

    def observe(self, examiner: Examiner, place: Place) -> Subject | Absent:
        key = (examiner.NAME, place)
        if key not in self._observations:
            source = open_source(place)
            seen = examiner.observe(source)
            # Control packs are real models; a simulated world has a population of its own.
            # Models are run on demand alone, and those of the bench are small.
            on_the_bench: dict[str, bool | int | float | str] = {"packs": "none", "run": True, "places": 1024}
            known = getattr(examiner, "PARAMETERS", {})
            settings = {name: value for name, value in on_the_bench.items() if name in known}
            self._observations[key] = (
                seen if isinstance(seen, Absent) else Subject(source=source, observation=seen, parameters=settings)
            )
        return self._observations[key]

    def relate(self, examiner: Examiner, first: Place, second: Place) -> Relation | Absent:
        """Examiners with a line-up take every other model of the first one's file as control."""
        key = (examiner.NAME, first, second)
        if key not in self._relations:
            others = self.exhibits.others(str(first), str(second)) if hasattr(examiner, "line_up") else []
            self._relations[key] = self.related(examiner, first, second, others)
        return self._relations[key]

    def related(self, examiner: Examiner, first: Place, second: Place, others: Iterable[Place]) -> Relation | Absent:
        subjects = [self.observe(examiner, place) for place in (first, second, *others)]
        able = [subject for subject in subjects if isinstance(subject, Subject)]
        missing = [subject for subject in subjects[:2] if isinstance(subject, Absent)]
        if missing:
            return missing[0]
        if hasattr(examiner, "line_up"):
            return examiner.line_up(able[0], able[1], able[2:], SEED)  # type: ignore[no-any-return]
        return examiner.relate(able[0], able[1], SEED)

    def place(self, examiner: Examiner, name: str, *, elsewhere: bool = False) -> Place:
        """Where an exhibit lies; of simulated models, the answers to what the examiner looks at."""
        if examiner.NEEDS[0] is Access.MARKS:
            return self.exhibits[f"{self.marks(examiner)}: {name}"]
        if examiner.NEEDS[0] is not Access.TRANSCRIPT:
            return self.exhibits[name]
        return self.exhibits[f"{self.asked(examiner)}{', elsewhere' * elsewhere}: {name}"]

    def marks(self, examiner: Examiner) -> str:
        return f"{MARKED_BY}{self.marked.get(examiner.NAME, examiner.NAME)}"

    def asked(self, examiner: Examiner) -> str:
        """Which recording an examiner of answers is examined with: the first that it does not decline."""
        if examiner.NAME not in self._asked:
            reasons = []
            for what in RECORDED:
                tried = self.relate(
                    examiner, *(self.exhibits[f"{what}: {name}"] for name in REWRAPPED[Access.TRANSCRIPT][0])
                )
                if isinstance(tried, Relation):
                    self._asked[examiner.NAME] = what
                    break
                reasons.append(tried.reason)
            else:
                raise AssertionError(f"{examiner.NAME} declines everything that simulated models were asked: {reasons}")
        return self._asked[examiner.NAME]

    def pair(self, examiner: Examiner, world: World) -> tuple[Place, Place]:
        return (
            self.place(examiner, world.reference),
            self.place(examiner, world.suspect, elsewhere=world.suspect_elsewhere),
        )

    def outcomes(self, examiner: Examiner, first: Place, second: Place) -> tuple[Outcome, ...]:
        """Nothing where the pair cannot be related."""
        relation = self.relate(examiner, first, second)
        return () if isinstance(relation, Absent) else judged(examiner, Relations(pair=relation))

    def of_world(self, examiner: Examiner, world: World) -> tuple[Outcome, ...]:
        return self.outcomes(examiner, *self.pair(examiner, world))

    def with_controls(self, examiner: Examiner) -> tuple[Relations, tuple[Identity, ...]]:
        """A relative of the reference among controls, as an examination relates them."""
        part = examiner.NEEDS[0]
        reference, suspect = (self.place(examiner, name) for name in REWRAPPED[part][0])
        names = CONTROLS[part]
        places = [self.place(examiner, name) for name in names]
        pair = self.relate(examiner, reference, suspect)
        assert isinstance(pair, Relation), f"{examiner.NAME} cannot relate {reference} and {suspect}: {pair}"
        controls = tuple(Identity(name=name, format="folder", lineage_id=name) for name in names)
        if hasattr(examiner, "line_up"):
            return Relations(pair=pair), controls
        related = [self.relate(examiner, reference, control) for control in places]
        to_suspect = [self.relate(examiner, control, suspect) for control in places]
        return (
            Relations(
                pair=pair,
                reference_by_control=tuple(r for r in related if isinstance(r, Relation)),
                control_by_suspect=tuple(r for r in to_suspect if isinstance(r, Relation)),
            ),
            controls,
        )


def judged(examiner: Examiner, relations: Relations, controls: tuple[Identity, ...] = ()) -> tuple[Outcome, ...]:
    return examiner.judge(relations, controls, register(examiner))


def findings(outcomes: Iterable[Outcome]) -> list[Finding]:
    return [outcome for outcome in outcomes if isinstance(outcome, Finding)]


def detected(finding: Finding) -> bool:
    return finding.log10_p <= finding.power.threshold_log10_p


def decisions(outcomes: Iterable[Outcome]) -> dict[str, str]:
    return {
        outcome.test: ("detected" if detected(outcome) else "not detected")
        if isinstance(outcome, Finding)
        else type(outcome).__name__
        for outcome in outcomes
    }


# ------------------------------------------------------------------------------------------------------------ validity


def check_strangers(examiner: Examiner, bench: Bench) -> None:
    """Per test: shares of p <= .05, p <= .01 and p <= the detection threshold are what such rates allow."""
    worlds = strangers(examiner)
    assert worlds, f"no strangers on the bench for {examiner.NEEDS[0]}: add worlds to tests/worlds.py"
    for test in examiner.TESTS:
        seen = [
            (world, finding)
            for world in worlds
            if test.id not in world.not_strangers_for
            for finding in findings(bench.of_world(examiner, world))
            if finding.test == test.id
        ]
        thresholds = {10.0**finding.power.threshold_log10_p for _, finding in seen}
        for level in (*LEVELS, *thresholds):
            accused = [world for world, finding in seen if finding.log10_p <= math.log10(level)]
            chance = float(binom.sf(len(accused) - 1, len(seen), level)) if accused else 1.0
            assert chance >= HARDLY_EVER, (
                f"{test.id}: {len(accused)} of {len(seen)} strangers have p <= {level:.3g}: {', '.join(map(str, accused))}"
            )


def check_no_layer_near_the_tolerance(examiner: Examiner, bench: Bench) -> None:
    """Under a null by model no stranger's layer comes above half the tolerated chance."""
    for world in strangers(examiner):
        for finding in findings(bench.of_world(examiner, world)):
            if finding.null is not Null.MODEL or finding.test in world.not_strangers_for:
                continue
            for part in finding.components:
                if part.kind in ("layer", "alignment") and part.opportunities:
                    assert part.count <= finding.chance / 2 * part.opportunities, (
                        f"{world}: {finding.test}, {part.kind} {part.name}: {part.count} of {part.opportunities}"
                    )


# --------------------------------------------------------------------------------------------------------------- power


def check_claim(examiner: Examiner, claim: str, bench: Bench) -> None:
    """At least one test finds the relation in each of its worlds; a world outside the register may be declined, not all."""
    worlds = relatives(examiner, claim)
    if claim in NOT_SIMULATED and examiner.NEEDS[0] is Access.TRANSCRIPT:
        return
    assert worlds, f"no world on the bench for the claim {claim!r}: add one to tests/worlds.py"
    found = 0
    for world in worlds:
        outcomes = bench.of_world(examiner, world)
        seen = findings(outcomes)
        if seen:
            figures = {finding.test: finding.log10_p for finding in seen}
            assert any(map(detected, seen)), f"{world} is not found: log10 p {figures}"
            found += 1
            continue
        reasons = {outcome.reason for outcome in outcomes if not isinstance(outcome, Finding)}
        assert any("not validated" in reason for reason in reasons), f"{world} is not examined: {reasons}"
    # An examiner of answers whose study has not been run yet may decline; on weights and tokenizers it may not.
    declined = examiner.NEEDS[0] is Access.TRANSCRIPT and not calibration(examiner).entries
    assert found or declined, f"{claim!r} is claimed and found in no world"


# ------------------------------------------------------------------------------------------------------- repeatability


def check_same_bytes(examiner: Examiner, bench: Bench) -> None:
    """Relating twice, judging twice, and judging from the record give the same bytes."""
    relations, controls = bench.with_controls(examiner)
    first = canonical(judged(examiner, relations, controls))
    assert canonical(judged(examiner, relations, controls)) == first, "judging twice gives other bytes"
    stored = msgspec.json.decode(msgspec.json.encode(relations), type=Relations)
    assert canonical(stored) == canonical(relations), "a relation does not survive JSON"
    assert canonical(judged(examiner, stored, controls)) == first, "judging from the record gives other bytes"
    part = examiner.NEEDS[0]
    again = Bench(bench.exhibits, bench.marked).relate(
        examiner, *(bench.place(examiner, name) for name in REWRAPPED[part][0])
    )
    assert canonical(again) == canonical(relations.pair), "relating twice with one seed gives other bytes"


# ----------------------------------------------------------------------------------------------------------- declining


def check_declines_without_access(examiner: Examiner, bench: Bench) -> None:
    for part in CONTROLS:
        if part in examiner.NEEDS:
            continue
        seen = examiner.observe(open_source(bench.exhibits.only(part)))
        assert isinstance(seen, Absent), f"{examiner.NAME} observed an exhibit with only the {part}: {seen}"
        assert seen.reason.strip(), "declined without a reason"


def check_does_not_guess(examiner: Examiner, bench: Bench) -> None:
    """Without controls or calibration nothing is claimed but what holds by construction."""
    relations, _ = bench.with_controls(examiner)
    alone = Relations(pair=relations.pair)
    for outcome in examiner.judge(alone, (), empty(examiner.NAME)):
        guessed = isinstance(outcome, Finding) and outcome.null is not Null.CONSTRUCTION
        assert not guessed, f"{outcome.test} gives log10 p {outcome.log10_p} without any calibration"  # type: ignore[union-attr]
    for finding in findings(judged(examiner, alone)):
        if finding.null is Null.POPULATION:
            ranked = len(finding.lineages.controls)
            assert ranked, f"{finding.test} ranks the suspect among nobody"
            lowest = -math.log10(ranked + 1)
            assert finding.log10_p >= lowest - 1e-9, f"{finding.test}: p is below 1/(N+1) for N = {ranked}"


def check_controls_stand_beside(examiner: Examiner, bench: Bench) -> None:
    """Controls of one examination never move a figure whose null is another kind."""
    relations, controls = bench.with_controls(examiner)
    alone = {finding.test: finding for finding in findings(judged(examiner, Relations(pair=relations.pair)))}
    for finding in findings(judged(examiner, relations, controls)):
        if finding.null is not Null.POPULATION:
            assert finding.log10_p == alone[finding.test].log10_p, f"{finding.test} moves when controls are added"


# ---------------------------------------------------------------------------------------------------------- invariance


def check_wrappings(examiner: Examiner, bench: Bench) -> None:
    part = examiner.NEEDS[0]
    for wrapping in WRAPPINGS:
        for reference, suspect in REWRAPPED[part] if wrapping.part is part else ():
            folder = bench.exhibits.wrapped(suspect, wrapping.wrap, f"{part}: {wrapping.name}")
            where = f"{reference} | {suspect}, {wrapping.name}"
            places = (bench.exhibits[reference], bench.exhibits[suspect], folder)
            _check_wrapping(examiner, bench, places, where, exact=wrapping.exact, moves=wrapping.moves)
    for rewriting in REWRITINGS if part in (Access.TRANSCRIPT, Access.MARKS) else ():
        for reference, suspect in REWRAPPED[part]:
            asked = bench.asked(examiner) if part is Access.TRANSCRIPT else bench.marks(examiner)
            name = f"{asked}: {suspect}"
            rewritten = bench.exhibits.rewritten(name, rewriting.rewrite, rewriting.name)
            places = (bench.place(examiner, reference), bench.place(examiner, suspect), rewritten)
            _check_wrapping(
                examiner, bench, places, f"{reference} | {suspect}, {rewriting.name}", exact=rewriting.exact
            )


def _check_wrapping(
    examiner: Examiner,
    bench: Bench,
    places: tuple[Place, Place, Place],
    where: str,
    *,
    exact: bool,
    moves: frozenset[str] = frozenset(),
) -> None:
    """`places`: the reference, the suspect, and the suspect in another wrapping, which stands among the same controls."""
    reference, suspect, wrapped = places
    plain = bench.relate(examiner, reference, suspect)
    others = bench.exhibits.others(str(reference), str(suspect)) if hasattr(examiner, "line_up") else []
    other = bench.related(examiner, reference, wrapped, others)
    assert isinstance(plain, Relation), f"{where}: {plain}"
    assert isinstance(other, Relation), f"{where}: {other}"
    before, after = (judged(examiner, Relations(pair=relation)) for relation in (plain, other))
    same = [{k: v for k, v in decisions(o).items() if k not in moves} for o in (before, after)]
    assert same[0] == same[1], f"{where}: {same[0]} became {same[1]}"
    if exact:
        counts = [[(f.test, f.count, f.opportunities, f.log10_p) for f in findings(o)] for o in (before, after)]
        assert counts[0] == counts[1], f"{where}: {counts[0]} became {counts[1]}"


def check_roles(examiner: Examiner, bench: Bench) -> None:
    """Tests declared symmetric give the same figures when reference and suspect change places."""
    symmetric = {test.id for test in examiner.TESTS if test.symmetric}
    worlds = [world for truth in (strangers(examiner), *_claimed(examiner)) for world in truth[:2]]
    for world in worlds if symmetric else ():
        one, other = bench.pair(examiner, world)
        figures = [
            {f.test: (f.count, f.opportunities, f.log10_p) for f in findings(outcomes) if f.test in symmetric}
            for outcomes in (bench.outcomes(examiner, one, other), bench.outcomes(examiner, other, one))
        ]
        assert figures[0] == figures[1], f"{world}: {figures[0]} became {figures[1]} with the roles exchanged"


def _claimed(examiner: Examiner) -> list[list[World]]:
    return [relatives(examiner, claim) for claim in examiner.CLAIMS]


# ------------------------------------------------------------------------------------------------------------- line-ups


def line_ups(content: Any) -> list[dict[str, Any]]:
    """Every line-up in the content of a relation; an examiner may record one for each of its tests."""
    if not isinstance(content, dict):
        return []
    if "entrants" in content and "scores" in content:
        return [content]
    return [found for part in content.values() for found in line_ups(part)]


def _whole_line_up(examiner: Examiner, bench: Bench) -> list[dict[str, Any]]:
    if not (hasattr(examiner, "line_up") and any(test.null is Null.POPULATION for test in examiner.TESTS)):
        return []
    world = strangers(examiner)[0]
    relation = bench.relate(examiner, *bench.pair(examiner, world))
    assert isinstance(relation, Relation), f"{world}: {relation}"
    found = line_ups(relation.content)
    assert found, f"{examiner.NAME} has a line-up and records none"
    return found


def check_ranks_of_strangers(examiner: Examiner, bench: Bench) -> None:
    """Simulated strangers, every pair of them ranked with both labs held out, reach small p no more often than promised."""
    for content in _whole_line_up(examiner, bench):
        population = population_of(content)
        levels = held_out_calibration(population, np.random.default_rng(SEED))
        for level in levels:
            test = ", ".join(content["summary"])
            assert level.low_ppm <= 1e6 * level.level, f"{test}: {level.share_ppm / 1e6} of strangers at {level.level}"


def check_suspect_is_measured_like_a_control(examiner: Examiner, bench: Bench) -> None:
    """Suspect and control exchange their places, and every model keeps its score: otherwise the rank is no chance."""
    before = _whole_line_up(examiner, bench)
    if not before:
        return
    reference, suspect = bench.pair(examiner, strangers(examiner)[0])
    others = bench.exhibits.others(str(reference), str(suspect))
    exchanged = bench.related(examiner, reference, others[-1], [suspect, *others[:-1]])
    assert isinstance(exchanged, Relation), exchanged
    for one, other in zip(before, line_ups(exchanged.content), strict=True):
        scores = [
            {entrant["name"]: score for entrant, score in zip(part["entrants"], part["scores"][0], strict=True)}
            for part in (one, other)
        ]
        assert scores[0].keys() == scores[1].keys(), f"{examiner.NAME}: others stand in line when places are exchanged"
        moved = [name for name in scores[0] if abs(scores[0][name] - scores[1][name]) > 1]
        assert not moved, f"{examiner.NAME}: {', '.join(moved[:5])} get other scores when places are exchanged"


def check_too_few_controls_are_no_line_up(examiner: Examiner, bench: Bench) -> None:
    """With eight controls nothing is found under a null by population, whatever the score; the outcome says what is lacking."""
    if not hasattr(examiner, "line_up"):
        return
    reference, suspect = (bench.place(examiner, name) for name in REWRAPPED[examiner.NEEDS[0]][0])
    few = bench.exhibits.others(str(reference), str(suspect))[-8:]
    relation = bench.related(examiner, reference, suspect, few)
    if isinstance(relation, Absent):
        assert relation.reason.strip(), "declined without a reason"
        return
    for outcome in judged(examiner, Relations(pair=relation)):
        guessed = isinstance(outcome, Finding) and outcome.null is Null.POPULATION
        assert not guessed, f"{outcome.test} ranks the suspect among eight controls"
        assert outcome.reason.strip(), "declined without a reason"


# ---------------------------------------------------------------------------------------------------------------- form


def check_form(examiner: Examiner, bench: Bench) -> None:
    """Every outcome on the bench, and the examiner's own description."""
    assert examiner.QUESTION.endswith("?"), "QUESTION is a question"
    assert examiner.TESTS, "an examiner without tests"
    assert examiner.ASSUMPTIONS, "nothing is assumed?"
    assert examiner.REFERENCES, "no paper is named"
    assert all(test.id.startswith(f"{examiner.NAME}.") for test in examiner.TESTS), "tests bear their examiner's name"
    declared = [test.id for test in examiner.TESTS]
    worlds = [*strangers(examiner), *(world for truth in _claimed(examiner) for world in truth)]
    for world in worlds:
        outcomes = bench.of_world(examiner, world)
        if not outcomes:
            continue
        assert [o.test for o in outcomes] == declared, f"{world}: not one outcome per test, in the order of TESTS"
        relation = bench.relate(examiner, *bench.pair(examiner, world))
        for outcome in outcomes:
            _check_outcome(examiner, outcome, digest(relation), f"{world}, {outcome.test}")


def _check_outcome(examiner: Examiner, outcome: Outcome, relation: str, where: str) -> None:
    test = next(test for test in examiner.TESTS if test.id == outcome.test)
    for name in ("proposition", "alternative", "relation_class", "characteristic", "null"):
        assert getattr(outcome, name) == getattr(test, name), f"{where}: {name} is not the test's own"
    assert isinstance(outcome.null, Null), f"{where}: {outcome.null} is none of the four kinds"
    assert isinstance(outcome.characteristic, Characteristic), where
    assert outcome.reason.strip(), f"{where}: no reason"
    assert (outcome.examiner, outcome.examiner_version) == (examiner.NAME, examiner.VERSION), where
    if isinstance(outcome, NotExamined):
        return
    assert relation in outcome.observations, f"{where}: does not cite the relation it rests on"
    if isinstance(outcome, Inconclusive):
        return
    assert outcome.count <= outcome.opportunities, f"{where}: {outcome.count} of {outcome.opportunities}"
    assert 0 < outcome.chance < 1, f"{where}: chance {outcome.chance}"
    assert outcome.resolution_log10_p <= outcome.log10_p, f"{where}: p is below what the design could reach"
    assert outcome.log10_e <= -outcome.log10_p + 1e-9, f"{where}: e exceeds 1/p"
    assert outcome.assumptions, f"{where}: no assumptions"
    assert all(map(str.strip, outcome.assumptions)), f"{where}: an empty assumption"
    assert outcome.limitations, f"{where}: no limitations"
    assert outcome.effect.low <= outcome.effect.value <= outcome.effect.high, f"{where}: effect outside its interval"
    assert outcome.multiplicity.searched >= 1, where
    assert outcome.multiplicity.searched == 1 or outcome.multiplicity.log10_cost > 0, f"{where}: a search not paid for"
    for part in outcome.components:
        assert part.count <= part.opportunities, f"{where}: {part.name} {part.count} of {part.opportunities}"
    assert outcome.calibration_digest == register(examiner).digest, f"{where}: does not cite the register"


CHECKS = (
    check_strangers,
    check_no_layer_near_the_tolerance,
    check_same_bytes,
    check_declines_without_access,
    check_does_not_guess,
    check_controls_stand_beside,
    check_wrappings,
    check_roles,
    check_ranks_of_strangers,
    check_suspect_is_measured_like_a_control,
    check_too_few_controls_are_no_line_up,
    check_form,
)


def check_everything(examiner: Examiner, bench: Bench) -> None:
    for check in CHECKS:
        check(examiner, bench)
    for claim in examiner.CLAIMS:
        check_claim(examiner, claim, bench)
