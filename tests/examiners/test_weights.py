"""The weights examiner on models of known descent, through real folders. Figures are bounds, never values."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from filiation.evidence import (
    Absent,
    Component,
    Finding,
    Identity,
    Inconclusive,
    NotExamined,
    Null,
    Outcome,
    Relation,
    Relations,
    canonical,
)
from filiation.examiners import weights
from filiation.examiners.examiner import Subject
from filiation.investigation import compare
from filiation.sources.open import open_source
from filiation.statistics.register import empty
from studies.weights import provisional_register, stranger_shares
from studies.zoo import WASHES, Zoo, launder
from studies.zoo.folders import read_folder, write_folder
from studies.zoo.repackaging import bfloat16_copy
from tests.examiners.mixtures import mixture
from tests.worlds import register

SCREEN, MATCHING, NEURON_INDEX, DIMENSION_INDEX = (test.id for test in weights.TESTS)
CHANCE = 0.10
FOUND = -12.0
SILENT = -2.5  # no test by exchangeability or by model of a pair that it cannot see goes below p = .003 here


def related(first: Path, second: Path, *, seed: int = 1, **parameters: Any) -> Relation | Absent:
    subjects = []
    for folder in (first, second):
        source = open_source(folder)
        seen = weights.observe(source)
        assert not isinstance(seen, Absent), seen.reason
        subjects.append(Subject(source=source, observation=seen, parameters=parameters))
    return weights.relate(*subjects, seed)


def judged(relation: Relation | Absent) -> dict[str, Outcome]:
    assert isinstance(relation, Relation), relation
    outcomes = weights.judge(Relations(pair=relation), (), register(weights))
    return {outcome.test: outcome for outcome in outcomes}


def figures(outcomes: dict[str, Outcome]) -> dict[str, float]:
    """log10 p of the tests that came to a finding."""
    return {test: outcome.log10_p for test, outcome in outcomes.items() if isinstance(outcome, Finding)}


def layers(outcome: Outcome) -> dict[str, Component]:
    assert isinstance(outcome, Finding), outcome
    return {part.name: part for part in outcome.components if part.kind == "layer"}


@pytest.fixture(scope="module")
def folder(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`folder(name, change, ...)`: a copy of a member, made once, of which `change(folder_in, folder_out, ...)` was made."""
    made: dict[Any, Path] = {}

    def make(member: str, change: Callable[..., Any], *arguments: Any) -> Path:
        key = (member, change.__name__, arguments)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("copy") / member
            change(zoo[member], made[key], *arguments)
        return made[key]

    return make


def washed(folder_in: Path, folder_out: Path, wash: str = "everything") -> None:
    launder(folder_in, folder_out, washes=(wash,), seed=23)


def without_layer(folder_in: Path, folder_out: Path, gone: int) -> None:
    arrays, config = read_folder(folder_in)

    def moved(name: str) -> str | None:
        found = re.search(r"\.layers\.(\d+)\.", name)
        number = int(found.group(1)) if found else -1
        if number == gone:
            return None
        return name.replace(f".layers.{number}.", f".layers.{number - 1}.") if number > gone else name

    kept = {new: array for name, array in arrays.items() if (new := moved(name)) is not None}
    config["num_hidden_layers"] -= 1
    config.pop("layer_types", None)
    write_folder(folder_out, kept, config, like=folder_in)


def without_tokenizer(folder_in: Path, folder_out: Path) -> None:
    shutil.copytree(folder_in, folder_out, ignore=shutil.ignore_patterns("tokenizer*"))


def of_family(folder_in: Path, folder_out: Path, model_type: str) -> None:
    shutil.copytree(folder_in, folder_out)
    config = json.loads((folder_out / "config.json").read_text())
    (folder_out / "config.json").write_text(json.dumps(config | {"model_type": model_type}))


# --------------------------------------------------------------------------------------- what derivation leaves behind


