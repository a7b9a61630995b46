"""A beacon on this machine, for example cases, never for real ones: pulses laid out as NIST's, under a key of its own.

    beacon = PracticeBeacon.made()
    (place / "beacon.pem").write_bytes(beacon.certificate)      # announced before
    (place / "beacon.json").write_bytes(beacon.pulse(moment))   # when the moment has come

Whoever runs it knows its key, and could know a pulse beforehand: it shows nothing to anybody else. Its certificate says so, and with it
everything that describes a pulse. The layout is NISTIR 8213's, section 4.1; what NIST's service computes besides, such as the
links to earlier pulses, is nought here.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from studies.time_stamping import BEGINNING, END

CHAIN = "0"
NAME = "practice beacon of an example, not of NIST"
_NOUGHT = bytes(64).hex()


@dataclass(frozen=True)
class PracticeBeacon:
    """The key that signs pulses, and its certificate (PEM)."""

    key: rsa.RSAPrivateKey
    certificate: bytes

    @classmethod
    def made(cls) -> PracticeBeacon:
        """A new key, valid as long as the practice authorities are."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(BEGINNING)
            .not_valid_after(END)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate.public_bytes(serialization.Encoding.PEM))

    def pulse(self, moment: datetime) -> bytes:
        """The file of the pulse of a whole minute, with fresh randomness in it."""
        certificate = x509.load_pem_x509_certificate(self.certificate).public_bytes(serialization.Encoding.DER)
        fields = {
            "uri": "practice:pulse/1",
            "version": "Version 2.0",
            "cipherSuite": 0,
            "period": 60_000,
            "certificateId": hashlib.sha512(certificate).hexdigest(),
            "chainIndex": int(CHAIN),
            "pulseIndex": 1,
            "timeStamp": f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:00.000Z}",
            "localRandomValue": secrets.token_hex(64),
            "external": {"sourceId": _NOUGHT, "statusCode": 0, "value": _NOUGHT},
            "listValues": [],
            "precommitmentValue": _NOUGHT,
            "statusCode": 0,
        }
        message = _serialised(fields)
        signature = self.key.sign(message, padding.PKCS1v15(), hashes.SHA512())
        output = hashlib.sha512(message + signature).hexdigest()
        return json.dumps({"pulse": {**fields, "signatureValue": signature.hex(), "outputValue": output}}).encode()


def _serialised(fields: dict[str, object]) -> bytes:
    """What the signature is over: texts and byte strings after their length in 4 bytes, whole numbers in 4, indices in 8."""
    external = fields["external"]
    assert isinstance(external, dict)
    return b"".join(
        (
            _text(fields["uri"]),
            _text(fields["version"]),
            _number(fields["cipherSuite"], 4),
            _number(fields["period"], 4),
            _bytes(fields["certificateId"]),
            _number(fields["chainIndex"], 8),
            _number(fields["pulseIndex"], 8),
            _text(fields["timeStamp"]),
            _bytes(fields["localRandomValue"]),
            _bytes(external["sourceId"]),
            _number(external["statusCode"], 4),
            _bytes(external["value"]),
            _bytes(fields["precommitmentValue"]),
            _number(fields["statusCode"], 4),
        )
    )


def _number(value: object, size: int) -> bytes:
    assert isinstance(value, int)
    return value.to_bytes(size, "big")


def _text(value: object) -> bytes:
    data = str(value).encode()
    return _number(len(data), 4) + data


def _bytes(value: object) -> bytes:
    data = bytes.fromhex(str(value))
    return _number(len(data), 4) + data
