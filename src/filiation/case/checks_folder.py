"""Checks of what lies in the folder: layout (1), objects (5), reports (12)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from filiation.case.files import LEFTOVER
from filiation.case.folder import HEADER, LEDGER, LOCK
from filiation.case.reading import CaseRead, object_name
from filiation.case.records import (
    FORMAT,
    REQUIRED,
    VERSION,
    Admitted,
    Asked,
    Declarations,
    Drawn,
    Entry,
    Examined,
    Noted,
    Observed,
    Opened,
    Recovered,
    Reported,
    Sealed,
)
from filiation.case.tally import Tally
from filiation.errors import FiliationError, MissingExtra, RecordError

Report = Callable[[Entry], Mapping[str, bytes]]
"""Renders the files of a `report` entry again, by name; what cannot be made on this machine is left out."""

_NAMES = (
    re.compile(r"case\.json|ledger\.jsonl|\.lock"),
    re.compile(r"objects/([0-9a-f]{2})/\1[0-9a-f]{62}"),
    re.compile(r"checkpoints/(?:\d{6}|[1-9]\d{6,})\.(?:json|receipt\.json|[A-Za-z0-9][A-Za-z0-9._-]*\.tsr)"),
    re.compile(r"reports/[A-Za-z0-9][A-Za-z0-9._-]*"),
    re.compile(r"recordings/[^/]+\.jsonl"),
)

# -------------------------------------------------------------------------------------------------------------- 1 layout


def layout(case: CaseRead, tally: Tally) -> None:
    for name in case.folder.links:
        what = "is a link, or neither a file nor a folder"
        tally.hold(False, name, what, "a case holds plain files only: what this leads to can change without the case")
    for name, why in case.folder.unreadable.items():
        tally.hold(False, name, f"cannot be read: {why}", "nobody can say whether it is what was recorded")
    for name in case.folder.files:
        tally.look()
        if _is_leftover(name):
            tally.fail(name, "was left by an interrupted write", "the case was not healed: open it for writing once")
        elif not any(pattern.fullmatch(name) for pattern in _NAMES):
            tally.fail(name, "is no file that the format names", "somebody added it: it is no part of the case")
    _header(case, tally)
    _recordings(case, tally)
    _lock(case, tally)
    _without_checkpoint(case, tally)


def is_interrupted(case: CaseRead) -> bool:
    """Whether the folder shows a write that did not come to its end."""
    numbers = {checkpoint.number for checkpoint in case.checkpoints}
    orphans = any(_number(name) not in numbers for name in case.folder.files if name.startswith("checkpoints/"))
    return bool(case.rest) or any(map(_is_leftover, case.folder.files)) or (orphans and not case.says_closed)


def _is_leftover(name: str) -> bool:
    return name.rpartition("/")[2].startswith(LEFTOVER)


def _number(name: str) -> int:
    digits = name.removeprefix("checkpoints/").partition(".")[0]
    return int(digits) if digits.isdecimal() and digits.isascii() else -1


def _header(case: CaseRead, tally: Tally) -> None:
    meaning = "nobody can say which case this is"
    if not tally.hold(HEADER in case.folder.files, HEADER, "is missing", meaning):
        return
    if not tally.hold(not case.header_fault, HEADER, case.header_fault, meaning) or case.header is None:
        return
    header = case.header
    tally.hold(
        (header.format, header.version) == (FORMAT, VERSION),
        HEADER,
        f"says {header.format!r}, version {header.version}; this program reads {FORMAT!r}, version {VERSION}",
        "another version of the program has to verify this case",
    )
    tally.hold(
        re.fullmatch("[0-9a-f]{32}", header.case) is not None,
        HEADER,
        f"the case is named {header.case[:80]!r}, not by 32 hexadecimal digits",
        meaning,
    )


def _recordings(case: CaseRead, tally: Tally) -> None:
    for name in case.folder.files:
        if name.startswith("recordings/") and case.says_closed:
            tally.hold(
                False, name, "stands in a closed case", "a recording that no entry binds was added or never entered"
            )


def _lock(case: CaseRead, tally: Tally) -> None:
    if LOCK in case.folder.files:
        tally.hold(
            case.folder.files[LOCK][1] == 0, LOCK, "is not empty", "somebody wrote into the case: a lock holds nothing"
        )


def _without_checkpoint(case: CaseRead, tally: Tally) -> None:
    numbers = {checkpoint.number for checkpoint in case.checkpoints}
    for name in case.folder.files:
        if name.startswith("checkpoints/") and not _is_leftover(name) and _number(name) not in numbers:
            tally.hold(
                False, name, "belongs to no checkpoint", "a checkpoint was taken away, or its writing was interrupted"
            )
    tally.hold(LEDGER in case.folder.files, LEDGER, "is missing", "nothing of the case can be followed")


# ------------------------------------------------------------------------------------------------------------- 5 objects


def objects(case: CaseRead, tally: Tally) -> None:
    needed = dict(named_objects(case))
    for name, (sha256, _) in case.folder.files.items():
        if _NAMES[1].fullmatch(name):
            tally.hold(
                name == object_name(sha256),
                name,
                f"has the SHA-256 {sha256}",
                f"it was altered: {needed.get(_digest_of(name), 'what it holds')} cannot be relied upon",
            )
    for digest, whose in needed.items():
        tally.hold(
            object_name(digest) in case.folder.files, object_name(digest), f"is missing: {whose}", "it was taken away"
        )
    _records(case, tally)
    for digest in unnamed_objects(case) if case.says_closed else ():
        meaning = "somebody added it after the case was made, or took away the entry that names it"
        tally.hold(False, object_name(digest), "is named by no entry", meaning)


def unnamed_objects(case: CaseRead) -> tuple[str, ...]:
    """Objects that no entry names: leftovers of an interrupted write, or somebody's addition."""
    named = dict(named_objects(case)).keys()
    outcomes = {entry.body.outcomes for entry in case.entries if isinstance(entry.body, Examined)}
    stored = (_digest_of(name) for name in case.folder.files if _NAMES[1].fullmatch(name))
    return tuple(digest for digest in stored if digest not in named and digest not in outcomes)


