"""The probe sets: cards that tell the truth, draws that never change, answers read off replies."""

from __future__ import annotations

import re
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.errors import UsageError
from filiation.sources.probes import (
    Probe,
    answer_recorded,
    answers_to,
    card,
    cards,
    default,
    digest_of,
    draw,
    group_of,
    item_of,
    normal_answer,
    stated_answer,
    written,
)
from filiation.sources.transcripts import SCHEMA, Transcript, prompt_id

SETS = ("borderline", "identity", "nonsense", "open", "problems")
GOLDEN = (
    ("borderline", 30, 7, "50220059d448f83219e10daa5e800b54db9308dc47589f495719dece54334c95"),
    ("identity", 30, 7, "9ccf54df9e9aea9fb2986386e1805df0c33017c5cecfce389ca16bee7985033e"),
    ("nonsense", 30, 7, "d1fe551a0bc87c1791342ca613a93dff5cb9e273141e45a143c6fbc9ad845b56"),
    ("open", 30, 7, "810d3e13647f035f917d770217be4052d308a2b79e1725053311ac1e297a2c88"),
    ("problems", 30, 7, "76d645884b95ebba3bcb43635a5d326dac43402e6ebde0cb03253b0749cc49aa"),
)
"""Set, count, seed, digest: written down when version 1 of the sets was made. A plan that fixed a seed relies on them."""
GOLDEN_WITH_PARAPHRASES = "ce68414146ba4f15866bc48880e1099de73470cded68dcae43663d24f1600d63"


def test_the_sets_that_ship() -> None:
    assert tuple(cards()) == SETS


@pytest.mark.parametrize("name", SETS)
def test_a_card_tells_the_truth(name: str) -> None:
    about, probes = card(name), default(name)
    bases = [probe for probe in probes if probe.id == probe.group]
    assert about.sha256 == digest_of(probes), f"the prompts of {name} changed: raise its version and its digest"
    assert (about.number, about.paraphrases) == (len(bases), len(probes) - len(bases))
    assert about.kinds == dict(Counter(probe.kind for probe in bases))
    assert about.licence == "Apache-2.0"
    assert all((about.purpose, about.made, about.limits, about.version))


@pytest.mark.parametrize("name", SETS)
def test_no_prompt_stands_twice(name: str) -> None:
    probes = draw(name, 2000, 4) if card(name).generated else written(name)
    assert len({prompt_id(probe.prompt) for probe in probes}) == len(probes)
    assert len({probe.item for probe in probes}) == len(probes)


def test_no_prompt_stands_in_two_sets() -> None:
    ids = Counter(key for name in SETS for key in {prompt_id(probe.prompt) for probe in default(name)})
    assert max(ids.values()) == 1


@pytest.mark.parametrize(("name", "count", "seed", "digest"), GOLDEN)
def test_draws_never_change(name: str, count: int, seed: int, digest: str) -> None:
    assert digest_of(draw(name, count, seed)) == digest


def test_draws_with_paraphrases_never_change() -> None:
    assert digest_of(draw("borderline", 20, 7, paraphrases=True)) == GOLDEN_WITH_PARAPHRASES


