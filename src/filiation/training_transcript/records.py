"""What a training transcript says: the plan of the run, and the entries of its ledger. Plain records, no files.

A state is everything from which training goes on: weights and optimiser state, by the SHA-256 of every tensor. A segment is what lies
between two recorded states. Checkpoints are, as in a case, signatures over the head of the ledger.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from filiation.case.records import Announcement, Authority, PublicKey, Setting
from filiation.evidence import Record

FORMAT = "filiation-training"
VERSION = 1


class Header(Record, frozen=True, kw_only=True):
    """`transcript.json`: which run this folder holds. `run`: 32 hexadecimal digits drawn at random when it was opened."""

    format: str = FORMAT
    version: int = VERSION
    run: str
    title: str


class Shard(Record, frozen=True, kw_only=True):
    """One file of training data, by content."""

    name: str
    size: int
    sha256: str


class Data(Record, frozen=True, kw_only=True):
    """What is read, and in which order. `order` names the trainer's rule; `order_seed` decides it together with the rule."""

    shards: tuple[Shard, ...]
    order: str
    order_seed: int


class Initialisation(Record, frozen=True, kw_only=True):
    """Where training starts. 'seed': state 0 is drawn from `seed` and can be drawn again; 'state': it is the model `origin`, openly."""

    kind: Literal["seed", "state"]
    seed: int = 0
    origin: str = ""


class Tolerance(Record, frozen=True, kw_only=True):
    """How far a segment that is run again may end from the recorded state, said before anybody runs it.

    `deviation`: the distance of the two ends, as a share of how far the segment moved; 0 asks for the same bytes. `measured` says how
    it was found.
    """

    deviation: float = 0.0
    measured: str = ""


class Plan(Record, frozen=True, kw_only=True):
    """Everything that is fixed before the first step. `every`: steps from one recorded state to the next."""

    trainer: str
    configuration: dict[str, Any]
    settings: dict[str, Setting]
    software: dict[str, str]
    device: str
    initialisation: Initialisation
    data: Data
    steps: int
    every: int
    tolerance: Tolerance = Tolerance()

    def __post_init__(self) -> None:
        if not (self.steps >= 1 and self.every >= 1 and 0.0 <= self.tolerance.deviation < 1.0):
            raise ValueError("steps and every are at least 1, and the tolerance lies in [0, 1)")

    @property
    def planned_states(self) -> int:
        """How many states are recorded. A stranger's plan may say trillions: nothing is listed here."""
        return -(-self.steps // self.every) + 1

    def planned_step(self, state: int) -> int:
        """After how many steps state number `state`, from 0, is recorded."""
        return min(state * self.every, self.steps)

    @property
    def recorded_steps(self) -> tuple[int, ...]:
        """After which steps a state is recorded: none, every `every`, and the last. Of one's own plans only: it lists them all."""
        return tuple(map(self.planned_step, range(self.planned_states)))


# -------------------------------------------------------------------------------------------- what the ledger's entries say


class Opened(Record, frozen=True, kw_only=True, tag_field="action", tag="open"):
    """The first entry, always: the plan, and the key under which everything is signed."""

    plan: Plan
    key: PublicKey
    software: str
    authorities: tuple[Authority, ...] = ()


class StateRecorded(Record, frozen=True, kw_only=True, tag_field="action", tag="state"):
    """The state after `step` steps. `batches`: SHA-256 over the token ids read since the state before; `losses` of those steps."""

    step: int
    tensors: dict[str, str]
    batches: str = ""
    losses: tuple[float, ...] = ()


class Noted(Record, frozen=True, kw_only=True, tag_field="action", tag="note"):
    """Whatever else happened: an interruption, another machine."""

    text: str


class Closed(Record, frozen=True, kw_only=True, tag_field="action", tag="close"):
    """The last entry. `root`: of the Merkle tree over all lines before; `announcement`: the beacon that will draw the segments."""

    root: str
    leaves: int
    announcement: Announcement | None = None
    remark: str = ""


Body = Opened | StateRecorded | Noted | Closed


class Entry(Record, frozen=True, kw_only=True):
    """One line of the ledger. `previous`: digest of the entry before; of the header for the first, whose sequence is 1."""

    sequence: int
    previous: str
    time: str
    body: Body


# ----------------------------------------------------------------------------------------------------------------- drawing


Basis = Literal["drand", "nist", "verifier"]


class Drawn(Record, frozen=True, kw_only=True):
    """Which segments are run again. `seed`: HMAC-SHA256(key = the transcript's head, message = the randomness)."""

    run: str
    head: str
    basis: Basis
    randomness: str
    seed: str
    segments: tuple[int, ...]
    described: str = ""


class SegmentResult(Record, frozen=True, kw_only=True):
    """One segment run again. `deviation`: as in `Tolerance`; 0 where the bytes are the same. `why`: what did not hold, or empty."""

    segment: int
    first_step: int
    last_step: int
    identical: bool
    deviation: float | None
    why: str = ""


class Found(Record, frozen=True, kw_only=True):
    """What was run again, with the figures that go with it."""

    segments: int
    drawn: Drawn | None = None
    results: tuple[SegmentResult, ...] = ()
    passes: dict[str, float] = msgspec.field(default_factory=dict)  # forged segments -> log10 of the chance to pass
