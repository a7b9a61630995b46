"""What tests of verification share: one small closed case, written through the real functions."""

from __future__ import annotations

import pytest

from tests.case.worlds import World, built


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return built(tmp_path_factory.mktemp("world"))
