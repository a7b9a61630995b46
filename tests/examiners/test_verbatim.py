"""Answers passed on word for word: the truth is what the models were made to repeat."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from filiation.evidence import Examination, Finding, Inconclusive, Outcome, canonical
from filiation.examiners import verbatim
from filiation.investigation import compare, judge_again
from filiation.report.wording import forbidden_words
from studies import alpaca_eval
from tests.examiners.recorded_students import PROMPTS, compared, model


@pytest.fixture(scope="module")
def controls() -> list[pl.DataFrame]:
    return [model(f"c{n}", lab=f"lab {n % 15}") for n in range(32)]


def by_test(examination: Examination) -> dict[str, Outcome]:
    return {outcome.test: outcome for outcome in examination.outcomes}


def test_a_model_that_passes_on_a_tenth_of_the_answers_stands_alone(
    tmp_path: Path, controls: list[pl.DataFrame]
) -> None:
    seen = by_test(compared(tmp_path, [model("r"), model("s", repeats="r", share=0.1), *controls], "verbatim"))
    for test in verbatim.TESTS:
        found = seen[test.id]
        assert isinstance(found, Finding), found.reason
        assert found.count == 0
        assert found.log10_p <= math.log10(0.05)
        assert [row for row in found.components if row.kind == "shared text"]


def test_where_nobody_shares_a_text_there_is_nothing_to_rank(tmp_path: Path, controls: list[pl.DataFrame]) -> None:
    for outcome in compared(tmp_path, [model("r"), model("s"), *controls], "verbatim").outcomes:
        assert isinstance(outcome, Inconclusive)
        assert outcome.reason == verbatim.NOTHING
        assert not forbidden_words(outcome.reason)
        assert len([row for row in outcome.components if row.kind == "control"]) == len(controls)


def test_a_suspect_without_shared_texts_has_p_of_one_where_a_control_shares_some(
    tmp_path: Path, controls: list[pl.DataFrame]
) -> None:
    holder = model("holder", repeats="r", share=0.2)
    for outcome in compared(tmp_path, [model("r"), model("s"), holder, *controls], "verbatim").outcomes:
        assert isinstance(outcome, Finding), outcome.reason
        assert outcome.log10_p == 0
        assert outcome.count == outcome.opportunities


def test_what_an_unrelated_control_gives_too_does_not_count(tmp_path: Path, controls: list[pl.DataFrame]) -> None:
    reference, suspect, third = model("r"), model("s", repeats="r", share=0.3), model("third")
    texts = zip(reference["text"], suspect["text"], third["text"], strict=True)
    third = third.with_columns(text=pl.Series([one if one == other else own for one, other, own in texts]))
    frames = [reference, suspect, third, *controls]
    for outcome in compared(tmp_path, frames, "verbatim").outcomes:
        assert isinstance(outcome, Inconclusive)
        assert outcome.reason == verbatim.NOTHING
        (told,) = [each for each in outcome.companions if each.name == "shared texts"]
        assert told.value.startswith("0 of ")


def test_the_record_holds_no_text(tmp_path: Path, controls: list[pl.DataFrame]) -> None:
    frames = [model("r"), model("s", repeats="r"), *controls]
    written = compared(tmp_path, frames, "verbatim").to_json().decode()
    assert "p3w" not in written
    assert "question" not in written


def test_judging_from_the_record_gives_the_same_bytes(tmp_path: Path, controls: list[pl.DataFrame]) -> None:
    seen = compared(tmp_path, [model("r"), model("s", repeats="r", share=0.2), *controls], "verbatim")
    again = judge_again(Examination.from_json(seen.to_json()))
    assert canonical(again.outcomes) == canonical(seen.outcomes)
    assert again.digest == seen.digest


def test_it_declines_with_too_few_controls_and_says_so_in_allowed_words(
    tmp_path: Path, controls: list[pl.DataFrame]
) -> None:
    for outcome in compared(tmp_path, [model("r"), model("s", repeats="r"), *controls[:5]], "verbatim").outcomes:
        assert isinstance(outcome, Inconclusive)
        assert "too few unrelated controls" in outcome.reason
    told = [verbatim.QUESTION, *verbatim.LIMITATIONS, *verbatim.ASSUMPTIONS]
    told += [text for test in verbatim.TESTS for text in (test.alternative, test.relation_class)]
    assert not [text for text in told if forbidden_words(text)]


def test_no_more_than_the_prompts_shown_are_listed(tmp_path: Path, controls: list[pl.DataFrame]) -> None:
    found = compared(tmp_path, [model("r"), model("s", repeats="r"), *controls], "verbatim").outcomes[0]
    assert isinstance(found, Finding)
    rows = [row for row in found.components if row.kind == "shared text"]
    assert len(rows) == verbatim.SHOWN + 1
    assert rows[-1].note == str(PROMPTS - verbatim.SHOWN)


@pytest.mark.real_data
@pytest.mark.skipif(not alpaca_eval.present(), reason="the recorded answers are not on this machine")
def test_a_public_corrector_holds_long_answers_of_gpt_4(tmp_path: Path) -> None:
    """Known from the recorded answers: one 'aligner' gives GPT-4's long answers; controls come from the shipped pack."""
    file = tmp_path / "two.parquet"
    pair = ["gpt4_1106_preview", "aligner-2b_qwen1.5-72b-chat"]
    alpaca_eval.load().frame.filter(pl.col("model").is_in(pair)).write_parquet(file)
    seen = by_test(compare(*(f"transcripts:{file}#{name}" for name in pair), only=["verbatim"]))
    answers = seen["verbatim.answers"]
    assert isinstance(answers, Finding), answers.reason
    assert answers.count == 0
    assert answers.log10_p <= math.log10(0.05)
    # Packs hold nothing of passages, and the two alone are no line-up.
    assert isinstance(seen["verbatim.passages"], Inconclusive)
