"""Where the recorded data of real models lies that the studies of recorded answers are calibrated on.

It is others' work under its own licences and no part of this project: FILIATION_DATA names its folder, by default
`../shared/data` beside the project. Studies say so and tests skip where it is absent.
"""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("FILIATION_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
