"""Shifts from a companion, as the examiner judges them. Truth is by construction: students are counted out here, and so are companions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from filiation.evidence import Absent, Finding, Inconclusive, NotExamined, Outcome, Relation, Relations
from filiation.examiners import radioactivity, shifted
from filiation.examiners.examiner import Subject
from filiation.lots import stream
from filiation.measures.watermarks import SynthIDKey, WatermarkKey, key_from, uniforms
from filiation.sources.open import open_source
from filiation.statistics.register import empty
from tests.examiners.test_watermark import picking
from tests.marked import ANSWERS, MARKS
from tests.marked.radioactivity import reading
from tests.marked.watermark import SETTINGS, WIDTH, WORDS, Language, Student, lot_of, texts_of, write

LANGUAGE = Language()
PLAIN = texts_of(LANGUAGE.plain, 700, 60, 3)
LIKELIEST = 12
Chances = Callable[[Sequence[int]], np.ndarray]


@cache
def world(folder: Path, settings: WatermarkKey = SETTINGS) -> WatermarkKey:
    lot = lot_of(folder, 3, settings)
    return key_from(lot.subject, stream(lot))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marks")


@pytest.fixture(scope="module")
def marked(place: Path) -> list[list[int]]:
    return texts_of(LANGUAGE.under(world(place)), 40, 40, 10)


def recorded(
    model: str, texts: Sequence[Sequence[int]], chances: Chances, most: int = LIKELIEST
) -> list[dict[str, Any]]:
    """What a model makes of each text, with so many of the likeliest words at each place."""
    rows = []
    for text in texts:
        places: list[list[Any]] = [[f"w{text[0]}", None, []]]
        for at in range(1, len(text)):
            found = chances(text[:at])
            best = np.argsort(-found, kind="stable")[:most]
            places.append([f"w{text[at]}", -1.0, [[f"w{word}", round(float(np.log(found[word])), 6)] for word in best]])
        rows.append(reading(model, text, lambda said: 0) | {"log_probabilities": json.dumps(places)})
    return rows


def counted(texts: Sequence[Sequence[int]]) -> Chances:
    student = Student(texts)
    return lambda said: student.chances(said) if len(said) >= WIDTH else np.full(WORDS, 1.0 / WORDS)


def leaning(chances: Chances, key: Any, strength: float) -> Chances:
    """The same chances, multiplied by u^strength: towards the key, or for a negative strength away from it."""

    @cache
    def numbers(context: tuple[int, ...]) -> np.ndarray:
        return uniforms(np.array([[*context, word] for word in range(WORDS)], dtype=np.int64), key)

    def leans(said: Sequence[int]) -> np.ndarray:
        if len(said) < WIDTH:
            return chances(said)
        found = chances(said) * numbers(tuple(said[-WIDTH:])) ** strength
        return found / found.sum()  # type: ignore[no-any-return]

    return leans


def examined(place: Path, folder: Path, rows: Sequence[dict[str, Any]], base: str = "base", **settings: Any) -> Outcome:
    """The outcome of the shift; every model whose name begins with 'control' stands beside."""
    folder.mkdir(exist_ok=True)
    write(folder, rows)
    settings = {**radioactivity.PARAMETERS, "suspect_base": f"transcripts:{folder / ANSWERS}#{base}", **settings}
    reference = _subject(f"marks:{place / MARKS}", settings)
    pair = radioactivity.relate(reference, _subject(f"transcripts:{folder / ANSWERS}#s", settings), 0)
    assert isinstance(pair, Relation), pair
    names = sorted({str(each["model"]) for each in rows if str(each["model"]).startswith("control")})
    controls = [
        radioactivity.relate(reference, _subject(f"transcripts:{folder / ANSWERS}#{name}", settings), 0)
        for name in names
    ]
    beside = tuple(each for each in controls if isinstance(each, Relation))
    outcomes = radioactivity.judge(Relations(pair=pair, reference_by_control=beside), (), empty(radioactivity.NAME))
    assert [each.test for each in outcomes] == [test.id for test in radioactivity.TESTS]
    return outcomes[1]


def _subject(location: str, settings: dict[str, Any]) -> Subject:
    source = open_source(location)
    seen = radioactivity.observe(source)
    assert not isinstance(seen, Absent), seen
    return Subject(source=source, observation=seen, parameters=settings)


BASE, INNOCENT = counted(PLAIN[:400]), counted(PLAIN[300:])


def test_a_student_of_a_little_marked_text_is_found_by_its_shift(
    place: Path, marked: list[list[int]], tmp_path: Path
) -> None:
    little = counted([*PLAIN[:360], *texts_of(LANGUAGE.under(world(place)), 40, 60, 4)])
    finding = examined(place, tmp_path, [*recorded("s", marked, little), *recorded("base", marked, BASE)])
    assert isinstance(finding, Finding)
    assert finding.log10_p < -6.0
    assert 0.0 < finding.log10_e <= -finding.log10_p + 1e-9
    assert finding.effect.value > 5.0
    assert finding.multiplicity.searched == 4
    assert any("The companion base" in premise for premise in finding.assumptions)
    assert any("No control was held" in limit for limit in finding.limitations)
    assert any("who made the companion" in limit for limit in finding.limitations)
    assert {each.name for each in finding.companions} == {"placebo keys", "the companion base by itself"}


INNOCENTS: dict[str, Chances] = {
    "a student of other text": INNOCENT,
    "a model of another language": counted(texts_of(Language(seed=2).plain, 200, 60, 7)),
    "one that says the same everywhere": lambda said: np.linspace(1.0, 2.0, WORDS) / np.linspace(1.0, 2.0, WORDS).sum(),
    "one that says the last word again": lambda said: np.where(np.arange(WORDS) == said[-1], 0.9, 0.1 / (WORDS - 1)),
}


@pytest.fixture
def few_placebo_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Placebo keys take most of the time, and tests of the law do not look at them."""
    monkeypatch.setattr(shifted, "AFFORDABLE", 0)


