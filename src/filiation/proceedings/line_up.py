"""Drawing foils and code names, and revealing who was who."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filiation.case import amendments, drawing
from filiation.case.beacons import Pulse, read_beacon
from filiation.case.ledger import time_text
from filiation.case.records import Announcement, Drawn, Examined, Manifest, Plan, Revealed, Setting
from filiation.errors import SourceNotFound, UsageError
from filiation.proceedings.sitting import Sitting


@dataclass(frozen=True)
class Draw:
    """What was drawn, who stands behind the code names, and the beacon it rests on (None for the claimant's seed)."""

    entry: Drawn
    code_names: dict[str, str]
    pulse: Pulse | None


def draw(sitting: Sitting, *, secret: bytes, secrets: Path, beacon: bytes = b"") -> Draw:
    """Draw seed, foils and code names of the plan in force.

    `secret`: 32 random bytes; they are kept in the file `secrets` outside the case until the reveal. `beacon`: the file of the
    announced round. Raises UsageError where it was drawn before, or the suspect or a candidate is missing.
    """
    plan = sitting.plan
    under_this_plan = (
        e for e in sitting.folder.entries if isinstance(e.body, Drawn) and e.body.plan == sitting.plan_digest
    )
    if any(under_this_plan) or amendments.draw_in_force(sitting.folder.entries, sitting.plans):
        raise UsageError(
            "this plan's foils are drawn already", exhibit=str(sitting.folder.path), advice=sitting.do("observe")
        )
    if not _parts(sitting.manifests, plan.suspect):
        raise UsageError(
            f"the suspect, {plan.suspect}, is not admitted yet: foils are matched on its attributes",
            advice=sitting.do("admit", "LOCATION", "--as", f"'{plan.suspect}'", "--role", "suspect"),
        )
    seed, pulse, stored = _seed(sitting, plan, beacon)
    foils = drawing.draw_foils(
        plan.line_up,
        attributes_of(sitting.manifests, plan.suspect),
        seed,
        barred(sitting.manifests, plan.suspect, plan.reference),
    )
    named = drawing.code_names((plan.suspect, *foils), secret)
    commitment = drawing.commitment(secret)
    _keep_secret(sitting.folder.path, secrets, commitment, secret)
    entry = Drawn(
        plan=sitting.plan_digest,
        basis=plan.announcement.basis,
        seed=seed,
        commitment=commitment,
        code_names=tuple(named),
        foils=foils,
        beacon=stored,
    )
    sitting.append(entry)
    return Draw(entry=entry, code_names=named, pulse=pulse)


def _seed(sitting: Sitting, plan: Plan, beacon: bytes) -> tuple[str, Pulse | None, str]:
    """The seed, and the beacon's pulse with the digest of its file where the plan waits for one."""
    announcement = plan.announcement
    if announcement.basis == "claimant":
        if beacon:
            raise UsageError("this plan waits for no beacon", advice="leave --beacon out")
        return drawing.claimants_seed(announcement), None, ""
    if not beacon:
        from filiation.case.beacons import address

        raise UsageError(
            f"this plan waits for round {announcement.round} of {announcement.basis}",
            advice=f"{published(announcement)}fetch {address(announcement)} and give its file with --beacon FILE",
        )
    certificate = sitting.folder.objects.get(announcement.certificate) if announcement.certificate else b""
    pulse = read_beacon(beacon, announcement, certificate)
    return drawing.seed(sitting.plan_digest, pulse.randomness), pulse, sitting.folder.objects.put(beacon)


def published(announcement: Announcement) -> str:
    """When the announced round is public, where its number tells."""
    if announcement.basis != "drand":
        return ""
    seconds = announcement.genesis + (announcement.round - 1) * announcement.period
    return f"it is public at {time_text(datetime.fromtimestamp(seconds, UTC))}; then "


def _parts(manifests: dict[str, Manifest], exhibit: str) -> list[Manifest]:
    return [
        each
        for name, each in manifests.items()
        if (name == exhibit or name.startswith(f"{exhibit}/")) and each.role != "material"
    ]


def attributes_of(manifests: dict[str, Manifest], suspect: str) -> dict[str, Setting]:
    """What is known of the suspect; the first part that tells an attribute counts."""
    return {name: value for part in reversed(_parts(manifests, suspect)) for name, value in part.attributes.items()}


def barred(manifests: dict[str, Manifest], suspect: str, reference: str) -> set[str]:
    """Lineages that no foil may have: those of reference and suspect."""
    parts = [*_parts(manifests, suspect), *_parts(manifests, reference)]
    return {part.lineage for part in parts if part.lineage}


# ---------------------------------------------------------------------------------------------------------- the secret


def secrets_file(case: Path) -> Path:
    """Where the secret behind code names is kept until the reveal, unless another file is named: beside the case."""
    place = case.resolve()
    return place.with_name(f"{place.name}.secret")


def _keep_secret(case: Path, file: Path, commitment: str, secret: bytes) -> None:
    """Add a line 'commitment secret' to a file that only its owner may read, and force it to the disk."""
    if file.resolve().is_relative_to(case.resolve()):
        raise UsageError(
            "the secret behind the code names would lie in the case, where everybody reads it",
            exhibit=str(file),
            advice="name a file outside the case with --secret",
        )
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise UsageError(
            f"the secret behind the code names cannot be kept in {file}: {error.strerror}",
            advice="name another file outside the case with --secret",
        ) from error
    with os.fdopen(descriptor, "w") as lines:
        lines.write(f"{commitment} {secret.hex()}\n")
        lines.flush()
        os.fsync(lines.fileno())


def read_secret(file: Path, commitment: str) -> bytes:
    """The secret that belongs to a commitment. Raises SourceNotFound where the file or the line is missing."""
    advice = (
        "give the file that 'filiation case draw' wrote, with --secret FILE: it lies beside the case where that was drawn, and "
        "does not travel with a copy. If it is lost, amend the plan with another announcement, and draw again"
    )
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SourceNotFound(
            f"the secret behind the code names cannot be read: {why}", exhibit=str(file), advice=advice
        ) from error
    for line in lines:
        kept, _, secret = line.partition(" ")
        if kept == commitment and drawing.commitment(_bytes(secret)) == commitment:
            return _bytes(secret)
    raise SourceNotFound("it does not hold the secret of this draw", exhibit=str(file), advice=advice)


def _bytes(hexadecimal: str) -> bytes:
    try:
        found = bytes.fromhex(hexadecimal)
    except ValueError:
        return bytes(32)
    return found if len(found) == 32 else bytes(32)


def behind_code_names(sitting: Sitting, drawn: Drawn, secrets: Path) -> dict[str, str]:
    """Exhibit by code name, from the secret or, after the reveal, from the ledger."""
    revealed = sitting.revealed
    if set(drawn.code_names) <= set(revealed):
        return {code: revealed[code] for code in drawn.code_names}
    suspect = sitting.plans[drawn.plan].suspect
    return drawing.code_names((suspect, *drawn.foils), read_secret(secrets, drawn.commitment))


def reveal(sitting: Sitting, *, secrets: Path) -> Revealed:
    """Say who stood behind each code name, with the secret that shows it was fixed before. All must have been examined.

    Raises UsageError where one is still to be examined, or all is revealed already.
    """
    drawn = sitting.drawn
    if set(drawn.code_names) <= set(sitting.revealed):
        raise UsageError("the code names are revealed already", exhibit=str(sitting.folder.path))
    waiting = [code for code in drawn.code_names if code not in examined_under(sitting, sitting.plan_digest)]
    if waiting:
        raise UsageError(
            f"{len(waiting)} of {len(drawn.code_names)} models of the line-up are not examined yet: {', '.join(waiting)}",
            exhibit=str(sitting.folder.path),
            advice=sitting.do("examine"),
        )
    entry = Revealed(
        plan=drawn.plan,
        secret=read_secret(secrets, drawn.commitment).hex(),
        exhibits=behind_code_names(sitting, drawn, secrets),
    )
    sitting.append(entry)
    return entry


def examined_under(sitting: Sitting, plan: str) -> dict[str, Examined]:
    """The planned examinations under a plan, by code name."""
    bodies = [entry.body for entry in sitting.folder.entries if isinstance(entry.body, Examined)]
    return {body.subject: body for body in bodies if body.plan == plan and not body.exploratory}


def check_not_revealed(sitting: Sitting, drawn: Drawn) -> None:
    """After the reveal nothing planned is done any more. Raises UsageError."""
    if set(drawn.code_names) & set(sitting.revealed):
        raise UsageError(
            "the code names are revealed: what is examined now is no part of the plan",
            exhibit=str(sitting.folder.path),
            advice="run it with --exploratory --purpose TEXT: it is kept and marked",
        )
