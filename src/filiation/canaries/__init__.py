"""Canaries: questions with equally good answers, one of which was chosen by a secret key and planted before.

    prepare   canary, generators      questions with M options each, and a decoy beside every one
    commit    commitment              one signed and stamped root over all of them and over the key
    label     labels                  which option is meant: a keyed hash that needs a beacon nobody knew at the time
    plant     planting, exposure      training text, or which option to serve to which account; what was exposed to whom
    prompts   canary                  what to ask, told before anybody knows the labels
    reveal    opening                 one batch, once, to somebody neutral, with the suspects named before
    verify    verification, answers,  what a neutral party checks, reads, counts (in whole numbers) and computes from the counts
              tally, scoring

Whoever does not depend on the key agrees with each label with a chance of at most 1/M, whatever its skill, bias or source: the chance is
made, not estimated. What it shows is exposure to the planted answers, not how the exposure came about.
"""