@given(st.sampled_from(SETS), st.integers(1, 59), st.integers(1, 59), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_a_longer_draw_begins_with_the_shorter_one(name: str, one: int, other: int, seed: int) -> None:
    shorter, longer = sorted((one, other))
    assert draw(name, longer, seed)[:shorter] == draw(name, shorter, seed)


def test_seeds_give_different_draws() -> None:
    for name in SETS:
        assert digest_of(draw(name, 20, 1)) != digest_of(draw(name, 20, 2)), name


def test_a_draw_takes_the_kinds_in_turn() -> None:
    kinds = Counter(probe.kind for probe in draw("borderline", 55, 3))
    assert set(kinds.values()) == {5}


def test_a_generated_probe_is_made_again_from_its_item() -> None:
    for name in ("nonsense", "problems"):
        drawn = draw(name, 20, 31)[-1]
        seed, index = map(int, drawn.id.split("-"))
        assert draw(name, index + 1, seed)[-1] == drawn


def test_what_cannot_be_drawn_is_refused() -> None:
    for name, count, seed in (("open", 213, 0), ("open", 0, 0), ("open", 3, -1), ("nonsense", 10**6, 0)):
        with pytest.raises(UsageError):
            draw(name, count, seed)
    with pytest.raises(UsageError, match="no probe set named"):
        draw("opne", 3, 0)


# ---------------------------------------------------------------------------------------------------------- what they are


def test_sizes_that_the_examiners_rely_on() -> None:
    assert card("open").number >= 200
    assert card("borderline").number >= 220
    assert card("identity").number >= 40


def test_borderline_is_graded_and_balanced() -> None:
    bases = [probe for probe in written("borderline") if probe.id == probe.group]
    assert {probe.grade for probe in bases} == {1, 2, 3, 4, 5}
    kinds = Counter(probe.kind for probe in bases)
    assert max(kinds.values()) - min(kinds.values()) <= 1
    for kind in kinds:
        assert {probe.grade for probe in bases if probe.kind == kind} == {1, 2, 3, 4, 5}, kind


def test_paraphrases_come_by_three() -> None:
    sizes = Counter(Counter(probe.group for probe in written("borderline")).values())
    assert set(sizes) == {1, 4}
    assert sizes[4] >= 60
    paraphrase = next(probe for probe in written("borderline") if probe.id != probe.group)
    assert group_of(paraphrase.item) == f"borderline:{paraphrase.group}"


def test_a_draw_with_paraphrases_takes_whole_groups() -> None:
    drawn = draw("borderline", 60, 5, paraphrases=True)
    assert set(Counter(probe.group for probe in drawn).values()) == {4}


def test_identity_is_asked_in_many_languages() -> None:
    languages = {probe.language for probe in written("identity")}
    assert len(languages) >= 10


def test_nonsense_has_every_kind_and_no_control_characters() -> None:
    drawn = draw("nonsense", 600, 9)
    assert set(Counter(probe.kind for probe in drawn).values()) == {100}
    assert not any(re.search(r"[\x00-\x08\x0b-\x1f\x7f]", probe.prompt) for probe in drawn)


def test_problems_have_gold_answers_in_normal_form() -> None:
    for probe in draw("problems", 400, 8):
        assert probe.gold
        assert stated_answer(f"Let me see.\nAnswer: {probe.gold}", probe.gold) == probe.gold
        assert "\nAnswer: <" in probe.prompt


# ---------------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("So we get\nAnswer: 42", "42"),
        ("Answer: 42.", "42"),
        ("**Answer:** 1,234,567", "1234567"),
        ("Answer: **12; 3**", "12; 3"),
        ("**Answer: 17**", "17"),
        ("Answer: 5\nno, wait\nAnswer: 6", "6"),
        ("### Final Answer: `qFshlP`", "qFshlP"),
        ("Answer:\n\n`left, right`", "left, right"),
        ("Answer: \\boxed{81}", "81"),
        ("It is $\\boxed{81}$.", "81"),
        ("Answer: <58527>", "58527"),
        ("Answer: [3, 5,8]", "3, 5, 8"),
        ("answer = 5.0", "5"),
        ("Answer: +7", "7"),
        ("Answer: “Bruno,  Ines”", "Bruno, Ines"),
        ("The answer to this is not easy.", None),
        ("", None),
        ("Answer:", None),
    ],
)
def test_answers_read_off_replies(reply: str, answer: str | None) -> None:
    assert stated_answer(reply) == answer


def test_a_comma_parts_a_list_and_groups_a_number() -> None:
    assert stated_answer("Answer: 36,120") == "36120"
    assert stated_answer("Answer: 36,120", gold="35, 119") == "36, 120"


def test_only_replies_to_problems_have_an_answer() -> None:
    assert answer_recorded("problems:0-3", "So it is.\nAnswer: 1,7,5", "1, 7, 4") == "1, 7, 5"
    assert answer_recorded("open:how-01", "Answer: none", None) is None


@given(st.text(max_size=40))
def test_the_normal_form_of_a_normal_form_is_itself(text: str) -> None:
    once = normal_answer(text, parts=True)
    assert normal_answer(once, parts=True) == once


# ----------------------------------------------------------------------------------------------------------- recognition


def transcript(rows: list[tuple[str, str, str]]) -> Transcript:
    """Rows of (item, prompt, text) as a transcript of one model."""
    frame = pl.DataFrame(
        [
            {
                **dict.fromkeys(SCHEMA),
                "model": "m",
                "item": item,
                "prompt_id": prompt_id(prompt),
                "sample": 0,
                "text": text,
            }
            for item, prompt, text in rows
        ],
        schema=SCHEMA,
    )
    return Transcript(frame)


def test_probes_are_known_by_item_and_by_prompt() -> None:
    known: Probe = written("borderline")[0]
    found = answers_to(
        "borderline",
        transcript(
            [
                ("", known.prompt + "\r\n", "by prompt"),
                ("borderline:own-1", "a prompt of the user's own", "by item"),
                ("open:how-01", "something else", "no"),
                ("borderline:empty-1", "not answered", "  "),
            ]
        ),
    )
    assert found == {known.item: "by prompt", "borderline:own-1": "by item"}
    assert item_of("nonsense", "", prompt_id(known.prompt)) is None
