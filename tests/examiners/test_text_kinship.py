"""A simulated world of answers whose descent is known: strangers choose their words apart, a derivative keeps most of its parent's."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from filiation.errors import UsageError
from filiation.evidence import Examination, Finding, Inconclusive, NotExamined, canonical
from filiation.examiners import line_up, text_kinship
from filiation.examiners.line_up import Entrant
from filiation.investigation import compare, judge_again
from filiation.report.wording import forbidden_words
from filiation.sources.packs import packs
from filiation.sources.transcripts import SCHEMA, prompt_id
from studies import alpaca_eval

PROMPTS = 40
LINEAGES = 36
LABS = 18
TEST = text_kinship.TESTS[0].id


def answer(lineage: str, prompt: int, kept: float = 1.0, own: str = "") -> str:
    """60 words out of the prompt's 400; a derivative keeps a share of its lineage's words and places its own at the others."""
    words = _words(lineage, prompt)
    if kept < 1:
        keep = np.random.default_rng([*f"keep {own}".encode(), prompt]).random(60) < kept
        words = np.where(keep, words, _words(own, prompt))
    return " ".join(f"p{prompt}w{word}" for word in words)


def _words(name: str, prompt: int) -> np.ndarray:
    return np.random.default_rng([*name.encode(), prompt]).integers(0, 400, size=60)


def rows(model: str, texts: list[str], lineage: str, lab: str, first: int = 0, sample: int = 0) -> pl.DataFrame:
    ids = [f"question {first + at}" for at in range(len(texts))]
    blank = dict.fromkeys(SCHEMA)
    return pl.DataFrame(
        [
            blank
            | {"model": model, "lineage": lineage, "lab": lab, "item": "", "prompt_id": prompt_id(ask), "prompt": ask}
            | {"sample": sample, "text": text, "parameters": "{}", "source_sha256": ""}
            for ask, text in zip(ids, texts, strict=True)
        ],
        schema=SCHEMA,
    )


def model(name: str, lineage: str = "", kept: float = 1.0, lab: str = "", prompts: int = PROMPTS) -> pl.DataFrame:
    texts = [answer(lineage or name, prompt, kept, name) for prompt in range(prompts)]
    return rows(name, texts, lineage or name, lab or f"lab of {name}")


@pytest.fixture(scope="module")
def controls() -> pl.DataFrame:
    return pl.concat([model(f"c{n}", lab=f"lab {n % LABS}") for n in range(LINEAGES)])


def examined(tmp_path: Path, frame: pl.DataFrame, suspect: str, **settings: str | int) -> Examination:
    """Reference 'r' against a suspect among everybody else in the frame; lineages of the two are not declared."""
    file = tmp_path / "answers.parquet"
    disputed = pl.col("model").is_in(["r", suspect])
    frame.with_columns(
        lineage=pl.when(disputed).then(pl.lit("")).otherwise("lineage"),
        lab=pl.when(disputed).then(pl.lit("")).otherwise("lab"),
    ).sort("model", "prompt_id", "sample").write_parquet(file)
    return compare(
        f"transcripts:{file}#r",
        f"transcripts:{file}#{suspect}",
        [f"transcripts:{file}"],
        only=["text_kinship"],
        parameters={"text_kinship": {"packs": "none", **settings}},
    )


def finding(examination: Examination) -> Finding:
    (outcome,) = examination.outcomes
    assert isinstance(outcome, Finding), outcome.reason
    return outcome


def content(examination: Examination) -> dict:
    return examination.relations["text_kinship"].pair.content


def test_a_derivative_stands_above_every_control_lineage(tmp_path: Path, controls: pl.DataFrame) -> None:
    found = finding(examined(tmp_path, pl.concat([controls, model("r"), model("s", "r", kept=0.8)]), "s"))
    assert found.count == 0
    assert found.opportunities == LINEAGES
    assert found.log10_p == found.resolution_log10_p
    assert found.log10_p <= math.log10(0.05)
    assert found.effect.low <= found.effect.value <= found.effect.high


def test_strangers_are_not_accused_more_often_than_promised(tmp_path: Path, controls: pl.DataFrame) -> None:
    """12 suspects that chose their words apart from the reference: p <= 0.05 at most thrice (chance of more: 0.0022)."""
    small = []
    for n in range(12):
        frame = pl.concat([controls, model("r"), model(f"stranger {n}")])
        small.append(finding(examined(tmp_path, frame, f"stranger {n}")).log10_p <= math.log10(0.05))
    assert sum(small) <= 3


def test_judging_from_the_record_gives_the_same_bytes(tmp_path: Path, controls: pl.DataFrame) -> None:
    seen = examined(tmp_path, pl.concat([controls, model("r"), model("s", "r", kept=0.8)]), "s")
    again = judge_again(Examination.from_json(seen.to_json()))
    assert canonical(again.outcomes) == canonical(seen.outcomes)
    assert again.digest == seen.digest


def test_nobody_is_told_in_words_that_a_report_may_not_use(tmp_path: Path, controls: pl.DataFrame) -> None:
    copy = model("r").with_columns(model=pl.lit("c of r"), lineage=pl.lit("x"), lab=pl.lit("y"))
    found = finding(examined(tmp_path, pl.concat([controls, copy, model("r"), model("s")]), "s", looks="20,30"))
    told = [found.reason, *found.limitations, *found.assumptions, text_kinship.QUESTION]
    told += [part for companion in found.companions for part in (companion.name, companion.value, companion.note)]
    told += [part.note for part in found.components]
    assert not [word for text in told for word in forbidden_words(text)]


def test_a_second_sample_of_an_answer_adds_nothing(tmp_path: Path, controls: pl.DataFrame) -> None:
    frame = pl.concat([controls, model("r"), model("s", "r", kept=0.5)])
    more = rows("s", [answer("r", prompt) for prompt in range(PROMPTS)], "r", "", sample=1)
    once, twice = (examined(tmp_path, given, "s") for given in (frame, pl.concat([frame, more])))
    assert content(once)["scores"] == content(twice)["scores"]


def test_a_recording_of_the_reference_under_another_name_is_no_control(tmp_path: Path, controls: pl.DataFrame) -> None:
    """Left in, it would stand above every suspect, and nobody could be found."""
    copy = model("r").with_columns(model=pl.lit("other name"), lineage=pl.lit("elsewhere"), lab=pl.lit("elsewhere"))
    seen = examined(tmp_path, pl.concat([controls, copy, model("r"), model("s", "r", kept=0.8)]), "s")
    found = finding(seen)
    assert found.count == 0
    assert "elsewhere" not in found.lineages.controls
    assert [part.name for part in found.components if part.kind == "left out"] == ["other name"]


def test_a_control_that_answered_too_little_is_left_out_and_one_with_gaps_is_not(
    tmp_path: Path, controls: pl.DataFrame
) -> None:
    little, gaps = model("little", prompts=20), model("gaps", prompts=32)
    seen = examined(tmp_path, pl.concat([controls, little, gaps, model("r"), model("s", "r", kept=0.8)]), "s")
    names = [entrant["name"] for entrant in content(seen)["entrants"]]
    assert "gaps" in names
    assert "little" not in names
    assert ["little", "answered 20 of 40 prompts"] in content(seen)["detail"]["left_out"]
    assert finding(seen).count == 0


def test_blank_answers_count_as_not_given(tmp_path: Path, controls: pl.DataFrame) -> None:
    blank = model("s", "r", kept=0.8).with_columns(
        text=pl.when(pl.col("prompt_id") < "4").then(pl.lit(" \n")).otherwise("text")
    )
    asked = blank.filter(pl.col("text") != " \n").height
    seen = examined(tmp_path, pl.concat([controls, model("r"), blank]), "s")
    assert content(seen)["prompts"] == asked < PROMPTS


def test_too_few_controls_or_prompts_are_declined(tmp_path: Path, controls: pl.DataFrame) -> None:
    pair = [model("r"), model("s", "r", kept=0.8)]
    alone = examined(tmp_path, pl.concat(pair), "s")
    few = examined(tmp_path, pl.concat([controls.filter(pl.col("model") < "c2"), *pair]), "s")
    short = examined(tmp_path, pl.concat([controls, *pair]), "s", most_prompts=29)
    for seen in (alone, few, short):
        (outcome,) = seen.outcomes
        assert isinstance(outcome, Inconclusive)
    assert "too few unrelated controls" in few.outcomes[0].reason
    assert "29 prompts" in short.outcomes[0].reason


def test_models_that_answered_nothing_in_common_are_not_examined(tmp_path: Path, controls: pl.DataFrame) -> None:
    other = rows("s", ["some text"] * 5, "s", "", first=1000)
    (outcome,) = examined(tmp_path, pl.concat([controls, model("r"), other]), "s").outcomes
    assert isinstance(outcome, NotExamined)
    assert "no prompt in common" in outcome.reason


def test_packs_that_were_named_and_cannot_join_are_left_out_with_the_reason(
    tmp_path: Path, controls: pl.DataFrame
) -> None:
    """The world's prompts are in no pack; 'auto' says nothing of packs that nobody asked for."""
    (shipped,) = (pack for pack in packs("text") if pack.card.name == "alpaca_eval")
    old = tmp_path / "old"
    old.mkdir()
    (old / shipped.card.data).write_bytes(b"never read")
    card = msgspec.structs.replace(
        shipped.card, name="old", feature_version="0", data_sha256=hashlib.sha256(b"never read").hexdigest()
    )
    (old / "card.json").write_bytes(msgspec.json.encode(card))
    frame = pl.concat([controls, model("r"), model("s", "r", kept=0.8)])
    seen = examined(tmp_path, frame, "s", packs=f"alpaca_eval, mmlu_pro,{old},alpaca_eval")
    left_out = {title.split()[0]: reason for title, reason in content(seen)["detail"]["left_out"]}
    assert sorted(left_out) == ["alpaca_eval", "mmlu_pro", "old"]
    assert "with 0 of the prompts" in left_out["alpaca_eval"]
    assert "another kind" in left_out["mmlu_pro"]
    assert "another version" in left_out["old"]
    assert not [reason for reason in left_out.values() if forbidden_words(reason)]
    shown = [part.name.split()[0] for part in finding(seen).components if part.kind == "left out"]
    assert sorted(shown) == sorted(left_out)
    few = pl.concat([controls.filter(pl.col("model") < "c2"), model("r"), model("s", "r", kept=0.8)])
    for silent in (examined(tmp_path, frame, "s", packs="auto"), examined(tmp_path, few, "s", packs="auto")):
        assert content(silent)["detail"]["left_out"] == []


