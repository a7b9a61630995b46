"""Whole case files from models of known history: an accusation that is true, one that only looks true, and one that rests on marks.

`python -m studies.cases` trains the models (small, minutes on one core), records their answers, and takes the cases through
the command line from `filiation case open` to `filiation case verify`. What it leaves stands under `examples/cases/`; the
models themselves stay outside, those of the first two in the zoo's cache.

    commands         commands as a person would type them, and the steps of every case
    models           which models the first two cases have, and how alike their norm vectors look
    recordings       what they answered
    plans            what was fixed before the suspect was looked at, as TOML
    casework         the first two cases
    planted_models   the models of the third
    planted          the third: canaries planted by their owner, and learned by a student
"""
