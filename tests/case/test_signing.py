"""Envelopes, keys and statements, held against securesystemslib's own check, RFC 8032 and the `openssl` program."""

from __future__ import annotations

import base64
import json
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.case.records import CheckpointPredicate, PublicKey, ReceiptPredicate
from filiation.case.signing import (
    PAYLOAD_TYPE,
    Signer,
    check_key,
    checkpoint_statement,
    envelope,
    keyid_of,
    load_signer,
    new_signer,
    opened,
    read_checkpoint,
    read_receipt,
    receipt_statement,
    save_signer,
)
from filiation.errors import MissingExtra, RecordError, SourceNotFound, UsageError
from filiation.evidence import canonical

HEAD = "5e" * 32
PREDICATE = CheckpointPredicate(
    case="0123456789abcdef0123456789abcdef", sequence=12, time="2026-11-21T10:00:00Z", stamps=("north", "south")
)
RECEIPT = ReceiptPredicate(
    case=PREDICATE.case, sequence=12, checkpoint="a1" * 32, stamps={"north": "b2" * 32, "south": "c3" * 32}
)
# RFC 8032, section 7.1, test 1: the secret key, the public key, and the signature over no bytes at all.
RFC_8032_SECRET = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
RFC_8032_PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
RFC_8032_SIGNATURE = (
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="the program openssl is not installed")


@pytest.fixture(scope="module")
def signer() -> Signer:
    return new_signer()


def checkpoint(signer: Signer) -> bytes:
    return envelope(checkpoint_statement(PREDICATE, HEAD), signer)


def pae(payload: bytes) -> bytes:
    """Written out from the DSSE protocol, not taken from the library."""
    return b"DSSEv1 28 application/vnd.in-toto+json " + str(len(payload)).encode() + b" " + payload


def openssl(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True)


def rfc_8032_key(folder: Path) -> Path:
    der = bytes.fromhex("302e020100300506032b657004220420" + RFC_8032_SECRET)
    text = base64.b64encode(der).decode()
    path = folder / "rfc8032.pem"
    path.write_text(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    return path


# ------------------------------------------------------------------------------------------------------------ envelopes


def test_what_was_signed_is_read_again(signer: Signer) -> None:
    assert read_checkpoint(opened(checkpoint(signer), signer.key)) == (PREDICATE, HEAD)
    assert read_receipt(opened(envelope(receipt_statement(RECEIPT), signer), signer.key)) == RECEIPT


def test_signing_twice_gives_the_same_bytes(signer: Signer) -> None:
    assert checkpoint(signer) == checkpoint(signer)


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(statement=st.dictionaries(TEXT, JSON, max_size=4))
def test_any_statement_survives_the_envelope(signer: Signer, statement: dict[str, Any]) -> None:
    assert opened(envelope(statement, signer), signer.key) == statement


def test_every_single_bit_of_an_envelope_counts(signer: Signer) -> None:
    data = checkpoint(signer)
    for place in range(len(data)):
        for bit in range(8):
            changed = data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]
            with pytest.raises(RecordError):
                opened(changed, signer.key)


@settings(max_examples=300)
@given(choices=st.data())
def test_no_changed_inserted_or_removed_byte_is_accepted(signer: Signer, choices: st.DataObject) -> None:
    data = checkpoint(signer)
    place = choices.draw(st.integers(0, len(data) - 1))
    new = bytes([choices.draw(st.integers(0, 255).filter(lambda byte: byte != data[place]))])
    for changed in (
        data[:place] + new + data[place + 1 :],
        data[:place] + data[place + 1 :],
        data[:place] + new + data[place:],
        data[:place],
        data[place + 1 :],
    ):
        with pytest.raises(RecordError):
            opened(changed, signer.key)


def altered(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes, Signer], bytes]:
    """The envelope with its fields changed and written in canonical form again."""

    def alter(data: bytes, signer: Signer) -> bytes:
        fields = json.loads(data)
        change(fields)
        return canonical(fields) + b"\n"

    return alter


