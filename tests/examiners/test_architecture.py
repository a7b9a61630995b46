"""The architecture examiner on configurations in real folders."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from filiation.evidence import (
    Absent,
    Characteristic,
    Finding,
    Inconclusive,
    Observation,
    Outcome,
    Relation,
    Relations,
    canonical,
)
from filiation.examiners import architecture
from filiation.examiners.examiner import Subject
from filiation.sources.open import open_source
from filiation.statistics.register import empty, load
from tests.measures.test_design import LLAMA_2_7B

ODD = {
    "model_type": "llama",
    "hidden_size": 1408,
    "num_hidden_layers": 27,
    "num_attention_heads": 11,
    "num_key_value_heads": 11,
    "intermediate_size": 5000,
    "vocab_size": 77777,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "rope_theta": 123456.0,
    "attention_bias": False,
}


def subject(folder: Path, name: str, configuration: dict[str, object]) -> Subject:
    place = folder / name
    place.mkdir()
    (place / "config.json").write_text(json.dumps(configuration))
    source = open_source(place)
    seen = architecture.observe(source)
    assert isinstance(seen, Observation)
    return Subject(source=source, observation=seen)


def relation(
    folder: Path, reference: dict[str, object], suspect: dict[str, object], *, named: str = "reference"
) -> Relation:
    first = subject(folder, named, reference)
    second = subject(folder, "suspect", suspect)
    related = architecture.relate(first, second, seed=0)
    assert isinstance(related, Relation)
    return related


def judged(related: Relation) -> Outcome:
    outcomes = architecture.judge(Relations(pair=related), (), load("architecture"))
    assert len(outcomes) == len(architecture.TESTS)
    return outcomes[0]


def test_a_rare_design_found_again_ranks_first_and_stays_a_class_characteristic(tmp_path: Path) -> None:
    found = judged(relation(tmp_path, ODD, ODD))
    assert isinstance(found, Finding)
    assert found.count == 0
    assert found.log10_p == pytest.approx(-math.log10(found.opportunities + 1), abs=1e-3)
    assert found.log10_p >= found.resolution_log10_p
    assert found.characteristic is Characteristic.CLASS
    assert any("never identify" in limit for limit in found.limitations)


def test_a_design_that_dozens_share_is_weak(tmp_path: Path) -> None:
    found = judged(relation(tmp_path, LLAMA_2_7B, LLAMA_2_7B))
    assert isinstance(found, Finding)
    assert found.effect.value == 1.0
    assert found.count >= 1
    assert found.log10_p > found.resolution_log10_p
    beside = {companion.name: companion for companion in found.companions}
    assert "llama class default" in beside["the same framework's defaults"].note


def test_a_stranger_by_arithmetic_has_no_small_p(tmp_path: Path) -> None:
    other = ODD | {"hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16}
    found = judged(relation(tmp_path, LLAMA_2_7B, other | {"vocab_size": 50304, "intermediate_size": 5504}))
    assert isinstance(found, Finding)
    assert found.log10_p > -0.1


def test_the_references_own_lineage_is_left_out_when_named(tmp_path: Path) -> None:
    named = relation(tmp_path, LLAMA_2_7B, LLAMA_2_7B, named="Llama-2-7b-hf")
    assert named.content["left_out"] == ["Llama"]
    assert "Llama" not in named.content["population"]


def test_rank_p_is_at_most_uniform_when_the_suspect_is_one_of_the_lineages() -> None:
    """Theory: among exchangeable lineages a rank p is at most uniform, weights from the data included."""
    rng = np.random.default_rng(1)
    features = [f"feature {at}" for at in range(8)]
    ranks: Counter[int] = Counter()
    worlds, lineages = 3000, 19
    for _ in range(worlds):
        # A random popularity per feature makes lineages alike in what is common; they stay exchangeable.
        popularity = rng.uniform(0.05, 0.95, size=8)
        agreement = [int(sum(1 << at for at in range(8) if rng.random() < popularity[at])) for _ in range(lineages + 1)]
        content = {
            "features": features,
            "shared": [name for at, name in enumerate(features) if agreement[0] >> at & 1],
            "population": {f"lineage {number}": {"model": bits} for number, bits in enumerate(agreement[1:])},
        }
        ranks[len(architecture.closer_lineages(content))] += 1
    for k in range(lineages + 1):
        level = (k + 1) / (lineages + 1)
        seen = sum(ranks[at] for at in range(k + 1)) / worlds
        assert seen <= level + 4 * math.sqrt(level * (1 - level) / worlds)
    assert ranks[0] > 0.02 * worlds  # and it does find what stands out: the test is not merely silent


def test_calibration_on_public_lineages_held_out_by_the_study() -> None:
    results = json.loads((Path(__file__).parents[2] / "studies" / "results" / "architecture.json").read_text())
    for group in (
        "stranger pairs with p <= level",
        "the same, dense RMSNorm SiLU models within a factor of two in width",
    ):
        assert all(share <= float(level) for level, share in results[group].items())
    assert results["relatives detected, pairs"] / len(results["relatives"]) > 0.8


def test_without_register_or_with_another_table_it_declines(tmp_path: Path) -> None:
    related = relation(tmp_path, ODD, ODD)
    (declined,) = architecture.judge(Relations(pair=related), (), empty("architecture"))
    assert isinstance(declined, Inconclusive)
    assert "not validated" in declined.reason
    changed = msgspec.structs.replace(related, content=related.content | {"table": "0" * 64})
    assert isinstance(judged(changed), Inconclusive)


def test_too_few_features_or_an_encoder_is_inconclusive(tmp_path: Path) -> None:
    few = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 256}
    outcome = judged(relation(tmp_path, few, few))
    assert isinstance(outcome, Inconclusive)
    assert "are needed" in outcome.reason
    (tmp_path / "second").mkdir()
    encoder = judged(relation(tmp_path / "second", LLAMA_2_7B | {"architectures": ["XForMaskedLM"]}, LLAMA_2_7B))
    assert isinstance(encoder, Inconclusive)
    assert "decoder-only" in encoder.reason


def test_without_a_configuration_it_is_absent(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"nothing": "of this"}')
    assert isinstance(architecture.observe(open_source(tmp_path)), Absent)


def test_judging_a_stored_relation_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    related = relation(tmp_path, ODD, LLAMA_2_7B)
    stored = msgspec.json.decode(msgspec.json.encode(related), type=Relation)
    assert canonical(judged(related)) == canonical(judged(stored))


def test_fewer_agreeing_features_never_lower_p(tmp_path: Path) -> None:
    """Theory: a feature that the suspect loses weighs more for the lineages that have it, and nothing for the suspect."""
    content = relation(tmp_path, ODD, ODD).content
    features = content["features"]
    closer = [
        len(architecture.closer_lineages(content | {"shared": features[:kept]})) for kept in range(len(features) + 1)
    ]
    assert closer == sorted(closer, reverse=True)
    assert closer[0] == len(content["population"])
    assert closer[-1] == 0
