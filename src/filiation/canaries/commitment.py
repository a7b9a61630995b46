"""The commitment: one signed statement, stamped by authorities, over everything that could be chosen afterwards.

What is fixed before the beacon speaks: every canary and decoy, which of the two each one is, in which batch, the keys, the
number of cohorts, and the number of commitments that the claimant has made. A leaf is the canonical JSON of its salt and its
content. The leaves stand in this order: the canaries and decoys by index, then the commitment of each batch's key by batch.

The order in time is what keeps the chance at 1/M. Somebody who commits late knows the suspect's answers and can try keys until the labels
suit; with the beacon in every label, the keys that were committed before are the only ones there are. So:

1. the statement announces a beacon that is still to come;
2. authorities stamp the bytes of the statement's file;
3. labels count only if the beacon became public later than every stamp, by at least `MARGIN`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from filiation.canaries import labels
from filiation.canaries.canary import Canary
from filiation.case.beacons import CHAINS, Pulse, read_beacon
from filiation.case.merkle import Tree
from filiation.case.records import Announcement, PublicKey
from filiation.case.signing import STATEMENT_TYPE, Signer, envelope, opened
from filiation.case.time_stamps import check_stamp
from filiation.errors import RecordError, UsageError
from filiation.evidence import Record, canonical, digest, json_mapping

COMMITMENT_TYPE = "urn:filiation:canaries:v1"
MARGIN = timedelta(seconds=60)
"""How much later than the stamps a beacon has to be: authorities' clocks are not the beacon's."""

MOST_COHORTS = 4_096
MOST_LEAVES = 1 << 20
AUTHORITIES = 2
"""So many authorities should have stamped: one alone could be asked, or made, to set its clock back."""

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_Told = TypeVar("_Told", bound=Record)


class BatchPlan(Record, frozen=True, kw_only=True):
    """What one batch holds. Indices of its canaries and decoys are `first` to `first + canaries + decoys - 1`."""

    batch: int
    first: int
    canaries: int
    decoys: int


class Authority(Record, frozen=True, kw_only=True):
    """An authority that is asked for a stamp. `certificate`: SHA-256 of its root certificate (PEM)."""

    name: str
    certificate: str


class Commitment(Record, frozen=True, kw_only=True):
    """What the signed statement says. `number`: how many commitments of canaries the claimant has made, this one included.

    `earlier`: the SHA-256 of the files of those before, as far as they are told. `cohorts`: how many sets of labels there are.
    """

    claimant: str
    made: str
    number: int
    earlier: tuple[str, ...]
    cohorts: int
    root: str
    leaves: int
    batches: tuple[BatchPlan, ...]
    key_sha256: str
    authorities: tuple[Authority, ...]
    announcement: Announcement
    key: PublicKey
    version: int = 1


# ---------------------------------------------------------------------------------------------------------------- leaves


class CanaryLeaf(Record, frozen=True, kw_only=True, tag_field="leaf", tag="canary"):
    salt: str
    canary: Canary


class KeyLeaf(Record, frozen=True, kw_only=True, tag_field="leaf", tag="key"):
    """The commitment of one batch's key."""

    salt: str
    batch: int
    key_sha256: str


Leaf = CanaryLeaf | KeyLeaf


def leaves(canaries: Sequence[Canary], key: bytes) -> tuple[Leaf, ...]:
    """All leaves in their order."""
    batches = sorted({canary.batch for canary in canaries})
    made: list[Leaf] = [CanaryLeaf(salt=labels.salt(key, canary.index).hex(), canary=canary) for canary in canaries]
    for place, batch in enumerate(batches, start=len(canaries)):
        committed = labels.commitment(labels.batch_key(key, batch))
        made.append(KeyLeaf(salt=labels.salt(key, place).hex(), batch=batch, key_sha256=committed))
    return tuple(made)


def tree_over(made: Sequence[Leaf]) -> Tree:
    return Tree([canonical(leaf) for leaf in made])


