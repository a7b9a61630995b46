"""Killed at any moment: a writer gets SIGKILL a hundred times, and what it acknowledged is always there."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from filiation.case import ledger
from filiation.case.folder import CaseFolder
from filiation.case.records import Noted, Recovered
from filiation.case.signing import Signer, new_signer
from filiation.evidence import digest
from tests.case.small_case import HEADER, NOW, new_case

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and fork")

CASES, KILLS = 10, 5
LATER = NOW + timedelta(days=1)


def write_without_end(path: Path, signer: Signer, acknowledge: int, lot: random.Random) -> None:
    """What a busy command does: objects, entries that name them, checkpoints. Each line tells what is on the disk by now."""

    def say(text: str) -> None:
        os.write(acknowledge, f"{text}\n".encode())

    say("running")
    with CaseFolder.open(path, write=True, now=LATER) as case:
        while True:
            found = case.objects.put(lot.randbytes(lot.choice((10, 10_000, 100_000))))
            say(f"object {found}")
            text = "x" * lot.choice((1, 10_000))
            say(f"entry {digest(case.append(Noted(text=text, objects=(found,)), actor='me', now=LATER))}")
            if lot.random() < 0.4:
                say(f"checkpoint {case.checkpoint(signer, now=LATER).sequence}")


def acknowledged_until_killed(path: Path, signer: Signer, lot: random.Random) -> list[str]:
    """Let a process write, kill it at a moment drawn by lot, and return what it acknowledged."""
    reader, writer = os.pipe()
    own = random.Random(lot.random())
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            write_without_end(path, signer, writer, own)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        lines = [told.readline() for _ in range(lot.randrange(1, 10))]
        time.sleep(lot.random() * 0.01)
        os.kill(child, signal.SIGKILL)
        lines += told.readlines()
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "the writer ended by itself"
    return [line.decode().strip() for line in lines]


def check_nothing_is_lost(case: CaseFolder, acknowledged: list[str]) -> None:
    entries = {digest(entry) for entry in case.entries}
    for kind, _, what in (line.partition(" ") for line in acknowledged):
        if kind == "object":
            case.objects.get(what)
        elif kind == "entry":
            assert what in entries
        elif kind == "checkpoint":
            assert case.read_checkpoint(int(what)).head == digest(case.entries[int(what) - 1])


def killed_and_opened_again(path: Path, signer: Signer, lot: random.Random) -> int:
    """Kill the writers of one case one after the other; how often something was found that was being written."""
    acknowledged: list[str] = []
    interrupted = 0
    for _ in range(KILLS):
        acknowledged += acknowledged_until_killed(path, signer, lot)
        with CaseFolder.open(path) as case:  # as it was left
            check_nothing_is_lost(case, acknowledged)
            interrupted += bool(case.interrupted)
        with CaseFolder.open(path, write=True, now=LATER) as case:  # healed
            check_nothing_is_lost(case, acknowledged)
            case.append(Noted(text="it goes on"), actor="me", now=LATER)
        with CaseFolder.open(path) as case:
            assert case.interrupted == ""
            assert ledger.parse((path / "ledger.jsonl").read_bytes(), HEADER) == (case.entries, b"")
    return interrupted


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments_nothing_acknowledged_is_lost(tmp_path: Path, seed: int) -> None:
    signer, lot, interrupted = new_signer(), random.Random(seed), 0
    for number in range(CASES):
        path = tmp_path / f"case {number}"
        new_case(path, signer).close()
        interrupted += killed_and_opened_again(path, signer, lot)
    print(f"{interrupted} of {CASES * KILLS} kills came while something was being written")
    assert interrupted > 0


@pytest.mark.parametrize("left", [1, 40, 5000])
def test_a_last_line_that_was_cut_is_taken_away_kept_as_an_object_and_said(tmp_path: Path, left: int) -> None:
    """The line is cut by hand, because a system seldom does: it mostly finishes a write before it ends a process."""
    path, signer = tmp_path / "case", new_signer()
    with new_case(path, signer) as case:
        case.append(Noted(text="kept"), actor="me", now=NOW)
        whole = (path / "ledger.jsonl").read_bytes()
        case.append(Noted(text="x" * 6000), actor="me", now=NOW)
    torn = (path / "ledger.jsonl").read_bytes()[len(whole) :][:left]
    (path / "ledger.jsonl").write_bytes(whole + torn)

    with CaseFolder.open(path) as case:
        assert f"{left} bytes at the end of the ledger" in case.interrupted
        assert len(case.entries) == 2
    assert (path / "ledger.jsonl").read_bytes() == whole + torn

    with CaseFolder.open(path, write=True, actor="me again", now=LATER) as case:
        recovered = case.entries[-1]
        assert (path / "ledger.jsonl").read_bytes() == whole + ledger.entry_line(recovered)
        assert isinstance(recovered.body, Recovered)
        assert recovered.body.bytes_cut == left
        assert case.objects.get(recovered.body.sha256) == torn
        assert (recovered.actor, recovered.time) == ("me again", ledger.time_text(LATER))
    with CaseFolder.open(path, write=True) as case:
        assert len(case.entries) == 3
