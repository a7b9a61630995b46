"""A small owner of canaries: two real local authorities, a beacon under a key of the tests' own, every step of the protocol."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from filiation.canaries import exposure, generators, labels, opening, owner, planting
from filiation.canaries.canary import Canary
from filiation.canaries.scoring import Answers
from filiation.case.commitments import Trust
from filiation.case.records import Announcement
from filiation.case.signing import Signer, new_signer
from studies.time_stamping import LocalAuthority
from tests.case.worlds import own_pulse

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))


def hour(number: float) -> datetime:
    """So many hours from now; stamps are of now, because a real program makes them."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=number)


@dataclass(frozen=True)
class World:
    """An owner's folder with what it was made with."""

    holding: owner.Holding
    signer: Signer
    authorities: tuple[LocalAuthority, ...]
    beacon: bytes
    beacon_certificate: bytes
    cohorts: int
    key: bytes = KEY

    @property
    def trust(self) -> Trust:
        """What a careful verifier brings along."""
        return Trust(
            authorities=tuple(authority.certificate for authority in self.authorities),
            beacon_certificate=self.beacon_certificate,
            keyid=self.signer.key.keyid,
        )

    def copied(self, folder: Path) -> World:
        shutil.copytree(self.holding.folder, folder)
        return replace(self, holding=owner.Holding(folder))

    def request(self, **fields: object) -> opening.Request:
        _, about = self.holding.commitment()
        usual = {"commitment": about, "batch": 0, "verifier": "N", "suspects": ("theirs",), "considered": 1}
        return opening.Request(**{**usual, "placebo_keys": 99, **fields})  # type: ignore[arg-type]

    def plant(self, cohort: int = 0, batches: tuple[int, ...] = (0,), at: float = 3) -> planting.Planted:
        canaries = owner.to_plant(self.holding, batches, cohort)
        keys = {batch: labels.batch_key(self.key, batch) for batch in batches}
        rng = np.random.default_rng(1)
        planted = planting.training_lines(canaries, keys, self.holding.beacon(), cohort, 3, rng)
        owner.record_exposure(
            self.holding, planted, cohort=cohort, channel="training text", recipient="run 7",
            since=hour(at), until=hour(at), signer=self.signer, now=hour(at),
        )  # fmt: skip
        return planted

    def reveal(self, at: float = 4, **fields: object) -> opening.Bundle:
        return owner.reveal(self.holding, self.key, self.request(**fields), signer=self.signer, now=hour(at))[0]

    def says(self, name: str, choose: Callable[[Canary], int]) -> Answers:
        """A model that gives to each canary and decoy the option that `choose` says."""
        return Answers(name, {canary.index: canary.options[choose(canary)] for canary in self.holding.canaries()})

    def opened_canaries(self, batch: int = 0) -> tuple[Canary, ...]:
        return tuple(canary for canary in self.holding.canaries() if canary.batch == batch)

    def opens(self, folder: Path, at: float = 4, **fields: object) -> opening.Bundle:
        """Reveal batch 0 into `folder`, as marks."""
        bundle = self.reveal(at, **fields)
        opening.write_bundle(bundle, folder)
        return bundle

    def label(self, canary: Canary, cohort: int = 0) -> int:
        return labels.label(labels.batch_key(self.key, canary.batch), self.holding.beacon(), cohort, canary)


def prepared(folder: Path, batches: int = 2, batch_size: int = 16, options: int = 16) -> owner.Holding:
    folder.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(5)
    made = generators.candidates(2 * batches * batch_size, options, rng)
    owner.prepare(folder, generators.paired(made, batch_size, rng), "generated")
    return owner.Holding(folder)


def committed_world(
    folder: Path,
    *,
    cohorts: int = 1,
    authorities: int | tuple[LocalAuthority, ...] = 2,
    batches: int = 2,
    batch_size: int = 16,
    holding: owner.Holding | None = None,
    pulse: tuple[bytes, bytes, Announcement] | None = None,
    signer: Signer | None = None,
    number: int = 1,
) -> World:
    """Prepared and committed. What is not given is made: canaries, so many authorities, a signer, a beacon that speaks in an hour."""
    if isinstance(authorities, int):
        authorities = tuple(
            LocalAuthority.made(folder / f"authority{each}", name=f"a{each}") for each in range(authorities)
        )
    beacon, certificate, announcement = pulse or own_pulse(hour(1))
    holding, signer = holding or prepared(folder / "canaries", batches, batch_size), signer or new_signer()
    owner.commit(
        holding, KEY, announcement, claimant="ours", signer=signer, now=hour(0),
        stampers=[(authority, authority.certificate) for authority in authorities],
        beacon_certificate=certificate, cohorts=cohorts, number=number,
    )  # fmt: skip
    return World(holding, signer, authorities, beacon, certificate, cohorts)


def labelled_world(folder: Path, **fields: object) -> World:
    made = committed_world(folder, **fields)  # type: ignore[arg-type]
    owner.label(made.holding, made.beacon, signer=made.signer, now=hour(2))
    return made


def changed(bundle: opening.Bundle, **parts: bytes | Mapping[str, bytes]) -> opening.Bundle:
    return replace(bundle, **parts)  # type: ignore[arg-type]


def ledger_of(world: World) -> tuple[exposure.LedgerEntry, ...]:
    commitment, about = world.holding.commitment()
    return exposure.read_ledger(world.holding.ledger(), about, commitment.key)
