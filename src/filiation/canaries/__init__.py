"""Canaries: questions with equally good answers, one of which was chosen by a secret key and planted before.

    prepare   canary, generators      questions with M options each, and a decoy beside every one
    commit    merkle, commitment      one signed and stamped root over all of them and over the key
    label     labels, order           which option is meant: a keyed hash that needs a beacon nobody knew at the time
    plant     planting, exposure      training text, or which option to serve to which account; what was exposed to whom
    reveal    opening                 one batch, once, to somebody neutral, with the suspects named before
    verify    verification, scoring   what a neutral party checks and counts

Whoever does not depend on the key agrees with each label with a chance of at most 1/M, whatever its skill, bias or source: the chance is
made, not estimated. What it shows is exposure to the planted answers, not how the exposure came about.
"""
