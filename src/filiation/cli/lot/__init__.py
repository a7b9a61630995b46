"""`filiation lot`: one file per verb; the protocol itself is in `filiation.lots`."""

from filiation.cli.lot.app import app

__all__ = ["app"]
