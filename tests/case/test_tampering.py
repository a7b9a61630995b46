"""Manipulations of a closed case, over every kind of file: each is detected, and the right check is named.

Truth is by construction: the case of the tests verifies; whatever is done to it here is one change. The last test counts them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filiation.case.folder import CaseFolder
from filiation.case.records import (
    REQUIRED,
    Admitted,
    Body,
    Closed,
    Declarations,
    Drawn,
    Examined,
    Manifest,
    Noted,
    Observed,
    Opened,
    Plan,
    Reported,
    Revealed,
    Sealed,
)
from filiation.case.signing import new_signer
from filiation.case.verification import Verification
from filiation.evidence import Examination, Finding, digest
from studies.time_stamping import LocalAuthority
from tests.case.worlds import SECRET, Change, World, failed, replace, report_again, verified, write_case

pytestmark = pytest.mark.xdist_group("tampering")  # one worker, so that all manipulations are counted

TRIED: list[str] = []
"""Every manipulation that was made, in words."""

# ------------------------------------------------------------------------------------------------------- kinds of files

LAYOUT, CHAIN, SIGNATURES, STAMPS, OBJECTS, PLAN, DRAW, CUSTODY, OBSERVATIONS, FINDINGS, COMPLETENESS, REPORTS = range(
    1, 13
)


def _object(case: Path, kind: type[Body], field: str) -> str:
    with CaseFolder.open(case) as folder:
        sha256 = next(getattr(entry.body, field) for entry in folder.entries if isinstance(entry.body, kind))
    sha256 = sha256 if isinstance(sha256, str) else sha256[0]
    return f"objects/{sha256[:2]}/{sha256}"


def _exhibit_file(case: Path) -> str:
    with CaseFolder.open(case) as folder:
        manifest = folder.get_record(_object(case, Admitted, "manifest")[-64:], Manifest)
    sha256 = manifest.files[0].sha256 or ""
    return f"objects/{sha256[:2]}/{sha256}"


def _certificate(case: Path) -> str:
    with CaseFolder.open(case) as folder:
        sha256 = folder.opened.authorities[0].certificate
    return f"objects/{sha256[:2]}/{sha256}"


def _checkpoint(case: Path, which: int, ending: str) -> str:
    return sorted(path.relative_to(case).as_posix() for path in case.glob(f"checkpoints/??????.{ending}"))[which]


# kind of file: (which file it is, checks of which one has to fail when its bytes change)
KINDS: dict[str, tuple[Callable[[Path], str], set[int]]] = {
    "header": (lambda case: "case.json", {LAYOUT, CHAIN}),
    "ledger": (lambda case: "ledger.jsonl", {CHAIN, SIGNATURES}),
    "checkpoint": (lambda case: _checkpoint(case, 2, "json"), {SIGNATURES}),
    "checkpoint that closes": (lambda case: _checkpoint(case, -1, "json"), {SIGNATURES}),
    "time-stamp": (lambda case: _checkpoint(case, 1, "*.tsr"), {STAMPS}),
    "receipt": (lambda case: _checkpoint(case, 3, "receipt.json"), {SIGNATURES}),
    "report": (lambda case: "reports/report.html", {REPORTS}),
    "certificate of the authority": (_certificate, {OBJECTS}),
    "manifest": (lambda case: _object(case, Admitted, "manifest"), {OBJECTS}),
    "file of an exhibit": (_exhibit_file, {OBJECTS}),
    "plan": (lambda case: _object(case, Sealed, "plan"), {OBJECTS}),
    "beacon": (lambda case: _object(case, Drawn, "beacon"), {OBJECTS}),
    "observation": (lambda case: _object(case, Observed, "observation"), {OBJECTS}),
    "record of an examination": (lambda case: _object(case, Examined, "record"), {OBJECTS}),
    "declarations": (lambda case: _object(case, Reported, "declarations"), {OBJECTS}),
    "object of a note": (lambda case: _object(case, Noted, "objects"), {OBJECTS}),
}


def detected(case: Path, checks: set[int], what: str, **options: Any) -> Verification:
    """One manipulation: verification fails, and one of the checks that are to find it does."""
    TRIED.append(what)
    found = verified(case, **options)
    assert not found.passed, f"{what}: accepted"
    assert failed(found) & checks, f"{what}: found by {failed(found)}, not by {checks}"
    assert all(f.where and f.what and f.meaning for check in found.checks for f in check.failures)
    return found


# --------------------------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_any_kind_of_file_can_be_changed(world: World, kind: str, tmp_path: Path) -> None:
    find, checks = KINDS[kind]
    case = world.copy(tmp_path / "case")
    file = case / find(case)
    original = file.read_bytes()

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(place=st.integers(0, len(original) - 1), change=st.integers(1, 255))
    def changed(place: int, change: int) -> None:
        altered = bytearray(original)
        altered[place] ^= change
        replace(file, bytes(altered))
        detected(case, checks, f"{kind}: byte {place} changed by {change}")

    changed()


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "a byte added at the end": lambda data: data + b" ",
    "a line feed added at the end": lambda data: data + b"\n",
    "the last byte taken away": lambda data: data[:-1],
    "emptied": lambda data: b"",
    "half of it": lambda data: data[: len(data) // 2],
    "other line endings": lambda data: data.replace(b"\n", b"\r\n") if b"\n" in data else data + b"\r\n",
}


@pytest.mark.parametrize("how", BYTES)
def test_no_file_can_be_lengthened_cut_or_rewritten(world: World, how: str, tmp_path: Path) -> None:
    case = world.copy(tmp_path / "case")
    for kind, (find, checks) in KINDS.items():
        file = case / find(world.folder)
        original = file.read_bytes()
        replace(file, BYTES[how](original))
        detected(case, checks, f"{kind}: {how}")
        replace(file, original)


def test_the_lock_holds_nothing(world: World, tmp_path: Path) -> None:
    case = world.copy(tmp_path / "case")
    replace(case / ".lock", b"x")
    detected(case, {LAYOUT}, "lock: written to")


# --------------------------------------------------------------------------------------------------------------- files

MISSING = {
    "header": {LAYOUT},
    "ledger": {LAYOUT, CHAIN},
    "checkpoint": {LAYOUT},
    "checkpoint that closes": {SIGNATURES},
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_can_be_taken_away_renamed_or_made_a_link(world: World, kind: str, tmp_path: Path) -> None:
    find, checks = KINDS[kind]
    checks = MISSING.get(kind, checks)
    case = world.copy(tmp_path / "case")
    file = case / find(world.folder)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(file, elsewhere)
    detected(case, checks, f"{kind}: taken away")
    (case / "kept").mkdir()
    (case / "kept" / file.name).write_bytes(elsewhere.read_bytes())
    detected(case, {LAYOUT}, f"{kind}: moved to another folder")
    (case / "kept" / file.name).unlink()
    file.symlink_to(elsewhere)
    detected(case, {LAYOUT}, f"{kind}: made a link to the same bytes")
    file.unlink()
    file.with_name(f"{file.name}.old").write_bytes(elsewhere.read_bytes())
    detected(case, {LAYOUT} | checks, f"{kind}: renamed")


ADDED = {
    "a file beside the header": ("notes.txt", {LAYOUT}),
    "a folder of one's own": ("exhibits/model.bin", {LAYOUT}),
    "a hidden file": (".DS_Store", {LAYOUT}),
    "what an interrupted write leaves": ("objects/.new-0011223344556677", {LAYOUT}),
    "an object that nobody names": (
        f"objects/{hashlib.sha256(b'x').hexdigest()[:2]}/{hashlib.sha256(b'x').hexdigest()}",
        {OBJECTS},
    ),
    "an object under a false name": (f"objects/00/{'00' * 32}", {OBJECTS}),
    "an object in the wrong folder": (f"objects/00/{hashlib.sha256(b'x').hexdigest()}", {LAYOUT}),
    "an object in capitals": (f"objects/AB/{'AB' * 32}", {LAYOUT}),
    "a checkpoint": ("checkpoints/000012.json", {SIGNATURES}),
    "a checkpoint with too many zeros": ("checkpoints/0000012.json", {LAYOUT}),
    "a receipt": ("checkpoints/000012.receipt.json", {LAYOUT}),
    "a stamp without its checkpoint": ("checkpoints/000012.local.tsr", {LAYOUT, STAMPS}),
    "a stamp of an authority that the checkpoint does not name": ("checkpoints/000010.other.tsr", {STAMPS}),
    "a report": ("reports/another.html", {REPORTS}),
    "a recording": ("recordings/borealis.jsonl", {LAYOUT}),
}


@pytest.mark.parametrize("what", ADDED)
def test_no_file_can_be_added(world: World, what: str, tmp_path: Path) -> None:
    name, checks = ADDED[what]
    case = world.copy(tmp_path / "case")
    (case / name).parent.mkdir(parents=True, exist_ok=True)
    (case / name).write_bytes(b"x")
    detected(case, checks, f"added: {what}")


def _checkpoints(world: World) -> list[str]:
    return sorted(path.name[:6] for path in world.folder.glob("checkpoints/??????.json"))


REPLACED: dict[str, tuple[str, str, set[int]]] = {
    "a checkpoint by a later one": ("{0}.json", "{1}.json", {SIGNATURES}),
    "a receipt by a later one": ("{0}.receipt.json", "{1}.receipt.json", {SIGNATURES}),
    "a stamp by a later one": ("{0}.local.tsr", "{1}.local.tsr", {STAMPS}),
    "a stamp by an earlier one": ("{1}.local.tsr", "{0}.local.tsr", {STAMPS}),
    "a checkpoint by its receipt": ("{0}.json", "{0}.receipt.json", {SIGNATURES}),
    "a receipt by its checkpoint": ("{0}.receipt.json", "{0}.json", {SIGNATURES}),
}


@pytest.mark.parametrize("what", REPLACED)
def test_no_file_can_stand_in_the_place_of_another(world: World, what: str, tmp_path: Path) -> None:
    case = world.copy(tmp_path / "case")
    target, source, checks = REPLACED[what]
    numbers = _checkpoints(world)
    replace(
        case / "checkpoints" / target.format(*numbers), (case / "checkpoints" / source.format(*numbers)).read_bytes()
    )
    detected(case, checks, f"replaced: {what}")


def test_objects_cannot_change_places(world: World, tmp_path: Path) -> None:
    case = world.copy(tmp_path / "case")
    names = [KINDS[kind][0](case) for kind in KINDS if KINDS[kind][1] == {OBJECTS}]
    for first, second in itertools.pairwise(names):
        (case / first).unlink()
        shutil.copy(world.folder / second, case / first)
        detected(case, {OBJECTS}, f"{first[-8:]} holds what belongs into {second[-8:]}")
        replace(case / first, (world.folder / first).read_bytes())


# ---------------------------------------------------------------------------------------------------- lines of the ledger

LINES: dict[str, Callable[[list[bytes], int, int], None]] = {
    "taken out": lambda lines, at, _to: lines.__delitem__(at),
    "written twice": lambda lines, at, _to: lines.insert(at, lines[at]),
    "exchanged with the next": lambda lines, at, _to: lines.__setitem__(slice(at, at + 2), lines[at : at + 2][::-1]),
    "moved": lambda lines, at, to: lines.insert(to, lines.pop(at)),
    "copied to another place": lambda lines, at, to: lines.insert(to, lines[at]),
    "followed by an empty line": lambda lines, at, _to: lines.insert(at + 1, b"\n"),
}


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(how=st.sampled_from(sorted(LINES)), at=st.integers(0, 28), to=st.integers(0, 28))
def test_no_line_can_be_taken_out_repeated_or_moved(
    world: World, how: str, at: int, to: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = (world.folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    before = list(lines)
    LINES[how](lines, at, to)
    if lines == before:
        return
    case = world.copy(tmp_path_factory.mktemp("lines") / "case")
    replace(case / "ledger.jsonl", b"".join(lines))
    detected(case, {CHAIN}, f"line {at + 1} {how}")


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(keep=st.integers(0, 29))
def test_the_ledger_cannot_be_cut(world: World, keep: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    case = world.copy(tmp_path_factory.mktemp("cut") / "case")
    lines = (case / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    replace(case / "ledger.jsonl", b"".join(lines[:keep]))
    detected(case, {SIGNATURES}, f"ledger cut after line {keep}")


def rechained(case: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """What somebody without the key can do: any entries, every digest chained anew."""
    from filiation.evidence import canonical

    entries = [json.loads(line) for line in (case / "ledger.jsonl").read_bytes().splitlines()]
    change(entries)
    previous = hashlib.sha256((case / "case.json").read_bytes()[:-1]).hexdigest()
    lines = []
    for number, entry in enumerate(entries, 1):
        line = canonical(entry | {"sequence": number, "previous": previous})
        previous = hashlib.sha256(line).hexdigest()
        lines.append(line + b"\n")
    replace(case / "ledger.jsonl", b"".join(lines))


RECHAINED: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "an actor renamed": lambda entries: entries[14].update(actor="somebody else"),
    "all times an hour earlier": lambda entries: [e.update(time=e["time"][:-9] + "00:00:00Z") for e in entries],
    "an observation taken out": lambda entries: entries.pop(14),
    "an examination taken out": lambda entries: entries.pop(22),
    "the exploratory examination taken out": lambda entries: entries.pop(24),
    "an examination called exploratory": lambda entries: entries[22]["body"].update(exploratory=True),
    "the amendment taken out": lambda entries: entries.pop(9),
    "the reason of the amendment changed": lambda entries: entries[9]["body"].update(reason="a slip of the pen"),
    "the seed changed": lambda entries: entries[10]["body"].update(seed="7" * 64),
    "two observations exchanged": lambda entries: entries.insert(12, entries.pop(13)),
    "the note changed": lambda entries: entries[27]["body"].update(text="The letter was brought."),
    "the closing remark changed": lambda entries: entries[29]["body"].update(remark=""),
    "another key named": lambda entries: entries[0]["body"]["key"].update(new_key()),
    "another party": lambda entries: entries[0]["body"].update(party="neutral"),
}


def new_key() -> dict[str, Any]:
    key: dict[str, Any] = msgspec.to_builtins(new_signer().key)
    return key


@pytest.mark.parametrize("what", RECHAINED)
def test_chaining_anew_without_the_key_is_found_by_the_signatures(world: World, what: str, tmp_path: Path) -> None:
    case = world.copy(tmp_path / "case")
    rechained(case, RECHAINED[what])
    detected(case, {SIGNATURES}, f"chained anew: {what}")


TIMES = {
    "later than the next": (12, "2099-01-01T00:00:00Z", {CHAIN}),
    "earlier than the one before": (12, "2001-01-01T00:00:00Z", {CHAIN}),
    "a day that does not exist": (12, "2026-02-30T00:00:00Z", {CHAIN}),
    "with another time zone": (12, "2026-01-31T08:15:00+01:00", {CHAIN}),
    "with fractions of a second": (12, "2026-01-31T08:15:00.5Z", {CHAIN}),
    "no time at all": (12, "yesterday", {CHAIN}),
    "the last one later than its checkpoint": (29, "2099-01-01T00:00:00Z", {SIGNATURES, STAMPS}),
}


@pytest.mark.parametrize("what", TIMES)
def test_no_entry_can_be_dated_otherwise(world: World, what: str, tmp_path: Path) -> None:
    at, time, checks = TIMES[what]
    case = world.copy(tmp_path / "case")
    rechained(case, lambda entries: entries[at].update(time=time))
    detected(case, checks, f"an entry dated {what}")


def test_entries_after_the_closing_are_refused(world: World, tmp_path: Path) -> None:
    case = world.copy(tmp_path / "case")
    rechained(case, lambda entries: entries.append(entries[27]))
    detected(case, {CHAIN}, "an entry after the closing")


# --------------------------------------------------------------------------- whoever holds the case's own key (the insider)


def changing(kind: type[Body], change: Callable[[Any, CaseFolder], Any], which: int = 0) -> Change:
    """The `which`-th body of a kind replaced; None takes the entry out."""
    seen = []

    def changed(_number: int, body: Body, case: CaseFolder) -> Sequence[Body]:
        if not isinstance(body, kind):
            return (body,)
        seen.append(body)
        if len(seen) != which + 1:
            return (body,)
        instead = change(body, case)
        return () if instead is None else instead if isinstance(instead, tuple) else (instead,)

    return changed


def with_fields(**fields: Any) -> Callable[[Any, CaseFolder], Any]:
    return lambda body, _case: msgspec.structs.replace(body, **fields)


def taken_out(_body: Body, _case: CaseFolder) -> None:
    return None


def with_record(change: Callable[[Examination], Examination]) -> Callable[[Any, CaseFolder], Any]:
    """The examination's record changed, and every digest with it."""

    def changed(body: Examined, case: CaseFolder) -> Examined:
        record = change(case.get_record(body.record, Examination))
        return msgspec.structs.replace(
            body,
            record=case.put_record(record),
            outcomes=digest({"outcomes": record.outcomes, "conclusions": record.conclusions}),
        )

    return changed


