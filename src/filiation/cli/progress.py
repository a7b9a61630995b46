"""Progress while it works, on standard error, so that standard output stays clean for `--json -`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from filiation.report.wording import shortened


class _Step(TextColumn):
    """The step being done, as plain text: names of exhibits are never markup."""

    def render(self, task: object) -> Text:
        return Text(str(getattr(task, "description", "")))


@contextmanager
def shown(quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """A progress callback `(what, share)`, share from 0 to 1; silent when `quiet` or when nobody watches."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _what, _share: None
        return
    columns = (SpinnerColumn(), _Step(""), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("opening the exhibits", total=1.0)

        def tell(what: str, share: float) -> None:
            bars.update(task, description=shortened(what, 70), completed=min(max(share, 0.0), 1.0))

        yield tell
