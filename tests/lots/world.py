"""A small owner of lots: two real local authorities, a beacon under a key of the tests' own, every step of the protocol."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filiation.case.commitments import Trust
from filiation.case.files import write_file
from filiation.case.records import Announcement
from filiation.case.signing import Signer, load_signer
from filiation.lots import Lot, Purpose, owner, read_lot
from studies.time_stamping import LocalAuthority

FIXED = Path(__file__).parent / "fixed"
"""Two authorities and a pulse of 2050, made once by `python -m tests.lots.make_fixed`: what is drawn is then the same in every run."""

AUTHORITIES = tuple(LocalAuthority(FIXED / name, name=name) for name in ("a0", "a1"))
MADE = datetime(2026, 1, 1, tzinfo=UTC)


def fixed_pulse() -> tuple[bytes, bytes, Announcement]:
    """The pulse's file, its certificate and its announcement."""
    beacon, certificate = (FIXED / "beacon.json").read_bytes(), (FIXED / "beacon.pem").read_bytes()
    pulse = json.loads(beacon)["pulse"]
    announcement = Announcement(
        basis="nist",
        chain=str(pulse["chainIndex"]),
        round=pulse["pulseIndex"],
        time=pulse["timeStamp"],
        certificate=hashlib.sha256(certificate).hexdigest(),
    )
    return beacon, certificate, announcement


def hour(number: float) -> datetime:
    """So many hours from now; stamps are of now, because a real program makes them."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=number)


def signer_of(seed: int) -> Signer:
    """The same key for the same seed."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"signer {seed}".encode()).digest())
    with tempfile.TemporaryDirectory() as folder:
        write_file(Path(folder) / "key", private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return load_signer(Path(folder) / "key")


@dataclass(frozen=True)
class World:
    """An owner's folder with what it was made with."""

    holding: owner.Holding
    signer: Signer
    secret: bytes
    beacon: bytes
    beacon_certificate: bytes

    @property
    def trust(self) -> Trust:
        """What a careful verifier brings along."""
        return Trust(
            authorities=tuple(authority.certificate for authority in AUTHORITIES),
            beacon_certificate=self.beacon_certificate,
            keyid=self.signer.key.keyid,
        )

    def drawn(self) -> Lot:
        return owner.draw(self.holding, self.secret, self.beacon)

    def opened(self, tokenizer: bytes = b"") -> dict[str, bytes]:
        self.drawn()
        return owner.opened_files(self.holding, self.secret, tokenizer)


def secret_of(seed: int) -> bytes:
    return hashlib.sha256(f"secret {seed}".encode()).digest()


def committed_world(
    folder: Path,
    purpose: Purpose,
    subject: bytes,
    seed: int = 0,
    *,
    stamped: int = 2,
    pulse: tuple[bytes, bytes, Announcement] | None = None,
    number: int = 1,
) -> World:
    """Committed and stamped. The same seed draws the same, whenever it is stamped."""
    beacon, certificate, announcement = pulse or fixed_pulse()
    holding, signer, secret = owner.Holding(folder), signer_of(seed), secret_of(seed)
    owner.commit(
        holding, subject, purpose, secret, announcement, owner="Our lab", signer=signer, now=MADE,
        stampers=[(authority, authority.certificate) for authority in AUTHORITIES[:stamped]],
        beacon_certificate=certificate, number=number,
    )  # fmt: skip
    return World(holding, signer, secret, beacon, certificate)


def opened_lot(folder: Path, purpose: Purpose, subject: bytes, seed: int, tokenizer: bytes | None = None) -> Lot:
    """Write an opened lot into `folder`: marks with a local authority and beacon, which only `Trust(copies=True)` takes.

    The same seed and subject draw the same in every run; only the stamps are of now.
    """
    with tempfile.TemporaryDirectory(prefix="lot-") as place:
        world = committed_world(Path(place) / "lot", purpose, subject, seed)
        world.drawn()
        folder.mkdir(parents=True, exist_ok=True)
        files = owner.open_lot(world.holding, world.secret, folder, tokenizer or b"")
    return read_lot(files, Trust(copies=True))