@pytest.mark.usefixtures("few_placebo_keys")
@pytest.mark.parametrize("kind", INNOCENTS)
@pytest.mark.parametrize("unmarked", [True, False])
def test_innocents_are_not_accused(
    kind: str, unmarked: bool, place: Path, marked: list[list[int]], tmp_path: Path
) -> None:
    texts = texts_of(LANGUAGE.plain, 40, 40, 11) if unmarked else marked
    rows = [
        *recorded("s", texts, INNOCENTS[kind]),
        *recorded("base", texts, BASE),
        *recorded("control 1", texts, INNOCENT),
    ]
    outcome = examined(place, tmp_path, rows, unmarked=unmarked)
    assert isinstance(outcome, Finding), outcome.reason
    assert outcome.log10_p > -3.0


@pytest.mark.usefixtures("few_placebo_keys")
def test_a_reader_that_learns_from_the_marked_text_before_it_is_not_accused(
    place: Path, marked: list[list[int]], tmp_path: Path
) -> None:
    """Whatever followed a word in any text read before, in the order in which texts are taken."""
    texts = sorted(marked, key=lambda text: str(reading("s", text, lambda said: 0)["prompt_id"]))
    rows = [
        row
        for number, text in enumerate(texts)
        for row in recorded("s", [text], counted([*PLAIN[:50], *texts[:number], *texts[:number]]))
    ]
    outcome = examined(place, tmp_path, [*rows, *recorded("base", marked, BASE)])
    assert isinstance(outcome, Finding)
    assert outcome.log10_p > -3.0


@pytest.mark.usefixtures("few_placebo_keys")
@pytest.mark.parametrize("strength", [-0.5, 0.5])
def test_a_companion_that_leans_breaks_the_premise_where_a_control_or_it_itself_shows_it(
    strength: float, place: Path, tmp_path: Path
) -> None:
    texts = texts_of(LANGUAGE.plain, 120, 40, 12)
    base = leaning(BASE, world(place), strength)
    rows = [
        *recorded("s", texts, INNOCENT),
        *recorded("base", texts, base),
        *recorded("control 1", texts, counted(PLAIN[200:600])),
    ]
    outcome = examined(place, tmp_path, rows, unmarked=True)
    if strength > 0:  # it hides a suspect, and accuses nobody
        assert not isinstance(outcome, Finding) or outcome.log10_p > -1.0
        return
    assert isinstance(outcome, Inconclusive)
    assert "control 1 is shifted from base towards the key as well: base leans away from it" in outcome.reason


