"""What the zoo's members read: the sources of Python's standard library, split into disjoint parts.

Files are taken in the order of their relative path up to a cap, and sorted into parts by the SHA-256 of their path:

    one, two      disjoint halves of the library, so that strangers may be trained on the same or on different text
    tests         the library's own test suites: another domain, for fine-tuning
    validation    files that no member is ever trained on: every reported loss is measured here

Where an installation comes without test suites, a few packages of a peculiar style stand in for them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

LIBRARY_CAP = 9_000_000
TESTS_CAP = 3_000_000
ENOUGH_TESTS = 500_000
STAND_INS_FOR_TESTS = ("encodings", "idlelib", "tkinter", "unittest", "ctypes")
EXCLUDED = ("site-packages", "dist-packages", "__pycache__")

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """The parts as text, and the SHA-256 over every file's path and content that went into them."""

    parts: dict[str, str]
    digest: str

    def part_digest(self, part: str) -> str:
        """SHA-256 of one part's text."""
        return hashlib.sha256(self.parts[part].encode()).hexdigest()


@cache
def read_corpus() -> Corpus:
    """Read and split the standard library of the running Python (about 12 MB, well under a second)."""
    files = list(_library_files(Path(sysconfig.get_paths()["stdlib"])))
    has_tests = sum(len(text) for path, text in files if _is_test(path)) > ENOUGH_TESTS
    texts: dict[str, list[str]] = {"one": [], "two": [], "tests": [], "validation": []}
    room = {"tests": TESTS_CAP, "library": LIBRARY_CAP}
    whole = hashlib.sha256()
    for path, text in files:
        other_domain = _is_test(path) if has_tests else path.split("/")[0] in STAND_INS_FOR_TESTS
        side = "tests" if other_domain else "library"
        if len(text) > room[side]:
            continue
        room[side] -= len(text)
        texts["tests" if other_domain else _half(path)].append(text)
        whole.update(json.dumps([path, hashlib.sha256(text.encode()).hexdigest()]).encode())
    return Corpus({part: "\n".join(members) for part, members in texts.items()}, whole.hexdigest())


def _library_files(root: Path) -> Iterator[tuple[str, str]]:
    for relative in sorted(_source_paths(root)):
        try:
            yield relative, (root / relative).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError):  # some test files are broken on purpose
            continue


def _source_paths(root: Path) -> Iterator[str]:
    for folder, inner, files in os.walk(root):
        inner[:] = [name for name in inner if name not in EXCLUDED]
        yield from (Path(folder, name).relative_to(root).as_posix() for name in files if name.endswith(".py"))


def _is_test(path: str) -> bool:
    return any(folder in ("test", "tests") for folder in path.split("/")[:-1])


def _half(path: str) -> str:
    lot = hashlib.sha256(path.encode()).digest()[0]
    if lot < 12:  # about one file in twenty
        return "validation"
    return "one" if lot % 2 else "two"


# ----------------------------------------------------------------------------------------------------------- tokenizers


def byte_tokenizer() -> Tokenizer:
    """Bytes as tokens: byte-level BPE without merges, id = value of the byte."""
    tokenizer = Tokenizer(models.BPE(vocab={_letter(byte): byte for byte in range(256)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _letter(byte: int) -> str:
    """The character that byte-level BPE writes for a byte: itself when printable, else the next one from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in printable:
        return chr(byte)
    return chr(256 + sum(1 for other in range(byte) if other not in printable))


def trained_tokenizer(corpus: Corpus, vocabulary: int) -> Tokenizer:
    """Byte-level BPE trained on both halves of the library; training is deterministic."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    halves = corpus.parts["one"].splitlines(keepends=True) + corpus.parts["two"].splitlines(keepends=True)
    tokenizer.train_from_iterator(halves, trainer=trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, text: str) -> Tokens:
    """Token ids of a text, [n]; line blocks are encoded one by one so that memory stays small."""
    lines = text.splitlines(keepends=True)
    blocks = ["".join(lines[start : start + 200]) for start in range(0, len(lines), 200)]
    encoded = tokenizer.encode_batch_fast(blocks) if hasattr(tokenizer, "encode_batch_fast") else None
    encoded = encoded if encoded is not None else tokenizer.encode_batch(blocks)
    return np.concatenate([np.asarray(block.ids, dtype=np.int64) for block in encoded])


def byte_tokens(text: str) -> Tokens:
    """What `byte_tokenizer` would give, [n], at the speed of a copy."""
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64)


def unigram_loss(tokens: Tokens) -> float:
    """Entropy in nats per token of the token frequencies: what a model without any context can reach."""
    counts = Counter(tokens.tolist())
    total = sum(counts.values())
    return -sum(count / total * math.log(count / total) for count in counts.values())
