"""Was the tokenizer taken, or trained on all but the same text by the same recipe?

Two tokenizers trained apart hold many of the same tokens, and learned them in an order that is nearly a coin's between
neighbours; one that was taken keeps the order. A coincidence is a pair of neighbours in one tokenizer's order of
shared tokens that stands in the same order in the other. The order is read from what the tokenizer's function depends on
(merges or scores): ids can be permuted for free and are a separate remark.

1. Both roles are tried, and the larger p counts.
2. An order that nobody had to learn (alphabetical, by length) says nothing.
3. Parts of a vocabulary are a search over a list fixed beforehand, and paid for.
4. Public tokenizers whose order both follow are named, and the test is repeated on what stands outside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Coincidences,
    Companion,
    Component,
    Finding,
    Identity,
    Inconclusive,
    Multiplicity,
    Null,
    Observation,
    Outcome,
    Proposition,
    Relation,
    Relations,
    Test,
    digest,
    round_against_accuser,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.outcomes import (
    common_fields,
    effect_of,
    inconclusive_of,
    registered_lineages,
    registered_power,
    share_to_detect,
)
from filiation.measures.token_order import (
    SharedTokens,
    Signature,
    TokenOrder,
    against_signature,
    order_by_function,
    order_by_ids,
    outside,
    pair_off_both,
    parts,
    plot_points,
    sample_keys,
    shared_tokens,
    systematic_tallies,
)
from filiation.sources.source import Source
from filiation.sources.tokenizers import TokenizerDefinition
from filiation.statistics.coincidences import log10_upper_tail, resolution_log10_p
from filiation.statistics.e_values import log10_e_value
from filiation.statistics.merging import bonferroni, holm
from filiation.statistics.register import Calibration, RegisterEntry

NAME = "tokenizer"
VERSION = "1"
QUESTION = "Was the tokenizer taken, or trained on all but the same text by the same recipe?"
NEEDS = (Access.TOKENIZER,)
RELATION_CLASS = "taken (whole, extended or in part), or trained on all but the same text by the same recipe"


def _test(name: str, alternative: str, formula: str) -> Test:
    return Test(
        id=f"tokenizer.{name}",
        proposition=Proposition.TOKENIZER,
        alternative=alternative,
        relation_class=RELATION_CLASS,
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.MODEL,
        symmetric=True,
        formula=formula,
    )


MERGE_ORDER = _test(
    "merge-order",
    "trained apart: on other text, or by another recipe",
    "P(Bin(n, c) >= k), the larger over the two roles; merges (BPE) or scores (unigram)",
)
TOKEN_IDS = _test(
    "token-ids",
    "ids given apart: by another training, or in another order",
    "P(Bin(n, c) >= k), the larger over the two roles; ids",
)
PART = _test(
    "part",
    "every part trained apart: on other text, or by another recipe",
    "P(Bin(n, c) >= k) of the smallest of the listed parts, times their number",
)
BEYOND_PUBLIC = _test(
    "beyond-public",
    "trained apart beyond what the listed public tokenizers hold",
    "P(Bin(n, c) >= k), the larger over the two roles; shared tokens outside every listed public tokenizer that both follow",
)
TESTS = (MERGE_ORDER, TOKEN_IDS, PART, BEYOND_PUBLIC)
CLAIMS = ("tokenizer copied", "tokenizer ids permuted", "vocabulary extended", "tokenizer part taken")
ASSUMPTIONS = (
    "Trained apart, each pair of neighbouring shared tokens stands in the same order with a chance of at most c, given the others.",
    "Tokens decode to the same bytes in both files as they do in use.",
)
REFERENCES = (
    "Sennrich, Haddow and Birch (2016), Neural machine translation of rare words with subword units",
    "Kudo (2018), Subword regularization (unigram scores)",
    "Radford et al. (2019), Language models are unsupervised multitask learners (byte alphabet)",
)
LIMITATIONS = (
    "Training is deterministic: the same recipe on all but the same text gives the same order without anybody taking it.",
    "Direction is not told: the figures are the same whoever came first.",
    "Merges that never compete can be put in another order with little change to what the tokenizer does; an order that "
    "disagrees does not clear a tokenizer that somebody set out to disguise.",
    "The list of public tokenizers is not complete: a common ancestor outside it is not seen.",
)

SMALLEST = 200
"""Opportunities; with fewer the tolerance was not validated (smaller vocabularies lean on frequency)."""
FOLLOWS = (3, 5)
FOLLOWS_LEAST = 100
"""A tokenizer follows a public one when at least 3/5 of at least 100 sampled pairs agree in both roles. More tokenizers
named means more tokens left out: the rule can only help the accused, and so needs no p-value."""
SYSTEMATIC = (3, 4)
"""An order that agrees with the alphabet or with length in more than 3/4 of its pairs, or in fewer than 1/4, was not learned."""

Tally = list[int]
"""[coincidences, opportunities]"""


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Record which tokenizer the source has: kind, sizes and digests."""
    definition = source.tokenizer()
    if isinstance(definition, Absent):
        return definition
    content = {
        "kind": definition.kind,
        "style": definition.style,
        "tokens": len(definition),
        "set_by_hand": int(definition.special.sum()),
        "byte_fallback": int(definition.byte_fallback.sum()),
        "merges": len(definition.merges),
        "scores": len(definition.scores),
        "sha256": definition.sha256,
        "ids_sha256": definition.ids_sha256,
        "settings_sha256": definition.settings_sha256,
    }
    progress(f"{NAME}: {source.name}", 1.0)
    return Observation(examiner=NAME, examiner_version=VERSION, exhibit=source.name, content=content)


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """Count in both roles; the record holds integers and names only."""
    definitions = [subject.source.tokenizer() for subject in (first, second)]
    for definition in definitions:
        if isinstance(definition, Absent):
            return definition
    content = relate_definitions(definitions[0], definitions[1], public_tokenizers())
    progress(f"{NAME}: {first.source.name} and {second.source.name}", 1.0)
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=first.observation.exhibit,
        second=second.observation.exhibit,
        seed=seed,
        content=content,
    )