@pytest.mark.parametrize(
    "pair", [("base-a", "fine-tuned"), ("qwen2-a", "qwen2-fine-tuned"), ("gpt2-a", "gpt2-fine-tuned")], ids="|".join
)
def test_a_fine_tune_is_found_by_every_test_in_every_layer(zoo: Zoo, pair: tuple[str, str]) -> None:
    outcomes = judged(related(zoo[pair[0]], zoo[pair[1]]))
    assert set(figures(outcomes)) == {test.id for test in weights.TESTS}
    assert max(figures(outcomes).values()) < FOUND
    assert all(part.count == part.opportunities for part in layers(outcomes[MATCHING]).values())


@pytest.mark.parametrize("wash", [*WASHES, "everything"])
def test_a_laundered_copy_is_found_whatever_the_wash(zoo: Zoo, folder: Callable[..., Path], wash: str) -> None:
    outcomes = judged(related(zoo["base-a"], folder("base-a", washed, wash)))
    assert figures(outcomes)[MATCHING] < -500
    assert figures(outcomes)[SCREEN] < -100
    assert all(part.count >= 0.95 * part.opportunities for part in layers(outcomes[MATCHING]).values())
    # The index tests are exact and blind to whoever renumbered; what they look at was renumbered by these washes.
    assert (figures(outcomes)[NEURON_INDEX] > SILENT) == (wash in ("permute-units", "everything"))
    moves_basis = ("permute-hidden", "rotate-residual", "everything")
    assert (figures(outcomes)[DIMENSION_INDEX] > SILENT) == (wash in moves_basis)


@pytest.mark.parametrize("name", ["qwen2-a", "gpt2-a"])
def test_a_laundered_copy_of_another_family_is_found(zoo: Zoo, folder: Callable[..., Path], name: str) -> None:
    outcomes = judged(related(zoo[name], folder(name, washed)))
    assert figures(outcomes)[MATCHING] < -500
    assert figures(outcomes)[SCREEN] < -100


@pytest.mark.parametrize("name", ["laundered-tuned", "laundered-heavy"])
def test_training_after_laundering_does_not_hide_a_copy(zoo: Zoo, name: str) -> None:
    assert figures(judged(related(zoo["base-a"], zoo[name])))[MATCHING] < -300


@pytest.mark.parametrize(("gone", "pairing"), [(0, [1, 2]), (1, [0, 2]), (2, [0, 1])])
def test_a_depth_pruned_copy_is_paired_layer_by_layer_and_the_choice_is_paid_for(
    zoo: Zoo, folder: Callable[..., Path], gone: int, pairing: list[int]
) -> None:
    relation = related(zoo["base-a"], folder("base-a", without_layer, gone))
    outcomes = judged(relation)
    matching = outcomes[MATCHING]
    assert isinstance(matching, Finding)
    assert [pair[0] for pair in relation.content["alignments"][0]["pairs"]] == pairing
    assert list(layers(matching)) == [f"{row} | {column}" for column, row in enumerate(pairing)]
    assert matching.log10_p < -500
    straight = pairing == [0, 2]
    assert relation.content["alignments"][0]["pairing"]["rule"] == ("same depth" if straight else "monotone")
    # Three alignments; half the weight of the pairings on same depth, half on the six that never go back.
    assert matching.multiplicity.searched == 3 * 2 * (1 if straight else 6)
    assert 10**matching.multiplicity.log10_cost == pytest.approx(matching.multiplicity.searched, rel=0.003)
    assert matching.resolution_log10_p <= matching.log10_p


def test_a_depth_pruned_reference_is_found_in_the_model_it_was_pruned_from(zoo: Zoo) -> None:
    outcomes = judged(related(zoo["depth-pruned"], zoo["base-a"]))
    found = layers(outcomes[MATCHING])
    assert sum(part.count == part.opportunities for part in found.values()) >= 2
    assert figures(outcomes)[MATCHING] < -100


@pytest.mark.parametrize("name", ["merge-50", "merge-30"])
@pytest.mark.parametrize("parent", ["base-a", "base-c"])
def test_a_merge_is_found_from_either_parent(zoo: Zoo, name: str, parent: str) -> None:
    assert figures(judged(related(zoo[parent], zoo[name])))[MATCHING] < -100


