"""Truth comes from the libraries that wrote the files (tokenizers, sentencepiece), and from files made to be hostile."""

from __future__ import annotations

import contextlib
import io
import json
import struct

import pytest
import sentencepiece
import tokenizers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.errors import MalformedSource
from filiation.evidence import Absent
from filiation.sources.tokenizers import (
    LONGEST_TOKEN,
    TokenizerDefinition,
    ids_in_common,
    tokenizer_from_gguf,
    tokenizer_from_json,
    tokenizer_from_model,
)
from tests.sources.small_tokenizers import TEXT, corpus, edited, permuted_ids, trained


def read(data: bytes) -> TokenizerDefinition:
    return tokenizer_from_json(data, "exhibit")


def by_id(definition: TokenizerDefinition) -> dict[int, bytes]:
    return dict(zip(definition.ids.tolist(), definition.tokens, strict=True))


# --------------------------------------------------------------------------------------------- what the libraries wrote


def test_byte_level_tokens_add_up_to_the_text_that_the_tokenizers_library_encoded() -> None:
    data = trained("bpe")
    tokens = by_id(read(data))
    ids = hf.Tokenizer.from_str(data.decode()).encode(TEXT).ids
    assert b"".join(tokens[token_id] for token_id in ids) == TEXT.encode()


def test_unigram_tokens_add_up_to_the_text_that_the_tokenizers_library_encoded() -> None:
    data = trained("unigram")
    tokens = by_id(read(data))
    ids = hf.Tokenizer.from_str(data.decode()).encode("return self.value").ids
    assert b"".join(tokens[token_id] for token_id in ids).replace(b" ", b"") == b"returnself.value"
    assert any(token.startswith(b" ") and len(token) > 2 for token in tokens.values())


def test_wordpiece_tokens_add_up_to_the_words_that_the_tokenizers_library_encoded() -> None:
    data = trained("wordpiece", vocabulary=1000)
    definition = read(data)
    tokens = by_id(definition)
    ids = hf.Tokenizer.from_str(data.decode()).encode("return value").ids
    assert definition.kind == "wordpiece"
    assert b"".join(tokens[token_id] for token_id in ids) == b" return value"


def test_merges_make_their_products() -> None:
    definition = read(trained("bpe"))
    assert len(definition.merges) > 2000
    for (left, right), product in zip(definition.merge_pairs(), definition.merges[:, 2].tolist(), strict=True):
        assert left + right == definition.tokens[product]


def test_special_tokens_are_flagged() -> None:
    definition = read(trained("bpe"))
    flagged = [t for t, special in zip(definition.tokens, definition.special.tolist(), strict=True) if special]
    assert flagged == [b"<|end|>"]


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_sentencepiece_models_read_as_the_sentencepiece_library_reads_them(model_type: str) -> None:
    written = io.BytesIO()
    lines = [line for text in corpus(0)[:20] for line in text.splitlines() if line.strip()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=written,
        vocab_size=1200,
        model_type=model_type,
        byte_fallback=True,
        num_threads=1,
        minloglevel=2,
    )
    library = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    definition = tokenizer_from_model(written.getvalue(), "exhibit")
    assert definition.kind == model_type
    assert len(definition) == library.get_piece_size()
    assert int(definition.byte_fallback.sum()) == 256
    for place in range(len(definition)):
        assert definition.scores[place] == library.get_score(place)
        assert bool(definition.byte_fallback[place]) == library.is_byte(place)
        if not library.is_byte(place):
            assert definition.tokens[place] == library.id_to_piece(place).replace("▁", " ").encode()


# ----------------------------------------------------------------------------------------------------- what is the same


def test_digest_ignores_key_order_and_the_way_merges_are_written() -> None:
    data = trained("bpe")
    document = json.loads(data)
    vocabulary = dict(reversed(document["model"]["vocab"].items()))
    merges = [" ".join(merge) for merge in document["model"]["merges"]]
    again = edited(data, vocab=vocabulary, merges=merges)
    assert read(again).sha256 == read(data).sha256
    assert read(again).ids_sha256 == read(data).ids_sha256


def test_permuted_ids_change_the_digest_of_the_ids_alone() -> None:
    first, second = read(trained("bpe")), read(permuted_ids(trained("bpe"), 1))
    assert first.sha256 == second.sha256
    assert first.ids_sha256 != second.ids_sha256


def test_permuted_ids_are_matched_again_by_the_bytes_of_their_tokens() -> None:
    original, permuted = (read(data) for data in (trained("bpe"), permuted_ids(trained("bpe"), 1)))
    how, first, second = ids_in_common((original, permuted), (len(original), len(permuted)))
    assert (how, len(first) > 100) == ("bytes", True)
    assert (first != second).any()
    assert [by_id(original)[at] for at in first.tolist()] == [by_id(permuted)[at] for at in second.tolist()]
    _, fewer, _ = ids_in_common((original, permuted), (100, len(permuted)))
    assert 0 < len(fewer) <= 100
    assert max(fewer.tolist()) < 100


def test_without_a_tokenizer_ids_are_the_same_only_where_sizes_are() -> None:
    unknown = Absent(reason="no tokenizer")
    assert ids_in_common((unknown, unknown), (7, 7))[0] == "id"
    how, first, second = ids_in_common((unknown, unknown), (7, 8))
    assert (how, len(first), len(second)) == ("nothing", 0, 0)


