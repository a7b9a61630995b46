"""Public randomness, verified offline from the file that its beacon serves.

A beacon publishes at fixed times a number that nobody could know or choose before, with a signature over it. A plan
announces one that is still to come; what is drawn from it was then in nobody's hands.

drand (League of Entropy; https://drand.love): a BLS signature on the curve BLS12-381, made by a threshold of
independent organisations.

1. The round is the announced one, and the chain's parameters are the announced ones; a chain that this version knows
   must have its own.
2. Key and signature are points of their curve, of the subgroup of prime order, and not the point at infinity.
3. The randomness is SHA-256 of the signature; the time is genesis + (round - 1) * period.
4. The signature is one over SHA-256 of the round (chained schemes: of the previous signature and the round).

NIST (NISTIR 8213, Randomness Beacon 2.0): an RSA signature (PKCS #1 v1.5, SHA-512) by one organisation.

1. Chain, pulse index and time stamp are the announced ones; the certificate is the announced one, its SHA-512 (DER) is
   the pulse's `certificateId`, and it was valid at the time.
2. The output value, which is the randomness, is SHA-512 of the fields, in the order and lengths of the standard, and of
   the signature.
3. The signature is one over those fields.

The addresses and the kinds in a pulse's `listValues` are signed by nobody and used for nothing. A chain or certificate
that a plan announces is only as good as its owner: `described` says whose it is.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar

import msgspec

from filiation.case.records import Announcement
from filiation.errors import MissingExtra, RecordError, UsageError
from filiation.evidence import Record

_Form = TypeVar("_Form", bound=Record)


@dataclass(frozen=True)
class Pulse:
    """What a verified beacon gives: random bytes, when they became public (UTC), and whose they are, in words."""

    randomness: bytes
    time: datetime
    described: str


def read_beacon(data: bytes, announcement: Announcement, certificate: bytes = b"") -> Pulse:
    """Verify a beacon's own file against what a plan announced.

    `data`: the JSON that drand's HTTP API or NIST's serves; `certificate`: PEM, for NIST. Raises RecordError saying what
    does not hold, MissingExtra without the libraries.
    """
    if announcement.basis == "drand":
        return _read_round(data, announcement)
    if announcement.basis == "nist":
        return _read_pulse(data, announcement, certificate)
    raise _refused("the plan announced no beacon", "without a beacon the seed is the claimant's own choice")


def address(announcement: Announcement) -> str:
    """Where the announced beacon can be fetched once it is public; empty where none was announced."""
    if announcement.basis == "drand":
        return f"https://api.drand.sh/{announcement.chain}/public/{announcement.round}"
    if announcement.basis == "nist" and announcement.round:
        return f"https://beacon.nist.gov/beacon/2.0/chain/{announcement.chain}/pulse/{announcement.round}"
    if announcement.basis == "nist":
        milliseconds = round(_moment(announcement.time).timestamp() * 1000)
        return f"https://beacon.nist.gov/beacon/2.0/pulse/time/{milliseconds}"
    return ""


# --------------------------------------------------------------------------------------------------------------- drand


@dataclass(frozen=True)
class Chain:
    """A drand network as its `info` tells it. `genesis`: seconds since 1970; `period`: seconds from round to round."""

    name: str
    scheme: str
    public_key: str
    genesis: int
    period: int
    group_hash: str

    @property
    def hash(self) -> str:
        """The chain's hash: SHA-256 over period, genesis, key, group and, of every chain but the first, the name."""
        named = b"" if self.name == "default" else self.name.encode()
        numbers = self.period.to_bytes(4, "big") + self.genesis.to_bytes(8, "big")
        keys = bytes.fromhex(self.public_key) + bytes.fromhex(self.group_hash)
        return hashlib.sha256(numbers + keys + named).hexdigest()

    @classmethod
    def announced_as(cls, announcement: Announcement) -> Chain:
        """The chain whose parameters an announcement tells, whatever hash it names."""
        return cls(
            name=announcement.beacon_id or "default",
            scheme=announcement.scheme,
            public_key=announcement.public_key,
            genesis=announcement.genesis,
            period=announcement.period,
            group_hash=announcement.group_hash,
        )


