"""Wording: the sentences of each null, what may never be said, and rounding that never accuses."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.evidence import Conclusion, Finding, Inconclusive, Multiplicity, NotExamined, Null, Power, Proposition
from filiation.report import wording
from filiation.report.html import html, notebook_html
from tests.report import sample

REPORT = Path(wording.__file__).parent
RULES = set(wording.FORBIDDEN)


def value(text: str) -> float:
    """The number that a text of `wording` says, read back."""
    if text.startswith("10^"):
        return 10.0 ** int(text[3:])
    if text.startswith("1 in "):
        return 1.0 / int(text[5:].replace(",", ""))
    return float(text.replace(",", ""))


@pytest.mark.parametrize(
    "text",
    ["a Match", "it matches", "they matched", "this proves it", "98 % similar", "a similarity of 0.9", "stolen weights",
     "guilty", "the probability that they copied", "it descends from ours", "no verdict", "proof"],
)  # fmt: skip
def test_forbidden_words_are_found(text):
    assert wording.forbidden_words(text)


@pytest.mark.parametrize("text", ["double matching", "the probability of the outcome", "improvement", "coincidences"])
def test_permitted_words_pass(text):
    assert not wording.forbidden_words(text)


@pytest.mark.parametrize("file", sorted(p.name for p in REPORT.glob("*.py")))
def test_no_text_in_the_package_says_what_may_not_be_said(file):
    tree = ast.parse((REPORT / file).read_text(encoding="utf-8"))
    docstrings = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    }
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    told = [text for text in texts if text not in docstrings and text not in RULES]
    assert not [(text, wording.forbidden_words(text)) for text in told if wording.forbidden_words(text)]


@pytest.mark.parametrize("file", sorted(p.name for p in (REPORT / "templates").glob("*.j2")))
def test_no_template_says_what_may_not_be_said(file):
    assert not wording.forbidden_words((REPORT / "templates" / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "examination",
    [sample.examination(True), sample.examination(False), sample.recorded_answers(), sample.recorded_answers(-1.0)],
)
def test_no_report_of_a_sample_says_what_may_not_be_said(examination):
    for rendered in (html(examination), notebook_html(examination)):
        assert not wording.forbidden_words(re.sub(r"<style>.*?</style>|<[^>]*>", " ", rendered, flags=re.DOTALL))


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("weights.double_matching",
         "In 3,072 opportunities we saw {k} coincidences. Without copying, each had a chance of at most 0.1, whatever the "
         "others did. The chance of {k} or more is at most {p}, the search paid for."),
        ("weights.index_coincidence",
         "In 3,072 opportunities we saw {k} coincidences. Without copying, and with initialisations drawn independently, "
         "every numbering of the units was equally likely, which gave each a chance of 1 in 256. The chance of {k} or "
         "more is {p}."),
        ("architecture.population",
         "Of 40 other lineages of known history, {k} share as much with the reference as the suspect does. Were the "
         "suspect one more independent lineage among them, the chance of standing so high is {p}; a line-up of this size "
         "could not have reached less than 0.025."),
    ],
)  # fmt: skip
def test_sentence_has_the_form_of_its_null(test, expected):
    outcome = next(outcome for outcome in sample.examination().outcomes if outcome.test == test)
    figures = {"k": wording.whole(outcome.count), "p": wording.probability(outcome.log10_p)}
    assert wording.sentence(outcome) == expected.format(**figures)


def test_sentence_by_construction_names_the_lots():
    one_test = Multiplicity(searched=1, rule="one test")
    keyed = sample.finding("keyed.test", Proposition.WEIGHTS, Null.CONSTRUCTION, 30, 50, 1 / 16, multiplicity=one_test)
    assert "committed to before" in wording.sentence(keyed)
    assert "exactly 0.0625" in wording.sentence(keyed)


def test_of_a_service_differences_are_counted_and_no_identity_is_told():
    outcome = sample.recorded_answers().outcomes[2]
    told = wording.sentence(outcome)
    assert told.startswith(
        "In 60 opportunities we saw 31 differences. Were the reference model answering under another runtime, each had a "
        "chance of at most 0.1"
    )
    assert "never says that they are one" in wording.reading(outcome)
    assert wording.count_label(outcome) == wording.DIFFERENCES


def test_the_smallest_p_of_a_line_up_is_told_with_its_lineages():
    ranked = sample.recorded_answers().outcomes[0]
    assert "With 70 control lineages p cannot be smaller than 1 in 71, whatever was asked" in wording.resolution(ranked)
    raised = msgspec.structs.replace(ranked, resolution_log10_p=-1.3, log10_p=-1.3)
    assert "cannot be smaller than 0.051: unrelated controls stand first more often" in wording.resolution(raised)
    assert "raised to what unrelated controls did" in wording.reading(raised)
    assert "raised" not in wording.reading(msgspec.structs.replace(ranked, log10_p=math.log10(1 / 71)))


@pytest.mark.parametrize(
    ("threshold", "resolution", "told"),
    [
        (-1.30103, -1.851, "had to stand above at least 68 of the 70 control lineages"),
        (-3.0, -1.851, "No place in this line-up"),
    ],
)
def test_power_of_a_rank_is_a_place(threshold, resolution, told):
    ranked = sample.recorded_answers().outcomes[0]
    power = type(ranked.power)(threshold_log10_p=threshold, detectable_share=68 / 70)
    assert told in wording.power_of_rank(
        msgspec.structs.replace(ranked, power=power, resolution_log10_p=resolution, log10_p=resolution)
    )


@pytest.mark.parametrize("log10_ratio", [-0.04, -0.001, 0.001, 0.04])
def test_a_ratio_near_one_is_not_told_as_one_times(log10_ratio):
    told = wording.likelihood_sentence(conclusion(log10_ratio), "a relation")
    assert "1 times" not in told
    assert "nearly as probable" in told
    assert re.search(r"ratio is (0\.\d+|1)", told)


def test_every_null_and_proposition_has_its_words():
    for table in (wording.NULL_TITLES, wording.NULL_EXPLANATIONS, wording.OPPORTUNITY_LABELS, wording.COUNT_LABELS,
                  wording.CHANCE_LABELS, wording.TAIL_LABELS):  # fmt: skip
        assert set(table) == set(Null)
    assert set(wording.PROPOSITION_TITLES) == set(wording.PROPOSITION_QUESTIONS) == set(Proposition)


def test_what_is_not_known_is_said_with_its_reason():
    outcomes = sample.examination().outcomes
    unknown = [outcome for outcome in outcomes if isinstance(outcome, Inconclusive | NotExamined)]
    assert len(unknown) == 2
    assert all(outcome.reason in wording.sentence(outcome) for outcome in unknown)


def test_a_silent_finding_is_read_with_its_power_and_a_loud_one_is_not():
    silent, loud = (sample.examination(related).outcomes[1] for related in (False, True))
    assert "power" in wording.reading(silent)
    assert wording.reading(loud) == ""


def conclusion(log10_ratio: float) -> Conclusion:
    base = sample.examination().conclusions[2]
    return Conclusion(
        proposition=base.proposition, alternative="independence", null=base.null, kind=base.kind, reason=base.reason,
        log10_likelihood_ratio=log10_ratio, word="some word",
    )  # fmt: skip


def test_likelihood_sentence_puts_the_number_before_the_word_both_ways():
    upwards = wording.likelihood_sentence(conclusion(1.15), "a relation")
    downwards = wording.likelihood_sentence(conclusion(-1.15), "a relation")
    assert upwards.startswith("The outcome is 14 times as probable under ‘a relation’ as under ‘independence’.")
    assert "14 times as probable under ‘independence’ as under ‘a relation’" in downwards
    assert "likelihood ratio is 0.07" in downwards
    for told in (upwards, downwards):
        assert re.search(r"\d", told).start() < told.index("some word")


@given(st.floats(min_value=-5000, max_value=0))
def test_a_probability_is_never_printed_smaller_than_it_is(log10_p):
    text = wording.probability(log10_p)
    if text.startswith("10^"):
        assert log10_p - 1e-8 <= int(text[3:]) <= log10_p + 1
    else:
        assert 10.0**log10_p * (1 - 1e-8) <= value(text) <= 10.0**log10_p * 1.11


@given(st.floats(min_value=-300, max_value=300))
def test_a_likelihood_ratio_is_never_printed_larger_than_it_is(log10_ratio):
    text = wording.ratio(log10_ratio)
    if text.startswith("10^"):
        assert log10_ratio - 1 <= int(text[3:]) <= log10_ratio + 1e-8
    else:
        assert 10.0**log10_ratio * 0.89 <= value(text) <= 10.0**log10_ratio * (1 + 1e-8)


@given(st.floats(min_value=1e-12, max_value=1 - 1e-9))
def test_a_chance_is_never_printed_smaller_than_it_is(chance):
    assert chance * (1 - 1e-5) <= value(wording.chance(chance)) <= max(chance * 1.011, chance + 1e-12)


@pytest.mark.parametrize(
    ("log10_p", "text"), [(-1536.0, "10^-1536"), (-0.509, "0.31"), (0.0, "1"), (-2.9, "0.0013"), (-12.4, "10^-12")]
)
def test_probability_as_printed(log10_p, text):
    assert wording.probability(log10_p) == text


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_share_is_one_or_nought_only_when_it_is(first, second):
    count, opportunities = min(first, second), max(first, second)
    text = wording.share(count, opportunities)
    assert (text == "1") == (count == opportunities > 0)
    assert (text == "0") == (count == 0 < opportunities)


def test_hostile_text_loses_its_control_and_direction_characters():
    shown = wording.visible(sample.HOSTILE)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]" in shown
    assert len(wording.shortened("x" * 500, 30)) == 30


def test_findings_of_the_sample_are_its_own_tails():
    for related in (True, False):
        for outcome in sample.examination(related).outcomes:
            if isinstance(outcome, Finding) and outcome.null is not Null.POPULATION:
                assert outcome.log10_p == sample.upper_tail(outcome.count, outcome.opportunities, outcome.chance)


@pytest.mark.parametrize("null", list(Null))
def test_validation_counts_lineages_or_says_that_there_were_none(null):
    finding = sample.examination().outcomes[1]
    assert "0 of 41 stranger lineages" in wording.validation(finding.lineages, null)
    untested = type(finding.lineages)(strangers=0, strangers_exceeding=0, upper_limit=1.0)
    assert ("follows from how the lots" if null is Null.CONSTRUCTION else "not tested") in wording.validation(
        untested, null
    )
    assert wording.control_lineages(untested) == "none"


@pytest.mark.parametrize(
    ("given", "of_packs", "packs", "told"),
    [
        (0, 0, (), "with no control given"),
        (1, 0, (), "with 1 control"),
        (0, 137, ("a 1 (0f)",), "with 137 controls from the control pack a 1 (0f)"),
        (3, 1200, ("a 1 (0f)", "b 2 (1e)"), "with 3 controls, and 1,200 from the control packs a 1 (0f); b 2 (1e)"),
    ],
)
def test_controls_are_told_with_their_packs(given, of_packs, packs, told):
    assert wording.controls(given, of_packs, packs) == told


@pytest.mark.parametrize(
    ("formats", "told"),
    [
        (("folder", "gguf"), "their files"),
        (("transcript", "transcript"), "recorded answers"),
        (("pack", "pack"), "figures of recorded answers"),
        (("transcript", "pack"), "recorded answers and figures of recorded answers"),
        (("folder", "transcript"), "files and recorded answers"),
    ],
)
def test_what_was_examined_is_told_by_format(formats, told):
    examination = sample.bare()
    reference, suspect = (
        msgspec.structs.replace(exhibit, format=kind)
        for exhibit, kind in zip((examination.reference, examination.suspect), formats, strict=True)
    )
    assert wording.told_from(msgspec.structs.replace(examination, reference=reference, suspect=suspect)) == told


@pytest.mark.parametrize(
    ("test", "score", "told"),
    [
        ("verbatim.passages", 0.0, "shares a passage with the reference, beyond what unrelated models give alike"),
        ("verbatim.answers", 0.0, "shares a long answer"),
        ("verbatim.passages", 2.0, "stands out: all have one score"),
        ("text_kinship.rare-phrases", 0.0, "stands out: all have one score"),
    ],
)
def test_a_line_up_of_one_score_is_told_without_a_chance(test, score, told):
    assert told in wording.nothing_ranked(test, score)


def test_a_shared_reason_ends_in_all_the_parts_it_names():
    assert wording.folded_reason("without the", ["tokenizer"]) == "without the tokenizer."
    assert wording.folded_reason("without the", ["configuration", "tokenizer", "weights"]) == (
        "without the configuration, tokenizer or weights."
    )
    assert wording.folded_reason("no answers", ()) == "no answers."


@pytest.mark.parametrize(
    ("log10_p", "told"),
    [(-1.301, "0.05"), (math.log10(0.05), "0.05"), (-2.0, "0.01"), (-12.0, "10^-12"), (-3.0, "10^-3")],
)
def test_a_threshold_is_told_as_it_was_fixed(log10_p, told):
    assert wording.threshold(log10_p) == told


def test_the_power_of_a_rank_is_a_place_only_where_models_were_ranked():
    """A share of compared features is no share of control lineages, though both stand in the same field."""
    finding = next(
        outcome
        for outcome in sample.recorded_answers().outcomes
        if isinstance(outcome, Finding) and outcome.null is Null.POPULATION
    )
    finding = msgspec.structs.replace(finding, power=Power(threshold_log10_p=-1.301, detectable_share=0.625))
    assert "control lineages" in wording.power_told(finding, True)
    assert "(p = 0.05) a share of 0.63 of what was compared" in wording.power_told(finding, False)
