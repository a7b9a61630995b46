"""Commitments: something is fixed now, signed and stamped, and a public beacon that is still to come decides the rest.

What canaries, lots and whatever else draws by a secret of its owner's have in common. Whoever could choose the secret after the
randomness is known could try secrets until what they give suits; with the beacon in every draw, the secrets that were committed before
are the only ones there are. So:

1. the statement announces a beacon that is still to come;
2. authorities stamp the bytes of the statement's file;
3. what is drawn counts only if the beacon became public later than every stamp, by at least `MARGIN`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

import msgspec

from filiation.case.beacons import CHAINS, Pulse, has_its_own_hash, read_beacon
from filiation.case.records import Announcement, PublicKey
from filiation.case.signing import STATEMENT_TYPE, Signer, envelope, opened
from filiation.case.time_stamps import Stamper, check_stamp
from filiation.errors import RecordError, SourceNotFound, UsageError
from filiation.evidence import Record, canonical, json_mapping

MARGIN = timedelta(seconds=60)
"""How much later than the stamps a beacon has to be: authorities' clocks are not the beacon's."""

AUTHORITIES = 2
"""So many authorities should have stamped: one alone could be asked, or made, to set its clock back."""

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FINGERPRINT = re.compile("[0-9a-f]{64}")
_Told = TypeVar("_Told", bound=Record)


class Authority(Record, frozen=True, kw_only=True):
    """An authority that is asked for a stamp. `certificate`: SHA-256 of its root certificate (PEM)."""

    name: str
    certificate: str


class Committed(Protocol):
    """What the statement of any commitment says besides its own matter."""

    @property
    def authorities(self) -> tuple[Authority, ...]: ...

    @property
    def announcement(self) -> Announcement: ...

    @property
    def key(self) -> PublicKey: ...


def certificate_name(authority: str) -> str:
    """The name of the file of an authority's root certificate."""
    return f"authority.{authority}.pem"


# ------------------------------------------------------------------------------------------------------------- statements


def statement(kind: str, name: str, sha256: str, told: Record) -> dict[str, Any]:
    """An in-toto Statement about one thing by digest."""
    subject = [{"name": name, "digest": {"sha256": sha256}}]
    return json_mapping(
        {"_type": STATEMENT_TYPE, "subject": subject, "predicateType": kind, "predicate": msgspec.to_builtins(told)}
    )


def signed(kind: str, name: str, sha256: str, told: Record, signer: Signer) -> bytes:
    """A signed envelope around such a statement: one line of canonical JSON."""
    return envelope(statement(kind, name, sha256, told), signer)


def read_signed(data: bytes, key: PublicKey, kind: str, name: str, told: type[_Told]) -> tuple[_Told, str]:
    """What a signed statement says, and of which digest; RecordError unless it is, byte for byte, what this module writes."""
    found = opened(data, key)
    try:
        sha256 = str(found["subject"][0]["digest"]["sha256"])
        record = msgspec.convert(found.get("predicate"), told)
        same = canonical(statement(kind, name, sha256, record)) == canonical(found)
    except (msgspec.ValidationError, KeyError, IndexError, TypeError, ValueError) as error:
        raise _refused(f"the statement does not say what it should: {str(error)[:200]}") from error
    if not same:
        raise _refused(f"the statement is not a whole one of the type {kind!r}")
    return record, sha256


class _Keyed(msgspec.Struct, frozen=True):
    key: PublicKey


class _Predicate(msgspec.Struct, frozen=True):
    predicate: _Keyed


class _Payload(msgspec.Struct, frozen=True):
    payload: bytes  # base64


def key_named_in(data: bytes, keyid: str = "") -> PublicKey:
    """The key under which a commitment's file says that it is signed, not yet checked.

    `keyid` holds it against a fingerprint told by another way. Raises RecordError.
    """
    try:
        found = msgspec.json.decode(msgspec.json.decode(data, type=_Payload).payload, type=_Predicate).predicate.key
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise _refused(f"the file is no commitment: {str(error)[:200]}") from error
    if keyid and found.keyid != keyid:
        raise RecordError(
            f"it is signed under the key {found.keyid}, not under {keyid}",
            exhibit="the commitment",
            advice="compare both with the fingerprint that was told by another way; where that one is right, this is another commitment",
        )
    return found


