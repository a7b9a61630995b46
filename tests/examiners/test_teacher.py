"""Students that open their answers as a teacher does: the truth is whom they were made to follow."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from filiation.evidence import Examination, Finding, Inconclusive, Outcome, canonical
from filiation.examiners import teacher
from filiation.investigation import judge_again
from filiation.report.wording import forbidden_words
from tests.examiners.recorded_students import compared, model

CANDIDATES = "T,U"


@pytest.fixture(scope="module")
def controls() -> list[pl.DataFrame]:
    vendors = [model("t2", opens_like="t1", share=0.5, lab="T"), *(model(f"u{n}", lab="U") for n in range(3))]
    return [*vendors, *(model(f"c{n}", lab=f"lab {n % 15}") for n in range(45))]


def examined(
    folder: Path, controls: list[pl.DataFrame], suspect: pl.DataFrame, reference_lab: str = "T", **settings: str
) -> dict[str, Outcome]:
    frames = [model("t1", lab=reference_lab), suspect, *controls]
    seen = compared(folder, frames, "teacher", **{"candidates": CANDIDATES, **settings})
    return {outcome.test: outcome for outcome in seen.outcomes}


def which(outcome: Outcome) -> str:
    assert isinstance(outcome, Finding | Inconclusive)
    return next(beside.value for beside in outcome.companions if beside.name == "which of the candidates")


def test_a_student_leans_to_its_teacher_and_to_the_teachers_vendor(
    tmp_path: Path, controls: list[pl.DataFrame]
) -> None:
    seen = examined(tmp_path, controls, model("s", opens_like="t1", share=0.6))
    for outcome in seen.values():
        assert isinstance(outcome, Finding), outcome.reason
        assert outcome.count == 0
        assert outcome.log10_p <= math.log10(0.05)
    assert which(seen["teacher.vendor"]) == "T"


def test_a_student_of_another_candidate_does_not_lean_to_this_one(tmp_path: Path, controls: list[pl.DataFrame]) -> None:
    seen = examined(tmp_path, controls, model("s", opens_like="u1", share=0.6))
    outcome = seen["teacher.vendor"]
    assert isinstance(outcome, Finding)
    assert outcome.log10_p == 0
    assert which(outcome) == "U"


def test_a_student_of_nobody_is_told_none_of_these(tmp_path: Path, controls: list[pl.DataFrame]) -> None:
    for name in ("s", "another"):
        assert which(examined(tmp_path, controls, model(name))["teacher.vendor"]) == teacher.NONE_OF_THESE


def test_many_candidates_have_to_be_paid_for(tmp_path: Path, controls: list[pl.DataFrame]) -> None:
    """The student of before: with the labs of eight controls as candidates too, ten times p is above the threshold."""
    many = ",".join(["T", "U", *(f"lab {n}" for n in range(8))])
    outcome = examined(tmp_path, controls, model("s", opens_like="t1", share=0.6), candidates=many)["teacher.vendor"]
    assert which(outcome) == teacher.NONE_OF_THESE
    assert isinstance(outcome, Finding)
    assert any("too few lineages for so many candidates" in beside.note for beside in outcome.companions)


def test_without_a_declared_lab_the_vendor_is_not_told(tmp_path: Path, controls: list[pl.DataFrame]) -> None:
    frames = [model("t1").with_columns(lab=pl.lit("")), model("s", opens_like="t1"), *controls]
    outcome = compared(tmp_path, frames, "teacher", candidates=CANDIDATES).outcomes[1]
    assert isinstance(outcome, Inconclusive)
    assert "lab was not declared" in outcome.reason


def test_judging_from_the_record_gives_the_same_bytes(tmp_path: Path, controls: list[pl.DataFrame]) -> None:
    seen = compared(
        tmp_path, [model("t1", lab="T"), model("s", opens_like="t1"), *controls], "teacher", candidates=CANDIDATES
    )
    again = judge_again(Examination.from_json(seen.to_json()))
    assert canonical(again.outcomes) == canonical(seen.outcomes)
    assert again.digest == seen.digest


def test_it_speaks_in_allowed_words() -> None:
    told = [teacher.QUESTION, *teacher.LIMITATIONS, *teacher.ASSUMPTIONS]
    told += [text for test in teacher.TESTS for text in (test.alternative, test.relation_class)]
    assert not [text for text in told if forbidden_words(text)]
