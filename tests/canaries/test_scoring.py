"""Scoring against scipy's binomial, against enumeration, against published figures, and in all the ways in which a suspect may answer."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from filiation.canaries import labels, scoring
from filiation.canaries.canary import Canary
from filiation.canaries.opening import SCRIPT, Request
from filiation.canaries.ranks import doubled_ranks, log10_sum_tail, option_log_probabilities
from filiation.canaries.scoring import Answers, Opened, canaries_needed, scored
from filiation.errors import UsageError

OPTIONS = (
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel",
    "india", "juliett", "kilo", "lima", "mike", "november", "oscar", "papa",
)  # fmt: skip
KEY, BEACON = bytes(range(32)), b"\x07" * 32


def canaries(number: int = 64, options: int = 16) -> tuple[Canary, ...]:
    return tuple(
        Canary(
            index=index, batch=0, kind="k", decoy=bool(index % 2), partner=index ^ 1,
            prompts=(f"question {index}",), options=OPTIONS[:options],
        )
        for index in range(2 * number)
    )  # fmt: skip


def opened(number: int = 64, **fields: object) -> Opened:
    usual = {"cohorts": 1, "batches": 1, "commitments": 1, "placebo_seed": b"seed"}
    return Opened(canaries=canaries(number), key=KEY, beacon=BEACON, **{**usual, **fields})  # type: ignore[arg-type]


def request(**fields: object) -> Request:
    usual = {"commitment": "c", "batch": 0, "verifier": "v", "suspects": ("s",), "considered": 1, "placebo_keys": 99}
    return Request(**{**usual, "wrong_cohorts": 20, "script": SCRIPT, **fields})  # type: ignore[arg-type]


def label(canary: Canary, cohort: int = 0) -> int:
    return labels.label(KEY, BEACON, cohort, canary)


def keyed(share: float, field: Opened, cohort: int = 0, decoys: bool = False, seed: int = 0) -> Answers:
    """A model that was exposed: it gives the label of a share of the canaries, and 'alpha' to the others."""
    rng = np.random.default_rng(seed)
    texts = {}
    for canary in field.canaries:
        kept = rng.random() < share and (decoys or not canary.decoy)
        texts[canary.index] = canary.options[label(canary, cohort)] if kept else "alpha"
    return Answers("s", texts)


def one(field: Opened, answers: Answers, **fields: object) -> scoring.Score:
    return scored(field, request(**fields), [answers]).scores[0]


# ------------------------------------------------------------------------------------------------------------ agreements


def test_against_scipys_binomial() -> None:
    field = opened()
    score = one(field, Answers("s", {canary.index: "alpha" for canary in field.canaries}))
    hits = sum(label(canary) == 0 for canary in field.canaries if not canary.decoy)
    assert score.counted.count == hits
    assert score.counted.opportunities == 64
    exact = math.log10(binom.sf(hits - 1, 64, 1 / 16))
    assert exact <= score.counted.log10_p <= exact + 0.001
    assert score.log10_p == pytest.approx(min(0.0, exact + math.log10(2)), abs=0.001)
    assert score.resolution_log10_p == pytest.approx(-64 * math.log10(16) + math.log10(2), abs=0.001)


def test_a_model_that_kept_everything_reaches_the_resolution() -> None:
    score = one(opened(), keyed(1.0, opened()))
    assert (score.counted.count, score.effect, score.log10_p) == (64, 1.0, score.resolution_log10_p)
    assert score.log10_e > 70
    assert score.placebo.reaching == 0
    assert score.placebo.p == 1 / 100
    assert score.decoys.log10_p > -3
    assert score.warnings == ()


def test_placebo_keys_that_reach_as_much_and_no_more_count_against_the_figure() -> None:
    """A silent suspect agrees with nobody: every placebo key reaches its total, and p is 1."""
    silent = one(opened(), Answers("s", {}))
    assert (silent.placebo.reaching, silent.placebo.keys, silent.placebo.p) == (99, 99, 1.0)


def test_unreadable_and_missing_answers_are_opportunities_without_an_agreement() -> None:
    field = opened()
    whole = keyed(1.0, field)
    some = Answers("s", {index: text if index % 4 else "cherry" for index, text in whole.texts.items() if index < 100})
    score = one(field, some)
    assert (score.counted.opportunities, score.counted.answered, score.counted.unparsable) == (64, 50, 25)
    assert score.counted.count == 25


def test_what_was_searched_is_paid_for() -> None:
    free = one(opened(), keyed(0.5, opened()))
    paid = one(opened(batches=4, commitments=5), keyed(0.5, opened()), considered=10)
    assert paid.log10_p == pytest.approx(free.log10_p + math.log10(200), abs=0.002)
    assert paid.log10_e == pytest.approx(free.log10_e - math.log10(200), abs=0.002)
    assert paid.searched.log10_cost == pytest.approx(math.log10(400))  # and two statistics to choose from


def test_unused_cohorts_are_paid_for_by_their_number() -> None:
    wrong = one(opened(), keyed(0.5, opened()), wrong_cohorts=20).wrong_cohorts
    exact = math.log10(min(1.0, 20 * binom.sf(wrong.largest - 1, 64, 1 / 16)))
    assert exact <= wrong.log10_p <= exact + 0.001


def test_controls_are_paid_for_as_the_suspect_is_and_for_their_number() -> None:
    field, names = opened(batches=3), ("a", "b", "c", "d")
    answers = keyed(0.5, field)
    controls = [Answers(name, answers.texts) for name in names]
    found = scored(field, request(controls=names), [answers], controls)
    each = found.controls[0]
    assert each.log10_p == pytest.approx(found.scores[0].log10_p + math.log10(4), abs=0.002)
    assert each.log10_p == pytest.approx(each.counted.log10_p + math.log10(3 * 2 * 4), abs=0.002)


def test_the_cohort_is_found_and_all_cohorts_are_paid_for() -> None:
    field = opened(cohorts=32)
    score = one(field, keyed(1.0, field, cohort=17))
    assert score.cohort == 17
    assert score.log10_p == pytest.approx(-64 * math.log10(16) + math.log10(64), abs=0.002)
    assert score.wrong_cohorts.log10_p > -3


def test_canaries_with_different_numbers_of_options_have_an_exact_law_too() -> None:
    mixed = (*canaries(2, 16)[::2], *canaries(4, 4)[4::2])
    reading = scoring.read_answers(mixed, Answers("s", {}), "agreements")
    chances = [1 / 16, 1 / 16, 1 / 4, 1 / 4]
    law = np.array([1.0])
    for chance in chances:
        law = np.convolve(law, [1 - chance, chance])
    for count in range(1, 5):
        assert 10 ** reading.log10_p(count) == pytest.approx(law[count:].sum(), rel=1e-9)


# --------------------------------------------------------------------------------------------------------------- controls


def test_decoys_that_agree_are_a_warning() -> None:
    """Whoever feeds a suspect everything that has a label feeds the decoys as well."""
    score = one(opened(), keyed(1.0, opened(), decoys=True))
    assert score.decoys.count == 64
    assert any("decoys" in warning for warning in score.warnings)


def test_cohorts_that_nobody_was_given_are_a_warning() -> None:
    score = one(opened(), keyed(1.0, opened(), cohort=5))
    assert score.log10_p > -3
    assert any("given to nobody" in warning for warning in score.warnings)


def test_an_unrelated_model_that_agrees_is_a_warning() -> None:
    field = opened()
    stranger = Answers("c", {canary.index: "alpha" for canary in field.canaries})
    asked = request(controls=("c", "d"))
    clean = scored(field, asked, [keyed(1.0, field)], [stranger])
    assert any("beside the suspect: 1," in warning for warning in clean.warnings)
    assert any("not given: d" in warning for warning in clean.warnings)
    copied = Answers("c", keyed(1.0, field).texts)
    assert any(
        "unrelated model c agrees" in warning for warning in scored(field, asked, [stranger_of("s")], [copied]).warnings
    )


def stranger_of(name: str) -> Answers:
    return Answers(name, {canary.index: "bravo" for canary in canaries()})


def test_only_those_whom_the_request_names_are_scored() -> None:
    with pytest.raises(UsageError, match="does not name other"):
        scored(opened(), request(), [Answers("other", {})])
    with pytest.raises(UsageError, match="does not name c"):
        scored(opened(), request(), [stranger_of("s")], [Answers("c", {})])
    with pytest.raises(UsageError, match="no suspect"):
        scored(opened(), request(), [])


def test_a_suspect_that_was_named_and_left_out_is_told() -> None:
    found = scored(opened(), request(suspects=("s", "t"), considered=2), [stranger_of("s")])
    assert "the request names suspects that were not scored: t" in found.warnings


def test_many_cohorts_draw_fewer_placebo_keys_but_never_fewer_than_19(monkeypatch) -> None:
    monkeypatch.setattr(scoring, "_MOST_PLACEBO_LABELS", 2000)
    assert one(opened(cohorts=8), stranger_of("s")).placebo.keys == 19
    assert one(opened(16), Answers("s", {})).placebo.keys == 99


def test_scoring_twice_gives_the_same_record() -> None:
    assert scored(opened(), request(), [keyed(0.3, opened())]) == scored(opened(), request(), [keyed(0.3, opened())])


# ------------------------------------------------------------------------------------------------------ strangers: level


def test_placebo_p_and_exact_p_are_at_most_uniform_for_a_fixed_model() -> None:
    """Truth by construction, one model and 300 keys: neither p is small more often than it says."""
    field = opened(32)
    reading = scoring.read_answers(field.field_of(False).canaries, stranger_of("s"), "agreements")
    exact = []
    for number in range(300):
        under = field.field_of(False).labels(bytes([number % 256, number // 256]) + bytes(30), [0])
        exact.append(10 ** reading.log10_p(int(reading.totals(under)[0])))
    for level in (0.01, 0.05, 0.1, 0.3):
        expected = 300 * level
        assert sum(p <= level for p in exact) <= expected + 4 * math.sqrt(expected)


# ----------------------------------------------------------------------------------------------------------------- ranks


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, 6), min_size=2, max_size=4), min_size=1, max_size=4), st.data())
def test_the_law_of_the_sum_of_ranks_against_enumeration(scores: list[list[int]], data: st.DataObject) -> None:
    sums = [sum(draw) for draw in itertools.product(*scores)]
    total = data.draw(st.sampled_from(sums))
    exact = sum(each >= total for each in sums) / len(sums)
    assert 10 ** log10_sum_tail(total, [tuple(each) for each in scores]) == pytest.approx(exact, rel=1e-9)


def test_the_smallest_sum_of_ranks_is_as_rare_as_all_labels_on_top() -> None:
    worth = [tuple(range(0, 32, 2))] * 100
    assert log10_sum_tail(3000, worth) == pytest.approx(-100 * math.log10(16))
    assert log10_sum_tail(2990, worth) < -110
    assert log10_sum_tail(1500, worth) == pytest.approx(math.log10(0.5), abs=0.03)
    with pytest.raises(ValueError, match="no draw"):
        log10_sum_tail(3001, worth)
    with pytest.raises(ValueError):
        log10_sum_tail(0, [])


def test_ranks_with_ties() -> None:
    assert doubled_ranks([-1.0, -2.0, -3.0]) == (4, 2, 0)
    assert doubled_ranks([-1.0, -1.0, -math.inf]) == (3, 3, 0)
    assert doubled_ranks([0.0] * 4) == (3, 3, 3, 3)
    with pytest.raises(ValueError, match="not a number"):
        doubled_ranks([math.nan, 0.0])


def test_ranks_find_what_agreements_do_not() -> None:
    """Each labelled option is a little likelier, and never the likeliest."""
    field = opened(128)
    rng = np.random.default_rng(3)
    given = {}
    for canary in field.canaries:
        values = rng.normal(size=16)
        values[0] += 9.0
        values[label(canary)] += 0.0 if canary.decoy else 1.2
        given[canary.index] = tuple(float(value) for value in values)
    answers = Answers("s", {canary.index: "alpha" for canary in field.canaries}, given)
    assert one(field, answers).log10_p > -2
    ranked = one(field, answers, statistic="ranks")
    assert ranked.log10_p < -8
    assert ranked.log10_e > 4
    assert ranked.decoys.log10_p > -2
    assert ranked.placebo.reaching == 0


def test_a_canary_without_log_probabilities_speaks_for_nothing() -> None:
    assert one(opened(), keyed(1.0, opened()), statistic="ranks").log10_p == 0.0
    with pytest.raises(UsageError, match="16 options and 2 log-probabilities"):
        one(opened(), Answers("s", {}, {0: (0.0, 1.0)}), statistic="ranks")


def test_tokens_that_an_answer_could_begin_with() -> None:
    told = [("Al", -0.1), (" bra", -1.0), ("b", -0.2), ("c", -3.0), ("?", -0.5), ("ch", -4.0)]
    found = option_log_probabilities(told, ("alpha", "bravo", "beta", "charlie"))
    assert found == (-0.1, -1.0, -math.inf, -3.0)


# ---------------------------------------------------------------------------------------------------------------- design

# Published with the method: canaries for p <= 10^-12 at 95 % power, 16 options. The last is from an approximation, 740.
NEEDED = {1.0: 10, 0.9: 17, 0.5: 50, 0.25: 158, 0.1: 740}


@pytest.mark.parametrize("survival", NEEDED)
def test_canaries_needed_against_published_figures(survival: float) -> None:
    assert canaries_needed(survival) == pytest.approx(NEEDED[survival], rel=0.01 if survival == 0.1 else 0)


@pytest.mark.parametrize("survival", NEEDED)
def test_canaries_needed_against_scipy(survival: float) -> None:
    number = canaries_needed(survival)
    share = survival + (1 - survival) / 16

    def power(opportunities: int) -> float:
        counts = np.arange(opportunities + 1)
        enough = binom.sf(counts - 1, opportunities, 1 / 16) <= 1e-12
        return float(binom.pmf(counts, opportunities, share)[enough].sum())

    assert power(number) >= 0.95 > power(number - 1)
