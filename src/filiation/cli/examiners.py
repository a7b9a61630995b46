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
    """All examiners as JSON values: name, version, question, needs, tests, claims, assumptions, references.

    `runs_models`: whether it can run models, which it does on demand alone.
    """
    from filiation.examiners import catalogue

    return [
        {
            "name": examiner.NAME,
            "version": examiner.VERSION,
            "question": examiner.QUESTION,
            "needs": [str(need) for need in examiner.NEEDS],
            "runs_models": "run" in getattr(examiner, "PARAMETERS", {}),
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
        f"  needs     {_needs(examiner)}",
        *(f"  test      {test['id']}: null by {test['null']}, {test['characteristic']} characteristic"
          for test in examiner["tests"]),
        f"  claims    {', '.join(examiner['claims']) or 'nothing'}",
    ]  # fmt: skip


WHERE = {
    "marks": "what the reference's owner planted or drew by lot (--marks FOLDER)",
    "transcript": "recorded answers (transcripts:FILE#MODEL)",
}
"""What a need means to somebody who has never heard its name; the others are files of a model."""


def _needs(examiner: dict[str, Any]) -> str:
    marked = "marks" in examiner["needs"]
    told = [
        WHERE.get(need, need) + (" of the suspect" if marked and need == "transcript" else "")
        for need in examiner["needs"]
    ]
    return ", ".join(told) + ("; runs models on demand (--run-models)" if examiner["runs_models"] else "")
