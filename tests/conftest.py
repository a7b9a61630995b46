"""What tests of several folders share: the small zoo, trained on the first run and kept in the project's cache."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores; more threads only get in each other's way

from studies.zoo import Zoo, build

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("filiation", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("filiation")


@pytest.fixture(scope="session")
def zoo() -> Zoo:
    """Small models of known descent (studies/zoo); members that are there are not trained again."""
    return build("test", device="cpu")