def test_a_stitched_model_shows_which_layer_comes_from_which_parent(zoo: Zoo) -> None:
    lower = layers(judged(related(zoo["base-a"], zoo["stitched"]))[MATCHING])
    upper = layers(judged(related(zoo["base-c"], zoo["stitched"]))[MATCHING])
    from_first = {name: part.log10_p < FOUND for name, part in lower.items()}
    from_second = {name: part.log10_p < FOUND for name, part in upper.items()}
    assert from_first == {"0 | 0": True, "1 | 1": True, "2 | 2": False}
    assert from_second == {"0 | 0": False, "1 | 1": False, "2 | 2": True}


@pytest.mark.parametrize("pair", [("base-a", "width-pruned"), ("width-pruned", "base-a")], ids="|".join)
def test_every_unit_that_a_width_pruned_copy_kept_is_found(zoo: Zoo, pair: tuple[str, str]) -> None:
    found = layers(judged(related(zoo[pair[0]], zoo[pair[1]]))[MATCHING])
    assert all(part.opportunities < 256 for part in found.values())
    assert all(part.count >= 0.95 * part.opportunities for part in found.values())


def test_splitting_neurons_does_not_hide_a_copy(zoo: Zoo) -> None:
    assert figures(judged(related(zoo["base-a"], zoo["neurons-split"])))[MATCHING] < -100


def test_embeddings_made_anew_silence_the_tokens_and_not_the_neurons(zoo: Zoo, folder: Callable[..., Path]) -> None:
    """Rotated as well, so that only the alignment without tokens can speak; the layers it is fitted on are not tested."""
    relation = related(zoo["base-a"], folder("embeddings-anew", washed))
    outcomes = judged(relation)
    shares = {
        alignment["name"]: sum(pair[2] for pair in alignment["pairs"]) / sum(pair[3] for pair in alignment["pairs"])
        for alignment in relation.content["alignments"]
    }
    assert shares["token"] < CHANCE / 2
    assert shares["identity"] < CHANCE / 2
    assert shares["token-free"] > 0.9
    assert figures(outcomes)[MATCHING] < -100
    assert figures(outcomes)[SCREEN] > SILENT


def test_mlps_made_anew_silence_the_neurons_and_not_the_hidden_dimensions(zoo: Zoo) -> None:
    outcomes = judged(related(zoo["base-a"], zoo["mlps-anew"]))
    assert figures(outcomes)[MATCHING] > SILENT
    assert figures(outcomes)[NEURON_INDEX] > SILENT
    assert figures(outcomes)[DIMENSION_INDEX] < FOUND


def test_a_sibling_of_the_same_initialisation_reads_like_a_derivative_and_the_finding_says_so(zoo: Zoo) -> None:
    outcome = judged(related(zoo["base-a"], zoo["sibling"]))[MATCHING]
    assert isinstance(outcome, Finding)
    assert outcome.log10_p < -100
    assert "initialisation included" in outcome.relation_class
    assert any("shared initialisation" in limitation for limitation in outcome.limitations)
    assert outcome.direction == "not told"


# --------------------------------------------------------------------------------------------------- what strangers show

HARD = [
    ("base-a", "same-order"),
    ("base-a", "shared-embeddings"),
    ("base-a", "student-logits"),
    ("base-a", "student-hidden"),
    ("long-b", "long-c"),
    ("heavy", "long-b"),
    ("padded-b", "padded-c"),
    ("half-b", "half-c"),
    ("gpt2-a", "gpt2-b"),
    ("qwen2-a", "qwen2-b"),
]


@pytest.mark.parametrize("pair", HARD, ids="|".join)
def test_no_layer_of_a_stranger_comes_near_the_tolerance_under_any_alignment(zoo: Zoo, pair: tuple[str, str]) -> None:
    relation = related(zoo[pair[0]], zoo[pair[1]])
    assert isinstance(relation, Relation)
    assert len(relation.content["alignments"]) == 3
    for test in (SCREEN, MATCHING):
        assert max(stranger_shares(relation, test)) <= CHANCE / 2
    outcomes = figures(judged(relation))
    assert outcomes[MATCHING] > SILENT
    assert outcomes[SCREEN] > SILENT
    assert outcomes[NEURON_INDEX] > SILENT


