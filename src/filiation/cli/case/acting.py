"""What the verbs of a case share: the key, the actor, the options that repeat, and how a checkpoint is told."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filiation.cli import progress
from filiation.cli.interruptions import GOES_ON, answered
from filiation.errors import UsageError

if TYPE_CHECKING:
    from filiation.case.records import CheckpointPredicate, Setting
    from filiation.proceedings.sitting import Acting, Sitting

KEY_VARIABLE = "FILIATION_KEY"

Case = Annotated[Path, typer.Argument(help="The folder of the case.", metavar="CASE")]
Key = Annotated[
    Path | None,
    typer.Option(
        help=f"The private key of the case (or {KEY_VARIABLE}); 'filiation case key' makes one.", metavar="FILE"
    ),
]
Actor = Annotated[str, typer.Option(help="Who does this, as the ledger says it; by default the user's name.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor what was done.")]
Secret = Annotated[
    Path | None,
    typer.Option(
        help="The file that keeps the secret behind the code names until they are revealed; by default CASE.secret, "
        "beside the case.",
        metavar="FILE",
    ),
]
Places = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        help="Where an exhibit outside the case lies on this machine; a folder without NAME= is searched for folders and files "
        "with the exhibits' names. May be given many times.",
        metavar="NAME=PATH",
    ),
]
TrustSize = Annotated[
    bool, typer.Option("--trust-size", help="Do not hash exhibits outside the case anew: look at their sizes only.")
]


@contextmanager
def acting(key: Path | None, actor: str, quiet: bool) -> Iterator[Acting]:
    """Who acts, with a progress bar where somebody watches. Raises UsageError without a key."""
    from filiation.case.signing import load_signer
    from filiation.proceedings.sitting import Acting

    file = key or (Path(os.environ[KEY_VARIABLE]) if os.environ.get(KEY_VARIABLE) else None)
    if file is None:
        raise UsageError(
            "every entry is signed, and no key is given",
            advice=f"give --key FILE or set {KEY_VARIABLE}; 'filiation case key FILE' makes a key",
        )
    signer = load_signer(file.expanduser())
    with progress.shown(quiet) as tell:
        yield Acting(signer=signer, actor=actor or _user(), progress=tell)


def _user() -> str:
    """The user's name; machines without a list of users know none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError) as error:
        raise UsageError("this machine does not know the user's name", advice="give --actor NAME") from error


@contextmanager
def held(case: Path, key: Path | None, actor: str, quiet: bool) -> Iterator[Sitting]:
    """The case, open for writing; at the end it says whether what was done is signed and stamped."""
    from filiation.proceedings.sitting import sitting

    kept = f"what was recorded is kept, and {GOES_ON}: filiation case status {case}"
    with answered(kept), acting(key, actor, quiet) as who, sitting(case, who) as found:
        yield found
    if not quiet and found.checkpoint:
        typer.echo(signed(found.checkpoint))


def signed(checkpoint: CheckpointPredicate) -> str:
    """One line on a checkpoint: that it is signed, by whom it is stamped, or why it is not."""
    told = f"signed: checkpoint {checkpoint.sequence}"
    if checkpoint.stamps:
        told += f", time-stamped by {', '.join(checkpoint.stamps)}"
    return told + (f"\nnot time-stamped: {checkpoint.unstamped}" if checkpoint.unstamped else "")


def secrets_at(case: Path, given: Path | None) -> Path:
    from filiation.proceedings.line_up import secrets_file

    return given or secrets_file(case)


def places_at(case: Path, entries: Sequence[str] | None) -> dict[str, str]:
    """Where exhibits lie, from `--at NAME=PATH` and `--at FOLDER`; what is named counts before what is found in a folder.

    Raises UsageError or SourceNotFound.
    """
    from filiation.case.folder import CaseFolder
    from filiation.proceedings.exhibits import found_in
    from filiation.proceedings.sitting import CaseAtHand

    folders = [Path(entry).expanduser() for entry in entries or () if "=" not in entry]
    found: dict[str, str] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(
                f"--at {folder} is neither NAME=PATH nor a folder",
                advice="give --at ours=/disk/models/ours, or --at /disk/models with the exhibits in it",
            )
        found = {**found_in(folder, CaseAtHand(CaseFolder.open(case)).manifests), **found}
    return found | pairs([entry for entry in entries or () if "=" in entry], "--at")


EXAMPLES = {
    "--authority": "NAME=https://...",
    "--authority-certificate": "NAME=root.pem",
    "--attribute": "tokenizer=bpe",
    "--parameter": "text_kinship.looks=25,50",
    "--add": "NAME=models/another",
    "--at": "NAME=/disk/models/ours",
}


def pairs(entries: Sequence[str] | None, option: str) -> dict[str, str]:
    """'NAME=VALUE' options as a mapping. Raises UsageError."""
    found: dict[str, str] = {}
    for entry in entries or ():
        name, sign, value = entry.partition("=")
        if not (name and sign and value):
            example = EXAMPLES.get(option, "NAME=FILE")
            raise UsageError(f"{option} {entry} is not NAME=VALUE", advice=f"for instance {option} {example}")
        if found.get(name, value) != value:
            raise UsageError(f"{option} gives {name} two values", advice="give one")
        found[name] = value
    return found


def parameters_of(entries: Sequence[str] | None) -> dict[str, dict[str, Setting]]:
    """'--parameter EXAMINER.NAME=VALUE' options by examiner; where text is wanted, digits are text. Raises UsageError."""
    from filiation.examiners.catalogue import examiners

    usual = {each.NAME: getattr(each, "PARAMETERS", {}) for each in examiners()} if entries else {}
    found: dict[str, dict[str, Setting]] = {}
    for name, value in pairs(entries, "--parameter").items():
        examiner, dot, parameter = name.partition(".")
        if not dot:
            raise UsageError(f"--parameter {name} names no examiner", advice="give EXAMINER.NAME=VALUE")
        text = isinstance(usual.get(examiner, {}).get(parameter), str) and value not in ("true", "false")
        found.setdefault(examiner, {})[parameter] = value if text else setting(value)
    return found


def setting(text: str) -> Setting:
    """A value as TOML would read it without quotes: a number, true or false, or else the text itself."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
