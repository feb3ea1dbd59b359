"""The console's fixtures."""

from collections.abc import AsyncIterator

import pytest

from tests.console.house import House, opened


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    """The console on a fresh database."""
    async with opened(database_url) as running:
        yield running
