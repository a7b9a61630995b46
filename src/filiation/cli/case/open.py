"""`filiation case open`: a new case."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from filiation.cli.case.acting import Actor, Case, Key, Quiet, acting, pairs, signed
from filiation.errors import SourceNotFound, UsageError


def open_case(
    case: Case,
    title: Annotated[str, typer.Option(help="What the case is about, in neutral words.")] = "",
    party: Annotated[
        str, typer.Option(help="For whom the case is made: claimant, accused, neutral or a name.")
    ] = "claimant",
    authority: Annotated[
        list[str] | None,
        typer.Option(help="A time-stamping authority (RFC 3161); may be given many times.", metavar="NAME=URL"),
    ] = None,
    authority_certificate: Annotated[
        list[str] | None,
        typer.Option(help="The root certificate (PEM) of an authority.", metavar="NAME=FILE"),
    ] = None,
    key: Key = None,
    actor: Actor = "",
    quiet: Quiet = False,
) -> None:
    """Open a case: make its folder, and sign its first entry.

    Example: filiation case open dispute --title "Ours and theirs" --key ~/case.key
    """
    from filiation.proceedings.opening import open_case as opened

    files = pairs(authority_certificate, "--authority-certificate")
    authorities = pairs(authority, "--authority")
    strange = set(files) - set(authorities)
    if strange:
        raise UsageError(
            f"there is a certificate of {', '.join(sorted(strange))}, but no such authority",
            advice="give --authority, too",
        )
    with acting(key, actor, quiet) as who:
        found = opened(
            case,
            who,
            title=title or case.name,
            case=secrets.token_hex(16),
            party=party,
            authorities=authorities,
            certificates={name: _read(Path(file)) for name, file in files.items()},
        )
        found.let_go()
    if not quiet:
        typer.echo(f"{case}: case {found.folder.header.case}, under the key {who.signer.key.keyid}")
        if found.checkpoint:
            typer.echo(signed(found.checkpoint))


def _read(file: Path) -> bytes:
    try:
        return file.expanduser().read_bytes()
    except OSError as error:
        raise SourceNotFound(
            f"the certificate cannot be read: {error.strerror}", exhibit=str(file), advice="give a PEM file"
        ) from error
