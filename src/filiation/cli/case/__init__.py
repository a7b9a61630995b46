"""`filiation case`: one file per verb; the procedure itself is in `filiation.proceedings`."""

from filiation.cli.case.app import app

__all__ = ["app"]
