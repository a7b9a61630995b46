"""A training transcript: what a training run commits to while it runs, so that somebody neutral can run any part of it again.

    records, chain      what a transcript says, and the chain of its entries
    folder              writing it: append, sign, time-stamp
    states              weights and optimiser state as bytes, and their digests
    drawing             which segments are run again: drawn after everything was committed
    execution           the interface of a trainer, and the comparison of what it gives with what was recorded
    detection           the chance that a forged transcript passes
    verification        the numbered checks

It is the defence's evidence: a model that was trained as its transcript says was not copied. What it cannot exclude is in
docs/independence.md.
"""
