"""`filiation canary verify`: the neutral verifier's script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from filiation.cli import files, progress
from filiation.cli.canary import answering
from filiation.cli.canary.options import Quiet
from filiation.cli.canary.telling import checks_told, result_told
from filiation.cli.case.acting import pairs
from filiation.cli.commitments import Chains, RootCertificates, TrustedBeacon, trust_in
from filiation.cli.interruptions import GOES_ON, answered
from filiation.errors import RecordError, UsageError

if TYPE_CHECKING:
    from filiation.canaries.canary import Canary
    from filiation.canaries.scoring import Answers


@dataclass(frozen=True)
class Asking:
    """How endpoints are asked: where recordings go, how long an answer may be, whether log-probabilities are wanted."""

    recordings: Path | None
    max_tokens: int
    ranks: bool
    progress: Callable[[str, float], None]


def verify(
    bundle: Annotated[Path, typer.Argument(help="The folder that 'reveal' wrote.", metavar="BUNDLE")],
    suspect: Annotated[
        list[str] | None,
        typer.Option(
            help="A suspect that the request names: transcripts:FILE#MODEL, or an endpoint that is asked.",
            metavar="NAME=SOURCE",
        ),
    ] = None,
    control: Annotated[
        list[str] | None, typer.Option(help="An unrelated model that the request names.", metavar="NAME=SOURCE")
    ] = None,
    log_probabilities: Annotated[
        list[str] | None,
        typer.Option(
            help='Log-probabilities of the options: {"index": ..., "log_probabilities": [...]} per line.',
            metavar="NAME=FILE",
        ),
    ] = None,
    key_id: Annotated[str, typer.Option(help="The fingerprint of the claimant's key, told by another way.")] = "",
    authority_certificate: RootCertificates = None,
    beacon_certificate: TrustedBeacon = None,
    chain: Chains = None,
    claimants_copies: Annotated[
        bool, typer.Option("--claimants-copies", help="Take the claimant's copies of certificates, and say so.")
    ] = False,
    commitments: Annotated[
        int, typer.Option(help="How many commitments of the claimant you know of; the larger number counts.", min=1)
    ] = 1,
    recordings: Annotated[
        Path | None, typer.Option(help="Where the raw exchanges with endpoints are kept.", metavar="FOLDER")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="The longest answer of an endpoint, in tokens.", min=1)] = 60,
    json: Annotated[
        str | None,
        typer.Option("--json", help="Write the whole result as JSON; '-' for standard output.", metavar="FILE"),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Check a bundle, and count what the suspects answer. Without suspects only the checks are made.

    Exit code 4 where a check fails; no figure is given then.

    Example: filiation canary verify opened-000 --suspect theirs=transcripts:answers.parquet#theirs --authority-certificate a.pem
    """
    from filiation.canaries.opening import OPENING_FILE, read_bundle
    from filiation.canaries.scoring import scored
    from filiation.canaries.verification import result, verified

    files.check_writable(json, "--json")
    if json is not None and not suspect:
        raise UsageError(
            "without a suspect there is no result to write", advice="give --suspect NAME=SOURCE with --json"
        )
    if not (bundle / OPENING_FILE).is_file():
        raise UsageError(
            f"this folder holds no opened batch: there is no {OPENING_FILE}",
            exhibit=str(bundle),
            advice="give the folder that 'filiation canary reveal' wrote, such as canaries/opened-000",
        )
    found_bundle = read_bundle(bundle)
    trust = trust_in(authority_certificate, beacon_certificate, chain, key_id, claimants_copies)
    found, checks = verified(found_bundle, trust, commitments)
    if not quiet and json != files.STANDARD_OUTPUT:
        typer.echo("\n".join(checks_told(checks)))
    if found is None:
        raise RecordError(
            f"check {checks[-1].number} does not hold, so nothing is counted: {checks[-1].failures[0].what}",
            exhibit=str(bundle),
            advice=checks[-1].failures[0].meaning,
        )
    if not suspect:
        return
    kept = f"what was recorded in {recordings} is kept, and {GOES_ON}" if recordings else GOES_ON
    with answered(kept), progress.shown(quiet) as tell:
        asking = Asking(recordings, max_tokens, found.request.statistic == "ranks", tell)
        given = pairs(log_probabilities, "--log-probabilities")
        suspects = _answers(suspect, "--suspect", found.opened.canaries, asking, given)
        controls = _answers(control or [], "--control", found.opened.canaries, asking, given)
    whole = result(found_bundle, found, scored(found.opened, found.request, suspects, controls))
    if json is not None:
        files.write(json, msgspec.json.format(msgspec.json.encode(whole, order="deterministic"), indent=1) + b"\n")
    if not quiet and json != files.STANDARD_OUTPUT:
        typer.echo("\n".join(result_told(whole)))


def _answers(
    entries: list[str], option: str, canaries: tuple[Canary, ...], asking: Asking, given: dict[str, str]
) -> list[Answers]:
    found = []
    for name, location in pairs(entries, option).items():
        answers = answering.answers_of(name, location, canaries, asking)
        found.append(answering.with_log_probabilities(answers, Path(given[name])) if name in given else answers)
    return found
