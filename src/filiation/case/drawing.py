"""How chance enters a case: the seed, the foils, the code names. Pure functions of what was sealed and what was public.

1. The seed is HMAC-SHA256 under the plan's digest of public randomness that did not exist when the plan was sealed. Nobody
   could try plans until the draw suited them, and nobody can draw twice.
2. Foils are ranked by HMAC-SHA256 under the seed of their names; the first of those eligible are taken. The order
   in which the pool was written down plays no part.
3. Code names come from a secret that is committed to before anybody looks and opened when the results are sealed.

Without a beacon the seed is the claimant's own choice, and reports say so: the draw can then be repeated, but not trusted.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from filiation.case.records import Announcement, LineUpPlan, PlannedExhibit, Setting
from filiation.errors import UsageError

LETTERS = "ACDEFGHJKMNPRTVWXY"
DIGITS = "2345679"
"""A code name is a letter, a digit, a letter, a digit: nothing that is misread, nothing that spells a word."""

_SHA256 = re.compile("[0-9a-f]{64}")


def seed(plan_digest: str, randomness: bytes) -> str:
    """The seed of a case, 64 hexadecimal digits: HMAC-SHA256(key = the plan's digest, message = the beacon's randomness).

    Raises UsageError where `plan_digest` is not a SHA-256 in hexadecimal or `randomness` is empty.
    """
    if not randomness:
        raise UsageError("a seed cannot be drawn from no randomness", advice="give the beacon that the plan announced")
    return _keyed(_bytes_of(plan_digest, "the plan's digest"), randomness).hex()


def claimants_seed(announcement: Announcement) -> str:
    """The seed that the claimant chose in a plan without a beacon. Raises UsageError unless it is 64 hexadecimal digits."""
    if announcement.basis != "claimant":
        raise UsageError(
            f"the plan announced randomness of {announcement.basis}, so the claimant's own seed does not count",
            advice="give the beacon that the plan announced",
        )
    return _bytes_of(announcement.seed, "the claimant's seed").hex()


def examination_seed(seed: str) -> int:
    """The seed of the examiners' own permutations and probes, from 0 to 2**31 - 1."""
    return int.from_bytes(_keyed(_bytes_of(seed, "the seed"), b"examination")[:4], "big") >> 1


# --------------------------------------------------------------------------------------------------------------- foils


@dataclass(frozen=True)
class Pool:
    """The pool of a line-up, told apart: who may be drawn, who stands in it whatever is drawn, who cannot, and why."""

    eligible: tuple[PlannedExhibit, ...]
    standing: tuple[PlannedExhibit, ...]
    excluded: dict[str, str]


def sorted_out(
    line_up: LineUpPlan, suspect_attributes: Mapping[str, Setting], barred_lineages: Collection[str] = ()
) -> Pool:
    """Hold every candidate of the pool against what is not at issue.

    `barred_lineages` are those of the suspect and of the reference. A candidate without a declared lineage is
    excluded: nobody could say that it is a stranger. Whoever shares the innocent explanation stands in the line-up
    whatever its attributes. Raises UsageError where the plan's line-up contradicts itself.
    """
    _check(line_up, suspect_attributes)
    standing = tuple(candidate for candidate in line_up.pool if candidate.exhibit in line_up.shares_explanation)
    _check_standing(line_up, standing, barred_lineages)
    taken = {candidate.lineage for candidate in standing}
    eligible: list[PlannedExhibit] = []
    excluded: dict[str, str] = {}
    for candidate in sorted(line_up.pool, key=lambda candidate: candidate.exhibit):
        if candidate in standing:
            continue
        reason = _lineage_bars(candidate, barred_lineages, taken) or _unlike(line_up, candidate, suspect_attributes)
        if reason:
            excluded[candidate.exhibit] = reason
        else:
            eligible.append(candidate)
    return Pool(tuple(eligible), standing, excluded)


def draw_foils(
    line_up: LineUpPlan,
    suspect_attributes: Mapping[str, Setting],
    seed: str,
    barred_lineages: Collection[str] = (),
) -> tuple[str, ...]:
    """The foils of a line-up by name, sorted; `line_up.foils` of them, those that share the explanation included.

    Candidates are taken in the order of HMAC-SHA256(seed, 'foil|' + name), at most one of a lineage. `barred_lineages`
    as for `sorted_out`. Raises UsageError where the pool cannot give so many, naming whom it lost and why.
    """
    pool = sorted_out(line_up, suspect_attributes, barred_lineages)
    drawn = list(pool.standing)
    passed_over: dict[str, str] = {}
    for candidate in _ranked(pool.eligible, _bytes_of(seed, "the seed")):
        sibling = next((foil.exhibit for foil in drawn if foil.lineage == candidate.lineage), "")
        if sibling:
            passed_over[candidate.exhibit] = f"is of the lineage {candidate.lineage}, as is {sibling}"
        elif len(drawn) < line_up.foils:
            drawn.append(candidate)
    if len(drawn) < line_up.foils:
        raise _too_few(line_up.foils, len(drawn), {**pool.excluded, **passed_over})
    return tuple(sorted(foil.exhibit for foil in drawn))


def _ranked(candidates: Sequence[PlannedExhibit], key: bytes) -> list[PlannedExhibit]:
    return sorted(candidates, key=lambda candidate: _keyed(key, f"foil|{candidate.exhibit}".encode()))


