"""The verbal scale: its published borders, its symmetry, and no gaps."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.statistics.scale import AGAINST, FOR, NEITHER, SCALE, word

STRONGER = ["weak", "moderate", "moderately strong", "strong", "very strong", "extremely strong"]


@pytest.mark.parametrize(
    ("ratio", "degree"),
    [
        (2.1, "weak"),
        (10, "weak"),
        (10.1, "moderate"),
        (500, "moderately strong"),
        (5_000, "strong"),
        (50_000, "very strong"),
        (999_999, "very strong"),
        (1_000_001, "extremely strong"),
        (1e300, "extremely strong"),
    ],
)
def test_words_against_the_published_guideline_and_their_mirror_image(ratio, degree):
    assert word(math.log10(ratio)) == f"{degree} support for {FOR}"
    assert word(-math.log10(ratio)) == f"{degree} support for {AGAINST}"


@pytest.mark.parametrize("ratio", [1.0, 1.9, 2.0, 0.5, 0.6])
def test_between_one_half_and_two_nothing_is_supported(ratio):
    assert word(math.log10(ratio)) == NEITHER


def test_scale_is_symmetric_and_leaves_no_gap():
    assert SCALE[0].log10_low == -math.inf
    assert SCALE[-1].log10_high == math.inf
    assert [step.log10_high for step in SCALE[:-1]] == [step.log10_low for step in SCALE[1:]]
    assert [(-step.log10_high, -step.log10_low) for step in reversed(SCALE)] == [step[:2] for step in SCALE]
    assert len({step.word for step in SCALE}) == len(SCALE) == 13


@given(st.floats(-400.0, 400.0))
def test_every_ratio_has_the_word_of_the_step_it_lies_in(log10_ratio):
    (step,) = (step for step in SCALE if step.word == word(log10_ratio))
    assert step.log10_low <= log10_ratio <= step.log10_high


@given(st.floats(0.0, 50.0), st.floats(0.0, 50.0))
def test_a_larger_ratio_never_has_a_weaker_word(first, second):
    def degree(log10_ratio: float) -> int:
        said = word(log10_ratio)
        return 0 if said == NEITHER else 1 + STRONGER.index(said.split(" support")[0])

    low, high = sorted((first, second))
    assert degree(low) <= degree(high)
    assert degree(high) == degree(-high)


@pytest.mark.parametrize("log10_ratio", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_no_word(log10_ratio):
    with pytest.raises(ValueError, match="finite"):
        word(log10_ratio)
