"""The study of survival in small: what is planted is found and what is not is not, and its measures against slower ways and simulation."""

from __future__ import annotations

import copy
import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2_contingency

from filiation.canaries import labels
from filiation.canaries.ranks import log10_sum_tail
from filiation.statistics.intervals import share_interval
from studies.canary_figures import LOG10_ALPHA, POWER, batches_by_ranks, batches_needed, figures, power_of, survival
from studies.canary_lineages import another_lineage, dispersion, pooled, together
from studies.canary_lines import BEACON, COHORT, KEY, OPTIONS, batches
from studies.canary_models import answers, option_log_probabilities, teachers_logits
from studies.canary_picture import picture
from studies.canary_smollm2 import RESULTS as SMOLLM2
from studies.canary_smollm2 import averaged, edited, pruned, rounded
from studies.canary_survival import FURTHER, PLANS, RESULTS, Point, Study, main, points, published
from studies.canary_table import another, parts, table
from studies.canary_table import batches as batches_told
from studies.zoo.architectures import configuration, fresh

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent.parent
PLAN = PLANS["smoke"]
WANTED = ("base", "stranger", "unplanted", f"planted-{max(PLAN.doses)}")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Study(PLAN, tmp_path_factory.mktemp("survival"), print)
    made.root.mkdir(parents=True)
    return made


@pytest.fixture(scope="module")
def found(study: Study) -> dict[str, dict[str, Any]]:
    """Figures of controls and of the planted model, by name."""
    chosen = [point for point in points(PLAN) if point.name in WANTED]
    return {point.name: figures(study.measured(point), study.canaries, study.decoys) for point in chosen}


@pytest.fixture(scope="module")
def untrained() -> Any:
    return fresh(configuration("llama", PLAN.size), 5)


def test_a_planted_model_is_above_chance_and_its_decoys_are_not(found: dict[str, dict[str, Any]]) -> None:
    planted = found[WANTED[-1]]
    assert planted["log10 p"] < -3
    assert planted["log10 p by ranks"] < -6
    assert planted["log10 p of the decoys"] > -3
    assert planted["log10 p of the decoys by ranks"] > -3


@pytest.mark.parametrize("control", WANTED[:-1])
def test_a_model_that_was_never_planted_is_not_above_chance(control: str, found: dict[str, dict[str, Any]]) -> None:
    assert found[control]["log10 p"] > -3
    assert found[control]["log10 p by ranks"] > -3


def test_a_run_that_goes_on_asks_nothing_again(study: Study, found: dict[str, dict[str, Any]]) -> None:
    point: Point = next(point for point in points(PLAN) if point.name == WANTED[-1])
    before = {file: file.stat().st_mtime_ns for file in study.folder(point).iterdir()}
    assert figures(study.measured(point), study.canaries, study.decoys) == found[point.name]
    assert {file: file.stat().st_mtime_ns for file in study.folder(point).iterdir()} == before


def test_every_parent_is_made_before_its_children() -> None:
    for plan in PLANS.values():
        seen: set[str] = set()
        for point in points(plan):
            assert set(point.parents) <= seen
            assert point.name not in seen
            seen.add(point.name)


# -------------------------------------------------------------------------------------------------------------- measures


def test_answers_that_all_agree_are_counted_as_such(study: Study) -> None:
    label = dict(zip(study.canaries, labels.labels(KEY, BEACON, COHORT, study.canaries), strict=True))
    asked = {
        "texts": {canary.index: canary.options[right] for canary, right in label.items()},
        "log probabilities": {
            canary.index: tuple(float(option == right) for option in range(OPTIONS)) for canary, right in label.items()
        },
        "loss": 0.0,
    }
    row = figures(asked, study.canaries, study.decoys)
    assert row["agreements"] == row["of"] == 16
    assert row["kept"] == 1.0
    assert row["mean rank"] == 1.0
    assert row["log10 p"] == pytest.approx(-16 * np.log10(16), abs=0.02)
    assert row["batches"] == 1
    assert row["agreements by kind"] == {kind: [of, of] for kind, of in Counter(each.kind for each in label).items()}


