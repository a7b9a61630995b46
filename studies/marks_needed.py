"""How much of a mark has to be there to be found: python -m studies.marks_needed

For each kind of mark the smallest effect that is found with 95 % probability at p <= 1e-6, from the exact laws alone: no model is run.

1. Canaries of 16 options: the share that has to survive, in a claimant's only commitment of four batches, where both statistics are paid
   for (a factor of 8).
2. A drawn order: the smallest tau between place and likelihood, no ties, one stratum, nothing searched.
3. Private twins: the share of rank-weighted pairs in favour of the published one, nothing searched.

Writes `studies/results/marks_needed.json`, which the pages of planted marks and of the examiners quote
(tests/statistics/test_marks_needed.py).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from filiation.evidence import Absent
from filiation.examiners.outcomes import CONSTRUCTED_LOG10_P
from filiation.statistics.power import detectable_share
from filiation.statistics.signed_ranks import effect_to_detect_among
from filiation.statistics.training_order import tau_to_detect

RESULTS = Path(__file__).parent / "results" / "marks_needed.json"
OPTIONS = 16
SEARCHED = 4 * 2  # batches x statistics
CANARIES = (32, 64, 256)
DOCUMENTS = (100, 300, 1_000, 10_000)
TWINS = (80, 200, 1_000)


def survival_needed(canaries: int) -> float:
    """The share of canaries that has to survive; the others agree by chance."""
    share = detectable_share(canaries, 1.0 / OPTIONS, CONSTRUCTED_LOG10_P - math.log10(SEARCHED))
    return 1.0 if isinstance(share, Absent) else (share - 1.0 / OPTIONS) / (1.0 - 1.0 / OPTIONS)


def needed() -> dict[str, dict[str, float]]:
    """Smallest effects by how much there is."""
    return {
        "share of canaries that survives": {str(n): round(survival_needed(n), 3) for n in CANARIES},
        "tau of a drawn order": {str(n): round(tau_to_detect((n,), CONSTRUCTED_LOG10_P), 3) for n in DOCUMENTS},
        "share of twins in favour": {
            str(n): round((1.0 + effect_to_detect_among(n, CONSTRUCTED_LOG10_P)) / 2.0, 3) for n in TWINS
        },
    }


def main() -> None:
    found: dict[str, Any] = needed()
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
