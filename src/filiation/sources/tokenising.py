"""Text made into token ids by somebody's tokenizer.json, for marks that are read from ids.

Unlike `sources.tokenizers`, which reads the file as data, this runs it: through the package tokenizers, imported only here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filiation.errors import MalformedSource, MissingExtra
from filiation.sources.tokenizers import LARGEST_FILE

Tokens = NDArray[np.int64]


def tokenizer_of(data: bytes, exhibit: str) -> Any:
    """The tokenizer in the bytes of a tokenizer.json, which neither cuts nor fills up texts.

    Raises MissingExtra, and MalformedSource for what is no tokenizer.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtra(
            "text is tokenised by the package tokenizers, which is not installed",
            advice='pip install "filiation[models]"',
        ) from error
    if len(data) > LARGEST_FILE:
        raise MalformedSource(
            f"{len(data)} bytes are more than a tokenizer has", exhibit=exhibit, advice="give a tokenizer.json"
        )
    with _translated("this is not a tokenizer", exhibit):
        found = Tokenizer.from_buffer(data)
    found.no_truncation()
    found.no_padding()
    return found


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[Tokens]:
    """The token ids of each text, without special tokens. Raises MalformedSource where the tokenizer cannot make them."""
    with _translated(_NO_TOKENS, "the tokenizer"):
        encoded = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [np.array(each.ids, dtype=np.int64) for each in encoded]


def pieces(tokenizer: Any, text: str) -> list[str]:
    """The tokens of a text as the vocabulary spells them, without special tokens. Raises MalformedSource as `token_ids` does."""
    with _translated(_NO_TOKENS, "the tokenizer"):
        return list(tokenizer.encode(text, add_special_tokens=False).tokens)


_NO_TOKENS = "a text cannot be made into tokens"


@contextlib.contextmanager
def _translated(what: str, exhibit: str) -> Iterator[None]:
    """Whatever the package raises over a file, as MalformedSource: plain exceptions, and panics of its Rust, which are not even those."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise MalformedSource(f"{what}: {str(error)[:200]}", exhibit=exhibit, advice="give a tokenizer.json") from error
