"""The likelihood ratio of an outcome, from counts by lineage, and the most and the least it may say.

    LR = P(outcome | the named relation) / P(outcome | independent),      outcome: detected, or not detected.

Both chances are (k + 1/2) / (n + 1), the mean of Jeffreys' posterior for k of n *lineages*: relatives of the named kind
above, strangers below. It is computed apart from p and e, which only enter as a cap. So absence speaks too, for
relations whose power is known.

Caps. A ratio is never above what the validation behind it supports, nor below what the relatives seen support:

    null              at most                          at least
    by model          1 / (p + u)                      1 / (R + 1)
    by population     the smaller of 1 / p and N       the larger of 1 / N and 1 / (R + 1)
    exchangeability   the smaller of 1 / p and N + 1   1 / (R + 1)

with R relatives and N strangers (controls) counted by lineage, and u the one-sided 95 % upper limit on the share of
stranger lineages that exceed the stated chance (Clopper and Pearson 1934; about 3 / N for none of N): whether the bound
on the chance holds is one event per pair of models, not one per opportunity.

By construction no models stand behind the chance: the law of the outcome is known exactly under independence, given the premises. There
the ratio is the finding's own e-value, which is a likelihood ratio: 'it agrees beyond chance, by a share of which nothing was known
before' against 'it does not depend on the owner's randomness'. At most 1 / p (Markov's inequality); absence says nothing.
"""

from __future__ import annotations

import math

from scipy.special import betaincinv

from filiation.evidence import Absent, Cap, Null, Record, round_against_accuser

_EACH_TAIL = 0.0125
"""Two 97.5 % intervals: both hold together with at least 95 %, by Bonferroni, and so does the interval of the ratio."""


_LARGEST_LOG10 = 300.0
"""No ratio is told beyond 10^300: the cap is a floating-point number, and larger ones would be none."""


class LineageCounts(Record, frozen=True, kw_only=True):
    """Validation counted by lineage, never by model or by prompt.

    `relatives_detected` of `relatives` pairs of the named relation were detected; `strangers_detected` of `strangers`
    (under a population null: of the controls) were detected, and `strangers_exceeding` of them exceeded the stated
    chance.
    """

    relatives: int
    relatives_detected: int
    strangers: int
    strangers_detected: int
    strangers_exceeding: int

    def __post_init__(self) -> None:
        for part, whole in (
            (self.relatives_detected, self.relatives),
            (self.strangers_detected, self.strangers),
            (self.strangers_exceeding, self.strangers),
        ):
            if not 0 <= part <= whole:
                raise ValueError(f"{part} of {whole} lineages is no count")


class LikelihoodRatio(Record, frozen=True, kw_only=True):
    """log10 of the ratio with its 95 % interval, all within the caps and rounded down to three decimals.

    `cap` is the one that limits this outcome: the most where something was detected, the least where nothing was.
    """

    log10_value: float
    log10_low: float
    log10_high: float
    cap: Cap
    detected: bool


def upper_limit(exceeding: int, lineages: int, confidence: float = 0.95) -> float:
    """One-sided upper confidence limit on a share of lineages (Clopper and Pearson 1934); 1.0 where none was seen.

    Raises ValueError for counts that are none, or a confidence outside (0, 1).
    """
    if not 0 <= exceeding <= lineages:
        raise ValueError(f"{exceeding} of {lineages} lineages is no count")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    if exceeding == lineages:
        return 1.0
    return float(betaincinv(exceeding + 1, lineages - exceeding, confidence))


def likelihood_ratio(detected: bool, counts: LineageCounts, *, null: Null, log10_p: float) -> LikelihoodRatio | Absent:
    """The likelihood ratio of the outcome for the named relation against independence.

    1. Without stranger lineages there is nothing to compare with; without relatives, absence says nothing: `Absent`.
    2. Both chances of this outcome, with their Jeffreys intervals (97.5 % each).
    3. Value: ratio of the two. Interval, conservatively: low over high, high over low.
    4. All three held within the caps (module docstring) and rounded against the accuser.

    `log10_p` is the finding's own, after all multiplicity has been paid for. Raises ValueError where it is none, and for a null
    by construction, which needs no counts (`constructed_ratio`).
    """
    if null is Null.CONSTRUCTION:
        raise ValueError("by construction the ratio is not estimated from counts")
    if not (math.isfinite(log10_p) and log10_p <= 0.0):
        raise ValueError(f"log10_p must be finite and at most 0, not {log10_p}")
    if counts.strangers == 0:
        return Absent(reason="no stranger lineage has been examined, so nothing is known of P(outcome | independent)")
    if not detected and counts.relatives == 0:
        return Absent(reason="nothing was detected, and how often relatives are detected is not known")
    related, related_low, related_high = _chance_of(detected, counts.relatives_detected, counts.relatives)
    stranger, stranger_low, stranger_high = _chance_of(detected, counts.strangers_detected, counts.strangers)
    most, least = _most(counts, null, log10_p), _least(counts, null)

    def held(ratio_log10: float) -> float:
        within = min(max(ratio_log10, math.log10(least.value)), math.log10(most.value))
        return round_against_accuser(within, accuses_when="large")

    return LikelihoodRatio(
        log10_value=held(math.log10(related) - math.log10(stranger)),
        log10_low=held(math.log10(related_low) - math.log10(stranger_high)),
        log10_high=held(math.log10(related_high) - math.log10(stranger_low)),
        cap=most if detected else least,
        detected=detected,
    )


