"""The representations examiner on running models of known descent. Figures are bounds, never values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from filiation.evidence import Absent, Finding, Identity, Inconclusive, NotExamined, Outcome, Relation, Relations
from filiation.examiners import representations
from filiation.examiners.examiner import Subject
from filiation.investigation import compare
from filiation.sources.joined import JoinedSource
from filiation.sources.open import open_source
from filiation.statistics.register import empty, load
from studies.representations import provisional_register
from studies.zoo import Zoo
from studies.zoo.folders import read_folder, write_folder

HALVES, PARTS = (test.id for test in representations.TESTS)
REGISTER = provisional_register(["llama", "qwen2"])
FOUND = -12.0


def related(first: Path, second: Path, **parameters: Any) -> Relation | Absent:
    subjects = []
    for folder in (first, second):
        source = open_source(folder)
        seen = representations.observe(source)
        assert not isinstance(seen, Absent), seen.reason
        settings = {"run": True, "places": 1024} | parameters
        subjects.append(Subject(source=source, observation=seen, parameters=settings))
    return representations.relate(*subjects, 1)


def judged(relation: Relation | Absent, **relations: Any) -> dict[str, Outcome]:
    assert isinstance(relation, Relation), relation
    controls = relations.pop("controls", ())
    outcomes = representations.judge(Relations(pair=relation, **relations), controls, REGISTER)
    return {outcome.test: outcome for outcome in outcomes}


def test_models_are_run_on_demand_alone(zoo: Zoo) -> None:
    found = compare(zoo["base-a"], zoo["fine-tuned"], only=("representations", "training_method"))
    assert found.relations == {}
    assert {type(outcome) for outcome in found.outcomes} == {NotExamined}
    assert all("models were not run" in outcome.reason for outcome in found.outcomes)
    assert all(f"{outcome.examiner}.run" in outcome.reason for outcome in found.outcomes)


def test_the_plan_runs_them_and_the_record_is_judged_alike(zoo: Zoo) -> None:
    settings = {"representations": {"run": True, "places": 512}}
    found = compare(zoo["base-a"], zoo["base-a"], only=("representations",), parameters=settings)
    relation = found.relations["representations"].pair
    assert all(layer["by_parts"] == layer["opportunities"] == 256 for layer in relation.content["layers"])


RELATIVES = {
    "a fine-tune": ("base-a", "fine-tuned"),
    "a fine-tune of the other family": ("qwen2-a", "qwen2-fine-tuned"),
    "another tokenizer": ("base-a", "vocabulary-extended"),
    "laundered and trained on for long": ("base-a", "laundered-heavy"),
    "fewer neurons": ("width-pruned", "base-a"),
}


@pytest.mark.parametrize("name", RELATIVES)
def test_relatives_are_found_by_parts(name: str, zoo: Zoo) -> None:
    found = judged(related(*(zoo[member] for member in RELATIVES[name])))[PARTS]
    assert isinstance(found, Finding)
    assert found.log10_p < FOUND


STRANGERS = {
    "the same corpus in the same order": ("base-a", "same-order"),
    "a student of logits": ("base-a", "student-logits"),
    "a student of hidden states": ("base-a", "student-hidden"),
    "the same embeddings": ("base-a", "shared-embeddings"),
    "two families": ("base-a", "qwen2-b"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_strangers_agree_by_halves_and_not_by_parts(name: str, zoo: Zoo) -> None:
    relation = related(*(zoo[member] for member in STRANGERS[name]))
    found = judged(relation)[PARTS]
    assert isinstance(found, Finding)
    assert found.log10_p > -0.5
    assert all(2 * part.count <= found.chance * part.opportunities for part in found.components)
    assert isinstance(relation, Relation)
    by_halves = relation.content["summary"][HALVES]
    assert by_halves["count"] > 0.12 * by_halves["opportunities"], (
        "by function strangers do agree: no null by model here"
    )


def test_models_of_two_tokenizers_are_compared_where_both_have_read_equally_far(zoo: Zoo) -> None:
    relation = related(zoo["base-a"], zoo["vocabulary-extended"])
    assert isinstance(relation, Relation)
    assert 1024 <= relation.content["places"] < relation.content["text"]["characters"]


def test_an_ungated_model_is_declined_by_parts(zoo: Zoo) -> None:
    found = judged(related(zoo["gpt2-a"], zoo["gpt2-fine-tuned"]))
    assert isinstance(found[PARTS], NotExamined)
    assert "not validated for ungated" in found[PARTS].reason
    assert isinstance(found[HALVES], Inconclusive)


def test_without_a_register_nothing_is_said(zoo: Zoo) -> None:
    relation = related(zoo["base-a"], zoo["fine-tuned"])
    assert isinstance(relation, Relation)
    outcomes = representations.judge(Relations(pair=relation), (), empty("representations"))
    assert all(isinstance(outcome, Inconclusive) and "not validated" in outcome.reason for outcome in outcomes)


# ------------------------------------------------------------------------------------------------------------- the rank


def line_up(stranger: Relation, lineages: int) -> dict[str, Any]:
    """`stranger` as often as wanted, each under another name: shares are equal, so that the rank is known."""
    names = [f"control {number}" for number in range(lineages)]
    return {
        "reference_by_control": tuple(msgspec.structs.replace(stranger, second=name) for name in names),
        "controls": tuple(Identity(name=name, format="folder", lineage_id=name) for name in names),
    }


def test_ranks_are_by_lineage_and_need_nineteen(zoo: Zoo) -> None:
    pair, stranger = related(zoo["base-a"], zoo["fine-tuned"]), related(zoo["base-a"], zoo["base-b"])
    assert isinstance(stranger, Relation)
    few = judged(pair, **line_up(stranger, 18))[HALVES]
    assert isinstance(few, Inconclusive)
    assert "18 unrelated control lineages" in few.reason
    enough = judged(pair, **line_up(stranger, 19))[HALVES]
    assert isinstance(enough, Finding)
    assert (enough.count, enough.opportunities) == (0, 19)
    assert enough.log10_p == pytest.approx(-1.301, abs=1e-3)
    tied = judged(stranger, **line_up(stranger, 19))[HALVES]
    assert isinstance(tied, Finding)
    assert tied.log10_p == 0.0, "a tie counts for the accused"


def test_controls_of_a_lineage_in_dispute_stay_out(zoo: Zoo) -> None:
    pair, stranger = related(zoo["base-a"], zoo["fine-tuned"]), related(zoo["base-a"], zoo["base-b"])
    assert isinstance(pair, Relation)
    assert isinstance(stranger, Relation)
    disputed = msgspec.structs.replace(pair, content=pair.content | {"lineages": ["", "control 3"]})
    found = judged(disputed, **line_up(stranger, 20))[HALVES]
    assert isinstance(found, Finding)
    assert found.opportunities == 19


# ------------------------------------------------------------------------------------------------- what cannot be run


def test_what_transformers_cannot_load_is_absent_with_a_reason(zoo: Zoo, tmp_path: Path) -> None:
    weights, config = read_folder(zoo["base-a"])
    unknown = config | {"model_type": "of-nobody", "architectures": ["OfNobody"]}
    found = related(zoo["base-a"], write_folder(tmp_path / "foreign", weights, unknown, like=zoo["base-a"]))
    assert isinstance(found, Absent)
    assert "cannot be run: foreign" in found.reason


def test_an_exhibit_of_several_parts_under_a_code_name_is_run_and_does_not_tell_who_it_is(
    zoo: Zoo, tmp_path: Path
) -> None:
    parts = [open_source(zoo["base-a"] / "tokenizer.json"), open_source(zoo["base-a"])]
    coded = JoinedSource(parts, name="subject-3", neutral=True)
    found = compare(
        zoo["base-a"],
        coded,
        only=("representations",),
        parameters={"representations": {"run": True, "places": 256}},
    )
    relation = found.relations["representations"].pair
    assert relation.second == "subject-3"
    assert relation.content["summary"][PARTS]["count"] == 768


def test_a_text_of_one_s_own_is_read_and_its_digest_kept(zoo: Zoo, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"Line {number} says that {number * number} is a square.\n" for number in range(400)))
    found = related(zoo["base-a"], zoo["lora"], text=str(text))
    assert isinstance(found, Relation)
    assert found.content["parameters"]["text"] == "given"
    other = related(zoo["base-a"], zoo["lora"])
    assert isinstance(other, Relation)
    assert other.content["text"]["sha256"] != found.content["text"]["sha256"]
    missing = related(zoo["base-a"], zoo["lora"], text=str(tmp_path / "nothing.txt"))
    assert isinstance(missing, Absent)
    assert "cannot be read" in missing.reason


def test_the_register_s_figures_are_those_of_its_tests() -> None:
    shipped = load("representations")
    assert {entry.test for entry in shipped.entries} <= {HALVES, PARTS}
    for entry in shipped.entries:
        assert all(kind.exceeding == 0 for kind in entry.strangers if entry.test == PARTS)