def with_plan(change: Callable[[Plan], Plan]) -> Callable[[Any, CaseFolder], Any]:
    return lambda body, case: msgspec.structs.replace(
        body, plan=case.put_record(change(case.get_record(body.plan, Plan)))
    )


def with_manifest(change: Callable[[Manifest], Manifest]) -> Callable[[Any, CaseFolder], Any]:
    return lambda body, case: msgspec.structs.replace(
        body, manifest=case.put_record(change(case.get_record(body.manifest, Manifest)))
    )


def a_better_finding(record: Examination) -> Examination:
    at = next(at for at, outcome in enumerate(record.outcomes) if isinstance(outcome, Finding))
    outcomes = list(record.outcomes)
    outcomes[at] = msgspec.structs.replace(outcomes[at], log10_p=-12.0)
    return msgspec.structs.replace(record, outcomes=tuple(outcomes))


def a_bolder_conclusion(record: Examination) -> Examination:
    conclusions = [msgspec.structs.replace(one, word="extremely strong support") for one in record.conclusions]
    return msgspec.structs.replace(record, conclusions=tuple(conclusions))


def without_an_outcome(record: Examination) -> Examination:
    return msgspec.structs.replace(record, outcomes=record.outcomes[:-1])


def without_an_observation(record: Examination) -> Examination:
    return msgspec.structs.replace(record, observations=record.observations[1:])


