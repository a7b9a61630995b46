"""The card of a set of canaries: what was made, how, and what its limits are. It holds no prompt, no option and no seed."""

from __future__ import annotations

from collections.abc import Sequence

from filiation.canaries.canary import Canary
from filiation.canaries.commitment import digest_of_canaries
from filiation.canaries.generators import kinds_of
from filiation.canaries.scoring import canaries_needed
from filiation.evidence import Record

LIMITS = (
    "Harmless and equally true is what the generators are made for; of a user's own canaries the user has to see to it.",
    "A canary that a filter recognises, or that is never answered, survives nothing: absence says nothing.",
    "Prompts name invented people and places; whoever reads the planted text can tell that it is about nothing real.",
)
SURVIVALS = (1.0, 0.9, 0.5, 0.25, 0.1)


class Needed(Record, frozen=True, kw_only=True):
    """How many canaries reach p = 10^-12 with 95 % power when a share survives."""

    survival: float
    canaries: int


class Card(Record, frozen=True, kw_only=True):
    """A set of canaries in figures. `sha256` covers all canaries and decoys; `needed` is for the largest number of options."""

    canaries: int
    decoys: int
    batches: int
    options: int
    prompts: int
    kinds: dict[str, int]
    source: str
    sha256: str
    needed: tuple[Needed, ...]
    limits: tuple[str, ...] = LIMITS


def card_of(canaries: Sequence[Canary], source: str) -> Card:
    options = max(len(canary.options) for canary in canaries)
    decoys = sum(canary.decoy for canary in canaries)
    return Card(
        canaries=len(canaries) - decoys,
        decoys=decoys,
        batches=len({canary.batch for canary in canaries}),
        options=options,
        prompts=sum(len(canary.prompts) for canary in canaries),
        kinds=dict(kinds_of(canaries)),
        source=source,
        sha256=digest_of_canaries(canaries),
        needed=tuple(Needed(survival=share, canaries=canaries_needed(share, options)) for share in SURVIVALS),
    )
