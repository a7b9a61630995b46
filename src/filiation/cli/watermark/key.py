"""`filiation watermark key`: a secret key, and the commitment to it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filiation.cli import files
from filiation.errors import UsageError

if TYPE_CHECKING:
    from filiation.measures.watermarks import WatermarkKey

SCHEMES = ("green-list", "synthid", "gumbel", "vllm-gumbel")


def key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the secret key is written.")],
    scheme: Annotated[str, typer.Option(metavar="|".join(SCHEMES), help="What marks the text.")] = "gumbel",
    vocabulary: Annotated[
        int, typer.Option(metavar="N", help="Of green-list: vocab_size of the model's configuration.")
    ] = 0,
    ratio: Annotated[float, typer.Option(metavar="SHARE", help="Of green-list: greenlist_ratio.")] = 0.25,
    bias: Annotated[float, typer.Option(metavar="NATS", help="Of green-list: what is added to green scores.")] = 2.0,
    seeding: Annotated[
        str, typer.Option(metavar="lefthash|selfhash", help="Of green-list: seeding_scheme.")
    ] = "lefthash",
    context: Annotated[
        int, typer.Option(metavar="N", help="Tokens of context; of synthid ngram_len - 1; 0: the scheme's default.")
    ] = 0,
    layers: Annotated[int, typer.Option(metavar="N", help="Of synthid: how many layers, each with its key.")] = 30,
    show: Annotated[bool, typer.Option("--show", help="Print the commitment of a key that is there.")] = False,
    settings: Annotated[
        bool, typer.Option("--settings", help="Draw nothing: write the settings that 'lot commit' takes.")
    ] = False,
    tokenizer: Annotated[
        Path | None, typer.Option(metavar="PATH", help="With --settings: tokenizer.json of the model, or its folder.")
    ] = None,
) -> None:
    """Draw a secret key, write it readable by you only, and print its commitment.

    With --settings nothing is drawn: the scheme is written without a key, for 'filiation lot commit --purpose watermark'. A key drawn by
    lot is one that nobody could choose, and the only one that an examination of a suspect takes.

    The commitment is the SHA-256 of the file. Have it time-stamped before any text is marked: a key that could have been chosen
    after the text was seen shows nothing.

    Example: filiation watermark key mark.json --scheme synthid
    """
    from filiation.case.secret_keys import write_secret
    from filiation.measures.watermarks import new_key, read_key

    if show:
        found = read_key(read_bytes(file), str(file))
    elif settings:
        _write_settings(file, _settings(scheme, vocabulary, ratio, bias, seeding, context, layers), tokenizer)
        return
    else:
        found = new_key(_settings(scheme, vocabulary, ratio, bias, seeding, context, layers))
        write_secret(file, found.to_json())
    typer.echo(f"{file}: commitment {found.commitment}")


def _write_settings(file: Path, template: WatermarkKey, tokenizer: Path | None) -> None:
    from filiation.measures.watermarks import settings_of

    if tokenizer is None:
        raise UsageError(
            "settings name the tokenizer of the model that is to mark",
            advice="give --tokenizer: one that could be chosen later could be tried until a text suited the key",
        )
    data = read_bytes(tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer)
    files.write(str(file), settings_of(template, hashlib.sha256(data).hexdigest()) + b"\n")
    typer.echo(f"{file}: settings, to be committed with 'filiation lot commit --purpose watermark'")


def _settings(
    scheme: str, vocabulary: int, ratio: float, bias: float, seeding: str, context: int, layers: int
) -> WatermarkKey:
    """A key with these settings whose secret parts are still to be drawn."""
    from filiation.measures.watermarks import GreenListKey, GumbelKey, SynthIDKey, VllmGumbelKey

    if scheme == "green-list":
        if not vocabulary:
            raise UsageError(
                "a green list needs --vocabulary", advice="give vocab_size of the config.json of the model"
            )
        return GreenListKey(
            vocabulary=vocabulary,
            hashing_key=1,
            greenlist_ratio=ratio,
            bias=bias,
            seeding_scheme=seeding,
            context_width=context or 1,
        )
    if scheme == "synthid":
        return SynthIDKey(keys=(0,) * layers, ngram_len=(context or 4) + 1)
    if scheme == "gumbel":
        return GumbelKey(secret="00" * 32, context_width=context or 4)
    if scheme == "vllm-gumbel":
        return VllmGumbelKey(key=0, context_width=context or 4)
    raise UsageError(f"--scheme {scheme!r} is not known", advice=f"one of {', '.join(SCHEMES)}")


def read_bytes(file: Path) -> bytes:
    """The bytes of a file that a person named. Raises UsageError where it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", advice="check the path") from error
