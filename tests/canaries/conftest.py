from __future__ import annotations

import pytest

from tests.canaries.world import World, labelled_world


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Prepared, committed, labelled: not to be changed; copy it first."""
    return labelled_world(tmp_path_factory.mktemp("canaries"))


@pytest.fixture
def world(labelled: World, tmp_path) -> World:
    """A copy of one's own."""
    return labelled.copied(tmp_path / "canaries")
