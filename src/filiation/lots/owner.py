"""What the owner of a lot does: commit, draw, open. One folder holds everything but the two keys, and only its owner may enter it.

subject.jsonl | settings.json   what is drawn over
lot.json                        the signed statement; lot.NAME.tsr its stamps, authority.NAME.pem the root certificates
beacon.json, beacon.pem         the beacon, once it has spoken, and the certificate of NIST
drawn/                          what was drawn: documents.jsonl and order.json; published.jsonl and withheld.jsonl
opened/                         the opened lot, to be handed to whoever examines
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filiation.case.commitments import (
    Authority,
    Trust,
    certificate_name,
    check_named,
    named_authorities,
    sha256_of,
    stamps_of,
)
from filiation.case.files import make_folder, read_file, write_file
from filiation.case.records import Announcement
from filiation.case.signing import Signer
from filiation.case.time_stamps import Stamper
from filiation.errors import UsageError
from filiation.evidence import canonical
from filiation.lots.commitment import Commitment, commitment_file, committed, read_commitment
from filiation.lots.drawing import order_of
from filiation.lots.lot import (
    BEACON_CERTIFICATE_FILE,
    BEACON_FILE,
    LOT_FILE,
    SECRET_FILE,
    SUBJECT_FILES,
    TOKENIZER_FILE,
    Lot,
    drawn_twins,
    read_lot,
    secret_file,
    stamp_name,
)
from filiation.lots.subject import Purpose, raw_lines

DRAWN = "drawn"
OPENED = "opened"


@dataclass(frozen=True)
class Holding:
    """The owner's folder."""

    folder: Path

    def at(self, name: str) -> Path:
        return self.folder / name

    def commitment(self) -> Commitment:
        """Raises RecordError, or UsageError before 'commit'."""
        if not self.at(LOT_FILE).exists():
            raise UsageError(
                "nothing is committed to yet", exhibit=str(self.folder), advice="run 'filiation lot commit' first"
            )
        return read_commitment(read_file(self.at(LOT_FILE)))

    def files(self, *, without: Sequence[str] = ()) -> dict[str, bytes]:
        """What the folder holds of an opened lot: all but the secret."""
        commitment = self.commitment()
        names = [authority.name for authority in commitment.authorities]
        wanted = (
            LOT_FILE,
            SUBJECT_FILES[commitment.purpose],
            BEACON_FILE,
            BEACON_CERTIFICATE_FILE,
            *map(stamp_name, names),
            *map(certificate_name, names),
        )
        return {name: read_file(self.at(name)) for name in wanted if name not in without and self.at(name).exists()}


# ----------------------------------------------------------------------------------------------------------------- commit


def commit(
    holding: Holding,
    subject: bytes,
    purpose: Purpose,
    secret: bytes,
    announcement: Announcement,
    *,
    owner: str,
    signer: Signer,
    now: datetime,
    stampers: Sequence[tuple[Stamper, bytes]] = (),
    certificates: Mapping[str, bytes] | None = None,
    beacon_certificate: bytes = b"",
    number: int = 1,
    earlier: Sequence[str] = (),
) -> tuple[Commitment, tuple[str, ...]]:
    """Commit, have it stamped, and write it down; the second value says why an authority gave no stamp.

    `stampers`: who is asked, each with its root certificate (PEM); `certificates`: those of authorities by name whose stamps will be
    brought as files. Raises UsageError where there is a commitment already, or where the announced beacon would not be later than the
    stamps: then nothing is written.
    """
    if holding.at(LOT_FILE).exists():
        raise UsageError(f"{holding.folder} holds a lot already", advice="name another folder for another lot")
    brought = certificates or {}
    later = tuple(Authority(name=name, certificate=sha256_of(data)) for name, data in brought.items())
    commitment = committed(
        subject,
        purpose,
        secret,
        announcement,
        owner=owner,
        now=now,
        signer=signer,
        number=number,
        earlier=earlier,
        authorities=(*named_authorities(stampers), *later),
    )
    data = commitment_file(commitment, signer)
    stamps, missing = stamps_of(data, commitment, stampers, now)
    files = {SUBJECT_FILES[purpose]: subject}
    files |= {certificate_name(stamper.authority.name): certificate for stamper, certificate in stampers}
    files |= {certificate_name(name): certificate for name, certificate in brought.items()}
    files |= {stamp_name(name): stamp for name, stamp in stamps.items()}
    files |= {BEACON_CERTIFICATE_FILE: beacon_certificate} if beacon_certificate else {}
    make_folder(holding.folder)
    os.chmod(holding.folder, 0o700)
    for name, content in (*files.items(), (LOT_FILE, data)):
        write_file(holding.at(name), content)
    return commitment, missing


