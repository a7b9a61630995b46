"""Time-stamps made by a real authority (`openssl ts`), whole and damaged; what `openssl ts -verify` says of them too."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if shutil.which("openssl") is None:
    pytest.skip("the program openssl is not installed", allow_module_level=True)

from filiation.case.records import Authority
from filiation.case.time_stamps import HttpStamper, Stamper, check_stamp
from filiation.errors import MissingExtra, RecordError, SourceNotFound, UsageError
from studies.time_stamping import BEGINNING, END, FAULTS, LocalAuthority

DATA = b"the bytes of a checkpoint\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> LocalAuthority:
    return LocalAuthority.made(tmp_path_factory.mktemp("authority") / "north", name="north")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> LocalAuthority:
    """Another authority, with a certificate between its root and the one that signs."""
    return LocalAuthority.made(tmp_path_factory.mktemp("authority") / "south", name="south", between=True)


@pytest.fixture(scope="module")
def response(authority: LocalAuthority) -> bytes:
    return authority.stamp(DATA)


def openssl(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)


def openssl_verifies(response: bytes, data: bytes, root: bytes, folder: Path, *more: object) -> bool:
    """What docs/case-file-format.md tells a stranger to type."""
    for name, content in (("X.tsr", response), ("FILE", data), ("root.pem", root)):
        (folder / name).write_bytes(content)
    files = ("-in", folder / "X.tsr", "-data", folder / "FILE", "-CAfile", folder / "root.pem")
    return "Verification: OK" in openssl("ts", "-verify", *files, *more).stdout


def asked(authority: LocalAuthority, *how: str) -> bytes:
    """The authority's response to a request made by `openssl ts -query` with these options."""
    query = subprocess.run(["openssl", "ts", "-query", *how], input=DATA, capture_output=True, check=True).stdout
    return authority.answer(query)


# --------------------------------------------------------------------------------------------------------- what is accepted


def test_the_time_of_a_stamp_is_the_authoritys(authority: LocalAuthority) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    stamped = check_stamp(authority.stamp(DATA), DATA, authority.certificate)
    assert before <= stamped <= datetime.now(UTC)
    assert stamped.utcoffset() == timedelta(0)


def test_a_certificate_between_is_found_in_the_response(other: LocalAuthority) -> None:
    check_stamp(other.stamp(DATA), DATA, other.certificate)


def test_a_certificate_between_may_come_with_the_root(other: LocalAuthority, tmp_path: Path) -> None:
    shutil.copytree(other.folder, tmp_path / "sparing")
    (tmp_path / "sparing" / "chain.pem").write_bytes(b"")  # it sends the certificate that signs, and no other
    response = LocalAuthority(tmp_path / "sparing").stamp(DATA)
    check_stamp(response, DATA, other.certificate + (other.folder / "between.pem").read_bytes())
    with pytest.raises(RecordError, match="root certificate"):
        check_stamp(response, DATA, other.certificate)


def test_certificates_may_come_in_any_order(other: LocalAuthority) -> None:
    """Authorities send them in the order of their chain, or of DER; the signature covers neither."""
    response = other.stamp(DATA)
    signing, between = (der_of(other.folder / f"{name}.pem") for name in ("stamping", "between"))
    orders = {
        response.replace(signing + between, between + signing),
        response.replace(between + signing, signing + between),
    }
    assert len(orders) == 2
    assert len({check_stamp(one, DATA, other.certificate) for one in orders}) == 1


def der_of(certificate: Path) -> bytes:
    return subprocess.run(
        ["openssl", "x509", "-in", certificate, "-outform", "DER"], capture_output=True, check=True
    ).stdout


def test_a_stranger_verifies_with_openssl_alone(
    authority: LocalAuthority, other: LocalAuthority, response: bytes, tmp_path: Path
) -> None:
    assert openssl_verifies(response, DATA, authority.certificate, tmp_path)
    assert openssl_verifies(other.stamp(DATA), DATA, other.certificate, tmp_path)
    assert not openssl_verifies(response, DATA + b" ", authority.certificate, tmp_path)
    assert not openssl_verifies(response, DATA, other.certificate, tmp_path)