def test_two_spellings_of_a_lineage_or_lab_do_not_make_enough_controls() -> None:
    def own(name: str, lineage: str, lab: str) -> Entrant:
        return Entrant(name=name, lineage=lineage, lab=lab, origin="control")

    spelt = [own(f"c{n}", f"Lineage-{n % 15}" if n < 15 else f"lineage {n % 15}", f"lab {n % 12}") for n in range(30)]
    assert not line_up.suffices(spelt, text_kinship.DEMANDS)
    assert line_up.suffices([own(f"c{n}", f"lineage {n}", f"lab {n % 12}") for n in range(30)], text_kinship.DEMANDS)
    assert not line_up.suffices(
        [own(f"c{n}", f"lineage {n}", "Lab" if n % 2 else "lab ") for n in range(30)], text_kinship.DEMANDS
    )
    assert text_kinship._akin(own("a", "Llama-2", ""), [own("b", "llama 2", "Meta")])
    assert text_kinship._akin(own("a", "x", "META"), [own("b", "y", "Meta")])
    assert not text_kinship._akin(own("a", "", ""), [own("b", "", "")])


def test_a_recordings_relatives_are_found_however_their_lab_is_spelt() -> None:
    names = [("r", "", ""), ("s", "", ""), ("copy", "L-1", "Some Lab"), ("kin", "l 1", ""), ("mate", "", "some-lab")]
    entrants = [Entrant(name=name, lineage=lineage, lab=lab, origin="control") for name, lineage, lab in names]
    entrants.append(Entrant(name="other", lineage="o", lab="p", origin="control"))
    gathered = text_kinship.Gathered(
        entrants=tuple(entrants), prompts=(), texts=(), packed={}, packs=(), related=(), left_out=()
    )
    assert text_kinship.inherited(gathered, [(0, 2)]) == {(0, 2), (0, 3), (0, 4)}