def relate_definitions(
    first: TokenizerDefinition, second: TokenizerDefinition, public: Sequence[Signature]
) -> dict[str, Any]:
    """The content of a relation; `public` are the tokenizers that could be a common ancestor."""
    orders = order_by_function(first), order_by_function(second)
    by_ids = order_by_ids(first), order_by_ids(second)
    shared, shared_ids = shared_tokens(*orders), shared_tokens(*by_ids)
    pairs = pair_off_both(shared)
    order, ids = [list(way.tally()) for way in pairs], _both_roles(shared_ids)
    ancestry = _ancestry(orders, shared, public)
    beyond = ancestry["outside"] if ancestry["explaining"] else order
    return {
        "kinds": [first.kind, second.kind],
        "same_function": first.sha256 == second.sha256,
        "same_ids": first.ids_sha256 == second.ids_sha256,
        "vocabularies": [len(first), len(second)],
        "ranked": [len(orders[0].tokens), len(orders[1].tokens)],
        "shared": len(shared.tokens),
        "order": order,
        "ids": ids,
        "systematic": {"order": [_systematic(o) for o in orders], "ids": [_systematic(o) for o in by_ids]},
        "parts": [msgspec.to_builtins(part) for part in parts(pairs)],
        "public": ancestry,
        "summary": {
            MERGE_ORDER.id: _summary(order),
            TOKEN_IDS.id: _summary(ids),
            BEYOND_PUBLIC.id: _summary(beyond),
        },
        "order_plot": {"points": plot_points(shared)},
    }


def _both_roles(shared: SharedTokens) -> list[Tally]:
    return [list(way.tally()) for way in pair_off_both(shared)]


