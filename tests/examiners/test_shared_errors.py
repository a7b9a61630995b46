"""The examiner of shared errors in small worlds of known relations, what it declines, and (real data) the figures of its study."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from filiation.errors import MalformedSource, UsageError
from filiation.evidence import Examination, Finding, Inconclusive, NotExamined, Outcome, digest
from filiation.examiners import shared_errors as examiner
from filiation.examiners.catalogue import calibration
from filiation.examiners.shared_errors import CHOICE, FREE_FORM
from filiation.investigation import compare, judge_again
from filiation.measures import shared_errors as measure
from filiation.report.wording import forbidden_words
from filiation.sources.packs import CARD, Card, PackModel, opened, packs, shipped
from filiation.sources.transcripts import prompt_id
from studies import peers_on_errors
from studies import shared_errors as study
from tests.examiners.answering_models import codes_of, population, write_transcripts

MODELS = 34
NAMES, LINEAGES, LABS = population(MODELS)
COPY = {3: (0, 0.6)}


def asked(file: Path, reference: int, suspect: int, *, controls: bool = True, **parameters: str | int) -> Examination:
    return compare(
        f"transcripts:{file}#model-{reference}",
        f"transcripts:{file}#model-{suspect}",
        [f"transcripts:{file}"] if controls else [],
        only=("shared_errors",),
        parameters={"shared_errors": {"packs": "none", **parameters}},
    )


def outcome(examination: Examination, test: str) -> Outcome:
    return next(found for found in examination.outcomes if found.test == test)


@pytest.fixture(scope="module")
def world() -> NDArray[np.int64]:
    """Model 3 gives model 0's answer to six items in ten; all others are strangers."""
    return codes_of(np.random.default_rng(21), MODELS, 160, children=COPY)


@pytest.fixture(scope="module")
def free_form(world: NDArray[np.int64], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answers") / "free.parquet"
    return write_transcripts(path, world, names=NAMES, lineages=LINEAGES, labs=LABS)


@pytest.fixture(scope="module")
def both_kinds(world: NDArray[np.int64], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answers") / "both.parquet"
    write_transcripts(path, world, names=NAMES, lineages=LINEAGES, labs=LABS)
    return write_transcripts(
        path, world, names=NAMES, lineages=LINEAGES, labs=LABS, options=10, benchmark="choice", append=True
    )


# --------------------------------------------------------------------------------------------------------- what it finds


def test_a_copy_stands_above_every_control_lineage(both_kinds: Path) -> None:
    examination = asked(both_kinds, 0, 3)
    for test in (FREE_FORM, CHOICE):
        found = outcome(examination, test)
        assert isinstance(found, Finding)
        assert (found.count, found.opportunities) == (0, MODELS - 4), "the labs of the two stand aside"
        assert found.log10_p == found.resolution_log10_p < np.log10(0.05)
        assert found.effect.value > 0.2
        assert found.observations == (digest(examination.relations["shared_errors"].pair),)


def test_the_roles_may_be_exchanged(free_form: Path) -> None:
    found = outcome(asked(free_form, 3, 0), FREE_FORM)
    assert isinstance(found, Finding)
    assert found.count == 0


def test_strangers_stand_among_the_controls(both_kinds: Path) -> None:
    places = []
    for reference, suspect in ((8, 20), (10, 31), (25, 14)):
        examination = asked(both_kinds, reference, suspect)
        for test in (FREE_FORM, CHOICE):
            found = outcome(examination, test)
            assert isinstance(found, Finding)
            places.append(found.count)
    assert min(places) > 0


def test_judging_again_from_the_record_gives_the_same_bytes(both_kinds: Path) -> None:
    examination = asked(both_kinds, 0, 3)
    stored = Examination.from_json(examination.to_json())
    assert judge_again(stored).digest == examination.digest == asked(both_kinds, 0, 3).digest


def test_looks_take_the_highest_of_the_path(free_form: Path) -> None:
    examination = asked(free_form, 0, 3, looks="80,160")
    found = outcome(examination, FREE_FORM)
    assert isinstance(found, Finding)
    assert found.count == 0
    assert any(companion.name == "looks" for companion in found.companions)
    with pytest.raises(UsageError, match="ascending"):
        asked(free_form, 0, 3, looks="160,80")


def test_free_form_answers_and_choices_are_tests_of_their_own(free_form: Path) -> None:
    found = outcome(asked(free_form, 0, 3), CHOICE)
    assert isinstance(found, NotExamined)
    assert "multiple choice" in found.reason


# ------------------------------------------------------------------------------------------------------ what it declines


def altered(source: Path, target: Path, *columns: pl.Expr) -> Path:
    pl.read_parquet(source).with_columns(*columns).write_parquet(target)
    return target


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ([pl.lit(None, dtype=pl.String).alias("gold")], "no right answer"),
        (
            [pl.lit(None, dtype=pl.String).alias("answer"), pl.lit("It is 3.").alias("text")],
            "no stated answer was extracted",
        ),
        ([pl.lit(None, dtype=pl.String).alias("answer")], "no answer is recorded"),
    ],
)
def test_what_is_missing_is_said(free_form: Path, tmp_path: Path, columns: list[pl.Expr], told: str) -> None:
    found = asked(altered(free_form, tmp_path / "less.parquet", *columns), 0, 3).outcomes
    assert all(isinstance(each, NotExamined) for each in found)
    assert told in found[0].reason


