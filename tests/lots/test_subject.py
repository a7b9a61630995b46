"""What lots can be drawn over, and hostile files: each gives one clear error."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.errors import FiliationError, MalformedSource, UsageError
from filiation.lots.subject import (
    MOST_ITEMS,
    PURPOSES,
    Purpose,
    items_in,
    raw_lines,
    read_documents,
    read_pairs,
    read_settings,
)

texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(lambda text: bool(text.strip()))


def plain(text: str) -> str:
    import unicodedata

    return " ".join(unicodedata.normalize("NFC", text).split())


@given(st.lists(texts, min_size=1, max_size=20, unique_by=plain), st.booleans(), st.booleans())
def test_documents_come_back_whatever_characters_they_hold(
    documents: list[str], ascii_only: bool, ends_in_a_line_feed: bool
) -> None:
    lines = [json.dumps({"text": text, "id": "7"}, ensure_ascii=ascii_only) for text in documents]
    data = ("\n".join(lines) + "\n" * ends_in_a_line_feed).encode()
    assert read_documents(data) == tuple(documents)
    assert len(raw_lines(data)) == len(documents)


@given(st.lists(texts, min_size=2, max_size=20, unique_by=plain))
def test_pairs_come_back(several: list[str]) -> None:
    pairs = list(zip(several[::2], several[1::2], strict=False))
    data = b"".join(json.dumps({"first": a, "second": b}).encode() + b"\n" for a, b in pairs)
    assert [(pair.first, pair.second) for pair in read_pairs(data)] == pairs
    assert items_in("twins", data) == len(pairs)


def test_settings_are_one_object() -> None:
    assert read_settings(b'{"scheme": "gumbel"}') == {"scheme": "gumbel"}
    assert items_in("watermark", b"{}") == 1


TWICE = {
    "a document": ("order", [{"text": "one"}, {"text": "two"}, {"text": "one"}], "line 1 and in line 3"),
    "a document with other spaces": ("order", [{"text": "one  two"}, {"text": " one\ntwo"}], "line 1 and in line 2"),
    "a document with other accents": ("order", [{"text": "caf\u00e9"}, {"text": "cafe\u0301"}], "line 1 and in line 2"),
    "twins that are the same": ("twins", [{"first": "one", "second": "one"}], "line 1 and in line 1"),
    "a first that is another's second": (
        "twins",
        [{"first": "a", "second": "b"}, {"first": "c", "second": "a"}],
        "line 1 and in line 2",
    ),
}


@pytest.mark.parametrize("case", TWICE)
def test_nothing_may_stand_twice(case: str) -> None:
    purpose, lines, where = TWICE[case]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    with pytest.raises(UsageError, match=where):
        items_in(purpose, data)  # type: ignore[arg-type]


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "an empty line": b'{"text": "a"}\n\n{"text": "b"}\n',
    "no JSON": b"text\n",
    "a list": b'["text"]\n',
    "half a line": b'{"text": "a',
    "bad UTF-8": b'{"text": "\xff\xfe"}\n',
    "a byte order mark": b'\xef\xbb\xbf{"text": "a"}\n',
    "half of a surrogate pair": b'{"text": "\\ud800"}\n',
    "a name twice": b'{"text": "a", "text": "b"}\n',
    "a name that is unknown": b'{"text": "a", "weight": 3}\n',
    "a number for a text": b'{"text": 3}\n',
    "an empty text": b'{"text": " \\n"}\n',
    "twins for documents": b'{"first": "a", "second": "b"}\n',
    "deep nesting": b'{"text": ' + b"[" * 200_000 + b"]" * 200_000 + b"}\n",
    "an endless number": b'{"text": "a", "id": ' + b"9" * 10_000 + b"}\n",
    "too many lines": b"\n" * (MOST_ITEMS + 1),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_documents_give_one_clear_error(case: str) -> None:
    with pytest.raises(MalformedSource) as found:
        read_documents(HOSTILE[case], "documents.jsonl")
    assert found.value.exhibit.startswith("documents.jsonl")
    assert found.value.advice
    assert len(str(found.value)) < 700


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": 1, "a": 2}', b"{" * 100_000, b"\xff", b"{}" + b" " * (1 << 16)])
def test_hostile_settings_give_one_clear_error(data: bytes) -> None:
    with pytest.raises(MalformedSource, match="settings"):
        read_settings(data)


def test_the_line_is_named() -> None:
    with pytest.raises(MalformedSource) as found:
        read_documents(b'{"text": "a"}\n{"text": 5}\n', "mine")
    assert found.value.exhibit == "mine, line 2"


@given(st.binary(max_size=200), st.sampled_from(PURPOSES))
def test_any_bytes_are_refused_by_an_error_of_ours_or_read(data: bytes, purpose: Purpose) -> None:
    with contextlib.suppress(FiliationError):
        assert items_in(purpose, data) >= 1