def test_a_certificate_that_expired_since_is_no_fault(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    expiring = LocalAuthority.made(tmp_path / "tsa", valid=(now - timedelta(days=1), now + timedelta(seconds=2)))
    response = expiring.stamp(DATA)
    time.sleep(max(0.0, (now + timedelta(seconds=3) - datetime.now(UTC)).total_seconds()))
    stamped = check_stamp(response, DATA, expiring.certificate)
    assert not openssl_verifies(response, DATA, expiring.certificate, tmp_path)
    at = ("-attime", int(stamped.timestamp()))
    assert openssl_verifies(response, DATA, expiring.certificate, tmp_path, *at)


# ---------------------------------------------------------------------------------------------------------- what is refused


def test_a_stamp_for_other_data(authority: LocalAuthority, response: bytes) -> None:
    with pytest.raises(RecordError, match="for other data"):
        check_stamp(response, DATA + b" ", authority.certificate)


def test_a_stamp_of_another_authority(authority: LocalAuthority, other: LocalAuthority, response: bytes) -> None:
    with pytest.raises(RecordError, match="does not lead to the authority's root"):
        check_stamp(response, DATA, other.certificate)
    with pytest.raises(RecordError, match="does not lead to the authority's root"):
        check_stamp(other.stamp(DATA), DATA, authority.certificate)


def test_an_authority_that_took_the_name_of_ours(authority: LocalAuthority, tmp_path: Path) -> None:
    impostor = LocalAuthority.made(tmp_path / "impostor", name=authority.name)
    with pytest.raises(RecordError, match="does not lead to the authority's root"):
        check_stamp(impostor.stamp(DATA), DATA, authority.certificate)


@pytest.mark.parametrize(
    "valid",
    [(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)), (datetime(2055, 1, 1, tzinfo=UTC), END)],
    ids=["expired before", "valid only later"],
)
def test_a_certificate_that_was_not_valid_when_it_stamped(valid: tuple[datetime, datetime], tmp_path: Path) -> None:
    response = LocalAuthority.made(tmp_path / "tsa", valid=valid).stamp(DATA)
    with pytest.raises(RecordError, match=r"certificate (has expired|is not yet valid)"):
        check_stamp(response, DATA, (tmp_path / "tsa" / "root.pem").read_bytes())


def test_an_authority_that_refuses(authority: LocalAuthority) -> None:
    with pytest.raises(RecordError, match="did not grant a stamp: rejection"):
        check_stamp(asked(authority, "-sha256", "-cert", "-tspolicy", "1.2.3.4"), DATA, authority.certificate)


def test_a_response_without_certificates(authority: LocalAuthority) -> None:
    with pytest.raises(RecordError, match="one certificate of whoever signed"):
        check_stamp(asked(authority, "-sha256"), DATA, authority.certificate)