def check_announcement(commitment: Committed) -> None:
    """UsageError where no public beacon is announced, RecordError where authorities are not named as files can be."""
    if commitment.announcement.basis == "claimant":
        raise UsageError(
            "a commitment needs a public beacon: without one, keys can be tried until what they give suits",
            advice="announce a round of drand or a pulse of NIST",
        )
    names = [authority.name for authority in commitment.authorities]
    if len(set(names)) != len(names) or not all(map(_NAME.fullmatch, names)):
        raise _refused("an authority is named twice, or by a name that no file can have")


# ------------------------------------------------------------------------------------------------------------- stamping


def named_authorities(stampers: Sequence[tuple[Stamper, bytes]]) -> tuple[Authority, ...]:
    """The authorities that will be asked, each with its root certificate (PEM), as a statement names them."""
    return tuple(
        Authority(name=stamper.authority.name, certificate=sha256_of(certificate)) for stamper, certificate in stampers
    )


def check_named(commitment: Committed, stamps: Mapping[str, bytes]) -> None:
    """UsageError where a stamp is brought, by the name of its authority, of one that the statement does not name."""
    unknown = sorted(set(stamps) - {authority.name for authority in commitment.authorities})
    if unknown:
        raise UsageError(
            f"the commitment names no authority {', '.join(unknown)[:200]}",
            advice="give the stamps of authorities that were named with their certificates when it was made",
        )


