"""Property tests of this folder assert bounds, never timings, and try the same examples on every machine."""

from hypothesis import settings

settings.register_profile("statistics", deadline=None, derandomize=True)
settings.load_profile("statistics")
