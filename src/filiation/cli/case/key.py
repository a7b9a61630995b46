"""`filiation case key`: a private key for signing cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def key(
    file: Annotated[Path, typer.Argument(help="Where the private key is written.", metavar="FILE")],
    show: Annotated[bool, typer.Option("--show", help="Print the fingerprint of a key that is there.")] = False,
) -> None:
    """Make a private ed25519 key, readable by you only, and print its fingerprint.

    Tell the fingerprint to the other side by another way than the case: 'verify --key-id' holds the case against it.

    Example: filiation case key ~/case.key
    """
    from filiation.case.signing import load_signer, new_signer, save_signer

    place = file.expanduser()
    if show:
        signer = load_signer(place)
    else:
        signer = new_signer()
        save_signer(signer, place)
    typer.echo(f"{place}: key {signer.key.keyid}")