def _systematic(order: TokenOrder) -> dict[str, Tally]:
    return {name: list(tally) for name, tally in systematic_tallies(order).items()}


def _summary(tallies: Sequence[Tally]) -> dict[str, int]:
    """The role that agrees less."""
    count, opportunities = min(tallies, key=lambda tally: (tally[0] / max(1, tally[1]), -tally[1]))
    return {"count": count, "opportunities": opportunities}


def _ancestry(
    orders: tuple[TokenOrder, TokenOrder], shared: SharedTokens, public: Sequence[Signature]
) -> dict[str, Any]:
    """What each public tokenizer has to do with the two, and what they share outside those that both follow."""
    keys = [sample_keys(order.tokens) for order in orders]
    rows = []
    explaining: list[Signature] = []
    for signature in sorted(public, key=lambda item: (item.published, item.name)):
        followed = [_both_roles(against_signature(o, k, signature)) for o, k in zip(orders, keys, strict=True)]
        row: dict[str, Any] = {"name": signature.name, "published": signature.published}
        row |= {"reference": followed[0], "suspect": followed[1]}
        if all(_follows(tally) for tallies in followed for tally in tallies):
            explaining.append(signature)
            beyond = outside(shared, [signature])
            row |= {"sampled_outside": len(beyond.tokens), "outside": _both_roles(beyond)}
        rows.append(row)
    beyond = outside(shared, explaining)
    return {
        "table": digest(list(public)),
        "tokenizers": rows,
        "explaining": [signature.name for signature in explaining],
        "sampled": len(outside(shared, []).tokens),
        "sampled_outside": len(beyond.tokens),
        "outside": _both_roles(beyond),
    }


def _follows(tally: Tally) -> bool:
    return tally[1] >= FOLLOWS_LEAST and tally[0] * FOLLOWS[1] >= tally[1] * FOLLOWS[0]


@cache
def public_tokenizers() -> tuple[Signature, ...]:
    """The shipped table of public tokenizers (`studies/tokenizers.py` writes it); empty where it is not installed."""
    file = resources.files("filiation.calibration").joinpath("public_tokenizers.json")
    if not file.is_file():
        return ()
    return tuple(msgspec.json.decode(file.read_bytes(), type=list[Signature]))


# --------------------------------------------------------------------------------------------------------------- judge


@dataclass(frozen=True)
class _Case:
    """What every test of one pair is judged with."""

    relations: Relations
    controls: tuple[Identity, ...]
    calibration: Calibration

    @property
    def content(self) -> dict[str, Any]:
        return self.relations.pair.content

    def entry(self, test: Test) -> RegisterEntry | str:
        """The register's entry for both kinds of tokenizer, or the reason why nothing may be said."""
        kinds = " and ".join(sorted(set(self.content["kinds"])))
        for entry in self.calibration.entries:
            if entry.test == f"{test.id}:{kinds}":
                return entry
        return f"not validated for {kinds} tokenizers"


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """One outcome per test. 1. Is this kind calibrated, and is there enough? 2. Count. 3. What else explains it?"""
    case = _Case(relations, controls, calibration)
    return (
        _judge_order(case, MERGE_ORDER, "order"),
        _judge_order(case, TOKEN_IDS, "ids"),
        _judge_part(case),
        _judge_beyond_public(case),
    )


def _judge_order(case: _Case, test: Test, measured: str) -> Outcome:
    entry = case.entry(test)
    tallies = case.content[measured]
    components = _roles(tallies, entry)
    if isinstance(entry, str):
        return _inconclusive(case, test, entry, components)
    reason = _not_learned(case.content["systematic"][measured]) or _too_few(tallies, entry, SMALLEST)
    if reason:
        return _inconclusive(case, test, reason, components)
    if test is TOKEN_IDS:
        said = "ids can be permuted for free: this stands beside the order of merges and never replaces it"
        return _finding(case, test, entry, tallies, said, components, companions=_line_up(case, test))
    return _finding(
        case,
        test,
        entry,
        tallies,
        f"{case.content['shared']} tokens of both compared in the order in which they were learned",
        components,
        companions=_line_up(case, test) + _ancestor_companions(case, entry),
        conditional_on=_conditions(case, entry),
    )


