"""Signatures over a case: an ed25519 key, DSSE envelopes, and the in-toto Statements that they carry.

A checkpoint signs the head of the ledger, a receipt the time-stamps of a checkpoint. Both are envelopes of the Dead Simple
Signing Envelope, version 1.0 (https://github.com/secure-systems-lab/dsse) around an in-toto Statement, version 1
(https://github.com/in-toto/attestation). Any tool that knows these formats checks the signature; a case asks for more, so that
one statement has one byte form and no byte of a file can change unseen:

1. The file is the canonical JSON (RFC 8785) of the envelope and one line feed.
2. It has the fields `payload`, `payloadType` and `signatures` and no others; the type is that of in-toto.
3. There is one signature, under the case's key; `keyid` is the SHA-256 of the key's 32 bytes.
4. Payload and signature are base64 in its one canonical form (RFC 4648, section 4, with padding).
5. The ed25519 signature (RFC 8032) over the pre-authentication encoding holds.
6. The payload is the canonical JSON of the statement.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from filiation.case.records import (
    CHECKPOINT_TYPE,
    RECEIPT_TYPE,
    CheckpointPredicate,
    PublicKey,
    ReceiptPredicate,
)
from filiation.case.secret_keys import write_secret
from filiation.errors import MissingExtra, RecordError, SourceNotFound, UsageError
from filiation.evidence import Record, canonical, json_mapping

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
LEDGER = "ledger.jsonl"
"""Name of a checkpoint's one subject."""

_Predicate = TypeVar("_Predicate", CheckpointPredicate, ReceiptPredicate)
_SIGNATURE_BYTES = 64
_LARGEST_ENVELOPE = 4_000_000
_LARGEST_KEY_FILE = 100_000
_HEXADECIMAL = frozenset("0123456789abcdef")

# Points of small order on the curve of ed25519, their sign bit cleared (RFC 7748 and RFC 8032 name the curve; the list is that of
# Brendel and others, "The Provable Security of Ed25519", 2020, table 5). Under such a key anybody can make a signature that holds.
_WEAK_KEYS = frozenset(
    {
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    }
)


# ------------------------------------------------------------------------------------------------------------------ keys


class Signer:
    """A private ed25519 key, and the public key that stands in the ledger's first entry."""

    key: PublicKey

    def __init__(self, crypto_signer: Any) -> None:
        self._crypto_signer = crypto_signer
        public = crypto_signer.public_key.keyval["public"]
        self.key = PublicKey(keyid=keyid_of(public), public=public)

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of the ed25519 signature over `data` (RFC 8032; the same bytes every time)."""
        return bytes.fromhex(self._crypto_signer.sign(data).signature)

    def _pem(self) -> bytes:
        return bytes(self._crypto_signer.private_bytes)


def keyid_of(public: str) -> str:
    """SHA-256, in hexadecimal, of the 32 bytes of a public key that is given in hexadecimal."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()


def new_signer() -> Signer:
    """A new key, drawn from the system's own randomness."""
    _securesystemslib()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return _signer(Ed25519PrivateKey.generate())


def save_signer(signer: Signer, path: Path) -> None:
    """Write the private key as PEM (PKCS #8, not encrypted), readable by its owner only; a file that is there stays as it is."""
    write_secret(path, signer._pem())


def load_signer(path: Path) -> Signer:
    """The key that `save_signer` wrote, or any ed25519 key in PEM (PKCS #8) without a passphrase.

    Raises SourceNotFound where nothing can be read, UsageError where the file is another kind of key or none.
    """
    _securesystemslib()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    advice = "give an ed25519 key as PEM, such as `openssl genpkey -algorithm ed25519` writes"
    try:
        private = load_pem_private_key(_key_file(path), password=None)
    except TypeError as error:
        raise UsageError(
            f"the key in {path} is encrypted", advice="decrypt it first: openssl pkey -in FILE -out DECRYPTED"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path} does not hold a private key in PEM", advice=advice) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"{path} holds a key of another kind than ed25519", advice=advice)
    return _signer(private)


def _key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_KEY_FILE)
    except OSError as error:
        raise SourceNotFound(
            f"the key file {path} cannot be read: {error.strerror}", advice="give the path of the case's private key"
        ) from error


def _signer(private: Any) -> Signer:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    key = _library_key(PublicKey(keyid=keyid_of(public), public=public))
    return Signer(_securesystemslib().CryptoSigner(private, key))


def _library_key(key: PublicKey) -> Any:
    return _securesystemslib().SSlibKey(key.keyid, "ed25519", key.scheme, {"public": key.public})


