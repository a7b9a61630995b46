"""`filiation examiners`: who examines what, with which null, and what each undertakes to find."""

from __future__ import annotations

import json as json_format
from typing import Annotated, Any

import typer


def examiners(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """List the examiners with their questions, the null of each test, and their claims.

    Example: filiation examiners --json
    """
    listed = listing()
    if json:
        typer.echo(json_format.dumps(listed, indent=1, ensure_ascii=False))
        return
    for examiner in listed:
        typer.echo("\n".join(_lines(examiner)) + "\n")


def listing() -> list[dict[str, Any]]:
    """All examiners as JSON values: name, version, question, needs, tests, claims, assumptions, references."""
    from filiation.examiners import catalogue

    return [
        {
            "name": examiner.NAME,
            "version": examiner.VERSION,
            "question": examiner.QUESTION,
            "needs": [str(need) for need in examiner.NEEDS],
            "tests": [
                {
                    "id": test.id,
                    "null": str(test.null),
                    "characteristic": str(test.characteristic),
                    "alternative": test.alternative,
                    "relation_class": test.relation_class,
                    "formula": test.formula,
                }
                for test in examiner.TESTS
            ],
            "claims": list(examiner.CLAIMS),
            "assumptions": list(examiner.ASSUMPTIONS),
            "references": list(examiner.REFERENCES),
        }
        for examiner in catalogue.examiners()
    ]


def _lines(examiner: dict[str, Any]) -> list[str]:
    return [
        f"{examiner['name']} (version {examiner['version']})",
        f"  question  {examiner['question']}",
        f"  needs     {', '.join(examiner['needs'])}",
        *(f"  test      {test['id']}: null by {test['null']}, {test['characteristic']} characteristic"
          for test in examiner["tests"]),
        f"  claims    {', '.join(examiner['claims']) or 'nothing'}",
    ]  # fmt: skip
