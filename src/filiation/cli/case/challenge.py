"""`filiation case challenge`: the answer of the other side, on the same exhibits."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from filiation.cli.case.acting import Actor, Case, Key, Places, Quiet, acting, pairs, places_at
from filiation.cli.interruptions import GOES_ON, answered
from filiation.errors import SourceNotFound, UsageError
from filiation.report import wording

if TYPE_CHECKING:
    from filiation.case.comparison import Comparison


def challenge(
    case: Case,
    answer: Annotated[
        Path, typer.Argument(help="The folder of the answer: it is made, or gone on with.", metavar="ANSWER")
    ],
    party: Annotated[str, typer.Option(help="Who answers: a name.")] = "accused",
    changes: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            help="What is changed in the plan, as TOML: the keys and tables of a plan file that are to be others.",
            metavar="FILE.toml",
        ),
    ] = None,
    at: Places = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            help="An exhibit of your own, to which the changed plan gives a place among controls or candidates.",
            metavar="NAME=LOCATION",
        ),
    ] = None,
    beacon: Annotated[
        Path | None,
        typer.Option(help="The file of the beacon's round that the changed plan announced.", metavar="FILE"),
    ] = None,
    declarations: Annotated[
        Path | None, typer.Option(help="Your expert's declarations as TOML.", metavar="FILE.toml")
    ] = None,
    authority: Annotated[
        list[str] | None, typer.Option(help="A time-stamping authority (RFC 3161).", metavar="NAME=URL")
    ] = None,
    authority_certificate: Annotated[
        list[str] | None, typer.Option(help="The root certificate (PEM) of an authority.", metavar="NAME=FILE")
    ] = None,
    key_id: Annotated[str, typer.Option(help="The fingerprint of the key that signed CASE, told by another way.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Only compare both again, and say whether the bytes are identical.")
    ] = False,
    no_pdf: Annotated[bool, typer.Option("--no-pdf", help="HTML only.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    key: Key = None,
    actor: Actor = "",
    quiet: Quiet = False,
) -> None:
    """Answer a case: examine the same exhibits under your own plan, and say where both agree and where they differ.

    CASE must verify and have revealed its code names; it is not changed. ANSWER is a case of its own, signed with your key. Without
    --plan everything is examined as it was, and has to give the same bytes.

    Example: filiation case challenge theirs-v-ours our-answer --party "Borealis Labs" --plan changes.toml --key our.key
    """
    from filiation.challenge import Answer, Further, compared_again
    from filiation.challenge import challenge as answer_to
    from filiation.proceedings.admission import Origin
    from filiation.proceedings.reporting import read_declarations

    if check:
        _tell(compared_again(case, answer), json, quiet)
        return
    certificates = {
        name: _read(Path(file)) for name, file in pairs(authority_certificate, "--authority-certificate").items()
    }
    brought: dict[str, Any] = {"declarations": read_declarations(declarations)} if declarations else {}
    with answered(f"what was recorded in {answer} is kept, and {GOES_ON}"), acting(key, actor, quiet) as who:
        told = Origin(origin=f"added by {party}", obtained_by=who.actor)
        found = answer_to(
            case,
            answer,
            Answer(
                party=party,
                changes=_tables(changes),
                folder=changes.resolve().parent if changes else Path(),
                further=tuple(Further(name, place, told) for name, place in pairs(add, "--add").items()),
                places=places_at(case, at),
                beacon=_read(beacon) if beacon else b"",
                authorities=pairs(authority, "--authority"),
                certificates=certificates,
                **brought,
            ),
            who,
            chance=os.urandom(32),
            keyid=key_id,
            pdf=not no_pdf,
        )
    _tell(found.comparison, json, quiet)
    if found.report and not (json or quiet):
        for name, digest in found.report.files.items():
            typer.echo(f"{answer / 'reports' / name}: SHA-256 {digest}")


def _tell(comparison: Comparison, json: bool, quiet: bool) -> None:
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(comparison, order="deterministic"), indent=1).decode())
    elif not quiet:
        typer.echo("\n".join(wording.comparison_lines(comparison)))


def _tables(changes: Path | None) -> dict[str, Any]:
    """The tables of a TOML file. Raises SourceNotFound or UsageError."""
    if changes is None:
        return {}
    try:
        return tomllib.loads(_read(changes).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"this is not TOML: {error}", exhibit=str(changes), advice="see filiation case plan --example"
        ) from error


def _read(file: Path) -> bytes:
    try:
        return file.expanduser().read_bytes()
    except OSError as error:
        raise SourceNotFound(f"cannot be read: {error.strerror}", exhibit=str(file), advice="check the path") from error
