"""The corpus and its tokenizers, against the files themselves and against tokenizers' own encoding."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.zoo.corpus import (
    byte_tokenizer,
    byte_tokens,
    encode,
    read_corpus,
    trained_tokenizer,
    unigram_loss,
)


def test_parts_share_no_text_beyond_what_the_library_repeats_itself() -> None:
    """Files are never split or used twice; the tables of similar encodings, which stand in many files, are left out."""
    blocks = {part: _blocks(text) for part, text in read_corpus().parts.items()}
    for part, others in (("one", "two"), ("one", "validation"), ("two", "validation"), ("tests", "one")):
        assert len(blocks[part] & blocks[others]) < 0.05 * min(len(blocks[part]), len(blocks[others]))


def _blocks(text: str) -> set[str]:
    lines = [line for line in text.splitlines() if len(line) > 40 and not re.search(r"0x|\\x|# ", line)]
    return {"".join(lines[start : start + 5]) for start in range(len(lines) - 5)}


def test_every_part_is_large_enough_to_train_on() -> None:
    sizes = {part: len(text) for part, text in read_corpus().parts.items()}
    assert sizes["one"] > 2_000_000
    assert sizes["two"] > 2_000_000
    assert sizes["tests"] > 300_000
    assert sizes["validation"] > 100_000


def test_two_readings_have_one_digest() -> None:
    assert read_corpus.__wrapped__().digest == read_corpus().digest


@given(st.text(max_size=200))
def test_byte_tokens_are_bytes_by_tokenizers_own_encoding(text: str) -> None:
    tokenizer = byte_tokenizer()
    assert tokenizer.encode(text).ids == list(text.encode()) == byte_tokens(text).tolist()
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_trained_tokenizer_gives_the_text_back_and_is_the_same_twice() -> None:
    corpus = read_corpus()
    small = type(corpus)({part: text[:200_000] for part, text in corpus.parts.items()}, corpus.digest)
    tokenizer = trained_tokenizer(small, 600)
    assert tokenizer.get_vocab_size() == 600
    assert tokenizer.to_str() == trained_tokenizer(small, 600).to_str()
    text = small.parts["validation"]
    assert tokenizer.decode(encode(tokenizer, text).tolist()) == text


@pytest.mark.parametrize("kinds", [1, 2, 16])
def test_unigram_loss_of_equal_shares_is_the_logarithm_of_their_number(kinds: int) -> None:
    assert unigram_loss(np.tile(np.arange(kinds), 50)) == pytest.approx(math.log(kinds))
