"""The examiner `service`: what it counts, when it declines, and that only differences speak."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.evidence import Finding, Inconclusive, Null, Outcome, Relation, RelationPower, Relations, canonical
from filiation.examiners import service
from filiation.examiners.examiner import Subject
from filiation.report.wording import forbidden_words
from filiation.sources.transcripts import SCHEMA, TranscriptSource, prompt_id
from filiation.statistics.coincidences import log_binomial_tail
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount, empty

CHANCES = {"samples": 0.65, "answers": 0.5, "margins": 0.1, "log-probabilities": 0.1}
REGISTER = Calibration(
    examiner="service",
    entries=tuple(
        RegisterEntry(
            test=f"service.{kind}",
            null=Null.MODEL,
            formula_version="1",
            chance=chance,
            detection_log10_p=-3.0,
            validated_for=("transcript",),
            strangers=(StrangerCount(kind="made up", lineages=9, exceeding=0, tests=27, largest_share=0.1),),
            relatives=(RelationPower(relation="another model", detected=9, lineages=9),),
            calibrated_on="made up",
            date="2026-11-21",
            tried=(),
            made_by="hand",
        )
        for kind, chance in CHANCES.items()
    ),
)
GREEDY = {"temperature": 0, "max_tokens": 32}
PROMPTS = [f"prompt {number}" for number in range(40)]


def spoken(*tokens: tuple[str, float, float]) -> str:
    """Log-probabilities as recorded: token, its own, and that of the next likeliest, 'other'."""
    return json.dumps([[token, own, [[token, own], ["other", next_one]]] for token, own, next_one in tokens])


def transcript(
    file: Path,
    answers: list[str | list[str]],
    parameters: dict[str, Any] | None = None,
    log_probabilities: list[str] | None = None,
) -> TranscriptSource:
    rows = []
    for at, answer in enumerate(answers):
        for sample, text in enumerate([answer] if isinstance(answer, str) else answer):
            rows.append(
                dict.fromkeys(SCHEMA)
                | {
                    "model": file.stem,
                    "lineage": "",
                    "lab": "",
                    "item": "",
                    "prompt_id": prompt_id(PROMPTS[at]),
                    "prompt": PROMPTS[at],
                    "sample": sample,
                    "text": text,
                    "parameters": json.dumps(GREEDY if parameters is None else parameters),
                    "log_probabilities": log_probabilities[at] if log_probabilities else None,
                    "source_sha256": "",
                }
            )
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(file)
    return TranscriptSource(file)


def related(reference: TranscriptSource, suspect: TranscriptSource, **parameters: Any) -> Relation:
    subjects = []
    for source in (reference, suspect):
        seen = service.observe(source)
        subjects.append(Subject(source=source, observation=seen, parameters=parameters))  # type: ignore[arg-type]
    found = service.relate(subjects[0], subjects[1], 5)
    assert isinstance(found, Relation), found
    return found


def judged(reference: TranscriptSource, suspect: TranscriptSource, **parameters: Any) -> dict[str, Outcome]:
    relations = Relations(pair=related(reference, suspect, **parameters))
    return {outcome.test.removeprefix("service."): outcome for outcome in service.judge(relations, (), REGISTER)}


def test_the_same_answers_never_count_and_nothing_is_said_of_identity(tmp_path: Path) -> None:
    same = [f"an answer to {prompt}" for prompt in PROMPTS]
    found = judged(transcript(tmp_path / "a.parquet", same), transcript(tmp_path / "b.parquet", same))
    finding = found["answers"]
    assert isinstance(finding, Finding)
    assert (finding.count, finding.opportunities, finding.log10_p) == (0, 40, 0.0)
    assert "never says 'the same'" in finding.reason
    assert any("never identity" in limit for limit in finding.limitations)


def test_other_answers_reach_the_exact_binomial_tail(tmp_path: Path) -> None:
    ours, theirs = ([f"{who} answer to {prompt}" for prompt in PROMPTS] for who in ("our", "their"))
    finding = judged(transcript(tmp_path / "a.parquet", ours), transcript(tmp_path / "b.parquet", theirs))["answers"]
    assert isinstance(finding, Finding)
    expected = log_binomial_tail(40, 40, 0.5, 0.5) / math.log(10)
    assert finding.count == 40
    assert expected <= finding.log10_p <= expected + 0.001
    assert finding.log10_e <= -finding.log10_p


def test_answers_that_part_late_do_not_count(tmp_path: Path) -> None:
    long = "x" * service.LETTERS
    ours, theirs = [f"{long} a" for _ in PROMPTS], [f"{long} b" for _ in PROMPTS]
    finding = judged(transcript(tmp_path / "a.parquet", ours), transcript(tmp_path / "b.parquet", theirs))["answers"]
    assert isinstance(finding, Finding)
    assert finding.count == 0


def test_only_clear_choices_count_as_margins(tmp_path: Path) -> None:
    """Half of the prompts part at a near tie, a quarter at a clear choice, a quarter not at all."""
    ours = ["one two"] * 40
    clear = spoken(("one", -0.1, -4.0), (" two", -0.2, -2.0))
    tied = spoken(("one", -0.1, -4.0), (" two", -0.7, -0.8))
    reference = transcript(tmp_path / "a.parquet", ours, None, [tied] * 20 + [clear] * 20)
    suspect = transcript(tmp_path / "b.parquet", ["one other"] * 30 + ["one two"] * 10)
    found = judged(reference, suspect)
    assert isinstance(found["margins"], Finding)
    assert (found["margins"].count, found["margins"].opportunities) == (10, 40)
    assert isinstance(found["log-probabilities"], Inconclusive)
    assert isinstance(found["samples"], Inconclusive)


def test_log_probabilities_far_apart_count_even_where_the_words_agree(tmp_path: Path) -> None:
    near, far = spoken(("one", -0.10, -3.0)), spoken(("one", -0.9, -1.0))
    reference = transcript(tmp_path / "a.parquet", ["one"] * 40, None, [near] * 40)
    suspect = transcript(tmp_path / "b.parquet", ["one"] * 40, None, [far] * 30 + [near] * 10)
    found = judged(reference, suspect)["log-probabilities"]
    assert isinstance(found, Finding)
    assert (found.count, found.opportunities) == (30, 40)


def test_sampled_answers_of_another_voice_are_told_apart(tmp_path: Path) -> None:
    hot = {"temperature": 1, "max_tokens": 32}
    ours = [[f"well {sample} this is {at}" for sample in range(3)] for at in range(40)]
    theirs = [[f"sure {sample} that was {at}" for sample in range(3)] for at in range(40)]
    found = judged(transcript(tmp_path / "a.parquet", ours, hot), transcript(tmp_path / "b.parquet", theirs, hot))
    assert isinstance(found["samples"], Finding)
    assert found["samples"].opportunities == 120
    assert found["samples"].log10_p < -10
    assert isinstance(found["answers"], Inconclusive)


# ------------------------------------------------------------------------------------------------------------ declining


@pytest.mark.parametrize(
    ("ours", "theirs", "word"),
    [
        (GREEDY, GREEDY | {"system": "Be brief."}, "differ"),
        (GREEDY, GREEDY | {"max_tokens": 16}, "differ"),
        (GREEDY, {"temperature": 0.7, "max_tokens": 32}, "differ"),
        ({}, {}, "do not state"),
        (GREEDY, {}, "do not state"),
    ],
)
def test_other_or_unknown_parameters_are_not_examined(
    ours: dict[str, Any], theirs: dict[str, Any], word: str, tmp_path: Path
) -> None:
    answers = ["a"] * 40
    found = judged(
        transcript(tmp_path / "a.parquet", answers, ours), transcript(tmp_path / "b.parquet", answers, theirs)
    )
    assert all(isinstance(outcome, Inconclusive) and word in outcome.reason for outcome in found.values())
    assert all("system prompt" in outcome.reason for outcome in found.values())


def test_where_and_how_often_was_asked_is_no_parameter(tmp_path: Path) -> None:
    there = GREEDY | {"endpoint": "openai:m@http://a/v1", "served": "m-1", "seed": 3, "temperature": 0.0}
    found = judged(
        transcript(tmp_path / "a.parquet", ["a"] * 40), transcript(tmp_path / "b.parquet", ["a"] * 40, there)
    )
    assert isinstance(found["answers"], Finding)


def test_without_a_register_nothing_is_said(tmp_path: Path) -> None:
    pair = related(transcript(tmp_path / "a.parquet", ["a"] * 40), transcript(tmp_path / "b.parquet", ["b"] * 40))
    outcomes = service.judge(Relations(pair=pair), (), empty("service"))
    assert all(isinstance(outcome, Inconclusive) and "not validated" in outcome.reason for outcome in outcomes)


def test_looks_are_paid_for(tmp_path: Path) -> None:
    reference, suspect = (transcript(tmp_path / f"{who}.parquet", [who] * 40) for who in "ab")
    once, often = judged(reference, suspect)["answers"], judged(reference, suspect, looks="10,20,30,40")["answers"]
    assert isinstance(once, Finding)
    assert isinstance(often, Finding)
    assert often.log10_p == pytest.approx(once.log10_p + math.log10(4), abs=0.002)
    assert (often.multiplicity.searched, often.multiplicity.log10_cost) == (4, pytest.approx(math.log10(4), abs=1e-6))


def test_the_record_decides_alone_and_words_are_kept(tmp_path: Path) -> None:
    reference, suspect = (transcript(tmp_path / f"{who}.parquet", [who] * 40) for who in "ab")
    pair = related(reference, suspect)
    first = service.judge(Relations(pair=pair), (), REGISTER)
    assert canonical(first) == canonical(service.judge(Relations(pair=related(reference, suspect)), (), REGISTER))
    texts = [service.QUESTION, *service.LIMITATIONS, *service.ASSUMPTIONS, *(outcome.reason for outcome in first)]
    assert [word for text in texts for word in forbidden_words(text)] == []


# ------------------------------------------------------------------------------------------------------------- measures

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)


@given(TEXTS, TEXTS)
@settings(deadline=None)
def test_letters_in_common_is_symmetric_and_full_only_for_equal_texts(one: str, other: str) -> None:
    found = service.letters_in_common(one, other)
    assert found == service.letters_in_common(other, one)
    assert service.letters_in_common(one, one) == -1
    if found >= 0:
        assert found <= min(len(one), len(other)) + 30


@given(st.text(max_size=200))
@settings(deadline=None)
def test_hostile_log_probabilities_and_parameters_are_no_error(text: str) -> None:
    row = {"log_probabilities": text, "text": text}
    assert service.distances(row, row) == (-2, -2)
    assert isinstance(json.loads(service._setting(text)), dict)


@pytest.mark.parametrize("broken", ["[1]", '[["a"]]', '[["a", "b"]]', '[[1, -0.5]]', '[["a", -1, 3]]', '[["a", -1, [["b"]]]]',
                                    '[["a", -1, [["b", null]]]]', '[["a", NaN, []]]'])  # fmt: skip
def test_log_probabilities_of_another_shape_are_left_out(broken: str) -> None:
    row = {"log_probabilities": broken, "text": "other"}
    assert service.distances(row, row) == (-2, -2)