def without_the_control(record: Examination) -> Examination:
    return msgspec.structs.replace(record, controls=())


def with_another_seed(record: Examination) -> Examination:
    return msgspec.structs.replace(record, seed=record.seed + 1)


def of_other_bytes(manifest: Manifest) -> Manifest:
    files = [msgspec.structs.replace(file, sha256="ab" * 32) for file in manifest.files]
    return msgspec.structs.replace(manifest, files=tuple(files), inside=False)


def unpacked_elsewhere(manifest: Manifest) -> Manifest:
    first, *rest = manifest.files
    return msgspec.structs.replace(manifest, files=(msgspec.structs.replace(first, name="../../.bashrc"), *rest))


def opened_elsewhere(manifest: Manifest) -> Manifest:
    return msgspec.structs.replace(manifest, location="./../../.ssh/id_ed25519")


def two_names_exchanged(body: Revealed, _case: CaseFolder) -> Revealed:
    first, second, *_ = body.exhibits
    swapped = {**body.exhibits, first: body.exhibits[second], second: body.exhibits[first]}
    return msgspec.structs.replace(body, exhibits=swapped)


def blank_declarations(body: Reported, case: CaseFolder) -> Reported:
    blank = Declarations(**{**dict.fromkeys(REQUIRED, "as agreed"), "limits": " "})
    return msgspec.structs.replace(body, declarations=case.put_record(blank))


