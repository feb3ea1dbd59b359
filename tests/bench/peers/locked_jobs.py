"""Empty jobs through SELECT FOR UPDATE SKIP LOCKED, the least that a job queue does."""

from __future__ import annotations

import json
import sys
import time

import psycopg

TAKE = (
    "DELETE FROM jobs WHERE id IN "
    "(SELECT id FROM jobs ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING id"
)


def main(url: str, count: int, batch: int) -> None:
    """Insert so many jobs, drain them, and tell how long the draining took."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE jobs (id bigint PRIMARY KEY)")
        connection.execute("INSERT INTO jobs SELECT generate_series(1, %s)", [count])
        wall, cpu = time.perf_counter(), time.process_time()
        while connection.execute(TAKE, [batch]).fetchall():
            pass
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    sys.stdout.write(json.dumps(spent) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
