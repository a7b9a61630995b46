"""Holding a case: who writes, under which key, at whose clock; and the checkpoint at the end, whatever happened."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from filiation.case import amendments
from filiation.case.folder import CaseFolder
from filiation.case.records import (
    Admitted,
    Body,
    CheckpointPredicate,
    Drawn,
    Entry,
    Manifest,
    Observed,
    Plan,
    Revealed,
    Sealed,
)
from filiation.case.signing import Signer
from filiation.case.time_stamps import HttpStamper, Stamper
from filiation.errors import FiliationError, UsageError
from filiation.examiners.examiner import Progress, silent
from filiation.report.case_contents import entry_texts
from filiation.report.wording import hold_to_wording

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The time of this machine, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Acting:
    """Who writes into a case. `stampers`: None for the authorities that the case names."""

    signer: Signer
    actor: str
    clock: Clock = system_clock
    stampers: tuple[Stamper, ...] | None = None
    progress: Progress = silent


class CaseAtHand:
    """A case that is open, and what its ledger says so far. Raises UsageError where a step before is missing."""

    def __init__(self, folder: CaseFolder, progress: Progress = silent) -> None:
        self.folder = folder
        self.progress = progress
        self._plans: dict[str, Plan] = {}
        self._manifests: dict[str, Manifest] = {}
        self._read = 0
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def scratch(self) -> Path:
        """A folder outside the case that is gone when the case is let go."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="filiation-case-")
        return Path(self._scratch.name)

    def let_go(self) -> None:
        if self._scratch is not None:
            self._scratch.cleanup()
        self.folder.close()

    # ------------------------------------------------------------------------------------------- what the ledger says

    @property
    def manifests(self) -> dict[str, Manifest]:
        """What was admitted, by name, in the order of admission."""
        for entry in self.folder.entries[self._read :]:
            if isinstance(entry.body, Admitted):
                self._manifests[entry.body.exhibit] = self.folder.get_record(entry.body.manifest, Manifest)
        self._read = len(self.folder.entries)
        return self._manifests

    @property
    def plans(self) -> dict[str, Plan]:
        """The sealed plans by digest, in order."""
        for entry in self.folder.entries:
            if isinstance(entry.body, Sealed) and entry.body.plan not in self._plans:
                self._plans[entry.body.plan] = self.folder.get_record(entry.body.plan, Plan)
        return self._plans

    @property
    def plan_digest(self) -> str:
        """The plan in force; empty before one is sealed."""
        return amendments.plan_in_force(self.folder.entries)

    @property
    def plan(self) -> Plan:
        """The plan in force. Raises UsageError before one is sealed."""
        if not self.plan_digest:
            raise UsageError(
                "no plan is sealed yet", exhibit=str(self.folder.path), advice=self.do("plan", "plan.toml")
            )
        return self.plans[self.plan_digest]

    @property
    def drawn(self) -> Drawn:
        """The draw in force. Raises UsageError where there is none."""
        plan = self.plan
        drawn = amendments.draw_in_force(self.folder.entries, self.plans)
        if drawn is None:
            earlier = any(isinstance(entry.body, Drawn) for entry in self.folder.entries)
            beacon = "" if plan.announcement.basis == "claimant" else "--beacon FILE"
            raise UsageError(
                "the plan was amended in what the draw rests on, and nothing has been drawn since"
                if earlier
                else "foils and code names are not drawn yet",
                exhibit=str(self.folder.path),
                advice=self.do("draw", *([beacon] if beacon else [])),
            )
        return drawn

    @property
    def revealed(self) -> dict[str, str]:
        """Exhibit by code name, of all draws that were revealed."""
        return {
            code: exhibit
            for entry in self.folder.entries
            if isinstance(entry.body, Revealed)
            for code, exhibit in entry.body.exhibits.items()
        }

    def observed(self, *, planned: bool = True) -> dict[tuple[str, str, str], Observed]:
        """What was recorded, by exhibit (or code name), examiner and its version; exploratory looks only where `planned` is False,
        and then only where there is no planned one."""
        bodies = [entry.body for entry in self.folder.entries if isinstance(entry.body, Observed)]
        bodies = [body for body in bodies if not (planned and body.exploratory)]
        first: dict[tuple[str, str, str], Observed] = {}
        for body in sorted(bodies, key=lambda body: body.exploratory):
            first.setdefault((body.exhibit, body.examiner, body.examiner_version), body)
        return first

    def do(self, verb: str, *words: str) -> str:
        """The command that is due, as advice."""
        return " ".join(["filiation case", verb, str(self.folder.path), *words])


class Sitting(CaseAtHand):
    """A case held open for writing, by somebody."""

    def __init__(self, folder: CaseFolder, acting: Acting) -> None:
        super().__init__(folder, acting.progress)
        self.acting = acting
        self.checkpoint: CheckpointPredicate | None = None

    def append(self, body: Body) -> Entry:
        """Write an entry; it is on the disk when this returns. Raises UsageError where its text says what no report may say."""
        hold_to_wording(entry_texts(body))
        return self.folder.append(body, actor=self.acting.actor, now=self.acting.clock())

    def sign(self, *, closed: bool = False) -> None:
        """Write a checkpoint over everything recorded so far."""
        made = self.folder.checkpoint(
            self.acting.signer, now=self.acting.clock(), stampers=self._stampers, closed=closed
        )
        self.checkpoint = made.predicate

    @cached_property
    def _stampers(self) -> Sequence[Stamper]:
        if self.acting.stampers is not None:
            return self.acting.stampers
        objects = self.folder.objects
        return [HttpStamper(each, objects.get(each.certificate)) for each in self.folder.opened.authorities]


@contextmanager
def sitting(path: str | Path, acting: Acting) -> Iterator[Sitting]:
    """Hold the case at `path` open for writing. What was recorded is signed at the end, after an error too.

    Raises UsageError where the case is closed or the key is another case's. Entries that an interrupted run left unsigned are
    signed first.
    """
    folder = CaseFolder.open(Path(path), write=True, actor=acting.actor, now=acting.clock())
    held = Sitting(folder, acting)
    try:
        _check_key(held)
        _sign_what_is_there(held)
        _check_open(held)
        try:
            yield held
        except FiliationError:
            _sign_what_is_there(held)
            raise
        _sign_what_is_there(held)
    finally:
        held.let_go()


def _sign_what_is_there(held: Sitting) -> None:
    if held.folder.unsigned_entries():
        held.sign(closed=held.folder.closed)


def _check_open(held: Sitting) -> None:
    if held.folder.closed:
        raise UsageError(
            "this case is closed",
            exhibit=str(held.folder.path),
            advice="open another case for what is still to be said",
        )


def _check_key(held: Sitting) -> None:
    key = held.folder.opened.key
    if key.public != held.acting.signer.key.public:
        raise UsageError(
            f"this case is signed with the key {key.keyid[:16]}..., not with {held.acting.signer.key.keyid[:16]}...",
            exhibit=str(held.folder.path),
            advice="give the key that opened the case, with --key FILE or FILIATION_KEY",
        )
