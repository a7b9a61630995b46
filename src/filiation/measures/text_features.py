"""What is compared of a recorded answer: salted hashes of its phrases, its opening and closing, and counts of its structure.

A text is first brought into one form (NFC, line ends, outer space, typographic quotes and dashes, chat-template tokens, case),
so that how it was recorded does not count. Then, per answer:

    word-3, word-6    the set of its runs of 3 and 6 words
    character-5       the set of its runs of 5 characters, a fixed share of them
    opening, closing  its first and last 1, 2, 3, 4, 6 and 8 words
    STRUCTURE         counts: words, lines, headings, list items, bold, ...
    whole             one hash of its words in order, for identical answers

Every hash is salted with the prompt's id: phrases are only ever compared between answers to one prompt, and a table of
hashes of common phrases cannot be used to read them. A share of the hashes is kept *consistently*: which ones depends on the hash
alone, so two answers that share a phrase both keep it or both drop it (Broder 1997). `thinned` keeps a smaller share and
24 bits of each hash; control packs hold features in this form.

Hashing is done on arrays of code points, many answers at once: rolling polynomial sums modulo 2**64 and the finaliser of SplitMix64.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

VERSION = "1"

CHANNELS = ("word-3", "word-6", "character-5", "opening", "closing")
"""The channels that are sets of hashes."""

STRUCTURE = (
    "words",
    "characters",
    "lines",
    "paragraphs",
    "headings",
    "bullets",
    "numbered",
    "bold",
    "code",
    "tables",
    "quotes",
    "questions",
    "exclamations",
    "colons",
    "commas",
    "brackets",
)
"""The columns of `Features.structure`. Lines are non-empty lines; 'bold' counts pairs of asterisks, 'code' backticks."""

SHARES: dict[str, int] = {"word-3": 256, "word-6": 256, "character-5": 64, "opening": 256, "closing": 256}
"""How much of each channel is kept, in 1/256."""

EDGES = (1, 2, 3, 4, 6, 8)
"""Lengths, in words, of the openings and closings."""

BLOCK = 1_000_000
"""Code points hashed at once; bounds memory at about 100 bytes each."""

Hashes = NDArray[np.uint32]
_U64 = np.uint64
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
_INVERSE = pow(_BASE, -1, 1 << 64)
_STEP = _U64(0xD1342543DE82EF95)
_TEMPLATE = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>")
_MARGIN = re.compile(r"[^\S\n]*\n[^\S\n]*")
_TYPOGRAPHY = {
    **dict.fromkeys(map(ord, "‘’‚‛′´"), "'"),
    **dict.fromkeys(map(ord, "“”„‟″«»"), '"'),
    **dict.fromkeys(map(ord, "‐‑‒–—―−"), "-"),
    **dict.fromkeys(map(ord, "•◦‣●▪"), "*"),
    **dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff\0"), ""),
    0x2026: "...",
}


@dataclass(frozen=True)
class HashSets:
    """One set of hashes per answer: `hashes[starts[i] : starts[i + 1]]`, ascending, without repetition."""

    starts: NDArray[np.int64]
    hashes: Hashes

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, answer: int) -> Hashes:
        return self.hashes[self.starts[answer] : self.starts[answer + 1]]

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.diff(self.starts)

    def take(self, answers: NDArray[np.intp]) -> HashSets:
        """The sets of the given answers, in the given order."""
        sizes = self.sizes[answers]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        places = np.repeat(self.starts[:-1][answers] - starts[:-1], sizes) + np.arange(starts[-1])
        return HashSets(starts, self.hashes[places])


@dataclass(frozen=True)
class Features:
    """Features of n answers. `structure` is n x len(STRUCTURE); `whole` holds one hash of each answer's words, 0 where empty."""

    sets: Mapping[str, HashSets]
    structure: NDArray[np.int32]
    whole: Hashes

    def __len__(self) -> int:
        return len(self.whole)

    def take(self, answers: NDArray[np.intp]) -> Features:
        """The features of the given answers, in the given order."""
        sets = {channel: sets.take(answers) for channel, sets in self.sets.items()}
        return Features(sets, self.structure[answers], self.whole[answers])

    @property
    def words(self) -> NDArray[np.int32]:
        return self.structure[:, 0]


def joined(parts: Sequence[Features]) -> Features:
    """The answers of several tables, one after the other. Raises ValueError where there is none."""
    if not parts:
        raise ValueError("there is nothing to join")
    sets = {}
    for channel in parts[0].sets:
        pieces = [part.sets[channel] for part in parts]
        sizes = np.concatenate([piece.sizes for piece in pieces])
        starts = np.concatenate([[0], np.cumsum(sizes)])
        sets[channel] = HashSets(starts, np.concatenate([piece.hashes for piece in pieces]))
    return Features(
        sets, np.concatenate([part.structure for part in parts]), np.concatenate([part.whole for part in parts])
    )