def _check(line_up: LineUpPlan, suspect_attributes: Mapping[str, Setting]) -> None:
    names = [candidate.exhibit for candidate in line_up.pool]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"the pool of foils names {', '.join(twice)} twice", advice="name every candidate once")
    if not line_up.tolerance >= 1.0:
        raise UsageError(
            f"numbers cannot be alike within the factor {line_up.tolerance}", advice="give a factor of 1 or more"
        )
    untold = [name for name in line_up.matched_on if name not in suspect_attributes]
    if untold:
        raise UsageError(
            f"foils are to be like the suspect in {', '.join(untold)}, which the plan does not tell of the suspect",
            advice="state the attribute where the suspect is admitted, or do not ask for it",
        )


def _check_standing(line_up: LineUpPlan, standing: Sequence[PlannedExhibit], barred: Collection[str]) -> None:
    strangers = sorted(set(line_up.shares_explanation) - {candidate.exhibit for candidate in standing})
    if strangers:
        raise UsageError(
            f"{', '.join(strangers)} shares the explanation but does not stand in the pool",
            advice="name it in the pool of the line-up",
        )
    if len(standing) > line_up.foils:
        raise UsageError(
            f"{len(standing)} candidates share the explanation, but the line-up has only {line_up.foils} foils",
            advice="raise the number of foils",
        )
    taken: set[str] = set()
    for candidate in standing:
        reason = _lineage_bars(candidate, barred, taken)
        if reason:
            raise UsageError(
                f"it shares the explanation but cannot be a foil: it {reason}",
                exhibit=candidate.exhibit,
                advice="name another that shares the explanation",
            )
        taken.add(candidate.lineage)


def _lineage_bars(candidate: PlannedExhibit, barred: Collection[str], taken: Collection[str]) -> str:
    if not candidate.lineage:
        return "declares no lineage, so nobody could say that it is a stranger"
    if candidate.lineage in barred:
        return f"is of the lineage {candidate.lineage}, as is the suspect or the reference"
    if candidate.lineage in taken:
        return f"is of the lineage {candidate.lineage}, as is one that shares the explanation"
    return ""


def _unlike(line_up: LineUpPlan, candidate: PlannedExhibit, suspect: Mapping[str, Setting]) -> str:
    """In what a candidate differs from the suspect although it is not at issue; empty where it does not."""
    for name in line_up.matched_on:
        if name not in candidate.attributes:
            return f"tells no {name}"
        if not alike(candidate.attributes[name], suspect[name], line_up.tolerance):
            return f"has {name} {candidate.attributes[name]}, the suspect {suspect[name]}"
    return ""


def alike(first: Setting, second: Setting, tolerance: float) -> bool:
    """Words and truth values where they are equal; numbers above zero where neither exceeds `tolerance` times the other."""
    if isinstance(first, bool | str) or isinstance(second, bool | str):
        return type(first) is type(second) and first == second
    low, high = sorted((first, second))
    return low == high or (low > 0 and high <= tolerance * low)


def _too_few(wanted: int, found: int, excluded: Mapping[str, str]) -> UsageError:
    reasons = "; ".join(f"{name} {reason}" for name, reason in sorted(excluded.items()))
    return UsageError(
        f"the line-up wants {wanted} foils and the pool gives {found}" + (f": {reasons}" if reasons else ""),
        advice="widen the pool or the tolerance, or ask for fewer foils; where the plan is sealed already, by an amendment",
    )


# ---------------------------------------------------------------------------------------------------------- code names


def commitment(secret: bytes) -> str:
    """SHA-256 of the secret, in hexadecimal: published before anybody looks, opened when the results are sealed."""
    if len(secret) != 32:
        raise UsageError(f"the secret behind code names has 32 bytes, not {len(secret)}", advice="draw 32 random bytes")
    return hashlib.sha256(secret).hexdigest()


def code_names(exhibits: Sequence[str], secret: bytes) -> dict[str, str]:
    """A code name for each exhibit, such as 'K7R2': from code name to exhibit, in the order of the code names.

    Neither the code names nor their order tell anything of the exhibits to whoever does not know the 32 secret bytes.
    """
    commitment(secret)
    named: dict[str, str] = {}
    for exhibit in sorted(exhibits):
        attempt = 0
        while (code := _code_name(exhibit, attempt, secret)) in named:
            attempt += 1
        named[code] = exhibit
    if len(set(exhibits)) != len(exhibits):
        raise UsageError("an exhibit cannot stand in a line-up twice", advice="name every exhibit once")
    return dict(sorted(named.items()))


def _code_name(exhibit: str, attempt: int, secret: bytes) -> str:
    number = int.from_bytes(_keyed(secret, f"code name|{attempt}|{exhibit}".encode()), "big")
    code = ""
    for characters in (LETTERS, DIGITS, LETTERS, DIGITS):
        number, place = divmod(number, len(characters))
        code += characters[place]
    return code


def _keyed(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _bytes_of(hexadecimal: str, what: str) -> bytes:
    if not _SHA256.fullmatch(hexadecimal):
        raise UsageError(f"{what} is not 64 hexadecimal digits in lower case: {hexadecimal[:80]!r}")
    return bytes.fromhex(hexadecimal)