def constructed_ratio(detected: bool, *, log10_p: float, log10_e: float) -> LikelihoodRatio | Absent:
    """The likelihood ratio of an outcome whose law under independence is known by construction: its e-value.

    `log10_e` and `log10_p` are the finding's own, all multiplicity paid for. Nothing is estimated, so the interval is the value itself.
    `Absent` where nothing was detected. Raises ValueError where they are no e and p of one outcome.
    """
    if not (math.isfinite(log10_p) and math.isfinite(log10_e) and log10_p <= 0.0 and log10_e <= 1e-9 - log10_p):
        raise ValueError(f"log10_p {log10_p} and log10_e {log10_e} are not those of one outcome")
    if not detected:
        return Absent(
            reason="the absence of a mark says nothing: marks can be removed, and what was read may not have been learned"
        )
    value = round_against_accuser(min(log10_e, _LARGEST_LOG10), accuses_when="large")
    cap = Cap(
        value=_cap(10.0 ** min(-log10_p, _LARGEST_LOG10), "").value,
        reason="at most 1 / p: the chance is known by construction, so that no number of models limits it; it is as good as its premises",
    )
    return LikelihoodRatio(log10_value=value, log10_low=value, log10_high=value, cap=cap, detected=True)


def _chance_of(detected: bool, found: int, lineages: int) -> tuple[float, float, float]:
    """P(this outcome) as (k + 1/2) / (n + 1), with the ends of its equal-tailed 97.5 % Jeffreys interval."""
    count = found if detected else lineages - found
    first, second = count + 0.5, lineages - count + 0.5
    low, high = betaincinv(first, second, _EACH_TAIL), betaincinv(first, second, 1.0 - _EACH_TAIL)
    return first / (lineages + 1.0), float(low), float(high)


def _most(counts: LineageCounts, null: Null, log10_p: float) -> Cap:
    if null is Null.MODEL:
        limit = upper_limit(counts.strangers_exceeding, counts.strangers)
        share = f"{counts.strangers_exceeding} of {counts.strangers} stranger lineages exceed the chance"
        return _cap(
            1.0 / min(1.0, 10.0**log10_p + limit),
            f"at most 1 / (p + u): {share}, so up to u = {limit:.3g} of all strangers may (95 % limit)",
        )
    if null is Null.POPULATION:
        if -log10_p < math.log10(counts.strangers):
            return _cap(10.0**-log10_p, "at most 1 / p, the rank among control lineages")
        return _cap(float(counts.strangers), f"at most N = {counts.strangers}, the number of control lineages")
    if -log10_p < math.log10(counts.strangers + 1.0):
        return _cap(10.0**-log10_p, "at most 1 / p")
    return _cap(counts.strangers + 1.0, f"at most N + 1 for {counts.strangers} stranger lineages")


def _least(counts: LineageCounts, null: Null) -> Cap:
    by_relatives = _cap(
        1.0 / (counts.relatives + 1.0), f"at least 1 / (R + 1) for {counts.relatives} lineages of relatives"
    )
    if null is Null.POPULATION and counts.strangers <= counts.relatives:
        return _cap(1.0 / counts.strangers, f"at least 1 / N for {counts.strangers} control lineages")
    return by_relatives


def _cap(value: float, reason: str) -> Cap:
    """The cap with four significant digits, rounded down, so that every machine writes the same one."""
    scale = 10.0 ** (3 - math.floor(math.log10(value)))
    return Cap(value=math.floor(value * scale * (1.0 + 1e-12)) / scale, reason=reason)