def named_objects(case: CaseRead) -> Iterator[tuple[str, str]]:
    """Every object that the ledger needs, by digest, with words for what it is."""
    for entry in case.entries:
        where = f"entry {entry.sequence}"
        for digest, what in _named_by(case, entry):
            if digest:
                yield digest, f"{what} of {where}"


def _named_by(case: CaseRead, entry: Entry) -> Iterator[tuple[str, str]]:
    body = entry.body
    if isinstance(body, Opened):
        yield from ((authority.certificate, f"certificate of {authority.name}") for authority in body.authorities)
    elif isinstance(body, Admitted):
        yield body.manifest, f"manifest of {body.exhibit}"
        manifest = case.manifests.get(body.manifest)
        if manifest and manifest.inside:
            yield from ((file.sha256 or "", f"file {file.name!r} of {body.exhibit}") for file in manifest.files)
    elif isinstance(body, Sealed):
        yield body.plan, "plan"
        plan = case.plans.get(body.plan)
        yield plan.announcement.certificate if plan else "", "certificate of the announced beacon"
    elif isinstance(body, Drawn):
        yield body.beacon, "beacon"
    elif isinstance(body, Observed):
        yield body.observation, f"observation of {body.exhibit} by {body.examiner}"
    elif isinstance(body, Asked):
        yield body.recording, f"recording of {body.exhibit}"
        yield body.transcript, f"transcript of {body.exhibit}"
    elif isinstance(body, Examined):
        yield body.record, f"record of the examination of {body.subject}"
    elif isinstance(body, Reported):
        yield body.declarations, "declarations"
    elif isinstance(body, Recovered):
        yield body.sha256, "what was cut"
    elif isinstance(body, Noted):
        yield from ((digest, "object") for digest in body.objects)