def _securesystemslib() -> Any:
    try:
        import cryptography  # noqa: F401
        from securesystemslib import signer
    except ImportError as error:
        raise MissingExtra(
            "signatures need the packages securesystemslib and cryptography", advice='pip install "filiation[case]"'
        ) from error
    return signer


def check_key(key: PublicKey) -> None:
    """RecordError unless this is an ed25519 public key that only its owner can sign under, with the keyid that belongs to it."""
    if not _is_digest(key.public):
        raise RecordError("the public key is not 64 hexadecimal digits", advice="this record was not written here")
    if key.keyid != keyid_of(key.public):
        raise RecordError(
            "the keyid is not the SHA-256 of the public key", advice="compare the keyid with what you were told"
        )
    high = int(key.public[-2:], 16) & 0x7F
    if f"{key.public[:-2]}{high:02x}" in _WEAK_KEYS:
        raise RecordError(
            "the public key is a point of small order: anybody can sign under it",
            advice="refuse this case; no key generator gives such a key",
        )


# -------------------------------------------------------------------------------------------------------------- envelopes


class _Signature(Record, frozen=True, kw_only=True):
    keyid: str
    sig: str


class _Envelope(Record, frozen=True, kw_only=True):
    payload: str
    payload_type: str = msgspec.field(name="payloadType")
    signatures: tuple[_Signature, ...]


def envelope(statement: Record | dict[str, Any], signer: Signer) -> bytes:
    """The bytes of an envelope file: the statement in its canonical form, signed; the same bytes every time."""
    from securesystemslib.dsse import Envelope

    payload = canonical(statement)
    signature = signer.sign(Envelope(payload, PAYLOAD_TYPE, {}).pae())
    return _file_form(
        _Envelope(
            payload=_base64(payload),
            payload_type=PAYLOAD_TYPE,
            signatures=(_Signature(keyid=signer.key.keyid, sig=_base64(signature)),),
        )
    )


def opened(data: bytes, key: PublicKey) -> dict[str, Any]:
    """The statement in an envelope file, once everything about it holds (the numbers are those of the module's docstring).

    Raises RecordError naming what does not hold.
    """
    check_key(key)
    written = _read_envelope(data)  # 1, 2
    signature = _the_signature(written, key)  # 3
    payload = _from_base64(written.payload, "payload")  # 4
    _check_signature(payload, _from_base64(signature.sig, "signature"), key)  # 4, 5
    return _read_statement(payload)  # 6


def _read_envelope(data: bytes) -> _Envelope:
    if len(data) > _LARGEST_ENVELOPE:
        raise _refused(f"the envelope has {len(data)} bytes, more than any checkpoint or receipt needs")
    try:
        written = msgspec.json.decode(data, type=_Envelope)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise _refused(f"the file is no signed envelope: {error}") from error
    if _file_form(written) != data:
        raise _refused("the file is not the canonical JSON (RFC 8785) of an envelope and one line feed")
    if written.payload_type != PAYLOAD_TYPE:
        raise _refused(f"the payload type is {written.payload_type!r}, not {PAYLOAD_TYPE!r}")
    return written


def _the_signature(written: _Envelope, key: PublicKey) -> _Signature:
    if len(written.signatures) != 1:
        raise _refused(f"the envelope has {len(written.signatures)} signatures, not one")
    signature = written.signatures[0]
    if signature.keyid != key.keyid:
        raise _refused(f"signed under the key {signature.keyid}, not under the case's key {key.keyid}")
    return signature


def _check_signature(payload: bytes, signature: bytes, key: PublicKey) -> None:
    library = _securesystemslib()
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError

    if len(signature) != _SIGNATURE_BYTES:
        raise _refused(f"the signature has {len(signature)} bytes, not {_SIGNATURE_BYTES}")
    signed = Envelope(payload, PAYLOAD_TYPE, {key.keyid: library.Signature(key.keyid, signature.hex())})
    try:
        signed.verify([_library_key(key)], threshold=1)
    except VerificationError as error:
        raise _refused("the signature does not hold for this payload under the case's key") from error


def _read_statement(payload: bytes) -> dict[str, Any]:
    try:
        statement = msgspec.json.decode(payload, type=dict[str, Any])
        form = canonical(statement)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _refused(f"the payload is no statement: {error}") from error
    if form != payload:
        raise _refused("the payload is not the canonical JSON (RFC 8785) of its statement")
    return statement


def _file_form(value: _Envelope) -> bytes:
    return canonical(value) + b"\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(f"the {what} is not base64: {error}") from error
    if _base64(data) != text:
        raise _refused(f"the {what} is not in the one canonical form of base64")
    return data


