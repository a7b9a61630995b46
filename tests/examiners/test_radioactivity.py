"""The examiner of radioactivity. Truth is by construction: students are counted out here, and whoever did not learn is a stranger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from filiation.evidence import Absent, Finding, Inconclusive, Outcome, Relation, Relations
from filiation.examiners import radioactivity
from filiation.examiners.examiner import Subject
from filiation.lots import stream
from filiation.measures.watermarks import SynthIDKey, WatermarkKey, key_from, settings_of
from filiation.sources.open import open_source
from filiation.statistics.register import empty
from tests.examiners.test_watermark import picking
from tests.lots.world import opened_lot
from tests.marked import ANSWERS, MARKS
from tests.marked.radioactivity import of_language, of_student, reading
from tests.marked.watermark import SETTINGS, Language, Student, lot_of, texts_of, write

LANGUAGE = Language()


@cache
def world(folder: Path, settings: WatermarkKey = SETTINGS) -> tuple[Path, WatermarkKey]:
    lot = lot_of(folder, 3, settings)
    return folder / MARKS, key_from(lot.subject, stream(lot))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marks")


@pytest.fixture(scope="module")
def student(place: Path) -> list[dict[str, Any]]:
    """What a student of marked text predicts in other marked text."""
    key = world(place)[1]
    learned = of_student(Student(texts_of(LANGUAGE.under(key), 200, 50, 3)))
    return [reading("s", text, learned) for text in texts_of(LANGUAGE.under(key), 20, 30, 4)]


def examined(marks: Path, folder: Path, rows: Sequence[dict[str, Any]], **parameters: Any) -> Relation | Absent:
    write(folder, rows)
    subjects = []
    for source in (open_source(f"marks:{marks}"), open_source(f"transcripts:{folder / ANSWERS}#s")):
        seen = radioactivity.observe(source)
        if isinstance(seen, Absent):
            return seen
        settings = {**radioactivity.PARAMETERS, **parameters}
        subjects.append(Subject(source=source, observation=seen, parameters=settings))
    return radioactivity.relate(subjects[0], subjects[1], 0)


def judged(relation: Relation | Absent) -> Outcome:
    assert isinstance(relation, Relation), relation
    outcome, _ = radioactivity.judge(Relations(pair=relation), (), empty(radioactivity.NAME))
    return outcome


def places(rows: Sequence[dict[str, Any]], change: Any) -> list[dict[str, Any]]:
    """The rows with what was recorded at their places changed."""
    return [each | {"log_probabilities": json.dumps(change(json.loads(each["log_probabilities"])))} for each in rows]


def test_a_student_is_found_and_the_language_itself_is_not(
    place: Path, student: list[dict[str, Any]], tmp_path: Path
) -> None:
    marks, key = world(place)
    finding = judged(examined(marks, tmp_path, student))
    assert isinstance(finding, Finding)
    assert finding.log10_p < -12.0
    texts = texts_of(LANGUAGE.under(key), 20, 30, 4)
    stranger = judged(examined(marks, tmp_path, [reading("s", text, of_language(LANGUAGE)) for text in texts]))
    assert isinstance(stranger, Finding)
    assert stranger.log10_p > -3.0
    assert {companion.name for companion in finding.companions} == {"placebo keys", "the texts read"}


def test_a_token_of_the_suspect_s_own_in_front_of_a_text_changes_nothing(
    place: Path, student: list[dict[str, Any]], tmp_path: Path
) -> None:
    marks, _ = world(place)
    plain = examined(marks, tmp_path, student)
    with_front = places(student, lambda read: [["<s>", None, []], [read[0][0], -1.0, [["w9", -0.5]]], *read[1:]])
    assert examined(marks, tmp_path, with_front).content["score"] == plain.content["score"]  # type: ignore[union-attr]


def test_a_text_that_was_cut_is_held_against_its_beginning(
    place: Path, student: list[dict[str, Any]], tmp_path: Path
) -> None:
    marks, _ = world(place)
    kept = [" ".join(each["prompt"].split()[:20]) for each in student]
    cut = places(student, lambda read: read[:20])
    told = [each | {"parameters": json.dumps({"cut_at_byte": len(part)})} for each, part in zip(cut, kept, strict=True)]
    shortened = examined(marks, tmp_path, told)
    assert isinstance(shortened, Relation)
    assert shortened.content["seen"]["texts"] == len(student)
    untold = examined(marks, tmp_path, cut)
    assert isinstance(untold, Absent), "fewer pieces than the text has are other tokens"


def test_texts_read_with_other_tokens_are_left_out_and_counted(
    place: Path, student: list[dict[str, Any]], tmp_path: Path
) -> None:
    marks, _ = world(place)
    other = places(student, lambda read: [[f"_{piece}", value, likeliest] for piece, value, likeliest in read])
    relation = examined(marks, tmp_path, other)
    assert isinstance(relation, Absent)
    assert "with other tokens" in relation.reason
    mixed = examined(marks, tmp_path, [*student[:15], *other[15:]])
    assert isinstance(mixed, Relation)
    assert mixed.content["seen"] == {"texts": 15, "further": 0, "other": 5}
    finding = judged(mixed)
    assert isinstance(finding, Finding)
    assert any("not looked at: 5" in limit for limit in finding.limitations)


def test_predictions_that_the_reference_has_no_token_for_are_not_judged(
    place: Path, student: list[dict[str, Any]], tmp_path: Path
) -> None:
    marks, _ = world(place)
    whole = examined(marks, tmp_path, student)
    foreign = places(student, lambda read: [*read[:15], *([a, b, [["elsewhere", -0.5]]] for a, b, _ in read[15:])])
    fewer = examined(marks, tmp_path, foreign)
    opportunities = [each.content["summary"]["radioactivity.predictions"]["opportunities"] for each in (fewer, whole)]  # type: ignore[union-attr]
    assert 0 < opportunities[0] < opportunities[1]


def test_a_second_reading_of_a_text_is_not_looked_at(
    place: Path, student: list[dict[str, Any]], tmp_path: Path
) -> None:
    marks, _ = world(place)
    again = places(
        [each | {"sample": 1} for each in student], lambda read: [[a, b, [["w1", -0.5]]] for a, b, _ in read]
    )
    both = examined(marks, tmp_path, [*student, *again])
    assert isinstance(both, Relation)
    assert both.content["seen"]["further"] == len(student)
    assert both.content["score"] == examined(marks, tmp_path, student).content["score"]  # type: ignore[union-attr]


def test_under_a_scheme_of_few_bits_only_unmarked_text_may_be_read(tmp_path: Path) -> None:
    marks, key = world(tmp_path, SynthIDKey(keys=(0,) * 10, ngram_len=3))
    texts = texts_of(picking(key), 30, 30, 5)
    outcome = judged(examined(marks, tmp_path, [reading("s", text, of_language(LANGUAGE)) for text in texts]))
    assert isinstance(outcome, Inconclusive)
    assert "the texts read carry the mark themselves" in outcome.reason
    unmarked = [reading("s", text, of_language(LANGUAGE)) for text in texts_of(LANGUAGE.plain, 30, 30, 6)]
    finding = judged(examined(marks, tmp_path, unmarked))
    assert isinstance(finding, Finding)
    assert "No text that was read is marked under this key." in finding.assumptions


DAMAGED = {
    "no JSON": "][",
    "no list": "3",
    "places without predictions": '[["w1"]]',
    "a prediction that is none": '[["w1", null, 7]]',
    "nothing": "[]",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_is_no_reading_is_left_out(case: str, place: Path, student: list[dict[str, Any]], tmp_path: Path) -> None:
    marks, _ = world(place)
    damaged = [*student[:10], *(each | {"log_probabilities": DAMAGED[case]} for each in student[10:])]
    relation = examined(marks, tmp_path, damaged)
    assert isinstance(relation, Relation)
    assert relation.content["seen"]["other"] == len(student) - 10


def test_answers_alone_are_for_the_other_examiner(place: Path, student: list[dict[str, Any]], tmp_path: Path) -> None:
    marks, _ = world(place)
    answered = [each | {"finish_reason": "stop", "text": "w1 w2"} for each in student]
    relation = examined(marks, tmp_path, answered)
    assert isinstance(relation, Absent)
    assert "filiation score --predictions" in relation.reason


def test_what_a_running_model_predicts_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    """An untrained model over bytes, made to read by `sources.scoring`: every text is taken, and nobody is accused."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from filiation.case.commitments import sha256_of
    from filiation.sources.running import load_model
    from filiation.sources.scoring import FixedText, Run, scored
    from studies.zoo.corpus import byte_tokenizer

    folder = tmp_path / "model"
    config = transformers.GPT2Config(
        vocab_size=256, n_positions=128, n_embd=32, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None
    )
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    tokenizer = (folder / "tokenizer.json").read_bytes()
    opened_lot(tmp_path / MARKS, "watermark", settings_of(SETTINGS, sha256_of(tokenizer)), 3, tokenizer)
    letters = np.random.default_rng(1).integers(97, 123, size=(8, 60))
    texts = [FixedText(f"t:{at}", bytes(row.tolist()).decode()) for at, row in enumerate(letters)]
    run = Run(name="s", lineage="", lab="", settings={}, predictions=True)
    rows = [each for part in scored(load_model(folder), texts, run) for each in part.frame.to_dicts()]
    relation = examined(tmp_path / MARKS, tmp_path, rows)
    assert isinstance(relation, Relation)
    assert relation.content["seen"] == {"texts": 8, "further": 0, "other": 0}
    finding = judged(relation)
    assert isinstance(finding, Finding)
    assert finding.opportunities > 100
    assert finding.log10_p > -4.0
