"""`filiation training`: one file per verb; the transcript itself is in `filiation.training_transcript`."""

from filiation.cli.training.app import app

__all__ = ["app"]
