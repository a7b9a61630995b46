"""Tokenizers as their function defines them, from `tokenizer.json`, `tokenizer.model` or GGUF metadata.

Every token is decoded to the bytes it stands for, so that tokenizers written in different alphabets can be compared: the
GPT-2 byte alphabet is undone, U+2581 becomes a space, `<0xNN>` one byte. Ids are kept apart from the function (they can
be permuted for free): `sha256` does not cover them, `ids_sha256` does.

The files are hostile until shown otherwise: no foreign parser runs native code over them, sizes are bounded, and
whatever contradicts itself is a `MalformedSource` that names the contradiction.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filiation.errors import MalformedSource
from filiation.evidence import Absent, canonical
from filiation.strict_json import read_json_object

LARGEST_FILE = 1 << 28
"""Bytes; the largest public tokenizer.json (Gemma 3) has 33 million."""
LARGEST_VOCABULARY = 4_000_000
LONGEST_TOKEN = 1 << 14
"""Characters of one token."""

SPACE_MARK = "▁"  # U+2581, sentencepiece's space
_BYTE_TOKENS = {f"<0x{value:02X}>": bytes([value]) for value in range(256)}

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, repr=False)
class TokenizerDefinition:
    """What a tokenizer does, with its tokens as bytes in the order of their ids.

    kind: 'bpe', 'unigram', 'wordpiece' or 'wordlevel'. style: how tokens were written ('byte-level', 'sentencepiece',
    'wordpiece', 'plain'). ids, special, byte_fallback: one entry per token; special covers every token that was set by hand (control,
    unknown, user-defined, added). merges: shape (m, 3), positions in `tokens` of left part, right part and product, in
    order of priority. scores: one per token (higher first), or none. settings_sha256: normaliser and pre-tokenizer.
    sha256: the function without ids; ids_sha256: the ids.
    """

    kind: str
    style: str
    tokens: tuple[bytes, ...]
    ids: Integers
    special: Flags
    byte_fallback: Flags
    merges: Integers
    scores: NDArray[np.float64]
    settings_sha256: str
    sha256: str
    ids_sha256: str

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"<{self.kind} tokenizer, {len(self.tokens)} tokens, {len(self.merges)} merges, {self.sha256[:12]}>"

    def merge_pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """The merges in order of priority, as pairs of bytes."""
        for left, right, _product in self.merges.tolist():
            yield self.tokens[left], self.tokens[right]


def ids_by_bytes(definition: TokenizerDefinition, size: int) -> dict[bytes, int]:
    """Ids below `size` of the learned tokens, by their bytes; of two ids for the same bytes the first."""
    learned = ~(definition.special | definition.byte_fallback) & (definition.ids < size)
    ids: dict[bytes, int] = {}
    for at in np.flatnonzero(learned).tolist():
        if definition.tokens[at]:
            ids.setdefault(definition.tokens[at], int(definition.ids[at]))
    return ids


def ids_in_common(
    definitions: Sequence[TokenizerDefinition | Absent], sizes: Sequence[int]
) -> tuple[str, NDArray[np.intp], NDArray[np.intp]]:
    """How the tokens of two vocabularies were matched, and the ids of those both have, shape (n,) each.

    `sizes`: rows of the two embeddings. Matched by 'bytes', in the order of the bytes; by 'id' where a tokenizer is missing and the
    sizes are equal; else by 'nothing'.
    """
    known = [definition for definition in definitions if not isinstance(definition, Absent)]
    if len(known) == len(definitions):
        one, other = (ids_by_bytes(definition, size) for definition, size in zip(known, sizes, strict=True))
        pairs = [(one[token], other[token]) for token in sorted(one.keys() & other.keys())]
        first, second = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
        return "bytes", first, second
    ids = np.arange(sizes[0] if sizes[0] == sizes[1] else 0, dtype=np.intp)
    return "id" if sizes[0] == sizes[1] else "nothing", ids, ids


def tokenizer_from_json(data: bytes, exhibit: str) -> TokenizerDefinition:
    """Read a `tokenizer.json` (Hugging Face tokenizers). Raises MalformedSource."""
    document = read_json_object(data, what="tokenizer.json", exhibit=exhibit, limit=LARGEST_FILE)
    model = document.get("model")
    if not isinstance(model, dict):
        raise MalformedSource("tokenizer.json has no 'model'", exhibit=exhibit, advice=_ADVICE_JSON)
    kind = _json_kind(model, exhibit)
    texts, ids, scores = _json_vocabulary(model.get("vocab"), exhibit)
    style = _json_style(document, model, kind)
    content = _Vocabulary(texts, ids, exhibit)
    merges = _json_merges(model, content) if kind == "bpe" else _no_merges()
    special = _json_added_tokens(document.get("added_tokens") or [], content)
    unknown = model.get("unk_token")
    if isinstance(unknown, str) and unknown in content.position:
        special.add(content.position[unknown])
    unknown_id = model.get("unk_id")
    if kind == "unigram" and isinstance(unknown_id, int) and 0 <= unknown_id < len(texts):
        special.add(unknown_id)
    scores += [-math.inf] * (len(content.texts) - len(texts)) if scores else []
    settings = {"normalizer": document.get("normalizer"), "pre_tokenizer": document.get("pre_tokenizer")}
    return _define(
        kind,
        style,
        content,
        special,
        merges,
        scores,
        settings,
        prefix=str(model.get("continuing_subword_prefix") or ""),
        suffix=str(model.get("end_of_word_suffix") or ""),
    )


def tokenizer_from_model(data: bytes, exhibit: str) -> TokenizerDefinition:
    """Read a sentencepiece `tokenizer.model` (protocol buffers, read here field by field). Raises MalformedSource.

    The scores of a BPE-type model are minus the rank of the merge, so they order the merges.
    """
    _check_size(data, exhibit)
    texts: list[str] = []
    scores: list[float] = []
    types: list[int] = []
    model_type, normalizer = 1, b""
    for number, value in _fields(data, exhibit):
        if number == 1 and isinstance(value, bytes):
            text, score, piece_type = _piece(value, exhibit)
            texts.append(text)
            scores.append(score)
            types.append(piece_type)
        elif number == 2 and isinstance(value, bytes):
            model_type = next((v for n, v in _fields(value, exhibit) if n == 3 and isinstance(v, int)), 1)
        elif number == 3 and isinstance(value, bytes):
            normalizer = value
    kind = {1: "unigram", 2: "bpe", 3: "wordlevel"}.get(model_type, f"sentencepiece type {model_type}")
    content = _Vocabulary(texts, list(range(len(texts))), exhibit)
    settings = {"sentencepiece_normalizer": hashlib.sha256(normalizer).hexdigest()}
    return _by_piece_types(kind, content, types, scores, settings)


def tokenizer_from_gguf(metadata: Mapping[str, Any], exhibit: str) -> TokenizerDefinition:
    """Read the tokenizer in GGUF metadata (keys `tokenizer.ggml.*`). Raises MalformedSource."""
    model = metadata.get("tokenizer.ggml.model")
    listed = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(model, str) or listed is None:
        raise MalformedSource(
            "the GGUF metadata has no tokenizer (tokenizer.ggml.model and tokenizer.ggml.tokens)",
            exhibit=exhibit,
            advice="convert the model again with its tokenizer",
        )
    texts = [_text(item, exhibit) for item in listed]
    content = _Vocabulary(texts, list(range(len(texts))), exhibit)
    types = _numbers(metadata, "tokenizer.ggml.token_type", len(texts), exhibit)
    scores = [float(score) for score in _numbers(metadata, "tokenizer.ggml.scores", len(texts), exhibit)]
    settings = {"ggml_model": model, "pre": str(metadata.get("tokenizer.ggml.pre", ""))}
    if model == "gpt2":
        merges = _merges_of([_text(item, exhibit) for item in metadata.get("tokenizer.ggml.merges", [])], content, "")
        special = {place for place, piece_type in enumerate(types) if piece_type in _SET_BY_HAND}
        return _define("bpe", "byte-level", content, special, merges, [], settings)
    kind = {"llama": "bpe", "t5": "unigram", "bert": "wordpiece"}.get(model, model)
    return _by_piece_types(kind, content, [int(piece_type) for piece_type in types], scores, settings)


# ----------------------------------------------------------------------------------------------------- from any format


class _Vocabulary:
    """Token texts with their ids; each text and each id once."""

    def __init__(self, texts: list[str], ids: list[int], exhibit: str) -> None:
        self.texts, self.ids, self.exhibit = texts, ids, exhibit
        if not texts:
            raise MalformedSource("the vocabulary is empty", exhibit=exhibit, advice="give a complete tokenizer")
        if len(texts) > LARGEST_VOCABULARY:
            raise MalformedSource(
                f"{len(texts)} tokens are more than the {LARGEST_VOCABULARY} that any tokenizer has",
                exhibit=exhibit,
                advice="check that this is a tokenizer",
            )
        longest = max(texts, key=len)
        if len(longest) > LONGEST_TOKEN:
            raise MalformedSource(
                f"a token of {len(longest)} characters (at most {LONGEST_TOKEN}), beginning {longest[:20]!r}",
                exhibit=exhibit,
                advice="check that this is a tokenizer",
            )
        self.position = dict(zip(texts, range(len(texts)), strict=True))
        if len(self.position) != len(texts):
            raise MalformedSource(
                f"the token {_first_repeated(texts)!r} is listed twice", exhibit=exhibit, advice=_ADVICE_TWICE
            )
        self.taken = set(ids)
        if len(self.taken) != len(ids):
            raise MalformedSource(
                f"the id {_first_repeated(ids)} is given to more than one token", exhibit=exhibit, advice=_ADVICE_TWICE
            )

    def add(self, text: str, token_id: int) -> int:
        """Append a token that was added by hand; returns its position."""
        if token_id in self.taken:
            raise MalformedSource(
                f"the id {token_id} of the added token {text!r} belongs to another token",
                exhibit=self.exhibit,
                advice=_ADVICE_TWICE,
            )
        self.position[text] = len(self.texts)
        self.texts.append(text)
        self.ids.append(token_id)
        self.taken.add(token_id)
        return self.position[text]


_ADVICE_JSON = "give the tokenizer.json that the tokenizers library writes"
_ADVICE_TWICE = "a tokenizer gives each token one id; ask for the file as it was published"
_SET_BY_HAND = frozenset({2, 3, 4, 5})  # sentencepiece and GGUF: unknown, control, user-defined, unused


def _by_piece_types(
    kind: str, content: _Vocabulary, types: Sequence[int], scores: list[float], settings: Mapping[str, Any]
) -> TokenizerDefinition:
    special = {place for place, piece_type in enumerate(types) if piece_type in _SET_BY_HAND}
    style = "wordpiece" if kind == "wordpiece" else "sentencepiece"
    return _define(kind, style, content, special, _no_merges(), scores, settings)


def _define(
    kind: str,
    style: str,
    content: _Vocabulary,
    special: set[int],
    merges: Integers,
    scores: Sequence[float],
    settings: Mapping[str, Any],
    *,
    prefix: str = "",
    suffix: str = "",
) -> TokenizerDefinition:
    texts = content.texts
    if any(math.isnan(score) or score == math.inf for score in scores):
        raise MalformedSource("a token's score is not a finite number", exhibit=content.exhibit, advice=_ADVICE_TWICE)
    if len(content.ids) and not (min(content.ids) >= 0 and max(content.ids) < 2**53):
        raise MalformedSource("a token id is negative or absurdly large", exhibit=content.exhibit, advice=_ADVICE_TWICE)
    try:
        tokens = _decode(texts, style, prefix, suffix)
        raw = [text.encode() for text in texts]
    except UnicodeEncodeError as error:
        raise MalformedSource(
            f"a token is not valid Unicode: {error.object!r:.40}", exhibit=content.exhibit, advice=_ADVICE_JSON
        ) from error
    by_id = np.argsort(np.array(content.ids, dtype=np.int64), kind="stable")
    place = np.empty_like(by_id)
    place[by_id] = np.arange(len(by_id))
    byte_fallback = np.zeros(len(texts), dtype=np.bool_)
    if style == "sentencepiece":
        byte_fallback[[content.position[text] for text in _BYTE_TOKENS if text in content.position]] = True
    set_by_hand = np.zeros(len(texts), dtype=np.bool_)
    set_by_hand[sorted(special)] = True
    ids = np.array(content.ids, dtype=np.int64)
    score_array = np.array(scores, dtype=np.float64)
    settings_sha256 = hashlib.sha256(canonical(_plain(settings))).hexdigest()
    canonical_order = np.array(sorted(range(len(raw)), key=raw.__getitem__), dtype=np.int64)
    sha256 = _function_sha256(kind, settings_sha256, raw, canonical_order, set_by_hand, merges, score_array)
    return TokenizerDefinition(
        kind=kind,
        style=style,
        tokens=tuple(tokens[index] for index in by_id.tolist()),
        ids=ids[by_id],
        special=set_by_hand[by_id],
        byte_fallback=byte_fallback[by_id],
        merges=place[merges] if len(merges) else merges,
        scores=score_array[by_id] if len(score_array) else score_array,
        settings_sha256=settings_sha256,
        sha256=sha256,
        ids_sha256=hashlib.sha256(sha256.encode() + ids[canonical_order].astype("<i8").tobytes()).hexdigest(),
    )


def _function_sha256(
    kind: str,
    settings_sha256: str,
    raw: Sequence[bytes],
    canonical_order: Integers,
    special: Flags,
    merges: Integers,
    scores: NDArray[np.float64],
) -> str:
    """SHA-256 over the function: tokens sorted by their bytes, so neither ids nor the file's key order matter."""
    rank = np.empty_like(canonical_order)
    rank[canonical_order] = np.arange(len(canonical_order))
    sha = hashlib.sha256(f"tokenizer-1\n{kind}\n{settings_sha256}\n{len(raw)}\n".encode())
    sha.update(np.array([len(raw[index]) for index in canonical_order], dtype="<i8").tobytes())
    sha.update(b"".join(raw[index] for index in canonical_order))
    sha.update(special[canonical_order].tobytes())
    sha.update(f"\n{len(merges)}\n".encode())
    sha.update((rank[merges[:, :2]] if len(merges) else merges).astype("<i8").tobytes())
    sha.update((scores[canonical_order] if len(scores) else scores).astype("<f4").tobytes())
    return sha.hexdigest()


