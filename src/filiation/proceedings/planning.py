"""Sealing a plan, and amending it where everybody can see it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from filiation.case import amendments, drawing
from filiation.case.beacons import announced
from filiation.case.ledger import time_text
from filiation.case.reading import moment
from filiation.case.records import Announcement, LineUpPlan, Manifest, Plan, PlannedExhibit, Sealed
from filiation.errors import UsageError
from filiation.evidence import digest
from filiation.proceedings.line_up import attributes_of, barred
from filiation.proceedings.plan_file import PlanFile, filled_in
from filiation.proceedings.sitting import Sitting
from filiation.report.case_contents import plan_texts
from filiation.report.wording import hold_to_wording

BEACON_LEAD = timedelta(minutes=5)
"""How far ahead a beacon's round is announced where the plan names none: the plan's stamp must be older than the round."""


NO_SEED = "0" * 64
"""For trying whether the pool gives enough foils, which does not depend on the seed."""


@dataclass(frozen=True)
class SealedPlan:
    """A plan that was sealed, its digest, and what the ledger says of it."""

    plan: Plan
    digest: str
    entry: Sealed


def seal_plan(
    sitting: Sitting,
    wanted: PlanFile,
    *,
    chance: bytes,
    reason: str = "",
    amend: bool = False,
    folder: Path = Path(),
    only_check: bool = False,
) -> SealedPlan:
    """Seal a plan, or an amendment of the one in force (`amend`, with a reason).

    `chance`: 32 random bytes, the seed of a plan that waits for no beacon and names none; `folder` is where a certificate that the
    file names lies; `only_check`: write nothing, and return what would have been sealed. Raises UsageError where the plan cannot
    be, or changes nothing.
    """
    before = _before(sitting, amend, reason)
    _refuse_misprints(wanted, sitting.manifests)
    wanted = msgspec.structs.replace(wanted, line_up=_known(wanted.line_up, sitting.manifests))
    wanted = msgspec.structs.replace(
        wanted, controls=tuple(_as_admitted(c, sitting.manifests) for c in wanted.controls)
    )
    announcement = _announcement(sitting, wanted.announcement, before, chance, folder)
    _check_to_come(sitting, announcement, before)
    plan = filled_in(
        wanted, case=sitting.folder.header.case, prepared_by=sitting.acting.actor, announcement=announcement
    )
    hold_to_wording(plan_texts(plan))
    _check_line_up(plan, sitting.manifests)
    _check_probes(plan, sitting.manifests)
    changes = amendments.changed_fields(before, plan) if before else ()
    if before and not changes:
        raise UsageError(
            "this amendment changes nothing", advice="nothing was sealed; the plan in force stays as it is"
        )
    suspects = {plan.suspect, *(each.suspect for each in sitting.plans.values())}
    entry = Sealed(
        plan="",
        replaces=sitting.plan_digest,
        reason=reason,
        changes=changes,
        suspect_was_observed=amendments.suspect_was_observed(sitting.folder.entries, suspects),
    )
    entry = msgspec.structs.replace(entry, plan=digest(plan) if only_check else sitting.folder.put_record(plan))
    if not only_check:
        sitting.append(entry)
    return SealedPlan(plan=plan, digest=entry.plan, entry=entry)


def _refuse_misprints(wanted: PlanFile, manifests: Mapping[str, Manifest]) -> None:
    """A plan may name exhibits that are still to come; a name that nearly is one of that role, and stands nowhere else, is a misprint."""
    roles = {
        "reference": [wanted.reference],
        "suspect": [wanted.suspect],
        "control": [each.exhibit for each in wanted.controls],
        "candidate": [each.exhibit for each in wanted.line_up.pool],
    }
    named = {name for names in roles.values() for name in names}
    for role, names in roles.items():
        free = [name for name, manifest in manifests.items() if manifest.role == role and name not in named]
        for name in names:
            near = difflib.get_close_matches(name, free, n=1, cutoff=0.8) if name not in manifests else []
            if near:
                raise UsageError(
                    f"no exhibit called {name} was admitted as {role}, but {near[0]} was",
                    advice=f"did you mean {near[0]}? If {name} is another one, admit it before the plan is sealed",
                )


def _check_probes(plan: Plan, manifests: Mapping[str, Manifest]) -> None:
    """Whoever is to be asked has to be asked something."""
    named = {plan.reference, plan.suspect, *(each.exhibit for each in (*plan.controls, *plan.line_up.pool))}
    endpoints = [n for n, each in manifests.items() if each.kind == "endpoint" and n.partition("/")[0] in named]
    if endpoints and not plan.probes:
        raise UsageError(
            f"{', '.join(endpoints)} is to be asked, and the plan names no probes",
            advice="give [[probes]] with name and count ('filiation probes' lists them), or admit recorded answers instead",
        )


def to_come(plan: Plan, manifests: Mapping[str, Manifest]) -> list[str]:
    """The exhibits that a plan names and nobody has admitted yet."""
    named = (plan.reference, plan.suspect, *(each.exhibit for each in (*plan.controls, *plan.line_up.pool)))
    return [name for name in named if name not in manifests]


def _check_line_up(plan: Plan, manifests: dict[str, Manifest]) -> None:
    """What would make the draw fail, as far as it is known already: a plan cannot be unsealed."""
    if plan.line_up.foils < 0:
        raise UsageError(f"a line-up cannot have {plan.line_up.foils} foils", advice="give 0 or more")
    if plan.announcement.basis == "claimant" and not re.fullmatch(r"[0-9a-f]{64}", plan.announcement.seed):
        raise UsageError(
            f"the claimant's seed is not 64 hexadecimal digits in lower case: {plan.announcement.seed[:80]!r}",
            advice="leave it out to have one drawn",
        )
    if plan.suspect in manifests:
        drawing.draw_foils(
            plan.line_up,
            attributes_of(manifests, plan.suspect),
            NO_SEED,
            barred(manifests, plan.suspect, plan.reference),
        )


def _before(sitting: Sitting, amend: bool, reason: str) -> Plan | None:
    """The plan that is amended, None for the first one. Raises UsageError where the wrong one of both was asked for."""
    if not sitting.plan_digest:
        if amend:
            raise UsageError("there is no plan to amend yet", advice=sitting.do("plan", "plan.toml"))
        return None
    if not amend:
        raise UsageError(
            "a plan is sealed already, and nobody can unseal it",
            exhibit=str(sitting.folder.path),
            advice=sitting.do("plan", "plan.toml", "--amend", '--reason "why"') + " changes it for everybody to see",
        )
    if not reason.strip():
        raise UsageError("an amendment needs a reason", advice='give --reason "why the plan is changed"')
    return sitting.plan


def _announcement(
    sitting: Sitting, wanted: Announcement, before: Plan | None, chance: bytes, folder: Path
) -> Announcement:
    """The announcement with what the file leaves to the tool: the claimant's seed, a coming round, the certificate's digest."""
    if before and _left_out(wanted, before.announcement):
        return before.announcement
    if wanted.basis == "claimant":
        return wanted if wanted.seed else msgspec.structs.replace(wanted, seed=chance.hex())
    if wanted.basis == "drand" and not wanted.public_key:
        coming = announced(wanted.chain or "quicknet", sitting.acting.clock() + BEACON_LEAD)
        return msgspec.structs.replace(coming, round=wanted.round or coming.round)
    if wanted.basis == "nist" and not (wanted.certificate and (wanted.time or wanted.round)):
        raise UsageError(
            "a plan that waits for a NIST pulse says which, and under which certificate",
            advice='give certificate = "FILE.pem", and time = "2026-05-04T09:00:00.000Z" or chain and round',
        )
    if wanted.certificate and not re.fullmatch(r"[0-9a-f]{64}", wanted.certificate):
        return msgspec.structs.replace(wanted, certificate=sitting.folder.objects.put_file(folder / wanted.certificate))
    return wanted


def _check_to_come(sitting: Sitting, announcement: Announcement, before: Plan | None) -> None:
    """Randomness that is public already is no announcement. Raises UsageError."""
    if before and announcement == before.announcement:
        return
    when: datetime | None = None
    if announcement.basis == "drand":
        seconds = announcement.genesis + (announcement.round - 1) * announcement.period
        when = datetime.fromtimestamp(seconds, UTC)
    if announcement.basis == "nist":
        when = moment(announcement.time)
    if when and when <= sitting.acting.clock():
        raise UsageError(
            f"round {announcement.round} of {announcement.basis} was public already at {time_text(when)}",
            advice="announce a round that is still to come; without round and chain the tool announces the next",
        )


def _left_out(wanted: Announcement, before: Announcement) -> bool:
    """Whether the file leaves an announcement as it was sealed before: same basis, and nothing else said."""
    return wanted.basis == before.basis and wanted == Announcement(basis=wanted.basis)


def _known(line_up: LineUpPlan, manifests: dict[str, Manifest]) -> LineUpPlan:
    return msgspec.structs.replace(line_up, pool=tuple(_as_admitted(each, manifests) for each in line_up.pool))


def _as_admitted(planned: PlannedExhibit, manifests: dict[str, Manifest]) -> PlannedExhibit:
    """With the lineage and attributes of its manifest where it was admitted before; what the plan says comes first."""
    found = manifests.get(planned.exhibit)
    if found is None:
        return planned
    return msgspec.structs.replace(
        planned, lineage=planned.lineage or found.lineage, attributes={**found.attributes, **planned.attributes}
    )