# ------------------------------------------------------------------------------------------------------------- the text


def normalised(text: str) -> str:
    """One form for texts that differ only in how they were recorded; case is kept, lines are stripped on both sides."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").translate(_TYPOGRAPHY)
    if "<" in text or "[" in text:
        text = _TEMPLATE.sub(" ", text)
    return _MARGIN.sub("\n", text.strip()).strip()


@cache
def _classes() -> NDArray[np.uint8]:
    """Per code point: 0 no part of a word, 1 a letter or digit, 2 a word by itself (scripts without spaces)."""
    table = np.zeros(0x110000, dtype=np.uint8)
    for code in range(0x110000):
        if chr(code).isalnum():
            table[code] = 1
    for first, last in ((0x0E00, 0x0E7F), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)):
        table[first : last + 1] *= 2
    return table


# -------------------------------------------------------------------------------------------------------------- hashing


def features_of(texts: Sequence[str], prompt_ids: Sequence[str]) -> Features:
    """Features of answers; `prompt_ids[i]` is the prompt that `texts[i]` answers. Raises ValueError on unequal lengths."""
    if len(texts) != len(prompt_ids):
        raise ValueError(f"{len(texts)} texts for {len(prompt_ids)} prompt ids")
    parts = [_block(block, ids) for block, ids in _blocks(texts, prompt_ids)]
    return joined(parts) if parts else _nothing()


def _nothing() -> Features:
    empty = HashSets(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint32))
    return Features(
        dict.fromkeys(CHANNELS, empty), np.zeros((0, len(STRUCTURE)), dtype=np.int32), np.zeros(0, dtype=np.uint32)
    )


def _blocks(texts: Sequence[str], prompt_ids: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    block: list[str] = []
    ids: list[str] = []
    size = 0
    for text, prompt in zip(texts, prompt_ids, strict=True):
        block.append(normalised(text))
        ids.append(prompt)
        size += len(block[-1]) + 1
        if size >= BLOCK:
            yield block, ids
            block, ids, size = [], [], 0
    if block:
        yield block, ids


def _block(texts: list[str], prompt_ids: list[str]) -> Features:
    """Features of answers that fit into memory at once. A zero stands after each text, and nothing crosses it."""
    lowered = ("\0".join(texts) + "\0").lower()
    codes = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    owner = np.cumsum(codes == 0, dtype=np.int32)
    owner -= codes == 0
    salts = np.array([_salt(prompt) for prompt in prompt_ids], dtype=np.uint64)
    words, word_owner = _words(codes, owner)
    count = np.bincount(word_owner, minlength=len(texts)).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    sets = {
        "word-3": _runs(words, word_owner, 3, salts, SHARES["word-3"]),
        "word-6": _runs(words, word_owner, 6, salts, SHARES["word-6"]),
        "character-5": _characters(codes, owner, salts),
        "opening": _edges(words, first, count, salts, from_the_end=False),
        "closing": _edges(words, first, count, salts, from_the_end=True),
    }
    return Features(sets, _structure(codes, owner, count), _whole(words, first, count, salts))


@lru_cache(maxsize=1 << 16)
def _salt(prompt_id: str) -> int:
    return int.from_bytes(hashlib.sha256(b"filiation text features " + prompt_id.encode()).digest()[:8], "big")


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every output bit depends on every input bit."""
    values = (values ^ (values >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> _U64(27))) * _U64(0x94D049BB133111EB)
    return values ^ (values >> _U64(31))