def test_other_prompts_are_no_common_items(free_form: Path, tmp_path: Path) -> None:
    other = altered(
        free_form,
        tmp_path / "other.parquet",
        pl.col("prompt_id").str.reverse(),
        pl.format("{}-other", "item").alias("item"),
    )
    found = compare(f"transcripts:{free_form}#model-0", f"transcripts:{other}#model-3", only=("shared_errors",))
    assert "no prompt in common" in found.outcomes[0].reason


def test_two_models_alone_are_not_judged(free_form: Path) -> None:
    found = outcome(asked(free_form, 0, 3, controls=False), FREE_FORM)
    assert isinstance(found, Inconclusive)
    assert "2 models are present" in found.reason


def test_few_labs_are_not_enough(free_form: Path, tmp_path: Path) -> None:
    path = altered(
        free_form, tmp_path / "labs.parquet", pl.concat_str(pl.lit("lab "), pl.col("model").str.tail(1)).alias("lab")
    )
    found = outcome(asked(path, 0, 3), FREE_FORM)
    assert isinstance(found, Inconclusive)
    assert "labs of 10 needed" in found.reason


def test_models_that_hardly_err_share_nothing(tmp_path: Path) -> None:
    codes = codes_of(np.random.default_rng(4), MODELS, 120)
    codes[:2] = np.where(np.arange(120) < 10, codes[:2], measure.RIGHT)
    path = write_transcripts(tmp_path / "good.parquet", codes, names=NAMES, lineages=LINEAGES, labs=LABS)
    found = outcome(asked(path, 0, 1), FREE_FORM)
    assert isinstance(found, Inconclusive)
    assert "20 are needed" in found.reason


def test_a_disputed_key_is_left_out(free_form: Path, tmp_path: Path) -> None:
    """Ten items have another right answer in the suspect's record."""
    disputed = (pl.col("model") == "model-3") & pl.col("item").is_in([f"quiz:{at}" for at in range(10)])
    path = altered(
        free_form, tmp_path / "key.parquet", pl.when(disputed).then(pl.lit("x")).otherwise("gold").alias("gold")
    )
    content = asked(path, 0, 3).relations["shared_errors"].pair.content
    assert content["tests"][FREE_FORM]["prompts"] == 150


