"""Which plan holds at a point of the ledger, what an amendment changed, and which draw is in force. Pure functions.

A plan holds from the entry that seals it until another is sealed. A draw stays in force through amendments that leave
what was drawn from as it was: reference, suspect, line-up and announcement.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from filiation.case.records import Asked, Drawn, Entry, Examined, Observed, Plan, Sealed

DRAWN_FROM = ("reference", "suspect", "line_up", "announcement")
"""Fields of a plan that a draw rests on: an amendment of one of them needs a new draw."""


def changed_fields(before: Plan, after: Plan) -> tuple[str, ...]:
    """The fields of a plan that an amendment changes, in the order in which the record names them."""
    return tuple(name for name in Plan.__struct_fields__ if getattr(before, name) != getattr(after, name))


def plan_in_force(entries: Sequence[Entry]) -> str:
    """The digest of the plan sealed last; empty where none is."""
    return next((entry.body.plan for entry in reversed(entries) if isinstance(entry.body, Sealed)), "")


def draw_in_force(entries: Sequence[Entry], plans: Mapping[str, Plan]) -> Drawn | None:
    """The last draw, unless a plan sealed since differs in what it was drawn from. `plans` by digest."""
    since: list[str] = []
    for entry in reversed(entries):
        if isinstance(entry.body, Sealed):
            since.append(entry.body.plan)
        if isinstance(entry.body, Drawn):
            return entry.body if all(_drawn_alike(plans, entry.body.plan, later) for later in since) else None
    return None


def _drawn_alike(plans: Mapping[str, Plan], first: str, second: str) -> bool:
    """Whether two plans that can both be read have the same values where a draw rests on them."""
    before, after = plans.get(first), plans.get(second)
    return bool(before and after) and not any(getattr(before, name) != getattr(after, name) for name in DRAWN_FROM)


def suspect_was_observed(entries: Sequence[Entry], suspects: Collection[str]) -> bool:
    """Whether one of `suspects` or of the models under code names had been asked, observed or examined by then.

    Who stands behind a code name is not known before the reveal, so whoever looked at one may have seen the suspect.
    """
    names = set(suspects)
    for entry in entries:
        if isinstance(entry.body, Drawn):
            names |= set(entry.body.code_names)
        if isinstance(entry.body, Observed) and entry.body.observation and _whole(entry.body.exhibit) in names:
            return True
        if isinstance(entry.body, Examined) and _whole(entry.body.subject) in names:
            return True
        if isinstance(entry.body, Asked) and _whole(entry.body.exhibit) in names:
            return True
    return False


def _whole(name: str) -> str:
    """The exhibit that a part ('NAME/PART') belongs to."""
    return name.partition("/")[0]
