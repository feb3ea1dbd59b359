"""The API's fixtures."""

from collections.abc import AsyncIterator

import pytest

from tests.api.service import Service, serving


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    """The API on a fresh database."""
    async with serving(database_url) as running:
        yield running