def _decode(texts: Sequence[str], style: str, prefix: str, suffix: str) -> list[bytes]:
    """The bytes that each token stands for; a word's end mark becomes the space that follows the word."""
    if suffix:
        texts = [text.removesuffix(suffix) + ("Ġ" if style == "byte-level" else " ") if text.endswith(suffix) else text
                 for text in texts]  # fmt: skip
    if style == "byte-level":
        return [_undo_byte_alphabet(text) for text in texts]
    if style == "sentencepiece":
        return [_BYTE_TOKENS.get(text) or text.replace(SPACE_MARK, " ").encode() for text in texts]
    if style == "wordpiece":
        mark = prefix or "##"
        return [(text[len(mark) :] if text.startswith(mark) else " " + text).encode() for text in texts]
    return [text.removeprefix(prefix).encode() for text in texts] if prefix else [text.encode() for text in texts]


def _undo_byte_alphabet(text: str) -> bytes:
    try:
        return text.translate(_byte_alphabet()).encode("latin-1")
    except UnicodeEncodeError:  # not written in the alphabet, as special tokens may be
        return text.encode()


@cache
def _byte_alphabet() -> dict[int, int]:
    """GPT-2's printable character for each byte, undone (Radford et al. 2019, encoder.py: printable bytes stand for
    themselves, the others for the characters from U+0100 on, in order)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [value for value in range(256) if value not in printable]
    return {0x100 + place: value for place, value in enumerate(hidden)}


def _merges_of(listed: Sequence[Any], content: _Vocabulary, prefix: str) -> Integers:
    """Positions of left part, right part and product of each merge, shape (m, 3)."""
    position = content.position
    rows: list[tuple[int, int, int]] = []
    for number, item in enumerate(listed):
        parts = item.split(" ") if isinstance(item, str) else item
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise MalformedSource(
                f"merge {number} is not a pair of tokens: {str(item)[:60]!r}",
                exhibit=content.exhibit,
                advice="merges are 'a b' or ['a', 'b']; tokens that hold a space need the second form",
            )
        left, right = parts
        try:
            rows.append((position[left], position[right], position[left + right.removeprefix(prefix)]))
        except KeyError as missing:
            raise MalformedSource(
                f"merge {number} mentions {str(missing.args[0])[:40]!r}, which is not in the vocabulary",
                exhibit=content.exhibit,
                advice="the merges belong to another vocabulary: ask for the file as it was published",
            ) from missing
    return np.array(rows, dtype=np.int64) if rows else _no_merges()


def _no_merges() -> Integers:
    return np.empty((0, 3), dtype=np.int64)


def _first_repeated(items: Sequence[Any]) -> Any:
    seen: set[Any] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    raise ValueError("nothing is repeated")


def _check_size(data: bytes, exhibit: str) -> None:
    if len(data) > LARGEST_FILE:
        raise MalformedSource(
            f"{len(data)} bytes are more than the {LARGEST_FILE} that a tokenizer may have",
            exhibit=exhibit,
            advice="check that this is a tokenizer",
        )


def _plain(value: Any) -> Any:
    """JSON with its numbers as text, so that no number is outside what the canonical form can write."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value if value is None or isinstance(value, bool) else repr(value)


