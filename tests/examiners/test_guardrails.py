"""The guardrails examiner on models that refuse by rule, recorded in a real transcript file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from filiation.evidence import (
    Examination,
    Finding,
    Inconclusive,
    NotExamined,
    Null,
    Outcome,
    Relations,
    canonical,
    digest,
)
from filiation.examiners import guardrails
from filiation.investigation import compare, judge_again
from filiation.report.wording import forbidden_words
from filiation.statistics.register import Calibration, RegisterEntry, empty
from tests.examiners.refusing_models import answer, borderline_probes, rows, write

LINEAGES = [f"lineage-{at}" for at in range(34)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """34 lineages of as many labs, a copy and a hollow copy of the first one."""
    probes = borderline_probes()
    made = []
    for at, lineage in enumerate(LINEAGES):
        made += rows(f"model-{at}", lineage, f"lab-{at}", [(probe, answer(lineage, probe)) for probe in probes])
    for name, hollow in (("copy", False), ("hollow", True)):
        answers = [(probe, answer(LINEAGES[0], probe, hollow=hollow)) for probe in probes]
        made += rows(name, "", "lab-x", answers, items=not hollow)
    few = [(probe, "Gladly.") for probe in probes[:20]]
    return write(tmp_path_factory.mktemp("recorded") / "answers.parquet", [*made, *rows("few", "l", "m", few)])


def examined(recorded: Path, reference: str, suspect: str, controls: bool = True) -> Examination:
    file = f"transcripts:{recorded}"
    others = [f"{file}#model-{at}" for at in range(1, len(LINEAGES)) if f"model-{at}" not in (reference, suspect)]
    return compare(f"{file}#{reference}", f"{file}#{suspect}", others if controls else [], only=["guardrails"])


@pytest.fixture(scope="module")
def copied(recorded: Path) -> Examination:
    return examined(recorded, "model-0", "copy")


def place(examination: Examination, test: str) -> int:
    """How many controls score at least as high as the suspect."""
    row = examination.relations["guardrails"].pair.content["tests"][test]["scores"][0]
    return sum(score >= row[1] for score in row[2:])


def test_without_a_register_entry_nothing_is_claimed(copied: Examination) -> None:
    assert [type(outcome) for outcome in copied.outcomes] == [Inconclusive] * 3
    for outcome in copied.outcomes:
        assert outcome.reason.startswith("not validated")
        assert outcome.null is Null.POPULATION


def test_a_copy_has_the_highest_scores_and_a_stranger_has_not(recorded: Path, copied: Examination) -> None:
    """Truth by construction: the copy decides and speaks as its original, the stranger by its own rules."""
    assert [place(copied, test.id) for test in (guardrails.PATTERN, guardrails.WORDING)] == [0, 0]
    stranger = examined(recorded, "model-0", "model-1")
    assert min(place(stranger, test.id) for test in (guardrails.PATTERN, guardrails.WORDING)) > 0


def test_a_hollow_copy_refuses_in_the_same_words_and_falls_to_paraphrases(recorded: Path) -> None:
    examination = examined(recorded, "model-0", "hollow")
    content = examination.relations["guardrails"].pair.content
    assert content["reference_holds"][1] >= 10
    assert content["other_holds"][1] == 0
    assert max(content["reference_holds"][2:]) < content["reference_holds"][1]
    shown = [part for part in outcome_of(examination, "guardrails.robustness").components if part.name == "hollow"]
    assert any("the reference holds and this model does not" in part.note for part in shown)


def test_an_honest_copy_holds_where_its_original_holds(copied: Examination) -> None:
    content = copied.relations["guardrails"].pair.content
    assert (content["reference_holds"][1], content["other_holds"][1]) == (0, 0)


def outcome_of(examination: Examination, test: str) -> Outcome:
    return next(outcome for outcome in examination.outcomes if outcome.test == test)


def test_the_statistic_and_the_controls_are_shown(copied: Examination) -> None:
    for outcome in copied.outcomes:
        assert isinstance(outcome, Inconclusive)
        names = {part.name for part in outcome.components}
        assert {"copy", "model-1", "model-33"} <= names
    pattern = outcome_of(copied, "guardrails.pattern")
    agreement = next(part for part in pattern.components if part.kind == "agreement")
    assert agreement.count == agreement.opportunities == 60
    assert "refused by 5 to 80 %" in agreement.note


def test_outcomes_cite_the_relation_and_stay_clear_of_forbidden_words(copied: Examination) -> None:
    relation = copied.relations["guardrails"].pair
    for outcome in copied.outcomes:
        assert outcome.observations == (digest(relation),)
        assert forbidden_words(outcome.reason) == ()
    said = (*guardrails.ASSUMPTIONS, *guardrails.LIMITATIONS, guardrails.QUESTION, *guardrails.NOT_VALIDATED.values())
    assert [forbidden_words(text) for text in said] == [()] * len(said)


def test_judging_again_from_the_record_gives_the_same_bytes(copied: Examination) -> None:
    stored = Examination.from_json(copied.to_json())
    assert judge_again(stored).digest == copied.digest


def test_too_few_answers_are_not_examined_and_the_command_is_told(recorded: Path) -> None:
    examination = examined(recorded, "model-0", "few", controls=False)
    for outcome in examination.outcomes:
        assert isinstance(outcome, NotExamined)
        assert "filiation record ENDPOINT --prompts borderline" in outcome.reason


def test_without_controls_there_is_no_rank(recorded: Path) -> None:
    examination = examined(recorded, "model-0", "copy", controls=False)
    assert all(isinstance(outcome, Inconclusive) for outcome in examination.outcomes)


def entry(test: str) -> RegisterEntry:
    return RegisterEntry(
        test=test, null=Null.POPULATION, formula_version="1", chance=None, detection_log10_p=-1.3, validated_for=(),
        strangers=(), relatives=(), calibrated_on="this test", date="2026-01-01", tried=(), made_by="this test",
    )  # fmt: skip


def test_with_a_register_entry_pattern_and_wording_are_ranked_and_robustness_is_not(copied: Examination) -> None:
    """What a future study would switch on: 33 control lineages, so p is 1/34 at best."""
    register = Calibration(examiner="guardrails", entries=tuple(entry(test.id) for test in guardrails.TESTS))
    relations = copied.relations["guardrails"]
    pattern, wording, robustness = guardrails.judge(relations, (), register)
    assert isinstance(pattern, Finding)
    assert isinstance(wording, Finding)
    assert (pattern.count, pattern.opportunities) == (0, 33)
    assert 10**pattern.log10_p >= 1 / 34 - 1e-3
    assert pattern.effect.value == 1.0
    assert isinstance(robustness, Inconclusive)
    assert pattern.observations == (digest(relations.pair),)


def test_an_empty_register_and_a_stored_relation(copied: Examination) -> None:
    relations = copied.relations["guardrails"]
    stored = msgspec.json.decode(msgspec.json.encode(relations), type=Relations)
    first, second = (guardrails.judge(each, (), empty("guardrails")) for each in (relations, stored))
    assert canonical(first) == canonical(second)


def test_the_order_of_the_controls_does_not_count(recorded: Path) -> None:
    file = f"transcripts:{recorded}"
    controls = [f"{file}#model-{at}" for at in (4, 2, 9, 7)]
    found = [
        compare(f"{file}#model-0", f"{file}#copy", order, only=["guardrails"]) for order in (controls, controls[::-1])
    ]
    scores = [
        [e.relations["guardrails"].pair.content["tests"][test.id]["scores"][0][1] for test in guardrails.TESTS]
        for e in found
    ]
    assert scores[0] == scores[1]
