"""Signed heads of a ledger with their time-stamps, as cases and training transcripts write them. No files are touched here.

An authority that gives no good stamp is left out, and the checkpoint says why: a checkpoint never waits for a network.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from filiation.case import signing
from filiation.case.records import CheckpointPredicate, ReceiptPredicate
from filiation.case.signing import Signer
from filiation.case.time_stamps import Stamper
from filiation.errors import RecordError, SourceNotFound

_FILE = re.compile(r"(\d{6}|[1-9]\d{6,})\.json")


@dataclass(frozen=True)
class Checkpoint:
    """A signed checkpoint: what it says, the head that it signs, and the bytes of its file."""

    predicate: CheckpointPredicate
    head: str
    data: bytes

    @property
    def sequence(self) -> int:
        return self.predicate.sequence


def sequence_of(name: str) -> int | None:
    """Which entry the checkpoint of a file name signs; None where it is no name of a checkpoint."""
    found = _FILE.fullmatch(name)
    return int(found[1]) if found else None


def signed(predicate: CheckpointPredicate, head: str, signer: Signer) -> Checkpoint:
    """The checkpoint that says `predicate` of the entry with the digest `head`."""
    data = signing.envelope(signing.checkpoint_statement(predicate, head), signer)
    return Checkpoint(predicate=predicate, head=head, data=data)


def stamped(
    stampers: Mapping[str, Stamper], sign: Callable[[tuple[str, ...], str], Checkpoint]
) -> tuple[Checkpoint, dict[str, bytes]]:
    """A checkpoint and its stamps: signed anew, and stamped anew, until all authorities that it names have stamped it.

    `sign` makes the checkpoint that names these authorities, in this order, and says why others are missing.
    """
    asked = dict(stampers)
    refusals = [] if asked else ["no authority was asked"]
    while True:
        made = sign(tuple(sorted(asked)), "; ".join(refusals))
        stamps: dict[str, bytes] = {}
        for name in sorted(asked):
            try:
                stamps[name] = asked[name].stamp(made.data)
            except (SourceNotFound, RecordError) as error:
                refusals.append(f"{name}: {error.message}")
                del asked[name]
                break
        else:
            return made, stamps


def files_of(made: Checkpoint, stamps: Mapping[str, bytes], signer: Signer) -> dict[str, bytes]:
    """A checkpoint's files by their names, to be written in this order: its own file is the last, so that it is there with
    everything that belongs to it or not at all."""
    receipt = ReceiptPredicate(
        case=made.predicate.case,
        sequence=made.sequence,
        checkpoint=hashlib.sha256(made.data).hexdigest(),
        stamps={name: hashlib.sha256(stamp).hexdigest() for name, stamp in stamps.items()},
    )
    files = {signing.stamp_name(made.sequence, name): stamp for name, stamp in stamps.items()}
    files[signing.receipt_name(made.sequence)] = signing.envelope(signing.receipt_statement(receipt), signer)
    files[signing.checkpoint_name(made.sequence)] = made.data
    return files