# ------------------------------------------------------------------------------------------------------ tokenizer.json


def _json_kind(model: Mapping[str, Any], exhibit: str) -> str:
    named = model.get("type")
    if isinstance(named, str):
        return named.lower()
    if "merges" in model:  # files of before 2020 do not name their type
        return "bpe"
    if isinstance(model.get("vocab"), list):
        return "unigram"
    if "max_input_chars_per_word" in model:
        return "wordpiece"
    raise MalformedSource("the tokenizer's type is not told", exhibit=exhibit, advice=_ADVICE_JSON)


def _json_vocabulary(vocab: Any, exhibit: str) -> tuple[list[str], list[int], list[float]]:
    if isinstance(vocab, dict):
        ids = list(vocab.values())
        if not all(type(token_id) is int for token_id in ids):
            raise MalformedSource("a token's id is not an integer", exhibit=exhibit, advice=_ADVICE_JSON)
        return list(vocab), ids, []
    if isinstance(vocab, list):
        texts: list[str] = []
        scores: list[float] = []
        for number, item in enumerate(vocab):
            pair = item if isinstance(item, list) and len(item) == 2 else (None, None)
            if not isinstance(pair[0], str) or type(pair[1]) not in (int, float):
                raise MalformedSource(
                    f"entry {number} of the vocabulary is not a token with its score",
                    exhibit=exhibit,
                    advice=_ADVICE_JSON,
                )
            texts.append(pair[0])
            scores.append(float(pair[1]))
        return texts, list(range(len(texts))), scores
    raise MalformedSource("the tokenizer has no vocabulary", exhibit=exhibit, advice=_ADVICE_JSON)


