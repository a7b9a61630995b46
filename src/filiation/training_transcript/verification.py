"""The numbered checks that a transcript is held to, before and after segments are run again.

1. The ledger is whole: one chain of canonical entries from the plan to the close, times never going back.
2. The record is complete: every planned state is there, and the closing entry's root is that of the entries.
3. The signatures hold: every checkpoint signs the ledger as it was, its receipt binds its stamps, and the last one signs the close.
4. The time-stamps hold, and at least one covers the close.
5. The last state is the model in dispute.
6. State 0 is drawn again from the plan's seed. Not a sample: a stolen start is looked for in every transcript.
7. The data that was given are the plan's shards.
8. The draw is the one that follows from the closing entry and the randomness.
9. The drawn segments, run again, end in the recorded states.

A check that had nothing to look at says so and has not passed: without a trainer only 1 to 4 can be made. A transcript that passes all was
written before the stamps' times and cannot have been made without training from the seed, up to the chance that the drawn
segments missed what was forged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.case import signing
from filiation.case.commitments import fingerprints
from filiation.case.records import Check, CheckpointPredicate, Failure, Verification
from filiation.case.time_stamps import check_stamp
from filiation.errors import FiliationError, RecordError
from filiation.evidence import digest
from filiation.training_transcript import chain
from filiation.training_transcript.detection import log10_pass_chance
from filiation.training_transcript.execution import NOT_HANDED_OVER, Progress, Trainer, re_execute, segments_of
from filiation.training_transcript.folder import Signed, TranscriptFolder, certificate, checkpoints
from filiation.training_transcript.records import Drawn, Found, Noted, SegmentResult
from filiation.training_transcript.states import State, digests, weights

TITLES = {
    1: "the ledger is whole",
    2: "the record is complete",
    3: "the signatures hold",
    4: "the time-stamps hold",
    5: "the last state is the model in dispute",
    6: "state 0 is drawn again from the seed",
    7: "the data are the plan's",
    8: "the draw follows from the close",
    9: "the drawn segments end in the recorded states",
}
_FORGED = (1, 2, 5)
_SHARES = (0.01, 0.05, 0.1, 0.25)


@dataclass(frozen=True)
class Given:
    """What the verifier brings along, none of it the owner's: root certificates (PEM), the fingerprint of the key, the model in
    dispute, a trainer with the data, what was drawn, and where states are (they may raise a FiliationError).

    `drawn_again` makes the draw anew from the beacon or the verifier's own randomness.
    """

    keyid: str = ""
    authorities: tuple[bytes, ...] = ()
    model: Mapping[str, NDArray[np.generic]] | None = None
    trainer: Trainer | None = None
    drawn: Drawn | None = None
    drawn_again: Callable[[], Drawn] | None = None
    state_at: Callable[[int], State] | None = None
    also: tuple[int, ...] = ()


@dataclass
class _Making:
    """One check while it is made."""

    number: int
    looked_at: int = 0
    note: str = ""
    failures: list[Failure] = field(default_factory=list)

    def fail(self, where: str, what: str, meaning: str) -> None:
        self.failures.append(Failure(where=where, what=what, meaning=meaning))

    @property
    def made(self) -> Check:
        return Check(
            number=self.number,
            title=TITLES[self.number],
            looked_at=self.looked_at,
            failures=tuple(self.failures),
            note=self.note,
        )


@dataclass(frozen=True)
class Result:
    """The checks, and what was run again."""

    verification: Verification
    found: Found
    stamps: dict[int, dict[str, datetime]]

    @property
    def passed(self) -> bool:
        """Whether every check looked at something and nothing failed."""
        checks = self.verification.checks
        return self.verification.passed and all(check.looked_at for check in checks)


def verify(folder: TranscriptFolder, given: Given, progress: Progress = lambda _what, _share: None) -> Result:
    """Make all checks that can be made with what is given."""
    signed = checkpoints(folder.path)
    times: dict[int, dict[str, datetime]] = {}
    results: list[SegmentResult] = []
    checks = (
        _ledger(folder),
        _record(folder),
        _signatures(folder, signed),
        _time_stamps(folder, signed, given, times),
        _model(folder, given),
        _initial(folder, given),
        _data(folder, given),
        _draw(folder, given),
        _segments(folder, given, results, progress),
    )
    segments = max(0, len(folder.states) - 1)
    found = Found(
        segments=segments,
        drawn=given.drawn,
        results=tuple(results),
        passes=pass_chances(segments, len(given.drawn.segments)) if given.drawn else {},
    )
    return Result(_verification(folder, given, checks, times), found, times)


def pass_chances(segments: int, executed: int) -> dict[str, float]:
    """log10 of the chance that a forger passes, by the number of forged segments; those that cannot pass are left out.

    Nothing where more were drawn than there are: no draw gives that.
    """
    if executed > segments:
        return {}
    counts = {*_FORGED, *(round(share * segments) for share in _SHARES)}
    passes = {count: log10_pass_chance(segments, count, executed) for count in counts if 1 <= count <= segments}
    return {str(count): value for count, value in sorted(passes.items()) if np.isfinite(value)}


def time_of_close(folder: TranscriptFolder, authorities: tuple[bytes, ...] = ()) -> datetime:
    """When the last time-stamp over the close was made. Raises RecordError where none holds."""
    times: dict[int, dict[str, datetime]] = {}
    check = _time_stamps(folder, checkpoints(folder.path), Given(authorities=authorities), times)
    found = times.get(len(folder.entries))
    if not found:
        raise RecordError(
            f"no time-stamp shows when the transcript was closed: {check.failures[0].what if check.failures else 'none'}",
            exhibit=str(folder.path),
            advice="without one a beacon draws nothing; the verifier may draw with a seed of their own",
        )
    return max(found.values())


# ------------------------------------------------------------------------------------------------------- the transcript


def _ledger(folder: TranscriptFolder) -> Check:
    making = _Making(1, looked_at=len(folder.entries))
    if folder.rest:
        making.fail("ledger.jsonl", f"{len(folder.rest)} bytes follow the last entry", "a write was interrupted")
    if folder.closed is None:
        making.fail("ledger.jsonl", "the transcript is not closed", "the run goes on, or its end is kept back")
    return making.made


def _record(folder: TranscriptFolder) -> Check:
    making = _Making(2, looked_at=len(folder.states))
    missing = folder.plan.planned_states - len(folder.states)
    if missing:
        making.fail("ledger.jsonl", f"{missing} planned states are missing", "what they would show is not known")
    if folder.closed is not None:
        tree = chain.merkle_tree(folder.entries)
        if (folder.closed.root, folder.closed.leaves) != (tree.root.hex(), tree.size):
            making.fail("the close", "its root is not that of the entries", "it closes another transcript")
    return making.made


def _signatures(folder: TranscriptFolder, signed: Sequence[Signed]) -> Check:
    making = _Making(3, looked_at=len(signed))
    before = ""
    for one in signed:
        try:
            _check_signed(folder, one, before)
        except FiliationError as error:
            making.fail(f"checkpoint {one.sequence}", error.message, "the transcript was altered after it was signed")
        before = hashlib.sha256(one.data).hexdigest()
    if not signed or signed[-1].sequence != len(folder.entries):
        making.fail("checkpoints", "no checkpoint signs the last entry", "the owner does not answer for it")
    return making.made


def _check_signed(folder: TranscriptFolder, one: Signed, before: str) -> None:
    key = folder.opened.key
    predicate, head = signing.read_checkpoint(signing.opened(one.data, key))
    if one.sequence > len(folder.entries) or head != digest(folder.entries[one.sequence - 1]):
        raise RecordError("it signs another ledger")
    receipt = signing.read_receipt(signing.opened(one.receipt, key))
    stamps = {name: hashlib.sha256(stamp).hexdigest() for name, stamp in one.stamps.items()}
    told = (receipt.case, receipt.sequence, receipt.checkpoint, receipt.stamps)
    if told != (folder.header.run, one.sequence, hashlib.sha256(one.data).hexdigest(), stamps):
        raise RecordError("its receipt binds other stamps")
    if predicate.previous != before:
        raise RecordError("a checkpoint that stood before it is missing, or is another")
    if not _is_of(predicate, folder, one):
        raise RecordError("it speaks of another run or another entry than its name says")


def _is_of(predicate: CheckpointPredicate, folder: TranscriptFolder, one: Signed) -> bool:
    closed = folder.closed is not None and one.sequence == len(folder.entries)
    told = (predicate.case, predicate.sequence, predicate.stamps, predicate.closed)
    return told == (folder.header.run, one.sequence, tuple(sorted(one.stamps)), closed)


def _time_stamps(
    folder: TranscriptFolder, signed: Sequence[Signed], given: Given, times: dict[int, dict[str, datetime]]
) -> Check:
    making = _Making(4)
    for one in signed:
        for name, stamp in one.stamps.items():
            making.looked_at += 1
            try:
                times.setdefault(one.sequence, {})[name] = _stamp_time(folder, name, stamp, one.data, given)
            except FiliationError as error:
                making.fail(f"checkpoint {one.sequence}, {name}", error.message, "nobody vouches for this time")
    if folder.closed is not None and not times.get(len(folder.entries)):
        making.fail("the close", "no time-stamp covers it", "it could have been written at any time, today for one")
    return making.made


def _stamp_time(folder: TranscriptFolder, name: str, stamp: bytes, data: bytes, given: Given) -> datetime:
    """When an authority saw a checkpoint, by a root certificate that the plan names and, where any is given, the verifier trusts."""
    named = {authority.name: authority.certificate for authority in folder.opened.authorities}
    copies = (*given.authorities, certificate(folder.path, name))
    root = next((copy for copy in copies if hashlib.sha256(copy).hexdigest() == named.get(name)), b"")
    if not root:
        raise RecordError("the root certificate that the transcript names for it is not there")
    trusted = frozenset[str]().union(*map(fingerprints, given.authorities))  # however the two files are written
    if given.authorities and not fingerprints(root) <= trusted:
        raise RecordError("its root certificate is none of those that the verifier trusts")
    return check_stamp(stamp, data, root)


# -------------------------------------------------------------------------------------------------- the model, the start


def _model(folder: TranscriptFolder, given: Given) -> Check:
    making = _Making(5)
    if given.model is None or not folder.states:
        making.note = "no model was given: whose training this is remains open"
        return making.made
    recorded = folder.states[-1]
    making.looked_at = len(given.model)
    if _same_bytes(given.model, recorded.tensors):
        return making.made
    try:
        last = given.state_at(recorded.step) if given.state_at else {}
    except FiliationError as error:
        making.fail("the last state", error.message, "it was not handed over")
        return making.made
    if digests(last) != recorded.tensors:
        making.fail("the last state", "it is not the recorded one", "another file was handed over")
    for name in _unlike(given.model, weights(last)):
        making.fail(name, "the model has other weights than the last state", "the transcript is about another model")
    making.note = "the model is the last state in another number format, rounded to nearest"
    return making.made


def _same_bytes(model: Mapping[str, NDArray[np.generic]], recorded: Mapping[str, str]) -> bool:
    """Whether the model holds the recorded weights; one name of a pair of tied tensors may be absent from the state."""
    found = digests({f"weights/{name}": array for name, array in model.items()})
    wanted = {name: sha256 for name, sha256 in recorded.items() if name.startswith("weights/")}
    extra = {sha256 for name, sha256 in found.items() if name not in wanted}
    return all(found.get(name) == sha256 for name, sha256 in wanted.items()) and extra <= set(wanted.values())


def _unlike(model: Mapping[str, NDArray[np.generic]], last: State) -> Iterator[str]:
    for name in sorted({*model, *last}):
        if not (name in model and name in last and _same(model[name], last[name])):
            yield name


def _same(saved: NDArray[np.generic], trained: NDArray[np.generic]) -> bool:
    return saved.shape == trained.shape and trained.astype(saved.dtype).tobytes() == saved.tobytes()


def _initial(folder: TranscriptFolder, given: Given) -> Check:
    making = _Making(6)
    if folder.plan.initialisation.kind == "state":
        making.note = f"the run starts, openly, from {folder.plan.initialisation.origin}: it shows nothing about how that came about"
        return making.made
    if given.trainer is None or not folder.states:
        making.note = "no trainer was given: a stolen start would not be seen"
        return making.made
    making.looked_at = len(folder.states[0].tensors)
    if digests(given.trainer.initial()) != folder.states[0].tensors:
        making.fail("state 0", "the seed gives another start", "training began from something else than it says")
    return making.made


def _data(folder: TranscriptFolder, given: Given) -> Check:
    making = _Making(7)
    if given.trainer is None:
        making.note = "no trainer was given"
        return making.made
    given_shards = given.trainer.shards()
    for shard in folder.plan.data.shards:
        making.looked_at += 1
        if given_shards.get(shard.name) != shard.sha256:
            making.fail(
                shard.name, "its bytes are not those of the plan", "segments cannot be run on the data they name"
            )
    return making.made


# -------------------------------------------------------------------------------------------------------- running again


def _draw(folder: TranscriptFolder, given: Given) -> Check:
    making = _Making(8)
    if given.drawn is None or given.drawn_again is None:
        making.note = "nothing was drawn"
        return making.made
    making.looked_at = len(given.drawn.segments)
    try:
        again = given.drawn_again()
    except FiliationError as error:
        making.fail("the draw", error.message, "nothing shows that the owner did not choose the segments")
        return making.made
    if again != given.drawn or given.drawn.head != folder.head or given.drawn.run != folder.header.run:
        making.fail(
            "the draw", "it does not follow from the close and the randomness", "segments were chosen by somebody"
        )
    return making.made


def _segments(folder: TranscriptFolder, given: Given, results: list[SegmentResult], progress: Progress) -> Check:
    making = _Making(9)
    if given.trainer is None or given.state_at is None or given.drawn is None:
        making.note = "no segment was run again"
        return making.made
    every = segments_of(folder.states)
    wanted = sorted({number for number in (*given.drawn.segments, *given.also) if 0 <= number < len(every)})
    results += re_execute(folder.plan, [every[number] for number in wanted], given.trainer, given.state_at, progress)
    making.looked_at = len(results)
    for result in results:
        if result.why:
            making.fail(
                f"segment {result.segment} (steps {result.first_step} to {result.last_step})",
                result.why,
                _meaning(result.why),
            )
    same = sum(result.identical for result in results)
    making.note = f"{same} of {len(results)} segments gave the same bytes"
    return making.made


def _meaning(why: str) -> str:
    """A state that nobody handed over says nothing of the training: the verifier may have named another folder."""
    if NOT_HANDED_OVER in why:
        return "it was not run again: give the folder of the states, and ask the owner for those that are not in it"
    return "this stretch was not trained as the transcript says"


def _verification(
    folder: TranscriptFolder, given: Given, checks: tuple[Check, ...], times: Mapping[int, Mapping[str, datetime]]
) -> Verification:
    return Verification(
        case=folder.header.run,
        state="closed" if folder.closed else f"open after entry {len(folder.entries)}",
        head=folder.head,
        entries=len(folder.entries),
        keyid=folder.opened.key.keyid,
        checks=(*checks[:2], _held_to_key(checks[2], folder, given), *checks[3:]),
        remarks=tuple(_remarks(folder, given, times)),
    )


def _held_to_key(check: Check, folder: TranscriptFolder, given: Given) -> Check:
    found = folder.opened.key.keyid
    if not given.keyid or given.keyid == found:
        return check
    failure = Failure(where="the key", what=f"it is {found}, not {given.keyid}", meaning="somebody else signed")
    return msgspec.structs.replace(check, failures=(*check.failures, failure))


def _remarks(folder: TranscriptFolder, given: Given, times: Mapping[int, Mapping[str, datetime]]) -> Iterator[str]:
    if not given.keyid:
        yield f"the signing key is the one that the transcript names: compare its fingerprint {folder.opened.key.keyid}"
    if times and not given.authorities:
        yield "the authorities' root certificates are the owner's own copies: compare them with what the authorities publish"
    every = [time for stamps in times.values() for time in stamps.values()]
    if every:
        yield f"first time-stamp {min(every):%Y-%m-%dT%H:%M:%SZ}, last {max(every):%Y-%m-%dT%H:%M:%SZ}: compare with the date in dispute"
    if len(times) < len(folder.states):
        yield f"{len(times)} time-stamped checkpoints for {len(folder.states)} states: what was not stamped as it was made may be later"
    tolerance = folder.plan.tolerance
    if tolerance.deviation:
        yield (
            f"segments may end {tolerance.deviation:g} of the way off ({tolerance.measured or 'not said how measured'}): "
            "whoever stays within that in every segment is not seen"
        )
    if given.drawn is not None and given.drawn.basis == "verifier":
        yield "the segments were drawn with the verifier's own seed: whoever does not trust the verifier asks for a beacon"
    notes = sum(isinstance(entry.body, Noted) for entry in folder.entries)
    if notes:
        yield f"{notes} notes stand in the ledger: read them"