def test_looks_rank_the_highest_score_of_every_path(tmp_path: Path, controls: pl.DataFrame) -> None:
    frame = pl.concat([controls, model("r"), model("s", "r", kept=0.8)])
    found = finding(examined(tmp_path, frame, "s", looks="10,20"))
    assert found.count == 0
    assert "after 10,20 prompts" in [companion.value for companion in found.companions]


def test_the_name_of_a_model_does_not_count(tmp_path: Path, controls: pl.DataFrame) -> None:
    frame = pl.concat([controls, model("r"), model("s", "r", kept=0.5)])
    renamed = frame.with_columns(
        model=pl.when(pl.col("model").str.starts_with("c")).then(pl.format("z{}", "model")).otherwise("model")
    )
    one, other = (examined(tmp_path, given, "s") for given in (frame, renamed))
    assert content(one)["scores"] == content(other)["scores"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not alpaca_eval.present():
        pytest.skip("the recorded AlpacaEval answers are not here")
    file = tmp_path_factory.mktemp("recorded") / "answers.parquet"
    data = alpaca_eval.load()
    kept = pl.col("model").is_in(["vicuna-13b-v1.5", "vicuna-13b-v1.5-togetherai", "claude-2"])
    data.frame.filter(kept & pl.col("prompt_id").is_in(data.prompts[:60])).with_columns(
        lineage=pl.lit(""), lab=pl.lit(""), model=pl.concat_str(pl.lit("exhibit "), "model")
    ).write_parquet(file)
    return file


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("suspect", "found"), [("vicuna-13b-v1.5-togetherai", True), ("claude-2", False)], ids=["same model", "unrelated"]
)
def test_with_the_shipped_pack_no_controls_are_needed(recorded: Path, suspect: str, found: bool) -> None:
    """The exhibits are recordings that the pack holds too, under other names: they and their relatives are no controls."""
    reference = "exhibit vicuna-13b-v1.5"
    seen = compare(
        f"transcripts:{recorded}#{reference}", f"transcripts:{recorded}#exhibit {suspect}", only=["text_kinship"]
    )
    (outcome,) = seen.outcomes
    assert isinstance(outcome, Finding), outcome.reason
    assert (outcome.log10_p <= outcome.power.threshold_log10_p) == found
    assert content(seen)["packs"] == [pack.title for pack in packs("text")]
    copied = {content(seen)["entrants"][at]["name"] for _, at in content(seen)["detail"]["same_recording"]}
    assert {"vicuna-13b-v1.5", suspect} <= copied
    assert outcome.test == TEST


