"""An opened lot: its files, the checks that they have to pass, and what was drawn.

    lot.json                     the commitment; lot.NAME.tsr its stamps, authority.NAME.pem the root certificates
    beacon.json, beacon.pem      the beacon, and the certificate of NIST
    subject.jsonl                documents or pairs; of a watermark settings.json
    secret.json                  the secret
    tokenizer.json               of a watermark: that of the model that was to mark

Before anything is drawn from the files:

1. The commitment holds: its one signature, its form, the fingerprint that was told by another way.
2. The stamps and the beacon hold, and the beacon became public after every stamp.
3. The subject is the one that was committed to, and can be drawn over.
4. The secret is the one that was committed to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from filiation.case.checking import Checking
from filiation.case.commitments import Order, Trust, certificate_name, check_order, sha256_of
from filiation.case.secret_keys import KEY_BYTES
from filiation.case.secret_keys import commitment as commitment_of_key
from filiation.errors import MalformedSource, RecordError, UsageError
from filiation.evidence import Record, canonical
from filiation.lots.commitment import Commitment, read_commitment
from filiation.lots.drawing import order_of, second_is_published, seed_of
from filiation.lots.subject import Purpose, items_in, read_documents, read_pairs, read_settings

LOT_FILE = "lot.json"
BEACON_FILE = "beacon.json"
BEACON_CERTIFICATE_FILE = "beacon.pem"
SECRET_FILE = "secret.json"
TOKENIZER_FILE = "tokenizer.json"
TITLES = (
    "the commitment is signed and whole",
    "the beacon became public after the stamps",
    "the subject is the one that was committed to",
    "the secret is the one that was committed to",
)
SUBJECT_FILES: dict[Purpose, str] = {"order": "subject.jsonl", "twins": "subject.jsonl", "watermark": "settings.json"}


class Secret(Record, frozen=True, kw_only=True):
    """An opened secret, in hexadecimal, and the SHA-256 of the file of the commitment that it belongs to."""

    commitment: str
    secret: str
    version: int = 1


@dataclass(frozen=True)
class Lot:
    """A lot whose checks all hold.

    `number`: how many lots the owner has committed to, this one included; `known`: how many of that owner's are known of, from others that
    were opened with it; `earlier`: the SHA-256 of the files of those before, as far as they are told; `certificates`: SHA-256 fingerprints
    of the root certificates whose stamps count, and of a NIST beacon's; `remarks`: what rests on somebody's word. `subject` and `files` are
    bytes as they were opened.
    """

    owner: str
    keyid: str
    purpose: Purpose
    made: str
    number: int
    earlier: tuple[str, ...]
    items: int
    stamps: dict[str, datetime]
    beacon: str
    beacon_time: datetime
    certificates: tuple[str, ...]
    remarks: tuple[str, ...]
    commitment_sha256: str
    subject_sha256: str
    seed: bytes = field(repr=False)  # until it is opened its owner alone has it: it stands in no log
    subject: bytes = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    known: int = 1


@dataclass(frozen=True)
class Twin:
    """A pair whose lot is drawn. `number`: its place in the subject, from 0."""

    published: str
    withheld: str
    number: int


def stamp_name(authority: str) -> str:
    return f"lot.{authority}.tsr"


# ---------------------------------------------------------------------------------------------------------------- reading


def read_lot(files: Mapping[str, bytes], trust: Trust, checking: Checking | None = None) -> Lot:
    """The lot in the files of an opened folder, once every check holds. Raises RecordError with the words of the one that does not.

    `checking` keeps what was checked; its titles are TITLES.
    """
    run = checking or Checking(TITLES, "the lot")
    data = files.get(LOT_FILE, b"")
    commitment = run.check(lambda: read_commitment(data, trust.keyid))  # 1
    order = run.check(lambda: _order(files, data, commitment, trust), lambda found: len(found.stamps) + 1)  # 2
    subject = run.check(lambda: _subject(files, commitment), lambda _found: commitment.items)  # 3
    secret = run.check(lambda: _secret(files, commitment, sha256_of(data)))  # 4
    return Lot(
        owner=commitment.owner,
        keyid=commitment.key.keyid,
        purpose=commitment.purpose,
        made=commitment.made,
        number=commitment.number,
        earlier=commitment.earlier,
        items=commitment.items,
        stamps=order.stamps,
        beacon=order.pulse.described,
        beacon_time=order.pulse.time,
        certificates=order.certificates,
        remarks=(*order.remarks, *_of_strays(files, commitment)),
        commitment_sha256=sha256_of(data),
        subject_sha256=commitment.subject_sha256,
        seed=seed_of(secret, commitment.purpose, sha256_of(data), order.pulse.randomness),
        subject=subject,
        files=files,
    )


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise _refused(f"{name} is missing")
    return files[name]


def _order(files: Mapping[str, bytes], data: bytes, commitment: Commitment, trust: Trust) -> Order:
    return check_order(
        data,
        commitment,
        _named(files, commitment, stamp_name),
        _named(files, commitment, certificate_name),
        _file(files, BEACON_FILE),
        files.get(BEACON_CERTIFICATE_FILE, b""),
        trust,
    )


def _named(files: Mapping[str, bytes], commitment: Commitment, name_of: Callable[[str], str]) -> dict[str, bytes]:
    """The files of the authorities that the commitment names; others count for nothing."""
    names = [authority.name for authority in commitment.authorities]
    return {name: files[name_of(name)] for name in names if name_of(name) in files}


def _subject(files: Mapping[str, bytes], commitment: Commitment) -> bytes:
    name = SUBJECT_FILES[commitment.purpose]
    subject = _file(files, name)
    if sha256_of(subject) != commitment.subject_sha256:
        raise _refused(f"{name} is not the subject that was committed to")
    try:
        items = items_in(commitment.purpose, subject, name)
    except (MalformedSource, UsageError) as error:
        raise _refused(f"nothing can be drawn over {name}: {error.message}") from error
    if items != commitment.items:
        raise _refused(f"{name} holds {items} items, the commitment says {commitment.items}")
    _check_tokenizer(files, commitment.purpose, subject)
    return subject


def _check_tokenizer(files: Mapping[str, bytes], purpose: Purpose, subject: bytes) -> None:
    """A tokenizer that could be chosen at the opening could be tried until a text suited the key."""
    if purpose != "watermark" or TOKENIZER_FILE not in files:
        return
    named = read_settings(subject).get("tokenizer")
    if named != sha256_of(files[TOKENIZER_FILE]):
        raise _refused(f"{TOKENIZER_FILE} is not the tokenizer that the settings name")


def _secret(files: Mapping[str, bytes], commitment: Commitment, commitment_sha256: str) -> bytes:
    data = _file(files, SECRET_FILE)
    try:
        told = msgspec.json.decode(data, type=Secret)
        secret = bytes.fromhex(told.secret)
        same = secret_file(secret, told.commitment) == data
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _refused(f"{SECRET_FILE} holds no secret") from error
    if not same or told.commitment != commitment_sha256:
        raise _refused(f"{SECRET_FILE} is not in the one form that it is written in, or belongs to another lot")
    if len(secret) != KEY_BYTES or commitment_of_key(secret) != commitment.secret_sha256:
        raise RecordError(
            "this is not the secret that was committed to", exhibit="the lot", advice="give the file that 'commit' made"
        )
    return secret


def _of_strays(files: Mapping[str, bytes], commitment: Commitment) -> tuple[str, ...]:
    names = [authority.name for authority in commitment.authorities]
    known = {LOT_FILE, BEACON_FILE, BEACON_CERTIFICATE_FILE, SECRET_FILE, TOKENIZER_FILE}
    known |= {SUBJECT_FILES[commitment.purpose], *map(stamp_name, names), *map(certificate_name, names)}
    strays = sorted(set(files) - known)
    return (f"files that belong to no lot were not looked at: {', '.join(strays)[:300]}",) if strays else ()


# ------------------------------------------------------------------------------------------------------------------ drawn


def drawn_order(lot: Lot) -> tuple[int, ...]:
    """The place in the drawn order of each document of the subject, 0 for what is read first."""
    _check_purpose(lot, "order")
    places = [0] * lot.items
    for place, item in enumerate(order_of(lot.seed, lot.items)):
        places[item] = place
    return tuple(places)


def documents(lot: Lot) -> tuple[str, ...]:
    """The documents' texts in the subject's order."""
    _check_purpose(lot, "order")
    return read_documents(lot.subject)


def drawn_twins(lot: Lot) -> tuple[Twin, ...]:
    """The pairs in the subject's order, with what was drawn to be published."""
    _check_purpose(lot, "twins")
    twins = []
    for number, pair in enumerate(read_pairs(lot.subject)):
        texts = (pair.first, pair.second)
        second = second_is_published(lot.seed, number)
        twins.append(Twin(published=texts[second], withheld=texts[not second], number=number))
    return tuple(twins)


def _check_purpose(lot: Lot, purpose: Purpose) -> None:
    if lot.purpose != purpose:
        raise UsageError(
            f"this lot was drawn for {lot.purpose}, not for {purpose}",
            exhibit=lot.commitment_sha256,
            advice="give the lot that was committed to for this",
        )


# ---------------------------------------------------------------------------------------------------------------- writing


def secret_file(secret: bytes, commitment_sha256: str) -> bytes:
    """The bytes of an opened secret's file."""
    return canonical(Secret(commitment=commitment_sha256, secret=secret.hex())) + b"\n"


def _refused(what: str) -> RecordError:
    return RecordError(what, exhibit="the lot", advice="ask for the folder as it was handed over first")
