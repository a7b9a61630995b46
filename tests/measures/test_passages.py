from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.measures.passages import covered, shared_passages, words_of

FEW = st.lists(st.sampled_from("abc"), max_size=14).map(" ".join)


def by_hand(first: list[str], second: list[str], at_least: int) -> set[tuple[int, int]]:
    """All runs [start, end) of the first that stand in the second and cannot be made longer at either end there."""

    def stands(start: int, end: int) -> bool:
        size = end - start
        return any(second[at : at + size] == first[start:end] for at in range(len(second) - size + 1))

    runs = [(i, j) for i in range(len(first)) for j in range(i + at_least, len(first) + 1) if stands(i, j)]
    return {(i, j) for i, j in runs if not (i and stands(i - 1, j)) and not (j < len(first) and stands(i, j + 1))}


@given(FEW, FEW, st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_against_every_run_tried_by_hand(one, other, at_least):
    first, second = words_of(one), words_of(other)
    found = shared_passages(first, second, at_least)
    starts = {span[0]: at for at, span in enumerate(first.spans)}
    ends = {span[1]: at + 1 for at, span in enumerate(first.spans)}
    runs = {(starts[passage.start], ends[passage.end]) for passage in found}
    assert runs == by_hand(list(first.forms), list(second.forms), at_least)
    for passage in found:
        said = words_of(one[passage.start : passage.end]).forms
        assert said == words_of(other[passage.other_start : passage.other_end]).forms
        assert len(said) == passage.words


@given(FEW, FEW, st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_the_longest_passage_is_the_same_from_both_sides(one, other, at_least):
    first, second = words_of(one), words_of(other)
    there = max((each.words for each in shared_passages(first, second, at_least)), default=0)
    back = max((each.words for each in shared_passages(second, first, at_least)), default=0)
    assert there == back


def test_case_and_punctuation_do_not_count():
    one, other = "* The cat, it sat!", "So the CAT it sat down."
    (passage,) = shared_passages(words_of(one), words_of(other), 3)
    assert one[passage.start : passage.end] == "The cat, it sat"
    assert other[passage.other_start : passage.other_end] == "the CAT it sat"
    assert passage.words == 4


def test_scripts_without_spaces_count_by_character():
    (passage,) = shared_passages(words_of("我喜欢猫。"), words_of("你喜欢猫吗"), 2)
    assert passage.words == 3


def test_a_very_long_text_is_cut_and_says_so():
    found = words_of("a b c d", limit=3)
    assert found.forms == ("a", "b", "c")
    assert found.cut


def test_overlapping_passages_are_marked_once():
    first, second = words_of("a b c d"), words_of("a b c x b c d")
    passages = shared_passages(first, second, 3)
    assert len(passages) == 2
    assert covered(passages) == ((0, 7),)


def test_repetition_costs_no_more_than_its_length():
    many = words_of("the " * 20_000)
    (passage,) = shared_passages(many, many, 5)
    assert passage.words == 20_000