@pytest.mark.parametrize(("kept", "batches"), [(1.0, 1), (0.25, 1), (0.1, 3), (0.05, 10), (0.0, None), (-0.01, None)])
def test_batches_against_the_published_table_of_canaries(kept: float, batches: int | None) -> None:
    assert batches_needed(kept) == batches


def test_batches_by_ranks_against_simulation() -> None:
    """One in eleven labelled options is first, the rest fall anywhere: so many batches reach p <= 1e-12 in about 95 % of cases."""
    rng = np.random.default_rng(4)
    seen = np.concatenate([np.full(160, OPTIONS - 1), np.tile(np.arange(OPTIONS), 100)])
    needed = batches_by_ranks(seen)
    assert needed is not None
    size = 256 * needed
    totals = np.sort(rng.multinomial(size, np.bincount(seen) / len(seen), size=4000) @ np.arange(OPTIONS))
    scores = [tuple(range(OPTIONS))] * size
    assert log10_sum_tail(int(totals[round(0.08 * 4000)]), scores) <= -12.0
    smaller = 256 * (needed - 1)
    fewer = np.sort(rng.multinomial(smaller, np.bincount(seen) / len(seen), size=4000) @ np.arange(OPTIONS))
    assert log10_sum_tail(int(fewer[round(0.02 * 4000)]), scores[:smaller]) > -12.0


def test_ranks_as_chance_gives_them_need_no_number() -> None:
    assert batches_by_ranks(np.tile(np.arange(OPTIONS), 8)) is None


def test_log_probabilities_of_options_against_one_reading_at_a_time(study: Study, untrained: Any) -> None:
    found = option_log_probabilities(untrained, study.writing, study.canaries[:3])
    for canary, row in zip(study.canaries, found, strict=False):
        for option, score in zip(canary.options, row, strict=True):
            prompt, ids = study.writing.prompt(canary.prompt), study.writing.option(option)
            with torch.no_grad():
                told = untrained(input_ids=torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
            each = [float(told[len(prompt) - 1 + place, token]) for place, token in enumerate(ids)]
            assert score == pytest.approx(sum(each), abs=1e-3)


def test_likeliest_answers_against_a_reading_without_cache(study: Study, untrained: Any) -> None:
    prompts = [canary.prompt for canary in study.canaries[:3]]
    for prompt, said in zip(prompts, answers(untrained, study.writing, prompts), strict=True):
        ids: list[int] = []
        while len(ids) < 20 and study.writing.end not in ids:
            whole = torch.tensor([study.writing.prompt(prompt) + ids])
            with torch.no_grad():
                ids.append(int(untrained(input_ids=whole).logits[0, -1].argmax()))
        assert said == study.writing.text([token for token in ids if token != study.writing.end])


def test_a_model_that_is_taught_by_its_own_logits_has_nothing_to_learn(study: Study, untrained: Any) -> None:
    rows = study.writing.rows(study.ordinary(8, 9, "one"))
    packed = next(batches(rows, 8))
    assert float(teachers_logits(untrained)(untrained, packed)) == pytest.approx(0.0, abs=1e-5)
    other = fresh(configuration("llama", PLAN.size), 6)
    assert float(teachers_logits(untrained)(other, packed)) > 1e-3


def test_the_batches_hold_every_row_once_and_mark_its_answer(study: Study) -> None:
    rows = study.writing.rows(study.ordinary(37, 9, "one"))
    marked = [
        tuple(tokens[answered.bool()].tolist())
        for packed in batches(rows, 4)
        for tokens, answered in zip(*packed, strict=True)
    ]
    assert len(marked) == 37
    assert sorted(marked) == sorted(row.tokens[row.answer :] for row in rows)


def test_the_picture_stands_alone_and_names_every_point() -> None:
    points_ = [_row(point) for point in points(replace(PLAN, exposures=(0, 1, 64)))]
    drawn = ElementTree.fromstring(picture({"points": points_}))
    description = drawn.find("{http://www.w3.org/2000/svg}desc")
    assert description is not None
    assert description.text is not None
    assert all(row["said"] in description.text for row in points_)


def _row(point: Point) -> dict[str, Any]:
    exposures = point.settings.get("exposures", 0)
    settings = {"name": point.name, "group": point.group, "said": point.said, "settings": dict(point.settings)}
    return settings | {
        "exposures": exposures,
        "share of text": 0.1,
        "mean rank": 0.8,
        "kept": 0.5,
        "kept by lineage": [0.45, 0.55],
        "kept low": 0.4,
        "kept high": 0.6,
        "batches": 1,
        "batches of the worst": 2,
        "batches at most": 3,
    }


# -------------------------------------------------------------------------------------------------------------- SmolLM2


def test_copies_differ_from_their_model_in_what_was_edited_alone(untrained: Any) -> None:
    halved = edited(untrained, lambda weight: pruned(weight, 0.5))
    for name, before in untrained.named_parameters():
        after = halved.get_parameter(name)
        share = float((after == 0).float().mean())
        assert share == pytest.approx(0.5, abs=0.01) if "_proj." in name else torch.equal(after, before)


def test_the_average_of_a_model_and_its_negative_is_nothing(untrained: Any) -> None:
    negative = copy.deepcopy(untrained)
    for parameter in negative.parameters():
        parameter.data.neg_()
    assert all(not parameter.any() for parameter in averaged(untrained, negative).parameters())


def test_four_bits_leave_sixteen_values_in_a_block() -> None:
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(1))
    blocks = rounded(weight).reshape(-1, 32)
    assert all(len(block.unique()) <= 16 for block in blocks)
    assert float((rounded(weight) - weight).abs().max()) < 0.5


