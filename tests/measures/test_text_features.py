"""Truth here: sets of phrases made with plain Python; and what must not count in how a text was recorded."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.measures import text_features
from filiation.measures.text_features import (
    CHANNELS,
    PACKED_SHARES,
    STRUCTURE,
    Features,
    Packed,
    features_of,
    joined,
    pack_bytes,
    thinned,
    unpack,
)
from filiation.sources.packs import packs
from studies import alpaca_eval

WORDS = ("red", "green", "blue", "café", "naïve", "12", "日", "and", "the", "of")
TEXTS = st.lists(st.sampled_from((*WORDS, "\n", ".", ",", "# ", "- ", "**")), max_size=40).map(" ".join)


def equal(one: Features, other: Features) -> bool:
    return (
        all(
            np.array_equal(one.sets[channel].starts, other.sets[channel].starts)
            and np.array_equal(one.sets[channel].hashes, other.sets[channel].hashes)
            for channel in CHANNELS
        )
        and np.array_equal(one.structure, other.structure)
        and np.array_equal(one.whole, other.whole)
    )


def phrases(text: str, length: int) -> set[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}


@settings(max_examples=60, deadline=None)
@given(TEXTS.filter(lambda text: "日" not in text), TEXTS.filter(lambda text: "日" not in text))
def test_shared_phrases_against_plain_sets(one: str, other: str) -> None:
    found = features_of([one, other], ["a", "a"])
    for channel, length in (("word-3", 3), ("word-6", 6)):
        shared = np.intersect1d(found.sets[channel].of(0), found.sets[channel].of(1))
        assert len(shared) == len(phrases(one, length) & phrases(other, length))
        assert found.sets[channel].sizes.tolist() == [len(phrases(text, length)) for text in (one, other)]


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_an_answers_features_do_not_depend_on_which_others_are_hashed_with_it(texts: list[str]) -> None:
    prompts = [str(at % 3) for at in range(len(texts))]
    alone = joined([features_of([text], [prompt]) for text, prompt in zip(texts, prompts, strict=True)])
    assert equal(features_of(texts, prompts), alone)
    back = np.arange(len(texts))[::-1]
    assert equal(features_of(texts, prompts).take(back), features_of(texts[::-1], prompts[::-1]))


@pytest.mark.parametrize(
    "recorded",
    [
        "  Certainly! It’s a naïve café — of course.\n\n1. One\n2. Two  ",
        "certainly! it's A NAÏVE CAFÉ - of course.\r\n\r\n1. one\r\n2. two",
        "Certainly! It's a nai\u0308ve cafe\u0301 - of course.   \n\n   1. One \n 2. Two<|im_end|>",
        "<s>Certainly! It's a naïve café - of course.\n\n1. One\n2. Two</s>",
        "\ufeffCertainly!   It's a naïve\u00a0café - of course.\n\n1. One\n2. Two",
    ],
)
def test_how_a_text_was_recorded_does_not_count(recorded: str) -> None:
    plain = features_of(["Certainly! It's a naïve café - of course.\n\n1. One\n2. Two"], ["p"])
    found = features_of([recorded], ["p"])
    for channel in ("word-3", "word-6", "opening", "closing"):
        assert found.sets[channel].of(0).tolist() == plain.sets[channel].of(0).tolist()
    assert found.whole.tolist() == plain.whole.tolist()
    assert found.structure[:, 2:].tolist() == plain.structure[:, 2:].tolist()


def test_phrases_of_different_prompts_are_never_the_same() -> None:
    text = "one two three four five six seven eight nine ten"
    found = features_of([text, text], ["a", "b"])
    for channel in CHANNELS:
        assert len(found.sets[channel].of(0))
        assert not np.intersect1d(found.sets[channel].of(0), found.sets[channel].of(1)).size
    assert found.whole[0] != found.whole[1]


def test_openings_and_closings_are_counted_from_the_ends() -> None:
    found = features_of(["a b c d e f g h i", "a b c x y z g h i", "a"], ["p"] * 3)
    opening, closing = found.sets["opening"], found.sets["closing"]
    assert opening.sizes.tolist() == [6, 6, 1]
    assert len(np.intersect1d(opening.of(0), opening.of(1))) == 3  # of 1, 2 and 3 words
    assert len(np.intersect1d(closing.of(0), closing.of(1))) == 3
    assert not np.intersect1d(opening.of(0), closing.of(0)).size


def test_structure_counts() -> None:
    text = "# Head\n\nSome *text*, (here): \n- a\n* b\n• c\n1. one\n23) two\n| x |\n> said\n**bold** `code`?!\n"
    row = dict(zip(STRUCTURE, features_of([text], ["p"]).structure[0].tolist(), strict=True))
    expected = {"headings": 1, "bullets": 3, "numbered": 2, "bold": 2, "code": 2, "tables": 1, "quotes": 1}
    expected |= {
        "questions": 1,
        "exclamations": 1,
        "colons": 1,
        "commas": 1,
        "brackets": 1,
        "lines": 10,
        "paragraphs": 1,
    }
    assert {name: row[name] for name in expected} == expected


def test_no_answers_and_answers_without_words() -> None:
    assert len(features_of([], [])) == 0
    found = features_of(["", "...", "word"], ["p"] * 3)
    assert found.whole.tolist()[:2] == [0, 0]
    assert found.whole[2] != 0
    assert found.words.tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="prompt ids"):
        features_of(["a"], [])


def test_scripts_without_spaces_have_words() -> None:
    found = features_of(["日本語の文章です", "日本語の文です"], ["p", "p"])
    assert found.words.tolist() == [8, 7]
    assert np.intersect1d(found.sets["word-3"].of(0), found.sets["word-3"].of(1)).size


@settings(max_examples=30, deadline=None)
@given(TEXTS, TEXTS)
def test_thinning_keeps_the_same_phrases_of_every_answer(one: str, other: str) -> None:
    full = features_of([one, other], ["a", "a"])
    thin = thinned(full)
    for channel in CHANNELS:
        shared = np.intersect1d(full.sets[channel].of(0), full.sets[channel].of(1))
        kept = shared[(shared >> np.uint32(24)) < PACKED_SHARES[channel]] & np.uint32(0xFFFFFF)
        assert np.intersect1d(thin.sets[channel].of(0), thin.sets[channel].of(1)).tolist() == sorted(set(kept.tolist()))


def test_packed_features_survive_their_bytes() -> None:
    found = thinned(features_of(["a b c d e f g", "", "x y z " * 50], ["p", "q", "q"]))
    packed = Packed(found, np.array([0, 1, 2], dtype=np.int32), np.array([0, 1, 1], dtype=np.int32))
    data = pack_bytes(packed)
    back = unpack(data)
    assert equal(back.features, found)
    assert back.model.tolist() == [0, 1, 2]
    assert back.prompt.tolist() == [0, 1, 1]
    assert pack_bytes(back) == data


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"not a pack at all"])
def test_bytes_that_are_no_pack_are_refused(damage: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(damage)


def test_the_shipped_pack_holds_figures_and_no_text() -> None:
    (pack,) = [pack for pack in packs("text") if pack.card.name == "alpaca_eval"]
    data = pack.data.read_bytes()
    assert len(data) < 8_000_000
    packed = unpack(data)
    assert len(packed.features) <= len(pack.card.models) * len(pack.card.prompts)
    assert {sets.hashes.dtype for sets in packed.features.sets.values()} == {np.dtype(np.uint32)}
    assert max(int(sets.hashes.max()) for sets in packed.features.sets.values()) < 1 << 24
    assert all(re.fullmatch(r"[0-9a-f]{16}", prompt) for prompt in pack.card.prompts)
    # The card's longest words in a row are its own sentences; the models' entries are names.
    assert all(len(model.name) < 60 and "\n" not in model.name for model in pack.card.models)
    kinds = {kind for _, _, kind in pack.card.related}
    assert kinds == set(alpaca_eval.RELATIONS.values())


@pytest.mark.real_data
def test_no_run_of_six_words_of_any_answer_stands_in_the_pack() -> None:
    if not alpaca_eval.present():
        pytest.skip("the recorded AlpacaEval answers are not here")
    (pack,) = [pack for pack in packs("text") if pack.card.name == "alpaca_eval"]
    import zipfile

    with zipfile.ZipFile(pack.data) as archive:
        raw = b"".join(archive.read(name) for name in archive.namelist())
    raw += (pack.folder / "card.json").read_bytes()
    texts = alpaca_eval.load().frame["text"].gather_every(6997).to_list()
    for text in texts:
        words = text.split()
        for at in range(0, max(len(words) - 5, 0), 6):
            assert " ".join(words[at : at + 6]).encode() not in raw


def test_the_salt_keeps_phrases_from_being_looked_up() -> None:
    """What a salt is for: the same phrase has another hash under every prompt, so no table of hashes serves twice."""
    prompts = [str(at) for at in range(500)]
    found = features_of(["as an ai language model"] * 500, prompts)
    hashes = np.concatenate([found.sets["word-3"].of(at) for at in range(500)])
    assert len(np.unique(hashes)) == len(hashes) == 1500
    assert text_features.VERSION
