"""What the examiners of marks have in common: the one thing that an owner opened, and what a verifier trusts.

One at a time, so that what was searched is counted: an owner with two lots, or two batches of canaries, has two looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from filiation.errors import FiliationError
from filiation.evidence import Absent
from filiation.sources.marks import NONE, Marks
from filiation.sources.source import Source

if TYPE_CHECKING:
    from filiation.lots import Lot

Settings = Mapping[str, bool | int | float | str]

TRUST_PARAMETERS: dict[str, bool | int | float | str] = {"keyid": "", "authorities": "", "chains": "", "commitments": 1}
"""What a verifier has from somewhere else than the owner: the fingerprint of the owner's key, SHA-256 fingerprints of root certificates of
time-stamping authorities and hashes of drand chains, both separated by commas; and how many commitments the owner has made, where that
is known to be more than the owner says."""

PURPOSES = {
    "order": "an order that could have been chosen afterwards shows nothing",
    "twins": "a choice between twins that could have been made afterwards shows nothing",
    "watermark": "a key that could have been chosen afterwards shows nothing",
}
"""Of each purpose of a lot, why nothing but a lot is taken."""


def marks_of(source: Source, kind: str) -> Marks | Absent:
    """The one thing of this kind (a value of `sources.marks.KINDS`) that was opened; `Absent` where there is none, or more than one."""
    found = source.marks()
    if isinstance(found, Absent):
        return found
    suited = [marks for marks in found if marks.kind == kind]
    if not suited:
        return NONE
    return suited[0] if len(suited) == 1 else _too_many(len(suited), kind)


def lot_among(source: Source, purpose: str, settings: Settings) -> Lot | Absent:
    """The one opened lot of this purpose, every check of it done under the trust in `settings` (TRUST_PARAMETERS).

    `Absent` where there is none, more than one, or where a check of the only ones there are does not hold: then nothing may be said.
    """
    from filiation.lots import read_lot, trust_of

    found = source.marks()
    if isinstance(found, Absent):
        return found
    opened, refused = [], []
    for marks in found:
        if marks.kind != "lot":
            continue
        try:
            opened.append(read_lot(marks.files, trust_of(settings)))
        except FiliationError as error:
            refused.append(error.message)
    suited = [lot for lot in opened if lot.purpose == purpose]
    if len(suited) == 1:
        return suited[0]
    if suited:
        return _too_many(len(suited), f"lots of the purpose {purpose!r}")
    if refused:
        return Absent(reason=f"an opened lot does not hold, and nothing may be said from it: {refused[0]}")
    return Absent(
        reason=f"no opened lot of the purpose {purpose!r} is among the marks, and {PURPOSES[purpose]}: "
        f"see 'filiation lot commit --purpose {purpose}'"
    )


def commitments_of(lot: Lot, settings: Settings) -> int:
    """How many lots the owner has drawn: what the owner says, or what the verifier knows, whichever is more."""
    return max(lot.number, int(settings.get("commitments", 1)))


def _too_many(number: int, what: str) -> Absent:
    return Absent(
        reason=f"{number} {what} are opened together: give one at a time, so that what was searched is counted"
    )
