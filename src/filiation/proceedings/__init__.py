"""The procedure of a case, top to bottom. Each step holds the case (`sitting`), writes what it did, and signs it at the end.

    1. Open a case under a key.                                            opening
    2. Admit exhibits: hashed, kept inside where they are small.           admission
    3. Seal a plan; amend it where everybody can see it.                   plan_file, planning
    4. Draw seed, foils and code names.                                    line_up
    5. Ask endpoints, observe every exhibit.                               asking, observing
    6. Examine suspect and foils in turn, under code names.                examining
    7. Reveal who was who.                                                 line_up
    8. Report; verify; close.                                              reporting, verifying, opening

Steps that were interrupted go on where they were: what is recorded is never done again. The folder that results is specified in
docs/case-file-format.md, and how to go through a case is told in docs/case.md.
"""
