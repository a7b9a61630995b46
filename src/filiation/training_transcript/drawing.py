"""Which segments are run again: drawn when the transcript was closed, from randomness that nobody had when it was written.

1. The seed is HMAC-SHA256 under the digest of the closing entry of the randomness, as a case draws its own.
2. The randomness is that of the beacon which the closing entry announced, public a minute or more after the last time-stamp over it
   (`case.commitments.MARGIN`); or 32 bytes of the verifier's own, chosen after the transcript was handed over. The owner never chooses.
3. Segments are ranked by HMAC-SHA256 under the seed of their numbers; the first m are taken.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

from filiation.case import drawing
from filiation.case.beacons import read_beacon
from filiation.case.commitments import late_enough
from filiation.case.records import Announcement
from filiation.errors import RecordError, UsageError
from filiation.training_transcript.records import Basis, Drawn


def from_beacon(
    run: str,
    head: str,
    segments: int,
    executed: int,
    announcement: Announcement,
    beacon: bytes,
    last_stamp: datetime,
    certificate: bytes = b"",
) -> Drawn:
    """The draw from the announced beacon. Raises RecordError where it does not hold or was public too early."""
    pulse = read_beacon(beacon, announcement, certificate)
    if not late_enough(pulse.time, [last_stamp]):
        raise RecordError(
            f"the beacon became public at {pulse.time:%Y-%m-%dT%H:%M:%SZ}, and the transcript was stamped at "
            f"{last_stamp:%Y-%m-%dT%H:%M:%SZ}: the owner could know which segments would be drawn",
            exhibit="the beacon",
            advice="the verifier may draw with a seed of their own instead",
        )
    basis: Basis = "drand" if announcement.basis == "drand" else "nist"
    return _drawn(run, head, segments, executed, basis, pulse.randomness, pulse.described)


def from_verifier(run: str, head: str, segments: int, executed: int, randomness: bytes) -> Drawn:
    """The draw from 32 bytes of the verifier's own. Raises UsageError for fewer."""
    if len(randomness) != 32:
        raise UsageError(f"the verifier's seed has {len(randomness)} bytes", advice="draw 32 random bytes")
    return _drawn(run, head, segments, executed, "verifier", randomness, "the verifier's own seed")


def _drawn(run: str, head: str, segments: int, executed: int, basis: Basis, randomness: bytes, described: str) -> Drawn:
    if not 1 <= executed <= segments:
        raise UsageError(
            f"{executed} segments cannot be drawn from {segments}", advice="draw at least one and at most all"
        )
    seed = drawing.seed(head, randomness)
    key = bytes.fromhex(seed)
    ranked = sorted(range(segments), key=lambda number: hmac.digest(key, f"segment|{number}".encode(), hashlib.sha256))
    return Drawn(
        run=run,
        head=head,
        basis=basis,
        randomness=randomness.hex(),
        seed=seed,
        segments=tuple(sorted(ranked[:executed])),
        described=described,
    )
