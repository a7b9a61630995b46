"""One example case from the first step to the last, each step a command as a person would type it.

key, open               under a practice time-stamping authority on this machine (`openssl ts`)
admit                   models by digest only; recorded answers and the accuser's letter with their bytes
plan                    sealed, signed and stamped before anybody looks
draw                    foils and code names
observe, examine        suspect and foils alike, under code names
reveal, report          who was who; the report with the declarations of an invented expert
close, verify
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filiation.case.folder import CaseFolder
from studies.cases import plans
from studies.cases.commands import AUTHORITY, Commands
from studies.cases.models import (
    CONTROL_FOLDERS,
    POOL,
    REFERENCE,
    exhibit,
    norm_cosine,
    norm_vector,
    number_of_parameters,
)
from studies.cases.plans import OURS, THEIRS
from studies.cases.recordings import record
from studies.time_stamping import LocalAuthority
from studies.zoo import Zoo


@dataclass(frozen=True)
class Accusation:
    """One example: the folder's name, the zoo's member that is accused, a neutral title, and whether the accused answers."""

    name: str
    suspect: str
    title: str
    answered: bool = False


@dataclass(frozen=True)
class Casework(Commands):
    """The case of an accusation about members of the zoo."""

    accusation: Accusation
    zoo: Zoo

    @property
    def answer(self) -> Path:
        return self.place / f"{self.accusation.name}-answered"

    def made(self, now: datetime) -> tuple[Path, ...]:
        """Take the case through all its steps; returns its folder, and that of the answer where there is one."""
        self._gather(now)
        authority = LocalAuthority.made(self.place / "authority", name=AUTHORITY)
        self.beside("authority.pem").write_bytes(authority.certificate)
        with authority.serving() as address:
            certificate = f"{AUTHORITY}={self.beside('authority.pem')}"
            stamped = ("--authority", f"{AUTHORITY}={address}", "--authority-certificate", certificate)
            self.open_case(self.accusation.title, stamped)
            self._admit_all()
            self.seal()
            self.conclude()
            if self.accusation.answered:
                self._answer(stamped)
        return (self.case, self.answer) if self.accusation.answered else (self.case,)

    def _answer(self, stamped: Sequence[str]) -> None:
        """The accused has the same exhibits examined, with everybody in the line-up who read the same text."""
        key = self.beside("key-of-the-accused")
        signed = ("--key", key, "--actor", "example of the accused")
        told = ("--plan", self.beside("changes.toml"), "--declarations", self.beside("declarations.toml"))
        self.do("key", key)
        self.do("challenge", self.case, self.answer, "--party", "accused", *told, *stamped, "--no-pdf", *signed)
        self.do("close", self.answer, *signed)
        self.verify(self.answer)
        self.do("challenge", self.case, self.answer, "--check")

    # ------------------------------------------------------------------------------------------------------- exhibits

    def _gather(self, now: datetime) -> None:
        """Lay out what the parties hand over, the plan and the declarations."""
        zoo, suspect = self.zoo, self.accusation.suspect
        models = {OURS: REFERENCE, THEIRS: suspect} | {name: name for name in (*POOL, *CONTROL_FOLDERS)}
        for name, member in models.items():
            exhibit(zoo[member], self._model(name))
        record(zoo, {OURS: REFERENCE, THEIRS: suspect}, self.place / "answers", self.say)
        letter = plans.LETTER.format(
            cosine=norm_cosine(zoo[REFERENCE], zoo[suspect]), dimensions=norm_vector(zoo[REFERENCE]).size
        )
        self.beside("letter.txt").write_text(letter)
        parameters = number_of_parameters(zoo[REFERENCE])
        self.beside("plan.toml").write_text(plans.plan(self.accusation.name, parameters))
        self.beside("changes.toml").write_text(plans.CHANGES)
        self.beside("declarations.toml").write_text(plans.declarations(parameters, now.date()))

    def _admit_all(self) -> None:
        self._admit_model(OURS, "reference", "handed over by the accuser", f"{OURS}.parquet")
        for name in POOL:
            self._admit_model(name, "candidate", "trained for the line-up", "pool.parquet")
        for name in CONTROL_FOLDERS:
            self._admit_model(name, "control", "trained for the line-up", "controls-with-files.parquet")
        self.admit(f"transcripts:{self._answers('controls.parquet')}", "control", "recorded for the line-up")
        self._admit_model(THEIRS, "suspect", "handed over by the accused", f"{THEIRS}.parquet")
        self.admit(str(self.beside("letter.txt")), "material", "sent by the accuser", name="letter")

    def _admit_model(self, name: str, role: str, origin: str, answers: str) -> None:
        """A model by the digests of its files, and its answers with their bytes."""
        alike = ("--attribute", f"tokenizer={plans.TOKENIZER}", "--attribute", f"release={plans.RELEASE}")
        lineage = () if role in ("reference", "suspect") else ("--lineage", name)
        by_digest = ("--inside-limit", "0")
        self.admit(str(self._model(name)), role, origin, *alike, *lineage, *by_digest, name=name)
        spoken = f"transcripts:{self._answers(answers)}#{name}"
        self.admit(spoken, role, "recorded by the examiner", *lineage, name=f"{name}/answers")

    def _model(self, name: str) -> Path:
        return self.place / "models" / name

    def _answers(self, name: str) -> Path:
        return self.place / "answers" / name


def fingerprint(case: Path) -> str:
    """The key that a case is signed with, as whoever made it tells it by another way."""
    return CaseFolder.open(case).opened.key.keyid


def now() -> datetime:
    """The machine's clock; nothing else in this package looks at it."""
    return datetime.now(UTC)