@lru_cache(maxsize=4)
def _powers(base: int, size: int) -> NDArray[np.uint64]:
    powers = np.full(size, base, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _words(codes: NDArray[np.uint32], owner: NDArray[np.int32]) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """A hash of every word, in order, and the text it stands in."""
    kind = _classes()[codes]
    alone, letter = kind == 2, kind == 1
    before = np.concatenate([[False], letter[:-1]])
    after = np.concatenate([letter[1:], [False]])
    begins = np.flatnonzero(alone | (letter & ~before))
    ends = np.flatnonzero(alone | (letter & ~after))
    size = 1 << len(codes).bit_length()  # few different sizes, so that the powers are found in the cache
    sums = np.cumsum(_mixed(codes.astype(np.uint64) + _U64(1)) * _powers(_BASE, size)[: len(codes)], dtype=np.uint64)
    inside = sums[ends] - np.where(begins > 0, sums[begins - 1], _U64(0))
    return _mixed(inside * _powers(_INVERSE, size)[begins]), owner[begins]


def _runs(
    words: NDArray[np.uint64], owner: NDArray[np.int32], length: int, salts: NDArray[np.uint64], share: int
) -> HashSets:
    """The set of runs of `length` words of each text."""
    size = max(len(words) - length + 1, 0)
    value = np.full(size, length, dtype=np.uint64)
    for at in range(length):
        value = value * _STEP + words[at : at + size]
    whole = owner[:size] == owner[length - 1 : length - 1 + size]
    return _sets(value[whole], owner[:size][whole], salts, share)


def _characters(codes: NDArray[np.uint32], owner: NDArray[np.int32], salts: NDArray[np.uint64]) -> HashSets:
    """The set of runs of 5 characters of each text, every stretch of white space counting as one space."""
    space = (codes == 32) | (codes == 10) | (codes == 9)
    kept = ~(space & np.concatenate([[False], space[:-1]]))
    codes, owner = np.where(space, np.uint32(32), codes)[kept], owner[kept]
    size = max(len(codes) - 4, 0)
    wide = codes.astype(np.uint64)
    value = np.full(size, 5, dtype=np.uint64)
    for at in range(5):
        value = value * _STEP + wide[at : at + size]
    # The zero after each text belongs to it, so a run that ends before the zero lies inside one text.
    inside = (owner[:size] == owner[4 : 4 + size]) & (codes[4 : 4 + size] != 0)
    return _sets(value[inside], owner[:size][inside], salts, SHARES["character-5"])


def _edges(
    words: NDArray[np.uint64],
    first: NDArray[np.int64],
    count: NDArray[np.int64],
    salts: NDArray[np.uint64],
    *,
    from_the_end: bool,
) -> HashSets:
    """The first (or last) words of each text, at the lengths EDGES; a text shorter than a length has none of it."""
    value = np.full(len(count), 101 if from_the_end else 100, dtype=np.uint64)
    values, owners = [], []
    for at in range(max(EDGES)):
        long = np.flatnonzero(count > at)
        places = first[long] + (count[long] - 1 - at if from_the_end else at)
        value[long] = value[long] * _STEP + words[places]
        if at + 1 in EDGES:
            values.append(value[long])
            owners.append(long)
    share = SHARES["closing" if from_the_end else "opening"]
    return _sets(np.concatenate(values), np.concatenate(owners).astype(np.int32), salts, share)


def _whole(
    words: NDArray[np.uint64], first: NDArray[np.int64], count: NDArray[np.int64], salts: NDArray[np.uint64]
) -> Hashes:
    """One hash of all words in order."""
    if not len(words):
        return np.zeros(len(count), dtype=np.uint32)
    place = np.arange(len(words)) - np.repeat(first, count)
    terms = words * _powers(_BASE, 1 << len(words).bit_length())[place]
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(terms, dtype=np.uint64)])
    value = sums[first + count] - sums[first]
    found = (_mixed(_mixed(value + count.astype(np.uint64)) ^ salts) >> _U64(32)).astype(np.uint32)
    return np.where(count > 0, np.maximum(found, 1), 0).astype(np.uint32)


def _sets(values: NDArray[np.uint64], owner: NDArray[np.int32], salts: NDArray[np.uint64], share: int) -> HashSets:
    """Salt, thin to `share`/256, and sort into one set per text."""
    found = _mixed(_mixed(values) ^ salts[owner]) >> _U64(32)
    if share < 256:
        kept = found < _U64(share << 24)
        found, owner = found[kept], owner[kept]
    key = np.sort((owner.astype(np.uint64) << _U64(32)) | found)
    key = key[np.concatenate([[True], key[1:] != key[:-1]])] if len(key) else key
    sizes = np.bincount((key >> _U64(32)).astype(np.intp), minlength=len(salts))
    return HashSets(np.concatenate([[0], np.cumsum(sizes)]), (key & _U64(0xFFFFFFFF)).astype(np.uint32))


# ------------------------------------------------------------------------------------------------------------ structure


