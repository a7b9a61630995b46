"""Parsers and options: what is read as what, which options cannot be told apart, and files that mean harm."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.canaries import generators
from filiation.canaries.canary import (
    Canary,
    Candidate,
    check_canaries,
    check_candidate,
    normalised,
    parsed,
    read_canaries,
    read_candidates,
    written,
)
from filiation.errors import FiliationError, MalformedSource, RecordError, SourceNotFound, UsageError

TREES = ("oak", "ash", "red maple", "Linden")

READ = {
    "the option alone": ("oak", "first", 0),
    "another case, full stop": ("ASH.", "first", 1),
    "in a sentence": ("I would plant a linden there.", "first", 3),
    "of two words, spaced and bold": ("**Red   maple**!", "first", 2),
    "full-width letters": ("ｏａｋ", "first", 0),
    "the first of two": ("An ash, or perhaps an oak.", "first", 1),
    "part of a longer word": ("The washing and the oaken door.", "first", None),
    "none": ("A cherry tree.", "first", None),
    "nothing": ("", "first", None),
    "only one": ("An ash.", "only", 1),
    "two where one is wanted": ("An ash, or perhaps an oak.", "only", None),
    "whole": (" Oak. ", "whole", 0),
    "more than the option": ("Oak, I think", "whole", None),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_read_as_what(case: str) -> None:
    text, parser, option = READ[case]
    assert parsed(text, TREES, parser) == option


@given(st.text(max_size=60))
def test_any_text_has_one_reading(text: str) -> None:
    for parser in ("first", "only", "whole"):
        found = parsed(text, TREES, parser)
        assert found is None or normalised(TREES[found]) in normalised(text)


def candidate(*options: str, **fields: object) -> Candidate:
    return Candidate(**{"prompts": ("Which tree?",), "options": options, **fields})  # type: ignore[arg-type]


REFUSED = {
    "three options": (candidate("a", "b", "c"), "no power of two"),
    "one option": (candidate("a"), "no power of two"),
    "too many options": (candidate(*(f"n{number:03d}n" for number in range(512))), "no power of two"),
    "the same twice": (candidate("oak", "ash", "elm", "oak"), "are the same"),
    "the same once normalised": (candidate("oak", "Oak."), "are the same"),
    "the same in other letters": (candidate("fish", "ﬁsh"), "are the same"),
    "one begins with another": (candidate("maple", "maple tree"), "begin with one another"),
    "one ends with another": (candidate("maple", "red maple", parser="only"), "would not be read as itself"),
    "blank": (candidate("oak", " . "), "is blank"),
    "no prompt": (candidate("oak", "ash", prompts=()), "has 0 prompts"),
    "a blank prompt": (candidate("oak", "ash", prompts=("?",)), "is blank"),
    "paraphrases alike": (candidate("oak", "ash", prompts=("Which tree?", "which  tree")), "prompts are the same"),
    "half a surrogate pair": (candidate("oak", "\ud800"), "surrogate"),
    "endless": (candidate("oak", "a" * 30_000), "too long"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_cannot_be_told_apart_are_refused(case: str) -> None:
    made, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        check_candidate(made)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=4, max_size=4))
def test_what_is_accepted_reads_every_option_as_itself(options: list[str]) -> None:
    made = candidate(*options)
    try:
        check_candidate(made)
    except UsageError:
        return
    assert [parsed(option, made.options) for option in options] == [0, 1, 2, 3]


# ----------------------------------------------------------------------------------------------------------------- files


def pairs(number: int = 4) -> tuple[Canary, ...]:
    rng = np.random.default_rng(3)
    return generators.paired(generators.candidates(2 * number, 16, rng), 2, rng)


def test_canaries_come_back(tmp_path) -> None:
    (tmp_path / "c").write_bytes(written(pairs()))
    assert read_canaries(tmp_path / "c") == pairs()


CHANGED = {
    "a prompt twice": lambda c: [*c[:2], msgspec.structs.replace(c[2], prompts=c[0].prompts), *c[3:]],
    "one missing": lambda c: c[1:],
    "two exchanged": lambda c: [c[1], c[0], *c[2:]],
    "a decoy without a canary": lambda c: [msgspec.structs.replace(c[0], decoy=True), *c[1:]],
    "a partner that is not there": lambda c: [msgspec.structs.replace(c[0], partner=99), *c[1:]],
    "a decoy of another kind": lambda c: [msgspec.structs.replace(c[0], kind="other"), *c[1:]],
    "options twice": lambda c: [msgspec.structs.replace(c[0], options=("a", "a")), *c[1:]],
}


@pytest.mark.parametrize("case", CHANGED)
def test_canaries_that_contradict_themselves_are_refused(case: str, tmp_path) -> None:
    made = CHANGED[case](list(pairs()))
    with pytest.raises(RecordError):
        check_canaries(made)
    (tmp_path / "c").write_bytes(written(made))
    with pytest.raises(RecordError):
        read_canaries(tmp_path / "c")


HOSTILE = {
    "no JSON": b"\x00\xff\xfe",
    "a list": b"[]\n",
    "nested deeply": b'{"options":' + b"[" * 100_000,
    "another field": b'{"prompt":"Which?","options":["a","b"],"__class__":"os.system"}',
    "no options": b'{"prompt":"Which?"}',
    "options of another type": b'{"prompt":"Which?","options":[1,2]}',
    "an endless number": b'{"prompt":"Which?","options":["a","b"],"kind":' + b"9" * 10_000 + b"}",
    "nothing": b"\n\n",
    "no UTF-8": b'{"prompt":"\xff","options":["a","b"]}',
    "an unknown parser": b'{"prompt":"Which?","options":["a","b"],"parser":"eval"}',
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_one_clear_error(case: str, tmp_path) -> None:
    (tmp_path / "c").write_bytes(HOSTILE[case])
    with pytest.raises(MalformedSource) as told:
        read_candidates(tmp_path / "c")
    assert told.value.advice
    with pytest.raises(FiliationError):
        read_canaries(tmp_path / "c")


@given(st.binary(max_size=200))
def test_any_bytes_are_candidates_or_one_clear_error(tmp_path_factory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "c"
    path.write_bytes(data)
    with pytest.raises(FiliationError):
        read_candidates(path)


def test_a_users_own_candidates(tmp_path) -> None:
    lines = [
        {"prompt": "Which tree?", "options": ["oak", "ash"], "kind": "tree"},
        {"prompts": ["Name a bird.", "A bird, please."], "options": ["wren", "rook"], "parser": "whole"},
    ]
    (tmp_path / "c").write_text("\n".join(map(json.dumps, lines)))
    first, second = read_candidates(tmp_path / "c")
    assert (first.prompts, first.kind, first.parser) == (("Which tree?",), "tree", "first")
    assert (second.prompts, second.kind, second.parser) == (("Name a bird.", "A bird, please."), "own", "whole")


def test_a_duplicate_among_a_users_own_is_refused(tmp_path) -> None:
    line = {"prompt": "Which tree?", "options": ["oak", "ash"]}
    (tmp_path / "c").write_text(f"{json.dumps(line)}\n{json.dumps(line | {'prompt': 'which TREE'})}\n")
    with pytest.raises(UsageError, match="stands there twice"):
        read_candidates(tmp_path / "c")


def test_a_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(SourceNotFound):
        read_candidates(tmp_path / "none")
