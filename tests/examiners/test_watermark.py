"""The examiner of watermarks. Truth is by construction: the key is drawn here, and whoever knows it writes under it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.stats import kstest

from filiation.evidence import Absent, Finding, Inconclusive, Outcome, Relation, Relations
from filiation.examiners import watermark
from filiation.examiners.examiner import Subject
from filiation.lots import stream
from filiation.measures.radioactivity import closed_windows
from filiation.measures.watermarks import (
    GreenListKey,
    GumbelKey,
    SynthIDKey,
    VllmGumbelKey,
    WatermarkKey,
    g_values,
    key_from,
    reading,
    recorded,
)
from filiation.sources.joined import JoinedSource
from filiation.sources.marks import NONE
from filiation.sources.open import open_source
from filiation.statistics.register import empty
from filiation.statistics.watermark_tails import log10_p_of, read_score
from tests.lots.world import opened_lot
from tests.marked import ANSWERS, MARKS
from tests.marked.watermark import WORDS, Language, answering, lot_of, parroting, row, spelt, texts_of, write

LANGUAGE = Language()
SCHEMES: dict[str, WatermarkKey] = {
    "green list, lefthash": GreenListKey(vocabulary=WORDS, hashing_key=1),
    "green list, selfhash": GreenListKey(vocabulary=WORDS, hashing_key=1, seeding_scheme="selfhash", context_width=3),
    "SynthID": SynthIDKey(keys=(0,) * 10, ngram_len=3),
    "Gumbel": GumbelKey(secret="00" * 32, context_width=2),
    "vLLM": VllmGumbelKey(key=0, context_width=2),
}
PROMPTS = np.random.default_rng(2).integers(WORDS, size=(20, 4)).tolist()


def picking(key: WatermarkKey) -> Callable[[Sequence[int], np.random.Generator], int]:
    """Of six words of the language, the one that the key likes best."""

    def say(said: Sequence[int], rng: np.random.Generator) -> int:
        candidates = rng.choice(WORDS, size=6, p=LANGUAGE.chances[said[-1]])
        windows = np.array([[*said[-(key.window - 1) :], word] for word in candidates], dtype=np.int64)
        if isinstance(key, SynthIDKey):
            liked = g_values(windows, key).sum(axis=1).tolist()
        else:
            liked = [reading(window[None], key).score for window in windows]
        return int(candidates[int(np.argmax(liked))])

    return say


@cache
def marks_of(folder: Path, scheme: str) -> tuple[Path, WatermarkKey]:
    lot = lot_of(folder / scheme.replace(" ", "-"), 3, SCHEMES[scheme])
    return folder / scheme.replace(" ", "-") / MARKS, key_from(lot.subject, stream(lot))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marks")


def examined(
    marks: Path, folder: Path, rows: Sequence[dict[str, Any]], **parameters: bool | int | str
) -> Relation | Absent:
    """The relation of the marks and the suspect 's' of these rows."""
    write(folder, rows)
    sources = [open_source(f"marks:{marks}"), open_source(f"transcripts:{folder / ANSWERS}#s")]
    subjects = []
    for source in sources:
        seen = watermark.observe(source)
        if isinstance(seen, Absent):
            return seen
        subjects.append(Subject(source=source, observation=seen, parameters={**watermark.PARAMETERS, **parameters}))
    return watermark.relate(subjects[0], subjects[1], 0)


def judged(relation: Relation | Absent, controls: Sequence[Relation] = ()) -> Outcome:
    assert isinstance(relation, Relation), relation
    (outcome,) = watermark.judge(
        Relations(pair=relation, reference_by_control=tuple(controls)), (), empty(watermark.NAME)
    )
    return outcome


def found(relation: Relation | Absent) -> Finding:
    outcome = judged(relation)
    assert isinstance(outcome, Finding), outcome.reason
    return outcome


def rows_of(pairs: Sequence[tuple[str, str]], **fields: Any) -> list[dict[str, Any]]:
    return [row("s", prompt, text, **fields) for prompt, text in pairs]


# ------------------------------------------------------------------------------------------------------------ schemes


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_found_under_its_key_and_only_there(scheme: str, place: Path, tmp_path: Path) -> None:
    marks, key = marks_of(place, scheme)
    rng = np.random.default_rng(1)
    answers = {
        "marked": answering(picking(key), PROMPTS, 40, 4),
        "another key": answering(picking(key.another(lambda below: int(rng.integers(below)))), PROMPTS, 40, 5),
    }
    figures = {}
    for who, pairs in answers.items():
        finding = found(examined(marks, tmp_path, rows_of(pairs), unmarked=True))
        figures[who] = finding.log10_p
        assert finding.assumptions[0].startswith("The key (SHA-256")
        assert "certificates with the SHA-256 fingerprints" in finding.assumptions[1]
        assert "No prompt holds text that was marked under this key." in finding.assumptions
    assert figures["marked"] < -6.0
    assert figures["another key"] > -3.0


def test_prompts_are_taken_for_marked_unless_somebody_knows_better(place: Path, tmp_path: Path) -> None:
    """One word of context: with every word somewhere in a prompt, no context is left, and that is said."""
    marks, key = marks_of(place, "green list, lefthash")
    every_word = [(spelt(range(WORDS)), text) for _, text in answering(picking(key), PROMPTS[:1], 400, 4)]
    relation = examined(marks, tmp_path, rows_of(every_word))
    assert isinstance(relation, Absent)
    assert "every context stands in what the suspect had read" in relation.reason
    assert found(examined(marks, tmp_path, rows_of(every_word), unmarked=True)).log10_p < -6.0


def test_a_parrot_is_not_accused_and_where_it_could_be_there_is_no_figure(place: Path, tmp_path: Path) -> None:
    for scheme in ("Gumbel", "SynthID"):
        marks, key = marks_of(place, scheme)
        relation = examined(marks, tmp_path, rows_of(parroting(texts_of(picking(key), 20, 30, 8))))
        outcome = judged(relation)
        if scheme == "Gumbel":
            assert isinstance(outcome, Finding)
            assert outcome.log10_p > -2.0
        else:
            assert isinstance(outcome, Inconclusive)
            assert "the prompts carry the mark themselves" in outcome.reason


@pytest.mark.parametrize("scheme", ["SynthID", "green list, selfhash", "Gumbel"])
def test_a_parrot_of_quotes_among_much_unmarked_text_is_not_accused(scheme: str, place: Path, tmp_path: Path) -> None:
    """All prompts together hardly carry the mark, so that no premise seems broken; the suspect repeats the quotes alone."""
    marks, key = marks_of(place, scheme)
    quotes = texts_of(picking(key), 20, 30, 8)
    around = texts_of(LANGUAGE.plain, 20, 600, 9)
    pairs = [(f"{spelt(plain)} {spelt(quote)}", spelt(quote)) for plain, quote in zip(around, quotes, strict=True)]
    relation = examined(marks, tmp_path, rows_of(pairs), unmarked=True)
    if isinstance(relation, Absent):
        return
    outcome = judged(relation)
    assert not isinstance(outcome, Finding) or outcome.log10_p > -3.0


def test_everything_that_stood_before_the_suspect_counts_as_read(place: Path, tmp_path: Path) -> None:
    """The marked text stands in an earlier message, or in the system prompt, and the answer repeats it."""
    marks, key = marks_of(place, "Gumbel")
    pairs = parroting(texts_of(picking(key), 20, 30, 8))
    in_messages = [
        row(
            "s",
            json.dumps([{"role": "user", "content": text}, {"role": "user", "content": f"Again, number {at}"}]),
            said,
        )
        for at, (text, said) in enumerate(pairs)
    ]
    in_system = [
        row("s", f"w1 w2 w{at}", said, parameters=json.dumps({"system": text})) for at, (text, said) in enumerate(pairs)
    ]
    for rows in (in_messages, in_system):
        relation = examined(marks, tmp_path, rows)
        assert isinstance(relation, Absent) or found(relation).log10_p > -2.0
    unread = [row("s", f"w1 w2 w{at}", said) for at, (_, said) in enumerate(pairs)]
    assert found(examined(marks, tmp_path, unread)).log10_p < -6.0


def test_a_token_beyond_the_vocabulary_stops_nothing(tmp_path: Path) -> None:
    """A suspect that writes one word more than the marked model has: its windows say nothing, the others what they said."""
    settings = GreenListKey(vocabulary=WORDS - 1, hashing_key=1)
    lot_of(tmp_path, 3, settings)
    rng = np.random.default_rng(1)
    known = [
        (spelt(prompt), spelt(rng.integers(WORDS - 1, size=30))) for prompt in rng.integers(9, size=(10, 4)).tolist()
    ]
    strange = [(f"w1 w2 w{WORDS - 1}", spelt([WORDS - 1, 3, WORDS - 1]))]
    without, with_it = (
        examined(tmp_path / MARKS, tmp_path, rows_of(pairs), unmarked=True) for pairs in (known, known + strange)
    )
    assert isinstance(without, Relation)
    assert isinstance(with_it, Relation)
    assert with_it.content["score"] == without.content["score"]
    assert with_it.content["seen"]["answers"] == without.content["seen"]["answers"] + 1


def test_p_is_uniform_over_the_keys_that_could_have_been_drawn() -> None:
    """One stranger's answers, 300 keys: Kolmogorov-Smirnov."""
    rng = np.random.default_rng(11)
    windows = closed_windows(PROMPTS, texts_of(LANGUAGE.plain, 20, 40, 9), SCHEMES["Gumbel"], read_was_marked=True)
    p = []
    for _ in range(300):
        key = SCHEMES["Gumbel"].another(lambda below: int(rng.integers(below)))
        p.append(10 ** log10_p_of(read_score(recorded(reading(windows, key))), key.log10_keys))
    assert kstest(p, "uniform").pvalue > 0.001


