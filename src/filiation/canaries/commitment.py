"""The commitment: one signed statement, stamped by authorities, over everything that could be chosen afterwards.

What is fixed before the beacon speaks: every canary and decoy, which of the two each one is, in which batch, the keys, the
number of cohorts, and the number of commitments that the claimant has made. A leaf is the canonical JSON of its salt and its
content. The leaves stand in this order: the canaries and decoys by index, then the commitment of each batch's key by batch.

The order in time is what keeps the chance at 1/M. Somebody who commits late knows the suspect's answers and can try keys until the labels
suit; `case.commitments` sees to it that labels count only if the beacon became public after every stamp.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime

from filiation.canaries import labels
from filiation.canaries.canary import Canary
from filiation.case.commitments import Authority, check_announcement, key_named_in, read_signed, signed
from filiation.case.merkle import Tree
from filiation.case.records import Announcement, PublicKey
from filiation.case.signing import Signer
from filiation.errors import RecordError
from filiation.evidence import Record, canonical, digest

COMMITMENT_TYPE = "urn:filiation:canaries:v1"
MOST_COHORTS = 4_096
MOST_LEAVES = 1 << 20
MOST_LABELS = 1 << 22
"""Labels of one batch in all cohorts: a verifier computes them all, and those of nineteen placebo keys at least."""


class BatchPlan(Record, frozen=True, kw_only=True):
    """What one batch holds. Indices of its canaries and decoys are `first` to `first + canaries + decoys - 1`."""

    batch: int
    first: int
    canaries: int
    decoys: int


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
    """The plan of the batches. Raises RecordError unless every batch is one run of indices."""
    plans = []
    for batch, run in itertools.groupby(canaries, key=lambda canary: canary.batch):
        held = tuple(run)
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
    commitment, root = read_signed(data, key_named_in(data, keyid), COMMITMENT_TYPE, "leaves", Commitment)
    if root != commitment.root:
        raise _refused("the statement is about another root than the one it names")
    check_commitment(commitment)
    return commitment


def check_commitment(commitment: Commitment) -> None:
    """RecordError where the figures of a commitment contradict one another."""
    if commitment.version != 1:
        raise _refused(f"version {commitment.version} is not known")
    if not (1 <= commitment.cohorts <= MOST_COHORTS and commitment.number > len(commitment.earlier) >= 0):
        raise _refused("the number of cohorts or of commitments is out of range")
    if not len(commitment.batches) < commitment.leaves <= MOST_LEAVES:
        raise _refused("the number of leaves is out of range")
    _check_batches(commitment.batches, commitment.leaves - len(commitment.batches))
    if commitment.cohorts * max(plan.canaries for plan in commitment.batches) > MOST_LABELS:
        raise _refused(f"a batch has more than {MOST_LABELS} labels in all cohorts together: nobody could verify it")
    check_announcement(commitment)


def digest_of_canaries(canaries: Sequence[Canary]) -> str:
    """SHA-256 over the canonical JSON of all canaries, for the card."""
    return digest(list(canaries))


def _refused(what: str) -> RecordError:
    return RecordError(
        what, exhibit="the commitment", advice="the file was altered; ask for the one handed over before"
    )
