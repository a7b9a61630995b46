"""What a neutral verifier checks before anything is counted. If one check fails, no figure is given.

1. The commitment: its one signature, its form, the fingerprint that was told by another way.
2. The stamps and the beacon: each verifies, and the beacon became public after every stamp.
3. The request: signed, about this commitment and this batch, for a script that this program knows.
4. The exposure ledger: signatures, chain, order; the beacon before any exposure; no decoy exposed; the batch opened once, after its
   request, with this opening.
5. The opening: every leaf of the batch stands under the root that was stamped, and so does the key.
6. The labels: computed here, from key, beacon, cohort, prompt and options; they are taken from nobody.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from filiation.canaries.canary import Canary
from filiation.canaries.commitment import Commitment, read_commitment
from filiation.canaries.exposure import (
    Exposure,
    Labelled,
    LedgerEntry,
    check_entries,
    exposed_cohorts,
    exposure_of,
    opened_batch,
    read_ledger,
)
from filiation.canaries.opening import (
    SCRIPT,
    Bundle,
    Opening,
    Request,
    canaries_in,
    check_opening,
    check_request,
    read_opening,
    read_request,
)
from filiation.canaries.scoring import Opened, Scored
from filiation.case.checking import Checking
from filiation.case.commitments import Order, check_order, fingerprints, sha256_of
from filiation.case.commitments import Trust as Trust
from filiation.case.commitments import trust_of as trust_of
from filiation.case.records import Check
from filiation.errors import FiliationError, MissingExtra, RecordError
from filiation.evidence import Record

TITLES = (
    "the commitment is signed and whole",
    "the beacon became public after the stamps",
    "what is to be tested was fixed before",
    "the exposure ledger is whole and keeps to the protocol",
    "the opened batch stands under the root that was stamped",
    "the labels are computed anew",
)


@dataclass(frozen=True)
class Verified:
    """A bundle whose checks all hold, and what they found.

    `certificates`: fingerprints of the root certificates that the order in time rests on, by the name of the authority; 'beacon' is
    that of a beacon that is held against one. `exposed_cohorts`: those of which the ledger enters an exposure.
    """

    commitment: Commitment
    request: Request
    order: Order
    exposure: Exposure
    opened: Opened
    checks: tuple[Check, ...]
    remarks: tuple[str, ...]
    certificates: dict[str, str]
    exposed_cohorts: tuple[int, ...]


class Result(Record, frozen=True, kw_only=True):
    """What a verification comes to: the checks, and, where all hold, the scores. The same bundle and answers give the same record."""

    commitment: str
    claimant: str
    batch: int
    beacon: str
    stamps: dict[str, str]
    checks: tuple[Check, ...]
    remarks: tuple[str, ...]
    exposure: Exposure
    scored: Scored
    script: str = SCRIPT


def verified(bundle: Bundle, trust: Trust, commitments: int = 1) -> tuple[Verified | None, tuple[Check, ...]]:
    """Carry out the checks. None with the checks up to the one that failed, where one does.

    `commitments`: how many commitments of the claimant the verifier knows of; the claimant's own number counts where it is larger.
    Raises MissingExtra where a library is missing.
    """
    run = Checking(TITLES, "the bundle")
    try:
        found = _verified(bundle, trust, commitments, run)
    except MissingExtra:
        raise
    except FiliationError:
        return None, tuple(run.checks)
    return found, tuple(run.checks)


def _verified(bundle: Bundle, trust: Trust, commitments: int, run: Checking) -> Verified:
    sha256 = sha256_of(bundle.commitment)
    commitment = run.check(lambda: read_commitment(bundle.commitment, trust.keyid))  # 1
    order = run.check(lambda: _order(bundle, commitment, trust), lambda found: len(found.stamps) + 1)  # 2
    request = run.check(lambda: _request(bundle, commitment, sha256))  # 3
    opening = _opening_if_readable(bundle)
    entries = run.check(lambda: _entries(bundle, commitment, sha256, request, opening), len)  # 4
    canaries = run.check(lambda: _opened(bundle, commitment, sha256, request), len)  # 5
    opened = run.check(lambda: _to_score(bundle, commitment, order, canaries, commitments))  # 6
    return Verified(
        commitment=commitment,
        request=request,
        order=order,
        exposure=exposure_of(entries, request.batch),
        opened=opened,
        checks=tuple(run.checks),
        remarks=order.remarks,
        certificates=_certificates(bundle, commitment, order),
        exposed_cohorts=exposed_cohorts(entries, request.batch),
    )


def _certificates(bundle: Bundle, commitment: Commitment, order: Order) -> dict[str, str]:
    files = {name: bundle.certificates[name] for name in order.stamps}
    if commitment.announcement.basis == "nist" and bundle.beacon_certificate:
        files["beacon"] = bundle.beacon_certificate
    return {name: ", ".join(sorted(fingerprints(data))) for name, data in files.items()}


def _opening_if_readable(bundle: Bundle) -> Opening | None:
    """The opening for the ledger's check, which needs to know what was to be planted; whether it is whole is check 5's business."""
    try:
        return read_opening(bundle.opening)
    except RecordError:
        return None


def _order(bundle: Bundle, commitment: Commitment, trust: Trust) -> Order:
    return check_order(
        bundle.commitment,
        commitment,
        bundle.stamps,
        bundle.certificates,
        bundle.beacon,
        bundle.beacon_certificate,
        trust,
    )


def _request(bundle: Bundle, commitment: Commitment, sha256: str) -> Request:
    request = read_request(bundle.request, sha256, commitment.key)
    check_request(request, commitment)
    if request.script != SCRIPT:
        raise RecordError(
            f"the request was fixed for {request.script[:100]!r}, this is {SCRIPT!r}",
            exhibit="the request",
            advice="verify with the version that the request names",
        )
    return request


def _entries(
    bundle: Bundle, commitment: Commitment, sha256: str, request: Request, opening: Opening | None
) -> tuple[LedgerEntry, ...]:
    entries = read_ledger(bundle.ledger, sha256, commitment.key)
    planted = frozenset(str(canary.index) for canary in canaries_in(opening) if not canary.decoy) if opening else None
    check_entries(entries, planted, commitment.cohorts, request.batch)
    labelled = [entry.body.beacon for entry in entries if isinstance(entry.body, Labelled)]
    if labelled[:1] != [sha256_of(bundle.beacon)]:
        raise _against("it does not say that this beacon was there")
    told = opened_batch(entries, request.batch)
    if told is None or (told.request, told.opening) != (sha256_of(bundle.request), sha256_of(bundle.opening)):
        raise _against("it does not say that the batch was opened with this opening, to this request")
    return entries


def _opened(bundle: Bundle, commitment: Commitment, sha256: str, request: Request) -> tuple[Canary, ...]:
    opening = read_opening(bundle.opening)
    if opening.batch != request.batch:
        raise RecordError(
            f"batch {opening.batch} was opened, the request is for batch {request.batch}",
            exhibit="the opening",
            advice="ask for the opening that was requested",
        )
    return check_opening(opening, commitment, sha256)


def _to_score(
    bundle: Bundle, commitment: Commitment, order: Order, canaries: tuple[Canary, ...], commitments: int
) -> Opened:
    return Opened(
        canaries=canaries,
        key=bytes.fromhex(read_opening(bundle.opening).key),
        beacon=order.pulse.randomness,
        cohorts=commitment.cohorts,
        batches=len(commitment.batches),
        commitments=max(commitment.number, commitments),
        placebo_seed=hashlib.sha256(bundle.opening + order.pulse.randomness).digest(),
    )


def result(bundle: Bundle, found: Verified, scored: Scored) -> Result:
    """The record of a whole verification."""
    return Result(
        commitment=sha256_of(bundle.commitment),
        claimant=found.commitment.claimant,
        batch=found.request.batch,
        beacon=found.order.pulse.described,
        stamps={name: f"{time:%Y-%m-%dT%H:%M:%SZ}" for name, time in found.order.stamps.items()},
        checks=found.checks,
        remarks=found.remarks,
        exposure=found.exposure,
        scored=scored,
    )


def _against(what: str) -> RecordError:
    return RecordError(
        what, exhibit="the exposure ledger", advice="ask for the ledger as it stood when the batch was opened"
    )