# --------------------------------------------------------------------------------------------------------- what is said


@pytest.fixture(scope="module")
def marked(place: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Relation]:
    marks, key = marks_of(place, "Gumbel")
    pairs = answering(picking(key), PROMPTS, 30, 4)
    relation = examined(marks, tmp_path_factory.mktemp("marked"), rows_of(pairs))
    assert isinstance(relation, Relation)
    return marks, relation


def test_what_was_searched_is_paid_for(marked: tuple[Path, Relation]) -> None:
    once = found(marked[1])
    settings = marked[1].content["settings"] | {"considered": 10}
    dearer = msgspec.structs.replace(marked[1], content=marked[1].content | {"settings": settings, "commitments": 5})
    often = found(dearer)
    assert (once.multiplicity.searched, often.multiplicity.searched) == (2, 100)
    assert often.log10_p == pytest.approx(once.log10_p + math.log10(50), abs=0.0011)
    assert often.log10_e == pytest.approx(once.log10_e - math.log10(50), abs=0.0011)
    assert often.power.detectable_share >= once.power.detectable_share


def test_the_owner_s_own_number_of_lots_is_the_least_that_is_paid_for(
    marked: tuple[Path, Relation], tmp_path: Path
) -> None:
    key = marks_of(marked[0].parent.parent, "Gumbel")[1]
    rows = rows_of(answering(picking(key), PROMPTS, 30, 4))
    for said, counted in ((1, 1), (7, 7)):
        relation = examined(marked[0], tmp_path, rows, commitments=said)
        assert isinstance(relation, Relation)
        assert relation.content["commitments"] == counted


