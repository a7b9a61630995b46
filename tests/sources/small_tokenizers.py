"""Small real tokenizers, trained in a second or two on the standard library's sources, and synthetic ones of any size."""

from __future__ import annotations

import json
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers as hf

from filiation.sources.tokenizers import TokenizerDefinition, tokenizer_from_gguf

TEXT = "def naïve(x):\n    return 'žluťoučký kůň', x  # 東京 \U0001f600\n"


@cache
def corpus(half: int) -> tuple[str, ...]:
    """About 1.5 MB of one half of the standard library's own modules; the two halves have no file in common."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    texts = [file.read_text(encoding="utf-8", errors="ignore") for file in files[half::2]]
    return tuple(texts)[:60]


@cache
def trained(kind: str, half: int = 0, vocabulary: int = 3000, left_out: int = 0) -> bytes:
    """A tokenizer.json of Hugging Face's tokenizers; `left_out`: files of the half that were not seen."""
    if kind == "bpe":
        made = hf.Tokenizer(hf.models.BPE())
        made.pre_tokenizer = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = hf.decoders.ByteLevel()
        alphabet = hf.pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = hf.trainers.BpeTrainer(
            vocab_size=vocabulary, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
        )
    elif kind == "unigram":
        made = hf.Tokenizer(hf.models.Unigram())
        # Words first: without them the trainer weighs every stretch of lines as one word, for minutes.
        made.pre_tokenizer = hf.pre_tokenizers.Sequence(
            [
                hf.pre_tokenizers.WhitespaceSplit(),
                hf.pre_tokenizers.Punctuation(),
                hf.pre_tokenizers.Metaspace(),
            ]
        )
        made.decoder = hf.decoders.Metaspace()
        trainer = hf.trainers.UnigramTrainer(
            vocab_size=vocabulary, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        )
    else:
        made = hf.Tokenizer(hf.models.WordPiece(unk_token="[UNK]"))
        made.pre_tokenizer = hf.pre_tokenizers.BertPreTokenizer()
        trainer = hf.trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=["[UNK]"], show_progress=False)
    made.train_from_iterator(corpus(half)[left_out:], trainer)
    return made.to_str().encode()


def edited(data: bytes, **changes: Any) -> bytes:
    """The same file with parts of its model replaced."""
    document = json.loads(data)
    document["model"] |= changes
    return json.dumps(document).encode()


def permuted_ids(data: bytes, seed: int) -> bytes:
    """The same function with other ids, as somebody who owns the embedding rows can make it for free."""
    document = json.loads(data)
    vocabulary = document["model"]["vocab"]
    order = np.random.default_rng(seed).permutation(len(vocabulary)).tolist()
    document["model"]["vocab"] = {token: order[token_id] for token, token_id in vocabulary.items()}
    for added in document["added_tokens"]:
        added["id"] = document["model"]["vocab"][added["content"]]
    return json.dumps(document).encode()


def extended(data: bytes, other: bytes) -> bytes:
    """The first tokenizer's merges in their order, then those of the other that can still be made: an own tail."""
    document, tail = json.loads(data), json.loads(other)
    vocabulary, merges = document["model"]["vocab"], document["model"]["merges"]
    known = {"".join(merge) for merge in merges}
    for left, right in tail["model"]["merges"]:
        if left + right not in known and left in vocabulary and right in vocabulary:
            vocabulary.setdefault(left + right, len(vocabulary))
            merges.append([left, right])
            known.add(left + right)
    return json.dumps(document).encode()


def made_of(words: list[bytes]) -> TokenizerDefinition:
    """A tokenizer (BPE stored with scores, as in GGUF) that learned exactly these tokens in this order."""
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [word.decode() for word in words],
        "tokenizer.ggml.scores": [-float(rank) for rank in range(len(words))],
        "tokenizer.ggml.token_type": [1] * len(words),
    }
    return tokenizer_from_gguf(metadata, "made of words")


def words(count: int, seed: int) -> list[bytes]:
    """Different words of six letters, none within another, in random order."""
    rng = np.random.default_rng(seed)
    letters = rng.integers(97, 123, (2 * count, 6), dtype=np.uint8)
    found = list(dict.fromkeys(row.tobytes() for row in letters))[:count]
    assert len(found) == count
    return found