def batches_of(canaries: Sequence[Canary]) -> tuple[BatchPlan, ...]:
    """The plan of the batches. Raises UsageError unless every batch is one run of indices."""
    plans = []
    for batch in sorted({canary.batch for canary in canaries}):
        held = [canary for canary in canaries if canary.batch == batch]
        decoys = sum(canary.decoy for canary in held)
        plans.append(BatchPlan(batch=batch, first=held[0].index, canaries=len(held) - decoys, decoys=decoys))
    _check_batches(tuple(plans), len(canaries))
    return tuple(plans)


def _check_batches(plans: tuple[BatchPlan, ...], indices: int) -> None:
    expected = 0
    for number, plan in enumerate(plans):
        if (plan.batch, plan.first) != (number, expected) or plan.canaries < 1 or plan.canaries != plan.decoys:
            raise _refused("the batches do not follow one another, or do not have one decoy for every canary")
        expected += plan.canaries + plan.decoys
    if expected != indices or not plans:
        raise _refused("the batches do not add up to the canaries")


# ------------------------------------------------------------------------------------------------------------- statements


def statement(kind: str, name: str, sha256: str, told: Record) -> dict[str, Any]:
    """An in-toto Statement about one thing by digest."""
    subject = [{"name": name, "digest": {"sha256": sha256}}]
    return json_mapping(
        {"_type": STATEMENT_TYPE, "subject": subject, "predicateType": kind, "predicate": msgspec.to_builtins(told)}
    )


def signed(kind: str, name: str, sha256: str, told: Record, signer: Signer) -> bytes:
    """A signed envelope around such a statement: one line of canonical JSON."""
    return envelope(statement(kind, name, sha256, told), signer)


def read_signed(data: bytes, key: PublicKey, kind: str, name: str, told: type[_Told]) -> tuple[_Told, str]:
    """What a signed statement says, and of which digest; RecordError unless it is, byte for byte, what this module writes."""
    found = opened(data, key)
    try:
        sha256 = str(found["subject"][0]["digest"]["sha256"])
        record = msgspec.convert(found.get("predicate"), told)
        same = canonical(statement(kind, name, sha256, record)) == canonical(found)
    except (msgspec.ValidationError, KeyError, IndexError, TypeError, ValueError) as error:
        raise _refused(f"the statement does not say what it should: {str(error)[:200]}") from error
    if not same:
        raise _refused(f"the statement is not a whole one of the type {kind!r}")
    return record, sha256


# ------------------------------------------------------------------------------------------------------------- committing


def committed(
    canaries: Sequence[Canary],
    key: bytes,
    announcement: Announcement,
    *,
    claimant: str,
    now: datetime,
    signer: Signer,
    cohorts: int = 1,
    number: int = 1,
    earlier: tuple[str, ...] = (),
    authorities: tuple[Authority, ...] = (),
) -> Commitment:
    """The commitment over canaries and key. Raises UsageError where it could not be held to."""
    tree = tree_over(leaves(canaries, key))
    commitment = Commitment(
        claimant=claimant,
        made=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        number=number,
        earlier=earlier,
        cohorts=cohorts,
        root=tree.root.hex(),
        leaves=tree.size,
        batches=batches_of(canaries),
        key_sha256=labels.commitment(key),
        authorities=authorities,
        announcement=announcement,
        key=signer.key,
    )
    check_commitment(commitment)
    return commitment


def commitment_file(commitment: Commitment, signer: Signer) -> bytes:
    """The bytes of the commitment's file: what authorities stamp."""
    return signed(COMMITMENT_TYPE, "leaves", commitment.root, commitment, signer)


def read_commitment(data: bytes, keyid: str = "") -> Commitment:
    """The commitment in a file, its signature and form checked; `keyid` holds it against a fingerprint told by another way."""
    told = _unverified(data)
    if keyid and told.key.keyid != keyid:
        raise _refused(f"it is signed under the key {told.key.keyid}, not under {keyid}")
    commitment, root = read_signed(data, told.key, COMMITMENT_TYPE, "leaves", Commitment)
    if root != commitment.root:
        raise _refused("the statement is about another root than the one it names")
    check_commitment(commitment)
    return commitment


class _Predicate(msgspec.Struct, frozen=True):
    predicate: Commitment