def test_a_student_of_hidden_states_has_the_basis_and_not_the_neurons(zoo: Zoo) -> None:
    """The index of hidden dimensions may speak of the basis; its relation says so, and double matching keeps silent."""
    outcomes = judged(related(zoo["base-a"], zoo["student-hidden"]))
    assert figures(outcomes)[MATCHING] > SILENT
    assert "trained on its hidden states" in outcomes[DIMENSION_INDEX].relation_class


def test_padded_rows_are_no_opportunities(zoo: Zoo) -> None:
    found = layers(judged(related(zoo["padded-b"], zoo["padded-c"]))[MATCHING])
    assert read_folder(zoo["padded-b"])[1]["intermediate_size"] == 320
    assert {part.opportunities for part in found.values()} == {256}


def test_models_of_another_width_and_depth_are_compared_and_not_accused(zoo: Zoo) -> None:
    outcomes = judged(related(zoo["base-a"], zoo["base-other-shape"]))
    assert figures(outcomes)[MATCHING] > SILENT
    assert figures(outcomes)[SCREEN] > SILENT
    assert isinstance(outcomes[DIMENSION_INDEX], NotExamined)
    assert "hidden sizes differ" in outcomes[DIMENSION_INDEX].reason


# ------------------------------------------------------------------------------------------------- what cannot be told


def test_a_family_outside_the_register_is_inconclusive_and_still_shows_what_was_seen(
    zoo: Zoo, folder: Callable[..., Path]
) -> None:
    relation = related(zoo["base-a"], folder("fine-tuned", of_family, "qwen3"))
    assert isinstance(relation, Relation)
    calibrated_on_llama = provisional_register({"llama"})
    for outcome in weights.judge(Relations(pair=relation), (), calibrated_on_llama):
        assert isinstance(outcome, Inconclusive)
        assert outcome.reason == "not validated for models of the family qwen3"
    matching = weights.judge(Relations(pair=relation), (), calibrated_on_llama)[1]
    assert isinstance(matching, Inconclusive)
    assert {part.count for part in matching.components} == {256}
    assert all(part.log10_p is None for part in matching.components)


def test_a_mixture_of_experts_is_measured_and_not_judged(zoo: Zoo, folder: Callable[..., Path]) -> None:
    experts = folder("base-a", mixture), folder("base-b", mixture)
    for suspect, share in zip(experts, (1.0, 0.0), strict=True):
        relation = related(experts[0], suspect)
        assert isinstance(relation, Relation)
        screen = relation.content["screen"]
        assert screen["opportunities"] == 3 * 256
        assert abs(screen["count"] / screen["opportunities"] - share) <= CHANCE / 2
        for outcome in judged(relation).values():
            assert isinstance(outcome, Inconclusive)
            assert "not validated for mixtures of experts" in outcome.reason


def test_without_a_register_nothing_is_concluded(zoo: Zoo) -> None:
    relation = related(zoo["base-a"], zoo["fine-tuned"])
    assert isinstance(relation, Relation)
    outcomes = weights.judge(Relations(pair=relation), (), empty("weights"))
    assert all(isinstance(outcome, Inconclusive) and "not validated" in outcome.reason for outcome in outcomes)


def test_without_a_tokenizer_tokens_are_matched_by_id_and_the_finding_is_conditional_on_it(
    zoo: Zoo, folder: Callable[..., Path]
) -> None:
    relation = related(zoo["base-a"], folder("laundered-tuned", without_tokenizer))
    assert isinstance(relation, Relation)
    assert relation.content["tokens"]["matched_by"] == "id"
    for outcome in judged(relation).values():
        assert isinstance(outcome, Finding)
        assert any("token ids" in condition for condition in outcome.conditional_on)
    assert figures(judged(relation))[MATCHING] < -500