@pytest.mark.usefixtures("few_placebo_keys")
def test_a_companion_that_leans_much_is_seen_by_itself(place: Path, tmp_path: Path) -> None:
    texts = texts_of(LANGUAGE.plain, 120, 40, 12)
    for strength, side in ((-6.0, "away from the key"), (6.0, "towards the key")):
        base = leaning(BASE, world(place), strength)
        rows = [*recorded("s", texts, INNOCENT), *recorded("base", texts, base)]
        outcome = examined(place, tmp_path, rows, unmarked=True)
        assert isinstance(outcome, Inconclusive)
        assert f"the companion base leans {side} by itself" in outcome.reason


def test_marked_text_that_was_said_to_be_unmarked_is_seen(place: Path, marked: list[list[int]], tmp_path: Path) -> None:
    rows = [*recorded("s", marked, INNOCENT), *recorded("base", marked, BASE)]
    outcome = examined(place, tmp_path, rows, unmarked=True)
    assert isinstance(outcome, Inconclusive)
    assert "the texts read carry the mark themselves" in outcome.reason


NOT_EXAMINED: dict[str, tuple[dict[str, Any], str]] = {
    "no companion": ({"suspect_base": ""}, "no companion was named"),
    "a file that is not there": ({"suspect_base": "transcripts:nowhere.parquet#base"}, "the companion cannot be read"),
    "the suspect itself": ({"base": "s"}, "predicts what s predicts"),
    "other texts": ({"base": "elsewhere"}, "read none of these texts"),
    "a choice of the texts": ({"base": "choosy"}, "choosy read 5 of the 9 texts"),
    "the likeliest token alone": ({"base": "short"}, "short recorded the likeliest token alone"),
    "answers": ({"base": "answers"}, "no predictions of this model"),
}


@pytest.mark.parametrize("case", NOT_EXAMINED)
def test_without_a_companion_that_can_be_read_nothing_is_said(
    case: str, place: Path, marked: list[list[int]], tmp_path: Path
) -> None:
    told, reason = NOT_EXAMINED[case]
    rows = [
        *recorded("s", marked[:9], INNOCENT),
        *recorded("short", marked[:9], BASE, most=1),
        *recorded("elsewhere", marked[9:], BASE),
        *recorded("choosy", marked[2:7], BASE),
        *(each | {"finish_reason": "stop", "text": "w1"} for each in recorded("answers", marked[:9], BASE)),
    ]
    outcome = examined(place, tmp_path, rows, **told)
    assert isinstance(outcome, NotExamined)
    assert reason in outcome.reason


def test_a_scheme_without_a_law_of_weighted_sums_is_left_to_the_likeliest_tokens(tmp_path: Path) -> None:
    key = world(tmp_path, SynthIDKey(keys=(0,) * 10, ngram_len=3))
    texts = texts_of(picking(key), 10, 30, 5)
    rows = [*recorded("s", texts, INNOCENT), *recorded("base", texts, BASE)]
    outcome = examined(tmp_path, tmp_path / "answers", rows)
    assert isinstance(outcome, NotExamined)
    assert "has no law here" in outcome.reason


def test_where_the_companion_lies_is_not_recorded(place: Path, marked: list[list[int]], tmp_path: Path) -> None:
    rows = [*recorded("s", marked, INNOCENT), *recorded("base", marked, BASE)]
    write(tmp_path, rows)
    settings = {**radioactivity.PARAMETERS, "suspect_base": f"transcripts:{tmp_path / ANSWERS}#base"}
    pair = radioactivity.relate(
        _subject(f"marks:{place / MARKS}", settings), _subject(f"transcripts:{tmp_path / ANSWERS}#s", settings), 0
    )
    assert isinstance(pair, Relation)
    assert str(tmp_path) not in json.dumps(pair.content)
    assert pair.content["shift"]["companion"]["name"] == "base"
