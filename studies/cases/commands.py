"""Commands as a person would type them, printed and run: what every example case is made of."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from filiation.cli.case import app

ACTOR = "example"
AUTHORITY = "practice"
LONGEST = 400
"""Characters of a command that are printed."""


@dataclass(frozen=True)
class Commands:
    """A case called `name` that is made in `place`, where its exhibits and its key lie beside it."""

    name: str
    place: Path
    say: Callable[[str], None]

    @property
    def case(self) -> Path:
        return self.place / self.name

    def beside(self, name: str) -> Path:
        """A file beside the case."""
        return self.place / name

    def open_case(self, title: str, stamped: Sequence[str]) -> None:
        """A new case under a new key, stamped by the practice authority."""
        self.do("key", self.beside("key"))
        self.signed("open", "--title", title, "--party", "claimant", *stamped)

    def seal(self) -> None:
        """The plan that lies beside the case."""
        self.signed("plan", self.beside("plan.toml"))

    def conclude(self) -> None:
        """Every step after the plan, to the case's verification; the declarations lie beside it."""
        for verb in ("draw", "observe", "examine", "reveal"):
            self.signed(verb)
        self.signed("report", "--declarations", self.beside("declarations.toml"))
        self.signed("close")
        self.verify(self.case)

    def admit(self, location: str, role: str, origin: str, *more: str, name: str = "") -> None:
        """An exhibit, with its bytes where it is small."""
        called = ("--as", name) if name else ()
        self.signed("admit", location, "--role", role, *called, "--origin", origin, *more)

    def verify(self, case: Path) -> None:
        """Every check, under the practice authority."""
        self.do("verify", case, "--authority-certificate", self.beside("authority.pem"))

    def signed(self, verb: str, *arguments: str | Path) -> None:
        """A step of the case under its key."""
        self.do(verb, self.case, *arguments, "--key", self.beside("key"), "--actor", ACTOR)

    def do(self, verb: str, *arguments: str | Path) -> None:
        """One `filiation case` command, printed as it would be typed in `place`."""
        self.run(app, "case", verb, *arguments)

    def run(self, program: Callable[..., object], name: str, *arguments: str | Path) -> None:
        """One command of a part of `filiation`."""
        given = [str(each) for each in arguments]
        self.say(f"$ filiation {name} {self._typed(given)[:LONGEST]}")
        program(args=given, prog_name=f"filiation {name}", standalone_mode=False)

    def _typed(self, given: Sequence[str]) -> str:
        return shlex.join(each.replace(f"{self.place}/", "") for each in given)