def seals_moved_behind_the_observations() -> Change:
    kept: list[Body] = []

    def changed(_number: int, body: Body, _case: CaseFolder) -> Sequence[Body]:
        if isinstance(body, Sealed):
            kept.append(body)
            return ()
        moved = tuple(kept) if isinstance(body, Examined) else ()
        del kept[: len(moved)]
        return (*moved, body)

    return changed


def reveal_moved_before_the_examinations(world: World) -> Change:
    with CaseFolder.open(world.folder) as case:
        revealed = next(entry.body for entry in case.entries if isinstance(entry.body, Revealed))
    seen: list[Body] = []

    def changed(_number: int, body: Body, _case: CaseFolder) -> Sequence[Body]:
        if isinstance(body, Revealed):
            return ()
        if isinstance(body, Examined) and not seen:
            seen.append(body)
            return (revealed, body)
        return (body,)

    return changed


def under_the_first_plan(world: World, kind: type[Body]) -> Change:
    with CaseFolder.open(world.folder) as case:
        first = next(entry.body.plan for entry in case.entries if isinstance(entry.body, Sealed))
    return lambda _number, body, _case: (msgspec.structs.replace(body, plan=first) if isinstance(body, kind) else body,)


def by_their_own_names(_number: int, body: Body, case: CaseFolder) -> Sequence[Body]:
    if isinstance(body, Observed) and body.exhibit not in ("atlas", "cygnus"):
        return (msgspec.structs.replace(body, exhibit="borealis"),)
    return (body,)


