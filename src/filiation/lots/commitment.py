"""The commitment of a lot: one signed statement over a subject and a secret, made before the beacon speaks that decides with the secret."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from filiation.case.commitments import (
    Authority,
    check_announcement,
    key_named_in,
    read_signed,
    sha256_of,
    signed,
)
from filiation.case.records import Announcement, PublicKey
from filiation.case.secret_keys import check_key
from filiation.case.secret_keys import commitment as commitment_of_key
from filiation.case.signing import Signer
from filiation.errors import RecordError, UsageError
from filiation.evidence import Record
from filiation.lots.subject import MOST_ITEMS, Purpose, items_in

LOT_TYPE = "urn:filiation:lot:v1"
SUBJECT = "subject"
_DIGEST = re.compile("[0-9a-f]{64}")


class Commitment(Record, frozen=True, kw_only=True):
    """What the signed statement says. `number`: how many lots the owner has committed to, this one included.

    `earlier`: the SHA-256 of the files of those before, as far as they are told. `items`: documents, pairs, or 1 for settings.
    """

    owner: str
    made: str
    number: int
    earlier: tuple[str, ...]
    purpose: Purpose
    subject_sha256: str
    items: int
    secret_sha256: str
    authorities: tuple[Authority, ...]
    announcement: Announcement
    key: PublicKey
    version: int = 1


def committed(
    subject: bytes,
    purpose: Purpose,
    secret: bytes,
    announcement: Announcement,
    *,
    owner: str,
    now: datetime,
    signer: Signer,
    number: int = 1,
    earlier: Sequence[str] = (),
    authorities: tuple[Authority, ...] = (),
) -> Commitment:
    """The commitment over subject and secret. Raises MalformedSource or UsageError where it could not be held to."""
    check_key(secret)
    commitment = Commitment(
        owner=owner,
        made=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        number=number,
        earlier=tuple(earlier),
        purpose=purpose,
        subject_sha256=sha256_of(subject),
        items=items_in(purpose, subject),
        secret_sha256=commitment_of_key(secret),
        authorities=authorities,
        announcement=announcement,
        key=signer.key,
    )
    check_commitment(commitment)
    return commitment


def commitment_file(commitment: Commitment, signer: Signer) -> bytes:
    """The bytes of the commitment's file: what authorities stamp."""
    return signed(LOT_TYPE, SUBJECT, commitment.subject_sha256, commitment, signer)


def read_commitment(data: bytes, keyid: str = "") -> Commitment:
    """The commitment in a file, its signature and form checked; `keyid` holds it against a fingerprint told by another way."""
    commitment, subject = read_signed(data, key_named_in(data, keyid), LOT_TYPE, SUBJECT, Commitment)
    if subject != commitment.subject_sha256:
        raise _refused("the statement is about another subject than the one it names")
    try:
        check_commitment(commitment)
    except UsageError as error:
        raise _refused(error.message) from error
    return commitment


def check_commitment(commitment: Commitment) -> None:
    """RecordError where what a commitment says contradicts itself, UsageError where it announces no public beacon."""
    if commitment.version != 1:
        raise _refused(f"version {commitment.version} is not known")
    if not commitment.number > len(commitment.earlier):
        raise _refused("it names more earlier lots than there were")
    if not 1 <= commitment.items <= MOST_ITEMS or (commitment.purpose == "watermark" and commitment.items != 1):
        raise _refused("the number of items is out of range")
    digests = (commitment.subject_sha256, commitment.secret_sha256, *commitment.earlier)
    if not all(map(_DIGEST.fullmatch, digests)):
        raise _refused("a digest is not 64 hexadecimal digits")
    check_announcement(commitment)


def _refused(what: str) -> RecordError:
    return RecordError(
        what, exhibit="the commitment", advice="the file was altered; ask for the one handed over before"
    )
