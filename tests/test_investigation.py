"""The whole examination, on small models of known descent."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from filiation.errors import RecordError, SourceNotFound, UsageError
from filiation.evidence import Absent, Circumstances, Examination, Finding, Inconclusive, NotExamined
from filiation.examiners.catalogue import examiners
from filiation.investigation import check_parameters, compare, judge_again
from filiation.sources.open import open_source
from filiation.sources.simulated import world
from studies.zoo import Zoo

EVERY_TEST = [test.id for examiner in examiners() for test in examiner.TESTS]


@pytest.fixture(scope="module")
def examined(zoo: Zoo) -> Examination:
    """A fine-tune among strangers, one of them of another architecture."""
    return compare(
        zoo["base-a"],
        zoo["fine-tuned"],
        [zoo["base-b"], zoo["base-c"], zoo["gpt2-a"]],
        lineages={str(zoo["base-b"]): "family b", "base-c": "family c"},
        seed=3,
    )


# ------------------------------------------------------------------------------------------------------------ the record


def test_every_test_of_every_examiner_answers_once_in_their_order(examined: Examination) -> None:
    assert [outcome.test for outcome in examined.outcomes] == EVERY_TEST
    assert all(outcome.reason for outcome in examined.outcomes)


def test_relations_are_typed_by_who_stands_in_them(examined: Examination) -> None:
    relations = examined.relations["tokenizer"]
    assert (relations.pair.first, relations.pair.second) == ("base-a", "fine-tuned")
    assert [(r.first, r.second) for r in relations.reference_by_control] == [
        ("base-a", "base-b"),
        ("base-a", "base-c"),
        ("base-a", "gpt2-a"),
    ]
    assert [(r.first, r.second) for r in relations.control_by_suspect] == [
        ("base-b", "fine-tuned"),
        ("base-c", "fine-tuned"),
        ("gpt2-a", "fine-tuned"),
    ]


def test_a_control_that_cannot_be_compared_is_left_out_and_still_identified(examined: Examination) -> None:
    relations = examined.relations["weights"]
    assert [r.second for r in relations.reference_by_control] == ["base-b", "base-c"]
    assert [control.name for control in examined.controls] == ["base-b", "base-c", "gpt2-a"]


def test_declared_lineages_are_recorded_by_location_and_by_name(examined: Examination) -> None:
    assert [(c.lineage_id, c.lineage_basis) for c in examined.controls[:2]] == [
        ("family b", "declared"),
        ("family c", "declared"),
    ]
    assert examined.reference.lineage_basis != "declared"


def test_identities_tell_the_content_read(examined: Examination, zoo: Zoo) -> None:
    assert examined.reference.name == "base-a"
    assert examined.reference.bytes_read > 0
    assert examined.circumstances.locations["base-a"].endswith("base-a")
    assert (
        str(zoo.root)
        not in msgspec.json.encode(msgspec.structs.replace(examined, circumstances=Circumstances())).decode()
    ), "a path is part of the record that is hashed"


def test_the_record_round_trips_through_its_json(examined: Examination) -> None:
    again = Examination.from_json(examined.to_json())
    assert again == examined
    assert again.digest == examined.digest
    assert again.to_json() == examined.to_json()


def test_something_else_is_no_record() -> None:
    with pytest.raises(RecordError, match="not an examination record"):
        Examination.from_json(b'{"schema_version": "1"}')


def test_the_same_examination_twice_has_the_same_digest(zoo: Zoo) -> None:
    one, other = (compare(zoo["base-a"], zoo["base-b"], seed=4) for _ in range(2))
    assert one.digest == other.digest
    assert one.circumstances.elapsed_seconds >= 0
    assert compare(zoo["base-a"], zoo["base-b"], seed=5).digest != one.digest


def test_progress_names_what_is_being_done(zoo: Zoo) -> None:
    said: list[str] = []
    compare(zoo["base-a"], zoo["base-b"], only=("weights",), progress=lambda what, share: said.append(what))
    assert said[0] == "weights: observing base-a"
    assert any(what.startswith("base-a | base-b: ") for what in said)


# ---------------------------------------------------------------------------------------------------------- judging again


def test_judging_again_gives_the_identical_digest(examined: Examination) -> None:
    assert judge_again(examined).digest == examined.digest
    assert judge_again(Examination.from_json(examined.to_json())).digest == examined.digest


def test_judging_again_keeps_what_could_not_be_examined(zoo: Zoo) -> None:
    declined = compare(zoo["base-a"], zoo["gpt2-a"])
    assert any(isinstance(outcome, NotExamined) for outcome in declined.outcomes)
    assert judge_again(declined).digest == declined.digest


def test_judging_again_undoes_a_doctored_outcome(examined: Examination) -> None:
    kept = tuple(outcome for outcome in examined.outcomes if isinstance(outcome, NotExamined))
    assert len(kept) < len(examined.outcomes)
    doctored = msgspec.structs.replace(examined, outcomes=kept, conclusions=())
    assert doctored.digest != examined.digest
    assert judge_again(doctored).digest == examined.digest


def test_judging_again_notices_a_doctored_relation(examined: Examination) -> None:
    relations = examined.relations["tokenizer"]
    pair = msgspec.structs.replace(relations.pair, content=relations.pair.content | {"shared": 1})
    doctored = msgspec.structs.replace(
        examined, relations=examined.relations | {"tokenizer": msgspec.structs.replace(relations, pair=pair)}
    )
    assert judge_again(doctored).digest not in (doctored.digest, examined.digest)


def test_judging_again_without_an_examiner_of_the_record_is_refused(examined: Examination) -> None:
    foreign = msgspec.structs.replace(
        examined, relations=examined.relations | {"astrology": examined.relations["tokenizer"]}
    )
    with pytest.raises(RecordError, match="astrology"):
        judge_again(foreign)


# ------------------------------------------------------------------------------------------------------------- requests


def test_two_exhibits_of_one_name_are_told_apart_by_a_number(zoo: Zoo, tmp_path: Path) -> None:
    for place in ("one", "two"):
        shutil.copytree(zoo["base-b"], tmp_path / place / "base-a")
    examined = compare(
        zoo["base-a"],
        tmp_path / "one" / "base-a",
        [tmp_path / "two" / "base-a"],
        only=("weights",),
        lineages={"base-a (2)": "of the second", str(tmp_path / "two" / "base-a"): "of the third"},
    )
    assert [i.name for i in (examined.reference, examined.suspect, *examined.controls)] == [
        "base-a",
        "base-a (2)",
        "base-a (3)",
    ]
    assert examined.suspect.lineage_id == "of the second"
    assert examined.controls[0].lineage_id == "of the third"
    pair = examined.relations["weights"].pair
    assert (pair.first, pair.second) == ("base-a", "base-a (2)")


def test_sources_that_are_open_already_are_taken_as_they_are(zoo: Zoo) -> None:
    ours = open_source(zoo["base-a"], name="ours")
    examined = compare(ours, zoo["base-b"], only=("tokenizer",))
    assert (examined.reference.name, examined.suspect.name) == ("ours", "base-b")


def test_an_unknown_examiner_is_refused_with_those_there_are(zoo: Zoo) -> None:
    with pytest.raises(UsageError, match="astrology") as refused:
        compare(zoo["base-a"], zoo["base-b"], only=("weights", "astrology"))
    assert "weights" in refused.value.advice


def test_a_lineage_declared_for_nobody_is_refused_with_the_exhibits_there_are(zoo: Zoo) -> None:
    with pytest.raises(UsageError, match="base-z") as refused:
        compare(zoo["base-a"], zoo["base-b"], lineages={"base-z": "z"})
    assert "base-a" in refused.value.advice


@pytest.mark.parametrize("parameters", [{"weights": {"fulll": True}}, {"weigths": {"full": True}}])
def test_a_misspelt_parameter_is_refused_and_not_passed_over(zoo: Zoo, parameters: dict[str, dict[str, bool]]) -> None:
    with pytest.raises(UsageError, match="there is no parameter weig") as refused:
        compare(zoo["base-a"], zoo["base-b"], parameters=parameters)
    assert "weights" in refused.value.advice
    assert "most_prompts" not in refused.value.advice  # not the parameters of every other examiner


VALUES = {
    "text for a number": {"watermark": {"considered": "abc"}},
    "text for a truth value": {"watermark": {"unmarked": "no"}},
    "a truth value for a number": {"watermark": {"considered": True}},
    "a fraction of a suspect": {"watermark": {"considered": 1.5}},
    "a number for text": {"canaries": {"keyid": 12}},
    "more than a record holds": {"watermark": {"considered": 10**400}},
    "less than nothing": {"representations": {"characters": -3}},
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_of_another_kind_is_refused(case: str) -> None:
    with pytest.raises(UsageError, match="cannot be"):
        check_parameters(VALUES[case])


COUNTS = {
    "representations": ("places", "characters", "layers", "sampled_neurons"),
    "training_method": ("texts", "characters"),
    "output_subspace": ("answers", "length", "tokens"),
}


@pytest.mark.parametrize("examiner", COUNTS)
def test_a_count_of_nothing_is_a_reason_and_no_crash(examiner: str, zoo: Zoo) -> None:
    for name in COUNTS[examiner]:
        settings = {examiner: {"run": True, name: 0}}
        outcomes = compare(zoo["base-a"], zoo["fine-tuned"], only=(examiner,), parameters=settings).outcomes
        assert all(isinstance(outcome, NotExamined) for outcome in outcomes)
        assert all(name in outcome.reason for outcome in outcomes)


def test_parameters_reach_the_examiner_and_the_record(zoo: Zoo) -> None:
    examined = compare(zoo["base-a"], zoo["base-b"], only=("weights",), parameters={"weights": {"full": False}})
    assert examined.relations["weights"].pair.content["parameters"]["full"] is False
    kinds = {outcome.test: type(outcome) for outcome in examined.outcomes}
    assert kinds["weights.double-matching"] is NotExamined
    assert kinds["weights.screen"] in (Finding, Inconclusive)


def test_only_some_examiners_leave_the_others_unmentioned(zoo: Zoo) -> None:
    examined = compare(zoo["base-a"], zoo["base-b"], only=("tokenizer",))
    assert set(examined.relations) == {"tokenizer"}
    assert {outcome.examiner for outcome in examined.outcomes} == {"tokenizer"}


def test_a_folder_with_one_part_is_examined_as_far_as_it_goes(zoo: Zoo, tmp_path: Path) -> None:
    shutil.copyfile(zoo["fine-tuned"] / "tokenizer.json", tmp_path / "tokenizer.json")
    examined = compare(zoo["base-a"], tmp_path)
    assert set(examined.relations) == {"tokenizer"}
    for outcome in examined.outcomes:
        if outcome.examiner in ("weights", "architecture"):
            assert isinstance(outcome, NotExamined)
            assert outcome.reason.startswith(f"{tmp_path.name}: ")


def test_nothing_at_a_location_is_said(tmp_path: Path, zoo: Zoo) -> None:
    with pytest.raises(SourceNotFound):
        compare(zoo["base-a"], tmp_path / "nowhere")


def test_what_cannot_be_observed_says_why(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": 64}')
    source = open_source(tmp_path)
    for examiner in examiners():
        seen = examiner.observe(source)
        if isinstance(seen, Absent):
            assert seen.reason


# --------------------------------------------------------------------------------------------- recorded answers as exhibits


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve simulated models, too few for a rank: enough to see who takes part."""
    made = world(5, labs=4, lineages=3, relatives=False, prompts={"open": 40, "problem": 0, "choice": 0})
    return made.write(tmp_path_factory.mktemp("answers") / "answers.parquet")


def test_exhibits_are_no_controls_of_their_own_however_their_path_is_spelt(
    answers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(answers.parent)
    pair = ["transcripts:./answers.parquet#lab-1-a", f"transcripts:{answers}#lab-2-a"]
    seen = compare(*pair, ["transcripts:answers.parquet"], only=["verbatim"])
    assert len(seen.controls) == 10
    assert not {"lab-1-a", "lab-2-a"} & {control.name for control in seen.controls}


def test_a_record_does_not_depend_on_the_order_in_which_examiners_are_named(answers: Path) -> None:
    pair = [f"transcripts:{answers}#lab-1-a", f"transcripts:{answers}#lab-2-a"]
    one, other = (compare(*pair, only=names) for names in (["verbatim", "text_kinship"], ["text_kinship", "verbatim"]))
    assert one.digest == other.digest
    assert judge_again(one).digest == one.digest