# ------------------------------------------------------------------------------------------------------------- lineages


def _measured(agreements: int, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A row as it would be with so many agreements."""
    low, high = share_interval(agreements, 16)
    kept = {"kept": survival(agreements / 16), "kept low": survival(low), "kept high": survival(high)}
    said = {"name": "planted-64", "group": "planted", "said": "planted", "settings": {}}
    return found[WANTED[-1]] | said | kept | {"agreements": agreements}


def test_a_point_of_several_lineages_has_the_weakest_p_and_the_interval_of_another(
    found: dict[str, dict[str, Any]],
) -> None:
    weak = _measured(6, found) | {"log10 p": -3.1, "batches by ranks, about": None, "log10 p of the decoys": -0.5}
    strong = _measured(15, found) | {"log10 p": -16.0, "batches by ranks, about": 1, "log10 p of the decoys": 0.0}
    row = pooled([strong, weak, strong])
    assert row["agreements"] == [15, 6, 15]
    assert row["kept"] == pytest.approx(survival(36 / 48), abs=1e-4)
    assert (row["kept low"], row["kept high"]) == pytest.approx(
        [survival(s) for s in another_lineage([15, 6, 15], 16)], abs=1e-4
    )
    assert (row["log10 p"], row["log10 p of the decoys"]) == (-3.1, -0.5)
    assert row["batches by ranks, about"] is None
    assert row["batches of the worst"] == batches_needed(survival(6 / 16))
    assert row["batches at most"] == batches_needed(survival(another_lineage([15, 6, 15], 16)[0]))


def test_two_lineages_stand_for_themselves(found: dict[str, dict[str, Any]]) -> None:
    row = pooled([_measured(15, found), _measured(6, found)])
    assert row["kept by lineage"] == [survival(15 / 16), survival(6 / 16)]
    assert (row["kept low"], row["kept high"], row["batches at most"]) == (None, None, None)
    assert another(row) == "two are too few"
    assert batches_told(row | {"batches of the worst": 2}) == "1 / 2"


def test_one_lineage_is_shown_as_it_was_measured(found: dict[str, dict[str, Any]]) -> None:
    row = _measured(9, found)
    alone = pooled([row])
    assert all(alone[name] == row[name] for name in ("kept low", "kept high", "log10 p", "batches by ranks, about"))


@pytest.mark.parametrize("number", [3, 4, 5])
@pytest.mark.parametrize("spread", [0.0, 0.03, 0.1])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_the_interval_of_another_lineage_against_simulation(number: int, spread: float, share: float) -> None:
    """Lineages that scatter normally by angle, and are counted: one more lies within in 95 % of cases or more."""
    rng = np.random.default_rng([number, round(100 * spread), round(10 * share)])
    angles = np.arcsin(np.sqrt(share)) + spread * rng.standard_normal((2000, number + 1))
    counts = rng.binomial(256, np.sin(np.clip(angles, 0, np.pi / 2)) ** 2)
    inside = [low <= row[-1] / 256 <= high for row in counts for low, high in [another_lineage(row[:-1], 256)]]
    assert np.mean(inside) > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_lineages_that_agree_by_luck_do_not_narrow_the_interval_below_what_counting_makes() -> None:
    for number in (3, 4, 5):
        low, high = another_lineage([128] * number, 256)
        counted = share_interval(128, 256)
        assert low < counted[0] < counted[1] < high


def test_the_dispersion_by_kind_against_scipy_and_where_there_is_none() -> None:
    counts = {"bird": [10, 29], "tree": [27, 29], "unit": [20, 28]}
    table = [[agreed, of - agreed] for agreed, of in counts.values()]
    assert dispersion(counts) == pytest.approx(chi2_contingency(table).statistic / 2, abs=0.01)
    assert dispersion({"bird": [4, 4], "tree": [5, 5]}) is None
    assert dispersion({"bird": [0, 4], "tree": [0, 5]}) is None


def test_the_batches_of_the_worst_lineage_are_enough_in_every_lineage_and_one_fewer_is_not() -> None:
    for point in json.loads(RESULTS.read_text())["points"]:
        needed, shares = point["batches of the worst"], np.array(point["agreements"]) / point["of"]
        if needed is not None:
            assert all(_power(256 * needed, share) >= POWER for share in shares)
            assert needed == 1 or _power(256 * (needed - 1), min(shares)) < POWER


def test_power_in_each_lineage_against_the_binomial_law_of_scipy() -> None:
    for number, share in [(1, 0.2), (1, 0.3), (6, 0.09), (13, 0.1)]:
        assert power_of(number, share) == pytest.approx(_power(256 * number, share), rel=1e-6)


def _power(canaries: int, share: float) -> float:
    """The chance that p <= 10^-12 where a canary agrees with this one."""
    threshold = binom.isf(10**LOG10_ALPHA, canaries, 1 / OPTIONS) + 1
    return float(binom.sf(threshold - 1, canaries, share))


def test_further_lineages_have_points_of_the_first_only_and_numbers_of_their_own() -> None:
    for size, plans in FURTHER.items():
        first = {point.name for point in points(PLANS[size])}
        assert all({point.name for point in points(plan)} <= first for plan in plans)
        seeds = sorted(plan.seed for plan in (PLANS[size], *plans))
        assert all(later - earlier > 200 for earlier, later in itertools.pairwise(seeds))


def test_what_is_published_was_measured_by_the_plans_as_they_are() -> None:
    plans = dict(enumerate((PLANS["full"], *FURTHER["full"]), 1))
    assert list(published(plans).values()) == json.loads(RESULTS.read_text())["lineages"]
    assert published({1: replace(PLANS["full"], seed=4)}) == {}


def test_a_lineage_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--size", "smoke", "--lineage", "2"])
    assert "lineages of this size: 1 to 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("expected", "worst", "at_most", "told"),
    [
        (1, 1, 1, "1"),
        (3, 5, 12, "3 / 5 / 12"),
        (8, 9, None, "8 / 9 / -"),
        (None, None, None, "-"),
        (1156, None, None, "1,156 / - / -"),
    ],
)
def test_batches_as_the_table_tells_them(
    expected: int | None, worst: int | None, at_most: int | None, told: str
) -> None:
    row = {"batches": expected, "batches of the worst": worst, "batches at most": at_most, "kept low": 0.0}
    assert batches_told(row) == told


def test_the_page_holds_the_tables_of_the_published_results() -> None:
    page = (ROOT / "docs" / "canaries.md").read_text()
    published = json.loads(RESULTS.read_text())
    assert published == together(published["lineages"])
    for told in parts(published).values():
        assert told in page


def test_the_page_holds_the_table_of_smollm2() -> None:
    told = json.loads(SMOLLM2.read_text())["agreements"]
    rows = [(row["said"], row) for row in told["points"]]
    assert table("model", told["canaries"], rows) in (ROOT / "docs" / "canaries.md").read_text()


def test_the_caches_of_two_plans_are_two(tmp_path: Path) -> None:
    assert Study(PLAN, tmp_path, print).root != Study(replace(PLAN, seed=4), tmp_path, print).root
