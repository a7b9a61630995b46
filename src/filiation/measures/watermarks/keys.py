"""The keys of four watermarks, as files: what a mark is made with, and what must stay secret until it is looked for.

    GreenListKey   the green list of transformers (`WatermarkingConfig`; Kirchenbauer and others 2023)
    SynthIDKey     the tournament of transformers (`SynthIDTextWatermarkingConfig`; Dathathri and others 2024)
    GumbelKey      exponential minimum sampling (Aaronson 2022) with uniform numbers from HMAC-SHA256
    VllmGumbelKey  the same sampling as vLLM does it, with numbers from Philox4x32-10 (`--watermark-config`)

A key file is the JSON of one of them, in one form only. It ends in a salt, so that its SHA-256, the `commitment`, can be published and
time-stamped before any text is marked, and nobody can find a short key by trying all of them.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Callable

import msgspec

from filiation.errors import RecordError, UsageError
from filiation.evidence import Record
from filiation.strict_json import json_or_none

PUBLISHED_HASHING_KEY = 15_485_863
"""The default of `WatermarkingConfig`, the millionth prime."""
# fmt: off
PUBLISHED_LAYERS = (
    654, 400, 836, 123, 340, 443, 597, 160, 57, 29, 590, 639, 13, 715, 468, 990, 966, 226, 324, 585, 118, 504, 421, 521,
    129, 669, 732, 225, 90, 960,
)
# fmt: on
"""The layer keys of the examples of transformers and of the reference implementation of SynthID."""
LARGEST_VOCABULARY = 4_000_000
LARGEST_TABLE = 1 << 24
_SECRET_BITS = 62
_BITS_OF_A_SEED = 32
"""Of a seed the generator of a CPU reads so many (green_list.py)."""
_LARGEST_INTEGER = (1 << 63) - 1


class _Marked(Record, frozen=True, kw_only=True):
    salt: str = ""

    def __repr__(self) -> str:
        """Which key it is, and nothing secret: what is printed may be kept in a log."""
        return f"{type(self).__name__}(commitment={self.commitment!r})"

    @property
    def scheme(self) -> str:
        """The scheme's name, as key files have it."""
        return str(self.__struct_config__.tag)

    @property
    def commitment(self) -> str:
        """SHA-256, in hexadecimal, of the key file."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """The bytes of the key file: JSON with sorted names and without spaces; its integers may have 64 bits."""
        return msgspec.json.encode(self, order="sorted")


class GreenListKey(_Marked, frozen=True, kw_only=True, tag_field="scheme", tag="green-list"):
    """`vocabulary` is the model's `vocab_size`; the other fields are those of `WatermarkingConfig`."""

    vocabulary: int
    hashing_key: int
    greenlist_ratio: float = 0.25
    bias: float = 2.0
    seeding_scheme: str = "lefthash"
    context_width: int = 1

    def __post_init__(self) -> None:
        _check(2 <= self.vocabulary <= LARGEST_VOCABULARY, "vocabulary", self.vocabulary)
        _check(0.0 < self.greenlist_ratio < 1.0, "greenlist_ratio", self.greenlist_ratio)
        _check(self.list_size > 0, "greenlist_ratio", self.greenlist_ratio)
        _check(math.isfinite(self.bias), "bias", self.bias)
        _check(0 < self.hashing_key <= _LARGEST_INTEGER, "hashing_key", "(secret)")
        _check(self.seeding_scheme in ("lefthash", "selfhash"), "seeding_scheme", self.seeding_scheme)
        _check(1 <= self.context_width <= 64, "context_width", self.context_width)

    @property
    def list_size(self) -> int:
        """How many tokens are green in each list: transformers rounds `vocabulary` times the ratio down."""
        return int(self.vocabulary * self.greenlist_ratio)

    @property
    def window(self) -> int:
        """How many tokens the key reads, the judged one last.

        'lefthash' reads one token of context whatever `context_width` says; 'selfhash' counts the judged token in.
        """
        return 2 if self.seeding_scheme == "lefthash" else self.context_width

    @property
    def log10_keys(self) -> float:
        """log10 of how many keys of no more bits than this one have lists of their own: nobody guesses them with a smaller chance.

        A list follows from the low 32 bits of its seed, and these from hardly more than the low 32 bits of the key: text marked under
        another key that agrees in them is green under this one, too.
        """
        return min(_BITS_OF_A_SEED, self.hashing_key.bit_length()) * math.log10(2.0)

    @property
    def published(self) -> bool:
        """Whether this is a key that everybody has."""
        return self.hashing_key == PUBLISHED_HASHING_KEY

    def another(self, draw: Callable[[int], int]) -> GreenListKey:
        """The same settings under a key drawn anew; `draw(n)` gives an integer below n, each as likely."""
        return msgspec.structs.replace(self, hashing_key=1 + draw(1 << _SECRET_BITS))


