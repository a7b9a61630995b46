"""The command line: one file per verb; each parses, calls the library, and prints.

`main` is the program. Errors raised on purpose become one message with advice and the exit code that their class
states (see docs/command-line.md); the traceback of an unexpected one is shown under `--debug` only.
"""

from filiation.cli.program import main

__all__ = ["main"]
