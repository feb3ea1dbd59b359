"""The operators' door's fixtures."""

from collections.abc import AsyncIterator

import pytest

from tests.kubernetes.doors import Door, opened


@pytest.fixture
async def door(database_url: str) -> AsyncIterator[Door]:
    """The door on a fresh database."""
    async with opened(database_url) as running:
        yield running
