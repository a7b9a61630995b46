"""Checks of the ledger and of who vouches for it: chain (2), signatures (3), time-stamps (4)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from filiation.case.folder import HEADER, LEDGER
from filiation.case.reading import CaseRead, ReadCheckpoint, ReadStamp, moment
from filiation.case.records import Closed, Entry, Opened
from filiation.case.signing import check_key, checkpoint_name, opened, read_checkpoint, receipt_name
from filiation.case.tally import Tally
from filiation.case.time_stamps import check_stamp
from filiation.errors import FiliationError, MissingExtra, RecordError
from filiation.evidence import digest

CLOCK_TOLERANCE = timedelta(seconds=300)
"""How far the writer's clock may stand from an authority's (5 minutes)."""

# --------------------------------------------------------------------------------------------------------------- 2 chain


def chain(case: CaseRead, tally: Tally) -> None:
    if not case.lines:
        tally.hold(False, LEDGER, "holds no entry", "nothing of the case can be followed")
    if case.rest:
        what = f"ends in {len(case.rest)} bytes that are no whole line"
        tally.hold(
            False, LEDGER, what, "a write was interrupted, or bytes were added: open the case for writing to heal it"
        )
    previous = digest(case.header) if case.header else ""
    last_time = ""
    for line in case.lines:
        where = f"{LEDGER}, line {line.number}"
        tally.look()
        if line.fault:
            tally.fail(where, line.fault, "the line was altered: an entry has one byte form")
        if line.entry:
            _link(line.entry, line.number, previous, where, tally)
            last_time = _time(line.entry, last_time, where, tally)
            _order(case, line.entry, line.number, where, tally)
        previous = line.digest


def _link(entry: Entry, number: int, previous: str, where: str, tally: Tally) -> None:
    if entry.sequence != number:
        what = f"the entry is numbered {entry.sequence}"
        tally.fail(where, what, "an entry was taken out, put in or moved")
    if entry.previous != previous:
        before = f"line {number - 1}" if number > 1 else HEADER
        what = f"the entry follows {entry.previous}, but {before} has the digest {previous or 'of no header'}"
        tally.fail(
            where,
            what,
            f"{before} was altered after this entry was written, or an entry was taken out, put in or moved",
        )


def _time(entry: Entry, last_time: str, where: str, tally: Tally) -> str:
    if moment(entry.time) is None:
        tally.fail(where, f"{entry.time[:80]!r} is no time in UTC", "nobody can say when this was entered")
        return last_time
    if entry.time < last_time:
        tally.fail(
            where, f"its time {entry.time} is before {last_time}", "the clock was set back, or the entry was moved"
        )
    return max(entry.time, last_time)


def _order(case: CaseRead, entry: Entry, number: int, where: str, tally: Tally) -> None:
    body = entry.body
    if isinstance(body, Opened) != (number == 1):
        tally.fail(where, f"says {_action(entry)!r}", "a case is opened by its first entry and by no other")
    if isinstance(body, Opened) and case.header and (body.case, body.title) != (case.header.case, case.header.title):
        tally.fail(where, f"opens another case than {HEADER} names", "header and ledger belong to different cases")
    if isinstance(body, Closed) and number < len(case.lines):
        tally.fail(where, "closes the case, and entries follow", "they were added after the case was closed")


def _action(entry: Entry) -> str:
    return str(type(entry.body).__struct_config__.tag)


# ---------------------------------------------------------------------------------------------------------- 3 signatures


def signatures(case: CaseRead, tally: Tally, keyid: str, handed_over: Sequence[bytes]) -> None:
    _key(case, tally, keyid)
    what = "there is no checkpoint"
    tally.hold(
        bool(case.checkpoints), "checkpoints", what, "nobody signed anything: every byte could have been changed"
    )
    previous = ""
    for checkpoint in case.checkpoints:
        _checkpoint(case, checkpoint, tally)
        _follows(checkpoint, previous, tally)
        _receipt(checkpoint, tally)
        previous = hashlib.sha256(checkpoint.data).hexdigest()
    _end(case, tally)
    for number, data in enumerate(handed_over, 1):
        _handed_over(case, number, data, tally)


def _key(case: CaseRead, tally: Tally, keyid: str) -> None:
    if case.opening is None:
        tally.note("the key was not checked, because the first entry cannot be read")
        return
    key = case.opening.key
    meaning = "what it signs is signed by nobody in particular"
    try:
        check_key(key)
        tally.look()
    except RecordError as error:
        tally.hold(False, f"{LEDGER}, line 1", error.message, meaning)
    if keyid:
        tally.hold(
            key.keyid == keyid.strip().lower(),
            f"{LEDGER}, line 1",
            f"the case's key is {key.keyid}, not {keyid}",
            "somebody else made or re-made this case: whoever gave you the fingerprint did not sign it",
        )


def _checkpoint(case: CaseRead, checkpoint: ReadCheckpoint, tally: Tally) -> None:
    meaning = "this checkpoint vouches for nothing"
    predicate = checkpoint.predicate
    if not tally.hold(predicate is not None, checkpoint.file, checkpoint.fault, meaning) or predicate is None:
        return
    number = checkpoint.number
    if predicate.sequence != number or (case.header and predicate.case != case.header.case):
        what = f"signs entry {predicate.sequence} of the case {predicate.case}"
        tally.hold(False, checkpoint.file, what, "it was renamed, or taken from another case")
        return
    if not 1 <= number <= len(case.lines):
        what = f"signs entry {number}, and the ledger has {len(case.lines)}"
        tally.hold(False, checkpoint.file, what, "entries were cut off the end of the ledger")
        return
    line = case.lines[number - 1]
    what = f"signs the head {checkpoint.head}, and line {number} has the digest {line.digest}"
    tally.hold(line.digest == checkpoint.head, checkpoint.file, what, "the ledger was changed after it was signed")
    _dated(case, checkpoint, tally)
    closes = line.entry is not None and isinstance(line.entry.body, Closed)
    what = f"says closed={str(predicate.closed).lower()}, and line {number} closes the case: {str(closes).lower()}"
    tally.hold(
        predicate.closed == closes, checkpoint.file, what, "signature and ledger disagree on whether the case ended"
    )


def _follows(checkpoint: ReadCheckpoint, previous: str, tally: Tally) -> None:
    """Checkpoints are a chain of their own, so that one in the middle cannot be taken away."""
    if checkpoint.predicate is None:
        return
    told = checkpoint.predicate.previous
    what = f"follows the checkpoint {told or '(none)'}, and the one before it here is {previous or '(none)'}"
    tally.hold(told == previous, checkpoint.file, what, "a checkpoint was taken away, put in or made anew")


def _dated(case: CaseRead, checkpoint: ReadCheckpoint, tally: Tally) -> None:
    """The writer's own clock: not before the entry it signs, not after the one that follows."""
    assert checkpoint.predicate is not None
    time = checkpoint.predicate.time
    if not tally.hold(moment(time) is not None, checkpoint.file, f"{time[:80]!r} is no time in UTC", "it is not dated"):
        return
    for entry in _neighbours(case, checkpoint.number):
        late = entry.sequence > checkpoint.number
        what = f"is dated {time}, {'after' if late else 'before'} entry {entry.sequence} of {entry.time}"
        holds = time <= entry.time if late else time >= entry.time
        tally.hold(holds, checkpoint.file, what, "it was not signed when the ledger says")


