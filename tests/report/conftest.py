"""Records that several tests of reports share: each is made once."""

from __future__ import annotations

import pytest

from filiation.evidence import Examination
from studies.zoo import Zoo
from tests.report import case_sample


@pytest.fixture(scope="session")
def found(zoo: Zoo) -> dict[str, Examination]:
    """The sample case's comparisons (`case_sample.examinations`)."""
    return case_sample.examinations(zoo)
