"""A key that stands twice is refused by everything that reads somebody else's JSON; truth by construction."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import filiation
from filiation.errors import MalformedSource
from filiation.lots.subject import read_settings
from filiation.sources.transcript_formats.json_files import json_lines, whole_json
from filiation.strict_json import DECODER, DuplicateKey, json_or_none, read_json_object

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=12,
)


@given(values)
def test_what_is_unambiguous_reads_as_json_does(value: Any) -> None:
    assert DECODER.decode(json.dumps(value)) == value


@given(st.text(), values, st.lists(st.sampled_from(["[{}]", '{{"around": {}}}']), max_size=3))
def test_a_key_that_stands_twice_is_refused_at_any_depth(key: str, value: Any, around: list[str]) -> None:
    name, told = json.dumps(key), json.dumps(value)
    text = f"{{{name}: {told}, {name}: {told}}}"
    for each in around:
        text = each.format(text)
    with pytest.raises(DuplicateKey) as caught:
        DECODER.decode(text)
    assert caught.value.key == key
    assert json_or_none(text) is None


TWICE = b'{"a": 1, "b": {"c": 1, "c": 2}}'
READERS: dict[str, Callable[[Path], object]] = {
    "a configuration": lambda path: read_json_object(path.read_bytes(), what="it", exhibit="here"),
    "recorded answers, a line": lambda path: list(json_lines(path)),
    "recorded answers, a document": whole_json,
    "the settings of a lot": lambda path: read_settings(path.read_bytes()),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_names_the_key_that_stands_twice(tmp_path: Path, reader: str) -> None:
    file = tmp_path / "it.json"
    file.write_bytes(TWICE)
    with pytest.raises(MalformedSource, match=r"'c'.*twice.*two readers may take different values"):
        READERS[reader](file)
    file.write_bytes(TWICE.replace(b'"c": 2', b'"d": 2'))
    assert READERS[reader](file)


def test_the_rule_stands_once() -> None:
    sources = Path(filiation.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if re.search("object_pairs_hook", path.read_text())] == ["strict_json.py"]