def _json_merges(model: Mapping[str, Any], content: _Vocabulary) -> Integers:
    listed = model.get("merges")
    if not isinstance(listed, list):
        raise MalformedSource("a BPE tokenizer without merges", exhibit=content.exhibit, advice=_ADVICE_JSON)
    return _merges_of(listed, content, str(model.get("continuing_subword_prefix") or ""))


def _json_added_tokens(added: Any, content: _Vocabulary) -> set[int]:
    """Positions of the tokens that were added by hand; new ones are appended to the vocabulary."""
    special: set[int] = set()
    if not isinstance(added, list):
        raise MalformedSource("'added_tokens' is not a list", exhibit=content.exhibit, advice=_ADVICE_JSON)
    for item in added:
        text = item.get("content") if isinstance(item, dict) else None
        token_id = item.get("id") if isinstance(item, dict) else None
        if not isinstance(text, str) or type(token_id) is not int:
            raise MalformedSource(
                "an added token has no content or no id", exhibit=content.exhibit, advice=_ADVICE_JSON
            )
        if text not in content.position:
            special.add(content.add(text, token_id))
        elif content.ids[content.position[text]] == token_id:
            special.add(content.position[text])
        else:
            raise MalformedSource(
                f"the added token {text!r} has the id {token_id}, and {content.ids[content.position[text]]} in the "
                "vocabulary",
                exhibit=content.exhibit,
                advice=_ADVICE_TWICE,
            )
    return special


