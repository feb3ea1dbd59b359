"""A process that writes: rows of ours through the store, or bare rows with a notifying trigger.

Each line on standard input is an order `how writers rate first count`; each answer a line of JSON:
for every row its name and, on the machine's monotonic clock, when its write was sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

from crds.store import Store
from crds.store.database import Database, make_pool
from crds.workspace import Workspace
from tests.bench.stage import run

Write = Callable[[int], Awaitable[None]]
# So that a change is about as large as the row of a product that is in use.
PADDING = "x" * 400


class Writer:
    """Writes rows by number, each at most once an order.

    Args:
        store: Writes our rows.
        bare: Writes the others.
    """

    def __init__(self, store: Store, bare: Database) -> None:
        self._store = store
        self._bare = bare
        self._rows: dict[int, Workspace] = {}
        self._count = 0

    async def read(self) -> None:
        """Read our rows, so that a write is one statement."""
        page = await self._store.list(Workspace)
        self._rows = dict(enumerate(page.items))

    async def update(self, number: int) -> None:
        """Change the spec of one of our rows."""
        row = self._rows[number]
        self._count += 1
        row.spec.image = f"{PADDING}:{self._count}"
        self._rows[number] = await self._store.update(row)

    async def update_bare(self, number: int) -> None:
        """Change a bare row, whose trigger notifies."""
        self._count += 1
        body = json.dumps({"image": f"{PADDING}:{self._count}"})
        await self._bare.execute("UPDATE bare SET body = %s WHERE id = %s", body, number)


async def paced(write: Write, writers: int, rate: float, numbers: range) -> dict[str, float]:
    """Write each row once; returns when each write was sent.

    Args:
        write: Writes one row.
        writers: How many at once.
        rate: Writes a second at most; 0 for as fast as it goes.
        numbers: The rows.
    """
    sent: dict[str, float] = {}
    left, started = iter(numbers), time.monotonic()

    async def work() -> None:
        for number in left:
            due = started + (number - numbers.start) / rate if rate else 0.0
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            sent[str(number)] = time.monotonic()
            await write(number)

    await asyncio.gather(*(work() for _ in range(writers)))
    sent["seconds"] = time.monotonic() - started
    return sent


async def main(url: str) -> None:
    """Serve orders until the input ends."""
    loop = asyncio.get_running_loop()
    async with Store.opened(url, pool_size=16) as store, make_pool(url, 16) as pool:
        writer = Writer(store, Database(pool))
        await writer.read()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            how, writers, rate, first, count = line.split()
            write = writer.update if how == "store" else writer.update_bare
            numbers = range(int(first), int(first) + int(count))
            sent = await paced(write, int(writers), float(rate), numbers)
            sys.stdout.write(json.dumps(sent) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    run(main(sys.argv[1]))