# ------------------------------------------------------------------------------------------------------------------- draw


def draw(
    holding: Holding,
    secret: bytes,
    beacon: bytes,
    *,
    certificate: bytes = b"",
    stamps: Mapping[str, bytes] | None = None,
) -> Lot:
    """Take the announced beacon in, once it is verified and later than every stamp, and give what it draws.

    `stamps`: those that were brought as files, by authority. A lot is drawn by one beacon; the same one again draws the same again.
    Raises RecordError where a check fails, UsageError where another beacon was there.
    """
    check_named(holding.commitment(), stamps or {})
    given = {stamp_name(name): stamp for name, stamp in (stamps or {}).items()}
    given |= {BEACON_FILE: beacon} | ({BEACON_CERTIFICATE_FILE: certificate} if certificate else {})
    for name, content in given.items():
        if holding.at(name).exists() and name != BEACON_CERTIFICATE_FILE and read_file(holding.at(name)) != content:
            raise UsageError(
                f"{name} is there already, and is another one",
                exhibit=str(holding.folder),
                advice="a lot has one of each",
            )
    lot = _lot(holding, secret, given)
    for name, content in given.items():
        write_file(holding.at(name), content)
    return lot


def _lot(holding: Holding, secret: bytes, given: Mapping[str, bytes]) -> Lot:
    files = holding.files(without=tuple(given)) | dict(given)
    files[SECRET_FILE] = secret_file(secret, sha256_of(files[LOT_FILE]))
    return read_lot(files, Trust(copies=True))


def drawn(holding: Holding, secret: bytes) -> Lot:
    """The lot that was drawn before. Raises UsageError before 'draw'."""
    holding.commitment()
    if not holding.at(BEACON_FILE).exists():
        raise UsageError("nothing is drawn yet", exhibit=str(holding.folder), advice="run 'filiation lot draw' first")
    return _lot(holding, secret, {})


def drawn_files(lot: Lot) -> dict[str, bytes]:
    """What was drawn, as files by name. A watermark's key is for its scheme to write."""
    if lot.purpose == "order":
        lines, order = raw_lines(lot.subject), order_of(lot.seed, lot.items)
        told = {"commitment": lot.commitment_sha256, "order": list(order), "version": 1}
        return {"documents.jsonl": _lines(lines[item] for item in order), "order.json": canonical(told) + b"\n"}
    if lot.purpose == "twins":
        twins = drawn_twins(lot)
        return {
            "published.jsonl": _lines(canonical({"text": twin.published, "number": twin.number}) for twin in twins),
            "withheld.jsonl": _lines(canonical({"text": twin.withheld, "number": twin.number}) for twin in twins),
        }
    return {}


def _lines(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def write_drawn(holding: Holding, files: Mapping[str, bytes]) -> Path:
    """Write what was drawn for its owner alone, and give the folder."""
    folder = holding.at(DRAWN)
    make_folder(folder)
    os.chmod(folder, 0o700)
    for name, content in files.items():
        write_file(folder / name, content)
        os.chmod(folder / name, 0o600)
    return folder


# ------------------------------------------------------------------------------------------------------------------- open


def opened_files(holding: Holding, secret: bytes, tokenizer: bytes = b"") -> dict[str, bytes]:
    """The files of the opened lot, every check made once more. `tokenizer`: of a watermark, the tokenizer.json of the model that marks."""
    lot = drawn(holding, secret)
    if (lot.purpose == "watermark") != bool(tokenizer):
        raise UsageError(
            "a watermark is opened with the tokenizer of the model that marked, and nothing else is",
            advice="give --tokenizer PATH for a watermark, and only then",
        )
    files = dict(lot.files) | ({TOKENIZER_FILE: tokenizer} if tokenizer else {})
    read_lot(files, Trust(copies=True))
    return files


def open_lot(holding: Holding, secret: bytes, folder: Path, tokenizer: bytes = b"") -> dict[str, bytes]:
    """Write the opened lot into a folder, which is made where there is none. Raises UsageError where something else is in it."""
    files = opened_files(holding, secret, tokenizer)
    make_folder(folder)
    strays = sorted(path.name for path in folder.iterdir() if path.name not in files)
    if strays:
        raise UsageError(
            f"the folder holds something else already: {', '.join(strays)[:200]}",
            exhibit=str(folder),
            advice="name a new folder; whatever lies in it would be handed on",
        )
    for name, content in files.items():
        write_file(folder / name, content)
    return files
