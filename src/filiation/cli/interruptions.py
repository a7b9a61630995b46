"""An interruption from the keyboard: it arrives once, and is answered with one line on what is kept."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

GOES_ON = "the same command goes on"


@contextmanager
def answered(kept: str) -> Iterator[None]:
    """Whoever interrupts what runs inside is told, on standard error, what is `kept`; the interruption goes on."""
    with arriving_once():
        try:
            yield
        except KeyboardInterrupt:
            typer.echo(f"interrupted; {kept}", err=True)
            raise


@contextmanager
def arriving_once() -> Iterator[None]:
    """One Ctrl-C raises one KeyboardInterrupt inside; a second Ctrl-C raises a second one.

    Polars raises its own when a query is interrupted, and Python raises another one for the same signal a moment later, in the
    middle of whatever answers the first: the message, the lock, the entry that is taken back. That twin is dropped. Does nothing
    outside the main thread or where the program that calls has a handler of its own.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    arrived = 0

    def arrives(number: int, frame: FrameType | None) -> None:
        nonlocal arrived
        arrived += 1
        twin = arrived == 1 and isinstance(sys.exc_info()[1], KeyboardInterrupt)
        if not twin:
            signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, arrives)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