INSIDER: dict[str, tuple[Callable[[World], Change], set[int]]] = {
    "a finding made smaller": (lambda w: changing(Examined, with_record(a_better_finding)), {FINDINGS}),
    "a finding of a foil made smaller": (lambda w: changing(Examined, with_record(a_better_finding), 2), {FINDINGS}),
    "a bolder word in the conclusions": (lambda w: changing(Examined, with_record(a_bolder_conclusion)), {FINDINGS}),
    "an outcome left out": (lambda w: changing(Examined, with_record(without_an_outcome)), {FINDINGS}),
    "an observation left out of a record": (
        lambda w: changing(Examined, with_record(without_an_observation)),
        {OBSERVATIONS, COMPLETENESS},
    ),
    "the control left out": (lambda w: changing(Examined, with_record(without_the_control)), {COMPLETENESS}),
    "another seed": (lambda w: changing(Examined, with_record(with_another_seed)), {DRAW}),
    "another digest of the outcomes": (lambda w: changing(Examined, with_fields(outcomes="0" * 64)), {FINDINGS}),
    "an observation dropped": (lambda w: changing(Observed, taken_out), {OBSERVATIONS}),
    "the suspect's observation dropped": (lambda w: changing(Observed, taken_out, 5), {OBSERVATIONS}),
    "an observation said to be absent": (
        lambda w: changing(Observed, with_fields(observation="", absent="it could not be read"), 5),
        {OBSERVATIONS},
    ),
    "an examination dropped": (lambda w: changing(Examined, taken_out, 1), {CUSTODY, COMPLETENESS}),
    "a planned examination called exploratory": (
        lambda w: changing(Examined, with_fields(exploratory=True, purpose="a try")),
        {CUSTODY, FINDINGS},
    ),
    "an exploratory examination called planned": (
        lambda w: changing(Examined, with_fields(exploratory=False), 3),
        {COMPLETENESS},
    ),
    "the record of another model": (
        lambda w: changing(Examined, lambda body, case: msgspec.structs.replace(body, subject="cygnus")),
        {CUSTODY},
    ),
    "an exhibit never admitted": (lambda w: changing(Admitted, taken_out, 2), {CUSTODY}),
    "a suspect of other bytes": (lambda w: changing(Admitted, with_manifest(of_other_bytes), 1), {CUSTODY}),
    "a reference of other bytes": (lambda w: changing(Admitted, with_manifest(of_other_bytes)), {CUSTODY}),
    "a file that would be unpacked elsewhere": (
        lambda w: changing(Admitted, with_manifest(unpacked_elsewhere), 6),
        {CUSTODY},
    ),
    "an exhibit that would be opened elsewhere": (
        lambda w: changing(Admitted, with_manifest(opened_elsewhere), 6),
        {CUSTODY},
    ),
    "an exhibit admitted twice": (lambda w: changing(Admitted, lambda body, case: (body, body), 3), {CUSTODY}),
    "a manifest of another exhibit": (lambda w: changing(Admitted, with_fields(exhibit="gemini"), 4), {CUSTODY}),
    "the suspect observed under its own name": (lambda w: by_their_own_names, {CUSTODY}),
    "code names exchanged": (lambda w: changing(Revealed, two_names_exchanged), {DRAW}),
    "another secret": (lambda w: changing(Revealed, with_fields(secret=SECRET[::-1].hex())), {DRAW}),
    "another commitment": (lambda w: changing(Drawn, with_fields(commitment="0" * 64)), {DRAW}),
    "foils chosen": (
        lambda w: changing(Drawn, lambda body, case: msgspec.structs.replace(body, foils=("eridanus", "draco"))),
        {DRAW},
    ),
    "a seed chosen": (lambda w: changing(Drawn, with_fields(seed="7" * 64)), {DRAW}),
    "the claimant's seed instead of the beacon's": (lambda w: changing(Drawn, with_fields(basis="claimant")), {DRAW}),
    "drawn twice": (lambda w: changing(Drawn, lambda body, case: (body, body)), {DRAW}),
    "no draw": (lambda w: changing(Drawn, taken_out), {CUSTODY, COMPLETENESS}),
    "never revealed": (lambda w: changing(Revealed, taken_out), {COMPLETENESS}),
    "revealed before the results": (reveal_moved_before_the_examinations, {CUSTODY}),
    "the plan sealed after the observations": (lambda w: seals_moved_behind_the_observations(), {PLAN}),
    "an earlier plan observed under": (lambda w: under_the_first_plan(w, Observed), {PLAN}),
    "an earlier plan examined under": (lambda w: under_the_first_plan(w, Examined), {PLAN}),
    "the amendment hidden": (lambda w: changing(Sealed, taken_out, 1), {PLAN}),
    "the first plan hidden": (lambda w: changing(Sealed, taken_out), {PLAN}),
    "an amendment without its changes": (lambda w: changing(Sealed, with_fields(changes=()), 1), {PLAN}),
    "an amendment with other changes": (lambda w: changing(Sealed, with_fields(changes=("controls",)), 1), {PLAN}),
    "an amendment without a reason": (lambda w: changing(Sealed, with_fields(reason=" "), 1), {PLAN}),
    "an amendment said to come after the looks": (
        lambda w: changing(Sealed, with_fields(suspect_was_observed=True), 1),
        {PLAN},
    ),
    "a plan of another case": (
        lambda w: changing(Sealed, with_plan(lambda plan: msgspec.structs.replace(plan, case="6" * 32))),
        {PLAN},
    ),
    "a report without its limits": (lambda w: changing(Reported, blank_declarations), {REPORTS}),
    "a report without declarations": (lambda w: changing(Reported, with_fields(declarations="")), {REPORTS}),
    "a report with another digest": (
        lambda w: changing(Reported, with_fields(files={"report.html": "0" * 64})),
        {REPORTS},
    ),
}