class _Payload(msgspec.Struct, frozen=True):
    payload: bytes  # base64


def _unverified(data: bytes) -> Commitment:
    """The commitment as it stands, for the key under which the signature is then checked."""
    try:
        return msgspec.json.decode(msgspec.json.decode(data, type=_Payload).payload, type=_Predicate).predicate
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise _refused(f"the file is no commitment: {str(error)[:200]}") from error


def check_commitment(commitment: Commitment) -> None:
    """RecordError where the figures of a commitment contradict one another."""
    if commitment.version != 1:
        raise _refused(f"version {commitment.version} is not known")
    if not (1 <= commitment.cohorts <= MOST_COHORTS and commitment.number > len(commitment.earlier) >= 0):
        raise _refused("the number of cohorts or of commitments is out of range")
    if not len(commitment.batches) < commitment.leaves <= MOST_LEAVES:
        raise _refused("the number of leaves is out of range")
    _check_batches(commitment.batches, commitment.leaves - len(commitment.batches))
    if commitment.announcement.basis == "claimant":
        raise UsageError(
            "a commitment needs a public beacon: without one, keys can be tried until the labels suit",
            advice="announce a round of drand or a pulse of NIST",
        )
    names = [authority.name for authority in commitment.authorities]
    if len(set(names)) != len(names) or not all(map(_NAME.fullmatch, names)):
        raise _refused("an authority is named twice, or by a name that no file can have")


# -------------------------------------------------------------------------------------------------------- order in time


@dataclass(frozen=True)
class Trust:
    """What a verifier has from somewhere else than the claimant, who could run an authority or a beacon of their own.

    `authorities`: root certificates (PEM) of time-stamping authorities; `beacon_certificate`: PEM, of NIST; `chains`: hashes of drand
    chains besides those known to this version; `keyid`: the fingerprint of the claimant's key. `copies`: take the claimant's
    own copies where nothing is given, and say so.
    """

    authorities: tuple[bytes, ...] = ()
    beacon_certificate: bytes = b""
    chains: tuple[str, ...] = ()
    keyid: str = ""
    copies: bool = False


@dataclass(frozen=True)
class Order:
    """The order in time that was shown: the stamps by authority, the beacon, and what it rests on besides."""

    stamps: dict[str, datetime]
    pulse: Pulse
    remarks: tuple[str, ...]


def announced_time(announcement: Announcement) -> datetime | None:
    """When the announced beacon becomes public; None where only the number of a NIST pulse is announced."""
    if announcement.basis == "drand":
        return datetime.fromtimestamp(announcement.genesis + (announcement.round - 1) * announcement.period, UTC)
    return datetime.fromisoformat(announcement.time) if announcement.time else None


def check_stamps(
    data: bytes, commitment: Commitment, stamps: Mapping[str, bytes], certificates: Mapping[str, bytes], trust: Trust
) -> dict[str, datetime]:
    """When each authority saw the commitment's file. RecordError where a stamp does not hold, or there is none.

    `stamps` and `certificates` by the name of the authority; a certificate has to be the one that the commitment names, and one that the
    verifier trusts where it names any, however the two files are written.
    """
    trusted = frozenset[str]().union(*map(fingerprints, trust.authorities))
    found: dict[str, datetime] = {}
    for authority in commitment.authorities:
        if authority.name not in stamps:
            continue
        certificate = certificates.get(authority.name, b"")
        if hashlib.sha256(certificate).hexdigest() != authority.certificate:
            raise _refused(f"the root certificate of {authority.name} is not the one that the commitment names")
        if not trusted or fingerprints(certificate) <= trusted:
            found[authority.name] = check_stamp(stamps[authority.name], data, certificate)
    if not found:
        raise RecordError(
            "no authority that counts has stamped the commitment, so nothing shows that it was made before the beacon",
            exhibit="the commitment",
            advice="commit again with two time-stamping authorities; labels of an unstamped commitment count for nothing",
        )
    return found


