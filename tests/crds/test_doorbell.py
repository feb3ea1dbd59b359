"""The doorbell's end."""

import asyncio
from typing import Any, cast

import psycopg
import pytest

from crds.store.database import Database
from crds.store.doorbell import PostgresDoorbell

pytestmark = pytest.mark.anyio

NOWHERE = "postgresql://invoker@127.0.0.1:1/none"


class Stubborn:
    """A database whose driver answers a cancellation with an error of its own."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def fetch(self, *_: object) -> Any:
        """Hang until cancelled, and then fail instead."""
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise psycopg.OperationalError("canceling statement due to user request") from None


async def test_it_ends_although_the_driver_swallows_it() -> None:
    """A cancellation that the driver turns into an error ends the doorbell all the same."""
    database = Stubborn()
    bell = PostgresDoorbell(cast("Database", database))

    async with asyncio.timeout(5):
        async with bell.running(NOWHERE):
            bell.ring()
            await database.asked.wait()

    assert [] == [task for task in asyncio.all_tasks() if "_tell" in repr(task)]
