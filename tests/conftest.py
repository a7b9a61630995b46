"""What tests of several folders share: the small zoo, trained on the first run and kept in the project's cache."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores; more threads only get in each other's way

from studies.zoo import Zoo, build

# A shell that starts something in the background lets it ignore Ctrl-C, and whatever that starts as well. Here interruptions are tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is, and nothing about what is tested. Examples are the same in every run;
# `make validate` draws new ones (--hypothesis-profile=explore).
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("filiation", settings.get_profile("explore"), derandomize=True)
settings.load_profile("filiation")


@pytest.fixture(scope="session")
def zoo() -> Zoo:
    """Small models of known descent (studies/zoo); members that are there are not trained again."""
    return build("test", device="cpu")
