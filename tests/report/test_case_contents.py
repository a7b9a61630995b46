"""What a report of a case tells: the line-up counted, the plan held against what was done, and nothing left blank or unseemly."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from filiation.case.records import REQUIRED, Declarations, Noted, Sealed
from filiation.errors import UsageError
from filiation.evidence import Finding, Inconclusive, Null
from filiation.report import case_contents, wording
from filiation.report.case_contents import MOST_ENTRIES
from filiation.statistics.likelihood import upper_limit
from tests.report import case_sample

pytestmark = pytest.mark.xdist_group("case reports")  # what is made for all of them is made once


@pytest.fixture(scope="module")
def view(found):
    return case_sample.view(found)


@pytest.fixture(scope="module")
def told(view):
    return case_contents.case_contents(view)


def strip(told, test):
    return next(strip for strip in told.strips if strip.test == test)


# ------------------------------------------------------------------------------------------------------------- the cards


def test_cards_follow_the_plan_and_say_where_nothing_came_out(told):
    assert [card.proposition.value for card in told.cards] == ["weights", "design", "tokenizer"]
    assert all(card.planned for card in told.cards)
    assert told.cards[2].statements == ()


def test_statements_are_the_record_s_conclusions_one_for_each_kind_of_null(told):
    for card in told.cards[:2]:
        recorded = [c for c in told.examination.conclusions if c.proposition is card.proposition and c.merged_ids]
        assert [statement.conclusion for statement in card.statements] == recorded
    nulls = [(s.conclusion.alternative, s.conclusion.null) for s in told.cards[0].statements]
    assert len(nulls) == len(set(nulls)) == 3


def test_every_relation_stands_beside_the_alternative_it_is_weighed_against(told, found):
    pairs = {(relation, alternative) for relation, others in told.cards[0].sides for alternative in others}
    assert pairs == {(s.relation, s.conclusion.alternative) for s in told.cards[0].statements}
    assert told.cards[2].sides == (("", ("trained on other text",)),)
    planned = case_sample.plan().propositions
    other = msgspec.structs.replace(planned[0], alternative="distilled from a third")
    sides = (
        case_contents.case_contents(
            case_sample.view(found, planned=case_sample.plan(propositions=(other, *planned[1:])))
        )
        .cards[0]
        .sides
    )
    assert sides[-1] == ("", ("distilled from a third",))


def test_several_alternatives_of_one_proposition_stand_on_one_card(found):
    weights = case_sample.plan().propositions[0]
    indices = {"weights.dimension-index": 1.0}
    second = msgspec.structs.replace(
        weights, alternative="embeddings initialised and trained independently of each other", weights=indices
    )
    both = case_sample.plan(propositions=(weights, second))
    cards = case_contents.case_contents(case_sample.view(found, planned=both)).cards
    assert [card.proposition.value for card in cards] == ["weights", "design"]
    assert [statement.planned for statement in cards[0].statements] == [True, True, True]
    one = case_contents.case_contents(case_sample.view(found)).cards[0]
    assert [statement.planned for statement in one.statements] == [True, True, False]


def test_an_exhibit_of_several_parts_has_the_lineage_and_the_attributes_of_all(view):
    manifests = {name: sheet for name, sheet in view.manifests.items() if name != "base-c"}
    bare = msgspec.structs.replace(view.manifests["base-c"], lineage="", attributes={})
    parts = {
        "base-c/weights": bare,
        "base-c/answers": msgspec.structs.replace(bare, lineage="x", attributes={"of": "answers"}),
    }
    told = case_contents.case_contents(replace(view, manifests=manifests | parts))
    subject = next(subject for subject in told.suspects if subject.name == "base-c")
    assert (subject.lineage, subject.attributes["of"]) == ("x", "answers")


def test_what_was_concluded_without_a_plan_stands_last_and_is_marked(found):
    planned = case_sample.plan(propositions=case_sample.plan().propositions[:1])
    cards = case_contents.case_contents(case_sample.view(found, planned=planned)).cards
    assert [(card.proposition.value, not card.planned) for card in cards] == [("weights", False), ("design", True)]


def test_until_the_suspect_is_revealed_nothing_is_told_of_it(found):
    told = case_contents.case_contents(case_sample.view(found, revealed=False))
    assert told.examination is None
    assert not any(card.statements for card in told.cards)
    assert told.validation == ()
    assert {subject.role for subject in told.suspects} == {"unrevealed"}
    assert case_sample.SUSPECT not in {row.name for strip in told.strips for row in strip.rows}


# ------------------------------------------------------------------------------------------------------------ the line-up


def test_the_suspect_stands_first_and_the_explaining_foil_is_marked(told):
    assert [subject.role for subject in told.suspects] == ["suspect", "foil", "foil", "foil"]
    assert [subject.name for subject in told.suspects if subject.shares_explanation] == ["same-order"]


def test_weights_find_the_copy_and_no_foil(told):
    count = strip(told, "weights.double-matching").count
    assert (count.found, count.foils, count.lineages_found, count.lineages) == (0, 3, 0, 3)
    assert count.upper_limit == pytest.approx(upper_limit(0, 3))
    assert [row.found for row in strip(told, "weights.double-matching").rows[:4]] == [True, False, False, False]


def test_the_design_that_foils_share_finds_every_foil(told):
    count = strip(told, "architecture.design-rarity").count
    assert (count.found, count.foils, count.upper_limit) == (3, 3, 1.0)
    assert strip(told, "architecture.design-rarity").of_class


def test_controls_stand_beside_and_are_not_counted(told):
    rows = strip(told, "weights.screen").rows
    assert [row.role for row in rows] == ["suspect", "foil", "foil", "foil", "control"]
    assert rows[-1].found is None


def test_two_foils_of_one_lineage_are_one_lineage(view):
    foils = [model for model in view.examined if model.role == "foil" and not model.exploratory]
    manifests = dict(view.manifests)
    for model in foils[:2]:
        manifests[model.exhibit] = msgspec.structs.replace(manifests[model.exhibit], lineage="one and the same")
    count = strip(case_contents.case_contents(replace(view, manifests=manifests)), "weights.screen").count
    assert (count.foils, count.lineages) == (3, 2)


def test_foils_of_undeclared_lineage_are_one_lineage_together(view):
    plan = case_sample.plan(line_up=msgspec.structs.replace(case_sample.plan().line_up, pool=()))
    manifests = {name: msgspec.structs.replace(sheet, lineage="") for name, sheet in view.manifests.items()}
    plans = dict.fromkeys(view.plans, plan)
    count = strip(case_contents.case_contents(replace(view, manifests=manifests, plans=plans)), "weights.screen").count
    assert (count.foils, count.lineages) == (3, 1)


def test_a_foil_without_a_finding_is_no_denominator(view):
    models = list(view.examined)
    at = next(n for n, model in enumerate(models) if model.role == "foil")
    record = models[at].examination
    outcomes = tuple(_silenced(outcome) if outcome.test == "weights.screen" else outcome for outcome in record.outcomes)
    models[at] = replace(models[at], examination=msgspec.structs.replace(record, outcomes=outcomes))
    told = case_contents.case_contents(replace(view, examined=tuple(models)))
    count = strip(told, "weights.screen").count
    assert (count.foils, count.without_finding) == (2, 1)
    assert "inconclusive" in {row.remark for row in strip(told, "weights.screen").rows}


def _silenced(finding: Finding) -> Inconclusive:
    kept = {name: getattr(finding, name) for name in Inconclusive.__struct_fields__ if hasattr(finding, name)}
    return Inconclusive(**{**kept, "reason": "silenced"})


def test_the_last_run_under_the_plan_that_holds_is_told(view, found):
    suspect = next(model for model in view.examined if model.role == "suspect")
    again = replace(suspect, examination=found["base-c"], entry=99)
    told = case_contents.case_contents(replace(view, examined=(*view.examined, again)))
    assert strip(told, "weights.screen").rows[0].found is False


# ------------------------------------------------------------------------------------------------------- planned and done


def test_every_planned_test_has_a_cell_for_everybody_and_missing_ones_say_so(told):
    assert [test.test for test in told.tests] == [
        "weights.screen", "weights.double-matching", "weights.neuron-index", "weights.dimension-index",
        "architecture.design-rarity", "tokenizer.merge-order",
    ]  # fmt: skip
    assert all(len(test.cells) == 4 for test in told.tests)
    assert [test.missing for test in told.tests] == [0, 0, 0, 0, 0, 4]


def test_tests_without_a_weight_are_listed_too(found):
    planned = case_sample.plan(propositions=())
    tests = case_contents.case_contents(case_sample.view(found, planned=planned)).tests
    assert {test.test for test in tests} >= {"weights.screen", "architecture.design-rarity"}
    assert {test.weight for test in tests} == {0.0}


def test_amendments_and_explorations_are_told(told):
    assert [sealing.body.replaces != "" for sealing in told.sealings] == [False, True]
    assert [exploration.name for exploration in told.explorations] == ["long-c"]
    assert "long-c" not in {subject.name for subject in told.suspects}


# ------------------------------------------------------------------------------------------------------------ free text


@pytest.mark.parametrize("field", REQUIRED)
def test_a_blank_required_field_is_named(field):
    declarations = msgspec.structs.replace(case_sample.FULL, **{field: " \n"})
    assert case_contents.blanks(declarations) == (field,)
    with pytest.raises(UsageError, match=field):
        case_contents.refuse_while_blank(declarations)


def test_nothing_is_blank_where_the_required_fields_are_filled():
    only = Declarations(**dict.fromkeys(REQUIRED, "said"))
    assert case_contents.blanks(only) == ()
    case_contents.refuse_while_blank(only)


def test_a_forbidden_word_in_a_declaration_stops_the_report_and_names_the_field(found):
    declarations = msgspec.structs.replace(case_sample.FULL, limits="None: the weights match beyond doubt.")
    with pytest.raises(UsageError) as refused:
        case_contents.case_contents(case_sample.view(found, declarations=declarations))
    assert "'limits'" in refused.value.message
    assert "‘match’" in refused.value.message
    assert "coincidences" in refused.value.advice


def test_what_the_ledger_already_says_is_pointed_at_and_not_printed(view):
    entry = view.entries[-2]
    assert isinstance(entry.body, Noted)
    written = msgspec.structs.replace(entry, body=Noted(text="this proves it"))
    told = wording.entry_told(written)
    assert "proves" not in told
    assert f"entry {entry.sequence}" in told
    assert wording.entry_told(entry) == "The other side was sent checkpoint 2."


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (Noted(text="it matched"), "note"),
        (Sealed(plan="0" * 64, reason="they stole it"), "reason"),
        (Sealed(plan="0" * 64, changes=("x", "a 98 % similar model")), "change 2"),
    ],
)
def test_free_text_of_an_entry_is_refused_before_it_is_written(body, field):
    with pytest.raises(UsageError) as refused:
        wording.hold_to_wording(case_contents.entry_texts(body))
    assert refused.value.message.startswith(f"a report may not say this: {field} says")
    assert refused.value.advice


def test_free_text_of_a_plan_is_held_to_the_wording():
    texts = case_contents.plan_texts(case_sample.plan(remarks="the verdict will follow"))
    with pytest.raises(UsageError, match="remarks"):
        wording.hold_to_wording(texts)
    wording.hold_to_wording(case_contents.plan_texts(case_sample.plan()))


# -------------------------------------------------------------------------------------------------------------- custody


def test_every_entry_stands_in_one_lane_and_one_run(told):
    sequences = [entry.sequence for entry in told.view.entries]
    assert sorted(entry.sequence for lane in told.lanes for entry in lane.entries) == sequences
    assert [entry.sequence for run in told.runs for entry in run.entries] == sequences


def test_a_long_ledger_is_told_by_runs(view):
    first, note = view.entries[0], view.entries[-2]
    notes = tuple(msgspec.structs.replace(note, sequence=n) for n in range(2, MOST_ENTRIES + 40))
    told = case_contents.case_contents(replace(view, entries=(first, *notes)))
    assert [len(run.entries) for run in told.runs] == [1, len(notes)]
    assert "from entry 2 to" in wording.run_told(notes[0], notes[-1], len(notes))


def test_state_of_a_case_counts_what_is_not_signed(view):
    whole = case_contents.case_contents(view)
    assert whole.after_checkpoint == 0
    cut = case_contents.case_contents(replace(view, checkpoints=view.checkpoints[:1]))
    assert cut.after_checkpoint == len(view.entries) - 2
    assert case_contents.case_contents(replace(view, checkpoints=())).last_checkpoint is None


def test_a_case_without_anything_is_told(found):
    told = case_contents.case_contents(case_sample.without_line_up(found))
    assert told.suspects == told.strips == told.validation == ()
    assert len(told.tests) == 6
    assert Null.MODEL not in told.nulls