@pytest.mark.parametrize("what", INSIDER)
def test_the_right_key_does_not_help(world: World, what: str, tmp_path: Path) -> None:
    change, checks = INSIDER[what]
    case = world.remade(tmp_path / "case", change(world))
    found = detected(case, checks, f"with the right key: {what}")
    assert not failed(found) & {LAYOUT, CHAIN, SIGNATURES, STAMPS}, "the forgery itself is well made"


def test_what_is_remade_without_a_change_is_accepted(world: World, tmp_path: Path) -> None:
    """The forger's tools make good cases: what the tests above find is the change."""
    case = world.remade(tmp_path / "case")
    assert failed(verified(case)) == set()


def test_no_checkpoint_between_plan_and_observation(world: World, tmp_path: Path) -> None:
    case = world.remade(tmp_path / "case", signed_after=lambda entry: not isinstance(entry.body, Sealed | Drawn))
    detected(case, {PLAN}, "the seal signed after the observations")


def test_no_checkpoint_between_results_and_reveal(world: World, tmp_path: Path) -> None:
    signed = lambda entry: isinstance(entry.body, Sealed | Drawn | Closed)  # noqa: E731
    detected(world.remade(tmp_path / "case", signed_after=signed), {CUSTODY}, "results signed after the reveal")


def another_recorded_relation(record: Examination) -> Examination:
    """The smoothest forgery: the record's controls declared otherwise, and everything judged again in earnest."""
    return msgspec.structs.replace(record, software=msgspec.structs.replace(record.software, version="0.0.1"))


