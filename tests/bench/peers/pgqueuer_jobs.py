"""Empty jobs through pgqueuer; run by a Python that has it: `pgqueuer_jobs.py URL COUNT BATCH`."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import asyncpg  # type: ignore[import-not-found]  # lives in a venv of its own
from pgqueuer import PgQueuer  # type: ignore[import-not-found]  # the same
from pgqueuer.db import AsyncpgPoolDriver  # type: ignore[import-not-found]  # the same
from pgqueuer.models import Job  # type: ignore[import-not-found]  # the same
from pgqueuer.queries import Queries  # type: ignore[import-not-found]  # the same
from pgqueuer.types import QueueExecutionMode  # type: ignore[import-not-found]  # the same


async def main(url: str, count: int, batch: int) -> None:
    """Enqueue so many jobs, drain them, and tell how long the draining took."""
    async with asyncpg.create_pool(url, min_size=8, max_size=8) as pool:
        driver = AsyncpgPoolDriver(pool)
        queries = Queries(driver)
        await queries.install()
        await queries.enqueue(["noop"] * count, [None] * count, [0] * count)
        worker = PgQueuer(driver)

        @worker.entrypoint("noop")  # type: ignore[untyped-decorator]  # has no types here
        async def noop(_: Job) -> None:
            pass

        wall, cpu = time.perf_counter(), time.process_time()
        await worker.run(batch_size=batch, mode=QueueExecutionMode.drain)
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    sys.stdout.write(json.dumps(spent) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