def _records(case: CaseRead, tally: Tally) -> None:
    """Small records must be records; examinations and observations are read by the checks that use them."""
    for entry in case.entries:
        body, where = entry.body, f"entry {entry.sequence}"
        if isinstance(body, Admitted) and body.manifest not in case.manifests:
            tally.hold(False, where, f"the manifest of {body.exhibit} cannot be read", "what was admitted is unknown")
        if isinstance(body, Sealed) and body.plan not in case.plans:
            tally.hold(False, where, "the plan cannot be read", "what was planned is unknown")


def _digest_of(name: str) -> str:
    return name.rpartition("/")[2]


# ------------------------------------------------------------------------------------------------------------ 12 reports


def reports(case: CaseRead, tally: Tally, report: Report | None) -> None:
    last_named: dict[str, Entry] = {}
    heads = {line.digest: line.number for line in case.lines}
    for entry in case.entries:
        if isinstance(entry.body, Reported):
            last_named |= dict.fromkeys(entry.body.files, entry)
            _tells_of(entry, entry.body, heads, tally)
            _declared(case, entry, entry.body, tally)
    for name, entry in last_named.items():
        _file(case, name, entry, tally)
    for name in case.folder.files:
        if name.startswith("reports/") and not _is_leftover(name):
            known = name.removeprefix("reports/") in last_named
            tally.hold(
                known, name, "is named by no entry", "this report was not made in this case, or its entry is gone"
            )
    if report is not None:
        for entry in case.entries:
            if isinstance(entry.body, Reported):
                _rendered_again(case, entry, last_named, report, tally)
    elif last_named:
        tally.note("the reports were not rendered again: only their digests were compared")


def _tells_of(entry: Entry, body: Reported, heads: Mapping[str, int], tally: Tally) -> None:
    known = heads.get(body.head, len(heads) + 1) < entry.sequence
    what = f"the report tells of the head {body.head}, which the ledger did not have before"
    tally.hold(
        known, f"entry {entry.sequence}", what, "the report tells of another case, or of another state of this one"
    )


def _declared(case: CaseRead, entry: Entry, body: Reported, tally: Tally) -> None:
    where = f"entry {entry.sequence}"
    meaning = "a report without the declarations of an expert is a draft, and must say so"
    if not body.declarations:
        tally.hold(body.draft, where, "the report carries no declarations and is not called a draft", meaning)
        return
    try:
        declarations = case.record(body.declarations, Declarations)
    except RecordError as error:
        tally.hold(False, where, f"the declarations cannot be read: {error.message}", meaning)
        return
    blank = [name for name in REQUIRED if not getattr(declarations, name).strip()]
    tally.hold(body.draft or not blank, where, f"left blank: {', '.join(blank)}", meaning)


def _file(case: CaseRead, name: str, entry: Entry, tally: Tally) -> None:
    assert isinstance(entry.body, Reported)
    file = f"reports/{name}"
    found = case.folder.files.get(file, ("nothing that can be read",))[0]
    tally.hold(
        found == entry.body.files[name],
        file,
        f"has the SHA-256 {found}, and entry {entry.sequence} wrote {entry.body.files[name]}",
        "this is not the report that was made: take no figure from it",
    )


def _rendered_again(
    case: CaseRead, entry: Entry, last_named: Mapping[str, Entry], report: Report, tally: Tally
) -> None:
    assert isinstance(entry.body, Reported)
    try:
        made = report(entry)
    except MissingExtra:
        raise
    except FiliationError as error:
        tally.hold(False, f"entry {entry.sequence}", f"the report cannot be made again: {error.message}", _OTHER_BYTES)
        return
    for name in entry.body.files:
        if last_named[name] is not entry:
            continue
        if name not in made:
            by = entry.body.made_with or "a program that did not name itself"
            tally.note(f"reports/{name}, made with {by}, was not rendered again here: only its digest was compared")
            continue
        stored = case.folder.path / "reports" / name
        same = stored.is_file() and stored.read_bytes() == made[name]
        tally.hold(same, f"reports/{name}", "rendered again, it has other bytes", _OTHER_BYTES)


_OTHER_BYTES = "the report does not say what the case holds, or another version of the program made it"
