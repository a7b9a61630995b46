"""Killed at random moments while observing and examining: nothing recorded is lost, and the case arrives where it would have.

The kills go on over one case until it is finished, then over the next. The slow test makes 100.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from filiation.case.folder import CaseFolder
from filiation.case.records import Entry, Examined, Observed
from filiation.case.signing import load_signer
from filiation.proceedings.examining import examine
from filiation.proceedings.observing import observe
from filiation.proceedings.sitting import Acting, sitting
from filiation.proceedings.verifying import verify_case
from tests import case_world

LONGEST = 0.5
"""Seconds until a kill, at most: observing and examining together take longer."""

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.test_interruptions"])


def go_on(case: Path) -> None:
    """What a person does after a crash: the same two commands again."""
    acting = Acting(signer=load_signer(case.parent / "key.pem"), actor="an expert", clock=lambda: datetime.now(UTC))
    secrets = case.parent / "case.secret"
    with sitting(case, acting) as held:
        observe(held, secrets=secrets)
    with sitting(case, acting) as held:
        examine(held, secrets=secrets)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cases")
    dispute = case_world.made(tmp_path_factory.mktemp("dispute"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FILIATION_KEY", str(place / "key.pem"))
        return case_world.planned(dispute, place)


def copied(drawn: Path, place: Path) -> Path:
    shutil.copytree(drawn.parent, place)
    return place / "case"


def entries(case: Path) -> tuple[Entry, ...]:
    with CaseFolder.open(case) as folder:
        return folder.entries


def results(case: Path) -> set[tuple[str, ...]]:
    """What was recorded, without when and in which order."""
    found: set[tuple[str, ...]] = set()
    for body in (entry.body for entry in entries(case)):
        if isinstance(body, Observed):
            found.add((body.exhibit, body.examiner, body.observation, body.absent))
        if isinstance(body, Examined):
            found.add((body.subject, body.record, body.outcomes))
    return found


def killed(drawn: Path, place: Path, kills: int, rng: random.Random) -> int:
    """Kill so many times; returns how many of them came before the work was done."""
    whole = copied(drawn, place / "whole")
    go_on(whole)
    made = cases = 0
    while made < kills:
        case = copied(drawn, place / f"killed-{cases}")
        cases += 1
        before = entries(case)
        finished = False
        while not finished and made < kills:
            running = processes.Process(target=go_on, args=(case,))
            running.start()
            running.join(rng.uniform(0.0, LONGEST))
            finished = running.exitcode == 0
            running.kill()
            running.join()
            made += not finished
            after = entries(case)
            assert after[: len(before)] == before
            before = after
        go_on(case)
        assert results(case) == results(whole)
        assert len([1 for entry in entries(case) if isinstance(entry.body, Observed | Examined)]) == len(results(whole))
        assert verify_case(case).passed
    return made


def test_killed_at_a_few_random_moments_nothing_is_lost(drawn: Path, tmp_path: Path) -> None:
    assert killed(drawn, tmp_path, 8, random.Random(1)) == 8


@pytest.mark.long
def test_killed_at_a_hundred_random_moments_nothing_is_lost(drawn: Path, tmp_path: Path) -> None:
    assert killed(drawn, tmp_path, 100, random.Random(2)) == 100