def _judge_part(case: _Case) -> Outcome:
    entry = case.entry(PART)
    listed = case.content["parts"]
    if isinstance(entry, str):
        return _inconclusive(case, PART, entry, ())
    not_learned = _not_learned(case.content["systematic"]["order"])
    if not_learned:
        return _inconclusive(case, PART, not_learned, ())
    tails = [_log10_p([part["count"], part["opportunities"]], entry) for part in listed]
    adjusted = holm(tails)
    components = tuple(
        Component(
            kind="part",
            name=part["name"],
            count=part["count"],
            opportunities=part["opportunities"],
            log10_p=round_against_accuser(p, accuses_when="small"),
            note="Holm",
        )
        for part, p in zip(listed, adjusted, strict=True)
    )
    best = min(range(len(listed)), key=lambda index: (tails[index], index))
    tally = [listed[best]["count"], listed[best]["opportunities"]]
    largest = max(([part["count"], part["opportunities"]] for part in listed), key=lambda tally: tally[1])
    reason = _too_few([largest], entry, SMALLEST)
    if reason:
        return _inconclusive(case, PART, reason, components)
    cost = math.log10(len(listed))
    return _finding(
        case,
        PART,
        entry,
        [tally],
        f"the strongest of {len(listed)} parts listed beforehand: {listed[best]['name']}",
        components,
        cost=cost,
        multiplicity=Multiplicity(searched=len(listed), rule="Bonferroni over the listed parts", log10_cost=cost),
        companions=_ancestor_companions(case, entry),
        conditional_on=_conditions(case, entry),
    )


def _judge_beyond_public(case: _Case) -> Outcome:
    entry = case.entry(BEYOND_PUBLIC)
    public = case.content["public"]
    names = public["explaining"]
    tallies = public["outside"] if names else case.content["order"]
    components = _roles(tallies, entry)
    if isinstance(entry, str):
        return _inconclusive(case, BEYOND_PUBLIC, entry, components)
    companions = _ancestor_companions(case, entry)
    if not public["tokenizers"]:
        return _inconclusive(case, BEYOND_PUBLIC, "no table of public tokenizers is installed", components)
    reason = _not_learned(case.content["systematic"]["order"])
    if not reason and names:
        reason = _too_few(tallies, entry, 0)
        if reason:
            reason = f"both follow the order of {', '.join(names)}; outside of what is public, {reason}"
    elif not reason:
        reason = _too_few(tallies, entry, SMALLEST)
    if reason:
        return _inconclusive(case, BEYOND_PUBLIC, reason, components, companions)
    said = (
        f"{public['sampled_outside']} sampled shared tokens outside {', '.join(names)}, whose order both follow"
        if names
        else "no listed public tokenizer's order is followed by both, so that nothing was left out"
    )
    return _finding(case, BEYOND_PUBLIC, entry, tallies, said, components, companions=companions)


# ------------------------------------------------------------------------------------------------------- what is said


