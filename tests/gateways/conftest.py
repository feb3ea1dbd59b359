"""Worlds of gateways for tests."""

from collections.abc import Callable

import pytest

from tests.gateways.gateway_world import Scene, play

Play = Callable[[Scene], None]


@pytest.fixture
def play_scene(database_url: str) -> Play:
    """Runs a scene in a world of its own, on virtual time."""
    return lambda scene: play(database_url, scene)
