"""What is made by code: every kind can be told apart, no prompt stands twice, every canary has a decoy, a coin decided which."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from filiation.canaries import generators
from filiation.canaries.canary import Candidate, check_canaries, check_candidate, normalised, parsed
from filiation.errors import UsageError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", generators.KINDS)
@pytest.mark.parametrize("options", [2, 16])
def test_every_kind_makes_options_that_are_read_as_themselves(kind: str, options: int) -> None:
    made = generators.candidates(40, options, rng(), [kind])
    for candidate in made:
        check_candidate(candidate)
        assert len(candidate.options) == options
        assert len(candidate.prompts) >= 4
        assert not any("{" in prompt for prompt in candidate.prompts)


@pytest.mark.parametrize("kind", generators.KINDS)
def test_a_prompt_gives_no_option_away(kind: str) -> None:
    """An echo of the prompt would otherwise be an answer; orders of steps name their steps, but in one order of 24."""
    made = generators.candidates(60, 16, rng(1), [kind])
    echoes = [parsed(prompt, one.options, one.parser) for one in made for prompt in one.prompts]
    assert kind == "order" or echoes == [None] * len(echoes)


def test_more_than_a_file_holds_are_refused_before_they_are_made() -> None:
    with pytest.raises(UsageError, match="more than"):
        generators.candidates(20_000_000, 16, rng())


def test_no_prompt_stands_twice() -> None:
    made = generators.candidates(1000, 16, rng())
    prompts = [normalised(prompt) for one in made for prompt in one.prompts]
    assert len(set(prompts)) == len(prompts)


def test_the_same_stream_makes_the_same_and_another_makes_another() -> None:
    assert generators.candidates(20, 16, rng(4)) == generators.candidates(20, 16, rng(4))
    assert generators.candidates(20, 16, rng(4)) != generators.candidates(20, 16, rng(5))


def test_every_canary_has_a_decoy_of_its_kind_and_a_coin_decides_which() -> None:
    made = generators.candidates(512, 16, rng())
    canaries = generators.paired(made, 64, rng(1))
    check_canaries(canaries)
    assert Counter(canary.decoy for canary in canaries) == {True: 256, False: 256}
    assert {canary.batch for canary in canaries} == {0, 1, 2, 3}
    first = {one.prompts for one in made[::2]}
    heads = sum(canary.prompts in first for canary in canaries if not canary.decoy)
    assert 74 < heads < 182  # a fair coin thrown 256 times leaves this range once in 10^11


def test_every_option_stands_in_every_place() -> None:
    """The list's order says nothing: the same colour is not always option 3."""
    made = generators.candidates(400, 16, rng(), ["fiction"])
    places = Counter(one.options.index("teal") for one in made if "teal" in one.options)
    assert len(places) == 16


REFUSED = {
    "an unknown kind": ({"options": 16, "kinds": ["fact"]}, "no kind of canary is called fact"),
    "more options than there are": ({"options": 64, "kinds": ["tree"]}, "fewer than 64"),
    "more options than any kind has": ({"options": 256, "kinds": []}, "no kind has 256 options"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_made(case: str) -> None:
    fields, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        generators.candidates(4, rng=rng(), **fields)


def test_an_odd_number_of_a_kind_has_no_decoy_for_one() -> None:
    own = [Candidate(prompts=(f"Which {number}?",), options=("oak", "ash")) for number in range(3)]
    with pytest.raises(UsageError, match="odd number"):
        generators.paired(own, 2, rng())
