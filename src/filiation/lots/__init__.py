"""Lots: randomness of an owner's own, fixed by a stamped commitment and bound to a public beacon that spoke later.

    commit    subject, commitment   documents, pairs of texts, or a watermark's settings, and a secret: signed and stamped
    draw      drawing               an order, a choice in every pair, or a key: from the secret and the beacon
    open      lot                   the secret, the subject and everything that a verifier needs, as one folder
    verify    lot, verification     what is checked before anything is counted

Whoever does not depend on the lots meets each order, each choice and each key with the chance that it was drawn with, whatever it was
trained on: the chance is made, not estimated. That the owner trained on, published or marked with what was drawn is not shown here.
"""

from filiation.case.commitments import Trust, trust_of
from filiation.case.standing import to_be_paid_for
from filiation.lots.drawing import stream
from filiation.lots.lot import Lot, Twin, documents, drawn_order, drawn_twins, read_lot
from filiation.lots.subject import Purpose

__all__ = [
    "Lot",
    "Purpose",
    "Trust",
    "Twin",
    "documents",
    "drawn_order",
    "drawn_twins",
    "read_lot",
    "stream",
    "to_be_paid_for",
    "trust_of",
]
