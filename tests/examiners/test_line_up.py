"""The judgement of line-ups: who stands in it, when it declines, and what no record may do to the accused."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation import evidence
from filiation.evidence import (
    Characteristic,
    Effect,
    Finding,
    Inconclusive,
    Null,
    Outcome,
    Proposition,
    Relation,
    RelationPower,
    Relations,
    canonical,
)
from filiation.examiners.line_up import (
    Demands,
    Entrant,
    controls_left,
    judge_line_up,
    line_up_content,
    lineages_to_pass,
    population_of,
    related_matrix,
    validated_by,
)
from filiation.report.wording import forbidden_words
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount

TEST = evidence.Test(
    id="example.rank",
    proposition=Proposition.OUTPUTS,
    alternative="answers of its own",
    relation_class="common origin of the answers",
    characteristic=Characteristic.INDIVIDUAL,
    null=Null.POPULATION,
)
ENTRY = RegisterEntry(
    test=TEST.id,
    null=Null.POPULATION,
    formula_version="1",
    chance=None,
    detection_log10_p=-1.3,
    validated_for=(),
    strangers=(StrangerCount(kind="strangers", lineages=60, exceeding=3, tests=900, largest_share=0.05),),
    relatives=(RelationPower(relation="fine-tune", detected=9, lineages=10),),
    calibrated_on="made up",
    date="2026-11-21",
    tried=(),
    made_by="hand",
)
REGISTER = Calibration(examiner="example", entries=(ENTRY,))
DEMANDS = Demands(prompts=20, lineages=10, labs=5, controls=12)


def entrants(lineages: int = 24, labs: int = 12) -> list[Entrant]:
    """A reference, a suspect, and one control of each lineage; lineage and lab of all are declared."""
    return [
        Entrant(name="reference", lineage="r", lab="R", origin="reference"),
        Entrant(name="suspect", lineage="s", lab="S", origin="suspect"),
        *(Entrant(name=f"c{n}", lineage=f"l{n}", lab=f"b{n % labs}", origin="control") for n in range(lineages)),
    ]


def scores_of(some: list[Entrant], suspect: float, seed: int = 0) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(size=(len(some), len(some)))
    scores[0, 1] = suspect
    return scores


def judged(some: list[Entrant], scores: np.ndarray, register: Calibration = REGISTER, **rest) -> Outcome:
    not_validated, recorded = rest.pop("not_validated", ""), rest.pop("recorded", {})
    content = line_up_content(some, scores, prompts=rest.pop("prompts", 200), seed=3, test=TEST.id, **rest) | recorded
    pair = Relation(
        examiner="example", examiner_version="1", first=some[0].name, second=some[1].name, seed=3, content=content
    )
    stored = msgspec.json.decode(msgspec.json.encode(pair), type=Relation)
    outcomes = [
        judge_line_up(
            TEST,
            Relations(pair=one),
            register,
            examiner_version="1",
            demands=DEMANDS,
            effect=Effect(name="score", value=1.0, low=0.5, high=1.5),
            assumptions=("exchangeable",),
            limitations=("an example",),
            not_validated=not_validated,
        )
        for one in (pair, stored)
    ]
    assert canonical(outcomes[0]) == canonical(outcomes[1]), "judging from the record gives other bytes"
    return outcomes[0]


def test_a_suspect_above_everybody_has_the_smallest_p_there_is():
    some = entrants()
    found = judged(some, scores_of(some, 9.0))
    assert isinstance(found, Finding)
    assert (found.count, found.opportunities) == (0, 24)
    assert found.resolution_log10_p == found.log10_p >= -math.log10(25)
    assert found.lineages.strangers == 24
    assert found.lineages.strangers_exceeding == 2  # 3 of 60, kept as a share and rounded up
    assert found.power.detectable_share == 1.0  # 5 % of 25 is one place, the first


def test_one_among_the_controls_is_not_found():
    some = entrants()
    found = judged(some, scores_of(some, 0.0))
    assert isinstance(found, Finding)
    assert found.count > 3
    assert found.log10_p > -1.0


@settings(max_examples=25)
@given(st.integers(0, 100), st.floats(-4, 4), st.floats(0, 3), st.integers(0, 50))
def test_p_is_monotone_bounded_and_blind_to_order_and_copies(seed, suspect, more, shuffle):
    some = entrants()
    scores = scores_of(some, suspect, seed)
    found = judged(some, scores)
    higher = scores.copy()
    higher[0, 1] += more
    order = np.r_[0, 1, 2 + np.random.default_rng(shuffle).permutation(len(some) - 2)]
    again = judged([some[at] for at in order], scores[np.ix_(order, order)])
    take = np.r_[np.arange(len(some)), 7]
    copied = [*some, msgspec.structs.replace(some[7], name="c5 once more")]
    twice = scores[np.ix_(take, take)]
    for each in (found, again):
        assert isinstance(each, Finding)
        assert each.log10_p >= -math.log10(25)
    assert judged(some, higher).log10_p <= found.log10_p
    assert (again.log10_p, again.count) == (found.log10_p, found.count)
    beside = judged(copied, twice)
    assert (beside.log10_p, beside.count) == (found.log10_p, found.count)


# ------------------------------------------------------------------------------------------------------ who stands in it


def test_relatives_and_copies_of_the_two_are_shown_and_not_ranked():
    some = [
        *entrants(),
        Entrant(name="cousin", lineage="R ", lab="", origin="control"),
        Entrant(name="sibling", lineage="s", lab="elsewhere", origin="control"),
        Entrant(name="house-mate", lineage="other", lab="s", origin="control"),
        Entrant(name="Suspect", lineage="unheard of", lab="unheard of", origin="pack"),
        Entrant(name="student", lineage="pupil", lab="school", origin="control"),
    ]
    scores = scores_of(some, 2.5)
    scores[0, -5:] = 99.0
    found = judged(some, scores, related=[(1, len(some) - 1)])
    assert isinstance(found, Finding)
    assert found.count == 0
    assert len(found.lineages.controls) == 24
    left_out = [part.name for part in found.components if "not ranked" in part.note]
    assert sorted(left_out) == ["Suspect", "cousin", "house-mate", "sibling", "student"]


def in_two_packs() -> tuple[list[Entrant], np.ndarray]:
    """24 lineages of 12 labs from one pack, and the same models in a second one that calls lineages and labs otherwise."""
    some = [
        entrant if entrant.origin != "control" else msgspec.structs.replace(entrant, origin="pack")
        for entrant in entrants()
    ]
    again = [
        msgspec.structs.replace(entrant, name=entrant.name.upper(), lineage=f"other {entrant.lineage}", lab=f"x{at}")
        for at, entrant in enumerate(some[2:])
    ]
    take = np.r_[np.arange(26), np.arange(2, 26)]
    return [*some, *again], scores_of(some, 2.0)[np.ix_(take, take)]


def test_a_population_in_two_packs_counts_once():
    some, scores = in_two_packs()
    once, twice = judged(some[:26], scores[:26, :26]), judged(some, scores)
    assert isinstance(once, Finding)
    assert isinstance(twice, Finding)
    assert (twice.log10_p, twice.count, twice.opportunities) == (once.log10_p, once.count, 24)
    assert len([part for part in twice.components if "already under this name: shown, not ranked" in part.note]) == 24
    assert not [part for part in twice.components if "related to" in part.note]


def test_what_one_pack_says_of_a_models_relations_holds_for_its_place_in_another():
    some, scores = in_two_packs()
    found = judged(some, scores, related=[(1, 26), (27, 28)])
    assert found.opportunities == 23
    assert "l0" not in found.lineages.controls
    matrix = related_matrix(some, [(1, 26), (27, 28)])
    assert matrix[1, 2]
    assert matrix[3, 4]
    assert matrix[2, 26]  # one model
    assert not matrix[0, 2]
    assert (matrix == matrix.T).all()


def test_two_spellings_of_a_lineage_are_one():
    some = [*entrants(), Entrant(name="x", lineage="L-0", lab="B0", origin="pack")]
    found = judged(some, scores_of(some, 9.0))
    assert found.opportunities == 24


def test_an_undeclared_exhibit_is_known_by_a_pack_that_has_it():
    some = entrants()
    some[1] = Entrant(name="suspect", lineage="", lab="", origin="suspect")
    some += [
        Entrant(name="suspect", lineage="S", lab="Sigma", origin="pack"),
        Entrant(name="its sibling", lineage="S", lab="Sigma", origin="pack"),
    ]
    scores = scores_of(some, 5.0)
    scores[0, -2:] = 9.0
    found = judged(some, scores)
    assert found.count == 0
    assert not [limit for limit in found.limitations if "not declared" in limit]


def test_what_is_not_declared_speaks_for_the_accused_only():
    some = entrants()
    some[1] = Entrant(name="suspect", lineage="", lab="", origin="suspect")
    strange = [Entrant(name=f"u{n}", lineage="", lab="", origin="control") for n in range(40)]
    scores = scores_of([*some, *strange], 5.0)
    low, high = scores.copy(), scores.copy()
    low[0, 26:], high[0, 26:] = -5.0, 6.0
    below, above = (judged([*some, *strange], each) for each in (low, high))
    assert (below.count, below.opportunities) == (0, 24)
    assert (above.count, above.opportunities) == (1, 24)
    assert any("suspect's lineage was not declared" in limit for limit in below.limitations)
    assert any("40 of the controls" in limit for limit in below.limitations)


def test_relatives_of_the_reference_that_nobody_declared_are_told_as_a_limit():
    """Below the suspect they add lineages to the rank: p falls, and the finding says that it may."""
    some = entrants()
    more = [*some, *(Entrant(name=f"hidden {n}", lineage=f"h{n}", lab=f"b{n}", origin="control") for n in range(4))]
    scores = scores_of(more, 1.0)
    scores[0, -4:] = 0.9
    without, beside = judged(some, scores[:26, :26]), judged(more, scores)
    assert (beside.count, beside.opportunities) == (without.count, without.opportunities + 4)
    assert beside.chance < without.chance
    (limit,) = [limit for limit in beside.limitations if "that nobody declared" in limit]
    assert "smaller than it should be" in limit
    assert not forbidden_words(limit)


def test_the_pairs_in_dispute_do_not_examine_the_ranks():
    """Were the suspect taken from the reference, relatives of the one would be related to relatives of the other."""
    some = [
        *entrants(),
        Entrant(name="elder", lineage="r", lab="R", origin="control"),
        Entrant(name="younger", lineage="s", lab="S", origin="control"),
    ]
    content = line_up_content(some, scores_of(some, 0.0), prompts=50, seed=0, test=TEST.id)
    population = population_of(content)
    assert population.scores.shape == (26, 26)
    assert population.related[24, 25]
    assert population.related[25, 24]
    assert controls_left(content) == list(range(2, 26))


def test_related_pairs_are_symmetric_and_nobody_is_related_to_himself():
    matrix = related_matrix(entrants(), [(3, 2)])
    assert matrix[2, 3]
    assert matrix[3, 2]
    assert not matrix.diagonal().any()
    assert matrix[2, 14]  # one lab


# -------------------------------------------------------------------------------------------------------------- declining


def declined(some: list[Entrant], scores: np.ndarray, **rest) -> str:
    outcome = judged(some, scores, **rest)
    assert isinstance(outcome, Inconclusive)
    assert len(outcome.components) == len(some) - 1, "what was seen is shown all the same"
    return outcome.reason


def test_it_declines_below_what_it_demands():
    some, few, same_house = entrants(), entrants(6), entrants(labs=3)
    assert "only 9 prompts" in declined(some, scores_of(some, 9.0), prompts=9)
    assert "6 controls of 12, 6 lineages of 10" in declined(few, scores_of(few, 9.0))
    assert "3 labs of 5" in declined(same_house, scores_of(same_house, 9.0))


def test_it_declines_without_a_register_and_for_the_examiners_own_reasons():
    some = entrants()
    nobody = Calibration(examiner="example", entries=())
    assert "no entry for example.rank" in declined(some, scores_of(some, 9.0), register=nobody)
    assert declined(some, scores_of(some, 9.0), not_validated="not validated for poems") == "not validated for poems"


def level(value: float, low: float, *, first_place: bool = False) -> dict:
    ppm = round(1e6 * low)
    return {
        "level": value,
        "pairs": 900,
        "share_ppm": ppm,
        "low_ppm": ppm,
        "high_ppm": 10**6,
        "first_place": first_place,
    }


def test_it_declines_where_unrelated_controls_stand_as_high_too_often():
    some = entrants()
    bad = [level(0.05, 0.07), level(0.01, 0.0), level(0.001, 0.0)]
    assert "5 % of pairs" in declined(some, scores_of(some, 9.0), recorded={"held_out": bad})
    assert "too few labs" in declined(some, scores_of(some, 9.0), recorded={"held_out": []})


def test_where_only_the_first_level_holds_no_smaller_p_is_printed():
    some = entrants(40)
    kept = [level(0.05, 0.05), level(0.01, 0.0), level(0.001, 0.0), level(0.028, 0.04, first_place=True)]
    found = judged(some, scores_of(some, 9.0), recorded={"held_out": kept})
    assert isinstance(found, Finding)
    assert found.log10_p == found.resolution_log10_p == pytest.approx(math.log10(0.05), abs=1e-3)


def test_p_is_not_below_the_share_of_unrelated_controls_that_stood_as_high():
    """Each lab scores high with one other lab, all of whose lineages then stand first where it is held out."""
    some = entrants(lineages=72, labs=12)
    labs = np.asarray([int(one.lab[1:]) if one.origin == "control" else -10 for one in some])
    favoured = ((labs[:, None] + 1) % 12 == labs[None, :]) & (labs[:, None] >= 0)
    found = judged(some, scores_of(some, 9.0) + 9.0 * favoured)
    assert isinstance(found, Finding)
    assert found.count == 0
    assert found.log10_p == found.resolution_log10_p == pytest.approx(math.log10(61 / 73 / 11), abs=1e-3)


def test_controls_without_any_declared_lineage_are_no_line_up():
    some = [*entrants(0), *(Entrant(name=f"u{n}", lineage="", lab=f"b{n}", origin="control") for n in range(40))]
    assert "too few unrelated controls" in declined(some, scores_of(some, 9.0))


@pytest.mark.parametrize("score", [math.nan, math.inf, 1e300])
def test_scores_that_cannot_be_recorded_are_refused(score):
    some = entrants()
    scores = scores_of(some, 0.0)
    scores[4, 7] = score
    with pytest.raises(ValueError, match="score"):
        line_up_content(some, scores, prompts=1, seed=0, test=TEST.id)
    with pytest.raises(ValueError, match="entrants"):
        line_up_content(some, np.zeros((3, 3)), prompts=1, seed=0, test=TEST.id)


# ---------------------------------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize(
    ("lineages", "detected", "expected"),
    [(24, True, (24, 2)), (24, False, (24, 1)), (200, True, (60, 3)), (1, True, (1, 1))],
)
def test_the_smaller_of_register_and_line_up_stands_behind_a_ratio(lineages, detected, expected):
    assert validated_by(ENTRY, lineages, detected=detected) == expected


def test_a_register_without_strangers_leaves_the_line_up_alone():
    assert validated_by(msgspec.structs.replace(ENTRY, strangers=()), 24, detected=True) == (24, 0)


@pytest.mark.parametrize(
    ("lineages", "threshold", "share"),
    [(99, math.log10(0.05), 95 / 99), (99, -2.0, 1.0), (19, -2.0, 1.0), (19, 0.0, 0.0)],
)
def test_lineages_that_have_to_be_passed_against_theory(lineages, threshold, share):
    assert lineages_to_pass(lineages, threshold, -math.log10(lineages + 1)) == pytest.approx(share, abs=1e-6)