@pytest.mark.parametrize(
    ("reference", "suspect", "found"),
    [
        ("vicuna-13b-v1.5", "vicuna-13b-v1.5-togetherai", True),
        ("gpt4_0314", "gpt4_0613", True),
        ("claude-3-opus-20240229", "Qwen2-72B-Instruct", False),
    ],
)
def test_models_of_the_shipped_pack_are_exhibits_without_their_texts(reference: str, suspect: str, found: bool) -> None:
    """Truth from the card: the same weights served twice, two versions of one model, and two labs' own models."""
    seen = compare(f"pack:alpaca_eval#{reference}", f"pack:alpaca_eval#{suspect}", only=["text_kinship"])
    (outcome,) = seen.outcomes
    assert isinstance(outcome, Finding), outcome.reason
    assert (outcome.log10_p <= outcome.power.threshold_log10_p) == found
    names = [entrant["name"] for entrant in content(seen)["entrants"]]
    assert names[:2] == [reference, suspect]
    assert sorted(names) == sorted(known.name for known in packs("text")[0].card.models)
    assert judge_again(seen).outcomes == seen.outcomes


def test_a_model_that_a_pack_does_not_hold_is_refused_with_advice() -> None:
    with pytest.raises(UsageError, match="packs show"):
        compare("pack:alpaca_eval#nobody", "pack:alpaca_eval#claude-2")