def _refused(what: str) -> RecordError:
    return RecordError(
        what, advice="the file was altered, or another program wrote it; ask for the one handed over before"
    )


# -------------------------------------------------------------------------------------------------------------- statements


def checkpoint_name(sequence: int) -> str:
    """Where a checkpoint lies in the case: 'checkpoints/000012.json'."""
    return f"checkpoints/{sequence:06d}.json"


def stamp_name(sequence: int, authority: str) -> str:
    """Where the time-stamp of an authority lies in the case: 'checkpoints/000012.AUTHORITY.tsr'."""
    return f"checkpoints/{sequence:06d}.{authority}.tsr"


def receipt_name(sequence: int) -> str:
    """Where the receipt of a checkpoint lies in the case: 'checkpoints/000012.receipt.json'."""
    return f"checkpoints/{sequence:06d}.receipt.json"


def checkpoint_statement(predicate: CheckpointPredicate, head: str) -> dict[str, Any]:
    """The Statement that a checkpoint signs; its subject is the ledger, by the digest of its last entry."""
    return _statement(CHECKPOINT_TYPE, {LEDGER: head}, predicate)


def receipt_statement(predicate: ReceiptPredicate) -> dict[str, Any]:
    """The Statement that a receipt signs. `predicate.stamps` maps the name of an authority to the SHA-256 of its .tsr file.

    Subjects are the checkpoint's file and the files of the stamps, by their paths in the case, sorted.
    """
    stamps = {stamp_name(predicate.sequence, name): sha256 for name, sha256 in predicate.stamps.items()}
    return _statement(RECEIPT_TYPE, {checkpoint_name(predicate.sequence): predicate.checkpoint, **stamps}, predicate)


def read_checkpoint(statement: dict[str, Any]) -> tuple[CheckpointPredicate, str]:
    """Predicate and head of the ledger of a checkpoint's statement; RecordError where it says anything else, or less."""
    written = _written_statement(statement, CHECKPOINT_TYPE)
    predicate = _predicate(written, CheckpointPredicate)
    head = written.subject[0].digest.sha256 if written.subject else ""
    _check_statement(statement, checkpoint_statement(predicate, head), (head,))
    return predicate, head


def read_receipt(statement: dict[str, Any]) -> ReceiptPredicate:
    """The predicate of a receipt's statement; RecordError where it says anything else, or less."""
    predicate = _predicate(_written_statement(statement, RECEIPT_TYPE), ReceiptPredicate)
    _check_statement(statement, receipt_statement(predicate), (predicate.checkpoint, *predicate.stamps.values()))
    return predicate


class _Digest(Record, frozen=True, kw_only=True):
    sha256: str


class _Subject(Record, frozen=True, kw_only=True):
    name: str
    digest: _Digest


class _Statement(Record, frozen=True, kw_only=True):
    kind: str = msgspec.field(name="_type")
    subject: tuple[_Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: dict[str, Any]


def _statement(predicate_type: str, subjects: dict[str, str], predicate: Record) -> dict[str, Any]:
    return json_mapping(
        msgspec.to_builtins(
            _Statement(
                kind=STATEMENT_TYPE,
                subject=tuple(_Subject(name=name, digest=_Digest(sha256=subjects[name])) for name in sorted(subjects)),
                predicate_type=predicate_type,
                predicate=msgspec.to_builtins(predicate),
            )
        )
    )


def _written_statement(statement: dict[str, Any], predicate_type: str) -> _Statement:
    try:
        written = msgspec.convert(statement, _Statement)
    except msgspec.ValidationError as error:
        raise _refused(f"the payload is no in-toto Statement: {error}") from error
    if written.predicate_type != predicate_type:
        raise _refused(f"the statement is of the type {written.predicate_type!r}, not {predicate_type!r}")
    return written


def _predicate(written: _Statement, kind: type[_Predicate]) -> _Predicate:
    try:
        return msgspec.convert(written.predicate, kind)
    except msgspec.ValidationError as error:
        raise _refused(f"the predicate is not that of {written.predicate_type}: {error}") from error


def _check_statement(statement: dict[str, Any], expected: dict[str, Any], digests: tuple[str, ...]) -> None:
    """What was read must be, byte for byte, what this module would have written for it."""
    if not all(map(_is_digest, digests)):
        raise _refused("a digest in the statement is not 64 hexadecimal digits")
    if canonical(statement) != canonical(expected):
        raise _refused("the statement's subjects and predicate do not go together, or a field is missing")


def _is_digest(text: str) -> bool:
    return len(text) == 64 and _HEXADECIMAL.issuperset(text)
