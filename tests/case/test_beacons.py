"""Real rounds of drand and a real pulse of NIST (see beacons/SOURCES.md), and what must be refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from filiation.case import beacons
from filiation.case.beacons import DEFAULT, QUICKNET, Chain, read_beacon
from filiation.case.records import Announcement
from filiation.errors import RecordError, UsageError

HERE = Path(__file__).parent / "beacons"
CERTIFICATE = (HERE / "nist-certificate.pem").read_bytes()
TESTNET = Announcement(
    basis="drand",
    chain="7672797f548f3f4748ac4bf3352fc6c6b6468c9ad40ad456a397545c6e2df5bf",
    round=223344,
    scheme="pedersen-bls-unchained",
    public_key="8200fc249deb0148eb918d6e213980c5d01acd7fc251900d9260136da3b54836ce125172399ddc69c4e3e11429b62c11",
    genesis=1651677099,
    period=3,
)
NIST = Announcement(basis="nist", chain="1", round=54610, time="2018-08-30T17:44:00Z")


def of(chain: Chain, round: int) -> Announcement:
    moment = datetime.fromtimestamp(chain.genesis + (round - 1) * chain.period, UTC)
    return beacons.announced(chain.name, moment)


def file(name: str) -> bytes:
    return (HERE / f"{name}.json").read_bytes()


def changed(name: str, **fields: Any) -> bytes:
    """A round with other fields, and with the randomness that belongs to its signature."""
    content = {**json.loads(file(name)), **fields}
    signature = bytes.fromhex(content["signature"]) if "randomness" not in fields else b""
    content["randomness"] = fields.get("randomness", hashlib.sha256(signature).hexdigest())
    return json.dumps(content).encode()


# --------------------------------------------------------------------------------------------------------------- drand


ROUNDS = {
    "quicknet-1000": (
        of(QUICKNET, 1000),
        "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd",
        "2023-08-23T15:59:24+00:00",
    ),
    "quicknet-657413": (
        of(QUICKNET, 657413),
        "fc1873a13f3545aeade8401532ef5519920652eee6b0d2b19ca12643b87b3587",
        "2023-09-15T11:00:03+00:00",
    ),
    "default-1337": (
        of(DEFAULT, 1337),
        "2660664f8d4bc401194d80d81da20a1e79480f65b8e2d205aecbd143b5bfb0d3",
        "2020-07-23T02:25:30+00:00",
    ),
    "default-3311596": (
        of(DEFAULT, 3311596),
        "647c07b2abbf7ff2afb4d670214f565e5cd9f9c91bfdcecb59a21f3c78d73920",
        "2023-09-15T11:55:00+00:00",
    ),
    "testnet-unchained-223344": (
        TESTNET,
        json.loads(file("testnet-unchained-223344"))["randomness"],
        "2022-05-12T09:18:48+00:00",
    ),
}


@pytest.mark.parametrize("name", ROUNDS)
def test_against_rounds_that_drand_published(name: str) -> None:
    announcement, randomness, time = ROUNDS[name]
    pulse = read_beacon(file(name), announcement)
    assert pulse.randomness.hex() == randomness
    assert pulse.time.isoformat() == time
    assert f"round {announcement.round}" in pulse.described


def test_hashes_of_the_known_chains_against_the_published_ones() -> None:
    """The hash covers every parameter, so that a slip in one of them would show."""
    assert DEFAULT.hash == "8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce"
    assert QUICKNET.hash == "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"


def test_a_chain_that_only_the_plan_knows_is_told_as_such() -> None:
    assert (
        "known to this version by nothing but the plan"
        in read_beacon(file("testnet-unchained-223344"), TESTNET).described
    )
    assert read_beacon(file("quicknet-1000"), of(QUICKNET, 1000)).described == "drand quicknet, round 1000"


REFUSED = {
    "another round": (file("quicknet-1000"), of(QUICKNET, 999), "this is round 1000, announced was 999"),
    "the round renamed": (
        changed("quicknet-1000", round=999),
        of(QUICKNET, 999),
        "signature does not verify under the announced key",
    ),
    "the signature of another round": (
        changed("quicknet-1000", signature=json.loads(file("quicknet-657413"))["signature"]),
        of(QUICKNET, 1000),
        "signature does not verify under the announced key",
    ),
    "another previous signature": (
        changed("default-1337", previous_signature=json.loads(file("default-3311596"))["previous_signature"]),
        of(DEFAULT, 1337),
        "signature does not verify under the announced key",
    ),
    "no previous signature": (
        changed("default-1337", previous_signature=""),
        of(DEFAULT, 1337),
        "lacks the previous signature",
    ),
    "a previous signature too many": (
        changed("quicknet-1000", previous_signature="ab"),
        of(QUICKNET, 1000),
        "which its chain has not",
    ),
    "randomness of its own": (
        changed("quicknet-1000", randomness="00" * 32),
        of(QUICKNET, 1000),
        "the randomness is not the hash of the signature",
    ),
    "a signature of the other group": (
        changed("quicknet-1000", signature=json.loads(file("default-1337"))["signature"]),
        of(QUICKNET, 1000),
        "the signature has 96 bytes, not 48",
    ),
    "the point at infinity": (
        changed("quicknet-1000", signature="c0" + "00" * 47),
        of(QUICKNET, 1000),
        "no point of the group that signatures are made in",
    ),
    "a point outside the subgroup": (  # x = 4 lies on the curve, not in the subgroup of prime order
        changed("quicknet-1000", signature="80" + "00" * 46 + "04"),
        of(QUICKNET, 1000),
        "no point of the group that signatures are made in",
    ),
    "no point at all": (
        changed("quicknet-1000", signature="80" + "00" * 46 + "01"),
        of(QUICKNET, 1000),
        "the signature is no point of the curve",
    ),
    "quicknet under another key": (
        file("quicknet-1000"),
        msgspec.structs.replace(of(QUICKNET, 1000), public_key="aa" * 96),
        "announced the chain quicknet with another public key than it has",
    ),
    "quicknet with another genesis": (
        file("quicknet-1000"),
        msgspec.structs.replace(of(QUICKNET, 1000), genesis=1),
        "announced the chain quicknet with another genesis than it has",
    ),
    "a foreign key": (
        file("testnet-unchained-223344"),
        msgspec.structs.replace(TESTNET, public_key=DEFAULT.public_key),
        "public key of the chain default",
    ),
    "an infinite key with an infinite signature": (
        changed("testnet-unchained-223344", signature="c0" + "00" * 95),
        msgspec.structs.replace(TESTNET, public_key="c0" + "00" * 47),
        "no point of the group that signatures are made in",
    ),
    "a chain that is older than time": (
        file("testnet-unchained-223344"),
        msgspec.structs.replace(TESTNET, genesis=10**18),
        "round 223344 of the announced chain is at no time",
    ),
    "brackets without end": (b'{"round":' + b"[" * 100_000, of(QUICKNET, 1000), "this is not a round of drand"),
    "an unknown scheme": (
        file("quicknet-1000"),
        msgspec.structs.replace(of(QUICKNET, 1000), scheme="bls-unchained-on-g1"),
        "the scheme 'bls-unchained-on-g1' is not known",
    ),
    "an unknown field": (changed("quicknet-1000", note="x"), of(QUICKNET, 1000), "this is not a round of drand"),
    "no JSON": (b"\xff", of(QUICKNET, 1000), "this is not a round of drand"),
    "no announcement": (file("quicknet-1000"), Announcement(basis="claimant"), "the plan announced no beacon"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_the_announced_round_is_refused(case: str) -> None:
    data, announcement, message = REFUSED[case]
    with pytest.raises(RecordError, match=message):
        read_beacon(data, announcement)


@pytest.mark.parametrize("name", ["quicknet-1000", "default-1337"])
def test_no_bit_of_the_file_can_be_flipped(name: str) -> None:
    """All that the hash of the signature tells; the next test flips bits where the pairing has to tell."""
    data, announcement = file(name), ROUNDS[name][0]
    unsigned = data.index(b"previous_signature") if b"previous_signature" in data else len(data)
    for bit in range(unsigned * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RecordError):
            read_beacon(bytes(flipped), announcement)


@pytest.mark.parametrize("bit", [0, 130, 383, 1])
def test_no_bit_of_a_signature_can_be_flipped_whatever_its_hash(bit: int) -> None:
    signature = int(json.loads(file("quicknet-1000"))["signature"], 16) ^ (1 << bit)
    with pytest.raises(RecordError, match="signature"):
        read_beacon(changed("quicknet-1000", signature=f"{signature:096x}"), of(QUICKNET, 1000))


@pytest.mark.parametrize("bit", [0, 400])
def test_no_bit_of_the_previous_signature_can_be_flipped(bit: int) -> None:
    previous = int(json.loads(file("default-1337"))["previous_signature"], 16) ^ (1 << bit)
    with pytest.raises(RecordError, match="signature does not verify"):
        read_beacon(changed("default-1337", previous_signature=f"{previous:0192x}"), of(DEFAULT, 1337))


MOMENTS = {
    "at genesis": (timedelta(0), 1),
    "before genesis": (timedelta(days=-9), 1),
    "a moment after": (timedelta(microseconds=1), 2),
    "at the second round": (timedelta(seconds=3), 2),
    "between": (timedelta(seconds=4), 3),
}


@pytest.mark.parametrize("case", MOMENTS)
def test_the_first_round_that_is_not_before_a_moment(case: str) -> None:
    after, round = MOMENTS[case]
    announcement = beacons.announced("quicknet", datetime.fromtimestamp(QUICKNET.genesis, UTC) + after)
    assert announcement.round == round
    assert beacons.address(announcement).endswith(f"{QUICKNET.hash}/public/{round}")


def test_a_chain_nobody_knows_cannot_be_announced_by_name() -> None:
    with pytest.raises(UsageError, match="give one of default, quicknet"):
        beacons.announced("slownet", datetime.now(UTC))


# ---------------------------------------------------------------------------------------------------------------- NIST


def test_against_a_pulse_that_nist_published() -> None:
    pulse = read_beacon(file("nist-1-54610"), NIST, CERTIFICATE)
    assert pulse.randomness.hex().upper() == json.loads(file("nist-1-54610"))["pulse"]["outputValue"]
    assert pulse.time == datetime(2018, 8, 30, 17, 44, tzinfo=UTC)
    assert "chain 1, pulse 54610" in pulse.described
    assert "CN=engine.beacon.nist.gov" in pulse.described


def test_the_layout_against_a_pulse_of_2026() -> None:
    """Its certificate is not at hand, but its output value covers the same bytes that are signed."""
    pulse = msgspec.json.decode(file("nist-2-1918805"), type=beacons._NistFile).pulse
    covered = beacons._serialised(pulse) + bytes.fromhex(pulse.signature_value)
    assert hashlib.sha512(covered).hexdigest().upper() == pulse.output_value


def nist_with(**fields: Any) -> bytes:
    return json.dumps({"pulse": {**json.loads(file("nist-1-54610"))["pulse"], **fields}}).encode()


REFUSED_PULSES: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "another pulse": (file("nist-1-54610"), {"round": 54611}, "this is pulse 54610, announced was 54611"),
    "another chain": (file("nist-1-54610"), {"chain": "2"}, "this is chain 1, announced was 2"),
    "another time": (
        file("nist-1-54610"),
        {"time": "2018-08-30T17:45:00Z"},
        "this pulse is of 2018-08-30T17:44:00.000Z, announced was 2018-08-30T17:45:00Z",
    ),
    "neither pulse nor time": (file("nist-1-54610"), {"round": 0, "time": ""}, "announced neither a pulse nor a time"),
    "another certificate announced": (file("nist-1-54610"), {"certificate": "0" * 64}, "is not the announced one"),
    "another certificate used": (
        file("nist-2-1918805"),
        {"chain": "2", "round": 1918805, "time": ""},
        "the pulse was signed with another certificate",
    ),
    "another cipher suite": (nist_with(cipherSuite=1), {}, "the cipher suite 1 is not known"),
    "a number too large": (nist_with(statusCode=2**40), {}, "does not fit the pulse's layout"),
    "another output value": (nist_with(outputValue="00" * 64), {}, "the output value is not the hash of the pulse"),
    "letters of both sizes": (nist_with(outputValue="aB" * 64), {}, "the output value is not hexadecimal"),
    "no time": (nist_with(timeStamp="noon"), {}, "this is no time"),
    "a round of drand": (file("quicknet-1000"), {}, "this is not a pulse of the NIST beacon"),
    "brackets without end": (b'{"pulse":' + b"[" * 100_000, {}, "this is not a pulse of the NIST beacon"),
}


@pytest.mark.parametrize("case", REFUSED_PULSES)
def test_what_is_not_the_announced_pulse_is_refused(case: str) -> None:
    data, fields, message = REFUSED_PULSES[case]
    with pytest.raises(RecordError, match=message):
        read_beacon(data, msgspec.structs.replace(NIST, **fields), CERTIFICATE)


def test_only_what_nobody_signs_can_be_changed_in_a_pulse() -> None:
    """One bit of every byte. The addresses and the kinds of earlier pulses are not among the fields that are signed."""
    data = file("nist-1-54610")
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place * 5) % 8
        try:
            read_beacon(bytes(flipped), NIST, CERTIFICATE)
        except RecordError:
            continue
        line = data[data.rfind(b"\n", 0, place) + 1 : data.find(b"\n", place)]
        assert line.startswith((b'      "uri"', b'      "type"')), line


def own_pulse(days_valid: int = 1, key: Any = None) -> tuple[bytes, bytes]:
    """A pulse after the published layout with a certificate of the test's own."""
    owner = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a beacon of the tests")])
    moment = datetime(2018, 8, 30, 17, 44, tzinfo=UTC)
    start, end = sorted((moment - timedelta(days=1), moment + timedelta(days=days_valid)))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(owner.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(end)
        .sign(owner, hashes.SHA256())
    )
    identity = hashlib.sha512(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
    fields = json.loads(nist_with(certificateId=identity, statusCode=2))["pulse"]
    message = beacons._serialised(msgspec.convert(fields, type=beacons._NistPulse))
    signature = (key or owner).sign(message, padding.PKCS1v15(), hashes.SHA512())
    fields["signatureValue"] = signature.hex()
    fields["outputValue"] = hashlib.sha512(message + signature).hexdigest()
    return json.dumps({"pulse": fields}).encode(), certificate.public_bytes(serialization.Encoding.PEM)


def test_a_pulse_of_somebody_else_is_told_to_be_theirs() -> None:
    data, certificate = own_pulse()
    announcement = msgspec.structs.replace(NIST, certificate=hashlib.sha256(certificate).hexdigest(), round=0)
    described = read_beacon(data, announcement, certificate).described
    assert described.endswith("pulse 54610, with status 2, signed with the certificate of CN=a beacon of the tests")


def test_a_certificate_that_had_run_out_and_a_signature_of_another_key_are_refused() -> None:
    data, certificate = own_pulse(days_valid=-3)
    with pytest.raises(RecordError, match="the certificate was not valid at 2018-08-30"):
        read_beacon(data, NIST, certificate)
    data, certificate = own_pulse(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    with pytest.raises(RecordError, match="does not verify under the certificate"):
        read_beacon(data, NIST, certificate)
    with pytest.raises(RecordError, match="this is no certificate"):
        read_beacon(data, NIST, b"")


def test_where_an_announced_beacon_is_found() -> None:
    assert beacons.address(NIST) == "https://beacon.nist.gov/beacon/2.0/chain/1/pulse/54610"
    assert beacons.address(msgspec.structs.replace(NIST, round=0)).endswith("/pulse/time/1535651040000")
    assert beacons.address(Announcement(basis="claimant")) == ""


def test_verifying_a_round_leaves_pythons_recursion_limit_alone_so_that_deep_json_cannot_overflow_the_stack() -> None:
    """py_ecc lifts the limit to 100,000 when it is imported: a JSON text nested so deep would end the process."""
    told = """
import sys, msgspec
from filiation.case import beacons
beacons._pairing_library()
assert sys.getrecursionlimit() == 1000
try:
    msgspec.json.decode(b"[" * 90_000 + b"]" * 90_000)
except RecursionError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    assert done.stdout == "refused\n", done.stderr[-500:]


def test_a_known_key_under_another_genesis_is_refused() -> None:
    """An old round would get a later time, and seem to have been still to come when the plan was stamped."""
    announcement = msgspec.structs.replace(
        beacons.announced("quicknet", datetime(2026, 1, 1, tzinfo=UTC)),
        chain="ab" * 32,
        genesis=QUICKNET.genesis + 10**7,
    )
    with pytest.raises(RecordError, match="public key of the chain quicknet"):
        read_beacon(
            json.dumps({"round": announcement.round, "randomness": "", "signature": "00"}).encode(), announcement
        )
