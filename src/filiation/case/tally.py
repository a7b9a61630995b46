"""What one of the numbered checks has looked at and found, while it is being carried out."""

from __future__ import annotations

from dataclasses import dataclass, field

from filiation.case.records import Check, Failure


@dataclass
class Tally:
    """Counts what a check looks at and keeps what does not hold. Failures are kept in the order in which they are found."""

    looked_at: int = 0
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def look(self, count: int = 1) -> None:
        self.looked_at += count

    def fail(self, where: str, what: str, meaning: str) -> None:
        self.failures.append(Failure(where=_writable(where), what=_writable(what), meaning=_writable(meaning)))

    def hold(self, holds: bool, where: str, what: str, meaning: str) -> bool:
        """One thing looked at: a failure unless `holds`. Returns `holds`."""
        self.look()
        if not holds:
            self.fail(where, what, meaning)
        return holds

    def note(self, text: str) -> None:
        self.notes.append(text)

    def check(self, number: int, title: str) -> Check:
        notes = self.notes or ([] if self.looked_at else ["nothing to check"])
        return Check(
            number=number,
            title=title,
            looked_at=self.looked_at,
            failures=tuple(self.failures),
            note="; ".join(notes),
        )


def _writable(text: str) -> str:
    """Names of files may hold bytes that are no text: they are written as escapes, so that the result can be written at all."""
    return text.encode("utf-8", "backslashreplace").decode()
