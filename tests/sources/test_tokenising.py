"""Tokenizers of strangers, run: what the package makes of them is token ids, or one of our errors; never its own, never a panic."""

from __future__ import annotations

import json
from typing import Any

import pytest

from filiation.errors import MalformedSource
from filiation.sources.tokenising import pieces, token_ids, tokenizer_of
from studies.zoo.corpus import byte_tokenizer

pytest.importorskip("tokenizers")

BPE: dict[str, Any] = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}


def file_of(**parts: Any) -> bytes:
    empty = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    return json.dumps({"version": "1.0", "added_tokens": [], "model": BPE} | empty | parts).encode()


def test_texts_become_ids_and_pieces_without_special_tokens() -> None:
    made = tokenizer_of(byte_tokenizer().to_str().encode(), "tokenizer.json")
    assert [ids.tolist() for ids in token_ids(made, ["ab", ""])] == [[97, 98], []]
    assert pieces(made, "ab") == ["a", "b"]


NO_TOKENIZERS = {
    "no JSON": b"tokens",
    "nested without end": b"[" * 100_000,
    "a merge of what is not there": file_of(model=BPE | {"merges": [["a", "b"]]}),
    "a merge shorter than its prefix": file_of(model=BPE | {"merges": [["a", "b"]], "continuing_subword_prefix": "##"}),
    "a map of characters that is none": file_of(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    "a pattern that is none": file_of(normalizer={"type": "Replace", "pattern": {"Regex": "("}, "content": "x"}),
}


@pytest.mark.parametrize("case", NO_TOKENIZERS)
def test_what_is_no_tokenizer_is_refused_even_where_the_package_panics(case: str) -> None:
    with pytest.raises(MalformedSource, match="this is not a tokenizer") as refused:
        tokenizer_of(NO_TOKENIZERS[case], "tokenizer.json")
    assert refused.value.advice


WITHOUT_UNKNOWN = {
    "a piece model without an unknown token": {"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": None},
    "a word model without one": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"},
    "an unknown token that is not there": BPE | {"unk_token": "[UNK]"},
}


@pytest.mark.parametrize("case", WITHOUT_UNKNOWN)
def test_a_text_that_a_tokenizer_cannot_spell_is_refused(case: str) -> None:
    made = tokenizer_of(file_of(model=WITHOUT_UNKNOWN[case]), "tokenizer.json")
    with pytest.raises(MalformedSource, match="cannot be made into tokens"):
        token_ids(made, ["z"])
    with pytest.raises(MalformedSource, match="cannot be made into tokens"):
        pieces(made, "z")


def test_an_interruption_is_no_fault_of_a_tokenizer() -> None:
    class Interrupted:
        def encode_batch(self, *_: object, **__: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        token_ids(Interrupted(), ["a"])