def signed_anew(change: Callable[[bytes], bytes], payload_type: str = PAYLOAD_TYPE) -> Callable[[bytes, Signer], bytes]:
    """The payload changed, and signed again by the case's own key."""

    def alter(data: bytes, signer: Signer) -> bytes:
        fields = json.loads(data)
        payload = change(base64.b64decode(fields["payload"]))
        signed = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)
        fields["payload"] = base64.b64encode(payload).decode()
        fields["payloadType"] = payload_type
        fields["signatures"][0]["sig"] = base64.b64encode(signer.sign(signed)).decode()
        return canonical(fields) + b"\n"

    return alter


def _add_a_signature(fields: dict[str, Any]) -> None:
    fields["signatures"].append({"keyid": "0" * 64, "sig": fields["signatures"][0]["sig"]})


def _write_base64_another_way(fields: dict[str, Any]) -> None:
    text = fields["signatures"][0]["sig"]  # 64 bytes: two characters of padding, and four bits that say nothing
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = letters[letters.index(text[-3]) ^ 1]
    assert base64.b64decode(text) == base64.b64decode(text[:-3] + other + "==")
    fields["signatures"][0]["sig"] = text[:-3] + other + "=="


def _add_the_group_order(fields: dict[str, Any]) -> None:
    """S + L: the same signature to a careless verifier (RFC 8032, section 5.1.7, asks for S < L)."""
    raw = base64.b64decode(fields["signatures"][0]["sig"])
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(raw[32:], "little") + order
    fields["signatures"][0]["sig"] = base64.b64encode(raw[:32] + scalar.to_bytes(32, "little")).decode()


