"""The JSON Schema: up to date, satisfied by records, and not by what is none; every field is documented."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from filiation.errors import RecordError
from filiation.evidence import Examination
from filiation.report.schema import schema, schema_text
from tests.report import sample

DOCS = Path(__file__).parents[2] / "docs"
VALIDATOR = jsonschema.Draft202012Validator(schema())


def test_committed_schema_is_up_to_date():
    made_by = "python -m filiation.report.schema > docs/examination.schema.json"
    assert (DOCS / "examination.schema.json").read_text(encoding="utf-8") == schema_text(), f"run: {made_by}"


def test_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(
    "examination", [sample.examination(), sample.examination(False), sample.bare(), sample.hostile()]
)
def test_records_satisfy_the_schema_and_round_trip(examination):
    VALIDATOR.validate(json.loads(examination.to_json()))
    assert Examination.from_json(examination.to_json()) == examination


def changed(record: dict, path: tuple, value: object) -> dict:
    copy = json.loads(json.dumps(record))
    place = copy
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), None),
        (("outcomes", 0, "kind"), "guess"),
        (("outcomes", 0, "null"), "hunch"),
        (("outcomes", 0, "log10_p"), "small"),
        (("outcomes", 0, "count"), None),
        (("reference", "surprise"), 1),
        (("conclusions", 0, "cap"), 3),
    ],
)
def test_neither_schema_nor_reader_takes_what_is_no_record(path, value):
    broken = changed(json.loads(sample.examination().to_json()), path, value)
    assert list(VALIDATOR.iter_errors(broken))
    with pytest.raises(RecordError):
        Examination.from_json(json.dumps(broken))


def test_every_field_is_documented():
    page = (DOCS / "examination-record.md").read_text(encoding="utf-8")
    sections = {part.split("\n", 1)[0].strip(): part for part in page.split("\n## ")[1:]}
    missing = [
        f"{name}.{field}"
        for name, definition in schema()["$defs"].items()
        for field in definition.get("properties", {})
        if f"| `{field}` |" not in sections.get(name, "")
    ]
    assert missing == []


def test_documentation_names_no_field_that_is_not_there():
    page = (DOCS / "examination-record.md").read_text(encoding="utf-8")
    sections = {part.split("\n", 1)[0].strip(): part for part in page.split("\n## ")[1:]}
    for name, definition in schema()["$defs"].items():
        rows = [line.split("`")[1] for line in sections.get(name, "").splitlines() if line.startswith("| `")]
        if definition.get("type") == "object":
            assert set(rows) == set(definition["properties"]), name


def test_unknown_version_of_msgspec_would_be_seen():
    assert msgspec.json.schema(Examination)["$ref"] == "#/$defs/Examination"