def test_a_second_recording_of_the_suspect_is_no_control(free_form: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(free_form)
    again = frame.filter(pl.col("model") == "model-3").with_columns(
        pl.lit("model-x").alias("model"), pl.lit("another lineage").alias("lineage"), pl.lit("another lab").alias("lab")
    )
    path = tmp_path / "twice.parquet"
    pl.concat([frame, again]).write_parquet(path)
    found = outcome(asked(path, 0, 3), FREE_FORM)
    assert isinstance(found, Finding)
    assert found.count == 0
    assert any(part.kind == "left out" and part.name == "model-x" for part in found.components)


def test_controls_that_answered_little_are_left_out(free_form: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(free_form)
    path = tmp_path / "little.parquet"
    frame.filter((pl.col("model") != "model-30") | pl.col("item").str.contains("7$")).write_parquet(path)
    found = outcome(asked(path, 0, 3), FREE_FORM)
    assert any(part.kind == "left out" and part.name == "model-30" for part in found.components)


def test_no_sentence_says_what_a_report_may_not_say(both_kinds: Path, free_form: Path) -> None:
    texts = [examiner.QUESTION, examiner.NO_GOLD, *examiner.ASSUMPTIONS, *examiner.LIMITATIONS]
    for examination in (asked(both_kinds, 0, 3), asked(free_form, 0, 3, controls=False), asked(free_form, 0, 3)):
        for found in examination.outcomes:
            texts.append(found.reason)
            for part in (*getattr(found, "companions", ()), *getattr(found, "components", ())):
                texts += [part.name, part.note]
    assert {text: forbidden_words(text) for text in texts if forbidden_words(text)} == {}


# --------------------------------------------------------------------------------------------------------------- packs


def make_pack(folder: Path, codes: NDArray[np.int64], **changes: object) -> Path:
    """The world's other models as a pack, coded as the examiner codes their transcripts."""
    items = codes.shape[1]
    ids = tuple(prompt_id(f"quiz:{at}") for at in range(items))
    coded = np.array(
        [
            [
                code
                if code < measure.WRONG
                else measure.free_form_code(f"wrong {at} {code - measure.WRONG}", f"right {at}", ids[at])
                for at, code in enumerate(row.tolist())
            ]
            for row in codes[4:]
        ]
    )
    content = measure.pack_bytes(measure.Packed(coded, np.zeros(items, dtype=np.int64)))
    folder.mkdir()
    (folder / "answers.npz").write_bytes(content)
    card = Card(
        name="quiz",
        version="1",
        kind="answers",
        purpose="a test",
        source="simulated",
        licence="none",
        made_by="a test",
        feature_version=measure.VERSION,
        models=tuple(
            PackModel(name=name, lineage=lineage, lab=lab)
            for name, lineage, lab in zip(NAMES[4:], LINEAGES[4:], LABS[4:], strict=True)
        ),
        related=((0, 5, "sibling"),),
        prompts=ids,
        data="answers.npz",
        data_sha256=hashlib.sha256(content).hexdigest(),
    )
    (folder / CARD).write_bytes(msgspec.json.encode(msgspec.structs.replace(card, **changes)))
    return folder


def test_a_pack_stands_for_the_transcripts_it_was_made_of(
    world: NDArray[np.int64], free_form: Path, tmp_path: Path
) -> None:
    """Reference and suspect alone with the pack get the scores they get among the models' own transcripts."""
    pack = make_pack(tmp_path / "pack", world)
    few = tmp_path / "few.parquet"
    pl.read_parquet(free_form).filter(pl.col("model").is_in(NAMES[:4])).write_parquet(few)
    by_pack = asked(few, 0, 3, packs=str(pack)).relations["shared_errors"].pair.content["tests"][FREE_FORM]
    by_transcripts = asked(free_form, 0, 3).relations["shared_errors"].pair.content["tests"][FREE_FORM]
    scores = [
        {entrant["name"]: score for entrant, score in zip(part["entrants"], part["scores"][0], strict=True)}
        for part in (by_pack, by_transcripts)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=3)
    assert len(by_pack["related"]) == 1
    assert "quiz" in by_pack["packs"][0]


def test_a_model_of_the_pack_stands_in_the_line_up_once(
    world: NDArray[np.int64], free_form: Path, tmp_path: Path
) -> None:
    pack = make_pack(tmp_path / "pack", world)
    part = asked(free_form, 0, 3, packs=str(pack)).relations["shared_errors"].pair.content["tests"][FREE_FORM]
    assert len(part["entrants"]) == MODELS
    assert len(part["detail"]["left_out"]) == MODELS - 4


def test_a_pack_whose_card_and_data_disagree_is_refused(
    world: NDArray[np.int64], free_form: Path, tmp_path: Path
) -> None:
    pack = make_pack(tmp_path / "pack", world, prompts=("a", "b"))
    with pytest.raises(MalformedSource, match="other models or prompts"):
        asked(free_form, 0, 3, packs=str(pack))


def test_a_pack_of_another_measure_does_not_join(world: NDArray[np.int64], free_form: Path, tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "pack", world, feature_version="0")
    part = asked(free_form, 0, 3, controls=False, packs=str(pack)).relations["shared_errors"].pair.content
    assert part["tests"][FREE_FORM]["packs"] == []


def test_models_of_packs_may_be_exhibits(world: NDArray[np.int64], free_form: Path, tmp_path: Path) -> None:
    """A transcript against a model of a pack, and two models of a pack, score as their transcripts do."""
    pack = make_pack(tmp_path / "pack", world)
    by_transcripts = asked(free_form, 0, 7).relations["shared_errors"].pair.content["tests"][FREE_FORM]
    suspect = [entrant["name"] for entrant in by_transcripts["entrants"]].index("model-7")
    others = [f"transcripts:{free_form}#model-{at}" for at in range(4)]
    mixed = (
        compare(
            others[0],
            f"pack:{pack}#model-7",
            others[1:],
            only=("shared_errors",),
            parameters={"shared_errors": {"packs": str(pack)}},
        )
        .relations["shared_errors"]
        .pair.content["tests"][FREE_FORM]
    )
    assert len(mixed["entrants"]) == MODELS
    assert mixed["scores"][0][1] == pytest.approx(by_transcripts["scores"][0][suspect], abs=3)
    both = compare(
        f"pack:{pack}#model-9",
        f"pack:{pack}#model-7",
        others,
        only=("shared_errors",),
        parameters={"shared_errors": {"packs": str(pack)}},
    )
    assert isinstance(outcome(both, FREE_FORM), Finding)
    assert both.relations["shared_errors"].pair.content["tests"][FREE_FORM]["prompts"] == world.shape[1]


def test_a_pack_of_another_measure_is_no_exhibit(world: NDArray[np.int64], free_form: Path, tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "pack", world, feature_version="0")
    found = compare(f"transcripts:{free_form}#model-0", f"pack:{pack}#model-7", only=("shared_errors",)).outcomes
    assert "version 0 of the measure" in found[0].reason


def test_related_controls_do_not_keep_packs_out(world: NDArray[np.int64], free_form: Path, tmp_path: Path) -> None:
    """34 models of one lab with the reference are no controls: a pack joins although they are many."""
    path = altered(
        free_form, tmp_path / "one.parquet", pl.lit("lab-0").alias("lab"), pl.format("own {}", "model").alias("model")
    )
    found = (
        compare(
            f"transcripts:{path}#own model-0",
            f"transcripts:{path}#own model-3",
            [f"transcripts:{path}"],
            only=("shared_errors",),
        )
        .relations["shared_errors"]
        .pair.content["tests"][FREE_FORM]
    )
    assert found["packs"] == [], "no shipped pack has these items"
    assert not examiner._suffice([msgspec.convert(entrant, examiner.Entrant) for entrant in found["entrants"]])


BENCHMARK_PACKS = tuple(study.BENCHMARKS)


@pytest.mark.parametrize("name", BENCHMARK_PACKS)
def test_shipped_packs_hold_figures_and_name_their_models(name: str) -> None:
    pack = opened(name)
    packed = measure.unpack(pack.data.read_bytes())
    assert pack.card.kind == "answers"
    assert packed.codes.shape == (len(pack.card.models), len(pack.card.prompts))
    assert all(model.lineage and model.lab for model in pack.card.models)
    assert pack.card.feature_version == measure.VERSION
    with np.load(pack.data, allow_pickle=False) as archive:
        assert all(archive[part].dtype.kind == "u" for part in archive.files)


def test_packs_of_answers_are_found_by_their_kind() -> None:
    assert {pack.card.name for pack in packs("answers")} == set(BENCHMARK_PACKS)
    assert len(shipped()) > len(BENCHMARK_PACKS)


def test_the_names_of_items_lead_to_the_packs() -> None:
    """As users name them on import: 'crux:crux-test-#0', 'mmlu-pro:70'."""
    assert prompt_id("crux:crux-test-#0") in opened("crux").card.prompts
    assert prompt_id("math-l5:0") in opened("math_l5").card.prompts
    assert prompt_id("gsm:gsm8k-main-test-#0") in opened("gsm").card.prompts
    assert prompt_id("mmlu-pro:70") in opened("mmlu_pro").card.prompts


# ---------------------------------------------------------------------------------------------------------- calibration


def test_the_register_is_what_the_study_wrote() -> None:
    results = json.loads(study.RESULTS.read_text())
    register = calibration(examiner)
    assert {entry.test for entry in register.entries} == {FREE_FORM, CHOICE}
    assert all(entry.formula_version == examiner.VERSION for entry in register.entries)
    free = next(entry for entry in register.entries if entry.test == FREE_FORM)
    power = results["relatives, free-form"]
    assert [relation.detected for relation in free.relatives] == [
        row["lineages, every pair in first place"] for row in power.values()
    ]
    assert study.shortfalls(results) == []


real_data = pytest.mark.skipif(not study.present(), reason="the recorded answers are not here (FILIATION_DATA)")


@real_data
@pytest.mark.real_data
@pytest.mark.parametrize(("benchmark", "kind", "least"), [(*case, least) for case, least in study.ASKED.items()])
def test_recorded_relatives_stand_above_strangers(benchmark: str, kind: str, least: float) -> None:
    recorded = study.load(benchmark)
    scores = measure.kinship(recorded.codes, choices=recorded.choices)
    assert study.by_relation(recorded, scores)[kind] >= least


@real_data
@pytest.mark.real_data
@pytest.mark.parametrize("benchmark", ["crux", "math_l5", "gsm"])
def test_shipped_packs_are_what_the_recorded_answers_give(benchmark: str) -> None:
    recorded = study.load(benchmark)
    packed = measure.unpack(opened(benchmark).data.read_bytes())
    assert np.array_equal(packed.codes, recorded.codes)
    assert [model.name for model in opened(benchmark).card.models] == list(recorded.models)


def test_the_peers_hold_their_levels_where_items_are_independent() -> None:
    """What they say of real models is then no fault of how they were written: omega, GBT and our own per-item chance."""
    simulated = peers_on_errors.independent_answers(np.random.default_rng(8), 24, 400)
    off = ~np.eye(24, dtype=np.bool_)
    for name in ("omega, items that both got wrong", "GBT, items that both got wrong", "exact multiset, item by item"):
        tails = peers_on_errors.judged_by(name, simulated)[1][off]
        assert (tails <= np.log10(0.05)).mean() < 0.09, name
        assert (tails <= -3).mean() < 0.01, name


def test_the_tail_of_unequal_chances_against_the_binomial() -> None:
    for count in (0, 1, 7, 20):
        found = peers_on_errors.poisson_binomial_log10_tail(count, np.full(20, 0.3))
        assert found == pytest.approx(binom.logsf(count - 1, 20, 0.3) / np.log(10), abs=1e-9)


def test_holm_against_the_published_procedure() -> None:
    """Holm 1979: the smallest of m is multiplied by m, the next by m - 1, and none falls below the one before."""
    assert study.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert study.holm([0.5, 0.9]) == [1.0, 1.0]
