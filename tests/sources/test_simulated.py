"""The simulated world: the same for the same seed, in the transcripts' layout, with relations as strong as they are said to be."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest

from filiation.errors import UsageError
from filiation.measures.refusals import read_refusal
from filiation.sources.simulated import KEPT, KINDS, World, world
from filiation.sources.transcripts import SCHEMA, TranscriptSource, models_of, prompt_id

PROMPTS = {"open": 20, "problem": 60, "choice": 60, "borderline": 30, "nonsense": 10}


@cache
def small() -> World:
    return world(3, labs=6, lineages=2, prompts=PROMPTS)


@cache
def frame() -> pl.DataFrame:
    return small().frame()


def texts(name: str, kind: str = "open", where: pl.DataFrame | None = None) -> list[str]:
    table = frame() if where is None else where
    items = [question.item for question in small().questions if question.kind == kind]
    own = dict(table.filter(pl.col("model") == name).select("item", "text").iter_rows())
    return [own[item] for item in items]


def in_common(one: str, other: str) -> float:
    """Share of three-word phrases of the first's open answers that stand in the second's answer to the same prompt."""

    def phrases(text: str) -> set[tuple[str, ...]]:
        words = text.lower().split()
        return set(zip(words, words[1:], words[2:], strict=False))

    shares = [
        len(phrases(a) & phrases(b)) / max(1, len(phrases(a))) for a, b in zip(texts(one), texts(other), strict=True)
    ]
    return float(np.mean(shares))


def test_the_same_seed_gives_the_same_answers_whatever_was_asked_before():
    again = world(3, labs=6, lineages=2, prompts=PROMPTS)
    name = "lab-2-a, fine-tune" if "lab-2-a, fine-tune" in [m.name for m in again.models] else again.recorded[-3].name
    alone = again.frame([name])
    assert alone.equals(frame().filter(pl.col("model") == name))
    assert world(4, labs=6, lineages=2, prompts=PROMPTS).frame([name])["text"].to_list() != alone["text"].to_list()


def test_it_is_written_in_the_layout_of_transcripts(tmp_path):
    file = small().write(tmp_path / "world.parquet")
    assert dict(pl.read_parquet(file).schema) == SCHEMA
    assert models_of(file) == tuple(model.name for model in small().recorded)
    source = TranscriptSource(file, "lab-1-a")
    assert (source.lineage_id, source.transcript().lab) == ("lab-1-a", "lab-1")
    assert len(source.transcript().prompts) == sum(PROMPTS.values())
    assert (frame()["prompt_id"] == frame()["prompt"].map_elements(prompt_id, return_dtype=pl.String)).all()


def test_prompts_and_items_are_different_ones():
    for column in ("item", "prompt_id"):
        assert frame().filter(pl.col("model") == "lab-1-a")[column].n_unique() == sum(PROMPTS.values())


def test_relatives_share_phrases_by_the_strength_of_their_relation_and_strangers_few():
    strangers = [in_common(f"lab-{lab}-a", f"lab-{lab + 1}-b") for lab in range(1, 6)]
    shared = {
        model.relation: in_common(model.parent, model.name)
        for model in small().recorded
        if model.parent and model.relation in ("same model", "fine-tune", "version", "distilled")
    }
    assert shared["same model"] > shared["fine-tune"] > shared["version"] > shared["distilled"] > max(strangers)
    assert 0 < max(strangers) < 0.2


def test_shared_text_is_whole_answers():
    child = next(model for model in small().recorded if model.relation == "shared text")
    same = np.mean([a == b for a, b in zip(texts(child.parent), texts(child.name), strict=True)])
    assert 0.15 < same < 0.65
    assert not any(a == b for a, b in zip(texts("lab-1-a"), texts("lab-4-b"), strict=True))


def test_the_truth_is_told():
    some = small()
    assert some.relation("lab-1-a", "lab-1-a, same model") == "same model"
    assert some.relation("lab-1-a, same model", "lab-1-a") == "same model"
    assert some.relation("lab-1-a", "lab-2-a") == ""
    assert some.relation("base-x", "base-y") == "same base"
    assert set(KEPT) == {model.relation for model in some.models if model.parent}
    with pytest.raises(UsageError, match="no model of this world"):
        some.relation("lab-1-a", "nobody")


def test_relatives_stand_in_their_parents_lineage_and_students_do_not():
    for model in small().recorded:
        inherits = model.relation in ("same model", "fine-tune", "version", "same base")
        assert (model.lineage == (model.parent or model.name)) == (inherits or not model.parent), model


def test_problems_have_right_and_wrong_answers_and_relatives_share_the_wrong_ones():
    wrong = {}
    for name in ("lab-1-a", "lab-1-a, same model", "lab-5-b"):
        own = frame().filter((pl.col("model") == name) & pl.col("gold").is_not_null())
        assert 0.2 < (own["answer"] == own["gold"]).mean() < 0.9
        wrong[name] = {i: a for i, a, g in own.select("item", "answer", "gold").iter_rows() if a != g}

    def agreeing(one: str, other: str) -> float:
        both = wrong[one].keys() & wrong[other].keys()
        return float(np.mean([wrong[one][item] == wrong[other][item] for item in both]))

    assert agreeing("lab-1-a", "lab-1-a, same model") > 0.8
    assert agreeing("lab-1-a", "lab-5-b") < 0.5


def test_some_requests_are_refused_in_words_that_are_read_as_refusals():
    read = [read_refusal(text) for text in texts("lab-2-a", "borderline") + texts("lab-3-b", "borderline")]
    refused = np.mean([bool(reading.sentences) for reading in read])
    assert 0.1 < refused < 0.95


def test_another_runtime_changes_few_answers_and_another_sample_many():
    elsewhere = small().frame(["lab-3-b"], runtime=1)
    for kind in KINDS:
        same = np.mean([a == b for a, b in zip(texts("lab-3-b", kind), texts("lab-3-b", kind, elsewhere), strict=True)])
        assert same > 0.85
    twice = small().frame(["lab-3-b"], samples=2).filter(pl.col("item").str.starts_with("simulated-open"))
    first, second = (twice.filter(pl.col("sample") == sample)["text"].to_list() for sample in (0, 1))
    assert first == texts("lab-3-b")
    assert np.mean([a == b for a, b in zip(first, second, strict=True)]) < 0.1


@pytest.mark.parametrize("asked", [{"labs": 2, "lineages": 2}, {"prompts": {"open": 10_000}}])
def test_what_cannot_be_made_is_refused_with_advice(asked):
    with pytest.raises(UsageError) as raised:
        world(**asked)
    assert raised.value.advice
