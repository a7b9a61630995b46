"""Make `fixed/` anew: `python -m tests.lots.make_fixed`. Everything that tests draw by lot changes with it."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from studies.time_stamping import LocalAuthority
from tests.case.worlds import own_pulse
from tests.lots.world import FIXED

KEPT = ("root.pem", "stamping.pem", "stamping.key", "chain.pem")


def make() -> None:
    for name in ("a0", "a1"):
        with tempfile.TemporaryDirectory() as work:
            authority = LocalAuthority.made(Path(work) / name, name=name)
            (FIXED / name).mkdir(parents=True, exist_ok=True)
            for kept in KEPT:
                shutil.copyfile(authority.folder / kept, FIXED / name / kept)
    beacon, certificate, _ = own_pulse(datetime(2050, 1, 1, tzinfo=UTC))
    (FIXED / "beacon.json").write_bytes(beacon)
    (FIXED / "beacon.pem").write_bytes(certificate)


if __name__ == "__main__":
    make()
