"""What the verbs of `filiation lot` share: the folder and the secret."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(help="The folder of the lot. Keep it to yourself.", metavar="FOLDER")]
Secret = Annotated[
    Path,
    typer.Option(
        help="The file of the secret that the lots are drawn with. Keep it apart from the folder.", metavar="FILE"
    ),
]