def check_order(
    data: bytes,
    commitment: Commitment,
    stamps: Mapping[str, bytes],
    certificates: Mapping[str, bytes],
    beacon: bytes,
    beacon_certificate: bytes = b"",
    trust: Trust | None = None,
) -> Order:
    """Verify stamps and beacon, and that the beacon became public after the stamps. Raises RecordError."""
    trust = trust or Trust()
    _check_trust(commitment.announcement, trust)
    times = check_stamps(data, commitment, stamps, certificates, trust)
    announcement = commitment.announcement
    pulse = read_beacon(beacon, announcement, _certificate_of_beacon(beacon_certificate, trust))
    latest = max(times.values())
    if pulse.time < latest + MARGIN:
        raise RecordError(
            f"the beacon became public at {pulse.time:%Y-%m-%dT%H:%M:%SZ}, and the commitment was stamped at "
            f"{latest:%Y-%m-%dT%H:%M:%SZ}: whoever committed could know the labels of every key and choose among keys",
            exhibit="the beacon",
            advice=f"only a beacon at least {MARGIN.seconds} s later than the last stamp gives labels that count",
        )
    return Order(times, pulse, _remarks(commitment, times, trust))


def fingerprints(certificates: bytes) -> frozenset[str]:
    """SHA-256 of the DER of each certificate in a PEM file: the same however the file is written. RecordError where there is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        found = x509.load_pem_x509_certificates(certificates)
    except ValueError as error:
        raise RecordError(
            "a file that should hold a certificate holds none in PEM",
            exhibit="the commitment",
            advice="give the certificate as its owner publishes it",
        ) from error
    return frozenset(hashlib.sha256(each.public_bytes(Encoding.DER)).hexdigest() for each in found)


def _certificate_of_beacon(given: bytes, trust: Trust) -> bytes:
    """The claimant's file where it holds the certificate that the verifier trusts: the announcement names its very bytes."""
    if not trust.beacon_certificate:
        return given
    same = given and fingerprints(given) == fingerprints(trust.beacon_certificate)
    return given if same else trust.beacon_certificate


def _check_trust(announcement: Announcement, trust: Trust) -> None:
    """RecordError where the claimant alone would vouch for the order in time: then it shows nothing."""
    if trust.copies:
        return
    lacking = ""
    if not trust.authorities:
        lacking = "no root certificate of a time-stamping authority was given by anybody but the claimant"
    elif announcement.basis == "nist" and not trust.beacon_certificate:
        lacking = "no certificate of the beacon was given by anybody but the claimant"
    elif announcement.basis == "drand" and announcement.chain not in {*CHAINS, *trust.chains}:
        lacking = f"nobody but the claimant knows the beacon's chain {announcement.chain[:80]}"
    if lacking:
        raise RecordError(
            f"{lacking}, and whoever runs an authority or a beacon can choose what it says",
            exhibit="the commitment",
            advice="fetch the certificate from whoever it belongs to and give it; or accept the claimant's copies, which is then said",
        )


def _remarks(commitment: Commitment, times: Mapping[str, datetime], trust: Trust) -> tuple[str, ...]:
    announcement = commitment.announcement
    remarks = []
    if len(times) < AUTHORITIES:
        remarks.append(
            f"only {len(times)} authority stamped the commitment; two that know nothing of each other are asked for"
        )
    if not trust.authorities:
        remarks.append(
            "the authorities' root certificates are the claimant's own copies: compare them with what the authorities publish"
        )
    if announcement.basis == "nist" and not trust.beacon_certificate:
        remarks.append("the beacon's certificate is the claimant's own copy: compare it with what the beacon publishes")
    if announcement.basis == "drand" and announcement.chain not in {*CHAINS, *trust.chains}:
        remarks.append(
            "this version knows nothing of the beacon's chain: whoever holds its key could know the randomness before"
        )
    if not trust.keyid:
        remarks.append(
            f"the signing key is the one that the commitment names: compare its fingerprint {commitment.key.keyid}"
        )
    return tuple(remarks)


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of_canaries(canaries: Sequence[Canary]) -> str:
    """SHA-256 over the canonical JSON of all canaries, for the card."""
    return digest(list(canaries))


def _refused(what: str) -> RecordError:
    return RecordError(
        what, exhibit="the commitment", advice="the file was altered; ask for the one handed over before"
    )
