"""A small real training: softmax regression on the bytes of a text, with momentum, in numpy; and transcripts of it, honest and forged."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filiation.case.records import Announcement
from filiation.case.signing import Signer, new_signer
from filiation.training_transcript.execution import Executed
from filiation.training_transcript.folder import TranscriptFolder
from filiation.training_transcript.records import (
    Data,
    Drawn,
    Header,
    Initialisation,
    Plan,
    Shard,
    Tolerance,
)
from filiation.training_transcript.states import State
from studies.time_stamping import LocalAuthority

TEXT = b"The quick brown fox jumps over the lazy dog, and the lazy dog does not mind at all. " * 40
WIDTH = 32
BATCH = 16
RATE = 0.5
MOMENTUM = 0.9


def plan(*, steps: int = 40, every: int = 4, seed: int = 1, tolerance: float = 0.0, text: bytes = TEXT) -> Plan:
    return Plan(
        trainer="tests.training_transcript.world",
        configuration={"width": WIDTH},
        settings={"batch": BATCH, "rate": RATE, "momentum": MOMENTUM},
        software={"numpy": np.__version__},
        device="any",
        initialisation=Initialisation(kind="seed", seed=seed),
        data=Data(
            shards=(Shard(name="text", size=len(text), sha256=hashlib.sha256(text).hexdigest()),),
            order="windows",
            order_seed=7,
        ),
        steps=steps,
        every=every,
        tolerance=Tolerance(deviation=tolerance, measured="in a test" if tolerance else ""),
    )


@dataclass
class SmallTrainer:
    """Predicts the next byte (modulo WIDTH) from the present one. `noise` stands for a platform that does not repeat itself."""

    plan: Plan
    data: Mapping[str, bytes]
    noise: float = 0.0
    ran: list[tuple[int, int]] = field(default_factory=list)

    def shards(self) -> Mapping[str, str]:
        return {name: hashlib.sha256(text).hexdigest() for name, text in self.data.items()}

    def initial(self) -> State:
        rng = np.random.default_rng(self.plan.initialisation.seed)
        return {"weights/table": rng.standard_normal((WIDTH, WIDTH)).astype(np.float32)}

    def run(self, state: State, first: int, steps: int) -> Executed:
        self.ran.append((first, steps))
        table = state["weights/table"].astype(np.float32)
        pull = state.get("optimiser/momentum", np.zeros_like(table)).astype(np.float32)
        read, losses = hashlib.sha256(), []
        for tokens in list(self._batches())[first : first + steps]:
            read.update(tokens.astype("<i8").tobytes())
            loss, gradient = _step(table, tokens)
            pull = (MOMENTUM * pull + gradient).astype(np.float32)
            table = (table - RATE * pull).astype(np.float32)
            losses.append(round(loss, 6))
        if self.noise:
            rng = np.random.default_rng(first)
            table = (table * (1 + self.noise * rng.standard_normal(table.shape))).astype(np.float32)
        return Executed({"weights/table": table, "optimiser/momentum": pull}, tuple(losses), read.hexdigest())

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        tokens = np.frombuffer(self.data["text"], dtype=np.uint8).astype(np.int64) % WIDTH
        rng = np.random.default_rng(self.plan.data.order_seed)
        for starts in rng.integers(0, len(tokens) - 1, size=(self.plan.steps, BATCH)):
            yield np.stack([tokens[starts], tokens[starts + 1]])


def _step(table: NDArray[Any], tokens: NDArray[np.int64]) -> tuple[float, NDArray[Any]]:
    now, then = tokens
    scores = table[now] - table[now].max(axis=1, keepdims=True)
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -float(np.log(chances[np.arange(BATCH), then]).mean())
    chances[np.arange(BATCH), then] -= 1.0
    gradient = np.zeros_like(table)
    np.add.at(gradient, now, chances / BATCH)
    return loss, gradient


def trainer(plan: Plan, data: Mapping[str, bytes]) -> SmallTrainer:
    """What `filiation training verify --trainer tests.training_transcript.world:trainer` calls."""
    return SmallTrainer(plan, data)


# ------------------------------------------------------------------------------------------------------------ transcripts


@dataclass
class Clock:
    """A clock that moves on by a second whenever it is asked, from the present on."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass(frozen=True)
class Owner:
    """Who trains: a key, and an authority that stamps for them (a real one, by `openssl ts`)."""

    signer: Signer
    authority: LocalAuthority

    @classmethod
    def made(cls, folder: Path) -> Owner:
        return cls(new_signer(), LocalAuthority.made(folder))

    def opens(self, path: Path, wanted: Plan, clock: Clock) -> TranscriptFolder:
        return TranscriptFolder.create(
            path,
            Header(run="ab" * 16, title="a small table"),
            wanted,
            self.signer,
            now=clock(),
            software="filiation, tested",
            authorities=[self.authority.authority],
            certificates={self.authority.name: self.authority.certificate},
        )

    def trains(self, path: Path, wanted: Plan, states: Sequence[State], made: Sequence[Executed]) -> TranscriptFolder:
        """A transcript of these states, whoever made them; signed and stamped at the end."""
        clock = Clock()
        folder = self.opens(path, wanted, clock)
        folder.record_state(states[0], 0, now=clock())
        for step, state, executed in zip(wanted.recorded_steps[1:], states[1:], made, strict=True):
            folder.record_state(state, step, now=clock(), batches=executed.batches, losses=executed.losses)
        folder.close(now=clock(), announcement=ANNOUNCED)
        folder.checkpoint(self.signer, now=clock(), stampers=[self.authority])
        return folder


ANNOUNCED = Announcement(
    basis="drand",
    chain="7672797f548f3f4748ac4bf3352fc6c6b6468c9ad40ad456a397545c6e2df5bf",
    round=223344,
    scheme="pedersen-bls-unchained",
    public_key="8200fc249deb0148eb918d6e213980c5d01acd7fc251900d9260136da3b54836ce125172399ddc69c4e3e11429b62c11",
    genesis=1651677099,
    period=3,
)
"""A real round of drand's test network, of 2022 (tests/case/beacons): earlier than any stamp that is made now."""


def trained(wanted: Plan, data: Mapping[str, bytes], noise: float = 0.0) -> tuple[list[State], list[Executed]]:
    """All states of a run, and what each stretch gave."""
    by = SmallTrainer(wanted, data, noise)
    states, made = [by.initial()], []
    for first, last in pairwise(wanted.recorded_steps):
        made.append(by.run(states[-1], first, last - first))
        states.append(made[-1].state)
    return states, made


def copied(folder: TranscriptFolder, place: Path) -> TranscriptFolder:
    shutil.copytree(folder.path, place)
    return TranscriptFolder.open(place)


def drawn(folder: TranscriptFolder, count: int, seed: bytes = b"\5" * 32) -> Drawn:
    from filiation.training_transcript.drawing import from_verifier

    return from_verifier(folder.header.run, folder.head, len(folder.states) - 1, count, seed)