def stamps_of(
    data: bytes, commitment: Committed, stampers: Sequence[tuple[Stamper, bytes]], now: datetime
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The stamps over a commitment's file by authority, and why others gave none.

    Raises UsageError where the announced beacon would not be later than the stamps.
    """
    stamps: dict[str, bytes] = {}
    missing = []
    for stamper, _ in stampers:
        try:
            stamps[stamper.authority.name] = stamper.stamp(data)
        except SourceNotFound as error:
            missing.append(error.message)
    certificates = {stamper.authority.name: certificate for stamper, certificate in stampers}
    check_to_come(data, commitment, stamps, certificates, now)
    return stamps, tuple(missing)


def check_to_come(
    data: bytes, commitment: Committed, stamps: Mapping[str, bytes], certificates: Mapping[str, bytes], now: datetime
) -> None:
    """UsageError where the announced beacon would not be later than the stamps, or, without any, than now."""
    announced = announced_time(commitment.announcement)
    if announced is None:
        raise UsageError("a pulse is announced without its time", advice="announce the time of the pulse")
    times = check_stamps(data, commitment, stamps, certificates, Trust()).values() if stamps else [now]
    if not late_enough(announced, times):
        raise UsageError(
            f"the beacon of {announced:%Y-%m-%dT%H:%M:%SZ} would not be later than the stamps by {MARGIN.seconds} s",
            advice="announce a later one",
        )


# -------------------------------------------------------------------------------------------------------- order in time


@dataclass(frozen=True)
class Trust:
    """What a verifier has from somewhere else than the claimant, who could run an authority or a beacon of their own.

    `authorities`: root certificates (PEM) of time-stamping authorities; `beacon_certificate`: PEM, of NIST; `fingerprints`: instead of, or
    besides, these files, of their certificates (SHA-256 of the DER, in hexadecimal); `chains`: hashes of drand chains besides those known
    to this version; `keyid`: the fingerprint of the claimant's key. `copies`: take the claimant's own copies where nothing is given, and
    say so.
    """

    authorities: tuple[bytes, ...] = ()
    fingerprints: frozenset[str] = frozenset()
    beacon_certificate: bytes = b""
    chains: tuple[str, ...] = ()
    keyid: str = ""
    copies: bool = False


def trust_of(settings: Mapping[str, object]) -> Trust:
    """The trust that three settings of an examiner tell: `keyid`, and comma-separated `authorities` (fingerprints of root certificates,
    as SHA-256 of the DER) and `chains`.

    Where no authority is named the claimant's own copies are taken, which remarks then say. Raises UsageError for what is no fingerprint.
    """
    named = [each.replace(":", "").lower() for each in _listed(settings.get("authorities"))]
    if not all(map(_FINGERPRINT.fullmatch, named)):
        raise UsageError(
            "an authority is named by something that is no SHA-256 fingerprint",
            advice="give 64 hexadecimal digits, as 'openssl x509 -noout -fingerprint -sha256' prints them",
        )
    return Trust(
        fingerprints=frozenset(named),
        chains=_listed(settings.get("chains")),
        keyid=str(settings.get("keyid") or ""),
        copies=not named,
    )


def _listed(told: object) -> tuple[str, ...]:
    return tuple(each.strip() for each in str(told or "").split(",") if each.strip())


@dataclass(frozen=True)
class Order:
    """The order in time that was shown: the stamps by authority, the beacon, and what it rests on besides.

    `certificates`: fingerprints (SHA-256 of the DER) of the root certificates whose stamps count, and of that of a NIST pulse.
    """

    stamps: dict[str, datetime]
    pulse: Pulse
    remarks: tuple[str, ...]
    certificates: tuple[str, ...]


def announced_time(announcement: Announcement) -> datetime | None:
    """When the announced beacon becomes public; None where only the number of a NIST pulse is announced."""
    if announcement.basis == "drand":
        return datetime.fromtimestamp(announcement.genesis + (announcement.round - 1) * announcement.period, UTC)
    return datetime.fromisoformat(announcement.time) if announcement.time else None


def late_enough(beacon: datetime, stamps: Collection[datetime]) -> bool:
    """Whether a beacon became public later than the last of some stamps, by at least `MARGIN`."""
    return beacon >= max(stamps) + MARGIN


def check_stamps(
    data: bytes, commitment: Committed, stamps: Mapping[str, bytes], certificates: Mapping[str, bytes], trust: Trust
) -> dict[str, datetime]:
    """When each authority saw the commitment's file. RecordError where a stamp does not hold, or there is none.

    `stamps` and `certificates` by the name of the authority; a certificate has to be the one that the commitment names, and one that the
    verifier trusts where it names any, however the two files are written.
    """
    trusted = trust.fingerprints.union(*map(fingerprints, trust.authorities))
    found: dict[str, datetime] = {}
    for authority in commitment.authorities:
        if authority.name not in stamps:
            continue
        certificate = certificates.get(authority.name, b"")
        if hashlib.sha256(certificate).hexdigest() != authority.certificate:
            raise _refused(f"the root certificate of {authority.name} is not the one that the commitment names")
        if not trusted or fingerprints(certificate) <= trusted:
            found[authority.name] = check_stamp(stamps[authority.name], data, certificate)
    if not found:
        raise _nobody_stamped({name: certificates[name] for name in sorted(stamps) if name in certificates})
    return found


def _nobody_stamped(passed_over: Mapping[str, bytes]) -> RecordError:
    """There is no stamp, or the verifier knows none of those who gave one (`passed_over`: their root certificates by name)."""
    nothing = "no authority that counts has stamped the commitment, so nothing shows that it was made before the beacon"
    if not passed_over:
        return RecordError(
            nothing,
            exhibit="the commitment",
            advice="bring stamps of the named authorities from before the beacon, or commit again; what an unstamped commitment leads "
            "to counts for nothing",
        )
    who = "; ".join(f"{name}: {', '.join(sorted(fingerprints(each)))}" for name, each in passed_over.items())
    return RecordError(
        f"{nothing}: none of those who stamped it is among the authorities that were given. SHA-256 of their root certificates: {who}",
        exhibit="the commitment",
        advice="compare these with what the authorities publish, and give root certificates, not those that sign single stamps",
    )


def check_order(
    data: bytes,
    commitment: Committed,
    stamps: Mapping[str, bytes],
    certificates: Mapping[str, bytes],
    beacon: bytes,
    beacon_certificate: bytes = b"",
    trust: Trust | None = None,
) -> Order:
    """Verify stamps and beacon, and that the beacon became public after the stamps. Raises RecordError."""
    trust = trust or Trust()
    lacking = _lacking(commitment.announcement, beacon_certificate, trust)
    if lacking and not trust.copies:
        raise _unvouched(lacking)
    times = check_stamps(data, commitment, stamps, certificates, trust)
    announcement = commitment.announcement
    of_beacon = _certificate_of_beacon(beacon_certificate, trust) if announcement.basis == "nist" else b""
    pulse = read_beacon(beacon, announcement, of_beacon)
    if not late_enough(pulse.time, times.values()):
        raise RecordError(
            f"the beacon became public at {pulse.time:%Y-%m-%dT%H:%M:%SZ}, and the commitment was stamped at "
            f"{max(times.values()):%Y-%m-%dT%H:%M:%SZ}: whoever committed could know what every key gives and choose among keys",
            exhibit="the beacon",
            advice=f"only a beacon at least {MARGIN.seconds} s later than the last stamp counts",
        )
    used = (*(certificates[name] for name in times), *((of_beacon,) if of_beacon else ()))
    roots = {fingerprints(certificates[name]) for name in times}
    return Order(times, pulse, _remarks(commitment, len(roots), trust, lacking), _told(used))


def _told(certificates: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(sorted(frozenset[str]().union(*map(fingerprints, certificates))))


def fingerprints(certificates: bytes) -> frozenset[str]:
    """SHA-256 of the DER of each certificate in a PEM file: the same however the file is written. RecordError where there is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        found = x509.load_pem_x509_certificates(certificates)
    except ValueError as error:
        raise RecordError(
            "a file that should hold a certificate holds none in PEM",
            exhibit="the commitment",
            advice="give the certificate as its owner publishes it",
        ) from error
    return frozenset(hashlib.sha256(each.public_bytes(Encoding.DER)).hexdigest() for each in found)


def _certificate_of_beacon(given: bytes, trust: Trust) -> bytes:
    """The claimant's file where it holds the certificate that the verifier trusts: the announcement names its very bytes."""
    if not trust.beacon_certificate:
        return given
    same = given and fingerprints(given) == fingerprints(trust.beacon_certificate)
    return given if same else trust.beacon_certificate


_IN_AN_EXAMINATION = "or in an examination its SHA-256 fingerprint in the parameter 'authorities'"


@dataclass(frozen=True)
class _Lack:
    """Something that nobody but the claimant vouches for, how a remark says so, and how a verifier gives it."""

    what: str
    remark: str
    given: str


def _lacking(announcement: Announcement, beacon_certificate: bytes, trust: Trust) -> tuple[_Lack, ...]:
    lacking = []
    if not trust.authorities and not trust.fingerprints:
        lacking.append(
            _Lack(
                "no root certificate of a time-stamping authority was given by anybody but the claimant",
                "the authorities' root certificates are the claimant's own copies: compare them with what the authorities publish",
                f"--authority-certificate FILE, twice, {_IN_AN_EXAMINATION}",
            )
        )
    if announcement.basis == "nist" and not _knows_beacon(beacon_certificate, trust):
        lacking.append(
            _Lack(
                "no certificate of the beacon was given by anybody but the claimant",
                "the beacon's certificate is the claimant's own copy: compare it with what the beacon publishes",
                f"--beacon-certificate FILE, {_IN_AN_EXAMINATION}",
            )
        )
    if announcement.basis == "drand" and not _knows_chain(announcement, trust):
        lacking.append(
            _Lack(
                f"nobody but the claimant knows the beacon's chain {announcement.chain[:80]}",
                "this version knows nothing of the beacon's chain: whoever holds its key could know the randomness before",
                "--chain HASH, or in an examination the hash in the parameter 'chains'",
            )
        )
    return tuple(lacking)


def _knows_beacon(certificate: bytes, trust: Trust) -> bool:
    return bool(
        trust.beacon_certificate
        or (certificate and trust.fingerprints and fingerprints(certificate) <= trust.fingerprints)
    )


def _knows_chain(announcement: Announcement, trust: Trust) -> bool:
    """A chain that is not built in is known by its hash, and by that alone if the announced key, genesis and period are in it."""
    trusted = announcement.chain in trust.chains and has_its_own_hash(announcement)
    return announcement.chain in CHAINS or trusted


def _unvouched(lacking: tuple[_Lack, ...]) -> RecordError:
    """The claimant alone would vouch for the order in time: then it shows nothing."""
    return RecordError(
        f"{lacking[0].what}, and whoever runs an authority or a beacon can choose what it says",
        exhibit="the commitment",
        advice=f"fetch it from whoever it belongs to and give it ({lacking[0].given}); or accept the claimant's copies "
        "(--claimants-copies), which is then said",
    )


def _remarks(commitment: Committed, roots: int, trust: Trust, lacking: tuple[_Lack, ...]) -> tuple[str, ...]:
    """`roots`: how many root certificates the stamps lead to, because one authority may be named twice."""
    remarks = [each.remark for each in lacking]
    if roots < AUTHORITIES:
        remarks.insert(
            0, f"only {roots} authority stamped the commitment; two that know nothing of each other are asked for"
        )
    if not trust.keyid:
        remarks.append(
            f"the signing key is the one that the commitment names: compare its fingerprint {commitment.key.keyid}"
        )
    return tuple(remarks)


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _refused(what: str) -> RecordError:
    return RecordError(
        what, exhibit="the commitment", advice="the file was altered; ask for the one handed over before"
    )