def test_with_a_tokenizer_nothing_is_conditional_on_ids(zoo: Zoo) -> None:
    outcomes = judged(related(zoo["base-a"], zoo["fine-tuned"]))
    assert all(isinstance(outcome, Finding) and not outcome.conditional_on for outcome in outcomes.values())


def test_without_a_tokenizer_and_with_another_vocabulary_the_neurons_are_still_compared(
    zoo: Zoo, folder: Callable[..., Path]
) -> None:
    relation = related(zoo["base-a"], folder("vocabulary-extended", without_tokenizer))
    assert isinstance(relation, Relation)
    outcomes = judged(relation)
    assert relation.content["tokens"] == {"matched_by": "nothing", "shared": 0}
    assert isinstance(outcomes[SCREEN], NotExamined)
    assert "tokens in common" in outcomes[SCREEN].reason
    assert isinstance(outcomes[DIMENSION_INDEX], NotExamined)
    assert figures(outcomes)[MATCHING] < -500


def test_gated_and_ungated_models_are_not_examined(zoo: Zoo) -> None:
    relation = related(zoo["base-a"], zoo["gpt2-a"])
    assert isinstance(relation, Absent)
    assert "gated" in relation.reason
    examined = compare(zoo["base-a"], zoo["gpt2-a"], only=("weights",))
    assert [outcome.test for outcome in examined.outcomes] == [test.id for test in weights.TESTS]
    assert all(isinstance(outcome, NotExamined) and "gated" in outcome.reason for outcome in examined.outcomes)


# ------------------------------------------------------------------------------------------------------- large models


def test_large_files_are_screened_and_the_rest_is_left_to_demand(zoo: Zoo) -> None:
    outcomes = judged(related(zoo["base-a"], zoo["laundered-tuned"], full_bytes=0))
    assert figures(outcomes)[SCREEN] < -100
    for test in (MATCHING, NEURON_INDEX, DIMENSION_INDEX):
        assert isinstance(outcomes[test], NotExamined)
    assert "on demand" in outcomes[MATCHING].reason


def test_on_demand_large_files_are_examined_layer_by_layer(zoo: Zoo) -> None:
    outcomes = judged(related(zoo["base-a"], zoo["laundered-tuned"], full_bytes=0, full=True))
    assert figures(outcomes)[MATCHING] < -500


def test_the_screen_alone_is_enough_when_the_plan_says_so(zoo: Zoo) -> None:
    outcomes = judged(related(zoo["base-a"], zoo["laundered-tuned"], full=False))
    assert set(figures(outcomes)) == {SCREEN}


def test_a_screen_reads_a_part_of_the_files(zoo: Zoo) -> None:
    subjects = []
    for name in ("base-a", "base-b"):
        source = open_source(zoo[name])
        subjects.append(Subject(source=source, observation=weights.observe(source), parameters={"full": False}))
    weights.relate(*subjects, 1)
    for subject in subjects:
        tensors = subject.source.tensors()
        # One MLP of three and a sample of the embeddings; attention and the other layers are never touched.
        assert 0 < tensors.bytes_read < 0.35 * tensors.bytes_total


@pytest.mark.parametrize("pair", [("base-a", "fine-tuned"), ("qwen2-a", "qwen2-laundered-tuned")], ids="|".join)
def test_wide_models_are_compared_through_shared_tokens(zoo: Zoo, pair: tuple[str, str]) -> None:
    relation = related(zoo[pair[0]], zoo[pair[1]], full_width=32)
    assert isinstance(relation, Relation)
    assert relation.content["planned_alignments"] == ["shared tokens"]
    assert figures(judged(relation))[MATCHING] < -300


def test_a_laundered_copy_of_a_wide_model_is_found_in_a_sample_of_its_neurons(
    zoo: Zoo, folder: Callable[..., Path]
) -> None:
    outcomes = judged(related(zoo["base-a"], folder("base-a", washed), full_width=32, sampled_neurons=100))
    found = layers(outcomes[MATCHING])
    assert {part.opportunities for part in found.values()} == {100}
    assert all(part.count >= 90 for part in found.values())
    assert figures(outcomes)[NEURON_INDEX] > SILENT


