"""False claims against canaries: suspects of every kind who know nothing of the key, and claimants who cheat.

    python -m studies.canary_claims

1.  10,000 suspects of each kind, each against a key of its own: a constant one, a biased one, one that goes by the most popular option, one
    that copies another model, one that adapts to the prompt, one that always answers alike within a kind, and one that hardly ever answers.
    How often p is at most each level; it may never be more often than the level, within the error of counting.
2.  Many models looked at, cohorts chosen among, batches chosen among: what the smallest p is with and without the price that is paid.
3.  Somebody who commits late and tries keys: what is reached without a beacon, with every core of this machine and with hours, and that
    the order in time refuses it, shown with a real round of drand and real time-stamps.
4.  Framing: a claimant who feeds the suspect everything, or all but the decoys; what the controls show of it.
5.  Canaries needed at each survival.

Writes `studies/results/canary_claims.json`.
"""

from __future__ import annotations

import hmac
import json
import math
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy.stats import binom

from filiation.canaries import generators, labels
from filiation.canaries.canary import Canary
from filiation.canaries.commitment import commitment_file, committed
from filiation.canaries.opening import Request
from filiation.canaries.scoring import Answers, Opened, canaries_needed, scored
from filiation.case import beacons
from filiation.case.commitments import Authority, Trust, check_order
from filiation.case.signing import new_signer
from filiation.errors import RecordError
from studies.time_stamping import LocalAuthority

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "studies" / "results" / "canary_claims.json"
SUSPECTS = 10_000
CANARIES = 256
OPTIONS = 16
LEVELS = (0.5, 0.1, 0.05, 0.01, 0.001)
ROUND_1000 = json.dumps(
    {
        "round": 1000,
        "randomness": "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd",
        "signature": "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39",
    }
).encode()
"""Round 1000 of drand's quicknet, of 23 August 2023, as tests of several clients print it."""

Numbers = np.ndarray

# -------------------------------------------------------------------------------------------------------- 1. strangers


def popular(rng: np.random.Generator) -> Numbers:
    """How popular each option of each canary is: shared by all models, as it would be if they had read the same text."""
    return rng.dirichlet(np.full(OPTIONS, 0.3), size=CANARIES)


def constant(rng: np.random.Generator, popularity: Numbers) -> Numbers:
    return np.full(CANARIES, rng.integers(OPTIONS))


def biased(rng: np.random.Generator, popularity: Numbers) -> Numbers:
    return rng.choice(OPTIONS, size=CANARIES, p=rng.dirichlet(np.full(OPTIONS, 0.2)))


def mode_following(rng: np.random.Generator, popularity: Numbers) -> Numbers:
    modes: Numbers = popularity.argmax(axis=1)
    return modes


def copied(rng: np.random.Generator, popularity: Numbers) -> Numbers:
    """Nine in ten answers are those of one other model, the same for all suspects."""
    other = np.random.default_rng(7).integers(OPTIONS, size=CANARIES)
    own = rng.integers(OPTIONS, size=CANARIES)
    return np.where(rng.random(CANARIES) < 0.9, other, own)


def adaptive(rng: np.random.Generator, popularity: Numbers) -> Numbers:
    """Each answer depends on the prompt and on all answers before, as deterministically as a hash."""
    seed, said = rng.bytes(16), []
    for number in range(CANARIES):
        said.append(hmac.digest(seed, bytes([number % 256, *(said[-3:])]), "sha256")[0] % OPTIONS)
    return np.array(said)


def by_kind(rng: np.random.Generator, popularity: Numbers) -> Numbers:
    """One answer for each of nine kinds: answers hang together, labels do not."""
    return rng.integers(OPTIONS, size=9)[np.arange(CANARIES) % 9]


def seldom(rng: np.random.Generator, popularity: Numbers) -> Numbers:
    """Nine in ten answers cannot be read as an option."""
    return np.where(rng.random(CANARIES) < 0.9, -1, popularity.argmax(axis=1))


KINDS: dict[str, Callable[[np.random.Generator, Numbers], Numbers]] = {
    "constant": constant,
    "biased": biased,
    "mode-following": mode_following,
    "copied from another model": copied,
    "adaptive to prompts": adaptive,
    "one answer per kind": by_kind,
    "seldom readable": seldom,
}


def made_canaries(rng: np.random.Generator) -> tuple[Canary, ...]:
    return generators.paired(generators.candidates(2 * CANARIES, OPTIONS, rng), CANARIES, rng)


