"""Keys that nobody chose: drawn from settings that were committed before, by lots that nobody could know before.

Settings are a key file without its secret parts. Of SynthID `layers` stands for the layers' keys. `tokenizer` is the SHA-256 of the
tokenizer.json of the model that is to mark: a tokenizer that could be chosen later could be tried until a text suited the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from filiation.errors import RecordError, UsageError
from filiation.measures.watermarks.keys import SynthIDKey, WatermarkKey

SECRET_PARTS = frozenset({"hashing_key", "keys", "secret", "key", "salt"})
_PLACEHOLDERS: dict[str, dict[str, Any]] = {
    "green-list": {"hashing_key": 1},
    "gumbel": {"secret": "00" * 32},
    "vllm-gumbel": {"key": 0},
}
_DIGEST = re.compile("[0-9a-f]{64}")
_SALT_BYTES = 16
_MOST_LAYERS = 100
_ADVICE = "give the file that 'filiation watermark key --settings' wrote"


def settings_of(key: WatermarkKey, tokenizer_sha256: str) -> bytes:
    """The settings of a key as JSON, without anything secret, for the model with this tokenizer.json."""
    told = {name: value for name, value in msgspec.to_builtins(key).items() if name not in SECRET_PARTS}
    if isinstance(key, SynthIDKey):
        told["layers"] = len(key.keys)
    return msgspec.json.encode(told | {"tokenizer": tokenizer_sha256}, order="sorted")


def key_from(settings: bytes, draw: Callable[[int], int]) -> WatermarkKey:
    """The key that `draw` gives for these settings; `draw(n)` gives an integer below n, each as likely.

    Raises RecordError where they are no settings, or hold a secret part.
    """
    template, _ = _read(settings)
    drawn = template.another(draw)
    return msgspec.structs.replace(drawn, salt="".join(f"{draw(256):02x}" for _ in range(_SALT_BYTES)))


def tokenizer_named_in(settings: bytes) -> str:
    """SHA-256, in hexadecimal, of the tokenizer.json that the settings name. Raises RecordError where they are none."""
    return _read(settings)[1]


def _read(settings: bytes) -> tuple[WatermarkKey, str]:
    """A key with placeholders for its secret parts, and the digest of the tokenizer."""
    try:
        told = msgspec.json.decode(settings, type=dict[str, Any])
        tokenizer = told.pop("tokenizer", None)
        if SECRET_PARTS & told.keys():
            raise _refused("settings of a watermark hold a secret part, which is still to be drawn")
        key: WatermarkKey = msgspec.convert(_filled(told), type=WatermarkKey)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, UsageError) as error:
        raise _refused(f"these are no settings of a watermark: {str(error).splitlines()[0][:200]}") from error
    if not (isinstance(tokenizer, str) and _DIGEST.fullmatch(tokenizer)):
        raise _refused("settings of a watermark do not name the tokenizer of the model that is to mark")
    return key, tokenizer


def _filled(told: dict[str, Any]) -> dict[str, Any]:
    """Settings with something in the place of every secret part."""
    if told.get("scheme") != "synthid":
        return told | _PLACEHOLDERS.get(str(told.get("scheme")), {})
    layers = told.get("layers")
    if not (type(layers) is int and 1 <= layers <= _MOST_LAYERS):
        raise _refused(f"a watermark has 1 to {_MOST_LAYERS} layers")
    return {name: value for name, value in told.items() if name != "layers"} | {"keys": [0] * layers}


def _refused(what: str) -> RecordError:
    return RecordError(what, exhibit="the settings", advice=_ADVICE)