def _finding(
    case: _Case,
    test: Test,
    entry: RegisterEntry,
    tallies: Sequence[Tally],
    reason: str,
    components: tuple[Component, ...],
    *,
    cost: float = 0.0,
    multiplicity: Multiplicity | None = None,
    companions: tuple[Companion, ...] = (),
    conditional_on: tuple[str, ...] = (),
) -> Finding:
    """The finding of the role with the larger p; `cost` is log10 of what was searched."""
    count, opportunities = max(tallies, key=lambda tally: (_log10_p(tally, entry), tally))
    seen = Coincidences(count=count, opportunities=opportunities, chance=entry.chance)
    detectable = share_to_detect(opportunities, _chance(entry), entry.detection_log10_p - cost)
    return Finding(
        **common_fields(test, case.relations.pair, VERSION),
        reason=reason,
        count=count,
        opportunities=opportunities,
        chance=_chance(entry),
        log10_p=round_against_accuser(bonferroni(log10_upper_tail(seen), cost), accuses_when="small"),
        log10_e=round_against_accuser(log10_e_value(seen) - cost, accuses_when="large"),
        resolution_log10_p=round_against_accuser(bonferroni(resolution_log10_p(seen), cost), accuses_when="small"),
        effect=effect_of("share of pairs in the same order", count, opportunities),
        power=registered_power(entry, detectable),
        lineages=registered_lineages(entry, controls=tuple(control.name for control in case.controls)),
        multiplicity=multiplicity or Multiplicity(searched=1, rule="both roles counted, the larger p taken"),
        components=components,
        companions=companions,
        assumptions=ASSUMPTIONS,
        limitations=LIMITATIONS,
        conditional_on=conditional_on,
        seed=case.relations.pair.seed,
        parameters_digest=digest(_PARAMETERS),
        calibration_digest=case.calibration.digest,
        observations=(digest(case.relations.pair),),
    )


_PARAMETERS = {
    "smallest": SMALLEST,
    "follows": list(FOLLOWS),
    "follows_least": FOLLOWS_LEAST,
    "systematic": list(SYSTEMATIC),
}


def _inconclusive(
    case: _Case,
    test: Test,
    reason: str,
    components: tuple[Component, ...],
    companions: tuple[Companion, ...] = (),
) -> Inconclusive:
    return inconclusive_of(
        test,
        case.relations.pair,
        reason,
        version=VERSION,
        components=components,
        companions=companions,
        limitations=LIMITATIONS,
    )


def _chance(entry: RegisterEntry) -> float:
    if entry.chance is None:
        raise ValueError(f"the register gives {entry.test} no chance")
    return entry.chance


def _log10_p(tally: Tally, entry: RegisterEntry) -> float:
    if not tally[1]:
        return 0.0
    return log10_upper_tail(Coincidences(count=tally[0], opportunities=tally[1], chance=entry.chance))


def _detected(tallies: Sequence[Tally], entry: RegisterEntry) -> bool:
    return all(_log10_p(tally, entry) <= entry.detection_log10_p for tally in tallies)


def _roles(tallies: Sequence[Tally], entry: RegisterEntry | str) -> tuple[Component, ...]:
    return tuple(
        Component(
            kind="role",
            name=f"neighbours in the {role}'s order",
            count=tally[0],
            opportunities=tally[1],
            log10_p=None
            if isinstance(entry, str)
            else round_against_accuser(_log10_p(tally, entry), accuses_when="small"),
        )
        for role, tally in zip(("reference", "suspect"), tallies, strict=True)
    )


def _too_few(tallies: Sequence[Tally], entry: RegisterEntry, least: int) -> str:
    """Why there are too few opportunities, or an empty string."""
    fewest = min(tally[1] for tally in tallies)
    best = fewest * math.log10(_chance(entry))
    if fewest < least:
        return f"only {fewest} pairs of shared tokens could be compared; the tolerance was validated from {least} on"
    if best > entry.detection_log10_p:
        return f"only {fewest} pairs of shared tokens could be compared, too few to tell whatever they show"
    return ""


def _not_learned(tallies: Sequence[Mapping[str, Tally]]) -> str:
    """Why an order says nothing (alphabetical, by length), or an empty string."""
    part, whole = SYSTEMATIC
    for role, orders in zip(("reference", "suspect"), tallies, strict=True):
        for name, (count, opportunities) in sorted(orders.items()):
            if opportunities and not (whole - part) * opportunities <= count * whole <= part * opportunities:
                return f"the {role}'s order follows its tokens' {name}, which nobody had to learn"
            if not opportunities and name == "bytes":
                return f"the {role} has no order: its tokens are too few or all tied"
    return ""


