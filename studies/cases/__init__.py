"""Two whole case files from models of known history: one accusation that is true, and one that only looks true.

`python -m studies.cases` trains the models (small, minutes on one core), records their answers, and takes both cases through
the command line from `filiation case open` to `filiation case verify`. What it leaves stands under `examples/cases/`; the
models themselves stay outside, in the zoo's cache.

    models        which models there are, and how alike their norm vectors look
    recordings    what they answered
    plans         what was fixed before the suspect was looked at, as TOML
    casework      the steps of a case, each a command as a person would type it
"""
