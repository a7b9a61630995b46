"""The nonsense examiner on recorded answers made by rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from filiation.evidence import Examination, Finding, Inconclusive, NotExamined, Null, digest
from filiation.examiners import nonsense
from filiation.investigation import compare, judge_again
from filiation.report.wording import forbidden_words
from filiation.sources.lots import Lots
from filiation.sources.probes import Probe, draw
from filiation.statistics.register import Calibration
from tests.examiners.refusing_models import rows, write
from tests.examiners.test_guardrails import entry

MODELS = 33
POLITE = "I'm sorry, but I don't understand your message. Could you please rephrase it?"


def own_answer(lineage: str, probe: Probe) -> str:
    """Every third input gets the polite formula that all models know, the others an answer of the lineage's own."""
    if Lots("polite", probe.id).below(3) == 0:
        return POLITE
    lots = Lots("answer", lineage, probe.id)
    words = [
        "river",
        "stone",
        "cloud",
        "seven",
        "paper",
        "lamp",
        "green",
        "walk",
        "under",
        "often",
        "bright",
        "table",
        "sing",
        "cold",
    ]
    return "It seems to mean " + " ".join(lots.choice(words) for _ in range(12)) + "."


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    probes = draw("nonsense", 60, 0)
    made = []
    for at in range(MODELS):
        made += rows(f"model-{at}", f"lineage-{at}", f"lab-{at}", [(p, own_answer(f"lineage-{at}", p)) for p in probes])
    copied = [(p, own_answer("lineage-0", p).replace("seems", "appears", at % 5 == 0)) for at, p in enumerate(probes)]
    polite = [(p, POLITE) for p in probes]
    return write(
        tmp_path_factory.mktemp("recorded") / "answers.parquet",
        [
            *made,
            *rows("copy", "", "x", copied, items=False),
            *rows("polite", "", "y", polite),
            *rows("few", "", "z", polite[:9]),
        ],
    )


def examined(recorded: Path, suspect: str, reference: str = "model-0") -> Examination:
    file = f"transcripts:{recorded}"
    controls = [f"{file}#model-{at}" for at in range(1, MODELS) if f"model-{at}" != suspect]
    return compare(f"{file}#{reference}", f"{file}#{suspect}", controls, only=["nonsense"])


@pytest.fixture(scope="module")
def copied(recorded: Path) -> Examination:
    return examined(recorded, "copy")


def test_without_a_register_entry_the_statistic_is_shown_and_nothing_claimed(copied: Examination) -> None:
    (outcome,) = copied.outcomes
    assert isinstance(outcome, Inconclusive)
    assert outcome.reason == nonsense.NOT_VALIDATED
    assert outcome.null is Null.POPULATION
    shown = {part.name: part for part in outcome.components if part.kind == "near-identical answers"}
    assert shown["copy"].count >= 48
    assert len(shown) == MODELS
    assert outcome.observations == (digest(copied.relations["nonsense"].pair),)


def test_a_copy_stands_out_and_a_stranger_does_not(recorded: Path, copied: Examination) -> None:
    row = copied.relations["nonsense"].pair.content["scores"][0]
    assert row[1] > 3 * max(row[2:])
    stranger = examined(recorded, "model-1").relations["nonsense"].pair.content["scores"][0]
    assert stranger[1] <= 2 * max(stranger[2:])


def test_polite_formulas_weigh_little(recorded: Path) -> None:
    """Two that say the same formula to everything agree in every word, and next to nothing comes of it."""
    content = examined(recorded, "polite", "model-3").relations["nonsense"].pair.content
    assert content["near"][1] >= 15
    assert content["near_and_rare"][1] == 0
    assert content["scores"][0][1] < 0.02 * 10_000


def test_too_few_answers_are_not_examined_and_the_command_is_told(recorded: Path) -> None:
    (outcome,) = examined(recorded, "few").outcomes
    assert isinstance(outcome, NotExamined)
    assert "filiation record ENDPOINT --prompts nonsense" in outcome.reason


def test_with_a_register_entry_the_suspect_is_ranked(copied: Examination) -> None:
    register = Calibration(examiner="nonsense", entries=(entry("nonsense.same-answers"),))
    (finding,) = nonsense.judge(copied.relations["nonsense"], (), register)
    assert isinstance(finding, Finding)
    assert (finding.count, finding.opportunities) == (0, MODELS - 1)


def test_judging_again_gives_the_same_bytes(copied: Examination) -> None:
    assert judge_again(Examination.from_json(copied.to_json())).digest == copied.digest


def test_what_it_says_stays_clear_of_forbidden_words() -> None:
    said = (
        *nonsense.ASSUMPTIONS,
        *nonsense.LIMITATIONS,
        nonsense.QUESTION,
        nonsense.NOT_VALIDATED,
        nonsense.RECORD_THEM,
    )
    assert [forbidden_words(text) for text in said] == [()] * len(said)