# -------------------------------------------------------------------------------------------------- other explanations


def _ancestor_companions(case: _Case, entry: RegisterEntry) -> tuple[Companion, ...]:
    """One companion per public tokenizer that both follow, the earliest first; or one that says none was found."""
    public = case.content["public"]
    rows = [row for row in public["tokenizers"] if row["name"] in public["explaining"]]
    if not public["tokenizers"]:
        return ()
    if not rows:
        return (
            Companion(
                null=Null.MODEL,
                name=PUBLIC_ANCESTOR,
                value=f"none of the {len(public['tokenizers'])} listed public tokenizers is followed by both",
            ),
        )
    return tuple(_ancestor_companion(row, entry) for row in rows)


PUBLIC_ANCESTOR = "a common public ancestor"


def _ancestor_companion(row: Mapping[str, Any], entry: RegisterEntry) -> Companion:
    (own, own_of), (its, its_of) = row["reference"][0], row["suspect"][0]
    count, opportunities = max(row["outside"], key=lambda tally: (_log10_p(tally, entry), tally))
    if opportunities:
        p = round_against_accuser(_log10_p([count, opportunities], entry), accuses_when="small")
        beyond = f"outside it, {count} of {opportunities} sampled pairs stand in the same order (log10 p {p})"
    else:
        beyond = "outside it, the sample holds no pair that both share"
    return Companion(
        null=Null.MODEL,
        name=PUBLIC_ANCESTOR,
        value=f"both follow {row['name']} (public since {row['published']})",
        note=f"sampled pairs in its order: reference {own} of {own_of}, suspect {its} of {its_of}; {beyond}. "
        "Following it both is no copying from each other",
    )


def _conditions(case: _Case, entry: RegisterEntry) -> tuple[str, ...]:
    """What the finding's reading hangs on: common ancestors among public tokenizers and among the controls."""
    public = case.content["public"]
    rows = [row for row in public["tokenizers"] if row["name"] in public["explaining"]]
    named = tuple(
        f"not each taken from the public tokenizer {row['name']} (public since {row['published']}), whose order both follow"
        for row in rows
    )
    return named + tuple(
        f"not each taken from the control {control}, whose order both follow"
        for control in _common_controls(case, entry)
    )


def _common_controls(case: _Case, entry: RegisterEntry) -> list[str]:
    by_reference = {
        relation.second
        for relation in case.relations.reference_by_control
        if _detected(relation.content["order"], entry)
    }
    return sorted(
        relation.first
        for relation in case.relations.control_by_suspect
        if relation.first in by_reference and _detected(relation.content["order"], entry)
    )


def _line_up(case: _Case, test: Test) -> tuple[Companion, ...]:
    """Where the suspect stands among the control lineages against the same reference; controls that follow the reference
    themselves are named, because they are no strangers."""
    lineage_of = {control.name: control.lineage_id or control.name for control in case.controls}
    suspect = case.content["summary"][test.id]
    share = suspect["count"] / max(1, suspect["opportunities"])
    best: dict[str, float] = {}
    for relation in case.relations.reference_by_control:
        summary = relation.content["summary"][test.id]
        lineage = lineage_of.get(relation.second, relation.second)
        seen = summary["count"] / max(1, summary["opportunities"])
        best[lineage] = max(best.get(lineage, 0.0), seen)
    if not best:
        return ()
    rank = 1 + sum(other >= share for other in best.values())
    return (
        Companion(
            null=Null.POPULATION,
            name="rank among the control lineages",
            value=f"{rank} of {len(best) + 1}",
            note=f"p >= {rank / (len(best) + 1):.3f} by rank, however large the vocabulary; stands beside, never merged",
        ),
    )