def test_a_checkpoint_handed_over_earlier_convicts_the_holder_of_the_key(world: World, tmp_path: Path) -> None:
    """A record that was changed where nothing else speaks of it verifies alone; the other side's checkpoint does not fit."""
    case = world.remade(tmp_path / "case", changing(Examined, with_record(another_recorded_relation)))
    assert verified(case).passed
    kept = [(world.folder / _checkpoint(world.folder, 4, "json")).read_bytes()]
    detected(case, {SIGNATURES}, "made anew after a checkpoint was handed over", handed_over=kept)


def test_cutting_back_is_seen_by_whoever_kept_a_later_checkpoint(world: World, tmp_path: Path) -> None:
    """Offline a case that is cut back to a checkpoint is an open case of that time; the format says so."""
    case = cut_back(world, tmp_path / "case", 3)
    found = verified(case)
    assert found.state == "open at checkpoint 21"
    assert failed(found) == set()
    assert any("cut back" in remark for remark in found.remarks)
    kept = [(world.folder / _checkpoint(world.folder, -1, "json")).read_bytes()]
    detected(case, {SIGNATURES}, "cut back to an earlier checkpoint", handed_over=kept)


def cut_back(world: World, target: Path, to: int) -> Path:
    """The case as it was at its checkpoint number `to`, counted from 0."""
    case = world.copy(target)
    number = int(_checkpoints(world)[to])
    lines = (case / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    replace(case / "ledger.jsonl", b"".join(lines[:number]))
    for file in case.glob("checkpoints/*"):
        if int(file.name[:6]) > number:
            file.unlink()
    for file in case.glob("reports/*"):
        file.unlink()
    return case


# ------------------------------------------------------------------------------------------------- keys and authorities


def test_another_key_is_seen_by_its_fingerprint(world: World, tmp_path: Path) -> None:
    """Everything signed anew by somebody else: whole in itself, and not the fingerprint that was told."""
    other = new_signer()
    change: Change = lambda _number, body, _case: (  # noqa: E731
        msgspec.structs.replace(body, key=other.key) if isinstance(body, Opened) else body,
    )
    case = world.remade(tmp_path / "case", change, signer=other)
    found = verified(case)
    assert found.passed
    assert found.keyid == other.key.keyid != world.signer.key.keyid
    assert any(other.key.keyid in remark for remark in found.remarks)
    detected(case, {SIGNATURES}, "signed anew with another key", keyid=world.signer.key.keyid)
    kept = [(world.folder / _checkpoint(world.folder, 0, "json")).read_bytes()]
    detected(case, {SIGNATURES}, "signed anew, against a checkpoint handed over", handed_over=kept)


def test_signing_with_a_key_that_the_case_does_not_name(world: World, tmp_path: Path) -> None:
    other = new_signer()
    change: Change = lambda _number, body, _case: (  # noqa: E731
        msgspec.structs.replace(body, key=other.key) if isinstance(body, Opened) else body,
    )
    foreign = world.remade(tmp_path / "foreign", change, signer=other)
    case = world.copy(tmp_path / "case")
    for name in ("json", "receipt.json"):
        file = f"checkpoints/{_checkpoints(world)[0]}.{name}"
        replace(case / file, (foreign / file).read_bytes())
        detected(case, {SIGNATURES}, f"{name} signed with another key")
        replace(case / file, (world.folder / file).read_bytes())


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> LocalAuthority:
    return LocalAuthority.made(tmp_path_factory.mktemp("impostor") / "authority")


def test_a_stamp_of_another_authority(world: World, impostor: LocalAuthority, tmp_path: Path) -> None:
    case = world.copy(tmp_path / "case")
    number = _checkpoints(world)[0]
    stamped = (case / f"checkpoints/{number}.json").read_bytes()
    replace(case / f"checkpoints/{number}.local.tsr", impostor.stamp(stamped))
    detected(case, {STAMPS}, "a stamp of another authority")


def test_a_stamp_over_other_bytes(world: World, tmp_path: Path) -> None:
    case = world.copy(tmp_path / "case")
    replace(case / f"checkpoints/{_checkpoints(world)[0]}.local.tsr", world.authority.stamp(b"something else"))
    detected(case, {STAMPS}, "a stamp over something else")


def test_a_later_stamp_over_the_same_bytes(world: World, tmp_path: Path) -> None:
    """Whoever stamps again has a good stamp of the right authority; the receipt says which one was obtained."""
    case = world.copy(tmp_path / "case")
    number = _checkpoints(world)[0]
    again = world.authority.stamp((case / f"checkpoints/{number}.json").read_bytes())
    replace(case / f"checkpoints/{number}.local.tsr", again)
    detected(case, {STAMPS}, "stamped again")


def test_an_authority_of_the_writers_own(world: World, impostor: LocalAuthority, tmp_path: Path) -> None:
    """Everything signed with the right key and stamped by an authority that only the case itself vouches for."""
    write_case(world.now(authority=impostor), tmp_path / "case", until="draw")
    assert verified(tmp_path / "case", authorities=[impostor.certificate]).passed
    trusted = [world.authority.certificate]
    detected(tmp_path / "case", {STAMPS}, "stamped by an authority of the writer's own", authorities=trusted)


def test_a_case_dated_an_hour_before_it_was_stamped(world: World, tmp_path: Path) -> None:
    started = world.started - timedelta(hours=1)
    case = world.remade(tmp_path / "case", started=started, authorities=(world.authority,))
    detected(case, {STAMPS}, "a plan dated earlier than its stamp")


def test_a_beacon_that_was_known_when_the_plan_was_sealed(world: World, tmp_path: Path) -> None:
    write_case(world.now(), tmp_path / "case", until="draw", pulse_after=-60)
    found = detected(tmp_path / "case", {DRAW}, "a beacon older than the plan's stamp")
    assert failed(found) == {DRAW}


def test_a_report_made_to_say_something_else(world: World, tmp_path: Path) -> None:
    """With the right key its digest can be entered; rendered again it is another."""
    said = b"<p>This report proves everything.</p>\n"
    files = {"report.html": hashlib.sha256(said).hexdigest()}
    case = world.remade(tmp_path / "case", changing(Reported, with_fields(files=files)))
    replace(case / "reports" / "report.html", said)
    assert verified(case).passed
    detected(case, {REPORTS}, "a report that says something else", report=report_again)


# ----------------------------------------------------------------------------------------------------------------- count


def test_at_least_two_hundred_manipulations_were_tried() -> None:
    """Runs last: whatever was made above was detected, and there were enough of them."""
    print(f"{len(TRIED)} manipulations, {len(set(TRIED))} different ones")
    if len(TRIED) < 100:
        pytest.skip("only a part of this file was run")
    assert len(set(TRIED)) >= 200
