"""Power and size: against published figures, against scipy, and against trying every design."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from filiation.evidence import Absent, Coincidences
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.power import detectable_share, detection_count, opportunities_needed, share_with_survival


@pytest.mark.parametrize(("opportunities", "count"), [(2_000, 301), (4_000, 541)])
def test_size_law_of_sampled_neurons_against_published_reference(opportunities, count):
    assert detection_count(opportunities, 0.10, -12) == count


@pytest.mark.parametrize(("survival", "canaries"), [(1.0, 10), (0.9, 17), (0.5, 50), (0.25, 158)])
def test_number_of_canaries_against_published_reference(survival, canaries):
    assert opportunities_needed(1 / 16, share_with_survival(survival, 1 / 16), -12, 0.95) == canaries


def test_canaries_of_which_a_tenth_survive_against_published_reference():
    # Published: 740. Power is a saw-tooth: 740 suffice, 733 are the fewest that do, and from 736 to 739 it falls below again.
    share = share_with_survival(0.1, 1 / 16)

    def power(canaries: int) -> float:
        return float(binom.sf(detection_count(canaries, 1 / 16, -12) - 1, canaries, share))

    assert opportunities_needed(1 / 16, share, -12, 0.95) == 733
    assert max(power(n) for n in range(600, 733)) < 0.95
    assert [n for n in range(733, 745) if power(n) < 0.95] == [736, 737, 738, 739]


@given(st.integers(0, 400), st.floats(0.001, 0.99), st.floats(-30.0, 0.0))
def test_detection_count_is_the_first_that_reaches_the_threshold(opportunities, chance, log10_alpha):
    count = detection_count(opportunities, chance, log10_alpha)

    def log10_p(k: int) -> float:
        return log10_upper_tail(Coincidences(count=k, opportunities=opportunities, chance=chance))

    if count <= opportunities:
        assert log10_p(count) <= log10_alpha * (1 - 1e-12)
    if count > 0:
        assert log10_p(count - 1) > log10_alpha * (1 + 1e-12)


def test_a_design_too_small_says_so():
    assert detection_count(11, 0.1, -12) == 12  # not even all 11 reach it
    assert detection_count(12, 0.1, -12) == 12
    found = detectable_share(11, 0.1, -12)
    assert isinstance(found, Absent)
    assert "cannot reach" in found.reason


@pytest.mark.parametrize(
    ("opportunities", "chance", "log10_alpha"), [(12, 0.1, -12), (2000, 0.1, -12), (40_000, 0.65, -100)]
)
@pytest.mark.parametrize("power", [0.5, 0.95, 0.999])
def test_detectable_share_is_found_with_the_stated_power_by_scipy(opportunities, chance, log10_alpha, power):
    share = detectable_share(opportunities, chance, log10_alpha, power)
    count = detection_count(opportunities, chance, log10_alpha)
    assert binom.sf(count - 1, opportunities, share) == pytest.approx(power, rel=1e-9)
    assert chance < share < 1.0


def test_a_threshold_of_one_is_always_reached():
    assert detection_count(10, 0.5, 0.0) == 0
    assert detectable_share(10, 0.5, 0.0) == 0.0
    assert opportunities_needed(0.5, 0.6, 0.0) == 0


@pytest.mark.parametrize("chance", [0.05, 0.3, 0.65])
@pytest.mark.parametrize("gain", [0.1, 0.3])
@pytest.mark.parametrize("log10_alpha", [-1.3, -6.0])
@pytest.mark.parametrize("power", [0.6, 0.95])
def test_opportunities_needed_against_trying_every_number(chance, gain, log10_alpha, power):
    share = chance + gain
    first = next(n for n in range(1, 5000) if binom.sf(detection_count(n, chance, log10_alpha) - 1, n, share) >= power)
    assert opportunities_needed(chance, share, log10_alpha, power) == first


def test_a_full_copy_needs_as_many_opportunities_as_the_resolution_asks():
    assert opportunities_needed(0.1, 1.0, -12.0) == 12
    assert opportunities_needed(0.5, 1.0, -12.0) == math.ceil(12 / math.log10(2))


def test_requests_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="cannot be told"):
        opportunities_needed(0.5, 0.5, -3)
    with pytest.raises(ValueError, match="chance"):
        detection_count(10, 1.0, -3)
    with pytest.raises(ValueError, match="log10_alpha"):
        detection_count(10, 0.5, 1.0)
    with pytest.raises(ValueError, match="power"):
        detectable_share(10, 0.5, -1.0, power=1.0)
    with pytest.raises(ValueError, match="negative"):
        detection_count(-1, 0.5, -1.0)
    with pytest.raises(ValueError, match="survival"):
        share_with_survival(1.1, 0.5)


def test_survival_mixes_copies_with_chance():
    assert share_with_survival(1.0, 0.0625) == 1.0
    assert share_with_survival(0.0, 0.0625) == 0.0625
    assert share_with_survival(0.5, 0.0625) == pytest.approx(0.53125)
