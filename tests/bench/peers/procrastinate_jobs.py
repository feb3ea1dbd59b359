"""Empty jobs through procrastinate; run by a Python that has it: `… URL COUNT CONCURRENCY`."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found]  # own venv


async def main(url: str, count: int, concurrency: int) -> None:
    """Defer so many jobs, drain them, and tell how long the draining took."""
    app = App(connector=PsycopgConnector(conninfo=url))

    @app.task(name="noop")  # type: ignore[untyped-decorator]  # has no types here
    async def noop() -> None:
        pass

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await noop.batch_defer_async(*({} for _ in range(count)))
        wall, cpu = time.perf_counter(), time.process_time()
        await app.run_worker_async(
            wait=False, concurrency=concurrency, install_signal_handlers=False
        )
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    sys.stdout.write(json.dumps(spent) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
