"""An examination record, told to people: in a terminal, as one HTML file, in a notebook.

`contents` decides what is told, `wording` is the only place where numbers become sentences, `pictures` draws, and
`terminal` and `html` lay out. Nothing here computes evidence, opens a file or needs a network.
"""