def labels_under(keys: list[bytes], canaries: tuple[Canary, ...], beacon: bytes) -> Numbers:
    """The labels of all canaries under many keys by the shipped function, keys x canaries."""
    messages = [labels.message(beacon, 0, canary) for canary in canaries]
    found = [[labels.label_of(key, message, OPTIONS) for message in messages] for key in keys]
    return np.array(found, dtype=np.uint8)


def strangers(under: Numbers, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Per kind: how often p is at most each level, the largest count, and the largest excess in standard errors."""
    popularity = popular(rng)
    tail = np.array([10 ** _log10_p(count, CANARIES) for count in range(CANARIES + 1)])
    table = {}
    for name, answers in KINDS.items():
        counts = np.array([int((answers(rng, popularity) == row).sum()) for row in under])
        p = tail[counts]
        shares = {f"p <= {level:g}": float((p <= level).mean()) for level in LEVELS}
        errors = [(shares[f"p <= {level:g}"] - level) / math.sqrt(level * (1 - level) / len(under)) for level in LEVELS]
        table[name] = {
            **shares,
            "largest count": int(counts.max()),
            "smallest p": float(p.min()),
            "excess": max(errors),
        }
    return table


def attainable() -> dict[str, float]:
    """What the exact law gives: counts are whole, so a level is reached less often than it says."""
    tail = binom.sf(np.arange(CANARIES + 1) - 1, CANARIES, 1 / OPTIONS)
    return {f"p <= {level:g}": float(tail[tail <= level].max()) for level in LEVELS}


def _log10_p(count: int, opportunities: int) -> float:
    from filiation.evidence import Coincidences
    from filiation.statistics.coincidences import log10_upper_tail

    return log10_upper_tail(Coincidences(count=count, opportunities=opportunities, chance=1 / OPTIONS))


# ------------------------------------------------------------------------------------------------------- 2. searching


def searching(under: Numbers, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """The claimant looks at 10 models, 16 cohorts and 4 batches, and shows the best: how often p <= .01, unpaid and paid."""
    tail = np.array([10 ** _log10_p(count, 64) for count in range(65)])
    found = {}
    for name, looked in {"10 models": 10, "16 cohorts": 16, "4 batches": 4, "all of it": 640}.items():
        runs = 20_000 if looked <= 16 else 2_000
        best = rng.binomial(64, 1 / OPTIONS, size=(runs, looked)).max(axis=1)
        smallest = tail[best]
        found[name] = {
            "looked at": looked,
            "unpaid p <= 0.01": float((smallest <= 0.01).mean()),
            "paid p <= 0.01": float((smallest * looked <= 0.01).mean()),
        }
    return found


# ---------------------------------------------------------------------------------------------------- 3. a late claimant


def grinding(canaries: tuple[Canary, ...], seconds: float, rng: np.random.Generator) -> dict[str, float]:
    """Try keys against one suspect's known answers, with the shipped hash, for so long; and what more time would reach.

    The best of N keys has a p of about 1/N. The cheapest batch is the smallest that reaches p: ten canaries for 1e-12, where most keys
    are given up after one or two hashes.
    """
    answers = rng.integers(OPTIONS, size=len(canaries)).tolist()
    held = [(labels.message(b"", 0, canary), answer) for canary, answer in zip(canaries, answers, strict=True)]
    began, tried, hashed, best = time.perf_counter(), 0, 0, 0
    while time.perf_counter() - began < seconds:
        key, count = tried.to_bytes(32, "big"), 0
        for left, (message, answer) in zip(range(len(held), 0, -1), held, strict=True):
            if count + left <= best:
                break
            count, hashed = count + (labels.label_of(key, message, OPTIONS) == answer), hashed + 1
        best, tried = max(best, count), tried + 1
    rate = tried / (time.perf_counter() - began)
    return {
        "canaries": len(held),
        "seconds of one core": seconds,
        "keys a second": round(rate),
        "hashes a key": round(hashed / tried, 2),
        "log10 p reached": round(_log10_p(best, len(held)), 2),
        "core-hours to 1e-12 in Python": round(1e12 / rate / 3600),
    }


def late(folder: Path) -> dict[str, str]:
    """A real round of 2023, a commitment made today and dated before it: what the order in time says to it."""
    authorities = [LocalAuthority.made(folder / name, name=name) for name in ("one", "two")]
    known = beacons.announced("quicknet", datetime.fromtimestamp(1692803367 + 999 * 3, UTC))
    signer, rng = new_signer(), np.random.default_rng(0)
    canaries = generators.paired(generators.candidates(16, OPTIONS, rng), 8, rng)
    commitment = committed(
        canaries, bytes(32), known, claimant="late", now=datetime(2023, 1, 1, tzinfo=UTC), signer=signer,
        authorities=tuple(Authority(name=each.name, certificate=each.authority.certificate) for each in authorities),
    )  # fmt: skip
    data = commitment_file(commitment, signer)
    stamps = {each.name: each.stamp(data) for each in authorities}
    certificates = {each.name: each.certificate for each in authorities}
    trust = Trust(authorities=tuple(certificates.values()))
    said = {}
    for name, given in {"stamped late": stamps, "not stamped": {}}.items():
        try:
            check_order(data, commitment, given, certificates, ROUND_1000, trust=trust)
            said[name] = "accepted"
        except RecordError as error:
            said[name] = f"refused: {error.message.rsplit(': ', 1)[-1]}"
    return said


# ------------------------------------------------------------------------------------------------------------ 4. framing


def framing(canaries: tuple[Canary, ...]) -> dict[str, dict[str, float]]:
    """Who feeds the suspect what, and what suspect, decoys, unused cohorts and an unrelated model then show."""
    key, beacon = bytes(32), b"\x01" * 32
    opened = Opened(canaries, key, beacon, cohorts=1, batches=1, commitments=1, placebo_seed=b"framing")
    request = Request(
        commitment="",
        batch=0,
        verifier="",
        suspects=("suspect",),
        considered=1,
        controls=("stranger",),
        placebo_keys=99,
    )
    stranger = Answers("stranger", {canary.index: canary.options[0] for canary in canaries})

    def answering(fed: Callable[[Canary], bool]) -> Answers:
        texts = {
            canary.index: canary.options[labels.label(key, beacon, 0, canary) if fed(canary) else 0]
            for canary in canaries
        }
        return Answers("suspect", texts)

    cases: dict[str, Callable[[Canary], bool]] = {
        "not exposed": lambda _canary: False,
        "exposed by planting": lambda canary: not canary.decoy,
        "fed everything that has a label": lambda _canary: True,
        "fed a tenth of everything that has a label": lambda canary: canary.index // 2 % 10 == 0,
        "fed canaries alone, by somebody careful": lambda canary: not canary.decoy,
    }
    table = {}
    for name, fed in cases.items():
        score = scored(opened, request, [answering(fed)], [stranger]).scores[0]
        table[name] = {
            "log10 p": score.log10_p,
            "log10 p of the decoys": score.decoys.log10_p,
            "warnings": len(score.warnings),
        }
    return table


# ------------------------------------------------------------------------------------------------------------- all of it


def main(suspects: int = SUSPECTS, seconds: float = 5.0) -> dict[str, object]:
    rng = np.random.default_rng(20261121)
    canaries = made_canaries(rng)
    planted = tuple(canary for canary in canaries if not canary.decoy)
    keys = [rng.bytes(32) for _ in range(suspects)]
    under = labels_under(keys, planted, b"\x05" * 32)
    with tempfile.TemporaryDirectory() as folder:
        return {
            "suspects of each kind": suspects,
            "canaries": CANARIES,
            "options": OPTIONS,
            "exact law": attainable(),
            "strangers": strangers(under, rng),
            "searching": searching(under, rng),
            "grinding": [grinding(planted[:size], seconds, rng) for size in (10, CANARIES)],
            "late": late(Path(folder)),
            "framing": framing(canaries),
            "canaries needed": {f"{s:g}": canaries_needed(s) for s in (1.0, 0.9, 0.5, 0.25, 0.1, 0.05)},
        }


def told(found: dict[str, object]) -> str:
    """The tables as a person reads them."""
    strange: dict[str, dict[str, float]] = found["strangers"]  # type: ignore[assignment]
    head = [f"p <= {level:g}" for level in LEVELS]
    lines = [f"{'':<28}" + "".join(f"{name:>12}" for name in head) + f"{'excess':>9}"]
    law: dict[str, float] = found["exact law"]  # type: ignore[assignment]
    lines.append(f"{'exact law':<28}" + "".join(f"{law[name]:>12.4f}" for name in head))
    for kind, row in strange.items():
        lines.append(f"{kind:<28}" + "".join(f"{row[name]:>12.4f}" for name in head) + f"{row['excess']:>9.2f}")
    rest = {name: value for name, value in found.items() if name not in ("strangers", "exact law")}
    return "\n".join([*lines, json.dumps(rest, indent=1)])


if __name__ == "__main__":
    results = main()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(told(results))
