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

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filiation.case.folder import CaseFolder
from filiation.cli.case import app
from studies.cases import plans
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

ACTOR = "example"
AUTHORITY = "practice"


@dataclass(frozen=True)
class Accusation:
    """One example: the folder's name, the zoo's member that is accused, a neutral title, and whether the accused answers."""

    name: str
    suspect: str
    title: str
    answered: bool = False


@dataclass(frozen=True)
class Casework:
    """A case that is being made in `place`, where its exhibits and its key lie beside it."""

    accusation: Accusation
    zoo: Zoo
    place: Path
    say: Callable[[str], None]

    @property
    def case(self) -> Path:
        return self.place / self.accusation.name

    @property
    def answer(self) -> Path:
        return self.place / f"{self.accusation.name}-answered"

    def made(self, now: datetime) -> tuple[Path, ...]:
        """Take the case through all its steps; returns its folder, and that of the answer where there is one."""
        self._gather(now)
        authority = LocalAuthority.made(self.place / "authority", name=AUTHORITY)
        self._beside("authority.pem").write_bytes(authority.certificate)
        with authority.serving() as address:
            certificate = f"{AUTHORITY}={self._beside('authority.pem')}"
            stamped = ("--authority", f"{AUTHORITY}={address}", "--authority-certificate", certificate)
            self._accuse(stamped)
            if self.accusation.answered:
                self._answer(stamped)
        return (self.case, self.answer) if self.accusation.answered else (self.case,)

    def _accuse(self, stamped: Sequence[str]) -> None:
        self._do("key", self._beside("key"))
        self._signed("open", "--title", self.accusation.title, "--party", "claimant", *stamped)
        self._admit_all()
        self._signed("plan", self._beside("plan.toml"))
        for verb in ("draw", "observe", "examine", "reveal"):
            self._signed(verb)
        self._signed("report", "--declarations", self._beside("declarations.toml"))
        self._signed("close")
        self._verify(self.case)

    def _answer(self, stamped: Sequence[str]) -> None:
        """The accused has the same exhibits examined, with everybody in the line-up who read the same text."""
        key = self._beside("key-of-the-accused")
        signed = ("--key", key, "--actor", "example of the accused")
        told = ("--plan", self._beside("changes.toml"), "--declarations", self._beside("declarations.toml"))
        self._do("key", key)
        self._do("challenge", self.case, self.answer, "--party", "accused", *told, *stamped, "--no-pdf", *signed)
        self._do("close", self.answer, *signed)
        self._verify(self.answer)
        self._do("challenge", self.case, self.answer, "--check")

    def _verify(self, case: Path) -> None:
        self._do("verify", case, "--authority-certificate", self._beside("authority.pem"))

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
        self._beside("letter.txt").write_text(letter)
        parameters = number_of_parameters(zoo[REFERENCE])
        self._beside("plan.toml").write_text(plans.plan(self.accusation.name, parameters))
        self._beside("changes.toml").write_text(plans.CHANGES)
        self._beside("declarations.toml").write_text(plans.declarations(parameters, now.date()))

    def _admit_all(self) -> None:
        self._admit_model(OURS, "reference", "handed over by the accuser", f"{OURS}.parquet")
        for name in POOL:
            self._admit_model(name, "candidate", "trained for the line-up", "pool.parquet")
        for name in CONTROL_FOLDERS:
            self._admit_model(name, "control", "trained for the line-up", "controls-with-files.parquet")
        self._admit(f"transcripts:{self._answers('controls.parquet')}", "control", "recorded for the line-up")
        self._admit_model(THEIRS, "suspect", "handed over by the accused", f"{THEIRS}.parquet")
        self._admit(str(self._beside("letter.txt")), "material", "sent by the accuser", name="letter")

    def _admit_model(self, name: str, role: str, origin: str, answers: str) -> None:
        """A model by the digests of its files, and its answers with their bytes."""
        alike = ("--attribute", f"tokenizer={plans.TOKENIZER}", "--attribute", f"release={plans.RELEASE}")
        lineage = () if role in ("reference", "suspect") else ("--lineage", name)
        by_digest = ("--inside-limit", "0")
        self._admit(str(self._model(name)), role, origin, *alike, *lineage, *by_digest, name=name)
        spoken = f"transcripts:{self._answers(answers)}#{name}"
        self._admit(spoken, role, "recorded by the examiner", *lineage, name=f"{name}/answers")

    def _admit(self, location: str, role: str, origin: str, *more: str, name: str = "") -> None:
        called = ("--as", name) if name else ()
        self._signed("admit", location, "--role", role, *called, "--origin", origin, *more)

    def _beside(self, name: str) -> Path:
        return self.place / name

    def _model(self, name: str) -> Path:
        return self.place / "models" / name

    def _answers(self, name: str) -> Path:
        return self.place / "answers" / name

    # ------------------------------------------------------------------------------------------------------- commands

    def _signed(self, verb: str, *arguments: str | Path) -> None:
        self._do(verb, self.case, *arguments, "--key", self._beside("key"), "--actor", ACTOR)

    def _do(self, verb: str, *arguments: str | Path) -> None:
        """One command, printed as it would be typed in `place`."""
        given = [verb, *map(str, arguments)]
        self.say(f"$ filiation case {self._typed(given)}")
        app(args=given, prog_name="filiation case", standalone_mode=False)

    def _typed(self, given: Sequence[str]) -> str:
        return shlex.join(each.replace(f"{self.place}/", "") for each in given)


def fingerprint(case: Path) -> str:
    """The key that a case is signed with, as whoever made it tells it by another way."""
    return CaseFolder.open(case).opened.key.keyid


def now() -> datetime:
    """The machine's clock; nothing else in this package looks at it."""
    return datetime.now(UTC)
