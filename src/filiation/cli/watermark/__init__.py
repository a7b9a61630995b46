"""`filiation watermark`: one file per verb; the schemes are in `filiation.measures.watermarks`."""

from filiation.cli.watermark.app import app

__all__ = ["app"]