def test_two_merges_exchanged_change_the_digest() -> None:
    merges = json.loads(trained("bpe"))["model"]["merges"]
    merges[10], merges[11] = merges[11], merges[10]
    assert read(edited(trained("bpe"), merges=merges)).sha256 != read(trained("bpe")).sha256


def test_gguf_metadata_give_the_tokens_and_merges_of_the_file_they_were_made_of() -> None:
    document = json.loads(trained("bpe"))
    listed = sorted(document["model"]["vocab"], key=document["model"]["vocab"].get)
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": listed,
        "tokenizer.ggml.token_type": [3 if token == "<|end|>" else 1 for token in listed],
        "tokenizer.ggml.merges": [" ".join(merge) for merge in document["model"]["merges"]],
    }
    from_gguf, from_json = tokenizer_from_gguf(metadata, "exhibit"), read(trained("bpe"))
    assert from_gguf.tokens == from_json.tokens
    assert list(from_gguf.merge_pairs()) == list(from_json.merge_pairs())
    assert from_gguf.special.tolist() == from_json.special.tolist()


# -------------------------------------------------------------------------------------------------------- hostile files


def small(**changes: object) -> bytes:
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]} | changes
    return json.dumps({"model": model, "added_tokens": []}).encode()


HOSTILE = {
    "one id for two tokens": (small(vocab={"a": 0, "b": 1, "ab": 1}), "the id 1 "),
    "a key that stands twice": (b'{"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}}', "'a' twice"),
    "a merge of an unknown token": (small(merges=["a c"]), "'c'"),
    "a merge that makes an unknown token": (small(merges=["b a"]), "'ba'"),
    "a merge of three": (small(merges=["a b a"]), "merge 0"),
    "a merge that is a number": (small(merges=[7]), "merge 0"),
    "an id that is text": (small(vocab={"a": "0"}, merges=[]), "integer"),
    "an id that is true": (small(vocab={"a": True}, merges=[]), "integer"),
    "a negative id": (small(vocab={"a": -1}, merges=[]), "negative"),
    "an absurd id": (small(vocab={"a": 2**80}, merges=[]), "absurdly"),
    "an absurdly long token": (small(vocab={"a" * (LONGEST_TOKEN + 1): 0}, merges=[]), "characters"),
    "no token at all": (small(vocab={}, merges=[]), "empty"),
    "no merges": (small(merges=None), "merges"),
    "half a surrogate": (small(vocab={"\ud800": 0}, merges=[]), "Unicode"),
    "a score that is not a number": (b'{"model": {"type": "Unigram", "vocab": [["a", NaN]]}}', "number"),
    "a score that is infinite": (b'{"model": {"type": "Unigram", "vocab": [["a", Infinity]]}}', "number"),
    "no model": (b"{}", "model"),
    "not JSON": (b"vocabulary", "JSON"),
    "a list": (b"[]", "object"),
    "nested absurdly": (b'{"model":' * 100_000, "deep"),
    "cut short": (trained("bpe")[:5000], "JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gives_one_clear_error(name: str) -> None:
    data, said = HOSTILE[name]
    with pytest.raises(MalformedSource) as raised:
        tokenizer_from_json(data, "exhibit")
    assert said in raised.value.message
    assert raised.value.exhibit == "exhibit"
    assert raised.value.advice


@pytest.mark.parametrize("added", [{"id": 1, "content": "<s>"}, {"id": 9, "content": "a"}, {"content": "<s>"}, 3])
def test_added_tokens_that_contradict_the_vocabulary_are_refused(added: object) -> None:
    document = json.loads(small()) | {"added_tokens": [added]}
    with pytest.raises(MalformedSource):
        tokenizer_from_json(json.dumps(document).encode(), "exhibit")


def test_no_merges_at_all_is_a_tokenizer_of_single_characters() -> None:
    assert len(tokenizer_from_json(small(vocab={"a": 0}, merges=[]), "exhibit").merges) == 0


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"tokenizer.ggml.model": "gpt2"},
        {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a", "a"]},
        {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.merges": ["a b"]},
        {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["a", "b"], "tokenizer.ggml.scores": [0.0]},
        {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.scores": [float("nan")]},
        {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": [b"\xff"]},
    ],
)
def test_hostile_gguf_metadata_give_one_clear_error(metadata: dict[str, object]) -> None:
    with pytest.raises(MalformedSource):
        tokenizer_from_gguf(metadata, "exhibit")


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_model_or_one_clear_error(data: bytes) -> None:
    with contextlib.suppress(MalformedSource):
        assert len(tokenizer_from_model(data, "exhibit")) > 0


@given(st.integers(0, 40), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_damaged_model_is_a_model_or_one_clear_error(place: int, value: int) -> None:
    piece = b"\x0a\x02ab\x15" + struct.pack("<f", -1.0) + b"\x18\x01"
    whole = bytearray(b"".join(b"\x0a" + bytes([len(piece)]) + piece.replace(b"ab", pair) for pair in (b"ab", b"cd")))
    whole[place % len(whole)] = value
    with contextlib.suppress(MalformedSource):
        assert len(tokenizer_from_model(bytes(whole), "exhibit")) > 0