def _neighbours(case: CaseRead, number: int) -> list[Entry]:
    return [line.entry for line in case.lines[number - 1 : number + 1] if line.entry and moment(line.entry.time)]


def _receipt(checkpoint: ReadCheckpoint, tally: Tally) -> None:
    file = receipt_name(checkpoint.number)
    meaning = "nobody vouches that these are the time-stamps that were obtained"
    receipt = checkpoint.receipt
    if not tally.hold(receipt is not None, file, checkpoint.receipt_fault, meaning) or receipt is None:
        return
    predicate = checkpoint.predicate
    fits = (
        receipt.sequence == checkpoint.number
        and receipt.checkpoint == hashlib.sha256(checkpoint.data).hexdigest()
        and (predicate is None or (receipt.case, set(receipt.stamps)) == (predicate.case, set(predicate.stamps)))
    )
    tally.hold(fits, file, f"does not belong to {checkpoint.file}", "one of the two was altered or replaced")


def _end(case: CaseRead, tally: Tally) -> None:
    """A closed case ends where its last checkpoint does."""
    if case.says_closed:
        signed = case.signed[-1] if case.signed else None
        whole = signed is not None and signed.number == len(case.lines) and signed.predicate is not None
        what = "the case says that it is closed, and no checkpoint signs its last entry"
        tally.hold(
            whole, LEDGER, what, "the end of the ledger was changed, or the checkpoint that closed it was taken away"
        )


def _handed_over(case: CaseRead, number: int, data: bytes, tally: Tally) -> None:
    where = f"checkpoint handed over ({number})"
    if case.opening is None:
        tally.hold(False, where, "was not compared: the first entry cannot be read", "the case cannot be followed")
        return
    try:
        predicate, _ = read_checkpoint(opened(data, case.opening.key))
    except RecordError as error:
        tally.hold(
            False,
            where,
            error.message,
            "the key of this case did not sign it: the case was made anew, or it is of another",
        )
        return
    stands = any(c.number == predicate.sequence and c.data == data for c in case.checkpoints)
    what = f"{checkpoint_name(predicate.sequence)} is not, or not with these bytes, in the case"
    tally.hold(stands, where, what, "the case was cut back or made anew after this checkpoint was handed over")


