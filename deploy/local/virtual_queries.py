"""psycopg on a virtual loop: PostgreSQL answers at no time, and in an order that a seed repeats.

PostgreSQL works at the machine's pace.
Were its answers awaited as those of other sockets are, then the pace would decide which of two
statements comes first, in how many pieces an answer arrives, and whether a statement is still
under way when its task is cancelled.
So a statement is answered in the very step that sends it, one at a time.
Its task hears the answer when all else rests, as it would hear one that took its time.

Only a statement that waits for a lock is awaited as other sockets are: whoever holds the lock has
to go on first.
"""

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar

import psycopg
from psycopg import AsyncConnection, waiting
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGconn

LATE_SECONDS: Final = 0.05
"""Real time after which PostgreSQL is asked whether a statement waits for a lock, first."""
LATEST_SECONDS: Final = 1.0
"""Real time after which it is asked again at the latest."""

T = TypeVar("T")


class Resting(Protocol):
    """A loop that knows when nothing else can be done at an instant."""

    async def rest(self) -> None:
        """Return when that is so."""


class _BlockedError(Exception):
    """The statement waits for a lock."""

    def __init__(self, state: waiting.Wait) -> None:
        self.state = state


@contextmanager
def at_no_time(loop_of: Callable[[], Resting | None]) -> Iterator[None]:
    """Have PostgreSQL answer at no time, wherever a virtual loop runs.

    Args:
        loop_of: The virtual loop that runs the caller; None when another one does.
    """
    wait, connect = AsyncConnection.wait, waiting.wait_conn_async

    async def wait_at_no_time(
        self: AsyncConnection[Any],
        gen: PQGen[T],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's signature
    ) -> T:
        if (loop := loop_of()) is None:
            return await wait(self, gen, interval, timeout)
        try:
            state = next(gen)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return] # what a generator returns
        if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
            # It listens for news, which may never come.
            return await wait(self, _resumed(gen, state), interval, timeout)
        try:
            answer = _answer(self.pgconn, gen, state)
        except _BlockedError as blocked:
            return await wait(self, _resumed(gen, blocked.state), interval, timeout)
        except Exception:
            await loop.rest()
            raise
        await loop.rest()
        return answer

    async def connect_at_no_time(
        gen: Any,
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's signature
    ) -> Any:
        if (loop := loop_of()) is None:
            return await connect(gen, interval, timeout)
        # However long the machine takes over it.
        made = waiting.wait_conn(gen, interval)
        await loop.rest()
        return made

    AsyncConnection.wait = wait_at_no_time  # type: ignore[method-assign] # psycopg has no place for it
    waiting.wait_conn_async = connect_at_no_time
    try:
        yield
    finally:
        AsyncConnection.wait = wait  # type: ignore[method-assign] # the same
        waiting.wait_conn_async = connect


def _resumed(gen: PQGen[T], state: waiting.Wait) -> PQGen[T]:
    """The rest of a generator that has said already what it waits for."""
    while True:
        ready = yield state
        try:
            state = gen.send(ready)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return] # what a generator returns


def _answer(connection: PGconn, gen: PQGen[T], state: waiting.Wait) -> T:
    """Run a statement to its end.

    Raises:
        _BlockedError: It waits for a lock.
        psycopg.Error: It failed.
    """
    try:
        while True:
            state = gen.send(_ready(connection, state))
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return] # what a generator returns


def _ready(connection: PGconn, state: waiting.Wait) -> int:
    """Wait until a connection can be read or written, as `state` asks; returns which."""
    poll = select.poll()
    reading = select.POLLIN if state & waiting.WAIT_R else 0
    poll.register(connection.socket, reading | (select.POLLOUT if state & waiting.WAIT_W else 0))
    seconds = LATE_SECONDS
    while not (events := poll.poll(seconds * 1000)):
        if _is_blocked(connection):
            raise _BlockedError(state)
        seconds = min(2 * seconds, LATEST_SECONDS)
    ((_, event),) = events
    # A connection that broke is read as well: that tells how.
    ready = waiting.READY_W if event & select.POLLOUT else waiting.READY_NONE
    return ready | (waiting.READY_R if event & ~select.POLLOUT else waiting.READY_NONE)


def _is_blocked(connection: PGconn) -> bool:
    """Whether PostgreSQL says that a connection waits for another one's lock."""
    parameters = {o.keyword.decode(): o.val.decode() for o in connection.info if o.val}
    try:
        with psycopg.connect(make_conninfo("", **parameters)) as other:
            asked = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
            row = other.execute(asked, (connection.backend_pid,)).fetchone()
    except psycopg.OperationalError:
        # Then it will not be long until the other connection breaks, too.
        return False
    return bool(row and row[0])
