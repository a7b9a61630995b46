"""The JSON Schema of an examination record, made from the records themselves.

`python -m filiation.report.schema > docs/examination.schema.json` writes the committed copy anew.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from filiation.evidence import SCHEMA_VERSION, Examination

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12) that every record of this version satisfies; unknown fields are refused."""
    made = msgspec.json.schema(Examination)
    title = f"filiation examination record, schema version {SCHEMA_VERSION}"
    return {"$schema": DIALECT, "title": title, **made}


def schema_text() -> str:
    """The schema as the committed file has it."""
    return json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