ALTERATIONS: dict[str, tuple[Callable[[bytes, Signer], bytes], str]] = {
    "no line feed at the end": (lambda data, _: data[:-1], "canonical JSON"),
    "two line feeds at the end": (lambda data, _: data + b"\n", "canonical JSON"),
    "a byte order mark in front": (lambda data, _: b"\xef\xbb\xbf" + data, "no signed envelope"),
    "a space after a colon": (lambda data, _: data.replace(b":", b": ", 1), "canonical JSON"),
    "a letter written as an escape": (lambda data, _: data.replace(b'"keyid"', b'"k\\u0065yid"'), "canonical JSON"),
    "a field twice": (lambda data, _: b'{"payload":"",' + data[1:], "canonical JSON"),
    "a field that does not belong": (altered(lambda fields: fields.update(more=1)), "no signed envelope"),
    "a field of the signature that does not belong": (
        altered(lambda fields: fields["signatures"][0].update(more=1)),
        "no signed envelope",
    ),
    "no signature": (altered(lambda fields: fields.update(signatures=[])), "0 signatures"),
    "two signatures": (altered(_add_a_signature), "2 signatures"),
    "a signature of 63 bytes": (
        altered(lambda fields: fields["signatures"][0].update(sig=base64.b64encode(bytes(63)).decode())),
        "63 bytes",
    ),
    "a signature written in other base64": (altered(_write_base64_another_way), "canonical form of base64"),
    "a signature with the group's order added": (altered(_add_the_group_order), "does not hold"),
    "base64 with a line break": (
        altered(lambda fields: fields.update(payload=fields["payload"][:8] + "\n" + fields["payload"][8:])),
        "not base64",
    ),
    "base64 for addresses": (
        altered(lambda fields: fields["signatures"][0].update(sig="_" * 86 + "==")),
        "not base64",
    ),
    "another key's name": (
        altered(lambda fields: fields["signatures"][0].update(keyid="0" * 64)),
        "under the key 0000",
    ),
    "another payload type": (signed_anew(lambda payload: payload, "text/plain"), "payload type is 'text/plain'"),
    "a payload that is no JSON": (signed_anew(lambda payload: b"Dear court"), "no statement"),
    "a payload that is a list": (signed_anew(lambda payload: b"[]"), "no statement"),
    "a payload with a space": (signed_anew(lambda payload: payload.replace(b":", b": ", 1)), "canonical JSON"),
    "a payload with a number that has no canonical form": (signed_anew(lambda _: b'{"a":1e999}'), "no statement"),
    "a payload nested a hundred thousand deep": (
        signed_anew(lambda _: b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "no statement",
    ),
    "five megabytes": (lambda data, _: data + b" " * 5_000_000, "bytes, more than"),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_an_envelope_that_is_not_as_we_write_it_is_refused(alteration: str, signer: Signer) -> None:
    alter, said = ALTERATIONS[alteration]
    data = checkpoint(signer)
    changed = alter(data, signer)
    assert changed != data
    with pytest.raises(RecordError, match=said):
        opened(changed, signer.key)


def test_an_envelope_of_another_key_is_refused(signer: Signer) -> None:
    with pytest.raises(RecordError, match="not under the case's key"):
        opened(checkpoint(new_signer()), signer.key)


def test_an_envelope_of_another_key_under_the_name_of_ours_is_refused(signer: Signer) -> None:
    other = new_signer()
    forged = checkpoint(other).replace(other.key.keyid.encode(), signer.key.keyid.encode())
    with pytest.raises(RecordError, match="does not hold"):
        opened(forged, signer.key)


# ------------------------------------------------------------------------------------------------------- interoperability


def test_securesystemslib_verifies_what_we_write(signer: Signer) -> None:
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    written = Envelope.from_dict(json.loads(checkpoint(signer)))
    keys = [SSlibKey(key.keyid, "ed25519", "ed25519", {"public": key.public}) for key in (signer.key, new_signer().key)]
    assert set(written.verify(keys[:1], 1)) == {signer.key.keyid}
    assert json.loads(written.payload) == checkpoint_statement(PREDICATE, HEAD)
    with pytest.raises(VerificationError):
        written.verify(keys[1:], 1)


def test_signature_against_rfc_8032(tmp_path: Path) -> None:
    signer = load_signer(rfc_8032_key(tmp_path))
    assert signer.key.public == RFC_8032_PUBLIC
    assert signer.sign(b"").hex() == RFC_8032_SIGNATURE


@needs_openssl
def test_what_openssl_signs_is_accepted(tmp_path: Path) -> None:
    assert openssl("genpkey", "-algorithm", "ed25519", "-out", tmp_path / "key.pem").returncode == 0
    payload = canonical(checkpoint_statement(PREDICATE, HEAD))
    (tmp_path / "pae").write_bytes(pae(payload))
    signing = ("-inkey", tmp_path / "key.pem", "-in", tmp_path / "pae", "-out", tmp_path / "sig")
    assert openssl("pkeyutl", "-sign", "-rawin", *signing).returncode == 0
    public = openssl("pkey", "-in", tmp_path / "key.pem", "-pubout", "-outform", "DER").stdout[-32:].hex()
    signature = {"keyid": keyid_of(public), "sig": base64.b64encode((tmp_path / "sig").read_bytes()).decode()}
    written = {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": [signature]}
    key = PublicKey(keyid=keyid_of(public), public=public)
    assert read_checkpoint(opened(canonical(written) + b"\n", key)) == (PREDICATE, HEAD)
    assert load_signer(tmp_path / "key.pem").key == key


# What docs/case-file-format.md tells a stranger to type: a checkpoint's file and 64 digits of a key, and no program of ours.
BY_HAND = r"""
set -eu
field() { sed -E "s/.*\"$1\":\"([^\"]*)\".*/\1/" "$CHECKPOINT"; }
field payload | openssl base64 -d -A > payload
field sig     | openssl base64 -d -A > signature
{ printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c < payload)"; cat payload; } > signed
printf "$(printf '302a300506032b6570032100%s' "$PUBLIC" | sed 's/../\\x&/g')" > key.der
openssl pkey -pubin -inform DER -in key.der -out key.pem
tail -c 32 key.der | openssl dgst -sha256 -r | cut -c 1-64
openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in signed -sigfile signature
"""


def by_hand(data: bytes, key: PublicKey, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "000012.json").write_bytes(data)
    environment = {"CHECKPOINT": "000012.json", "PUBLIC": key.public, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    return subprocess.run(["bash", "-c", BY_HAND], cwd=folder, env=environment, capture_output=True, text=True)


@needs_openssl
def test_a_stranger_checks_a_checkpoint_with_openssl_alone(signer: Signer, tmp_path: Path) -> None:
    done = by_hand(checkpoint(signer), signer.key, tmp_path)
    assert done.stdout.splitlines() == [signer.key.keyid, "Signature Verified Successfully"], done.stderr
    assert done.returncode == 0


@needs_openssl
def test_a_stranger_sees_another_key_with_openssl_alone(signer: Signer, tmp_path: Path) -> None:
    done = by_hand(checkpoint(signer), new_signer().key, tmp_path)
    assert "Signature Verification Failure" in done.stdout
    assert done.returncode != 0


# --------------------------------------------------------------------------------------------------------------- statements


STATEMENTS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "another statement type": (lambda fields: fields.update(_type="https://in-toto.io/Statement/v0.1"), "go together"),
    "another predicate type": (lambda fields: fields.update(predicateType="urn:filiation:receipt:v1"), "of the type"),
    "no subject": (lambda fields: fields.update(subject=[]), "64 hexadecimal"),
    "two subjects": (lambda fields: fields.update(subject=fields["subject"] * 2), "go together"),
    "a subject of another name": (lambda fields: fields["subject"][0].update(name="ledger"), "go together"),
    "a second digest": (lambda fields: fields["subject"][0]["digest"].update(md5="00"), "no in-toto Statement"),
    "a digest in capitals": (lambda fields: fields["subject"][0]["digest"].update(sha256="AB" * 32), "64 hexadecimal"),
    "a field of the predicate left out": (lambda fields: fields["predicate"].pop("time"), "not that of"),
    "a field that has its default": (lambda fields: fields["predicate"].update(unstamped=""), "go together"),
    "a field of the predicate too many": (lambda fields: fields["predicate"].update(more=1), "not that of"),
    "a sequence that is a truth value": (lambda fields: fields["predicate"].update(sequence=True), "not that of"),
    "a field of the statement too many": (lambda fields: fields.update(more=1), "no in-toto Statement"),
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_checkpoint_that_says_anything_else_is_refused(statement: str) -> None:
    change, said = STATEMENTS[statement]
    fields = checkpoint_statement(PREDICATE, HEAD)
    change(fields)
    with pytest.raises(RecordError, match=said):
        read_checkpoint(fields)


def test_a_receipt_names_the_files_by_their_paths_in_the_case() -> None:
    assert receipt_statement(RECEIPT)["subject"] == [
        {"name": "checkpoints/000012.json", "digest": {"sha256": "a1" * 32}},
        {"name": "checkpoints/000012.north.tsr", "digest": {"sha256": "b2" * 32}},
        {"name": "checkpoints/000012.south.tsr", "digest": {"sha256": "c3" * 32}},
    ]


def test_a_receipt_whose_subjects_are_not_its_stamps_is_refused() -> None:
    fields = receipt_statement(RECEIPT)
    fields["subject"][1]["digest"]["sha256"] = "d4" * 32
    with pytest.raises(RecordError, match="go together"):
        read_receipt(fields)


def test_a_receipt_with_something_else_than_digests_is_refused() -> None:
    fields = receipt_statement(ReceiptPredicate(case=RECEIPT.case, sequence=12, checkpoint="unknown", stamps={}))
    with pytest.raises(RecordError, match="64 hexadecimal"):
        read_receipt(fields)


# --------------------------------------------------------------------------------------------------------------------- keys


def test_a_key_is_saved_for_its_owner_alone_and_read_again(tmp_path: Path, signer: Signer) -> None:
    save_signer(signer, tmp_path / "case.key")
    assert stat.S_IMODE((tmp_path / "case.key").stat().st_mode) == 0o600
    assert load_signer(tmp_path / "case.key").key == signer.key
    assert checkpoint(load_signer(tmp_path / "case.key")) == checkpoint(signer)


def test_a_key_that_is_there_is_never_replaced(tmp_path: Path, signer: Signer) -> None:
    save_signer(signer, tmp_path / "case.key")
    with pytest.raises(UsageError, match="is there already"):
        save_signer(new_signer(), tmp_path / "case.key")
    assert load_signer(tmp_path / "case.key").key == signer.key


def test_a_key_that_could_not_be_written_whole_leaves_nothing(tmp_path: Path, signer: Signer) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(UsageError, match="cannot be written"):
            save_signer(signer, tmp_path / "case.key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_a_private_key_does_not_show_when_it_is_printed(signer: Signer, tmp_path: Path) -> None:
    save_signer(signer, tmp_path / "case.key")
    secret = (tmp_path / "case.key").read_text().splitlines()[1]
    assert secret not in repr(signer)
    assert "PRIVATE" not in repr(signer)


def test_without_the_package_the_line_to_install_it_is_given(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "securesystemslib", None)
    for use in (new_signer, lambda: opened(checkpoint(signer), signer.key)):
        with pytest.raises(MissingExtra, match=r"filiation\[case\]"):
            use()


def test_a_key_cannot_be_saved_where_there_is_no_folder(tmp_path: Path, signer: Signer) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        save_signer(signer, tmp_path / "nowhere" / "case.key")


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="cannot be read"):
        load_signer(tmp_path / "case.key")


def test_a_key_file_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "case.key").write_text("not a key")
    with pytest.raises(UsageError, match="does not hold a private key in PEM"):
        load_signer(tmp_path / "case.key")


@needs_openssl
@pytest.mark.parametrize(
    ("making", "said"),
    [
        (("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), "another kind than ed25519"),
        (("-algorithm", "ed448"), "another kind than ed25519"),
        (("-algorithm", "ed25519", "-aes256", "-pass", "pass:secret"), "is encrypted"),
        (("-algorithm", "ed25519", "-outform", "DER"), "does not hold a private key in PEM"),
    ],
)
def test_keys_of_openssl_that_are_not_for_a_case(making: tuple[str, ...], said: str, tmp_path: Path) -> None:
    assert openssl("genpkey", *making, "-out", tmp_path / "case.key").returncode == 0
    with pytest.raises(UsageError, match=said):
        load_signer(tmp_path / "case.key")


def test_a_public_key_is_no_private_key(tmp_path: Path) -> None:
    key = rfc_8032_key(tmp_path)
    assert openssl("pkey", "-in", key, "-pubout", "-out", tmp_path / "public.pem").returncode == 0
    with pytest.raises(UsageError, match="does not hold a private key"):
        load_signer(tmp_path / "public.pem")


@pytest.mark.parametrize(
    ("public", "keyid", "said"),
    [
        ("zz" * 32, "00" * 32, "64 hexadecimal"),
        ("AB" * 32, keyid_of("ab" * 32), "64 hexadecimal"),
        ("ab" * 31, keyid_of("ab" * 31), "64 hexadecimal"),
        (RFC_8032_PUBLIC, "00" * 32, "not the SHA-256"),
    ],
)
def test_a_public_key_that_is_not_what_it_says(public: str, keyid: str, said: str) -> None:
    with pytest.raises(RecordError, match=said):
        check_key(PublicKey(keyid=keyid, public=public))


WEAK = (
    "0100000000000000000000000000000000000000000000000000000000000000",  # order 1
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # 2
    "0000000000000000000000000000000000000000000000000000000000000000",  # 4, and with the sign bit below
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",  # 8
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
)
"""The eight points whose eightfold is the neutral element."""


@pytest.mark.parametrize("public", WEAK)
def test_a_key_under_which_anybody_can_sign_is_refused(public: str) -> None:
    """The base point as R and 1 as S satisfy the equation for a share of all messages, without any secret."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    def holds(message: bytes) -> bool:
        with suppress(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(forged, message)
            return True
        return False

    forged = bytes.fromhex("58" + "66" * 31 + "01" + "00" * 31)
    assert any(holds(str(number).encode()) for number in range(200))
    with pytest.raises(RecordError, match="small order"):
        check_key(PublicKey(keyid=keyid_of(public), public=public))
