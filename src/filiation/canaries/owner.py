"""What the owner of canaries does, from the first file to the opened batch. One folder holds everything but the keys.

canaries.jsonl                canaries and decoys: secret until their batch is opened, readable by the owner only
card.json                     figures about them
commitment.json               the signed statement; commitment.NAME.tsr its stamps, authority.NAME.pem the root certificates
beacon.json, beacon.pem       the beacon, once it has spoken, and the certificate of NIST
ledger.jsonl                  what was exposed to whom, and what was opened
opened-000/                   the bundle of an opened batch, to be handed to a verifier
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from filiation.canaries import exposure, labels, opening
from filiation.canaries.canary import Canary, read_canaries, written
from filiation.canaries.card import Card, card_of
from filiation.canaries.commitment import Commitment, commitment_file, committed, read_commitment
from filiation.canaries.planting import Planted, Slots, refuse_decoys
from filiation.case.commitments import (
    Authority,
    Order,
    Trust,
    check_named,
    check_order,
    named_authorities,
    sha256_of,
    stamps_of,
)
from filiation.case.files import make_folder, read_file, write_file
from filiation.case.records import Announcement
from filiation.case.signing import Signer
from filiation.case.time_stamps import Stamper
from filiation.errors import RecordError, UsageError

CANARIES_FILE = "canaries.jsonl"
CARD_FILE = "card.json"


@dataclass(frozen=True)
class Holding:
    """The owner's folder."""

    folder: Path

    def at(self, name: str) -> Path:
        return self.folder / name

    def canaries(self) -> tuple[Canary, ...]:
        return read_canaries(self.at(CANARIES_FILE))

    def commitment(self) -> tuple[Commitment, str]:
        """The commitment and the SHA-256 of its file. Raises RecordError, or UsageError before 'commit'."""
        if not self.at(opening.COMMITMENT_FILE).exists():
            raise UsageError(
                "nothing is committed to yet", exhibit=str(self.folder), advice="run 'filiation canary commit' first"
            )
        data = read_file(self.at(opening.COMMITMENT_FILE))
        return read_commitment(data), sha256_of(data)

    def ledger(self) -> bytes:
        path = self.at(opening.LEDGER_FILE)
        return read_file(path) if path.exists() else b""

    def order(self) -> Order:
        """Stamps and beacon, verified again from the folder's own files."""
        return _order(self, read_file(self.at(opening.BEACON_FILE)), _perhaps(self.at(opening.BEACON_CERTIFICATE_FILE)))

    def beacon(self) -> bytes:
        """The verified randomness. Raises UsageError before 'label'."""
        if not self.at(opening.BEACON_FILE).exists():
            raise UsageError(
                "there are no labels yet", exhibit=str(self.folder), advice="run 'filiation canary label' first"
            )
        return self.order().pulse.randomness


# --------------------------------------------------------------------------------------------------------------- prepare


