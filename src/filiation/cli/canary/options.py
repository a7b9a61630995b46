"""What the verbs of `filiation canary` share: the folder, the two keys, and files that a person names."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filiation.cli.case.acting import KEY_VARIABLE
from filiation.errors import MalformedSource, SourceNotFound, UsageError

if TYPE_CHECKING:
    from filiation.case.signing import Signer

LARGEST_FILE = 16 << 20

Folder = Annotated[Path, typer.Argument(help="The folder of the canaries. Keep it to yourself.", metavar="FOLDER")]
SigningKey = Annotated[
    Path | None,
    typer.Option(
        help=f"The private key that signs (or {KEY_VARIABLE}); 'filiation case key' makes one.", metavar="FILE"
    ),
]
Secret = Annotated[
    Path,
    typer.Option(help="The file of the key that decides the labels. Keep it apart from the folder.", metavar="FILE"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")]


def signer(key: Path | None) -> Signer:
    """The signing key. Raises UsageError where none is given."""
    from filiation.case.signing import load_signer

    file = key or (Path(os.environ[KEY_VARIABLE]) if os.environ.get(KEY_VARIABLE) else None)
    if file is None:
        raise UsageError(
            "what is committed, exposed and opened is signed, and no key is given",
            advice=f"give --signing-key FILE or set {KEY_VARIABLE}; 'filiation case key FILE' makes a key",
        )
    return load_signer(file.expanduser())


def bytes_of(file: Path | None, largest: int = LARGEST_FILE) -> bytes:
    """All bytes of a file that is named, or none. Raises SourceNotFound, or MalformedSource where there are more than `largest`."""
    if file is None:
        return b""
    try:
        with file.expanduser().open("rb") as opened:
            data = opened.read(largest + 1)
    except OSError as error:
        raise SourceNotFound(f"cannot be read: {error.strerror}", exhibit=str(file), advice="check the path") from error
    if len(data) > largest:
        raise MalformedSource(f"it has more than {largest} bytes", exhibit=str(file), advice="check the file")
    return data


def now() -> datetime:
    return datetime.now(UTC)