def _json_style(document: Mapping[str, Any], model: Mapping[str, Any], kind: str) -> str:
    if kind == "wordpiece":
        return "wordpiece"
    named = set(_types(document.get("pre_tokenizer"))) | set(_types(document.get("decoder")))
    named |= set(_types(document.get("normalizer")))
    if "ByteLevel" in named:
        return "byte-level"
    texts = model.get("vocab")
    marked = isinstance(texts, dict) and SPACE_MARK in texts
    if model.get("byte_fallback") or named & {"Metaspace", "ByteFallback"} or kind == "unigram" or marked:
        return "sentencepiece"
    return "plain"


def _types(part: Any) -> Iterator[str]:
    """The types named in a component, those of a sequence included."""
    if isinstance(part, dict):
        if isinstance(part.get("type"), str):
            yield part["type"]
        for inner in ("normalizers", "pretokenizers", "decoders"):
            for item in part.get(inner) or []:
                yield from _types(item)


# ------------------------------------------------------------------------------------------------------ tokenizer.model


def _fields(data: bytes, exhibit: str) -> Iterator[tuple[int, int | bytes]]:
    """The fields of one protocol-buffers message: (number, integer or bytes)."""
    place, end = 0, len(data)
    while place < end:
        key, place = _varint(data, place, exhibit)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(data, place, exhibit)
            yield number, value
            continue
        if wire == 2:
            length, place = _varint(data, place, exhibit)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise _not_a_model(exhibit)
        if length > end - place:
            raise _not_a_model(exhibit)
        yield number, data[place : place + length]
        place += length