def _structure(codes: NDArray[np.uint32], owner: NDArray[np.int32], words: NDArray[np.int64]) -> NDArray[np.int32]:
    """Counts of habits, one row per text. Lines have been stripped, so a line's first character tells its kind."""
    before = np.concatenate([[0], codes[:-1]]).astype(np.uint32)
    after = np.concatenate([codes[1:], [0]]).astype(np.uint32)
    begins = ((before == 10) | (before == 0)) & (codes != 10) & (codes != 0)
    digit = (codes >= 48) & (codes <= 57)
    # 'numbered': a full stop or bracket after one or two digits at the start of a line.
    second = np.concatenate([[False], begins[:-1]]) & np.concatenate([[False], digit[:-1]])
    third = np.concatenate([[False], second[:-1]]) & np.concatenate([[False], digit[:-1]])
    closes = (codes == ord(".")) | (codes == ord(")"))
    mark = (codes == ord("-")) | (codes == ord("*")) | (codes == ord("+"))
    counted = (
        (codes != 0),
        begins,
        begins & (before == 10) & (np.concatenate([[0], before[:-1]]) == 10),
        begins & (codes == ord("#")),
        begins & mark & (after == 32),
        closes & (second | third),
        (codes == ord("*")) & (after == ord("*")),
        codes == ord("`"),
        begins & (codes == ord("|")),
        begins & (codes == ord(">")),
        codes == ord("?"),
        codes == ord("!"),
        (codes == ord(":")) & ((after == 10) | (after == 0)),
        codes == ord(","),
        codes == ord("("),
    )
    size = len(words)
    columns = [words, *(np.bincount(owner[seen], minlength=size)[:size] for seen in counted)]
    return np.stack(columns, axis=1).astype(np.int32)


# ---------------------------------------------------------------------------------------------------------- thinned form

PACKED_SHARES: dict[str, int] = {"word-3": 56, "word-6": 12, "character-5": 8, "opening": 256, "closing": 256}
"""How much of each channel a control pack keeps, in 1/256."""

PACKED_BITS = 24


def thinned(features: Features, shares: Mapping[str, int] | None = None) -> Features:
    """The same answers with a smaller share of hashes, of which 24 bits are kept: what a control pack holds."""
    mask = np.uint32((1 << PACKED_BITS) - 1)
    sets = {}
    for channel, full in features.sets.items():
        share = (PACKED_SHARES if shares is None else shares)[channel]
        kept = (full.hashes >> np.uint32(24)) < share
        owner = np.repeat(np.arange(len(full), dtype=np.uint64), full.sizes)[kept]
        key = np.unique((owner << _U64(32)) | (full.hashes[kept] & mask))
        sizes = np.bincount((key >> _U64(32)).astype(np.intp), minlength=len(full))
        starts = np.concatenate([[0], np.cumsum(sizes)])
        sets[channel] = HashSets(starts, (key & _U64(0xFFFFFFFF)).astype(np.uint32))
    return Features(sets, features.structure, features.whole)


@dataclass(frozen=True)
class Packed:
    """The data of a text control pack: thinned features, and which model and prompt (positions on the card) each row is."""

    features: Features
    model: NDArray[np.int32]
    prompt: NDArray[np.int32]


def pack_bytes(packed: Packed) -> bytes:
    """The data file of a control pack (a NumPy archive without pickled objects)."""
    columns: dict[str, NDArray[np.generic]] = {
        "model": packed.model.astype(np.uint16),
        "prompt": packed.prompt.astype(np.uint16),
        "structure": np.minimum(packed.features.structure, 65535).astype(np.uint16).T,
        "whole": packed.features.whole,
    }
    for channel, sets in packed.features.sets.items():
        columns[f"{channel}.sizes"] = sets.sizes.astype(np.uint16)
        columns[f"{channel}.hashes"] = sets.hashes.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].copy()
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **columns)
    return file.getvalue()


def unpack(data: bytes) -> Packed:
    """Read `pack_bytes`. Raises ValueError where it is not that."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            columns = {name: archive[name] for name in archive.files}
        sets = {}
        for channel in CHANNELS:
            low = columns[f"{channel}.hashes"].astype(np.uint32)
            hashes = low[:, 0] | (low[:, 1] << np.uint32(8)) | (low[:, 2] << np.uint32(16))
            starts = np.concatenate([[0], np.cumsum(columns[f"{channel}.sizes"].astype(np.int64))])
            if starts[-1] != len(hashes) or len(starts) != len(columns["whole"]) + 1:
                raise ValueError(f"{channel}: {len(hashes)} hashes where {starts[-1]} are announced")
            sets[channel] = HashSets(starts, hashes)
        structure = columns["structure"].T.astype(np.int32)
        if structure.shape != (len(columns["whole"]), len(STRUCTURE)):
            raise ValueError(f"structure of shape {structure.shape}")
        return Packed(
            Features(sets, structure, columns["whole"].astype(np.uint32)),
            columns["model"].astype(np.int32),
            columns["prompt"].astype(np.int32),
        )
    except (KeyError, OSError, EOFError, IndexError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"these are no packed text features: {error}") from error
