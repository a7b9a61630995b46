"""A case and the one that answers it, made up from sample records: which degree of agreement, and which change explains what."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from filiation.case.comparing import compare_cases
from filiation.case.comparison import Comparison
from filiation.case.ledger import next_entry
from filiation.case.records import (
    Announcement,
    CounterTo,
    Declarations,
    Drawn,
    Entry,
    Header,
    LineUpPlan,
    Opened,
    Plan,
    PlannedExhibit,
    PlannedProposition,
    PublicKey,
    Sealed,
)
from filiation.case.view import CaseView, ExaminedModel
from filiation.errors import RecordError, UsageError
from filiation.evidence import Component, Conclusion, Examination, Finding, Inconclusive, Outcome, canonical, digest
from filiation.report import wording
from filiation.report.html import environment
from tests.report import sample

KEY = PublicKey(keyid="a" * 64, public="b" * 64)
PLAN = Plan(
    case="1" * 32,
    prepared_by="the claimant",
    reference="the reference",
    suspect="the suspect",
    controls=tuple(PlannedExhibit(exhibit=name, lineage=name) for name in sample.CONTROLS),
    propositions=(
        PlannedProposition(
            proposition="weights", alternative=sample.INDEPENDENT, weights={"weights.double_matching": 1.0}
        ),
    ),
    examiners=("weights", "tokenizer"),
    examiner_versions={"weights": "1", "tokenizer": "1"},
    calibration_digests={"weights": "c" * 64},
    announcement=Announcement(basis="claimant", seed="d" * 64),
    parameters={"weights": {"neurons": 2000}},
)


def chained(header: Header, bodies: list[Any]) -> tuple[Entry, ...]:
    entries: tuple[Entry, ...] = ()
    for body in bodies:
        entries += (next_entry(entries, header, body, "a person", datetime(2026, 1, 1, tzinfo=UTC)),)
    return entries


def view(
    records: dict[str, Examination], plan: Plan = PLAN, seed: str = "d" * 64, answers: CounterTo | None = None
) -> CaseView:
    """A case in which each record was examined under a code name that is revealed."""
    header = Header(case=plan.case, title="made up")
    foils = tuple(name for name in records if name != "the suspect")
    drawn = Drawn(
        plan=digest(plan), basis="claimant", seed=seed, commitment="e" * 64, code_names=tuple(records), foils=foils
    )
    opened = Opened(
        case=plan.case, title="made up", party="claimant", key=KEY, software="filiation 0", counter_to=answers
    )
    entries = chained(header, [opened, Sealed(plan=digest(plan)), drawn])
    examined = tuple(
        ExaminedModel(
            subject=record.suspect.name,
            exhibit=exhibit,
            role="suspect" if exhibit == "the suspect" else "foil",
            examination=record,
            plan=digest(plan),
            entry=3 + at,
        )
        for at, (exhibit, record) in enumerate(records.items())
    )
    return CaseView(
        header=header,
        entries=entries,
        head=digest(entries[-1]),
        plans={digest(plan): plan},
        manifests={},
        drawn=drawn,
        examined=examined,
        declarations=Declarations(),
        checkpoints=(),
    )


RELATED, UNRELATED = sample.examination(related=True), sample.examination(related=False)
ORIGINAL = view({"the suspect": RELATED, "a foil": UNRELATED})
ANSWERS = CounterTo(case=ORIGINAL.header.case, head=ORIGINAL.head, sequence=3, keyid=KEY.keyid)


def answered(records: dict[str, Examination] | None = None, seed: str = "d" * 64, **plan: Any) -> Comparison:
    changed = msgspec.structs.replace(PLAN, case="2" * 32, prepared_by="the accused", **plan)
    records = records or {"the suspect": RELATED, "a foil": UNRELATED}
    return compare_cases(ORIGINAL, view(records, changed, seed, ANSWERS))


def detected(outcome: Outcome) -> bool:
    return isinstance(outcome, Finding) and outcome.log10_p <= outcome.power.threshold_log10_p


DETECTED = next(outcome for outcome in RELATED.outcomes if detected(outcome))


def with_outcome(record: Examination, **fields: Any) -> Examination:
    """The record with its first finding that counts as detected changed."""
    at = next(at for at, outcome in enumerate(record.outcomes) if detected(outcome))
    outcomes = list(record.outcomes)
    outcomes[at] = msgspec.structs.replace(outcomes[at], **fields)
    return msgspec.structs.replace(record, outcomes=tuple(outcomes))


def test_an_unchanged_plan_with_the_same_records_is_the_same_bytes_throughout() -> None:
    """Only the case, its author and its key differ: nothing of that is at issue."""
    found = answered()
    assert found.same_bytes
    assert found.changes == ()
    assert {test.agreement for test in found.tests} == {"same bytes"}
    assert {conclusion.agreement for conclusion in found.conclusions} == {"same bytes"}
    assert found.unexplained == ()
    assert [record.exhibit for record in found.records] == ["the suspect", "a foil"]
    assert found.answers == ANSWERS


def test_another_figure_on_the_same_side_is_the_same_outcome() -> None:
    changed = with_outcome(RELATED, components=(Component(kind="layer", name="one", count=1, opportunities=2),))
    found = answered({"the suspect": changed, "a foil": UNRELATED}, parameters={"weights": {"neurons": 1000}})
    degrees = [test.agreement for test in found.tests]
    assert degrees.count("same outcome") == 1
    assert not found.same_bytes
    assert [change.label for change in found.changes] == ["parameters: weights.neurons"]
    assert (found.changes[0].original, found.changes[0].challenge) == ("2000", "1000")


INCONCLUSIVE = next(outcome for outcome in UNRELATED.outcomes if isinstance(outcome, Inconclusive))
SAME_REASON, ANOTHER_REASON = "for the same reason", "for another reason"


@pytest.mark.parametrize(
    ("what_moved", "told"),
    [
        ({"seed": 99}, SAME_REASON),
        ({"limitations": ("only two prompts were left",)}, SAME_REASON),
        ({"reason": "the controls are too few"}, ANOTHER_REASON),
    ],
    ids=["the seed", "a limitation", "the reason"],
)
def test_two_sides_without_a_figure_are_not_told_to_have_other_figures(what_moved: dict[str, Any], told: str) -> None:
    silent = msgspec.structs.replace(INCONCLUSIVE, **what_moved)
    record = msgspec.structs.replace(
        UNRELATED, outcomes=tuple(silent if each == INCONCLUSIVE else each for each in UNRELATED.outcomes)
    )
    found = answered({"the suspect": RELATED, "a foil": record})
    (test,) = (test for test in found.tests if test.agreement != "same bytes")
    assert wording.side_by_side(test) == f"inconclusive on both sides, {told}"
    summary = wording.comparison_summary(found)
    assert f"; inconclusive on both sides, {told}: 1." in summary
    assert "other figures" not in " ".join(wording.comparison_lines(found))


def test_conclusions_without_a_ratio_are_not_told_to_have_other_figures() -> None:
    before = msgspec.structs.replace(
        RELATED.conclusions[0], kind="inconclusive", log10_likelihood_ratio=None, word="", reason="no controls"
    )

    def told(after: Conclusion) -> str:
        first, second = (
            {"the suspect": msgspec.structs.replace(RELATED, conclusions=(each,))} for each in (before, after)
        )
        original = view(first)
        answers = CounterTo(case=PLAN.case, head=original.head, sequence=original.entries[-1].sequence, keyid=KEY.keyid)
        counter = view(second, msgspec.structs.replace(PLAN, case="2" * 32), answers=answers)
        (compared,) = compare_cases(original, counter).conclusions
        return wording.side_by_side(compared)

    assert told(msgspec.structs.replace(before, log10_e=-0.5)) == f"no likelihood ratio on either side, {SAME_REASON}"
    assert (
        told(msgspec.structs.replace(before, reason="none")) == f"no likelihood ratio on either side, {ANOTHER_REASON}"
    )
    assert told(before) == "the same bytes"


def test_crossing_the_threshold_is_another_outcome() -> None:
    found = answered({"the suspect": with_outcome(RELATED, log10_p=0.0), "a foil": UNRELATED})
    other = [test for test in found.tests if test.agreement == "another outcome"]
    assert [(test.test, test.exhibit) for test in other] == [(DETECTED.test, "the suspect")]
    first, second = other[0].original, other[0].challenge
    assert first is not None
    assert second is not None
    assert (first.detected, second.detected) == (True, False)


EXPLAINED: dict[str, tuple[dict[str, Any], str, bool]] = {
    "a parameter of its examiner": ({"parameters": {"EXAMINER": {"depth": 3}}}, "parameters: EXAMINER.depth", True),
    "a parameter of another": ({"parameters": {"OTHER": {"depth": 3}}}, "parameters: OTHER.depth", False),
    "its calibration": ({"calibration_digests": {"EXAMINER": "0" * 64}}, "calibration: EXAMINER", True),
    "its version": ({"examiner_versions": {"EXAMINER": "9"}}, "versions: EXAMINER", True),
    "a control": ({"controls": PLAN.controls[1:]}, f"controls: {sample.CONTROLS[0]}", True),
    "weights": (
        {"propositions": (msgspec.structs.replace(PLAN.propositions[0], weights={"other": 1.0}),)},
        "weights: other",
        False,
    ),
    "an examiner that the answer leaves out": ({"examiners": ["EXAMINER"]}, "examiners: OTHER", False),
    "remarks": ({"remarks": "nothing at issue"}, "", False),
}


@pytest.mark.parametrize("case", EXPLAINED)
def test_only_what_a_test_rests_on_explains_its_difference(case: str) -> None:
    fields, label, explains = EXPLAINED[case]
    (other,) = {*PLAN.examiners} - {DETECTED.examiner}

    def named(text: str) -> str:
        return text.replace("EXAMINER", DETECTED.examiner).replace("OTHER", other)

    said = msgspec.json.decode(named(canonical(fields).decode()))
    plan = msgspec.convert({**msgspec.to_builtins(PLAN), **said}, Plan)
    changed = {name: getattr(plan, name) for name in fields}
    found = answered({"the suspect": with_outcome(RELATED, log10_p=0.0), "a foil": UNRELATED}, **changed)
    labels = [change.label for change in found.changes]
    label = named(label)
    assert (label in labels) == bool(label)
    different = next(test for test in found.tests if test.agreement == "another outcome")
    assert (label in different.explained_by) == explains
    assert (different in found.unexplained) == (not different.explained_by)


def test_a_difference_that_nothing_explains_is_shown_as_such() -> None:
    found = answered({"the suspect": with_outcome(RELATED, log10_p=0.0), "a foil": UNRELATED})
    assert found.changes == ()
    assert {each.agreement for each in found.unexplained} == {"another outcome"}


def test_another_seed_explains_what_the_seed_moves() -> None:
    moved = msgspec.structs.replace(with_outcome(RELATED, log10_p=-1.0), seed=99)
    found = answered({"the suspect": moved, "a foil": UNRELATED}, seed="9" * 64)
    assert [change.label for change in found.changes] == ["seed"]
    different = [test for test in found.tests if test.agreement != "same bytes"]
    assert {test.explained_by for test in different} == {("seed",)}


def test_weights_and_alternatives_explain_conclusions() -> None:
    at, conclusion = next((at, c) for at, c in enumerate(RELATED.conclusions) if c.word)
    other = msgspec.structs.replace(conclusion, word="", kind="inconclusive", reason="no weight in the plan")
    record = msgspec.structs.replace(
        RELATED, conclusions=(*RELATED.conclusions[:at], other, *RELATED.conclusions[at + 1 :])
    )
    planned = msgspec.structs.replace(PLAN.propositions[0], weights={"weights.double_matching": 0.5, "x": 0.5})
    found = answered({"the suspect": record, "a foil": UNRELATED}, propositions=(planned,))
    different = [each for each in found.conclusions if each.agreement == "another outcome"]
    assert len(different) == 1
    assert different[0].explained_by == ("weights: weights.double_matching", "weights: x")


def test_another_foil_stands_in_one_case_only() -> None:
    found = answered({"the suspect": RELATED, "another foil": UNRELATED})
    assert [change.label for change in found.changes] == ["foils: a foil", "foils: another foil"]
    degrees = {test.exhibit: test.agreement for test in found.tests}
    assert degrees == {
        "the suspect": "same bytes",
        "a foil": "only in the original",
        "another foil": "only in the challenge",
    }
    assert found.unexplained == ()
    assert not found.same_bytes


def test_another_observation_of_the_same_exhibit_is_named() -> None:
    seen = RELATED.observations
    assert seen, "the sample records observations"
    again = (msgspec.structs.replace(seen[0], content={"seen": "something else"}), *seen[1:])
    record = msgspec.structs.replace(with_outcome(RELATED, log10_p=-1.0), observations=again)
    found = answered({"the suspect": record, "a foil": UNRELATED})
    assert any(change.aspect == "observations" for change in found.changes)


def test_exploratory_records_and_models_that_are_not_revealed_take_no_part() -> None:
    counter = view(
        {"the suspect": RELATED, "a foil": UNRELATED}, msgspec.structs.replace(PLAN, case="2" * 32), answers=ANSWERS
    )
    looked = replace(counter.examined[0], exploratory=True, examination=UNRELATED, entry=90)
    hidden = replace(counter.examined[1], exhibit="", role="unrevealed", entry=91)
    found = compare_cases(ORIGINAL, replace(counter, examined=(*counter.examined, looked, hidden)))
    assert found.same_bytes


def test_what_answers_another_case_or_another_state_is_refused() -> None:
    plan = msgspec.structs.replace(PLAN, case="2" * 32)
    for wrong, message in (
        ({"case": "3" * 32}, "answers the case 3333"),
        ({"head": "0" * 64}, "entry 3 is another or missing"),
        ({"sequence": 9}, "entry 9 is another or missing"),
    ):
        counter = view({"the suspect": RELATED}, plan, answers=msgspec.structs.replace(ANSWERS, **wrong))
        with pytest.raises(RecordError, match=message):
            compare_cases(ORIGINAL, counter)
    with pytest.raises(UsageError, match="answers no other case"):
        compare_cases(ORIGINAL, ORIGINAL)


def test_a_case_that_has_revealed_nothing_cannot_be_compared() -> None:
    hidden = replace(ORIGINAL, examined=tuple(replace(model, exhibit="") for model in ORIGINAL.examined))
    counter = view({"the suspect": RELATED}, msgspec.structs.replace(PLAN, case="2" * 32), answers=ANSWERS)
    with pytest.raises(UsageError, match="has not revealed"):
        compare_cases(hidden, counter)


def test_a_comparison_reads_back_from_its_bytes() -> None:
    found = answered({"the suspect": with_outcome(RELATED, log10_p=0.0), "another foil": UNRELATED}, seed="9" * 64)
    assert msgspec.json.decode(canonical(found), type=Comparison) == found


def test_the_sentences_of_a_comparison_say_what_reports_may_say() -> None:
    """Every sentence, over agreements of every degree; the number comes before the word."""
    plan = {"parameters": {"weights": {"neurons": 1000}}}
    found = answered({"the suspect": with_outcome(RELATED, log10_p=0.0), "another foil": UNRELATED}, **plan)
    lines = wording.comparison_lines(found)
    assert not [word for line in lines for word in wording.forbidden_words(line)]
    told = "\n".join(lines)
    assert "parameters: weights.neurons: 2000 in the case, 1000 in the challenge" in told
    assert "p 1: does not count as detected" in told
    assert "another outcome: 1" in told
    assert "a foil, foil, stands in the case only: " in told
    assert "another foil, foil, stands in the challenge only: " in told
    assert len([line for line in lines if line.startswith("another foil")]) == 1
    assert wording.comparison_summary(answered()) == wording.ALL_THE_SAME


def test_the_section_of_a_report_escapes_what_comes_from_the_cases() -> None:
    pool = tuple(PlannedExhibit(exhibit=name) for name in ("<script>", "&"))
    found = answered(line_up=LineUpPlan(pool=pool))
    page = (
        environment()
        .get_template("case_comparison.html.j2")
        .render(view=replace(ORIGINAL, comparison=found), words=wording)
    )
    assert "<script>" not in page
    assert "pool: &lt;script&gt;" in page
    assert wording.ALL_THE_SAME in page
