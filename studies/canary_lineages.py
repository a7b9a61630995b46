"""The survival study over its lineages: the figures of a point in all that have it, and where another lineage would be found.

Canaries of one model are forgotten together, so that an interval from counting the canaries of one lineage says too little of another.
Where three lineages or more were measured the interval is that for one more: Student's t for a further observation, on the angles
arcsin(sqrt(share)) of the shares of agreements, whose spread by counting alone is the same at every share. It supposes lineages that
scatter normally on that scale. Their spread is never taken to be less than what counting alone makes. Two lineages stand for themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from studies.canary_figures import LOG10_ALPHA, POWER, batches_needed, power_of, survival
from studies.canary_lines import OPTIONS

CONFIDENCE = 0.95
LEAST = 3
"""So many lineages must there be for an interval: of two it would be 'anything' (Student's t of one degree of freedom)."""


def another_lineage(agreements: Sequence[int], of: int) -> tuple[float, float]:
    """Between which shares of agreements one more lineage would be found with 95 % confidence."""
    number = len(agreements)
    angles = np.arcsin(np.sqrt(np.array(agreements) / of))
    spread = max(float(angles.std(ddof=1)), 1 / (2 * math.sqrt(of)))
    reach = float(stdtrit(number - 1, (1 + CONFIDENCE) / 2)) * spread * math.sqrt(1 + 1 / number)
    low, high = np.clip([angles.mean() - reach, angles.mean() + reach], 0.0, math.pi / 2)
    return float(np.sin(low) ** 2), float(np.sin(high) ** 2)


def together(lineages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is published: every lineage as it was measured, and of each point the figures of all lineages that have it."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for lineage in lineages:
        for row in lineage["points"]:
            rows.setdefault(row["name"], []).append(row)
    return {
        "canaries": lineages[0]["plan"]["canaries"],
        "options": OPTIONS,
        "log10 alpha": LOG10_ALPHA,
        "power": POWER,
        "parameters": lineages[0]["parameters"],
        "points": [pooled(of_one) for of_one in rows.values()],
        "lineages": [dict(lineage) for lineage in lineages],
    }


def pooled(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One point over its lineages: the share kept of all their canaries, each lineage's own, the weakest p, the most batches.

    `kept low` and `kept high` are where another lineage would be found, or of a single lineage how precisely it was seen; of two, None.
    """
    agreements, of = [row["agreements"] for row in rows], rows[0]["of"]
    kept = survival(sum(agreements) / (of * len(rows)))
    low, high, at_most = _interval(rows)
    by_ranks = [row["batches by ranks, about"] for row in rows]
    same = ("name", "group", "said", "settings", "exposures", "share of text")
    return {name: rows[0][name] for name in same if name in rows[0]} | {
        "agreements": agreements,
        "of": of,
        "kept": round(kept, 4),
        "kept by lineage": [row["kept"] for row in rows],
        "kept low": low,
        "kept high": high,
        "log10 p": max(row["log10 p"] for row in rows),
        "mean rank": round(sum(row["mean rank"] for row in rows) / len(rows), 4),
        "log10 p by ranks": max(row["log10 p by ranks"] for row in rows),
        "batches": batches_needed(kept),
        "power at the mean's batches": [power_at(batches_needed(kept), each / of) for each in agreements],
        "batches of the worst": batches_needed(survival(min(agreements) / of)),
        "batches at most": at_most,
        "batches by ranks, about": None if None in by_ranks else max(by_ranks),
        "decoys": [row["decoys"] for row in rows],
        "log10 p of the decoys": min(row["log10 p of the decoys"] for row in rows),
        "log10 p of the decoys by ranks": min(row["log10 p of the decoys by ranks"] for row in rows),
        "dispersion by kind": [dispersion(row["agreements by kind"]) for row in rows if "agreements by kind" in row],
        "loss": [row["loss"] for row in rows],
    }


def dispersion(counts: Mapping[str, Sequence[int]]) -> float | None:
    """Pearson's chi-squared of agreements by kind over its degrees of freedom: 1 where kinds fall as one; None where all or none agree."""
    agreed, asked = np.array(list(counts.values()), dtype=float).T
    share = agreed.sum() / asked.sum()
    if share in (0.0, 1.0):
        return None
    squares = (agreed - asked * share) ** 2 / (asked * share * (1 - share))
    return round(float(squares.sum()) / (len(asked) - 1), 2)


def power_at(batches: int | None, share: float) -> float:
    """The power that so many batches have in a lineage; 0 where the mean keeps nothing."""
    return round(power_of(batches, share), 2) if batches else 0.0


def _interval(rows: Sequence[Mapping[str, Any]]) -> tuple[float | None, float | None, int | None]:
    """The share kept in another lineage and the batches at its lower limit; of a single one, as Clopper and Pearson have it."""
    if len(rows) == 1:
        return rows[0]["kept low"], rows[0]["kept high"], rows[0]["batches at most"]
    if len(rows) < LEAST:
        return None, None, None
    low, high = map(survival, another_lineage([row["agreements"] for row in rows], rows[0]["of"]))
    return round(low, 4), round(high, 4), batches_needed(low)
