"""Keys drawn from committed settings: for every scheme the settings come back, nothing secret is in them, lots decide the key."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from filiation.errors import RecordError
from filiation.measures.watermarks import (
    GreenListKey,
    GumbelKey,
    SynthIDKey,
    VllmGumbelKey,
    WatermarkKey,
    key_from,
    read_key,
    settings_of,
    tokenizer_named_in,
)
from filiation.measures.watermarks.drawing import SECRET_PARTS

TOKENIZER = "ab" * 32
KEYS: dict[str, WatermarkKey] = {
    "green list": GreenListKey(vocabulary=300, hashing_key=77, bias=1.5, seeding_scheme="selfhash", context_width=3),
    "SynthID": SynthIDKey(keys=(5, 6, 7), ngram_len=4),
    "Gumbel": GumbelKey(secret="1f" * 32, context_width=2),
    "vLLM": VllmGumbelKey(key=9, context_width=3),
}


def draw(seed: int) -> Callable[[int], int]:
    rng = np.random.default_rng(seed)
    return lambda below: int(rng.integers(below))


@pytest.mark.parametrize("name", KEYS)
def test_settings_come_back_with_the_key_that_the_lots_give_and_no_other(name: str) -> None:
    given = KEYS[name]
    settings = settings_of(given, TOKENIZER)
    key = key_from(settings, draw(1))
    assert settings_of(key, TOKENIZER) == settings, "drawing changes nothing but the secret parts"
    assert tokenizer_named_in(settings) == TOKENIZER
    assert key == key_from(settings, draw(1))
    assert len({key_from(settings, draw(seed)).commitment for seed in range(20)} | {given.commitment}) == 21
    assert read_key(key.to_json(), "k") == key
    assert len(key.salt) == 32


@pytest.mark.parametrize("name", KEYS)
def test_nothing_secret_stands_in_settings(name: str) -> None:
    assert not SECRET_PARTS & msgspec.json.decode(settings_of(KEYS[name], TOKENIZER)).keys()


REFUSED: dict[str, bytes] = {
    "no JSON": b"scheme: gumbel",
    "a list": b"[]",
    "bytes in no encoding": b"\xff\xfe",
    "a whole key file": KEYS["Gumbel"].to_json(),
    "a key beside the digest": b'{"scheme":"vllm-gumbel","key":5,"tokenizer":"' + TOKENIZER.encode() + b'"}',
    "an unknown scheme": b'{"scheme":"rot13","tokenizer":"' + TOKENIZER.encode() + b'"}',
    "no scheme": b'{"tokenizer":"' + TOKENIZER.encode() + b'"}',
    "an unknown setting": b'{"scheme":"gumbel","taste":1,"tokenizer":"' + TOKENIZER.encode() + b'"}',
    "an impossible setting": b'{"scheme":"gumbel","context_width":0,"tokenizer":"' + TOKENIZER.encode() + b'"}',
    "no layers": b'{"scheme":"synthid","tokenizer":"' + TOKENIZER.encode() + b'"}',
    "a truth value for layers": b'{"scheme":"synthid","layers":true,"tokenizer":"' + TOKENIZER.encode() + b'"}',
    "too many layers": b'{"scheme":"synthid","layers":1000000000,"tokenizer":"' + TOKENIZER.encode() + b'"}',
    "layers of a scheme without": b'{"scheme":"gumbel","layers":3,"tokenizer":"' + TOKENIZER.encode() + b'"}',
    "no tokenizer": b'{"scheme":"gumbel"}',
    "no digest of a tokenizer": b'{"scheme":"gumbel","tokenizer":"gpt2"}',
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_are_no_settings_is_refused_with_advice(case: str) -> None:
    with pytest.raises(RecordError) as error:
        key_from(REFUSED[case], draw(1))
    assert error.value.advice