def test_an_unrelated_model_with_the_mark_leaves_no_figure(marked: tuple[Path, Relation]) -> None:
    outcome = judged(marked[1], [marked[1]])
    assert isinstance(outcome, Inconclusive)
    assert outcome.reason.startswith("a premise is broken: the unrelated model s carries the mark as well")
    assert "control s" in {companion.name for companion in outcome.companions}


def test_placebo_keys_that_do_as_well_as_the_law_says_none_does_leave_no_figure(marked: tuple[Path, Relation]) -> None:
    content = marked[1].content | {"placebo": {"keys": 199, "reaching": 3}}
    outcome = judged(msgspec.structs.replace(marked[1], content=content))
    assert isinstance(outcome, Inconclusive)
    assert "keys that nobody used" in outcome.reason


def test_a_finding_does_not_tell_the_marked_model_from_its_student(marked: tuple[Path, Relation]) -> None:
    finding = found(marked[1])
    assert watermark.EITHER in finding.limitations
    assert [companion.name for companion in finding.companions] == ["placebo keys", "the prompts"]
    assert finding.companions[0].value == "0 of 199"
    assert finding.resolution_log10_p == pytest.approx(math.log10(2) - 256 * math.log10(2), abs=0.002)


def test_nothing_secret_and_nothing_long_is_recorded(marked: tuple[Path, Relation]) -> None:
    key = marks_of(marked[0].parent.parent, "Gumbel")[1]
    assert isinstance(key, GumbelKey)
    told = msgspec.json.encode(marked[1])
    assert key.secret.encode() not in told
    assert len(told) < 4_000


