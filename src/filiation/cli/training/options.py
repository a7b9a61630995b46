"""What the verbs of `filiation training` share: the folder, the authorities that the transcript names, and JSON that a person wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import typer

from filiation.cli.canary.options import bytes_of
from filiation.errors import UsageError

if TYPE_CHECKING:
    from filiation.case.records import CheckpointPredicate
    from filiation.case.time_stamps import Stamper
    from filiation.training_transcript.folder import TranscriptFolder

_Told = TypeVar("_Told")

Transcript = Annotated[Path, typer.Argument(help="The folder of the transcript.", metavar="TRANSCRIPT")]
Authorities = Annotated[
    list[Path] | None,
    typer.Option(
        "--authority-certificate",
        help="The root certificate (PEM) of an authority, from the authority itself.",
        metavar="FILE",
    ),
]


def stampers_of(folder: TranscriptFolder) -> list[Stamper]:
    """The authorities that the transcript names, each with the certificate that lies in its folder."""
    from filiation.case.time_stamps import HttpStamper
    from filiation.training_transcript.folder import certificate

    return [HttpStamper(authority, certificate(folder.path, authority.name)) for authority in folder.opened.authorities]


def read(file: Path, kind: type[_Told], what: str) -> _Told:
    """A record from a JSON file. Raises UsageError saying what is wrong with it."""
    try:
        return msgspec.json.decode(bytes_of(file), type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise UsageError(
            f"this is no {what}: {str(error)[:300]}", exhibit=str(file), advice="see docs/independence.md for its form"
        ) from error


def told(predicate: CheckpointPredicate) -> str:
    """One line on a checkpoint."""
    stamped = f", time-stamped by {', '.join(predicate.stamps)}" if predicate.stamps else ""
    missing = f"\nnot time-stamped: {predicate.unstamped}" if predicate.unstamped else ""
    return f"signed: entry {predicate.sequence}{stamped}{missing}"
