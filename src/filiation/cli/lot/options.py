"""What the verbs of `filiation lot` share: the folder, the secret, and files that may be large."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from filiation.errors import MalformedSource, SourceNotFound

Folder = Annotated[Path, typer.Argument(help="The folder of the lot. Keep it to yourself.", metavar="FOLDER")]
Secret = Annotated[
    Path,
    typer.Option(
        help="The file of the secret that the lots are drawn with. Keep it apart from the folder.", metavar="FILE"
    ),
]


def whole_file(file: Path, largest: int) -> bytes:
    """All bytes of a file that is named. Raises SourceNotFound, or MalformedSource where there are more than `largest`."""
    try:
        with file.expanduser().open("rb") as opened:
            data = opened.read(largest + 1)
    except OSError as error:
        raise SourceNotFound(f"cannot be read: {error.strerror}", exhibit=str(file), advice="check the path") from error
    if len(data) > largest:
        raise MalformedSource(f"it has more than {largest} bytes", exhibit=str(file), advice="check the file")
    return data