def test_only_the_first_answer_to_a_prompt_that_is_known_is_looked_at(place: Path, tmp_path: Path) -> None:
    marks, key = marks_of(place, "Gumbel")
    rows = rows_of(answering(picking(key), PROMPTS, 30, 4))
    again = [each | {"sample": 1, "text": "w1 w1 w1 w1"} for each in rows]
    unknown = [each | {"prompt": "", "prompt_id": f"item {at}"} for at, each in enumerate(rows)]
    read = [each | {"prompt_id": f"read {at}", "finish_reason": "read"} for at, each in enumerate(rows)]
    plain, full = (examined(marks, tmp_path, given) for given in (rows, [*rows, *again, *unknown, *read]))
    assert isinstance(full, Relation)
    assert full.content["score"] == plain.content["score"]  # type: ignore[union-attr]
    assert full.content["seen"] == {"answers": 20, "further": 20, "unknown": 20}
    finding = found(full)
    assert {companion.name: companion.value for companion in finding.companions}["further answers"] == "20"
    assert any("whose text was not recorded are not looked at: 20" in limit for limit in finding.limitations)
    twice = examined(marks, tmp_path, [*rows, *(each | {"text": "zz"} for each in rows)])
    assert isinstance(twice, Relation)
    assert twice.content["score"] == plain.content["score"]  # type: ignore[union-attr]
    assert twice.content["seen"] == {"answers": 20, "further": 20, "unknown": 0}
    none = examined(marks, tmp_path, unknown)
    assert isinstance(none, Absent)
    assert "no answers to prompts whose text is known" in none.reason


# ------------------------------------------------------------------------------------------------------------- refusals


def with_file(marks: Path, folder: Path, name: str, data: bytes | None) -> Path:
    folder.mkdir()
    for file in marks.iterdir():
        if file.name != name:
            (folder / file.name).write_bytes(file.read_bytes())
    if data is not None:
        (folder / name).write_bytes(data)
    return folder


BROKEN: dict[str, tuple[str, Callable[[bytes], bytes | None]]] = {
    "another secret": ("secret.json", lambda data: data.replace(b'"secret":"', b'"secret":"00')),
    "other settings": ("settings.json", lambda data: data.replace(b'"context_width":2', b'"context_width":3')),
    "another tokenizer": ("tokenizer.json", lambda data: data + b" "),
    "no tokenizer": ("tokenizer.json", lambda data: None),
    "a stamp cut off": ("lot.a0.tsr", lambda data: data[:-30]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_lot_of_which_a_check_fails_gives_no_figure(case: str, place: Path, tmp_path: Path) -> None:
    marks, key = marks_of(place, "Gumbel")
    name, change = BROKEN[case]
    altered = with_file(marks, tmp_path / "marks", name, change((marks / name).read_bytes()))
    relation = examined(altered, tmp_path, rows_of(answering(picking(key), PROMPTS[:2], 20, 4)))
    assert isinstance(relation, Absent)
    assert relation.reason.strip()


def test_a_lot_of_another_purpose_is_no_watermark(tmp_path: Path) -> None:
    opened_lot(tmp_path / MARKS, "order", b'{"text":"one"}\n{"text":"two"}\n', 1)
    seen = watermark.observe(open_source(f"marks:{tmp_path / MARKS}"))
    assert isinstance(seen, Absent)
    assert "a key that could have been chosen afterwards shows nothing" in seen.reason
    assert "lot commit --purpose watermark" in seen.reason


def test_two_lots_are_two_looks(place: Path) -> None:
    both = [open_source(f"marks:{marks_of(place, scheme)[0]}") for scheme in ("Gumbel", "SynthID")]
    seen = watermark.observe(JoinedSource(both, name="ours"))
    assert isinstance(seen, Absent)
    assert "one at a time" in seen.reason


def test_a_fingerprint_that_is_not_the_owner_s_leaves_no_figure(place: Path, tmp_path: Path) -> None:
    marks, key = marks_of(place, "Gumbel")
    rows = rows_of(answering(picking(key), PROMPTS[:2], 20, 4))
    for trust in ({"keyid": "0" * 64}, {"authorities": "0" * 64}):
        relation = examined(marks, tmp_path, rows, **trust)
        assert isinstance(relation, Absent)


def test_answers_on_the_owner_s_side_are_no_marks(tmp_path: Path) -> None:
    write(tmp_path, rows_of([("w1 w2", "w3 w4")]))
    source = open_source(f"transcripts:{tmp_path / ANSWERS}#s")
    seen = watermark.observe(source)
    assert not isinstance(seen, Absent)
    subject = Subject(source=source, observation=seen, parameters={})
    assert watermark.relate(subject, subject, 0) == NONE
