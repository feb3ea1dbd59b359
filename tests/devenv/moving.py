"""A move's steps, waited for."""

import asyncio

from controller.devenv import move
from controller.devenv.move import Progress
from tests.devenv.guests import KEYS, Guest


def host_of(guest: Guest) -> str:
    """Where the other machine reaches this one's database, with a password."""
    return f"127.0.0.1:{guest.cluster.port}"


async def ended(guest: Guest) -> Progress:
    """What the copy came to."""
    found = Progress("Running")
    async with asyncio.timeout(50):
        while found.state == "Running":
            found = await move.progress(guest.psql)
    return found


async def copied(source: Guest, target: Guest) -> None:
    """Have a copy in the new machine."""
    await move.begin(target.psql, source_host=host_of(source), keys=KEYS)
    assert Progress("Restored") == await ended(target)