def prepare(folder: Path, canaries: Sequence[Canary], source: str) -> Card:
    """Write canaries and their card into a new folder that only its owner may enter. Raises UsageError where there are some already."""
    holding = Holding(folder)
    make_folder(folder)
    if holding.at(CANARIES_FILE).exists():
        raise UsageError(f"{folder} holds canaries already", advice="name another folder")
    os.chmod(folder, 0o700)
    card = card_of(canaries, source)
    write_file(holding.at(CARD_FILE), msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")
    _write_secret(holding.at(CANARIES_FILE), written(canaries))
    return card


def _write_secret(path: Path, data: bytes) -> None:
    write_file(path, data)
    os.chmod(path, 0o600)


# ---------------------------------------------------------------------------------------------------------------- commit


def commit(
    holding: Holding,
    key: bytes,
    announcement: Announcement,
    *,
    claimant: str,
    signer: Signer,
    now: datetime,
    stampers: Sequence[tuple[Stamper, bytes]] = (),
    certificates: Mapping[str, bytes] | None = None,
    beacon_certificate: bytes = b"",
    cohorts: int = 1,
    number: int = 1,
    earlier: tuple[str, ...] = (),
) -> tuple[Commitment, tuple[str, ...]]:
    """Commit, have it stamped, and write it down; the second value says why an authority gave no stamp.

    `stampers`: who is asked, each with its root certificate (PEM); `certificates`: those of authorities by name whose stamps will be
    brought to `label` as files. Raises UsageError where there is a commitment already, or where the announced beacon would not be later
    than the stamps: then nothing is written.
    """
    if holding.at(opening.COMMITMENT_FILE).exists():
        raise UsageError(
            f"{holding.folder} is committed to already", advice="prepare other canaries for another commitment"
        )
    brought = certificates or {}
    later = tuple(Authority(name=name, certificate=sha256_of(pem)) for name, pem in brought.items())
    commitment = committed(
        holding.canaries(),
        key,
        announcement,
        claimant=claimant,
        now=now,
        signer=signer,
        cohorts=cohorts,
        number=number,
        earlier=earlier,
        authorities=(*named_authorities(stampers), *later),
    )
    data = commitment_file(commitment, signer)
    stamps, missing = stamps_of(data, commitment, stampers, now)
    asked = {stamper.authority.name: certificate for stamper, certificate in stampers}
    _write_commitment(holding, data, stamps, {**asked, **brought}, beacon_certificate)
    return commitment, missing


def _write_commitment(
    holding: Holding,
    data: bytes,
    stamps: Mapping[str, bytes],
    certificates: Mapping[str, bytes],
    beacon_certificate: bytes,
) -> None:
    for name, certificate in certificates.items():
        write_file(holding.at(opening.certificate_name(name)), certificate)
    for name, stamp in stamps.items():
        write_file(holding.at(opening.stamp_name(name)), stamp)
    if beacon_certificate:
        write_file(holding.at(opening.BEACON_CERTIFICATE_FILE), beacon_certificate)
    write_file(holding.at(opening.COMMITMENT_FILE), data)


# ----------------------------------------------------------------------------------------------------------------- label


def label(
    holding: Holding,
    beacon: bytes,
    *,
    signer: Signer,
    now: datetime,
    certificate: bytes = b"",
    stamps: Mapping[str, bytes] | None = None,
) -> Order:
    """Take the announced beacon in, once it is verified and later than every stamp. Raises RecordError where it is not.

    `stamps`: those that were brought as files, by authority. Raises UsageError for one that the commitment does not name, or of which
    another stamp is there.
    """
    commitment, sha256 = holding.commitment()
    _check_signer(commitment, signer)
    brought = stamps or {}
    _check_brought(holding, commitment, brought)
    if holding.at(opening.BEACON_FILE).exists():
        raise UsageError("there are labels already", exhibit=str(holding.folder), advice="a commitment has one beacon")
    certificate = certificate or _perhaps(holding.at(opening.BEACON_CERTIFICATE_FILE))
    order = _order(holding, beacon, certificate, brought)
    for name, stamp in brought.items():
        write_file(holding.at(opening.stamp_name(name)), stamp)
    if certificate:
        write_file(holding.at(opening.BEACON_CERTIFICATE_FILE), certificate)
    body = exposure.Labelled(beacon=sha256_of(beacon))
    exposure.append(holding.at(opening.LEDGER_FILE), sha256, body, signer=signer, now=now)
    write_file(holding.at(opening.BEACON_FILE), beacon)
    return order


def _check_brought(holding: Holding, commitment: Commitment, stamps: Mapping[str, bytes]) -> None:
    check_named(commitment, stamps)
    for name, stamp in stamps.items():
        if _perhaps(holding.at(opening.stamp_name(name))) not in (b"", stamp):
            raise UsageError(
                f"a stamp of {name} is there already, and is another one",
                exhibit=str(holding.folder),
                advice="a commitment has one stamp of each authority",
            )


def _order(holding: Holding, beacon: bytes, certificate: bytes, brought: Mapping[str, bytes] | None = None) -> Order:
    data = read_file(holding.at(opening.COMMITMENT_FILE))
    commitment = read_commitment(data)
    names = [authority.name for authority in commitment.authorities]
    stamps = {name: _perhaps(holding.at(opening.stamp_name(name))) for name in names} | dict(brought or {})
    return check_order(
        data,
        commitment,
        {name: stamp for name, stamp in stamps.items() if stamp},
        {name: _perhaps(holding.at(opening.certificate_name(name))) for name in names},
        beacon,
        certificate,
        Trust(copies=True),
    )


def _perhaps(path: Path) -> bytes:
    return read_file(path) if path.exists() else b""


def _check_signer(commitment: Commitment, signer: Signer) -> None:
    if commitment.key.keyid != signer.key.keyid:
        raise UsageError(
            f"the commitment is signed under {commitment.key.keyid}, this key is {signer.key.keyid}",
            advice="give the signing key that committed",
        )


def slots(holding: Holding, key: bytes) -> Slots:
    """What decides which option an account is served. Raises RecordError where the key is not the committed one."""
    commitment, _ = holding.commitment()
    check_committed_key(commitment, key)
    return Slots(key=key, beacon=holding.beacon(), cohorts=commitment.cohorts)


def check_committed_key(commitment: Commitment, key: bytes) -> None:
    if labels.commitment(key) != commitment.key_sha256:
        raise RecordError(
            "this is not the key that was committed to", exhibit="the key", advice="give the file that 'commit' made"
        )


# ----------------------------------------------------------------------------------------------------------------- plant


def to_plant(holding: Holding, batches: Sequence[int], cohort: int) -> tuple[Canary, ...]:
    """The canaries of some batches, decoys left out. Raises UsageError for a batch that is open, or a cohort that there is not."""
    commitment, sha256 = holding.commitment()
    entries = exposure.read_ledger(holding.ledger(), sha256, commitment.key)
    known = {plan.batch for plan in commitment.batches}
    for batch in batches:
        if batch not in known or exposure.opened_batch(entries, batch):
            raise UsageError(
                f"batch {batch} was opened, or there is none", advice=f"there are batches 0 to {len(known) - 1}"
            )
    if not 0 <= cohort < commitment.cohorts:
        raise UsageError(f"cohort {cohort} was not committed to", advice=f"give one of 0 to {commitment.cohorts - 1}")
    return tuple(canary for canary in holding.canaries() if canary.batch in batches and not canary.decoy)


def record_exposure(
    holding: Holding,
    planted: Planted,
    *,
    cohort: int,
    channel: exposure.Channel,
    recipient: str,
    since: datetime,
    until: datetime,
    signer: Signer,
    now: datetime,
    sha256: str = "",
) -> None:
    """Write into the ledger what was exposed to whom, one entry for each batch. Do it before the text leaves the house."""
    commitment, about = holding.commitment()
    _check_signer(commitment, signer)
    if not recipient:
        raise UsageError("nobody is named to whom this is exposed", advice="give --recipient, such as a training run")
    by_index = {str(canary.index): canary for canary in holding.canaries()}
    refuse_decoys([by_index[index] for index in planted.exposures])
    by_batch: dict[int, dict[str, int]] = {}
    for index, times in planted.exposures.items():
        by_batch.setdefault(by_index[index].batch, {})[index] = times
    bodies = [
        exposure.Exposed(
            batch=batch,
            cohort=cohort,
            channel=channel,
            recipient=recipient,
            exposures=exposures,
            since=exposure.time_text(since),
            until=exposure.time_text(until),
            sha256=sha256,
        )
        for batch, exposures in sorted(by_batch.items())
    ]
    exposure.append(holding.at(opening.LEDGER_FILE), about, *bodies, signer=signer, now=now)


def record_served(
    holding: Holding,
    serving: Slots,
    account: str,
    served: Mapping[int, int],
    *,
    since: datetime,
    until: datetime,
    signer: Signer,
    now: datetime,
) -> None:
    """Write into the ledger how often an account was served the labelled option of each canary, by index.

    The account stands there as a keyed hash, which its provider can tell again and nobody else can.
    """
    name = account.encode("utf-8", "surrogatepass")
    hashed = hashlib.sha256(labels.derived(serving.key, "recipients") + name).hexdigest()
    record_exposure(
        holding,
        Planted((), {str(index): times for index, times in served.items()}),
        cohort=serving.cohort_of(account),
        channel="answers",
        recipient=f"account {hashed[:32]}",
        since=since,
        until=until,
        signer=signer,
        now=now,
    )


# ---------------------------------------------------------------------------------------------------------------- reveal


def reveal(
    holding: Holding, key: bytes, request: opening.Request, *, signer: Signer, now: datetime
) -> tuple[opening.Bundle, Path]:
    """Open a batch to the request: request and opening go into the ledger, then the bundle is written.

    A batch is opened once. The same request again writes the same bundle again (after a crash, say); another one is refused.
    Raises RecordError where the batch is open, or where canaries or key are not those committed to.
    """
    commitment, about = holding.commitment()
    _check_signer(commitment, signer)
    check_committed_key(commitment, key)
    holding.beacon()
    opening.check_request(request, commitment)
    requested = opening.request_file(request, signer)
    opened = opening.opening_file(opening.open_batch(holding.canaries(), key, commitment, about, request.batch))
    body = exposure.BatchOpened(batch=request.batch, request=sha256_of(requested), opening=sha256_of(opened))
    before = exposure.opened_batch(exposure.read_ledger(holding.ledger(), about, commitment.key), request.batch)
    if before is None:
        asked = exposure.Requested(batch=request.batch, request=sha256_of(requested))
        exposure.append(holding.at(opening.LEDGER_FILE), about, asked, body, signer=signer, now=now)
    elif before != body:
        raise RecordError(
            f"batch {request.batch} was opened before, to another request",
            exhibit=str(holding.folder),
            advice="hand the bundle of that opening on, or open another batch",
        )
    bundle = _bundle(holding, commitment, requested, opened)
    folder = holding.at(f"opened-{request.batch:03d}")
    opening.write_bundle(bundle, folder)
    return bundle, folder


def _bundle(holding: Holding, commitment: Commitment, requested: bytes, opened: bytes) -> opening.Bundle:
    names = [authority.name for authority in commitment.authorities]
    stamps = {name: _perhaps(holding.at(opening.stamp_name(name))) for name in names}
    return opening.Bundle(
        commitment=read_file(holding.at(opening.COMMITMENT_FILE)),
        beacon=read_file(holding.at(opening.BEACON_FILE)),
        ledger=holding.ledger(),
        request=requested,
        opening=opened,
        beacon_certificate=_perhaps(holding.at(opening.BEACON_CERTIFICATE_FILE)),
        stamps={name: stamp for name, stamp in stamps.items() if stamp},
        certificates={name: _perhaps(holding.at(opening.certificate_name(name))) for name in names},
    )