DEFAULT = Chain(
    name="default",
    scheme="pedersen-bls-chained",
    public_key="868f005eb8e6e4ca0a47c8a77ceaa5309a47978a7c71bc5cce96366b5d7a569937c529eeda66c7293784a9402801af31",
    genesis=1595431050,
    period=30,
    group_hash="176f93498eac9ca337150b46d21dd58673ea4e3581185f869672e59fa4cb390a",
)
"""The League of Entropy's first network, from https://api.drand.sh/info."""

QUICKNET = Chain(
    name="quicknet",
    scheme="bls-unchained-g1-rfc9380",
    public_key="83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c"
    "8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb"
    "5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
    genesis=1692803367,
    period=3,
    group_hash="f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e",
)
"""The League of Entropy's unchained network, from https://api.drand.sh/v2/beacons/quicknet/info."""

CHAINS = {chain.hash: chain for chain in (DEFAULT, QUICKNET)}


def announced(name: str, not_before: datetime) -> Announcement:
    """Announce the first round of a known chain that becomes public at or after a time.

    Raises UsageError where the chain is not known.
    """
    chain = next((chain for chain in CHAINS.values() if name in (chain.name, chain.hash)), None)
    if chain is None:
        known = ", ".join(chain.name for chain in CHAINS.values())
        raise UsageError(f"no chain of drand is known as {name!r}", advice=f"give one of {known}")
    periods = -((chain.genesis - not_before.timestamp()) // chain.period)
    return Announcement(
        basis="drand",
        chain=chain.hash,
        round=max(1, int(periods) + 1),
        scheme=chain.scheme,
        public_key=chain.public_key,
        genesis=chain.genesis,
        period=chain.period,
    )


def has_its_own_hash(announcement: Announcement) -> bool:
    """Whether the hash of the announced chain is that of the announced parameters: else to know the hash is to know nothing of them."""
    try:
        return Chain.announced_as(announcement).hash == announcement.chain
    except (ValueError, OverflowError):  # parameters that no chain has
        return False


class _Round(Record, frozen=True, kw_only=True):
    """A round as drand's HTTP API serves it; `previous_signature` only of chained schemes."""

    round: int
    randomness: str
    signature: str
    previous_signature: str = ""


@dataclass(frozen=True)
class _Scheme:
    """How a chain signs: on which of the two groups, and whether a signature covers the one before."""

    signature_on_g1: bool
    chained: bool

    @property
    def domain(self) -> bytes:
        """The domain separation tag of RFC 9380 for the group on which messages are hashed."""
        return b"BLS_SIG_BLS12381G%d_XMD:SHA-256_SSWU_RO_NUL_" % (1 if self.signature_on_g1 else 2)


_SCHEMES = {
    "pedersen-bls-chained": _Scheme(signature_on_g1=False, chained=True),
    "pedersen-bls-unchained": _Scheme(signature_on_g1=False, chained=False),
    "bls-unchained-g1-rfc9380": _Scheme(signature_on_g1=True, chained=False),
}


def _read_round(data: bytes, announcement: Announcement) -> Pulse:
    scheme = _SCHEMES.get(announcement.scheme)
    if scheme is None:
        raise _refused(
            f"the scheme {announcement.scheme!r} is not known", f"announce a chain with one of {', '.join(_SCHEMES)}"
        )
    network = _check_chain(announcement)
    found = _decoded(data, _Round, "a round of drand")
    if found.round != announcement.round:
        raise _refused(f"this is round {found.round}, announced was {announcement.round}", _fetch(announcement))
    if not 1 <= found.round < 2**63:
        raise _refused(f"there is no round {found.round}", _fetch(announcement))
    signature = _hexadecimal(found.signature, "signature")
    if _hexadecimal(found.randomness, "randomness") != _sha256(signature):
        raise _refused("the randomness is not the hash of the signature", _fetch(announcement))
    key = _hexadecimal(announcement.public_key, "public key")
    with _recursion_limit_kept():
        sys.setrecursionlimit(max(_PAIRING_DEPTH, sys.getrecursionlimit()))
        _check_signature(scheme, key, signature, _signed(scheme, found))
    return Pulse(_sha256(signature), _time_of(announcement), f"drand {network}, round {found.round}")


def _time_of(announcement: Announcement) -> datetime:
    """When the announced round becomes public."""
    seconds = announcement.genesis + (announcement.round - 1) * announcement.period
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise _refused(f"round {announcement.round} of the announced chain is at no time", "mend the plan") from error


def _check_chain(announcement: Announcement) -> str:
    """The name of the announced chain, which must have the parameters that are known of it."""
    known = CHAINS.get(announcement.chain)
    if known is None:
        owner = next((chain for chain in CHAINS.values() if chain.public_key == announcement.public_key), None)
        if owner:  # under another genesis an old round would seem to be a later one
            raise _refused(
                f"the plan announced a chain of another name with the public key of the chain {owner.name}",
                "a known key stands with its own chain: genesis and period decide when a round was public",
            )
        return f"chain {announcement.chain} (known to this version by nothing but the plan)"
    for name in ("scheme", "public_key", "genesis", "period"):
        if getattr(announcement, name) != getattr(known, name):
            raise _refused(
                f"the plan announced the chain {known.name} with another {name.replace('_', ' ')} than it has",
                "randomness under a key of somebody else's is not that of the chain",
            )
    return known.name


def _signed(scheme: _Scheme, found: _Round) -> bytes:
    """What a round's signature is over."""
    if scheme.chained != bool(found.previous_signature):
        wanted = (
            "lacks the previous signature" if scheme.chained else "has a previous signature, which its chain has not"
        )
        raise _refused(f"the round {wanted}", "give the file as the beacon serves it")
    previous = _hexadecimal(found.previous_signature, "previous signature") if scheme.chained else b""
    return _sha256(previous + found.round.to_bytes(8, "big"))


def _check_signature(scheme: _Scheme, key: bytes, signature: bytes, message: bytes) -> None:
    """e(generator, signature) = e(key, hash of the message), with the arguments in the order of their groups."""
    library = _pairing_library()
    if scheme.signature_on_g1:
        signed, owner = _point_on_g1(signature, "signature"), _point_on_g2(key, "public key")
        hashed = library.hash_to_G1(message, scheme.domain, hashlib.sha256)
        product = _miller(library.G2, signed) * _miller(owner, library.neg(hashed))
    else:
        signed, owner = _point_on_g2(signature, "signature"), _point_on_g1(key, "public key")
        hashed = library.hash_to_G2(message, scheme.domain, hashlib.sha256)
        product = _miller(signed, library.G1) * _miller(library.neg(hashed), owner)
    if library.final_exponentiate(product) != library.FQ12.one():
        raise _refused("the signature does not verify under the announced key", "fetch the beacon's file anew")


def _miller(on_g2: Any, on_g1: Any) -> Any:
    return _pairing_library().pairing(on_g2, on_g1, final_exponentiate=False)


def _point_on_g1(data: bytes, what: str) -> Any:
    return _point(data, 48, _pairing_library().pubkey_to_G1, what)


def _point_on_g2(data: bytes, what: str) -> Any:
    return _point(data, 96, _pairing_library().signature_to_G2, what)


def _point(data: bytes, size: int, decompress: Any, what: str) -> Any:
    library = _pairing_library()
    if len(data) != size:
        raise _refused(f"the {what} has {len(data)} bytes, not {size}", "give the file as the beacon serves it")
    try:
        point = decompress(data)
    except (ValueError, ZeroDivisionError) as error:
        raise _refused(f"the {what} is no point of the curve", "fetch the beacon's file anew") from error
    # Infinity would verify under an infinite key, whatever the message.
    if library.is_inf(point) or not library.subgroup_check(point):
        raise _refused(f"the {what} is no point of the group that signatures are made in", "fetch the file anew")
    return point


_PAIRING_DEPTH = 20_000
"""Calls within calls that powers in the field of the pairing take; more than Python allows by itself."""


@contextmanager
def _recursion_limit_kept() -> Iterator[None]:
    """The library lifts Python's recursion limit for the whole process, which would let deeply nested JSON overflow the stack."""
    usual = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


def _pairing_library() -> Any:
    try:
        with _recursion_limit_kept():
            from py_ecc import optimized_bls12_381 as curve
            from py_ecc.bls import g2_primitives, hash_to_curve
    except ImportError as error:
        raise MissingExtra(
            "verifying a round of drand needs the package py_ecc", advice='pip install "filiation[case]"'
        ) from error
    return SimpleNamespace(**{**vars(hash_to_curve), **vars(g2_primitives), **vars(curve)})


# ---------------------------------------------------------------------------------------------------------------- NIST


class _External(Record, frozen=True, kw_only=True, rename="camel"):
    source_id: str
    status_code: int
    value: str


class _ListValue(Record, frozen=True, kw_only=True):
    uri: str | None
    type: str
    value: str


class _NistPulse(Record, frozen=True, kw_only=True, rename="camel"):
    """A pulse of the NIST randomness beacon 2.0 as its API serves it."""

    uri: str
    version: str
    cipher_suite: int
    period: int
    certificate_id: str
    chain_index: int
    pulse_index: int
    time_stamp: str
    local_random_value: str
    external: _External
    list_values: tuple[_ListValue, ...]
    precommitment_value: str
    status_code: int
    signature_value: str
    output_value: str


class _NistFile(Record, frozen=True, kw_only=True):
    pulse: _NistPulse


def _read_pulse(data: bytes, announcement: Announcement, certificate: bytes) -> Pulse:
    pulse = _decoded(data, _NistFile, "a pulse of the NIST beacon").pulse
    _check_announced(pulse, announcement)
    when = _moment(pulse.time_stamp)
    owner = _check_certificate(certificate, announcement, pulse, when)
    signature = _hexadecimal(pulse.signature_value, "signature")
    message = _serialised(pulse)
    randomness = hashlib.sha512(message + signature).digest()
    if _hexadecimal(pulse.output_value, "output value") != randomness:
        raise _refused("the output value is not the hash of the pulse", _fetch(announcement))
    _check_rsa(owner, signature, message)
    status = f", with status {pulse.status_code}" if pulse.status_code else ""
    described = f"NIST randomness beacon, chain {pulse.chain_index}, pulse {pulse.pulse_index}{status}"
    return Pulse(randomness, when, f"{described}, signed with the certificate of {owner.subject.rfc4514_string()}")


def _check_announced(pulse: _NistPulse, announcement: Announcement) -> None:
    if not announcement.round and not announcement.time:
        raise _refused("the plan announced neither a pulse nor a time", "amend the plan before anybody looks")
    if str(pulse.chain_index) != announcement.chain:
        raise _refused(
            f"this is chain {pulse.chain_index}, announced was {announcement.chain or 'none'}",
            _fetch(announcement),
        )
    if announcement.round and pulse.pulse_index != announcement.round:
        raise _refused(f"this is pulse {pulse.pulse_index}, announced was {announcement.round}", _fetch(announcement))
    if announcement.time and _moment(pulse.time_stamp) != _moment(announcement.time):
        raise _refused(f"this pulse is of {pulse.time_stamp}, announced was {announcement.time}", _fetch(announcement))
    if pulse.cipher_suite != 0:
        raise _refused(f"the cipher suite {pulse.cipher_suite} is not known", "only suite 0 of NISTIR 8213 is")


def _serialised(pulse: _NistPulse) -> bytes:
    """What a pulse's signature is over (NISTIR 8213, section 4.1, as the service does it).

    Whole numbers big-endian, indices in 8 bytes and others in 4; texts and byte strings after their length in 4.
    """
    return b"".join(
        (
            _sized(pulse.uri.encode()),
            _sized(pulse.version.encode()),
            _number(pulse.cipher_suite, 4),
            _number(pulse.period, 4),
            _sized(_hexadecimal(pulse.certificate_id, "certificateId")),
            _number(pulse.chain_index, 8),
            _number(pulse.pulse_index, 8),
            _sized(pulse.time_stamp.encode()),
            _sized(_hexadecimal(pulse.local_random_value, "localRandomValue")),
            _sized(_hexadecimal(pulse.external.source_id, "sourceId")),
            _number(pulse.external.status_code, 4),
            _sized(_hexadecimal(pulse.external.value, "external value")),
            *(_sized(_hexadecimal(earlier.value, "value of the list")) for earlier in pulse.list_values),
            _sized(_hexadecimal(pulse.precommitment_value, "precommitmentValue")),
            _number(pulse.status_code, 4),
        )
    )


def _sized(data: bytes) -> bytes:
    return _number(len(data), 4) + data


def _number(number: int, size: int) -> bytes:
    try:
        return number.to_bytes(size, "big", signed=True)
    except OverflowError as error:
        raise _refused(
            f"the number {number} does not fit the pulse's layout", "fetch the beacon's file anew"
        ) from error


def _check_certificate(certificate: bytes, announcement: Announcement, pulse: _NistPulse, when: datetime) -> Any:
    if announcement.certificate and hashlib.sha256(certificate).hexdigest() != announcement.certificate:
        raise _refused("the certificate is not the announced one", "give the certificate that was announced with it")
    x509, serialization = _certificates()
    try:
        owner = x509.load_pem_x509_certificate(certificate)
    except ValueError as error:
        raise _refused("this is no certificate (PEM)", "give the certificate that was announced with it") from error
    if hashlib.sha512(owner.public_bytes(serialization.Encoding.DER)).digest() != _hexadecimal(
        pulse.certificate_id, "certificateId"
    ):
        raise _refused("the pulse was signed with another certificate", "announce the one that the beacon uses")
    if not owner.not_valid_before_utc <= when <= owner.not_valid_after_utc:
        raise _refused(f"the certificate was not valid at {pulse.time_stamp}", "announce one that is valid then")
    return owner


def _check_rsa(owner: Any, signature: bytes, message: bytes) -> None:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA512

    try:
        key = owner.public_key()
    except (UnsupportedAlgorithm, ValueError) as error:
        raise _refused("the certificate's key cannot be read", "give the certificate of the beacon") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise _refused("the certificate holds no RSA key", "give the certificate of the beacon")
    try:
        key.verify(signature, message, padding.PKCS1v15(), SHA512())
    except InvalidSignature as error:
        raise _refused("the signature does not verify under the certificate", "fetch the beacon's file anew") from error


def _certificates() -> tuple[Any, Any]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise MissingExtra(
            "verifying a pulse of NIST needs the package cryptography", advice='pip install "filiation[case]"'
        ) from error
    return x509, serialization


# -------------------------------------------------------------------------------------------------------------- common


def _decoded(data: bytes, form: type[_Form], what: str) -> _Form:
    try:
        return msgspec.json.decode(data, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(f"this is not {what}: {error}", "give the JSON that the beacon serves") from error


def _hexadecimal(text: str, what: str) -> bytes:
    """Bytes of an even number of hexadecimal digits, letters all small or all capital, as both beacons write them."""
    if not re.fullmatch("(?:[0-9a-f]{2})+|(?:[0-9A-F]{2})+", text):
        raise _refused(f"the {what} is not hexadecimal: {text[:40]!r}", "give the JSON that the beacon serves")
    return bytes.fromhex(text)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _refused(f"this is no time: {text[:40]!r}", "times are written as 2026-01-31T12:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _fetch(announcement: Announcement) -> str:
    return f"fetch {address(announcement)}"


def _refused(message: str, advice: str) -> RecordError:
    return RecordError(message, exhibit="the beacon", advice=advice)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