@pytest.mark.parametrize("pair", [("base-a", "base-b"), ("long-b", "long-c"), ("gpt2-a", "gpt2-b")], ids="|".join)
def test_strangers_seen_through_shared_tokens_stay_below_the_tolerance(zoo: Zoo, pair: tuple[str, str]) -> None:
    relation = related(zoo[pair[0]], zoo[pair[1]], full_width=32)
    assert isinstance(relation, Relation)
    assert max(stranger_shares(relation, MATCHING)) <= CHANCE / 2
    assert figures(judged(relation))[MATCHING] > SILENT


# ------------------------------------------------------------------------------------------------------- repeatability


@pytest.mark.parametrize("pair", [("base-a", "laundered-tuned"), ("base-a", "base-b")], ids="|".join)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_the_same_decision(zoo: Zoo, pair: tuple[str, str]) -> None:
    one, again, other = (related(zoo[pair[0]], zoo[pair[1]], seed=seed) for seed in (5, 5, 6))
    assert canonical(one) == canonical(again)
    assert canonical(one) != canonical(other)

    def found(relation: Relation | Absent) -> dict[str, bool]:
        return {test: log10_p <= FOUND for test, log10_p in figures(judged(relation)).items()}

    assert found(one) == found(other)


def test_a_shorter_number_type_changes_no_decision(zoo: Zoo, folder: Callable[..., Path]) -> None:
    shorter = figures(judged(related(zoo["base-a"], folder("laundered-tuned", bfloat16_copy))))
    assert shorter[MATCHING] < -500
    assert shorter[DIMENSION_INDEX] > SILENT
    strangers = figures(judged(related(zoo["base-a"], folder("base-b", bfloat16_copy))))
    assert min(strangers.values()) > SILENT


def test_progress_speaks_and_ends(zoo: Zoo) -> None:
    said: list[tuple[str, float]] = []
    subjects = []
    for name in ("base-a", "base-b"):
        source = open_source(zoo[name])
        subjects.append(Subject(source=source, observation=weights.observe(source)))
    weights.relate(*subjects, 1, lambda what, share: said.append((what, share)))
    assert {"screening one layer", "aligning without tokens"} <= {what for what, _ in said}
    assert all(0 <= share <= 1 + 1e-9 for _, share in said)


# ------------------------------------------------------------------------------------------------ what stands beside it


def test_a_line_up_ranks_by_lineage_and_is_not_merged(zoo: Zoo) -> None:
    pair = related(zoo["base-a"], zoo["fine-tuned"])
    controls = [related(zoo["base-a"], zoo[name]) for name in ("base-b", "long-b", "base-c")]
    identities = tuple(
        Identity(name=name, format="folder", lineage_id=lineage)
        for name, lineage in (("base-b", "b"), ("long-b", "b"), ("base-c", "c"))
    )
    relations = Relations(pair=pair, reference_by_control=tuple(controls))
    outcomes = weights.judge(relations, identities, register(weights))
    matching = outcomes[1]
    assert isinstance(matching, Finding)
    line_up = [companion for companion in matching.companions if companion.name.startswith("line-up")]
    assert [companion.value for companion in line_up] == ["rank 1 of 3 lineages"]
    assert line_up[0].null is Null.POPULATION
    assert "0.333" in line_up[0].note
    assert matching.log10_p == figures(judged(pair))[MATCHING]


def test_layers_at_other_depths_are_shown_as_context(zoo: Zoo) -> None:
    matching = judged(related(zoo["base-a"], zoo["fine-tuned"]))[MATCHING]
    assert isinstance(matching, Finding)
    assert [c.null for c in matching.companions if "other depths" in c.name] == [Null.POPULATION]
    assert any("not validated on real strangers" in limitation for limitation in matching.limitations)
