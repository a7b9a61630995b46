"""Every error this package raises on purpose.

    FiliationError                   one base: `except FiliationError` catches them all
    ├── UsageError                   the request itself makes no sense (exit code 2)
    ├── SourceError                  an exhibit cannot be read as what it claims to be (exit code 3)
    │   ├── SourceNotFound           nothing is there, or no permission to read it
    │   ├── UnsafeSource             reading it could run code or leave its folder: refused
    │   └── MalformedSource          truncated, lying, oversized or contradictory
    ├── RecordError                  a stored record is not what it says it is (exit code 4)
    └── MissingExtra                 an optional dependency is not installed (exit code 5)

An error speaks to a person: what happened, to which exhibit, and what to do about it.
"""

from __future__ import annotations


class FiliationError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1

    def __init__(self, message: str, *, exhibit: str = "", advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.exhibit = exhibit
        self.advice = advice

    def __str__(self) -> str:
        where = f"{self.exhibit}: " if self.exhibit else ""
        what_to_do = f"\n  advice: {self.advice}" if self.advice else ""
        return f"{where}{self.message}{what_to_do}"


class UsageError(FiliationError):
    exit_code = 2


class SourceError(FiliationError):
    exit_code = 3


class SourceNotFound(SourceError):
    pass


class UnsafeSource(SourceError):
    pass


class MalformedSource(SourceError):
    pass


class RecordError(FiliationError):
    exit_code = 4


class MissingExtra(FiliationError):
    exit_code = 5
