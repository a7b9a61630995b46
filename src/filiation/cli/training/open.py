"""`filiation training open`: before the first step."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import Annotated

import typer

from filiation import __version__
from filiation.cli.canary.options import Quiet, SigningKey, bytes_of, now, signer
from filiation.cli.case.acting import pairs
from filiation.cli.training.options import Transcript, read, stampers_of, told
from filiation.errors import UsageError
from filiation.report.wording import whole


def open_(
    transcript: Transcript,
    plan: Annotated[
        Path,
        typer.Option(
            help="The plan as JSON: configuration, settings, seeds, data, steps, tolerance; see docs/independence.md.",
            metavar="FILE",
        ),
    ],
    title: Annotated[str, typer.Option(help="What is trained, in a few words.")],
    signing_key: SigningKey = None,
    authority: Annotated[
        list[str] | None,
        typer.Option(help="A time-stamping authority (RFC 3161); give two.", metavar="NAME=URL"),
    ] = None,
    authority_certificate: Annotated[
        list[str] | None, typer.Option(help="The root certificate (PEM) of an authority.", metavar="NAME=FILE")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fix the plan, sign it and have it stamped. Run it before the first step: what is added later shows less.

    Example: filiation training open run --plan plan.json --title "base of June" --authority a=URL --authority-certificate a=a.pem
    """
    from filiation.case.records import Authority
    from filiation.training_transcript.folder import TranscriptFolder
    from filiation.training_transcript.records import Header, Plan

    urls, files = pairs(authority, "--authority"), pairs(authority_certificate, "--authority-certificate")
    if set(urls) != set(files):
        raise UsageError(
            "each authority has an address and a root certificate",
            advice="give --authority NAME=URL and --authority-certificate NAME=FILE for the same names",
        )
    certificates = {name: bytes_of(Path(file)) for name, file in files.items()}
    signing = signer(signing_key)
    folder = TranscriptFolder.create(
        transcript,
        Header(run=secrets.token_hex(16), title=title),
        read(plan, Plan, "plan of a run"),
        signing,
        now=now(),
        software=f"filiation {__version__}",
        authorities=[
            Authority(name=name, url=url, certificate=hashlib.sha256(certificates[name]).hexdigest())
            for name, url in urls.items()
        ],
        certificates=certificates,
    )
    predicate = folder.checkpoint(signing, now=now(), stampers=stampers_of(folder))
    if not quiet:
        typer.echo(f"run {folder.header.run}, key {signing.key.keyid}\n{told(predicate)}")
        typer.echo(f"next: 'filiation training commit' for {whole(folder.plan.planned_states)} states, from step 0 on")
