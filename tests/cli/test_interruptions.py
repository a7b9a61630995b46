"""Signals that this process sends to itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from filiation.cli.interruptions import answered, arriving_once

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")


def test_an_interruption_is_raised() -> None:
    with pytest.raises(KeyboardInterrupt), arriving_once():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def answered_by_a_signal(first: Callable[[], None]) -> bool:
    """Whether the answer to an interruption was itself interrupted by the signal that arrived in it."""
    try:
        with arriving_once():
            try:
                first()
            except KeyboardInterrupt:
                signal.raise_signal(signal.SIGINT)
                return False
    except KeyboardInterrupt:
        return True
    raise AssertionError("nothing was interrupted")


def raised_by_a_library() -> None:
    raise KeyboardInterrupt


def test_the_signal_behind_an_interruption_that_a_library_raised_is_not_raised_again() -> None:
    """Polars raises KeyboardInterrupt out of a query; Python's own handler of the same signal runs a moment later."""
    assert not answered_by_a_signal(raised_by_a_library)


def test_who_presses_twice_is_heard_twice() -> None:
    assert answered_by_a_signal(lambda: signal.raise_signal(signal.SIGINT))


def test_a_handler_of_the_calling_program_stays() -> None:
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    try:
        with arriving_once():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [True]


def test_whoever_interrupts_is_told_once_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), answered("all of it is kept"):
        signal.raise_signal(signal.SIGINT)
    assert capsys.readouterr() == ("", "interrupted; all of it is kept\n")


def test_what_ends_by_itself_or_by_an_error_is_not_called_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    with answered("all of it is kept"):
        pass
    with pytest.raises(ValueError, match="an error"), answered("all of it is kept"):
        raise ValueError("an error")
    assert capsys.readouterr() == ("", "")
