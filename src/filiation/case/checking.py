"""Numbered checks that are carried out one after the other: the first that fails ends them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from filiation.case.records import Check, Failure
from filiation.errors import FiliationError, MissingExtra

_Found = TypeVar("_Found")


class Checking:
    """What was checked so far. `titles`: of all checks in their order; `exhibit`: what is checked, where an error names nothing."""

    def __init__(self, titles: Sequence[str], exhibit: str) -> None:
        self.checks: list[Check] = []
        self._titles = titles
        self._exhibit = exhibit

    def check(self, look: Callable[[], _Found], looked_at: Callable[[_Found], int] = lambda _found: 1) -> _Found:
        """Carry the next check out. Raises what it raises, and keeps that it failed; a missing library is no failure."""
        number = len(self.checks) + 1
        try:
            found = look()
        except MissingExtra:
            raise
        except FiliationError as error:
            failure = Failure(where=error.exhibit or self._exhibit, what=error.message, meaning=error.advice)
            self.checks.append(Check(number=number, title=self._titles[number - 1], looked_at=1, failures=(failure,)))
            raise
        self.checks.append(Check(number=number, title=self._titles[number - 1], looked_at=looked_at(found)))
        return found
