"""Curves of radioactivity: the study's own mark and sampler against plain counting and the package, its bounds against simulation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from filiation.measures.watermarks import GumbelKey
from filiation.measures.watermarks.generation import GumbelSampler
from filiation.statistics.watermark_tails import GreenScore, SumScore
from studies.watermarks_page import LOOKS, RESULTS, WAYS, curves, rounded_down, shares_of

tokens = pytest.importorskip("studies.radioactivity_tokens")
SECRET = "5a" * 32


def test_lists_of_two_tokens_are_counted_as_by_hand() -> None:
    lists = tokens.DrawnLists(bytes.fromhex(SECRET), vocabulary=64)
    windows = np.unique(np.random.default_rng(1).integers(0, 6, (400, 3)), axis=0)
    score = lists.score(windows)
    assert score.count == sum(bool(lists.green(window[:2])[window[2]]) for window in windows)
    assert score.opportunities == len(windows)
    assert sum(number for _, number in score.sizes) == len({tuple(window[:2]) for window in windows.tolist()})
    assert {int(lists.green(context).sum()) for context in windows[:, :2]} == {16}


def test_the_list_depends_on_both_tokens_and_their_order() -> None:
    lists = tokens.DrawnLists(bytes.fromhex(SECRET), vocabulary=256)
    drawn = {lists.green(np.array(context)).tobytes() for context in ((1, 2), (2, 1), (1, 3), (3, 2))}
    assert len(drawn) == 4


def test_the_remembering_sampler_chooses_what_the_package_s_sampler_chooses() -> None:
    torch = pytest.importorskip("torch")
    key = GumbelKey(secret=SECRET, context_width=2)
    ids = torch.tensor([[3, 4], [5, 6], [3, 4]])
    scores = torch.randn(3, 40, generator=torch.Generator().manual_seed(1))
    theirs = GumbelSampler(key, prompt_tokens=2)(ids, scores)
    assert torch.equal(theirs, tokens.RememberingSampler(key, {})(ids, scores))


def test_looks_double_and_end_where_the_text_ends() -> None:
    assert tokens.looks_to(1500) == [250, 500, 1000, 1500]
    assert tokens.looks_to(1000) == [250, 500, 1000]


def test_the_bound_lies_below_what_it_takes_in_97_of_100_studies() -> None:
    """Counts of 20,000 windows, each green with .26 where chance gives .25."""
    excess = 0.01 / math.sqrt(0.25 * 0.75)
    true = (4.7534 / excess) ** 2
    rng, above = np.random.default_rng(7), 0
    for count in rng.binomial(20_000, 0.26, 1000):
        score = GreenScore(count=int(count), sizes=((1, 20_000),), list_size=256, vocabulary=1024)
        above += tokens.bound(score, [[250, 20_000, 0.0], [500, 20_000, 0.0]], 10**6)["windows"] > true
    assert 0.01 < above / 1000 < 0.045


def test_further_windows_are_paid_for_at_the_rate_of_the_last_doubling() -> None:
    score = SumScore(count=500, windows=1000, millionths=1_000_000_000)
    found = tokens.bound(score, [[10_000, 900, 0.0], [20_000, 1000, 0.0]], 10**6)
    assert found["windows"] == math.ceil((4.753424 / (1.959964 / math.sqrt(1000))) ** 2)
    assert found["tokens"] == 20_000 + (found["windows"] - 1000) * 100
    assert tokens.bound(score, [[10_000, 1000, 0.0], [20_000, 1000, 0.0]], 10**6)["tokens"] is None
    assert tokens.bound(score, [[10_000, 900, 0.0], [20_000, 1000, 0.0]], 1024)["tokens"] is None


def test_committed_curves_agree_with_the_earlier_study_where_both_looked() -> None:
    """Mark, text and student of seed 202 are the same, so are the tokens until a level that was reached within 16,000."""
    committed = json.loads((RESULTS / "radioactivity.json").read_text())
    later, earlier = committed["tokens needed"], committed["small"]
    compared = 0
    for mark, told, ways in shares_of(later):
        for way in WAYS if mark in earlier else ():
            share = "no marked text" if told == "none" else told.replace(" ", "")
            found = ways[way]["202"]["tokens to log10 p below"]
            for level, needed in earlier[mark][share][way]["tokens to log10 p below"].items():
                if needed is not None and needed <= 16_000:
                    assert found[level] == needed
                    compared += 1
    assert compared


def test_curves_never_have_fewer_windows_at_a_later_look() -> None:
    found = json.loads((RESULTS / "radioactivity.json").read_text())["tokens needed"]
    for way in tokens.WAYS:
        for _, _, curve in curves(found, way):
            windows = [seen for _, seen, _ in curve[LOOKS]]
            assert windows == sorted(windows)


def test_bounds_are_rounded_down() -> None:
    assert [rounded_down(value) for value in (7, 99, 12_999, 1_390_000)] == [7, 99, 12_000, 1_300_000]
