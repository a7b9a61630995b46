"""`filiation canary`: one file per verb; the protocol itself is in `filiation.canaries`."""

from filiation.cli.canary.app import app

__all__ = ["app"]