# --------------------------------------------------------------------------------------------------------- 4 time-stamps


def time_stamps(case: CaseRead, tally: Tally, authorities: Sequence[bytes]) -> None:
    names = [authority.name for authority in case.opening.authorities] if case.opening else []
    twice = sorted({name for name in names if names.count(name) > 1})
    what = f"names the authority {', '.join(twice)} twice"
    tally.hold(not twice, f"{LEDGER}, line 1", what, "nobody can say whose stamps these are")
    for checkpoint in case.checkpoints:
        for stamp in checkpoint.stamps:
            meaning = "no authority vouches that this checkpoint existed at its time"
            if tally.hold(stamp.time is not None, stamp.file, stamp.fault, meaning):
                _bound(checkpoint, stamp, tally)
                _timely(case, checkpoint, stamp, tally)
        if authorities and any(stamp.time for stamp in checkpoint.stamps):
            _trusted(checkpoint, authorities, tally)
    _in_turn(case, tally)
    named = {stamp.file for checkpoint in case.checkpoints for stamp in checkpoint.stamps}
    unread = {
        f"checkpoints/{checkpoint.number:06d}." for checkpoint in case.checkpoints if checkpoint.predicate is None
    }
    for name in case.folder.files:
        if name.endswith(".tsr") and name not in named and not name.startswith(tuple(unread)):
            tally.hold(
                False, name, "is named by no checkpoint", "it was added or renamed: a checkpoint names its stamps"
            )
    if unread:
        tally.note(
            f"stamps of {len(unread)} checkpoints were not checked, because the checkpoints cannot be relied upon"
        )


def _bound(checkpoint: ReadCheckpoint, stamp: ReadStamp, tally: Tally) -> None:
    """The receipt says which bytes the stamp has."""
    if checkpoint.receipt is not None:
        same = checkpoint.receipt.stamps.get(stamp.authority) == hashlib.sha256(stamp.data).hexdigest()
        tally.hold(same, stamp.file, "has other bytes than its receipt says", "it was replaced by another stamp")


def _timely(case: CaseRead, checkpoint: ReadCheckpoint, stamp: ReadStamp, tally: Tally) -> None:
    """Not before the entry that the checkpoint signs, not after the one that follows, as far as two clocks agree."""
    dated = moment(checkpoint.predicate.time) if checkpoint.predicate else None
    if stamp.time is None or dated is None:
        return
    said = f"says {stamp.time:%Y-%m-%dT%H:%M:%SZ}"
    what = f"{said}, and the checkpoint is dated {dated:%Y-%m-%dT%H:%M:%SZ}"
    near = abs(stamp.time - dated) <= CLOCK_TOLERANCE
    tally.hold(
        near,
        stamp.file,
        what,
        f"the writer's clock was wrong by more than {CLOCK_TOLERANCE.seconds} seconds, or was set",
    )
    for entry in _neighbours(case, checkpoint.number):
        time = moment(entry.time)
        assert time is not None
        late = entry.sequence > checkpoint.number
        holds = stamp.time <= time + CLOCK_TOLERANCE if late else stamp.time >= time - CLOCK_TOLERANCE
        meaning = (
            "the entry is dated before it can have been written" if late else "the entry is dated after it was signed"
        )
        tally.hold(holds, stamp.file, f"{said}, and entry {entry.sequence} is dated {entry.time}", meaning)


def _trusted(checkpoint: ReadCheckpoint, authorities: Sequence[bytes], tally: Tally) -> None:
    stamps = [stamp.data for stamp in checkpoint.stamps if stamp.time]
    holds = any(_holds_under(stamp, checkpoint.data, authority) for stamp in stamps for authority in authorities)
    what = "no authority that you named stamped it"
    tally.hold(holds, checkpoint.file, what, "its time is vouched for by an authority of the writer's choice alone")


def _holds_under(stamp: bytes, data: bytes, certificate: bytes) -> bool:
    try:
        check_stamp(stamp, data, certificate)
    except MissingExtra:
        raise
    except FiliationError:
        return False
    return True


def _in_turn(case: CaseRead, tally: Tally) -> None:
    """Of one authority, later checkpoints have later stamps: no clock of the writer's stands between."""
    last: dict[str, tuple[str, datetime]] = {}
    for checkpoint in case.checkpoints:
        for stamp in checkpoint.stamps:
            if stamp.time is None:
                continue
            file, before = last.get(stamp.authority, ("", stamp.time))
            what = f"is earlier than {file} of the same authority"
            tally.hold(stamp.time >= before, stamp.file, what, "the checkpoints were not stamped in their order")
            last[stamp.authority] = (stamp.file, stamp.time)