class SynthIDKey(_Marked, frozen=True, kw_only=True, tag_field="scheme", tag="synthid"):
    """The fields of `SynthIDTextWatermarkingConfig`: one secret key per layer, a public table of g-values."""

    keys: tuple[int, ...]
    ngram_len: int = 5
    context_history_size: int = 1024
    sampling_table_size: int = 1 << 16
    sampling_table_seed: int = 0

    def __post_init__(self) -> None:
        _check(1 <= len(self.keys) <= 100, "keys", f"({len(self.keys)} of them)")
        _check(all(0 <= key <= _LARGEST_INTEGER for key in self.keys), "keys", "(secret)")
        _check(2 <= self.ngram_len <= 64, "ngram_len", self.ngram_len)
        _check(1 <= self.context_history_size <= 1 << 20, "context_history_size", self.context_history_size)
        size = self.sampling_table_size
        if not (2 <= size <= LARGEST_TABLE and size & (size - 1) == 0):
            raise UsageError(
                f"a table of {size} g-values has no exact law here",
                advice="use a power of two up to 2^24, such as the default 65536",
            )

    @property
    def window(self) -> int:
        """How many tokens the key reads, the judged one last."""
        return self.ngram_len

    @property
    def log10_keys(self) -> float:
        """log10 of how many keys have no more bits than these; a layer's key counts modulo the size of the table."""
        most = self.sampling_table_size.bit_length() - 1
        return sum(min(most, key.bit_length()) for key in self.keys) * math.log10(2.0)

    @property
    def published(self) -> bool:
        """Whether these are keys that everybody has."""
        return self.keys == PUBLISHED_LAYERS[: len(self.keys)]

    def another(self, draw: Callable[[int], int]) -> SynthIDKey:
        """The same settings under keys drawn anew; `draw(n)` gives an integer below n, each as likely."""
        return msgspec.structs.replace(self, keys=tuple(draw(1 << _SECRET_BITS) for _ in self.keys))


class GumbelKey(_Marked, frozen=True, kw_only=True, tag_field="scheme", tag="gumbel"):
    """`secret`: 32 bytes in hexadecimal; `context_width`: how many tokens before the judged one are read."""

    secret: str
    context_width: int = 4

    def __post_init__(self) -> None:
        _check(len(self.secret) == 64 and set(self.secret) <= set("0123456789abcdef"), "secret", "(secret)")
        _check(1 <= self.context_width <= 64, "context_width", self.context_width)

    @property
    def window(self) -> int:
        """How many tokens the key reads, the judged one last."""
        return self.context_width + 1

    @property
    def log10_keys(self) -> float:
        """log10 of how many different keys there are."""
        return 256 * math.log10(2.0)

    @property
    def published(self) -> bool:
        """Whether this is a key that everybody has: none of this scheme is."""
        return False

    def another(self, draw: Callable[[int], int]) -> GumbelKey:
        """The same settings under a secret drawn anew; `draw(n)` gives an integer below n, each as likely."""
        return msgspec.structs.replace(self, secret="".join(f"{draw(256):02x}" for _ in range(32)))


class VllmGumbelKey(_Marked, frozen=True, kw_only=True, tag_field="scheme", tag="vllm-gumbel"):
    """`key` and `context_width` of vLLM's `--watermark-config` with `algorithm` gumbel and `prf` philox."""

    key: int
    context_width: int = 4

    def __post_init__(self) -> None:
        _check(0 <= self.key < 1 << 64, "key", "(secret)")
        _check(1 <= self.context_width <= 64, "context_width", self.context_width)

    @property
    def window(self) -> int:
        """How many tokens the key reads, the judged one last."""
        return self.context_width + 1

    @property
    def log10_keys(self) -> float:
        """log10 of how many keys have no more bits than this one."""
        return self.key.bit_length() * math.log10(2.0)

    @property
    def published(self) -> bool:
        """Whether this is a key that everybody has: 42 is that of vLLM's page."""
        return self.key == 42

    def another(self, draw: Callable[[int], int]) -> VllmGumbelKey:
        """The same settings under a key drawn anew; `draw(n)` gives an integer below n, each as likely."""
        return msgspec.structs.replace(self, key=draw(1 << _SECRET_BITS))


WatermarkKey = GreenListKey | SynthIDKey | GumbelKey | VllmGumbelKey


def new_key(settings: WatermarkKey) -> WatermarkKey:
    """A secret key with these settings, from the operating system's randomness, with a fresh salt."""
    return msgspec.structs.replace(settings.another(secrets.randbelow), salt=secrets.token_hex(16))


def read_key(data: bytes, exhibit: str) -> WatermarkKey:
    """Read a key file. Raises RecordError where it is not one, and never repeats what stands in it."""
    try:
        key: WatermarkKey = msgspec.json.decode(data, type=WatermarkKey)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError("this is not a watermark key", exhibit=exhibit, advice=_advice(data)) from error
    if key.to_json() != data.strip():
        raise RecordError("this key is not in the one form that key files have", exhibit=exhibit, advice=_ADVICE)
    return key


def _advice(data: bytes) -> str:
    """Settings of a lot look like a key file and hold no secret."""
    told = json_or_none(data.decode(errors="replace"))
    settings = isinstance(told, dict) and "scheme" in told and "salt" not in told
    return _DRAWN if settings else _ADVICE


_DRAWN = "settings hold no key: give drawn/key.json of the lot that was drawn over them"
_ADVICE = "give the file that 'filiation watermark key' wrote"


def _check(holds: bool, field: str, value: object) -> None:
    if not holds:
        raise UsageError(f"{field} of a watermark key cannot be {value}", advice="see docs/watermarks.md")