def _varint(data: bytes, place: int, exhibit: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise _not_a_model(exhibit)
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _not_a_model(exhibit)


def _piece(data: bytes, exhibit: str) -> tuple[str, float, int]:
    text, score, piece_type = "", 0.0, 1
    for number, value in _fields(data, exhibit):
        if number == 1 and isinstance(value, bytes):
            text = _text(value, exhibit)
        elif number == 2 and isinstance(value, bytes) and len(value) == 4:
            score = struct.unpack("<f", value)[0]
        elif number == 3 and isinstance(value, int):
            piece_type = value
    return text, score, piece_type


def _not_a_model(exhibit: str) -> MalformedSource:
    return MalformedSource(
        "not a sentencepiece model: the protocol-buffers message is cut short or contradicts itself",
        exhibit=exhibit,
        advice="give the tokenizer.model as it was published, or tokenizer.json",
    )


# ---------------------------------------------------------------------------------------------------------------- GGUF


def _text(item: Any, exhibit: str) -> str:
    if isinstance(item, str):
        return item
    try:
        return bytes(item).decode()
    except (TypeError, ValueError) as error:
        raise MalformedSource("a token is not valid UTF-8", exhibit=exhibit, advice=_ADVICE_TWICE) from error


def _numbers(metadata: Mapping[str, Any], key: str, length: int, exhibit: str) -> list[Any]:
    """One number per token, or none at all."""
    listed = metadata.get(key)
    if listed is None:
        return []
    numbers = list(listed)
    if len(numbers) != length or not all(isinstance(number, (int, float, np.number)) for number in numbers):
        raise MalformedSource(
            f"{key} has {len(numbers)} entries for {length} tokens, or entries that are no numbers",
            exhibit=exhibit,
            advice="convert the model again",
        )
    return numbers