def test_a_stamp_over_another_digest_than_sha256(authority: LocalAuthority) -> None:
    query = subprocess.run(["openssl", "ts", "-query", "-sha512", "-cert"], input=DATA, capture_output=True, check=True)
    response = authority.answer(query.stdout, accepting="sha512")
    with pytest.raises(RecordError, match="not over a SHA-256"):
        check_stamp(response, DATA, authority.certificate)


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda response: b"", "no RFC 3161 response"),
    "cut in half": (lambda response: response[: len(response) // 2], "cut off"),
    "the last byte gone": (lambda response: response[:-1], "cut off"),
    "a byte more": (lambda response: response + b"\0", "no RFC 3161 response|cut off"),
    "twice": (lambda response: response * 2, "no RFC 3161 response"),
    "a page": (lambda response: b"<html></html>", "cut off|no RFC 3161 response"),
    "a length written with a byte too many": (
        lambda response: b"\x30\x83\x00" + response[2:],
        "no RFC 3161 response|one form of DER",
    ),
    "of indefinite length": (lambda response: b"\x30\x80" + response[4:] + b"\0\0", "no RFC 3161 response"),
    "two megabytes": (lambda response: response + bytes(2_000_000), "more than any authority"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_response(damage: str, authority: LocalAuthority, response: bytes) -> None:
    harm, said = DAMAGES[damage]
    with pytest.raises(RecordError, match=said):
        check_stamp(harm(response), DATA, authority.certificate)


@settings(max_examples=300)
@given(junk=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_record_error(junk: bytes, authority: LocalAuthority) -> None:
    with pytest.raises(RecordError):
        check_stamp(junk, DATA, authority.certificate)


@settings(max_examples=300)
@given(choices=st.data())
def test_a_removed_or_inserted_byte_is_seen(choices: st.DataObject, authority: LocalAuthority, response: bytes) -> None:
    place = choices.draw(st.integers(0, len(response) - 1))
    new = bytes([choices.draw(st.integers(0, 255))])
    for changed in (
        response[:place] + response[place + 1 :],
        response[:place] + new + response[place:],
        response[:place],
    ):
        with pytest.raises(RecordError):
            check_stamp(changed, DATA, authority.certificate)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_the_bytes_that_no_signature_covers_are_those_the_module_names(
    authority: LocalAuthority, response: bytes
) -> None:
    stamped = check_stamp(response, DATA, authority.certificate)
    accepted = set()
    for place, byte in enumerate(response):
        for new in {byte ^ 0x01, byte ^ 0x80, 0x13} - {byte}:  # 0x13: PrintableString
            with suppress(RecordError):
                changed = response[:place] + bytes([new]) + response[place + 1 :]
                assert check_stamp(changed, DATA, authority.certificate) == stamped
                accepted.add(place)
    assert accepted == places_no_signature_covers(response)


def places_no_signature_covers(response: bytes) -> set[int]:
    """Found in the response by what stands around them (RFC 5652, sections 5.1 and 5.3)."""
    algorithm = bytes.fromhex("06082a8648ce3d040302")  # ecdsa-with-SHA256
    issuer = b"\x0c\x1enorth example authority (root)"
    version_of_signed_data = response.index(bytes.fromhex("020103310f")) + 2
    name_of_algorithm = response.rindex(algorithm) + 2
    kind_of_text = response.rindex(issuer)
    version_of_signer = response.rindex(bytes.fromhex("02010130"), 0, kind_of_text) + 2
    return {version_of_signed_data, version_of_signer, kind_of_text, *range(name_of_algorithm, name_of_algorithm + 8)}


def test_a_certificate_that_is_none(response: bytes) -> None:
    with pytest.raises(RecordError, match="not a certificate in PEM"):
        check_stamp(response, DATA, b"not a certificate")


# ------------------------------------------------------------------- certificates that the same root issued for other purposes


def signed_as_a_stamp(response: bytes, signer: LocalAuthority, folder: Path, *more: Path) -> bytes:
    """What a genuine stamp says, signed with `openssl cms` under a certificate that need not be for time-stamps."""
    (folder / "genuine.tsr").write_bytes(response)
    token, said, signed = folder / "token", folder / "said", folder / "signed"
    run = ("openssl", "ts", "-reply", "-in", folder / "genuine.tsr", "-token_out", "-out", token)
    subprocess.run(run, check=True, capture_output=True)
    run = ("openssl", "cms", "-verify", "-noverify", "-inform", "DER", "-in", token, "-out", said, "-binary")
    subprocess.run(run, check=True, capture_output=True)
    certificates = [argument for path in more for argument in ("-certfile", path)]
    kind = ("-econtent_type", "1.2.840.113549.1.9.16.1.4", "-binary", "-nodetach", "-nosmimecap", "-outform", "DER")
    signing = ("-signer", signer.folder / "stamping.pem", "-inkey", signer.folder / "stamping.key")
    run = ("openssl", "cms", "-sign", "-md", "sha256", *kind, *signing, *certificates, "-in", said, "-out", signed)
    subprocess.run(run, check=True, capture_output=True)
    body = b"\x30\x03\x02\x01\x00" + signed.read_bytes()
    return b"\x30\x82" + len(body).to_bytes(2, "big") + body


def test_what_the_root_issued_for_time_stamps_may_sign(
    authority: LocalAuthority, response: bytes, tmp_path: Path
) -> None:
    """The counterpart of the next two: only the purpose of the certificate makes the difference."""
    check_stamp(signed_as_a_stamp(response, authority, tmp_path), DATA, authority.certificate)


@pytest.mark.parametrize(
    "purpose", ["critical, emailProtection", "critical, serverAuth", "critical, anyExtendedKeyUsage", "timeStamping"]
)
def test_what_the_root_issued_for_another_purpose_may_not(purpose: str, response: bytes, tmp_path: Path) -> None:
    signer = LocalAuthority.made(tmp_path / "tsa", extended_key_usage=purpose)
    with pytest.raises(RecordError, match="root certificate"):
        check_stamp(signed_as_a_stamp(response, signer, tmp_path), DATA, signer.certificate)


@pytest.mark.parametrize("purpose", ["critical, emailProtection", "critical, serverAuth"])
def test_a_decoy_for_the_purpose_is_seen(purpose: str, response: bytes, tmp_path: Path) -> None:
    """A certificate that nobody signed, with the name and number of the real one: it has the purpose, the other the trust."""
    signer = LocalAuthority.made(tmp_path / "tsa", extended_key_usage=purpose)
    forged = signed_as_a_stamp(response, signer, tmp_path, decoy(signer, tmp_path))
    with pytest.raises(RecordError, match="one certificate of whoever signed"):
        check_stamp(forged, DATA, signer.certificate)


def decoy(signer: LocalAuthority, folder: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    real = x509.load_pem_x509_certificate((signer.folder / "stamping.pem").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.TIME_STAMPING])
    made = (
        x509.CertificateBuilder(real.issuer, real.subject, key.public_key(), real.serial_number, BEGINNING, END)
        .add_extension(purposes, critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "decoy.pem").write_bytes(made.public_bytes(Encoding.PEM))
    return folder / "decoy.pem"


# ------------------------------------------------------------------------------------------------------- asking over HTTP


def stamper(authority: LocalAuthority, url: str, timeout: float = 5.0) -> Stamper:
    named = Authority(name="north", url=url, certificate=authority.authority.certificate)
    return HttpStamper(named, authority.certificate, timeout)


def test_a_stamp_is_had_over_http(authority: LocalAuthority) -> None:
    with authority.serving() as url:
        response = stamper(authority, url).stamp(DATA)
    check_stamp(response, DATA, authority.certificate)


SAID = {
    "refusal": "did not grant a stamp: rejection",
    "hang": "did not answer within 0.4 s",
    "drip": "did not answer within 0.4 s",
    "no end": "more than 1000000 bytes",
    "status 500": "answered with status 500",
    "page": "answered with text/html",
    "page labelled as a stamp": "does not hold",
    "cut off": "cut off",
    "hang up": "could not be asked",
    "redirect": "status 302, pointing to file:///etc/hostname",
    "wrong nonce": "the nonce is not ours",
    "wrong digest": "for other data",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_authority_that_does_not_answer_as_it_should(fault: str, authority: LocalAuthority) -> None:
    waits = fault in ("hang", "drip")
    with authority.serving(fault) as url, pytest.raises(SourceNotFound, match=SAID[fault]) as caught:
        stamper(authority, url, timeout=0.4 if waits else 5.0).stamp(DATA)
    assert url in caught.value.message
    assert caught.value.advice


def test_the_answer_of_another_authority(authority: LocalAuthority, other: LocalAuthority) -> None:
    with other.serving() as url, pytest.raises(SourceNotFound, match="does not lead to the authority's root"):
        stamper(authority, url).stamp(DATA)


def test_nobody_listens(authority: LocalAuthority) -> None:
    with authority.serving() as url:
        gone = url
    with pytest.raises(SourceNotFound, match=r"could not be asked: .*refused"):
        stamper(authority, gone).stamp(DATA)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://example.org/", "freetsa.org", ""])
def test_an_address_that_is_none(url: str, authority: LocalAuthority) -> None:
    with pytest.raises(UsageError, match="no address"):
        stamper(authority, url)


@pytest.mark.parametrize("url", ["http://", "http://[::1", "https://exa mple.org/", "http://127.0.0.1:99999/"])
def test_an_address_that_leads_nowhere(url: str, authority: LocalAuthority) -> None:
    with pytest.raises(SourceNotFound, match="could not be asked"):
        stamper(authority, url).stamp(DATA)


def test_many_threads_get_stamps_with_numbers_of_their_own(authority: LocalAuthority) -> None:
    from rfc3161_client import decode_timestamp_response

    with authority.serving() as url, ThreadPoolExecutor(8) as pool:
        stamps = list(pool.map(stamper(authority, url).stamp, [b"%d" % number for number in range(24)]))
    for number, response in enumerate(stamps):
        check_stamp(response, b"%d" % number, authority.certificate)
    assert len({decode_timestamp_response(response).tst_info.serial_number for response in stamps}) == len(stamps)


def test_without_the_package_the_line_to_install_it_is_given(
    authority: LocalAuthority, response: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(MissingExtra, match=r"filiation\[case\]"):
        check_stamp(response, DATA, authority.certificate)
