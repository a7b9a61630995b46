"""`filiation training verify`: the neutral party's script."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from filiation.cli import files, progress
from filiation.cli.canary.options import Quiet, bytes_of
from filiation.cli.case.acting import pairs
from filiation.cli.interruptions import answered
from filiation.cli.training.draw import from_beacon, from_seed
from filiation.cli.training.options import Authorities, Transcript, read
from filiation.cli.training.telling import result_told
from filiation.errors import RecordError, SourceNotFound, UsageError

if TYPE_CHECKING:
    from filiation.training_transcript.execution import Trainer
    from filiation.training_transcript.folder import TranscriptFolder
    from filiation.training_transcript.records import Drawn, Plan


def verify(
    transcript: Transcript,
    key_id: Annotated[str, typer.Option(help="The fingerprint of the owner's key, told by another way.")] = "",
    authority_certificate: Authorities = None,
    model: Annotated[
        Path | None, typer.Option(help="The weights in dispute, a safetensors file.", metavar="FILE")
    ] = None,
    trainer: Annotated[
        str,
        typer.Option(
            help="Code of your own choice that makes a trainer of (plan, data). It runs: read it first, and never take the "
            "owner's unread.",
            metavar="MODULE:FUNCTION",
        ),
    ] = "",
    data: Annotated[
        list[str] | None, typer.Option(help="The file of a shard that the plan names.", metavar="SHARD=FILE")
    ] = None,
    states: Annotated[
        Path | None,
        typer.Option(help="Where the states lie; by default in the transcript's own folder.", metavar="FOLDER"),
    ] = None,
    drawn: Annotated[Path | None, typer.Option(help="The draw that 'draw' wrote.", metavar="FILE")] = None,
    beacon: Annotated[
        Path | None, typer.Option(help="The file of the beacon that the draw names.", metavar="FILE")
    ] = None,
    beacon_certificate: Annotated[
        Path | None, typer.Option(help="The certificate (PEM) of NIST, from NIST itself.", metavar="FILE")
    ] = None,
    also: Annotated[
        list[int] | None, typer.Option(help="A segment to run again besides; the chances do not count it.")
    ] = None,
    json: Annotated[
        str | None, typer.Option("--json", help="Write the whole result as JSON; '-' for standard output.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Check a transcript offline; with a trainer, data and a draw, run the drawn segments again.

    Exit code 4 where a check fails. Without a trainer only checks 1 to 5 look at anything, and the output says so.

    Example: filiation training verify run --model model.safetensors --drawn draw.json --trainer lab.trainer:trainer --data a.txt=a.txt
    """
    from filiation.training_transcript.folder import TranscriptFolder
    from filiation.training_transcript.records import Drawn
    from filiation.training_transcript.states import load
    from filiation.training_transcript.verification import Given
    from filiation.training_transcript.verification import verify as verified

    files.check_writable(json, "--json")
    folder = TranscriptFolder.open(transcript)
    certificates = tuple(bytes_of(file) for file in authority_certificate or ())
    told = read(drawn, Drawn, "draw") if drawn else None
    again = _again(folder, told, bytes_of(beacon), bytes_of(beacon_certificate), certificates) if told else None
    with answered("of a verification nothing is kept: the same command begins anew"), progress.shown(quiet) as tell:
        result = verified(
            folder,
            Given(
                keyid=key_id,
                authorities=certificates,
                model=load(model) if model else None,
                trainer=_trainer(trainer, folder.plan, data) if trainer else None,
                drawn=told,
                drawn_again=again,
                state_at=_states(folder, states),
                also=tuple(also or ()),
            ),
            tell,
        )
    if json is not None:
        whole = {"verification": result.verification, "found": result.found}
        files.write(json, msgspec.json.format(msgspec.json.encode(whole, order="deterministic"), indent=1) + b"\n")
    if not quiet and json != files.STANDARD_OUTPUT:
        typer.echo("\n".join(result_told(result)))
    failed = [str(check.number) for check in result.verification.checks if check.failures]
    if failed:
        raise RecordError(
            f"check {', '.join(failed)} does not hold",
            exhibit=str(transcript),
            advice="each failure above says where, what, and what it means; see docs/independence.md",
        )


def _again(
    folder: TranscriptFolder, told: Drawn, beacon: bytes, certificate: bytes, authorities: Sequence[bytes]
) -> Callable[[], Drawn]:
    def drawn() -> Drawn:
        if told.basis == "verifier":
            return from_seed(folder, len(told.segments), told.randomness)
        return from_beacon(folder, len(told.segments), beacon, certificate, authorities)

    return drawn


def _states(folder: TranscriptFolder, states: Path | None) -> Callable[[int], Any]:
    from filiation.training_transcript.states import load

    return lambda step: load((states or folder.state_file(step).parent) / folder.state_file(step).name)


def _trainer(name: str, plan: Plan, data: list[str] | None) -> Trainer:
    """The trainer that a person names, made of the plan and the bytes of its shards. Raises UsageError, SourceNotFound."""
    module, _, function = name.partition(":")
    sys.path.insert(0, "")  # modules beside the person, as `python -m` finds them
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"there is no trainer {name!r}: {error}", advice="give MODULE:FUNCTION") from error
    finally:
        sys.path.remove("")
    shards = {shard: _whole(Path(file)) for shard, file in pairs(data, "--data").items()}
    try:
        made: Trainer = make(plan, shards)
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"the trainer {name!r} cannot follow this plan: {error}",
            advice=f"give every shard as --data; the plan names {plan.trainer!r}, so give a trainer that was written for such plans",
        ) from error
    return made


def _whole(file: Path) -> bytes:
    try:
        return file.expanduser().read_bytes()
    except OSError as error:
        raise SourceNotFound(f"cannot be read: {error.strerror}", exhibit=str(file), advice="check the path") from error
